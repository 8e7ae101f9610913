// SPDX-License-Identifier: BSD-2-Clause
#include "net.h"

#include "access.h"

static void test_check(void **state)
{
	struct chainer_conf conf = {.ops = &rddr_chainer_inband};
	char err[256] = "";

	(void)state;
	assert_int_equal(rddr_chainer_check(&conf, false, err, sizeof(err)), 0);
	conf.host_timeout = 100;
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), 0);
	conf.has_remote = true;
	conf.remote = at("127.0.0.1:80");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "remote: "));
	conf.has_remote = false;
	conf.forced_port = 80;
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "forced-port: 80"));
}

static void test_nothing_named(void **state)
{
	struct chainer_conf conf = {.ops = &rddr_chainer_inband};
	struct addr client = at("127.0.0.1:9");
	struct run run;

	(void)state;
	assert_int_equal(run_dial(&run, &conf, (struct dial_request){.client = &client}), DIAL_FAILED);
	assert_int_equal(run.dial.error, EDESTADDRREQ);
	run_end(&run);
}

/* Whatever is this host, or everybody, by every way to write it. */
static void test_own_addresses(void **state)
{
	static const char *const own[] = {
		"127.0.0.1:80", "127.255.255.254:80", "0.0.0.0:80",	    "0.1.2.3:80", "224.0.0.1:80", "[::1]:80",
		"[::]:80",	"[ff02::1]:80",	      "255.255.255.255:80",
	};
	struct chainer_conf conf = {.ops = &rddr_chainer_inband};
	struct addr client = at("192.0.2.1:9");

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		struct addr target = at(own[i]);
		struct run run;

		if (run_dial(&run, &conf,
			     (struct dial_request){.client = &client, .targets = &target, .n_targets = 1}) != DIAL_LOOP)
			fail_msg("%s: %s", own[i], rddr_dial_outcome_name(run.outcome));
		assert_int_equal(run.dial.error, ELOOP);
		assert_true(rddr_addr_equal(&run.dial.remote, &target));
		run_end(&run);
	}
}

/* There is no server but on this host here: what is not refused has no route. Each is tried, and the last one's outcome
 * counts. */
static void test_each_in_turn(void **state)
{
	struct access_rule rule = {.name = "all", .allow = true, .clients.any = true};
	struct chainer_conf conf = {.ops = &rddr_chainer_inband};
	struct addr targets[] = {at("127.0.0.1:80"), at("192.0.2.7:80"), at("192.0.2.8:80")},
		    client = at("192.0.2.1:9");
	struct access_zones *zones;
	struct prefix p;
	struct run run;
	int other;

	(void)state;
	NEED_OWN_NET();
	assert_int_equal(rddr_access_zones_new(&zones), 0);
	int zone = rddr_access_zone_add(zones, "seven");
	assert_int_equal(rddr_prefix_parse("192.0.2.7", &p), 0);
	assert_int_equal(rddr_access_zone_prefix(zones, zone, &p, &other), 0);
	rddr_access_zones_done(zones);
	rddr_access_set_add(&rule.servers, zone);
	const struct access access = {.zones = zones, .rules = &rule, .n_rules = 1};
	struct dial_request request = {.client = &client, .targets = targets, .n_targets = 2, .access = &access};

	assert_int_equal(run_dial(&run, &conf, request), DIAL_UNREACHABLE);
	assert_true(rddr_addr_equal(&run.dial.remote, &targets[1]));
	run_end(&run);
	request.n_targets = 3;
	assert_int_equal(run_dial(&run, &conf, request), DIAL_DENIED);
	assert_true(rddr_addr_equal(&run.dial.remote, &targets[2]));
	run_end(&run);
	rddr_access_zones_free(&zones);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_nothing_named),
		cmocka_unit_test(test_own_addresses),
		cmocka_unit_test(test_each_in_turn),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
