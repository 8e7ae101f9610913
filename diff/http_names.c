/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_names.c - headers' names in the spelling that they usually have: their case is not compared, so that of one
 * instance does not go out where another has a different one.
 */
#include "http_session.h"

/* Those that are not words with a capital in front. */
static const char *const odd[] = {
	"Accept-CH",
	"CF-Ray",
	"Content-DPR",
	"Content-MD5",
	"DNT",
	"ETag",
	"NEL",
	"SOAPAction",
	"Sec-CH-UA",
	"Sec-WebSocket-Accept",
	"Sec-WebSocket-Extensions",
	"Sec-WebSocket-Key",
	"Sec-WebSocket-Protocol",
	"Sec-WebSocket-Version",
	"SourceMap",
	"WWW-Authenticate",
	"X-AspNet-Version",
	"X-AspNetMvc-Version",
	"X-DNS-Prefetch-Control",
	"X-UA-Compatible",
	"X-XSS-Protection",
};

uint8_t *rddr_http_put_usual(uint8_t *at, struct slice name)
{
	bool begins = true;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct slice usual = slice_of(odd[i]);

		if (slice_equal_nocase(usual, name)) {
			memcpy(at, usual.data, usual.len);
			return at + usual.len;
		}
	}
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.data[i];
		bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

		*at++ = !letter ? c : begins ? c & (uint8_t)~0x20 : c | 0x20;
		begins = c == '-';
	}
	return at;
}
