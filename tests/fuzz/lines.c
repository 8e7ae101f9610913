/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds the comparison of lines to a simple one over whole payloads, and to itself, shown in pieces.
 *
 * The input is a head of 3 bytes and a program that writes the payloads: for all, for each its own, for one alone.
 */
#include "../unit/diff/fakebody.h"

enum { MOST = 2048 };

struct input {
	unsigned n;
	uint8_t bytes[4][MOST];
	size_t len[4];
};

struct cursor {
	const uint8_t *at, *end;
};

static uint8_t next(struct cursor *c)
{
	return c->at < c->end ? *c->at++ : 0;
}

static void put(struct input *in, unsigned who, uint8_t byte)
{
	if (in->len[who] < MOST)
		in->bytes[who][in->len[who]++] = byte;
}

/* One instruction. */
static void write_payloads(struct input *in, struct cursor *c)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t op = next(c);
	unsigned arg = op >> 3;

	switch (op & 7) {
	default: /* the same for all */
		for (unsigned k = 0; k <= arg; k++) {
			uint8_t byte = next(c);

			for (unsigned who = 0; who < in->n; who++)
				put(in, who, byte);
		}
		break;
	case 4: /* a token: as long for all, or longer for some */
	case 5:
		for (unsigned who = 0; who < in->n; who++)
			for (unsigned k = 0, len = arg + (op & 1 ? next(c) % 4 : 0); k < len; k++)
				put(in, who, (uint8_t)hex[next(c) % 16]);
		break;
	case 6: /* for one alone */
		put(in, arg % in->n, next(c));
		break;
	case 7: /* a line ends */
		for (unsigned who = 0; who < in->n; who++)
			put(in, who, '\n');
	}
}

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	abort();
}

/* The next line of a payload, its end included. */
static struct slice cut_line(struct slice *rest)
{
	const uint8_t *end = rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
	size_t len = end ? (size_t)(end - rest->data) + 1 : rest->len;
	struct slice line = slice_cut(*rest, 0, len);

	*rest = slice_cut(*rest, len, SIZE_MAX);
	return line;
}

/* Without the pair, and where it agrees: the first line in which not all have the same is where it diverges. */
static void hold_to_lines(const struct fakebody *f, bool filter)
{
	struct slice rest[4];
	unsigned long number = 0;
	char where[40];

	memcpy(rest, f->in, sizeof(rest));
	for (;;) {
		struct slice lines[4] = {{0}};
		bool any = false, same = true, pair;

		number++;
		for (unsigned i = 0; i < f->conf.n; i++) {
			lines[i] = cut_line(&rest[i]);
			any |= lines[i].len > 0;
			same &= slice_equal(lines[i], lines[0]);
		}
		if (!any)
			break;
		pair = slice_equal(lines[0], lines[1]);
		if (same || (filter && !pair))
			continue;
		check(f->verdict == RDDR_DIVERGE, "lets pass where not all have the same");
		snprintf(where, sizeof(where), "line %lu", number);
		check(filter || strcmp(f->finding.where, where) == 0, "diverges elsewhere");
		return;
	}
	check(filter || fakebody_agrees(f), "diverges though all have the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input in;
	struct cursor c = {data, data + size};
	struct fakebody *f;
	bool filter, tight;
	uint8_t head[3];

	if (size < sizeof(head) || size > MOST)
		return 0;
	for (unsigned i = 0; i < sizeof(head); i++)
		head[i] = next(&c);
	memset(in.len, 0, sizeof(in.len));
	in.n = 3 + (head[0] & 1);
	filter = head[0] & 2;
	tight = head[0] & 4;
	while (c.at < c.end)
		write_payloads(&in, &c);
	f = calloc(1, sizeof(*f));
	f->conf = (struct body_conf){.kind = BODY_LINES, .n = in.n, .do_filter = filter};
	f->conf.limit = tight ? 32 + head[1] : 2 * MOST;
	f->budget = tight ? (struct noise_budget){.run = head[2], .share = 20}
			  : (struct noise_budget){.run = 10 * MOST, .share = 100};
	for (unsigned i = 0; i < in.n; i++)
		f->in[i] = (struct slice){in.len[i] ? in.bytes[i] : NULL, in.len[i]};
	fakebody_play_ways(f, 3);
	if (!f->undecided)
		hold_to_lines(f, filter);
	/* What others have as one of the pair has it is no divergence, if the pair's own difference is none. */
	if (filter && !tight) {
		enum rddr_verdict verdict;

		for (unsigned i = 2; i < in.n; i++)
			f->in[i] = f->in[0];
		fakebody_play(f, 1, 0);
		verdict = f->verdict;
		for (unsigned i = 2; i < in.n; i++)
			f->in[i] = f->in[1];
		fakebody_play(f, 1, 0);
		check(f->verdict == verdict, "the pair's one text is as good as the other");
	}
	free(f);
	return 0;
}
