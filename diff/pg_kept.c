/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg_kept.c - the keys that were derived from passwords: a table of sets, in each of which the one that was used least
 * lately goes first.
 */
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pg_credentials.h"

#define WAYS 8
#define SETS (PG_CREDENTIALS_KEPT / WAYS)

struct entry {
	struct pg_kept_name name;
	struct pg_scram_keys keys;
	uint64_t used; /* 0: empty */
};

struct pg_kept {
	pthread_mutex_t lock;
	uint8_t key[PG_SCRAM_KEY]; /* of the names */
	uint64_t uses;
	struct entry sets[SETS][WAYS];
};

int rddr_pg_kept_new(struct pg_kept **out)
{
	struct pg_kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return -ENOMEM;
	if (RAND_bytes(kept->key, sizeof(kept->key)) != 1) {
		free(kept);
		return -EIO;
	}
	pthread_mutex_init(&kept->lock, NULL);
	*out = kept;
	return 0;
}

void rddr_pg_kept_free(struct pg_kept **owned)
{
	struct pg_kept *kept = *owned;

	if (!kept)
		return;
	pthread_mutex_destroy(&kept->lock);
	OPENSSL_cleanse(kept, sizeof(*kept));
	free(kept);
	*owned = NULL;
}

/* Each part with its length in front of it, so that none can be taken for a part of another. */
static void add_part(uint8_t **at, const void *data, size_t len)
{
	const uint32_t n = (uint32_t)len;

	memcpy(*at, &n, sizeof(n));
	if (len)
		memcpy(*at + sizeof(n), data, len);
	*at += sizeof(n) + len;
}

bool rddr_pg_kept_name(const struct pg_kept *kept, const char *user, const char *password, size_t len,
		       const struct pg_scram_salt *salt, struct pg_kept_name *out)
{
	uint8_t text[256 + PG_CREDENTIALS_PASSWORD + PG_SCRAM_SALT_MAX + 32], *at = text;
	size_t user_len = strnlen(user, 256);

	if (user_len == 256 || len > PG_CREDENTIALS_PASSWORD)
		return false;
	add_part(&at, user, user_len);
	add_part(&at, password, len);
	add_part(&at, salt->bytes, salt->len);
	add_part(&at, &salt->iterations, sizeof(salt->iterations));
	bool ok = HMAC(EVP_sha256(), kept->key, sizeof(kept->key), text, (size_t)(at - text), out->bytes, NULL);
	OPENSSL_cleanse(text, sizeof(text));
	return ok;
}

/* Under the lock: the entry of that name, or the one to replace. */
static struct entry *look(struct pg_kept *kept, const struct pg_kept_name *name, bool *found)
{
	uint32_t hash;

	memcpy(&hash, name->bytes, sizeof(hash));
	struct entry *set = kept->sets[hash % SETS], *oldest = &set[0];

	*found = false;
	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].used && !memcmp(set[i].name.bytes, name->bytes, sizeof(name->bytes))) {
			*found = true;
			return &set[i];
		}
		oldest = set[i].used < oldest->used ? &set[i] : oldest;
	}
	return oldest;
}

bool rddr_pg_kept_get(struct pg_kept *kept, const struct pg_kept_name *name, struct pg_scram_keys *keys)
{
	bool found;

	pthread_mutex_lock(&kept->lock);
	struct entry *e = look(kept, name, &found);
	if (found) {
		e->used = ++kept->uses;
		*keys = e->keys;
	}
	pthread_mutex_unlock(&kept->lock);
	return found;
}

void rddr_pg_kept_put(struct pg_kept *kept, const struct pg_kept_name *name, const struct pg_scram_keys *keys)
{
	bool found;

	pthread_mutex_lock(&kept->lock);
	struct entry *e = look(kept, name, &found);
	e->name = *name;
	e->keys = *keys;
	e->used = ++kept->uses;
	pthread_mutex_unlock(&kept->lock);
}
