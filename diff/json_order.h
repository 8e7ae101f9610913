/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_order.h - puts the items of an array that may come in any order into one that is the same in every document.
 */
#ifndef RDDR_JSON_ORDER_H
#define RDDR_JSON_ORDER_H

#include "json_doc.h"
#include "rules.h"

/* What leads to the array. What is in it has its place in path behind that, while it is looked at. */
struct json_order {
	const struct rules *rules;
	struct slice *path; /* JSON_DEPTH of them */
	unsigned depth;
};

/*
 * Values that are to be compared come to the same places in each document; those that rules take out of comparison
 * decide nothing. -ENOMEM.
 */
int rddr_json_sort_items(struct json_doc *doc, uint32_t array, struct json_order *way);

#endif
