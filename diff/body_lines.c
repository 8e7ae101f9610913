/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body_lines.c - text, line by line.
 *
 * What all have in common goes out at once, in whole lines. A line in which something differs is judged when all have
 * it whole: taken apart by the rules' patterns, and each part compared but for its noise (spans.h).
 *
 * A line that has no end within the limit goes out in parts as long as all agree on it. It is cut where no span of
 * noise can lie across, so what comes behind the cut is judged as it would be in the whole line; patterns of rules,
 * which may look at all of a line, cannot be applied then, and such a line is undecided.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "body_kinds.h"
#include "spans.h"

/* Fields that rules may find in one line. */
#define MOST_FIELDS 64

struct lines {
	struct body base;
	struct line_matcher *matcher;		  /* NULL: no rules */
	uint64_t number;			  /* of the line at the beginning of the views, from 0 */
	uint64_t hash;				  /* of what went out of that line already */
	bool cut;				  /* something did */
	size_t alike;				  /* all views are known to be the same so far */
	struct line_field (*fields)[MOST_FIELDS]; /* for each instance, with a matcher */
	struct spans_result spans;
};

/* The line at the beginning of each view. */
struct row {
	struct slice text[RDDR_MAX_INSTANCES]; /* without its end */
	uint32_t absent;
	bool filter;
};

static int lines_init(struct body *b)
{
	struct lines *l = (struct lines *)b;
	int r = rddr_rules_matcher_new(b->conf.rules, &l->matcher);

	l->hash = rddr_spans_seed();
	if (r < 0 || !l->matcher)
		return r;
	l->fields = calloc(b->conf.n, sizeof(*l->fields));
	if (!l->fields)
		rddr_rules_matcher_free(&l->matcher);
	return l->fields ? 0 : -ENOMEM;
}

static void lines_fini(struct body *b)
{
	struct lines *l = (struct lines *)b;

	rddr_rules_matcher_free(&l->matcher);
	free(l->fields);
}

static enum rddr_verdict at_line(const struct lines *l, struct body_result *result, enum rddr_verdict verdict)
{
	snprintf(result->finding.where, sizeof(result->finding.where), "line %llu", (unsigned long long)l->number + 1);
	return verdict;
}

/* Eight bytes at a time: everything that is let out is looked at here. */
static uint64_t count_lines(struct slice text)
{
	static const uint64_t low = UINT64_C(0x7f7f7f7f7f7f7f7f), ends = UINT64_C(0x0a0a0a0a0a0a0a0a);
	uint64_t n = 0, word;
	size_t i = 0;

	for (; i + sizeof(word) <= text.len; i += sizeof(word)) {
		memcpy(&word, text.data + i, sizeof(word));
		word ^= ends;
		/* The top bit of each byte that is now 0. */
		word = ~(((word & low) + low) | word | low);
		n += (word >> 7) * UINT64_C(0x0101010101010101) >> 56;
	}
	for (; i < text.len; i++)
		n += text.data[i] == '\n';
	return n;
}

/* Where the last line that ends in [from, to) ends; 0: none does. */
static size_t last_line_end(const uint8_t *data, size_t from, size_t to)
{
	const uint8_t *end = to > from ? memrchr(data + from, '\n', to - from) : NULL;

	return end ? (size_t)(end - data) + 1 : 0;
}

/* Consumes len bytes of all, on which all agree. */
static enum rddr_verdict take(struct lines *l, const struct body_view views[], size_t len, struct body_result *result)
{
	const struct body *b = &l->base;
	const uint8_t *data = NULL;
	size_t last = 0;

	for (unsigned i = 0; i < b->conf.n; i++) {
		if (views[i].absent)
			continue;
		result->consumed[i] = len;
		data = views[i].data;
	}
	if (!data)
		return RDDR_WAIT;
	l->number += count_lines((struct slice){data, len});
	l->alike = 0;
	last = last_line_end(data, 0, len);
	if (last > 0)
		l->hash = rddr_spans_seed();
	l->cut = last < len;
	l->hash = rddr_spans_hash(l->hash, (struct slice){data + last, len - last});
	return RDDR_AGREE;
}

/* ---- judging a line ---- */

static enum rddr_verdict diverge(struct lines *l, const struct row *row, unsigned who, unsigned other,
				 const struct slice part[], size_t offset, struct body_result *result, const char *why)
{
	size_t before = part ? (size_t)(part[who].data - row->text[who].data) : 0;

	return at_line(l, result, rddr_body_diverge(result, who, other, before + offset, "%s", why));
}

/* Tells of each span in which somebody has something else. */
static void tell_noise(const struct lines *l, const char *field)
{
	const struct body_conf *conf = &l->base.conf;

	for (size_t k = 0; conf->host->noise && k < l->spans.n; k++)
		conf->host->noise(conf->ctx, field, l->spans.values[k], conf->n);
}

/*
 * Compares one part of the line. hash stands for what lies before it, and then for that and the part: fields are named
 * by it.
 */
static enum rddr_verdict judge_part(struct lines *l, const struct row *row, const struct slice part[], uint64_t *hash,
				    struct body_result *result)
{
	const struct body_conf *conf = &l->base.conf;
	struct spans_result *r = &l->spans;
	enum spans_verdict verdict;
	unsigned first = 0;
	char field[32];

	verdict = rddr_spans_compare(part, conf->n, row->absent, row->filter, r);
	while (row->absent >> first & 1)
		first++;
	*hash = rddr_spans_skeleton(part[first], r, *hash);
	if (verdict == SPANS_SAME)
		return RDDR_AGREE;
	snprintf(field, sizeof(field), "line:%016llx", (unsigned long long)*hash);
	if (verdict == SPANS_DIFFER ||
	    (verdict == SPANS_CHANCE && (!conf->host->was_noise || !conf->host->was_noise(conf->ctx, field))))
		return diverge(l, row, r->instance, r->other, part, r->offset, result, r->why);
	for (size_t k = 0; k < r->n; k++) {
		size_t at = (size_t)(part[0].data - row->text[0].data) + r->spans[k].at;

		if (rddr_body_unit_noise(&l->base, at, r->spans[k].len) < 0)
			return diverge(l, row, 1, 0, NULL, 0, result, "out of memory");
	}
	tell_noise(l, field);
	return RDDR_AGREE;
}

/* What the rules say of field k, which all have. */
static enum rddr_verdict judge_field(struct lines *l, const struct row *row, size_t k, uint64_t hash,
				     struct body_result *result)
{
	const struct body_conf *conf = &l->base.conf;
	const struct field_rule *rule = NULL;
	struct slice values[RDDR_MAX_INSTANCES] = {{0}};
	unsigned first = conf->n;
	char field[32];

	for (unsigned i = 0; i < conf->n; i++) {
		const struct line_field *f = &l->fields[i][k];

		if (row->absent >> i & 1)
			continue;
		values[i] = slice_cut(row->text[i], f->offset, f->len);
		first = first == conf->n ? i : first;
		rule = rule ? rule : f->rule;
		if (f->rule != rule)
			return diverge(l, row, i, first, values, 0, result, "another rule's pattern matches");
		if (rule->action == RULE_COMPARE && !slice_equal(values[i], values[first]))
			return diverge(l, row, i, first, values, 0, result, "differs where a rule says compare");
		if (f->len > rddr_rules_settings(conf->rules)->max_field)
			return diverge(l, row, i, i == first && conf->n > 1 ? (i + 1) % conf->n : first, values, 0,
				       result, "the field that a rule names is longer than max-field");
	}
	snprintf(field, sizeof(field), "line:%016llx", (unsigned long long)hash);
	if (rule && rule->action != RULE_COMPARE && conf->host->declared)
		conf->host->declared(conf->ctx, rule, field, values, conf->n);
	return RDDR_AGREE;
}

/* Finds the rules' fields in each line. Their number, or a verdict's negative. */
static int find_fields(struct lines *l, const struct row *row, struct body_result *result)
{
	unsigned first = l->base.conf.n;
	int found = 0;

	for (unsigned i = 0; l->matcher && i < l->base.conf.n; i++) {
		int r;

		if (row->absent >> i & 1)
			continue;
		r = rddr_rules_line(l->matcher, row->text[i], l->fields[i], MOST_FIELDS);
		if (r < 0) {
			result->undecided = true;
			diverge(l, row, i, i == 0 && l->base.conf.n > 1, NULL, 0, result,
				r == -ENOBUFS ? "the rules' patterns match too often in this line"
					      : "a rule's pattern takes too many steps for this line");
			return -1;
		}
		if (first < l->base.conf.n && r != found) {
			diverge(l, row, i, first, NULL, 0, result, "the rules' patterns match otherwise");
			return -1;
		}
		if (first == l->base.conf.n)
			first = i;
		found = r;
	}
	return found;
}

/* Where field k ends in instance i's line; the line's beginning for -1. */
static size_t field_end(const struct lines *l, unsigned i, int k)
{
	return k < 0 ? 0 : l->fields[i][k].offset + l->fields[i][k].len;
}

static enum rddr_verdict judge(struct lines *l, const struct row *row, struct body_result *result)
{
	uint64_t hash = l->hash;
	int found = find_fields(l, row, result);

	if (found < 0)
		return RDDR_DIVERGE;
	for (int k = 0; k <= found; k++) {
		struct slice part[RDDR_MAX_INSTANCES] = {{0}};

		for (unsigned i = 0; i < l->base.conf.n; i++) {
			size_t from, to;

			if (row->absent >> i & 1)
				continue;
			from = field_end(l, i, k - 1);
			to = k < found ? l->fields[i][k].offset : row->text[i].len;
			/* Not slice_cut: its data tells where in the line it is, also when it is empty. */
			part[i] = (struct slice){row->text[i].data + from, to - from};
		}
		if (judge_part(l, row, part, &hash, result) == RDDR_DIVERGE ||
		    (k < found && judge_field(l, row, (size_t)k, hash, result) == RDDR_DIVERGE))
			return RDDR_DIVERGE;
	}
	return RDDR_AGREE;
}

/* All have a line, whole. */
static enum rddr_verdict compare_line(struct lines *l, const struct body_view views[], const size_t lens[],
				      struct body_result *result)
{
	struct row row = {.absent = rddr_body_absent(&l->base, views), .filter = rddr_body_filters(&l->base, views)};
	struct body_unit *unit = &l->base.unit;
	uint32_t over = 0, unended = 0, present = 0;

	rddr_body_unit_begin(&l->base);
	for (unsigned i = 0; i < l->base.conf.n; i++) {
		bool end = lens[i] > 0 && views[i].data[lens[i] - 1] == '\n';

		if (views[i].absent)
			continue;
		row.text[i] = (struct slice){views[i].data, lens[i] - end};
		unit->total[i] = lens[i];
		present |= 1U << i;
		over |= (uint32_t)(lens[i] == 0) << i;
		unended |= (uint32_t)!end << i;
	}
	if (over)
		return at_line(l, result, rddr_body_diverge_end(&l->base, views, over, result));
	if (l->matcher && l->cut)
		return at_line(l, result,
			       rddr_body_undecided(&l->base, views, result,
						   "the line is longer than the limit, and there are rules for lines"));
	if (judge(l, &row, result) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	if (unended && unended != present)
		return at_line(l, result, rddr_body_diverge_end(&l->base, views, unended, result));
	at_line(l, result, RDDR_AGREE);
	memcpy(unit->where, result->finding.where, sizeof(unit->where));
	l->number++;
	l->alike = 0;
	l->hash = rddr_spans_seed();
	l->cut = false;
	return rddr_body_unit_release(&l->base, result);
}

/* ---- finding lines ---- */

/* No span of noise reaches across such a byte: it is in no word, no number and no token. */
static bool is_seam(uint8_t c)
{
	return c <= ' ' || strchr("<>\"';{}()[]&", c) != NULL;
}

/* Some line has no end within the limit: lets out what all agree on. */
static enum rddr_verdict compare_endless(struct lines *l, const struct body_view views[], size_t alike,
					 struct body_result *result)
{
	size_t seam = alike;
	unsigned first = 0;

	while (views[first].absent)
		first++;
	while (seam > 0 && !is_seam(views[first].data[seam - 1]))
		seam--;
	/* A word as long as that is past any noise. */
	if (seam == 0 && alike == l->base.conf.limit)
		seam = (alike + 1) / 2;
	if (seam == 0)
		return at_line(
			l, result,
			rddr_body_undecided(&l->base, views, result, "the line that differs is longer than the limit"));
	return take(l, views, seam, result);
}

/* Length of the line at the beginning of a view, its end included; SIZE_MAX when it is not there as a whole. */
static size_t line_length(const struct body_view *view, size_t searched)
{
	const uint8_t *end = NULL;

	if (view->len > searched)
		end = memchr(view->data + searched, '\n', view->len - searched);
	if (end)
		return (size_t)(end - view->data) + 1;
	return view->ended ? view->len : SIZE_MAX;
}

static enum rddr_verdict lines_compare(struct body *b, const struct body_view views[], struct body_result *result)
{
	struct lines *l = (struct lines *)b;
	size_t front = SIZE_MAX, alike, cut, lens[RDDR_MAX_INSTANCES] = {0};
	bool all_ended = true, whole = true, stuck = true;
	unsigned first = b->conf.n;

	for (unsigned i = b->conf.n; i-- > 0;) {
		if (views[i].absent)
			continue;
		first = i;
		front = views[i].len < front ? views[i].len : front;
	}
	for (unsigned i = first; i < b->conf.n; i++)
		all_ended &= views[i].absent || (views[i].ended && views[i].len == front);
	alike = rddr_body_alike(b, views, l->alike < front ? l->alike : front, front);
	cut = last_line_end(views[first].data, l->alike, alike);
	if (all_ended && alike == front)
		return front ? take(l, views, front, result) : RDDR_WAIT;
	if (cut > 0)
		return take(l, views, cut, result);
	l->alike = alike;
	for (unsigned i = first; i < b->conf.n; i++) {
		if (views[i].absent)
			continue;
		lens[i] = line_length(&views[i], alike);
		whole &= lens[i] != SIZE_MAX;
		stuck &= lens[i] != SIZE_MAX || views[i].len == b->conf.limit;
	}
	if (whole)
		return compare_line(l, views, lens, result);
	return stuck ? compare_endless(l, views, alike, result) : RDDR_WAIT;
}

const struct body_ops rddr_body_lines_ops = {
	.size = sizeof(struct lines),
	.init = lines_init,
	.fini = lines_fini,
	.compare = lines_compare,
};
