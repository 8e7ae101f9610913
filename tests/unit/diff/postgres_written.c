// SPDX-License-Identifier: BSD-2-Clause
/*
 * What instance 0 alone says, where the comparison leaves it out: it does not reach the client, or in its form, and is
 * counted. The parameters of a login, the process of a notification.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakepgplay.h"
#include "postgres_session.h"

#define LONG_TEXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static void the_forms_are_bounded(void **state)
{
	static const struct {
		const char *text;
		char field;
		bool error, setting;
	} cases[] = {
		{"ERROR", 'S', true, true},
		{"erreur \303\251", 'S', true, false},
		{"ERROR\n", 'S', false, false},
		{"a severity that is longer than 32", 'S', false, true},
		{"a text\n\tof two lines", 'M', true, false},
		{"\033[2J", 'M', false, false},
		{"", 'M', false, true},
		{"a\177", 'M', false, false},
		{LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT "012345678901", 'M', true, false},
		{LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT LONG_TEXT "0123456789012", 'M', false, false},
		{LONG_TEXT "0123456789012345678901234567", 'M', true, true},
		{LONG_TEXT "01234567890123456789012345678", 'M', true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct slice text = slice_of(cases[i].text);

		if (rddr_pg_error_form(cases[i].field, text) != cases[i].error)
			fail_msg("%c %s: as a field", cases[i].field, cases[i].text);
		if (rddr_pg_setting_form(text) != cases[i].setting)
			fail_msg("%s: as a parameter", cases[i].text);
	}
}

static void each_use_is_counted(void **state)
{
	static const struct {
		struct example e;
		unsigned n;
	} cases[] = {
		{{"all is the same", NULL, {"E C1,Mx,Fa.c,L7 | T a:23:16400:1 | S a=b | Z I"}, .where = NULL}, 0},
		{{"lines", NULL, {"E C1,Mx,Fa.c,L7 | Z I", NULL, "E C1,Mx,Fa.c,L8 | Z I"}, .where = NULL}, 1},
		{{"of a notice", NULL, {"N C1,Mx,Fa.c,L7 | Z I", NULL, "N C1,Mx | Z I"}, .where = NULL}, 2},
		{{"tables", NULL, {"T a:23:9:1 b:23:9:2 c | Z I", "T a:23:8:1 b:23:8:2 c | Z I"}, .where = NULL}, 2},
		{{"types", "{\"type-oids\": \"ignore\"}", {"t 16400 23 | Z I", "t 16401 23 | Z I"}, .where = NULL}, 1},
		{{"parameters",
		  "{\"ignore-parameters\": [\"a\"]}",
		  {"S a=b | S a=b | Z I", "S a=c | S a=b | Z I"},
		  .where = NULL},
		 1},
	};
	struct play p;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(&p, &cases[i].e);
		assert_true(fake_diff_whole(&p.s));
		if (p.s.counted[RDDR_COUNTED_RULES_APPLIED] != cases[i].n)
			fail_msg("%s: %u", cases[i].e.what, (unsigned)p.s.counted[RDDR_COUNTED_RULES_APPLIED]);
		end(&p);
	}
}

/* The client's own notifications have the process number of the key that it got, which is none of the instances'. */
static void notifications_have_the_number_of_the_client_s_key(void **state)
{
	const struct example e = {"one's own",
				  NULL,
				  {"A 1,c,d | A 7,c,e | Z I", "A 2,c,d | A 8,c,e | Z I", "A 3,c,d | A 9,c,e | Z I"},
				  .where = NULL};
	static const uint8_t zeros[4];
	struct play p;

	(void)state;
	begin(&p, &e);
	assert_true(fake_diff_whole(&p.s));
	const uint8_t *heard = p.s.out[FAKE_LONE].data;
	const uint8_t *key = heard + PG_WELCOME - 6 - 13;

	assert_int_equal(key[0], 'K');
	assert_memory_not_equal(key + 5, zeros, 4);
	assert_false(key[5] & 0x80);
	assert_int_equal(heard[PG_WELCOME], 'A');
	assert_memory_equal(heard + PG_WELCOME + 5, key + 5, 4);
	assert_int_equal(heard[PG_WELCOME + 13], 'A');
	assert_memory_equal(heard + PG_WELCOME + 18, zeros, 4);
	end(&p);
}

/* ---- the parameters of a login ---- */

struct login {
	const char *what, *params;
	const char *in[3]; /* ParameterStatus; NULL: as instance 0's */
	const char *heard; /* of them; NULL: it is denied, why begins with: */
	const char *why;
	unsigned alone, counted;
};

static void log_in(const struct login *l)
{
	struct fake_out said[3] = {{0}}, expected = {0}, startup = {0};
	struct rddr_session s;

	assert_int_equal(pg_begin(&s, &rddr_diff_plugin, 3, false, l->params), 0);
	for (unsigned i = 0; i < 3; i++) {
		pg_message(&said[i], 'R', "\0\0\0\0", 4);
		const char *text = l->in[i] ? l->in[i] : l->in[0];

		pg_say(&said[i], text);
		if (*text != 'E')
			pg_say(&said[i], "Z I");
		fake_set(&s.in[i], said[i].data, said[i].len, RDDR_END_OPEN);
	}
	pg_message(&startup, 0, "\0\3\0\0user\0me\0", 13);
	fake_set(&s.in[FAKE_LONE], startup.data, startup.len, RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&s));
	/* All are let in; then they say the rest one after the other. */
	for (unsigned i = 0; i < 3; i++)
		fake_show(&s.in[i], 9);
	bool agrees = fake_diff(&s);

	for (unsigned i = 0; i < 3 && agrees; i++) {
		fake_show(&s.in[i], SIZE_MAX);
		agrees = fake_diff(&s);
	}

	if (agrees != !!l->heard)
		fail_msg("%s: %s", l->what, agrees ? "agrees" : s.finding.why);
	if (!agrees && (strcmp(s.finding.where, "login") != 0 || !l->why || strcmp(s.finding.why, l->why) != 0))
		fail_msg("%s: %s: %s", l->what, s.finding.where, s.finding.why);
	if (!agrees && s.finding.alone != (l->alone == ALL ? RDDR_ALONE_NOBODY : l->alone + 1))
		fail_msg("%s: %u stands alone", l->what, s.finding.alone - 1);
	if (agrees) {
		pg_message(&expected, 'R', "\0\0\0\0", 4);
		pg_say(&expected, l->heard);
		pg_say(&expected, "Z I");
		assert_int_equal(s.out[FAKE_LONE].len, expected.len);
		assert_memory_equal(s.out[FAKE_LONE].data, expected.data, expected.len);
	}
	assert_int_equal(s.counted[RDDR_COUNTED_RULES_APPLIED], l->counted);
	fake_end(&s);
	for (unsigned i = 0; i < 3; i++)
		free(said[i].data);
	free(startup.data);
	free(expected.data);
}

static void parameters_of_a_login_are_compared(void **state)
{
	static const char ignored[] = "{\"ignore-parameters\": [\"a\"]}";
	static const struct login cases[] = {
		{"the same", NULL, {"S a=b | S c=d"}, "S a=b | S c=d", NULL, 0, 0},
		{"one differs", NULL, {"S a=b", "S a=c"}, NULL, "parameter a is \"c\" and not \"b\"", .alone = 1},
		{"instance 0 differs",
		 NULL,
		 {"S a=b", "S a=c", "S a=c"},
		 NULL,
		 "parameter a is \"c\" and not \"b\"",
		 .alone = 0},
		{"all differ",
		 NULL,
		 {"S a=b", "S a=c", "S a=d"},
		 NULL,
		 "parameter a is \"c\" and not \"b\"",
		 .alone = ALL},
		{"redacted",
		 "{\"redact\": \"values\"}",
		 {"S a=b", "S a=c"},
		 NULL,
		 "parameter a: the values differ",
		 .alone = 1},
		{"ignored", ignored, {"S a=b", "S a=c", "S a=d"}, "S a=b", NULL, .counted = 1},
		{"ignored, and too long",
		 ignored,
		 {"S a=" LONG_TEXT LONG_TEXT, "S a=c", "S a=c"},
		 NULL,
		 "parameter a is not compared, but too long, or no text",
		 .alone = 0},
		{"ignored, and of another kind",
		 ignored,
		 {"S a=b", "S a=\001"},
		 NULL,
		 "parameter a is not compared, but too long, or no text",
		 .alone = 1},
		{"again and again", ignored, {"S a=x | S a=y | S a=b", "S a=b", "S a=b"}, "S a=b", NULL, 0, 0},
		{"not all have it", NULL, {"S a=b | S c=d", "S c=d"}, "S c=d", NULL, 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		log_in(&cases[i]);
}

/* Some are ready, some send an error after all: the one that stands alone is named when all have said what they do. */
static void who_alone_refuses_or_lets_in_is_named(void **state)
{
	static const char in[] = "S a=b", out[] = "E SFATAL,C53300,Mfull";
	static const struct login cases[] = {
		{"one refuses", NULL, {in, out, in}, NULL, "it refused the client, another let it in", .alone = 1},
		{"one lets in", NULL, {in, out, out}, NULL, "it refused the client, another let it in", .alone = 0},
		{"two let in", NULL, {out, in, in}, NULL, "it refused the client, another let it in", .alone = 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		log_in(&cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_forms_are_bounded),
		cmocka_unit_test(each_use_is_counted),
		cmocka_unit_test(notifications_have_the_number_of_the_client_s_key),
		cmocka_unit_test(parameters_of_a_login_are_compared),
		cmocka_unit_test(who_alone_refuses_or_lets_in_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
