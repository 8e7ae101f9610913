// SPDX-License-Identifier: BSD-2-Clause
#include "access.h"
#include "net.h"

static int zone(struct access_zones *z, const char *name, const char *const *prefixes)
{
	int number = rddr_access_zone_add(z, name), other;

	assert_true(number >= 0);
	for (; *prefixes; prefixes++) {
		struct prefix p;

		assert_int_equal(rddr_prefix_parse(*prefixes, &p), 0);
		assert_int_equal(rddr_access_zone_prefix(z, number, &p, &other), 0);
	}
	return number;
}
#define ZONE(z, name, ...) zone(z, name, (const char *const[]){__VA_ARGS__, NULL})

struct world {
	struct access_zones *zones;
	int all, office, guests, six, bank;
};

static void world(struct world *w)
{
	assert_int_equal(rddr_access_zones_new(&w->zones), 0);
	w->guests = ZONE(w->zones, "guests", "10.0.1.128/25", "10.0.1.7");
	w->office = ZONE(w->zones, "office", "10.0.1.0/24", "10.9.0.0/16");
	w->six = ZONE(w->zones, "six", "fd00::/16", "fd00:1::/33");
	w->bank = ZONE(w->zones, "bank", "fd00:0:0:3::2", "10.0.3.2", "0.0.0.0/0");
	w->all = rddr_access_zone_add(w->zones, "all");
	assert_int_equal(rddr_access_zone_parent(w->zones, w->guests, w->office), 0);
	assert_int_equal(rddr_access_zone_parent(w->zones, w->office, w->all), 0);
	rddr_access_zones_done(w->zones);
}

static void test_zone_of(void **state)
{
	struct world w;

	(void)state;
	world(&w);
	const struct {
		const char *address;
		int zone;
	} cases[] = {
		{"10.0.1.1:9", w.office},     {"10.0.1.127:9", w.office}, {"10.0.1.128:9", w.guests},
		{"10.0.1.7:9", w.guests},     {"10.0.1.6:9", w.office},	  {"10.9.255.255:1", w.office},
		{"10.10.0.0:1", w.bank},      {"192.0.2.1:1", w.bank},	  {"[fd00:0:0:3::2]:1", w.bank},
		{"[fd00:0:0:3::3]:1", w.six}, {"[fd00:1::1]:1", w.six},	  {"[fd01::1]:1", ACCESS_NOWHERE},
		{"[::1]:1", ACCESS_NOWHERE},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr a = at(cases[i].address);

		if (rddr_access_zone_of(w.zones, &a) != cases[i].zone)
			fail_msg("%s is in %s", cases[i].address,
				 rddr_access_zone_name(w.zones, rddr_access_zone_of(w.zones, &a)));
	}
	rddr_access_zones_free(&w.zones);
	assert_null(w.zones);
	rddr_access_zones_free(&w.zones);
}

static void test_bad_zones(void **state)
{
	struct world w;
	struct prefix p;
	int other = -7;

	(void)state;
	world(&w);
	assert_int_equal(rddr_access_zone_add(w.zones, "six"), -EEXIST);
	assert_int_equal(rddr_access_zone_find(w.zones, "seven"), -ENOENT);
	assert_int_equal(rddr_prefix_parse("10.0.1.0/24", &p), 0);
	assert_int_equal(rddr_access_zone_prefix(w.zones, w.six, &p, &other), -EEXIST);
	assert_int_equal(other, w.office);
	assert_int_equal(rddr_access_zone_parent(w.zones, w.all, w.all), -ELOOP);
	assert_int_equal(rddr_access_zone_parent(w.zones, w.all, w.guests), -ELOOP);
	for (int i = 5; i < ACCESS_ZONES; i++) {
		char name[16];

		snprintf(name, sizeof(name), "z%d", i);
		assert_int_equal(rddr_access_zone_add(w.zones, name), i);
	}
	assert_int_equal(rddr_access_zone_add(w.zones, "one more"), -ENOSPC);
	rddr_access_zones_free(&w.zones);
}

static void test_decide(void **state)
{
	struct world w;
	struct access_rule rules[] = {
		{.name = "no-guests", .allow = false},
		{.name = "office", .allow = true},
		{.name = "nowhere", .allow = true, .clients.any = true},
	};
	static const struct {
		const char *client, *server, *rule;
		bool allow;
	} cases[] = {
		{"10.0.1.130:1", "10.0.3.2:80", "no-guests", false}, {"10.0.1.130:1", "[fd00::1]:80", "office", true},
		{"10.0.1.1:1", "10.0.3.2:80", "office", true},	     {"192.0.2.1:1", "10.0.3.2:80", "default", false},
		{"[fd01::1]:1", "10.0.3.2:80", "default", false},    {"[fd01::1]:1", "[fd00::1]:80", "nowhere", true},
		{"[fd01::1]:1", "[fd01::1]:80", "default", false},   {"10.0.1.1:1", "[fd01::1]:80", "default", false},
	};

	(void)state;
	world(&w);
	struct access access = {.zones = w.zones, .rules = rules, .n_rules = ARRAY_LEN(rules)};
	rddr_access_set_add(&rules[0].clients, w.guests);
	rddr_access_set_add(&rules[0].servers, w.bank);
	rddr_access_set_add(&rules[1].clients, w.all); /* by its children alone */
	rddr_access_set_add(&rules[1].servers, w.bank);
	rddr_access_set_add(&rules[1].servers, w.six);
	rddr_access_set_add(&rules[2].servers, w.six);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr client = at(cases[i].client), server = at(cases[i].server);
		struct access_decision d = rddr_access_decide(&access, &client, &server);

		if (d.allow != cases[i].allow || strcmp(d.rule, cases[i].rule) != 0)
			fail_msg("%s to %s: %d by %s", cases[i].client, cases[i].server, d.allow, d.rule);
	}
	/* Nothing but a list: nobody. */
	access.n_rules = 0;
	struct addr client = at("10.0.1.1:1");
	assert_false(rddr_access_decide(&access, &client, &client).allow);
	rddr_access_zones_free(&w.zones);
}

/* Asked before anything is sent, and of each address that is dialled. */
static void test_dial(void **state)
{
	struct access_rule rule = {.name = "six", .allow = true, .clients.any = true};
	struct access access = {.rules = &rule, .n_rules = 1};
	struct addr four = at("127.0.0.1"), six = at("::1"), client = at("127.0.0.1:9"), from;
	struct access_zones *zones;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	_owned_fd_ int listener = listen_at(&four), second = listen_at(&six);
	assert_int_equal(rddr_access_zones_new(&zones), 0);
	rddr_access_set_add(&rule.servers, ZONE(zones, "six", "::1"));
	rddr_access_zones_done(zones);
	access.zones = zones;

	struct chainer_conf conf = {.ops = &rddr_chainer_directed, .remote = four, .has_remote = true};
	assert_int_equal(run_dial(&run, &conf, (struct dial_request){.client = &client, .access = &access}),
			 DIAL_DENIED);
	assert_int_equal(run.dial.error, EACCES);
	assert_int_equal(run.dial.fd, -1);
	assert_true(rddr_addr_equal(&run.dial.remote, &four));
	run_end(&run);
	assert_int_equal(fcntl(listener, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(accept(listener, NULL, NULL), -1);

	struct host hosts[] = {{.address = four}, {.address = six}};
	struct chainer_conf two = {.ops = &rddr_chainer_failover, .n_hosts = 2};
	two.hosts = malloc(sizeof(hosts));
	memcpy(two.hosts, hosts, sizeof(hosts));
	assert_int_equal(rddr_chainer_bind(&two, "two"), 0);
	assert_int_equal(run_dial(&run, &two, (struct dial_request){.client = &client, .access = &access}),
			 DIAL_CONNECTED);
	assert_int_equal(run.dial.hosts_failed, 0);
	_held_fd_ int fd = accept_from(second, &from);
	run_end(&run);
	rddr_chainer_conf_clear(&two);
	rddr_access_zones_free(&zones);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_zone_of),
		cmocka_unit_test(test_bad_zones),
		cmocka_unit_test(test_decide),
		cmocka_unit_test(test_dial),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
