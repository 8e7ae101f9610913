// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "own.h"
#include "proxy_protocol.h"

static struct addr at(const char *text)
{
	struct addr a;

	if (rddr_addr_parse(text, 0, &a))
		fail_msg("%s is no address", text);
	return a;
}

static void assert_addr(const struct addr *a, const char *expected)
{
	char text[RDDR_ADDR_TEXT];

	assert_string_equal(rddr_addr_format(a, text, sizeof(text)), expected);
}

/* Whole, it is that; cut anywhere, more is needed; with more behind it, the same. */
static void assert_good(const uint8_t *data, size_t len, const char *source, const char *destination)
{
	static const char request[] = "GET / PROXY \r\n";
	struct proxy_header h;
	uint8_t longer[PROXY_HEADER_MAX + 64];

	for (size_t cut = 0; cut < len; cut++) {
		if (rddr_proxy_protocol_parse(data, cut, &h) != -EAGAIN)
			fail_msg("cut at %zu", cut);
	}
	memcpy(longer, data, len);
	memcpy(longer + len, request, sizeof(request) - 1);
	for (size_t more = 0; more < sizeof(request); more += 7) {
		assert_int_equal(rddr_proxy_protocol_parse(longer, len + more, &h), 0);
		assert_int_equal(h.len, len);
		assert_int_equal(h.local, !source);
		if (source) {
			assert_addr(&h.source, source);
			assert_addr(&h.destination, destination);
		}
	}
}

static void test_line(void **state)
{
	static const struct {
		const char *line, *source, *destination;
	} cases[] = {
		{"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n", "192.0.2.1:56324", "10.0.0.1:443"},
		{"PROXY TCP4 255.255.255.254 10.0.0.1 65535 1\r\n", "255.255.255.254:65535", "10.0.0.1:1"},
		{"PROXY TCP6 2001:db8::1 fd00::1 1 65535\r\n", "[2001:db8::1]:1", "[fd00::1]:65535"},
		{"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:10.0.0.1 7 8\r\n", "192.0.2.1:7", "10.0.0.1:8"},
		{"PROXY UNKNOWN\r\n", NULL, NULL},
		{"PROXY UNKNOWN ffff:f...f:ffff whatever 1 2\r\n", NULL, NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_good((const uint8_t *)cases[i].line, strlen(cases[i].line), cases[i].source,
			    cases[i].destination);
}

static void test_bad_line(void **state)
{
	static const char *const cases[] = {
		"GET / HTTP/1.1\r\n",
		"PROXX",
		"proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
		"PROXY \r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
		"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 \r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
		"PROXY TCP4  192.0.2.1 10.0.0.1 1 2\r\n",
		"PROXY TCP4 192.0.2.1  10.0.0.1 1 2\r\n",
		"PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
		"PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
		"PROXY TCP4 192.0.2 10.0.0.1 1 2\r\n",
		"PROXY TCP4 ::1 ::1 1 2\r\n",
		"PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
		"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\rX",
		"PROXY TCP4 0.0.0.0 10.0.0.1 1 2\r\n",
		"PROXY TCP6 :: ::1 1 2\r\n",
		"PROXY TCP6 ::ffff:0.0.0.0 ::1 1 2\r\n",
	};
	struct proxy_header h;
	char longest[120];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (rddr_proxy_protocol_parse((const uint8_t *)cases[i], strlen(cases[i]), &h) != -EBADMSG)
			fail_msg("taken: %s", cases[i]);
	}
	assert_int_equal(rddr_proxy_protocol_parse((const uint8_t *)"PROXY TCP4 1\0.0.0.1 ", 20, &h), -EBADMSG);
	/* A line of 108 bytes. */
	snprintf(longest, sizeof(longest), "PROXY UNKNOWN %092d\r\n", 1);
	assert_int_equal(strlen(longest), 108);
	assert_int_equal(rddr_proxy_protocol_parse((const uint8_t *)longest, strlen(longest), &h), -EBADMSG);
}

static const uint8_t signature[] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

static size_t binary(uint8_t *out, uint8_t command, uint8_t family, const void *rest, size_t len)
{
	memcpy(out, signature, sizeof(signature));
	out[12] = command;
	out[13] = family;
	out[14] = (uint8_t)(len >> 8);
	out[15] = (uint8_t)len;
	if (rest)
		memcpy(out + 16, rest, len);
	else
		memset(out + 16, 0x5a, len);
	return 16 + len;
}

static void test_binary(void **state)
{
	static const uint8_t four[] = {192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 1, 0xbb, 3, 0, 1, 'x'};
	uint8_t data[PROXY_HEADER_MAX],
		six[36] = {[0] = 0x20, [1] = 1, [15] = 1, [16] = 0xfd, [31] = 2, [33] = 7, [35] = 8};

	(void)state;
	assert_good(data, binary(data, 0x21, 0x11, four, 12), "192.0.2.1:56324", "10.0.0.1:443");
	assert_good(data, binary(data, 0x21, 0x11, four, 16), "192.0.2.1:56324", "10.0.0.1:443");
	assert_good(data, binary(data, 0x21, 0x21, six, 36), "[2001::1]:7", "[fd00::2]:8");
	assert_good(data, binary(data, 0x20, 0x00, four, 0), NULL, NULL);
	assert_good(data, binary(data, 0x20, 0x11, four, 12), NULL, NULL);
	assert_good(data, binary(data, 0x21, 0x00, four, 5), NULL, NULL);
}

static void test_bad_binary(void **state)
{
	static const uint8_t none[12] = {0};
	uint8_t data[PROXY_HEADER_MAX + 64];
	struct proxy_header h;
	const struct {
		uint8_t command, family;
		const void *rest;
		size_t len;
	} cases[] = {
		{0x11, 0x11, NULL, 12}, {0x22, 0x11, NULL, 12}, {0x01, 0x11, NULL, 12}, {0x21, 0x11, NULL, 11},
		{0x21, 0x21, NULL, 35}, {0x21, 0x12, NULL, 12}, {0x21, 0x22, NULL, 36}, {0x21, 0x31, NULL, 216},
		{0x21, 0x41, NULL, 40}, {0x21, 0x11, none, 12},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t len = binary(data, cases[i].command, cases[i].family, cases[i].rest, cases[i].len);

		if (rddr_proxy_protocol_parse(data, len, &h) != -EBADMSG)
			fail_msg("case %zu", i);
	}
	/* Nobody waits for more than there is room for. */
	binary(data, 0x21, 0x11, NULL, 12);
	data[14] = 0xff;
	assert_int_equal(rddr_proxy_protocol_parse(data, 28, &h), -EBADMSG);
	memcpy(data, signature, sizeof(signature));
	data[5] = 'x';
	assert_int_equal(rddr_proxy_protocol_parse(data, 28, &h), -EBADMSG);
}

static void test_written(void **state)
{
	static const struct {
		const char *source, *destination, *read_source, *read_destination;
	} cases[] = {
		{"192.0.2.1:5", "10.0.0.1:80", "192.0.2.1:5", "10.0.0.1:80"},
		{"[fd00::1]:5", "[fd00::2]:80", "[fd00::1]:5", "[fd00::2]:80"},
		{"[fd00::1]:5", "10.0.0.1:80", "[fd00::1]:5", "10.0.0.1:80"},
		{"192.0.2.1:5", "[fd00::2]:80", "192.0.2.1:5", "[fd00::2]:80"},
	};
	uint8_t data[PROXY_WRITTEN_MAX];

	(void)state;
	for (unsigned version = 1; version <= 2; version++) {
		for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
			struct addr source = at(cases[i].source), destination = at(cases[i].destination);
			size_t len = rddr_proxy_protocol_write(version, &source, &destination, data);

			assert_good(data, len, cases[i].read_source, cases[i].read_destination);
		}
		assert_good(data, rddr_proxy_protocol_write(version, NULL, NULL, data), NULL, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),	   cmocka_unit_test(test_bad_line), cmocka_unit_test(test_binary),
		cmocka_unit_test(test_bad_binary), cmocka_unit_test(test_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
