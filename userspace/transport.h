/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transport.h - how bytes get over a connected socket.
 */
#ifndef RDDR_TRANSPORT_H
#define RDDR_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

struct endpoint;

struct transport {
	const char *name;
	/* A read that brought less than was asked for has emptied it: the next bytes come with an event. */
	bool short_read_drains;
	/* recv() comes to the end only where the other side said that its stream ends there: a reset behind that, which
	 * a failed send told of, takes nothing back. */
	bool end_is_said;
	/* At most len bytes into buf. Bytes read; 0 at the end of the stream; -EAGAIN, or -errno when the connection is
	 * torn. */
	ssize_t (*recv)(struct endpoint *ep, void *buf, size_t len);
	/* Bytes sent; -EAGAIN, or -errno. */
	ssize_t (*send)(struct endpoint *ep, const struct iovec *parts, int n);
	/* Takes the error that an event told of: errno, or 0 when there was none. recv() then leads to an end in order.
	 */
	int (*error)(struct endpoint *ep);
	/* Ends our sending half. 0, -EAGAIN or -errno. */
	int (*end)(struct endpoint *ep);
	/* Closes the descriptor; reset: in a way that the other side sees as a reset. */
	void (*close)(struct endpoint *ep, bool reset);

	/* The rest is for transports that have to agree on something first; NULL where they need not. */

	/* Makes what ep needs beside its descriptor, which close() releases. 0 or -errno. */
	int (*open)(struct endpoint *ep);
	/* Goes on agreeing: 0 when bytes may flow, -EAGAIN, or -errno: it failed, for the reason that why() names. */
	int (*shake)(struct endpoint *ep);
	/* Counts that the deadline for agreeing has passed; why() names it. */
	void (*late)(struct endpoint *ep);
	const char *(*why)(const struct endpoint *ep);
	/* The connection, with what open() made, was moved here from another end. */
	void (*moved)(struct endpoint *ep);
};

extern const struct transport rddr_transport_tcp;
extern const struct transport rddr_transport_tls; /* see transport_tls.h */

#endif
