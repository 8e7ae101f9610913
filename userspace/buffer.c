/* SPDX-License-Identifier: BSD-2-Clause */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES (8u << 20)

static unsigned shift_of(size_t size)
{
	unsigned shift = BUFFER_MIN_SHIFT;

	while (((size_t)1 << shift) < size && shift < BUFFER_MAX_SHIFT)
		shift++;
	return shift;
}

static void *block_get(struct pool *pool, unsigned shift)
{
	struct pool_block *block = pool->free[shift - BUFFER_MIN_SHIFT];
	size_t size = (size_t)1 << shift;

	if (block) {
		pool->free[shift - BUFFER_MIN_SHIFT] = block->next;
		pool->cached -= size;
	} else {
		block = malloc(size);
	}
	if (block)
		pool->lent += size;
	return block;
}

static void block_put(struct pool *pool, void *data, size_t size)
{
	struct pool_block *block = data;
	unsigned place = shift_of(size) - BUFFER_MIN_SHIFT;

	pool->lent -= size;
	if (pool->cached + size > CACHE_BYTES) {
		free(block);
		return;
	}
	block->next = pool->free[place];
	pool->free[place] = block;
	pool->cached += size;
}

void rddr_pool_drain(struct pool *pool)
{
	for (size_t i = 0; i < sizeof(pool->free) / sizeof(pool->free[0]); i++) {
		while (pool->free[i]) {
			struct pool_block *block = pool->free[i];

			pool->free[i] = block->next;
			free(block);
		}
	}
	pool->cached = 0;
}

static void move_together(struct buffer *b)
{
	memmove(b->data, b->data + b->head, rddr_buffer_len(b));
	b->tail -= b->head;
	b->head = 0;
}

static int grow(struct pool *pool, struct buffer *b, size_t size)
{
	unsigned shift = shift_of(size);
	uint8_t *data = block_get(pool, shift);
	size_t len = rddr_buffer_len(b);

	if (!data)
		return -1;
	if (b->data) {
		memcpy(data, b->data + b->head, len);
		block_put(pool, b->data, b->size);
	}
	*b = (struct buffer){.data = data, .size = 1u << shift, .tail = (uint32_t)len};
	return 0;
}

size_t rddr_buffer_room(struct pool *pool, struct buffer *b, size_t want, size_t max, uint8_t **where)
{
	size_t len = rddr_buffer_len(b);

	*where = NULL;
	if (len >= max)
		return 0;
	if (!b->data && grow(pool, b, want < max ? want : max) < 0)
		return 0;
	if (b->tail == b->size) {
		/* Moving is worth it when at least half comes free; otherwise a block of twice the size is. */
		if (b->head >= b->size / 2)
			move_together(b);
		else if (b->size < max && grow(pool, b, (size_t)b->size * 2) < 0)
			return 0;
		else if (b->head)
			move_together(b);
	}
	if (b->tail == b->size)
		return 0;
	*where = b->data + b->tail;
	size_t room = b->size - b->tail;
	return room < max - len ? room : max - len;
}

void rddr_buffer_drop(struct pool *pool, struct buffer *b, size_t len)
{
	b->head += (uint32_t)len;
	if (b->head == b->tail)
		rddr_buffer_trim(pool, b);
}

void rddr_buffer_wipe(struct buffer *b, size_t len)
{
	if (b->data)
		explicit_bzero(b->data + b->head, len);
}

void rddr_buffer_trim(struct pool *pool, struct buffer *b)
{
	if (!b->data || b->head != b->tail)
		return;
	block_put(pool, b->data, b->size);
	*b = (struct buffer){0};
}
