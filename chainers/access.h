/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * access.h - who may reach which server: zones, and the rules of a service over them.
 *
 * A zone is a named set of prefixes; an address belongs to the zone of the longest prefix that holds it, and so to that
 * zone's parents. A service's rules are tried in order, the first that matches decides; where none does, the answer is
 * no. Made by the reader of the config, read only afterwards.
 */
#ifndef RDDR_ACCESS_H
#define RDDR_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"

#define ACCESS_ZONES	256
#define ACCESS_PREFIXES 4096
#define ACCESS_RULES	256
#define ACCESS_NOWHERE	(-1) /* the zone of an address that is in none */

struct access_zones;

/* Zones of a rule; any: every address, in a zone or not. */
struct access_set {
	bool any;
	uint64_t bits[ACCESS_ZONES / 64];
};

struct access_rule {
	char *name;
	bool allow;
	struct access_set clients, servers;
};

struct access {
	const struct access_zones *zones; /* the config's */
	struct access_rule *rules;
	unsigned n_rules;
};

struct access_decision {
	bool allow;
	const char *rule;		       /* its name; "default" where none matched */
	const char *client_zone, *server_zone; /* "-": none */
};

/* ---- zones ---- */

int rddr_access_zones_new(struct access_zones **out);
/* Takes NULL, nulls the pointer. */
void rddr_access_zones_free(struct access_zones **zones);
/* Its number; -ENOMEM, -EEXIST, -ENOSPC. */
int rddr_access_zone_add(struct access_zones *zones, const char *name);
/* Its number, or -ENOENT. */
int rddr_access_zone_find(const struct access_zones *zones, const char *name);
const char *rddr_access_zone_name(const struct access_zones *zones, int zone);
/* -ELOOP: the parent is the zone itself, or below it. */
int rddr_access_zone_parent(struct access_zones *zones, int zone, int parent);
/* -EEXIST: another zone has it (*other); -ENOSPC, -ENOMEM. AF_UNSPEC is no prefix here. */
int rddr_access_zone_prefix(struct access_zones *zones, int zone, const struct prefix *prefix, int *other);
/* Once all prefixes are there. */
void rddr_access_zones_done(struct access_zones *zones);
/* The zone of an address, or ACCESS_NOWHERE. */
int rddr_access_zone_of(const struct access_zones *zones, const struct addr *a);

/* ---- rules ---- */

void rddr_access_set_add(struct access_set *set, int zone);
/* Takes NULL, nulls the pointer. */
void rddr_access_free(struct access **access);

struct access_decision rddr_access_decide(const struct access *access, const struct addr *client,
					  const struct addr *server);

#endif
