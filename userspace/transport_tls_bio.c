/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transport_tls_bio.c - between OpenSSL and the socket.
 *
 * What the socket does not take is held here, so that for OpenSSL every write succeeds at once. A write that it had to
 * be asked for again would have to be the very same, and for good: whether its bytes are encrypted already, or only a
 * message of TLS's own is (a KeyUpdate that the peer asked for while nothing could be sent), nobody can tell from
 * outside, and reading meanwhile breaks it.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "transport_tls_own.h"

/* Past this nothing more is taken: a record, and the answers to as many KeyUpdates as a peer is granted, fit twice. */
#define HELD_MAX 65536

static BIO_METHOD *method;

/* Bytes sent, 0 when the socket takes none, or -errno. */
static ssize_t send_some(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	do {
		n = send(fd, data, len, MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
	return n;
}

static int hold(struct tls_end *tls, const uint8_t *data, size_t len)
{
	uint8_t *more = realloc(tls->held, tls->held_to + len);

	if (!more)
		return -ENOMEM;
	memcpy(more + tls->held_to, data, len);
	tls->held = more;
	tls->held_to += len;
	return 0;
}

int rddr_tls_flush(struct tls_end *tls)
{
	while (tls->held) {
		ssize_t n = send_some(tls->fd, tls->held + tls->held_from, tls->held_to - tls->held_from);

		if (n <= 0)
			return n ? (int)n : -EAGAIN;
		tls->held_from += (size_t)n;
		if (tls->held_from == tls->held_to) {
			free(tls->held);
			tls->held = NULL;
			tls->held_from = tls->held_to = 0;
		}
	}
	return 0;
}

static int bio_write(BIO *bio, const char *data, int len)
{
	struct tls_end *tls = BIO_get_data(bio);
	ssize_t sent = 0;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (!tls->held) {
		sent = send_some(tls->fd, (const uint8_t *)data, (size_t)len);
	} else if (tls->held_to + (size_t)len > HELD_MAX) {
		BIO_set_retry_write(bio);
		errno = EAGAIN;
		return -1;
	}
	if (sent >= 0 && sent < len) {
		int r = hold(tls, (const uint8_t *)data + sent, (size_t)(len - sent));

		sent = r < 0 ? r : len;
	}
	if (sent < 0) {
		errno = (int)-sent;
		return -1;
	}
	return len;
}

static int bio_read(BIO *bio, char *buf, int len)
{
	struct tls_end *tls = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	if (len <= 0)
		return 0;
	if (tls->messages > TLS_MESSAGES_MAX) {
		errno = EPROTO;
		return -1;
	}
	do {
		n = recv(tls->fd, buf, (size_t)len, 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		BIO_set_retry_read(bio);
	if (n == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return (int)n;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	default:
		return 0;
	}
}

int rddr_tls_bio_begin(void)
{
	if (method)
		return 0;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rddr");
	if (!method || !BIO_meth_set_write(method, bio_write) || !BIO_meth_set_read(method, bio_read) ||
	    !BIO_meth_set_ctrl(method, bio_ctrl)) {
		BIO_meth_free(method);
		method = NULL;
		return -ENOMEM;
	}
	return 0;
}

int rddr_tls_bio_use(struct tls_end *tls)
{
	BIO *bio = BIO_new(method);

	if (!bio)
		return -ENOMEM;
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	return 0;
}
