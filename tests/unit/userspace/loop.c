/* SPDX-License-Identifier: BSD-2-Clause */
#include "loop.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct loop *loop;

static int setup(void **state)
{
	(void)state;
	return rddr_loop_new(&loop);
}

static int teardown(void **state)
{
	(void)state;
	rddr_loop_free(&loop);
	return loop ? -1 : 0;
}

static void stop(void *ctx)
{
	(void)ctx;
	rddr_loop_stop(loop);
}

/* ---- timers ---- */

#define TIMERS 500

struct clock {
	struct timer timer;
	uint64_t when;
	unsigned fired;
};

static uint64_t last_fired;

static void on_clock(void *ctx)
{
	struct clock *c = ctx;

	c->fired++;
	assert_true(c->when >= last_fired);
	assert_true(c->when <= rddr_loop_now(loop));
	last_fired = c->when;
}

static void set_clock(struct clock *c, uint64_t when)
{
	c->when = when;
	c->timer.fn = on_clock;
	c->timer.ctx = c;
	rddr_loop_timer_set(loop, &c->timer, when);
}

/* Set, moved, cancelled at random: each fires once, in order, when it is due. */
static void timers_fire_in_order(void **state)
{
	struct clock *clocks = calloc(TIMERS, sizeof(*clocks));
	struct timer end = {.fn = stop};
	uint64_t now = rddr_loop_now(loop);
	unsigned x = 3;

	(void)state;
	assert_non_null(clocks);
	last_fired = 0;
	for (int step = 0; step < 20 * TIMERS; step++) {
		x = x * 1103515245 + 12345;
		struct clock *c = &clocks[(x >> 8) % TIMERS];

		if ((x >> 28) % 4 == 0)
			rddr_loop_timer_cancel(loop, &c->timer);
		else
			set_clock(c, now + (x >> 16) % 50);
	}
	rddr_loop_timer_set(loop, &end, now + 60);
	assert_int_equal(rddr_loop_run(loop), 0);
	size_t armed = 0;
	for (size_t i = 0; i < TIMERS; i++) {
		assert_false(clocks[i].timer.armed);
		assert_true(clocks[i].fired <= 1);
		armed += clocks[i].fired;
	}
	assert_true(armed > TIMERS / 4);
	free(clocks);
}

static struct clock another;

static void cancels_another(void *ctx)
{
	rddr_loop_timer_cancel(loop, &another.timer);
	assert_false(another.timer.armed);
	(void)ctx;
}

static void a_timer_cancels_another(void **state)
{
	struct timer first = {.fn = cancels_another}, end = {.fn = stop};
	uint64_t now = rddr_loop_now(loop);

	(void)state;
	another = (struct clock){0};
	set_clock(&another, now + 2);
	rddr_loop_timer_set(loop, &first, now + 1);
	rddr_loop_timer_set(loop, &end, now + 3);
	/* Cancelling what is not armed is harmless. */
	rddr_loop_timer_cancel(loop, &(struct timer){0});
	assert_int_equal(rddr_loop_run(loop), 0);
	assert_int_equal(another.fired, 0);
}

struct rearmed {
	struct timer timer;
	unsigned times;
};

static void rearm(void *ctx)
{
	struct rearmed *r = ctx;

	if (++r->times == 5)
		rddr_loop_stop(loop);
	else
		rddr_loop_timer_set(loop, &r->timer, rddr_loop_now(loop) + 1);
}

static void a_timer_arms_itself_again(void **state)
{
	struct rearmed r = {.timer = {.fn = rearm, .ctx = &r}};

	(void)state;
	/* In the past counts as now. */
	rddr_loop_timer_set(loop, &r.timer, 0);
	assert_int_equal(rddr_loop_run(loop), 0);
	assert_int_equal(r.times, 5);
	assert_false(r.timer.armed);
}

/* ---- watches ---- */

struct end {
	int fd;
	struct watch watch;
	unsigned events, calls;
	struct end *closes; /* on its first event */
};

static void on_end(void *ctx, unsigned events)
{
	struct end *e = ctx;

	e->events |= events;
	e->calls++;
	if (!e->closes)
		return;
	rddr_loop_unwatch(loop, &e->closes->watch, -1);
	close(e->closes->fd);
	e->closes->fd = -1;
	e->closes = NULL;
}

static void make_pair(struct end *a, struct end *b)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	*a = (struct end){.fd = fds[0]};
	*b = (struct end){.fd = fds[1]};
}

static void close_end(struct end *e)
{
	rddr_loop_unwatch(loop, &e->watch, e->fd);
	if (e->fd >= 0)
		close(e->fd);
}

static void events_tell(void **state)
{
	struct end a, b;

	(void)state;
	make_pair(&a, &b);
	assert_int_equal(rddr_loop_watch(loop, &a.watch, a.fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_end, &a), 0);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(a.events, LOOP_OUT);
	a.events = 0;
	assert_int_equal(write(b.fd, "x", 1), 1);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_true(a.events & LOOP_IN);
	assert_false(a.events & (LOOP_EOF | LOOP_ERROR));
	a.events = 0;
	assert_int_equal(shutdown(b.fd, SHUT_WR), 0);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_true(a.events & LOOP_EOF);
	assert_false(a.events & LOOP_ERROR);
	a.events = 0;
	close(b.fd);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_true(a.events & LOOP_ERROR);
	close_end(&a);
}

/* Level triggered unless LOOP_EDGE is there. */
static void levels_and_edges(void **state)
{
	struct end a, b, c, d;
	struct rearmed r = {.timer = {.fn = rearm, .ctx = &r}};

	(void)state;
	make_pair(&a, &b);
	make_pair(&c, &d);
	assert_int_equal(rddr_loop_watch(loop, &a.watch, a.fd, LOOP_IN, on_end, &a), 0);
	assert_int_equal(rddr_loop_watch(loop, &c.watch, c.fd, LOOP_IN | LOOP_EDGE, on_end, &c), 0);
	assert_int_equal(write(b.fd, "x", 1), 1);
	assert_int_equal(write(d.fd, "x", 1), 1);
	rddr_loop_timer_set(loop, &r.timer, 0);
	assert_int_equal(rddr_loop_run(loop), 0);
	assert_true(a.calls > 1);
	assert_int_equal(c.calls, 1);
	close_end(&a);
	close_end(&b);
	close_end(&c);
	close_end(&d);
}

static void retarget(void **state)
{
	struct end a, b, heir = {.fd = -1};

	(void)state;
	make_pair(&a, &b);
	assert_int_equal(rddr_loop_watch(loop, &a.watch, a.fd, LOOP_IN, on_end, &a), 0);
	rddr_loop_retarget(loop, &a.watch, on_end, &heir);
	assert_int_equal(write(b.fd, "x", 1), 1);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(a.calls, 0);
	assert_int_equal(heir.calls, 1);
	/* A watch that is gone has nobody to hand over. */
	rddr_loop_retarget(loop, &(struct watch){0}, on_end, &heir);
	close_end(&a);
	close_end(&b);
}

/* Both are ready in one batch; who comes first closes the other, whose event must not be seen any more. */
static void stale_events_are_dropped(void **state)
{
	struct end a, b, c, d;

	(void)state;
	make_pair(&a, &b);
	make_pair(&c, &d);
	a.closes = &c;
	c.closes = &a;
	assert_int_equal(rddr_loop_watch(loop, &a.watch, a.fd, LOOP_IN, on_end, &a), 0);
	assert_int_equal(rddr_loop_watch(loop, &c.watch, c.fd, LOOP_IN, on_end, &c), 0);
	assert_int_equal(write(b.fd, "x", 1), 1);
	assert_int_equal(write(d.fd, "x", 1), 1);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(a.calls + c.calls, 1);
	close_end(&a);
	close_end(&b);
	close_end(&c);
	close_end(&d);
}

struct swap {
	struct end *victim, *heir;
	int fd;
	struct watch watch;
	unsigned calls;
};

/* Closes the other one and puts a new descriptor into its place: its number and, likely, its slot are used again. */
static void on_swap(void *ctx, unsigned events)
{
	struct swap *s = ctx;

	(void)events;
	if (s->calls++)
		return;
	int number = s->victim->fd;
	rddr_loop_unwatch(loop, &s->victim->watch, -1);
	assert_int_equal(dup2(s->heir->fd, number), number);
	close(s->heir->fd);
	s->heir->fd = number;
	s->victim->fd = -1;
	assert_int_equal(rddr_loop_watch(loop, &s->heir->watch, number, LOOP_IN, on_end, s->heir), 0);
}

static void a_number_used_again(void **state)
{
	struct end first, first_peer, victim, victim_peer, heir, heir_peer;
	struct swap swap = {0};

	(void)state;
	make_pair(&first, &first_peer);
	make_pair(&victim, &victim_peer);
	make_pair(&heir, &heir_peer);
	swap = (struct swap){.victim = &victim, .heir = &heir};
	assert_int_equal(rddr_loop_watch(loop, &swap.watch, first.fd, LOOP_IN | LOOP_EDGE, on_swap, &swap), 0);
	assert_int_equal(rddr_loop_watch(loop, &victim.watch, victim.fd, LOOP_IN | LOOP_EDGE, on_end, &victim), 0);
	assert_int_equal(write(first_peer.fd, "x", 1), 1);
	assert_int_equal(write(victim_peer.fd, "x", 1), 1);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(swap.calls, 1);
	/* It may have come before it was closed; never in the name of the new one. */
	assert_int_equal(heir.calls, 0);
	rddr_loop_unwatch(loop, &swap.watch, first.fd);
	close(first.fd);
	close(first_peer.fd);
	close(victim_peer.fd);
	close_end(&heir);
	close(heir_peer.fd);
}

#define PAIRS 200

static void many_watches(void **state)
{
	struct end *ends = calloc(2 * PAIRS, sizeof(*ends));

	(void)state;
	assert_non_null(ends);
	for (size_t i = 0; i < PAIRS; i++) {
		make_pair(&ends[2 * i], &ends[2 * i + 1]);
		assert_int_equal(rddr_loop_watch(loop, &ends[2 * i].watch, ends[2 * i].fd, LOOP_IN | LOOP_EDGE, on_end,
						 &ends[2 * i]),
				 0);
	}
	for (size_t i = 0; i < PAIRS; i += 2)
		assert_int_equal(write(ends[2 * i + 1].fd, "x", 1), 1);
	assert_int_equal(rddr_loop_step(loop), 0);
	for (size_t i = 0; i < PAIRS; i++)
		assert_int_equal(ends[2 * i].calls, i % 2 ? 0 : 1);
	for (size_t i = 0; i < 2 * PAIRS; i++)
		close_end(&ends[i]);
	free(ends);
}

static void what_cannot_be_watched(void **state)
{
	struct watch w = {0};

	(void)state;
	assert_int_equal(rddr_loop_watch(loop, &w, -1, LOOP_IN, on_end, NULL), -EBADF);
	assert_int_equal(w.slot, 0);
	/* Forgetting nothing is harmless. */
	rddr_loop_unwatch(loop, &w, -1);
}

/* ---- deferred work ---- */

struct work {
	struct deferred deferred;
	unsigned ran;
	struct work *defers, *forgets, *again;
};

static char order[32];
static size_t n_order;

static void do_work(void *ctx)
{
	struct work *w = ctx;

	w->ran++;
	if (w->defers)
		rddr_loop_defer(loop, &w->defers->deferred);
	if (w->forgets)
		rddr_loop_undefer(loop, &w->forgets->deferred);
	if (w->again)
		rddr_loop_again(loop, &w->again->deferred);
}

static struct work new_work(void)
{
	return (struct work){.deferred = {.fn = do_work}};
}

static void deferred_work(void **state)
{
	struct work a = new_work(), b = new_work(), c = new_work();

	(void)state;
	a.deferred.ctx = &a;
	b.deferred.ctx = &b;
	c.deferred.ctx = &c;
	/* Twice is once; what is deferred by deferred work runs in the same batch; what is forgotten does not. */
	a.defers = &b;
	a.forgets = &c;
	rddr_loop_defer(loop, &a.deferred);
	rddr_loop_defer(loop, &a.deferred);
	rddr_loop_defer(loop, &c.deferred);
	rddr_loop_stop(loop);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(a.ran, 1);
	assert_int_equal(b.ran, 1);
	assert_int_equal(c.ran, 0);
	rddr_loop_undefer(loop, &c.deferred);
}

static void work_in_the_next_batch(void **state)
{
	struct work a = new_work(), b = new_work(), c = new_work();

	(void)state;
	a.deferred.ctx = &a;
	b.deferred.ctx = &b;
	c.deferred.ctx = &c;
	a.again = &a;
	a.forgets = &c;
	rddr_loop_again(loop, &a.deferred);
	rddr_loop_again(loop, &c.deferred);
	rddr_loop_again(loop, &b.deferred);
	/* No event, no timer: it does not wait. What queues itself again is for the batch after. */
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(a.ran, 1);
	assert_int_equal(b.ran, 1);
	assert_int_equal(c.ran, 0);
	a.again = NULL;
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(a.ran, 2);
	rddr_loop_again(loop, &b.deferred);
	rddr_loop_undefer(loop, &b.deferred);
	assert_false(b.deferred.queued);
	/* The queue's end is still in order. */
	rddr_loop_again(loop, &c.deferred);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_int_equal(b.ran, 1);
	assert_int_equal(c.ran, 1);
}

/* ---- messages ---- */

static void note(void *ctx)
{
	assert_true(n_order < sizeof(order) - 1);
	order[n_order++] = *(const char *)ctx;
	order[n_order] = '\0';
}

static void messages_in_order(void **state)
{
	static const char text[] = "posted in order";

	(void)state;
	n_order = 0;
	for (size_t i = 0; text[i]; i++)
		assert_int_equal(rddr_loop_post(loop, note, (void *)(text + i)), 0);
	assert_int_equal(rddr_loop_step(loop), 0);
	assert_string_equal(order, text);
}

static void a_message_nobody_ran(void **state)
{
	struct loop *other;

	(void)state;
	n_order = 0;
	assert_int_equal(rddr_loop_new(&other), 0);
	assert_int_equal(rddr_loop_post(other, note, "z"), 0);
	rddr_loop_free(&other);
	assert_null(other);
	rddr_loop_free(&other);
	assert_string_equal(order, "z");
}

#define POSTERS 4
#define POSTS	2000

static unsigned counted;

static void count_one(void *ctx)
{
	(void)ctx;
	if (++counted == POSTERS * POSTS)
		rddr_loop_stop(loop);
}

static void *post_many(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < POSTS; i++) {
		if (rddr_loop_post(loop, count_one, NULL) < 0)
			abort();
	}
	return NULL;
}

static void messages_of_other_threads(void **state)
{
	pthread_t threads[POSTERS];

	(void)state;
	counted = 0;
	for (int i = 0; i < POSTERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, post_many, NULL), 0);
	assert_int_equal(rddr_loop_run(loop), 0);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counted, POSTERS * POSTS);
}

static void *stop_from_aside(void *ctx)
{
	(void)ctx;
	rddr_loop_stop(loop);
	rddr_loop_stop(loop);
	return NULL;
}

static void stopped_from_another_thread(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, stop_from_aside, NULL), 0);
	assert_int_equal(rddr_loop_run(loop), 0);
	pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(timers_fire_in_order),
		TEST(a_timer_cancels_another),
		TEST(a_timer_arms_itself_again),
		TEST(events_tell),
		TEST(levels_and_edges),
		TEST(retarget),
		TEST(stale_events_are_dropped),
		TEST(a_number_used_again),
		TEST(many_watches),
		TEST(what_cannot_be_watched),
		TEST(deferred_work),
		TEST(work_in_the_next_batch),
		TEST(messages_in_order),
		TEST(a_message_nobody_ran),
		TEST(messages_of_other_threads),
		TEST(stopped_from_another_thread),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
