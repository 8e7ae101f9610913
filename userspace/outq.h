/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * outq.h - what an end is still to be sent, in order, mostly without copies.
 *
 * A queue holds segments: references into the stream that another end receives (by offset in that stream, so that many
 * queues share one receive buffer) and bytes of RDDR's own. References that follow one another become one.
 */
#ifndef RDDR_OUTQ_H
#define RDDR_OUTQ_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define OUTQ_INLINE 3

struct segment {
	uint8_t *own;	 /* bytes of RDDR's own, freed with the segment; NULL: a reference */
	uint64_t offset; /* of a reference, in the source stream; of own bytes, in their block */
	uint32_t len;
};

/* Zeroed: empty. */
struct outq {
	struct segment *segments; /* NULL: the inline ones */
	uint32_t first, n, room;
	size_t bytes; /* that wait here */
	size_t own;   /* of them, those of RDDR's own */
	struct segment few[OUTQ_INLINE];
};

/* 0 or -ENOMEM, which leaves the queue as it was. */
int rddr_outq_reference(struct outq *q, uint64_t offset, size_t len);
/* Copies the bytes. */
int rddr_outq_own(struct outq *q, const void *data, size_t len);

/*
 * Fills at most n parts with what comes first. stream and base: the source stream's bytes and the offset of the first
 * of them. Returns how many were filled; *bytes is their sum.
 */
int rddr_outq_parts(const struct outq *q, const uint8_t *stream, uint64_t base, struct iovec *parts, int n,
		    size_t *bytes);

/* Forgets the first len bytes. */
void rddr_outq_sent(struct outq *q, size_t len);

/* Forgets the last len bytes. */
void rddr_outq_cut(struct outq *q, size_t len);

/* Forgets the first ones, too, but puts them behind what is in kept. -ENOMEM: some of them are not there; q has
 * forgotten them all the same. */
int rddr_outq_keep(struct outq *q, size_t len, struct outq *kept);

/* Puts what is in front before what is in q; front is empty afterwards. 0, or -ENOMEM, which leaves both as they were.
 */
int rddr_outq_prepend(struct outq *q, struct outq *front);

/* The lowest offset of the source stream that is still referred to; none when there is no reference. */
uint64_t rddr_outq_needs(const struct outq *q, uint64_t none);

/* Forgets everything. */
void rddr_outq_clear(struct outq *q);

#endif
