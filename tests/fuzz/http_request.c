/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Says anything to the class http. What reaches the instances has to be the same however it arrives, the same for all
 * of them, what was said (but for what is left out by design), and something that llhttp at its strictest takes too.
 * The first byte is the size of the pieces, and whether instance 1 calls a cookie by another name. What is renamed
 * there, renamed once more, is what was said. Every request is answered at once.
 */
#include <llhttp.h>

#include "../unit/diff/fakehost.h"
#include "../unit/diff/fakehttp.h"

enum { N = 2 };

#define NAMES "{\"fields\":[{\"cookie\":[\"sid\",\"JSID\"],\"action\":\"token\"}]}"

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

/* Answers from a supply that never ends. */
static void answer(struct rddr_session *s)
{
	static const char text[] = "HTTP/1.1 204 No Content\r\n\r\n";
	const size_t len = sizeof(text) - 1;

	for (unsigned i = 0; i < N; i++) {
		s->in[i].data = (const uint8_t *)text - s->in[i].consumed; /* the one that is shown next */
		s->in[i].len = s->in[i].shown = s->in[i].consumed + len;
	}
	s->source = s->in[0].consumed;
	need(fake_diff(s), "an answer that agrees diverges");
}

/* True: everything was taken, or waits; false: rejected. */
static bool ask(struct rddr_session *s, const uint8_t *data, size_t size, size_t piece)
{
	struct fake_stream *lone = &s->in[FAKE_LONE];
	struct http *h = s->state;
	bool good = true;

	fake_set(lone, data, size, RDDR_END_OPEN);
	do {
		size_t before;

		fake_show(lone, piece);
		do {
			before = lone->consumed;
			good = fake_modify(s);
			if (good && h->exchange.pending && h->request.phase == REQUEST_HEAD)
				answer(s);
		} while (good && (lone->consumed != before || (s->holds && h->request.phase == REQUEST_HEAD)) &&
			 lone->consumed < lone->shown);
	} while (good && lone->shown < size);
	return good;
}

static void check_with_llhttp(const struct fake_out *out)
{
	llhttp_settings_t settings;
	llhttp_t parser;
	llhttp_errno_t err;

	llhttp_settings_init(&settings);
	llhttp_init(&parser, HTTP_REQUEST, &settings);
	llhttp_set_lenient_keep_alive(&parser, 1); /* what comes behind the last request reaches nobody */
	err = llhttp_execute(&parser, (const char *)out->data, out->len);
	if (err != HPE_OK && err != HPE_PAUSED_UPGRADE) {
		fprintf(stderr, "llhttp: %s\n", parser.reason);
		need(false, "llhttp does not take what was passed on");
	}
}

/* The two names are exchanged, so that twice is once back. */
static void rename_back(const struct fake_out *renamed, const struct fake_out *said)
{
	static struct rddr_session s;

	need(fake_begin(&s, &fakehttp, N, false, NAMES) == 0, "begin");
	/* It may have become longer than a head may be. */
	if (renamed->len && ask(&s, renamed->data, renamed->len, SIZE_MAX))
		need(s.out[1].len == said->len && memcmp(s.out[1].data, said->data, said->len) == 0,
		     "other cookies than before");
	fake_end(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rddr_session whole, pieces;
	const char *params;
	bool good, renames;

	if (size < 2 || size > 60000)
		return 0;
	renames = data[0] & 0x80;
	params = renames ? NAMES : "{}";
	need(fake_begin(&whole, &fakehttp, N, false, params) == 0 &&
		     fake_begin(&pieces, &fakehttp, N, false, params) == 0,
	     "begin");
	good = ask(&whole, data + 1, size - 1, SIZE_MAX);
	need(ask(&pieces, data + 1, size - 1, 1 + data[0] % 64) == good, "rejected in one way of arriving only");
	for (unsigned i = 0; i < N; i++) {
		const struct fake_out *a = &whole.out[i], *b = &pieces.out[i];

		/* Of a body that is rejected, more of what was good may have been passed on in pieces. */
		need(good ? a->len == b->len : a->len <= b->len, "another length");
		need(a->len == 0 || memcmp(a->data, b->data, a->len) == 0, "other bytes");
		need(renames || whole.out[0].len == a->len, "not the same for all");
		need(renames || a->len == 0 || memcmp(whole.out[0].data, a->data, a->len) == 0, "not the same for all");
	}
	if (renames && good)
		rename_back(&whole.out[1], &whole.out[0]);
	if (renames && pieces.out[1].len)
		check_with_llhttp(&pieces.out[1]);
	if (pieces.out[0].len)
		check_with_llhttp(&pieces.out[0]);
	fake_end(&whole);
	fake_end(&pieces);
	return 0;
}
