/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "admission.h"
#include "evidence.h"
#include "gather.h"
#include "handshake.h"
#include "log.h"
#include "metrics.h"
#include "offload.h"
#include "own.h"
#include "target.h"
#include "worker.h"

/* How often both directions are gone through before the others in the loop have their turn. */
#define PUMP_ROUNDS 4

static void on_timer(void *ctx);
static void move_on(struct rddr_session *s);
static void finish(struct rddr_session *s);
static void go_on(void *ctx);
static void bury(void *ctx);
static void on_dialled(struct dial *dial, enum dial_outcome outcome);

/* ---- deadlines ---- */

static void earliest(uint64_t *when, uint64_t other)
{
	if (other < *when)
		*when = other;
}

static uint64_t next_deadline(const struct rddr_session *s)
{
	const struct deadlines *d = &s->service->deadlines;

	if (s->phase == SESSION_DENIED)
		return s->waiting + d->linger;

	uint64_t when = s->active + d->idle;
	if (!s->gate_open || s->replaying)
		earliest(&when, s->dialling + d->connect);
	if (s->waiting && !s->replaying)
		earliest(&when, s->waiting + d->skew);
	if (s->withheld && s->lead_time)
		earliest(&when, s->withheld + s->lead_time);
	if (s->shaking)
		earliest(&when, s->shaking + d->connect);
	earliest(&when, rddr_upload_deadline(s));
	return when;
}

void rddr_session_arm(struct rddr_session *s)
{
	uint64_t when = next_deadline(s);

	/* A timer that is early finds out when it fires; so activity never moves it. */
	if (!s->timer.armed || when < s->timer.when)
		rddr_loop_timer_set(s->worker->loop, &s->timer, when);
}

static void give_up_dials(struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->state != ENDPOINT_DIALLING)
			continue;
		if (ep->shaking) {
			rddr_handshake_late(ep);
			continue;
		}
		rddr_chainer_give_up(&ep->dial);
		rddr_session_dialled(s, ep, DIAL_TIMED_OUT);
	}
	if (s->phase == SESSION_OPEN && s->lone.state == ENDPOINT_DIALLING) {
		rddr_chainer_give_up(&s->lone.dial);
		rddr_outgoing_dialled(s, DIAL_TIMED_OUT);
	}
}

static void on_timer(void *ctx)
{
	struct rddr_session *s = ctx;
	const struct deadlines *d = &s->service->deadlines;
	uint64_t now = rddr_loop_now(s->worker->loop);

	if (s->phase == SESSION_DENIED) {
		if (now >= s->waiting + d->linger)
			rddr_session_close(s, SESSION_END_DENIED);
		else
			rddr_session_arm(s);
		return;
	}
	if ((!s->gate_open || s->replaying) && now >= s->dialling + d->connect) {
		give_up_dials(s);
		if (s->phase == SESSION_OPEN)
			move_on(s);
	}
	if (s->phase == SESSION_OPEN && s->withheld && s->lead_time && now >= s->withheld + s->lead_time) {
		rddr_metrics_count(s->service->metrics, METRIC_leaders_outwaited);
		rddr_lead_let_go(s);
		move_on(s);
	}
	if (s->phase == SESSION_OPEN && s->waiting && !s->replaying && now >= s->waiting + d->skew) {
		rddr_fanin_late(s);
		if (s->phase == SESSION_OPEN)
			move_on(s);
	}
	if (s->phase == SESSION_OPEN && s->shaking && now >= s->shaking + d->connect)
		rddr_handshake_late_all(s);
	if (s->phase == SESSION_OPEN && now >= rddr_upload_deadline(s)) {
		rddr_upload_expired(s);
		move_on(s);
	}
	if (s->phase == SESSION_OPEN && now >= s->active + d->idle) {
		rddr_metrics_count(s->service->metrics, METRIC_idle_timeouts);
		rddr_session_close(s, SESSION_END_IDLE);
	}
	if (s->phase != SESSION_CLOSED)
		rddr_session_arm(s);
}

/* ---- dialling ---- */

/* Whoever stops being dialled has to ask: nothing else would open it. */
void rddr_session_open_gate(struct rddr_session *s)
{
	if (s->lone.state == ENDPOINT_DIALLING)
		return;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->many[i].state == ENDPOINT_DIALLING)
			return;
	}
	s->gate_open = true;
	s->stirred = true;	      /* bytes of the plugin's own may wait */
	s->fanout_asked = UINT64_MAX; /* a plugin that waits for the target is asked again */
}

static void missing(struct rddr_session *s, unsigned i, enum dial_outcome outcome)
{
	struct endpoint *ep = &s->many[i];
	struct rddr_finding finding = {.instance = i, .other = i};
	const char *unresolved = rddr_target_unresolved(s);
	char at[RDDR_ADDR_TEXT];

	if (outcome == DIAL_UNRESOLVED && unresolved)
		snprintf(finding.why, sizeof(finding.why), "instance %s: the name of the target is not resolved: %s",
			 s->service->instances[i].name, unresolved);
	else
		snprintf(finding.why, sizeof(finding.why), "instance %s at %s: %s (%s)", s->service->instances[i].name,
			 rddr_addr_format(&ep->dial.remote, at, sizeof(at)), rddr_dial_outcome_name(outcome),
			 strerror(ep->dial.error));
	ep->state = ENDPOINT_CLOSED;
	ep->in.end = RDDR_END_RESET;
	rddr_verdict_divergence(s, RDDR_DENIED_MISSING, &finding);
}

void rddr_session_dialled(struct rddr_session *s, struct endpoint *ep, enum dial_outcome outcome)
{
	unsigned i = (unsigned)(ep - s->many);

	outcome = rddr_session_take_dial(s, ep, outcome);
	if (outcome == DIAL_CONNECTED && ep->shaking) {
		rddr_handshake_begin(ep);
		return;
	}
	rddr_replay_dialled(s, i);
	if (outcome != DIAL_CONNECTED) {
		missing(s, i, outcome);
		if (s->phase != SESSION_OPEN)
			return;
	}
	rddr_session_open_gate(s);
}

static void on_dialled(struct dial *dial, enum dial_outcome outcome)
{
	struct endpoint *ep = CONTAINER_OF(dial, struct endpoint, dial);
	struct rddr_session *s = ep->session;

	rddr_session_dialled(s, ep, outcome);
	if (s->phase != SESSION_OPEN)
		return;
	/* The event that brought the connection may have brought the first bytes, or the end, with it. */
	if (ep->state == ENDPOINT_OPEN || ep->shaking)
		rddr_endpoint_event(ep, dial->events);
	else
		rddr_session_pump(s);
}

void rddr_session_dial(struct rddr_session *s, unsigned i)
{
	struct endpoint *ep = &s->many[i];

	/* Who is asked again keeps nobody else from going on. */
	if (!(s->replaying & 1u << i))
		s->gate_open = false;
	enum dial_outcome outcome = rddr_session_start_dial(s, ep, &s->service->instances[i].chainer, on_dialled);
	if (outcome != DIAL_PENDING)
		rddr_session_dialled(s, ep, outcome);
}

/* ---- begin ---- */

struct rddr_session *rddr_session_new(struct worker *worker, struct config *config, struct service *service)
{
	struct rddr_session *s = calloc(1, sizeof(*s) + service->n_instances * sizeof(s->many[0]));

	if (!s)
		return NULL;
	s->worker = worker;
	s->config = rddr_config_get(config);
	s->service = service;
	s->ops = service->ops;
	s->n = service->n_instances;
	s->id = ++worker->session_numbers * WORKERS_MAX + worker->index;
	s->begun = s->active = rddr_loop_now(worker->loop);
	s->comparing = s->n > 1;
	s->names_target = rddr_target_wanted(service);
	s->timer = (struct timer){.fn = on_timer, .ctx = s};
	s->again = (struct deferred){.fn = go_on, .ctx = s};
	s->bury = (struct deferred){.fn = bury, .ctx = s};
	rddr_endpoint_init(&s->lone, s, &rddr_transport_tcp, &s->many[0].in);
	for (unsigned i = 0; i < s->n; i++)
		rddr_endpoint_init(&s->many[i], s, &rddr_transport_tcp, &s->lone.in);
	rddr_handshake_prepare(s);

	s->next = worker->sessions;
	if (s->next)
		s->next->prev = s;
	worker->sessions = s;
	worker->n_sessions++;
	rddr_metrics_count(service->metrics, METRIC_sessions);
	return s;
}

void rddr_session_create(struct rddr_session *s)
{
	const struct rddr_diff_create args = {
		.size = sizeof(args),
		.direction = s->service->direction,
		.instances = s->n,
		.do_filter = s->service->filter,
		.params = s->service->params,
		.service = s->service->name,
		.limit = s->service->limits.buffer,
		.noise_run = s->service->noise.run,
		.reports = rddr_session_reports(s),
		.repeat = rddr_replay_limit(s),
		.host = &rddr_host_services,
		.session = s,
		.identity = s->identity,
		.replied = s->replied,
		.names_target = s->names_target,
		.alone = s->alone,
		.reused = s->reused,
	};
	int r = s->ops->create ? s->ops->create(&args, &s->state) : 0;

	s->created = r == 0;
	if (s->created)
		return;
	struct rddr_finding finding = {0};
	snprintf(finding.why, sizeof(finding.why), "the plugin cannot begin a session: %s", strerror(-r));
	rddr_session_deny(s, RDDR_DENIED_FAILED, &finding);
}

/* As rddr_session_dial. A connection that ended while it waited for the client is made anew. */
static void adopt(struct rddr_session *s, unsigned i, struct admitted *admitted)
{
	s->gate_open = false;
	if (rddr_session_adopt_dial(s, &s->many[i], admitted, on_dialled))
		rddr_session_dialled(s, &s->many[i], admitted->outcome);
	else
		rddr_session_dial(s, i);
}

static void begin_dials(struct rddr_session *s)
{
	const struct service *service = s->service;
	struct admitted *admitted = NULL;

	if (service->admission.on) {
		admitted = rddr_admission_take(s->worker->admission, service, &s->client, &s->destination);
		rddr_metrics_count(service->metrics, admitted ? METRIC_admission_adopted : METRIC_admission_missed);
	}
	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		if (service->instances[i].chainer.ops->wants_target)
			continue;
		if (admitted)
			adopt(s, i, &admitted[i]);
		else
			rddr_session_dial(s, i);
	}
	rddr_admission_drop(&admitted, s->n);
}

void rddr_session_begin_incoming(struct worker *worker, struct config *config, struct service *service, int fd,
				 const struct addr *client, const struct addr *destination)
{
	struct rddr_session *s = rddr_session_new(worker, config, service);

	if (!s) {
		rddr_metrics_count(service->metrics, METRIC_accept_failed);
		close(fd);
		rddr_worker_release(worker, service->n_instances + 1);
		return;
	}
	s->client = *client;
	s->destination = *destination;
	if (rddr_endpoint_open(&s->lone, fd, NULL) < 0) {
		rddr_session_close(s, SESSION_END_FAILED);
		return;
	}
	if (s->lone.shaking)
		rddr_handshake_begin(&s->lone);
	if (s->phase != SESSION_OPEN)
		return;
	rddr_session_create(s);
	begin_dials(s);
	if (s->phase == SESSION_OPEN) {
		rddr_session_open_gate(s); /* where every one waits for a target nobody is dialled yet */
		rddr_session_arm(s);
	}
}

/* ---- middle ---- */

/* Report mode: the client may be through before the others have said everything. They have until the skew deadline. */
static bool is_judged(const struct rddr_session *s)
{
	for (unsigned i = 1; i < s->n && rddr_session_reports(s) && s->comparing; i++) {
		const struct stream *in = &s->many[i].in;

		if (in->end == RDDR_END_OPEN || (in->end != RDDR_END_ABSENT && rddr_stream_unconsumed(in)))
			return false;
	}
	return true;
}

static bool finished(const struct rddr_session *s)
{
	if (!is_judged(s) || !s->many_done || s->lone.out.bytes || !s->lone.end_sent || s->lone.in.end == RDDR_END_OPEN)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];

		if (ep->state == ENDPOINT_OPEN && ep->out.bytes && !ep->broken)
			return false;
	}
	return true;
}

static void pump_denied(struct rddr_session *s)
{
	if (s->gather) {
		rddr_outgoing_pump_denied(s);
		return;
	}
	rddr_endpoint_flush(&s->lone);
	rddr_endpoint_discard(&s->lone);
	if (s->lone.broken || (s->lone.end_sent && s->lone.in.end != RDDR_END_OPEN))
		rddr_session_close(s, SESSION_END_DENIED);
	else if (s->lone.readable && s->lone.in.end == RDDR_END_OPEN)
		rddr_loop_again(s->worker->loop, &s->again);
}

/* Whether going through both directions once more can move anything without another event. */
static bool goes_on(const struct rddr_session *s)
{
	if (s->stirred || (s->lone.readable && s->lone.in.end == RDDR_END_OPEN))
		return true;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->many[i].readable && s->many[i].in.end == RDDR_END_OPEN)
			return true;
	}
	return false;
}

static void move_on(struct rddr_session *s)
{
	bool moved = true;

	if (s->phase == SESSION_DENIED)
		pump_denied(s);
	for (int round = 0; moved && s->phase == SESSION_OPEN; round++) {
		if (round == PUMP_ROUNDS) {
			rddr_loop_again(s->worker->loop, &s->again);
			break;
		}
		moved = rddr_fanout_run(s);
		if (s->phase == SESSION_OPEN)
			moved |= rddr_fanin_run(s);
		if (s->phase == SESSION_OPEN && s->finish_wanted)
			finish(s);
		moved = moved && goes_on(s);
	}
	if (s->phase == SESSION_OPEN && s->lone.broken)
		rddr_session_close(s, SESSION_END_LONE_RESET);
	else if (s->phase == SESSION_OPEN && (finished(s) || rddr_target_left_alone(s)))
		rddr_session_close(s, SESSION_END_DONE);
	else if (s->phase == SESSION_OPEN && rddr_upload_over(s))
		finish(s);
	else if (s->phase == SESSION_OPEN && rddr_upload_to_nobody(s))
		rddr_session_close(s, SESSION_END_MANY_RESET);
	else if (s->phase == SESSION_OPEN && rddr_outgoing_is_over(s))
		rddr_outgoing_settle(s);
}

void rddr_session_pump(struct rddr_session *s)
{
	s->active = rddr_loop_now(s->worker->loop);
	move_on(s);
}

static void go_on(void *ctx)
{
	struct rddr_session *s = ctx;

	if (s->phase != SESSION_CLOSED)
		rddr_session_pump(s);
}

void rddr_session_detach(struct rddr_session *s, unsigned i, const char *why)
{
	struct endpoint *ep = &s->many[i];
	unsigned left = 0;

	log_info("session: instance detached service=%s session=%llu instance=%s why=\"%s\"", s->service->name,
		 (unsigned long long)s->id, s->service->instances[i].name, why);
	rddr_metrics_count(s->service->metrics, METRIC_detached);
	rddr_endpoint_close(ep, false);
	s->replaying &= ~(1u << i);
	ep->in.end = RDDR_END_ABSENT;
	rddr_endpoint_reclaim(ep, rddr_stream_received(&ep->in));
	for (unsigned k = 1; k < s->n; k++)
		left += s->many[k].in.end != RDDR_END_ABSENT;
	s->comparing = left > 0;
	s->rejudge = true;
	/* A plugin that waits for what the many say may not hear of them again. */
	s->fanout_holds &= s->comparing;
	s->stirred = true;
	if (!s->gate_open)
		rddr_session_open_gate(s);
}

/* ---- end ---- */

/* Until the lone end has taken what it was sent, or the linger deadline has passed. */
static void linger(struct rddr_session *s)
{
	s->lone.end_wanted = true;
	s->waiting = rddr_loop_now(s->worker->loop);
	rddr_loop_timer_cancel(s->worker->loop, &s->timer);
	rddr_session_arm(s);
	pump_denied(s);
}

void rddr_session_deny(struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding)
{
	static const enum metric metrics[] = {
		[RDDR_DENIED_DIVERGENCE] = METRIC_denied_divergence,
		[RDDR_DENIED_MISSING] = METRIC_denied_missing,
		[RDDR_DENIED_LATE] = METRIC_denied_late,
		[RDDR_DENIED_EARLY_END] = METRIC_denied_early_end,
		[RDDR_DENIED_REJECTED] = METRIC_denied_rejected,
		[RDDR_DENIED_LIMIT] = METRIC_denied_limit,
		[RDDR_DENIED_FAILED] = METRIC_denied_failed,
	};
	_Static_assert(ARRAY_LEN(metrics) == RDDR_DENIAL_REASONS, "a counter for each reason");
	char reference[EVIDENCE_REFERENCE];

	if (s->phase != SESSION_OPEN)
		return;
	rddr_verdict_record(s, reason, finding, "deny", reference);
	rddr_metrics_count(s->service->metrics, METRIC_denied);
	rddr_metrics_count(s->service->metrics, metrics[reason]);

	s->phase = SESSION_DENIED;
	rddr_loop_undefer(s->worker->loop, &s->again);
	size_t agreed = s->lone.out.bytes, said = rddr_outgoing_said(s);
	const struct rddr_denial denial = {
		.size = sizeof(denial),
		.reason = reason,
		.reference = reference,
		.sent = s->sent,
		.mid_message = s->sent + agreed > 0 && !s->boundary,
	};
	if (s->created && s->ops->render_denial)
		s->ops->render_denial(s->state, &denial);
	if (s->gather) {
		rddr_outgoing_deny(s, said);
		return;
	}
	/* Nothing of the many is needed any more but what had agreed and is on its way. */
	for (unsigned i = 0; i < s->n; i++)
		rddr_endpoint_close(&s->many[i], true);

	if (s->lone.out.bytes == agreed || s->lone.state != ENDPOINT_OPEN) {
		rddr_session_close(s, SESSION_END_DENIED);
		return;
	}
	linger(s);
}

/* The plugin wants it so: the last words are on their way. */
static void finish(struct rddr_session *s)
{
	s->phase = SESSION_DENIED;
	rddr_loop_undefer(s->worker->loop, &s->again);
	rddr_offload_forget(s);
	if (s->gather) {
		rddr_outgoing_finish(s);
		return;
	}
	for (unsigned i = 0; i < s->n; i++) {
		rddr_endpoint_flush(&s->many[i]);
		rddr_endpoint_close(&s->many[i], false);
	}
	linger(s);
}

void rddr_session_close(struct rddr_session *s, enum session_end end)
{
	struct worker *w = s->worker;
	/* In order only where both sides ended in order: nobody may take a cut stream for a whole one. */
	bool reset = end != SESSION_END_DONE && !(end == SESSION_END_DENIED && s->lone.end_sent);
	/* Nothing was said that could be taken for whole; and the alert has to arrive. */
	bool reset_lone = reset && end != SESSION_END_TLS;

	if (s->phase == SESSION_CLOSED)
		return;
	s->phase = SESSION_CLOSED;
	log_debug("session: closed service=%s session=%llu end=%s in=%llu out=%llu", s->service->name,
		  (unsigned long long)s->id, rddr_session_end_name(end),
		  (unsigned long long)rddr_stream_received(&s->lone.in), (unsigned long long)s->sent);
	if (end == SESSION_END_LONE_RESET)
		rddr_metrics_count(s->service->metrics, METRIC_lone_resets);
	rddr_metrics_count(s->service->metrics, METRIC_sessions_ended);

	rddr_loop_timer_cancel(w->loop, &s->timer);
	rddr_loop_undefer(w->loop, &s->again);
	rddr_offload_forget(s);
	rddr_endpoint_close(&s->lone, reset_lone);
	rddr_target_forget(s);
	/* What the leader was asked, the others are asked as well, also when nobody waits for the answer any more. */
	bool behind = end == SESSION_END_LONE_RESET && rddr_lead_withholds(s);
	if (behind)
		rddr_lead_let_go(s);
	for (unsigned i = 0; i < s->n; i++) {
		if (behind)
			rddr_endpoint_flush(&s->many[i]);
		rddr_endpoint_close(&s->many[i], reset && !behind);
	}
	if (s->next)
		s->next->prev = s->prev;
	*(s->prev ? &s->prev->next : &w->sessions) = s->next;
	w->n_sessions--;
	rddr_worker_release(w, s->n + 1);
	if (s->gather)
		rddr_gather_left(s->gather);
	/* The plugin may be the caller's caller. */
	rddr_loop_defer(w->loop, &s->bury);
}

static void bury(void *ctx)
{
	struct rddr_session *s = ctx;
	struct worker *w = s->worker;

	if (s->created && s->ops->destroy)
		s->ops->destroy(s->state);
	rddr_endpoint_reclaim(&s->lone, rddr_stream_received(&s->lone.in));
	for (unsigned i = 0; i < s->n; i++)
		rddr_endpoint_reclaim(&s->many[i], rddr_stream_received(&s->many[i].in));
	rddr_target_free(s);
	rddr_config_put(&s->config);
	free(s);
	rddr_worker_ended(w);
}
