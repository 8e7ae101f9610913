/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * loop.h - the event loop of one thread: descriptors, timers, deferred work, messages from other threads.
 *
 * The only place that calls epoll. A watch is a value of the caller's; events carry its generation, so that an
 * event for a descriptor that was closed in the same batch, its number used again, is seen as stale and dropped. Timers
 * lie in a pairing heap of their own links: setting one never allocates. Work that is deferred runs after the last
 * event of the batch: that is where objects are freed. Everything but rddr_loop_post and rddr_loop_stop belongs to the
 * loop's own thread.
 */
#ifndef RDDR_LOOP_H
#define RDDR_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct loop;

enum loop_event {
	LOOP_IN = 1u << 0,    /* readable */
	LOOP_OUT = 1u << 1,   /* writable, or a connect finished */
	LOOP_ERROR = 1u << 2, /* error or hang-up; always reported */
	LOOP_EOF = 1u << 3,  /* comes with LOOP_IN: the other side ended its sending half; reads lead to the end without
				another event */
	LOOP_EDGE = 1u << 4, /* in rddr_loop_watch only: edge triggered */
};

/* events: LOOP_IN, LOOP_OUT, LOOP_ERROR, LOOP_EOF, or'ed. */
typedef void (*loop_event_fn)(void *ctx, unsigned events);
typedef void (*loop_fn)(void *ctx);

/* Zeroed: watches nothing. Holds no descriptor of its own. */
struct watch {
	uint32_t slot; /* 1-based; 0: none */
	uint32_t generation;
};

/* Zeroed: not armed. Must not move while it is armed. */
struct timer {
	uint64_t when; /* ms, on the loop's clock */
	loop_fn fn;
	void *ctx;
	bool armed;
	struct timer *child, *next, *prev; /* the heap's; prev is the parent for a first child */
};

/* Zeroed: not queued. */
struct deferred {
	struct deferred *next;
	loop_fn fn;
	void *ctx;
	bool queued;
};

int rddr_loop_new(struct loop **out);
void rddr_loop_free(struct loop **loop);

/* Runs until rddr_loop_stop. Returns 0, or -errno when epoll itself fails. */
int rddr_loop_run(struct loop *loop);
/* Any thread, any number of times; from a signal handler too. */
void rddr_loop_stop(struct loop *loop);

/* One batch, after at least one event or timer: for an owner that waits for something before it frees the loop. 0 or
 * -errno. */
int rddr_loop_step(struct loop *loop);

/* Milliseconds of CLOCK_MONOTONIC, read once a batch. */
uint64_t rddr_loop_now(const struct loop *loop);

/* Begins to watch fd, which stays the caller's. 0 or -errno. */
int rddr_loop_watch(struct loop *loop, struct watch *w, int fd, unsigned events, loop_event_fn fn, void *ctx);
/* Hands the watch's events to somebody else, without a system call. */
void rddr_loop_retarget(struct loop *loop, const struct watch *w, loop_event_fn fn, void *ctx);
/* Forgets the watch. With fd >= 0 it is also taken out of epoll; -1 when the caller closes it at once anyway. */
void rddr_loop_unwatch(struct loop *loop, struct watch *w, int fd);

/* Arms the timer for when (ms on the loop's clock), or moves it there. fn runs once. */
void rddr_loop_timer_set(struct loop *loop, struct timer *t, uint64_t when);
void rddr_loop_timer_cancel(struct loop *loop, struct timer *t);

/* Runs d->fn at the end of this batch. Queueing it twice is harmless. */
void rddr_loop_defer(struct loop *loop, struct deferred *d);

/* Runs d->fn in the next batch, which begins without waiting: for work that is cut in pieces to be fair to the others.
 */
void rddr_loop_again(struct loop *loop, struct deferred *d);
/* Forgets d, queued with either of the two. */
void rddr_loop_undefer(struct loop *loop, struct deferred *d);

/* Any thread: runs fn(ctx) on the loop's thread, in order of posting. 0 or -ENOMEM. */
int rddr_loop_post(struct loop *loop, loop_fn fn, void *ctx);

#endif
