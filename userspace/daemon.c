/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon.h"

#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "admission.h"
#include "checker.h"
#include "control.h"
#include "evidence.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "offload.h"
#include "own.h"
#include "plugin.h"
#include "resolver.h"
#include "scribe.h"
#include "steering.h"
#include "steering_table.h"
#include "tables.h"
#include "transport_tls.h"

/* How often it is looked whether the programs are attached, or attached anew. */
#define UPKEEP_MS 500
/* For how long after the start it is looked at tables that are not ours; longer than one that was killed counts as
 * alive. */
#define LOOK_WITHIN_MS 5000
#define SCRIBE_BYTES   (1u << 20)

/* ---- plugins ---- */

/* What a config that died leaves to the main thread, which alone may unload plugins. */
struct leavings {
	struct plugin *plugin;
	void *params;
};

static struct loop *main_loop;

static void clear_leavings(void *ctx)
{
	_owned_mem_ struct leavings *l = ctx;

	if (l->plugin && rddr_plugin_ops(l->plugin)->free_params)
		rddr_plugin_ops(l->plugin)->free_params(l->params);
	rddr_plugin_put(&l->plugin);
}

static void on_service_free(struct service *service)
{
	rddr_tls_unbind(service);
	struct leavings *l = service->plugin ? malloc(sizeof(*l)) : NULL;

	if (!l)
		return;
	*l = (struct leavings){.plugin = service->plugin, .params = service->params};
	if (!main_loop)
		clear_leavings(l);
	else if (rddr_loop_post(main_loop, clear_leavings, l) < 0)
		free(l); /* the plugin stays loaded; there is no memory to unload it with */
}

/* Reads the service's diff-params and has them held against it. 0, or an error with the message in err. */
static int read_params(struct service *service, char *err, size_t errlen)
{
	const struct rddr_diff_plugin *ops = service->ops;
	const struct rddr_diff_service fits = {
		.size = sizeof(fits),
		.name = service->name,
		.direction = service->direction,
		.instances = service->n_instances,
		.do_filter = service->filter,
	};
	int r = 0;

	if (ops->validate_params) {
		r = ops->validate_params(service->diff_params, &service->params, err, errlen);
	} else if (strcmp(service->diff_params, "{}") != 0) {
		snprintf(err, errlen, "%s takes no parameters", ops->name);
		r = -EINVAL;
	}
	return r == 0 && ops->check_params ? ops->check_params(service->params, &fits, err, errlen) : r;
}

static int bind_service(struct config *config, struct service *service, const char *plugin_dir)
{
	char err[512] = "";
	char key[160];
	int r = rddr_plugin_load(service->diff_class, plugin_dir, &service->plugin, err, sizeof(err));

	snprintf(key, sizeof(key), "services.%s.%s", service->name, r < 0 ? "diff-class" : "diff-params");
	if (r < 0)
		return rddr_config_complain(config, service->diff_class_mark, key, "%s", err);
	service->ops = rddr_plugin_ops(service->plugin);
	r = read_params(service, err, sizeof(err));
	if (r < 0)
		return rddr_config_complain(config, service->diff_params_mark, key, "%s", err);
	service->metrics = rddr_metrics_set(service->name);
	service->tables = rddr_tables_of(service->name);
	return service->metrics && service->tables
		       ? 0
		       : err_r(-ENOMEM, "daemon: no counters or tables for service %s", service->name);
}

int rddr_daemon_bind(struct config *config, const char *plugin_dir)
{
	int result = 0;

	rddr_config_on_free(on_service_free);
	for (size_t i = 0; i < config->n_services; i++) {
		int r = bind_service(config, config->services[i], plugin_dir);
		if (r < 0)
			result = r;
	}
	/* It wants to know what the plugins speak. */
	if (result == 0)
		result = rddr_tls_bind(config);
	/* Said now: when it is published, the config is in use. */
	if (result == 0)
		result = rddr_steering_table_check(config, if_nametoindex);
	if (result == 0)
		rddr_config_advise(config);
	return result;
}

/* ---- barriers ---- */

struct barrier {
	struct daemon *daemon;
	unsigned left; /* counted on the main thread alone */
	void (*done)(struct daemon *d);
};

static void barrier_reached(void *ctx)
{
	struct barrier *b = ctx;

	if (--b->left)
		return;
	void (*done)(struct daemon * d) = b->done;
	struct daemon *d = b->daemon;
	free(b);
	done(d);
}

static void barrier_on_worker(void *ctx)
{
	/* Without memory for one message nothing else would go on either. */
	if (rddr_loop_post(main_loop, barrier_reached, ctx) < 0)
		abort();
}

int rddr_daemon_barrier(struct daemon *d, void (*done)(struct daemon *d))
{
	struct barrier *b = malloc(sizeof(*b));

	if (!b)
		return -ENOMEM;
	*b = (struct barrier){.daemon = d, .done = done};
	for (unsigned i = 0; i < d->n_workers; i++)
		b->left += rddr_worker_call(d->workers[i], barrier_on_worker, b) == 0;
	if (b->left)
		return 0;
	free(b);
	return -ENOMEM;
}

/* ---- steering ---- */

static void close_retired(struct daemon *d)
{
	rddr_steering_close(&d->retired);
}

static void use_steering(struct daemon *d, struct steering *steering)
{
	d->retired = d->steering;
	d->steering = steering;
	d->published = false;
	for (unsigned w = 0; w < d->n_workers; w++) {
		/* A worker must not beat in memory that is unmapped next. */
		if (rddr_worker_set_steering(d->workers[w], steering) < 0)
			abort();
	}
	if (d->retired && rddr_daemon_barrier(d, close_retired) < 0)
		log_error("daemon: the maps that were in use before stay open");
}

static int publish_listeners(struct daemon *d)
{
	for (size_t i = 0; i < d->n_sockets; i++) {
		struct daemon_socket *sock = &d->sockets[i];

		if (sock->service || sock->slot >= d->n_workers)
			continue;
		int r = rddr_steering_publish_listener(d->steering, sock->slot, sock->family, sock->fd);
		if (r < 0)
			return r;
	}
	return rddr_steering_set_workers(d->steering, d->n_workers);
}

void rddr_daemon_publish(struct daemon *d)
{
	if (!d->steering || d->published)
		return;
	uint64_t interfaces = rddr_steering_interfaces(d->config);
	int r = publish_listeners(d);
	if (r == 0)
		r = rddr_steering_publish_services(d->steering, d->config);
	if (r < 0) {
		err_r(r, "daemon: steering cannot be published; it will be tried again");
		return;
	}
	d->published = true;
	d->interfaces = interfaces;
	log_info("daemon: steering published pin-dir=%s services=%zu rules=%zu workers=%u", d->options->pin_dir,
		 d->config->n_services, d->config->n_rules, d->n_workers);
}

/* What an earlier config had steered still is, to nobody. A daemon that takes over without rules takes it out of the
 * tables; any other may have nothing to do with them, and only says what is to be done: what somebody wants closed is
 * not opened by a daemon that happens to be started. */
static void look_at_tables(struct daemon *d)
{
	struct steering *steering = NULL;

	if (d->published || rddr_loop_now(d->loop) - d->started > LOOK_WITHIN_MS)
		return;
	int r = rddr_steering_open(d->options->pin_dir, &steering);
	/* Who only listens need not be allowed to look. */
	if (r < 0 && r != -ENOENT && r != -EACCES && r != -EPERM && r != d->steering_error)
		err_r(r, "daemon: steering at %s cannot be used", d->options->pin_dir);
	d->steering_error = r;
	bool steers = r == 0 && rddr_steering_steers(steering);
	if (steers && d->inherited) {
		d->published = rddr_steering_publish_services(steering, d->config) == 0;
		if (d->published)
			log_info("daemon: no service has a key intercept: what was steered before, by the tables at "
				 "%s, is steered no more",
				 d->options->pin_dir);
	} else if (steers && !rddr_steering_live(steering)) {
		d->published = true;
		log_warning("daemon: no service has a key intercept, and the tables at %s steer services of another "
			    "config to nobody: rddr-attach --config publishes this one, rddr-detach takes them out",
			    d->options->pin_dir);
	} else if (r == 0 && !steers) {
		d->published = true;
	}
	rddr_steering_close(&steering);
}

/* Attached, attached anew, detached: whatever happens to the pins, and to interfaces, the daemon follows. */
static void keep_steering(struct daemon *d)
{
	struct steering *steering = NULL;

	if (d->ending || d->retired)
		return;
	if (!d->config->n_rules) {
		if (d->steering)
			rddr_daemon_publish(d);
		else
			look_at_tables(d);
		return;
	}
	if (!d->steering || !rddr_steering_current(d->steering)) {
		int r = rddr_steering_open(d->options->pin_dir, &steering);

		if (r < 0 && d->steering) {
			log_warning("daemon: steering was detached from %s; waiting for rddr-attach",
				    d->options->pin_dir);
			use_steering(d, NULL);
		} else if (r == -ENOENT && rddr_loop_now(d->loop) == d->started) {
			log_warning("daemon: steering is not attached at %s; waiting for rddr-attach",
				    d->options->pin_dir);
		} else if (r < 0 && r != -ENOENT && r != d->steering_error) {
			err_r(r, "daemon: steering at %s cannot be used", d->options->pin_dir);
		}
		d->steering_error = r;
		if (r == 0)
			use_steering(d, steering);
	}
	/* An interface that was made anew has another number: its rules would hold no more. */
	if (d->published && d->interfaces != rddr_steering_interfaces(d->config))
		d->published = false;
	rddr_daemon_publish(d);
}

static void upkeep(void *ctx)
{
	struct daemon *d = ctx;

	keep_steering(d);
	rddr_loop_timer_set(d->loop, &d->upkeep, rddr_loop_now(d->loop) + UPKEEP_MS);
}

/* ---- the end ---- */

static void worker_drained_here(void *ctx)
{
	struct daemon *d = ctx;

	if (--d->draining == 0)
		rddr_loop_stop(d->loop);
}

static void worker_drained(void *ctx)
{
	if (rddr_loop_post(main_loop, worker_drained_here, ctx) < 0)
		abort();
}

static void leave_queue(void *ctx)
{
	struct worker *w = ctx;

	rddr_admission_drain(w->admission, w);
}

/* No worker listens any more: SYNs that are let go now get to the other daemon, and not to a worker of this one that
 * is to drain next. */
static void all_drain(struct daemon *d)
{
	if (d->workers[0] && rddr_worker_call(d->workers[0], leave_queue, d->workers[0]) < 0)
		log_error("daemon: held SYNs stay held until the end: out of memory");
}

void rddr_daemon_drain(struct daemon *d, bool hand_over)
{
	if (d->ending) {
		log_warning("daemon: asked again: ends at once");
		rddr_loop_stop(d->loop);
		return;
	}
	d->ending = true;
	log_info("daemon: %s; sessions have %u ms to end", hand_over ? "another daemon takes over" : "ends",
		 d->config->drain);
	rddr_notify_ending(hand_over);
	for (unsigned w = 0; w < d->n_workers; w++)
		rddr_worker_set_steering(d->workers[w], NULL);
	if (d->steering && !hand_over)
		rddr_steering_rest(d->steering);
	d->draining = d->n_workers;
	for (unsigned w = 0; w < d->n_workers; w++) {
		if (rddr_worker_drain(d->workers[w], d->config->drain, worker_drained, d) < 0)
			d->draining--;
	}
	if (rddr_daemon_barrier(d, all_drain) < 0)
		all_drain(d);
	for (size_t i = 0; i < d->n_sockets; i++)
		free(d->sockets[i].service);
	d->n_sockets = 0;
	if (!d->draining)
		rddr_loop_stop(d->loop);
}

/* ---- signals ---- */

static void on_signal(void *ctx, unsigned events)
{
	struct daemon *d = ctx;
	struct signalfd_siginfo info;

	(void)events;
	if (read(d->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		rddr_reload_later(d);
		return;
	}
	rddr_daemon_drain(d, false);
}

static int watch_signals(struct daemon *d)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (d->signals < 0)
		return err_r(-errno, "daemon: signals cannot be watched");
	return rddr_loop_watch(d->loop, &d->signals_watch, d->signals, LOOP_IN, on_signal, d);
}

/* ---- begin, run, end ---- */

static int begin_workers(struct daemon *d)
{
	uint32_t fds = 0;
	int fits = rddr_daemon_fds(d, d->config, &fds);

	if (fits < 0)
		return fits;
	for (unsigned w = 0; w < d->config->workers; w++) {
		int r = rddr_worker_new(w, d->config, fds, &d->workers[w]);
		if (r < 0)
			return err_r(r, "daemon: worker %u cannot be made", w);
		d->workers[w]->offload = d->offload;
		d->workers[w]->resolver = d->resolver;
		d->workers[w]->admission = d->admission;
		d->n_workers++;
	}
	for (unsigned w = 0; w < d->n_workers; w++)
		rddr_worker_introduce(d->workers[w], d->workers, d->n_workers);
	return rddr_admission_begin(d->admission, d->workers[0]);
}

static const char *control_path(const struct daemon *d)
{
	return d->options->control ? d->options->control : d->config->control;
}

/* The control socket is what says that there is one daemon: whoever has it may touch sockets and tables. */
static int claim(struct daemon *d)
{
	int r = *control_path(d) ? rddr_commands_begin(d, control_path(d)) : 0;

	if (r == -EADDRINUSE)
		log_error("daemon: the one that answers at %s keeps the traffic; with --takeover this one takes its "
			  "place",
			  control_path(d));
	return r;
}

static int start_workers(struct daemon *d)
{
	for (unsigned w = 0; w < d->n_workers; w++) {
		int r = rddr_worker_start(d->workers[w]);
		if (r < 0)
			return err_r(r, "daemon: worker %u cannot be started", w);
	}
	return 0;
}

static int begin_to_listen(struct daemon *d)
{
	int r = rddr_daemon_sockets_open(d, d->config);

	return r < 0 ? r : rddr_daemon_sockets_use(d);
}

/* The other daemon retires when nothing can go wrong any more; else it goes on. steers: it does. */
static int take_over(struct daemon *d, bool steers)
{
	int r = begin_to_listen(d);

	if (r < 0)
		return r;
	/* Before the workers accept anything: a connection of theirs would end with this daemon. */
	upkeep(d);
	if (steers && !d->published)
		r = err_r(
			-ENOTCONN,
			"takeover: the daemon at %s steers connections, and this one cannot at pin-dir=%s; it goes on",
			control_path(d), d->options->pin_dir);
	if (r == 0)
		r = start_workers(d);
	if (r == 0)
		r = rddr_takeover_retire(control_path(d));
	if (r < 0)
		rddr_takeover_give_up(d, control_path(d));
	return r < 0 ? r : claim(d);
}

static int begin_traffic(struct daemon *d)
{
	bool steers = false;
	int r = d->options->takeover ? rddr_takeover_inherit(d, control_path(d), &steers) : -ENOENT;

	if (r == 0)
		return take_over(d, steers);
	if (r != -ENOENT && r != -ECONNREFUSED)
		return r;
	if (d->options->takeover)
		log_warning("daemon: nobody answers at %s: there is nothing to take over", control_path(d));
	r = claim(d);
	if (r == 0)
		r = begin_to_listen(d);
	if (r == 0)
		r = start_workers(d);
	if (r == 0)
		upkeep(d);
	return r;
}

int rddr_daemon_begin(struct daemon *d, const struct daemon_options *options, struct config *config)
{
	*d = (struct daemon){.options = options, .config = config, .signals = -1};
	config->generation = 1;
	int r = rddr_loop_new(&d->loop);
	if (r < 0)
		return err_r(r, "daemon: no event loop");
	main_loop = d->loop;
	d->started = rddr_loop_now(d->loop);
	d->upkeep = (struct timer){.fn = upkeep, .ctx = d};
	r = watch_signals(d);
	/* It wants a right that is given up next. */
	if (r == 0)
		r = rddr_admission_new(&d->admission);
	/* Before the first thread: each has capabilities of its own, and begins with those of the one that made it. */
	if (r == 0)
		r = rddr_privileges_drop();
	if (r == 0)
		rddr_tls_check_rights(config);
	if (r == 0)
		r = rddr_scribe_start(SCRIBE_BYTES);
	if (r == 0)
		r = rddr_evidence_open(&config->evidence);
	if (r == 0)
		r = rddr_offload_new(&d->offload);
	if (r == 0)
		r = rddr_resolver_new(&d->resolver);
	if (r == 0)
		r = begin_workers(d);
	if (r == 0)
		r = rddr_checker_new(d->loop, d->config, &d->checker);
	if (r == 0)
		r = begin_traffic(d);
	return r;
}

int rddr_daemon_run(struct daemon *d)
{
	log_info("daemon: rddrd " RDDR_VERSION " runs config=%s services=%zu workers=%u pid=%d", d->config->path,
		 d->config->n_services, d->n_workers, (int)getpid());
	rddr_notify_begin(d);
	return rddr_loop_run(d->loop);
}

void rddr_daemon_end(struct daemon *d)
{
	d->ending = true;
	/* Before the loops that its jobs come back to. */
	rddr_offload_stop(d->offload);
	rddr_resolver_free(&d->resolver);
	rddr_checker_free(&d->checker);
	for (unsigned w = 0; w < d->n_workers; w++)
		rddr_worker_stop(d->workers[w]);
	for (unsigned w = 0; w < d->n_workers; w++)
		rddr_worker_free(&d->workers[w]);
	rddr_admission_free(&d->admission);
	rddr_offload_free(&d->offload);
	rddr_control_free(&d->control);
	rddr_steering_close(&d->steering);
	rddr_steering_close(&d->retired);
	for (size_t i = 0; i < d->n_sockets; i++)
		free(d->sockets[i].service);
	free(d->sockets);
	rddr_config_put(&d->config);
	if (d->signals >= 0)
		rddr_loop_unwatch(d->loop, &d->signals_watch, d->signals);
	rddr_own_close(&d->signals);
	/* A reload that is still under way has the loop in its hands. */
	while (d->reloading && rddr_loop_step(d->loop) == 0)
		continue;
	main_loop = NULL;
	rddr_loop_free(&d->loop);
	rddr_evidence_close();
	log_info("daemon: ended");
	rddr_scribe_stop();
}
