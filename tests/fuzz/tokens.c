/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any text, in which some tokens stand or not: what each instance is told is the same however the text is cut, and
 * instance 0 is told what the client said. A text that is learnt from leaves the table in order. The first byte is the
 * size of the pieces, and whether the text is learnt, and is JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"
#include "tokens.h"

enum { N = 2 };

/* What each instance would be sent. */
struct rewriting {
	struct slice text;
	size_t at, len[N], room;
	uint8_t *out[N];
};

struct rddr_session {
	int unused;
};

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static struct rddr_table *table(struct rddr_session *s, const char *name, size_t entries)
{
	(void)s;
	return rddr_tables_table(rddr_tables_of("fuzz"), name, entries);
}

static void count(struct rddr_session *s, enum rddr_counted what, uint64_t n)
{
	(void)s;
	(void)what;
	(void)n;
}

static const struct rddr_host host = {
	.size = sizeof(host),
	.table = table,
	.table_get = rddr_tables_get,
	.table_put = rddr_tables_put,
	.table_count = rddr_tables_count,
	.count = count,
};

static void add(struct rewriting *r, unsigned i, const uint8_t *data, size_t len)
{
	if (len == 0)
		return;
	need(len <= r->room - r->len[i], "more than there can be");
	memcpy(r->out[i] + r->len[i], data, len);
	r->len[i] += len;
}

static void on_token(void *ctx, size_t offset, size_t len, const struct slice values[])
{
	struct rewriting *r = ctx;

	need(offset >= r->at && len > 0 && len <= r->text.len - offset, "a token that is not there");
	for (unsigned i = 0; i < N; i++) {
		add(r, i, r->text.data + r->at, offset - r->at);
		add(r, i, values[i].data, values[i].len);
	}
	r->at = offset + len;
}

static void rewrite(struct tokens *t, struct slice text, size_t piece, bool json, struct rewriting *r)
{
	struct tokens_place place = {.json = json};
	size_t from = 0, to = 0;

	r->room = 200 * text.len + 1;
	for (unsigned i = 0; i < N; i++)
		need((r->out[i] = malloc(r->room)) != NULL, "out of memory");
	while (from < text.len) {
		to = text.len - to > piece ? to + piece : text.len;
		r->text = slice_cut(text, from, to - from);
		r->at = 0;
		size_t decided = rddr_tokens_find_some(t, r->text, to < text.len, &place, on_token, r);
		need(decided >= r->at && decided <= r->text.len, "decides what is not there");
		need(to < text.len || decided == r->text.len, "something is left");
		for (unsigned i = 0; i < N; i++)
			add(r, i, r->text.data + r->at, decided - r->at);
		from += decided;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct rules_settings settings = {.token_min = 4, .token_ttl = 3600, .token_max = 100};
	static const char *const known[][N] = {{"aaaa", "bbbbbb"},	 {"aaaa.aaaa", "b"},
					       {"a+/=", "++=="},	 {"aaaa-aaaa", "bb%2Fbb"},
					       {"aa/aa%2B", "cccccccc"}, {"1234567", "7654321"}};
	static struct rddr_session session;
	struct rewriting whole = {0}, pieces = {0};
	struct tokens *t = NULL;

	if (size < 2 || size > 8000)
		return 0;
	need(rddr_tokens_new(&(struct tokens_conf){&host, &session, &settings, N}, &t) == 0, "out of memory");
	for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++) {
		const struct slice values[] = {slice_of(known[k][0]), slice_of(known[k][1])};

		rddr_tokens_learn(t, values);
	}
	const struct slice text = {data + 1, size - 1};
	if (data[0] & 0x80) {
		const struct slice values[] = {slice_cut(text, 0, text.len / 2),
					       slice_cut(text, text.len / 2, SIZE_MAX)};

		rddr_tokens_learn(t, values);
	}
	rewrite(t, text, SIZE_MAX, data[0] & 0x40, &whole);
	rewrite(t, text, 1 + (data[0] & 0x7f), data[0] & 0x40, &pieces);
	need(whole.len[0] == text.len && memcmp(whole.out[0], text.data, text.len) == 0,
	     "instance 0 is told otherwise");
	for (unsigned i = 0; i < N; i++) {
		need(whole.len[i] == pieces.len[i] && memcmp(whole.out[i], pieces.out[i], whole.len[i]) == 0,
		     "another text in pieces");
		free(whole.out[i]);
		free(pieces.out[i]);
	}
	rddr_tokens_free(&t);
	return 0;
}
