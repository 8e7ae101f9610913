/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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
