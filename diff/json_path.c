/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_path.h"

#include <stdio.h>

#include "spans.h"

static void put(char *buf, size_t size, size_t *at, const char *text, size_t len)
{
	for (size_t i = 0; i < len && *at + 1 < size; i++)
		buf[(*at)++] = text[i];
}

void rddr_json_pointer(const struct slice path[], unsigned depth, char *buf, size_t size)
{
	size_t at = 0;

	for (unsigned i = 0; i < depth; i++) {
		put(buf, size, &at, "/", 1);
		for (size_t k = 0; k < path[i].len; k++) {
			uint8_t c = path[i].data[k];

			if (c == '~' || c == '/')
				put(buf, size, &at, c == '~' ? "~0" : "~1", 2);
			else
				put(buf, size, &at, c < ' ' || c == 0x7f ? "?" : (const char *)&path[i].data[k], 1);
		}
	}
	/* Not in the middle of a character. */
	while (at + 1 == size && at > 0 && ((uint8_t)buf[at - 1] & 0x80)) {
		bool lead = (uint8_t)buf[--at] >= 0xc0;

		if (lead)
			break;
		size--;
	}
	buf[at] = '\0';
}

void rddr_json_put_key(struct json_trail *trail, struct slice path[], unsigned depth, struct slice key)
{
	path[depth] = key;
	if (trail->known > depth)
		trail->known = depth;
}

void rddr_json_field(struct json_trail *trail, const struct slice path[], unsigned depth, char field[256])
{
	int len;

	trail->hash[0] = rddr_spans_seed();
	for (; trail->known < depth; trail->known++) {
		unsigned i = trail->known;

		trail->hash[i + 1] = rddr_spans_hash(rddr_spans_hash(trail->hash[i], slice_of("/")), path[i]);
		trail->len[i + 1] = trail->len[i] + 1 + 2 * path[i].len;
	}
	if (trail->len[depth] > 200) {
		snprintf(field, 256, "json:#%016llx", (unsigned long long)trail->hash[depth]);
		return;
	}
	len = snprintf(field, 256, "json:");
	rddr_json_pointer(path, depth, field + len, 256 - (size_t)len);
}
