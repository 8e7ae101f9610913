// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs divert on made-up packets (BPF_PROG_TEST_RUN), and looks at what it decides, counts and remembers.
 */
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/pkt_cls.h>
#include <poll.h>
#include <sys/ioctl.h>

#include "frames.h"
#include "programs.h"

enum decision { PASS, MARK, DROP };

static const char *const decision_names[] = {"pass", "mark", "drop"};

/* shop: both families, port 80. open: port 81, lets pass when down. reset: port 82. */
static const char services[] = "services:\n"
			       "  shop: &shop\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 80 }\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n"
			       "  open:\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 81 }\n"
			       "    when-down: open\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n"
			       "  reset:\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 82 }\n"
			       "    when-down: open\n"
			       "    existing: reset\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n";

static const char nothing[] = "services:\n"
			      "  other:\n"
			      "    direction: incoming\n"
			      "    intercept: { address: 10.99.99.99, port: 80 }\n"
			      "    instances: [ { name: one, chainer: transparent } ]\n";

static enum decision run_marked(const struct spec *spec, unsigned ifindex, uint32_t mark, uint32_t *mark_out)
{
	struct __sk_buff in = {.ifindex = ifindex, .mark = mark}, out = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct frame frame;
	char name[IF_NAMESIZE];
	struct ifreq request = {0};
	int fd;

	frame_of(&frame, spec);
	if (!spec->for_others) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		strcpy(request.ifr_name, if_indextoname(ifindex ? ifindex : 1, name));
		assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
		memcpy(frame.data, request.ifr_hwaddr.sa_data, 6);
		close(fd);
	}
	opts.data_in = frame.data;
	opts.data_size_in = (uint32_t)frame.len;
	opts.ctx_in = &in;
	opts.ctx_size_in = sizeof(in);
	opts.ctx_out = &out;
	opts.ctx_size_out = sizeof(out);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(programs.divert->progs.divert), &opts), 0);
	*mark_out = out.mark;
	if ((int)opts.retval == TC_ACT_SHOT)
		return DROP;
	assert_int_equal((int)opts.retval, TC_ACT_UNSPEC);
	return out.mark != mark ? MARK : PASS;
}

static enum decision run(const struct spec *spec)
{
	uint32_t mark;
	enum decision decision = run_marked(spec, programs.ifindex, 0, &mark);

	assert_int_equal(mark, decision == MARK ? RDDR_FWMARK : 0);
	return decision;
}

static int before_each(void **state)
{
	(void)state;
	forget_all();
	live();
	publish(services);
	return 0;
}

#define TO4(address)		   .from = "10.0.1.2", .to = (address)
#define TO6(address)		   .from = "fd00:0:0:1::2", .to = (address)
#define PORTS(source, destination) .source_port = (source), .destination_port = (destination)
#define V4			   TO4("10.0.2.2"), PORTS(4000, 80)
#define V6			   TO6("fd00:0:0:2::2"), PORTS(4000, 80)

static struct spec packet(int family, uint16_t port, uint8_t flags)
{
	struct spec s4 = {V4}, s6 = {V6}, s = family == AF_INET ? s4 : s6;

	s.destination_port = port;
	s.flags = flags;
	return s;
}

static struct rddr_flow flow_of_spec(const struct spec *s)
{
	struct rddr_flow flow;

	flow_of(&flow, s->from, s->source_port, s->to, s->destination_port);
	return flow;
}

static struct spec reversed(const struct spec *s, uint8_t flags)
{
	struct spec r = {.from = s->to,
			 .to = s->from,
			 .source_port = s->destination_port,
			 .destination_port = s->source_port,
			 .flags = flags};

	return r;
}

static const int families[] = {AF_INET, AF_INET6};
#define each_family(f) for (unsigned family_i = 0, f = AF_INET; family_i < 2 && (f = families[family_i], 1); family_i++)

/* ---- what a packet is ---- */

static const struct {
	const char *what;
	struct spec spec;
	enum decision decision;
} parsed[] = {
	{"IPv4", {V4, .flags = SYN}, MARK},
	{"IPv6", {V6, .flags = SYN}, MARK},
	{"SYN with ECN bits", {V4, .flags = SYN | 0xc0}, MARK},
	{"SYN and FIN", {V4, .flags = SYN | FIN}, MARK},
	{"another address", {TO4("10.0.2.3"), PORTS(4000, 80), .flags = SYN}, PASS},
	{"another address, IPv6", {TO6("fd00:0:0:2::3"), PORTS(4000, 80), .flags = SYN}, PASS},
	{"another port", {TO4("10.0.2.2"), PORTS(4000, 79), .flags = SYN}, PASS},
	{"another port, IPv6", {TO6("fd00:0:0:2::2"), PORTS(4000, 79), .flags = SYN}, PASS},
	{"the port as source", {TO4("10.0.2.2"), PORTS(80, 1), .flags = SYN}, PASS},
	{"UDP", {V4, .protocol = IPPROTO_UDP, .flags = SYN}, PASS},
	{"UDP, IPv6", {V6, .protocol = IPPROTO_UDP, .flags = SYN}, PASS},
	{"ESP, IPv6", {V6, .protocol = IPPROTO_ESP}, PASS},
	{"no next header", {V6, .protocol = IPPROTO_NONE}, PASS},
	{"ARP", {V4, .ethertype = ETH_P_ARP, .flags = SYN}, PASS},
	{"another host's frame", {V4, .for_others = true, .flags = SYN}, PASS},

	{"a tag", {V4, .tags = {ETH_P_8021Q}, .flags = SYN}, MARK},
	{"a tag, IPv6", {V6, .tags = {ETH_P_8021Q}, .flags = SYN}, MARK},
	{"a service tag", {V4, .tags = {ETH_P_8021AD}, .flags = SYN}, MARK},
	{"two tags", {V4, .tags = {ETH_P_8021AD, ETH_P_8021Q}, .flags = SYN}, MARK},
	{"two tags, IPv6", {V6, .tags = {ETH_P_8021AD, ETH_P_8021Q}, .flags = SYN}, MARK},
	{"two tags of the old kind", {V6, .tags = {ETH_P_8021Q, ETH_P_8021Q}, .flags = SYN}, MARK},
	{"three tags", {V4, .tags = {ETH_P_8021AD, ETH_P_8021Q, ETH_P_8021Q}, .flags = SYN}, PASS},
	{"a tag and something else", {V4, .tags = {ETH_P_8021Q}, .ethertype = ETH_P_ARP, .flags = SYN}, PASS},
	{"two tags cut short", {V4, .tags = {ETH_P_8021AD, ETH_P_8021Q}, .cut = 42, .flags = SYN}, PASS},

	{"one word of options", {V4, .options = 1, .flags = SYN}, MARK},
	{"all of the options", {V4, .options = 10, .flags = SYN}, MARK},
	{"a header too short for IPv4", {V4, .version_ihl = 0x44, .flags = SYN}, PASS},
	{"version 6 in IPv4", {V4, .version_ihl = 0x65, .flags = SYN}, PASS},

	{"hop-by-hop", {V6, .extensions = {255}, .flags = SYN}, MARK},
	{"routing", {V6, .extensions = {43}, .flags = SYN}, MARK},
	{"destination options", {V6, .extensions = {60}, .flags = SYN}, MARK},
	{"authentication", {V6, .extensions = {51}, .flags = SYN}, MARK},
	{"mobility", {V6, .extensions = {135}, .flags = SYN}, MARK},
	{"all of them", {V6, .extensions = {255, 60, 43, 51, 60, 135, 139, 140}, .flags = SYN}, MARK},
	{"too many", {V6, .extensions = {255, 60, 43, 51, 60, 135, 139, 140, 60}, .flags = SYN}, DROP},
	{"too many, elsewhere",
	 {TO6("fd00:0:0:2::3"), PORTS(4000, 80), .extensions = {255, 60, 43, 51, 60, 135, 139, 140, 60}, .flags = SYN},
	 PASS},
	{"UDP behind them", {V6, .extensions = {255, 60}, .protocol = IPPROTO_UDP, .flags = SYN}, PASS},
	{"an extension cut short", {V6, .extensions = {60}, .cut = 20 + 22, .flags = SYN}, DROP},

	{"14 bytes of TCP", {V4, .cut = 6, .flags = SYN}, MARK},
	{"13 bytes of TCP", {V4, .cut = 7, .flags = SYN}, DROP},
	{"13 bytes of TCP, IPv6", {V6, .cut = 7, .flags = SYN}, DROP},
	{"no TCP at all", {V4, .cut = 20, .flags = SYN}, DROP},
	{"no TCP at all, IPv6", {V6, .cut = 20, .flags = SYN}, DROP},
	{"no TCP at all, elsewhere", {TO4("10.0.2.3"), PORTS(4000, 80), .cut = 20, .flags = SYN}, PASS},
	{"no TCP at all, elsewhere, IPv6", {TO6("fd00:0:0:2::3"), PORTS(4000, 80), .cut = 20, .flags = SYN}, PASS},
	/* With a tag: untagged, the kernel's test run refuses them. */
	{"half of an IPv4 header", {V4, .tags = {ETH_P_8021Q}, .cut = 30, .flags = SYN}, PASS},
	{"half of an IPv6 header", {V6, .tags = {ETH_P_8021Q}, .cut = 40, .flags = SYN}, PASS},
	{"one byte of IPv4", {V4, .tags = {ETH_P_8021Q}, .cut = 39, .flags = SYN}, PASS},

	{"a first fragment", {V4, .more = true, .flags = SYN}, DROP},
	{"a later fragment", {V4, .offset = 3, .more = true, .flags = SYN}, DROP},
	{"a last fragment", {V4, .offset = 3, .flags = SYN}, DROP},
	{"a later fragment of a few bytes", {V4, .offset = 3, .cut = 19}, DROP},
	{"a fragment of UDP", {V4, .offset = 3, .protocol = IPPROTO_UDP}, PASS},
	{"a fragment of ICMP", {V4, .offset = 3, .protocol = IPPROTO_ICMP}, PASS},
	{"a fragment for elsewhere", {TO4("10.0.2.3"), PORTS(4000, 80), .offset = 3}, PASS},
	{"a first fragment for elsewhere", {TO4("10.0.2.3"), PORTS(4000, 80), .more = true}, PASS},
	{"a first fragment, IPv6", {V6, .fragment = true, .more = true, .flags = SYN}, DROP},
	{"a later fragment, IPv6", {V6, .fragment = true, .offset = 3, .more = true}, DROP},
	{"a last fragment, IPv6", {V6, .fragment = true, .offset = 3}, DROP},
	{"a fragment of UDP, IPv6", {V6, .fragment = true, .offset = 3, .protocol = IPPROTO_UDP}, PASS},
	{"a fragment for elsewhere, IPv6",
	 {TO6("fd00:0:0:2::3"), PORTS(4000, 80), .fragment = true, .offset = 3},
	 PASS},
	{"a fragment with options before TCP", {V6, .fragment = true, .more = true, .extensions = {60}}, DROP},
	{"a fragment that is all of its packet", {V6, .fragment = true, .flags = SYN}, MARK},
	{"such a one with options", {V6, .fragment = true, .extensions = {60}, .flags = SYN}, MARK},
};

static void packets_are_understood(void **state)
{
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(parsed); i++) {
		enum decision decision = run(&parsed[i].spec);

		if (decision == parsed[i].decision)
			continue;
		print_error("%s: %s, and not %s\n", parsed[i].what, decision_names[decision],
			    decision_names[parsed[i].decision]);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void drops_of_odd_packets_are_counted(void **state)
{
	uint64_t fragments = counter("divert_fragment_dropped"), malformed = counter("divert_malformed_dropped");
	struct spec fragment = {V6, .fragment = true, .offset = 3}, cut = {V4, .cut = 7};

	(void)state;
	assert_int_equal(run(&fragment), DROP);
	assert_int_equal(run(&cut), DROP);
	assert_int_equal(counter("divert_fragment_dropped"), fragments + 1);
	assert_int_equal(counter("divert_malformed_dropped"), malformed + 1);
}

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
	each_family(f)
	{
		struct spec syn = packet((int)f, 80, SYN), ack = packet((int)f, 80, ACK), rst = packet((int)f, 80, RST);
		struct rddr_flow flow = flow_of_spec(&syn);
		uint64_t marked = counter("divert_diverted_marked");

		assert_int_equal(run(&syn), MARK);
		assert_int_equal(remembered(&flow), RDDR_FLOW_STEERED);
		assert_int_equal(run(&ack), MARK);
		assert_int_equal(run(&rst), MARK);
		assert_int_equal(counter("divert_diverted_marked"), marked + 2);
	}
}

static void a_dead_daemons_connections_are_dropped(void **state)
{
	(void)state;
	each_family(f)
	{
		for (uint16_t port = 80; port < 83; port++) {
			struct spec syn = packet((int)f, port, SYN), ack = packet((int)f, port, ACK);
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
	each_family(f)
	{
		struct spec syn = packet((int)f, 80, SYN);
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
	each_family(f)
	{
		/* 82 resets connections from before attach: one that was let pass is none. */
		for (uint16_t port = 81; port < 83; port++) {
			struct spec syn = packet((int)f, port, SYN), ack = packet((int)f, port, ACK);
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
	each_family(f)
	{
		struct spec keep = packet((int)f, 80, ACK), reset = packet((int)f, 82, ACK),
			    none = packet((int)f, 79, ACK);
		struct spec odd = packet((int)f, 82, SYN | ACK);
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
	each_family(f)
	{
		struct spec syn = packet((int)f, 80, SYN), ack = packet((int)f, 80, ACK);
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
	each_family(f)
	{
		struct spec syn = packet((int)f, 80, SYN), answer = reversed(&syn, SYN | ACK);

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

/* ---- rule 2: sockets ---- */

static void set_on(int fd, int level, int option)
{
	int on = 1;

	assert_int_equal(setsockopt(fd, level, option, &on, sizeof(on)), 0);
}

/* A socket bound to an address that may be somebody else's. */
static int forged(const char *address, uint16_t port)
{
	struct addr a;
	int fd;

	assert_int_equal(rddr_addr_parse(address, port, &a), 0);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	set_on(fd, a.sa.sa_family == AF_INET ? SOL_IP : SOL_IPV6,
	       a.sa.sa_family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT);
	set_on(fd, SOL_SOCKET, SO_REUSEADDR);
	assert_int_equal(bind(fd, &a.sa, rddr_addr_len(&a)), 0);
	return fd;
}

static void connect_to(int fd, const char *address, uint16_t port)
{
	struct addr a;

	assert_int_equal(rddr_addr_parse(address, port, &a), 0);
	if (connect(fd, &a.sa, rddr_addr_len(&a)) < 0)
		assert_int_equal(errno, EINPROGRESS);
}

static const struct {
	int family;
	const char *client, *own, *server;
} hosts[] = {
	{AF_INET, "10.7.7.7", "10.0.1.1", "10.0.1.77"},
	{AF_INET6, "fd00:7::7", "fd00:0:0:1::1", "fd00:0:0:1::77"},
};

static struct spec between(const char *from, uint16_t from_port, const char *to, uint16_t to_port, uint8_t flags)
{
	struct spec s = {.from = from, .to = to, .source_port = from_port, .destination_port = to_port, .flags = flags};

	return s;
}

static void answers_to_forged_connects_are_marked_and_remembered(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec answer = between(hosts[i].server, 80, hosts[i].client, 5000, SYN | ACK);
		struct spec data = between(hosts[i].server, 80, hosts[i].client, 5000, ACK);
		struct rddr_flow flow = flow_of_spec(&answer);
		int fd = forged(hosts[i].client, 5000);

		assert_int_equal(run(&answer), PASS);
		connect_to(fd, hosts[i].server, 80);
		assert_int_equal(run(&answer), MARK);
		assert_int_equal(remembered(&flow), RDDR_FLOW_REPLY);
		/* Alive or not, a socket of ours gets what is its own. */
		dead();
		assert_int_equal(run(&data), MARK);
		close(fd);
		assert_int_equal(run(&data), DROP);
		live();
		assert_int_equal(run(&data), MARK);
		/* Somebody else's connection begins on the same ports. */
		assert_int_equal(run(&answer), PASS);
		assert_int_equal(remembered(&flow), 0);
		assert_int_equal(run(&data), PASS);
	}
}

static void this_hosts_own_connections_are_answered_as_ever(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec answer = between(hosts[i].server, 80, hosts[i].own, 5000, SYN | ACK);
		struct spec data = between(hosts[i].server, 80, hosts[i].own, 5000, ACK);
		struct spec fragment = data;
		int fd = forged(hosts[i].own, 5000);

		connect_to(fd, hosts[i].server, 80);
		assert_int_equal(run(&answer), MARK);
		fragment.more = fragment.fragment = true;
		assert_int_equal(run(&fragment), PASS);
		close(fd);
		dead();
		assert_int_equal(run(&data), PASS);
		live();
	}
}

static void first_fragments_of_answers_to_forged_connects_are_dropped(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec first = between(hosts[i].server, 80, hosts[i].client, 5000, ACK), later = first;
		int fd = forged(hosts[i].client, 5000);

		first.fragment = first.more = later.fragment = true;
		later.offset = 3;
		assert_int_equal(run(&first), PASS);
		connect_to(fd, hosts[i].server, 80);
		assert_int_equal(run(&first), DROP);
		assert_int_equal(run(&later), PASS);
		close(fd);
	}
}

static void a_listening_socket_is_nobodys(void **state)
{
	int fd = listener_new("10.0.1.1", 7001);
	struct spec ack = between("10.0.1.2", 4000, "10.0.1.1", 7001, ACK), syn = ack;

	(void)state;
	syn.flags = SYN;
	assert_int_equal(run(&ack), PASS);
	assert_int_equal(run(&syn), PASS);
	close(fd);
}

/* A connection within this host, of which server and client are the ends. */
static void connection(const char *address, uint16_t port, int *server, int *client)
{
	int listener = listener_new(address, port);

	*client = forged(address, 5001);
	connect_to(*client, address, port);
	*server = accept(listener, NULL, NULL);
	assert_true(*server >= 0);
	close(listener);
}

static void established_sockets_are_found_and_their_flows_remembered_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec data = between(hosts[i].own, 5001, hosts[i].own, 7000, ACK), syn = data;
		struct rddr_flow flow = flow_of_spec(&data);
		char config[512];
		int server, client;

		connection(hosts[i].own, 7000, &server, &client);
		assert_int_equal(run(&data), MARK);
		assert_int_equal(remembered(&flow), 0);
		/* Forgotten for want of room, say: the service tells that it is a session's. */
		snprintf(config, sizeof(config),
			 "services: {s: {direction: incoming, intercept: {address: \"%s\", port: 7000},"
			 " instances: [{name: one, chainer: transparent}]}}\n",
			 hosts[i].own);
		publish(config);
		assert_int_equal(run(&data), MARK);
		assert_int_equal(remembered(&flow), RDDR_FLOW_STEERED);
		/* A SYN sent again belongs to the socket that is there, live or not. */
		publish(nothing);
		syn.flags = SYN;
		assert_int_equal(run(&syn), MARK);
		close(server);
		close(client);
	}
}

static void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	assert_int_equal(poll(&p, 1, 20000), 1);
}

static void time_wait_is_ours_but_for_a_new_connection(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec data = between(hosts[i].own, 7002, hosts[i].own, 5001, ACK), syn = data;
		struct rddr_flow flow = flow_of_spec(&data);
		int server, client;

		connection(hosts[i].own, 7002, &server, &client);
		/* The client ends first: its side, with port 5001, is left in TIME_WAIT. */
		shutdown(client, SHUT_WR);
		wait_readable(server);
		close(server);
		wait_readable(client);
		close(client);
		assert_int_equal(run(&data), MARK);
		syn.flags = SYN;
		assert_int_equal(run(&syn), PASS);
		assert_int_equal(remembered(&flow), RDDR_FLOW_PASSED);
		assert_int_equal(run(&data), PASS);
	}
}

/* How many IPv4 sockets of this namespace are in SYN_RECV. */
static unsigned half_open(void)
{
	FILE *file = fopen("/proc/thread-self/net/tcp", "r");
	unsigned n = 0, st;
	char line[512];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		n += sscanf(line, " %*u: %*s %*s %x", &st) == 1 && st == 3;
	fclose(file);
	return n;
}

static void request_sockets_are_ours(void **state)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_halen = 6};
	struct spec syn = between("10.0.1.2", 4000, "10.0.1.1", 7003, SYN), ack = syn;
	int listener = listener_new("10.0.1.1", 7003), fd;
	struct frame frame;
	struct ifreq request = {.ifr_name = "rt0"};
	uint32_t sum = 0;

	(void)state;
	shell("ip neigh replace 10.0.1.2 lladdr 02:00:00:00:00:02 dev rt0 nud permanent");
	frame_of(&frame, &syn);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
	memcpy(frame.data, request.ifr_hwaddr.sa_data, 6);
	ll.sll_ifindex = (int)if_nametoindex("rt1");
	/* The one frame that the real stack sees wants its checksums. */
	for (size_t i = 14; i < 34; i += 2)
		sum += (uint32_t)frame.data[i] << 8 | frame.data[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	frame.data[24] = (uint8_t)(sum >> 8);
	frame.data[25] = (uint8_t)sum;
	sum = 6 + 20;
	for (size_t i = 26; i < 54; i += 2)
		sum += (uint32_t)frame.data[i] << 8 | frame.data[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	frame.data[50] = (uint8_t)(sum >> 8);
	frame.data[51] = (uint8_t)sum;
	assert_int_equal(sendto(fd, frame.data, frame.len, 0, (struct sockaddr *)&ll, sizeof(ll)), frame.len);
	for (int i = 0; i < 2000 && !half_open(); i++)
		usleep(10000);
	assert_int_equal(half_open(), 1);
	ack.flags = ACK;
	assert_int_equal(run(&ack), MARK);
	assert_int_equal(run(&syn), MARK);
	close(fd);
	close(listener);
}

/* ---- rule 5: ICMP ---- */

static struct spec icmp(const struct spec *quoted, uint8_t type)
{
	struct spec s = {.from = is_v6(quoted) ? "fd00:0:0:1::9" : "10.0.1.9",
			 .to = quoted->from,
			 .icmp = type,
			 .quoted = quoted};

	return s;
}

static void icmp_errors_follow_their_flow(void **state)
{
	static const uint8_t errors4[] = {3, 4, 11, 12}, errors6[] = {1, 2, 3, 4};

	(void)state;
	each_family(f)
	{
		struct spec syn = packet((int)f, 80, SYN), sent = reversed(&syn, ACK), other = sent, error;
		uint64_t marked = counter("divert_icmp_marked"), dropped = counter("divert_icmp_dropped");

		other.destination_port = 4001;
		assert_int_equal(run(&syn), MARK);
		for (size_t i = 0; i < 4; i++) {
			error = icmp(&sent, (f == AF_INET ? errors4 : errors6)[i]);
			assert_int_equal(run(&error), MARK);
			error = icmp(&other, (f == AF_INET ? errors4 : errors6)[i]);
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

static void what_icmp_quotes_may_be_odd(void **state)
{
	struct spec syn4 = packet(AF_INET, 80, SYN), syn6 = packet(AF_INET6, 80, SYN), error;
	struct spec sent4 = reversed(&syn4, ACK), sent6 = reversed(&syn6, ACK), odd;

	(void)state;
	assert_int_equal(run(&syn4), MARK);
	assert_int_equal(run(&syn6), MARK);

#define QUOTES(sent, decision_, ...)                                                                                   \
	do {                                                                                                           \
		odd = (sent);                                                                                          \
		__VA_ARGS__;                                                                                           \
		error = icmp(&odd, is_v6(&odd) ? 2 : 3);                                                               \
		assert_int_equal(run(&error), decision_);                                                              \
	} while (0)
	QUOTES(sent4, MARK, odd.cut = 12); /* the 8 bytes that must be there */
	QUOTES(sent4, MARK, odd.cut = 16); /* just the ports */
	QUOTES(sent4, PASS, odd.cut = 17);
	QUOTES(sent4, PASS, odd.cut = 30);
	QUOTES(sent4, PASS, odd.cut = 40);
	QUOTES(sent4, MARK, odd.options = 5);
	QUOTES(sent4, MARK, odd.more = true); /* a first fragment */
	QUOTES(sent4, PASS, odd.offset = 3);
	QUOTES(sent4, PASS, odd.version_ihl = 0x44);
	QUOTES(sent4, PASS, odd.version_ihl = 0x65);
	QUOTES(sent4, PASS, odd.protocol = IPPROTO_UDP);
	QUOTES(sent6, MARK, odd.cut = 16);
	QUOTES(sent6, PASS, odd.cut = 17);
	QUOTES(sent6, PASS, odd.cut = 50);
	QUOTES(sent6, PASS, odd.cut = 60);
	QUOTES(sent6, MARK, odd.extensions[0] = 60);
	QUOTES(sent6, MARK, odd.fragment = odd.more = true);
	QUOTES(sent6, PASS, odd.fragment = true; odd.offset = 3);
	QUOTES(sent6, PASS, odd.protocol = IPPROTO_UDP);
#undef QUOTES
}

static void icmp_errors_about_forged_sockets_are_marked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec sent = between(hosts[i].client, 5000, hosts[i].server, 80, SYN);
		struct spec error = icmp(&sent, hosts[i].family == AF_INET ? 3 : 1);
		int fd = forged(hosts[i].client, 5000);

		assert_int_equal(run(&error), PASS);
		connect_to(fd, hosts[i].server, 80);
		assert_int_equal(run(&error), MARK);
		close(fd);
	}
}

static void icmp_behind_extension_headers_and_tags(void **state)
{
	struct spec syn = packet(AF_INET6, 80, SYN), sent = reversed(&syn, ACK), error = icmp(&sent, 2);

	(void)state;
	assert_int_equal(run(&syn), MARK);
	error.extensions[0] = 60;
	error.tags[0] = ETH_P_8021Q;
	assert_int_equal(run(&error), MARK);
}

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
#define TEST(f) cmocka_unit_test_setup(f, before_each)
	const struct CMUnitTest tests[] = {
		TEST(packets_are_understood),
		TEST(drops_of_odd_packets_are_counted),
		TEST(other_bits_of_the_mark_survive),
		TEST(what_was_decided_below_stays),
		TEST(lo_is_let_alone),
		TEST(nothing_is_marked_when_detached),
		TEST(a_syn_is_remembered_and_its_connection_marked),
		TEST(a_dead_daemons_connections_are_dropped),
		TEST(when_down_closed_drops),
		TEST(when_down_open_passes_whole_connections),
		TEST(existing_connections_are_kept_or_reset),
		TEST(a_syn_let_pass_ends_what_was_remembered),
		TEST(a_servers_own_answer_to_a_steered_syn_is_dropped),
		TEST(only_listeners_with_a_heartbeat_count),
		TEST(no_table_steers_nothing),
		TEST(answers_to_forged_connects_are_marked_and_remembered),
		TEST(this_hosts_own_connections_are_answered_as_ever),
		TEST(first_fragments_of_answers_to_forged_connects_are_dropped),
		TEST(a_listening_socket_is_nobodys),
		TEST(established_sockets_are_found_and_their_flows_remembered_again),
		TEST(time_wait_is_ours_but_for_a_new_connection),
		TEST(request_sockets_are_ours),
		TEST(icmp_errors_follow_their_flow),
		TEST(what_icmp_quotes_may_be_odd),
		TEST(icmp_errors_about_forged_sockets_are_marked),
		TEST(icmp_behind_extension_headers_and_tags),
		TEST(the_tables_match_as_the_config_does),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
