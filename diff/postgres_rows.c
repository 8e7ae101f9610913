// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_rows.c - rows where there is a filter pair.
 *
 * A column in which the pair differs is noise, in that row alone. It is charged to the service's noise budget, and what
 * the others have there must be of the length and of the kind of bytes that the pair shows.
 */
#include "noise.h"
#include "postgres_session.h"

/* The text format of COPY has a tab between columns; a tab in a value is written as "\t". */
struct fields {
	struct pg_cursor c;
	bool text;   /* COPY */
	bool single; /* all of it is one value */
	bool done;
};

static bool next_copied(struct fields *f, struct slice *value)
{
	const struct slice left = f->c.left;
	const uint8_t *tab = left.len && !f->single ? memchr(left.data, '\t', left.len) : NULL;
	size_t len = tab ? (size_t)(tab - left.data) : left.len;

	*value = slice_cut(left, 0, len);
	f->c.left = slice_cut(left, tab ? len + 1 : len, left.len);
	f->done = !tab;
	return true;
}

/* False: NULL. */
static bool next_value(struct fields *f, struct slice *value)
{
	return f->text ? next_copied(f, value) : rddr_pg_take_value(&f->c, value);
}

static struct fields open_fields(const struct pg_session *s, const struct pg_message *m, unsigned *columns)
{
	struct fields f = {.c = {.left = m->body}, .text = m->type == 'd', .single = !s->copy_text};

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

/* One column of all. */
static bool judge(struct pg_session *s, const struct pg_call *call, const struct column *c, unsigned *i, unsigned *k,
		  struct pg_place *place)
{
	bool alike = c->has[0] == c->has[1] && rddr_pg_same_text(s, 1, c->value[1], 0, c->value[0]);
	size_t run = c->value[0].len > c->value[1].len ? c->value[0].len : c->value[1].len;

	*i = 1;
	*k = 0;
	if (c->has[0] != c->has[1])
		return differs(c, 1, 0, place, NULL);
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

bool rddr_pg_rows_filtered(struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned *i,
			   unsigned *k, struct pg_place *place)
{
	struct fields f[RDDR_MAX_INSTANCES] = {0};
	unsigned columns[RDDR_MAX_INSTANCES] = {0};

	*place = (struct pg_place){.offset = PG_HEADER};
	*k = 0;
	for (*i = 0; *i < call->n; ++*i) {
		if (!pg_present(call, *i))
			continue;
		f[*i] = open_fields(s, &m[*i], &columns[*i]);
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
		if (!judge(s, call, &c, i, k, place))
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
