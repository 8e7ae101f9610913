// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_find.c - what the operator reads: statement, row, column, and what the two have there.
 */
#include <stdarg.h>
#include <stdio.h>

#include "postgres_session.h"

/* Bytes of a value that are shown. */
#define SHOWN 36

struct text {
	char *at;
	size_t room;
};

static void append(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void append(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->at, t->room, fmt, args);
	va_end(args);
	size_t used = n > 0 ? (size_t)n : 0;
	if (used >= t->room)
		used = t->room - 1;
	t->at += used;
	t->room -= used;
}

/* What is no printable ASCII is shown as a dot: texts are UTF-8, values may be anything. */
static void append_plain(struct text *t, struct slice s, size_t most)
{
	for (size_t i = 0; i < s.len && i < most; i++)
		append(t, "%c", s.data[i] >= ' ' && s.data[i] < 127 ? s.data[i] : '.');
	if (s.len > most)
		append(t, "...");
}

static void append_value(struct text *t, bool null, struct slice value)
{
	if (null) {
		append(t, "NULL");
		return;
	}
	append(t, "'");
	append_plain(t, value, SHOWN);
	append(t, "' (%zu bytes)", value.len);
}

/* With `redact: values` not the statement either, which has values in it. */
static void where(const struct pg_session *s, struct text *t)
{
	const struct pg_request *r = rddr_pg_lead_current(s);

	if (s->phase != PG_PHASE_RUN) {
		append(t, "login");
		return;
	}
	append(t, "statement %llu", (unsigned long long)s->statements + 1);
	if (r && r->text_len && !s->params->redact) {
		append(t, " (");
		append_plain(t, (struct slice){(const uint8_t *)r->text, r->text_len}, 70);
		append(t, ")");
	}
}

static struct slice column_name(const struct pg_session *s, int column)
{
	struct pg_cursor c = {.left = rddr_pg_queue_all(&s->columns)};
	struct slice name = {0};

	for (int i = 0; i < column && !c.bad; i++)
		name = rddr_pg_take_string(&c);
	return c.bad ? (struct slice){0} : name;
}

static void begin(struct pg_call *call, unsigned i, unsigned k)
{
	struct rddr_finding *f = &call->result->finding;

	f->instance = i;
	f->other = k;
	f->offset = call->at[i];
	f->alone = call->n < 3 ? RDDR_ALONE_NOBODY : i + 1;
}

uint32_t rddr_pg_alone(const struct pg_call *call, const unsigned kinds[])
{
	uint32_t found = RDDR_ALONE_NOBODY;
	unsigned present = 0, among[RDDR_MAX_INSTANCES];

	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i))
			among[present++] = i;
	}
	for (unsigned i = 0; i < present && present > 2; i++) {
		unsigned like = 0, first = kinds[among[i == 0]];

		/* Of its own kind there is nobody else, and the others are like the first of them. */
		for (unsigned k = 0; k < present; k++)
			like += k != i && kinds[among[k]] == first;
		if (first != kinds[among[i]] && like == present - 1)
			found = among[i] + 1;
	}
	return found;
}

enum rddr_verdict rddr_pg_find(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k, const char *fmt, ...)
{
	struct rddr_finding *f = &call->result->finding;
	struct text at = {f->where, sizeof(f->where)}, why = {f->why, sizeof(f->why)};
	char text[160];
	va_list args;

	begin(call, i, k);
	where(s, &at);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	append_plain(&why, slice_of(text), sizeof(text));
	return RDDR_DIVERGE;
}

enum rddr_verdict rddr_pg_find_nobody(struct pg_session *s, struct pg_call *call, unsigned i, const char *why)
{
	rddr_pg_find(s, call, i, i == 0 && s->n > 1, "%s", why);
	call->result->finding.alone = RDDR_ALONE_NOBODY;
	return RDDR_DIVERGE;
}

/* Behind the filter pair, whose difference in a row is noise, there is but this one. */
static bool is_third(const struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned i)
{
	unsigned behind = 0;

	for (unsigned k = 2; k < call->n; k++)
		behind += pg_present(call, k);
	return s->filter && i >= 2 && behind == 1 && pg_present(call, 1) && strchr("Dd", m[0].type) &&
	       m[0].type == m[1].type && m[0].type == m[i].type;
}

/* Who stands alone: the one that differs from all others, which say the same; who: one that differs from another. */
static uint32_t alone(const struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned who)
{
	uint32_t found = RDDR_ALONE_NOBODY;
	unsigned present = 0;

	if (is_third(s, call, m, who))
		return who + 1;

	for (unsigned i = 0; i < call->n; i++) {
		unsigned first = i == 0;
		struct pg_place place;
		bool stands = true;

		if (!pg_present(call, i))
			continue;
		present++;
		while (first < call->n && (first == i || !pg_present(call, first)))
			first++;
		if (first == call->n)
			return RDDR_ALONE_NOBODY;
		for (unsigned k = 0; k < call->n && stands; k++) {
			if (k == i || !pg_present(call, k))
				continue;
			bool same = m[i].type == m[k].type && rddr_pg_same(s, i, &m[i], k, &m[k], &place);
			bool agree = k == first || (m[first].type == m[k].type &&
						    rddr_pg_same(s, first, &m[first], k, &m[k], &place));

			stands = !same && agree;
		}
		if (stands)
			found = found == RDDR_ALONE_NOBODY ? i + 1 : RDDR_ALONE_NOBODY;
	}
	return present < 3 ? RDDR_ALONE_NOBODY : found;
}

/* Of two errors: whether one of them tells that transactions got in each other's way. */
static bool is_conflict(const struct pg_message *m)
{
	static const char *const states[] = {"40001", "40P01", "55P03", "57014"};
	struct slice code = m->type == 'E' ? rddr_pg_error_field(m->body, 'C') : (struct slice){0};

	for (unsigned k = 0; k < sizeof(states) / sizeof(states[0]); k++) {
		if (slice_equal(code, slice_of(states[k])))
			return true;
	}
	return false;
}

static void append_kind(struct text *t, const struct pg_message *m)
{
	const char *name = rddr_pg_answer_name(m->type);
	struct slice code = m->type == 'E' ? rddr_pg_error_field(m->body, 'C') : (struct slice){0};

	append(t, "%s", name ? name : "an unknown message");
	if (code.len) {
		append(t, " ");
		append_plain(t, code, 5);
	}
}

static void append_difference(const struct pg_session *s, struct text *t, const struct pg_message *a,
			      const struct pg_message *b, const struct pg_place *place)
{
	if (a->type != b->type) {
		append_kind(t, a);
		append(t, ", and not ");
		append_kind(t, b);
	} else if (place->what) {
		append(t, "%s", place->what);
	} else if (s->params->redact) {
		append(t, "the values differ");
	} else {
		append_value(t, place->null_a, place->a);
		append(t, ", and not ");
		append_value(t, place->null_b, place->b);
	}
}

enum rddr_verdict rddr_pg_find_place(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k,
				     const struct pg_message m[], const struct pg_place *place)
{
	struct rddr_finding *f = &call->result->finding;
	struct text at = {f->where, sizeof(f->where)}, why = {f->why, sizeof(f->why)};
	const char *name = rddr_pg_answer_name(m[i].type);

	begin(call, i, k);
	f->offset = call->at[i] + place->offset;
	f->alone = alone(s, call, m, i);
	where(s, &at);
	if (m[i].type == 'D' || m[i].type == 'd')
		append(&at, ", row %llu", (unsigned long long)s->rows + 1);
	else if (name)
		append(&at, ", %s", name);
	if (place->column) {
		append(&at, ", column %d ", place->column);
		append_plain(&at, column_name(s, place->column), 30);
	}
	if (place->field)
		append(&at, ", field %c", place->field);
	append_difference(s, &why, &m[i], &m[k], place);
	if (m[i].type != m[k].type && is_conflict(&m[i]) != is_conflict(&m[k]))
		s->host->count(s->handle, RDDR_COUNTED_CONFLICTS, 1);
	return RDDR_DIVERGE;
}
