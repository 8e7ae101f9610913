// SPDX-License-Identifier: BSD-2-Clause
#include "net.h"

static void test_check(void **state)
{
	struct chainer_conf conf = {.ops = &rddr_chainer_directed};
	char err[256] = "";

	(void)state;
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "remote: missing"));

	conf.has_remote = true;
	conf.remote = at("127.0.0.1:80");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), 0);
	assert_int_equal(rddr_chainer_check(&conf, false, err, sizeof(err)), 0);

	conf.forced_port = 81;
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "forced-port: 81"));
	conf.forced_port = 0;

	conf.remote = at("127.0.0.1");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "remote: 127.0.0.1: has no port"));

	conf.remote = at("0.0.0.0:80");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "remote: 0.0.0.0:80: "));
	conf.remote = at("[::]:80");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "remote: [::]:80: "));

	conf.remote = at("[::1]:80");
	conf.has_local = true;
	conf.local = at("127.0.0.1");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "local: 127.0.0.1: "));
	conf.local = at("::1");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), 0);
}

/* A message that does not fit is cut, not written past the end. */
static void test_check_small_buffer(void **state)
{
	struct chainer_conf conf = {.ops = &rddr_chainer_directed};
	char err[8] = "xxxxxxx";

	(void)state;
	assert_int_equal(rddr_chainer_check(&conf, true, err, 7), -EINVAL);
	assert_string_equal(err, "remote");
}

static void test_dials_remote(void **state)
{
	static const char *const places[] = {"127.0.0.1", "::1"};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct addr server = at(places[i]), elsewhere = at("192.0.2.1:9"), client = at("127.0.0.1:9"), from;
		_held_fd_ int listener = listen_at(&server);
		struct chainer_conf conf = {.ops = &rddr_chainer_directed, .remote = server, .has_remote = true};
		struct run run;

		assert_int_equal(
			run_dial(&run, &conf, (struct dial_request){.client = &client, .destination = &elsewhere}),
			DIAL_CONNECTED);
		assert_true(rddr_addr_equal(&run.dial.remote, &server));
		_held_fd_ int fd = accept_from(listener, &from);
		struct addr mine = bound(&run.dial);
		assert_true(rddr_addr_equal(&from, &mine));
		run_end(&run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_check_small_buffer),
		cmocka_unit_test(test_dials_remote),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
