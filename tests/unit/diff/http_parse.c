/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http_chunks.h"
#include "http_parse.h"

/* A head in memory of its own, so that whoever looks behind it is seen. */
struct text {
	uint8_t *bytes;
	size_t len;
};

static struct text text_of(const char *bytes, size_t len)
{
	struct text t = {malloc(len ? len : 1), len};

	assert_non_null(t.bytes);
	memcpy(t.bytes, bytes, len);
	return t;
}

static int read_whole(bool request, const struct text *t, struct http_head *head, const char **why)
{
	struct slice bytes = {t->bytes, t->len};
	size_t scanned = 0;
	int64_t len = rddr_http_head_end(bytes, &scanned, why);

	if (len < 0)
		return (int)len;
	if (len == 0) {
		*why = "incomplete";
		return -EAGAIN;
	}
	bytes.len = (size_t)len;
	return (request ? rddr_http_read_request : rddr_http_read_answer)(bytes, head, why);
}

/* ---- requests ---- */

#define GET	"GET / HTTP/1.1\r\n"
#define GET_A	GET "Host: a\r\n"
#define POST_A	"POST / HTTP/1.1\r\nHost: a\r\n"
#define L(text) text, sizeof(text) - 1

static const struct {
	const char *bytes;
	size_t len;
	const char *why; /* a part of the reason */
} refused[] = {
	{L("\r\n" GET_A "\r\n"), "empty line"},
	{L("\x16\x03\x01"), "not HTTP"},
	{L("GET / HTTP/1.1\nHost: a\n\n"), "line feed"},
	{L(GET "Host: a\n\r\n"), "line feed"},
	{L(GET_A "X: a\rb\r\n\r\n"), "carriage return"},
	{L(GET_A "X: a\r\r\n\r\n"), "carriage return"},
	{L(GET_A "X: a\0b\r\n\r\n"), "control byte"},
	{L(GET_A "X: a\x0b\r\n\r\n"), "control byte"},
	{L(GET_A "X: a\x7f\r\n\r\n"), "control byte"},
	{L(GET_A "X: a\r\n b\r\n\r\n"), "folded"},
	{L(GET_A "X: a\r\n\tb\r\n\r\n"), "folded"},
	{L(GET " Host: a\r\n\r\n"), "folded"},
	{L(GET "Host : a\r\n\r\n"), "white space"},
	{L(GET_A "Transfer-Encoding : chunked\r\n\r\n"), "white space"},
	{L(GET_A "X\r\n\r\n"), "colon"},
	{L(GET_A ": a\r\n\r\n"), "name"},
	{L(GET_A "X(: a\r\n\r\n"), "name"},
	{L(GET_A "X\0: a\r\n\r\n"), "name"},
	{L(GET_A "X\xe4: a\r\n\r\n"), "name"},
	{L("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), "target with bytes"},
	{L("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), "target with bytes"},
	{L("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), "request line"},
	{L("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), "target with bytes"},
	{L(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "not HTTP"},
	{L("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"), "target with bytes"},
	{L("GET /\\a HTTP/1.1\r\nHost: a\r\n\r\n"), "target with bytes"},
	{L("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"), "target with bytes"},
	{L("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"), "target with bytes"},
	{L("GET /\r\n\r\n"), "request line"},
	{L("GET\r\n\r\n"), "request line"},
	{L("GET / HTTP/0.9\r\n\r\n"), "version"},
	{L("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), "version"},
	{L("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), "version"},
	{L("GET / http/1.1\r\nHost: a\r\n\r\n"), "version"},
	{L("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), "version"},
	{L("GET / ICE/1.0\r\nHost: a\r\n\r\n"), "version"},
	{L("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "version"},
	{L("get / HTTP/1.1\r\nHost: a\r\n\r\n"), "method"},
	{L("NOSUCH / HTTP/1.1\r\nHost: a\r\n\r\n"), "method"},
	{L(GET "\r\n"), "without a Host"},
	{L(GET_A "Host: a\r\n\r\n"), "more than one Host"},
	{L(GET_A "host: b\r\n\r\n"), "more than one Host"},
	{L(GET "Host: a b\r\n\r\n"), "not a host"},
	{L(GET "Host: a/b\r\n\r\n"), "not a host"},
	{L(GET "Host: a@b\r\n\r\n"), "not a host"},
	{L(GET "Host: a, b\r\n\r\n"), "not a host"},
	{L(GET "Host: a:b\r\n\r\n"), "not a host"},
	{L(GET "Host: a:123456\r\n\r\n"), "not a host"},
	{L(GET "Host: [::1\r\n\r\n"), "not a host"},
	{L(GET "Host: [x]\r\n\r\n"), "not a host"},
	{L("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"), "another host"},
	{L("GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"), "another host"},
	{L("GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n"), "another host"},
	{L("GET http://a/ HTTP/1.0\r\n\r\n"), "another host"},
	{L("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), "not of http"},
	{L("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"), "neither"},
	{L("GET index HTTP/1.1\r\nHost: a\r\n\r\n"), ""},
	{L("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), "OPTIONS"},
	{L("CONNECT b:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"), "CONNECT"},
	{L("CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"), "CONNECT"},
	{L("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\n"), "CONNECT with a body"},
	{L("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"), "TRACE"},
	{L(POST_A "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 5, 5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: +5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: -5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 0x5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 5 5\r\n\r\n"), ""},
	{L(POST_A "Content-Length: \r\n\r\n"), ""},
	{L(POST_A "Content-Length: 5;a\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 99999999999999999999\r\n\r\n"), ""},
	{L(POST_A "Content-Length: 1234567890123456789\r\n\r\n"), ""},
	{L(POST_A "Content_Length: 5\r\n\r\n"), "some read"},
	{L(POST_A "Transfer_Encoding: chunked\r\n\r\n"), "some read"},
	{L(POST_A "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: chunked, identity\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: gzip, chunked\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: chunked, chunked\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: identity\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: xchunked\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: \"chunked\"\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: chunked;a=b\r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding:\x0b chunked\r\n\r\n"), "control byte"},
	{L(POST_A "Transfer-Encoding: \r\n\r\n"), ""},
	{L("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), "HTTP/1.0"},
	{L(POST_A "Connection: close, Content-Length\r\nContent-Length: 5\r\n\r\n"), "Connection"},
	{L(GET_A "Connection: Host\r\n\r\n"), "Connection"},
	{L(GET_A "Expect: 200-ok\r\n\r\n"), "expectation"},
	{L(POST_A "Expect: 100-continue\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n"), "more than one Expect"},
	{L(POST_A "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"), "more than one Expect"},
	{L(POST_A "Transfer-Encoding:\tchunked\r\n\r\n"), "around the value"},
	{L(POST_A "Transfer-Encoding: \tchunked\r\n\r\n"), "around the value"},
	{L(POST_A "Transfer-Encoding:  chunked\r\n\r\n"), "around the value"},
	{L(POST_A "Transfer-Encoding: chunked \r\n\r\n"), ""},
	{L(POST_A "Transfer-Encoding: chunked\t\t\t\r\n\r\n"), ""},
	{L(POST_A "Content-Length:\t2\r\n\r\n"), "around the value"},
	{L(POST_A "Content-Length:  2\r\n\r\n"), "around the value"},
	{L(POST_A "Content-Length: 2 \r\n\r\n"), ""},
	{L(POST_A "Content-Length: 2\t\r\n\r\n"), ""},
	{L(GET "Host:\ta\r\n\r\n"), "around the value"},
	{L(GET "Host:  a\r\n\r\n"), "around the value"},
	{L(GET "Host: a \r\n\r\n"), "around the value"},
	{L(GET "Host: \t\r\n\r\n"), "around the value"},
	{L(GET_A "Connection:\tclose\r\n\r\n"), "around the value"},
	{L(GET_A "Connection: close\t\r\n\r\n"), "around the value"},
	{L(GET_A "Connection: Upgrade\r\nUpgrade:\twebsocket\r\n\r\n"), "around the value"},
	{L(GET_A "Connection: Upgrade\r\nUpgrade: websocket \r\n\r\n"), "around the value"},
	{L(POST_A "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\n"), "Upgrade with a body"},
	{L(POST_A "Content-Type: a\r\nContent-Type: b\r\n\r\n"), "twice"},
};

static void odd_requests_are_refused(void **state)
{
	static struct http_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct text t = text_of(refused[i].bytes, refused[i].len);
		const char *why = NULL;
		int r = read_whole(true, &t, &head, &why);

		if (r != -EINVAL || !why || !*why || !strstr(why, refused[i].why))
			fail_msg("%zu: %.*s: %d, %s", i, (int)refused[i].len, refused[i].bytes, r, why ? why : "");
		free(t.bytes);
	}
}

static void good_requests_are_read(void **state)
{
	static const struct {
		const char *bytes;
		enum http_method method;
		enum http_framing framing;
		uint64_t length;
		bool keep_alive, upgrade, expects;
	} good[] = {
		{GET_A "\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false, false},
		{"GET / HTTP/1.0\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, false, false, false},
		{"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false,
		 false},
		{GET_A "Connection: foo , Close\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, false, false, false},
		{GET_A "X:\r\nY: \t a b \t\r\nZ: \xe4\xb8\xad\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false,
		 false},
		{"GET http://A:8080/x?y=[1] HTTP/1.1\r\nHost: a:8080\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true,
		 false, false},
		{GET "Host: [::1]:80\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false, false},
		{GET "Host:\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false, false},
		{GET "Host: \r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false, false},
		{GET "Host:a\r\nConnection:close , x\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, false, false, false},
		{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_METHOD_OPTIONS, HTTP_NO_BODY, 0, true, false, false},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", HTTP_METHOD_CONNECT, HTTP_NO_BODY, 0, true, false, false},
		{POST_A "Content-Length: 5\r\n\r\n", HTTP_METHOD_OTHER, HTTP_LENGTH, 5, true, false, false},
		{POST_A "Content-Length: 0\r\n\r\n", HTTP_METHOD_OTHER, HTTP_NO_BODY, 0, true, false, false},
		{POST_A "Content-Length: 123456789012345678\r\n\r\n", HTTP_METHOD_OTHER, HTTP_LENGTH,
		 123456789012345678, true, false, false},
		{POST_A "Transfer-Encoding: Chunked\r\n\r\n", HTTP_METHOD_OTHER, HTTP_CHUNKED, 0, true, false, false},
		{"PUT /a HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 7\r\n\r\n", HTTP_METHOD_PUT,
		 HTTP_LENGTH, 7, true, false, true},
		{GET_A "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY,
		 0, true, true, false},
		{GET_A "Upgrade: websocket\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, 0, true, false, false},
		{"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", HTTP_METHOD_HEAD, HTTP_NO_BODY, 0, true, false, false},
	};
	static struct http_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct text t = text_of(good[i].bytes, strlen(good[i].bytes));
		const char *why = "";
		int r = read_whole(true, &t, &head, &why);

		if (r != 0 || head.method != good[i].method || rddr_http_request_framing(&head) != good[i].framing ||
		    (good[i].framing == HTTP_LENGTH && head.length != good[i].length) ||
		    head.keep_alive != good[i].keep_alive || head.upgrade != good[i].upgrade ||
		    head.expects != good[i].expects || head.len != t.len)
			fail_msg("%zu: %s: %d, %s", i, good[i].bytes, r, why);
		free(t.bytes);
	}
}

static bool is(struct slice a, const char *b)
{
	return slice_equal(a, slice_of(b));
}

static void headers_are_slices_without_white_space(void **state)
{
	struct text t =
		text_of(L("GET /a?b HTTP/1.1\r\nhOST:a\r\nX-One: \t b c \t\r\nX-None:\r\nAccept:  */*\r\n\r\n"));
	static struct http_head head;
	const char *why;

	(void)state;
	assert_int_equal(read_whole(true, &t, &head, &why), 0);
	assert_int_equal(head.n, 4);
	assert_true(is(head.method_name, "GET") && is(head.target, "/a?b"));
	assert_true(is(head.headers[0].name, "hOST") && is(head.headers[0].value, "a"));
	assert_true(is(head.headers[1].name, "X-One") && is(head.headers[1].value, "b c"));
	assert_true(is(head.headers[2].name, "X-None") && head.headers[2].value.len == 0);
	assert_true(is(rddr_http_header(&head, HTTP_ACCEPT)->value, "*/*"));
	assert_null(rddr_http_header(&head, HTTP_EXPECT));
	free(t.bytes);
}

static void too_many_headers_are_refused(void **state)
{
	static struct http_head head;
	char bytes[(HTTP_HEADERS_MAX + 2) * 6 + 32];
	size_t at;
	const char *why;

	(void)state;
	for (unsigned n = HTTP_HEADERS_MAX; n <= HTTP_HEADERS_MAX + 1; n++) {
		at = (size_t)sprintf(bytes, GET_A);
		for (unsigned i = 1; i < n; i++)
			at += (size_t)sprintf(bytes + at, "X: y\r\n");
		at += (size_t)sprintf(bytes + at, "\r\n");
		struct text t = text_of(bytes, at);
		assert_int_equal(read_whole(true, &t, &head, &why), n <= HTTP_HEADERS_MAX ? 0 : -EINVAL);
		free(t.bytes);
	}
}

/* A head that comes byte by byte ends where it ends, and is as wrong as when it comes whole. */
static void heads_may_come_in_pieces(void **state)
{
	static const char bytes[] = GET_A "X: y\r\n\r\nGET /next";
	size_t scanned = 0, end = sizeof(bytes) - 1 - 9;
	const char *why;

	(void)state;
	for (size_t len = 0; len < sizeof(bytes); len++) {
		struct text t = text_of(bytes, len);
		int64_t r = rddr_http_head_end((struct slice){t.bytes, t.len}, &scanned, &why);

		assert_int_equal(r, len < end ? 0 : (int64_t)end);
		free(t.bytes);
	}
}

/* ---- answers ---- */

static void answers_are_framed_by_their_request(void **state)
{
	static const struct {
		const char *bytes;
		enum http_method method;
		enum http_framing framing;
		bool keep_alive;
	} answers[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_GET, HTTP_LENGTH, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_HEAD, HTTP_NO_BODY, true},
		{"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, true},
		{"HTTP/1.1 200 \r\n\r\n", HTTP_METHOD_GET, HTTP_UNTIL_CLOSE, true},
		{"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_GET, HTTP_LENGTH, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_METHOD_GET, HTTP_CHUNKED, true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_METHOD_HEAD, HTTP_NO_BODY, true},
		{"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, true},
		{"HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, true},
		{"HTTP/1.1 101 x\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n", HTTP_METHOD_GET, HTTP_NO_BODY, true},
		{"HTTP/1.1 200 x\r\n\r\n", HTTP_METHOD_CONNECT, HTTP_NO_BODY, true},
		{"HTTP/1.1 404 x\r\nContent-Length: 1\r\n\r\n", HTTP_METHOD_CONNECT, HTTP_LENGTH, true},
		{"HTTP/1.1 500 \xe4\r\nConnection: close\r\nContent-Length: 1\r\n\r\n", HTTP_METHOD_GET, HTTP_LENGTH,
		 false},
	};
	static struct http_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct text t = text_of(answers[i].bytes, strlen(answers[i].bytes));
		const char *why = "";

		if (read_whole(false, &t, &head, &why) != 0 ||
		    rddr_http_answer_framing(&head, answers[i].method) != answers[i].framing ||
		    head.keep_alive != answers[i].keep_alive)
			fail_msg("%zu: %s: %s", i, answers[i].bytes, why);
		free(t.bytes);
	}
}

static void odd_answers_are_refused(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
		"HTTP/1.1 2000 OK\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 099 OK\r\n\r\n",
		"HTTP/1.1 600 OK\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/2 200\r\n\r\n",
		"ICY 200 OK\r\n\r\n",
		"HTTP/1.1 200 O\x01K\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
	};
	static struct http_head head;

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct text t = text_of(answers[i], strlen(answers[i]));
		const char *why = NULL;

		if (read_whole(false, &t, &head, &why) != -EINVAL || !why || !*why)
			fail_msg("%zu: %s", i, answers[i]);
		free(t.bytes);
	}
}

static void reasons_are_known(void **state)
{
	(void)state;
	assert_string_equal(rddr_http_reason(404), "Not Found");
	assert_string_equal(rddr_http_reason(200), "OK");
	assert_string_equal(rddr_http_reason(599), "Unknown");
}

static void lists_have_members(void **state)
{
	(void)state;
	assert_true(rddr_http_list_has(slice_of("a, B ;q=1 ,c"), "b"));
	assert_true(rddr_http_list_has(slice_of("a"), "a"));
	assert_true(rddr_http_list_has(slice_of(" , a"), "a"));
	assert_false(rddr_http_list_has(slice_of("ab, c"), "a"));
	assert_false(rddr_http_list_has(slice_of("x;a"), "a"));
	assert_false(rddr_http_list_has((struct slice){0}, "a"));
}

/* ---- chunks ---- */

/* Takes a body off its chunks, shown in pieces of that size; returns the payload's length, or -EINVAL. */
static int64_t unchunk(const char *bytes, size_t len, size_t piece, char *out, size_t *rest)
{
	struct chunks c = {0};
	size_t at = 0, made = 0;

	while (at < len && !c.done) {
		size_t upto = len - at < piece ? len : at + piece;

		while (at < upto && !c.done) {
			struct text t = text_of(bytes + at, upto - at);
			struct slice payload;
			size_t taken;
			const char *why = NULL;
			int r = rddr_chunks_next(&c, (struct slice){t.bytes, t.len}, &taken, &payload, &why);

			if (r == 0) {
				assert_true(taken > 0 && taken <= t.len && payload.len <= taken);
				if (payload.len)
					memcpy(out + made, payload.data, payload.len);
				made += payload.len;
				at += taken;
			}
			free(t.bytes);
			if (r < 0) {
				assert_non_null(why);
				return r;
			}
		}
	}
	*rest = len - at;
	return c.done ? (int64_t)made : -EAGAIN;
}

static void chunks_are_taken_off(void **state)
{
	static const struct {
		const char *bytes, *payload;
		size_t rest;
	} bodies[] = {
		{"0\r\n\r\n", "", 0},
		{"5\r\nhello\r\n0\r\n\r\n", "hello", 0},
		{"5\r\nhello\r\n0006\r\n world\r\n000\r\n\r\nGET", "hello world", 3},
		{"A;x=y\r\n0123456789\r\n0;last\r\n\r\n", "0123456789", 0},
		{"2\r\n\r\n\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", "\r\n", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		for (size_t piece = 1; piece < 40; piece++) {
			char out[64];
			size_t rest = 0, len = strlen(bodies[i].bytes);
			int64_t n = unchunk(bodies[i].bytes, len, piece, out, &rest);

			/* Pieces past the end of a body are somebody else's. */
			if (n != (int64_t)strlen(bodies[i].payload) || memcmp(out, bodies[i].payload, (size_t)n) != 0 ||
			    rest != bodies[i].rest)
				fail_msg("%zu in pieces of %zu: %lld, %zu left", i, piece, (long long)n, rest);
		}
	}
}

static void odd_chunks_are_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} bodies[] = {
		{L("\r\n")},
		{L("g\r\n")},
		{L("-1\r\n")},
		{L("0x5\r\nhello\r\n")},
		{L(" 5\r\nhello\r\n")},
		{L("5 \r\nhello\r\n")},
		{L("5\nhello\n")},
		{L("5\r\nhello\n")},
		{L("5\r\nhelloo\r\n")},
		{L("5\r\nhello0\r\n")},
		{L("5\rX")},
		{L("5;a b\r\nhello\r\n")},
		{L("5;\n\r\nhello\r\n")},
		{L("5;\0\r\n")},
		{L("1234567890123456\r\n")},
		{L(";\r\n")},
		{L("0\r\n\n")},
		{L("0\r\n X: y\r\n\r\n")},
		{L("0\r\nX y\r\n\r\n")},
		{L("0\r\n: y\r\n\r\n")},
		{L("0\r\nX: \x01\r\n\r\n")},
		{L("0\r\nContent-Length: 5\r\n\r\n")},
		{L("0\r\ntransfer-encoding: chunked\r\n\r\n")},
		{L("0\r\nX: a\rb\r\n\r\n")},
		{L("0\r\nTransfer_Encoding: x\r\n\r\n")},
		{L("5\r\nhello\r\n\r\n")},
		{L("+5\r\nhello\r\n")},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		for (size_t piece = 1; piece < 40; piece += 12) {
			char out[64];
			size_t rest;

			if (unchunk(bodies[i].bytes, bodies[i].len, piece, out, &rest) != -EINVAL)
				fail_msg("%zu: %.*s", i, (int)bodies[i].len, bodies[i].bytes);
		}
	}
}

static void extensions_and_trailers_are_bounded(void **state)
{
	static char bytes[20000], out[64];
	size_t rest;

	(void)state;
	memset(bytes, 'a', sizeof(bytes));
	memcpy(bytes, "5;", 2); /* NOLINT: no text */
	assert_int_equal(unchunk(bytes, sizeof(bytes), 1000, out, &rest), -EINVAL);
	memcpy(bytes, "0\r\nX:", 5); /* NOLINT: no text */
	assert_int_equal(unchunk(bytes, sizeof(bytes), 1000, out, &rest), -EINVAL);
}

static void what_is_given_back_comes_again(void **state)
{
	static const char bytes[] = "5\r\nhello\r\n0\r\n\r\n";
	struct slice all = slice_of(bytes), payload;
	struct chunks c = {0};
	size_t taken, at;
	const char *why;

	(void)state;
	assert_int_equal(rddr_chunks_next(&c, all, &taken, &payload, &why), 0);
	assert_true(is(payload, "hello"));
	rddr_chunks_give_back(&c, 2);
	at = taken - 2;
	assert_int_equal(rddr_chunks_next(&c, slice_cut(all, at, SIZE_MAX), &taken, &payload, &why), 0);
	assert_true(is(payload, "lo"));
	at += taken;
	assert_int_equal(rddr_chunks_next(&c, slice_cut(all, at, SIZE_MAX), &taken, &payload, &why), 0);
	assert_true(c.done && payload.len == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_requests_are_refused),
		cmocka_unit_test(good_requests_are_read),
		cmocka_unit_test(headers_are_slices_without_white_space),
		cmocka_unit_test(too_many_headers_are_refused),
		cmocka_unit_test(heads_may_come_in_pieces),
		cmocka_unit_test(answers_are_framed_by_their_request),
		cmocka_unit_test(odd_answers_are_refused),
		cmocka_unit_test(reasons_are_known),
		cmocka_unit_test(lists_have_members),
		cmocka_unit_test(chunks_are_taken_off),
		cmocka_unit_test(odd_chunks_are_refused),
		cmocka_unit_test(extensions_and_trailers_are_bounded),
		cmocka_unit_test(what_is_given_back_comes_again),
	};

	return cmocka_run_group_tests_name("diff/http_parse", tests, NULL, NULL);
}
