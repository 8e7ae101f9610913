/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules.c - what the rules say of a header, a cookie, a place in a JSON document. rules_read.c reads them, rules_line.c
 * applies the patterns for lines, rules_cookies.c knows what instances call a cookie.
 */
#include "rules.h"

#include <stdlib.h>

#include "rules_own.h"

const struct rules_settings rddr_rules_defaults = {
	.token_min = 8,
	.token_ttl = 30 * 60,
	.token_max = 100000,
	.noise_ttl = 10 * 60,
	.noise_max = 10000,
	.max_head = (size_t)64 << 10,
	.max_body = (size_t)1 << 20,
	.max_field = 4096,
	.max_decoded_ratio = 100,
};

#define BY_DEFAULT(its_form)                                                                                           \
	{                                                                                                              \
		.action = RULE_IGNORE, .text = "the headers ignored by default", .form = (its_form)                    \
	}

/* What servers and proxies put in of themselves, and what changes with every request. */
static const struct {
	const char *name;
	struct field_rule rule;
} ignored[] = {
	{"Date", BY_DEFAULT(FORM_DATE)},
	{"Server", BY_DEFAULT(FORM_TEXT)},
	{"Age", BY_DEFAULT(FORM_NUMBER)},
	{"Via", BY_DEFAULT(FORM_LONG)},
	{"Keep-Alive", BY_DEFAULT(FORM_TEXT)},
	{"Alt-Svc", BY_DEFAULT(FORM_LONG)},
	{"NEL", BY_DEFAULT(FORM_LONG)},
	{"Report-To", BY_DEFAULT(FORM_LONG)},
	{"Reporting-Endpoints", BY_DEFAULT(FORM_LONG)},
	{"Server-Timing", BY_DEFAULT(FORM_LONG)},
	{"Request-Id", BY_DEFAULT(FORM_TOKEN)},
	{"X-Request-Id", BY_DEFAULT(FORM_TOKEN)},
	{"X-Correlation-Id", BY_DEFAULT(FORM_TOKEN)},
	{"X-Trace-Id", BY_DEFAULT(FORM_TOKEN)},
	/* Base64, and "Root=1-67891233-abcdef;Sampled=1". */
	{"X-Amz-*", BY_DEFAULT(FORM_WORD)},
	{"X-Amzn-*", BY_DEFAULT(FORM_WORD)},
	{"X-B3-*", BY_DEFAULT(FORM_TOKEN)},
	{"Traceparent", BY_DEFAULT(FORM_TOKEN)},
	{"Tracestate", BY_DEFAULT(FORM_LONG)},
	{"X-Runtime", BY_DEFAULT(FORM_TOKEN)},
	{"X-Response-Time", BY_DEFAULT(FORM_TEXT)},
	{"X-Powered-By", BY_DEFAULT(FORM_TEXT)},
	{"X-AspNet-Version", BY_DEFAULT(FORM_TOKEN)},
	{"X-AspNetMvc-Version", BY_DEFAULT(FORM_TOKEN)},
	{"X-Cache", BY_DEFAULT(FORM_TEXT)},
	{"X-Cache-Hits", BY_DEFAULT(FORM_TEXT)},
	{"X-Served-By", BY_DEFAULT(FORM_TEXT)},
	{"X-Timer", BY_DEFAULT(FORM_WORD)},
	{"X-Varnish", BY_DEFAULT(FORM_TEXT)},
	{"CF-Ray", BY_DEFAULT(FORM_TOKEN)},
	{"CF-Cache-Status", BY_DEFAULT(FORM_TOKEN)},
};

static const struct field_rule ignore_listed = {.action = RULE_IGNORE, .text = "ignore-headers"};
static const struct field_rule ignore_others = {.action = RULE_IGNORE, .text = "only-headers"};

const struct rules_settings *rddr_rules_settings(const struct rules *rules)
{
	return rules ? &rules->settings : &rddr_rules_defaults;
}

/* A name, or how it begins and an asterisk. */
static bool names(const char *pattern, struct slice name)
{
	struct slice p = slice_of(pattern);

	if (p.len > 0 && p.data[p.len - 1] == '*')
		return name.len >= p.len - 1 &&
		       slice_equal_nocase(slice_cut(name, 0, p.len - 1), slice_cut(p, 0, p.len - 1));
	return slice_equal_nocase(p, name);
}

static bool listed(const struct name_list *list, struct slice name)
{
	for (size_t i = 0; i < list->n; i++)
		if (names(list->names[i], name))
			return true;
	return false;
}

static const struct field_rule *first_named(const struct rules *rules, enum selector selector, struct slice name)
{
	for (size_t i = 0; rules && i < rules->n; i++) {
		const struct rule *rule = &rules->list[i];

		if (rule->selector == selector &&
		    (selector == SELECT_HEADER ? names(rule->field.text, name)
					       : slice_equal(slice_of(rule->field.text), name)))
			return &rule->field;
	}
	return NULL;
}

static const struct field_rule *unless_compare(const struct field_rule *rule)
{
	return rule && rule->action == RULE_COMPARE ? NULL : rule;
}

const struct field_rule *rddr_rules_header(const struct rules *rules, struct slice name)
{
	const struct field_rule *rule = first_named(rules, SELECT_HEADER, name);

	if (rule)
		return unless_compare(rule);
	if (rules && rules->has_only && listed(&rules->only, name))
		return NULL;
	if (rules && listed(&rules->ignore, name))
		return &ignore_listed;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		if (names(ignored[i].name, name))
			return &ignored[i].rule;
	return rules && rules->has_only ? &ignore_others : NULL;
}

const struct field_rule *rddr_rules_cookie(const struct rules *rules, struct slice name)
{
	return unless_compare(first_named(rules, SELECT_COOKIE, name));
}

static bool leads_to(const struct pointer *pointer, const struct slice path[], unsigned depth)
{
	if (pointer->n != depth)
		return false;
	for (unsigned i = 0; i < depth; i++)
		if (!pointer->any[i] && !slice_equal(slice_of(pointer->keys[i]), path[i]))
			return false;
	return true;
}

const struct field_rule *rddr_rules_pointer(const struct rules *rules, const struct slice path[], unsigned depth)
{
	for (size_t i = 0; rules && i < rules->n; i++)
		if (rules->list[i].selector == SELECT_POINTER && leads_to(&rules->list[i].pointer, path, depth))
			return &rules->list[i].field;
	return NULL;
}

bool rddr_rules_unordered(const struct rules *rules, const struct slice path[], unsigned depth)
{
	for (size_t i = 0; rules && i < rules->unordered_n; i++)
		if (leads_to(&rules->unordered[i], path, depth))
			return true;
	return false;
}

static void free_names(struct name_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->names[i]);
	free(list->names);
}

static void free_pointer(struct pointer *pointer)
{
	for (unsigned i = 0; i < pointer->n; i++)
		free(pointer->keys[i]);
}

void rddr_rules_free(struct rules **rules)
{
	struct rules *r = *rules;

	if (!r)
		return;
	free_names(&r->ignore);
	free_names(&r->only);
	for (size_t i = 0; i < r->n; i++) {
		free((void *)r->list[i].field.text);
		free_names(&r->list[i].names);
		free_pointer(&r->list[i].pointer);
		pcre2_code_free(r->list[i].pattern);
	}
	free(r->list);
	for (size_t i = 0; i < r->unordered_n; i++)
		free_pointer(&r->unordered[i]);
	free(r->unordered);
	free(r->renamed);
	free(r);
	*rules = NULL;
}
