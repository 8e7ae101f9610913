// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_lead.c - requests, and the order in which instances are asked.
 *
 * A request is what a ReadyForQuery answers: a Query, a FunctionCall, or messages of the extended protocol up to Sync.
 * With `order: leader` the others get a request when the leader's answer to it is there: its ReadyForQuery, or what a
 * Flush asks for. They get it earlier where the leader's answer is longer than what can be held, where it waits for
 * COPY data, and where it failed with more of the request to come. They do not get it where the leader is lost with
 * it: nobody knows what the leader has done of it, and what the others have not done can be done again.
 */
#include <stdlib.h>

#include "pg_sql.h"
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
	r->begin = s->passed;
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
	if (s->leading && !s->lost)
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
			/* It asks for nothing in front of the first, and for nothing yet while an earlier one is
			 * answered.
			 */
			if (r == asked(s) && r->flush_needs && r->answers >= r->flush_needs)
				follow(s, r->flush);
		}
	}
	if (s->copying && (type == 'c' || type == 'f')) {
		/* What COPY is to do it does now: the leader first. */
		s->copying = s->free = false;
		if (r && r == asked(s) && r->ended)
			r->end = s->passed;
	}
	if (s->free)
		follow(s, s->passed);
	follow_terminate(s);
}

/* The leader's ReadyForQuery. */
static void answered(struct pg_session *s)
{
	const struct pg_request *r = asked(s);

	s->free = s->copying = false;
	/* The last one may go on: what follows COPY data belongs to it. */
	if (!r || (!r->ended && s->answered + 1 == s->count)) {
		follow(s, s->passed);
		return;
	}
	follow(s, r->ended ? r->end : s->passed);
	s->answered++;
	follow_terminate(s);
}

/* ---- the leader is lost ---- */

/* It ends the session with that error. */
static bool is_fatal(struct slice error)
{
	struct slice severity = rddr_pg_error_field(error, 'V');

	/* Up to 9.5 there is the translated one alone. */
	if (!severity.len)
		severity = rddr_pg_error_field(error, 'S');
	return severity.len && !slice_equal(severity, slice_of("ERROR"));
}

/* Whether enough of an error is there: what it is stands in its first fields. */
static bool is_told(const struct pg_message *m)
{
	return m->complete || m->body.len >= 1024 ||
	       (rddr_pg_error_field(m->body, 'V').len && rddr_pg_error_field(m->body, 'C').len);
}

/* A client may have each instance end its session. */
static bool ends_itself(const struct pg_session *s, const struct pg_request *r)
{
	return s->status == 'I' && r->ended && !r->commits && r->executes < 2 &&
	       rddr_pg_sql_names((struct slice){(const uint8_t *)r->text, r->text_len}, "pg_terminate_backend");
}

/* The leader ends; with an error that is fatal (code), or without a word. */
static void lose(struct pg_session *s, const struct pg_request *r, struct slice code)
{
	/* Of what has no end yet nothing is committed, unless it says so itself. */
	if (!r || r->terminate || (!r->ended && !r->commits) || (code.len && ends_itself(s, r))) {
		follow(s, r && r->ended ? r->end : s->passed);
		return;
	}
	if (!s->host->withholds(s->handle) || s->lost)
		return;
	s->lost = true;
	if (code.len == 5)
		memcpy(s->lost_code, code.data, 5);
}

enum rddr_verdict rddr_pg_lead_lost(struct pg_session *s, struct pg_call *call)
{
	const char *what = s->unsent ? "was cancelled in" : "ended in";

	for (unsigned k = 1; k < call->n; k++) {
		if (pg_present(call, k))
			return rddr_pg_find(s, call, 0, k, "it %s what the others have not been sent%s%s", what,
					    s->lost_code[0] ? ": " : "", s->lost_code);
	}
	return rddr_pg_moved(call);
}

/* ---- its answers ---- */

static void scan_error(struct pg_session *s, struct pg_request *r, const struct pg_message *m)
{
	struct slice code = rddr_pg_error_field(m->body, 'C');
	bool only = s->count == 1 && !s->fe_left;

	if (is_fatal(m->body)) {
		lose(s, r, code.len ? code : slice_of("?"));
		return;
	}
	if (slice_equal(code, slice_of("57014")) && rddr_pg_cancel_early(s, r, only))
		return;
	r->failed = true;
	s->free |= !r->ended;
	follow(s, r->ended ? r->end : s->passed);
}

static void scan_message(struct pg_session *s, const struct pg_message *m)
{
	struct pg_request *r = asked(s);

	if (m->type == 'Z') {
		s->status = m->body.len ? (char)m->body.data[0] : 'I';
		answered(s);
		return;
	}
	if (!r)
		return;
	if (m->type == 'G' || m->type == 'W') {
		/* It takes no notice of a Sync that came before the data; another one follows them. */
		r->ended &= !r->extended;
		s->free = true;
		s->copying = m->type == 'G';
		follow(s, s->passed);
	} else if (m->type == 'E') {
		scan_error(s, r, m);
	} else if (m->type && strchr("123nTCIs", m->type)) {
		r->answers++;
		if (r->flush_needs && r->answers >= r->flush_needs)
			follow(s, r->flush);
	}
}

/* A verdict on what is incomplete waits anyway; but for these what they say is needed. */
static bool waits_for_more(const struct pg_message *m)
{
	return m->type == 'E' ? !is_told(m) : m->type == 'Z' && !m->complete;
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
			if (rddr_pg_read(rest, &m) != PG_READ_OK || waits_for_more(&m))
				break;
			step = m.complete ? m.whole : rest.len;
			s->scan_left = m.whole - step;
			scan_message(s, &m);
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
		lose(s, asked(s), (struct slice){0});
}

void rddr_pg_lead_consumed(struct pg_session *s, size_t len)
{
	s->scanned -= len < s->scanned ? len : s->scanned;
}

void rddr_pg_lead_compared(struct pg_session *s, char type)
{
	if (type && strchr("123nTCIs", type))
		s->compared++;
	else if (type == 'E')
		s->compared_failed = true;
}

void rddr_pg_lead_done(struct pg_session *s)
{
	if (!s->count || (!request_at(s, 0)->ended && s->count == 1))
		return;
	s->compared = 0;
	s->compared_failed = false;
	s->first = (s->first + 1) % s->room;
	s->count--;
	if (s->answered)
		s->answered--;
}
