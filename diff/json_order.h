/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_order.h - puts the items of an array that may come in any order into one that is the same in every document.
 */
#ifndef RDDR_JSON_ORDER_H
#define RDDR_JSON_ORDER_H

#include "json_doc.h"
#include "json_keys.h"

/*
 * Values that are to be compared come to the same places in each of n documents; absent has a bit for each that is
 * none. All arrays have as many items. Those that rules take out of comparison decide nothing. keys: what the items are
 * told apart by; NULL: all of their values, as they are. -ENOMEM.
 *
 * With keys, each document's part of sure, as long as the arrays, says of the item in each place by what it is known: a
 * hash of its keys, or 0 where another in its document has the same. NULL without.
 */
int rddr_json_sort_items(struct json_doc docs[], const uint32_t arrays[], unsigned n, uint32_t absent,
			 struct json_way *way, const struct json_keys *keys, uint64_t sure[]);

#endif
