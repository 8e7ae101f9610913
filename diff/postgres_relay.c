/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_relay.c - outgoing services: what the backend answers, which goes to all as it comes. It is read for where
 * requests end, for what they have left behind, and for what was answered by RDDR before.
 */
#include <stdio.h>

#include "postgres_outgoing.h"

/* What becomes of a message. */
enum fate {
	FATE_PASS,    /* to all */
	FATE_SWALLOW, /* to none: they have had it from RDDR */
	FATE_SOME,    /* to those who have not had it */
	FATE_HOLD,    /* report mode: what it answers was not judged yet */
	FATE_REJECT,
};

static bool is_async(char type)
{
	return type == 'N' || type == 'S' || type == 'A';
}

/* What is looked at is looked at whole. */
static bool is_looked_at(char type)
{
	return strchr("CEZGW13", type) != NULL;
}

static struct pg_asked *current(struct pg_outgoing *o)
{
	for (unsigned i = 0; i < o->n_asked; i++) {
		if (o->asked[i].kind != 'c')
			return &o->asked[i];
	}
	return NULL;
}

static uint32_t everybody(const struct pg_session *s)
{
	return (uint32_t)((UINT64_C(1) << s->n) - 1);
}

static enum fate fate_of(struct pg_session *s, const struct pg_message *m, struct rddr_modify_result *result)
{
	struct pg_outgoing *o = s->out;
	const struct pg_asked *asked = current(o);
	enum pg_kind kind = rddr_pg_kind_of_answer(m->type);

	if (kind == PG_UNKNOWN || kind == PG_LOGIN) {
		s->fe_unknown = true;
		rddr_pg_out_reject(result, "the backend sends a message of type 0x%02x, which no server sends here",
				   (unsigned char)m->type);
		return FATE_REJECT;
	}
	if (is_async(m->type))
		return FATE_PASS;
	if (!asked && m->type != 'E' && (m->type == 'Z' || (!o->open && !o->copying))) {
		rddr_pg_out_reject(result, "the backend sends %s, and nobody asked for it",
				   rddr_pg_answer_name(m->type));
		return s->reports ? FATE_HOLD : FATE_REJECT;
	}
	if (!asked || !asked->told)
		return FATE_PASS;
	if (m->type == 'E' || (m->type == 'Z' && (m->body.len != 1 || m->body.data[0] != 'T'))) {
		rddr_pg_out_reject(result, "the backend does not begin the transaction that the instances were told "
					   "had begun");
		return FATE_REJECT;
	}
	return asked->told == everybody(s) ? FATE_SWALLOW : FATE_SOME;
}

/* The backend takes CopyData. Sync that was sent in front of CopyDone it will have passed over. */
static void begin_copy(struct pg_outgoing *o)
{
	const struct pg_asked *asked = current(o);
	bool simple = asked && asked->kind == 'Q';
	unsigned from = simple ? (unsigned)(asked - o->asked) + 1 : 0, mark = from;

	while (mark < o->n_asked && o->asked[mark].kind != 'c')
		mark++;
	o->copying = mark == o->n_asked;
	/* A Query's own ReadyForQuery comes behind the copy. */
	unsigned upto = o->copying ? mark : mark + 1;
	for (unsigned i = from; i < upto; i++)
		o->answered += o->asked[i].kind != 'c';
	memmove(&o->asked[from], &o->asked[upto], (o->n_asked - upto) * sizeof(o->asked[0]));
	o->n_asked -= upto - from;
	o->open |= !simple;
}

static void ready(struct pg_session *s, char status)
{
	struct pg_outgoing *o = s->out;
	struct pg_asked *asked = current(o);
	unsigned gone = (unsigned)(asked - o->asked) + 1;

	o->status = status;
	o->copying = false;
	rddr_pg_effects_ready(s, status, asked->steps);
	memmove(&o->asked[0], &o->asked[gone], (o->n_asked - gone) * sizeof(o->asked[0]));
	o->n_asked -= gone;
	o->answered++;
	s->host->again(s->handle);
	if (!o->n_asked && !o->open && !o->piece_left)
		rddr_pg_out_settle(s);
}

static struct slice tag_of(const struct pg_message *m)
{
	struct pg_cursor c = {.left = m->body};

	return rddr_pg_take_string(&c);
}

/* A whole message, which has its fate. */
static void account(struct pg_session *s, const struct pg_message *m)
{
	struct pg_outgoing *o = s->out;

	switch (m->type) {
	case 'C':
		rddr_pg_effects_done(o, tag_of(m));
		break;
	case 'E':
		o->failed = true;
		o->rolled_back = false;
		break;
	case '1':
	case '3':
		rddr_pg_effects_step(s);
		break;
	case 'W':
		o->sticks = true;
		/* fall through */
	case 'G':
		begin_copy(o);
		break;
	case 'Z':
		ready(s, m->body.len == 1 ? (char)m->body.data[0] : 'E');
		break;
	default:
		break;
	}
}

/* Those who have not had it from RDDR. */
static void pass_to_some(struct pg_session *s, size_t at, size_t len)
{
	uint32_t told = current(s->out)->told;

	for (unsigned i = 0; i < s->n; i++) {
		if (!(told & 1u << i))
			s->host->segment_ref(s->handle, i, at, len);
	}
}

enum rddr_modify rddr_pg_relay(struct pg_session *s, const struct rddr_view *view, struct rddr_modify_result *result)
{
	const struct slice all = {view->data, view->len};
	struct pg_outgoing *o = s->out;
	enum fate last = FATE_PASS;

	while (result->consumed < view->len) {
		struct slice rest = slice_cut(all, result->consumed, SIZE_MAX);
		struct pg_message m;
		size_t part;

		if (o->part_left) {
			part = o->part_left < rest.len ? o->part_left : rest.len;
			o->part_left -= part;
			result->consumed += part;
			continue;
		}
		enum pg_read read = rddr_pg_read(rest, &m);
		if (read == PG_READ_BAD)
			return rddr_pg_out_reject(result, "the backend sends a message with a length that cannot be");
		if (read == PG_READ_MORE)
			break;
		enum fate fate = fate_of(s, &m, result);

		/* One thing at a time. */
		if (result->consumed && fate != last)
			break;
		if (fate == FATE_REJECT)
			return RDDR_REJECT;
		if (fate == FATE_HOLD)
			return RDDR_MODIFY_HOLD;
		bool in_parts = fate == FATE_PASS && !is_looked_at(m.type);
		if (!m.complete && !in_parts) {
			if (m.whole > s->limit)
				return rddr_pg_out_reject(result,
							  "%s of the backend's of %zu bytes, longer than "
							  "limits.buffer",
							  rddr_pg_answer_name(m.type), m.whole);
			break;
		}
		last = fate;
		if (fate == FATE_SOME)
			pass_to_some(s, result->consumed, m.whole);
		part = m.complete ? m.whole : rest.len;
		o->part_left = m.whole - part;
		result->consumed += part;
		if (m.complete)
			account(s, &m);
	}
	result->why[0] = '\0';
	if (!result->consumed)
		return RDDR_MODIFY_WAIT;
	return last == FATE_PASS ? RDDR_SAME_FOR_ALL : RDDR_SEGMENTS;
}
