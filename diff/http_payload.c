/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_payload.c - bodies: what they carry is compared, and goes out framed anew.
 *
 * Where every body lies in its stream as it is (direct), it is compared there, and instance 0's goes out by reference.
 * Where one is in chunks or coded, the payloads of all are first put into backlogs of their own. There, the last byte
 * that a stream brought stays unconsumed as long as its payload is ahead of others, so that the host knows who waits
 * for whom.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_session.h"

/* ---- backlogs ---- */

uint8_t *rddr_backlog_room(struct backlog *b, size_t len)
{
	size_t room = b->room ? b->room : 512;
	uint8_t *data;

	if (b->len == 0)
		b->from = 0;
	if (b->room - b->from - b->len >= len && b->data)
		return b->data + b->from + b->len;
	if (b->from && b->data) {
		memmove(b->data, b->data + b->from, b->len);
		b->from = 0;
	}
	while (room < b->len + len)
		room *= 2;
	if (room > b->room) {
		data = realloc(b->data, room);
		if (!data)
			return NULL;
		b->data = data;
		b->room = room;
	}
	return b->data + b->len;
}

int rddr_backlog_put(struct backlog *b, const void *data, size_t len)
{
	uint8_t *at = len ? rddr_backlog_room(b, len) : NULL;

	if (!len || !data)
		return 0;
	if (!at)
		return -ENOMEM;
	memcpy(at, data, len);
	b->len += len;
	return 0;
}

void rddr_backlog_take(struct backlog *b, size_t len)
{
	b->from += len;
	b->len -= len;
	if (b->len == 0)
		b->from = 0;
}

void rddr_backlog_free(struct backlog *b)
{
	free(b->data);
	*b = (struct backlog){0};
}

/* ---- begin and end ---- */

static bool ends_with(struct slice text, const char *end)
{
	struct slice tail = slice_of(end);

	return text.len >= tail.len && slice_equal_nocase(slice_cut(text, text.len - tail.len, tail.len), tail);
}

static bool begins_with(struct slice text, const char *begin)
{
	struct slice word = slice_of(begin);

	return text.len >= word.len && slice_equal_nocase(slice_cut(text, 0, word.len), word);
}

enum body_kind rddr_http_kind_of(const struct http_head *head)
{
	const struct http_header *header = rddr_http_header(head, HTTP_CONTENT_TYPE);
	struct slice type = header ? header->value : (struct slice){0};
	const uint8_t *semicolon = type.len ? memchr(type.data, ';', type.len) : NULL;

	if (semicolon)
		type.len = (size_t)(semicolon - type.data);
	while (type.len > 0 && (type.data[type.len - 1] == ' ' || type.data[type.len - 1] == '\t'))
		type.len--;
	if (slice_equal_nocase(type, slice_of("application/json")) || slice_equal_nocase(type, slice_of("text/json")) ||
	    ends_with(type, "+json"))
		return BODY_JSON;
	if (begins_with(type, "text/") || ends_with(type, "+xml") ||
	    slice_equal_nocase(type, slice_of("application/xml")) ||
	    slice_equal_nocase(type, slice_of("application/javascript")) ||
	    slice_equal_nocase(type, slice_of("application/x-javascript")) ||
	    slice_equal_nocase(type, slice_of("application/x-www-form-urlencoded")))
		return BODY_LINES;
	return BODY_BYTES;
}

static enum coding coding_of(const struct http_head *head)
{
	const struct http_header *header = rddr_http_header(head, HTTP_CONTENT_ENCODING);

	return header ? rddr_encoding_of(header->value) : CODING_IDENTITY;
}

static void reset_stream(struct answer_stream *st)
{
	st->held = 0;
	st->ended = false;
	st->chunks = (struct chunks){0};
	rddr_encoding_free(&st->decoder);
	rddr_backlog_take(&st->payload, st->payload.len);
	/* A large answer's room is not kept for the small ones that follow. */
	if (st->payload.room > (size_t)64 << 10)
		rddr_backlog_free(&st->payload);
}

void rddr_http_payload_end(struct http *h)
{
	rddr_body_free(&h->body);
	for (unsigned i = 0; i < h->n; i++)
		reset_stream(&h->streams[i]);
	rddr_backlog_take(&h->head, h->head.len);
}

/* The backend is to get nothing of a request that differs; a client that waits for a large answer some of it. */
static size_t whole_max(const struct http *h)
{
	return h->outgoing ? h->limit : HTTP_WHOLE_MAX;
}

static enum answer_framing out_framing(const struct http *h)
{
	const struct answer_stream *source = &h->streams[0];

	if (source->framing == HTTP_NO_BODY)
		return OUT_NOTHING;
	if (source->framing == HTTP_LENGTH && source->coding == CODING_IDENTITY)
		return OUT_LENGTH;
	return h->exchange.minor == 1 ? OUT_CHUNKED : OUT_CLOSE;
}

int rddr_http_payload_begin(struct http *h, const struct rddr_view views[], const struct http_head *const heads[])
{
	int r = 0;

	rddr_http_payload_end(h);
	h->opaque = false;
	h->direct = true;
	for (unsigned i = 0; i < h->n; i++) {
		if (!rddr_http_present(&views[i]))
			continue;
		h->streams[i].coding = coding_of(heads[i]);
		/* A request stays as it was coded: nobody knows what else the backend understands. */
		h->opaque |= h->streams[i].coding == CODING_UNKNOWN ||
			     (h->outgoing && h->streams[i].coding != CODING_IDENTITY);
	}
	for (unsigned i = 0; i < h->n && r == 0; i++) {
		struct answer_stream *st = &h->streams[i];

		if (!rddr_http_present(&views[i]))
			continue;
		if (h->opaque)
			st->coding = CODING_IDENTITY;
		h->direct &=
			st->framing != HTTP_CHUNKED && (st->framing == HTTP_NO_BODY || st->coding == CODING_IDENTITY);
		if (st->framing != HTTP_NO_BODY && st->coding != CODING_IDENTITY)
			r = rddr_encoding_new(st->coding, h->settings->max_decoded_ratio, &st->decoder);
	}
	h->kind = h->opaque ? BODY_BYTES : rddr_http_kind_of(heads[0]);
	h->out = out_framing(h);
	h->whole = h->out == OUT_LENGTH && heads[0]->length <= whole_max(h);
	return r;
}

/* ---- what is there ---- */

static void view_direct(const struct answer_stream *st, const struct rddr_view *view, struct body_view *payload)
{
	uint64_t left = st->framing == HTTP_UNTIL_CLOSE ? UINT64_MAX : st->framing == HTTP_LENGTH ? st->left : 0;

	payload->len = view->len < left ? view->len : (size_t)left;
	payload->data = payload->len ? view->data : NULL;
	payload->ended = st->framing == HTTP_UNTIL_CLOSE ? view->end == RDDR_END_ENDED : view->len >= left;
}

/* Takes the framing off, as much as is there: the next stretch of what it carries. */
static int next_stretch(struct answer_stream *st, struct slice raw, size_t *taken, struct slice *stretch,
			const char **why)
{
	switch (st->framing) {
	case HTTP_CHUNKED:
		return rddr_chunks_next(&st->chunks, raw, taken, stretch, why);
	case HTTP_LENGTH:
		*stretch = slice_cut(raw, 0, st->left < raw.len ? (size_t)st->left : raw.len);
		st->left -= stretch->len;
		break;
	case HTTP_UNTIL_CLOSE:
		*stretch = raw;
		break;
	case HTTP_NO_BODY:
	default:
		*stretch = (struct slice){0};
		break;
	}
	*taken = stretch->len;
	return 0;
}

/* The last len bytes of a stretch could not be used. */
static void give_back(struct answer_stream *st, size_t len)
{
	if (st->framing == HTTP_CHUNKED)
		rddr_chunks_give_back(&st->chunks, len);
	else if (st->framing == HTTP_LENGTH)
		st->left += len;
}

static bool framing_over(const struct answer_stream *st, const struct rddr_view *view, size_t left_over)
{
	switch (st->framing) {
	case HTTP_CHUNKED:
		return st->chunks.done;
	case HTTP_LENGTH:
		return st->left == 0;
	case HTTP_UNTIL_CLOSE:
		return view->end == RDDR_END_ENDED && left_over == 0;
	case HTTP_NO_BODY:
	default:
		return true;
	}
}

static int decode(struct http *h, struct answer_stream *st, struct slice stretch, size_t *used, const char **why)
{
	size_t taken, made;
	int r;

	*used = 0;
	do {
		size_t room = h->limit > st->payload.len ? h->limit - st->payload.len : 0;
		uint8_t *at;

		if (room > (size_t)16 << 10)
			room = (size_t)16 << 10;
		at = room ? rddr_backlog_room(&st->payload, room) : NULL;
		if (!at) {
			*why = "no memory to decode it with";
			return room ? -ENOMEM : 0;
		}
		r = rddr_encoding_decode(st->decoder, slice_cut(stretch, *used, SIZE_MAX), &taken, at, room, &made,
					 why);
		if (r < 0)
			return r;
		*used += taken;
		st->payload.len += made;
	} while (taken + made > 0);
	return 0;
}

static int store(struct http *h, struct answer_stream *st, struct slice stretch, size_t *used, const char **why)
{
	size_t room = h->limit > st->payload.len ? h->limit - st->payload.len : 0;

	if (st->decoder)
		return decode(h, st, stretch, used, why);
	*used = stretch.len < room ? stretch.len : room;
	*why = "no memory for the answer";
	return rddr_backlog_put(&st->payload, stretch.data, *used);
}

/* Moves on what the view brings into the payload, as far as there is room. */
static int fill(struct http *h, struct answer_stream *st, const struct rddr_view *view, const char **why)
{
	bool full = false;
	int r = 0;

	while (r == 0 && !full) {
		struct slice raw = slice_cut((struct slice){view->data, view->len}, st->held, SIZE_MAX), stretch;
		size_t taken = 0, used = 0;

		r = next_stretch(st, raw, &taken, &stretch, why);
		if (r < 0)
			break;
		/* A decoder may have something left although nothing comes. */
		if (stretch.len > 0 || st->decoder)
			r = store(h, st, stretch, &used, why);
		full = used < stretch.len;
		if (full) {
			give_back(st, stretch.len - used);
			taken -= stretch.len - used;
		}
		st->held += taken;
		if (taken == 0)
			break;
	}
	if (r < 0 || full || !framing_over(st, view, view->len - st->held))
		return r;
	if (st->decoder && !rddr_encoding_ended(st->decoder)) {
		if (st->payload.len >= h->limit)
			return 0;
		*why = "its coded body ends early";
		return -EINVAL;
	}
	st->ended = true;
	return 0;
}

static bool cut_off(const struct answer_stream *st, const struct rddr_view *view, const struct body_view *payload)
{
	if (view->end == RDDR_END_OPEN || payload->ended)
		return false;
	return view->end == RDDR_END_RESET || view->len == st->held || st->framing != HTTP_UNTIL_CLOSE;
}

static enum rddr_verdict gather(struct http *h, const struct rddr_view views[], struct body_view payloads[],
				struct rddr_diff_result *result)
{
	const char *why = "";

	for (unsigned i = 0; i < h->n; i++) {
		struct answer_stream *st = &h->streams[i];

		payloads[i] = (struct body_view){.absent = !rddr_http_present(&views[i]), .ended = true};
		if (payloads[i].absent)
			continue;
		if (h->direct) {
			view_direct(st, &views[i], &payloads[i]);
		} else {
			if (fill(h, st, &views[i], &why) < 0)
				return rddr_http_diverge(h, views, result, i, h->n, "the body", "%s", why);
			payloads[i].data = st->payload.len ? st->payload.data + st->payload.from : NULL;
			payloads[i].len = st->payload.len;
			payloads[i].ended = st->ended;
		}
		/* With room in the payload, whatever came was taken: what is missing will never come. */
		if (cut_off(st, &views[i], &payloads[i]) && (h->direct || st->payload.len < h->limit))
			return rddr_http_diverge(h, views, result, i, h->n, "the body", "%s inside its body",
						 views[i].end == RDDR_END_RESET ? "reset" : "ended");
	}
	return RDDR_AGREE;
}

/* ---- judging ---- */

/* Whether everything is there and the same for all. */
static bool all_alike(const struct http *h, const struct body_view payloads[])
{
	for (unsigned i = 0; i < h->n; i++) {
		if (payloads[i].absent)
			continue;
		if (!payloads[i].ended || payloads[i].len != payloads[0].len ||
		    (i > 0 && payloads[i].len > 0 && memcmp(payloads[i].data, payloads[0].data, payloads[0].len) != 0))
			return false;
	}
	return true;
}

bool rddr_http_payload_alike(struct http *h, const struct rddr_view views[])
{
	struct body_view payloads[RDDR_MAX_INSTANCES] = {0};

	if (!h->direct || h->body)
		return false;
	for (unsigned i = 0; i < h->n; i++) {
		payloads[i] = (struct body_view){.absent = !rddr_http_present(&views[i]), .ended = true};
		if (!payloads[i].absent)
			view_direct(&h->streams[i], &views[i], &payloads[i]);
	}
	return all_alike(h, payloads);
}

static struct body_conf comparator_conf(struct http *h, const struct body_view payloads[])
{
	return (struct body_conf){
		.kind = h->kind,
		.n = h->n,
		.do_filter = h->filter && !payloads[0].absent && !payloads[1].absent,
		.limit = h->limit,
		.noise_run = h->noise_run,
		.rules = h->rules,
		.host = &rddr_http_body_host,
		.ctx = h,
	};
}

static enum rddr_verdict compare(struct http *h, const struct rddr_view views[], const struct body_view payloads[],
				 struct body_result *out, struct rddr_diff_result *result)
{
	for (;;) {
		const struct body_conf conf = comparator_conf(h, payloads);
		enum rddr_verdict verdict;

		if (!h->body && rddr_body_new(&conf, &h->body) < 0)
			return rddr_http_diverge(h, views, result, 0, h->n, "the body", "no memory to compare it with");
		memset(out, 0, sizeof(*out));
		verdict = rddr_body_compare(h->body, payloads, h->n, out);
		if (verdict != RDDR_DIVERGE)
			return verdict;
		/* It is not to be asked again; who goes on without the instance that differs begins a new one. */
		rddr_body_free(&h->body);
		if (!out->undecided || h->settings->undecided != UNDECIDED_BYTES || h->kind == BODY_BYTES) {
			memset(result->consumed, 0, sizeof(result->consumed));
			result->finding = out->finding;
			result->finding.alone = rddr_http_alone_body(h, payloads, &conf);
			return RDDR_DIVERGE;
		}
		h->kind = BODY_BYTES;
	}
}

static bool wait_for_whole(const struct http *h, const struct body_view payloads[])
{
	if (!h->whole)
		return false;
	for (unsigned i = 0; i < h->n; i++) {
		if (!payloads[i].absent && !payloads[i].ended && payloads[i].len <= whole_max(h))
			return true;
	}
	return false;
}

/* Lets len bytes of instance 0's payload out; of one that is judged whole they wait behind the head. */
static int let_out(struct http *h, const struct body_view *payload, size_t len, bool last)
{
	char size[24];

	if (len == 0)
		return 0;
	if (h->whole && (h->judged > 0 || !last)) {
		if (h->direct)
			h->host->discard(h->session, len);
		h->judged += len;
		return rddr_backlog_put(&h->head, payload->data, len);
	}
	rddr_http_flush_head(h);
	if (h->out == OUT_CHUNKED) {
		int n = snprintf(size, sizeof(size), "%zx\r\n", len);

		h->host->emit(h->session, RDDR_LONE, size, (size_t)n);
	}
	if (h->direct)
		h->host->release(h->session, len);
	else
		h->host->emit(h->session, RDDR_LONE, payload->data, len);
	if (h->out == OUT_CHUNKED)
		h->host->emit(h->session, RDDR_LONE, "\r\n", 2);
	h->judged += len;
	return 0;
}

/* Books what was judged. 1: something was consumed; 0: nothing was; -ENOMEM. */
static int take(struct http *h, struct body_view payloads[], const size_t judged[], struct rddr_diff_result *result)
{
	bool consumed = false, last = true;

	for (unsigned i = 0; i < h->n; i++)
		last &= payloads[i].absent || (payloads[i].ended && payloads[i].len == judged[i]);
	if (let_out(h, &payloads[0], judged[0], last) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < h->n; i++) {
		struct answer_stream *st = &h->streams[i];
		size_t len = judged[i];

		if (payloads[i].absent)
			continue;
		payloads[i].len -= judged[i];
		if (h->direct) {
			if (st->framing == HTTP_LENGTH)
				st->left -= judged[i];
		} else {
			rddr_backlog_take(&st->payload, judged[i]);
			len = st->payload.len > 0 && st->held > 0 ? st->held - 1 : st->held;
			st->held -= len;
			if (i == 0)
				h->host->discard(h->session, len);
		}
		result->consumed[i] = len;
		consumed |= len > 0 || judged[i] > 0;
	}
	return consumed;
}

static bool complete(const struct http *h, const struct body_view payloads[])
{
	for (unsigned i = 0; i < h->n; i++) {
		if (!payloads[i].absent && (!payloads[i].ended || payloads[i].len > 0))
			return false;
	}
	return true;
}

static enum rddr_verdict require_json(const struct http *h, const struct rddr_view views[],
				      const struct body_view payloads[], struct rddr_diff_result *result)
{
	if (!h->json || h->kind == BODY_JSON || h->judged > 0)
		return RDDR_AGREE;
	for (unsigned i = 0; i < h->n; i++) {
		if (payloads[i].len > 0)
			return rddr_http_diverge(h, views, result, i, h->n, "header Content-Type",
						 "a body that is not JSON");
	}
	return RDDR_AGREE;
}

enum rddr_verdict rddr_http_payload_judge(struct http *h, const struct rddr_view views[],
					  struct rddr_diff_result *result)
{
	struct body_view payloads[RDDR_MAX_INSTANCES] = {0};
	struct body_result out;
	enum rddr_verdict verdict = RDDR_WAIT;
	int consumed;
	bool spoke;

	if (gather(h, views, payloads, result) == RDDR_DIVERGE ||
	    require_json(h, views, payloads, result) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	memset(out.consumed, 0, sizeof(out.consumed));
	if (!h->body && all_alike(h, payloads)) {
		for (unsigned i = 0; i < h->n; i++)
			out.consumed[i] = payloads[i].len;
	} else if (!wait_for_whole(h, payloads)) {
		verdict = compare(h, views, payloads, &out, result);
		if (verdict == RDDR_DIVERGE)
			return RDDR_DIVERGE;
	}
	consumed = take(h, payloads, out.consumed, result);
	if (consumed < 0)
		return rddr_http_diverge(h, views, result, 0, h->n, "the body", "no memory to hold it back");
	result->boundary = !h->begun;
	if (!complete(h, payloads))
		return consumed ? RDDR_AGREE : RDDR_WAIT;
	spoke = h->head.len > 0 || h->out == OUT_CHUNKED;
	rddr_http_flush_head(h);
	if (h->out == OUT_CHUNKED)
		h->host->emit(h->session, RDDR_LONE, "0\r\n\r\n", 5);
	rddr_http_payload_end(h);
	rddr_http_answered(h, views, result);
	/* That the connections end may be all that was new. */
	return consumed || spoke ? RDDR_AGREE : RDDR_WAIT;
}

/* After 101, and after CONNECT: bytes, as they come. */
enum rddr_verdict rddr_http_tunnel_judge(struct http *h, const struct rddr_view views[],
					 struct rddr_diff_result *result)
{
	struct body_view payloads[RDDR_MAX_INSTANCES] = {0};
	struct body_result out = {0};
	enum rddr_verdict verdict;

	h->kind = BODY_BYTES;
	for (unsigned i = 0; i < h->n; i++)
		payloads[i] = (struct body_view){
			.data = views[i].data,
			.len = views[i].len,
			.ended = views[i].end != RDDR_END_OPEN,
			.absent = !rddr_http_present(&views[i]),
		};
	verdict = compare(h, views, payloads, &out, result);
	if (verdict == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	memcpy(result->consumed, out.consumed, sizeof(result->consumed));
	if (out.consumed[0] > 0)
		h->host->release(h->session, out.consumed[0]);
	return verdict;
}
