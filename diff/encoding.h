/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * encoding.h - content codings taken off: gzip, deflate and br.
 *
 * What is decoded is bounded by a ratio to what it was decoded from, so that a small answer cannot become a huge one.
 * Bytes behind the end of a coded stream are refused: nobody would compare them. Behind a gzip member there may be
 * another.
 */
#ifndef RDDR_ENCODING_H
#define RDDR_ENCODING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

enum coding {
	CODING_IDENTITY,
	CODING_GZIP,
	CODING_DEFLATE, /* with zlib's head or without one */
	CODING_BROTLI,
	CODING_UNKNOWN, /* another one, or several */
	CODINGS
};

/* What a Content-Encoding says; an empty value is identity. */
enum coding rddr_encoding_of(struct slice value);

struct encoding; /* one body's */

/* The smallest output that is never taken for a bomb, in bytes. */
#define RDDR_ENCODING_FLOOR ((size_t)64 << 10)

/* ratio: how many bytes one coded byte may become, past the floor. 0, -EINVAL (nothing to take off) or -ENOMEM. */
int rddr_encoding_new(enum coding coding, size_t ratio, struct encoding **out);
void rddr_encoding_free(struct encoding **e);

/*
 * Decodes as much of in as has room: *taken of its bytes became *made in out. 0, or -EINVAL, -E2BIG (past the ratio) or
 * -ENOMEM with the reason, a constant text, in why.
 */
int rddr_encoding_decode(struct encoding *e, struct slice in, size_t *taken, uint8_t *out, size_t room, size_t *made,
			 const char **why);

/* Whether the coded stream came to its own end, so far as there is one: no bytes at all are an empty body. */
bool rddr_encoding_ended(const struct encoding *e);

#endif
