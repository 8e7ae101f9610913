// SPDX-License-Identifier: BSD-2-Clause
#include <stdio.h>
#include <string.h>

#include "config_read.h"

#define LONGEST 32

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

/* Case, and the kind of dash, cost nothing: they are what people get wrong most. */
static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return c == '_' || c == ' ' ? '-' : c;
}

/* Levenshtein's distance; two letters that changed places count as one step. */
static unsigned distance(const char *a, const char *b)
{
	unsigned rows[3][LONGEST + 1];
	unsigned *before = rows[0], *last = rows[1], *row = rows[2];
	size_t n = strlen(a), m = strlen(b);

	if (n > LONGEST || m > LONGEST)
		return LONGEST;
	memset(rows, 0, sizeof(rows));
	for (size_t j = 0; j <= m; j++)
		last[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *free_row = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned change = last[j - 1] + (fold(a[i - 1]) != fold(b[j - 1]));

			row[j] = min3(last[j] + 1, row[j - 1] + 1, change);
			if (i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) && fold(a[i - 2]) == fold(b[j - 1]) &&
			    before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = last;
		last = row;
		row = free_row;
	}
	return last[m];
}

const char *rddr_config_suggest(const char *text, const char *(*word)(const void *ctx, size_t i), const void *ctx,
				size_t n, char *buf, size_t size)
{
	unsigned best = LONGEST;
	const char *closest = NULL;

	for (size_t i = 0; i < n; i++) {
		unsigned steps = distance(text, word(ctx, i));

		if (steps < best) {
			best = steps;
			closest = word(ctx, i);
		}
	}
	*buf = '\0';
	if (closest && best <= 1 + strlen(closest) / 4 && best < strlen(closest))
		snprintf(buf, size, " (did you mean %s?)", closest);
	return buf;
}
