/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * proxy_protocol.h - the PROXY protocol, versions 1 and 2: how a balancer says who the client is.
 *
 * Source: HAProxy's proxy-protocol.txt, sections 2.1 (the line of text), 2.2 (the binary header). Version 1 is at most
 * 107 bytes long; of version 2 more than PROXY_HEADER_MAX bytes, TLVs included, are refused. TLVs are passed over.
 */
#ifndef RDDR_PROXY_PROTOCOL_H
#define RDDR_PROXY_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define PROXY_HEADER_MAX 4096
/* Room for whatever is written. */
#define PROXY_WRITTEN_MAX 128

struct proxy_header {
	unsigned version;
	/* The balancer speaks for itself (a health check), or does not know: its own address counts. */
	bool local;
	struct addr source, destination; /* unless local; IPv4-mapped ones are IPv4 */
	size_t len;			 /* bytes of the header */
};

/* Reads the header that data begins with. 0; -EAGAIN: more is needed to tell; -EBADMSG: it is none. */
int rddr_proxy_protocol_parse(const uint8_t *data, size_t len, struct proxy_header *out);

/* Writes a header of version 1 or 2. Without addresses (NULL) it says that the balancer speaks for itself. Addresses of
 * two families become IPv6. Returns its length. */
size_t rddr_proxy_protocol_write(unsigned version, const struct addr *source, const struct addr *destination,
				 uint8_t out[PROXY_WRITTEN_MAX]);

#endif
