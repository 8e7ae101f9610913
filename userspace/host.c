/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * host.c - what the core does for a plugin, inside a call of the plugin's.
 *
 * A plugin that breaks the contract (a number out of range, more than its limit) marks the session as failed; the
 * caller of the plugin denies it.
 */
#include <string.h>

#include "handshake.h"
#include "log.h"
#include "metrics.h"
#include "offload.h"
#include "own.h"
#include "session.h"
#include "tables.h"
#include "target.h"
#include "worker.h"

static void own_bytes(struct rddr_session *s, struct endpoint *ep, const void *data, size_t len)
{
	if (ep->state == ENDPOINT_CLOSED || (ep->broken && !ep->replay.armed))
		return;
	s->stirred = true;
	/* What a call of the plugin's begins below the high watermark may bring one buffer more. */
	if (ep->out.own + len > 3 * (uint64_t)s->service->limits.buffer || rddr_outq_own(&ep->out, data, len) < 0)
		s->failed = true;
}

static void host_emit(struct rddr_session *s, uint32_t end, const void *data, size_t len)
{
	if (end == RDDR_LONE) {
		/* Report mode: the lone end gets what instance 0 said, and nothing else. */
		if (!rddr_session_reports(s) || s->held)
			own_bytes(s, &s->lone, data, len);
	} else if (end < s->n) {
		own_bytes(s, &s->many[end], data, len);
	} else {
		s->failed = true;
	}
}

/* Whether len more bytes of the source can be passed over; the caller of the plugin checks that they were consumed. */
static bool in_source(struct rddr_session *s, size_t len)
{
	const struct stream *in = &s->many[0].in;

	if (len <= rddr_stream_received(in) - in->released)
		return true;
	s->failed = true;
	return false;
}

static void host_release(struct rddr_session *s, size_t len)
{
	struct stream *in = &s->many[0].in;

	if (rddr_session_reports(s) || !in_source(s, len))
		return;
	if (rddr_outq_reference(&s->lone.out, in->released, len) < 0)
		s->failed = true;
	in->released += len;
}

static void host_discard(struct rddr_session *s, size_t len)
{
	if (!rddr_session_reports(s) && in_source(s, len))
		s->many[0].in.released += len;
}

static void host_segment_ref(struct rddr_session *s, unsigned instance, size_t offset, size_t len)
{
	if (instance >= s->n || offset > s->call_len || len > s->call_len - offset) {
		s->failed = true;
		return;
	}
	struct endpoint *ep = &s->many[instance];
	if (ep->state == ENDPOINT_CLOSED || (ep->broken && !ep->replay.armed))
		return;
	if (rddr_outq_reference(&ep->out, s->call_offset + offset, len) < 0)
		s->failed = true;
}

static void host_segment_own(struct rddr_session *s, unsigned instance, const void *data, size_t len)
{
	if (instance >= s->n || !s->call_len)
		s->failed = true;
	else
		own_bytes(s, &s->many[instance], data, len);
}

static void host_neutral(struct rddr_session *s, uint64_t state)
{
	if (!s->neutral)
		s->neutral_since = rddr_loop_now(s->worker->loop);
	s->neutral = true;
	s->neutral_state = state;
}

static void host_rest(struct rddr_session *s, unsigned instance)
{
	/* Report mode: how the client's connection ends is the source's matter. */
	if (instance >= s->n)
		s->failed = true;
	else if (instance > 0 || !rddr_session_reports(s))
		s->rest_wanted |= 1u << instance;
}

static bool host_charge_noise(struct rddr_session *s, size_t run)
{
	if (rddr_noise_budget_charge(&s->noise, &s->service->noise, run)) {
		rddr_metrics_add(s->service->metrics, METRIC_noise_bytes, run);
		return true;
	}
	rddr_metrics_count(s->service->metrics, METRIC_noise_over_budget);
	return false;
}

static void host_begin_answer(struct rddr_session *s)
{
	s->answering = true;
	s->requests++;
	rddr_noise_budget_begin(&s->noise);
}

static void host_log(struct rddr_session *s, const char *text)
{
	log_debug("plugin: %s service=%s session=%llu", text, s->service->name, (unsigned long long)s->id);
}

static struct rddr_table *host_table(struct rddr_session *s, const char *name, size_t entries)
{
	return rddr_tables_table(s->service->tables, name, entries);
}

static void host_client(const struct rddr_session *s, uint8_t address[16])
{
	size_t len;
	const uint8_t *bytes = rddr_addr_bytes(&s->client, &len);

	memset(address, 0, 16);
	if (len == 4)
		address[10] = address[11] = 0xff;
	memcpy(address + 16 - len, bytes, len);
}

static void host_count(struct rddr_session *s, enum rddr_counted what, uint64_t n)
{
	static const enum metric metrics[] = {
		[RDDR_COUNTED_REJECTED] = METRIC_plugin_rejected,
		[RDDR_COUNTED_TOKENS_LEARNT] = METRIC_plugin_tokens_learnt,
		[RDDR_COUNTED_TOKENS_REPLACED] = METRIC_plugin_tokens_replaced,
		[RDDR_COUNTED_NOISE_FIELDS] = METRIC_plugin_noise_fields,
		[RDDR_COUNTED_NOISE_RECALLED] = METRIC_plugin_noise_recalled,
		[RDDR_COUNTED_RULES_APPLIED] = METRIC_plugin_rules_applied,
		[RDDR_COUNTED_LOGINS] = METRIC_plugin_logins,
		[RDDR_COUNTED_LOGINS_REFUSED] = METRIC_plugin_logins_refused,
		[RDDR_COUNTED_TOKENS_KEPT] = METRIC_plugin_tokens_kept,
		[RDDR_COUNTED_UNKNOWN] = METRIC_plugin_unknown_messages,
		[RDDR_COUNTED_CONFLICTS] = METRIC_plugin_conflicts,
		[RDDR_COUNTED_CANCELS] = METRIC_plugin_cancels,
		[RDDR_COUNTED_HEADERS_DROPPED] = METRIC_plugin_headers_dropped,
		[RDDR_COUNTED_CORRELATED] = METRIC_plugin_correlated,
		[RDDR_COUNTED_CORRELATIONS_REMOVED] = METRIC_plugin_correlations_removed,
		[RDDR_COUNTED_CORRELATIONS_MISSING] = METRIC_plugin_correlations_missing,
		[RDDR_COUNTED_UNSENT] = METRIC_plugin_unsent,
		[RDDR_COUNTED_TOKENS_REFUSED] = METRIC_plugin_tokens_refused,
	};
	_Static_assert(ARRAY_LEN(metrics) == RDDR_COUNTED, "a counter for each");

	if ((unsigned)what < RDDR_COUNTED)
		rddr_metrics_add(s->service->metrics, metrics[what], n);
	else
		s->failed = true;
}

static void host_conceal(struct rddr_session *s, uint32_t end, size_t len)
{
	if (end != RDDR_LONE && end >= s->n) {
		s->failed = true;
		return;
	}
	struct stream *in = end == RDDR_LONE ? &s->lone.in : &s->many[end].in;
	in->concealed = len == SIZE_MAX ? UINT64_MAX : in->consumed + len;
}

static void host_finish(struct rddr_session *s)
{
	s->finish_wanted = true;
}

static void host_repeat(struct rddr_session *s, bool may)
{
	if (!s->call_len)
		s->failed = true;
	else
		rddr_replay_say(s, may);
}

static void host_lead(struct rddr_session *s, uint32_t ms)
{
	rddr_lead_begin(s, ms);
}

static void host_follow(struct rddr_session *s, uint64_t upto)
{
	rddr_lead_follow(s, upto);
}

static struct endpoint *end_of(struct rddr_session *s, uint32_t end)
{
	if (end == RDDR_LONE)
		return &s->lone;
	return end < s->n ? &s->many[end] : NULL;
}

static bool host_unsend(struct rddr_session *s, uint64_t from)
{
	return rddr_lead_unsend(s, from);
}

static enum rddr_tls host_tls(const struct rddr_session *s, uint32_t end)
{
	/* Only looked at. */
	const struct endpoint *ep = end_of((struct rddr_session *)(uintptr_t)s, end);

	return ep ? rddr_handshake_state(ep) : RDDR_TLS_NONE;
}

static bool host_start_tls(struct rddr_session *s, uint32_t end)
{
	if (end != RDDR_LONE && end >= s->n) {
		s->failed = true;
		return false;
	}
	return rddr_handshake_start(end_of(s, end));
}

static int host_target(struct rddr_session *s, const char *host, uint16_t port)
{
	return rddr_target_name(s, host, port);
}

static void host_again(struct rddr_session *s)
{
	s->rejudge = true;
}

static void host_mark(struct rddr_session *s, uint32_t end, uint64_t mark)
{
	if (end != RDDR_LONE && end >= s->n)
		s->failed = true;
	else
		end_of(s, end)->mark = mark;
}

static uint64_t host_marked(const struct rddr_session *s, uint32_t end)
{
	/* Only looked at. */
	const struct endpoint *ep = end_of((struct rddr_session *)(uintptr_t)s, end);

	return ep ? ep->mark : 0;
}

static void host_hold(struct rddr_session *s, bool on)
{
	if (s->gather && rddr_session_reports(s) && s->held != on)
		rddr_fanin_hold(s, on);
}

bool rddr_host_take_correlation(char out[RDDR_CORRELATION], const char *id)
{
	size_t len = 0;

	/* It goes into the log as it is. */
	while (len < RDDR_CORRELATION && ((id[len] >= '0' && id[len] <= '9') || (id[len] >= 'a' && id[len] <= 'z') ||
					  (id[len] >= 'A' && id[len] <= 'Z') || id[len] == '-' || id[len] == '_'))
		len++;
	if (len == RDDR_CORRELATION || id[len])
		return false;
	memcpy(out, id, len + 1);
	return true;
}

static void host_correlate(struct rddr_session *s, const char *id)
{
	if (!rddr_host_take_correlation(s->correlation, id))
		s->failed = true;
}

const struct rddr_host rddr_host_services = {
	.size = sizeof(struct rddr_host),
	.version = RDDR_DIFF_ABI,
	.emit = host_emit,
	.release = host_release,
	.discard = host_discard,
	.segment_ref = host_segment_ref,
	.segment_own = host_segment_own,
	.neutral = host_neutral,
	.charge_noise = host_charge_noise,
	.begin_answer = host_begin_answer,
	.log = host_log,
	.rest = host_rest,
	.table = host_table,
	.table_get = rddr_tables_get,
	.table_put = rddr_tables_put,
	.table_count = rddr_tables_count,
	.client = host_client,
	.count = host_count,
	.offload = rddr_offload,
	.conceal = host_conceal,
	.finish = host_finish,
	.part = rddr_upload_part,
	.repeat = host_repeat,
	.resend = rddr_replay_want,
	.lead = host_lead,
	.follow = host_follow,
	.tls = host_tls,
	.start_tls = host_start_tls,
	.target = host_target,
	.again = host_again,
	.mark = host_mark,
	.marked = host_marked,
	.hold = host_hold,
	.correlate = host_correlate,
	.withholds = rddr_lead_withholds,
	.unsend = host_unsend,
};
