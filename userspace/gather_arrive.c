/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather_arrive.c - whose a connection is that was accepted for an outgoing service, and its way to the worker that
 * gathers those of its backend.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gather_own.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "worker.h"

static void close_at_once(int fd)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

void rddr_gather_stranger(const struct service *service, const struct addr *client)
{
	char text[RDDR_ADDR_TEXT];

	log_info("gather: refused: nobody's instance service=%s client=%s", service->name,
		 rddr_addr_format(client, text, sizeof(text)));
	rddr_metrics_count(service->metrics, METRIC_strangers);
}

static void arrive(void *ctx)
{
	_owned_mem_ struct gather_arrival *a = ctx;
	struct worker *w = a->worker;

	__atomic_sub_fetch(&w->handed_over, 1, __ATOMIC_RELAXED);
	if (w->gone || !rddr_gather_take_in(w, a))
		close_at_once(a->fd);
	rddr_config_put(&a->config);
	if (!w->gone)
		rddr_worker_ended(w);
}

/* All of one backend's meet on one worker. */
static struct worker *owner_of(struct worker *w, const struct service *service, const struct addr *destination)
{
	size_t len;
	const uint8_t *bytes = rddr_addr_bytes(destination, &len);
	uint32_t h = rddr_addr_port(destination);

	for (size_t i = 0; i < len; i++)
		h = h * 31 + bytes[i];
	for (const char *c = service->name; *c; c++)
		h = h * 31 + (uint8_t)*c;
	return w->n_peers ? w->peers[h % w->n_peers] : w;
}

void rddr_gather_accept(struct worker *w, struct config *config, struct service *service, int fd,
			const struct addr *client, const struct addr *destination)
{
	int instance = rddr_config_instance_of(service, client, destination);
	const struct chainer_conf *backend = &service->backend.chainer;
	struct gather_arrival *a;

	if (instance < 0) {
		rddr_gather_stranger(service, client);
		close_at_once(fd);
		return;
	}
	a = malloc(sizeof(*a));
	if (!a) {
		rddr_metrics_count(service->metrics, METRIC_accept_failed);
		close_at_once(fd);
		return;
	}
	*a = (struct gather_arrival){
		.config = rddr_config_get(config),
		.service = service,
		.client = *client,
		.addressed = *destination,
		/* Where each instance has a port of its own, the backend is what they have in common. */
		.destination = backend->has_remote ? backend->remote : *destination,
		.instance = (unsigned)instance,
		.fd = fd,
	};
	a->worker = owner_of(w, service, &a->destination);
	__atomic_add_fetch(&a->worker->handed_over, 1, __ATOMIC_RELAXED);
	if (a->worker == w) {
		arrive(a);
	} else if (rddr_worker_call(a->worker, arrive, a) < 0) {
		__atomic_sub_fetch(&a->worker->handed_over, 1, __ATOMIC_RELAXED);
		rddr_metrics_count(service->metrics, METRIC_accept_failed);
		close_at_once(fd);
		rddr_config_put(&a->config);
		free(a);
	}
}
