/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "control_socket.h"
#include "log.h"
#include "loop.h"
#include "own.h"
#include "text.h"

#define CLIENTS	      64
#define REQUEST_MAX   (64u * 1024)
#define BACKLOG	      64
#define STALLED_AFTER 10000 /* ms without a byte read */
#define SLOW_AFTER    1000  /* ms; when its place is wanted */
#define ACCEPT_AGAIN  1000  /* ms; after descriptors ran out */
#define BATCH	      16    /* requests of one client before the others have a turn */
#define DEPTH	      16    /* of a request's JSON */

struct client {
	struct control *control;
	int fd;
	struct watch watch;
	struct timer stalled;
	struct deferred again;
	uint64_t active;     /* ms, when it last did something */
	struct reply *reply; /* what is being answered */
	bool pumping, ended, dropped;

	/* The answer that is being sent, its newline behind it. */
	json_object *answer;
	const char *text;
	size_t len, sent;
	int fds[CONTROL_FDS];
	size_t n_fds;

	size_t in_len;
	char in[REQUEST_MAX];
};

struct reply {
	struct client *client; /* NULL: it has gone */
};

struct control {
	struct loop *loop;
	int fd;
	struct watch watch;
	struct timer accept_again;
	char *path;
	struct control_place place;
	const struct control_command *commands;
	size_t n_commands;
	void *ctx;
	struct client *clients[CLIENTS];
};

static void pump(struct client *c);

/* ---- one client ---- */

static void forget_answer(struct client *c)
{
	json_object_put(c->answer);
	c->answer = NULL;
	c->text = NULL;
	for (size_t i = 0; i < c->n_fds; i++)
		close(c->fds[i]);
	c->n_fds = 0;
	rddr_loop_timer_cancel(c->control->loop, &c->stalled);
}

/* The client is gone for everybody at once; while it is being pumped its memory stays. */
static void drop(struct client *c)
{
	struct control *control = c->control;

	if (!c->dropped) {
		c->dropped = true;
		for (size_t i = 0; i < CLIENTS; i++)
			if (control->clients[i] == c)
				control->clients[i] = NULL;
		if (c->reply)
			c->reply->client = NULL;
		c->reply = NULL;
		forget_answer(c);
		rddr_loop_undefer(control->loop, &c->again);
		rddr_loop_unwatch(control->loop, &c->watch, -1);
		rddr_own_close(&c->fd);
	}
	if (!c->pumping)
		free(c);
}

static void on_stalled(void *ctx)
{
	log_warning("control: a client that does not read was dropped");
	drop(ctx);
}

static void on_event(void *ctx, unsigned events)
{
	(void)events; /* reading and writing find out by themselves */
	pump(ctx);
}

static void on_again(void *ctx)
{
	pump(ctx);
}

/* Puts the answer's descriptors beside it; space has room for CONTROL_FDS. */
static void attach_fds(struct client *c, struct msghdr *msg, char *space)
{
	const struct cmsghdr head = {
		.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(c->n_fds * sizeof(int))};
	struct cmsghdr *header = (struct cmsghdr *)space;

	*header = head;
	memcpy(CMSG_DATA(header), c->fds, c->n_fds * sizeof(int));
	msg->msg_control = space;
	msg->msg_controllen = CMSG_SPACE(c->n_fds * sizeof(int));
}

/* Sends what it can of the answer. False: the client is to be dropped. */
static bool send_answer(struct client *c)
{
	while (c->answer) {
		struct iovec iov[] = {{(void *)(c->text + c->sent), c->len - c->sent}, {"\n", 1}};
		union {
			char bytes[CMSG_SPACE(sizeof(c->fds))];
			struct cmsghdr align;
		} space = {0};
		struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
		ssize_t n;

		if (c->sent >= c->len) { /* the newline alone is left */
			msg.msg_iov = iov + 1;
			msg.msg_iovlen = 1;
		}
		if (c->n_fds)
			attach_fds(c, &msg, space.bytes);
		n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN;
		for (size_t i = 0; i < c->n_fds; i++)
			close(c->fds[i]);
		c->n_fds = 0;
		c->sent += (size_t)n;
		c->active = rddr_loop_now(c->control->loop);
		if (c->sent > c->len)
			forget_answer(c);
		else
			rddr_loop_timer_set(c->control->loop, &c->stalled, c->active + STALLED_AFTER);
	}
	return true;
}

/* Begins to send {"ok": ..., key: value}. Takes value over. False: the client is to be dropped. */
static bool begin_answer(struct client *c, bool ok, const char *key, json_object *value)
{
	json_object *answer = json_object_new_object();

	if (!answer || json_object_object_add(answer, "ok", json_object_new_boolean(ok)) ||
	    json_object_object_add(answer, key, value)) {
		json_object_put(value);
		json_object_put(answer);
		return false;
	}
	c->text = json_object_to_json_string_length(answer, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
						    &c->len);
	c->answer = answer;
	c->sent = 0;
	if (!c->text)
		return false;
	rddr_loop_timer_set(c->control->loop, &c->stalled, rddr_loop_now(c->control->loop) + STALLED_AFTER);
	return true;
}

static bool begin_error(struct client *c, const char *text)
{
	_owned_mem_ char *escaped = rddr_text_escaped(text, strlen(text));

	return escaped && begin_answer(c, false, "error", json_object_new_string(escaped));
}

/* The request's object, or NULL with the reason in *why. */
static json_object *parse(const char *line, size_t len, const char **why)
{
	struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
	json_object *request;

	if (!tokener) {
		*why = "out of memory";
		return NULL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	request = json_tokener_parse_ex(tokener, line, (int)len);
	*why = "the request is no JSON object on one line";
	if (json_tokener_get_error(tokener) != json_tokener_success || json_tokener_get_parse_end(tokener) != len ||
	    !json_object_is_type(request, json_type_object)) {
		json_object_put(request);
		request = NULL;
	}
	json_tokener_free(tokener);
	return request;
}

static const struct control_command *find(const struct control *control, const char *name)
{
	for (size_t i = 0; i < control->n_commands; i++)
		if (!strcmp(control->commands[i].name, name))
			return &control->commands[i];
	return NULL;
}

/* Carries one request out. False: the client is to be dropped. */
static bool handle(struct client *c, const char *line, size_t len)
{
	const struct control_command *command;
	const char *why, *name;
	json_object *request = parse(line, len, &why), *field;
	char text[128];
	bool alive;

	if (!request)
		return begin_error(c, why);
	if (!json_object_object_get_ex(request, "command", &field) || !json_object_is_type(field, json_type_string)) {
		json_object_put(request);
		return begin_error(c, "the request names no command");
	}
	name = json_object_get_string(field);
	command = find(c->control, name);
	c->reply = command ? calloc(1, sizeof(*c->reply)) : NULL;
	if (c->reply) {
		c->reply->client = c;
		command->fn(c->control->ctx, c->reply, request);
		alive = true;
	} else if (command) {
		alive = begin_error(c, "out of memory");
	} else {
		snprintf(text, sizeof(text), "unknown command: %.64s", name);
		alive = begin_error(c, text);
	}
	json_object_put(request);
	return alive;
}

/* Takes the next line out of the buffer and carries it out. 1: there was one; 0: there was none; -1: drop the client.
 */
static int next_request(struct client *c)
{
	char *newline = memchr(c->in, '\n', c->in_len);
	size_t len, used;
	bool alive;

	if (!newline && c->in_len == sizeof(c->in)) {
		/* What follows cannot be told from a next request. */
		c->ended = true;
		c->in_len = 0;
		return begin_error(c, "the request is longer than 65536 bytes") ? 1 : -1;
	}
	if (!newline)
		return 0;
	len = (size_t)(newline - c->in);
	used = len + 1;
	if (len && c->in[len - 1] == '\r')
		len--;
	/* An empty line asks for nothing. */
	alive = !len || handle(c, c->in, len);
	c->in_len -= used;
	memmove(c->in, c->in + used, c->in_len);
	return alive ? 1 : -1;
}

/* 1: bytes came; 0: none are there; -1: drop the client. */
static int receive(struct client *c)
{
	ssize_t n;

	if (c->ended)
		return 0;
	do
		n = recv(c->fd, c->in + c->in_len, sizeof(c->in) - c->in_len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : -1;
	if (!n) {
		c->ended = true;
		return 0;
	}
	c->in_len += (size_t)n;
	c->active = rddr_loop_now(c->control->loop);
	return 1;
}

/* Drives the client as far as it goes: one request at a time, its answer sent whole before the next is looked at. */
static void pump(struct client *c)
{
	int go_on = 1;

	if (c->pumping)
		return;
	c->pumping = true;
	for (unsigned n = 0; go_on > 0; n++) {
		if (!send_answer(c)) {
			go_on = -1;
			break;
		}
		if (c->answer || c->reply)
			break;
		if (n == BATCH) {
			rddr_loop_again(c->control->loop, &c->again);
			break;
		}
		go_on = next_request(c);
		if (!go_on)
			go_on = receive(c);
		if (!go_on && c->ended)
			go_on = -1;
		if (c->dropped)
			break;
	}
	c->pumping = false;
	if (go_on < 0 || c->dropped)
		drop(c);
}

/* ---- answers ---- */

/* Ends the reply. The client that waits for it, or NULL when it has gone. */
static struct client *finish(struct reply *reply)
{
	struct client *c = reply->client;

	if (c)
		c->reply = NULL;
	free(reply);
	return c;
}

static void go_on(struct client *c, bool alive)
{
	if (alive)
		pump(c);
	else
		drop(c);
}

void rddr_control_answer_fds(struct reply *reply, json_object *result, const int *fds, size_t n)
{
	struct client *c = finish(reply);
	int err = 0;

	if (!c) {
		json_object_put(result);
		return;
	}
	if (n > CONTROL_FDS)
		err = E2BIG;
	for (size_t i = 0; !err && i < n; i++) {
		int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			err = errno;
		else
			c->fds[c->n_fds++] = fd;
	}
	if (err) {
		json_object_put(result);
		forget_answer(c);
		err_r(err, "control: descriptors cannot be passed on count=%zu", n);
		go_on(c, begin_error(c, "the daemon cannot pass its descriptors on"));
		return;
	}
	go_on(c, begin_answer(c, true, "result", result));
}

void rddr_control_answer(struct reply *reply, json_object *result)
{
	rddr_control_answer_fds(reply, result, NULL, 0);
}

void rddr_control_refuse(struct reply *reply, const char *fmt, ...)
{
	struct client *c = finish(reply);
	char text[1024];
	va_list args;

	if (!c)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	go_on(c, begin_error(c, text));
}

/* ---- the socket ---- */

/* Whether the client does nothing, or does not take its answer: then one that comes may have its place. */
static bool may_go(const struct client *c, uint64_t now)
{
	return !c->reply && (!c->answer || now - c->active >= SLOW_AFTER);
}

/* A free place among the clients; where there is none, that of the one that did nothing for the longest time. NULL: all
 * are busy. */
static struct client **find_place(struct control *control)
{
	uint64_t now = rddr_loop_now(control->loop);
	struct client **longest = NULL;

	for (size_t i = 0; i < CLIENTS; i++) {
		struct client **place = &control->clients[i];

		if (!*place)
			return place;
		if (may_go(*place, now) && (!longest || (*place)->active < (*longest)->active))
			longest = place;
	}
	if (longest)
		drop(*longest);
	return longest;
}

static void admit(struct control *control, int owned)
{
	static const char full[] = "{\"ok\":false,\"error\":\"too many clients\"}\n";
	_owned_fd_ int fd = owned;
	struct client **place = find_place(control), *c;

	if (!place) {
		if (send(fd, full, sizeof(full) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			log_debug("control: a client too many could not be told");
		return;
	}
	c = malloc(sizeof(*c));
	if (!c)
		return;
	memset(c, 0, offsetof(struct client, in)); /* the buffer's pages are touched when they are used */
	c->control = control;
	c->active = rddr_loop_now(control->loop);
	c->stalled.fn = on_stalled;
	c->stalled.ctx = c;
	c->again.fn = on_again;
	c->again.ctx = c;
	if (rddr_loop_watch(control->loop, &c->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_event, c)) {
		free(c);
		return;
	}
	c->fd = TAKE_FD(fd);
	*place = c;
}

static void accept_clients(void *ctx)
{
	struct control *control = ctx;

	for (;;) {
		int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			admit(control, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno != EAGAIN) {
			err_r(errno, "control: a client cannot be accepted");
			rddr_loop_timer_set(control->loop, &control->accept_again,
					    rddr_loop_now(control->loop) + ACCEPT_AGAIN);
		}
		return;
	}
}

static void on_accept(void *ctx, unsigned events)
{
	(void)events;
	accept_clients(ctx);
}

int rddr_control_new(struct loop *loop, const char *path, const struct control_command *commands, size_t n, void *ctx,
		     struct control **out)
{
	struct control *control = calloc(1, sizeof(*control));
	int err = -ENOMEM;

	if (!control)
		return err;
	control->loop = loop;
	control->fd = -1;
	control->commands = commands;
	control->n_commands = n;
	control->ctx = ctx;
	control->accept_again.fn = accept_clients;
	control->accept_again.ctx = control;
	control->path = strdup(path);
	if (control->path)
		err = rddr_control_socket_listen(path, &control->fd, &control->place);
	if (!err)
		err = rddr_loop_watch(loop, &control->watch, control->fd, LOOP_IN | LOOP_EDGE, on_accept, control);
	if (err) {
		rddr_control_free(&control);
		return err;
	}
	*out = control;
	return 0;
}

static void close_listener(struct control *control)
{
	rddr_loop_timer_cancel(control->loop, &control->accept_again);
	rddr_loop_unwatch(control->loop, &control->watch, -1);
	rddr_own_close(&control->fd);
}

void rddr_control_disown(struct control *control)
{
	close_listener(control);
}

void rddr_control_free(struct control **owned)
{
	struct control *control = *owned;

	if (!control)
		return;
	*owned = NULL;
	for (size_t i = 0; i < CLIENTS; i++)
		if (control->clients[i])
			drop(control->clients[i]);
	if (control->fd >= 0)
		rddr_control_socket_remove(control->path, &control->place);
	close_listener(control);
	free(control->path);
	free(control);
}
