// SPDX-License-Identifier: BSD-2-Clause
/* Scalars by the core schema, marks, and how values look in messages. config_errors.c has the texts that are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_capture.h"
#include "config_read.h"
#include "own.h"

static void test_types(void **state)
{
	static const struct {
		enum scalar_type type;
		const char *texts[24];
	} cases[] = {
		{SCALAR_NULL, {"", "~", "null", "Null", "NULL"}},
		{SCALAR_BOOL, {"true", "True", "TRUE", "false", "False", "FALSE"}},
		{SCALAR_INT, {"0", "-0", "+1", "007", "12345678901234567890123", "0o17", "0xAf"}},
		{SCALAR_FLOAT,
		 {"1.", ".5", "-1.5", "+1.5e3", "1e5", "1E-5", ".5e+5", ".inf", "-.Inf", "+.INF", ".nan", ".NaN"}},
		{SCALAR_STRING,
		 {"a",	 "-",	 "+",	".",	"-.",  "1.2.3", "1e",	 "1e+",	  "e5", "0o8", "0o",	  "0x",
		  "0xg", "-0x1", "nul", "tRUE", "yes", "-.nan", "1_000", "12:30", "1 ", "..5", "10.0.0.1"}},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t j = 0; j < ARRAY_LEN(cases[i].texts) && cases[i].texts[j]; j++) {
			enum scalar_type type = rddr_config_yaml_type(cases[i].texts[j], strlen(cases[i].texts[j]));

			if (type != cases[i].type)
				print_error("%s: %d\n", cases[i].texts[j], type);
			assert_int_equal(type, cases[i].type);
		}
	}
	/* It reads no further than it is told. */
	assert_int_equal(rddr_config_yaml_type("12x", 2), SCALAR_INT);
	assert_int_equal(rddr_config_yaml_type("1\0002", 3), SCALAR_STRING);
}

static void test_tree(void **state)
{
	static const char text[] = "a: 1\n\xc3\xa4: [x, \"2\", &n {k: v}]\nc:\n    - *n\n    - - deep\nd: {}\n";
	struct config_report *report = calloc(1, sizeof(*report));
	struct document *document = NULL;
	const struct node *root, *list, *item;

	(void)state;
	assert_non_null(report);
	report->name = "t";
	assert_int_equal(rddr_config_yaml_parse(report, text, sizeof(text) - 1, &document), 0);
	assert_int_equal(report->n, 0);
	root = document->root;
	assert_int_equal(root->kind, NODE_MAPPING);
	assert_int_equal(root->n, 4);
	assert_int_equal(rddr_config_yaml_find(root, "a")->type, SCALAR_INT);
	list = rddr_config_yaml_find(root, "\xc3\xa4");
	assert_int_equal(list->mark.line, 2);
	assert_int_equal(list->mark.column, 4); /* in characters */
	assert_int_equal(list->n, 3);
	assert_true(list->items[0]->plain);
	assert_false(list->items[1]->plain);
	assert_int_equal(list->items[1]->type, SCALAR_STRING);
	item = rddr_config_yaml_find(root, "c");
	assert_int_equal(item->mark.line, 4);
	assert_int_equal(item->mark.column, 5);
	assert_ptr_equal(item->items[0], list->items[2]);
	assert_string_equal(rddr_config_yaml_find(item->items[0], "k")->text, "v");
	assert_string_equal(item->items[1]->items[0]->text, "deep");
	assert_int_equal(rddr_config_yaml_find(root, "d")->n, 0);
	assert_null(rddr_config_yaml_find(root, "e"));
	assert_null(rddr_config_yaml_find(list, "x"));
	rddr_config_yaml_free(&document);
	assert_null(document);
	rddr_config_yaml_free(&document);
	free(report);
}

static void test_quote(void **state)
{
	static const struct {
		const char *text;
		size_t size;
		const char *quoted;
	} cases[] = {
		{"", 20, "\"\""},
		{"word", 20, "\"word\""},
		{"a\nb\x1b[0m", 40, "\"a\\x0ab\\x1b[0m\""},
		{"\"\\", 20, "\"\\\"\\\\\""},
		{"\xc3\xa9\xe2\x82\xac", 20, "\"\xc3\xa9\xe2\x82\xac\""},
		{"\xc2\x85", 20, "\"\\xc2\\x85\""}, /* a control character */
		{"\xc3", 20, "\"\\xc3\""},
		{"\xff\x80", 20, "\"\\xff\\x80\""},
		{"abcdefghijklmnop", 12, "\"abcdef...\""},
		{"x", 6, ""},
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		memset(buf, 'Z', sizeof(buf));
		assert_ptr_equal(rddr_config_report_quote(cases[i].text, strlen(cases[i].text), buf, cases[i].size),
				 buf);
		assert_string_equal(buf, cases[i].quoted);
		for (size_t j = cases[i].size; j < sizeof(buf); j++)
			assert_int_equal(buf[j], 'Z');
	}
}

/* Every size of buffer holds, whatever the text. */
static void test_quote_sizes(void **state)
{
	static const char text[] = "a\n\"\xe2\x82\xac\xf0\x9f\x98\x80\xff"
				   "bcdefghij";
	char buf[80];

	(void)state;
	for (size_t size = 0; size <= sizeof(buf); size++) {
		for (size_t len = 0; len < sizeof(text); len++) {
			memset(buf, 'Z', sizeof(buf));
			rddr_config_report_quote(text, len, buf, size);
			if (size)
				assert_true(strnlen(buf, size) < size);
			for (size_t j = size; j < sizeof(buf); j++)
				assert_int_equal(buf[j], 'Z');
		}
	}
}

static const char *word_of(const void *ctx, size_t i)
{
	return ((const char *const *)ctx)[i];
}

static void test_suggest(void **state)
{
	static const char *const words[] = {"instances", "intercept", "filter", "diff-class", "when-down", "run"};
	static const struct {
		const char *text, *hint;
	} cases[] = {
		{"instance", " (did you mean instances?)"},
		{"isntances", " (did you mean instances?)"},
		{"Diff_Class", " (did you mean diff-class?)"},
		{"whendown", " (did you mean when-down?)"},
		{"fliter", " (did you mean filter?)"},
		{"rum", " (did you mean run?)"},
		{"xyz", ""},
		{"", ""},
		{"instances-of-a-word-that-is-much-longer-than-any", ""},
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(
			rddr_config_suggest(cases[i].text, word_of, words, ARRAY_LEN(words), buf, sizeof(buf)),
			cases[i].hint);
	assert_string_equal(rddr_config_suggest("x", word_of, words, 0, buf, sizeof(buf)), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),	    cmocka_unit_test(test_tree),    cmocka_unit_test(test_quote),
		cmocka_unit_test(test_quote_sizes), cmocka_unit_test(test_suggest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
