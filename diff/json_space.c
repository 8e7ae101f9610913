/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_space.h"

#include "json_doc.h"
#include "spans.h"

/* The longest white space within a line. */
#define LONGEST 8

/* What stands beside white space. */
enum side {
	SIDE_OUTSIDE, /* nothing: it is at the beginning, or the end */
	SIDE_OPEN,
	SIDE_CLOSE,
	SIDE_COMMA,
	SIDE_COLON,
	SIDE_VALUE, /* a scalar, or a key; before white space also the end of an array or object */
	SIDES
};

/* What was seen first, and has to come again. */
struct habit {
	bool known, breaks; /* the line */
	struct slice space; /* where it does not */
};

/* How far lines are indented, by a depth. */
struct indents {
	bool broken;
	bool known[JSON_DEPTH + 1];
	size_t len[JSON_DEPTH + 1];
};

struct layout {
	struct habit habits[2][SIDES][SIDES]; /* within an array, an object */
	struct indents by_depth, by_objects;  /* counting both, and objects alone */
	uint8_t indent;			      /* blank or tab; 0: not known yet */
	bool crlf, crlf_known;
	unsigned depth, objects;
	bool in_object[JSON_DEPTH + 1];
};

/* Walks the white space of a text that is JSON. */
struct scan {
	struct slice text;
	size_t at;
};

static bool is_space(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Passes over white space. */
static struct slice next_space(struct scan *s)
{
	size_t from = s->at;

	while (s->at < s->text.len && is_space(s->text.data[s->at]))
		s->at++;
	return slice_cut(s->text, from, s->at - from);
}

/* Passes over the token behind it. */
static enum side next_token(struct scan *s, uint8_t *first)
{
	const uint8_t *text = s->text.data;

	if (s->at == s->text.len)
		return SIDE_OUTSIDE;
	*first = text[s->at++];
	switch (*first) {
	case '{':
	case '[':
		return SIDE_OPEN;
	case '}':
	case ']':
		return SIDE_CLOSE;
	case ',':
		return SIDE_COMMA;
	case ':':
		return SIDE_COLON;
	case '"':
		while (s->at < s->text.len && text[s->at] != '"')
			s->at += text[s->at] == '\\' ? 2 : 1;
		s->at++;
		return SIDE_VALUE;
	default:
		while (s->at < s->text.len && !is_space(text[s->at]) && !strchr("{}[],:\"", text[s->at]))
			s->at++;
		return SIDE_VALUE;
	}
}

static void indented(struct indents *indents, unsigned depth, size_t len)
{
	if (!indents->known[depth]) {
		indents->known[depth] = true;
		indents->len[depth] = len;
	}
	indents->broken |= indents->len[depth] != len;
}

/* A line break and an indentation of blanks, or of tabs. */
static bool is_break(struct layout *l, struct slice space, bool closing)
{
	size_t at = space.data[0] == '\r';
	bool outer_object = closing && l->in_object[l->depth];

	if (at == space.len || space.data[at] != '\n' || (l->crlf_known && l->crlf != (at == 1)))
		return false;
	l->crlf_known = true;
	l->crlf = at == 1;
	for (size_t i = ++at; i < space.len; i++) {
		l->indent = l->indent ? l->indent : space.data[i];
		if (space.data[i] != l->indent || l->indent == '\n' || l->indent == '\r')
			return false;
	}
	indented(&l->by_depth, l->depth - closing, space.len - at);
	indented(&l->by_objects, l->objects - outer_object, space.len - at);
	return !l->by_depth.broken || !l->by_objects.broken;
}

static bool as_before(struct layout *l, enum side before, struct slice space, enum side behind)
{
	struct habit *habit = &l->habits[l->in_object[l->depth]][before][behind];
	bool breaks = space.len > 0 && (space.data[0] == '\n' || space.data[0] == '\r');

	/* A file ends with a line. */
	if (behind == SIDE_OUTSIDE)
		return space.len == 0 || slice_equal(space, slice_of("\n")) || slice_equal(space, slice_of("\r\n"));
	if (!habit->known)
		*habit = (struct habit){.known = true, .breaks = breaks, .space = space};
	if (breaks)
		return habit->breaks && is_break(l, space, behind == SIDE_CLOSE);
	return !habit->breaks && slice_equal(space, habit->space) && space.len <= LONGEST;
}

static void go_down(struct layout *l, bool object)
{
	l->in_object[++l->depth] = object;
	l->objects += object;
}

bool rddr_json_space_regular(struct slice text)
{
	struct layout l = {0};
	struct scan s = {.text = text};
	enum side before = SIDE_OUTSIDE, behind;
	uint8_t first = 0;

	do {
		struct slice space = next_space(&s);

		behind = next_token(&s, &first);
		if (!as_before(&l, before, space, behind))
			return false;
		if (behind == SIDE_OPEN)
			go_down(&l, first == '{');
		if (behind == SIDE_CLOSE)
			l.objects -= l.in_object[l.depth--];
		before = behind == SIDE_CLOSE ? SIDE_VALUE : behind;
	} while (behind != SIDE_OUTSIDE);
	return true;
}

uint64_t rddr_json_space_hash(struct slice text)
{
	struct scan s = {.text = text};
	uint64_t hash = rddr_spans_seed();
	uint8_t first;

	do {
		hash = rddr_spans_hash(rddr_spans_hash(hash, next_space(&s)), slice_of("|"));
	} while (next_token(&s, &first) != SIDE_OUTSIDE);
	return hash;
}
