/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * net.h - what the chainers' tests stand on: a network namespace of their own with a loopback, real listeners, and a
 * dial that is run to its end on a real loop.
 */
#ifndef RDDR_TEST_CHAINERS_NET_H
#define RDDR_TEST_CHAINERS_NET_H

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "chainer.h"
#include "own.h"

/* A descriptor that is only there to be open. */
#define _held_fd_ _owned_fd_ __attribute__((unused))

/* Far more than any of it takes; a dial that is not over by then hangs. */
#define PATIENCE_MS 60000

static bool net_own; /* we are in a namespace of our own, with the right to forge */

static inline bool net_write(const char *path, const char *text)
{
	_owned_file_ FILE *file = fopen(path, "w");

	return file && fputs(text, file) >= 0 && !fflush(file);
}

static inline int net_setup(void **state)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	_owned_fd_ int fd = -1;

	(void)state;
	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET)) {
		print_message("no network namespace of our own: tests that need one are skipped\n");
		return 0;
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		return -1;
	net_own = true;
	return 0;
}

#define NEED_OWN_NET()                                                                                                 \
	do {                                                                                                           \
		if (!net_own)                                                                                          \
			skip();                                                                                        \
	} while (0)

static inline struct addr at(const char *text)
{
	struct addr a;

	if (rddr_addr_parse(text, 0, &a))
		fail_msg("%s is no address", text);
	return a;
}

/* A listener at the address; with port 0 the kernel's choice is written back. */
static inline int listen_at(struct addr *a)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	socklen_t len = sizeof(*a);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, &a->sa, rddr_addr_len(a)), 0);
	assert_int_equal(listen(fd, 64), 0);
	assert_int_equal(getsockname(fd, &a->sa, &len), 0);
	return fd;
}

/* Takes the port without sharing it. */
static inline int block_port(const struct addr *a)
{
	int fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &a->sa, rddr_addr_len(a)), 0);
	return fd;
}

/* The next connection, and where it comes from. */
static inline int accept_from(int listener, struct addr *from)
{
	socklen_t len = sizeof(*from);
	int fd = accept4(listener, &from->sa, &len, SOCK_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

struct run {
	struct dial dial;
	struct loop *loop;
	enum dial_outcome outcome; /* of the last dial */
	unsigned calls;		   /* of done */
	bool late;
};

static inline void run_done(struct dial *dial, enum dial_outcome outcome)
{
	struct run *run = CONTAINER_OF(dial, struct run, dial);

	run->outcome = outcome;
	run->calls++;
	rddr_loop_stop(run->loop);
}

static inline void run_late(void *ctx)
{
	struct run *run = ctx;

	run->late = true;
	rddr_loop_stop(run->loop);
}

static inline void run_begin(struct run *run)
{
	*run = (struct run){.outcome = DIAL_PENDING};
	rddr_dial_init(&run->dial);
	assert_int_equal(rddr_loop_new(&run->loop), 0);
}

/* Starts the dial and returns what connect_server said. */
static inline enum dial_outcome run_start(struct run *run, const struct chainer_conf *conf, struct dial_request request)
{
	request.loop = run->loop;
	run->dial.done = run_done;
	run->outcome = rddr_chainer_connect_server(&run->dial, conf, &request);
	return run->outcome;
}

/* Until the dial that is pending is over. */
static inline enum dial_outcome run_wait(struct run *run)
{
	struct timer patience = {.fn = run_late, .ctx = run};

	if (run->outcome != DIAL_PENDING)
		return run->outcome;
	rddr_loop_timer_set(run->loop, &patience, rddr_loop_now(run->loop) + PATIENCE_MS);
	assert_int_equal(rddr_loop_run(run->loop), 0);
	rddr_loop_timer_cancel(run->loop, &patience);
	assert_false(run->late);
	assert_int_equal(run->calls, 1);
	return run->outcome;
}

static inline void run_end(struct run *run)
{
	rddr_chainer_cancel(&run->dial);
	if (run->dial.fd >= 0)
		rddr_loop_unwatch(run->loop, &run->dial.watch, run->dial.fd);
	rddr_own_close(&run->dial.fd);
	rddr_loop_free(&run->loop);
}

/* One dial from beginning to end; what it got stays in run. */
static inline enum dial_outcome run_dial(struct run *run, const struct chainer_conf *conf, struct dial_request request)
{
	run_begin(run);
	run_start(run, conf, request);
	return run_wait(run);
}

/* The address that the dial's own end has. */
static inline struct addr bound(const struct dial *dial)
{
	struct addr a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(dial->fd, &a.sa, &len), 0);
	return a;
}

static inline void assert_addr(const struct addr *a, const char *expected)
{
	char text[RDDR_ADDR_TEXT];

	assert_string_equal(rddr_addr_format(a, text, sizeof(text)), expected);
}

/* The lowest free descriptor: the same before and after what leaks none. */
static inline int next_fd(void)
{
	int fd = dup(STDIN_FILENO);

	if (fd >= 0)
		close(fd);
	return fd;
}

#endif
