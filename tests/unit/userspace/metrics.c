// SPDX-License-Identifier: BSD-2-Clause
#include "metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define THREADS 8
#define ROUNDS	20000

static void test_names(void **state)
{
	(void)state;
	assert_string_equal(rddr_metrics_name(METRIC_sessions), "sessions");
	assert_string_equal(rddr_metrics_name(METRIC_evidence_dropped), "evidence_dropped");
	assert_string_equal(rddr_metrics_help(METRIC_sessions), "sessions begun");
	assert_string_equal(rddr_metrics_name(METRICS), "unknown");
	assert_string_equal(rddr_metrics_help(METRICS), "");
	for (int i = 0; i < METRICS; i++) {
		assert_true(*rddr_metrics_name((enum metric)i));
		assert_true(*rddr_metrics_help((enum metric)i));
	}
}

static void test_sets(void **state)
{
	struct metrics_set *own = rddr_metrics_set(NULL), *a, *b;
	char name[] = "set-a";

	(void)state;
	assert_non_null(own);
	assert_null(rddr_metrics_set_name(own));
	a = rddr_metrics_set(name);
	name[0] = 'x'; /* the set keeps a name of its own */
	b = rddr_metrics_set("set-b");
	assert_non_null(a);
	assert_non_null(b);
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(rddr_metrics_set("set-a"), a);
	assert_ptr_equal(rddr_metrics_set(NULL), own);
	assert_string_equal(rddr_metrics_set_name(a), "set-a");
	for (int i = 0; i < METRICS; i++)
		assert_int_equal(rddr_metrics_read(a, (enum metric)i), 0);
}

struct seen {
	const struct metrics_set *sets[8];
	unsigned n;
};

static void see(void *ctx, const struct metrics_set *set)
{
	struct seen *seen = ctx;

	if (seen->n < 8)
		seen->sets[seen->n] = set;
	seen->n++;
}

static void test_each(void **state)
{
	struct seen seen = {0};
	const struct metrics_set *a = rddr_metrics_set("set-a"), *b = rddr_metrics_set("set-b");

	(void)state;
	rddr_metrics_each(see, &seen);
	assert_int_equal(seen.n, 3);
	assert_ptr_equal(seen.sets[0], rddr_metrics_set(NULL));
	assert_ptr_equal(seen.sets[1], a);
	assert_ptr_equal(seen.sets[2], b);
}

static void test_counts_apart(void **state)
{
	struct metrics_set *a = rddr_metrics_set("apart-a"), *b = rddr_metrics_set("apart-b");

	(void)state;
	/* A thread without a part counts as well. */
	rddr_metrics_add(a, METRIC_bytes_in, UINT32_MAX);
	rddr_metrics_thread(0);
	rddr_metrics_add(a, METRIC_bytes_in, UINT32_MAX);
	rddr_metrics_count(a, METRIC_denied);
	rddr_metrics_count(b, METRIC_denied);
	rddr_metrics_thread(METRICS_PARTS - 1);
	rddr_metrics_count(a, METRIC_denied);
	rddr_metrics_thread(METRICS_PARTS); /* no such part */
	rddr_metrics_count(a, METRIC_denied);
	assert_int_equal(rddr_metrics_read(a, METRIC_bytes_in), (uint64_t)UINT32_MAX * 2);
	assert_int_equal(rddr_metrics_read(a, METRIC_denied), 3);
	assert_int_equal(rddr_metrics_read(b, METRIC_denied), 1);
	assert_int_equal(rddr_metrics_read(a, METRIC_sessions), 0);
}

static struct metrics_set *shared;
static atomic_bool finished;

static void *count(void *ctx)
{
	rddr_metrics_thread((unsigned)(uintptr_t)ctx);
	for (unsigned i = 0; i < ROUNDS; i++) {
		rddr_metrics_count(shared, METRIC_dials);
		rddr_metrics_add(shared, METRIC_bytes_out, 3);
	}
	return NULL;
}

/* What is read while others count only ever grows. */
static void *watch(void *ctx)
{
	uint64_t last = 0;

	while (!atomic_load(&finished)) {
		uint64_t now = rddr_metrics_read(shared, METRIC_dials);

		if (now < last)
			return ctx;
		last = now;
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS], watcher;
	void *shrank = NULL;

	(void)state;
	shared = rddr_metrics_set("shared");
	assert_int_equal(pthread_create(&watcher, NULL, watch, &shared), 0);
	/* The last two have no part of their own and share. */
	for (unsigned i = 0; i < THREADS; i++) {
		uintptr_t part = i < THREADS - 2 ? i : METRICS_PARTS;

		assert_int_equal(pthread_create(&threads[i], NULL, count, (void *)part), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&finished, true);
	pthread_join(watcher, &shrank);
	assert_null(shrank);
	assert_int_equal(rddr_metrics_read(shared, METRIC_dials), THREADS * ROUNDS);
	assert_int_equal(rddr_metrics_read(shared, METRIC_bytes_out), THREADS * ROUNDS * 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	     cmocka_unit_test(test_sets),    cmocka_unit_test(test_each),
		cmocka_unit_test(test_counts_apart), cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
