/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steering_table.h - turns a config's rules into the entries of the kernel's service table. Touches no kernel.
 *
 * The table is a longest-prefix trie, looked up class by class (see RDDR_CLASS_* in shared.h). What the trie's longest
 * match does not see, rules with shorter destination prefixes that cover an entry's, is copied into the entry behind
 * its own alternatives: so one lookup a class gives the rule that rddr_config_match gives.
 */
#ifndef RDDR_STEERING_TABLE_H
#define RDDR_STEERING_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "shared.h"

struct config;

struct steering_entry {
	struct rddr_service_key key;
	struct rddr_service value;
};

struct steering_table {
	struct steering_entry *entries;
	size_t n;
	uint32_t classes; /* RDDR_CLASS_* */
	size_t skipped;	  /* rules left out: their interface does not exist */
};

/*
 * Fills *out, which is freed with rddr_steering_table_free. ifindex gives an interface's number (if_nametoindex), 0 for
 * one that does not exist: its rules are left out, with a warning. -ENOSPC with a message when the table, or an entry
 * of it, is full; -ENOMEM.
 */
int rddr_steering_table_build(const struct config *config, unsigned (*ifindex)(const char *name),
			      struct steering_table *out);
/*
 * Whether the table has room for the config's rules, those of interfaces that do not exist (yet) included. 0, or as
 * rddr_steering_table_build.
 */
int rddr_steering_table_check(const struct config *config, unsigned (*ifindex)(const char *name));
void rddr_steering_table_free(struct steering_table *table);

#endif
