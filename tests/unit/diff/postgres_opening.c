// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakeoutgoing.h"

#define KNOWN UINT64_C(77)
static const uint8_t ssl[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};
static const uint8_t gss[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30};

static struct rddr_session session = {.n = 3};
static void *params;

static int begin(void **state)
{
	(void)state;
	pg_forget();
	params = out_params("{\"ignore-parameters\": [\"application_name\"]}");
	return 0;
}

static int end(void **state)
{
	(void)state;
	rddr_pg_params_free(params);
	return 0;
}

static enum rddr_opens look(uint64_t identity, const struct fake_out *said, size_t replied,
			    struct rddr_opening_result *result)
{
	return out_open(&session, params, identity, false, said->data, said->len, RDDR_END_OPEN, replied, result);
}

/* What two connections say: whether they have key, and something looser, in common. */
static void expect(const struct fake_out *a, const struct fake_out *b, bool key, bool loose, const char *what)
{
	struct rddr_opening_result of_a = {0}, of_b = {0};

	if (look(KNOWN, a, 0, &of_a) != RDDR_OPENS || look(KNOWN, b, 0, &of_b) != RDDR_OPENS)
		fail_msg("%s: opens nothing", what);
	if ((of_a.key == of_b.key) != key || (of_a.loose == of_b.loose) != loose)
		fail_msg("%s: key %s, loose %s", what, of_a.key == of_b.key ? "same" : "other",
			 of_a.loose == of_b.loose ? "same" : "other");
}

static void queries(const char *a, const char *b, bool key, bool loose)
{
	struct fake_out of_a = {0}, of_b = {0};

	out_query(&of_a, a);
	out_query(&of_b, b);
	expect(&of_a, &of_b, key, loose, a);
	free(of_a.data);
	free(of_b.data);
}

static void exchanges_are_known_by_what_they_say(void **state)
{
	struct fake_out a = {0}, b = {0};

	(void)state;
	queries("select 1", "select 1", true, true);
	queries("select 1", "select 2", false, true);
	queries("select 'a'", "select 'b'", false, true);
	queries("select a", "select b", false, false);
	queries("select 1 /* x */", "select 1 /* y */", false, true);

	out_parse(&a, "", "select $1");
	out_bind(&a, "", "one");
	out_execute(&a);
	out_parse(&b, "", "select $1");
	out_bind(&b, "", "two");
	out_execute(&b);
	expect(&a, &a, true, true, "bound");
	expect(&a, &b, false, true, "bound otherwise");
	free(a.data);
	free(b.data);
}

static void an_exchange_is_waited_for_until_it_is_whole(void **state)
{
	struct rddr_opening_result result;
	struct fake_out said = {0};

	(void)state;
	out_parse(&said, "", "select $1");
	out_bind(&said, "", "one");
	out_execute(&said);
	for (size_t len = 1; len < said.len; len++) {
		enum rddr_opens opens =
			out_open(&session, params, KNOWN, false, said.data, len, RDDR_END_OPEN, 0, &result);

		if (opens != RDDR_OPENS_WAIT || result.reply_len)
			fail_msg("%zu bytes: %d", len, opens);
	}
	assert_int_equal(look(KNOWN, &said, 0, &result), RDDR_OPENS);
	free(said.data);
}

static void a_long_one_is_known_by_its_beginning(void **state)
{
	struct rddr_opening_result result;
	struct fake_out said = {0};
	char *text = calloc(1, 200001);
	uint64_t key;

	(void)state;
	memset(text, 'x', 200000);
	out_query(&said, text);
	assert_int_equal(out_open(&session, params, KNOWN, false, said.data, 100, RDDR_END_OPEN, 0, &result),
			 RDDR_OPENS_WAIT);
	assert_int_equal(out_open(&session, params, KNOWN, false, said.data, 70000, RDDR_END_OPEN, 0, &result),
			 RDDR_OPENS);
	/* However much has come. */
	key = result.key;
	assert_int_equal(look(KNOWN, &said, 0, &result), RDDR_OPENS);
	assert_true(result.key == key);
	said.data[100] = 'y';
	assert_int_equal(look(KNOWN, &said, 0, &result), RDDR_OPENS);
	assert_true(result.key != key);
	free(text);
	free(said.data);
}

static void begin_is_answered_and_what_follows_counts(void **state)
{
	static const uint8_t answer[] = "C\0\0\0\012BEGIN\0Z\0\0\0\5T";
	static const uint8_t start[] = "C\0\0\0\026START TRANSACTION\0Z\0\0\0\5T";
	static const uint8_t extended[] = "1\0\0\0\0042\0\0\0\4n\0\0\0\4C\0\0\0\012BEGIN\0Z\0\0\0\5T";
	struct fake_out one = {0}, other = {0}, third = {0};
	struct rddr_opening_result result;

	(void)state;
	out_query(&one, "BEGIN ISOLATION LEVEL SERIALIZABLE;");
	assert_int_equal(look(KNOWN, &one, 0, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.reply_len, sizeof(answer) - 1);
	assert_memory_equal(result.reply, answer, sizeof(answer) - 1);
	assert_int_equal(result.replied, one.len);
	/* Once. */
	assert_int_equal(look(KNOWN, &one, one.len, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.reply_len, 0);
	fake_append(&other, one.data, one.len);
	out_query(&one, "insert into a values (1)");
	out_query(&other, "insert into a values (2)");
	expect(&one, &other, false, true, "behind BEGIN");
	/* Or both at once. */
	assert_int_equal(look(KNOWN, &one, 0, &result), RDDR_OPENS);

	out_query(&third, "START TRANSACTION");
	assert_int_equal(look(KNOWN, &third, 0, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.reply_len, sizeof(start) - 1);
	assert_memory_equal(result.reply, start, sizeof(start) - 1);

	third.len = 0;
	out_parse(&third, "", "begin");
	out_bind(&third, "", NULL);
	pg_message(&third, 'D', "P", 2);
	out_execute(&third);
	assert_int_equal(look(KNOWN, &third, 0, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.reply_len, sizeof(extended) - 1);
	assert_memory_equal(result.reply, extended, sizeof(extended) - 1);

	/* What may fail, or is more than that, is the backend's to answer. */
	third.len = 0;
	out_query(&third, "BEGIN; select 1");
	assert_int_equal(look(KNOWN, &third, 0, &result), RDDR_OPENS);
	third.len = 0;
	out_query(&third, "BEGIN NONSENSE");
	assert_int_equal(look(KNOWN, &third, 0, &result), RDDR_OPENS);
	free(one.data);
	free(other.data);
	free(third.data);
}

static void goodbyes_need_nobody(void **state)
{
	struct rddr_opening_result result;
	struct fake_out said = {0};
	size_t begun;

	(void)state;
	pg_message(&said, 'X', NULL, 0);
	assert_int_equal(look(KNOWN, &said, 0, &result), RDDR_OPENS_ENDS);
	said.len = 0;
	out_query(&said, "begin");
	begun = said.len;
	assert_int_equal(out_open(&session, params, KNOWN, false, said.data, begun, RDDR_END_ENDED, begun, &result),
			 RDDR_OPENS_ENDS);
	pg_message(&said, 'X', NULL, 0);
	assert_int_equal(look(KNOWN, &said, begun, &result), RDDR_OPENS_ENDS);
	free(said.data);
}

static void rests_of_a_copy_say_nothing(void **state)
{
	struct fake_out said = {0}, plain = {0};
	struct rddr_opening_result result;

	(void)state;
	pg_message(&said, 'd', "1\n", 2);
	pg_message(&said, 'c', NULL, 0);
	assert_int_equal(look(KNOWN, &said, 0, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.replied, said.len);
	assert_int_equal(result.reply_len, 0);
	out_query(&said, "select 1");
	out_query(&plain, "select 1");
	expect(&said, &plain, true, true, "behind a copy");
	free(said.data);
	free(plain.data);
}

static void nonsense_is_refused(void **state)
{
	static const struct {
		uint64_t identity;
		const char *bytes;
		size_t len;
	} cases[] = {
		{KNOWN, "y\0\0\0\4", 5},	 {KNOWN, "Q\0\0\0\3", 5},
		{KNOWN, "Q\377\377\377\377", 5}, {0, "\0\0\0\7\0\3\0\0", 8},
		{0, "\0\1\0\0\0\3\0\0", 8},	 {0, "\0\0\0\11\0\3\0\0\0", 9},
		{0, "\0\0\0\10\0\3\0\0", 8},	 {0, "\0\0\0\21\0\2\0\0user\0a\0\0", 17},
		{0, "\0\0\0\11\4\322\26\56", 9},
	};
	struct rddr_opening_result result;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum rddr_opens opens =
			out_open(&session, params, cases[i].identity, false, (const uint8_t *)cases[i].bytes,
				 cases[i].len, RDDR_END_OPEN, 0, &result);

		if (opens != RDDR_OPENS_NOT)
			fail_msg("case %zu: %d", i, opens);
	}
}

static void encryption_is_answered_and_nothing_may_come_behind_it(void **state)
{
	struct rddr_opening_result result;
	struct fake_out said = {0};

	(void)state;
	fake_append(&said, gss, 8);
	assert_int_equal(look(0, &said, 0, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.reply_len, 1);
	assert_int_equal(*(const char *)result.reply, 'N');
	fake_append(&said, ssl, 8);
	assert_int_equal(look(0, &said, 8, &result), RDDR_OPENS_WAIT);
	assert_int_equal(result.replied, 16);
	out_startup(&said, "me", "shop");
	assert_int_equal(look(0, &said, 8, &result), RDDR_OPENS_NOT);
	assert_int_equal(look(0, &said, 16, &result), RDDR_OPENS);
	said.len = 16;
	fake_append(&said, ssl, 8);
	assert_int_equal(look(0, &said, 24, &result), RDDR_OPENS_NOT);
	free(said.data);
}

static void a_login_that_is_known_needs_no_partner(void **state)
{
	struct rddr_table *table = pg_fake_table(&session, PG_TABLE_STANDINGS, 1);
	struct rddr_opening_result result;
	struct fake_out said = {0};
	struct pg_standing *st = calloc(1, sizeof(*st));
	uint64_t key;

	(void)state;
	out_startup(&said, "me", "shop");
	assert_int_equal(look(0, &said, 0, &result), RDDR_OPENS);
	key = result.key;
	assert_true(rddr_pg_standing_set(st, 3, (struct slice){said.data, said.len}, (struct slice){0}));
	assert_true(rddr_pg_standing_put(st, pg_host(), table, rddr_pg_standing_identity(st, params)));
	assert_int_equal(look(0, &said, 0, &result), RDDR_OPENS_ALONE);
	said.len = 0;
	out_startup(&said, "you", "shop");
	assert_int_equal(look(0, &said, 0, &result), RDDR_OPENS);
	assert_int_not_equal(result.key, key);
	/* One whose number only happens to be the same. */
	assert_true(rddr_pg_standing_put(st, pg_host(), table,
					 rddr_pg_startup_identity(params, (struct slice){said.data, said.len})));
	assert_int_equal(look(0, &said, 0, &result), RDDR_OPENS);
	free(said.data);
	free(st);
}

static void parameters_that_are_ignored_are_no_part_of_it(void **state)
{
	static const char one[] = "\0\3\0\0user\0me\0application_name\0one\0",
			  two[] = "\0\3\0\1application_name\0two, and longer\0user\0me\0",
			  three[] = "\0\3\0\0user\0me\0x\0y\0";
	struct fake_out a = {0}, b = {0}, c = {0};
	struct slice name;

	(void)state;
	pg_message(&a, 0, one, sizeof(one));
	pg_message(&b, 0, two, sizeof(two));
	pg_message(&c, 0, three, sizeof(three));
	const struct slice of_a = {a.data, a.len}, of_b = {b.data, b.len}, of_c = {c.data, c.len};

	assert_int_equal(rddr_pg_startup_identity(params, of_a), rddr_pg_startup_identity(params, of_b));
	assert_true(rddr_pg_startup_same(params, of_a, of_b, &name));
	assert_false(rddr_pg_startup_same(params, of_a, of_c, &name));
	assert_true(slice_equal(name, slice_of("x")));
	free(a.data);
	free(b.data);
	free(c.data);
}

static void a_request_to_cancel_is_known_by_whom_it_is_for(void **state)
{
	static const uint8_t one[16] = "\0\0\0\20\4\322\26\56one.....", two[16] = "\0\0\0\20\4\322\26\56two.....";
	struct rddr_table *table = pg_fake_table(&session, PG_TABLE_CANCEL, 1);
	const uint64_t backend = 4711;
	struct rddr_opening_result result;
	uint64_t key;

	(void)state;
	assert_int_equal(out_open(&session, params, 0, false, one, 16, RDDR_END_OPEN, 0, &result), RDDR_OPENS_ENDS);
	pg_fake_put(table, one + 8, 8, &backend, 8, 1);
	pg_fake_put(table, two + 8, 8, &backend, 8, 1);
	assert_int_equal(out_open(&session, params, 0, false, one, 16, RDDR_END_OPEN, 0, &result), RDDR_OPENS);
	key = result.key;
	assert_int_equal(out_open(&session, params, 0, false, two, 16, RDDR_END_OPEN, 0, &result), RDDR_OPENS);
	assert_int_equal(result.key, key);
}

static void noise_that_was_seen_is_left_out(void **state)
{
	struct rddr_table *table = pg_fake_table(&session, PG_TABLE_NOISE, 1);
	const struct rddr_noise_seen seen = {.count = 1};
	struct rddr_opening_result of_a, of_b;
	struct fake_out a = {0}, b = {0};
	char field[PG_FIELD_ROOM];
	struct pg_shape shape;

	(void)state;
	out_query(&a, "insert into a values ('aa', 1)");
	out_query(&b, "insert into a values ('bb', 1)");
	rddr_pg_sql_shape(slice_of("insert into a values ('', 0)"), &shape);
	for (int filter = 0; filter < 2; filter++) {
		out_open(&session, params, KNOWN, filter, a.data, a.len, RDDR_END_OPEN, 0, &of_a);
		out_open(&session, params, KNOWN, filter, b.data, b.len, RDDR_END_OPEN, 0, &of_b);
		assert_int_not_equal(of_a.key, of_b.key);
		pg_fake_put(table, field, rddr_pg_sql_field(&shape, 'l', 2 - (unsigned)filter, field), &seen,
			    sizeof(seen), 1);
	}
	out_open(&session, params, KNOWN, true, a.data, a.len, RDDR_END_OPEN, 0, &of_a);
	out_open(&session, params, KNOWN, true, b.data, b.len, RDDR_END_OPEN, 0, &of_b);
	assert_int_equal(of_a.key, of_b.key);
	free(a.data);
	free(b.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exchanges_are_known_by_what_they_say, begin, end),
		cmocka_unit_test_setup_teardown(an_exchange_is_waited_for_until_it_is_whole, begin, end),
		cmocka_unit_test_setup_teardown(a_long_one_is_known_by_its_beginning, begin, end),
		cmocka_unit_test_setup_teardown(begin_is_answered_and_what_follows_counts, begin, end),
		cmocka_unit_test_setup_teardown(goodbyes_need_nobody, begin, end),
		cmocka_unit_test_setup_teardown(rests_of_a_copy_say_nothing, begin, end),
		cmocka_unit_test_setup_teardown(nonsense_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(encryption_is_answered_and_nothing_may_come_behind_it, begin, end),
		cmocka_unit_test_setup_teardown(a_login_that_is_known_needs_no_partner, begin, end),
		cmocka_unit_test_setup_teardown(parameters_that_are_ignored_are_no_part_of_it, begin, end),
		cmocka_unit_test_setup_teardown(a_request_to_cancel_is_known_by_whom_it_is_for, begin, end),
		cmocka_unit_test_setup_teardown(noise_that_was_seen_is_left_out, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
