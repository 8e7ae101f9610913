// SPDX-License-Identifier: BSD-2-Clause
/*
 * Says anything to the class postgres, from either side. The first byte chooses: what the client sends, from its first
 * packet on or behind the login; or what three instances answer, written by a program of which most instructions say
 * the same for all. What comes of it has to be the same however it arrives.
 */
#include "../unit/diff/fakepg.h"

enum { N = 3, MOST = 8192 };

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static void end(struct rddr_session *s)
{
	const struct rddr_denial denial = {
		.size = sizeof(denial), .reason = RDDR_DENIED_DIVERGENCE, .reference = "20000101-0000000000"};

	s->plugin->render_denial(s->state, &denial);
	fake_end(s);
}

/* ---- the client ---- */

struct said {
	uint8_t *bytes;
	size_t len;
	bool rejected;
};

static void ask(const uint8_t *data, size_t size, size_t piece, bool logged_in, struct said *out)
{
	struct fake_out welcome[N] = {0};
	struct rddr_session s;
	size_t before;

	need(pg_begin(&s, &rddr_diff_plugin, N, false, NULL) == 0, "does not begin");
	for (unsigned i = 0; i < N; i++)
		pg_welcome(&welcome[i], (uint8_t)(i + 1));
	if (logged_in)
		pg_login(&s, welcome);
	before = s.out[1].len;
	fake_set(&s.in[FAKE_LONE], data, size, RDDR_END_OPEN);
	out->rejected = false;
	while (!out->rejected && s.in[FAKE_LONE].shown < size) {
		fake_show(&s.in[FAKE_LONE], piece ? piece : size);
		out->rejected = !fake_modify(&s);
	}
	for (unsigned i = 1; i < N; i++)
		need(s.out[i].len == s.out[0].len &&
			     (s.out[i].len == 0 || memcmp(s.out[i].data, s.out[0].data, s.out[i].len) == 0),
		     "not the same to all");
	out->len = s.out[1].len - before;
	out->bytes = out->len ? memcpy(malloc(out->len), s.out[1].data + before, out->len) : NULL;
	end(&s);
	for (unsigned i = 0; i < N; i++)
		free(welcome[i].data);
}

static void client(const uint8_t *data, size_t size, bool logged_in)
{
	struct said whole, pieces;

	if (!size)
		return;
	ask(data + 1, size - 1, 0, logged_in, &whole);
	ask(data + 1, size - 1, 1 + data[0] % 32, logged_in, &pieces);
	need(whole.rejected == pieces.rejected, "rejected or not, by how it came");
	/* A message that is passed on as it comes may be cut by what rejects it: never where it is only read. */
	need(whole.len == pieces.len && (whole.len == 0 || memcmp(whole.bytes, pieces.bytes, whole.len) == 0),
	     "passed on something else, by how it came");
	free(whole.bytes);
	free(pieces.bytes);
}

/* ---- the instances ---- */

struct cursor {
	const uint8_t *at, *end;
};

static uint8_t next(struct cursor *c)
{
	return c->at < c->end ? *c->at++ : 0;
}

static void put(struct fake_out *out, struct cursor *c, unsigned op)
{
	static const char types[] = "DDCZETNSA123dcGHItnsVWZKRv";
	unsigned who = next(c) % N, len = next(c) % 40;
	uint8_t body[40] = {0};

	for (unsigned i = 0; i < len; i++)
		body[i] = next(c);
	for (unsigned i = 0; i < N; i++) {
		char type = types[(op >> 3) % (sizeof(types) - 1)];

		if (op % 8 == 5 && i == who && len)
			body[len / 2] ^= 1;
		if (op % 8 == 6 && i != who)
			continue;
		if (op % 8 == 7 && i == who)
			fake_append(&out[i], body, len);
		else
			pg_message(&out[i], type, body, len);
	}
}

/* The number that the client's key has is drawn, and stands in its own notifications. */
static void forget_process(struct said *out, const uint8_t *process)
{
	for (size_t i = 0; i + 4 <= out->len; i++) {
		if (memcmp(out->bytes + i, process, 4) == 0)
			memset(out->bytes + i, 0, 4);
	}
}

static bool compare(struct fake_out said[], const char *params, bool filter, uint64_t seed, size_t largest,
		    struct said *out, const struct fake_out *asked)
{
	struct rddr_session s;
	bool agrees;

	need(pg_begin(&s, &rddr_diff_plugin, N, filter, params) == 0, "does not begin");
	pg_login(&s, said);
	fake_set(&s.in[FAKE_LONE], asked->data, asked->len, RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	need(fake_modify(&s), "a request is rejected");
	agrees = largest ? fake_diff_chunked(&s, seed, largest) : fake_diff_whole(&s);
	need(pg_followed <= asked->len, "follows past what was asked");
	out->rejected = !agrees;
	out->len = s.out[FAKE_LONE].len - PG_WELCOME;
	out->bytes = out->len ? memcpy(malloc(out->len), s.out[FAKE_LONE].data + PG_WELCOME, out->len) : NULL;
	forget_process(out, s.out[FAKE_LONE].data + PG_WELCOME - 6 - 8);
	end(&s);
	return agrees;
}

static void instances(const uint8_t *data, size_t size)
{
	static const char *const params[] = {
		"{}", "{\"tokens\": [[\"a\", \"bb\", \"ccc\"]], \"redact\": \"values\"}", "{\"unordered-rows\": true}",
		"{\"order\": \"parallel\", \"type-oids\": \"ignore\", \"table-oids\": \"compare\", "
		"\"ignore-error-fields\": \"FLRMS\", \"ignore-parameters\": [\"a\"]}"};
	struct cursor c = {data, data + size};
	unsigned head = next(&c);
	const char *chosen = params[head % 4];
	struct fake_out said[N] = {0}, asked = {0};
	struct said whole, pieces;

	for (unsigned i = 0; i < N; i++)
		pg_welcome(&said[i], (uint8_t)(i + 1));
	for (unsigned i = 0; i < (head >> 3) % 8; i++)
		pg_message(&asked, 'Q', "select 1", 9);
	while (c.at < c.end && said[0].len < MOST)
		put(said, &c, next(&c));
	compare(said, chosen, head & 4, 1, 0, &whole, &asked);
	compare(said, chosen, head & 4, 1 + head, 1 + head % 50, &pieces, &asked);
	/* Rows in any order: one that is ahead has its rows taken, and what stands behind the rows of the others is
	 * judged when it says more. */
	need(whole.rejected == pieces.rejected || head % 4 == 2, "a verdict by how it came");
	/* In front of a divergence less or more of the same is let out, by how much was looked at together. Rows in any
	 * order are let out when all have them, which depends on who was first. */
	need(pg_alike(whole.bytes, whole.len, pieces.bytes, pieces.len, whole.rejected) || head % 4 == 2,
	     "let out something else, or more or less, by how it came");
	free(whole.bytes);
	free(pieces.bytes);
	free(asked.data);
	for (unsigned i = 0; i < N; i++)
		free(said[i].data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!size)
		return 0;
	if (data[0] % 4 == 0)
		client(data + 1, size - 1, false);
	else if (data[0] % 4 == 1)
		client(data + 1, size - 1, true);
	else
		instances(data + 1, size - 1);
	return 0;
}
