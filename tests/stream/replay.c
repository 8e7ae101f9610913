/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.c - instances of an HTTP service that close an idle connection just as it is used again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define SKEW   (patience_ms() / 10) /* ms */
#define BODY   3000
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
#define ONE    ANSWER "one\n"
#define TWO    ANSWER "two\n"
#define THREE  ANSWER "end\n"
#define TIRED  "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

#define GET(path) "GET /" path " HTTP/1.1\r\nHost: x\r\n\r\n"

static struct world w;
static char put[BODY + 200], much[80000];

static int begin(void **state)
{
	char options[160];
	int n;

	(void)state;
	n = snprintf(put, sizeof(put), "PUT /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", BODY);
	memset(put + n, 'b', BODY);
	put[n + BODY] = '\0';
	n = snprintf(much, sizeof(much), "PUT /b HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n");
	memset(much + n, 'b', 70000);
	much[n + 70000] = '\0';

	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "web", 3, "diff-class: http|deadlines: { skew: 60s, reuse: 1h }");
	world_add(&w, "fresh", 3, "diff-class: http|deadlines: { skew: 60s, reuse: 0ms }");
	world_add(&w, "nothing", 3, "diff-class: http|deadlines: { skew: 60s, reuse: 1h }|limits: { repeat: 0 }");
	world_add(&w, "little", 3, "diff-class: http|deadlines: { skew: 60s, reuse: 1h }|limits: { repeat: 1KiB }");
	world_add(&w, "report", 3, "diff-class: http|enforcing: false|deadlines: { skew: 60s, reuse: 1h }");
	snprintf(options, sizeof(options), "diff-class: http|deadlines: { connect: 60s, skew: %dms, reuse: 1h }", SKEW);
	world_add(&w, "skewed", 3, options);
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

/* How a connection ends that was asked something. */
enum how {
	UNREAD,	    /* with the request unread, which makes it a reset */
	READ,	    /* the request was read; in order */
	READ_RESET, /* ... by a reset */
	TIRED_OF_IT /* it answers 408 */
};
#define HOWS 4

static void drops(struct end *e, enum how how, size_t request, size_t heard)
{
	if (how == UNREAD) {
		does(e, ACT_DEAF, 0);
		does(e, ACT_ARRIVE, request);
		does(e, ACT_CLOSE, 0);
		does(e, ACT_LISTEN, 0);
		return;
	}
	does(e, ACT_HEAR, heard);
	if (how == TIRED_OF_IT)
		says_text(e, TIRED);
	does(e, how == READ_RESET ? ACT_RESET : ACT_CLOSE, 0);
}

struct race {
	const char *service;
	const char *second; /* the request that is raced */
	enum how how;
	unsigned who;	/* a bit for each server that drops it */
	unsigned times; /* how often */
};

struct text {
	char bytes[4 * (BODY + 200)];
	size_t len;
};

static void add(struct text *t, const char *text)
{
	size_t len = strlen(text);

	assert_true(t->len + len <= sizeof(t->bytes));
	memcpy(t->bytes + t->len, text, len);
	t->len += len;
}

/* One exchange, then the second request, which servers drop; who drops it no more often than may be answers. */
static void cast(const struct race *r, struct play *p, struct text heard[3])
{
	const char *first = GET("a");
	size_t len = strlen(r->second);

	play_init(p, 3);
	says_text(&p->client, first);
	does(&p->client, ACT_HEAR, strlen(ONE));
	says_text(&p->client, r->second);
	for (unsigned i = 0; i < 3; i++) {
		struct end *e = &p->server[i];
		size_t sum = strlen(first);

		heard[i].len = 0;
		add(&heard[i], first);
		does(e, ACT_HEAR, sum);
		says_text(e, ONE);
		for (unsigned k = 0; (r->who >> i & 1) && k < r->times; k++) {
			drops(e, r->how, len, sum + len);
			if (r->how == UNREAD)
				continue;
			add(&heard[i], r->second);
			sum += len;
		}
		does(e, ACT_HEAR, sum + len);
		says_text(e, TWO);
		does(e, ACT_HEAR_END, 0);
		does(e, ACT_CLOSE, 0);
		add(&heard[i], r->second);
		expects(e, heard[i].bytes, heard[i].len);
	}
}

/* It is asked again on another connection, and the client sees nothing of it. */
static void survives(const struct race *r)
{
	static const char answers[] = ONE TWO;
	struct text heard[3];
	uint64_t replays = counter(r->service, "replays"), denied = counter(r->service, "denied"),
		 reported = counter(r->service, "reported");
	struct play p;

	cast(r, &p, heard);
	does(&p.client, ACT_HEAR, sizeof(answers) - 1);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, answers, sizeof(answers) - 1);
	world_play(&w, &p, r->service);
	play_run(&w.stage, &p, all_done);
	assert_false(p.client.reset);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(p.server[i].connections, 1 + (r->who >> i & 1));
		assert_int_equal(p.server[i].heard, p.server[i].expect_len);
	}
	world_finish(&w, &p);
	assert_int_equal(counter(r->service, "replays"), replays + (unsigned)__builtin_popcount(r->who));
	assert_int_equal(counter(r->service, "denied"), denied);
	assert_int_equal(counter(r->service, "reported"), reported);
}

static void one_that_closes_is_asked_again(void **state)
{
	(void)state;
	for (unsigned how = 0; how < HOWS; how++) {
		for (unsigned who = 1; who < 8; who++)
			survives(&(struct race){"web", GET("b"), how, who, 1});
	}
}

static void with_its_body(void **state)
{
	(void)state;
	for (unsigned how = 0; how < HOWS; how++)
		survives(&(struct race){"web", put, how, 1u << how % 3, 1});
}

static void in_report_mode(void **state)
{
	(void)state;
	for (unsigned how = 0; how < HOWS; how++) {
		/* What instance 0 says has gone to the client already. */
		for (unsigned who = 1; who < 8; who++) {
			if (how != TIRED_OF_IT || !(who & 1))
				survives(&(struct race){"report", GET("b"), how, who, 1});
		}
	}
}

/* The daemon hears of the request and of the end at once. */
static void at_the_same_moment(void **state)
{
	static const char answers[] = ONE TWO;
	uint64_t replays = counter("web", "replays");

	(void)state;
	for (unsigned who = 1; who < 8; who++) {
		for (int reset = 0; reset < 2; reset++) {
			struct play p;

			play_init(&p, 3);
			says_text(&p.client, GET("a"));
			does(&p.client, ACT_HEAR, strlen(ONE));
			does(&p.client, ACT_CUE, 1);
			says_text(&p.client, GET("b"));
			does(&p.client, ACT_HEAR, sizeof(answers) - 1);
			does(&p.client, ACT_CLOSE, 0);
			expects(&p.client, answers, sizeof(answers) - 1);
			for (unsigned i = 0; i < 3; i++) {
				does(&p.server[i], ACT_HEAR, strlen(GET("a")));
				says_text(&p.server[i], ONE);
				does(&p.server[i], ACT_CUE, 2);
				if (who >> i & 1)
					does(&p.server[i], reset ? ACT_RESET : ACT_CLOSE, 0);
				does(&p.server[i], ACT_CUE, 3);
				does(&p.server[i], ACT_HEAR, strlen(GET("a") GET("b")));
				says_text(&p.server[i], TWO);
				does(&p.server[i], ACT_CLOSE, 0);
				expects(&p.server[i], GET("a") GET("b"), strlen(GET("a") GET("b")));
			}
			world_play(&w, &p, "web");
			while (p.client.heard < strlen(ONE))
				play_turn(&w.stage, &p, 1, &p, 100);
			child_freeze(&w.daemon);
			p.cue = 1;
			while (p.client.spoken < strlen(GET("a") GET("b")))
				play_turn(&w.stage, &p, 1, NULL, 10);
			p.cue = 2;
			while (p.server[0].act < 3 || p.server[1].act < 3 || p.server[2].act < 3)
				play_turn(&w.stage, &p, 1, NULL, 10);
			p.cue = 3;
			child_thaw(&w.daemon);
			play_run(&w.stage, &p, all_done);
			world_finish(&w, &p);
		}
	}
	/* An end that is seen before the request is none of a reused connection. */
	assert_true(counter("web", "replays") > replays);
	assert_int_equal(counter("web", "denied"), 0);
}

/* The client is denied, for this reason. */
static void is_denied(const struct race *r, const char *reason, unsigned replays, unsigned refused)
{
	uint64_t again = counter(r->service, "replays"), not_again = counter(r->service, "replays_refused");
	const struct expected e = {"deny", reason, -1, -2, NULL};
	struct text heard[3];
	struct play p;

	cast(r, &p, heard);
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++)
		expects(&p.server[i], NULL, 0);
	world_play(&w, &p, r->service);
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.heard > strlen(ONE) + 300);
	world_check_evidence(&w, NULL, &p, r->service, &e, "a connection that ends before its answer");
	world_finish(&w, &p);
	assert_int_equal(counter(r->service, "replays"), again + replays);
	assert_int_equal(counter(r->service, "replays_refused"), not_again + refused);
}

static void only_once(void **state)
{
	(void)state;
	for (unsigned how = 0; how < HOWS - 1; how++) {
		for (unsigned i = 0; i < 3; i++)
			is_denied(&(struct race){"web", GET("b"), how, 1u << i, 2}, "divergence", 1, 0);
	}
}

static void not_what_may_not_be_repeated(void **state)
{
	static const char post[] = "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nbbb";
	static const char chunked[] =
		"PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbbb\r\n0\r\n\r\n";

	(void)state;
	for (unsigned how = 0; how < HOWS - 1; how++) {
		is_denied(&(struct race){"web", post, how, 1u << how, 1}, "divergence", 0, 1);
		is_denied(&(struct race){"web", chunked, how, 1u << how, 1}, "divergence", 0, 1);
		is_denied(&(struct race){"nothing", GET("b"), how, 1u << how, 1}, "divergence", 0, 1);
		is_denied(&(struct race){"little", put, how, 1u << how, 1}, "divergence", 0, 1);
	}
}

static void when_it_cannot_be_reached(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		const struct race r = {"web", GET("b"), READ, 1u << i, 1};
		const struct expected e = {"deny", "missing", -1, -2, "refused"};
		struct text heard[3];
		struct play p;

		cast(&r, &p, heard);
		does(&p.client, ACT_HEAR_END, 0);
		world_play(&w, &p, "web");
		stage_refuse(&w.stage, i, true);
		play_run(&w.stage, &p, client_closed);
		assert_true(p.client.heard > strlen(ONE) + 300);
		world_check_evidence(&w, NULL, &p, "web", &e, "an instance that is gone");
		stage_refuse(&w.stage, i, false);
		world_finish(&w, &p);
	}
}

/* The others have answered, and the skew deadline runs only once the one that is asked again can answer. */
static void the_deadline_waits_for_the_dial(void **state)
{
	static const char answers[] = ONE TWO;
	const struct race r = {"skewed", GET("b"), READ, 2, 1};
	struct text heard[3];
	uint64_t until;
	struct play p;

	(void)state;
	cast(&r, &p, heard);
	does(&p.client, ACT_HEAR, sizeof(answers) - 1);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	expects(&p.client, answers, sizeof(answers) - 1);
	world_play(&w, &p, "skewed");
	stage_fill(&w.stage, 1);
	while (p.server[0].spoken < 2 * strlen(TWO) || p.server[2].spoken < 2 * strlen(TWO) || p.server[1].fd >= 0)
		play_turn(&w.stage, &p, 1, NULL, 100);
	/* Twice the deadline. */
	for (until = now_ms() + 2 * (uint64_t)SKEW; now_ms() < until;)
		play_turn(&w.stage, &p, 1, NULL, 50);
	assert_int_equal(counter("skewed", "divergences"), 0);
	stage_unfill(&w.stage, 1);
	play_run(&w.stage, &p, all_done);
	world_finish(&w, &p);
	assert_int_equal(counter("skewed", "divergences"), 0);
}

/* The body is still coming when the connection ends. */
static void in_the_middle_of_a_body(void **state)
{
	static const char answers[] = ONE TWO;
	size_t head = strlen(put) - BODY, first = head + BODY / 3;
	char heard[3][3 * sizeof(put)];
	struct play p;

	(void)state;
	for (unsigned who = 1; who < 8; who++) {
		play_init(&p, 3);
		says_text(&p.client, GET("a"));
		does(&p.client, ACT_HEAR, strlen(ONE));
		says(&p.client, put, first);
		does(&p.client, ACT_CUE, 1);
		says(&p.client, put + first, strlen(put) - first);
		does(&p.client, ACT_HEAR, sizeof(answers) - 1);
		does(&p.client, ACT_CLOSE, 0);
		expects(&p.client, answers, sizeof(answers) - 1);
		for (unsigned i = 0; i < 3; i++) {
			bool drops_it = who >> i & 1;
			int n = snprintf(heard[i], sizeof(heard[i]), "%s%.*s%s", GET("a"), drops_it ? (int)first : 0,
					 put, put);

			does(&p.server[i], ACT_HEAR, strlen(GET("a")));
			says_text(&p.server[i], ONE);
			does(&p.server[i], ACT_HEAR, strlen(GET("a")) + first);
			if (drops_it)
				does(&p.server[i], ACT_CLOSE, 0);
			does(&p.server[i], ACT_HEAR, (size_t)n);
			says_text(&p.server[i], TWO);
			does(&p.server[i], ACT_CLOSE, 0);
			expects(&p.server[i], heard[i], (size_t)n);
		}
		world_play(&w, &p, "web");
		for (unsigned i = 0; i < 3; i++) {
			while (p.server[i].connections < 1 + (who >> i & 1))
				play_turn(&w.stage, &p, 1, &p, 100);
		}
		p.cue = 1;
		play_run(&w.stage, &p, all_done);
		world_finish(&w, &p);
	}
}

/* What is each instance's own is sent again as it was. */
static void as_it_was_rewritten(void **state)
{
	static const char asked[] = "GET /b HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, br\r\nX: 1\r\n\r\n",
			  told[] = "GET /b HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\nX: 1\r\n\r\n",
			  answers[] = ONE TWO;
	struct play p;

	(void)state;
	for (unsigned who = 1; who < 8; who++) {
		char heard[3][512];

		play_init(&p, 3);
		says_text(&p.client, GET("a"));
		does(&p.client, ACT_HEAR, strlen(ONE));
		says_text(&p.client, asked);
		does(&p.client, ACT_HEAR, sizeof(answers) - 1);
		does(&p.client, ACT_CLOSE, 0);
		expects(&p.client, answers, sizeof(answers) - 1);
		for (unsigned i = 0; i < 3; i++) {
			bool drops_it = who >> i & 1;
			int n = snprintf(heard[i], sizeof(heard[i]), "%s%s%s", GET("a"), drops_it ? told : "", told);

			does(&p.server[i], ACT_HEAR, strlen(GET("a")));
			says_text(&p.server[i], ONE);
			if (drops_it)
				drops(&p.server[i], READ, 0, strlen(GET("a")) + strlen(told));
			does(&p.server[i], ACT_HEAR, (size_t)n);
			says_text(&p.server[i], TWO);
			does(&p.server[i], ACT_CLOSE, 0);
			expects(&p.server[i], heard[i], (size_t)n);
		}
		world_play(&w, &p, "web");
		play_run(&w.stage, &p, all_done);
		world_finish(&w, &p);
	}
}

/* Each of pipelined requests is dropped once. */
static void each_of_many(void **state)
{
	static const char answers[] = ONE TWO THREE;
	struct play p;

	(void)state;
	play_init(&p, 3);
	says_text(&p.client, GET("a") GET("b") GET("c"));
	does(&p.client, ACT_HEAR, sizeof(answers) - 1);
	does(&p.client, ACT_CLOSE, 0);
	expects(&p.client, answers, sizeof(answers) - 1);
	for (unsigned i = 0; i < 3; i++) {
		size_t len = strlen(GET("a"));

		does(&p.server[i], ACT_HEAR, len);
		says_text(&p.server[i], ONE);
		drops(&p.server[i], READ, len, 2 * len);
		does(&p.server[i], ACT_HEAR, 3 * len);
		says_text(&p.server[i], TWO);
		drops(&p.server[i], READ, len, 4 * len);
		does(&p.server[i], ACT_HEAR, 5 * len);
		says_text(&p.server[i], THREE);
		does(&p.server[i], ACT_CLOSE, 0);
		expects(&p.server[i], GET("a") GET("b") GET("b") GET("c") GET("c"), 5 * len);
	}
	world_play(&w, &p, "web");
	play_run(&w.stage, &p, all_done);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(p.server[i].connections, 3);
	world_finish(&w, &p);
}

/* A connection on which nothing was asked before is not asked again. */
static void not_the_first_time(void **state)
{
	const struct expected e = {"deny", "divergence", -1, -2, "ended before its answer"};
	uint64_t replays = counter("web", "replays");
	struct play p;

	(void)state;
	play_init(&p, 3);
	does(&p.client, ACT_CUE, 1);
	says_text(&p.client, GET("a"));
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, strlen(GET("a")));
		if (i != 1)
			says_text(&p.server[i], ONE);
		else
			does(&p.server[i], ACT_CLOSE, 0);
	}
	world_play(&w, &p, "web");
	p.cue = 1;
	play_run(&w.stage, &p, client_closed);
	world_check_evidence(&w, NULL, &p, "web", &e, "a first request");
	world_finish(&w, &p);
	assert_int_equal(counter("web", "replays"), replays);
}

/* What may not be repeated is not put onto a connection that was idle for longer than reuse. */
static void posts_go_to_fresh_connections(void **state)
{
	static const char post[] = "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nbbb", answers[] = ONE TWO;
	static const char *const services[] = {"fresh", "web"};
	uint64_t refreshed = counter("fresh", "refreshed");
	char both[200];
	int n = snprintf(both, sizeof(both), "%s%s", GET("a"), post);

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct play p;

		play_init(&p, 3);
		says_text(&p.client, GET("a"));
		does(&p.client, ACT_HEAR, strlen(ONE));
		says_text(&p.client, post);
		does(&p.client, ACT_HEAR, sizeof(answers) - 1);
		does(&p.client, ACT_CLOSE, 0);
		expects(&p.client, answers, sizeof(answers) - 1);
		for (unsigned i = 0; i < 3; i++) {
			does(&p.server[i], ACT_HEAR, strlen(GET("a")));
			says_text(&p.server[i], ONE);
			if (k == 0) {
				does(&p.server[i], ACT_HEAR_END, 0);
				does(&p.server[i], ACT_CLOSE, 0);
			}
			does(&p.server[i], ACT_HEAR, (size_t)n);
			says_text(&p.server[i], TWO);
			does(&p.server[i], ACT_CLOSE, 0);
			expects(&p.server[i], both, (size_t)n);
		}
		world_play(&w, &p, services[k]);
		play_run(&w.stage, &p, all_done);
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(p.server[i].connections, k == 0 ? 2 : 1);
		world_finish(&w, &p);
	}
	assert_int_equal(counter("fresh", "refreshed"), refreshed + 3);
	assert_int_equal(counter("web", "refreshed"), 0);
}

static void nothing_else_was_denied(void **state)
{
	(void)state;
	assert_int_equal(counter("skewed", "denied"), 0);
	assert_int_equal(counter("fresh", "denied"), 0);
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(at_the_same_moment),
		cmocka_unit_test(one_that_closes_is_asked_again),
		cmocka_unit_test(with_its_body),
		cmocka_unit_test(in_the_middle_of_a_body),
		cmocka_unit_test(as_it_was_rewritten),
		cmocka_unit_test(each_of_many),
		cmocka_unit_test(in_report_mode),
		cmocka_unit_test(only_once),
		cmocka_unit_test(not_the_first_time),
		cmocka_unit_test(not_what_may_not_be_repeated),
		cmocka_unit_test(when_it_cannot_be_reached),
		cmocka_unit_test(the_deadline_waits_for_the_dial),
		cmocka_unit_test(posts_go_to_fresh_connections),
		cmocka_unit_test(nothing_else_was_denied),
	};

	return cmocka_run_group_tests_name("stream: replay", tests, begin, end);
}
