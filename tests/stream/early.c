/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * early.c - servers of an HTTP service that answer before the client has sent the whole of its request.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define SKEW	(patience_ms() / 20) /* ms */
#define LOAD	(1000000 / load_scale())
#define HUGE	30000000
#define TOO_BIG "HTTP/1.1 413 Content Too Large\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\ntoo big\n"
#define FINE	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nall fine"

static struct world w;
static char *upload;		    /* a request with a body of LOAD bytes */
static size_t upload_len, head_len; /* of all of it, and of its head */
static char *huge;
static size_t huge_len;

static char *request(size_t body, const char *header, size_t *head, size_t *len)
{
	char *text = malloc(body + 200);
	int n;

	assert_non_null(text);
	n = snprintf(text, 200, "POST /up HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n", header, body);
	memset(text + n, 'u', body);
	*head = (size_t)n;
	*len = (size_t)n + body;
	return text;
}

static int begin(void **state)
{
	char options[160];
	size_t head;

	(void)state;
	upload = request(LOAD, "", &head_len, &upload_len);
	huge = request(HUGE, "", &head, &huge_len);
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "web", 3, "diff-class: http|deadlines: { skew: 60s, linger: 60s }");
	snprintf(options, sizeof(options), "diff-class: http|deadlines: { skew: %dms, linger: 60s }", SKEW);
	world_add(&w, "skewed", 3, options);
	world_add(&w, "hasty", 3, "diff-class: http|deadlines: { skew: 60s, linger: 500ms }");
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	free(upload);
	free(huge);
	return 0;
}

static uint64_t counter(const char *service, const char *name)
{
	return child_counter(&w.daemon, service, name);
}

struct kept {
	char text[2000];
};

static void listens(struct play *p, struct kept *kept)
{
	memset(kept, 0, sizeof(*kept));
	p->client.keep = (uint8_t *)kept->text;
	p->client.keep_len = sizeof(kept->text) - 1;
}

static void finish(struct play *p)
{
	play_free(p);
	child_wait_sessions(&w.daemon, 0);
}

static bool answered(const struct play *p)
{
	return p->client.heard >= strlen(TOO_BIG);
}

/* What a server does behind its early answer. */
enum then {
	CLOSES,
	RESETS,
	READS,	 /* all that comes, and stays */
	NOTHING, /* neither reads nor closes */
};

/* All answer when they have read the head and some of the body. The client goes on sending. */
static void all_answer(enum then then, const char *service, bool goes_on)
{
	const char *text = then == NOTHING ? huge : upload;
	size_t len = then == NOTHING ? huge_len : upload_len, denied = counter(service, "denied");
	struct kept kept;
	struct play p;

	play_init(&p, 3);
	listens(&p, &kept);
	says(&p.client, text, 2000);
	does(&p.client, ACT_CUE, 1);
	if (goes_on)
		says(&p.client, text + 2000, len - 2000);
	/* The linger deadline is for those that never do. */
	if (strcmp(service, "hasty") != 0) {
		does(&p.client, ACT_HEAR_END, 0);
		does(&p.client, ACT_CLOSE, 0);
	}
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 1500);
		if (then == NOTHING)
			does(&p.server[i], ACT_DEAF, 0);
		says_text(&p.server[i], TOO_BIG);
		if (then == CLOSES || then == RESETS)
			does(&p.server[i], then == CLOSES ? ACT_CLOSE : ACT_RESET, 0);
		expects(&p.server[i], text, len);
	}
	world_play(&w, &p, service);
	/* The answer, and the end behind it, come while the request is still under way. */
	play_run(&w.stage, &p, answered);
	p.cue = 1;
	play_run(&w.stage, &p, client_closed);
	if (then == READS && goes_on) {
		while (p.server[0].heard < len || p.server[1].heard < len || p.server[2].heard < len)
			play_turn(&w.stage, &p, 1, NULL, 100);
		assert_true(p.client.ended && !p.client.reset);
	}
	assert_non_null(strstr(kept.text, "HTTP/1.1 413 "));
	assert_non_null(strstr(kept.text, "Connection: close\r\n"));
	assert_string_equal(strstr(kept.text, "\r\n\r\n"), "\r\n\r\ntoo big\n");
	for (unsigned i = 0; i < 3; i++)
		assert_false(p.server[i].wrong);
	if (strcmp(service, "hasty") != 0)
		play_run(&w.stage, &p, client_done);
	/* Nobody else ends it. */
	child_wait_sessions(&w.daemon, 0);
	finish(&p);
	assert_int_equal(counter(service, "denied"), denied);
}

static void all_answer_and_close(void **state)
{
	(void)state;
	all_answer(CLOSES, "web", true);
	all_answer(RESETS, "web", true);
	all_answer(CLOSES, "web", false);
}

static void all_answer_and_read_on(void **state)
{
	(void)state;
	all_answer(READS, "web", true);
	all_answer(READS, "web", false);
}

static void all_answer_and_take_nothing(void **state)
{
	(void)state;
	all_answer(NOTHING, "hasty", true);
	/* Nor does a client keep it that says nothing more. */
	all_answer(READS, "hasty", false);
}

/* One answers at once; the others have read everything before they do. then: what the hasty one does. */
static void one_answers(unsigned hasty, enum then then, const char *service, const char *others, bool pauses)
{
	const char *text = then == NOTHING ? huge : upload;
	size_t len = then == NOTHING ? huge_len : upload_len;
	uint64_t until, denied = counter(service, "denied"), cut = counter(service, "uploads_cut");
	bool agree = strcmp(others, TOO_BIG) == 0;
	struct kept kept;
	struct play p;

	play_init(&p, 3);
	listens(&p, &kept);
	says(&p.client, text, 2000);
	does(&p.client, ACT_CUE, 1);
	says(&p.client, text + 2000, len - 2000);
	for (unsigned i = 0; i < 3; i++) {
		struct end *e = &p.server[i];

		expects(e, text, len);
		if (i != hasty) {
			does(e, ACT_HEAR, len);
			says_text(e, others);
			continue;
		}
		does(e, ACT_HEAR, 1500);
		if (then == NOTHING)
			does(e, ACT_DEAF, 0);
		says_text(e, TOO_BIG);
		if (then == CLOSES || then == RESETS)
			does(e, then == CLOSES ? ACT_CLOSE : ACT_RESET, 0);
	}
	world_play(&w, &p, service);
	/* Twice the deadline. */
	for (until = now_ms() + 2 * (uint64_t)SKEW; pauses && now_ms() < until;)
		play_turn(&w.stage, &p, 1, NULL, 50);
	assert_int_equal(counter(service, "denied"), denied);
	p.cue = 1;
	play_run(&w.stage, &p, answered);
	if (agree) {
		assert_non_null(strstr(kept.text, "HTTP/1.1 413 "));
		assert_null(strstr(kept.text, "Connection: close\r\n"));
	} else {
		assert_non_null(strstr(kept.text, "HTTP/1.1 500 "));
	}
	for (unsigned i = 0; i < 3; i++)
		assert_false(p.server[i].wrong);
	finish(&p);
	assert_int_equal(counter(service, "denied"), denied + !agree);
	if (then == NOTHING)
		assert_true(counter(service, "uploads_cut") > cut);
	else
		assert_int_equal(counter(service, "uploads_cut"), cut);
}

/* Nobody is late who was not asked everything yet. */
static void one_answers_early(void **state)
{
	(void)state;
	for (unsigned hasty = 0; hasty < 3; hasty++) {
		one_answers(hasty, CLOSES, "skewed", TOO_BIG, hasty == 0);
		one_answers(hasty, RESETS, "skewed", TOO_BIG, false);
		one_answers(hasty, READS, "skewed", TOO_BIG, hasty == 1);
		one_answers(hasty, NOTHING, "hasty", TOO_BIG, false);
		one_answers(hasty, READS, "skewed", FINE, false);
	}
}

/* A client that waits for leave, which only some give, is told within the deadline. */
static void leave_is_not_given_by_all(void **state)
{
	const struct expected e = {"deny", "late", -1, -2, NULL};
	size_t head, len;
	char *text = request(10, "Expect: 100-continue\r\n", &head, &len);
	struct kept kept;
	struct play p;

	(void)state;
	play_init(&p, 3);
	listens(&p, &kept);
	says(&p.client, text, head);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, head);
		says_text(&p.server[i], i == 1 ? TOO_BIG : "HTTP/1.1 100 Continue\r\n\r\n");
	}
	world_play(&w, &p, "skewed");
	play_run(&w.stage, &p, client_closed);
	assert_non_null(strstr(kept.text, "HTTP/1.1 500 "));
	world_check_evidence(&w, NULL, &p, "skewed", &e, "leave that some give");
	finish(&p);
	free(text);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_answer_and_close),	       cmocka_unit_test(all_answer_and_read_on),
		cmocka_unit_test(all_answer_and_take_nothing), cmocka_unit_test(one_answers_early),
		cmocka_unit_test(leave_is_not_given_by_all),   cmocka_unit_test(ends_in_order),
	};

	return world_run("stream: early", tests, sizeof(tests) / sizeof(tests[0]), begin, end);
}
