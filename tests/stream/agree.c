/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * agree.c - exchanges in which all instances say the same: every byte arrives, in both directions, however it is cut.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <setjmp.h>

#include <cmocka.h>

#include "play/world.h"

static const unsigned counts[] = {1, 2, 3, 16};
static const char *const names[] = {"n1", "n2", "n3", "n16"};
#define COUNTS (sizeof(counts) / sizeof(counts[0]))

static struct world worlds[2]; /* IPv4, IPv6 */

static int begin(void **state)
{
	(void)state;
	for (int six = 0; six < 2; six++) {
		struct world *w = &worlds[six];

		world_init(w, six ? AF_INET6 : AF_INET, SERVERS, "workers: 1");
		for (unsigned k = 0; k < COUNTS; k++)
			world_add(w, names[k], counts[k], "deadlines: { connect: 60s, skew: 60s }");
		world_start(w);
	}
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&worlds[0]);
	world_free(&worlds[1]);
	return 0;
}

/* ---- conversations ---- */

struct turn {
	char who; /* c: the client, s: the servers, b: both at once */
	size_t len;
};

struct talk {
	const char *name;
	struct turn turns[12]; /* up to one without who */
	char closes;	       /* who ends first: c, s, or b both at once */
};

static const struct talk talks[] = {
	{"the client speaks first", {{'c', 700}, {'s', 1100}}, 'c'},
	{"the servers speak first", {{'s', 300}, {'c', 200}, {'s', 500}}, 's'},
	{"both speak at once", {{'b', 900}}, 'b'},
	{"one byte each", {{'c', 1}, {'s', 1}}, 'c'},
	{"one byte of the servers alone", {{'s', 1}}, 's'},
	{"one byte of the client alone", {{'c', 1}}, 'c'},
	{"nothing is said, the client ends", {{0, 0}}, 'c'},
	{"nothing is said, the servers end", {{0, 0}}, 's'},
	{"to and fro", {{'c', 10}, {'s', 20}, {'c', 1}, {'s', 1}, {'c', 300}, {'s', 5}, {'c', 7}, {'s', 400}}, 'c'},
	{"to and fro, the servers end", {{'c', 16}, {'s', 32}, {'c', 16}, {'s', 32}}, 's'},
};

struct script {
	uint8_t *up, *down;
	size_t n_up, n_down;
};

static void lengths(const struct talk *t, struct script *s)
{
	*s = (struct script){0};
	for (const struct turn *turn = t->turns; turn->who; turn++) {
		s->n_up += turn->who != 's' ? turn->len : 0;
		s->n_down += turn->who != 'c' ? turn->len : 0;
	}
	s->up = noise_bytes(s->n_up, 1);
	s->down = noise_bytes(s->n_down, 2);
}

/* One end's part: c's or s's. */
static void write_part(struct end *e, char self, const struct talk *t, const struct script *s)
{
	const uint8_t *mine = self == 'c' ? s->up : s->down;
	size_t spoken = 0, heard = 0;

	for (const struct turn *turn = t->turns; turn->who; turn++) {
		if (turn->who == self || turn->who == 'b') {
			does(e, ACT_HEAR, heard);
			says(e, mine + spoken, turn->len);
			spoken += turn->len;
		}
		if (turn->who != self)
			heard += turn->len;
	}
	does(e, ACT_HEAR, heard);
	if (t->closes != self && t->closes != 'b')
		does(e, ACT_HEAR_END, 0);
	does(e, ACT_FIN, 0);
	does(e, ACT_HEAR_END, 0);
	expects(e, self == 'c' ? s->down : s->up, heard);
}

static bool sound(const struct end *e)
{
	return !e->wrong && !e->reset && e->ended && e->heard == e->expect_len;
}

static void hold_talk(unsigned k, bool six, const struct talk *t, uint32_t dribbles)
{
	struct play p;
	struct script s;

	lengths(t, &s);
	play_init(&p, counts[k]);
	write_part(&p.client, 'c', t, &s);
	p.client.dribbles = dribbles & 1;
	for (unsigned i = 0; i < p.n; i++) {
		write_part(&p.server[i], 's', t, &s);
		p.server[i].dribbles = dribbles >> (1 + i) & 1;
	}
	world_play(&worlds[six], &p, names[k]);
	play_run(&worlds[six].stage, &p, all_done);

	bool good = sound(&p.client);
	for (unsigned i = 0; i < p.n; i++)
		good &= sound(&p.server[i]) && p.server[i].connections == 1;
	play_free(&p);
	free(s.up);
	free(s.down);
	if (!good) {
		play_show(&p);
		fail_msg("N=%u%s, %s, dribbling %x", counts[k], six ? " over IPv6" : "", t->name, dribbles);
	}
}

/* Whole, each end dribbled by itself, all dribbled. */
static void hold_talks(unsigned k, bool six)
{
	for (size_t t = 0; t < sizeof(talks) / sizeof(talks[0]); t++) {
		hold_talk(k, six, &talks[t], 0);
		for (unsigned i = 0; i <= counts[k]; i++) {
			/* Of sixteen alike, the first, one in the middle and the last will do. */
			if (counts[k] <= 3 || i <= 1 || i == 8 || i == counts[k])
				hold_talk(k, six, &talks[t], 1u << i);
		}
		hold_talk(k, six, &talks[t], UINT32_MAX);
	}
}

static void check_nothing_found(void)
{
	for (int six = 0; six < 2; six++) {
		child_wait_sessions(&worlds[six].daemon, 0);
		for (unsigned k = 0; k < COUNTS; k++) {
			assert_int_equal(child_counter(&worlds[six].daemon, names[k], "divergences"), 0);
			assert_int_equal(child_counter(&worlds[six].daemon, names[k], "denied"), 0);
		}
	}
}

static void one_instance(void **state)
{
	(void)state;
	hold_talks(0, false);
	hold_talks(0, true);
	check_nothing_found();
}

static void two_instances(void **state)
{
	(void)state;
	hold_talks(1, false);
	hold_talks(1, true);
	check_nothing_found();
}

static void three_instances(void **state)
{
	(void)state;
	hold_talks(2, false);
	hold_talks(2, true);
	check_nothing_found();
}

static void sixteen_instances(void **state)
{
	(void)state;
	hold_talks(3, false);
	hold_talks(3, true);
	check_nothing_found();
}

static void loads(void **state)
{
	static const struct talk big[] = {
		{"64 KiB each way", {{'c', 65536}, {'s', 65536}}, 'c'},
		{"64 KiB of the servers", {{'s', 65536}}, 's'},
		{"64 KiB of the client", {{'c', 65536}}, 'c'},
		{"1 MiB each way", {{'c', 1 << 20}, {'s', 1 << 20}}, 's'},
		{"1 MiB both ways at once", {{'b', 1 << 20}}, 'b'},
	};

	(void)state;
	for (unsigned k = 0; k < COUNTS; k++) {
		for (size_t t = 0; t < sizeof(big) / sizeof(big[0]); t++)
			hold_talk(k, k & 1, &big[t], 0);
	}
	check_nothing_found();
}

static void twenty_megabytes_both_ways(void **state)
{
	const struct talk t = {"20 MB both ways at once", {{'b', 20000000 / load_scale()}}, 'b'};
	struct child *daemon = &worlds[0].daemon;
	uint64_t in = child_counter(daemon, "n3", "bytes_in"), out = child_counter(daemon, "n3", "bytes_out");
	uint64_t compared = child_counter(daemon, "n3", "bytes_compared");

	(void)state;
	hold_talk(2, false, &t, 0);
	check_nothing_found();
	assert_int_equal(child_counter(daemon, "n3", "bytes_in") - in, t.turns[0].len);
	assert_int_equal(child_counter(daemon, "n3", "bytes_out") - out, t.turns[0].len);
	assert_int_equal(child_counter(daemon, "n3", "bytes_compared") - compared, t.turns[0].len);
}

/* Last, with everything above behind it. */
static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&worlds[0].daemon);
	child_stop(&worlds[1].daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_instance),	   cmocka_unit_test(two_instances),
		cmocka_unit_test(three_instances), cmocka_unit_test(sixteen_instances),
		cmocka_unit_test(loads),	   cmocka_unit_test(twenty_megabytes_both_ways),
		cmocka_unit_test(ends_in_order),
	};

	return world_run("stream: agreeing", tests, sizeof(tests) / sizeof(tests[0]), begin, end);
}
