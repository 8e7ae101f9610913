// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_answer.c - what the instances say, compared message by message.
 *
 * Most of it is the same bytes from all: that is found out in one sweep over all views, and let out up to the last
 * whole message. Only what differs, and what may come anywhere, is looked at by itself.
 */
#include <stdlib.h>

#include "noise.h"
#include "postgres_session.h"

void rddr_pg_take_out(struct pg_session *s, struct pg_call *call, unsigned i, size_t len, bool release)
{
	call->at[i] += len;
	call->result->consumed[i] = call->at[i];
	if (i)
		return;
	if (release)
		s->host->release(s->handle, len);
	else
		s->host->discard(s->handle, len);
	rddr_pg_lead_consumed(s, len);
}

static void take_all(struct pg_session *s, struct pg_call *call, const size_t len[], bool release)
{
	for (unsigned i = 0; i < call->n; i++) {
		if (pg_present(call, i))
			rddr_pg_take_out(s, call, i, len[i], release);
	}
}

/* ---- what a message means for what follows ---- */

/* The result is over, or one without columns begins. */
static void forget_columns(struct pg_session *s)
{
	s->columns.len = s->columns.from = 0;
}

/* The names of a result's columns, for findings. */
static void note_columns(struct pg_session *s, struct slice body)
{
	struct pg_cursor c = {.left = body};
	unsigned n = rddr_pg_take16(&c);

	forget_columns(s);
	for (unsigned i = 0; i < n && !c.bad && s->columns.len < 1024; i++) {
		struct slice name = rddr_pg_take_string(&c);

		rddr_pg_take(&c, 18);
		/* Its end is part of it. Without memory the finding has a number alone. */
		if (!c.bad && name.data)
			rddr_pg_queue_put(&s->columns, (struct slice){name.data, name.len + 1});
	}
}

/* A whole message that agrees. False: a finding was made. */
static bool account(struct pg_session *s, struct pg_call *call, const struct pg_message *m)
{
	call->result->boundary = false;
	rddr_pg_lead_compared(s, m->type);
	switch (m->type) {
	case 'D':
	case 'd':
		s->rows++;
		break;
	case 'T':
		s->rows = 0;
		note_columns(s, m->body);
		break;
	case 'H':
	case 'W':
		/* What comes both ways is no text, whatever it says. */
		s->copy_text = m->type == 'H' && m->body.len && m->body.data[0] == 0;
		s->rows = 0;
		forget_columns(s);
		break;
	case 'n':
		forget_columns(s);
		break;
	case 'C':
	case 'I':
	case 'E':
		s->statements++;
		s->rows = 0;
		forget_columns(s);
		break;
	case 'Z':
		call->result->boundary = true;
		forget_columns(s);
		/* A finding names the request whose answer ends here. */
		if (rddr_pg_apart_answered(s, call) != PG_APART_OK)
			return false;
		rddr_pg_lead_done(s);
		return true;
	default:
		break;
	}
	return true;
}

/* ---- the same bytes from all ---- */

/* How many bytes all views have alike. */
static size_t alike(const struct pg_call *call)
{
	const struct slice source = pg_rest(call, 0);
	size_t len = source.len;

	for (unsigned i = 1; i < call->n && len; i++) {
		if (!pg_present(call, i))
			continue;
		const struct slice rest = pg_rest(call, i);

		if (rest.len < len)
			len = rest.len;
		if (len && memcmp(source.data, rest.data, len) != 0)
			len = rddr_noise_alike(source.data, rest.data, len);
	}
	return len;
}

static bool in_any_order(const struct pg_session *s, char type)
{
	return type == 'D' && s->params->unordered && s->n > 1;
}

static enum rddr_verdict take_alike(struct pg_session *s, struct pg_call *call, bool *took)
{
	size_t len = rddr_pg_bag_empty(s) ? alike(call) : 0, done = 0;
	const struct slice rest = pg_rest(call, 0);
	bool agrees = true;

	while (agrees && done < len) {
		struct pg_message m;

		if (rddr_pg_read(slice_cut(rest, done, len - done), &m) != PG_READ_OK || !m.complete ||
		    rddr_pg_kind_of_answer(m.type) != PG_MAIN)
			break;
		agrees = account(s, call, &m);
		done += m.whole;
	}
	if (!agrees)
		return RDDR_DIVERGE;
	*took = done > 0;
	for (unsigned i = 0; done && i < call->n; i++) {
		if (pg_present(call, i))
			rddr_pg_take_out(s, call, i, done, true);
	}
	return RDDR_AGREE;
}

/* ---- in pieces ---- */

/* Not all have the same byte there. */
static enum rddr_verdict differ_in_piece(struct pg_session *s, struct pg_call *call, size_t at)
{
	unsigned bytes[RDDR_MAX_INSTANCES] = {0}, other = 1;

	for (unsigned i = 0; i < call->n; i++)
		bytes[i] = pg_present(call, i) ? pg_rest(call, i).data[at] : 0;
	while (other + 1 < call->n && (!pg_present(call, other) || bytes[other] == bytes[0]))
		other++;
	rddr_pg_find(s, call, other, 0, "row %llu differs in the middle of a long %s", (unsigned long long)s->rows + 1,
		     rddr_pg_answer_name(s->piece_type));
	call->result->finding.alone = rddr_pg_alone(call, bytes);
	return RDDR_DIVERGE;
}

/* The message under way is longer than what is held: its bytes have to be the same. */
static enum rddr_verdict take_piece(struct pg_session *s, struct pg_call *call)
{
	size_t len = alike(call);
	size_t shortest = SIZE_MAX;

	if (len > s->piece_left)
		len = s->piece_left;
	for (unsigned i = 0; i < call->n; i++) {
		size_t rest = pg_present(call, i) ? pg_rest(call, i).len : SIZE_MAX;

		shortest = rest < shortest ? rest : shortest;
	}
	if (len < shortest && len < s->piece_left)
		return differ_in_piece(s, call, len);
	for (unsigned i = 0; len && i < call->n; i++) {
		if (pg_present(call, i))
			rddr_pg_take_out(s, call, i, len, true);
	}
	s->piece_left -= len;
	if (!s->piece_left) {
		const struct pg_message m = {.type = s->piece_type};

		return account(s, call, &m) ? RDDR_AGREE : RDDR_DIVERGE;
	}
	return len ? RDDR_AGREE : RDDR_WAIT;
}

static size_t whole_most(const struct pg_session *s)
{
	/* What has tokens or noise in it has to be seen whole. */
	if (s->filter || s->params->n_tokens || s->params->unordered || s->limit < PG_PIECES)
		return s->limit;
	return PG_PIECES;
}

static bool may_come_in_pieces(const struct pg_message *m)
{
	return m->type == 'D' || m->type == 'd' || m->type == 'V';
}

/* ---- message by message ---- */

static enum rddr_verdict bad_length(struct pg_session *s, struct pg_call *call, unsigned i)
{
	const struct slice rest = pg_rest(call, i);

	return rddr_pg_find(s, call, i, i == 0 && s->n > 1, "a message of type 0x%02x says it is %d bytes long",
			    rest.data[0], (int)pg_u32(rest.data + 1));
}

/* Every server has its own clock for these: idle_in_transaction_session_timeout, transaction_timeout,
 * idle_session_timeout. */
static bool has_timed_out(struct slice code)
{
	return slice_equal(code, slice_of("25P03")) || slice_equal(code, slice_of("25P04")) ||
	       slice_equal(code, slice_of("57P05"));
}

/*
 * Some are silent. An instance that says why it goes, and goes, is not waited with for the others to go too; but for
 * what all of them do in a moment, which the skew deadline bounds.
 */
static enum rddr_verdict last_words(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	for (unsigned i = 0; i < call->n; i++) {
		const struct slice rest = pg_rest(call, i);

		if (!pg_present(call, i) || call->views[i].end == RDDR_END_OPEN || rest.len < PG_HEADER ||
		    m[i].type != 'E' || !m[i].complete)
			continue;
		/* That the others have not been asked says more. */
		if (i == 0 && s->lost)
			continue;
		struct slice code = rddr_pg_error_field(m[i].body, 'C');

		if (has_timed_out(code))
			continue;
		return rddr_pg_find(s, call, i, i == 0 && s->n > 1, "it ended with an error (%.*s), the others did not",
				    (int)(code.len < 5 ? code.len : 5), (const char *)code.data);
	}
	return RDDR_WAIT;
}

/*
 * Takes the messages that may come anywhere and are whole, also while others say nothing: an instance that sends one
 * is not to be taken for one that has answered. What does not fit waits in the view, as long as the others may make
 * room for it. RDDR_AGREE: there is none, or took.
 */
static enum rddr_verdict take_apart(struct pg_session *s, struct pg_call *call, const struct pg_message m[],
				    bool waiting, bool *took)
{
	unsigned full = call->n;
	bool left = false;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i) || !m[i].whole || rddr_pg_kind_of_answer(m[i].type) != PG_APART)
			continue;
		left = true;
		if (m[i].whole > PG_APART_MOST) {
			rddr_pg_find(s, call, i, i == 0 && s->n > 1, "%s longer than 64 KiB",
				     rddr_pg_answer_name(m[i].type));
			/* It is the first; perhaps all do. */
			call->result->finding.alone = RDDR_ALONE_NOBODY;
			return RDDR_DIVERGE;
		}
		if (!m[i].complete) {
			waiting = true;
			continue;
		}
		if (!rddr_pg_apart_fits(s, i, &m[i])) {
			full = i;
			continue;
		}
		if (rddr_pg_apart(s, call, i, &m[i]) == PG_APART_DIVERGE)
			return RDDR_DIVERGE;
		rddr_pg_take_out(s, call, i, m[i].whole, false);
		*took = true;
	}
	if (*took || !left)
		return RDDR_AGREE;
	if (full < call->n && !waiting)
		return rddr_pg_apart_full(s, call, full, &m[full]);
	return RDDR_WAIT;
}

/* Looks at what each view begins with. RDDR_AGREE: all have a message, and none of them may come anywhere. */
static enum rddr_verdict heads(struct pg_session *s, struct pg_call *call, struct pg_message m[], bool *took)
{
	unsigned waiting = 0, ended = call->n, speaking = call->n;
	enum rddr_verdict verdict;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		switch (rddr_pg_read(pg_rest(call, i), &m[i])) {
		case PG_READ_MORE:
			if (call->views[i].end != RDDR_END_OPEN)
				ended = i;
			waiting++;
			continue;
		case PG_READ_BAD:
			return bad_length(s, call, i);
		case PG_READ_OK:
			break;
		}
		speaking = i;
		if (!m[i].complete && call->views[i].end != RDDR_END_OPEN)
			ended = i;
	}
	if (ended < call->n && pg_rest(call, ended).len)
		return rddr_pg_find(s, call, ended, ended == 0 && s->n > 1, "it ended in the middle of a message");
	if (waiting && ended < call->n && speaking < call->n && !(ended == 0 && s->lost))
		return rddr_pg_find(s, call, ended, speaking, "it ended, and the other goes on");
	verdict = take_apart(s, call, m, waiting > 0, took);
	if (verdict == RDDR_DIVERGE || *took)
		return verdict;
	return waiting ? last_words(s, call, m) : verdict;
}

/* All begin a message; their types may differ. */
static enum rddr_verdict of_one_type(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	const struct pg_place place = {0};
	unsigned other = 0, unknown[RDDR_MAX_INSTANCES] = {0};
	bool complete = true;

	for (unsigned i = 0; i < call->n; i++)
		unknown[i] = pg_present(call, i) && rddr_pg_kind_of_answer(m[i].type) != PG_MAIN;
	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		if (unknown[i]) {
			s->host->count(s->handle, RDDR_COUNTED_UNKNOWN, 1);
			rddr_pg_find(s, call, i, i == 0 && s->n > 1,
				     "a message of type 0x%02x, which no server sends here", (unsigned char)m[i].type);
			call->result->finding.alone = rddr_pg_alone(call, unknown);
			return RDDR_DIVERGE;
		}
		if (!other && m[i].type != m[0].type)
			other = i;
		complete &= m[i].complete || m[i].whole > s->limit;
	}
	if (!other)
		return RDDR_AGREE;
	/* An error says why, and who stands alone is seen by what all say: what is whole soon is waited for. */
	return complete ? rddr_pg_find_place(s, call, other, 0, m, &place) : RDDR_WAIT;
}

static enum rddr_verdict differ_in_length(struct pg_session *s, struct pg_call *call, const struct pg_message m[],
					  unsigned i)
{
	unsigned lengths[RDDR_MAX_INSTANCES];

	for (unsigned k = 0; k < call->n; k++)
		lengths[k] = (unsigned)m[k].whole;
	rddr_pg_find(s, call, i, 0, "row %llu: a long %s of %zu bytes, and not of %zu", (unsigned long long)s->rows + 1,
		     rddr_pg_answer_name(m[i].type), m[i].whole, m[0].whole);
	call->result->finding.alone = rddr_pg_alone(call, lengths);
	return RDDR_DIVERGE;
}

static enum rddr_verdict too_long(struct pg_session *s, struct pg_call *call, const struct pg_message m[], unsigned i)
{
	unsigned longer[RDDR_MAX_INSTANCES];

	for (unsigned k = 0; k < call->n; k++)
		longer[k] = m[k].whole > s->limit;
	rddr_pg_find(s, call, i, i == 0 && s->n > 1, "%s of %zu bytes, longer than limits.buffer, which is %zu",
		     rddr_pg_answer_name(m[i].type), m[i].whole, s->limit);
	call->result->finding.alone = rddr_pg_alone(call, longer);
	return RDDR_DIVERGE;
}

/* Whether all are there to be compared whole. Not so: waits, or begins to take pieces. */
static enum rddr_verdict wholly(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	bool complete = true;

	for (unsigned i = 0; i < call->n; i++) {
		if (!pg_present(call, i))
			continue;
		complete &= m[i].complete;
		if (m[i].whole <= whole_most(s) || (m[i].complete && m[0].complete))
			continue;
		if (!may_come_in_pieces(&m[i]) || in_any_order(s, m[i].type)) {
			if (m[i].whole <= s->limit)
				continue;
			return too_long(s, call, m, i);
		}
		if (m[i].whole != m[0].whole)
			return differ_in_length(s, call, m, i);
		s->piece_left = s->piece_whole = m[0].whole;
		s->piece_type = m[0].type;
	}
	return complete || s->piece_left ? RDDR_AGREE : RDDR_WAIT;
}

static enum rddr_verdict compare(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	struct pg_place place = {0};
	size_t len[RDDR_MAX_INSTANCES] = {0};
	unsigned i = 0, k = 0;
	bool rows = m[0].type == 'D' || m[0].type == 'd' || m[0].type == 'V';

	if (rows && s->filter && pg_present(call, 1)) {
		/* Noise is weighed against what earlier calls consumed. */
		if (call->at[0])
			return RDDR_WAIT;
		if (!rddr_pg_rows_filtered(s, call, m, &i, &k, &place))
			return rddr_pg_find_place(s, call, i, i == k ? i == 0 : k, m, &place);
	} else {
		for (i = 1; i < call->n; i++) {
			if (pg_present(call, i) && !rddr_pg_same(s, i, &m[i], 0, &m[0], &place))
				return rddr_pg_find_place(s, call, i, 0, m, &place);
		}
	}
	for (i = 0; i < call->n; i++)
		len[i] = m[i].whole;
	if (!account(s, call, &m[0]))
		return RDDR_DIVERGE;
	/* Where something is left out of comparison, the client gets it anew. */
	bool anew = strchr("ETt", m[0].type) != NULL;

	if (anew && !rddr_pg_write(s, call, m))
		return rddr_pg_find_nobody(s, call, 0, "out of memory");
	take_all(s, call, len, !anew);
	return RDDR_AGREE;
}

/* Rows in any order: each view goes on by itself. */
static enum rddr_verdict take_rows(struct pg_session *s, struct pg_call *call, bool *took)
{
	for (unsigned i = 0; i < call->n; i++) {
		struct pg_message m;

		while (pg_present(call, i) && rddr_pg_read(pg_rest(call, i), &m) == PG_READ_OK && m.type == 'D' &&
		       m.complete) {
			enum pg_bag_take take = rddr_pg_bag_row(s, call, i, &m);

			if (take == PG_BAG_FULL)
				return rddr_pg_find_nobody(s, call, i, "more rows in another order than can be held");
			if (take == PG_BAG_FAILED)
				return rddr_pg_find_nobody(s, call, i, "out of memory");
			*took = true;
		}
	}
	return RDDR_AGREE;
}

/* What follows the rows: all have to have had the same ones. */
static enum rddr_verdict end_rows(struct pg_session *s, struct pg_call *call, const struct pg_message m[])
{
	unsigned i, k;

	for (unsigned j = 0; j < call->n; j++) {
		if (pg_present(call, j) && m[j].type == 'D' && m[j].whole <= s->limit)
			return RDDR_WAIT;
	}
	if (rddr_pg_bag_balanced(s, &i, &k))
		return RDDR_AGREE;
	rddr_pg_find(s, call, i, k, "a result (in any order) has a row that the other's has not");
	/* One has it too often, or one not at all: this row alone does not tell. */
	call->result->finding.alone = RDDR_ALONE_NOBODY;
	return RDDR_DIVERGE;
}

static enum rddr_verdict step(struct pg_session *s, struct pg_call *call, bool *took)
{
	struct pg_message m[RDDR_MAX_INSTANCES] = {0};
	enum rddr_verdict verdict;

	if (s->piece_left) {
		verdict = take_piece(s, call);
		*took = verdict == RDDR_AGREE;
		return verdict;
	}
	verdict = take_alike(s, call, took);
	if (verdict == RDDR_AGREE && !*took && s->params->unordered && s->n > 1)
		verdict = take_rows(s, call, took);
	if (verdict != RDDR_AGREE || *took)
		return verdict;
	verdict = heads(s, call, m, took);
	if (verdict != RDDR_AGREE || *took)
		return verdict;
	if (s->params->unordered && s->n > 1)
		verdict = end_rows(s, call, m);
	if (verdict == RDDR_AGREE)
		verdict = of_one_type(s, call, m);
	if (verdict == RDDR_AGREE)
		verdict = wholly(s, call, m);
	if (verdict == RDDR_AGREE && !s->piece_left)
		verdict = compare(s, call, m);
	*took = verdict == RDDR_AGREE;
	return verdict;
}

enum rddr_verdict rddr_pg_answer(struct pg_session *s, struct pg_call *call)
{
	for (unsigned i = 0; i < call->n; i++)
		s->ended |= call->views[i].end == RDDR_END_ENDED || call->views[i].end == RDDR_END_RESET;
	for (;;) {
		bool took = false;
		enum rddr_verdict verdict = step(s, call, &took);

		if (verdict == RDDR_DIVERGE)
			return RDDR_DIVERGE;
		if (!took)
			break;
	}
	return rddr_pg_moved(call);
}
