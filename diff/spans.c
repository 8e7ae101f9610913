/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spans.c - comparing texts but for their noise.
 *
 * The skeleton is laid over each text in turn: it begins and ends as the first one does, and has the pieces between the
 * spans in their order. Everything is linear in the length of the texts, but for the search for spans (span_find.c).
 */
#include "spans.h"

#include <stdio.h>

#include "noise.h"
#include "span_limits.h"

/* Where a value could end, of places with escapes in front; and what is compared there, in bytes, after the first. */
#define MOST_PLACES 256
#define MOST_BYTES  ((size_t)64 << 10)

/* The spans of one skeleton, and what may be in them. */
struct skeleton {
	struct slice text; /* the first text */
	const struct span *spans;
	size_t n;
};

/* Where a text does not fit. */
struct misfit {
	size_t offset;
	const char *why;
};

static const char outside[] = "differs outside the pair's noise";

char *rddr_spans_show(struct slice text, char buf[SPANS_SHOWN])
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0, i = 0;

	buf[at++] = '"';
	for (; i < text.len && at < SPANS_SHOWN - 12; i++) {
		uint8_t c = text.data[i];

		if (c >= ' ' && c <= '~') {
			buf[at++] = (char)c;
			continue;
		}
		buf[at++] = '\\';
		buf[at++] = 'x';
		buf[at++] = hex[c >> 4];
		buf[at++] = hex[c & 15];
	}
	buf[at++] = '"';
	memcpy(buf + at, i < text.len ? "..." : "", i < text.len ? 4 : 1);
	return buf;
}

/* What lies before span k, behind the one before it; k may be n: what lies behind the last. */
static struct slice piece(const struct skeleton *s, size_t k)
{
	size_t from = k ? s->spans[k - 1].at + s->spans[k - 1].len : 0;
	size_t to = k < s->n ? s->spans[k].at : s->text.len;

	return slice_cut(s->text, from, to - from);
}

static bool equal_at(struct slice text, size_t at, struct slice part)
{
	return at + part.len <= text.len && slice_equal(slice_cut(text, at, part.len), part);
}

/*
 * Finds where the value that begins at from ends: where the piece behind it is, so that the value fits. limits: NULL
 * takes any value. Nothing is looked for where the value would be too short, and only so often: what the texts say
 * must not decide how much work they are.
 */
static bool find_end(struct slice text, size_t from, size_t until, struct slice behind,
		     const struct span_limits *limits, size_t *end, const char **why)
{
	struct span_walk walk = {.text = slice_cut(text, 0, until), .at = from};
	size_t at = from + (limits ? limits->least : 0);

	*why = outside;
	for (size_t tries = 0; tries < MOST_PLACES && tries * behind.len <= MOST_BYTES && at + behind.len <= until;
	     tries++) {
		const uint8_t *found = memmem(text.data + at, until - at, behind.data, behind.len);
		size_t missing = 0;

		if (!found)
			return false;
		at = (size_t)(found - text.data);
		if (limits && !rddr_span_walk_to(&walk, limits, at, &missing, why))
			return false;
		if (!missing) {
			*end = at;
			return true;
		}
		at += missing;
	}
	return false;
}

/* Lays the skeleton over a text. False: it does not fit. */
static bool lay(const struct skeleton *s, const struct span_limits limits[], struct slice text, struct slice values[],
		struct misfit *misfit)
{
	struct slice head = piece(s, 0), tail = piece(s, s->n);
	size_t at = head.len, until = text.len - tail.len;

	*misfit = (struct misfit){.why = outside};
	if (!equal_at(text, 0, head)) {
		size_t shorter = text.len < head.len ? text.len : head.len;

		misfit->offset = rddr_noise_alike(text.data, head.data, shorter);
		return false;
	}
	if (s->n == 0) {
		misfit->offset = head.len;
		return text.len == head.len;
	}
	misfit->offset = at;
	if (text.len < head.len + tail.len || !equal_at(text, until, tail))
		return false;
	for (size_t k = 0; k < s->n; k++) {
		size_t end = until;

		misfit->offset = at;
		if (k + 1 < s->n &&
		    !find_end(text, at, until, piece(s, k + 1), limits ? &limits[k] : NULL, &end, &misfit->why))
			return false;
		values[k] = slice_cut(text, at, end - at);
		if (limits && !rddr_span_limits_hold(&limits[k], values[k], &misfit->why))
			return false;
		at = end + piece(s, k + 1).len;
	}
	return true;
}

uint64_t rddr_spans_seed(void)
{
	return UINT64_C(0xcbf29ce484222325);
}

uint64_t rddr_spans_hash(uint64_t hash, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		hash = (hash ^ text.data[i]) * UINT64_C(0x100000001b3);
	return hash;
}

/* Bytes that no text in UTF-8 has stand for each span. */
uint64_t rddr_spans_skeleton(struct slice first, const struct spans_result *r, uint64_t before)
{
	const struct skeleton s = {.text = first, .spans = r->spans, .n = r->n};
	static const uint8_t mark[] = {0xff, 0x00, 0xff};

	for (size_t k = 0; k <= s.n; k++) {
		before = rddr_spans_hash(before, piece(&s, k));
		if (k < s.n)
			before = rddr_spans_hash(before, (struct slice){mark, sizeof(mark)});
	}
	return before;
}

static bool is_absent(uint32_t absent, unsigned i)
{
	return absent >> i & 1;
}

/*
 * False: all texts are the same. Else other is the first that has the most common one (the lowest instance's among
 * equals), and who the first that has not.
 */
static bool take_sides(const struct slice texts[], unsigned n, uint32_t absent, unsigned *who, unsigned *other)
{
	unsigned first = 0, odd, most = 0;

	while (first < n && is_absent(absent, first))
		first++;
	for (odd = first; odd < n && (is_absent(absent, odd) || slice_equal(texts[odd], texts[first])); odd++)
		continue;
	if (odd >= n)
		return false;
	*other = first;
	for (unsigned i = first; i < n; i++) {
		unsigned votes = 0;

		for (unsigned k = first; k < n && !is_absent(absent, i); k++)
			votes += !is_absent(absent, k) && slice_equal(texts[k], texts[i]);
		if (votes > most) {
			most = votes;
			*other = i;
		}
	}
	*who = slice_equal(texts[first], texts[*other]) ? odd : first;
	return true;
}

static enum spans_verdict compare_plain(const struct slice texts[], unsigned n, uint32_t absent,
					struct spans_result *out)
{
	char here[SPANS_SHOWN], there[SPANS_SHOWN];
	unsigned i, k;

	if (!take_sides(texts, n, absent, &i, &k))
		return SPANS_SAME;
	out->instance = i;
	out->other = k;
	out->offset = rddr_noise_alike(texts[i].data, texts[k].data,
				       texts[i].len < texts[k].len ? texts[i].len : texts[k].len);
	/* A little of what comes before shows where it is. */
	size_t from = out->offset > 10 ? out->offset - 10 : 0;
	snprintf(out->why, sizeof(out->why), "%s, where %s was expected",
		 rddr_spans_show(slice_cut(texts[i], from, SIZE_MAX), here),
		 rddr_spans_show(slice_cut(texts[k], from, SIZE_MAX), there));
	return SPANS_DIFFER;
}

/* Puts what only some of the texts show to the spans that there are; both are in order. */
static size_t unite(struct span spans[], size_t n, const struct span more[], size_t m)
{
	struct span all[2 * SPANS_MOST];
	size_t i = 0, j = 0, k = 0, total = 0;

	while (i < n || j < m) {
		bool mine = j == m || (i < n && spans[i].at <= more[j].at);

		all[total++] = mine ? spans[i++] : more[j++];
	}
	for (size_t next = 0; next < total; next++) {
		size_t end = all[next].at + all[next].len;
		struct span *last = k ? &spans[k - 1] : NULL;

		if (last && (all[next].at <= last->at + last->len || k == SPANS_MOST))
			last->len = end > last->at + last->len ? end - last->at : last->len;
		else
			spans[k++] = all[next];
	}
	return k;
}

static void copy_values(struct spans_result *out, unsigned to, unsigned from)
{
	for (size_t k = 0; k < out->n; k++)
		out->values[k][to] = out->values[k][from];
}

/* Lays the skeleton over the others; the pair's values say what they may have. Returns the first misfit, or n. */
static unsigned lay_others(const struct slice texts[], unsigned n, uint32_t absent, struct spans_result *out,
			   struct misfit *misfit)
{
	const struct skeleton s = {.text = texts[0], .spans = out->spans, .n = out->n};
	struct span_limits limits[SPANS_MOST];
	struct slice values[SPANS_MOST];

	for (size_t k = 0; k < s.n; k++)
		rddr_span_limits_set(&limits[k], out->values[k][0], out->values[k][1]);
	for (unsigned i = 2; i < n; i++) {
		if (is_absent(absent, i))
			continue;
		/* What one of the pair has is noise as good as any. */
		if (slice_equal(texts[i], texts[0]) || slice_equal(texts[i], texts[1])) {
			copy_values(out, i, slice_equal(texts[i], texts[0]) ? 0 : 1);
			continue;
		}
		if (!lay(&s, limits, texts[i], values, misfit))
			return i;
		for (size_t k = 0; k < s.n; k++)
			out->values[k][i] = values[k];
	}
	return n;
}

/* The first text's values lie in its spans. */
static void take_values(const struct slice texts[], struct spans_result *out)
{
	memset(out->values, 0, out->n * sizeof(out->values[0]));
	for (size_t k = 0; k < out->n; k++)
		out->values[k][0] = slice_cut(texts[0], out->spans[k].at, out->spans[k].len);
}

/* Lays the skeleton over the pair's second text. False: it does not fit. */
static bool lay_second(const struct slice texts[], struct spans_result *out)
{
	const struct skeleton s = {.text = texts[0], .spans = out->spans, .n = out->n};
	struct slice values[SPANS_MOST];
	struct misfit misfit;

	take_values(texts, out);
	if (slice_equal(texts[0], texts[1])) {
		copy_values(out, 1, 0);
		return true;
	}
	if (!lay(&s, NULL, texts[1], values, &misfit))
		return false;
	for (size_t k = 0; k < s.n; k++)
		out->values[k][1] = values[k];
	return true;
}

static void differ(struct spans_result *out, const struct slice texts[], unsigned who, const struct misfit *misfit)
{
	char here[SPANS_SHOWN];
	size_t from = misfit->offset > 10 ? misfit->offset - 10 : 0;

	out->instance = who;
	out->other = 0;
	out->offset = misfit->offset;
	snprintf(out->why, sizeof(out->why), "%s: %s", misfit->why,
		 rddr_spans_show(slice_cut(texts[who], from, SIZE_MAX), here));
}

static enum spans_verdict compare_filtered(const struct slice texts[], unsigned n, uint32_t absent,
					   struct spans_result *out)
{
	struct span more[SPANS_MOST], theirs[SPANS_MOST];
	struct misfit misfit = {.why = outside}, later;
	unsigned who;
	size_t found;

	out->n = rddr_spans_find(texts[0], texts[1], out->spans, theirs);
	take_values(texts, out);
	for (size_t k = 0; k < out->n; k++)
		out->values[k][1] = slice_cut(texts[1], theirs[k].at, theirs[k].len);
	who = lay_others(texts, n, absent, out, &misfit);
	if (who == n)
		return SPANS_NOISE;
	/* Whoever differs outside the pair's spans may do so where the pair agrees by chance. */
	for (unsigned i = who; i < n; i++) {
		if (!is_absent(absent, i))
			out->n = unite(out->spans, out->n, more, rddr_spans_find(texts[0], texts[i], more, theirs));
	}
	found = out->n;
	if (!lay_second(texts, out) || lay_others(texts, n, absent, out, &later) < n)
		found = 0;
	differ(out, texts, who, &misfit);
	out->n = found;
	return found ? SPANS_CHANCE : SPANS_DIFFER;
}

static bool all_equal(const struct slice texts[], unsigned n, uint32_t absent)
{
	for (unsigned i = 1; i < n; i++)
		if (!is_absent(absent, i) && !slice_equal(texts[i], texts[0]))
			return false;
	return true;
}

enum spans_verdict rddr_spans_compare(const struct slice texts[], unsigned n, uint32_t absent, bool filter,
				      struct spans_result *out)
{
	out->n = 0;
	if (!filter)
		return compare_plain(texts, n, absent, out);
	return all_equal(texts, n, absent) ? SPANS_SAME : compare_filtered(texts, n, absent, out);
}

bool rddr_spans_fit(struct slice a, struct slice b, struct slice c, const char **why)
{
	struct span_limits limits;
	const char *unused;

	rddr_span_limits_set(&limits, a, b);
	return rddr_span_limits_hold(&limits, c, why ? why : &unused);
}
