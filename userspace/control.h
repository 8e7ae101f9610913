/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h - the operator's UNIX socket: one JSON object a line in, one a line out.
 *
 * {"command": "status"} is answered with {"ok": true, "result": ...} or {"ok": false, "error": "..."}. Requests of one
 * connection are answered in order. The socket has mode 0660. A client that does not read or sends no newline within 64
 * KiB is dropped. There are at most 64 clients: one more takes the place of the one that has been idle longest, or does
 * not read. Runs on the main thread's loop.
 */
#ifndef RDDR_CONTROL_H
#define RDDR_CONTROL_H

#include <json-c/json.h>
#include <stddef.h>

#define CONTROL_FDS 128 /* the most descriptors that go with one answer */

struct control;
struct loop;
struct reply; /* one request that waits for its answer */

/*
 * A command: gets the request object (borrowed for the call) and answers now or later, exactly once, with one of the
 * functions below. Later: on the same loop. A reply whose client has gone is still answered; the answer is dropped.
 */
typedef void (*control_fn)(void *ctx, struct reply *reply, json_object *request);

struct control_command {
	const char *name;
	control_fn fn;
};

/*
 * Listens at path (its folder is made when only that is missing). A stale socket is replaced; one that somebody answers
 * on is -EADDRINUSE, anything else at that path -EEXIST; each failure is logged. The table must outlive the control.
 */
int rddr_control_new(struct loop *loop, const char *path, const struct control_command *commands, size_t n, void *ctx,
		     struct control **out);
/* Not from inside a command. Replies that are still waiting may be answered afterwards, into the void. */
void rddr_control_free(struct control **control);

/* Takes result over (NULL is JSON's null). */
void rddr_control_answer(struct reply *reply, json_object *result);
/* The same, with descriptors passed along (SCM_RIGHTS, at most CONTROL_FDS; they stay the caller's). */
void rddr_control_answer_fds(struct reply *reply, json_object *result, const int *fds, size_t n);
void rddr_control_refuse(struct reply *reply, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Lets go of the path, for a new daemon to take over: stops listening at once, so that the new one finds the socket
 * stale and replaces it. Clients that are connected are served on.
 */
void rddr_control_disown(struct control *control);

/*
 * A client's side, blocking, for timeout ms at most: sends the request (borrowed), returns the whole answer (the caller
 * puts it) and up to *n descriptors (the caller's to close), *n of them set. fds and n may be NULL. 0 or -errno: those
 * of connect(), -ETIMEDOUT, -ECONNRESET when the daemon hung up without an answer, -EBADMSG when it was no JSON object,
 * -EMSGSIZE.
 */
int rddr_control_ask(const char *path, json_object *request, int timeout, json_object **answer, int *fds, size_t *n);

#endif
