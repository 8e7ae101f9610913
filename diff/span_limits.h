/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * span_limits.h - what another instance may have where the pair has two values: their class, and about their length.
 */
#ifndef RDDR_SPAN_LIMITS_H
#define RDDR_SPAN_LIMITS_H

#include "noise.h"
#include "slice.h"

struct span_limits {
	enum noise_class class;
	uint64_t also[4];   /* a bit for each byte that is allowed besides the class */
	size_t least, most; /* characters; an escape counts as one */
};

/* Equal values are taken as one piece of evidence, not two. */
void rddr_span_limits_set(struct span_limits *limits, struct slice a, struct slice b);

/* How far a value was looked at that begins in a text and may end in several places. */
struct span_walk {
	struct slice text; /* in which nothing reaches behind its end */
	size_t at;	   /* of the first character that was not looked at; at first: where the value begins */
	size_t length;	   /* characters before it */
};

/*
 * Whether the value may end at to, or behind it; to never goes down. missing: how many characters a value that ends
 * there has too few, 0: it fits. False: no value that reaches so far fits, and why says why not. Each character is
 * looked at once.
 */
bool rddr_span_walk_to(struct span_walk *walk, const struct span_limits *limits, size_t to, size_t *missing,
		       const char **why);

/* Where not, why is a constant text that says what is wrong. */
bool rddr_span_limits_hold(const struct span_limits *limits, struct slice value, const char **why);

#endif
