/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_doc.h - a JSON document as it was written (RFC 8259).
 *
 * json-c reads JSON elsewhere in RDDR, but not here: it keeps of a key that comes twice the last value alone, of an
 * object's keys no order, and turns numbers into doubles; a comparison has to see all three. This is as strict as the
 * RFC: one value with white space around it (section 2), no comments, no trailing commas, no leading zeros (6), no
 * control characters in strings (7), UTF-8 (8.1). An escaped surrogate without its other half is let pass (8.2) and
 * differs from everything else.
 */
#ifndef RDDR_JSON_DOC_H
#define RDDR_JSON_DOC_H

#include "slice.h"

#define JSON_DEPTH 128 /* arrays and objects within each other */

enum json_kind { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT, JSON_TYPES };

/* No node: there are no more. The document's own is 0. */
#define JSON_NONE UINT32_MAX

/* A text: of the document, or, from the document's length on, of what was unescaped. */
struct json_text {
	uint32_t at, len;
};

struct json_node {
	struct json_text key;  /* in an object; unescaped */
	struct json_text text; /* of a string, unescaped; of anything else as it was written */
	uint32_t at, len;      /* as it was written */
	uint32_t key_at;       /* where the key was written, behind its quote */
	uint32_t child, next;  /* the first in it; the one behind it */
	uint32_t count;	       /* of what is in it */
	enum json_kind type;
};

struct json_doc {
	struct slice text;
	struct json_node *nodes;
	uint32_t n, room, most;
	uint8_t *unescaped; /* text.len bytes, when there is an escape */
	uint32_t unescaped_len;
	/* When it is none. */
	size_t at; /* where in the text */
	const char *why;
};

/*
 * Reads text, which stays the caller's and has to stay. most: nodes at most. 0; -EINVAL: it is no JSON, doc->at and
 * doc->why say where and why; -E2BIG: it has too many values or is too deep, or longer than 1 GiB; -ENOMEM. In each
 * case it is to be freed.
 */
int rddr_json_read(struct slice text, uint32_t most, struct json_doc *doc);
void rddr_json_free(struct json_doc *doc);

struct slice rddr_json_text(const struct json_doc *doc, struct json_text text);

/* A member's key as it was written, without its quotes. */
struct slice rddr_json_key_written(const struct json_doc *doc, uint32_t member);

/* The value of four hexadecimal digits; -1: they are not there. */
int rddr_json_hex4(struct slice text, size_t at);

/* Puts the keys of an object in order; those that come twice stay in theirs. -ENOMEM. */
int rddr_json_sort_keys(struct json_doc *doc, uint32_t object);

/*
 * Whether two numbers, as written, are the same: in their value, exactly and without any rounding, and in the sign of a
 * zero. Exponents too large to count with are compared as written.
 */
bool rddr_json_same_number(struct slice a, struct slice b);

/*
 * An order of numbers in which those that are the same are equal, and nothing more: it is not that of their values.
 */
int rddr_json_order_numbers(struct slice a, struct slice b);

/* "an object", ... */
const char *rddr_json_type_name(enum json_kind type);

#endif
