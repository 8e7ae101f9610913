/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * own.h - ownership that can be checked on one screen.
 *
 * A local that owns something says so with one of the _owned_ attributes and is
 * released when it goes out of scope. Ownership leaves a function at one place,
 * through TAKE_PTR or TAKE_FD.
 */
#ifndef RDDR_OWN_H
#define RDDR_OWN_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _owned_(release) __attribute__((cleanup(release)))
#define _owned_fd_	 _owned_(rddr_own_close)
#define _owned_mem_	 _owned_(rddr_own_free)
#define _owned_file_	 _owned_(rddr_own_fclose)

/* Gives the pointer away: the variable is NULL afterwards. */
#define TAKE_PTR(p)                                                                                                    \
	({                                                                                                             \
		__auto_type taken_ = (p);                                                                              \
		(p) = NULL;                                                                                            \
		taken_;                                                                                                \
	})

/* Gives the descriptor away: the variable is -1 afterwards. */
#define TAKE_FD(fd)                                                                                                    \
	({                                                                                                             \
		int taken_ = (fd);                                                                                     \
		(fd) = -1;                                                                                             \
		taken_;                                                                                                \
	})

#define ARRAY_LEN(a)			(sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Closes *fd unless it is negative, and leaves -1 behind. */
static inline void rddr_own_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline void rddr_own_free(void *p)
{
	void **owned = p;

	free(*owned);
	*owned = NULL;
}

static inline void rddr_own_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
	*file = NULL;
}

#endif
