// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakeoutgoing.h"

#define N 3

/* A service whose instances have logged in: the identity of that is known. */
static void *params;
static uint64_t known;

/* One session, what its ends say, and how much of it was looked at. */
static struct {
	struct rddr_session s;
	struct fake_out said[N], backend;
} t;

static void forget(void)
{
	for (unsigned i = 0; i < N; i++)
		free(t.said[i].data);
	free(t.backend.data);
	memset(&t, 0, sizeof(t));
}

static int set_up(void **state)
{
	struct pg_standing *st = calloc(1, sizeof(*st));
	struct rddr_session s = {.n = N};
	struct fake_out startup = {0};

	(void)state;
	pg_forget();
	params = out_params("{}");
	out_startup(&startup, "me", "shop");
	rddr_pg_standing_set(st, 0, (struct slice){startup.data, startup.len}, (struct slice){0});
	known = rddr_pg_standing_identity(st, params);
	rddr_pg_standing_put(st, pg_host(), pg_fake_table(&s, PG_TABLE_STANDINGS, 1), known);
	free(startup.data);
	free(st);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	rddr_pg_params_free(params);
	return 0;
}

static void start(uint64_t identity, bool reused, bool alone, bool filter, const size_t replied[])
{
	assert_int_equal(out_begin(&t.s, N, filter, params, identity, reused, alone, replied), 0);
	for (unsigned i = 0; i < FAKE_ENDS; i++)
		fake_set(&t.s.in[i], NULL, 0, RDDR_END_OPEN);
}

/* On a connection of the backend's that is there. */
static void start_exchange(void)
{
	start(known, true, false, false, NULL);
}

static void finish(void)
{
	fake_end(&t.s);
	forget();
}

/* Everybody says it. */
static void all_say(void (*say)(struct fake_out *out, const char *text), const char *text)
{
	for (unsigned i = 0; i < N; i++)
		say(&t.said[i], text);
}

static void update(struct fake_stream *in, const struct fake_out *said)
{
	in->data = said->data;
	in->len = said->len;
	fake_show(in, SIZE_MAX);
	in->end_shown = in->end != RDDR_END_OPEN;
}

/* What the instances have said is judged. */
static bool judge(void)
{
	for (unsigned i = 0; i < N; i++)
		update(&t.s.in[i], &t.said[i]);
	return fake_diff(&t.s);
}

/* What the backend has said is passed on, and then the instances' turn is looked at again. */
static bool answer(void)
{
	update(&t.s.in[FAKE_LONE], &t.backend);
	if (!fake_modify(&t.s))
		return false;
	t.s.again = false;
	return fake_diff(&t.s);
}

static bool backend_got(const char *bytes, size_t len)
{
	return t.s.out[FAKE_LONE].len == len && memcmp(t.s.out[FAKE_LONE].data, bytes, len) == 0;
}

static bool all_got(const uint8_t *bytes, size_t len)
{
	for (unsigned i = 0; i < N; i++) {
		if (t.s.out[i].len != len || (len && memcmp(t.s.out[i].data, bytes, len) != 0))
			return false;
	}
	return true;
}

/* A simple exchange whose answer is that tag; the identity behind it, or 0: it is no neutral point. */
static uint64_t exchange_at(uint64_t identity, const char *text, const char *tag)
{
	uint64_t after;

	start(identity, true, false, false, NULL);
	all_say(out_query, text);
	assert_true(judge());
	out_done(&t.backend, tag, 'I');
	assert_true(answer());
	after = t.s.neutrals ? t.s.neutral_state : 0;
	finish();
	return after;
}

static void what_agrees_goes_out_once_and_its_answer_to_all(void **state)
{
	(void)state;
	start_exchange();
	out_query(&t.said[0], "insert");
	out_query(&t.said[1], "insert");
	assert_true(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	out_query(&t.said[2], "insert");
	assert_true(judge());
	assert_true(backend_got((const char *)t.said[0].data, t.said[0].len));
	pg_message(&t.backend, 'T', "\0\0", 2);
	out_done(&t.backend, "INSERT 0 1", 'I');
	assert_true(answer());
	assert_true(all_got(t.backend.data, t.backend.len));
	assert_int_equal(t.s.neutrals, 1);
	assert_true(t.s.neutral_state == known);
	finish();
}

static void what_differs_does_not_go_out(void **state)
{
	(void)state;
	start_exchange();
	out_query(&t.said[0], "insert 1");
	out_query(&t.said[1], "insert 1");
	out_query(&t.said[2], "insert 2");
	assert_false(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	assert_int_equal(t.s.finding.instance, 2);
	assert_int_equal(t.s.finding.alone, 3);
	assert_non_null(strstr(t.s.finding.why, "insert 2"));
	finish();

	/* Behind what agreed; what was parsed is not executed before Sync, or is undone with the connection. */
	start_exchange();
	for (unsigned i = 0; i < N; i++) {
		out_parse(&t.said[i], "", "insert $1");
		out_bind(&t.said[i], "", i == 1 ? "stolen" : "earned");
		out_execute(&t.said[i]);
	}
	assert_false(judge());
	assert_int_equal(t.s.finding.alone, 2);
	assert_null(memmem(t.s.out[FAKE_LONE].data, t.s.out[FAKE_LONE].len, "stolen", 6));
	assert_null(memmem(t.s.out[FAKE_LONE].data, t.s.out[FAKE_LONE].len, "earned", 6));
	finish();
}

static void begin_was_answered_before_and_is_not_answered_again(void **state)
{
	size_t replied[N];
	size_t begun;

	(void)state;
	all_say(out_query, "begin");
	for (unsigned i = 0; i < N; i++)
		replied[i] = i == 2 ? 0 : t.said[i].len;
	begun = t.said[0].len;
	all_say(out_query, "insert");
	struct fake_out said[N];
	memcpy(said, t.said, sizeof(said));
	start(known, true, false, false, replied);
	memcpy(t.said, said, sizeof(said));
	assert_true(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, t.said[0].len);
	out_done(&t.backend, "BEGIN", 'T');
	assert_int_equal(t.backend.len, 17);
	out_done(&t.backend, "INSERT 0 1", 'T');
	assert_true(answer());
	/* The third had said both at once, and was told nothing. */
	assert_int_equal(t.s.out[0].len, t.backend.len - 17);
	assert_int_equal(t.s.out[1].len, t.backend.len - 17);
	assert_int_equal(t.s.out[2].len, t.backend.len);
	assert_int_equal(t.s.neutrals, 0);
	all_say(out_query, "commit");
	assert_true(judge());
	out_done(&t.backend, "COMMIT", 'I');
	assert_true(answer());
	assert_int_equal(t.s.neutrals, 1);
	assert_true(begun > 0);
	finish();
}

static void a_begin_that_fails_after_all_ends_the_session(void **state)
{
	size_t replied[N];

	(void)state;
	all_say(out_query, "begin");
	for (unsigned i = 0; i < N; i++)
		replied[i] = t.said[i].len;
	all_say(out_query, "insert");
	struct fake_out said[N];
	memcpy(said, t.said, sizeof(said));
	start(known, true, false, false, replied);
	memcpy(t.said, said, sizeof(said));
	assert_true(judge());
	pg_message(&t.backend, 'E', "SERROR\0C57P03\0\0", 15);
	assert_false(answer());
	assert_non_null(strstr(t.s.rejected, "begin"));
	finish();
}

static void settings_are_part_of_the_identity(void **state)
{
	uint64_t a, ab, ba, aba;

	(void)state;
	a = exchange_at(known, "set a = 1", "SET");
	assert_true(a && a != known);
	ab = exchange_at(a, "set b = 1", "SET");
	ba = exchange_at(exchange_at(known, "set b = 1", "SET"), "set a = 1", "SET");
	assert_true(ab && ba && ab != a && ab != ba);
	/* The last one of a name counts, and is the last. */
	aba = exchange_at(ab, "set a = 1", "SET");
	assert_true(aba == ba);
	assert_true(exchange_at(a, "set a = 2", "SET") == exchange_at(known, "set a = 2", "SET"));
	assert_true(exchange_at(ab, "reset b", "RESET") == a);
	assert_true(exchange_at(ab, "reset all", "RESET") == known);
	assert_true(exchange_at(ab, "discard all", "DISCARD ALL") == known);
	assert_true(exchange_at(a, "select 1", "SELECT 1") == a);
	assert_true(exchange_at(a, "set local b = 1", "SET") == a);
	/* Done by something that no text has announced. */
	assert_true(exchange_at(a, "select 1", "SET") == 0);
	assert_true(exchange_at(a, "create temp table t (a int)", "CREATE TABLE") == 0);
}

static void settings_are_undone_with_their_block(void **state)
{
	static const struct {
		const char *end, *tag;
		bool stays;
	} cases[] = {{"commit", "COMMIT", true}, {"rollback", "ROLLBACK", false}, {"commit", "ROLLBACK", false}};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		start_exchange();
		all_say(out_query, "begin");
		all_say(out_query, "set a = 1");
		assert_true(judge());
		out_done(&t.backend, "BEGIN", 'T');
		out_done(&t.backend, "SET", 'T');
		assert_true(answer());
		assert_int_equal(t.s.neutrals, 0);
		all_say(out_query, cases[i].end);
		assert_true(judge());
		out_done(&t.backend, cases[i].tag, 'I');
		assert_true(answer());
		assert_int_equal(t.s.neutrals, 1);
		assert_int_equal(t.s.neutral_state != known, cases[i].stays);
		finish();
	}
}

/* Where nobody can tell what is left of it, no other group gets the connection. */
static void what_cannot_be_told_sticks(void **state)
{
	static const struct {
		const char *asks[3], *tags[3];
		char ends; /* of the last request */
	} cases[] = {
		{{"begin", "set a = 1", "rollback; set b = 1"}, {"BEGIN", "SET", "ROLLBACK+SET"}, 'I'},
		{{"begin", "set a = 1", "rollback to x"}, {"BEGIN", "SET", "ROLLBACK"}, 'T'},
		{{"begin", "set a = 1", "commit and chain"}, {"BEGIN", "SET", "COMMIT"}, 'T'},
		{{"begin", "set a = 1", "commit; begin; rollback"}, {"BEGIN", "SET", "COMMIT+BEGIN+ROLLBACK"}, 'I'},
	};

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		start_exchange();
		for (unsigned k = 0; k < 3; k++) {
			char tags[64], *left = tags;

			snprintf(tags, sizeof(tags), "%s", cases[c].tags[k]);
			all_say(out_query, cases[c].asks[k]);
			assert_true(judge());
			for (const char *tag = strsep(&left, "+"); tag; tag = strsep(&left, "+"))
				pg_message(&t.backend, 'C', tag, strlen(tag) + 1);
			pg_message(&t.backend, 'Z', k == 2 ? &cases[c].ends : "T", 1);
			assert_true(answer());
		}
		all_say(out_query, "commit");
		assert_true(judge());
		out_done(&t.backend, "COMMIT", 'I');
		assert_true(answer());
		if (t.s.neutrals)
			fail_msg("%s: a neutral point", cases[c].asks[2]);
		finish();
	}
}

static void prepared_statements_are_said_again_elsewhere(void **state)
{
	static const char ok[] = "R\0\0\0\010\0\0\0\0K\0\0\0\014abcdefghZ\0\0\0\5I";
	struct fake_out parse = {0};
	uint64_t with;

	(void)state;
	out_parse(&parse, "p", "select 1");
	start_exchange();
	for (unsigned i = 0; i < N; i++) {
		fake_append(&t.said[i], parse.data, parse.len);
		pg_message(&t.said[i], 'S', NULL, 0);
	}
	assert_true(judge());
	pg_message(&t.backend, '1', NULL, 0);
	pg_message(&t.backend, 'Z', "I", 1);
	assert_true(answer());
	with = t.s.neutral_state;
	assert_true(t.s.neutrals == 1 && with != known);
	finish();

	/* On a new connection: the login, and then what was prepared. What is asked waits. */
	start(with, false, false, false, NULL);
	all_say(out_query, "execute p");
	assert_true(judge());
	const size_t startup = t.s.out[FAKE_LONE].len;
	assert_true(startup > 8);
	fake_append(&t.backend, (const uint8_t *)ok, sizeof(ok) - 1);
	assert_true(answer());
	assert_int_equal(t.s.out[FAKE_LONE].len, startup + parse.len + 5);
	assert_memory_equal(t.s.out[FAKE_LONE].data + startup, parse.data, parse.len);
	assert_true(all_got(NULL, 0));
	pg_message(&t.backend, '1', NULL, 0);
	pg_message(&t.backend, 'Z', "I", 1);
	assert_true(answer());
	assert_int_equal(t.s.out[FAKE_LONE].len, startup + parse.len + 5 + t.said[0].len);
	assert_true(all_got(NULL, 0));
	finish();
	free(parse.data);
}

static void a_connection_that_is_not_known_any_more_ends(void **state)
{
	(void)state;
	start(known + 1, false, false, false, NULL);
	all_say(out_query, "select 1");
	assert_true(judge());
	assert_true(t.s.finished);
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	finish();
}

static void the_unnamed_statement_of_before_is_not_at_hand(void **state)
{
	(void)state;
	start_exchange();
	for (unsigned i = 0; i < N; i++) {
		out_bind(&t.said[i], "", "1");
		out_execute(&t.said[i]);
	}
	assert_false(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	assert_non_null(strstr(t.s.finding.why, "unnamed"));
	finish();
	start_exchange();
	all_say(out_query, "select lastval()");
	assert_false(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	finish();
}

static void copy_in_lasts_until_it_is_done(void **state)
{
	(void)state;
	/* Extended: the first Sync is passed over by the server. */
	for (int extended = 0; extended < 2; extended++) {
		start_exchange();
		for (unsigned i = 0; i < N; i++) {
			if (extended) {
				out_parse(&t.said[i], "", "copy a from stdin");
				out_bind(&t.said[i], "", NULL);
				out_execute(&t.said[i]);
			} else {
				out_query(&t.said[i], "copy a from stdin");
			}
		}
		assert_true(judge());
		pg_message(&t.backend, 'G', "\0\0\0", 3);
		assert_true(answer());
		for (unsigned i = 0; i < N; i++) {
			pg_message(&t.said[i], 'd', "1\n", 2);
			pg_message(&t.said[i], 'c', NULL, 0);
			if (extended)
				pg_message(&t.said[i], 'S', NULL, 0);
		}
		assert_true(judge());
		assert_true(t.s.out[FAKE_LONE].len == t.said[0].len);
		assert_int_equal(t.s.neutrals, 0);
		out_done(&t.backend, "COPY 1", 'I');
		assert_true(answer());
		assert_int_equal(t.s.neutrals, 1);
		finish();
	}
	/* It fails, and some have said more than others. */
	start_exchange();
	all_say(out_query, "copy a from stdin");
	assert_true(judge());
	pg_message(&t.backend, 'G', "\0\0\0", 3);
	assert_true(answer());
	for (unsigned i = 0; i < N; i++)
		pg_message(&t.said[i], 'd', "1\n", 2);
	assert_true(judge());
	pg_message(&t.said[1], 'd', "2\n", 2);
	pg_message(&t.backend, 'E', "SERROR\0C22P02\0\0", 15);
	pg_message(&t.backend, 'Z', "I", 1);
	assert_true(answer());
	assert_int_equal(t.s.neutrals, 1);
	finish();
}

static void answers_that_nobody_asked_for_are_refused(void **state)
{
	static const struct {
		const char *body;
		size_t len;
		char type;
		bool passes;
	} cases[] = {
		{"\0\0", 2, 'D', false},     {"I", 1, 'Z', false},	   {"SELECT", 7, 'C', false},
		{"\0\0\0\0", 4, 'R', false}, {"", 0, 'y', false},	   {"SNOTICE\0\0", 9, 'N', true},
		{"a\0b\0", 4, 'S', true},    {"SFATAL\0\0", 8, 'E', true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		start_exchange();
		assert_true(judge());
		pg_message(&t.backend, cases[i].type, cases[i].body, cases[i].len);
		if (answer() != cases[i].passes)
			fail_msg("%c: %s", cases[i].type, cases[i].passes ? "refused" : "passed");
		finish();
	}
}

static void requests_may_come_behind_each_other(void **state)
{
	(void)state;
	start_exchange();
	all_say(out_query, "select 1");
	all_say(out_query, "select 2");
	assert_true(judge());
	out_done(&t.backend, "SELECT 1", 'I');
	assert_true(answer());
	assert_int_equal(t.s.neutrals, 0);
	out_done(&t.backend, "SELECT 1", 'I');
	assert_true(answer());
	assert_int_equal(t.s.neutrals, 1);
	finish();
}

static void literals_of_the_pair_may_be_noise(void **state)
{
	static const struct {
		const char *say[N];
		bool agrees;
	} cases[] = {
		{{"insert ('a1b2c3d4', 5)", "insert ('e5f6a7b8', 5)", "insert ('c9d0e1f2', 5)"}, true},
		{{"insert ('a1b2c3d4', 5)", "insert ('e5f6a7b8', 5)", "insert ('c9d0e1f2', 6)"}, false},
		{{"insert ('a1b2c3d4', 5)", "insert ('e5f6a7b8', 5)", "insert (''||secret, 5)"}, false},
		{{"insert ('a1b2c3d4', 5)", "insert ('e5f6a7b8', 5)",
		  "insert ('a very long text that is none of it', 5)"},
		 false},
		{{"/* id a1b2c3d4 */ select 1", "/* id e5f6a7b8 */ select 1", "/* id c9d0e1f2 */ select 1"}, true},
		{{"/* id a1b2c3d4 */ select 1", "/* id e5f6a7b8 */ select 1", "/* id c9*/ drop table a/* */ select 1"},
		 false},
		{{"select a", "select b", "select a"}, false},
	};

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		start(known, true, false, true, NULL);
		for (unsigned i = 0; i < N; i++)
			out_query(&t.said[i], cases[c].say[i]);
		if (judge() != cases[c].agrees)
			fail_msg("%s: %s", cases[c].say[2], cases[c].agrees ? t.s.finding.why : "agrees");
		assert_int_equal(t.s.out[FAKE_LONE].len > 0, cases[c].agrees);
		finish();
	}
	start(known, true, false, true, NULL);
	for (unsigned i = 0; i < N; i++) {
		const char *const ids[N] = {"a1b2c3d4", "e5f6a7b8", "c9d0e1f2"};

		out_parse(&t.said[i], "", "insert $1");
		out_bind(&t.said[i], "", ids[i]);
		out_execute(&t.said[i]);
	}
	assert_true(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, t.said[0].len);
	finish();
}

/* The group's login, on a backend that trusts, and then one of theirs alone. */
static void logins_are_kept_for_others(void **state)
{
	static const char welcome[] = "R\0\0\0\010\0\0\0\0S\0\0\0\010a\0b\0K\0\0\0\014abcdefghZ\0\0\0\5I";
	size_t told;

	(void)state;
	pg_forget();
	start(0, false, false, false, NULL);
	for (unsigned i = 0; i < N; i++)
		out_startup(&t.said[i], "me", "shop");
	assert_true(judge());
	assert_true(backend_got((const char *)t.said[0].data, t.said[0].len));
	fake_append(&t.backend, (const uint8_t *)welcome, sizeof(welcome) - 1);
	assert_true(answer());
	assert_int_equal(t.s.neutrals, 1);
	assert_true(t.s.neutral_state == known);
	told = t.s.out[0].len;
	assert_int_equal(told, sizeof(welcome) - 1);
	/* A key of its own for each. */
	assert_memory_not_equal(t.s.out[0].data, t.s.out[1].data, told);
	assert_memory_not_equal(t.s.marks, &t.s.marks[1], sizeof(t.s.marks[0]));
	finish();

	start(0, false, true, false, NULL);
	out_startup(&t.said[1], "me", "shop");
	t.s.in[0].end = t.s.in[2].end = RDDR_END_ABSENT;
	assert_true(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	assert_int_equal(t.s.out[1].len, told);
	assert_int_equal(t.s.neutrals, 1);
	assert_true(t.s.neutral_state == known);
	finish();
}

static void logins_that_ask_for_something_else_differ(void **state)
{
	(void)state;
	start(0, false, false, false, NULL);
	for (unsigned i = 0; i < N; i++)
		out_startup(&t.said[i], "me", i == 1 ? "bank" : "shop");
	assert_false(judge());
	assert_int_equal(t.s.out[FAKE_LONE].len, 0);
	assert_non_null(strstr(t.s.finding.why, "database"));
	finish();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_agrees_goes_out_once_and_its_answer_to_all),
		TEST(what_differs_does_not_go_out),
		TEST(begin_was_answered_before_and_is_not_answered_again),
		TEST(a_begin_that_fails_after_all_ends_the_session),
		TEST(settings_are_part_of_the_identity),
		TEST(settings_are_undone_with_their_block),
		TEST(what_cannot_be_told_sticks),
		TEST(prepared_statements_are_said_again_elsewhere),
		TEST(a_connection_that_is_not_known_any_more_ends),
		TEST(the_unnamed_statement_of_before_is_not_at_hand),
		TEST(copy_in_lasts_until_it_is_done),
		TEST(answers_that_nobody_asked_for_are_refused),
		TEST(requests_may_come_behind_each_other),
		TEST(literals_of_the_pair_may_be_noise),
		TEST(logins_are_kept_for_others),
		TEST(logins_that_ask_for_something_else_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
