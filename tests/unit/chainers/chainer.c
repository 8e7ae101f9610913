// SPDX-License-Identifier: BSD-2-Clause
#include "net.h"

#include <netinet/tcp.h>
#include <sys/resource.h>

static struct chainer_conf to(const struct addr *server)
{
	return (struct chainer_conf){.ops = &rddr_chainer_directed, .remote = *server, .has_remote = true};
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < DIAL_OUTCOMES; i++) {
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(rddr_dial_outcome_name(i), rddr_dial_outcome_name(j));
	}
	assert_string_equal(rddr_dial_outcome_name(DIAL_CONNECTED), "connected");
	assert_string_equal(rddr_dial_outcome_name(DIAL_TIMED_OUT), "timed-out");
	assert_string_equal(rddr_dial_outcome_name(DIAL_FAILED), "failed");
	assert_string_equal(rddr_dial_outcome_name(DIAL_OUTCOMES), "unknown");
	assert_string_equal(rddr_forge_port_name(FORGE_PORT_EXACT), "exact");
	assert_string_equal(rddr_forge_port_name(FORGE_PORT_GROUP), "group");
	assert_string_equal(rddr_forge_port_name(FORGE_PORT_ANY), "any");
	assert_string_equal(rddr_forge_port_name(FORGE_PORT_RANDOM), "random");
	assert_string_equal(rddr_forge_port_name(FORGE_PORTS), "unknown");

	assert_ptr_equal(rddr_chainer_find("transparent"), &rddr_chainer_transparent);
	assert_ptr_equal(rddr_chainer_find("directed"), &rddr_chainer_directed);
	assert_ptr_equal(rddr_chainer_find("failover"), &rddr_chainer_failover);
	assert_null(rddr_chainer_find("Directed"));
	assert_null(rddr_chainer_find(""));
	assert_string_equal(rddr_chainer_name(&rddr_chainer_directed), "directed");
}

static void test_what_is_local(void **state)
{
	static const bool local[DIAL_OUTCOMES] = {
		[DIAL_NO_PORT] = true,	  [DIAL_NOT_PERMITTED] = true, [DIAL_LOOP] = true,
		[DIAL_UNRESOLVED] = true, [DIAL_DENIED] = true,	       [DIAL_FAILED] = true,
	};

	(void)state;
	for (unsigned i = 0; i < DIAL_OUTCOMES; i++)
		assert_int_equal(rddr_dial_outcome_is_local(i), local[i]);
}

static void test_check(void **state)
{
	struct addr server = at("127.0.0.1:80");
	const struct {
		struct chainer_conf conf;
		const char *key; /* with which the message begins; NULL: it is good */
	} cases[] = {
		{{.forge_addr = true}, NULL},
		{{.has_local = true, .local = at("127.0.0.1")}, NULL},
		{{.forge_addr = true, .forge_fallback = true}, NULL},
		{{.forge_addr = true, .forge_ports = 1, .forge_port = {FORGE_PORT_EXACT}}, NULL},
		{{.forge_addr = true,
		  .forge_ports = 3,
		  .forge_port = {FORGE_PORT_EXACT, FORGE_PORT_GROUP, FORGE_PORT_ANY}},
		 NULL},
		{{.forge_addr = true, .has_local = true, .local = at("127.0.0.1")}, "local: "},
		{{.forge_ports = 1, .forge_port = {FORGE_PORT_ANY}}, "forge-port: "},
		{{.forge_fallback = true}, "forge-fallback: "},
		{{.forge_addr = true, .forge_ports = 2, .forge_port = {FORGE_PORT_ANY, FORGE_PORT_ANY}},
		 "forge-port: any "},
		{{.forge_addr = true, .forge_ports = FORGE_PORTS + 1}, "forge-port: 5 "},
		{{.forced_port = 80}, "forced-port: 80: "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct chainer_conf conf = cases[i].conf;
		char err[256] = "";

		conf.ops = &rddr_chainer_directed;
		conf.remote = server;
		conf.has_remote = true;
		int r = rddr_chainer_check(&conf, true, err, sizeof(err));
		if (r != (cases[i].key ? -EINVAL : 0))
			fail_msg("case %zu: %d, %s", i, r, err);
		if (cases[i].key && strncmp(err, cases[i].key, strlen(cases[i].key)) != 0)
			fail_msg("case %zu: %s", i, err);
	}
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
	return value;
}

static void seen(void *ctx, unsigned events)
{
	struct run *run = ctx;

	if (events & LOOP_IN)
		rddr_loop_stop(run->loop);
}

static void connects(const char *place)
{
	struct addr server = at(place), client = at("127.0.0.1:9"), from;
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf conf = to(&server);
	struct run run;
	char byte;

	assert_int_equal(run_dial(&run, &conf, (struct dial_request){.client = &client, .destination = &server}),
			 DIAL_CONNECTED);
	assert_true(run.dial.fd >= 0);
	assert_int_equal(run.dial.error, 0);
	assert_false(run.dial.forged);
	assert_int_equal(run.dial.local.sa.sa_family, server.sa.sa_family);
	assert_true(rddr_addr_equal(&run.dial.remote, &server));
	assert_int_equal(option(run.dial.fd, SOL_TCP, TCP_NODELAY), 1);
	assert_true(fcntl(run.dial.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(run.dial.fd, F_GETFD) & FD_CLOEXEC);

	/* The watch that the dial left behind goes on for another. */
	_held_fd_ int fd = accept_from(listener, &from);
	rddr_loop_retarget(run.loop, &run.dial.watch, seen, &run);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(rddr_loop_run(run.loop), 0);
	assert_int_equal(read(run.dial.fd, &byte, 1), 1);

	/* A cancel that comes too late takes nothing back. */
	rddr_chainer_cancel(&run.dial);
	assert_int_equal(write(run.dial.fd, "x", 1), 1);
	run_end(&run);
}

static void test_connects(void **state)
{
	(void)state;
	NEED_OWN_NET();
	connects("127.0.0.1");
	connects("::1");
}

static void ends_with(const char *place, enum dial_outcome outcome, int error)
{
	struct addr server = at(place), client = at("127.0.0.1:9");
	struct chainer_conf conf = to(&server);
	int before = next_fd();
	struct run run;

	assert_int_equal(run_dial(&run, &conf, (struct dial_request){.client = &client}), outcome);
	assert_int_equal(run.dial.error, error);
	assert_int_equal(run.dial.fd, -1);
	run_end(&run);
	assert_int_equal(next_fd(), before);
}

static void test_refused(void **state)
{
	(void)state;
	NEED_OWN_NET();
	ends_with("127.0.0.1:1", DIAL_REFUSED, ECONNREFUSED);
	ends_with("[::1]:1", DIAL_REFUSED, ECONNREFUSED);
}

static void test_unreachable(void **state)
{
	(void)state;
	NEED_OWN_NET();
	ends_with("192.0.2.1:80", DIAL_UNREACHABLE, ENETUNREACH);
	ends_with("[2001:db8::1]:80", DIAL_UNREACHABLE, ENETUNREACH);
}

/* The server takes the connection and resets it before the loop has a look. */
static void test_reset_at_once(void **state)
{
	struct addr server = at("127.0.0.1"), client = at("127.0.0.1:9"), from;
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf conf = to(&server);
	const struct linger reset = {.l_onoff = 1};
	struct run run;

	(void)state;
	run_begin(&run);
	assert_int_equal(run_start(&run, &conf, (struct dial_request){.client = &client}), DIAL_PENDING);
	int fd = accept_from(listener, &from);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
	close(fd);
	assert_int_equal(run_wait(&run), DIAL_REFUSED);
	assert_int_equal(run.dial.error, ECONNRESET);
	assert_int_equal(run.dial.fd, -1);
	run_end(&run);
}

/* What the server says, and its end, before the loop has a look are there for the caller to read. */
static void test_greeting(void **state)
{
	struct addr server = at("127.0.0.1"), client = at("127.0.0.1:9"), from;
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf conf = to(&server);
	struct run run;
	char text[8];

	(void)state;
	run_begin(&run);
	assert_int_equal(run_start(&run, &conf, (struct dial_request){.client = &client}), DIAL_PENDING);
	int fd = accept_from(listener, &from);
	assert_int_equal(write(fd, "hello", 5), 5);
	close(fd);
	assert_int_equal(run_wait(&run), DIAL_CONNECTED);
	assert_int_equal(read(run.dial.fd, text, sizeof(text)), 5);
	assert_int_equal(read(run.dial.fd, text, sizeof(text)), 0);
	run_end(&run);
}

static void test_cancel(void **state)
{
	struct addr server = at("127.0.0.1"), client = at("127.0.0.1:9");
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf conf = to(&server);
	int before = next_fd();
	struct timer later = {0};
	struct run run;

	(void)state;
	run_begin(&run);
	rddr_chainer_cancel(&run.dial); /* never begun */
	assert_int_equal(run_start(&run, &conf, (struct dial_request){.client = &client}), DIAL_PENDING);
	rddr_chainer_cancel(&run.dial);
	assert_int_equal(run.dial.fd, -1);
	rddr_chainer_cancel(&run.dial);

	/* Its event, had it not been cancelled, would come before the timer's. */
	later = (struct timer){.fn = run_late, .ctx = &run};
	rddr_loop_timer_set(run.loop, &later, rddr_loop_now(run.loop));
	assert_int_equal(rddr_loop_run(run.loop), 0);
	assert_true(run.late);
	assert_int_equal(run.calls, 0);
	run_end(&run);
	assert_int_equal(next_fd(), before);
}

static void test_dial_again(void **state)
{
	struct addr server = at("127.0.0.1"), nobody = at("127.0.0.1:1"), client = at("127.0.0.1:9");
	_held_fd_ int listener = listen_at(&server);
	struct chainer_conf first = to(&nobody), second = to(&server);
	struct run run;

	(void)state;
	assert_int_equal(run_dial(&run, &first, (struct dial_request){.client = &client}), DIAL_REFUSED);
	rddr_loop_free(&run.loop);
	assert_int_equal(rddr_loop_new(&run.loop), 0);
	run.calls = 0;
	run_start(&run, &second, (struct dial_request){.client = &client});
	assert_int_equal(run_wait(&run), DIAL_CONNECTED);
	assert_int_equal(run.dial.error, 0);
	run_end(&run);
}

static void test_loop(void **state)
{
	static const struct {
		const char *target, *own;
		bool loop;
	} cases[] = {
		{"127.0.0.1:1", "127.0.0.1:1", true},  {"127.0.0.1:1", "0.0.0.0:1", true},
		{"127.9.9.9:1", "0.0.0.0:1", true},    {"0.0.0.0:1", "127.0.0.1:1", true},
		{"[::1]:1", "[::1]:1", true},	       {"[::1]:1", "[::]:1", true},
		{"[::]:1", "[::1]:1", true},	       {"127.0.0.1:1", "127.0.0.1:2", false},
		{"127.0.0.1:1", "127.0.0.2:1", false}, {"127.0.0.1:1", "0.0.0.0:2", false},
		{"127.0.0.1:1", "[::]:1", false},      {"[::1]:1", "0.0.0.0:1", false},
		{"192.0.2.1:1", "0.0.0.0:1", false},   {"[2001:db8::1]:1", "[::]:1", false},
	};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		/* The one that matters stands last among others. */
		struct addr own[] = {at("127.0.0.1:7"), at("[::1]:7"), at(cases[i].own)};
		struct addr target = at(cases[i].target), client = at("127.0.0.1:9");
		struct chainer_conf conf = to(&target);
		struct run run;
		struct own_addrs owned = {own, ARRAY_LEN(own)};
		enum dial_outcome outcome =
			run_dial(&run, &conf, (struct dial_request){.client = &client, .own = &owned});

		if ((outcome == DIAL_LOOP) != cases[i].loop)
			fail_msg("%s with %s: %s", cases[i].target, cases[i].own, rddr_dial_outcome_name(outcome));
		if (cases[i].loop)
			assert_int_equal(run.dial.error, ELOOP);
		run_end(&run);
	}
}

static void test_local(void **state)
{
	static const struct {
		const char *server, *local, *taken; /* taken: bound by another */
		enum dial_outcome outcome;
		int error;
	} cases[] = {
		{"127.0.0.1", "127.0.0.5", NULL, DIAL_CONNECTED, 0},
		{"127.0.0.1", "127.0.0.5:777", NULL, DIAL_CONNECTED, 0},
		{"::1", "::1", NULL, DIAL_CONNECTED, 0},
		{"::1", "[::1]:777", NULL, DIAL_CONNECTED, 0},
		{"127.0.0.1", "127.0.0.5:777", "127.0.0.5:777", DIAL_NO_PORT, EADDRINUSE},
		{"::1", "[::1]:777", "[::1]:777", DIAL_NO_PORT, EADDRINUSE},
		{"127.0.0.1", "192.0.2.1", NULL, DIAL_FAILED, EADDRNOTAVAIL},
		{"::1", "2001:db8::1", NULL, DIAL_FAILED, EADDRNOTAVAIL},
		{"127.0.0.1", "::1", NULL, DIAL_FAILED, EAFNOSUPPORT},
		{"::1", "127.0.0.1", NULL, DIAL_FAILED, EAFNOSUPPORT},
	};

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct addr server = at(cases[i].server), client = at("127.0.0.1:9"), local = at(cases[i].local), from;
		_held_fd_ int listener = listen_at(&server), blocker = -1;
		struct chainer_conf conf = to(&server);
		struct run run;

		if (cases[i].taken) {
			struct addr taken = at(cases[i].taken);

			blocker = block_port(&taken);
		}
		conf.local = local;
		conf.has_local = true;
		enum dial_outcome outcome = run_dial(&run, &conf, (struct dial_request){.client = &client});
		if (outcome != cases[i].outcome || run.dial.error != cases[i].error)
			fail_msg("%s from %s: %s, %s", cases[i].server, cases[i].local, rddr_dial_outcome_name(outcome),
				 strerror(run.dial.error));
		if (outcome == DIAL_CONNECTED) {
			_held_fd_ int fd = accept_from(listener, &from);

			assert_true(rddr_addr_same_host(&from, &local));
			assert_true(!rddr_addr_port(&local) || rddr_addr_equal(&from, &local));
			assert_true(rddr_addr_same_host(&run.dial.local, &local));
			/* Ours closes last: its port is free again at once. */
			shutdown(fd, SHUT_RDWR);
		}
		run_end(&run);
	}
}

/* A fixed local port can serve connections to several servers. */
static void test_local_port_shared(void **state)
{
	struct addr servers[] = {at("127.0.0.1"), at("127.0.0.2")}, client = at("127.0.0.1:9");
	_held_fd_ int first = listen_at(&servers[0]), second = listen_at(&servers[1]);
	struct run runs[2];

	(void)state;
	NEED_OWN_NET();
	for (size_t i = 0; i < 2; i++) {
		struct chainer_conf conf = to(&servers[i]);

		conf.local = at("127.0.0.1:778");
		conf.has_local = true;
		assert_int_equal(run_dial(&runs[i], &conf, (struct dial_request){.client = &client}), DIAL_CONNECTED);
	}
	for (size_t i = 0; i < 2; i++)
		run_end(&runs[i]);
}

/* The only port that the kernel gives out is the one that is dialled: the socket connects to itself. */
static void test_connected_to_itself(void **state)
{
	struct addr server = at("127.0.0.1:20001");

	(void)state;
	NEED_OWN_NET();
	assert_true(net_write("/proc/sys/net/ipv4/ip_local_port_range", "20000 20000"));
	ends_with("127.0.0.1:20000", DIAL_REFUSED, ECONNREFUSED);
	ends_with("[::1]:20000", DIAL_REFUSED, ECONNREFUSED);

	struct chainer_conf conf = to(&server);
	struct run run;
	assert_true(net_write("/proc/sys/net/ipv4/ip_local_port_range", "20001 20001"));
	conf.forge_addr = true;
	assert_int_equal(run_dial(&run, &conf, (struct dial_request){.client = &server}), DIAL_REFUSED);
	run_end(&run);
	assert_true(net_write("/proc/sys/net/ipv4/ip_local_port_range", "32768 60999"));
}

static void test_no_descriptor(void **state)
{
	struct addr server = at("127.0.0.1:1"), client = at("127.0.0.1:9");
	struct chainer_conf conf = to(&server);
	struct rlimit before, none;
	struct run run;

	(void)state;
	run_begin(&run);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	enum dial_outcome outcome = run_start(&run, &conf, (struct dial_request){.client = &client});
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(outcome, DIAL_FAILED);
	assert_int_equal(run.dial.error, EMFILE);
	assert_int_equal(run.dial.fd, -1);
	run_end(&run);
}

static void test_adopt(void **state)
{
	struct addr server = at("127.0.0.1"), client = at("127.0.0.1:9"), destination = at("127.0.0.1:8"), from;
	struct chainer_conf conf = to(&server);
	struct run run;

	(void)state;
	NEED_OWN_NET();
	_held_fd_ int listener = listen_at(&server);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, &server.sa, rddr_addr_len(&server)), -1);
	assert_int_equal(errno, EINPROGRESS);
	_held_fd_ int accepted = accept_from(listener, &from);

	run_begin(&run);
	const struct dial_request request = {.loop = run.loop, .client = &client, .destination = &destination};
	assert_int_equal(rddr_chainer_adopt(&run.dial, &conf, &request, fd), DIAL_CONNECTED);
	assert_int_equal(run.dial.fd, fd);
	assert_true(rddr_addr_equal(&run.dial.local, &from));
	assert_true(rddr_addr_equal(&run.dial.remote, &server));
	assert_int_not_equal(run.dial.watch.slot, 0);
	run_end(&run);

	/* What is not connected, or no connection of the Internet's, is refused and closed. */
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	_held_fd_ int other = pair[1];
	const int bad[] = {socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[0]};
	const int errors[] = {ENOTCONN, EAFNOSUPPORT};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		run_begin(&run);
		assert_int_equal(rddr_chainer_adopt(&run.dial, &conf, &(struct dial_request){.loop = run.loop}, bad[i]),
				 DIAL_FAILED);
		assert_int_equal(run.dial.error, errors[i]);
		assert_int_equal(run.dial.fd, -1);
		assert_int_equal(fcntl(bad[i], F_GETFD), -1);
		run_end(&run);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_what_is_local),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_connects),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_reset_at_once),
		cmocka_unit_test(test_greeting),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_dial_again),
		cmocka_unit_test(test_loop),
		cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_local),
		cmocka_unit_test(test_local_port_shared),
		cmocka_unit_test(test_connected_to_itself),
		cmocka_unit_test(test_no_descriptor),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
