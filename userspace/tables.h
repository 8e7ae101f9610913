/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tables.h - what the sessions of a service know together: tables of short keys and values with an expiry.
 *
 * A table is shared by all workers and lives as long as the process, so it survives reloads. Reading takes no lock and
 * never waits for a writer to finish something long: each of a table's shards has a sequence number, and a reader whose
 * shard changed under it reads again. Entries lie one behind the other in a ring of bytes that each shard has; a new
 * one takes the place of the oldest. So memory is bounded, and the oldest go first whatever the limit is that was
 * reached.
 */
#ifndef RDDR_TABLES_H
#define RDDR_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RDDR_TABLES_KEY_MAX	1024 /* bytes */
#define RDDR_TABLES_VALUE_MAX	8192 /* bytes */
#define RDDR_TABLES_ENTRIES_MAX 1000000

struct tables; /* those of one service */
struct rddr_table;

/* The tables of the service of that name, made when they are new. Any thread. NULL: out of memory. */
struct tables *rddr_tables_of(const char *service);

/*
 * The table of that name, made when it is new, with room for entries of them (bounded; the first caller's number
 * counts) at about 256 bytes each. Any thread; takes a lock, so sessions ask once. NULL: out of memory.
 */
struct rddr_table *rddr_tables_table(struct tables *tables, const char *name, size_t entries);

/* The same when it exists; NULL: it does not. */
struct rddr_table *rddr_tables_find(struct tables *tables, const char *name);

/* *len is the room on the way in and the value's length on the way out. False: no such key, or it expired, or the value
 * does not fit. */
bool rddr_tables_get(struct rddr_table *table, const void *key, size_t keylen, void *value, size_t *len);

/* Puts or replaces; what is put again is not among the oldest any more. ttl in seconds, at least 1. False: key or value
 * is empty or too long. */
bool rddr_tables_put(struct rddr_table *table, const void *key, size_t keylen, const void *value, size_t len,
		     uint32_t ttl);

/* Entries, expired ones that nobody has taken the place of included. */
size_t rddr_tables_count(const struct rddr_table *table);

/* Calls each for every entry that has not expired, the oldest of each shard first; holds the shard's lock meanwhile. */
void rddr_tables_each(struct rddr_table *table,
		      void (*each)(void *ctx, const void *key, size_t keylen, const void *value, size_t len,
				   uint32_t ttl),
		      void *ctx);

/* Forgets everything. */
void rddr_tables_clear(struct rddr_table *table);

#endif
