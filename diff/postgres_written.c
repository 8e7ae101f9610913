// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_written.c - messages that say the same and are not the same bytes.
 *
 * What is left out of their comparison is instance 0's word alone. It is no way out of the firewall: the client gets
 * such a message written anew, without what not all have in common. Where something has to stand there, it is a value
 * of RDDR's own; where the config wants instance 0's (the text of an error, a parameter), it has a form and a bound.
 * Each of these is counted.
 */
#include "postgres_session.h"

#define TYPE_UNKNOWN 705u /* PostgreSQL's own name for a type that it cannot tell */

#define SEVERITY_MOST 32u
#define TEXT_MOST     512u
#define SETTING_MOST  128u

/* ---- forms ---- */

/* Text of any language: line ends and tabs, where they may be, but no other control characters. */
static bool is_text(struct slice value, size_t most, const char *controls)
{
	if (value.len > most)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		uint8_t c = value.data[i];

		if (!c || (c < ' ' && !strchr(controls, c)) || c == 127)
			return false;
	}
	return true;
}

bool rddr_pg_error_form(char field, struct slice value)
{
	return value.len && (field == 'S' ? is_text(value, SEVERITY_MOST, "") : is_text(value, TEXT_MOST, "\n\t"));
}

bool rddr_pg_setting_form(struct slice value)
{
	bool ascii = true;

	for (size_t i = 0; i < value.len; i++)
		ascii &= value.data[i] < 128;
	return ascii && is_text(value, SETTING_MOST, "");
}

/* ---- messages ---- */

struct written {
	struct pg_queue bytes;
	unsigned n; /* fields that instances have each their own of */
	bool failed;
};

static void put(struct written *w, struct slice s)
{
	w->failed |= rddr_pg_queue_put(&w->bytes, s) < 0;
}

/* A field with its letter in front and its end. */
static void put_field(struct written *w, struct slice value)
{
	put(w, (struct slice){value.data - 1, value.len + 2});
}

/* What all have in common of a field that is not compared. False: nothing. */
static bool common_field(const struct pg_session *s, const struct pg_call *call, const struct pg_message m[],
			 char field, struct slice *value, bool *any)
{
	bool common = true;

	*any = false;
	for (unsigned i = 0; i < call->n; i++) {
		struct slice its;

		if (!pg_present(call, i))
			continue;
		unsigned n = rddr_pg_error_fields(m[i].body, field, &its);

		if (i == 0)
			*value = its;
		*any |= n > 0;
		common &= n == 1 && (i == 0 || rddr_pg_same_text(s, i, its, 0, *value));
	}
	return common;
}

static void write_error(struct written *w, const struct pg_session *s, const struct pg_call *call,
			const struct pg_message m[])
{
	const char *ignored = s->params->ignored_fields;
	struct pg_cursor c = {.left = m[0].body};

	for (char field; (field = (char)rddr_pg_take8(&c)) && !c.bad;) {
		struct slice value = rddr_pg_take_string(&c);

		if (!c.bad && !strchr(ignored, field))
			put_field(w, value);
	}
	/* Behind them, always in one order. */
	for (const char *field = ignored; *field; field++) {
		struct slice value = {0};
		bool any, common = common_field(s, call, m, *field, &value, &any);

		if (strchr(ignored, *field) != field || !any)
			continue;
		w->n += !common;
		/* These two every error has; they have their form. */
		if (common || *field == 'S' || *field == 'M')
			put_field(w, value);
	}
	put(w, (struct slice){(const uint8_t *)"", 1});
}

/* Whether an OID is not the same at all. */
static bool oids_differ(struct written *w, const struct pg_call *call, struct pg_cursor c[])
{
	uint32_t first = rddr_pg_take32(&c[0]);
	bool differ = false;

	for (unsigned i = 1; i < call->n; i++) {
		if (pg_present(call, i))
			differ |= rddr_pg_take32(&c[i]) != first;
	}
	w->n += differ;
	return differ && !c[0].bad;
}

static void skip(const struct pg_call *call, struct pg_cursor c[], size_t len)
{
	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i))
			rddr_pg_take(&c[i], len);
	}
}

/* RowDescription and ParameterDescription. */
static void write_types(struct written *w, const struct pg_call *call, const struct pg_message m[], bool columns)
{
	struct pg_cursor c[RDDR_MAX_INSTANCES] = {0};

	put(w, m[0].body);
	for (unsigned i = 0; i < call->n; i++)
		c[i].left = m[i].body;
	skip(call, c, 2);
	for (unsigned n = m[0].body.len >= 2 ? pg_u16(m[0].body.data) : 0; n && !c[0].bad && !w->failed; n--) {
		for (unsigned i = 0; columns && i < call->n; i++) {
			if (pg_present(call, i))
				rddr_pg_take_string(&c[i]);
		}
		uint8_t *at = w->bytes.bytes + w->bytes.from + PG_HEADER + (m[0].body.len - c[0].left.len);

		if (columns) {
			/* A column that is in no table has no number there either. */
			if (oids_differ(w, call, c))
				memset(at, 0, 6);
			skip(call, c, 2);
			at += 6;
		}
		if (oids_differ(w, call, c))
			pg_put32(at, TYPE_UNKNOWN);
		if (columns)
			skip(call, c, 8);
	}
}

static void write_notification(struct written *w, const struct pg_session *s, const struct pg_message m[])
{
	static const uint8_t nobody[4];
	bool own = s->keyed && rddr_pg_is_own(s, 0, &m[0]);

	put(w, (struct slice){own ? s->client_key : nobody, 4});
	put(w, slice_cut(m[0].body, 4, m[0].body.len));
}

static void write_setting(struct written *w, const struct pg_session *s, const struct pg_message m[])
{
	struct pg_cursor c = {.left = m[0].body};

	w->n += rddr_pg_params_ignores_setting(s->params, rddr_pg_take_string(&c));
	put(w, m[0].body);
}

bool rddr_pg_write(struct pg_session *s, const struct pg_call *call, const struct pg_message m[])
{
	const uint8_t head[PG_HEADER] = {(uint8_t)m[0].type};
	struct written w = {0};
	bool same = true;

	for (unsigned i = 1; i < call->n; i++)
		same &= !pg_present(call, i) || slice_equal(m[i].body, m[0].body);
	put(&w, (struct slice){head, sizeof(head)});
	/* The same from all goes out as it is, however odd; but no process number is ever instance 0's. */
	switch (same && (m[0].type != 'A' || m[0].body.len < 4) ? 0 : m[0].type) {
	case 'E':
	case 'N':
		write_error(&w, s, call, m);
		break;
	case 'T':
	case 't':
		write_types(&w, call, m, m[0].type == 'T');
		break;
	case 'A':
		write_notification(&w, s, m);
		break;
	case 'S':
		write_setting(&w, s, m);
		break;
	default:
		put(&w, m[0].body);
		break;
	}
	if (!w.failed) {
		pg_put32(w.bytes.bytes + w.bytes.from + 1, (uint32_t)(w.bytes.len - 1));
		s->host->emit(s->handle, RDDR_LONE, w.bytes.bytes + w.bytes.from, w.bytes.len);
		if (w.n)
			s->host->count(s->handle, RDDR_COUNTED_RULES_APPLIED, w.n);
	}
	rddr_pg_queue_free(&w.bytes);
	return !w.failed;
}
