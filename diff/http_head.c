/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_head.c - the head of an answer, written anew from instance 0's: its fields, without its reason phrase, its white
 * space, and whatever is between it and its own client only.
 */
#include <errno.h>
#include <stdio.h>

#include "http_session.h"

static bool dropped_is(const uint64_t dropped[2], unsigned i)
{
	return dropped[i / 64] >> (i % 64) & 1;
}

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
	return put(at, text, strlen(text));
}

/* What says how the body goes out. */
static uint8_t *put_framing(const struct http *h, const struct http_head *head, uint8_t *at)
{
	char text[64];

	switch (h->out) {
	case OUT_CHUNKED:
		return put_text(at, "Transfer-Encoding: chunked\r\n");
	case OUT_LENGTH:
		break;
	case OUT_NOTHING:
		/* HEAD and 304 tell the length of what they do not have; 1xx, 204 and CONNECT must not. */
		if (head->status < 200 || head->status == 204 ||
		    (h->exchange.method == HTTP_METHOD_CONNECT && head->status < 300))
			return at;
		if (h->exchange.method == HTTP_METHOD_HEAD || head->status == 304) {
			if (!head->has_length || h->streams[0].coding != CODING_IDENTITY)
				return at;
			break;
		}
		return put_text(at, "Content-Length: 0\r\n");
	case OUT_CLOSE:
	default:
		return at;
	}
	snprintf(text, sizeof(text), "Content-Length: %llu\r\n", (unsigned long long)head->length);
	return put_text(at, text);
}

static uint8_t *put_connection(const struct http *h, const struct http_head *head, uint8_t *at)
{
	if (head->status == 101)
		return put_text(at, "Connection: Upgrade\r\n");
	if (h->exchange.method == HTTP_METHOD_CONNECT && head->status < 300)
		return at;
	if (h->close)
		return put_text(at, "Connection: close\r\n");
	return put_text(at, h->exchange.minor == 0 ? "Connection: keep-alive\r\n" : "");
}

int rddr_http_write_head(struct http *h, const struct http_head *head, const uint64_t dropped[2])
{
	/* What is written of a field is not longer than the field; the rest is the status line and framing. */
	uint8_t *start = rddr_backlog_room(&h->head, head->len + (size_t)4 * head->n + 256), *at = start;
	char status[64];

	if (!start)
		return -ENOMEM;
	snprintf(status, sizeof(status), "HTTP/1.1 %03u %s\r\n", head->status, rddr_http_reason(head->status));
	at = put_text(at, status);
	for (unsigned i = 0; i < head->n; i++) {
		const struct http_header *header = &head->headers[i];

		if (dropped_is(dropped, i) || rddr_http_is_hop(h, head, header))
			continue;
		at = put(at, header->name.data, header->name.len);
		*at++ = ':';
		*at++ = ' ';
		if (header->value.len)
			at = put(at, header->value.data, header->value.len);
		*at++ = '\r';
		*at++ = '\n';
	}
	at = put_connection(h, head, put_framing(h, head, at));
	at = put_text(at, "\r\n");
	h->head.len += (size_t)(at - start);
	return 0;
}

void rddr_http_flush_head(struct http *h)
{
	if (h->head.len == 0)
		return;
	h->host->emit(h->session, RDDR_LONE, h->head.data + h->head.from, h->head.len);
	rddr_backlog_take(&h->head, h->head.len);
	h->begun = true;
}
