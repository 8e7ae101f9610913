/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noise_budget.h - how much of an answer the filter pair may declare to be noise.
 *
 * Two rules. A run of noise, bytes in a row, is at most noise.run bytes long. And when a run is charged, the noise of
 * the answer up to and with it is at most noise.share percent of the bytes of the answer that had been compared where
 * the run begins, or of RDDR_NOISE_BUDGET_FLOOR bytes while there are fewer of them: an answer is judged as it streams,
 * and its first token comes before there is much to be a share of.
 *
 * Pure arithmetic: the core keeps an account for each session that filters, and is told by its caller what goes on. The
 * caller notes the bytes of the source that diff_traffic consumed after each call; a plugin consumes what lies before a
 * run in an earlier call than the one in which it charges the run. So the outcome does not depend on how an answer is
 * cut into pieces: a charge that begins exactly where the last one ended goes on with the same run, and the run is
 * weighed as a whole against what was compared where it began.
 */
#ifndef RDDR_NOISE_BUDGET_H
#define RDDR_NOISE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

/* Bytes that an answer counts as having at least. */
#define RDDR_NOISE_BUDGET_FLOOR 1024

/* One answer's. Zeroed is the same as begun. All in bytes. */
struct noise_account {
	uint64_t compared;  /* of the answer so far, its noise included */
	uint64_t noise;	    /* of them noise; may run ahead of compared until the run is noted */
	uint64_t run_start; /* where the last run begins in the answer ... */
	uint64_t run_end;   /* ... and ends, as far as it was charged */
};

/* A new answer begins; nothing of the last one counts any more. */
void rddr_noise_budget_begin(struct noise_account *account);

/* bytes more of the answer have gone by, alike or noise. */
void rddr_noise_budget_note(struct noise_account *account, uint64_t bytes);

/*
 * Says that the next run bytes are noise. False: that is past the budget, and the account is as it was. A run of 0 is
 * always within it.
 */
bool rddr_noise_budget_charge(struct noise_account *account, const struct noise_budget *budget, uint64_t run);

#endif
