/* SPDX-License-Identifier: BSD-2-Clause */
#include "metrics.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_LINE 64
#define NO_PART	   UINT32_MAX

/* Begins and ends at a cache line, so that two threads never write the same one. */
struct part {
	_Alignas(CACHE_LINE) atomic_uint_least64_t counters[METRICS];
};

struct metrics_set {
	char *name;
	struct metrics_set *next;
	/* Made by the thread that writes it, when it first counts: few of the 64 workers that are possible are ever
	 * there. */
	struct part *_Atomic parts[METRICS_PARTS];
	/* For threads without a part of their own, and for want of memory: shared, so with real additions. */
	struct part shared;
};

static struct metrics_set own; /* the daemon's, and the head of the list */
static struct metrics_set *last = &own;
static _Thread_local uint32_t this_part = NO_PART;

static const struct {
	const char *name, *help;
} metrics[] = {
#define X(name, help) {#name, help},
	METRICS_COUNTERS(X)
#undef X
};

_Static_assert(sizeof(metrics) / sizeof(metrics[0]) == METRICS, "every counter has a name");

struct metrics_set *rddr_metrics_set(const char *name)
{
	struct metrics_set *set;

	if (!name)
		return &own;
	for (set = own.next; set; set = set->next)
		if (!strcmp(set->name, name))
			return set;

	set = aligned_alloc(CACHE_LINE, sizeof(*set));
	if (!set)
		return NULL;
	memset(set, 0, sizeof(*set));
	set->name = strdup(name);
	if (!set->name) {
		free(set);
		return NULL;
	}
	last->next = set;
	last = set;
	return set;
}

void rddr_metrics_thread(unsigned part)
{
	this_part = part < METRICS_PARTS ? part : NO_PART;
}

/* The calling thread's part of the set, or NULL when it has none. */
static struct part *part_of(struct metrics_set *set)
{
	struct part *part;

	if (this_part == NO_PART)
		return NULL;
	part = atomic_load_explicit(&set->parts[this_part], memory_order_relaxed);
	if (part)
		return part;
	part = aligned_alloc(CACHE_LINE, sizeof(*part));
	if (!part)
		return NULL;
	memset(part, 0, sizeof(*part));
	atomic_store_explicit(&set->parts[this_part], part, memory_order_release);
	return part;
}

void rddr_metrics_add(struct metrics_set *set, enum metric metric, uint64_t n)
{
	struct part *part = part_of(set);
	atomic_uint_least64_t *counter;

	if (!part) {
		atomic_fetch_add_explicit(&set->shared.counters[metric], n, memory_order_relaxed);
		return;
	}
	/* Nobody else writes it: a load and a store are enough, without the price of an atomic addition. */
	counter = &part->counters[metric];
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

uint64_t rddr_metrics_read(const struct metrics_set *set, enum metric metric)
{
	uint64_t sum = atomic_load_explicit(&set->shared.counters[metric], memory_order_relaxed);

	for (unsigned i = 0; i < METRICS_PARTS; i++) {
		const struct part *part = atomic_load_explicit(&set->parts[i], memory_order_acquire);

		if (part)
			sum += atomic_load_explicit(&part->counters[metric], memory_order_relaxed);
	}
	return sum;
}

const char *rddr_metrics_name(enum metric metric)
{
	return (unsigned)metric < METRICS ? metrics[metric].name : "unknown";
}

const char *rddr_metrics_help(enum metric metric)
{
	return (unsigned)metric < METRICS ? metrics[metric].help : "";
}

const char *rddr_metrics_set_name(const struct metrics_set *set)
{
	return set->name;
}

void rddr_metrics_each(void (*each)(void *ctx, const struct metrics_set *set), void *ctx)
{
	for (const struct metrics_set *set = &own; set; set = set->next)
		each(ctx, set);
}
