/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_answer.c - what the instances say: heads are gathered until everybody's is there, and judged together.
 */
#include <stdarg.h>
#include <stdio.h>

#include "http_session.h"

/* Interim answers of one instance to one request. */
#define INTERIM_MAX 16

static unsigned another(const struct http *h, const struct rddr_view views[], unsigned instance)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (i != instance && rddr_http_present(&views[i]))
			return i;
	}
	return instance ? 0 : h->n > 1;
}

enum rddr_verdict rddr_http_diverge(const struct http *h, const struct rddr_view views[],
				    struct rddr_diff_result *result, unsigned instance, unsigned other,
				    const char *where, const char *fmt, ...)
{
	struct rddr_finding *finding = &result->finding;
	va_list args;

	memset(result->consumed, 0, sizeof(result->consumed));
	finding->instance = instance;
	finding->other = other < h->n ? other : another(h, views, instance);
	finding->alone = RDDR_ALONE_NOBODY;
	snprintf(finding->where, sizeof(finding->where), "%s", where);
	va_start(args, fmt);
	vsnprintf(finding->why, sizeof(finding->why), fmt, args);
	va_end(args);
	return RDDR_DIVERGE;
}

bool rddr_http_odd_one(const struct rddr_view views[], unsigned n, const uint64_t numbers[], unsigned *instance,
		       unsigned *other)
{
	unsigned most = 0;
	bool differ = false;

	for (unsigned i = 0; i < n; i++) {
		unsigned votes = 0;

		for (unsigned k = 0; k < n; k++)
			votes += rddr_http_present(&views[k]) && numbers[k] == numbers[i];
		if (rddr_http_present(&views[i]) && votes > most) {
			most = votes;
			*other = i;
		}
	}
	for (unsigned i = n; i-- > 0;) {
		if (rddr_http_present(&views[i]) && numbers[i] != numbers[*other]) {
			*instance = i;
			differ = true;
		}
	}
	return differ;
}

/* ---- answers to nothing ---- */

/*
 * A server that was never asked may say that it is tired of waiting, before it closes. Nobody gets to see that; the
 * server is dialled again when it is needed.
 */
static bool takes_leave(const struct rddr_view *view)
{
	struct http_head head; /* not cleared: it is large */
	struct slice bytes = {view->data, view->len};
	size_t scanned = 0;
	const char *why;
	int64_t len;

	/* HTTP/1.x 408: nearly always it is not. */
	if (view->len < 12 || memcmp(view->data + 9, "408", 3) != 0)
		return false;
	len = rddr_http_head_end(bytes, &scanned, &why);
	return len > 0 && rddr_http_read_answer(slice_cut(bytes, 0, (size_t)len), &head, &why) == 0 &&
	       head.status == 408 && !head.keep_alive;
}

static enum rddr_verdict unasked(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result)
{
	bool consumed = false, waits = false;

	for (unsigned i = 0; i < h->n; i++) {
		struct answer_stream *st = &h->streams[i];

		if (!rddr_http_present(&views[i]) || views[i].len == 0)
			continue;
		if (!st->leaving)
			st->leaving = takes_leave(&views[i]);
		if (st->leaving) {
			result->consumed[i] = views[i].len;
			if (i == 0)
				h->host->discard(h->session, views[i].len);
			h->host->rest(h->session, i);
			consumed = true;
		} else if (views[i].len >= h->settings->max_head || views[i].end != RDDR_END_OPEN ||
			   memmem(views[i].data, views[i].len, "\r\n\r\n", 4)) {
			return rddr_http_diverge(h, views, result, i, h->n, "the answer",
						 "an answer that nobody asked for");
		} else {
			waits = true;
		}
	}
	if (!consumed)
		return RDDR_WAIT;
	result->boundary = true;
	if (!waits)
		h->host->neutral(h->session, 0);
	return RDDR_AGREE;
}

/* ---- gathering ---- */

struct gathering {
	size_t len[RDDR_MAX_INSTANCES]; /* of each head */
	bool waiting;			/* for one at least */
	bool consumed;			/* something was, and everything shown is to be looked at anew */
	unsigned over, speaking;	/* instances that ended before their head, and that did not; n: none */
};

/* Takes an interim answer. */
static enum rddr_verdict take_interim(struct http *h, const struct rddr_view views[], unsigned i, size_t len,
				      struct rddr_diff_result *result)
{
	struct answer_stream *st = &h->streams[i];
	struct http_head head;
	const char *why;

	if (rddr_http_read_answer((struct slice){views[i].data, len}, &head, &why) < 0)
		return rddr_http_diverge(h, views, result, i, h->n, "the head", "its answer is not HTTP: %s", why);
	if (++st->interim > INTERIM_MAX)
		return rddr_http_diverge(h, views, result, i, h->n, "the head", "more than %d interim answers",
					 INTERIM_MAX);
	st->continued += head.status == 100;
	st->scanned = 0;
	result->consumed[i] += len;
	if (i == 0)
		h->host->discard(h->session, len);
	return RDDR_AGREE;
}

static bool is_interim(const struct rddr_view *view)
{
	/* HTTP/1.x 1yz, but for 101, which is final. */
	return view->len > 12 && view->data[9] == '1' && memcmp(view->data + 9, "101", 3) != 0;
}

static enum rddr_verdict gather(struct http *h, const struct rddr_view views[], struct gathering *g,
				struct rddr_diff_result *result)
{
	const char *why;

	*g = (struct gathering){.over = h->n, .speaking = h->n};
	for (unsigned i = 0; i < h->n; i++) {
		const struct rddr_view *view = &views[i];
		int64_t len = 0;

		if (!rddr_http_present(view))
			continue;
		if (view->len > 0)
			len = rddr_http_head_end((struct slice){view->data, view->len}, &h->streams[i].scanned, &why);
		if (len < 0)
			return rddr_http_diverge(h, views, result, i, h->n, "the head", "its answer is not HTTP: %s",
						 why);
		if (len > (int64_t)h->settings->max_head || (len == 0 && view->len > h->settings->max_head))
			return rddr_http_diverge(h, views, result, i, h->n, "the head",
						 "its head is longer than max-head, which is %zu",
						 h->settings->max_head);
		if (len == 0 && view->end == RDDR_END_OPEN)
			g->waiting = true;
		else if (len == 0)
			g->over = i;
		else
			g->speaking = i;
		g->len[i] = (size_t)len;
		if (len > 0 && is_interim(view)) {
			if (take_interim(h, views, i, (size_t)len, result) == RDDR_DIVERGE)
				return RDDR_DIVERGE;
			g->consumed = true;
		}
	}
	return RDDR_AGREE;
}

/* Leave to go on, given to the client when every instance has given it. */
static bool pass_continue(struct http *h, const struct rddr_view views[])
{
	static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";

	if (!h->exchange.expects)
		return false;
	for (unsigned i = 0; i < h->n; i++) {
		if (rddr_http_present(&views[i]) && h->streams[i].continued <= h->continued)
			return false;
	}
	h->continued++;
	h->host->emit(h->session, RDDR_LONE, text, sizeof(text) - 1);
	return true;
}

/* ---- judging ---- */

/*
 * Reads the heads, and compares the statuses. Mostly they are the same byte by byte, and then reading one of them does:
 * heads[i] may be instance 0's.
 */
static enum rddr_verdict read_heads(struct http *h, const struct rddr_view views[], const struct gathering *g,
				    struct http_head own[], const struct http_head *heads[],
				    struct rddr_diff_result *result)
{
	uint64_t statuses[RDDR_MAX_INSTANCES] = {0};
	unsigned instance, other;
	const char *why;

	for (unsigned i = 0; i < h->n; i++) {
		if (!rddr_http_present(&views[i]))
			continue;
		if (i > 0 && heads[0] && g->len[i] == g->len[0] && memcmp(views[i].data, views[0].data, g->len[0]) == 0)
			heads[i] = heads[0];
		else if (rddr_http_read_answer((struct slice){views[i].data, g->len[i]}, &own[i], &why) == 0)
			heads[i] = &own[i];
		else
			return rddr_http_diverge(h, views, result, i, h->n, "the head", "its answer is not HTTP: %s",
						 why);
		statuses[i] = heads[i]->status;
	}
	if (!rddr_http_odd_one(views, h->n, statuses, &instance, &other))
		return RDDR_AGREE;
	rddr_http_diverge(h, views, result, instance, other, "the status", "%u, where %u was expected",
			  (unsigned)statuses[instance], (unsigned)statuses[other]);
	result->finding.alone = rddr_http_alone_number(views, h->n, statuses);
	return RDDR_DIVERGE;
}

/* What the answer is to the connection. */
static void weigh_connection(struct http *h, const struct http_head *const heads[])
{
	bool somebody_stays = false,
	     asked = h->request.phase == REQUEST_HEAD || h->request.phase == REQUEST_ASKS_TUNNEL;

	for (unsigned i = 0; i < h->n; i++) {
		if (!heads[i])
			continue;
		h->streams[i].keep_alive = heads[i]->keep_alive && h->streams[i].framing != HTTP_UNTIL_CLOSE;
		somebody_stays |= h->streams[i].keep_alive;
	}
	/* A body that comes although it is answered already would be taken for the next request by some. */
	h->close = !h->exchange.keep_alive || !somebody_stays || !asked || h->out == OUT_CLOSE;
}

static bool opens_tunnel(const struct http *h, const struct http_head *head)
{
	return head->status == 101 || (h->exchange.method == HTTP_METHOD_CONNECT && head->status < 300);
}

static void settle_tunnel(struct http *h, bool opens)
{
	if (h->request.phase != REQUEST_ASKS_TUNNEL)
		return;
	h->request.phase = opens ? REQUEST_TUNNEL : REQUEST_HEAD;
}

/* Everybody's head is there. */
static enum rddr_verdict judge_heads(struct http *h, const struct rddr_view views[], const struct gathering *g,
				     struct rddr_diff_result *result)
{
	struct http_head own[RDDR_MAX_INSTANCES]; /* only of those present, and not cleared: they are large */
	const struct http_head *heads[RDDR_MAX_INSTANCES] = {0}, *source;
	struct head_plan plan = {0};
	bool tunnel;
	int r;

	if (read_heads(h, views, g, own, heads, result) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	source = heads[0];
	if (!source)
		return RDDR_WAIT;
	tunnel = opens_tunnel(h, source);
	if (source->status == 101 && !h->exchange.upgrade)
		return rddr_http_diverge(h, views, result, 0, h->n, "the status", "101, and nobody asked for it");
	h->host->begin_answer(h->session);
	for (unsigned i = 0; i < h->n; i++) {
		if (!heads[i])
			continue;
		h->streams[i].framing = rddr_http_answer_framing(heads[i], h->exchange.method);
		h->streams[i].left = heads[i]->length;
	}
	r = rddr_http_payload_begin(h, views, heads);
	weigh_connection(h, heads);
	if (rddr_http_compare_heads(h, views, heads, &plan, result) == RDDR_DIVERGE) {
		result->finding.alone = rddr_http_alone_head(h, views, heads);
		return RDDR_DIVERGE;
	}
	if (r == 0)
		r = rddr_http_write_head(h, source, &plan);
	if (r < 0)
		return rddr_http_diverge(h, views, result, 0, h->n, "the head", "no memory for the answer");

	for (unsigned i = 0; i < h->n; i++) {
		result->consumed[i] = rddr_http_present(&views[i]) ? g->len[i] : 0;
		h->streams[i].scanned = h->streams[i].interim = h->streams[i].continued = 0;
	}
	h->host->discard(h->session, g->len[0]);
	settle_tunnel(h, tunnel);
	h->phase = tunnel ? ANSWER_TUNNEL : ANSWER_BODY;
	if (tunnel)
		rddr_http_flush_head(h);
	result->boundary = !tunnel;
	return RDDR_AGREE;
}

/*
 * A server that is tired of waiting may say so while it is asked, and close without having read the request: it is
 * asked again on another connection (RFC 9110, section 15.5.9).
 */
static bool asks_again(struct http *h, const struct rddr_view views[], const struct gathering *g)
{
	bool again = false;

	for (unsigned i = 0; i < h->n; i++) {
		if (!rddr_http_present(&views[i]) || g->len[i] == 0 || !takes_leave(&views[i]) ||
		    !h->host->resend(h->session, i))
			continue;
		h->streams[i].scanned = h->streams[i].interim = h->streams[i].continued = 0;
		again = true;
	}
	return again;
}

static enum rddr_verdict judge_answer(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result)
{
	struct gathering g;

	if (gather(h, views, &g, result) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	if (g.consumed) {
		pass_continue(h, views);
		result->boundary = true;
		return RDDR_AGREE;
	}
	if (asks_again(h, views, &g) || g.waiting || g.speaking == h->n)
		return RDDR_WAIT;
	if (g.over < h->n)
		return rddr_http_diverge(h, views, result, g.over, g.speaking, "the head", "%s before its answer",
					 views[g.over].end == RDDR_END_RESET ? "reset" : "ended");
	return judge_heads(h, views, &g, result);
}

static enum rddr_verdict judge_silence(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result)
{
	bool speaks = false, closed = false;

	for (unsigned i = 0; i < h->n; i++) {
		speaks |= views[i].len > 0;
		closed |= views[i].end == RDDR_END_ENDED || views[i].end == RDDR_END_RESET;
	}
	if (speaks)
		return unasked(h, views, result);
	/* After an answer that came before all of its request did, which report mode goes on behind. */
	if (closed && h->request.phase == REQUEST_HEAD)
		h->host->neutral(h->session, 0);
	return RDDR_WAIT;
}

void rddr_http_answered(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result)
{
	if (h->outgoing) {
		rddr_http_outgoing_asked(h, result);
		return;
	}
	h->phase = ANSWER_HEAD;
	h->exchange.pending = false;
	h->begun = false;
	h->judged = 0;
	result->boundary = true;
	if (h->close && h->request.phase == REQUEST_HEAD)
		h->request.phase = REQUEST_DROP;
	/* Who is still being sent a request cannot be dialled anew in the middle of it. */
	if (h->request.phase != REQUEST_HEAD && h->request.phase != REQUEST_DROP) {
		h->host->part(h->session);
		return;
	}
	for (unsigned i = 0; i < h->n; i++) {
		if (rddr_http_present(&views[i]) && (h->close || !h->streams[i].keep_alive))
			h->host->rest(h->session, i);
	}
	h->host->neutral(h->session, 0);
}

/* When head and body have come together, which is the usual way, one call does. */
static enum rddr_verdict judge_body_too(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result)
{
	struct rddr_view rest[RDDR_MAX_INSTANCES];
	struct rddr_diff_result more = {.size = sizeof(more)};

	if (h->phase != ANSWER_BODY)
		return RDDR_AGREE;
	for (unsigned i = 0; i < h->n; i++) {
		rest[i] = views[i];
		rest[i].data = views[i].len ? views[i].data + result->consumed[i] : NULL;
		rest[i].len -= result->consumed[i];
	}
	/* Otherwise it is left to the next call, which begins with nothing consumed: noise is weighed by that. */
	if (!rddr_http_payload_alike(h, rest) || rddr_http_payload_judge(h, rest, &more) != RDDR_AGREE)
		return RDDR_AGREE;
	for (unsigned i = 0; i < h->n; i++)
		result->consumed[i] += more.consumed[i];
	result->boundary = more.boundary;
	return RDDR_AGREE;
}

enum rddr_verdict rddr_http_judge(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result)
{
	enum rddr_verdict verdict;

	switch (h->phase) {
	case ANSWER_BODY:
		return rddr_http_payload_judge(h, views, result);
	case ANSWER_TUNNEL:
		h->spoken |= views[0].len > 0;
		return rddr_http_tunnel_judge(h, views, result);
	case ANSWER_HEAD:
	default:
		if (!h->exchange.pending)
			return judge_silence(h, views, result);
		verdict = judge_answer(h, views, result);
		return verdict == RDDR_AGREE ? judge_body_too(h, views, result) : verdict;
	}
}
