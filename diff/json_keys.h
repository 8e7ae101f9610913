/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_keys.h - what tells the items of an array in any order apart, where a pair of documents shows what is noise.
 *
 * A value that both documents of the pair have in a field, in whatever items, may tell which items belong together; one
 * that only one of them has is noise, or is a difference, and does not. Fields are told apart by their path within the
 * item; the items of an array within it are one field.
 */
#ifndef RDDR_JSON_KEYS_H
#define RDDR_JSON_KEYS_H

#include "body.h"
#include "json_doc.h"
#include "json_path.h"
#include "rules.h"

/* What leads to the array. What is in it has its place in path behind that, while it is looked at. */
struct json_way {
	const struct rules *rules;
	struct slice *path; /* JSON_DEPTH of them */
	struct json_trail *trail;
	unsigned depth;
};

struct json_keys; /* opaque */

/*
 * Looks at what the arrays of the pair hold. host tells which fields were noise: those count for less. 0 or -ENOMEM;
 * then *out is left alone.
 */
int rddr_json_keys_new(const struct json_doc pair[2], const uint32_t arrays[2], struct json_way *way,
		       const struct body_host *host, void *ctx, struct json_keys **out);

/* Takes NULL, and nulls the pointer. */
void rddr_json_keys_free(struct json_keys **keys);

/*
 * Fills in, for each node that lies in the array, what its value is worth: 0, nothing; else a number that is the same
 * for the same value of the same field in each document, lower the more its field tells. of[0] is the array's own.
 */
void rddr_json_keys_fill(const struct json_keys *keys, const struct json_doc *doc, uint32_t array, struct json_way *way,
			 uint64_t of[]);

#endif
