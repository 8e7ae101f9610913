/* SPDX-License-Identifier: BSD-2-Clause */
#include "target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "metrics.h"
#include "own.h"
#include "resolver.h"
#include "session.h"
#include "worker.h"

struct target {
	char host[RESOLVER_NAME + 1];
	uint16_t port;
	bool due;      /* it was named in the call that is under way, or is named again */
	bool changed;  /* it is another one than before */
	bool resolved; /* answer holds */
	bool guarded;  /* there were addresses, and they are other services' */
	struct resolver_query *query;
	struct resolver_answer answer;
};

static bool follows(const struct rddr_session *s, unsigned i)
{
	return s->service->instances[i].chainer.ops->wants_target && s->many[i].in.end != RDDR_END_ABSENT;
}

bool rddr_target_wanted(const struct service *service)
{
	for (unsigned i = 0; i < service->n_instances; i++) {
		if (service->instances[i].chainer.ops->wants_target)
			return true;
	}
	return false;
}

static bool all_there(const struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		if (follows(s, i) && s->many[i].state != ENDPOINT_OPEN)
			return false;
	}
	return s->gate_open;
}

int rddr_target_name(struct rddr_session *s, const char *host, uint16_t port)
{
	struct target *t = s->target;
	struct addr literal;

	if (!rddr_target_wanted(s->service))
		return -EPERM;
	if (!port || (!rddr_resolver_is_name(host) && rddr_addr_parse(host, 0, &literal)))
		return -EINVAL;
	if (!t) {
		t = s->target = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
	}
	if (t->port == port && !strcasecmp(t->host, host)) {
		if (t->resolved && all_there(s))
			return 0;
	} else if (!s->neutral) {
		return -EBUSY;
	} else {
		snprintf(t->host, sizeof(t->host), "%s", host);
		t->port = port;
		t->changed = true;
	}
	t->due = true;
	return -EAGAIN;
}

void rddr_target_fill(const struct rddr_session *s, struct dial_request *request)
{
	if (!s->target || !s->target->resolved)
		return;
	request->targets = s->target->answer.addresses;
	request->n_targets = s->target->answer.n;
}

const char *rddr_target_unresolved(const struct rddr_session *s)
{
	return s->target && s->target->resolved ? s->target->answer.why : NULL;
}

static void dial_all(struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		struct endpoint *ep = &s->many[i];

		/* A dial of the chainer's has a loop; without one the end has only waited for the name. */
		bool waits = ep->state == ENDPOINT_DIALLING && !ep->dial.loop;

		if (!follows(s, i) || (ep->state != ENDPOINT_IDLE && !waits))
			continue;
		if (s->target->answer.n) {
			rddr_session_dial(s, i);
			continue;
		}
		ep->dial.remote = s->target->answer.addresses[0];
		ep->dial.error = s->target->guarded ? ELOOP : EHOSTUNREACH;
		rddr_session_dialled(s, ep, s->target->guarded ? DIAL_LOOP : DIAL_UNRESOLVED);
	}
	if (s->phase == SESSION_OPEN)
		rddr_session_arm(s);
}

/* Another service compares what comes from there; dialled from here it would not be. By whatever interface. */
static bool is_guarded(const struct rddr_session *s, const struct addr *address)
{
	for (size_t i = 0; i < s->config->n_rules; i++) {
		const struct rule *rule = s->config->rules[i];

		if (rule->service != s->service && rule->service->direction == RDDR_INCOMING &&
		    rddr_rule_covers(rule, address, &s->client))
			return true;
	}
	return false;
}

static void leave_out_guarded(struct rddr_session *s)
{
	struct target *t = s->target;
	struct resolver_answer *answer = &t->answer;
	unsigned n = 0;

	for (unsigned i = 0; i < answer->n; i++) {
		if (!is_guarded(s, &answer->addresses[i]))
			answer->addresses[n++] = answer->addresses[i];
	}
	t->guarded = answer->n && !n;
	answer->n = n;
}

static void on_answer(void *ctx, const struct resolver_answer *answer)
{
	struct rddr_session *s = ctx;
	struct target *t = s->target;

	t->query = NULL;
	t->resolved = true;
	t->answer = *answer;
	leave_out_guarded(s);
	if (s->phase != SESSION_OPEN)
		return;
	dial_all(s);
	if (s->phase == SESSION_OPEN)
		rddr_session_pump(s);
}

/* Connections to the target before this one end, and nothing of what they said is taken for an answer of the new one.
 */
static bool leave(struct rddr_session *s)
{
	static const struct rddr_finding finding = {.why = "the server said more than it was asked"};

	for (unsigned i = 0; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (!follows(s, i))
			continue;
		if (rddr_stream_unconsumed(&ep->in)) {
			rddr_session_deny(s, RDDR_DENIED_DIVERGENCE, &finding);
			return false;
		}
		if (ep->state != ENDPOINT_IDLE)
			rddr_endpoint_rest(ep);
	}
	return true;
}

static void resolve(struct rddr_session *s)
{
	struct target *t = s->target;

	t->resolved = false;
	s->gate_open = false;
	s->dialling = rddr_loop_now(s->worker->loop);
	for (unsigned i = 0; i < s->n; i++) {
		if (!follows(s, i))
			continue;
		rddr_dial_init(&s->many[i].dial);
		s->many[i].state = ENDPOINT_DIALLING;
	}
	int r = s->worker->resolver ? rddr_resolver_ask(s->worker->resolver, &s->config->resolver, t->host, t->port,
							s->worker->loop, on_answer, s, &t->query)
				    : -EOPNOTSUPP;
	if (r < 0) {
		err_r(r, "target: %s cannot be resolved service=%s", t->host, s->service->name);
		on_answer(s, &(struct resolver_answer){.why = "the resolver does not run"});
	}
}

void rddr_target_run(struct rddr_session *s)
{
	struct target *t = s->target;

	if (!t || !t->due || s->phase != SESSION_OPEN)
		return;
	t->due = false;
	if (t->changed) {
		t->changed = false;
		rddr_resolver_cancel(&t->query);
		if (!leave(s))
			return;
		resolve(s);
		if (s->phase == SESSION_OPEN)
			rddr_session_arm(s);
	} else if (t->resolved) {
		dial_all(s);
	}
}

bool rddr_target_left_alone(const struct rddr_session *s)
{
	if (!s->names_target || !s->lone_done || s->lone.out.bytes)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		if (s->many[i].state == ENDPOINT_OPEN || s->many[i].state == ENDPOINT_DIALLING || s->many[i].out.bytes)
			return false;
	}
	return true;
}

void rddr_target_forget(struct rddr_session *s)
{
	if (s->target)
		rddr_resolver_cancel(&s->target->query);
}

void rddr_target_free(struct rddr_session *s)
{
	free(s->target);
	s->target = NULL;
}
