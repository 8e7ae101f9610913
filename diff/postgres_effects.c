/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_effects.c - what an exchange leaves behind on the backend's connection, for those that come after it.
 *
 * What a statement would leave behind is told by its text, when it is let out; that it was done, by the backend, which
 * names the kind of each statement that it has done. A kind that leaves something behind, and that no text has
 * announced, makes the connections stick together: what is there cannot be done again elsewhere. Settings are undone
 * with their transaction, prepared statements are not.
 */
#include <stdlib.h>

#include "postgres_outgoing.h"

static void forget(struct pg_pending *p)
{
	free(p->message);
	p->message = NULL;
}

void rddr_pg_effects_free(struct pg_outgoing *o)
{
	for (unsigned i = 0; i < o->n_pending; i++)
		forget(&o->pending[i]);
	for (unsigned i = 0; i < o->n_done; i++)
		forget(&o->done[i]);
	o->n_pending = o->n_done = 0;
}

static void take_away(struct pg_pending list[], unsigned *n, unsigned i)
{
	memmove(&list[i], &list[i + 1], (--*n - i) * sizeof(list[0]));
}

/* ---- what is said ---- */

static void announce(struct pg_outgoing *o, struct pg_pending *p)
{
	if (o->n_pending == PG_OUT_EFFECTS) {
		forget(p);
		o->sticks = true;
		return;
	}
	p->request = o->requests;
	o->pending[o->n_pending++] = *p;
}

/* A Query of that statement alone. NULL: it is too long to be kept, or memory ran out. */
static uint8_t *query_of(struct slice statement, size_t *len)
{
	uint8_t *message;

	*len = PG_HEADER + statement.len + 1;
	message = *len < PG_STANDING_MOST ? malloc(*len) : NULL;
	if (!message)
		return NULL;
	message[0] = 'Q';
	pg_put32(message + 1, (uint32_t)(*len - 1));
	memcpy(message + PG_HEADER, statement.data, statement.len);
	message[*len - 1] = '\0';
	return message;
}

static void announce_statement(struct pg_outgoing *o, struct slice text)
{
	struct pg_statement statement;
	struct pg_pending p = {0};

	rddr_pg_sql_classify(text, &statement);
	if (statement.effect == PG_EFFECT_NONE)
		return;
	p.effect = statement.effect;
	p.resets = statement.resets;
	memcpy(p.name, statement.name, sizeof(p.name));
	if (p.effect == PG_EFFECT_SETTING && !p.resets)
		p.message = query_of(text, &p.len);
	if (p.effect == PG_EFFECT_STICKS || (p.effect == PG_EFFECT_SETTING && !p.resets && !p.message)) {
		o->sticks = true;
		return;
	}
	announce(o, &p);
}

static void announce_text(struct pg_outgoing *o, struct slice text)
{
	struct slice statement;

	while (rddr_pg_sql_statement(&text, &statement))
		announce_statement(o, statement);
}

static void announce_step(struct pg_outgoing *o, struct slice name, bool closes, const uint8_t *whole, size_t len)
{
	struct pg_pending p = {.prepares = !closes, .closes = closes, .step = o->steps, .len = len};

	if (!name.len)
		return;
	if (name.len < sizeof(p.name))
		memcpy(p.name, name.data, name.len);
	p.message = !closes && name.len < sizeof(p.name) && len < PG_STANDING_MOST ? malloc(len) : NULL;
	if (p.message)
		memcpy(p.message, whole, len);
	if (name.len >= sizeof(p.name) || (!closes && !p.message)) {
		forget(&p);
		o->sticks = true;
		return;
	}
	announce(o, &p);
}

void rddr_pg_effects_said(struct pg_outgoing *o, const struct pg_message *m, const uint8_t *whole)
{
	struct pg_cursor c = {.left = m->body};
	struct slice name;

	switch (m->type) {
	case 'Q':
		announce_text(o, rddr_pg_take_string(&c));
		break;
	case 'P':
		o->steps++;
		name = rddr_pg_take_string(&c);
		o->has_unnamed |= !name.len;
		announce_step(o, name, false, whole, m->whole);
		announce_text(o, rddr_pg_take_string(&c));
		break;
	case 'C':
		o->steps++;
		if (rddr_pg_take8(&c) == 'S')
			announce_step(o, rddr_pg_take_string(&c), true, NULL, 0);
		break;
	default:
		break;
	}
}

static bool asks_for_before(struct slice text)
{
	struct slice statement;
	struct pg_statement kind;

	if (!rddr_pg_sql_statement(&text, &statement))
		return false;
	rddr_pg_sql_classify(statement, &kind);
	return kind.remembers;
}

const char *rddr_pg_effects_forbid(const struct pg_outgoing *o, const struct pg_message *m)
{
	static const char remembers[] = "currval and lastval outside of a transaction block: the connection to the "
					"backend is not that of the statement before";
	static const char unnamed[] = "the unnamed prepared statement of an exchange that is over";
	struct pg_cursor c = {.left = m->body};
	bool first = !o->requests && !o->open && !o->sticks;

	switch (m->type) {
	case 'P':
		rddr_pg_take_string(&c);
		/* fall through */
	case 'Q':
		return first && asks_for_before(rddr_pg_take_string(&c)) ? remembers : NULL;
	case 'B':
		rddr_pg_take_string(&c);
		return !rddr_pg_take_string(&c).len && !o->has_unnamed && !o->sticks ? unnamed : NULL;
	case 'D':
		return rddr_pg_take8(&c) == 'S' && !rddr_pg_take_string(&c).len && !o->has_unnamed && !o->sticks
			       ? unnamed
			       : NULL;
	default:
		return NULL;
	}
}

/* ---- what is done ---- */

static void prepare(struct pg_session *s, const struct pg_pending *p)
{
	struct pg_outgoing *o = s->out;
	const struct pg_left_behind left = {
		.kind = PG_LEFT_PREPARED,
		.name = slice_of(p->name),
		.message = {p->message, p->len},
	};

	if (!rddr_pg_out_standing(s)) {
		o->sticks = true;
		return;
	}
	o->changed = true;
	if (p->closes)
		rddr_pg_standing_drop(o->standing, PG_LEFT_PREPARED, left.name);
	else if (!rddr_pg_standing_leave(o->standing, &left))
		o->sticks = true;
}

void rddr_pg_effects_step(struct pg_session *s)
{
	struct pg_outgoing *o = s->out;

	o->steps_done++;
	for (unsigned i = 0; i < o->n_pending; i++) {
		struct pg_pending p = o->pending[i];

		if (!(p.prepares || p.closes) || p.step != o->steps_done)
			continue;
		take_away(o->pending, &o->n_pending, i);
		prepare(s, &p);
		forget(&p);
		return;
	}
}

/* What the backend calls a statement with that effect. */
static bool is_tag_of(const struct pg_pending *p, struct slice tag)
{
	switch (p->effect) {
	case PG_EFFECT_SETTING:
		return slice_equal(tag, slice_of("SET")) || slice_equal(tag, slice_of("RESET"));
	case PG_EFFECT_LOCAL:
		return slice_equal(tag, slice_of("SET"));
	case PG_EFFECT_RESET_ALL:
		return slice_equal(tag, slice_of("RESET"));
	case PG_EFFECT_DISCARD:
		return slice_equal(tag, slice_of("DISCARD ALL"));
	case PG_EFFECT_DEALLOCATE:
		return slice_equal(tag, slice_of("DEALLOCATE")) || slice_equal(tag, slice_of("DEALLOCATE ALL"));
	default:
		return false;
	}
}

static bool leaves_something(struct slice tag)
{
	static const char *const tags[] = {
		"SET", "RESET", "DISCARD ALL", "DEALLOCATE", "DEALLOCATE ALL", "LISTEN", "PREPARE", "LOAD",
	};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		if (slice_equal(tag, slice_of(tags[i])))
			return true;
	}
	return false;
}

void rddr_pg_effects_done(struct pg_outgoing *o, struct slice tag)
{
	/* What was done before that, in the same Query, is gone, and what comes behind it is not. */
	if (o->rolled_back && o->n_done)
		o->sticks = true;
	o->rolled_back = slice_equal(tag, slice_of("ROLLBACK"));
	o->committed |= slice_equal(tag, slice_of("COMMIT"));
	if (!leaves_something(tag))
		return;
	for (unsigned i = 0; i < o->n_pending; i++) {
		struct pg_pending *p = &o->pending[i];

		if (p->request != o->answered || !is_tag_of(p, tag))
			continue;
		if (o->n_done == PG_OUT_EFFECTS) {
			o->sticks = true;
			return;
		}
		o->done[o->n_done++] = *p;
		take_away(o->pending, &o->n_pending, i);
		return;
	}
	o->sticks = true;
}

static void apply(struct pg_session *s, const struct pg_pending *p)
{
	struct pg_outgoing *o = s->out;
	const struct slice none = {0}, name = slice_of(p->name);
	const struct pg_left_behind left = {
		.kind = PG_LEFT_SETTING,
		.name = name,
		.message = {p->message, p->len},
	};

	switch (p->effect) {
	case PG_EFFECT_SETTING:
		if (p->resets)
			rddr_pg_standing_drop(o->standing, PG_LEFT_SETTING, name);
		else
			o->sticks |= !rddr_pg_standing_leave(o->standing, &left);
		break;
	case PG_EFFECT_RESET_ALL:
		rddr_pg_standing_reset(o->standing);
		break;
	case PG_EFFECT_DISCARD:
		rddr_pg_standing_drop(o->standing, PG_LEFT_SETTING, none);
		rddr_pg_standing_drop(o->standing, PG_LEFT_PREPARED, none);
		o->sticks = false;
		break;
	case PG_EFFECT_DEALLOCATE:
		rddr_pg_standing_drop(o->standing, PG_LEFT_PREPARED, name.len ? name : none);
		break;
	default:
		return;
	}
	o->changed = true;
}

/* Outside of a block everything that was done is there, or, if the block was not committed, gone. */
static void settle_done(struct pg_session *s)
{
	struct pg_outgoing *o = s->out;
	bool lost = o->failed || o->rolled_back;

	/* Some of it before a COMMIT in the same Query, and some behind it: who can tell. */
	if (lost && o->committed && o->n_done)
		o->sticks = true;
	if (o->n_done && !lost && !rddr_pg_out_standing(s)) {
		o->sticks = true;
		lost = true;
	}
	for (unsigned i = 0; i < o->n_done; i++) {
		if (!lost)
			apply(s, &o->done[i]);
		forget(&o->done[i]);
	}
	o->n_done = 0;
}

void rddr_pg_effects_ready(struct pg_session *s, char status, uint64_t steps)
{
	struct pg_outgoing *o = s->out;

	for (unsigned i = 0; i < o->n_pending;) {
		if (o->pending[i].request > o->answered) {
			i++;
			continue;
		}
		forget(&o->pending[i]);
		take_away(o->pending, &o->n_pending, i);
	}
	o->steps_done = steps;
	if (status == 'I')
		settle_done(s);
	else if ((o->rolled_back || o->committed) && o->n_done)
		o->sticks = true; /* to a savepoint, or into another block: who knows what is left of it */
	o->failed = o->committed = o->rolled_back = false;
}
