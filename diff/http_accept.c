/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_accept.c - whether the client would rather have JSON (RFC 9110, section 12.5.1).
 */
#include "http_session.h"

/* Cuts off what stands before the next mark, not looking into quoted strings, and takes off its white space. */
static struct slice next_part(struct slice *rest, uint8_t mark)
{
	size_t len = 0, from = 0, to;
	bool quoted = false;

	for (; len < rest->len && (quoted || rest->data[len] != mark); len++) {
		if (rest->data[len] == '"')
			quoted = !quoted;
		else if (quoted && rest->data[len] == '\\')
			len++;
	}
	to = len < rest->len ? len : rest->len;
	while (from < to && (rest->data[from] == ' ' || rest->data[from] == '\t'))
		from++;
	while (to > from && (rest->data[to - 1] == ' ' || rest->data[to - 1] == '\t'))
		to--;
	struct slice part = slice_cut(*rest, from, to - from);
	*rest = slice_cut(*rest, len < rest->len ? len + 1 : rest->len, SIZE_MAX);
	return part;
}

static bool is_json(struct slice type)
{
	return slice_equal_nocase(type, slice_of("application/json")) ||
	       slice_equal_nocase(type, slice_of("text/json")) ||
	       (type.len > 5 && slice_equal_nocase(slice_cut(type, type.len - 5, 5), slice_of("+json")));
}

/* Whether a weight, "0.5", is one: nothing but zeros is none at all. */
static bool weighs(struct slice weight)
{
	for (size_t i = 0; i < weight.len; i++)
		if (weight.data[i] != '0' && weight.data[i] != '.')
			return true;
	return weight.len == 0;
}

static bool is_wanted(struct slice parameters)
{
	while (parameters.len > 0) {
		struct slice p = next_part(&parameters, ';');

		if (p.len > 1 && (p.data[0] | 0x20) == 'q' && p.data[1] == '=')
			return weighs(slice_cut(p, 2, SIZE_MAX));
	}
	return true;
}

bool rddr_http_accepts_json(const struct http_head *head)
{
	for (unsigned i = 0; head->first[HTTP_ACCEPT] && i < head->n; i++) {
		struct slice list = head->headers[i].value;

		if (head->headers[i].kind != HTTP_ACCEPT)
			continue;
		while (list.len > 0) {
			struct slice member = next_part(&list, ',');

			if (is_json(next_part(&member, ';')) && is_wanted(member))
				return true;
		}
	}
	return false;
}
