/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules_cookies.c - cookies that instances call by names of their own.
 *
 * A list of names says what each instance calls one cookie. At each instance the lists together exchange names: what
 * the client calls by a name that means another cookie there goes under a name that means none there. So nobody is
 * handed a cookie twice, and a client that sends an instance's own name does not reach what the instance means by it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rules_own.h"

/* Lists of names. */
#define MOST_LISTS 16

/* What instance i calls the rule's cookie, where lists have n names. */
static const char *name_at(const struct rule *rule, size_t i)
{
	return rule->names.n ? rule->names.names[i] : rule->field.text;
}

/* Two rules, one of which has a list at least: the first instance that has one name for both, or -1. */
static int meet(const struct rule *a, const struct rule *b)
{
	size_t n = a->names.n ? a->names.n : b->names.n;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(name_at(a, i), name_at(b, i)) == 0)
			return (int)i;
	}
	return -1;
}

bool rddr_rules_names_apart(const struct rules *rules, size_t i, char *err, size_t errlen)
{
	const struct rule *rule = &rules->list[i];
	unsigned lists = rule->names.n > 0;

	for (size_t k = 0; k < i && rule->selector == SELECT_COOKIE; k++) {
		const struct rule *other = &rules->list[k];
		int at;

		if (other->selector != SELECT_COOKIE || rule->names.n + other->names.n == 0)
			continue;
		if (rule->names.n && other->names.n && rule->names.n != other->names.n) {
			snprintf(err, errlen, "cookie has %zu names, and that of fields[%zu] has %zu", rule->names.n, k,
				 other->names.n);
			return false;
		}
		at = meet(rule, other);
		if (at >= 0) {
			snprintf(err, errlen, "instance %d has \"%.64s\" for this cookie and for that of fields[%zu]",
				 at, name_at(rule, (size_t)at), k);
			return false;
		}
		lists += other->names.n > 0;
	}
	if (lists <= MOST_LISTS)
		return true;
	snprintf(err, errlen, "there may be %d cookies with a list of names", MOST_LISTS);
	return false;
}

/* ---- the exchange of names ---- */

/* The rule whose cookie instance i calls by that name; NULL: none. */
static const struct rule *called(const struct rules *rules, size_t i, struct slice name)
{
	for (size_t k = 0; k < rules->n; k++) {
		const struct rule *rule = &rules->list[k];

		if (rule->names.n && slice_equal(slice_of(rule->names.names[i]), name))
			return rule;
	}
	return NULL;
}

/* What instance i is to call what the client calls so. */
static struct slice exchanged(const struct rules *rules, size_t i, struct slice name)
{
	const struct rule *rule = called(rules, 0, name);

	if (rule)
		return slice_of(rule->names.names[i]);
	/* A name that means another cookie there: that one's name, if it is free there. No two names meet, so this
	 * ends. */
	while ((rule = called(rules, i, name)))
		name = slice_of(rule->names.names[0]);
	return name;
}

static int by_name(const void *a, const void *b)
{
	const struct cookie_names *x = a, *y = b;

	return slice_order(x->of[0], y->of[0]);
}

static void add(struct rules *rules, struct slice name, size_t instances)
{
	struct cookie_names names = {.of = {name}};
	bool same = true;

	for (size_t k = 0; k < rules->renamed_n; k++) {
		if (slice_equal(rules->renamed[k].of[0], name))
			return;
	}
	for (size_t i = 0; i < instances; i++) {
		names.of[i] = exchanged(rules, i, name);
		same &= slice_equal(names.of[i], name);
	}
	if (!same)
		rules->renamed[rules->renamed_n++] = names;
}

int rddr_rules_rename(struct rules *rules)
{
	size_t n = 0, instances = 0;

	for (size_t k = 0; k < rules->n; k++) {
		n += rules->list[k].names.n;
		instances = rules->list[k].names.n ? rules->list[k].names.n : instances;
	}
	if (n == 0)
		return 0;
	rules->renamed = calloc(n, sizeof(*rules->renamed));
	if (!rules->renamed)
		return -ENOMEM;
	for (size_t k = 0; k < rules->n; k++) {
		for (size_t i = 0; i < rules->list[k].names.n; i++)
			add(rules, slice_of(rules->list[k].names.names[i]), instances);
	}
	qsort(rules->renamed, rules->renamed_n, sizeof(*rules->renamed), by_name);
	return 0;
}

static int holds_name(const void *key, const void *item)
{
	const struct slice *name = key;
	const struct cookie_names *names = item;

	return slice_order(*name, names->of[0]);
}

bool rddr_rules_renames(const struct rules *rules)
{
	return rules && rules->renamed_n > 0;
}

const struct cookie_names *rddr_rules_names(const struct rules *rules, unsigned instance, struct slice name)
{
	if (!rddr_rules_renames(rules))
		return NULL;
	if (instance == 0)
		return bsearch(&name, rules->renamed, rules->renamed_n, sizeof(*rules->renamed), holds_name);
	for (size_t k = 0; k < rules->renamed_n; k++) {
		if (slice_equal(rules->renamed[k].of[instance], name))
			return &rules->renamed[k];
	}
	return NULL;
}

/* ---- the service ---- */

int rddr_rules_check(const struct rules *rules, const struct rddr_diff_service *service, char *err, size_t errlen)
{
	for (size_t i = 0; rules && i < rules->n; i++) {
		size_t n = rules->list[i].names.n;

		if (n && service->direction == RDDR_OUTGOING)
			snprintf(err, errlen,
				 "diff-params.fields[%zu].cookie: names of each instance's own are for incoming "
				 "services",
				 i);
		else if (n && n != service->instances)
			snprintf(err, errlen, "diff-params.fields[%zu].cookie: has %zu names, and %s has %u instances",
				 i, n, service->name, service->instances);
		else
			continue;
		return -EINVAL;
	}
	return 0;
}
