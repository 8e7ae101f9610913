/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pieces.c - HTTP exchanges of every framing, whole and byte by byte on either side: the client hears the same bytes,
 * the servers too, and the verdict is the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define KEPT 4096
#define OK   "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

struct text {
	const char *bytes;
	size_t len; /* 0: it is a string */
};

struct exchange {
	const char *name;
	const char *asked;
	const char *heard;  /* what each server is to hear; NULL: what was asked */
	struct text answer; /* of each server */
	struct text other;  /* of the last one; NULL: the same */
	bool closes;	    /* servers close behind it */
	bool denied;
	const char *has; /* what the client hears, last where it is not denied */
};

/* "line one\nline two\n" in gzip. */
static const char gzipped[] =
	OK "Content-Encoding: gzip\r\nContent-Length: 35\r\n\r\n"
	   "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xcb\xc9\xcc\x4b\x55\xc8\xcf\x4b\xe5\xca\x01\x31\x4a\xca\xf3"
	   "\xb9\x00\x8b\xd7\xf4\x75\x12\x00\x00\x00";

static const struct exchange exchanges[] = {
	{.name = "a length",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {OK "Content-Length: 6\r\n\r\nhello\n", 0},
	 .has = "hello\n"},
	{.name = "chunks with trailers",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer =
		 {OK
		  "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n6\r\nhello\n\r\n5;x=y\r\nthere\r\n0\r\nX: 1\r\n\r\n",
		  0},
	 .has = "0\r\n\r\n"},
	{.name = "until the end",
	 .asked = "GET /a HTTP/1.0\r\n\r\n",
	 .answer = {OK "\r\nhello\nthere\n", 0},
	 .closes = true,
	 .has = "hello\nthere\n"},
	{.name = "HEAD",
	 .asked = "HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {OK "Content-Length: 600\r\n\r\n", 0},
	 .has = "Content-Length: 600\r\n"},
	{.name = "204",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {"HTTP/1.1 204 No Content\r\n\r\n", 0},
	 .has = " 204 "},
	{.name = "304",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"v\"\r\n\r\n",
	 .answer = {"HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nContent-Length: 12\r\n\r\n", 0},
	 .has = " 304 "},
	{.name = "interim answers",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" OK "Content-Length: 3\r\n\r\nyes", 0},
	 .has = "yes"},
	{.name = "leave to go on",
	 .asked = "PUT /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
	 .answer = {"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 3\r\n\r\nyes", 0},
	 .has = "yes"},
	{.name = "a body in chunks",
	 .asked = "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
	 .answer = {OK "Content-Length: 3\r\n\r\nyes", 0},
	 .has = "yes"},
	{.name = "a coding is not asked for",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip, br\r\n\r\n",
	 .heard = "GET /a HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n",
	 .answer = {OK "Content-Length: 3\r\n\r\nyes", 0},
	 .has = "yes"},
	{.name = "gzip",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {gzipped, sizeof(gzipped) - 1},
	 .has = "line two\n\r\n0\r\n\r\n"},
	{.name = "an upgrade",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n",
	 .answer = {"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\nraw bytes", 0},
	 .has = "raw bytes"},
	{.name = "one differs in its head",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {OK "Content-Length: 3\r\n\r\nyes", 0},
	 .other = {"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nyes", 0},
	 .denied = true,
	 .has = "HTTP/1.1 500 "},
	{.name = "one differs in its body",
	 .asked = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
	 .answer = {OK "Content-Length: 3\r\n\r\nyes", 0},
	 .other = {OK "Content-Length: 3\r\n\r\nyet", 0},
	 .denied = true,
	 .has = "HTTP/1.1 500 "},
	{.name = "not asked in a proper way",
	 .asked = "GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
	 .heard = "",
	 .answer = {"", 0},
	 .denied = true,
	 .has = "HTTP/1.1 400 "},
};

static struct world w;

static int begin(void **state)
{
	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "web", 3, "diff-class: http|deadlines: { connect: 60s, skew: 60s }");
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

static void says_piece(struct end *e, struct text t)
{
	says(e, t.bytes, t.len ? t.len : strlen(t.bytes));
}

/* The reference of a denial is another each time. */
static void blind(char *text)
{
	char *at = strstr(text, "<code>");

	for (at = at ? at + 6 : NULL; at && *at && *at != '<'; at++)
		*at = 'r';
}

/*
 * Takes the framing of chunked bodies out: how much goes into one chunk depends on what was there to be compared
 * together. Returns the new length; the text stays terminated.
 */
static size_t unframe(char *text, size_t n)
{
	char *head = text, *end = text + n, *body;

	while ((body = memmem(head, (size_t)(end - head), "\r\n\r\n", 4))) {
		bool chunked = memmem(head, (size_t)(body - head), "chunked", 7);
		char *to = body + 4, *from = to, *after;

		for (unsigned long len = chunked; len;) {
			len = strtoul(from, &after, 16);
			if (after == from || strncmp(after, "\r\n", 2) != 0 || (size_t)(end - after) < len + 4)
				break;
			memmove(to, after + 2, len);
			to += len;
			from = after + 2 + len + 2;
		}
		memmove(to, from, (size_t)(end - from) + 1);
		end -= from - to;
		head = to;
	}
	return (size_t)(end - text);
}

static bool heard_all(const struct play *p)
{
	return client_closed(p) || (p->client.keep && p->client.heard >= p->client.keep_len) || all_done(p);
}

/* dribbles: a bit for the client, and one for each server. expected: how much the client is to hear; 0: not known.
 * Returns how much it heard, without the framing of chunks. */
static size_t played(const struct exchange *x, unsigned dribbles, char *kept, size_t expected)
{
	uint64_t denied = child_counter(&w.daemon, "web", "denied");
	const char *heard = x->heard ? x->heard : x->asked;
	struct play p;
	size_t n;

	memset(kept, 0, KEPT);
	play_init(&p, 3);
	p.client.keep = (uint8_t *)kept;
	p.client.keep_len = KEPT - 1;
	says_piece(&p.client, (struct text){x->asked, 0});
	p.client.dribbles = dribbles & 1;
	if (expected)
		does(&p.client, ACT_HEAR, expected);
	else
		does(&p.client, ACT_CUE, 1);
	does(&p.client, ACT_FIN, 0);
	for (unsigned i = 0; i < 3; i++) {
		struct end *e = &p.server[i];

		e->dribbles = dribbles >> (1 + i) & 1;
		expects(e, heard, strlen(heard));
		does(e, ACT_HEAR, strlen(heard));
		says_piece(e, i == 2 && x->other.bytes ? x->other : x->answer);
		if (x->closes)
			does(e, ACT_CLOSE, 0);
	}
	world_play(&w, &p, "web");
	if (expected || x->closes || x->denied) {
		play_run(&w.stage, &p, expected ? heard_all : client_closed);
	} else {
		uint64_t limit = now_ms() + (uint64_t)patience_ms();

		/* Until what has to be there, at the end, is. */
		while (!strstr(kept, x->has) && now_ms() < limit)
			play_turn(&w.stage, &p, 1, &p, 100);
	}
	n = p.client.heard;
	for (unsigned i = 0; i < 3; i++) {
		if (p.server[i].wrong || (!x->denied && p.server[i].heard != strlen(heard))) {
			play_show(&p);
			fail_msg("%s, pieces %x: server %u heard something else", x->name, dribbles, i);
		}
	}
	play_free(&p);
	child_wait_sessions(&w.daemon, 0);
	if (child_counter(&w.daemon, "web", "denied") != denied + x->denied) {
		child_show_log(&w.daemon);
		fail_msg("%s, pieces %x: %s", x->name, dribbles, x->denied ? "not denied" : "denied");
	}
	assert_true(n < KEPT);
	if (!strstr(kept, x->has))
		fail_msg("%s, pieces %x: no '%s' in '%s'", x->name, dribbles, x->has, kept);
	blind(kept);
	return unframe(kept, n);
}

static void the_same_in_any_pieces(void **state)
{
	static const unsigned pieces[] = {0, 1, 2, 4, 8, 14, 15};
	static char first[KEPT], kept[KEPT];

	(void)state;
	for (size_t k = 0; k < sizeof(exchanges) / sizeof(exchanges[0]); k++) {
		const struct exchange *x = &exchanges[k];
		size_t len = played(x, 0, first, 0);
		/* In how many chunks it comes is not known before. */
		size_t expected = strstr(first, "chunked") ? 0 : len;

		for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
			size_t n = played(x, pieces[i], kept, expected);

			if (n != len || memcmp(first, kept, len) != 0)
				fail_msg("%s, pieces %x: '%s', where it was '%s'", x->name, pieces[i], kept, first);
		}
	}
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_in_any_pieces),
		cmocka_unit_test(ends_in_order),
	};

	return world_run("stream: pieces", tests, sizeof(tests) / sizeof(tests[0]), begin, end);
}
