// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_cancel.c - keys that a client shows to have its statement cancelled.
 *
 * Each instance gives out a key of its own, which cannot be compared; the client gets one that is drawn here. Its
 * process number is a positive one, and stands in the client's own notifications, too. A request to cancel comes on a
 * connection of its own, perhaps to another worker: the keys are in a table that all sessions of the service share.
 *
 * With `order: leader` the leader may be cancelled before the others have been sent the statement. They would do it
 * all, so they are not sent it at all any more.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "postgres_session.h"

#define SECRET_TRIES 4
/* The longest that a session's key is remembered, in seconds. */
#define KEY_LIFE (30u * 24 * 3600)
/* How long a request to cancel takes to show in an answer. */
#define MARK_LIFE 60u

bool rddr_pg_cancel_remember(struct pg_session *s)
{
	uint8_t all[RDDR_MAX_INSTANCES * 8] = {0}, other[RDDR_MAX_INSTANCES * 8];

	for (unsigned i = 0; i < s->n; i++)
		memcpy(all + (size_t)8 * i, s->instance[i].key, 8);
	if (s->reports) {
		/* The client was told by instance 0. */
		memcpy(s->client_key, s->instance[0].key, 8);
		s->keyed = s->host->table_put(s->keys, s->client_key, 8, all, (size_t)8 * s->n, KEY_LIFE);
		return s->keyed;
	}
	for (int tries = 0; tries < SECRET_TRIES; tries++) {
		size_t len = sizeof(other);

		if (getrandom(s->client_key, 8, 0) != 8)
			return false;
		s->client_key[0] &= 0x7f;
		s->client_key[3] |= 1;
		if (s->host->table_get(s->keys, s->client_key, 8, other, &len))
			continue;
		s->keyed = s->host->table_put(s->keys, s->client_key, 8, all, (size_t)8 * s->n, KEY_LIFE);
		return s->keyed;
	}
	return false;
}

void rddr_pg_cancel_forget(struct pg_session *s)
{
	/* An entry of one byte is no key. */
	if (s->keyed)
		s->host->table_put(s->keys, s->client_key, 8, "", 1, 1);
	s->keyed = false;
}

bool rddr_pg_cancel_knows(const struct pg_session *s, const uint8_t key[8])
{
	uint8_t all[RDDR_MAX_INSTANCES * 8];
	size_t len = sizeof(all);

	return s->host->table_get(s->keys, key, 8, all, &len) && len == (size_t)8 * s->n;
}

/* That a session was asked to cancel is told to it under its key with a byte more. */
static void mark_of(const uint8_t key[8], uint8_t mark[9])
{
	memcpy(mark, key, 8);
	mark[8] = 'c';
}

static void note_cancel(struct pg_session *s, const uint8_t key[8])
{
	uint8_t mark[9];

	mark_of(key, mark);
	if (s->n > 1)
		s->host->table_put(s->keys, mark, sizeof(mark), "cc", 2, MARK_LIFE);
}

static bool was_cancelled(struct pg_session *s)
{
	uint8_t mark[9], value[2];
	size_t len = sizeof(value);

	mark_of(s->client_key, mark);
	if (!s->keyed || !s->host->table_get(s->keys, mark, sizeof(mark), value, &len) || len != 2)
		return false;
	s->host->table_put(s->keys, mark, sizeof(mark), "", 1, 1);
	return true;
}

bool rddr_pg_cancel_pass(struct pg_session *s, const uint8_t key[8])
{
	static const uint8_t head[8] = {0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e};
	uint8_t all[RDDR_MAX_INSTANCES * 8];
	size_t len = sizeof(all);

	if (!s->host->table_get(s->keys, key, 8, all, &len) || len != (size_t)8 * s->n)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		s->host->segment_own(s->handle, i, head, sizeof(head));
		s->host->segment_own(s->handle, i, all + (size_t)8 * i, 8);
	}
	s->host->count(s->handle, RDDR_COUNTED_CANCELS, 1);
	note_cancel(s, key);
	return true;
}

/* ---- order: leader ---- */

/*
 * It may be answered without the others where it is one statement of which nothing is left, outside of a block, and
 * all that the client has asked for; and where none of the others has got any of it.
 */
bool rddr_pg_cancel_early(struct pg_session *s, struct pg_request *r, bool only)
{
	if (s->reports || !s->leading || !s->host->withholds(s->handle) || !was_cancelled(s))
		return false;
	s->unsent = true;
	if (only && s->status == 'I' && r->ended && !r->lasts && r->executes < 2 && s->passed == r->end &&
	    s->host->unsend(s->handle, r->begin)) {
		s->passed = r->end = r->begin;
		return true;
	}
	/* The leader's part of it is undone by its end. */
	s->lost = true;
	return true;
}

/* In PostgreSQL's own words. */
static void tell_cancelled(struct pg_session *s)
{
	static const char fields[] = "SERROR\0VERROR\0C57014\0Mcanceling statement due to user request\0";
	uint8_t head[PG_HEADER] = {'E'};

	pg_put32(head + 1, (uint32_t)(4 + sizeof(fields)));
	s->host->emit(s->handle, RDDR_LONE, head, sizeof(head));
	/* With the zero behind the last. */
	s->host->emit(s->handle, RDDR_LONE, fields, sizeof(fields));
}

/* The leader is idle again, as the others are. */
static enum rddr_verdict end_cancelled(struct pg_session *s, struct pg_call *call, const struct pg_message *m)
{
	static const uint8_t ready[] = {'Z', 0, 0, 0, 5, 'I'};

	if (m->body.len != 1 || m->body.data[0] != 'I')
		return rddr_pg_lead_lost(s, call);
	s->unsent = false;
	s->statements++;
	s->rows = 0;
	rddr_pg_take_out(s, call, 0, m->whole, false);
	tell_cancelled(s);
	s->host->emit(s->handle, RDDR_LONE, ready, sizeof(ready));
	s->host->count(s->handle, RDDR_COUNTED_UNSENT, 1);
	s->host->log(s->handle, "a request was cancelled before the others were sent it");
	rddr_pg_lead_done(s);
	call->result->boundary = true;
	return rddr_pg_apart_answered(s, call) == PG_APART_OK ? RDDR_AGREE : RDDR_DIVERGE;
}

enum rddr_verdict rddr_pg_cancel_answer(struct pg_session *s, struct pg_call *call)
{
	struct pg_message m;

	while (!s->lost && rddr_pg_read(pg_rest(call, 0), &m) == PG_READ_OK && m.complete) {
		if (m.type == 'Z')
			return end_cancelled(s, call, &m);
		/* Nothing of it has been let out: nobody else has answered. What has nothing to do with it is kept. */
		if (rddr_pg_kind_of_answer(m.type) == PG_APART && m.whole <= PG_APART_MOST &&
		    rddr_pg_apart(s, call, 0, &m) != PG_APART_OK)
			return RDDR_DIVERGE;
		rddr_pg_take_out(s, call, 0, m.whole, false);
	}
	if (s->lost || call->views[0].end != RDDR_END_OPEN)
		return rddr_pg_lead_lost(s, call);
	return rddr_pg_moved(call);
}
