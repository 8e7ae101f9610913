/* SPDX-License-Identifier: BSD-2-Clause */
/* session_dials.c - how the dials of sessions ended, as counters. */
#include "metrics.h"
#include "own.h"
#include "session.h"

void rddr_session_count_dial(struct rddr_session *s, const struct dial *dial, enum dial_outcome outcome)
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
