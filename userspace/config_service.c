// SPDX-License-Identifier: BSD-2-Clause
/* One service of the gateway form, and the making of services for both forms. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "config_forms.h"
#include "own.h"

void rddr_config_service_free(struct service *service)
{
	if (!service)
		return;
	for (unsigned i = 0; i < service->n_instances; i++) {
		rddr_chainer_conf_clear(&service->instances[i].chainer);
		free(service->instances[i].name);
		rddr_config_tls_free(&service->instances[i].tls);
		free(service->instances[i].clients);
	}
	rddr_config_tls_free(&service->tls_lone);
	rddr_config_tls_free(&service->tls_many);
	free(service->instances);
	rddr_access_free(&service->access);
	free(service->balancers);
	rddr_chainer_conf_clear(&service->backend.chainer);
	free(service->backend.name);
	free(service->rules);
	free(service->diff_class);
	free(service->diff_params);
	free(service->name);
	free(service);
}

struct draft *rddr_config_service_draft(struct reader *r, const struct service *service)
{
	for (size_t i = 0; i < r->config->n_services; i++) {
		if (r->config->services[i] == service)
			return &r->drafts[i];
	}
	return NULL;
}

static struct service *new_service(const struct reader *r, const char *name, struct config_mark mark)
{
	struct service *service = calloc(1, sizeof(*service));

	if (!service)
		return NULL;
	service->name = strdup(name);
	service->diff_class = strdup("bytes");
	service->diff_params = strdup("{}");
	service->instances = calloc(RDDR_MAX_INSTANCES, sizeof(*service->instances));
	if (!service->name || !service->diff_class || !service->diff_params || !service->instances) {
		rddr_config_service_free(service);
		return NULL;
	}
	service->mark = service->diff_class_mark = service->diff_params_mark = mark;
	service->direction = RDDR_INCOMING;
	service->enforcing = true;
	service->when_down = WHEN_DOWN_CLOSED;
	service->existing = EXISTING_KEEP;
	service->deadlines = r->deadlines;
	service->noise = r->noise;
	service->limits = r->limits;
	service->admission = (struct admission_conf){.held = 1024, .per_client = 128, .prefix4 = 32, .prefix6 = 64};
	service->gather = (struct gather_conf){.first = 200, .idle = 4000, .waiting = 1000};
	service->backend.chainer.ops = &rddr_chainer_transparent;
	return service;
}

/* Makes room for one more in an array of n items. */
static bool grow(void *array, size_t n, size_t size)
{
	void *larger = reallocarray(*(void **)array, n + 1, size);

	if (larger)
		*(void **)array = larger;
	return larger != NULL;
}

struct service *rddr_config_service_add(struct reader *r, const char *name, struct config_mark mark)
{
	struct config *config = r->config;
	struct service *service = NULL;

	if (grow(&config->services, config->n_services, sizeof(struct service *)) &&
	    grow(&r->drafts, config->n_services, sizeof(*r->drafts)))
		service = new_service(r, name, mark);
	if (!service) {
		r->oom = true;
		return NULL;
	}
	memset(&r->drafts[config->n_services], 0, sizeof(*r->drafts));
	config->services[config->n_services++] = service;
	return service;
}

struct instance *rddr_config_service_instance(struct reader *r, struct service *service, const char *name,
					      struct config_mark mark)
{
	struct instance *instance = &service->instances[service->n_instances];

	instance->name = strdup(name);
	if (!instance->name) {
		r->oom = true;
		return NULL;
	}
	rddr_config_service_draft(r, service)->instance[service->n_instances++] = mark;
	return instance;
}

void rddr_config_service_filter(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	rddr_config_service_draft(r, base)->filter = node->mark;
	rddr_config_read_bool(r, node, place, field, base);
}

void rddr_config_service_diff_class(struct reader *r, const struct node *node, const struct place *place,
				    const struct field *field, void *base)
{
	static const struct bounds length = {1, 4095};
	struct service *service = base;
	const struct field text = {.offset = offsetof(struct service, diff_class), .arg = &length};
	char shown[100];

	(void)field;
	service->diff_class_mark = node->mark;
	if (node->kind == NODE_SCALAR && node->type == SCALAR_STRING && !node->len)
		rddr_config_read_fault(r, node->mark, place, "wants the name of a diff plugin, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
	else
		rddr_config_read_path(r, node, place, &text, base);
}

void rddr_config_service_diff_params(struct reader *r, const struct node *node, const struct place *place,
				     const struct field *field, void *base)
{
	struct service *service = base;

	(void)field;
	service->diff_params_mark = node->mark;
	rddr_config_json_text(r, node, place, &service->diff_params);
}

static void read_listen(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
			void *base)
{
	struct service *service = base;

	(void)field;
	/* Where a name has addresses of both families: what an operator types, and `localhost` is, usually. */
	r->family = AF_INET;
	r->listening = true;
	rddr_config_service_draft(r, service)->listen = node->mark;
	service->has_listen = rddr_config_endpoint_listen(r, node, place, &service->listen);
	r->family = service->has_listen ? service->listen.sa.sa_family : AF_UNSPEC;
}

static void read_policy(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
			void *base)
{
	static const struct word verdicts[] = {
		{"all", 0, false},  {"majority", 0, true}, {"quorum", 0, true},
		{"eject", 0, true}, {"readmit", 0, true},  {NULL, 0, false},
	};
	static const struct field fields[] = {{"verdict", rddr_config_read_choice, 0, verdicts, false}};
	int verdict = 0;

	(void)field;
	(void)base;
	rddr_config_read_mapping(r, node, place, FIELDS(fields), &verdict);
}

static const struct word directions[] = {
	{"incoming", RDDR_INCOMING, false},
	{"outgoing", RDDR_OUTGOING, false},
	{NULL, 0, false},
};
static const struct word when_downs[] = {
	{"closed", WHEN_DOWN_CLOSED, false},
	{"open", WHEN_DOWN_OPEN, false},
	{NULL, 0, false},
};
static const struct word existings[] = {
	{"keep", EXISTING_KEEP, false},
	{"reset", EXISTING_RESET, false},
	{NULL, 0, false},
};

/* listen and intercept come first: of names with several addresses the one that fits them is taken. */
static const struct field service_fields[] = {
	{"direction", rddr_config_read_choice, offsetof(struct service, direction), directions, false},
	{"listen", read_listen, 0, NULL, false},
	{"intercept", rddr_config_intercept_read, 0, NULL, false},
	{"tls", rddr_config_tls_read, 0, NULL, false},
	{"instances", rddr_config_instances_read, 0, NULL, true},
	{"access", rddr_config_access_rules, 0, NULL, false},
	{"proxy-protocol", rddr_config_access_balancers, 0, NULL, false},
	{"backend", rddr_config_outgoing_backend, 0, NULL, false},
	{"source", rddr_config_outgoing_source, 0, NULL, false},
	{"gather", rddr_config_outgoing_gather, 0, NULL, false},
	{"filter", rddr_config_service_filter, offsetof(struct service, filter), NULL, false},
	{"diff-class", rddr_config_service_diff_class, 0, NULL, false},
	{"diff-params", rddr_config_service_diff_params, 0, NULL, false},
	{"enforcing", rddr_config_read_bool, offsetof(struct service, enforcing), NULL, false},
	{"when-down", rddr_config_read_choice, offsetof(struct service, when_down), when_downs, false},
	{"existing", rddr_config_read_choice, offsetof(struct service, existing), existings, false},
	{"policy", read_policy, 0, NULL, false},
	{"deadlines", rddr_config_read_section, offsetof(struct service, deadlines), &rddr_config_read_deadlines,
	 false},
	{"noise", rddr_config_read_section, offsetof(struct service, noise), &rddr_config_read_noise, false},
	{"limits", rddr_config_read_section, offsetof(struct service, limits), &rddr_config_read_limits, false},
	{"admission", rddr_config_admission_read, offsetof(struct service, admission), NULL, false},
};

/* Keys that exclude each other. */
static void check_keys(struct reader *r, const struct node *node, const struct place *place, struct service *service)
{
	static const char *const steered[] = {"intercept", "when-down", "existing"};
	const struct node *listen = rddr_config_yaml_find(node, "listen");

	rddr_config_outgoing_keys(r, node, place, service);
	rddr_config_admission_keys(r, node, place, service);
	if (!listen && !rddr_config_yaml_find(node, "intercept") && !rddr_config_listen(service, 1))
		rddr_config_read_fault(r, node->mark, place, "needs intercept, or listen");
	for (size_t i = 0; listen && i < ARRAY_LEN(steered); i++) {
		const struct node *other = rddr_config_yaml_find(node, steered[i]);
		const struct place at = {.up = place, .key = steered[i]};

		if (other)
			rddr_config_read_fault(r, other->mark, &at, "not together with listen (line %u): %s",
					       listen->mark.line,
					       i ? "it is for services that intercept" : "a service has one of them");
	}
}

/* Names of services are labels of counters and words of commands. */
static bool check_name(struct reader *r, const struct node *key, const struct place *place)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (key->len && key->len <= CONFIG_NAME_MAX && strspn(key->text, allowed) == key->len && *key->text != '-' &&
	    *key->text != '.')
		return true;
	rddr_config_read_fault(
		r, key->mark, place,
		"a service's name has 1 to %d letters, digits, '-', '_' and '.', and does not begin with "
		"'-' or '.'",
		CONFIG_NAME_MAX);
	return false;
}

void rddr_config_service_list(struct reader *r, const struct node *node, const struct place *place,
			      const struct field *field, void *base)
{
	char shown[100];

	(void)field;
	(void)base;
	rddr_config_read_show(node, shown, sizeof(shown));
	if (node->kind != NODE_MAPPING)
		rddr_config_read_fault(r, node->mark, place, "wants a mapping of services by name, is %s", shown);
	else if (!node->n)
		rddr_config_read_fault(r, node->mark, place, "there is no service");
	else if (node->n > CONFIG_SERVICES_MAX)
		rddr_config_read_fault(r, node->mark, place, "%zu services; at most %d are possible", node->n,
				       CONFIG_SERVICES_MAX);
	else
		shown[0] = '\0';
	for (size_t i = 0; !shown[0] && i < node->n && !r->oom && !rddr_config_report_full(r->report); i++) {
		const struct node *key = node->items[2 * i], *value = node->items[2 * i + 1];
		const struct place at = {.up = place, .key = key->text};
		struct service *service;

		if (!check_name(r, key, &at))
			continue;
		service = rddr_config_service_add(r, key->text, key->mark);
		if (!service)
			return;
		r->family = AF_UNSPEC;
		r->listening = false;
		if (rddr_config_read_mapping(r, value, &at, FIELDS(service_fields), service))
			check_keys(r, value, &at, service);
	}
}
