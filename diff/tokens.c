/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "tokens_session.h"

#define TABLE "tokens"
/* A token in use is kept from expiring, and from being among the oldest: a session puts it into the table again when it
 * uses it for the first time, then every so many times, and when that part of its time to live is over. */
#define REFRESH	     32
#define REFRESH_PART 4

/* A key of the table: the scope, and a token; or the scope, a zero and a length, which says that such tokens exist. */
struct key {
	uint8_t bytes[SCOPE_LEN + RDDR_TOKEN_MAX];
	size_t len;
};

int rddr_tokens_new(const struct tokens_conf *conf, struct tokens **out)
{
	struct tokens *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->conf = *conf;
	t->table = conf->host->table(conf->session, TABLE, conf->settings->token_max);
	if (!t->table) {
		free(t);
		return -ENOMEM;
	}
	if (conf->settings->token_scope == SCOPE_CLIENT)
		conf->host->client(conf->session, t->scope);
	*out = t;
	return 0;
}

void rddr_tokens_free(struct tokens **t)
{
	free(*t);
	*t = NULL;
}

bool rddr_tokens_known(const struct tokens *t)
{
	return t->conf.host->table_count(t->table) > 0;
}

/* ---- the table ---- */

static void key_of_token(const struct tokens *t, struct slice token, struct key *key)
{
	memcpy(key->bytes, t->scope, SCOPE_LEN);
	memcpy(key->bytes + SCOPE_LEN, token.data, token.len);
	key->len = SCOPE_LEN + token.len;
}

static void key_of_length(const struct tokens *t, size_t len, struct key *key)
{
	uint16_t number = (uint16_t)len;

	memcpy(key->bytes, t->scope, SCOPE_LEN);
	key->bytes[SCOPE_LEN] = 0; /* no token begins so */
	memcpy(key->bytes + SCOPE_LEN + 1, &number, sizeof(number));
	key->len = SCOPE_LEN + 1 + sizeof(number);
}

static bool bit(const uint8_t *bits, size_t n)
{
	return bits[n >> 3] >> (n & 7) & 1;
}

static void set_bit(uint8_t *bits, size_t n)
{
	bits[n >> 3] |= (uint8_t)(1u << (n & 7));
}

bool rddr_tokens_length_known(struct tokens *t, size_t len)
{
	struct key key;
	size_t room = 0;

	if (bit(t->lengths, len))
		return true;
	if (bit(t->missed, len))
		return false;
	key_of_length(t, len, &key);
	bool known = t->conf.host->table_get(t->table, key.bytes, key.len, t->stored, &room);
	set_bit(known ? t->lengths : t->missed, len);
	return known;
}

/* Without their lengths, tokens are not found: both live on together. */
static void put(struct tokens *t, const struct key *key, size_t token_len, const uint8_t *block, size_t len)
{
	uint32_t ttl = t->conf.settings->token_ttl;
	struct key length;

	t->conf.host->table_put(t->table, key->bytes, key->len, block, len, ttl);
	key_of_length(t, token_len, &length);
	t->conf.host->table_put(t->table, length.bytes, length.len, NULL, 0, ttl);
}

/* FNV-1a; who makes tokens meet in it has them refreshed more often. */
static uint32_t hash_of(struct slice token)
{
	uint32_t hash = 2166136261u;

	for (size_t k = 0; k < token.len; k++)
		hash = (hash ^ token.data[k]) * 16777619u;
	return hash | 1;
}

static bool wants_refresh(struct tokens *t, struct slice token)
{
	uint32_t hash = hash_of(token);
	struct use *use = &t->uses[(hash >> 16) % USES];
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	uint32_t now = (uint32_t)ts.tv_sec;
	if (use->token == hash && ++use->n < REFRESH &&
	    now - use->refreshed < t->conf.settings->token_ttl / REFRESH_PART)
		return false;
	*use = (struct use){.token = hash, .refreshed = now};
	return true;
}

bool rddr_tokens_look_up(struct tokens *t, struct slice token, struct slice values[])
{
	size_t len = sizeof(t->stored), at = 0;
	struct key key;

	if (!rddr_tokens_length_known(t, token.len))
		return false;
	key_of_token(t, token, &key);
	if (!t->conf.host->table_get(t->table, key.bytes, key.len, t->stored, &len))
		return false;
	for (unsigned i = 0; i < t->conf.n; i++) {
		uint16_t part;

		if (len - at < sizeof(part))
			return false; /* learnt with fewer instances: a reload changed them */
		memcpy(&part, t->stored + at, sizeof(part));
		at += sizeof(part);
		if (len - at < part)
			return false;
		values[i] = (struct slice){t->stored + at, part};
		at += part;
	}
	if (at != len)
		return false;
	if (wants_refresh(t, token))
		put(t, &key, token.len, t->stored, len);
	return true;
}

static size_t count_joints(struct slice s)
{
	enum encoding how;
	size_t n = 0;

	for (size_t k = 0; k < s.len;) {
		size_t step = of_word(s.data[k]) ? 0 : joint_at(s, k, &how);

		n += step > 0;
		k += step ? step : 1;
	}
	return n;
}

/* Writes down all the values; 0: they cannot be tokens. */
static size_t write_values(const struct tokens *t, const struct slice values[], uint8_t block[VALUES_MAX])
{
	size_t len = 0;

	if (!values[0].data || too_many_joints(count_joints(values[0]), values[0].len))
		return 0;
	for (unsigned i = 0; i < t->conf.n; i++) {
		/* An absent instance is given what the client has; it hears none of it. */
		struct slice v = values[i].len ? values[i] : values[0];
		uint16_t part = (uint16_t)v.len;

		if (v.len > RDDR_TOKEN_MAX || len + sizeof(part) + v.len > VALUES_MAX)
			return 0;
		memcpy(block + len, &part, sizeof(part));
		memcpy(block + len + sizeof(part), v.data, v.len);
		len += sizeof(part) + v.len;
	}
	return len;
}

void rddr_tokens_store(struct tokens *t, const struct slice values[])
{
	uint8_t block[VALUES_MAX], old[VALUES_MAX];
	const struct rddr_host *host = t->conf.host;
	size_t len = write_values(t, values, block), room = sizeof(old);
	struct key key;

	if (!len) {
		host->count(t->conf.session, RDDR_COUNTED_TOKENS_REFUSED, 1);
		return;
	}
	key_of_token(t, values[0], &key);
	bool known =
		host->table_get(t->table, key.bytes, key.len, old, &room) && room == len && !memcmp(old, block, len);
	put(t, &key, values[0].len, block, len);
	if (!known)
		host->count(t->conf.session, RDDR_COUNTED_TOKENS_LEARNT, 1);
	set_bit(t->lengths, values[0].len);
}
