/* SPDX-License-Identifier: BSD-2-Clause */
#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "denied.h"
#include "http_parse.h"

/* Renders and reads it back as any client would; returns the body. */
static const char *render(const struct denied *d, char out[DENIED_ROOM + 1], struct http_head *head)
{
	size_t len = rddr_denied_render(d, out), scanned = 0;
	const char *why = "";
	int64_t head_len;

	assert_true(len < DENIED_ROOM);
	out[len] = '\0';
	head_len = rddr_http_head_end((struct slice){(uint8_t *)out, len}, &scanned, &why);
	assert_true(head_len > 0);
	if (rddr_http_read_answer((struct slice){(uint8_t *)out, (size_t)head_len}, head, &why) < 0)
		fail_msg("%s", why);
	assert_true(head->has_length && !head->keep_alive);
	assert_int_equal(len - (size_t)head_len, d->head_only ? 0 : head->length);
	return out + head_len;
}

static void a_page_stands_alone(void **state)
{
	const struct denied d = {.reference = "20261122-abc123"};
	static struct http_head head;
	char out[DENIED_ROOM + 1];
	const char *body = render(&d, out, &head);

	(void)state;
	assert_int_equal(head.status, 500);
	assert_non_null(strstr(body, "20261122-abc123"));
	assert_non_null(strstr(body, "Access denied"));
	assert_non_null(strstr(body, "<svg"));
	assert_null(strstr(body, "src="));
	assert_null(strstr(body, "href="));
	assert_null(strstr(body, "url("));
	assert_null(strstr(body, "http:"));
}

static void json_for_those_who_want_it(void **state)
{
	const struct denied d = {.json = true, .reference = "r-1"};
	static struct http_head head;
	char out[DENIED_ROOM + 1];
	json_object *o = json_tokener_parse(render(&d, out, &head)), *reference;

	(void)state;
	assert_int_equal(head.status, 500);
	assert_non_null(o);
	assert_true(json_object_object_get_ex(o, "reference", &reference));
	assert_string_equal(json_object_get_string(reference), "r-1");
	json_object_put(o);
}

static void refused_requests_get_400(void **state)
{
	static struct http_head head;
	char out[DENIED_ROOM + 1];

	(void)state;
	for (int json = 0; json < 2; json++) {
		const struct denied d = {.refused = true, .json = json, .reference = "r-2"};

		assert_non_null(strstr(render(&d, out, &head), "r-2"));
		assert_int_equal(head.status, 400);
	}
}

static void head_gets_no_body(void **state)
{
	const struct denied d = {.head_only = true, .reference = "r"};
	static struct http_head head;
	char out[DENIED_ROOM + 1];

	(void)state;
	assert_string_equal(render(&d, out, &head), "");
	assert_true(head.length > 0);
}

static void a_reference_cannot_be_markup(void **state)
{
	struct denied d = {.reference = "<script>\"%s%n"};
	static struct http_head head;
	char out[DENIED_ROOM + 1], longest[4096];

	(void)state;
	assert_non_null(strstr(render(&d, out, &head), "<code>scriptsn</code>"));
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	d.reference = longest;
	render(&d, out, &head);
	d.reference = NULL;
	render(&d, out, &head);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_stands_alone),		cmocka_unit_test(json_for_those_who_want_it),
		cmocka_unit_test(refused_requests_get_400),	cmocka_unit_test(head_gets_no_body),
		cmocka_unit_test(a_reference_cannot_be_markup),
	};

	return cmocka_run_group_tests_name("diff/denied", tests, NULL, NULL);
}
