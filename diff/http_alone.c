/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_alone.c - which instance stands alone against the others: for the evidence, once answers are known to differ.
 *
 * Each is left out in turn, and the others are compared on trial: nothing is learnt, charged or counted. Where they
 * agree without exactly one, that is it.
 */
#include "http_session.h"

/* Notes that the others agree without instance i. */
static uint32_t found(uint32_t alone, unsigned i)
{
	return alone == 0 ? i + 1 : RDDR_ALONE_NOBODY;
}

/* Of two, each is without the other. */
static uint32_t result(uint32_t alone, unsigned among)
{
	return alone && among > 2 ? alone : RDDR_ALONE_NOBODY;
}

static bool same_without(const struct rddr_view views[], unsigned n, const uint64_t numbers[], unsigned without)
{
	unsigned first = 0;

	while (first < n && (first == without || !rddr_http_present(&views[first])))
		first++;
	for (unsigned i = first + 1; i < n; i++) {
		if (i != without && rddr_http_present(&views[i]) && numbers[i] != numbers[first])
			return false;
	}
	return true;
}

uint32_t rddr_http_alone_number(const struct rddr_view views[], unsigned n, const uint64_t numbers[])
{
	uint32_t alone = 0;
	unsigned among = 0;

	for (unsigned i = 0; i < n; i++) {
		if (!rddr_http_present(&views[i]))
			continue;
		among++;
		if (same_without(views, n, numbers, i))
			alone = found(alone, i);
	}
	return result(alone, among);
}

uint32_t rddr_http_alone_head(struct http *h, const struct rddr_view views[], const struct http_head *const heads[])
{
	struct rddr_view others[RDDR_MAX_INSTANCES];
	uint32_t alone = 0;
	unsigned among = 0;

	h->trial = true;
	memcpy(others, views, h->n * sizeof(*views));
	for (unsigned i = 0; i < h->n; i++) {
		struct rddr_diff_result ignored = {.size = sizeof(ignored)};
		struct head_plan plan = {0};

		if (!rddr_http_present(&views[i]))
			continue;
		among++;
		others[i] = (struct rddr_view){.end = RDDR_END_ABSENT};
		if (rddr_http_compare_heads(h, others, heads, &plan, &ignored) == RDDR_AGREE)
			alone = found(alone, i);
		others[i] = views[i];
	}
	h->trial = false;
	return result(alone, among);
}

/* Whether these agree in all that is there; false where too little is there to tell. */
static bool bodies_agree(const struct body_conf *conf, struct body_view payloads[])
{
	enum rddr_verdict verdict = RDDR_WAIT;
	struct body_result out;
	struct body *body = NULL;
	bool judged = false;

	if (rddr_body_new(conf, &body) < 0)
		return false;
	do {
		memset(&out, 0, sizeof(out));
		verdict = rddr_body_compare(body, payloads, conf->n, &out);
		for (unsigned i = 0; verdict == RDDR_AGREE && i < conf->n; i++) {
			payloads[i].data =
				payloads[i].len > out.consumed[i] ? payloads[i].data + out.consumed[i] : NULL;
			payloads[i].len -= out.consumed[i];
			judged = true;
		}
	} while (verdict == RDDR_AGREE);
	rddr_body_free(&body);
	return verdict == RDDR_WAIT && judged;
}

uint32_t rddr_http_alone_body(struct http *h, const struct body_view payloads[], const struct body_conf *conf)
{
	struct body_view others[RDDR_MAX_INSTANCES];
	struct body_conf trial = *conf;
	uint32_t alone = 0;
	unsigned among = 0;

	h->trial = true;
	for (unsigned i = 0; i < h->n; i++) {
		if (payloads[i].absent)
			continue;
		among++;
		memcpy(others, payloads, h->n * sizeof(*payloads));
		others[i] = (struct body_view){.absent = true};
		trial.do_filter = conf->do_filter && i > 1;
		if (bodies_agree(&trial, others))
			alone = found(alone, i);
	}
	h->trial = false;
	return result(alone, among);
}
