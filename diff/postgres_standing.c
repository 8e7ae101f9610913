/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_standing.c - what a connection of the backend's has to be like for an exchange: who logged in on it, and
 * what exchanges before have left behind there (settings, prepared statements). It is known by a number, the identity,
 * and lies under it in a table of the service's, so that another connection can be brought there.
 *
 * All of it was said by all instances. In the table: the method that the backend demanded (1 byte), the lengths of the
 * startup packet and of the parameters that the backend told (2 bytes each), both of them, and then, for each thing
 * left behind, its kind (1), the lengths of name and message (2 each), and both.
 */
#include "postgres_outgoing.h"

#define HEAD 5u
#define LEFT 5u

static uint16_t get16(const uint8_t *p)
{
	return pg_u16(p);
}

static void put16(uint8_t *p, size_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

bool rddr_pg_standing_set(struct pg_standing *st, unsigned method, struct slice startup, struct slice settings)
{
	if (HEAD + startup.len + settings.len > sizeof(st->value) || startup.len > PG_OUT_STARTUP)
		return false;
	st->value[0] = (uint8_t)method;
	put16(st->value + 1, startup.len);
	put16(st->value + 3, settings.len);
	memcpy(st->value + HEAD, startup.data, startup.len);
	if (settings.len)
		memcpy(st->value + HEAD + startup.len, settings.data, settings.len);
	st->len = HEAD + startup.len + settings.len;
	return true;
}

unsigned rddr_pg_standing_method(const struct pg_standing *st)
{
	return st->value[0];
}

struct slice rddr_pg_standing_startup(const struct pg_standing *st)
{
	return (struct slice){st->value + HEAD, get16(st->value + 1)};
}

struct slice rddr_pg_standing_settings(const struct pg_standing *st)
{
	return (struct slice){st->value + HEAD + get16(st->value + 1), get16(st->value + 3)};
}

/* Where what was left behind begins. */
static size_t behind(const struct pg_standing *st)
{
	return HEAD + (size_t)get16(st->value + 1) + get16(st->value + 3);
}

bool rddr_pg_standing_next(const struct pg_standing *st, size_t *at, struct pg_left_behind *out)
{
	size_t from = *at ? *at : behind(st), name, message;

	if (st->len - from < LEFT)
		return false;
	name = get16(st->value + from + 1);
	message = get16(st->value + from + 3);
	if (st->len - from - LEFT < name + message)
		return false;
	out->kind = st->value[from] == PG_LEFT_PREPARED ? PG_LEFT_PREPARED : PG_LEFT_SETTING;
	out->name = (struct slice){st->value + from + LEFT, name};
	out->message = (struct slice){st->value + from + LEFT + name, message};
	*at = from + LEFT + name + message;
	return true;
}

bool rddr_pg_standing_get(struct pg_standing *st, const struct rddr_host *host, struct rddr_table *table,
			  uint64_t identity)
{
	st->len = sizeof(st->value);
	return host->table_get(table, &identity, sizeof(identity), st->value, &st->len) && st->len >= HEAD &&
	       behind(st) <= st->len && get16(st->value + 1) >= 8;
}

bool rddr_pg_standing_put(const struct pg_standing *st, const struct rddr_host *host, struct rddr_table *table,
			  uint64_t identity)
{
	return host->table_put(table, &identity, sizeof(identity), st->value, st->len, PG_OUT_LIFE);
}

/* ---- what was left behind ---- */

void rddr_pg_standing_drop(struct pg_standing *st, enum pg_left kind, struct slice name)
{
	struct pg_left_behind left;
	size_t at = behind(st), next = at;

	while (rddr_pg_standing_next(st, &next, &left)) {
		if (left.kind != kind || (name.data && !slice_equal(left.name, name))) {
			at = next;
			continue;
		}
		memmove(st->value + at, st->value + next, st->len - next);
		st->len -= next - at;
		next = at;
	}
}

bool rddr_pg_standing_leave(struct pg_standing *st, const struct pg_left_behind *left)
{
	uint8_t *p;

	rddr_pg_standing_drop(st, left->kind, left->name);
	if (left->name.len > 255 || left->message.len > sizeof(st->value) ||
	    sizeof(st->value) - st->len < LEFT + left->name.len + left->message.len)
		return false;
	p = st->value + st->len;
	p[0] = (uint8_t)left->kind;
	put16(p + 1, left->name.len);
	put16(p + 3, left->message.len);
	memcpy(p + LEFT, left->name.data, left->name.len);
	memcpy(p + LEFT + left->name.len, left->message.data, left->message.len);
	st->len += LEFT + left->name.len + left->message.len;
	return true;
}

void rddr_pg_standing_reset(struct pg_standing *st)
{
	struct pg_left_behind left;
	size_t at = behind(st), next = at;

	while (rddr_pg_standing_next(st, &next, &left)) {
		if (left.kind != PG_LEFT_SETTING || slice_equal(left.name, slice_of("role")) ||
		    slice_equal(left.name, slice_of("session authorization"))) {
			at = next;
			continue;
		}
		memmove(st->value + at, st->value + next, st->len - next);
		st->len -= next - at;
		next = at;
	}
}

uint64_t rddr_pg_standing_identity(const struct pg_standing *st, const struct pg_params *params)
{
	uint64_t h = rddr_pg_startup_identity(params, rddr_pg_standing_startup(st));
	size_t from = behind(st);

	h = rddr_pg_hash(h, st->value + from, st->len - from);
	return h ? h : 1;
}

/* ---- startup packets ---- */

bool rddr_pg_startup_next(struct pg_cursor *c, struct slice *name, struct slice *value)
{
	*name = rddr_pg_take_string(c);
	if (c->bad || !name->len)
		return false;
	*value = rddr_pg_take_string(c);
	return !c->bad;
}

bool rddr_pg_startup_read(struct slice packet, struct slice *user)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, SIZE_MAX)};
	struct slice name, value;

	*user = (struct slice){0};
	if (pg_u32(packet.data + 4) >> 16 != 3)
		return false;
	while (rddr_pg_startup_next(&c, &name, &value)) {
		if (slice_equal(name, slice_of("user")))
			*user = value;
	}
	return !c.bad && !c.left.len && user->len && user->len < 256;
}

/* The next one that is compared. */
static bool next_compared(const struct pg_params *params, struct pg_cursor *c, struct slice *name, struct slice *value)
{
	while (rddr_pg_startup_next(c, name, value)) {
		if (!rddr_pg_params_ignores_setting(params, *name) || slice_equal(*name, slice_of("user")))
			return true;
	}
	return false;
}

uint64_t rddr_pg_startup_identity(const struct pg_params *params, struct slice packet)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, SIZE_MAX)};
	struct slice name, value;
	uint64_t h = PG_HASH;

	while (next_compared(params, &c, &name, &value)) {
		/* With their ends. */
		h = rddr_pg_hash(h, name.data, name.len + 1);
		h = rddr_pg_hash(h, value.data, value.len + 1);
	}
	return h ? h : 1;
}

bool rddr_pg_startup_same(const struct pg_params *params, struct slice a, struct slice b, struct slice *name)
{
	struct pg_cursor of_a = {.left = slice_cut(a, 8, SIZE_MAX)}, of_b = {.left = slice_cut(b, 8, SIZE_MAX)};

	for (;;) {
		struct slice value_a = {0}, value_b = {0}, name_b = {0};
		bool has_a = next_compared(params, &of_a, name, &value_a);
		bool has_b = next_compared(params, &of_b, &name_b, &value_b);

		if (!has_a && !has_b)
			return true;
		if (!has_a)
			*name = name_b;
		if (has_a != has_b || !slice_equal(*name, name_b) || !slice_equal(value_a, value_b))
			return false;
	}
}
