/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakehost.h"
#include "http_session.h"

#define UPLOAD "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
#define WAITS  "Expect: 100-continue\r\n"
#define LEAVE  "HTTP/1.1 100 Continue\r\n\r\n"
#define GET    "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define OK     "HTTP/1.1 200 OK\r\n"

#define DATE   "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
#define DATE_2 "Date: Mon, 07 Nov 1994 08:49:38 GMT\r\n"

/* Alike for all but where said; "$i" stands for the instance's number, "$R" for a token of each instance's own. */
struct exchange_example {
	const char *what, *request;
	const char *answer, *other; /* of instances 0 and 1, and of 2; other NULL: the same */
	const char *client;	    /* what the client gets; NULL: a divergence */
	const char *where, *why;    /* then; parts of them */
	bool filter, ends;	    /* the answers' streams end */
};

static const struct exchange_example examples[] = {
	{"a length", GET, OK "Content-Length: 5\r\n\r\nhello", NULL, OK "Content-Length: 5\r\n\r\nhello", NULL, NULL,
	 false, false},
	{"reasons, spaces, names and order do not matter", GET, OK "A: 1\r\nContent-Length: 2\r\nB: 2\r\n\r\nhi",
	 "HTTP/1.1 200 Fine\r\nb:2\r\na:  1 \r\ncontent-length:2\r\n\r\nhi",
	 OK "A: 1\r\nB: 2\r\nContent-Length: 2\r\n\r\nhi", NULL, NULL, false, false},
	{"chunks and a length are the same", GET, OK "Content-Length: 5\r\n\r\nhello",
	 OK "Transfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nT: 1\r\n\r\n",
	 OK "Content-Length: 5\r\n\r\nhello", NULL, NULL, false, false},
	{"HEAD has no body", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", OK "Content-Length: 5\r\n\r\n", NULL,
	 OK "Content-Length: 5\r\n\r\n", NULL, NULL, false, false},
	{"HEAD tells a length", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", OK "Content-Length: 5\r\n\r\n",
	 OK "Content-Length: 6\r\n\r\n", NULL, "header Content-Length", "", false, false},
	{"304 has no body", GET, "HTTP/1.1 304 x\r\nETag: \"a\"\r\n\r\n", NULL,
	 "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", NULL, NULL, false, false},
	{"204", GET, "HTTP/1.1 204 x\r\n\r\n", NULL, "HTTP/1.1 204 No Content\r\n\r\n", NULL, NULL, false, false},
	{"an empty body", GET, OK "Content-Length: 0\r\n\r\n", NULL, OK "Content-Length: 0\r\n\r\n", NULL, NULL, false,
	 false},
	{"to the end of the stream, for HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhello", NULL,
	 OK "Connection: close\r\n\r\nhello", NULL, NULL, false, true},
	{"close is said on", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", OK "Content-Length: 1\r\n\r\nx",
	 NULL, OK "Content-Length: 1\r\nConnection: close\r\n\r\nx", NULL, NULL, false, false},
	{"one that closes does not matter", GET, OK "Content-Length: 1\r\n\r\nx",
	 OK "Connection: close\r\nContent-Length: 1\r\n\r\nx", OK "Content-Length: 1\r\n\r\nx", NULL, NULL, false,
	 false},
	{"interim answers are taken out", GET, "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" OK "Content-Length: 1\r\n\r\nx",
	 OK "Content-Length: 1\r\n\r\nx", OK "Content-Length: 1\r\n\r\nx", NULL, NULL, false, false},
	{"100 is passed on when all say it",
	 "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
	 "HTTP/1.1 100 C\r\n\r\nHTTP/1.1 201 x\r\nContent-Length: 0\r\n\r\n", NULL,
	 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"cookies in any order", GET, OK "Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n\r\n",
	 OK "Set-Cookie: b=2; Path=/\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n",
	 OK "Set-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"nothing, coded", GET, OK "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL,
	 OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", NULL, NULL, false, false},
	{"an ignored header goes out once", GET, OK DATE DATE_2 "Content-Length: 0\r\n\r\n",
	 OK DATE_2 DATE "Content-Length: 0\r\n\r\n", OK DATE "Content-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"an ignored header that one has not does not go out", GET,
	 OK DATE "Server: a/1 (b)\r\nAge: 5\r\nVia: 1.1 a\r\nX-Request-Id: a1\r\nContent-Length: 0\r\n\r\n",
	 OK "Content-Length: 0\r\n\r\n", OK "Content-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"ignored headers of their forms", GET,
	 OK DATE "Server: a/1 (b)\r\nAge: 5\r\nVia: 1.1 a\r\nX-Request-Id: a1\r\nContent-Length: 0\r\n\r\n",
	 OK DATE_2 "Server: c\r\nAge: 7\r\nVia: 1.1 b\r\nX-Request-Id: b-2\r\nContent-Length: 0\r\n\r\n",
	 OK DATE "Server: a/1 (b)\r\nAge: 5\r\nVia: 1.1 a\r\nX-Request-Id: a1\r\nContent-Length: 0\r\n\r\n", NULL, NULL,
	 false, false},
	{"no date", GET, OK "Date: U0VDUkVU\r\nContent-Length: 0\r\n\r\n", OK DATE "Content-Length: 0\r\n\r\n", NULL,
	 "header Date", "not a date", false, false},
	{"no age", GET, OK "Age: U0VDUkVU\r\nContent-Length: 0\r\n\r\n", OK "Content-Length: 0\r\n\r\n", NULL,
	 "header Age", "not a number", false, false},
	{"no id", GET, OK "X-Request-Id: a b\r\nContent-Length: 0\r\n\r\n", OK "Content-Length: 0\r\n\r\n", NULL,
	 "header X-Request-Id", "not a token", false, false},
	{"no server", GET, OK "Server: \xe4\r\nContent-Length: 0\r\n\r\n", OK "Server: a\r\nContent-Length: 0\r\n\r\n",
	 NULL, "header Server", "visible bytes", false, false},
	{"a name that another spells in another way", GET, OK "X-SeCrEt: 1\r\neTAG: 2\r\nContent-Length: 0\r\n\r\n",
	 OK "X-Secret: 1\r\nEtag: 2\r\nContent-Length: 0\r\n\r\n",
	 OK "X-Secret: 1\r\nETag: 2\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"a name that all spell alike", GET, OK "X-SeCrEt: 1\r\nA: 1\r\nContent-Length: 0\r\n\r\n",
	 OK "A: 1\r\nX-SeCrEt: 1\r\nContent-Length: 0\r\n\r\n", OK "A: 1\r\nX-SeCrEt: 1\r\nContent-Length: 0\r\n\r\n",
	 NULL, NULL, false, false},
	{"an order that all have", GET, OK DATE "C: 1\r\nContent-Length: 0\r\nA: 1\r\nb: 1\r\n\r\n",
	 OK DATE_2 "C: 1\r\nA: 1\r\nContent-Length: 0\r\nb: 1\r\n\r\n",
	 OK DATE "C: 1\r\nA: 1\r\nb: 1\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"an order that one has not", GET, OK "C: 1\r\nContent-Length: 0\r\nAA: 1\r\nb: 2\r\nA: 1\r\nb: 1\r\n\r\n",
	 OK "A: 1\r\nb: 2\r\nAA: 1\r\nb: 1\r\nC: 1\r\nContent-Length: 0\r\n\r\n",
	 OK "A: 1\r\nAA: 1\r\nb: 2\r\nb: 1\r\nC: 1\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"an order of cookies that one has not", GET,
	 OK "Set-Cookie: b=2\r\nSet-Cookie: a=2\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n",
	 OK "Set-Cookie: a=2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
	 OK "Set-Cookie: a=2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false,
	 false},
	{"an order of which what does not go out is no part", GET,
	 OK "C: 1\r\nServer: a\r\nA: 1\r\nContent-Length: 0\r\n\r\n", OK "C: 1\r\nA: 1\r\nContent-Length: 0\r\n\r\n",
	 OK "C: 1\r\nA: 1\r\nContent-Length: 0\r\n\r\n", NULL, NULL, false, false},
	{"a length of HEAD that one has not", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
	 OK "Content-Length: 123456789012345678\r\n\r\n", OK "\r\n", OK "\r\n", NULL, NULL, false, false},
	{"a length of 304 that one has not", GET, "HTTP/1.1 304 x\r\nContent-Length: 123456789\r\n\r\n",
	 "HTTP/1.1 304 x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\n\r\n", NULL, NULL, false, false},
	{"a length of HEAD that all have", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", OK DATE "Content-Length: 5\r\n\r\n",
	 OK DATE_2 "Content-Length: 5\r\n\r\n", OK DATE "Content-Length: 5\r\n\r\n", NULL, NULL, false, false},
	{"a length of HEAD that only others have", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", OK "\r\n",
	 OK "Content-Length: 5\r\n\r\n", OK "\r\n", NULL, NULL, false, false},
	{"JSON in any order", GET, OK "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"b\":2}",
	 OK "Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"b\":2, \"a\":1}",
	 OK "Content-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"a\":1,\"b\":2}", NULL, NULL, false, false},
	{"noise", GET, OK "Content-Type: text/html\r\nX-Id: $R\r\nContent-Length: 17\r\n\r\n<p>$R</p>", NULL,
	 OK "Content-Type: text/html\r\nX-Id: a1b2c3d4e5\r\nContent-Length: 17\r\n\r\n<p>a1b2c3d4e5</p>", NULL, NULL,
	 true, false},

	{"a status", GET, OK "Content-Length: 0\r\n\r\n", "HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n", NULL,
	 "the status", "404, where 200", false, false},
	{"a header", GET, OK "X: 1\r\nContent-Length: 0\r\n\r\n", OK "X: 2\r\nContent-Length: 0\r\n\r\n", NULL,
	 "header X", "", false, false},
	{"a header that is missing", GET, OK "X: 1\r\nContent-Length: 0\r\n\r\n", OK "Content-Length: 0\r\n\r\n", NULL,
	 "header X", "missing", false, false},
	{"a header too many", GET, OK "Content-Length: 0\r\n\r\n", OK "X: 1\r\nContent-Length: 0\r\n\r\n", NULL,
	 "header X", "missing", false, false},
	{"a cookie", GET, OK "Set-Cookie: sid=1\r\nContent-Length: 0\r\n\r\n",
	 OK "Set-Cookie: sid=2\r\nContent-Length: 0\r\n\r\n", NULL, "header Set-Cookie sid", "", false, false},
	{"a line", GET, OK "Content-Type: text/html\r\nContent-Length: 4\r\n\r\na\nb\n",
	 OK "Content-Type: text/html\r\nContent-Length: 4\r\n\r\na\nc\n", NULL, "line 2", "", false, false},
	{"a byte", GET, OK "Content-Length: 3\r\n\r\nabc", OK "Content-Length: 3\r\n\r\nabd", NULL, "byte 2", "", false,
	 false},
	{"a longer body", GET, OK "Content-Length: 3\r\n\r\nabc", OK "Content-Length: 4\r\n\r\nabcd", NULL, "", "",
	 false, false},
	{"JSON that differs", GET, OK "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
	 OK "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":2}", NULL, "/a", "", false, false},
	{"no HTTP", GET, OK "Content-Length: 0\r\n\r\n", "SSH-2.0-x\r\n\r\n", NULL, "the head", "not HTTP", false,
	 false},
	{"two lengths", GET, OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", NULL, NULL, "the head", "", false,
	 false},
	{"chunks that are none", GET, OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", NULL, NULL, "the body", "", false,
	 false},
	{"101 unasked", GET, "HTTP/1.1 101 x\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", NULL, NULL, "the status",
	 "nobody", false, false},
	{"ends in its body", GET, OK "Content-Length: 9\r\n\r\nhello", NULL, NULL, "the body", "ended inside", false,
	 true},
	{"a second answer", GET, OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n", NULL, NULL,
	 "the answer", "nobody asked", false, false},
};

static char *write_answer(const struct exchange_example *e, unsigned i)
{
	static const char *const tokens[] = {"a1b2c3d4e5", "f6e7d8c9b0", "0f9e8d7c6b"};
	const char *text = i == 2 && e->other ? e->other : e->answer, *mark;
	char *out = calloc(1, 1024);

	assert_non_null(out);
	while ((mark = strstr(text, "$R"))) {
		strncat(out, text, (size_t)(mark - text));
		/* NOLINTNEXTLINE: the buffers of this test are made for it */
		strcat(out, tokens[i]);
		text = mark + 2;
	}
	/* NOLINTNEXTLINE: the buffers of this test are made for it */
	strcat(out, text);
	return out;
}

/* piece 0: whole; 1: dribbled; others: in pieces of at most that. */
static void hold(const struct exchange_example *e, size_t piece)
{
	const char *how = piece ? "in pieces" : "whole";
	struct rddr_session s;
	char *answers[3];
	bool fits;

	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 3, e->filter, "{}"), 0);
	fake_set(&s.in[FAKE_LONE], e->request, strlen(e->request), RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&s));
	assert_int_equal(s.in[FAKE_LONE].consumed, strlen(e->request));
	for (unsigned i = 0; i < 3; i++) {
		answers[i] = write_answer(e, i);
		fake_set(&s.in[i], answers[i], strlen(answers[i]), e->ends ? RDDR_END_ENDED : RDDR_END_OPEN);
	}
	fits = piece == 0   ? fake_diff_whole(&s)
	       : piece == 1 ? fake_diff_dribbled(&s)
			    : fake_diff_chunked(&s, 77 + piece, piece);
	if (fits != (e->client != NULL))
		fail_msg("%s, %s: %s: %s: %s", e->what, how, fits ? "fits" : "diverges", s.finding.where,
			 s.finding.why);
	if (fits) {
		const struct fake_out *out = &s.out[FAKE_LONE];

		/* NOLINTNEXTLINE: the buffers of this test are made for it */
		if (out->len != strlen(e->client) || memcmp(out->data, e->client, out->len) != 0)
			fail_msg("%s, %s: %.*s", e->what, how, (int)out->len, (const char *)out->data);
		assert_true(s.neutrals > 0 && (s.boundary || e->ends));
	} else if (!strstr(s.finding.where, e->where) || !strstr(s.finding.why, e->why)) {
		fail_msg("%s, %s: %s: %s", e->what, how, s.finding.where, s.finding.why);
	}
	fake_end(&s);
	for (unsigned i = 0; i < 3; i++)
		free(answers[i]);
}

static void exchanges_come_out_however_they_arrive(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		for (size_t piece = 0; piece < 20; piece++)
			hold(&examples[i], piece);
	}
}

static struct rddr_session *ask(struct rddr_session *s, const char *request)
{
	assert_int_equal(fake_begin(s, &rddr_diff_plugin, 2, false, "{}"), 0);
	fake_set(&s->in[FAKE_LONE], request, strlen(request), RDDR_END_OPEN);
	fake_show(&s->in[FAKE_LONE], SIZE_MAX);
	return s;
}

static void heard(const struct rddr_session *s, unsigned end, const char *text)
{
	if (s->out[end].len != strlen(text) || memcmp(s->out[end].data, text, s->out[end].len) != 0)
		fail_msg("%.*s, not %s", (int)s->out[end].len, (const char *)s->out[end].data, text);
}

static void instances_are_asked_for_no_coding(void **state)
{
	struct rddr_session s;

	(void)state;
	assert_true(fake_modify(ask(&s, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, br\r\nX: y\r\n"
					"Accept-Encoding: zstd\r\n\r\n")));
	for (unsigned i = 0; i < 2; i++)
		heard(&s, i, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: identity\r\nX: y\r\n\r\n");
	fake_end(&s);
}

static void websockets_are_opened_without_extensions_and_become_bytes(void **state)
{
	static const char answer[] = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x02hi";
	struct rddr_session s;

	(void)state;
	assert_true(fake_modify(ask(&s, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
					"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n\x81\x01x")));
	assert_true(s.holds);
	heard(&s, 0, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
	for (unsigned i = 0; i < 2; i++)
		fake_set(&s.in[i], answer, sizeof(answer) - 1, RDDR_END_OPEN);
	assert_true(fake_diff_whole(&s));
	heard(&s, FAKE_LONE,
	      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x02hi");
	assert_true(fake_modify(&s));
	heard(&s, 1, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x01x");
	fake_end(&s);
}

static void the_next_request_waits_for_the_answer(void **state)
{
	static const char answer[] = OK "Content-Length: 0\r\n\r\n";
	struct rddr_session s;

	(void)state;
	assert_true(fake_modify(ask(&s, GET GET "GET / HTTP/1.1\r\nHost : a\r\n\r\n")));
	assert_true(s.holds);
	heard(&s, 0, GET);
	for (unsigned i = 0; i < 2; i++)
		fake_set(&s.in[i], answer, sizeof(answer) - 1, RDDR_END_OPEN);
	assert_true(fake_diff_whole(&s));
	assert_true(fake_modify(&s));
	heard(&s, 0, GET GET);
	/* The bad one is refused only when the answer to the good one is out. */
	assert_true(s.holds);
	s.in[0].consumed = s.in[1].consumed = s.source = 0;
	assert_true(fake_diff(&s));
	assert_false(fake_modify(&s));
	assert_non_null(strstr(s.rejected, "white space"));
	heard(&s, FAKE_LONE, OK "Content-Length: 0\r\n\r\n" OK "Content-Length: 0\r\n\r\n");
	fake_end(&s);
}

static void bad_chunks_reach_nobody(void **state)
{
	static const char *const bad[] = {
		"5\r\nhello\r\n0x0\r\n\r\n",
		"5;a=N;a\r\nhello\r\n0\r\n\r\n",
		"5;a;b=1\r\nhello\r\n0\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rddr_session s;
		char text[256];

		snprintf(text, sizeof(text), UPLOAD "\r\n%s", bad[i]);
		assert_false(fake_modify(ask(&s, text)));
		assert_int_equal(s.out[0].len, 0);
		fake_end(&s);
		/* Nor do they when the client could have waited for leave to send them, */
		snprintf(text, sizeof(text), UPLOAD WAITS "\r\n%s", bad[i]);
		assert_false(fake_modify(ask(&s, text)));
		assert_int_equal(s.out[0].len, 0);
		assert_int_equal(s.out[FAKE_LONE].len, 0);
		fake_end(&s);
		/* and when it did. */
		assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, "{}"), 0);
		fake_set(&s.in[FAKE_LONE], text, strlen(text), RDDR_END_OPEN);
		fake_show(&s.in[FAKE_LONE], strlen(UPLOAD WAITS "\r\n"));
		assert_true(fake_modify(&s));
		heard(&s, FAKE_LONE, LEAVE);
		fake_show(&s.in[FAKE_LONE], SIZE_MAX);
		assert_false(fake_modify(&s));
		assert_int_equal(s.out[0].len, 0);
		fake_end(&s);
	}
}

/* Leave that the client got is given once, and not asked for again. */
static void chunks_that_wait_for_leave_are_awaited(void **state)
{
	static const char answer[] = "HTTP/1.1 100 C\r\n\r\n" OK "Content-Length: 0\r\n\r\n";
	static const char text[] = UPLOAD WAITS "\r\n5\r\nhello\r\n0\r\n\r\n";
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, "{}"), 0);
	fake_set(&s.in[FAKE_LONE], text, sizeof(text) - 1, RDDR_END_OPEN);
	while (s.in[FAKE_LONE].shown < sizeof(text) - 1) {
		assert_int_equal(s.out[0].len, 0);
		fake_show(&s.in[FAKE_LONE], 1);
		assert_true(fake_modify(&s));
	}
	heard(&s, 0, UPLOAD "\r\n5\r\nhello\r\n0\r\n\r\n");
	heard(&s, FAKE_LONE, LEAVE);
	for (unsigned i = 0; i < 2; i++)
		fake_set(&s.in[i], answer, sizeof(answer) - 1, RDDR_END_OPEN);
	assert_true(fake_diff_whole(&s));
	heard(&s, FAKE_LONE, LEAVE OK "Content-Length: 0\r\n\r\n");
	fake_end(&s);
}

/* What the host can show at once bounds how far chunks are checked ahead. */
static void chunks_pass_within_a_small_buffer(void **state)
{
	enum { LIMIT = 4096, SIZE = 20000 };
	struct rddr_diff_create args = {.direction = RDDR_INCOMING, .instances = 2, .limit = LIMIT};
	char *text = malloc(SIZE + 200);
	struct rddr_session s = {0};
	struct fake_stream *in = &s.in[FAKE_LONE];
	size_t len;

	(void)state;
	assert_non_null(text);
	len = (size_t)sprintf(text, UPLOAD "\r\n%x\r\n%0*d\r\n0\r\n\r\n", SIZE, SIZE, 0);
	assert_int_equal(fake_create(&s, &rddr_diff_plugin, "{}", &args), 0);
	fake_set(in, text, len, RDDR_END_OPEN);
	while (in->consumed < len) {
		size_t before = in->consumed;

		fake_show(in, LIMIT - (in->shown - in->consumed));
		assert_true(fake_modify(&s));
		if (in->consumed == before)
			fail_msg("stuck at %zu of %zu", before, len);
	}
	assert_int_equal(s.out[1].len, len);
	assert_memory_equal(s.out[1].data, text, len);
	fake_end(&s);
	free(text);
}

/* A head whose body is waited for was accepted: what stands there now is looked at again when it is passed on alone. */
static void a_head_is_not_read_again_with_each_byte_of_its_body(void **state)
{
	enum { HEAD = 1000, SIZE = 5000 };
	char *text = malloc(HEAD + SIZE + 300);
	struct rddr_session s;
	size_t len;

	(void)state;
	assert_non_null(text);
	len = (size_t)sprintf(text, UPLOAD "X: %0*d\r\n\r\n%x\r\n%0*d\r\n0\r\n\r\n", HEAD, 0, SIZE, SIZE, 0);
	assert_int_equal(fake_begin(&s, &rddr_diff_plugin, 2, false, "{}"), 0);
	fake_set(&s.in[FAKE_LONE], text, len, RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], HEAD + SIZE / 2);
	assert_true(fake_modify(&s));
	/* No head that is read may have that. */
	text[HEAD] = '\r';
	while (s.in[FAKE_LONE].shown < len - 1) {
		fake_show(&s.in[FAKE_LONE], 1);
		assert_true(fake_modify(&s));
	}
	assert_int_equal(s.out[1].len, 0);
	text[HEAD] = '0';
	fake_show(&s.in[FAKE_LONE], 1);
	assert_true(fake_modify(&s));
	assert_int_equal(s.out[1].len, len);
	assert_memory_equal(s.out[1].data, text, len);
	fake_end(&s);
	free(text);
}

static void denials_are_json_for_who_accepts_it(void **state)
{
	static const struct {
		const char *accept; /* headers */
		bool json;
	} cases[] = {
		{"", false},
		{"Accept: application/json\r\n", true},
		{"Accept: text/json\r\n", true},
		{"Accept: text/html, Application/JSON;q=0.5\r\n", true},
		{"Accept: text/html\r\nX: y\r\nAccept: application/json\r\n", true},
		{"Accept: application/vnd.api+json\r\n", true},
		{"Accept: application/problem+json; q=0.9, */*\r\n", true},
		{"Accept: a/b;c=\"\\\",\";q=1, text/json\r\n", true},
		{"Accept: application/json;a=\";q=0\"\r\n", true},
		{"Accept: application/json;q=0.001\r\n", true},
		{"Accept: application/json;q=0\r\n", false},
		{"Accept: application/json ; a=b ; Q=0.000, text/html\r\n", false},
		{"Accept: a/b;c=\", application/json,\"\r\n", false},
		{"Accept: a/b;c=\", application/json\\\r\n", false},
		{"Accept: */*, application/*\r\n", false},
		{"Accept: application/jsonl, application/json+xml, +json5\r\n", false},
		{"X: application/json\r\nAccept: , ,\r\n", false},
	};
	const struct rddr_denial denial = {
		.size = sizeof(denial), .reason = RDDR_DENIED_DIVERGENCE, .reference = "r-1"};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rddr_session s;
		char text[256];

		snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", cases[i].accept);
		assert_true(fake_modify(ask(&s, text)));
		s.plugin->render_denial(s.state, &denial);
		if (!memmem(s.out[FAKE_LONE].data, s.out[FAKE_LONE].len, "application/json", 16) == cases[i].json)
			fail_msg("%s", cases[i].accept);
		fake_end(&s);
	}
}

static void denials_fit_where_the_answer_stands(void **state)
{
	const struct rddr_denial denial = {
		.size = sizeof(denial), .reason = RDDR_DENIED_DIVERGENCE, .reference = "r-1"};
	static const char begun[] = OK "Content-Length: 99999\r\n\r\nhello";
	struct rddr_session s;

	(void)state;
	assert_true(fake_modify(ask(&s, GET)));
	s.plugin->render_denial(s.state, &denial);
	assert_memory_equal(s.out[FAKE_LONE].data, "HTTP/1.1 500 ", 13);
	fake_end(&s);

	/* Some of the answer is out. */
	assert_true(fake_modify(ask(&s, GET)));
	for (unsigned i = 0; i < 2; i++)
		fake_set(&s.in[i], begun, sizeof(begun) - 1, RDDR_END_OPEN);
	assert_true(fake_diff_whole(&s));
	size_t before = s.out[FAKE_LONE].len;
	assert_true(before > 0);
	s.plugin->render_denial(s.state, &denial);
	assert_int_equal(s.out[FAKE_LONE].len, before);
	fake_end(&s);
}

static void wrong_parameters_are_named(void **state)
{
	void *params = NULL;
	char err[256] = "";

	(void)state;
	assert_true(rddr_diff_plugin.validate_params("{\"max-haed\": 3}", &params, err, sizeof(err)) < 0);
	assert_non_null(strstr(err, "max-haed"));
	assert_null(params);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanges_come_out_however_they_arrive),
		cmocka_unit_test(instances_are_asked_for_no_coding),
		cmocka_unit_test(websockets_are_opened_without_extensions_and_become_bytes),
		cmocka_unit_test(the_next_request_waits_for_the_answer),
		cmocka_unit_test(bad_chunks_reach_nobody),
		cmocka_unit_test(chunks_that_wait_for_leave_are_awaited),
		cmocka_unit_test(chunks_pass_within_a_small_buffer),
		cmocka_unit_test(a_head_is_not_read_again_with_each_byte_of_its_body),
		cmocka_unit_test(denials_are_json_for_who_accepts_it),
		cmocka_unit_test(denials_fit_where_the_answer_stands),
		cmocka_unit_test(wrong_parameters_are_named),
	};

	return cmocka_run_group_tests_name("diff/http", tests, NULL, NULL);
}
