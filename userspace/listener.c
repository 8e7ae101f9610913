/* SPDX-License-Identifier: BSD-2-Clause */
#include "listener.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "gather.h"
#include "greeting.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "session.h"
#include "worker.h"

#define BACKLOG 4096
/* When the system has no descriptor or memory left: after how many ms it is tried again. */
#define RETRY_MS 500
/* How often it is said that accepting stopped, in ms. */
#define SAY_AGAIN_MS 10000
/* Connections accepted in one turn, so that sessions have theirs. */
#define TURN 64

static int set(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int make_transparent(int fd, sa_family_t family)
{
	if (family == AF_INET) {
		int r = set(fd, IPPROTO_IP, IP_TRANSPARENT);
		return r < 0 ? r : set(fd, IPPROTO_IP, IP_PKTINFO);
	}
	int r = set(fd, IPPROTO_IPV6, IPV6_TRANSPARENT);
	return r < 0 ? r : set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO);
}

int rddr_listener_socket(const struct addr *at, bool transparent, bool reuse)
{
	_owned_fd_ int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (at->sa.sa_family == AF_INET6)
		r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (!r)
		r = set(fd, SOL_SOCKET, SO_REUSEADDR);
	if (!r && reuse)
		r = set(fd, SOL_SOCKET, SO_REUSEPORT);
	if (!r)
		r = set(fd, IPPROTO_TCP, TCP_NODELAY);
	if (!r && transparent)
		r = make_transparent(fd, at->sa.sa_family);
	if (r)
		return r;
	if (bind(fd, &at->sa, rddr_addr_len(at)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* The interface that a connection came in on; empty when the kernel does not tell. */
static void interface_of(int fd, sa_family_t family, char name[IF_NAMESIZE])
{
	char control[256];
	socklen_t len = sizeof(control);
	struct ifreq named = {0};
	unsigned index = 0;

	name[0] = '\0';
	if (getsockopt(fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		       family == AF_INET ? IP_PKTOPTIONS : IPV6_2292PKTOPTIONS, control, &len) < 0)
		return;
	struct msghdr msg = {.msg_control = control, .msg_controllen = len};
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			index = (unsigned)info.ipi_ifindex;
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			index = info.ipi6_ifindex;
		}
	}
	/* What if_indextoname() does with a socket of its own, for each connection. */
	named.ifr_ifindex = (int)index;
	if (index && ioctl(fd, SIOCGIFNAME, &named) == 0)
		snprintf(name, IF_NAMESIZE, "%s", named.ifr_name);
}

static struct service *service_named(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->n_services; i++) {
		if (!strcmp(config->services[i]->name, name))
			return config->services[i];
	}
	return NULL;
}

/* By the worker's config, or by the one before it, which the kernel's tables may have steered by. */
static struct service *service_of(struct listener *l, int fd, const struct addr *client, const struct addr *destination,
				  struct config **config)
{
	struct worker *w = l->worker;
	struct config *generations[] = {w->config, w->previous};
	char interface[IF_NAMESIZE] = "";

	if (!l->service && w->names_interfaces)
		interface_of(fd, destination->sa.sa_family, interface);
	for (size_t i = 0; i < ARRAY_LEN(generations) && generations[i]; i++) {
		*config = generations[i];
		if (l->service) {
			struct service *service = service_named(*config, l->service);
			if (service)
				return service;
			continue;
		}
		const struct rule *rule = rddr_config_match(*config, destination, client, interface);
		if (rule)
			return rule->service;
	}
	return NULL;
}

static void begin(struct listener *l, int fd, const struct addr *peer)
{
	struct worker *w = l->worker;
	struct addr client = *peer, destination;
	socklen_t len = sizeof(destination);

	memset(&destination, 0, sizeof(destination));
	if (getsockname(fd, &destination.sa, &len) < 0) {
		rddr_metrics_count(w->metrics, METRIC_accept_failed);
		close(fd);
		return;
	}
	rddr_addr_unmap(&client);
	rddr_addr_unmap(&destination);
	struct config *config;
	struct service *service = service_of(l, fd, &client, &destination, &config);
	if (!service) {
		/* The config changed between the SYN and now. A reset, so that nobody waits. */
		struct linger at_once = {.l_onoff = 1};

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		rddr_metrics_count(w->metrics, METRIC_no_service);
		close(fd);
		return;
	}
	if (service->direction == RDDR_OUTGOING) {
		rddr_gather_accept(w, config, service, fd, &client, &destination);
		return;
	}
	w->fds_used += service->n_instances + 1;
	if (rddr_greeting_expected(service, &client))
		rddr_greeting_begin(w, config, service, fd, &client, &destination);
	else
		rddr_session_begin_incoming(w, config, service, fd, &client, &destination);
}

static void on_connection(void *ctx, unsigned events)
{
	struct listener *l = ctx;
	struct worker *w = l->worker;

	(void)events;
	for (int i = 0; i < TURN; i++) {
		struct addr peer;
		socklen_t len = sizeof(peer);

		if (w->fds_used + w->fds_session > w->fds_max) {
			rddr_listener_pause_all(w);
			return;
		}
		memset(&peer, 0, sizeof(peer));
		int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			if (errno == EAGAIN)
				return;
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			rddr_metrics_count(w->metrics, METRIC_accept_failed);
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
				rddr_listener_pause_all(w);
				/* Not for want of our own: no session that ends need tell that there are some again. */
				rddr_loop_timer_set(w->loop, &w->retry, rddr_loop_now(w->loop) + RETRY_MS);
			}
			return;
		}
		begin(l, fd, &peer);
	}
}

void rddr_listener_empty(struct worker *w)
{
	/* More than this many in one queue there cannot be. */
	for (struct listener *l = w->listeners; l; l = l->next) {
		for (int i = 0; i < BACKLOG / TURN && !w->paused; i++)
			on_connection(l, LOOP_IN);
	}
}

static int watch_listener(struct listener *l)
{
	if (l->watch.slot)
		return 0;
	return rddr_loop_watch(l->worker->loop, &l->watch, l->fd, LOOP_IN, on_connection, l);
}

int rddr_listener_add(struct worker *w, int fd, const char *service)
{
	_owned_fd_ int owned = fd;
	struct listener *l = calloc(1, sizeof(*l));
	_owned_mem_ char *name = service ? strdup(service) : NULL;

	if (!l || (service && !name)) {
		free(l);
		return -ENOMEM;
	}
	*l = (struct listener){.worker = w, .fd = fd};
	int r = w->paused || w->draining ? 0 : watch_listener(l);
	if (r < 0) {
		free(l);
		return r;
	}
	l->service = TAKE_PTR(name);
	l->next = w->listeners;
	w->listeners = l;
	(void)TAKE_FD(owned);
	return 0;
}

void rddr_listener_drop(struct worker *w, struct listener **at)
{
	struct listener *l = *at;

	*at = l->next;
	rddr_loop_unwatch(w->loop, &l->watch, l->fd);
	close(l->fd);
	free(l->service);
	free(l);
}

void rddr_listener_resume_all(struct worker *w)
{
	if (w->draining)
		return;
	w->paused = false;
	for (struct listener *l = w->listeners; l; l = l->next) {
		int r = watch_listener(l);
		if (r < 0)
			err_r(r, "listener: cannot be watched again");
	}
}

void rddr_listener_pause_all(struct worker *w)
{
	uint64_t now = rddr_loop_now(w->loop);

	if (!w->paused)
		rddr_metrics_count(w->metrics, METRIC_accept_paused);
	if (!w->paused && (!w->said_paused || now - w->said_paused >= SAY_AGAIN_MS)) {
		w->said_paused = now;
		log_warning("listener: worker %u stops accepting until a session ends: descriptors in use %u of %u",
			    w->index, w->fds_used, w->fds_max);
	}
	w->paused = true;
	for (struct listener *l = w->listeners; l; l = l->next)
		rddr_loop_unwatch(w->loop, &l->watch, l->fd);
}
