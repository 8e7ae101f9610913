// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_front.c - what the client says.
 *
 * Its first packets have no type: a request for encryption (answered no), a request to cancel, or the startup packet.
 * What follows the login are messages with one; they go to all instances as they are.
 */
#include <stdarg.h>
#include <stdio.h>

#include "postgres_session.h"

static enum rddr_modify reject(struct rddr_modify_result *result, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static enum rddr_modify reject(struct rddr_modify_result *result, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(result->why, sizeof(result->why), fmt, args);
	va_end(args);
	return RDDR_REJECT;
}

/* ---- the first packets ---- */

/* A parameter that asks for an extension of the protocol. */
static bool is_extension(struct slice name)
{
	return name.len > 5 && memcmp(name.data, "_pq_.", 5) == 0;
}

struct extensions {
	uint32_t n, names; /* how many, and the bytes of their names, each terminated */
	size_t bytes;	   /* with their values */
};

/* The next of them; false: there is no more. It is well formed, or nothing is passed on. */
static bool next_extension(struct pg_cursor *c, struct slice *name, struct slice *value)
{
	for (;;) {
		*name = rddr_pg_take_string(c);
		if (!name->len)
			return false;
		*value = rddr_pg_take_string(c);
		if (is_extension(*name))
			return true;
	}
}

static struct extensions extensions_of(struct slice packet)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, packet.len - 8)};
	struct extensions found = {0};
	struct slice name, value;

	while (next_extension(&c, &name, &value)) {
		found.n++;
		found.names += (uint32_t)name.len + 1;
		found.bytes += name.len + 1 + value.len + 1;
	}
	return found;
}

/* Sends instance i the packet as one of 3.0 without extensions: a server that was asked for them would say that it
 * has none of them, which the client is told by RDDR. */
static void send_plain(struct pg_session *s, unsigned i, struct slice packet, const struct extensions *unknown)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, packet.len - 8)};
	struct slice name, value;
	uint8_t head[8];
	size_t from = 8;

	pg_put32(head, (uint32_t)(packet.len - unknown->bytes));
	pg_put32(head + 4, PG_PROTOCOL);
	s->host->segment_own(s->handle, i, head, sizeof(head));
	while (next_extension(&c, &name, &value)) {
		size_t at = (size_t)(name.data - packet.data);

		s->host->segment_ref(s->handle, i, from, at - from);
		from = at + name.len + 1 + value.len + 1;
	}
	s->host->segment_ref(s->handle, i, from, packet.len - from);
}

/*
 * The startup packet asks for a later minor version, or for extensions of the protocol: every server of any version is
 * asked for 3.0, and the client is told so. In report mode it is instance 0 that answers, whatever it speaks.
 */
static void negotiate(struct pg_session *s, struct slice packet)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, packet.len - 8)};
	const struct extensions unknown = extensions_of(packet);
	uint8_t head[13] = {'v'};
	struct slice name, value;

	for (unsigned i = 0; i < s->n; i++) {
		if (s->reports && i == 0)
			s->host->segment_ref(s->handle, i, 0, packet.len);
		else
			send_plain(s, i, packet, &unknown);
	}
	if (s->reports)
		return;
	pg_put32(head + 1, 12 + unknown.names);
	pg_put32(head + 5, 0); /* the newest minor version that is spoken here */
	pg_put32(head + 9, unknown.n);
	s->host->emit(s->handle, RDDR_LONE, head, sizeof(head));
	while (next_extension(&c, &name, &value))
		s->host->emit(s->handle, RDDR_LONE, name.data, name.len + 1);
}

/* Names and values in turn, an empty name behind the last. */
static bool well_formed(struct slice packet, bool *extensions, struct slice *user)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, packet.len - 8)};

	*extensions = false;
	for (;;) {
		struct slice name = rddr_pg_take_string(&c);

		if (c.bad)
			return false;
		if (!name.len)
			return user->len && c.left.len == 0;
		struct slice value = rddr_pg_take_string(&c);

		if (slice_equal(name, slice_of("user")))
			*user = value;
		*extensions |= is_extension(name);
	}
}

static enum rddr_modify startup_packet(struct pg_session *s, struct slice packet, uint32_t version,
				       struct rddr_modify_result *result)
{
	struct slice user = {0};
	bool extensions;

	if (version >> 16 != 3)
		return reject(result, "the startup packet asks for protocol %u.%u; it has to be 3", version >> 16,
			      version & 0xffff);
	if (!well_formed(packet, &extensions, &user))
		return reject(result, "the startup packet has no proper list of parameters with a user in it");
	if (rddr_pg_tls_missing(s)) {
		rddr_pg_auth_refuse(s->auth, "28000", "RDDR: this service takes encrypted connections only (sslmode)");
		return RDDR_MODIFY_HOLD;
	}
	if (!rddr_pg_tls_ready(s))
		return RDDR_MODIFY_HOLD;
	/* It is terminated. */
	if (rddr_pg_auth_begin(s->auth, (const char *)user.data) < 0)
		return reject(result, "the startup packet has a user's name of %zu bytes, or memory ran out", user.len);
	s->phase = PG_PHASE_LOGIN;
	result->consumed = packet.len;
	if (version == PG_PROTOCOL && !extensions)
		return RDDR_SAME_FOR_ALL;
	negotiate(s, packet);
	return RDDR_SEGMENTS;
}

/* A request for encryption. The client may ask once for each kind, and goes on without, or ends. */
static enum rddr_modify answer_encryption(struct pg_session *s, bool *asked, struct rddr_modify_result *result)
{
	if (*asked)
		return reject(result, "encryption is asked for twice");
	*asked = true;
	result->consumed = 8;
	if (s->reports) {
		/* It is instance 0 that answers. */
		s->asked_encryption = true;
		return RDDR_SAME_FOR_ALL;
	}
	if (asked == &s->after_ssl)
		return rddr_pg_tls_client(s) ? RDDR_SEGMENTS : reject(result, "TLS cannot be begun");
	s->host->emit(s->handle, RDDR_LONE, "N", 1);
	return RDDR_SEGMENTS;
}

static enum rddr_modify first_packet(struct pg_session *s, const struct rddr_view *view,
				     struct rddr_modify_result *result)
{
	if (view->len < 4)
		return RDDR_MODIFY_WAIT;
	uint32_t length = pg_u32(view->data);

	/* Report mode: a server takes it ill when it is sent anything before it has answered about encryption. */
	if (s->asked_encryption)
		return RDDR_MODIFY_HOLD;
	if (length < 8 || length > PG_STARTUP)
		return reject(result, "the first packet says it is %d bytes long; it has to be 8 to %u", (int)length,
			      PG_STARTUP);
	if (view->len < 8)
		return RDDR_MODIFY_WAIT;
	uint32_t code = pg_u32(view->data + 4);

	if (code == PG_SSL && length == 8)
		return answer_encryption(s, &s->after_ssl, result);
	if (code == PG_GSSENC && length == 8)
		return answer_encryption(s, &s->after_gss, result);
	if (view->len < length)
		return RDDR_MODIFY_WAIT;
	if (code != PG_CANCEL)
		return startup_packet(s, (struct slice){view->data, length}, code, result);
	if (length != 16)
		return reject(result, "a request to cancel is %u bytes long; it has to be 16", length);
	/* Nobody's key is no news: a server closes the connection, whatever came of the request. */
	bool known = rddr_pg_cancel_knows(s, view->data + 8);

	/* The keys are not for others to read. */
	if (known && !rddr_pg_tls_ready(s))
		return RDDR_MODIFY_HOLD;
	if (!known || !rddr_pg_cancel_pass(s, view->data + 8))
		s->host->finish(s->handle);
	s->phase = PG_PHASE_CANCEL;
	result->consumed = length;
	return RDDR_SEGMENTS;
}

/* ---- the login ---- */

static enum rddr_modify login(struct pg_session *s, const struct rddr_view *view, struct rddr_modify_result *result)
{
	struct pg_message m;

	/* Nothing was asked of it, or its answer is being judged. */
	if (!rddr_pg_auth_wants(s->auth, PG_AUTH_FRONTEND, 0))
		return RDDR_MODIFY_HOLD;
	enum pg_read read = rddr_pg_read((struct slice){view->data, view->len}, &m);

	if (read == PG_READ_MORE)
		return RDDR_MODIFY_WAIT;
	if (read == PG_READ_BAD || m.whole > PG_HEADER + rddr_pg_auth_longest(PG_AUTH_FRONTEND)) {
		rddr_pg_auth_take(s->auth, PG_AUTH_FRONTEND, 0, 'p', NULL, SIZE_MAX);
		return RDDR_MODIFY_HOLD;
	}
	if (!m.complete)
		return RDDR_MODIFY_WAIT;
	rddr_pg_auth_take(s->auth, PG_AUTH_FRONTEND, 0, m.type, m.body.data, m.body.len);
	result->consumed = m.whole;
	return RDDR_SEGMENTS;
}

/* ---- requests ---- */

/* What a Parse or a Query begins with, or the statement that a Bind names. */
static void note_text(struct pg_session *s, struct pg_request *r)
{
	struct pg_cursor c = {.left = {(const uint8_t *)s->fe_text, s->fe_text_len}};
	struct slice text = c.left;
	const char *mark = "";

	if (s->fe_type == 'P') {
		rddr_pg_take_string(&c);
		text = c.left;
	} else if (s->fe_type == 'B' && !r->text_len) {
		rddr_pg_take_string(&c);
		text = rddr_pg_take_string(&c);
		mark = "prepared ";
	} else if (s->fe_type != 'Q') {
		return;
	}
	if (text.len && !text.data[text.len - 1])
		text.len--;
	int len = snprintf(r->text, sizeof(r->text), "%s%.*s", mark, (int)text.len, (const char *)text.data);
	r->text_len = (uint8_t)((size_t)len < sizeof(r->text) ? (size_t)len : sizeof(r->text) - 1);
}

/* Bytes of the message that is under way, which are to be passed on. */
static void pass(struct pg_session *s, const uint8_t *bytes, size_t len)
{
	size_t room = sizeof(s->fe_text) - s->fe_text_len;
	bool full;

	if (strchr("QPBE", s->fe_type)) {
		size_t part = len < room ? len : room;

		if (part)
			memcpy(s->fe_text + s->fe_text_len, bytes, part);
		s->fe_text_len = (uint16_t)(s->fe_text_len + part);
		s->fe_cut |= part < len;
	}
	s->fe_left -= len;
	s->passed += len;
	if (s->fe_left)
		return;
	/* It was there when the message began. */
	struct pg_request *r = strchr("dcf", s->fe_type) ? NULL : rddr_pg_lead_request(s, &full);

	if (r) {
		note_text(s, r);
		rddr_pg_hold_note(s, r);
	}
	rddr_pg_lead_passed(s, s->fe_type);
}

/* A message begins. */
static enum rddr_modify begin(struct pg_session *s, struct slice rest, struct rddr_modify_result *result)
{
	struct pg_message m;
	bool full;

	switch (rddr_pg_read(rest, &m)) {
	case PG_READ_MORE:
		return RDDR_MODIFY_WAIT;
	case PG_READ_BAD:
		return reject(result, "a message of type 0x%02x says it is %d bytes long", (unsigned char)m.type,
			      (int)pg_u32(rest.data + 1));
	case PG_READ_OK:
		break;
	}
	if (!rddr_pg_known_request(m.type)) {
		s->fe_unknown = true;
		return reject(result, "a message of type 0x%02x, which no client sends", (unsigned char)m.type);
	}
	enum rddr_modify held = rddr_pg_hold(s, rest, &m, !result->consumed);

	if (held != RDDR_SAME_FOR_ALL)
		return held;
	if (!strchr("dcf", m.type) && !rddr_pg_lead_request(s, &full)) {
		if (full)
			return RDDR_MODIFY_HOLD;
		return reject(result, "out of memory");
	}
	s->fe_type = m.type;
	s->terminated |= m.type == 'X';
	s->fe_text_len = 0;
	s->fe_cut = false;
	s->fe_left = m.whole;
	/* The header is there. */
	s->fe_left -= PG_HEADER;
	s->passed += PG_HEADER;
	result->consumed += PG_HEADER;
	return RDDR_SAME_FOR_ALL;
}

static enum rddr_modify requests(struct pg_session *s, const struct rddr_view *view, struct rddr_modify_result *result)
{
	enum rddr_modify stopped = RDDR_MODIFY_WAIT;

	/* The others are not to commit what one of them has lost. */
	if (s->ended && !s->reports)
		return reject(result, "an instance has ended; what follows is passed to none");
	while (result->consumed < view->len) {
		const struct slice rest = {view->data + result->consumed, view->len - result->consumed};

		if (!s->fe_left) {
			stopped = begin(s, rest, result);
			if (stopped != RDDR_SAME_FOR_ALL)
				break;
			if (!s->fe_left)
				pass(s, NULL, 0);
			continue;
		}
		size_t part = s->fe_left < rest.len ? s->fe_left : rest.len;

		pass(s, rest.data, part);
		result->consumed += part;
	}
	if (!result->consumed)
		return stopped;
	/* What came before a bad one is as good as when it had come by itself. */
	result->why[0] = '\0';
	return RDDR_SAME_FOR_ALL;
}

enum rddr_modify rddr_pg_front(struct pg_session *s, const struct rddr_view *view, struct rddr_modify_result *result)
{
	enum rddr_modify what = RDDR_MODIFY_HOLD;

	/* In the login nobody asked it for anything yet. */
	if (s->phase == PG_PHASE_FIRST)
		what = first_packet(s, view, result);
	else if (s->phase == PG_PHASE_LOGIN)
		what = login(s, view, result);
	else if (s->phase == PG_PHASE_RUN)
		what = requests(s, view, result);
	else if (s->phase == PG_PHASE_CANCEL)
		what = reject(result, "something follows a request to cancel");
	if (what == RDDR_REJECT)
		s->host->count(s->handle, s->fe_unknown ? RDDR_COUNTED_UNKNOWN : RDDR_COUNTED_REJECTED, 1);
	return what;
}
