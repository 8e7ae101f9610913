/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakepgtext.h - messages of PostgreSQL's protocol, written as text.
 *
 * Messages are parted by " | "; each is its type and, behind a space, its body in the form that the type has:
 *
 *	T a:23 b:25:7:1		columns: name, type, table (0), number in it (0)
 *	D 1 two NULL		values, parted by spaces; none of them has one
 *	E C42P01,Mno such	fields, parted by commas; N the same
 *	S name=value		A 7,channel,said	t 23 25
 *	C text, Q text		a terminated string
 *	P name,text		B portal,statement	rest: as they are
 *	G, H, W 0		the format of all, one column
 *
 * "?" in front of a type: the body is all that follows, as it is. "!" in front: the header alone, and the text says how
 * long it claims to be.
 */
#ifndef RDDR_TEST_FAKEPGTEXT_H
#define RDDR_TEST_FAKEPGTEXT_H

#include "fakepg.h"

static inline void pg_u16_to(struct fake_out *body, unsigned v)
{
	const uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};

	fake_append(body, bytes, sizeof(bytes));
}

static inline void pg_u32_to(struct fake_out *body, unsigned long v)
{
	pg_u16_to(body, (unsigned)(v >> 16) & 0xffff);
	pg_u16_to(body, (unsigned)v & 0xffff);
}

/* The next word of text, up to sep; copied, terminated. False: none is left. */
static inline bool pg_word(const char **text, char sep, char *word, size_t room)
{
	const char *end = strchr(*text, sep);
	size_t len = end ? (size_t)(end - *text) : strlen(*text);

	if (!**text)
		return false;
	fake_need(len < room, "the test's word is too long");
	memcpy(word, *text, len);
	word[len] = '\0';
	*text += len + (end ? 1 : 0);
	return true;
}

static inline void pg_columns(struct fake_out *body, const char *text)
{
	struct fake_out all = {0};
	char word[80];
	unsigned n = 0;

	for (; pg_word(&text, ' ', word, sizeof(word)); n++) {
		char name[60] = "";
		unsigned type = 25, table = 0, number = 0;

		sscanf(word, "%59[^:]:%u:%u:%u", name, &type, &table, &number);
		fake_append(&all, name, strlen(name) + 1);
		pg_u32_to(&all, table);
		pg_u16_to(&all, number);
		pg_u32_to(&all, type);
		fake_append(&all, "\0\4\377\377\377\377\0\0", 8);
	}
	pg_u16_to(body, n);
	fake_append(body, all.data, all.len);
	free(all.data);
}

static inline void pg_values(struct fake_out *body, const char *text)
{
	struct fake_out all = {0};
	char word[2048];
	unsigned n = 0;

	for (; pg_word(&text, ' ', word, sizeof(word)); n++) {
		bool null = strcmp(word, "NULL") == 0;

		pg_u32_to(&all, null ? 0xffffffff : strlen(word));
		fake_append(&all, word, null ? 0 : strlen(word));
	}
	pg_u16_to(body, n);
	fake_append(body, all.data, all.len);
	free(all.data);
}

/* Strings, each terminated. */
static inline void pg_strings(struct fake_out *body, const char *text, char sep)
{
	char word[2048];

	while (pg_word(&text, sep, word, sizeof(word)))
		fake_append(body, word, strlen(word) + 1);
}

static inline void pg_body(struct fake_out *body, char type, const char *text)
{
	char word[80];

	if (type == 'T') {
		pg_columns(body, text);
	} else if (type == 'D') {
		pg_values(body, text);
	} else if (type == 'E' || type == 'N') {
		pg_strings(body, text, ',');
		fake_append(body, "", 1);
	} else if (type == 'S') {
		pg_strings(body, text, '=');
	} else if (type == 'A') {
		pg_word(&text, ',', word, sizeof(word));
		pg_u32_to(body, strtoul(word, NULL, 10));
		pg_strings(body, text, ',');
	} else if (type == 't') {
		const char *all = text;
		unsigned n = 0;

		while (pg_word(&all, ' ', word, sizeof(word)))
			n++;
		pg_u16_to(body, n);
		while (pg_word(&text, ' ', word, sizeof(word)))
			pg_u32_to(body, strtoul(word, NULL, 10));
	} else if (type == 'C' || type == 'Q') {
		fake_append(body, text, strlen(text) + 1);
	} else if (type == 'P' || type == 'B') {
		const char *comma = strchr(text, ',');

		fake_append(body, text, comma ? (size_t)(comma - text) : 0);
		fake_append(body, "", 1);
		pg_strings(body, comma ? comma + 1 : text, '\n');
		fake_append(body, "\0\0", 2);
	} else if (type == 'G' || type == 'H' || type == 'W') {
		const uint8_t format[5] = {*text == '1', 0, 1, 0, *text == '1'};

		fake_append(body, format, sizeof(format));
	} else {
		fake_append(body, text, strlen(text));
	}
}

/* One message. */
static inline void pg_say_one(struct fake_out *out, const char *text)
{
	struct fake_out body = {0};

	if (*text == '!') {
		fake_append(out, text + 1, 1);
		pg_u32_to(out, (unsigned long)strtol(text + 2, NULL, 10));
		return;
	}
	if (*text == '?')
		fake_append(&body, text + 3, strlen(text + 3));
	else
		pg_body(&body, *text, text[1] == ' ' ? text + 2 : "");
	pg_message(out, *text == '?' ? text[1] : *text, body.data, body.len);
	free(body.data);
}

static inline void pg_say(struct fake_out *out, const char *text)
{
	while (*text) {
		const char *end = strstr(text, " | ");
		size_t len = end ? (size_t)(end - text) : strlen(text);
		char *one = malloc(len + 1);

		if (!one)
			abort();
		memcpy(one, text, len);
		one[len] = '\0';
		pg_say_one(out, one);
		free(one);
		text += len + (end ? 3 : 0);
	}
}

#endif
