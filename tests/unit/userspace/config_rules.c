// SPDX-License-Identifier: BSD-2-Clause
/* The order of the rules, and which of them a connection gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_capture.h"
#include "own.h"

static char captured[CAPTURED];

/* Each service is named for the rule that it has. */
static const char text[] =
	"services:\n"
	"  clients8: {intercept: {address: 10.0.0.0/8, port: all, clients: 192.0.0.0/8}, instances: &i [{chainer: "
	"transparent}]}\n"
	"  all8:     {intercept: {address: 10.0.0.0/8, port: all}, instances: *i}\n"
	"  all32:    {intercept: {address: 10.1.1.1, port: all}, instances: *i}\n"
	"  eth0-8:   {intercept: {address: 10.0.0.0/8, port: all, interface: eth0}, instances: *i}\n"
	"  port0:    {intercept: {address: 0.0.0.0/0, port: 80}, instances: *i}\n"
	"  port8:    {intercept: {address: 10.0.0.0/8, port: 80}, instances: *i}\n"
	"  port32:   {intercept: {address: 10.1.1.1, port: 80}, instances: *i}\n"
	"  port32c16: {intercept: {address: 10.1.1.1, port: 80, clients: 192.0.0.0/16}, instances: *i}\n"
	"  port32c24: {intercept: {address: 10.1.1.1, port: 80, clients: 192.0.2.0/24}, instances: *i}\n"
	"  eth1-0:   {intercept: {address: 0.0.0.0/0, port: 80, interface: eth1}, instances: *i}\n"
	"  v6:       {intercept: {address: '::/0', port: 80}, instances: *i}\n"
	"  v6-64:    {intercept: {address: 'fd00::/64', port: [80, 81]}, instances: *i}\n"
	"  other8:   {intercept: {address: 11.0.0.0/8, port: all}, instances: *i}\n";

static struct config *read_config(void)
{
	struct config *config = NULL;

	if (parse_captured(text, strlen(text), &config, captured))
		print_error("%s", captured);
	assert_non_null(config);
	return config;
}

static void test_order(void **state)
{
	static const char *const order[] = {"eth1-0", "v6-64",	"port32c24", "port32c16", "port32", "port8", "port0",
					    "v6",     "eth0-8", "all32",     "clients8",  "all8",   "other8"};
	struct config *c = read_config();
	const char *last = "";
	size_t n = 0;

	(void)state;
	assert_int_equal(c->n_rules, ARRAY_LEN(order) + 1); /* v6-64 has two */
	for (size_t i = 0; i < c->n_rules; i++) {
		const char *name = c->rules[i]->service->name;

		if (strcmp(name, last) != 0)
			assert_string_equal(name, order[n++]);
		last = name;
	}
	assert_int_equal(n, ARRAY_LEN(order));
	rddr_config_put(&c);
}

static void test_match(void **state)
{
	static const struct {
		const char *destination, *client, *interface, *service;
	} cases[] = {
		{"10.1.1.1:80", "192.0.2.5:4000", "eth0", "port32c24"}, /* a port goes before an interface */
		{"10.1.1.1:80", "192.0.3.5:4000", "eth0", "port32c16"},
		{"10.1.1.1:80", "192.1.3.5:4000", "eth0", "port32"},
		{"10.1.1.1:80", "192.0.2.5:4000", "eth1", "eth1-0"}, /* an interface goes before a longer prefix */
		{"10.1.1.1:80", "192.0.2.5:4000", NULL, "port32c24"},
		{"10.1.1.2:80", "192.0.2.5:4000", "eth9", "port8"},
		{"172.16.0.1:80", "192.0.2.5:4000", "eth0", "port0"},
		{"10.1.1.1:81", "192.0.2.5:4000", "eth0", "eth0-8"},
		{"10.1.1.1:81", "192.0.2.5:4000", "eth00", "all32"},
		{"10.1.1.1:81", "192.0.2.5:4000", NULL, "all32"},
		{"10.1.1.2:81", "192.0.2.5:4000", "eth1", "clients8"},
		{"10.1.1.2:81", "193.0.2.5:4000", "eth1", "all8"},
		{"10.1.1.2:65535", "[fd00::1]:4000", "eth1", "all8"},
		{"11.255.255.255:1", "1.2.3.4:5", "eth0", "other8"},
		{"12.0.0.0:1", "1.2.3.4:5", "eth0", NULL},
		{"9.255.255.255:1", "1.2.3.4:5", "eth0", NULL},
		{"[fd00::1]:80", "[fd00::2]:5", "eth0", "v6-64"},
		{"[fd00:0:0:1::1]:80", "[fd00::2]:5", "eth0", "v6"},
		{"[fd00::1]:81", "[fd00::2]:5", "eth0", "v6-64"},
		{"[fd00:0:0:1::1]:81", "[fd00::2]:5", "eth0", NULL},
		{"[::ffff:10.1.1.1]:80", "192.1.3.5:4000", "eth0", "port32"}, /* is IPv4, however it is written */
	};
	struct config *c = read_config();

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct rule *rule;
		struct addr destination, client;

		assert_int_equal(rddr_addr_parse(cases[i].destination, 0, &destination), 0);
		assert_int_equal(rddr_addr_parse(cases[i].client, 0, &client), 0);
		rule = rddr_config_match(c, &destination, &client, cases[i].interface);
		if (!rule || !cases[i].service) {
			if (rule || cases[i].service)
				print_error("%s: got %s\n", cases[i].destination, rule ? rule->service->name : "none");
			assert_true(!rule && !cases[i].service);
			continue;
		}
		assert_string_equal(rule->service->name, cases[i].service);
	}
	rddr_config_put(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_match),
	};

	enter_empty_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
