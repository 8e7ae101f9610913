/* SPDX-License-Identifier: BSD-2-Clause */
#include "http_chunks.h"

#include <errno.h>

#include "http_session.h"

/* What extensions and trailers of one body may have together, in bytes. */
#define SPENT_MAX 8192

/* A chunk is not longer than that many hexadecimal digits say. */
#define DIGITS_MAX 15

enum state {
	SIZE,	   /* its digits */
	EXTENSION, /* behind a semicolon: RFC 9112, 7.1.1, without quoted values */
	EXTENSION_NAME,
	EXTENSION_EQUALS,
	EXTENSION_VALUE,
	SIZE_LF,
	PAYLOAD,
	PAYLOAD_CR,
	PAYLOAD_LF,
	LINE, /* the first byte of a trailer, or of the empty line */
	NAME,
	VALUE,
	VALUE_LF,
	LAST_LF,
};

static int hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_token(uint8_t c)
{
	return c > ' ' && c < 0x7f && !strchr("\"(),/:;<=>?@[\\]{}", c);
}

static const char *in_size(struct chunks *c, uint8_t byte)
{
	int digit = hex(byte);

	if (digit >= 0) {
		if (++c->digits > DIGITS_MAX)
			return "a chunk size with too many digits";
		c->left = c->left << 4 | (unsigned)digit;
		return NULL;
	}
	if (c->digits == 0)
		return "a chunk without a size";
	if (byte != '\r' && byte != ';')
		return "a chunk size that is not a hexadecimal number";
	c->state = byte == '\r' ? SIZE_LF : EXTENSION;
	return NULL;
}

static const char *in_extension(struct chunks *c, uint8_t byte)
{
	bool begun = c->state == EXTENSION_NAME || c->state == EXTENSION_VALUE;

	if (is_token(byte))
		c->state = c->state == EXTENSION || c->state == EXTENSION_NAME ? EXTENSION_NAME : EXTENSION_VALUE;
	else if (begun && byte == '\r')
		c->state = SIZE_LF;
	else if (begun && byte == ';')
		return "a chunk with more than one extension"; /* llhttp 8.1 does not take it, others do */
	else if (c->state == EXTENSION_NAME && byte == '=')
		c->state = EXTENSION_EQUALS;
	else
		return "a chunk extension of an odd form";
	return NULL;
}

static const char *line_feed(struct chunks *c, uint8_t byte, enum state next)
{
	if (byte != '\n')
		return "a carriage return without a line feed in a chunk's framing";
	c->state = next;
	return NULL;
}

static const char *after_size(struct chunks *c, uint8_t byte)
{
	c->digits = 0;
	return line_feed(c, byte, c->left > 0 ? PAYLOAD : LINE);
}

static const char *in_name(struct chunks *c, uint8_t byte)
{
	static const char *const framing[] = {"content-length", "transfer-encoding", "host", "content_length",
					      "transfer_encoding"};

	if (byte == ':' && c->name_len > 0) {
		for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++) {
			if (strlen(framing[i]) == c->name_len && memcmp(framing[i], c->name, c->name_len) == 0)
				return "a trailer that decides about framing";
		}
		if (c->settings && rddr_http_passes_for_correlation(
					   c->settings, (struct slice){(const uint8_t *)c->name, c->name_len}))
			return "a trailer with the name of correlate's header";
		c->state = VALUE;
		return NULL;
	}
	if (!is_token(byte))
		return "a trailer that has not the form of a header";
	if (c->name_len < sizeof(c->name))
		c->name[c->name_len++] = (char)(byte >= 'A' && byte <= 'Z' ? byte | 0x20 : byte);
	return NULL;
}

static const char *in_line(struct chunks *c, uint8_t byte)
{
	if (byte == '\r') {
		c->state = LAST_LF;
		return NULL;
	}
	c->name_len = 0;
	c->state = NAME;
	return in_name(c, byte);
}

static const char *in_value(struct chunks *c, uint8_t byte)
{
	if (byte == '\r')
		c->state = VALUE_LF;
	else if ((byte < ' ' && byte != '\t') || byte == 0x7f)
		return "a trailer with a control byte";
	return NULL;
}

static const char *step(struct chunks *c, uint8_t byte)
{
	const char *why;

	switch ((enum state)c->state) {
	case SIZE:
		return in_size(c, byte);
	case EXTENSION:
	case EXTENSION_NAME:
	case EXTENSION_EQUALS:
	case EXTENSION_VALUE:
		return ++c->spent > SPENT_MAX ? "more chunk extensions than there may be" : in_extension(c, byte);
	case SIZE_LF:
		return after_size(c, byte);
	case PAYLOAD: /* not by this way */
	case PAYLOAD_CR:
		c->state = PAYLOAD_LF;
		return byte == '\r' ? NULL : "a chunk that is longer than its size";
	case PAYLOAD_LF:
		return line_feed(c, byte, SIZE);
	case LINE:
		return in_line(c, byte);
	case NAME:
		return ++c->spent > SPENT_MAX ? "more trailers than there may be" : in_name(c, byte);
	case VALUE:
		return ++c->spent > SPENT_MAX ? "more trailers than there may be" : in_value(c, byte);
	case VALUE_LF:
		return line_feed(c, byte, LINE);
	case LAST_LF:
	default:
		why = line_feed(c, byte, LAST_LF);
		c->done = !why;
		return why;
	}
}

int rddr_chunks_next(struct chunks *c, struct slice bytes, size_t *taken, struct slice *payload, const char **why)
{
	size_t at = 0;

	*payload = (struct slice){0};
	while (at < bytes.len && !c->done && c->state != PAYLOAD) {
		*why = step(c, bytes.data[at++]);
		if (*why)
			return -EINVAL;
	}
	if (c->state == PAYLOAD && at < bytes.len) {
		*payload = slice_cut(bytes, at, c->left < bytes.len ? (size_t)c->left : bytes.len);
		c->left -= payload->len;
		at += payload->len;
		if (c->left == 0)
			c->state = PAYLOAD_CR;
	}
	*taken = at;
	return 0;
}

void rddr_chunks_give_back(struct chunks *c, size_t len)
{
	if (len == 0)
		return;
	c->left += len;
	c->state = PAYLOAD;
}
