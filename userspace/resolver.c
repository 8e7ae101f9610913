/* SPDX-License-Identifier: BSD-2-Clause */
#include "resolver.h"

#include <ares.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/stat.h>

#include "log.h"
#include "loop.h"
#include "own.h"

/* One channel of c-ares for each set of servers in use; the sockets of one. */
#define CHANNELS 8
#define SOCKETS	 64
#define KEY_TEXT 1100

struct channel;

struct channel_socket {
	struct channel *channel;
	int fd; /* -1: free */
	struct watch watch;
};

struct channel {
	struct resolver *resolver;
	ares_channel ares;
	bool open;
	unsigned queries; /* under way */
	char key[KEY_TEXT];
	struct timer timer;
	struct deferred settle; /* the timer is set anew */
	struct channel_socket sockets[SOCKETS];
};

struct resolver {
	pthread_mutex_t lock; /* of making the thread */
	pthread_t thread;
	bool started;
	struct loop *loop;
	bool ending;
	unsigned queries;
	struct channel channels[CHANNELS];
};

struct resolver_query {
	struct resolver *resolver;
	struct channel *channel;
	struct loop *loop; /* the asker's */
	resolver_fn fn;	   /* NULL: cancelled; the asker's thread alone looks at it */
	void *ctx;
	uint16_t port;
	char host[RESOLVER_NAME + 1];
	char servers[1024];
	uint32_t timeout, tries;
	struct resolver_answer answer;
};

bool rddr_resolver_is_name(const char *host)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(host);

	return len && len <= RESOLVER_NAME && strspn(host, allowed) == len && *host != '.' && !strstr(host, "..");
}

/* ---- answers ---- */

static void deliver(void *ctx)
{
	_owned_mem_ struct resolver_query *q = ctx;

	if (q->fn)
		q->fn(q->ctx, &q->answer);
}

static void answer(struct resolver_query *q, const char *why)
{
	q->answer.why = why ? why : q->answer.n ? NULL : "it has no address";
	q->resolver->queries--;
	if (rddr_loop_post(q->loop, deliver, q) < 0)
		abort();
}

static void take(struct resolver_query *q, const struct sockaddr *sa)
{
	struct addr *a = &q->answer.addresses[q->answer.n];

	if (q->answer.n == RESOLVER_ADDRESSES || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
		return;
	memset(a, 0, sizeof(*a));
	memcpy(a, sa, sa->sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6));
	rddr_addr_unmap(a);
	rddr_addr_set_port(a, q->port);
	q->answer.n++;
}

static void on_addresses(void *ctx, int status, int timeouts, struct ares_addrinfo *result)
{
	struct resolver_query *q = ctx;
	struct channel *c = q->channel;

	(void)timeouts;
	for (struct ares_addrinfo_node *node = result ? result->nodes : NULL; node; node = node->ai_next)
		take(q, node->ai_addr);
	if (result)
		ares_freeaddrinfo(result);
	c->queries--;
	answer(q, status == ARES_SUCCESS ? NULL : ares_strerror(status));
}

/* ---- channels ---- */

static void settle(void *ctx)
{
	struct channel *c = ctx;
	struct timeval tv, *left = c->open ? ares_timeout(c->ares, NULL, &tv) : NULL;

	rddr_loop_timer_cancel(c->resolver->loop, &c->timer);
	if (left)
		rddr_loop_timer_set(c->resolver->loop, &c->timer,
				    rddr_loop_now(c->resolver->loop) + (uint64_t)left->tv_sec * 1000 +
					    (uint64_t)left->tv_usec / 1000 + 1);
}

static void on_socket(void *ctx, unsigned events)
{
	struct channel_socket *s = ctx;
	struct channel *c = s->channel;
	int fd = s->fd;

	ares_process_fd(c->ares, events & (LOOP_IN | LOOP_ERROR) ? fd : ARES_SOCKET_BAD,
			events & LOOP_OUT ? fd : ARES_SOCKET_BAD);
	settle(c);
}

static void on_timer(void *ctx)
{
	struct channel *c = ctx;

	ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	settle(c);
}

static struct channel_socket *socket_of(struct channel *c, int fd)
{
	for (size_t i = 0; i < SOCKETS; i++) {
		if (c->sockets[i].fd == fd)
			return &c->sockets[i];
	}
	return NULL;
}

/* What c-ares wants to know of a socket of its own; neither: it is about to close it. */
static void on_state(void *ctx, ares_socket_t fd, int readable, int writable)
{
	struct channel *c = ctx;
	struct channel_socket *s = socket_of(c, fd);
	unsigned events = (readable ? LOOP_IN : 0u) | (writable ? LOOP_OUT : 0u);

	if (s) {
		rddr_loop_unwatch(c->resolver->loop, &s->watch, fd);
		s->fd = -1;
	}
	if (!events)
		return;
	s = socket_of(c, -1);
	/* Without a place it is not watched: the question runs into its time limit. */
	if (!s || rddr_loop_watch(c->resolver->loop, &s->watch, fd, events, on_socket, s) < 0)
		return;
	s->fd = fd;
}

static void close_channel(struct channel *c)
{
	if (c->open)
		ares_destroy(c->ares);
	c->open = false;
	rddr_loop_timer_cancel(c->resolver->loop, &c->timer);
}

static int open_channel(struct channel *c, const struct resolver_query *q, const char *key)
{
	struct ares_options options = {
		.flags = ARES_FLAG_NOSEARCH,
		.timeout = (int)q->timeout,
		.tries = (int)q->tries,
		.sock_state_cb = on_state,
		.sock_state_cb_data = c,
	};
	int status = ares_init_options(&c->ares, &options,
				       ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);

	if (status == ARES_SUCCESS && *q->servers) {
		status = ares_set_servers_ports_csv(c->ares, q->servers);
		if (status != ARES_SUCCESS)
			ares_destroy(c->ares);
	}
	if (status != ARES_SUCCESS)
		return status;
	c->open = true;
	snprintf(c->key, sizeof(c->key), "%s", key);
	for (size_t i = 0; i < SOCKETS; i++)
		c->sockets[i] = (struct channel_socket){.channel = c, .fd = -1};
	return 0;
}

/* The channel for the query's servers; a changed resolv.conf makes new ones. NULL: *why says why not. */
static struct channel *channel_for(struct resolver *r, const struct resolver_query *q, const char **why)
{
	struct channel *idle = NULL;
	struct stat st = {0};
	char key[KEY_TEXT];

	if (!*q->servers && stat("/etc/resolv.conf", &st) < 0)
		st.st_mtim.tv_sec = 0;
	snprintf(key, sizeof(key), "%s|%u|%u|%lld.%ld", q->servers, q->timeout, q->tries, (long long)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec);
	for (size_t i = 0; i < CHANNELS; i++) {
		struct channel *c = &r->channels[i];

		if (c->open && !strcmp(c->key, key))
			return c;
		if (!c->queries && (!idle || !c->open))
			idle = c;
	}
	*why = "too many resolvers in use";
	if (!idle)
		return NULL;
	close_channel(idle);
	int status = open_channel(idle, q, key);
	if (status)
		*why = ares_strerror(status);
	return status ? NULL : idle;
}

static void begin(void *ctx)
{
	static const struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct resolver_query *q = ctx;
	struct resolver *r = q->resolver;
	const char *why = "the daemon ends";
	struct addr literal;

	r->queries++;
	if (!rddr_addr_parse(q->host, 0, &literal)) {
		take(q, &literal.sa);
		answer(q, NULL);
		return;
	}
	if (r->queries > RESOLVER_QUESTIONS)
		why = "too many names are being resolved";
	else if (!r->ending)
		q->channel = channel_for(r, q, &why);
	if (!q->channel) {
		answer(q, why);
		return;
	}
	struct channel *c = q->channel;
	c->queries++;
	/* It may be answered in here, and gone. */
	ares_getaddrinfo(c->ares, q->host, NULL, &hints, on_addresses, q);
	rddr_loop_defer(r->loop, &c->settle);
}

/* ---- life ---- */

static void *run(void *ctx)
{
	struct resolver *r = ctx;

	pthread_setname_np(pthread_self(), "rddr-resolver");
	int err = rddr_loop_run(r->loop);
	if (err < 0)
		err_r(err, "resolver: the loop failed");
	r->ending = true;
	for (size_t i = 0; i < CHANNELS; i++)
		close_channel(&r->channels[i]);
	return NULL;
}

static int start(struct resolver *r)
{
	sigset_t all, old;
	int err = 0;

	pthread_mutex_lock(&r->lock);
	if (!r->started) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		err = -pthread_create(&r->thread, NULL, run, r);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		r->started = !err;
	}
	pthread_mutex_unlock(&r->lock);
	return err;
}

int rddr_resolver_new(struct resolver **out)
{
	struct resolver *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	int err = rddr_loop_new(&r->loop);
	if (!err && ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		err = -ENOMEM;
	if (err) {
		rddr_loop_free(&r->loop);
		free(r);
		return err;
	}
	pthread_mutex_init(&r->lock, NULL);
	for (size_t i = 0; i < CHANNELS; i++) {
		struct channel *c = &r->channels[i];

		c->resolver = r;
		c->timer = (struct timer){.fn = on_timer, .ctx = c};
		c->settle = (struct deferred){.fn = settle, .ctx = c};
	}
	*out = r;
	return 0;
}

void rddr_resolver_free(struct resolver **resolver)
{
	struct resolver *r = TAKE_PTR(*resolver);

	if (!r)
		return;
	if (r->started) {
		rddr_loop_stop(r->loop);
		pthread_join(r->thread, NULL);
	}
	/* Questions that nobody began are refused in here. */
	r->ending = true;
	rddr_loop_free(&r->loop);
	pthread_mutex_destroy(&r->lock);
	ares_library_cleanup();
	free(r);
}

int rddr_resolver_ask(struct resolver *r, const struct resolver_conf *conf, const char *host, uint16_t port,
		      struct loop *loop, resolver_fn fn, void *ctx, struct resolver_query **out)
{
	int err = start(r);
	_owned_mem_ struct resolver_query *q = err ? NULL : calloc(1, sizeof(*q));

	if (!q)
		return err ? err : -ENOMEM;
	*q = (struct resolver_query){.resolver = r, .loop = loop, .fn = fn, .ctx = ctx, .port = port};
	q->timeout = conf->timeout;
	q->tries = conf->tries;
	snprintf(q->host, sizeof(q->host), "%s", host);
	snprintf(q->servers, sizeof(q->servers), "%s", conf->servers ? conf->servers : "");
	err = rddr_loop_post(r->loop, begin, q);
	if (!err)
		*out = TAKE_PTR(q);
	return err;
}

void rddr_resolver_cancel(struct resolver_query **query)
{
	struct resolver_query *q = TAKE_PTR(*query);

	if (q)
		q->fn = NULL;
}
