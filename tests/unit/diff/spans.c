/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spans.h"

/* The texts of up to four instances, and what comes out; spans are shown in the first text as [..]. */
struct row {
	const char *name;
	const char *texts[4];
	enum spans_verdict verdict;
	const char *marked;
	const char *why;
};

static const struct row rows[] = {
	{"the same", {"abc", "abc", "abc"}, SPANS_SAME, "abc", NULL},
	{"nothing", {"", "", ""}, SPANS_SAME, "", NULL},
	{"a token",
	 {"<b nonce=\"aB3dEfgH12\">", "<b nonce=\"aX9kLmnO77\">", "<b nonce=\"Zz8yYxxW34\">"},
	 SPANS_NOISE,
	 "<b nonce=\"[aB3dEfgH12]\">",
	 NULL},
	{"a token of another length", {"n=a1b2c3", "n=f9e8d7c6", "n=0a0b0c0d"}, SPANS_NOISE, "n=[a1b2c3]", NULL},
	{"two tokens",
	 {"a=123456&b=777777.", "a=654321&b=888888.", "a=111111&b=222222."},
	 SPANS_NOISE,
	 "a=[123456]&b=[777777].",
	 NULL},
	{"the ends of two words agree by chance",
	 {"x 7abc9 y", "x 7def9 y", "x 0123f y"},
	 SPANS_NOISE,
	 "x [7abc9] y",
	 NULL},
	{"a time, not aligned to its fields",
	 {"at 10:00:58, bye", "at 10:00:59, bye", "at 10:01:00, bye"},
	 SPANS_NOISE,
	 "at [10:00:58], bye",
	 NULL},
	{"a date with a time",
	 {"2024-11-22T10:00:58.120Z", "2024-11-22T10:00:58.129Z", "2024-11-22T10:00:59.001Z"},
	 SPANS_NOISE,
	 "[2024-11-22T10:00:58.120Z]",
	 NULL},
	{"a duration", {"took 9.7 ms", "took 9.8 ms", "took 10.1 ms"}, SPANS_NOISE, "took [9.7] ms", NULL},
	{"a number grows by a digit", {"9 users", "8 users", "10 users"}, SPANS_NOISE, "[9] users", NULL},
	{"paths keep their words",
	 {"/item/1234/edit?x", "/item/5678/edit?x", "/item/9876/edit?x"},
	 SPANS_NOISE,
	 "/item/[1234]/edit?x",
	 NULL},
	{"another path", {"/item/1234/edit", "/item/5678/edit", "/user/9876/edit"}, SPANS_CHANCE, NULL, "outside"},
	{"two ids in a path",
	 {"/a/1234/edit/77 .", "/a/5678/edit/88 .", "/a/5678/drop/99 ."},
	 SPANS_CHANCE,
	 NULL,
	 "outside"},
	{"words between two spans",
	 {"id 1234 and 77 end", "id 5678 and 88 end", "id 5678 or 99 end"},
	 SPANS_CHANCE,
	 NULL,
	 "outside"},
	{"a mark of base64 agrees at the edge",
	 {"t=\"/aB3dEfgH12k\"", "t=\"/Xz9kLmnO77q\"", "t=\"qZz8yYxxW34p\""},
	 SPANS_NOISE,
	 "t=\"[/aB3dEfgH12k]\"",
	 NULL},
	{"percent escapes count as one",
	 {"s=aB3dEfgH12kAAAABBBB", "s=Xz9kLmnO77q12345678", "s=qZ%2F8yYx%2BW34%2F5%3Dp%2Fz%2F"},
	 SPANS_NOISE,
	 "s=[aB3dEfgH12kAAAABBBB]",
	 NULL},
	{"an escape in front of a token is not taken apart",
	 {"sid=s%3Am3_mf-6WnQ; P", "sid=s%3A_3x8oaCOJm; P", "sid=s%3AaLUnfynfks; P"},
	 SPANS_NOISE,
	 "sid=s[%3Am3_mf-6WnQ]; P",
	 NULL},
	{"markup is no hex", {"n=1a2b3c4d", "n=5e6f7a8b", "n=<b>x</b>"}, SPANS_DIFFER, NULL, "form"},
	{"escaped markup is no hex",
	 {"n=1a2b3c4d5e6f", "n=5e6f7a8b9c0d", "n=%3Cb%3E123456"},
	 SPANS_DIFFER,
	 NULL,
	 "form"},
	{"letters are no number",
	 {"n=12345678901234", "n=98765432109876", "n=secretpassword"},
	 SPANS_DIFFER,
	 NULL,
	 "form"},
	{"too long", {"n=12345678", "n=87654321", "n=1234567812345678"}, SPANS_DIFFER, NULL, "longer"},
	{"too short", {"n=12345678", "n=87654321", "n=123"}, SPANS_DIFFER, NULL, "shorter"},
	{"nothing where the pair has something", {"n=1;", "n=2;", "n=;"}, SPANS_DIFFER, NULL, "shorter"},
	{"more behind the pair's text",
	 {"n=1234 ok", "n=5678 ok", "n=1234 ok and more"},
	 SPANS_DIFFER,
	 NULL,
	 "outside"},
	{"the pair agrees by chance", {"n=7;", "n=7;", "n=4;"}, SPANS_CHANCE, "n=[7];", "outside"},
	{"one of two agrees by chance",
	 {"a=1234 b=77 c", "a=5678 b=77 c", "a=1111 b=42 c"},
	 SPANS_CHANCE,
	 "a=[1234] b=[77] c",
	 "outside"},
	{"no chance agreement", {"hello", "hello", "a secret that is long"}, SPANS_DIFFER, NULL, "outside"},
	{"a UUID",
	 {"6f1e8a52-0b1c-4b7e-9c55-0123456789ab", "0a1b2c3d-4e5f-4a7b-8c9d-abcdefabcdef",
	  "ffffffff-1111-4222-8333-444444444444"},
	 SPANS_NOISE,
	 "[6f1e8a52-0b1c-4b7e-9c55-0123456789ab]",
	 NULL},
	{"no UUID",
	 {"6f1e8a52-0b1c-4b7e-9c55-0123456789ab", "0a1b2c3d-4e5f-4a7b-8c9d-abcdefabcdef",
	  "the-password-of-root-is-hunter2-okay"},
	 SPANS_DIFFER,
	 NULL,
	 "form"},
	{"other scripts stay whole",
	 {"<i>\xc3\xa4\xc3\xb6</i>", "<i>\xc3\xa4\xc3\xbc</i>", "<i>\xc3\x9f\xc3\xb6</i>"},
	 SPANS_NOISE,
	 "<i>[\xc3\xa4\xc3\xb6]</i>",
	 NULL},
	{"put in", {"Hello, world", "Hello bob, world", "Hello joe, world"}, SPANS_NOISE, "[Hello], world", NULL},
	{"the fourth", {"n=1a2b3c4d", "n=5e6f7a8b", "n=00000000", "n=!!!!!!!!"}, SPANS_DIFFER, NULL, "form"},
};

static unsigned fill(const struct row *row, struct slice texts[4])
{
	unsigned n = 0;

	for (; n < 4 && row->texts[n]; n++) {
		size_t len = strlen(row->texts[n]);

		/* Copies of their exact size: what looks past them is seen. */
		texts[n] = (struct slice){.data = memcpy(malloc(len + !len), row->texts[n], len), .len = len};
	}
	return n;
}

static void empty(struct slice texts[4], unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free((void *)texts[i].data);
}

static char *mark(struct slice text, const struct spans_result *r)
{
	char *out = calloc(1, text.len + 2 * r->n + 1);
	size_t at = 0, from = 0;

	if (!out || !text.data)
		return out;
	for (size_t k = 0; k < r->n; k++) {
		const struct span *s = &r->spans[k];

		memcpy(out + at, text.data + from, s->at - from);
		at += s->at - from;
		out[at++] = '[';
		memcpy(out + at, text.data + s->at, s->len);
		at += s->len;
		out[at++] = ']';
		from = s->at + s->len;
	}
	memcpy(out + at, text.data + from, text.len - from);
	return out;
}

static void test_rows(void **state)
{
	static const char *const names[] = {"same", "noise", "chance", "differ"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct spans_result *r = calloc(1, sizeof(*r));
		struct slice texts[4] = {{0}};
		unsigned n = fill(&rows[i], texts);
		enum spans_verdict verdict = rddr_spans_compare(texts, n, 0, true, r);

		if (verdict != rows[i].verdict) {
			char *marked = mark(texts[0], r);

			fail_msg("%s: %s, %s, %s", rows[i].name, names[verdict], marked, r->why);
		}
		if (rows[i].marked) {
			char *marked = mark(texts[0], r);

			if (strcmp(marked, rows[i].marked) != 0)
				fail_msg("%s: %s", rows[i].name, marked);
			free(marked);
		}
		if (rows[i].why && !strstr(r->why, rows[i].why))
			fail_msg("%s: %s", rows[i].name, r->why);
		if (verdict >= SPANS_CHANCE) {
			assert_true(r->instance >= 2);
			assert_true(r->offset <= texts[r->instance].len);
		}
		empty(texts, n);
		free(r);
	}
}

static enum spans_verdict compare(const char *a, const char *b, const char *c, struct spans_result *r)
{
	const struct slice texts[] = {slice_of(a), slice_of(b), slice_of(c)};

	return rddr_spans_compare(texts, 3, 0, true, r);
}

static uint64_t skeleton(const char *text, const struct spans_result *r)
{
	return rddr_spans_skeleton(slice_of(text), r, rddr_spans_seed());
}

/* What is noise by the pair has the hash that chance agreement is asked with. */
static void test_skeleton(void **state)
{
	struct spans_result noise, chance, other;

	(void)state;
	assert_int_equal(compare("t 12 of 3", "t 45 of 3", "t 78 of 3", &noise), SPANS_NOISE);
	assert_int_equal(compare("t 88 of 3", "t 88 of 3", "t 45 of 3", &chance), SPANS_CHANCE);
	assert_true(skeleton("t 12 of 3", &noise) == skeleton("t 88 of 3", &chance));
	assert_int_equal(compare("t 12 of 4", "t 45 of 4", "t 78 of 4", &other), SPANS_NOISE);
	assert_true(skeleton("t 12 of 3", &noise) != skeleton("t 12 of 4", &other));
	assert_int_equal(compare("a 1 of 23", "a 2 of 45", "a 3 of 67", &noise), SPANS_NOISE);
	assert_int_equal(compare("a 4 of 77", "a 5 of 77", "a 6 of 88", &chance), SPANS_CHANCE);
	assert_true(skeleton("a 1 of 23", &noise) == skeleton("a 4 of 77", &chance));
}

static void test_values(void **state)
{
	struct spans_result r = {0};

	(void)state;
	assert_int_equal(compare("a=1234&b=xyzxyz;", "a=56789&b=uvwuvw;", "a=0&b=<script>;", &r), SPANS_DIFFER);
	assert_int_equal(compare("a=1234&b=xyzxyz;", "a=56789&b=uvwuvw;", "a=000&b=abcabc;", &r), SPANS_NOISE);
	assert_int_equal(r.n, 2);
	assert_true(slice_equal(r.values[0][0], slice_of("1234")));
	assert_true(slice_equal(r.values[0][1], slice_of("56789")));
	assert_true(slice_equal(r.values[0][2], slice_of("000")));
	assert_true(slice_equal(r.values[1][2], slice_of("abcabc")));
}

static void test_no_filter(void **state)
{
	const struct slice texts[] = {slice_of("abc"), slice_of("abd"), slice_of("abc")};
	struct spans_result r = {0};

	(void)state;
	assert_int_equal(rddr_spans_compare(texts, 3, 0, false, &r), SPANS_DIFFER);
	assert_int_equal(r.instance, 1);
	assert_int_equal(r.other, 0);
	assert_int_equal(r.offset, 2);
	assert_non_null(strstr(r.why, "\"abd\", where \"abc\""));
	assert_int_equal(rddr_spans_compare(texts, 3, 1U << 1, false, &r), SPANS_SAME);
	assert_int_equal(rddr_spans_compare(texts, 3, 1U << 0, false, &r), SPANS_DIFFER);
	assert_int_equal(r.instance, 2);
	assert_int_equal(r.other, 1);
}

/* Whoever stands alone is the one that differs, whatever its number. */
static void test_sides(void **state)
{
	static const struct {
		const char *texts[4];
		unsigned who, other;
		const char *why;
	} cases[] = {
		{{"a", "a", "b", "a"}, 2, 0, "\"b\", where \"a\" was expected"},
		{{"b", "a", "a", "a"}, 0, 1, "\"b\", where \"a\" was expected"},
		{{"a", "a", "b", "b"}, 2, 0, "\"b\", where \"a\" was expected"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice texts[4];
		struct spans_result r;

		for (unsigned k = 0; k < 4; k++)
			texts[k] = slice_of(cases[i].texts[k]);
		assert_int_equal(rddr_spans_compare(texts, 4, 0, false, &r), SPANS_DIFFER);
		assert_int_equal(r.instance, cases[i].who);
		assert_int_equal(r.other, cases[i].other);
		assert_string_equal(r.why, cases[i].why);
		/* The same when one takes no part. */
		assert_int_equal(rddr_spans_compare(texts, 4, 1u << 3, false, &r), SPANS_DIFFER);
		assert_int_equal(r.instance, cases[i].who);
	}
}

static void test_absent_other(void **state)
{
	const struct slice texts[] = {slice_of("n=1a2b"), slice_of("n=3c4d"), slice_of(""), slice_of("n=5e6f")};
	struct spans_result r = {0};

	(void)state;
	assert_int_equal(rddr_spans_compare(texts, 4, 1U << 2, true, &r), SPANS_NOISE);
	assert_int_equal(r.values[0][2].len, 0);
	assert_int_equal(rddr_spans_compare(texts, 4, 0, true, &r), SPANS_DIFFER);
	assert_int_equal(r.instance, 2);
}

static uint32_t rnd(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 16);
}

/* A line of template text with k tokens of the alphabet; the texts of all differ in the tokens alone. */
static size_t write_line(char *out, unsigned k, const char *alphabet, unsigned len, unsigned vary, uint64_t *seed)
{
	size_t at = 0, letters = strlen(alphabet);

	for (unsigned i = 0; i < k; i++) {
		at += (size_t)sprintf(out + at, "<input name=\"f%u\" value=\"", i);
		for (unsigned j = 0, n = len + (vary ? rnd(seed) % vary : 0); j < n; j++)
			out[at++] = alphabet[rnd(seed) % letters];
		at += (size_t)sprintf(out + at, "\"> and some text, ");
	}
	return at;
}

/* Random tokens of every usual alphabet never stop an honest instance. */
static void test_honest(void **state)
{
	static const struct {
		const char *alphabet;
		unsigned len, vary, tries;
	} kinds[] = {
		{"0123456789abcdef", 32, 0, 3000},
		{"0123456789abcdef", 12, 0, 3000},
		{"0123456789abcdefghijklmnopqrstuvwxyz", 9, 3, 3000},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 24, 0, 3000},
		{"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", 44, 0, 3000},
		{"0123456789", 5, 4, 3000},
	};
	static char text[3][65536];
	struct spans_result *r = calloc(1, sizeof(*r));
	uint64_t seed = 88172645463325252U;

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		unsigned wrong = 0;

		for (unsigned t = 0; t < kinds[i].tries; t++) {
			struct slice texts[3];

			for (unsigned w = 0; w < 3; w++) {
				size_t len = write_line(text[w], 1 + t % 4, kinds[i].alphabet, kinds[i].len,
							kinds[i].vary, &seed);

				texts[w] = (struct slice){(const uint8_t *)text[w], len};
			}
			wrong += rddr_spans_compare(texts, 3, 0, true, r) != SPANS_NOISE;
			if (wrong == 1 && r->why[0]) {
				print_message("%zu: %s\n%.*s\n%.*s\n%.*s\n", i, r->why, (int)texts[0].len, text[0],
					      (int)texts[1].len, text[1], (int)texts[2].len, text[2]);
				r->why[0] = '\0';
			}
		}
		assert_int_equal(wrong, 0);
	}
	free(r);
}

/* More differences than are told apart are one. */
static void test_many(void **state)
{
	static char text[3][65536];
	struct spans_result *r = calloc(1, sizeof(*r));
	struct slice texts[3];
	uint64_t seed = 7;

	(void)state;
	for (unsigned k = 30; k < 400; k += 37) {
		for (unsigned w = 0; w < 3; w++)
			texts[w] = (struct slice){(const uint8_t *)text[w],
						  write_line(text[w], k, "0123456789abcdef", 32, 0, &seed)};
		assert_int_equal(rddr_spans_compare(texts, 3, 0, true, r), SPANS_NOISE);
		assert_true(r->n >= 1 && r->n <= SPANS_MOST);
	}
	free(r);
}

static size_t repeat(char *text, size_t at, const char *with, size_t times)
{
	for (size_t i = 0; i < times; i++)
		at = (size_t)(stpcpy(text + at, with) - text);
	return at;
}

/*
 * A pair that is not honest has long noise, and the third a line in which the piece behind it stands everywhere. Were
 * each place as much work as the value in front of it, this would take the better part of an hour.
 */
static void test_work(void **state)
{
	static const struct {
		const char *noise[2], *ends[2], *third;
	} cases[] = {
		{{"x", "y"}, {"<!</td><td>1", "?</td><td>2"}, "7</td><td>"},
		/* Places within escapes, and a piece that overlaps itself. */
		{{"%41", "%42"}, {"1%4%4%4%4%4 1", "2%4%4%4%4%4 2"}, "%4"},
		{{"a", "b"}, {".aaaaaaaaaaaa,1", ".aaaaaaaaaaaa,2"}, "a"},
	};
	enum { TIMES = 1 << 19, ROOM = 16 * TIMES }; /* and a zero byte */
	char *text[3] = {malloc(ROOM), malloc(ROOM), malloc(ROOM)};
	struct spans_result *r = calloc(1, sizeof(*r));

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice texts[3];
		size_t len[3];

		for (unsigned w = 0; w < 2; w++) {
			len[w] = repeat(text[w], 0, "<tr>", 1);
			len[w] = repeat(text[w], len[w], cases[i].noise[w], TIMES);
			len[w] = repeat(text[w], len[w], cases[i].ends[w], 1);
		}
		len[2] = repeat(text[2], 0, "<tr>", 1);
		len[2] = repeat(text[2], len[2], cases[i].third, TIMES);
		for (unsigned w = 0; w < 3; w++)
			texts[w] = (struct slice){(const uint8_t *)text[w], len[w]};
		assert_int_not_equal(rddr_spans_compare(texts, 3, 0, true, r), SPANS_NOISE);
	}
	for (unsigned w = 0; w < 3; w++)
		free(text[w]);
	free(r);
}

/*
 * A long piece that stands wherever an escape is cut is not compared again for each of them: behind 64 KiB the place
 * that would fit is not looked for any more.
 */
static void test_long_piece(void **state)
{
	enum { NOISE = 5000, CUT = 10, ROOM = 1 << 18 };
	static const struct {
		size_t piece;
		enum spans_verdict verdict;
	} cases[] = {{50, SPANS_CHANCE}, {12000, SPANS_DIFFER}};
	struct spans_result *r = calloc(1, sizeof(*r));
	char *text[4];

	(void)state;
	for (unsigned w = 0; w < 4; w++)
		text[w] = malloc(ROOM);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice texts[4];

		for (unsigned w = 0; w < 4; w++) {
			size_t len = repeat(text[w], 0, "<", 1);

			if (w == 2) {
				/* The piece begins within escapes, and then stands where the value fits. */
				len = repeat(text[w], len, "&#x2F;", CUT + cases[i].piece);
				len = repeat(text[w], len, "Z", 1);
			} else {
				len = repeat(text[w], len, "Zc9/", w == 1 ? NOISE : 1);
				len = repeat(text[w], len, "Zc9Z", 1);
			}
			len = repeat(text[w], len, ";&#x2F", cases[i].piece);
			len = repeat(text[w], len, w == 3 ? ";2222<" : ";1111<", 1);
			texts[w] = (struct slice){(const uint8_t *)text[w], len};
		}
		assert_int_equal(rddr_spans_compare(texts, 4, 0, true, r), cases[i].verdict);
	}
	for (unsigned w = 0; w < 4; w++)
		free(text[w]);
	free(r);
}

static void test_show(void **state)
{
	char buf[SPANS_SHOWN], longer[200];

	(void)state;
	assert_string_equal(rddr_spans_show(slice_of("a\tb"), buf), "\"a\\x09b\"");
	memset(longer, 0xff, sizeof(longer));
	rddr_spans_show((struct slice){(const uint8_t *)longer, sizeof(longer)}, buf);
	assert_true(strlen(buf) < SPANS_SHOWN);
	assert_non_null(strstr(buf, "..."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),	  cmocka_unit_test(test_skeleton),     cmocka_unit_test(test_values),
		cmocka_unit_test(test_no_filter), cmocka_unit_test(test_absent_other), cmocka_unit_test(test_honest),
		cmocka_unit_test(test_many),	  cmocka_unit_test(test_show),	       cmocka_unit_test(test_sides),
		cmocka_unit_test(test_work),	  cmocka_unit_test(test_long_piece),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
