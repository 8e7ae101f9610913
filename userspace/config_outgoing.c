// SPDX-License-Identifier: BSD-2-Clause
/* Outgoing services: whose connections they are, how the backend is dialled, how partners find one another. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "own.h"

/* ---- instances ---- */

static void read_clients(struct reader *r, const struct node *node, const struct place *place,
			 const struct field *field, void *base)
{
	struct instance *instance = base;
	struct client_list clients = {instance->clients, 0};

	rddr_config_intercept_clients(r, node, place, field, &clients);
	instance->clients = clients.list;
	instance->n_clients = clients.n;
}

static void read_instance_listen(struct reader *r, const struct node *node, const struct place *place,
				 const struct field *field, void *base)
{
	struct instance *instance = base;

	(void)field;
	r->family = AF_INET;
	r->listening = true;
	instance->has_listen = rddr_config_endpoint_listen(r, node, place, &instance->listen);
	r->family = AF_UNSPEC;
}

static const struct field instance_fields[] = {
	{"name", rddr_config_instances_name, 0, NULL, false},
	{"clients", read_clients, 0, NULL, false},
	{"listen", read_instance_listen, 0, NULL, false},
};

void rddr_config_outgoing_instance(struct reader *r, const struct node *node, const struct place *place,
				   struct service *service)
{
	unsigned before = r->report->n + r->report->more;
	struct instance *instance;
	char name[32];

	snprintf(name, sizeof(name), "instance%u", service->n_instances);
	instance = rddr_config_service_instance(r, service, name, node->mark);
	if (!instance)
		return;
	instance->chainer.ops = &rddr_chainer_transparent; /* nobody dials it */
	if (!rddr_config_read_mapping(r, node, place, FIELDS(instance_fields), instance) || r->oom)
		return;
	if (!instance->n_clients && !instance->has_listen && r->report->n + r->report->more == before)
		rddr_config_read_fault(r, node->mark, place,
				       "needs clients (where this instance's connections come from), or listen");
}

/* ---- the keys that only an outgoing service has ---- */

static void forge_any(struct chainer_conf *conf)
{
	if (!conf->forge_addr || conf->forge_ports)
		return;
	conf->forge_ports = 1;
	conf->forge_port[0] = FORGE_PORT_ANY;
}

void rddr_config_outgoing_backend(struct reader *r, const struct node *node, const struct place *place,
				  const struct field *field, void *base)
{
	struct service *service = base;

	(void)field;
	/* The backend sees the instance, unless the file says otherwise. */
	service->backend.chainer.ops = NULL;
	service->backend.name = strdup("backend");
	if (!service->backend.name) {
		r->oom = true;
		return;
	}
	service->backend.chainer.forge_addr = !r->listening;
	rddr_config_instances_chainer(r, node, place, service, &service->backend);
}

void rddr_config_outgoing_source(struct reader *r, const struct node *node, const struct place *place,
				 const struct field *field, void *base)
{
	struct service *service = base;
	const struct bounds bounds = {0, service->n_instances ? service->n_instances - 1 : 0};
	uint64_t number;

	(void)field;
	for (unsigned i = 0; node->kind == NODE_SCALAR && i < service->n_instances; i++) {
		if (!strcmp(service->instances[i].name, node->text)) {
			service->source = i;
			return;
		}
	}
	if (node->kind != NODE_SCALAR || node->type != SCALAR_INT) {
		char shown[100];

		rddr_config_read_fault(r, node->mark, place, "wants an instance's name or number, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
	} else if (rddr_config_read_number(r, node, place, &bounds, &number)) {
		service->source = (unsigned)number;
	}
}

void rddr_config_outgoing_gather(struct reader *r, const struct node *node, const struct place *place,
				 const struct field *field, void *base)
{
	static const struct bounds partner = {10, 10 * 60 * 1000}, first = {1, 60 * 1000}, idle = {0, 24 * 3600 * 1000},
				   waiting = {1, 100000};
	static const struct field fields[] = {
		{"partner", rddr_config_read_duration, offsetof(struct gather_conf, partner), &partner, false},
		{"first", rddr_config_read_duration, offsetof(struct gather_conf, first), &first, false},
		{"idle", rddr_config_read_duration, offsetof(struct gather_conf, idle), &idle, false},
		{"waiting", rddr_config_read_u32, offsetof(struct gather_conf, waiting), &waiting, false},
	};

	(void)field;
	rddr_config_read_mapping(r, node, place, FIELDS(fields), &((struct service *)base)->gather);
}

/* ---- what they need together ---- */

static void check_overlaps(struct reader *r, const struct node *node, const struct place *place,
			   const struct service *service)
{
	for (unsigned i = 0; i < service->n_instances; i++) {
		for (unsigned k = 0; k < i; k++) {
			const struct instance *a = &service->instances[i], *b = &service->instances[k];

			for (size_t x = 0; x < a->n_clients * b->n_clients; x++) {
				const struct prefix *p = &a->clients[x / b->n_clients];
				const struct prefix *q = &b->clients[x % b->n_clients];

				if (p->family != q->family || (!rddr_prefix_covers(p, q) && !rddr_prefix_covers(q, p)))
					continue;
				rddr_config_read_fault(r, node->mark, place,
						       "the instances %s and %s have clients in common", b->name,
						       a->name);
				return;
			}
		}
	}
}

/* An interception without clients takes the instances' connections, and nobody else's. */
static void narrow(struct reader *r, struct service *service)
{
	size_t n_clients = 0, n = 0;
	struct rule *rules;

	for (unsigned i = 0; i < service->n_instances; i++)
		n_clients += service->instances[i].n_clients;
	if (!service->n_rules || !n_clients)
		return;
	rules = calloc(service->n_rules * n_clients, sizeof(*rules));
	if (!rules) {
		r->oom = true;
		return;
	}
	for (size_t k = 0; k < service->n_rules; k++) {
		const struct rule *rule = &service->rules[k];

		if (rule->clients.family != AF_UNSPEC) {
			rules[n++] = *rule;
			continue;
		}
		for (unsigned i = 0; i < service->n_instances; i++) {
			for (size_t c = 0; c < service->instances[i].n_clients; c++) {
				if (service->instances[i].clients[c].family != rule->destination.family)
					continue;
				rules[n] = *rule;
				rules[n++].clients = service->instances[i].clients[c];
			}
		}
	}
	r->n_rules += n - service->n_rules;
	free(service->rules);
	service->rules = rules;
	service->n_rules = n;
}

/* Report mode must not slow instance 0 down for long. */
static void default_partner(struct service *service)
{
	if (!service->gather.partner)
		service->gather.partner = service->enforcing ? 5000 : 500;
}

void rddr_config_outgoing_keys(struct reader *r, const struct node *node, const struct place *place,
			       struct service *service)
{
	static const char *const only[] = {"backend", "source", "gather"};
	const struct node *backend = rddr_config_yaml_find(node, "backend");
	struct chainer_conf *conf = &service->backend.chainer;
	unsigned before = r->report->n + r->report->more;
	bool had = service->n_rules > 0;

	for (size_t i = 0; i < ARRAY_LEN(only) && service->direction != RDDR_OUTGOING; i++) {
		const struct node *value = rddr_config_yaml_find(node, only[i]);
		const struct place at = {.up = place, .key = only[i]};

		if (value)
			rddr_config_read_fault(r, value->mark, &at, "only with direction: outgoing");
	}
	if (service->direction != RDDR_OUTGOING)
		return;
	default_partner(service);
	if (service->n_balancers) {
		rddr_config_read_fault(r, node->mark, place,
				       "proxy-protocol: only with direction: incoming; instances dial by themselves");
		return;
	}
	if (!backend && r->listening) {
		rddr_config_read_fault(r, node->mark, place,
				       "needs backend: what listens does not know where the instances want to go");
		return;
	}
	if (!backend)
		conf->forge_addr = true;
	forge_any(conf);
	check_overlaps(r, node, place, service);
	narrow(r, service);
	if (had && !service->n_rules && r->report->n + r->report->more == before)
		rddr_config_read_fault(r, node->mark, place, "no instance has clients of the family of an address");
	if (r->n_rules > CONFIG_RULES_MAX)
		rddr_config_read_fault(
			r, node->mark, place,
			"with the instances' clients there are %zu interceptions; at most %d are possible", r->n_rules,
			CONFIG_RULES_MAX);
}

/* ---- the original form ---- */

struct original {
	struct service *service;
	struct addr host;
	bool has_host;
	uint16_t ports[RDDR_MAX_INSTANCES];
	size_t n_ports;
};

static void read_original_host(struct reader *r, const struct node *node, const struct place *place,
			       const struct field *field, void *base)
{
	struct original *o = base;

	(void)field;
	r->family = AF_INET;
	o->has_host = rddr_config_endpoint_host(r, node, place, 1, ENDPOINT_WILDCARD, &o->host);
	r->family = AF_UNSPEC;
}

static void read_original_ports(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	static const struct bounds bounds = {1, UINT16_MAX};
	unsigned variants = r->config->services[0]->n_instances;
	struct original *o = base;
	struct items items;

	(void)field;
	if (!rddr_config_read_items(r, node, place, RDDR_MAX_INSTANCES, &items))
		return;
	if (items.n != variants) {
		rddr_config_read_fault(r, node->mark, place, "wants one port for each of the %u of addrlist, has %zu",
				       variants, items.n);
		return;
	}
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);
		uint64_t port;

		if (rddr_config_read_number(r, item, &at, &bounds, &port))
			o->ports[o->n_ports++] = (uint16_t)port;
	}
}

static void read_original_protocol(struct reader *r, const struct node *node, const struct place *place,
				   const struct field *field, void *base)
{
	static const struct word protocols[] = {{"tcp", 0, false}, {"ssl", 1, false}, {NULL, 0, false}};
	int protocol = 0;

	(void)field;
	if (rddr_config_read_word(r, node, place, protocols, &protocol) && protocol)
		rddr_config_tls_original(r, ((struct original *)base)->service, "outgoing-proxies.protocol",
					 node->mark);
}

static void read_original_class(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	rddr_config_service_diff_class(r, node, place, field, ((struct original *)base)->service);
}

static void read_original_params(struct reader *r, const struct node *node, const struct place *place,
				 const struct field *field, void *base)
{
	rddr_config_service_diff_params(r, node, place, field, ((struct original *)base)->service);
}

static void read_original_enforcing(struct reader *r, const struct node *node, const struct place *place,
				    const struct field *field, void *base)
{
	const struct field target = {.offset = offsetof(struct service, enforcing)};

	(void)field;
	rddr_config_read_bool(r, node, place, &target, ((struct original *)base)->service);
}

static const struct field original_fields[] = {
	{"host", read_original_host, 0, NULL, true},	       {"ports", read_original_ports, 0, NULL, true},
	{"protocol", read_original_protocol, 0, NULL, false},  {"diff-class", read_original_class, 0, NULL, false},
	{"diff-params", read_original_params, 0, NULL, false}, {"enforcing", read_original_enforcing, 0, NULL, false},
};

/* "outgoing-db.example-5432": names of services have no ':'. */
static void original_name(const struct reader *r, const char *key, char name[CONFIG_NAME_MAX + 1])
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
	int n = snprintf(name, CONFIG_NAME_MAX - 6, "outgoing-%s", key);
	size_t len = n < CONFIG_NAME_MAX - 6 ? (size_t)n : CONFIG_NAME_MAX - 7;

	for (char *c = name; *c; c++) {
		if (!strchr(allowed, *c))
			*c = '-';
	}
	for (size_t i = 0; i < r->config->n_services; i++) {
		if (!strcmp(r->config->services[i]->name, name))
			snprintf(name + len, 7, "-%zu", r->config->n_services % 10000);
	}
}

static void add_variants(struct reader *r, const struct original *o, struct config_mark mark)
{
	const struct service *incoming = r->config->services[0];

	for (unsigned i = 0; i < incoming->n_instances && o->has_host && i < o->n_ports && !r->oom; i++) {
		struct instance *instance =
			rddr_config_service_instance(r, o->service, incoming->instances[i].name, mark);

		if (!instance)
			return;
		instance->chainer.ops = &rddr_chainer_transparent;
		instance->listen = o->host;
		rddr_addr_set_port(&instance->listen, o->ports[i]);
		instance->has_listen = true;
	}
}

void rddr_config_outgoing_original(struct reader *r, const struct node *key, const struct node *node,
				   const struct place *place)
{
	struct chainer_conf *conf;
	struct original o = {0};
	char name[CONFIG_NAME_MAX + 1];

	original_name(r, key->text, name);
	o.service = rddr_config_service_add(r, name, key->mark);
	if (!o.service)
		return;
	o.service->direction = RDDR_OUTGOING;
	o.service->filter = r->config->services[0]->filter;
	rddr_config_service_draft(r, o.service)->listen = node->mark;
	conf = &o.service->backend.chainer;
	conf->ops = &rddr_chainer_directed;
	r->family = AF_UNSPEC;
	conf->has_remote = rddr_config_endpoint_read(r, key, place, ENDPOINT_PORT, &conf->remote);
	rddr_config_read_mapping(r, node, place, FIELDS(original_fields), &o);
	default_partner(o.service);
	add_variants(r, &o, node->mark);
}
