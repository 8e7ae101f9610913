/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tokens_session.h - what tokens.c, tokens_learn.c and tokens_find.c share: a session's tokens, and what a word is.
 */
#ifndef RDDR_TOKENS_SESSION_H
#define RDDR_TOKENS_SESSION_H

#include "tokens.h"

/* Tokens that a session remembers the uses of; others in their places only make it refresh more often. */
#define USES	   16
#define SCOPE_LEN  16
#define VALUES_MAX 8192

/*
 * A token may have so many joints, and one more for each so many bytes. Base64 has one in 32 bytes; a text that has
 * nothing but joints is not to be looked up at each of its bytes in every length.
 */
#define JOINTS_FREE 16
#define JOINT_BYTES 16
#define JOINTS_MAX  (JOINTS_FREE + RDDR_TOKEN_MAX / JOINT_BYTES)

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

/* ---- tokens.c ---- */

/* Whether some token has that length. What is once known in a session stays so; what is not is asked once a search. */
bool rddr_tokens_length_known(struct tokens *t, size_t len);
/* The values of a token, in the session's memory; false: it is none. */
bool rddr_tokens_look_up(struct tokens *t, struct slice token, struct slice values[]);
/* Remembers them by instance 0's, which has RDDR_TOKEN_MIN bytes at least; what cannot be a token is counted. */
void rddr_tokens_store(struct tokens *t, const struct slice values[]);

static inline bool too_many_joints(size_t joints, size_t len)
{
	return joints > JOINTS_FREE + len / JOINT_BYTES;
}

/* ---- words, and what joins them ---- */

static inline bool of_word(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

static inline bool joins(uint8_t c)
{
	return c == '+' || c == '/' || c == '=' || c == '.' || c == '~' || c == '%';
}

static inline int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* How many bytes the joint at a place has: 0 where there is none. */
static inline size_t joint_at(struct slice s, size_t k, enum encoding *how)
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

#endif
