/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body_json.c - JSON documents, compared when all are there.
 *
 * Documents that are the same byte for byte are not even read. Others are compared value by value: strings without
 * their escapes, numbers by their exact value, keys in any order. Noise are scalar values of one type, whole; in a
 * string that has blanks in it, spans as in a line. What cannot be read as JSON at any instance is compared as bytes.
 * White space, escapes and the spelling of numbers are not compared, but those that go out have to be regular
 * (json_space.h, json_spell.h).
 *
 * A document longer than the limit goes out in parts as long as all agree on it byte for byte.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "body_kinds.h"
#include "json_compare.h"
#include "json_space.h"

struct json {
	struct body base;
	struct body *bytes; /* once the payloads turned out to be no JSON */
	bool in_parts;	    /* some of it went out */
};

static void json_fini(struct body *b)
{
	struct json *j = (struct json *)b;

	rddr_body_free(&j->bytes);
}

static int json_init(struct body *b)
{
	(void)b;
	return 0;
}

static enum rddr_verdict take(struct body *b, const struct body_view views[], size_t len, struct body_result *result)
{
	for (unsigned i = 0; i < b->conf.n; i++)
		result->consumed[i] = views[i].absent ? 0 : len;
	return len ? RDDR_AGREE : RDDR_WAIT;
}

static enum rddr_verdict go_on_as_bytes(struct json *j, const struct body_view views[], struct body_result *result)
{
	struct body_conf conf = j->base.conf;

	conf.kind = BODY_BYTES;
	if (!j->bytes && rddr_body_new(&conf, &j->bytes) < 0)
		return rddr_body_diverge(result, 0, conf.n > 1, 0, "out of memory");
	return rddr_body_compare(j->bytes, views, conf.n, result);
}

/* Some could be read and some could not: names one of the fewer. */
static enum rddr_verdict diverge_unreadable(const struct json_docs *docs, struct body_result *result)
{
	unsigned bad = docs->n, good = docs->n, balance = 0, present = 0;
	const struct json_doc *doc;

	for (unsigned i = docs->n; i-- > 0;) {
		if (docs->absent >> i & 1)
			continue;
		present++;
		balance += docs->error[i] != 0;
		*(docs->error[i] ? &bad : &good) = i;
	}
	doc = &docs->doc[bad];
	snprintf(result->finding.where, sizeof(result->finding.where), "byte %zu", doc->at);
	if (2 * balance > present)
		return rddr_body_diverge(result, good, bad, 0, "is JSON, where others are not (%s)", doc->why);
	return rddr_body_diverge(result, bad, good, doc->at, "is no JSON: %s", doc->why);
}

/* Reads all. RDDR_AGREE: all are JSON; RDDR_WAIT: none is. */
static enum rddr_verdict read_all(struct json *j, const struct body_view views[], struct json_docs *docs,
				  struct body_result *result)
{
	size_t most = j->base.conf.limit / 4 + 1024;
	unsigned read = 0, failed = 0;

	for (unsigned i = 0; i < docs->n; i++) {
		if (views[i].absent)
			continue;
		docs->error[i] = rddr_json_read((struct slice){views[i].data, views[i].len},
						most < UINT32_MAX ? (uint32_t)most : UINT32_MAX - 1, &docs->doc[i]);
		if (docs->error[i] == -E2BIG || docs->error[i] == -ENOMEM) {
			result->undecided = true;
			snprintf(result->finding.where, sizeof(result->finding.where), "byte %zu", docs->doc[i].at);
			return rddr_body_diverge(result, i, i == 0 && docs->n > 1, docs->doc[i].at,
						 "the JSON document %s", docs->doc[i].why);
		}
		failed += docs->error[i] != 0;
		read += docs->error[i] == 0;
	}
	if (read && failed)
		return diverge_unreadable(docs, result);
	return read ? RDDR_AGREE : RDDR_WAIT;
}

/* What goes out may have irregular white space only where somebody has the same who is not its twin. */
static enum rddr_verdict judge_space(const struct json_docs *docs, struct body_result *result)
{
	unsigned other = docs->filter ? 2 : 1;
	uint64_t hash;

	if ((docs->absent & 1) || docs->n == 1 || rddr_json_space_regular(docs->doc[0].text))
		return RDDR_AGREE;
	hash = rddr_json_space_hash(docs->doc[0].text);
	for (unsigned i = other; i < docs->n; i++)
		if (!(docs->absent >> i & 1) && rddr_json_space_hash(docs->doc[i].text) == hash)
			return RDDR_AGREE;
	snprintf(result->finding.where, sizeof(result->finding.where), "the JSON document");
	return rddr_body_diverge(result, 0, other, 0, "has irregular white space that no other instance has");
}

static enum rddr_verdict compare_documents(struct json *j, const struct body_view views[], struct body_result *result)
{
	struct json_docs *docs = calloc(1, sizeof(*docs));
	enum rddr_verdict verdict;

	if (!docs)
		return rddr_body_diverge(result, 0, j->base.conf.n > 1, 0, "out of memory");
	docs->n = j->base.conf.n;
	docs->absent = rddr_body_absent(&j->base, views);
	docs->filter = rddr_body_filters(&j->base, views);
	rddr_body_unit_begin(&j->base);
	verdict = read_all(j, views, docs, result);
	if (verdict == RDDR_AGREE)
		verdict = rddr_json_compare(&j->base, docs, result);
	if (verdict == RDDR_AGREE)
		verdict = judge_space(docs, result);
	for (unsigned i = 0; i < docs->n; i++)
		rddr_json_free(&docs->doc[i]);
	free(docs);
	if (verdict == RDDR_WAIT)
		return go_on_as_bytes(j, views, result);
	if (verdict == RDDR_DIVERGE)
		return verdict;
	for (unsigned i = 0; i < j->base.conf.n; i++)
		j->base.unit.total[i] = views[i].len;
	return rddr_body_unit_release(&j->base, result);
}

static enum rddr_verdict json_compare(struct body *b, const struct body_view views[], struct body_result *result)
{
	struct json *j = (struct json *)b;
	size_t shortest = SIZE_MAX, longest = 0, alike;
	bool ended = true, stuck = true;

	if (j->bytes)
		return go_on_as_bytes(j, views, result);
	for (unsigned i = 0; i < b->conf.n; i++) {
		if (views[i].absent)
			continue;
		shortest = views[i].len < shortest ? views[i].len : shortest;
		longest = views[i].len > longest ? views[i].len : longest;
		ended &= views[i].ended;
		stuck &= views[i].ended || views[i].len == b->conf.limit;
	}
	if (!stuck)
		return RDDR_WAIT;
	alike = rddr_body_alike(b, views, 0, shortest);
	if (alike == longest) {
		j->in_parts |= !ended;
		return take(b, views, alike, result);
	}
	if (!ended || j->in_parts) {
		snprintf(result->finding.where, sizeof(result->finding.where), "byte %zu", alike);
		return rddr_body_undecided(b, views, result, "the JSON document that differs is longer than the limit");
	}
	return compare_documents(j, views, result);
}

const struct body_ops rddr_body_json_ops = {
	.size = sizeof(struct json),
	.init = json_init,
	.fini = json_fini,
	.compare = json_compare,
};
