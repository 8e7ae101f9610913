/* SPDX-License-Identifier: BSD-2-Clause */
/* That the judge is right is tests/unit/diff/bytes.c's to show; here it is used by rddr_body_compare. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakebody.h"

struct row {
	const char *name;
	const char *texts[4];
	bool plain;
	const char *where, *why;
};

static const struct row rows[] = {
	{.name = "nothing", .texts = {"", "", ""}},
	{.name = "the same", .texts = {"abcabc", "abcabc", "abcabc"}},
	{.name = "one differs", .texts = {"abcabc", "abcabc", "abxabc"}, .where = "byte 2", .why = "outside"},
	{.name = "one differs, without the pair",
	 .texts = {"abcabc", "abxabc", "abcabc"},
	 .plain = true,
	 .where = "byte 2",
	 .why = "0x78"},
	{.name = "noise in its place", .texts = {"id=1234;", "id=5678;", "id=9999;"}},
	{.name = "noise of another length",
	 .texts = {"id=1234;", "id=5678;", "id=99999;"},
	 .where = "byte 7",
	 .why = "outside"},
	{.name = "ended early", .texts = {"abc", "abc", "ab"}, .where = "byte 2", .why = "ended early"},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fakebody *f = calloc(1, sizeof(*f));
		unsigned n = 0;

		for (; n < 4 && rows[i].texts[n]; n++)
			f->in[n] = slice_of(rows[i].texts[n]);
		f->conf = (struct body_conf){
			.kind = BODY_BYTES, .n = n, .do_filter = !rows[i].plain, .limit = 4096, .noise_run = 256};
		f->budget = (struct noise_budget){.run = 256, .share = 20};
		fakebody_play_all(f);
		if (!rows[i].why && !fakebody_agrees(f))
			fail_msg("%s: %s: %s", rows[i].name, f->finding.where, f->finding.why);
		if (rows[i].why && (f->verdict != RDDR_DIVERGE || strcmp(f->finding.where, rows[i].where) != 0 ||
				    !strstr(f->finding.why, rows[i].why)))
			fail_msg("%s: %s: %s", rows[i].name, f->finding.where, f->finding.why);
		free(f);
	}
}

/* The place is counted over all that went before. */
static void test_long(void **state)
{
	static char text[3][100000];
	struct fakebody *f = calloc(1, sizeof(*f));

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		for (size_t at = 0; at < sizeof(text[i]) - 1; at++)
			text[i][at] = (char)('!' + at % 89);
		f->in[i] = slice_of(text[i]);
	}
	f->conf = (struct body_conf){.kind = BODY_BYTES, .n = 3, .limit = 4096};
	fakebody_play_all(f);
	assert_true(fakebody_agrees(f));
	text[1][70000] = ' ';
	fakebody_play_all(f);
	assert_int_equal(f->verdict, RDDR_DIVERGE);
	assert_string_equal(f->finding.where, "byte 70000");
	assert_int_equal(f->finding.instance, 1);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
