/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * addr.h - transport addresses and prefixes, IPv4 and IPv6 as equals.
 *
 * An address here is a socket address that can be given to the kernel as it is.
 * IPv4-mapped IPv6 addresses are turned into IPv4 wherever one enters.
 */
#ifndef RDDR_ADDR_H
#define RDDR_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Room for "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%interfacename]:65535". */
#define RDDR_ADDR_TEXT 80

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};

struct prefix {
	sa_family_t family; /* AF_INET, AF_INET6; AF_UNSPEC holds every address of both */
	uint8_t len;	    /* bits: 0-32 or 0-128 */
	uint8_t bytes[16];  /* network order; the host bits are zero; IPv4 in the first 4 */
};

/* The length that bind() and connect() want for this address, in bytes. */
socklen_t rddr_addr_len(const struct addr *a);

/* The port, host order. */
uint16_t rddr_addr_port(const struct addr *a);
void rddr_addr_set_port(struct addr *a, uint16_t port);

/* The address without port, in network order: 4 or 16 bytes. */
const uint8_t *rddr_addr_bytes(const struct addr *a, size_t *len);

/* Turns an IPv4-mapped IPv6 address into the IPv4 address that it stands for. */
void rddr_addr_unmap(struct addr *a);

bool rddr_addr_equal(const struct addr *a, const struct addr *b);     /* address and port */
bool rddr_addr_same_host(const struct addr *a, const struct addr *b); /* address alone */
bool rddr_addr_is_wildcard(const struct addr *a);		      /* 0.0.0.0 or :: */

/* Whether the kernel holds the address as its own; a wildcard is. Asks the kernel each time (a few system calls). */
bool rddr_addr_is_local(const struct addr *a);

/*
 * "10.0.0.1:80", "[fd00::1]:80"; without a port where it is 0. Writes at most size bytes, always
 * terminated; returns buf.
 */
const char *rddr_addr_format(const struct addr *a, char *buf, size_t size);

/*
 * Reads a numeric address with an optional port ("10.0.0.1", "10.0.0.1:80", "::1", "[::1]:80");
 * where none stands, default_port is set. Returns 0, or -EINVAL (out is left alone).
 */
int rddr_addr_parse(const char *text, uint16_t default_port, struct addr *out);

/* Reads "10.0.0.0/8", "fd00::/8" or a lone address. -EINVAL: no prefix; -ERANGE: host bits set. */
int rddr_prefix_parse(const char *text, struct prefix *out);
const char *rddr_prefix_format(const struct prefix *p, char *buf, size_t size);
bool rddr_prefix_contains(const struct prefix *p, const struct addr *a);
/* Whether every address of inner is one of outer. */
bool rddr_prefix_covers(const struct prefix *outer, const struct prefix *inner);

#endif
