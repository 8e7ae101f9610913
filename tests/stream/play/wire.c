/* SPDX-License-Identifier: BSD-2-Clause */
#include "wire.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cmocka.h>

struct wire {
	SSL *ssl;
	BIO *out; /* of the SSL's */
	int fd;
	bool open;
};

static SSL_CTX *as_server, *as_client;
static unsigned users; /* of these */

/* ---- keys ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	assert_non_null(extension);
	assert_int_equal(X509_add_ext(cert, extension, -1), 1);
	X509_EXTENSION_free(extension);
}

static X509 *make_cert(EVP_PKEY *key)
{
	X509 *cert = X509_new();

	assert_non_null(cert);
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
	X509_gmtime_adj(X509_getm_notAfter(cert), 30L * 24 * 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const uint8_t *)"play", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
	add_extension(cert, NID_subject_alt_name, "IP:127.0.0.1,IP:::1");
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	return cert;
}

static SSL_CTX *make_context(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new(method);

	assert_non_null(ctx);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Who does not read them would reset the connection by closing it. */
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

static void make_contexts(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert;

	assert_non_null(key);
	cert = make_cert(key);
	as_server = make_context(TLS_server_method());
	as_client = make_context(TLS_client_method());
	assert_int_equal(SSL_CTX_use_certificate(as_server, cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(as_server, key), 1);
	assert_int_equal(X509_STORE_add_cert(SSL_CTX_get_cert_store(as_client), cert), 1);
	SSL_CTX_set_verify(as_client, SSL_VERIFY_PEER, NULL);
	X509_free(cert);
	EVP_PKEY_free(key);
}

void wire_keys(const char *dir)
{
	char path[256];
	FILE *f;

	if (users++ == 0)
		make_contexts();
	snprintf(path, sizeof(path), "%s/tls.pem", dir);
	f = fopen(path, "we");
	assert_non_null(f);
	assert_true(PEM_write_X509(f, SSL_CTX_get0_certificate(as_server)) &&
		    PEM_write_PrivateKey(f, SSL_CTX_get0_privatekey(as_server), NULL, NULL, 0, NULL, NULL));
	assert_int_equal(fchmod(fileno(f), 0600), 0);
	assert_int_equal(fclose(f), 0);
}

void wire_keys_forget(void)
{
	if (--users > 0)
		return;
	SSL_CTX_free(as_server);
	SSL_CTX_free(as_client);
	as_server = as_client = NULL;
}

/* ---- wires ---- */

struct wire *wire_new(int fd, bool server)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	BIO *in = BIO_new_socket(fd, BIO_NOCLOSE);

	assert_true(wire && in);
	wire->fd = fd;
	wire->out = BIO_new(BIO_s_mem());
	wire->ssl = SSL_new(server ? as_server : as_client);
	assert_true(wire->out && wire->ssl);
	SSL_set_bio(wire->ssl, in, wire->out);
	if (server)
		SSL_set_accept_state(wire->ssl);
	else
		SSL_set_connect_state(wire->ssl);
	return wire;
}

void wire_free(struct wire **wire)
{
	if (!*wire)
		return;
	SSL_free((*wire)->ssl);
	free(*wire);
	*wire = NULL;
}

/* What a call of the SSL's came to, as errno. */
static int failed(const struct wire *wire, int r)
{
	int error = SSL_get_error(wire->ssl, r), no = errno;

	ERR_clear_error();
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return EAGAIN;
	return error == SSL_ERROR_SYSCALL && no ? no : ECONNRESET;
}

static int send_kept(struct wire *wire, size_t most)
{
	char *bytes;
	long kept = BIO_get_mem_data(wire->out, &bytes);
	char taken[4096];

	while (kept > 0 && most > 0) {
		size_t len = (size_t)kept < most ? (size_t)kept : most;

		if (len > sizeof(taken))
			len = sizeof(taken);
		ssize_t n = send(wire->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return -1;
		BIO_read(wire->out, taken, (int)n);
		most -= (size_t)n;
		kept = BIO_get_mem_data(wire->out, &bytes);
	}
	errno = EAGAIN;
	return kept > 0 ? -1 : 0;
}

int wire_step(struct wire *wire, size_t most)
{
	if (!wire->open) {
		int r = SSL_do_handshake(wire->ssl);

		wire->open = r == 1;
		if (r != 1 && failed(wire, r) != EAGAIN) {
			errno = ECONNRESET;
			return -1;
		}
	}
	if (send_kept(wire, most) < 0)
		return -1;
	errno = EAGAIN;
	return wire->open ? 0 : -1;
}

bool wire_open(const struct wire *wire)
{
	return wire->open;
}

bool wire_keeps(const struct wire *wire)
{
	return BIO_pending(wire->out) > 0;
}

bool wire_holds(const struct wire *wire)
{
	return wire->open && SSL_has_pending(wire->ssl);
}

ssize_t wire_say(struct wire *wire, const void *data, size_t len)
{
	int r = SSL_write(wire->ssl, data, len < INT_MAX ? (int)len : INT_MAX);

	if (r > 0)
		return r;
	errno = failed(wire, r);
	return -1;
}

ssize_t wire_hear(struct wire *wire, void *buf, size_t len)
{
	errno = 0;
	int r = SSL_read(wire->ssl, buf, len < INT_MAX ? (int)len : INT_MAX);

	if (r > 0)
		return r;
	if (SSL_get_error(wire->ssl, r) == SSL_ERROR_ZERO_RETURN)
		return 0;
	errno = failed(wire, r);
	return -1;
}

void wire_end(struct wire *wire)
{
	SSL_shutdown(wire->ssl);
	ERR_clear_error();
}
