/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_weigh.c - outgoing services with a filter pair: literals and comments of statements, and values that are
 * bound, may be noise. Everything else that instances say has to be the same to the byte.
 */
#include "postgres_outgoing.h"
#include "spans.h"

static bool was_noise(const struct pg_outgoing *o, const struct pg_session *s, const char *field, size_t len)
{
	struct rddr_noise_seen seen[2];
	size_t room = sizeof(seen);

	if (!o->noise || !s->host->table_get(o->noise, field, len, seen, &room))
		return false;
	s->host->count(s->handle, RDDR_COUNTED_NOISE_RECALLED, 1);
	return true;
}

static void note_noise(const struct pg_outgoing *o, const struct pg_session *s, const char *field, size_t len)
{
	struct rddr_noise_seen seen[2] = {{0}};
	size_t room = sizeof(seen);

	s->host->count(s->handle, RDDR_COUNTED_NOISE_FIELDS, 1);
	if (!o->noise)
		return;
	if (!s->host->table_get(o->noise, field, len, seen, &room))
		seen[0].count = 0;
	seen[0].count++;
	s->host->table_put(o->noise, field, len, seen, sizeof(seen[0]), PG_OUT_NOISE_TTL);
}

/* What the instances have in one place. NULL: it may be so; otherwise why not, and *i is who differs from *k. */
static const char *weigh(struct pg_session *s, const struct pg_call *call, const struct slice values[], char kind,
			 unsigned number, unsigned *i, unsigned *k)
{
	static __thread struct spans_result spans; /* it is large */
	const struct pg_outgoing *o = s->out;
	char field[PG_FIELD_ROOM];
	size_t len = rddr_pg_sql_field(&o->shape, kind, number, field);
	uint32_t absent = 0;

	for (unsigned j = 0; j < call->n; j++)
		absent |= (uint32_t)!pg_present(call, j) << j;
	enum spans_verdict verdict =
		rddr_spans_compare(values, call->n, absent, pg_present(call, 0) && pg_present(call, 1), &spans);
	*i = spans.instance;
	*k = spans.other;
	if (verdict == SPANS_SAME)
		return NULL;
	if (verdict == SPANS_DIFFER || (verdict == SPANS_CHANCE && !was_noise(o, s, field, len)))
		return spans.why;
	for (size_t n = 0; n < spans.n; n++) {
		*i = 1;
		*k = 0;
		if (!s->host->charge_noise(s->handle, spans.spans[n].len ? spans.spans[n].len : 1))
			return "the pair differs past the noise budget";
	}
	note_noise(o, s, field, len);
	return NULL;
}

/* Statements of one shape, whose literals may differ. */
static const char *weigh_texts(struct pg_session *s, const struct pg_call *call, struct slice text[], unsigned *i,
			       unsigned *k)
{
	struct pg_lexeme lexeme[RDDR_MAX_INSTANCES] = {0};
	unsigned number = 0;

	rddr_pg_sql_shape(text[0], &s->out->shape);
	for (;;) {
		bool some = rddr_pg_sql_lex(&text[0], &lexeme[0]), same = true;
		bool own = some && (lexeme[0].kind == PG_LEX_LITERAL || lexeme[0].kind == PG_LEX_COMMENT);
		struct slice values[RDDR_MAX_INSTANCES] = {lexeme[0].text};
		const char *why;

		*k = 0;
		for (*i = 1; *i < call->n; ++*i) {
			if (!pg_present(call, *i))
				continue;
			if (rddr_pg_sql_lex(&text[*i], &lexeme[*i]) != some ||
			    (some && lexeme[*i].kind != lexeme[0].kind))
				return "another statement";
			values[*i] = lexeme[*i].text;
			same &= !some || slice_equal(values[*i], values[0]);
			if (!same && !own)
				return "another statement";
		}
		if (!some)
			return NULL;
		number += own;
		why = same ? NULL : weigh(s, call, values, 'l', number, i, k);
		if (why)
			return why;
	}
}

/* What all have to have in common: cut off the front of each. */
static bool same_part(const struct pg_call *call, struct pg_cursor c[], size_t len, unsigned *i)
{
	struct slice first = rddr_pg_take(&c[0], len);

	if (c[0].bad)
		return false;
	for (*i = 1; *i < call->n; ++*i) {
		if (pg_present(call, *i) && (!slice_equal(rddr_pg_take(&c[*i], len), first) || c[*i].bad))
			return false;
	}
	return true;
}

static bool same_rest(const struct pg_call *call, const struct pg_cursor c[], unsigned *i)
{
	for (*i = 1; *i < call->n; ++*i) {
		if (pg_present(call, *i) && !slice_equal(c[*i].left, c[0].left))
			return false;
	}
	return true;
}

static const char *weigh_values(struct pg_session *s, const struct pg_call *call, struct pg_cursor c[], unsigned *i,
				unsigned *k)
{
	static const char other[] = "another form of values";
	unsigned n = c[0].left.len >= 2 ? pg_u16(c[0].left.data) : 0;

	if (!same_part(call, c, 2, i))
		return other;
	for (unsigned number = 1; number <= n; number++) {
		struct slice values[RDDR_MAX_INSTANCES] = {0};
		bool has = rddr_pg_take_value(&c[0], &values[0]), same = true;
		const char *why;

		*k = 0;
		for (*i = 1; *i < call->n; ++*i) {
			if (!pg_present(call, *i))
				continue;
			if (rddr_pg_take_value(&c[*i], &values[*i]) != has || c[*i].bad)
				return other;
			same &= slice_equal(values[*i], values[0]);
		}
		*i = 0;
		if (c[0].bad)
			return other;
		why = same ? NULL : weigh(s, call, values, 'v', number, i, k);
		if (why)
			return why;
	}
	return same_rest(call, c, i) ? NULL : other;
}

/* The strings that a message begins with, up to two, which all have to have in common; the last one is *name. */
static bool same_names(const struct pg_call *call, const struct pg_message m[], struct pg_cursor c[], unsigned strings,
		       struct slice *name, unsigned *i)
{
	struct slice first[2] = {{0}};

	for (*i = 0; *i < call->n; ++*i) {
		if (!pg_present(call, *i))
			continue;
		c[*i].left = m[*i].body;
		for (unsigned n = 0; n < strings; n++) {
			struct slice mine = rddr_pg_take_string(&c[*i]);

			if (*i == 0)
				first[n] = mine;
			if (c[*i].bad || !slice_equal(mine, first[n]))
				return false;
		}
	}
	*name = strings ? first[strings - 1] : (struct slice){0};
	return true;
}

static const char *weigh_bind(struct pg_session *s, const struct pg_call *call, const struct pg_message m[],
			      unsigned *i, unsigned *k)
{
	struct pg_cursor c[RDDR_MAX_INSTANCES] = {0};
	struct slice name;

	if (!same_names(call, m, c, 2, &name, i))
		return "another name";
	if (name.len)
		rddr_pg_sql_shape_named(name, &s->out->shape);
	size_t formats = c[0].left.len >= 2 ? 2 + 2 * (size_t)pg_u16(c[0].left.data) : 2;

	return same_part(call, c, formats, i) ? weigh_values(s, call, c, i, k) : "other formats";
}

const char *rddr_pg_weigh(struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned *i,
			  unsigned *k)
{
	struct pg_cursor c[RDDR_MAX_INSTANCES] = {0};
	struct slice text[RDDR_MAX_INSTANCES] = {0}, name;
	const char *why;

	*k = 0;
	if (m[0].type == 'B')
		return weigh_bind(s, call, m, i, k);
	if (!same_names(call, m, c, m[0].type == 'P', &name, i))
		return "another name";
	for (*i = 0; *i < call->n; ++*i) {
		if (!pg_present(call, *i))
			continue;
		text[*i] = rddr_pg_take_string(&c[*i]);
		if (c[*i].bad)
			return "it is malformed";
	}
	why = weigh_texts(s, call, text, i, k);
	if (why)
		return why;
	return same_rest(call, c, i) ? NULL : "other types of parameters";
}
