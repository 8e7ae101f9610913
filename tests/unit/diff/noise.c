/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "noise.h"

static void places_are_told_apart(void **state)
{
	static const struct {
		uint8_t a, b;
		enum noise_place place;
	} cases[] = {
		{'a', 'a', NOISE_WORD},	      {'Z', 'Z', NOISE_WORD},	   {'0', '0', NOISE_WORD},
		{'-', '-', NOISE_WORD},	      {'_', '_', NOISE_WORD},	   {'.', '.', NOISE_APART},
		{'/', '/', NOISE_APART},      {'=', '=', NOISE_APART},	   {' ', ' ', NOISE_APART},
		{0, 0, NOISE_APART},	      {0xff, 0xff, NOISE_APART},   {'a', 'b', NOISE_TOKEN},
		{'a', '+', NOISE_TOKEN},      {'%', '/', NOISE_TOKEN},	   {'=', '.', NOISE_TOKEN},
		{'~', '9', NOISE_TOKEN},      {'a', ' ', NOISE_ANYTHING},  {'"', 'b', NOISE_ANYTHING},
		{0x80, 0x81, NOISE_ANYTHING}, {'\n', '1', NOISE_ANYTHING},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(rddr_noise_place(cases[i].a, cases[i].b), cases[i].place);
}

/* Where the spans of a pair are, as a line of numbers: the same number, the same span; noisy ones in brackets. */
static void spans(const char *a, const char *b, char *out)
{
	struct noise_walk walk = {0};
	size_t len = strlen(a);
	int number = 0;

	assert_int_equal(len, strlen(b));
	for (size_t i = 0; i < len; i++) {
		if (i == 0 || !rddr_noise_goes_on(&walk, rddr_noise_place((uint8_t)a[i], (uint8_t)b[i])))
			number++;
		rddr_noise_step(&walk, (uint8_t)a[i], (uint8_t)b[i]);
		*out++ = (char)((walk.noisy ? 'A' : 'a') + number - 1);
	}
	*out = '\0';
}

static void spans_hang_together(void **state)
{
	static const struct {
		const char *a, *b, *spans; /* a letter a span, upper-case from its first difference on */
	} cases[] = {
		{"", "", ""},
		{"abc", "abc", "aaa"},
		{"a,b", "a,b", "abc"},
		{"ab", "ac", "aA"},
		{"ab,cd", "xb,cy", "AAbcC"},
		{"a1b2c", "a3b4c", "aAAAA"},
		{"a/b", "a/c", "abC"},
		{"a/b", "axb", "aAA"},
		{"a b", "a!b", "aBc"}, /* what no word is made of stays alone */
		{"a \x01"
		 "b",
		 "a!\x02"
		 "b",
		 "aBBc"},
		{"a x", "a!y", "aBB"}, /* but differences in a row are one */
		{" xa", "!yb", "AAA"},
		{"x a", "y!a", "AAb"},
		{" xa", "!ya", "AAA"}, /* and a word hangs on to one of them */
	};
	char got[32];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		spans(cases[i].a, cases[i].b, got);
		assert_string_equal(got, cases[i].spans);
	}
}

/* Passing over text in any pieces leaves the walk where stepping over each byte does. */
static void passing_is_stepping(void **state)
{
	static const char *const texts[] = {"",	       "word",	   "two words", "ends, ",  ", begins",
					    "a,b-c_d", "\x01\x02", "-",		"abc=def", "0123456789abcdefGHIJ-_"};
	static const struct {
		uint8_t a, b;
	} before[] = {{'a', 'a'}, {'a', 'b'}, {' ', ' '}, {' ', '!'}, {0x80, 'x'}};

	(void)state;
	for (size_t k = 0; k < sizeof(before) / sizeof(before[0]); k++) {
		for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
			const uint8_t *text = (const uint8_t *)texts[i];
			size_t len = strlen(texts[i]);

			for (size_t cut = 0; cut <= len; cut++) {
				struct noise_walk stepped = {0}, passed = {0};

				rddr_noise_step(&stepped, before[k].a, before[k].b);
				rddr_noise_step(&passed, before[k].a, before[k].b);
				for (size_t p = 0; p < len; p++)
					rddr_noise_step(&stepped, text[p], text[p]);
				rddr_noise_pass(&passed, text, cut);
				rddr_noise_pass(&passed, text + cut, len - cut);
				assert_int_equal(stepped.last, passed.last);
				assert_int_equal(rddr_noise_class(&stepped), rddr_noise_class(&passed));
				assert_int_equal(stepped.noisy, passed.noisy);
			}
		}
	}
}

static enum noise_class class_of(const char *a, const char *b)
{
	struct noise_walk walk = {0};

	for (size_t i = 0; a[i]; i++)
		rddr_noise_step(&walk, (uint8_t)a[i], (uint8_t)b[i]);
	return rddr_noise_class(&walk);
}

static void the_class_is_the_narrowest(void **state)
{
	static const struct {
		const char *a, *b;
		enum noise_class class;
	} cases[] = {
		{"17", "42", NOISE_CLASS_DIGITS},
		{"1a", "42", NOISE_CLASS_LOWER_HEX},
		{"17", "F2", NOISE_CLASS_UPPER_HEX},
		{"1g", "42", NOISE_CLASS_ALNUM},
		{"1G", "42", NOISE_CLASS_ALNUM},
		{"1a", "4B", NOISE_CLASS_TOKEN}, /* both cases */
		{"1-", "42", NOISE_CLASS_TOKEN},
		{"1_2", "4_3", NOISE_CLASS_DIGITS}, /* a separator */
		{"a-2", "b-3", NOISE_CLASS_LOWER_HEX},
		{"z-2", "b-3", NOISE_CLASS_TOKEN}, /* may be one of the token's own */
		{"1.", "42", NOISE_CLASS_TOKEN},
		{"1 ", "42", NOISE_CLASS_PRINTABLE},
		{"!", "~", NOISE_CLASS_PRINTABLE},
		{"1\t", "42", NOISE_CLASS_ANY},
		{"1", "\x7f", NOISE_CLASS_ANY},
		{"1", "\xe4", NOISE_CLASS_ANY},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(class_of(cases[i].a, cases[i].b), cases[i].class);
}

/* Each class holds the ones before it, so that a byte that fits early fits to the end. */
static void classes_only_grow(void **state)
{
	(void)state;
	for (int c = 0; c < 256; c++) {
		for (int class = 0; class < NOISE_CLASSES; class ++) {
			bool fits = rddr_noise_fits((enum noise_class) class, 0x80, 0x81, (uint8_t)c);

			for (int wider = class + 1; fits && wider < NOISE_CLASSES; wider++) {
				/* Neither of the two kinds of hex holds the other. */
				if (class == NOISE_CLASS_LOWER_HEX && wider == NOISE_CLASS_UPPER_HEX)
					continue;
				assert_true(rddr_noise_fits((enum noise_class)wider, 0x80, 0x81, (uint8_t)c));
			}
		}
		assert_true(rddr_noise_fits(NOISE_CLASS_ANY, 0x80, 0x81, (uint8_t)c));
	}
}

static void agreed_places_admit_no_more_than_a_word(void **state)
{
	(void)state;
	/* Of the pair's own bytes each fits, whatever the class. */
	assert_true(rddr_noise_fits(NOISE_CLASS_DIGITS, '-', '-', '-'));
	assert_true(rddr_noise_fits(NOISE_CLASS_DIGITS, '!', '?', '?'));
	/* A word's place takes a token's byte of the class ... */
	assert_true(rddr_noise_fits(NOISE_CLASS_ANY, 'a', 'a', '+'));
	assert_false(rddr_noise_fits(NOISE_CLASS_DIGITS, 'a', 'a', '+'));
	/* ... and no other, even where the class has it. */
	assert_false(rddr_noise_fits(NOISE_CLASS_ANY, 'a', 'a', '"'));
	assert_true(rddr_noise_fits(NOISE_CLASS_ANY, 'a', 'b', '"'));
	assert_false(rddr_noise_may_fit('a', 'a', '"'));
	assert_true(rddr_noise_may_fit('a', 'b', '"'));
	/* What is no word's is the same for all. */
	assert_false(rddr_noise_may_fit(',', ',', 'a'));
	assert_false(rddr_noise_fits(NOISE_CLASS_ANY, ',', ',', 'a'));
}

static void classes_have_names(void **state)
{
	(void)state;
	for (int class = 0; class < NOISE_CLASSES; class ++)
		assert_true(strlen(rddr_noise_class_name((enum noise_class) class)) > 0);
}

static void the_first_difference_is_found(void **state)
{
	enum { LEN = 1100 };
	uint8_t *a = malloc(LEN), *b = malloc(LEN);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	for (size_t i = 0; i < LEN; i++)
		a[i] = b[i] = (uint8_t)(i * 7);
	assert_int_equal(rddr_noise_alike(a, b, 0), 0);
	assert_int_equal(rddr_noise_alike(NULL, NULL, 0), 0);
	for (size_t len = 1; len <= LEN; len += 1 + len / 9) {
		/* Ends where the memory does. */
		const uint8_t *x = a + LEN - len, *y = b + LEN - len;

		assert_int_equal(rddr_noise_alike(x, y, len), len);
		for (size_t at = 0; at < len; at++) {
			b[LEN - len + at] ^= 1;
			b[LEN - 1] ^= 2;
			assert_int_equal(rddr_noise_alike(x, y, len), at);
			b[LEN - 1] ^= 2;
			b[LEN - len + at] ^= 1;
		}
	}
	free(a);
	free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_told_apart), cmocka_unit_test(spans_hang_together),
		cmocka_unit_test(passing_is_stepping),	 cmocka_unit_test(the_class_is_the_narrowest),
		cmocka_unit_test(classes_only_grow),	 cmocka_unit_test(agreed_places_admit_no_more_than_a_word),
		cmocka_unit_test(classes_have_names),	 cmocka_unit_test(the_first_difference_is_found),
	};

	return cmocka_run_group_tests_name("noise", tests, NULL, NULL);
}
