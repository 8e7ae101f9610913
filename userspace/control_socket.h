/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_socket.h - the control socket's place in the file system.
 */
#ifndef RDDR_CONTROL_SOCKET_H
#define RDDR_CONTROL_SOCKET_H

#include <sys/types.h>

/* Which file was made at the path, so that nobody else's is removed. */
struct control_place {
	dev_t dev;
	ino_t ino;
};

/* Makes the listening socket as rddr_control_new promises it; *out is the caller's to close. 0 or -errno, logged. */
int rddr_control_socket_listen(const char *path, int *out, struct control_place *place);

/* Removes the path if it is still what was made there. */
void rddr_control_socket_remove(const char *path, const struct control_place *place);

#endif
