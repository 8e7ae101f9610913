/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h - the operator's UNIX socket: one JSON object a line in, one a line out.
 *
 * {"command": "status"} is answered with {"ok": true, "result": ...} or {"ok": false, "error": "..."}. Requests of one
 * connection are answered in order. The socket has mode 0660. A client that does not read or sends no newline within 64 KiB is dropped.
 * Runs on the main thread's loop.
 */
#ifndef RDDR_CONTROL_H
#define RDDR_CONTROL_H

#include <json-c/json.h>
#include <stddef.h>

struct control;
struct loop;
struct reply; /* one request that waits for its answer */

/*
 * A command: gets the request object (borrowed for the call) and answers now or later, exactly once, with one of the two functions
 * below. Later: on the same loop. A reply whose client has gone is still answered; the answer is dropped.
 */
typedef void (*control_fn)(void *ctx, struct reply *reply, json_object *request);

struct control_command {
	const char *name;
	control_fn fn;
};

/* Listens at path; a stale socket is replaced, one that somebody answers on is -EADDRINUSE. The table must outlive the control. */
int rddr_control_new(struct loop *loop, const char *path, const struct control_command *commands, size_t n, void *ctx,
		     struct control **out);
void rddr_control_free(struct control **control);

/* Takes result over. */
void rddr_control_answer(struct reply *reply, json_object *result);
/* The same, with descriptors passed along (SCM_RIGHTS, at most 128; they stay the caller's). */
void rddr_control_answer_fds(struct reply *reply, json_object *result, const int *fds, size_t n);
void rddr_control_refuse(struct reply *reply, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* After this the socket's path is left alone when the control is freed: a new daemon has taken it over. */
void rddr_control_disown(struct control *control);

/*
 * A client's side, blocking, with a timeout in ms: sends the request (borrowed), returns the whole answer and up to *n descriptors. 0 or -errno.
 */
int rddr_control_ask(const char *path, json_object *request, int timeout, json_object **answer, int *fds, size_t *n);

#endif
