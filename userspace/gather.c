/* SPDX-License-Identifier: BSD-2-Clause */
#include "gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gather_own.h"
#include "handshake.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "worker.h"

static void on_end(void *ctx, unsigned events);
static void on_timer(void *ctx);
static void look_again(void *ctx);
static void bury(void *ctx);

/* ---- lists ---- */

void rddr_gather_list_put(struct gather_end *end, struct gather_list *list)
{
	rddr_gather_list_put_behind(end, list, list->last);
}

void rddr_gather_list_put_behind(struct gather_end *end, struct gather_list *list, struct gather_end *before)
{
	end->list = list;
	end->prev = before;
	end->next = before ? before->next : list->first;
	*(before ? &before->next : &list->first) = end;
	*(end->next ? &end->next->prev : &list->last) = end;
}

void rddr_gather_list_take(struct gather_end *end)
{
	struct gather_list *list = end->list;

	if (!list)
		return;
	*(end->prev ? &end->prev->next : &list->first) = end->next;
	*(end->next ? &end->next->prev : &list->last) = end->prev;
	end->list = NULL;
}

/* ---- gathers ---- */

static struct rddr_session *new_park(struct worker *w, struct config *config, struct service *service)
{
	struct rddr_session *park = calloc(1, sizeof(*park));

	if (!park)
		return NULL;
	park->worker = w;
	park->config = config;
	park->service = service;
	park->phase = SESSION_CLOSED;
	return park;
}

static bool fits(const struct gather *g, const struct service *service, const struct addr *destination)
{
	return !g->gone && rddr_gather_may_become(g->service, service) && rddr_addr_equal(&g->destination, destination);
}

static struct gather *gather_for(struct worker *w, struct config *config, struct service *service,
				 const struct addr *destination)
{
	struct gather *g;

	for (g = w->gathers; g; g = g->next) {
		if (!fits(g, service, destination))
			continue;
		rddr_gather_use_config(g, config, service);
		if (!g->gone)
			return g;
		break; /* with what the reload took away it had nothing left */
	}
	g = calloc(1, sizeof(*g));
	struct rddr_session *park = g ? new_park(w, config, service) : NULL;
	if (!park) {
		free(g);
		return NULL;
	}
	g->worker = w;
	g->config = rddr_config_get(config);
	g->service = service;
	g->park = park;
	g->retired = config->generation < w->config->generation; /* it has no successor: see gather_of() */
	g->destination = *destination;
	g->n = service->n_instances;
	g->timer = (struct timer){.fn = on_timer, .ctx = g};
	g->again = (struct deferred){.fn = look_again, .ctx = g};
	g->bury = (struct deferred){.fn = bury, .ctx = g};
	g->next = w->gathers;
	if (g->next)
		g->next->prev = g;
	w->gathers = g;
	return g;
}

static bool is_empty(const struct gather *g)
{
	return !g->sessions && !g->spares && !g->shaking.first && !g->quiet.first && !g->waiting.first &&
	       !g->unseen.first;
}

/* With the last connection the gather goes, too. */
void rddr_gather_settle(struct gather *g)
{
	struct worker *w = g->worker;

	if (!g->gone && is_empty(g)) {
		g->gone = true;
		*(g->prev ? &g->prev->next : &w->gathers) = g->next;
		if (g->next)
			g->next->prev = g->prev;
		rddr_loop_timer_cancel(w->loop, &g->timer);
		rddr_loop_undefer(w->loop, &g->again);
		rddr_loop_defer(w->loop, &g->bury);
	}
	rddr_worker_ended(w);
}

static void bury(void *ctx)
{
	struct gather *g = ctx;

	rddr_config_put(&g->config);
	free(g->park);
	free(g);
}

/* ---- deadlines ---- */

static void earliest(uint64_t *when, uint64_t other)
{
	if (other < *when)
		*when = other;
}

/* How long an end may say nothing. */
static uint32_t quiet_ms(const struct gather *g)
{
	return rddr_gather_by_exchange(g) ? g->service->deadlines.idle : g->service->gather.first;
}

void rddr_gather_arm(struct gather *g)
{
	uint64_t when = UINT64_MAX;

	if (g->gone)
		return;
	if (g->shaking.first)
		earliest(&when, g->shaking.first->since + g->service->deadlines.connect);
	if (g->quiet.first)
		earliest(&when, g->quiet.first->since + quiet_ms(g));
	if (g->waiting.first)
		earliest(&when, g->waiting.first->since + g->service->gather.partner);
	if (g->oldest_spare)
		earliest(&when, g->oldest_spare->since + g->service->gather.idle);
	if (when != UINT64_MAX && (!g->timer.armed || when < g->timer.when))
		rddr_loop_timer_set(g->worker->loop, &g->timer, when);
}

/* ---- ends ---- */

static void forget(struct gather_end *end)
{
	rddr_gather_unmatch(end);
	rddr_gather_list_take(end);
	end->gather->count[end->instance]--;
	free(end);
}

void rddr_gather_drop(struct gather_end *end, bool reset)
{
	struct gather *g = end->gather;

	rddr_endpoint_close(&end->ep, reset);
	rddr_endpoint_reclaim(&end->ep, rddr_stream_received(&end->ep.in));
	forget(end);
	rddr_worker_release(g->worker, 1);
	rddr_gather_settle(g);
}

static void on_end(void *ctx, unsigned events)
{
	struct gather_end *end = ctx;
	struct gather *g = end->gather;

	rddr_endpoint_note(&end->ep, events);
	if (end->ep.shaking && !rddr_gather_shake(end)) {
		rddr_gather_arm(g);
		return;
	}
	if (end->ep.out.bytes)
		rddr_endpoint_flush(&end->ep);
	rddr_gather_look(end);
	rddr_gather_arm(g);
}

static void expire(struct gather *g)
{
	uint64_t now = rddr_loop_now(g->worker->loop);

	while (!g->gone && g->shaking.first && now >= g->shaking.first->since + g->service->deadlines.connect)
		rddr_gather_shake_late(g->shaking.first);
	while (!g->gone && g->quiet.first && now >= g->quiet.first->since + quiet_ms(g)) {
		if (rddr_gather_by_exchange(g))
			rddr_gather_drop(g->quiet.first, false);
		else
			rddr_gather_silent(g->quiet.first);
	}
	while (!g->gone && g->waiting.first && now >= g->waiting.first->since + g->service->gather.partner)
		rddr_gather_expire(g->waiting.first);
	while (!g->gone && g->oldest_spare && now >= g->oldest_spare->since + g->service->gather.idle) {
		rddr_gather_spare_drop(g->oldest_spare);
		rddr_gather_settle(g);
	}
	rddr_gather_arm(g);
}

static void look_again(void *ctx)
{
	struct gather *g = ctx;

	/* What is put there meanwhile comes with the next batch. */
	for (struct gather_end *end = g->unseen.first, *last = g->unseen.last, *next; end; end = next) {
		next = end == last ? NULL : end->next;
		rddr_gather_look(end);
		if (g->gone)
			return;
	}
	/* Whose deadline has passed meanwhile: the timer, which comes first in a batch, may never find them waiting. */
	expire(g);
}

static void on_timer(void *ctx)
{
	expire(ctx);
}

/* ---- groups ---- */

struct differences {
	bool loose;	/* they do not say the same */
	bool regrouped; /* they were not together before */
};

static struct differences find_differences(const struct gather *g, struct gather_end *const ends[])
{
	const struct gather_end *one = NULL;
	struct differences found = {false, false};

	for (unsigned i = 0; i < g->n; i++) {
		if (!ends[i])
			continue;
		if (one) {
			found.loose |= ends[i]->bucket != one->bucket;
			found.regrouped |= ends[i]->last != one->last;
		}
		one = ends[i];
	}
	return found;
}

static void begin(struct gather *g, struct gather_end *const ends[], bool alone)
{
	struct worker *w = g->worker;
	const struct differences found = find_differences(g, ends);
	struct group group = {
		.gather = g,
		.config = g->config,
		.service = g->service,
		.destination = g->destination,
		.alone = alone,
		.loose = found.loose,
	};
	unsigned present = 0;
	struct gather_end *source = NULL;

	for (unsigned i = 0; i < g->n; i++) {
		if (!ends[i])
			continue;
		rddr_gather_unmatch(ends[i]);
		rddr_gather_list_take(ends[i]);
		group.many[i] = &ends[i]->ep;
		group.replied[i] = ends[i]->replied;
		if (!source || i == g->service->source)
			source = ends[i];
		if (!group.correlation || !group.correlation[0])
			group.correlation = ends[i]->correlation;
		present++;
	}
	if (!source)
		return;
	group.client = source->ep.dial.remote;
	group.identity = source->identity;
	rddr_metrics_count(g->service->metrics, alone ? METRIC_gather_alone : METRIC_groups);
	if (found.regrouped)
		rddr_metrics_count(g->service->metrics, METRIC_regroupings);

	struct gather_spare *spare = alone ? NULL : rddr_gather_spare_find(g, group.identity, &group.client);
	group.lone = spare ? &spare->ep : NULL;
	if (spare)
		rddr_metrics_count(g->service->metrics, METRIC_backend_reused);
	/* The session gives back what a whole one has. */
	w->fds_used += g->n + 1 - present - (spare != NULL);
	g->sessions++;
	rddr_session_begin_outgoing(w, &group);
	for (unsigned i = 0; i < g->n; i++) {
		if (ends[i])
			forget(ends[i]);
	}
	if (spare)
		rddr_gather_spare_free(spare);
	rddr_gather_settle(g);
}

void rddr_gather_begin(struct gather *g, struct gather_end *const ends[])
{
	begin(g, ends, false);
}

void rddr_gather_begin_alone(struct gather_end *end)
{
	struct gather_end *ends[RDDR_MAX_INSTANCES] = {0};

	ends[end->instance] = end;
	begin(end->gather, ends, true);
}

void rddr_gather_left(struct gather *g)
{
	g->sessions--;
	rddr_gather_settle(g);
}

static struct gather_end *new_end(struct gather *g, unsigned instance, const struct transport *transport)
{
	struct gather_end *end = calloc(1, sizeof(*end));

	if (!end)
		return NULL;
	end->gather = g;
	end->instance = instance;
	end->since = rddr_loop_now(g->worker->loop);
	rddr_endpoint_init(&end->ep, g->park, transport, &g->park->lone.in);
	end->ep.tls_conf = g->service->tls_many;
	g->count[instance]++;
	return end;
}

/* Nothing is kept of what came to an end. */
static bool keeps_nothing(const struct gather *g)
{
	return g->worker->draining || g->retired;
}

static void come_back(struct gather *g, struct rddr_session *s, unsigned i)
{
	struct endpoint *ep = &s->many[i];
	struct gather_end *end;

	if (ep->state != ENDPOINT_OPEN || ep->broken || keeps_nothing(g))
		return;
	/* A reload came while it was in the session. */
	if (s->service != g->service && !rddr_gather_is_of(g->service, i, ep)) {
		rddr_gather_stranger(g->service, &ep->dial.remote);
		return;
	}
	end = new_end(g, i, ep->transport);
	if (!end)
		return;
	ep->in.released = ep->in.consumed;
	rddr_endpoint_reclaim(ep, ep->in.consumed);
	rddr_endpoint_move(&end->ep, ep);
	rddr_loop_retarget(g->worker->loop, &end->ep.watch, on_end, end);
	end->identity = s->neutral_state;
	end->last = s->id;
	g->worker->fds_used++;
	/* What has come in the meantime makes no event any more. */
	rddr_gather_list_put(end, &g->unseen);
	rddr_loop_again(g->worker->loop, &g->again);
}

/* What others may wait for: as what new connections are known from now on, or what is noise in what they say. That
 * other exchanges go on is no news. */
static bool found_out(const struct rddr_session *s)
{
	return !s->alone && (s->loose || (!s->identity && s->neutral_state));
}

void rddr_gather_return(struct rddr_session *s)
{
	struct gather *g = s->gather;
	struct endpoint *lone = &s->lone;

	for (unsigned i = 0; i < s->n; i++)
		come_back(g, s, i);
	if (lone->state == ENDPOINT_OPEN && lone->in.end == RDDR_END_OPEN && !lone->broken && !lone->readable &&
	    !rddr_stream_unconsumed(&lone->in) && g->service->gather.idle && s->service == g->service &&
	    !keeps_nothing(g)) {
		rddr_endpoint_reclaim(lone, rddr_stream_received(&lone->in));
		rddr_gather_spare_keep(g, lone, s->neutral_state, &s->client);
	}
	if (rddr_gather_by_exchange(g) && found_out(s))
		rddr_gather_look_anew(g);
	rddr_gather_arm(g);
}

/* ---- taking in ---- */

/* Where the arrival belongs; NULL: there is no memory. */
static struct gather *gather_of(struct worker *w, const struct gather_arrival *a)
{
	struct service *now = NULL;

	/* Whoever accepted it had not heard of the reload. */
	if (a->config->generation < w->config->generation)
		now = rddr_gather_successor(a->service, w->config);
	if (now)
		return gather_for(w, w->config, now, &a->destination);
	return gather_for(w, a->config, a->service, &a->destination);
}

bool rddr_gather_take_in(struct worker *w, const struct gather_arrival *a)
{
	struct gather *g = gather_of(w, a);
	struct gather_end *end = NULL;

	if (!g) {
		rddr_metrics_count(a->service->metrics, METRIC_accept_failed);
		return false;
	}
	int instance = g->service == a->service ? (int)a->instance
						: rddr_config_instance_of(g->service, &a->client, &a->addressed);
	if (instance < 0)
		rddr_gather_stranger(g->service, &a->client);
	else if (g->count[instance] >= g->service->gather.waiting || w->fds_used + w->fds_session > w->fds_max)
		rddr_metrics_count(g->service->metrics, METRIC_gather_full);
	else
		end = new_end(g, (unsigned)instance, &rddr_transport_tcp);
	if (end)
		rddr_handshake_accept(&end->ep, end->ep.tls_conf);
	if (!end || rddr_endpoint_open(&end->ep, a->fd, NULL) < 0) {
		bool taken = end != NULL;

		if (end) {
			g->count[end->instance]--;
			free(end);
		}
		rddr_gather_settle(g);
		return taken;
	}
	w->fds_used++;
	end->ep.dial.remote = a->client;
	end->ep.dial.local = a->addressed;
	rddr_loop_retarget(w->loop, &end->ep.watch, on_end, end);
	rddr_gather_list_put(end, end->ep.shaking ? &g->shaking : &g->quiet);
	if (end->ep.shaking && rddr_gather_shake(end))
		rddr_gather_look(end);
	rddr_gather_arm(g);
	return true;
}

/* ---- the end ---- */

static void drop_all(struct gather_list *list)
{
	/* The last one takes the gather with it, but not before the batch is over. */
	while (list->first)
		rddr_gather_drop(list->first, false);
}

void rddr_gather_close_idle(struct gather *g)
{
	drop_all(&g->shaking);
	drop_all(&g->quiet);
	while (g->spares)
		rddr_gather_spare_drop(g->spares);
	rddr_gather_settle(g);
}

void rddr_gather_drain(struct worker *w)
{
	for (struct gather *g = w->gathers, *next; g; g = next) {
		next = g->next;
		rddr_gather_close_idle(g);
	}
}

bool rddr_gather_is_busy(const struct worker *w)
{
	if (__atomic_load_n(&w->handed_over, __ATOMIC_RELAXED))
		return true;
	for (const struct gather *g = w->gathers; g; g = g->next) {
		if (g->waiting.first || g->unseen.first)
			return true;
	}
	return false;
}

void rddr_gather_close(struct worker *w)
{
	rddr_gather_drain(w);
	for (struct gather *g = w->gathers, *next; g; g = next) {
		next = g->next;
		drop_all(&g->waiting);
		drop_all(&g->unseen);
	}
}
