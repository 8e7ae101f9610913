/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * buffer.h - receive buffers that cost nothing while they are empty.
 *
 * A pool belongs to one worker and hands out blocks of powers of two. A buffer holds one contiguous run of
 * bytes; it takes a block when bytes come and gives it back with the last byte, so that an idle session holds none.
 */
#ifndef RDDR_BUFFER_H
#define RDDR_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#define BUFFER_MIN_SHIFT 12 /* 4 KiB */
#define BUFFER_MAX_SHIFT 26 /* 64 MiB */
#define BUFFER_MAX	 (1u << BUFFER_MAX_SHIFT)

struct pool_block {
	struct pool_block *next;
};

/* Zeroed: empty. */
struct pool {
	struct pool_block *free[BUFFER_MAX_SHIFT - BUFFER_MIN_SHIFT + 1];
	size_t cached; /* bytes on the free lists, bounded */
	size_t lent;   /* bytes in buffers */
};

/* Zeroed: empty. Bytes are data[head] to data[tail - 1]. */
struct buffer {
	uint8_t *data;
	uint32_t size;
	uint32_t head, tail;
};

static inline size_t rddr_buffer_len(const struct buffer *b)
{
	return b->tail - b->head;
}

static inline const uint8_t *rddr_buffer_bytes(const struct buffer *b)
{
	return b->data ? b->data + b->head : NULL;
}

/* Frees the cached blocks. Nothing may be lent any more. */
void rddr_pool_drain(struct pool *pool);

/*
 * Makes room behind the bytes: *where is set, the room's size is returned. An empty buffer gets a block of at least
 * want bytes; one that is full is moved together, or grown while its block is smaller than max. 0: it holds max bytes
 * already, or there is no memory
 * (*where is NULL then).
 */
size_t rddr_buffer_room(struct pool *pool, struct buffer *b, size_t want, size_t max, uint8_t **where);

/* Says that len bytes of the room were filled. */
static inline void rddr_buffer_filled(struct buffer *b, size_t len)
{
	b->tail += (uint32_t)len;
}

/* Drops len bytes from the front; the block goes back to the pool with the last one. */
void rddr_buffer_drop(struct pool *pool, struct buffer *b, size_t len);

/* Overwrites the first len bytes, which are about to be dropped. */
void rddr_buffer_wipe(struct buffer *b, size_t len);

/* Gives the block back when nothing is in it. */
void rddr_buffer_trim(struct pool *pool, struct buffer *b);

#endif
