// SPDX-License-Identifier: BSD-2-Clause
#include "chainer.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "access.h"
#include "log.h"
#include "own.h"
#include "proxy_protocol.h"

/* How many ports of the client port's group are tried in one dial. */
#define GROUP_ATTEMPTS 16

void rddr_dial_init(struct dial *dial)
{
	*dial = (struct dial){.fd = -1};
}

/* Nothing of the dial runs any more; what it has is the caller's. */
static void over(struct dial *dial)
{
	rddr_loop_timer_cancel(dial->loop, &dial->timer);
	dial->loop = NULL;
}

static void on_attempt_timer(void *ctx);

enum dial_outcome rddr_chainer_connect_server(struct dial *dial, const struct chainer_conf *conf,
					      const struct dial_request *request)
{
	void (*done)(struct dial * dial, enum dial_outcome outcome) = dial->done;

	*dial = (struct dial){.done = done, .fd = -1, .conf = conf, .loop = request->loop, .request = *request};
	dial->timer = (struct timer){.fn = on_attempt_timer, .ctx = dial};
	enum dial_outcome outcome = conf->ops->connect_server(dial, &dial->request);
	if (outcome != DIAL_PENDING)
		over(dial);
	return outcome;
}

/* Gives the socket of an attempt back. */
static void drop_attempt(struct dial *dial)
{
	rddr_loop_unwatch(dial->loop, &dial->watch, -1);
	rddr_own_close(&dial->fd);
}

void rddr_chainer_cancel(struct dial *dial)
{
	if (!dial->loop)
		return;
	drop_attempt(dial);
	over(dial);
}

void rddr_chainer_give_up(struct dial *dial)
{
	/*
	 * Where the chainer has other hosts it notes who failed; there is no time for another attempt. One that had
	 * only what others had left of the time has not failed.
	 */
	dial->left = 0;
	if (dial->loop && dial->conf->ops->attempted && !dial->hosts_failed) {
		drop_attempt(dial);
		dial->conf->ops->attempted(dial, DIAL_TIMED_OUT);
	}
	rddr_chainer_cancel(dial);
	dial->error = ETIMEDOUT;
}

/* An attempt under way ended with the outcome: so does the dial, or it goes on with another. */
static void conclude(struct dial *dial, enum dial_outcome outcome)
{
	if (dial->conf->ops->attempted)
		outcome = dial->conf->ops->attempted(dial, outcome);
	if (outcome == DIAL_PENDING)
		return;
	over(dial);
	dial->done(dial, outcome);
}

static void on_attempt_timer(void *ctx)
{
	struct dial *dial = ctx;

	drop_attempt(dial);
	dial->error = ETIMEDOUT;
	conclude(dial, DIAL_TIMED_OUT);
}

/* ---- one attempt: a socket, its source, its connect ---- */

/* Where an attempt failed: the same errno means different things. */
enum stage { STAGE_SOCKET, STAGE_FORGE, STAGE_BIND, STAGE_CONNECT, STAGE_ANSWER };

static enum dial_outcome outcome_of(enum stage stage, int error)
{
	switch (error) {
	case ECONNREFUSED:
	case ECONNRESET: /* accepted and reset before we looked */
	case EPIPE:
		return DIAL_REFUSED;
	case ETIMEDOUT:
		return DIAL_TIMED_OUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENONET:
	case ENOPROTOOPT: /* ICMP: protocol unreachable */
		return stage >= STAGE_CONNECT ? DIAL_UNREACHABLE : DIAL_FAILED;
	case EADDRNOTAVAIL: /* binding unforged: the address is not one of this host's */
		return stage == STAGE_BIND ? DIAL_FAILED : DIAL_NO_PORT;
	case EADDRINUSE:
		return DIAL_NO_PORT;
	case EACCES: /* when connecting: a route that prohibits, or ICMPv6 'administratively prohibited' */
		return stage >= STAGE_CONNECT ? DIAL_UNREACHABLE : DIAL_NOT_PERMITTED;
	case EPERM:
		return DIAL_NOT_PERMITTED;
	default:
		return DIAL_FAILED;
	}
}

static enum dial_outcome failed(struct dial *dial, enum stage stage, int error)
{
	enum dial_outcome outcome = outcome_of(stage, error);

	dial->error = error;
	/* connect() itself says so: nothing was sent, and nobody has answered. */
	dial->unroutable = stage == STAGE_CONNECT && outcome == DIAL_UNREACHABLE;
	return outcome;
}

/* What an attempt binds to. */
struct source {
	const struct addr *addr; /* NULL: whatever the kernel picks */
	bool forged;
	bool reuse; /* other connections, to other servers, may have the same address and port */
};

static int set_flag(int fd, int level, int option)
{
	int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static enum dial_outcome bind_source(struct dial *dial, int fd, const struct source *source)
{
	const struct addr *a = source->addr;
	bool six = a->sa.sa_family == AF_INET6;

	if (source->forged) {
		int r = six ? set_flag(fd, SOL_IPV6, IPV6_TRANSPARENT) : set_flag(fd, SOL_IP, IP_TRANSPARENT);

		if (r < 0)
			return failed(dial, STAGE_FORGE, -r);
	}
	/* Without it bind() would take a port out of one pool for all servers; the kernel has one pool for each server
	 * at connect(). */
	if (!rddr_addr_port(a)) {
		int r = set_flag(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT);

		if (r < 0)
			return failed(dial, STAGE_SOCKET, -r);
	}
	if (source->reuse) {
		int r = set_flag(fd, SOL_SOCKET, SO_REUSEADDR);

		if (r < 0)
			return failed(dial, STAGE_SOCKET, -r);
	}
	if (bind(fd, &a->sa, rddr_addr_len(a)) < 0)
		return failed(dial, source->forged ? STAGE_FORGE : STAGE_BIND, errno);
	return DIAL_CONNECTED;
}

/*
 * Where nobody listens on a port of this host that the kernel also gives out, a socket can be given that very port, and
 * then has connected to itself. Asks the kernel only where that can be.
 */
static bool is_its_own_server(struct dial *dial)
{
	socklen_t len = sizeof(dial->local);

	if (rddr_addr_port(&dial->remote) < 1024 || (dial->forged && !rddr_addr_same_host(&dial->local, &dial->remote)))
		return false;
	return !getsockname(dial->fd, &dial->local.sa, &len) && rddr_addr_equal(&dial->local, &dial->remote);
}

/* The server is told who the client is, before anything else. Nothing waits in the socket yet, so that fits or fails.
 */
static int send_proxy(const struct dial *dial)
{
	uint8_t header[PROXY_WRITTEN_MAX];
	size_t len = rddr_proxy_protocol_write(dial->conf->send_proxy, dial->request.client, dial->request.destination,
					       header);
	ssize_t n = send(dial->fd, header, len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n < 0)
		return errno;
	return (size_t)n == len ? 0 : ENOBUFS;
}

static void on_answer(void *ctx, unsigned events)
{
	struct dial *dial = ctx;
	enum dial_outcome outcome = DIAL_CONNECTED;
	int error = 0;

	if (events & LOOP_ERROR) {
		socklen_t len = sizeof(error);

		if (getsockopt(dial->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
			error = errno;
	}
	if (!error && !(events & LOOP_OUT))
		return;
	if (!error && is_its_own_server(dial))
		error = ECONNREFUSED;
	if (!error && dial->conf->send_proxy)
		error = send_proxy(dial);
	if (error) {
		outcome = failed(dial, STAGE_ANSWER, error);
		drop_attempt(dial);
	}
	dial->events = events;
	conclude(dial, outcome);
}

/* CONNECTED or PENDING: the dial has the socket. Anything else: there is none. */
static enum dial_outcome attempt(struct dial *dial, const struct addr *remote, const struct source *source)
{
	enum dial_outcome outcome = DIAL_CONNECTED;
	_owned_fd_ int fd = socket(remote->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return failed(dial, STAGE_SOCKET, errno);
	dial->forged = source->forged;
	if (source->addr)
		dial->local = *source->addr;
	else
		dial->local = (struct addr){.sa.sa_family = remote->sa.sa_family};
	r = set_flag(fd, SOL_TCP, TCP_NODELAY);
	if (r < 0)
		return failed(dial, STAGE_SOCKET, -r);
	if (source->addr) {
		outcome = bind_source(dial, fd, source);
		if (outcome != DIAL_CONNECTED)
			return outcome;
	}
	if (connect(fd, &remote->sa, rddr_addr_len(remote)) < 0) {
		if (errno != EINPROGRESS)
			return failed(dial, STAGE_CONNECT, errno);
		outcome = DIAL_PENDING;
	}
	/* After connect(): a socket that was never connected would be reported as hung up at once. */
	r = rddr_loop_watch(dial->loop, &dial->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_answer, dial);
	if (r < 0)
		return failed(dial, STAGE_SOCKET, -r);

	dial->error = 0;
	dial->fd = TAKE_FD(fd);
	return outcome;
}

/* ---- the ladder of forged ports ---- */

struct forger {
	struct dial *dial;
	const struct addr *remote;
	const struct addr *client;
	bool own_port_tried;
	bool reuse;
};

static enum dial_outcome forge_port(struct forger *f, uint16_t port)
{
	struct addr forged = *f->client;
	struct source source = {.addr = &forged, .forged = true, .reuse = f->reuse};

	rddr_addr_set_port(&forged, port);
	return attempt(f->dial, f->remote, &source);
}

static enum dial_outcome forge_exact(struct forger *f)
{
	f->own_port_tried = true;
	return forge_port(f, rddr_addr_port(f->client));
}

static enum dial_outcome forge_any(struct forger *f)
{
	return forge_port(f, 0);
}

struct port_group {
	uint16_t first, last;
};

static const struct port_group *group_of(uint16_t port)
{
	static const struct port_group groups[] = {{1, 511}, {512, 1023}, {1024, 65535}};
	const struct port_group *g = groups;

	while (port > g->last)
		g++;
	return g;
}

/* From the client's own port upwards, and on from the group's foot. */
static enum dial_outcome forge_group(struct forger *f)
{
	uint16_t port = rddr_addr_port(f->client);
	const struct port_group *g = group_of(port);
	enum dial_outcome outcome = DIAL_NO_PORT;

	for (unsigned i = 0; i < GROUP_ATTEMPTS && outcome == DIAL_NO_PORT; i++) {
		if (i || f->own_port_tried)
			port = port == g->last ? g->first : (uint16_t)(port + 1);
		outcome = forge_port(f, port);
	}
	return outcome;
}

/* So that nobody can tell the port of a connection beforehand. */
static enum dial_outcome forge_random(struct forger *f)
{
	const struct port_group *g = group_of(rddr_addr_port(f->client));
	enum dial_outcome outcome = DIAL_NO_PORT;

	for (unsigned i = 0; i < GROUP_ATTEMPTS && outcome == DIAL_NO_PORT; i++) {
		uint32_t chance;

		if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) != sizeof(chance))
			return failed(f->dial, STAGE_FORGE, EAGAIN);
		outcome = forge_port(f, (uint16_t)(g->first + chance % (g->last - g->first + 1u)));
	}
	return outcome;
}

static enum dial_outcome (*const rungs[])(struct forger *f) = {
	[FORGE_PORT_EXACT] = forge_exact,
	[FORGE_PORT_GROUP] = forge_group,
	[FORGE_PORT_ANY] = forge_any,
	[FORGE_PORT_RANDOM] = forge_random,
};
static_assert(ARRAY_LEN(rungs) == FORGE_PORTS, "every rung can be climbed");

static enum dial_outcome forge(struct dial *dial, const struct addr *client, const struct addr *remote)
{
	static const enum forge_port only_any[] = {FORGE_PORT_ANY};
	const struct chainer_conf *conf = dial->conf;
	const enum forge_port *ladder = conf->forge_ports ? conf->forge_port : only_any;
	unsigned n = conf->forge_ports ? conf->forge_ports : 1;
	enum dial_outcome outcome = DIAL_NO_PORT;
	struct forger f = {.dial = dial, .remote = remote, .client = client};

	if (client->sa.sa_family != remote->sa.sa_family)
		return failed(dial, STAGE_FORGE, EAFNOSUPPORT);

	/*
	 * N servers are dialled from the one address and port of the client, and the ports of both ways to take one
	 * must not exclude each other. A clash of all four parts is found by connect().
	 */
	f.reuse = n > 1 || *ladder != FORGE_PORT_ANY;
	for (unsigned i = 0; i < n; i++) {
		/* A port below 1024 can want a right that others do not: bind() said so, the next rung may do. */
		if (outcome != DIAL_NO_PORT && outcome != DIAL_NOT_PERMITTED)
			break;
		dial->rung = ladder[i];
		outcome = rungs[ladder[i]](&f);
	}
	return outcome;
}

/* ---- establishing ---- */

/* Whether connecting to target would reach a listener of the daemon's own. */
static bool is_own(const struct dial_request *request, const struct addr *target)
{
	for (size_t i = 0; request->own && i < request->own->n; i++) {
		const struct addr *own = &request->own->list[i];

		if (own->sa.sa_family != target->sa.sa_family || rddr_addr_port(own) != rddr_addr_port(target))
			continue;
		if (rddr_addr_same_host(own, target))
			return true;
		/* A wildcard as target is this host. */
		if (rddr_addr_is_wildcard(target) || (rddr_addr_is_wildcard(own) && rddr_addr_is_local(target)))
			return true;
	}
	return false;
}

/* One line for each decision. What is not bound yet has no port. */
static void log_access(const struct dial *dial, const struct dial_request *request, const struct access_decision *d)
{
	char client[RDDR_ADDR_TEXT], destination[RDDR_ADDR_TEXT] = "-", local[RDDR_ADDR_TEXT] = "-",
				     server[RDDR_ADDR_TEXT];
	struct addr bound = dial->local;
	socklen_t len = sizeof(bound);

	if (dial->fd >= 0 && getsockname(dial->fd, &bound.sa, &len) < 0)
		bound = dial->local;
	if (request->destination && request->destination->sa.sa_family)
		rddr_addr_format(request->destination, destination, sizeof(destination));
	if (bound.sa.sa_family && !rddr_addr_is_wildcard(&bound))
		rddr_addr_format(&bound, local, sizeof(local));
	rddr_log(d->allow ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING,
		 "access: %s service=%s rule=%s client=%s destination=%s local=%s server=%s client-zone=%s "
		 "server-zone=%s",
		 d->allow ? "allow" : "deny", request->service ? request->service : "-", d->rule,
		 rddr_addr_format(request->client, client, sizeof(client)), destination, local,
		 rddr_addr_format(&dial->remote, server, sizeof(server)), d->client_zone, d->server_zone);
}

static enum dial_outcome connect_from(struct dial *dial, const struct dial_request *request, const struct addr *remote)
{
	const struct chainer_conf *conf = dial->conf;
	struct source source = {0};

	if (conf->forge_addr) {
		struct addr client = *request->client;

		rddr_addr_unmap(&client);
		enum dial_outcome outcome = forge(dial, &client, remote);
		if (!conf->forge_fallback || !rddr_dial_outcome_is_local(outcome))
			return outcome;
	}
	if (conf->has_local) {
		if (conf->local.sa.sa_family != remote->sa.sa_family)
			return failed(dial, STAGE_BIND, EAFNOSUPPORT);
		source.addr = &conf->local;
		source.reuse = rddr_addr_port(&conf->local);
	}
	return attempt(dial, remote, &source);
}

enum dial_outcome rddr_chainer_establish(struct dial *dial, const struct dial_request *request,
					 const struct addr *remote)
{
	struct access_decision decision = {.allow = true};

	dial->remote = *remote;
	dial->local = (struct addr){0};
	rddr_addr_unmap(&dial->remote);
	if (is_own(request, &dial->remote)) {
		dial->error = ELOOP;
		return DIAL_LOOP;
	}
	if (request->access) {
		struct addr client = *request->client;

		rddr_addr_unmap(&client);
		decision = rddr_access_decide(request->access, &client, &dial->remote);
	}
	if (!decision.allow) {
		log_access(dial, request, &decision);
		dial->error = EACCES;
		return DIAL_DENIED;
	}
	enum dial_outcome outcome = connect_from(dial, request, &dial->remote);
	if (request->access)
		log_access(dial, request, &decision);
	return outcome;
}

enum dial_outcome rddr_chainer_adopt(struct dial *dial, const struct chainer_conf *conf,
				     const struct dial_request *request, int fd)
{
	void (*done)(struct dial * dial, enum dial_outcome outcome) = dial->done;
	_owned_fd_ int owned = fd;
	socklen_t local = sizeof(dial->local), remote = sizeof(dial->remote);

	*dial = (struct dial){.done = done, .fd = -1, .conf = conf, .request = *request};
	if (getpeername(fd, &dial->remote.sa, &remote) < 0 || getsockname(fd, &dial->local.sa, &local) < 0)
		return failed(dial, STAGE_SOCKET, errno);
	if (dial->remote.sa.sa_family != AF_INET && dial->remote.sa.sa_family != AF_INET6)
		return failed(dial, STAGE_SOCKET, EAFNOSUPPORT);
	rddr_addr_unmap(&dial->remote);
	rddr_addr_unmap(&dial->local);
	dial->forged = conf->forge_addr && request->client && rddr_addr_same_host(&dial->local, request->client);
	if (request->access) {
		struct access_decision decision = rddr_access_decide(request->access, request->client, &dial->remote);

		log_access(dial, request, &decision);
		if (!decision.allow)
			return failed(dial, STAGE_SOCKET, EACCES), DIAL_DENIED;
	}
	int r = rddr_loop_watch(request->loop, &dial->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_answer, dial);
	if (r < 0)
		return failed(dial, STAGE_SOCKET, -r);
	dial->fd = TAKE_FD(owned);
	return DIAL_CONNECTED;
}
