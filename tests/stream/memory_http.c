/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * memory_http.c - what never ends: heads, lines, documents, tokens. What the classes http and json hold of it is
 * bounded by the configuration, and not by what is said.
 *
 * The bound, from the code. A stream's buffer, which doubles as it grows, holds limits.buffer; the plugin keeps as much
 * again without framing, at most max-body, and doubles, too; so a session of N has (N + 2) times twice the one, and N
 * times twice the other. A worker reads the JSON documents of one session at a time: a node of 64 bytes for each four
 * bytes, in room that doubles, N times. Beside that there are a worker's free blocks, what the code uses first, and
 * what the tables may hold, which is 1,000 tokens here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

enum { N = 3, SESSIONS = 8 };

#define LOAD	   (24000000 / load_scale())
#define LIMIT_KB   256
#define SESSION_KB (2 * (N + 2) * LIMIT_KB + 2 * N * LIMIT_KB)
#define WORKER_KB  (8192 + 4096 + N * 2 * 64 * LIMIT_KB / 4 + 4096)

static struct world w;
static size_t before_kb;

static int begin(void **state)
{
	static const char *const more[][3] = {
		{"web", "http", "false"}, {"pair", "http", "true"}, {"api", "json", "false"}};

	(void)state;
	world_init(&w, AF_INET, N, "workers: 1");
	for (size_t k = 0; k < sizeof(more) / sizeof(more[0]); k++) {
		char options[512];

		snprintf(options, sizeof(options),
			 "diff-class: %s|filter: %s|deadlines: { skew: 60s }|limits: { buffer: %dKiB }|"
			 "diff-params: { max-body: %dKiB, max-head: 16KiB, tokens: { max: 1000 }, noise-memory: { max: "
			 "1000 }, "
			 "fields: [ { line: 'token=(\\w+)', action: token } ] }",
			 more[k][1], more[k][2], LIMIT_KB, LIMIT_KB);
		world_add(&w, more[k][0], N, options);
	}
	world_start(&w);
	before_kb = child_rss_kb(&w.daemon);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

/* What each server says, without an end. */
struct flood {
	const char *what, *service, *head, *first;
	const char
		*piece; /* again and again; %u: a number that differs from piece to piece, %s: from server to server */
	bool denied;
};

static size_t write_flood(const struct flood *f, unsigned i, uint8_t *at, size_t len)
{
	static const char *const own[N] = {"q1w2e3r4", "a9s8d7f6", "z5x4c3v2"};
	size_t n = (size_t)snprintf((char *)at, len, "%s%s", f->head, f->first);

	for (unsigned k = 0;; k++) {
		char piece[256];
		int made = snprintf(piece, sizeof(piece), f->piece, k, own[i]);

		if (n + (size_t)made > len)
			return n;
		memcpy(at + n, piece, (size_t)made);
		n += (size_t)made;
	}
}

/* The most that was ever resident. */
static void check_peak(const char *what)
{
	size_t kb = child_peak_kb(&w.daemon), bound = before_kb + WORKER_KB + SESSIONS * (size_t)SESSION_KB;

	if (getenv("RDDR_STREAM_LOG"))
		fprintf(stderr, "%s: %zu KiB at most, %zu before, bound %zu\n", what, kb, before_kb, bound);
	/* The sanitizers' shadow and quarantine are not the daemon's. */
	if (!child_is_sanitized(&w.daemon) && kb > bound)
		fail_msg("%s: %zu KiB resident, %zu at the start; the bound is %zu", what, kb, before_kb, bound);
}

static void play_flood(const struct flood *f)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct play *plays = calloc(SESSIONS, sizeof(*plays));
	uint64_t denied = child_counter(&w.daemon, f->service, "denied");
	uint8_t *text[N];
	size_t len[N];

	assert_non_null(plays);
	for (unsigned i = 0; i < N; i++) {
		text[i] = malloc(LOAD + 1);
		assert_non_null(text[i]);
		len[i] = write_flood(f, i, text[i], LOAD);
	}
	for (unsigned k = 0; k < SESSIONS; k++) {
		struct play *p = &plays[k];

		play_init(p, N);
		says(&p->client, ask, sizeof(ask) - 1);
		does(&p->client, ACT_HEAR_END, 0);
		for (unsigned i = 0; i < N; i++) {
			does(&p->server[i], ACT_HEAR, sizeof(ask) - 1);
			says(&p->server[i], text[i], len[i]);
			does(&p->server[i], ACT_FIN, 0);
			does(&p->server[i], ACT_HEAR_END, 0);
		}
		world_connect(&w, p, f->service);
		play_gather_last(&w.stage, plays, k + 1);
	}
	if (!play_until(&w.stage, plays, SESSIONS, NULL, client_closed)) {
		play_show(&plays[0]);
		fail_msg("%s: it never ended", f->what);
	}
	for (unsigned k = 0; k < SESSIONS; k++)
		play_free(&plays[k]);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, f->service, "denied") - denied, f->denied ? SESSIONS : 0);
	check_peak(f->what);
	for (unsigned i = 0; i < N; i++)
		free(text[i]);
	free(plays);
}

#define OK   "HTTP/1.1 200 OK\r\n"
#define HTML OK "Content-Type: text/html\r\n\r\n"
#define JSON OK "Content-Type: application/json\r\n\r\n"

static const struct flood floods[] = {
	{"headers", "web", OK, "", "X-%u: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", true},
	{"one header", "web", OK, "X: ", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", true},
	{"interim answers", "web", "", "", "HTTP/1.1 103 Hints\r\nLink: %u\r\n\r\n", true},
	{"one line", "web", HTML, "", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", false},
	{"one line, with the pair", "pair", HTML, "", "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", false},
	{"one line that differs from its beginning on", "pair", HTML, "", "%u %s yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", true},
	{"lines", "web", HTML, "", "line %u\n", false},
	{"lines of noise", "pair", HTML, "", "%u %s\n", true},
	{"lines with tokens", "web", HTML, "", "<b>line</b> token=v%u%s\n", false},
	{"a JSON array that is the same", "api", JSON, "[0", ",%u", false},
	{"a JSON array that differs", "web", JSON, "[0", ",%u,\"%s\"", true},
	{"a JSON array that differs, class json", "api", JSON, "[0", ",%u,\"%s\"", true},
	{"JSON arrays in arrays", "api", JSON, "", "[%u,\"%s\",", true},
	{"a JSON string", "api", JSON, "\"", "\\u00e4%u%s", true},
	{"a JSON object", "api", JSON, "{\"\":0", ",\"%u\":\"%s\"", true},
};

static void what_never_ends(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(floods) / sizeof(floods[0]); k++)
		play_flood(&floods[k]);
	/* More than the table holds, so that the oldest went. */
	assert_true(child_counter(&w.daemon, "web", "plugin_tokens_learnt") > 1000);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_never_ends),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("stream: memory of http", tests, begin, end);
}
