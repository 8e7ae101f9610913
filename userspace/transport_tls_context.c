/* SPDX-License-Identifier: BSD-2-Clause */
/* What the config says of a side, as a context of OpenSSL's. Made on the main thread, used by all workers. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "own.h"
#include "session.h"
#include "transport_tls.h"
#include "transport_tls_own.h"

/* What is offered and taken unless the config says otherwise: forward secret, authenticated. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

static void free_context(struct tls_context **owned)
{
	struct tls_context *context = TAKE_PTR(*owned);

	if (!context)
		return;
	rddr_tls_sessions_free(context);
	for (size_t i = 0; i < context->n_pairs; i++)
		rddr_tls_free_pair(&context->pairs[i]);
	free(context->pairs);
	free(context->alpn);
	SSL_CTX_free(context->ctx);
	free(context);
}

/* ---- callbacks, on workers ---- */

static const struct tls_context *context_of(SSL *ssl)
{
	const struct endpoint *ep = SSL_get_app_data(ssl);

	return ep->tls_conf->context;
}

static bool is_for(const struct tls_pair *pair, const char *name)
{
	return X509_check_host(pair->leaf, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
}

/* Several certificates: all that have the name asked for, of each kind of key the first. None has: the default. */
static int on_certificate(SSL *ssl, void *ctx)
{
	const struct tls_context *context = context_of(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	int taken[8] = {0};
	size_t n = 0;

	(void)ctx;
	for (size_t i = 0; name && i < context->n_pairs && n < ARRAY_LEN(taken); i++) {
		const struct tls_pair *pair = &context->pairs[i];
		int kind = EVP_PKEY_get_base_id(pair->key);
		bool had = false;

		for (size_t k = 0; k < n; k++)
			had |= taken[k] == kind;
		if (had || !is_for(pair, name))
			continue;
		if (!n)
			SSL_certs_clear(ssl);
		if (SSL_use_cert_and_key(ssl, pair->leaf, pair->key, pair->chain, 1) != 1)
			return 0;
		taken[n++] = kind;
	}
	return 1;
}

static int on_protocols(SSL *ssl, const unsigned char **out, unsigned char *outlen, const unsigned char *in,
			unsigned inlen, void *ctx)
{
	const struct tls_context *context = context_of(ssl);
	unsigned char *chosen;

	(void)ctx;
	/* RFC 7301, section 3.2: none that both speak is the end. */
	if (SSL_select_next_proto(&chosen, outlen, context->alpn, context->alpn_len, in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int on_status(SSL *ssl, void *ctx)
{
	const struct tls_context *context = context_of(ssl);
	const X509 *leaf = SSL_get_certificate(ssl);

	(void)ctx;
	for (size_t i = 0; i < context->n_pairs; i++) {
		const struct tls_pair *pair = &context->pairs[i];
		uint8_t *copy;

		if (pair->leaf != leaf || !pair->ocsp || (pair->ocsp_until && pair->ocsp_until <= time(NULL)))
			continue;
		copy = OPENSSL_memdup(pair->ocsp, pair->ocsp_len);
		if (!copy || SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)pair->ocsp_len) != 1) {
			OPENSSL_free(copy);
			return SSL_TLSEXT_ERR_NOACK;
		}
		return SSL_TLSEXT_ERR_OK;
	}
	return SSL_TLSEXT_ERR_NOACK;
}

/* ---- making one ---- */

static int complain(const struct config *config, const struct tls_conf *conf, const char *key, const char *value)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());
	char at[400];

	snprintf(at, sizeof(at), "%s.%s", conf->key, key);
	int r = rddr_config_complain(config, conf->mark, at, "OpenSSL does not take \"%s\": %s", value,
				     why ? why : "no reason is given");
	ERR_clear_error();
	return r;
}

static int set_words(const struct config *config, const struct tls_conf *conf, SSL_CTX *ctx)
{
	static const int versions[] = {[TLS_VERSION_1_2] = TLS1_2_VERSION, [TLS_VERSION_1_3] = TLS1_3_VERSION};
	const char *ciphers = conf->ciphers ? conf->ciphers : CIPHERS;

	if (SSL_CTX_set_min_proto_version(ctx, versions[conf->min_version]) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, versions[conf->max_version]) != 1)
		return complain(config, conf, "min-version", "the versions");
	if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
		return complain(config, conf, "ciphers", ciphers);
	if (conf->suites && SSL_CTX_set_ciphersuites(ctx, conf->suites) != 1)
		return complain(config, conf, "suites", conf->suites);
	if (conf->groups && SSL_CTX_set1_groups_list(ctx, conf->groups) != 1)
		return complain(config, conf, "groups", conf->groups);
	return 0;
}

/* "http/1.1 h2" in the handshake's form: each with its length in front. */
static int set_protocols(struct tls_context *context, const struct tls_conf *conf, const char *names)
{
	if (!names || !*names)
		return 0;
	context->alpn = malloc(strlen(names) + 1);
	if (!context->alpn)
		return -ENOMEM;
	for (const char *at = names; *at;) {
		size_t len = strcspn(at, " ");

		if (len && len <= UINT8_MAX) {
			context->alpn[context->alpn_len++] = (uint8_t)len;
			memcpy(context->alpn + context->alpn_len, at, len);
			context->alpn_len += (unsigned)len;
		}
		at += len + strspn(at + len, " ");
	}
	if (!conf->dials)
		SSL_CTX_set_alpn_select_cb(context->ctx, on_protocols, NULL);
	else if (SSL_CTX_set_alpn_protos(context->ctx, context->alpn, context->alpn_len) != 0) /* 0 is success here */
		return -ENOMEM;
	return 0;
}

static int set_certificates(const struct config *config, const struct tls_conf *conf, struct tls_context *context)
{
	context->pairs = calloc(conf->n_certificates ? conf->n_certificates : 1, sizeof(*context->pairs));
	if (!context->pairs)
		return -ENOMEM;
	for (size_t i = 0; i < conf->n_certificates; i++) {
		context->n_pairs++;
		int r = rddr_tls_read_pair(config, conf, i, &context->pairs[i]);
		if (r < 0)
			return r;
	}
	if (!context->n_pairs)
		return 0;
	const struct tls_pair *first = &context->pairs[0];
	if (SSL_CTX_use_cert_and_key(context->ctx, first->leaf, first->key, first->chain, 1) != 1)
		return complain(config, conf, conf->dials ? "certificate" : "certificates[0]",
				conf->certificates[0].chain.path);
	if (context->n_pairs > 1)
		SSL_CTX_set_cert_cb(context->ctx, on_certificate, NULL);
	for (size_t i = 0; i < context->n_pairs; i++) {
		if (context->pairs[i].ocsp)
			SSL_CTX_set_tlsext_status_cb(context->ctx, on_status);
	}
	return 0;
}

/* A session is resumed only where what it was checked by is the same: the service, its demand, its CAs. */
static int set_accepting(const struct service *service, const struct tls_conf *conf, struct tls_context *context,
			 const uint8_t ca[32])
{
	static const int modes[] = {
		[TLS_DEMAND_NONE] = SSL_VERIFY_NONE,
		[TLS_DEMAND_REQUEST] = SSL_VERIFY_PEER,
		[TLS_DEMAND_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
	};
	SSL_CTX *ctx = context->ctx;
	uint8_t text[CONFIG_TLS_NAME + 64] = {0}, id[32];
	size_t len = strlen(service->name);

	memcpy(text, service->name, len);
	text[len + 1] = (uint8_t)conf->clients;
	memcpy(text + len + 2, ca, 32);
	SSL_CTX_set_verify(ctx, modes[conf->clients], NULL);
	if (EVP_Digest(text, len + 34, id, NULL, EVP_sha256(), NULL) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, id, sizeof(id)) != 1)
		return -ENOMEM;
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, conf->session_lifetime / 1000);
	if (!conf->resume) {
		SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
		return SSL_CTX_set_num_tickets(ctx, 0) == 1 ? 0 : -ENOMEM;
	}
	context->tickets = rddr_tls_tickets(service->name, conf->session_lifetime);
	return context->tickets ? rddr_tls_tickets_use(ctx) : -ENOMEM;
}

static int set_dialling(const struct config *config, const struct service *service, const struct tls_conf *conf,
			struct tls_context *context)
{
	SSL_CTX *ctx = context->ctx;

	SSL_CTX_set_verify(ctx, conf->verify == TLS_VERIFY_NONE ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
	/* What ca names is trusted for itself, be it a root or not. */
	X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	if (conf->verify == TLS_VERIFY_NONE)
		log_warning("tls: the certificates of the servers of service %s are not verified (%s:%u: %s)",
			    service->name, config->path, conf->mark.line, conf->key);
	else if (!conf->ca.path && SSL_CTX_set_default_verify_paths(ctx) != 1)
		return complain(config, conf, "ca", "the system's CAs");
	if (conf->resume)
		return rddr_tls_sessions_begin(context);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return 0;
}

/* Of OpenSSL's: each message that is read or written. */
static void on_message(int written, int version, int type, const void *message, size_t len, SSL *ssl, void *ctx)
{
	struct endpoint *ep = SSL_get_app_data(ssl);

	(void)version;
	(void)message;
	(void)len;
	(void)ctx;
	if (!written && type == SSL3_RT_HANDSHAKE && ep && ep->tls && ep->tls->agreed)
		ep->tls->messages++;
}

static int fill(const struct config *config, const struct service *service, const struct tls_conf *conf,
		struct tls_context *context)
{
	uint8_t ca[32] = {0};
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	context->ctx = ctx;
	if (!ctx)
		return -ENOMEM;
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	/* With AUTO_RETRY, wanting to read means that the socket is drained, also behind a record without data. */
	SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_msg_callback(ctx, on_message);
	int r = rddr_tls_bio_begin();
	if (r == 0)
		r = set_words(config, conf, ctx);
	if (r == 0)
		r = set_certificates(config, conf, context);
	if (r == 0 && conf->ca.path)
		r = rddr_tls_read_ca(config, conf, ctx, ca);
	if (r == 0)
		r = set_protocols(context, conf, conf->alpn_given ? conf->alpn : service->ops->alpn);
	if (r == 0)
		r = conf->dials ? set_dialling(config, service, conf, context)
				: set_accepting(service, conf, context, ca);
	ERR_clear_error();
	return r;
}

static int bind_side(const struct config *config, const struct service *service, struct tls_conf *conf)
{
	_owned_(free_context) struct tls_context *context = NULL;
	int r;

	if (!conf || conf->context)
		return 0;
	context = calloc(1, sizeof(*context));
	r = context ? fill(config, service, conf, context) : -ENOMEM;
	if (r == -ENOMEM)
		return err_r(r, "tls: service %s", service->name);
	if (r == 0)
		conf->context = TAKE_PTR(context);
	return r;
}

static int bind_service(const struct config *config, const struct service *service)
{
	int result = bind_side(config, service, service->tls_lone), r;

	/* Where the instances are dialled, this one only stands for what they begin with. */
	r = service->direction == RDDR_INCOMING ? 0 : bind_side(config, service, service->tls_many);
	result = r < 0 ? r : result;
	for (unsigned i = 0; i < service->n_instances && service->direction == RDDR_INCOMING; i++) {
		r = bind_side(config, service, service->instances[i].tls);
		result = r < 0 ? r : result;
	}
	return result;
}

int rddr_tls_bind(struct config *config)
{
	int result = 0;

	rddr_tls_keys_begin();
	for (size_t i = 0; i < config->n_services; i++) {
		int r = bind_service(config, config->services[i]);

		result = r < 0 ? r : result;
	}
	rddr_tls_keys_end(result == 0);
	return result;
}

static void unbind_side(struct tls_conf *conf)
{
	if (conf)
		free_context(&conf->context);
}

void rddr_tls_unbind(struct service *service)
{
	unbind_side(service->tls_lone);
	unbind_side(service->tls_many);
	for (unsigned i = 0; i < service->n_instances; i++)
		unbind_side(service->instances[i].tls);
}

/* ---- rights ---- */

static void check_rights(const struct tls_conf *conf)
{
	for (size_t i = 0; conf && i < conf->n_certificates; i++) {
		const struct tls_certificate *c = &conf->certificates[i];
		const char *path = c->key.path ? c->key.path : c->chain.path;

		if (faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 && errno == EACCES)
			log_warning("tls: %s cannot be read without privileges, which were dropped: a reload goes on "
				    "with the key that was read at the start, and cannot read another one",
				    path);
	}
}

void rddr_tls_check_rights(const struct config *config)
{
	for (size_t i = 0; i < config->n_services; i++) {
		const struct service *service = config->services[i];

		check_rights(service->tls_lone);
		check_rights(service->tls_many);
		for (unsigned k = 0; k < service->n_instances; k++) {
			if (service->instances[k].tls_given)
				check_rights(service->instances[k].tls);
		}
	}
}
