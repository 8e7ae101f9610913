/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tables.h"
#include "tokens.h"

/* A session that has the core's own tables, and counts. */
struct rddr_session {
	char service[32];
	uint8_t client;
	uint64_t counted[RDDR_COUNTED];
};

static struct rddr_table *table(struct rddr_session *s, const char *name, size_t entries)
{
	return rddr_tables_table(rddr_tables_of(s->service), name, entries);
}

static void client(const struct rddr_session *s, uint8_t address[16])
{
	memset(address, s->client, 16);
}

static void count(struct rddr_session *s, enum rddr_counted what, uint64_t n)
{
	s->counted[what] += n;
}

/* Seconds that the tests let pass: what was put for no longer than that is gone. */
static uint32_t passed;
static struct {
	uint8_t key[1024];
	size_t len;
	uint32_t until;
} put_until[64];

static void note_expiry(const void *key, size_t len, uint32_t ttl)
{
	size_t k = 0;

	while (k < 63 && put_until[k].len && (put_until[k].len != len || memcmp(put_until[k].key, key, len) != 0))
		k++;
	memcpy(put_until[k].key, key, len);
	put_until[k].len = len;
	put_until[k].until = passed + ttl;
}

static bool timed_put(struct rddr_table *t, const void *key, size_t keylen, const void *value, size_t len, uint32_t ttl)
{
	note_expiry(key, keylen, ttl);
	return rddr_tables_put(t, key, keylen, value, len, 3600);
}

static bool timed_get(struct rddr_table *t, const void *key, size_t keylen, void *value, size_t *len)
{
	for (size_t k = 0; k < 63; k++) {
		if (put_until[k].len == keylen && memcmp(put_until[k].key, key, keylen) == 0 &&
		    put_until[k].until <= passed)
			return false;
	}
	return rddr_tables_get(t, key, keylen, value, len);
}

static const struct rddr_host timed_host = {
	.size = sizeof(timed_host),
	.table = table,
	.table_get = timed_get,
	.table_put = timed_put,
	.table_count = rddr_tables_count,
	.client = client,
	.count = count,
};

static const struct rddr_host host = {
	.size = sizeof(host),
	.table = table,
	.table_get = rddr_tables_get,
	.table_put = rddr_tables_put,
	.table_count = rddr_tables_count,
	.client = client,
	.count = count,
};

static struct rules_settings settings = {.token_min = 8, .token_ttl = 60, .token_max = 1000};

static struct tokens *fresh(struct rddr_session *s, unsigned n)
{
	static unsigned number;
	struct tokens *t = NULL;

	snprintf(s->service, sizeof(s->service), "s%u", number++);
	assert_int_equal(rddr_tokens_new(&(struct tokens_conf){&host, s, &settings, n}, &t), 0);
	return t;
}

static void learn(struct tokens *t, const char *a, const char *b, const char *c)
{
	const struct slice values[] = {slice_of(a), slice_of(b), slice_of(c)};

	rddr_tokens_learn(t, values);
}

/* What each instance would be sent. */
struct rewriting {
	struct slice text;
	size_t at;
	unsigned n, found;
	char out[3][4096];
};

static void add(char *out, const void *data, size_t len)
{
	size_t at = strlen(out);

	memcpy(out + at, data, len);
	out[at + len] = '\0';
}

static void on_token(void *ctx, size_t offset, size_t len, const struct slice values[])
{
	struct rewriting *r = ctx;

	assert_true(offset >= r->at && offset + len <= r->text.len);
	for (unsigned i = 0; i < r->n; i++) {
		add(r->out[i], r->text.data + r->at, offset - r->at);
		add(r->out[i], values[i].data, values[i].len);
	}
	r->at = offset + len;
	r->found++;
}

/* The texts are JSON. */
static bool in_json;

static struct rewriting rewrite(struct tokens *t, const char *text)
{
	struct rewriting r = {.text = slice_of(text), .n = 3};

	rddr_tokens_find(t, r.text, in_json, on_token, &r);
	for (unsigned i = 0; i < 3; i++)
		add(r.out[i], r.text.data + r.at, r.text.len - r.at);
	return r;
}

static void check(struct tokens *t, const char *text, const char *second, const char *third)
{
	struct rewriting r = rewrite(t, text);

	assert_string_equal(r.out[0], text);
	assert_string_equal(r.out[1], second);
	assert_string_equal(r.out[2], third);
}

#define A "aaaa1111aaaa"
#define B "bbbb2222bbbb"
#define C "cccc3333cccc"

static const struct {
	const char *text, *second, *third;
} places[] = {
	{A, B, C},
	{"Cookie: sid=" A "; other=1", "Cookie: sid=" B "; other=1", "Cookie: sid=" C "; other=1"},
	{"GET /x/" A "/y?t=" A "&u=2 HTTP/1.1", "GET /x/" B "/y?t=" B "&u=2 HTTP/1.1",
	 "GET /x/" C "/y?t=" C "&u=2 HTTP/1.1"},
	{"{\"csrf\":\"" A "\",\"n\":1}", "{\"csrf\":\"" B "\",\"n\":1}", "{\"csrf\":\"" C "\",\"n\":1}"},
	{"a=1&_csrf=" A, "a=1&_csrf=" B, "a=1&_csrf=" C},
	{"next=%2Flogin%3Ftoken%3D" A "%26x%3D1", "next=%2Flogin%3Ftoken%3D" B "%26x%3D1",
	 "next=%2Flogin%3Ftoken%3D" C "%26x%3D1"},
	/* not as whole words */
	{"x" A, "x" A, "x" A},
	{A "x", A "x", A "x"},
	{"-" A, "-" A, "-" A},
	{A "_1", A "_1", A "_1"},
	{"\\n" A, "\\n" A, "\\n" A},
	{"aaaa1111aaa", "aaaa1111aaa", "aaaa1111aaa"},
	{"", "", ""},
	{"%", "%", "%"},
	{"%2", "%2", "%2"},
	{"\\", "\\", "\\"},
	{"==", "==", "=="},
};

static void finds_whole_words(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	assert_false(rddr_tokens_known(t));
	check(t, A, A, A);
	learn(t, A, B, C);
	assert_true(rddr_tokens_known(t));
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_LEARNT], 1);
	learn(t, A, B, C);
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_LEARNT], 1);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		check(t, places[i].text, places[i].second, places[i].third);
	rddr_tokens_free(&t);
	assert_null(t);
}

/* base64 and its kind: pieces joined, as they stand, percent-encoded, with slashes escaped. */
static void joined_pieces(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	learn(t, "ab+cd/ef12==", "gh/ij+kl34==", "mn0op0qr5678");
	check(t, "t=ab+cd/ef12==", "t=gh/ij+kl34==", "t=mn0op0qr5678");
	check(t, "t=ab%2Bcd%2Fef12%3D%3D&u", "t=gh%2Fij%2Bkl34%3D%3D&u", "t=mn0op0qr5678&u");
	check(t, "t=ab%2bcd%2fef12%3d%3d", "t=gh%2Fij%2Bkl34%3D%3D", "t=mn0op0qr5678");
	check(t, "{\"t\":\"ab+cd\\/ef12==\"}", "{\"t\":\"gh\\/ij+kl34==\"}", "{\"t\":\"mn0op0qr5678\"}");
	check(t, "{\"t\":\"ab+cd\\/ef12\\u003d\\u003D\"}", "{\"t\":\"gh\\/ij+kl34==\"}", "{\"t\":\"mn0op0qr5678\"}");
	check(t, "ab+cd/ef12=", "ab+cd/ef12=", "ab+cd/ef12=");
	/* A signed cookie, as it was set and as it comes back. */
	learn(t, "s%3AOaYjYwNr1x.Qm9%2Bzz", "s%3APbZkZxOs2y.Rn0%2Fyy", "s%3AQcAlAyPt3z.So1%2Bxx");
	check(t, "connect.sid=s%3AOaYjYwNr1x.Qm9%2Bzz", "connect.sid=s%3APbZkZxOs2y.Rn0%2Fyy",
	      "connect.sid=s%3AQcAlAyPt3z.So1%2Bxx");
	rddr_tokens_free(&t);
}

static void learns_by_words(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	learn(t, "sid=" A "; Path=/; HttpOnly", "sid=" B "; Path=/; HttpOnly", "sid=" C "; Path=/; HttpOnly");
	check(t, "Cookie: sid=" A, "Cookie: sid=" B, "Cookie: sid=" C);
	check(t, "x=" A, "x=" B, "x=" C);
	learn(t, "/order/1111222233/pay", "/order/4444555566/pay", "/order/7777888899/pay");
	check(t, "GET /order/1111222233/cancel", "GET /order/4444555566/cancel", "GET /order/7777888899/cancel");
	/* HTML's references, which a browser sends as bytes. */
	learn(t, "Zm9v&#x2F;YmFy&#43;&#x3D;", "YmF6&#x2F;cXV4&#43;&#x3D;", "cXV1eA&#43;Zm9v&#x3D;");
	check(t, "c=Zm9v%2FYmFy%2B%3D", "c=YmF6%2FcXV4%2B%3D", "c=cXV1eA%2BZm9v%3D");
	/* Too short, the same for all, not as many words: nothing. */
	uint64_t learnt = s.counted[RDDR_COUNTED_TOKENS_LEARNT];
	learn(t, "short1", "short2", "short3");
	learn(t, "the-same-for-all", "the-same-for-all", "the-same-for-all");
	learn(t, "one-word-here", "two words here", "one-word-there");
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_LEARNT], learnt);
	check(t, "short1", "short1", "short1");
	/* An absent instance. */
	const struct slice values[] = {slice_of("present-0000"), slice_of("present-1111"), {0}};
	rddr_tokens_learn(t, values);
	check(t, "present-0000", "present-1111", "present-0000");
	rddr_tokens_free(&t);
}

/* Tokens that begin like others: the longest wins. */
static void prefixes(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	learn(t, "abcdefgh", "bbbbbbbb", "cccccccc");
	learn(t, "abcdefgh.ijkl", "bbbbbbbb.dddd", "cccccccc.eeee");
	learn(t, "abcdefghi", "bbbbbbbbb", "ccccccccc");
	check(t, "abcdefgh abcdefgh.ijkl abcdefghi abcdefgh.zz", "bbbbbbbb bbbbbbbb.dddd bbbbbbbbb bbbbbbbb.zz",
	      "cccccccc cccccccc.eeee ccccccccc cccccccc.zz");
	rddr_tokens_free(&t);
}

static struct tokens *another(struct rddr_session *s, const struct rddr_host *with)
{
	struct tokens *t = NULL;

	assert_int_equal(rddr_tokens_new(&(struct tokens_conf){with, s, &settings, 3}, &t), 0);
	return t;
}

/* A token that is used is found in new sessions, however long ago it was learnt, and whatever else is used with it. */
static void in_use_they_do_not_expire(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	rddr_tokens_free(&t);
	t = another(&s, &timed_host);
	learn(t, A, B, C);
	learn(t, "dddd5555dddd55", "eeee5555eeee55", "ffff5555ffff55");
	for (passed = 40; passed < 400; passed += 40) {
		rddr_tokens_free(&t);
		t = another(&s, &timed_host);
		check(t, A " dddd5555dddd55", B " eeee5555eeee55", C " ffff5555ffff55");
	}
	/* Nobody used it. */
	passed += 60;
	rddr_tokens_free(&t);
	t = another(&s, &timed_host);
	check(t, A, A, A);
	rddr_tokens_free(&t);
	passed = 0;
	/* In one session: no use is of the first ones, or a round number. */
	settings.token_ttl = 3;
	t = another(&s, &timed_host);
	learn(t, A, B, C);
	for (passed = 0; passed < 10; passed++)
		check(t, A, B, C);
	rddr_tokens_free(&t);
	t = another(&s, &timed_host);
	check(t, A, B, C);
	rddr_tokens_free(&t);
	settings.token_ttl = 60;
	passed = 0;
}

/* Nor are they among the oldest, which go when the table is full. */
static void in_use_they_stay(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	learn(t, A, B, C);
	for (unsigned k = 0; k < 20000; k++) {
		char values[3][32];

		for (unsigned i = 0; i < 3; i++)
			snprintf(values[i], sizeof(values[i]), "token-%06u-%u", k, i);
		learn(t, values[0], values[1], values[2]);
		if (k % 2 == 0)
			check(t, A, B, C);
	}
	rddr_tokens_free(&t);
	t = another(&s, &host);
	check(t, A, B, C);
	check(t, "token-000000-0", "token-000000-0", "token-000000-0");
	rddr_tokens_free(&t);
}

static void scopes(void **state)
{
	struct rddr_session one = {.client = 1}, two = {.client = 2}, same = {.client = 1};
	struct tokens *a, *b = NULL, *c = NULL;

	(void)state;
	settings.token_scope = SCOPE_CLIENT;
	a = fresh(&one, 3);
	memcpy(two.service, one.service, sizeof(one.service));
	memcpy(same.service, one.service, sizeof(one.service));
	assert_int_equal(rddr_tokens_new(&(struct tokens_conf){&host, &two, &settings, 3}, &b), 0);
	assert_int_equal(rddr_tokens_new(&(struct tokens_conf){&host, &same, &settings, 3}, &c), 0);
	learn(a, A, B, C);
	check(a, A, B, C);
	check(b, A, A, A);
	check(c, A, B, C);
	settings.token_scope = SCOPE_SERVICE;
	rddr_tokens_free(&a);
	rddr_tokens_free(&b);
	rddr_tokens_free(&c);
}

/* Whatever the text, what is not a token stays as it is, and nothing is read past the end. */
static void any_text(void **state)
{
	static const char alphabet[] = "abA1-_+/=.~%2\\ \"&;3d";
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	learn(t, A, B, C);
	srand(7);
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)rand() % 60;
		char *text = malloc(len + 1);

		for (size_t i = 0; i < len; i++)
			text[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		text[len] = '\0';
		struct rewriting r = rewrite(t, text);
		assert_string_equal(r.out[0], text);
		assert_string_equal(r.out[1], text);
		free(text);
	}
	rddr_tokens_free(&t);
}

/* In pieces: what is found, and what stays, is the same however the text is cut. */
static void find_in_pieces(struct tokens *t, const char *text, size_t piece)
{
	struct rewriting whole = rewrite(t, text), cut = {.n = 3};
	size_t len = strlen(text), from = 0, to = 0;
	struct tokens_place place = {.json = in_json};

	while (from < len) {
		to = len - to > piece ? to + piece : len;
		cut.text = (struct slice){(const uint8_t *)text + from, to - from};
		cut.at = 0;
		size_t decided = rddr_tokens_find_some(t, cut.text, to < len, &place, on_token, &cut);
		assert_true(decided <= cut.text.len && cut.at <= decided);
		assert_true(to < len || decided == cut.text.len);
		assert_true(cut.text.len - decided <= 3 * RDDR_TOKEN_MAX + piece + 6);
		for (unsigned i = 0; i < 3; i++)
			add(cut.out[i], cut.text.data + cut.at, decided - cut.at);
		from += decided;
	}
	assert_int_equal(cut.found, whole.found);
	for (unsigned i = 0; i < 3; i++)
		assert_string_equal(cut.out[i], whole.out[i]);
}

static void pieces(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 5, 7, 11, 12, 13, 50, 1000, 4000};
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);
	char text[3600];

	(void)state;
	learn(t, A, B, C);
	learn(t, "ab+cd/ef12==", "gh/ij+kl34==", "mn0op0qr5678");
	learn(t, A ".tail", B ".liat", "cccc.3333");
	/* Words that are too long for a token, with and without what joins them, and one right behind. */
	memset(text, 'a', sizeof(text));
	memcpy(text + 3300, "&" A "=1&u=", strlen(A) + 6);
	memcpy(text + 3300 + strlen(A) + 6, A, sizeof(A));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++)
			find_in_pieces(t, places[k].text, sizes[i]);
		find_in_pieces(t, "a=" A "&b=ab%2Bcd%2Fef12%3D%3D&c=" A ".tail&d=" A ".tai&e=ab%2", sizes[i]);
		find_in_pieces(t, "{\"t\":\"ab+cd\\/ef12\\u003d\\u003d\",\"u\":\"" A "\\u0041\"}", sizes[i]);
		find_in_pieces(t, text, sizes[i]);
	}
	for (size_t k = 0; k < 3300; k += 50)
		text[k] = k % 100 ? '.' : '=';
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		find_in_pieces(t, text, sizes[i]);
	rddr_tokens_free(&t);
}

/* What a random value may look like: joints among words, so many. */
static void tangled(char *out, size_t len, unsigned joints, unsigned seed)
{
	static const char joint[] = "+/";

	for (size_t k = 0; k < len; k++)
		out[k] = (char)('a' + (k * 7 + k / 26 + seed) % 26);
	for (unsigned j = 0; j < joints; j++)
		out[(j + 1) * len / (joints + 1)] = joint[j % 2];
	out[len] = '\0';
}

static void percent_encode(const char *text, char *out)
{
	for (; *text; text++)
		out += sprintf(out, *text == '+' || *text == '/' || *text == '=' ? "%%%02X" : "%c", *text);
}

/* Base64 of a long value has dozens of joints, and each may be an escape. */
static void many_joints(void **state)
{
	static const struct {
		size_t len;
		unsigned joints;
	} kinds[] = {{300, 24}, {500, 40}, {960, 60}, {959, 75}, {24, 17}};
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		char value[3][RDDR_TOKEN_MAX + 1], raw[3][3000], coded[3][2200];

		for (unsigned i = 0; i < 3; i++) {
			tangled(value[i], kinds[k].len, kinds[k].joints, 3 * i + (unsigned)k);
			snprintf(raw[i], sizeof(raw[i]), "a=1; session=%s; b", value[i]);
			memcpy(coded[i], "x=", 3);
			percent_encode(value[i], coded[i] + 2);
			memcpy(coded[i] + strlen(coded[i]), "%26y%3D1&z", 11);
		}
		learn(t, value[0], value[1], value[2]);
		check(t, raw[0], raw[1], raw[2]);
		check(t, coded[0], coded[1], coded[2]);
		find_in_pieces(t, raw[0], 100);
		find_in_pieces(t, coded[0], 7);
	}
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_REFUSED], 0);
	rddr_tokens_free(&t);
}

/* What is never found is not learnt, and is counted. */
static void refuses_what_it_cannot_find(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);
	char value[3][RDDR_TOKEN_MAX + 2];

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		tangled(value[i], 320, 40, i);
	learn(t, value[0], value[1], value[2]);
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_REFUSED], 1);
	for (unsigned i = 0; i < 3; i++)
		tangled(value[i], RDDR_TOKEN_MAX + 1, 0, i);
	learn(t, value[0], value[1], value[2]);
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_REFUSED], 2);
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_LEARNT], 0);
	rddr_tokens_free(&t);
}

/* Keys that are asked for, counted. */
static size_t asked;

static bool counting_get(struct rddr_table *t, const void *key, size_t keylen, void *value, size_t *len)
{
	asked++;
	return rddr_tables_get(t, key, keylen, value, len);
}

/* A text of nothing but joints, and one with as many as tokens may have: so many looks at the table for each byte. */
static void cost_grows_with_the_text(void **state)
{
	struct rddr_host counting = host;
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);
	char text[4096];

	(void)state;
	counting.table_get = counting_get;
	rddr_tokens_free(&t);
	t = another(&s, &counting);
	for (unsigned len = 8; len <= RDDR_TOKEN_MAX; len++) {
		char value[3][RDDR_TOKEN_MAX + 1];

		for (unsigned i = 0; i < 3; i++)
			tangled(value[i], len, 0, i + len);
		learn(t, value[0], value[1], value[2]);
	}
	for (size_t every = 1; every < 40; every++) {
		for (size_t k = 0; k < sizeof(text) - 1; k++)
			text[k] = k % every ? 'z' : '+';
		text[sizeof(text) - 1] = '\0';
		asked = 0;
		check(t, text, text, text);
		assert_in_range(asked, 0, 32 * sizeof(text));
	}
	rddr_tokens_free(&t);
}

static void learn_declared(struct tokens *t, const char *a, const char *b, const char *c)
{
	const struct slice values[] = {slice_of(a), slice_of(b), slice_of(c)};

	rddr_tokens_learn_declared(t, values);
}

/* A rule's word is taken for it: short ones, and entity tags of any form. */
static void declared_ones(void **state)
{
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);

	(void)state;
	learn_declared(t, "W/\"4d-abcdef01\"", "\"65f0-4d\"", "W/\"18c3\"");
	check(t, "If-None-Match: W/\"4d-abcdef01\"", "If-None-Match: W/\"65f0-4d\"", "If-None-Match: W/\"18c3\"");
	check(t, "\"none\", \"4d-abcdef01\"", "\"none\", \"65f0-4d\"", "\"none\", \"18c3\"");
	learn_declared(t, "\"77-5e.1\"", "\"2:71, 5\"", "W/\"77-5e.2\"");
	check(t, "W/\"77-5e.1\"", "W/\"2:71, 5\"", "W/\"77-5e.2\"");
	learn_declared(t, "\"1a2b\"", "\"3c4d\"", "");
	check(t, "\"1a2b\" 1a2bc", "\"3c4d\" 1a2bc", "\"1a2b\" 1a2bc");
	learn_declared(t, "q1w2", "e3r4", "t5y6");
	check(t, "sid=q1w2;", "sid=e3r4;", "sid=t5y6;");
	/* Too short to be anything but a word that stands anywhere; and short words among others. */
	uint64_t learnt = s.counted[RDDR_COUNTED_TOKENS_LEARNT];
	learn_declared(t, "\"123\"", "\"456\"", "\"789\"");
	learn_declared(t, "W/\"\"", "\"456\"", "\"789\"");
	learn_declared(t, "7", "8", "9");
	learn_declared(t, "at noon, 1111", "at noon, 2222", "at noon, 3333");
	learn_declared(t, "\"same\"", "W/\"same\"", "\"same\"");
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_LEARNT], learnt);
	/* No tags, or not all. */
	learn_declared(t, "/notes/abcdefgh1", "/notes/abcdefgh2", "/notes/abcdefgh3");
	check(t, "/notes/abcdefgh1", "/notes/abcdefgh2", "/notes/abcdefgh3");
	learn_declared(t, "\"ijklmnop1\"", "ijklmnop2", "ijklmnop3");
	check(t, "ijklmnop1", "ijklmnop2", "ijklmnop3");
	rddr_tokens_free(&t);
}

/* In JSON the letter of an escape is of no word; elsewhere a backslash is any byte. */
static void behind_escapes(void **state)
{
	static const char *const escapes[] = {"\\n", "\\r", "\\t", "\\b", "\\f", "\\\"", "\\\\", "\\u20ac", " \\n\\n"};
	static const char *const none[] = {"\\x", "\\u20a", "\\\\n", "\\\\u20ac"};
	static const size_t sizes[] = {1, 2, 3, 5, 6, 7, 100};
	struct rddr_session s = {0};
	struct tokens *t = fresh(&s, 3);
	char text[3][64];

	(void)state;
	learn(t, A, B, C);
	in_json = true;
	for (size_t k = 0; k < sizeof(escapes) / sizeof(escapes[0]); k++) {
		snprintf(text[0], sizeof(text[0]), "{\"a\":\"%s" A "%s\"}", escapes[k], escapes[k]);
		snprintf(text[1], sizeof(text[1]), "{\"a\":\"%s" B "%s\"}", escapes[k], escapes[k]);
		snprintf(text[2], sizeof(text[2]), "{\"a\":\"%s" C "%s\"}", escapes[k], escapes[k]);
		check(t, text[0], text[1], text[2]);
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			find_in_pieces(t, text[0], sizes[i]);
	}
	for (size_t k = 0; k < sizeof(none) / sizeof(none[0]); k++) {
		snprintf(text[0], sizeof(text[0]), "{\"a\":\"%s" A "\"}", none[k]);
		check(t, text[0], text[0], text[0]);
	}
	in_json = false;
	check(t, "C:\\n" A, "C:\\n" A, "C:\\n" A);
	check(t, "C:\\" A, "C:\\" B, "C:\\" C);
	rddr_tokens_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_whole_words),
		cmocka_unit_test(joined_pieces),
		cmocka_unit_test(learns_by_words),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(in_use_they_do_not_expire),
		cmocka_unit_test(in_use_they_stay),
		cmocka_unit_test(scopes),
		cmocka_unit_test(any_text),
		cmocka_unit_test(pieces),
		cmocka_unit_test(many_joints),
		cmocka_unit_test(refuses_what_it_cannot_find),
		cmocka_unit_test(cost_grows_with_the_text),
		cmocka_unit_test(declared_ones),
		cmocka_unit_test(behind_escapes),
	};

	return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
