/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tokens_learn.c - what of the values of a field are tokens.
 */
#include "tokens_session.h"

static bool all_same(const struct tokens *t, const struct slice values[])
{
	for (unsigned i = 1; i < t->conf.n; i++) {
		if (values[i].len && !slice_equal(values[0], values[i]))
			return false;
	}
	return true;
}

static size_t common_front(const struct tokens *t, const struct slice values[], size_t shortest)
{
	for (size_t k = 0; k < shortest; k++) {
		for (unsigned i = 1; i < t->conf.n; i++) {
			if (values[i].len && values[i].data[k] != values[0].data[k])
				return k;
		}
	}
	return shortest;
}

static size_t common_back(const struct tokens *t, const struct slice values[], size_t shortest)
{
	for (size_t k = 1; k <= shortest; k++) {
		for (unsigned i = 1; i < t->conf.n; i++) {
			if (values[i].len && values[i].data[values[i].len - k] != values[0].data[values[0].len - k])
				return k - 1;
		}
	}
	return shortest;
}

/* Takes off what all have in front, and behind, up to where a word begins or ends; padding belongs to what it pads. */
static void trim_common(const struct tokens *t, struct slice values[])
{
	size_t shortest = values[0].len, front = 0, back = 0;

	for (unsigned i = 1; i < t->conf.n; i++)
		shortest = values[i].len && values[i].len < shortest ? values[i].len : shortest;
	size_t same_front = common_front(t, values, shortest);
	size_t same_back = common_back(t, values, shortest - same_front);
	for (size_t k = 0; k < values[0].len;) {
		enum encoding how = PLAIN;
		size_t step = of_word(values[0].data[k]) ? 0 : joint_at(values[0], k, &how);
		size_t next = k + (step ? step : 1);

		if (step && next <= same_front)
			front = next;
		if (step && !back && k >= values[0].len - same_back && values[0].data[k] != '=')
			back = values[0].len - k;
		k = next;
	}
	for (unsigned i = 0; i < t->conf.n; i++) {
		if (values[i].len)
			values[i] = slice_cut(values[i], front, values[i].len - front - back);
	}
}

static void learn_word(struct tokens *t, struct slice values[], size_t min)
{
	if (all_same(t, values))
		return;
	trim_common(t, values);
	if (values[0].data && values[0].len >= min)
		rddr_tokens_store(t, values);
}

/* The next run of a word's bytes and of what joins words, from *at on; false: none is left. */
static bool next_run(struct slice s, size_t *at, struct slice *run)
{
	size_t from = *at;

	while (from < s.len && !of_word(s.data[from]) && !joins(s.data[from]))
		from++;
	size_t to = from;
	while (to < s.len && (of_word(s.data[to]) || joins(s.data[to])))
		to++;
	*at = to;
	*run = slice_cut(s, from, to - from);
	return to > from;
}

static unsigned count_runs(struct slice s)
{
	struct slice run;
	size_t at = 0;
	unsigned n = 0;

	while (next_run(s, &at, &run))
		n++;
	return n;
}

/* min: the shortest that a value of one word may be. */
static void learn_text(struct tokens *t, const struct slice values[], size_t min)
{
	struct slice words[RDDR_MAX_INSTANCES] = {0};
	size_t at[RDDR_MAX_INSTANCES] = {0};
	unsigned runs = count_runs(values[0]);

	for (unsigned i = 1; i < t->conf.n; i++) {
		if (values[i].len && count_runs(values[i]) != runs)
			return;
	}
	for (unsigned k = 0; k < runs; k++) {
		for (unsigned i = 0; i < t->conf.n; i++) {
			words[i] = (struct slice){0};
			if (values[i].len)
				next_run(values[i], &at[i], &words[i]);
		}
		learn_word(t, words, runs == 1 ? min : t->conf.settings->token_min);
	}
}

/* ---- HTML: what a page writes as a reference, a browser sends as the byte ---- */

static int reference(struct slice s, size_t *used)
{
	static const struct {
		const char *name;
		uint8_t byte;
	} named[] = {{"&amp;", '&'}, {"&quot;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}};
	unsigned number = 0;
	size_t k = 2;

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		*used = strlen(named[i].name);
		if (s.len >= *used && !memcmp(s.data, named[i].name, *used))
			return named[i].byte;
	}
	if (s.len < 4 || s.data[0] != '&' || s.data[1] != '#')
		return -1;
	bool hex = s.data[2] == 'x' || s.data[2] == 'X';
	for (k += hex; k < s.len && k < 8 && s.data[k] != ';'; k++) {
		uint8_t c = s.data[k] | 0x20;

		if (c >= '0' && c <= '9')
			number = number * (hex ? 16 : 10) + c - '0';
		else if (hex && c >= 'a' && c <= 'f')
			number = number * 16 + c - 'a' + 10;
		else
			return -1;
	}
	if (k >= s.len || s.data[k] != ';' || !number || number > 0x7e)
		return -1;
	*used = k + 1;
	return (int)number;
}

static size_t unescape(struct slice s, uint8_t *out, size_t room)
{
	size_t len = 0;

	for (size_t k = 0; k < s.len && len < room;) {
		size_t used = 1;
		int byte = s.data[k] == '&' ? reference(slice_cut(s, k, s.len), &used) : -1;

		out[len++] = byte >= 0 ? (uint8_t)byte : s.data[k];
		k += byte >= 0 ? used : 1;
	}
	return len;
}

static bool has_references(const struct tokens *t, const struct slice values[])
{
	for (unsigned i = 0; i < t->conf.n; i++) {
		if (values[i].len && memchr(values[i].data, '&', values[i].len))
			return true;
	}
	return false;
}

static void learn(struct tokens *t, const struct slice values[], size_t min)
{
	struct slice plain[RDDR_MAX_INSTANCES] = {0};
	uint8_t *at = t->encoded;
	size_t room = sizeof(t->encoded);

	if (!values[0].len || all_same(t, values))
		return;
	if (!has_references(t, values)) {
		learn_text(t, values, min);
		return;
	}
	for (unsigned i = 0; i < t->conf.n; i++) {
		plain[i] = (struct slice){at, unescape(values[i], at, room)};
		at += plain[i].len;
		room -= plain[i].len;
	}
	learn_text(t, plain, min);
}

void rddr_tokens_learn(struct tokens *t, const struct slice values[])
{
	learn(t, values, t->conf.settings->token_min);
}

/* ---- declared ---- */

/* What stands between the quotes of an entity tag, weak or strong; false: it is none. */
static bool opaque_tag(struct slice value, struct slice *tag)
{
	if (value.len >= 2 && memcmp(value.data, "W/", 2) == 0)
		value = slice_cut(value, 2, SIZE_MAX);
	if (value.len < 2 || value.data[0] != '"' || value.data[value.len - 1] != '"')
		return false;
	*tag = slice_cut(value, 1, value.len - 2);
	return !memchr(tag->data, '"', tag->len);
}

static bool is_one_word(struct slice s)
{
	for (size_t k = 0; k < s.len; k++) {
		if (!of_word(s.data[k]) && !joins(s.data[k]))
			return false;
	}
	return s.len > 0;
}

void rddr_tokens_learn_declared(struct tokens *t, const struct slice values[])
{
	struct slice tags[RDDR_MAX_INSTANCES] = {0};
	bool are_tags = true;

	for (unsigned i = 0; i < t->conf.n && are_tags; i++)
		are_tags = !values[i].len || opaque_tag(values[i], &tags[i]);
	/* The client sends a tag back whole, so what all have in common stays in it, and others may be of any form. */
	if (are_tags && is_one_word(tags[0]) && !all_same(t, tags)) {
		if (tags[0].len >= RDDR_TOKEN_MIN)
			rddr_tokens_store(t, tags);
		return;
	}
	learn(t, are_tags ? tags : values, RDDR_TOKEN_MIN);
}
