// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_compare.c - whether two messages that are not the same bytes say the same.
 */
#include "noise.h"
#include "postgres_session.h"

/* OIDs below this are PostgreSQL's own, the same in every database (FirstNormalObjectId). */
#define FIRST_OTHER_OID 16384u

static bool begins_with(struct slice s, size_t at, struct slice token)
{
	return s.len - at >= token.len && memcmp(s.data + at, token.data, token.len) == 0;
}

bool rddr_pg_same_text(const struct pg_session *s, unsigned i, struct slice a, unsigned k, struct slice b)
{
	const struct pg_params *params = s->params;
	size_t x = 0, y = 0;

	if (slice_equal(a, b))
		return true;
	while (x < a.len || y < b.len) {
		bool token = false;

		for (unsigned t = 0; t < params->n_tokens && !token; t++) {
			const struct pg_token *token_t = &params->tokens[t];

			token = x < a.len && y < b.len && begins_with(a, x, token_t->text[i]) &&
				begins_with(b, y, token_t->text[k]);
			if (token) {
				x += token_t->text[i].len;
				y += token_t->text[k].len;
			}
		}
		if (token)
			continue;
		if (x >= a.len || y >= b.len || a.data[x] != b.data[y])
			return false;
		x++;
		y++;
	}
	return true;
}

/* Compares a value and notes where it differs. */
static bool same_value(const struct pg_session *s, unsigned i, struct slice a, unsigned k, struct slice b,
		       struct pg_place *place)
{
	if (rddr_pg_same_text(s, i, a, k, b))
		return true;
	place->a = a;
	place->b = b;
	return false;
}

static bool differ(struct pg_place *place, const char *what)
{
	place->what = what;
	return false;
}

static size_t offset_in(const struct pg_message *m, const struct pg_cursor *c)
{
	return PG_HEADER + (m->body.len - c->left.len);
}

/* ---- kinds of messages ---- */

static bool same_oid(bool ignore, uint32_t a, uint32_t b)
{
	return a == b || (ignore && a >= FIRST_OTHER_OID && b >= FIRST_OTHER_OID);
}

/* RowDescription: of each column its name, table, number in it, type, length, modifier and format. */
static bool same_columns(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
			 const struct pg_message *b, struct pg_place *place)
{
	struct pg_cursor x = {.left = a->body}, y = {.left = b->body};
	unsigned n = rddr_pg_take16(&x);

	if (rddr_pg_take16(&y) != n)
		return differ(place, "another number of columns");
	for (unsigned column = 1; column <= n; column++) {
		place->column = (int)column;
		place->offset = offset_in(a, &x);
		struct slice name = rddr_pg_take_string(&x), other = rddr_pg_take_string(&y);
		uint32_t table = rddr_pg_take32(&x), its_table = rddr_pg_take32(&y);
		uint16_t number = rddr_pg_take16(&x), its_number = rddr_pg_take16(&y);
		uint32_t type = rddr_pg_take32(&x), its_type = rddr_pg_take32(&y);
		struct slice rest = rddr_pg_take(&x, 8), its_rest = rddr_pg_take(&y, 8);

		if (x.bad || y.bad)
			return differ(place, "it ends in the middle of a column");
		if (!same_value(s, i, name, k, other, place))
			return false;
		if (s->params->compare_tables ? table != its_table : !table != !its_table)
			return differ(place, "another table");
		if (number != its_number)
			return differ(place, "another number in its table");
		if (!same_oid(s->params->ignore_types, type, its_type))
			return differ(place, "another type");
		if (!slice_equal(rest, its_rest))
			return differ(place, "another length, modifier or format");
	}
	place->column = 0;
	return x.left.len == 0 && y.left.len == 0 ? true : differ(place, "something follows the last column");
}

/* ParameterDescription: types. */
static bool same_types(const struct pg_session *s, const struct pg_message *a, const struct pg_message *b,
		       struct pg_place *place)
{
	struct pg_cursor x = {.left = a->body}, y = {.left = b->body};
	unsigned n = rddr_pg_take16(&x);

	if (rddr_pg_take16(&y) != n || a->body.len != b->body.len)
		return differ(place, "another number of parameters");
	for (unsigned i = 1; i <= n; i++) {
		place->column = (int)i;
		if (!same_oid(s->params->ignore_types, rddr_pg_take32(&x), rddr_pg_take32(&y)))
			return differ(place, "another type");
	}
	return !x.bad && !x.left.len;
}

static bool is_ignored(const struct pg_session *s, char field)
{
	return field && strchr(s->params->ignored_fields, field) != NULL;
}

/* The next field of an error that is compared; 0 behind the last. */
static char next_field(const struct pg_session *s, struct pg_cursor *c, struct slice *value)
{
	for (;;) {
		char field = (char)rddr_pg_take8(c);

		if (!field || c->bad)
			return 0;
		*value = rddr_pg_take_string(c);
		if (!is_ignored(s, field))
			return field;
	}
}

/* Severity and text, which every error has, go out although they differ, where the config has them left out of
 * comparison: they have to be there once, and to have their form. */
static bool has_form(const struct pg_session *s, struct slice a, struct slice b, struct pg_place *place)
{
	for (const char *field = "SM"; *field; field++) {
		struct slice value, other;

		if (!is_ignored(s, *field))
			continue;
		place->field = *field;
		if (rddr_pg_error_fields(a, *field, &value) != 1 || rddr_pg_error_fields(b, *field, &other) != 1)
			return differ(place, "a field that is not compared is not there, or more than once");
		if (!slice_equal(value, other) &&
		    !(rddr_pg_error_form(*field, value) && rddr_pg_error_form(*field, other)))
			return differ(place, "a field that is not compared is too long, or no text");
	}
	place->field = 0;
	return true;
}

static bool same_error(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
		       const struct pg_message *b, struct pg_place *place)
{
	struct pg_cursor x = {.left = a->body}, y = {.left = b->body};

	for (;;) {
		struct slice value = {0}, other = {0};

		place->offset = offset_in(a, &x);
		char field = next_field(s, &x, &value), its_field = next_field(s, &y, &other);

		if (x.bad || y.bad)
			return differ(place, "it ends in the middle of a field");
		place->field = field ? field : its_field;
		if (field != its_field)
			return differ(place, "a field that only one has");
		if (!field && (x.left.len || y.left.len))
			return differ(place, "something follows its end");
		if (!field)
			return has_form(s, a->body, b->body, place);
		if (!same_value(s, i, value, k, other, place))
			return false;
	}
}

static bool same_row(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
		     const struct pg_message *b, struct pg_place *place)
{
	struct pg_cursor x = {.left = a->body}, y = {.left = b->body};
	unsigned n = rddr_pg_take16(&x);

	if (rddr_pg_take16(&y) != n)
		return differ(place, "another number of columns");
	for (unsigned column = 1; column <= n; column++) {
		struct slice value, other;

		place->column = (int)column;
		place->offset = offset_in(a, &x);
		bool has = rddr_pg_take_value(&x, &value), its = rddr_pg_take_value(&y, &other);

		if (x.bad || y.bad)
			return differ(place, "it ends in the middle of a column");
		place->null_a = !has;
		place->null_b = !its;
		if (has != its) {
			place->a = value;
			place->b = other;
			return false;
		}
		if (has && !same_value(s, i, value, k, other, place))
			return false;
	}
	place->column = 0;
	return x.left.len == 0 && y.left.len == 0 ? true : differ(place, "something follows the last column");
}

static bool same_setting(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
			 const struct pg_message *b, struct pg_place *place)
{
	struct pg_cursor x = {.left = a->body}, y = {.left = b->body};
	struct slice name = rddr_pg_take_string(&x), other = rddr_pg_take_string(&y);
	struct slice value = rddr_pg_take_string(&x), its = rddr_pg_take_string(&y);

	if (x.bad || y.bad || x.left.len || y.left.len)
		return differ(place, "it is no name and value");
	if (!slice_equal(name, other)) {
		place->a = name;
		place->b = other;
		return false;
	}
	if (!rddr_pg_params_ignores_setting(s->params, name))
		return same_value(s, i, value, k, its, place);
	return slice_equal(value, its) || (rddr_pg_setting_form(value) && rddr_pg_setting_form(its))
		       ? true
		       : differ(place, "a value that is not compared is too long, or no text");
}

/* NotificationResponse: the process is the server's own; then a channel and what was said. */
static bool same_notification(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
			      const struct pg_message *b, struct pg_place *place)
{
	if (a->body.len < 4 || b->body.len < 4)
		return differ(place, "it is too short");
	return same_value(s, i, slice_cut(a->body, 4, a->body.len - 4), k, slice_cut(b->body, 4, b->body.len - 4),
			  place);
}

bool rddr_pg_same(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
		  const struct pg_message *b, struct pg_place *place)
{
	*place = (struct pg_place){.offset = PG_HEADER};
	if (slice_equal(a->body, b->body))
		return true;
	switch (a->type) {
	case 'T':
		return same_columns(s, i, a, k, b, place);
	case 't':
		return same_types(s, a, b, place);
	case 'E':
	case 'N':
		return same_error(s, i, a, k, b, place);
	case 'D':
		return same_row(s, i, a, k, b, place);
	case 'S':
		return same_setting(s, i, a, k, b, place);
	case 'A':
		return same_notification(s, i, a, k, b, place);
	case 'C':
	case 'd':
		place->offset = PG_HEADER;
		return same_value(s, i, a->body, k, b->body, place);
	case 'Z':
		return differ(place, "another state of the transaction");
	default:
		place->a = a->body;
		place->b = b->body;
		return false;
	}
}
