/* SPDX-License-Identifier: BSD-2-Clause */
#include "replay.h"

#include "log.h"
#include "metrics.h"
#include "session.h"
#include "worker.h"

static uint64_t now(const struct rddr_session *s)
{
	return rddr_loop_now(s->worker->loop);
}

/* How long a connection has been idle, at a neutral point. */
static uint64_t idle_for(const struct rddr_session *s, const struct endpoint *ep)
{
	uint64_t since = s->neutral_since > ep->replay.opened ? s->neutral_since : ep->replay.opened;

	return now(s) - since;
}

/* What is kept holds the lone end's buffer, and must leave room to read on. */
size_t rddr_replay_limit(const struct rddr_session *s)
{
	size_t most = rddr_session_high_water(s) / 2;

	return s->service->limits.repeat < most ? s->service->limits.repeat : most;
}

void rddr_replay_opened(struct endpoint *ep)
{
	ep->replay.used = ep->replay.reused = ep->replay.armed = false;
	ep->replay.opened = rddr_loop_now(ep->session->worker->loop);
}

void rddr_replay_forget(struct endpoint *ep)
{
	/* What could not be sent was only for the next connection. */
	if (ep->replay.armed && ep->broken)
		rddr_outq_clear(&ep->out);
	ep->replay.armed = ep->replay.reused = false;
	rddr_outq_clear(&ep->replay.kept);
}

void rddr_replay_sent(struct endpoint *ep, size_t len)
{
	ep->replay.used = true;
	if (!ep->replay.armed)
		rddr_outq_sent(&ep->out, len);
	else if (rddr_outq_keep(&ep->out, len, &ep->replay.kept) < 0)
		rddr_replay_forget(ep);
}

/* ---- around a call of modify_traffic ---- */

void rddr_replay_before(struct rddr_session *s)
{
	s->repeat = REPEAT_UNSAID;
	s->unfinished = 0;
	for (unsigned i = 0; s->neutral && i < s->n; i++)
		s->unfinished |= (uint32_t)(s->many[i].out.bytes > 0) << i;
}

void rddr_replay_say(struct rddr_session *s, bool may)
{
	s->repeat = may ? REPEAT_MAY : REPEAT_MAY_NOT;
	for (unsigned i = 0; !may && s->neutral && i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->state != ENDPOINT_OPEN || rddr_stream_unconsumed(&ep->in) ||
		    idle_for(s, ep) < s->service->deadlines.reuse)
			continue;
		/* It is dialled again for what the plugin passes on now. */
		rddr_endpoint_rest(ep);
		s->unfinished &= ~(1u << i);
		rddr_metrics_count(s->service->metrics, METRIC_refreshed);
	}
}

/* Leaves the neutral point with something for instance i. */
static void leave_neutral(struct rddr_session *s, unsigned i)
{
	struct endpoint *ep = &s->many[i];
	struct replay *replay = &ep->replay;

	rddr_replay_forget(ep);
	if (ep->state != ENDPOINT_OPEN || s->repeat == REPEAT_UNSAID || rddr_stream_unconsumed(&ep->in))
		return;
	replay->reused = replay->used || idle_for(s, ep) >= s->service->deadlines.reuse;
	replay->armed = replay->reused && s->repeat == REPEAT_MAY && !(s->unfinished & 1u << i);
	replay->heard = rddr_stream_received(&ep->in);
}

void rddr_replay_after(struct rddr_session *s, size_t consumed)
{
	size_t limit = rddr_replay_limit(s);

	for (unsigned i = 0; consumed && i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (s->neutral)
			leave_neutral(s, i);
		if (ep->replay.armed && (s->repeat != REPEAT_MAY || ep->replay.kept.bytes + ep->out.bytes > limit)) {
			rddr_replay_forget(ep);
			ep->replay.reused = true;
		}
	}
}

/* ---- a connection that ends ---- */

static bool again(struct rddr_session *s, unsigned i)
{
	struct endpoint *ep = &s->many[i];
	struct outq out;

	if (rddr_outq_prepend(&ep->out, &ep->replay.kept) < 0)
		return false;
	out = ep->out;
	ep->out = (struct outq){0};
	rddr_endpoint_rest(ep);
	ep->out = out;

	log_debug("session: a reused connection ended before its answer, asking again service=%s session=%llu "
		  "instance=%s",
		  s->service->name, (unsigned long long)s->id, s->service->instances[i].name);
	rddr_metrics_count(s->service->metrics, METRIC_replays);
	s->replaying |= 1u << i;
	s->stirred = true;
	rddr_session_dial(s, i);
	if (s->phase == SESSION_OPEN)
		rddr_session_arm(s);
	return true;
}

bool rddr_replay_begin(struct rddr_session *s, unsigned i)
{
	struct endpoint *ep = &s->many[i];
	struct replay *replay = &ep->replay;

	if (!replay->reused)
		return false;
	if (rddr_stream_received(&ep->in) != replay->heard) {
		/* Nobody will consume what would end it otherwise. */
		if (!s->comparing)
			rddr_replay_forget(ep);
		return false;
	}
	if (ep->in.end == RDDR_END_OPEN)
		return false;
	if (replay->armed && again(s, i))
		return true;
	rddr_metrics_count(s->service->metrics, METRIC_replays_refused);
	rddr_replay_forget(ep);
	return false;
}

bool rddr_replay_want(struct rddr_session *s, unsigned i)
{
	const struct endpoint *ep;

	if (i >= s->n) {
		s->failed = true;
		return false;
	}
	ep = &s->many[i];
	/* In report mode the lone end has got instance 0's already. */
	if (!ep->replay.armed || ep->in.consumed != ep->replay.heard ||
	    (i == 0 && (rddr_session_reports(s) || ep->in.released != ep->in.consumed)))
		return false;
	s->resend |= 1u << i;
	return true;
}

void rddr_replay_resend(struct rddr_session *s)
{
	for (unsigned i = 0; s->resend && i < s->n && s->phase == SESSION_OPEN; i++) {
		struct stream *in = &s->many[i].in;

		if (!(s->resend & 1u << i))
			continue;
		/* What it said counts for nothing. */
		in->consumed = in->released = rddr_stream_received(in);
		if (!again(s, i))
			s->failed = true;
	}
	s->resend = 0;
}

void rddr_replay_heard(struct rddr_session *s, const size_t consumed[])
{
	for (unsigned i = 0; i < s->n; i++) {
		if (consumed[i] && s->many[i].replay.reused)
			rddr_replay_forget(&s->many[i]);
	}
}

void rddr_replay_dialled(struct rddr_session *s, unsigned i)
{
	if (!(s->replaying & 1u << i))
		return;
	s->replaying &= ~(1u << i);
	/* It could not answer earlier. */
	if (s->waiting)
		s->waiting = now(s);
	rddr_session_arm(s);
}
