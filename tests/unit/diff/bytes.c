/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "bytes_reference.h"
#include "fakehost.h"

#define OPEN   RDDR_END_OPEN
#define ENDED  RDDR_END_ENDED
#define RESET  RDDR_END_RESET
#define ABSENT RDDR_END_ABSENT

struct text {
	const char *bytes; /* terminated; NULL: no such instance */
	enum rddr_end_state end;
};

#define FIT (-1)

/* In the order in which an example is read. NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding) */
struct example {
	const char *what;
	bool filter;
	struct text in[5];
	int at;		 /* where it diverges, or FIT */
	unsigned who;	 /* then: which instance */
	const char *why; /* and a part of the reason */
	int released;	 /* when it fits; -1: all of instance 0's */
};

#define COOKIE(id) "Set-Cookie: sid=" id "; Path=/\r\n"

static const struct example examples[] = {
	{"one instance", false, {{"anything", ENDED}}, FIT, 0, NULL, -1},
	{"alike", false, {{"same", ENDED}, {"same", ENDED}}, FIT, 0, NULL, -1},
	{"nothing at all", false, {{"", ENDED}, {"", ENDED}}, FIT, 0, NULL, -1},
	{"nothing yet", false, {{"", OPEN}, {"", OPEN}}, FIT, 0, NULL, -1},
	{"first byte", false, {{"same", OPEN}, {"lame", OPEN}}, 0, 1, "0x6c", 0},
	{"last byte", false, {{"same", ENDED}, {"samy", ENDED}}, 3, 1, "0x79", 0},
	{"the minority is named", false, {{"odd", OPEN}, {"one", OPEN}, {"one", OPEN}}, 1, 0, "0x64", 0},
	{"the minority is named, later", false, {{"one", OPEN}, {"one", OPEN}, {"odd", OPEN}}, 1, 2, "0x64", 0},
	{"two against two", false, {{"a", OPEN}, {"b", OPEN}, {"a", OPEN}, {"b", OPEN}}, 0, 1, "0x62", 0},
	{"all different", false, {{"a", OPEN}, {"b", OPEN}, {"c", OPEN}}, 0, 1, "0x62", 0},
	{"one is behind", false, {{"abcdef", OPEN}, {"abc", OPEN}, {"abcd", OPEN}}, FIT, 0, NULL, 3},
	{"one is behind and differs", false, {{"abcdef", OPEN}, {"abX", OPEN}, {"abcd", OPEN}}, 2, 1, "0x58", 0},
	{"ended early", false, {{"abcdef", OPEN}, {"abc", ENDED}, {"abcd", OPEN}}, 3, 1, "ended early", 0},
	{"reset early", false, {{"abcdef", OPEN}, {"abc", RESET}, {"abcdef", ENDED}}, 3, 1, "reset early", 0},
	{"the source ended early", false, {{"abc", ENDED}, {"abcd", OPEN}, {"abcd", OPEN}}, 3, 0, "ended early", 0},
	{"goes on", false, {{"abc", ENDED}, {"abcd", OPEN}, {"abc", ENDED}}, 3, 1, "goes on", 0},
	{"ended, another is still behind", false, {{"abc", ENDED}, {"abcd", OPEN}, {"ab", OPEN}}, FIT, 0, NULL, 2},
	{"ended, another has only got there", false, {{"abc", ENDED}, {"abcd", OPEN}, {"abc", OPEN}}, FIT, 0, NULL, 3},
	{"ended and reset at the same place", false, {{"abc", ENDED}, {"abc", RESET}}, FIT, 0, NULL, 3},
	{"ended at nothing", false, {{"", ENDED}, {"a", OPEN}}, 0, 1, "goes on", 0},
	{"absent ones are passed over", false, {{"abc", ENDED}, {"", ABSENT}, {"abc", ENDED}}, FIT, 0, NULL, -1},
	{"the source is absent", false, {{"", ABSENT}, {"abc", ENDED}, {"abc", ENDED}}, FIT, 0, NULL, 0},
	{"the source is absent, others differ", false, {{"", ABSENT}, {"abc", ENDED}, {"abX", ENDED}}, 2, 2, "0x58", 0},
	{"nobody is there", false, {{"", ABSENT}, {"", ABSENT}}, FIT, 0, NULL, 0},

	{"filter, alike", true, {{"a b", ENDED}, {"a b", ENDED}, {"a b", ENDED}}, FIT, 0, NULL, -1},
	{"filter, the third differs", true, {{"a,b", OPEN}, {"a,b", OPEN}, {"a;b", OPEN}}, 1, 2, "outside", 0},
	{"filter, the third differs in a word",
	 true,
	 {{"one two ", OPEN}, {"one two ", OPEN}, {"one twu ", OPEN}},
	 6,
	 2,
	 "outside",
	 0},
	{"filter, in the last word, which may go on",
	 true,
	 {{"one two", OPEN}, {"one two", OPEN}, {"one twu", OPEN}},
	 FIT,
	 0,
	 NULL,
	 6},
	{"filter, in the last word, which ended",
	 true,
	 {{"one two", ENDED}, {"one two", ENDED}, {"one twu", ENDED}},
	 6,
	 2,
	 "outside",
	 0},
	{"filter, a byte that no word holds",
	 true,
	 {{"one two", OPEN}, {"one two", OPEN}, {"one t\"o", OPEN}},
	 5,
	 2,
	 "outside",
	 0},
	{"a word's noise", true, {{"id=17;x", OPEN}, {"id=42;x", OPEN}, {"id=93;x", OPEN}}, FIT, 0, NULL, -1},
	{"a word's noise, at once", true, {{"id=17", OPEN}, {"id=42", OPEN}, {"id=93", OPEN}}, FIT, 0, NULL, -1},
	{"agreement by chance at the word's beginning",
	 true,
	 {{"=7a1f;", OPEN}, {"=7b2e;", OPEN}, {"=9c3d;", OPEN}},
	 FIT,
	 0,
	 NULL,
	 -1},
	{"agreement by chance at its end",
	 true,
	 {{"=a17f;", OPEN}, {"=b27f;", OPEN}, {"=c39d;", OPEN}},
	 FIT,
	 0,
	 NULL,
	 -1},
	{"agreement by chance within", true, {{"=a1c2;", OPEN}, {"=b1d3;", OPEN}, {"=a9e4;", OPEN}}, FIT, 0, NULL, -1},
	{"not beyond the word", true, {{"=a1:2;", OPEN}, {"=b1:2;", OPEN}, {"=c1:3;", OPEN}}, 4, 2, "outside", 0},
	{"a path's other words are no noise",
	 true,
	 {{"/user/17/edit ", OPEN}, {"/user/42/edit ", OPEN}, {"/root/93/edit ", OPEN}},
	 1,
	 2,
	 "outside",
	 0},
	{"a slash where the pair differs belongs to a token",
	 true,
	 {{"\"aB/dQ\"", OPEN}, {"\"xY1dQ\"", OPEN}, {"\"c+3f9\"", OPEN}},
	 FIT,
	 0,
	 NULL,
	 -1},
	{"digits take no letters", true, {{"n=17;", OPEN}, {"n=42;", OPEN}, {"n=9c;", OPEN}}, 3, 2, "digits", 0},
	{"hex takes no g", true, {{"n=1a;", OPEN}, {"n=b2;", OPEN}, {"n=9g;", OPEN}}, 3, 2, "lower-case hex", 0},
	{"lower-case hex takes no upper", true, {{"n=1a;", OPEN}, {"n=b2;", OPEN}, {"n=9C;", OPEN}}, 3, 2, "lower", 0},
	{"upper-case hex", true, {{"n=1A;", OPEN}, {"n=B2;", OPEN}, {"n=CD;", OPEN}}, FIT, 0, NULL, -1},
	{"letters take no marks", true, {{"n=1z;", OPEN}, {"n=g2;", OPEN}, {"n=+3;", OPEN}}, 2, 2, "letters", 0},
	{"both cases are a token", true, {{"n=zA;", OPEN}, {"n=Qb;", OPEN}, {"n=+/;", OPEN}}, FIT, 0, NULL, -1},
	{"a token takes no quotes", true, {{"n=zA;", OPEN}, {"n=Qb;", OPEN}, {"n=a\";", OPEN}}, 3, 2, "a token", 0},
	{"a date's separators stay",
	 true,
	 {{"2026-11-21 ", OPEN}, {"2026-11-22 ", OPEN}, {"2026-1--23 ", OPEN}},
	 6,
	 2,
	 "digits",
	 0},
	{"a date moves on",
	 true,
	 {{"2026-11-30 ", OPEN}, {"2026-12-01 ", OPEN}, {"2026-12-01 ", OPEN}},
	 FIT,
	 0,
	 NULL,
	 -1},
	{"marks, at their place alone", true, {{"a!b", OPEN}, {"a?b", OPEN}, {"a#b", OPEN}}, FIT, 0, NULL, -1},
	{"marks widen nothing", true, {{"a!b", OPEN}, {"a?b", OPEN}, {"a#c", ENDED}}, 2, 2, "outside", 0},
	{"printable takes no control bytes",
	 true,
	 {{"a!,", OPEN}, {"a?,", OPEN}, {"a\n,", OPEN}},
	 1,
	 2,
	 "printable",
	 0},
	{"binary bytes", true, {{"\x01\x02,", OPEN}, {"\x81\x82,", OPEN}, {"\xf1\n,", OPEN}}, FIT, 0, NULL, -1},
	{"the form shows later", true, {{"=17af;", OPEN}, {"=42be;", OPEN}, {"=ccdd;", OPEN}}, FIT, 0, NULL, -1},
	{"the form may still show", true, {{"=17", OPEN}, {"=42", OPEN}, {"=9c", OPEN}}, FIT, 0, NULL, 2},
	{"the form did not show", true, {{"=17", ENDED}, {"=42", ENDED}, {"=9c", ENDED}}, 2, 2, "digits", 0},
	{"the pair's lengths differ", true, {{"=1;", ENDED}, {"=17;", OPEN}, {"=1;", ENDED}}, 3, 1, "goes on", 0},
	{"the third is shorter", true, {{"=1;a", OPEN}, {"=2;a", OPEN}, {"=3;", ENDED}}, 3, 2, "ended early", 0},
	{"the third is shorter within noise",
	 true,
	 {{"=123;", OPEN}, {"=456;", OPEN}, {"=7", ENDED}},
	 2,
	 2,
	 "ended",
	 0},
	{"more than one outside the pair",
	 true,
	 {{"=12;", OPEN}, {"=34;", OPEN}, {"=56;", OPEN}, {"=ab;", OPEN}},
	 1,
	 3,
	 "digits",
	 0},
	/* Of rddr-bytes(7). */
	{"a cookie",
	 true,
	 {{COOKIE("7f3a9c21"), OPEN}, {COOKIE("7f30be44"), OPEN}, {COOKIE("91c0d2ee"), OPEN}},
	 FIT,
	 0,
	 NULL,
	 -1},
	{"a cookie in upper case",
	 true,
	 {{COOKIE("7f3a9c21"), OPEN}, {COOKIE("7f30be44"), OPEN}, {COOKIE("91C0D2EE"), OPEN}},
	 18,
	 2,
	 "lower-case hex",
	 0},
	{"a cookie with a quote",
	 true,
	 {{COOKIE("7f3a9c21"), OPEN}, {COOKIE("7f30be44"), OPEN}, {COOKIE("91c0'or1"), OPEN}},
	 20,
	 2,
	 "lower-case hex",
	 0},
	{"one of the pair is absent", true, {{"=12;", OPEN}, {"", ABSENT}, {"=34;", OPEN}}, 1, 2, "0x33", 0},
	{"the third is absent", true, {{"=12;", ENDED}, {"=34;", ENDED}, {"", ABSENT}}, FIT, 0, NULL, -1},
};

static unsigned set_up(struct rddr_session *s, const struct example *e)
{
	unsigned n = 0;

	while (n < 5 && e->in[n].bytes)
		n++;
	assert_int_equal(fake_begin(s, &rddr_diff_plugin, n, e->filter, "{}"), 0);
	for (unsigned i = 0; i < n; i++) {
		fake_set(&s->in[i], e->in[i].bytes, strlen(e->in[i].bytes), e->in[i].end);
		s->in[i].end_shown = e->in[i].end == ABSENT;
	}
	return n;
}

static void check(const struct rddr_session *s, const struct example *e, bool fits, const char *how)
{
	const struct fake_out *out = &s->out[FAKE_LONE];
	size_t released = e->released < 0 ? s->in[0].len : (size_t)e->released;

	if (fits != (e->at == FIT))
		fail_msg("%s, %s: %s (%s)", e->what, how, fits ? "fits" : "diverges", s->finding.why);
	if (out->len)
		assert_memory_equal(out->data, s->in[0].data, out->len);
	if (fits && out->len != released)
		fail_msg("%s, %s: released %zu", e->what, how, out->len);
	if (fits)
		return;
	if (s->finding_at != (size_t)e->at || s->finding.instance != e->who || !strstr(s->finding.why, e->why))
		fail_msg("%s, %s: at %zu, instance %u: %s", e->what, how, s->finding_at, s->finding.instance,
			 s->finding.why);
	assert_true(out->len <= s->finding_at);
}

static void examples_come_out_however_they_arrive(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *e = &examples[i];
		struct rddr_session s;

		set_up(&s, e);
		check(&s, e, fake_diff_whole(&s), "whole");
		fake_end(&s);
		set_up(&s, e);
		check(&s, e, fake_diff_dribbled(&s), "dribbled");
		fake_end(&s);
		for (uint64_t seed = 1; seed < 30; seed++) {
			set_up(&s, e);
			check(&s, e, fake_diff_chunked(&s, seed, 3), "in pieces");
			fake_end(&s);
		}
	}
}

/* What is known to be a divergence lets nothing of what is in view out. */
static void nothing_leaves_with_a_divergence(void **state)
{
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, "{}"), 0);
	fake_set(&s.in[0], "a long way alike, then not", 26, OPEN);
	fake_set(&s.in[1], "a long way alike, and then", 26, OPEN);
	assert_false(fake_diff_whole(&s));
	assert_int_equal(s.out[FAKE_LONE].len, 0);
	assert_int_equal(s.finding.offset, 18);
	fake_end(&s);
}

static void agreed_bytes_leave_at_once(void **state)
{
	struct rddr_session s;

	(void)state;
	for (int filter = 0; filter < 2; filter++) {
		assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 3, filter, "{}"), 0);
		for (unsigned i = 0; i < 3; i++)
			fake_set(&s.in[i], "one word", 8, OPEN);
		for (size_t k = 1; k <= 8; k++) {
			for (unsigned i = 0; i < 3; i++) {
				assert_int_equal(s.out[FAKE_LONE].len, k - 1);
				s.in[i].shown = k;
				assert_true(fake_diff(&s));
			}
			assert_int_equal(s.out[FAKE_LONE].len, k);
		}
		fake_end(&s);
	}
}

/* Every place in which one byte of one stream is changed is found, whatever the length. */
static void each_changed_byte_is_found(void **state)
{
	enum { LEN = 700 };
	uint8_t text[LEN], changed[LEN];
	uint64_t seed = 99;

	(void)state;
	for (size_t i = 0; i < LEN; i++)
		text[i] = (uint8_t)fake_random(&seed);
	for (size_t at = 0; at < LEN; at++) {
		memcpy(changed, text, LEN);
		changed[at] ^= 0x10;
		for (unsigned who = 0; who < 3; who++) {
			struct rddr_session s;

			assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 3, false, NULL), 0);
			for (unsigned i = 0; i < 3; i++)
				fake_set(&s.in[i], i == who ? changed : text, LEN, OPEN);
			assert_false(fake_diff_whole(&s));
			assert_int_equal(s.finding_at, at);
			assert_int_equal(s.finding.instance, who);
			fake_end(&s);
		}
	}
}

/* Each of the two rules of the budget, and that it is a fault of the pair. */
static void noise_past_the_budget_diverges(void **state)
{
	static const struct noise_budget budgets[] = {{8, 100}, {256, 1}};
	static const char *const words[] = {"=0123456789;", "=5678901234;", "=3141592653;"};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		for (int how = 0; how < 2; how++) {
			struct rddr_session s;
			bool fits;

			assert_int_equal(fake_begin_within(&s, &rddr_diff_plugin, 3, true, NULL, budgets[k]), 0);
			for (unsigned i = 0; i < 3; i++)
				fake_set(&s.in[i], words[i], strlen(words[i]), OPEN);
			fits = how ? fake_diff_dribbled(&s) : fake_diff_whole(&s);
			/* 1 percent of 1024 are 10 bytes: what share allows. */
			assert_int_equal(fits, k == 1);
			if (!fits) {
				assert_non_null(strstr(s.finding.why, "budget"));
				assert_int_equal(s.finding.instance, 1);
				assert_in_range(s.finding_at, 1, 9);
			}
			fake_end(&s);
		}
	}
}

/* A word in which the third has something else, and that goes on and on: no need to wait for its end. */
static void doubt_ends_with_the_budget(void **state)
{
	enum { LEN = 400 };
	char pair[LEN], third[LEN];
	struct rddr_session s;

	(void)state;
	memset(pair, 'a', LEN);
	memset(third, 'a', LEN);
	third[10] = 'b';
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 3, true, NULL), 0);
	fake_set(&s.in[0], pair, LEN, OPEN);
	fake_set(&s.in[1], pair, LEN, OPEN);
	fake_set(&s.in[2], third, LEN, OPEN);
	for (unsigned i = 0; i < 3; i++)
		s.in[i].shown = 10 + 256;
	assert_true(fake_diff(&s));
	assert_int_equal(s.out[FAKE_LONE].len, 10);
	for (unsigned i = 0; i < 3; i++)
		s.in[i].shown++;
	assert_false(fake_diff(&s));
	assert_int_equal(s.finding_at, 10);
	fake_end(&s);
}

/* A view that cannot get longer is not waited for, whatever the budget. */
static void doubt_ends_with_the_view(void **state)
{
	static const char pair[] = "aaaaaaaaaaaaaaaa", third[] = "baaaaaaaaaaaaaaa";
	struct rddr_session s = {.plugin = &rddr_diff_plugin, .n = 3};
	struct rddr_diff_create args = {
		.size = sizeof(args),
		.instances = 3,
		.do_filter = true,
		.limit = 16,
		.host = &fake_host,
		.session = &s,
	};

	(void)state;
	assert_int_equal(rddr_diff_plugin.create(&args, &s.state), 0);
	for (unsigned i = 0; i < 3; i++) {
		fake_set(&s.in[i], i == 2 ? third : pair, 16, OPEN);
		s.in[i].shown = 15;
	}
	assert_true(fake_diff(&s));
	for (unsigned i = 0; i < 3; i++)
		s.in[i].shown = 16;
	assert_false(fake_diff(&s));
	assert_int_equal(s.finding_at, 0);
	fake_end(&s);
}

static void the_pair_needs_a_third(void **state)
{
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, true, NULL), -EINVAL);
	fake_end(&s);
}

static void parameters_are_refused_by_name(void **state)
{
	static const struct {
		const char *json, *says; /* NULL: accepted */
	} cases[] = {
		{"{}", NULL},
		{" {\n} ", NULL},
		{"{\"tokens\": []}", "diff-params.tokens: "},
		{"{ \"a\\\"b\": 1}", "diff-params.a\\\"b: "},
		{"[]", "diff-params: "},
		{"{} x", "diff-params: "},
		{"{", "diff-params: "},
		{"{\"half", "diff-params.half: "},
		{"", "diff-params: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char err[200] = "";
		void *params = NULL;
		int r = rddr_diff_plugin.validate_params(cases[i].json, &params, err, sizeof(err));

		assert_null(params);
		assert_int_equal(r, cases[i].says ? -EINVAL : 0);
		if (cases[i].says)
			assert_ptr_equal(strstr(err, cases[i].says), err);
	}
}

/* ---- at random, against the reference ---- */

enum { MOST = 400 };

struct draw {
	struct reference_input in;
	uint8_t bytes[5][MOST + 1];
};

static void put(struct draw *d, unsigned i, uint8_t c)
{
	if (d->in.len[i] < MOST)
		d->bytes[i][d->in.len[i]++] = c;
}

static uint8_t one_of(const char *set, uint64_t *seed)
{
	return (uint8_t)set[fake_random(seed) % strlen(set)];
}

/* One piece of an answer: text for all, a token of each one's own, or something odd. */
static void put_piece(struct draw *d, uint64_t *seed)
{
	static const char *const sets[] = {REFERENCE_DIGITS, "0123456789abcdef", "AB01", "ab-", REFERENCE_TOKEN, "!#/x",
					   "-_09",	     "\x01\x80\xff\n"};
	unsigned kind = fake_random(seed) % 20, odd = fake_random(seed) % d->in.n;
	const char *set = sets[fake_random(seed) % (sizeof(sets) / sizeof(sets[0]))];
	size_t len = 1 + fake_random(seed) % 12;

	for (size_t k = 0; k < len; k++) {
		uint8_t all = one_of(kind < 10 ? "abc-1 /,;:\n" : set, seed);

		for (unsigned i = 0; i < d->in.n; i++) {
			uint8_t c = all;

			if (kind >= 10 && kind < 18)
				c = one_of(set, seed);
			if (kind == 18 && i == odd && k == 0)
				c = one_of(REFERENCE_WORD ";\n", seed);
			if (kind != 19 || i != odd)
				put(d, i, c);
		}
	}
}

static void draw(struct draw *d, uint64_t *seed)
{
	unsigned pieces = fake_random(seed) % 24, ends = fake_random(seed) % 4;

	memset(d, 0, sizeof(*d));
	d->in.n = 1 + fake_random(seed) % 5;
	d->in.filter = d->in.n >= 3 && fake_random(seed) % 4;
	d->in.budget.run = 1 + fake_random(seed) % 40;
	d->in.budget.share = fake_random(seed) % 3 ? 100 : fake_random(seed) % 8;
	while (pieces--)
		put_piece(d, seed);
	for (unsigned i = 0; i < d->in.n; i++) {
		static const enum rddr_end_state other[] = {OPEN, ENDED, RESET, ENDED};

		d->in.data[i] = d->bytes[i];
		d->in.end[i] = ends == 0 ? OPEN : ends < 3 ? ENDED : other[fake_random(seed) % 4];
		if (fake_random(seed) % 40 == 0) {
			d->in.end[i] = ABSENT;
			d->in.len[i] = 0;
		}
	}
}

static void run_drawn(const struct draw *d, const struct reference *want, uint64_t seed, int how)
{
	struct rddr_session s;
	bool fits;

	assert_int_equal(fake_begin_within(&s, &rddr_diff_plugin, d->in.n, d->in.filter, NULL, d->in.budget), 0);
	for (unsigned i = 0; i < d->in.n; i++) {
		fake_set(&s.in[i], d->bytes[i], d->in.len[i], d->in.end[i]);
		s.in[i].end_shown = d->in.end[i] == ABSENT;
	}
	if (how == 0)
		fits = fake_diff_whole(&s);
	else if (how == 1)
		fits = fake_diff_dribbled(&s);
	else
		fits = fake_diff_chunked(&s, seed * 64 + (uint64_t)how, (size_t)how * 5);
	if (fits == want->diverges)
		fail_msg("draw %lu, way %d: %s at %zu: %s", (unsigned long)seed, how, fits ? "fits" : "diverges",
			 s.finding_at, s.finding.why);
	if (fits && s.out[FAKE_LONE].len != want->released)
		fail_msg("draw %lu, way %d: released %zu of %zu", (unsigned long)seed, how, s.out[FAKE_LONE].len,
			 want->released);
	if (!fits && (s.finding_at < want->from || s.finding_at > want->to))
		fail_msg("draw %lu, way %d: at %zu, not %zu to %zu: %s", (unsigned long)seed, how, s.finding_at,
			 want->from, want->to, s.finding.why);
	if (!fits && s.out[FAKE_LONE].len > s.finding_at)
		fail_msg("draw %lu, way %d: released past the divergence", (unsigned long)seed, how);
	if (s.out[FAKE_LONE].len)
		assert_memory_equal(s.out[FAKE_LONE].data, d->bytes[0], s.out[FAKE_LONE].len);
	fake_end(&s);
}

static void drawn_streams_come_out_as_the_reference_says(void **state)
{
	const unsigned draws = 3000;
	unsigned diverged = 0, noisy = 0;
	struct draw d;

	(void)state;
	for (uint64_t n = 1; n <= draws; n++) {
		uint64_t seed = n * 0x9e3779b97f4a7c15u;
		struct reference want;

		draw(&d, &seed);
		want = reference_bytes(&d.in);
		diverged += want.diverges;
		noisy += d.in.filter && !want.diverges && d.in.len[0] && d.in.len[1] &&
			 memcmp(d.bytes[0], d.bytes[1], 20) != 0;
		for (int how = 0; how < 6; how++)
			run_drawn(&d, &want, n, how);
	}
	/* The draw is of use only when there is enough of each. */
	assert_in_range(diverged, draws / 5, draws - draws / 5);
	assert_true(noisy > draws / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(examples_come_out_however_they_arrive),
		cmocka_unit_test(nothing_leaves_with_a_divergence),
		cmocka_unit_test(agreed_bytes_leave_at_once),
		cmocka_unit_test(each_changed_byte_is_found),
		cmocka_unit_test(noise_past_the_budget_diverges),
		cmocka_unit_test(doubt_ends_with_the_budget),
		cmocka_unit_test(doubt_ends_with_the_view),
		cmocka_unit_test(the_pair_needs_a_third),
		cmocka_unit_test(parameters_are_refused_by_name),
		cmocka_unit_test(drawn_streams_come_out_as_the_reference_says),
	};

	return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
