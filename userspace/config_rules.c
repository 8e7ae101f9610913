// SPDX-License-Identifier: BSD-2-Clause
/* The order of the rules, and the search for the one that a connection matches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "own.h"

struct ranked {
	const struct rule *rule;
	size_t place; /* in the file */
};

static int by_rank(const void *pa, const void *pb)
{
	const struct ranked *a = pa, *b = pb;
	const struct rule *x = a->rule, *y = b->rule;

	if (!x->port != !y->port)
		return x->port ? -1 : 1;
	if (!*x->interface != !*y->interface)
		return *x->interface ? -1 : 1;
	if (x->destination.len != y->destination.len)
		return x->destination.len > y->destination.len ? -1 : 1;
	if (x->clients.len != y->clients.len) /* all clients: 0 */
		return x->clients.len > y->clients.len ? -1 : 1;
	return a->place < b->place ? -1 : 1;
}

int rddr_config_rules_sort(struct config *config)
{
	_owned_mem_ struct ranked *ranked = NULL;
	size_t n = 0;

	for (size_t i = 0; i < config->n_services; i++)
		n += config->services[i]->n_rules;
	if (!n)
		return 0;
	ranked = calloc(n, sizeof(*ranked));
	config->rules = calloc(n, sizeof(struct rule *));
	if (!ranked || !config->rules)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_services; i++) {
		for (size_t j = 0; j < config->services[i]->n_rules; j++, config->n_rules++)
			ranked[config->n_rules] = (struct ranked){&config->services[i]->rules[j], config->n_rules};
	}
	qsort(ranked, n, sizeof(*ranked), by_rank);
	for (size_t i = 0; i < n; i++)
		config->rules[i] = ranked[i].rule;
	return 0;
}

bool rddr_rule_covers(const struct rule *rule, const struct addr *destination, const struct addr *client)
{
	return (!rule->port || rule->port == rddr_addr_port(destination)) &&
	       rddr_prefix_contains(&rule->destination, destination) && rddr_prefix_contains(&rule->clients, client);
}

const struct rule *rddr_config_match(const struct config *config, const struct addr *destination,
				     const struct addr *client, const char *interface)
{
	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = config->rules[i];

		if (*rule->interface && (!interface || strcmp(rule->interface, interface) != 0))
			continue;
		if (rddr_rule_covers(rule, destination, client))
			return rule;
	}
	return NULL;
}

const struct addr *rddr_config_listen(const struct service *service, unsigned i)
{
	if (i == 0)
		return service->has_listen ? &service->listen : NULL;
	if (i > service->n_instances || !service->instances[i - 1].has_listen)
		return NULL;
	return &service->instances[i - 1].listen;
}

/* What a connection to a listener of that address has as its local one. */
static bool accepts(const struct addr *listener, const struct addr *local)
{
	return rddr_addr_equal(listener, local) ||
	       (rddr_addr_is_wildcard(listener) && rddr_addr_port(listener) == rddr_addr_port(local));
}

int rddr_config_instance_of(const struct service *service, const struct addr *client, const struct addr *destination)
{
	for (unsigned i = 0; i < service->n_instances; i++) {
		const struct instance *instance = &service->instances[i];

		if (instance->has_listen && accepts(&instance->listen, destination))
			return (int)i;
		for (size_t k = 0; k < instance->n_clients; k++) {
			if (rddr_prefix_contains(&instance->clients[k], client))
				return (int)i;
		}
	}
	return -1;
}
