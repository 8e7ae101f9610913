// SPDX-License-Identifier: BSD-2-Clause
#include "access.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "own.h"

struct zone {
	char *name;
	int parent; /* ACCESS_NOWHERE: none */
};

struct member {
	struct prefix prefix;
	int zone;
};

/* Members of one family and length stand together, the longest first. */
struct run {
	size_t first, n;
	sa_family_t family;
	uint8_t len;
};

#define RUNS (33 + 129)

struct access_zones {
	struct zone zones[ACCESS_ZONES];
	int n;
	struct member *members;
	size_t n_members;
	struct run runs[RUNS];
	unsigned n_runs;
};

int rddr_access_zones_new(struct access_zones **out)
{
	struct access_zones *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	*out = z;
	return 0;
}

void rddr_access_zones_free(struct access_zones **zones)
{
	struct access_zones *z = TAKE_PTR(*zones);

	if (!z)
		return;
	for (int i = 0; i < z->n; i++)
		free(z->zones[i].name);
	free(z->members);
	free(z);
}

int rddr_access_zone_find(const struct access_zones *zones, const char *name)
{
	for (int i = 0; i < zones->n; i++) {
		if (!strcmp(zones->zones[i].name, name))
			return i;
	}
	return -ENOENT;
}

int rddr_access_zone_add(struct access_zones *zones, const char *name)
{
	if (rddr_access_zone_find(zones, name) >= 0)
		return -EEXIST;
	if (zones->n == ACCESS_ZONES)
		return -ENOSPC;
	char *copy = strdup(name);
	if (!copy)
		return -ENOMEM;
	zones->zones[zones->n] = (struct zone){.name = copy, .parent = ACCESS_NOWHERE};
	return zones->n++;
}

const char *rddr_access_zone_name(const struct access_zones *zones, int zone)
{
	return zone >= 0 && zone < zones->n ? zones->zones[zone].name : "-";
}

int rddr_access_zone_parent(struct access_zones *zones, int zone, int parent)
{
	for (int up = parent; up != ACCESS_NOWHERE; up = zones->zones[up].parent) {
		if (up == zone)
			return -ELOOP;
	}
	zones->zones[zone].parent = parent;
	return 0;
}

int rddr_access_zone_prefix(struct access_zones *zones, int zone, const struct prefix *prefix, int *other)
{
	for (size_t i = 0; i < zones->n_members; i++) {
		const struct prefix *p = &zones->members[i].prefix;

		if (p->family != prefix->family || p->len != prefix->len ||
		    memcmp(p->bytes, prefix->bytes, sizeof(p->bytes)) != 0)
			continue;
		*other = zones->members[i].zone;
		return -EEXIST;
	}
	if (zones->n_members == ACCESS_PREFIXES)
		return -ENOSPC;
	struct member *larger = reallocarray(zones->members, zones->n_members + 1, sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	zones->members = larger;
	larger[zones->n_members++] = (struct member){.prefix = *prefix, .zone = zone};
	return 0;
}

static int by_length(const void *pa, const void *pb)
{
	const struct prefix *a = &((const struct member *)pa)->prefix, *b = &((const struct member *)pb)->prefix;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->len != b->len)
		return a->len > b->len ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

void rddr_access_zones_done(struct access_zones *zones)
{
	struct run *run = NULL;

	if (zones->n_members)
		qsort(zones->members, zones->n_members, sizeof(*zones->members), by_length);
	zones->n_runs = 0;
	for (size_t i = 0; i < zones->n_members; i++) {
		const struct prefix *p = &zones->members[i].prefix;

		if (!run || run->family != p->family || run->len != p->len) {
			run = &zones->runs[zones->n_runs++];
			*run = (struct run){.first = i, .family = p->family, .len = p->len};
		}
		run->n++;
	}
}

/* The address's first bits as a prefix's bytes. */
static void cut(const struct addr *a, uint8_t len, uint8_t out[16])
{
	size_t n;
	const uint8_t *bytes = rddr_addr_bytes(a, &n);

	memset(out, 0, 16);
	memcpy(out, bytes, len / 8u);
	if (len % 8)
		out[len / 8] = (uint8_t)(bytes[len / 8] & (0xff00u >> (len % 8)));
}

int rddr_access_zone_of(const struct access_zones *zones, const struct addr *a)
{
	for (unsigned i = 0; i < zones->n_runs; i++) {
		const struct run *run = &zones->runs[i];
		size_t low = run->first, high = run->first + run->n;
		uint8_t key[16];

		if (run->family != a->sa.sa_family)
			continue;
		cut(a, run->len, key);
		while (low < high) {
			size_t middle = low + (high - low) / 2;
			int order = memcmp(key, zones->members[middle].prefix.bytes, sizeof(key));

			if (!order)
				return zones->members[middle].zone;
			if (order < 0)
				high = middle;
			else
				low = middle + 1;
		}
	}
	return ACCESS_NOWHERE;
}

/* ---- rules ---- */

void rddr_access_set_add(struct access_set *set, int zone)
{
	set->bits[zone / 64] |= UINT64_C(1) << (zone % 64);
}

void rddr_access_free(struct access **access)
{
	struct access *a = TAKE_PTR(*access);

	if (!a)
		return;
	for (unsigned i = 0; i < a->n_rules; i++)
		free(a->rules[i].name);
	free(a->rules);
	free(a);
}

/* The zone or one of its parents is in the set. */
static bool holds(const struct access_set *set, const struct access_zones *zones, int zone)
{
	bool found = set->any;

	for (; !found && zone != ACCESS_NOWHERE; zone = zones->zones[zone].parent)
		found = set->bits[zone / 64] & UINT64_C(1) << (zone % 64);
	return found;
}

struct access_decision rddr_access_decide(const struct access *access, const struct addr *client,
					  const struct addr *server)
{
	int from = rddr_access_zone_of(access->zones, client), to = rddr_access_zone_of(access->zones, server);
	struct access_decision decision = {
		.rule = "default",
		.client_zone = rddr_access_zone_name(access->zones, from),
		.server_zone = rddr_access_zone_name(access->zones, to),
	};

	for (unsigned i = 0; i < access->n_rules; i++) {
		const struct access_rule *rule = &access->rules[i];

		if (!holds(&rule->clients, access->zones, from) || !holds(&rule->servers, access->zones, to))
			continue;
		decision.allow = rule->allow;
		decision.rule = rule->name;
		break;
	}
	return decision;
}
