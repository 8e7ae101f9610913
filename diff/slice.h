/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * slice.h - a stretch of somebody else's bytes.
 *
 * A slice owns nothing and is not terminated; whoever hands one out says how long it is valid. data may be NULL where
 * len is 0.
 */
#ifndef RDDR_SLICE_H
#define RDDR_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

struct slice {
	const uint8_t *data;
	size_t len; /* bytes */
};

static inline struct slice slice_of(const char *text)
{
	return (struct slice){.data = (const uint8_t *)text, .len = strlen(text)};
}

/* What lies from from on, at most len bytes of it; from is at most s.len. */
static inline struct slice slice_cut(struct slice s, size_t from, size_t len)
{
	size_t rest = s.len - from;

	return (struct slice){.data = rest ? s.data + from : NULL, .len = len < rest ? len : rest};
}

static inline bool slice_equal(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || a.data == b.data || memcmp(a.data, b.data, a.len) == 0);
}

/* ASCII letters without their case. */
static inline bool slice_equal_nocase(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.len) == 0);
}

/* The bytes' order, a prefix before what it begins. */
static inline int slice_order(struct slice a, struct slice b)
{
	size_t shorter = a.len < b.len ? a.len : b.len;
	int order = shorter ? memcmp(a.data, b.data, shorter) : 0;

	if (order != 0)
		return order;
	return a.len < b.len ? -1 : a.len > b.len;
}

#endif
