// SPDX-License-Identifier: BSD-2-Clause
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

static const struct table_column columns[] = {{"NAME", TABLE_SHRINKS}, {"N", TABLE_RIGHT}, {"WHERE", TABLE_SHRINKS}};

/* Prints and frees the table, and compares. */
static void assert_prints(struct table *table, unsigned indent, unsigned width, const char *expected)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(rddr_table_print(table, out, indent, width), 0);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	rddr_table_free(&table);
	assert_null(table);
}

static void test_aligned(void **state)
{
	struct table *table = rddr_table_new(columns, 3);

	(void)state;
	rddr_table_cell(table, "a");
	rddr_table_cellf(table, "%d", 1000);
	rddr_table_cell(table, "here");
	rddr_table_cell(table, "longer name");
	rddr_table_cell(table, "2");
	rddr_table_cell(table, NULL);
	assert_prints(table, 0, 0,
		      "NAME            N  WHERE\n"
		      "a            1000  here\n"
		      "longer name     2  -\n");
}

static void test_empty(void **state)
{
	static const struct table_column untitled[] = {{"", 0}, {"", 0}};
	struct table *table = rddr_table_new(columns, 3);

	(void)state;
	assert_prints(table, 2, 0, "  NAME  N  WHERE\n");
	table = rddr_table_new(untitled, 2);
	assert_prints(table, 0, 0, "");
	table = rddr_table_new(untitled, 2);
	rddr_table_cell(table, "k");
	rddr_table_cell(table, "");
	rddr_table_cell(table, "key");
	assert_prints(table, 2, 0, "  k    -\n  key\n");
	table = NULL;
	rddr_table_free(&table);
	rddr_table_cell(NULL, "nothing happens");
	assert_int_equal(rddr_table_print(NULL, stdout, 0, 0), -ENOMEM);
}

/* Characters are counted, not bytes, and what would act on a terminal is shown instead. */
static void test_characters(void **state)
{
	struct table *table = rddr_table_new(columns, 3);

	(void)state;
	rddr_table_cell(table, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
	rddr_table_cell(table, "1");
	rddr_table_cell(table, "x");
	rddr_table_cell(table, "\x1b[m");
	rddr_table_cell(table, "1");
	rddr_table_cell(table, "\n");
	assert_prints(table, 0, 0,
		      "NAME    N  WHERE\n"
		      "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9   1  x\n"
		      "\\x1b[m  1  \\x0a\n");
}

static struct table *wide(void)
{
	struct table *table = rddr_table_new(columns, 3);

	rddr_table_cell(table,
			"\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"); /* 10 */
	rddr_table_cell(table, "123456789012");
	rddr_table_cell(table, "abcdefghijklmnopqrst");
	return table;
}

/* The widest of those that may gives way first; numbers never do. */
static void test_shrinks(void **state)
{
	(void)state;
	assert_prints(wide(), 0, 46,
		      "NAME                   N  WHERE\n"
		      "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9  123456789012  "
		      "abcdefghijklmnopqrst\n");
	assert_prints(wide(), 0, 40,
		      "NAME                   N  WHERE\n"
		      "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9  123456789012  "
		      "abcdefghijk...\n");
	assert_prints(wide(), 4, 34,
		      "    NAME                N  WHERE\n"
		      "    \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9...  123456789012  abcd...\n");
	assert_prints(wide(), 0, 1,
		      "NAME               N  WHERE\n"
		      "\xc3\xa9\xc3\xa9\xc3\xa9...  123456789012  abc...\n");
}

static void test_many_rows(void **state)
{
	struct table *table = rddr_table_new(columns, 3);
	size_t len = 0;
	char *text = NULL, *at;
	FILE *out = open_memstream(&text, &len);
	unsigned lines = 0;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		rddr_table_cellf(table, "row %d", i);
		rddr_table_cellf(table, "%d", i * 7);
		rddr_table_cell(table, "w");
	}
	assert_int_equal(rddr_table_print(table, out, 0, 80), 0);
	fclose(out);
	rddr_table_free(&table);
	for (at = text; *at; at = strchr(at, '\n') + 1)
		lines++;
	assert_int_equal(lines, 5001);
	assert_int_equal(len, 5001 * strlen("row 4999  34993  WHERE\n") - 5000 * 4);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_aligned), cmocka_unit_test(test_empty),	  cmocka_unit_test(test_characters),
		cmocka_unit_test(test_shrinks), cmocka_unit_test(test_many_rows),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
