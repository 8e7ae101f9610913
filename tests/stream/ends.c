/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ends.c - how streams end: halves, resets, deadlines. All instances do the same here, or nobody does anything.
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

#define LOAD (4000000 / load_scale())
#define SKEW (patience_ms() / 10) /* ms */

static struct world w;
static uint8_t *up, *down;

static int begin(void **state)
{
	char skew[64];

	(void)state;
	up = noise_bytes(LOAD, 9);
	down = noise_bytes(LOAD, 10);
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "one", 1, "deadlines: { connect: 60s, skew: 60s }");
	world_add(&w, "three", 3, "deadlines: { connect: 60s, skew: 60s }");
	world_add(&w, "idle", 3, "deadlines: { idle: 300ms }");
	world_add(&w, "connect", 3, "deadlines: { connect: 400ms }");
	world_add(&w, "patient", 3, "deadlines: { connect: 60s, skew: 60s }");
	snprintf(skew, sizeof(skew), "deadlines: { connect: 60s, skew: %dms }", SKEW);
	world_add(&w, "skewed", 3, skew);
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	free(up);
	free(down);
	return 0;
}

static uint64_t counter(const char *service, const char *name)
{
	return child_counter(&w.daemon, service, name);
}

/* ---- halves ---- */

/* The client ends at once; the answers go on flowing. */
static void client_ends_first(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, 3);
	says(&p.client, up, 100);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, down, LOAD);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR_END, 0);
		says(&p.server[i], down, LOAD);
		does(&p.server[i], ACT_CLOSE, 0);
		expects(&p.server[i], up, 100);
	}
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, all_done);
	assert_int_equal(p.client.heard, LOAD);
	assert_true(p.client.ended && !p.client.reset);
	world_finish(&w, &p);
}

/* All servers end; the client goes on sending, and they go on reading. */
static void servers_end_first(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	says(&p.client, up, LOAD);
	does(&p.client, ACT_CLOSE, 0);
	expects(&p.client, down, 50);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], down, 50);
		does(&p.server[i], ACT_FIN, 0);
		does(&p.server[i], ACT_HEAR_END, 0);
		expects(&p.server[i], up, LOAD);
	}
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, all_done);
	assert_int_equal(p.client.heard, 50);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(p.server[i].heard, LOAD);
		assert_true(p.server[i].ended && !p.server[i].reset);
	}
	world_finish(&w, &p);
}

/* All servers close for good; a client that goes on sending is told, as it would be without us. */
static void servers_close_client_sends(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	does(&p.client, ACT_CUE, 1);
	says(&p.client, up, LOAD);
	says(&p.client, up, LOAD);
	expects(&p.client, down, 50);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], down, 50);
		does(&p.server[i], ACT_CLOSE, 0);
	}
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.ended && p.client.heard == 50);
	p.cue = 1;
	play_run(&w.stage, &p, client_reset);
	assert_true(p.client.reset);
	world_finish(&w, &p);
}

/* Some servers close for good, one only ends its half: it still gets what the client says. */
static void one_server_goes_on_reading(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	says(&p.client, up, LOAD);
	does(&p.client, ACT_CLOSE, 0);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], down, 50);
		does(&p.server[i], i == 1 ? ACT_FIN : ACT_CLOSE, 0);
	}
	does(&p.server[1], ACT_HEAR_END, 0);
	expects(&p.server[1], up, LOAD);
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, all_done);
	assert_int_equal(p.server[1].heard, LOAD);
	world_finish(&w, &p);
}

/* ---- resets ---- */

static bool any_moved(const struct play *p)
{
	return p->client.spoken > LOAD / 4 || p->client.heard > LOAD / 4;
}

/* The client is reset amid a transfer: each server sees a reset. up_way: it is the one that sends. */
static void reset_client(bool up_way)
{
	uint64_t before = counter("three", "lone_resets");
	struct play p;

	play_init(&p, 3);
	if (up_way)
		says(&p.client, up, LOAD);
	for (unsigned i = 0; i < 3; i++) {
		if (!up_way)
			says(&p.server[i], down, LOAD);
		expects(&p.server[i], up, LOAD);
	}
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, any_moved);
	/* Not by script: data may be under way. */
	struct linger at_once = {.l_onoff = 1};
	setsockopt(p.client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(p.client.fd);
	p.client.fd = -1;
	play_run(&w.stage, &p, servers_reset);
	/* Nobody may take what was cut for a whole. */
	for (unsigned i = 0; i < 3; i++)
		assert_false(p.server[i].ended);
	child_wait_counter(&w.daemon, "three", "lone_resets", before + 1);
	world_finish(&w, &p);
}

static void client_resets(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		reset_client(true);
		reset_client(false);
	}
}

/* Also when the client was not being read because nobody took what it said. */
static void client_resets_while_held_up(void **state)
{
	uint64_t before = counter("three", "lone_resets");
	struct play p;
	uint64_t begun = now_ms(), full = begun;
	uint8_t *much = noise_bytes(40000000, 11);

	(void)state;
	play_init(&p, 3);
	says(&p.client, much, 40000000);
	for (unsigned i = 0; i < 3; i++)
		does(&p.server[i], ACT_DEAF, 0);
	world_play(&w, &p, "three");
	/* Until every buffer on the way is full. Over TLS there is a handshake first, in which nothing is spoken. */
	while (!p.client.spoken || now_ms() - full < 100) {
		size_t spoken = p.client.spoken;

		play_turn(&w.stage, &p, 1, NULL, 100);
		if (p.client.spoken != spoken)
			full = now_ms();
		assert_true(now_ms() - begun < (uint64_t)patience_ms());
	}
	struct linger at_once = {.l_onoff = 1};
	setsockopt(p.client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(p.client.fd);
	p.client.fd = -1;
	child_wait_counter(&w.daemon, "three", "lone_resets", before + 1);
	play_run(&w.stage, &p, servers_reset);
	world_finish(&w, &p);
	free(much);
}

/* All servers are reset: so is the client, behind what they had said. */
static void servers_reset_all(void **state)
{
	static const char *const services[] = {"one", "three"};
	static const unsigned counts[] = {1, 3};

	(void)state;
	for (int k = 0; k < 2; k++) {
		for (int dribbled = 0; dribbled < 2; dribbled++) {
			struct play p;

			play_init(&p, counts[k]);
			says(&p.client, up, 50);
			does(&p.client, ACT_HEAR_END, 0);
			expects(&p.client, down, 300);
			for (unsigned i = 0; i < p.n; i++) {
				does(&p.server[i], ACT_HEAR, 50);
				says(&p.server[i], down, 300);
				does(&p.server[i], ACT_RESET, 0);
				p.server[i].dribbles = dribbled;
			}
			world_play(&w, &p, services[k]);
			play_run(&w.stage, &p, client_closed);
			assert_true(p.client.reset && !p.client.ended);
			world_finish(&w, &p);
		}
	}
	assert_int_equal(counter("three", "divergences"), 0);
	assert_int_equal(counter("one", "divergences"), 0);
}

/* ---- deadlines ---- */

static void idle(void **state)
{
	uint64_t before = counter("idle", "idle_timeouts");
	struct play p;

	(void)state;
	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	world_play(&w, &p, "idle");
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.reset);
	play_run(&w.stage, &p, servers_reset);
	world_finish(&w, &p);
	assert_int_equal(counter("idle", "idle_timeouts"), before + 1);
	assert_int_equal(counter("idle", "divergences"), 0);
}

static void connecting(void **state)
{
	uint64_t before = counter("connect", "dial_timed_out");

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct expected e = {"deny", "missing", 0, (int)i, "timed-out"};
		struct play p;

		stage_fill(&w.stage, i);
		play_init(&p, 3);
		says(&p.client, up, 100);
		does(&p.client, ACT_HEAR_END, 0);
		expects(&p.client, down, 0);
		for (unsigned k = 0; k < 3; k++)
			says(&p.server[k], down, 100);
		world_connect(&w, &p, "connect");
		play_run(&w.stage, &p, client_closed);
		assert_true(p.client.reset);
		/* Nobody is asked before everybody can be. */
		for (unsigned k = 0; k < 3; k++)
			assert_int_equal(p.server[k].heard, 0);
		world_finish(&w, &p);
		stage_unfill(&w.stage, i);
		world_check_evidence(&w, NULL, &p, "connect", &e, "an instance that is never reached");
	}
	assert_int_equal(counter("connect", "dial_timed_out"), before + 3);
}

/* Everything that a server says, its end with it, is there before the daemon hears that it is connected. With TLS it
 * is heard first. */
static void said_before_connected(void **state)
{
	struct play p;

	(void)state;
	stage_fill(&w.stage, 1);
	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	does(&p.client, ACT_CLOSE, 0);
	expects(&p.client, down, 300);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], down, 300);
		does(&p.server[i], ACT_CLOSE, 0);
	}
	world_connect(&w, &p, "patient");
	/* It dials, and waits: instance 1's kernel will answer to the SYN when it is sent again. */
	child_wait_counter(&w.daemon, "patient", "dials", counter("patient", "dials"));
	while (p.server[0].connections + p.server[2].connections < 2)
		play_turn(&w.stage, &p, 1, &p, 100);
	child_freeze(&w.daemon);
	stage_unfill(&w.stage, 1);
	play_run(&w.stage, &p, servers_done);
	child_thaw(&w.daemon);
	play_run(&w.stage, &p, client_done);
	assert_int_equal(p.client.heard, 300);
	assert_false(p.client.reset);
	world_finish(&w, &p);
}

/* A client that does not read for longer than the skew deadline: nobody is late. */
static void client_rests(void **state)
{
	size_t len = 30000000;
	uint8_t *much = noise_bytes(len, 12);
	uint64_t until;
	struct play p;

	(void)state;
	play_init(&p, 3);
	does(&p.client, ACT_DEAF, 0);
	does(&p.client, ACT_CUE, 1);
	does(&p.client, ACT_LISTEN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	does(&p.client, ACT_FIN, 0);
	expects(&p.client, much, len);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], much, len);
		does(&p.server[i], ACT_FIN, 0);
		does(&p.server[i], ACT_HEAR_END, 0);
	}
	world_play(&w, &p, "skewed");
	/* Twice the deadline. */
	for (until = now_ms() + 2 * SKEW; now_ms() < until;)
		play_turn(&w.stage, &p, 1, NULL, 50);
	assert_int_equal(counter("skewed", "divergences"), 0);
	p.cue = 1;
	play_run(&w.stage, &p, all_done);
	assert_int_equal(p.client.heard, len);
	assert_false(p.client.reset);
	world_finish(&w, &p);
	assert_int_equal(counter("skewed", "divergences"), 0);
	free(much);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_ends_first),
		cmocka_unit_test(servers_end_first),
		cmocka_unit_test(servers_close_client_sends),
		cmocka_unit_test(one_server_goes_on_reading),
		cmocka_unit_test(client_resets),
		cmocka_unit_test(client_resets_while_held_up),
		cmocka_unit_test(servers_reset_all),
		cmocka_unit_test(idle),
		cmocka_unit_test(connecting),
		cmocka_unit_test_prestate(said_before_connected, &world_in_clear),
		cmocka_unit_test(client_rests),
		cmocka_unit_test(ends_in_order),
	};

	return world_run("stream: ends", tests, sizeof(tests) / sizeof(tests[0]), begin, end);
}
