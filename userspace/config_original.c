// SPDX-License-Identifier: BSD-2-Clause
/* The original RDDR file: its incoming part, and each of its backends, become services that listen by themselves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "own.h"

#define SERVICE "incoming"

static struct service *service_of(const struct reader *r)
{
	return r->config->services[0];
}

/* Listing a server twice is possible here, so names may have to be told apart. */
static void read_address(struct reader *r, const struct node *node, const struct place *place, struct service *service)
{
	struct draft *draft = rddr_config_service_draft(r, service);
	struct instance *instance;
	struct addr remote;
	unsigned same = 1;
	char name[320];

	if (!rddr_config_endpoint_read(r, node, place, ENDPOINT_PORT, &remote))
		return;
	snprintf(name, sizeof(name), "%s", node->text);
	for (unsigned i = 0; i < service->n_instances; i++) {
		if (!strcmp(service->instances[i].name, name))
			snprintf(name, sizeof(name), "%s#%u", node->text, ++same);
	}
	draft->remote[service->n_instances] = node->mark;
	instance = rddr_config_service_instance(r, service, name, node->mark);
	if (!instance)
		return;
	instance->chainer.ops = &rddr_chainer_directed;
	instance->chainer.remote = remote;
	instance->chainer.has_remote = true;
}

static void read_addrlist(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	struct items items;
	char shown[100];

	(void)field;
	(void)base;
	if (node->kind != NODE_SEQUENCE) {
		rddr_config_read_fault(r, node->mark, place, "wants a list of host:port, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return;
	}
	if (!rddr_config_read_items(r, node, place, RDDR_MAX_INSTANCES, &items))
		return;
	for (size_t i = 0; i < items.n && !r->oom; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		read_address(r, item, &at, service_of(r));
	}
}

static void read_filter(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
			void *base)
{
	const struct field target = {.offset = offsetof(struct service, filter)};

	(void)field;
	(void)base;
	rddr_config_service_filter(r, node, place, &target, service_of(r));
}

/* Checked where its port is known too. */
static void read_host(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	struct service *service = base;

	(void)field;
	r->family = AF_INET;
	service->has_listen = rddr_config_endpoint_host(r, node, place, rddr_addr_port(&service->listen),
							ENDPOINT_WILDCARD, &service->listen);
	r->family = service->has_listen ? service->listen.sa.sa_family : AF_UNSPEC;
}

static void read_port(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	static const struct bounds ports = {1, UINT16_MAX};
	struct service *service = base;
	uint64_t port;

	(void)field;
	if (rddr_config_read_number(r, node, place, &ports, &port))
		rddr_addr_set_port(&service->listen, (uint16_t)port);
}

static void read_protocol(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	static const struct word protocols[] = {{"tcp", 0, false}, {"ssl", 1, false}, {NULL, 0, false}};
	int protocol = 0;

	(void)field;
	if (rddr_config_read_word(r, node, place, protocols, &protocol) && protocol)
		rddr_config_tls_original(r, base, "incoming-proxy.protocol", node->mark);
}

/* The port comes before the host: the host's address carries it. */
static const struct field incoming_fields[] = {
	{"port", read_port, 0, NULL, true},
	{"host", read_host, 0, NULL, true},
	{"protocol", read_protocol, 0, NULL, false},
	{"diff-class", rddr_config_service_diff_class, 0, NULL, false},
	{"diff-params", rddr_config_service_diff_params, 0, NULL, false},
	{"enforcing", rddr_config_read_bool, offsetof(struct service, enforcing), NULL, false},
};

static void read_incoming(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	struct service *service = service_of(r);

	(void)field;
	(void)base;
	service->mark = service->diff_class_mark = service->diff_params_mark = node->mark;
	rddr_config_service_draft(r, service)->listen = node->mark;
	rddr_config_read_mapping(r, node, place, FIELDS(incoming_fields), service);
}

static void read_outgoing(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	char shown[100];

	(void)field;
	(void)base;
	if ((node->kind == NODE_SCALAR && node->type == SCALAR_NULL) || (node->kind != NODE_SCALAR && !node->n))
		return;
	if (node->kind != NODE_MAPPING) {
		rddr_config_read_fault(r, node->mark, place, "wants a mapping of backends (host:port), is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return;
	}
	if (node->n > CONFIG_SERVICES_MAX - 1) {
		rddr_config_read_fault(r, node->mark, place, "%zu backends; at most %d are possible", node->n,
				       CONFIG_SERVICES_MAX - 1);
		return;
	}
	for (size_t i = 0; i < node->n && !r->oom && !rddr_config_report_full(r->report); i++) {
		const struct place at = {.up = place, .key = node->items[2 * i]->text};

		rddr_config_outgoing_original(r, node->items[2 * i], node->items[2 * i + 1], &at);
	}
}

/* incoming-proxy comes first: it says which family of address fits. */
static const struct field original_fields[] = {
	{"incoming-proxy", read_incoming, 0, NULL, true},
	{"addrlist", read_addrlist, 0, NULL, true},
	{"filter", read_filter, 0, NULL, false},
	{"outgoing-proxies", read_outgoing, 0, NULL, false},
};

void rddr_config_original_read(struct reader *r, const struct node *root, struct fields common)
{
	struct service *service;
	struct field all[24];

	if (common.n + ARRAY_LEN(original_fields) > ARRAY_LEN(all))
		abort(); /* a table grew */
	memcpy(all, common.list, common.n * sizeof(*all));
	memcpy(all + common.n, original_fields, sizeof(original_fields));
	service = rddr_config_service_add(r, SERVICE, root->mark);
	if (!service)
		return;
	rddr_config_read_mapping(r, root, NULL, (struct fields){all, common.n + ARRAY_LEN(original_fields)}, r->config);
	rddr_config_tls_original_instances(r, service);
	/* The defaults were not read yet when the service was made. */
	for (size_t i = 0; i < r->config->n_services; i++) {
		service = r->config->services[i];
		service->deadlines = r->deadlines;
		service->noise = r->noise;
		service->limits = r->limits;
	}
}
