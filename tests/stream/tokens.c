/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tokens.c - values of which each instance has its own go back to each as its own, wherever in a request they stand and
 * however it arrives: what every server hears is compared byte by byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

enum { N = 3, TOKENS = 6 };

static struct world w;

/* What each instance gives out. */
static const char *const tokens[TOKENS][N] = {
	{"aaaa1111aaaa", "bbbb2222bbbb", "cccc3333cccc"},
	/* Of several lengths. */
	{"sid0123456789abcdef", "sid-0f1e2d3c", "s1d9876543210fedcba9876543210fedcba"},
	/* What base64 is made of. */
	{"ab+cd/ef12==", "gh/ij+kl34==", "mn/op/qr56=="},
	/* Some that begin like others. */
	{"abcdefgh", "ABCDEFGH", "12345678"},
	{"abcdefgh.ijkl", "ABCDEFGH.IJKL", "12345678.9012"},
	{"abcdefghi", "ABCDEFGHI", "123456789"},
};

/* {1}: token 1; {1%}: as encodeURIComponent() has it; {1/}: as a JSON writer that escapes slashes has it. */
struct place {
	const char *name, *line, *headers, *type, *body; /* body NULL: there is none */
};

static const struct place places[] = {
	{"a path", "GET /of/{0}/and/{2} HTTP/1.1", "", NULL, NULL},
	{"a query", "GET /?a={0}&b={1}&c={2%} HTTP/1.1", "", NULL, NULL},
	{"a query in a query", "GET /?next=%2Flogin%3Ftoken%3D{0}%26x%3D1 HTTP/1.1", "", NULL, NULL},
	{"a cookie", "GET / HTTP/1.1", "Cookie: sid={1}; other=1; csrf={0}\r\n", NULL, NULL},
	{"a header", "GET / HTTP/1.1", "X-CSRF-Token: {2}\r\nAuthorization: Bearer {0}\r\n", NULL, NULL},
	{"a form", "POST / HTTP/1.1", "", "application/x-www-form-urlencoded", "a=1&_csrf={0}&b={1}&c=2"},
	{"a form, encoded", "POST / HTTP/1.1", "", "application/x-www-form-urlencoded; charset=utf-8",
	 "a=1&_csrf={2%}&b={1}"},
	{"a form, not encoded", "POST / HTTP/1.1", "", "application/x-www-form-urlencoded", "_csrf={2}"},
	{"JSON", "PUT / HTTP/1.1", "", "application/json", "{\"csrf\":\"{1}\",\"list\":[\"{0}\",\"{2}\"]}"},
	{"JSON, escaped", "PUT / HTTP/1.1", "", "application/problem+json", "{ \"csrf\": \"{2/}\" }"},
	{"a form with parts", "POST / HTTP/1.1", "", "multipart/form-data; boundary=xx",
	 "--xx\r\nContent-Disposition: form-data; name=\"_csrf\"\r\n\r\n{0}\r\n--xx\r\nContent-Disposition: form-data; "
	 "name=\"b\"\r\n\r\n{1}\r\n--xx--\r\n"},
	{"text", "POST / HTTP/1.1", "", "text/plain", "{1}"},
	{"everywhere at once", "POST /{0}?b={1} HTTP/1.1", "Cookie: sid={1}\r\nX-CSRF-Token: {0}\r\n",
	 "application/x-www-form-urlencoded", "a={0}&b={1}&c={2%}&d={0}&e={1}&f={3}&g={4}&h={5}&i={0}"},
	{"some that begin like others", "POST /{3}/{4}/{5} HTTP/1.1", "Cookie: a={4}; b={3}; c={5}\r\n", "text/plain",
	 "{5} {3} {4} {3}.zz {5}i {3}"},
	{"no whole words", "POST /x{0}/{0}x HTTP/1.1", "Cookie: a=-{0}; b={1}_\r\n", "text/plain", "x{0} {1}x _{3}"},
};

/* ---- texts ---- */

struct text {
	char data[2048];
	size_t len;
};

static void put(struct text *t, const void *data, size_t len)
{
	assert_true(t->len + len < sizeof(t->data));
	memcpy(t->data + t->len, data, len);
	t->len += len;
	t->data[t->len] = '\0';
}

static void put_token(struct text *t, const char *token, char how)
{
	for (; *token; token++) {
		char byte[12];

		if (how == '%' && strchr("+/=", *token))
			snprintf(byte, sizeof(byte), "%%%02X", (unsigned)*token);
		else
			snprintf(byte, sizeof(byte), "%s%c", how == '/' && *token == '/' ? "\\" : "", *token);
		put(t, byte, strlen(byte));
	}
}

static bool touches_word(const char *before, const char *begin, const char *end)
{
	return (begin > before && strchr("x-_", begin[-1])) || (*end && strchr("x_i", *end));
}

/* What instance i is to be told; what is no whole word stays what the client said. */
static void fill_in(struct text *t, const char *pattern, unsigned i)
{
	for (const char *c = pattern; *c; c++) {
		unsigned k = (unsigned)(c[1] - '0');
		char how = '}';

		if (*c != '{' || k >= TOKENS) {
			put(t, c, 1);
			continue;
		}
		const char *begin = c;

		c += 2;
		if (*c != '}')
			how = *c++;
		put_token(t, tokens[k][touches_word(pattern, begin, c + 1) ? 0 : i], how);
	}
}

static void head_of(struct text *t, const struct place *p, unsigned i, const char *framing)
{
	fill_in(t, p->line, i);
	put(t, "\r\nHost: a\r\n", 11);
	fill_in(t, p->headers, i);
	if (p->type) {
		put(t, "Content-Type: ", 14);
		put(t, p->type, strlen(p->type));
		put(t, "\r\n", 2);
	}
	put(t, framing, strlen(framing));
	put(t, "\r\n", 2);
}

static void with_length(struct text *t, const struct place *p, unsigned i, const char *more)
{
	struct text body = {.len = 0};
	char framing[64] = "";

	if (p->body) {
		fill_in(&body, p->body, i);
		snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n%s", body.len, more);
	}
	head_of(t, p, i, framing);
	put(t, body.data, body.len);
}

static void in_chunks(struct text *t, const struct place *p, size_t size)
{
	struct text body = {.len = 0};
	char line[32];

	fill_in(&body, p->body, 0);
	head_of(t, p, 0, "Transfer-Encoding: chunked\r\n");
	for (size_t at = 0; at < body.len; at += size) {
		size_t len = body.len - at < size ? body.len - at : size;

		snprintf(line, sizeof(line), "%zx%s\r\n", len, at ? "" : ";name=value");
		put(t, line, strlen(line));
		put(t, body.data + at, len);
		put(t, "\r\n", 2);
	}
	put(t, "0\r\nTrailer: x\r\n\r\n", 17);
}

/* Takes the chunks off what lies behind a head; false: they are not whole, or not as they have to be. */
static bool take_chunks_off(const uint8_t *data, size_t len, uint8_t *out, size_t *out_len)
{
	size_t at = 0, size = 0;

	*out_len = 0;
	do {
		const uint8_t *lf = memchr(data + at, '\n', len - at);
		char *end;

		if (!lf)
			return false;
		size = strtoul((const char *)data + at, &end, 16);
		if ((const uint8_t *)end != lf - 1 || *end != '\r')
			return false;
		at = (size_t)(lf + 1 - data);
		if (len - at < size + 2)
			return false;
		memmove(out + *out_len, data + at, size);
		*out_len += size;
		at += size;
		if (memcmp(data + at, "\r\n", 2) != 0)
			return false;
		at += 2;
	} while (size > 0);
	return at == len;
}

/* ---- exchanges ---- */

#define TAKEN	 "HTTP/1.1 204 No Content\r\n\r\n"
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

static int begin(void **state)
{
	char rules[512] = "", options[1024];

	(void)state;
	for (unsigned k = 0; k < TOKENS; k++) {
		size_t len = strlen(rules);

		snprintf(rules + len, sizeof(rules) - len, "{ header: T%u, action: token }, ", k);
	}
	world_init(&w, AF_INET, N, "workers: 2");
	for (int tight = 0; tight < 2; tight++) {
		snprintf(options, sizeof(options),
			 "diff-class: http|deadlines: { skew: 60s }|diff-params: { fields: [ %s], max-body: %s }",
			 rules, tight ? "1KiB" : "1MiB");
		world_add(&w, tight ? "tight" : "web", N, options);
	}
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

static void give_out_by(const char *service)
{
	static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
	struct text answer[N] = {0};
	struct play p;

	play_init(&p, N);
	says(&p.client, ask, strlen(ask));
	for (unsigned i = 0; i < N; i++) {
		put(&answer[i], "HTTP/1.1 204 No Content\r\n", 25);
		for (unsigned k = 0; k < TOKENS; k++) {
			char line[96];

			snprintf(line, sizeof(line), "T%u: %s\r\n", k, tokens[k][i]);
			put(&answer[i], line, strlen(line));
		}
		put(&answer[i], "\r\n", 2);
		does(&p.server[i], ACT_HEAR, strlen(ask));
		says(&p.server[i], answer[i].data, answer[i].len);
		does(&p.server[i], ACT_HEAR_END, 0);
	}
	does(&p.client, ACT_HEAR, answer[0].len);
	does(&p.client, ACT_FIN, 0);
	expects(&p.client, answer[0].data, answer[0].len);
	world_play(&w, &p, service);
	play_run(&w.stage, &p, all_done);
	assert_false(p.client.wrong || p.client.reset);
	play_free(&p);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, service, "plugin_tokens_learnt"), TOKENS);
}

static void give_out(void **state)
{
	(void)state;
	give_out_by("web");
	give_out_by("tight");
}

/* The client asks, every server is to hear what heard says, and answers. */
static void exchange(const char *what, const void *ask, size_t len, const void *const heard[], const size_t heard_len[],
		     bool dribbles)
{
	struct play p;

	play_init(&p, N);
	says(&p.client, ask, len);
	does(&p.client, ACT_HEAR, strlen(TAKEN));
	does(&p.client, ACT_FIN, 0);
	p.client.dribbles = dribbles;
	expects(&p.client, TAKEN, strlen(TAKEN));
	for (unsigned i = 0; i < N; i++) {
		expects(&p.server[i], heard[i], heard_len[i]);
		does(&p.server[i], ACT_HEAR, heard_len[i]);
		says(&p.server[i], TAKEN, strlen(TAKEN));
		does(&p.server[i], ACT_HEAR_END, 0);
	}
	world_play(&w, &p, "web");
	play_run(&w.stage, &p, all_done);
	for (unsigned i = 0; i < N; i++) {
		if (p.server[i].wrong || p.server[i].heard != heard_len[i] || p.client.wrong || p.client.reset) {
			play_show(&p);
			fail_msg("%s%s: server %u did not hear what it was to hear", what, dribbles ? ", dribbled" : "",
				 i);
		}
	}
	play_free(&p);
}

static void in_every_place(void **state)
{
	(void)state;
	for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
		struct text texts[N] = {0};
		const void *heard[N];
		size_t len[N];

		for (unsigned i = 0; i < N; i++) {
			with_length(&texts[i], &places[k], i, "");
			heard[i] = texts[i].data;
			len[i] = texts[i].len;
		}
		exchange(places[k].name, texts[0].data, texts[0].len, heard, len, false);
		exchange(places[k].name, texts[0].data, texts[0].len, heard, len, true);
	}
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "web", "denied"), 0);
	assert_int_equal(child_counter(&w.daemon, "web", "plugin_tokens_kept"), 0);
	assert_true(child_counter(&w.daemon, "web", "plugin_tokens_replaced") > 2 * sizeof(places) / sizeof(places[0]));
}

/* ---- in chunks ---- */

static uint8_t *kept_room(struct play *p, size_t room)
{
	uint8_t *keep = calloc(N, room);

	assert_non_null(keep);
	for (unsigned i = 0; i < N; i++) {
		p->server[i].keep = keep + i * room;
		p->server[i].keep_len = room;
		does(&p->server[i], ACT_CUE, 1);
		says(&p->server[i], TAKEN, strlen(TAKEN));
		does(&p->server[i], ACT_HEAR_END, 0);
	}
	return keep;
}

static bool bodies_ended(const struct play *p)
{
	static const char last[] = "\r\n0\r\n\r\n";
	const size_t len = sizeof(last) - 1;

	for (unsigned i = 0; i < N; i++) {
		const struct end *e = &p->server[i];

		if (e->heard < len || e->heard > e->keep_len || memcmp(e->keep + e->heard - len, last, len) != 0)
			return false;
	}
	return true;
}

/* Sends it, and checks what the servers hear: the head as it is, and behind the chunks the body. */
static void chunked(const char *what, const void *ask, size_t ask_len, const struct text heads[],
		    const uint8_t *const bodies[], const size_t body_len[], bool dribbles)
{
	size_t room = 2 * body_len[0] + 64 * 1024, len;
	uint8_t *got = malloc(room), *keep;
	struct play p;

	assert_non_null(got);
	play_init(&p, N);
	says(&p.client, ask, ask_len);
	does(&p.client, ACT_HEAR, strlen(TAKEN));
	does(&p.client, ACT_FIN, 0);
	p.client.dribbles = dribbles;
	expects(&p.client, TAKEN, strlen(TAKEN));
	keep = kept_room(&p, room);
	world_play(&w, &p, "web");
	play_run(&w.stage, &p, bodies_ended);
	for (unsigned i = 0; i < N; i++) {
		const struct end *e = &p.server[i];
		size_t head = heads[i].len;

		if (e->heard <= head || memcmp(e->keep, heads[i].data, head) != 0 ||
		    !take_chunks_off(e->keep + head, e->heard - head, got, &len) || len != body_len[i] ||
		    memcmp(got, bodies[i], len) != 0) {
			play_show(&p);
			fail_msg("%s%s: server %u heard: %.800s", what, dribbles ? ", dribbled" : "", i,
				 (const char *)e->keep);
		}
	}
	p.cue = 1;
	play_run(&w.stage, &p, all_done);
	assert_false(p.client.wrong || p.client.reset);
	play_free(&p);
	free(keep);
	free(got);
}

/* Chunks of every size: so a token is cut at each of its bytes. */
static void in_bodies_in_chunks(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 7, 10, 50, 1000};

	(void)state;
	for (size_t k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
		struct text heads[N] = {0}, texts[N] = {0};
		const uint8_t *bodies[N];
		size_t len[N];

		if (!places[k].body)
			continue;
		for (unsigned i = 0; i < N; i++) {
			head_of(&heads[i], &places[k], i, "Transfer-Encoding: chunked\r\n");
			fill_in(&texts[i], places[k].body, i);
			bodies[i] = (const uint8_t *)texts[i].data;
			len[i] = texts[i].len;
		}
		for (size_t c = 0; c < sizeof(sizes) / sizeof(sizes[0]); c++) {
			struct text ask = {.len = 0};

			in_chunks(&ask, &places[k], sizes[c]);
			chunked(places[k].name, ask.data, ask.len, heads, bodies, len, sizes[c] == 7);
		}
	}
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "web", "denied"), 0);
}

/* ---- large ones ---- */

/* A body with tokens far apart, and between them what might be the beginning of one. */
static uint8_t *large_body(unsigned i, size_t repeats, const char *pattern, size_t *len)
{
	struct text piece = {.len = 0};
	uint8_t *body;

	fill_in(&piece, pattern, i);
	*len = 0;
	body = malloc(repeats * (piece.len + 1000));
	assert_non_null(body);
	for (size_t k = 0; k < repeats; k++) {
		memcpy(body + *len, piece.data, piece.len);
		*len += piece.len;
		memset(body + *len, "aA+/ =."[k % 7], 1000);
		*len += 1000;
	}
	return body;
}

static void in_large_bodies(void **state)
{
	const struct place place = {"large", "POST /{0} HTTP/1.1", "", "multipart/form-data; boundary=x", NULL};
	const size_t repeats = 2500;
	struct text heads[N] = {0};
	uint8_t *bodies[N], *ask[N];
	const void *heard[N];
	size_t len[N], ask_len[N];
	char framing[64];

	(void)state;
	/* Longer than can be held: of one length each. */
	for (unsigned i = 0; i < N; i++) {
		bodies[i] = large_body(i, repeats, "\r\n{0}&{4} ", &len[i]);
		snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", len[i]);
		head_of(&heads[i], &place, i, framing);
		ask_len[i] = heads[i].len + len[i];
		heard[i] = ask[i] = malloc(ask_len[i]);
		assert_non_null(ask[i]);
		memcpy(ask[i], heads[i].data, heads[i].len);
		memcpy(ask[i] + heads[i].len, bodies[i], len[i]);
	}
	exchange("a large body", ask[0], ask_len[0], heard, ask_len, false);
	for (unsigned i = 0; i < N; i++) {
		free(bodies[i]);
		free(ask[i]);
	}
	assert_int_equal(child_counter(&w.daemon, "web", "plugin_tokens_kept"), 0);

	/* In chunks they may have any. */
	for (unsigned i = 0; i < N; i++) {
		bodies[i] = large_body(i, repeats, "\r\n{1}&{2%} ", &len[i]);
		heads[i].len = 0;
		head_of(&heads[i], &place, i, "Transfer-Encoding: chunked\r\n");
	}
	ask[0] = malloc(heads[0].len + len[0] + 64);
	assert_non_null(ask[0]);
	memcpy(ask[0], heads[0].data, heads[0].len);
	ask_len[0] = heads[0].len + (size_t)sprintf((char *)ask[0] + heads[0].len, "%zx\r\n", len[0]);
	memcpy(ask[0] + ask_len[0], bodies[0], len[0]);
	ask_len[0] += len[0];
	memcpy(ask[0] + ask_len[0], "\r\n0\r\n\r\n", 7);
	chunked("a large body in chunks", ask[0], ask_len[0] + 7, heads, (const uint8_t *const *)bodies, len, false);
	free(ask[0]);
	for (unsigned i = 0; i < N; i++)
		free(bodies[i]);
}

/* What is too long to hold, and would become another length: it stays what the client said, and is counted. */
static void one_of_another_length_stays(void **state)
{
	const struct place place = {"large", "POST / HTTP/1.1", "", "text/plain", NULL};
	const void *heard[N];
	struct text head = {.len = 0};
	size_t len, ask_len[N];
	char framing[64];
	uint8_t *body = large_body(0, 1500, "\r\n{1} ", &len), *ask;

	(void)state;
	snprintf(framing, sizeof(framing), "Content-Length: %zu\r\n", len);
	head_of(&head, &place, 0, framing);
	ask = malloc(head.len + len);
	assert_non_null(ask);
	memcpy(ask, head.data, head.len);
	memcpy(ask + head.len, body, len);
	for (unsigned i = 0; i < N; i++) {
		heard[i] = ask;
		ask_len[i] = head.len + len;
	}
	exchange("a large body", ask, head.len + len, heard, ask_len, false);
	assert_int_equal(child_counter(&w.daemon, "web", "plugin_tokens_kept"), 1500);
	free(ask);
	free(body);
}

/* Short ones that stand for long ones make more of a request than there may be: it is refused, and no server has it
 * whole. */
static void too_much_is_refused(void **state)
{
	static const char refused[] = "HTTP/1.1 400 ";
	const struct place place = {"dear", "POST / HTTP/1.1", "", "text/plain", NULL};
	struct text ask = {.len = 0};
	struct play p;

	(void)state;
	head_of(&ask, &place, 0, "Transfer-Encoding: chunked\r\n");
	put(&ask, "5a0\r\n", 5);
	for (unsigned k = 0; k < 72; k++)
		fill_in(&ask, "{1} ", 0);
	put(&ask, "\r\n0\r\n\r\n", 7);
	play_init(&p, N);
	says(&p.client, ask.data, ask.len);
	does(&p.client, ACT_HEAR_END, 0);
	p.client.keep_len = sizeof(refused) - 1;
	p.client.keep = calloc(1, p.client.keep_len);
	uint8_t *keep = kept_room(&p, 4096);

	world_play(&w, &p, "tight");
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.heard > p.client.keep_len);
	assert_memory_equal(p.client.keep, refused, p.client.keep_len);
	assert_false(bodies_ended(&p));
	free(p.client.keep);
	play_free(&p);
	free(keep);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "tight", "plugin_rejected"), 1);
}

/* Nor may there be so many that remembering where they stand takes more than that. */
static void too_many_are_refused(void **state)
{
	enum { MANY = 40000, EACH = 9 };
	static const char refused[] = "HTTP/1.1 400 ";
	const struct place place = {"many", "POST / HTTP/1.1", "", "text/plain", NULL};
	uint64_t before = child_counter(&w.daemon, "web", "plugin_rejected");
	struct text head = {.len = 0};
	char framing[64];
	struct play p;

	(void)state;
	snprintf(framing, sizeof(framing), "Content-Length: %d\r\n", MANY * EACH);
	head_of(&head, &place, 0, framing);
	char *ask = malloc(head.len + MANY * EACH);
	assert_non_null(ask);
	memcpy(ask, head.data, head.len);
	for (size_t k = 0; k < MANY; k++)
		memcpy(ask + head.len + k * EACH, "abcdefgh ", EACH);
	play_init(&p, N);
	says(&p.client, ask, head.len + MANY * EACH);
	does(&p.client, ACT_HEAR_END, 0);
	p.client.keep_len = sizeof(refused) - 1;
	p.client.keep = calloc(1, p.client.keep_len);
	uint8_t *keep = kept_room(&p, 4096);

	world_play(&w, &p, "web");
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.heard > p.client.keep_len);
	assert_memory_equal(p.client.keep, refused, p.client.keep_len);
	free(p.client.keep);
	play_free(&p);
	free(keep);
	free(ask);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "web", "plugin_rejected"), before + 1);
}

/* Who waits for leave to send the body gets it, and the instances hear of the length when it is known. */
static void who_waits_for_leave_gets_it(void **state)
{
	const struct place *place = &places[5];
	struct text ask = {.len = 0};
	struct play p;

	(void)state;
	with_length(&ask, place, 0, "Expect: 100-continue\r\n");
	size_t head = (size_t)(strstr(ask.data, "\r\n\r\n") + 4 - ask.data);

	play_init(&p, N);
	says(&p.client, ask.data, head);
	does(&p.client, ACT_HEAR, strlen(CONTINUE));
	says(&p.client, ask.data + head, ask.len - head);
	does(&p.client, ACT_HEAR, strlen(CONTINUE TAKEN));
	does(&p.client, ACT_FIN, 0);
	expects(&p.client, CONTINUE TAKEN, strlen(CONTINUE TAKEN));
	struct text texts[N] = {0};

	for (unsigned i = 0; i < N; i++) {
		with_length(&texts[i], place, i, "");
		expects(&p.server[i], texts[i].data, texts[i].len);
		does(&p.server[i], ACT_HEAR, texts[i].len);
		says(&p.server[i], TAKEN, strlen(TAKEN));
		does(&p.server[i], ACT_HEAR_END, 0);
	}
	world_play(&w, &p, "web");
	play_run(&w.stage, &p, all_done);
	for (unsigned i = 0; i < N; i++)
		assert_false(p.server[i].wrong || p.server[i].heard != texts[i].len);
	assert_false(p.client.wrong || p.client.reset);
	play_free(&p);
}

static void ends_in_order(void **state)
{
	(void)state;
	/* That of too many. */
	assert_int_equal(child_counter(&w.daemon, "web", "denied"), 1);
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(give_out),
		cmocka_unit_test(in_every_place),
		cmocka_unit_test(in_bodies_in_chunks),
		cmocka_unit_test(in_large_bodies),
		cmocka_unit_test(one_of_another_length_stays),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(who_waits_for_leave_gets_it),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("tokens", tests, begin, end);
}
