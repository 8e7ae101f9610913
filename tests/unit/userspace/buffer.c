/* SPDX-License-Identifier: BSD-2-Clause */
#include "buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIN ((size_t)1 << BUFFER_MIN_SHIFT)

/* Fills len bytes behind the others, from value upwards. */
static size_t put(struct pool *pool, struct buffer *b, size_t len, size_t max, uint8_t *value)
{
	uint8_t *where;
	size_t room = rddr_buffer_room(pool, b, MIN, max, &where);

	len = len < room ? len : room;
	for (size_t i = 0; i < len; i++)
		where[i] = (*value)++;
	rddr_buffer_filled(b, len);
	return len;
}

static void costs_nothing_while_empty(void **state)
{
	struct pool pool = {0};
	struct buffer b = {0};
	uint8_t *where;

	(void)state;
	assert_null(rddr_buffer_bytes(&b));
	assert_int_equal(rddr_buffer_len(&b), 0);
	assert_int_equal(rddr_buffer_room(&pool, &b, 1, 1 << 20, &where), MIN);
	assert_non_null(where);
	assert_int_equal(pool.lent, MIN);
	rddr_buffer_trim(&pool, &b);
	assert_null(b.data);
	assert_int_equal(pool.lent, 0);
	assert_int_equal(pool.cached, MIN);
	/* The same block again. */
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, 1 << 20, &where), MIN);
	assert_int_equal(pool.cached, 0);
	rddr_buffer_filled(&b, 10);
	rddr_buffer_trim(&pool, &b);
	assert_non_null(b.data);
	rddr_buffer_drop(&pool, &b, 9);
	assert_non_null(b.data);
	rddr_buffer_drop(&pool, &b, 1);
	assert_null(b.data);
	rddr_pool_drain(&pool);
	assert_int_equal(pool.cached, 0);
}

static void blocks_are_powers_of_two(void **state)
{
	static const size_t wanted[][2] = {{0, MIN},
					   {1, MIN},
					   {MIN, MIN},
					   {MIN + 1, 2 * MIN},
					   {100000, 1 << 17},
					   {1 << 17, 1 << 17},
					   {BUFFER_MAX - 1, BUFFER_MAX}};

	(void)state;
	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		struct pool pool = {0};
		struct buffer b = {0};
		uint8_t *where;

		assert_int_equal(rddr_buffer_room(&pool, &b, wanted[i][0], BUFFER_MAX, &where), wanted[i][1]);
		assert_int_equal(pool.lent, wanted[i][1]);
		rddr_buffer_trim(&pool, &b);
		rddr_pool_drain(&pool);
	}
}

static void max_bounds_the_bytes(void **state)
{
	struct pool pool = {0};
	struct buffer b = {0};
	uint8_t *where, value = 0;
	size_t len = 0, n;

	(void)state;
	/* A max that is no power of two, and less than a block. */
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, 100, &where), 100);
	rddr_buffer_filled(&b, 60);
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, 100, &where), 40);
	rddr_buffer_filled(&b, 40);
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, 100, &where), 0);
	assert_null(where);
	rddr_buffer_drop(&pool, &b, 30);
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, 100, &where), 30);
	rddr_buffer_drop(&pool, &b, 70);
	/* It grows up to it. */
	while ((n = put(&pool, &b, SIZE_MAX, 50000, &value)) > 0)
		len += n;
	assert_int_equal(len, 50000);
	assert_int_equal(rddr_buffer_len(&b), 50000);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(rddr_buffer_bytes(&b)[i], (uint8_t)i);
	rddr_buffer_drop(&pool, &b, len);
	rddr_pool_drain(&pool);
}

/* A stream that passes through: what is in it stays as it was, and the block stays small. */
static void stays_small_for_a_stream(void **state)
{
	struct pool pool = {0};
	struct buffer b = {0};
	uint8_t in = 0, out = 0;
	unsigned x = 99;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		x = x * 1103515245 + 12345;
		put(&pool, &b, (x >> 16) % 900 + 1, 1000, &in);
		size_t drop = (x >> 8) % 1000, len = rddr_buffer_len(&b);

		assert_true(len <= 1000);
		drop = drop < len ? drop : len;
		for (size_t i = 0; i < drop; i++)
			assert_int_equal(rddr_buffer_bytes(&b)[i], out++);
		if (drop)
			rddr_buffer_drop(&pool, &b, drop);
		assert_true(b.size <= MIN);
	}
	rddr_buffer_drop(&pool, &b, rddr_buffer_len(&b));
	assert_int_equal(pool.lent, 0);
	rddr_pool_drain(&pool);
}

/* Big and small, growing and moving together, with max changing: nothing is lost. */
static void nothing_is_lost(void **state)
{
	struct pool pool = {0};
	struct buffer b = {0};
	uint8_t in = 0, out = 0;
	unsigned x = 7;

	(void)state;
	for (int step = 0; step < 3000; step++) {
		x = x * 1103515245 + 12345;
		size_t max = (size_t)1000 << (x >> 20) % 7;

		put(&pool, &b, (x >> 4) % 40000, max, &in);
		size_t len = rddr_buffer_len(&b), drop = (x >> 8) % (len + 1);

		for (size_t i = 0; i < drop; i++)
			assert_int_equal(rddr_buffer_bytes(&b)[i], out++);
		if (drop)
			rddr_buffer_drop(&pool, &b, drop);
		assert_int_equal(pool.lent, b.data ? b.size : 0);
		assert_int_equal((uint8_t)(in - out), (uint8_t)rddr_buffer_len(&b));
	}
	if (rddr_buffer_len(&b))
		rddr_buffer_drop(&pool, &b, rddr_buffer_len(&b));
	rddr_pool_drain(&pool);
}

static void the_cache_is_bounded(void **state)
{
	struct pool pool = {0};
	struct buffer b[64] = {0};
	uint8_t *where;

	(void)state;
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(rddr_buffer_room(&pool, &b[i], 1 << 19, 1 << 19, &where), 1 << 19);
	assert_int_equal(pool.lent, (size_t)64 << 19);
	for (size_t i = 0; i < 64; i++)
		rddr_buffer_trim(&pool, &b[i]);
	assert_int_equal(pool.lent, 0);
	assert_true(pool.cached <= 8u << 20);
	assert_true(pool.cached > 0);
	rddr_pool_drain(&pool);
	assert_int_equal(pool.cached, 0);
	rddr_pool_drain(&pool);
}

/* At the largest block it does not go on growing, nor past its end. */
static void the_largest_block(void **state)
{
	struct pool pool = {0};
	struct buffer b = {0};
	uint8_t *where;
	size_t room;

	(void)state;
	room = rddr_buffer_room(&pool, &b, BUFFER_MAX, (size_t)BUFFER_MAX * 2, &where);
	assert_int_equal(room, BUFFER_MAX);
	rddr_buffer_filled(&b, room);
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, (size_t)BUFFER_MAX * 2, &where), 0);
	assert_null(where);
	assert_int_equal(b.size, BUFFER_MAX);
	/* Room comes with what is dropped. */
	rddr_buffer_drop(&pool, &b, 10);
	assert_int_equal(rddr_buffer_room(&pool, &b, MIN, (size_t)BUFFER_MAX * 2, &where), 10);
	rddr_buffer_drop(&pool, &b, rddr_buffer_len(&b));
	rddr_pool_drain(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(costs_nothing_while_empty), cmocka_unit_test(blocks_are_powers_of_two),
		cmocka_unit_test(max_bounds_the_bytes),	     cmocka_unit_test(stays_small_for_a_stream),
		cmocka_unit_test(nothing_is_lost),	     cmocka_unit_test(the_cache_is_bounded),
		cmocka_unit_test(the_largest_block),
	};

	return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}
