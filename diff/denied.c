/* SPDX-License-Identifier: BSD-2-Clause */
#include "denied.h"

#include <stdio.h>
#include <string.h>

/* One file, nothing from elsewhere: the page has to come out on its own. %1$s: title, %2$s: text, %3$s: reference. */
static const char page[] =
	"<!DOCTYPE html>\n"
	"<html lang=\"en\"><head><meta charset=\"utf-8\"><title>%1$s</title>\n"
	"<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\">\n"
	"<style>body{font:16px/1.5 sans-serif;color:#223;background:#f4f5f7;margin:12vh auto;max-width:34em;padding:0 "
	"1em}\n"
	"svg{width:72px;height:72px}h1{font-size:1.5em;margin:.5em 0}code{background:#e3e6ec;padding:.1em "
	".4em}</style>\n"
	"</head><body>\n"
	"<svg viewBox=\"0 0 48 48\" role=\"img\" aria-label=\"RDDR\"><path d=\"M24 2 42 9v14c0 11-7 19-18 23C13 42 6 "
	"34 6 "
	"23V9z\" fill=\"#28406b\"/><g fill=\"none\" stroke=\"#fff\" stroke-width=\"3\" stroke-linecap=\"round\">"
	"<path d=\"M14 17h9M14 24h9M14 31h5\"/><path d=\"m26 28 8 8m0-8-8 8\" stroke=\"#ff8a65\"/>"
	"<path d=\"M28 17h6\"/></g></svg>\n"
	"<h1>%1$s</h1>\n<p>%2$s</p>\n<p>Reference: <code>%3$s</code></p>\n</body></html>\n";

static const char json[] = "{\"error\":\"%1$s\",\"message\":\"%2$s\",\"reference\":\"%3$s\"}\n";

static const char head[] = "HTTP/1.1 %s\r\n"
			   "Content-Type: %s\r\n"
			   "Content-Length: %zu\r\n"
			   "Cache-Control: no-store\r\n"
			   "X-Content-Type-Options: nosniff\r\n"
			   "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'\r\n"
			   "Connection: close\r\n"
			   "\r\n";

/* The reference is the host's own; whatever else it holds is not for a page. */
static void copy_reference(char *out, size_t room, const char *reference)
{
	size_t n = 0;

	for (; reference && *reference && n + 1 < room; reference++) {
		char c = *reference;

		if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-')
			out[n++] = c;
	}
	out[n] = '\0';
}

size_t rddr_denied_render(const struct denied *d, char out[DENIED_ROOM])
{
	const char *title = d->refused ? "Bad request" : "Access denied";
	const char *text = d->refused ? "This request cannot be understood in one way only, so it was not passed on."
				      : "The answer to this request did not pass a security check, so it was withheld.";
	const char *status = d->refused ? "400 Bad Request" : "500 Internal Server Error";
	char reference[64], body[DENIED_ROOM / 2 + 1024];
	int body_len, head_len;

	if (d->unreachable) {
		title = "Not reachable";
		text = "The server that was asked for cannot be reached, or must not be, or its name is not known.";
		status = "502 Bad Gateway";
	}
	copy_reference(reference, sizeof(reference), d->reference);
	body_len = snprintf(body, sizeof(body), d->json ? json : page, title, text, reference);
	head_len = snprintf(out, DENIED_ROOM, head, status, d->json ? "application/json" : "text/html; charset=utf-8",
			    (size_t)body_len);
	if (d->head_only)
		return (size_t)head_len;
	memcpy(out + head_len, body, (size_t)body_len);
	return (size_t)head_len + (size_t)body_len;
}
