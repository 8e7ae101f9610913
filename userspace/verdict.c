/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * verdict.c - what the service's policy makes of a divergence, and the evidence of it.
 */
#include "evidence.h"
#include "log.h"
#include "metrics.h"
#include "session.h"

/* Bytes in front of the first difference that an excerpt shows, where they are still there. */
#define CONTEXT 64

static bool present(const struct endpoint *ep)
{
	return ep->in.end != RDDR_END_ABSENT;
}

/* What an instance has at the offset of the difference: a byte, or the way in which its stream has none. */
static int shows(const struct endpoint *ep, size_t offset)
{
	const struct stream *in = &ep->in;

	if (!present(ep))
		return -1;
	if (offset < rddr_stream_unconsumed(in))
		return *rddr_stream_at(in, in->consumed + offset);
	return 256 + (int)in->end;
}

/* The one instance that differs from all the others, which agree; -1 when there is none. */
static int minority(const struct rddr_session *s, size_t offset)
{
	int odd = -1;

	if (s->n < 3)
		return -1;
	for (unsigned i = 0; i < s->n; i++) {
		int mine = shows(&s->many[i], offset);
		int others = shows(&s->many[i ? 0 : 1], offset);
		bool alone = mine != others;

		for (unsigned k = 0; alone && k < s->n; k++)
			alone = k == i || shows(&s->many[k], offset) == others;
		if (!alone)
			continue;
		if (odd >= 0)
			return -1;
		odd = (int)i;
	}
	return odd;
}

/* The same, where noise of the filter pair stands at the place: the pair agrees but for it, so the third is the odd
 * one. */
static int odd_one(const struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding,
		   size_t offset)
{
	int odd = minority(s, offset);

	if (reason == RDDR_DENIED_REJECTED)
		return -1;
	/* Who reads the protocol knows better than who sees bytes. */
	if (finding && finding->alone)
		return finding->alone <= s->n ? (int)(finding->alone - 1) : -1;
	if (odd < 0 && s->service->filter && s->n == 3 && reason == RDDR_DENIED_DIVERGENCE && finding &&
	    finding->instance == 2 && present(&s->many[0]) && present(&s->many[1]))
		return 2;
	return odd;
}

static const char *side_state(const struct rddr_session *s, unsigned i, enum rddr_denial_reason reason,
			      const struct rddr_finding *finding)
{
	if (finding && finding->instance == i && reason == RDDR_DENIED_LATE)
		return "late";
	if (finding && finding->instance == i && reason == RDDR_DENIED_MISSING)
		return "missing";
	if (!present(&s->many[i]))
		return "absent";
	return rddr_endpoint_state_name(&s->many[i]);
}

static void fill_side(const struct rddr_session *s, unsigned i, size_t offset, struct evidence_side *side)
{
	const struct endpoint *ep = &s->many[i];
	const struct stream *in = &ep->in;
	uint64_t received = rddr_stream_received(in);
	uint64_t at = in->consumed + offset;
	uint32_t room = rddr_evidence_excerpt();
	uint32_t context = CONTEXT < room / 2 ? CONTEXT : room / 2;
	uint64_t from = at > context ? at - context : 0;

	side->name = s->service->instances[i].name;
	side->address = ep->dial.remote;
	side->received = received;
	if (from < in->base)
		from = in->base;
	if (from < in->concealed)
		from = in->concealed;
	if (from >= received)
		return;
	side->excerpt = rddr_stream_at(in, from);
	side->excerpt_len = received - from < room ? (size_t)(received - from) : room;
	side->excerpt_offset = from;
}

void rddr_verdict_record(struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding,
			 const char *action, char *reference)
{
	struct evidence_side sides[RDDR_MAX_INSTANCES] = {0};
	size_t offset = finding ? finding->offset : 0;
	const char *why = finding && finding->why[0] ? finding->why : rddr_evidence_reason_name(reason);
	const char *where = finding ? finding->where : "";
	const struct evidence e = {
		.service = s->service->name,
		.action = action,
		.reason = rddr_evidence_reason_name(reason),
		.client = s->client,
		.destination = s->destination,
		.session = s->id,
		.request = s->requests,
		.offset = s->many[0].in.consumed + offset,
		.where = where,
		.why = why,
		.correlation = s->correlation[0] ? s->correlation : NULL,
		.n = s->n,
		.minority = odd_one(s, reason, finding, offset),
		.sides = sides,
	};
	char client[RDDR_ADDR_TEXT], destination[RDDR_ADDR_TEXT];

	for (unsigned i = 0; i < s->n; i++) {
		fill_side(s, i, offset, &sides[i]);
		sides[i].state = side_state(s, i, reason, finding);
	}
	rddr_evidence_reference(reference);
	bool kept = rddr_evidence_record(reference, &e);
	rddr_metrics_count(s->service->metrics, kept ? METRIC_evidence_recorded : METRIC_evidence_dropped);
	if (reason != RDDR_DENIED_REJECTED)
		rddr_metrics_count(s->service->metrics, METRIC_divergences);
	log_warning("verdict: %s service=%s reason=%s reference=%s client=%s destination=%s session=%llu "
		    "offset=%llu%s%s%s%s why=\"%s\"",
		    action, s->service->name, e.reason, reference, rddr_addr_format(&s->client, client, sizeof(client)),
		    rddr_addr_format(&s->destination, destination, sizeof(destination)), (unsigned long long)s->id,
		    (unsigned long long)e.offset, e.minority >= 0 ? " minority=" : "",
		    e.minority >= 0 ? sides[e.minority].name : "", e.correlation ? " correlation=" : "", s->correlation,
		    why);
}

/* Which instance goes: the one that the finding names, but never the one whose bytes the lone end gets. */
static unsigned to_detach(const struct rddr_session *s, const struct rddr_finding *finding)
{
	unsigned i = finding->instance ? finding->instance : finding->other;

	for (; !i || i >= s->n || !present(&s->many[i]); i++) {
		if (i >= s->n)
			i = 0;
	}
	return i;
}

static bool report(struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding)
{
	char reference[EVIDENCE_REFERENCE];

	rddr_verdict_record(s, reason, finding, "report", reference);
	rddr_metrics_count(s->service->metrics, METRIC_reported);
	if (reason == RDDR_DENIED_MISSING && finding->instance == 0) {
		/* The client sees what it would have seen without us: a server that cannot be reached. */
		rddr_session_close(s, SESSION_END_MANY_RESET);
		return false;
	}
	if (reason == RDDR_DENIED_LIMIT || reason == RDDR_DENIED_FAILED) {
		/* Nobody's fault in particular: there is no judging any more. */
		for (unsigned i = 1; i < s->n; i++) {
			if (present(&s->many[i]))
				rddr_session_detach(s, i, finding->why);
		}
	} else if (s->comparing) {
		rddr_session_detach(s, to_detach(s, finding), finding->why);
	}
	return true;
}

bool rddr_verdict_divergence(struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding)
{
	if (rddr_session_reports(s))
		return report(s, reason, finding);
	rddr_session_deny(s, reason, finding);
	return false;
}
