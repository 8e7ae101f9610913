// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_rows.c - rows where there is a filter pair.
 *
 * A column in which the pair differs is noise, in that row alone. It is charged to the service's noise budget, and what
 * the others have there must be of the length and of the kind of bytes that the pair shows.
 *
 * Of a row of COPY nobody here knows where its columns end: text and CSV look alike, and the delimiter is the client's
 * to choose. It is cut at what is mostly one, and in what lies between only the spans in which the pair differs are
 * noise (spans.h): text that the pair agrees on has to be everybody's. In COPY's binary format, and in the value of a
 * function call, nothing is noise.
 */
#include "noise.h"
#include "postgres_session.h"
#include "spans.h"

struct fields {
	struct pg_cursor c;
	bool text; /* COPY */
	bool done;
};

static bool ends_piece(uint8_t c)
{
	return c == '\t' || c == ',' || c == ';' || c == '|';
}

/* The mark that ends a piece belongs to it: one is not to be had for the other. */
static bool next_piece(struct fields *f, struct slice *value)
{
	const struct slice left = f->c.left;
	size_t len = 0;

	while (len < left.len && !ends_piece(left.data[len]))
		len++;
	f->done = len == left.len;
	len += !f->done;
	*value = slice_cut(left, 0, len);
	f->c.left = slice_cut(left, len, left.len);
	return true;
}

/* False: NULL. */
static bool next_value(struct fields *f, struct slice *value)
{
	return f->text ? next_piece(f, value) : rddr_pg_take_value(&f->c, value);
}

static struct fields open_fields(const struct pg_message *m, unsigned *columns)
{
	struct fields f = {.c = {.left = m->body}, .text = m->type == 'd'};

	*columns = m->type == 'D' ? rddr_pg_take16(&f.c) : 1;
	return f;
}

/* A number may have a digit more or less. */
static bool length_fits(size_t a, size_t b, size_t c)
{
	size_t low = a < b ? a : b, high = a < b ? b : a;
	size_t slack = 4 + high / 4;

	return c + slack >= low && c <= high + slack;
}

static bool noise_fits(struct slice a, struct slice b, struct slice c)
{
	struct noise_walk walk = {0};

	if (!length_fits(a.len, b.len, c.len))
		return false;
	for (size_t i = 0; i < a.len; i++)
		rddr_noise_show(&walk, a.data[i]);
	for (size_t i = 0; i < b.len; i++)
		rddr_noise_show(&walk, b.data[i]);
	enum noise_class class = rddr_noise_class(&walk);

	for (size_t i = 0; i < c.len; i++) {
		if (!rddr_noise_holds(class, c.data[i]))
			return false;
	}
	return true;
}

struct column {
	struct slice value[RDDR_MAX_INSTANCES];
	bool has[RDDR_MAX_INSTANCES];
};

static bool differs(const struct column *c, unsigned i, unsigned k, struct pg_place *place, const char *what)
{
	place->a = c->value[i];
	place->b = c->value[k];
	place->null_a = !c->has[i];
	place->null_b = !c->has[k];
	place->what = what;
	return false;
}

/* A piece of COPY in which the pair differs. */
static bool judge_spans(struct pg_session *s, const struct pg_call *call, const struct column *c, unsigned *i,
			unsigned *k, struct pg_place *place)
{
	static __thread struct spans_result spans; /* it is large */
	uint32_t absent = 0;

	for (unsigned j = 0; j < call->n; j++)
		absent |= (uint32_t)!pg_present(call, j) << j;
	/* One where the pair agrees by chance is none: nothing else says that it is one. */
	if (rddr_spans_compare(c->value, call->n, absent, true, &spans) != SPANS_NOISE) {
		*i = spans.instance;
		*k = spans.other;
		return differs(c, *i, *k, place, NULL);
	}
	*i = 1;
	*k = 0;
	for (size_t n = 0; n < spans.n; n++) {
		if (!s->host->charge_noise(s->handle, spans.spans[n].len ? spans.spans[n].len : 1))
			return differs(c, 1, 0, place, "the pair differs past the noise budget");
	}
	return true;
}

/* One column of all. */
static bool judge(struct pg_session *s, const struct pg_call *call, const struct column *c, bool text, unsigned *i,
		  unsigned *k, struct pg_place *place)
{
	bool alike = c->has[0] == c->has[1] && rddr_pg_same_text(s, 1, c->value[1], 0, c->value[0]);
	size_t run = c->value[0].len > c->value[1].len ? c->value[0].len : c->value[1].len;

	*i = 1;
	*k = 0;
	if (c->has[0] != c->has[1])
		return differs(c, 1, 0, place, NULL);
	if (!alike && text)
		return judge_spans(s, call, c, i, k, place);
	if (!alike && !s->host->charge_noise(s->handle, run ? run : 1))
		return differs(c, 1, 0, place, "the pair differs past the noise budget");
	for (unsigned j = 2; j < call->n; j++) {
		*i = j;
		if (!pg_present(call, j))
			continue;
		if (c->has[j] != c->has[0])
			return differs(c, j, 0, place, NULL);
		if (alike ? rddr_pg_same_text(s, j, c->value[j], 0, c->value[0])
			  : noise_fits(c->value[0], c->value[1], c->value[j]))
			continue;
		return differs(c, j, 0, place, NULL);
	}
	return true;
}

/* Nothing is noise. */
static bool same_whole(const struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned *i,
		       struct pg_place *place)
{
	for (*i = 1; *i < call->n; ++*i) {
		if (pg_present(call, *i) && !rddr_pg_same(s, *i, &m[*i], 0, &m[0], place))
			return false;
	}
	return true;
}

bool rddr_pg_rows_filtered(struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned *i,
			   unsigned *k, struct pg_place *place)
{
	struct fields f[RDDR_MAX_INSTANCES] = {0};
	unsigned columns[RDDR_MAX_INSTANCES] = {0};

	*place = (struct pg_place){.offset = PG_HEADER};
	*k = 0;
	if (m[0].type == 'V' || (m[0].type == 'd' && !s->copy_text))
		return same_whole(s, call, m, i, place);
	for (*i = 0; *i < call->n; ++*i) {
		if (!pg_present(call, *i))
			continue;
		f[*i] = open_fields(&m[*i], &columns[*i]);
		if (columns[*i] != columns[0]) {
			place->what = "another number of columns";
			return false;
		}
	}
	for (unsigned column = 1; f[0].text ? !f[0].done : column <= columns[0]; column++) {
		struct column c = {0};

		place->column = (int)column;
		place->offset = PG_HEADER + (m[0].body.len - f[0].c.left.len);
		for (*i = 0; *i < call->n; ++*i) {
			if (!pg_present(call, *i))
				continue;
			c.has[*i] = next_value(&f[*i], &c.value[*i]);
			if (f[*i].c.bad || f[*i].done != f[0].done) {
				place->what = "it ends in the middle of a column, or has another number of them";
				return false;
			}
		}
		if (!judge(s, call, &c, f[0].text, i, k, place))
			return false;
	}
	for (*i = 0; *i < call->n; ++*i) {
		if (pg_present(call, *i) && f[*i].c.left.len) {
			place->what = "something follows the last column";
			return false;
		}
	}
	return true;
}
