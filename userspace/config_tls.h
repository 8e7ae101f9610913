/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_tls.h - what the config says of TLS on one side of a service.
 *
 * A side either accepts connections (the lone side of an incoming service, the many side of an outgoing one) or dials
 * them. The reader of the file only notes paths and words; the daemon reads the files and checks them
 * (transport_tls.h), since that needs OpenSSL.
 */
#ifndef RDDR_CONFIG_TLS_H
#define RDDR_CONFIG_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

#define CONFIG_TLS_CERTIFICATES 64 /* of one side */
#define CONFIG_TLS_NAME		253

struct tls_context;

struct tls_file {
	char *path; /* NULL: none */
	struct config_mark mark;
};

struct tls_certificate {
	struct tls_file chain, key; /* PEM; the key is in the chain's file where none is named */
	struct tls_file ocsp;	    /* DER: a response to staple */
};

/* When the handshake comes. */
enum tls_start {
	TLS_START_AT_ONCE,
	TLS_START_OFFERED,  /* when the protocol asks for it (host->start_tls); in clear until then, or for ever */
	TLS_START_REQUIRED, /* the same, and the plugin lets nothing pass in clear */
};

/* Accepting: certificates of those who connect. */
enum tls_demand { TLS_DEMAND_NONE, TLS_DEMAND_REQUEST, TLS_DEMAND_REQUIRE };

/* Dialling: what of the server's certificate is checked. */
enum tls_verify {
	TLS_VERIFY_FULL,  /* the chain, and the name */
	TLS_VERIFY_CHAIN, /* the chain alone */
	TLS_VERIFY_NONE,
};

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

struct tls_conf {
	struct config_mark mark;
	char *key; /* where it stands, for messages: "services.shop.tls.lone" */
	bool dials;
	bool original;	 /* of an original file, which names no CA: warned of at every start */
	bool alpn_given; /* else the plugin's */
	bool resume;	 /* sessions are resumed: tickets given out, or kept; true */
	enum tls_start start;
	struct tls_certificate *certificates; /* our own; the first is the default */
	size_t n_certificates;
	enum tls_demand clients;
	enum tls_verify verify;
	struct tls_file ca; /* PEM; dialling without one: the system's */
	char *server_name;  /* dialling: the name that the certificate has to have; NULL: the address dialled */
	char *sni;	    /* dialling: sent instead of server_name; empty: none is sent */
	enum tls_version min_version, max_version;
	char *ciphers, *suites, *groups; /* in OpenSSL's words: of TLS 1.2, of TLS 1.3; NULL: the defaults */
	char *alpn;			 /* names separated by blanks; NULL or empty: none */
	uint32_t session_lifetime;	 /* ms; 2 h */

	struct tls_context *context; /* the daemon's, see rddr_tls_bind */
};

#endif
