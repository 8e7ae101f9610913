/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commands.c - the daemon's answers on the control socket. Their shapes are in rddrctl(8).
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admission.h"
#include "control.h"
#include "daemon.h"
#include "evidence.h"
#include "hosts.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "session.h"
#include "steering.h"
#include "tables.h"

/* The most sessions that one answer lists, of each worker; and the most listeners and records. */
#define SESSIONS_LISTED	 1000
#define LISTENERS_LISTED 64
#define EVIDENCE_LISTED	 1000

static void add_text(json_object *o, const char *key, const char *text)
{
	json_object_object_add(o, key, text ? json_object_new_string(text) : NULL);
}

static void add_number(json_object *o, const char *key, uint64_t n)
{
	json_object_object_add(o, key, json_object_new_uint64(n));
}

static void add_bool(json_object *o, const char *key, bool b)
{
	json_object_object_add(o, key, json_object_new_boolean(b));
}

static void add_addr(json_object *o, const char *key, const struct addr *a)
{
	char text[RDDR_ADDR_TEXT];

	add_text(o, key, a->sa.sa_family ? rddr_addr_format(a, text, sizeof(text)) : NULL);
}

static uint64_t total(const struct config *config, enum metric metric)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < config->n_services; i++)
		sum += rddr_metrics_read(config->services[i]->metrics, metric);
	return sum;
}

static uint64_t sessions_of(const struct service *service)
{
	uint64_t ended = rddr_metrics_read(service->metrics, METRIC_sessions_ended);
	uint64_t begun = rddr_metrics_read(service->metrics, METRIC_sessions);

	return begun > ended ? begun - ended : 0;
}

/* ---- status, services ---- */

static void status(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;
	json_object *o = json_object_new_object(), *steering = json_object_new_object();
	uint64_t sessions = 0;

	(void)request;
	for (size_t i = 0; i < d->config->n_services; i++)
		sessions += sessions_of(d->config->services[i]);
	add_text(o, "version", RDDR_VERSION);
	add_number(o, "pid", (uint64_t)getpid());
	add_number(o, "uptime_ms", rddr_loop_now(d->loop) - d->started);
	add_text(o, "config", d->config->path);
	add_number(o, "workers", d->n_workers);
	add_number(o, "generation", d->config->generation);
	add_bool(o, "draining", d->ending);
	add_text(steering, "state",
		 !d->config->n_rules	       ? "off"
		 : d->steering && d->published ? "attached"
					       : "detached");
	add_text(steering, "pin_dir", d->options->pin_dir);
	json_object_object_add(o, "steering", steering);
	add_number(o, "sessions", sessions);
	add_number(o, "services", d->config->n_services);
	add_number(o, "divergences", total(d->config, METRIC_divergences));
	rddr_control_answer(reply, o);
}

static void format_rule(const struct rule *rule, char *text, size_t size)
{
	char destination[RDDR_ADDR_TEXT], clients[RDDR_ADDR_TEXT], port[8] = "all";

	if (rule->port)
		snprintf(port, sizeof(port), "%u", rule->port);
	snprintf(text, size, "%s port %s%s%s%s%s",
		 rddr_prefix_format(&rule->destination, destination, sizeof(destination)), port,
		 rule->interface[0] ? " interface " : "", rule->interface,
		 rule->clients.family == AF_UNSPEC ? "" : " clients ",
		 rule->clients.family == AF_UNSPEC ? "" : rddr_prefix_format(&rule->clients, clients, sizeof(clients)));
}

/* NULL, where no SYN is held. */
static json_object *describe_admission(struct daemon *d, const struct service *service)
{
	json_object *o;

	if (!service->admission.on)
		return NULL;
	o = json_object_new_object();
	json_object_object_add(o, "held", json_object_new_int64(rddr_admission_held(d->admission, service)));
	json_object_object_add(o, "most", json_object_new_int64(service->admission.held));
	return o;
}

static json_object *describe_service(struct daemon *d, const struct service *service)
{
	json_object *o = json_object_new_object(), *rules = json_object_new_array(),
		    *instances = json_object_new_array();

	add_text(o, "name", service->name);
	add_text(o, "direction", service->direction == RDDR_INCOMING ? "incoming" : "outgoing");
	add_text(o, "diff_class", service->diff_class);
	add_bool(o, "filter", service->filter);
	add_bool(o, "enforcing", service->enforcing);
	add_text(o, "when_down", service->when_down == WHEN_DOWN_OPEN ? "open" : "closed");
	for (size_t i = 0; i < service->n_rules; i++) {
		char text[256];

		format_rule(&service->rules[i], text, sizeof(text));
		json_object_array_add(rules, json_object_new_string(text));
	}
	json_object_object_add(o, "intercept", rules);
	json_object_object_add(o, "admission", describe_admission(d, service));
	if (service->has_listen)
		add_addr(o, "listen", &service->listen);
	else
		add_text(o, "listen", NULL);
	for (unsigned i = 0; i < service->n_instances; i++) {
		const struct instance *instance = &service->instances[i];
		json_object *one = json_object_new_object();

		add_text(one, "name", instance->name);
		add_text(one, "chainer", rddr_chainer_name(instance->chainer.ops));
		if (instance->chainer.has_remote)
			add_addr(one, "remote", &instance->chainer.remote);
		else if (instance->chainer.ring)
			add_addr(one, "remote",
				 &instance->chainer.hosts[rddr_hosts_current(instance->chainer.ring)].address);
		else
			add_text(one, "remote", NULL);
		json_object_array_add(instances, one);
	}
	json_object_object_add(o, "instances", instances);
	add_number(o, "sessions", sessions_of(service));
	add_number(o, "divergences", rddr_metrics_read(service->metrics, METRIC_divergences));
	add_number(o, "denied", rddr_metrics_read(service->metrics, METRIC_denied));
	return o;
}

static void services(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;
	json_object *o = json_object_new_object(), *list = json_object_new_array();

	(void)request;
	for (size_t i = 0; i < d->config->n_services; i++)
		json_object_array_add(list, describe_service(d, d->config->services[i]));
	json_object_object_add(o, "services", list);
	rddr_control_answer(reply, o);
}

/* ---- counters ---- */

static void add_set(void *ctx, const struct metrics_set *set)
{
	json_object *all = ctx, *one = json_object_new_object(), *named;

	for (int m = 0; m < METRICS; m++)
		add_number(one, rddr_metrics_name((enum metric)m), rddr_metrics_read(set, (enum metric)m));
	if (!rddr_metrics_set_name(set))
		json_object_object_add(all, "daemon", one);
	else if (json_object_object_get_ex(all, "services", &named))
		json_object_object_add(named, rddr_metrics_set_name(set), one);
	else
		json_object_put(one);
}

static void add_kernel_counter(void *ctx, const char *name, uint64_t value)
{
	add_number(ctx, name, value);
}

static void counters(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;
	json_object *o = json_object_new_object(), *kernel = json_object_new_object();

	(void)request;
	json_object_object_add(o, "services", json_object_new_object());
	rddr_metrics_each(add_set, o);
	if (d->steering) {
		int r = rddr_steering_counters(d->steering, add_kernel_counter, kernel);
		if (r < 0)
			err_r(r, "commands: the kernel programs' counters cannot be read");
	}
	json_object_object_add(o, "steering", kernel);
	rddr_control_answer(reply, o);
}

/* ---- sessions: every worker lists its own, the main thread joins the lists ---- */

struct gathering {
	struct daemon *daemon;
	struct reply *reply;
	json_object *list; /* the main thread's */
	uint64_t only;	   /* the number of the one that was asked for; 0: all */
	unsigned left;
	bool truncated;
};

struct gathered {
	struct gathering *gathering;
	struct worker *worker;
	json_object *list;
	bool truncated;
};

static json_object *describe_instance(const struct rddr_session *s, unsigned i)
{
	const struct endpoint *ep = &s->many[i];
	json_object *o = json_object_new_object();
	struct addr local = {0};
	socklen_t len = sizeof(local);

	add_text(o, "name", s->service->instances[i].name);
	add_addr(o, "address", &ep->dial.remote);
	if (ep->fd >= 0 && getsockname(ep->fd, &local.sa, &len) == 0)
		rddr_addr_unmap(&local);
	add_addr(o, "local", &local);
	add_text(o, "state", rddr_endpoint_state_name(ep));
	add_number(o, "received", rddr_stream_received(&ep->in));
	add_number(o, "queued", ep->out.bytes);
	return o;
}

static json_object *describe_session(const struct rddr_session *s)
{
	json_object *o = json_object_new_object(), *instances = json_object_new_array();
	uint64_t now = rddr_loop_now(s->worker->loop);

	add_number(o, "id", s->id);
	add_text(o, "service", s->service->name);
	add_addr(o, "client", &s->client);
	add_addr(o, "destination", &s->destination);
	add_text(o, "state", rddr_session_state_name(s));
	add_number(o, "age_ms", now - s->begun);
	add_number(o, "idle_ms", now - s->active);
	add_number(o, "bytes_in", rddr_stream_received(&s->lone.in));
	add_number(o, "bytes_out", s->sent);
	add_number(o, "requests", s->requests);
	add_number(o, "worker", s->worker->index);
	for (unsigned i = 0; i < s->n; i++)
		json_object_array_add(instances, describe_instance(s, i));
	json_object_object_add(o, "instances", instances);
	return o;
}

static void join_lists(void *ctx)
{
	_owned_mem_ struct gathered *g = ctx;
	struct gathering *all = g->gathering;

	for (size_t i = 0; i < json_object_array_length(g->list); i++)
		json_object_array_add(all->list, json_object_get(json_object_array_get_idx(g->list, i)));
	all->truncated |= g->truncated;
	json_object_put(g->list);
	if (--all->left)
		return;
	json_object *o = json_object_new_object();
	json_object_object_add(o, "sessions", all->list);
	add_bool(o, "truncated", all->truncated);
	rddr_control_answer(all->reply, o);
	free(all);
}

static void list_on_worker(void *ctx)
{
	struct gathered *g = ctx;
	unsigned n = 0;

	for (const struct rddr_session *s = g->worker->sessions; s; s = s->next) {
		if (g->gathering->only && s->id != g->gathering->only)
			continue;
		if (n++ == SESSIONS_LISTED) {
			g->truncated = true;
			break;
		}
		json_object_array_add(g->list, describe_session(s));
	}
	if (rddr_loop_post(g->gathering->daemon->loop, join_lists, g) < 0)
		abort();
}

static void sessions(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;
	struct gathering *all = calloc(1, sizeof(*all));
	json_object *id;

	if (!all) {
		rddr_control_refuse(reply, "out of memory");
		return;
	}
	*all = (struct gathering){.daemon = d, .reply = reply, .list = json_object_new_array()};
	if (json_object_object_get_ex(request, "id", &id))
		all->only = json_object_get_uint64(id);
	for (unsigned w = 0; w < d->n_workers; w++) {
		struct gathered *g = calloc(1, sizeof(*g));

		if (!g)
			continue;
		*g = (struct gathered){.gathering = all, .worker = d->workers[w], .list = json_object_new_array()};
		if (rddr_worker_call(d->workers[w], list_on_worker, g) == 0) {
			all->left++;
			continue;
		}
		json_object_put(g->list);
		free(g);
	}
	if (all->left)
		return;
	json_object_put(all->list);
	free(all);
	rddr_control_refuse(reply, "out of memory");
}

/* ---- evidence ---- */

static void add_record(void *ctx, const char *line)
{
	json_object *record = json_tokener_parse(line);

	if (record)
		json_object_array_add(ctx, record);
}

static void evidence(void *ctx, struct reply *reply, json_object *request)
{
	json_object *value, *list = json_object_new_array();
	const char *reference = NULL;
	int64_t limit = 20;

	(void)ctx;
	if (json_object_object_get_ex(request, "reference", &value))
		reference = json_object_get_string(value);
	if (json_object_object_get_ex(request, "limit", &value))
		limit = json_object_get_int64(value);
	if (limit < 1 || limit > EVIDENCE_LISTED) {
		json_object_put(list);
		rddr_control_refuse(reply, "limit: %lld is not from 1 to %d", (long long)limit, EVIDENCE_LISTED);
		return;
	}
	int r = rddr_evidence_read(reference, (unsigned)limit, add_record, list);
	if (r < 0) {
		json_object_put(list);
		if (r == -ENOENT)
			rddr_control_refuse(reply, "no record with the reference %s", reference ? reference : "");
		else
			rddr_control_refuse(reply, "the evidence cannot be read: %s", strerror(-r));
		return;
	}
	json_object *o = json_object_new_object();
	json_object_object_add(o, "evidence", list);
	rddr_control_answer(reply, o);
}

/* ---- noise: what plugins remember of it, in the table of that name ---- */

#define NOISE_TABLE "noise"

static void add_noise(void *ctx, const void *key, size_t keylen, const void *value, size_t len, uint32_t ttl)
{
	json_object *one = json_object_new_object();
	struct rddr_noise_seen seen = {0};

	memcpy(&seen, value, len < sizeof(seen) ? len : sizeof(seen));
	json_object_object_add(one, "field", json_object_new_string_len(key, (int)keylen));
	add_number(one, "count", seen.count);
	add_number(one, "expires_s", ttl);
	json_object_array_add(ctx, one);
}

static void noise(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;
	json_object *o, *value;
	const char *only = NULL;
	bool reset = json_object_object_get_ex(request, "reset", &value) && json_object_get_boolean(value),
	     found = false;

	if (json_object_object_get_ex(request, "service", &value))
		only = json_object_get_string(value);
	o = json_object_new_object();
	for (size_t i = 0; i < d->config->n_services; i++) {
		const struct service *service = d->config->services[i];
		struct rddr_table *t = rddr_tables_find(service->tables, NOISE_TABLE);
		json_object *list;

		if (only && strcmp(only, service->name) != 0)
			continue;
		found = true;
		list = json_object_new_array();
		if (t)
			rddr_tables_each(t, add_noise, list);
		if (t && reset)
			rddr_tables_clear(t);
		json_object_object_add(o, service->name, list);
	}
	if (found || !only) {
		json_object *result = json_object_new_object();

		json_object_object_add(result, "noise", o);
		rddr_control_answer(reply, result);
		return;
	}
	json_object_put(o);
	rddr_control_refuse(reply, "no service is called %s", only);
}

/* ---- reload, log-level ---- */

struct reload_reply {
	struct daemon *daemon;
	struct reply *reply;
};

static void reloaded(void *ctx, const char *error)
{
	_owned_mem_ struct reload_reply *r = ctx;

	if (error) {
		rddr_control_refuse(r->reply, "the config in use stays: %s", error);
		return;
	}
	json_object *o = json_object_new_object();
	add_number(o, "generation", r->daemon->config->generation);
	rddr_control_answer(r->reply, o);
}

static void reload(void *ctx, struct reply *reply, json_object *request)
{
	struct reload_reply *r = malloc(sizeof(*r));

	(void)request;
	if (!r) {
		rddr_control_refuse(reply, "out of memory");
		return;
	}
	*r = (struct reload_reply){.daemon = ctx, .reply = reply};
	int error = rddr_reload(ctx, reloaded, r);
	if (error < 0) {
		free(r);
		rddr_control_refuse(reply, "%s",
				    error == -EBUSY ? "a reload, or the end, is under way" : strerror(-error));
	}
}

static void log_level(void *ctx, struct reply *reply, json_object *request)
{
	enum log_level level;
	json_object *value;

	(void)ctx;
	if (!json_object_object_get_ex(request, "level", &value) ||
	    rddr_log_level_parse(json_object_get_string(value), &level) < 0) {
		rddr_control_refuse(reply, "level: one of error, warning, info, debug");
		return;
	}
	rddr_log_set_level(level);
	json_object *o = json_object_new_object();
	add_text(o, "level", rddr_log_level_name(level));
	rddr_control_answer(reply, o);
}

/* ---- takeover: see takeover.c for the other side ---- */

static void listeners(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;
	json_object *o = json_object_new_object(), *list = json_object_new_array(), *value;
	int fds[LISTENERS_LISTED];
	size_t n = 0, from = 0;

	if (json_object_object_get_ex(request, "from", &value) && json_object_get_int64(value) > 0)
		from = (size_t)json_object_get_int64(value);
	for (size_t i = from; i < d->n_sockets && n < LISTENERS_LISTED; i++) {
		json_object *one = json_object_new_object();

		add_text(one, "service", d->sockets[i].service);
		add_number(one, "slot", d->sockets[i].slot);
		json_object_array_add(list, one);
		fds[n++] = d->sockets[i].fd;
	}
	json_object_object_add(o, "listeners", list);
	rddr_control_answer_fds(reply, o, fds, n);
}

/* Who was to take over has given up, and may have published tables and listeners of its own. */
static void publish(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;

	(void)request;
	d->published = false;
	if (!d->ending)
		rddr_daemon_publish(d);
	rddr_control_answer(reply, json_object_new_object());
}

static void retire(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;

	(void)request;
	rddr_control_disown(d->control);
	/* One that drains already has nothing left to hand over but its place at the control socket. */
	if (!d->ending)
		rddr_daemon_drain(d, true);
	json_object *o = json_object_new_object();
	add_number(o, "pid", (uint64_t)getpid());
	rddr_control_answer(reply, o);
}

static void drain(void *ctx, struct reply *reply, json_object *request)
{
	struct daemon *d = ctx;

	(void)request;
	if (d->ending) {
		rddr_control_refuse(reply, "it drains already");
		return;
	}
	rddr_daemon_drain(d, false);
	rddr_control_answer(reply, json_object_new_object());
}

static const struct control_command commands[] = {
	{"status", status},	      {"services", services}, {"sessions", sessions}, {"counters", counters},
	{"evidence", evidence},	      {"noise", noise},	      {"reload", reload},     {"log-level", log_level},
	{"listeners", listeners},     {"retire", retire},     {"drain", drain},	      {"hosts", rddr_commands_hosts},
	{"next", rddr_commands_next}, {"publish", publish},
};

int rddr_commands_begin(struct daemon *d, const char *path)
{
	return rddr_control_new(d->loop, path, commands, ARRAY_LEN(commands), d, &d->control);
}
