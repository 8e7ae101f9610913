/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * span_find.c - finds where two texts differ.
 *
 * What they have in common at their beginnings and ends is cut off, back to whole words. What is left is taken apart
 * into words and single bytes, and compared by Myers' greedy algorithm ("An O(ND) Difference Algorithm and Its
 * Variations", 1986), whose cost grows with the number of differences; that number is bounded, and so are the words. Of
 * what both have between two differences, only what is no chance keeps them apart.
 */
#include <stdlib.h>

#include "noise.h"
#include "spans.h"

#define MOST_WORDS 16384
#define MOST_EDITS 128
/* A piece of text that both have is no chance from this length on; a shorter one needs a mark that no token has. */
#define CLEAR	     5
#define CLEAR_MARKED 3

struct words {
	struct span *list;
	size_t n;
};

/* A difference, in both texts. */
struct gap {
	size_t at[2], len[2];
};

struct gaps {
	struct slice text[2];
	size_t n;
	struct gap list[SPANS_MOST];
};

/* Letters of other scripts are several bytes past ASCII. */
static bool is_word(uint8_t c)
{
	return rddr_noise_is_word(c) || c >= 0x80;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* What stands between the fields of a number, a time, an address. */
static bool is_point(uint8_t c)
{
	return c == ':' || c == '.' || c == ',';
}

static bool is_clear(struct slice between)
{
	bool numeric = true, marked = false;

	for (size_t i = 0; i < between.len; i++) {
		uint8_t c = between.data[i];

		numeric &= is_digit(c) || is_point(c);
		marked |= !rddr_noise_is_token(c) && c < 0x80;
	}
	return !numeric && (between.len >= CLEAR || (marked && between.len >= CLEAR_MARKED));
}

/* Adds a difference behind the others, or makes it one with the last where nothing clear lies between. */
static void add(struct gaps *g, struct gap gap)
{
	struct gap *last = g->n ? &g->list[g->n - 1] : NULL;

	if (last) {
		size_t end = last->at[0] + last->len[0];

		if (g->n < SPANS_MOST && is_clear(slice_cut(g->text[0], end, gap.at[0] - end)))
			last = NULL;
	}
	if (!last) {
		g->list[g->n++] = gap;
		return;
	}
	for (int t = 0; t < 2; t++)
		last->len[t] = gap.at[t] + gap.len[t] - last->at[t];
}

/* ---- widening ---- */

/* The byte that lies i bytes before the difference, or behind it; both texts have it. */
static uint8_t beside(const struct gaps *g, const struct gap *gap, bool before, size_t i)
{
	return before ? g->text[0].data[gap->at[0] - 1 - i] : g->text[0].data[gap->at[0] + gap->len[0] + i];
}

/* Whether both have a digit where the difference begins, or ends. */
static bool digits_at_edge(const struct gaps *g, const struct gap *gap, bool before)
{
	for (int t = 0; t < 2; t++) {
		size_t at = before ? gap->at[t] : gap->at[t] + gap->len[t] - 1;

		if (gap->len[t] == 0 || !is_digit(g->text[t].data[at]))
			return false;
	}
	return true;
}

/* Whether both look like random text in letters of both cases and digits: base64, perhaps. */
static bool looks_random(const struct gaps *g, const struct gap *gap)
{
	for (int t = 0; t < 2; t++) {
		bool lower = false, upper = false, digit = false;

		for (size_t i = 0; i < gap->len[t]; i++) {
			uint8_t c = g->text[t].data[gap->at[t] + i];

			lower |= c >= 'a' && c <= 'z';
			upper |= c >= 'A' && c <= 'Z';
			digit |= is_digit(c);
		}
		if (!lower || !upper || !digit || gap->len[t] < 8)
			return false;
	}
	return true;
}

/* How far to widen on one side, to a whole word or by a field of a number; room bytes are there. */
static size_t widening(const struct gaps *g, const struct gap *gap, bool before, size_t room)
{
	size_t i = 0;

	while (i < room && is_word(beside(g, gap, before, i)))
		i++;
	if (i == 0 && room >= 2 && digits_at_edge(g, gap, before) && is_point(beside(g, gap, before, 0)) &&
	    is_digit(beside(g, gap, before, 1)))
		return 2;
	return i;
}

/* Of random text two tokens may have a mark of base64 in the same place, and at most a letter past it. */
static size_t random_edge(const struct gaps *g, const struct gap *gap, bool before, size_t room)
{
	uint8_t mark = room ? beside(g, gap, before, 0) : 0;
	size_t i = 1;

	if ((mark != '+' && mark != '/') || !looks_random(g, gap))
		return 0;
	while (i < room && is_word(beside(g, gap, before, i)))
		i++;
	return i == 2 ? 2 : 1;
}

static bool is_hex(uint8_t c)
{
	return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* A percent escape is not taken apart: its digits look like the beginning of the word behind it. */
static bool splits_escape(const struct gaps *g, const struct gap *gap, size_t room)
{
	if (room == 0 || beside(g, gap, true, 0) != '%')
		return false;
	for (int t = 0; t < 2; t++) {
		const uint8_t *at = g->text[t].data + gap->at[t];

		if (gap->len[t] < 2 || !is_hex(at[0]) || !is_hex(at[1]))
			return false;
	}
	return true;
}

static void grow(struct gap *gap, bool before, size_t by)
{
	for (int t = 0; t < 2; t++) {
		gap->at[t] -= before ? by : 0;
		gap->len[t] += by;
	}
}

static size_t room_beside(const struct gaps *g, size_t k, bool before)
{
	const struct gap *gap = &g->list[k];
	size_t end = gap->at[0] + gap->len[0];

	if (before)
		return gap->at[0] - (k ? gap[-1].at[0] + gap[-1].len[0] : 0);
	return (k + 1 < g->n ? gap[1].at[0] : g->text[0].len) - end;
}

static void widen(struct gaps *g)
{
	for (size_t k = 0; k < 2 * g->n; k++) {
		struct gap *gap = &g->list[k / 2];
		bool before = k % 2 == 0;
		size_t by;

		while ((by = widening(g, gap, before, room_beside(g, k / 2, before))) > 0)
			grow(gap, before, by);
		if (before && splits_escape(g, gap, room_beside(g, k / 2, before)))
			grow(gap, before, 1);
		grow(gap, before, random_edge(g, gap, before, room_beside(g, k / 2, before)));
	}
}

/* ---- words ---- */

static int take_apart(struct slice text, size_t from, size_t to, struct words *words)
{
	size_t room = to - from < MOST_WORDS ? to - from : MOST_WORDS;

	words->n = 0;
	words->list = malloc((room + 1) * sizeof(*words->list));
	if (!words->list)
		return -1;
	while (from < to) {
		size_t end = from + 1;

		if (words->n == room)
			return -1;
		while (is_word(text.data[from]) && end < to && is_word(text.data[end]))
			end++;
		words->list[words->n++] = (struct span){.at = from, .len = end - from};
		from = end;
	}
	return 0;
}

static bool same_word(const struct gaps *g, const struct words words[2], size_t x, size_t y)
{
	const struct span *a = &words[0].list[x], *b = &words[1].list[y];

	return slice_equal(slice_cut(g->text[0], a->at, a->len), slice_cut(g->text[1], b->at, b->len));
}

/* Where on diagonal k the path of d edits ends: how many words of the first text are behind it. */
static int *path_end(int *ends, int d, int k)
{
	return &ends[(size_t)d * (size_t)(d + 1) / 2 + (size_t)((k + d) / 2)];
}

/* Whether the path of d edits on diagonal k comes from the diagonal above: a word of the second text was put in. */
static bool from_above(int *ends, int d, int k)
{
	return k == -d || (k != d && *path_end(ends, d - 1, k - 1) < *path_end(ends, d - 1, k + 1));
}

/* Returns how many edits lead from one to the other, -1 when they are too many. */
static int walk_paths(const struct gaps *g, const struct words words[2], int *ends)
{
	int na = (int)words[0].n, nb = (int)words[1].n;

	for (int d = 0; d <= MOST_EDITS; d++) {
		for (int k = -d; k <= d; k += 2) {
			int x = 0, y;

			if (d > 0)
				x = from_above(ends, d, k) ? *path_end(ends, d - 1, k + 1)
							   : *path_end(ends, d - 1, k - 1) + 1;
			y = x - k;
			while (x < na && y < nb && y >= 0 && same_word(g, words, (size_t)x, (size_t)y)) {
				x++;
				y++;
			}
			*path_end(ends, d, k) = x;
			if (k == na - nb && x >= na)
				return d;
		}
	}
	return -1;
}

/* The byte at which word i begins; past the last one, where the words end. */
static size_t byte_of(const struct words *words, int i)
{
	const struct span *last;

	if (i < (int)words->n)
		return words->list[i].at;
	last = &words->list[words->n - 1];
	return last->at + last->len;
}

/* Goes back over the path and marks each edit; then adds them from the front. */
static void retrace(struct gaps *g, const struct words words[2], int *ends, int edits)
{
	int x = (int)words[0].n, y = (int)words[1].n;
	struct gap list[MOST_EDITS];

	for (int d = edits; d > 0; d--) {
		bool above = from_above(ends, d, x - y);
		int k = above ? x - y + 1 : x - y - 1, to_x, to_y;

		x = *path_end(ends, d - 1, k);
		y = x - k;
		to_x = x + !above;
		to_y = y + above;
		list[d - 1].at[0] = byte_of(&words[0], x);
		list[d - 1].at[1] = byte_of(&words[1], y);
		list[d - 1].len[0] = byte_of(&words[0], to_x) - list[d - 1].at[0];
		list[d - 1].len[1] = byte_of(&words[1], to_y) - list[d - 1].at[1];
	}
	for (int d = 0; d < edits; d++)
		add(g, list[d]);
}

/* False: there is no telling, at least not at a bounded cost. */
static bool find_within(struct gaps *g, const struct gap *all)
{
	struct words words[2] = {{0}, {0}};
	int *ends = NULL, edits = -1;

	if (all->len[0] > 0 && all->len[1] > 0 &&
	    take_apart(g->text[0], all->at[0], all->at[0] + all->len[0], &words[0]) == 0 &&
	    take_apart(g->text[1], all->at[1], all->at[1] + all->len[1], &words[1]) == 0)
		ends = malloc((MOST_EDITS + 1) * (MOST_EDITS + 2) / 2 * sizeof(*ends));
	if (ends)
		edits = walk_paths(g, words, ends);
	if (edits > 0)
		retrace(g, words, ends, edits);
	free(ends);
	free(words[0].list);
	free(words[1].list);
	return edits > 0;
}

/* Everything between what both begin and end with, in whole words. */
static struct gap around(struct slice a, struct slice b)
{
	size_t shorter = a.len < b.len ? a.len : b.len, head = rddr_noise_alike(a.data, b.data, shorter), tail = 0;

	while (head > 0 && is_word(a.data[head - 1]))
		head--;
	while (tail < shorter - head && a.data[a.len - 1 - tail] == b.data[b.len - 1 - tail])
		tail++;
	while (tail > 0 && is_word(a.data[a.len - tail]))
		tail--;
	return (struct gap){.at = {head, head}, .len = {a.len - tail - head, b.len - tail - head}};
}

size_t rddr_spans_find(struct slice a, struct slice b, struct span in_a[], struct span in_b[])
{
	struct gaps g = {.text = {a, b}}, merged = {.text = {a, b}};
	struct gap all;

	if (slice_equal(a, b))
		return 0;
	all = around(a, b);
	if (!find_within(&g, &all)) {
		g.n = 0;
		add(&g, all);
	}
	widen(&g);
	for (size_t k = 0; k < g.n; k++)
		add(&merged, g.list[k]);
	for (size_t k = 0; k < merged.n; k++) {
		in_a[k] = (struct span){.at = merged.list[k].at[0], .len = merged.list[k].len[0]};
		in_b[k] = (struct span){.at = merged.list[k].at[1], .len = merged.list[k].len[1]};
	}
	return merged.n;
}
