/* SPDX-License-Identifier: BSD-2-Clause */
#include "notify.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"
#include "loop.h"
#include "own.h"

/* ms; where the manager has not said how often it wants to hear that we live: it does not tell a process that takes
 * over, only the one that it started itself. */
#define ALIVE_EVERY 5000

static struct {
	struct timer timer;
	unsigned every; /* ms */
	bool silent;
} watchdog;

static int address_of(const char *name, struct sockaddr_un *sun, socklen_t *len)
{
	size_t n = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(sun->sun_path))
		return -EINVAL;
	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(sun->sun_path, name, n);
	/* A name in the abstract namespace begins with a zero. */
	if (name[0] == '@')
		sun->sun_path[0] = '\0';
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	return 0;
}

static int tell(const char *name, const char *message)
{
	static const struct timeval patience = {.tv_sec = 5};
	_owned_fd_ int fd = -1;
	struct sockaddr_un sun;
	socklen_t len;
	int r = address_of(name, &sun, &len);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A manager that does not read must not hold the main thread up for long. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return -errno;
	if (sendto(fd, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&sun, len) < 0)
		return -errno;
	return 0;
}

int rddr_notify_send(const char *message)
{
	const char *name = getenv("NOTIFY_SOCKET");

	if (!name || !*name)
		return 0;
	int r = tell(name, message);
	return r < 0 ? err_r(r, "notify: '%s' cannot be told %s", name, message) : 0;
}

int rddr_notify_main(void)
{
	char message[64];

	snprintf(message, sizeof(message), "MAINPID=%d", (int)getpid());
	return rddr_notify_send(message);
}

static void again(struct daemon *d)
{
	rddr_loop_timer_set(d->loop, &watchdog.timer, rddr_loop_now(d->loop) + watchdog.every);
}

static void alive(struct daemon *d)
{
	if (watchdog.silent)
		return;
	rddr_notify_send("WATCHDOG=1");
	again(d);
}

/* A worker that hangs does not pass the barrier, and then nothing is sent. One that drains is asked no more. */
static void ask(void *ctx)
{
	struct daemon *d = ctx;

	if (d->ending)
		alive(d);
	else if (rddr_daemon_barrier(d, alive) < 0)
		again(d);
}

/* A third of what the manager waits for, in ms. */
static unsigned interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

	if (!usec || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return ALIVE_EVERY;
	unsigned long long ms = strtoull(usec, NULL, 10) / 3000;
	if (!ms)
		return ALIVE_EVERY;
	return ms < ALIVE_EVERY ? (unsigned)ms : ALIVE_EVERY;
}

void rddr_notify_begin(struct daemon *d)
{
	const char *name = getenv("NOTIFY_SOCKET");
	char message[128];

	if (!name || !*name)
		return;
	snprintf(message, sizeof(message), "READY=1\nMAINPID=%d\nSTATUS=rddrd " RDDR_VERSION, (int)getpid());
	rddr_notify_send(message);
	watchdog.every = interval();
	watchdog.timer = (struct timer){.fn = ask, .ctx = d};
	again(d);
}

void rddr_notify_ending(bool handed_over)
{
	if (handed_over)
		watchdog.silent = true;
	else
		rddr_notify_send("STOPPING=1");
}
