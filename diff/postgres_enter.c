/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_enter.c - outgoing services: logins.
 *
 * RDDR is the server to each instance, and the client to the backend (pg_auth.h). A group of new connections that ask
 * for the same logs in together, and what the backend told it is kept. By that RDDR lets in later ones of any instance
 * by itself: pools open connections when they please, and the backend need not hear of it. What has been let in says
 * nothing to the backend before what it says agrees with the others.
 *
 * When an exchange finds no connection to the backend that stands where it begins, a new one is brought there: RDDR
 * logs in again, and repeats what was left behind.
 */
#include <stdio.h>
#include <sys/random.h>

#include "postgres_outgoing.h"

/* ---- what an instance is told ---- */

/* It asks for a later minor version, or for extensions: it is told that 3.0 without any is spoken. */
static void negotiate(struct pg_session *s, unsigned i, struct slice packet)
{
	struct pg_cursor c = {.left = slice_cut(packet, 8, SIZE_MAX)};
	uint8_t head[13] = {'v'};
	uint32_t unknown = 0, length = 12;
	struct slice name, value;

	for (int round = 0; round < 2; round++) {
		c = (struct pg_cursor){.left = slice_cut(packet, 8, SIZE_MAX)};
		while (rddr_pg_startup_next(&c, &name, &value)) {
			if (name.len <= 5 || memcmp(name.data, "_pq_.", 5) != 0)
				continue;
			if (round) {
				s->host->emit(s->handle, i, name.data, name.len + 1);
				continue;
			}
			unknown++;
			length += (uint32_t)name.len + 1;
		}
		if (round || (!unknown && pg_u32(packet.data + 4) == PG_PROTOCOL))
			return;
		pg_put32(head + 1, length);
		pg_put32(head + 9, unknown);
		s->host->emit(s->handle, i, head, sizeof(head));
	}
}

static void tell_settings(struct pg_session *s, unsigned i, struct slice settings)
{
	struct pg_cursor c = {.left = settings};
	struct slice name, value;

	while (rddr_pg_startup_next(&c, &name, &value)) {
		uint8_t head[PG_HEADER] = {'S'};

		pg_put32(head + 1, (uint32_t)(4 + name.len + 1 + value.len + 1));
		s->host->emit(s->handle, i, head, sizeof(head));
		/* Both are terminated, and follow one another. */
		s->host->emit(s->handle, i, name.data, name.len + 1 + value.len + 1);
	}
}

/* A key to cancel with, which is the connection's for as long as it lasts. */
static bool draw_key(struct pg_session *s, unsigned i, uint8_t key[8])
{
	uint64_t mark;

	if (getrandom(key, 8, 0) != 8)
		return false;
	/* Clients take the process number for a positive one. */
	key[0] &= 0x7f;
	key[3] |= 1;
	memcpy(&mark, key, sizeof(mark));
	s->host->mark(s->handle, i, mark);
	return true;
}

static void welcome(struct pg_session *s, const struct pg_call *call)
{
	static const uint8_t ready[] = {'Z', 0, 0, 0, 5, 'I'};
	const struct slice settings = rddr_pg_standing_settings(s->out->standing);

	for (unsigned i = 0; i < call->n; i++) {
		uint8_t key[PG_HEADER + 8] = {'K', 0, 0, 0, 12};

		if (!pg_present(call, i))
			continue;
		tell_settings(s, i, settings);
		if (draw_key(s, i, key + PG_HEADER))
			s->host->emit(s->handle, i, key, sizeof(key));
		s->host->emit(s->handle, i, ready, sizeof(ready));
	}
}

/* ---- the instances' logins ---- */

/* Behind requests for encryption, which were answered before there was a session. NULL data: it is not all there. */
static struct slice first_packet(const struct pg_call *call, unsigned i)
{
	struct slice rest = pg_rest(call, i);

	while (rest.len >= 8 && pg_u32(rest.data) == 8 &&
	       (pg_u32(rest.data + 4) == PG_SSL || pg_u32(rest.data + 4) == PG_GSSENC))
		rest = slice_cut(rest, 8, SIZE_MAX);
	uint32_t length = rest.len >= 8 ? pg_u32(rest.data) : 0;

	return length < 8 || length > PG_OUT_STARTUP || rest.len < length ? (struct slice){0}
									  : slice_cut(rest, 0, length);
}

static void take_packet(struct pg_session *s, struct pg_call *call, unsigned i, struct slice packet)
{
	size_t len = (size_t)(packet.data - pg_rest(call, i).data) + packet.len;

	rddr_pg_take_out(s, call, i, len, false);
}

/* Sends what was made ready for it, behind TLS where it is to be had. */
static void speak_to_backend(struct pg_session *s)
{
	static const uint8_t request[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};
	struct pg_outgoing *o = s->out;
	enum rddr_tls tls = s->host->tls(s->handle, RDDR_LONE);

	if (tls == RDDR_TLS_OFFERED || tls == RDDR_TLS_REQUIRED) {
		o->securing = true;
		s->host->emit(s->handle, RDDR_LONE, request, sizeof(request));
		return;
	}
	s->host->emit(s->handle, RDDR_LONE, o->startup.bytes, o->startup.len);
}

static enum rddr_verdict begin_cancel(struct pg_session *s, struct pg_call *call, const struct slice packet[])
{
	struct pg_outgoing *o = s->out;
	uint8_t request[16] = {0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e};
	uint64_t backend = 0;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		uint64_t mine = packet[i].len == 16 ? rddr_pg_cancel_of(s->host, o->cancel, packet[i].data + 8) : 0;

		if (backend && mine && mine != backend)
			return rddr_pg_find(s, call, i, 0, "it asks to cancel what another connection does");
		backend = mine ? mine : backend;
		take_packet(s, call, i, packet[i]);
	}
	o->phase = PG_OUT_CANCEL;
	if (!backend) {
		/* What it was for is over. */
		s->host->finish(s->handle);
		return RDDR_AGREE;
	}
	memcpy(request + 8, &backend, sizeof(backend));
	if (rddr_pg_queue_put(&o->startup, (struct slice){request, sizeof(request)}) < 0)
		return rddr_pg_find(s, call, 0, call->n > 1, "out of memory");
	speak_to_backend(s);
	s->host->count(s->handle, RDDR_COUNTED_CANCELS, 1);
	return RDDR_AGREE;
}

/* Whether they ask for the same. */
static enum rddr_verdict compare_packets(struct pg_session *s, struct pg_call *call, const struct slice packet[],
					 unsigned source)
{
	unsigned kinds[RDDR_MAX_INSTANCES] = {0}, odd = source;
	struct slice name = {0};

	kinds[source] = source;
	for (unsigned i = source + 1; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		/* Of the kind of the first that asks for the same, or of its own. */
		kinds[i] = source;
		while (kinds[i] < i && !(pg_present(call, kinds[i]) &&
					 rddr_pg_startup_same(s->params, packet[kinds[i]], packet[i], &name)))
			kinds[i]++;
		if (odd == source && kinds[i] != source)
			odd = i;
	}
	if (odd == source || rddr_pg_startup_same(s->params, packet[source], packet[odd], &name))
		return RDDR_AGREE;
	rddr_pg_find(s, call, odd, source, "the startup packets differ in %.*s", (int)(name.len < 60 ? name.len : 60),
		     (const char *)name.data);
	call->result->finding.alone = rddr_pg_alone(call, kinds);
	return RDDR_DIVERGE;
}

/* What the backend is to be asked for: 3.0, whatever the instances hope for. */
static bool keep_startup(struct pg_session *s, struct slice packet)
{
	struct pg_outgoing *o = s->out;

	if (rddr_pg_queue_put(&o->startup, packet) < 0)
		return false;
	pg_put32(o->startup.bytes + o->startup.from + 4, PG_PROTOCOL);
	return true;
}

static enum rddr_verdict begin_enter(struct pg_session *s, struct pg_call *call)
{
	struct slice packet[RDDR_MAX_INSTANCES] = {0}, user;
	struct pg_outgoing *o = s->out;
	unsigned source = call->n;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i)) {
			rddr_pg_auth_gone(o->auth, i);
			continue;
		}
		packet[i] = first_packet(call, i);
		if (!packet[i].data)
			return rddr_pg_find(s, call, i, i == 0, "a first packet that is none");
		source = source < i ? source : i;
	}
	if (source == call->n)
		return RDDR_WAIT;
	if (pg_u32(packet[source].data + 4) == PG_CANCEL)
		return begin_cancel(s, call, packet);
	if (compare_packets(s, call, packet, source) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	o->begun = true;
	if (!rddr_pg_startup_read(packet[source], &user) || !keep_startup(s, packet[source]))
		return rddr_pg_find(s, call, source, source == 0, "a startup packet that is none, or out of memory");
	if (o->alone) {
		/* It may have been forgotten since. */
		o->identity = rddr_pg_startup_identity(s->params, packet[source]);
		if (!rddr_pg_out_standing(s)) {
			s->host->finish(s->handle);
			o->phase = PG_OUT_OVER;
			return RDDR_WAIT;
		}
		rddr_pg_auth_vouch(o->auth, rddr_pg_standing_method(o->standing));
	} else {
		speak_to_backend(s);
	}
	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		negotiate(s, i, packet[i]);
	}
	if (rddr_pg_auth_begin(o->auth, (const char *)user.data) < 0)
		return rddr_pg_find(s, call, source, source == 0, "out of memory");
	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i))
			take_packet(s, call, i, packet[i]);
	}
	return RDDR_AGREE;
}

/* One message of an instance's that logs in. True: it was taken. */
static bool take_answer(struct pg_session *s, struct pg_call *call, unsigned i)
{
	struct pg_auth *auth = s->out->auth;
	struct pg_message m;

	if (!rddr_pg_auth_wants(auth, PG_AUTH_FRONTEND, i))
		return false;
	enum pg_read read = rddr_pg_read(pg_rest(call, i), &m);

	if (read == PG_READ_MORE)
		return false;
	if (read == PG_READ_BAD || m.whole > PG_HEADER + rddr_pg_auth_longest(PG_AUTH_FRONTEND)) {
		rddr_pg_auth_take(auth, PG_AUTH_FRONTEND, i, 'p', NULL, SIZE_MAX);
		return false;
	}
	if (!m.complete)
		return false;
	rddr_pg_auth_take(auth, PG_AUTH_FRONTEND, i, m.type, m.body.data, m.body.len);
	rddr_pg_take_out(s, call, i, m.whole, false);
	return true;
}

/* Everybody is in: what the backend said is kept, and told. */
static enum rddr_verdict end_enter(struct pg_session *s, struct pg_call *call)
{
	struct pg_outgoing *o = s->out;

	if (!o->alone) {
		if (!rddr_pg_out_standing_new(s, rddr_pg_queue_all(&o->startup), rddr_pg_queue_all(&o->settings),
					      rddr_pg_auth_demanded(o->auth)))
			return rddr_pg_find(
				s, call, 0, s->n > 1,
				"the startup packet and the backend's parameters are more than can be kept");
		o->identity = rddr_pg_standing_identity(o->standing, s->params);
	}
	/* Also to say that it is still asked for. */
	if (!rddr_pg_standing_put(o->standing, s->host, o->standings, o->identity))
		return rddr_pg_find(s, call, 0, s->n > 1, "there is no room to keep a login");
	welcome(s, call);
	o->phase = PG_OUT_OVER;
	s->host->neutral(s->handle, o->identity);
	call->result->boundary = true;
	return rddr_pg_moved(call);
}

/* Nobody waits for an answer any more. */
static bool all_left(const struct pg_call *call)
{
	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i) && call->views[i].end == RDDR_END_OPEN)
			return false;
	}
	return true;
}

static enum rddr_verdict go_on(struct pg_session *s, struct pg_call *call)
{
	struct pg_outgoing *o = s->out;
	bool took = false;

	for (unsigned i = 0; i < call->n; i++) {
		while (pg_present(call, i) && take_answer(s, call, i))
			took = true;
		/* One that is gone for good, report mode. */
		if (!pg_present(call, i) && !o->alone)
			rddr_pg_auth_gone(o->auth, i);
	}
	switch (rddr_pg_auth_state(o->auth)) {
	case PG_AUTH_DIVERGED:
		rddr_pg_auth_finding(o->auth, &call->result->finding);
		/* Report mode goes on without somebody; what was said to the backend cannot. */
		if (s->reports)
			s->host->finish(s->handle);
		return RDDR_DIVERGE;
	case PG_AUTH_UNDER_WAY:
		call->result->patient = rddr_pg_auth_patient(o->auth);
		break;
	case PG_AUTH_DONE:
		call->result->patient = true;
		/* What was proved is concealed until it is gone from the buffers. */
		if ((o->alone || o->backend_idle) && took)
			s->host->again(s->handle);
		else if (o->alone || o->backend_idle)
			return end_enter(s, call);
		break;
	default:
		call->result->patient = true;
		break;
	}
	if (!took && all_left(call)) {
		o->phase = PG_OUT_OVER;
		s->host->finish(s->handle);
	}
	return rddr_pg_moved(call);
}

enum rddr_verdict rddr_pg_enter_judge(struct pg_session *s, struct pg_call *call)
{
	struct pg_outgoing *o = s->out;

	if (o->phase == PG_OUT_ENTER)
		return o->begun ? go_on(s, call) : begin_enter(s, call);
	/* The instances are in, and what they ask waits for the backend. */
	call->result->patient = true;
	if (all_left(call)) {
		o->phase = PG_OUT_OVER;
		s->host->finish(s->handle);
		return RDDR_WAIT;
	}
	if (o->begun)
		return RDDR_WAIT;
	o->begun = true;
	struct slice user;
	if (!rddr_pg_out_standing(s) || !rddr_pg_startup_read(rddr_pg_standing_startup(o->standing), &user) ||
	    !keep_startup(s, rddr_pg_standing_startup(o->standing)) ||
	    rddr_pg_auth_begin(o->auth, (const char *)user.data) < 0) {
		/* Who logs in again is known again. */
		s->host->log(s->handle, "what the connections logged in with is not known any more");
		o->phase = PG_OUT_OVER;
		s->host->finish(s->handle);
		return RDDR_WAIT;
	}
	speak_to_backend(s);
	return RDDR_WAIT;
}

/* ---- the backend's login ---- */

static bool keep_setting(struct pg_session *s, const struct pg_message *m)
{
	struct pg_outgoing *o = s->out;
	struct pg_cursor c = {.left = m->body};

	rddr_pg_take_string(&c);
	rddr_pg_take_string(&c);
	return !c.bad && !c.left.len && o->settings.len + m->body.len <= PG_STANDING_MOST &&
	       rddr_pg_queue_put(&o->settings, m->body) == 0;
}

/* What was left behind is said again, each with a Sync behind a Parse. */
static void replay(struct pg_session *s)
{
	static const uint8_t sync[] = {'S', 0, 0, 0, 4};
	struct pg_outgoing *o = s->out;
	struct pg_left_behind left;
	size_t at = 0;

	while (o->standing && rddr_pg_standing_next(o->standing, &at, &left)) {
		s->host->emit(s->handle, RDDR_LONE, left.message.data, left.message.len);
		if (left.kind == PG_LEFT_PREPARED)
			s->host->emit(s->handle, RDDR_LONE, sync, sizeof(sync));
		o->replays++;
	}
	o->phase = o->replays ? PG_OUT_REPLAY : PG_OUT_RUN;
}

static void backend_ready(struct pg_session *s)
{
	struct pg_outgoing *o = s->out;

	if (o->phase == PG_OUT_ENTER)
		o->backend_idle = true;
	else if (o->phase == PG_OUT_LOGIN)
		replay(s);
	else if (--o->replays == 0)
		o->phase = PG_OUT_RUN;
	if (o->phase == PG_OUT_RUN)
		rddr_pg_out_publish(s, true);
	s->host->again(s->handle);
}

/* The backend does not let in, or goes: the instances hear it in its own words. */
static void refuse(struct pg_session *s, const struct pg_message *m, const uint8_t *whole)
{
	rddr_pg_out_tell(s, whole, m->whole);
	s->host->count(s->handle, RDDR_COUNTED_LOGINS_REFUSED, 1);
	s->out->phase = PG_OUT_OVER;
	s->host->finish(s->handle);
}

/* A whole message. False: it is out of place. */
static bool take_backend(struct pg_session *s, const struct pg_message *m, const uint8_t *whole)
{
	struct pg_outgoing *o = s->out;
	bool in = rddr_pg_auth_let_in(o->auth, 0);
	uint64_t key;

	if (m->type == 'E' && o->phase != PG_OUT_REPLAY) {
		refuse(s, m, whole);
		return true;
	}
	if (!in && rddr_pg_auth_wants(o->auth, PG_AUTH_BACKEND, 0) && m->type != 'N' && m->type != 'v')
		return rddr_pg_auth_take(o->auth, PG_AUTH_BACKEND, 0, m->type, m->body.data, m->body.len) ==
		       PG_AUTH_TAKEN;
	switch (m->type) {
	case 'N':
		/* Whoever is in already has not asked for it. */
		if (o->phase == PG_OUT_ENTER)
			rddr_pg_out_tell(s, whole, m->whole);
		return true;
	case 'v':
		return !in;
	case 'S':
		return in && (o->phase != PG_OUT_ENTER || keep_setting(s, m));
	case 'K':
		if (!in || m->body.len != sizeof(key) || o->phase == PG_OUT_REPLAY)
			return false;
		memcpy(&key, m->body.data, sizeof(key));
		s->host->mark(s->handle, RDDR_LONE, key);
		return true;
	case 'C':
	case '1':
		return o->phase == PG_OUT_REPLAY;
	case 'Z':
		if (!in || m->body.len != 1 || m->body.data[0] != 'I' || o->backend_idle)
			return false;
		backend_ready(s);
		return true;
	default:
		return false;
	}
}

enum rddr_modify rddr_pg_enter_tls(struct pg_session *s, const struct rddr_view *view,
				   struct rddr_modify_result *result)
{
	struct pg_outgoing *o = s->out;
	bool required = s->host->tls(s->handle, RDDR_LONE) == RDDR_TLS_REQUIRED;
	char answer = (char)view->data[0];

	if (answer != 'S' && (answer != 'N' || required))
		return rddr_pg_out_reject(result, "the backend %s",
					  answer == 'N'
						  ? "does not speak TLS, and tls: start: required says that it has to"
						  : "answers a request for TLS with neither yes nor no");
	o->securing = false;
	result->consumed = 1;
	if (answer == 'S' && !s->host->start_tls(s->handle, RDDR_LONE))
		return rddr_pg_out_reject(result, "TLS cannot be begun with the backend");
	/* Behind the handshake, if there is one. */
	s->host->emit(s->handle, RDDR_LONE, o->startup.bytes, o->startup.len);
	return RDDR_SEGMENTS;
}

enum rddr_modify rddr_pg_enter_modify(struct pg_session *s, const struct rddr_view *view,
				      struct rddr_modify_result *result)
{
	struct pg_outgoing *o = s->out;
	struct pg_message m;

	if (!o->begun)
		return rddr_pg_out_reject(result, "the backend speaks where no server does");
	if (o->securing)
		return rddr_pg_enter_tls(s, view, result);
	enum pg_read read = rddr_pg_read((struct slice){view->data, view->len}, &m);

	if (read == PG_READ_MORE)
		return RDDR_MODIFY_WAIT;
	if (read == PG_READ_BAD || m.whole > PG_APART_MOST)
		return rddr_pg_out_reject(result, "the backend sends a message of a login that is too long");
	if (!m.complete)
		return RDDR_MODIFY_WAIT;
	if (!take_backend(s, &m, view->data))
		return rddr_pg_out_reject(result, "the backend sends a message of type 0x%02x %s",
					  (unsigned char)m.type,
					  o->phase == PG_OUT_REPLAY ? "to what was said on another connection before"
								    : "in a login, where it does not belong");
	result->consumed = m.whole;
	return RDDR_SEGMENTS;
}
