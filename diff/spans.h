/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spans.h - noise within a text whose length may vary: a line, a header's value, a string.
 *
 * Where the pair's texts differ are spans; what lies between them, the skeleton, all have in common. A span is a whole
 * word, or more: words between which there is nothing that is clearly the same text belong to one span, and a number is
 * taken with the fields that belong to it (10:00:59 and 10:01:00 differ in one place). What another instance has in a
 * span must have the class of bytes (noise.h) and about the length that the pair shows there: the pair's own range,
 * widened by three and by the range once more, or an eighth of the longer. "%2F" and "&#x2F;" count as what they stand
 * for.
 */
#ifndef RDDR_SPANS_H
#define RDDR_SPANS_H

#include "rddr_diff.h"
#include "slice.h"

/* More spans than that are taken together. */
#define SPANS_MOST 32

enum spans_verdict {
	SPANS_SAME,   /* all have the same text */
	SPANS_NOISE,  /* the pair differs, and the others have what may be there */
	SPANS_CHANCE, /* others differ where the pair agrees, in a way that fits if these spans are noise. Whether they
			 are is the caller's to know, perhaps by the skeleton's hash; if they are not, it is a
			 difference */
	SPANS_DIFFER,
};

struct span {
	size_t at, len; /* in the first text */
};

struct spans_result {
	size_t n; /* spans; 0 unless NOISE or CHANCE */
	struct span spans[SPANS_MOST];
	struct slice values[SPANS_MOST][RDDR_MAX_INSTANCES]; /* what each has there; within the texts */
	/* With CHANCE and DIFFER, as in struct rddr_finding; offset is within the instance's text. */
	unsigned instance, other;
	size_t offset;
	char why[160];
};

/*
 * Compares n texts. absent has a bit for each instance that is passed over. filter: 0 and 1, both present, are the
 * filter pair.
 */
enum spans_verdict rddr_spans_compare(const struct slice texts[], unsigned n, uint32_t absent, bool filter,
				      struct spans_result *out);

/*
 * What another may have where the pair has a and b: whether c has their class and about their length. Where not, why (a
 * constant text) says what is wrong, if it is not NULL.
 */
bool rddr_spans_fit(struct slice a, struct slice b, struct slice c, const char **why);

/* Finds where a and b differ, at most SPANS_MOST spans; theirs in a and in b. Returns how many; 0: they are equal. */
size_t rddr_spans_find(struct slice a, struct slice b, struct span in_a[], struct span in_b[]);

/*
 * The hash of what lies between the spans that were found in first, the text of the lowest instance that is present; it
 * goes on from before: rddr_spans_seed(), or the hash of what comes before the text.
 */
uint64_t rddr_spans_skeleton(struct slice first, const struct spans_result *r, uint64_t before);

/* FNV-1a, 64 bits: where a hash begins, and how it goes on. */
uint64_t rddr_spans_seed(void);
uint64_t rddr_spans_hash(uint64_t hash, struct slice text);

/* A text for people: quoted, shortened to about 50 bytes, what is not printable as \xNN. Returns buf. */
#define SPANS_SHOWN 72
char *rddr_spans_show(struct slice text, char buf[SPANS_SHOWN]);

#endif
