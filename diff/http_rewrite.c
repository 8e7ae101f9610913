/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_rewrite.c - what of a request each instance has to be told in its own way.
 *
 * Tokens are looked for in the target, in the values of headers, and in bodies of a kind that people and programs write
 * text in. Cookies that instances call by other names are renamed. Besides, instances are asked for answers without a
 * coding, WebSockets are opened without compression, and nobody is offered HTTP/2.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_session.h"

struct search {
	struct http *h;
	const uint8_t *base; /* the request's beginning */
	size_t text;	     /* where the text that is searched begins */
	bool in_body;
	bool same_length; /* in a body whose length was told */
	unsigned kept;	  /* tokens of another length there */
	bool failed;	  /* no memory */
};

void rddr_http_edits_free(struct edits *e)
{
	free(e->list);
	rddr_backlog_free(&e->own);
	*e = (struct edits){0};
}

void rddr_http_edits_trim(struct edits *e)
{
	if (e->room * sizeof(*e->list) > HTTP_KEPT_ROOM || e->own.room > HTTP_KEPT_ROOM)
		rddr_http_edits_free(e);
}

static void clear(struct edits *e)
{
	e->n = e->length = 0;
	e->tokens = 0;
	e->too_many = false;
	rddr_backlog_take(&e->own, e->own.len);
	memset(e->grows, 0, sizeof(e->grows));
}

static struct edit *add(struct edits *e, size_t at, size_t len)
{
	if (e->n == e->room) {
		size_t room = e->room ? 2 * e->room : 8;
		struct edit *list = realloc(e->list, room * sizeof(*list));

		if (!list)
			return NULL;
		e->list = list;
		e->room = room;
	}
	e->list[e->n] = (struct edit){.at = at, .len = len, .own = e->own.len};
	return &e->list[e->n++];
}

/* The same bytes for all. */
static int replace(const struct http *h, struct edits *e, size_t at, size_t len, struct slice with)
{
	struct edit *edit = add(e, at, len);

	if (!edit)
		return -ENOMEM;
	for (unsigned i = 0; i < h->n; i++) {
		if (rddr_backlog_put(&e->own, with.data, with.len) < 0)
			return -ENOMEM;
		edit->own_len[i] = (uint32_t)with.len;
	}
	return 0;
}

/* The whole line of a header, with its end. */
static int leave_out(const struct http *h, struct edits *e, struct slice bytes, const struct http_header *header)
{
	size_t from = (size_t)(header->name.data - bytes.data);
	const uint8_t *lf = memchr(header->name.data, '\n', bytes.len - from);

	return replace(h, e, from, (size_t)(lf + 1 - header->name.data), (struct slice){0});
}

static bool all_of_length(const struct http *h, const struct slice values[], size_t len)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (values[i].len != len)
			return false;
	}
	return true;
}

/* Short tokens, and names, may stand for long ones, and be many: what comes of a request is bounded, too. */
static bool is_full(const struct http *h)
{
	size_t max = h->n * h->settings->max_body, list = h->edits.n * sizeof(struct edit);

	return h->edits.own.len > max || list > (max > HTTP_KEPT_ROOM ? max : HTTP_KEPT_ROOM);
}

static void on_token(void *ctx, size_t offset, size_t len, const struct slice values[])
{
	struct search *s = ctx;
	struct edits *e = &s->h->edits;
	struct edit *edit;

	if (s->same_length && !all_of_length(s->h, values, len)) {
		s->kept++;
		return;
	}
	e->too_many |= is_full(s->h);
	edit = e->too_many ? NULL : add(e, s->text + offset, len);
	if (!edit) {
		s->failed = true;
		return;
	}
	for (unsigned i = 0; i < s->h->n; i++) {
		s->failed |= rddr_backlog_put(&e->own, values[i].data, values[i].len) < 0;
		edit->own_len[i] = (uint32_t)values[i].len;
		if (s->in_body)
			e->grows[i] += (int64_t)values[i].len - (int64_t)len;
	}
	e->tokens++;
}

static int outcome(const struct search *s)
{
	if (!s->failed)
		return 0;
	return s->h->edits.too_many ? -E2BIG : -ENOMEM;
}

static int search(struct search *s, struct tokens *tokens, struct slice text)
{
	if (!tokens || text.len < RDDR_TOKEN_MIN)
		return 0;
	s->text = (size_t)(text.data - s->base);
	rddr_tokens_find(tokens, text, s->in_body && s->h->request.place.json, on_token, s);
	return outcome(s);
}

/* What a browser says of itself and of what it takes is no token of ours, and is much of a request. */
static bool is_searched(const struct http_header *header)
{
	static const char *const not_these[] = {"User-Agent", "Accept-Language", "Cache-Control", "Pragma"};

	if (header->kind != HTTP_PLAIN)
		return false;
	for (size_t i = 0; i < sizeof(not_these) / sizeof(not_these[0]); i++) {
		if (slice_equal_nocase(header->name, slice_of(not_these[i])))
			return false;
	}
	return true;
}

static int rename_cookie(struct search *s, const struct cookie_names *names, struct slice name)
{
	struct edits *e = &s->h->edits;
	struct edit *edit;

	e->too_many |= is_full(s->h);
	edit = e->too_many ? NULL : add(e, (size_t)(name.data - s->base), name.len);
	s->failed |= !edit;
	for (unsigned i = 0; i < s->h->n && !s->failed; i++) {
		s->failed = rddr_backlog_put(&e->own, names->of[i].data, names->of[i].len) < 0;
		edit->own_len[i] = (uint32_t)names->of[i].len;
	}
	return outcome(s);
}

/* Its cookies by the names that instances have for them; what lies between the names is searched. */
static int edit_cookies(struct search *s, struct tokens *tokens, struct slice cookies)
{
	size_t from = 0;
	int r = 0;

	for (size_t at = 0, len; at < cookies.len && r == 0; at += len + 1) {
		const uint8_t *begin = cookies.data + at, *end = memchr(begin, ';', cookies.len - at);
		const struct cookie_names *names;
		struct slice name;

		len = end ? (size_t)(end - begin) : cookies.len - at;
		name = rddr_http_cookie_name((struct slice){begin, len});
		names = rddr_rules_names(s->h->rules, 0, name);
		if (!names)
			continue;
		r = search(s, tokens, slice_cut(cookies, from, (size_t)(name.data - cookies.data) - from));
		if (r == 0)
			r = rename_cookie(s, names, name);
		from = (size_t)(name.data - cookies.data) + name.len;
	}
	return r == 0 ? search(s, tokens, slice_cut(cookies, from, SIZE_MAX)) : r;
}

static bool is_renamed(const struct http *h, const struct http_header *header)
{
	return rddr_rules_renames(h->rules) && slice_equal_nocase(header->name, slice_of("Cookie"));
}

static int edit_header(struct search *s, struct tokens *tokens, struct slice bytes, const struct http_head *head,
		       const struct http_header *header)
{
	struct http *h = s->h;
	struct edits *e = &h->edits;
	bool first = rddr_http_header(head, header->kind) == header;

	if (rddr_http_proxy_keeps(h, header))
		return leave_out(h, e, bytes, header);
	if (rddr_http_passes_for_correlation(h->settings, header->name)) {
		rddr_http_count(h, RDDR_COUNTED_CORRELATIONS_REMOVED, 1);
		return leave_out(h, e, bytes, header);
	}
	switch (header->kind) {
	case HTTP_ACCEPT_ENCODING:
		if (h->settings->encoding != ENCODING_IDENTITY ||
		    slice_equal_nocase(header->value, slice_of("identity")))
			return 0;
		/* One says all. */
		if (!first || header->value.len == 0)
			return leave_out(h, e, bytes, header);
		return replace(h, e, (size_t)(header->value.data - bytes.data), header->value.len,
			       slice_of("identity"));
	case HTTP_WEBSOCKET_EXTENSIONS:
		/* Compressed frames differ between implementations that say the same. */
		return leave_out(h, e, bytes, header);
	case HTTP_UPGRADE:
		return rddr_http_list_has(header->value, "h2c") ? leave_out(h, e, bytes, header) : 0;
	case HTTP_EXPECT:
		return h->request.said_continue ? leave_out(h, e, bytes, header) : 0;
	case HTTP_CONTENT_LENGTH:
		if (replace(h, e, (size_t)(header->value.data - bytes.data), header->value.len, header->value) < 0)
			return -ENOMEM;
		e->length = e->n;
		return 0;
	default:
		if (is_renamed(h, header))
			return edit_cookies(s, tokens, header->value);
		return is_searched(header) ? search(s, tokens, header->value) : 0;
	}
}

/* The length that each instance is told, behind everything else in edits.own. */
static int correct_length(struct http *h, uint64_t length)
{
	struct edits *e = &h->edits;
	struct edit *edit = &e->list[e->length - 1];
	char text[24];

	edit->own = e->own.len;
	for (unsigned i = 0; i < h->n; i++) {
		int len = snprintf(text, sizeof(text), "%llu",
				   (unsigned long long)length + (unsigned long long)e->grows[i]);

		if (rddr_backlog_put(&e->own, text, (size_t)len) < 0)
			return -ENOMEM;
		edit->own_len[i] = (uint32_t)len;
	}
	return 0;
}

/* Whether there can be anything to do at all. */
static bool nothing_to_do(const struct http *h, const struct http_head *head, const struct tokens *tokens)
{
	return !tokens && !rddr_rules_renames(h->rules) && !h->proxy_cut && !head->first[HTTP_ACCEPT_ENCODING] &&
	       !head->upgrade && !h->request.said_continue && !h->settings->correlate[0];
}

/* Behind the last header. */
static int add_correlation(struct http *h, const struct http_head *head)
{
	char line[HTTP_CORRELATION_LINE];
	size_t len;
	int r;

	if (!h->settings->correlate[0])
		return 0;
	r = rddr_http_make_correlation(h, line, &len);
	if (r < 0)
		return r;
	return replace(h, &h->edits, head->len - 2, 0, (struct slice){(const uint8_t *)line, len});
}

/* What people and programs write text in. */
static bool is_written(struct slice type)
{
	static const char *const types[] = {"application/x-www-form-urlencoded", "application/json",
					    "multipart/form-data", "application/xml", "application/graphql"};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (rddr_http_list_has(type, types[i]))
			return true;
	}
	return (type.len > 5 && strncasecmp((const char *)type.data, "text/", 5) == 0) ||
	       memmem(type.data, type.len, "+json", 5) || memmem(type.data, type.len, "+xml", 4);
}

static bool is_json(struct slice type)
{
	return rddr_http_list_has(type, "application/json") || rddr_http_list_has(type, "text/json") ||
	       memmem(type.data, type.len, "+json", 5);
}

enum body_search rddr_http_body_search(struct http *h, const struct http_head *head)
{
	const struct http_header *type = rddr_http_header(head, HTTP_CONTENT_TYPE);
	enum http_framing framing = rddr_http_request_framing(head);

	if (framing == HTTP_NO_BODY || !type || head->first[HTTP_CONTENT_ENCODING] || !rddr_http_tokens(h, false) ||
	    !is_written(type->value))
		return SEARCH_NOT;
	h->request.place.json = is_json(type->value);
	if (framing == HTTP_CHUNKED || head->length > h->settings->max_body || head->len + head->length > h->limit)
		return SEARCH_PASSING;
	return SEARCH_WHOLE;
}

const char *rddr_http_edits_failed(int error)
{
	if (error == -EIO)
		return "no random number to correlate it with";
	return error == -E2BIG ? "its tokens and cookies come to more than max-body" : "no memory to translate it with";
}

int rddr_http_find_more(struct http *h, struct slice piece, bool more, bool same_length, size_t *decided)
{
	struct tokens *tokens = rddr_http_tokens(h, false);
	struct search s = {.h = h, .base = piece.data, .in_body = true, .same_length = same_length};

	clear(&h->edits);
	*decided = piece.len;
	if (tokens)
		*decided = rddr_tokens_find_some(tokens, piece, more, &h->request.place, on_token, &s);
	rddr_http_count(h, RDDR_COUNTED_TOKENS_REPLACED, h->edits.tokens);
	rddr_http_count(h, RDDR_COUNTED_TOKENS_KEPT, s.kept);
	return outcome(&s);
}

int rddr_http_find_edits(struct http *h, struct slice bytes, const struct http_head *head, struct slice body)
{
	struct tokens *tokens = rddr_http_tokens(h, false);
	struct search s = {.h = h, .base = bytes.data};
	int r;

	clear(&h->edits);
	if (nothing_to_do(h, head, tokens))
		return 0;
	if (h->proxy_cut && replace(h, &h->edits, (size_t)(head->target.data - bytes.data), h->proxy_cut,
				    slice_of(h->proxy_instead)) < 0)
		return -ENOMEM;
	r = search(&s, tokens, slice_cut(head->target, h->proxy_cut, SIZE_MAX));
	for (unsigned i = 0; i < head->n && r == 0; i++)
		r = edit_header(&s, tokens, bytes, head, &head->headers[i]);
	if (r == 0)
		r = add_correlation(h, head);
	s.in_body = true;
	if (r == 0)
		r = search(&s, tokens, body);
	if (r == 0 && h->edits.length)
		r = correct_length(h, head->length);
	/* One that stays what it was is none. */
	if (r == 0 && h->edits.n == 1 && h->edits.length)
		clear(&h->edits);
	rddr_http_count(h, RDDR_COUNTED_TOKENS_REPLACED, h->edits.tokens);
	return r;
}
