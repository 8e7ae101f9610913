/* SPDX-License-Identifier: BSD-2-Clause */
#include "worker.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admission.h"
#include "gather.h"
#include "greeting.h"
#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "session.h"
#include "steering.h"

/* Several beats fit into the time after which the kernel programs take a worker for hung. */
#define HEARTBEAT_MS 250

/* A message to a worker: which fields count is fn's matter. */
struct errand {
	struct worker *worker;
	struct config *config;
	struct addr *own;
	size_t n;
	struct steering *steering;
	int fd;
	char *service;
	uint32_t limit;
	loop_fn fn;
	void *ctx;
};

static void errand_free(struct errand *e)
{
	rddr_config_put(&e->config);
	free(e->own);
	free(e->service);
	free(e);
}

static int post(struct worker *w, loop_fn fn, const struct errand *errand)
{
	struct errand *e = malloc(sizeof(*e));

	if (!e)
		return -ENOMEM;
	*e = *errand;
	e->worker = w;
	int r = rddr_loop_post(w->loop, fn, e);
	if (r < 0)
		free(e);
	return r;
}

/* ---- config ---- */

static bool names_interfaces(const struct config *config)
{
	for (size_t i = 0; config && i < config->n_rules; i++) {
		if (config->rules[i]->interface[0])
			return true;
	}
	return false;
}

static void use_config(struct worker *w, struct config *config)
{
	rddr_config_put(&w->previous);
	w->previous = w->config;
	w->config = rddr_config_get(config);
	w->names_interfaces = names_interfaces(w->config) || names_interfaces(w->previous);
	w->fds_session = 0;
	for (const struct config *c = w->config; c; c = c == w->config ? w->previous : NULL) {
		for (size_t i = 0; i < c->n_services; i++) {
			uint32_t need = c->services[i]->n_instances + 1;

			w->fds_session = need > w->fds_session ? need : w->fds_session;
		}
	}
}

static void do_set_config(void *ctx)
{
	struct errand *e = ctx;

	use_config(e->worker, e->config);
	rddr_gather_reconfigure(e->worker);
	rddr_admission_reconfigure(e->worker->admission, e->worker);
	errand_free(e);
}

int rddr_worker_set_config(struct worker *w, struct config *config)
{
	struct config *held = rddr_config_get(config);
	int r = post(w, do_set_config, &(struct errand){.config = held});

	if (r < 0)
		rddr_config_put(&held);
	return r;
}

static void do_set_fds(void *ctx)
{
	struct errand *e = ctx;
	struct worker *w = e->worker;

	w->fds_max = e->limit;
	rddr_worker_release(w, 0);
	errand_free(e);
}

int rddr_worker_set_fds(struct worker *w, uint32_t fds_max)
{
	return post(w, do_set_fds, &(struct errand){.limit = fds_max});
}

static void do_set_own(void *ctx)
{
	struct errand *e = ctx;

	free((struct addr *)e->worker->own.list);
	e->worker->own = (struct own_addrs){TAKE_PTR(e->own), e->n};
	errand_free(e);
}

int rddr_worker_set_own(struct worker *w, struct addr *own, size_t n)
{
	int r = post(w, do_set_own, &(struct errand){.own = own, .n = n});

	if (r < 0)
		free(own);
	return r;
}

/* ---- steering ---- */

static void beat(void *ctx)
{
	struct worker *w = ctx;

	if (!w->steering)
		return;
	rddr_steering_beat(w->steering, w->index);
	rddr_loop_timer_set(w->loop, &w->heart, rddr_loop_now(w->loop) + HEARTBEAT_MS);
}

static void do_set_steering(void *ctx)
{
	struct errand *e = ctx;

	e->worker->steering = e->steering;
	if (!e->worker->gone)
		beat(e->worker);
	errand_free(e);
}

int rddr_worker_set_steering(struct worker *w, struct steering *steering)
{
	return post(w, do_set_steering, &(struct errand){.steering = steering});
}

int rddr_worker_call(struct worker *w, loop_fn fn, void *ctx)
{
	return rddr_loop_post(w->loop, fn, ctx);
}

/* ---- listeners ---- */

static void do_add_listener(void *ctx)
{
	struct errand *e = ctx;
	int fd = TAKE_FD(e->fd), r = 0;

	/* One that was never started gets its messages at its end. */
	if (e->worker->gone)
		close(fd);
	else
		r = rddr_listener_add(e->worker, fd, e->service);
	if (r < 0)
		err_r(r, "worker: worker %u cannot listen", e->worker->index);
	errand_free(e);
}

int rddr_worker_add_listener(struct worker *w, int fd, const char *service_name)
{
	_owned_fd_ int owned = fd;
	_owned_mem_ char *name = service_name ? strdup(service_name) : NULL;

	if (service_name && !name)
		return -ENOMEM;
	int r = post(w, do_add_listener, &(struct errand){.fd = fd, .service = name});
	if (r < 0)
		return r;
	(void)TAKE_FD(owned);
	(void)TAKE_PTR(name);
	return 0;
}

static void do_drop_listener(void *ctx)
{
	struct errand *e = ctx;

	for (struct listener **at = &e->worker->listeners; *at;) {
		if ((*at)->fd == e->fd)
			rddr_listener_drop(e->worker, at);
		else
			at = &(*at)->next;
	}
	errand_free(e);
}

int rddr_worker_drop_listener(struct worker *w, int fd)
{
	return post(w, do_drop_listener, &(struct errand){.fd = fd});
}

/* ---- the end of sessions ---- */

void rddr_worker_release(struct worker *w, uint32_t fds)
{
	w->fds_used -= fds;
	if (w->paused && w->fds_used + w->fds_session <= w->fds_max)
		rddr_listener_resume_all(w);
}

static void tell_drained(struct worker *w)
{
	loop_fn fn = w->drained;

	if (!w->draining || w->n_sessions || w->greetings || !fn || rddr_gather_is_busy(w))
		return;
	w->drained = NULL;
	rddr_loop_timer_cancel(w->loop, &w->drain);
	fn(w->drained_ctx);
}

void rddr_worker_ended(struct worker *w)
{
	tell_drained(w);
}

static void close_sessions(struct worker *w)
{
	rddr_greeting_close_all(w);
	rddr_gather_close(w);
	while (w->sessions)
		rddr_session_close(w->sessions, SESSION_END_DRAINED);
}

static void drain_over(void *ctx)
{
	struct worker *w = ctx;

	log_warning("worker: worker %u ends %llu sessions that outlived the drain limit", w->index,
		    (unsigned long long)w->n_sessions);
	close_sessions(w);
}

static void do_drain(void *ctx)
{
	struct errand *e = ctx;
	struct worker *w = e->worker;

	w->draining = true;
	w->drained = e->fn;
	w->drained_ctx = e->ctx;
	rddr_listener_empty(w);
	while (w->listeners)
		rddr_listener_drop(w, &w->listeners);
	log_debug("worker: worker %u accepts no more, and has %llu sessions", w->index,
		  (unsigned long long)w->n_sessions);
	rddr_gather_drain(w);
	if (w->n_sessions || w->greetings || rddr_gather_is_busy(w))
		rddr_loop_timer_set(w->loop, &w->drain, rddr_loop_now(w->loop) + e->limit);
	errand_free(e);
	tell_drained(w);
}

int rddr_worker_drain(struct worker *w, uint32_t limit, loop_fn drained, void *ctx)
{
	return post(w, do_drain, &(struct errand){.limit = limit, .fn = drained, .ctx = ctx});
}

/* ---- life ---- */

static void accept_again(void *ctx)
{
	struct worker *w = ctx;

	if (w->paused && w->fds_used + w->fds_session <= w->fds_max)
		rddr_listener_resume_all(w);
}

int rddr_worker_new(unsigned index, struct config *config, uint32_t fds_max, struct worker **out)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->index = index;
	w->fds_max = fds_max;
	w->metrics = rddr_metrics_set(NULL);
	w->heart = (struct timer){.fn = beat, .ctx = w};
	w->retry = (struct timer){.fn = accept_again, .ctx = w};
	w->drain = (struct timer){.fn = drain_over, .ctx = w};
	int r = w->metrics ? rddr_loop_new(&w->loop) : -ENOMEM;
	if (r < 0) {
		free(w);
		return r;
	}
	use_config(w, config);
	*out = w;
	return 0;
}

static void *run(void *ctx)
{
	struct worker *w = ctx;
	char name[16];

	snprintf(name, sizeof(name), "rddr-worker%u", w->index);
	pthread_setname_np(pthread_self(), name);
	rddr_metrics_thread(1 + w->index);
	int r = rddr_loop_run(w->loop);
	if (r < 0)
		err_r(r, "worker: the loop of worker %u failed", w->index);
	return NULL;
}

int rddr_worker_start(struct worker *w)
{
	sigset_t all, old;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int r = -pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->started = r == 0;
	return r;
}

void rddr_worker_introduce(struct worker *w, struct worker *const *peers, unsigned n)
{
	w->peers = peers;
	w->n_peers = n;
}

void rddr_worker_stop(struct worker *w)
{
	if (!w || !w->started)
		return;
	rddr_loop_stop(w->loop);
	pthread_join(w->thread, NULL);
	w->started = false;
}

void rddr_worker_free(struct worker **owned)
{
	struct worker *w = *owned;

	if (!w)
		return;
	rddr_worker_stop(w);
	w->drained = NULL;
	w->gone = true;
	while (w->listeners)
		rddr_listener_drop(w, &w->listeners);
	close_sessions(w);
	rddr_admission_drain(w->admission, w);
	rddr_loop_free(&w->loop);
	rddr_pool_drain(&w->pool);
	rddr_config_put(&w->previous);
	rddr_config_put(&w->config);
	free((struct addr *)w->own.list);
	free(w);
	*owned = NULL;
}
