/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakehost.h"

#define OPEN   RDDR_END_OPEN
#define ENDED  RDDR_END_ENDED
#define ABSENT RDDR_END_ABSENT

static void parameters_are_checked(void **state)
{
	static const struct {
		const char *json, *says; /* NULL: accepted */
	} cases[] = {
		{"{}", NULL},
		{"{\"max-line\": 1}", NULL},
		{"{\"max-line\": 65536, \"translate\": \"X\"}", NULL},
		{"{\"max-line\": 0}", "diff-params.max-line: 0: "},
		{"{\"max-line\": 65537}", "diff-params.max-line: 65537: "},
		{"{\"max-line\": -1}", "diff-params.max-line: -1: "},
		{"{\"max-line\": \"9\"}", "diff-params.max-line: \"9\": "},
		{"{\"max-line\": null}", "diff-params.max-line: null: "},
		{"{\"translate\": \"\"}", "diff-params.translate: \"\": "},
		{"{\"translate\": 7}", "diff-params.translate: 7: "},
		{"{\"translate\": \"0123456789012345678901234567890123456789012345678901234567890123\"}",
		 "diff-params.translate: "},
		{"{\"translat\": \"a\"}", "diff-params.translat: "},
		{"[]", "diff-params: "},
		{"", "diff-params: "},
		{"{", "diff-params: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char err[200] = "";
		void *params = NULL;
		int r = rddr_diff_plugin.validate_params(cases[i].json, &params, err, sizeof(err));

		assert_int_equal(r, cases[i].says ? -EINVAL : 0);
		if (cases[i].says && strstr(err, cases[i].says) != err)
			fail_msg("%s: %s", cases[i].json, err);
		assert_int_equal(params == NULL, r < 0);
		if (params)
			rddr_diff_plugin.free_params(params);
	}
}

#define FIT (-1)

static const struct example {
	const char *what;
	bool filter;
	struct {
		const char *bytes;
		enum rddr_end_state end;
	} in[4];
	int at; /* of the divergence, or FIT */
	unsigned who;
	const char *where;
	const char *released;
} examples[] = {
	{"a line", false, {{"ok\r\n", OPEN}, {"ok\r\n", OPEN}}, FIT, 0, NULL, "ok\r\n"},
	{"ends differ", false, {{"ok\r\nno\n", OPEN}, {"ok\nno\r\n", OPEN}}, FIT, 0, NULL, "ok\r\nno\n"},
	{"a part of a line", false, {{"ok\nno", OPEN}, {"ok\nno", OPEN}}, FIT, 0, NULL, "ok\n"},
	{"the last line has no end", false, {{"ok", ENDED}, {"ok\n", ENDED}}, FIT, 0, NULL, "ok"},
	{"empty lines", false, {{"\n\r\n", ENDED}, {"\n\n", ENDED}}, FIT, 0, NULL, "\n\r\n"},
	{"nothing", false, {{"", ENDED}, {"", ENDED}}, FIT, 0, NULL, ""},
	{"differ", false, {{"ok\nyes\n", OPEN}, {"ok\nyet\n", OPEN}}, 5, 1, "line 2", "ok\n"},
	{"shorter", false, {{"ok\n", OPEN}, {"o\n", OPEN}}, 1, 1, "line 1", ""},
	{"longer", false, {{"o\n", OPEN}, {"ok\n", OPEN}}, 1, 1, "line 1", ""},
	{"a CR within a line is a byte", false, {{"o\rk\n", OPEN}, {"ok\n", OPEN}}, 1, 1, "line 1", ""},
	{"ended early", false, {{"ok\nok\n", OPEN}, {"ok\n", ENDED}}, 3, 1, "line 2", "ok\n"},
	{"reset early", false, {{"ok\n", RDDR_END_RESET}, {"ok\nok\n", OPEN}}, 3, 0, "line 2", "ok\n"},
	{"too long", false, {{"123456789\n", OPEN}, {"1\n", OPEN}}, 8, 0, "line 1", ""},
	{"too long and never ends", false, {{"1234567890", OPEN}, {"12345", OPEN}}, 8, 0, "line 1", ""},
	{"just not too long", false, {{"12345678\r\n", OPEN}, {"12345678\n", OPEN}}, FIT, 0, NULL, "12345678\r\n"},
	{"absent", false, {{"ok\n", OPEN}, {"", ABSENT}, {"ok\n", OPEN}}, FIT, 0, NULL, "ok\n"},
	{"absent, and differ", false, {{"ok\n", OPEN}, {"", ABSENT}, {"no\n", OPEN}}, 0, 2, "line 1", ""},
	{"the source is absent", false, {{"", ABSENT}, {"ok\n", OPEN}, {"ok\n", OPEN}}, FIT, 0, NULL, ""},
	{"nobody", false, {{"", ABSENT}, {"", ABSENT}}, FIT, 0, NULL, ""},
	{"noise", true, {{"id a1\n", OPEN}, {"id b2\n", OPEN}, {"id c3\n", OPEN}}, FIT, 0, NULL, "id a1\n"},
	{"not noise", true, {{"id a1\n", OPEN}, {"id b2\n", OPEN}, {"ID c3\n", OPEN}}, 0, 2, "line 1", ""},
	{"not its form", true, {{"id a1\n", OPEN}, {"id b2\n", OPEN}, {"id c<\n", OPEN}}, 4, 2, "line 1", ""},
	{"the pair's lengths", true, {{"id a\n", OPEN}, {"id b2\n", OPEN}, {"id c\n", OPEN}}, 3, 1, "line 1", ""},
	{"the third's length", true, {{"id a\n", OPEN}, {"id b\n", OPEN}, {"id cc\n", OPEN}}, 3, 2, "line 1", ""},
};

static void set_up(struct rddr_session *s, const struct example *e)
{
	unsigned n = 0;

	while (n < 4 && e->in[n].bytes)
		n++;
	assert_int_equal(fake_begin(s, &rddr_diff_plugin, n, e->filter, "{\"max-line\": 8}"), 0);
	for (unsigned i = 0; i < n; i++) {
		fake_set(&s->in[i], e->in[i].bytes, strlen(e->in[i].bytes), e->in[i].end);
		s->in[i].end_shown = e->in[i].end == ABSENT;
	}
}

static void check(struct rddr_session *s, const struct example *e, bool fits, const char *how)
{
	const struct fake_out *out = &s->out[FAKE_LONE];

	if (fits != (e->at == FIT))
		fail_msg("%s, %s: %s (%s)", e->what, how, fits ? "fits" : "diverges", s->finding.why);
	if (!fits && (s->finding_at != (size_t)e->at || s->finding.instance != e->who))
		fail_msg("%s, %s: at %zu, instance %u: %s", e->what, how, s->finding_at, s->finding.instance,
			 s->finding.why);
	if (!fits)
		assert_string_equal(s->finding.where, e->where);
	/* Whole lines are judged, so what is released does not depend on the pieces either. */
	assert_int_equal(out->len, strlen(e->released));
	if (out->len)
		assert_memory_equal(out->data, e->released, out->len);
	fake_end(s);
}

static void examples_come_out_however_they_arrive(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		const struct example *e = &examples[i];
		struct rddr_session s;

		set_up(&s, e);
		check(&s, e, fake_diff_whole(&s), "whole");
		set_up(&s, e);
		check(&s, e, fake_diff_dribbled(&s), "dribbled");
		for (uint64_t seed = 1; seed < 40; seed++) {
			set_up(&s, e);
			check(&s, e, fake_diff_chunked(&s, seed, 4), "in pieces");
		}
	}
}

/* Two in a row are within the budget, three are not. */
static void noise_is_charged(void **state)
{
	static const struct noise_budget few = {.run = 2, .share = 100};
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin_within(&s, &rddr_diff_plugin, 3, true, "{}", few), 0);
	fake_set(&s.in[0], "ab cde\n", 7, OPEN);
	fake_set(&s.in[1], "01 234\n", 7, OPEN);
	fake_set(&s.in[2], "zy xwv\n", 7, OPEN);
	assert_false(fake_diff_whole(&s));
	assert_int_equal(s.finding.instance, 1);
	assert_int_equal(s.finding_at, 3);
	assert_non_null(strstr(s.finding.why, "budget"));
	fake_end(&s);
}

/* Shows the lone end's bytes in pieces of that size; 0: whole. False: rejected. */
static bool ask(struct rddr_session *s, size_t piece)
{
	struct fake_stream *lone = &s->in[FAKE_LONE];

	while (!lone->end_shown) {
		fake_show(lone, piece ? piece : SIZE_MAX);
		if (!fake_modify(s))
			return false;
	}
	return true;
}

static void requests_go_to_all(void **state)
{
	static const struct {
		const char *params, *in;
		enum rddr_end_state end;
		int rejected;
		const char *out[2]; /* what the two instances get */
	} cases[] = {
		{"{}", "get a\r\nget b\n", OPEN, false, {"get a\r\nget b\n", "get a\r\nget b\n"}},
		{"{}", "get a\nget", OPEN, false, {"get a\n", "get a\n"}},
		{"{}", "get a\nget", ENDED, false, {"get a\nget", "get a\nget"}},
		{"{}", "", ENDED, false, {"", ""}},
		{"{\"max-line\": 5}",
		 "get a\r\nget b\nget cd\nget e\n",
		 OPEN,
		 true,
		 {"get a\r\nget b\n", "get a\r\nget b\n"}},
		{"{\"max-line\": 5}", "get abcdefghi", OPEN, true, {"", ""}},
		{"{\"max-line\": 5}", "get ab", ENDED, true, {"", ""}},
		{"{\"translate\": \"@I@\"}",
		 "to @I@ @I@!\n@I@\nno\n@I",
		 ENDED,
		 false,
		 {"to 0 0!\n0\nno\n@I", "to 1 1!\n1\nno\n@I"}},
		{"{\"translate\": \"@I@\"}", "@I@I@\n", ENDED, false, {"0I@\n", "1I@\n"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t piece = 0; piece < 9; piece++) {
			struct rddr_session s;

			assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, cases[i].params), 0);
			fake_set(&s.in[FAKE_LONE], cases[i].in, strlen(cases[i].in), cases[i].end);
			assert_int_equal(ask(&s, piece), !cases[i].rejected);
			if (cases[i].rejected)
				assert_non_null(strstr(s.rejected, "max-line, which is 5"));
			for (unsigned k = 0; k < 2; k++) {
				assert_int_equal(s.out[k].len, strlen(cases[i].out[k]));
				if (s.out[k].len)
					assert_memory_equal(s.out[k].data, cases[i].out[k], s.out[k].len);
			}
			fake_end(&s);
		}
	}
}

static void between_exchanges_is_neutral(void **state)
{
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, "{}"), 0);
	fake_set(&s.in[FAKE_LONE], "one\ntwo\n", 8, OPEN);
	fake_set(&s.in[0], "1\n2\n", 4, OPEN);
	fake_set(&s.in[1], "1\n2\n", 4, OPEN);
	assert_true(ask(&s, 0));
	for (unsigned i = 0; i < 2; i++)
		s.in[i].shown = 3;
	assert_true(fake_diff(&s));
	assert_true(s.boundary);
	assert_int_equal(s.answers, 1);
	assert_int_equal(s.neutrals, 0);
	assert_true(fake_diff_whole(&s));
	assert_int_equal(s.answers, 2);
	assert_int_equal(s.neutrals, 1);
	fake_end(&s);
}

static void the_denial_is_a_line(void **state)
{
	static const struct rddr_denial denial = {
		.size = sizeof(denial),
		.reason = RDDR_DENIED_DIVERGENCE,
		.reference = "20261122-00a1b2c3d4e",
	};
	static const char text[] = "denied 20261122-00a1b2c3d4e\r\n";
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, "{}"), 0);
	rddr_diff_plugin.render_denial(s.state, &denial);
	assert_int_equal(s.out[FAKE_LONE].len, sizeof(text) - 1);
	assert_memory_equal(s.out[FAKE_LONE].data, text, sizeof(text) - 1);
	fake_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parameters_are_checked),
		cmocka_unit_test(examples_come_out_however_they_arrive),
		cmocka_unit_test(noise_is_charged),
		cmocka_unit_test(requests_go_to_all),
		cmocka_unit_test(between_exchanges_is_neutral),
		cmocka_unit_test(the_denial_is_a_line),
	};

	return cmocka_run_group_tests_name("skeleton", tests, NULL, NULL);
}
