/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather.h - outgoing services: where the instances' connections to one backend find one another.
 *
 * A gather belongs to one backend of one service, and lives on one worker, whichever of them accepted: connections are
 * handed over to it. Each instance's wait there, read but not consumed, until what they say first (the plugin's
 * operation opening, or their first bytes) is the same; one of each makes a group, which is a session. With a plugin
 * that knows exchanges the group lasts to the next neutral point: there its connections come back, to be paired anew,
 * and the backend's goes to a pool for a group of the same identity.
 *
 * What finds no partner until the deadline is refused, and recorded.
 */
#ifndef RDDR_GATHER_H
#define RDDR_GATHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "endpoint.h"

struct config;
struct gather;
struct rddr_session;
struct service;
struct worker;

/* A connection that was accepted for an outgoing service: takes fd over. client: whose it is; destination: where to. */
void rddr_gather_accept(struct worker *worker, struct config *config, struct service *service, int fd,
			const struct addr *client, const struct addr *destination);

/* What a session of an outgoing service begins with. */
struct group {
	struct gather *gather;
	struct config *config;
	struct service *service;
	struct addr client, destination;	   /* the source's, and where all wanted to go */
	uint64_t identity;			   /* 0: the connections are new */
	const char *correlation;		   /* of the exchange; empty: it has none */
	size_t replied[RDDR_MAX_INSTANCES];	   /* see struct rddr_diff_create */
	struct endpoint *many[RDDR_MAX_INSTANCES]; /* moved out of; NULL: it takes no part */
	struct endpoint *lone;			   /* the backend's, from the pool; NULL: it is dialled */
	bool alone;				   /* the plugin needs no more than this one, and no backend */
	bool loose; /* the deadline brought them together: what differs is noise, or a divergence */
};

/* ---- for session_outgoing.c ---- */

/*
 * The session is at a neutral point, and nothing is queued: its connections come back, moved out of it. The session is
 * the caller's to close.
 */
void rddr_gather_return(struct rddr_session *s);
/* A session of the gather's is over. */
void rddr_gather_left(struct gather *gather);

/* ---- for worker.c ---- */

/* The worker has another config: groups that begin from now on have it. */
void rddr_gather_reconfigure(struct worker *worker);
/* Closes what is idle; what waits has its deadline, and nothing is kept any more. */
void rddr_gather_drain(struct worker *worker);
/* Whether connections wait, or are being handed over. */
bool rddr_gather_is_busy(const struct worker *worker);
/* Closes everything. */
void rddr_gather_close(struct worker *worker);

#endif
