// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config.h"
#include "own.h"
#include "steering_table.h"

/* eth0 and eth1 exist. */
static unsigned ifindex(const char *name)
{
	return !strcmp(name, "eth0") ? 7 : !strcmp(name, "eth1") ? 8 : 0;
}

static struct config *load(const char *yaml)
{
	struct config *config = NULL;

	assert_int_equal(rddr_config_parse("test", yaml, strlen(yaml), &config), 0);
	return config;
}

/* Services "aN", one for each intercept; every second one is open, every third resets. */
static struct config *load_intercepts(const char *const *intercepts, size_t n)
{
	_owned_mem_ char *text = malloc(256 * (n + 1));
	struct config *config;
	size_t len = (size_t)sprintf(text, "services:\n");

	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(text + len,
				       "  a%zu: { direction: incoming, intercept: %s, when-down: %s, existing: %s,"
				       " instances: [ { name: x, chainer: transparent } ] }\n",
				       i, intercepts[i], i % 2 ? "open" : "closed", i % 3 ? "keep" : "reset");
	config = load(text);
	return config;
}

static int build(const char *const *intercepts, size_t n, struct steering_table *table)
{
	struct config *config = load_intercepts(intercepts, n);
	int err = rddr_steering_table_build(config, ifindex, table);

	rddr_config_put(&config);
	return err;
}

static const struct rddr_service *find(const struct steering_table *table, uint8_t kind, const char *address,
				       unsigned bits, uint16_t port, uint32_t interface)
{
	bool v6 = strchr(address, ':');
	struct rddr_service_key key = {.prefixlen = RDDR_KEY_BITS + bits,
				       .ifindex = interface,
				       .port = htons(port),
				       .family = v6 ? RDDR_FAMILY_V6 : RDDR_FAMILY_V4,
				       .kind = kind};

	assert_int_equal(inet_pton(v6 ? AF_INET6 : AF_INET, address, key.addr), 1);
	for (size_t i = 0; i < table->n; i++) {
		if (!memcmp(&table->entries[i].key, &key, sizeof(key)))
			return &table->entries[i].value;
	}
	return NULL;
}

static void assert_alternative(const struct rddr_service *s, unsigned i, uint16_t service, unsigned client_bits,
			       uint8_t flags)
{
	assert_non_null(s);
	assert_true(i < s->n);
	assert_int_equal(s->alternatives[i].service, service);
	assert_int_equal(s->alternatives[i].client_bits, client_bits);
	assert_int_equal(s->alternatives[i].flags, flags);
}

static void a_rule_makes_its_entries(void **state)
{
	static const char *const intercepts[] = {"{ address: 10.1.2.0/24, port: 80, clients: 10.9.0.0/17 }"};
	struct steering_table table;
	const struct rddr_service *s;
	struct in_addr mask;

	(void)state;
	assert_int_equal(build(intercepts, 1, &table), 0);
	assert_int_equal(table.n, 3); /* the service, its address, its name */
	assert_int_equal(table.classes, RDDR_CLASS_PORT | RDDR_CLASS_ADDRESS);
	s = find(&table, RDDR_KEY_SERVICE, "10.1.2.0", 24, 80, 0);
	assert_alternative(s, 0, 0, 17, RDDR_SERVICE_RESET);
	assert_int_equal(s->n, 1);
	inet_pton(AF_INET, "255.255.128.0", &mask);
	assert_int_equal(s->alternatives[0].mask[0], mask.s_addr);
	assert_int_equal(s->alternatives[0].mask[1], 0);
	assert_alternative(find(&table, RDDR_KEY_ADDRESS, "10.1.2.0", 24, 0, 0), 0, 0, 17, RDDR_SERVICE_RESET);
	assert_string_equal(table.entries[0].value.name, "a0");
	rddr_steering_table_free(&table);
	assert_null(table.entries);
}

static void masks_are_right_at_every_length(void **state)
{
	(void)state;
	for (unsigned bits = 1; bits <= 128; bits++) {
		struct in6_addr address = {0}, mask = {0};
		struct steering_table table;
		char text[INET6_ADDRSTRLEN], intercept[128];
		const char *intercepts[] = {intercept};

		for (unsigned i = 0; i < bits; i++) {
			mask.s6_addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
			address.s6_addr[i / 8] |= (uint8_t)(0x80 >> i % 8);
		}
		inet_ntop(AF_INET6, &address, text, sizeof(text));
		snprintf(intercept, sizeof(intercept), "{ address: \"fd00::1\", port: 80, clients: \"%s/%u\" }", text,
			 bits);
		assert_int_equal(build(intercepts, 1, &table), 0);
		assert_memory_equal(find(&table, RDDR_KEY_SERVICE, "fd00::1", 128, 80, 0)->alternatives[0].mask, &mask,
				    sizeof(mask));
		rddr_steering_table_free(&table);
	}
}

static void classes_say_what_there_is(void **state)
{
	static const struct {
		const char *intercept;
		uint32_t classes;
	} cases[] = {
		{"{ address: 10.0.0.1, port: 80 }", RDDR_CLASS_PORT | RDDR_CLASS_ADDRESS},
		{"{ address: 10.0.0.1, port: all }", RDDR_CLASS_ANY | RDDR_CLASS_ADDRESS},
		{"{ address: 10.0.0.1, port: 80, interface: eth0 }",
		 RDDR_CLASS_PORT_INTERFACE | RDDR_CLASS_ADDRESS_INTERFACE},
		{"{ address: 10.0.0.1, port: all, interface: eth0 }",
		 RDDR_CLASS_INTERFACE | RDDR_CLASS_ADDRESS_INTERFACE},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct steering_table table;

		assert_int_equal(build(&cases[i].intercept, 1, &table), 0);
		assert_int_equal(table.classes, cases[i].classes);
		rddr_steering_table_free(&table);
	}
}

static void longer_prefixes_inherit_from_those_that_cover_them(void **state)
{
	static const char *const intercepts[] = {
		"{ address: 10.0.0.0/8, port: 80, clients: 10.9.0.0/16 }",  /* 0 */
		"{ address: 10.1.0.0/16, port: 80, clients: 10.8.0.0/16 }", /* 1 */
		"{ address: 10.1.1.1, port: 80, clients: 10.9.9.0/24 }",    /* 2 */
		"{ address: 10.2.0.0/16, port: 80 }",			    /* 3: covers nothing here */
		"{ address: 10.0.0.0/8, port: 81 }",			    /* 4: another port */
		"{ address: 10.0.0.0/8, port: 80, interface: eth0 }",	    /* 5: another class */
	};
	struct steering_table table;
	const struct rddr_service *s;

	(void)state;
	assert_int_equal(build(intercepts, ARRAY_LEN(intercepts), &table), 0);
	s = find(&table, RDDR_KEY_SERVICE, "10.1.1.1", 32, 80, 0);
	assert_alternative(s, 0, 2, 24, 0);
	assert_alternative(s, 1, 1, 16, RDDR_SERVICE_OPEN | RDDR_SERVICE_INHERITED);
	assert_alternative(s, 2, 0, 16, RDDR_SERVICE_RESET | RDDR_SERVICE_INHERITED);
	assert_int_equal(s->n, 3);
	s = find(&table, RDDR_KEY_SERVICE, "10.0.0.0", 8, 80, 0);
	assert_int_equal(s->n, 1);
	s = find(&table, RDDR_KEY_SERVICE, "10.2.0.0", 16, 80, 0);
	assert_alternative(s, 0, 3, 0, RDDR_SERVICE_OPEN | RDDR_SERVICE_RESET);
	assert_int_equal(s->n, 1); /* all clients: what would come behind is out of reach */
	assert_int_equal(find(&table, RDDR_KEY_SERVICE, "10.0.0.0", 8, 80, 7)->n, 1);
	rddr_steering_table_free(&table);
}

static void longer_clients_come_first(void **state)
{
	static const char *const intercepts[] = {
		"{ address: 10.1.1.1, port: 80 }",
		"{ address: 10.1.1.1, port: 80, clients: 10.9.0.0/16 }",
		"{ address: 10.1.1.1, port: 80, clients: [10.9.9.9, 10.8.8.8] }",
	};
	struct steering_table table;
	const struct rddr_service *s;

	(void)state;
	assert_int_equal(build(intercepts, ARRAY_LEN(intercepts), &table), 0);
	s = find(&table, RDDR_KEY_SERVICE, "10.1.1.1", 32, 80, 0);
	assert_alternative(s, 0, 2, 32, 0);
	assert_alternative(s, 1, 2, 32, 0);
	assert_alternative(s, 2, 1, 16, RDDR_SERVICE_OPEN);
	assert_alternative(s, 3, 0, 0, RDDR_SERVICE_RESET);
	assert_int_equal(s->n, 4);
	rddr_steering_table_free(&table);
}

static void addresses_gather_the_clients_of_all_ports(void **state)
{
	static const char *const intercepts[] = {
		"{ address: 10.1.1.1, port: 80, clients: 10.9.0.0/16 }",
		"{ address: 10.1.1.1, port: 81, clients: 10.8.0.0/16 }",
		"{ address: 10.1.1.1, port: 82, clients: 10.9.1.0/24 }", /* within the first */
		"{ address: 10.1.1.0/24, port: all, clients: 10.7.0.0/16, interface: eth1 }",
	};
	struct steering_table table;

	(void)state;
	assert_int_equal(build(intercepts, ARRAY_LEN(intercepts), &table), 0);
	assert_true(find(&table, RDDR_KEY_ADDRESS, "10.1.1.1", 32, 0, 0)->n <= 3);
	assert_non_null(find(&table, RDDR_KEY_ADDRESS, "10.1.1.0", 24, 0, 8));
	assert_null(find(&table, RDDR_KEY_ADDRESS, "10.1.1.0", 24, 0, 0));
	rddr_steering_table_free(&table);
}

static void a_destination_of_both_families_has_an_entry_for_each(void **state)
{
	static const char *const intercepts[] = {"{ address: 10.1.1.1, port: 80 }"};
	struct config *config = load_intercepts(intercepts, 1);
	struct steering_table table;

	(void)state;
	/* The reader of today makes no such rule; the structure allows it. */
	config->services[0]->rules[0].destination = (struct prefix){.family = AF_UNSPEC};
	assert_int_equal(rddr_steering_table_build(config, ifindex, &table), 0);
	assert_int_equal(table.n, 5);
	assert_non_null(find(&table, RDDR_KEY_SERVICE, "0.0.0.0", 0, 80, 0));
	assert_non_null(find(&table, RDDR_KEY_SERVICE, "::", 0, 80, 0));
	rddr_steering_table_free(&table);
	rddr_config_put(&config);
}

static void rules_of_interfaces_that_do_not_exist_are_left_out(void **state)
{
	static const char *const intercepts[] = {
		"{ address: 10.1.1.1, port: 80, interface: eth0 }",
		"{ address: 10.1.1.1, port: 80, interface: [eth1, eth2, eth3] }",
	};
	struct steering_table table;

	(void)state;
	assert_int_equal(build(intercepts, ARRAY_LEN(intercepts), &table), 0);
	assert_int_equal(table.skipped, 2);
	assert_alternative(find(&table, RDDR_KEY_SERVICE, "10.1.1.1", 32, 80, 7), 0, 0, 0, RDDR_SERVICE_RESET);
	assert_alternative(find(&table, RDDR_KEY_SERVICE, "10.1.1.1", 32, 80, 8), 0, 1, 0, RDDR_SERVICE_OPEN);
	rddr_steering_table_free(&table);
}

/* n sets of clients for one destination. */
static int build_clients(unsigned n, struct steering_table *table)
{
	char intercept[1024];
	const char *intercepts[] = {intercept};
	int len = snprintf(intercept, sizeof(intercept), "{ address: 10.1.1.1, port: 80, clients: [");

	for (unsigned i = 0; i < n; i++)
		len += snprintf(intercept + len, sizeof(intercept) - (size_t)len, "%s10.9.%u.0/24", i ? ", " : "", i);
	snprintf(intercept + len, sizeof(intercept) - (size_t)len, "] }");
	return build(intercepts, 1, table);
}

static void an_entry_holds_sixteen_sets_of_clients(void **state)
{
	struct steering_table table;

	(void)state;
	assert_int_equal(build_clients(RDDR_ALTERNATIVES_MAX, &table), 0);
	assert_int_equal(find(&table, RDDR_KEY_SERVICE, "10.1.1.1", 32, 80, 0)->n, RDDR_ALTERNATIVES_MAX);
	rddr_steering_table_free(&table);
	assert_int_equal(build_clients(RDDR_ALTERNATIVES_MAX + 1, &table), -ENOSPC);
}

static void too_many_clients_of_an_address_are_all_clients(void **state)
{
	char texts[20][96];
	const char *intercepts[20];
	struct steering_table table;
	const struct rddr_service *s;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		snprintf(texts[i], sizeof(texts[i]), "{ address: 10.1.1.1, port: %u, clients: 10.9.%u.0/24 }", 80 + i,
			 i);
		intercepts[i] = texts[i];
	}
	assert_int_equal(build(intercepts, 20, &table), 0);
	s = find(&table, RDDR_KEY_ADDRESS, "10.1.1.1", 32, 0, 0);
	assert_int_equal(s->n, 1);
	assert_int_equal(s->alternatives[0].mask[0], 0);
	assert_int_equal(find(&table, RDDR_KEY_SERVICE, "10.1.1.1", 32, 99, 0)->alternatives[0].client_bits, 24);
	rddr_steering_table_free(&table);
}

/* table: NULL, it is only checked. */
static int build_addresses(unsigned n, struct steering_table *table)
{
	_owned_mem_ char *intercept = malloc(n * 20 + 64);
	struct config *config;
	size_t len = (size_t)sprintf(intercept, "{ port: 80, address: [");
	char *text;
	int err;

	for (unsigned i = 0; i < n; i++)
		len += (size_t)sprintf(intercept + len, "%s10.%u.%u.1", i ? ", " : "", i / 250, i % 250);
	sprintf(intercept + len, "] }");
	text = malloc(len + 256);
	sprintf(text,
		"services: { a: { direction: incoming, intercept: %s,"
		" instances: [ { name: x, chainer: transparent } ] } }\n",
		intercept);
	config = load(text);
	free(text);
	err = table ? rddr_steering_table_build(config, ifindex, table) : rddr_steering_table_check(config, ifindex);
	rddr_config_put(&config);
	return err;
}

static void a_full_table_is_an_error(void **state)
{
	struct steering_table table;

	(void)state;
	assert_int_equal(build_addresses(2047, &table), 0);
	assert_int_equal(table.n, 4095);
	rddr_steering_table_free(&table);
	assert_int_equal(build_addresses(2048, &table), -ENOSPC);
	assert_int_equal(build_addresses(2047, NULL), 0);
	assert_int_equal(build_addresses(2048, NULL), -ENOSPC);
}

/* They come, and then there must be room. */
static void interfaces_that_do_not_exist_yet_count_when_it_is_checked(void **state)
{
	_owned_mem_ char *text = malloc(64 * 2100);
	size_t len = (size_t)sprintf(text, "services: { a: { direction: incoming, instances: [ { name: x,"
					   " chainer: transparent } ], intercept: [");
	struct steering_table table;
	struct config *config;

	(void)state;
	for (unsigned i = 0; i < 2048; i++)
		len += (size_t)sprintf(text + len, "%s{ interface: absent%u, address: 10.0.0.1, port: 80 }",
				       i ? ", " : "", i);
	sprintf(text + len, "] } }\n");
	config = load(text);
	assert_int_equal(rddr_steering_table_build(config, ifindex, &table), 0);
	assert_int_equal(table.skipped, 2048);
	rddr_steering_table_free(&table);
	assert_int_equal(rddr_steering_table_check(config, ifindex), -ENOSPC);
	rddr_config_put(&config);
}

static void listening_services_are_not_in_it(void **state)
{
	struct config *config = load("services: { a: { direction: incoming, listen: \"127.0.0.1:8080\","
				     " instances: [ { name: x, chainer: directed, remote: \"127.0.0.1:80\" } ] } }\n");
	struct steering_table table;

	(void)state;
	assert_int_equal(rddr_steering_table_build(config, ifindex, &table), 0);
	assert_int_equal(table.n, 0);
	assert_int_equal(table.classes, 0);
	rddr_steering_table_free(&table);
	rddr_config_put(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_rule_makes_its_entries),
		cmocka_unit_test(masks_are_right_at_every_length),
		cmocka_unit_test(classes_say_what_there_is),
		cmocka_unit_test(longer_prefixes_inherit_from_those_that_cover_them),
		cmocka_unit_test(longer_clients_come_first),
		cmocka_unit_test(addresses_gather_the_clients_of_all_ports),
		cmocka_unit_test(a_destination_of_both_families_has_an_entry_for_each),
		cmocka_unit_test(rules_of_interfaces_that_do_not_exist_are_left_out),
		cmocka_unit_test(an_entry_holds_sixteen_sets_of_clients),
		cmocka_unit_test(too_many_clients_of_an_address_are_all_clients),
		cmocka_unit_test(a_full_table_is_an_error),
		cmocka_unit_test(interfaces_that_do_not_exist_yet_count_when_it_is_checked),
		cmocka_unit_test(listening_services_are_not_in_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
