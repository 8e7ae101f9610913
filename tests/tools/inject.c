// SPDX-License-Identifier: BSD-2-Clause
/*
 * inject - sends one made-up packet from an interface, with right checksums.
 *
 *   inject --interface eth0 --to MAC --from A --for B [what]
 *
 *   --ports S,D --flags SA [--data TEXT]  TCP (the default); flags out of S A F R P
 *   --udp --ports S,D [--data TEXT]       UDP
 *   --too-big MTU --ports S,D             an ICMP or ICMPv6 error about a TCP packet that B sent to --about from port D
 * to port S
 *   --about C                             that packet's destination (default: --from)
 *   --fragment N                          in fragments of N bytes of payload each (a multiple of 8)
 *   --vlan ID[,ID]                        with tags, the first one 802.1ad when there are two
 *   --options                             IPv4 options; IPv6 hop-by-hop and destination options
 *   --behind                              IPv6 destination options that are the first of what fragments carry
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct options {
	unsigned ifindex;
	uint8_t mac[6], own_mac[6];
	int family;
	uint8_t from[16], to[16], about[16];
	uint16_t source_port, destination_port;
	uint8_t flags;
	const char *data;
	unsigned fragment, too_big;
	uint16_t vlan[2];
	unsigned tags;
	bool udp, options, behind;
};

struct bytes {
	uint8_t data[4096];
	size_t len;
};

static void put(struct bytes *b, const void *data, size_t len)
{
	if (b->len + len > sizeof(b->data)) {
		fputs("inject: too long\n", stderr);
		exit(2);
	}
	memcpy(b->data + b->len, data, len);
	b->len += len;
}

static void put8(struct bytes *b, uint8_t v)
{
	put(b, &v, 1);
}

static void put16(struct bytes *b, uint16_t v)
{
	v = htons(v);
	put(b, &v, 2);
}

static void put32(struct bytes *b, uint32_t v)
{
	v = htonl(v);
	put(b, &v, 4);
}

static uint32_t sum(const uint8_t *data, size_t len, uint32_t start)
{
	for (size_t i = 0; i < len; i++)
		start += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	return start;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

static void set16(struct bytes *b, size_t at, uint16_t v)
{
	b->data[at] = (uint8_t)(v >> 8);
	b->data[at + 1] = (uint8_t)v;
}

static size_t address_len(const struct options *o)
{
	return o->family == AF_INET ? 4 : 16;
}

/* Of a transport header that begins at 0, with the pseudo header in. */
static void checksum(const struct options *o, struct bytes *b, uint8_t protocol, size_t at)
{
	uint32_t s = sum(o->from, address_len(o), 0);

	s = sum(o->to, address_len(o), s);
	s += protocol + (uint32_t)b->len;
	set16(b, at, fold(sum(b->data, b->len, s)));
}

static void put_tcp(struct bytes *b, uint16_t source, uint16_t destination, uint8_t flags, const char *data)
{
	put16(b, source);
	put16(b, destination);
	put32(b, 1000);
	put32(b, 0);
	put8(b, 5 << 4);
	put8(b, flags);
	put16(b, 64000);
	put32(b, 0);
	put(b, data, strlen(data));
}

/* The head of a packet from a to b, of TCP, as an error quotes it. */
static void put_quoted(struct bytes *b, const struct options *o)
{
	size_t start = b->len;
	struct bytes tcp = {.len = 0};

	put_tcp(&tcp, o->destination_port, o->source_port, 0x10, "");
	if (o->family == AF_INET) {
		put16(b, 0x4500);
		put16(b, 1500);
		put32(b, 0x4000);
		put16(b, 64 << 8 | IPPROTO_TCP);
		put16(b, 0);
	} else {
		put32(b, 6u << 28);
		put16(b, 1460);
		put16(b, IPPROTO_TCP << 8 | 64);
	}
	put(b, o->to, address_len(o));
	put(b, o->about, address_len(o));
	if (o->family == AF_INET)
		set16(b, start + 10, fold(sum(b->data + start, 20, 0)));
	put(b, tcp.data, tcp.len);
}

static const uint8_t padding[6] = {1, 4};

static uint8_t make_payload(const struct options *o, struct bytes *b)
{
	if (o->too_big && o->family == AF_INET) {
		put16(b, 3 << 8 | 4);
		put32(b, 0);
		put16(b, (uint16_t)o->too_big);
		put_quoted(b, o);
		set16(b, 2, fold(sum(b->data, b->len, 0)));
		return IPPROTO_ICMP;
	}
	if (o->too_big) {
		put32(b, 2 << 24);
		put32(b, o->too_big);
		put_quoted(b, o);
		checksum(o, b, IPPROTO_ICMPV6, 2);
		return IPPROTO_ICMPV6;
	}
	if (o->udp) {
		put16(b, o->source_port);
		put16(b, o->destination_port);
		put16(b, (uint16_t)(8 + strlen(o->data)));
		put16(b, 0);
		put(b, o->data, strlen(o->data));
		checksum(o, b, IPPROTO_UDP, 6);
		return IPPROTO_UDP;
	}
	put_tcp(b, o->source_port, o->destination_port, o->flags, o->data);
	checksum(o, b, IPPROTO_TCP, 16);
	return IPPROTO_TCP;
}

static void put_ethernet(struct bytes *b, const struct options *o)
{
	put(b, o->mac, 6);
	put(b, o->own_mac, 6);
	for (unsigned i = 0; i < o->tags; i++) {
		put16(b, o->tags == 2 && i == 0 ? ETH_P_8021AD : ETH_P_8021Q);
		put16(b, o->vlan[i]);
	}
	put16(b, o->family == AF_INET ? ETH_P_IP : ETH_P_IPV6);
}

static void put_ipv4(struct bytes *b, const struct options *o, uint8_t protocol, size_t len, size_t offset, bool more)
{
	size_t start = b->len, header = o->options ? 28 : 20;

	put16(b, (uint16_t)(0x4000 | header / 4 << 8));
	put16(b, (uint16_t)(header + len));
	put16(b, 4711);
	put16(b, (uint16_t)(offset / 8 | (more ? 0x2000 : 0)));
	put16(b, (uint16_t)(64 << 8 | protocol));
	put16(b, 0);
	put(b, o->from, 4);
	put(b, o->to, 4);
	if (o->options)
		put(b, "\1\1\1\1\1\1\1\0", 8);
	set16(b, start + 10, fold(sum(b->data + start, header, 0)));
}

static void put_ipv6(struct bytes *b, const struct options *o, uint8_t protocol, size_t len, size_t offset, bool more)
{
	bool fragment = more || offset;
	uint8_t next = fragment ? IPPROTO_FRAGMENT : o->options ? IPPROTO_DSTOPTS : protocol;

	put32(b, 6u << 28);
	put16(b, (uint16_t)(len + (fragment ? 8 : 0) + (o->options ? 8 : 0) + (o->options && !fragment ? 8 : 0)));
	put16(b, (uint16_t)((o->options ? IPPROTO_HOPOPTS : next) << 8 | 64));
	put(b, o->from, 16);
	put(b, o->to, 16);
	if (o->options) {
		put16(b, (uint16_t)(next << 8));
		put(b, padding, 6);
	}
	if (fragment) {
		put16(b, (uint16_t)(protocol << 8));
		put16(b, (uint16_t)(offset | more));
		put32(b, 4711);
	} else if (o->options) {
		put16(b, (uint16_t)(protocol << 8));
		put(b, padding, 6);
	}
}

static void send_part(const struct options *o, int fd, uint8_t protocol, const struct bytes *payload, size_t offset,
		      size_t len)
{
	struct sockaddr_ll ll = {.sll_family = AF_PACKET, .sll_ifindex = (int)o->ifindex, .sll_halen = 6};
	bool more = offset + len < payload->len;
	struct bytes frame = {.len = 0};

	put_ethernet(&frame, o);
	if (o->family == AF_INET)
		put_ipv4(&frame, o, protocol, len, offset, more);
	else
		put_ipv6(&frame, o, protocol, len, offset, more);
	put(&frame, payload->data + offset, len);
	memcpy(ll.sll_addr, o->mac, 6);
	if (sendto(fd, frame.data, frame.len, 0, (struct sockaddr *)&ll, sizeof(ll)) < 0) {
		perror("inject: sendto");
		exit(1);
	}
}

static void read_address(struct options *o, const char *text, uint8_t out[16])
{
	o->family = strchr(text, ':') ? AF_INET6 : AF_INET;
	if (inet_pton(o->family, text, out) != 1) {
		fprintf(stderr, "inject: %s is no address\n", text);
		exit(2);
	}
}

static uint8_t read_flags(const char *text)
{
	static const char names[] = "FSRPA";
	uint8_t flags = 0;

	for (; *text; text++) {
		const char *at = strchr(names, *text);

		if (at)
			flags |= (uint8_t)(1u << (at - names));
	}
	return flags;
}

static void read_pair(const char *text, uint16_t *first, uint16_t *second)
{
	const char *comma = strchr(text, ',');

	*first = (uint16_t)strtoul(text, NULL, 10);
	if (comma)
		*second = (uint16_t)strtoul(comma + 1, NULL, 10);
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option long_options[] = {
		{"interface", required_argument, NULL, 'i'},
		{"to", required_argument, NULL, 't'},
		{"from", required_argument, NULL, 'f'},
		{"for", required_argument, NULL, 'd'},
		{"ports", required_argument, NULL, 'p'},
		{"flags", required_argument, NULL, 'F'},
		{"data", required_argument, NULL, 'D'},
		{"udp", no_argument, NULL, 'u'},
		{"too-big", required_argument, NULL, 'b'},
		{"about", required_argument, NULL, 'a'},
		{"fragment", required_argument, NULL, 'g'},
		{"vlan", required_argument, NULL, 'v'},
		{"options", no_argument, NULL, 'o'},
		{"behind", no_argument, NULL, 'B'},
		{0},
	};
	const struct ether_addr *mac;
	bool about = false;
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case 'i':
			o->ifindex = if_nametoindex(optarg);
			break;
		case 't':
			mac = ether_aton(optarg);
			if (mac)
				memcpy(o->mac, mac, 6);
			break;
		case 'f':
			read_address(o, optarg, o->from);
			break;
		case 'd':
			read_address(o, optarg, o->to);
			break;
		case 'a':
			read_address(o, optarg, o->about);
			about = true;
			break;
		case 'p':
			read_pair(optarg, &o->source_port, &o->destination_port);
			break;
		case 'F':
			o->flags = read_flags(optarg);
			break;
		case 'D':
			o->data = optarg;
			break;
		case 'u':
			o->udp = true;
			break;
		case 'b':
			o->too_big = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'g':
			o->fragment = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'v':
			o->tags = strchr(optarg, ',') ? 2 : 1;
			read_pair(optarg, &o->vlan[0], &o->vlan[1]);
			break;
		case 'o':
			o->options = true;
			break;
		case 'B':
			o->behind = true;
			break;
		default:
			exit(2);
		}
	}
	if (!about)
		memcpy(o->about, o->from, sizeof(o->about));
	if (!o->ifindex || !o->family || o->fragment % 8) {
		fputs("inject: see the head of tests/tools/inject.c\n", stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options o = {.data = "", .flags = 0x10, .own_mac = {2, 0, 0, 0, 0, 1}};
	struct bytes transport = {.len = 0}, payload = {.len = 0};
	uint8_t protocol;
	int fd;

	parse(argc, argv, &o);
	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0) {
		perror("inject: socket");
		return 1;
	}
	protocol = make_payload(&o, &transport);
	if (o.behind) {
		put16(&payload, (uint16_t)(protocol << 8));
		put(&payload, padding, 6);
		protocol = IPPROTO_DSTOPTS;
	}
	put(&payload, transport.data, transport.len);
	for (size_t at = 0; at < payload.len;) {
		size_t len = payload.len - at;

		if (o.fragment && len > o.fragment)
			len = o.fragment;
		send_part(&o, fd, protocol, &payload, at, len);
		at += len;
	}
	close(fd);
	return 0;
}
