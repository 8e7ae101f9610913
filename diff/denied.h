/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * denied.h - what a client sees instead of an answer that was denied, or of an answer to a request that was refused.
 */
#ifndef RDDR_DENIED_H
#define RDDR_DENIED_H

#include <stdbool.h>
#include <stddef.h>

/* Enough for any of them, in bytes. */
#define DENIED_ROOM 4096

struct denied {
	bool unreachable;      /* the server that a proxy was asked for cannot be reached */
	bool refused;	       /* the request was: 400; otherwise 500 */
	bool json;	       /* the client would rather have JSON than HTML */
	bool head_only;	       /* the request was HEAD */
	const char *reference; /* of the evidence; letters, digits and '-' */
};

/* Writes a whole answer, head and body, after which the connection is closed; returns its length. */
size_t rddr_denied_render(const struct denied *d, char out[DENIED_ROOM]);

#endif
