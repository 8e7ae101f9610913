/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_head.c - the head of an answer, written anew from instance 0's: its fields, without its reason phrase, its white
 * space, and whatever is between it and its own client only.
 */
#include <errno.h>
#include <stdio.h>

#include "http_session.h"

static uint8_t *put(uint8_t *at, const void *data, size_t len)
{
	memcpy(at, data, len);
	return at + len;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
	return put(at, text, strlen(text));
}

uint8_t *rddr_http_put_header(uint8_t *at, const struct http_head *head, unsigned i, const struct head_plan *plan)
{
	const struct http_header *header = &head->headers[i];

	if (rddr_http_bit(plan->dropped, i))
		return at;
	if (rddr_http_bit(plan->respelled, i))
		at = rddr_http_put_usual(at, header->name);
	else
		at = put(at, header->name.data, header->name.len);
	at = put_text(at, ": ");
	if (header->value.len)
		at = put(at, header->value.data, header->value.len);
	return put_text(at, "\r\n");
}

/* What says how the body goes out. */
static uint8_t *put_framing(const struct http *h, const struct http_head *head, const struct head_plan *plan,
			    uint8_t *at)
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
			/* Nobody sees a body that would belie it: it is said only when all say it. */
			if (!plan->same_length || h->streams[0].coding != CODING_IDENTITY)
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

int rddr_http_write_head(struct http *h, const struct http_head *head, const struct head_plan *plan)
{
	/* What is written of a field is not longer than the field; the rest is the status line and framing. */
	uint8_t *start = rddr_backlog_room(&h->head, head->len + (size_t)4 * head->n + 256), *at = start;
	char status[64];

	if (!start)
		return -ENOMEM;
	snprintf(status, sizeof(status), "HTTP/1.1 %03u %s\r\n", head->status, rddr_http_reason(head->status));
	at = put_text(at, status);
	for (unsigned place = 0; place < head->n; place++) {
		unsigned i = rddr_http_turn(plan, place);

		if (!rddr_http_is_hop(h, head, &head->headers[i]))
			at = rddr_http_put_header(at, head, i, plan);
	}
	at = put_connection(h, head, put_framing(h, head, plan, at));
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
