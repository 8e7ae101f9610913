/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions with what we dial, kept to be resumed: the last one for each worker, end and address. They die with their
 * context, so a session never outlives the config by which its certificate was checked.
 */
#include <errno.h>
#include <stdlib.h>

#include "own.h"
#include "session.h"
#include "transport_tls_own.h"
#include "worker.h"

struct tls_kept {
	SSL_SESSION *session;
	struct addr remote;
};

/* The place for this end; NULL: no memory, or it is no end that was dialled. */
static struct tls_kept *place_of(const struct endpoint *ep)
{
	const struct rddr_session *s = ep->session;
	struct tls_kept **kept = &ep->tls_conf->context->kept[s->worker->index];
	unsigned i = ep == &s->lone ? 0 : (unsigned)(ep - s->many);

	if (!*kept)
		*kept = calloc(RDDR_MAX_INSTANCES, sizeof(**kept));
	return *kept ? &(*kept)[i] : NULL;
}

/* 1: the reference is ours now. */
static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct endpoint *ep = SSL_get_app_data(ssl);
	struct tls_kept *place = place_of(ep);

	if (!place || !SSL_SESSION_is_resumable(session))
		return 0;
	SSL_SESSION_free(place->session);
	place->session = session;
	place->remote = ep->dial.remote;
	return 1;
}

int rddr_tls_sessions_begin(struct tls_context *context)
{
	context->kept = calloc(WORKERS_MAX, sizeof(struct tls_kept *));
	if (!context->kept)
		return -ENOMEM;
	SSL_CTX_set_session_cache_mode(context->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context->ctx, on_session);
	return 0;
}

void rddr_tls_sessions_offer(struct endpoint *ep)
{
	const struct tls_kept *place = ep->tls_conf->context->kept ? place_of(ep) : NULL;

	/* Where it cannot be set, the handshake is a full one. */
	if (place && place->session && rddr_addr_equal(&place->remote, &ep->dial.remote))
		SSL_set_session(ep->tls->ssl, place->session);
}

void rddr_tls_sessions_free(struct tls_context *context)
{
	for (unsigned w = 0; context->kept && w < WORKERS_MAX; w++) {
		for (unsigned i = 0; context->kept[w] && i < RDDR_MAX_INSTANCES; i++)
			SSL_SESSION_free(context->kept[w][i].session);
		free(context->kept[w]);
	}
	free(context->kept);
	context->kept = NULL;
}
