// SPDX-License-Identifier: BSD-2-Clause
#include "admission_packet.h"

#include <errno.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

/* More extension headers than this no honest SYN has. */
#define EXTENSIONS 6

static void set_v4(struct addr *a, uint32_t address, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	a->v4.sin_family = AF_INET;
	a->v4.sin_addr.s_addr = address;
	a->v4.sin_port = port;
}

static void set_v6(struct addr *a, const struct in6_addr *address, uint16_t port, uint32_t index)
{
	memset(a, 0, sizeof(*a));
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_addr = *address;
	a->v6.sin6_port = port;
	if (IN6_IS_ADDR_LINKLOCAL(address))
		a->v6.sin6_scope_id = index;
}

static bool is_extension(uint8_t next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS;
}

/* Where the TCP header of an IPv6 packet begins; 0: it cannot be found. */
static size_t tcp_of_v6(const uint8_t *packet, size_t len)
{
	struct ip6_hdr ip;
	size_t at = sizeof(ip);

	memcpy(&ip, packet, sizeof(ip));
	uint8_t next = ip.ip6_nxt;
	for (int i = 0; i < EXTENSIONS && is_extension(next) && at + 2 <= len; i++) {
		next = packet[at];
		at += 8 * ((size_t)packet[at + 1] + 1);
	}
	return next == IPPROTO_TCP ? at : 0;
}

static int parse_tcp(const uint8_t *packet, size_t len, size_t at, size_t total, struct tcphdr *tcp, struct syn *syn)
{
	if (!at || at + sizeof(*tcp) > len)
		return -EINVAL;
	memcpy(tcp, packet + at, sizeof(*tcp));
	if (!tcp->syn || tcp->ack || tcp->rst || tcp->doff < 5)
		return -EINVAL;
	size_t headers = at + 4 * (size_t)tcp->doff;
	syn->seq = ntohl(tcp->seq);
	syn->len = 1 + (total > headers ? (uint32_t)(total - headers) : 0);
	return 0;
}

static int parse_v4(const uint8_t *packet, size_t len, struct syn *syn)
{
	struct tcphdr tcp;
	struct ip ip;

	if (len < sizeof(ip))
		return -EINVAL;
	memcpy(&ip, packet, sizeof(ip));
	if (ip.ip_p != IPPROTO_TCP || ip.ip_hl < 5 || ntohs(ip.ip_off) & (IP_OFFMASK | IP_MF))
		return -EINVAL;
	int r = parse_tcp(packet, len, 4 * (size_t)ip.ip_hl, ntohs(ip.ip_len), &tcp, syn);
	if (r < 0)
		return r;
	set_v4(&syn->client, ip.ip_src.s_addr, tcp.source);
	set_v4(&syn->destination, ip.ip_dst.s_addr, tcp.dest);
	return 0;
}

static int parse_v6(const uint8_t *packet, size_t len, struct syn *syn)
{
	struct tcphdr tcp;
	struct ip6_hdr ip;

	if (len < sizeof(ip))
		return -EINVAL;
	memcpy(&ip, packet, sizeof(ip));
	int r = parse_tcp(packet, len, tcp_of_v6(packet, len), sizeof(ip) + ntohs(ip.ip6_plen), &tcp, syn);
	if (r < 0)
		return r;
	set_v6(&syn->client, &ip.ip6_src, tcp.source, syn->index);
	set_v6(&syn->destination, &ip.ip6_dst, tcp.dest, syn->index);
	return 0;
}

int rddr_admission_parse(const uint8_t *packet, size_t len, struct syn *syn)
{
	if (!len)
		return -EINVAL;
	if (packet[0] >> 4 == 4)
		return parse_v4(packet, len, syn);
	return packet[0] >> 4 == 6 ? parse_v6(packet, len, syn) : -EINVAL;
}

/* ---- the reset ---- */

static uint32_t sum_of(const uint8_t *bytes, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

/* Of the segment, with the pseudo header of both addresses. */
static uint16_t checksum(const struct syn *syn, const uint8_t *tcp, size_t len)
{
	size_t n;
	const uint8_t *from = rddr_addr_bytes(&syn->destination, &n), *to = rddr_addr_bytes(&syn->client, &n);
	uint32_t sum = sum_of(from, n) + sum_of(to, n) + IPPROTO_TCP + (uint32_t)len + sum_of(tcp, len);

	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

size_t rddr_admission_reset(const struct syn *syn, uint8_t out[ADMISSION_RESET_MAX])
{
	bool six = syn->client.sa.sa_family == AF_INET6;
	size_t at = six ? sizeof(struct ip6_hdr) : sizeof(struct ip);
	struct tcphdr tcp = {
		.source = htons(rddr_addr_port(&syn->destination)),
		.dest = htons(rddr_addr_port(&syn->client)),
		.ack_seq = htonl(syn->seq + syn->len),
		.doff = sizeof(tcp) / 4,
		.rst = 1,
		.ack = 1,
	};

	if (six) {
		struct ip6_hdr ip = {.ip6_hlim = 64, .ip6_nxt = IPPROTO_TCP, .ip6_plen = htons(sizeof(tcp))};

		ip.ip6_vfc = 6 << 4;
		ip.ip6_src = syn->destination.v6.sin6_addr;
		ip.ip6_dst = syn->client.v6.sin6_addr;
		memcpy(out, &ip, sizeof(ip));
	} else {
		/* The kernel fills in the header's checksum. */
		struct ip ip = {.ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_TCP, .ip_off = htons(IP_DF)};

		ip.ip_len = htons(sizeof(ip) + sizeof(tcp));
		ip.ip_src = syn->destination.v4.sin_addr;
		ip.ip_dst = syn->client.v4.sin_addr;
		memcpy(out, &ip, sizeof(ip));
	}
	memcpy(out + at, &tcp, sizeof(tcp));
	tcp.check = htons(checksum(syn, out + at, sizeof(tcp)));
	memcpy(out + at, &tcp, sizeof(tcp));
	return at + sizeof(tcp);
}
