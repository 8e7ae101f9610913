/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hosts.h - what all workers know of servers: which are down, and which of several is the current one.
 *
 * A server is its protocol, address and port: another port of the same host is another server. Entries are shared by
 * every chainer that names the server, in every service and across reloads. Getting and giving back takes a lock and is
 * for the reading of configs; everything else is a load or a store that any thread may do, as often as it likes.
 *
 * Times are milliseconds of CLOCK_MONOTONIC, as rddr_loop_now gives them.
 */
#ifndef RDDR_HOSTS_H
#define RDDR_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

struct host;
struct host_state;
struct ring;

/* A reference to what is known of the server (protocol: IPPROTO_TCP ...). NULL: no memory. */
struct host_state *rddr_hosts_get(int protocol, const struct addr *address);
/* Takes NULL, nulls the pointer. */
void rddr_hosts_put(struct host_state **host);

/* Passed over until then, by whoever has a choice. True when it was up before. */
bool rddr_hosts_mark_down(struct host_state *host, uint64_t now, uint64_t until);
/* It answered, or is to be tried anew. What an active check says stays. True when it was marked. */
bool rddr_hosts_mark_up(struct host_state *host);
/* Active checks of the server begin and end, on one thread; some may begin before others have ended, as at a reload.
 * When there are none any more, what they found is forgotten. */
void rddr_hosts_check_begins(struct host_state *host);
void rddr_hosts_check_ends(struct host_state *host);
/* What an active check found. True when that is news. */
bool rddr_hosts_checked(struct host_state *host, bool up);

bool rddr_hosts_is_down(const struct host_state *host, uint64_t now);
/* ms for which it is still passed over; 0: it is not. */
uint64_t rddr_hosts_down_left(const struct host_state *host, uint64_t now);
/* Whether an active check finds it down. */
bool rddr_hosts_check_fails(const struct host_state *host);

/*
 * Which of the hosts is the current one, for the chainer of that name. The same name with the same hosts is the same
 * ring. NULL: no memory.
 */
struct ring *rddr_hosts_ring(const char *name, const struct host *hosts, unsigned n);
void rddr_hosts_ring_put(struct ring **ring);

/* The current host's number. */
unsigned rddr_hosts_current(const struct ring *ring);
/* Makes it the current one, if it still is the one that it was found to be. */
void rddr_hosts_move(struct ring *ring, unsigned from, unsigned to);
/* Returns the current one and makes the next one current. */
unsigned rddr_hosts_turn(struct ring *ring);

#endif
