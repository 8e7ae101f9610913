/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fanout.c - lone to many: read once, ask modify_traffic, send to all out of the one receive buffer.
 */
#include <stdio.h>

#include "evidence.h"
#include "metrics.h"
#include "session.h"
#include "target.h"
#include "worker.h"

static bool takes_part(const struct endpoint *ep)
{
	return ep->state != ENDPOINT_CLOSED && (!ep->broken || ep->replay.armed);
}

static size_t read_max(const struct rddr_session *s)
{
	size_t unconsumed = rddr_stream_unconsumed(&s->lone.in);
	size_t held = rddr_buffer_len(&s->lone.in.bytes) - unconsumed;
	size_t high = rddr_session_high_water(s);

	if (rddr_session_reports(s)) {
		/* Only instance 0 slows the client down; the others may lag. */
		if (s->many[0].out.bytes >= high)
			return 0;
		high += s->service->limits.lag;
	}
	/* What a plugin wrote anew lies in the instances' queues alone. */
	for (unsigned i = 0; i < s->n && held < high; i++)
		held = s->many[i].out.own > held ? s->many[i].out.own : held;
	if (held >= high)
		return 0;
	/* A plugin that waits for more than the high watermark gets it, up to the limit. */
	return s->fanout_waits ? s->service->limits.buffer + held : high;
}

static bool read_lone(struct rddr_session *s)
{
	struct endpoint *lone = &s->lone;

	if (lone->state != ENDPOINT_OPEN || !lone->readable || lone->in.end != RDDR_END_OPEN)
		return false;
	size_t max = read_max(s);
	if (!max)
		return false;
	size_t n = rddr_endpoint_read(lone, max, SESSION_TURN);
	if (n) {
		rddr_metrics_add(s->service->metrics, METRIC_bytes_in, n);
		/* Bytes that come in the middle of an answer do not make a new one of what follows. */
		if (!s->waiting && !s->lone.out.bytes)
			s->answering = false;
	}
	return n || lone->in.end != RDDR_END_OPEN;
}

/* The bytes from offset on go to every instance; one that rests at a neutral point is dialled again. */
static void same_for_all(struct rddr_session *s, uint64_t offset, size_t len)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (takes_part(&s->many[i]) && rddr_outq_reference(&s->many[i].out, offset, len) < 0)
			s->failed = true;
	}
}

static void wake_resting(struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->state != ENDPOINT_IDLE || !ep->out.bytes)
			continue;
		rddr_metrics_count(s->service->metrics, METRIC_redials);
		rddr_session_dial(s, i);
		rddr_session_arm(s);
	}
}

/*
 * The plugin cannot go on with what the lone end sends. Enforcing denies. Report mode only says so: instance 0 gets
 * everything as it is from here on, and nobody is compared with it any more.
 */
static void give_up(struct rddr_session *s, enum rddr_denial_reason reason, const char *why)
{
	struct rddr_finding finding = {0};

	snprintf(finding.where, sizeof(finding.where), "what the lone end sent");
	snprintf(finding.why, sizeof(finding.why), "%s", why);
	if (!rddr_session_reports(s)) {
		rddr_session_deny(s, reason, &finding);
		return;
	}
	char reference[EVIDENCE_REFERENCE];

	rddr_verdict_record(s, reason, &finding, "report", reference);
	rddr_metrics_count(s->service->metrics, METRIC_reported);
	if (s->held) {
		/* What instance 0 says was not for the backend to hear. */
		rddr_session_close(s, SESSION_END_FAILED);
		return;
	}
	for (unsigned i = 1; i < s->n; i++) {
		if (s->many[i].in.end != RDDR_END_ABSENT)
			rddr_session_detach(s, i, finding.why);
	}
	s->comparing = false;
	s->failed = s->fanout_waits = s->fanout_holds = false;
	s->unjudged = true;
}

/* One call of the plugin. True when it took something. */
static bool ask_plugin(struct rddr_session *s)
{
	struct stream *in = &s->lone.in;
	struct rddr_modify_result result = {.size = sizeof(result)};
	const struct rddr_view view = {
		.data = rddr_stream_at(in, in->consumed),
		.len = rddr_stream_unconsumed(in),
		.end = in->end,
	};
	enum rddr_modify what = RDDR_SAME_FOR_ALL;

	s->call_offset = in->consumed;
	s->call_len = view.len;
	rddr_replay_before(s);
	if (s->ops->modify_traffic && !s->unjudged)
		what = s->ops->modify_traffic(s->state, &view, &result);
	else
		result.consumed = view.len;
	s->call_len = 0;
	rddr_target_run(s);
	if (s->phase != SESSION_OPEN)
		return false;

	if (what == RDDR_REJECT) {
		give_up(s, RDDR_DENIED_REJECTED, result.why[0] ? result.why : "the plugin rejected it");
		return s->phase == SESSION_OPEN;
	}
	/* Nobody is left to be judged. */
	s->unjudged |= what == RDDR_MODIFY_HOLD && rddr_session_reports(s) && !s->comparing;
	s->fanout_waits = what == RDDR_MODIFY_WAIT;
	s->fanout_holds = what == RDDR_MODIFY_HOLD;
	if (s->fanout_waits || s->fanout_holds)
		return false;
	if (result.consumed > view.len || s->failed) {
		give_up(s, RDDR_DENIED_FAILED, "the plugin broke its contract, or memory ran out");
		return s->phase == SESSION_OPEN;
	}
	if (what == RDDR_SAME_FOR_ALL)
		same_for_all(s, in->consumed, result.consumed);
	in->consumed += result.consumed;
	rddr_replay_after(s, result.consumed);
	if (s->lone.securing && rddr_stream_unconsumed(in)) {
		give_up(s, RDDR_DENIED_REJECTED, "bytes in clear came behind the request for TLS");
		return false;
	}
	if (result.consumed)
		rddr_upload_note(s, result.incomplete);
	if (result.consumed && !s->gather)
		s->neutral = false;
	return result.consumed > 0;
}

/* Changes whenever bytes or the end arrive. */
static uint64_t progress_mark(const struct stream *in)
{
	return rddr_stream_received(in) << 2 | in->end;
}

/* A plugin that waits is asked again only when there is something new to see. */
static bool worth_asking(struct rddr_session *s)
{
	uint64_t mark = progress_mark(&s->lone.in);

	if (!rddr_stream_unconsumed(&s->lone.in) || ((s->fanout_waits || s->fanout_holds) && s->fanout_asked == mark))
		return false;
	s->fanout_asked = mark;
	return true;
}

static void pass_end(struct rddr_session *s)
{
	s->lone_done = true;
	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		/* When everybody has said everything, closing says it as well. */
		ep->end_wanted = !s->many_done || ep->out.bytes;
		/* One that rests will not be needed any more. */
		if (ep->state == ENDPOINT_IDLE && !ep->out.bytes)
			ep->in.end = RDDR_END_ENDED;
	}
}

static bool pass_on(struct rddr_session *s)
{
	struct stream *in = &s->lone.in;
	bool moved = false;

	if (s->many_done && s->all_rested && rddr_stream_unconsumed(in)) {
		/* Everybody has closed, and the lone end was told so: there is nobody to ask. */
		rddr_session_close(s, SESSION_END_MANY_RESET);
		return false;
	}
	while (s->phase == SESSION_OPEN && worth_asking(s) && ask_plugin(s))
		moved = true;
	if (s->phase != SESSION_OPEN)
		return moved;

	size_t left = rddr_stream_unconsumed(in);
	if (s->failed)
		give_up(s, RDDR_DENIED_FAILED, "memory ran out");
	else if (s->fanout_waits && left >= s->service->limits.buffer)
		give_up(s, RDDR_DENIED_LIMIT, "a request is longer than limits.buffer");
	else if (in->end == RDDR_END_ENDED && !s->lone_done && left && !s->fanout_holds)
		give_up(s, RDDR_DENIED_REJECTED, "it ended inside a request");
	/* What was given up in report mode goes on as it is. */
	while (s->phase == SESSION_OPEN && s->unjudged && rddr_stream_unconsumed(in) && ask_plugin(s))
		moved = true;
	if (s->phase == SESSION_OPEN && in->end == RDDR_END_ENDED && !s->lone_done && !rddr_stream_unconsumed(in) &&
	    !rddr_outgoing_is_over(s)) {
		pass_end(s);
		moved = true;
	}
	return moved;
}

/* Report mode: an instance that does not read holds the buffer up. It goes before the client notices. */
static void detach_slow(struct rddr_session *s)
{
	if (!rddr_session_reports(s) || s->many[0].out.bytes >= SESSION_HIGH_WATER)
		return;
	for (unsigned i = 1; i < s->n; i++) {
		if (s->many[i].state != ENDPOINT_CLOSED && s->many[i].out.bytes > s->service->limits.lag)
			rddr_session_detach(s, i, "it reads too slowly");
	}
}

static bool deliver(struct rddr_session *s)
{
	bool moved = false;

	for (unsigned i = 0; i < s->n; i++) {
		/* Report mode: none waits for another. And what comes before TLS is the way to it. */
		if (s->gate_open || rddr_session_reports(s) || s->many[i].securing)
			moved |= rddr_endpoint_flush(&s->many[i]) > 0;
	}
	rddr_lead_note(s);
	return moved;
}

void rddr_fanout_reclaim(struct rddr_session *s)
{
	uint64_t keep = s->lone.in.consumed;

	for (unsigned i = 0; i < s->n; i++) {
		uint64_t needs = rddr_outq_needs(&s->many[i].out, keep);

		needs = rddr_outq_needs(&s->many[i].replay.kept, needs);
		if (needs < keep)
			keep = needs;
	}
	rddr_endpoint_reclaim(&s->lone, keep);
}

/* Known at once, also while the lone end is not read because the many do not keep up. */
static bool is_torn(struct endpoint *lone)
{
	if (lone->erred) {
		lone->erred = false;
		lone->torn |= lone->transport->error(lone) != 0;
	}
	return lone->torn;
}

/* Most events are the many's: then nothing of this is due. */
static bool nothing_due(const struct rddr_session *s)
{
	return !s->stirred && !rddr_buffer_len(&s->lone.in.bytes) && s->lone.in.end == RDDR_END_OPEN;
}

bool rddr_fanout_run(struct rddr_session *s)
{
	bool moved = read_lone(s);

	if (!moved && nothing_due(s) && !is_torn(&s->lone))
		return false;
	s->stirred = false;
	if (s->lone.in.end == RDDR_END_RESET || is_torn(&s->lone)) {
		rddr_session_close(s, SESSION_END_LONE_RESET);
		return true;
	}
	moved |= pass_on(s);
	if (s->phase != SESSION_OPEN)
		return true;
	wake_resting(s);
	if (s->phase != SESSION_OPEN)
		return true;
	moved |= deliver(s);
	detach_slow(s);
	rddr_fanout_reclaim(s);
	return moved;
}
