// SPDX-License-Identifier: BSD-2-Clause
/* chainers/chainer.c again: forged sources, and the ladder of their ports. */
#include "net.h"

#include <cap-ng.h>
#include <sys/wait.h>

/* All of 127.0.0.0/8 and nothing else is local here, so what is forged comes back without routes of its own. */
#define CLIENT "127.0.9.9"

#define EXACT FORGE_PORT_EXACT
#define GROUP FORGE_PORT_GROUP
#define ANY   FORGE_PORT_ANY

static struct chainer_conf forging_to(const struct addr *server)
{
	return (struct chainer_conf){
		.ops = &rddr_chainer_directed, .remote = *server, .has_remote = true, .forge_addr = true};
}

static enum dial_outcome dial_from(struct run *run, const struct chainer_conf *conf, const char *client)
{
	struct addr from = at(client);

	return run_dial(run, conf, (struct dial_request){.client = &from});
}

static struct addr client_port(uint16_t port)
{
	struct addr a = at(CLIENT);

	rddr_addr_set_port(&a, port);
	return a;
}

static void test_any_is_the_default(void **state)
{
	static const struct {
		const char *server, *client;
	} cases[] = {{"127.0.0.1", CLIENT ":5555"}, {"::1", "[::1]:5555"}};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr server = at(cases[i].server), client = at(cases[i].client), from;
		_held_fd_ int listener = listen_at(&server), blocker = block_port(&client);
		struct chainer_conf conf = forging_to(&server);
		struct run run;

		/* Whether the client's own port is free does not matter. */
		assert_int_equal(dial_from(&run, &conf, cases[i].client), DIAL_CONNECTED);
		_held_fd_ int fd = accept_from(listener, &from);
		assert_true(rddr_addr_same_host(&from, &client));
		assert_int_not_equal(rddr_addr_port(&from), 5555);
		assert_true(run.dial.forged);
		assert_int_equal(run.dial.rung, ANY);
		assert_true(rddr_addr_same_host(&run.dial.local, &client));
		run_end(&run);
	}
}

static void test_exact_to_many_servers(void **state)
{
	static const struct {
		const char *server, *client;
	} cases[] = {{"127.0.0.1", CLIENT ":5555"}, {"::1", "[::1]:5555"}};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr client = at(cases[i].client), from;
		struct run runs[4];
		int fds[4], listeners[4];

		for (size_t n = 0; n < ARRAY_LEN(runs); n++) {
			struct addr server = at(cases[i].server);

			listeners[n] = listen_at(&server);
			struct chainer_conf conf = forging_to(&server);
			conf.forge_ports = 1;
			conf.forge_port[0] = EXACT;
			assert_int_equal(dial_from(&runs[n], &conf, cases[i].client), DIAL_CONNECTED);
			assert_int_equal(runs[n].dial.rung, EXACT);
			assert_true(rddr_addr_equal(&runs[n].dial.local, &client));
			fds[n] = accept_from(listeners[n], &from);
			assert_true(rddr_addr_equal(&from, &client));
		}
		for (size_t n = 0; n < ARRAY_LEN(runs); n++) {
			close(fds[n]);
			close(listeners[n]);
			run_end(&runs[n]);
		}
	}
}

/* The first connection has the client's own port; what the second one to the same server gets. */
static void test_the_next_rung(void **state)
{
	static const struct {
		unsigned n;
		enum forge_port ladder[FORGE_PORTS];
		unsigned own;
		enum dial_outcome outcome;
		enum forge_port rung;
		unsigned port; /* 0: not the own */
	} cases[] = {
		{1, {EXACT}, 6001, DIAL_NO_PORT, EXACT, 0},
		{2, {EXACT, ANY}, 6002, DIAL_CONNECTED, ANY, 0},
		{2, {EXACT, GROUP}, 6003, DIAL_CONNECTED, GROUP, 6004},
		{3, {EXACT, GROUP, ANY}, 6005, DIAL_CONNECTED, GROUP, 6006},
		{1, {GROUP}, 6007, DIAL_CONNECTED, GROUP, 6008},
		{2, {GROUP, EXACT}, 6009, DIAL_CONNECTED, GROUP, 6010},
		{2, {ANY, EXACT}, 6011, DIAL_CONNECTED, ANY, 0},
		/* Groups do not leak into each other. */
		{2, {EXACT, GROUP}, 511, DIAL_CONNECTED, GROUP, 1},
		{2, {EXACT, GROUP}, 1023, DIAL_CONNECTED, GROUP, 512},
		{2, {EXACT, GROUP}, 65535, DIAL_CONNECTED, GROUP, 1024},
		{1, {GROUP}, 511, DIAL_CONNECTED, GROUP, 1},
		{1, {GROUP}, 512, DIAL_CONNECTED, GROUP, 513},
		{1, {GROUP}, 1024, DIAL_CONNECTED, GROUP, 1025},
	};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr server = at("127.0.0.1"), client = client_port((uint16_t)cases[i].own), from;
		const struct dial_request request = {.client = &client};
		_held_fd_ int listener = listen_at(&server);
		struct chainer_conf first = forging_to(&server), second = forging_to(&server);
		struct run runs[2];

		first.forge_ports = 1;
		first.forge_port[0] = EXACT;
		second.forge_ports = (uint8_t)cases[i].n;
		memcpy(second.forge_port, cases[i].ladder, sizeof(second.forge_port));
		assert_int_equal(run_dial(&runs[0], &first, request), DIAL_CONNECTED);
		_held_fd_ int fd = accept_from(listener, &from);
		enum dial_outcome outcome = run_dial(&runs[1], &second, request);
		if (outcome != cases[i].outcome || runs[1].dial.rung != cases[i].rung)
			fail_msg("case %zu: %s, rung %s, %s", i, rddr_dial_outcome_name(outcome),
				 rddr_forge_port_name(runs[1].dial.rung), strerror(runs[1].dial.error));
		if (outcome == DIAL_CONNECTED) {
			_held_fd_ int next = accept_from(listener, &from);

			assert_true(rddr_addr_same_host(&from, &client));
			if (cases[i].port)
				assert_int_equal(rddr_addr_port(&from), cases[i].port);
			else
				assert_int_not_equal(rddr_addr_port(&from), cases[i].own);
		} else {
			assert_int_equal(runs[1].dial.error, EADDRNOTAVAIL);
			assert_int_equal(runs[1].dial.fd, -1);
		}
		run_end(&runs[1]);
		run_end(&runs[0]);
	}
}

/* A group is searched for 16 ports, no more. */
static void test_group_is_bounded(void **state)
{
	struct addr server = at("127.0.0.1"), client = client_port(7000), from;
	const struct dial_request request = {.client = &client};
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf group = forging_to(&server), both = group, exact_too = group;
	int blockers[16];
	struct run run;

	(void)state;
	NEED_OWN_NET();
	group.forge_ports = 1;
	group.forge_port[0] = GROUP;
	both.forge_ports = 2;
	both.forge_port[0] = GROUP;
	both.forge_port[1] = ANY;
	exact_too.forge_ports = 2;
	exact_too.forge_port[0] = EXACT;
	exact_too.forge_port[1] = GROUP;
	for (uint16_t i = 0; i < 16; i++) {
		struct addr a = client_port((uint16_t)(7000 + i));

		blockers[i] = block_port(&a);
	}
	int before = next_fd();
	assert_int_equal(run_dial(&run, &group, request), DIAL_NO_PORT);
	assert_int_equal(run.dial.error, EADDRINUSE);
	run_end(&run);
	assert_int_equal(next_fd(), before);

	assert_int_equal(run_dial(&run, &both, request), DIAL_CONNECTED);
	assert_int_equal(run.dial.rung, ANY);
	run_end(&run);

	/* The own port was tried by exact, so the group's sixteen are the ones after it. */
	assert_int_equal(run_dial(&run, &exact_too, request), DIAL_CONNECTED);
	assert_int_equal(run.dial.rung, GROUP);
	from = bound(&run.dial);
	assert_int_equal(rddr_addr_port(&from), 7016);
	run_end(&run);

	close(blockers[15]);
	assert_int_equal(run_dial(&run, &group, request), DIAL_CONNECTED);
	from = bound(&run.dial);
	assert_int_equal(rddr_addr_port(&from), 7015);
	run_end(&run);
	for (size_t i = 0; i < 15; i++)
		close(blockers[i]);
}

static void test_ports_run_out(void **state)
{
	struct addr server = at("127.0.0.1"), client = client_port(8000);
	const struct dial_request request = {.client = &client};
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf conf = forging_to(&server);
	struct run runs[3];

	(void)state;
	NEED_OWN_NET();
	assert_true(net_write("/proc/sys/net/ipv4/ip_local_port_range", "20000 20001"));
	assert_int_equal(run_dial(&runs[0], &conf, request), DIAL_CONNECTED);
	assert_int_equal(run_dial(&runs[1], &conf, request), DIAL_CONNECTED);
	assert_int_equal(run_dial(&runs[2], &conf, request), DIAL_NO_PORT);
	assert_int_equal(runs[2].dial.error, EADDRNOTAVAIL);
	run_end(&runs[2]);

	/* The ports of another client are others. */
	assert_int_equal(dial_from(&runs[2], &conf, "127.0.9.10:8000"), DIAL_CONNECTED);
	run_end(&runs[2]);

	/* The same client to another server. */
	struct addr other = at("127.0.0.2");
	_held_fd_ int other_listener = listen_at(&other);
	conf.remote = other;
	assert_int_equal(run_dial(&runs[2], &conf, request), DIAL_CONNECTED);
	for (size_t i = 0; i < 3; i++)
		run_end(&runs[i]);
	assert_true(net_write("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999"));
}

/* Only what forge-fallback allows goes on with an address of this host's. */
static void test_fallback(void **state)
{
	struct addr server = at("127.0.0.1"), client = client_port(9000), from;
	const struct dial_request request = {.client = &client};
	_held_fd_ int listener = listen_at(&server), blocker = block_port(&client);
	struct chainer_conf conf = forging_to(&server);
	struct run run;

	(void)state;
	NEED_OWN_NET();
	conf.forge_ports = 1;
	conf.forge_port[0] = EXACT;
	assert_int_equal(run_dial(&run, &conf, request), DIAL_NO_PORT);
	assert_int_equal(run.dial.error, EADDRINUSE);
	run_end(&run);

	conf.forge_fallback = true;
	assert_int_equal(run_dial(&run, &conf, request), DIAL_CONNECTED);
	assert_false(run.dial.forged);
	assert_int_equal(run.dial.error, 0);
	_held_fd_ int fd = accept_from(listener, &from);
	assert_false(rddr_addr_same_host(&from, &client));
	run_end(&run);

	/* It is for what fails here, not for what the server says. */
	conf.remote = at("127.0.0.1:1");
	assert_int_equal(dial_from(&run, &conf, CLIENT ":9001"), DIAL_REFUSED);
	assert_true(run.dial.forged);
	run_end(&run);
}

static void test_families(void **state)
{
	static const struct {
		const char *server, *client;
	} cases[] = {{"127.0.0.1", "[::1]:5555"}, {"::1", "127.0.0.1:5555"}};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr server = at(cases[i].server);
		_held_fd_ int listener = listen_at(&server);
		struct chainer_conf conf = forging_to(&server);
		struct run run;

		assert_int_equal(dial_from(&run, &conf, cases[i].client), DIAL_FAILED);
		assert_int_equal(run.dial.error, EAFNOSUPPORT);
		assert_int_equal(run.dial.fd, -1);
		run_end(&run);
		conf.forge_fallback = true;
		assert_int_equal(dial_from(&run, &conf, cases[i].client), DIAL_CONNECTED);
		assert_false(run.dial.forged);
		run_end(&run);
	}
}

/* Runs in a child without the capabilities; what it returns is its exit status, 0 when all is as it should be. */
static int without_rights(int (*body)(const struct addr *server), bool keep_forging)
{
	struct addr server = at("127.0.0.1");
	_held_fd_ int listener = listen_at(&server);
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		capng_clear(CAPNG_SELECT_BOTH);
		if (keep_forging)
			capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_ADMIN);
		_exit(capng_apply(CAPNG_SELECT_CAPS) ? 99 : body(&server));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int refused_forging(const struct addr *server)
{
	struct chainer_conf conf = forging_to(server);
	struct run run;

	if (dial_from(&run, &conf, CLIENT ":5000") != DIAL_NOT_PERMITTED || run.dial.error != EPERM ||
	    run.dial.fd != -1)
		return 1;
	run_end(&run);
	conf.forge_fallback = true;
	if (dial_from(&run, &conf, CLIENT ":5000") != DIAL_CONNECTED || run.dial.forged)
		return 2;
	run_end(&run);
	conf.forge_addr = conf.forge_fallback = false;
	if (dial_from(&run, &conf, CLIENT ":5000") != DIAL_CONNECTED)
		return 3;
	run_end(&run);
	return 0;
}

static int refused_low_port(const struct addr *server)
{
	struct chainer_conf conf = forging_to(server);
	struct run run;

	conf.forge_ports = 2;
	conf.forge_port[0] = EXACT;
	conf.forge_port[1] = GROUP;
	if (dial_from(&run, &conf, CLIENT ":600") != DIAL_NOT_PERMITTED || run.dial.error != EACCES)
		return 1;
	run_end(&run);
	conf.forge_port[1] = ANY;
	if (dial_from(&run, &conf, CLIENT ":600") != DIAL_CONNECTED || run.dial.rung != ANY)
		return 2;
	run_end(&run);
	if (dial_from(&run, &conf, CLIENT ":6000") != DIAL_CONNECTED || run.dial.rung != EXACT)
		return 3;
	run_end(&run);
	return 0;
}

static void test_not_permitted(void **state)
{
	(void)state;
	NEED_OWN_NET();
	assert_int_equal(without_rights(refused_forging, false), 0);
	assert_int_equal(without_rights(refused_low_port, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_is_the_default), cmocka_unit_test(test_exact_to_many_servers),
		cmocka_unit_test(test_the_next_rung),	   cmocka_unit_test(test_group_is_bounded),
		cmocka_unit_test(test_ports_run_out),	   cmocka_unit_test(test_fallback),
		cmocka_unit_test(test_families),	   cmocka_unit_test(test_not_permitted),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
