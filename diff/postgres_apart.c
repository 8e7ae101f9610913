// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_apart.c - NoticeResponse, ParameterStatus and NotificationResponse: servers send them when they see fit.
 *
 * Each kind is a sequence of its own. What an instance has sent and others have not is kept, within a bound; when all
 * have it and it is the same, instance 0's goes to the client. One that is still alone when the next request was
 * answered is a difference.
 */
#include <errno.h>
#include <stdlib.h>

#include "postgres_session.h"

int rddr_pg_queue_put(struct pg_queue *q, struct slice bytes)
{
	if (!bytes.len)
		return 0;
	if (q->from + q->len + bytes.len > q->room) {
		size_t room = (q->len + bytes.len) * 2;
		uint8_t *more = malloc(room);

		if (!more)
			return -ENOMEM;
		if (q->len)
			memcpy(more, q->bytes + q->from, q->len);
		free(q->bytes);
		q->bytes = more;
		q->room = room;
		q->from = 0;
	}
	memcpy(q->bytes + q->from + q->len, bytes.data, bytes.len);
	q->len += bytes.len;
	return 0;
}

void rddr_pg_queue_drop(struct pg_queue *q, size_t len)
{
	q->from += len;
	q->len -= len;
	if (!q->len)
		rddr_pg_queue_free(q);
}

void rddr_pg_queue_free(struct pg_queue *q)
{
	free(q->bytes);
	*q = (struct pg_queue){0};
}

static unsigned queue_of(char type)
{
	if (type == 'N')
		return PG_NOTICES;
	return type == 'S' ? PG_SETTINGS : PG_NOTIFICATIONS;
}

bool rddr_pg_is_own(const struct pg_session *s, unsigned i, const struct pg_message *m)
{
	const struct pg_instance *in = &s->instance[i];

	return m->type == 'A' && in->has_key && m->body.len >= 4 && memcmp(m->body.data, in->key, 4) == 0;
}

/* Whether the first that each has kept say the same. */
static bool agree(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	unsigned own[RDDR_MAX_INSTANCES] = {0};
	struct pg_place place;

	for (unsigned i = 0; i < s->n; i++)
		own[i] = pg_present(call, i) && rddr_pg_is_own(s, i, &m[i]);
	for (unsigned i = 1; i < s->n; i++) {
		if (!pg_present(call, i))
			continue;
		if (!rddr_pg_same(s, i, &m[i], 0, &m[0], &place)) {
			rddr_pg_find_place(s, call, i, 0, m, &place);
			return false;
		}
		if (own[i] == own[0])
			continue;
		place = (struct pg_place){
			.what = "a notification of the client's own at one, of another's at the other"};
		rddr_pg_find_place(s, call, i, 0, m, &place);
		call->result->finding.alone = rddr_pg_alone(call, own);
		return false;
	}
	return true;
}

/* What all have sent of that kind. */
static int let_out(struct pg_session *s, struct pg_call *call, unsigned kind)
{
	for (;;) {
		struct pg_message m[RDDR_MAX_INSTANCES] = {0};

		for (unsigned i = 0; i < s->n; i++) {
			const struct pg_queue *q = &s->instance[i].apart[kind];

			if (pg_present(call, i) && rddr_pg_read(rddr_pg_queue_all(q), &m[i]) != PG_READ_OK)
				return PG_APART_OK;
		}
		if (!agree(s, call, m))
			return PG_APART_DIVERGE;
		s->waits[kind] = 0;
		if (!rddr_pg_write(s, call, m)) {
			rddr_pg_find_nobody(s, call, 0, "out of memory");
			return PG_APART_DIVERGE;
		}
		for (unsigned i = 0; i < s->n; i++) {
			if (pg_present(call, i))
				rddr_pg_queue_drop(&s->instance[i].apart[kind], m[i].whole);
		}
	}
}

bool rddr_pg_apart_fits(const struct pg_session *s, unsigned i, const struct pg_message *m)
{
	return s->instance[i].apart[queue_of(m->type)].len + m->whole <= PG_APART_MOST;
}

enum rddr_verdict rddr_pg_apart_full(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	unsigned has[RDDR_MAX_INSTANCES];

	/* Where most have sent some, it is the one that has not that keeps them. */
	for (unsigned k = 0; k < s->n; k++)
		has[k] = s->instance[k].apart[queue_of(m->type)].len > 0;
	rddr_pg_find(s, call, i, i == 0 && s->n > 1, "more of %s than can be held that the others have not sent",
		     rddr_pg_answer_name(m->type));
	call->result->finding.alone = rddr_pg_alone(call, has);
	return RDDR_DIVERGE;
}

int rddr_pg_apart(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	unsigned kind = queue_of(m->type);
	struct pg_queue *q = &s->instance[i].apart[kind];
	const struct slice whole = slice_cut(pg_rest(call, i), 0, m->whole);

	if (!rddr_pg_apart_fits(s, i, m) || rddr_pg_queue_put(q, whole) < 0) {
		rddr_pg_apart_full(s, call, i, m);
		return PG_APART_DIVERGE;
	}
	return let_out(s, call, kind);
}

int rddr_pg_apart_answered(struct pg_session *s, struct pg_call *call)
{
	for (unsigned kind = 0; kind < PG_QUEUES; kind++) {
		unsigned with = s->n, without = 0, has[RDDR_MAX_INSTANCES] = {0};
		struct pg_message m;

		for (unsigned i = 0; i < s->n; i++) {
			if (!pg_present(call, i))
				continue;
			has[i] = s->instance[i].apart[kind].len > 0;
			if (has[i])
				with = i;
			else
				without = i;
		}
		if (with == s->n) {
			s->waits[kind] = 0;
			continue;
		}
		if (++s->waits[kind] < 2)
			continue;
		rddr_pg_read(rddr_pg_queue_all(&s->instance[with].apart[kind]), &m);
		rddr_pg_find(s, call, with, without, "%s, which the other has not sent", rddr_pg_answer_name(m.type));
		call->result->finding.alone = rddr_pg_alone(call, has);
		return PG_APART_DIVERGE;
	}
	return PG_APART_OK;
}
