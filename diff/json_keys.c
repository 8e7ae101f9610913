/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_keys.h"

#include <errno.h>
#include <stdlib.h>

#include "spans.h"

/* A value that stands in a field. */
struct entry {
	uint64_t field; /* hash of its path within the item */
	uint32_t node;
	uint32_t rank; /* of the field, where both have the value */
};

struct entries {
	struct entry *list;
	size_t n, room;
};

/* A field in which the pair has something in common. */
struct field {
	size_t first, n; /* values in common that differ from each other */
	bool partial;	 /* there are others, too */
	bool asked, was_noise;
};

struct json_keys {
	const struct json_doc *doc; /* of the entries in common */
	struct entries common;	    /* by field and value, each once */
	struct field *fields;
	size_t n;
};

/* ---- walking ---- */

typedef void visitor(void *ctx, const struct json_doc *doc, uint32_t node, uint64_t field);

static void visit_values(struct json_way *way, const struct json_doc *doc, uint32_t at, uint64_t field, visitor *visit,
			 void *ctx)
{
	const struct json_node *node = &doc->nodes[at];
	const struct field_rule *rule = rddr_rules_pointer(way->rules, way->path, way->depth);

	/* What is not compared tells nothing. */
	if (rule && rule->action != RULE_COMPARE)
		return;
	if (node->type != JSON_ARRAY && node->type != JSON_OBJECT) {
		visit(ctx, doc, at, field);
		return;
	}
	for (uint32_t m = node->child; m != JSON_NONE; m = doc->nodes[m].next) {
		struct slice key = node->type == JSON_OBJECT ? rddr_json_text(doc, doc->nodes[m].key) : slice_of("0");

		rddr_json_put_key(way->trail, way->path, way->depth++, key);
		visit_values(way, doc, m, rddr_spans_hash(rddr_spans_hash(field, slice_of("/")), key), visit, ctx);
		way->depth--;
	}
}

static void visit_items(struct json_way *way, const struct json_doc *doc, uint32_t array, visitor *visit, void *ctx)
{
	rddr_json_put_key(way->trail, way->path, way->depth++, slice_of("0"));
	for (uint32_t m = doc->nodes[array].child; m != JSON_NONE; m = doc->nodes[m].next)
		visit_values(way, doc, m, rddr_spans_seed(), visit, ctx);
	way->depth--;
}

/* ---- entries ---- */

static int order_entries(const struct json_doc *a, const struct entry *x, const struct json_doc *b,
			 const struct entry *y)
{
	const struct json_node *m = &a->nodes[x->node], *n = &b->nodes[y->node];
	struct slice s = rddr_json_text(a, m->text), t = rddr_json_text(b, n->text);

	if (x->field != y->field)
		return x->field < y->field ? -1 : 1;
	if (m->type != n->type)
		return m->type < n->type ? -1 : 1;
	return m->type == JSON_NUMBER ? rddr_json_order_numbers(s, t) : slice_order(s, t);
}

static int by_value(const void *a, const void *b, void *doc)
{
	return order_entries(doc, a, doc, b);
}

static void collect(void *ctx, const struct json_doc *doc, uint32_t node, uint64_t field)
{
	struct entries *e = ctx;

	(void)doc;
	/* There is room for all nodes between the first and the last. */
	e->list[e->n++] = (struct entry){.field = field, .node = node};
}

static void count(void *ctx, const struct json_doc *doc, uint32_t node, uint64_t field)
{
	(void)doc;
	(void)node;
	(void)field;
	((struct entries *)ctx)->room++;
}

/* The values of one document, in order, each once. */
static int gather(struct json_way *way, const struct json_doc *doc, uint32_t array, struct entries *e)
{
	size_t n = 0;

	*e = (struct entries){0};
	visit_items(way, doc, array, count, e);
	e->list = calloc(e->room + 1, sizeof(*e->list));
	if (!e->list)
		return -ENOMEM;
	visit_items(way, doc, array, collect, e);
	qsort_r(e->list, e->n, sizeof(*e->list), by_value, (void *)doc);
	for (size_t i = 0; i < e->n; i++)
		if (n == 0 || order_entries(doc, &e->list[n - 1], doc, &e->list[i]) != 0)
			e->list[n++] = e->list[i];
	e->n = n;
	return 0;
}

/* ---- fields ---- */

/* What is said of a field that comes next, or is the one under way. */
static struct field *field_of(struct json_keys *k, const struct entry *e)
{
	if (k->n == 0 || k->common.list[k->fields[k->n - 1].first].field != e->field)
		k->fields[k->n++] = (struct field){.first = k->common.n};
	return &k->fields[k->n - 1];
}

/*
 * Keeps of one document's entries those that the other has, too: in their place, which is never before the one that is
 * read.
 */
static void intersect(struct json_keys *k, const struct json_doc pair[2], const struct entries *other)
{
	struct entries *e = &k->common;
	size_t all = e->n, i = 0, j = 0;
	uint64_t partial = 0; /* the field in which the last value was seen that only one has */
	bool any = false;

	e->n = 0;
	while (i < all || j < other->n) {
		int order = i == all	    ? 1
			    : j == other->n ? -1
					    : order_entries(&pair[0], &e->list[i], &pair[1], &other->list[j]);
		const struct entry *next = order > 0 ? &other->list[j] : &e->list[i];

		if (order == 0) {
			struct entry both = *next;
			/* The entry is in its place before the field that begins with it is asked for. */
			e->list[e->n] = both;
			struct field *f = field_of(k, &both);

			f->n++;
			f->partial |= any && partial == both.field;
			e->n++;
		} else {
			any = true;
			partial = next->field;
			if (k->n > 0 && e->list[k->fields[k->n - 1].first].field == partial)
				k->fields[k->n - 1].partial = true;
		}
		i += order <= 0;
		j += order >= 0;
	}
}

/* The common value that this is; NULL: it is none. */
static struct entry *find(const struct json_keys *k, const struct json_doc *doc, uint32_t node, uint64_t field)
{
	const struct entry wanted = {.field = field, .node = node};
	size_t from = 0, to = k->common.n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;
		int order = order_entries(doc, &wanted, k->doc, &k->common.list[mid]);

		if (order == 0)
			return &k->common.list[mid];
		if (order < 0)
			to = mid;
		else
			from = mid + 1;
	}
	return NULL;
}

struct inquiry {
	struct json_keys *keys;
	struct json_way *way;
	const struct body_host *host;
	void *ctx;
};

/* A field is asked for once, by its name in the first item. */
static void ask(void *ctx, const struct json_doc *doc, uint32_t node, uint64_t field)
{
	struct inquiry *q = ctx;
	const struct entry *e = find(q->keys, doc, node, field);
	struct field *f = e ? &q->keys->fields[e->rank] : NULL;
	char name[256];

	if (!f || f->asked)
		return;
	f->asked = true;
	rddr_json_field(q->way->trail, q->way->path, q->way->depth, name);
	f->was_noise = q->host->knows_noise(q->ctx, name);
}

static int by_worth(const void *a, const void *b, void *ctx)
{
	const struct json_keys *k = ctx;
	const struct field *x = &k->fields[*(const size_t *)a], *y = &k->fields[*(const size_t *)b];

	if (x->was_noise != y->was_noise)
		return x->was_noise - y->was_noise;
	if (x->partial != y->partial)
		return x->partial - y->partial;
	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* Numbers the fields: those first that were no noise, that the pair agrees in, and that tell most items apart. */
static int rank(struct json_keys *k, struct inquiry *q, uint32_t array)
{
	size_t *turns = calloc(k->n + 1, sizeof(*turns));

	if (!turns)
		return -ENOMEM;
	for (size_t i = 0; i < k->n; i++) {
		turns[i] = i;
		for (size_t e = 0; e < k->fields[i].n; e++)
			k->common.list[k->fields[i].first + e].rank = (uint32_t)i;
	}
	if (q->host->knows_noise)
		visit_items(q->way, k->doc, array, ask, q);
	qsort_r(turns, k->n, sizeof(*turns), by_worth, k);
	for (size_t i = 0; i < k->n; i++) {
		const struct field *f = &k->fields[turns[i]];

		for (size_t e = 0; e < f->n; e++)
			k->common.list[f->first + e].rank = (uint32_t)i;
	}
	free(turns);
	return 0;
}

/* ---- for users ---- */

int rddr_json_keys_new(const struct json_doc pair[2], const uint32_t arrays[2], struct json_way *way,
		       const struct body_host *host, void *ctx, struct json_keys **out)
{
	struct json_keys *k = calloc(1, sizeof(*k));
	struct inquiry q = {.keys = k, .way = way, .host = host, .ctx = ctx};
	struct entries other = {0};
	int r = -ENOMEM;

	if (!k)
		return -ENOMEM;
	k->doc = &pair[0];
	if (gather(way, &pair[0], arrays[0], &k->common) == 0 && gather(way, &pair[1], arrays[1], &other) == 0) {
		k->fields = calloc(k->common.n + 1, sizeof(*k->fields));
		if (k->fields) {
			intersect(k, pair, &other);
			r = rank(k, &q, arrays[0]);
		}
	}
	free(other.list);
	if (r < 0)
		rddr_json_keys_free(&k);
	else
		*out = k;
	return r;
}

void rddr_json_keys_free(struct json_keys **keys)
{
	if (!*keys)
		return;
	free((*keys)->common.list);
	free((*keys)->fields);
	free(*keys);
	*keys = NULL;
}

struct filling {
	const struct json_keys *keys;
	uint32_t array;
	uint64_t *of;
};

static void put(void *ctx, const struct json_doc *doc, uint32_t node, uint64_t field)
{
	struct filling *f = ctx;
	const struct entry *e = find(f->keys, doc, node, field);

	if (e)
		f->of[node - f->array] = ((uint64_t)e->rank << 32) + (uint64_t)(e - f->keys->common.list) + 1;
}

void rddr_json_keys_fill(const struct json_keys *keys, const struct json_doc *doc, uint32_t array, struct json_way *way,
			 uint64_t of[])
{
	struct filling f = {.keys = keys, .array = array, .of = of};

	visit_items(way, doc, array, put, &f);
}
