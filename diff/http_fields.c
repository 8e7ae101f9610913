/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_fields.c - what comparing shows besides the verdict: fields that are noise, and values that the client will send
 * back.
 */
#include "http_session.h"

bool rddr_http_was_noise(struct http *h, const char *field)
{
	(void)h;
	(void)field;
	return false;
}

void rddr_http_note_noise(struct http *h, const char *field, const struct slice values[])
{
	(void)h;
	(void)field;
	(void)values;
}

void rddr_http_note_declared(struct http *h, const struct field_rule *rule, const struct slice values[])
{
	(void)h;
	(void)rule;
	(void)values;
}

/* ---- for comparators ---- */

static bool charge_noise(void *ctx, size_t run)
{
	struct http *h = ctx;

	return h->host->charge_noise(h->session, run);
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
	.declared = declared,
};
