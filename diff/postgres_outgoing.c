/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_outgoing.c - a session of an outgoing service: it begins and ends at neutral points; postgres_outgoing.h
 * says what of it is where.
 */
#include "postgres_outgoing.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Keys that clients may cancel with, of all sessions of a service. */
#define KEYS 65536

enum rddr_modify rddr_pg_out_reject(struct rddr_modify_result *result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(result->why, sizeof(result->why), fmt, args);
	va_end(args);
	return RDDR_REJECT;
}

void rddr_pg_out_tell(struct pg_session *s, const void *data, size_t len)
{
	for (unsigned i = 0; i < s->n; i++)
		s->host->emit(s->handle, i, data, len);
}

/* ---- what is known of the connection ---- */

bool rddr_pg_out_standing(struct pg_session *s)
{
	struct pg_outgoing *o = s->out;

	if (o->standing)
		return true;
	o->standing = malloc(sizeof(*o->standing));
	if (o->standing && rddr_pg_standing_get(o->standing, s->host, o->standings, o->identity))
		return true;
	free(o->standing);
	o->standing = NULL;
	return false;
}

bool rddr_pg_out_standing_new(struct pg_session *s, struct slice startup, struct slice settings, unsigned method)
{
	struct pg_outgoing *o = s->out;

	if (!o->standing)
		o->standing = malloc(sizeof(*o->standing));
	return o->standing && rddr_pg_standing_set(o->standing, method, startup, settings);
}

void rddr_pg_out_publish(struct pg_session *s, bool on)
{
	struct pg_outgoing *o = s->out;
	uint64_t backend = s->host->marked(s->handle, RDDR_LONE);

	if (on == o->published || (on && !backend))
		return;
	o->published = on;
	for (unsigned i = 0; i < s->n; i++) {
		uint64_t key = s->host->marked(s->handle, i);

		/* An entry of one byte is no key. */
		if (key && on)
			s->host->table_put(o->cancel, &key, sizeof(key), &backend, sizeof(backend), PG_OUT_LIFE);
		else if (key)
			s->host->table_put(o->cancel, &key, sizeof(key), "", 1, 1);
	}
}

void rddr_pg_out_settle(struct pg_session *s)
{
	struct pg_outgoing *o = s->out;

	if (o->sticks || o->status != 'I')
		return;
	if (o->changed) {
		uint64_t identity = rddr_pg_standing_identity(o->standing, s->params);

		if (!rddr_pg_standing_put(o->standing, s->host, o->standings, identity)) {
			o->sticks = true;
			return;
		}
		o->identity = identity;
		o->changed = false;
	}
	rddr_pg_out_publish(s, false);
	s->host->neutral(s->handle, o->identity);
}

/* ---- begin and end ---- */

static int begin_login(struct pg_session *s, const struct rddr_diff_create *args)
{
	struct rddr_diff_create own = *args;

	/* RDDR is between them in report mode, too. */
	own.reports = false;
	s->host->hold(s->handle, true);
	return rddr_pg_auth_new(s->params->auth, &own, &s->out->auth);
}

int rddr_pg_out_create(struct pg_session *s, const struct rddr_diff_create *args)
{
	struct pg_outgoing *o = calloc(1, sizeof(*o));
	int r = 0;

	if (!o)
		return -ENOMEM;
	s->out = o;
	s->phase = PG_PHASE_LOGIN;
	o->alone = args->alone;
	o->identity = args->identity;
	o->status = 'I';
	o->phase = !args->identity ? PG_OUT_ENTER : args->reused ? PG_OUT_RUN : PG_OUT_LOGIN;
	memcpy(o->replied, args->replied, args->instances * sizeof(o->replied[0]));
	o->standings = s->host->table(s->handle, PG_TABLE_STANDINGS, PG_OUT_STANDINGS);
	o->cancel = s->host->table(s->handle, PG_TABLE_CANCEL, KEYS);
	if (s->filter)
		o->noise = s->host->table(s->handle, PG_TABLE_NOISE, PG_OUT_NOISE);
	if (!o->standings || !o->cancel)
		r = -ENOMEM;
	if (r == 0 && o->phase != PG_OUT_RUN)
		r = begin_login(s, args);
	if (r == 0 && o->phase == PG_OUT_LOGIN)
		rddr_pg_auth_again(o->auth);
	if (r < 0)
		rddr_pg_out_destroy(s);
	else if (o->phase == PG_OUT_RUN)
		rddr_pg_out_publish(s, true);
	return r;
}

void rddr_pg_out_destroy(struct pg_session *s)
{
	struct pg_outgoing *o = s->out;

	rddr_pg_out_publish(s, false);
	rddr_pg_auth_free(&o->auth);
	rddr_pg_effects_free(o);
	rddr_pg_queue_free(&o->startup);
	rddr_pg_queue_free(&o->settings);
	free(o->standing);
	free(o);
	s->out = NULL;
}

/* ---- in between ---- */

enum rddr_verdict rddr_pg_out_judge(struct pg_session *s, const struct rddr_view views[], unsigned n,
				    struct rddr_diff_result *result)
{
	struct pg_call call = {.views = views, .n = n, .result = result};
	struct pg_outgoing *o = s->out;
	enum rddr_verdict verdict;

	if (o->auth && !s->params->redact)
		rddr_pg_auth_reveal(o->auth);
	switch (o->phase) {
	case PG_OUT_RUN:
		/* The backend is where the instances believe it to be; what they say goes to it. */
		s->host->hold(s->handle, false);
		verdict = rddr_pg_ask(s, &call);
		if (verdict == RDDR_DIVERGE && !s->reports)
			rddr_pg_out_publish(s, false);
		return verdict;
	case PG_OUT_CANCEL:
	case PG_OUT_OVER:
		result->patient = true;
		return RDDR_WAIT;
	default:
		return rddr_pg_enter_judge(s, &call);
	}
}

enum rddr_modify rddr_pg_out_modify(struct pg_session *s, const struct rddr_view *view,
				    struct rddr_modify_result *result)
{
	struct pg_outgoing *o = s->out;
	enum rddr_modify what = RDDR_MODIFY_HOLD;

	if (o->phase == PG_OUT_CANCEL && o->securing)
		what = rddr_pg_enter_tls(s, view, result);
	else if (o->phase == PG_OUT_CANCEL)
		what = rddr_pg_out_reject(result, "the backend answers a request to cancel");
	else if (o->phase == PG_OUT_RUN)
		what = rddr_pg_relay(s, view, result);
	else if (o->phase != PG_OUT_OVER)
		what = rddr_pg_enter_modify(s, view, result);
	if (what == RDDR_REJECT)
		s->host->count(s->handle, s->fe_unknown ? RDDR_COUNTED_UNKNOWN : RDDR_COUNTED_REJECTED, 1);
	return what;
}

void rddr_pg_out_denial(struct pg_session *s, const void *message, size_t len)
{
	const struct pg_outgoing *o = s->out;

	/* Behind a part of a message nothing can be said. */
	if (!o->part_left && o->phase != PG_OUT_CANCEL && o->phase != PG_OUT_OVER)
		rddr_pg_out_tell(s, message, len);
}
