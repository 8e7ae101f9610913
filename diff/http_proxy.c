/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_proxy.c - requests to a proxy, where the service's instances are reached where the request says.
 *
 * A request in absolute form (RFC 9112 section 3.2.2) names its server; the instances get it in origin form. CONNECT
 * (RFC 9110 section 9.3.6) is answered here, once the instances are connected; what follows is either HTTP again, as
 * its first byte shows where the client speaks first, or compared byte by byte.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "http_session.h"

#define HTTP_PORT 80

/* "host", "host:port", "[v6]:port"; port 0: none stands there. False: too long, or a port out of range. */
static bool split(struct slice authority, char *host, size_t size, unsigned *port)
{
	const uint8_t *data = authority.data, *end = data + authority.len, *from = data, *to, *colon;

	*port = 0;
	if (authority.len && *data == '[') {
		from = data + 1;
		to = memchr(from, ']', (size_t)(end - from));
		if (!to)
			return false;
		colon = to + 1;
	} else {
		to = memchr(data, ':', authority.len);
		if (!to)
			to = end;
		colon = to;
	}
	size_t len = (size_t)(to - from);
	if (!len || len >= size)
		return false;
	memcpy(host, from, len);
	host[len] = '\0';
	if (colon == end)
		return true;
	if (*colon != ':')
		return false;
	for (const uint8_t *c = colon + 1; c < end; c++) {
		*port = *port * 10 + (unsigned)(*c - '0');
		if (*c < '0' || *c > '9' || *port > UINT16_MAX)
			return false;
	}
	return colon + 1 == end || *port > 0;
}

/* The authority of a URL of plain http, and what of the target the instances do not get. */
static bool absolute(struct http *h, const struct http_head *head, struct slice *authority, const char **why)
{
	static const char scheme[] = "http://";
	size_t from = sizeof(scheme) - 1, to = from;
	struct slice t = head->target;

	if (t.len <= from || strncasecmp((const char *)t.data, scheme, from) != 0) {
		*why = "a proxy is asked with a URL of http, or with CONNECT";
		return false;
	}
	while (to < t.len && t.data[to] != '/' && t.data[to] != '?' && t.data[to] != '#')
		to++;
	*authority = slice_cut(t, from, to - from);
	h->proxy_cut = to;
	if (to < t.len && t.data[to] == '/')
		h->proxy_instead = "";
	else
		h->proxy_instead = to == t.len && head->method == HTTP_METHOD_OPTIONS ? "*" : "/";
	return true;
}

enum proxy_step rddr_http_proxy_name(struct http *h, const struct http_head *head, const char **why)
{
	bool connect = head->method == HTTP_METHOD_CONNECT;
	struct slice authority = head->target;
	char host[256];
	unsigned port;

	h->proxy_cut = 0;
	if (!connect && !absolute(h, head, &authority, why))
		return PROXY_REJECT;
	if (!split(authority, host, sizeof(host), &port) || (connect && !port)) {
		*why = "a target that is no host and port";
		return PROXY_REJECT;
	}
	h->naming = true;
	h->naming_json = rddr_http_accepts_json(head);
	h->naming_head = head->method == HTTP_METHOD_HEAD;
	int r = h->host->target(h->session, host, (uint16_t)(port ? port : HTTP_PORT));
	if (r == -EAGAIN)
		return PROXY_HOLD;
	if (r < 0) {
		*why = r == -EINVAL ? "a target that is no host and port" : "a target that cannot be named here";
		return PROXY_REJECT;
	}
	h->naming = false;
	return connect ? PROXY_CONNECTED : PROXY_ON;
}

void rddr_http_proxy_open(struct http *h)
{
	static const char opened[] = "HTTP/1.1 200 Connection established\r\n\r\n";

	h->host->emit(h->session, RDDR_LONE, opened, sizeof(opened) - 1);
	h->request.phase = REQUEST_OPENED;
	h->request.scanned = 0;
	h->phase = ANSWER_TUNNEL;
}

void rddr_http_proxy_settle(struct http *h, uint8_t first)
{
	bool speaks_http = !h->spoken && first >= 'A' && first <= 'Z';

	h->request.phase = speaks_http ? REQUEST_HEAD : REQUEST_TUNNEL;
	if (!speaks_http)
		return;
	h->phase = ANSWER_HEAD;
	/* What it names from here on is for the server. */
	h->proxy = false;
	h->proxy_cut = 0;
}

bool rddr_http_proxy_keeps(const struct http *h, const struct http_header *header)
{
	return h->proxy_cut && (header->kind == HTTP_PROXY_CONNECTION ||
				slice_equal_nocase(header->name, slice_of("Proxy-Authorization")));
}
