// SPDX-License-Identifier: BSD-2-Clause
#include "postgres_wire.h"

enum pg_read rddr_pg_read(struct slice view, struct pg_message *m)
{
	if (view.len < PG_HEADER)
		return PG_READ_MORE;
	uint32_t length = pg_u32(view.data + 1);

	m->type = (char)view.data[0];
	if (length < 4 || length > PG_LONGEST)
		return PG_READ_BAD;
	m->whole = (size_t)length + 1;
	m->complete = view.len >= m->whole;
	m->body = slice_cut(view, PG_HEADER, m->whole - PG_HEADER);
	return PG_READ_OK;
}

static const struct {
	enum pg_kind kind;
	const char *name;
} answers[128] = {
	['1'] = {PG_MAIN, "ParseComplete"},
	['2'] = {PG_MAIN, "BindComplete"},
	['3'] = {PG_MAIN, "CloseComplete"},
	['A'] = {PG_APART, "NotificationResponse"},
	['C'] = {PG_MAIN, "CommandComplete"},
	['D'] = {PG_MAIN, "DataRow"},
	['E'] = {PG_MAIN, "ErrorResponse"},
	['G'] = {PG_MAIN, "CopyInResponse"},
	['H'] = {PG_MAIN, "CopyOutResponse"},
	['I'] = {PG_MAIN, "EmptyQueryResponse"},
	['K'] = {PG_LOGIN, "BackendKeyData"},
	['N'] = {PG_APART, "NoticeResponse"},
	['R'] = {PG_LOGIN, "Authentication"},
	['S'] = {PG_APART, "ParameterStatus"},
	['T'] = {PG_MAIN, "RowDescription"},
	['V'] = {PG_MAIN, "FunctionCallResponse"},
	['W'] = {PG_MAIN, "CopyBothResponse"},
	['Z'] = {PG_MAIN, "ReadyForQuery"},
	['c'] = {PG_MAIN, "CopyDone"},
	['d'] = {PG_MAIN, "CopyData"},
	['n'] = {PG_MAIN, "NoData"},
	['s'] = {PG_MAIN, "PortalSuspended"},
	['t'] = {PG_MAIN, "ParameterDescription"},
	['v'] = {PG_LOGIN, "NegotiateProtocolVersion"},
};

enum pg_kind rddr_pg_kind_of_answer(char type)
{
	return (unsigned char)type < 128 ? answers[(unsigned char)type].kind : PG_UNKNOWN;
}

const char *rddr_pg_answer_name(char type)
{
	return (unsigned char)type < 128 ? answers[(unsigned char)type].name : NULL;
}

bool rddr_pg_known_request(char type)
{
	/* Query, Parse, Bind, Describe, Execute, Close, Flush, Sync, FunctionCall, Terminate; CopyData, CopyDone,
	 * CopyFail. */
	return type && strchr("QPBDECHSFXdcf", type) != NULL;
}

/* ---- bodies ---- */

struct slice rddr_pg_take(struct pg_cursor *c, size_t len)
{
	if (c->bad || len > c->left.len) {
		c->bad = true;
		return (struct slice){0};
	}
	struct slice taken = slice_cut(c->left, 0, len);

	c->left = slice_cut(c->left, len, c->left.len - len);
	return taken;
}

uint8_t rddr_pg_take8(struct pg_cursor *c)
{
	struct slice s = rddr_pg_take(c, 1);

	return s.len ? s.data[0] : 0;
}

uint16_t rddr_pg_take16(struct pg_cursor *c)
{
	struct slice s = rddr_pg_take(c, 2);

	return s.len ? pg_u16(s.data) : 0;
}

uint32_t rddr_pg_take32(struct pg_cursor *c)
{
	struct slice s = rddr_pg_take(c, 4);

	return s.len ? pg_u32(s.data) : 0;
}

struct slice rddr_pg_take_string(struct pg_cursor *c)
{
	const uint8_t *end = c->left.len ? memchr(c->left.data, 0, c->left.len) : NULL;

	if (!end) {
		c->bad = true;
		return (struct slice){0};
	}
	struct slice s = rddr_pg_take(c, (size_t)(end - c->left.data) + 1);

	if (s.len)
		s.len--;
	return s;
}

bool rddr_pg_take_value(struct pg_cursor *c, struct slice *value)
{
	uint32_t len = rddr_pg_take32(c);

	*value = (struct slice){0};
	if (c->bad || len == UINT32_MAX)
		return false;
	*value = rddr_pg_take(c, len);
	return !c->bad;
}

unsigned rddr_pg_error_fields(struct slice body, char field, struct slice *value)
{
	struct pg_cursor c = {.left = body};
	unsigned n = 0;

	*value = (struct slice){0};
	while (!c.bad) {
		char type = (char)rddr_pg_take8(&c);

		if (!type)
			break;
		struct slice its = rddr_pg_take_string(&c);

		if (type != field || c.bad)
			continue;
		if (!n++)
			*value = its;
	}
	return n;
}

struct slice rddr_pg_error_field(struct slice body, char field)
{
	struct slice value;

	rddr_pg_error_fields(body, field, &value);
	return value;
}
