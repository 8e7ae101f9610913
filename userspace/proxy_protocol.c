// SPDX-License-Identifier: BSD-2-Clause
#include "proxy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "own.h"

#define LINE_MAX_LEN 107
#define FIXED	     16 /* signature, version and command, family and transport, length */

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 };
enum { FAMILY_UNSPEC = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21 };

static const uint8_t signature[12] = {'\r', '\n', '\r', '\n', '\0', '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};

/* ---- version 1 ---- */

/* The text up to the next blank, terminated in out. False: there is none, or it is too long. */
static bool word(const char **at, char *out, size_t size)
{
	size_t n = strcspn(*at, " ");

	if (!n || n >= size)
		return false;
	memcpy(out, *at, n);
	out[n] = '\0';
	*at += n;
	if (**at == ' ')
		(*at)++;
	return true;
}

static bool read_address(const char *text, sa_family_t family, struct addr *out)
{
	*out = (struct addr){.sa.sa_family = family};
	/* What inet_pton() takes beside the grammar: a scope, which it does not. */
	return inet_pton(family, text, family == AF_INET ? (void *)&out->v4.sin_addr : (void *)&out->v6.sin6_addr) == 1;
}

static bool read_port(const char *text, struct addr *out)
{
	unsigned long port = 0;

	if (strlen(text) > 5 || (*text == '0' && text[1]))
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	rddr_addr_set_port(out, (uint16_t)port);
	return port <= UINT16_MAX;
}

/* The line without its end. */
static int read_line(const char *line, struct proxy_header *out)
{
	char kind[8], source[48], destination[48], source_port[8], destination_port[8];
	const char *at = line + strlen("PROXY ");
	size_t len = strlen(line);
	sa_family_t family;

	if (!word(&at, kind, sizeof(kind)))
		return -EBADMSG;
	if (!strcmp(kind, "UNKNOWN")) {
		out->local = true;
		return 0;
	}
	if (!strcmp(kind, "TCP4"))
		family = AF_INET;
	else if (!strcmp(kind, "TCP6"))
		family = AF_INET6;
	else
		return -EBADMSG;
	if (line[len - 1] == ' ' || !word(&at, source, sizeof(source)) ||
	    !word(&at, destination, sizeof(destination)) || !word(&at, source_port, sizeof(source_port)) ||
	    !word(&at, destination_port, sizeof(destination_port)) || *at)
		return -EBADMSG;
	if (!read_address(source, family, &out->source) || !read_address(destination, family, &out->destination) ||
	    !read_port(source_port, &out->source) || !read_port(destination_port, &out->destination))
		return -EBADMSG;
	return 0;
}

static int parse_line(const uint8_t *data, size_t len, struct proxy_header *out)
{
	static const char start[] = "PROXY ";
	char line[LINE_MAX_LEN + 1];
	size_t n = len < LINE_MAX_LEN ? len : LINE_MAX_LEN;
	size_t known = len < strlen(start) ? len : strlen(start);

	if (memcmp(data, start, known) != 0)
		return -EBADMSG;
	const uint8_t *end = memchr(data, '\r', n);
	if (memchr(data, '\n', end ? (size_t)(end - data) : n) || memchr(data, '\0', end ? (size_t)(end - data) : n))
		return -EBADMSG;
	if (!end || end + 1 == data + n)
		return n == LINE_MAX_LEN ? -EBADMSG : -EAGAIN;
	if (end[1] != '\n' || (size_t)(end - data) < strlen(start))
		return -EBADMSG;
	memcpy(line, data, (size_t)(end - data));
	line[end - data] = '\0';
	out->version = 1;
	out->len = (size_t)(end - data) + 2;
	return read_line(line, out);
}

/* ---- version 2 ---- */

static void take_four(const uint8_t *address, const uint8_t *port, struct addr *out)
{
	*out = (struct addr){.sa.sa_family = AF_INET};
	memcpy(&out->v4.sin_addr, address, 4);
	memcpy(&out->v4.sin_port, port, 2);
}

static void take_six(const uint8_t *address, const uint8_t *port, struct addr *out)
{
	*out = (struct addr){.sa.sa_family = AF_INET6};
	memcpy(&out->v6.sin6_addr, address, 16);
	memcpy(&out->v6.sin6_port, port, 2);
}

static int parse_binary(const uint8_t *data, size_t len, struct proxy_header *out)
{
	size_t known = len < sizeof(signature) ? len : sizeof(signature);

	if (memcmp(data, signature, known) != 0)
		return -EBADMSG;
	if (len > 12 && data[12] != COMMAND_LOCAL && data[12] != COMMAND_PROXY)
		return -EBADMSG;
	if (len < FIXED)
		return -EAGAIN;
	size_t rest = (size_t)data[14] << 8 | data[15];
	if (FIXED + rest > PROXY_HEADER_MAX)
		return -EBADMSG;
	if (len < FIXED + rest)
		return -EAGAIN;
	out->version = 2;
	out->len = FIXED + rest;
	out->local = data[12] == COMMAND_LOCAL || data[13] == FAMILY_UNSPEC;
	const uint8_t *a = data + FIXED;
	if (out->local)
		return 0;
	if (data[13] == FAMILY_TCP4 && rest >= 12) {
		take_four(a, a + 8, &out->source);
		take_four(a + 4, a + 10, &out->destination);
	} else if (data[13] == FAMILY_TCP6 && rest >= 36) {
		take_six(a, a + 32, &out->source);
		take_six(a + 16, a + 34, &out->destination);
	} else {
		return -EBADMSG;
	}
	return 0;
}

int rddr_proxy_protocol_parse(const uint8_t *data, size_t len, struct proxy_header *out)
{
	*out = (struct proxy_header){0};
	if (!len)
		return -EAGAIN;
	int r = *data == signature[0] ? parse_binary(data, len, out) : parse_line(data, len, out);
	if (r || out->local)
		return r;
	rddr_addr_unmap(&out->source);
	rddr_addr_unmap(&out->destination);
	/* Nobody's: forged, it would be an address of the kernel's choice. */
	return rddr_addr_is_wildcard(&out->source) ? -EBADMSG : 0;
}

/* ---- writing ---- */

static void as_six(const struct addr *a, struct addr *out)
{
	*out = *a;
	if (a->sa.sa_family == AF_INET6)
		return;
	*out = (struct addr){.sa.sa_family = AF_INET6};
	out->v6.sin6_addr.s6_addr[10] = out->v6.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&out->v6.sin6_addr.s6_addr[12], &a->v4.sin_addr, 4);
	out->v6.sin6_port = a->v4.sin_port;
}

static size_t write_line(const struct addr *source, const struct addr *destination, uint8_t *out)
{
	char from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];
	int n = 0;

	if (!source) {
		n = snprintf((char *)out, PROXY_WRITTEN_MAX, "PROXY UNKNOWN\r\n");
	} else if (source->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &source->v4.sin_addr, from, sizeof(from));
		inet_ntop(AF_INET, &destination->v4.sin_addr, to, sizeof(to));
		n = snprintf((char *)out, PROXY_WRITTEN_MAX, "PROXY TCP4 %s %s %u %u\r\n", from, to,
			     rddr_addr_port(source), rddr_addr_port(destination));
	} else {
		inet_ntop(AF_INET6, &source->v6.sin6_addr, from, sizeof(from));
		inet_ntop(AF_INET6, &destination->v6.sin6_addr, to, sizeof(to));
		n = snprintf((char *)out, PROXY_WRITTEN_MAX, "PROXY TCP6 %s %s %u %u\r\n", from, to,
			     rddr_addr_port(source), rddr_addr_port(destination));
	}
	return (size_t)n;
}

static size_t write_binary(const struct addr *source, const struct addr *destination, uint8_t *out)
{
	size_t rest = 0;

	memcpy(out, signature, sizeof(signature));
	out[12] = source ? COMMAND_PROXY : COMMAND_LOCAL;
	out[13] = FAMILY_UNSPEC;
	if (source && source->sa.sa_family == AF_INET) {
		out[13] = FAMILY_TCP4;
		memcpy(out + FIXED, &source->v4.sin_addr, 4);
		memcpy(out + FIXED + 4, &destination->v4.sin_addr, 4);
		memcpy(out + FIXED + 8, &source->v4.sin_port, 2);
		memcpy(out + FIXED + 10, &destination->v4.sin_port, 2);
		rest = 12;
	} else if (source) {
		out[13] = FAMILY_TCP6;
		memcpy(out + FIXED, &source->v6.sin6_addr, 16);
		memcpy(out + FIXED + 16, &destination->v6.sin6_addr, 16);
		memcpy(out + FIXED + 32, &source->v6.sin6_port, 2);
		memcpy(out + FIXED + 34, &destination->v6.sin6_port, 2);
		rest = 36;
	}
	out[14] = 0;
	out[15] = (uint8_t)rest;
	return FIXED + rest;
}

size_t rddr_proxy_protocol_write(unsigned version, const struct addr *source, const struct addr *destination,
				 uint8_t out[PROXY_WRITTEN_MAX])
{
	struct addr from, to;

	if (!source || !destination || !source->sa.sa_family || !destination->sa.sa_family)
		source = destination = NULL;
	if (source && source->sa.sa_family != destination->sa.sa_family) {
		as_six(source, &from);
		as_six(destination, &to);
		source = &from;
		destination = &to;
	}
	return version == 1 ? write_line(source, destination, out) : write_binary(source, destination, out);
}
