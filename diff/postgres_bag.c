// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_bag.c - the rows of a result in any order.
 *
 * A row that some have had and others not is kept, with how often each had it. The source's rows are let out whenever
 * none is kept. What is kept, and what of the source waits, is bounded by limits.buffer each.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "postgres_session.h"

#define BUCKETS 1024u

struct row {
	struct row *next;
	uint64_t hash;
	size_t len;
	int32_t had[RDDR_MAX_INSTANCES];
	uint8_t bytes[];
};

struct pg_bag {
	uint64_t seed; /* or an instance could choose rows that all fall into one bucket */
	size_t rows, bytes;
	size_t pending; /* bytes of the source that wait to be let out */
	struct row *bucket[BUCKETS];
};

static uint64_t hash_of(const struct pg_bag *bag, struct slice s)
{
	uint64_t h = bag->seed ^ s.len;

	for (size_t i = 0; i < s.len; i++) {
		h ^= s.data[i];
		h *= 0x100000001b3u;
		h ^= h >> 29;
	}
	return h;
}

static struct pg_bag *open_bag(struct pg_session *s)
{
	if (!s->bag) {
		s->bag = calloc(1, sizeof(*s->bag));
		if (s->bag && getrandom(&s->bag->seed, sizeof(s->bag->seed), 0) != sizeof(s->bag->seed)) {
			free(s->bag);
			s->bag = NULL;
		}
	}
	return s->bag;
}

static bool is_even(const struct pg_call *call, const struct row *row)
{
	for (unsigned i = 1; i < call->n; i++) {
		if (pg_present(call, i) && row->had[i] != row->had[0])
			return false;
	}
	return true;
}

static enum pg_bag_take put(struct pg_session *s, struct pg_bag *bag, unsigned i, struct slice bytes, struct row **out)
{
	if (!bytes.data)
		return PG_BAG_FAILED;
	uint64_t hash = hash_of(bag, bytes);
	struct row **at = &bag->bucket[hash % BUCKETS];

	while (*at && !((*at)->hash == hash && slice_equal((struct slice){(*at)->bytes, (*at)->len}, bytes)))
		at = &(*at)->next;
	if (!*at) {
		if (bag->bytes + bytes.len + sizeof(struct row) > s->limit)
			return PG_BAG_FULL;
		struct row *row = calloc(1, sizeof(*row) + bytes.len);

		if (!row)
			return PG_BAG_FAILED;
		row->hash = hash;
		row->len = bytes.len;
		memcpy(row->bytes, bytes.data, bytes.len);
		row->next = NULL;
		*at = row;
		bag->rows++;
		bag->bytes += sizeof(*row) + bytes.len;
	}
	(*at)->had[i]++;
	*out = *at;
	return PG_BAG_TOOK;
}

static void drop(struct pg_bag *bag, struct row *row)
{
	struct row **at = &bag->bucket[row->hash % BUCKETS];

	while (*at != row)
		at = &(*at)->next;
	*at = row->next;
	bag->rows--;
	bag->bytes -= sizeof(*row) + row->len;
	free(row);
}

enum pg_bag_take rddr_pg_bag_row(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	const struct slice whole = slice_cut(pg_rest(call, i), 0, m->whole);
	struct pg_bag *bag = open_bag(s);
	struct row *row = NULL;

	if (!bag)
		return PG_BAG_FAILED;
	if (i == 0 && bag->pending + m->whole > s->limit)
		return PG_BAG_FULL;
	enum pg_bag_take take = put(s, bag, i, whole, &row);
	if (take != PG_BAG_TOOK)
		return take;
	call->at[i] += m->whole;
	call->result->consumed[i] = call->at[i];
	if (i == 0) {
		bag->pending += m->whole;
		s->rows++;
		rddr_pg_lead_consumed(s, m->whole);
	}
	if (is_even(call, row))
		drop(bag, row);
	if (!bag->rows && bag->pending) {
		s->host->release(s->handle, bag->pending);
		bag->pending = 0;
	}
	return PG_BAG_TOOK;
}

bool rddr_pg_bag_balanced(const struct pg_session *s, unsigned *i, unsigned *k)
{
	*i = *k = 0;
	for (unsigned b = 0; b < BUCKETS && !rddr_pg_bag_empty(s); b++) {
		const struct row *row = s->bag->bucket[b];

		if (!row)
			continue;
		for (unsigned j = 0; j < s->n; j++) {
			*i = row->had[j] > row->had[*i] ? j : *i;
			*k = row->had[j] < row->had[*k] ? j : *k;
		}
		return false;
	}
	return true;
}

bool rddr_pg_bag_empty(const struct pg_session *s)
{
	return !s->bag || !s->bag->rows;
}

void rddr_pg_bag_free(struct pg_session *s)
{
	for (unsigned b = 0; s->bag && b < BUCKETS; b++) {
		while (s->bag->bucket[b])
			drop(s->bag, s->bag->bucket[b]);
	}
	free(s->bag);
	s->bag = NULL;
}
