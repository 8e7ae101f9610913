/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_request.c - what the client says.
 *
 * A request is passed on as it came, by reference, unless something in it has to be another: then it goes as segments,
 * references around bytes of our own. What servers could read differently reaches none of them.
 */
#include <stdio.h>

#include "http_session.h"

/* A body in chunks is checked that far before any of it is passed on, in bytes. */
#define AHEAD_MAX ((size_t)64 << 10)

/* One call. */
struct call {
	struct http *h;
	struct slice view;
	size_t at;	/* everything before it is taken */
	size_t passed;	/* segments were made up to here, */
	bool segmented; /* when they were at all */
	bool dropped;	/* what was taken is for nobody */
	const char *why;
};

enum step {
	STEP_ON,
	STEP_WAIT, /* for more bytes */
	STEP_HOLD, /* for the answer */
	STEP_REJECT,
};

static struct slice rest_of(const struct call *c)
{
	return slice_cut(c->view, c->at, SIZE_MAX);
}

static void pass_to(struct call *c, size_t to)
{
	rddr_http_pass_to(c->h, to, &c->passed);
	c->segmented = true;
}

/* What was found has to be replaced in the request that begins at c->at. */
static void apply_edits(struct call *c)
{
	if (c->h->edits.n == 0)
		return;
	rddr_http_pass_edits(c->h, c->at, &c->passed);
	rddr_http_edits_trim(&c->h->edits);
	c->segmented = true;
}

/* ---- the parts of a request ---- */

static void begin_exchange(struct http *h, const struct http_head *head)
{
	const struct http_header *upgrade = rddr_http_header(head, HTTP_UPGRADE);

	h->exchange = (struct exchange){
		.pending = true,
		.keep_alive = head->keep_alive,
		.upgrade = head->upgrade && head->minor == 1 && !rddr_http_list_has(upgrade->value, "h2c"),
		.expects = head->expects,
		.wants_json = rddr_http_accepts_json(head),
		.minor = head->minor,
		.method = head->method,
	};
	h->continued = 0;
}

static void enter_body(struct http *h, const struct http_head *head)
{
	struct request *r = &h->request;

	r->scanned = r->ahead_at = 0;
	r->said_continue = r->place.in_word = false;
	r->awaited = (struct awaited){0};
	r->chunks = (struct chunks){.settings = h->settings};
	r->ahead = r->chunks;
	r->left = head->length;
	r->awaits_leave = head->expects;
	switch (rddr_http_request_framing(head)) {
	case HTTP_CHUNKED:
		r->phase = REQUEST_CHUNKED;
		break;
	case HTTP_LENGTH:
		r->phase = REQUEST_LENGTH;
		break;
	default:
		r->phase =
			h->exchange.upgrade || head->method == HTTP_METHOD_CONNECT ? REQUEST_ASKS_TUNNEL : REQUEST_HEAD;
		break;
	}
}

/* Walks over a body in chunks before its head is passed on, as far as a view can reach. */
static enum step look_ahead(struct call *c)
{
	struct request *r = &c->h->request;
	size_t most = c->h->view_max < AHEAD_MAX ? c->h->view_max : AHEAD_MAX, taken;
	struct slice rest = rest_of(c), payload;

	if (r->ahead_at < r->awaited.head)
		r->ahead_at = r->awaited.head;
	while (!r->ahead.done && r->ahead_at < rest.len && r->ahead_at < most) {
		if (rddr_chunks_next(&r->ahead, slice_cut(rest, r->ahead_at, SIZE_MAX), &taken, &payload, &c->why) < 0)
			return STEP_REJECT;
		r->ahead_at += taken;
	}
	return r->ahead.done || r->ahead_at >= most ? STEP_ON : STEP_WAIT;
}

/* Whether what has to be there of the body before its head is passed on is. */
static enum step await_body(struct call *c)
{
	static const char leave[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct request *r = &c->h->request;
	size_t len = rest_of(c).len;
	enum step step = STEP_ON;

	if (r->awaited.chunked)
		step = look_ahead(c);
	else if (r->search == SEARCH_WHOLE && len - r->awaited.head < r->awaited.length)
		step = STEP_WAIT;
	/* The client waits for leave, and the instances cannot be asked before it is known what they are told. */
	if (step == STEP_WAIT && r->awaited.expects && !r->said_continue && len == r->awaited.head) {
		c->h->host->emit(c->h->session, RDDR_LONE, leave, sizeof(leave) - 1);
		r->said_continue = true;
	}
	return step;
}

/*
 * RFC 9110, section 9.2.2: methods that may be repeated when a connection fails. A body has to be short enough to be
 * kept, and one in chunks may become any length.
 */
static bool is_repeatable(const struct http *h, const struct http_head *head)
{
	enum http_framing framing = rddr_http_request_framing(head);

	switch (head->method) {
	case HTTP_METHOD_GET:
	case HTTP_METHOD_HEAD:
	case HTTP_METHOD_OPTIONS:
	case HTTP_METHOD_TRACE:
	case HTTP_METHOD_PUT:
	case HTTP_METHOD_DELETE:
		return framing == HTTP_NO_BODY || (framing == HTTP_LENGTH && head->len <= h->repeat_max &&
						   head->length <= h->repeat_max - head->len);
	case HTTP_METHOD_OTHER:
	case HTTP_METHOD_CONNECT:
	default:
		return false;
	}
}

static enum step pass_head(struct call *c, struct http_head *head, struct slice body)
{
	struct http *h = c->h;
	int r = rddr_http_find_edits(h, rest_of(c), head, body);

	if (r < 0) {
		c->why = rddr_http_edits_failed(r);
		return STEP_REJECT;
	}
	h->request.repeatable = is_repeatable(h, head);
	h->host->repeat(h->session, h->request.repeatable);
	apply_edits(c);
	/* Leave is given once. */
	head->expects &= !h->request.said_continue;
	begin_exchange(h, head);
	enter_body(h, head);
	c->at += head->len;
	return STEP_ON;
}

/* False: *step says how it goes on. */
static bool has_server(struct call *c, const struct http_head *head, enum step *step)
{
	switch (rddr_http_proxy_name(c->h, head, &c->why)) {
	case PROXY_ON:
		return true;
	case PROXY_CONNECTED:
		/* Nobody gets it. */
		rddr_http_proxy_open(c->h);
		c->at += head->len;
		c->dropped = true;
		*step = STEP_WAIT;
		return false;
	case PROXY_HOLD:
		*step = STEP_HOLD;
		return false;
	case PROXY_REJECT:
	default:
		*step = STEP_REJECT;
		return false;
	}
}

static enum step take_head(struct call *c)
{
	struct http *h = c->h;
	struct request *r = &h->request;
	struct slice rest = rest_of(c), body = {0};
	struct http_head head; /* not cleared: it is large */
	int64_t len;
	enum step step = STEP_ON;

	if (h->exchange.pending)
		return STEP_HOLD;
	/* A head that was accepted is read again when it is passed on, and not with each byte of its body. */
	if (r->awaited.head > 0)
		step = await_body(c);
	if (step != STEP_ON)
		return step;
	len = rddr_http_head_end(rest, &r->scanned, &c->why);
	if (len == 0 && rest.len < h->settings->max_head)
		return STEP_WAIT;
	if (len == 0 || len > (int64_t)h->settings->max_head) {
		c->why = "a head longer than max-head";
		return STEP_REJECT;
	}
	if (len < 0 || rddr_http_read_request(slice_cut(rest, 0, (size_t)len), &head, &c->why) < 0 ||
	    rddr_http_hides_correlation(h, &head, &c->why))
		return STEP_REJECT;
	/* Named at a neutral point: nothing of this call is on its way. */
	if (h->proxy && c->at > 0)
		return STEP_HOLD;
	if (h->proxy && !has_server(c, &head, &step))
		return step;
	r->awaited = (struct awaited){
		.head = head.len, .length = head.length, .chunked = head.chunked, .expects = head.expects};
	r->search = rddr_http_body_search(h, &head);
	step = await_body(c);
	if (step != STEP_ON)
		return step;
	/* A body in which tokens are looked for, all of it. */
	if (r->search == SEARCH_WHOLE)
		body = slice_cut(rest, head.len, (size_t)head.length);
	return pass_head(c, &head, body);
}

/* A client that was answered before it was through was told that its connection ends. */
static void end_body(struct http *h)
{
	h->request.phase = h->exchange.pending || h->reports ? REQUEST_HEAD : REQUEST_DROP;
}

/* A body in which tokens are looked for while it passes. */
static enum step take_searched(struct call *c)
{
	struct request *r = &c->h->request;
	size_t taken = 0;
	int res;

	pass_to(c, c->at);
	if (r->phase == REQUEST_CHUNKED)
		res = rddr_http_upload_chunks(c->h, rest_of(c), &taken, &c->why);
	else
		res = rddr_http_upload_length(c->h, rest_of(c), c->at, &taken, &c->why);
	c->at += taken;
	c->passed = c->at;
	if (res < 0)
		return STEP_REJECT;
	if (r->phase == REQUEST_CHUNKED ? !r->chunks.done : r->left > 0)
		return STEP_WAIT;
	end_body(c->h);
	return STEP_ON;
}

static enum step take_length(struct call *c)
{
	struct request *r = &c->h->request;
	size_t len = c->view.len - c->at;

	if (len > r->left)
		len = (size_t)r->left;
	r->left -= len;
	c->at += len;
	if (r->left > 0)
		return STEP_WAIT;
	end_body(c->h);
	return STEP_ON;
}

static enum step take_chunks(struct call *c)
{
	struct request *r = &c->h->request;
	struct slice payload;
	size_t taken;

	while (!r->chunks.done && c->at < c->view.len) {
		/* What is wrong is not passed on, and what stands before it was good. */
		struct chunks before = r->chunks;

		if (rddr_chunks_next(&r->chunks, rest_of(c), &taken, &payload, &c->why) < 0) {
			r->chunks = before;
			return STEP_REJECT;
		}
		c->at += taken;
	}
	if (!r->chunks.done)
		return STEP_WAIT;
	end_body(c->h);
	return STEP_ON;
}

static enum step take_part(struct call *c)
{
	if (c->h->request.refused) {
		c->why = c->h->request.refused;
		return STEP_REJECT;
	}
	switch (c->h->request.phase) {
	case REQUEST_HEAD:
		return take_head(c);
	case REQUEST_LENGTH:
		c->h->request.awaits_leave = false;
		return c->h->request.search == SEARCH_PASSING ? take_searched(c) : take_length(c);
	case REQUEST_CHUNKED:
		c->h->request.awaits_leave = false;
		return c->h->request.search == SEARCH_PASSING ? take_searched(c) : take_chunks(c);
	case REQUEST_TUNNEL:
		c->at = c->view.len;
		return STEP_WAIT;
	case REQUEST_OPENED:
		rddr_http_proxy_settle(c->h, c->view.data[c->at]);
		return STEP_ON;
	case REQUEST_DROP:
		/* Alone in a call, so that nothing of what is passed on is dropped, nor the other way round. */
		if (c->at > 0)
			return STEP_HOLD;
		c->at = c->view.len;
		c->dropped = true;
		return STEP_WAIT;
	case REQUEST_ASKS_TUNNEL:
	default:
		return STEP_HOLD;
	}
}

static bool is_in_body(const struct http *h)
{
	return h->request.phase == REQUEST_LENGTH || h->request.phase == REQUEST_CHUNKED;
}

enum rddr_modify rddr_http_modify(struct http *h, const struct rddr_view *view, struct rddr_modify_result *result)
{
	struct call c = {.h = h, .view = {view->data, view->len}};
	enum step step = STEP_ON;

	while (step == STEP_ON && c.at < view->len)
		step = take_part(&c);
	result->consumed = c.at;
	result->incomplete = is_in_body(h) && !h->request.awaits_leave;
	if (c.dropped)
		return RDDR_SEGMENTS;
	/* What came before is as good as when it had come by itself. */
	if (c.at > 0) {
		if (h->request.repeatable)
			h->host->repeat(h->session, true);
		if (!c.segmented)
			return RDDR_SAME_FOR_ALL;
		pass_to(&c, c.at);
		return RDDR_SEGMENTS;
	}
	if (step == STEP_HOLD)
		return RDDR_MODIFY_HOLD;
	if (step != STEP_REJECT)
		return RDDR_MODIFY_WAIT;
	rddr_http_count(h, RDDR_COUNTED_REJECTED, 1);
	snprintf(result->why, sizeof(result->why), "%s", c.why);
	return RDDR_REJECT;
}
