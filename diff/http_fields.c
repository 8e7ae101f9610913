/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_fields.c - what comparing shows besides the verdict: fields that are noise, and values that the client will send
 * back.
 *
 * Both are kept in tables of the service's, for all of its sessions. A field's entry in the table "noise" is two
 * numbers of 64 bits: when it was last seen (seconds since the epoch) and in how many different seconds it was.
 */
#include <time.h>

#include "http_session.h"

struct seen {
	uint64_t last, count;
};

void rddr_http_count(const struct http *h, enum rddr_counted what, uint64_t n)
{
	if (h->host->count && n > 0 && !h->trial)
		h->host->count(h->session, what, n);
}

void rddr_http_fields_begin(struct http *h)
{
	if (!h->host->table)
		return;
	h->token_table = h->host->table(h->session, "tokens", h->settings->token_max);
	if (h->filter)
		h->noise_table = h->host->table(h->session, "noise", h->settings->noise_max);
}

void rddr_http_fields_end(struct http *h)
{
	if (h->tokens)
		rddr_tokens_free(&h->tokens);
}

struct tokens *rddr_http_tokens(struct http *h, bool to_learn)
{
	const struct tokens_conf conf = {
		.host = h->host,
		.session = h->session,
		.settings = h->settings,
		.n = h->n,
	};

	if (!h->token_table || (!to_learn && h->host->table_count(h->token_table) == 0))
		return NULL;
	if (!h->tokens && rddr_tokens_new(&conf, &h->tokens) < 0)
		return NULL;
	return h->tokens;
}

/* ---- noise ---- */

static bool recall(struct http *h, const char *field, struct seen *seen)
{
	size_t len = sizeof(*seen);

	return h->noise_table && h->host->table_get(h->noise_table, field, strlen(field), seen, &len) &&
	       len == sizeof(*seen);
}

bool rddr_http_was_noise(struct http *h, const char *field)
{
	struct seen seen;

	if (!recall(h, field, &seen))
		return false;
	rddr_http_count(h, RDDR_COUNTED_NOISE_RECALLED, 1);
	return true;
}

static void learn(struct http *h, const struct slice values[], bool is_declared)
{
	/* Whom an outgoing service answers, it answers all alike. */
	struct tokens *tokens = h->outgoing ? NULL : rddr_http_tokens(h, true);

	if (tokens)
		(is_declared ? rddr_tokens_learn_declared : rddr_tokens_learn)(tokens, values);
}

void rddr_http_note_noise(struct http *h, const char *field, const struct slice values[])
{
	struct seen seen = {0};
	uint64_t now = (uint64_t)time(NULL);

	if (h->trial)
		return;
	rddr_http_count(h, RDDR_COUNTED_NOISE_FIELDS, 1);
	/* Writing is the dear part, so once a second does. */
	if (h->noise_table && (!recall(h, field, &seen) || seen.last != now)) {
		seen.last = now;
		seen.count++;
		h->host->table_put(h->noise_table, field, strlen(field), &seen, sizeof(seen), h->settings->noise_ttl);
	}
	if (values)
		learn(h, values, false);
}

void rddr_http_note_declared(struct http *h, const struct field_rule *rule, const struct slice values[])
{
	if (h->trial)
		return;
	rddr_http_count(h, RDDR_COUNTED_RULES_APPLIED, 1);
	if (rule->action == RULE_TOKEN || rule->action == RULE_TRANSLATE)
		learn(h, values, true);
}

/* ---- for comparators ---- */

static bool charge_noise(void *ctx, size_t run)
{
	struct http *h = ctx;

	return h->trial || h->host->charge_noise(h->session, run);
}

static void noise(void *ctx, const char *field, const struct slice values[], unsigned n)
{
	(void)n;
	rddr_http_note_noise(ctx, field, values);
}

static bool was_noise(void *ctx, const char *field)
{
	return rddr_http_was_noise(ctx, field);
}

static bool knows_noise(void *ctx, const char *field)
{
	struct seen seen;

	return recall(ctx, field, &seen);
}

static void declared(void *ctx, const struct field_rule *rule, const char *field, const struct slice values[],
		     unsigned n)
{
	(void)field;
	(void)n;
	rddr_http_note_declared(ctx, rule, values);
}

const struct body_host rddr_http_body_host = {
	.charge_noise = charge_noise,
	.noise = noise,
	.was_noise = was_noise,
	.knows_noise = knows_noise,
	.declared = declared,
};
