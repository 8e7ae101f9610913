// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postgres_wire.h"

static struct slice bytes(const void *data, size_t len)
{
	return (struct slice){data, len};
}

static void a_message_is_a_type_a_length_and_a_body(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t len, whole, body;
		enum pg_read read;
		bool complete;
	} cases[] = {
		{"nothing", "", 0, 0, 0, PG_READ_MORE, false},
		{"a part of the header", "Z\0\0\0", 4, 0, 0, PG_READ_MORE, false},
		{"no body", "1\0\0\0\4", 5, 5, 0, PG_READ_OK, true},
		{"a body", "Z\0\0\0\5I", 6, 6, 1, PG_READ_OK, true},
		{"a body that is to come", "Z\0\0\0\5", 5, 6, 0, PG_READ_OK, false},
		{"a part of it", "Z\0\0\0\7II", 7, 8, 2, PG_READ_OK, false},
		{"something behind it", "Z\0\0\0\5IZ\0", 8, 6, 1, PG_READ_OK, true},
		{"a length that does not count itself", "Z\0\0\0\3", 5, 0, 0, PG_READ_BAD, false},
		{"no length", "Z\0\0\0\0", 5, 0, 0, PG_READ_BAD, false},
		{"a negative one", "Z\377\377\377\377", 5, 0, 0, PG_READ_BAD, false},
		{"the smallest", "Z\200\0\0\0", 5, 0, 0, PG_READ_BAD, false},
		{"more than a server takes", "Z\100\0\0\0", 5, 0, 0, PG_READ_BAD, false},
		{"as much as it takes", "Z\77\377\377\377", 5, 0x40000000, 0, PG_READ_OK, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pg_message m = {0};
		enum pg_read read = rddr_pg_read(bytes(cases[i].bytes, cases[i].len), &m);

		if (read != cases[i].read)
			fail_msg("%s: %d", cases[i].what, (int)read);
		if (read != PG_READ_OK)
			continue;
		if (m.type != cases[i].bytes[0] || m.whole != cases[i].whole || m.body.len != cases[i].body ||
		    m.complete != cases[i].complete)
			fail_msg("%s: %c, %zu, %zu, %d", cases[i].what, m.type, m.whole, m.body.len, m.complete);
	}
}

static void every_type_has_its_place(void **state)
{
	unsigned kinds[4] = {0};

	(void)state;
	for (int type = 0; type < 256; type++) {
		enum pg_kind kind = rddr_pg_kind_of_answer((char)type);

		kinds[kind]++;
		assert_int_equal(kind == PG_UNKNOWN, rddr_pg_answer_name((char)type) == NULL);
	}
	/* The manual's list: 24 of a server. */
	assert_int_equal(kinds[PG_APART], 3);
	assert_int_equal(kinds[PG_LOGIN], 3);
	assert_int_equal(kinds[PG_MAIN], 18);
	assert_string_equal(rddr_pg_answer_name('W'), "CopyBothResponse");
	unsigned requests = 0;
	for (int type = 0; type < 256; type++)
		requests += rddr_pg_known_request((char)type);
	assert_int_equal(requests, 13);
	/* A password is a part of the login alone; no type is none. */
	assert_false(rddr_pg_known_request('p'));
	assert_false(rddr_pg_known_request('\0'));
}

static void a_body_is_read_up_to_its_end_and_not_further(void **state)
{
	static const uint8_t body[] = {0x01, 0x02, 0x03, 0x80, 0x00, 0x00, 0x01, 'a', 'b', 0, 0, 0, 0, 0, 2, 'x', 'y'};
	struct pg_cursor c = {.left = bytes(body, sizeof(body))};
	struct slice value;

	(void)state;
	assert_int_equal(rddr_pg_take8(&c), 0x01);
	assert_int_equal(rddr_pg_take16(&c), 0x0203);
	assert_int_equal(rddr_pg_take32(&c), 0x80000001);
	assert_true(slice_equal(rddr_pg_take_string(&c), slice_of("ab")));
	assert_int_equal(rddr_pg_take_string(&c).len, 0);
	assert_true(rddr_pg_take_value(&c, &value));
	assert_true(slice_equal(value, slice_of("xy")));
	assert_int_equal(c.left.len, 0);
	assert_false(c.bad);
	/* Nothing is left; it stays so. */
	assert_int_equal(rddr_pg_take8(&c), 0);
	assert_true(c.bad);
	assert_int_equal(rddr_pg_take(&c, 0).len, 0);
	assert_true(c.bad);
}

static void what_is_cut_short_is_bad(void **state)
{
	static const struct {
		const char *what, *bytes;
		size_t len;
		char take; /* 2, 4, s: string, v: value */
	} cases[] = {
		{"a byte of a short", "\1", 1, '2'},
		{"three of a long", "\1\2\3", 3, '4'},
		{"a string without its end", "abc", 3, 's'},
		{"no string", "", 0, 's'},
		{"a value's length", "\0\0\0", 3, 'v'},
		{"a value that is longer than the message", "\0\0\0\4abc", 7, 'v'},
		{"a value of a length that cannot be", "\200\0\0\0abc", 7, 'v'},
		{"a negative one that is not NULL", "\377\377\377\376abc", 7, 'v'},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* Its own memory: who reads behind it is seen. */
		uint8_t *copy = malloc(cases[i].len ? cases[i].len : 1);
		struct pg_cursor c = {.left = bytes(copy, cases[i].len)};
		struct slice value;

		assert_non_null(copy);
		memcpy(copy, cases[i].bytes, cases[i].len);
		if (cases[i].take == '2')
			rddr_pg_take16(&c);
		else if (cases[i].take == '4')
			rddr_pg_take32(&c);
		else if (cases[i].take == 's')
			rddr_pg_take_string(&c);
		else
			assert_false(rddr_pg_take_value(&c, &value));
		if (!c.bad)
			fail_msg("%s is taken", cases[i].what);
		free(copy);
	}
}

static void null_is_not_bad(void **state)
{
	struct pg_cursor c = {.left = bytes("\377\377\377\377", 4)};
	struct slice value = {0};

	(void)state;
	assert_false(rddr_pg_take_value(&c, &value));
	assert_false(c.bad);
}

static void fields_of_an_error_are_found(void **state)
{
	static const char body[] = "SERROR\0C42P01\0Mno such table\0";

	(void)state;
	assert_true(slice_equal(rddr_pg_error_field(bytes(body, sizeof(body)), 'C'), slice_of("42P01")));
	assert_true(slice_equal(rddr_pg_error_field(bytes(body, sizeof(body)), 'M'), slice_of("no such table")));
	assert_int_equal(rddr_pg_error_field(bytes(body, sizeof(body)), 'D').len, 0);
	/* Cut in the field's middle it has none. */
	assert_int_equal(rddr_pg_error_field(bytes(body, 11), 'C').len, 0);
	assert_int_equal(rddr_pg_error_field(bytes("", 0), 'C').len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_is_a_type_a_length_and_a_body),
		cmocka_unit_test(every_type_has_its_place),
		cmocka_unit_test(a_body_is_read_up_to_its_end_and_not_further),
		cmocka_unit_test(what_is_cut_short_is_bad),
		cmocka_unit_test(null_is_not_bad),
		cmocka_unit_test(fields_of_an_error_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
