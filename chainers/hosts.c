// SPDX-License-Identifier: BSD-2-Clause
#include "hosts.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "chainer.h"
#include "own.h"

struct host_state {
	struct host_state *next;
	unsigned references;
	int protocol;
	struct addr address;
	_Atomic uint64_t down_until; /* 0: it was not seen to fail */
	atomic_bool check_fails;
	unsigned checks; /* under way */
};

struct ring {
	struct ring *next;
	unsigned references;
	char *name;
	atomic_uint current;
	unsigned n;
	struct addr hosts[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct host_state *states;
static struct ring *rings;

/* ---- servers ---- */

static struct host_state *find_host(int protocol, const struct addr *address)
{
	struct host_state *h = states;

	while (h && (h->protocol != protocol || !rddr_addr_equal(&h->address, address)))
		h = h->next;
	return h;
}

struct host_state *rddr_hosts_get(int protocol, const struct addr *address)
{
	pthread_mutex_lock(&lock);
	struct host_state *h = find_host(protocol, address);

	if (!h) {
		h = calloc(1, sizeof(*h));
		if (h) {
			h->protocol = protocol;
			h->address = *address;
			h->next = states;
			states = h;
		}
	}
	if (h)
		h->references++;
	pthread_mutex_unlock(&lock);
	return h;
}

void rddr_hosts_put(struct host_state **host)
{
	struct host_state *h = TAKE_PTR(*host);

	if (!h)
		return;
	pthread_mutex_lock(&lock);
	bool last = --h->references == 0;
	struct host_state **at = &states;
	while (last && *at != h)
		at = &(*at)->next;
	if (last)
		*at = h->next;
	pthread_mutex_unlock(&lock);
	if (last)
		free(h);
}

bool rddr_hosts_mark_down(struct host_state *host, uint64_t now, uint64_t until)
{
	return atomic_exchange_explicit(&host->down_until, until, memory_order_relaxed) <= now;
}

bool rddr_hosts_mark_up(struct host_state *host)
{
	/* Most servers are up: a load leaves the cache line to all of them. */
	if (!atomic_load_explicit(&host->down_until, memory_order_relaxed))
		return false;
	return atomic_exchange_explicit(&host->down_until, 0, memory_order_relaxed) != 0;
}

void rddr_hosts_check_begins(struct host_state *host)
{
	host->checks++;
}

void rddr_hosts_check_ends(struct host_state *host)
{
	if (--host->checks == 0)
		rddr_hosts_checked(host, true);
}

bool rddr_hosts_checked(struct host_state *host, bool up)
{
	return atomic_exchange_explicit(&host->check_fails, !up, memory_order_relaxed) == up;
}

bool rddr_hosts_is_down(const struct host_state *host, uint64_t now)
{
	return rddr_hosts_down_left(host, now) || rddr_hosts_check_fails(host);
}

uint64_t rddr_hosts_down_left(const struct host_state *host, uint64_t now)
{
	uint64_t until = atomic_load_explicit(&host->down_until, memory_order_relaxed);

	return until > now ? until - now : 0;
}

bool rddr_hosts_check_fails(const struct host_state *host)
{
	return atomic_load_explicit(&host->check_fails, memory_order_relaxed);
}

/* ---- rings ---- */

static bool same_ring(const struct ring *r, const char *name, const struct host *hosts, unsigned n)
{
	bool same = r->n == n && !strcmp(r->name, name);

	for (unsigned i = 0; i < n && same; i++)
		same = rddr_addr_equal(&r->hosts[i], &hosts[i].address);
	return same;
}

static struct ring *new_ring(const char *name, const struct host *hosts, unsigned n)
{
	struct ring *r = calloc(1, sizeof(*r) + n * sizeof(r->hosts[0]));

	if (!r)
		return NULL;
	r->name = strdup(name);
	if (!r->name) {
		free(r);
		return NULL;
	}
	r->n = n;
	for (unsigned i = 0; i < n; i++)
		r->hosts[i] = hosts[i].address;
	return r;
}

struct ring *rddr_hosts_ring(const char *name, const struct host *hosts, unsigned n)
{
	pthread_mutex_lock(&lock);
	struct ring *r = rings;

	while (r && !same_ring(r, name, hosts, n))
		r = r->next;
	if (!r) {
		r = new_ring(name, hosts, n);
		if (r) {
			r->next = rings;
			rings = r;
		}
	}
	if (r)
		r->references++;
	pthread_mutex_unlock(&lock);
	return r;
}

void rddr_hosts_ring_put(struct ring **ring)
{
	struct ring *r = TAKE_PTR(*ring);

	if (!r)
		return;
	pthread_mutex_lock(&lock);
	bool last = --r->references == 0;
	struct ring **at = &rings;
	while (last && *at != r)
		at = &(*at)->next;
	if (last)
		*at = r->next;
	pthread_mutex_unlock(&lock);
	if (!last)
		return;
	free(r->name);
	free(r);
}

unsigned rddr_hosts_current(const struct ring *ring)
{
	return atomic_load_explicit(&ring->current, memory_order_relaxed);
}

void rddr_hosts_move(struct ring *ring, unsigned from, unsigned to)
{
	if (from != to)
		atomic_compare_exchange_strong_explicit(&ring->current, &from, to, memory_order_relaxed,
							memory_order_relaxed);
}

unsigned rddr_hosts_turn(struct ring *ring)
{
	unsigned now = atomic_load_explicit(&ring->current, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&ring->current, &now, (now + 1) % ring->n, memory_order_relaxed,
						      memory_order_relaxed))
		;
	return now;
}
