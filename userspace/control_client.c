/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include "control.h"
#include "own.h"

#define ANSWER_MAX (256u << 20)
#define FIRST_ROOM (64u * 1024)

/* An answer on its way in. */
struct inbox {
	char *text;
	size_t len, room;
	int fds[CONTROL_FDS];
	size_t n_fds;
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void empty(struct inbox *inbox)
{
	for (size_t i = 0; i < inbox->n_fds; i++)
		close(inbox->fds[i]);
	inbox->n_fds = 0;
	free(inbox->text);
	inbox->text = NULL;
}

/* Returns the descriptor or -errno. */
static int dial(const char *path, int timeout)
{
	_owned_fd_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = {.tv_sec = timeout / 1000, .tv_usec = timeout % 1000 * 1000};
	struct sockaddr_un sun = {.sun_family = AF_UNIX};

	if (fd < 0)
		return -errno;
	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	memcpy(sun.sun_path, path, strlen(path));
	/* For the time in which the daemon's backlog is full. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		return -errno;
	while (connect(fd, (const struct sockaddr *)&sun, sizeof(sun))) {
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	return TAKE_FD(fd);
}

/* Waits for the descriptor until the time; 0 or -errno. */
static int wait_for(int fd, short events, uint64_t until)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	for (;;) {
		uint64_t now = clock_ms();
		int n = poll(&pfd, 1, now < until ? (int)(until - now) : 0);

		if (n > 0)
			return 0;
		if (!n)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

static int send_request(int fd, json_object *request, uint64_t until)
{
	size_t len, sent = 0;
	const char *text = json_object_to_json_string_length(request, JSON_C_TO_STRING_PLAIN, &len);

	if (!text)
		return -ENOMEM;
	while (sent <= len) {
		bool last = sent == len; /* the newline alone is left */
		ssize_t n = send(fd, last ? "\n" : text + sent, last ? 1 : len - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		int err = 0;

		if (n >= 0)
			sent += (size_t)n;
		else if (errno == EAGAIN)
			err = wait_for(fd, POLLOUT, until);
		else if (errno == EPIPE)
			return 0; /* whatever it said before it hung up can still be read */
		else if (errno != EINTR)
			err = -errno;
		if (err)
			return err;
	}
	return 0;
}

static void take_fds(struct inbox *inbox, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (inbox->n_fds < CONTROL_FDS)
				inbox->fds[inbox->n_fds++] = fd;
			else
				close(fd);
		}
	}
}

static int make_room(struct inbox *inbox)
{
	size_t room = inbox->room ? inbox->room * 2 : FIRST_ROOM;
	char *text;

	if (inbox->len < inbox->room)
		return 0;
	if (room > ANSWER_MAX)
		return -EMSGSIZE;
	text = realloc(inbox->text, room);
	if (!text)
		return -ENOMEM;
	inbox->text = text;
	inbox->room = room;
	return 0;
}

/* Reads up to the newline. */
static int receive_answer(int fd, struct inbox *inbox, uint64_t until)
{
	for (;;) {
		union {
			char bytes[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
			struct cmsghdr align;
		} space;
		struct iovec iov;
		struct msghdr msg = {
			.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space)};
		int err = make_room(inbox);
		ssize_t n;

		if (err)
			return err;
		iov = (struct iovec){inbox->text + inbox->len, inbox->room - inbox->len};
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EAGAIN)
			err = wait_for(fd, POLLIN, until);
		else if (n < 0 && errno != EINTR)
			err = -errno;
		if (err)
			return err;
		if (n < 0)
			continue;
		if (!n)
			return -ECONNRESET;
		take_fds(inbox, &msg);
		inbox->len += (size_t)n;
		/* Nothing follows an answer before the next request. */
		if (inbox->text[inbox->len - 1] == '\n')
			return 0;
	}
}

static json_object *parse(const struct inbox *inbox)
{
	struct json_tokener *tokener = json_tokener_new();
	json_object *answer;

	if (!tokener)
		return NULL;
	answer = json_tokener_parse_ex(tokener, inbox->text, (int)inbox->len);
	if (json_tokener_get_error(tokener) != json_tokener_success || !json_object_is_type(answer, json_type_object)) {
		json_object_put(answer);
		answer = NULL;
	}
	json_tokener_free(tokener);
	return answer;
}

static int ask(int fd, json_object *request, uint64_t until, struct inbox *inbox, json_object **answer)
{
	int err = send_request(fd, request, until);

	if (!err)
		err = receive_answer(fd, inbox, until);
	if (err)
		return err;
	*answer = parse(inbox);
	return *answer ? 0 : -EBADMSG;
}

int rddr_control_ask(const char *path, json_object *request, int timeout, json_object **answer, int *fds, size_t *n)
{
	uint64_t until = clock_ms() + (uint64_t)(timeout > 0 ? timeout : 0);
	_owned_(empty) struct inbox inbox = {0};
	json_object *parsed = NULL;
	int fd = dial(path, timeout);
	int err;

	if (fd < 0)
		return fd;
	err = ask(fd, request, until, &inbox, &parsed);
	close(fd);
	if (err)
		return err;
	if (n) {
		size_t taken = !fds ? 0 : inbox.n_fds < *n ? inbox.n_fds : *n;

		/* What there is no room for is closed with the inbox. */
		for (size_t i = 0; i < taken; i++)
			fds[i] = inbox.fds[i];
		memmove(inbox.fds, inbox.fds + taken, (inbox.n_fds - taken) * sizeof(int));
		inbox.n_fds -= taken;
		*n = taken;
	}
	*answer = parsed;
	return 0;
}
