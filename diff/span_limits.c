/* SPDX-License-Identifier: BSD-2-Clause */
#include "span_limits.h"

/* A few bytes of a random token may show only few of its kinds: below so many, the next wider kind is taken. */
#define SHORTEST   4
#define FEW_DIGITS 24
#define FEW_HEX	   12

struct evidence {
	struct noise_walk walk;
	uint32_t counts[2][128];
	size_t bytes;
	bool high; /* bytes past ASCII: of a word in some language */
};

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static size_t percent(const uint8_t *at, size_t len, uint8_t *c)
{
	if (len < 3 || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
		return 0;
	*c = (uint8_t)(16 * hex_digit(at[1]) + hex_digit(at[2]));
	return 3;
}

/* The character references that template engines write for bytes of tokens and of markup. */
static size_t reference(const uint8_t *at, size_t len, uint8_t *c)
{
	static const struct {
		const char *text;
		uint8_t byte;
	} known[] = {
		{"&amp;", '&'},	 {"&lt;", '<'},	  {"&gt;", '>'},   {"&quot;", '"'}, {"&#34;", '"'},   {"&#39;", '\''},
		{"&#43;", '+'},	 {"&#47;", '/'},  {"&#61;", '='},  {"&#x22;", '"'}, {"&#x27;", '\''}, {"&#x2B;", '+'},
		{"&#x2b;", '+'}, {"&#x2F;", '/'}, {"&#x2f;", '/'}, {"&#x3D;", '='}, {"&#x3d;", '='},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t n = strlen(known[i].text);

		if (n <= len && memcmp(at, known[i].text, n) == 0) {
			*c = known[i].byte;
			return n;
		}
	}
	return 0;
}

/* One character of a value that is not at its end: what it stands for, and how many bytes it has. */
static size_t next(struct slice value, size_t at, uint8_t *c)
{
	size_t n = 0;

	*c = value.data[at];
	if (*c == '%')
		n = percent(value.data + at, value.len - at, c);
	else if (*c == '&')
		n = reference(value.data + at, value.len - at, c);
	return n ? n : 1;
}

/* Counts a value's bytes, and returns its length in characters. */
static size_t count(struct evidence *e, int which, struct slice value)
{
	size_t length = 0;
	uint8_t c;

	for (size_t at = 0; at < value.len; length++) {
		at += next(value, at, &c);
		if (c < 0x80)
			e->counts[which][c]++;
		else
			e->high = true;
	}
	e->bytes += value.len;
	return length;
}

static void allow(struct span_limits *limits, unsigned c)
{
	limits->also[c / 64] |= UINT64_C(1) << (c % 64);
}

static void allow_class(struct span_limits *limits, enum noise_class class)
{
	for (unsigned c = 0; c < 256; c++)
		if (rddr_noise_holds(class, (uint8_t)c))
			allow(limits, c);
}

/* Marks that both have equally often are part of the form, as in a UUID: they alone are allowed besides what the rest
 * shows. */
static void weigh(struct span_limits *limits, struct evidence *e)
{
	for (unsigned c = 0; c < 128; c++) {
		bool mark = !rddr_noise_holds(NOISE_CLASS_ALNUM, (uint8_t)c) &&
			    rddr_noise_holds(NOISE_CLASS_PRINTABLE, (uint8_t)c);

		if (mark && e->counts[0][c] && e->counts[0][c] == e->counts[1][c])
			allow(limits, c);
		else if (e->counts[0][c] || e->counts[1][c])
			rddr_noise_show(&e->walk, (uint8_t)c);
	}
	for (unsigned c = 0x80; e->high && c < 0x100; c++)
		allow(limits, c);
	limits->class = rddr_noise_class(&e->walk);
}

void rddr_span_limits_set(struct span_limits *limits, struct slice a, struct slice b)
{
	struct evidence e = {0};
	size_t in_a = count(&e, 0, a), in_b = count(&e, 1, b), range, slack;

	*limits = (struct span_limits){0};
	weigh(limits, &e);
	if (slice_equal(a, b))
		e.bytes /= 2;
	limits->least = in_a < in_b ? in_a : in_b;
	limits->most = in_a < in_b ? in_b : in_a;
	if (limits->least >= SHORTEST && limits->class == NOISE_CLASS_DIGITS && e.bytes < FEW_DIGITS) {
		allow_class(limits, NOISE_CLASS_LOWER_HEX);
		allow_class(limits, NOISE_CLASS_UPPER_HEX);
	}
	if (limits->least >= SHORTEST && limits->class <= NOISE_CLASS_UPPER_HEX &&
	    limits->class != NOISE_CLASS_DIGITS && e.bytes < FEW_HEX)
		limits->class = NOISE_CLASS_ALNUM;
	range = limits->most - limits->least;
	slack = 3 + (range > limits->most / 8 ? range : limits->most / 8);
	limits->most += slack;
	if (limits->least > 0)
		limits->least = limits->least > slack ? limits->least - slack : 1;
}

static const char too_long[] = "is longer than the pair's noise there allows";
static const char too_short[] = "is shorter than the pair's noise there allows";
static const char of_another_form[] = "does not have the form of the pair's noise there";

/* Takes the characters that end at to, or before it. False: one of them is not allowed, or one too many. */
static bool walk(struct span_walk *w, const struct span_limits *limits, size_t to, const char **why)
{
	uint8_t c;

	while (w->at < to) {
		size_t n = next(w->text, w->at, &c);

		/* An escape that to cuts is none for a value that ends there. */
		if (w->at + n > to)
			return true;
		if (w->length == limits->most) {
			*why = too_long;
			return false;
		}
		if (!rddr_noise_holds(limits->class, c) && !(limits->also[c / 64] >> (c % 64) & 1)) {
			*why = of_another_form;
			return false;
		}
		w->at += n;
		w->length++;
	}
	return true;
}

bool rddr_span_walk_to(struct span_walk *w, const struct span_limits *limits, size_t to, size_t *missing,
		       const char **why)
{
	struct span_walk cut;

	*missing = 0;
	*why = too_short;
	if (!walk(w, limits, to, why))
		return false;
	cut = (struct span_walk){.text = slice_cut(w->text, 0, to), .at = w->at, .length = w->length};
	/* What is left of the escape may be wrong where the whole of it is right. */
	if (!walk(&cut, limits, to, why))
		*missing = 1;
	else if (cut.length < limits->least)
		*missing = limits->least - cut.length;
	return true;
}

bool rddr_span_limits_hold(const struct span_limits *limits, struct slice value, const char **why)
{
	struct span_walk w = {.text = value};

	if (!walk(&w, limits, value.len, why))
		return false;
	*why = too_short;
	return w.length >= limits->least;
}
