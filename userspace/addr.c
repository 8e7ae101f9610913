// SPDX-License-Identifier: BSD-2-Clause
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "own.h"

socklen_t rddr_addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->v6) : sizeof(a->v4);
}

uint16_t rddr_addr_port(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->v6.sin6_port : a->v4.sin_port);
}

void rddr_addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->v6.sin6_port = htons(port);
	else
		a->v4.sin_port = htons(port);
}

const uint8_t *rddr_addr_bytes(const struct addr *a, size_t *len)
{
	if (a->sa.sa_family == AF_INET6) {
		*len = sizeof(a->v6.sin6_addr);
		return a->v6.sin6_addr.s6_addr;
	}
	*len = sizeof(a->v4.sin_addr);
	return (const uint8_t *)&a->v4.sin_addr;
}

void rddr_addr_unmap(struct addr *a)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return;
	v4.sin_port = a->v6.sin6_port;
	memcpy(&v4.sin_addr, a->v6.sin6_addr.s6_addr + 12, sizeof(v4.sin_addr));
	memset(a, 0, sizeof(*a));
	a->v4 = v4;
}

/* The same link-local address on two interfaces is two hosts. */
static uint32_t scope_of(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? a->v6.sin6_scope_id : 0;
}

bool rddr_addr_same_host(const struct addr *a, const struct addr *b)
{
	size_t a_len, b_len;
	const uint8_t *a_bytes = rddr_addr_bytes(a, &a_len);
	const uint8_t *b_bytes = rddr_addr_bytes(b, &b_len);

	return a->sa.sa_family == b->sa.sa_family && !memcmp(a_bytes, b_bytes, a_len) && scope_of(a) == scope_of(b);
}

bool rddr_addr_equal(const struct addr *a, const struct addr *b)
{
	return rddr_addr_same_host(a, b) && rddr_addr_port(a) == rddr_addr_port(b);
}

bool rddr_addr_is_wildcard(const struct addr *a)
{
	static const uint8_t zero[16];
	size_t len;
	const uint8_t *bytes = rddr_addr_bytes(a, &len);

	return !memcmp(bytes, zero, len);
}

struct route_question {
	struct nlmsghdr head;
	struct rtmsg route;
	struct rtattr dst;
	uint8_t dst_bytes[16];
	struct rtattr oif;
	uint32_t oif_index;
};

/* Asks for the route to a: its type (RTN_*), or -errno. */
static int route_type(const struct addr *a)
{
	struct route_question q = {
		.head = {.nlmsg_type = RTM_GETROUTE, .nlmsg_flags = NLM_F_REQUEST},
		.route = {.rtm_family = (unsigned char)a->sa.sa_family},
		.dst = {.rta_type = RTA_DST},
		.oif = {.rta_type = RTA_OIF, .rta_len = RTA_LENGTH(sizeof(uint32_t))},
		.oif_index = scope_of(a),
	};
	union {
		struct nlmsghdr head;
		char bytes[4096];
	} reply;
	_owned_fd_ int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	size_t size = offsetof(struct route_question, oif), len;
	const uint8_t *bytes = rddr_addr_bytes(a, &len);

	memcpy(q.dst_bytes, bytes, len);
	q.dst.rta_len = (unsigned short)RTA_LENGTH(len);
	q.route.rtm_dst_len = (unsigned char)(len * 8);
	if (a->sa.sa_family == AF_INET)
		size = offsetof(struct route_question, dst_bytes) + len;
	else if (q.oif_index)
		size = sizeof(q);
	q.head.nlmsg_len = (uint32_t)size;

	if (fd < 0 || send(fd, &q, size, 0) < 0)
		return -errno;
	ssize_t n = recv(fd, &reply, sizeof(reply), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(&reply.head, (size_t)n))
		return -EBADMSG;
	if (reply.head.nlmsg_type == NLMSG_ERROR)
		return RTN_UNREACHABLE; /* the kernel has no route */
	return ((const struct rtmsg *)NLMSG_DATA(&reply.head))->rtm_type;
}

bool rddr_addr_is_local(const struct addr *a)
{
	struct addr probe = *a;

	if (a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6)
		return false;
	if (rddr_addr_is_wildcard(a))
		return true;

	_owned_fd_ int fd = socket(a->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	rddr_addr_set_port(&probe, 0);
	if (bind(fd, &probe.sa, rddr_addr_len(&probe)))
		return false;
	/* Multicast, and with ip_nonlocal_bind anything, can be bound too. */
	int type = route_type(a);
	return type < 0 || type == RTN_LOCAL;
}

const char *rddr_addr_format(const struct addr *a, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN], scope[IF_NAMESIZE + 1] = "", text[RDDR_ADDR_TEXT];
	uint16_t port = rddr_addr_port(a);

	if (!size)
		return buf;
	if (a->sa.sa_family == AF_INET) {
		(void)inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof(host));
	} else if (a->sa.sa_family == AF_INET6) {
		(void)inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof(host));
		if (a->v6.sin6_scope_id) {
			scope[0] = '%';
			if (!if_indextoname(a->v6.sin6_scope_id, scope + 1))
				snprintf(scope + 1, sizeof(scope) - 1, "%u", a->v6.sin6_scope_id);
		}
	} else {
		snprintf(buf, size, "unspecified");
		return buf;
	}
	if (!port)
		snprintf(text, sizeof(text), "%s%s", host, scope);
	else if (a->sa.sa_family == AF_INET6)
		snprintf(text, sizeof(text), "[%s%s]:%u", host, scope, port);
	else
		snprintf(text, sizeof(text), "%s:%u", host, port);
	snprintf(buf, size, "%s", text);
	return buf;
}

/* Digits alone, no sign, no white space; the whole text. */
static int parse_number(const char *text, unsigned max, unsigned *out)
{
	unsigned value = 0;

	if (!*text || strlen(text) > 10)
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (value > (max - (unsigned)(*text - '0')) / 10)
			return -EINVAL;
		value = value * 10 + (unsigned)(*text - '0');
	}
	*out = value;
	return 0;
}

static int parse_scope(const char *text, uint32_t *out)
{
	unsigned number;

	*out = if_nametoindex(text);
	if (*out)
		return 0;
	if (parse_number(text, UINT_MAX, &number) || !number)
		return -EINVAL;
	*out = number;
	return 0;
}

/* A numeric address without brackets or port; the port is left 0. */
static int parse_host(char *text, struct addr *out)
{
	char *scope = strchr(text, '%');

	memset(out, 0, sizeof(*out));
	if (!scope && inet_pton(AF_INET, text, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		return 0;
	}
	if (scope)
		*scope++ = '\0';
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, text, &out->v6.sin6_addr) != 1)
		return -EINVAL;
	out->v6.sin6_family = AF_INET6;
	if (scope && parse_scope(scope, &out->v6.sin6_scope_id))
		return -EINVAL;
	rddr_addr_unmap(out);
	return 0;
}

/* Cuts "host", "host:port", "[host]" or "[host]:port" in two; *port is NULL where none stands. */
static int split_port(char *text, char **host, char **port)
{
	char *colon = strchr(text, ':');

	*host = text;
	*port = NULL;
	if (*text == '[') {
		char *end = strchr(text, ']');

		if (!end || (end[1] && end[1] != ':') || !memchr(text, ':', (size_t)(end - text)))
			return -EINVAL; /* brackets are for IPv6 */
		*end = '\0';
		*host = text + 1;
		if (end[1])
			*port = end + 2;
		return 0;
	}
	if (colon && !strchr(colon + 1, ':')) {
		*colon = '\0';
		*port = colon + 1;
	}
	return 0;
}

int rddr_addr_parse(const char *text, uint16_t default_port, struct addr *out)
{
	char copy[RDDR_ADDR_TEXT], *host, *port;
	unsigned number = default_port;
	struct addr a;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	if (split_port(copy, &host, &port) || parse_host(host, &a))
		return -EINVAL;
	if (port && parse_number(port, UINT16_MAX, &number))
		return -EINVAL;
	rddr_addr_set_port(&a, (uint16_t)number);
	*out = a;
	return 0;
}

static unsigned family_bits(sa_family_t family)
{
	return family == AF_INET6 ? 128 : 32;
}

/* Whether the first bits of both are the same. */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned rest = bits % 8;

	if (memcmp(a, b, bits / 8))
		return false;
	return !rest || !((a[bits / 8] ^ b[bits / 8]) >> (8 - rest));
}

int rddr_prefix_parse(const char *text, struct prefix *out)
{
	char copy[RDDR_ADDR_TEXT], *slash;
	struct prefix p = {0};
	struct addr a = {0};
	const uint8_t *raw;
	unsigned len;
	size_t bytes;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, strlen(text) + 1);
	slash = strchr(copy, '/');
	if (slash)
		*slash++ = '\0';
	if (strchr(copy, '%'))
		return -EINVAL;
	/* Not parse_host(): the length of an IPv4-mapped prefix counts 96 bits more than the IPv4 one that it stands
	 * for. */
	if (inet_pton(AF_INET, copy, &a.v4.sin_addr) == 1)
		a.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, copy, &a.v6.sin6_addr) == 1)
		a.sa.sa_family = AF_INET6;
	else
		return -EINVAL;
	len = family_bits(a.sa.sa_family);
	if (slash && parse_number(slash, len, &len))
		return -EINVAL;
	if (a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr) && len >= 96) {
		rddr_addr_unmap(&a);
		len -= 96;
	}
	p.family = a.sa.sa_family;
	p.len = (uint8_t)len;
	raw = rddr_addr_bytes(&a, &bytes);
	memcpy(p.bytes, raw, bytes);
	for (unsigned i = len; i < family_bits(p.family); i++) {
		if (p.bytes[i / 8] & (0x80 >> i % 8))
			return -ERANGE;
	}
	*out = p;
	return 0;
}

const char *rddr_prefix_format(const struct prefix *p, char *buf, size_t size)
{
	char host[INET6_ADDRSTRLEN];

	if (!size)
		return buf;
	if (p->family == AF_UNSPEC)
		snprintf(buf, size, "any");
	else if (!inet_ntop(p->family, p->bytes, host, sizeof(host)))
		snprintf(buf, size, "unspecified");
	else
		snprintf(buf, size, "%s/%u", host, p->len);
	return buf;
}

bool rddr_prefix_contains(const struct prefix *p, const struct addr *a)
{
	struct addr plain = *a;
	size_t len;

	if (p->family == AF_UNSPEC)
		return true;
	rddr_addr_unmap(&plain);
	return plain.sa.sa_family == p->family && same_bits(p->bytes, rddr_addr_bytes(&plain, &len), p->len);
}

bool rddr_prefix_covers(const struct prefix *outer, const struct prefix *inner)
{
	if (outer->family == AF_UNSPEC)
		return true;
	return outer->family == inner->family && outer->len <= inner->len &&
	       same_bits(outer->bytes, inner->bytes, outer->len);
}
