// SPDX-License-Identifier: BSD-2-Clause
/*
 * Says anything to the class postgres in an outgoing service. The first byte chooses whether the connection is new, and
 * whether there is a filter pair; then the opening is looked at as it grows, and must tell the same however it comes.
 * What opens is said by three instances to a session, one of which may have another byte somewhere; what is left of the
 * input is what the backend says.
 *
 *	byte 0	bit 0: a known connection; 1: a filter pair; 2: the backend's connection is there; 3: one instance
 *differs byte 1	where it differs byte 2	how many bytes of what follows the instances say, in eights; the backend
 *says the rest
 */
#include "../unit/diff/fakeoutgoing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { N = 3 };

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static uint64_t known_login(void *params)
{
	static const uint8_t startup[] = "\0\0\0\21\0\3\0\0user\0me\0";
	static struct pg_standing st;
	static const uint8_t parse[] = "P\0\0\0\13p\0a\0\0\0";
	const struct pg_left_behind left = {PG_LEFT_PREPARED, slice_of("p"), {parse, 12}};
	struct rddr_session s = {.n = N};

	pg_forget();
	need(rddr_pg_standing_set(&st, 0, (struct slice){startup, 17}, (struct slice){0}), "no room");
	rddr_pg_standing_put(&st, pg_host(), pg_fake_table(&s, PG_TABLE_STANDINGS, 1),
			     rddr_pg_standing_identity(&st, params));
	need(rddr_pg_standing_leave(&st, &left), "no room");
	uint64_t identity = rddr_pg_standing_identity(&st, params);
	rddr_pg_standing_put(&st, pg_host(), pg_fake_table(&s, PG_TABLE_STANDINGS, 1), identity);
	return identity;
}

/* As a gather does: RDDR_OPENS_WAIT at the end, or what it came to, and how far replies went. */
static enum rddr_opens look(const void *params, uint64_t identity, bool filter, const uint8_t *data, size_t size,
			    size_t piece, size_t *replied, struct rddr_opening_result *result)
{
	struct rddr_session s = {.n = N};
	enum rddr_opens opens = RDDR_OPENS_WAIT;
	size_t len = 0;

	*replied = 0;
	while (opens == RDDR_OPENS_WAIT && len < size) {
		len = size - len < piece ? size : len + piece;
		opens = out_open(&s, params, identity, filter, data, len, RDDR_END_OPEN, *replied, result);
		if (result->replied > *replied)
			*replied = result->replied;
	}
	return opens;
}

static void play(struct rddr_session *s, const uint8_t *const said[N], size_t len, const uint8_t *backend,
		 size_t backend_len, size_t piece)
{
	for (unsigned i = 0; i < N; i++)
		fake_set(&s->in[i], said[i], len, RDDR_END_OPEN);
	fake_set(&s->in[FAKE_LONE], backend, backend_len, RDDR_END_OPEN);
	for (size_t shown = 0; shown <= len + backend_len && !s->finished && !s->neutrals; shown += piece) {
		for (unsigned i = 0; i < N; i++)
			fake_show(&s->in[i], piece);
		if (!fake_diff(s))
			return;
		fake_work(s, true);
		if (s->finished || s->neutrals)
			return;
		fake_show(&s->in[FAKE_LONE], piece);
		if (s->in[FAKE_LONE].shown > s->in[FAKE_LONE].consumed && !fake_modify(s))
			return;
	}
}

/* What the backend gets, without the goodbye that follows it. */
static struct fake_out session(void *params, uint64_t identity, const uint8_t head[3], const uint8_t *const said[N],
			       size_t len, const uint8_t *backend, size_t backend_len, size_t replied)
{
	const size_t all[N] = {replied, replied, replied};
	struct fake_out *lone, got = {0};
	struct rddr_session s;

	known_login(params);
	need(out_begin(&s, N, head[0] & 2, params, identity, head[0] & 4, false, all) == 0, "does not begin");
	play(&s, said, len, backend, backend_len, 1 + head[1] % 61);
	lone = &s.out[FAKE_LONE];
	if (s.finished && lone->len >= 5 && memcmp(lone->data + lone->len - 5, "X\0\0\0\4", 5) == 0)
		lone->len -= 5;
	fake_append(&got, lone->data, lone->len);
	fake_end(&s);
	fake_work(&s, false);
	return got;
}

/* What one instance says otherwise brings nothing to the backend that it would not have got. */
static void sessions(void *params, uint64_t identity, const uint8_t head[3], const uint8_t *data, size_t len,
		     const uint8_t *backend, size_t backend_len, size_t replied)
{
	uint8_t *other = len ? memcpy(malloc(len), data, len) : NULL;
	const uint8_t *const same[N] = {data, data, data}, *const differ[N] = {data, data, other};
	struct fake_out whole = session(params, identity, head, same, len, backend, backend_len, replied);

	if (head[0] & 8 && len) {
		other[head[1] % len] ^= 1 + head[0] / 16;
		struct fake_out part = session(params, identity, head, differ, len, backend, backend_len, replied);

		need(part.len <= whole.len && (!part.len || !memcmp(part.data, whole.data, part.len)),
		     "the backend gets what one alone has said");
		free(part.data);
	}
	free(whole.data);
	free(other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void *params;
	struct rddr_opening_result whole, pieces;
	size_t replied, replied_whole;

	if (size < 3)
		return 0;
	if (!params)
		params = out_params("{}");
	const uint8_t *said = data + 3;
	size_t len = (size_t)data[2] * 8 < size - 3 ? (size_t)data[2] * 8 : size - 3;
	const uint64_t known = known_login(params), identity = data[0] & 1 ? known : 0;
	enum rddr_opens at_once = look(params, identity, data[0] & 2, said, len, SIZE_MAX, &replied_whole, &whole);
	enum rddr_opens opens = look(params, identity, data[0] & 2, said, len, 1 + data[1] % 7, &replied, &pieces);

	/* Who sends on without an answer that it has to wait for is refused, and what is malformed is seen sooner. */
	need(opens == at_once || at_once == RDDR_OPENS_NOT || opens == RDDR_OPENS_NOT || at_once == RDDR_OPENS_WAIT ||
		     opens == RDDR_OPENS || opens == RDDR_OPENS_ENDS,
	     "opens or not, by how it came");
	if (opens == RDDR_OPENS && at_once == RDDR_OPENS)
		need(pieces.key == whole.key && pieces.loose == whole.loose, "another key, by how it came");
	if (opens == RDDR_OPENS || at_once == RDDR_OPENS)
		sessions(params, identity, data, said, len, said + len, size - 3 - len, replied);
	return 0;
}
