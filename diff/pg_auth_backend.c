/* SPDX-License-Identifier: BSD-2-Clause */
/* pg_auth_backend.c - the client's side of the login, towards whoever lets in. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "pg_auth_own.h"

void rddr_pg_backend_wipe(struct pg_backend *b)
{
	if (b->scram)
		OPENSSL_cleanse(b->scram, sizeof(*b->scram));
	free(b->scram);
	b->scram = NULL;
}

static void misbehaves(struct pg_auth *a, unsigned i, const char *message, const char *what)
{
	rddr_pg_auth_diverge(a, PG_AUTH_BACKEND, i, i == 0 && a->n_backends > 1, "%s %s", message, what);
}

static void libcrypto_failed(struct pg_auth *a)
{
	rddr_pg_auth_end(a, "58000", "RDDR: libcrypto failed");
}

/* The secret does not do for what that backend demands. The frontends have proved who they are: they may know. */
static void cannot(struct pg_auth *a, unsigned i, const char *why)
{
	const char *method = rddr_pg_auth_method_name(a->backends[i].method);

	if (a->reports)
		rddr_pg_auth_diverge(a, PG_AUTH_BACKEND, i, 0, "it demands %s, and %s", method, why);
	else
		rddr_pg_auth_end(a, "28000", "RDDR: a server demands %s of user \"%s\", and %s", method, a->user, why);
}

/* ---- what it says ---- */

static bool offers_scram(const uint8_t *list, size_t len)
{
	while (len) {
		const uint8_t *end = memchr(list, '\0', len);
		size_t name = end ? (size_t)(end - list) : 0;

		if (!name)
			return false;
		if (name == strlen(PG_SCRAM_MECHANISM) && !memcmp(list, PG_SCRAM_MECHANISM, name))
			return true;
		list += name + 1;
		len -= name + 1;
	}
	return false;
}

static void take_demand(struct pg_backend *b, uint32_t code, const uint8_t *rest, size_t len)
{
	b->turn = BACKEND_DEMANDS;
	b->method = PG_METHOD_OTHER;
	if (code == PG_R_OK && !len) {
		b->method = PG_METHOD_TRUST;
		b->turn = BACKEND_OK;
	} else if (code == PG_R_PASSWORD && !len) {
		b->method = PG_METHOD_PASSWORD;
	} else if (code == PG_R_MD5 && len == sizeof(b->salt)) {
		b->method = PG_METHOD_MD5;
		memcpy(b->salt, rest, len);
	} else if (code == PG_R_SASL && offers_scram(rest, len)) {
		b->method = PG_METHOD_SCRAM;
	}
}

static void take_request(struct pg_auth *a, unsigned i, uint32_t code, const uint8_t *rest, size_t len)
{
	struct pg_backend *b = &a->backends[i];
	pg_scram_fault fault = NULL;

	if (b->turn == BACKEND_NEW) {
		take_demand(b, code, rest, len);
	} else if (b->turn == BACKEND_CHALLENGES && code == PG_R_CONTINUE) {
		fault = rddr_pg_scram_client_challenge(b->scram, rest, len, a->conf->max_iterations);
		b->turn = BACKEND_CHALLENGED;
	} else if (b->turn == BACKEND_SIGNS && code == PG_R_FINAL) {
		fault = rddr_pg_scram_client_verify(b->scram, rest, len);
		b->turn = BACKEND_DECIDES;
	} else if (b->turn == BACKEND_DECIDES && code == PG_R_OK && !len) {
		b->turn = BACKEND_OK;
	} else {
		misbehaves(a, i, "an authentication message", "that is out of place");
	}
	if (fault)
		misbehaves(a, i, "its SCRAM message", fault);
}

/* Report mode: a frontend talks to it itself; how it ends is all that matters. */
static void watch(struct pg_auth *a, unsigned i, const uint8_t *body, size_t len)
{
	struct pg_backend *b = &a->backends[i];
	uint32_t code = body[0] || body[1] ? UINT32_MAX : (uint32_t)body[2] << 8 | body[3];

	if (!a->incoming)
		rddr_pg_auth_send(a, PG_AUTH_FRONTEND, i, 'R', body, len, NULL, 0);
	if (b->turn == BACKEND_NEW)
		take_demand(b, code, body + 4, len - 4);
	else if (code == PG_R_OK)
		b->turn = BACKEND_OK;
}

enum pg_auth_take rddr_pg_backend_take(struct pg_auth *a, unsigned i, char type, const uint8_t *body, size_t len)
{
	struct pg_backend *b = &a->backends[i];

	if (type == 'E') {
		b->turn = BACKEND_REFUSED;
		return PG_AUTH_LEFT;
	}
	if (type == 'N' || type == 'v')
		return PG_AUTH_PASS;
	if (type != 'R' || !body || len < 4 || len > rddr_pg_auth_longest(PG_AUTH_BACKEND)) {
		misbehaves(a, i, "a message", "that no server sends before it lets in");
		return PG_AUTH_LEFT;
	}
	if (b->through) {
		watch(a, i, body, len);
		return PG_AUTH_TAKEN;
	}
	uint32_t code = (uint32_t)body[0] << 24 | (uint32_t)body[1] << 16 | (uint32_t)body[2] << 8 | body[3];
	take_request(a, i, code, body + 4, len - 4);
	return PG_AUTH_TAKEN;
}

/* ---- what it is answered ---- */

static void answer_password(struct pg_auth *a, unsigned i)
{
	if (!a->plain) {
		cannot(a, i, "the credentials hold no plain password");
		return;
	}
	rddr_pg_auth_send(a, PG_AUTH_BACKEND, i, 'p', a->plain, strlen(a->plain) + 1, NULL, 0);
	a->backends[i].turn = BACKEND_DECIDES;
}

static void answer_md5(struct pg_auth *a, unsigned i)
{
	struct pg_backend *b = &a->backends[i];
	bool hashed = !a->plain && a->secret && a->secret->form == PG_SECRET_MD5;
	char hash[36];

	if (!a->plain && !hashed) {
		cannot(a, i, "the credentials hold neither a plain password nor an md5 hash");
		return;
	}
	if (!rddr_pg_auth_md5(a->plain, hashed ? a->secret->text : NULL, a->user, b->salt, hash)) {
		libcrypto_failed(a);
		return;
	}
	rddr_pg_auth_send(a, PG_AUTH_BACKEND, i, 'p', hash, sizeof(hash), NULL, 0);
	b->turn = BACKEND_DECIDES;
	OPENSSL_cleanse(hash, sizeof(hash));
}

/* This much says nothing of any secret, so the frontends' proof is not waited for. */
static void begin_scram(struct pg_auth *a, unsigned i)
{
	struct pg_backend *b = &a->backends[i];
	uint8_t head[sizeof(PG_SCRAM_MECHANISM) + 4] = PG_SCRAM_MECHANISM;

	b->scram = calloc(1, sizeof(*b->scram));
	if (!b->scram) {
		rddr_pg_auth_end(a, "53200", "RDDR: out of memory");
		return;
	}
	if (!rddr_pg_scram_client_first(b->scram, NULL)) {
		libcrypto_failed(a);
		return;
	}
	size_t len = strlen(b->scram->first);
	head[sizeof(head) - 1] = (uint8_t)len;
	rddr_pg_auth_send(a, PG_AUTH_BACKEND, i, 'p', head, sizeof(head), b->scram->first, len);
	b->turn = BACKEND_CHALLENGES;
}

/* The keys for a backend's challenge. PG_KEYS_READY with *why: there are none, and that is why. */
static enum pg_keys_state scram_keys(struct pg_auth *a, const struct pg_backend *b, struct pg_scram_keys *keys,
				     const char **why)
{
	const struct pg_secret *secret = a->secret;

	*why = NULL;
	if (a->plain)
		return rddr_pg_auth_keys(a, a->plain, &b->scram->salt, keys);
	if (!secret || secret->form != PG_SECRET_SCRAM) {
		*why = "the credentials hold neither a plain password nor a SCRAM secret";
	} else if (!rddr_pg_scram_same_salt(&secret->salt, &b->scram->salt)) {
		*why = "the SCRAM secret in the credentials has another salt or count than the server's";
	} else if (!secret->has_client_key && !a->has_learnt) {
		*why = "the SCRAM secret in the credentials has no ClientKey, and the client's proof did not show it";
	} else {
		*keys = secret->keys;
		if (!secret->has_client_key)
			memcpy(keys->client, a->learnt, sizeof(keys->client));
	}
	return PG_KEYS_READY;
}

static void answer_challenge(struct pg_auth *a, unsigned i)
{
	struct pg_backend *b = &a->backends[i];
	bool proved = rddr_pg_auth_proved(a);
	struct pg_scram_keys keys;
	const char *why;

	/* Without a proof nothing goes out, but what is known can be made ready meanwhile. */
	if (!proved && (!a->plain || a->pretended))
		return;
	enum pg_keys_state state = scram_keys(a, b, &keys, &why);

	if (state == PG_KEYS_FAILED) {
		rddr_pg_auth_end(a, "53300", "RDDR: too many logins at once");
	} else if (proved && why) {
		cannot(a, i, why);
	} else if (proved && state == PG_KEYS_READY) {
		if (rddr_pg_scram_client_final(b->scram, &keys)) {
			rddr_pg_auth_send(a, PG_AUTH_BACKEND, i, 'p', b->scram->final, strlen(b->scram->final), NULL,
					  0);
			b->turn = BACKEND_SIGNS;
		} else {
			libcrypto_failed(a);
		}
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
}

void rddr_pg_backend_step(struct pg_auth *a, unsigned i)
{
	struct pg_backend *b = &a->backends[i];

	/* Report mode: what the client types for the source is good here, too. */
	bool typing = a->backends[0].through && !a->plain && a->backends[0].method == PG_METHOD_PASSWORD &&
		      a->backends[0].turn == BACKEND_DEMANDS;

	if (b->through)
		return;
	if (b->turn == BACKEND_DEMANDS && b->method == PG_METHOD_SCRAM)
		begin_scram(a, i);
	else if (typing)
		return;
	else if (b->turn == BACKEND_DEMANDS && b->method == PG_METHOD_PASSWORD && rddr_pg_auth_proved(a))
		answer_password(a, i);
	else if (b->turn == BACKEND_DEMANDS && b->method == PG_METHOD_MD5 && rddr_pg_auth_proved(a))
		answer_md5(a, i);
	else if (b->turn == BACKEND_CHALLENGED)
		answer_challenge(a, i);
}
