/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_capture.h - what the tests of the config share: reading from memory with the log lines kept, and a network of
 * one's own, so that no name that a test makes up is asked for anywhere.
 */
#ifndef RDDR_TEST_CONFIG_CAPTURE_H
#define RDDR_TEST_CONFIG_CAPTURE_H

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"

#define CAPTURED 65536

/* Sends stderr into memory; returns what capture_end wants. */
static inline int capture_begin(int *saved)
{
	int fd = memfd_create("stderr", MFD_CLOEXEC);

	fflush(stderr);
	*saved = dup(STDERR_FILENO);
	if (fd < 0 || *saved < 0 || dup2(fd, STDERR_FILENO) < 0)
		abort();
	return fd;
}

/* Puts stderr back; text gets what was written to it. */
static inline void capture_end(int fd, int saved, char text[CAPTURED])
{
	ssize_t n;

	fflush(stderr);
	if (dup2(saved, STDERR_FILENO) < 0)
		abort();
	close(saved);
	n = pread(fd, text, CAPTURED - 1, 0);
	text[n > 0 ? n : 0] = '\0';
	close(fd);
}

static inline int parse_captured(const char *text, size_t len, struct config **out, char log[CAPTURED])
{
	int saved, fd = capture_begin(&saved);
	int err = rddr_config_parse("t", text, len, out);

	capture_end(fd, saved, log);
	return err;
}

/*
 * Enters a network namespace with lo alone: a resolver cannot be reached, and says so at once. Where that is not
 * allowed the tests run all the same; names that do not exist then take as long as the host's resolver does.
 */
static inline void enter_empty_network(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd;

	unsetenv("JOURNAL_STREAM");
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		fprintf(stderr, "no network namespace of our own: %s\n", strerror(errno));
		return;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		fprintf(stderr, "lo stays down: %s\n", strerror(errno));
	if (fd >= 0)
		close(fd);
}

#endif
