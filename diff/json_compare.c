/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_compare.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_order.h"
#include "json_path.h"
#include "json_spell.h"
#include "span_limits.h"
#include "spans.h"

/* What was seen of how instance 0 spells its strings, or its numbers. */
struct spelling {
	uint32_t same;	 /* a bit for each instance, but the twin, that has spelled all that is compared so */
	const char *why; /* the first that is irregular; NULL: none is */
	size_t at;
	struct slice text;
	char where[160];
};

/* One walk over all documents at once. */
struct walk {
	struct body *body;
	struct json_docs *docs;
	struct body_result *result;
	unsigned first; /* instance that is present */
	unsigned depth;
	struct slice path[JSON_DEPTH];
	struct json_trail trail;
	char numbers[JSON_DEPTH][12]; /* texts of array indices in the path */
	struct spans_result spans;
	unsigned unsure; /* items under way of which it is not sure that they belong together */
	bool spelled;	 /* instance 0 takes part */
	struct json_habits habits;
	struct spelling string_spelling, number_spelling;
};

/* The node that each instance has in one place. */
struct place {
	uint32_t at[RDDR_MAX_INSTANCES];
};

static enum rddr_verdict compare_values(struct walk *w, const struct place *place);

static bool present(const struct walk *w, unsigned i)
{
	return !(w->docs->absent >> i & 1);
}

static struct json_node *node_of(const struct walk *w, const struct place *place, unsigned i)
{
	return &w->docs->doc[i].nodes[place->at[i]];
}

static struct slice written(const struct walk *w, const struct place *place, unsigned i)
{
	const struct json_node *node = node_of(w, place, i);

	return slice_cut(w->docs->doc[i].text, node->at, node->len);
}

static struct slice content(const struct walk *w, const struct place *place, unsigned i)
{
	return rddr_json_text(&w->docs->doc[i], node_of(w, place, i)->text);
}

/* ---- pointers ---- */

static void put_where(struct walk *w)
{
	struct rddr_finding *f = &w->result->finding;

	rddr_json_pointer(w->path, w->depth, f->where, sizeof(f->where));
	if (w->depth == 0)
		snprintf(f->where, sizeof(f->where), "the JSON document");
}

static void name_field(struct walk *w, char field[256])
{
	rddr_json_field(&w->trail, w->path, w->depth, field);
}

/* ---- divergences ---- */

static enum rddr_verdict diverge(struct walk *w, const struct place *place, unsigned who, unsigned other,
				 const char *why)
{
	char here[SPANS_SHOWN], there[SPANS_SHOWN];

	put_where(w);
	if (!why)
		return rddr_body_diverge(w->result, who, other, node_of(w, place, who)->at, "%s, where %s was expected",
					 rddr_spans_show(written(w, place, who), here),
					 rddr_spans_show(written(w, place, other), there));
	return rddr_body_diverge(w->result, who, other, node_of(w, place, who)->at, "%s: %s", why,
				 rddr_spans_show(written(w, place, who), here));
}

static enum rddr_verdict no_memory(struct walk *w)
{
	put_where(w);
	return rddr_body_diverge(w->result, w->first, w->first == 0 && w->docs->n > 1, 0, "out of memory");
}

/* Finds who stands alone in a value that each has: the first that has not the most common one. False: all agree. */
static bool odd_one(const struct walk *w, const uint32_t values[], unsigned *who, unsigned *other)
{
	unsigned most = 0;

	for (unsigned i = 0; i < w->docs->n; i++) {
		unsigned votes = 0;

		if (!present(w, i))
			continue;
		for (unsigned k = 0; k < w->docs->n; k++)
			votes += present(w, k) && values[k] == values[i];
		if (votes > most) {
			most = votes;
			*other = i;
		}
	}
	for (*who = 0; *who < w->docs->n; (*who)++)
		if (present(w, *who) && values[*who] != values[*other])
			return true;
	return false;
}

/* ---- spelling ---- */

/* Whom instance 0 can be held to: all but its twin. */
static uint32_t witnesses(const struct walk *w)
{
	uint32_t who = 0;

	for (unsigned i = w->docs->filter ? 2 : 1; i < w->docs->n; i++)
		who |= (uint32_t)present(w, i) << i;
	return who;
}

/* How instance i has written its key, string (without its quotes) or number there. */
static struct slice spelled(const struct walk *w, const struct place *place, unsigned i, bool key)
{
	struct slice text;

	if (key)
		return rddr_json_key_written(&w->docs->doc[i], place->at[i]);
	text = written(w, place, i);
	return node_of(w, place, i)->type == JSON_STRING ? slice_cut(text, 1, text.len - 2) : text;
}

/* Looks at what is the same for all in what it means, or is noise. */
static void look_at(struct walk *w, struct spelling *s, const struct place *place, bool key, bool noise)
{
	struct slice text;
	const char *why = NULL;
	bool regular;

	if (!w->spelled)
		return;
	text = spelled(w, place, 0, key);
	for (unsigned i = 1; !noise && s->same >> i; i++)
		if ((s->same >> i & 1) && !slice_equal(spelled(w, place, i, key), text))
			s->same &= ~(1U << i);
	if (s->why)
		return;
	regular = s == &w->number_spelling ? rddr_json_number_regular(&w->habits, text, &why)
					   : rddr_json_string_regular(&w->habits, text, &why);
	if (regular)
		return;
	s->why = why;
	s->text = text;
	s->at = (size_t)(text.data - w->docs->doc[0].text.data);
	put_where(w);
	memcpy(s->where, w->result->finding.where, sizeof(s->where));
}

/* What is noise is charged as it is written; yet a string may be noise in a part of it only. */
static void look_at_scalar(struct walk *w, const struct place *place, bool noise)
{
	enum json_kind type = node_of(w, place, w->first)->type;

	if (type == JSON_STRING)
		look_at(w, &w->string_spelling, place, false, noise);
	if (type == JSON_NUMBER && !noise)
		look_at(w, &w->number_spelling, place, false, false);
}

/* What goes out may be spelled irregularly only where somebody has spelled it so who is not instance 0's twin. */
static enum rddr_verdict judge_spelling(struct walk *w, const struct spelling *s)
{
	unsigned other = w->docs->filter ? 2 : 1;
	char shown[SPANS_SHOWN];

	if (!s->why || s->same)
		return RDDR_AGREE;
	while (other + 1 < w->docs->n && !present(w, other))
		other++;
	memcpy(w->result->finding.where, s->where, sizeof(s->where));
	return rddr_body_diverge(w->result, 0, other, s->at, "is written as no other instance has it, with %s: %s",
				 s->why, rddr_spans_show(s->text, shown));
}

/* ---- scalars ---- */

static bool same_value(const struct walk *w, const struct place *place, unsigned i, unsigned k)
{
	if (node_of(w, place, i)->type == JSON_NUMBER)
		return rddr_json_same_number(written(w, place, i), written(w, place, k));
	return slice_equal(content(w, place, i), content(w, place, k));
}

/* The first that differs from instance k, from from on; n when there is none. */
static unsigned differs(const struct walk *w, const struct place *place, unsigned from, unsigned k)
{
	for (unsigned i = from; i < w->docs->n; i++)
		if (present(w, i) && !same_value(w, place, i, k))
			return i;
	return w->docs->n;
}

/* Whether instance i's value may stand where the pair has its own. */
static bool fits(const struct walk *w, const struct place *place, unsigned i, const char **why)
{
	struct span_limits limits;

	*why = "";
	/* There is no other boolean to be had. */
	if (node_of(w, place, i)->type == JSON_BOOLEAN)
		return true;
	rddr_span_limits_set(&limits, content(w, place, 0), content(w, place, 1));
	/* It is a number for sure: that is all a class could say. */
	if (node_of(w, place, i)->type == JSON_NUMBER)
		limits.class = NOISE_CLASS_TOKEN;
	return rddr_span_limits_hold(&limits, content(w, place, i), why);
}

static void collect(const struct walk *w, const struct place *place, struct slice values[])
{
	for (unsigned i = 0; i < w->docs->n; i++)
		values[i] = present(w, i) ? content(w, place, i) : (struct slice){0};
}

static bool was_noise(const struct walk *w, const char *field)
{
	const struct body_conf *conf = &w->body->conf;

	return conf->host->was_noise && conf->host->was_noise(conf->ctx, field);
}

/*
 * Notes that instance 0's value, or len bytes of it, is noise, and tells of it. What may not belong together is nothing
 * to translate.
 */
static enum rddr_verdict note(struct walk *w, const char *field, size_t at, size_t len, const struct slice values[])
{
	const struct body_conf *conf = &w->body->conf;

	if (rddr_body_unit_noise(w->body, at, len) < 0)
		return no_memory(w);
	if (conf->host->noise)
		conf->host->noise(conf->ctx, field, w->unsure ? NULL : values, conf->n);
	return RDDR_AGREE;
}

/* A number or a boolean: noise as a whole. */
static enum rddr_verdict compare_whole(struct walk *w, const struct place *place)
{
	bool pair_differs = !same_value(w, place, 0, 1);
	struct slice values[RDDR_MAX_INSTANCES];
	const char *why;
	char field[256];

	name_field(w, field);
	if (!pair_differs && !was_noise(w, field))
		return diverge(w, place, differs(w, place, 2, 0), 0, NULL);
	for (unsigned i = 2; i < w->docs->n; i++)
		if (present(w, i) && !fits(w, place, i, &why))
			return diverge(w, place, i, 0, why);
	collect(w, place, values);
	return note(w, field, node_of(w, place, 0)->at, node_of(w, place, 0)->len, values);
}

/* A string: spans of it are noise. */
static enum rddr_verdict compare_text(struct walk *w, const struct place *place)
{
	const struct json_node *node = node_of(w, place, 0);
	struct slice values[RDDR_MAX_INSTANCES];
	bool as_written = node->text.at < w->docs->doc[0].text.len;
	enum spans_verdict verdict;
	char field[256];

	collect(w, place, values);
	verdict = rddr_spans_compare(values, w->docs->n, w->docs->absent, true, &w->spans);
	name_field(w, field);
	if (verdict == SPANS_SAME)
		return RDDR_AGREE;
	if (verdict == SPANS_DIFFER || (verdict == SPANS_CHANCE && !was_noise(w, field)))
		return diverge(w, place, w->spans.instance, w->spans.other, w->spans.why);
	for (size_t k = 0; k < w->spans.n; k++) {
		const struct span *s = &w->spans.spans[k];
		/* Where there are escapes, the whole string is charged, once. */
		size_t at = as_written ? node->text.at + s->at : node->at;
		size_t len = as_written ? s->len : k == 0 ? node->len : 0;

		if (note(w, field, at, len, w->spans.values[k]) == RDDR_DIVERGE)
			return RDDR_DIVERGE;
	}
	return RDDR_AGREE;
}

static enum rddr_verdict compare_scalars(struct walk *w, const struct place *place, bool exact)
{
	uint32_t values[RDDR_MAX_INSTANCES] = {0};
	unsigned who = differs(w, place, w->first + 1, w->first), other = w->first;

	if (who == w->docs->n || (w->docs->filter && !exact))
		look_at_scalar(w, place, who < w->docs->n);
	if (who == w->docs->n)
		return RDDR_AGREE;
	if (w->docs->filter && !exact)
		return node_of(w, place, 0)->type == JSON_STRING ? compare_text(w, place) : compare_whole(w, place);
	/* Everybody's value is the lowest instance that has the same. */
	for (unsigned i = 0; i < w->docs->n; i++) {
		values[i] = i;
		for (unsigned k = i; present(w, i) && k-- > 0;)
			if (present(w, k) && same_value(w, place, i, k))
				values[i] = k;
	}
	odd_one(w, values, &who, &other);
	return diverge(w, place, who, other, NULL);
}

/* ---- arrays and objects ---- */

static enum rddr_verdict compare_counts(struct walk *w, const struct place *place)
{
	uint32_t counts[RDDR_MAX_INSTANCES] = {0};
	unsigned who, other = w->first;

	for (unsigned i = 0; i < w->docs->n; i++)
		counts[i] = present(w, i) ? node_of(w, place, i)->count : 0;
	if (!odd_one(w, counts, &who, &other))
		return RDDR_AGREE;
	put_where(w);
	return rddr_body_diverge(w->result, who, other, node_of(w, place, who)->at, "%u items, where %u were expected",
				 counts[who], counts[other]);
}

static void first_member(const struct walk *w, const struct place *place, struct place *member)
{
	for (unsigned i = 0; i < w->docs->n; i++)
		member->at[i] = present(w, i) ? node_of(w, place, i)->child : JSON_NONE;
}

/* Members that are JSON_NONE stay so. */
static void next_member(const struct walk *w, struct place *member, uint32_t who)
{
	for (unsigned i = 0; i < w->docs->n; i++)
		if (present(w, i) && (who >> i & 1) && member->at[i] != JSON_NONE)
			member->at[i] = node_of(w, member, i)->next;
}

static struct slice key_of(const struct walk *w, const struct place *member, unsigned i)
{
	return rddr_json_text(&w->docs->doc[i], node_of(w, member, i)->key);
}

/* Whether all have the same keys, in the order in which they stand; member is then left where they do not. */
static bool same_keys(const struct walk *w, struct place *member)
{
	for (; member->at[w->first] != JSON_NONE; next_member(w, member, UINT32_MAX))
		for (unsigned i = w->first + 1; i < w->docs->n; i++)
			if (present(w, i) && (member->at[i] == JSON_NONE ||
					      !slice_equal(key_of(w, member, i), key_of(w, member, w->first))))
				return false;
	for (unsigned i = 0; i < w->docs->n; i++)
		if (present(w, i) && member->at[i] != JSON_NONE)
			return false;
	return true;
}

/* Keys are in order, and member stands where they are not the same: says which key it is, and who has it. */
static enum rddr_verdict diverge_key(struct walk *w, const struct place *place, const struct place *member)
{
	uint32_t has[RDDR_MAX_INSTANCES] = {0};
	struct slice key = {0};
	unsigned with = w->docs->n, who, other = w->first;
	char shown[SPANS_SHOWN];

	for (unsigned i = 0; i < w->docs->n; i++) {
		if (!present(w, i) || member->at[i] == JSON_NONE)
			continue;
		if (with == w->docs->n || slice_order(key_of(w, member, i), key) < 0) {
			with = i;
			key = key_of(w, member, i);
		}
	}
	for (unsigned i = 0; i < w->docs->n; i++)
		has[i] = present(w, i) && member->at[i] != JSON_NONE && slice_equal(key_of(w, member, i), key);
	odd_one(w, has, &who, &other);
	rddr_json_put_key(&w->trail, w->path, w->depth++, key);
	put_where(w);
	return rddr_body_diverge(w->result, who, other, node_of(w, has[who] ? member : place, who)->at, "%s %s",
				 has[who] ? "has a key more than expected:" : "lacks the key",
				 rddr_spans_show(key, shown));
}

static enum rddr_verdict compare_objects(struct walk *w, const struct place *place)
{
	struct place member = {0};

	first_member(w, place, &member);
	if (!same_keys(w, &member)) {
		for (unsigned i = 0; i < w->docs->n; i++)
			if (present(w, i) && rddr_json_sort_keys(&w->docs->doc[i], place->at[i]) < 0)
				return no_memory(w);
		first_member(w, place, &member);
		if (!same_keys(w, &member))
			return diverge_key(w, place, &member);
	}
	first_member(w, place, &member);
	for (; member.at[w->first] != JSON_NONE; next_member(w, &member, UINT32_MAX)) {
		rddr_json_put_key(&w->trail, w->path, w->depth++, key_of(w, &member, w->first));
		look_at(w, &w->string_spelling, &member, true, false);
		if (compare_values(w, &member) == RDDR_DIVERGE)
			return RDDR_DIVERGE;
		w->depth--;
	}
	return RDDR_AGREE;
}

static void push_number(struct walk *w, unsigned number)
{
	char *text = w->numbers[w->depth];

	snprintf(text, sizeof(w->numbers[0]), "%u", number);
	rddr_json_put_key(&w->trail, w->path, w->depth++, slice_of(text));
}

/* Puts the items into one order. With the pair, sure is made, for the caller to free. */
static int sort_items(struct walk *w, const struct place *place, uint64_t **sure)
{
	const struct body_conf *conf = &w->body->conf;
	struct json_docs *docs = w->docs;
	struct json_way way = {.rules = conf->rules, .path = w->path, .trail = &w->trail, .depth = w->depth};
	struct json_keys *keys = NULL;
	int r = 0;

	if (docs->filter) {
		*sure = calloc((size_t)docs->n * node_of(w, place, 0)->count + 1, sizeof(**sure));
		r = *sure ? rddr_json_keys_new(docs->doc, place->at, &way, conf->host, conf->ctx, &keys) : -ENOMEM;
	}
	if (r == 0)
		r = rddr_json_sort_items(docs->doc, place->at, docs->n, docs->absent, &way, keys, *sure);
	rddr_json_keys_free(&keys);
	return r;
}

/* Whether all have their items of the same keys there, and no other of them. */
static bool is_sure(const struct walk *w, const uint64_t sure[], size_t count, unsigned number)
{
	for (unsigned i = 0; i < w->docs->n; i++)
		if (present(w, i) && (!sure[i * count + number] || sure[i * count + number] != sure[number]))
			return false;
	return true;
}

static enum rddr_verdict compare_items(struct walk *w, const struct place *place, const uint64_t sure[])
{
	size_t count = node_of(w, place, w->first)->count;
	struct place item = {0};
	unsigned number = 0;

	first_member(w, place, &item);
	for (; item.at[w->first] != JSON_NONE; next_member(w, &item, UINT32_MAX)) {
		unsigned unsure = sure && !is_sure(w, sure, count, number);

		push_number(w, number++);
		w->unsure += unsure;
		if (compare_values(w, &item) == RDDR_DIVERGE)
			return RDDR_DIVERGE;
		w->unsure -= unsure;
		w->depth--;
	}
	return RDDR_AGREE;
}

static enum rddr_verdict compare_arrays(struct walk *w, const struct place *place)
{
	enum rddr_verdict verdict;
	uint64_t *sure = NULL;

	if (compare_counts(w, place) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	if (rddr_rules_unordered(w->body->conf.rules, w->path, w->depth) && sort_items(w, place, &sure) < 0)
		verdict = no_memory(w);
	else
		verdict = compare_items(w, place, sure);
	free(sure);
	return verdict;
}

/* ---- any value ---- */

/* A rule takes the value out of comparison; it is still bounded, and what the client may send back is a scalar. */
static enum rddr_verdict by_rule(struct walk *w, const struct place *place, const struct field_rule *rule)
{
	const struct body_conf *conf = &w->body->conf;
	struct slice values[RDDR_MAX_INSTANCES];
	char field[256];

	for (unsigned i = 0; i < w->docs->n; i++) {
		unsigned other = i == w->first && w->docs->n > 1 ? (i + 1) % w->docs->n : w->first;

		if (!present(w, i))
			continue;
		if (node_of(w, place, i)->len > rddr_rules_settings(conf->rules)->max_field)
			return diverge(w, place, i, other, "the field that a rule names is longer than max-field");
		if (rule->action != RULE_IGNORE && node_of(w, place, i)->type >= JSON_ARRAY)
			return diverge(w, place, i, other, "the field that a rule names is no single value");
	}
	if (!conf->host->declared)
		return RDDR_AGREE;
	name_field(w, field);
	collect(w, place, values);
	conf->host->declared(conf->ctx, rule, field, values, conf->n);
	return RDDR_AGREE;
}

static enum rddr_verdict compare_values(struct walk *w, const struct place *place)
{
	const struct field_rule *rule = rddr_rules_pointer(w->body->conf.rules, w->path, w->depth);
	uint32_t types[RDDR_MAX_INSTANCES] = {0};
	unsigned who, other = w->first;

	if (rule && rule->action != RULE_COMPARE)
		return by_rule(w, place, rule);
	for (unsigned i = 0; i < w->docs->n; i++)
		types[i] = present(w, i) ? node_of(w, place, i)->type : 0;
	if (odd_one(w, types, &who, &other)) {
		char why[64];

		snprintf(why, sizeof(why), "%s where %s was expected", rddr_json_type_name(types[who]),
			 rddr_json_type_name(types[other]));
		return diverge(w, place, who, other, why);
	}
	if (types[w->first] == JSON_OBJECT)
		return compare_objects(w, place);
	if (types[w->first] == JSON_ARRAY)
		return compare_arrays(w, place);
	return compare_scalars(w, place, rule != NULL);
}

enum rddr_verdict rddr_json_compare(struct body *b, struct json_docs *docs, struct body_result *result)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct place root = {0};
	enum rddr_verdict verdict;

	if (!w)
		return rddr_body_diverge(result, 0, docs->n > 1, 0, "out of memory");
	w->body = b;
	w->docs = docs;
	w->result = result;
	while (!present(w, w->first))
		w->first++;
	w->spelled = present(w, 0) && docs->n > 1;
	w->string_spelling.same = w->number_spelling.same = witnesses(w);
	snprintf(b->unit.where, sizeof(b->unit.where), "the JSON document");
	verdict = compare_values(w, &root);
	if (verdict == RDDR_AGREE)
		verdict = judge_spelling(w, &w->string_spelling);
	if (verdict == RDDR_AGREE)
		verdict = judge_spelling(w, &w->number_spelling);
	free(w);
	return verdict;
}
