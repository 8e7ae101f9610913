/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_tls.c - encryption by SSLRequest: with the client and, on its own terms, with each instance (config: tls,
 * start). The manual's "SSL Session Encryption".
 */
#include "postgres_session.h"

/* One byte is the answer: S or N. */
static bool to_be_asked(const struct pg_session *s, uint32_t end)
{
	enum rddr_tls tls = s->host->tls(s->handle, end);

	return tls == RDDR_TLS_OFFERED || tls == RDDR_TLS_REQUIRED;
}

bool rddr_pg_tls_any(const struct pg_session *s)
{
	bool any = to_be_asked(s, RDDR_LONE);

	for (unsigned i = 0; i < s->n; i++)
		any |= to_be_asked(s, i);
	return any;
}

bool rddr_pg_tls_client(struct pg_session *s)
{
	bool has = to_be_asked(s, RDDR_LONE);

	s->host->emit(s->handle, RDDR_LONE, has ? "S" : "N", 1);
	return !has || s->host->start_tls(s->handle, RDDR_LONE);
}

bool rddr_pg_tls_missing(const struct pg_session *s)
{
	return s->host->tls(s->handle, RDDR_LONE) == RDDR_TLS_REQUIRED;
}

bool rddr_pg_tls_ready(struct pg_session *s)
{
	static const uint8_t request[8] = {0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f};

	for (unsigned i = 0; i < s->n && !s->tls_asked; i++) {
		if (!to_be_asked(s, i))
			continue;
		s->host->emit(s->handle, i, request, sizeof(request));
		s->tls_pending |= 1u << i;
	}
	s->tls_asked = true;
	return !s->tls_pending;
}

enum rddr_verdict rddr_pg_tls_answers(struct pg_session *s, struct pg_call *call)
{
	const uint32_t pending = s->tls_pending;

	for (unsigned i = 0; i < call->n; i++) {
		const struct rddr_view *v = &call->views[i];

		if (!(pending & 1u << i) || !pg_present(call, i) || !v->len)
			continue;
		if (v->data[0] == 'S')
			continue;
		return rddr_pg_find(s, call, i, i == 0 && s->n > 1, "%s",
				    v->data[0] == 'N'
					    ? "it does not speak TLS, and tls: start: required says that it has to"
					    : "it answers a request for TLS with neither yes nor no");
	}
	for (unsigned i = 0; i < call->n; i++) {
		if (pending & 1u << i && pg_present(call, i) && !call->views[i].len)
			return RDDR_WAIT;
	}
	s->tls_pending = 0;
	for (unsigned i = 0; i < call->n; i++) {
		if (!(pending & 1u << i) || !pg_present(call, i))
			continue;
		rddr_pg_take_out(s, call, i, 1, false);
		/* It was to be had when it was asked for. */
		s->host->start_tls(s->handle, i);
	}
	return RDDR_AGREE;
}
