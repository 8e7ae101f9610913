/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Session tickets that any worker can open (RFC 5077, RFC 8446 section 4.6.1): the server keeps nothing.
 *
 * A service's keys stand in a ring. One encrypts for as long as a session may live; then the next one does, and the one
 * before it still decrypts for as long again. A place in the ring is written anew only two lifetimes after its key was
 * last of use, so readers need no lock.
 */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "own.h"
#include "session.h"
#include "transport_tls_own.h"
#include "worker.h"

#define RING 4

struct tls_tickets {
	struct tls_tickets *next;
	char *service;
	atomic_uint_least32_t lifetime; /* ms */
	atomic_uint current;
	atomic_flag replacing;
	struct tls_ticket_key ring[RING];
	atomic_uint_least64_t made[RING]; /* ms; of those that were made: more than 0 */
};

static struct tls_tickets *all;

static bool make_key(struct tls_tickets *tickets, unsigned place, uint64_t now)
{
	struct tls_ticket_key *key = &tickets->ring[place];

	if (RAND_bytes(key->name, sizeof(key->name)) != 1 || RAND_priv_bytes(key->aes, sizeof(key->aes)) != 1 ||
	    RAND_priv_bytes(key->hmac, sizeof(key->hmac)) != 1)
		return false;
	atomic_store(&tickets->made[place], now ? now : 1);
	return true;
}

struct tls_tickets *rddr_tls_tickets(const char *service, uint32_t lifetime)
{
	struct tls_tickets *tickets;

	for (tickets = all; tickets; tickets = tickets->next) {
		if (!strcmp(tickets->service, service)) {
			atomic_store(&tickets->lifetime, lifetime);
			return tickets;
		}
	}
	tickets = calloc(1, sizeof(*tickets));
	if (tickets)
		tickets->service = strdup(service);
	if (!tickets || !tickets->service) {
		free(tickets);
		return NULL;
	}
	atomic_init(&tickets->lifetime, lifetime);
	atomic_flag_clear(&tickets->replacing);
	tickets->next = all;
	all = tickets;
	return tickets;
}

const struct tls_ticket_key *rddr_tls_tickets_current(struct tls_tickets *tickets, uint64_t now)
{
	unsigned current = atomic_load(&tickets->current);
	uint64_t made = atomic_load(&tickets->made[current]);

	if (made && now - made <= atomic_load(&tickets->lifetime))
		return &tickets->ring[current];
	/* Whoever comes first makes the next one; for the others the old one is good for one more ticket. */
	if (atomic_flag_test_and_set(&tickets->replacing))
		return made ? &tickets->ring[current] : NULL;
	unsigned next = made ? (current + 1) % RING : current;

	if (current == atomic_load(&tickets->current) && made == atomic_load(&tickets->made[current]) &&
	    make_key(tickets, next, now))
		atomic_store(&tickets->current, next);
	atomic_flag_clear(&tickets->replacing);
	current = atomic_load(&tickets->current);
	return atomic_load(&tickets->made[current]) ? &tickets->ring[current] : NULL;
}

const struct tls_ticket_key *rddr_tls_tickets_find(struct tls_tickets *tickets, const uint8_t name[TLS_TICKET_NAME],
						   uint64_t now, bool *old)
{
	unsigned current = atomic_load(&tickets->current);
	uint64_t lifetime = atomic_load(&tickets->lifetime);

	for (unsigned back = 0; back < 2; back++) {
		unsigned place = (current + RING - back) % RING;
		uint64_t made = atomic_load(&tickets->made[place]);

		if (!made || now - made > 2 * lifetime || memcmp(tickets->ring[place].name, name, TLS_TICKET_NAME) != 0)
			continue;
		*old = back > 0 || now - made > lifetime;
		return &tickets->ring[place];
	}
	return NULL;
}

static bool set_mac(EVP_MAC_CTX *mac, const struct tls_ticket_key *key)
{
	char digest[] = "SHA256";
	/* The parameters are not const, though they are only read. */
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac, sizeof(key->hmac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* 1: taken; 2: taken, and a new one is due; 0: none, or not one of ours; -1: failed. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		     int encrypt)
{
	const struct endpoint *ep = SSL_get_app_data(ssl);
	struct tls_tickets *tickets = ep->tls_conf->context->tickets;
	uint64_t now = rddr_loop_now(ep->session->worker->loop);
	const struct tls_ticket_key *key;
	bool old = false;

	if (encrypt) {
		key = rddr_tls_tickets_current(tickets, now);
		if (!key)
			return 0;
		memcpy(name, key->name, sizeof(key->name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1 ||
		    EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1)
			return -1;
		return set_mac(mac, key) ? 1 : -1;
	}
	key = rddr_tls_tickets_find(tickets, name, now, &old);
	if (!key)
		return 0;
	if (EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) != 1 || !set_mac(mac, key))
		return -1;
	return old ? 2 : 1;
}

int rddr_tls_tickets_use(SSL_CTX *ctx)
{
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) == 1 ? 0 : -ENOMEM;
}
