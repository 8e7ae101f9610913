/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chaos.c - hundreds of sessions whose ends do anything at any time: say something, stop reading, end, close, reset.
 * Whatever comes of it, the client hears nothing but the beginning of what all servers say, the servers nothing but the
 * beginning of what the client says, and nothing is left of it.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define SESSIONS 40 /* at once */
#define STREAM	 300000

static const char *const services[] = {"three", "watched", "one", "lines"};
static const unsigned counts[] = {3, 3, 1, 3};

static struct world w;
static uint8_t *up, *down;
static uint64_t seed;

static unsigned chance(unsigned of)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % of;
}

static int begin(void **state)
{
	const char *build = getenv("RDDR_BUILD");
	char plugin[PATH_MAX], path[PATH_MAX], options[PATH_MAX + 64];

	(void)state;
	up = noise_bytes(STREAM, 20);
	down = noise_bytes(STREAM, 21);
	/* Lines, for who wants them. */
	for (size_t i = 0; i < STREAM; i += 1 + i % 97)
		up[i] = down[i] = '\n';
	snprintf(path, sizeof(path), "%s/diff/skeleton.so", build ? build : "build");
	assert_non_null(realpath(path, plugin));
	world_init(&w, AF_INET, 3, "workers: 2");
	world_add(&w, "three", 3, "deadlines: { skew: 200ms, idle: 1s, linger: 100ms }");
	world_add(&w, "watched", 3, "enforcing: false|deadlines: { skew: 200ms, idle: 1s }|limits: { lag: 64KiB }");
	world_add(&w, "one", 1, "deadlines: { idle: 1s }");
	snprintf(options, sizeof(options), "diff-class: %s|deadlines: { skew: 200ms, idle: 1s, linger: 100ms }",
		 plugin);
	world_add(&w, "lines", 3, options);
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

/* A script of its own making. What is said goes on where the last word ended. */
static void improvise(struct end *e, const uint8_t *stream)
{
	size_t said = 0;

	e->dribbles = chance(6) == 0;
	for (unsigned n = chance(ACTS - 6); n > 0; n--) {
		size_t len = e->dribbles ? chance(200) : chance(4) ? chance(3000) : chance(60000);

		switch (chance(8)) {
		case 0:
			does(e, ACT_DEAF, 0);
			break;
		case 1:
			does(e, ACT_LISTEN, 0);
			break;
		case 2:
			does(e, ACT_HEAR, chance(2000));
			break;
		default:
			if (said + len > STREAM)
				break;
			says(e, stream + said, len);
			said += len;
		}
	}
	static const enum act_kind endings[] = {ACT_FIN, ACT_CLOSE, ACT_RESET, ACT_HEAR_END};
	does(e, endings[chance(4)], 0);
	if (chance(2))
		does(e, ACT_LISTEN, 0);
}

/* The servers mostly do the same, so that sessions come to something. */
static void cast(struct play *p, size_t k)
{
	bool lines = !strcmp(services[k], "lines");

	play_init(p, counts[k]);
	improvise(&p->client, up);
	/* A denial of the plugin's may follow; and a server that is dialled again hears the rest alone. */
	if (!lines)
		expects(&p->client, down, STREAM);
	struct end plan = p->server[0];
	improvise(&plan, down);
	for (unsigned i = 0; i < p->n; i++) {
		if (chance(4))
			p->server[i] = plan;
		else
			improvise(&p->server[i], down);
		if (!lines)
			expects(&p->server[i], up, STREAM);
	}
}

/* Every fourth round is the last service's alone. */
static size_t service_of(unsigned round, size_t k)
{
	return round % 4 == 3 ? 3 : (round + k) % 3;
}

static void one_round(unsigned round)
{
	struct play *plays = calloc(SESSIONS, sizeof(*plays));
	uint64_t turns = 300;

	assert_non_null(plays);
	for (size_t k = 0; k < SESSIONS; k++) {
		size_t which = service_of(round, k);

		cast(&plays[k], which);
		world_connect(&w, &plays[k], services[which]);
		play_gather_last(&w.stage, plays, k + 1);
	}
	while (turns-- > 0)
		play_turn(&w.stage, plays, SESSIONS, NULL, 1);
	for (size_t k = 0; k < SESSIONS; k++) {
		play_check(&plays[k], services[service_of(round, k)]);
		play_free(&plays[k]);
	}
	free(plays);
	/* Whoever was dialled again and found nobody. */
	for (unsigned i = 0; i < w.stage.n; i++) {
		for (struct play p; play_init(&p, 0), play_accept(&w.stage, i, &p);)
			play_free(&p);
	}
	child_wait_sessions(&w.daemon, 0);
}

static void anything_goes(void **state)
{
	size_t rounds = 4 + 12 / load_scale();
	const char *from = getenv("RDDR_STREAM_SEED");

	(void)state;
	one_round(0);
	child_wait_sessions(&w.daemon, 0);
	size_t fds = child_fds(&w.daemon, SIZE_MAX);
	for (unsigned round = 0; round < rounds; round++) {
		seed = round + 1 + (from ? strtoull(from, NULL, 10) : 0);
		one_round(round);
	}
	child_wait_sessions(&w.daemon, 0);
	assert_true(child_fds(&w.daemon, fds) <= fds);
	for (size_t k = 0; k < sizeof(services) / sizeof(services[0]); k++) {
		assert_int_equal(child_counter(&w.daemon, services[k], "denied_failed"), 0);
		assert_int_equal(child_counter(&w.daemon, services[k], "sessions"),
				 child_counter(&w.daemon, services[k], "sessions_ended"));
	}
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anything_goes),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("stream: chaos", tests, begin, end);
}
