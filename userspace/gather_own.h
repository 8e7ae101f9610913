/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather_own.h - what the parts of a gather share: gather.c takes connections in and lets them go, gather_match.c finds
 * which belong together, gather_spare.c keeps the backend's and refuses, gather_reload.c brings a new config in.
 */
#ifndef RDDR_GATHER_OWN_H
#define RDDR_GATHER_OWN_H

#include "gather.h"
#include "loop.h"
#include "session.h"

#define GATHER_CHAINS 64

struct gather_end;

/* Ends in the order in which they came. Zeroed: empty. */
struct gather_list {
	struct gather_end *first, *last;
};

/* Connections that say the same, of each instance the oldest first. What they say that they belong to may be another.
 */
struct bucket {
	struct bucket *next; /* of its chain */
	uint64_t key, identity;
	unsigned have; /* instances that have one here */
	unsigned n;    /* connections */
	struct gather_end *first[RDDR_MAX_INSTANCES], *last[RDDR_MAX_INSTANCES];
};

/* One connection of an instance's. */
struct gather_end {
	struct endpoint ep;
	struct gather *gather;
	struct gather_list *list;
	struct gather_end *next, *prev;	   /* of the list */
	struct gather_end *later, *sooner; /* of the bucket's instance */
	struct bucket *bucket;
	uint64_t since;	   /* ms: when it came here, or began to wait */
	uint64_t identity; /* of its last neutral point; 0: it is new */
	uint64_t loose;
	uint64_t last; /* the session that it was in; 0: none */
	size_t replied;
	unsigned instance;
	char correlation[RDDR_CORRELATION]; /* what it says that it belongs to; empty: nothing */
	bool waited;			    /* it waits, since then, though it is looked at anew just now */
};

/* A connection to the backend that nobody uses. */
struct gather_spare {
	struct endpoint ep;
	struct gather *gather;
	struct gather_spare *next, *prev; /* the youngest first */
	struct addr client;		  /* whom it was dialled for; the port is of no matter */
	uint64_t since, identity;
};

struct gather {
	struct worker *worker;
	struct gather *next, *prev; /* of the worker's */
	struct config *config;
	struct service *service;
	struct rddr_session *park; /* whose the connections are while they are nobody's */
	struct addr destination;
	unsigned n;
	bool retired; /* a reload took the service away, or made another of it: nothing is kept */
	bool gone;    /* waits for the end of the batch */

	/* Ends that agree on TLS first, that say nothing, that wait for their partners, and that are to be looked at in
	 * the next batch. */
	struct gather_list shaking, quiet, waiting, unseen;
	unsigned count[RDDR_MAX_INSTANCES];
	struct bucket *chains[GATHER_CHAINS];
	struct gather_spare *spares, *oldest_spare;
	size_t n_spares;
	size_t sessions;
	struct timer timer;
	struct deferred again, bury;
};

/* A connection on its way to the worker that gathers it. */
struct gather_arrival {
	struct worker *worker;
	struct config *config;
	struct service *service;
	struct addr client, destination;
	struct addr addressed; /* where it went to; the destination is what all instances' have in common */
	unsigned instance;
	int fd;
};

/* ---- gather.c ---- */

/* On the worker that gathers. False: the connection was not taken over; it is counted. */
bool rddr_gather_take_in(struct worker *w, const struct gather_arrival *a);
void rddr_gather_list_put(struct gather_end *end, struct gather_list *list);
/* before: NULL: it becomes the first. */
void rddr_gather_list_put_behind(struct gather_end *end, struct gather_list *list, struct gather_end *before);
void rddr_gather_list_take(struct gather_end *end);
/* Makes a session of one end of each instance (NULL: it is missing), and forgets them. */
void rddr_gather_begin(struct gather *g, struct gather_end *const ends[]);
/* Makes a session of that end alone, without a backend. */
void rddr_gather_begin_alone(struct gather_end *end);
/* Closes. */
void rddr_gather_drop(struct gather_end *end, bool reset);
/* Something left: with the last connection the gather goes, too, at the end of the batch. */
void rddr_gather_settle(struct gather *g);

/* Sets the timer to the earliest deadline. */
void rddr_gather_arm(struct gather *g);
/* Closes what has said nothing yet, and what nobody uses. The gather may be gone behind it. */
void rddr_gather_close_idle(struct gather *g);

/* ---- gather_reload.c ---- */

/* From here on the gather has that config, if it is younger than its own. It may be gone behind it. */
void rddr_gather_use_config(struct gather *g, struct config *config, struct service *service);
/* Whether what was gathered for the one service is for the other now. */
bool rddr_gather_may_become(const struct service *was, const struct service *is);
/* What that config made of the service, or NULL. */
struct service *rddr_gather_successor(const struct service *service, const struct config *config);
/* Whether a connection, as it was accepted, is that instance's. */
bool rddr_gather_is_of(const struct service *service, unsigned instance, const struct endpoint *ep);

/* ---- gather_arrive.c ---- */

/* Counts and logs a connection of nobody's instance. */
void rddr_gather_stranger(const struct service *service, const struct addr *client);

/* ---- gather_spare.c ---- */

/* Moves the connection out of ep, where there is memory. */
void rddr_gather_spare_keep(struct gather *g, struct endpoint *ep, uint64_t identity, const struct addr *client);
/* One that was dialled for the same address, at a neutral point of that identity; or NULL. */
struct gather_spare *rddr_gather_spare_find(struct gather *g, uint64_t identity, const struct addr *client);
/* Its connection was moved away. */
void rddr_gather_spare_free(struct gather_spare *spare);
void rddr_gather_spare_drop(struct gather_spare *spare);
/* Closes with a reset, counted and recorded. */
void rddr_gather_refuse(struct gather_end *end, enum rddr_denial_reason reason, const char *why);

/* Goes on agreeing on TLS. True: bytes may flow now; false: it waits, or it failed and is gone. */
bool rddr_gather_shake(struct gather_end *end);
void rddr_gather_shake_late(struct gather_end *end);
/* TLS begins behind what was queued for it, which it has to have taken at once. It may be gone behind it. */
void rddr_gather_secure(struct gather_end *end);

/* ---- gather_match.c ---- */

/* Looks at what the end says, and pairs it where its partners are here. The end may be gone behind it. */
void rddr_gather_look(struct gather_end *end);
/* A group found out what others may have waited for: all that wait are looked at anew, in the next batch. Their
 * deadlines stay. */
void rddr_gather_look_anew(struct gather *g);
/* It has said nothing for so long that it seems to wait for the backend to speak. */
void rddr_gather_silent(struct gather_end *end);
/* Its deadline has passed: it is paired with whoever is left, or refused. It is gone behind it. */
void rddr_gather_expire(struct gather_end *end);
void rddr_gather_unmatch(struct gather_end *end);

static inline bool rddr_gather_by_exchange(const struct gather *g)
{
	return g->service->ops->opening != NULL;
}

#endif
