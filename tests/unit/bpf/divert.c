// SPDX-License-Identifier: BSD-2-Clause
/*
 * What divert decides, counts and remembers, where no sockets are but the listeners.
 */
#include "runs.h"

static void other_bits_of_the_mark_survive(void **state)
{
	struct spec syn = packet(AF_INET, 80, SYN);
	uint32_t mark;

	(void)state;
	assert_int_equal(run_marked(&syn, programs.ifindex, 0x41abcdef, &mark), MARK);
	assert_int_equal(mark, 0x52abcdef);
}

static void what_was_decided_below_stays(void **state)
{
	struct spec syn = packet(AF_INET, 80, SYN), other = packet(AF_INET, 79, SYN);
	struct rddr_flow flow = flow_of_spec(&syn);
	uint32_t mark;

	(void)state;
	assert_int_equal(run_marked(&syn, programs.ifindex, 0x52000001, &mark), PASS);
	assert_int_equal(mark, 0x52000001);
	assert_int_equal(remembered(&flow), 0);
	/* A VLAN's own rules may know nothing of it: the flow is not forgotten there. */
	flow = flow_of_spec(&other);
	remember(&flow, RDDR_FLOW_STEERED, 0);
	assert_int_equal(run_marked(&other, programs.ifindex, 0x52000001, &mark), PASS);
	assert_int_equal(remembered(&flow), RDDR_FLOW_STEERED);
}

static void lo_is_let_alone(void **state)
{
	struct spec syn = packet(AF_INET, 80, SYN);
	uint32_t mark;

	(void)state;
	assert_int_equal(run_marked(&syn, 0, 0, &mark), PASS);
}

static void set_detached(struct rddr_control *c)
{
	c->attached = 0;
}

static void set_attached(struct rddr_control *c)
{
	c->attached = 1;
}

static void nothing_is_marked_when_detached(void **state)
{
	struct spec syn = packet(AF_INET, 80, SYN), fragment = {V4, .offset = 3};

	(void)state;
	set_control(set_detached);
	assert_int_equal(run(&syn), PASS);
	assert_int_equal(run(&fragment), PASS);
	set_control(set_attached);
	assert_int_equal(run(&syn), MARK);
}

/* ---- rules 1, 3, 4 ---- */

static void a_syn_is_remembered_and_its_connection_marked(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec syn = packet(f, 80, SYN), ack = packet(f, 80, ACK), rst = packet(f, 80, RST);
		struct rddr_flow flow = flow_of_spec(&syn);
		uint64_t marked = counter("divert_diverted_marked");

		assert_int_equal(run(&syn), MARK);
		assert_int_equal(remembered(&flow), RDDR_FLOW_STEERED);
		assert_int_equal(run(&ack), MARK);
		assert_int_equal(run(&rst), MARK);
		assert_int_equal(counter("divert_diverted_marked"), marked + 2);
	}
}

/* Only the SYN, and only while a daemon is live. */
static void a_syn_of_a_service_with_admission_is_marked_to_be_held(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec syn = packet(f, 83, SYN), ack = packet(f, 83, ACK);
		uint64_t held = counter("divert_syn_held");
		uint32_t mark;

		live();
		assert_int_equal(run_marked(&syn, programs.ifindex, 0x41000001, &mark), MARK);
		assert_int_equal(mark, 0x52000001 | RDDR_FWMARK_HOLD);
		assert_int_equal(counter("divert_syn_held"), held + 1);
		assert_int_equal(run(&ack), MARK);
		dead();
		assert_int_equal(run(&syn), DROP);
		assert_int_equal(counter("divert_syn_held"), held + 1);
	}
}

static void a_dead_daemons_connections_are_dropped(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		for (uint16_t port = 80; port < 83; port++) {
			struct spec syn = packet(f, port, SYN), ack = packet(f, port, ACK);
			uint64_t dropped = counter("divert_diverted_dropped");

			live();
			assert_int_equal(run(&syn), MARK);
			dead();
			assert_int_equal(run(&ack), DROP);
			assert_int_equal(counter("divert_diverted_dropped"), dropped + 1);
			live();
			assert_int_equal(run(&ack), MARK);
		}
	}
}

static void when_down_closed_drops(void **state)
{
	(void)state;
	dead();
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec syn = packet(f, 80, SYN);
		struct rddr_flow flow = flow_of_spec(&syn);
		uint64_t dropped = counter("divert_down_dropped");

		assert_int_equal(run(&syn), DROP);
		assert_int_equal(counter("divert_down_dropped"), dropped + 1);
		assert_int_equal(remembered(&flow), 0);
	}
}

static void when_down_open_passes_whole_connections(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		/* 82 resets connections from before attach: one that was let pass is none. */
		for (uint16_t port = 81; port < 83; port++) {
			struct spec syn = packet(f, port, SYN), ack = packet(f, port, ACK);
			struct spec answer = reversed(&syn, SYN | ACK), data = reversed(&syn, ACK);

			live();
			assert_int_equal(run(&syn), MARK);
			dead();
			assert_int_equal(run(&syn), PASS);
			assert_int_equal(run(&answer), PASS);
			assert_int_equal(run(&ack), PASS);
			assert_int_equal(run(&data), PASS);
			live();
			assert_int_equal(run(&ack), PASS);
			assert_int_equal(run(&data), PASS);
			assert_int_equal(run(&syn), MARK);
			assert_int_equal(run(&ack), MARK);
		}
	}
}

static void existing_connections_are_kept_or_reset(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec keep = packet(f, 80, ACK), reset = packet(f, 82, ACK), none = packet(f, 79, ACK);
		struct spec odd = packet(f, 82, SYN | ACK);
		uint64_t kept = counter("divert_existing_kept"), dropped = counter("divert_existing_dropped");

		assert_int_equal(run(&keep), PASS);
		assert_int_equal(run(&reset), DROP);
		assert_int_equal(run(&none), PASS);
		assert_int_equal(run(&odd), DROP);
		assert_int_equal(counter("divert_existing_kept"), kept + 1);
		assert_int_equal(counter("divert_existing_dropped"), dropped + 2);
	}
}

static void a_syn_let_pass_ends_what_was_remembered(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec syn = packet(f, 80, SYN), ack = packet(f, 80, ACK);
		struct spec data = reversed(&syn, ACK);
		struct rddr_flow flow = flow_of_spec(&syn), back = flow_of_spec(&data);

		publish(services);
		assert_int_equal(run(&syn), MARK);
		remember(&back, RDDR_FLOW_REPLY, 0);
		publish(nothing);
		assert_int_equal(run(&ack), MARK);
		assert_int_equal(run(&syn), PASS);
		assert_int_equal(remembered(&flow), 0);
		assert_int_equal(remembered(&back), 0);
		assert_int_equal(run(&ack), PASS);
		assert_int_equal(run(&data), PASS);
	}
}

static void a_servers_own_answer_to_a_steered_syn_is_dropped(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec syn = packet(f, 80, SYN), answer = reversed(&syn, SYN | ACK);

		assert_int_equal(run(&answer), PASS);
		assert_int_equal(run(&syn), MARK);
		assert_int_equal(run(&answer), DROP);
	}
}

static void only_listeners_with_a_heartbeat_count(void **state)
{
	struct spec syn4 = packet(AF_INET, 80, SYN), syn6 = packet(AF_INET6, 80, SYN);
	int fd = bpf_map__fd(programs.steer->maps.listeners);

	(void)state;
	for (uint32_t slot = 0; slot < WORKERS * 2; slot += 2)
		assert_int_equal(bpf_map_delete_elem(fd, &slot), 0);
	assert_int_equal(run(&syn4), DROP);
	assert_int_equal(run(&syn6), MARK);
	/* One worker is enough, whichever the hash would pick. */
	assert_int_equal(rddr_steering_publish_listener(programs.steering, 1, AF_INET, programs.listeners[1][0]), 0);
	for (uint16_t port = 4000; port < 4032; port++) {
		syn4.source_port = port;
		assert_int_equal(run(&syn4), MARK);
	}
	assert_int_equal(rddr_steering_publish_listener(programs.steering, 0, AF_INET, programs.listeners[0][0]), 0);
}

static void no_table_steers_nothing(void **state)
{
	struct spec syn = packet(AF_INET, 80, SYN), fragment = {V4, .offset = 3};
	int fd = bpf_map__fd(programs.steer->maps.services);
	uint32_t zero = 0;

	(void)state;
	assert_int_equal(bpf_map_delete_elem(fd, &zero), 0);
	assert_int_equal(run(&syn), PASS);
	assert_int_equal(run(&fragment), PASS);
	publish(services);
	assert_int_equal(run(&syn), MARK);
}

/* ---- rule 5: ICMP ---- */

static void icmp_errors_follow_their_flow(void **state)
{
	static const uint8_t errors4[] = {3, 4, 11, 12}, errors6[] = {1, 2, 3, 4};

	(void)state;
	for (int i = 0; i < 2; i++) {
		int f = i ? AF_INET6 : AF_INET;

		struct spec syn = packet(f, 80, SYN), sent = reversed(&syn, ACK), other = sent, error;
		uint64_t marked = counter("divert_icmp_marked"), dropped = counter("divert_icmp_dropped");

		other.destination_port = 4001;
		assert_int_equal(run(&syn), MARK);
		for (size_t k = 0; k < 4; k++) {
			error = icmp(&sent, (f == AF_INET ? errors4 : errors6)[k]);
			assert_int_equal(run(&error), MARK);
			error = icmp(&other, (f == AF_INET ? errors4 : errors6)[k]);
			assert_int_equal(run(&error), PASS);
		}
		error = icmp(&sent, f == AF_INET ? 8 : 128); /* echo */
		assert_int_equal(run(&error), PASS);
		assert_int_equal(counter("divert_icmp_marked"), marked + 4);
		dead();
		error = icmp(&sent, f == AF_INET ? 3 : 2);
		assert_int_equal(run(&error), DROP);
		assert_int_equal(counter("divert_icmp_dropped"), dropped + 1);
		live();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(other_bits_of_the_mark_survive),
		TEST(what_was_decided_below_stays),
		TEST(lo_is_let_alone),
		TEST(nothing_is_marked_when_detached),
		TEST(a_syn_is_remembered_and_its_connection_marked),
		TEST(a_syn_of_a_service_with_admission_is_marked_to_be_held),
		TEST(a_dead_daemons_connections_are_dropped),
		TEST(when_down_closed_drops),
		TEST(when_down_open_passes_whole_connections),
		TEST(existing_connections_are_kept_or_reset),
		TEST(a_syn_let_pass_ends_what_was_remembered),
		TEST(a_servers_own_answer_to_a_steered_syn_is_dropped),
		TEST(only_listeners_with_a_heartbeat_count),
		TEST(no_table_steers_nothing),
		TEST(icmp_errors_follow_their_flow),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
