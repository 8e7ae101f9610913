// SPDX-License-Identifier: BSD-2-Clause
/*
 * What divert decides of packets that a socket of this host is there for, of whatever state.
 */
#include <linux/if_packet.h>
#include <poll.h>

#include "runs.h"

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

/* What a client's connection left behind that was let pass, no daemon being live, is not in the way of a later connect
 * from the same port in the client's name. */
static void answers_are_marked_although_an_earlier_connection_was_let_pass(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec answer = between(hosts[i].server, 80, hosts[i].client, 5000, SYN | ACK);
		struct spec refusal = between(hosts[i].server, 80, hosts[i].client, 5000, RST | ACK);
		struct spec data = between(hosts[i].server, 80, hosts[i].client, 5000, ACK);
		struct spec sent = between(hosts[i].client, 5000, hosts[i].server, 80, SYN);
		struct spec error = icmp(&sent, hosts[i].family == AF_INET ? 3 : 1);
		struct rddr_flow flow = flow_of_spec(&answer);
		int fd;

		remember(&flow, RDDR_FLOW_PASSED, 0);
		assert_int_equal(run(&answer), PASS);
		assert_int_equal(run(&refusal), PASS);
		assert_int_equal(run(&error), PASS);
		fd = forged(hosts[i].client, 5000);
		connect_to(fd, hosts[i].server, 80);
		assert_int_equal(run(&refusal), MARK);
		assert_int_equal(run(&error), MARK);
		assert_int_equal(run(&answer), MARK);
		assert_int_equal(remembered(&flow), RDDR_FLOW_REPLY);
		assert_int_equal(run(&data), MARK);
		close(fd);
	}
}

static void forgotten_answers_to_forged_connects_are_remembered_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec data = between(hosts[i].server, 80, hosts[i].client, 5000, ACK);
		struct rddr_flow flow = flow_of_spec(&data);
		int fd = forged(hosts[i].client, 5000);

		connect_to(fd, hosts[i].server, 80);
		assert_int_equal(remembered(&flow), 0);
		assert_int_equal(run(&data), MARK);
		assert_int_equal(remembered(&flow), RDDR_FLOW_REPLY);
		close(fd);
		dead();
		assert_int_equal(run(&data), DROP);
		live();
	}
}

static void this_hosts_own_connections_are_answered_as_ever(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
		struct spec answer = between(hosts[i].server, 80, hosts[i].own, 5000, SYN | ACK);
		struct spec data = between(hosts[i].server, 80, hosts[i].own, 5000, ACK);
		struct spec fragment = data;
		struct rddr_flow flow = flow_of_spec(&data);
		int fd = forged(hosts[i].own, 5000);

		connect_to(fd, hosts[i].server, 80);
		/* They are not worth the room that sessions need. */
		assert_int_equal(run(&data), MARK);
		assert_int_equal(remembered(&flow), 0);
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

/* The ports of a first fragment may lie behind extension headers that lie behind the fragment header. */
static void first_fragments_of_answers_are_known_behind_extension_headers(void **state)
{
	static const uint8_t chains[][PATTERN_MAX] = {
		{60}, {43}, {51}, {255}, {60, 43, 60, 51, 60, 60, 60},
	};
	struct spec bare = between(hosts[1].server, 80, hosts[1].client, 5000, ACK);
	int fd = forged(hosts[1].client, 5000);

	(void)state;
	bare.fragment = bare.more = true;
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		struct spec first = bare;

		memcpy(first.extensions, chains[i], PATTERN_MAX);
		assert_int_equal(run(&first), PASS);
	}
	connect_to(fd, hosts[1].server, 80);
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		struct spec first = bare, others = bare, udp = bare, later = bare;

		memcpy(first.extensions, chains[i], PATTERN_MAX);
		memcpy(others.extensions, chains[i], PATTERN_MAX);
		memcpy(udp.extensions, chains[i], PATTERN_MAX);
		memcpy(later.extensions, chains[i], PATTERN_MAX);
		others.destination_port++;
		udp.protocol = IPPROTO_UDP;
		later.offset = 3;
		assert_int_equal(run(&first), DROP);
		assert_int_equal(run(&others), PASS);
		assert_int_equal(run(&udp), PASS);
		assert_int_equal(run(&later), PASS);
		/* What is remembered counts as a socket does. */
		struct rddr_flow flow = flow_of_spec(&others);
		remember(&flow, RDDR_FLOW_REPLY, 0);
		assert_int_equal(run(&others), DROP);
		remember(&flow, RDDR_FLOW_PASSED, 0);
		assert_int_equal(run(&others), PASS);
		forget_all();
	}
	close(fd);
}

/* Where the ports cannot be reached the fragment may be of any connection, that of this host's own aside. */
static void first_fragments_that_hide_their_ports_are_dropped(void **state)
{
	static const struct {
		const char *what;
		uint8_t extensions[PATTERN_MAX];
		size_t cut; /* TCP's 20 bytes, and so on */
	} hidden[] = {
		{"no ports", {0}, 20},		 {"no ports behind options", {60}, 20},
		{"half of the ports", {60}, 18}, {"options cut short", {60}, 20 + 22},
		{"no options", {60}, 20 + 24},	 {"too many headers", {60, 43, 60, 51, 60, 60, 60, 60}, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(hidden); i++) {
		struct spec first = between(hosts[1].server, 80, hosts[1].client, 5000, ACK), later, own;

		first.fragment = first.more = true;
		first.cut = hidden[i].cut;
		memcpy(first.extensions, hidden[i].extensions, PATTERN_MAX);
		later = own = first;
		later.offset = 3;
		own.to = hosts[1].own;
		if (run(&first) != DROP)
			fail_msg("%s: not dropped", hidden[i].what);
		if (run(&later) != PASS || run(&own) != PASS)
			fail_msg("%s: later fragments, or those to this host, do not pass", hidden[i].what);
	}
}

/* The same of packets that are whole: what lies behind too many headers may be a server's answer to a forged address.
 */
static void packets_that_hide_what_they_are_are_dropped(void **state)
{
	static const uint8_t headers[] = {60, 43, 60, 51, 60, 60, 60, 60, 60};
	struct spec hidden = between(hosts[1].server, 80, hosts[1].client, 5000, SYN | ACK), own;
	uint64_t dropped = counter("divert_malformed_dropped");

	(void)state;
	memcpy(hidden.extensions, headers, sizeof(headers));
	own = hidden;
	own.to = hosts[1].own;
	assert_int_equal(run(&hidden), DROP);
	assert_int_equal(counter("divert_malformed_dropped"), dropped + 1);
	assert_int_equal(run(&own), PASS);
	hidden.extensions[8] = 0;
	assert_int_equal(run(&hidden), PASS);
}

/* Where a client's SYN was steered only we speak: nothing that a server says there by itself goes on to the client. */
static void a_server_says_nothing_into_a_steered_flow(void **state)
{
	static const uint8_t flags[] = {ACK, ACK | 0x08, RST, RST | ACK, FIN | ACK, SYN | ACK};

	(void)state;
	for (unsigned v6 = 0; v6 < 2; v6++) {
		struct spec syn = between(hosts[v6].client, 5000, hosts[v6].server, 80, SYN);
		struct rddr_flow flow = flow_of_spec(&syn);

		for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
			struct spec said = between(hosts[v6].server, 80, hosts[v6].client, 5000, flags[i]);
			struct spec other = between(hosts[v6].server, 80, hosts[v6].client, 5001, flags[i]);

			remember(&flow, RDDR_FLOW_STEERED, 0);
			assert_int_equal(run(&said), DROP);
			assert_int_equal(run(&other), PASS);
			/* While the daemon was down it was let pass. */
			remember(&flow, RDDR_FLOW_PASSED, 0);
			assert_int_equal(run(&said), PASS);
			forget_all();
		}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(answers_to_forged_connects_are_marked_and_remembered),
		TEST(answers_are_marked_although_an_earlier_connection_was_let_pass),
		TEST(forgotten_answers_to_forged_connects_are_remembered_again),
		TEST(this_hosts_own_connections_are_answered_as_ever),
		TEST(first_fragments_of_answers_to_forged_connects_are_dropped),
		TEST(first_fragments_of_answers_are_known_behind_extension_headers),
		TEST(first_fragments_that_hide_their_ports_are_dropped),
		TEST(packets_that_hide_what_they_are_are_dropped),
		TEST(a_server_says_nothing_into_a_steered_flow),
		TEST(a_listening_socket_is_nobodys),
		TEST(established_sockets_are_found_and_their_flows_remembered_again),
		TEST(time_wait_is_ours_but_for_a_new_connection),
		TEST(request_sockets_are_ours),
		TEST(icmp_errors_about_forged_sockets_are_marked),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
