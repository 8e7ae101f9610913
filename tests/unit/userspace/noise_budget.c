/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "noise_budget.h"

static const struct noise_budget usual = {.run = 256, .share = 20};

/* The source's next bytes, alike in all. */
static void alike(struct noise_account *a, uint64_t bytes)
{
	rddr_noise_budget_note(a, bytes);
}

/* The source's next bytes, noise, as a plugin tells of them: charged, then consumed. */
static bool noise(struct noise_account *a, const struct noise_budget *b, uint64_t run)
{
	if (!rddr_noise_budget_charge(a, b, run))
		return false;
	rddr_noise_budget_note(a, run);
	return true;
}

static void a_run_may_be_as_long_as_the_budget_says(void **state)
{
	struct noise_account a = {0};

	(void)state;
	alike(&a, 100000);
	assert_true(noise(&a, &usual, 256));
	alike(&a, 1);
	assert_false(noise(&a, &usual, 257));
}

static void a_refused_run_leaves_the_account_alone(void **state)
{
	struct noise_account a = {0}, before;

	(void)state;
	alike(&a, 10);
	assert_true(noise(&a, &usual, 3));
	alike(&a, 4);
	before = a;
	assert_false(noise(&a, &usual, 1000));
	assert_memory_equal(&a, &before, sizeof(a));
}

static void nothing_is_always_within(void **state)
{
	static const struct noise_budget none = {0};
	struct noise_account a = {0};

	(void)state;
	assert_true(rddr_noise_budget_charge(&a, &none, 0));
	assert_false(rddr_noise_budget_charge(&a, &none, 1));
}

/* 20 percent of the floor are 204 bytes. */
static void a_short_answer_counts_as_the_floor(void **state)
{
	struct noise_account a = {0};

	(void)state;
	assert_true(noise(&a, &usual, 204));
	alike(&a, 1);
	assert_false(noise(&a, &usual, 1));
	/* 1100 bytes allow for 220: behind them there is room again. */
	alike(&a, 1100 - 205);
	assert_true(noise(&a, &usual, 16));
	alike(&a, 1);
	assert_false(noise(&a, &usual, 4));
}

static void the_share_is_of_what_was_compared_before_the_run(void **state)
{
	static const struct noise_budget half = {.run = UINT32_MAX, .share = 50};
	struct noise_account a = {0};

	(void)state;
	alike(&a, 10000);
	assert_false(noise(&a, &half, 5001));
	assert_true(noise(&a, &half, 5000));
}

static void a_full_share_bounds_the_run_alone(void **state)
{
	static const struct noise_budget all = {.run = 8, .share = 100};
	struct noise_account a = {0};

	(void)state;
	for (int i = 0; i < 1000; i++) {
		assert_true(noise(&a, &all, 8));
		alike(&a, 1);
	}
	assert_false(noise(&a, &all, 9));
}

static void no_share_is_no_noise(void **state)
{
	static const struct noise_budget none = {.run = 256, .share = 0};
	struct noise_account a = {0};

	(void)state;
	alike(&a, 1 << 30);
	assert_false(noise(&a, &none, 1));
}

static void a_new_answer_begins_at_nothing(void **state)
{
	struct noise_account a = {0};

	(void)state;
	assert_true(noise(&a, &usual, 200));
	alike(&a, 1);
	assert_false(noise(&a, &usual, 5));
	rddr_noise_budget_begin(&a);
	assert_true(noise(&a, &usual, 200));
}

/* One byte after the other is weighed as the whole is: by its length, and against what lay before it. */
static void pieces_are_weighed_as_the_whole(void **state)
{
	static const struct noise_budget budgets[] = {{256, 20}, {256, 21}, {10, 100}, {300, 2}, {1, 1}, {64, 5}};
	static const uint64_t before[] = {0, 1, 1023, 1024, 1025, 5000, 100000};

	(void)state;
	for (size_t i = 0; i < sizeof(budgets) / sizeof(budgets[0]); i++) {
		for (size_t k = 0; k < sizeof(before) / sizeof(before[0]); k++) {
			for (uint64_t run = 1; run < 300; run++) {
				struct noise_account whole = {0}, pieces = {0};
				bool fits = true;

				alike(&whole, before[k]);
				alike(&pieces, before[k]);
				for (uint64_t done = 0; done < run && fits; done++)
					fits = noise(&pieces, &budgets[i], 1);
				assert_int_equal(noise(&whole, &budgets[i], run), fits);
				if (fits)
					assert_memory_equal(&whole, &pieces, sizeof(whole));
			}
		}
	}
}

static void agreed_bytes_end_a_run(void **state)
{
	static const struct noise_budget all = {.run = 10, .share = 100};
	struct noise_account a = {0};

	(void)state;
	assert_true(noise(&a, &all, 10));
	assert_false(noise(&a, &all, 1));
	alike(&a, 1);
	assert_true(noise(&a, &all, 10));
}

static void huge_numbers_do_not_wrap(void **state)
{
	static const struct noise_budget wide = {.run = UINT32_MAX, .share = 99};
	struct noise_account a = {0};

	(void)state;
	alike(&a, UINT64_MAX - 5);
	alike(&a, 100);
	assert_int_equal(a.compared, UINT64_MAX);
	assert_false(rddr_noise_budget_charge(&a, &usual, UINT64_MAX));
	rddr_noise_budget_begin(&a);
	alike(&a, UINT64_MAX / 2);
	assert_true(rddr_noise_budget_charge(&a, &wide, UINT32_MAX));
	assert_false(rddr_noise_budget_charge(&a, &wide, UINT64_MAX));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_may_be_as_long_as_the_budget_says),
		cmocka_unit_test(a_refused_run_leaves_the_account_alone),
		cmocka_unit_test(nothing_is_always_within),
		cmocka_unit_test(a_short_answer_counts_as_the_floor),
		cmocka_unit_test(the_share_is_of_what_was_compared_before_the_run),
		cmocka_unit_test(a_full_share_bounds_the_run_alone),
		cmocka_unit_test(no_share_is_no_noise),
		cmocka_unit_test(a_new_answer_begins_at_nothing),
		cmocka_unit_test(pieces_are_weighed_as_the_whole),
		cmocka_unit_test(agreed_bytes_end_a_run),
		cmocka_unit_test(huge_numbers_do_not_wrap),
	};

	return cmocka_run_group_tests_name("noise_budget", tests, NULL, NULL);
}
