/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * upload.c - answers that come before the lone end has said everything.
 *
 * Who has not been sent a whole request yet is not late with its answer. Who has answered and takes nothing more of the
 * request holds nobody up: it gets no more of it. And when all have answered for good (host->part) the lone end is told
 * so at once; what it still says goes to whoever takes it, and when nobody does it is thrown away.
 */
#include "log.h"
#include "metrics.h"
#include "session.h"
#include "worker.h"

static bool takes(const struct endpoint *ep)
{
	return ep->state == ENDPOINT_OPEN && !ep->broken;
}

/* Takes nothing, though it has spoken and we have read all of that. */
static bool is_deaf(const struct rddr_session *s, const struct endpoint *ep)
{
	return takes(ep) && ep->out.bytes && !rddr_endpoint_withheld(ep) && !ep->readable &&
	       (s->parting || rddr_stream_unconsumed(&ep->in) || ep->in.end != RDDR_END_OPEN);
}

static uint64_t last_progress(const struct rddr_session *s)
{
	uint64_t last = s->parted;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->many[i].sent_at > last)
			last = s->many[i].sent_at;
	}
	return last;
}

void rddr_upload_note(struct rddr_session *s, bool incomplete)
{
	s->owes = incomplete;
	s->framed |= incomplete;
}

void rddr_upload_part(struct rddr_session *s)
{
	/* In report mode how the lone end is answered is instance 0's matter. */
	if (rddr_session_reports(s))
		return;
	s->parting = s->many_done = s->lone.end_wanted = true;
	s->parted = rddr_loop_now(s->worker->loop);
	s->waiting = 0;
	rddr_session_arm(s);
}

bool rddr_upload_excuses(struct rddr_session *s)
{
	uint64_t now = rddr_loop_now(s->worker->loop), since = s->owes ? now : 0;

	if (!s->framed || rddr_session_reports(s))
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];

		if (!takes(ep) || rddr_stream_unconsumed(&ep->in) || ep->in.end != RDDR_END_OPEN)
			continue;
		if (ep->out.bytes && now - ep->sent_at >= s->service->deadlines.skew)
			return false;
		if (ep->sent_at > since)
			since = ep->sent_at;
	}
	if (since <= s->waiting)
		return false;
	s->waiting = since;
	return true;
}

uint64_t rddr_upload_deadline(const struct rddr_session *s)
{
	uint64_t when = UINT64_MAX, linger = s->service->deadlines.linger;

	if ((!s->owes && !s->parting) || rddr_session_reports(s))
		return when;
	for (unsigned i = 0; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];

		if (is_deaf(s, ep) && ep->sent_at + linger < when)
			when = ep->sent_at + linger;
	}
	if (s->parting && last_progress(s) + linger < when)
		when = last_progress(s) + linger;
	return when;
}

void rddr_upload_expired(struct rddr_session *s)
{
	uint64_t now = rddr_loop_now(s->worker->loop), linger = s->service->deadlines.linger;

	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (!is_deaf(s, ep) || now < ep->sent_at + linger)
			continue;
		log_info("session: an instance takes nothing more of a request that it has answered service=%s "
			 "session=%llu "
			 "instance=%s",
			 s->service->name, (unsigned long long)s->id, s->service->instances[i].name);
		rddr_replay_forget(ep);
		rddr_outq_clear(&ep->out);
		ep->broken = true;
		s->stirred = true;
		rddr_metrics_count(s->service->metrics, METRIC_uploads_cut);
	}
	/* Makes room to read on. */
	rddr_fanout_reclaim(s);
	s->finish_wanted |= s->parting && now >= last_progress(s) + linger;
}

bool rddr_upload_over(const struct rddr_session *s)
{
	bool taken = false, delivered = true;

	if (!s->parting || s->lone.out.bytes || !s->lone.end_sent)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		taken |= takes(&s->many[i]);
		delivered &= !takes(&s->many[i]) || !s->many[i].out.bytes;
	}
	return !taken || (!s->owes && delivered);
}

bool rddr_upload_to_nobody(const struct rddr_session *s)
{
	if (!s->many_done || s->lone.out.bytes || !s->lone.end_sent)
		return false;
	for (unsigned i = 0; i < (rddr_session_reports(s) ? 1 : s->n); i++) {
		if (s->many[i].state != ENDPOINT_CLOSED && !s->many[i].broken)
			return false;
	}
	return true;
}

bool rddr_upload_discard(struct rddr_session *s)
{
	bool moved = false;

	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->state != ENDPOINT_OPEN || !ep->readable || ep->in.end != RDDR_END_OPEN)
			continue;
		moved |= rddr_endpoint_read(ep, rddr_session_high_water(s), SESSION_TURN) > 0 ||
			 ep->in.end != RDDR_END_OPEN;
		ep->in.consumed = ep->in.released = rddr_stream_received(&ep->in);
		/* The lone end may still be sent of what instance 0 said before. */
		if (i > 0)
			rddr_endpoint_reclaim(ep, ep->in.consumed);
	}
	return moved;
}
