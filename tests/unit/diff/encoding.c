/* SPDX-License-Identifier: BSD-2-Clause */
#include <brotli/encode.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

#include "encoding.h"

#define RAW 100 /* deflate without zlib's head */

static uint8_t plain[200000];

static size_t code(int how, const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
	size_t made = room;
	z_stream z = {0};

	if (how == CODING_BROTLI) {
		assert_true(BrotliEncoderCompress(5, 22, BROTLI_MODE_GENERIC, len, in, &made, out));
		return made;
	}
	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, how == CODING_GZIP ? 31 : how == RAW ? -15 : 15, 8, 0), Z_OK);
	z.next_in = (Bytef *)in;
	z.avail_in = (uInt)len;
	z.next_out = out;
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	made = room - z.avail_out;
	deflateEnd(&z);
	return made;
}

/* Shows it in pieces, with little room; the result's length or the error. */
static int64_t take_off(enum coding coding, size_t ratio, const uint8_t *in, size_t len, size_t piece, size_t room,
			uint8_t *out, bool *ended)
{
	struct encoding *e = NULL;
	size_t at = 0, made = 0;
	int r;

	assert_int_equal(rddr_encoding_new(coding, ratio, &e), 0);
	for (;;) {
		size_t n = len - at < piece ? len - at : piece, taken, more;
		uint8_t *copy = malloc(n ? n : 1), *small = malloc(room);
		const char *why = NULL;

		assert_true(copy && small);
		if (n)
			memcpy(copy, in + at, n);
		r = rddr_encoding_decode(e, (struct slice){n ? copy : NULL, n}, &taken, small, room, &more, &why);
		if (r == 0) {
			assert_true(taken <= n && more <= room);
			memcpy(out + made, small, more);
		} else {
			assert_non_null(why);
		}
		free(copy);
		free(small);
		if (r < 0)
			break;
		at += taken;
		made += more;
		if (taken + more == 0)
			break;
	}
	*ended = rddr_encoding_ended(e);
	rddr_encoding_free(&e);
	assert_null(e);
	rddr_encoding_free(&e);
	return r < 0 ? r : (int64_t)made;
}

static void fill(void)
{
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(plain); i++) {
		x = x * 1103515245 + 12345;
		plain[i] = (uint8_t)("abcdefgh<>/ \n"[x >> 16 & 7]);
	}
}

static void what_was_coded_comes_back(void **state)
{
	static const struct {
		int how;
		enum coding coding;
	} ways[] = {{CODING_GZIP, CODING_GZIP},
		    {CODING_DEFLATE, CODING_DEFLATE},
		    {RAW, CODING_DEFLATE},
		    {CODING_BROTLI, CODING_BROTLI}};
	static const size_t lengths[] = {0, 1, 17, 5000, sizeof(plain)};
	static uint8_t coded[300000], out[sizeof(plain)];

	(void)state;
	fill();
	for (size_t w = 0; w < sizeof(ways) / sizeof(ways[0]); w++) {
		for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
			size_t len = code(ways[w].how, plain, lengths[l], coded, sizeof(coded));
			size_t piece = lengths[l] > 5000 ? 1111 : 1;
			bool ended;

			assert_int_equal(take_off(ways[w].coding, 100, coded, len, SIZE_MAX, 1 << 20, out, &ended),
					 lengths[l]);
			assert_true(ended);
			assert_int_equal(take_off(ways[w].coding, 100, coded, len, piece, 7, out, &ended), lengths[l]);
			assert_true(ended);
			assert_memory_equal(out, plain, lengths[l]);
		}
	}
}

static void cut_or_broken_is_seen(void **state)
{
	static const enum coding codings[] = {CODING_GZIP, CODING_DEFLATE, CODING_BROTLI};
	static uint8_t coded[20000], out[20000];

	(void)state;
	fill();
	for (size_t w = 0; w < sizeof(codings) / sizeof(codings[0]); w++) {
		size_t len = code((int)codings[w], plain, 3000, coded, sizeof(coded));
		bool ended;

		assert_true(take_off(codings[w], 100, coded, len - 1, SIZE_MAX, 4096, out, &ended) >= 0);
		assert_false(ended);
		coded[len] = 'x';
		assert_int_equal(take_off(codings[w], 100, coded, len + 1, SIZE_MAX, 4096, out, &ended), -EINVAL);
		memset(coded + len / 3, 0xff, len / 3);
		assert_int_equal(take_off(codings[w], 100, coded, len, SIZE_MAX, 4096, out, &ended), -EINVAL);
	}
}

static void members_of_gzip_are_one_body(void **state)
{
	static const size_t lengths[] = {0, 3000, 1, 0, 5000};
	static uint8_t coded[40000], out[20000];
	size_t len = 0, all = 0, ends[5];
	bool ended;

	(void)state;
	fill();
	for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
		len += code(CODING_GZIP, plain + all, lengths[l], coded + len, sizeof(coded) - len);
		all += lengths[l];
		ends[l] = len;
	}
	for (size_t piece = 1; piece < 2000; piece = piece * 3 + 1) {
		assert_int_equal(take_off(CODING_GZIP, 100, coded, len, piece, 7, out, &ended), all);
		assert_true(ended);
		assert_memory_equal(out, plain, all);
		/* One that is begun has to end. */
		for (size_t l = 0; l + 1 < sizeof(ends) / sizeof(ends[0]); l++) {
			assert_true(take_off(CODING_GZIP, 100, coded, ends[l] + 1, piece, 4096, out, &ended) >= 0);
			assert_false(ended);
		}
		assert_true(take_off(CODING_GZIP, 100, coded, len - 1, piece, 4096, out, &ended) >= 0);
		assert_false(ended);
	}
	/* What begins like one and is none, and what follows another coding. */
	coded[ends[1] + 1] = 'x';
	assert_int_equal(take_off(CODING_GZIP, 100, coded, len, SIZE_MAX, 4096, out, &ended), -EINVAL);
	coded[ends[1]] = 0;
	assert_int_equal(take_off(CODING_GZIP, 100, coded, len, SIZE_MAX, 4096, out, &ended), -EINVAL);
	len = code(CODING_DEFLATE, plain, 3000, coded, sizeof(coded));
	coded[len] = 0x1f;
	assert_int_equal(take_off(CODING_DEFLATE, 100, coded, len + 1, SIZE_MAX, 4096, out, &ended), -EINVAL);
}

static void nothing_is_an_empty_body(void **state)
{
	static const enum coding codings[] = {CODING_GZIP, CODING_DEFLATE, CODING_BROTLI};
	uint8_t out[16], first[] = {0x1f, 0x78, 0x21};
	bool ended;

	(void)state;
	for (size_t w = 0; w < sizeof(codings) / sizeof(codings[0]); w++) {
		assert_int_equal(take_off(codings[w], 100, NULL, 0, 1, sizeof(out), out, &ended), 0);
		assert_true(ended);
		assert_int_equal(take_off(codings[w], 100, &first[w], 1, 1, sizeof(out), out, &ended), 0);
		assert_false(ended);
	}
}

static void bombs_are_stopped(void **state)
{
	static const enum coding codings[] = {CODING_GZIP, CODING_DEFLATE, CODING_BROTLI};
	static uint8_t zeros[10 << 20], coded[100000], out[10 << 20];

	(void)state;
	for (size_t w = 0; w < sizeof(codings) / sizeof(codings[0]); w++) {
		size_t len = code((int)codings[w], zeros, sizeof(zeros), coded, sizeof(coded));
		bool ended;

		assert_int_equal(take_off(codings[w], 100, coded, len, SIZE_MAX, 16384, out, &ended), -E2BIG);
		assert_int_equal(take_off(codings[w], 10000000, coded, len, SIZE_MAX, 16384, out, &ended),
				 sizeof(zeros));
		/* Nor does it help to send it as many, each of them small. */
		if (codings[w] == CODING_GZIP) {
			size_t one = code(CODING_GZIP, zeros, 60000, coded, sizeof(coded)), all = one;

			for (; all + one <= sizeof(coded); all += one)
				memcpy(coded + all, coded, one);
			assert_int_equal(take_off(CODING_GZIP, 100, coded, all, SIZE_MAX, 16384, out, &ended), -E2BIG);
		}
		/* Small ones are none. */
		len = code((int)codings[w], zeros, RDDR_ENCODING_FLOOR, coded, sizeof(coded));
		assert_int_equal(take_off(codings[w], 10, coded, len, SIZE_MAX, 16384, out, &ended),
				 RDDR_ENCODING_FLOOR);
	}
}

static void names_are_known(void **state)
{
	struct encoding *e = NULL;

	(void)state;
	assert_int_equal(rddr_encoding_of(slice_of("GZip")), CODING_GZIP);
	assert_int_equal(rddr_encoding_of(slice_of("x-gzip")), CODING_GZIP);
	assert_int_equal(rddr_encoding_of(slice_of("deflate")), CODING_DEFLATE);
	assert_int_equal(rddr_encoding_of(slice_of("br")), CODING_BROTLI);
	assert_int_equal(rddr_encoding_of(slice_of("identity")), CODING_IDENTITY);
	assert_int_equal(rddr_encoding_of((struct slice){0}), CODING_IDENTITY);
	assert_int_equal(rddr_encoding_of(slice_of("zstd")), CODING_UNKNOWN);
	assert_int_equal(rddr_encoding_of(slice_of("gzip, br")), CODING_UNKNOWN);
	assert_int_equal(rddr_encoding_new(CODING_IDENTITY, 1, &e), -EINVAL);
	assert_int_equal(rddr_encoding_new(CODING_UNKNOWN, 1, &e), -EINVAL);
	assert_null(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_coded_comes_back),
		cmocka_unit_test(cut_or_broken_is_seen),
		cmocka_unit_test(members_of_gzip_are_one_body),
		cmocka_unit_test(nothing_is_an_empty_body),
		cmocka_unit_test(bombs_are_stopped),
		cmocka_unit_test(names_are_known),
	};

	return cmocka_run_group_tests_name("diff/encoding", tests, NULL, NULL);
}
