// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres.c - diff-class postgres: PostgreSQL's protocol 3.0, as the manual's chapter "Frontend/Backend Protocol"
 * describes it. postgres_session.h says which file does what; rddr-postgres(7) what an operator sees.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "postgres_outgoing.h"

/* Keys of clients that are remembered for cancelling, for all sessions of a service. */
#define KEYS 65536

static void redact(struct pg_session *s)
{
	if (s->params->redact)
		s->host->conceal(s->handle, RDDR_LONE, SIZE_MAX);
	for (unsigned i = 0; s->params->redact && i < s->n; i++)
		s->host->conceal(s->handle, i, SIZE_MAX);
}

static int create_outgoing(struct pg_session *s, const struct rddr_diff_create *args, void **state)
{
	int r = rddr_pg_out_create(s, args);

	if (r < 0) {
		free(s);
		return r;
	}
	redact(s);
	*state = s;
	return 0;
}

static int create(const struct rddr_diff_create *args, void **state)
{
	const struct pg_params *params = args->params;
	struct pg_session *s;

	/* A host that does not know check_params has not asked. */
	if (params->n_tokens && params->tokens[0].n != args->instances)
		return -EINVAL;
	s = calloc(1, sizeof(*s) + args->instances * sizeof(s->instance[0]));
	if (!s)
		return -ENOMEM;
	s->host = args->host;
	s->handle = args->session;
	s->params = params;
	s->n = args->instances;
	s->filter = args->do_filter;
	s->reports = args->reports;
	s->leading = s->n > 1 && !params->parallel;
	s->limit = args->limit;
	s->status = 'I';
	if (args->direction == RDDR_OUTGOING)
		return create_outgoing(s, args, state);
	/* What instance 0 says to it would go straight to the client. */
	if (s->reports && rddr_pg_tls_any(s)) {
		free(s);
		return -ENOTSUP;
	}
	s->keys = s->host->table(s->handle, "postgres-keys", KEYS);
	if (!s->keys || rddr_pg_auth_new(params->auth, args, &s->auth) < 0) {
		free(s);
		return -ENOMEM;
	}
	redact(s);
	*state = s;
	return 0;
}

static void destroy(void *state)
{
	struct pg_session *s = state;

	if (s->out)
		rddr_pg_out_destroy(s);
	rddr_pg_cancel_forget(s);
	rddr_pg_auth_free(&s->auth);
	for (unsigned i = 0; i < s->n; i++) {
		rddr_pg_queue_free(&s->instance[i].settings);
		for (unsigned k = 0; k < PG_QUEUES; k++)
			rddr_pg_queue_free(&s->instance[i].apart[k]);
	}
	rddr_pg_queue_free(&s->columns);
	rddr_pg_bag_free(s);
	free(s->ring);
	free(s);
}

/* Report mode: a byte from each. */
static enum rddr_verdict answers_to_encryption(struct pg_session *s, struct pg_call *call)
{
	for (unsigned i = 0; i < call->n; i++) {
		const struct rddr_view *v = &call->views[i];

		if (pg_present(call, i) && !v->len)
			return RDDR_WAIT;
		if (pg_present(call, i) && v->data[0] != 'N')
			return rddr_pg_find(s, call, i, i == 0 && call->n > 1,
					    "it agrees to encryption, which hides what follows");
	}
	for (unsigned i = 0; i < call->n; i++)
		call->result->consumed[i] = pg_present(call, i);
	s->asked_encryption = false;
	return RDDR_AGREE;
}

/* The client has said goodbye, and an instance closes, in order or not: nobody is to wait for the others. */
static bool is_over(const struct pg_session *s, const struct pg_call *call)
{
	bool ended = false;

	for (unsigned i = 0; i < call->n; i++) {
		if (call->views[i].len)
			return false;
		ended |= pg_present(call, i) && call->views[i].end != RDDR_END_OPEN;
	}
	return ended && s->terminated && !s->reports;
}

static enum rddr_verdict judge_answers(struct pg_session *s, struct pg_call *call)
{
	rddr_pg_lead_scan(s, &call->views[0]);
	if (s->unsent)
		return rddr_pg_cancel_answer(s, call);
	enum rddr_verdict verdict = rddr_pg_answer(s, call);

	/* What agrees is let out all the same. */
	return verdict != RDDR_DIVERGE && s->lost ? rddr_pg_lead_lost(s, call) : verdict;
}

static enum rddr_verdict judge(struct pg_session *s, const struct rddr_view views[], unsigned n,
			       struct rddr_diff_result *result)
{
	struct pg_call call = {.views = views, .n = n, .result = result};

	if (!s->params->redact)
		rddr_pg_auth_reveal(s->auth);
	/* The client may have gone on when instance 0 answered. */
	if (s->asked_encryption)
		return answers_to_encryption(s, &call);
	if (s->tls_pending)
		return rddr_pg_tls_answers(s, &call);
	if (s->phase == PG_PHASE_RUN && is_over(s, &call)) {
		s->host->finish(s->handle);
		return RDDR_WAIT;
	}
	switch ((enum pg_phase)s->phase) {
	case PG_PHASE_LOGIN:
		return rddr_pg_startup(s, &call);
	case PG_PHASE_RUN:
		return judge_answers(s, &call);
	case PG_PHASE_FIRST:
	case PG_PHASE_CANCEL:
		break;
	}
	/* A server does not speak first, and does not answer a request to cancel. */
	for (unsigned i = 0; i < n; i++) {
		if (views[i].len)
			return rddr_pg_find(s, &call, i, i == 0 && n > 1, "it speaks where no server does");
	}
	return RDDR_WAIT;
}

static enum rddr_verdict diff_traffic(void *state, const struct rddr_view views[], unsigned n,
				      struct rddr_diff_result *result)
{
	struct pg_session *s = state;
	enum rddr_verdict verdict = s->out ? rddr_pg_out_judge(s, views, n, result) : judge(s, views, n, result);

	/*
	 * Report mode goes on behind a difference, without whoever differs, and books nothing of the call that found
	 * it. What was taken in front of it is booked first: the difference is found again.
	 */
	for (unsigned i = 0; i < n && s->reports && verdict == RDDR_DIVERGE; i++) {
		if (result->consumed[i])
			return RDDR_AGREE;
	}
	return verdict;
}

static enum rddr_modify modify_traffic(void *state, const struct rddr_view *view, struct rddr_modify_result *result)
{
	struct pg_session *s = state;

	return s->out ? rddr_pg_out_modify(s, view, result) : rddr_pg_front(s, view, result);
}

/* What the client is told: an SQLSTATE, and in words. */
static const struct {
	const char *code, *text;
} denials[] = {
	[RDDR_DENIED_DIVERGENCE] = {"57000", "the servers behind this address do not agree"},
	[RDDR_DENIED_MISSING] = {"08001", "a server behind this address cannot be reached"},
	[RDDR_DENIED_LATE] = {"57000", "a server behind this address did not answer in time"},
	[RDDR_DENIED_EARLY_END] = {"08006", "a server behind this address ended the connection"},
	[RDDR_DENIED_REJECTED] = {"08P01", "what the client sent is not in order, and was passed to no server"},
	[RDDR_DENIED_LIMIT] = {"57000", "a bound of RDDR was reached"},
	[RDDR_DENIED_FAILED] = {"57000", "RDDR failed"},
};

static void render_denial(void *state, const struct rddr_denial *denial)
{
	struct pg_session *s = state;
	uint8_t message[PG_HEADER + 256] = {'E'};
	const size_t room = sizeof(message) - PG_HEADER;

	_Static_assert(sizeof(denials) / sizeof(denials[0]) == RDDR_DENIAL_REASONS, "words for each reason");
	/* Behind a part of a message nothing can be said. */
	if ((s->piece_left && s->piece_left < s->piece_whole) || s->phase == PG_PHASE_CANCEL)
		return;
	/* Fields: each a letter and a terminated string, and a zero behind the last. */
	int len = snprintf((char *)message + PG_HEADER, room, "SFATAL%cVFATAL%cC%s%cMRDDR: %s (reference %s)%c", 0, 0,
			   denials[denial->reason].code, 0, denials[denial->reason].text, denial->reference, 0);

	if (len < 0 || (size_t)len >= room - 1)
		return;
	pg_put32(message + 1, (uint32_t)(4 + len + 1));
	if (s->out)
		rddr_pg_out_denial(s, message, PG_HEADER + (size_t)len + 1);
	else
		s->host->emit(s->handle, RDDR_LONE, message, PG_HEADER + (size_t)len + 1);
}

const struct rddr_diff_plugin rddr_diff_plugin = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(rddr_diff_plugin),
	.name = "postgres",
	.validate_params = rddr_pg_params_read,
	.free_params = rddr_pg_params_free,
	.check_params = rddr_pg_params_check,
	.create = create,
	.destroy = destroy,
	.diff_traffic = diff_traffic,
	.modify_traffic = modify_traffic,
	.render_denial = render_denial,
	.opening = rddr_pg_opening,
};
