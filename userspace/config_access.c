// SPDX-License-Identifier: BSD-2-Clause
/* zones: and resolver: of the file; access: and proxy-protocol: of a service. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "access.h"
#include "config_forms.h"
#include "own.h"

/* The most prefixes that a service trusts. */
#define BALANCERS 64

/* ---- zones ---- */

/* One zone as it stands in the file. */
struct zone_text {
	const struct node *prefixes, *parent;
};

static void keep_node(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	(void)r;
	(void)place;
	*(const struct node **)((char *)base + field->offset) = node;
}

static const struct field zone_fields[] = {
	{"prefixes", keep_node, offsetof(struct zone_text, prefixes), NULL, false},
	{"parent", keep_node, offsetof(struct zone_text, parent), NULL, false},
};

/* A mapping, or the prefixes alone. False after a report. */
static bool read_zone(struct reader *r, const struct node *node, const struct place *place, struct zone_text *out)
{
	*out = (struct zone_text){0};
	if (node->kind == NODE_MAPPING)
		return rddr_config_read_mapping(r, node, place, FIELDS(zone_fields), out);
	out->prefixes = node;
	return true;
}

/* False after a report. */
static bool parse_prefix(struct reader *r, const struct node *node, const struct place *place, struct prefix *out)
{
	const char *text = rddr_config_read_text(r, node, place, 100);
	int err = text ? rddr_prefix_parse(text, out) : 0;

	if (err == -ERANGE)
		rddr_config_read_fault(r, node->mark, place, "%s: has bits behind its length", text);
	else if (err)
		rddr_config_read_fault(r, node->mark, place, "wants a prefix, is \"%s\"", text);
	return text && !err;
}

static void read_prefix(struct reader *r, const struct node *node, const struct place *place, int zone)
{
	struct prefix prefix;
	int other = 0, err;

	if (!parse_prefix(r, node, place, &prefix))
		return;
	err = rddr_access_zone_prefix(r->config->zones, zone, &prefix, &other);
	if (err == -ENOMEM)
		r->oom = true;
	else if (err == -EEXIST)
		rddr_config_read_fault(r, node->mark, place, "%s: is in the zone %s already", node->text,
				       rddr_access_zone_name(r->config->zones, other));
	else if (err)
		rddr_config_read_fault(r, node->mark, place, "more than %d prefixes in all zones", ACCESS_PREFIXES);
}

static void read_prefixes(struct reader *r, const struct node *node, const struct place *place, int zone)
{
	struct items items;

	if (!rddr_config_read_items(r, node, place, ACCESS_PREFIXES, &items))
		return;
	for (size_t i = 0; i < items.n && !r->oom && !rddr_config_report_full(r->report); i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		read_prefix(r, item, &at, zone);
	}
}

static void read_parent(struct reader *r, const struct node *node, const struct place *place, int zone)
{
	const char *text = rddr_config_read_text(r, node, place, CONFIG_NAME_MAX);
	int parent = text ? rddr_access_zone_find(r->config->zones, text) : -EINVAL;

	if (text && parent < 0)
		rddr_config_read_fault(r, node->mark, place, "there is no zone %s", text);
	else if (text && rddr_access_zone_parent(r->config->zones, zone, parent))
		rddr_config_read_fault(r, node->mark, place, "%s: is the zone itself, or below it", text);
}

/* All names first, so that a parent may stand behind its children. */
static void add_zones(struct reader *r, const struct node *node, const struct place *place)
{
	for (size_t i = 0; i < node->n && !r->oom; i++) {
		const struct node *key = node->items[2 * i];
		const struct place at = {.up = place, .key = key->text};
		int err;

		if (!key->len || key->len > CONFIG_NAME_MAX || !strcmp(key->text, "any") || *key->text == '-') {
			rddr_config_read_fault(r, key->mark, &at,
					       "a zone's name has 1 to %d letters, does not begin with '-' and is "
					       "not \"any\"",
					       CONFIG_NAME_MAX);
			continue;
		}
		err = rddr_access_zone_add(r->config->zones, key->text);
		if (err == -ENOMEM)
			r->oom = true;
		else if (err == -ENOSPC)
			rddr_config_read_fault(r, key->mark, &at, "more than %d zones", ACCESS_ZONES);
		if (err == -ENOSPC)
			return;
	}
}

void rddr_config_access_zones(struct reader *r, const struct node *node, const struct place *place,
			      const struct field *field, void *base)
{
	char shown[100];

	(void)field;
	(void)base;
	if (node->kind != NODE_MAPPING) {
		rddr_config_read_fault(r, node->mark, place, "wants a mapping of zones by name, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return;
	}
	if (rddr_access_zones_new(&r->config->zones)) {
		r->oom = true;
		return;
	}
	add_zones(r, node, place);
	for (size_t i = 0; i < node->n && !r->oom && !rddr_config_report_full(r->report); i++) {
		const struct node *key = node->items[2 * i], *value = node->items[2 * i + 1];
		const struct place at = {.up = place, .key = key->text};
		const struct place prefixes = {.up = &at, .key = "prefixes"}, parent = {.up = &at, .key = "parent"};
		int zone = rddr_access_zone_find(r->config->zones, key->text);
		struct zone_text text;

		if (zone < 0 || !read_zone(r, value, &at, &text))
			continue;
		if (text.prefixes)
			read_prefixes(r, text.prefixes, value->kind == NODE_MAPPING ? &prefixes : &at, zone);
		if (text.parent)
			read_parent(r, text.parent, &parent, zone);
	}
	rddr_access_zones_done(r->config->zones);
}

/* ---- access ---- */

static void read_set(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		     void *base)
{
	struct access_set *set = (struct access_set *)((char *)base + field->offset);
	struct items items;

	set->any = false;
	if (!rddr_config_read_items(r, node, place, ACCESS_ZONES, &items))
		return;
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);
		const char *text = rddr_config_read_text(r, item, &at, CONFIG_NAME_MAX);
		int zone = text && r->config->zones ? rddr_access_zone_find(r->config->zones, text) : -ENOENT;

		if (text && !strcmp(text, "any"))
			set->any = true;
		else if (text && zone < 0)
			rddr_config_read_fault(r, item->mark, &at, "there is no zone %s", text);
		else if (text)
			rddr_access_set_add(set, zone);
	}
}

static void read_rule_name(struct reader *r, const struct node *node, const struct place *place,
			   const struct field *field, void *base)
{
	const char *text = rddr_config_read_text(r, node, place, CONFIG_NAME_MAX);
	struct access_rule *rule = base;

	(void)field;
	if (!text)
		return;
	free(rule->name);
	rule->name = strdup(text);
	r->oom = r->oom || !rule->name;
}

static const struct word actions[] = {{"deny", 0, false}, {"allow", 1, false}, {NULL, 0, false}};

static void read_action(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
			void *base)
{
	int value = 0;

	(void)field;
	if (rddr_config_read_word(r, node, place, actions, &value))
		((struct access_rule *)base)->allow = value;
}

static const struct field rule_fields[] = {
	{"name", read_rule_name, 0, NULL, false},
	{"clients", read_set, offsetof(struct access_rule, clients), NULL, false},
	{"servers", read_set, offsetof(struct access_rule, servers), NULL, false},
	{"action", read_action, 0, NULL, true},
};

static void read_rule(struct reader *r, const struct node *node, const struct place *place, struct access *access)
{
	struct access_rule *rule = &access->rules[access->n_rules];
	char name[32];

	snprintf(name, sizeof(name), "access[%u]", access->n_rules);
	*rule = (struct access_rule){.name = strdup(name), .clients.any = true, .servers.any = true};
	access->n_rules++;
	if (!rule->name)
		r->oom = true;
	else
		rddr_config_read_mapping(r, node, place, FIELDS(rule_fields), rule);
}

void rddr_config_access_rules(struct reader *r, const struct node *node, const struct place *place,
			      const struct field *field, void *base)
{
	struct service *service = base;
	struct items items;

	(void)field;
	if (!r->config->zones && rddr_access_zones_new(&r->config->zones)) {
		r->oom = true;
		return;
	}
	if (!rddr_config_read_items(r, node, place, ACCESS_RULES, &items))
		return;
	service->access = calloc(1, sizeof(*service->access));
	if (service->access)
		service->access->rules = calloc(items.n, sizeof(struct access_rule));
	if (!service->access || !service->access->rules) {
		r->oom = true;
		return;
	}
	service->access->zones = r->config->zones;
	for (size_t i = 0; i < items.n && !r->oom && !rddr_config_report_full(r->report); i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		read_rule(r, item, &at, service->access);
	}
}

/* ---- proxy-protocol ---- */

static void read_from(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	struct service *service = base;
	struct items items;

	(void)field;
	if (!rddr_config_read_items(r, node, place, BALANCERS, &items))
		return;
	service->balancers = calloc(items.n, sizeof(*service->balancers));
	r->oom = r->oom || !service->balancers;
	for (size_t i = 0; i < items.n && !r->oom; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		if (parse_prefix(r, item, &at, &service->balancers[service->n_balancers]))
			service->n_balancers++;
	}
}

void rddr_config_access_balancers(struct reader *r, const struct node *node, const struct place *place,
				  const struct field *field, void *base)
{
	static const struct field fields[] = {{"from", read_from, 0, NULL, true}};

	(void)field;
	rddr_config_read_mapping(r, node, place, FIELDS(fields), base);
}

/* ---- resolver ---- */

/* As c-ares wants them: separated by commas, a port only where it is another than DNS's. */
static void read_servers(struct reader *r, const struct node *node, const struct place *place,
			 const struct field *field, void *base)
{
	char text[1000] = "";
	size_t len = 0;
	struct items items;

	(void)field;
	(void)base;
	if (!rddr_config_read_items(r, node, place, 8, &items))
		return;
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);
		char one[RDDR_ADDR_TEXT], shown[100];
		struct addr a;

		if (item->kind != NODE_SCALAR || rddr_addr_parse(item->text, 53, &a)) {
			rddr_config_read_fault(r, item->mark, &at, "wants the address of a server, is %s",
					       rddr_config_read_show(item, shown, sizeof(shown)));
			return;
		}
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? "," : "",
					rddr_addr_format(&a, one, sizeof(one)));
	}
	free(r->config->resolver.servers);
	r->config->resolver.servers = strdup(text);
	r->oom = r->oom || !r->config->resolver.servers;
}

void rddr_config_access_resolver(struct reader *r, const struct node *node, const struct place *place,
				 const struct field *field, void *base)
{
	static const struct bounds timeouts = {10, 60 * 1000}, tries = {1, 10};
	static const struct field fields[] = {
		{"servers", read_servers, 0, NULL, false},
		{"timeout", rddr_config_read_duration, offsetof(struct config, resolver.timeout), &timeouts, false},
		{"tries", rddr_config_read_u32, offsetof(struct config, resolver.tries), &tries, false},
	};

	(void)field;
	rddr_config_read_mapping(r, node, place, FIELDS(fields), base);
}
