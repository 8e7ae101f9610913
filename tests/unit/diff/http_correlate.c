/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakehost.h"
#include "fakehttp.h"

#define PARAMS "{\"correlate\": {}}"
#define NAME   "X-RDDR-Correlation"
#define ID_A   "00112233445566778899aabbccddeeff"
#define ID_B   "ffeeddccbbaa99887766554433221100"
#define HEAD   "GET /next HTTP/1.1\r\nHost: a\r\n"

static void begin(struct rddr_session *s, const char *params)
{
	assert_int_equal(fake_begin(s, &fakehttp, 2, false, params), 0);
}

static bool asks(struct rddr_session *s, const char *request)
{
	fake_set(&s->in[FAKE_LONE], request, strlen(request), RDDR_END_OPEN);
	fake_show(&s->in[FAKE_LONE], SIZE_MAX);
	return fake_modify(s);
}

static void heard(const struct rddr_session *s, unsigned end, const char *text)
{
	if (s->out[end].len != strlen(text) || memcmp(s->out[end].data, text, s->out[end].len) != 0)
		fail_msg("%.*s, not %s", (int)s->out[end].len, (const char *)s->out[end].data, text);
}

/* ---- incoming ---- */

static void each_request_gets_an_id_of_its_own_the_same_for_all(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
	struct rddr_session s;
	char first[RDDR_CORRELATION], expected[512];

	(void)state;
	begin(&s, PARAMS);
	assert_true(asks(&s, HEAD "\r\n" HEAD "\r\n"));
	memcpy(first, s.correlation, sizeof(first));
	assert_int_equal(strlen(first), 32);
	assert_int_equal(strspn(first, "0123456789abcdef"), 32);
	snprintf(expected, sizeof(expected), HEAD NAME ": %s\r\n\r\n", first);
	heard(&s, 0, expected);
	heard(&s, 1, expected);

	for (unsigned i = 0; i < 2; i++)
		fake_set(&s.in[i], answer, sizeof(answer) - 1, RDDR_END_OPEN);
	assert_true(fake_diff_whole(&s));
	assert_true(fake_modify(&s));
	assert_string_not_equal(first, s.correlation);
	snprintf(expected, sizeof(expected), HEAD NAME ": %s\r\n\r\n" HEAD NAME ": %s\r\n\r\n", first, s.correlation);
	heard(&s, 1, expected);
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATED], 2);
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATIONS_REMOVED], 0);
	fake_end(&s);
}

static void what_a_client_says_is_left_out_whatever_its_spelling(void **state)
{
	struct rddr_session s;
	char expected[512];

	(void)state;
	begin(&s, PARAMS);
	assert_true(asks(&s, "PUT / HTTP/1.1\r\n" NAME ": " ID_A "\r\nHost: a\r\nx_rddr_correlation: x\r\n"
			     "X-Rddr-Correlations: y\r\nx-rddr_CORRELATION:\r\nContent-Length: 2\r\n\r\nhi"));
	snprintf(expected, sizeof(expected),
		 "PUT / HTTP/1.1\r\nHost: a\r\nX-Rddr-Correlations: y\r\nContent-Length: 2\r\n" NAME ": %s\r\n\r\nhi",
		 s.correlation);
	heard(&s, 0, expected);
	assert_string_not_equal(s.correlation, ID_A);
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATIONS_REMOVED], 3);
	fake_end(&s);
}

static void what_would_hide_one_is_refused(void **state)
{
	static const char *const bad[] = {
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, x-rddr-correlation\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nConnection: " NAME "\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" NAME ": a\r\n\r\n",
		"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx_RDDR_correlation: a\r\n\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rddr_session s;

		begin(&s, PARAMS);
		if (asks(&s, bad[i]) || !strstr(s.rejected, "correlate"))
			fail_msg("%s: %s", bad[i], s.rejected);
		assert_int_equal(s.out[0].len, 0);
		fake_end(&s);

		/* Without the key it is a header as any other. */
		begin(&s, "{}");
		assert_true(asks(&s, bad[i]));
		heard(&s, 0, bad[i]);
		fake_end(&s);
	}
}

static void an_answer_does_not_tell_it(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 200 OK\r\n" NAME ": " ID_A "\r\nX: y\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n",
	};
	struct rddr_session s;

	(void)state;
	begin(&s, PARAMS);
	assert_true(asks(&s, HEAD "\r\n"));
	for (unsigned i = 0; i < 2; i++)
		fake_set(&s.in[i], answers[i], strlen(answers[i]), RDDR_END_OPEN);
	assert_true(fake_diff_whole(&s));
	heard(&s, FAKE_LONE, answers[1]);
	fake_end(&s);
}

/* ---- outgoing ---- */

static enum rddr_opens opens(const char *json, const char *request, struct rddr_opening_result *result)
{
	struct rddr_session s = {0};
	void *params = NULL;
	char err[256];

	assert_int_equal(fakehttp.validate_params(json, &params, err, sizeof(err)), 0);
	enum rddr_opens what = fake_open(&s, &fakehttp, params, request, strlen(request), result);
	fakehttp.free_params(params);
	return what;
}

static void an_opening_says_what_it_belongs_to_and_the_key_does_not(void **state)
{
	struct rddr_opening_result a, b, none, plain;

	(void)state;
	assert_int_equal(opens(PARAMS, HEAD NAME ": " ID_A "\r\n\r\n", &a), RDDR_OPENS);
	assert_int_equal(opens(PARAMS, HEAD "x-rddr-correlation: " ID_B "\r\n\r\n", &b), RDDR_OPENS);
	assert_int_equal(opens(PARAMS, HEAD "\r\n", &none), RDDR_OPENS);
	assert_string_equal(a.correlation, ID_A);
	assert_string_equal(b.correlation, ID_B);
	assert_string_equal(none.correlation, "");
	assert_true(a.key == b.key && a.key == none.key && a.loose == b.loose);

	/* Where the service does not know it, it is a header like any other. */
	assert_int_equal(opens("{}", HEAD NAME ": " ID_A "\r\n\r\n", &plain), RDDR_OPENS);
	assert_string_equal(plain.correlation, "");
	assert_true(plain.key != a.key);
	assert_int_equal(opens("{\"correlate\": {\"header\": \"X-Other\"}}", HEAD "X-Other: " ID_A "\r\n\r\n", &a),
			 RDDR_OPENS);
	assert_string_equal(a.correlation, ID_A);
}

static void what_rddr_did_not_make_is_refused(void **state)
{
	static const char *const bad[] = {
		NAME ":\r\n",
		NAME ": " ID_A "0\r\n",
		NAME ": 00112233445566778899aabbccddeef\r\n",
		NAME ": 00112233445566778899AABBCCDDEEFF\r\n",
		NAME ": 00112233445566778899aabbccddeef\"\r\n",
		NAME ": " ID_A "\r\n" NAME ": " ID_A "\r\n",
		NAME ": " ID_A ", " ID_B "\r\n",
	};
	struct rddr_opening_result result;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char request[256];

		snprintf(request, sizeof(request), HEAD "%s\r\n", bad[i]);
		if (opens(PARAMS, request, &result) != RDDR_OPENS_NOT || !strstr(result.why, "correlate"))
			fail_msg("%s: %s", bad[i], result.why);
		assert_string_equal(result.correlation, "");
	}
}

/* What three instances asked, with that behind the head's first lines; what the backend got is the result, or NULL:
 * they differ. */
static const char *passed(struct rddr_session *s, const char *const tails[3], char text[512])
{
	char requests[3][256];

	assert_int_equal(fake_begin_outgoing(s, &fakehttp, 3, PARAMS), 0);
	for (unsigned i = 0; i < 3; i++) {
		int len = snprintf(requests[i], sizeof(requests[i]), HEAD "%s\r\n", tails[i]);

		fake_set(&s->in[i], requests[i], (size_t)len, RDDR_END_OPEN);
	}
	if (!fake_diff_whole(s))
		return NULL;
	snprintf(text, 512, "%.*s", (int)s->out[FAKE_LONE].len, (const char *)s->out[FAKE_LONE].data);
	return text;
}

static void the_backend_does_not_see_it(void **state)
{
	static const char *const all[] = {NAME ": " ID_A "\r\nX: y\r\n", "X: y\r\nx-rddr-correlation: " ID_A "\r\n",
					  "x: y\r\n" NAME ": " ID_A "\r\n"};
	static const char *const two[] = {"X: y\r\n", NAME ": " ID_A "\r\nX: y\r\n", NAME ": " ID_A "\r\nX: y\r\n"};
	struct rddr_session s;
	char text[512];

	(void)state;
	assert_string_equal(passed(&s, all, text), HEAD "X: y\r\n\r\n");
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATED], 1);
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATIONS_MISSING], 0);
	fake_end(&s);
	assert_string_equal(passed(&s, two, text), HEAD "X: y\r\n\r\n");
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATED], 1);
	assert_int_equal(s.counted[RDDR_COUNTED_CORRELATIONS_MISSING], 1);
	fake_end(&s);
}

static void requests_of_two_exchanges_differ(void **state)
{
	static const char *const tails[] = {"", NAME ": " ID_A "\r\n", NAME ": " ID_B "\r\n"};
	struct rddr_session s;
	char text[512];

	(void)state;
	assert_null(passed(&s, tails, text));
	assert_int_equal(s.finding.instance, 2);
	assert_int_equal(s.finding.other, 1);
	assert_non_null(strstr(s.finding.why, "another exchange"));
	assert_int_equal(s.out[FAKE_LONE].len, 0);
	fake_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_request_gets_an_id_of_its_own_the_same_for_all),
		cmocka_unit_test(what_a_client_says_is_left_out_whatever_its_spelling),
		cmocka_unit_test(what_would_hide_one_is_refused),
		cmocka_unit_test(an_answer_does_not_tell_it),
		cmocka_unit_test(an_opening_says_what_it_belongs_to_and_the_key_does_not),
		cmocka_unit_test(what_rddr_did_not_make_is_refused),
		cmocka_unit_test(the_backend_does_not_see_it),
		cmocka_unit_test(requests_of_two_exchanges_differ),
	};

	return cmocka_run_group_tests_name("diff/http_correlate", tests, NULL, NULL);
}
