/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_doc.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define LONGEST (UINT32_C(1) << 30)

struct reader {
	struct json_doc *doc;
	const uint8_t *text;
	size_t at, len;
	int error; /* the first */
};

static const char *const type_names[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};
static_assert(sizeof(type_names) / sizeof(type_names[0]) == JSON_TYPES, "each type has a name");

const char *rddr_json_type_name(enum json_kind type)
{
	return type_names[type];
}

static bool fail(struct reader *r, int error, const char *why)
{
	if (!r->error) {
		r->error = error;
		r->doc->at = r->at;
		r->doc->why = why;
	}
	return false;
}

/* The byte that is next; -1 at the end. */
static int peek(const struct reader *r)
{
	return r->at < r->len ? r->text[r->at] : -1;
}

static void skip_space(struct reader *r)
{
	while (r->at < r->len &&
	       (r->text[r->at] == ' ' || r->text[r->at] == '\t' || r->text[r->at] == '\n' || r->text[r->at] == '\r'))
		r->at++;
}

static uint32_t add_node(struct reader *r)
{
	struct json_doc *doc = r->doc;

	if (doc->n == doc->most) {
		fail(r, -E2BIG, "has too many values");
		return JSON_NONE;
	}
	if (doc->n == doc->room) {
		uint32_t room = doc->room ? 2 * doc->room : 64;
		struct json_node *nodes = realloc(doc->nodes, room * sizeof(*nodes));

		if (!nodes) {
			fail(r, -ENOMEM, "out of memory");
			return JSON_NONE;
		}
		doc->nodes = nodes;
		doc->room = room;
	}
	doc->nodes[doc->n] = (struct json_node){.child = JSON_NONE, .next = JSON_NONE, .at = (uint32_t)r->at};
	return doc->n++;
}

/* ---- strings ---- */

/* Length of the well-formed UTF-8 sequence there (RFC 3629, section 4); 0 when there is none. */
static size_t utf8(const uint8_t *at, size_t len)
{
	uint8_t lead = at[0], low = 0x80, high = 0xbf;
	size_t n;

	if (lead < 0x80)
		return 1;
	n = lead >= 0xc2 && lead <= 0xdf ? 2 : lead >= 0xe0 && lead <= 0xef ? 3 : lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
	if (n == 0 || n > len)
		return 0;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	for (size_t i = 1; i < n; i++) {
		if (at[i] < (i == 1 ? low : 0x80) || at[i] > (i == 1 ? high : 0xbf))
			return 0;
	}
	return n;
}

int rddr_json_hex4(struct slice text, size_t at)
{
	int value = 0;

	if (at + 4 > text.len)
		return -1;
	for (size_t i = at; i < at + 4; i++) {
		uint8_t c = text.data[i];
		int digit;

		if (c >= '0' && c <= '9')
			digit = c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			digit = (c | 0x20) - 'a' + 10;
		else
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

/* Writes a code point, also a lone surrogate, in at most as many bytes as its escape has. */
static void put_code(struct json_doc *doc, uint32_t code)
{
	uint8_t *out = doc->unescaped + doc->unescaped_len;
	unsigned n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};

	for (unsigned i = n; i-- > 1; code >>= 6)
		out[i] = (uint8_t)(0x80 | (code & 0x3f));
	out[0] = (uint8_t)(lead[n] | code);
	doc->unescaped_len += n;
}

/* \uXXXX, of which the u is next; two of them for what lies past the first plane. */
static bool read_code(struct reader *r)
{
	int code = rddr_json_hex4(r->doc->text, r->at + 1), low;

	if (code < 0)
		return fail(r, -EINVAL, "a \\u is not followed by four hexadecimal digits");
	r->at += 5;
	if (code >= 0xd800 && code <= 0xdbff && r->at + 1 < r->len && r->text[r->at] == '\\' &&
	    r->text[r->at + 1] == 'u') {
		low = rddr_json_hex4(r->doc->text, r->at + 2);
		if (low >= 0xdc00 && low <= 0xdfff) {
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
			r->at += 6;
		}
	}
	put_code(r->doc, (uint32_t)code);
	return true;
}

static bool read_escape(struct reader *r)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	int c = (r->at++, peek(r));
	const char *name = c > 0 ? strchr(names, c) : NULL;

	if (c == 'u')
		return read_code(r);
	if (!name)
		return fail(r, -EINVAL, "there is no such escape");
	r->at++;
	r->doc->unescaped[r->doc->unescaped_len++] = (uint8_t)bytes[name - names];
	return true;
}

/* From the first escape on: the text is put down unescaped, beginning with what came before. */
static bool read_escaped(struct reader *r, size_t from, struct json_text *text)
{
	struct json_doc *doc = r->doc;
	uint32_t begin = doc->unescaped_len;

	if (!doc->unescaped)
		doc->unescaped = malloc(r->len);
	if (!doc->unescaped)
		return fail(r, -ENOMEM, "out of memory");
	memcpy(doc->unescaped + begin, r->text + from, r->at - from);
	doc->unescaped_len += (uint32_t)(r->at - from);
	while (peek(r) != '"') {
		size_t n;

		if (peek(r) < 0)
			return fail(r, -EINVAL, "ends within a string");
		if (peek(r) < ' ')
			return fail(r, -EINVAL, "a control character in a string");
		if (peek(r) == '\\') {
			if (!read_escape(r))
				return false;
			continue;
		}
		n = utf8(r->text + r->at, r->len - r->at);
		if (n == 0)
			return fail(r, -EINVAL, "no UTF-8");
		memcpy(doc->unescaped + doc->unescaped_len, r->text + r->at, n);
		doc->unescaped_len += (uint32_t)n;
		r->at += n;
	}
	*text = (struct json_text){.at = (uint32_t)r->len + begin, .len = doc->unescaped_len - begin};
	r->at++;
	return true;
}

/* Passes over what stands for itself in a string, and is ASCII. */
static void skip_plain(struct reader *r)
{
	const uint8_t *text = r->text;
	size_t at = r->at;

	while (at < r->len && text[at] >= ' ' && text[at] < 0x80 && text[at] != '"' && text[at] != '\\')
		at++;
	r->at = at;
}

static bool read_string(struct reader *r, struct json_text *text)
{
	size_t from = ++r->at;

	for (skip_plain(r); peek(r) != '"'; skip_plain(r)) {
		size_t n;

		if (peek(r) < 0)
			return fail(r, -EINVAL, "ends within a string");
		if (peek(r) < ' ')
			return fail(r, -EINVAL, "a control character in a string");
		if (peek(r) == '\\')
			return read_escaped(r, from, text);
		n = utf8(r->text + r->at, r->len - r->at);
		if (n == 0)
			return fail(r, -EINVAL, "no UTF-8");
		r->at += n;
	}
	*text = (struct json_text){.at = (uint32_t)from, .len = (uint32_t)(r->at - from)};
	r->at++;
	return true;
}

/* ---- numbers and words ---- */

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool read_digits(struct reader *r)
{
	if (!is_digit(peek(r)))
		return fail(r, -EINVAL, "a digit is missing");
	while (is_digit(peek(r)))
		r->at++;
	return true;
}

static bool read_number(struct reader *r)
{
	if (peek(r) == '-')
		r->at++;
	if (peek(r) == '0')
		r->at++;
	else if (!read_digits(r))
		return false;
	if (peek(r) == '.') {
		r->at++;
		if (!read_digits(r))
			return false;
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		return read_digits(r);
	}
	return true;
}

static bool read_word(struct reader *r, const char *word)
{
	size_t n = strlen(word);

	if (n > r->len - r->at || memcmp(r->text + r->at, word, n) != 0)
		return fail(r, -EINVAL, "no value");
	r->at += n;
	return true;
}

/* ---- values ---- */

static bool read_value(struct reader *r, unsigned depth, struct json_text key, uint32_t *out);

/* What is in an array or an object; open says which. */
static bool read_members(struct reader *r, unsigned depth, uint32_t node, uint8_t open)
{
	uint8_t close = open == '{' ? '}' : ']';
	uint32_t last = JSON_NONE, member;

	if (depth == JSON_DEPTH)
		return fail(r, -E2BIG, "is too deep");
	r->at++;
	skip_space(r);
	if (peek(r) == close) {
		r->at++;
		return true;
	}
	for (;;) {
		struct json_text key = {0};
		uint32_t key_at = 0;

		if (open == '{') {
			skip_space(r);
			if (peek(r) != '"')
				return fail(r, -EINVAL, "a key is missing");
			key_at = (uint32_t)r->at + 1;
			if (!read_string(r, &key))
				return false;
			skip_space(r);
			if (peek(r) != ':')
				return fail(r, -EINVAL, "a colon is missing");
			r->at++;
		}
		if (!read_value(r, depth + 1, key, &member))
			return false;
		r->doc->nodes[member].key_at = key_at;
		*(last == JSON_NONE ? &r->doc->nodes[node].child : &r->doc->nodes[last].next) = member;
		r->doc->nodes[node].count++;
		last = member;
		skip_space(r);
		if (peek(r) == close) {
			r->at++;
			return true;
		}
		if (peek(r) != ',')
			return fail(r, -EINVAL, "a comma is missing");
		r->at++;
	}
}

static bool read_kind(struct reader *r, unsigned depth, uint32_t node, enum json_kind *type, struct json_text *text)
{
	int c = peek(r);

	switch (c) {
	case '{':
	case '[':
		*type = c == '{' ? JSON_OBJECT : JSON_ARRAY;
		return read_members(r, depth, node, (uint8_t)c);
	case '"':
		*type = JSON_STRING;
		return read_string(r, text);
	case 't':
	case 'f':
		*type = JSON_BOOLEAN;
		return read_word(r, c == 't' ? "true" : "false");
	case 'n':
		*type = JSON_NULL;
		return read_word(r, "null");
	default:
		*type = JSON_NUMBER;
		if (c != '-' && !is_digit(c))
			return fail(r, -EINVAL, c < 0 ? "ends where a value is missing" : "no value");
		return read_number(r);
	}
}

static bool read_value(struct reader *r, unsigned depth, struct json_text key, uint32_t *out)
{
	struct json_text text = {0};
	struct json_node *node;
	enum json_kind type;
	size_t from;
	uint32_t at;

	skip_space(r);
	from = r->at;
	at = add_node(r);
	if (at == JSON_NONE || !read_kind(r, depth, at, &type, &text))
		return false;
	node = &r->doc->nodes[at];
	node->type = type;
	node->key = key;
	node->len = (uint32_t)(r->at - from);
	node->text = type == JSON_STRING ? text : (struct json_text){.at = node->at, .len = node->len};
	*out = at;
	return true;
}

int rddr_json_read(struct slice text, uint32_t most, struct json_doc *doc)
{
	struct reader r = {.doc = doc, .text = text.data, .len = text.len};
	uint32_t root;

	*doc = (struct json_doc){.text = text, .most = most};
	if (text.len > LONGEST) {
		doc->why = "is too long";
		return -E2BIG;
	}
	if (!read_value(&r, 0, (struct json_text){0}, &root))
		return r.error;
	skip_space(&r);
	if (r.at < r.len)
		fail(&r, -EINVAL, "something follows the value");
	return r.error;
}

void rddr_json_free(struct json_doc *doc)
{
	free(doc->nodes);
	free(doc->unescaped);
	*doc = (struct json_doc){0};
}

struct slice rddr_json_text(const struct json_doc *doc, struct json_text text)
{
	const uint8_t *from =
		text.at < doc->text.len ? doc->text.data + text.at : doc->unescaped + (text.at - doc->text.len);

	return (struct slice){.data = text.len ? from : NULL, .len = text.len};
}

struct slice rddr_json_key_written(const struct json_doc *doc, uint32_t member)
{
	const struct json_node *node = &doc->nodes[member];
	size_t end = node->key_at;

	if (node->key.at < doc->text.len)
		return slice_cut(doc->text, node->key.at, node->key.len);
	while (doc->text.data[end] != '"')
		end += doc->text.data[end] == '\\' ? 2 : 1;
	return slice_cut(doc->text, node->key_at, end - node->key_at);
}

/* ---- order of keys ---- */

static int by_key(const void *a, const void *b, void *ctx)
{
	const struct json_doc *doc = ctx;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = slice_order(rddr_json_text(doc, doc->nodes[x].key), rddr_json_text(doc, doc->nodes[y].key));

	/* Nodes are numbered as they were written. */
	return order ? order : (x > y) - (x < y);
}

int rddr_json_sort_keys(struct json_doc *doc, uint32_t object)
{
	struct json_node *node = &doc->nodes[object];
	uint32_t *members, n = 0;

	if (node->count < 2)
		return 0;
	members = malloc(node->count * sizeof(*members));
	if (!members)
		return -ENOMEM;
	for (uint32_t m = node->child; m != JSON_NONE; m = doc->nodes[m].next)
		members[n++] = m;
	qsort_r(members, n, sizeof(*members), by_key, doc);
	node->child = members[0];
	for (uint32_t i = 0; i < n; i++)
		doc->nodes[members[i]].next = i + 1 < n ? members[i + 1] : JSON_NONE;
	free(members);
	return 0;
}

/* ---- numbers ---- */

/* A number as its digits without zeros around them, and the power of ten of the last one. */
struct decimal {
	bool negative;
	const uint8_t *from; /* the first digit that is not 0 */
	size_t digits;
	int64_t exponent; /* of the last digit */
	bool counted;	  /* the exponent could be counted with */
};

static int64_t read_exponent(struct slice number, size_t at, bool *counted)
{
	bool negative = at < number.len && number.data[at] == '-';
	int64_t value = 0;

	while (at < number.len && !is_digit(number.data[at]))
		at++;
	while (at < number.len && number.data[at] == '0')
		at++;
	*counted = number.len - at <= 15;
	for (; *counted && at < number.len; at++)
		value = 10 * value + (number.data[at] - '0');
	return negative ? -value : value;
}

static struct decimal decimal_of(struct slice number)
{
	struct decimal d = {.negative = number.len > 0 && number.data[0] == '-', .counted = true};
	size_t at = d.negative, last = 0, first = SIZE_MAX;
	int64_t places = 0, after_last = 0;
	bool point = false;

	for (; at < number.len && (number.data[at] | 0x20) != 'e'; at++) {
		if (number.data[at] == '.') {
			point = true;
			continue;
		}
		places += point;
		if (number.data[at] == '0') {
			after_last++;
			continue;
		}
		first = first == SIZE_MAX ? at : first;
		last = at;
		after_last = 0;
	}
	if (at < number.len)
		d.exponent = read_exponent(number, at + 1, &d.counted);
	d.exponent += after_last - places;
	if (first == SIZE_MAX) {
		d.exponent = 0;
		d.counted = true;
		return d;
	}
	d.from = number.data + first;
	d.digits = last + 1 - first;
	return d;
}

/* Orders the digits; each may have its point among them. */
static int order_digits(const struct decimal *a, const struct decimal *b)
{
	size_t i = 0, k = 0;

	while (i < a->digits && k < b->digits) {
		i += a->from[i] == '.';
		k += b->from[k] == '.';
		if (a->from[i] != b->from[k])
			return a->from[i] < b->from[k] ? -1 : 1;
		i++;
		k++;
	}
	return (i < a->digits) - (k < b->digits);
}

int rddr_json_order_numbers(struct slice a, struct slice b)
{
	struct decimal x, y;

	if (slice_equal(a, b))
		return 0;
	x = decimal_of(a);
	y = decimal_of(b);
	if (x.counted != y.counted)
		return x.counted ? -1 : 1;
	if (!x.counted)
		return slice_order(a, b);
	if (x.negative != y.negative)
		return x.negative ? -1 : 1;
	if (x.exponent != y.exponent)
		return x.exponent < y.exponent ? -1 : 1;
	return order_digits(&x, &y);
}

bool rddr_json_same_number(struct slice a, struct slice b)
{
	return rddr_json_order_numbers(a, b) == 0;
}
