/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_spell.h"

#include "json_doc.h"

/* Zeros at the end that decimals of a fixed precision have: %f has six places. */
#define MOST_PLACES 6

/* Ways to write a character. */
enum { WAY_PLAIN = 1, WAY_SHORT = 2, WAY_CODE = 4 };

/* Ways to do anything else. */
enum { WAY_NO = 1, WAY_YES = 2 };

/* Whether it was never done in another way. */
static bool as_before(uint8_t *ways, uint8_t way)
{
	*ways |= way;
	return *ways == way;
}

/* ---- strings ---- */

static enum json_beyond beyond(uint32_t code)
{
	if (code < 0xa0)
		return BEYOND_CONTROLS;
	/* They end a line in JavaScript. */
	if (code == 0x2028 || code == 0x2029)
		return BEYOND_LINES;
	if (code >= 0x2000 && code < 0x2100)
		return BEYOND_MARKS;
	if (code == 0xfffd)
		return BEYOND_REPLACED;
	return code > 0xffff ? BEYOND_PLANE : BEYOND_REST;
}

/* Whether some program escapes it as \u00XX: what HTML, JavaScript in it, or JSON itself could take amiss. */
static bool may_be_coded(uint32_t c)
{
	return c < ' ' || c == 0x7f || strchr("\"&'+/<=>\\`", (int)c);
}

/* The code point there, which is past ASCII, and its length. */
static uint32_t read_utf8(const uint8_t *at, size_t *len)
{
	uint32_t code;

	*len = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
	code = at[0] & (0xffU >> (*len + 1));
	for (size_t i = 1; i < *len; i++)
		code = code << 6 | (at[i] & 0x3f);
	return code;
}

/* The digits at at. */
static bool hex_regular(struct json_habits *h, const uint8_t *at)
{
	for (size_t i = 0; i < 4; i++)
		if (at[i] > '9')
			h->hex |= at[i] < 'a' ? WAY_YES : WAY_NO;
	return h->hex != (WAY_YES | WAY_NO);
}

/* \uXXXX, or two of them, at at, which is left behind it. */
static bool code_regular(struct json_habits *h, struct slice raw, size_t *at, const char **why)
{
	int code = rddr_json_hex4(raw, *at + 2), low = -1;

	*why = "upper and lower case of escapes";
	if (!hex_regular(h, raw.data + *at + 2))
		return false;
	*at += 6;
	if (code >= 0xd800 && code <= 0xdbff && *at + 6 <= raw.len && raw.data[*at] == '\\' && raw.data[*at + 1] == 'u')
		low = rddr_json_hex4(raw, *at + 2);
	if (low >= 0xdc00 && low <= 0xdfff) {
		if (!hex_regular(h, raw.data + *at + 2))
			return false;
		*at += 6;
		code = 0x10000;
	}
	*why = "an escape that nothing needs";
	if (code < 0x80 && !may_be_coded((uint32_t)code))
		return false;
	*why = "more than one way to write a character";
	if (code < 0x80)
		return as_before(&h->ascii[code], WAY_CODE);
	/* Half of a pair: there is no other way. */
	if (code >= 0xd800 && code <= 0xdfff)
		return true;
	return as_before(&h->beyond[beyond((uint32_t)code)], WAY_CODE);
}

static bool escape_regular(struct json_habits *h, struct slice raw, size_t *at, const char **why)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	uint8_t name = raw.data[*at + 1];

	if (name == 'u')
		return code_regular(h, raw, at, why);
	*at += 2;
	*why = "more than one way to write a character";
	return as_before(&h->ascii[(uint8_t)bytes[strchr(names, name) - names]], WAY_SHORT);
}

/* Passes over ASCII that is written as it always was; a backslash never stands for itself. */
static size_t skip_plain(const struct json_habits *h, struct slice raw, size_t at)
{
	while (at < raw.len && raw.data[at] < 0x80 && h->ascii[raw.data[at]] == WAY_PLAIN)
		at++;
	return at;
}

bool rddr_json_string_regular(struct json_habits *h, struct slice raw, const char **why)
{
	for (size_t at = skip_plain(h, raw, 0); at < raw.len; at = skip_plain(h, raw, at)) {
		uint8_t c = raw.data[at];
		size_t len = 1;
		bool same;

		if (c == '\\') {
			if (!escape_regular(h, raw, &at, why))
				return false;
			continue;
		}
		if (c < 0x80)
			same = as_before(&h->ascii[c], WAY_PLAIN);
		else
			same = as_before(&h->beyond[beyond(read_utf8(raw.data + at, &len))], WAY_PLAIN);
		if (!same) {
			*why = "more than one way to write a character";
			return false;
		}
		at += len;
	}
	return true;
}

/* ---- numbers ---- */

/* A number's parts, as they are written. */
struct parts {
	struct slice whole, places; /* before the point, behind it */
	uint8_t letter;		    /* of the exponent; 0: there is none */
	uint8_t sign;		    /* '+', '-', or 0 */
	struct slice exponent;	    /* its digits */
};

static struct slice digits(struct slice number, size_t *at)
{
	size_t from = *at;

	while (*at < number.len && number.data[*at] >= '0' && number.data[*at] <= '9')
		++*at;
	return slice_cut(number, from, *at - from);
}

static struct parts take_apart(struct slice number)
{
	size_t at = number.data[0] == '-';
	struct parts p = {.whole = digits(number, &at)};

	if (at < number.len && number.data[at] == '.') {
		at++;
		p.places = digits(number, &at);
	}
	if (at < number.len) {
		p.letter = number.data[at++];
		if (number.data[at] == '+' || number.data[at] == '-')
			p.sign = number.data[at++];
		p.exponent = digits(number, &at);
	}
	return p;
}

/* One digit before the point, and an exponent that makes the number shorter. */
static bool exponent_regular(struct json_habits *h, const struct parts *p, const char **why)
{
	const uint8_t *e = p->exponent.data;
	int value = 0;

	*why = "an exponent as programs do not write it";
	if (p->whole.len != 1 || p->whole.data[0] == '0' || p->exponent.len > 3)
		return false;
	for (size_t i = 0; i < p->exponent.len; i++)
		value = 10 * value + e[i] - '0';
	/* Some programs always write two digits. */
	if ((e[0] == '0' && p->exponent.len != 2) || value < (p->sign == '-' ? 2 : 3))
		return false;
	if (p->places.len > 1 && p->places.data[p->places.len - 1] == '0')
		return false;
	*why = "exponents in more than one way";
	if (value < 10 && !as_before(&h->two_digits, p->exponent.len == 2 ? WAY_YES : WAY_NO))
		return false;
	if (p->sign != '-' && !as_before(&h->plus, p->sign ? WAY_YES : WAY_NO))
		return false;
	/* 1.0e9 or 1e9. */
	if ((p->places.len == 0 || (p->places.len == 1 && p->places.data[0] == '0')) &&
	    !as_before(&h->point, p->places.len ? WAY_YES : WAY_NO))
		return false;
	return as_before(&h->letter, p->letter == 'E' ? WAY_YES : WAY_NO);
}

bool rddr_json_number_regular(struct json_habits *h, struct slice number, const char **why)
{
	struct parts p = take_apart(number);

	if (p.letter)
		return exponent_regular(h, &p, why);
	/* One place may be 0, as programs write whole numbers that need not be whole. */
	if (p.places.len < 2 || p.places.data[p.places.len - 1] != '0')
		return true;
	*why = "zeros at a number's end that programs do not write";
	if (p.places.len > MOST_PLACES)
		return false;
	*why = "zeros at the ends of numbers in more than one way";
	h->places = h->places ? h->places : p.places.len;
	return h->places == p.places.len;
}
