/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_order.h"

#include <errno.h>
#include <stdlib.h>

/* Orders values of one document, by what it is told of the way to them. */
struct order {
	struct json_doc *doc;
	struct json_order *way;
};

static int order_values(const struct order *o, uint32_t a, uint32_t b);

static int order_members(const struct order *o, const struct json_node *x, const struct json_node *y)
{
	const struct json_doc *doc = o->doc;
	struct json_order *way = o->way;
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
	if (x->type == JSON_NUMBER)
		return rddr_json_order_numbers(s, t);
	return slice_order(s, t);
}

static int by_value(const void *a, const void *b, void *ctx)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	int order = order_values(ctx, x, y);

	return order ? order : (x > y) - (x < y);
}

/* Nodes are numbered as they were written, so what lies in a value lies between it and the next one's number. */
static int sort_keys_within(struct json_doc *doc, uint32_t node)
{
	uint32_t last = node;

	for (uint32_t i = node; i <= last && i < doc->n; i++) {
		for (uint32_t m = doc->nodes[i].child; m != JSON_NONE; m = doc->nodes[m].next)
			last = m > last ? m : last;
		if (doc->nodes[i].type == JSON_OBJECT && rddr_json_sort_keys(doc, i) < 0)
			return -ENOMEM;
	}
	return 0;
}

int rddr_json_sort_items(struct json_doc *doc, uint32_t array, struct json_order *way)
{
	struct order order = {.doc = doc, .way = way};
	struct json_node *node = &doc->nodes[array];
	uint32_t *items, n = 0;

	if (node->count < 2)
		return 0;
	items = malloc(node->count * sizeof(*items));
	if (!items || sort_keys_within(doc, array) < 0) {
		free(items);
		return -ENOMEM;
	}
	for (uint32_t m = node->child; m != JSON_NONE; m = doc->nodes[m].next)
		items[n++] = m;
	way->path[way->depth++] = slice_of("0");
	qsort_r(items, n, sizeof(*items), by_value, &order);
	way->depth--;
	node->child = items[0];
	for (uint32_t i = 0; i < n; i++)
		doc->nodes[items[i]].next = i + 1 < n ? items[i + 1] : JSON_NONE;
	free(items);
	return 0;
}
