/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakebodyrows.h"

static const char csrf[] = "{\"fields\": [{\"line\": \"csrf=\\\"([^\\\"]*)\\\"\", \"action\": \"token\"}]}";
static const char stamp[] = "{\"fields\": [{\"line\": \"at [0-9:]+\", \"action\": \"ignore\"}]}";

static const struct fakebody_row rows[] = {
	{.name = "nothing", .texts = {"", "", ""}},
	{.name = "the same", .texts = {"a\nb\n", "a\nb\n", "a\nb\n"}},
	{.name = "the same, without an end", .texts = {"a\nb", "a\nb", "a\nb"}, .plain = true},
	{.name = "one differs",
	 .texts = {"a\nb\nc\n", "a\nb\nc\n", "a\nx\nc\n"},
	 .plain = true,
	 .where = "line 2",
	 .why = "\"x\", where \"b\""},
	{.name = "one differs, with the pair",
	 .texts = {"a\nb\nc\n", "a\nb\nc\n", "a\nx\nc\n"},
	 .where = "line 2",
	 .why = "outside"},
	{.name = "noise",
	 .texts = {"a\nid 12345678.\nc\n", "a\nid 87654321.\nc\n", "a\nid 555555.\nc\n"},
	 .field = "=12345678|87654321|555555"},
	{.name = "noise of another form",
	 .texts = {"a\nid 12345678901234.\nc\n", "a\nid 43210987654321.\nc\n", "a\nid <b>root</b>.\nc\n"},
	 .where = "line 2",
	 .why = "form"},
	{.name = "noise and a difference",
	 .texts = {"id 123; ok\nb\n", "id 456; ok\nb\n", "id 789; no\nb\n"},
	 .where = "line 1",
	 .why = "outside"},
	{.name = "ended early", .texts = {"a\nb\n", "a\nb\n", "a\n"}, .where = "line 2", .why = "ended early"},
	{.name = "goes on", .texts = {"a\n", "a\n", "a\nb\n"}, .where = "line 2", .why = "goes on"},
	{.name = "ended in the line", .texts = {"a\nbb", "a\nbb", "a\nb"}, .where = "line 2", .why = "outside"},
	{.name = "no end of the line", .texts = {"a\nb\n", "a\nb\n", "a\nb"}, .where = "line 2", .why = "ended early"},
	{.name = "chance", .texts = {"n=7;\n", "n=7;\n", "n=4;\n"}, .where = "line 1", .why = "outside"},
	{.name = "chance, and known", .texts = {"n=7;\n", "n=7;\n", "n=4;\n"}, .known = "*", .field = "=7|7|4"},
	{.name = "a token, without the pair",
	 .texts = {"<i csrf=\"abc\"> x\n", "<i csrf=\"defg\"> x\n", "<i csrf=\"h\"> x\n"},
	 .plain = true,
	 .rules = csrf,
	 .field = "=abc|defg|h"},
	{.name = "a token beside a difference",
	 .texts = {"<i csrf=\"abc\"> x\n", "<i csrf=\"defg\"> x\n", "<i csrf=\"h\"> y\n"},
	 .plain = true,
	 .rules = csrf,
	 .where = "line 1",
	 .why = "y"},
	{.name = "a token that one has not",
	 .texts = {"<i csrf=\"abc\"> x\n", "<i csrf=\"defg\"> x\n", "<i> x\n"},
	 .rules = csrf,
	 .where = "line 1",
	 .why = "match otherwise"},
	{.name = "a token beside noise",
	 .texts = {"id 12345, csrf=\"abc\"; 9\n", "id 23456, csrf=\"defg\"; 7\n", "id 34567, csrf=\"h\"; 8\n"},
	 .rules = csrf,
	 .field = "=12345|23456|34567"},
	{.name = "ignored",
	 .texts = {"at 10:00 up\n", "at 10:00 up\n", "at 23:17:19 up\n"},
	 .rules = stamp,
	 .field = "=at 10:00|at 10:00|at 23:17:19"},
	{.name = "CR belongs to the line", .texts = {"a\r\n", "a\r\n", "a\n"}, .where = "line 1", .why = "outside"},
	{.name = "the pair in lines",
	 .texts = {"a\nb\nc\n", "a\nc\n", "a\nb\nc\n"},
	 .where = "line 3",
	 .why = "ended early"},
};

static void begin(struct fakebody *f, unsigned n, bool filter)
{
	fakebody_conf(f, BODY_LINES, n, filter);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fakebody_play_row(&rows[i], BODY_LINES);
}

/* What was seen as noise is known again when the pair agrees by chance. */
static void test_memory(void **state)
{
	struct fakebody *f = calloc(1, sizeof(*f));
	char seen[300];

	(void)state;
	begin(f, fakebody_fill(f, (const char *[4]){"x\nat 11 o'clock\n", "x\nat 12 o'clock\n", "x\nat 13 o'clock\n"}),
	      true);
	fakebody_play_all(f);
	assert_int_equal(f->noises, 1);
	snprintf(seen, sizeof(seen), "%.*s", (int)strcspn(f->fields[0], "="), f->fields[0]);
	assert_int_equal(strncmp(seen, "line:", 5), 0);
	fakebody_fill(f, (const char *[4]){"y\nat 17 o'clock\n", "y\nat 17 o'clock\n", "y\nat 19 o'clock\n"});
	f->known = seen;
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	assert_string_equal(f->asked, seen);
	fakebody_fill(f, (const char *[4]){"y\nat 17 o'watch\n", "y\nat 17 o'watch\n", "y\nat 19 o'watch\n"});
	fakebody_play_all(f);
	assert_int_equal(f->verdict, RDDR_DIVERGE);
	free(f);
}

/* The pair's noise counts against what went before it, run by run. */
static void test_budget(void **state)
{
	struct fakebody *f = calloc(1, sizeof(*f));
	char text[3][4096];

	(void)state;
	for (unsigned lines = 1; lines <= 10; lines++) {
		for (unsigned i = 0; i < 3; i++) {
			size_t at = 0;

			for (unsigned k = 0; k < lines; k++)
				at += (size_t)sprintf(text[i] + at, "k%u=%032x;\n", k, 0x1234567U * (i + 1) + k);
			f->in[i] = slice_of(text[i]);
		}
		begin(f, 3, true);
		fakebody_play_all(f);
		/* 204 bytes are the fifth of what an answer counts as at least. */
		assert_int_equal(f->verdict, lines * 32 <= 204 ? RDDR_WAIT : RDDR_DIVERGE);
		if (lines * 32 > 204) {
			assert_string_equal(f->finding.where, "line 7");
			assert_non_null(strstr(f->finding.why, "budget"));
		}
	}
	free(f);
}

/* One line with much noise in it is weighed as it goes. */
static void test_long_noisy_line(void **state)
{
	static char text[3][60000];
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		size_t at = 0;

		for (unsigned k = 0; k < 30; k++) {
			at += (size_t)sprintf(text[i] + at, "<p>%01000u</p>", 5);
			at += (size_t)sprintf(text[i] + at, "<i n=\"%032x\">", 0x1234567U * (i + 1) + k);
		}
		f->in[i] = slice_of(text[i]);
	}
	begin(f, 3, true);
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	assert_int_equal(f->noises, 30);
	free(f);
}

/* Lines past the limit go out as long as all agree. */
static void test_limit(void **state)
{
	static char text[3][40000];
	struct fakebody *f = calloc(1, sizeof(*f));
	static const struct {
		size_t at;
		const char *other[2]; /* for the second and the third */
		bool agrees, undecided;
	} cases[] = {
		{0, {"", ""}, true, false},
		{39000, {"", "<x>"}, false, false},
		{39000, {"111111", "222222"}, true, false},
		{20000, {"", "<x>"}, false, true},
		{20000, {"111111", "222222"}, false, true},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
		for (unsigned i = 0; i < 3; i++) {
			for (size_t at = 0; at < 39999; at++)
				text[i][at] = at % 11 ? 'a' : ' ';
			memcpy(text[i] + 39000, "; 000000", 8);
			memcpy(text[i] + 20000, "; 000000", 8);
			if (i)
				memcpy(text[i] + cases[k].at + 2, cases[k].other[i - 1], strlen(cases[k].other[i - 1]));
			f->in[i] = slice_of(text[i]);
		}
		begin(f, 3, true);
		f->conf.limit = 4096;
		fakebody_play_all(f);
		assert_int_equal(fakebody_agrees(f), cases[k].agrees);
		assert_int_equal(f->undecided, cases[k].undecided);
		if (cases[k].undecided)
			assert_non_null(strstr(f->finding.why, "longer than the limit"));
	}
	/* Without any seam at all. */
	for (unsigned i = 0; i < 3; i++)
		memset(text[i], 'a', 39999);
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	free(f);
}

static void test_absent(void **state)
{
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	begin(f, fakebody_fill(f, (const char *[4]){"id 12345678\n", "", "id 55555555\n", "id 55555555\n"}), true);
	f->absent[1] = true;
	fakebody_play_all(f);
	assert_int_equal(f->verdict, RDDR_DIVERGE);
	fakebody_fill(f, (const char *[4]){"", "b\n", "b\n", "b\n"});
	f->absent[0] = true;
	f->absent[1] = false;
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	assert_int_equal(f->consumed[0], 0);
	free(f);
}

/* Agreed lines do not wait for the next ones. */
static void test_streams(void **state)
{
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	begin(f, fakebody_fill(f, (const char *[4]){"one\ntwo\nthr", "one\ntwo\n", "one\ntwo\nth"}), true);
	f->open[0] = f->open[1] = f->open[2] = true;
	fakebody_play_all(f);
	assert_int_equal(f->verdict, RDDR_WAIT);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(f->consumed[i], 8);
	free(f);
}

static void test_slow_pattern(void **state)
{
	static char text[3][300];
	struct fakebody *f = calloc(1, sizeof(*f));
	struct rules *rules = NULL;
	char err[200];

	(void)state;
	assert_int_equal(rddr_rules_parse("{\"fields\": [{\"line\": \"(?:a|a)+(?:a|a)+(?:a|a)+[bc]\", \"action\": "
					  "\"ignore\"}]}",
					  &rules, err, sizeof(err)),
			 0);
	for (unsigned i = 0; i < 3; i++) {
		memset(text[i], 'a', 200);
		text[i][200] = (char)('0' + i);
		f->in[i] = slice_of(text[i]);
	}
	begin(f, 3, true);
	f->conf.rules = rules;
	fakebody_play_all(f);
	assert_int_equal(f->verdict, RDDR_DIVERGE);
	assert_true(f->undecided);
	assert_non_null(strstr(f->finding.why, "too many steps"));
	rddr_rules_free(&rules);
	free(f);
}

static void test_conf(void **state)
{
	struct body_conf conf = {.kind = BODY_LINES, .n = 3, .limit = 100, .host = &fakebody_host};
	struct body *b = NULL;

	(void)state;
	conf.n = 0;
	assert_int_equal(rddr_body_new(&conf, &b), -EINVAL);
	conf.n = RDDR_MAX_INSTANCES + 1;
	assert_int_equal(rddr_body_new(&conf, &b), -EINVAL);
	conf.n = 2;
	conf.do_filter = true;
	assert_int_equal(rddr_body_new(&conf, &b), -EINVAL);
	conf.do_filter = false;
	conf.limit = 0;
	assert_int_equal(rddr_body_new(&conf, &b), -EINVAL);
	conf.limit = 1;
	conf.kind = (enum body_kind)3;
	assert_int_equal(rddr_body_new(&conf, &b), -EINVAL);
	assert_null(b);
	rddr_body_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	cmocka_unit_test(test_memory),
		cmocka_unit_test(test_budget),	cmocka_unit_test(test_long_noisy_line),
		cmocka_unit_test(test_limit),	cmocka_unit_test(test_absent),
		cmocka_unit_test(test_streams), cmocka_unit_test(test_slow_pattern),
		cmocka_unit_test(test_conf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
