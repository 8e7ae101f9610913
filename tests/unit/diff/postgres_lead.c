// SPDX-License-Identifier: BSD-2-Clause
/*
 * Who is sent what, and when: order: leader, what waits before it is passed on, what is not followed any more, and
 * requests that were cancelled.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakepgtext.h"

#define N    3
#define IDLE "C X 1 | Z I"
#define IN   "C X 1 | Z T"

static struct {
	struct rddr_session s;
	struct fake_out said[N], asked;
	size_t passed; /* what each was sent in the login */
} t;

static void begin_with(const char *params)
{
	memset(&t, 0, sizeof(t));
	assert_int_equal(pg_begin(&t.s, &rddr_diff_plugin, N, false, params), 0);
	for (unsigned i = 0; i < N; i++)
		pg_welcome(&t.said[i], (uint8_t)(i + 1));
	pg_login(&t.s, t.said);
	t.passed = t.s.out[0].len;
}

static int begin(void **state)
{
	(void)state;
	begin_with(NULL);
	return 0;
}

static void forget(void)
{
	fake_end(&t.s);
	for (unsigned i = 0; i < N; i++)
		free(t.said[i].data);
	free(t.asked.data);
}

static int end(void **state)
{
	(void)state;
	forget();
	return 0;
}

/* The client says it. False: it is rejected. */
static bool ask(const char *text)
{
	struct fake_stream *lone = &t.s.in[FAKE_LONE];

	pg_say(&t.asked, text);
	lone->data = t.asked.data;
	lone->len = t.asked.len;
	lone->end = RDDR_END_OPEN;
	fake_show(lone, SIZE_MAX);
	return fake_modify(&t.s);
}

static void queue(unsigned i, const char *text)
{
	struct fake_stream *in = &t.s.in[i];

	pg_say(&t.said[i], text);
	in->data = t.said[i].data;
	in->len = t.said[i].len;
	fake_show(in, SIZE_MAX);
	in->end_shown = false;
}

/* Instance i says it. False: they differ. */
static bool say(unsigned i, const char *text)
{
	queue(i, text);
	return fake_diff(&t.s) && fake_modify(&t.s);
}

static bool say_all(const char *text)
{
	for (unsigned i = 0; i < N; i++) {
		if (!say(i, text))
			return false;
	}
	return true;
}

static bool ends(unsigned i)
{
	t.s.in[i].end = RDDR_END_ENDED;
	t.s.in[i].end_shown = true;
	return fake_diff(&t.s);
}

/* Types of the messages from at on. */
static const char *types(const struct fake_out *out, size_t at, size_t end)
{
	static char text[64];
	size_t n = 0;

	while (at + 5 <= end && n + 1 < sizeof(text)) {
		const uint8_t *m = out->data + at;

		text[n++] = (char)m[0];
		at += 1 + ((size_t)m[1] << 24 | (size_t)m[2] << 16 | (size_t)m[3] << 8 | m[4]);
	}
	text[n] = '\0';
	return text;
}

static const char *sent(void)
{
	return types(&t.s.out[0], t.passed, t.s.out[0].len);
}

/* What the others have got of it. */
static const char *followed(void)
{
	return types(&t.s.out[1], t.passed, pg_led + pg_followed);
}

static const char *heard(void)
{
	return types(&t.s.out[FAKE_LONE], PG_WELCOME, t.s.out[FAKE_LONE].len);
}

/* ---- who is sent what ---- */

static void the_others_follow_when_the_leader_has_answered(void **state)
{
	(void)state;
	assert_true(ask("Q select 1"));
	assert_string_equal(sent(), "Q");
	assert_string_equal(followed(), "");
	assert_true(say(0, "T a | D 1"));
	assert_string_equal(followed(), "");
	assert_true(say(0, "C SELECT 1 | Z I"));
	assert_string_equal(followed(), "Q");
	/* COPY data go to all as they come; their end waits for the leader. */
	assert_true(ask("Q copy t from stdin") && say(0, "G 0"));
	assert_string_equal(followed(), "QQ");
	assert_true(ask("?d 1 | ?d 2"));
	assert_string_equal(followed(), "QQdd");
	assert_true(ask("?c "));
	assert_string_equal(followed(), "QQdd");
	assert_true(say(0, "C COPY 2 | Z I"));
	assert_string_equal(followed(), "QQddc");
	/* The same with the extended protocol. */
	assert_true(ask("P ,copy t from stdin | B , | ?E  | S") && say(0, "1 | 2 | G 0"));
	assert_true(ask("?d 1 | ?c  | S"));
	assert_string_equal(followed(), "QQddcPBESd");
	assert_true(say(0, "C COPY 1 | Z I"));
	assert_string_equal(followed(), "QQddcPBESdcS");
}

static void a_flush_asks_for_what_is_in_front_of_it(void **state)
{
	(void)state;
	assert_true(ask("?H "));
	assert_true(ask("P ,select 1 | B , | ?E "));
	assert_string_equal(followed(), "");
	assert_true(say(0, "1"));
	assert_string_equal(followed(), "");
	assert_true(ask("?H "));
	assert_string_equal(sent(), "HPBEH");
	assert_true(say(0, "2"));
	assert_string_equal(followed(), "");
	assert_true(say(0, "D 1 | C SELECT 1"));
	assert_string_equal(followed(), "HPBEH");
	/* One behind a request that is not answered yet. */
	assert_true(ask("S") && ask("?H "));
	assert_string_equal(followed(), "HPBEH");
	assert_true(say(0, "Z I"));
	assert_string_equal(followed(), "HPBEHS");
}

/* ---- the leader is lost ---- */

#define GOING "E SFATAL,VFATAL,C57P01,Mgoing"

static void lose_the_leader(bool together)
{
	static const struct {
		const char *before, *answers, *asks, *says; /* says NULL: not a word */
		bool follows;
	} cases[] = {
		{NULL, NULL, "Q insert into t values (1)", NULL, false},
		{NULL, NULL, "Q insert into t values (1)", GOING, false},
		{"Q begin", IN, "Q commit", NULL, false},
		{"Q begin", IN, "Q commit", GOING, false},
		{"Q begin", IN, "Q select pg_terminate_backend(pg_backend_pid())", GOING, false},
		{"Q begin", IN, "P ,commit | B , | ?E  | S", GOING, false},
		{"Q begin", IN, "P ,commit | B , | ?E ", NULL, false},
		/* What is not at its end is undone by the end of the connection. */
		{"Q begin", IN, "P ,insert | B , | ?E ", NULL, true},
		/* All are to hear the same. */
		{NULL, NULL, "Q select pg_terminate_backend(pg_backend_pid())", GOING, true},
		{NULL, NULL, "P ,select pg_terminate_backend($1) | B , | ?E  | S", GOING, true},
		{NULL, NULL, "Q select pg_terminate_backend(pg_backend_pid())", NULL, false},
		{NULL, NULL, "Q begin; select pg_terminate_backend(pg_backend_pid()); commit", GOING, false},
		{NULL, NULL, "X", NULL, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool agrees = true;

		forget();
		begin_with(NULL);
		if (cases[i].before)
			assert_true(ask(cases[i].before) && say_all(cases[i].answers));
		assert_true(ask(cases[i].asks));
		if (cases[i].says && !together)
			agrees = say(0, cases[i].says);
		else if (cases[i].says)
			queue(0, cases[i].says);
		agrees = agrees && ends(0);
		if (cases[i].follows != !pg_fake_withholds(&t.s))
			fail_msg("%s: %s", cases[i].asks, followed());
		if (cases[i].follows)
			continue;
		assert_false(agrees);
		assert_int_equal(t.s.finding.instance, 0);
		assert_non_null(strstr(t.s.finding.why, "it ended in what the others have not been sent"));
		assert_int_equal(strstr(t.s.finding.why, "57P01") != NULL, cases[i].says != NULL);
	}
}

static void what_the_leader_is_lost_with_is_not_followed(void **state)
{
	(void)state;
	lose_the_leader(false);
	/* Its last words and its end are seen at once. */
	lose_the_leader(true);
}

static void an_error_that_comes_in_pieces_is_waited_for(void **state)
{
	(void)state;
	assert_true(ask("Q begin") && say_all(IN));
	assert_true(ask("Q commit"));
	/* The header, and then the severity, which says it. */
	assert_true(say(0, "!E 200"));
	assert_string_equal(followed(), "Q");
	fake_append(&t.said[0], "SFATAL\0VFATAL\0C57P", 18);
	assert_true(say(0, ""));
	assert_string_equal(followed(), "Q");
	fake_append(&t.said[0], "01\0", 3);
	assert_false(say(0, ""));
	assert_string_equal(followed(), "Q");
}

/* ---- what commits waits ---- */

static void a_commit_waits_until_what_came_before_was_compared(void **state)
{
	(void)state;
	/* A Flush is put in front of it. */
	assert_true(ask("P ,begin | B , | ?E  | P ,insert | B , | ?E  | P ,commit | B , | ?E  | S"));
	assert_string_equal(sent(), "PBEPBEPBH");
	assert_true(t.s.holds);
	assert_true(say_all("1 | 2 | C BEGIN | 1 | 2 | C INSERT 0 1"));
	assert_string_equal(sent(), "PBEPBEPBH");
	assert_true(say(0, "1 | 2") && say(1, "1 | 2"));
	assert_string_equal(sent(), "PBEPBEPBH");
	assert_true(say(2, "1 | 2"));
	assert_string_equal(sent(), "PBEPBEPBHES");
	assert_string_equal(followed(), "PBEPBEPBH");
	assert_true(say(0, "C COMMIT | Z I"));
	assert_string_equal(followed(), "PBEPBEPBHES");
	assert_true(say(1, "C COMMIT | Z I") && say(2, "C COMMIT | Z I"));
	assert_string_equal(heard(), "12C12C12CZ");
	/* By itself it does not wait. */
	assert_true(ask("P ,commit | B , | ?E  | S"));
	assert_string_equal(sent(), "PBEPBEPBHESPBES");
}

static void what_differs_is_not_committed(void **state)
{
	(void)state;
	assert_true(ask("P ,begin | B , | ?E  | P ,select | B , | ?E  | P ,commit | B , | ?E  | S"));
	assert_true(say(0, "1 | 2 | C BEGIN | 1 | 2 | D 1 | C SELECT 1 | 1 | 2"));
	assert_true(say(1, "1 | 2 | C BEGIN | 1 | 2 | D 1 | C SELECT 1 | 1 | 2"));
	assert_false(say(2, "1 | 2 | C BEGIN | 1 | 2 | D 2 | C SELECT 1 | 1 | 2"));
	assert_string_equal(sent(), "PBEPBEPBH");
}

static void what_a_commit_looks_like(void **state)
{
	static const struct {
		const char *before, *asks, *passed; /* of asks, what is passed on at once */
	} cases[] = {
		{"Q begin", "Q commit", "Q"},
		{"Q begin", "Q  /* x */ End", "Q"},
		{"Q begin", "Q -- x\n;prepare transaction 'a'", "Q"},
		{"Q begin", "Q insert into t values (1); commit", "Q"},
		{"Q begin", "Q rollback", "QQ"},
		{"Q begin", "Q select 'commit'", "QQ"},
		{"Q begin", "Q prepare a as select 1", "QQ"},
		{"P ,begin | B , | ?E  | S", "P ,commit | B , | ?E  | S", "PBESPB"},
		{"P ,begin | B , | ?E  | S", "P ,select | B , | ?E  | S", "PBESPBES"},
		/* By names. */
		{"P a,commit | P b,select 1 | S", "B ,b | ?E  | B ,a | ?E  | S", "PPSBEB"},
		{"P a,commit | P b,select 1 | S", "B p,a | B ,b | ?E  | ?E p | S", "PPSBBE"},
		{"P a,commit | P b,select 1 | S", "B ,b | ?E  | S | Q select 1", "PPSBESQ"},
		{"P a,commit | P a,select 1 | S", "B ,a | ?E  | S", "PPSBES"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forget();
		begin_with(NULL);
		assert_true(ask(cases[i].before) && ask(cases[i].asks));
		const char *all = sent();

		/* The Flush that is put in apart. */
		if (strncmp(all, cases[i].passed, strlen(cases[i].passed)) != 0 ||
		    strspn(all + strlen(cases[i].passed), "H") != strlen(all) - strlen(cases[i].passed))
			fail_msg("%s: %s", cases[i].asks, all);
		assert_int_equal(t.s.holds, t.s.in[FAKE_LONE].consumed < t.asked.len);
	}
}

static void a_pipeline_that_has_failed_is_waited_for_no_longer(void **state)
{
	(void)state;
	assert_true(ask("P ,begin | B , | ?E  | P ,insert | B , | ?E  | P ,commit | B , | ?E  | S"));
	assert_true(say_all("1 | 2 | C BEGIN | 1 | 2 | E SERROR,C23505,Mx"));
	assert_string_equal(sent(), "PBEPBEPBHES");
	assert_true(say_all("Z E"));
	assert_string_equal(heard(), "12C12EZ");
}

/* A server refuses it; it is passed on as it is. */
static void a_parse_without_a_text_is_no_statement(void **state)
{
	(void)state;
	assert_true(ask("?P ") && ask("?P x"));
	fake_append(&t.asked, "P\0\0\0\5\0P\0\0\0\6a\0B\0\0\0\4B\0\0\0\5\0E\0\0\0\4", 29);
	assert_true(ask("S"));
	assert_string_equal(sent(), "PPPPBBES");
}

/* More names than are remembered: each may be one. */
static void names_are_remembered_within_a_bound(void **state)
{
	char text[40];

	(void)state;
	for (int i = 0; i < 80; i++) {
		snprintf(text, sizeof(text), "P n%d,commit | S", i);
		assert_true(ask(text) && say_all("1 | Z I"));
	}
	assert_true(ask("P other,select 1 | S") && say_all("1 | Z I"));
	t.passed = t.s.out[0].len;
	assert_true(ask("Q select 1") && ask("B ,other | ?E  | S"));
	assert_string_equal(sent(), "QBH");
}

/* ---- cancelled ---- */

/* As the session that the request comes on does. */
static void cancel(void)
{
	struct rddr_session other;
	struct fake_out packet = {0};
	const struct rddr_table tables[4] = {pg_tables[0], pg_tables[1], pg_tables[2], pg_tables[3]};
	uint64_t led = pg_led, followed = pg_followed;

	assert_int_equal(pg_begin(&other, &rddr_diff_plugin, N, false, NULL), 0);
	memcpy(pg_tables, tables, sizeof(tables));
	fake_append(&packet, "\0\0\0\20\4\322\26\56", 8);
	/* BackendKeyData is behind AuthenticationOk and the setting. */
	fake_append(&packet, t.s.out[FAKE_LONE].data + 9 + 26 + 5, 8);
	fake_set(&other.in[FAKE_LONE], packet.data, packet.len, RDDR_END_OPEN);
	fake_show(&other.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&other));
	assert_int_equal(other.counted[RDDR_COUNTED_CANCELS], 1);
	assert_int_equal(other.out[2].len, 16);
	assert_int_equal(other.out[2].data[11], 3);
	fake_end(&other);
	free(packet.data);
	pg_led = led;
	pg_followed = followed;
}

#define CANCELLED "E SERROR,VERROR,C57014,Mcanceling statement due to user request"

static void what_was_cancelled_before_the_others_had_it_is_not_done_by_them(void **state)
{
	(void)state;
	assert_true(ask("Q select 1") && say_all(IDLE));
	assert_true(ask("Q insert into t select pg_sleep(6)"));
	cancel();
	assert_true(say(0, "A 7,c,d | T a | D 1 | " CANCELLED));
	assert_string_equal(heard(), "CZ");
	assert_true(say(0, "Z I"));
	assert_string_equal(heard(), "CZEZ");
	assert_int_equal(t.s.counted[RDDR_COUNTED_UNSENT], 1);
	/* They have not been sent it, and what comes next is counted from there. */
	assert_string_equal(types(&t.s.out[1], t.passed, t.s.out[1].len), "Q");
	assert_true(ask("Q select 2") && say(0, IDLE));
	assert_string_equal(followed(), "QQ");
	assert_true(say(1, "A 8,c,d | " IDLE) && say(2, "A 9,c,d | " IDLE));
	assert_string_equal(heard(), "CZEZACZ");
}

static void where_they_would_not_stay_the_same_the_session_ends(void **state)
{
	static const struct {
		const char *before, *answers, *asks;
		bool denied;
	} cases[] = {
		{NULL, NULL, "Q insert into t select 1", false},
		{NULL, NULL, "P ,insert into t select 1 | B , | ?E  | S", false},
		{"P a,insert into t select 1 | S", "1 | Z I", "B ,a | ?E  | S", false},
		/* In a block; what may have been committed; what stays. */
		{"Q begin", IN, "Q insert into t select 1", true},
		{NULL, NULL, "Q insert into t select 1; commit; select 2", true},
		{NULL, NULL, "Q call p()", true},
		{NULL, NULL, "Q vacuum", true},
		{NULL, NULL, "P a,insert into t select 1 | B ,a | ?E  | S", true},
		{"P a,call p() | S", "1 | Z I", "B ,a | ?E  | S", true},
		{NULL, NULL, "Q select 1 | Q select 2", true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		forget();
		begin_with(NULL);
		if (cases[i].before)
			assert_true(ask(cases[i].before) && say_all(cases[i].answers));
		size_t before = pg_followed;

		assert_true(ask(cases[i].asks));
		cancel();
		if (say(0, CANCELLED " | Z I") == cases[i].denied)
			fail_msg("%s: %s", cases[i].asks, t.s.finding.why);
		assert_int_equal(pg_followed, before);
		if (cases[i].denied)
			assert_non_null(strstr(t.s.finding.why, "it was cancelled in what the others have not been"));
	}
}

static void who_was_not_cancelled_here_is_followed(void **state)
{
	(void)state;
	/* A timeout has the same code; the others have the same. */
	assert_true(ask("Q select 1") && say(0, "E SERROR,VERROR,C57014,Mtimeout | Z I"));
	assert_string_equal(followed(), "Q");
	assert_true(say(1, "E SERROR,VERROR,C57014,Mtimeout | Z I"));
	assert_true(say(2, "E SERROR,VERROR,C57014,Mtimeout | Z I"));
	assert_string_equal(heard(), "EZ");
	/* What the others have is theirs to cancel. */
	assert_true(ask("Q select 2"));
	t.s.plugin = &rddr_diff_plugin;
	pg_followed = t.s.out[1].len - pg_led;
	cancel();
	assert_true(say_all(CANCELLED " | Z I"));
	assert_string_equal(heard(), "EZEZ");
}

/* ---- what comes anywhere ---- */

static void what_comes_anywhere_makes_nobody_late(void **state)
{
	(void)state;
	assert_true(ask("Q select 1") && say_all(IDLE));
	assert_true(say(1, "A 7,c,d") && say(2, "A 8,c,d"));
	/* Nothing of it is left in the views, by which the host would see that instance 0 is behind. */
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(t.s.in[i].consumed, t.said[i].len);
	assert_string_equal(heard(), "CZ");
	assert_true(say(0, "A 9,c,d"));
	assert_string_equal(heard(), "CZA");
}

/* One is far ahead with more of them than are held: the rest waits, and nobody differs. */
static void what_comes_anywhere_waits_where_it_does_not_fit(void **state)
{
	struct fake_out text = {0};

	(void)state;
	for (int i = 0; i < 3000; i++)
		fake_append(&text, "N C0,Mthe same from everybody, and often | ", 43);
	fake_append(&text, IDLE, sizeof(IDLE));
	assert_true(ask("Q do 1"));
	for (unsigned i = 0; i < N; i++) {
		assert_true(say(i, (const char *)text.data));
		assert_int_equal(t.s.in[i].consumed == t.said[i].len, i == N - 1);
	}
	free(text.data);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(the_others_follow_when_the_leader_has_answered),
		TEST(a_flush_asks_for_what_is_in_front_of_it),
		TEST(what_the_leader_is_lost_with_is_not_followed),
		TEST(an_error_that_comes_in_pieces_is_waited_for),
		TEST(a_commit_waits_until_what_came_before_was_compared),
		TEST(what_differs_is_not_committed),
		TEST(what_a_commit_looks_like),
		TEST(a_pipeline_that_has_failed_is_waited_for_no_longer),
		TEST(a_parse_without_a_text_is_no_statement),
		TEST(names_are_remembered_within_a_bound),
		TEST(what_was_cancelled_before_the_others_had_it_is_not_done_by_them),
		TEST(where_they_would_not_stay_the_same_the_session_ends),
		TEST(who_was_not_cancelled_here_is_followed),
		TEST(what_comes_anywhere_makes_nobody_late),
		TEST(what_comes_anywhere_waits_where_it_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
