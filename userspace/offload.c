/* SPDX-License-Identifier: BSD-2-Clause */
#include "offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "log.h"
#include "metrics.h"
#include "own.h"
#include "session.h"
#include "worker.h"

struct offload {
	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t some;
	pthread_t threads[OFFLOAD_THREADS];
	unsigned n_threads;
	struct offload_record *first, **last; /* that wait */
	unsigned waiting;
	bool stopped;
};

struct offload_record {
	struct offload_record *next; /* of the pool's queue; under its lock */
	struct loop *loop;
	void (*work)(void *job);
	void (*done)(void *state, void *job);
	void *job;
	atomic_bool abandoned; /* the session has ended, or the pool ends: the work need not be done any more */

	/* The worker's own. */
	struct rddr_session *session;		     /* NULL: it has ended */
	struct offload_record *session_next, **from; /* of the session's list */
	struct config *config;			     /* a reference */
};

int rddr_offload_new(struct offload **out)
{
	struct offload *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->some, NULL);
	o->last = &o->first;
	*out = o;
	return 0;
}

/* ---- the worker's side ---- */

static void unlink_from_session(struct offload_record *r)
{
	*r->from = r->session_next;
	if (r->session_next)
		r->session_next->from = r->from;
	r->session = NULL;
}

void rddr_offload_forget(struct rddr_session *s)
{
	while (s->offloaded) {
		struct offload_record *r = s->offloaded;

		unlink_from_session(r);
		atomic_store(&r->abandoned, true);
	}
}

/* A message: the job is back. */
static void come_back(void *ctx)
{
	struct offload_record *r = ctx;
	struct rddr_session *s = r->session;
	bool lives = s && s->phase == SESSION_OPEN;

	if (s)
		unlink_from_session(r);
	if (lives && atomic_load(&r->abandoned)) {
		rddr_session_close(s, SESSION_END_DRAINED);
		lives = false;
	}
	r->done(lives ? s->state : NULL, r->job);
	rddr_config_put(&r->config);
	free(r);
	if (!lives)
		return;
	/* Both directions are asked anew, though no byte has come. */
	s->rejudge = s->stirred = true;
	s->fanout_holds = s->fanout_waits = false;
	rddr_session_pump(s);
}

/* ---- the pool's side ---- */

/* The loop takes it in the end: without that its memory, and the config's, would be lost. */
static void send_back(struct offload_record *r)
{
	const struct timespec pause = {.tv_nsec = 10000000};

	while (rddr_loop_post(r->loop, come_back, r) < 0)
		nanosleep(&pause, NULL);
}

static struct offload_record *take(struct offload *o)
{
	struct offload_record *r = o->first;

	o->first = r->next;
	if (!o->first)
		o->last = &o->first;
	o->waiting--;
	return r;
}

static void *run(void *ctx)
{
	struct offload *o = ctx;

	pthread_setname_np(pthread_self(), "rddr-offload");
	pthread_mutex_lock(&o->lock);
	while (!o->stopped) {
		if (!o->first) {
			pthread_cond_wait(&o->some, &o->lock);
			continue;
		}
		struct offload_record *r = take(o);

		pthread_mutex_unlock(&o->lock);
		if (!atomic_load(&r->abandoned))
			r->work(r->job);
		send_back(r);
		pthread_mutex_lock(&o->lock);
	}
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

/* Under the lock. One more thread when all may be at work; true when there is one at least. */
static bool man(struct offload *o)
{
	sigset_t all, old;

	if (o->n_threads == OFFLOAD_THREADS)
		return true;
	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&o->threads[o->n_threads], NULL, run, o);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r == 0)
		o->n_threads++;
	else
		err_r(r, "offload: thread %u of %u cannot be started", o->n_threads + 1, OFFLOAD_THREADS);
	return o->n_threads > 0;
}

static bool enqueue(struct offload *o, struct offload_record *r)
{
	pthread_mutex_lock(&o->lock);
	bool takes = !o->stopped && o->waiting < OFFLOAD_WAITING && man(o);
	if (takes) {
		*o->last = r;
		o->last = &r->next;
		o->waiting++;
		pthread_cond_signal(&o->some);
	}
	pthread_mutex_unlock(&o->lock);
	return takes;
}

bool rddr_offload(struct rddr_session *s, void (*work)(void *job), void (*done)(void *state, void *job), void *job)
{
	struct offload *o = s->worker->offload;
	struct offload_record *r = o ? calloc(1, sizeof(*r)) : NULL;

	if (r) {
		r->loop = s->worker->loop;
		r->work = work;
		r->done = done;
		r->job = job;
		r->session = s;
		r->config = rddr_config_get(s->config);
		r->session_next = s->offloaded;
		r->from = &s->offloaded;
		if (r->session_next)
			r->session_next->from = &r->session_next;
		s->offloaded = r;
	}
	if (!r || !enqueue(o, r)) {
		rddr_metrics_count(s->service->metrics, METRIC_offload_refused);
		if (r) {
			unlink_from_session(r);
			rddr_config_put(&r->config);
			free(r);
		}
		return false;
	}
	rddr_metrics_count(s->service->metrics, METRIC_offloaded);
	return true;
}

void rddr_offload_stop(struct offload *o)
{
	if (!o)
		return;
	pthread_mutex_lock(&o->lock);
	o->stopped = true;
	pthread_cond_broadcast(&o->some);
	pthread_mutex_unlock(&o->lock);
	/* No thread is made any more. */
	for (unsigned i = 0; i < o->n_threads; i++)
		pthread_join(o->threads[i], NULL);
	o->n_threads = 0;
	while (o->first) {
		struct offload_record *r = take(o);

		/* Undone, so it must not look done to its session. */
		atomic_store(&r->abandoned, true);
		send_back(r);
	}
}

void rddr_offload_free(struct offload **owned)
{
	struct offload *o = *owned;

	if (!o)
		return;
	rddr_offload_stop(o);
	pthread_cond_destroy(&o->some);
	pthread_mutex_destroy(&o->lock);
	free(o);
	*owned = NULL;
}
