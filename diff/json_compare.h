/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_compare.h - compares documents that were read, value by value, by the rules of the comparator they belong to.
 */
#ifndef RDDR_JSON_COMPARE_H
#define RDDR_JSON_COMPARE_H

#include "body_kinds.h"
#include "json_doc.h"

struct json_docs {
	unsigned n;
	uint32_t absent; /* a bit for each instance that has none */
	bool filter;	 /* 0 and 1 are there, and tell what is noise */
	struct json_doc doc[RDDR_MAX_INSTANCES];
	int error[RDDR_MAX_INSTANCES]; /* of reading them; all 0 here */
};

/* RDDR_AGREE, with what is noise noted in the comparator's unit, or RDDR_DIVERGE. */
enum rddr_verdict rddr_json_compare(struct body *b, struct json_docs *docs, struct body_result *result);

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
