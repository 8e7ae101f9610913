/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds diff-class bytes to its reference: what comes out of streams shown in pieces must be what the reference makes
 * of them whole.
 *
 * The input is a head of 8 bytes (instances and filter, the budget, how the streams are cut up) and a program that
 * writes the streams: for all, for each its own, for one alone. So the fuzzer finds streams that agree without having
 * to find the same bytes several times.
 */
#include <stddef.h>
#include <stdint.h>

#include "../unit/diff/bytes_reference.h"
#include "../unit/diff/fakehost.h"

enum { MOST = 4096, HEAD = 8 };

struct input {
	struct reference_input in;
	uint8_t bytes[RDDR_MAX_INSTANCES][MOST];
};

struct cursor {
	const uint8_t *at, *end;
};

static uint8_t next(struct cursor *c)
{
	return c->at < c->end ? *c->at++ : 0;
}

static void put(struct input *i, unsigned who, uint8_t byte)
{
	if (i->in.len[who] < MOST)
		i->bytes[who][i->in.len[who]++] = byte;
}

/* One instruction. */
static void write_streams(struct input *i, struct cursor *c)
{
	uint8_t op = next(c);
	unsigned n = i->in.n, arg = op >> 3, one = arg % n;

	switch (op & 7) {
	default: /* the same for all */
		for (unsigned k = 0; k <= arg; k++) {
			uint8_t byte = next(c);

			for (unsigned who = 0; who < n; who++)
				put(i, who, byte);
		}
		break;
	case 4: /* each its own */
		for (unsigned k = 0; k <= arg % 8; k++)
			for (unsigned who = 0; who < n; who++)
				put(i, who, next(c));
		break;
	case 5: /* one has another byte, and all the next */
		for (unsigned k = 0; k < 2; k++) {
			uint8_t all = next(c), other = k ? all : next(c);

			for (unsigned who = 0; who < n; who++)
				put(i, who, who == one ? other : all);
		}
		break;
	case 6: /* one has a byte more */
		put(i, one, next(c));
		break;
	case 7: /* how one ends */
		i->in.end[one] = (enum rddr_end_state)(next(c) % 4);
		break;
	}
}

static void need(bool holds, const char *what, const struct rddr_session *s, const struct reference *want)
{
	if (holds)
		return;
	fprintf(stderr, "%s: verdict %d at %zu (%s), released %zu; the reference: %s, from %zu to %zu, released %zu\n",
		what, (int)s->verdict, s->finding_at, s->finding.why, s->out[FAKE_LONE].len,
		want->diverges ? "diverges" : "fits", want->from, want->to, want->released);
	abort();
}

static void hold_to(const struct input *i, const struct reference *want, uint64_t seed, size_t largest)
{
	struct rddr_session s;
	const struct fake_out *out = &s.out[FAKE_LONE];
	bool fits;

	if (fake_begin_within(&s, &rddr_diff_plugin, i->in.n, i->in.filter, NULL, i->in.budget) != 0)
		abort();
	for (unsigned k = 0; k < i->in.n; k++) {
		fake_set(&s.in[k], i->bytes[k], i->in.len[k], i->in.end[k]);
		s.in[k].end_shown = i->in.end[k] == RDDR_END_ABSENT;
	}
	fits = largest ? fake_diff_chunked(&s, seed, largest) : fake_diff_whole(&s);
	need(fits == !want->diverges, "verdict", &s, want);
	need(!fits || out->len == want->released, "released", &s, want);
	need(fits || (s.finding_at >= want->from && s.finding_at <= want->to), "place", &s, want);
	need(fits || out->len <= s.finding_at, "released past the divergence", &s, want);
	need(out->len == 0 || memcmp(out->data, i->bytes[0], out->len) == 0, "other bytes released", &s, want);
	fake_end(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct input i;
	struct cursor c = {data, data + size};
	struct reference want;
	uint8_t head[HEAD];
	uint64_t seed;

	for (unsigned k = 0; k < HEAD; k++)
		head[k] = next(&c);
	memset(&i, 0, sizeof(i));
	i.in.n = 1 + head[0] % RDDR_MAX_INSTANCES;
	i.in.filter = (head[0] & 0x10) && i.in.n >= 3;
	i.in.budget.run = 1 + head[1];
	i.in.budget.share = head[2] % 101;
	for (unsigned k = 0; k < i.in.n; k++) {
		i.in.data[k] = i.bytes[k];
		i.in.end[k] = head[3] & 1 ? RDDR_END_ENDED : RDDR_END_OPEN;
	}
	while (c.at < c.end)
		write_streams(&i, &c);
	for (unsigned k = 0; k < i.in.n; k++)
		if (i.in.end[k] == RDDR_END_ABSENT)
			i.in.len[k] = 0;
	want = reference_bytes(&i.in);
	seed = 1 + head[4] + ((uint64_t)head[5] << 8);
	hold_to(&i, &want, seed, 0);
	hold_to(&i, &want, seed, 1 + head[6] % 64);
	hold_to(&i, &want, seed + 1, 2);
	return 0;
}
