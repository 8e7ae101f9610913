/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "own.h"

#define BATCH	    256
#define FIRST_SLOTS 64

struct slot {
	loop_event_fn fn; /* NULL: free */
	void *ctx;
	uint32_t generation;
	uint32_t next_free; /* 1-based */
};

struct queue {
	struct deferred *first, **tail;
};

struct message {
	struct message *next;
	loop_fn fn;
	void *ctx;
};

struct loop {
	int epoll_fd;
	int wake_fd;
	struct watch wake;
	uint64_t now;

	struct slot *slots;
	uint32_t n_slots, free_slot;

	struct timer *timers;  /* the root of the heap */
	struct queue deferred; /* for the end of this batch */
	struct queue again;    /* for the next batch */
	struct queue running;  /* what was queued for this one and has not run */

	pthread_mutex_t lock; /* of the messages alone */
	struct message *messages, **messages_tail;
	atomic_bool stopping;
};

static uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- timers: a pairing heap ---- */

static struct timer *meld(struct timer *a, struct timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->when < a->when) {
		struct timer *swap = a;

		a = b;
		b = swap;
	}
	b->prev = a;
	b->next = a->child;
	if (a->child)
		a->child->prev = b;
	a->child = b;
	return a;
}

/* Melds a list of siblings in pairs, then the pairs from the last to the first. */
static struct timer *meld_siblings(struct timer *first)
{
	struct timer *pairs = NULL;

	while (first) {
		struct timer *a = first, *b = first->next;

		first = b ? b->next : NULL;
		a->next = a->prev = NULL;
		if (b)
			b->next = b->prev = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}

	struct timer *root = NULL;
	while (pairs) {
		struct timer *next = pairs->next;

		pairs->next = NULL;
		root = meld(root, pairs);
		pairs = next;
	}
	return root;
}

void rddr_loop_timer_cancel(struct loop *loop, struct timer *t)
{
	if (!t->armed)
		return;
	struct timer *children = meld_siblings(t->child);
	if (t == loop->timers) {
		loop->timers = children;
	} else {
		if (t->prev->child == t)
			t->prev->child = t->next;
		else
			t->prev->next = t->next;
		if (t->next)
			t->next->prev = t->prev;
		loop->timers = meld(loop->timers, children);
	}
	t->child = t->next = t->prev = NULL;
	t->armed = false;
}

void rddr_loop_timer_set(struct loop *loop, struct timer *t, uint64_t when)
{
	rddr_loop_timer_cancel(loop, t);
	t->when = when;
	t->armed = true;
	loop->timers = meld(loop->timers, t);
}

static void fire_timers(struct loop *loop)
{
	while (loop->timers && loop->timers->when <= loop->now) {
		struct timer *t = loop->timers;

		rddr_loop_timer_cancel(loop, t);
		t->fn(t->ctx);
	}
}

static int wait_ms(const struct loop *loop)
{
	if (loop->again.first)
		return 0;
	if (!loop->timers)
		return -1;
	uint64_t now = clock_ms();
	if (loop->timers->when <= now)
		return 0;
	uint64_t ms = loop->timers->when - now;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* ---- watches ---- */

static int grow_slots(struct loop *loop)
{
	uint32_t n = loop->n_slots ? loop->n_slots * 2 : FIRST_SLOTS;
	struct slot *slots = realloc(loop->slots, n * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	memset(slots + loop->n_slots, 0, (n - loop->n_slots) * sizeof(*slots));
	for (uint32_t i = n; i > loop->n_slots; i--) {
		slots[i - 1].next_free = loop->free_slot;
		loop->free_slot = i;
	}
	loop->slots = slots;
	loop->n_slots = n;
	return 0;
}

static struct slot *find_slot(struct loop *loop, uint32_t number, uint32_t generation)
{
	if (!number || number > loop->n_slots)
		return NULL;
	struct slot *slot = &loop->slots[number - 1];
	return slot->fn && slot->generation == generation ? slot : NULL;
}

static void release_slot(struct loop *loop, struct watch *w)
{
	struct slot *slot = find_slot(loop, w->slot, w->generation);

	if (slot) {
		slot->fn = NULL;
		slot->ctx = NULL;
		slot->generation++;
		slot->next_free = loop->free_slot;
		loop->free_slot = w->slot;
	}
	*w = (struct watch){0};
}

int rddr_loop_watch(struct loop *loop, struct watch *w, int fd, unsigned events, loop_event_fn fn, void *ctx)
{
	if (!loop->free_slot) {
		int r = grow_slots(loop);
		if (r < 0)
			return r;
	}

	uint32_t number = loop->free_slot;
	struct slot *slot = &loop->slots[number - 1];
	struct epoll_event ev = {.data.u64 = (uint64_t)slot->generation << 32 | number};
	if (events & LOOP_IN)
		ev.events |= EPOLLIN | EPOLLRDHUP;
	if (events & LOOP_OUT)
		ev.events |= EPOLLOUT;
	if (events & LOOP_EDGE)
		ev.events |= EPOLLET;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;

	loop->free_slot = slot->next_free;
	slot->fn = fn;
	slot->ctx = ctx;
	*w = (struct watch){.slot = number, .generation = slot->generation};
	return 0;
}

void rddr_loop_retarget(struct loop *loop, const struct watch *w, loop_event_fn fn, void *ctx)
{
	struct slot *slot = find_slot(loop, w->slot, w->generation);

	if (slot) {
		slot->fn = fn;
		slot->ctx = ctx;
	}
}

void rddr_loop_unwatch(struct loop *loop, struct watch *w, int fd)
{
	if (w->slot && fd >= 0)
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	release_slot(loop, w);
}

static void dispatch(struct loop *loop, const struct epoll_event *ev)
{
	struct slot *slot = find_slot(loop, (uint32_t)ev->data.u64, (uint32_t)(ev->data.u64 >> 32));
	unsigned events = 0;

	if (!slot)
		return; /* closed earlier in this batch */
	if (ev->events & (EPOLLIN | EPOLLRDHUP))
		events |= LOOP_IN;
	if (ev->events & EPOLLRDHUP)
		events |= LOOP_EOF;
	if (ev->events & EPOLLOUT)
		events |= LOOP_OUT;
	if (ev->events & (EPOLLERR | EPOLLHUP))
		events |= LOOP_ERROR;
	slot->fn(slot->ctx, events);
}

/* ---- deferred work and messages ---- */

static void enqueue(struct queue *q, struct deferred *d)
{
	if (d->queued)
		return;
	d->queued = true;
	d->next = NULL;
	*q->tail = d;
	q->tail = &d->next;
}

static bool dequeue(struct queue *q, struct deferred *d)
{
	for (struct deferred **at = &q->first; *at; at = &(*at)->next) {
		if (*at != d)
			continue;
		*at = d->next;
		if (!*at)
			q->tail = at;
		d->queued = false;
		return true;
	}
	return false;
}

static void run_queue(struct queue *q)
{
	while (q->first) {
		struct deferred *d = q->first;

		dequeue(q, d);
		d->fn(d->ctx);
	}
}

void rddr_loop_defer(struct loop *loop, struct deferred *d)
{
	enqueue(&loop->deferred, d);
}

void rddr_loop_again(struct loop *loop, struct deferred *d)
{
	enqueue(&loop->again, d);
}

void rddr_loop_undefer(struct loop *loop, struct deferred *d)
{
	if (d->queued && !dequeue(&loop->deferred, d) && !dequeue(&loop->again, d))
		dequeue(&loop->running, d);
}

/* What is queued again while this runs is for the batch after. */
static void run_again(struct loop *loop)
{
	if (!loop->again.first)
		return;
	loop->running = loop->again;
	loop->again = (struct queue){.tail = &loop->again.first};
	run_queue(&loop->running);
}

static void wake(struct loop *loop)
{
	uint64_t one = 1;

	/* A full counter wakes as well as one more would. */
	if (write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

int rddr_loop_post(struct loop *loop, loop_fn fn, void *ctx)
{
	struct message *m = malloc(sizeof(*m));

	if (!m)
		return -ENOMEM;
	*m = (struct message){.fn = fn, .ctx = ctx};
	pthread_mutex_lock(&loop->lock);
	*loop->messages_tail = m;
	loop->messages_tail = &m->next;
	pthread_mutex_unlock(&loop->lock);
	wake(loop);
	return 0;
}

void rddr_loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopping, true);
	wake(loop);
}

static struct message *take_messages(struct loop *loop)
{
	pthread_mutex_lock(&loop->lock);
	struct message *m = loop->messages;
	loop->messages = NULL;
	loop->messages_tail = &loop->messages;
	pthread_mutex_unlock(&loop->lock);
	return m;
}

static void on_wake(void *ctx, unsigned events)
{
	struct loop *loop = ctx;
	uint64_t count;

	(void)events;
	if (read(loop->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	for (struct message *m = take_messages(loop); m;) {
		_owned_mem_ struct message *done = m;

		m = m->next;
		done->fn(done->ctx);
	}
}

/* ---- the loop itself ---- */

uint64_t rddr_loop_now(const struct loop *loop)
{
	return loop->now;
}

int rddr_loop_new(struct loop **out)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	pthread_mutex_init(&loop->lock, NULL);
	loop->deferred.tail = &loop->deferred.first;
	loop->again.tail = &loop->again.first;
	loop->messages_tail = &loop->messages;
	loop->now = clock_ms();
	loop->wake_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int r = loop->epoll_fd < 0 ? -errno : 0;
	if (!r) {
		loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		r = loop->wake_fd < 0 ? -errno : 0;
	}
	if (!r)
		r = rddr_loop_watch(loop, &loop->wake, loop->wake_fd, LOOP_IN, on_wake, loop);
	if (r < 0)
		rddr_loop_free(&loop);
	else
		*out = loop;
	return r;
}

void rddr_loop_free(struct loop **owned)
{
	struct loop *loop = *owned;

	if (!loop)
		return;
	/* A message that nobody ran may own something: it is run here, on the loop's last day. */
	for (struct message *m = take_messages(loop); m;) {
		_owned_mem_ struct message *done = m;

		m = m->next;
		done->fn(done->ctx);
	}
	run_queue(&loop->deferred);
	rddr_own_close(&loop->wake_fd);
	rddr_own_close(&loop->epoll_fd);
	pthread_mutex_destroy(&loop->lock);
	free(loop->slots);
	free(loop);
	*owned = NULL;
}

int rddr_loop_step(struct loop *loop)
{
	struct epoll_event events[BATCH];
	int n = epoll_wait(loop->epoll_fd, events, BATCH, wait_ms(loop));

	if (n < 0 && errno != EINTR)
		return -errno;
	loop->now = clock_ms();
	for (int i = 0; i < n; i++)
		dispatch(loop, &events[i]);
	fire_timers(loop);
	run_again(loop);
	run_queue(&loop->deferred);
	return 0;
}

int rddr_loop_run(struct loop *loop)
{
	int r = 0;

	while (r == 0 && !atomic_load_explicit(&loop->stopping, memory_order_relaxed))
		r = rddr_loop_step(loop);
	return r;
}
