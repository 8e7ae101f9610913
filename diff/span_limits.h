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
	size_t most_bytes;  /* no value that fits is longer */
};

/* Equal values are taken as one piece of evidence, not two. */
void rddr_span_limits_set(struct span_limits *limits, struct slice a, struct slice b);

/* Where not, why is a constant text that says what is wrong. */
bool rddr_span_limits_hold(const struct span_limits *limits, struct slice value, const char **why);

#endif
