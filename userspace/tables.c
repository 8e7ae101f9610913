/* SPDX-License-Identifier: BSD-2-Clause */
#include "tables.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "own.h"

#define SHARDS	    16
#define ENTRY_BYTES 256 /* what an entry is reckoned with */
#define WORD	    sizeof(uint64_t)
/* A reader that was disturbed this often asks the writer to wait. */
#define READS_MAX 64

/*
 * An entry in the ring, in words: the head, the key, the value, each padded to whole words. It never wraps around the
 * ring's end; a head with no length says that the rest is not used.
 */
struct head {
	uint64_t hash;
	uint32_t expires; /* s of the monotonic clock */
	uint16_t keylen, len;
};

_Static_assert(sizeof(struct head) == 2 * WORD, "a head is two words");

/* Everything that readers look at is read and written atomically, word by word: what is torn is found out by seq. */
struct shard {
	pthread_mutex_t lock; /* of writers */
	_Atomic uint32_t seq; /* odd while a writer is at it */
	_Atomic uint64_t *ring;
	_Atomic uint32_t *index; /* open addressing: place in the ring + 1, in words; 0: free */
	uint32_t words, index_mask;
	uint32_t oldest, next; /* places in the ring */
	_Atomic uint32_t n;
	uint32_t max;
	bool empty;
};

struct rddr_table {
	struct rddr_table *next_table;
	char *name;
	uint64_t seed[2];
	struct shard shards[SHARDS];
};

struct tables {
	struct tables *next;
	char *service;
	pthread_mutex_t lock;
	struct rddr_table *first;
};

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tables *registry;

static uint32_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint32_t)ts.tv_sec;
}

/* ---- hashing: keyed, since keys come off the wire ---- */

static uint64_t mix(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_key(const struct rddr_table *t, const void *key, size_t len)
{
	const uint8_t *p = key;
	uint64_t h = t->seed[0] ^ len, word;

	for (; len >= WORD; p += WORD, len -= WORD) {
		memcpy(&word, p, WORD);
		h = mix(h ^ word, t->seed[1]) + 0x9e3779b97f4a7c15u;
	}
	word = 0;
	memcpy(&word, p, len);
	h = mix(h ^ word, t->seed[1]);
	return mix(h ^ t->seed[0], 0x2d358dccaa6c78a5u);
}

static struct shard *shard_of(struct rddr_table *t, uint64_t hash)
{
	return &t->shards[hash >> 60];
}

/* ---- words of the ring ---- */

static uint32_t words_for(size_t bytes)
{
	return (uint32_t)((bytes + WORD - 1) / WORD);
}

static uint32_t entry_words(const struct head *h)
{
	return words_for(sizeof(*h)) + words_for(h->keylen) + words_for(h->len);
}

static void load(const struct shard *s, uint32_t place, void *out, size_t len)
{
	uint8_t *to = out;

	for (; len; place++) {
		uint64_t word = atomic_load_explicit(&s->ring[place], memory_order_relaxed);
		size_t part = len < WORD ? len : WORD;

		memcpy(to, &word, part);
		to += part;
		len -= part;
	}
}

static void store(struct shard *s, uint32_t place, const void *data, size_t len)
{
	const uint8_t *from = data;

	for (; len; place++) {
		uint64_t word = 0;
		size_t part = len < WORD ? len : WORD;

		memcpy(&word, from, part);
		atomic_store_explicit(&s->ring[place], word, memory_order_relaxed);
		from += part;
		len -= part;
	}
}

static bool same_bytes(const struct shard *s, uint32_t place, const void *data, size_t len)
{
	const uint8_t *p = data;

	for (; len; place++) {
		uint64_t word = atomic_load_explicit(&s->ring[place], memory_order_relaxed);
		size_t part = len < WORD ? len : WORD;

		if (memcmp(&word, p, part) != 0)
			return false;
		p += part;
		len -= part;
	}
	return true;
}

/* Whether an entry can lie there; a reader may look at anything while a writer is at it. */
static bool plausible(const struct shard *s, uint32_t place, const struct head *h)
{
	return h->keylen && h->keylen <= RDDR_TABLES_KEY_MAX && h->len <= RDDR_TABLES_VALUE_MAX &&
	       entry_words(h) <= s->words - place;
}

/* ---- the index ---- */

/* The slot that holds the key, or the free one where the search ended; *place is its entry's, or UINT32_MAX. */
static uint32_t find(const struct shard *s, uint64_t hash, const void *key, size_t keylen, struct head *h,
		     uint32_t *place)
{
	uint32_t slot = (uint32_t)hash & s->index_mask;

	*place = UINT32_MAX;
	for (uint32_t steps = 0; steps <= s->index_mask; steps++, slot = (slot + 1) & s->index_mask) {
		uint32_t at = atomic_load_explicit(&s->index[slot], memory_order_relaxed);

		if (!at)
			break;
		if (at + words_for(sizeof(*h)) > s->words)
			continue;
		load(s, at - 1, h, sizeof(*h));
		if (h->hash != hash || h->keylen != keylen || !plausible(s, at - 1, h))
			continue;
		if (same_bytes(s, at - 1 + words_for(sizeof(*h)), key, keylen)) {
			*place = at - 1;
			break;
		}
	}
	return slot;
}

static uint32_t home_of(const struct shard *s, uint32_t at)
{
	struct head h;

	load(s, at - 1, &h, sizeof(h));
	return (uint32_t)h.hash & s->index_mask;
}

/* Frees a slot, and moves up what would not be found any more. */
static void index_remove(struct shard *s, uint32_t slot)
{
	uint32_t hole = slot;

	for (uint32_t next = (slot + 1) & s->index_mask;; next = (next + 1) & s->index_mask) {
		uint32_t at = atomic_load_explicit(&s->index[next], memory_order_relaxed);

		if (!at)
			break;
		uint32_t home = home_of(s, at);
		/* It may move when its home does not lie between the hole and where it is. */
		if (((next - home) & s->index_mask) >= ((next - hole) & s->index_mask)) {
			atomic_store_explicit(&s->index[hole], at, memory_order_relaxed);
			hole = next;
		}
	}
	atomic_store_explicit(&s->index[hole], 0, memory_order_relaxed);
	atomic_fetch_sub_explicit(&s->n, 1, memory_order_relaxed);
}

/* ---- the ring ---- */

static void skip_unused(const struct shard *s, uint32_t *place)
{
	struct head h = {0};

	if (*place + words_for(sizeof(h)) <= s->words)
		load(s, *place, &h, sizeof(h));
	if (!h.keylen)
		*place = 0;
}

/* Forgets the oldest entry. Its slot may have been given to a newer entry of the same key. */
static void drop_oldest(struct shard *s)
{
	struct head h, found;
	uint8_t key[RDDR_TABLES_KEY_MAX];
	uint32_t place;

	skip_unused(s, &s->oldest);
	load(s, s->oldest, &h, sizeof(h));
	load(s, s->oldest + words_for(sizeof(h)), key, h.keylen);
	uint32_t slot = find(s, h.hash, key, h.keylen, &found, &place);
	if (place == s->oldest)
		index_remove(s, slot);
	s->oldest += entry_words(&h);
	if (s->oldest >= s->words)
		s->oldest = 0;
	s->empty = s->oldest == s->next;
	if (s->empty)
		s->oldest = s->next = 0;
}

/* Whether words are free from next on, without wrapping. */
static bool fits(const struct shard *s, uint32_t words)
{
	if (s->empty)
		return words <= s->words;
	if (s->next <= s->oldest)
		return words <= s->oldest - s->next;
	return words <= s->words - s->next;
}

static void make_room(struct shard *s, uint32_t words)
{
	static const struct head unused;

	while (!s->empty && (!fits(s, words) || s->n >= s->max)) {
		/* At the end of the ring: its rest is left unused, if the oldest does not lie there. */
		if (s->next > s->oldest && !fits(s, words)) {
			if (s->next + words_for(sizeof(unused)) <= s->words)
				store(s, s->next, &unused, sizeof(unused));
			s->next = 0;
			continue;
		}
		drop_oldest(s);
	}
}

static void write_begin(struct shard *s)
{
	pthread_mutex_lock(&s->lock);
	atomic_fetch_add_explicit(&s->seq, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void write_end(struct shard *s)
{
	atomic_fetch_add_explicit(&s->seq, 1, memory_order_release);
	pthread_mutex_unlock(&s->lock);
}

/* Whether an entry is in the older half of a ring that will soon want its room: put again, it is to live on. */
static bool is_old(const struct shard *s, uint32_t place)
{
	uint32_t used = s->next > s->oldest ? s->next - s->oldest : s->words - s->oldest + s->next;
	uint32_t ahead = place >= s->oldest ? place - s->oldest : s->words - s->oldest + place;

	return ahead < used / 2 && (used > s->words / 2 || s->n > s->max / 2);
}

bool rddr_tables_put(struct rddr_table *t, const void *key, size_t keylen, const void *value, size_t len, uint32_t ttl)
{
	struct head h = {.keylen = (uint16_t)keylen, .len = (uint16_t)len}, old;
	uint32_t place;

	if (!keylen || keylen > RDDR_TABLES_KEY_MAX || len > RDDR_TABLES_VALUE_MAX)
		return false;
	h.hash = hash_key(t, key, keylen);
	h.expires = now_s() + (ttl ? ttl : 1);
	struct shard *s = shard_of(t, h.hash);

	write_begin(s);
	uint32_t slot = find(s, h.hash, key, keylen, &old, &place);
	if (place != UINT32_MAX && old.len == len && !is_old(s, place)) {
		/* In place: it keeps its age in the ring. */
		store(s, place, &h, sizeof(h));
		store(s, place + words_for(sizeof(h)) + words_for(keylen), value, len);
		write_end(s);
		return true;
	}
	if (place != UINT32_MAX)
		index_remove(s, slot);
	make_room(s, entry_words(&h));
	slot = find(s, h.hash, key, keylen, &old, &place);
	store(s, s->next, &h, sizeof(h));
	store(s, s->next + words_for(sizeof(h)), key, keylen);
	store(s, s->next + words_for(sizeof(h)) + words_for(keylen), value, len);
	atomic_store_explicit(&s->index[slot], s->next + 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->n, 1, memory_order_relaxed);
	s->next += entry_words(&h);
	if (s->next >= s->words)
		s->next = 0;
	s->empty = false;
	write_end(s);
	return true;
}

/* 1: found, 0: not there, -1: a writer was at it. */
static int try_get(const struct shard *s, uint64_t hash, const void *key, size_t keylen, void *value, size_t *len)
{
	uint32_t seq = atomic_load_explicit(&s->seq, memory_order_acquire), place;
	struct head h;
	size_t room = *len;

	if (seq & 1)
		return -1;
	find(s, hash, key, keylen, &h, &place);
	bool found = place != UINT32_MAX && h.len <= room;
	if (found) {
		load(s, place + words_for(sizeof(h)) + words_for(keylen), value, h.len);
		found = h.expires > now_s();
	}
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&s->seq, memory_order_relaxed) != seq)
		return -1;
	if (found)
		*len = h.len;
	return found;
}

bool rddr_tables_get(struct rddr_table *t, const void *key, size_t keylen, void *value, size_t *len)
{
	if (!keylen || keylen > RDDR_TABLES_KEY_MAX)
		return false;
	uint64_t hash = hash_key(t, key, keylen);
	struct shard *s = shard_of(t, hash);

	if (!atomic_load_explicit(&s->n, memory_order_relaxed))
		return false;
	for (int i = 0; i < READS_MAX; i++) {
		int r = try_get(s, hash, key, keylen, value, len);
		if (r >= 0)
			return r;
	}
	pthread_mutex_lock(&s->lock);
	int r = try_get(s, hash, key, keylen, value, len);
	pthread_mutex_unlock(&s->lock);
	return r > 0;
}

size_t rddr_tables_count(const struct rddr_table *t)
{
	size_t n = 0;

	for (int i = 0; i < SHARDS; i++)
		n += atomic_load_explicit(&t->shards[i].n, memory_order_relaxed);
	return n;
}

static void shard_each(struct shard *s,
		       void (*each)(void *ctx, const void *key, size_t keylen, const void *value, size_t len,
				    uint32_t ttl),
		       void *ctx)
{
	uint8_t key[RDDR_TABLES_KEY_MAX], value[RDDR_TABLES_VALUE_MAX];
	uint32_t now = now_s(), place = s->oldest, newest;
	struct head h, found;

	for (bool more = !s->empty; more; more = place != s->next) {
		skip_unused(s, &place);
		load(s, place, &h, sizeof(h));
		load(s, place + words_for(sizeof(h)), key, h.keylen);
		load(s, place + words_for(sizeof(h)) + words_for(h.keylen), value, h.len);
		find(s, h.hash, key, h.keylen, &found, &newest);
		if (newest == place && h.expires > now)
			each(ctx, key, h.keylen, value, h.len, h.expires - now);
		place += entry_words(&h);
		if (place >= s->words)
			place = 0;
	}
}

void rddr_tables_each(struct rddr_table *t,
		      void (*each)(void *ctx, const void *key, size_t keylen, const void *value, size_t len,
				   uint32_t ttl),
		      void *ctx)
{
	for (int i = 0; i < SHARDS; i++) {
		pthread_mutex_lock(&t->shards[i].lock);
		shard_each(&t->shards[i], each, ctx);
		pthread_mutex_unlock(&t->shards[i].lock);
	}
}

void rddr_tables_clear(struct rddr_table *t)
{
	for (int i = 0; i < SHARDS; i++) {
		struct shard *s = &t->shards[i];

		write_begin(s);
		for (uint32_t slot = 0; slot <= s->index_mask; slot++)
			atomic_store_explicit(&s->index[slot], 0, memory_order_relaxed);
		atomic_store_explicit(&s->n, 0, memory_order_relaxed);
		s->oldest = s->next = 0;
		s->empty = true;
		write_end(s);
	}
}

/* ---- making them ---- */

static bool shard_init(struct shard *s, size_t entries)
{
	size_t bytes = entries * ENTRY_BYTES, slots = 16;

	/* One of the longest has to fit, and leave room for others. */
	if (bytes < 4 * (RDDR_TABLES_KEY_MAX + RDDR_TABLES_VALUE_MAX))
		bytes = 4 * (RDDR_TABLES_KEY_MAX + RDDR_TABLES_VALUE_MAX);
	while (slots < entries * 2)
		slots *= 2;
	pthread_mutex_init(&s->lock, NULL);
	s->words = words_for(bytes);
	s->index_mask = (uint32_t)slots - 1;
	s->max = (uint32_t)entries;
	s->empty = true;
	/* Pages come into being as they are written. */
	s->ring = calloc(s->words, sizeof(*s->ring));
	s->index = calloc(slots, sizeof(*s->index));
	return s->ring && s->index;
}

static void table_free(struct rddr_table *t)
{
	for (int i = 0; i < SHARDS; i++) {
		free(t->shards[i].ring);
		free(t->shards[i].index);
	}
	free(t->name);
	free(t);
}

static struct rddr_table *table_new(const char *name, size_t entries)
{
	struct rddr_table *t = calloc(1, sizeof(*t));
	bool made = t != NULL;

	if (!t)
		return NULL;
	entries = entries < RDDR_TABLES_ENTRIES_MAX ? entries : RDDR_TABLES_ENTRIES_MAX;
	for (int i = 0; i < SHARDS; i++)
		made &= shard_init(&t->shards[i], entries / SHARDS + 1);
	t->name = strdup(name);
	if (!made || !t->name || getrandom(t->seed, sizeof(t->seed), 0) != sizeof(t->seed)) {
		table_free(t);
		return NULL;
	}
	t->seed[1] |= 1;
	return t;
}

static struct rddr_table *named(struct tables *tables, const char *name)
{
	struct rddr_table *t = tables->first;

	while (t && strcmp(t->name, name) != 0)
		t = t->next_table;
	return t;
}

struct rddr_table *rddr_tables_table(struct tables *tables, const char *name, size_t entries)
{
	pthread_mutex_lock(&tables->lock);
	struct rddr_table *t = named(tables, name);
	if (!t) {
		t = table_new(name, entries);
		if (t) {
			t->next_table = tables->first;
			tables->first = t;
		}
	}
	pthread_mutex_unlock(&tables->lock);
	return t;
}

struct rddr_table *rddr_tables_find(struct tables *tables, const char *name)
{
	pthread_mutex_lock(&tables->lock);
	struct rddr_table *t = named(tables, name);
	pthread_mutex_unlock(&tables->lock);
	return t;
}

static struct tables *tables_new(const char *service)
{
	_owned_mem_ struct tables *tables = calloc(1, sizeof(*tables));

	if (!tables)
		return NULL;
	tables->service = strdup(service);
	if (!tables->service)
		return NULL;
	pthread_mutex_init(&tables->lock, NULL);
	return TAKE_PTR(tables);
}

struct tables *rddr_tables_of(const char *service)
{
	struct tables *tables;

	pthread_mutex_lock(&registry_lock);
	for (tables = registry; tables && strcmp(tables->service, service) != 0; tables = tables->next)
		continue;
	if (!tables) {
		tables = tables_new(service);
		if (tables) {
			tables->next = registry;
			registry = tables;
		}
	}
	pthread_mutex_unlock(&registry_lock);
	return tables;
}
