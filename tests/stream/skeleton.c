/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skeleton.c - what a plugin with messages gets from the core, shown with the one that is made to be copied: neutral
 * points, requests that differ by instance, rejections, denials that arrive, limits.
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

static struct world w;

static int begin(void **state)
{
	const char *build = getenv("RDDR_BUILD");
	char plugin[PATH_MAX], options[PATH_MAX + 256], path[PATH_MAX];

	(void)state;
	snprintf(path, sizeof(path), "%s/diff/skeleton.so", build ? build : "build");
	assert_non_null(realpath(path, plugin));
	world_init(&w, AF_INET, 3, "workers: 1");
	snprintf(options, sizeof(options),
		 "diff-class: %s|diff-params: { translate: \"@N@\" }|deadlines: { skew: 60s, linger: 60s }", plugin);
	world_add(&w, "lines", 3, options);
	snprintf(options, sizeof(options), "diff-class: %s|deadlines: { skew: 300ms, linger: 400ms }", plugin);
	world_add(&w, "hasty", 3, options);
	snprintf(
		options, sizeof(options),
		"diff-class: %s|enforcing: false|diff-params: { max-line: 65536 }|limits: { buffer: 16KiB, lag: 1MiB }",
		plugin);
	world_add(&w, "watched", 3, options);
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

static uint64_t counter(const char *service, const char *name)
{
	return child_counter(&w.daemon, service, name);
}

static bool first_answer_came(const struct play *p)
{
	return p->client.heard >= 4;
}

static unsigned resting(json_object *sessions)
{
	json_object *list, *instances;
	unsigned n = 0;

	assert_true(json_object_object_get_ex(sessions, "sessions", &list));
	for (size_t s = 0; s < json_object_array_length(list); s++) {
		assert_true(json_object_object_get_ex(json_object_array_get_idx(list, s), "instances", &instances));
		for (size_t i = 0; i < json_object_array_length(instances); i++)
			n += !strcmp(json_text(json_object_array_get_idx(instances, i), "state"), "idle");
	}
	return n;
}

/* Waits until so many instances rest at a neutral point; the servers play on. */
static void wait_resting(struct play *p, unsigned n)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();

	for (unsigned is = 0; is != n;) {
		json_object *sessions = child_ask(&w.daemon, "sessions", NULL);

		is = resting(sessions);
		json_object_put(sessions);
		if (now_ms() > until)
			fail_msg("%u instances rest, never %u", is, n);
		play_turn(&w.stage, p, 1, p, 2);
	}
}

/* ---- exchanges ---- */

/* Two exchanges, with everything dribbled by who is in dribbles. */
static void exchange(uint32_t dribbles)
{
	static const char asked[] = "who\r\nare you @N@, or not @N@?\r\n", answers[] = "one\r\ntwo\r\n";
	static const char *const heard[] = {"who\r\nare you 0, or not 0?\r\n", "who\r\nare you 1, or not 1?\r\n",
					    "who\r\nare you 2, or not 2?\r\n"};
	struct play p;

	play_init(&p, 3);
	says(&p.client, asked, 5);
	does(&p.client, ACT_HEAR, 5);
	says(&p.client, asked + 5, sizeof(asked) - 6);
	does(&p.client, ACT_HEAR, 10);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, answers, 10);
	p.client.dribbles = dribbles & 1;
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 5);
		says(&p.server[i], answers, 5);
		does(&p.server[i], ACT_HEAR, strlen(heard[i]));
		says(&p.server[i], answers + 5, 5);
		does(&p.server[i], ACT_HEAR_END, 0);
		does(&p.server[i], ACT_FIN, 0);
		expects(&p.server[i], heard[i], strlen(heard[i]));
		p.server[i].dribbles = dribbles >> (1 + i) & 1;
	}
	world_play(&w, &p, "lines");
	play_run(&w.stage, &p, all_done);
	assert_true(p.client.ended && !p.client.reset && p.client.heard == 10);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(p.server[i].heard, p.server[i].expect_len);
	world_finish(&w, &p);
}

static void exchanges(void **state)
{
	(void)state;
	exchange(0);
	for (unsigned i = 0; i < 4; i++)
		exchange(1u << i);
	exchange(UINT32_MAX);
	assert_int_equal(counter("lines", "divergences"), 0);
}

/* ---- neutral points ---- */

/* Two exchanges; between them the servers in who close or reset. */
static void between(unsigned who, enum act_kind how, uint32_t dribbles)
{
	static const char asked[] = "first\nsecond\n", answers[] = "one\ntwo\n";
	uint64_t before = counter("lines", "redials");
	unsigned closing = 0;
	struct play p;

	play_init(&p, 3);
	says(&p.client, asked, 6);
	does(&p.client, ACT_HEAR, 4);
	does(&p.client, ACT_CUE, 1);
	says(&p.client, asked + 6, 7);
	does(&p.client, ACT_HEAR, 8);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, answers, 8);
	p.client.dribbles = dribbles & 1;
	for (unsigned i = 0; i < 3; i++) {
		bool closes = who >> i & 1;

		closing += closes;
		does(&p.server[i], ACT_HEAR, 6);
		says(&p.server[i], answers, 4);
		if (closes)
			does(&p.server[i], how, 0);
		does(&p.server[i], ACT_HEAR, 13);
		says(&p.server[i], answers + 4, 4);
		does(&p.server[i], ACT_HEAR_END, 0);
		does(&p.server[i], ACT_FIN, 0);
		expects(&p.server[i], asked, 13);
		p.server[i].dribbles = dribbles >> (1 + i) & 1;
	}
	world_play(&w, &p, "lines");
	play_run(&w.stage, &p, first_answer_came);
	wait_resting(&p, closing);
	p.cue = 1;
	play_run(&w.stage, &p, all_done);
	assert_true(p.client.ended && !p.client.reset && p.client.heard == 8);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(p.server[i].connections, 1 + (who >> i & 1));
	world_finish(&w, &p);
	assert_int_equal(counter("lines", "redials"), before + closing);
}

static void closes_between_exchanges(void **state)
{
	(void)state;
	for (unsigned who = 1; who < 7; who++) {
		between(who, ACT_CLOSE, 0);
		between(who, ACT_RESET, 0);
		between(who, ACT_CLOSE, UINT32_MAX);
	}
	assert_int_equal(counter("lines", "divergences"), 0);
}

/* One exchange, then the servers in who close, and then the client does. */
static void then_client_ends(unsigned who)
{
	struct play p;

	play_init(&p, 3);
	says_text(&p.client, "first\n");
	does(&p.client, ACT_HEAR, 4);
	does(&p.client, ACT_CUE, 1);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, "one\n", 4);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 6);
		says_text(&p.server[i], "one\n");
		if (!(who >> i & 1))
			does(&p.server[i], ACT_HEAR_END, 0);
		does(&p.server[i], ACT_CLOSE, 0);
	}
	world_play(&w, &p, "hasty");
	play_run(&w.stage, &p, first_answer_came);
	if (who != 7)
		wait_resting(&p, (unsigned)__builtin_popcount(who));
	p.cue = 1;
	play_run(&w.stage, &p, client_done);
	assert_true(p.client.ended && !p.client.reset && p.client.heard == 4);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(p.server[i].connections, 1);
	world_finish(&w, &p);
}

static void client_ends_while_some_rest(void **state)
{
	uint64_t before = counter("hasty", "divergences");

	(void)state;
	for (unsigned who = 1; who < 8; who++)
		then_client_ends(who);
	assert_int_equal(counter("hasty", "divergences"), before);
}

/* All close: the client hears of it. What it says then, nobody hears. */
static void all_close_at_a_neutral_point(void **state)
{
	struct play p;

	(void)state;
	play_init(&p, 3);
	says_text(&p.client, "first\n");
	does(&p.client, ACT_HEAR_END, 0);
	does(&p.client, ACT_CUE, 1);
	says_text(&p.client, "second\n");
	does(&p.client, ACT_CUE, 2);
	expects(&p.client, "one\n", 4);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 6);
		says_text(&p.server[i], "one\n");
		does(&p.server[i], ACT_CLOSE, 0);
	}
	world_play(&w, &p, "lines");
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.ended && !p.client.reset);
	p.cue = 1;
	play_run(&w.stage, &p, client_reset);
	assert_true(p.client.reset);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(p.server[i].connections, 1);
	world_finish(&w, &p);
	assert_int_equal(counter("lines", "divergences"), 0);
}

/* It cannot be reached when it is needed again. */
static void not_there_any_more(void **state)
{
	struct expected e = {"deny", "missing", 4, -2, "refused"};
	struct play p;
	char denial[64] = "";

	(void)state;
	play_init(&p, 3);
	says_text(&p.client, "first\n");
	does(&p.client, ACT_HEAR, 4);
	does(&p.client, ACT_CUE, 1);
	says_text(&p.client, "second\n");
	does(&p.client, ACT_HEAR_END, 0);
	p.client.keep = (uint8_t *)denial;
	p.client.keep_len = sizeof(denial) - 1;
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 6);
		says_text(&p.server[i], "one\n");
		if (i == 1)
			does(&p.server[i], ACT_CLOSE, 0);
		expects(&p.server[i], "first\n", 6);
	}
	world_play(&w, &p, "lines");
	play_run(&w.stage, &p, first_answer_came);
	wait_resting(&p, 1);
	stage_refuse(&w.stage, 1, true);
	p.cue = 1;
	play_run(&w.stage, &p, client_done);
	stage_refuse(&w.stage, 1, false);
	assert_true(p.client.ended && !p.client.reset);
	assert_memory_equal(denial, "one\ndenied ", 11);
	world_finish(&w, &p);
	world_check_evidence(&w, NULL, &p, "lines", &e, "an instance that rests and is gone");
}

/* ---- denials ---- */

static void deny(struct play *p, const char *answer)
{
	play_init(p, 3);
	for (unsigned i = 0; i < 3; i++) {
		does(&p->server[i], ACT_HEAR, 6);
		says_text(&p->server[i], i == 2 ? answer : "one\n");
	}
}

/* An instance closes amid an exchange, or answers otherwise: the denial is a whole line, and the end is in order. */
static void denial_arrives(void **state)
{
	static const struct {
		const char *answer;
		enum act_kind ends;
		const char *reason;
	} cases[] = {
		{"two\n", ACT_HEAR_END, "divergence"},
		{"on", ACT_CLOSE, "divergence"},
		{"", ACT_CLOSE, "divergence"},
		{"", ACT_RESET, "divergence"},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		for (uint32_t d = 0; d < 2; d++) {
			struct expected e = {"deny", cases[k].reason, -1, 2, NULL};
			struct play p;
			char text[64] = "";

			deny(&p, cases[k].answer);
			does(&p.server[2], cases[k].ends, 0);
			says_text(&p.client, "first\n");
			does(&p.client, ACT_HEAR_END, 0);
			does(&p.client, ACT_CLOSE, 0);
			p.client.keep = (uint8_t *)text;
			p.client.keep_len = sizeof(text) - 1;
			p.client.dribbles = p.server[0].dribbles = p.server[2].dribbles = d;
			world_play(&w, &p, "lines");
			play_run(&w.stage, &p, client_done);
			assert_true(p.client.ended && !p.client.reset);
			assert_memory_equal(text, "denied ", 7);
			assert_string_equal(text + strlen(text) - 2, "\r\n");
			world_finish(&w, &p);
			world_check_evidence(&w, NULL, &p, "lines", &e, "a denial");
		}
	}
}

/* The client is amid a large upload and does not read: all the same the denial arrives whole, with an end in order
 * behind it. */
static void denial_arrives_amid_an_upload(void **state)
{
	size_t lines = 400000 / load_scale() + 20000, len = 6 + lines * 10;
	char *upload = malloc(len), text[64] = "";
	uint64_t before = counter("lines", "denied");
	struct play p;

	(void)state;
	assert_non_null(upload);
	for (size_t i = 0; i < len; i++)
		upload[i] = i < 6 ? "first\n"[i] : "more more\n"[(i - 6) % 10];
	deny(&p, "two\n");
	says(&p.client, upload, len);
	does(&p.client, ACT_HEAR_END, 0);
	does(&p.client, ACT_CLOSE, 0);
	p.client.deaf = true;
	p.client.keep = (uint8_t *)text;
	p.client.keep_len = sizeof(text) - 1;
	world_play(&w, &p, "lines");
	world_play_until_counted(&w, &p, "lines", "denied", before + 1);
	p.client.deaf = false;
	play_run(&w.stage, &p, client_done);
	if (p.client.reset || !p.client.ended || memcmp(text, "denied ", 7) != 0) {
		play_show(&p);
		fail_msg("the denial did not arrive: '%s'", text);
	}
	world_finish(&w, &p);
	free(upload);
}

/* A client that never closes is let go when the linger deadline has passed. */
static void denied_client_stays(void **state)
{
	struct play p;

	(void)state;
	deny(&p, "two\n");
	says_text(&p.client, "first\n");
	does(&p.client, ACT_HEAR_END, 0);
	world_play(&w, &p, "hasty");
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.ended && !p.client.reset);
	child_wait_sessions(&w.daemon, 0);
	world_finish(&w, &p);
}

/* ---- what the client may not say ---- */

static void is_rejected(const char *service, const char *said, size_t len, const char *reason, bool ends)
{
	uint64_t before = counter(service, "denied_rejected");
	struct expected e = {"deny", reason, -1, -1, NULL};
	struct play p;
	char text[64] = "";

	play_init(&p, 3);
	says(&p.client, said, len);
	if (ends)
		does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	p.client.keep = (uint8_t *)text;
	p.client.keep_len = sizeof(text) - 1;
	for (unsigned i = 0; i < 3; i++)
		expects(&p.server[i], "", 0);
	world_play(&w, &p, service);
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.ended && !p.client.reset);
	assert_memory_equal(text, "denied ", 7);
	world_finish(&w, &p);
	assert_int_equal(counter(service, "denied_rejected"), before + 1);
	world_check_evidence(&w, NULL, &p, service, &e, "a rejection");
}

static void lines_too_long(void **state)
{
	size_t len = 10000000 / load_scale();
	char *line = malloc(len);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', len);
	line[len - 1] = '\n';
	is_rejected("lines", line + len - 1100, 1100, "rejected", false);
	is_rejected("lines", line, 1100, "rejected", false);
	is_rejected("lines", line, len, "rejected", false);
	free(line);
}

/* An instance that answers with a line without end. */
static void endless_answer(void **state)
{
	size_t len = 10000000 / load_scale();
	char *line = malloc(len);
	struct expected e = {"deny", "divergence", -1, -2, "too long"};
	struct play p;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', len);
	deny(&p, "");
	says(&p.server[2], line, len);
	says_text(&p.client, "first\n");
	does(&p.client, ACT_HEAR_END, 0);
	world_play(&w, &p, "lines");
	play_run(&w.stage, &p, client_closed);
	world_finish(&w, &p);
	world_check_evidence(&w, NULL, &p, "lines", &e, "an endless line");
	free(line);
}

/* ---- watched only ---- */

/* The plugin waits for more than limits.buffer: it is reported that there is no judging, and the client gets
 * everything. */
static void past_the_limit(void **state)
{
	size_t len = 300000;
	char *line = malloc(len);
	uint64_t before = counter("watched", "denied");
	struct play p;

	(void)state;
	assert_non_null(line);
	memset(line, 'x', len);
	line[len - 1] = '\n';
	play_init(&p, 3);
	says_text(&p.client, "first\n");
	does(&p.client, ACT_HEAR, len);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, line, len);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 6);
		says(&p.server[i], line, len);
		does(&p.server[i], ACT_HEAR_END, 0);
		does(&p.server[i], ACT_FIN, 0);
	}
	world_play(&w, &p, "watched");
	play_run(&w.stage, &p, client_done);
	assert_true(p.client.ended && !p.client.reset && p.client.heard == len);
	world_finish(&w, &p);
	assert_int_equal(counter("watched", "denied"), before);
	assert_true(counter("watched", "reported") > 0);
	free(line);
}

/* Report mode: what the plugin refuses (a line past max-line, one that is cut off) reaches instance 0 all the same. */
static void refused_but_watched(void **state)
{
	static const size_t lens[] = {70000, 300000};

	(void)state;
	for (size_t k = 0; k < 2 * sizeof(lens) / sizeof(lens[0]); k++) {
		size_t len = lens[k / 2];
		uint64_t denied = counter("watched", "denied"), detached = counter("watched", "detached");
		char *line = malloc(len);
		struct play p;

		assert_non_null(line);
		memset(line, 'x', len);
		if (k & 1)
			line[len - 1] = '\n';
		play_init(&p, 3);
		says(&p.client, line, len);
		does(&p.client, ACT_FIN, 0);
		does(&p.client, ACT_HEAR_END, 0);
		expects(&p.client, "seen\n", 5);
		does(&p.server[0], ACT_HEAR, len);
		says(&p.server[0], "seen\n", 5);
		does(&p.server[0], ACT_HEAR_END, 0);
		does(&p.server[0], ACT_FIN, 0);
		expects(&p.server[0], line, len);
		world_play(&w, &p, "watched");
		play_run(&w.stage, &p, client_done);
		assert_true(p.client.ended && !p.client.reset && p.client.heard == 5 && p.server[0].heard == len);
		world_finish(&w, &p);
		assert_int_equal(counter("watched", "denied"), denied);
		assert_int_equal(counter("watched", "detached"), detached + 2);
		free(line);
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
		cmocka_unit_test(exchanges),
		cmocka_unit_test(closes_between_exchanges),
		cmocka_unit_test(client_ends_while_some_rest),
		cmocka_unit_test(all_close_at_a_neutral_point),
		cmocka_unit_test(not_there_any_more),
		cmocka_unit_test(denial_arrives),
		cmocka_unit_test(denial_arrives_amid_an_upload),
		cmocka_unit_test(denied_client_stays),
		cmocka_unit_test(lines_too_long),
		cmocka_unit_test(endless_answer),
		cmocka_unit_test(past_the_limit),
		cmocka_unit_test(refused_but_watched),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("stream: skeleton", tests, begin, end);
}
