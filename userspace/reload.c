/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * reload.c - a new config under running sessions.
 *
 * It is read on a thread of its own, since names are resolved there, and checked whole. Then the workers get it, and
 * once all have it, the kernel's tables: a connection steered by the new tables finds its service, and one that the old
 * tables steered finds the old.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "checker.h"
#include "daemon.h"
#include "evidence.h"
#include "log.h"
#include "own.h"

struct reload {
	struct daemon *daemon;
	char *path;
	struct config *config;
	int error;
	void (*then)(void *ctx, const char *error);
	void *ctx;
};

static void finish(struct reload *r, const char *error)
{
	struct daemon *d = r->daemon;

	d->reloading = false;
	pthread_join(d->reload, NULL);
	r->then(r->ctx, error);
	rddr_config_put(&r->config);
	free(r->path);
	free(r);
	if (d->reload_again && !d->ending)
		rddr_reload_later(d);
}

static void publish(struct daemon *d)
{
	d->published = false;
	rddr_daemon_publish(d);
}

/* What is known of a host that goes on being checked stays known: the old checker goes last. */
static void check_hosts(struct daemon *d)
{
	struct checker *before = TAKE_PTR(d->checker);

	if (rddr_checker_new(d->loop, d->config, &d->checker) < 0)
		log_error("reload: hosts are not checked: out of memory");
	rddr_checker_free(&before);
}

static const char *use(struct daemon *d, struct reload *r)
{
	if (r->config->workers != d->config->workers) {
		log_warning("reload: workers stays %u; a restart, or --takeover, changes it", d->n_workers);
		r->config->workers = d->config->workers;
	}
	/* What can be refused comes before anything changes. */
	if (rddr_daemon_fds(d, r->config, NULL) < 0)
		return "there are too few descriptors (see the log)";
	if (rddr_daemon_sockets_open(d, r->config) < 0)
		return "not every service can listen (see the log)";
	if (rddr_evidence_reopen(&r->config->evidence) < 0) {
		rddr_daemon_sockets_discard(d);
		return "the evidence file cannot be opened (see the log)";
	}

	r->config->generation = d->config->generation + 1;
	rddr_config_put(&d->config);
	d->config = TAKE_PTR(r->config);
	if (d->config->has_log_level && !d->options->has_log_level)
		rddr_log_set_level(d->config->log_level);
	for (unsigned w = 0; w < d->n_workers; w++) {
		if (rddr_worker_set_config(d->workers[w], d->config) < 0)
			return "out of memory";
	}
	check_hosts(d);
	if (rddr_daemon_sockets_use(d) < 0)
		log_error("reload: not every service listens: out of memory");
	if (rddr_daemon_barrier(d, publish) < 0)
		return "out of memory";
	log_info("reload: done config=%s generation=%llu services=%zu", d->config->path,
		 (unsigned long long)d->config->generation, d->config->n_services);
	return NULL;
}

static void loaded(void *ctx)
{
	struct reload *r = ctx;
	struct daemon *d = r->daemon;

	if (d->ending) {
		finish(r, "the daemon ends");
		return;
	}
	int error = r->error < 0 ? r->error : rddr_daemon_bind(r->config, d->options->plugin_dir);
	if (error == -ENOSPC)
		finish(r, "its rules do not fit into the kernel's service table (see the log)");
	else if (error < 0)
		finish(r, "the file has errors (see the log)");
	else
		finish(r, use(d, r));
}

static void *load(void *ctx)
{
	struct reload *r = ctx;

	r->error = rddr_config_load(r->path, &r->config);
	if (rddr_loop_post(r->daemon->loop, loaded, r) < 0)
		abort();
	return NULL;
}

int rddr_reload(struct daemon *d, void (*then)(void *ctx, const char *error), void *ctx)
{
	if (d->reloading || d->ending)
		return -EBUSY;
	struct reload *r = calloc(1, sizeof(*r));
	char *path = strdup(d->options->config);
	if (!r || !path) {
		free(r);
		free(path);
		return -ENOMEM;
	}
	*r = (struct reload){.daemon = d, .path = path, .then = then, .ctx = ctx};
	log_info("reload: reads config=%s", path);
	int error = -pthread_create(&d->reload, NULL, load, r);
	if (error < 0) {
		free(path);
		free(r);
		return error;
	}
	d->reloading = true;
	return 0;
}

static void ended(void *ctx, const char *error)
{
	(void)ctx;
	if (error)
		log_error("daemon: the config in use stays: %s", error);
}

void rddr_reload_later(struct daemon *d)
{
	d->reload_again = d->reloading;
	if (d->reloading) {
		log_info("daemon: a reload is under way; there will be another one after it");
		return;
	}
	int r = rddr_reload(d, ended, d);
	if (r < 0)
		err_r(r, "daemon: the config cannot be read again");
}
