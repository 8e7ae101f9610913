/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_compare.c - heads compared: names without their case, headers in any order but for those of one name.
 *
 * Mostly all heads are the same, and that is all that is looked at. Where they are not, each of instance 0's headers is
 * held against its counterparts, and what is left over in another is a difference, unless it is ignored. What goes out
 * stands in the order that all have, or else is sorted.
 */
#include <stdio.h>

#include "http_session.h"
#include "spans.h"

#define BITS_SET(bits, i) ((bits)[(i) / 64] |= 1ull << ((i) % 64))

/* The values of one header in all instances. */
struct field {
	struct slice name;		  /* of the header */
	struct slice cookie;		  /* of Set-Cookie: the cookie's name, as the client sees it */
	const struct cookie_names *names; /* of a cookie that has other names elsewhere */
	const struct http_header *in[RDDR_MAX_INSTANCES];
};

struct comparison {
	struct http *h;
	const struct rddr_view *views;
	const struct http_head *const *heads;
	struct rddr_diff_result *result;
	struct head_plan *plan;
	uint64_t seen[RDDR_MAX_INSTANCES][2]; /* headers that have found their counterpart */
	size_t passed[RDDR_MAX_INSTANCES]; /* behind the last counterpart, as long as they come in instance 0's order */
};

bool rddr_http_is_hop(const struct http *h, const struct http_head *head, const struct http_header *header)
{
	switch (header->kind) {
	case HTTP_CONTENT_LENGTH:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_CONNECTION:
	case HTTP_KEEP_ALIVE:
	case HTTP_PROXY_CONNECTION:
	case HTTP_TE:
	case HTTP_TRAILER:
		return true;
	case HTTP_UPGRADE:
		return head->status != 101;
	case HTTP_CONTENT_ENCODING:
		return !h->opaque;
	case HTTP_PLAIN:
		return rddr_http_is_correlation(h->settings, header);
	default:
		return false;
	}
}

static bool present(const struct comparison *c, unsigned i)
{
	return rddr_http_present(&c->views[i]);
}

static struct slice cookie_of(const struct http_header *header)
{
	const uint8_t *equals;

	if (header->kind != HTTP_SET_COOKIE)
		return (struct slice){0};
	equals = header->value.len ? memchr(header->value.data, '=', header->value.len) : NULL;
	return slice_cut(header->value, 0, equals ? (size_t)(equals - header->value.data) : header->value.len);
}

/* Whether a header is the field in instance i. */
static bool is_field(const struct field *f, unsigned i, const struct http_header *of, const struct http_header *header)
{
	if (of->kind != header->kind || !slice_equal_nocase(of->name, header->name))
		return false;
	return slice_equal(f->names ? f->names->of[i] : f->cookie, cookie_of(header));
}

/* The field that a header of instance i's is. */
static struct field field_of(const struct comparison *c, unsigned i, const struct http_header *header)
{
	struct field f = {.name = header->name, .cookie = cookie_of(header)};

	f.names = f.cookie.len ? rddr_rules_names(c->h->rules, i, f.cookie) : NULL;
	if (f.names)
		f.cookie = f.names->of[0];
	return f;
}

/* ---- the usual case ---- */

static bool same_heads(const struct http_head *a, const struct http_head *b)
{
	if (a == b)
		return true;
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (!slice_equal(a->headers[i].name, b->headers[i].name) ||
		    !slice_equal(a->headers[i].value, b->headers[i].value))
			return false;
	}
	return true;
}

static bool all_same(const struct comparison *c)
{
	/* What is called alike may be another cookie. */
	if (rddr_rules_renames(c->h->rules) && c->heads[0]->first[HTTP_SET_COOKIE])
		return false;
	for (unsigned i = 1; i < c->h->n; i++) {
		if (present(c, i) && !same_heads(c->heads[0], c->heads[i]))
			return false;
	}
	return true;
}

/* ---- one field ---- */

/* "header Set-Cookie sid" */
static const char *where(const struct field *f, char *buf, size_t len)
{
	snprintf(buf, len, "header %.*s%s%.*s", (int)(f->name.len < 64 ? f->name.len : 64), (const char *)f->name.data,
		 f->cookie.len ? " " : "", (int)(f->cookie.len < 64 ? f->cookie.len : 64),
		 f->cookie.len ? (const char *)f->cookie.data : "");
	return buf;
}

/* "header:set-cookie:sid", as it is kept for other answers */
static const char *key(const struct field *f, char *buf, size_t len)
{
	int n = snprintf(buf, len, "header:%.*s%s%.*s", (int)(f->name.len < 64 ? f->name.len : 64),
			 (const char *)f->name.data, f->cookie.len ? ":" : "",
			 (int)(f->cookie.len < 64 ? f->cookie.len : 64),
			 f->cookie.len ? (const char *)f->cookie.data : "");

	for (int i = 7; i < n && i < (int)len - 1 && buf[i] != ':'; i++)
		if (buf[i] >= 'A' && buf[i] <= 'Z')
			buf[i] |= 0x20;
	return buf;
}

static enum rddr_verdict differ(const struct comparison *c, const struct field *f, unsigned instance, unsigned other,
				const char *why)
{
	char place[160];

	return rddr_http_diverge(c->h, c->views, c->result, instance, other, where(f, place, sizeof(place)), "%s", why);
}

/*
 * What is not compared has the form that it is known for, or is bounded; there are no bytes in it that a header may not
 * have: see http_parse.c.
 */
static enum rddr_verdict bounded(const struct comparison *c, const struct field *f, const struct field_rule *rule)
{
	char why[128];

	for (unsigned i = 0; i < c->h->n; i++) {
		if (!f->in[i])
			continue;
		if (!rddr_header_form_has(rule->form, f->in[i]->value)) {
			snprintf(why, sizeof(why), "not compared, and not %s", rddr_header_form_name(rule->form));
			return differ(c, f, i, c->h->n, why);
		}
		if (rule->form != FORM_ANY || f->in[i]->value.len <= c->h->settings->max_field)
			continue;
		snprintf(why, sizeof(why), "not compared, and longer than max-field, which is %zu",
			 c->h->settings->max_field);
		return differ(c, f, i, c->h->n, why);
	}
	return RDDR_AGREE;
}

static enum rddr_verdict with_noise(const struct comparison *c, const struct field *f, const struct spans_result *spans)
{
	char name[160];

	for (size_t s = 0; s < spans->n; s++) {
		size_t run = spans->spans[s].len;

		if (run > 0 && !c->h->trial && !c->h->host->charge_noise(c->h->session, run))
			return differ(c, f, 1, 0, "differs from its twin past the noise budget");
	}
	key(f, name, sizeof(name));
	for (size_t s = 0; s < spans->n; s++)
		rddr_http_note_noise(c->h, name, spans->values[s]);
	return RDDR_AGREE;
}

static enum rddr_verdict compare_texts(const struct comparison *c, const struct field *f, const struct slice texts[])
{
	struct spans_result result, *spans = &result; /* not cleared: it is large */
	bool filter = c->h->filter && f->in[0] && f->in[1];
	uint32_t absent = 0;
	char name[160];

	for (unsigned i = 0; i < c->h->n; i++)
		absent |= (uint32_t)!f->in[i] << i;
	switch (rddr_spans_compare(texts, c->h->n, absent, filter, spans)) {
	case SPANS_SAME:
		return RDDR_AGREE;
	case SPANS_NOISE:
		return with_noise(c, f, spans);
	case SPANS_CHANCE:
		if (rddr_http_was_noise(c->h, key(f, name, sizeof(name))))
			return with_noise(c, f, spans);
		return differ(c, f, spans->instance, spans->other, spans->why);
	case SPANS_DIFFER:
	default:
		return differ(c, f, spans->instance, spans->other, spans->why);
	}
}

/* Of a Set-Cookie, what follows the name and '=', to the first attribute. */
static struct slice cookie_value(const struct http_header *header)
{
	size_t name = cookie_of(header).len, from = name < header->value.len ? name + 1 : name;
	struct slice rest = slice_cut(header->value, from, SIZE_MAX);
	const uint8_t *end = rest.len ? memchr(rest.data, ';', rest.len) : NULL;

	return slice_cut(rest, 0, end ? (size_t)(end - rest.data) : rest.len);
}

static bool has_value(const struct http_header *header)
{
	return header->value.len > cookie_of(header).len;
}

/* One that is a name alone, where others are not, or has a value where others are; n: all are alike. */
static unsigned odd_form(const struct comparison *c, const struct field *f, unsigned *other)
{
	*other = c->h->n;
	for (unsigned i = 0; i < c->h->n; i++) {
		if (!f->in[i])
			continue;
		if (*other == c->h->n)
			*other = i;
		if (has_value(f->in[i]) != has_value(f->in[*other]))
			return i;
	}
	return c->h->n;
}

/* The attributes of cookies whose values are each instance's own. */
static enum rddr_verdict compare_attributes(const struct comparison *c, const struct field *f,
					    const struct slice values[])
{
	struct slice rests[RDDR_MAX_INSTANCES] = {0};
	unsigned other, odd = odd_form(c, f, &other);

	if (odd < c->h->n)
		return differ(c, f, odd, other, "only one of them has an equals sign");
	for (unsigned i = 0; i < c->h->n; i++) {
		if (f->in[i] && has_value(f->in[i]))
			rests[i] = slice_cut(f->in[i]->value, cookie_of(f->in[i]).len + 1 + values[i].len, SIZE_MAX);
	}
	return compare_texts(c, f, rests);
}

static const struct field_rule *rule_of(const struct comparison *c, const struct field *f)
{
	const struct field_rule *rule = NULL;

	if (f->cookie.len)
		rule = rddr_rules_cookie(c->h->rules, f->cookie);
	return rule ? rule : rddr_rules_header(c->h->rules, f->name);
}

/* A rule says that the values are each instance's own. */
static enum rddr_verdict take_declared(const struct comparison *c, const struct field *f, const struct field_rule *rule)
{
	struct slice values[RDDR_MAX_INSTANCES] = {0};

	for (unsigned i = 0; i < c->h->n; i++) {
		if (f->in[i])
			values[i] = f->cookie.len ? cookie_value(f->in[i]) : f->in[i]->value;
	}
	rddr_http_note_declared(c->h, rule, values);
	/* The attributes of a cookie are compared all the same. */
	if (f->cookie.len && compare_attributes(c, f, values) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	return bounded(c, f, rule);
}

/* The field that instance first has, and another has not. */
static enum rddr_verdict missing(const struct comparison *c, const struct field *f, unsigned lacks, unsigned first)
{
	char why[160];
	struct slice a, b;

	if (!f->names)
		return differ(c, f, lacks, first, "is missing");
	a = f->names->of[lacks];
	b = f->names->of[first];
	snprintf(why, sizeof(why), "\"%.*s\" is missing, where the other has \"%.*s\"", (int)(a.len < 48 ? a.len : 48),
		 (const char *)a.data, (int)(b.len < 48 ? b.len : 48), (const char *)b.data);
	return differ(c, f, lacks, first, why);
}

static enum rddr_verdict compare_field(const struct comparison *c, const struct field *f, bool everywhere,
				       unsigned lacks)
{
	const struct field_rule *rule = rule_of(c, f);
	struct slice texts[RDDR_MAX_INSTANCES] = {0};
	bool same = true;
	unsigned first = 0;

	while (!f->in[first])
		first++;
	if (rule && rule->action == RULE_IGNORE) {
		rddr_http_count(c->h, RDDR_COUNTED_RULES_APPLIED, 1);
		return bounded(c, f, rule);
	}
	if (!everywhere)
		return missing(c, f, lacks, first);
	for (unsigned i = 0; i < c->h->n; i++) {
		if (!f->in[i])
			continue;
		texts[i] = f->in[i]->value;
		if (f->names)
			texts[i] = slice_cut(texts[i], f->names->of[i].len, SIZE_MAX);
		same &= slice_equal(texts[i], texts[first]);
	}
	if (rule && (rule->action == RULE_TOKEN || rule->action == RULE_TRANSLATE))
		return take_declared(c, f, rule);
	return same ? RDDR_AGREE : compare_texts(c, f, texts);
}

/* ---- all fields ---- */

/* The counterpart in instance i that was not seen yet; of one name they come in their order. */
static const struct http_header *counterpart(struct comparison *c, const struct field *f, unsigned i,
					     const struct http_header *header)
{
	const struct http_head *head = c->heads[i];

	for (unsigned at = 0; at < head->n; at++) {
		if (!rddr_http_bit(c->seen[i], at) && is_field(f, i, header, &head->headers[at])) {
			BITS_SET(c->seen[i], at);
			return &head->headers[at];
		}
	}
	return NULL;
}

/*
 * Of what is not compared, a header goes out once, and one that is ignored by default only if everybody has it: nobody
 * stands for what instance 0 alone says.
 */
static bool stays_here(const struct comparison *c, unsigned at, bool everywhere)
{
	const struct http_head *head = c->heads[0];
	const struct field_rule *rule = rddr_rules_header(c->h->rules, head->headers[at].name);

	if (!rule || rule->action != RULE_IGNORE)
		return false;
	if (!everywhere && rule->form != FORM_ANY)
		return true;
	for (unsigned i = 0; i < at; i++) {
		if (slice_equal_nocase(head->headers[i].name, head->headers[at].name))
			return true;
	}
	return false;
}

static void leave_out(struct comparison *c, unsigned at)
{
	if (rddr_http_bit(c->plan->dropped, at))
		return;
	BITS_SET(c->plan->dropped, at);
	rddr_http_count(c->h, RDDR_COUNTED_HEADERS_DROPPED, 1);
}

/* A name that others spell in another way, or do not have, is spelled as usual: case is not compared. */
static bool spelled_alike(const struct comparison *c, const struct field *f)
{
	for (unsigned i = 0; i < c->h->n; i++) {
		if (present(c, i) && !(f->in[i] && slice_equal(f->in[i]->name, f->name)))
			return false;
	}
	return true;
}

/* Whether everybody has the field, and behind those that were before it. */
static bool in_order(struct comparison *c, const struct field *f)
{
	for (unsigned i = 0; i < c->h->n; i++) {
		size_t at;

		if (!present(c, i))
			continue;
		if (!f->in[i])
			return false;
		at = (size_t)(f->in[i] - c->heads[i]->headers);
		if (at < c->passed[i])
			return false;
		c->passed[i] = at + 1;
	}
	return true;
}

/* Which goes out first: below zero, a. A server may want Host at the beginning; those of one name stay as they are. */
static int sequence(const struct http_header *a, const struct http_header *b)
{
	size_t shorter = a->name.len < b->name.len ? a->name.len : b->name.len;
	int order = (b->kind == HTTP_HOST) - (a->kind == HTTP_HOST);

	if (order == 0)
		order = strncasecmp((const char *)a->name.data, (const char *)b->name.data, shorter);
	if (order != 0)
		return order;
	if (a->name.len != b->name.len)
		return a->name.len < b->name.len ? -1 : 1;
	return slice_order(cookie_of(a), cookie_of(b));
}

/* An order that not everybody has would be instance 0's to choose. */
static void sort(const struct http_head *head, struct head_plan *plan)
{
	for (unsigned n = 0; n < head->n; n++) {
		unsigned place = n;

		for (; place > 0 && sequence(&head->headers[plan->order[place - 1]], &head->headers[n]) > 0; place--)
			plan->order[place] = plan->order[place - 1];
		plan->order[place] = (uint8_t)n;
	}
}

/* A 304 may leave out what describes the body that it does not send; servers differ in that. */
static bool may_lack(const struct http_head *head, struct slice name)
{
	static const char *const names[] = {"Content-Type", "Content-Language", "Last-Modified", "Accept-Ranges"};

	for (size_t i = 0; head->status == 304 && i < sizeof(names) / sizeof(names[0]); i++) {
		if (slice_equal_nocase(name, slice_of(names[i])))
			return true;
	}
	return false;
}

/* From instance i's headers on: the first has looked at all of what it has, so others only have what it has not. */
static enum rddr_verdict compare_from(struct comparison *c, unsigned i)
{
	const struct http_head *head = c->heads[i];

	for (unsigned at = 0; at < head->n; at++) {
		const struct http_header *header = &head->headers[at];
		struct field f = field_of(c, i, header);
		bool everywhere = true;
		unsigned lacks = 0;

		if (rddr_http_bit(c->seen[i], at) || rddr_http_is_hop(c->h, head, header))
			continue;
		BITS_SET(c->seen[i], at);
		f.in[i] = header;
		for (unsigned k = 0; k < c->h->n; k++) {
			if (k == i || !present(c, k))
				continue;
			f.in[k] = k > i ? counterpart(c, &f, k, header) : NULL;
			if (!f.in[k] && everywhere) {
				everywhere = false;
				lacks = k;
			}
		}
		/* One that all but this one lack is this one's. */
		if (!everywhere && i > 0)
			lacks = 0;
		if (i == 0 && stays_here(c, at, everywhere))
			leave_out(c, at);
		if (i == 0 && !spelled_alike(c, &f))
			BITS_SET(c->plan->respelled, at);
		if (!everywhere && may_lack(head, header->name)) {
			everywhere = true;
			if (i == 0)
				leave_out(c, at);
		}
		if (i == 0 && !rddr_http_bit(c->plan->dropped, at))
			c->plan->sorted |= !in_order(c, &f);
		if (compare_field(c, &f, everywhere, lacks) == RDDR_DIVERGE)
			return RDDR_DIVERGE;
	}
	return RDDR_AGREE;
}

/* The length of what HEAD and 304 do not send is one more field of theirs. */
static enum rddr_verdict compare_lengths(struct comparison *c)
{
	struct field f = {.name = slice_of("Content-Length")};
	bool same = true;

	if (c->h->out != OUT_NOTHING)
		return RDDR_AGREE;
	for (unsigned i = 0; i < c->h->n; i++) {
		if (!present(c, i) || c->h->streams[i].framing != HTTP_NO_BODY)
			continue;
		/* With chunks, or a coding, there is nothing to compare. */
		f.in[i] = rddr_http_header(c->heads[i], HTTP_CONTENT_LENGTH);
		if (!f.in[i] || c->h->streams[i].coding != CODING_IDENTITY)
			return RDDR_AGREE;
		same &= c->heads[i]->length == c->heads[0]->length;
	}
	for (unsigned i = 0; i < c->h->n; i++) {
		if (!f.in[i])
			continue;
		c->plan->same_length = same;
		return compare_field(c, &f, true, 0);
	}
	return RDDR_AGREE;
}

enum rddr_verdict rddr_http_compare_heads(struct http *h, const struct rddr_view views[],
					  const struct http_head *const heads[], struct head_plan *plan,
					  struct rddr_diff_result *result)
{
	struct comparison c = {.h = h, .views = views, .heads = heads, .result = result, .plan = plan};

	if (all_same(&c)) {
		plan->same_length = heads[0]->has_length;
		return RDDR_AGREE;
	}
	if (compare_lengths(&c) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	for (unsigned i = 0; i < h->n; i++) {
		if (present(&c, i) && compare_from(&c, i) == RDDR_DIVERGE)
			return RDDR_DIVERGE;
	}
	if (plan->sorted)
		sort(heads[0], plan);
	return RDDR_AGREE;
}
