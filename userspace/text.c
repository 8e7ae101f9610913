/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ESCAPE 4 /* bytes of \xNN */

size_t rddr_text_character(const char *text, size_t len, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *c = (const unsigned char *)text;
	size_t n;

	if (!len)
		return 0;
	if (c[0] < 0x80) {
		*code = c[0];
		return 1;
	}
	n = c[0] >= 0xf0 && c[0] < 0xf8 ? 4 : c[0] >= 0xe0 ? 3 : 2;
	if (c[0] < 0xc0 || c[0] >= 0xf8 || len < n)
		return 0;
	*code = c[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((c[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (c[i] & 0x3fu);
	}
	if (*code < smallest[n] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
		return 0;
	return n;
}

/* Characters that do something to a terminal or to the reader instead of being read. */
static bool acts(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) ||	      /* C0, DEL, C1 */
	       (code >= 0x200b && code <= 0x200f) || code == 0x61c || /* of no width, marks of direction */
	       (code >= 0x2028 && code <= 0x202e) ||		      /* separators of lines, embeddings */
	       (code >= 0x2060 && code <= 0x206f) || code == 0xfeff;
}

static void put_escape(char out[ESCAPE], unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[byte >> 4];
	out[3] = hex[byte & 15];
}

size_t rddr_text_escape(char *out, size_t size, const char *text, size_t len, size_t *used)
{
	size_t at = 0, from = 0;

	while (from < len) {
		uint32_t code = 0;
		size_t n = rddr_text_character(text + from, len - from, &code);
		bool plain = n && !acts(code);
		size_t need;

		n = n ? n : 1;
		need = plain ? n : n * ESCAPE;
		if (need > size - at)
			break;
		if (plain)
			memcpy(out + at, text + from, n);
		for (size_t i = 0; !plain && i < n; i++)
			put_escape(out + at + i * ESCAPE, (unsigned char)text[from + i]);
		at += need;
		from += n;
	}
	if (used)
		*used = from;
	return at;
}

char *rddr_text_escaped(const void *text, size_t len)
{
	char *out = malloc(len * ESCAPE + 1);

	if (out)
		out[rddr_text_escape(out, len * ESCAPE, text, len, NULL)] = '\0';
	return out;
}

void rddr_text_now(char out[RDDR_TEXT_TIME])
{
	struct timespec now;
	struct tm tm;
	char text[80]; /* as wide as the compiler believes that the fields could be */

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900, tm.tm_mon + 1,
		 tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now.tv_nsec / 1000000));
	memcpy(out, text, RDDR_TEXT_TIME - 1);
	out[RDDR_TEXT_TIME - 1] = '\0';
}

char *rddr_text_base64(const void *data, size_t len)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *in = data;
	char *out = malloc((len + 2) / 3 * 4 + 1);
	size_t at = 0;

	if (!out)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		size_t rest = len - i;
		uint32_t v =
			(uint32_t)in[i] << 16 | (rest > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (rest > 2 ? in[i + 2] : 0);

		out[at++] = alphabet[v >> 18];
		out[at++] = alphabet[v >> 12 & 63];
		out[at++] = rest > 1 ? alphabet[v >> 6 & 63] : '=';
		out[at++] = rest > 2 ? alphabet[v & 63] : '=';
	}
	out[at] = '\0';
	return out;
}

/* The digit's value; -1: it is none. */
static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

uint8_t *rddr_text_unbase64(const char *text, size_t *len)
{
	size_t n = strlen(text), digits = n, at = 0;
	uint32_t bits = 0;
	uint8_t *out;

	while (digits && text[digits - 1] == '=')
		digits--;
	if (n % 4 || n - digits > 2)
		return NULL;
	out = malloc(n / 4 * 3 + 1);
	for (size_t i = 0; out && i < digits; i++) {
		int value = base64_value(text[i]);

		if (value < 0) {
			free(out);
			return NULL;
		}
		bits = bits << 6 | (uint32_t)value;
		/* Whole bytes come with every digit but the first of four. */
		if (i % 4)
			out[at++] = (uint8_t)(bits >> (6 - i % 4 * 2));
	}
	if (out)
		*len = at;
	return out;
}
