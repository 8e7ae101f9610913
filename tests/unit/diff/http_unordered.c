/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is learnt of the items of arrays in any order: nothing where it is not sure which of them belong together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "fakehttp.h"

enum { N = 3 };

struct example {
	const char *what, *params;
	const char *bodies[N];
	bool learns;
	const char *known; /* a field that is remembered as noise then; NULL: none is */
};

#define ANY_ORDER "{\"unordered\":[\"\"]}"

static const struct example examples[] = {
	{"names tell which ids belong together",
	 ANY_ORDER,
	 {"[{\"id\":\"a1b2c3d4e5\",\"name\":\"Springboots\"},{\"id\":\"f6e7d8c9b0\",\"name\":\"Umbrellas\"}]",
	  "[{\"id\":\"0f9e8d7c6b\",\"name\":\"Umbrellas\"},{\"id\":\"1a2b3c4d5e\",\"name\":\"Springboots\"}]",
	  "[{\"id\":\"99aa88bb77\",\"name\":\"Umbrellas\"},{\"id\":\"66cc55dd44\",\"name\":\"Springboots\"}]"},
	 true,
	 "json:/0/id"},
	{"nothing tells it",
	 ANY_ORDER,
	 {"[{\"id\":\"a1b2c3d4e5\",\"name\":\"Boots\"},{\"id\":\"f6e7d8c9b0\",\"name\":\"Boots\"}]",
	  "[{\"id\":\"0f9e8d7c6b\",\"name\":\"Boots\"},{\"id\":\"1a2b3c4d5e\",\"name\":\"Boots\"}]",
	  "[{\"id\":\"99aa88bb77\",\"name\":\"Boots\"},{\"id\":\"66cc55dd44\",\"name\":\"Boots\"}]"},
	 false,
	 "json:/0/id"},
	{"in their order",
	 "{}",
	 {"[{\"id\":\"a1b2c3d4e5\",\"name\":\"Boots\"},{\"id\":\"f6e7d8c9b0\",\"name\":\"Boots\"}]",
	  "[{\"id\":\"0f9e8d7c6b\",\"name\":\"Boots\"},{\"id\":\"1a2b3c4d5e\",\"name\":\"Boots\"}]",
	  "[{\"id\":\"99aa88bb77\",\"name\":\"Boots\"},{\"id\":\"66cc55dd44\",\"name\":\"Boots\"}]"},
	 true,
	 "json:/0/id"},
	{"words in another order are no noise, and no tokens",
	 ANY_ORDER,
	 {"[\"Springboots\",\"Umbrellas\",\"Waterpipes\"]", "[\"Waterpipes\",\"Springboots\",\"Umbrellas\"]",
	  "[\"Umbrellas\",\"Waterpipes\",\"Springboots\"]"},
	 false,
	 NULL},
};

static void hold(const struct example *e)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct rddr_session s;
	char answers[N][512], noise[64];
	size_t len = sizeof(noise);

	fakehttp_service = e->what;
	assert_int_equal(fake_begin(&s, &fakehttp, N, true, e->params), 0);
	fake_set(&s.in[FAKE_LONE], ask, sizeof(ask) - 1, RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&s));
	for (unsigned i = 0; i < N; i++) {
		snprintf(answers[i], sizeof(answers[i]),
			 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(e->bodies[i]), e->bodies[i]);
		fake_set(&s.in[i], answers[i], strlen(answers[i]), RDDR_END_OPEN);
	}
	if (!fake_diff_whole(&s))
		fail_msg("%s: %s: %s", e->what, s.finding.where, s.finding.why);
	if ((rddr_tables_count(fakehttp_table(&s, "tokens", 1)) > 0) != e->learns)
		fail_msg("%s: learns %zu", e->what, rddr_tables_count(fakehttp_table(&s, "tokens", 1)));
	if ((rddr_tables_count(fakehttp_table(&s, "noise", 1)) > 0) != (e->known != NULL) ||
	    (e->known && !rddr_tables_get(fakehttp_table(&s, "noise", 1), e->known, strlen(e->known), noise, &len)))
		fail_msg("%s: remembers other noise", e->what);
	fake_end(&s);
}

static void what_may_not_belong_together_is_no_token(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++)
		hold(&examples[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_not_belong_together_is_no_token),
	};

	return cmocka_run_group_tests_name("diff/http_unordered", tests, NULL, NULL);
}
