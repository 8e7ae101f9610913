/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakebodyrows.h"
#include "json_doc.h"
#include "json_path.h"
#include "json_space.h"
#include "json_spell.h"

static const struct fakebody_row rows[] = {
	{.name = "nothing", .texts = {"", "", ""}},
	{.name = "the same", .texts = {"{\"a\":1}", "{\"a\":1}", "{\"a\":1}"}},
	{.name = "order of keys, white space, escapes",
	 .texts = {"{\"a\":1,\"b\":[\"/\xc3\xa9\"]}", "{\"a\":1,\"b\":[\"/\xc3\xa9\"]}",
		   "{ \"b\" : [ \"\\/\\u00e9\" ],\n\"\\u0061\" : 1 }"},
	 .plain = true},
	{.name = "another value",
	 .texts = {"{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,3]}}"},
	 .plain = true,
	 .where = "/a/b/1",
	 .why = "\"3\", where \"2\" was expected"},
	{.name = "another value, with the pair",
	 .texts = {"{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,3]}}"},
	 .where = "/a/b/1",
	 .why = "\"3\", where \"2\" was expected"},
	{.name = "a key with a slash and a tilde",
	 .texts = {"{\"a/b~c\":1}", "{\"a/b~c\":1}", "{\"a/b~c\":2}"},
	 .where = "/a~1b~0c",
	 .why = "\"2\""},
	{.name = "another type",
	 .texts = {"{\"a\":1}", "{\"a\":1}", "{\"a\":\"1\"}"},
	 .where = "/a",
	 .why = "a string where a number"},
	{.name = "a key more",
	 .texts = {"{\"a\":1}", "{\"a\":1}", "{\"a\":1,\"password\":\"x\"}"},
	 .where = "/password",
	 .why = "more than expected: \"password\""},
	{.name = "a key less",
	 .texts = {"{\"x\":{\"b\":1,\"a\":1}}", "{\"x\":{\"a\":1,\"b\":1}}", "{\"x\":{\"b\":1}}"},
	 .where = "/x/a",
	 .why = "lacks the key \"a\""},
	{.name = "a key twice",
	 .texts = {"{\"a\":1}", "{\"a\":1}", "{\"a\":2,\"a\":1}"},
	 .where = "/a",
	 .why = "\"a\""},
	{.name = "a key twice at all", .texts = {"{\"a\":2,\"a\":1}", "{\"a\":2,\"a\":1}", "{\"a\":2, \"a\":1}"}},
	{.name = "a key twice at all, the other way around",
	 .texts = {"{\"a\":2,\"b\":0,\"a\":1}", "{\"a\":2,\"b\":0,\"a\":1}", "{\"b\":0,\"a\":1,\"a\":2}"},
	 .where = "/a",
	 .why = "\"1\", where \"2\""},
	{.name = "an item more",
	 .texts = {"[1,2]", "[1,2]", "[1,2,3]"},
	 .where = "the JSON document",
	 .why = "3 items, where 2"},
	{.name = "items in another order", .texts = {"[1,2]", "[1,2]", "[2,1]"}, .where = "/0", .why = "\"2\""},
	{.name = "unordered",
	 .texts = {"{\"t\":[{\"a\":1,\"b\":[3]},\"x\",2.0,null]}", "{\"t\":[\"x\",2,{\"b\":[3],\"a\":1},null]}",
		   "{\"t\":[null,2,\"\\u0078\",{\"a\":1,\"b\":[3]}]}"},
	 .plain = true,
	 .rules = "{\"unordered\":[\"/t\"]}"},
	{.name = "unordered, not the same",
	 .texts = {"{\"t\":[1,2,2]}", "{\"t\":[2,1,2]}", "{\"t\":[2,1,1]}"},
	 .plain = true,
	 .rules = "{\"unordered\":[\"/t\"]}",
	 .where = "/t/1",
	 .why = "\"1\", where \"2\""},
	{.name = "unordered, with ignored fields",
	 .texts = {"{\"t\":[{\"a\":1,\"i\":7},{\"a\":2,\"i\":8}]}", "{\"t\":[{\"a\":2,\"i\":5},{\"a\":1,\"i\":9}]}",
		   "{\"t\":[{\"i\":1,\"a\":1},{\"i\":2,\"a\":2}]}"},
	 .rules = "{\"unordered\":[\"/t\"],\"fields\":[{\"pointer\":\"/t/*/i\",\"action\":\"ignore\"}]}",
	 .field = "json:/t/0/i=7|9|1"},
	{.name = "unordered, with ids of each one's own",
	 .texts = {"{\"t\":[{\"id\":\"a7f3c1\",\"name\":\"Springboots\"},{\"id\":\"0d2e4b\",\"name\":\"Umbrellas\"}]}",
		   "{\"t\":[{\"id\":\"15c8f0\",\"name\":\"Umbrellas\"},{\"id\":\"3b9d7e\",\"name\":\"Springboots\"}]}",
		   "{\"t\":[{\"id\":\"90ab12\",\"name\":\"Umbrellas\"},{\"id\":\"f4e5d6\",\"name\":\"Springboots\"}]}"},
	 .rules = "{\"unordered\":[\"/t\"]}",
	 .field = "json:/t/0/id=a7f3c1|3b9d7e|f4e5d6"},
	{.name = "unordered, with ids of each one's own, and another name",
	 .texts = {"{\"t\":[{\"id\":\"a7f3c1\",\"name\":\"Springboots\"},{\"id\":\"0d2e4b\",\"name\":\"Umbrellas\"}]}",
		   "{\"t\":[{\"id\":\"15c8f0\",\"name\":\"Umbrellas\"},{\"id\":\"3b9d7e\",\"name\":\"Springboots\"}]}",
		   "{\"t\":[{\"id\":\"90ab12\",\"name\":\"Waterpipe\"},{\"id\":\"f4e5d6\",\"name\":\"Springboots\"}]}"},
	 .rules = "{\"unordered\":[\"/t\"]}",
	 .where = "/t/1/name",
	 .why = "\"Waterpipe\""},
	{.name = "unordered, with nothing that tells them apart: noise, and not for each other",
	 .texts = {"[{\"id\":\"a7f3c1\",\"k\":1},{\"id\":\"0d2e4b\",\"k\":1}]",
		   "[{\"id\":\"15c8f0\",\"k\":1},{\"id\":\"3b9d7e\",\"k\":1}]",
		   "[{\"id\":\"90ab12\",\"k\":1},{\"id\":\"f4e5d6\",\"k\":1}]"},
	 .rules = "{\"unordered\":[\"\"]}",
	 .field = "json:/0/id="},
	{.name = "unordered, one that differs in the pair alone",
	 .texts = {"[\"bbbb\",\"cccc\",\"dddd\"]", "[\"dddd\",\"aaaa\",\"bbbb\"]", "[\"eeee\",\"dddd\",\"bbbb\"]"},
	 .rules = "{\"unordered\":[\"\"]}",
	 .field = "json:/0=cccc|aaaa|eeee"},
	{.name = "unordered, one by itself",
	 .texts = {"[{\"id\":\"a7f3c1\"}]", "[{\"id\":\"15c8f0\"}]", "[{\"id\":\"90ab12\"}]"},
	 .rules = "{\"unordered\":[\"\"]}",
	 .field = "json:/0/id=a7f3c1|15c8f0|90ab12"},
	{.name = "unordered, a choice that was noise counts less",
	 .texts = {"[{\"a\":true,\"b\":false},{\"a\":false,\"b\":true}]",
		   "[{\"a\":true,\"b\":true},{\"a\":false,\"b\":false}]",
		   "[{\"b\":true,\"a\":false},{\"b\":false,\"a\":true}]"},
	 .rules = "{\"unordered\":[\"\"]}",
	 .known = "json:/0/a",
	 .field = "json:/0/a=true|false|true"},
	{.name = "unordered, with nothing, with types, and deep",
	 .texts = {"[{\"id\":null,\"x\":{\"y\":[7,8]}},{\"id\":4711,\"x\":{\"y\":[8,7]}},[],{}]",
		   "[{},{\"x\":{\"y\":[8,7]},\"id\":1812},[],{\"id\":null,\"x\":{\"y\":[7,8]}}]",
		   "[[],{\"id\":9431,\"x\":{\"y\":[8,7]}},{\"id\":null,\"x\":{\"y\":[7,8]}},{}]"},
	 .rules = "{\"unordered\":[\"\"]}",
	 .field = "json:/2/id=4711|1812|9431"},
	{.name = "numbers of the same value",
	 .texts = {"[1.0,100,1e-2]", "[1.0,100,1e-2]", "[1,1E2,0.010]"},
	 .plain = true},
	{.name = "numbers past int64",
	 .texts = {"[9223372036854775808123]", "[9223372036854775808123]", "[9223372036854775808124]"},
	 .where = "/0",
	 .why = "808124\", where"},
	{.name = "decimals past double",
	 .texts = {"[0.12345678901234567890]", "[0.12345678901234567890]", "[0.12345678901234567891]"},
	 .where = "/0",
	 .why = "7891\", where"},
	{.name = "zeros", .texts = {"[0]", "[0]", "[-0]"}, .where = "/0", .why = "\"-0\""},
	{.name = "noise: a number",
	 .texts = {"{\"id\":1234}", "{\"id\":5678}", "{\"id\":99}"},
	 .field = "json:/id=1234|5678|99"},
	{.name = "noise: too long a number",
	 .texts = {"{\"id\":1234}", "{\"id\":5678}", "{\"id\":1234567890123}"},
	 .where = "/id",
	 .why = "longer"},
	{.name = "noise: a string",
	 .texts = {"{\"a\":[{\"t\":\"a1b2c3d4e5f6\"}]}", "{\"a\":[{\"t\":\"001122334455\"}]}",
		   "{\"a\":[{\"t\":\"ffeeddccbbaa\"}]}"},
	 .field = "json:/a/0/t=a1b2c3d4e5f6|001122334455|ffeeddccbbaa"},
	{.name = "noise: of another form",
	 .texts = {"{\"t\":\"a1b2c3d4e5f6\"}", "{\"t\":\"001122334455\"}", "{\"t\":\"<script>1234\"}"},
	 .where = "/t",
	 .why = "form"},
	{.name = "noise in a text",
	 .texts = {"{\"t\":\"id \\\"1234\\\" ok\"}", "{\"t\":\"id \\\"5678\\\" ok\"}", "{\"t\":\"id \\\"99\\\" ok\"}"},
	 .field = "json:/t=1234|5678|99"},
	{.name = "a difference beside noise in a text",
	 .texts = {"{\"t\":\"id 1234 is ok\"}", "{\"t\":\"id 5678 is ok\"}", "{\"t\":\"id 99 is no\"}"},
	 .where = "/t",
	 .why = "outside"},
	{.name = "noise: a boolean", .texts = {"[true]", "[false]", "[true]"}, .field = "json:/0=true|false|true"},
	{.name = "the pair differs in type",
	 .texts = {"[1]", "[null]", "[1]"},
	 .where = "/0",
	 .why = "null where a number"},
	{.name = "the pair differs in a key",
	 .texts = {"{\"a\":1}", "{\"b\":1}", "{\"a\":1}"},
	 .where = "/a",
	 .why = "key"},
	{.name = "chance", .texts = {"[7]", "[7]", "[4]"}, .where = "/0", .why = "\"4\", where \"7\""},
	{.name = "chance, and known", .texts = {"[7]", "[7]", "[4]"}, .known = "json:/0", .field = "json:/0=7|7|4"},
	{.name = "chance, known, and another form",
	 .texts = {"[\"1234567\"]", "[\"1234567\"]", "[\"<b>ab</b>\"]"},
	 .known = "json:/0",
	 .where = "/0",
	 .why = "outside"},
	{.name = "a token, without the pair",
	 .texts = {"{\"csrf\":\"abc\",\"n\":1}", "{\"csrf\":\"defg\",\"n\":1}", "{\"csrf\":\"h\",\"n\":1}"},
	 .plain = true,
	 .rules = "{\"fields\":[{\"pointer\":\"/csrf\",\"action\":\"token\"}]}",
	 .field = "json:/csrf=abc|defg|h"},
	{.name = "a token that is an object",
	 .texts = {"{\"csrf\":{}}", "{\"csrf\":1}", "{\"csrf\":2}"},
	 .plain = true,
	 .rules = "{\"fields\":[{\"pointer\":\"/csrf\",\"action\":\"token\"}]}",
	 .where = "/csrf",
	 .why = "no single value"},
	{.name = "compared, though noise",
	 .texts = {"{\"id\":1}", "{\"id\":2}", "{\"id\":1}"},
	 .rules = "{\"fields\":[{\"pointer\":\"/id\",\"action\":\"compare\"}]}",
	 .where = "/id",
	 .why = "\"2\", where \"1\""},
	{.name = "ignored, but long",
	 .texts = {"{\"x\":\"0123456789abcdef\"}", "{\"x\":\"\"}", "{\"x\":\"\"}"},
	 .plain = true,
	 .rules = "{\"max-field\":16,\"fields\":[{\"pointer\":\"/x\",\"action\":\"ignore\"}]}",
	 .where = "/x",
	 .why = "max-field"},
	{.name = "no JSON at one", .texts = {"[1]", "[1]", "[1"}, .where = "byte 2", .why = "is no JSON: a comma"},
	{.name = "JSON at one",
	 .texts = {"[1", "[2", "[1]"},
	 .where = "byte 2",
	 .why = "is JSON, where others are not"},
	{.name = "no JSON at all, the same", .texts = {"[1", "[1", "[1"}},
	{.name = "no JSON at all",
	 .texts = {"nope 1", "nope 1", "nope 2"},
	 .plain = true,
	 .where = "byte 5",
	 .why = "0x32"},
	{.name = "empty at one", .texts = {"{}", "{}", ""}, .where = "byte 0", .why = "ends where a value"},
	{.name = "irregular white space",
	 .texts = {"[1,2, 3]", "[1,2, 3]", "[1,2,3]"},
	 .where = "the JSON document",
	 .why = "irregular white space"},
	{.name = "irregular white space of the others", .texts = {"[1,2,3]", "[1,2,3]", "[1, 2,3]"}},
	{.name = "irregular white space, and noise",
	 .texts = {"[12, 3,4]", "[77, 3,4]", "[99, 3,4]"},
	 .field = "json:/0=12|77|99"},
	{.name = "a lone surrogate is nothing else",
	 .texts = {"[\"\\ud800\"]", "[\"\\ud800\"]", "[\"\\ufffd\"]"},
	 .plain = true,
	 .where = "/0",
	 .why = "where"},
	{.name = "escapes that nothing needs",
	 .texts = {"{\"a\":\"\\u0041\\u0042C\"}", "{\"a\":\"ABC\"}", "{\"a\":\"ABC\"}"},
	 .plain = true,
	 .where = "/a",
	 .why = "an escape that nothing needs: \"\\u0041"},
	{.name = "escapes that nothing needs, of the pair",
	 .texts = {"{\"a\":\"\\u0041BC\"}", "{\"a\":\"\\u0041BC\"}", "{\"a\":\"ABC\"}"},
	 .where = "/a",
	 .why = "no other instance has it"},
	{.name = "the same at who is not the twin",
	 .texts = {"{\"a\":\"\\u0041BC\"}", "{\"a\":\"ABC\"}", "{\"a\": \"\\u0041BC\"}"}},
	{.name = "escapes in one string, of another in one",
	 .texts = {"[\"\\u0041\",\"\\u0042\"]", "[\"\\u0041\",\"B\"]", "[\"A\",\"\\u0042\"]"},
	 .plain = true,
	 .where = "/0",
	 .why = "nothing needs"},
	{.name = "escapes of the others", .texts = {"[\"ABC\"]", "[\"\\u0041BC\"]", "[\"A\\u0042C\"]"}},
	{.name = "an escaped key",
	 .texts = {"{\"b\":{\"\\u0061\":1}}", "{\"b\":{\"a\":1}}", "{\"b\":{\"a\":1}}"},
	 .plain = true,
	 .where = "/b/a",
	 .why = "nothing needs: \"\\u0061\""},
	{.name = "keys in more than one way",
	 .texts = {"{\"\\/\":1,\"x/\":{}}", "{\"/\":1,\"x/\":{}}", "{\"x/\":{},\"/\":1}"},
	 .plain = true,
	 .where = "/x~1",
	 .why = "more than one way"},
	/* Each is as somebody else has it, and yet the choice is in it. */
	{.name = "strings in more than one way",
	 .texts = {"[\"/a\",\"\\/b\",\"/c\"]", "[\"/a\",\"/b\",\"/c\"]", "[\"\\/a\",\"\\/b\",\"\\/c\"]"},
	 .plain = true,
	 .where = "/1",
	 .why = "more than one way to write a character: \"\\/b\""},
	{.name = "more than one way, beside noise",
	 .texts = {"[\"\\/\",\"/id 12345678\"]", "[\"/\",\"/id 87654321\"]", "[\"/\",\"/id 13572468\"]"},
	 .where = "/1",
	 .why = "more than one way"},
	{.name = "what a rule takes out is not spelled either",
	 .texts = {"{\"x\":\"\\u0041\"}", "{\"x\":\"B\"}", "{\"x\":\"C\"}"},
	 .plain = true,
	 .rules = "{\"fields\":[{\"pointer\":\"/x\",\"action\":\"ignore\"}]}",
	 .field = "json:/x=A|B|C"},
	{.name = "an object that is ignored is counted",
	 .texts = {"{\"x\":{\"b\":1}}", "{\"x\":[]}", "{\"x\":2}"},
	 .plain = true,
	 .rules = "{\"fields\":[{\"pointer\":\"/x\",\"action\":\"ignore\"}]}",
	 .field = "json:/x={\"b\":1}|[]|2"},
	{.name = "an exponent of nothing",
	 .texts = {"{\"a\":0e7310111410111632}", "{\"a\":0}", "{\"a\":0}"},
	 .plain = true,
	 .where = "/a",
	 .why = "exponent as programs do not write it: \"0e73"},
	{.name = "an exponent of nothing, of the pair",
	 .texts = {"{\"a\":0e7310111410111632}", "{\"a\":0e7310111410111632}", "{\"a\":0}"},
	 .where = "/a",
	 .why = "exponent"},
	{.name = "zeros", .texts = {"[1.00000000000]", "[1]", "[1]"}, .where = "/0", .why = "zeros at a number's end"},
	{.name = "an exponent for nothing",
	 .texts = {"[10000e-4]", "[1]", "[1]"},
	 .plain = true,
	 .where = "/0",
	 .why = "exponent"},
	{.name = "irregular numbers of the others", .texts = {"[1,0]", "[1.00000000000,0e5]", "[10000e-4,0e123456]"}},
	{.name = "irregular numbers of all", .texts = {"[1,0e0]", "[1,0e0]", "[1, 0e0]"}},
	{.name = "two surrogates",
	 .texts = {"[\"\xf0\x9f\x98\x80\"]", "[\"\xf0\x9f\x98\x80\"]", "[\"\\uD83D\\ude00\"]"}},
};

static void begin(struct fakebody *f, unsigned n, bool filter)
{
	fakebody_conf(f, BODY_JSON, n, filter);
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		fakebody_play_row(&rows[i], BODY_JSON);
}

/* Noise is charged where it lies in instance 0's document, in its order, whatever the order of keys. */
static void test_budget(void **state)
{
	static char text[3][40000];
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	for (unsigned items = 4; items <= 400; items *= 10) {
		for (unsigned i = 0; i < 3; i++) {
			size_t at = (size_t)sprintf(text[i], "[");

			for (unsigned k = 0; k < items; k++)
				at += (size_t)sprintf(text[i] + at, "%s{\"x\":\"%08xab%022x\",\"t\":\"%040u\"}",
						      k ? "," : "", 0x9e3779b1U * (3 * k + i), i, k);
			sprintf(text[i] + at, "]");
			f->in[i] = slice_of(text[i]);
		}
		begin(f, 3, true);
		f->budget.share = items == 400 ? 20 : 40;
		fakebody_play_all(f);
		assert_int_equal(fakebody_agrees(f), items < 400);
		if (items == 400)
			assert_non_null(strstr(f->finding.why, "budget"));
		else
			assert_int_equal(f->noises, items);
	}
	free(f);
}

/* What is longer than the limit goes out as long as it is the same byte for byte. */
static void test_limit(void **state)
{
	static char text[3][20000];
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		memset(text[i], ' ', 19999);
		text[i][100] = '1';
		f->in[i] = slice_of(text[i]);
	}
	begin(f, 3, true);
	f->conf.limit = 4096;
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	text[2][15000] = '\t';
	fakebody_play_all(f);
	assert_int_equal(f->verdict, RDDR_DIVERGE);
	assert_true(f->undecided);
	assert_non_null(strstr(f->finding.why, "longer than the limit"));
	free(f);
}

static void test_bounds(void **state)
{
	static char deep[2][400], wide[2][9000];
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		memset(deep[i], '[', 150);
		memset(deep[i] + 150, ' ', i);
		memset(deep[i] + 150 + i, ']', 150);
		f->in[i] = slice_of(deep[i]);
	}
	begin(f, 2, false);
	fakebody_play_all(f);
	assert_true(f->undecided);
	assert_non_null(strstr(f->finding.why, "too deep"));
	for (unsigned i = 0; i < 2; i++) {
		memset(wide[i], ' ', 8000);
		wide[i][0] = '[';
		for (unsigned k = 1; k < 7900; k += 2) {
			wide[i][k] = '1';
			wide[i][k + 1] = ',';
		}
		wide[i][7901] = '1';
		wide[i][7902 + i] = ']';
		f->in[i] = slice_of(wide[i]);
	}
	f->conf.limit = 8192;
	fakebody_play_all(f);
	assert_true(f->undecided);
	assert_non_null(strstr(f->finding.why, "too many values"));
	free(f);
}

static void test_space(void **state)
{
	static const struct {
		const char *text;
		bool regular;
	} cases[] = {
		{"{\"a\":[1,2],\"b\":{}}", true},
		{"{\"a\": [1, 2], \"b\": {}}\n", true},
		{"{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": {}\n}", true},
		{"{\r\n\t\"a\": [\r\n\t\t1,\r\n\t\t2\r\n\t],\r\n\t\"b\": {}\r\n}\r\n", true},
		/* Arrays within the line, as some printers have it. */
		{"{\n  \"a\" : [ 1, 2 ],\n  \"b\" : [ {\n    \"c\" : 1\n  }, {\n    \"c\" : 2\n  } ]\n}", true},
		{" 1", true},
		{"\"a b  \\\" c\"", true},
		{"[1,2, 3]", false},
		{"[1 ,2,3]", false},
		{"[[1], [2],[3]]", false},
		{"{\"a\":1,\"b\": 2}", false},
		{"[1]  ", false},
		{"[1]\t", false},
		{"[\n  1,\n   2\n]", false},
		{"[\n  1,\n\t2\n]", false},
		{"[\n  1,\n\n  2\n]", false},
		{"[\n  1,\r\n  2\n]", false},
		{"[          1]", false},
		{"[\n \t1\n]", false},
		{"[\r 1]", false},
		{"[[\n  1\n],[\n   1\n]]", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice text = slice_of(cases[i].text);

		if (rddr_json_space_regular(text) != cases[i].regular)
			fail_msg("%s", cases[i].text);
	}
	assert_true(rddr_json_space_hash(slice_of("[1, 2]")) == rddr_json_space_hash(slice_of("[3, 4]")));
	assert_true(rddr_json_space_hash(slice_of("[1, 2]")) != rddr_json_space_hash(slice_of("[1 ,2]")));
}

/* Strings, or numbers, of one document, one behind the other. */
struct spelling_case {
	const char *texts[3];
	bool regular; /* the last; those before it are */
};

static void hold_spelling(const struct spelling_case *c,
			  bool (*is_regular)(struct json_habits *h, struct slice text, const char **why))
{
	struct json_habits habits = {0};
	const char *why = NULL;

	for (size_t k = 0; k < 3 && c->texts[k]; k++) {
		bool last = k == 2 || !c->texts[k + 1];

		if (is_regular(&habits, slice_of(c->texts[k]), &why) != (c->regular || !last))
			fail_msg("%s: %s", c->texts[k], why ? why : "regular");
	}
}

static void test_strings(void **state)
{
	static const struct spelling_case cases[] = {
		{{"abc", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \x7f", "\xc3\xa9/'<>&"}, true},
		{{"\\u00e9\\u20ac", "\\ud83d\\ude00", "\\u00c3"}, true},
		{{"\\\"\\\\\\b\\f\\n\\r\\t", "\\n\\n\\u0001"}, true},
		{{"\\u0008\\u000c\\n"}, true}, /* as Go had it */
		{{"\\u003cb\\u003e \\u0026 '\\\" \\u2028\xc3\xa9"}, true},
		{{"\\u003Cb\\u003E \\u0026\\u0027 \\u0022\\u002B\\u0060\\u00E9"}, true},
		{{"http:\\/\\/x\\/", "\\/"}, true},
		{{"\\ufffd \xc3\xa9"}, true},
		{{"\\ud800 \xc3\xa9 \\udc00\\ud800\\u00e9"}, false},
		{{"\\ud800 \xc3\xa9 \\udc00\\ud800"}, true},
		{{"\\u0041"}, false},
		{{"\\u0020"}, false},
		{{"\\u00e9", "\xc3\xa8"}, false},
		{{"\xc3\xa8", "\\u00e9"}, false},
		{{"\xf0\x9f\x98\x80", "\\ud83d\\ude00"}, false},
		{{"\\ud83d\\uDE00"}, false},
		{{"/", "\\/"}, false},
		{{"\\/", "x", "/"}, false},
		{{"\\u003c", "<"}, false},
		{{"\\n", "\\u000a"}, false},
		{{"\\\"", "\\u0022"}, false},
		{{"\\u00ea", "\\u00EA"}, false},
		{{"\\u00eA"}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		hold_spelling(&cases[i], rddr_json_string_regular);
}

static void test_regular_numbers(void **state)
{
	static const struct spelling_case cases[] = {
		{{"0", "-0.0", "-12"}, true},
		{{"1", "1.0", "1.5"}, true},
		{{"12.50", "3.00", "1.0"}, true},
		{{"1.500000", "2.0", "3"}, true},
		{{"1e+21", "1e-7", "1.5e+300"}, true},
		{{"1e-07", "1e+16", "1.25e-05"}, true},
		{{"1.0E10", "1.5E-5", "1.0E-4"}, true},
		{{"1e3"}, true},
		{{"12345678901234567890123456789012345678901234567890"}, true},
		{{"12.50", "3.000"}, false},
		{{"1.0000000"}, false},
		{{"0.00", "0.000"}, false},
		{{"0e0"}, false},
		{{"0.0e5"}, false},
		{{"0e99999999999999999999999"}, false},
		{{"1e0"}, false},
		{{"1e2"}, false},
		{{"1e-1"}, false},
		{{"10e5"}, false},
		{{"10000e-4"}, false},
		{{"1.50e9"}, false},
		{{"1.00e9"}, false},
		{{"1e0009"}, false},
		{{"1e009"}, false},
		{{"1e1000"}, false},
		{{"1e9", "1e09"}, false},
		{{"1e9", "1E9"}, false},
		{{"1e9", "1e+9"}, false},
		{{"1e9", "1.0e9"}, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		hold_spelling(&cases[i], rddr_json_number_regular);
}

/* What real encoders make of one document: each may be the one that the client gets. */
static void test_encoders(void **state)
{
	static const char *const texts[] = {
		/* JSON.stringify */
		"{\"a\":\"K\xc3\xa4"
		"se & <b>\xe6\x97\xa5</b> a/b \xe2\x80\xa8 \xf0\x9f\x98\x80 \\\"q\\\" \\\\ "
		"'\\n\\t\\b\\f\\u0001\",\"b\":[1,12.5,1e+21,1e-7,100000,0]}",
		/* json.dumps */
		"{\"a\": \"K\\u00e4se & <b>\\u65e5</b> a/b \\u2028 \\ud83d\\ude00 \\\"q\\\" \\\\ "
		"'\\n\\t\\b\\f\\u0001\", \"b\": [1.0, 12.5, 1e+21, 1e-07, 100000.0, 0.0]}",
		/* The same with ensure_ascii=False. */
		"{\"a\": \"K\xc3\xa4"
		"se & <b>\xe6\x97\xa5</b> a/b \xe2\x80\xa8 \xf0\x9f\x98\x80 \\\"q\\\" \\\\ "
		"'\\n\\t\\b\\f\\u0001\", \"b\": [1.0, 12.5, 1e+21, 1e-07, 100000.0, 0.0]}",
		/* PHP's json_encode */
		"{\"a\":\"K\\u00e4se & <b>\\u65e5<\\/b> a\\/b \\u2028 \\ud83d\\ude00 \\\"q\\\" \\\\ "
		"'\\n\\t\\b\\f\\u0001\",\"b\":[1.0,12.5,1.0e+21,1.0e-7,100000.0,0.0]}",
		/* Go's encoding/json */
		"{\"a\":\"K\xc3\xa4"
		"se \\u0026 \\u003cb\\u003e\xe6\x97\xa5\\u003c/b\\u003e a/b \\u2028 \xf0\x9f\x98\x80 "
		"\\\"q\\\" \\\\ '\\n\\t\\u0008\\u000c\\u0001\",\"b\":[1,12.5,1e+21,1e-7,100000,0]}\n",
		/* .NET's System.Text.Json */
		"{\"a\":\"K\\u00E4se \\u0026 \\u003Cb\\u003E\\u65E5\\u003C/b\\u003E a/b \\u2028 "
		"\\uD83D\\uDE00 \\u0022q\\u0022 \\\\ \\u0027\\n\\t\\b\\f\\u0001\","
		"\"b\":[1,12.5,1E+21,1E-07,100000,0]}",
		/* Jackson's, of doubles */
		"{\"b\":[1.0,12.5,1.0E21,1.0E-7,100000.0,0.0],\"a\":\"K\xc3\xa4"
		"se & <b>\xe6\x97\xa5</b> a/b \xe2\x80\xa8 \xf0\x9f\x98\x80 \\\"q\\\" \\\\ "
		"'\\n\\t\\b\\f\\u0001\"}",
	};
	enum { N = sizeof(texts) / sizeof(texts[0]) };
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	for (unsigned i = 0; i < N * N * 2; i++) {
		const char *one = texts[i / 2 / N], *other = texts[i / 2 % N];

		begin(f, fakebody_fill(f, (const char *[4]){one, i % 2 ? one : other, other}), i % 2);
		fakebody_play_all(f);
		if (!fakebody_agrees(f))
			fail_msg("%s and %s: %s: %s", one, other, f->finding.where, f->finding.why);
	}
	free(f);
}

struct shuffled {
	char text[20000];
	size_t len;
};

static void add(struct shuffled *s, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	s->len += (size_t)vsnprintf(s->text + s->len, sizeof(s->text) - s->len, fmt, args);
	va_end(args);
}

/* A list in an order of its own, with names that all have, and ids, numbers and choices that nobody else has. */
static void shuffle(struct shuffled *s, uint64_t *seed, unsigned items, unsigned changed, bool chance)
{
	unsigned order[64];

	s->len = 0;
	for (unsigned i = 0; i < items; i++)
		order[i] = i;
	for (unsigned i = items; i-- > 1;) {
		unsigned k = fakebody_random(seed) % (i + 1), kept = order[i];

		order[i] = order[k];
		order[k] = kept;
	}
	for (unsigned i = 0; i < items; i++)
		add(s,
		    "%s{\"flag\":%s,\"id\":\"%08x\",\"kind\":\"k%u\",\"n\":%u,\"name\":\"item "
		    "%s%u\",\"of\":[{\"v\":%u}]}",
		    i ? "," : "{\"t\":[", !chance || fakebody_random(seed) % 2 ? "true" : "false",
		    fakebody_random(seed), order[i] % 3, chance ? 10 + fakebody_random(seed) % 90 : 7,
		    order[i] == changed ? "<b>" : "i", order[i], 100000000 + fakebody_random(seed) % 900000000);
	add(s, "]}");
}

/* However they are shuffled, and whatever was noise before, what belongs together is found. */
static void test_shuffled(void **state)
{
	static const char *const known[] = {NULL, "json:/t/0/id", "json:/t/0/flag", "json:/t/0/name", "*"};
	static struct shuffled lists[3];
	struct fakebody *f = calloc(1, sizeof(*f));
	struct rules *rules = fakerules("{\"unordered\":[\"/t\"]}");
	uint64_t seed = 4711;

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		unsigned items = 2 + round % 40, changed = round % 3 == 0 ? fakebody_random(&seed) % items : 64;
		const char *before = known[round % 5];
		/* What may agree by chance is let pass where it is known. */
		bool chance = before && *before == '*';

		for (unsigned i = 0; i < 3; i++) {
			shuffle(&lists[i], &seed, items, i == 2 ? changed : 64, chance);
			f->in[i] = (struct slice){(const uint8_t *)lists[i].text, lists[i].len};
		}
		begin(f, 3, true);
		f->budget = (struct noise_budget){.run = 1 << 20, .share = 100};
		f->conf.rules = rules;
		f->known = before;
		fakebody_play(f, 1, 0);
		if ((changed == 64) != fakebody_agrees(f) || (changed != 64 && !strstr(f->finding.where, "/name")))
			fail_msg("%u: %s: %s\n%s\n%s\n%s", round, f->finding.where, f->finding.why, lists[0].text,
				 lists[1].text, lists[2].text);
	}
	rddr_rules_free(&rules);
	free(f);
}

/* Many items, in another order at each, with nothing but noise but for one field; and with nothing else at all. */
static void test_many_unordered(void **state)
{
	enum { ITEMS = 8000, ROOM = ITEMS * 40 };
	struct fakebody *f = calloc(1, sizeof(*f));
	struct rules *rules = fakerules("{\"unordered\":[\"\"]}");
	char *text[3];

	(void)state;
	for (unsigned named = 0; named < 2; named++) {
		for (unsigned i = 0; i < 3; i++) {
			size_t at = 0;

			text[i] = malloc(ROOM);
			for (unsigned k = 0; k < ITEMS; k++) {
				unsigned turn = k * (7919 + 2 * i) % ITEMS;

				at += (size_t)snprintf(text[i] + at, ROOM - at, "%c{\"id\":%u", k ? ',' : '[',
						       100000 + 3 * k + i);
				at += (size_t)snprintf(text[i] + at, ROOM - at, named ? ",\"n\":\"n%u\"}" : "}", turn);
			}
			text[i][at++] = ']';
			f->in[i] = (struct slice){(const uint8_t *)text[i], at};
		}
		begin(f, 3, true);
		f->budget = (struct noise_budget){.run = 1 << 20, .share = 100};
		f->conf.limit = ROOM;
		f->conf.rules = rules;
		fakebody_play(f, 1, 0);
		if (!fakebody_agrees(f))
			fail_msg("%s: %s", f->finding.where, f->finding.why);
		assert_int_equal(f->noises, ITEMS);
		for (unsigned i = 0; i < 3; i++)
			free(text[i]);
	}
	rddr_rules_free(&rules);
	free(f);
}

static void test_absent(void **state)
{
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	begin(f, fakebody_fill(f, (const char *[4]){"", "{\"a\":1}", "{\"a\": 1}", "{\"a\":1 }"}), true);
	f->absent[0] = true;
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	f->absent[0] = false;
	f->absent[3] = true;
	fakebody_fill(f, (const char *[4]){"{\"a\":12}", "{\"a\":34}", "{\"a\": 56}", ""});
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	assert_string_equal(f->fields[0], "json:/a=12|34|56|");
	free(f);
}

static void test_invalid(void **state)
{
	static const struct {
		const char *text;
		size_t at;
		const char *why;
	} cases[] = {
		{"", 0, "ends where a value"},
		{"[1,]", 3, "no value"},
		{"{\"a\":1,}", 7, "a key is missing"},
		{"[01]", 2, "comma"},
		{"[1.]", 3, "digit"},
		{"[-]", 2, "digit"},
		{"[.5]", 1, "no value"},
		{"[+1]", 1, "no value"},
		{"[1e]", 3, "digit"},
		{"[0x1]", 2, "comma"},
		{"[NaN]", 1, "no value"},
		{"[nul]", 1, "no value"},
		{"[True]", 1, "no value"},
		{"'a'", 0, "no value"},
		{"\"a", 2, "ends within"},
		{"\"a\tb\"", 2, "control"},
		{"\"\\x41\"", 2, "escape"},
		{"\"\\u12g4\"", 2, "hexadecimal"},
		{"1 2", 2, "follows"},
		{"{1:2}", 1, "key"},
		{"{\"a\" 1}", 5, "colon"},
		{"[1 2]", 3, "comma"},
		{"\"\xff\"", 1, "UTF-8"},
		{"\"\xc0\xaf\"", 1, "UTF-8"},
		{"\"\xed\xa0\x80\"", 1, "UTF-8"},
		{"\"\xf4\x90\x80\x80\"", 1, "UTF-8"},
		{"\"\\n\xe2\x82\"", 3, "UTF-8"},
		{"\xef\xbb\xbf[]", 0, "no value"},
		{"// c\n1", 0, "no value"},
		{"[1]//", 3, "follows"},
		{"\"\\", 2, "escape"},
		{"\"\\u", 2, "hexadecimal"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = strlen(cases[i].text);
		uint8_t *copy = malloc(len + !len);
		struct json_doc doc;

		memcpy(copy, cases[i].text, len);
		if (rddr_json_read((struct slice){copy, len}, 100, &doc) == 0)
			fail_msg("read: %s", cases[i].text);
		if (doc.at != cases[i].at || !strstr(doc.why, cases[i].why))
			fail_msg("%s: at %zu: %s", cases[i].text, doc.at, doc.why);
		rddr_json_free(&doc);
		free(copy);
	}
}

static void test_numbers(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"1", "1", true},
		{"1", "1.0", true},
		{"1", "10e-1", true},
		{"0", "0.00", true},
		{"0", "0e9", true},
		{"0", "-0", false},
		{"-0", "-0.0", true},
		{"1", "-1", false},
		{"1", "10", false},
		{"120", "12e1", true},
		{"120", "1.2E+2", true},
		{"0.00120", "12e-4", true},
		{"101", "1.01e2", true},
		{"101", "1.1e2", false},
		{"1e400", "10e399", true},
		{"1e400", "1e401", false},
		{"10", "1", false},
		{"1e99999999999999999999", "1e99999999999999999999", true},
		{"1e99999999999999999999", "10e99999999999999999998", false},
		{"0e99999999999999999999", "0", true},
		{"1e00000000000000000001", "10", true},
		{"12", "1.25", false},
		{"1.5", "15", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);

		if (rddr_json_same_number(a, b) != cases[i].same || rddr_json_same_number(b, a) != cases[i].same)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		assert_int_equal(rddr_json_order_numbers(a, b), -rddr_json_order_numbers(b, a));
	}
}

static void test_pointer(void **state)
{
	struct slice path[3] = {slice_of("a"), slice_of("\xc3\xa9\xc3\xa9"), slice_of("\n")};
	char buf[32];

	(void)state;
	rddr_json_pointer(path, 0, buf, sizeof(buf));
	assert_string_equal(buf, "");
	rddr_json_pointer(path, 3, buf, sizeof(buf));
	assert_string_equal(buf, "/a/\xc3\xa9\xc3\xa9/?");
	for (size_t size = 1; size < 12; size++) {
		rddr_json_pointer(path, 3, buf, size);
		assert_true(strlen(buf) < size);
		/* Never half a character. */
		assert_int_equal((strlen(buf) > 3 ? strlen(buf) - 3 : 0) % 2 && strlen(buf) < 8, 0);
	}
}

/* A trail that goes along names each place as one does that was never there before. */
static void test_trail(void **state)
{
	static const char text[150] = {[0 ... 149] = 'k'};
	struct slice path[JSON_DEPTH];
	struct json_trail trail = {0};
	uint64_t seed = 0x9e3779b97f4a7c15;
	unsigned depth = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct json_trail none = {0};
		char name[256], expected[256];

		if (depth > 0 && fakebody_random(&seed) % 2)
			depth -= 1 + fakebody_random(&seed) % (depth < 3 ? depth : 3);
		else if (depth < JSON_DEPTH)
			rddr_json_put_key(&trail, path, depth++,
					  (struct slice){(const uint8_t *)text, fakebody_random(&seed) % 150});
		/* Not each place is named. */
		if (fakebody_random(&seed) % 2)
			continue;
		rddr_json_field(&trail, path, depth, name);
		rddr_json_field(&none, path, depth, expected);
		assert_string_equal(name, expected);
	}
}

/*
 * Every value within a long key is noise. Were the key hashed for each of them, this would take a quarter of an hour.
 */
static void test_work(void **state)
{
	enum { KEY = 2 << 20, ITEMS = 1 << 19, ROOM = KEY + 2 * ITEMS + 16 };
	struct fakebody *f = calloc(1, sizeof(*f));
	char *text[3];

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		size_t at = 2 + KEY;

		text[i] = malloc(ROOM);
		memcpy(text[i], "{\"", 2);
		memset(text[i] + 2, 'k', KEY);
		memcpy(text[i] + at, "\":[", 3);
		at += 3;
		for (unsigned k = 0; k < ITEMS; k++) {
			text[i][at++] = (char)('1' + i);
			text[i][at++] = k + 1 < ITEMS ? ',' : ']';
		}
		text[i][at++] = '}';
		f->in[i] = (struct slice){(const uint8_t *)text[i], at};
	}
	begin(f, 3, true);
	f->conf.limit = 4 * KEY;
	fakebody_begin(f);
	for (unsigned i = 0; i < 3; i++) {
		f->shown[i] = f->in[i].len;
		f->end_shown[i] = true;
	}
	fakebody_call(f);
	assert_int_equal(f->verdict, RDDR_AGREE);
	assert_int_equal(f->noises, ITEMS);
	assert_memory_equal(f->fields[0], "json:#", 6);
	rddr_body_free(&f->body);
	for (unsigned i = 0; i < 3; i++)
		free(text[i]);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_shuffled),
		cmocka_unit_test(test_many_unordered),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_space),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_pointer),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_regular_numbers),
		cmocka_unit_test(test_encoders),
		cmocka_unit_test(test_trail),
		cmocka_unit_test(test_work),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
