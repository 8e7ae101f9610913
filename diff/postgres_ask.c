/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_ask.c - outgoing services: what the instances ask, compared message by message. One of each is let out,
 * instance 0's, and what differs is let out of none. What an instance says behind a
 * difference is not looked at any more.
 */
#include <stdarg.h>
#include <stdio.h>

#include "noise.h"
#include "postgres_outgoing.h"

/* ---- findings ---- */

static const char *name_of(char type)
{
	static const char *const names[128] = {
		['Q'] = "Query",    ['P'] = "Parse",	['B'] = "Bind",	    ['D'] = "Describe",	    ['E'] = "Execute",
		['C'] = "Close",    ['H'] = "Flush",	['S'] = "Sync",	    ['F'] = "FunctionCall", ['X'] = "Terminate",
		['d'] = "CopyData", ['c'] = "CopyDone", ['f'] = "CopyFail",
	};
	const char *name = (unsigned char)type < 128 ? names[(unsigned char)type] : NULL;

	return name ? name : "a message of a type that no client sends";
}

static void plain(char *out, size_t room, struct slice text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.len && n + 1 < room; i++)
		out[n++] = text.data[i] >= ' ' && text.data[i] < 127 ? (char)text.data[i] : '.';
	out[n] = '\0';
}

static enum rddr_verdict differ(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k, uint32_t alone,
				const char *fmt, ...) __attribute__((format(printf, 6, 7)));

static enum rddr_verdict differ(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k, uint32_t alone,
				const char *fmt, ...)
{
	struct rddr_finding *f = &call->result->finding;
	const struct pg_outgoing *o = s->out;
	va_list args;

	f->instance = i;
	f->other = k;
	f->offset = call->at[i];
	f->alone = alone;
	if (o->text[0] && !s->params->redact)
		snprintf(f->where, sizeof(f->where), "request %llu, behind \"%.70s\"",
			 (unsigned long long)o->requests + 1, o->text);
	else
		snprintf(f->where, sizeof(f->where), "request %llu", (unsigned long long)o->requests + 1);
	va_start(args, fmt);
	vsnprintf(f->why, sizeof(f->why), fmt, args);
	va_end(args);
	return RDDR_DIVERGE;
}

static bool same_bytes(const struct pg_message *a, const struct pg_message *b)
{
	return a->type == b->type && a->whole == b->whole && slice_equal(a->body, b->body);
}

/* The one that says something else than all others, who say the same. */
static uint32_t alone(const struct pg_call *call, const struct pg_message m[])
{
	uint32_t found = RDDR_ALONE_NOBODY;

	for (unsigned i = 0; i < call->n && call->n > 2; i++) {
		unsigned first = i == 0;
		bool stands = pg_present(call, i);

		for (unsigned k = 0; k < call->n && stands; k++) {
			if (k == i)
				continue;
			stands = pg_present(call, k) && !same_bytes(&m[i], &m[k]) && same_bytes(&m[first], &m[k]);
		}
		if (stands)
			found = i + 1;
	}
	return found;
}

/* Two messages that are to say the same, and do not. */
static enum rddr_verdict differ_in(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k,
				   const struct pg_message m[], const char *what)
{
	const struct pg_message *a = &m[i], *b = &m[k];
	const size_t common = a->body.len < b->body.len ? a->body.len : b->body.len;
	size_t at = common ? rddr_noise_alike(a->body.data, b->body.data, common) : 0;
	size_t from = at > 12 ? at - 12 : 0;
	uint32_t odd = alone(call, m);
	char mine[40], its[40];

	/* Noise is what the pair has in common: the third does not. */
	if (odd == RDDR_ALONE_NOBODY && s->filter && call->n == 3 && i == 2)
		odd = 3;
	if (a->type != b->type)
		return differ(s, call, i, k, odd, "%s, where %s was expected", name_of(a->type), name_of(b->type));
	if (s->params->redact)
		return differ(s, call, i, k, odd, "%s: the values differ", name_of(a->type));
	plain(mine, sizeof(mine), slice_cut(a->body, from, SIZE_MAX));
	plain(its, sizeof(its), slice_cut(b->body, from, SIZE_MAX));
	call->result->finding = (struct rddr_finding){0};
	differ(s, call, i, k, odd, "%s: \"%s\", where \"%s\" was expected%s%s", name_of(a->type), mine, its,
	       *what ? ": " : "", what);
	call->result->finding.offset += PG_HEADER + from;
	return RDDR_DIVERGE;
}

/* ---- one message ---- */

static enum rddr_verdict compare(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	unsigned i = 1, k = 0;
	const char *why;

	while (i < call->n && (!pg_present(call, i) || same_bytes(&m[i], &m[0])))
		i++;
	if (i == call->n)
		return RDDR_AGREE;
	if (!s->filter || !strchr("QPB", m[0].type) || !pg_present(call, 1))
		return differ_in(s, call, i, 0, m, "");
	/* Noise is weighed against what earlier calls consumed. */
	if (call->at[0])
		return RDDR_WAIT;
	why = rddr_pg_weigh(s, call, m, &i, &k);
	if (!why)
		return RDDR_AGREE;
	if (i >= call->n || i == k)
		i = k ? 0 : 1;
	return differ_in(s, call, i, k, m, why);
}

static void take(struct pg_session *s, struct pg_call *call, unsigned i, size_t len, bool release)
{
	call->at[i] += len;
	call->result->consumed[i] = call->at[i];
	s->out->taken[i] += len;
	if (i == 0 && release)
		s->host->release(s->handle, len);
	else if (i == 0)
		s->host->discard(s->handle, len);
}

static void note_text(struct pg_outgoing *o, const struct pg_message *m)
{
	struct pg_cursor c = {.left = m->body};

	if (m->type == 'P')
		rddr_pg_take_string(&c);
	plain(o->text, sizeof(o->text), rddr_pg_take_string(&c));
}

static void ask_for(struct pg_session *s, const struct pg_call *call, char kind)
{
	struct pg_outgoing *o = s->out;
	struct pg_asked asked = {.kind = kind, .steps = o->steps};

	for (unsigned i = 0; i < call->n; i++)
		asked.told |= (uint32_t)(o->replied[i] && o->taken[i] <= o->replied[i]) << i;
	o->asked[o->n_asked++] = asked;
	o->requests += kind != 'c';
}

/* A whole message has been let out; its body may not all be here. */
static void account(struct pg_session *s, const struct pg_call *call, const struct pg_message *m)
{
	struct pg_outgoing *o = s->out;

	switch (m->type) {
	case 'Q':
	case 'F':
		ask_for(s, call, m->type);
		break;
	case 'S':
		/* A server that takes CopyData passes over it. */
		if (o->copying)
			break;
		ask_for(s, call, 'S');
		o->open = false;
		break;
	case 'c':
	case 'f':
		if (!o->copying)
			ask_for(s, call, 'c');
		o->copying = false;
		break;
	case 'd':
	case 'H':
	case 'X':
		break;
	default:
		o->open = true;
		break;
	}
}

static enum rddr_verdict take_piece(struct pg_session *s, struct pg_call *call, bool *took)
{
	struct pg_outgoing *o = s->out;
	size_t len = o->piece_left;

	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i) && pg_rest(call, i).len < len)
			len = pg_rest(call, i).len;
	}
	for (unsigned i = 1; i < call->n; i++) {
		if (pg_present(call, i) && len && memcmp(pg_rest(call, i).data, pg_rest(call, 0).data, len) != 0)
			return differ(s, call, i, 0, RDDR_ALONE_NOBODY, "a long message differs");
	}
	for (unsigned i = 0; len && i < call->n; i++) {
		if (pg_present(call, i))
			take(s, call, i, len, true);
	}
	o->piece_left -= len;
	*took = len > 0;
	return RDDR_AGREE;
}

/* Behind a COPY that failed, clients may still be sending; servers pass over it, and so is it here. */
static bool drop_stale_copy(struct pg_session *s, struct pg_call *call)
{
	bool took = false;

	for (unsigned i = 0; i < call->n; i++) {
		struct pg_message m;

		while (pg_present(call, i) && rddr_pg_read(pg_rest(call, i), &m) == PG_READ_OK && m.complete &&
		       (m.type == 'd' || m.type == 'c' || m.type == 'f')) {
			take(s, call, i, m.whole, false);
			took = true;
		}
	}
	return took;
}

/* All have a message. RDDR_WAIT: not yet. */
static enum rddr_verdict heads(struct pg_session *s, struct pg_call *call, struct pg_message m[])
{
	bool waits = false;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		switch (rddr_pg_read(pg_rest(call, i), &m[i])) {
		case PG_READ_MORE:
			waits = true;
			break;
		case PG_READ_BAD:
			return differ(s, call, i, i == 0 && call->n > 1, RDDR_ALONE_NOBODY,
				      "a message of type 0x%02x says it is %d bytes long", (unsigned char)m[i].type,
				      (int)pg_u32(pg_rest(call, i).data + 1));
		case PG_READ_OK:
			if (rddr_pg_known_request(m[i].type))
				break;
			s->host->count(s->handle, RDDR_COUNTED_UNKNOWN, 1);
			return differ(s, call, i, i == 0 && call->n > 1, RDDR_ALONE_NOBODY,
				      "a message of type 0x%02x, which no client sends", (unsigned char)m[i].type);
		}
	}
	return waits ? RDDR_WAIT : RDDR_AGREE;
}

/* It has said goodbye, or says nothing more. */
static bool has_left(const struct pg_call *call, unsigned i, const struct pg_message *m)
{
	return m->type == 'X' || (!m->complete && call->views[i].end != RDDR_END_OPEN);
}

static enum rddr_verdict leave(struct pg_session *s, bool in_order)
{
	s->out->phase = PG_OUT_OVER;
	if (in_order)
		s->host->emit(s->handle, RDDR_LONE, "X\0\0\0\4", 5);
	s->host->finish(s->handle);
	return RDDR_WAIT;
}

/* Somebody has left, and whoever is left would wait in vain. */
static bool is_over(const struct pg_session *s, const struct pg_call *call, const struct pg_message m[])
{
	const struct pg_outgoing *o = s->out;
	unsigned present = 0, gone = 0;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		present++;
		gone += has_left(call, i, &m[i]);
	}
	/* Connections that only hang together, with nothing under way, are closed as pools see fit. */
	return gone == present || (gone && o->sticks && o->status == 'I' && rddr_pg_is_idle(o));
}

static enum rddr_verdict whole(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	struct pg_outgoing *o = s->out;
	bool complete = true, may_piece = !s->filter && strchr("dB", m[0].type);

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		complete &= m[i].complete;
		if (m[i].type != m[0].type || m[i].whole != m[0].whole)
			may_piece = false;
	}
	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i) || m[i].whole <= (may_piece ? PG_PIECES : s->limit))
			continue;
		if (!may_piece)
			return differ(s, call, i, i == 0 && call->n > 1, RDDR_ALONE_NOBODY,
				      "%s of %zu bytes, longer than limits.buffer, which is %zu", name_of(m[i].type),
				      m[i].whole, s->limit);
		/* The names that a Bind begins with have to be there. */
		if (m[i].type == 'B' && m[i].body.len < 1024)
			return RDDR_WAIT;
		o->piece_left = m[0].whole;
	}
	return complete || o->piece_left ? RDDR_AGREE : RDDR_WAIT;
}

static enum rddr_verdict let_out(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	struct pg_outgoing *o = s->out;
	const char *why = rddr_pg_effects_forbid(o, &m[0]);

	if (why)
		return differ(s, call, 0, call->n > 1, RDDR_ALONE_NOBODY, "%s", why);
	if (m[0].type == 'Q' || m[0].type == 'P')
		note_text(o, &m[0]);
	if (m[0].type == 'P' && s->filter) {
		struct pg_cursor c = {.left = m[0].body};

		rddr_pg_take_string(&c);
		rddr_pg_sql_shape(rddr_pg_take_string(&c), &o->shape);
	}
	if (!o->piece_left)
		rddr_pg_effects_said(o, &m[0], pg_rest(call, 0).data);
	for (unsigned i = 0; i < call->n && !o->piece_left; i++) {
		if (pg_present(call, i))
			take(s, call, i, m[i].whole, true);
	}
	account(s, call, &m[0]);
	return RDDR_AGREE;
}

/* In the middle of a message, with nothing of it left. */
static bool somebody_ended(const struct pg_call *call)
{
	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i) && !pg_rest(call, i).len && call->views[i].end != RDDR_END_OPEN)
			return true;
	}
	return false;
}

static enum rddr_verdict step(struct pg_session *s, struct pg_call *call, bool *took)
{
	struct pg_message m[RDDR_MAX_INSTANCES] = {0};
	struct pg_outgoing *o = s->out;
	enum rddr_verdict verdict;

	if (o->piece_left) {
		verdict = take_piece(s, call, took);
		return verdict == RDDR_AGREE && !*took && somebody_ended(call) ? leave(s, false) : verdict;
	}
	*took = rddr_pg_is_idle(o) && drop_stale_copy(s, call);
	if (*took)
		return RDDR_AGREE;
	verdict = heads(s, call, m);
	if (verdict != RDDR_DIVERGE && is_over(s, call, m))
		return leave(s, true);
	if (verdict == RDDR_AGREE)
		verdict = whole(s, call, m);
	if (verdict == RDDR_AGREE && !o->piece_left)
		verdict = compare(s, call, m);
	if (verdict == RDDR_AGREE)
		verdict = let_out(s, call, m);
	*took = verdict == RDDR_AGREE;
	return verdict;
}

enum rddr_verdict rddr_pg_ask(struct pg_session *s, struct pg_call *call)
{
	bool took = true;

	while (took) {
		took = false;
		/* One that would not be known is not let out before others are answered. */
		if (s->out->n_asked >= PG_OUT_ASKED - 1 && !s->out->piece_left) {
			call->result->patient = true;
			break;
		}
		enum rddr_verdict verdict = step(s, call, &took);

		if (verdict == RDDR_DIVERGE)
			return RDDR_DIVERGE;
		if (s->out->phase != PG_OUT_RUN)
			break;
	}
	return rddr_pg_moved(call);
}
