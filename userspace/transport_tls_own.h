/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transport_tls_own.h - what the files of the TLS transport share. Nobody else includes it.
 */
#ifndef RDDR_TRANSPORT_TLS_OWN_H
#define RDDR_TRANSPORT_TLS_OWN_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "config.h"
#include "config_tls.h"
#include "endpoint.h"
#include "metrics.h"

/* A certificate with its key. */
struct tls_pair {
	X509 *leaf;
	STACK_OF(X509) * chain; /* without the leaf */
	EVP_PKEY *key;
	uint8_t *ocsp; /* a response to staple; NULL: none */
	size_t ocsp_len;
	time_t ocsp_until; /* when it is too old to be shown; 0: it does not say */
};

struct tls_kept; /* a session to resume, see transport_tls_sessions.c */

struct tls_context {
	SSL_CTX *ctx;
	struct tls_pair *pairs;
	size_t n_pairs;
	uint8_t *alpn; /* in the form of the handshake; NULL: none */
	unsigned alpn_len;
	struct tls_tickets *tickets; /* accepting; lives as long as the process */
	struct tls_kept **kept;	     /* dialling: WORKERS_MAX of them, each touched by its worker alone */
};

/* Of an endpoint. */
struct tls_end {
	SSL *ssl;
	int fd; /* the endpoint's, which closes it */
	/* Encrypted, and not yet taken by the socket: from held_from to held_to. NULL: nothing is. */
	uint8_t *held;
	size_t held_from, held_to;
	size_t taken;	   /* bytes of the queue whose record is among them: sent as soon as it is */
	unsigned messages; /* of TLS's own, read since there were bytes of the stream */
	bool agreed;	   /* the handshake is over */
	bool dead;	   /* no more calls that speak: it failed */
	char *why;	   /* it failed; owned */
};

/* ---- transport_tls_bio.c ---- */

/* KeyUpdates and tickets in a row. A peer that sends more keeps a worker busy, and says nothing. */
#define TLS_MESSAGES_MAX 64

/* Before the first end. Main thread. 0 or -ENOMEM. */
int rddr_tls_bio_begin(void);
/* Gives tls->ssl its way to tls->fd; tls has to stay where it is. 0 or -ENOMEM. */
int rddr_tls_bio_use(struct tls_end *tls);
/* Sends what is held. 0: nothing is any more; -EAGAIN; -errno: the connection is torn. */
int rddr_tls_flush(struct tls_end *tls);

/* ---- transport_tls_files.c: main thread ---- */

/* Fills pair with certificate i of conf. 0, -EINVAL after having complained, or -ENOMEM; pair has to be freed whatever
 * comes. */
int rddr_tls_read_pair(const struct config *config, const struct tls_conf *conf, size_t i, struct tls_pair *pair);
void rddr_tls_free_pair(struct tls_pair *pair);
/* Reads the CAs into the context; digest gets a hash of the file. */
int rddr_tls_read_ca(const struct config *config, const struct tls_conf *conf, SSL_CTX *ctx, uint8_t digest[32]);
/* Keys that were read before are kept for reloads that may not read them; between these two calls those in use are
 * noted, and with all the others are forgotten. */
void rddr_tls_keys_begin(void);
void rddr_tls_keys_end(bool all);

/* ---- transport_tls_tickets.c ---- */

#define TLS_TICKET_NAME 16

struct tls_ticket_key {
	uint8_t name[TLS_TICKET_NAME];
	uint8_t aes[32];
	uint8_t hmac[32];
};

/* The keys of a service's tickets, by its name; made when they are new. Main thread. NULL: no memory, no randomness. */
struct tls_tickets *rddr_tls_tickets(const char *service, uint32_t lifetime);
/* The key to encrypt with at now (ms, any clock that goes on), which is replaced when it is older than the lifetime. */
const struct tls_ticket_key *rddr_tls_tickets_current(struct tls_tickets *tickets, uint64_t now);
/* The key of that name, or NULL; *old: a new ticket is due. */
const struct tls_ticket_key *rddr_tls_tickets_find(struct tls_tickets *tickets, const uint8_t name[TLS_TICKET_NAME],
						   uint64_t now, bool *old);
/* Has the context encrypt its tickets with these keys. 0 or -ENOMEM. */
int rddr_tls_tickets_use(SSL_CTX *ctx);

/* ---- transport_tls_sessions.c ---- */

/* Sessions of what this context dials are kept, one for each worker and end. 0 or -ENOMEM. */
int rddr_tls_sessions_begin(struct tls_context *context);
/* Offers the session that was kept for this end. */
void rddr_tls_sessions_offer(struct endpoint *ep);
void rddr_tls_sessions_free(struct tls_context *context);

/* ---- transport_tls_reason.c ---- */

/* Why the handshake of ep failed, by what OpenSSL and errno (0: none) say: counts it and fills ep->tls->why. */
void rddr_tls_reason_note(struct endpoint *ep, int error);
/* The same, for a reason of ours. */
void rddr_tls_reason_late(struct endpoint *ep);

#endif
