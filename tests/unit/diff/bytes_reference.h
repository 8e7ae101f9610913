/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes_reference.h - what diff-class bytes has to come to, computed the simple way from whole streams.
 *
 * Nothing here streams, is fast, or shares code with the plugin; the unit test and the fuzzer hold the plugin to it.
 */
#ifndef RDDR_TEST_BYTES_REFERENCE_H
#define RDDR_TEST_BYTES_REFERENCE_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "noise_budget.h"
#include "rddr_diff.h"

struct reference {
	bool diverges;
	size_t from, to; /* where: the finding's place is from these, both included */
	size_t released; /* when it does not diverge */
};

struct reference_input {
	unsigned n;
	bool filter;
	const uint8_t *data[RDDR_MAX_INSTANCES];
	size_t len[RDDR_MAX_INSTANCES];
	enum rddr_end_state end[RDDR_MAX_INSTANCES];
	struct noise_budget budget;
};

static inline bool reference_in(uint8_t c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

#define REFERENCE_DIGITS "0123456789"
#define REFERENCE_LOWER	 "abcdefghijklmnopqrstuvwxyz"
#define REFERENCE_UPPER	 "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define REFERENCE_ALNUM	 REFERENCE_DIGITS REFERENCE_LOWER REFERENCE_UPPER
#define REFERENCE_WORD	 REFERENCE_ALNUM "-_"
#define REFERENCE_TOKEN	 REFERENCE_WORD "+/=.~%"

/* Whether position p hangs together with p - 1. */
static inline bool reference_joined(const uint8_t *a, const uint8_t *b, size_t p)
{
	bool differs[2], token[2], word[2];

	for (size_t i = 0; i < 2; i++) {
		uint8_t x = a[p - 1 + i], y = b[p - 1 + i];

		differs[i] = x != y;
		token[i] = reference_in(x, REFERENCE_TOKEN) && reference_in(y, REFERENCE_TOKEN);
		word[i] = x == y && reference_in(x, REFERENCE_WORD);
	}
	if (differs[0] && differs[1])
		return true;
	if (differs[0])
		return token[0] && word[1];
	if (differs[1])
		return token[1] && word[0];
	return word[0] && word[1];
}

/* The bytes that others may have in [from, to), as a string; NULL: any. */
static inline const char *reference_class(const uint8_t *a, const uint8_t *b, size_t from, size_t to)
{
	bool lower = false, upper = false, letters = false, other = false, graphic = false, joined = false;
	static char printable[96];

	for (int c = ' '; c <= '~'; c++)
		printable[c - ' '] = (char)c;
	for (size_t p = from; p < to; p++) {
		for (int i = 0; i < 2; i++) {
			uint8_t c = i ? b[p] : a[p];

			if (c < ' ' || c > '~')
				return NULL;
			lower |= reference_in(c, REFERENCE_LOWER);
			upper |= reference_in(c, REFERENCE_UPPER);
			letters |= reference_in(c, "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ");
			graphic |= !reference_in(c, REFERENCE_TOKEN);
			if (a[p] == b[p] && reference_in(c, "-_"))
				joined = true;
			else
				other |= !reference_in(c, REFERENCE_ALNUM);
		}
	}
	if (graphic)
		return printable;
	if (other || (lower && upper) || (letters && joined))
		return REFERENCE_TOKEN;
	if (letters)
		return REFERENCE_ALNUM;
	if (lower)
		return REFERENCE_DIGITS "abcdef";
	return upper ? REFERENCE_DIGITS "ABCDEF" : REFERENCE_DIGITS;
}

/* Whether the others' bytes at p can be noise, in a span of that class. */
static inline bool reference_fits(const struct reference_input *in, size_t p, const char *class)
{
	uint8_t a = in->data[0][p], b = in->data[1][p];

	for (unsigned i = 2; i < in->n; i++) {
		uint8_t c = in->data[i][p];

		if (in->end[i] == RDDR_END_ABSENT || c == a || c == b)
			continue;
		if (a == b && !(reference_in(a, REFERENCE_WORD) && reference_in(c, REFERENCE_TOKEN)))
			return false;
		if (class && !reference_in(c, class))
			return false;
	}
	return true;
}

static inline bool reference_same(const struct reference_input *in, size_t p)
{
	int first = -1;

	for (unsigned i = 0; i < in->n; i++) {
		if (in->end[i] == RDDR_END_ABSENT)
			continue;
		if (first < 0)
			first = in->data[i][p];
		if (in->data[i][p] != first)
			return false;
	}
	return true;
}

struct reference_run {
	size_t from, to; /* of the last run */
	size_t noise;
};

/* The span [from, to) of the pair. True: goes on behind it. */
static inline bool reference_span(const struct reference_input *in, size_t from, size_t to, bool complete,
				  struct reference_run *run, struct reference *out)
{
	const uint8_t *a = in->data[0], *b = in->data[1];
	size_t begin = from, stop, doubtful, start, base;
	bool noisy = false, decided = complete;
	const char *class;

	while (begin < to && reference_same(in, begin))
		begin++;
	if (begin == to)
		return true;
	for (stop = begin; stop < to; stop++) {
		/* With a class of any bytes, only what no class helps is refused. */
		if (!reference_fits(in, stop, NULL)) {
			stop++;
			decided = true;
			break;
		}
	}
	for (size_t p = from; p < stop; p++)
		noisy |= a[p] != b[p];
	class = reference_class(a, b, from, stop);
	doubtful = begin;
	while (noisy && doubtful < stop && reference_fits(in, doubtful, class))
		doubtful++;

	/* What goes past the budget diverges at the latest there; where exactly hangs on how it came. */
	start = run->to == begin ? run->from : begin;
	base = start > RDDR_NOISE_BUDGET_FLOOR ? start : RDDR_NOISE_BUDGET_FLOOR;
	out->from = out->to = doubtful;
	if (stop - start > in->budget.run || run->noise + (stop - begin) > base * in->budget.share / 100)
		out->from = begin;
	if (doubtful < stop && decided) {
		out->diverges = true;
		return false;
	}
	if (doubtful < stop) {
		/* Waits for more, unless no more can help. */
		out->diverges = stop - doubtful > in->budget.run;
		if (doubtful - start > in->budget.run ||
		    run->noise + (doubtful - begin) > base * in->budget.share / 100)
			out->diverges = doubtful > begin || out->diverges;
		out->released = doubtful;
		return false;
	}
	if (stop - start > in->budget.run || run->noise + (stop - begin) > base * in->budget.share / 100) {
		out->diverges = true;
		return false;
	}
	run->from = start;
	run->to = stop;
	run->noise += stop - begin;
	return true;
}

static inline struct reference reference_bytes(const struct reference_input *in)
{
	struct reference out = {0};
	struct reference_run run = {0};
	bool ended = false, more = false, open = false, filter, anybody = false;
	size_t len = SIZE_MAX;

	for (unsigned i = 0; i < in->n; i++) {
		if (in->end[i] == RDDR_END_ABSENT)
			continue;
		anybody = true;
		if (in->len[i] < len)
			len = in->len[i];
	}
	if (!anybody)
		return out;
	for (unsigned i = 0; i < in->n; i++) {
		if (in->end[i] == RDDR_END_ABSENT)
			continue;
		ended |= in->len[i] == len && in->end[i] != RDDR_END_OPEN;
		open |= in->len[i] == len && in->end[i] == RDDR_END_OPEN;
		more |= in->len[i] > len;
	}
	filter = in->filter && in->end[0] != RDDR_END_ABSENT && in->end[1] != RDDR_END_ABSENT;
	for (size_t p = 0, to; p < len; p = to) {
		to = p + 1;
		if (!filter) {
			if (reference_same(in, p))
				continue;
			out.diverges = true;
			out.from = out.to = p;
			return out;
		}
		while (to < len && reference_joined(in->data[0], in->data[1], to))
			to++;
		if (!reference_span(in, p, to, to < len || ended, &run, &out))
			return out;
	}
	out.diverges = ended && more && !open;
	out.from = out.to = len;
	out.released = in->end[0] == RDDR_END_ABSENT ? 0 : len;
	return out;
}

#endif
