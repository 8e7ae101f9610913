/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_opening.c - outgoing services: what a connection says next, as a number, by which its like of the other
 * instances is found.
 *
 * A new connection says who it is. When a group of such connections has logged in before, RDDR lets it in by itself.
 * Then it says an exchange: everything up to Query, Sync, Flush or FunctionCall. BEGIN says too little: RDDR answers
 * it, to hear what follows. Whether connections really say the same is found out by comparing them.
 */
#include <stdio.h>

#include "postgres_outgoing.h"

/* Of an exchange, in bytes; what differs behind that alone is no reason to look elsewhere. */
#define SEEN ((size_t)64 << 10)

static enum rddr_opens refuse(struct rddr_opening_result *result, const char *why)
{
	snprintf(result->why, sizeof(result->why), "%s", why);
	return RDDR_OPENS_NOT;
}

static enum rddr_opens reply(struct rddr_opening_result *result, const void *bytes, size_t len, size_t replied)
{
	result->reply = bytes;
	result->reply_len = len;
	result->replied = replied;
	return RDDR_OPENS_WAIT;
}

/* ---- new connections ---- */

/* A request for encryption that begins the view, or lies behind another. */
static enum rddr_opens encryption(const struct rddr_opening *opening, size_t at, bool tls,
				  struct rddr_opening_result *result)
{
	bool offered = opening->tls == RDDR_TLS_OFFERED || opening->tls == RDDR_TLS_REQUIRED;

	if (opening->view->len > at + 8)
		return refuse(result, "bytes came behind a request for encryption that was not answered yet");
	result->start_tls = tls && offered;
	return reply(result, result->start_tls ? "S" : "N", 1, at + 8);
}

uint64_t rddr_pg_cancel_of(const struct rddr_host *host, struct rddr_table *table, const uint8_t key[8])
{
	uint64_t backend = 0;
	size_t len = sizeof(backend);

	if (!table || !host->table_get(table, key, 8, &backend, &len) || len != sizeof(backend))
		return 0;
	return backend;
}

static enum rddr_opens cancel(const struct rddr_opening *opening, struct slice packet,
			      struct rddr_opening_result *result)
{
	struct rddr_table *table = opening->host->table(opening->session, PG_TABLE_CANCEL, 65536);
	uint64_t backend = rddr_pg_cancel_of(opening->host, table, packet.data + 8);

	/* Nobody's key, or what it was for is over: a server says nothing to that, either. */
	if (!backend)
		return RDDR_OPENS_ENDS;
	result->key = rddr_pg_hash(rddr_pg_hash(PG_HASH, "cancel", 6), &backend, sizeof(backend));
	return RDDR_OPENS;
}

static bool known(const struct rddr_opening *opening, struct slice packet, uint64_t identity)
{
	static __thread struct pg_standing standing; /* it is large */
	struct rddr_table *table = opening->host->table(opening->session, PG_TABLE_STANDINGS, PG_OUT_STANDINGS);
	struct slice name;

	/* Its number may be the same by somebody's design; what it says is not. */
	return table && rddr_pg_standing_get(&standing, opening->host, table, identity) &&
	       rddr_pg_startup_same(opening->params, rddr_pg_standing_startup(&standing), packet, &name);
}

static enum rddr_opens startup(const struct rddr_opening *opening, struct slice packet,
			       struct rddr_opening_result *result)
{
	uint64_t identity;
	struct slice user;

	if (!rddr_pg_startup_read(packet, &user))
		return refuse(result, "a startup packet that is no list of parameters of protocol 3 with a user in it");
	if (opening->tls == RDDR_TLS_REQUIRED)
		return refuse(result, "it does not ask for TLS, and tls: start: required says that it has to");
	identity = rddr_pg_startup_identity(opening->params, packet);
	if (known(opening, packet, identity))
		return RDDR_OPENS_ALONE;
	result->key = rddr_pg_hash(identity, "startup", 7);
	result->loose = rddr_pg_hash(rddr_pg_hash(PG_HASH, "startup", 7), user.data, user.len) | 1;
	return RDDR_OPENS;
}

static enum rddr_opens new_connection(const struct rddr_opening *opening, struct rddr_opening_result *result)
{
	const struct rddr_view *v = opening->view;
	bool asked[2] = {false, false};

	for (size_t at = 0; v->len - at >= 8; at += 8) {
		uint32_t length = pg_u32(v->data + at), code = pg_u32(v->data + at + 4);
		bool tls = code == PG_SSL;

		if ((code == PG_SSL || code == PG_GSSENC) && length == 8) {
			if (asked[tls])
				return refuse(result, "encryption is asked for twice");
			asked[tls] = true;
			if (opening->replied <= at)
				return encryption(opening, at, tls, result);
			continue;
		}
		if (length < 8 || length > PG_OUT_STARTUP)
			return refuse(result, "a first packet that is shorter than 8 or longer than 2048 bytes");
		if (v->len - at < length)
			return RDDR_OPENS_WAIT;
		if (code == PG_CANCEL)
			return length == 16 ? cancel(opening, (struct slice){v->data + at, length}, result)
					    : refuse(result, "a request to cancel that is not 16 bytes long");
		return startup(opening, (struct slice){v->data + at, length}, result);
	}
	/* Its end is no news where it has asked for nothing; a client may go that wants encryption. */
	return v->end != RDDR_END_OPEN && opening->replied == v->len ? RDDR_OPENS_ENDS : RDDR_OPENS_WAIT;
}

/* ---- exchanges ---- */

struct look {
	const struct rddr_opening *opening;
	struct rddr_table *noise; /* NULL: nothing was seen to be noise */
	struct pg_shape shape;	  /* of what was parsed last */
	uint64_t key, loose;
	size_t most; /* bytes of an exchange that are looked at */
};

static bool is_noise(const struct look *l, char kind, unsigned n)
{
	struct rddr_noise_seen seen[2];
	char field[PG_FIELD_ROOM];
	size_t len, room = sizeof(seen);

	if (!l->noise)
		return false;
	len = rddr_pg_sql_field(&l->shape, kind, n, field);
	return l->opening->host->table_get(l->noise, field, len, seen, &room);
}

static void mix(uint64_t *h, struct slice s)
{
	*h = rddr_pg_hash(*h, &s.len, sizeof(s.len));
	*h = rddr_pg_hash(*h, s.data, s.len);
}

static void mix_text(struct look *l, struct slice text)
{
	struct pg_lexeme lexeme;
	unsigned n = 0;

	rddr_pg_sql_shape(text, &l->shape);
	l->loose = rddr_pg_hash(l->loose, &l->shape.hash, sizeof(l->shape.hash));
	if (!l->noise) {
		mix(&l->key, text);
		return;
	}
	while (rddr_pg_sql_lex(&text, &lexeme)) {
		bool own = lexeme.kind == PG_LEX_LITERAL || lexeme.kind == PG_LEX_COMMENT;

		if (!own || !is_noise(l, 'l', ++n))
			mix(&l->key, lexeme.text);
	}
}

/* Values may be noise; what is malformed is mixed as it is. */
static void mix_bind(struct look *l, struct slice body)
{
	struct pg_cursor c = {.left = body};
	struct slice portal = rddr_pg_take_string(&c), name = rddr_pg_take_string(&c);
	unsigned formats = rddr_pg_take16(&c);

	if (name.len)
		rddr_pg_sql_shape_named(name, &l->shape);
	mix(&l->loose, portal);
	mix(&l->loose, name);
	mix(&l->key, portal);
	mix(&l->key, name);
	mix(&l->key, rddr_pg_take(&c, 2 * (size_t)formats));
	unsigned values = rddr_pg_take16(&c);
	for (unsigned i = 1; i <= values && !c.bad; i++) {
		struct slice value;

		if (rddr_pg_take_value(&c, &value) && !is_noise(l, 'v', i))
			mix(&l->key, value);
		else
			mix(&l->key, (struct slice){0});
	}
	mix(&l->key, c.left);
}

static void mix_message(struct look *l, const struct pg_message *m)
{
	struct pg_cursor c = {.left = m->body};

	l->key = rddr_pg_hash(l->key, &m->type, 1);
	l->loose = rddr_pg_hash(l->loose, &m->type, 1);
	if (m->type == 'P') {
		struct slice name = rddr_pg_take_string(&c);

		mix(&l->key, name);
		mix(&l->loose, name);
		mix_text(l, rddr_pg_take_string(&c));
		mix(&l->key, c.left);
	} else if (m->type == 'Q') {
		mix_text(l, rddr_pg_take_string(&c));
		mix(&l->key, c.left);
	} else if (m->type == 'B') {
		mix_bind(l, m->body);
	} else {
		mix(&l->key, m->body);
		if (m->type != 'd' && m->type != 'F')
			mix(&l->loose, m->body);
	}
}

/* The same number of bytes for everybody, however much has come. */
static void mix_beginning(struct look *l, const struct pg_message *m, size_t len)
{
	len = len > PG_HEADER ? len - PG_HEADER : 0;
	l->key = rddr_pg_hash(l->key, &m->type, 1);
	l->loose = rddr_pg_hash(l->loose, &m->type, 1);
	mix(&l->key, slice_cut(m->body, 0, len));
}

/* The messages that a statement by itself is made of, in their order: Parse, Bind, Describe (of the portal), Execute,
 * Sync. */
enum { PART_PARSE = 1, PART_BIND = 2, PART_DESCRIBE = 4, PART_EXECUTE = 8, PART_SYNC = 16, PART_OTHER = 32 };

/* What of an exchange there is, from its first message on. */
struct exchange {
	size_t len;
	bool whole, goodbye;
	struct slice text; /* of its Query, or its last Parse */
	bool simple;	   /* it is a Query */
	unsigned parts;
};

static unsigned part_of(struct exchange *x, const struct pg_message *m)
{
	struct pg_cursor c = {.left = m->body};

	switch (m->type) {
	case 'P':
		if (rddr_pg_take_string(&c).len)
			return PART_OTHER;
		x->text = rddr_pg_take_string(&c);
		return PART_PARSE;
	case 'B':
		/* Neither portal nor statement has a name. */
		return m->body.len >= 2 && !m->body.data[0] && !m->body.data[1] ? PART_BIND : PART_OTHER;
	case 'D':
		return m->body.len == 2 && m->body.data[0] == 'P' && !m->body.data[1] ? PART_DESCRIBE : PART_OTHER;
	case 'E':
		return m->body.len && !m->body.data[0] ? PART_EXECUTE : PART_OTHER;
	case 'S':
		return PART_SYNC;
	default:
		return PART_OTHER;
	}
}

static void note_part(struct exchange *x, const struct pg_message *m)
{
	struct pg_cursor c = {.left = m->body};
	unsigned part;

	if (m->type == 'Q' && !x->len) {
		x->text = rddr_pg_take_string(&c);
		x->simple = true;
		return;
	}
	part = part_of(x, m);
	/* Each of them once, and in that order. */
	x->parts |= part > x->parts ? part : PART_OTHER;
}

/* RDDR_OPENS: it is whole, or as much of it as is looked at is there. */
static enum rddr_opens read_exchange(struct look *l, struct slice rest, struct exchange *x, const char **why)
{
	*x = (struct exchange){0};
	while (!x->whole) {
		struct pg_message m;

		switch (rddr_pg_read(slice_cut(rest, x->len, SIZE_MAX), &m)) {
		case PG_READ_MORE:
			return RDDR_OPENS_WAIT;
		case PG_READ_BAD:
			*why = "a message with a length that cannot be";
			return RDDR_OPENS_NOT;
		case PG_READ_OK:
			break;
		}
		if (!rddr_pg_known_request(m.type)) {
			*why = "a message of a type that no client sends";
			return RDDR_OPENS_NOT;
		}
		x->goodbye = m.type == 'X';
		if (x->goodbye)
			return RDDR_OPENS;
		if (x->len + m.whole > l->most) {
			if (rest.len < l->most)
				return RDDR_OPENS_WAIT;
			mix_beginning(l, &m, l->most - x->len);
			x->parts = PART_OTHER;
			return RDDR_OPENS;
		}
		if (!m.complete)
			return RDDR_OPENS_WAIT;
		mix_message(l, &m);
		note_part(x, &m);
		x->whole = strchr("QSFH", m.type) != NULL;
		x->len += m.whole;
	}
	return RDDR_OPENS;
}

/* Behind a COPY that failed, a client may still be sending. Servers pass over that, and so does RDDR. */
static size_t stale_copy(struct slice view)
{
	struct pg_message m;
	size_t at = 0;

	while (rddr_pg_read(slice_cut(view, at, SIZE_MAX), &m) == PG_READ_OK && m.complete &&
	       (m.type == 'd' || m.type == 'c' || m.type == 'f'))
		at += m.whole;
	return at;
}

static bool begins(const struct exchange *x, struct pg_statement *statement)
{
	const unsigned parts = PART_PARSE | PART_BIND | PART_EXECUTE | PART_SYNC;
	struct slice rest = x->text, text;

	if (!x->whole || (x->parts & ~(unsigned)PART_DESCRIBE) != (x->simple ? 0 : parts))
		return false;
	if (!rddr_pg_sql_statement(&rest, &text))
		return false;
	rddr_pg_sql_classify(text, statement);
	return statement->begins && !rddr_pg_sql_statement(&rest, &text);
}

/* What a server answers to that. */
static enum rddr_opens answer_begin(const struct exchange *x, const struct pg_statement *statement, size_t replied,
				    struct rddr_opening_result *result)
{
	static const uint8_t tags[2][28] = {"C\0\0\0\012BEGIN\0", "C\0\0\0\026START TRANSACTION\0"};
	static const uint8_t parts[] = {'1', 0, 0, 0, 4, '2', 0, 0, 0, 4, 'n', 0, 0, 0, 4};
	static const uint8_t ready[] = {'Z', 0, 0, 0, 5, 'T'};
	static __thread uint8_t bytes[64];
	size_t n = 0, tag = statement->starts ? 23 : 11;

	if (!x->simple) {
		/* ParseComplete, BindComplete, and NoData to Describe. */
		n = x->parts & PART_DESCRIBE ? 15 : 10;
		memcpy(bytes, parts, n);
	}
	memcpy(bytes + n, tags[statement->starts], tag);
	memcpy(bytes + n + tag, ready, sizeof(ready));
	return reply(result, bytes, n + tag + sizeof(ready), replied);
}

static enum rddr_opens exchange(const struct rddr_opening *opening, struct rddr_opening_result *result)
{
	const struct slice view = {opening->view->data, opening->view->len};
	struct look l = {
		.opening = opening,
		.key = PG_HASH,
		.loose = PG_HASH,
		.most = opening->limit / 2 < SEEN ? opening->limit / 2 : SEEN,
	};
	size_t at = stale_copy(view);
	struct pg_statement statement;
	struct exchange x;
	const char *why = "";

	if (at == view.len) {
		result->replied = at;
		return opening->view->end == RDDR_END_OPEN ? RDDR_OPENS_WAIT : RDDR_OPENS_ENDS;
	}
	if (opening->do_filter)
		l.noise = opening->host->table(opening->session, PG_TABLE_NOISE, PG_OUT_NOISE);
	if (l.noise && !opening->host->table_count(l.noise))
		l.noise = NULL;
	enum rddr_opens opens = read_exchange(&l, slice_cut(view, at, SIZE_MAX), &x, &why);
	if (opens == RDDR_OPENS && !x.goodbye && at + x.len <= view.len && begins(&x, &statement)) {
		at += x.len;
		if (at == view.len && opening->replied < at)
			return answer_begin(&x, &statement, at, result);
		if (at == view.len)
			return opening->view->end == RDDR_END_OPEN ? RDDR_OPENS_WAIT : RDDR_OPENS_ENDS;
		opens = read_exchange(&l, slice_cut(view, at, SIZE_MAX), &x, &why);
	}
	if (opens == RDDR_OPENS_NOT)
		return refuse(result, why);
	if (opens == RDDR_OPENS && x.goodbye && !x.len)
		return RDDR_OPENS_ENDS;
	result->key = l.key;
	result->loose = l.loose | 1;
	return opens;
}

enum rddr_opens rddr_pg_opening(const struct rddr_opening *opening, struct rddr_opening_result *result)
{
	return opening->identity ? exchange(opening, result) : new_connection(opening, result);
}
