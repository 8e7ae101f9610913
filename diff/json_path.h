/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_path.h - names for places in a JSON document, by the keys that lead there.
 */
#ifndef RDDR_JSON_PATH_H
#define RDDR_JSON_PATH_H

#include "json_doc.h"

/*
 * The hashes of a path and of what it begins with, so that a key is hashed once, and not again for each value in it.
 * Zeroed: nothing was hashed.
 */
struct json_trail {
	unsigned known; /* keys of the path */
	uint64_t hash[JSON_DEPTH + 1];
	size_t len[JSON_DEPTH + 1]; /* bytes that it has at most as a pointer */
};

/* Puts a key into the path of a trail; all keys that a field is named by come in here. */
void rddr_json_put_key(struct json_trail *trail, struct slice path[], unsigned depth, struct slice key);

/* A name for the place that is the same in every document; a hash stands for what is too long. */
void rddr_json_field(struct json_trail *trail, const struct slice path[], unsigned depth, char field[256]);

/* Writes a path as a JSON pointer (RFC 6901), shortened at its end when it is too long; "" is the document. */
void rddr_json_pointer(const struct slice path[], unsigned depth, char *buf, size_t size);

#endif
