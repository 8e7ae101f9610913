// SPDX-License-Identifier: BSD-2-Clause
#include "steering_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "log.h"
#include "own.h"

/* A rule for one family, one kind of key: what one entry's first alternative comes of. */
struct line {
	const struct rule *rule;
	struct rddr_service_key key;
	struct rddr_alternative alternative;
	unsigned bits; /* of the destination */
	uint32_t mask[4];
};

struct lines {
	struct line *items;
	size_t n, room;
};

static void mask_of(unsigned bits, uint32_t mask[4])
{
	for (unsigned i = 0; i < 4; i++) {
		unsigned here = bits > 32 * i ? bits - 32 * i : 0;

		if (here == 0)
			mask[i] = 0;
		else
			mask[i] = here >= 32 ? UINT32_MAX : htonl(UINT32_MAX << (32 - here));
	}
}

static bool same_under(const uint32_t a[4], const uint32_t b[4], const uint32_t mask[4])
{
	for (unsigned i = 0; i < 4; i++) {
		if ((a[i] ^ b[i]) & mask[i])
			return false;
	}
	return true;
}

static int service_index(const struct config *config, const struct service *service, uint16_t *index)
{
	for (size_t i = 0; i < config->n_services; i++) {
		if (config->services[i] == service && i <= UINT16_MAX) {
			*index = (uint16_t)i;
			return 0;
		}
	}
	return -EINVAL;
}

static struct line *line_add(struct lines *lines)
{
	struct line *line;

	if (lines->n == lines->room) {
		size_t room = lines->room ? lines->room * 2 : 64;
		struct line *grown = reallocarray(lines->items, room, sizeof(*grown));

		if (!grown)
			return NULL;
		lines->items = grown;
		lines->room = room;
	}
	line = &lines->items[lines->n++];
	memset(line, 0, sizeof(*line));
	return line;
}

/* One rule, for IPv4 or IPv6, as an entry of the given kind. Clients of the other family can never come. */
static int expand(struct lines *lines, const struct rule *rule, sa_family_t family, uint8_t kind, unsigned ifindex,
		  uint16_t service)
{
	struct rddr_alternative *a;
	struct line *line;

	if (rule->destination.family != AF_UNSPEC && rule->destination.family != family)
		return 0;
	if (rule->clients.family != AF_UNSPEC && rule->clients.family != family)
		return 0;
	line = line_add(lines);
	if (!line)
		return -ENOMEM;
	line->rule = rule;
	line->bits = rule->destination.family == AF_UNSPEC ? 0 : rule->destination.len;
	mask_of(line->bits, line->mask);
	line->key.prefixlen = RDDR_KEY_BITS + line->bits;
	line->key.ifindex = ifindex;
	line->key.port = kind == RDDR_KEY_SERVICE ? htons(rule->port) : 0;
	line->key.family = family == AF_INET6 ? RDDR_FAMILY_V6 : RDDR_FAMILY_V4;
	line->key.kind = kind;
	if (rule->destination.family != AF_UNSPEC)
		memcpy(line->key.addr, rule->destination.bytes, family == AF_INET6 ? 16 : 4);
	a = &line->alternative;
	if (rule->clients.family != AF_UNSPEC) {
		a->client_bits = rule->clients.len;
		memcpy(a->client, rule->clients.bytes, family == AF_INET6 ? 16 : 4);
	}
	mask_of(a->client_bits, a->mask);
	a->service = service;
	if (rule->service->when_down == WHEN_DOWN_OPEN)
		a->flags |= RDDR_SERVICE_OPEN;
	if (rule->service->existing == EXISTING_RESET)
		a->flags |= RDDR_SERVICE_RESET;
	if (rule->service->admission.on)
		a->flags |= RDDR_SERVICE_ADMISSION;
	return 0;
}

/* A number for an interface that does not exist, which none that exists has. */
static unsigned number_of(const char *name)
{
	uint32_t sum = 0x811c9dc5u;

	for (; *name; name++)
		sum = (sum ^ (uint8_t)*name) * 0x01000193u; /* FNV-1a */
	return sum | 1u << 31;
}

/* skipped: how many rules were left out; NULL: none is. */
static int collect(const struct config *config, unsigned (*ifindex)(const char *name), struct lines *lines,
		   size_t *skipped)
{
	static const sa_family_t families[] = {AF_INET, AF_INET6};
	static const uint8_t kinds[] = {RDDR_KEY_SERVICE, RDDR_KEY_ADDRESS};

	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = config->rules[i];
		unsigned number = 0;
		uint16_t service;
		int err;

		if (rule->interface[0]) {
			number = ifindex(rule->interface);
			if (number == 0 && !skipped) {
				number = number_of(rule->interface);
			} else if (number == 0) {
				log_warning("steering: service %s: there is no interface %s; its rule takes effect "
					    "when it is there and the services are published again, as a daemon that "
					    "runs does by itself",
					    rule->service->name, rule->interface);
				(*skipped)++;
				continue;
			}
		}
		err = service_index(config, rule->service, &service);
		for (size_t k = 0; k < ARRAY_LEN(kinds) && !err; k++) {
			for (size_t f = 0; f < ARRAY_LEN(families) && !err; f++)
				err = expand(lines, rule, families[f], kinds[k], number, service);
		}
		if (err)
			return err;
	}
	return 0;
}

static bool same_class(const struct rddr_service_key *a, const struct rddr_service_key *b)
{
	return a->ifindex == b->ifindex && a->port == b->port && a->family == b->family && a->kind == b->kind;
}

static int too_many_clients(const struct rule *rule)
{
	char text[RDDR_ADDR_TEXT], port[24] = "on all ports";

	if (rule->port)
		snprintf(port, sizeof(port), "port %u", rule->port);
	log_error("steering: service %s: destination %s %s has more than %u sets of clients, of its own and of the "
		  "prefixes that cover it",
		  rule->service->name, rddr_prefix_format(&rule->destination, text, sizeof(text)), port,
		  RDDR_ALTERNATIVES_MAX);
	return -ENOSPC;
}

/* Puts the alternative behind the others, unless one of them holds all its clients already. */
static int alternative_add(struct steering_entry *entry, const struct line *line, bool inherited)
{
	struct rddr_service *s = &entry->value;

	for (uint32_t i = 0; i < s->n; i++) {
		const struct rddr_alternative *a = &s->alternatives[i];

		if (a->client_bits <= line->alternative.client_bits &&
		    same_under(a->client, line->alternative.client, a->mask))
			return 0;
	}
	if (s->n == RDDR_ALTERNATIVES_MAX && entry->key.kind == RDDR_KEY_ADDRESS) {
		/* Too many to tell apart: what carries no port is everybody's then. */
		memset(&s->alternatives[0], 0, sizeof(s->alternatives[0]));
		s->n = 1;
		return 0;
	}
	if (s->n == RDDR_ALTERNATIVES_MAX)
		return too_many_clients(line->rule);
	s->alternatives[s->n] = line->alternative;
	if (inherited)
		s->alternatives[s->n].flags |= RDDR_SERVICE_INHERITED;
	s->n++;
	return 0;
}

/* The entry of one key: its own rules, then those of every destination prefix that covers it, in the order of the
 * rules. */
static int entry_fill(struct steering_entry *entry, const struct lines *lines, const struct line *first)
{
	entry->key = first->key;
	for (size_t i = 0; i < lines->n; i++) {
		const struct line *line = &lines->items[i];
		int err;

		if (line->bits > first->bits || !same_class(&line->key, &first->key) ||
		    !same_under(line->key.addr, first->key.addr, line->mask))
			continue;
		err = alternative_add(entry, line, line->bits < first->bits);
		if (err)
			return err;
	}
	return 0;
}

static uint32_t class_of(const struct rddr_service_key *key)
{
	if (key->kind == RDDR_KEY_ADDRESS)
		return key->ifindex ? RDDR_CLASS_ADDRESS_INTERFACE : RDDR_CLASS_ADDRESS;
	if (key->port)
		return key->ifindex ? RDDR_CLASS_PORT_INTERFACE : RDDR_CLASS_PORT;
	return key->ifindex ? RDDR_CLASS_INTERFACE : RDDR_CLASS_ANY;
}

static bool has_key(const struct steering_table *table, const struct rddr_service_key *key)
{
	for (size_t i = 0; i < table->n; i++) {
		if (!memcmp(&table->entries[i].key, key, sizeof(*key)))
			return true;
	}
	return false;
}

static struct steering_entry *entry_add(struct steering_table *table)
{
	if (table->n == RDDR_SERVICES_MAX)
		return NULL;
	return &table->entries[table->n++];
}

/* The services' names, for whoever lists the table. */
static int names_add(const struct config *config, struct steering_table *table)
{
	for (size_t i = 0; i < config->n_services; i++) {
		struct steering_entry *entry;

		if (config->services[i]->n_rules == 0)
			continue;
		entry = entry_add(table);
		if (!entry)
			return -ENOSPC;
		entry->key.prefixlen = RDDR_KEY_BITS + 32;
		entry->key.port = (uint16_t)i;
		entry->key.kind = RDDR_KEY_NAME;
		strncpy(entry->value.name, config->services[i]->name, sizeof(entry->value.name) - 1);
	}
	return 0;
}

static int fill(const struct config *config, const struct lines *lines, struct steering_table *table)
{
	int err = names_add(config, table);

	for (size_t i = 0; i < lines->n && !err; i++) {
		struct steering_entry *entry;

		if (has_key(table, &lines->items[i].key))
			continue;
		entry = entry_add(table);
		if (!entry)
			err = -ENOSPC;
		else
			err = entry_fill(entry, lines, &lines->items[i]);
		table->classes |= class_of(&lines->items[i].key);
	}
	if (err == -ENOSPC && table->n == RDDR_SERVICES_MAX)
		log_error("steering: the service table is full: it has %u entries, too few for the config's %zu rules "
			  "(a rule takes two, and four when it is for both IPv4 and IPv6)",
			  RDDR_SERVICES_MAX, config->n_rules);
	return err;
}

static int build(const struct config *config, unsigned (*ifindex)(const char *name), size_t *skipped,
		 struct steering_table *out)
{
	struct steering_table table = {0};
	struct lines lines = {0};
	int err;

	table.entries = calloc(RDDR_SERVICES_MAX, sizeof(*table.entries));
	if (!table.entries)
		return -ENOMEM;
	err = collect(config, ifindex, &lines, skipped);
	if (!err)
		err = fill(config, &lines, &table);
	free(lines.items);
	if (err) {
		rddr_steering_table_free(&table);
		return err;
	}
	*out = table;
	return 0;
}

int rddr_steering_table_build(const struct config *config, unsigned (*ifindex)(const char *name),
			      struct steering_table *out)
{
	size_t skipped = 0;
	int err = build(config, ifindex, &skipped, out);

	if (!err)
		out->skipped = skipped;
	return err;
}

int rddr_steering_table_check(const struct config *config, unsigned (*ifindex)(const char *name))
{
	struct steering_table table;
	int err = build(config, ifindex, NULL, &table);

	if (!err)
		rddr_steering_table_free(&table);
	return err;
}

void rddr_steering_table_free(struct steering_table *table)
{
	free(table->entries);
	memset(table, 0, sizeof(*table));
}
