// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs steer on made-up lookups (BPF_PROG_TEST_RUN), and looks at which socket it picks. The kernel takes no interface
 * for them: that lo is let alone is seen in 10-steering.bats.
 */
#include "programs.h"

struct lookup {
	int family;
	uint32_t protocol;
	const char *remote, *local;
};

static struct lookup plain(int family)
{
	struct lookup l = {.family = family, .protocol = IPPROTO_TCP};

	l.remote = family == AF_INET ? "10.0.1.2" : "fd00:0:0:1::2";
	l.local = family == AF_INET ? "10.0.2.2" : "fd00:0:0:2::2";
	return l;
}

static uint64_t cookie_of(int fd)
{
	socklen_t len = sizeof(uint64_t);
	uint64_t cookie = 0;

	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len), 0);
	return cookie;
}

/* The picked socket's cookie; 0: none. */
static uint64_t run(const struct lookup *l, uint32_t *retval)
{
	struct bpf_sk_lookup ctx = {
		.family = (uint32_t)l->family, .protocol = l->protocol, .remote_port = htons(4000), .local_port = 80};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .ctx_out = &ctx,
		    .ctx_size_out = sizeof(ctx));

	if (l->family == AF_INET) {
		inet_pton(AF_INET, l->remote, &ctx.remote_ip4);
		inet_pton(AF_INET, l->local, &ctx.local_ip4);
	} else {
		inet_pton(AF_INET6, l->remote, ctx.remote_ip6);
		inet_pton(AF_INET6, l->local, ctx.local_ip6);
	}
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(programs.steer->progs.steer), &opts), 0);
	*retval = opts.retval;
	return ctx.cookie;
}

static void nothing_picked(const struct lookup *l)
{
	uint32_t retval;

	assert_int_equal(run(l, &retval), 0);
	assert_int_equal(retval, SK_PASS);
}

static void remember_as(const struct lookup *l, uint8_t kind, uint8_t worker)
{
	struct rddr_flow flow;

	flow_of(&flow, l->remote, 4000, l->local, 80);
	remember(&flow, kind, worker);
}

static int before_each(void **state)
{
	(void)state;
	forget_all();
	live();
	return 0;
}

static const int families[] = {AF_INET, AF_INET6};

static void the_worker_that_divert_picked_gets_it(void **state)
{
	uint64_t assigned = counter("steer_assigned");
	uint32_t retval;

	(void)state;
	for (int f = 0; f < 2; f++) {
		struct lookup l = plain(families[f]);

		for (uint8_t worker = 0; worker < WORKERS; worker++) {
			remember_as(&l, RDDR_FLOW_STEERED, worker);
			assert_int_equal(run(&l, &retval), cookie_of(programs.listeners[worker][f]));
			assert_int_equal(retval, SK_PASS);
		}
	}
	assert_int_equal(counter("steer_assigned"), assigned + 4);
}

static void what_divert_did_not_bring_is_let_alone(void **state)
{
	static const uint8_t kinds[] = {0, RDDR_FLOW_REPLY, RDDR_FLOW_PASSED};

	(void)state;
	for (int f = 0; f < 2; f++) {
		struct lookup l = plain(families[f]), other = l;

		nothing_picked(&l);
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
			remember_as(&l, kinds[i], 0);
			nothing_picked(&l);
		}
		remember_as(&l, RDDR_FLOW_STEERED, 0);
		other.local = families[f] == AF_INET ? "10.0.2.3" : "fd00:0:0:2::3";
		nothing_picked(&other);
	}
}

static void other_protocols_are_let_alone(void **state)
{
	(void)state;
	for (int f = 0; f < 2; f++) {
		struct lookup l = plain(families[f]);

		remember_as(&l, RDDR_FLOW_STEERED, 0);
		l.protocol = IPPROTO_UDP;
		nothing_picked(&l);
	}
}

static void set_detached(struct rddr_control *c)
{
	c->attached = 0;
}

static void set_attached(struct rddr_control *c)
{
	c->attached = 1;
}

static void nothing_is_picked_when_detached(void **state)
{
	struct lookup l = plain(AF_INET);

	(void)state;
	remember_as(&l, RDDR_FLOW_STEERED, 0);
	set_control(set_detached);
	nothing_picked(&l);
	set_control(set_attached);
}

static void set_second_stale(struct rddr_control *c)
{
	c->heartbeat[1] = 0;
}

static void a_worker_that_hangs_is_passed_over(void **state)
{
	uint32_t retval;

	(void)state;
	set_control(set_second_stale);
	for (int f = 0; f < 2; f++) {
		struct lookup l = plain(families[f]);

		remember_as(&l, RDDR_FLOW_STEERED, 1);
		assert_int_equal(run(&l, &retval), cookie_of(programs.listeners[0][f]));
		assert_int_equal(retval, SK_PASS);
	}
}

static void a_worker_past_the_last_is_some_other(void **state)
{
	struct lookup l = plain(AF_INET);
	uint32_t retval;

	(void)state;
	/* It was picked when there were more of them. */
	remember_as(&l, RDDR_FLOW_STEERED, 63);
	assert_int_equal(run(&l, &retval), cookie_of(programs.listeners[1][0]));
}

static void with_no_live_worker_nobody_else_gets_it(void **state)
{
	uint64_t dropped = counter("steer_no_listener");
	uint32_t retval;

	(void)state;
	dead();
	for (int f = 0; f < 2; f++) {
		struct lookup l = plain(families[f]);

		remember_as(&l, RDDR_FLOW_STEERED, 0);
		assert_int_equal(run(&l, &retval), 0);
		assert_int_equal(retval, SK_DROP);
	}
	assert_int_equal(counter("steer_no_listener"), dropped + 2);
}

static void a_heartbeat_goes_stale(void **state)
{
	struct rddr_control control;
	struct lookup l = plain(AF_INET);
	uint32_t zero = 0, retval;
	int fd = bpf_map__fd(programs.steer->maps.control);

	(void)state;
	remember_as(&l, RDDR_FLOW_STEERED, 0);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &control), 0);
	/* Just as old as the bound allows but for the time that has passed since; then one step past it. */
	for (unsigned w = 0; w < WORKERS; w++)
		control.heartbeat[w] -= control.stale_after - 600 * 1000000000ull;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &control, BPF_ANY), 0);
	assert_int_equal(run(&l, &retval), cookie_of(programs.listeners[0][0]));
	for (unsigned w = 0; w < WORKERS; w++)
		control.heartbeat[w] -= 600 * 1000000000ull;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &control, BPF_ANY), 0);
	assert_int_equal(run(&l, &retval), 0);
	assert_int_equal(retval, SK_DROP);
	/* Ahead of now, as another CPU's clock may be. */
	live();
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &control), 0);
	control.heartbeat[0] += 1000000000ull;
	assert_int_equal(bpf_map_update_elem(fd, &zero, &control, BPF_ANY), 0);
	assert_int_equal(run(&l, &retval), cookie_of(programs.listeners[0][0]));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, before_each)
	const struct CMUnitTest tests[] = {
		TEST(the_worker_that_divert_picked_gets_it),   TEST(what_divert_did_not_bring_is_let_alone),
		TEST(other_protocols_are_let_alone),	       TEST(nothing_is_picked_when_detached),
		TEST(a_worker_that_hangs_is_passed_over),      TEST(a_worker_past_the_last_is_some_other),
		TEST(with_no_live_worker_nobody_else_gets_it), TEST(a_heartbeat_goes_stale),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
