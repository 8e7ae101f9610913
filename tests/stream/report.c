/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * report.c - enforcing: false. Instance 0 goes straight through, whatever the others do, and how it ends is what the
 * client sees; what differs is reported, and who lags is detached.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "play/world.h"

#define REQUEST 200
#define ANSWER	400
#define LAG	(256u << 10)

static struct world w;
static uint8_t *request, *answer, *changed;

static int begin(void **state)
{
	char options[160];

	(void)state;
	request = noise_bytes(REQUEST, 5);
	answer = noise_bytes(ANSWER, 6);
	changed = noise_bytes(ANSWER, 6);
	changed[ANSWER / 2] ^= 1;
	world_init(&w, AF_INET, 3, "workers: 1");
	snprintf(options, sizeof(options), "enforcing: false|limits: { lag: %uKiB }|deadlines: { skew: 60s }",
		 LAG >> 10);
	world_add(&w, "two", 2, options);
	world_add(&w, "three", 3, options);
	world_add(&w, "late", 3, "enforcing: false|deadlines: { skew: 200ms, connect: 60s }");
	world_add(&w, "one", 1, "enforcing: false");
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	free(request);
	free(answer);
	free(changed);
	return 0;
}

/* ---- counters ---- */

struct counted {
	uint64_t sessions, reported, detached, divergences, denied, recorded;
};

static struct counted count(const char *service)
{
	return (struct counted){
		.sessions = child_counter(&w.daemon, service, "sessions"),
		.reported = child_counter(&w.daemon, service, "reported"),
		.detached = child_counter(&w.daemon, service, "detached"),
		.divergences = child_counter(&w.daemon, service, "divergences"),
		.denied = child_counter(&w.daemon, service, "denied"),
		.recorded = child_counter(&w.daemon, service, "evidence_recorded"),
	};
}

static void check_counted(const char *service, const struct counted *before, uint64_t reported, uint64_t detached)
{
	struct counted now = count(service);

	if (now.reported - before->reported != reported)
		child_show_log(&w.daemon);
	assert_int_equal(now.reported - before->reported, reported);
	assert_int_equal(now.divergences - before->divergences, reported);
	assert_int_equal(now.recorded - before->recorded, reported);
	assert_int_equal(now.detached - before->detached, detached);
	assert_int_equal(now.denied - before->denied, 0);
}

/* ---- the others differ ---- */

enum deed { AGREES, CHANGES, HUSHES, REFUSES, RESETS, RESETS_AMID, CLOSES, FINS, ADDS };

struct fault {
	const char *name;
	enum deed deed;
	const char *reason;
};

static const struct fault faults[] = {
	{"changes a byte", CHANGES, "divergence"}, {"refuses", REFUSES, "missing"},
	{"resets at once", RESETS, NULL},	   {"resets amid its answer", RESETS_AMID, "divergence"},
	{"closes at once", CLOSES, NULL},	   {"ends at once", FINS, "divergence"},
};

static void write_other(struct end *e, enum deed deed)
{
	switch (deed) {
	case REFUSES:
		return;
	case RESETS:
		says(e, answer, 0);
		does(e, ACT_RESET, 0);
		return;
	case CLOSES:
		says(e, answer, 0);
		does(e, ACT_CLOSE, 0);
		return;
	case FINS:
		says(e, answer, 0);
		does(e, ACT_FIN, 0);
		return;
	case RESETS_AMID:
		does(e, ACT_HEAR, REQUEST);
		says(e, answer, ANSWER / 2);
		does(e, ACT_RESET, 0);
		return;
	default:
		does(e, ACT_HEAR, REQUEST);
		if (deed != HUSHES)
			says(e, deed == CHANGES ? changed : answer, ANSWER);
		does(e, ACT_HEAR_END, 0);
		if (deed != HUSHES)
			does(e, ACT_FIN, 0);
	}
}

/* The client asks, hears the whole answer, waits for its cue, and ends. */
static void cast(struct play *p, unsigned n, uint32_t dribbles)
{
	play_init(p, n);
	says(&p->client, request, REQUEST);
	does(&p->client, ACT_HEAR, ANSWER);
	does(&p->client, ACT_CUE, 1);
	does(&p->client, ACT_FIN, 0);
	does(&p->client, ACT_HEAR_END, 0);
	expects(&p->client, answer, ANSWER);
	p->client.dribbles = dribbles & 1;
	for (unsigned i = 0; i < n; i++) {
		expects(&p->server[i], request, REQUEST);
		p->server[i].dribbles = dribbles >> (1 + i) & 1;
	}
	write_other(&p->server[0], AGREES);
}

static bool answered(const struct play *p)
{
	return p->client.heard == ANSWER;
}

/* Everybody has said what there was to say, but for those who were let go. */
static bool over(const struct play *p)
{
	bool over = client_done(p);

	for (unsigned i = 0; over && i < p->n; i++)
		over = end_done(&p->server[i]) || p->server[i].reset;
	return over;
}

static void finish(struct play *p)
{
	p->cue = 1;
	play_run(&w.stage, p, over);
	if (p->client.wrong || p->client.reset || p->client.heard != ANSWER) {
		play_show(p);
		fail_msg("the client did not see instance 0's answer and its end");
	}
	play_free(p);
	child_wait_sessions(&w.daemon, 0);
}

static void show_fault(const char *service, unsigned n, unsigned who, const struct fault *f, uint32_t dribbles)
{
	struct counted before = count(service);
	struct expected e = {"report", f->reason, -1, n > 2 ? (int)who : -1, NULL};
	struct play p;
	char what[128];

	snprintf(what, sizeof(what), "instance %u of %u %s, dribbling %x", who, n, f->name, dribbles);
	if (!f->reason)
		e.minority = -2;
	cast(&p, n, dribbles);
	for (unsigned i = 1; i < n; i++)
		write_other(&p.server[i], i == who ? f->deed : AGREES);
	stage_refuse(&w.stage, who, f->deed == REFUSES);
	world_connect(&w, &p, service);
	play_run(&w.stage, &p, answered);
	stage_refuse(&w.stage, who, false);
	/* It is reported without anybody having to end. */
	world_play_until_counted(&w, &p, service, "reported", before.reported + 1);
	finish(&p);
	check_counted(service, &before, 1, 1);
	world_check_evidence(&w, NULL, &p, service, &e, what);
}

static void others_differ(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(faults) / sizeof(faults[0]); k++) {
		for (uint32_t d = 0; d < 5; d++) {
			uint32_t dribbles = d ? 1u << (d - 1) : 0;

			if (d < 4)
				show_fault("two", 2, 1, &faults[k], dribbles);
			show_fault("three", 3, 1, &faults[k], dribbles);
			show_fault("three", 3, 2, &faults[k], dribbles);
		}
		show_fault("two", 2, 1, &faults[k], UINT32_MAX);
		show_fault("three", 3, 2, &faults[k], UINT32_MAX);
	}
}

static void nothing_to_report(void **state)
{
	(void)state;
	for (uint32_t d = 0; d < 6; d++) {
		struct counted before = count("three");
		struct play p;

		cast(&p, 3, d < 5 ? (d ? 1u << (d - 1) : 0) : UINT32_MAX);
		write_other(&p.server[1], AGREES);
		write_other(&p.server[2], AGREES);
		world_play(&w, &p, "three");
		play_run(&w.stage, &p, answered);
		finish(&p);
		check_counted("three", &before, 0, 0);
	}
}

/* Both others differ, in different ways. */
static void nobody_is_left(void **state)
{
	struct counted before = count("three");
	struct play p;

	(void)state;
	cast(&p, 3, 0);
	write_other(&p.server[1], CHANGES);
	write_other(&p.server[2], RESETS_AMID);
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, answered);
	world_play_until_counted(&w, &p, "three", "detached", before.detached + 2);
	finish(&p);
	check_counted("three", &before, 2, 2);
}

/* ---- the others are late ---- */

static void others_are_silent(void **state)
{
	struct counted before = count("late");
	struct expected e = {"report", "late", 0, -2, "was silent"};
	struct play p;

	(void)state;
	cast(&p, 3, 0);
	write_other(&p.server[1], HUSHES);
	write_other(&p.server[2], HUSHES);
	world_play(&w, &p, "late");
	play_run(&w.stage, &p, answered);
	world_play_until_counted(&w, &p, "late", "detached", before.detached + 2);
	finish(&p);
	check_counted("late", &before, 2, 2);
	world_check_evidence(&w, NULL, &p, "late", &e, "both others are silent");
}

/* The skew deadline passes while an instance is still being dialled: it goes, and the third takes part all the same. */
static void other_is_never_reached(void **state)
{
	struct counted before = count("late");
	struct expected e = {"report", "late", 0, 1, "was silent"};
	struct play p;

	(void)state;
	stage_fill(&w.stage, 1);
	cast(&p, 3, 0);
	write_other(&p.server[2], AGREES);
	world_connect(&w, &p, "late");
	play_run(&w.stage, &p, answered);
	world_play_until_counted(&w, &p, "late", "detached", before.detached + 1);
	finish(&p);
	stage_unfill(&w.stage, 1);
	check_counted("late", &before, 1, 1);
	world_check_evidence(&w, NULL, &p, "late", &e, "instance 1 is never reached");
}

/* ---- the others lag ---- */

static bool everything_came(const struct play *p)
{
	return p->client.heard == p->client.expect_len && p->server[0].heard == p->server[0].expect_len;
}

/* 8 MB each way past two that do not keep up: one does not read, one does not speak. */
static void others_lag(void **state)
{
	size_t len = 8000000 / load_scale() + 4 * LAG;
	uint8_t *up = noise_bytes(len, 7), *down = noise_bytes(len, 8);
	struct counted before = count("three");
	struct play p;

	(void)state;
	play_init(&p, 3);
	says(&p.client, up, len);
	does(&p.client, ACT_HEAR, len);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, down, len);
	says(&p.server[0], down, len);
	does(&p.server[0], ACT_HEAR_END, 0);
	does(&p.server[0], ACT_FIN, 0);
	expects(&p.server[0], up, len);
	does(&p.server[1], ACT_DEAF, 0);
	says(&p.server[1], down, len);
	says(&p.server[2], down, len / 2);
	expects(&p.server[2], up, len);
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, everything_came);
	play_run(&w.stage, &p, client_done);
	assert_false(p.client.wrong || p.client.reset || p.server[0].wrong);
	play_free(&p);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(count("three").detached - before.detached, 2);
	assert_int_equal(count("three").denied, 0);
	free(up);
	free(down);
}

/* ---- instance 0 ---- */

static void source_refuses(void **state)
{
	struct counted before = count("three");
	struct expected e = {"report", "missing", 0, 0, "refused"};
	struct play p;

	(void)state;
	play_init(&p, 3);
	says(&p.client, request, REQUEST);
	stage_refuse(&w.stage, 0, true);
	world_connect(&w, &p, "three");
	play_run(&w.stage, &p, client_closed);
	stage_refuse(&w.stage, 0, false);
	assert_true(p.client.reset);
	assert_int_equal(p.client.heard, 0);
	play_free(&p);
	child_wait_sessions(&w.daemon, 0);
	check_counted("three", &before, 1, 0);
	world_check_evidence(&w, NULL, &p, "three", &e, "instance 0 refuses");
}

/* How instance 0 ends is what the client sees, though the others go on. */
static void source_ends(void **state)
{
	static const enum act_kind endings[] = {ACT_FIN, ACT_CLOSE, ACT_RESET};

	(void)state;
	for (size_t k = 0; k < 3; k++) {
		struct play p;

		play_init(&p, 3);
		says(&p.client, request, REQUEST);
		does(&p.client, ACT_HEAR_END, 0);
		does(&p.client, ACT_FIN, 0);
		expects(&p.client, answer, ANSWER / 2);
		does(&p.server[0], ACT_HEAR, REQUEST);
		says(&p.server[0], answer, ANSWER / 2);
		does(&p.server[0], endings[k], 0);
		for (unsigned i = 1; i < 3; i++) {
			does(&p.server[i], ACT_HEAR, REQUEST);
			says(&p.server[i], answer, ANSWER);
		}
		world_play(&w, &p, "three");
		play_run(&w.stage, &p, client_closed);
		if (p.client.wrong || p.client.heard != ANSWER / 2 || p.client.reset != (endings[k] == ACT_RESET)) {
			play_show(&p);
			fail_msg("the client did not see the end of instance 0 as it was, kind %zu", k);
		}
		if (endings[k] != ACT_RESET)
			play_run(&w.stage, &p, client_done);
		play_free(&p);
		child_wait_sessions(&w.daemon, 0);
	}
}

/* What the others say behind instance 0's end is looked at, though the client has long gone. */
static void judged_after_the_end(void **state)
{
	struct counted before = count("three");
	struct play p;

	(void)state;
	cast(&p, 3, 0);
	p.server[0].n_acts = 0;
	does(&p.server[0], ACT_HEAR, REQUEST);
	says(&p.server[0], answer, ANSWER);
	does(&p.server[0], ACT_CLOSE, 0);
	for (unsigned i = 1; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, REQUEST);
		does(&p.server[i], ACT_CUE, 2);
		says(&p.server[i], i == 1 ? changed : answer, ANSWER);
		does(&p.server[i], ACT_CLOSE, 0);
	}
	world_play(&w, &p, "three");
	p.cue = 1;
	play_run(&w.stage, &p, client_done);
	assert_false(p.client.wrong || p.client.reset);
	assert_int_equal(p.client.heard, ANSWER);
	p.cue = 2;
	play_run(&w.stage, &p, all_done);
	play_free(&p);
	child_wait_sessions(&w.daemon, 0);
	check_counted("three", &before, 1, 1);
}

static void one_instance(void **state)
{
	struct counted before = count("one");
	struct play p;

	(void)state;
	cast(&p, 1, 0);
	world_play(&w, &p, "one");
	play_run(&w.stage, &p, answered);
	finish(&p);
	check_counted("one", &before, 0, 0);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_to_report), cmocka_unit_test(others_differ),
		cmocka_unit_test(nobody_is_left),    cmocka_unit_test(others_are_silent),
		cmocka_unit_test(others_lag),	     cmocka_unit_test(source_refuses),
		cmocka_unit_test(source_ends),	     cmocka_unit_test(judged_after_the_end),
		cmocka_unit_test(one_instance),	     cmocka_unit_test(other_is_never_reached),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("stream: reporting", tests, begin, end);
}
