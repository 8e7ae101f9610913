/* SPDX-License-Identifier: BSD-2-Clause */
/* The ring of ticket keys, on a clock of the test's own. */
#include "transport_tls_own.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define HOUR 3600000u

static void test_one_ring_for_a_service(void **state)
{
	struct tls_tickets *shop = rddr_tls_tickets("shop", HOUR);

	(void)state;
	assert_non_null(shop);
	assert_ptr_equal(rddr_tls_tickets("shop", 2 * HOUR), shop);
	assert_ptr_not_equal(rddr_tls_tickets("mail", HOUR), shop);
}

static void test_a_key_encrypts_for_a_lifetime_and_decrypts_for_another(void **state)
{
	struct tls_tickets *tickets = rddr_tls_tickets("rotated", HOUR);
	const struct tls_ticket_key *first, *second;
	uint8_t name[TLS_TICKET_NAME];
	bool old = true;

	(void)state;
	first = rddr_tls_tickets_current(tickets, 5);
	assert_non_null(first);
	memcpy(name, first->name, sizeof(name));
	assert_ptr_equal(rddr_tls_tickets_current(tickets, 5 + HOUR), first);
	assert_ptr_equal(rddr_tls_tickets_find(tickets, name, 5 + HOUR, &old), first);
	assert_false(old);

	second = rddr_tls_tickets_current(tickets, 6 + HOUR);
	assert_ptr_not_equal(second, first);
	assert_memory_not_equal(second->name, name, sizeof(name));
	assert_memory_not_equal(second->aes, first->aes, sizeof(first->aes));
	assert_memory_not_equal(second->hmac, first->hmac, sizeof(first->hmac));
	assert_ptr_equal(rddr_tls_tickets_find(tickets, name, 5 + 2 * HOUR, &old), first);
	assert_true(old);
	/* Nothing that it encrypted lives any longer. */
	assert_null(rddr_tls_tickets_find(tickets, name, 6 + 2 * HOUR, &old));
}

static void test_without_anybody_the_key_is_replaced_when_it_is_needed(void **state)
{
	struct tls_tickets *tickets = rddr_tls_tickets("quiet", HOUR);
	const struct tls_ticket_key *first = rddr_tls_tickets_current(tickets, 1);
	uint8_t name[TLS_TICKET_NAME];
	bool old;

	(void)state;
	memcpy(name, first->name, sizeof(name));
	/* Nobody came for so long that no worker made another one; it is of no use all the same. */
	assert_null(rddr_tls_tickets_find(tickets, name, 2 + 2 * HOUR, &old));
	assert_ptr_not_equal(rddr_tls_tickets_current(tickets, 100 * HOUR), first);
	assert_null(rddr_tls_tickets_find(tickets, name, 100 * HOUR, &old));
}

static void test_many_rotations(void **state)
{
	struct tls_tickets *tickets = rddr_tls_tickets("turning", HOUR);
	uint8_t before[TLS_TICKET_NAME] = {0};
	bool old;

	(void)state;
	for (uint64_t i = 1; i < 20; i++) {
		uint64_t now = i * (HOUR + 1);
		const struct tls_ticket_key *key = rddr_tls_tickets_current(tickets, now);

		assert_non_null(key);
		assert_memory_not_equal(key->name, before, sizeof(before));
		if (i > 1)
			assert_non_null(rddr_tls_tickets_find(tickets, before, now, &old));
		memcpy(before, key->name, sizeof(before));
	}
}

static void test_a_name_that_nobody_has(void **state)
{
	struct tls_tickets *tickets = rddr_tls_tickets("stranger", HOUR);
	const uint8_t zeros[TLS_TICKET_NAME] = {0};
	bool old;

	(void)state;
	assert_null(rddr_tls_tickets_find(tickets, zeros, 1, &old));
	assert_non_null(rddr_tls_tickets_current(tickets, 1));
	assert_null(rddr_tls_tickets_find(tickets, zeros, 1, &old));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_ring_for_a_service),
		cmocka_unit_test(test_a_key_encrypts_for_a_lifetime_and_decrypts_for_another),
		cmocka_unit_test(test_without_anybody_the_key_is_replaced_when_it_is_needed),
		cmocka_unit_test(test_many_rotations),
		cmocka_unit_test(test_a_name_that_nobody_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
