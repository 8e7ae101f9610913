// SPDX-License-Identifier: BSD-2-Clause
#include "net.h"

#include <arpa/inet.h>

static void test_check(void **state)
{
	struct chainer_conf conf = {.ops = &rddr_chainer_transparent};
	char err[256] = "";

	(void)state;
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), 0);
	conf.forced_port = 8080;
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), 0);

	assert_int_equal(rddr_chainer_check(&conf, false, err, sizeof(err)), -EINVAL);
	assert_int_equal(strncmp(err, "chainer: ", 9), 0);

	conf.has_remote = true;
	conf.remote = at("127.0.0.1:80");
	assert_int_equal(rddr_chainer_check(&conf, true, err, sizeof(err)), -EINVAL);
	assert_int_equal(strncmp(err, "remote: ", 8), 0);
}

static void dial_expecting(const struct chainer_conf *conf, const struct addr *destination, const struct addr *server)
{
	struct addr client = at("127.0.0.1:9");
	struct run run;

	assert_int_equal(run_dial(&run, conf, (struct dial_request){.client = &client, .destination = destination}),
			 DIAL_CONNECTED);
	assert_true(rddr_addr_equal(&run.dial.remote, server));
	run_end(&run);
}

static void test_dials_destination(void **state)
{
	static const char *const places[] = {"127.0.0.1", "::1"};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct addr server = at(places[i]);
		_held_fd_ int listener = listen_at(&server);
		struct chainer_conf conf = {.ops = &rddr_chainer_transparent};

		dial_expecting(&conf, &server, &server);
	}
}

static void test_forced_port(void **state)
{
	static const char *const places[] = {"127.0.0.1", "::1"};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		struct addr server = at(places[i]), destination = at(places[i]);
		_held_fd_ int listener = listen_at(&server);
		struct chainer_conf conf = {.ops = &rddr_chainer_transparent, .forced_port = rddr_addr_port(&server)};

		rddr_addr_set_port(&destination, 1);
		dial_expecting(&conf, &destination, &server);
	}
}

/* An IPv4 client of an IPv6 listener is known by a mapped address. */
static void test_mapped_destination(void **state)
{
	struct addr server = at("127.0.0.1"), mapped = {.v6 = {.sin6_family = AF_INET6}};
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf conf = {.ops = &rddr_chainer_transparent};

	(void)state;
	NEED_OWN_NET();
	assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.v6.sin6_addr), 1);
	rddr_addr_set_port(&mapped, rddr_addr_port(&server));
	dial_expecting(&conf, &mapped, &server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_dials_destination),
		cmocka_unit_test(test_forced_port),
		cmocka_unit_test(test_mapped_destination),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
