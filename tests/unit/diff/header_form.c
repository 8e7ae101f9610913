/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "header_form.h"
#include "rules.h"

/* The bytes are in memory of their own, so that whoever looks behind them is seen. */
static bool has(enum header_form form, const char *text)
{
	size_t len = strlen(text);
	uint8_t *own = malloc(len ? len : 1);
	bool has;

	assert_non_null(own);
	memcpy(own, text, len); /* NOLINT: bytes, not a text */
	has = rddr_header_form_has(form, (struct slice){own, len});
	free(own);
	return has;
}

static void dates_are_dates(void **state)
{
	static const char *const good[] = {
		"Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 29 Feb 2024 23:59:60 GMT", "Sat, 01 Jan 2000 00:00:00 GMT",
		"Thu, 26 Nov 2026 08:37:43 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
	};
	static const char *const bad[] = {
		"",
		"U0VDUkVU",
		"Sun, 06 Nov 1994 08:49:37 GM",
		"Sun, 06 Nov 1994 08:49:37 GMT ",
		"Sun, 06 Nov 1994 08:49:37 UTC",
		"Mon, 06 Nov 1994 08:49:37 GMT",
		"Xun, 06 Nov 1994 08:49:37 GMT",
		"Sun, 06 Xov 1994 08:49:37 GMT",
		"Sun, 00 Nov 1994 08:49:37 GMT",
		"Sun, 32 Nov 1994 08:49:37 GMT",
		"Sun, 06 Nov 1994 24:49:37 GMT",
		"Sun, 06 Nov 1994 08:60:37 GMT",
		"Sun, 06 Nov 1994 08:49:61 GMT",
		"Sun, 06 Nov 0000 08:49:37 GMT",
		"Sun, 06-Nov-94 08:49:37 GMT",
		"Sun Nov  6 08:49:37 1994",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!has(FORM_DATE, good[i]))
			fail_msg("%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (has(FORM_DATE, bad[i]))
			fail_msg("%s", bad[i]);
}

static void others_are_bounded(void **state)
{
	static const struct {
		size_t most;
		enum header_form form;
		char of;
	} bounds[] = {
		{10, FORM_NUMBER, '7'}, {128, FORM_TOKEN, 'a'}, {128, FORM_WORD, '='},
		{128, FORM_TEXT, ' '},	{256, FORM_LONG, '~'},
	};
	char text[258];

	(void)state;
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		memset(text, bounds[i].of, sizeof(text));
		text[bounds[i].most] = '\0';
		assert_true(has(bounds[i].form, text));
		text[bounds[i].most] = bounds[i].of;
		text[bounds[i].most + 1] = '\0';
		assert_false(has(bounds[i].form, text));
	}
	assert_false(has(FORM_NUMBER, ""));
	assert_false(has(FORM_NUMBER, "1a"));
	assert_false(has(FORM_NUMBER, "-1"));
	assert_true(has(FORM_TOKEN, ""));
	assert_false(has(FORM_TOKEN, "a=b"));
	assert_false(has(FORM_TOKEN, "a b"));
	assert_false(has(FORM_WORD, "a b"));
	assert_false(has(FORM_TEXT, "a\tb"));
	assert_false(has(FORM_TEXT, "a\x7f"));
	assert_false(has(FORM_LONG, "\xc3\xa4"));
	for (unsigned i = 0; i < HEADER_FORMS; i++)
		assert_non_null(rddr_header_form_name((enum header_form)i));
}

static enum header_form form_of(const struct rules *rules, const char *name)
{
	const struct field_rule *rule = rddr_rules_header(rules, slice_of(name));

	assert_non_null(rule);
	return rule->form;
}

/* What real servers say has the form that is asked of it. */
static void real_ones_have_their_form(void **state)
{
	static const char *const real[][2] = {
		{"Server", "Apache/2.4.6 (CentOS) OpenSSL/1.0.2k-fips PHP/7.4.33 mod_perl/2.0.11 Perl/v5.16.3"},
		{"Server", "SimpleHTTP/0.6 Python/3.11.2"},
		{"X-Powered-By", "PHP/8.2.7"},
		{"X-Powered-By", "Servlet/3.1 JSP/2.3 (GlassFish Server 4.1 Java/Oracle Corporation/1.8)"},
		{"Via", "1.1 varnish (Varnish/7.1), 1.1 2b1d3c.cloudfront.net (CloudFront)"},
		{"Alt-Svc", "h3=\":443\"; ma=86400, h3-29=\":443\"; ma=86400"},
		{"NEL", "{\"success_fraction\":0,\"report_to\":\"cf-nel\",\"max_age\":604800}"},
		{"Server-Timing", "cache;desc=\"hit, front\", db;dur=53.2"},
		{"X-Request-Id", "7b2c1d3e-9f00-4a51-8d5e-b7c1a2f3e4d5"},
		{"Request-Id", "|7e2a1b3c.9f00_"},
		{"X-Amz-Id-2", "eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran="},
		{"X-Amzn-Trace-Id", "Root=1-67891233-abcdef012345678912345678;Parent=463ac35c9f6413ad;Sampled=1"},
		{"Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		{"Tracestate", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"},
		{"X-B3-TraceId", "80f198ee56343ba864fe8b2a57d3eff7"},
		{"X-Runtime", "0.012345"},
		{"X-Response-Time", "1.234ms"},
		{"X-AspNet-Version", "4.0.30319"},
		{"X-Cache", "Hit from cloudfront"},
		{"X-Cache-Hits", "0, 1"},
		{"X-Served-By", "cache-iad-kcgs7200059-IAD, cache-fra-etou8220072-FRA"},
		{"X-Timer", "S1700000000.123456,VS0,VE1"},
		{"X-Varnish", "32770 3"},
		{"CF-Ray", "8a1b2c3d4e5f6a7b-FRA"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(real) / sizeof(real[0]); i++)
		if (!has(form_of(NULL, real[i][0]), real[i][1]))
			fail_msg("%s: %s", real[i][0], real[i][1]);
	assert_int_equal(form_of(NULL, "DATE"), FORM_DATE);
	assert_int_equal(form_of(NULL, "Age"), FORM_NUMBER);
}

static void what_somebody_names_may_be_anything(void **state)
{
	struct rules *rules = NULL;
	char err[200];

	(void)state;
	assert_int_equal(rddr_rules_parse("{\"ignore-headers\":[\"X-Foo\",\"Date\"],\"fields\":["
					  "{\"header\":\"Server\",\"action\":\"ignore\"}]}",
					  &rules, err, sizeof(err)),
			 0);
	assert_int_equal(form_of(rules, "x-foo"), FORM_ANY);
	assert_int_equal(form_of(rules, "date"), FORM_ANY);
	assert_int_equal(form_of(rules, "server"), FORM_ANY);
	assert_int_equal(form_of(rules, "age"), FORM_NUMBER);
	rddr_rules_free(&rules);
	assert_int_equal(rddr_rules_parse("{\"only-headers\":[\"Date\"]}", &rules, err, sizeof(err)), 0);
	assert_null(rddr_rules_header(rules, slice_of("date")));
	assert_int_equal(form_of(rules, "age"), FORM_NUMBER);
	assert_int_equal(form_of(rules, "location"), FORM_ANY);
	rddr_rules_free(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dates_are_dates),
		cmocka_unit_test(others_are_bounded),
		cmocka_unit_test(real_ones_have_their_form),
		cmocka_unit_test(what_somebody_names_may_be_anything),
	};

	return cmocka_run_group_tests_name("diff/header_form", tests, NULL, NULL);
}
