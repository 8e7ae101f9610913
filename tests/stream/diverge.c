/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * diverge.c - one instance does not do as the others do. Never a byte that was not compared reaches the client, which
 * sees the connection closed within the skew deadline; the evidence says why, where and who.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define REQUEST 120
#define ANSWER	300
#define MORE	10

enum deed {
	CHANGES, /* the byte at that place */
	FINS,	 /* after so many bytes of the answer */
	CLOSES,
	RESETS,
	HUSHES,
	ADDS, /* says more behind the answer */
	ADDS_AND_FINS,
	STAYS,		/* when the others end */
	RESETS_AT_ONCE, /* without having heard the request */
	CLOSES_AT_ONCE,
	FINS_AT_ONCE,
	REFUSES,
};

struct flaw {
	const char *name;
	size_t at;
	const char *reason; /* NULL: it depends on what arrives first */
	const char *why;
	enum deed deed;
	bool late; /* nothing but the skew deadline finds it */
};

static const struct flaw flaws[] = {
	{"the first byte changed", 0, "divergence", "byte", CHANGES, false},
	{"a middle byte changed", ANSWER / 2, "divergence", "byte", CHANGES, false},
	{"the last byte changed", ANSWER - 1, "divergence", "byte", CHANGES, false},
	{"ends early", ANSWER - MORE, "divergence", "ended early", FINS, false},
	{"ends before the answer", 0, "divergence", "ended early", FINS, false},
	{"closes amid the answer", ANSWER / 2, "divergence", "early", CLOSES, false},
	{"resets before the answer", 0, "divergence", "early", RESETS, false},
	{"resets amid the answer", ANSWER / 2, "divergence", "early", RESETS, false},
	{"resets at once", 0, NULL, NULL, RESETS_AT_ONCE, false},
	{"closes at once", 0, NULL, NULL, CLOSES_AT_ONCE, false},
	{"ends at once", 0, "divergence", "ended early", FINS_AT_ONCE, false},
	{"silent", 0, "late", "was silent", HUSHES, true},
	{"stops amid the answer", ANSWER / 2, "late", "was silent", HUSHES, true},
	{"lacks the last byte", ANSWER - 1, "late", "was silent", HUSHES, true},
	{"longer", ANSWER, "late", "was silent", ADDS, true},
	{"ends, the others do not", ANSWER, "early-end", NULL, FINS, true},
	{"closes, the others do not", ANSWER, "early-end", NULL, CLOSES, true},
	{"resets after the answer", ANSWER, "early-end", NULL, RESETS, true},
	{"does not end, the others do", ANSWER, "early-end", NULL, STAYS, true},
	{"says more, the others end", ANSWER, "divergence", "goes on", ADDS_AND_FINS, false},
};

static const unsigned counts[] = {2, 3, 16};
static struct world w;
static uint8_t *request, *answer;

static int begin(void **state)
{
	char late[64];

	(void)state;
	request = noise_bytes(REQUEST, 3);
	answer = noise_bytes(ANSWER + MORE, 4);
	snprintf(late, sizeof(late), "deadlines: { connect: 60s, skew: %dms }", patience_ms() / 10);
	world_init(&w, AF_INET, SERVERS, "workers: 1");
	world_add(&w, "n2", 2, "deadlines: { connect: 60s, skew: 60s }");
	world_add(&w, "n3", 3, "deadlines: { connect: 60s, skew: 60s }");
	world_add(&w, "n16", 16, "deadlines: { connect: 60s, skew: 60s }");
	world_add(&w, "late2", 2, late);
	world_add(&w, "late3", 3, late);
	world_add(&w, "late16", 16, late);
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	free(request);
	free(answer);
	return 0;
}

/* What of the answer everybody agrees on. */
static size_t agreed(const struct flaw *f)
{
	return f->deed == ADDS || f->deed == STAYS || f->deed == ADDS_AND_FINS ? ANSWER : f->at;
}

static void write_others(struct end *e, const struct flaw *f)
{
	does(e, ACT_HEAR, REQUEST);
	says(e, answer, ANSWER);
	if (f->deed == STAYS || f->deed == ADDS_AND_FINS)
		does(e, ACT_FIN, 0);
	does(e, ACT_HEAR_END, 0);
}

static void write_flawed(struct end *e, const struct flaw *f, const uint8_t *changed)
{
	static const enum act_kind endings[] = {
		[FINS] = ACT_FIN,	   [CLOSES] = ACT_CLOSE,	 [RESETS] = ACT_RESET,
		[ADDS_AND_FINS] = ACT_FIN, [RESETS_AT_ONCE] = ACT_RESET, [CLOSES_AT_ONCE] = ACT_CLOSE,
		[FINS_AT_ONCE] = ACT_FIN,
	};

	if (f->deed == REFUSES)
		return;
	if (f->deed < RESETS_AT_ONCE) {
		does(e, ACT_HEAR, REQUEST);
		says(e, changed,
		     f->deed == CHANGES ? ANSWER : f->at + (f->deed == ADDS || f->deed == ADDS_AND_FINS ? MORE : 0));
	} else {
		/* An empty word: the script goes on once there is a connection. */
		says(e, changed, 0);
	}
	if (f->deed == CHANGES || f->deed == HUSHES || f->deed == ADDS || f->deed == STAYS)
		does(e, ACT_HEAR_END, 0);
	else
		does(e, endings[f->deed], 0);
}

/* One play: instance i of n is flawed. */
static void cast(struct play *p, unsigned n, unsigned i, const struct flaw *f, const uint8_t *changed,
		 uint32_t dribbles)
{
	play_init(p, n);
	says(&p->client, request, REQUEST);
	does(&p->client, ACT_HEAR_END, 0);
	expects(&p->client, answer, agreed(f));
	p->client.dribbles = dribbles & 1;
	for (unsigned k = 0; k < n; k++) {
		expects(&p->server[k], request, REQUEST);
		p->server[k].dribbles = dribbles >> (1 + k) & 1;
		if (k == i)
			write_flawed(&p->server[k], f, changed);
		else
			write_others(&p->server[k], f);
	}
}

struct entry {
	unsigned n, i;
	uint32_t dribbles;
};

#define ENTRIES 128

/* Each instance in turn; whole, the client dribbled, each server dribbled, all dribbled. Of sixteen, three. */
static size_t entries(struct entry *out)
{
	size_t count = 0;

	for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
		for (unsigned i = 0; i<counts[k]; i += counts[k]> 3 ? 15 : 1) {
			out[count++] = (struct entry){counts[k], i, 0};
			out[count++] = (struct entry){counts[k], i, UINT32_MAX};
			for (unsigned d = 0; d <= counts[k] && counts[k] <= 3; d++)
				out[count++] = (struct entry){counts[k], i, 1u << d};
		}
	}
	assert_true(count <= ENTRIES);
	return count;
}

static bool over(const struct play *p)
{
	bool over = client_closed(p);

	for (unsigned k = 0; over && k < p->n; k++)
		over = p->server[k].fd < 0 || p->server[k].reset || p->server[k].ended;
	return over;
}

static const char *service_name(char *buf, size_t size, const struct flaw *f, unsigned n)
{
	snprintf(buf, size, "%s%u", f->late ? "late" : "n", n);
	return buf;
}

static void check(const struct flaw *f, const struct entry *e, const struct play *p, json_object *records)
{
	struct expected expected = {
		.action = "deny",
		.reason = f->reason,
		.offset = f->reason ? (int64_t)agreed(f) : -1,
		.minority = e->n > 2 ? (int)e->i : -1,
		/* Of two, who is the one that others differ from is a matter of taste. */
		.why = e->n > 2 ? f->why : NULL,
	};
	char what[160], service[16];

	snprintf(what, sizeof(what), "%s: instance %u of %u, dribbling %x", f->name, e->i, e->n, e->dribbles);
	if (p->client.wrong || !p->client.reset || p->client.ended) {
		play_show(p);
		fail_msg("%s: what the client got was not compared, or it was not reset", what);
	}
	for (unsigned k = 0; k < p->n; k++) {
		if (!p->server[k].wrong)
			continue;
		play_show(p);
		fail_msg("%s: server %u heard something else than the request", what, k);
	}
	world_check_evidence(&w, records, p, service_name(service, sizeof(service), f, e->n), &expected, what);
}

/* All plays of a flaw at once, so that deadlines pass at the same time. */
static void show_flaw(const struct flaw *f)
{
	struct entry list[ENTRIES];
	size_t n = entries(list);
	struct play *plays = calloc(n, sizeof(*plays));
	uint8_t *changed = malloc(ANSWER + MORE);
	char service[16];

	assert_true(plays && changed);
	memcpy(changed, answer, ANSWER + MORE);
	if (f->deed == CHANGES)
		changed[f->at] ^= 0x20;
	for (size_t k = 0; k < n; k++) {
		cast(&plays[k], list[k].n, list[k].i, f, changed, list[k].dribbles);
		world_connect(&w, &plays[k], service_name(service, sizeof(service), f, list[k].n));
		play_gather_last(&w.stage, plays, k + 1);
	}
	if (!play_until(&w.stage, plays, n, NULL, over)) {
		for (size_t k = 0; k < n; k++) {
			if (!over(&plays[k]))
				play_show(&plays[k]);
		}
		fail_msg("%s: not every session ended", f->name);
	}
	json_object *records = NULL, *result = child_evidence(&w.daemon, n, &records);
	assert_int_equal(json_object_array_length(records), n);
	for (size_t k = 0; k < n; k++) {
		check(f, &list[k], &plays[k], records);
		play_free(&plays[k]);
	}
	json_object_put(result);
	free(plays);
	free(changed);
	child_wait_sessions(&w.daemon, 0);
}

static void show_flaws(enum deed first, enum deed last)
{
	for (size_t k = 0; k < sizeof(flaws) / sizeof(flaws[0]); k++) {
		if (flaws[k].deed >= first && flaws[k].deed <= last)
			show_flaw(&flaws[k]);
	}
}

static void bytes_changed(void **state)
{
	(void)state;
	show_flaws(CHANGES, CHANGES);
}

static void ends_that_differ(void **state)
{
	(void)state;
	show_flaws(FINS, RESETS);
}

static void silence_and_excess(void **state)
{
	(void)state;
	show_flaws(HUSHES, ADDS_AND_FINS);
}

static void ends_that_others_do_not_have(void **state)
{
	(void)state;
	show_flaws(STAYS, FINS_AT_ONCE);
}

static void refusals(void **state)
{
	static const struct flaw f = {"refuses", 0, "missing", "refused", REFUSES, false};
	struct entry list[ENTRIES];
	size_t n = entries(list);
	char service[16];

	(void)state;
	for (size_t k = 0; k < n; k++) {
		struct play p;

		stage_refuse(&w.stage, list[k].i, true);
		cast(&p, list[k].n, list[k].i, &f, answer, list[k].dribbles);
		world_connect(&w, &p, service_name(service, sizeof(service), &f, list[k].n));
		play_run(&w.stage, &p, client_closed);
		stage_refuse(&w.stage, list[k].i, false);
		check(&f, &list[k], &p, NULL);
		for (unsigned s = 0; s < p.n; s++)
			assert_int_equal(p.server[s].heard, 0);
		play_free(&p);
	}
	child_wait_sessions(&w.daemon, 0);
}

static uint64_t sum(const char *counter)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < w.n_offers; i++)
		all += child_counter(&w.daemon, w.offers[i].name, counter);
	return all;
}

/* Each session above was denied once, for one reason, with one record. */
static void counters_agree(void **state)
{
	static const char *const reasons[] = {"denied_divergence", "denied_missing", "denied_late", "denied_early_end"};
	uint64_t sessions = sum("sessions"), by_reason = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		uint64_t n = sum(reasons[i]);

		assert_true(n > 0);
		by_reason += n;
	}
	assert_true(sessions > 0);
	assert_int_equal(by_reason, sessions);
	assert_int_equal(sum("denied"), sessions);
	assert_int_equal(sum("divergences"), sessions);
	assert_int_equal(sum("evidence_recorded") + sum("evidence_dropped"), sessions);
	assert_int_equal(sum("evidence_dropped"), 0);
	assert_int_equal(sum("sessions_ended"), sessions);
	assert_int_equal(sum("reported") + sum("detached"), 0);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_changed),      cmocka_unit_test(ends_that_differ),
		cmocka_unit_test(silence_and_excess), cmocka_unit_test(ends_that_others_do_not_have),
		cmocka_unit_test(refusals),	      cmocka_unit_test(counters_agree),
		cmocka_unit_test(ends_in_order),
	};

	return world_run("stream: diverging", tests, sizeof(tests) / sizeof(tests[0]), begin, end);
}
