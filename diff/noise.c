/* SPDX-License-Identifier: BSD-2-Clause */
#include "noise.h"

#include <assert.h>
#include <string.h>

/* Kinds of bytes, each byte one. */
#define DIGIT	  (1 << 0)
#define LOWER_HEX (1 << 1)
#define LOWER	  (1 << 2)
#define UPPER_HEX (1 << 3)
#define UPPER	  (1 << 4)
#define JOINER	  (1 << 5) /* - and _ */
#define MARK	  (1 << 6) /* + / = . ~ % */
#define GRAPHIC	  (1 << 7) /* printable ASCII otherwise */
#define CONTROL	  (1 << 8) /* everything else */
/* Not of a byte but of a position: a joiner that the pair agrees on. */
#define SEPARATOR (1 << 9)

#define LOWERS (LOWER_HEX | LOWER)
#define UPPERS (UPPER_HEX | UPPER)
#define ALNUM  (DIGIT | LOWERS | UPPERS)
#define WORD   (ALNUM | JOINER)
#define TOKEN  (WORD | MARK)

static const uint16_t kinds[256] = {
	[0x00 ... 0x1f] = CONTROL,
	[' ' ... '$'] = GRAPHIC,
	['%'] = MARK,
	['&' ... '*'] = GRAPHIC,
	['+'] = MARK,
	[','] = GRAPHIC,
	['-'] = JOINER,
	['.' ... '/'] = MARK,
	['0' ... '9'] = DIGIT,
	[':' ... '<'] = GRAPHIC,
	['='] = MARK,
	['>' ... '@'] = GRAPHIC,
	['A' ... 'F'] = UPPER_HEX,
	['G' ... 'Z'] = UPPER,
	['[' ... '^'] = GRAPHIC,
	['_'] = JOINER,
	['`'] = GRAPHIC,
	['a' ... 'f'] = LOWER_HEX,
	['g' ... 'z'] = LOWER,
	['{' ... '}'] = GRAPHIC,
	['~'] = MARK,
	[0x7f ... 0xff] = CONTROL,
};

static const struct {
	const char *name;
	uint16_t holds;
} classes[] = {
	[NOISE_CLASS_DIGITS] = {"digits", DIGIT},
	[NOISE_CLASS_LOWER_HEX] = {"lower-case hex", DIGIT | LOWER_HEX},
	[NOISE_CLASS_UPPER_HEX] = {"upper-case hex", DIGIT | UPPER_HEX},
	[NOISE_CLASS_ALNUM] = {"letters and digits", ALNUM},
	[NOISE_CLASS_TOKEN] = {"a token", TOKEN},
	[NOISE_CLASS_PRINTABLE] = {"printable", TOKEN | GRAPHIC},
	[NOISE_CLASS_ANY] = {"any bytes", TOKEN | GRAPHIC | CONTROL},
};
static_assert(sizeof(classes) / sizeof(classes[0]) == NOISE_CLASSES, "each class has a name");

const char *rddr_noise_class_name(enum noise_class class)
{
	return classes[class].name;
}

enum noise_place rddr_noise_place(uint8_t a, uint8_t b)
{
	if (a == b)
		return kinds[a] & WORD ? NOISE_WORD : NOISE_APART;
	return (kinds[a] & TOKEN) && (kinds[b] & TOKEN) ? NOISE_TOKEN : NOISE_ANYTHING;
}

bool rddr_noise_goes_on(const struct noise_walk *walk, enum noise_place next)
{
	switch (next) {
	case NOISE_WORD:
		return walk->last == NOISE_WORD || walk->last == NOISE_TOKEN;
	case NOISE_TOKEN:
		return walk->last != NOISE_APART;
	case NOISE_ANYTHING:
		return walk->last == NOISE_TOKEN || walk->last == NOISE_ANYTHING;
	case NOISE_APART:
		break;
	}
	return false;
}

static uint16_t showing(uint8_t a, uint8_t b)
{
	return a == b && (kinds[a] & JOINER) ? SEPARATOR : kinds[a] | kinds[b];
}

void rddr_noise_step(struct noise_walk *walk, uint8_t a, uint8_t b)
{
	enum noise_place place = rddr_noise_place(a, b);

	if (!rddr_noise_goes_on(walk, place))
		*walk = (struct noise_walk){0};
	walk->last = place;
	walk->noisy |= a != b;
	if (place != NOISE_APART)
		walk->shown |= showing(a, b);
}

static enum noise_class class_of(uint16_t shown)
{
	if (shown & CONTROL)
		return NOISE_CLASS_ANY;
	if (shown & GRAPHIC)
		return NOISE_CLASS_PRINTABLE;
	if ((shown & (JOINER | MARK)) || ((shown & LOWERS) && (shown & UPPERS)))
		return NOISE_CLASS_TOKEN;
	if (shown & (LOWER | UPPER))
		return shown & SEPARATOR ? NOISE_CLASS_TOKEN : NOISE_CLASS_ALNUM;
	if (shown & LOWER_HEX)
		return NOISE_CLASS_LOWER_HEX;
	return shown & UPPER_HEX ? NOISE_CLASS_UPPER_HEX : NOISE_CLASS_DIGITS;
}

void rddr_noise_pass(struct noise_walk *walk, const uint8_t *text, size_t len)
{
	uint16_t shown = 0;
	size_t word = len;

	if (len == 0)
		return;
	while (word > 0 && (kinds[text[word - 1]] & WORD)) {
		word--;
		shown |= showing(text[word], text[word]);
		/* Agreed words show no more than a token; so a long one need not be looked at to its beginning. */
		if (class_of(shown) == NOISE_CLASS_TOKEN && !walk->noisy)
			break;
	}
	/* A word that fills the text may have begun before it. */
	if (word > 0 || !rddr_noise_goes_on(walk, NOISE_WORD))
		*walk = (struct noise_walk){0};
	walk->last = word < len ? NOISE_WORD : NOISE_APART;
	walk->shown |= shown;
}

enum noise_class rddr_noise_class(const struct noise_walk *walk)
{
	return class_of(walk->shown);
}

bool rddr_noise_may_fit(uint8_t a, uint8_t b, uint8_t c)
{
	if (c == a || c == b)
		return true;
	return a != b || ((kinds[a] & WORD) && (kinds[c] & TOKEN));
}

bool rddr_noise_fits(enum noise_class class, uint8_t a, uint8_t b, uint8_t c)
{
	return c == a || c == b || (rddr_noise_may_fit(a, b, c) && (kinds[c] & classes[class].holds));
}

void rddr_noise_show(struct noise_walk *walk, uint8_t c)
{
	walk->shown |= kinds[c];
}

bool rddr_noise_holds(enum noise_class class, uint8_t c)
{
	return kinds[c] & classes[class].holds;
}

bool rddr_noise_is_word(uint8_t c)
{
	return kinds[c] & WORD;
}

bool rddr_noise_is_token(uint8_t c)
{
	return kinds[c] & TOKEN;
}

/* The first differing byte of two texts that do differ. */
static size_t locate(const uint8_t *a, const uint8_t *b)
{
	size_t at = 0;

	while (a[at] == b[at])
		at++;
	return at;
}

size_t rddr_noise_alike(const uint8_t *a, const uint8_t *b, size_t len)
{
	static const size_t block = 256;
	size_t at = 0;

	/* memcmp is far wider than a loop over bytes, but does not say where; so it looks twice, at ever less. */
	if (len == 0 || memcmp(a, b, len) == 0)
		return len;
	while (len - at > block && memcmp(a + at, b + at, block) == 0)
		at += block;
	return at + locate(a + at, b + at);
}
