/* SPDX-License-Identifier: BSD-2-Clause */
#include "tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TABLE "tokens"
/* Words and joints that one candidate may be made of. */
#define ELEMENTS_MAX 24
#define SCOPE_LEN    16
#define VALUES_MAX   8192
/* A token in use is kept from expiring, and from being among the oldest: a session puts it into the table again when it
 * uses it for the first time, then every so many times, and when that part of its time to live is over. */
#define REFRESH	     32
#define REFRESH_PART 4
/* Tokens that a session remembers the uses of; others in their places only make it refresh more often. */
#define USES 16
/* The longest escape of one byte: \u002f. */
#define ESCAPE_MAX 6

enum encoding { PLAIN, PERCENT, BACKSLASH };

struct use {
	uint32_t token;	    /* its hash; 0: none */
	uint32_t n;	    /* uses since */
	uint32_t refreshed; /* s of the monotonic clock */
};

struct tokens {
	struct tokens_conf conf;
	struct rddr_table *table;
	uint8_t scope[SCOPE_LEN]; /* the client's address, or zeros */
	struct use uses[USES];
	uint8_t lengths[(RDDR_TOKEN_MAX >> 3) + 1]; /* lengths that some token is known to have */
	uint8_t missed[(RDDR_TOKEN_MAX >> 3) + 1];  /* lengths that none had, in this search */
	uint8_t stored[VALUES_MAX];
	uint8_t encoded[VALUES_MAX * 3];
};

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

/* Whether some token has that length. What is once known in a session stays so; what is not is asked once a search. */
static bool length_known(struct tokens *t, size_t len)
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

/* The values of a token, in the session's memory; false: it is none. */
static bool look_up(struct tokens *t, struct slice token, struct slice values[])
{
	size_t len = sizeof(t->stored), at = 0;
	struct key key;

	if (!length_known(t, token.len))
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

/* ---- words, and what joins them ---- */

static bool of_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

static bool joins(uint8_t c)
{
	return c == '+' || c == '/' || c == '=' || c == '.' || c == '~' || c == '%';
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many bytes the joint at a place has: 0 where there is none. */
static size_t joint_at(struct slice s, size_t k, enum encoding *how)
{
	if (s.data[k] == '%' && k + 2 < s.len && hex_value(s.data[k + 1]) >= 0 && hex_value(s.data[k + 2]) >= 0) {
		*how = PERCENT;
		return 3;
	}
	if (s.data[k] == '\\' && k + 1 < s.len && s.data[k + 1] == '/') {
		*how = BACKSLASH;
		return 2;
	}
	if (k + 5 < s.len && !memcmp(s.data + k, "\\u00", 4) && hex_value(s.data[k + 4]) >= 0 &&
	    hex_value(s.data[k + 5]) >= 0) {
		*how = BACKSLASH;
		return 6;
	}
	return joins(s.data[k]) ? 1 : 0;
}

/* ---- learning ---- */

static void store(struct tokens *t, const struct slice values[])
{
	uint8_t block[VALUES_MAX], old[VALUES_MAX];
	size_t len = 0, room = sizeof(old);
	struct key key;

	for (unsigned i = 0; i < t->conf.n; i++) {
		/* An absent instance is given what the client has; it hears none of it. */
		struct slice v = values[i].len ? values[i] : values[0];
		uint16_t part = (uint16_t)v.len;

		if (!v.data || v.len > RDDR_TOKEN_MAX || len + sizeof(part) + v.len > sizeof(block))
			return;
		memcpy(block + len, &part, sizeof(part));
		memcpy(block + len + sizeof(part), v.data, v.len);
		len += sizeof(part) + v.len;
	}
	const struct rddr_host *host = t->conf.host;

	key_of_token(t, values[0], &key);
	bool known =
		host->table_get(t->table, key.bytes, key.len, old, &room) && room == len && !memcmp(old, block, len);
	put(t, &key, values[0].len, block, len);
	if (!known)
		host->count(t->conf.session, RDDR_COUNTED_TOKENS_LEARNT, 1);
	set_bit(t->lengths, values[0].len);
}

static bool all_same(const struct tokens *t, const struct slice values[])
{
	for (unsigned i = 1; i < t->conf.n; i++) {
		if (values[i].len && !slice_equal(values[0], values[i]))
			return false;
	}
	return true;
}

static size_t common_front(const struct tokens *t, const struct slice values[], size_t shortest)
{
	for (size_t k = 0; k < shortest; k++) {
		for (unsigned i = 1; i < t->conf.n; i++) {
			if (values[i].len && values[i].data[k] != values[0].data[k])
				return k;
		}
	}
	return shortest;
}

static size_t common_back(const struct tokens *t, const struct slice values[], size_t shortest)
{
	for (size_t k = 1; k <= shortest; k++) {
		for (unsigned i = 1; i < t->conf.n; i++) {
			if (values[i].len && values[i].data[values[i].len - k] != values[0].data[values[0].len - k])
				return k - 1;
		}
	}
	return shortest;
}

/* Takes off what all have in front, and behind, up to where a word begins or ends; padding belongs to what it pads. */
static void trim_common(const struct tokens *t, struct slice values[])
{
	size_t shortest = values[0].len, front = 0, back = 0;

	for (unsigned i = 1; i < t->conf.n; i++)
		shortest = values[i].len && values[i].len < shortest ? values[i].len : shortest;
	size_t same_front = common_front(t, values, shortest);
	size_t same_back = common_back(t, values, shortest - same_front);
	for (size_t k = 0; k < values[0].len;) {
		enum encoding how = PLAIN;
		size_t step = of_word(values[0].data[k]) ? 0 : joint_at(values[0], k, &how);
		size_t next = k + (step ? step : 1);

		if (step && next <= same_front)
			front = next;
		if (step && !back && k >= values[0].len - same_back && values[0].data[k] != '=')
			back = values[0].len - k;
		k = next;
	}
	for (unsigned i = 0; i < t->conf.n; i++) {
		if (values[i].len)
			values[i] = slice_cut(values[i], front, values[i].len - front - back);
	}
}

static void learn_word(struct tokens *t, struct slice values[])
{
	if (all_same(t, values))
		return;
	trim_common(t, values);
	for (unsigned i = 0; i < t->conf.n; i++) {
		if (values[i].len > RDDR_TOKEN_MAX)
			return;
	}
	if (values[0].data && values[0].len >= t->conf.settings->token_min)
		store(t, values);
}

/* The next run of a word's bytes and of what joins words, from *at on; false: none is left. */
static bool next_run(struct slice s, size_t *at, struct slice *run)
{
	size_t from = *at;

	while (from < s.len && !of_word(s.data[from]) && !joins(s.data[from]))
		from++;
	size_t to = from;
	while (to < s.len && (of_word(s.data[to]) || joins(s.data[to])))
		to++;
	*at = to;
	*run = slice_cut(s, from, to - from);
	return to > from;
}

static unsigned count_runs(struct slice s)
{
	struct slice run;
	size_t at = 0;
	unsigned n = 0;

	while (next_run(s, &at, &run))
		n++;
	return n;
}

static void learn_text(struct tokens *t, const struct slice values[])
{
	struct slice words[RDDR_MAX_INSTANCES] = {0};
	size_t at[RDDR_MAX_INSTANCES] = {0};
	unsigned runs = count_runs(values[0]);

	for (unsigned i = 1; i < t->conf.n; i++) {
		if (values[i].len && count_runs(values[i]) != runs)
			return;
	}
	for (unsigned k = 0; k < runs; k++) {
		for (unsigned i = 0; i < t->conf.n; i++) {
			words[i] = (struct slice){0};
			if (values[i].len)
				next_run(values[i], &at[i], &words[i]);
		}
		learn_word(t, words);
	}
}

/* ---- HTML: what a page writes as a reference, a browser sends as the byte ---- */

static int reference(struct slice s, size_t *used)
{
	static const struct {
		const char *name;
		uint8_t byte;
	} named[] = {{"&amp;", '&'}, {"&quot;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}};
	unsigned number = 0;
	size_t k = 2;

	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		*used = strlen(named[i].name);
		if (s.len >= *used && !memcmp(s.data, named[i].name, *used))
			return named[i].byte;
	}
	if (s.len < 4 || s.data[0] != '&' || s.data[1] != '#')
		return -1;
	bool hex = s.data[2] == 'x' || s.data[2] == 'X';
	for (k += hex; k < s.len && k < 8 && s.data[k] != ';'; k++) {
		uint8_t c = s.data[k] | 0x20;

		if (c >= '0' && c <= '9')
			number = number * (hex ? 16 : 10) + c - '0';
		else if (hex && c >= 'a' && c <= 'f')
			number = number * 16 + c - 'a' + 10;
		else
			return -1;
	}
	if (k >= s.len || s.data[k] != ';' || !number || number > 0x7e)
		return -1;
	*used = k + 1;
	return (int)number;
}

static size_t unescape(struct slice s, uint8_t *out, size_t room)
{
	size_t len = 0;

	for (size_t k = 0; k < s.len && len < room;) {
		size_t used = 1;
		int byte = s.data[k] == '&' ? reference(slice_cut(s, k, s.len), &used) : -1;

		out[len++] = byte >= 0 ? (uint8_t)byte : s.data[k];
		k += byte >= 0 ? used : 1;
	}
	return len;
}

static bool has_references(const struct tokens *t, const struct slice values[])
{
	for (unsigned i = 0; i < t->conf.n; i++) {
		if (values[i].len && memchr(values[i].data, '&', values[i].len))
			return true;
	}
	return false;
}

void rddr_tokens_learn(struct tokens *t, const struct slice values[])
{
	struct slice plain[RDDR_MAX_INSTANCES] = {0};
	uint8_t *at = t->encoded;
	size_t room = sizeof(t->encoded);

	if (!values[0].len || all_same(t, values))
		return;
	if (!has_references(t, values)) {
		learn_text(t, values);
		return;
	}
	for (unsigned i = 0; i < t->conf.n; i++) {
		plain[i] = (struct slice){at, unescape(values[i], at, room)};
		at += plain[i].len;
		room -= plain[i].len;
	}
	learn_text(t, plain);
}

/* ---- finding ---- */

/* What a candidate may be made of, from one place in the text on: words, and what joins them, one by one. */
struct elements {
	size_t end[ELEMENTS_MAX];	 /* of each, from the beginning of the first */
	size_t plain[ELEMENTS_MAX];	 /* the same, decoded */
	enum encoding how[ELEMENTS_MAX]; /* the encoding of the joints up to there */
	unsigned n;
};

static void gather(struct slice s, size_t from, struct elements *e)
{
	enum encoding how = PLAIN;
	size_t k = from, plain = 0;

	for (e->n = 0; k < s.len && e->n < ELEMENTS_MAX && k - from < 3 * RDDR_TOKEN_MAX; e->n++) {
		enum encoding is = PLAIN;
		size_t begin = k;

		while (k < s.len && of_word(s.data[k]))
			k++;
		plain += k - begin;
		if (k == begin) {
			size_t step = joint_at(s, k, &is);
			if (!step)
				return;
			k += step;
			plain++;
		}
		/* A text is encoded in one way. */
		if (is != PLAIN)
			how = is;
		e->end[e->n] = k - from;
		e->plain[e->n] = plain;
		e->how[e->n] = how;
	}
}

static uint8_t hex_byte(const uint8_t *digits)
{
	return (uint8_t)((unsigned)hex_value(digits[0]) << 4 | (unsigned)hex_value(digits[1]));
}

static size_t decode(struct slice s, enum encoding how, uint8_t *out, size_t room)
{
	size_t len = 0;

	for (size_t k = 0; k < s.len && len < room;) {
		enum encoding is = PLAIN;
		size_t step = joint_at(s, k, &is);

		if (how == PERCENT && is == PERCENT)
			out[len++] = hex_byte(s.data + k + 1);
		else if (how == BACKSLASH && is == BACKSLASH)
			out[len++] = step == 2 ? '/' : hex_byte(s.data + k + 4);
		else
			out[len++] = s.data[k], step = 1;
		k += step;
	}
	return len;
}

/* As encodeURIComponent() does, or a JSON writer that escapes slashes. */
static size_t encode(struct slice s, enum encoding how, uint8_t *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;

	for (size_t k = 0; k < s.len; k++) {
		uint8_t c = s.data[k];

		if (how == PERCENT && !of_word(c) && c != '.' && c != '~') {
			out[len++] = '%';
			out[len++] = (uint8_t)digits[c >> 4];
			out[len++] = (uint8_t)digits[c & 15];
			continue;
		}
		if (how == BACKSLASH && c == '/')
			out[len++] = '\\';
		out[len++] = c;
	}
	return len;
}

/* Whether a candidate is a token, as it stands or decoded; values get what each instance is to have in its place. */
static bool is_token(struct tokens *t, struct slice candidate, size_t plain_len, enum encoding how,
		     struct slice values[])
{
	uint8_t plain[RDDR_TOKEN_MAX];
	size_t min = t->conf.settings->token_min;

	if (candidate.len >= min && candidate.len <= RDDR_TOKEN_MAX && look_up(t, candidate, values))
		return true;
	if (how == PLAIN || plain_len < min || plain_len > RDDR_TOKEN_MAX || !length_known(t, plain_len))
		return false;
	struct slice decoded = {plain, decode(candidate, how, plain, sizeof(plain))};
	if (!look_up(t, decoded, values))
		return false;
	/* Instance 0 has what the client was given, so it may have it as the client writes it. */
	uint8_t *at = t->encoded;
	values[0] = candidate;
	for (unsigned i = 1; i < t->conf.n; i++) {
		size_t len = encode(values[i], how, at);

		values[i] = (struct slice){at, len};
		at += len;
	}
	return true;
}

/* The longest token that begins at from; its length, 0 when there is none. */
static size_t longest(struct tokens *t, struct slice text, size_t from, const struct elements *e, struct slice values[])
{
	for (unsigned last = e->n; last-- > 0;) {
		if (is_token(t, slice_cut(text, from, e->end[last]), e->plain[last], e->how[last], values))
			return e->end[last];
	}
	return 0;
}

/* Whether what follows the text could make another candidate of the one at k, which is len bytes long so far. */
static bool may_go_on(struct slice text, size_t k, size_t len)
{
	/* An escape that is cut is a byte that joins nothing, or less than it will be. */
	return k + len + ESCAPE_MAX > text.len && text.len - k <= 3 * RDDR_TOKEN_MAX + ESCAPE_MAX;
}

size_t rddr_tokens_find_some(struct tokens *t, struct slice text, bool more, bool *in_word, tokens_fn each, void *ctx)
{
	struct slice values[RDDR_MAX_INSTANCES] = {0};
	struct elements elements = {0};
	size_t k = 0;

	memset(t->missed, 0, sizeof(t->missed));
	while (*in_word && k < text.len)
		*in_word = of_word(text.data[k]) && ++k;
	while (k < text.len) {
		gather(text, k, &elements);
		size_t extent = elements.n ? elements.end[elements.n - 1] : 0;
		if (more && may_go_on(text, k, extent))
			return k;
		size_t len = elements.n ? longest(t, text, k, &elements, values) : 0;
		if (len)
			each(ctx, k, len, values);
		else
			len = elements.n ? elements.end[0] : 1;
		k += len;
		*in_word = k == text.len && of_word(text.data[k - 1]);
	}
	return k;
}

void rddr_tokens_find(struct tokens *t, struct slice text, tokens_fn each, void *ctx)
{
	bool in_word = false;

	rddr_tokens_find_some(t, text, false, &in_word, each, ctx);
}
