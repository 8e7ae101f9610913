/* SPDX-License-Identifier: BSD-2-Clause */
#include "body.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "body_bytes.h"
#include "body_kinds.h"
#include "noise.h"

bool rddr_body_filters(const struct body *b, const struct body_view views[])
{
	return b->conf.do_filter && !views[0].absent && !views[1].absent;
}

uint32_t rddr_body_absent(const struct body *b, const struct body_view views[])
{
	uint32_t absent = 0;

	for (unsigned i = 0; i < b->conf.n; i++)
		absent |= (uint32_t)views[i].absent << i;
	return absent;
}

size_t rddr_body_alike(const struct body *b, const struct body_view views[], size_t from, size_t to)
{
	static const size_t block = 16384; /* stays in the cache while it is compared with each */
	unsigned first = 0;

	while (first < b->conf.n && views[first].absent)
		first++;
	while (from < to) {
		size_t len = to - from < block ? to - from : block, same = len;

		for (unsigned i = first + 1; i < b->conf.n; i++)
			if (!views[i].absent)
				same = rddr_noise_alike(views[first].data + from, views[i].data + from, same);
		from += same;
		if (same < len)
			break;
	}
	return from;
}

enum rddr_verdict rddr_body_diverge(struct body_result *result, unsigned instance, unsigned other, size_t offset,
				    const char *why, ...)
{
	struct rddr_finding *f = &result->finding;
	va_list args;

	memset(result->consumed, 0, sizeof(result->consumed));
	f->instance = instance;
	f->other = other;
	f->offset = offset;
	va_start(args, why);
	vsnprintf(f->why, sizeof(f->why), why, args);
	va_end(args);
	return RDDR_DIVERGE;
}

enum rddr_verdict rddr_body_undecided(const struct body *b, const struct body_view views[], struct body_result *result,
				      const char *why)
{
	unsigned longest = 0, other;

	for (unsigned i = 1; i < b->conf.n; i++)
		if (views[i].len > views[longest].len)
			longest = i;
	other = longest == 0 && b->conf.n > 1;
	result->undecided = true;
	return rddr_body_diverge(result, longest, other, 0, "%s", why);
}

enum rddr_verdict rddr_body_diverge_end(const struct body *b, const struct body_view views[], uint32_t over,
					struct body_result *result)
{
	unsigned ended = 0, present = 0, first_over = b->conf.n, first_on = b->conf.n;
	bool early;

	for (unsigned i = b->conf.n; i-- > 0;) {
		if (views[i].absent)
			continue;
		present++;
		if (over >> i & 1) {
			ended++;
			first_over = i;
		} else {
			first_on = i;
		}
	}
	/* Among equals the lowest instance is believed. */
	early = 2 * ended < present || (2 * ended == present && first_on < first_over);
	return rddr_body_diverge(result, early ? first_over : first_on, early ? first_on : first_over, 0, "%s",
				 early ? "ended early" : "goes on where others ended");
}

/* ---- units that were judged ---- */

void rddr_body_unit_begin(struct body *b)
{
	struct body_run *runs = b->unit.runs;
	size_t room = b->unit.room;

	b->unit = (struct body_unit){.runs = runs, .room = room};
}

int rddr_body_unit_noise(struct body *b, size_t at, size_t len)
{
	struct body_unit *u = &b->unit;

	if (len == 0)
		return 0;
	if (u->n == u->room) {
		size_t room = u->room ? 2 * u->room : 16;
		struct body_run *runs = realloc(u->runs, room * sizeof(*runs));

		if (!runs)
			return -ENOMEM;
		u->runs = runs;
		u->room = room;
	}
	u->runs[u->n++] = (struct body_run){.at = at, .len = len};
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct body_run *x = a, *y = b;

	return x->at < y->at ? -1 : x->at > y->at;
}

/* Goes on with the unit: charges the run that is due, and lets out what lies before the next. */
static enum rddr_verdict step(struct body *b, struct body_result *result)
{
	struct body_unit *u = &b->unit;
	size_t until = u->total[0], at = u->at;

	if (u->next < u->n && u->runs[u->next].at == at) {
		if (!b->conf.host->charge_noise(b->conf.ctx, u->runs[u->next].len)) {
			snprintf(result->finding.where, sizeof(result->finding.where), "%s", u->where);
			return rddr_body_diverge(result, 1, 0, 0, "differs from its twin past the noise budget");
		}
		u->next++;
	}
	if (u->next < u->n)
		until = u->runs[u->next].at;
	result->consumed[0] = until - at;
	u->at = until;
	u->pending = until < u->total[0];
	return RDDR_AGREE;
}

enum rddr_verdict rddr_body_unit_release(struct body *b, struct body_result *result)
{
	struct body_unit *u = &b->unit;

	if (u->n > 1)
		qsort(u->runs, u->n, sizeof(*u->runs), by_place);
	/* The others' bytes are done with; instance 0's are let out step by step. */
	for (unsigned i = 1; i < b->conf.n; i++)
		result->consumed[i] = u->total[i];
	return step(b, result);
}

/* ---- bytes ---- */

struct bytes {
	struct body base;
	struct byte_judge judge;
	uint64_t consumed;
};

static int bytes_init(struct body *b)
{
	struct bytes *bytes = (struct bytes *)b;

	rddr_body_bytes_init(&bytes->judge, b->conf.do_filter, b->conf.noise_run, b->conf.limit,
			     b->conf.host->charge_noise, b->conf.ctx);
	return 0;
}

static enum rddr_verdict bytes_compare(struct body *b, const struct body_view views[], struct body_result *result)
{
	struct bytes *bytes = (struct bytes *)b;
	struct rddr_view plain[RDDR_MAX_INSTANCES];
	struct rddr_diff_result r = {.size = sizeof(r)};
	enum rddr_verdict verdict;
	size_t most = 0;

	for (unsigned i = 0; i < b->conf.n; i++) {
		enum rddr_end_state end = views[i].ended ? RDDR_END_ENDED : RDDR_END_OPEN;

		plain[i] = (struct rddr_view){.data = views[i].data,
					      .len = views[i].absent ? 0 : views[i].len,
					      .end = views[i].absent ? RDDR_END_ABSENT : end};
	}
	verdict = rddr_body_bytes_compare(&bytes->judge, plain, b->conf.n, &r);
	memcpy(result->consumed, r.consumed, sizeof(result->consumed));
	if (verdict == RDDR_DIVERGE) {
		result->finding = r.finding;
		snprintf(result->finding.where, sizeof(result->finding.where), "byte %" PRIu64,
			 bytes->consumed + r.finding.offset);
	}
	for (unsigned i = 0; i < b->conf.n; i++)
		most = r.consumed[i] > most ? r.consumed[i] : most;
	bytes->consumed += most;
	return verdict;
}

const struct body_ops rddr_body_bytes_ops = {
	.size = sizeof(struct bytes),
	.init = bytes_init,
	.compare = bytes_compare,
};

/* ---- any kind ---- */

int rddr_body_new(const struct body_conf *conf, struct body **out)
{
	static const struct body_ops *const kinds[] = {
		[BODY_BYTES] = &rddr_body_bytes_ops,
		[BODY_LINES] = &rddr_body_lines_ops,
		[BODY_JSON] = &rddr_body_json_ops,
	};
	struct body *b;
	int r;

	if (conf->n < 1 || conf->n > RDDR_MAX_INSTANCES || conf->limit < 1 || (conf->do_filter && conf->n < 3) ||
	    (unsigned)conf->kind >= sizeof(kinds) / sizeof(kinds[0]))
		return -EINVAL;
	b = calloc(1, kinds[conf->kind]->size);
	if (!b)
		return -ENOMEM;
	b->conf = *conf;
	b->ops = kinds[conf->kind];
	r = b->ops->init(b);
	if (r < 0) {
		free(b);
		return r;
	}
	*out = b;
	return 0;
}

void rddr_body_free(struct body **b)
{
	if (!*b)
		return;
	if ((*b)->ops->fini)
		(*b)->ops->fini(*b);
	free((*b)->unit.runs);
	free(*b);
	*b = NULL;
}

enum rddr_verdict rddr_body_compare(struct body *b, const struct body_view views[], unsigned n,
				    struct body_result *result)
{
	struct body_view clipped[RDDR_MAX_INSTANCES];
	bool anybody = false;

	*result = (struct body_result){0};
	if (n != b->conf.n)
		return rddr_body_diverge(result, 0, 0, 0, "shown %u payloads where there are %u", n, b->conf.n);
	if (b->unit.pending)
		return step(b, result);
	for (unsigned i = 0; i < n; i++) {
		clipped[i] = views[i];
		if (views[i].absent)
			clipped[i] = (struct body_view){.absent = true};
		else if (views[i].len >= b->conf.limit)
			clipped[i] = (struct body_view){.data = views[i].data, .len = b->conf.limit};
		anybody |= !views[i].absent;
	}
	return anybody ? b->ops->compare(b, clipped, result) : RDDR_WAIT;
}
