// SPDX-License-Identifier: BSD-2-Clause
/*
 * lead.c - the order of execution: instance 0 is sent a request first, the others when it has answered.
 *
 * Several databases of their own, each with locks of its own, would wait for each other in a circle that none of them
 * can see, if each took the statements of concurrent clients in an order of its own. What to wait for is the plugin's
 * to say (host->lead, host->follow); how long at most is a timer of the session's.
 */
#include "session.h"
#include "worker.h"

void rddr_lead_begin(struct rddr_session *s, uint32_t ms)
{
	s->lead_time = ms;
	for (unsigned i = 1; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		ep->lead_base = ep->allowed = ep->passed + ep->out.bytes;
	}
}

void rddr_lead_follow(struct rddr_session *s, uint64_t upto)
{
	for (unsigned i = 1; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (ep->allowed == UINT64_MAX || upto <= ep->allowed - ep->lead_base)
			continue;
		s->stirred |= rddr_endpoint_withheld(ep);
		ep->allowed = upto > UINT64_MAX - ep->lead_base ? UINT64_MAX : ep->lead_base + upto;
		/* What comes next has a time of its own. */
		s->withheld = 0;
	}
}

bool rddr_lead_unsend(struct rddr_session *s, uint64_t from)
{
	for (unsigned i = 1; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];

		if (ep->state == ENDPOINT_OPEN && (ep->allowed == UINT64_MAX || ep->allowed - ep->lead_base > from))
			return false;
	}
	for (unsigned i = 1; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];
		uint64_t queued = ep->passed + ep->out.bytes - ep->lead_base;

		if (ep->state == ENDPOINT_OPEN && queued > from)
			rddr_outq_cut(&ep->out, (size_t)(queued - from));
	}
	s->withheld = 0;
	return true;
}

void rddr_lead_let_go(struct rddr_session *s)
{
	for (unsigned i = 1; i < s->n; i++) {
		struct endpoint *ep = &s->many[i];

		if (rddr_endpoint_withheld(ep))
			ep->allowed = ep->passed + ep->out.bytes;
	}
	s->withheld = 0;
	s->stirred = true;
}

bool rddr_lead_withholds(const struct rddr_session *s)
{
	for (unsigned i = 1; i < s->n; i++) {
		if (s->many[i].state == ENDPOINT_OPEN && rddr_endpoint_withheld(&s->many[i]))
			return true;
	}
	return false;
}

void rddr_lead_note(struct rddr_session *s)
{
	if (!rddr_lead_withholds(s)) {
		s->withheld = 0;
	} else if (!s->withheld) {
		s->withheld = rddr_loop_now(s->worker->loop);
		rddr_session_arm(s);
	}
}
