/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes a coding off any bytes: whole and in pieces the result has to be the same, and never more than the ratio
 * allows. The first byte is the coding, the second the size of the pieces.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"

enum { RATIO = 20, MOST = 1 << 20 };

struct outcome {
	int error;
	bool ended;
	size_t made;
	uint8_t out[MOST];
};

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static void take_off(enum coding coding, const uint8_t *data, size_t size, size_t piece, size_t room, struct outcome *o)
{
	struct encoding *e;
	const char *why = NULL;
	size_t at = 0, taken, made;

	o->made = 0;
	need(rddr_encoding_new(coding, RATIO, &e) == 0, "new");
	do {
		size_t n = size - at < piece ? size - at : piece;

		if (room > MOST - o->made)
			room = MOST - o->made;
		o->error = rddr_encoding_decode(e, (struct slice){n ? data + at : NULL, n}, &taken, o->out + o->made,
						room, &made, &why);
		if (o->error)
			break;
		need(taken <= n && made <= room, "more than there was");
		at += taken;
		o->made += made;
		need(o->made <= RDDR_ENCODING_FLOOR || o->made / (RATIO + 1) <= at, "past the ratio");
	} while (taken + made > 0);
	need(!o->error || why, "no reason");
	o->ended = rddr_encoding_ended(e);
	rddr_encoding_free(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct outcome whole, pieces;
	enum coding coding;

	if (size < 2)
		return 0;
	coding = (enum coding)(CODING_GZIP + data[0] % 3);
	take_off(coding, data + 2, size - 2, SIZE_MAX, 16384, &whole);
	take_off(coding, data + 2, size - 2, 1 + data[1], 16384, &pieces);
	/* Where an error falls within a piece, more or less of what came before it is out. */
	need((whole.error == 0) == (pieces.error == 0), "the same end");
	need(whole.error || (whole.ended == pieces.ended && whole.made == pieces.made), "the same length");
	need(memcmp(whole.out, pieces.out, whole.made < pieces.made ? whole.made : pieces.made) == 0, "the same bytes");
	return 0;
}
