/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_opening.c - outgoing services: what a request says, as a number, by which its like of the other instances is
 * found. What is each instance's own is left out: fields that a rule takes out of comparison, and, with a filter pair,
 * what was noise lately. Whether they really say the same is found out by comparing them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http_session.h"
#include "json_doc.h"
#include "json_path.h"

/* Of a body, in bytes. What differs behind that alone is no reason to look elsewhere. */
#define BODY_SEEN ((size_t)64 << 10)
/* Values of a JSON document; one with more is taken as bytes. */
#define JSON_VALUES 16384

struct look {
	const struct rddr_opening *opening;
	const struct rules *rules;
	struct rddr_table *noise; /* NULL: nothing was seen to be noise */
};

/* FNV-1a. */
static uint64_t mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
	return h;
}

static uint64_t mix_number(uint64_t h, uint64_t n)
{
	return mix(h, &n, sizeof(n));
}

#define MIX_BEGIN UINT64_C(0xcbf29ce484222325)

static bool was_noise(const struct look *l, const char *field, size_t len)
{
	uint64_t seen[2];
	size_t room = sizeof(seen);

	return l->noise && l->opening->host->table_get(l->noise, field, len, seen, &room);
}

static bool is_own(const struct field_rule *rule)
{
	return rule && rule->action != RULE_COMPARE;
}

/* ---- bodies ---- */

struct document {
	const struct look *look;
	const struct json_doc *doc;
	struct slice path[JSON_DEPTH];
	struct json_trail trail;
	char numbers[JSON_DEPTH][12];
};

static bool is_own_value(struct document *d, unsigned depth)
{
	char field[256];

	if (is_own(rddr_rules_pointer(d->look->rules, d->path, depth)))
		return true;
	if (!d->look->noise)
		return false;
	rddr_json_field(&d->trail, d->path, depth, field);
	return was_noise(d->look, field, strlen(field));
}

/* Keys come in any order, items do not. As deep as the document, which is bounded by its reader. */
static uint64_t mix_value(struct document *d, uint32_t at, unsigned depth)
{
	const struct json_node *node = &d->doc->nodes[at];
	uint64_t h = mix_number(MIX_BEGIN, (uint64_t)node->type), sum = 0;
	uint32_t i = 0;

	if (is_own_value(d, depth))
		return h;
	if (node->type != JSON_ARRAY && node->type != JSON_OBJECT) {
		struct slice text = rddr_json_text(d->doc, node->text);

		return mix(h, text.data, text.len);
	}
	for (uint32_t child = node->child; child != JSON_NONE && depth < JSON_DEPTH;
	     child = d->doc->nodes[child].next) {
		const struct json_node *c = &d->doc->nodes[child];

		if (node->type == JSON_OBJECT) {
			rddr_json_put_key(&d->trail, d->path, depth, rddr_json_text(d->doc, c->key));
			sum += mix_number(mix(MIX_BEGIN, d->path[depth].data, d->path[depth].len),
					  mix_value(d, child, depth + 1));
			continue;
		}
		snprintf(d->numbers[depth], sizeof(d->numbers[depth]), "%u", i++);
		rddr_json_put_key(&d->trail, d->path, depth, slice_of(d->numbers[depth]));
		h = mix_number(h, mix_value(d, child, depth + 1));
	}
	return mix_number(h, sum);
}

static bool mix_json(const struct look *l, struct slice body, uint64_t *h)
{
	struct json_doc doc = {0};
	struct document *d = malloc(sizeof(*d));
	bool good = d && rddr_json_read(body, JSON_VALUES, &doc) == 0 && doc.n > 0;

	if (good) {
		d->trail = (struct json_trail){0};
		d->look = l;
		d->doc = &doc;
		*h = mix_number(*h, mix_value(d, 0, 0));
	}
	if (d)
		rddr_json_free(&doc);
	free(d);
	return good;
}

static uint64_t mix_body(const struct look *l, const struct http_head *head, struct slice body, bool whole, uint64_t h)
{
	if (whole && !head->first[HTTP_CONTENT_ENCODING] && rddr_http_kind_of(head) == BODY_JSON &&
	    mix_json(l, body, &h))
		return h;
	return mix(h, body.data, body.len);
}

/* Takes the framing off. RDDR_OPENS with everything, or with as much as is looked at. */
static enum rddr_opens read_chunks(struct slice rest, size_t most, struct backlog *payload, bool *whole,
				   const char **why)
{
	struct chunks chunks = {0};
	struct slice stretch;
	size_t at = 0, taken;

	while (!chunks.done && at < rest.len && payload->len < most) {
		if (rddr_chunks_next(&chunks, slice_cut(rest, at, SIZE_MAX), &taken, &stretch, why) < 0)
			return RDDR_OPENS_NOT;
		*why = "no memory";
		if (rddr_backlog_put(payload, stretch.data, stretch.len) < 0)
			return RDDR_OPENS_NOT;
		at += taken;
	}
	*whole = chunks.done;
	if (payload->len > most)
		payload->len = most;
	return chunks.done || payload->len == most ? RDDR_OPENS : RDDR_OPENS_WAIT;
}

static enum rddr_opens take_body(const struct look *l, const struct http_head *head, struct slice rest, uint64_t *h,
				 const char **why)
{
	size_t room = l->opening->limit > head->len ? l->opening->limit - head->len : 0;
	size_t most = room / 2 < BODY_SEEN ? room / 2 : BODY_SEEN;
	struct backlog payload = {0};
	enum rddr_opens opens;
	bool whole = false;

	switch (rddr_http_request_framing(head)) {
	case HTTP_LENGTH:
		whole = head->length <= most;
		most = whole ? (size_t)head->length : most;
		if (rest.len < most)
			return RDDR_OPENS_WAIT;
		*h = mix_body(l, head, slice_cut(rest, 0, most), whole, *h);
		return RDDR_OPENS;
	case HTTP_CHUNKED:
		opens = read_chunks(rest, most, &payload, &whole, why);
		if (opens == RDDR_OPENS)
			*h = mix_body(l, head,
				      (struct slice){payload.data ? payload.data + payload.from : NULL, payload.len},
				      whole, *h);
		rddr_backlog_free(&payload);
		return opens;
	default:
		return RDDR_OPENS;
	}
}

/* ---- heads ---- */

static bool is_own_header(const struct look *l, const struct http_header *header)
{
	char field[80] = "header:";
	size_t len = header->name.len < 64 ? header->name.len : 64;

	switch (header->kind) {
	case HTTP_CONTENT_LENGTH:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_CONNECTION:
	case HTTP_KEEP_ALIVE:
	case HTTP_PROXY_CONNECTION:
	case HTTP_TE:
	case HTTP_TRAILER:
	case HTTP_UPGRADE:
	case HTTP_EXPECT:
		return true;
	default:
		break;
	}
	if (is_own(rddr_rules_header(l->rules, header->name)) ||
	    rddr_http_is_correlation(rddr_rules_settings(l->rules), header))
		return true;
	if (!l->noise)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = (char)header->name.data[i];

		field[7 + i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	return was_noise(l, field, 7 + len);
}

static uint64_t mix_head(const struct look *l, const struct http_head *head, uint64_t h)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < head->n; i++) {
		const struct http_header *header = &head->headers[i];
		uint64_t one = MIX_BEGIN;

		if (is_own_header(l, header))
			continue;
		for (size_t k = 0; k < header->name.len; k++) {
			uint8_t c = header->name.data[k];

			c = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
			one = mix(one, &c, 1);
		}
		one = mix(one, ":", 1);
		sum += mix(one, header->value.data, header->value.len);
	}
	return mix_number(h, sum);
}

static enum rddr_opens refuse(struct rddr_opening_result *result, const char *why)
{
	snprintf(result->why, sizeof(result->why), "%s", why);
	return RDDR_OPENS_NOT;
}

enum rddr_opens rddr_http_opening(const struct rddr_opening *opening, struct rddr_opening_result *result)
{
	static const char leave[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct look l = {.opening = opening, .rules = opening->params};
	const struct rules_settings *settings = rddr_rules_settings(l.rules);
	struct slice bytes = {opening->view->data, opening->view->len}, correlation;
	struct http_head head; /* not cleared: it is large */
	enum rddr_opens opens;
	size_t scanned = 0;
	const char *why = "";
	int64_t len = rddr_http_head_end(bytes, &scanned, &why);

	if (len == 0 && bytes.len < settings->max_head)
		return RDDR_OPENS_WAIT;
	if (len == 0 || len > (int64_t)settings->max_head)
		return refuse(result, "a head longer than max-head");
	if (len < 0 || rddr_http_read_request(slice_cut(bytes, 0, (size_t)len), &head, &why) < 0 ||
	    rddr_http_read_correlation(settings, &head, &correlation, &why) < 0)
		return refuse(result, why);
	if (correlation.len)
		memcpy(result->correlation, correlation.data, correlation.len);
	if (opening->do_filter && opening->host->table)
		l.noise = opening->host->table(opening->session, "noise", settings->noise_max);

	const uint8_t *query = memchr(head.target.data, '?', head.target.len);
	struct slice path = slice_cut(head.target, 0, query ? (size_t)(query - head.target.data) : head.target.len);
	uint64_t h = mix(MIX_BEGIN, head.method_name.data, head.method_name.len);

	h = mix(h, " ", 1);
	result->loose = mix(h, path.data, path.len) | 1;
	if (was_noise(&l, "target", 6))
		h = mix(h, path.data, path.len);
	else
		h = mix(h, head.target.data, head.target.len);
	h = mix_head(&l, &head, h);
	opens = take_body(&l, &head, slice_cut(bytes, head.len, SIZE_MAX), &h, &why);
	if (opens == RDDR_OPENS_NOT)
		return refuse(result, why);
	result->key = h;
	/* Who waits for leave to send the body is given it here, and the backend is not asked for it. */
	if (opens == RDDR_OPENS_WAIT && head.expects && opening->replied < head.len) {
		result->reply = leave;
		result->reply_len = sizeof(leave) - 1;
		result->replied = head.len;
	}
	return opens;
}
