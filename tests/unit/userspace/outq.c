/* SPDX-License-Identifier: BSD-2-Clause */
#include "outq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The source stream: byte i of it is i modulo 251. */
#define STREAM 4096
static uint8_t stream[STREAM];

static int begin(void **state)
{
	(void)state;
	for (size_t i = 0; i < STREAM; i++)
		stream[i] = (uint8_t)(i % 251);
	return 0;
}

/* All that is queued, put together, with base as the offset of the stream's first byte that is still there. */
static size_t contents(const struct outq *q, uint64_t base, uint8_t *out, size_t room)
{
	struct iovec parts[64];
	size_t bytes, len = 0;
	int n = rddr_outq_parts(q, stream + base, base, parts, 64, &bytes);

	for (int i = 0; i < n; i++) {
		assert_true(len + parts[i].iov_len <= room);
		memcpy(out + len, parts[i].iov_base, parts[i].iov_len);
		len += parts[i].iov_len;
	}
	assert_int_equal(len, bytes);
	return len;
}

static void check(const struct outq *q, uint64_t base, const void *wanted, size_t len)
{
	uint8_t is[STREAM];

	assert_int_equal(q->bytes, len);
	assert_int_equal(contents(q, base, is, sizeof(is)), len);
	if (len)
		assert_memory_equal(is, wanted, len);
}

static void empty(void **state)
{
	struct outq q = {0};
	struct iovec parts[2];
	size_t bytes = 7;

	(void)state;
	assert_int_equal(rddr_outq_parts(&q, NULL, 0, parts, 2, &bytes), 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(rddr_outq_needs(&q, 42), 42);
	assert_int_equal(rddr_outq_reference(&q, 5, 0), 0);
	assert_int_equal(rddr_outq_own(&q, NULL, 0), 0);
	assert_int_equal(q.n, 0);
	rddr_outq_sent(&q, 0);
	rddr_outq_clear(&q);
	rddr_outq_clear(&q);
}

static void references_that_follow_become_one(void **state)
{
	struct outq q = {0};

	(void)state;
	for (uint64_t at = 100; at < 400; at += 10)
		assert_int_equal(rddr_outq_reference(&q, at, 10), 0);
	assert_int_equal(q.n, 1);
	assert_null(q.segments);
	check(&q, 0, stream + 100, 300);
	check(&q, 100, stream + 100, 300);
	assert_int_equal(rddr_outq_needs(&q, 9999), 100);
	rddr_outq_sent(&q, 50);
	assert_int_equal(rddr_outq_needs(&q, 9999), 150);
	check(&q, 150, stream + 150, 250);
	/* One that leaves a gap is one of its own; so is one that goes back. */
	assert_int_equal(rddr_outq_reference(&q, 401, 1), 0);
	assert_int_equal(q.n, 2);
	assert_int_equal(rddr_outq_reference(&q, 300, 2), 0);
	assert_int_equal(q.n, 3);
	assert_int_equal(q.bytes, 253);
	rddr_outq_clear(&q);
	assert_int_equal(q.bytes, 0);
	assert_int_equal(rddr_outq_needs(&q, 1), 1);
}

static void own_bytes_are_copies(void **state)
{
	struct outq q = {0};
	char text[] = "mine";

	(void)state;
	assert_int_equal(rddr_outq_own(&q, text, 4), 0);
	memset(text, 'x', 4);
	check(&q, 0, "mine", 4);
	assert_int_equal(q.own, 4);
	assert_int_equal(rddr_outq_needs(&q, 77), 77);
	rddr_outq_sent(&q, 3);
	assert_int_equal(q.own, 1);
	check(&q, 0, "e", 1);
	/* Empty, it holds nothing any more. */
	rddr_outq_sent(&q, 1);
	assert_int_equal(q.n, 0);
	assert_int_equal(q.own, 0);
	assert_int_equal(q.first, 0);
}

static void the_last_ones_are_cut(void **state)
{
	struct outq q = {0};

	(void)state;
	assert_int_equal(rddr_outq_reference(&q, 100, 10), 0);
	assert_int_equal(rddr_outq_own(&q, "mine", 4), 0);
	assert_int_equal(rddr_outq_reference(&q, 110, 10), 0);
	rddr_outq_cut(&q, 0);
	assert_int_equal(q.bytes, 24);
	/* All of the last, and a part of what is in front of it, the first byte of which was sent. */
	rddr_outq_sent(&q, 11);
	rddr_outq_cut(&q, 11);
	assert_int_equal(q.bytes, 2);
	assert_int_equal(q.own, 2);
	check(&q, 0, "in", 2);
	/* It goes on from there. */
	assert_int_equal(rddr_outq_reference(&q, 200, 5), 0);
	assert_int_equal(q.bytes, 7);
	rddr_outq_cut(&q, 7);
	assert_int_equal(q.bytes + q.own + q.n, 0);
	assert_int_equal(rddr_outq_needs(&q, 77), 77);
	assert_int_equal(rddr_outq_reference(&q, 100, 10), 0);
	rddr_outq_cut(&q, 4);
	check(&q, 100, stream + 100, 6);
	rddr_outq_clear(&q);
}

static void own_bytes_part_references(void **state)
{
	struct outq q = {0};
	static const uint8_t own[] = {'A', 'B', 'C', 'D'};
	uint8_t wanted[24];

	(void)state;
	assert_int_equal(rddr_outq_reference(&q, 0, 10), 0);
	assert_int_equal(rddr_outq_own(&q, own, 4), 0);
	assert_int_equal(rddr_outq_reference(&q, 10, 10), 0);
	assert_int_equal(q.n, 3);
	memcpy(wanted, stream, 10);
	memcpy(wanted + 10, own, 4);
	memcpy(wanted + 14, stream + 10, 10);
	for (size_t cut = 0; cut <= 24; cut++) {
		struct outq copy = {0};

		assert_int_equal(rddr_outq_reference(&copy, 0, 10), 0);
		assert_int_equal(rddr_outq_own(&copy, own, 4), 0);
		assert_int_equal(rddr_outq_reference(&copy, 10, 10), 0);
		rddr_outq_sent(&copy, cut);
		check(&copy, 0, wanted + cut, 24 - cut);
		assert_int_equal(rddr_outq_needs(&copy, 20), cut < 10 ? cut : cut < 14 ? 10 : cut - 4);
		assert_int_equal(copy.own, cut < 10 ? 4 : cut < 14 ? 14 - cut : 0);
		rddr_outq_clear(&copy);
	}
	rddr_outq_clear(&q);
}

static void as_many_parts_as_asked_for(void **state)
{
	struct outq q = {0};
	struct iovec parts[3];
	size_t bytes;

	(void)state;
	for (int i = 0; i < 5; i++)
		assert_int_equal(rddr_outq_own(&q, "abcde" + i, 1), 0);
	assert_int_equal(rddr_outq_parts(&q, NULL, 0, parts, 3, &bytes), 3);
	assert_int_equal(bytes, 3);
	rddr_outq_sent(&q, 3);
	assert_int_equal(rddr_outq_parts(&q, NULL, 0, parts, 3, &bytes), 2);
	assert_int_equal(bytes, 2);
	assert_memory_equal(parts[0].iov_base, "d", 1);
	rddr_outq_clear(&q);
}

/* Any mix of what can be done, against an array of bytes. */
static void against_a_plain_array(void **state)
{
	static uint8_t model[1 << 16];
	struct outq q = {0};
	size_t head = 0, tail = 0, own = 0;
	uint64_t offset = 0;
	unsigned x = 12345;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		x = x * 1103515245 + 12345;
		size_t len = (x >> 16) % 13;

		switch ((x >> 8) % 4) {
		case 0:
			if (offset + len > STREAM || tail + len > sizeof(model))
				break;
			assert_int_equal(rddr_outq_reference(&q, offset, len), 0);
			memcpy(model + tail, stream + offset, len);
			tail += len;
			offset += len + (x >> 28) % 2;
			break;
		case 1:
			if (tail + len > sizeof(model))
				break;
			assert_int_equal(rddr_outq_own(&q, "0123456789abcdef", len), 0);
			memcpy(model + tail, "0123456789abcdef", len);
			tail += len;
			own += len;
			break;
		default:
			len = len < tail - head ? len : tail - head;
			rddr_outq_sent(&q, len);
			head += len;
		}
		assert_int_equal(q.bytes, tail - head);
		assert_true(q.own <= own);
		if (step % 97 == 0 && q.n <= 64)
			check(&q, 0, model + head, tail - head);
	}
	rddr_outq_clear(&q);
	assert_int_equal(q.bytes + q.own + q.n, 0);
}

/* What is sent in whatever pieces is kept, and comes first again. */
static void kept_and_sent_again(void **state)
{
	uint8_t wanted[100];

	(void)state;
	for (size_t step = 1; step < 70; step++) {
		struct outq q = {0}, kept = {0};

		memset(wanted, 0, sizeof(wanted));
		for (size_t at = 0, k = 0; k < 6; at += 10, k++) {
			if (k % 2) {
				memset(wanted + at, 'a' + (int)k, 10);
				assert_int_equal(rddr_outq_own(&q, wanted + at, 10), 0);
			} else {
				memcpy(wanted + at, stream + at, 10);
				assert_int_equal(rddr_outq_reference(&q, at, 10), 0);
			}
		}
		for (size_t sent = 0; sent < 45;) {
			size_t part = step < 45 - sent ? step : 45 - sent;

			assert_int_equal(rddr_outq_keep(&q, part, &kept), 0);
			sent += part;
			assert_int_equal(rddr_outq_needs(&kept, 999), 0);
			check(&kept, 0, wanted, sent);
			check(&q, 0, wanted + sent, 60 - sent);
		}
		assert_int_equal(rddr_outq_prepend(&q, &kept), 0);
		assert_int_equal(kept.bytes + kept.own + kept.n, 0);
		check(&q, 0, wanted, 60);
		assert_int_equal(q.own, 30);
		assert_int_equal(rddr_outq_own(&q, "end", 3), 0);
		rddr_outq_sent(&q, 60);
		check(&q, 0, "end", 3);
		assert_int_equal(rddr_outq_prepend(&q, &kept), 0);
		check(&q, 0, "end", 3);
		rddr_outq_clear(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty),
		cmocka_unit_test(references_that_follow_become_one),
		cmocka_unit_test(own_bytes_are_copies),
		cmocka_unit_test(the_last_ones_are_cut),
		cmocka_unit_test(own_bytes_part_references),
		cmocka_unit_test(as_many_parts_as_asked_for),
		cmocka_unit_test(against_a_plain_array),
		cmocka_unit_test(kept_and_sent_again),
	};

	return cmocka_run_group_tests_name("outq", tests, begin, NULL);
}
