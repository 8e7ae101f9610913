// SPDX-License-Identifier: BSD-2-Clause
#include <netinet/in.h>
#include <pthread.h>

#include "hosts.h"
#include "net.h"

static void test_key(void **state)
{
	struct addr a = at("10.0.0.1:80"), port = at("10.0.0.1:81"), host = at("10.0.0.2:80"), six = at("[::1]:80");
	const struct {
		int protocol;
		const struct addr *address;
	} others[] = {{IPPROTO_TCP, &port}, {IPPROTO_TCP, &host}, {IPPROTO_TCP, &six}, {IPPROTO_UDP, &a}};
	struct host_state *first = rddr_hosts_get(IPPROTO_TCP, &a), *again = rddr_hosts_get(IPPROTO_TCP, &a);

	(void)state;
	assert_ptr_equal(first, again);
	assert_true(rddr_hosts_mark_down(first, 1000, 2000));
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		struct host_state *other = rddr_hosts_get(others[i].protocol, others[i].address);

		assert_ptr_not_equal(other, first);
		assert_false(rddr_hosts_is_down(other, 1000));
		rddr_hosts_put(&other);
		assert_null(other);
	}
	/* It is remembered as long as anybody names it. */
	rddr_hosts_put(&again);
	again = rddr_hosts_get(IPPROTO_TCP, &a);
	assert_true(rddr_hosts_is_down(again, 1000));
	rddr_hosts_put(&again);
	rddr_hosts_put(&first);
	rddr_hosts_put(&first);
	first = rddr_hosts_get(IPPROTO_TCP, &a);
	assert_false(rddr_hosts_is_down(first, 1000));
	rddr_hosts_put(&first);
}

static void test_expiry(void **state)
{
	struct addr a = at("10.0.0.1:80");
	struct host_state *h = rddr_hosts_get(IPPROTO_TCP, &a);

	(void)state;
	assert_true(rddr_hosts_mark_down(h, 1000, 2000));
	assert_false(rddr_hosts_mark_down(h, 1500, 2500)); /* no news */
	assert_int_equal(rddr_hosts_down_left(h, 2000), 500);
	assert_true(rddr_hosts_is_down(h, 2499));
	assert_false(rddr_hosts_is_down(h, 2500));
	assert_true(rddr_hosts_mark_down(h, 2500, 3500));
	assert_true(rddr_hosts_mark_up(h));
	assert_false(rddr_hosts_mark_up(h));
	assert_false(rddr_hosts_is_down(h, 2600));

	/* What a check finds neither expires nor is taken off by a session. */
	rddr_hosts_check_begins(h);
	assert_false(rddr_hosts_checked(h, true));
	assert_true(rddr_hosts_checked(h, false));
	assert_false(rddr_hosts_checked(h, false));
	assert_false(rddr_hosts_mark_up(h));
	assert_true(rddr_hosts_is_down(h, 1000000));
	assert_int_equal(rddr_hosts_down_left(h, 1000000), 0);
	assert_true(rddr_hosts_checked(h, true));
	assert_false(rddr_hosts_is_down(h, 1000000));

	/* Who checks next goes on with what was found; when nobody does, it is forgotten. */
	assert_true(rddr_hosts_checked(h, false));
	rddr_hosts_check_begins(h);
	rddr_hosts_check_ends(h);
	assert_true(rddr_hosts_is_down(h, 1000000));
	rddr_hosts_check_ends(h);
	assert_false(rddr_hosts_is_down(h, 1000000));
	rddr_hosts_put(&h);
}

static void test_ring(void **state)
{
	struct host hosts[] = {
		{.address = at("10.0.0.1:80")}, {.address = at("10.0.0.2:80")}, {.address = at("[::1]:1")}};
	struct ring *r = rddr_hosts_ring("a/b", hosts, 3);

	(void)state;
	assert_int_equal(rddr_hosts_current(r), 0);
	assert_int_equal(rddr_hosts_turn(r), 0);
	assert_int_equal(rddr_hosts_turn(r), 1);
	assert_int_equal(rddr_hosts_turn(r), 2);
	assert_int_equal(rddr_hosts_current(r), 0);
	rddr_hosts_move(r, 0, 2);
	assert_int_equal(rddr_hosts_current(r), 2);
	rddr_hosts_move(r, 0, 1); /* somebody moved on meanwhile */
	assert_int_equal(rddr_hosts_current(r), 2);

	struct ring *same = rddr_hosts_ring("a/b", hosts, 3), *other = rddr_hosts_ring("a/c", hosts, 3),
		    *fewer = rddr_hosts_ring("a/b", hosts, 2);
	assert_ptr_equal(same, r);
	assert_ptr_not_equal(other, r);
	assert_ptr_not_equal(fewer, r);
	rddr_hosts_ring_put(&fewer);
	rddr_hosts_ring_put(&other);
	rddr_hosts_ring_put(&same);
	assert_int_equal(rddr_hosts_current(r), 2);
	rddr_hosts_ring_put(&r);
	rddr_hosts_ring_put(&r);
}

static void *turn_many(void *ring)
{
	for (int i = 0; i < 30000; i++)
		rddr_hosts_turn(ring);
	return NULL;
}

static void test_threads(void **state)
{
	struct host hosts[] = {
		{.address = at("10.0.0.1:80")}, {.address = at("10.0.0.2:80")}, {.address = at("[::1]:1")}};
	struct ring *r = rddr_hosts_ring("t", hosts, 3);
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, turn_many, r), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(rddr_hosts_current(r), 4 * 30000 % 3);
	rddr_hosts_ring_put(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
