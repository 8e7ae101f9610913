/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * header_form.c - the forms of the headers that are ignored by default.
 */
#include "header_form.h"

#include <assert.h>

#include "http_parse.h"

#define NUMBER_MAX  10
#define SHORT_MAX   128
#define LENGTHY_MAX 256

static const char *const names[] = {
	[FORM_ANY] = "anything",
	[FORM_DATE] = "a date, as \"Sun, 06 Nov 1994 08:49:37 GMT\"",
	[FORM_NUMBER] = "a number of at most 10 digits",
	[FORM_TOKEN] = "a token of at most 128 bytes",
	[FORM_WORD] = "at most 128 visible bytes of ASCII without a blank",
	[FORM_TEXT] = "at most 128 visible bytes of ASCII",
	[FORM_LONG] = "at most 256 visible bytes of ASCII",
};
static_assert(sizeof(names) / sizeof(names[0]) == HEADER_FORMS, "each form has a name");

/* One of the words of three letters in a text of them; the number that it is, from 0 on, or -1. */
static int word_in(const char *words, const uint8_t *at)
{
	for (int i = 0; words[3 * i]; i++) {
		if (memcmp(words + 3 * (size_t)i, at, 3) == 0)
			return i;
	}
	return -1;
}

/* The number that len digits make, or -1. */
static int digits(const uint8_t *at, unsigned len)
{
	int number = 0;

	for (unsigned i = 0; i < len; i++) {
		if (at[i] < '0' || at[i] > '9')
			return -1;
		number = 10 * number + (at[i] - '0');
	}
	return number;
}

static bool between(int number, int least, int most)
{
	return number >= least && number <= most;
}

/* The day of the week, 0 being Sunday (Sakamoto). */
static int weekday(int year, int month, int day)
{
	static const int shift[] = {0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4};

	year -= month < 3;
	return (year + year / 4 - year / 100 + year / 400 + shift[month - 1] + day) % 7;
}

/* IMF-fixdate (RFC 9110, section 5.6.7); the day of the week has to be that of the date. */
static bool is_date(struct slice value)
{
	static const char like[] = "???, ?? ??? ???? ??:??:?? GMT";
	const uint8_t *at = value.data;
	int year, month, day;

	if (value.len != sizeof(like) - 1)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (like[i] != '?' && like[i] != (char)at[i])
			return false;
	}
	day = digits(at + 5, 2);
	month = word_in("JanFebMarAprMayJunJulAugSepOctNovDec", at + 8) + 1;
	year = digits(at + 12, 4);
	return between(day, 1, 31) && month > 0 && year > 0 && between(digits(at + 17, 2), 0, 23) &&
	       between(digits(at + 20, 2), 0, 59) && between(digits(at + 23, 2), 0, 60) &&
	       word_in("SunMonTueWedThuFriSat", at) == weekday(year, month, day);
}

static bool is_number(struct slice value)
{
	if (value.len == 0 || value.len > NUMBER_MAX)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
	}
	return true;
}

static bool is_visible(struct slice value, size_t most, uint8_t least)
{
	if (value.len > most)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < least || value.data[i] > '~')
			return false;
	}
	return true;
}

bool rddr_header_form_has(enum header_form form, struct slice value)
{
	switch (form) {
	case FORM_DATE:
		return is_date(value);
	case FORM_NUMBER:
		return is_number(value);
	case FORM_TOKEN:
		return value.len == 0 || (value.len <= SHORT_MAX && rddr_http_is_token(value));
	case FORM_WORD:
		return is_visible(value, SHORT_MAX, '!');
	case FORM_TEXT:
		return is_visible(value, SHORT_MAX, ' ');
	case FORM_LONG:
		return is_visible(value, LENGTHY_MAX, ' ');
	case FORM_ANY:
	case HEADER_FORMS:
	default:
		return true;
	}
}

const char *rddr_header_form_name(enum header_form form)
{
	return names[form];
}
