/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * listener.h - a worker's listening sockets: accept, find the service, begin the session.
 *
 * Descriptors for a whole session are reserved before one is accepted; without them the listeners rest until a session
 * ends.
 */
#ifndef RDDR_LISTENER_H
#define RDDR_LISTENER_H

#include <stdbool.h>

#include "addr.h"
#include "loop.h"

struct worker;

struct listener {
	struct listener *next;
	struct worker *worker;
	int fd;
	struct watch watch;
	char *service; /* the listening form: its name; NULL: steered, found by the addresses */
};

/*
 * A listening socket: non-blocking, TCP_NODELAY, and where it is for steered connections (transparent) with the right
 * to answer from foreign addresses and to tell the interface. reuse: SO_REUSEPORT, so that each worker has one of its
 * own. The descriptor, or -errno.
 */
int rddr_listener_socket(const struct addr *at, bool transparent, bool reuse);

/* Takes fd over. 0 or -errno (fd is closed then). */
int rddr_listener_add(struct worker *w, int fd, const char *service);
void rddr_listener_drop(struct worker *w, struct listener **at);

/* Accepts what the queues hold, before the listeners are closed. */
void rddr_listener_empty(struct worker *w);

/* Begins to accept again, or stops. */
void rddr_listener_resume_all(struct worker *w);
void rddr_listener_pause_all(struct worker *w);

#endif
