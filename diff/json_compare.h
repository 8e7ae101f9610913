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

#endif
