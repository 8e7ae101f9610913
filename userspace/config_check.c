// SPDX-License-Identifier: BSD-2-Clause
/* What only shows when all services are read: what they have in common and must not, and what does not fit together. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "config_tls.h"
#include "own.h"

/* About a key of a service; in an original file, about the file's own key. */
static void fault_service(struct reader *r, const struct service *service, const char *key, const char *original_key,
			  struct config_mark mark, const char *text)
{
	const struct place services = {.key = "services"}, name = {.up = &services, .key = service->name};
	const struct place at = {.up = &name, .key = key}, original = {.key = original_key};

	rddr_config_read_fault(r, mark, r->config->original ? &original : &at, "%s", text);
}

static void fault_instance(struct reader *r, const struct service *service, unsigned i, const char *key,
			   struct config_mark mark, const char *text)
{
	const struct place services = {.key = "services"}, name = {.up = &services, .key = service->name};
	const struct place list = {.up = &name, .key = "instances"}, item = {.up = &list, .index = i};
	const struct place at = {.up = &item, .key = key};
	const struct place addrlist = {.key = "addrlist"}, address = {.up = &addrlist, .index = i};

	rddr_config_read_fault(r, mark, r->config->original ? &address : &at, "%s", text);
}

static void check_filter(struct reader *r, const struct service *service, const struct draft *draft)
{
	char text[160];

	if (!service->filter || !service->n_instances || service->n_instances >= 3)
		return;
	snprintf(text, sizeof(text),
		 "true needs at least 3 instances (the filter pair, and one to compare it with); there %s %u",
		 service->n_instances == 1 ? "is" : "are", service->n_instances);
	fault_service(r, service, "filter", "filter", draft->filter, text);
}

/* What a target is named for has to be answered by RDDR itself, which report mode does not. */
static void check_inband(struct reader *r, const struct service *service, const struct draft *draft)
{
	const struct chainer_ops *backend = service->backend.chainer.ops;

	if (backend && backend->wants_target)
		fault_service(r, service, "backend", "outgoing-proxies", service->mark,
			      "chainer: inband is for direction: incoming");
	for (unsigned i = 0; i < service->n_instances; i++) {
		const struct chainer_ops *ops = service->instances[i].chainer.ops;

		if (!ops || !ops->wants_target)
			continue;
		if (!service->enforcing)
			fault_instance(r, service, i, "chainer", draft->instance[i],
				       "inband needs enforcing: true: RDDR itself answers who cannot be reached");
		if (service->direction == RDDR_OUTGOING)
			fault_instance(r, service, i, "chainer", draft->instance[i],
				       "inband is for direction: incoming");
	}
}

/* A GET in clear would find every server of TLS down. */
static void check_checks(struct reader *r, const struct service *service, const struct draft *draft)
{
	for (unsigned i = 0; i < service->n_instances; i++) {
		const struct instance *instance = &service->instances[i];

		if (instance->chainer.check.http && instance->tls && instance->tls->start == TLS_START_AT_ONCE)
			fault_instance(
				r, service, i, "check", draft->instance[i],
				"http asks in clear, and the instance has tls: without http, it is connected to");
	}
}

static void check_names(struct reader *r, const struct service *service, const struct draft *draft)
{
	char text[200];

	for (unsigned i = 1; i < service->n_instances; i++) {
		for (unsigned j = 0; j < i; j++) {
			if (strcmp(service->instances[i].name, service->instances[j].name) != 0)
				continue;
			snprintf(text, sizeof(text), "%s is the name of the instance in line %u already",
				 service->instances[i].name, draft->instance[j].line);
			fault_instance(r, service, i, "name", draft->instance[i], text);
			break;
		}
	}
}

/* Whether clients of this family can come to the service. */
static bool serves_family(const struct service *service, sa_family_t family)
{
	/* Whom a balancer speaks for is not known before it does. */
	if (service->n_balancers)
		return false;
	for (size_t i = 0; i < service->n_rules; i++) {
		if (service->rules[i].destination.family == family)
			return true;
	}
	return service->has_listen && service->listen.sa.sa_family == family;
}

/* Whether clients of the family can be forged towards a server that the config names, or it names none. */
static bool forgeable(const struct chainer_conf *conf, sa_family_t family)
{
	bool any = !conf->n_hosts && (!conf->has_remote || conf->remote.sa.sa_family == family);

	for (unsigned i = 0; i < conf->n_hosts; i++)
		any = any || conf->hosts[i].address.sa.sa_family == family;
	return any;
}

static void check_families(struct reader *r, const struct service *service, const struct draft *draft)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	char text[200];

	for (unsigned i = 0; i < service->n_instances * 2; i++) {
		const struct chainer_conf *conf = &service->instances[i / 2].chainer;
		sa_family_t family = families[i % 2];
		const char *name = family == AF_INET ? "IPv4" : "IPv6";

		if (!serves_family(service, family))
			continue;
		if (conf->forge_addr && !conf->forge_fallback && !forgeable(conf, family)) {
			snprintf(text, sizeof(text),
				 "the service has %s clients, whose addresses cannot be forged towards a server of the "
				 "other family",
				 name);
			fault_instance(r, service, i / 2, conf->n_hosts ? "hosts" : "remote", draft->remote[i / 2],
				       text);
		} else if (!conf->has_remote && !conf->n_hosts && conf->has_local &&
			   conf->local.sa.sa_family != family) {
			snprintf(text, sizeof(text),
				 "the service has %s destinations, which cannot be reached from an address of the "
				 "other family",
				 name);
			fault_instance(r, service, i / 2, "local", draft->instance[i / 2], text);
		}
	}
}

/* One port of one family: the same address, or a wildcard and any. */
static bool listens_at(const struct addr *listener, const struct addr *other)
{
	return listener->sa.sa_family == other->sa.sa_family && rddr_addr_port(listener) == rddr_addr_port(other) &&
	       (rddr_addr_same_host(listener, other) || rddr_addr_is_wildcard(listener) ||
		rddr_addr_is_wildcard(other));
}

static bool same_listener(const struct service *service, unsigned i, const struct service *other, unsigned k)
{
	const struct addr *mine = rddr_config_listen(service, i), *theirs = rddr_config_listen(other, k);

	return mine && theirs && (service != other || k < i) && listens_at(theirs, mine);
}

static void check_listener(struct reader *r, size_t n, unsigned i)
{
	const struct service *service = r->config->services[n];
	char text[200], address[RDDR_ADDR_TEXT];

	for (size_t j = 0; j <= n; j++) {
		const struct service *other = r->config->services[j];

		for (unsigned k = 0; k <= other->n_instances; k++) {
			if (!same_listener(service, i, other, k))
				continue;
			snprintf(text, sizeof(text), "%s: the service %s listens there already (line %u)",
				 rddr_addr_format(rddr_config_listen(service, i), address, sizeof(address)),
				 other->name, r->drafts[j].listen.line);
			fault_service(r, service, "listen",
				      service->direction == RDDR_OUTGOING ? "outgoing-proxies" : "incoming-proxy",
				      r->drafts[n].listen, text);
			return;
		}
	}
}

static void check_listeners(struct reader *r)
{
	for (size_t n = 0; n < r->config->n_services && !rddr_config_report_full(r->report); n++) {
		for (unsigned i = 0; i <= r->config->services[n]->n_instances; i++)
			check_listener(r, n, i);
	}
}

/* The kernel is asked for wildcards alone: the address may not be up yet when the file is checked. */
static bool is_listener(const struct addr *listener, const struct addr *remote)
{
	if (!listens_at(listener, remote))
		return false;
	return !rddr_addr_is_wildcard(listener) || rddr_addr_is_local(remote);
}

/* Where RDDR itself listens. */
static const struct service *own_listener(const struct reader *r, const struct addr *target, unsigned *line)
{
	for (size_t j = 0; j < r->config->n_services; j++) {
		const struct service *service = r->config->services[j];

		for (unsigned k = 0; k <= service->n_instances; k++) {
			const struct addr *listen = rddr_config_listen(service, k);

			*line = r->drafts[j].listen.line;
			if (listen && is_listener(listen, target))
				return service;
		}
	}
	return NULL;
}

/* i: n_instances for the backend. */
static void check_loop(struct reader *r, const struct service *service, unsigned i, const char *key,
		       const struct addr *target)
{
	const struct service *other;
	char text[200], address[RDDR_ADDR_TEXT];
	unsigned line;

	other = own_listener(r, target, &line);
	if (!other)
		return;
	snprintf(text, sizeof(text), "%s is where RDDR itself listens (service %s, line %u)",
		 rddr_addr_format(target, address, sizeof(address)), other->name, line);
	if (i < service->n_instances)
		fault_instance(r, service, i, key, rddr_config_service_draft(r, service)->remote[i], text);
	else
		fault_service(r, service, "backend", "outgoing-proxies", service->mark, text);
}

static void check_loops(struct reader *r, const struct service *service)
{
	for (unsigned i = 0; i <= service->n_instances; i++) {
		const struct chainer_conf *conf =
			i < service->n_instances ? &service->instances[i].chainer : &service->backend.chainer;

		if (conf->has_remote)
			check_loop(r, service, i, "remote", &conf->remote);
		for (unsigned k = 0; k < conf->n_hosts; k++)
			check_loop(r, service, i, "hosts", &conf->hosts[k].address);
	}
}

static int compare_prefixes(const struct prefix *a, const struct prefix *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

/* 0: the very same packets. */
static int compare_rules(const struct rule *a, const struct rule *b)
{
	int order = compare_prefixes(&a->destination, &b->destination);

	if (!order)
		order = (int)a->port - (int)b->port;
	if (!order)
		order = strcmp(a->interface, b->interface);
	return order ? order : compare_prefixes(&a->clients, &b->clients);
}

static int by_content(const void *pa, const void *pb)
{
	const struct rule *a = *(const struct rule *const *)pa, *b = *(const struct rule *const *)pb;
	int order = compare_rules(a, b);

	if (order)
		return order;
	if (a->mark.line != b->mark.line)
		return a->mark.line < b->mark.line ? -1 : 1;
	return a->mark.column < b->mark.column ? -1 : a->mark.column > b->mark.column;
}

static void fault_rules(struct reader *r, const struct rule *first, const struct rule *second)
{
	char text[320], destination[64], clients[64], port[8] = "all";

	if (second->port)
		snprintf(port, sizeof(port), "%u", second->port);
	snprintf(text, sizeof(text), "%s port %s%s%s from %s is intercepted already (service %s, line %u)",
		 rddr_prefix_format(&second->destination, destination, sizeof(destination)), port,
		 *second->interface ? " on " : "", second->interface,
		 rddr_prefix_format(&second->clients, clients, sizeof(clients)), first->service->name,
		 first->mark.line);
	fault_service(r, second->service, "intercept", "", second->mark, text);
}

static bool same_mark(struct config_mark a, struct config_mark b)
{
	return a.line == b.line && a.column == b.column;
}

/* Of two interceptions that expand to the same rules many times over, one is told. */
static void check_rules(struct reader *r)
{
	_owned_mem_ const struct rule **rules = NULL;
	const struct rule *told = NULL;
	size_t n = 0;

	if (!r->n_rules)
		return;
	rules = calloc(r->n_rules, sizeof(struct rule *));
	if (!rules) {
		r->oom = true;
		return;
	}
	for (size_t i = 0; i < r->config->n_services; i++) {
		for (size_t j = 0; j < r->config->services[i]->n_rules; j++)
			rules[n++] = &r->config->services[i]->rules[j];
	}
	qsort(rules, n, sizeof(struct rule *), by_content);
	for (size_t i = 1; i < n; i++) {
		if (compare_rules(rules[i - 1], rules[i]) != 0 || (told && same_mark(told->mark, rules[i]->mark)))
			continue;
		told = rules[i];
		fault_rules(r, rules[i - 1], rules[i]);
	}
}

void rddr_config_check(struct reader *r)
{
	for (size_t i = 0; i < r->config->n_services && !rddr_config_report_full(r->report); i++) {
		check_filter(r, r->config->services[i], &r->drafts[i]);
		check_names(r, r->config->services[i], &r->drafts[i]);
		check_inband(r, r->config->services[i], &r->drafts[i]);
		check_checks(r, r->config->services[i], &r->drafts[i]);
		check_families(r, r->config->services[i], &r->drafts[i]);
	}
	check_listeners(r);
	for (size_t i = 0; i < r->config->n_services && !rddr_config_report_full(r->report); i++)
		check_loops(r, r->config->services[i]);
	check_rules(r);
}
