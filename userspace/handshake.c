/* SPDX-License-Identifier: BSD-2-Clause */
#include "handshake.h"

#include <errno.h>
#include <stdio.h>

#include "config_tls.h"
#include "log.h"
#include "session.h"
#include "worker.h"

static bool is_lone(const struct endpoint *ep)
{
	return ep == &ep->session->lone;
}

/* It is asked again, and keeps nobody else from going on. */
static bool is_replaying(const struct endpoint *ep)
{
	return !is_lone(ep) && (ep->session->replaying & 1u << (ep - ep->session->many));
}

static void prepare(struct endpoint *ep, const struct tls_conf *conf)
{
	ep->tls_conf = conf;
	if (conf && conf->start == TLS_START_AT_ONCE)
		ep->transport = ep->first_transport = &rddr_transport_tls;
}

void rddr_handshake_accept(struct endpoint *ep, const struct tls_conf *conf)
{
	prepare(ep, conf);
}

void rddr_handshake_prepare(struct rddr_session *s)
{
	const struct service *service = s->service;

	prepare(&s->lone, service->tls_lone);
	for (unsigned i = 0; i < s->n; i++)
		prepare(&s->many[i],
			service->direction == RDDR_INCOMING ? service->instances[i].tls : service->tls_many);
}

/* ---- failure ---- */

static void name_end(const struct endpoint *ep, const char *why, struct rddr_finding *finding)
{
	const struct rddr_session *s = ep->session;
	char at[RDDR_ADDR_TEXT];

	if (is_lone(ep)) {
		snprintf(finding->why, sizeof(finding->why), "the lone end: %s", why);
		return;
	}
	finding->instance = finding->other = (unsigned)(ep - s->many);
	snprintf(finding->why, sizeof(finding->why), "instance %s at %s: %s",
		 s->service->instances[finding->instance].name, rddr_addr_format(&ep->dial.remote, at, sizeof(at)),
		 why);
}

/* A client that does not get through its handshake has asked for nothing yet: there is nobody to deny anything to. */
static void lone_failed(struct rddr_session *s, const char *why)
{
	char client[RDDR_ADDR_TEXT];

	log_info("session: handshake failed service=%s session=%llu client=%s why=\"%s\"", s->service->name,
		 (unsigned long long)s->id, rddr_addr_format(&s->client, client, sizeof(client)), why);
	rddr_session_close(s, SESSION_END_TLS);
}

static void note_accepted(struct rddr_session *s)
{
	bool shaking = s->lone.shaking && s->lone.state == ENDPOINT_OPEN;

	for (unsigned i = 0; i < s->n; i++)
		shaking |= s->many[i].shaking && s->many[i].state == ENDPOINT_OPEN;
	if (!shaking)
		s->shaking = 0;
}

static void failed(struct endpoint *ep)
{
	struct rddr_session *s = ep->session;
	struct rddr_finding finding = {0};

	name_end(ep, ep->transport->why(ep), &finding);
	if (is_lone(ep) && !ep->tls_conf->dials) {
		lone_failed(s, finding.why);
		return;
	}
	rddr_endpoint_close(ep, true);
	ep->in.end = RDDR_END_RESET;
	note_accepted(s);
	if (!is_lone(ep))
		rddr_replay_dialled(s, finding.instance);
	if (is_lone(ep))
		rddr_session_deny(s, RDDR_DENIED_MISSING, &finding);
	else if (rddr_verdict_divergence(s, RDDR_DENIED_MISSING, &finding))
		rddr_session_open_gate(s);
}

void rddr_handshake_late(struct endpoint *ep)
{
	ep->transport->late(ep);
	failed(ep);
}

void rddr_handshake_late_all(struct rddr_session *s)
{
	if (s->lone.shaking && s->lone.state == ENDPOINT_OPEN)
		rddr_handshake_late(&s->lone);
	for (unsigned i = 0; i < s->n && s->phase == SESSION_OPEN; i++) {
		if (s->many[i].shaking && s->many[i].state == ENDPOINT_OPEN)
			rddr_handshake_late(&s->many[i]);
	}
}

/* ---- the way to it ---- */

/* True: bytes may flow now. */
static bool agreed(struct endpoint *ep)
{
	struct rddr_session *s = ep->session;
	int r = ep->transport->shake(ep);

	if (r == -EAGAIN) {
		ep->readable = ep->writable = false;
		return false;
	}
	if (r < 0) {
		failed(ep);
		return false;
	}
	ep->shaking = false;
	/* The last flight may have had bytes behind it. */
	ep->readable = ep->writable = true;
	note_accepted(s);
	if (ep->state == ENDPOINT_DIALLING) {
		ep->state = ENDPOINT_OPEN;
		if (!is_lone(ep))
			rddr_replay_dialled(s, (unsigned)(ep - s->many));
		rddr_session_open_gate(s);
	}
	return true;
}

void rddr_handshake_begin(struct endpoint *ep)
{
	struct rddr_session *s = ep->session;
	uint64_t now = rddr_loop_now(s->worker->loop);

	ep->shaking = true;
	if (ep->tls_conf->dials) {
		ep->state = ENDPOINT_DIALLING;
		if (s->gate_open && !is_replaying(ep)) {
			s->dialling = now;
			s->gate_open = false;
		}
	} else if (!s->shaking) {
		s->shaking = now;
	}
	if (agreed(ep))
		rddr_loop_again(s->worker->loop, &s->again);
	else if (s->phase != SESSION_CLOSED)
		rddr_session_arm(s);
}

void rddr_handshake_step(struct endpoint *ep)
{
	struct rddr_session *s = ep->session;
	bool done = agreed(ep);

	if (s->phase != SESSION_CLOSED && (done || !ep->shaking))
		rddr_session_pump(s);
}

enum rddr_tls rddr_handshake_state(const struct endpoint *ep)
{
	if (ep->state == ENDPOINT_CLOSED)
		return RDDR_TLS_NONE;
	if (ep->securing || ep->transport == &rddr_transport_tls)
		return RDDR_TLS_ON;
	/* With "at once" it is an instance's connection of before the reload that says so. */
	if (!ep->tls_conf || ep->tls_conf->start == TLS_START_AT_ONCE)
		return RDDR_TLS_NONE;
	return ep->tls_conf->start == TLS_START_REQUIRED ? RDDR_TLS_REQUIRED : RDDR_TLS_OFFERED;
}

bool rddr_handshake_clean(struct rddr_session *s)
{
	struct rddr_finding finding = {0};

	for (unsigned i = 0; i < s->n; i++) {
		const struct endpoint *ep = &s->many[i];

		if (!ep->securing || !rddr_stream_unconsumed(&ep->in))
			continue;
		finding.instance = finding.other = i;
		snprintf(finding.why, sizeof(finding.why), "instance %s sent bytes in clear behind its consent to TLS",
			 s->service->instances[i].name);
		rddr_verdict_divergence(s, RDDR_DENIED_DIVERGENCE, &finding);
		return false;
	}
	return true;
}

bool rddr_handshake_start(struct endpoint *ep)
{
	if (!ep->tls_conf || ep->state != ENDPOINT_OPEN || ep->broken || ep->securing ||
	    ep->transport == &rddr_transport_tls)
		return false;
	rddr_endpoint_secure(ep, &rddr_transport_tls);
	ep->session->stirred = true;
	return true;
}
