// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_lead.c - requests, and the order in which instances are asked.
 *
 * A request is what a ReadyForQuery answers: a Query, a FunctionCall, or messages of the extended protocol up to Sync.
 * With `order: leader` the others get a request when the leader's answer to it is there: its ReadyForQuery, or what a
 * Flush asks for. They get it earlier where the leader's answer is longer than what can be held, where it waits for
 * COPY data, and where it failed with more of the request to come.
 */
#include <stdlib.h>

#include "postgres_session.h"

/* How much of the leader's answer is waited for. */
#define ANSWER_HELD (32u << 10)

static struct pg_request *request_at(const struct pg_session *s, uint32_t k)
{
	return &s->ring[(s->first + k) % s->room];
}

static bool grow(struct pg_session *s)
{
	uint32_t room = s->room ? s->room * 2 : 4;
	struct pg_request *ring = malloc(room * sizeof(*ring));

	if (!ring)
		return false;
	for (uint32_t k = 0; k < s->count; k++)
		ring[k] = *request_at(s, k);
	free(s->ring);
	s->ring = ring;
	s->room = room;
	s->first = 0;
	return true;
}

struct pg_request *rddr_pg_lead_request(struct pg_session *s, bool *full)
{
	*full = false;
	if (s->count && !request_at(s, s->count - 1)->ended)
		return request_at(s, s->count - 1);
	if (s->count == PG_REQUESTS) {
		*full = true;
		return NULL;
	}
	if (s->count == s->room && !grow(s))
		return NULL;
	struct pg_request *r = request_at(s, s->count++);

	memset(r, 0, offsetof(struct pg_request, text));
	return r;
}

const struct pg_request *rddr_pg_lead_current(const struct pg_session *s)
{
	return s->count ? request_at(s, 0) : NULL;
}

static struct pg_request *asked(const struct pg_session *s)
{
	return s->answered < s->count ? request_at(s, s->answered) : NULL;
}

static void follow(const struct pg_session *s, uint64_t upto)
{
	if (s->leading)
		s->host->follow(s->handle, upto);
}

/* Nothing answers a Terminate. */
static void follow_terminate(const struct pg_session *s)
{
	const struct pg_request *r = asked(s);

	if (r && r->terminate)
		follow(s, r->end);
}

void rddr_pg_lead_passed(struct pg_session *s, char type)
{
	struct pg_request *r = s->count ? request_at(s, s->count - 1) : NULL;

	if (r && !r->ended) {
		r->end = s->passed;
		r->ended = type == 'Q' || type == 'F' || type == 'S' || type == 'X';
		r->extended |= type != 'Q' && type != 'F' && type != 'X';
		r->terminate = type == 'X';
		if (type && strchr("PBDEC", type)) {
			/* Each of these is answered by one message that says it is done. */
			r->needs++;
		} else if (type == 'H') {
			r->flush = s->passed;
			r->flush_needs = r->needs;
			/* It asks for nothing in front of the first, and for nothing yet while an earlier one is answered.
			 */
			if (r == asked(s) && r->flush_needs && r->answers >= r->flush_needs)
				follow(s, r->flush);
		}
	}
	if (s->free)
		follow(s, s->passed);
	follow_terminate(s);
}

/* The leader's ReadyForQuery. */
static void answered(struct pg_session *s)
{
	const struct pg_request *r = asked(s);

	s->free = false;
	/* The last one may go on: what follows COPY data belongs to it. */
	if (!r || (!r->ended && s->answered + 1 == s->count)) {
		follow(s, s->passed);
		return;
	}
	follow(s, r->ended ? r->end : s->passed);
	s->answered++;
	follow_terminate(s);
}

static void scan_message(struct pg_session *s, char type)
{
	struct pg_request *r = asked(s);

	if (type == 'Z') {
		answered(s);
		return;
	}
	if (!r)
		return;
	if (type == 'G' || type == 'W') {
		/* It takes no notice of a Sync that came before the data; another one follows them. */
		r->ended &= !r->extended;
		s->free = true;
		follow(s, s->passed);
	} else if (type == 'E') {
		r->failed = true;
		s->free |= !r->ended;
		follow(s, r->ended ? r->end : s->passed);
	} else if (type && strchr("123nTCIs", type)) {
		r->answers++;
		if (r->flush_needs && r->answers >= r->flush_needs)
			follow(s, r->flush);
	}
}

void rddr_pg_lead_scan(struct pg_session *s, const struct rddr_view *leader)
{
	if (!s->leading)
		return;
	while (s->scanned < leader->len) {
		const struct slice rest = {leader->data + s->scanned, leader->len - s->scanned};
		struct pg_message m;
		size_t step;

		if (s->scan_left) {
			step = s->scan_left < rest.len ? s->scan_left : rest.len;
			s->scan_left -= step;
		} else {
			if (rddr_pg_read(rest, &m) != PG_READ_OK)
				break;
			step = m.complete ? m.whole : rest.len;
			s->scan_left = m.whole - step;
			/* A verdict on what is incomplete waits anyway. */
			scan_message(s, m.type);
		}
		s->scanned += step;
		struct pg_request *r = asked(s);
		if (r) {
			r->shown += step;
			if (r->shown > ANSWER_HELD)
				follow(s, r->ended ? r->end : s->passed);
		}
	}
	if (leader->end != RDDR_END_OPEN)
		follow(s, s->passed);
}

void rddr_pg_lead_consumed(struct pg_session *s, size_t len)
{
	s->scanned -= len < s->scanned ? len : s->scanned;
}

void rddr_pg_lead_done(struct pg_session *s)
{
	if (!s->count || (!request_at(s, 0)->ended && s->count == 1))
		return;
	s->first = (s->first + 1) % s->room;
	s->count--;
	if (s->answered)
		s->answered--;
}
