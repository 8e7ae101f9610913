// SPDX-License-Identifier: BSD-2-Clause
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ESCAPES(in, expected)                                                                                          \
	{                                                                                                              \
		in, sizeof(in) - 1, expected                                                                           \
	}

static const struct {
	const char *in;
	size_t len;
	const char *expected;
} escapes[] = {
	ESCAPES("", ""),
	ESCAPES("plain text, 100%", "plain text, 100%"),
	ESCAPES("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
	ESCAPES("\0\x1f\x7f", "\\x00\\x1f\\x7f"),
	ESCAPES("\x1b[31mred", "\\x1b[31mred"),
	ESCAPES("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
	ESCAPES("\xc2\x9b"
		"31m",
		"\\xc2\\x9b31m"), /* CSI as a C1 control */
	ESCAPES("\xe2\x80\xae"
		"x",
		"\\xe2\\x80\\xaex"),		    /* right-to-left override */
	ESCAPES("\xe2\x80\xa8", "\\xe2\\x80\\xa8"), /* line separator */
	ESCAPES("\xff\xfe", "\\xff\\xfe"),
	ESCAPES("\xc3", "\\xc3"),   /* cut off */
	ESCAPES("\xc3(", "\\xc3("), /* the next is not eaten */
	ESCAPES("\xe2\x82", "\\xe2\\x82"),
	ESCAPES("\xc0\xaf", "\\xc0\\xaf"), /* overlong */
	ESCAPES("\xe0\x80\xaf", "\\xe0\\x80\\xaf"),
	ESCAPES("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"),
	ESCAPES("\xed\xa0\x80", "\\xed\\xa0\\x80"),	     /* a surrogate */
	ESCAPES("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"), /* past U+10FFFF */
	ESCAPES("\x80"
		"a",
		"\\x80"
		"a"),
};

static void test_escape(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		char *out = rddr_text_escaped(escapes[i].in, escapes[i].len);

		assert_non_null(out);
		assert_string_equal(out, escapes[i].expected);
		free(out);
	}
}

/* However little room there is, what is written is a beginning of the whole, cut between characters. */
static void test_escape_bounded(void **state)
{
	static const char in[] = "a\n\xe2\x82\xac\xff z";
	static const char whole[] = "a\\x0a\xe2\x82\xac\\xff z";
	static const size_t cuts[] = {0, 1, 5, 8, 12, 13, 14};
	char out[sizeof(whole)];

	(void)state;
	for (size_t size = 0; size < sizeof(whole); size++) {
		size_t used, n, expected = 0;

		for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++)
			if (cuts[i] <= size)
				expected = cuts[i];
		memset(out, '#', sizeof(out));
		n = rddr_text_escape(out, size, in, sizeof(in) - 1, &used);
		assert_int_equal(n, expected);
		assert_memory_equal(out, whole, n);
		for (size_t i = n; i < sizeof(out); i++)
			assert_int_equal(out[i], '#');
		if (n == sizeof(whole) - 1)
			assert_int_equal(used, sizeof(in) - 1);
		else
			assert_true(used < sizeof(in) - 1);
	}
}

static void test_character(void **state)
{
	uint32_t code = 0;

	(void)state;
	assert_int_equal(rddr_text_character("", 0, &code), 0);
	assert_int_equal(rddr_text_character("A", 1, &code), 1);
	assert_int_equal(code, 'A');
	assert_int_equal(rddr_text_character("\xf0\x9f\x98\x80", 4, &code), 4);
	assert_int_equal(code, 0x1f600);
	assert_int_equal(rddr_text_character("\xf0\x9f\x98\x80", 3, &code), 0);
	assert_int_equal(rddr_text_character("\xf4\x8f\xbf\xbf", 4, &code), 4);
	assert_int_equal(code, 0x10ffff);
}

static void test_base64(void **state)
{
	/* RFC 4648, section 10. */
	static const struct {
		const char *in, *out;
	} known[] = {{"", ""},
		     {"f", "Zg=="},
		     {"fo", "Zm8="},
		     {"foo", "Zm9v"},
		     {"foob", "Zm9vYg=="},
		     {"fooba", "Zm9vYmE="},
		     {"foobar", "Zm9vYmFy"}};
	uint8_t all[256];

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		char *out = rddr_text_base64(known[i].in, strlen(known[i].in));
		size_t len = 99;
		uint8_t *back = rddr_text_unbase64(known[i].out, &len);

		assert_string_equal(out, known[i].out);
		assert_non_null(back);
		assert_int_equal(len, strlen(known[i].in));
		assert_memory_equal(back, known[i].in, len);
		free(out);
		free(back);
	}
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(255 - i);
	for (size_t n = 0; n <= sizeof(all); n++) {
		char *text = rddr_text_base64(all, n);
		size_t len = 0;
		uint8_t *back = rddr_text_unbase64(text, &len);

		assert_non_null(back);
		assert_int_equal(len, n);
		assert_memory_equal(back, all, n);
		free(text);
		free(back);
	}
}

static void test_unbase64_bad(void **state)
{
	static const char *const bad[] = {"Z", "Zg", "Zg=", "Zm9vY", "Z===", "====", "Zm 9", "Zm9_", "Zm\n9", "=Zm9"};
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(rddr_text_unbase64(bad[i], &len));
}

static void test_now(void **state)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	char now[RDDR_TEXT_TIME];

	(void)state;
	rddr_text_now(now);
	assert_int_equal(strlen(now), sizeof(form) - 1);
	for (size_t i = 0; i < sizeof(form) - 1; i++) {
		if (form[i] == 'd')
			assert_in_range(now[i], '0', '9');
		else
			assert_int_equal(now[i], form[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_escape), cmocka_unit_test(test_escape_bounded), cmocka_unit_test(test_character),
		cmocka_unit_test(test_base64), cmocka_unit_test(test_unbase64_bad),   cmocka_unit_test(test_now),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
