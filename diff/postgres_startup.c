// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_startup.c - from the startup packet to the first ReadyForQuery of each instance.
 *
 * Nothing of it goes to the client as it comes: what an instance says here is taken one message at a time, by itself,
 * and when all are ready the client is told what all agree on, in words of RDDR's own: AuthenticationOk, the settings
 * that every instance has, a key, ReadyForQuery. How the client proves
 * who it is, and RDDR to each instance, is pg_auth.h's. An ErrorResponse instead is compared and let out as at any
 * other time.
 */
#include <stdio.h>

#include "postgres_session.h"

/* How an instance stands, by what its view begins with. */
enum stand { STANDS_WAITING, STANDS_MOVED, STANDS_READY, STANDS_FAILED, STANDS_DIVERGED };

/* ---- settings ---- */

static bool find_setting(const struct pg_instance *in, struct slice name, struct slice *value)
{
	struct pg_cursor c = {.left = rddr_pg_queue_all(&in->settings)};
	bool found = false;

	while (c.left.len && !c.bad) {
		struct slice other = rddr_pg_take_string(&c), its = rddr_pg_take_string(&c);

		/* One that comes twice has its last value. */
		if (!c.bad && slice_equal(name, other)) {
			*value = its;
			found = true;
		}
	}
	return found;
}

/* What all have of one of instance 0's settings. */
struct values {
	struct slice of[RDDR_MAX_INSTANCES];
	bool everybody; /* has it */
};

/* The first that has another value; s->n: none has. */
static unsigned find_other(const struct pg_session *s, const struct pg_call *call, const struct values *v, bool ignored,
			   bool *differ)
{
	*differ = false;
	for (unsigned i = 1; i < s->n; i++) {
		if (!pg_present(call, i) || !v->of[i].data || slice_equal(v->of[i], v->of[0]))
			continue;
		*differ = true;
		if (ignored ? !rddr_pg_setting_form(v->of[i]) || !rddr_pg_setting_form(v->of[0])
			    : !rddr_pg_same_text(s, i, v->of[i], 0, v->of[0]))
			return i;
	}
	return s->n;
}

static enum rddr_verdict differ_in(struct pg_session *s, struct pg_call *call, struct slice name,
				   const struct values *v, bool ignored, unsigned who)
{
	unsigned kinds[RDDR_MAX_INSTANCES] = {0};

	if (ignored)
		rddr_pg_find(s, call, who, 0, "parameter %.*s is not compared, but too long, or no text",
			     (int)(name.len < 40 ? name.len : 40), (const char *)name.data);
	else if (s->params->redact)
		rddr_pg_find(s, call, who, 0, "parameter %.*s: the values differ", (int)(name.len < 40 ? name.len : 40),
			     (const char *)name.data);
	else
		rddr_pg_find(s, call, who, 0, "parameter %.*s is \"%.*s\" and not \"%.*s\"",
			     (int)(name.len < 40 ? name.len : 40), (const char *)name.data,
			     (int)(v->of[who].len < 40 ? v->of[who].len : 40), (const char *)v->of[who].data,
			     (int)(v->of[0].len < 40 ? v->of[0].len : 40), (const char *)v->of[0].data);
	for (unsigned i = 0; i < s->n; i++) {
		while (kinds[i] < i && pg_present(call, i) &&
		       (ignored ? rddr_pg_setting_form(v->of[i]) != rddr_pg_setting_form(v->of[kinds[i]])
				: !rddr_pg_same_text(s, i, v->of[i], kinds[i], v->of[kinds[i]])))
			kinds[i]++;
	}
	call->result->finding.alone = rddr_pg_alone(call, kinds);
	return RDDR_DIVERGE;
}

static enum rddr_verdict tell_settings(struct pg_session *s, struct pg_call *call)
{
	struct pg_cursor c = {.left = rddr_pg_queue_all(&s->instance[0].settings)};

	while (c.left.len && !c.bad) {
		struct slice name = rddr_pg_take_string(&c), value = rddr_pg_take_string(&c);
		struct values v = {.everybody = true};
		uint8_t head[PG_HEADER] = {'S'};
		bool ignored = rddr_pg_params_ignores_setting(s->params, name), differ;

		for (unsigned i = 0; i < s->n; i++)
			v.everybody &= !pg_present(call, i) || find_setting(&s->instance[i], name, &v.of[i]);
		/* Of one that comes twice only the last is told, as it is only the last that is compared. */
		if (v.of[0].data != value.data)
			continue;
		unsigned who = find_other(s, call, &v, ignored, &differ);

		if (who < s->n)
			return differ_in(s, call, name, &v, ignored, who);
		if (!v.everybody) {
			s->host->log(s->handle, "a parameter that not every instance has is not passed on");
			continue;
		}
		if (ignored && differ)
			s->host->count(s->handle, RDDR_COUNTED_RULES_APPLIED, 1);
		pg_put32(head + 1, (uint32_t)(4 + name.len + 1 + value.len + 1));
		s->host->emit(s->handle, RDDR_LONE, head, sizeof(head));
		/* Both are terminated, and follow one another. */
		s->host->emit(s->handle, RDDR_LONE, name.data, name.len + 1 + value.len + 1);
	}
	return RDDR_AGREE;
}

/* ---- one instance ---- */

static enum stand diverged(struct pg_session *s, struct pg_call *call, unsigned i, const char *why)
{
	rddr_pg_find(s, call, i, i == 0 && s->n > 1, "%s", why);
	return STANDS_DIVERGED;
}

/* Until it lets in, what it says is the login's. */
static enum stand authentication(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	if (!rddr_pg_auth_wants(s->auth, PG_AUTH_BACKEND, i))
		return m->type == 'E' ? STANDS_FAILED : STANDS_WAITING;
	switch (rddr_pg_auth_take(s->auth, PG_AUTH_BACKEND, i, m->type, m->body.data, m->body.len)) {
	case PG_AUTH_TAKEN:
		return STANDS_MOVED;
	case PG_AUTH_LEFT:
		return m->type == 'E' ? STANDS_FAILED : STANDS_WAITING;
	case PG_AUTH_PASS:
		break;
	}
	if (m->type == 'N')
		return rddr_pg_apart(s, call, i, m) == PG_APART_OK ? STANDS_MOVED : STANDS_DIVERGED;
	/* It alone was asked for what not every server speaks, and the client has heard it. */
	if (m->type == 'v' && s->reports && i == 0)
		return STANDS_MOVED;
	return diverged(s, call, i, "a message that no server sends before the client is let in");
}

static enum stand setting(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	struct pg_instance *in = &s->instance[i];
	struct pg_cursor c = {.left = m->body};

	rddr_pg_take_string(&c);
	rddr_pg_take_string(&c);
	if (c.bad || c.left.len)
		return diverged(s, call, i, "a ParameterStatus that is no name and value");
	if (in->settings.len + m->body.len > PG_SETTINGS_MOST || rddr_pg_queue_put(&in->settings, m->body) < 0)
		return diverged(s, call, i, "more parameters than there is room for");
	return STANDS_MOVED;
}

static enum stand key(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	struct pg_instance *in = &s->instance[i];

	/* Of a later protocol, which is spoken in report mode with it alone: there is no cancelling then. */
	if (s->reports && i == 0 && m->body.len > sizeof(in->key))
		return STANDS_MOVED;
	if (m->body.len != sizeof(in->key) || in->has_key)
		return diverged(s, call, i, "a BackendKeyData that is not one of 8 bytes");
	memcpy(in->key, m->body.data, sizeof(in->key));
	in->has_key = true;
	return STANDS_MOVED;
}

/* A complete message of an instance that is not ready. */
static enum stand take(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m)
{
	struct pg_instance *in = &s->instance[i];

	if (!rddr_pg_auth_let_in(s->auth, i))
		return authentication(s, call, i, m);
	switch (m->type) {
	case 'N':
		return rddr_pg_apart(s, call, i, m) == PG_APART_OK ? STANDS_MOVED : STANDS_DIVERGED;
	case 'E':
		return STANDS_FAILED;
	case 'S':
		return setting(s, call, i, m);
	case 'K':
		return key(s, call, i, m);
	case 'Z':
		if (m->body.len != 1 || m->body.data[0] != 'I')
			return diverged(s, call, i, "a ReadyForQuery that is not idle, to begin with");
		in->ready = true;
		return STANDS_MOVED;
	default:
		return diverged(s, call, i, "a message that no server sends in a login");
	}
}

/* Goes on with instance i, one message. */
static enum stand advance(struct pg_session *s, struct pg_call *call, unsigned i)
{
	struct pg_message m;

	if (s->instance[i].ready)
		return STANDS_READY;
	switch (rddr_pg_read(pg_rest(call, i), &m)) {
	case PG_READ_MORE:
		return STANDS_WAITING;
	case PG_READ_BAD:
		return diverged(s, call, i, "a message with a length that cannot be");
	case PG_READ_OK:
		break;
	}
	if (m.whole > PG_APART_MOST)
		return diverged(s, call, i, "a message of a login that is longer than 64 KiB");
	if (!m.complete)
		return STANDS_WAITING;
	enum stand stand = take(s, call, i, &m);

	if (stand == STANDS_MOVED)
		rddr_pg_take_out(s, call, i, m.whole, false);
	return stand;
}

/* ---- all of them ---- */

/* Everybody is ready: the client may ask. */
static enum rddr_verdict begin_run(struct pg_session *s, struct pg_call *call)
{
	static const uint8_t ready[] = {'Z', 0, 0, 0, 5, 'I'};
	uint8_t key_data[PG_HEADER + 8] = {'K', 0, 0, 0, 12};
	bool keys = true;

	if (tell_settings(s, call) == RDDR_DIVERGE)
		return RDDR_DIVERGE;
	for (unsigned i = 0; i < s->n; i++) {
		keys &= s->instance[i].has_key || !pg_present(call, i);
		rddr_pg_queue_free(&s->instance[i].settings);
	}
	/* Without a key there is no cancelling, which a client can live with. */
	if (keys && rddr_pg_cancel_remember(s) && !s->reports) {
		memcpy(key_data + PG_HEADER, s->client_key, 8);
		s->host->emit(s->handle, RDDR_LONE, key_data, sizeof(key_data));
	}
	s->host->emit(s->handle, RDDR_LONE, ready, sizeof(ready));
	s->phase = PG_PHASE_RUN;
	if (s->leading)
		s->host->lead(s->handle, s->params->lead_time);
	call->result->boundary = true;
	return RDDR_AGREE;
}

enum rddr_verdict rddr_pg_startup(struct pg_session *s, struct pg_call *call)
{
	unsigned ready = 0, failed = 0, present = 0, a_ready = 0, a_failed = 0, stands[RDDR_MAX_INSTANCES] = {0};
	bool may_follow = false;

	for (unsigned i = 0; i < s->n; i++) {
		enum stand stand = STANDS_MOVED;

		if (!pg_present(call, i)) {
			rddr_pg_auth_gone(s->auth, i);
			continue;
		}
		present++;
		while (stand == STANDS_MOVED)
			stand = advance(s, call, i);
		if (stand == STANDS_DIVERGED)
			return RDDR_DIVERGE;
		stands[i] = stand;
		may_follow |= stand == STANDS_WAITING && call->views[i].end == RDDR_END_OPEN;
		if (stand == STANDS_READY) {
			ready++;
			a_ready = i;
		} else if (stand == STANDS_FAILED) {
			failed++;
			a_failed = i;
		}
	}
	switch (rddr_pg_auth_state(s->auth)) {
	case PG_AUTH_DIVERGED:
		rddr_pg_auth_finding(s->auth, &call->result->finding);
		return RDDR_DIVERGE;
	case PG_AUTH_UNDER_WAY:
		call->result->patient = rddr_pg_auth_patient(s->auth);
		return RDDR_AGREE;
	case PG_AUTH_ENDED:
		return RDDR_AGREE;
	default:
		break;
	}
	/* Who stands alone is seen by what all do. */
	if (ready && failed && !may_follow) {
		rddr_pg_find(s, call, a_failed, a_ready, "it refused the client, another let it in");
		call->result->finding.alone =
			ready + failed == present ? rddr_pg_alone(call, stands) : RDDR_ALONE_NOBODY;
		return RDDR_DIVERGE;
	}
	if (failed == present) {
		/* Each says why; that is compared like any other error. */
		s->phase = PG_PHASE_RUN;
		return rddr_pg_answer(s, call);
	}
	return ready == present ? begin_run(s, call) : rddr_pg_moved(call);
}
