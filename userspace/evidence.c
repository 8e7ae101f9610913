/* SPDX-License-Identifier: BSD-2-Clause */
#include "evidence.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>

#include "evidence_file.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "scribe.h"
#include "text.h"

#define TEXT_MAX 1024 /* bytes of a name or an explanation */

static const char *const reasons[] = {
	[RDDR_DENIED_DIVERGENCE] = "divergence", [RDDR_DENIED_MISSING] = "missing",   [RDDR_DENIED_LATE] = "late",
	[RDDR_DENIED_EARLY_END] = "early-end",	 [RDDR_DENIED_REJECTED] = "rejected", [RDDR_DENIED_LIMIT] = "limit",
	[RDDR_DENIED_FAILED] = "failed",
};

_Static_assert(ARRAY_LEN(reasons) == RDDR_DENIAL_REASONS, "every reason has a name");

static struct {
	pthread_mutex_t lock; /* of the file: the scribe writes it, the main thread opens and reads it */
	struct evidence_file *file;
	uint64_t lost; /* records since writing began to fail */
	_Atomic uint32_t excerpt;
	atomic_bool kept;
} evidence = {.lock = PTHREAD_MUTEX_INITIALIZER};

const char *rddr_evidence_reason_name(enum rddr_denial_reason reason)
{
	return (unsigned)reason < RDDR_DENIAL_REASONS ? reasons[reason] : "unknown";
}

uint32_t rddr_evidence_excerpt(void)
{
	return atomic_load_explicit(&evidence.excerpt, memory_order_relaxed);
}

/* ---- the file ---- */

int rddr_evidence_reopen(const struct evidence_conf *conf)
{
	struct evidence_file *fresh = NULL;
	bool keep = conf->file && *conf->file;
	bool same;
	int err;

	/* Only the main thread, which this is, ever changes the pointer. */
	same = keep && evidence.file && !strcmp(rddr_evidence_file_path(evidence.file), conf->file);
	if (keep && !same) {
		err = rddr_evidence_file_open(conf->file, &fresh);
		if (err)
			return err;
	}

	pthread_mutex_lock(&evidence.lock);
	if (!same) {
		rddr_evidence_file_close(&evidence.file);
		evidence.file = fresh;
		evidence.lost = 0;
	}
	if (evidence.file)
		rddr_evidence_file_limit(evidence.file, conf->max_size, conf->keep);
	pthread_mutex_unlock(&evidence.lock);

	atomic_store_explicit(&evidence.excerpt,
			      conf->excerpt < EVIDENCE_EXCERPT_MAX ? conf->excerpt : EVIDENCE_EXCERPT_MAX,
			      memory_order_relaxed);
	atomic_store_explicit(&evidence.kept, keep, memory_order_relaxed);
	return 0;
}

int rddr_evidence_open(const struct evidence_conf *conf)
{
	return rddr_evidence_reopen(conf);
}

void rddr_evidence_close(void)
{
	rddr_scribe_flush();
	atomic_store_explicit(&evidence.kept, false, memory_order_relaxed);
	pthread_mutex_lock(&evidence.lock);
	rddr_evidence_file_close(&evidence.file);
	pthread_mutex_unlock(&evidence.lock);
}

/* On the scribe's thread. A file that fails is reported when it begins to, and when it has stopped to. */
static void write_record(void *ctx, const char *line, size_t len)
{
	int err = 0;

	(void)ctx;
	pthread_mutex_lock(&evidence.lock);
	if (evidence.file)
		err = rddr_evidence_file_append(evidence.file, line, len);
	if (err) {
		rddr_metrics_count(rddr_metrics_set(NULL), METRIC_evidence_dropped);
		if (!evidence.lost++)
			err_r(err, "evidence: records are lost, the file cannot be written path=%s",
			      rddr_evidence_file_path(evidence.file));
	} else if (evidence.lost) {
		log_warning("evidence: the file can be written again path=%s lost=%llu",
			    rddr_evidence_file_path(evidence.file), (unsigned long long)evidence.lost);
		evidence.lost = 0;
	}
	pthread_mutex_unlock(&evidence.lock);
}

/* ---- references ---- */

#define HALF_BITS 25
#define HALF_MASK ((1u << HALF_BITS) - 1)
#define ROUNDS	  8

static uint64_t keys[2];
static atomic_uint_fast64_t next_number;
static pthread_once_t keys_once = PTHREAD_ONCE_INIT;

static void make_keys(void)
{
	/* Without getrandom (a filter of system calls may forbid it) the kernel's gift to every new program has to do.
	 */
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys)) {
		const void *gift = (const void *)getauxval(AT_RANDOM);

		if (gift)
			memcpy(keys, gift, sizeof(keys));
		keys[0] ^= (uint64_t)time(NULL);
	}
}

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* A keyed permutation of 50 bits (a Feistel network): consecutive numbers look unrelated and never meet. */
static uint64_t permute(uint64_t number)
{
	uint32_t left = (uint32_t)(number >> HALF_BITS) & HALF_MASK, right = (uint32_t)number & HALF_MASK;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint32_t f = (uint32_t)(mix(mix(keys[0] + right) ^ (keys[1] + i)) >> 32) & HALF_MASK;
		uint32_t before = left;

		left = right;
		right = before ^ f;
	}
	return (uint64_t)left << HALF_BITS | right;
}

void rddr_evidence_reference(char out[EVIDENCE_REFERENCE])
{
	/* No letters that are taken for digits when somebody reads the reference out over the telephone. */
	static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
	time_t now = time(NULL);
	uint64_t code;
	struct tm tm;
	char *at;

	pthread_once(&keys_once, make_keys);
	code = permute(atomic_fetch_add_explicit(&next_number, 1, memory_order_relaxed));
	gmtime_r(&now, &tm);
	at = out + strftime(out, EVIDENCE_REFERENCE, "%Y%m%d-", &tm);
	for (int shift = 2 * HALF_BITS - 5; shift >= 0; shift -= 5)
		*at++ = alphabet[code >> shift & 31];
	*at = '\0';
}

/* ---- the record ---- */

/* Puts the value into the object, which owns it from then on. False: out of memory. */
static bool add(json_object *object, const char *key, json_object *value)
{
	if (value && !json_object_object_add(object, key, value))
		return true;
	json_object_put(value);
	return false;
}

static bool add_text(json_object *object, const char *key, const char *text)
{
	_owned_mem_ char *escaped = NULL;

	if (!text)
		return !json_object_object_add(object, key, NULL);
	escaped = rddr_text_escaped(text, strnlen(text, TEXT_MAX));
	return escaped && add(object, key, json_object_new_string(escaped));
}

static bool add_number(json_object *object, const char *key, uint64_t number)
{
	return add(object, key, json_object_new_uint64(number));
}

static bool add_address(json_object *object, const char *key, const struct addr *address)
{
	char text[RDDR_ADDR_TEXT];

	if (address->sa.sa_family != AF_INET && address->sa.sa_family != AF_INET6)
		return add_text(object, key, NULL);
	return add_text(object, key, rddr_addr_format(address, text, sizeof(text)));
}

static json_object *make_side(const struct evidence_side *side, size_t bound)
{
	json_object *object = json_object_new_object();
	size_t len = side->excerpt ? side->excerpt_len : 0;
	_owned_mem_ char *readable = NULL, *exact = NULL;

	if (!object)
		return NULL;
	if (len > bound)
		len = bound;
	readable = rddr_text_escaped(side->excerpt, len);
	exact = rddr_text_base64(side->excerpt, len);
	if (readable && exact && add_text(object, "name", side->name) &&
	    add_address(object, "address", &side->address) && add_text(object, "state", side->state) &&
	    add_number(object, "received", side->received) &&
	    add_number(object, "excerpt_offset", side->excerpt_offset) &&
	    add(object, "excerpt", json_object_new_string(readable)) &&
	    add(object, "excerpt_base64", json_object_new_string(exact)))
		return object;
	json_object_put(object);
	return NULL;
}

static json_object *make_sides(const struct evidence *e)
{
	json_object *sides = json_object_new_array_ext((int)e->n);
	size_t bound = rddr_evidence_excerpt();

	if (e->n && bound > EVIDENCE_EXCERPT_SUM / e->n)
		bound = EVIDENCE_EXCERPT_SUM / e->n;
	for (unsigned i = 0; sides && i < e->n; i++) {
		json_object *side = make_side(&e->sides[i], bound);

		if (!side || json_object_array_add(sides, side)) {
			json_object_put(side);
			json_object_put(sides);
			return NULL;
		}
	}
	return sides;
}

static json_object *make_record(const char *reference, const struct evidence *e)
{
	const char *minority = e->minority >= 0 && (unsigned)e->minority < e->n ? e->sides[e->minority].name : NULL;
	json_object *record = json_object_new_object();
	char now[RDDR_TEXT_TIME];

	rddr_text_now(now);
	if (record && add_text(record, "time", now) && add_text(record, "reference", reference) &&
	    add_text(record, "service", e->service) && add_address(record, "client", &e->client) &&
	    add_address(record, "destination", &e->destination) && add_text(record, "action", e->action) &&
	    add_text(record, "reason", e->reason) && add_number(record, "session", e->session) &&
	    add_number(record, "request", e->request) && add_number(record, "offset", e->offset) &&
	    add_text(record, "where", e->where) && add_text(record, "why", e->why) &&
	    add_text(record, "correlation", e->correlation) && add_text(record, "minority", minority) &&
	    add(record, "instances", make_sides(e)))
		return record;
	json_object_put(record);
	return NULL;
}

bool rddr_evidence_record(const char *reference, const struct evidence *e)
{
	json_object *record;
	const char *line;
	bool queued;
	size_t len;

	if (!atomic_load_explicit(&evidence.kept, memory_order_relaxed))
		return false;
	record = make_record(reference, e);
	if (!record)
		return false;
	line = json_object_to_json_string_length(record, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	queued = line && rddr_scribe_put(write_record, NULL, line, len);
	json_object_put(record);
	return queued;
}

/* ---- reading ---- */

struct search {
	const char *reference;
	unsigned limit;
	void (*each)(void *ctx, const char *line);
	void *ctx;
	bool found;
};

/* The line as an object, or NULL when it is anything else (a torn line, somebody's note). The caller puts it. */
static json_object *parse_object(const char *line, size_t len)
{
	struct json_tokener *tokener = json_tokener_new();
	json_object *object;

	if (!tokener)
		return NULL;
	object = json_tokener_parse_ex(tokener, line, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success || json_tokener_get_parse_end(tokener) != len ||
	    !json_object_is_type(object, json_type_object)) {
		json_object_put(object);
		object = NULL;
	}
	json_tokener_free(tokener);
	return object;
}

static bool consider(void *ctx, const char *line, size_t len)
{
	struct search *search = ctx;
	json_object *object, *reference;
	bool wanted;

	/* Most lines need not be parsed to see that they are not the one. */
	if (search->reference && !memmem(line, len, search->reference, strlen(search->reference)))
		return true;
	object = parse_object(line, len);
	wanted = object && (!search->reference || (json_object_object_get_ex(object, "reference", &reference) &&
						   json_object_is_type(reference, json_type_string) &&
						   !strcmp(json_object_get_string(reference), search->reference)));
	json_object_put(object);
	if (!wanted)
		return true;
	search->found = true;
	search->limit--;
	search->each(search->ctx, line);
	return search->limit && !search->reference;
}

int rddr_evidence_read(const char *reference, unsigned limit, void (*each)(void *ctx, const char *line), void *ctx)
{
	struct search search = {.reference = reference, .limit = reference ? 1 : limit, .each = each, .ctx = ctx};
	int err = 0;

	rddr_scribe_flush();
	pthread_mutex_lock(&evidence.lock);
	if (evidence.file && search.limit)
		err = rddr_evidence_file_read(evidence.file, consider, &search);
	pthread_mutex_unlock(&evidence.lock);
	if (!err && reference && !search.found)
		return -ENOENT;
	return err;
}
