// SPDX-License-Identifier: BSD-2-Clause
/*
 * The service table in the kernel gives the answer of rddr_config_match, for random services and packets.
 */
#include "runs.h"

/* ---- the tables give the answer of rddr_config_match ---- */

static uint32_t random_state = 1;

static uint32_t dice(uint32_t n)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 16) % n;
}

/* Prefixes that nest in one another, and the addresses at their edges. */
static const char *const nests4[] = {"0.0.0.0/0",   "10.0.0.0/8",    "10.0.0.0/15",   "10.1.0.0/16",   "10.1.2.0/23",
				     "10.1.2.0/24", "10.1.2.128/25", "10.1.2.192/26", "10.1.2.200/32", "10.1.2.201/32"};
static const char *const addresses4[] = {"9.9.9.9",    "10.0.0.1",   "10.1.0.1",   "10.1.2.1",	 "10.1.3.1",
					 "10.1.2.129", "10.1.2.193", "10.1.2.200", "10.1.2.201", "10.2.0.1"};
static const char *const nests6[] = {"::/0",
				     "fd00::/8",
				     "fd00:1::/32",
				     "fd00:1:2::/47",
				     "fd00:1:2::/48",
				     "fd00:1:2:3::/64",
				     "fd00:1:2:3::/65",
				     "fd00:1:2:3:8000::/65",
				     "fd00:1:2:3::4/128",
				     "fd00:1:2:3::5/128"};
static const char *const addresses6[] = {
	"2000::1",	 "fd01::1",	  "fd00:1::1",	   "fd00:1:2::1",	 "fd00:1:3::1",
	"fd00:1:2:3::1", "fd00:1:2:3::4", "fd00:1:2:3::5", "fd00:1:2:3:8000::1", "fd00:2::1"};

/* What a service intercepts; the first prefix of the nests holds all clients, which is the same as saying none. */
static void random_intercept(char *text, size_t size)
{
	const char *const *nests = dice(2) ? nests6 : nests4;
	char port[16] = "all", interface[32] = "", clients[64] = "";

	if (dice(2))
		snprintf(port, sizeof(port), "%u", 80 + dice(2));
	if (dice(2))
		snprintf(interface, sizeof(interface), ", interface: %s", dice(2) ? "rt0" : "rt1");
	if (dice(2))
		snprintf(clients, sizeof(clients), ", clients: \"%s\"", nests[1 + dice(9)]);
	snprintf(text, size, "{ address: \"%s\", port: %s%s%s }", nests[dice(10)], port, interface, clients);
}

/* Services that intercept the same are refused: each says something else. */
static struct config *random_config(void)
{
	static char intercepts[24][256], text[16384];
	struct config *config = NULL;
	unsigned n = 1 + dice(24);
	size_t len;

	len = (size_t)snprintf(text, sizeof(text), "services:\n");
	for (unsigned i = 0; i < n; i++) {
		bool new = true;

		random_intercept(intercepts[i], sizeof(intercepts[i]));
		for (unsigned k = 0; k < i; k++)
			new = new &&strcmp(intercepts[i], intercepts[k]) != 0;
		if (!new)
			continue;
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"  s%u:\n    direction: incoming\n    when-down: %s\n    existing: %s\n"
					"    intercept: %s\n    instances: [ { name: one, chainer: transparent } ]\n",
					i, i & 1 ? "open" : "closed", i & 2 ? "reset" : "keep", intercepts[i]);
	}
	assert_int_equal(rddr_config_parse("random", text, len, &config), 0);
	return config;
}

static enum decision expected(const struct rule *rule, bool syn)
{
	if (!rule)
		return PASS;
	if (syn)
		return rule->service->when_down == WHEN_DOWN_OPEN ? PASS : DROP;
	return rule->service->existing == EXISTING_RESET ? DROP : PASS;
}

static void compare_one(const struct config *config)
{
	bool v6 = dice(2), syn = dice(2);
	const char *const *addresses = v6 ? addresses6 : addresses4;
	struct spec s =
		between(addresses[dice(10)], 4000, addresses[dice(10)], (uint16_t)(79 + dice(3)), syn ? SYN : ACK);
	uint64_t passed = counter("divert_down_passed"), kept = counter("divert_existing_kept");
	struct addr destination, client;
	const struct rule *rule;
	enum decision decision;

	assert_int_equal(rddr_addr_parse(s.to, s.destination_port, &destination), 0);
	assert_int_equal(rddr_addr_parse(s.from, s.source_port, &client), 0);
	rule = rddr_config_match(config, &destination, &client, "rt0");
	decision = run(&s);
	if (decision != expected(rule, syn))
		fail_msg("%s from %s to %s port %u: %s, but the rule is of %s", syn ? "SYN" : "ACK", s.from, s.to,
			 s.destination_port, decision_names[decision], rule ? rule->service->name : "none");
	/* PASS may mean a service, or none: the counters tell. */
	if (decision == PASS) {
		assert_int_equal(counter("divert_down_passed") - passed, rule && syn);
		assert_int_equal(counter("divert_existing_kept") - kept, rule && !syn);
	}
	forget_all();
}

static void the_tables_match_as_the_config_does(void **state)
{
	(void)state;
	dead();
	for (int round = 0; round < 60; round++) {
		struct config *config = random_config();

		assert_int_equal(rddr_steering_publish_services(programs.steering, config), 0);
		for (int i = 0; i < 100; i++)
			compare_one(config);
		rddr_config_put(&config);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_tables_match_as_the_config_does),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
