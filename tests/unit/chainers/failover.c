// SPDX-License-Identifier: BSD-2-Clause
#include "net.h"

#include <sys/resource.h>

#include "hosts.h"

/* Three hosts on the loopback: those of `up` listen, the others refuse. */
struct trio {
	struct chainer_conf conf;
	struct addr client;
	int listeners[3];
};

static void trio_begin(struct trio *t, unsigned up)
{
	static unsigned number;
	char name[16];

	*t = (struct trio){.conf.ops = &rddr_chainer_failover, .client = at("127.0.0.1:9")};
	t->conf.hosts = calloc(3, sizeof(*t->conf.hosts));
	t->conf.n_hosts = 3;
	for (unsigned i = 0; i < 3; i++) {
		struct addr a = at(i == 2 ? "::1" : "127.0.0.1");

		t->listeners[i] = listen_at(&a);
		t->conf.hosts[i].address = a;
	}
	for (unsigned i = 0; i < 3; i++) {
		if (!(up & 1u << i))
			rddr_own_close(&t->listeners[i]);
	}
	snprintf(name, sizeof(name), "trio%u", number++);
	assert_int_equal(rddr_chainer_bind(&t->conf, name), 0);
}

static void trio_end(struct trio *t)
{
	rddr_chainer_conf_clear(&t->conf);
	for (unsigned i = 0; i < 3; i++)
		rddr_own_close(&t->listeners[i]);
}

static bool is_down(const struct trio *t, unsigned i, const struct run *run)
{
	return rddr_hosts_is_down(t->conf.hosts[i].state, rddr_loop_now(run->loop));
}

/* One dial; which host it got, or -1. */
static int got(struct trio *t, struct run *run)
{
	int host = -1;

	if (run_dial(run, &t->conf, (struct dial_request){.client = &t->client}) != DIAL_CONNECTED)
		return -1;
	for (int i = 0; i < 3; i++) {
		if (rddr_addr_equal(&run->dial.remote, &t->conf.hosts[i].address))
			host = i;
	}
	return host;
}

static void test_current_stays(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 7);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(got(&t, &run), 0);
		run_end(&run);
	}
	rddr_hosts_turn(t.conf.ring); /* the operator moves on */
	assert_int_equal(got(&t, &run), 1);
	assert_int_equal(run.dial.hosts_failed + run.dial.hosts_skipped, 0);
	run_end(&run);
	trio_end(&t);
}

static void test_rotate(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 7);
	t.conf.rotate = true;
	for (int i = 0; i < 7; i++) {
		assert_int_equal(got(&t, &run), i % 3);
		run_end(&run);
	}
	trio_end(&t);
}

static void test_next_when_refused(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 4);
	assert_int_equal(got(&t, &run), 2);
	assert_int_equal(run.dial.hosts_failed, 2);
	assert_true(is_down(&t, 0, &run) && is_down(&t, 1, &run) && !is_down(&t, 2, &run));
	assert_int_equal(rddr_hosts_current(t.conf.ring), 2);
	assert_int_equal(run.dial.error, 0);
	run_end(&run);

	/* Moved on by hand: those that are down are passed over. */
	rddr_hosts_turn(t.conf.ring);
	assert_int_equal(got(&t, &run), 2);
	assert_int_equal(run.dial.hosts_failed, 0);
	assert_int_equal(run.dial.hosts_skipped, 2);
	run_end(&run);
	trio_end(&t);
}

static void test_expiry(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 7);
	run_begin(&run);
	rddr_hosts_mark_down(t.conf.hosts[0].state, 0, rddr_loop_now(run.loop) + 100000);
	run_end(&run);
	assert_int_equal(got(&t, &run), 1);
	run_end(&run);
	rddr_hosts_move(t.conf.ring, 1, 0);
	rddr_hosts_mark_down(t.conf.hosts[0].state, 0, 1); /* long ago */
	assert_int_equal(got(&t, &run), 0);
	run_end(&run);
	trio_end(&t);
}

static void test_second_lap(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 2);
	/* The only one that is up is thought to be down. */
	run_begin(&run);
	rddr_hosts_mark_down(t.conf.hosts[1].state, 0, rddr_loop_now(run.loop) + 100000);
	run_end(&run);
	assert_int_equal(got(&t, &run), 1);
	assert_true(run.dial.second_lap);
	assert_int_equal(run.dial.hosts_skipped, 1);
	assert_int_equal(run.dial.hosts_failed, 3);
	assert_false(is_down(&t, 1, &run));
	run_end(&run);
	trio_end(&t);

	/* All refuse: each is tried twice, and that is that. */
	trio_begin(&t, 0);
	assert_int_equal(got(&t, &run), -1);
	assert_int_equal(run.outcome, DIAL_REFUSED);
	assert_int_equal(run.dial.error, ECONNREFUSED);
	assert_int_equal(run.dial.hosts_failed, 6);
	run_end(&run);
	trio_end(&t);
}

static void test_bounded(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 4);
	t.conf.attempts = 2;
	assert_int_equal(got(&t, &run), -1);
	assert_int_equal(run.dial.hosts_failed, 2);
	assert_int_equal(run.outcome, DIAL_REFUSED);
	run_end(&run);
	trio_end(&t);
}

/* A host that does not answer: its backlog is full, so the SYN is dropped. */
static void test_host_timeout(void **state)
{
	struct addr full = at("127.0.0.1");
	_owned_fd_ int listener = listen_at(&full);
	int fillers[8];
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	assert_int_equal(listen(listener, 0), 0);
	for (size_t i = 0; i < ARRAY_LEN(fillers); i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fillers[i], &full.sa, rddr_addr_len(&full)) < 0)
			assert_int_equal(errno, EINPROGRESS);
	}
	trio_begin(&t, 7);
	rddr_hosts_put(&t.conf.hosts[0].state);
	t.conf.hosts[0].address = full;
	t.conf.host_timeout = 50;
	assert_int_equal(rddr_chainer_bind(&t.conf, "full"), 0);
	assert_int_equal(got(&t, &run), 1);
	assert_int_equal(run.dial.hosts_failed, 1);
	assert_true(is_down(&t, 0, &run));
	run_end(&run);

	/* The caller's deadline comes first: the host that was being waited for is to blame all the same. */
	rddr_hosts_mark_up(t.conf.hosts[0].state);
	rddr_hosts_move(t.conf.ring, 1, 0);
	run_begin(&run);
	assert_int_equal(run_start(&run, &t.conf, (struct dial_request){.client = &t.client}), DIAL_PENDING);
	rddr_chainer_give_up(&run.dial);
	assert_int_equal(run.dial.error, ETIMEDOUT);
	assert_int_equal(run.dial.fd, -1);
	assert_true(is_down(&t, 0, &run));
	run_end(&run);

	/* Cancelled, nobody is. */
	rddr_hosts_mark_up(t.conf.hosts[0].state);
	run_begin(&run);
	assert_int_equal(run_start(&run, &t.conf, (struct dial_request){.client = &t.client}), DIAL_PENDING);
	rddr_chainer_cancel(&run.dial);
	assert_false(is_down(&t, 0, &run));
	run_end(&run);
	trio_end(&t);
	for (size_t i = 0; i < ARRAY_LEN(fillers); i++)
		close(fillers[i]);
}

static void test_local_errors(void **state)
{
	struct rlimit files, none;
	struct addr taken = at("127.0.0.1");
	struct own_addrs own;
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	/* No descriptors. */
	trio_begin(&t, 7);
	run_begin(&run);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	none = files;
	none.rlim_cur = (rlim_t)next_fd();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	run_start(&run, &t.conf, (struct dial_request){.client = &t.client});
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	assert_int_equal(run.outcome, DIAL_FAILED);
	assert_int_equal(run.dial.error, EMFILE);
	for (unsigned i = 0; i < 3; i++)
		assert_false(is_down(&t, i, &run));
	run_end(&run);

	/* The local port is taken: at the hosts of that family. */
	_held_fd_ int blocker = listen_at(&taken);
	t.conf.n_hosts = 2;
	t.conf.has_local = true;
	t.conf.local = taken;
	assert_int_equal(got(&t, &run), -1);
	assert_int_equal(run.outcome, DIAL_NO_PORT);
	assert_int_equal(run.dial.error, EADDRINUSE);
	assert_false(is_down(&t, 0, &run) || is_down(&t, 1, &run));
	run_end(&run);
	t.conf.n_hosts = 3;
	t.conf.has_local = false;

	/* One is the daemon itself: passed over. */
	own = (struct own_addrs){&t.conf.hosts[0].address, 1};
	assert_int_equal(run_dial(&run, &t.conf, (struct dial_request){.client = &t.client, .own = &own}),
			 DIAL_CONNECTED);
	assert_true(rddr_addr_equal(&run.dial.remote, &t.conf.hosts[1].address));
	assert_false(is_down(&t, 0, &run));
	run_end(&run);
	trio_end(&t);
}

/* A client of one family is not forged towards a host of the other: the next one may fit. */
static void test_families(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	trio_begin(&t, 7);
	t.conf.forge_addr = true;
	t.client = at("[::1]:5000");
	assert_int_equal(got(&t, &run), 2);
	assert_true(run.dial.forged);
	assert_int_equal(run.dial.hosts_failed, 0);
	run_end(&run);
	trio_end(&t);
}

static void test_no_descriptor_left(void **state)
{
	struct trio t;
	struct run run;

	(void)state;
	NEED_OWN_NET();
	int before = next_fd();
	trio_begin(&t, 0);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(got(&t, &run), -1);
		run_end(&run);
	}
	trio_end(&t);
	assert_int_equal(next_fd(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_current_stays),	  cmocka_unit_test(test_rotate),
		cmocka_unit_test(test_next_when_refused), cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_second_lap),	  cmocka_unit_test(test_bounded),
		cmocka_unit_test(test_host_timeout),	  cmocka_unit_test(test_local_errors),
		cmocka_unit_test(test_families),	  cmocka_unit_test(test_no_descriptor_left),
	};

	return cmocka_run_group_tests(tests, net_setup, NULL);
}
