/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * worker.h - a thread with a loop of its own: listeners, sessions, buffers.
 *
 * Workers share nothing in the byte path. The main thread talks to them by messages; what they answer comes back as
 * messages.
 */
#ifndef RDDR_WORKER_H
#define RDDR_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "buffer.h"
#include "config.h"
#include "loop.h"

#define WORKERS_MAX 64

struct admission;
struct greeting;
struct gather;
struct listener;
struct metrics_set;
struct rddr_session;
struct resolver;
struct steering;

struct worker {
	unsigned index;
	pthread_t thread;
	bool started;
	struct loop *loop;
	struct pool pool;
	struct config *config;	     /* a reference; the generation for new sessions */
	struct config *previous;     /* what the kernel's tables may still steer by for a moment; a reference or NULL */
	bool names_interfaces;	     /* some rule of the two does */
	struct metrics_set *metrics; /* the daemon's own counters */

	/* The daemon's own listening addresses, which no chainer may dial; replaced by messages. */
	struct own_addrs own;

	struct listener *listeners;
	struct greeting *greetings; /* connections whose PROXY header is awaited */
	struct rddr_session *sessions;
	uint64_t n_sessions, session_numbers;

	/* Descriptors: reserved for a whole session before it is accepted. */
	uint32_t fds_used, fds_max, fds_session;
	bool paused;	      /* accepting stopped for want of them */
	uint64_t said_paused; /* ms, when that was logged last; 0: never */
	struct timer retry;   /* accepting is tried again */

	struct timer heart;
	struct steering *steering; /* for the heartbeat; NULL: none */
	struct resolver *resolver; /* the daemon's; NULL: no name can be resolved */
	struct offload *offload;   /* the daemon's; NULL: plugins cannot compute elsewhere */

	struct admission *admission; /* the daemon's; NULL: no SYN is held */

	/* Outgoing services: see gather.h. */
	struct gather *gathers;
	struct worker *const *peers; /* all workers, this one too */
	unsigned n_peers;
	uint32_t handed_over; /* atomic: connections that are on their way here */
	bool gone;	      /* nothing is taken any more */

	bool draining;
	struct timer drain;
	loop_fn drained; /* called on this worker once it has no session */
	void *drained_ctx;
};

/* 0 or -errno. fds_max: how many descriptors its sessions may have open at once. */
int rddr_worker_new(unsigned index, struct config *config, uint32_t fds_max, struct worker **out);
int rddr_worker_start(struct worker *w);
/* The workers know one another. Before any is started. */
void rddr_worker_introduce(struct worker *w, struct worker *const *peers, unsigned n);
/* Stops the loop, and waits for the thread. All of them, before the first is freed. */
void rddr_worker_stop(struct worker *w);
/* Stops the loop, waits for the thread, closes what is left. Takes NULL, nulls the pointer. */
void rddr_worker_free(struct worker **w);

/* ---- messages: these return at once and take effect on the worker's thread, in order; 0 or -ENOMEM ---- */

/* New sessions begin with this config; connections that only the one before knows still begin with that. */
int rddr_worker_set_config(struct worker *w, struct config *config);
/* How many descriptors its sessions may have open at once, from now on. */
int rddr_worker_set_fds(struct worker *w, uint32_t fds_max);
/* Takes own (malloc'ed) over. */
int rddr_worker_set_own(struct worker *w, struct addr *own, size_t n);
/* Beats there from now on (NULL: nowhere). */
int rddr_worker_set_steering(struct worker *w, struct steering *steering);
/* Takes the descriptor over. service_name: of the listening form; NULL: steered connections. */
int rddr_worker_add_listener(struct worker *w, int fd, const char *service_name);
/* Closes the listener of this descriptor number. */
int rddr_worker_drop_listener(struct worker *w, int fd);
/* Stops accepting (a copy of the listeners' descriptors is somebody else's); sessions have limit ms to end in. Then
 * drained(ctx) runs on the worker. */
int rddr_worker_drain(struct worker *w, uint32_t limit, loop_fn drained, void *ctx);

/* Runs fn(ctx) on the worker, after every message before. */
int rddr_worker_call(struct worker *w, loop_fn fn, void *ctx);

/* ---- on the worker's thread ---- */

/* A session's descriptors come free: accepting may go on. */
void rddr_worker_release(struct worker *w, uint32_t fds);
/* A session ended. */
void rddr_worker_ended(struct worker *w);

#endif
