/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakebody.h - plays a comparator's user: shows payloads in pieces, keeps the noise account, remembers fields.
 */
#ifndef RDDR_TEST_FAKEBODY_H
#define RDDR_TEST_FAKEBODY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body.h"
#include "noise_budget.h"

struct fakebody {
	/* Set before it is played. */
	struct body_conf conf;
	struct noise_budget budget;
	struct slice in[RDDR_MAX_INSTANCES];
	bool open[RDDR_MAX_INSTANCES]; /* never ends */
	bool absent[RDDR_MAX_INSTANCES];
	const char *known; /* a field that was noise; "*" for any */
	/* What came out. */
	enum rddr_verdict verdict;
	bool undecided;
	struct rddr_finding finding;
	size_t consumed[RDDR_MAX_INSTANCES];
	size_t calls;
	struct noise_account account;
	unsigned noises, declareds;
	char fields[16][300]; /* of noise and declared: "field=v0|v1|v2" */
	char asked[300];
	/* Of the play. */
	struct body *body;
	size_t shown[RDDR_MAX_INSTANCES];
	bool end_shown[RDDR_MAX_INSTANCES];
};

static inline void fakebody_need(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "the comparator %s\n", what);
	abort();
}

static inline bool fakebody_charge(void *ctx, size_t run)
{
	struct fakebody *f = ctx;

	fakebody_need(run > 0 && f->conf.do_filter, "charges noise out of place");
	return rddr_noise_budget_charge(&f->account, &f->budget, run);
}

static inline void fakebody_write(struct fakebody *f, const char *field, const struct slice values[], unsigned n)
{
	char *out = f->fields[(f->noises + f->declareds) % 16];
	size_t at = (size_t)snprintf(out, 300, "%s=", field);

	for (unsigned i = 0; values && i < n && at < 299; i++)
		at += (size_t)snprintf(out + at, 300 - at, "%s%.*s", i ? "|" : "", (int)values[i].len,
				       values[i].len ? (const char *)values[i].data : "");
}

static inline void fakebody_noise(void *ctx, const char *field, const struct slice values[], unsigned n)
{
	struct fakebody *f = ctx;

	fakebody_need(n == f->conf.n && *field, "names no field");
	fakebody_write(f, field, values, n);
	f->noises++;
}

static inline bool fakebody_was_noise(void *ctx, const char *field)
{
	struct fakebody *f = ctx;

	snprintf(f->asked, sizeof(f->asked), "%s", field);
	return f->known && (strcmp(f->known, "*") == 0 || strcmp(f->known, field) == 0);
}

static inline bool fakebody_knows_noise(void *ctx, const char *field)
{
	const struct fakebody *f = ctx;

	return f->known && (strcmp(f->known, "*") == 0 || strcmp(f->known, field) == 0);
}

static inline void fakebody_declared(void *ctx, const struct field_rule *rule, const char *field,
				     const struct slice values[], unsigned n)
{
	struct fakebody *f = ctx;

	fakebody_need(rule && rule->text && n == f->conf.n && *field, "declares nothing");
	fakebody_write(f, field, values, n);
	f->declareds++;
}

static const struct body_host fakebody_host = {
	.charge_noise = fakebody_charge,
	.noise = fakebody_noise,
	.was_noise = fakebody_was_noise,
	.knows_noise = fakebody_knows_noise,
	.declared = fakebody_declared,
};

static inline void fakebody_begin(struct fakebody *f)
{
	f->conf.host = &fakebody_host;
	f->conf.ctx = f;
	f->verdict = RDDR_WAIT;
	f->undecided = false;
	f->finding = (struct rddr_finding){0};
	f->account = (struct noise_account){0};
	f->noises = f->declareds = 0;
	f->calls = 0;
	memset(f->fields, 0, sizeof(f->fields));
	f->asked[0] = '\0';
	memset(f->consumed, 0, sizeof(f->consumed));
	memset(f->shown, 0, sizeof(f->shown));
	memset(f->end_shown, 0, sizeof(f->end_shown));
	fakebody_need(rddr_body_new(&f->conf, &f->body) == 0, "cannot be made");
}

/* One call, on copies of exact size. Nothing is shown past the limit. */
static inline void fakebody_call(struct fakebody *f)
{
	struct body_view views[RDDR_MAX_INSTANCES];
	struct body_result r;
	void *copies[RDDR_MAX_INSTANCES];
	size_t progress = 0;

	for (unsigned i = 0; i < f->conf.n; i++) {
		size_t len = f->shown[i] - f->consumed[i];
		bool cut = len > f->conf.limit;

		len = cut ? f->conf.limit : len;
		copies[i] = malloc(len + !len);
		if (!copies[i])
			abort();
		if (len && f->in[i].data)
			memcpy(copies[i], f->in[i].data + f->consumed[i], len);
		views[i] = (struct body_view){.data = f->absent[i] || !len ? NULL : copies[i],
					      .len = f->absent[i] ? 0 : len,
					      .ended = !cut && f->end_shown[i],
					      .absent = f->absent[i]};
	}
	f->verdict = rddr_body_compare(f->body, views, f->conf.n, &r);
	f->calls++;
	for (unsigned i = 0; i < f->conf.n; i++) {
		fakebody_need(r.consumed[i] <= views[i].len, "consumes more than it was shown");
		f->consumed[i] += r.consumed[i];
		progress += r.consumed[i];
		free(copies[i]);
	}
	if (f->verdict == RDDR_DIVERGE) {
		fakebody_need(progress == 0, "diverges and consumes");
		fakebody_need(r.finding.why[0] && r.finding.where[0], "diverges and does not say where and why");
		fakebody_need(r.finding.instance < f->conf.n && r.finding.other < f->conf.n, "names no instance");
		fakebody_need(r.finding.instance != r.finding.other, "names one instance twice");
		f->finding = r.finding;
		f->undecided = r.undecided;
		return;
	}
	fakebody_need((f->verdict == RDDR_AGREE) == (progress > 0), "agrees without progress, or waits with");
	rddr_noise_budget_note(&f->account, r.consumed[0]);
}

static inline bool fakebody_go_on(struct fakebody *f)
{
	do {
		fakebody_call(f);
	} while (f->verdict == RDDR_AGREE);
	return f->verdict != RDDR_DIVERGE;
}

static inline uint32_t fakebody_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 16);
}

/* Shows one of the payloads up to most bytes more; what cannot be shown for the limit waits. False: all is shown. */
static inline bool fakebody_show(struct fakebody *f, uint64_t *seed, size_t most)
{
	bool left = false;

	for (unsigned i = 0; i < f->conf.n; i++)
		left |= !f->absent[i] && (f->shown[i] < f->in[i].len || (!f->open[i] && !f->end_shown[i]));
	while (left) {
		unsigned i = fakebody_random(seed) % f->conf.n;
		size_t rest = f->in[i].len - f->shown[i], by = most > 1 ? fakebody_random(seed) % (most + 1) : 1;

		if (f->absent[i] || (rest == 0 && (f->open[i] || f->end_shown[i])))
			continue;
		f->end_shown[i] = rest == 0 && !f->open[i];
		f->shown[i] += by < rest ? by : rest;
		break;
	}
	return left;
}

/* most: the largest piece; 0: everything at once. */
static inline void fakebody_play(struct fakebody *f, uint64_t seed, size_t most)
{
	bool more = true;

	fakebody_begin(f);
	for (unsigned i = 0; most == 0 && i < f->conf.n; i++) {
		f->shown[i] = f->in[i].len;
		f->end_shown[i] = !f->open[i];
		more = false;
	}
	while (more && fakebody_show(f, &seed, most))
		if (!fakebody_go_on(f))
			break;
	if (f->verdict != RDDR_DIVERGE)
		fakebody_go_on(f);
	rddr_body_free(&f->body);
	fakebody_need(f->body == NULL, "stays");
}

/* Everything was judged, and agrees. */
static inline bool fakebody_agrees(const struct fakebody *f)
{
	for (unsigned i = 0; i < f->conf.n; i++)
		if (!f->absent[i] && f->consumed[i] != f->in[i].len)
			return false;
	return f->verdict == RDDR_WAIT;
}

/*
 * Plays whole, a byte at a time, and in pieces: what comes out must be the same. Where it diverges, in one way or
 * another what lay before went out or not, but the place is the same.
 */
static inline void fakebody_play_ways(struct fakebody *f, unsigned ways)
{
	struct fakebody *whole = malloc(sizeof(*whole));

	size_t total = 0;

	if (!whole)
		abort();
	/* What is long is not shown byte by byte: each call costs as much as is there. */
	for (unsigned i = 0; i < f->conf.n; i++)
		total += f->in[i].len;
	total = 1 + total / 3000;
	fakebody_play(f, 1, 0);
	*whole = *f;
	for (uint64_t seed = 1; seed <= ways; seed++) {
		fakebody_play(f, seed * 7919, total * (seed == 1 ? 1 : seed * seed * seed));
		fakebody_need(f->verdict == whole->verdict, "judges by how the payloads arrive");
		fakebody_need(f->undecided == whole->undecided, "is undecided by how the payloads arrive");
		fakebody_need(strcmp(f->finding.where, whole->finding.where) == 0, "finds another place");
		fakebody_need(strcmp(f->finding.why, whole->finding.why) == 0, "finds another reason");
		fakebody_need(f->verdict == RDDR_DIVERGE ||
				      memcmp(f->consumed, whole->consumed, sizeof(f->consumed)) == 0,
			      "lets out another part");
		fakebody_need(f->noises == whole->noises && memcmp(f->fields, whole->fields, sizeof(f->fields)) == 0,
			      "finds other noise");
	}
	free(whole);
}

static inline void fakebody_play_all(struct fakebody *f)
{
	fakebody_play_ways(f, 8);
}

#endif
