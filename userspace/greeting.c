/* SPDX-License-Identifier: BSD-2-Clause */
#include "greeting.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "metrics.h"
#include "own.h"
#include "proxy_protocol.h"
#include "session.h"
#include "worker.h"

struct greeting {
	struct greeting *next, *prev; /* of the worker's */
	struct worker *worker;
	struct config *config; /* a reference */
	struct service *service;
	struct watch watch;
	struct timer timer;
	int fd;
	struct addr peer, destination;
};

bool rddr_greeting_expected(const struct service *service, const struct addr *peer)
{
	for (size_t i = 0; i < service->n_balancers; i++) {
		if (rddr_prefix_contains(&service->balancers[i], peer))
			return true;
	}
	return false;
}

/* Gives everything back but the descriptor, and the count of descriptors. */
static void forget(struct greeting *g)
{
	struct worker *w = g->worker;

	rddr_loop_timer_cancel(w->loop, &g->timer);
	rddr_loop_unwatch(w->loop, &g->watch, g->fd);
	if (g->next)
		g->next->prev = g->prev;
	*(g->prev ? &g->prev->next : &w->greetings) = g->next;
	rddr_config_put(&g->config);
	free(g);
}

static void refuse(struct greeting *g, const char *why)
{
	struct linger at_once = {.l_onoff = 1};
	struct worker *w = g->worker;
	uint32_t fds = g->service->n_instances + 1;
	char peer[RDDR_ADDR_TEXT];
	int fd = g->fd;

	log_warning("greeting: refused service=%s peer=%s why=\"%s\"", g->service->name,
		    rddr_addr_format(&g->peer, peer, sizeof(peer)), why);
	rddr_metrics_count(g->service->metrics, METRIC_proxy_refused);
	forget(g);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
	rddr_worker_release(w, fds);
	rddr_worker_ended(w);
}

static void accepted(struct greeting *g, const struct proxy_header *header)
{
	struct worker *w = g->worker;
	struct config *config = rddr_config_get(g->config);
	struct service *service = g->service;
	struct addr client = header->local ? g->peer : header->source, destination = g->destination;
	int fd = g->fd;

	rddr_metrics_count(service->metrics, METRIC_proxy_accepted);
	forget(g);
	rddr_session_begin_incoming(w, config, service, fd, &client, &destination);
	rddr_config_put(&config);
}

/* Looks at what has come, and takes the header alone: what follows is the session's. */
static void on_bytes(void *ctx, unsigned events)
{
	struct greeting *g = ctx;
	uint8_t bytes[PROXY_HEADER_MAX];
	struct proxy_header header;
	ssize_t n = recv(g->fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		refuse(g, strerror(errno));
		return;
	}
	int r = rddr_proxy_protocol_parse(bytes, (size_t)n, &header);
	if (r == -EAGAIN && n && !(events & (LOOP_EOF | LOOP_ERROR)))
		return;
	if (r == -EAGAIN)
		refuse(g, "it ended inside the PROXY header");
	else if (r < 0)
		refuse(g, "no PROXY header");
	else if (recv(g->fd, bytes, header.len, MSG_DONTWAIT) != (ssize_t)header.len)
		refuse(g, "the PROXY header is gone");
	else
		accepted(g, &header);
}

static void on_late(void *ctx)
{
	refuse(ctx, "no PROXY header within deadlines.connect");
}

void rddr_greeting_begin(struct worker *w, struct config *config, struct service *service, int fd,
			 const struct addr *peer, const struct addr *destination)
{
	struct greeting *g = calloc(1, sizeof(*g));

	if (!g || rddr_loop_watch(w->loop, &g->watch, fd, LOOP_IN | LOOP_EDGE, on_bytes, g) < 0) {
		free(g);
		close(fd);
		rddr_metrics_count(service->metrics, METRIC_accept_failed);
		rddr_worker_release(w, service->n_instances + 1);
		return;
	}
	g->worker = w;
	g->config = rddr_config_get(config);
	g->service = service;
	g->fd = fd;
	g->peer = *peer;
	g->destination = *destination;
	g->timer = (struct timer){.fn = on_late, .ctx = g};
	g->next = w->greetings;
	if (g->next)
		g->next->prev = g;
	w->greetings = g;
	rddr_loop_timer_set(w->loop, &g->timer, rddr_loop_now(w->loop) + service->deadlines.connect);
}

void rddr_greeting_close_all(struct worker *w)
{
	while (w->greetings)
		refuse(w->greetings, "the daemon ends");
}
