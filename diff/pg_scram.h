/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg_scram.h - SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it (manual: "SASL Authentication"), both sides,
 * without channel binding. It knows neither sessions nor sockets: messages in, messages out.
 *
 * What PostgreSQL does differently from the RFC: the user is the startup message's (n= is not looked at), and a
 * password that SASLprep does not take is used as it is.
 */
#ifndef RDDR_PG_SCRAM_H
#define RDDR_PG_SCRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PG_SCRAM_MECHANISM  "SCRAM-SHA-256"
#define PG_SCRAM_KEY	    32
#define PG_SCRAM_SALT_MAX   128	 /* bytes */
#define PG_SCRAM_MESSAGE    1024 /* the longest message of either side, in bytes, with a 0 behind it */
#define PG_SCRAM_ITERATIONS 4096 /* what PostgreSQL uses, and RFC 7677 demands at least */

/* What is made of a password, a salt and a count (RFC 5802, section 3). */
struct pg_scram_keys {
	uint8_t client[PG_SCRAM_KEY]; /* whoever has it can log in */
	uint8_t stored[PG_SCRAM_KEY];
	uint8_t server[PG_SCRAM_KEY];
};

struct pg_scram_salt {
	uint8_t bytes[PG_SCRAM_SALT_MAX];
	size_t len;
	uint32_t iterations;
};

/* Why a message of the other side was not taken; NULL: it was. A static text that says nothing secret. */
typedef const char *pg_scram_fault;

/* Takes as long as the iterations say: about 0.3 us each. password: as it was typed; SASLprep is done here. False:
 * libcrypto failed. */
bool rddr_pg_scram_derive(const char *password, size_t len, const struct pg_scram_salt *salt,
			  struct pg_scram_keys *keys);
bool rddr_pg_scram_same_salt(const struct pg_scram_salt *a, const struct pg_scram_salt *b);

/* Strict base64 with padding (RFC 4648). The length of what is in out, or -1: it is none, or longer than room. */
int rddr_pg_scram_decode(const char *text, size_t len, uint8_t *out, size_t room);
/* out has room for 4 * ((len + 2) / 3) + 1. Returns its length. */
size_t rddr_pg_scram_encode(const uint8_t *data, size_t len, char *out);

/* ---- the server ---- */

struct pg_scram_server {
	char client_first_bare[PG_SCRAM_MESSAGE];
	char server_first[PG_SCRAM_MESSAGE];
	char gs2[8];		      /* "n,," or "y,,", which the last message repeats */
	char nonce[320];	      /* the client's and ours */
	char final[PG_SCRAM_MESSAGE]; /* the client's last message, until it is judged */
	size_t without_proof;	      /* bytes of it in front of ",p=" */
	uint8_t proof[PG_SCRAM_KEY];
};

/* What the client says first. */
pg_scram_fault rddr_pg_scram_server_first(struct pg_scram_server *s, const uint8_t *message, size_t len);
/* The answer to it, in s->server_first. random: 18 bytes of nonce; NULL: they are drawn. False: libcrypto failed. */
bool rddr_pg_scram_server_challenge(struct pg_scram_server *s, const struct pg_scram_salt *salt,
				    const uint8_t random[18]);
/* What the client says last; its form alone is looked at. */
pg_scram_fault rddr_pg_scram_server_final(struct pg_scram_server *s, const uint8_t *message, size_t len);
/* Whether it has the key that stored belongs to; in constant time. out: "v=" and the signature, terminated, at least 64
 * bytes; client: the client's key, learnt from the proof. Both are filled only when it is true. */
bool rddr_pg_scram_server_verify(const struct pg_scram_server *s, const uint8_t stored[PG_SCRAM_KEY],
				 const uint8_t server[PG_SCRAM_KEY], char out[64], uint8_t client[PG_SCRAM_KEY]);

/* ---- the client ---- */

struct pg_scram_client {
	char first[64]; /* what it says first; the bare part begins behind "n,," */
	char server_first[PG_SCRAM_MESSAGE];
	char nonce[320]; /* the server's, which begins with ours */
	struct pg_scram_salt salt;
	char final[PG_SCRAM_MESSAGE];
	uint8_t signature[PG_SCRAM_KEY]; /* that the server has to show */
};

/* The first message, in c->first. random: 18 bytes of nonce; NULL: they are drawn. False: libcrypto failed. */
bool rddr_pg_scram_client_first(struct pg_scram_client *c, const uint8_t random[18]);
/* The server's challenge; c->salt is what keys are to be derived with. More iterations than max are a fault. */
pg_scram_fault rddr_pg_scram_client_challenge(struct pg_scram_client *c, const uint8_t *message, size_t len,
					      uint32_t max);
/* The last message, in c->final. False: libcrypto failed. */
bool rddr_pg_scram_client_final(struct pg_scram_client *c, const struct pg_scram_keys *keys);
/* What the server says last: it has to know the keys as well. */
pg_scram_fault rddr_pg_scram_client_verify(const struct pg_scram_client *c, const uint8_t *message, size_t len);

#endif
