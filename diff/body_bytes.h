/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body_bytes.h - the plainest way to judge: streams match byte for byte.
 *
 * A position is judged once every present stream has reached it, or has ended before it; so neither the verdict nor
 * where it falls depends on who was faster. What agrees is released at once. What a call that finds a divergence has in
 * view is not: how much of the agreeing bytes before a divergence went out depends on how they arrived.
 *
 * With the filter pair, where instances 0 and 1 differ is noise for all, aligned by position. noise.h says how far it
 * reaches. Noise, too, goes out as it comes, as long as nothing that the pair may yet show can matter; a byte that fits
 * only if the span goes on in a certain way waits for that, at most for as many bytes as the budget lets a run have.
 */
#ifndef RDDR_BODY_BYTES_H
#define RDDR_BODY_BYTES_H

#include "noise.h"
#include "rddr_diff.h"

struct byte_judge {
	bool filter;
	size_t patience;			     /* bytes that a doubtful one waits for */
	bool (*charge_noise)(void *ctx, size_t run); /* as rddr_host.charge_noise; needed with filter */
	void *ctx;
	struct noise_walk walk; /* over what was consumed; zeroed at the beginning */
};

/*
 * noise_run and limit in bytes, 0 for not known: the longest run of noise, and what a view can hold at most. The judge
 * needs no end.
 */
void rddr_body_bytes_init(struct byte_judge *judge, bool filter, size_t noise_run, size_t limit,
			  bool (*charge_noise)(void *ctx, size_t run), void *ctx);

/* As rddr_diff_plugin.diff_traffic. */
enum rddr_verdict rddr_body_bytes_compare(struct byte_judge *judge, const struct rddr_view views[], unsigned n,
					  struct rddr_diff_result *result);

#endif
