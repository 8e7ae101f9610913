/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lets three instances answer anything to a request. What goes out has to be one answer that any client reads the same
 * way, the verdict the same however the answers arrive, and what goes out too, but for where chunks begin.
 *
 * The first byte is the method and the version of the request, whether there is a filter pair, and whether instance 2
 * calls a cookie by another name; the second the size
 * of the pieces. Then comes a program that writes the streams: for all, for one alone.
 */
#include "../unit/diff/fakehost.h"
#include "../unit/diff/fakehttp.h"

enum { N = 3, MOST = 8192 };

#define NAMES "{\"fields\":[{\"cookie\":[\"a\",\"a\",\"b\"],\"action\":\"compare\"}]}"

struct input {
	const char *request;
	bool filter, renames;
	uint8_t bytes[N][MOST];
	size_t len[N];
	enum rddr_end_state end[N];
};

/* What a client makes of what went out. */
struct heard {
	unsigned answers;
	bool whole; /* the last one is complete */
	size_t payload;
	uint8_t bytes[4 * MOST];
};

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static void put(struct input *in, unsigned who, uint8_t byte)
{
	if (in->len[who] < MOST)
		in->bytes[who][in->len[who]++] = byte;
}

static void write_streams(struct input *in, const uint8_t *at, const uint8_t *end)
{
	while (at < end) {
		uint8_t op = *at++;
		unsigned len = 1 + (op >> 2), one = op & 3;

		if (op == 0xff) {
			in->end[at < end ? *at % N : 0] = RDDR_END_ENDED;
			at += at < end;
			continue;
		}
		for (; len > 0 && at < end; len--, at++) {
			for (unsigned i = 0; i < N; i++)
				if (one == 3 || i == one)
					put(in, i, *at);
		}
	}
}

static void keep(struct heard *h, const uint8_t *data, size_t len)
{
	need(h->payload + len <= sizeof(h->bytes), "more than was said");
	if (len)
		memcpy(h->bytes + h->payload, data, len);
	h->payload += len;
}

/* One answer; returns how much of the bytes it is. */
static size_t hear_one(struct heard *h, struct slice bytes, enum http_method method)
{
	static struct http_head head;
	struct chunks chunks = {0};
	struct slice payload;
	size_t scanned = 0, at, taken;
	const char *why = "";
	int64_t len = rddr_http_head_end(bytes, &scanned, &why);

	need(len > 0, "no head");
	need(rddr_http_read_answer(slice_cut(bytes, 0, (size_t)len), &head, &why) == 0, why);
	/* But for its framing, it is compared too. */
	for (unsigned i = 0; i < head.n; i++) {
		if (head.headers[i].kind == HTTP_PLAIN)
			keep(h, head.headers[i].value.data, head.headers[i].value.len);
	}
	at = (size_t)len;
	h->answers += head.status >= 200;
	h->whole = true;
	switch (rddr_http_answer_framing(&head, method)) {
	case HTTP_LENGTH:
		taken = bytes.len - at < head.length ? bytes.len - at : (size_t)head.length;
		keep(h, bytes.data + at, taken);
		h->whole = taken == head.length;
		return at + taken;
	case HTTP_CHUNKED:
		while (at < bytes.len && !chunks.done) {
			need(rddr_chunks_next(&chunks, slice_cut(bytes, at, SIZE_MAX), &taken, &payload, &why) == 0,
			     why);
			keep(h, payload.data, payload.len);
			at += taken;
		}
		h->whole = chunks.done;
		return at;
	case HTTP_UNTIL_CLOSE:
		keep(h, bytes.data + at, bytes.len - at);
		return bytes.len;
	case HTTP_NO_BODY:
	default:
		/* A tunnel. */
		if (head.status == 101 || method == HTTP_METHOD_CONNECT) {
			keep(h, bytes.data + at, bytes.len - at);
			return bytes.len;
		}
		return at;
	}
}

static bool run(const struct input *in, size_t piece, struct heard *h)
{
	static struct rddr_session s;
	const struct fake_out *out = &s.out[FAKE_LONE];
	enum http_method method;
	bool fits;

	memset(h, 0, offsetof(struct heard, bytes));
	need(fake_begin(&s, &fakehttp, N, in->filter, in->renames ? NAMES : "{}") == 0, "begin");
	fake_set(&s.in[FAKE_LONE], in->request, strlen(in->request), RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	need(fake_modify(&s), "a good request is rejected");
	method = ((struct http *)s.state)->exchange.method;
	for (unsigned i = 0; i < N; i++)
		fake_set(&s.in[i], in->bytes[i], in->len[i], in->end[i]);
	fits = piece ? fake_diff_chunked(&s, piece, piece) : fake_diff_whole(&s);
	for (size_t at = 0; at < out->len;)
		at += hear_one(h, (struct slice){out->data + at, out->len - at}, method);
	need(h->answers <= 1, "more answers than requests");
	fake_end(&s);
	return fits;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const requests[] = {
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
		"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
	};
	static struct input in;
	static struct heard whole, pieces;
	bool fits;

	if (size < 2)
		return 0;
	memset(in.len, 0, sizeof(in.len));
	memset(in.end, 0, sizeof(in.end));
	in.request = requests[(data[0] & 0x3f) % (sizeof(requests) / sizeof(requests[0]))];
	in.renames = data[0] & 0x40;
	in.filter = data[0] & 0x80;
	write_streams(&in, data + 2, data + size);
	fits = run(&in, 0, &whole);
	need(run(&in, 1 + data[1] % 100, &pieces) == fits, "diverges in one way of arriving only");
	if (!fits)
		return 0;
	need(whole.answers == pieces.answers && whole.whole == pieces.whole && whole.payload == pieces.payload &&
		     memcmp(whole.bytes, pieces.bytes, whole.payload) == 0,
	     "another answer in another way of arriving");
	return 0;
}
