// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_cancel.c - keys that a client shows to have its statement cancelled.
 *
 * Each instance gives out a key of its own; the client gets one that is made here. Its process number is instance 0's,
 * because clients know by it their own notifications; its secret is drawn. A request to cancel comes on a connection of
 * its own, perhaps to another worker: the keys are in a table that all sessions of the service share.
 */
#include <stdlib.h>
#include <sys/random.h>

#include "postgres_session.h"

#define SECRET_TRIES 4
/* The longest that a session's key is remembered, in seconds. */
#define KEY_LIFE (30u * 24 * 3600)

bool rddr_pg_cancel_remember(struct pg_session *s)
{
	uint8_t all[RDDR_MAX_INSTANCES * 8] = {0}, other[RDDR_MAX_INSTANCES * 8];

	for (unsigned i = 0; i < s->n; i++)
		memcpy(all + (size_t)8 * i, s->instance[i].key, 8);
	memcpy(s->client_key, s->instance[0].key, 8);
	if (s->reports) {
		/* The client was told by instance 0. */
		s->keyed = s->host->table_put(s->keys, s->client_key, 8, all, (size_t)8 * s->n, KEY_LIFE);
		return s->keyed;
	}
	for (int tries = 0; tries < SECRET_TRIES; tries++) {
		size_t len = sizeof(other);

		if (getrandom(s->client_key + 4, 4, 0) != 4)
			return false;
		if (s->host->table_get(s->keys, s->client_key, 8, other, &len))
			continue;
		s->keyed = s->host->table_put(s->keys, s->client_key, 8, all, (size_t)8 * s->n, KEY_LIFE);
		return s->keyed;
	}
	return false;
}

void rddr_pg_cancel_forget(struct pg_session *s)
{
	/* An entry of one byte is no key. */
	if (s->keyed)
		s->host->table_put(s->keys, s->client_key, 8, "", 1, 1);
	s->keyed = false;
}

bool rddr_pg_cancel_knows(const struct pg_session *s, const uint8_t key[8])
{
	uint8_t all[RDDR_MAX_INSTANCES * 8];
	size_t len = sizeof(all);

	return s->host->table_get(s->keys, key, 8, all, &len) && len == (size_t)8 * s->n;
}

bool rddr_pg_cancel_pass(struct pg_session *s, const uint8_t key[8])
{
	static const uint8_t head[8] = {0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e};
	uint8_t all[RDDR_MAX_INSTANCES * 8];
	size_t len = sizeof(all);

	if (!s->host->table_get(s->keys, key, 8, all, &len) || len != (size_t)8 * s->n)
		return false;
	for (unsigned i = 0; i < s->n; i++) {
		s->host->segment_own(s->handle, i, head, sizeof(head));
		s->host->segment_own(s->handle, i, all + (size_t)8 * i, 8);
	}
	s->host->count(s->handle, RDDR_COUNTED_CANCELS, 1);
	return true;
}
