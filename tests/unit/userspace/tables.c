/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tables.h"

static struct rddr_table *fresh(size_t entries)
{
	static unsigned number;
	char name[32];

	snprintf(name, sizeof(name), "t%u", number++);
	return rddr_tables_table(rddr_tables_of("service"), name, entries);
}

static bool put(struct rddr_table *t, const char *key, const char *value)
{
	return rddr_tables_put(t, key, strlen(key), value, strlen(value), 60);
}

static const char *get(struct rddr_table *t, const char *key)
{
	static char value[RDDR_TABLES_VALUE_MAX + 1];
	size_t len = RDDR_TABLES_VALUE_MAX;

	if (!rddr_tables_get(t, key, strlen(key), value, &len))
		return NULL;
	value[len] = '\0';
	return value;
}

static void one_by_name(void **state)
{
	(void)state;
	struct tables *a = rddr_tables_of("a"), *b = rddr_tables_of("b");

	assert_non_null(a);
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(a, rddr_tables_of("a"));
	assert_ptr_equal(rddr_tables_table(a, "x", 10), rddr_tables_table(a, "x", 99));
	assert_ptr_not_equal(rddr_tables_table(a, "x", 10), rddr_tables_table(a, "y", 10));
	assert_ptr_not_equal(rddr_tables_table(a, "x", 10), rddr_tables_table(b, "x", 10));
}

static void puts_and_gets(void **state)
{
	struct rddr_table *t = fresh(100);
	char longest[RDDR_TABLES_VALUE_MAX + 1] = {0};
	size_t len = 3;

	(void)state;
	assert_null(get(t, "key"));
	assert_true(put(t, "key", "value"));
	assert_string_equal(get(t, "key"), "value");
	assert_true(put(t, "key", "other"));
	assert_string_equal(get(t, "key"), "other");
	assert_true(put(t, "key", "a longer one"));
	assert_string_equal(get(t, "key"), "a longer one");
	assert_int_equal(rddr_tables_count(t), 1);
	assert_null(get(t, "ke"));
	assert_null(get(t, "keys"));
	assert_false(rddr_tables_get(t, "key", 3, longest, &len)); /* no room */
	assert_int_equal(len, 3);
	assert_true(rddr_tables_put(t, "empty", 5, "", 0, 60));
	assert_string_equal(get(t, "empty"), "");
	assert_false(rddr_tables_put(t, "", 0, "x", 1, 60));
	assert_true(rddr_tables_put(t, longest, RDDR_TABLES_KEY_MAX, longest, RDDR_TABLES_VALUE_MAX, 60));
	assert_false(rddr_tables_put(t, longest, RDDR_TABLES_KEY_MAX + 1, "x", 1, 60));
	assert_false(rddr_tables_put(t, "x", 1, longest, RDDR_TABLES_VALUE_MAX + 1, 60));
	rddr_tables_clear(t);
	assert_int_equal(rddr_tables_count(t), 0);
	assert_null(get(t, "key"));
}

/* Every key that is found has its latest value, and the latest ones are found. */
static void against_a_model(void **state)
{
	struct rddr_table *t = fresh(500);
	enum { KEYS = 3000, STEPS = 60000 };
	static unsigned version[KEYS], step_of[KEYS];
	char key[64], value[512];
	unsigned found = 0;

	(void)state;
	srand(1);
	for (unsigned step = 1; step <= STEPS; step++) {
		unsigned k = (unsigned)rand() % KEYS;

		snprintf(key, sizeof(key), "key-%u", k);
		snprintf(value, sizeof(value), "%u:%0*u", ++version[k], rand() % 400 + 1, k);
		step_of[k] = step;
		assert_true(put(t, key, value));
		assert_string_equal(get(t, key), value);
		assert_true(rddr_tables_count(t) <= 516);
		k = (unsigned)rand() % KEYS;
		snprintf(key, sizeof(key), "key-%u", k);
		const char *is = get(t, key);
		if (is) {
			assert_int_equal(strtoul(is, NULL, 10), version[k]);
			assert_int_equal(strtoul(strchr(is, ':') + 1, NULL, 10), k);
			found++;
		} else if (step_of[k]) {
			/* What was put just now, anew or again, is not what goes first. */
			assert_true(step - step_of[k] > 20);
		}
	}
	assert_true(found > STEPS / 20);
}

struct listing {
	unsigned n, ttls;
};

static void list(void *ctx, const void *key, size_t keylen, const void *value, size_t len, uint32_t ttl)
{
	struct listing *l = ctx;

	assert_true(keylen > 0 && len > 0);
	assert_memory_equal(key, value, 1);
	l->n++;
	l->ttls += ttl;
}

static void lists_what_is_there(void **state)
{
	struct rddr_table *t = fresh(1000);
	struct listing l = {0};
	char key[32];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(key, sizeof(key), "%u", i);
		assert_true(put(t, key, key));
		assert_true(put(t, key, "12345")); /* longer: an entry of its own in the ring */
		assert_true(put(t, key, key));
	}
	rddr_tables_each(t, list, &l);
	assert_int_equal(l.n, 300);
	assert_true(l.ttls > 300 * 50);
	assert_int_equal(rddr_tables_count(t), 300);
}

/* ---- readers and writers at once ---- */

static atomic_bool over;
static struct rddr_table *shared;

static void *write_on(void *ctx)
{
	unsigned me = *(unsigned *)ctx, n = 0;
	char key[32], value[400];

	while (!atomic_load(&over)) {
		/* Where threads take turns (valgrind), the writers must not take them all. */
		if (n % 64 == 0)
			sched_yield();
		unsigned k = (me * 7 + n++) % 200;
		/* A value says its key over and over, in a length that changes. */
		size_t len = (n * 31 % 40 + 1) * 8;

		snprintf(key, sizeof(key), "%08u", k);
		for (size_t i = 0; i < len; i += 8)
			memcpy(value + i, key, 8);
		if (!rddr_tables_put(shared, key, 8, value, len, 60))
			abort();
	}
	return NULL;
}

static void *read_on(void *ctx)
{
	char key[32], value[400];
	unsigned long *hits = ctx;

	for (unsigned n = 0; n < 100000; n++) {
		size_t len = sizeof(value);

		snprintf(key, sizeof(key), "%08u", n % 200);
		if (!rddr_tables_get(shared, key, 8, value, &len))
			continue;
		if (!len || len % 8)
			abort();
		for (size_t i = 0; i < len; i += 8) {
			if (memcmp(value + i, key, 8) != 0)
				abort();
		}
		++*hits;
	}
	return NULL;
}

static void readers_see_whole_values(void **state)
{
	pthread_t writers[2], readers[2];
	unsigned number[2] = {1, 2};
	unsigned long hits[2] = {0};

	(void)state;
	shared = fresh(100);
	/* Readers may be through before a writer has had its first turn. */
	assert_true(rddr_tables_put(shared, "00000000", 8, "00000000", 8, 60));
	for (int i = 0; i < 2; i++) {
		pthread_create(&writers[i], NULL, write_on, &number[i]);
		pthread_create(&readers[i], NULL, read_on, &hits[i]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(readers[i], NULL);
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(writers[i], NULL);
	assert_true(hits[0] && hits[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_by_name),
		cmocka_unit_test(puts_and_gets),
		cmocka_unit_test(against_a_model),
		cmocka_unit_test(lists_what_is_there),
		cmocka_unit_test(readers_see_whole_values),
	};

	return cmocka_run_group_tests_name("tables", tests, NULL, NULL);
}
