/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_parse.c - the strict checks that do not depend on who sent the head, and the reading of it by llhttp.
 *
 * The checks come first and know no mercy; llhttp is given only what they let pass, so that a laxness of its own does
 * not matter. It says what the head means.
 */
#include "http_parse.h"

#include <errno.h>
#include <llhttp.h>

#define TOKEN 1 /* may stand in a token */
#define VALUE 2 /* may stand in a header's value */
#define URL   4 /* may stand in a request's target */

static const uint8_t kinds_of_bytes[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['!'] = TOKEN | VALUE | URL,
	['"'] = VALUE,
	['#'] = TOKEN | VALUE,
	['$' ... '\''] = TOKEN | VALUE | URL,
	['(' ... ')'] = VALUE | URL,
	['*' ... '+'] = TOKEN | VALUE | URL,
	[','] = VALUE | URL,
	['-' ... '.'] = TOKEN | VALUE | URL,
	['/'] = VALUE | URL,
	['0' ... '9'] = TOKEN | VALUE | URL,
	[':' ... ';'] = VALUE | URL,
	['<'] = VALUE,
	['='] = VALUE | URL,
	['>'] = VALUE,
	['?' ... '@'] = VALUE | URL,
	['A' ... 'Z'] = TOKEN | VALUE | URL,
	/* Browsers and others send [ ] { } | ^ and ` unescaped; they mean the same everywhere. A backslash does not. */
	['['] = VALUE | URL,
	['\\'] = VALUE,
	[']'] = VALUE | URL,
	['^'] = TOKEN | VALUE | URL,
	['_'] = TOKEN | VALUE | URL,
	['`'] = TOKEN | VALUE | URL,
	['a' ... 'z'] = TOKEN | VALUE | URL,
	['{'] = VALUE | URL,
	['|'] = TOKEN | VALUE | URL,
	['}'] = VALUE | URL,
	['~'] = TOKEN | VALUE | URL,
	[0x80 ... 0xff] = VALUE,
};

static const struct {
	const char *name;
	uint8_t len;
} kind_names[HTTP_KINDS] = {
	[HTTP_PLAIN] = {"", 0},
	[HTTP_CONTENT_LENGTH] = {"Content-Length", 14},
	[HTTP_TRANSFER_ENCODING] = {"Transfer-Encoding", 17},
	[HTTP_CONNECTION] = {"Connection", 10},
	[HTTP_KEEP_ALIVE] = {"Keep-Alive", 10},
	[HTTP_PROXY_CONNECTION] = {"Proxy-Connection", 16},
	[HTTP_TE] = {"TE", 2},
	[HTTP_TRAILER] = {"Trailer", 7},
	[HTTP_UPGRADE] = {"Upgrade", 7},
	[HTTP_HOST] = {"Host", 4},
	[HTTP_EXPECT] = {"Expect", 6},
	[HTTP_CONTENT_ENCODING] = {"Content-Encoding", 16},
	[HTTP_CONTENT_TYPE] = {"Content-Type", 12},
	[HTTP_ACCEPT] = {"Accept", 6},
	[HTTP_ACCEPT_ENCODING] = {"Accept-Encoding", 15},
	[HTTP_SET_COOKIE] = {"Set-Cookie", 10},
	[HTTP_WEBSOCKET_EXTENSIONS] = {"Sec-WebSocket-Extensions", 24},
};

static bool all_of(const uint8_t *at, size_t len, uint8_t kind)
{
	uint8_t missing = 0;

	for (size_t i = 0; i < len; i++)
		missing |= (uint8_t)~kinds_of_bytes[at[i]] & kind;
	return missing == 0;
}

bool rddr_http_is_token(struct slice text)
{
	return text.len > 0 && all_of(text.data, text.len, TOKEN);
}

/* ---- where a head ends ---- */

int64_t rddr_http_head_end(struct slice bytes, size_t *scanned, const char **why)
{
	const uint8_t *line = bytes.data + *scanned, *end = bytes.data + bytes.len, *lf;

	/* A head begins with a method or with "HTTP": anything else, as TLS or an empty line, never becomes one. */
	if (*scanned == 0 && bytes.len > 0 && !(kinds_of_bytes[bytes.data[0]] & TOKEN)) {
		*why = bytes.data[0] == '\r' || bytes.data[0] == '\n' ? "an empty line in front of the head"
								      : "this is not HTTP";
		return -EINVAL;
	}
	while (line < end && (lf = memchr(line, '\n', (size_t)(end - line)))) {
		if (lf == line || lf[-1] != '\r') {
			*why = "a line feed without a carriage return";
			return -EINVAL;
		}
		if (lf == line + 1)
			return lf + 1 - bytes.data;
		line = lf + 1;
		*scanned = (size_t)(line - bytes.data);
	}
	return 0;
}

/* ---- what may stand in it ---- */

/* Names that a server which takes '_' for '-' would read as one that decides about framing. */
static bool looks_like_framing(struct slice name)
{
	static const enum http_kind kinds[] = {HTTP_CONTENT_LENGTH, HTTP_TRANSFER_ENCODING};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		const char *other = kind_names[kinds[k]].name;
		bool same = name.len == kind_names[kinds[k]].len;

		for (size_t i = 0; same && i < name.len; i++)
			same = other[i] == '-' ? name.data[i] == '_' || name.data[i] == '-'
					       : (name.data[i] | 0x20) == (other[i] | 0x20);
		if (same)
			return memchr(name.data, '_', name.len) != NULL;
	}
	return false;
}

static bool check_header_line(struct slice line, const char **why)
{
	const uint8_t *colon = memchr(line.data, ':', line.len);
	struct slice name = slice_cut(line, 0, colon ? (size_t)(colon - line.data) : 0);

	*why = NULL;
	if (line.data[0] == ' ' || line.data[0] == '\t')
		*why = "a folded header line";
	else if (!colon)
		*why = "a header line without a colon";
	else if (name.len > 0 && (name.data[name.len - 1] == ' ' || name.data[name.len - 1] == '\t'))
		*why = "white space between a header's name and its colon";
	else if (!rddr_http_is_token(name))
		*why = "a header name with bytes that no name has";
	else if (!all_of(colon + 1, line.len - name.len - 1, VALUE))
		*why = memchr(line.data, '\r', line.len) ? "a carriage return without a line feed"
							 : "a control byte in a header's value";
	else if (looks_like_framing(name))
		*why = "a header name that some read as one that decides about framing";
	return *why == NULL;
}

static bool check_version(struct slice version)
{
	return version.len == 8 && memcmp(version.data, "HTTP/1.", 7) == 0 &&
	       (version.data[7] == '0' || version.data[7] == '1');
}

/* METHOD SP target SP version, and nothing else. */
static bool check_request_line(struct slice line, const char **why)
{
	const uint8_t *first = memchr(line.data, ' ', line.len);
	const uint8_t *last = memrchr(line.data, ' ', line.len);

	*why = "a request line that is not a method, a target and a version";
	if (!first || first == last || first == line.data || last == first + 1)
		return false;
	if (!all_of(line.data, (size_t)(first - line.data), TOKEN))
		return false;
	if (!all_of(first + 1, (size_t)(last - first - 1), URL)) {
		*why = "a target with bytes that no target has";
		return false;
	}
	if (!check_version(slice_cut(line, (size_t)(last + 1 - line.data), SIZE_MAX))) {
		*why = "a version that is not HTTP/1.0 or HTTP/1.1";
		return false;
	}
	return true;
}

/* version SP status [SP reason] */
static bool check_status_line(struct slice line, const char **why)
{
	*why = "a status line that is not a version, a status and a reason";
	if (line.len < 12 || !check_version(slice_cut(line, 0, 8)) || line.data[8] != ' ')
		return false;
	for (size_t i = 9; i < 12; i++) {
		if (line.data[i] < '0' || line.data[i] > '9')
			return false;
	}
	if (line.data[9] == '0' || line.data[9] > '5')
		return false;
	return line.len == 12 || (line.data[12] == ' ' && all_of(line.data + 13, line.len - 13, VALUE));
}

/* The bytes end with the empty line, and every line with CRLF: rddr_http_head_end saw to that. */
static bool check_lines(struct slice bytes, bool request, const char **why)
{
	const uint8_t *at = bytes.data, *end = bytes.data + bytes.len - 2;
	bool first = true;

	while (at < end) {
		const uint8_t *lf = memchr(at, '\n', (size_t)(end - at));
		struct slice line = {at, (size_t)(lf - 1 - at)};

		if (!(first ? (request ? check_request_line : check_status_line)(line, why)
			    : check_header_line(line, why)))
			return false;
		first = false;
		at = lf + 1;
	}
	return true;
}

/* ---- llhttp ---- */

static struct slice span(const char *at, size_t len)
{
	return (struct slice){(const uint8_t *)at, len};
}

static int on_method(llhttp_t *p, const char *at, size_t len)
{
	((struct http_head *)p->data)->method_name = span(at, len);
	return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
	((struct http_head *)p->data)->target = span(at, len);
	return 0;
}

static int on_field(llhttp_t *p, const char *at, size_t len)
{
	struct http_head *head = p->data;

	if (head->n == HTTP_HEADERS_MAX) {
		llhttp_set_error_reason(p, "more headers than there may be");
		return HPE_USER;
	}
	head->headers[head->n].name = span(at, len);
	head->headers[head->n].value = (struct slice){0};
	return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
	struct http_head *head = p->data;
	struct slice value = span(at, len);

	while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
		value = slice_cut(value, 1, SIZE_MAX);
	head->headers[head->n].value = value;
	return 0;
}

static int on_value_complete(llhttp_t *p)
{
	((struct http_head *)p->data)->n++;
	return 0;
}

/* The head is all that llhttp is given. */
static int on_headers_complete(llhttp_t *p)
{
	struct http_head *head = p->data;

	head->chunked = p->flags & F_CHUNKED;
	head->has_length = p->flags & F_CONTENT_LENGTH;
	head->length = p->content_length;
	head->minor = p->http_minor;
	head->status = p->status_code;
	head->upgrade = (p->flags & F_UPGRADE) && (p->flags & F_CONNECTION_UPGRADE);
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_method = on_method,
	.on_url = on_url,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_header_value_complete = on_value_complete,
	.on_headers_complete = on_headers_complete,
};

static enum http_method method_of(uint8_t method)
{
	switch (method) {
	case HTTP_GET:
		return HTTP_METHOD_GET;
	case HTTP_HEAD:
		return HTTP_METHOD_HEAD;
	case HTTP_OPTIONS:
		return HTTP_METHOD_OPTIONS;
	case HTTP_PUT:
		return HTTP_METHOD_PUT;
	case HTTP_DELETE:
		return HTTP_METHOD_DELETE;
	case HTTP_TRACE:
		return HTTP_METHOD_TRACE;
	case HTTP_CONNECT:
		return HTTP_METHOD_CONNECT;
	default:
		return HTTP_METHOD_OTHER;
	}
}

/* ---- what the headers mean ---- */

enum http_kind rddr_http_kind(struct slice name)
{
	for (unsigned k = HTTP_PLAIN + 1; k < HTTP_KINDS; k++) {
		if (name.len == kind_names[k].len && ((name.data[0] ^ kind_names[k].name[0]) & ~0x20) == 0 &&
		    strncasecmp((const char *)name.data, kind_names[k].name, name.len) == 0)
			return (enum http_kind)k;
	}
	return HTTP_PLAIN;
}

static bool is(struct slice text, const char *word)
{
	return slice_equal_nocase(text, slice_of(word));
}

bool rddr_http_list_has(struct slice list, const char *member)
{
	struct slice word = slice_of(member);

	while (list.len > 0) {
		const uint8_t *comma = memchr(list.data, ',', list.len);
		size_t len = comma ? (size_t)(comma - list.data) : list.len, from = 0, to = len;
		const uint8_t *semicolon = memchr(list.data, ';', len);

		if (semicolon)
			to = (size_t)(semicolon - list.data);
		while (from < to && (list.data[from] == ' ' || list.data[from] == '\t'))
			from++;
		while (to > from && (list.data[to - 1] == ' ' || list.data[to - 1] == '\t'))
			to--;
		if (slice_equal_nocase(slice_cut(list, from, to - from), word))
			return true;
		list = slice_cut(list, comma ? len + 1 : len, SIZE_MAX);
	}
	return false;
}

static bool check_length(struct slice value)
{
	/* More digits than that is more than anybody has, and where implementations begin to overflow. */
	if (value.len == 0 || value.len > 18)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
	}
	return true;
}

/* A Connection header that would make the next one on the way forget what this one went by. */
static bool disowns_framing(struct slice value)
{
	return rddr_http_list_has(value, "content-length") || rddr_http_list_has(value, "transfer-encoding") ||
	       rddr_http_list_has(value, "host");
}

static bool note_connection(struct http_head *head, struct slice value)
{
	if (rddr_http_list_has(value, "close"))
		head->keep_alive = false;
	else if (head->minor == 0 && rddr_http_list_has(value, "keep-alive"))
		head->keep_alive = true;
	return !disowns_framing(value);
}

/*
 * At most one blank in front of the value of what decides about framing, and nothing behind it: there are servers that
 * do not take a tab for white space, or what follows for none of the value, and then do not know the header.
 */
static bool stands_plainly(const struct http_header *h)
{
	const uint8_t *at = h->name.data + h->name.len + 1;

	switch (h->kind) {
	case HTTP_CONTENT_LENGTH:
	case HTTP_TRANSFER_ENCODING:
	case HTTP_CONNECTION:
	case HTTP_UPGRADE:
	case HTTP_HOST:
		/* Every line ends with CRLF, so there is something to look at. */
		at += *at == ' ';
		return (h->value.len == 0 || h->value.data == at) && at[h->value.len] == '\r';
	default:
		return true;
	}
}

/* Goes through the headers once: kinds, and what may come only once, or only in one form. */
static const char *weigh_headers(struct http_head *head)
{
	head->keep_alive = head->minor == 1;
	memset(head->first, 0, sizeof(head->first));
	for (unsigned i = 0; i < head->n; i++) {
		struct http_header *h = &head->headers[i];
		bool again;

		h->kind = rddr_http_kind(h->name);
		if (h->kind == HTTP_PLAIN)
			continue;
		again = head->first[h->kind] != 0;
		if (!again)
			head->first[h->kind] = (uint16_t)(i + 1);
		if (head->request && !stands_plainly(h))
			return "white space around the value of a header that decides about framing";
		if (h->kind == HTTP_CONTENT_LENGTH && again)
			return "more than one Content-Length";
		if (h->kind == HTTP_CONTENT_LENGTH && !check_length(h->value))
			return "a Content-Length that is not a number";
		if (h->kind == HTTP_TRANSFER_ENCODING && again)
			return "more than one Transfer-Encoding";
		if (h->kind == HTTP_TRANSFER_ENCODING && !is(h->value, "chunked"))
			return "a Transfer-Encoding other than chunked";
		if (h->kind == HTTP_HOST && again)
			return "more than one Host";
		if (h->kind == HTTP_EXPECT && again)
			return "more than one Expect";
		if ((h->kind == HTTP_CONTENT_TYPE || h->kind == HTTP_CONTENT_ENCODING) && again)
			return "a header twice that may come once";
		if (h->kind == HTTP_CONNECTION && !note_connection(head, h->value))
			return "a Connection header that names one that decides about framing";
	}
	if (head->first[HTTP_CONTENT_LENGTH] && head->first[HTTP_TRANSFER_ENCODING])
		return "both Content-Length and Transfer-Encoding";
	if (head->first[HTTP_TRANSFER_ENCODING] && head->minor == 0)
		return "Transfer-Encoding in HTTP/1.0";
	return NULL;
}

static int read_head(struct slice bytes, struct http_head *head, bool request, const char **why)
{
	llhttp_t parser;
	llhttp_errno_t err;

	head->len = bytes.len;
	head->request = request;
	head->n = 0;
	head->method_name = head->target = (struct slice){0};
	head->expects = false;
	if (!check_lines(bytes, request, why))
		return -EINVAL;
	llhttp_init(&parser, request ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	parser.data = head;
	err = llhttp_execute(&parser, (const char *)bytes.data, bytes.len);
	if (err != HPE_PAUSED) {
		*why = parser.reason && *parser.reason ? parser.reason : "llhttp does not take it";
		return -EINVAL;
	}
	head->method = request ? method_of(parser.method) : HTTP_METHOD_OTHER;
	*why = weigh_headers(head);
	return *why ? -EINVAL : 0;
}

int rddr_http_read_answer(struct slice bytes, struct http_head *head, const char **why)
{
	return read_head(bytes, head, false, why);
}

/* ---- requests ---- */

/* host[:port], where host is a name, an IPv4 address or an IPv6 address in brackets. */
static bool check_authority(struct slice host)
{
	size_t i = 0;

	if (host.len > 0 && host.data[0] == '[') {
		while (i < host.len && host.data[i] != ']')
			i++;
		if (i == host.len || i < 3)
			return false;
		for (size_t k = 1; k < i; k++) {
			if (!strchr("0123456789abcdefABCDEF:.", host.data[k]) || host.data[k] == '\0')
				return false;
		}
		i++;
	} else {
		while (i < host.len && (kinds_of_bytes[host.data[i]] & URL) && !strchr("/?@:[],;", host.data[i]))
			i++;
	}
	if (i == host.len)
		return true;
	if (host.data[i++] != ':' || host.len - i > 5)
		return false;
	while (i < host.len && host.data[i] >= '0' && host.data[i] <= '9')
		i++;
	return i == host.len;
}

/* The authority of an absolute target; len 0: the target is not absolute. */
static struct slice authority_of(struct slice target)
{
	const uint8_t *colon = memchr(target.data, ':', target.len);
	size_t from = colon ? (size_t)(colon - target.data) : 0, to;

	if (!colon || target.len - from < 3 || colon[1] != '/' || colon[2] != '/')
		return (struct slice){0};
	from += 3;
	for (to = from; to < target.len && !strchr("/?#", target.data[to]);)
		to++;
	return slice_cut(target, from, to - from);
}

static const char *weigh_target(const struct http_head *head)
{
	const struct http_header *host = rddr_http_header(head, HTTP_HOST);
	struct slice target = head->target, authority;

	if (!host && head->minor == 1)
		return "HTTP/1.1 without a Host";
	if (host && !check_authority(host->value))
		return "a Host that is not a host";
	if (head->method == HTTP_METHOD_CONNECT)
		return check_authority(target) && (!host || slice_equal_nocase(target, host->value))
			       ? NULL
			       : "CONNECT to something that is not the Host";
	if (target.data[0] == '/')
		return NULL;
	if (target.len == 1 && target.data[0] == '*')
		return head->method == HTTP_METHOD_OPTIONS ? NULL : "a target * with another method than OPTIONS";
	authority = authority_of(target);
	if (authority.len == 0)
		return "a target that is neither a path nor a URL";
	if (!is(slice_cut(target, 0, (size_t)(authority.data - target.data)), "http://") &&
	    !is(slice_cut(target, 0, (size_t)(authority.data - target.data)), "https://"))
		return "a URL that is not of http";
	if (!host || !slice_equal_nocase(authority, host->value))
		return "a URL with another host than Host";
	return NULL;
}

static const char *weigh_request(struct http_head *head)
{
	const struct http_header *expect = rddr_http_header(head, HTTP_EXPECT);
	const char *why = weigh_target(head);
	bool body = rddr_http_request_framing(head) != HTTP_NO_BODY;

	if (why)
		return why;
	if (expect && !is(expect->value, "100-continue"))
		return "an expectation other than 100-continue";
	head->expects = expect && head->minor == 1;
	if (head->method == HTTP_METHOD_CONNECT && body)
		return "CONNECT with a body";
	if (head->method == HTTP_METHOD_TRACE && body)
		return "TRACE with a body";
	if (head->upgrade && body)
		return "an Upgrade with a body";
	return NULL;
}

int rddr_http_read_request(struct slice bytes, struct http_head *head, const char **why)
{
	int r = read_head(bytes, head, true, why);

	if (r < 0)
		return r;
	*why = weigh_request(head);
	return *why ? -EINVAL : 0;
}

/* ---- answers ---- */

enum http_framing rddr_http_answer_framing(const struct http_head *head, enum http_method method)
{
	if (method == HTTP_METHOD_HEAD || head->status < 200 || head->status == 204 || head->status == 304)
		return HTTP_NO_BODY;
	if (method == HTTP_METHOD_CONNECT && head->status < 300)
		return HTTP_NO_BODY;
	if (head->chunked)
		return HTTP_CHUNKED;
	if (head->has_length)
		return head->length > 0 ? HTTP_LENGTH : HTTP_NO_BODY;
	return HTTP_UNTIL_CLOSE;
}
