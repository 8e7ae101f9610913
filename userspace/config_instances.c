// SPDX-License-Identifier: BSD-2-Clause
/* instances: of a service of the gateway form. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "own.h"

void rddr_config_instances_name(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	const char *text = rddr_config_read_text(r, node, place, CONFIG_NAME_MAX);
	struct instance *instance = base;
	char *copy, shown[100];

	(void)field;
	if (!text)
		return;
	for (const char *c = text; *c; c++) {
		if (*c > ' ' && *c < 0x7f && !strchr("\"'\\,=", *c))
			continue;
		rddr_config_read_fault(r, node->mark, place,
				       "a name has no blanks, quotes, ',' or '=', and is ASCII; is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return;
	}
	copy = strdup(text);
	if (!copy) {
		r->oom = true;
		return;
	}
	free(instance->name);
	instance->name = copy;
}

static void read_chainer(struct reader *r, const struct node *node, const struct place *place,
			 const struct field *field, void *base)
{
	static const struct word chainers[] = {
		{"transparent", 0, false}, {"directed", 0, false}, {"failover", 0, false},
		{"inband", 0, false},	   {NULL, 0, false},
	};
	struct instance *instance = base;
	int known;

	(void)field;
	if (rddr_config_read_word(r, node, place, chainers, &known))
		instance->chainer.ops = rddr_chainer_find(node->text);
}

static void read_remote(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
			void *base)
{
	struct instance *instance = base;

	(void)field;
	instance->chainer.has_remote =
		rddr_config_endpoint_read(r, node, place, ENDPOINT_PORT, &instance->chainer.remote);
}

static void read_hosts(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		       void *base)
{
	struct chainer_conf *conf = &((struct instance *)base)->chainer;
	struct items items;

	(void)field;
	if (!rddr_config_read_items(r, node, place, CHAINER_HOSTS, &items))
		return;
	conf->hosts = calloc(items.n, sizeof(*conf->hosts));
	if (!conf->hosts) {
		r->oom = true;
		return;
	}
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		if (rddr_config_endpoint_read(r, item, &at, ENDPOINT_PORT, &conf->hosts[conf->n_hosts].address))
			conf->n_hosts++;
	}
}

static void read_local(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		       void *base)
{
	struct instance *instance = base;

	(void)field;
	instance->chainer.has_local = rddr_config_endpoint_read(r, node, place, 0, &instance->chainer.local);
}

static void read_forge_port(struct reader *r, const struct node *node, const struct place *place,
			    const struct field *field, void *base)
{
	static const struct word rungs[] = {
		{"exact", FORGE_PORT_EXACT, false},
		{"group", FORGE_PORT_GROUP, false},
		{"any", FORGE_PORT_ANY, false},
		{"random", FORGE_PORT_RANDOM, false},
		{NULL, 0, false},
	};
	struct chainer_conf *conf = &((struct instance *)base)->chainer;
	struct items items;

	(void)field;
	if (!rddr_config_read_items(r, node, place, FORGE_PORTS, &items))
		return;
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);
		int rung;

		if (rddr_config_read_word(r, item, &at, rungs, &rung))
			conf->forge_port[conf->forge_ports++] = (enum forge_port)rung;
	}
}

static const struct word proxy_versions[] = {{"v1", 1, false}, {"v2", 2, false}, {NULL, 0, false}};

static void read_send_proxy(struct reader *r, const struct node *node, const struct place *place,
			    const struct field *field, void *base)
{
	int version = 0;

	(void)field;
	if (rddr_config_read_word(r, node, place, proxy_versions, &version))
		((struct instance *)base)->chainer.send_proxy = (uint8_t)version;
}

/* It needs the service and the other keys too: see read_instance. */
static void read_tls(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		     void *base)
{
	(void)r;
	(void)node;
	(void)place;
	(void)field;
	(void)base;
}

static void read_check_path(struct reader *r, const struct node *node, const struct place *place,
			    const struct field *field, void *base)
{
	const char *text = rddr_config_read_text(r, node, place, 500);
	struct chainer_conf *conf = &((struct instance *)base)->chainer;

	(void)field;
	if (!text)
		return;
	for (const char *c = text; *c; c++) {
		if (*text == '/' && *c > ' ' && *c < 0x7f)
			continue;
		rddr_config_read_fault(r, node->mark, place, "wants a path that begins with '/', without blanks");
		return;
	}
	free(conf->check.http);
	conf->check.http = strdup(text);
	r->oom = r->oom || !conf->check.http;
}

static void read_check(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		       void *base)
{
	static const struct bounds intervals = {100, 3600 * 1000}, waits = {10, 60 * 1000}, fails = {1, 100},
				   statuses = {100, 599};
	static const struct field fields[] = {
		{"interval", rddr_config_read_duration, offsetof(struct instance, chainer.check.interval), &intervals,
		 false},
		{"timeout", rddr_config_read_duration, offsetof(struct instance, chainer.check.timeout), &waits, false},
		{"fails", rddr_config_read_u32, offsetof(struct instance, chainer.check.fails), &fails, false},
		{"http", read_check_path, 0, NULL, false},
		{"status", rddr_config_read_u32, offsetof(struct instance, chainer.check.status), &statuses, false},
	};
	struct chainer_conf *conf = &((struct instance *)base)->chainer;

	(void)field;
	conf->check.interval = 5000;
	conf->check.timeout = 1000;
	conf->check.fails = 2;
	if (rddr_config_read_mapping(r, node, place, FIELDS(fields), base) && conf->check.status && !conf->check.http)
		rddr_config_read_fault(r, node->mark, place, "status: only with http");
}

static const struct bounds ports = {1, UINT16_MAX}, timeouts = {10, 600 * 1000}, downs = {1000, 24 * 3600 * 1000},
			   attempts = {1, 1000};

/* local comes before remote: of a name with several addresses the one of the same family is taken. */
static const struct field instance_fields[] = {
	{"name", rddr_config_instances_name, 0, NULL, false},
	{"chainer", read_chainer, 0, NULL, true},
	{"local", read_local, 0, NULL, false},
	{"remote", read_remote, 0, NULL, false},
	{"hosts", read_hosts, 0, NULL, false},
	{"host-timeout", rddr_config_read_duration, offsetof(struct instance, chainer.host_timeout), &timeouts, false},
	{"down-for", rddr_config_read_duration, offsetof(struct instance, chainer.down_for), &downs, false},
	{"attempts", rddr_config_read_u32, offsetof(struct instance, chainer.attempts), &attempts, false},
	{"rotate", rddr_config_read_bool, offsetof(struct instance, chainer.rotate), NULL, false},
	{"check", read_check, 0, NULL, false},
	{"send-proxy", read_send_proxy, 0, NULL, false},
	{"forge-addr", rddr_config_read_bool, offsetof(struct instance, chainer.forge_addr), NULL, false},
	{"forge-port", read_forge_port, 0, NULL, false},
	{"forge-fallback", rddr_config_read_bool, offsetof(struct instance, chainer.forge_fallback), NULL, false},
	{"forced-port", rddr_config_read_u16, offsetof(struct instance, chainer.forced_port), &ports, false},
	{"tls", read_tls, 0, NULL, false},
};

/* The chainer's message begins with the key that it is about. */
static void check_chainer(struct reader *r, const struct node *node, const struct place *place,
			  const struct instance *instance)
{
	char err[256] = "", *colon;
	const struct node *value = NULL;
	struct place at = {.up = place};

	if (!rddr_chainer_check(&instance->chainer, !r->listening, err, sizeof(err)))
		return;
	colon = strstr(err, ": ");
	if (colon) {
		*colon = '\0';
		at.key = err;
		value = rddr_config_yaml_find(node, err);
		if (!value)
			*colon = ':';
	}
	if (value)
		rddr_config_read_fault(r, value->mark, &at, "%s", colon + 2);
	else
		rddr_config_read_fault(r, node->mark, place, "%s", err);
}

static void bind_chainer(struct reader *r, const struct service *service, struct instance *instance)
{
	char name[2 * CONFIG_NAME_MAX + 2];

	snprintf(name, sizeof(name), "%s/%s", service->name, instance->name);
	if (rddr_chainer_bind(&instance->chainer, name))
		r->oom = true;
}

bool rddr_config_instances_chainer(struct reader *r, const struct node *node, const struct place *place,
				   struct service *service, struct instance *instance)
{
	unsigned before = r->report->n + r->report->more;

	if (!rddr_config_read_mapping(r, node, place, FIELDS(instance_fields), instance))
		return false;
	if (instance != &service->backend) {
		rddr_config_tls_instance(r, node, place, service, instance);
		rddr_config_tls_remote(r, node, service, instance);
	}
	if (r->report->n + r->report->more > before || r->oom)
		return false;
	check_chainer(r, node, place, instance);
	bind_chainer(r, service, instance);
	if (instance->chainer.forge_addr && !instance->chainer.forge_ports) {
		instance->chainer.forge_ports = 1;
		instance->chainer.forge_port[0] = FORGE_PORT_ANY;
	}
	return true;
}

static void read_instance(struct reader *r, const struct node *node, const struct place *place, struct service *service)
{
	unsigned i = service->n_instances;
	struct draft *draft = rddr_config_service_draft(r, service);
	const struct node *remote = rddr_config_yaml_find(node, "remote");
	struct instance *instance;
	char name[32];

	snprintf(name, sizeof(name), "instance%u", i);
	instance = rddr_config_service_instance(r, service, name, node->mark);
	if (!instance)
		return;
	if (!remote)
		remote = rddr_config_yaml_find(node, "hosts");
	draft->remote[i] = remote ? remote->mark : node->mark;
	rddr_config_instances_chainer(r, node, place, service, instance);
}

void rddr_config_instances_read(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	struct service *service = base;
	struct items items;
	char shown[100];

	(void)field;
	if (node->kind != NODE_SEQUENCE) {
		rddr_config_read_fault(r, node->mark, place, "wants a list of instances, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return;
	}
	if (!rddr_config_read_items(r, node, place, RDDR_MAX_INSTANCES, &items))
		return;
	for (size_t i = 0; i < items.n && !r->oom && !rddr_config_report_full(r->report); i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		if (service->direction == RDDR_OUTGOING)
			rddr_config_outgoing_instance(r, item, &at, service);
		else
			read_instance(r, item, &at, service);
	}
}
