/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather_spare.c - what a gather does besides: it keeps connections to the backend for the next group, and refuses
 * those of the instances that found no partner.
 */
#include <errno.h>
#include <stdlib.h>

#include "evidence.h"
#include "gather_own.h"
#include "log.h"
#include "metrics.h"
#include "worker.h"

/* ---- connections to the backend ---- */

void rddr_gather_spare_free(struct gather_spare *spare)
{
	struct gather *g = spare->gather;

	*(spare->prev ? &spare->prev->next : &g->spares) = spare->next;
	*(spare->next ? &spare->next->prev : &g->oldest_spare) = spare->prev;
	g->n_spares--;
	free(spare);
}

void rddr_gather_spare_drop(struct gather_spare *spare)
{
	struct gather *g = spare->gather;

	rddr_endpoint_close(&spare->ep, false);
	rddr_endpoint_reclaim(&spare->ep, rddr_stream_received(&spare->ep.in));
	rddr_gather_spare_free(spare);
	rddr_worker_release(g->worker, 1);
}

/* Whatever happens to it: it is not to be used any more. */
static void on_spare(void *ctx, unsigned events)
{
	struct gather_spare *spare = ctx;
	struct gather *g = spare->gather;

	if (!(events & (LOOP_IN | LOOP_EOF | LOOP_ERROR)))
		return;
	rddr_gather_spare_drop(spare);
	rddr_gather_settle(g);
}

void rddr_gather_spare_keep(struct gather *g, struct endpoint *ep, uint64_t identity, const struct addr *client)
{
	struct gather_spare *spare = calloc(1, sizeof(*spare));

	if (!spare)
		return;
	rddr_endpoint_init(&spare->ep, g->park, ep->transport, &g->park->lone.in);
	rddr_endpoint_move(&spare->ep, ep);
	rddr_loop_retarget(g->worker->loop, &spare->ep.watch, on_spare, spare);
	spare->gather = g;
	spare->identity = identity;
	spare->client = *client;
	spare->since = rddr_loop_now(g->worker->loop);
	spare->next = g->spares;
	*(g->spares ? &g->spares->prev : &g->oldest_spare) = spare;
	g->spares = spare;
	g->n_spares++;
	g->worker->fds_used++;
}

/* The youngest: a server is the least likely to close it just now. Its source was forged from that address, and access
 * decided for it. */
struct gather_spare *rddr_gather_spare_find(struct gather *g, uint64_t identity, const struct addr *client)
{
	for (struct gather_spare *spare = g->spares; spare; spare = spare->next) {
		if (spare->identity == identity && rddr_addr_same_host(&spare->client, client))
			return spare;
	}
	return NULL;
}

/* ---- refusing ---- */

static void record(const struct gather_end *end, enum rddr_denial_reason reason, const char *why, const char *reference)
{
	const struct gather *g = end->gather;
	const struct stream *in = &end->ep.in;
	struct evidence_side sides[RDDR_MAX_INSTANCES] = {0};
	struct evidence e = {
		.service = g->service->name,
		.action = "deny",
		.reason = rddr_evidence_reason_name(reason),
		.client = end->ep.dial.remote,
		.destination = g->destination,
		.session = end->last,
		.offset = in->consumed,
		.where = "the opening",
		.why = why,
		.correlation = end->correlation[0] ? end->correlation : NULL,
		.n = g->n,
		.minority = -1,
		.sides = sides,
	};
	char client[RDDR_ADDR_TEXT], destination[RDDR_ADDR_TEXT];

	for (unsigned i = 0; i < g->n; i++) {
		sides[i].name = g->service->instances[i].name;
		sides[i].state = i == end->instance ? rddr_endpoint_state_name(&end->ep) : "missing";
	}
	struct evidence_side *side = &sides[end->instance];
	side->address = end->ep.dial.remote;
	side->received = rddr_stream_received(in);
	uint64_t from = in->concealed > in->consumed ? in->concealed : in->consumed;
	side->excerpt_len = from < side->received ? (size_t)(side->received - from) : 0;
	if (side->excerpt_len > rddr_evidence_excerpt())
		side->excerpt_len = rddr_evidence_excerpt();
	side->excerpt = side->excerpt_len ? rddr_stream_at(in, from) : NULL;
	side->excerpt_offset = from;
	bool kept = rddr_evidence_record(reference, &e);
	rddr_metrics_count(g->service->metrics, kept ? METRIC_evidence_recorded : METRIC_evidence_dropped);
	log_warning("gather: deny service=%s reason=%s reference=%s instance=%s client=%s destination=%s%s%s "
		    "why=\"%s\"",
		    g->service->name, e.reason, reference, side->name,
		    rddr_addr_format(&e.client, client, sizeof(client)),
		    rddr_addr_format(&g->destination, destination, sizeof(destination)),
		    e.correlation ? " correlation=" : "", end->correlation, why);
}

void rddr_gather_refuse(struct gather_end *end, enum rddr_denial_reason reason, const char *why)
{
	struct metrics_set *metrics = end->gather->service->metrics;
	char reference[EVIDENCE_REFERENCE];

	rddr_evidence_reference(reference);
	record(end, reason, why, reference);
	if (reason == RDDR_DENIED_MISSING) {
		rddr_metrics_count(metrics, METRIC_partners_missing);
		rddr_metrics_count(metrics, METRIC_denied_missing);
	}
	if (reason != RDDR_DENIED_REJECTED)
		rddr_metrics_count(metrics, METRIC_divergences);
	else
		rddr_metrics_count(metrics, METRIC_denied_rejected);
	rddr_metrics_count(metrics, METRIC_denied);
	rddr_gather_drop(end, true);
}

/* ---- agreeing on TLS ---- */

static void shake_failed(struct gather_end *end)
{
	char client[RDDR_ADDR_TEXT];

	log_info("gather: handshake failed service=%s instance=%s client=%s why=\"%s\"", end->gather->service->name,
		 end->gather->service->instances[end->instance].name,
		 rddr_addr_format(&end->ep.dial.remote, client, sizeof(client)), end->ep.transport->why(&end->ep));
	rddr_gather_drop(end, true);
}

bool rddr_gather_shake(struct gather_end *end)
{
	struct endpoint *ep = &end->ep;
	int r = ep->transport->shake(ep);

	if (r == -EAGAIN) {
		ep->readable = ep->writable = false;
		return false;
	}
	if (r < 0) {
		shake_failed(end);
		return false;
	}
	ep->shaking = false;
	/* The last flight may have had bytes behind it. */
	ep->readable = ep->writable = true;
	rddr_gather_list_take(end);
	end->since = rddr_loop_now(end->gather->worker->loop);
	rddr_gather_list_put(end, &end->gather->quiet);
	return true;
}

void rddr_gather_secure(struct gather_end *end)
{
	struct endpoint *ep = &end->ep;

	/* What came in clear behind the request for it is not to be taken for encrypted. */
	if (ep->out.bytes || ep->broken || end->replied != rddr_stream_unconsumed(&ep->in)) {
		rddr_gather_refuse(end, RDDR_DENIED_REJECTED, "bytes in clear came behind the request for TLS");
		return;
	}
	ep->transport = &rddr_transport_tls;
	if (ep->transport->open(ep) < 0) {
		rddr_gather_drop(end, true);
		return;
	}
	ep->shaking = true;
	rddr_gather_list_take(end);
	end->since = rddr_loop_now(end->gather->worker->loop);
	rddr_gather_list_put(end, &end->gather->shaking);
	rddr_gather_shake(end);
}

void rddr_gather_shake_late(struct gather_end *end)
{
	end->ep.transport->late(&end->ep);
	shake_failed(end);
}
