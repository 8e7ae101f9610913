/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_parse.h - the heads of HTTP/1 messages, read strictly.
 *
 * llhttp reads a head once it is there as a whole; before that, every line is checked for whatever different servers
 * could read differently: ends of lines that are not CRLF, folded lines, white space around names, control bytes,
 * framing that contradicts itself. What a head says are slices into the caller's bytes.
 */
#ifndef RDDR_HTTP_PARSE_H
#define RDDR_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

#define HTTP_HEADERS_MAX 128

/* How a message's body ends. */
enum http_framing {
	HTTP_NO_BODY,
	HTTP_LENGTH,
	HTTP_CHUNKED,
	HTTP_UNTIL_CLOSE, /* answers alone */
};

enum http_method {
	HTTP_METHOD_OTHER, /* anything that llhttp knows and nothing here depends on */
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_TRACE,
	HTTP_METHOD_CONNECT,
};

/* The headers that decide about framing and connections; what has none of these is plain. */
enum http_kind {
	HTTP_PLAIN,
	HTTP_CONTENT_LENGTH,
	HTTP_TRANSFER_ENCODING,
	HTTP_CONNECTION,
	HTTP_KEEP_ALIVE,
	HTTP_PROXY_CONNECTION,
	HTTP_TE,
	HTTP_TRAILER,
	HTTP_UPGRADE,
	HTTP_HOST,
	HTTP_EXPECT,
	HTTP_CONTENT_ENCODING,
	HTTP_CONTENT_TYPE,
	HTTP_ACCEPT,
	HTTP_ACCEPT_ENCODING,
	HTTP_SET_COOKIE,
	HTTP_WEBSOCKET_EXTENSIONS,
	HTTP_KINDS
};

struct http_header {
	struct slice name, value; /* without white space around the value */
	enum http_kind kind;
};

struct http_head {
	size_t len; /* bytes, with the empty line */
	struct slice method_name, target;
	uint64_t length; /* Content-Length, where there is one */
	enum http_method method;
	unsigned status;
	uint8_t minor; /* of HTTP/1.x: 0 or 1 */
	bool request;
	bool has_length, chunked;
	bool keep_alive; /* as the version and Connection say */
	bool upgrade;	 /* Connection: upgrade and Upgrade */
	bool expects;	 /* Expect: 100-continue */

	uint16_t first[HTTP_KINDS]; /* of each kind but plain: 1 + the index of its first header; 0: there is none */
	unsigned n;
	struct http_header headers[HTTP_HEADERS_MAX];
};

/*
 * Looks for the end of a head. scanned: how much was looked at before, set to how much was now; 0 at the beginning of a
 * head. Returns the head's length with its empty line, 0: it is not complete, or -EINVAL with the reason in why.
 */
int64_t rddr_http_head_end(struct slice bytes, size_t *scanned, const char **why);

/*
 * Reads a whole head: len is what rddr_http_head_end returned. 0, or -EINVAL with the reason, which is a constant
 * text, in why. head is filled as far as it was read, and nothing in it is to be used then.
 */
int rddr_http_read_request(struct slice bytes, struct http_head *head, const char **why);
int rddr_http_read_answer(struct slice bytes, struct http_head *head, const char **why);

/* The header of a kind that comes first; NULL: there is none. */
static inline const struct http_header *rddr_http_header(const struct http_head *head, enum http_kind kind)
{
	return head->first[kind] ? &head->headers[head->first[kind] - 1] : NULL;
}

/* How the body of a request ends. */
static inline enum http_framing rddr_http_request_framing(const struct http_head *head)
{
	if (head->chunked)
		return HTTP_CHUNKED;
	return head->has_length && head->length > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
}

/* How the body of the answer to a request of that method ends. */
enum http_framing rddr_http_answer_framing(const struct http_head *head, enum http_method method);

/* "Not Found"; a text for a status that nobody knows, too. */
const char *rddr_http_reason(unsigned status);

/* Whether a list such as Connection's, or Accept's without its parameters, has that member; case does not matter. */
bool rddr_http_list_has(struct slice list, const char *member);

/* A byte of a header's name as those servers see it that make variables of them: '-' and '_' are one, and so are
 * cases. */
static inline uint8_t rddr_http_fold(uint8_t c)
{
	if (c == '_')
		return '-';
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* What a header of that name decides. */
enum http_kind rddr_http_kind(struct slice name);

/* Whether all bytes may stand in a token (RFC 9110). */
bool rddr_http_is_token(struct slice text);

#endif
