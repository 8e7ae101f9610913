/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_chunks.h - the chunked transfer coding, strictly.
 *
 * Sizes are hexadecimal digits and nothing else, lines end with CRLF, a chunk has one extension at most, without white
 * space, trailers have the form of headers and name none that decides about framing. Whatever is not so is refused,
 * because servers differ in what they make of it. What extensions and trailers say is dropped.
 */
#ifndef RDDR_HTTP_CHUNKS_H
#define RDDR_HTTP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

struct rules_settings;

/* Where in a body one stands. Zeroed: at its beginning. */
struct chunks {
	uint64_t left;	/* of the chunk: bytes of payload */
	uint32_t spent; /* bytes of extensions and trailers so far */
	uint8_t state;
	uint8_t digits; /* of the size */
	uint8_t name_len;
	bool done;			       /* the body is complete */
	char name[48];			       /* of the trailer, in lower case, as far as it matters */
	const struct rules_settings *settings; /* NULL, or whose header of correlate is no trailer */
};

/*
 * Takes framing up to and with the next stretch of payload, or as much as there is. *taken: the bytes taken, *payload
 * the stretch (at the end of them; empty: there was none). Behind the last byte of the body nothing is taken. 0, or
 * -EINVAL with the reason, a constant text, in why.
 */
int rddr_chunks_next(struct chunks *c, struct slice bytes, size_t *taken, struct slice *payload, const char **why);

/* The last len bytes of the stretch of payload that was taken last are to come again. */
void rddr_chunks_give_back(struct chunks *c, size_t len);

#endif
