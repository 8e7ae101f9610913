// SPDX-License-Identifier: BSD-2-Clause
/* intercept: lists of addresses, ports, interfaces and clients, expanded into one rule for each combination. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "own.h"

/* One interception as it is written. */
struct lists {
	struct prefix *addresses, *clients;
	uint16_t *ports;
	char (*interfaces)[sizeof(((struct rule *)NULL)->interface)];
	size_t n_addresses, n_clients, n_ports, n_interfaces;
};

static void free_lists(struct lists *lists)
{
	free(lists->addresses);
	free(lists->clients);
	free(lists->ports);
	free(lists->interfaces);
}

/* Reads one item of a list; false after a report. */
typedef bool (*item_fn)(struct reader *r, const struct node *node, const struct place *place, void *out);

/* Reads a list, or a lone item, into an array of items of size bytes, *array (owned by the caller). */
static void read_list(struct reader *r, const struct node *node, const struct place *place, item_fn read, size_t size,
		      void *array, size_t *n)
{
	struct items items;
	char *made;

	if (!rddr_config_read_items(r, node, place, CONFIG_RULES_MAX, &items))
		return;
	made = calloc(items.n, size);
	if (!made) {
		r->oom = true;
		return;
	}
	*n = 0;
	for (size_t i = 0; i < items.n && !rddr_config_report_full(r->report); i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		if (read(r, item, &at, made + *n * size))
			++*n;
	}
	free(*(void **)array);
	*(void **)array = made;
}

static bool read_prefix(struct reader *r, const struct node *node, const struct place *place, void *out)
{
	const char *text = rddr_config_read_text(r, node, place, 100);
	struct prefix prefix;
	char shown[100];
	int err;

	if (!text)
		return false;
	err = rddr_prefix_parse(text, &prefix);
	rddr_config_read_show(node, shown, sizeof(shown));
	if (err == -ERANGE)
		rddr_config_read_fault(r, node->mark, place, "%s has bits set behind the prefix's length", shown);
	else if (err)
		rddr_config_read_fault(
			r, node->mark, place,
			"wants an address or a prefix (10.0.0.0/8, fd00::/8) without port or name, is %s", shown);
	else
		*(struct prefix *)out = prefix;
	return !err;
}

static bool read_destination(struct reader *r, const struct node *node, const struct place *place, void *out)
{
	static const uint8_t zero[16];
	const struct prefix *prefix = out;

	if (!read_prefix(r, node, place, out))
		return false;
	if (prefix->len == (prefix->family == AF_INET ? 32 : 128) && !memcmp(prefix->bytes, zero, sizeof(zero))) {
		rddr_config_read_fault(r, node->mark, place,
				       "%s is the wildcard address (every address: 0.0.0.0/0, ::/0)", node->text);
		return false;
	}
	return true;
}

static bool read_port(struct reader *r, const struct node *node, const struct place *place, void *out)
{
	static const struct bounds bounds = {1, UINT16_MAX};
	uint64_t number;
	char shown[100];

	if (node->kind == NODE_SCALAR && !strcmp(node->text, "all")) {
		*(uint16_t *)out = 0;
		return true;
	}
	if (node->kind != NODE_SCALAR || node->type != SCALAR_INT) {
		rddr_config_read_fault(r, node->mark, place,
				       "wants a port (1 to 65535), a list of ports, or all; is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return false;
	}
	if (!rddr_config_read_number(r, node, place, &bounds, &number))
		return false;
	*(uint16_t *)out = (uint16_t)number;
	return true;
}

/* The kernel's own rule for names. */
static bool read_interface(struct reader *r, const struct node *node, const struct place *place, void *out)
{
	const size_t size = sizeof(((struct rule *)NULL)->interface);
	const char *text = rddr_config_read_text(r, node, place, size - 1);
	char shown[100];
	bool good;

	if (!text)
		return false;
	good = strcmp(text, ".") != 0 && strcmp(text, "..") != 0;
	for (const char *c = text; *c; c++)
		good = good && *c != '/' && *c != ':' && !isspace((unsigned char)*c) && !iscntrl((unsigned char)*c);
	if (!good)
		rddr_config_read_fault(r, node->mark, place, "wants an interface's name, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
	else if (!strcmp(text, "lo"))
		rddr_config_read_fault(r, node->mark, place, "nothing is intercepted on lo");
	else
		memcpy(out, text, strlen(text) + 1);
	return good && strcmp(text, "lo") != 0;
}

static void read_addresses(struct reader *r, const struct node *node, const struct place *place,
			   const struct field *field, void *base)
{
	struct lists *lists = base;

	(void)field;
	read_list(r, node, place, read_destination, sizeof(struct prefix), &lists->addresses, &lists->n_addresses);
}

static void read_clients(struct reader *r, const struct node *node, const struct place *place,
			 const struct field *field, void *base)
{
	struct lists *lists = base;

	(void)field;
	read_list(r, node, place, read_prefix, sizeof(struct prefix), &lists->clients, &lists->n_clients);
}

void rddr_config_intercept_clients(struct reader *r, const struct node *node, const struct place *place,
				   const struct field *field, void *base)
{
	struct client_list *clients = base;

	(void)field;
	read_list(r, node, place, read_prefix, sizeof(struct prefix), &clients->list, &clients->n);
}

static void read_ports(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		       void *base)
{
	struct lists *lists = base;

	(void)field;
	read_list(r, node, place, read_port, sizeof(uint16_t), &lists->ports, &lists->n_ports);
}

static void read_interfaces(struct reader *r, const struct node *node, const struct place *place,
			    const struct field *field, void *base)
{
	struct lists *lists = base;

	(void)field;
	read_list(r, node, place, read_interface, sizeof(*lists->interfaces), &lists->interfaces, &lists->n_interfaces);
}

/* A prefix of length 0 is all clients of the destination's family: the same as none. */
static void add_rule(struct service *service, const struct prefix *destination, uint16_t port, const char *interface,
		     const struct prefix *clients, struct config_mark mark)
{
	struct rule *rule = &service->rules[service->n_rules++];

	*rule = (struct rule){.destination = *destination, .port = port, .service = service, .mark = mark};
	if (interface)
		memcpy(rule->interface, interface, sizeof(rule->interface));
	if (clients && clients->len)
		rule->clients = *clients;
}

/* One destination with everything; clients of the other family can never match it. Returns how many rules that made. */
static size_t expand_destination(struct service *service, const struct lists *lists, const struct prefix *destination,
				 struct config_mark mark)
{
	size_t before = service->n_rules;
	size_t interfaces = lists->n_interfaces ? lists->n_interfaces : 1;
	size_t clients = lists->n_clients ? lists->n_clients : 1;

	for (size_t i = 0; i < lists->n_ports * interfaces * clients; i++) {
		const struct prefix *from = lists->n_clients ? &lists->clients[i % clients] : NULL;
		const char *interface = lists->n_interfaces ? lists->interfaces[i / clients % interfaces] : NULL;

		if (from && from->family != destination->family)
			continue;
		add_rule(service, destination, lists->ports[i / clients / interfaces], interface, from, mark);
	}
	return service->n_rules - before;
}

static void expand(struct reader *r, struct service *service, const struct lists *lists, struct config_mark mark,
		   const struct place *place)
{
	size_t most = lists->n_addresses * lists->n_ports; /* each factor is at most 4096 */
	struct rule *rules;
	char text[64];

	most *= (lists->n_interfaces ? lists->n_interfaces : 1) * (lists->n_clients ? lists->n_clients : 1);
	if (most > CONFIG_RULES_MAX - r->n_rules) {
		rddr_config_read_fault(
			r, mark, place,
			"%zu combinations of address, port, interface and clients; all services together may have "
			"%d, of which %zu are left",
			most, CONFIG_RULES_MAX, CONFIG_RULES_MAX - r->n_rules);
		return;
	}
	rules = reallocarray(service->rules, service->n_rules + most, sizeof(*rules));
	if (!rules) {
		r->oom = true;
		return;
	}
	service->rules = rules;
	for (size_t i = 0; i < lists->n_addresses; i++) {
		size_t made = expand_destination(service, lists, &lists->addresses[i], mark);

		if (!made)
			rddr_config_read_fault(r, mark, place, "no clients of the family of address %s",
					       rddr_prefix_format(&lists->addresses[i], text, sizeof(text)));
		r->n_rules += made;
	}
}

static void read_interception(struct reader *r, const struct node *node, const struct place *place,
			      struct service *service)
{
	static const struct field fields[] = {
		{"address", read_addresses, 0, NULL, true},
		{"port", read_ports, 0, NULL, true},
		{"interface", read_interfaces, 0, NULL, false},
		{"clients", read_clients, 0, NULL, false},
	};
	_owned_(free_lists) struct lists lists = {0};
	unsigned before = r->report->n + r->report->more;

	if (!rddr_config_read_mapping(r, node, place, FIELDS(fields), &lists))
		return;
	if (r->report->n + r->report->more == before && !r->oom)
		expand(r, service, &lists, node->mark, place);
}

void rddr_config_intercept_read(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	struct items items;

	(void)field;
	if (!rddr_config_read_items(r, node, place, CONFIG_RULES_MAX, &items))
		return;
	for (size_t i = 0; i < items.n && !rddr_config_report_full(r->report) && !r->oom; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		read_interception(r, item, &at, base);
	}
	if (r->family == AF_UNSPEC && ((struct service *)base)->n_rules)
		r->family = ((struct service *)base)->rules[0].destination.family;
}
