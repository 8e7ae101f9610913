/* SPDX-License-Identifier: BSD-2-Clause */
#include "pg_scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <stringprep.h>

/* Raw bytes of a nonce of ours, and their base64. */
#define NONCE_RAW  18
#define NONCE_TEXT 24
/* The longest nonce that is taken from the other side. */
#define NONCE_MAX 256
/* Longer passwords than PostgreSQL's clients take are cut nowhere: they are not prepared. */
#define PREPARED 4096

/* ---- what both sides need ---- */

int rddr_pg_scram_decode(const char *text, size_t len, uint8_t *out, size_t room)
{
	uint8_t data[PG_SCRAM_MESSAGE];
	char again[PG_SCRAM_MESSAGE + 4];

	if (!len || len % 4 || len > PG_SCRAM_MESSAGE)
		return -1;
	int n = EVP_DecodeBlock(data, (const uint8_t *)text, (int)len);
	if (n < 0)
		return -1;
	n -= (text[len - 1] == '=') + (text[len - 2] == '=');
	/* libcrypto overlooks white space and bits behind the end: only the one right way to write it is taken. */
	if (n < 0 || (size_t)n > room || rddr_pg_scram_encode(data, (size_t)n, again) != len ||
	    memcmp(again, text, len) != 0)
		n = -1;
	else
		memcpy(out, data, (size_t)n);
	OPENSSL_cleanse(data, sizeof(data));
	OPENSSL_cleanse(again, sizeof(again));
	return n;
}

size_t rddr_pg_scram_encode(const uint8_t *data, size_t len, char *out)
{
	return (size_t)EVP_EncodeBlock((uint8_t *)out, data, (int)len);
}

bool rddr_pg_scram_same_salt(const struct pg_scram_salt *a, const struct pg_scram_salt *b)
{
	return a->iterations == b->iterations && a->len == b->len && !memcmp(a->bytes, b->bytes, a->len);
}

static bool hmac(const uint8_t key[PG_SCRAM_KEY], const void *data, size_t len, uint8_t out[PG_SCRAM_KEY])
{
	return HMAC(EVP_sha256(), key, PG_SCRAM_KEY, data, len, out, NULL) != NULL;
}

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] > 0x7f)
			return false;
	}
	return true;
}

/* SASLprep (RFC 4013), which leaves ASCII as it is or does not take it. Returns the password's length. */
static size_t prepare(const char *password, size_t len, char out[PREPARED])
{
	memcpy(out, password, len);
	out[len] = '\0';
	if (is_ascii(password, len))
		return len;
	if (stringprep(out, PREPARED, STRINGPREP_NO_UNASSIGNED, stringprep_saslprep) == STRINGPREP_OK && *out)
		return strlen(out);
	memcpy(out, password, len);
	return len;
}

bool rddr_pg_scram_derive(const char *password, size_t len, const struct pg_scram_salt *salt,
			  struct pg_scram_keys *keys)
{
	uint8_t salted[PG_SCRAM_KEY];
	char prepared[PREPARED];
	bool ok = true;

	if (len < PREPARED) {
		len = prepare(password, len, prepared);
		password = prepared;
	}
	ok = salt->iterations && len <= INT32_MAX &&
	     PKCS5_PBKDF2_HMAC(password, (int)len, salt->bytes, (int)salt->len, (int)salt->iterations, EVP_sha256(),
			       PG_SCRAM_KEY, salted) == 1 &&
	     hmac(salted, "Client Key", 10, keys->client) && hmac(salted, "Server Key", 10, keys->server) &&
	     SHA256(keys->client, PG_SCRAM_KEY, keys->stored);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(prepared, sizeof(prepared));
	return ok;
}

/* HMAC(key, AuthMessage): the three messages without the proof. */
static bool sign(const uint8_t key[PG_SCRAM_KEY], const char *client_first_bare, const char *server_first,
		 const char *final, size_t without_proof, uint8_t out[PG_SCRAM_KEY])
{
	char message[3 * PG_SCRAM_MESSAGE];
	int n = snprintf(message, sizeof(message), "%s,%s,%.*s", client_first_bare, server_first, (int)without_proof,
			 final);

	return n > 0 && (size_t)n < sizeof(message) && hmac(key, message, (size_t)n, out);
}

static void xor_key(uint8_t a[PG_SCRAM_KEY], const uint8_t b[PG_SCRAM_KEY])
{
	for (unsigned i = 0; i < PG_SCRAM_KEY; i++)
		a[i] ^= b[i];
}

/* A nonce of ours behind what is there. */
static bool draw_nonce(char *out, const uint8_t random[NONCE_RAW])
{
	uint8_t raw[NONCE_RAW];

	if (random)
		memcpy(raw, random, sizeof(raw));
	else if (RAND_bytes(raw, sizeof(raw)) != 1)
		return false;
	rddr_pg_scram_encode(raw, sizeof(raw), out);
	return true;
}

/* Messages are text: printable ASCII without a 0 (RFC 5802, section 7, allows UTF-8 in the user's name alone). */
static pg_scram_fault copy_message(const uint8_t *message, size_t len, char out[PG_SCRAM_MESSAGE])
{
	if (len >= PG_SCRAM_MESSAGE)
		return "is too long";
	if (memchr(message, '\0', len))
		return "holds a zero byte";
	memcpy(out, message, len);
	out[len] = '\0';
	return NULL;
}

/* The attribute of that name at *at: its value is given, and *at moves behind it and its comma. */
static bool take_attribute(const char **at, char name, const char **value, size_t *len)
{
	if (!*at || (*at)[0] != name || (*at)[1] != '=')
		return false;
	*value = *at + 2;
	*len = strcspn(*value, ",");
	*at = (*value)[*len] ? *value + *len + 1 : NULL;
	return true;
}

/* RFC 5802, section 5.1: printable, without a comma. */
static bool is_nonce(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] < 0x21 || text[i] > 0x7e)
			return false;
	}
	return len && len <= NONCE_MAX;
}

/* Extensions that are not mandatory may follow, and mean nothing to us. */
static bool are_extensions(const char *at)
{
	for (const char *value; at;) {
		size_t len;
		char name = *at;

		if (!((name >= 'a' && name <= 'z') || (name >= 'A' && name <= 'Z')) || name == 'm')
			return false;
		if (!take_attribute(&at, name, &value, &len))
			return false;
	}
	return true;
}

/* ---- the server ---- */

pg_scram_fault rddr_pg_scram_server_first(struct pg_scram_server *s, const uint8_t *message, size_t len)
{
	char text[PG_SCRAM_MESSAGE];
	pg_scram_fault fault = copy_message(message, len, text);
	const char *value;
	size_t n;

	if (fault)
		return fault;
	if (text[0] == 'p')
		return "asks for channel binding, which was not offered";
	if (text[0] != 'n' && text[0] != 'y')
		return "begins with no channel-binding flag";
	if (text[1] != ',')
		return "has a malformed header";
	if (text[2] == 'a')
		return "asks for the rights of another user";
	if (text[2] != ',')
		return "has a malformed header";
	memcpy(s->gs2, text, 3);
	s->gs2[3] = '\0';

	const char *at = text + 3;
	memcpy(s->client_first_bare, at, strlen(at) + 1);
	if (*at == 'm')
		return "demands an extension that is not known";
	if (!take_attribute(&at, 'n', &value, &n))
		return "names no user";
	if (!take_attribute(&at, 'r', &value, &n) || !is_nonce(value, n))
		return "has no nonce, or one that is none";
	if (!are_extensions(at))
		return "ends in what is no extension";
	memcpy(s->nonce, value, n);
	s->nonce[n] = '\0';
	return NULL;
}

bool rddr_pg_scram_server_challenge(struct pg_scram_server *s, const struct pg_scram_salt *salt,
				    const uint8_t random[NONCE_RAW])
{
	char text[4 * ((PG_SCRAM_SALT_MAX + 2) / 3) + 1];

	if (!draw_nonce(s->nonce + strlen(s->nonce), random))
		return false;
	rddr_pg_scram_encode(salt->bytes, salt->len, text);
	int n = snprintf(s->server_first, sizeof(s->server_first), "r=%s,s=%s,i=%u", s->nonce, text, salt->iterations);
	return n > 0 && (size_t)n < sizeof(s->server_first);
}

pg_scram_fault rddr_pg_scram_server_final(struct pg_scram_server *s, const uint8_t *message, size_t len)
{
	pg_scram_fault fault = copy_message(message, len, s->final);
	const char *at = s->final, *value, *proof;
	char binding[16];
	size_t n;

	if (fault)
		return fault;
	rddr_pg_scram_encode((const uint8_t *)s->gs2, strlen(s->gs2), binding);
	if (!take_attribute(&at, 'c', &value, &n) || n != strlen(binding) || memcmp(value, binding, n) != 0)
		return "repeats another header than it began with";
	if (!take_attribute(&at, 'r', &value, &n) || n != strlen(s->nonce) || CRYPTO_memcmp(value, s->nonce, n) != 0)
		return "repeats another nonce than it was given";
	proof = at;
	while (at && *at != 'p') {
		if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z')) || *at == 'm' ||
		    !take_attribute(&at, *at, &value, &n))
			return "has a malformed attribute";
		proof = at;
	}
	if (!take_attribute(&at, 'p', &value, &n) || at)
		return "does not end in a proof";
	if (rddr_pg_scram_decode(value, n, s->proof, sizeof(s->proof)) != PG_SCRAM_KEY)
		return "has a proof that is none";
	s->without_proof = (size_t)(proof - 1 - s->final);
	return NULL;
}

bool rddr_pg_scram_server_verify(const struct pg_scram_server *s, const uint8_t stored[PG_SCRAM_KEY],
				 const uint8_t server[PG_SCRAM_KEY], char out[64], uint8_t client[PG_SCRAM_KEY])
{
	uint8_t key[PG_SCRAM_KEY], its[PG_SCRAM_KEY], signature[PG_SCRAM_KEY];
	bool ok = sign(stored, s->client_first_bare, s->server_first, s->final, s->without_proof, key) &&
		  sign(server, s->client_first_bare, s->server_first, s->final, s->without_proof, signature);

	if (ok) {
		xor_key(key, s->proof);
		ok = SHA256(key, PG_SCRAM_KEY, its) && CRYPTO_memcmp(its, stored, PG_SCRAM_KEY) == 0;
	}
	if (ok) {
		memcpy(client, key, PG_SCRAM_KEY);
		out[0] = 'v';
		out[1] = '=';
		rddr_pg_scram_encode(signature, sizeof(signature), out + 2);
	}
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(signature, sizeof(signature));
	return ok;
}

/* ---- the client ---- */

bool rddr_pg_scram_client_first(struct pg_scram_client *c, const uint8_t random[NONCE_RAW])
{
	if (!draw_nonce(c->nonce, random))
		return false;
	snprintf(c->first, sizeof(c->first), "n,,n=,r=%.*s", NONCE_TEXT, c->nonce);
	return true;
}

static pg_scram_fault read_iterations(const char *value, size_t len, uint32_t max, uint32_t *out)
{
	uint64_t n = 0;

	if (!len || len > 10 || *value == '0')
		return "has no iteration count";
	for (size_t i = 0; i < len; i++) {
		if (value[i] < '0' || value[i] > '9')
			return "has no iteration count";
		n = n * 10 + (uint64_t)(value[i] - '0');
	}
	if (n > max || n > INT32_MAX)
		return "demands more iterations than max-iterations allows";
	*out = (uint32_t)n;
	return NULL;
}

pg_scram_fault rddr_pg_scram_client_challenge(struct pg_scram_client *c, const uint8_t *message, size_t len,
					      uint32_t max)
{
	pg_scram_fault fault = copy_message(message, len, c->server_first);
	const char *at = c->server_first, *value;
	size_t n;

	if (fault)
		return fault;
	if (*at == 'm')
		return "demands an extension that is not known";
	if (!take_attribute(&at, 'r', &value, &n) || !is_nonce(value, n) || n <= NONCE_TEXT ||
	    memcmp(value, c->nonce, NONCE_TEXT) != 0)
		return "does not continue the nonce";
	memcpy(c->nonce, value, n);
	c->nonce[n] = '\0';
	if (!take_attribute(&at, 's', &value, &n))
		return "has no salt";
	int salt = rddr_pg_scram_decode(value, n, c->salt.bytes, sizeof(c->salt.bytes));
	if (salt <= 0)
		return "has a salt that is none";
	c->salt.len = (size_t)salt;
	if (!take_attribute(&at, 'i', &value, &n))
		return "has no iteration count";
	fault = read_iterations(value, n, max, &c->salt.iterations);
	if (!fault && !are_extensions(at))
		fault = "ends in what is no extension";
	return fault;
}

bool rddr_pg_scram_client_final(struct pg_scram_client *c, const struct pg_scram_keys *keys)
{
	const char *bare = c->first + 3;
	uint8_t proof[PG_SCRAM_KEY];
	char text[4 * ((PG_SCRAM_KEY + 2) / 3) + 1];
	/* "biws" is the base64 of "n,,". */
	int n = snprintf(c->final, sizeof(c->final), "c=biws,r=%s", c->nonce);

	if (n < 0 || (size_t)n >= sizeof(c->final) - sizeof(text) - 3 ||
	    !sign(keys->stored, bare, c->server_first, c->final, (size_t)n, proof) ||
	    !sign(keys->server, bare, c->server_first, c->final, (size_t)n, c->signature))
		return false;
	xor_key(proof, keys->client);
	rddr_pg_scram_encode(proof, sizeof(proof), text);
	snprintf(c->final + n, sizeof(c->final) - (size_t)n, ",p=%s", text);
	OPENSSL_cleanse(proof, sizeof(proof));
	OPENSSL_cleanse(text, sizeof(text));
	return true;
}

pg_scram_fault rddr_pg_scram_client_verify(const struct pg_scram_client *c, const uint8_t *message, size_t len)
{
	char text[PG_SCRAM_MESSAGE];
	uint8_t signature[PG_SCRAM_KEY];
	pg_scram_fault fault = copy_message(message, len, text);
	const char *at = text, *value;
	size_t n;

	if (fault)
		return fault;
	if (*at == 'e')
		return "is an error";
	if (!take_attribute(&at, 'v', &value, &n) || !are_extensions(at) ||
	    rddr_pg_scram_decode(value, n, signature, sizeof(signature)) != PG_SCRAM_KEY)
		return "has no signature";
	if (CRYPTO_memcmp(signature, c->signature, sizeof(signature)) != 0)
		return "has a signature that is not made with the user's secret";
	return NULL;
}
