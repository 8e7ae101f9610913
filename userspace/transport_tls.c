/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "own.h"
#include "session.h"
#include "transport_tls_own.h"

/* What one record holds. Smaller parts are put together, so that a head and a body do not make a record each. */
#define RECORD 16384

static void free_end(struct endpoint *ep)
{
	if (!ep->tls)
		return;
	SSL_free(ep->tls->ssl);
	free(ep->tls->held);
	free(ep->tls->why);
	free(ep->tls);
	ep->tls = NULL;
}

/* ---- begin ---- */

/* The name or the address that the other side's certificate has to have. */
static int expect_name(SSL *ssl, const struct tls_conf *conf, const struct addr *dialled)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	struct addr address;
	size_t len;
	const uint8_t *bytes;

	if (conf->server_name && rddr_addr_parse(conf->server_name, 0, &address) < 0) {
		X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		return X509_VERIFY_PARAM_set1_host(param, conf->server_name, 0) == 1 ? 0 : -ENOMEM;
	}
	bytes = rddr_addr_bytes(conf->server_name ? &address : dialled, &len);
	return X509_VERIFY_PARAM_set1_ip(param, bytes, len) == 1 ? 0 : -ENOMEM;
}

static int name_server(SSL *ssl, const struct tls_conf *conf)
{
	const char *name = conf->sni ? conf->sni : conf->server_name;
	struct addr address;

	/* RFC 6066, section 3: no addresses there. */
	if (!name || !*name || rddr_addr_parse(name, 0, &address) == 0)
		return 0;
	return SSL_set_tlsext_host_name(ssl, name) == 1 ? 0 : -ENOMEM;
}

static int begin_dialled(struct endpoint *ep)
{
	const struct tls_conf *conf = ep->tls_conf;
	SSL *ssl = ep->tls->ssl;
	int r = name_server(ssl, conf);

	if (r == 0 && conf->verify == TLS_VERIFY_FULL)
		r = expect_name(ssl, conf, &ep->dial.remote);
	if (r < 0)
		return r;
	SSL_set_connect_state(ssl);
	rddr_tls_sessions_offer(ep);
	return 0;
}

static int tls_open(struct endpoint *ep)
{
	struct tls_end *tls = calloc(1, sizeof(*tls));
	int r = 0;

	if (!tls)
		return -ENOMEM;
	ERR_clear_error();
	ep->tls = tls;
	tls->fd = ep->fd;
	tls->ssl = SSL_new(ep->tls_conf->context->ctx);
	if (!tls->ssl || rddr_tls_bio_use(tls) < 0 || SSL_set_app_data(tls->ssl, ep) != 1)
		r = -ENOMEM;
	else if (ep->tls_conf->dials)
		r = begin_dialled(ep);
	else
		SSL_set_accept_state(tls->ssl);
	return r;
}

static int tls_shake(struct endpoint *ep)
{
	struct tls_end *tls = ep->tls;
	struct metrics_set *metrics = ep->session->service->metrics;

	int r = rddr_tls_flush(tls), error = -r;

	if (r == -EAGAIN)
		return r;
	ERR_clear_error();
	if (r == 0) {
		errno = 0;
		r = SSL_do_handshake(tls->ssl);
		error = errno;
	}
	/* What we have said last is to be with the peer: it may wait for that. */
	if (r == 1 && rddr_tls_flush(tls) == -EAGAIN)
		return -EAGAIN;
	if (r == 1) {
		tls->agreed = true;
		rddr_metrics_count(metrics, METRIC_tls_handshakes);
		if (SSL_session_reused(tls->ssl))
			rddr_metrics_count(metrics, METRIC_tls_resumed);
		return 0;
	}
	switch (SSL_get_error(tls->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	default:
		rddr_tls_reason_note(ep, error);
		return -EPROTO;
	}
}

static void tls_late(struct endpoint *ep)
{
	rddr_tls_reason_late(ep);
}

static const char *tls_why(const struct endpoint *ep)
{
	return ep->tls && ep->tls->why ? ep->tls->why : "TLS failed";
}

/* ---- bytes ---- */

static bool is_truncation(unsigned long code)
{
	return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
}

/* What a call that did nothing means. error: errno behind the call. */
static ssize_t outcome(struct endpoint *ep, int result, int error, int awaited)
{
	struct tls_end *tls = ep->tls;
	struct metrics_set *metrics = ep->session->service->metrics;
	int what = SSL_get_error(tls->ssl, result);

	switch (what) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		ep->crossed |= what != awaited;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		tls->dead = true;
		if (tls->messages > TLS_MESSAGES_MAX)
			rddr_metrics_count(metrics, METRIC_tls_broken);
		return error ? -error : -ECONNRESET;
	default:
		tls->dead = true;
		rddr_metrics_count(metrics, is_truncation(ERR_peek_error()) ? METRIC_tls_truncated : METRIC_tls_broken);
		ERR_clear_error();
		return -EPROTO;
	}
}

static ssize_t tls_recv(struct endpoint *ep, void *buf, size_t len)
{
	struct tls_end *tls = ep->tls;
	size_t n;

	/* Only an answer of TLS's own: an error of it is found by reading. */
	if (tls->held && !tls->taken)
		rddr_tls_flush(tls);
	ERR_clear_error();
	errno = 0;
	int r = SSL_read_ex(tls->ssl, buf, len, &n), error = errno;
	if (r != 1)
		return outcome(ep, r, error, SSL_ERROR_WANT_READ);
	tls->messages = 0;
	return (ssize_t)n;
}

/* Puts the first bytes of the parts together, at most room. Returns how many. */
static size_t gather(const struct iovec *parts, int n, size_t skip, uint8_t *to, size_t room)
{
	size_t len = 0;

	for (int i = 0; i < n && len < room; i++) {
		size_t part = parts[i].iov_len - skip;

		if (part > room - len)
			part = room - len;
		memcpy(to + len, (const uint8_t *)parts[i].iov_base + skip, part);
		len += part;
		skip = 0;
	}
	return len;
}

/* One record's bytes, from the parts where they are or put together. skip: of the first part. */
static size_t next_record(const struct iovec *parts, int n, size_t skip, const uint8_t **data)
{
	static _Thread_local uint8_t together[RECORD];
	size_t first = parts->iov_len - skip;

	if (first < RECORD && n > 1) {
		*data = together;
		return gather(parts, n, skip, together, RECORD);
	}
	*data = (const uint8_t *)parts->iov_base + skip;
	return first < RECORD ? first : RECORD;
}

/* What is held goes first. Bytes of the queue that became a record then are still in its front, and are sent now. */
static ssize_t send_held(struct tls_end *tls)
{
	int r = tls->dead ? -EPIPE : rddr_tls_flush(tls);
	size_t taken = tls->taken;

	if (r < 0) {
		tls->dead |= r != -EAGAIN;
		return r;
	}
	tls->taken = 0;
	return (ssize_t)taken;
}

static ssize_t tls_send(struct endpoint *ep, const struct iovec *parts, int n)
{
	struct tls_end *tls = ep->tls;
	ssize_t held = send_held(tls);

	if (held < 0)
		return held;
	size_t total = (size_t)held, skip = total;
	for (;;) {
		const uint8_t *data;
		size_t sent;

		for (; n > 0 && skip >= parts->iov_len; n--)
			skip -= parts++->iov_len;
		if (n <= 0)
			return (ssize_t)total;
		size_t len = next_record(parts, n, skip, &data);

		ERR_clear_error();
		errno = 0;
		int r = SSL_write_ex(tls->ssl, data, len, &sent), error = errno;
		if (r != 1) {
			ssize_t what = outcome(ep, r, error, SSL_ERROR_WANT_WRITE);

			if (what == 0) /* no write returns that */
				what = -EPIPE;
			return total && what == -EAGAIN ? (ssize_t)total : what;
		}
		if (tls->held) {
			tls->taken = sent;
			return total ? (ssize_t)total : -EAGAIN;
		}
		total += sent;
		skip += sent;
	}
}

/* ---- the end ---- */

/* The socket's half ends too, for whoever looks at that alone. */
static int tls_end(struct endpoint *ep)
{
	struct tls_end *tls = ep->tls;
	int r = rddr_tls_flush(tls);

	if (r < 0)
		return r;
	if (!(SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN)) {
		ERR_clear_error();
		errno = 0;
		r = SSL_shutdown(tls->ssl);
		ssize_t what = r < 0 ? outcome(ep, r, errno, SSL_ERROR_WANT_WRITE) : 0;

		/* With -EAGAIN it may only be the other side's close_notify that is missing. */
		if (what < 0 && (what != -EAGAIN || !(SSL_get_shutdown(tls->ssl) & SSL_SENT_SHUTDOWN)))
			return (int)what;
		r = rddr_tls_flush(tls);
		if (r < 0)
			return r;
	}
	return rddr_transport_tcp.end(ep);
}

static void tls_close(struct endpoint *ep, bool reset)
{
	struct tls_end *tls = ep->tls;

	if (tls && tls->ssl && !reset && !tls->dead && SSL_is_init_finished(tls->ssl)) {
		ERR_clear_error();
		SSL_shutdown(tls->ssl);
		ERR_clear_error();
	}
	free_end(ep);
	rddr_transport_tcp.close(ep, reset);
}

static int tls_error(struct endpoint *ep)
{
	return rddr_transport_tcp.error(ep);
}

static void tls_moved(struct endpoint *ep)
{
	if (!ep->tls)
		return;
	SSL_set_app_data(ep->tls->ssl, ep);
	/* The queue that the record was of did not come along. */
	ep->tls->dead |= ep->tls->taken != 0;
}

const struct transport rddr_transport_tls = {
	.name = "tls",
	.end_is_said = true,
	.recv = tls_recv,
	.send = tls_send,
	.error = tls_error,
	.end = tls_end,
	.close = tls_close,
	.open = tls_open,
	.shake = tls_shake,
	.late = tls_late,
	.why = tls_why,
	.moved = tls_moved,
};
