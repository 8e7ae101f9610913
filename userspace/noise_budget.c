/* SPDX-License-Identifier: BSD-2-Clause */
#include "noise_budget.h"

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void rddr_noise_budget_begin(struct noise_account *account)
{
	*account = (struct noise_account){0};
}

void rddr_noise_budget_note(struct noise_account *account, uint64_t bytes)
{
	account->compared = add(account->compared, bytes);
}

/* Whether noise is more than share percent of the bytes, without a product that overflows. */
static bool past_share(uint64_t noise, uint32_t share, uint64_t bytes)
{
	uint64_t allowed = bytes / 100 * share + bytes % 100 * share / 100;

	return share < 100 && noise > allowed;
}

bool rddr_noise_budget_charge(struct noise_account *account, const struct noise_budget *budget, uint64_t run)
{
	bool goes_on = account->run_end == account->compared;
	uint64_t start = goes_on ? account->run_start : account->compared;
	uint64_t end = add(account->compared, run);
	uint64_t noise = add(account->noise, run);
	uint64_t base = start > RDDR_NOISE_BUDGET_FLOOR ? start : RDDR_NOISE_BUDGET_FLOOR;

	if (run == 0)
		return true;
	if (end - start > budget->run || past_share(noise, budget->share, base))
		return false;
	account->noise = noise;
	account->run_start = start;
	account->run_end = end;
	return true;
}
