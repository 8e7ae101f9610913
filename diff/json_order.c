/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_order.h"

#include <errno.h>
#include <stdlib.h>

#include "spans.h"

/* Orders values of one document, by what it is told of the way to them. */
struct order {
	struct json_doc *doc;
	struct json_way *way;
	uint32_t array;
	uint64_t *worth; /* of each node from the array on; NULL: what is written counts */
};

struct item {
	uint32_t node;
	uint32_t place;
	bool taken;	/* somebody else's has this place, too */
	uint32_t n;	/* keys, */
	uint64_t *keys; /* in their order */
};

static int order_values(const struct order *o, uint32_t a, uint32_t b);

static int order_members(const struct order *o, const struct json_node *x, const struct json_node *y)
{
	const struct json_doc *doc = o->doc;
	struct json_way *way = o->way;
	uint32_t a = x->child, b = y->child;
	int order = 0;

	while (order == 0 && a != JSON_NONE && b != JSON_NONE) {
		const struct json_node *m = &doc->nodes[a], *n = &doc->nodes[b];

		if (x->type == JSON_OBJECT) {
			order = slice_order(rddr_json_text(doc, m->key), rddr_json_text(doc, n->key));
			way->path[way->depth] = rddr_json_text(doc, m->key);
		} else {
			way->path[way->depth] = slice_of("0");
		}
		way->depth++;
		if (order == 0)
			order = order_values(o, a, b);
		way->depth--;
		a = m->next;
		b = n->next;
	}
	return order ? order : (a != JSON_NONE) - (b != JSON_NONE);
}

static int order_values(const struct order *o, uint32_t a, uint32_t b)
{
	const struct json_node *x = &o->doc->nodes[a], *y = &o->doc->nodes[b];
	const struct field_rule *rule = rddr_rules_pointer(o->way->rules, o->way->path, o->way->depth);
	struct slice s = rddr_json_text(o->doc, x->text), t = rddr_json_text(o->doc, y->text);

	/* What is not compared decides nothing here either. */
	if (rule && rule->action != RULE_COMPARE)
		return 0;
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->type == JSON_ARRAY || x->type == JSON_OBJECT)
		return order_members(o, x, y);
	if (o->worth) {
		uint64_t v = o->worth[a - o->array], w = o->worth[b - o->array];

		return (v > w) - (v < w);
	}
	if (x->type == JSON_NUMBER)
		return rddr_json_order_numbers(s, t);
	return slice_order(s, t);
}

static int order_keys(const struct item *x, const struct item *y)
{
	for (uint32_t i = 0; i < x->n && i < y->n; i++)
		if (x->keys[i] != y->keys[i])
			return x->keys[i] < y->keys[i] ? -1 : 1;
	return (x->n > y->n) - (x->n < y->n);
}

static int by_value(const void *a, const void *b, void *ctx)
{
	const struct item *x = a, *y = b;
	int order = order_keys(x, y);

	if (order == 0)
		order = order_values(ctx, x->node, y->node);
	return order ? order : (x->node > y->node) - (x->node < y->node);
}

/* Nodes are numbered as they were written, so what lies in a value lies between it and the next one's number. */
static int sort_keys_within(struct json_doc *doc, uint32_t node, uint32_t *end)
{
	uint32_t last = node;

	for (uint32_t i = node; i <= last && i < doc->n; i++) {
		for (uint32_t m = doc->nodes[i].child; m != JSON_NONE; m = doc->nodes[m].next)
			last = m > last ? m : last;
		if (doc->nodes[i].type == JSON_OBJECT && rddr_json_sort_keys(doc, i) < 0)
			return -ENOMEM;
	}
	*end = last + 1;
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Gives the items, which are in the order in which they were written, their keys, which go to room. */
static void set_keys(const struct order *o, struct item items[], uint32_t n, uint32_t end, uint64_t *room)
{
	for (uint32_t i = 0; i < n; i++) {
		uint32_t to = i + 1 < n ? items[i + 1].node : end;

		items[i].keys = room;
		for (uint32_t node = items[i].node; node < to; node++)
			if (o->worth[node - o->array])
				items[i].keys[items[i].n++] = o->worth[node - o->array];
		if (items[i].n > 1)
			qsort(items[i].keys, items[i].n, sizeof(items[i].keys[0]), by_number);
		room += items[i].n;
	}
}

static int order_first(const struct item *x, const struct item *y)
{
	uint64_t v = x->n ? x->keys[0] : 0, w = y->n ? y->keys[0] : 0;

	return (v > w) - (v < w);
}

static bool is_single(const struct item items[], uint32_t n, uint32_t i,
		      int (*order)(const struct item *x, const struct item *y))
{
	return (i == 0 || order(&items[i - 1], &items[i]) != 0) && (i + 1 == n || order(&items[i], &items[i + 1]) != 0);
}

/* The first key may do; what comes behind it may well agree by chance only. */
static void tell_sure(const struct item items[], uint32_t n, uint64_t sure[])
{
	for (uint32_t i = 0; i < n; i++) {
		bool first = is_single(items, n, i, order_first);
		uint32_t keys = first && items[i].n > 1 ? 1 : items[i].n;
		const struct slice bytes = {(const uint8_t *)items[i].keys, keys * sizeof(items[i].keys[0])};
		bool single = first || is_single(items, n, i, order_keys);

		sure[items[i].place] = single ? rddr_spans_hash(rddr_spans_seed(), bytes) | 1 : 0;
	}
}

/* ---- one document beside another ---- */

static int order_none(const struct item *x, const struct item *y)
{
	(void)x;
	(void)y;
	return 0;
}

/* Gives the items that have no place yet those of free ones that are equal; both are in order. */
static void match(struct item ref[], struct item own[], uint32_t n,
		  int (*order)(const struct item *x, const struct item *y))
{
	uint32_t i = 0, j = 0;

	while (i < n && j < n) {
		int o = ref[i].taken ? -1 : own[j].place != JSON_NONE ? 1 : order(&ref[i], &own[j]);

		if (o == 0) {
			own[j].place = i;
			ref[i].taken = true;
		}
		i += o <= 0;
		j += o >= 0;
	}
}

/*
 * Lets each stand where the first document has the one with the same keys, or else with the same first key: so one that
 * differs does not move the others.
 */
static void place_beside(struct item ref[], struct item own[], uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		ref[i].taken = false;
		own[i].place = JSON_NONE;
	}
	match(ref, own, n, order_keys);
	match(ref, own, n, order_first);
	match(ref, own, n, order_none);
}

/* ---- for users ---- */

static int sort_items(struct order *o, struct item items[], const struct json_keys *keys)
{
	struct json_doc *doc = o->doc;
	uint32_t n = 0, end;

	if (sort_keys_within(doc, o->array, &end) < 0)
		return -ENOMEM;
	for (uint32_t m = doc->nodes[o->array].child; m != JSON_NONE; m = doc->nodes[m].next)
		items[n++].node = m;
	if (keys) {
		size_t nodes = end - o->array;

		o->worth = calloc(2 * nodes, sizeof(*o->worth));
		if (!o->worth)
			return -ENOMEM;
		rddr_json_keys_fill(keys, doc, o->array, o->way, o->worth);
		set_keys(o, items, n, end, o->worth + nodes);
	}
	rddr_json_put_key(o->way->trail, o->way->path, o->way->depth++, slice_of("0"));
	qsort_r(items, n, sizeof(*items), by_value, o);
	o->way->depth--;
	for (uint32_t i = 0; i < n; i++)
		items[i].place = i;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return (x->place > y->place) - (x->place < y->place);
}

static void link_items(struct json_doc *doc, uint32_t array, struct item items[], uint32_t n)
{
	qsort(items, n, sizeof(*items), by_place);
	doc->nodes[array].child = items[0].node;
	for (uint32_t i = 0; i < n; i++)
		doc->nodes[items[i].node].next = i + 1 < n ? items[i + 1].node : JSON_NONE;
}

int rddr_json_sort_items(struct json_doc docs[], const uint32_t arrays[], unsigned n, uint32_t absent,
			 struct json_way *way, const struct json_keys *keys, uint64_t sure[])
{
	struct order first = {0};
	struct item *ref = NULL;
	uint32_t count = 0;
	int r = 0;

	for (unsigned i = 0; i < n && r == 0; i++) {
		struct order order = {.doc = &docs[i], .way = way, .array = arrays[i]};
		struct item *items;

		if (absent >> i & 1)
			continue;
		count = docs[i].nodes[arrays[i]].count;
		if (count == 0)
			break;
		items = calloc(count, sizeof(*items));
		r = items ? sort_items(&order, items, keys) : -ENOMEM;
		if (r == 0 && keys) {
			if (ref)
				place_beside(ref, items, count);
			tell_sure(items, count, sure + (size_t)i * count);
		}
		if (r == 0)
			link_items(&docs[i], arrays[i], items, count);
		if (ref || !keys || r < 0) {
			free(items);
			free(order.worth);
		} else {
			ref = items;
			first = order;
		}
	}
	free(ref);
	free(first.worth);
	return r;
}
