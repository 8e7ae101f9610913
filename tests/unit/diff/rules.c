/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakerules.h"

static void test_wrong(void **state)
{
	static const struct {
		const char *json, *err;
	} cases[] = {
		{"[]", "diff-params: must be a mapping"},
		{"", "diff-params: must be a mapping"},
		{"{", "diff-params: must be a mapping"},
		{"{\"x\":1}", "diff-params.x: no such key: there are ignore-headers"},
		{"{\"max-body\":\"1 GB\"}", "diff-params.max-body: \"1 GB\": must be a size"},
		{"{\"max-body\":12}",
		 "diff-params.max-body: 12: must be a size (bytes, or a number with KiB or MiB), from 1024"},
		{"{\"max-body\":-1}", "diff-params.max-body: -1: must be"},
		{"{\"max-body\":\"99999999999999999999999GiB\"}", "diff-params.max-body: "},
		{"{\"max-body\":\"18446744073709551615GiB\"}", "diff-params.max-body: "},
		{"{\"max-head\":true}", "diff-params.max-head: true: must be"},
		{"{\"max-decoded-ratio\":\"5\"}", "diff-params.max-decoded-ratio: \"5\": must be a number"},
		{"{\"correlate\":true}", "diff-params.correlate: true: must be a mapping"},
		{"{\"correlate\":{\"name\":\"X\"}}", "diff-params.correlate.name: no such key: there is header"},
		{"{\"correlate\":{\"header\":\"a b\"}}", "diff-params.correlate.header: \"a b\" is no name"},
		{"{\"correlate\":{\"header\":\"host\"}}", "diff-params.correlate.header: \"host\" is no name"},
		{"{\"correlate\":{\"header\":\"cookie\"}}", "diff-params.correlate.header: \"cookie\" is no name"},
		{"{\"correlate\":{\"header\":\"a2345678901234567890123456789012345678901\"}}",
		 "diff-params.correlate.header: \"a2345678901234567890123456789012345678901\": must be a header name "
		 "of 1 to 40 bytes"},
		{"{\"undecided\":\"maybe\"}", "diff-params.undecided: \"maybe\": must be deny or bytes"},
		{"{\"undecided\":null}", "diff-params.undecided: null: must be"},
		{"{\"accept-encoding\":1}", "diff-params.accept-encoding: 1: must be identity or pass"},
		{"{\"tokens\":[]}", "diff-params.tokens: []: must be a mapping"},
		{"{\"tokens\":{\"scope\":\"all\"}}", "diff-params.tokens.scope: \"all\": must be service or client"},
		{"{\"tokens\":{\"ttl\":30}}", "diff-params.tokens.ttl: 30: must be a time"},
		{"{\"tokens\":{\"ttl\":\"0s\"}}", "diff-params.tokens.ttl: \"0s\": must be"},
		{"{\"tokens\":{\"min-length\":3}}",
		 "diff-params.tokens.min-length: 3: must be a number, from 4 to 1024"},
		{"{\"tokens\":{\"size\":3}}",
		 "diff-params.tokens.size: no such key: there are min-length, ttl, max and scope"},
		{"{\"noise-memory\":{\"scope\":\"client\"}}", "diff-params.noise-memory.scope: no such key"},
		{"{\"ignore-headers\":\"X\"}", "diff-params.ignore-headers: \"X\": must be a list"},
		{"{\"ignore-headers\":[\"X\",\"a b\"]}", "diff-params.ignore-headers[1]: \"a b\" is no header name"},
		{"{\"ignore-headers\":[\"*\"]}", "diff-params.ignore-headers[0]: \"*\" is no header name"},
		{"{\"ignore-headers\":[\"\"]}", "diff-params.ignore-headers[0]: "},
		{"{\"only-headers\":[1]}", "diff-params.only-headers[0]: 1: must be"},
		{"{\"unordered\":[\"a\"]}", "diff-params.unordered[0]: a JSON pointer begins with a slash"},
		{"{\"unordered\":[\"/a~2\"]}", "diff-params.unordered[0]: in a JSON pointer, ~ is followed by 0 or 1"},
		{"{\"unordered\":[\"/a~\"]}", "diff-params.unordered[0]: in a JSON pointer"},
		{"{\"unordered\":[\"/a\\u0000b\"]}", "diff-params.unordered[0]: has a NUL"},
		{"{\"unordered\":[7]}", "diff-params.unordered[0]: 7: must be a JSON pointer"},
		{"{\"fields\":{}}", "diff-params.fields: {}: must be a list"},
		{"{\"fields\":[1]}", "diff-params.fields[0]: 1: must be a mapping"},
		{"{\"fields\":[{\"action\":\"token\"}]}", "diff-params.fields[0]: names no field"},
		{"{\"fields\":[{\"header\":\"X\"}]}", "diff-params.fields[0]: action is missing"},
		{"{\"fields\":[{\"header\":\"X\",\"action\":\"drop\"}]}",
		 "diff-params.fields[0].action: \"drop\": must be ignore"},
		{"{\"fields\":[{\"header\":\"X\",\"cookie\":\"y\",\"action\":\"ignore\"}]}",
		 "diff-params.fields[0].cookie: only one of"},
		{"{\"fields\":[{\"header\":\"X:\",\"action\":\"ignore\"}]}",
		 "diff-params.fields[0].header: \"X:\" is no name"},
		{"{\"fields\":[{\"body\":\"X\",\"action\":\"ignore\"}]}", "diff-params.fields[0].body: no such key"},
		{"{\"fields\":[{\"line\":\"a(b\",\"action\":\"ignore\"}]}",
		 "diff-params.fields[0].line: at offset 3: missing"},
		{"{\"fields\":[{\"line\":\"(a)(b)\",\"action\":\"ignore\"}]}",
		 "diff-params.fields[0].line: has 2 groups"},
		{"{\"fields\":[{\"line\":\"(*UTF)a\",\"action\":\"ignore\"}]}",
		 "diff-params.fields[0].line: at offset"},
		{"{\"fields\":[{\"pointer\":\"x\",\"action\":\"ignore\"}]}",
		 "diff-params.fields[0].pointer: a JSON pointer begins"},
		{"{\"fields\":[{\"header\":\"A\",\"action\":\"ignore\"},{\"header\":7,\"action\":\"ignore\"}]}",
		 "diff-params.fields[1].header: 7: must be a text"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules *rules = NULL;
		char err[400] = "";

		if (rddr_rules_parse(cases[i].json, &rules, err, sizeof(err)) != -EINVAL)
			fail_msg("taken: %s", cases[i].json);
		assert_null(rules);
		if (strncmp(err, cases[i].err, strlen(cases[i].err)) != 0)
			fail_msg("%s: %s", cases[i].json, err);
	}
}

static void test_short_err(void **state)
{
	struct rules *rules = NULL;
	char err[8];

	(void)state;
	assert_int_equal(rddr_rules_parse("{\"x\":1}", &rules, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "diff-pa");
}

static void test_settings(void **state)
{
	struct rules *rules = fakerules("{}");
	const struct rules_settings *s = rddr_rules_settings(rules);

	(void)state;
	assert_memory_equal(s, rddr_rules_settings(NULL), sizeof(*s));
	assert_int_equal(s->token_min, 8);
	assert_int_equal(s->token_ttl, 1800);
	assert_int_equal(s->token_max, 100000);
	assert_int_equal(s->token_scope, SCOPE_SERVICE);
	assert_int_equal(s->noise_ttl, 600);
	assert_int_equal(s->noise_max, 10000);
	assert_int_equal(s->max_head, 65536);
	assert_int_equal(s->max_body, 1048576);
	assert_int_equal(s->max_field, 4096);
	assert_int_equal(s->undecided, UNDECIDED_DENY);
	assert_int_equal(s->encoding, ENCODING_IDENTITY);
	assert_int_equal(s->max_decoded_ratio, 100);
	rddr_rules_free(&rules);
	assert_null(rules);
	rddr_rules_free(&rules);
	rules = fakerules(
		"{\"tokens\":{\"min-length\":16,\"ttl\":\"2 h\",\"max\":7,\"scope\":\"client\"},"
		"\"noise-memory\":{\"ttl\":\"90s\",\"max\":9},\"max-head\":\"8KiB\",\"max-body\":4096,"
		"\"max-field\":\"64B\",\"undecided\":\"bytes\",\"accept-encoding\":\"pass\",\"max-decoded-ratio\":3}");
	s = rddr_rules_settings(rules);
	assert_int_equal(s->token_min, 16);
	assert_int_equal(s->token_ttl, 7200);
	assert_int_equal(s->token_max, 7);
	assert_int_equal(s->token_scope, SCOPE_CLIENT);
	assert_int_equal(s->noise_ttl, 90);
	assert_int_equal(s->noise_max, 9);
	assert_int_equal(s->max_head, 8192);
	assert_int_equal(s->max_body, 4096);
	assert_int_equal(s->max_field, 64);
	assert_int_equal(s->undecided, UNDECIDED_BYTES);
	assert_int_equal(s->encoding, ENCODING_PASS);
	assert_int_equal(s->max_decoded_ratio, 3);
	rddr_rules_free(&rules);
}

/* -1: compared. */
static int header(const struct rules *rules, const char *name)
{
	const struct field_rule *rule = rddr_rules_header(rules, slice_of(name));

	return rule ? (int)rule->action : -1;
}

static void test_headers(void **state)
{
	struct rules *rules = fakerules("{\"ignore-headers\":[\"X-Foo\",\"X-Bar-*\"],\"fields\":["
					"{\"header\":\"ETag\",\"action\":\"translate\"},"
					"{\"header\":\"Server\",\"action\":\"compare\"},"
					"{\"cookie\":\"sid\",\"action\":\"token\"}]}");
	const struct field_rule *rule;

	(void)state;
	assert_int_equal(header(NULL, "date"), RULE_IGNORE);
	assert_int_equal(header(NULL, "DATE"), RULE_IGNORE);
	assert_int_equal(header(NULL, "X-Amzn-Trace-Id"), RULE_IGNORE);
	assert_int_equal(header(NULL, "Dates"), -1);
	assert_int_equal(header(NULL, ""), -1);
	assert_int_equal(header(NULL, "Location"), -1);
	assert_int_equal(header(rules, "x-foo"), RULE_IGNORE);
	assert_int_equal(header(rules, "x-foo2"), -1);
	assert_int_equal(header(rules, "x-bar-2"), RULE_IGNORE);
	assert_int_equal(header(rules, "x-bar"), -1);
	assert_int_equal(header(rules, "Etag"), RULE_TRANSLATE);
	assert_int_equal(header(rules, "Server"), -1);
	assert_int_equal(header(rules, "sid"), -1);
	rule = rddr_rules_cookie(rules, slice_of("sid"));
	assert_non_null(rule);
	assert_int_equal(rule->action, RULE_TOKEN);
	assert_string_equal(rule->text, "sid");
	assert_null(rddr_rules_cookie(rules, slice_of("SID")));
	assert_null(rddr_rules_cookie(NULL, slice_of("sid")));
	rddr_rules_free(&rules);
	rules = fakerules("{\"only-headers\":[\"Content-Type\",\"Date\"]}");
	assert_int_equal(header(rules, "content-type"), -1);
	assert_int_equal(header(rules, "date"), -1);
	assert_int_equal(header(rules, "location"), RULE_IGNORE);
	rddr_rules_free(&rules);
}

static void test_pointers(void **state)
{
	struct rules *rules = fakerules("{\"unordered\":[\"\",\"/t/*/u\"],\"fields\":["
					"{\"pointer\":\"/a/*/id\",\"action\":\"ignore\"},"
					"{\"pointer\":\"/a~1b/~0\",\"action\":\"token\"},"
					"{\"pointer\":\"/x/keep\",\"action\":\"compare\"},"
					"{\"pointer\":\"/x/*\",\"action\":\"ignore\"},"
					"{\"pointer\":\"/\",\"action\":\"translate\"}]}");
	struct slice a[] = {slice_of("a"), slice_of("17"), slice_of("id")};
	struct slice b[] = {slice_of("a/b"), slice_of("~")};
	struct slice x[] = {slice_of("x"), slice_of("keep")};
	struct slice t[] = {slice_of("t"), slice_of("0"), slice_of("u")};
	struct slice none[] = {slice_of("")};

	(void)state;
	assert_int_equal(rddr_rules_pointer(rules, a, 3)->action, RULE_IGNORE);
	assert_null(rddr_rules_pointer(rules, a, 2));
	assert_null(rddr_rules_pointer(NULL, a, 3));
	a[2] = slice_of("ID");
	assert_null(rddr_rules_pointer(rules, a, 3));
	assert_int_equal(rddr_rules_pointer(rules, b, 2)->action, RULE_TOKEN);
	assert_int_equal(rddr_rules_pointer(rules, x, 2)->action, RULE_COMPARE);
	x[1] = slice_of("other");
	assert_int_equal(rddr_rules_pointer(rules, x, 2)->action, RULE_IGNORE);
	assert_int_equal(rddr_rules_pointer(rules, none, 1)->action, RULE_TRANSLATE);
	assert_null(rddr_rules_pointer(rules, none, 0));
	assert_true(rddr_rules_unordered(rules, none, 0));
	assert_true(rddr_rules_unordered(rules, t, 3));
	assert_false(rddr_rules_unordered(rules, t, 2));
	assert_false(rddr_rules_unordered(NULL, t, 3));
	rddr_rules_free(&rules);
}

static void test_lines(void **state)
{
	static const struct {
		const char *patterns[2];
		const char *line;
		const char *found; /* each field as rule:text; */
	} cases[] = {
		{{"a+", NULL}, "xaaxa", "0:aa;0:a;"},
		{{"v=\"([^\"]*)\"", NULL}, "<i v=\"1\"><i v=\"\"><i v=\"23\">", "0:1;0:;0:23;"},
		{{"a(b)?", NULL}, "aabab", "0:b;0:b;"},
		{{"b", "abc"}, "abc b", "1:abc;0:b;"},
		{{"ab", "abc"}, "abc", "0:ab;"},
		{{"x*", NULL}, "axx", "0:;0:xx;0:;"},
		{{"(?=(b+))", NULL}, "abb", "0:bb;"},
		{{"\\Kx|y\\Kz", NULL}, "yz x", "0:z;0:x;"},
		{{"(?<=a)b", NULL}, "abb", "0:b;"},
		{{"^a", NULL}, "aa", "0:a;"},
		{{"a$", NULL}, "aa", "0:a;"},
		{{"nothing", NULL}, "aa", ""},
		{{"\xff", NULL}, "a\xff", "0:\xff;"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char json[500], got[200] = "";
		struct line_field fields[8];
		struct line_matcher *m = NULL;
		struct rules *rules;
		size_t at = (size_t)sprintf(json, "{\"fields\":[");
		int n;

		for (unsigned k = 0; k < 2 && cases[i].patterns[k]; k++) {
			at += (size_t)sprintf(json + at, "%s{\"action\":\"ignore\",\"line\":\"", k ? "," : "");
			for (const char *p = cases[i].patterns[k]; *p; p++)
				at += (size_t)sprintf(json + at, *p == '"' || *p == '\\' ? "\\%c" : "%c", *p);
			at += (size_t)sprintf(json + at, "\"}");
		}
		sprintf(json + at, "]}");
		/* The params are text; patterns for other bytes escape them. */
		if (strstr(json, "\xff"))
			strcpy(json, "{\"fields\":[{\"line\":\"\\\\xff\",\"action\":\"ignore\"}]}");
		rules = fakerules(json);
		assert_int_equal(rddr_rules_matcher_new(rules, &m), 0);
		n = rddr_rules_line(m, slice_of(cases[i].line), fields, 8);
		for (int k = 0; k < n; k++)
			sprintf(got + strlen(got), "%d:%.*s;",
				cases[i].patterns[1] && strcmp(fields[k].rule->text, cases[i].patterns[1]) == 0,
				(int)fields[k].len, cases[i].line + fields[k].offset);
		if (strcmp(got, cases[i].found) != 0)
			fail_msg("%s: %d: %s", cases[i].patterns[0], n, got);
		rddr_rules_matcher_free(&m);
		assert_null(m);
		rddr_rules_free(&rules);
	}
}

static void test_line_bounds(void **state)
{
	struct rules *rules = fakerules("{\"fields\":[{\"line\":\"a\",\"action\":\"ignore\"}]}");
	struct line_field fields[3];
	struct line_matcher *m = NULL;

	(void)state;
	assert_int_equal(rddr_rules_matcher_new(rules, &m), 0);
	assert_int_equal(rddr_rules_line(m, slice_of("aaa"), fields, 3), 3);
	assert_int_equal(rddr_rules_line(m, slice_of("aaaa"), fields, 3), -ENOBUFS);
	assert_int_equal(rddr_rules_line(m, (struct slice){NULL, 0}, fields, 3), 0);
	rddr_rules_matcher_free(&m);
	rddr_rules_free(&rules);
	rules = fakerules("{\"fields\":[{\"header\":\"a\",\"action\":\"ignore\"}]}");
	assert_int_equal(rddr_rules_matcher_new(rules, &m), 0);
	assert_null(m);
	rddr_rules_free(&rules);
	assert_int_equal(rddr_rules_matcher_new(NULL, &m), 0);
	assert_null(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong),	    cmocka_unit_test(test_short_err), cmocka_unit_test(test_settings),
		cmocka_unit_test(test_headers),	    cmocka_unit_test(test_pointers),  cmocka_unit_test(test_lines),
		cmocka_unit_test(test_line_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
