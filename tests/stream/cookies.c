/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cookies.c - instances that call their cookies by names of their own: the client sees instance 0's, each server hears
 * its own, to the byte, however it arrives; and a cookie under a name that is not the instance's goes nowhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

enum { N = 3 };

static struct world w;

#define PARAMS                                                                                                         \
	"diff-class: http|deadlines: { skew: 60s }|diff-params: { fields: ["                                           \
	"{ cookie: [PHPSESSID, PHPSESSID, JSESSIONID], action: token }, "                                              \
	"{ cookie: [lang, lang, LANG], action: compare }] }"

static int begin(void **state)
{
	(void)state;
	world_init(&w, AF_INET, N, "workers: 2");
	world_add(&w, "web", N, PARAMS);
	world_add(&w, "deny", N, PARAMS);
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

#define ASK  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK   "HTTP/1.1 200 OK\r\n"
#define NONE "Content-Length: 0\r\n\r\n"
#define LAST "HTTP/1.1 204 No Content\r\n\r\n"

/* What each says of a session, and what each then hears of it. */
static const char *const gives[N] = {
	OK "Set-Cookie: PHPSESSID=aaaa1111aaaa; Path=/\r\nSet-Cookie: lang=en\r\n" NONE,
	OK "Set-Cookie: lang=en\r\nSet-Cookie: PHPSESSID=bbbb2222bbbb; Path=/\r\n" NONE,
	OK "Set-Cookie: JSESSIONID=cccc3333cccc.node7; Path=/\r\nSet-Cookie: LANG=en\r\n" NONE,
};
static const char *const hears[N] = {
	ASK "POST /in HTTP/1.1\r\nHost: a\r\nCookie: lang=en; PHPSESSID=aaaa1111aaaa; PHPSESSID2=1; JSESSIONID=x\r\n"
	    "X: 1\r\nCookie: PHPSESSID=\"aaaa1111aaaa\";lang\r\nContent-Length: 11\r\n\r\nPHPSESSID=1",
	ASK "POST /in HTTP/1.1\r\nHost: a\r\nCookie: lang=en; PHPSESSID=bbbb2222bbbb; PHPSESSID2=1; JSESSIONID=x\r\n"
	    "X: 1\r\nCookie: PHPSESSID=\"bbbb2222bbbb\";lang\r\nContent-Length: 11\r\n\r\nPHPSESSID=1",
	ASK
	"POST /in HTTP/1.1\r\nHost: a\r\nCookie: LANG=en; JSESSIONID=cccc3333cccc.node7; PHPSESSID2=1; PHPSESSID=x\r\n"
	"X: 1\r\nCookie: JSESSIONID=\"cccc3333cccc.node7\";LANG\r\nContent-Length: 11\r\n\r\nPHPSESSID=1",
};

static void a_session(bool client_dribbles, bool servers_dribble)
{
	char client[512];
	struct play p;

	snprintf(client, sizeof(client), "%s%s", gives[0], LAST);
	play_init(&p, N);
	p.client.dribbles = client_dribbles;
	says_text(&p.client, ASK);
	does(&p.client, ACT_HEAR, strlen(gives[0]));
	says_text(&p.client, hears[0] + strlen(ASK));
	does(&p.client, ACT_HEAR, strlen(client));
	does(&p.client, ACT_FIN, 0);
	expects(&p.client, client, strlen(client));
	for (unsigned i = 0; i < N; i++) {
		struct end *e = &p.server[i];

		e->dribbles = servers_dribble;
		expects(e, hears[i], strlen(hears[i]));
		does(e, ACT_HEAR, strlen(ASK));
		says_text(e, gives[i]);
		does(e, ACT_HEAR, strlen(hears[i]));
		says_text(e, LAST);
		does(e, ACT_HEAR_END, 0);
	}
	world_play(&w, &p, "web");
	play_run(&w.stage, &p, all_done);
	for (unsigned i = 0; i < N; i++) {
		if (p.server[i].wrong || p.server[i].heard != strlen(hears[i]) || p.client.wrong || p.client.reset ||
		    p.client.heard != strlen(client)) {
			play_show(&p);
			fail_msg("%s, %s: not what was to be heard", client_dribbles ? "dribbled" : "whole",
				 servers_dribble ? "dribbled" : "whole");
		}
	}
	play_free(&p);
}

static void each_hears_its_own_names(void **state)
{
	(void)state;
	for (unsigned how = 0; how < 4; how++)
		a_session(how & 1, how & 2);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "web", "denied"), 0);
}

/* All alike to the byte, and yet not the same cookie. */
static void anothers_name_is_a_divergence(void **state)
{
	static const char denied[] = "HTTP/1.1 500 ";

	(void)state;
	for (unsigned how = 0; how < 2; how++) {
		const struct expected e = {.action = "deny",
					   .reason = "divergence",
					   .offset = -1,
					   .minority = -2,
					   .why = "\"JSESSIONID\" is missing, where the other has \"PHPSESSID\""};
		uint8_t page[sizeof(denied) - 1];
		struct play p;

		play_init(&p, N);
		says_text(&p.client, ASK);
		does(&p.client, ACT_HEAR_END, 0);
		p.client.keep = page;
		p.client.keep_len = sizeof(page);
		for (unsigned i = 0; i < N; i++) {
			p.server[i].dribbles = how;
			does(&p.server[i], ACT_HEAR, strlen(ASK));
			says_text(&p.server[i], OK "Set-Cookie: PHPSESSID=aaaa1111aaaa\r\n" NONE);
			does(&p.server[i], ACT_HEAR_END, 0);
		}
		world_play(&w, &p, "deny");
		play_run(&w.stage, &p, client_closed);
		assert_true(p.client.heard > sizeof(page));
		assert_memory_equal(page, denied, sizeof(page));
		world_check_evidence(&w, NULL, &p, "deny", &e, "another's name");
		play_free(&p);
	}
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "deny", "denied"), 2);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_hears_its_own_names),
		cmocka_unit_test(anothers_name_is_a_divergence),
		cmocka_unit_test(ends_in_order),
	};

	return world_run("stream/cookies", tests, sizeof(tests) / sizeof(tests[0]), begin, end);
}
