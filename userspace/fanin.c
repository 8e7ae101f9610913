/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fanin.c - many to lone: read each, let diff_traffic judge, let out what agreed.
 *
 * Instance 0's stream is the source: what goes to the lone end are references into its receive buffer. In report mode
 * they are queued as they come, and the judging follows behind.
 */
#include <stdio.h>
#include <string.h>

#include "handshake.h"
#include "metrics.h"
#include "session.h"
#include "worker.h"

static bool present(const struct endpoint *ep)
{
	return ep->in.end != RDDR_END_ABSENT;
}

/* ---- reading ---- */

static size_t read_max(const struct rddr_session *s, unsigned i)
{
	const struct stream *in = &s->many[i].in;
	size_t held = rddr_buffer_len(&in->bytes) - rddr_stream_unconsumed(in);
	size_t high = rddr_session_high_water(s);

	if (i == 0 && s->lone.out.bytes >= high)
		return 0;
	if (held >= s->service->limits.buffer)
		return 0; /* consumed, and neither let out nor dropped: see stuck() */
	if (i == 0 && rddr_session_reports(s))
		return s->service->limits.lag + high;
	/* The source does not wait: whoever has the bytes has to be able to catch up. */
	if (rddr_session_reports(s))
		high += rddr_stream_unconsumed(&s->many[0].in);
	/* Bytes that everybody has and the plugin cannot judge yet may grow up to the limit. */
	return (s->fanin_waits ? s->service->limits.buffer : high) + held;
}

/* Whether the plugin is asked; of exchanges that are to be told apart it is even where nobody is left to compare with.
 */
static bool is_judging(const struct rddr_session *s)
{
	return s->comparing || !rddr_session_reports(s) || (s->gather && s->ops->opening && !s->unjudged);
}

/* In report mode the source's bytes go straight on. */
static void pass_through(struct rddr_session *s)
{
	struct stream *in = &s->many[0].in;
	uint64_t received = rddr_stream_received(in);

	if (s->held)
		return;
	if (rddr_outq_reference(&s->lone.out, in->released, (size_t)(received - in->released)) < 0) {
		rddr_session_close(s, SESSION_END_FAILED);
		return;
	}
	in->released = received;
	if (!is_judging(s))
		in->consumed = received;
}

static bool read_many(struct rddr_session *s)
{
	bool moved = false;

	if (s->parting)
		return rddr_upload_discard(s);

	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->state != ENDPOINT_OPEN || !ep->readable || ep->in.end != RDDR_END_OPEN)
			continue;
		size_t max = read_max(s, i);
		size_t n = max ? rddr_endpoint_read(ep, max, SESSION_TURN) : 0;
		moved |= n || ep->in.end != RDDR_END_OPEN;
		if (rddr_replay_begin(s, i))
			continue;
		if (n && !s->answering)
			rddr_host_services.begin_answer(s);
		if (n && i == 0 && rddr_session_reports(s))
			pass_through(s);
	}
	return moved;
}

/* ---- judging ---- */

static unsigned fill_views(const struct rddr_session *s, struct rddr_view *views)
{
	for (unsigned i = 0; i < s->n; i++) {
		const struct stream *in = &s->many[i].in;

		views[i].len = present(&s->many[i]) ? rddr_stream_unconsumed(in) : 0;
		views[i].data = views[i].len ? rddr_stream_at(in, in->consumed) : NULL;
		views[i].end = in->end;
	}
	return s->n;
}

/* What diff_traffic does when it is left NULL: takes everything, and lets it out. */
static enum rddr_verdict take_everything(const struct rddr_view *views, unsigned n, struct rddr_diff_result *result)
{
	for (unsigned i = 0; i < n; i++)
		result->consumed[i] = views[i].len;
	result->release = views[0].len;
	return RDDR_AGREE;
}

/* Books what the plugin took. False: it broke the contract, and what it had let out so far is still queued. */
static bool take(struct rddr_session *s, const struct rddr_diff_result *result)
{
	struct stream *source = &s->many[0].in;

	for (unsigned i = 0; i < s->n; i++) {
		if (result->consumed[i] > (present(&s->many[i]) ? rddr_stream_unconsumed(&s->many[i].in) : 0))
			return false;
	}
	for (unsigned i = 0; i < s->n; i++)
		s->many[i].in.consumed += result->consumed[i];
	rddr_replay_heard(s, result->consumed);
	rddr_noise_budget_note(&s->noise, result->consumed[0]);
	rddr_metrics_add(s->service->metrics, METRIC_bytes_compared, result->consumed[0]);
	if (!rddr_session_reports(s)) {
		rddr_host_services.release(s, result->release);
		if (source->released > source->consumed)
			return false;
	}
	return !s->failed;
}

static void trim_absent_and_judged(struct rddr_session *s)
{
	for (unsigned i = 1; i < s->n; i++)
		rddr_endpoint_reclaim(&s->many[i], s->many[i].in.consumed);
}

static enum rddr_verdict call_plugin(struct rddr_session *s, struct rddr_diff_result *result)
{
	struct rddr_view views[RDDR_MAX_INSTANCES] = {0};
	unsigned n = fill_views(s, views);

	s->resend = 0;
	memset(result, 0, sizeof(*result));
	result->size = sizeof(*result);
	return s->ops->diff_traffic ? s->ops->diff_traffic(s->state, views, n, result)
				    : take_everything(views, n, result);
}

/* One call of the plugin. True when it took something. */
static bool ask_plugin(struct rddr_session *s)
{
	struct rddr_diff_result result;
	uint64_t released = s->many[0].in.released;
	size_t emitted = s->lone.out.bytes;
	enum rddr_verdict verdict = call_plugin(s, &result);
	bool everybody_has = true;

	if (verdict == RDDR_DIVERGE) {
		rddr_verdict_divergence(s, RDDR_DENIED_DIVERGENCE, &result.finding);
		return s->phase == SESSION_OPEN && s->comparing;
	}
	if (!take(s, &result)) {
		/* Who breaks the contract is believed nothing: what the call let out does not go in front of a denial.
		 */
		if (s->lone.out.bytes > emitted)
			rddr_outq_cut(&s->lone.out, s->lone.out.bytes - emitted);
		s->many[0].in.released = released;
		s->failed = true;
		return false;
	}
	rddr_replay_resend(s);
	if (s->phase != SESSION_OPEN)
		return false;

	if (!rddr_handshake_clean(s))
		return false;

	bool took = s->many[0].in.released != released || s->lone.out.bytes != emitted;
	for (unsigned i = 0; i < s->n; i++) {
		const struct stream *in = &s->many[i].in;

		took |= result.consumed[i] > 0;
		everybody_has &= !present(&s->many[i]) || rddr_stream_unconsumed(in) || in->end != RDDR_END_OPEN;
	}
	if (took)
		s->boundary = result.boundary;
	/* Report mode shows nothing of what a plugin says of its own, as when a login that waited for one that is gone
	 * ends. */
	if ((took || verdict == RDDR_AGREE) && s->fanout_holds) {
		s->fanout_holds = false;
		s->stirred = true;
	}
	s->fanin_waits = verdict == RDDR_WAIT && everybody_has;
	s->doubtful = verdict == RDDR_WAIT && result.doubtful;
	s->patient = result.patient;
	trim_absent_and_judged(s);
	return took;
}

/* ---- the ends of the streams ---- */

struct ends {
	unsigned open, ended, reset; /* of those that take part */
	unsigned behind;	     /* open, with nothing unconsumed */
	unsigned ahead;		     /* with something unconsumed, or closed */
	int closed, other;	     /* an instance that is closed, one that is not; -1: none */
};

static struct ends survey(const struct rddr_session *s)
{
	struct ends e = {.closed = -1, .other = -1};

	for (unsigned i = 0; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];
		size_t unconsumed = rddr_stream_unconsumed(&ep->in);

		if (!present(ep) || (ep->state == ENDPOINT_IDLE && s->lone_done))
			continue;
		e.open += ep->in.end == RDDR_END_OPEN;
		e.ended += ep->in.end == RDDR_END_ENDED;
		e.reset += ep->in.end == RDDR_END_RESET;
		if (ep->in.end == RDDR_END_OPEN && !unconsumed)
			e.behind++;
		else
			e.ahead++;
		if (ep->in.end == RDDR_END_OPEN || (e.closed >= 0 && ep->in.end != s->many[e.closed].in.end))
			e.other = (int)i;
		else if (e.closed < 0)
			e.closed = (int)i;
	}
	return e;
}

static bool all_consumed(const struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (present(&s->many[i]) && rddr_stream_unconsumed(&s->many[i].in))
			return false;
	}
	return true;
}

/* An instance that closed at a neutral point rests there until it is needed. */
static void rest_at_neutral_point(struct rddr_session *s)
{
	unsigned resting = 0, taking_part = 0;

	if (!s->neutral || s->lone_done || s->gather)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		bool over = ep->in.end != RDDR_END_OPEN || ep->broken || (s->rest_wanted & 1u << i);

		if (ep->state == ENDPOINT_OPEN && over && present(ep) && !rddr_stream_unconsumed(&ep->in)) {
			rddr_endpoint_rest(ep);
			s->stirred = true;
		}
		taking_part += present(ep);
		resting += present(ep) && ep->state == ENDPOINT_IDLE;
	}
	s->rest_wanted = 0;
	/* Who names targets can name another. */
	if (taking_part && resting == taking_part && !s->names_target) {
		s->all_rested = true;
		s->many_done = true;
		s->lone.end_wanted = true;
	}
}

static void early_end(struct rddr_session *s, const struct ends *e)
{
	struct rddr_finding finding = {
		.instance = e->closed < 0 ? 0 : (unsigned)e->closed,
		.other = e->other < 0 ? 0 : (unsigned)e->other,
	};

	snprintf(finding.why, sizeof(finding.why), "instance %s %s, instance %s %s",
		 s->service->instances[finding.instance].name, rddr_endpoint_state_name(&s->many[finding.instance]),
		 s->service->instances[finding.other].name, rddr_endpoint_state_name(&s->many[finding.other]));
	rddr_verdict_divergence(s, RDDR_DENIED_EARLY_END, &finding);
}

static void end_many(struct rddr_session *s)
{
	s->many_done = true;
	s->lone.end_wanted = true;
	s->waiting = 0;
}

/* What had agreed before the reset still goes out in front of it, as far as the socket takes it. */
static void torn(struct rddr_session *s)
{
	rddr_endpoint_flush(&s->lone);
	rddr_session_close(s, SESSION_END_MANY_RESET);
}

/* Everything is consumed: what is left to compare is how the streams ended. */
static void judge_ends(struct rddr_session *s)
{
	struct ends e = survey(s);

	/* At a neutral point nobody depends on how an end closes; some do it without TLS's close_notify. */
	if (!e.open && s->neutral && e.ended + e.reset && !s->many_done)
		end_many(s);
	else if (!e.open && e.ended && e.reset && !s->neutral)
		early_end(s, &e);
	else if (!e.open && e.reset && !s->neutral)
		torn(s);
	else if (!e.open && e.ended && !s->many_done)
		end_many(s);
}

/* Report mode: how the client's stream ends is instance 0's matter alone; how the others end is only looked at. */
static void end_with_source(struct rddr_session *s)
{
	const struct endpoint *source = &s->many[0];

	if (source->in.end == RDDR_END_RESET)
		torn(s);
	else if (source->in.end == RDDR_END_ENDED && !s->many_done)
		end_many(s);
	if (s->phase != SESSION_OPEN || !s->comparing || !all_consumed(s))
		return;
	struct ends e = survey(s);
	if (!e.open && e.ended && e.reset)
		early_end(s, &e);
}

/* ---- waiting for the others ---- */

static void note_waiting(struct rddr_session *s, bool progressed)
{
	struct ends e = survey(s);
	bool waits = e.ahead && e.open && s->comparing && (!s->many_done || rddr_session_reports(s));
	bool all_closed_alike = !e.open;

	if (!waits || all_closed_alike || s->patient || rddr_lead_withholds(s)) {
		s->waiting = 0;
	} else if (!s->waiting || progressed) {
		s->waiting = rddr_loop_now(s->worker->loop);
		rddr_session_arm(s);
	}
}

/* While the lone end does not take what has agreed, the source is not read: nobody can tell whether it is late. */
static bool held_up(const struct rddr_session *s)
{
	return read_max(s, 0) == 0;
}

/* False: nobody is late. */
static bool name_the_late(struct rddr_session *s)
{
	struct ends e = survey(s);
	size_t least = SIZE_MAX, most = 0;
	unsigned late = 0, first = 0;

	for (unsigned i = 0; i < s->n; i++) {
		size_t len = rddr_stream_unconsumed(&s->many[i].in);

		if (!present(&s->many[i]))
			continue;
		if (s->many[i].in.end == RDDR_END_OPEN && len < least) {
			least = len;
			late = i;
		}
		if (len >= most) {
			most = len;
			first = i;
		}
	}
	if (e.ended + e.reset && all_consumed(s)) {
		early_end(s, &e);
		return true;
	}
	if (s->doubtful) {
		struct rddr_diff_result result;

		call_plugin(s, &result);
		rddr_verdict_divergence(s, RDDR_DENIED_DIVERGENCE, &result.finding);
		return true;
	}
	/* All have the same and the plugin waits for more of it: nobody is late. */
	if (!e.ended && !e.reset && least == most)
		return false;
	struct rddr_finding finding = {.instance = late, .other = first};
	snprintf(finding.why, sizeof(finding.why), "instance %s was silent for %u ms after instance %s had spoken",
		 s->service->instances[late].name, s->service->deadlines.skew, s->service->instances[first].name);
	rddr_verdict_divergence(s, RDDR_DENIED_LATE, &finding);
	return true;
}

/* No stream can bring more, and the plugin cannot tell: that is what limits.buffer is for. */
static bool stuck(const struct rddr_session *s)
{
	const struct stream *source = &s->many[0].in;

	if (source->consumed - source->released >= s->service->limits.buffer && !rddr_session_reports(s))
		return true;
	if (!s->fanin_waits || all_consumed(s))
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		const struct stream *in = &s->many[i].in;

		if (in->end == RDDR_END_OPEN && rddr_stream_unconsumed(in) < s->service->limits.buffer)
			return false;
	}
	return true;
}

/* Report mode: the source must not wait for whoever is behind it. */
static void detach_laggards(struct rddr_session *s)
{
	uint64_t source = rddr_stream_unconsumed(&s->many[0].in);

	if (!rddr_session_reports(s) || !s->comparing || source < s->service->limits.lag)
		return;
	size_t least = SIZE_MAX;
	for (unsigned i = 1; i < s->n; i++) {
		size_t len = rddr_stream_unconsumed(&s->many[i].in);
		least = present(&s->many[i]) && len < least ? len : least;
	}
	for (unsigned i = 1; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];

		/* What it has said and we have not read is not its fault. */
		if (present(ep) && !ep->readable && rddr_stream_unconsumed(&ep->in) == least)
			rddr_session_detach(s, i, "it lags past limits.lag");
	}
}

/* Nothing that comes could be judged any more. */
static void give_up_judging(struct rddr_session *s)
{
	struct rddr_finding finding = {.why = "what has come cannot be judged, and no more can come"};
	enum rddr_denial_reason reason = s->failed ? RDDR_DENIED_FAILED : RDDR_DENIED_LIMIT;

	if (s->failed)
		snprintf(finding.why, sizeof(finding.why), "the plugin broke its contract, or memory ran out");
	s->failed = s->fanin_waits = false;
	rddr_verdict_divergence(s, reason, &finding);
}

/* A plugin may make more bytes of its own than it was shown; it goes on when the lone end has taken some. */
static bool choked(const struct rddr_session *s)
{
	return s->lone.out.own >= SESSION_HIGH_WATER;
}

static bool judge(struct rddr_session *s, bool arrived)
{
	bool progressed = false;

	if (s->parting)
		return false;
	arrived |= s->rejudge || (s->choked && !choked(s));
	s->rejudge = false;
	while (arrived && s->phase == SESSION_OPEN && is_judging(s) && !choked(s) && ask_plugin(s))
		progressed = true;
	s->choked = choked(s);
	if (s->phase != SESSION_OPEN || s->parting)
		return true;
	if (s->failed || stuck(s)) {
		give_up_judging(s);
		if (s->phase != SESSION_OPEN)
			return true;
	}
	rest_at_neutral_point(s);
	if (rddr_session_reports(s))
		end_with_source(s);
	else if (all_consumed(s))
		judge_ends(s);
	if (s->phase != SESSION_OPEN)
		return true;
	if (arrived)
		note_waiting(s, progressed);
	return progressed;
}

void rddr_fanin_late(struct rddr_session *s)
{
	uint64_t since = s->waiting;

	if (rddr_upload_excuses(s))
		return;
	if (held_up(s) || !name_the_late(s)) {
		s->waiting = rddr_loop_now(s->worker->loop);
		return;
	}
	if (s->phase != SESSION_OPEN)
		return;
	/* Report mode: who was silent just as long goes as well, unless the others agree on something without the
	 * first. */
	s->waiting = 0;
	if (!judge(s, true) && s->phase == SESSION_OPEN && s->waiting)
		s->waiting = since;
}

void rddr_fanin_reclaim(struct rddr_session *s)
{
	struct stream *in = &s->many[0].in;
	uint64_t keep = in->released < in->consumed ? in->released : in->consumed;
	uint64_t needs = rddr_outq_needs(&s->lone.out, keep);

	rddr_endpoint_reclaim(&s->many[0], needs < keep ? needs : keep);
}

void rddr_fanin_hold(struct rddr_session *s, bool on)
{
	struct stream *in = &s->many[0].in;

	s->held = on;
	if (on)
		return;
	in->released = in->consumed;
	pass_through(s);
}

void rddr_fanin_adopt(struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		if (!rddr_stream_unconsumed(&s->many[i].in))
			continue;
		if (!s->answering)
			rddr_host_services.begin_answer(s);
		if (i == 0 && rddr_session_reports(s))
			pass_through(s);
	}
	s->rejudge = true;
}

bool rddr_fanin_run(struct rddr_session *s)
{
	bool over = rddr_outgoing_is_over(s);
	bool arrived = !over && read_many(s);
	bool moved = arrived | (!over && judge(s, arrived));

	if (s->phase != SESSION_OPEN)
		return true;
	size_t sent = rddr_endpoint_flush(&s->lone);
	if (sent) {
		s->sent += sent;
		rddr_metrics_add(s->service->metrics, METRIC_bytes_out, sent);
		moved = true;
		s->stirred |= s->choked && !choked(s);
	}
	detach_laggards(s);
	if (!s->comparing && !(s->gather && is_judging(s)))
		s->many[0].in.consumed = rddr_session_reports(s) ? s->many[0].in.released : s->many[0].in.consumed;
	rddr_fanin_reclaim(s);
	return moved;
}
