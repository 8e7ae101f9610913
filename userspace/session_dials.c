/* SPDX-License-Identifier: BSD-2-Clause */
/* session_dials.c - what the dials of any end have in common: how they begin, and how they end. */
#include "admission.h"
#include "metrics.h"
#include "own.h"
#include "session.h"
#include "target.h"
#include "worker.h"

enum dial_outcome rddr_session_start_dial(struct rddr_session *s, struct endpoint *ep, const struct chainer_conf *conf,
					  void (*done)(struct dial *dial, enum dial_outcome outcome))
{
	struct dial_request request = {
		.loop = s->worker->loop,
		.client = &s->client,
		.destination = &s->destination,
		.own = &s->worker->own,
		.access = s->service->access,
		.service = s->service->name,
	};

	rddr_target_fill(s, &request);
	rddr_dial_init(&ep->dial);
	ep->dial.done = done;
	ep->state = ENDPOINT_DIALLING;
	s->dialling = rddr_loop_now(s->worker->loop);
	rddr_metrics_count(s->service->metrics, METRIC_dials);
	return rddr_chainer_connect_server(&ep->dial, conf, &request);
}

bool rddr_session_adopt_dial(struct rddr_session *s, struct endpoint *ep, struct admitted *admitted,
			     void (*done)(struct dial *dial, enum dial_outcome outcome))
{
	const struct dial *was = &admitted->dial;
	/* Access was decided when it was dialled. */
	const struct dial_request request = {
		.loop = s->worker->loop,
		.client = &s->client,
		.destination = &s->destination,
		.own = &s->worker->own,
		.service = s->service->name,
	};

	if (admitted->outcome == DIAL_PENDING)
		return false;
	ep->dial = *was;
	ep->dial.fd = -1;
	ep->dial.done = done;
	ep->dial.request = request; /* what the other pointed to was the attempt's */
	if (admitted->outcome == DIAL_CONNECTED &&
	    rddr_chainer_adopt(&ep->dial, was->conf, &request, TAKE_FD(admitted->dial.fd)) != DIAL_CONNECTED)
		return false;
	ep->dial.forged = was->forged;
	ep->dial.rung = was->rung;
	ep->dial.hosts_failed = was->hosts_failed;
	ep->dial.hosts_skipped = was->hosts_skipped;
	ep->dial.second_lap = was->second_lap;
	ep->state = ENDPOINT_DIALLING;
	s->dialling = rddr_loop_now(s->worker->loop);
	rddr_metrics_count(s->service->metrics, METRIC_dials);
	return true;
}

static void count(struct rddr_session *s, const struct dial *dial, enum dial_outcome outcome)
{
	static const enum metric metrics[DIAL_OUTCOMES] = {
		[DIAL_REFUSED] = METRIC_dial_refused,
		[DIAL_UNREACHABLE] = METRIC_dial_unreachable,
		[DIAL_TIMED_OUT] = METRIC_dial_timed_out,
		[DIAL_NO_PORT] = METRIC_dial_no_port,
		[DIAL_NOT_PERMITTED] = METRIC_dial_not_permitted,
		[DIAL_LOOP] = METRIC_dial_loop,
		[DIAL_UNRESOLVED] = METRIC_dial_unresolved,
		[DIAL_DENIED] = METRIC_dial_denied,
		[DIAL_FAILED] = METRIC_dial_failed,
	};
	static const enum metric rungs[FORGE_PORTS] = {
		[FORGE_PORT_EXACT] = METRIC_forge_exact,
		[FORGE_PORT_GROUP] = METRIC_forge_group,
		[FORGE_PORT_ANY] = METRIC_forge_any,
		[FORGE_PORT_RANDOM] = METRIC_forge_random,
	};

	rddr_metrics_add(s->service->metrics, METRIC_hosts_failed, dial->hosts_failed);
	rddr_metrics_add(s->service->metrics, METRIC_hosts_skipped, dial->hosts_skipped);
	rddr_metrics_add(s->service->metrics, METRIC_hosts_cleared, dial->second_lap);
	if (outcome != DIAL_CONNECTED)
		rddr_metrics_count(s->service->metrics, metrics[outcome]);
	else if (dial->forged)
		rddr_metrics_count(s->service->metrics, rungs[dial->rung]);
	else if (dial->conf && dial->conf->forge_addr)
		rddr_metrics_count(s->service->metrics, METRIC_forge_fallback);
}

enum dial_outcome rddr_session_take_dial(struct rddr_session *s, struct endpoint *ep, enum dial_outcome outcome)
{
	count(s, &ep->dial, outcome);
	if (outcome == DIAL_CONNECTED) {
		int fd = TAKE_FD(ep->dial.fd);

		if (rddr_endpoint_open(ep, fd, &ep->dial.watch) < 0)
			outcome = DIAL_FAILED;
		ep->dial.watch = (struct watch){0};
	}
	return outcome;
}
