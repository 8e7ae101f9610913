// SPDX-License-Identifier: BSD-2-Clause
/*
 * What divert makes of packets of all kinds, whole ones and odd ones.
 */
#include "runs.h"

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
	{"three tags", {V4, .tags = {ETH_P_8021AD, ETH_P_8021Q, ETH_P_8021Q}, .flags = SYN}, MARK},
	{"four tags, IPv6", {V6, .tags = {ETH_P_8021Q, ETH_P_8021Q, ETH_P_8021Q, ETH_P_8021Q}, .flags = SYN}, MARK},
	{"five tags",
	 {V4, .tags = {ETH_P_8021Q, ETH_P_8021Q, ETH_P_8021Q, ETH_P_8021Q, ETH_P_8021Q}, .flags = SYN},
	 DROP},
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
	{"too many, to where no route leads",
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
	{"a later fragment with options before TCP", {V6, .fragment = true, .offset = 3, .extensions = {60}}, DROP},
	{"a fragment with options before UDP",
	 {V6, .fragment = true, .more = true, .extensions = {60}, .protocol = IPPROTO_UDP},
	 PASS},
	{"a fragment with too many headers",
	 {V6, .fragment = true, .more = true, .extensions = {60, 60, 60, 60, 60, 60, 60, 60}},
	 DROP},
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
	QUOTES(sent6, MARK, odd.fragment = odd.more = true; odd.extensions[0] = 60);
	QUOTES(sent6, PASS, odd.fragment = true; odd.offset = 3);
	QUOTES(sent6, PASS, odd.fragment = true; odd.offset = 3; odd.extensions[0] = 60);
	QUOTES(sent6, PASS, odd.protocol = IPPROTO_UDP);
#undef QUOTES
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(packets_are_understood),
		TEST(drops_of_odd_packets_are_counted),
		TEST(what_icmp_quotes_may_be_odd),
		TEST(icmp_behind_extension_headers_and_tags),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
