/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_outgoing.c - outgoing services: the many ask, and the lone end answers.
 *
 * Requests are compared as answers are elsewhere: heads field by field, bodies by what they carry. One is written anew
 * from instance 0's, and goes out when all of it agrees (a body in chunks: as it agrees, and its end at the end). The
 * answer goes to all as it came; its head is read strictly, so that its end is known.
 */
#include <errno.h>
#include <stdio.h>

#include "denied.h"
#include "http_session.h"
#include "spans.h"

/* ---- requests ---- */

static enum rddr_verdict gather(struct http *h, const struct rddr_view views[], size_t len[],
				struct rddr_diff_result *result)
{
	bool waits = false;
	unsigned over = h->n, speaking = h->n;
	const char *why;

	for (unsigned i = 0; i < h->n; i++) {
		int64_t head = 0;

		if (!rddr_http_present(&views[i]))
			continue;
		if (views[i].len > 0)
			head = rddr_http_head_end((struct slice){views[i].data, views[i].len}, &h->streams[i].scanned,
						  &why);
		if (head < 0)
			return rddr_http_diverge(h, views, result, i, h->n, "the request", "it is not HTTP: %s", why);
		if (head > (int64_t)h->settings->max_head || (head == 0 && views[i].len > h->settings->max_head))
			return rddr_http_diverge(h, views, result, i, h->n, "the request",
						 "its head is longer than max-head, which is %zu",
						 h->settings->max_head);
		if (head > 0)
			speaking = i;
		else if (views[i].end == RDDR_END_OPEN)
			waits = true;
		else
			over = i;
		len[i] = (size_t)head;
	}
	if (waits || speaking == h->n)
		return RDDR_WAIT;
	if (over < h->n)
		return rddr_http_diverge(h, views, result, over, speaking, "the request", "%s before its request",
					 views[over].end == RDDR_END_RESET ? "reset" : "ended");
	return RDDR_AGREE;
}

/* What the request line says: everything but the target has to be the same to the byte. */
static enum rddr_verdict compare_lines(struct http *h, const struct rddr_view views[],
				       const struct http_head *const heads[], struct rddr_diff_result *result)
{
	struct slice targets[RDDR_MAX_INSTANCES] = {0};
	struct spans_result spans; /* not cleared: it is large */
	const struct http_head *first = NULL;
	uint32_t absent = 0;
	bool same = true;

	for (unsigned i = 0; i < h->n; i++) {
		absent |= (uint32_t)!heads[i] << i;
		if (!heads[i])
			continue;
		if (!first)
			first = heads[i];
		if (!slice_equal(heads[i]->method_name, first->method_name))
			return rddr_http_diverge(h, views, result, i, 0, "the method", "%.*s, where %.*s was expected",
						 (int)heads[i]->method_name.len,
						 (const char *)heads[i]->method_name.data, (int)first->method_name.len,
						 (const char *)first->method_name.data);
		if (heads[i]->minor != first->minor)
			return rddr_http_diverge(h, views, result, i, 0, "the request", "HTTP/1.%u, and the other 1.%u",
						 heads[i]->minor, first->minor);
		targets[i] = heads[i]->target;
		same &= slice_equal(targets[i], first->target);
	}
	if (same)
		return RDDR_AGREE;
	switch (rddr_spans_compare(targets, h->n, absent, h->filter && heads[0] && heads[1], &spans)) {
	case SPANS_SAME:
		return RDDR_AGREE;
	case SPANS_CHANCE:
		if (!rddr_http_was_noise(h, "target"))
			break;
		/* fall through */
	case SPANS_NOISE:
		for (size_t s = 0; s < spans.n; s++) {
			if (spans.spans[s].len > 0 && !h->host->charge_noise(h->session, spans.spans[s].len))
				return rddr_http_diverge(h, views, result, 1, 0, "the target",
							 "differs from its twin past the noise budget");
		}
		for (size_t s = 0; s < spans.n; s++)
			rddr_http_note_noise(h, "target", spans.values[s]);
		return RDDR_AGREE;
	case SPANS_DIFFER:
	default:
		break;
	}
	return rddr_http_diverge(h, views, result, spans.instance, spans.other, "the target", "%s", spans.why);
}

static bool is_left_out(const struct http *h, const struct http_head *head, const struct http_header *header)
{
	/* Leave was given by RDDR itself: see rddr_http_opening. */
	return header->kind == HTTP_EXPECT || rddr_http_is_hop(h, head, header);
}

static uint8_t *put(uint8_t *at, struct slice text)
{
	memcpy(at, text.data, text.len);
	return at + text.len;
}

static int write_head(struct http *h, const struct http_head *head, const struct head_plan *plan)
{
	uint8_t *start = rddr_backlog_room(&h->head, head->len + (size_t)4 * head->n + 256), *at = start;
	char text[64];

	if (!start)
		return -ENOMEM;
	at = put(at, head->method_name);
	*at++ = ' ';
	at = put(at, head->target);
	snprintf(text, sizeof(text), " HTTP/1.%u\r\n", head->minor);
	at = put(at, slice_of(text));
	for (unsigned place = 0; place < head->n; place++) {
		unsigned i = rddr_http_turn(plan, place);

		if (!is_left_out(h, head, &head->headers[i]))
			at = rddr_http_put_header(at, head, i, plan);
	}
	text[0] = '\0';
	if (h->out == OUT_CHUNKED)
		snprintf(text, sizeof(text), "Transfer-Encoding: chunked\r\n");
	else if (h->out == OUT_LENGTH || head->has_length)
		snprintf(text, sizeof(text), "Content-Length: %llu\r\n", (unsigned long long)head->length);
	at = put(at, slice_of(text));
	at = put(at, slice_of(h->close ? "Connection: close\r\n\r\n" : "\r\n"));
	h->head.len += (size_t)(at - start);
	return 0;
}

static void begin_exchange(struct http *h, const struct http_head *const heads[])
{
	h->exchange = (struct exchange){
		.keep_alive = true,
		.wants_json = rddr_http_accepts_json(heads[0]),
		.minor = heads[0]->minor,
		.method = heads[0]->method,
	};
	for (unsigned i = 0; i < h->n; i++) {
		if (!heads[i])
			continue;
		h->exchange.keep_alive &= heads[i]->keep_alive && heads[i]->minor == 1;
		h->streams[i].framing = rddr_http_request_framing(heads[i]);
		h->streams[i].left = heads[i]->length;
	}
	h->close = !h->exchange.keep_alive;
	h->relay = (struct relay){0};
}

static enum rddr_verdict judge_heads(struct http *h, const struct rddr_view views[], const size_t len[],
				     struct rddr_diff_result *result)
{
	struct http_head own[RDDR_MAX_INSTANCES]; /* only of those present, and not cleared: they are large */
	const struct http_head *heads[RDDR_MAX_INSTANCES] = {0};
	struct head_plan plan = {0};
	const char *why;
	int r;

	for (unsigned i = 0; i < h->n; i++) {
		if (!rddr_http_present(&views[i]))
			continue;
		if (rddr_http_read_request((struct slice){views[i].data, len[i]}, &own[i], &why) < 0)
			return rddr_http_diverge(h, views, result, i, h->n, "the request", "it is not HTTP: %s", why);
		heads[i] = &own[i];
	}
	if (!heads[0])
		return RDDR_WAIT;
	if (heads[0]->method == HTTP_METHOD_CONNECT)
		return rddr_http_diverge(h, views, result, 0, h->n, "the method", "CONNECT, to no proxy");
	h->host->begin_answer(h->session);
	begin_exchange(h, heads);
	r = rddr_http_payload_begin(h, views, heads);
	if (compare_lines(h, views, heads, result) == RDDR_DIVERGE ||
	    rddr_http_compare_correlations(h, views, heads, result) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	if (rddr_http_compare_heads(h, views, heads, &plan, result) == RDDR_DIVERGE) {
		result->finding.alone = rddr_http_alone_head(h, views, heads);
		return RDDR_DIVERGE;
	}
	if (r == 0)
		r = write_head(h, heads[0], &plan);
	if (r < 0)
		return rddr_http_diverge(h, views, result, 0, h->n, "the request", "no memory for it");
	for (unsigned i = 0; i < h->n; i++) {
		result->consumed[i] = len[i];
		h->streams[i].scanned = 0;
	}
	h->host->discard(h->session, len[0]);
	h->phase = ANSWER_BODY;
	return RDDR_AGREE;
}

enum rddr_verdict rddr_http_outgoing_judge(struct http *h, const struct rddr_view views[],
					   struct rddr_diff_result *result)
{
	size_t len[RDDR_MAX_INSTANCES] = {0};
	enum rddr_verdict verdict;

	if (h->exchange.pending || h->relay.last) {
		/* It is the backend's turn. */
		result->patient = true;
		return RDDR_WAIT;
	}
	if (h->phase == ANSWER_BODY)
		return rddr_http_payload_judge(h, views, result);
	verdict = gather(h, views, len, result);
	return verdict == RDDR_AGREE ? judge_heads(h, views, len, result) : verdict;
}

static void exchange_over(struct http *h)
{
	h->exchange.pending = false;
	if (h->exchange.keep_alive && h->relay.keep_alive)
		h->host->neutral(h->session, 0);
	else
		h->relay.last = true;
}

void rddr_http_outgoing_asked(struct http *h, struct rddr_diff_result *result)
{
	h->phase = ANSWER_HEAD;
	h->begun = false;
	h->judged = 0;
	h->exchange.pending = true;
	result->boundary = true;
	/* Report mode: the answer may be there before everybody has asked. */
	if (h->relay.over)
		exchange_over(h);
}

/* ---- the answer ---- */

static enum rddr_modify reject(struct rddr_modify_result *result, const char *why)
{
	snprintf(result->why, sizeof(result->why), "%s", why);
	return RDDR_REJECT;
}

static void answer_over(struct http *h)
{
	h->relay.over = true;
	h->relay.in_body = false;
	if (h->exchange.pending)
		exchange_over(h);
}

/* Bytes of the body at the beginning of rest; -1: it is malformed. */
static int64_t take_body(struct http *h, struct slice rest, const char **why)
{
	struct relay *r = &h->relay;
	struct slice stretch;
	size_t at = 0, taken;

	switch (r->framing) {
	case HTTP_LENGTH:
		at = rest.len < r->left ? rest.len : (size_t)r->left;
		r->left -= at;
		if (!r->left)
			answer_over(h);
		return (int64_t)at;
	case HTTP_CHUNKED:
		while (!r->chunks.done && at < rest.len) {
			if (rddr_chunks_next(&r->chunks, slice_cut(rest, at, SIZE_MAX), &taken, &stretch, why) < 0)
				return -1;
			at += taken;
		}
		if (r->chunks.done)
			answer_over(h);
		return (int64_t)at;
	case HTTP_UNTIL_CLOSE:
		return (int64_t)rest.len;
	case HTTP_NO_BODY:
	default:
		answer_over(h);
		return 0;
	}
}

static enum rddr_modify take_answer_head(struct http *h, const struct rddr_view *view,
					 struct rddr_modify_result *result)
{
	struct slice bytes = {view->data, view->len};
	struct http_head head; /* not cleared: it is large */
	const char *why;
	int64_t len = rddr_http_head_end(bytes, &h->relay.scanned, &why);

	if (len < 0)
		return reject(result, why);
	if (len > (int64_t)h->settings->max_head || (len == 0 && view->len > h->settings->max_head))
		return reject(result, "the answer's head is longer than max-head");
	if (len == 0)
		return RDDR_MODIFY_WAIT;
	if (rddr_http_read_answer(slice_cut(bytes, 0, (size_t)len), &head, &why) < 0)
		return reject(result, why);
	if (head.status == 101)
		return reject(result, "101, and nobody asked for it");
	h->relay.scanned = 0;
	h->relay.begun = true;
	result->consumed = (size_t)len;
	if (head.status < 200)
		return RDDR_SAME_FOR_ALL;
	h->relay.framing = rddr_http_answer_framing(&head, h->exchange.method);
	h->relay.left = head.length;
	h->relay.chunks = (struct chunks){0};
	h->relay.keep_alive = head.keep_alive && h->relay.framing != HTTP_UNTIL_CLOSE;
	h->relay.in_body = true;
	if (h->relay.framing == HTTP_NO_BODY || (h->relay.framing == HTTP_LENGTH && !h->relay.left))
		answer_over(h);
	return RDDR_SAME_FOR_ALL;
}

enum rddr_modify rddr_http_outgoing_modify(struct http *h, const struct rddr_view *view,
					   struct rddr_modify_result *result)
{
	const char *why = "";
	int64_t taken;

	if (!h->exchange.pending && !h->relay.in_body) {
		/* A server may answer before it has all of the request; that waits until it has. */
		if (h->phase == ANSWER_BODY && !h->relay.over)
			return RDDR_MODIFY_HOLD;
		return reject(result, "an answer that nobody asked for");
	}
	if (h->relay.over)
		return reject(result, "more than the answer");
	if (!h->relay.in_body) {
		enum rddr_modify what = take_answer_head(h, view, result);

		/* The body as well, where it is there: that is one call for both. */
		if (what != RDDR_SAME_FOR_ALL || !h->relay.in_body || result->consumed == view->len)
			return what;
	}
	taken = take_body(h, slice_cut((struct slice){view->data, view->len}, result->consumed, SIZE_MAX), &why);
	if (taken < 0)
		return reject(result, why);
	result->consumed += (size_t)taken;
	return RDDR_SAME_FOR_ALL;
}

void rddr_http_outgoing_denial(struct http *h, const struct rddr_denial *denial)
{
	const struct denied d = {
		.refused = false,
		.json = h->exchange.wants_json,
		.head_only = h->exchange.method == HTTP_METHOD_HEAD,
		.reference = denial->reference,
	};
	char page[DENIED_ROOM];

	if (h->relay.begun)
		return;
	for (unsigned i = 0; i < h->n; i++)
		h->host->emit(h->session, i, page, rddr_denied_render(&d, page));
}
