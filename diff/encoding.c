/* SPDX-License-Identifier: BSD-2-Clause */
#include "encoding.h"

#include <brotli/decode.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

struct encoding {
	enum coding coding;
	size_t ratio;
	uint64_t in, out; /* bytes so far */
	bool ended;
	bool begun; /* the inflater is set up */
	z_stream z;
	BrotliDecoderState *brotli;
};

enum coding rddr_encoding_of(struct slice value)
{
	static const struct {
		const char *name;
		enum coding coding;
	} names[] = {
		{"", CODING_IDENTITY},	 {"identity", CODING_IDENTITY}, {"gzip", CODING_GZIP},
		{"x-gzip", CODING_GZIP}, {"deflate", CODING_DEFLATE},	{"br", CODING_BROTLI},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (slice_equal_nocase(value, slice_of(names[i].name)))
			return names[i].coding;
	}
	return CODING_UNKNOWN;
}

int rddr_encoding_new(enum coding coding, size_t ratio, struct encoding **out)
{
	struct encoding *e;

	if (coding == CODING_IDENTITY || coding == CODING_UNKNOWN || coding >= CODINGS)
		return -EINVAL;
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->coding = coding;
	e->ratio = ratio;
	if (coding == CODING_BROTLI) {
		e->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		if (!e->brotli) {
			free(e);
			return -ENOMEM;
		}
	}
	*out = e;
	return 0;
}

void rddr_encoding_free(struct encoding **e)
{
	if (!*e)
		return;
	if ((*e)->begun)
		inflateEnd(&(*e)->z);
	if ((*e)->brotli)
		BrotliDecoderDestroyInstance((*e)->brotli);
	free(*e);
	*e = NULL;
}

bool rddr_encoding_ended(const struct encoding *e)
{
	/* Servers that code each answer alike send nothing at all for an empty one. */
	return e->ended || e->in == 0;
}

/* Some servers send deflate without the head of zlib that the standard asks for. The first byte tells: it names the
 * method and the window in the one, and a block's kind, hardly ever those bits, in the other. */
static int window_bits(const struct encoding *e, uint8_t first)
{
	if (e->coding == CODING_GZIP)
		return MAX_WBITS + 16;
	return (first & 0x0f) == Z_DEFLATED && first >> 4 <= 7 ? MAX_WBITS : -MAX_WBITS;
}

static int decode_zlib(struct encoding *e, struct slice in, size_t *taken, uint8_t *out, size_t room, size_t *made,
		       const char **why)
{
	int r;

	if (!e->begun) {
		if (inflateInit2(&e->z, window_bits(e, in.data[0])) != Z_OK) {
			*why = "no memory to decode it with";
			return -ENOMEM;
		}
		e->begun = true;
	}
	e->z.next_in = (Bytef *)in.data;
	e->z.avail_in = in.len < UINT_MAX ? (uInt)in.len : UINT_MAX;
	e->z.next_out = out;
	e->z.avail_out = room < UINT_MAX ? (uInt)room : UINT_MAX;
	*taken = e->z.avail_in;
	*made = e->z.avail_out;
	r = inflate(&e->z, Z_NO_FLUSH);
	*taken -= e->z.avail_in;
	*made -= e->z.avail_out;
	e->ended = r == Z_STREAM_END;
	if (r == Z_OK || r == Z_STREAM_END || r == Z_BUF_ERROR)
		return 0;
	*why = "its coded body is broken";
	return r == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
}

/* RFC 1952, section 2.2: gzip may be of several members, one behind the other. What begins like one has to be one. */
static bool goes_on(struct encoding *e, struct slice in)
{
	return e->coding == CODING_GZIP && in.data[0] == 0x1f && inflateReset(&e->z) == Z_OK;
}

static int decode_brotli(struct encoding *e, struct slice in, size_t *taken, uint8_t *out, size_t room, size_t *made,
			 const char **why)
{
	size_t left = in.len, free_room = room;
	const uint8_t *from = in.data;
	BrotliDecoderResult r = BrotliDecoderDecompressStream(e->brotli, &left, &from, &free_room, &out, NULL);

	*taken = in.len - left;
	*made = room - free_room;
	e->ended = r == BROTLI_DECODER_RESULT_SUCCESS;
	if (r != BROTLI_DECODER_RESULT_ERROR)
		return 0;
	*why = "its coded body is broken";
	return -EINVAL;
}

int rddr_encoding_decode(struct encoding *e, struct slice in, size_t *taken, uint8_t *out, size_t room, size_t *made,
			 const char **why)
{
	int r;

	*taken = *made = 0;
	if (e->ended && in.len > 0) {
		if (!goes_on(e, in)) {
			*why = "bytes behind the end of its coded body";
			return -EINVAL;
		}
		e->ended = false;
	}
	/* A decoder may have output left without taking input, so it is asked also when there is none. */
	if (room == 0 || e->ended || (in.len == 0 && !e->begun && e->coding != CODING_BROTLI))
		return 0;
	r = (e->coding == CODING_BROTLI ? decode_brotli : decode_zlib)(e, in, taken, out, room, made, why);
	if (r < 0)
		return r;
	e->in += *taken;
	e->out += *made;
	if (e->out > RDDR_ENCODING_FLOOR && e->out / e->ratio > e->in) {
		*why = "its coded body grows past max-decoded-ratio";
		return -E2BIG;
	}
	return 0;
}
