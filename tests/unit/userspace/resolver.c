// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "loop.h"
#include "own.h"
#include "resolver.h"

/* Far more than any of it takes. */
#define PATIENCE_MS 60000

struct asker {
	struct loop *loop;
	struct resolver *resolver;
	struct resolver_query *query;
	struct resolver_answer answer;
	unsigned answers, wanted;
	bool late;
};

static void on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct asker *a = ctx;

	a->answer = *answer;
	if (++a->answers == a->wanted)
		rddr_loop_stop(a->loop);
}

static void on_late(void *ctx)
{
	struct asker *a = ctx;

	a->late = true;
	rddr_loop_stop(a->loop);
}

static void begin(struct asker *a)
{
	*a = (struct asker){.wanted = 1};
	assert_int_equal(rddr_loop_new(&a->loop), 0);
	assert_int_equal(rddr_resolver_new(&a->resolver), 0);
}

static void end(struct asker *a)
{
	rddr_resolver_free(&a->resolver);
	rddr_loop_free(&a->loop);
}

static void wait_for_answers(struct asker *a)
{
	struct timer patience = {.fn = on_late, .ctx = a};

	rddr_loop_timer_set(a->loop, &patience, rddr_loop_now(a->loop) + PATIENCE_MS);
	assert_int_equal(rddr_loop_run(a->loop), 0);
	rddr_loop_timer_cancel(a->loop, &patience);
	assert_false(a->late);
}

/* A server that never answers. */
static int silent_server(char text[32])
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	snprintf(text, 32, "127.0.0.1:%u", ntohs(sin.sin_port));
	return fd;
}

static void test_names(void **state)
{
	char longest[300];

	(void)state;
	memset(longest, 'a', sizeof(longest));
	longest[RESOLVER_NAME] = '\0';
	assert_true(rddr_resolver_is_name("shop.example"));
	assert_true(rddr_resolver_is_name("a_b-c.1"));
	assert_true(rddr_resolver_is_name("shop.example."));
	assert_true(rddr_resolver_is_name(longest));
	longest[RESOLVER_NAME] = 'a';
	longest[RESOLVER_NAME + 1] = '\0';
	assert_false(rddr_resolver_is_name(longest));
	static const char *const bad[] = {"",	 ".",	".a",	 "a..b", "a b",
					  "a/b", "a:1", "[::1]", "a%00", "\xc3\xa4.example"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (rddr_resolver_is_name(bad[i]))
			fail_msg("\"%s\" is taken for a name", bad[i]);
	}
}

static void test_literals(void **state)
{
	static const char *const texts[] = {"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"};
	static const char *const wanted[] = {"192.0.2.1:81", "[2001:db8::1]:81", "192.0.2.1:81"};
	const struct resolver_conf conf = {.timeout = 100, .tries = 1};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		char text[RDDR_ADDR_TEXT];
		struct asker a;

		begin(&a);
		assert_int_equal(rddr_resolver_ask(a.resolver, &conf, texts[i], 81, a.loop, on_answer, &a, &a.query),
				 0);
		wait_for_answers(&a);
		assert_null(a.answer.why);
		assert_int_equal(a.answer.n, 1);
		assert_string_equal(rddr_addr_format(&a.answer.addresses[0], text, sizeof(text)), wanted[i]);
		end(&a);
	}
}

static void test_silence(void **state)
{
	char server[32];
	_owned_fd_ int fd = silent_server(server);
	const struct resolver_conf conf = {.servers = server, .timeout = 50, .tries = 1};
	struct asker a;

	(void)state;
	begin(&a);
	assert_int_equal(rddr_resolver_ask(a.resolver, &conf, "shop.example", 1, a.loop, on_answer, &a, &a.query), 0);
	wait_for_answers(&a);
	assert_non_null(a.answer.why);
	assert_int_equal(a.answer.n, 0);
	end(&a);
}

/* More than there is room for: all are answered, those past the bound at once. */
static void test_bounded(void **state)
{
	char server[32];
	_owned_fd_ int fd = silent_server(server);
	const struct resolver_conf conf = {.servers = server, .timeout = 200, .tries = 1};
	struct asker a;

	(void)state;
	begin(&a);
	a.wanted = RESOLVER_QUESTIONS + 100;
	for (unsigned i = 0; i < a.wanted; i++)
		assert_int_equal(
			rddr_resolver_ask(a.resolver, &conf, "shop.example", 1, a.loop, on_answer, &a, &a.query), 0);
	wait_for_answers(&a);
	end(&a);
}

static void test_cancelled(void **state)
{
	char server[32];
	_owned_fd_ int fd = silent_server(server);
	const struct resolver_conf slow = {.servers = server, .timeout = 60000, .tries = 1},
				   any = {.timeout = 50, .tries = 1};
	struct resolver_query *query;
	struct asker a;

	(void)state;
	begin(&a);
	assert_int_equal(rddr_resolver_ask(a.resolver, &any, "192.0.2.9", 1, a.loop, on_answer, &a, &query), 0);
	rddr_resolver_cancel(&query);
	assert_null(query);
	rddr_resolver_cancel(&query);
	assert_int_equal(rddr_resolver_ask(a.resolver, &any, "192.0.2.1", 1, a.loop, on_answer, &a, &a.query), 0);
	wait_for_answers(&a);
	assert_int_equal(a.answers, 1);

	/* The end comes while questions are under way: they are answered, or dropped where they were cancelled. */
	assert_int_equal(rddr_resolver_ask(a.resolver, &slow, "one.example", 1, a.loop, on_answer, &a, &query), 0);
	assert_int_equal(rddr_resolver_ask(a.resolver, &slow, "two.example", 1, a.loop, on_answer, &a, &a.query), 0);
	rddr_resolver_cancel(&query);
	rddr_resolver_free(&a.resolver);
	rddr_loop_free(&a.loop);
	assert_int_equal(a.answers, 2);
	assert_non_null(a.answer.why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	cmocka_unit_test(test_literals),  cmocka_unit_test(test_silence),
		cmocka_unit_test(test_bounded), cmocka_unit_test(test_cancelled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
