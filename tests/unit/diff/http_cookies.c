/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cookies that instances call by other names: what the client hears of answers, and the instances of requests.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakehttp.h"

enum { N = 3 };

/* ---- answers ---- */

#define SESSION(action)                                                                                                \
	"{\"fields\":[{\"cookie\":[\"PHPSESSID\",\"PHPSESSID\",\"connect.sid\"],\"action\":\"" action "\"}]}"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define END "Content-Length: 0\r\n\r\n"

struct answer_example {
	const char *what, *params;
	const char *answers[N]; /* headers; of instance 1 NULL: as of 0 */
	const char *client;	/* headers that the client gets; NULL: a divergence */
	const char *where, *why;
	int differs; /* the instance in the finding */
	bool filter;
};

static const struct answer_example answers[] = {
	{"a cookie under another name",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=abc; Path=/\r\n", NULL, "Set-Cookie: connect.sid=abc; Path=/\r\n"},
	 "Set-Cookie: PHPSESSID=abc; Path=/\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"its value differs",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=abc; Path=/\r\n", NULL, "Set-Cookie: connect.sid=abd; Path=/\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "",
	 2,
	 false},
	{"its value is each one's own",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=a1b2c3d4e5; Path=/\r\n", NULL, "Set-Cookie: connect.sid=x-y; Path=/\r\n"},
	 "Set-Cookie: PHPSESSID=a1b2c3d4e5; Path=/\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"its value is each one's own, and attributes are not",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=a1b2c3d4e5; Path=/\r\n", NULL, "Set-Cookie: connect.sid=x; Path=/a\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "",
	 2,
	 false},
	{"its value is noise",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=a1b2c3d4e5; Path=/\r\n", "Set-Cookie: PHPSESSID=f6e7d8c9b0; Path=/\r\n",
	  "Set-Cookie: connect.sid=0f9e8d7c6b; Path=/\r\n"},
	 "Set-Cookie: PHPSESSID=a1b2c3d4e5; Path=/\r\n",
	 NULL,
	 NULL,
	 0,
	 true},
	{"its attributes are not noise",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=a1b2c3d4e5; Path=/\r\n", "Set-Cookie: PHPSESSID=f6e7d8c9b0; Path=/\r\n",
	  "Set-Cookie: connect.sid=0f9e8d7c6b; Path=/a\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "",
	 2,
	 true},
	{"ignored",
	 SESSION("ignore"),
	 {"Set-Cookie: PHPSESSID=a; Path=/\r\n", NULL, "Set-Cookie: connect.sid=b\r\n"},
	 "Set-Cookie: PHPSESSID=a; Path=/\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"all say instance 0's name",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=abc\r\n", NULL, "Set-Cookie: PHPSESSID=abc\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "\"connect.sid\" is missing, where the other has \"PHPSESSID\"",
	 2,
	 false},
	{"all say the other name",
	 SESSION("token"),
	 {"Set-Cookie: connect.sid=abc\r\n", NULL, "Set-Cookie: connect.sid=abc\r\n"},
	 NULL,
	 "header Set-Cookie connect.sid",
	 "\"PHPSESSID\" is missing, where the other has \"connect.sid\"",
	 2,
	 false},
	{"one that has none",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=abc\r\n", NULL, ""},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "\"connect.sid\" is missing",
	 2,
	 false},
	{"one that has one more",
	 SESSION("token"),
	 {"", NULL, "Set-Cookie: connect.sid=abc\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "\"PHPSESSID\" is missing, where the other has \"connect.sid\"",
	 0,
	 false},
	{"the twin says the variant's name",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=abc\r\n", "Set-Cookie: connect.sid=abc\r\n", "Set-Cookie: connect.sid=abc\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "\"PHPSESSID\" is missing",
	 1,
	 false},
	{"among others, in another order",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID2=1\r\nSet-Cookie: PHPSESSID=abc\r\nSet-Cookie: b=2\r\n", NULL,
	  "Set-Cookie: b=2\r\nSet-Cookie: connect.sid=def\r\nSet-Cookie: PHPSESSID2=1\r\n"},
	 "Set-Cookie: PHPSESSID=abc\r\nSet-Cookie: PHPSESSID2=1\r\nSet-Cookie: b=2\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"twice, in their order",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=1\r\nSet-Cookie: PHPSESSID=2\r\n", NULL,
	  "Set-Cookie: connect.sid=1\r\nSet-Cookie: connect.sid=2\r\n"},
	 "Set-Cookie: PHPSESSID=1\r\nSet-Cookie: PHPSESSID=2\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"twice, in another order",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=1\r\nSet-Cookie: PHPSESSID=2\r\n", NULL,
	  "Set-Cookie: connect.sid=2\r\nSet-Cookie: connect.sid=1\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "",
	 2,
	 false},
	{"exchanged by all",
	 SESSION("compare"),
	 {"Set-Cookie: connect.sid=7\r\nSet-Cookie: PHPSESSID=1\r\n", NULL,
	  "Set-Cookie: PHPSESSID=7\r\nSet-Cookie: connect.sid=1\r\n"},
	 "Set-Cookie: connect.sid=7\r\nSet-Cookie: PHPSESSID=1\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"white space around a name carries nothing",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID =1\r\n", NULL, "Set-Cookie: connect.sid=1\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID ",
	 "is missing",
	 2,
	 false},
	{"a quoted value",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=\"a1 b2\"; Path=/\r\n", NULL, "Set-Cookie: connect.sid=\"c3\"; Path=/\r\n"},
	 "Set-Cookie: PHPSESSID=\"a1 b2\"; Path=/\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"a name alone",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID\r\n", NULL, "Set-Cookie: connect.sid\r\n"},
	 "Set-Cookie: PHPSESSID\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
	{"a name alone, and none",
	 SESSION("token"),
	 {"Set-Cookie: PHPSESSID=\r\n", NULL, "Set-Cookie: connect.sid\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "equals sign",
	 2,
	 false},
	{"a name alone, and none, compared",
	 SESSION("compare"),
	 {"Set-Cookie: PHPSESSID=\r\n", NULL, "Set-Cookie: connect.sid\r\n"},
	 NULL,
	 "header Set-Cookie PHPSESSID",
	 "",
	 2,
	 false},
	/* The same name everywhere. */
	{"a declared cookie that is a name alone",
	 "{\"fields\":[{\"cookie\":\"sid\",\"action\":\"token\"}]}",
	 {"Set-Cookie: sid\r\nA: 1\r\n", NULL, "A: 1\r\nSet-Cookie: sid\r\n"},
	 "A: 1\r\nSet-Cookie: sid\r\n",
	 NULL,
	 NULL,
	 0,
	 false},
};

static char *text_of(const char *headers)
{
	size_t room = strlen(headers) + 64;
	char *text = malloc(room);

	assert_non_null(text);
	snprintf(text, room, "HTTP/1.1 200 OK\r\n%s" END, headers);
	return text;
}

static void shows(struct rddr_session *s, const char *const headers[], size_t piece, char *texts[])
{
	for (unsigned i = 0; i < N; i++) {
		const char *own = headers[i] ? headers[i] : headers[0];

		texts[i] = text_of(own ? own : "");
		fake_set(&s->in[i], texts[i], strlen(texts[i]), RDDR_END_OPEN);
	}
	if (piece == 0)
		fake_diff_whole(s);
	else if (piece == 1)
		fake_diff_dribbled(s);
	else
		fake_diff_chunked(s, 77 + piece, piece);
}

static void hold(const struct answer_example *e, size_t piece)
{
	struct rddr_session s;
	char *texts[N];

	assert_int_equal(fake_begin(&s, &fakehttp, N, e->filter, e->params), 0);
	fake_set(&s.in[FAKE_LONE], GET, strlen(GET), RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&s));
	shows(&s, e->answers, piece, texts);
	if ((s.verdict == RDDR_DIVERGE) != !e->client)
		fail_msg("%s, in pieces of %zu: %s: %s", e->what, piece, s.finding.where, s.finding.why);
	if (e->client) {
		char *client = text_of(e->client);
		const struct fake_out *out = &s.out[FAKE_LONE];

		if (!out->data || out->len != strlen(client) || memcmp(out->data, client, out->len) != 0)
			fail_msg("%s, in pieces of %zu: %.*s", e->what, piece, (int)out->len, (const char *)out->data);
		free(client);
	} else if (strcmp(s.finding.where, e->where) != 0 || !strstr(s.finding.why, e->why) ||
		   s.finding.instance != (unsigned)e->differs || s.out[FAKE_LONE].len > 0) {
		fail_msg("%s: %u: %s: %s", e->what, s.finding.instance, s.finding.where, s.finding.why);
	}
	fake_end(&s);
	for (unsigned i = 0; i < N; i++)
		free(texts[i]);
}

static void answers_have_counterparts_under_other_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		for (size_t piece = 0; piece < 12; piece++)
			hold(&answers[i], piece);
	}
}

static void who_stands_alone_is_known(void **state)
{
	static const char *const headers[N] = {"Set-Cookie: PHPSESSID=1\r\n", "Set-Cookie: PHPSESSID=1\r\n",
					       "Set-Cookie: connect.sid=2\r\n"};
	struct rddr_session s;
	char *texts[N];

	(void)state;
	assert_int_equal(fake_begin(&s, &fakehttp, N, false, SESSION("compare")), 0);
	fake_set(&s.in[FAKE_LONE], GET, strlen(GET), RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&s));
	shows(&s, headers, 0, texts);
	assert_int_equal(s.verdict, RDDR_DIVERGE);
	assert_int_equal(s.finding.alone, 3);
	fake_end(&s);
	for (unsigned i = 0; i < N; i++)
		free(texts[i]);
}

/* ---- requests ---- */

static const struct {
	const char *what, *client, *variant; /* headers; of instances 0 and 1, and of 2 */
} requests[] = {
	{"no cookie", "X: PHPSESSID=1\r\n", "X: PHPSESSID=1\r\n"},
	{"one", "Cookie: PHPSESSID=1\r\n", "Cookie: connect.sid=1\r\n"},
	{"another case of the header", "cOOkie:PHPSESSID=1\r\n", "cOOkie:connect.sid=1\r\n"},
	{"among others", "Cookie: a=1; PHPSESSID=x; b=PHPSESSID\r\n", "Cookie: a=1; connect.sid=x; b=PHPSESSID\r\n"},
	{"without blanks", "Cookie: a=1;PHPSESSID=x;b\r\n", "Cookie: a=1;connect.sid=x;b\r\n"},
	{"with many", "Cookie: \t a;;\t PHPSESSID \t = x ; \r\n", "Cookie: \t a;;\t connect.sid \t = x ; \r\n"},
	{"names that begin and end alike",
	 "Cookie: PHPSESSID2=1; XPHPSESSID=2; PHPSESSI=3; phpsessid=4; PHPSESSID=5\r\n",
	 "Cookie: PHPSESSID2=1; XPHPSESSID=2; PHPSESSI=3; phpsessid=4; connect.sid=5\r\n"},
	{"several headers", "Cookie: PHPSESSID=1\r\nX: y\r\nCookie: PHPSESSID=2; a=3\r\n",
	 "Cookie: connect.sid=1\r\nX: y\r\nCookie: connect.sid=2; a=3\r\n"},
	{"twice in one", "Cookie: PHPSESSID=1; PHPSESSID=2\r\n", "Cookie: connect.sid=1; connect.sid=2\r\n"},
	{"quoted", "Cookie: PHPSESSID=\"a b\"; q=\"PHPSESSID=1\"\r\n",
	 "Cookie: connect.sid=\"a b\"; q=\"PHPSESSID=1\"\r\n"},
	{"a name alone", "Cookie: PHPSESSID\r\n", "Cookie: connect.sid\r\n"},
	{"no value", "Cookie: PHPSESSID=; =x; =\r\n", "Cookie: connect.sid=; =x; =\r\n"},
	{"the variant's name, from the client", "Cookie: connect.sid=evil\r\n", "Cookie: PHPSESSID=evil\r\n"},
	{"both names", "Cookie: connect.sid=evil; PHPSESSID=1\r\n", "Cookie: PHPSESSID=evil; connect.sid=1\r\n"},
	{"an equals sign in the value", "Cookie: PHPSESSID=a=b; connect.sid==\r\n",
	 "Cookie: connect.sid=a=b; PHPSESSID==\r\n"},
	{"nothing in it", "Cookie: \r\nCookie:;\r\n", "Cookie: \r\nCookie:;\r\n"},
	{"tokens", "Cookie: a=aaaa1111aaaa; PHPSESSID=aaaa1111aaaa; b=aaaa1111aaaa\r\nX: aaaa1111aaaa\r\n",
	 "Cookie: a=cccc3333cccc333; connect.sid=cccc3333cccc333; b=cccc3333cccc333\r\nX: cccc3333cccc333\r\n"},
	{"a token in quotes, and one that is signed",
	 "Cookie: PHPSESSID=\"aaaa1111aaaa\"; connect.sid=s%3Aaaaa1111aaaa.x\r\n",
	 "Cookie: connect.sid=\"cccc3333cccc333\"; PHPSESSID=s%3Acccc3333cccc333.x\r\n"},
};

/* An answer that shows one token for each instance: in all of this process' sessions. */
static void teach(void)
{
	static const char *const headers[N] = {"Set-Cookie: PHPSESSID=aaaa1111aaaa\r\n",
					       "Set-Cookie: PHPSESSID=aaaa1111aaaa\r\n",
					       "Set-Cookie: connect.sid=cccc3333cccc333\r\n"};
	struct rddr_session s;
	char *texts[N];

	assert_int_equal(fake_begin(&s, &fakehttp, N, false, SESSION("token")), 0);
	fake_set(&s.in[FAKE_LONE], GET, strlen(GET), RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&s));
	shows(&s, headers, 0, texts);
	assert_int_equal(s.verdict, RDDR_WAIT);
	assert_int_equal(s.counted[RDDR_COUNTED_TOKENS_LEARNT], 1);
	fake_end(&s);
	for (unsigned i = 0; i < N; i++)
		free(texts[i]);
}

static void hears(const struct rddr_session *s, unsigned i, const char *what, const char *text)
{
	const struct fake_out *out = &s->out[i];

	if (out->len != strlen(text) || memcmp(out->data, text, out->len) != 0)
		fail_msg("%s: instance %u hears %.*s, not %s", what, i, (int)out->len, (const char *)out->data, text);
}

/* In pieces of that many bytes. */
static void asks(size_t k, size_t piece)
{
	static const char body[] = "Content-Type: text/plain\r\nContent-Length: 17\r\n\r\nPHPSESSID=abc; x=";
	static const char head[] = "POST /PHPSESSID HTTP/1.1\r\nHost: a\r\n";
	char ask[512], heard[512];
	struct rddr_session s;

	snprintf(ask, sizeof(ask), "%s%s%s", head, requests[k].client, body);
	snprintf(heard, sizeof(heard), "%s%s%s", head, requests[k].variant, body);
	assert_int_equal(fake_begin(&s, &fakehttp, N, false, SESSION("token")), 0);
	fake_set(&s.in[FAKE_LONE], ask, strlen(ask), RDDR_END_OPEN);
	while (!s.in[FAKE_LONE].end_shown) {
		fake_show(&s.in[FAKE_LONE], piece);
		assert_true(fake_modify(&s));
	}
	assert_int_equal(s.in[FAKE_LONE].consumed, strlen(ask));
	hears(&s, 0, requests[k].what, ask);
	hears(&s, 1, requests[k].what, ask);
	hears(&s, 2, requests[k].what, heard);
	fake_end(&s);
}

static void requests_go_to_each_under_its_own_names(void **state)
{
	(void)state;
	teach();
	for (size_t k = 0; k < sizeof(requests) / sizeof(requests[0]); k++) {
		asks(k, SIZE_MAX);
		asks(k, 1);
		asks(k, 7);
	}
}

/* A short name stands for a long one, as often as a head has room for. */
static void what_comes_of_names_is_bounded(void **state)
{
	static const char begin[] = "GET / HTTP/1.1\r\nHost: a\r\nCookie: ", end[] = "\r\n\r\n";
	const size_t cookies = 20000, room = sizeof(begin) + 2 * cookies + sizeof(end);
	char params[600], name[256], *ask = malloc(room);
	struct rddr_session s;

	(void)state;
	assert_non_null(ask);
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(params, sizeof(params), "{\"fields\":[{\"cookie\":[\"a\",\"a\",\"%s\"],\"action\":\"token\"}]}", name);
	size_t at = (size_t)snprintf(ask, room, "%s", begin);
	for (size_t i = 0; i < 2 * cookies; i++, at++)
		ask[at] = i % 2 ? ';' : 'a';
	snprintf(ask + at, room - at, "%s", end);
	assert_int_equal(fake_begin(&s, &fakehttp, N, false, params), 0);
	fake_set(&s.in[FAKE_LONE], ask, strlen(ask), RDDR_END_OPEN);
	fake_show(&s.in[FAKE_LONE], SIZE_MAX);
	assert_false(fake_modify(&s));
	assert_non_null(strstr(s.rejected, "come to more than max-body"));
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(s.out[i].len, 0);
	fake_end(&s);
	free(ask);
}

static void names_have_to_be_as_many_as_instances(void **state)
{
	struct rddr_session s;

	(void)state;
	assert_int_equal(fake_begin(&s, &fakehttp, 2, false, SESSION("token")), -EINVAL);
	fake_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_have_counterparts_under_other_names),
		cmocka_unit_test(who_stands_alone_is_known),
		cmocka_unit_test(requests_go_to_each_under_its_own_names),
		cmocka_unit_test(what_comes_of_names_is_bounded),
		cmocka_unit_test(names_have_to_be_as_many_as_instances),
	};

	fakehttp_service = "cookies";
	return cmocka_run_group_tests_name("diff/http_cookies", tests, NULL, NULL);
}
