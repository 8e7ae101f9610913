/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commands_hosts.c - the operator's view of chainers with several hosts: which is the current one, which are down, and
 * moving on to the next.
 */
#include <string.h>

#include "control.h"
#include "daemon.h"
#include "hosts.h"
#include "log.h"
#include "own.h"

static json_object *describe_host(const struct chainer_conf *conf, unsigned i, uint64_t now)
{
	const struct host *host = &conf->hosts[i];
	json_object *o = json_object_new_object();
	char text[RDDR_ADDR_TEXT];

	json_object_object_add(o, "address",
			       json_object_new_string(rddr_addr_format(&host->address, text, sizeof(text))));
	json_object_object_add(o, "current", json_object_new_boolean(rddr_hosts_current(conf->ring) == i));
	json_object_object_add(o, "state",
			       json_object_new_string(rddr_hosts_is_down(host->state, now) ? "down" : "up"));
	json_object_object_add(o, "down_ms", json_object_new_uint64(rddr_hosts_down_left(host->state, now)));
	json_object_object_add(o, "check_fails", json_object_new_boolean(rddr_hosts_check_fails(host->state)));
	return o;
}

static json_object *describe(const struct service *service, unsigned i, uint64_t now)
{
	const struct chainer_conf *conf = &service->instances[i].chainer;
	json_object *o = json_object_new_object(), *list = json_object_new_array();

	json_object_object_add(o, "service", json_object_new_string(service->name));
	json_object_object_add(o, "instance", json_object_new_string(service->instances[i].name));
	json_object_object_add(o, "rotate", json_object_new_boolean(conf->rotate));
	for (unsigned k = 0; k < conf->n_hosts; k++)
		json_object_array_add(list, describe_host(conf, k, now));
	json_object_object_add(o, "hosts", list);
	return o;
}

/* What a command is about: "service", "service/instance", or nothing for all. */
struct scope {
	const char *service;
	size_t len; /* of the service's name */
	const char *instance;
};

static struct scope scope_of(json_object *request)
{
	struct scope scope = {0};
	json_object *value;

	if (!json_object_object_get_ex(request, "of", &value) || !json_object_is_type(value, json_type_string))
		return scope;
	scope.service = json_object_get_string(value);
	scope.instance = strchr(scope.service, '/');
	scope.len = scope.instance ? (size_t)(scope.instance - scope.service) : strlen(scope.service);
	if (scope.instance)
		scope.instance++;
	return scope;
}

static bool in_scope(const struct scope *scope, const struct service *service, unsigned i)
{
	const struct instance *instance = &service->instances[i];

	if (!instance->chainer.n_hosts)
		return false;
	if (!scope->service)
		return true;
	return strlen(service->name) == scope->len && !strncmp(service->name, scope->service, scope->len) &&
	       (!scope->instance || !strcmp(instance->name, scope->instance));
}

static void answer(struct daemon *d, struct reply *reply, json_object *request,
		   void (*each)(const struct service *service, unsigned i))
{
	json_object *list = json_object_new_array(), *o;
	struct scope scope = scope_of(request);

	for (size_t s = 0; s < d->config->n_services; s++) {
		const struct service *service = d->config->services[s];

		for (unsigned i = 0; i < service->n_instances; i++) {
			if (!in_scope(&scope, service, i))
				continue;
			if (each)
				each(service, i);
			json_object_array_add(list, describe(service, i, rddr_loop_now(d->loop)));
		}
	}
	if (scope.service && !json_object_array_length(list)) {
		json_object_put(list);
		rddr_control_refuse(reply, "no instance with several hosts is called %s", scope.service);
		return;
	}
	o = json_object_new_object();
	json_object_object_add(o, "instances", list);
	rddr_control_answer(reply, o);
}

void rddr_commands_hosts(void *ctx, struct reply *reply, json_object *request)
{
	answer(ctx, reply, request, NULL);
}

static void move_on(const struct service *service, unsigned i)
{
	const struct chainer_conf *conf = &service->instances[i].chainer;
	char from[RDDR_ADDR_TEXT], to[RDDR_ADDR_TEXT];
	unsigned was = rddr_hosts_turn(conf->ring);

	log_info("failover: moved on by the operator service=%s instance=%s from=%s to=%s", service->name,
		 service->instances[i].name, rddr_addr_format(&conf->hosts[was].address, from, sizeof(from)),
		 rddr_addr_format(&conf->hosts[(was + 1) % conf->n_hosts].address, to, sizeof(to)));
}

void rddr_commands_next(void *ctx, struct reply *reply, json_object *request)
{
	if (!scope_of(request).service)
		rddr_control_refuse(reply, "of: the name of a service, or SERVICE/INSTANCE, is wanted");
	else
		answer(ctx, reply, request, move_on);
}
