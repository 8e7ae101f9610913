/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather_reload.c - what a reload makes of connections that wait, of those that are idle, and of those that are in a
 * session meanwhile.
 */
#include <string.h>

#include "gather_own.h"
#include "own.h"
#include "worker.h"

/* An instance's connection, as it was accepted. */
bool rddr_gather_is_of(const struct service *service, unsigned instance, const struct endpoint *ep)
{
	return rddr_config_instance_of(service, &ep->dial.remote, &ep->dial.local) == (int)instance;
}

/* An end that has no place in what a reload made of its gather is closed. */
static void fit_in(struct gather_end *end)
{
	const struct service *service = end->gather->service;
	bool known = rddr_gather_is_of(service, end->instance, &end->ep);

	end->ep.tls_conf = service->tls_many;
	if (!known)
		rddr_gather_stranger(service, &end->ep.dial.remote);
	/* Of one that agrees on TLS, what it began with may not be there any more. */
	if (!known || (end->ep.shaking && !service->tls_many))
		rddr_gather_drop(end, true);
}

/*
 * Connections of before a reload and of after it meet: the youngest config counts for all that come together, whichever
 * of them comes last. What nobody uses of the backend's was dialled as another one said, and what that checked may be
 * forbidden now. The gather may be gone behind it.
 */
void rddr_gather_use_config(struct gather *g, struct config *config, struct service *service)
{
	struct gather_list *const lists[] = {&g->shaking, &g->quiet, &g->waiting, &g->unseen};
	struct config *old = g->config;

	if (g->service == service || config->generation < old->generation)
		return;

	g->config = rddr_config_get(config);
	g->service = service;
	g->park->config = config;
	g->park->service = service;
	g->retired = false;
	while (g->spares)
		rddr_gather_spare_drop(g->spares);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		for (struct gather_end *end = lists[i]->first, *next; end; end = next) {
			next = end->next;
			fit_in(end);
		}
	}
	rddr_config_put(&old);
	rddr_gather_settle(g);
}

/* Whether what was gathered for one service is for the other now: the instances have one backend in common, the same.
 */
bool rddr_gather_may_become(const struct service *was, const struct service *is)
{
	const struct chainer_conf *from = &was->backend.chainer, *to = &is->backend.chainer;

	return is->direction == RDDR_OUTGOING && was->n_instances == is->n_instances && !strcmp(was->name, is->name) &&
	       !was->ops->opening == !is->ops->opening && from->has_remote == to->has_remote &&
	       (!to->has_remote || rddr_addr_equal(&from->remote, &to->remote));
}

struct service *rddr_gather_successor(const struct service *service, const struct config *config)
{
	for (size_t i = 0; i < config->n_services; i++) {
		if (rddr_gather_may_become(service, config->services[i]))
			return config->services[i];
	}
	return NULL;
}

void rddr_gather_reconfigure(struct worker *w)
{
	for (struct gather *g = w->gathers, *next; g; g = next) {
		struct service *service = rddr_gather_successor(g->service, w->config);

		next = g->next;
		if (service) {
			rddr_gather_use_config(g, w->config, service);
			rddr_loop_timer_cancel(w->loop, &g->timer);
			rddr_gather_arm(g);
		} else if (g->config->generation < w->config->generation) {
			g->retired = true;
			rddr_gather_close_idle(g);
		}
	}
}
