/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon_sockets.c - the sockets that the daemon listens on: one for each worker and family where connections are
 * steered to, one for each worker and service that listens. And what these, and others, leave of the limit of open
 * files to sessions.
 *
 * Those that a config needs are opened first, all or none, and lie behind the others, nobody's yet; so a config whose
 * sockets cannot be had is refused while the one before it is whole.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "checker.h"
#include "daemon.h"
#include "listener.h"
#include "log.h"
#include "own.h"

/* Descriptors that are not sessions', besides those that are counted: the control's clients, maps, files, look-ups. */
#define FDS_ASIDE  192
#define FDS_WORKER 2 /* a worker's loop */

static struct daemon_socket *socket_new(struct daemon *d)
{
	size_t n = d->n_sockets + d->n_opened;
	struct daemon_socket *more = realloc(d->sockets, (n + 1) * sizeof(*more));

	if (!more)
		return NULL;
	d->sockets = more;
	more[n] = (struct daemon_socket){.fd = -1};
	return &more[n];
}

static int open_at(struct daemon *d, const struct addr *at, unsigned worker, const char *service)
{
	_owned_mem_ char *name = service ? strdup(service) : NULL;
	struct daemon_socket *sock = socket_new(d);
	char text[RDDR_ADDR_TEXT];

	if (!sock || (service && !name))
		return -ENOMEM;
	int fd = rddr_listener_socket(at, !service, service != NULL);
	if (fd < 0)
		return err_r(fd, "daemon: cannot listen at %s for %s",
			     service ? rddr_addr_format(at, text, sizeof(text)) : "a loopback port",
			     service ? service : "steered connections");
	*sock = (struct daemon_socket){
		.fd = fd,
		.family = at->sa.sa_family,
		.worker = worker,
		.slot = worker,
		.service = TAKE_PTR(name),
		.address = *at,
	};
	d->n_opened++;
	return 0;
}

/* at: of the listening form; NULL: steered connections. */
static bool has_socket(const struct daemon *d, unsigned worker, sa_family_t family, const char *service,
		       const struct addr *at)
{
	for (size_t i = 0; i < d->n_sockets + d->n_opened; i++) {
		const struct daemon_socket *sock = &d->sockets[i];
		bool same = service ? sock->service && !strcmp(sock->service, service) &&
					      rddr_addr_equal(&sock->address, at)
				    : !sock->service;

		if (same && sock->worker == worker && (service || (sock->family == family && sock->slot == worker)))
			return true;
	}
	return false;
}

/* Connections are steered to a listener by the SOCKMAP, so its own address is one that nobody needs to reach. */
static int open_steered(struct daemon *d)
{
	struct addr v4 = {.v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
	struct addr v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}};

	for (unsigned w = 0; w < d->n_workers; w++) {
		int r = has_socket(d, w, AF_INET, NULL, NULL) ? 0 : open_at(d, &v4, w, NULL);
		if (r < 0)
			return r;
		r = has_socket(d, w, AF_INET6, NULL, NULL) ? 0 : open_at(d, &v6, w, NULL);
		if (r == -EADDRNOTAVAIL || r == -EAFNOSUPPORT)
			log_warning("daemon: IPv6 is off on this host; connections over it are not taken");
		else if (r < 0)
			return r;
	}
	return 0;
}

static const struct service *listening_service(const struct config *config, const struct daemon_socket *sock)
{
	for (size_t i = 0; i < config->n_services; i++) {
		const struct service *service = config->services[i];

		for (unsigned k = 0; !strcmp(service->name, sock->service) && k <= service->n_instances; k++) {
			const struct addr *at = rddr_config_listen(service, k);

			if (at && rddr_addr_equal(at, &sock->address))
				return service;
		}
	}
	return NULL;
}

static void close_unneeded(struct daemon *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->n_sockets; i++) {
		struct daemon_socket *sock = &d->sockets[i];

		if (!sock->service || listening_service(d->config, sock)) {
			d->sockets[kept++] = *sock;
			continue;
		}
		rddr_worker_drop_listener(d->workers[sock->worker], sock->fd);
		free(sock->service);
	}
	d->n_sockets = kept;
}

/* How many addresses the services listen at; out (unless it is NULL) gets them. */
static size_t own_listeners(const struct config *config, struct addr *out)
{
	size_t n = 0;

	for (size_t i = 0; i < config->n_services; i++) {
		for (unsigned k = 0; k <= config->services[i]->n_instances; k++) {
			const struct addr *at = rddr_config_listen(config->services[i], k);

			if (at && out)
				out[n] = *at;
			n += at != NULL;
		}
	}
	return n;
}

/* The addresses that no chainer may dial, told to each worker. */
static int tell_own(struct daemon *d)
{
	for (unsigned w = 0; w < d->n_workers; w++) {
		struct addr *own = calloc(own_listeners(d->config, NULL) + d->n_sockets + 1, sizeof(*own));
		size_t n = 0;

		if (!own)
			return -ENOMEM;
		n = own_listeners(d->config, own);
		for (size_t i = 0; i < d->n_sockets; i++) {
			struct addr bound = {0};
			socklen_t len = sizeof(bound);

			if (!d->sockets[i].service && getsockname(d->sockets[i].fd, &bound.sa, &len) == 0)
				own[n++] = bound;
		}
		int r = rddr_worker_set_own(d->workers[w], own, n);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- room for sessions ---- */

/* Listening sockets; those that were inherited from more workers stay. */
static size_t listeners(const struct daemon *d, const struct config *config, size_t workers)
{
	size_t steered = 0, others = own_listeners(config, NULL) * workers,
	       expected = config->n_rules ? 2 * workers : 0;

	for (size_t i = 0; i < d->n_sockets; i++)
		steered += !d->sockets[i].service;
	if (config == d->config && d->n_sockets - steered > others)
		others = d->n_sockets - steered;
	return others + (steered > expected ? steered : expected);
}

int rddr_daemon_fds(const struct daemon *d, const struct config *config, uint32_t *fds)
{
	unsigned workers = d->n_workers ? d->n_workers : config->workers;
	rlim_t aside = FDS_ASIDE + FDS_WORKER * workers + listeners(d, config, workers) + rddr_checker_hosts(config),
	       room = 0;
	struct rlimit limit = {0};
	uint32_t n, need = 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		rlim_t soft = limit.rlim_cur;

		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
			limit.rlim_cur = soft;
	}
	if (limit.rlim_cur > aside)
		room = limit.rlim_cur - aside;
	n = (uint32_t)((room < UINT32_MAX / 2 ? room : UINT32_MAX / 2) / workers);
	if (fds)
		*fds = n;
	for (size_t i = 0; i < config->n_services; i++) {
		uint32_t more = config->services[i]->n_instances + 1;

		need = more > need ? more : need;
	}
	if (n < need)
		return err_r(-EMFILE,
			     "daemon: RLIMIT_NOFILE leaves %u descriptors for each of %u workers, a session needs %u",
			     n, workers, need);
	return 0;
}

static int tell_fds(struct daemon *d)
{
	uint32_t fds = 0;
	int r = 0;

	rddr_daemon_fds(d, d->config, &fds);
	for (unsigned w = 0; r == 0 && w < d->n_workers; w++)
		r = rddr_worker_set_fds(d->workers[w], fds);
	return r;
}

/* ---- listening ---- */

static int open_for(struct daemon *d, const struct service *service, const struct addr *at)
{
	int r = 0;

	for (unsigned w = 0; r == 0 && w < d->n_workers; w++) {
		if (!has_socket(d, w, AF_UNSPEC, service->name, at))
			r = open_at(d, at, w, service->name);
	}
	return r;
}

void rddr_daemon_sockets_discard(struct daemon *d)
{
	for (; d->n_opened; d->n_opened--) {
		struct daemon_socket *sock = &d->sockets[d->n_sockets + d->n_opened - 1];

		close(sock->fd);
		free(sock->service);
	}
}

int rddr_daemon_sockets_open(struct daemon *d, const struct config *config)
{
	int r = config->n_rules ? open_steered(d) : 0;

	/* After one that cannot be had the others are still tried, so that all of them are said. */
	for (size_t i = 0; i < config->n_services; i++) {
		const struct service *service = config->services[i];

		for (unsigned k = 0; k <= service->n_instances; k++) {
			const struct addr *at = rddr_config_listen(service, k);
			int failed = at ? open_for(d, service, at) : 0;

			r = r ? r : failed;
		}
	}
	if (r < 0)
		rddr_daemon_sockets_discard(d);
	return r;
}

int rddr_daemon_sockets_use(struct daemon *d)
{
	size_t n = d->n_sockets + d->n_opened;
	int r = 0;

	d->n_opened = 0;
	for (size_t i = d->n_sockets; i < n; i++) {
		struct daemon_socket sock = d->sockets[i];
		int failed = rddr_worker_add_listener(d->workers[sock.worker], sock.fd, sock.service);

		if (failed == 0)
			d->sockets[d->n_sockets++] = sock;
		else
			free(sock.service);
		r = r ? r : failed;
	}
	close_unneeded(d);
	int told = tell_own(d);
	if (told == 0)
		told = tell_fds(d);
	return r ? r : told;
}
