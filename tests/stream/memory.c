/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory.c - readers that are slow, or stop: what the daemon holds stays bounded, and everything arrives in the end.
 *
 * The bound, from the code: an end is read while less than 128 KiB of it is held for others, and the source, of which
 * as much again may wait for the lone end, up to 256 KiB; so a session of N holds at most (N + 2) times 128 KiB. A
 * worker keeps 8 MiB of free blocks at most. The tests allow 4 MiB more for code and the like that is first used: so
 * one session of three may add 12.6 MiB, while 80 MB go through it (20 MB from each of four ends).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define LOAD	   (50000000 / load_scale())
#define BOTH	   (20000000 / load_scale()) /* either way at once */
#define SESSION_KB ((3 + 2) * 128)
#define WORKER_KB  (8192 + 4096)
#define MANY	   20
/*
 * What more a session may hold that reports: limits.lag of the source and of the lone stream, in buffers that double.
 * It is more than the kernel's own buffers, so that nobody is ever detached for what lies in those.
 */
#define LAG_MB	  16
#define REPORT_KB (2 * 2 * LAG_MB * 1024)
/* Bytes a second that its client reads. At what loopback can do, an instance not run for 10 ms is LAG_MB behind. */
#define REPORT_RATE 20000000

static struct world w;
static uint8_t *much;
static size_t before_kb;

static int begin(void **state)
{
	char watched[128];

	(void)state;
	much = noise_bytes(50000000, 13);
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	snprintf(watched, sizeof(watched), "enforcing: false|deadlines: { skew: 60s }|limits: { lag: %dMiB }", LAG_MB);
	world_add(&w, "watched", 3, watched);
	world_start(&w);
	before_kb = child_rss_kb(&w.daemon);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	free(much);
	return 0;
}

/* The sanitizers' shadow and quarantine are not the daemon's. */
static bool measurable(void)
{
	return !child_is_sanitized(&w.daemon);
}

static void check_memory(size_t sessions, size_t more_kb, const char *what)
{
	size_t kb = child_rss_kb(&w.daemon), bound = before_kb + WORKER_KB + sessions * (SESSION_KB + more_kb);

	if (getenv("RDDR_STREAM_LOG"))
		fprintf(stderr, "%s: %zu KiB, %zu before, bound %zu\n", what, kb, before_kb, bound);
	if (measurable() && kb > bound)
		fail_msg("%s: %zu KiB resident, %zu at the start; the bound is %zu", what, kb, before_kb, bound);
}

static size_t moved(const struct play *plays, size_t n)
{
	size_t bytes = 0;

	for (size_t k = 0; k < n; k++) {
		bytes += plays[k].client.spoken + plays[k].client.heard;
		for (unsigned i = 0; i < plays[k].n; i++)
			bytes += plays[k].server[i].spoken + plays[k].server[i].heard;
	}
	return bytes;
}

/* Plays until every buffer on the way is full and nothing moves any more. */
static void play_until_full(struct play *plays, size_t n)
{
	for (int quiet = 0; quiet < 3; quiet++) {
		size_t bytes = moved(plays, n);

		play_turn(&w.stage, plays, n, NULL, 50);
		if (moved(plays, n) != bytes)
			quiet = 0;
	}
}

static void finish(struct play *plays, size_t n)
{
	bool good = true;

	for (size_t k = 0; k < n; k++) {
		good &= !plays[k].client.wrong && !plays[k].client.reset &&
			plays[k].client.heard == plays[k].client.expect_len;
		for (unsigned i = 0; i < plays[k].n; i++)
			good &= !plays[k].server[i].wrong && plays[k].server[i].heard == plays[k].server[i].expect_len;
		if (!good) {
			play_show(&plays[k]);
			fail_msg("not everything arrived");
		}
		play_free(&plays[k]);
	}
	child_wait_sessions(&w.daemon, 0);
}

/* The client stops reading while the servers send, or servers stop while the client sends; who: a bit for each that is
 * deaf, the client first. */
static void cast(struct play *p, size_t up, size_t down, unsigned deaf)
{
	play_init(p, 3);
	for (unsigned i = 0; i < 4; i++) {
		struct end *e = i ? &p->server[i - 1] : &p->client;

		if (deaf >> i & 1)
			does(e, ACT_DEAF, 0);
		says(e, much, i ? down : up);
		if (deaf >> i & 1) {
			does(e, ACT_CUE, 1);
			does(e, ACT_LISTEN, 0);
		}
		does(e, ACT_HEAR, i ? up : down);
		does(e, ACT_FIN, 0);
		does(e, ACT_HEAR_END, 0);
		expects(e, much, i ? up : down);
	}
	/* Deaf ones speak when they listen again, or they would never come to it. */
	for (unsigned i = 0; i < 4; i++) {
		struct end *e = i ? &p->server[i - 1] : &p->client;

		if (deaf >> i & 1) {
			struct act say = e->acts[1];

			e->acts[1] = e->acts[2];
			e->acts[2] = e->acts[3];
			e->acts[3] = say;
		}
	}
}

static void stopped(const char *service, size_t sessions, size_t up, size_t down, unsigned deaf, size_t more_kb,
		    const char *what)
{
	struct play *plays = calloc(sessions, sizeof(*plays));

	assert_non_null(plays);
	for (size_t k = 0; k < sessions; k++) {
		cast(&plays[k], up, down, deaf);
		plays[k].client.rate = more_kb ? REPORT_RATE : 0;
		world_connect(&w, &plays[k], service);
		play_gather_last(&w.stage, plays, k + 1);
	}
	play_until_full(plays, sessions);
	check_memory(sessions, more_kb, what);
	for (size_t k = 0; k < sessions; k++)
		plays[k].cue = 1;
	if (!play_until(&w.stage, plays, sessions, NULL, all_done)) {
		play_show(&plays[0]);
		fail_msg("%s: it did not go on", what);
	}
	check_memory(sessions, more_kb, what);
	finish(plays, sessions);
	if (!more_kb)
		check_memory(0, 0, what);
	free(plays);
}

static void client_stops_reading(void **state)
{
	(void)state;
	stopped("three", 1, 100, LOAD, 1, 0, "the client stops reading");
	assert_int_equal(child_counter(&w.daemon, "three", "divergences"), 0);
}

static void server_stops_reading(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++)
		stopped("three", 1, LOAD, 100, 2u << i, 0, "a server stops reading");
	stopped("three", 1, LOAD, 100, 14, 0, "all servers stop reading");
	assert_int_equal(child_counter(&w.daemon, "three", "divergences"), 0);
}

static void both_ways_past_one_that_stops_reading(void **state)
{
	(void)state;
	stopped("three", 1, BOTH, BOTH, 1, 0, "both ways, and the client stops reading");
	stopped("three", 1, BOTH, BOTH, 2, 0, "both ways, and a server stops reading");
	assert_int_equal(child_counter(&w.daemon, "three", "divergences"), 0);
}

static void many_sessions(void **state)
{
	(void)state;
	stopped("three", MANY, 100, LOAD / 10, 1, 0, "twenty clients stop reading");
	stopped("three", MANY, LOAD / 10, 100, 4, 0, "twenty servers stop reading");
	stopped("three", MANY, LOAD / 10, LOAD / 10, 15, 0, "twenty times nobody reads");
	assert_int_equal(child_counter(&w.daemon, "three", "divergences"), 0);
}

static void watched_client_stops_reading(void **state)
{
	(void)state;
	stopped("watched", 1, 100, LOAD, 1, REPORT_KB, "the client of a watched service stops reading");
	stopped("watched", MANY, 100, LOAD / 10, 1, REPORT_KB, "twenty clients of a watched service stop reading");
	assert_int_equal(child_counter(&w.daemon, "watched", "divergences"), 0);
	assert_int_equal(child_counter(&w.daemon, "watched", "detached"), 0);
}

/* Both ways at once past a reader of 2 MB/s: the others wait for it. */
static void slow_reader(void **state)
{
	size_t len = BOTH;

	(void)state;
	for (unsigned who = 0; who < 3; who += 2) {
		struct play p;

		cast(&p, len, len, 0);
		(who ? &p.server[who - 1] : &p.client)->rate = 2000000;
		world_play(&w, &p, "three");
		uint64_t limit = now_ms() + 6 * (uint64_t)patience_ms();
		for (int turn = 0; !all_done(&p); turn++) {
			if (now_ms() > limit) {
				play_show(&p);
				fail_msg("a slow reader never got everything");
			}
			play_turn(&w.stage, &p, 1, NULL, 100);
			if (turn % 100 == 0)
				check_memory(1, 0, "a slow reader");
		}
		finish(&p, 1);
	}
	assert_int_equal(child_counter(&w.daemon, "three", "divergences"), 0);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	/* The watched one last: the allocator keeps some of what was much. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_stops_reading),
		cmocka_unit_test(server_stops_reading),
		cmocka_unit_test(both_ways_past_one_that_stops_reading),
		cmocka_unit_test(many_sessions),
		cmocka_unit_test(slow_reader),
		cmocka_unit_test(watched_client_stops_reading),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("stream: memory", tests, begin, end);
}
