// SPDX-License-Identifier: BSD-2-Clause
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pg_sql.h"

static void statements_end_where_they_end(void **state)
{
	static const struct {
		const char *text, *statements[4];
	} cases[] = {
		{"", {0}},
		{" ; ;\n-- nothing\n;/* nor here */", {0}},
		{"select 1", {"select 1"}},
		{"select 1;", {"select 1"}},
		{"select 1; select 2", {"select 1", " select 2"}},
		{"select ';', \";\", E'\\';', $$;$$, $a$;$$;$a$;b",
		 {"select ';', \";\", E'\\';', $$;$$, $a$;$$;$a$", "b"}},
		{"select 'it''s;' /* ; /* ; */ ; */ -- ;\n; x", {"select 'it''s;' /* ; /* ; */ ; */ -- ;\n", " x"}},
		{"select U&';', x'41;', $1;2", {"select U&';', x'41;', $1", "2"}},
		{"select 'open; select 2", {"select 'open; select 2"}},
		{"select $a$ open; select 2", {"select $a$ open; select 2"}},
		{"select a$b$c; select 2", {"select a$b$c", " select 2"}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct slice rest = slice_of(cases[i].text), statement;
		unsigned n = 0;

		while (rddr_pg_sql_statement(&rest, &statement)) {
			if (n >= 4 || !cases[i].statements[n] ||
			    !slice_equal(statement, slice_of(cases[i].statements[n])))
				fail_msg("%s: statement %u is '%.*s'", cases[i].text, n, (int)statement.len,
					 (const char *)statement.data);
			n++;
		}
		if (n < 4 && cases[i].statements[n])
			fail_msg("%s: %u statements", cases[i].text, n);
	}
}

static void what_is_left_behind_is_told_by_the_text(void **state)
{
	static const struct {
		const char *text, *name;
		enum pg_effect effect;
		bool resets;
	} cases[] = {
		{"select 1", "", PG_EFFECT_NONE, false},
		{"SET search_path TO a, b", "search_path", PG_EFFECT_SETTING, false},
		{"/* hi */ set Session \"Search_Path\" = a", "\"Search_Path\"", PG_EFFECT_SETTING, false},
		{"set my.own = 'x'", "my.own", PG_EFFECT_SETTING, false},
		{"SET TIME ZONE 'UTC'", "timezone", PG_EFFECT_SETTING, false},
		{"SET NAMES 'utf8'", "client_encoding", PG_EFFECT_SETTING, false},
		{"SET ROLE other", "role", PG_EFFECT_SETTING, false},
		{"SET SESSION AUTHORIZATION other", "session authorization", PG_EFFECT_SETTING, false},
		{"SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "session characteristics", PG_EFFECT_SETTING,
		 false},
		{"SET a TO DEFAULT", "a", PG_EFFECT_SETTING, true},
		{"SET a = default", "a", PG_EFFECT_SETTING, true},
		{"RESET a", "a", PG_EFFECT_SETTING, true},
		{"RESET TIME ZONE", "timezone", PG_EFFECT_SETTING, true},
		{"RESET ALL", "", PG_EFFECT_RESET_ALL, false},
		{"SET LOCAL a = 1", "", PG_EFFECT_LOCAL, false},
		{"SET TRANSACTION READ ONLY", "", PG_EFFECT_LOCAL, false},
		{"SET CONSTRAINTS ALL DEFERRED", "", PG_EFFECT_NONE, false},
		{"SET 1", "", PG_EFFECT_STICKS, false},
		{"DISCARD ALL", "", PG_EFFECT_DISCARD, false},
		{"DISCARD PLANS", "", PG_EFFECT_NONE, false},
		{"DEALLOCATE PREPARE x", "x", PG_EFFECT_DEALLOCATE, false},
		{"DEALLOCATE ALL", "", PG_EFFECT_DEALLOCATE, false},
		{"PREPARE x AS SELECT 1", "", PG_EFFECT_STICKS, false},
		{"PREPARE TRANSACTION 'x'", "", PG_EFFECT_NONE, false},
		{"LISTEN a", "", PG_EFFECT_STICKS, false},
		{"DECLARE c CURSOR WITH HOLD FOR SELECT 1", "", PG_EFFECT_STICKS, false},
		{"DECLARE c CURSOR FOR SELECT 1 FOR UPDATE", "", PG_EFFECT_NONE, false},
		{"CREATE TABLE temp (a int)", "", PG_EFFECT_NONE, false},
		{"CREATE TEMP TABLE a (a int)", "", PG_EFFECT_STICKS, false},
		{"create or replace local temporary view a as select 1", "", PG_EFFECT_STICKS, false},
		{"select 1 into global temp a", "", PG_EFFECT_STICKS, false},
		{"select 1 into a", "", PG_EFFECT_NONE, false},
		{"select set_config('a', 'b', false)", "", PG_EFFECT_STICKS, false},
		{"select 'set_config'", "", PG_EFFECT_NONE, false},
		{"select pg_catalog.\"pg_advisory_lock\"(1)", "", PG_EFFECT_STICKS, false},
		{"select pg_advisory_xact_lock(1)", "", PG_EFFECT_NONE, false},
		{"insert into pg_temp.a values (1)", "", PG_EFFECT_STICKS, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pg_statement statement;

		rddr_pg_sql_classify(slice_of(cases[i].text), &statement);
		if (statement.effect != cases[i].effect ||
		    (statement.effect != PG_EFFECT_STICKS && strcmp(statement.name, cases[i].name) != 0) ||
		    (statement.effect == PG_EFFECT_SETTING && statement.resets != cases[i].resets) || statement.begins)
			fail_msg("%s: effect %d, name '%s', resets %d", cases[i].text, statement.effect, statement.name,
				 statement.resets);
	}
}

static void a_long_name_sticks(void **state)
{
	char text[200] = "SET ";
	struct pg_statement statement;

	(void)state;
	memset(text + 4, 'a', 100);
	rddr_pg_sql_classify(slice_of(text), &statement);
	assert_int_equal(statement.effect, PG_EFFECT_STICKS);
}

static void beginnings_are_known_where_they_cannot_fail(void **state)
{
	static const struct {
		const char *text;
		bool begins, starts;
	} cases[] = {
		{"BEGIN", true, false},
		{"begin work", true, false},
		{"BEGIN TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY, DEFERRABLE", true, false},
		{"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE NOT DEFERRABLE", true, false},
		{"START TRANSACTION", true, true},
		{"START TRANSACTION ISOLATION LEVEL READ COMMITTED", true, true},
		{"BEGIN ISOLATION LEVEL SNAPSHOT", false, false},
		{"BEGIN READ", false, false},
		{"BEGIN READ ONLY,", false, false},
		{"BEGIN SELECT 1", false, false},
		{"BEGIN ISOLATION LEVEL SERIALIZABLE ISOLATION LEVEL READ COMMITTED", false, false},
		{"START", false, false},
		{"COMMIT", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pg_statement statement;

		rddr_pg_sql_classify(slice_of(cases[i].text), &statement);
		if (statement.begins != cases[i].begins || statement.starts != cases[i].starts)
			fail_msg("%s: begins %d, starts %d", cases[i].text, statement.begins, statement.starts);
	}
}

static void what_was_done_before_is_asked_for_by_select(void **state)
{
	struct pg_statement statement;

	(void)state;
	rddr_pg_sql_classify(slice_of("SELECT currval('a')"), &statement);
	assert_true(statement.remembers);
	rddr_pg_sql_classify(slice_of("select pg_catalog.lastval()"), &statement);
	assert_true(statement.remembers);
	rddr_pg_sql_classify(slice_of("INSERT INTO a DEFAULT VALUES RETURNING currval('a')"), &statement);
	assert_false(statement.remembers);
	rddr_pg_sql_classify(slice_of("select 'currval'"), &statement);
	assert_false(statement.remembers);
}

static void a_shape_is_what_is_left_without_literals(void **state)
{
	static const char *const same[] = {
		"select a from b where c = 1",
		"select  a from b\nwhere c = 1.5e-3",
		"select a from b where c = 'x;y'",
		"select a from b where c = $$x$$",
	};
	static const char *const others[] = {
		"select a from b where c = d",	   "select a from b where c = 1 or 2",
		"select A from b where c = 1",	   "select a from b where c = /* x */ 1",
		"select a from b where c = \"1\"",
	};
	struct pg_shape first, shape;
	char field[PG_FIELD_ROOM];

	(void)state;
	rddr_pg_sql_shape(slice_of(same[0]), &first);
	for (size_t i = 1; i < sizeof(same) / sizeof(same[0]); i++) {
		rddr_pg_sql_shape(slice_of(same[i]), &shape);
		if (shape.hash != first.hash)
			fail_msg("%s", same[i]);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		rddr_pg_sql_shape(slice_of(others[i]), &shape);
		if (shape.hash == first.hash)
			fail_msg("%s", others[i]);
	}
	assert_string_equal(first.head, "select a from b where c= ?");
	assert_true(rddr_pg_sql_field(&first, 'l', 1, field) < sizeof(field));
	assert_memory_equal(field, "sql:select a from b where c= ? l1 ", 34);
}

static void what_lasts_of_a_text(void **state)
{
	static const struct {
		const char *text;
		enum pg_lasting lasting;
		bool cut, one;
	} cases[] = {
		{"select 1", PG_LASTING_NOTHING, false, false},
		{" /* a */ -- b\n InSeRt into t values (1);", PG_LASTING_NOTHING, false, false},
		{"(select 1) union (select 2)", PG_LASTING_NOTHING, false, false},
		{"with a as (delete from t returning *) select * from a", PG_LASTING_NOTHING, false, false},
		{"", PG_LASTING_NOTHING, false, false},
		/* Two of them may have a transaction between them; what is not known, and what is not seen, may be
		   anything. */
		{"select 1; select 2", PG_LASTING_OTHER, false, false},
		{"call p()", PG_LASTING_OTHER, false, false},
		{"do $$ begin commit; end $$", PG_LASTING_OTHER, false, false},
		{"begin", PG_LASTING_OTHER, false, false},
		{"rollback", PG_LASTING_OTHER, false, false},
		{"prepare a as select 1", PG_LASTING_OTHER, false, false},
		{"\"commit\"", PG_LASTING_OTHER, false, false},
		{"select 'commit'", PG_LASTING_NOTHING, false, false},
		{"select 1", PG_LASTING_COMMITS, true, false},
		{"select 1", PG_LASTING_NOTHING, true, true},
		{"/* select", PG_LASTING_COMMITS, true, true},
		{"commit", PG_LASTING_COMMITS, false, true},
		{"Commit work and chain", PG_LASTING_COMMITS, false, true},
		{"/* x */ end transaction;", PG_LASTING_COMMITS, false, false},
		{"prepare/**/transaction 'a'", PG_LASTING_COMMITS, false, true},
		{"prepare", PG_LASTING_COMMITS, true, true},
		{"commit prepared 'a'", PG_LASTING_COMMITS, false, true},
		{"insert into t values (1); commit; select 1", PG_LASTING_COMMITS, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum pg_lasting lasting = rddr_pg_sql_lasting(slice_of(cases[i].text), cases[i].cut, cases[i].one);

		if (lasting != cases[i].lasting)
			fail_msg("%s: %d", cases[i].text, (int)lasting);
	}
	assert_true(rddr_pg_sql_names(slice_of("select PG_terminate_backend(1)"), "pg_terminate_backend"));
	assert_true(rddr_pg_sql_names(slice_of("select pg_catalog.pg_terminate_backend(1)"), "pg_terminate_backend"));
	assert_false(rddr_pg_sql_names(slice_of("select 'pg_terminate_backend' -- pg_terminate_backend"),
				       "pg_terminate_backend"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_end_where_they_end),
		cmocka_unit_test(what_is_left_behind_is_told_by_the_text),
		cmocka_unit_test(a_long_name_sticks),
		cmocka_unit_test(beginnings_are_known_where_they_cannot_fail),
		cmocka_unit_test(what_was_done_before_is_asked_for_by_select),
		cmocka_unit_test(a_shape_is_what_is_left_without_literals),
		cmocka_unit_test(what_lasts_of_a_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
