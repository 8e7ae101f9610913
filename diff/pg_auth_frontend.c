/* SPDX-License-Identifier: BSD-2-Clause */
/* pg_auth_frontend.c - the server's side of the login, towards whoever asks to be let in. */
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "pg_auth_own.h"

void rddr_pg_frontend_wipe(struct pg_frontend *f)
{
	if (f->given)
		OPENSSL_cleanse(f->given, strlen(f->given));
	free(f->given);
	if (f->scram)
		OPENSSL_cleanse(f->scram, sizeof(*f->scram));
	free(f->scram);
	f->given = NULL;
	f->scram = NULL;
}

static void libcrypto_failed(struct pg_auth *a)
{
	rddr_pg_auth_end(a, "58000", "RDDR: libcrypto failed");
}

static void malformed(struct pg_auth *a, unsigned i, const char *what)
{
	if (a->incoming && !a->reports)
		rddr_pg_auth_end(a, "08P01", "RDDR: the client's authentication message %s", what);
	else
		rddr_pg_auth_diverge(a, PG_AUTH_FRONTEND, i, i == 0 && a->n_frontends > 1,
				     "its authentication message %s", what);
}

static void no_credentials(struct pg_auth *a, unsigned i)
{
	const char *method = rddr_pg_auth_method_name(a->method);

	if (a->reports)
		rddr_pg_auth_diverge(a, PG_AUTH_FRONTEND, i, 0,
				     "it has to prove who it is by %s, and there are no credentials to tell with",
				     method);
	else
		rddr_pg_auth_end(a, "28000",
				 "RDDR: the client has to prove that it is user \"%s\" by %s, and RDDR has no "
				 "credentials to tell with: diff-params.credentials is not set",
				 a->user, method);
}

static void ask(struct pg_auth *a, unsigned i)
{
	/* The mechanisms, each terminated, and an empty one. */
	static const char mechanisms[] = PG_SCRAM_MECHANISM "\0";
	struct pg_frontend *f = &a->frontends[i];

	if (a->method != PG_METHOD_TRUST && !a->conf->credentials && !a->unverified) {
		no_credentials(a, i);
		return;
	}
	f->turn = FRONTEND_ANSWERS;
	switch (a->method) {
	case PG_METHOD_PASSWORD:
		rddr_pg_auth_request(a, i, PG_R_PASSWORD, NULL, 0);
		break;
	case PG_METHOD_MD5:
		if (RAND_bytes(f->salt, sizeof(f->salt)) != 1)
			libcrypto_failed(a);
		else
			rddr_pg_auth_request(a, i, PG_R_MD5, f->salt, sizeof(f->salt));
		break;
	case PG_METHOD_SCRAM:
		rddr_pg_auth_request(a, i, PG_R_SASL, mechanisms, sizeof(mechanisms));
		break;
	default:
		f->turn = FRONTEND_PROVED;
		break;
	}
}

/* ---- its messages ---- */

static void take_sasl_first(struct pg_auth *a, unsigned i, const uint8_t *body, size_t len)
{
	struct pg_frontend *f = &a->frontends[i];
	const size_t name = sizeof(PG_SCRAM_MECHANISM);

	if (len < name || memcmp(body, PG_SCRAM_MECHANISM, name) != 0) {
		malformed(a, i, "names another mechanism than " PG_SCRAM_MECHANISM);
		return;
	}
	body += name;
	len -= name;
	if (len < 4 ||
	    ((uint32_t)body[0] << 24 | (uint32_t)body[1] << 16 | (uint32_t)body[2] << 8 | body[3]) != len - 4) {
		malformed(a, i, "does not have the length that it says");
		return;
	}
	f->scram = calloc(1, sizeof(*f->scram));
	if (!f->scram) {
		rddr_pg_auth_end(a, "53200", "RDDR: out of memory");
		return;
	}
	pg_scram_fault fault = rddr_pg_scram_server_first(f->scram, body + 4, len - 4);
	if (fault)
		malformed(a, i, fault);
	f->turn = FRONTEND_SALT;
}

/* A password, or an md5 hash: a text and its zero byte. */
static void take_text(struct pg_auth *a, unsigned i, const uint8_t *body, size_t len)
{
	struct pg_frontend *f = &a->frontends[i];

	if (!len || body[len - 1] || strlen((const char *)body) + 1 != len) {
		malformed(a, i, "is no text with a zero byte behind it");
		return;
	}
	if (len - 1 > PG_CREDENTIALS_PASSWORD) {
		malformed(a, i, "is too long");
		return;
	}
	f->given = strdup((const char *)body);
	if (!f->given)
		rddr_pg_auth_end(a, "53200", "RDDR: out of memory");
	f->turn = FRONTEND_JUDGED;
}

/* Report mode: it is the backend's. What it types in clear is good for the other instances. */
static void pass_through(struct pg_auth *a, unsigned i, char type, const uint8_t *body, size_t len)
{
	struct pg_frontend *f = &a->frontends[i];

	if (a->incoming)
		rddr_pg_auth_send(a, PG_AUTH_BACKEND, i, type, body, len, NULL, 0);
	if (type != 'p' || f->given || a->backends[0].method != PG_METHOD_PASSWORD || !len || body[len - 1] ||
	    strlen((const char *)body) + 1 != len || len - 1 > PG_CREDENTIALS_PASSWORD)
		return;
	f->given = strdup((const char *)body);
	if (!a->plain)
		a->plain = f->given;
}

void rddr_pg_frontend_take(struct pg_auth *a, unsigned i, char type, const uint8_t *body, size_t len)
{
	struct pg_frontend *f = &a->frontends[i];
	pg_scram_fault fault = NULL;

	if (f->turn == FRONTEND_THROUGH && (body || !len) && len <= rddr_pg_auth_longest(PG_AUTH_FRONTEND)) {
		pass_through(a, i, type, body, len);
		return;
	}
	if (type == 'X' && a->incoming && !a->reports) {
		/* It has no password, and says nothing of it. */
		a->state = PG_AUTH_ENDED;
		a->host->finish(a->session);
	} else if (type != 'p') {
		malformed(a, i, "is of another type");
	} else if (!body || len > rddr_pg_auth_longest(PG_AUTH_FRONTEND)) {
		malformed(a, i, "is too long");
	} else if (f->turn == FRONTEND_PROVES) {
		f->turn = FRONTEND_JUDGED;
		fault = rddr_pg_scram_server_final(f->scram, body, len);
	} else if (a->method == PG_METHOD_SCRAM) {
		take_sasl_first(a, i, body, len);
	} else {
		take_text(a, i, body, len);
	}
	if (fault)
		malformed(a, i, fault);
}

/* ---- judging ---- */

/*
 * The salt that a frontend is challenged with: of its secret; or else the one with which the first backend challenges
 * us, so that one derivation is good for both; or else one of our own. False: it is not known yet.
 */
static bool choose_salt(struct pg_auth *a)
{
	uint8_t own[PG_SCRAM_KEY];

	if (a->salted)
		return true;
	if (a->secret && a->secret->form == PG_SECRET_SCRAM) {
		a->salt = a->secret->salt;
		a->salted = true;
		return true;
	}
	for (unsigned k = 0; k < a->n_backends; k++) {
		const struct pg_backend *b = &a->backends[k];

		if (b->method != PG_METHOD_SCRAM || b->through || !b->scram || b->turn >= BACKEND_OK)
			continue;
		if (b->turn == BACKEND_CHALLENGES)
			return false;
		/* A backend does not make the client's proof cheaper to guess from. */
		if (b->scram->salt.iterations < PG_SCRAM_ITERATIONS)
			break;
		a->salt = b->scram->salt;
		a->salted = true;
		return true;
	}
	if (!rddr_pg_credentials_invent("salt", a->user, own)) {
		libcrypto_failed(a);
		return false;
	}
	a->salt.len = 16;
	memcpy(a->salt.bytes, own, a->salt.len);
	a->salt.iterations = PG_SCRAM_ITERATIONS;
	a->salted = true;
	return true;
}

static void too_busy(struct pg_auth *a)
{
	rddr_pg_auth_end(a, "53300", "RDDR: too many logins at once");
}

/* What a frontend's proof has to be made of. */
static enum pg_keys_state expected_keys(struct pg_auth *a, struct pg_scram_keys *keys)
{
	if (a->secret && a->secret->form == PG_SECRET_SCRAM && !a->pretended) {
		*keys = a->secret->keys;
		return PG_KEYS_READY;
	}
	const char *password = a->pretended ? a->pretence : a->secret ? a->secret->text : NULL;

	return password ? rddr_pg_auth_keys(a, password, &a->salt, keys) : PG_KEYS_FAILED;
}

static void challenge(struct pg_auth *a, unsigned i)
{
	struct pg_frontend *f = &a->frontends[i];
	struct pg_scram_keys keys;

	if (!choose_salt(a) || a->state != PG_AUTH_UNDER_WAY)
		return;
	if (!rddr_pg_scram_server_challenge(f->scram, &a->salt, NULL)) {
		libcrypto_failed(a);
		return;
	}
	rddr_pg_auth_request(a, i, PG_R_CONTINUE, f->scram->server_first, strlen(f->scram->server_first));
	f->turn = FRONTEND_PROVES;
	/* While the client derives its own. */
	(void)expected_keys(a, &keys);
	OPENSSL_cleanse(&keys, sizeof(keys));
}

static void judge_proof(struct pg_auth *a, unsigned i)
{
	struct pg_frontend *f = &a->frontends[i];
	struct pg_scram_keys keys;
	char signature[64];
	enum pg_keys_state state = expected_keys(a, &keys);

	if (state == PG_KEYS_FAILED)
		too_busy(a);
	if (state != PG_KEYS_READY)
		return;
	if (rddr_pg_scram_server_verify(f->scram, keys.stored, keys.server, signature, a->learnt) && !a->pretended) {
		a->has_learnt = true;
		rddr_pg_auth_request(a, i, PG_R_FINAL, signature, strlen(signature));
		f->turn = FRONTEND_PROVED;
	} else {
		f->turn = FRONTEND_FAILED;
	}
	OPENSSL_cleanse(&keys, sizeof(keys));
}

static bool same_text(const char *a, const char *b)
{
	size_t len = strlen(a);

	return strlen(b) == len && CRYPTO_memcmp(a, b, len) == 0;
}

static void judge_md5(struct pg_auth *a, unsigned i)
{
	struct pg_frontend *f = &a->frontends[i];
	const char *password = a->pretended ? a->pretence : a->secret->text;
	bool hashed = !a->pretended && a->secret->form == PG_SECRET_MD5;
	char hash[36];

	if (!rddr_pg_auth_md5(password, hashed ? password : NULL, a->user, f->salt, hash)) {
		libcrypto_failed(a);
		return;
	}
	f->turn = same_text(hash, f->given) && !a->pretended ? FRONTEND_PROVED : FRONTEND_FAILED;
	OPENSSL_cleanse(hash, sizeof(hash));
}

/* Whether what it typed is the secret. PG_KEYS_READY: *same says. */
static enum pg_keys_state compare_password(struct pg_auth *a, const char *given, bool *same)
{
	static const uint8_t no_salt[4];
	char mine[36], its[36];
	struct pg_scram_keys keys;

	*same = false;
	if (a->pretended)
		return PG_KEYS_READY;
	switch (a->secret->form) {
	case PG_SECRET_MD5:
		*same = rddr_pg_auth_md5(NULL, a->secret->text, a->user, no_salt, mine) &&
			rddr_pg_auth_md5(given, NULL, a->user, no_salt, its) && same_text(mine, its);
		return PG_KEYS_READY;
	case PG_SECRET_SCRAM: {
		enum pg_keys_state state = rddr_pg_auth_keys(a, given, &a->secret->salt, &keys);

		*same = state == PG_KEYS_READY &&
			CRYPTO_memcmp(keys.stored, a->secret->keys.stored, sizeof(keys.stored)) == 0;
		OPENSSL_cleanse(&keys, sizeof(keys));
		return state;
	}
	default:
		*same = same_text(a->secret->text, given);
		return PG_KEYS_READY;
	}
}

static void judge_password(struct pg_auth *a, unsigned i)
{
	struct pg_frontend *f = &a->frontends[i];
	bool same = a->unverified && (!a->plain || same_text(a->plain, f->given));
	enum pg_keys_state state = a->unverified ? PG_KEYS_READY : compare_password(a, f->given, &same);

	if (state == PG_KEYS_FAILED)
		too_busy(a);
	if (state != PG_KEYS_READY)
		return;
	if (same)
		a->plain = f->given;
	f->turn = same ? FRONTEND_PROVED : FRONTEND_FAILED;
}

void rddr_pg_frontend_step(struct pg_auth *a, unsigned i)
{
	struct pg_frontend *f = &a->frontends[i];

	if (f->turn == FRONTEND_NEW)
		ask(a, i);
	else if (f->turn == FRONTEND_SALT)
		challenge(a, i);
	else if (f->turn == FRONTEND_JUDGED && a->method == PG_METHOD_SCRAM)
		judge_proof(a, i);
	else if (f->turn == FRONTEND_JUDGED && a->method == PG_METHOD_MD5)
		judge_md5(a, i);
	else if (f->turn == FRONTEND_JUDGED)
		judge_password(a, i);
}
