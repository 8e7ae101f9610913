/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules_line.c - the patterns of rules, applied to a line.
 */
#include <errno.h>
#include <stdlib.h>

#include "rules_own.h"

/* What one search may cost: steps, KiB, and the stack of compiled patterns. */
#define MOST_STEPS    200000
#define MOST_KIB      512
#define STACK	      (32 * 1024)
#define STACK_AT_MOST (256 * 1024)

/* Where a pattern was found last. */
struct found {
	bool none;	   /* and it is nowhere in the rest of the line either */
	size_t begin, end; /* of the field */
	size_t match_end;
};

struct line_matcher {
	const struct rules *rules;
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
	struct found found[]; /* for each rule */
};

int rddr_rules_matcher_new(const struct rules *rules, struct line_matcher **out)
{
	struct line_matcher *m;
	bool any = false;

	for (size_t i = 0; rules && i < rules->n; i++)
		any |= rules->list[i].selector == SELECT_LINE;
	if (!any) {
		*out = NULL;
		return 0;
	}
	m = calloc(1, sizeof(*m) + rules->n * sizeof(m->found[0]));
	if (!m)
		return -ENOMEM;
	m->rules = rules;
	/* The whole match and one group are all that is asked for. */
	m->data = pcre2_match_data_create(2, NULL);
	m->context = pcre2_match_context_create(NULL);
	m->stack = pcre2_jit_stack_create(STACK, STACK_AT_MOST, NULL);
	if (!m->data || !m->context || !m->stack) {
		rddr_rules_matcher_free(&m);
		return -ENOMEM;
	}
	pcre2_set_match_limit(m->context, MOST_STEPS);
	pcre2_set_heap_limit(m->context, MOST_KIB);
	pcre2_jit_stack_assign(m->context, NULL, m->stack);
	*out = m;
	return 0;
}

void rddr_rules_matcher_free(struct line_matcher **m)
{
	if (!*m)
		return;
	pcre2_match_data_free((*m)->data);
	pcre2_match_context_free((*m)->context);
	pcre2_jit_stack_free((*m)->stack);
	free(*m);
	*m = NULL;
}

/* Looks for rule i from from on. 0 or -ELOOP. */
static int look(struct line_matcher *m, size_t i, struct slice line, size_t from)
{
	const struct rule *rule = &m->rules->list[i];
	const size_t *at = pcre2_get_ovector_pointer(m->data);
	/* A subject must not be NULL, though it is empty. */
	PCRE2_SPTR text = line.data ? line.data : (PCRE2_SPTR) "";
	struct found *f = &m->found[i];
	int r;

	*f = (struct found){.none = true};
	while (from <= line.len) {
		r = pcre2_match(rule->pattern, text, line.len, from, PCRE2_NO_UTF_CHECK, m->data, m->context);
		if (r == PCRE2_ERROR_NOMATCH)
			return 0;
		if (r < 0)
			return -ELOOP;
		f->begin = at[0];
		f->end = f->match_end = at[1];
		/* The group took no part in the match: it names nothing there. */
		if (rule->groups > 0 && (r == 1 || at[2] == PCRE2_UNSET)) {
			from = f->match_end > from ? f->match_end : from + 1;
			continue;
		}
		if (rule->groups > 0) {
			f->begin = at[2];
			f->end = at[3];
		}
		/* Patterns can look around, and say that a match begins behind its end: nothing is to overlap. */
		if (f->begin >= from && f->begin <= f->end) {
			f->match_end = f->end > f->match_end ? f->end : f->match_end;
			f->none = false;
			return 0;
		}
		from = f->match_end > from ? f->match_end : from + 1;
	}
	return 0;
}

/* The rule whose field is the next one; n when there is none. */
static size_t nearest(const struct line_matcher *m)
{
	size_t best = m->rules->n;

	for (size_t i = 0; i < m->rules->n; i++) {
		if (m->rules->list[i].selector != SELECT_LINE || m->found[i].none)
			continue;
		if (best == m->rules->n || m->found[i].begin < m->found[best].begin)
			best = i;
	}
	return best;
}

int rddr_rules_line(struct line_matcher *m, struct slice line, struct line_field fields[], size_t max)
{
	size_t n = 0, from = 0, best;

	for (size_t i = 0; i < m->rules->n; i++)
		if (m->rules->list[i].selector == SELECT_LINE && look(m, i, line, 0) < 0)
			return -ELOOP;
	while ((best = nearest(m)) < m->rules->n) {
		const struct found *f = &m->found[best];

		if (n == max)
			return -ENOBUFS;
		fields[n++] = (struct line_field){
			.offset = f->begin, .len = f->end - f->begin, .rule = &m->rules->list[best].field};
		/* An empty match is not to be found again. */
		from = f->match_end > from ? f->match_end : from + 1;
		for (size_t i = 0; i < m->rules->n; i++) {
			if (m->rules->list[i].selector != SELECT_LINE || m->found[i].none || m->found[i].begin >= from)
				continue;
			if (look(m, i, line, from) < 0)
				return -ELOOP;
		}
	}
	return (int)n;
}
