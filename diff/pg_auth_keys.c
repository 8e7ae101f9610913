/* SPDX-License-Identifier: BSD-2-Clause */
/* pg_auth_keys.c - keys out of passwords: kept ones, or derived off the loop. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "pg_auth_own.h"

/* Belongs to the host while it is under way. */
struct pg_auth_job {
	struct pg_auth_job *next;
	struct pg_auth *auth; /* NULL: it has been freed */
	struct pg_kept *kept; /* the host holds the params of a session whose job is under way */
	struct pg_kept_name name;
	struct pg_scram_salt salt;
	struct pg_scram_keys keys;
	bool ok;
	size_t len;
	char password[PG_CREDENTIALS_PASSWORD + 1];
};

static void work(void *ctx)
{
	struct pg_auth_job *job = ctx;

	/* Somebody else's login may have been quicker. */
	job->ok = rddr_pg_kept_get(job->kept, &job->name, &job->keys);
	if (job->ok)
		return;
	job->ok = rddr_pg_scram_derive(job->password, job->len, &job->salt, &job->keys);
	if (job->ok)
		rddr_pg_kept_put(job->kept, &job->name, &job->keys);
}

static struct pg_derived *find(const struct pg_auth *a, const struct pg_kept_name *name)
{
	struct pg_derived *d = a->derived;

	while (d && memcmp(d->name.bytes, name->bytes, sizeof(name->bytes)) != 0)
		d = d->next;
	return d;
}

static void done(void *state, void *ctx)
{
	struct pg_auth_job *job = ctx;
	/* No session, no login: whether or not somebody has told us. */
	struct pg_auth *a = state ? job->auth : NULL;

	if (a) {
		struct pg_derived *d = find(a, &job->name);
		struct pg_auth_job **at = &a->jobs;

		while (*at != job)
			at = &(*at)->next;
		*at = job->next;
		if (d) {
			d->state = job->ok ? PG_KEYS_READY : PG_KEYS_FAILED;
			d->keys = job->keys;
		}
	}
	OPENSSL_cleanse(job, sizeof(*job));
	free(job);
	if (a)
		rddr_pg_auth_step(a);
}

static bool begin(struct pg_auth *a, const struct pg_derived *d, const char *password, const struct pg_scram_salt *salt)
{
	struct pg_auth_job *job = calloc(1, sizeof(*job));

	if (!job)
		return false;
	job->auth = a;
	job->kept = a->conf->kept;
	job->name = d->name;
	job->salt = *salt;
	job->len = strlen(password);
	memcpy(job->password, password, job->len);
	if (!a->host->offload(a->session, work, done, job)) {
		OPENSSL_cleanse(job, sizeof(*job));
		free(job);
		return false;
	}
	job->next = a->jobs;
	a->jobs = job;
	return true;
}

enum pg_keys_state rddr_pg_auth_keys(struct pg_auth *a, const char *password, const struct pg_scram_salt *salt,
				     struct pg_scram_keys *keys)
{
	struct pg_kept_name name;
	size_t len = strlen(password);

	if (len > PG_CREDENTIALS_PASSWORD || !rddr_pg_kept_name(a->conf->kept, a->user, password, len, salt, &name))
		return PG_KEYS_FAILED;
	struct pg_derived *d = find(a, &name);
	if (!d && rddr_pg_kept_get(a->conf->kept, &name, keys))
		return PG_KEYS_READY;
	if (!d) {
		d = calloc(1, sizeof(*d));
		if (!d)
			return PG_KEYS_FAILED;
		d->name = name;
		d->state = begin(a, d, password, salt) ? PG_KEYS_PENDING : PG_KEYS_FAILED;
		d->next = a->derived;
		a->derived = d;
	}
	if (d->state == PG_KEYS_READY)
		*keys = d->keys;
	return d->state;
}

void rddr_pg_auth_keys_forget(struct pg_auth *a)
{
	for (struct pg_auth_job *job = a->jobs; job; job = job->next)
		job->auth = NULL;
	a->jobs = NULL;
	while (a->derived) {
		struct pg_derived *d = a->derived;

		a->derived = d->next;
		OPENSSL_cleanse(d, sizeof(*d));
		free(d);
	}
}
