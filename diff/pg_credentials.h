/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg_credentials.h - users and their secrets, out of a file.
 *
 *	# a line for each user; either word may stand in double quotes, in which "" is a quote
 *	alice  correct horse battery staple
 *	bob    md5c0b6d6f7a1a2f1a0ad3bb4c6a2e0f9a1
 *	"carol x" SCRAM-SHA-256$4096:salt$StoredKey:ServerKey
 *
 * The last two are what pg_authid.rolpassword holds. A SCRAM secret may have :ClientKey behind it.
 *
 * It also keeps the keys that were derived from plain secrets, since that takes long: at most PG_CREDENTIALS_KEPT of
 * them, found by user, salt, iterations and password, under a lock that nobody holds for longer than a look.
 */
#ifndef RDDR_PG_CREDENTIALS_H
#define RDDR_PG_CREDENTIALS_H

#include "pg_scram.h"

#define PG_CREDENTIALS_KEPT 1024
/* The longest password, in bytes: longer ones PostgreSQL's own programs do not take either. */
#define PG_CREDENTIALS_PASSWORD 1024

enum pg_secret_form { PG_SECRET_PLAIN, PG_SECRET_MD5, PG_SECRET_SCRAM, PG_SECRET_FORMS };

struct pg_secret {
	const char *user; /* as all texts: of the credentials; terminated */
	enum pg_secret_form form;
	const char *text;	   /* the password, or the 35 characters of "md5..." */
	struct pg_scram_salt salt; /* of a SCRAM secret, */
	struct pg_scram_keys keys; /* and its keys */
	bool has_client_key;
};

struct pg_credentials;

/* Reads the file. 0; or -EINVAL, -ENOMEM or what opening it gave, with a message in err that names the file, and the
 * line, but nothing of what is in it. */
int rddr_pg_credentials_read(const char *path, struct pg_credentials **out, char *err, size_t errlen);
/* Wipes what it held. Takes NULL, nulls the pointer. */
void rddr_pg_credentials_free(struct pg_credentials **credentials);

/* Any thread. NULL: nothing is known of that user. */
const struct pg_secret *rddr_pg_credentials_find(const struct pg_credentials *c, const char *user);
size_t rddr_pg_credentials_count(const struct pg_credentials *c, enum pg_secret_form form);

/* The same bytes for the same user and purpose as long as the process lives, whatever file is read, and nobody outside
 * can tell them: for a salt of ours, and for what is made up for a user who is not there. Any thread. False: libcrypto
 * failed. */
bool rddr_pg_credentials_invent(const char *purpose, const char *user, uint8_t out[PG_SCRAM_KEY]);

/* What keys are kept under: a keyed hash of all that they are derived from. */
struct pg_kept_name {
	uint8_t bytes[PG_SCRAM_KEY];
};

struct pg_kept; /* the keys that are kept */

int rddr_pg_kept_new(struct pg_kept **out);
void rddr_pg_kept_free(struct pg_kept **kept);
/* Any thread. */
bool rddr_pg_kept_name(const struct pg_kept *kept, const char *user, const char *password, size_t len,
		       const struct pg_scram_salt *salt, struct pg_kept_name *out);
bool rddr_pg_kept_get(struct pg_kept *kept, const struct pg_kept_name *name, struct pg_scram_keys *keys);
void rddr_pg_kept_put(struct pg_kept *kept, const struct pg_kept_name *name, const struct pg_scram_keys *keys);

#endif
