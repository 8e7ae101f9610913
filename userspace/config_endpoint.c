// SPDX-License-Identifier: BSD-2-Clause
/* Addresses of ends: numeric ones, and names that are resolved. */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_read.h"
#include "own.h"

#define LONGEST_TEXT 300 /* a name of 253 bytes and a port */

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";

/* A name that a resolver may be asked for. A last label of digits alone is an address that went wrong. */
static bool is_host_name(const char *host)
{
	const char *label = host;
	size_t n;

	if (strlen(host) > 253)
		return false;
	for (;;) {
		n = strspn(label, letters);
		if (!n || n > 63 || *label == '-')
			return false;
		if (!label[n] || !label[n + 1])
			break;
		if (label[n] != '.')
			return false;
		label += n + 1;
	}
	if (label[n] && label[n] != '.')
		return false;
	return strspn(label, "0123456789") != n;
}

/* Digits alone; 0 where it is no port. */
static uint16_t parse_port(const char *text)
{
	unsigned long port;

	if (!*text || strlen(text) > 5 || text[strspn(text, "0123456789")])
		return 0;
	port = strtoul(text, NULL, 10);
	return port <= UINT16_MAX ? (uint16_t)port : 0;
}

/* The first address of the family that is preferred, else the first. */
static bool resolve(struct reader *r, struct config_mark mark, const struct place *place, const char *host,
		    struct addr *out)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	const struct addrinfo *chosen = NULL;
	struct addrinfo *list = NULL;
	int err = getaddrinfo(host, NULL, &hints, &list);

	for (const struct addrinfo *i = err ? NULL : list; i; i = i->ai_next) {
		if (i->ai_family != AF_INET && i->ai_family != AF_INET6)
			continue;
		if (!chosen || (chosen->ai_family != r->family && i->ai_family == r->family))
			chosen = i;
	}
	if (chosen && chosen->ai_addrlen <= sizeof(*out)) {
		memset(out, 0, sizeof(*out));
		memcpy(out, chosen->ai_addr, chosen->ai_addrlen);
		rddr_addr_unmap(out);
	} else {
		rddr_config_read_fault(r, mark, place, "the host %s cannot be resolved: %s", host,
				       err == EAI_SYSTEM ? strerror(errno)
				       : err		 ? gai_strerror(err)
							 : "no address");
		err = EAI_NONAME;
	}
	if (list)
		freeaddrinfo(list);
	return !err;
}

/* What no connection can be made to. */
static const char *unusable(const struct addr *a, unsigned flags)
{
	const struct in6_addr *v6 = &a->v6.sin6_addr;
	uint32_t v4 = ntohl(a->v4.sin_addr.s_addr);

	if (rddr_addr_is_wildcard(a))
		return flags & ENDPOINT_WILDCARD ? NULL : "is the wildcard address";
	if (a->sa.sa_family == AF_INET)
		return IN_MULTICAST(v4)		? "is a multicast address"
		       : v4 == INADDR_BROADCAST ? "is the broadcast address"
						: NULL;
	if (IN6_IS_ADDR_MULTICAST(v6))
		return "is a multicast address";
	if (IN6_IS_ADDR_LINKLOCAL(v6) && !a->v6.sin6_scope_id)
		return "is a link-local address without its interface (write fe80::1%eth0)";
	return NULL;
}

static bool take_address(struct reader *r, const struct node *node, const struct place *place, unsigned flags,
			 const struct addr *found, struct addr *out)
{
	const char *why = unusable(found, flags);
	char shown[100];

	if (why) {
		rddr_config_read_fault(r, node->mark, place, "%s %s", node->text, why);
		return false;
	}
	if ((flags & ENDPOINT_PORT) && !rddr_addr_port(found)) {
		rddr_config_read_fault(r, node->mark, place,
				       "wants host:port with a port from 1 to 65535 (IPv6: \"[fd00::1]:80\"), is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return false;
	}
	*out = *found;
	return true;
}

bool rddr_config_endpoint_host(struct reader *r, const struct node *node, const struct place *place, uint16_t port,
			       unsigned flags, struct addr *out)
{
	const char *text = rddr_config_read_text(r, node, place, LONGEST_TEXT);
	struct addr a;
	char shown[100];

	if (!text)
		return false;
	if (rddr_addr_parse(text, 0, &a) ? is_host_name(text) : !rddr_addr_port(&a)) {
		if (rddr_addr_parse(text, 0, &a) && !resolve(r, node->mark, place, text, &a))
			return false;
		rddr_addr_set_port(&a, port);
		return take_address(r, node, place, flags, &a, out);
	}
	rddr_config_read_fault(r, node->mark, place, "wants a host's address or name, is %s",
			       rddr_config_read_show(node, shown, sizeof(shown)));
	return false;
}

bool rddr_config_endpoint_read(struct reader *r, const struct node *node, const struct place *place, unsigned flags,
			       struct addr *out)
{
	const char *text = rddr_config_read_text(r, node, place, LONGEST_TEXT), *colon;
	char host[LONGEST_TEXT + 1], shown[100];
	uint16_t port = 0;
	struct addr a;

	if (!text)
		return false;
	if (!rddr_addr_parse(text, 0, &a))
		return take_address(r, node, place, flags, &a, out);
	rddr_config_read_show(node, shown, sizeof(shown));
	colon = strrchr(text, ':');
	snprintf(host, sizeof(host), "%.*s", colon ? (int)(colon - text) : (int)strlen(text), text);
	if (colon) {
		port = parse_port(colon + 1);
		if (!port) {
			rddr_config_read_fault(r, node->mark, place,
					       "wants host:port with a port from 1 to 65535, is %s", shown);
			return false;
		}
	}
	/* What is a number here was refused above for its port, or is none. */
	if (!is_host_name(host)) {
		rddr_config_read_fault(r, node->mark, place, "wants %s, is %s",
				       flags & ENDPOINT_PORT ? "host:port" : "an address or a name", shown);
		return false;
	}
	if (!resolve(r, node->mark, place, host, &a))
		return false;
	rddr_addr_set_port(&a, port);
	return take_address(r, node, place, flags, &a, out);
}

struct host_port {
	const struct node *host;
	uint16_t port;
};

static void keep_node(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	(void)r;
	(void)place;
	*(const struct node **)((char *)base + field->offset) = node;
}

bool rddr_config_endpoint_listen(struct reader *r, const struct node *node, const struct place *place, struct addr *out)
{
	static const struct bounds ports = {1, UINT16_MAX};
	static const struct field fields[] = {
		{"host", keep_node, offsetof(struct host_port, host), NULL, true},
		{"port", rddr_config_read_u16, offsetof(struct host_port, port), &ports, true},
	};
	struct host_port both = {0};
	const struct place at = {.up = place, .key = "host"};

	if (node->kind != NODE_MAPPING)
		return rddr_config_endpoint_read(r, node, place, ENDPOINT_PORT | ENDPOINT_WILDCARD, out);
	if (!rddr_config_read_mapping(r, node, place, FIELDS(fields), &both) || !both.host)
		return false;
	return rddr_config_endpoint_host(r, both.host, &at, both.port, ENDPOINT_WILDCARD, out) && both.port;
}
