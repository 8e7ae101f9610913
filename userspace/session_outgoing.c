/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session_outgoing.c - what is another where the many dialled us and we dial the lone end: how a session begins, how it
 * is denied, and how its connections go back to where they came from.
 */
#include <string.h>

#include "gather.h"
#include "handshake.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "session.h"
#include "worker.h"

/* ---- the backend ---- */

void rddr_outgoing_dialled(struct rddr_session *s, enum dial_outcome outcome)
{
	struct endpoint *ep = &s->lone;
	char at[RDDR_ADDR_TEXT];

	outcome = rddr_session_take_dial(s, ep, outcome);
	if (outcome == DIAL_CONNECTED && ep->shaking) {
		rddr_handshake_begin(ep);
		return;
	}
	if (outcome != DIAL_CONNECTED) {
		/* The instances see what they would have seen without us. */
		log_warning("session: no backend service=%s session=%llu remote=%s outcome=%s why=\"%s\"",
			    s->service->name, (unsigned long long)s->id,
			    rddr_addr_format(&ep->dial.remote, at, sizeof(at)), rddr_dial_outcome_name(outcome),
			    strerror(ep->dial.error));
		ep->state = ENDPOINT_CLOSED;
		rddr_session_close(s, SESSION_END_LONE_RESET);
		return;
	}
	s->gate_open = true;
}

static void on_dialled(struct dial *dial, enum dial_outcome outcome)
{
	struct endpoint *ep = CONTAINER_OF(dial, struct endpoint, dial);
	struct rddr_session *s = ep->session;
	unsigned events = dial->events;

	rddr_outgoing_dialled(s, outcome);
	if (s->phase == SESSION_OPEN)
		rddr_endpoint_event(ep, events);
}

static void dial(struct rddr_session *s)
{
	struct endpoint *ep = &s->lone;
	enum dial_outcome outcome = rddr_session_start_dial(s, ep, &s->service->backend.chainer, on_dialled);

	if (outcome != DIAL_PENDING)
		rddr_outgoing_dialled(s, outcome);
}

/* ---- begin ---- */

static void discard(struct endpoint *ep)
{
	if (!ep)
		return;
	rddr_endpoint_close(ep, true);
	rddr_endpoint_reclaim(ep, rddr_stream_received(&ep->in));
}

static void close_group(const struct group *group, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		discard(group->many[i]);
	discard(group->lone);
}

static void take_over(struct rddr_session *s, const struct group *group)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (group->many[i]) {
			rddr_endpoint_move(&s->many[i], group->many[i]);
			continue;
		}
		s->many[i].state = ENDPOINT_CLOSED;
		s->many[i].in.end = RDDR_END_ABSENT;
	}
	if (group->lone)
		rddr_endpoint_move(&s->lone, group->lone);
}

/* Report mode: those whose connection did not come are as good as detached. */
static void report_absent(struct rddr_session *s, const struct group *group)
{
	unsigned absent = 0;

	for (unsigned i = 1; i < s->n; i++)
		absent += !group->many[i];
	s->comparing = s->n > 1 && absent < s->n - 1;
	for (unsigned i = 1; absent && i < s->n; i++) {
		struct rddr_finding finding = {.instance = i, .where = "the opening"};
		char reference[20];

		if (group->many[i])
			continue;
		snprintf(finding.why, sizeof(finding.why), "instance %s did not say it within %u ms",
			 s->service->instances[i].name, s->service->gather.partner);
		rddr_verdict_record(s, RDDR_DENIED_MISSING, &finding, "report", reference);
		rddr_metrics_count(s->service->metrics, METRIC_reported);
		rddr_metrics_count(s->service->metrics, METRIC_partners_missing);
		rddr_metrics_count(s->service->metrics, METRIC_detached);
	}
}

void rddr_session_begin_outgoing(struct worker *worker, const struct group *group)
{
	struct rddr_session *s = rddr_session_new(worker, group->config, group->service);

	if (!s) {
		rddr_metrics_count(group->service->metrics, METRIC_accept_failed);
		close_group(group, group->service->n_instances);
		rddr_worker_release(worker, group->service->n_instances + 1);
		rddr_gather_left(group->gather);
		return;
	}
	s->gather = group->gather;
	s->client = group->client;
	s->destination = group->destination;
	s->identity = group->identity;
	memcpy(s->correlation, group->correlation, strlen(group->correlation) + 1);
	s->replied = group->replied;
	s->alone = group->alone;
	s->loose = group->loose;
	s->reused = group->lone != NULL;
	take_over(s, group);
	rddr_session_create(s);
	s->replied = NULL;
	if (s->phase != SESSION_OPEN)
		return;
	if (group->alone)
		s->comparing = false;
	else
		report_absent(s, group);
	if (group->lone || group->alone)
		s->gate_open = true;
	else
		dial(s);
	if (s->phase != SESSION_OPEN)
		return;
	rddr_session_arm(s);
	rddr_fanin_adopt(s);
	rddr_session_pump(s);
}

/* ---- denial ---- */

size_t rddr_outgoing_said(const struct rddr_session *s)
{
	size_t bytes = 0;

	for (unsigned i = 0; i < s->n; i++)
		bytes += s->many[i].out.own;
	return bytes;
}

/* Until the many have taken what they were sent, or the linger deadline has passed. */
static void linger(struct rddr_session *s)
{
	s->waiting = rddr_loop_now(s->worker->loop);
	rddr_loop_timer_cancel(s->worker->loop, &s->timer);
	rddr_session_arm(s);
	rddr_outgoing_pump_denied(s);
}

void rddr_outgoing_deny(struct rddr_session *s, size_t said_before)
{
	bool said = rddr_outgoing_said(s) > said_before, left = false;

	rddr_endpoint_close(&s->lone, true);
	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		/* Nothing emitted: a reset, as everywhere. */
		if (ep->state != ENDPOINT_OPEN || !said || !ep->out.own) {
			rddr_endpoint_close(ep, true);
			continue;
		}
		ep->end_wanted = left = true;
	}
	if (left)
		linger(s);
	else
		rddr_session_close(s, SESSION_END_DENIED);
}

void rddr_outgoing_finish(struct rddr_session *s)
{
	rddr_endpoint_flush(&s->lone);
	rddr_endpoint_close(&s->lone, false);
	for (unsigned i = 0; i < s->n; i++)
		s->many[i].end_wanted = s->many[i].state == ENDPOINT_OPEN;
	linger(s);
}

void rddr_outgoing_pump_denied(struct rddr_session *s)
{
	bool again = false, left = false;

	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->state != ENDPOINT_OPEN)
			continue;
		rddr_endpoint_flush(ep);
		rddr_endpoint_discard(ep);
		if (ep->broken || (ep->end_sent && ep->in.end != RDDR_END_OPEN))
			rddr_endpoint_close(ep, !ep->end_sent);
		else
			left = true;
		again |= ep->readable && ep->in.end == RDDR_END_OPEN;
	}
	if (!left)
		rddr_session_close(s, SESSION_END_DENIED);
	else if (again)
		rddr_loop_again(s->worker->loop, &s->again);
}

/* ---- the neutral point ---- */

static bool is_settled(const struct rddr_session *s)
{
	if (s->lone.out.bytes || s->lone.state == ENDPOINT_DIALLING)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->many[i].state == ENDPOINT_OPEN && s->many[i].out.bytes && !s->many[i].broken)
			return false;
	}
	return true;
}

void rddr_outgoing_settle(struct rddr_session *s)
{
	if (!is_settled(s))
		return;
	if (s->many[0].in.released > s->many[0].in.consumed) {
		/* Report mode: the source is ahead, and the backend has got it. */
		s->neutral = false;
		s->rejudge = true;
		rddr_loop_again(s->worker->loop, &s->again);
		return;
	}
	rddr_gather_return(s);
	rddr_session_close(s, SESSION_END_DONE);
}
