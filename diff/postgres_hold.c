// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_hold.c - what commits waits until what came before it was compared.
 *
 * A client that does not wait for answers would have its block committed before anybody could say that the instances
 * differ in it. So a Query with COMMIT in it, and an Execute of such a statement, are passed on when all answers to
 * what stands in front of them agree. A server keeps the answers to messages of the extended protocol until it is asked
 * for them: where the client has not done so, RDDR does, by a Flush, which has no answer of its own.
 */
#include "pg_sql.h"
#include "postgres_session.h"

/* A server knows no more of a name. */
#define NAME_MOST 63

static uint8_t worst(uint8_t a, uint8_t b)
{
	return a > b ? a : b;
}

/* ---- statements that have a name ---- */

static uint64_t hash_of(struct slice name)
{
	return rddr_pg_hash(PG_HASH, name.data, name.len < NAME_MOST ? name.len : NAME_MOST);
}

/* Those of which nothing lasts are most of them, and are not kept. */
static void remember(struct pg_session *s, struct slice name, uint8_t lasting)
{
	uint64_t hash = hash_of(name);

	for (unsigned i = 0; i < s->n_names; i++) {
		if (s->names[i].hash == hash) {
			s->names[i].lasting = lasting;
			return;
		}
	}
	if (lasting == PG_LASTING_NOTHING)
		return;
	if (s->n_names == PG_NAMES) {
		s->names_full = true;
		return;
	}
	s->names[s->n_names].hash = hash;
	s->names[s->n_names++].lasting = lasting;
}

static uint8_t recall(const struct pg_session *s, struct slice name)
{
	uint64_t hash = hash_of(name);

	for (unsigned i = 0; i < s->n_names; i++) {
		if (s->names[i].hash == hash)
			return s->names[i].lasting;
	}
	return s->names_full ? PG_LASTING_COMMITS : PG_LASTING_NOTHING;
}

/* ---- what passes ---- */

static void note_parse(struct pg_session *s, struct pg_request *r, struct pg_cursor *c)
{
	struct slice name = rddr_pg_take_string(c), text = c->left;
	const uint8_t *end = c->bad || !text.len ? NULL : memchr(text.data, 0, text.len);

	/* What is not seen whole has no end here. */
	if (end)
		text.len = (size_t)(end - text.data);
	uint8_t lasting = (uint8_t)rddr_pg_sql_lasting(text, !end, true);

	if (c->bad) {
		/* A name that is longer than what is looked at. */
		r->lasts = s->names_full = true;
		return;
	}
	if (name.len) {
		/* The statement itself lasts. */
		r->lasts = true;
		remember(s, name, lasting);
	} else {
		s->statement = lasting;
	}
}

static void note_bind(struct pg_session *s, struct pg_cursor *c)
{
	struct slice portal = rddr_pg_take_string(c), statement = rddr_pg_take_string(c);
	uint8_t lasting = PG_LASTING_COMMITS;

	if (!c->bad)
		lasting = statement.len ? recall(s, statement) : s->statement;
	if (!c->bad && !portal.len)
		s->portal = lasting;
	else
		s->portals = worst(s->portals, lasting);
}

static uint8_t of_portal(const struct pg_session *s, struct slice name)
{
	return name.len && name.data[0] ? s->portals : s->portal;
}

void rddr_pg_hold_note(struct pg_session *s, struct pg_request *r)
{
	struct pg_cursor c = {.left = {(const uint8_t *)s->fe_text, s->fe_text_len}};
	uint8_t lasting = PG_LASTING_NOTHING;

	if (s->n < 2)
		return;
	switch (s->fe_type) {
	case 'Q':
		lasting = (uint8_t)rddr_pg_sql_lasting(s->fe_cut ? c.left : rddr_pg_take_string(&c), s->fe_cut, false);
		break;
	case 'P':
		note_parse(s, r, &c);
		break;
	case 'B':
		note_bind(s, &c);
		break;
	case 'E':
		lasting = of_portal(s, c.left);
		r->executes = r->executes ? 2 : 1;
		break;
	case 'C':
	case 'F':
		r->lasts = true;
		break;
	default:
		break;
	}
	r->lasts |= lasting != PG_LASTING_NOTHING;
	r->commits |= lasting == PG_LASTING_COMMITS;
}

/* ---- what waits ---- */

/* Whether something that was passed on has not been compared. Before the first Execute nothing is done. */
static bool uncompared(const struct pg_session *s)
{
	const struct pg_request *r = rddr_pg_lead_current(s);

	if (!r)
		return false;
	return s->count > 1 || r->ended || (r->executes && r->needs > s->compared && !s->compared_failed);
}

/* Whether it commits. RDDR_MODIFY_WAIT: that cannot be said yet; RDDR_MODIFY_HOLD: it does. */
static enum rddr_modify looks(const struct pg_session *s, struct slice rest, const struct pg_message *m)
{
	size_t body = m->whole - PG_HEADER, most = m->type == 'Q' ? PG_LOOK : 1;
	struct slice seen = slice_cut(rest, PG_HEADER, body < most ? body : most);
	uint8_t lasting;

	if (seen.len < body && seen.len < most)
		return RDDR_MODIFY_WAIT;
	if (m->type == 'Q') {
		struct pg_cursor c = {.left = seen};

		lasting = (uint8_t)rddr_pg_sql_lasting(seen.len < body ? seen : rddr_pg_take_string(&c),
						       seen.len < body, false);
	} else {
		lasting = of_portal(s, seen);
	}
	return lasting == PG_LASTING_COMMITS ? RDDR_MODIFY_HOLD : RDDR_SAME_FOR_ALL;
}

/* The answers to what has been passed on of a request are asked for. */
static void ask_for_answers(struct pg_session *s)
{
	static const uint8_t flush[] = {'H', 0, 0, 0, 4};
	const struct pg_request *r = &s->ring[(s->first + s->count - 1) % s->room];

	if (r->ended || r->needs == r->flush_needs)
		return;
	for (unsigned i = 0; i < s->n; i++)
		s->host->emit(s->handle, i, flush, sizeof(flush));
	s->passed += sizeof(flush);
	rddr_pg_lead_passed(s, 'H');
}

enum rddr_modify rddr_pg_hold(struct pg_session *s, struct slice rest, const struct pg_message *m, bool first)
{
	/* Report mode keeps nobody waiting; and during COPY in it is no statement. */
	if ((m->type != 'Q' && m->type != 'E') || s->n < 2 || s->reports || s->free || !uncompared(s))
		return RDDR_SAME_FOR_ALL;
	enum rddr_modify what = looks(s, rest, m);

	if (what == RDDR_MODIFY_HOLD && first)
		ask_for_answers(s);
	return what;
}
