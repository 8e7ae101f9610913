/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakepg.h - what diff-class postgres wants of its host besides fakehost.h, and messages to feed it.
 */
#ifndef RDDR_TEST_FAKEPG_H
#define RDDR_TEST_FAKEPG_H

#include "fakehost.h"

/* Tables of a few entries. */
struct rddr_table {
	const char *name;
	struct {
		uint8_t key[128], value[8192];
		size_t keylen, len;
	} entry[16];
	size_t n;
};

static struct rddr_table pg_tables[4];
static uint64_t pg_followed, pg_led; /* pg_led: what had been sent when lead was called */

static inline struct rddr_table *pg_fake_table(struct rddr_session *s, const char *name, size_t entries)
{
	size_t i = 0;

	fake_need(s && name && entries > 0, "asks for no table");
	while (i < 4 && pg_tables[i].name && strcmp(pg_tables[i].name, name) != 0)
		i++;
	fake_need(i < 4, "asks for too many tables");
	pg_tables[i].name = name;
	return &pg_tables[i];
}

static inline bool pg_fake_get(struct rddr_table *t, const void *key, size_t keylen, void *value, size_t *len)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->entry[i].keylen != keylen || memcmp(t->entry[i].key, key, keylen) != 0 || t->entry[i].len > *len)
			continue;
		memcpy(value, t->entry[i].value, t->entry[i].len);
		*len = t->entry[i].len;
		return true;
	}
	return false;
}

static inline bool pg_fake_put(struct rddr_table *t, const void *key, size_t keylen, const void *value, size_t len,
			       uint32_t ttl)
{
	size_t i = 0;

	fake_need(keylen > 0 && keylen <= sizeof(t->entry[0].key) && len > 0 && len <= sizeof(t->entry[0].value) &&
			  ttl > 0,
		  "puts what cannot be");
	while (i < t->n && (t->entry[i].keylen != keylen || memcmp(t->entry[i].key, key, keylen) != 0))
		i++;
	i %= sizeof(t->entry) / sizeof(t->entry[0]);
	t->n = i >= t->n ? i + 1 : t->n;
	memcpy(t->entry[i].key, key, keylen);
	t->entry[i].keylen = keylen;
	memcpy(t->entry[i].value, value, len);
	t->entry[i].len = len;
	return true;
}

static inline size_t pg_fake_table_count(const struct rddr_table *t)
{
	return t->n;
}

static inline void pg_fake_lead(struct rddr_session *s, uint32_t ms)
{
	(void)ms;
	fake_need(s->n > 1, "leads nobody");
	pg_followed = 0;
	pg_led = s->out[1].len;
}

static inline void pg_fake_follow(struct rddr_session *s, uint64_t upto)
{
	fake_need(s->n > 1, "follows nobody");
	pg_followed = upto > pg_followed ? upto : pg_followed;
}

static inline bool pg_fake_withholds(const struct rddr_session *s)
{
	return s->n > 1 && s->out[1].len - pg_led > pg_followed;
}

static inline bool pg_fake_unsend(struct rddr_session *s, uint64_t from)
{
	fake_need(s->n > 1 && s->in_diff, "unsends out of place");
	fake_need(pg_led + from <= s->out[1].len, "unsends what was not sent");
	if (pg_followed > from)
		return false;
	for (unsigned i = 1; i < s->n; i++)
		s->out[i].len = pg_led + from;
	return true;
}

static inline const struct rddr_host *pg_host(void)
{
	static struct rddr_host host;

	host = fake_host;
	host.table = pg_fake_table;
	host.table_get = pg_fake_get;
	host.table_put = pg_fake_put;
	host.table_count = pg_fake_table_count;
	host.lead = pg_fake_lead;
	host.follow = pg_fake_follow;
	host.withholds = pg_fake_withholds;
	host.unsend = pg_fake_unsend;
	return &host;
}

/* Forgets what is in the tables. */
static inline void pg_forget(void)
{
	for (size_t i = 0; i < 4; i++)
		pg_tables[i].n = 0;
}

/* Begins a session of n instances. */
static inline int pg_begin(struct rddr_session *s, const struct rddr_diff_plugin *plugin, unsigned n, bool filter,
			   const char *params)
{
	struct rddr_diff_create args = {
		.size = sizeof(args),
		.direction = RDDR_INCOMING,
		.instances = n,
		.do_filter = filter,
		.service = "test",
		.limit = 1 << 20,
		.host = pg_host(),
		.session = s,
		.noise_run = 256,
	};
	char err[256] = "";

	memset(s, 0, sizeof(*s));
	pg_forget();
	pg_followed = 0;
	s->plugin = plugin;
	s->n = n;
	s->budget = (struct noise_budget){.run = 256, .share = 20};
	int r = plugin->validate_params(params ? params : "{}", &s->params, err, sizeof(err));

	fake_need(r == 0 || err[0] != '\0', "refuses without a message");
	args.params = s->params;
	return r < 0 ? r : plugin->create(&args, &s->state);
}

/* Puts a message with that body behind what is in out; type 0: a first packet, which has none. */
static inline void pg_message(struct fake_out *out, char type, const void *body, size_t len)
{
	uint32_t length = (uint32_t)len + 4;
	const uint8_t head[5] = {(uint8_t)type, (uint8_t)(length >> 24), (uint8_t)(length >> 16),
				 (uint8_t)(length >> 8), (uint8_t)length};

	fake_append(out, head + (type == 0), sizeof(head) - (type == 0));
	fake_append(out, body, len);
}

/* Of whole messages those of one kind: 'N', 'S', 'A', which may come anywhere, or ' ': all others. */
static inline struct fake_out pg_only(const uint8_t *bytes, size_t len, char kind)
{
	struct fake_out out = {0};

	for (size_t at = 0, whole; at + 5 <= len; at += whole) {
		const uint8_t *m = bytes + at;
		char its = m[0] && strchr("NSA", m[0]) ? (char)m[0] : ' ';

		whole = 1 + ((size_t)m[1] << 24 | (size_t)m[2] << 16 | (size_t)m[3] << 8 | m[4]);
		if (whole > len - at)
			whole = len - at;
		if (its == kind)
			fake_append(&out, m, whole);
	}
	return out;
}

/* Whether the client heard the same, kind by kind: where one kind stands among the others is by who was first. With
 * partly the one may be the beginning of the other. */
static inline bool pg_alike(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len, bool partly)
{
	bool alike = partly || a_len == b_len;

	for (const char *kind = " NSA"; *kind; kind++) {
		struct fake_out one = pg_only(a, a_len, *kind), other = pg_only(b, b_len, *kind);
		size_t len = one.len < other.len ? one.len : other.len;

		alike &= partly || one.len == other.len;
		alike &= !len || memcmp(one.data, other.data, len) == 0;
		free(one.data);
		free(other.data);
	}
	return alike;
}

/* What a server says first to a client that it trusts; its process number is pid. */
static inline void pg_welcome(struct fake_out *out, uint8_t pid)
{
	const uint8_t key[8] = {0, 0, 0, pid, 1, 2, 3, pid};

	pg_message(out, 'R', "\0\0\0\0", 4);
	pg_message(out, 'S', "server_encoding\0UTF8", 21);
	pg_message(out, 'K', key, sizeof(key));
	pg_message(out, 'Z', "I", 1);
}

/* What the client hears of it. */
#define PG_WELCOME (9 + 26 + 13 + 6)

/* The startup packet, and the login of all n: the session is ready. */
static inline void pg_login(struct rddr_session *s, struct fake_out said[])
{
	struct fake_stream *lone = &s->in[FAKE_LONE];
	struct fake_out startup = {0};

	pg_message(&startup, 0, "\0\3\0\0user\0me\0", 13);
	fake_set(lone, startup.data, startup.len, RDDR_END_OPEN);
	fake_show(lone, SIZE_MAX);
	fake_need(fake_modify(s) && lone->consumed == startup.len, "takes no startup packet");
	for (unsigned i = 0; i < s->n; i++) {
		fake_set(&s->in[i], said[i].data, said[i].len, RDDR_END_OPEN);
		s->in[i].shown = PG_WELCOME;
	}
	fake_need(fake_diff(s) && s->out[FAKE_LONE].len == PG_WELCOME, "welcomes nobody");
	fake_set(lone, NULL, 0, RDDR_END_OPEN);
	free(startup.data);
}

#endif
