/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_correlate.c - the header that says which exchange of the service in front a request of an outgoing service
 * belongs to (diff-params: correlate).
 *
 * An incoming service puts one into each request, with a number that nobody can guess and the same for all instances.
 * They copy it into what they ask of others, where an outgoing service reads it, and takes it out. Nobody but RDDR ever
 * chooses it: what a client sends under that name does not go on, and neither does what an instance answers.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include "http_session.h"

#define ID_BYTES  16
#define ID_DIGITS (2 * ID_BYTES)

_Static_assert(ID_DIGITS < RDDR_CORRELATION, "an id has room at the host");

bool rddr_http_is_correlation(const struct rules_settings *settings, const struct http_header *header)
{
	return settings->correlate[0] && header->kind == HTTP_PLAIN &&
	       slice_equal_nocase(header->name, slice_of(settings->correlate));
}

bool rddr_http_passes_for_correlation(const struct rules_settings *settings, struct slice name)
{
	const char *own = settings->correlate;

	if (!own[0] || strlen(own) != name.len)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t a = rddr_http_fold((uint8_t)own[i]), b = rddr_http_fold(name.data[i]);

		if (a != b)
			return false;
	}
	return true;
}

bool rddr_http_hides_correlation(const struct http *h, const struct http_head *head, const char **why)
{
	for (unsigned i = 0; h->settings->correlate[0] && i < head->n; i++) {
		if (head->headers[i].kind != HTTP_CONNECTION ||
		    !rddr_http_list_has(head->headers[i].value, h->settings->correlate))
			continue;
		*why = "Connection names the header of correlate";
		return true;
	}
	return false;
}

int rddr_http_make_correlation(struct http *h, char line[HTTP_CORRELATION_LINE], size_t *len)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t random[ID_BYTES];
	char id[ID_DIGITS + 1] = "";

	if (getrandom(random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return -EIO;
	for (size_t i = 0; i < sizeof(random); i++) {
		id[2 * i] = digits[random[i] >> 4];
		id[2 * i + 1] = digits[random[i] & 15];
	}
	*len = (size_t)snprintf(line, HTTP_CORRELATION_LINE, "%s: %s\r\n", h->settings->correlate, id);
	h->host->correlate(h->session, id);
	rddr_http_count(h, RDDR_COUNTED_CORRELATED, 1);
	return 0;
}

static bool is_id(struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.data[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
	}
	return value.len == ID_DIGITS;
}

int rddr_http_read_correlation(const struct rules_settings *settings, const struct http_head *head, struct slice *id,
			       const char **why)
{
	*id = (struct slice){0};
	for (unsigned i = 0; settings->correlate[0] && i < head->n; i++) {
		const struct http_header *header = &head->headers[i];

		if (!rddr_http_is_correlation(settings, header))
			continue;
		*why = id->len ? "more than one header of correlate"
			       : "its header of correlate holds nothing of RDDR's";
		if (id->len || !is_id(header->value))
			return -EINVAL;
		*id = header->value;
	}
	return 0;
}

enum rddr_verdict rddr_http_compare_correlations(struct http *h, const struct rddr_view views[],
						 const struct http_head *const heads[], struct rddr_diff_result *result)
{
	struct slice first = {0}, id;
	unsigned of = 0, missing = 0;
	const char *why;

	for (unsigned i = 0; h->settings->correlate[0] && i < h->n; i++) {
		if (!heads[i])
			continue;
		if (rddr_http_read_correlation(h->settings, heads[i], &id, &why) < 0)
			return rddr_http_diverge(h, views, result, i, h->n, "the request", "%s", why);
		missing += !id.len;
		if (id.len && first.len && !slice_equal(id, first))
			return rddr_http_diverge(h, views, result, i, of, "the request",
						 "it belongs to another exchange");
		if (id.len && !first.len) {
			first = id;
			of = i;
		}
	}
	rddr_http_count(h, RDDR_COUNTED_CORRELATED, first.len > 0);
	rddr_http_count(h, RDDR_COUNTED_CORRELATIONS_MISSING, missing);
	return RDDR_AGREE;
}
