/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tokens.h - values of which each instance has its own, and of which the client knows instance 0's.
 *
 * Session cookies, CSRF fields, nonces: an answer shows one value for each instance; the client gets the first, and
 * when it sends it back, each instance is to get the one that it gave out. What was learnt is shared by all sessions of
 * the service (or by those of one client, where the rules say so) in the host's table "tokens", keyed by instance 0's
 * value.
 *
 * A token is replaced as a whole word. Words are made of letters, digits, '-' and '_', and may be joined by the other
 * bytes of base64, of URLs and of numbers (+ / = . ~) and by their encodings (%2B, \/, \u002f). So the candidates in a
 * text are few for each place in it, and each is one look into a hash table: the cost grows with the text, not with the
 * table. Lengths that no token has are passed over without hashing their bytes.
 */
#ifndef RDDR_TOKENS_H
#define RDDR_TOKENS_H

#include "rddr_diff.h"
#include "rules.h"
#include "slice.h"

/* The longest token, in bytes; what is longer is not learnt. */
#define RDDR_TOKEN_MAX 960
/* The shortest, whatever the settings' min-length and whoever declares it: a shorter word stands anywhere by chance. */
#define RDDR_TOKEN_MIN 4

struct tokens; /* a session's; opaque */

struct tokens_conf {
	const struct rddr_host *host;
	struct rddr_session *session;
	const struct rules_settings *settings;
	unsigned n; /* instances */
};

/* 0 or -ENOMEM. */
int rddr_tokens_new(const struct tokens_conf *conf, struct tokens **out);
void rddr_tokens_free(struct tokens **t);

/*
 * Learns what differs in one field: values[i] is what instance i has there (empty: it is absent). Values of several
 * words are taken word by word where all have as many; what is shorter than the settings' min-length is left out, and
 * so is what is the same for all.
 */
void rddr_tokens_learn(struct tokens *t, const struct slice values[]);

/*
 * The same where a rule says that they are tokens: a value that is one word may have RDDR_TOKEN_MIN bytes. Of entity
 * tags, weak or strong, what stands between the quotes is learnt as one.
 */
void rddr_tokens_learn_declared(struct tokens *t, const struct slice values[]);

/* What a text holds: len bytes at offset stand for values[i] at instance i, encoded as the client did. Valid during the
 * call. */
typedef void (*tokens_fn)(void *ctx, size_t offset, size_t len, const struct slice values[]);

/* Calls each for every token in the text, in order, without overlaps. json: it is JSON, so that the n of \n is of no
 * word. */
void rddr_tokens_find(struct tokens *t, struct slice text, bool json, tokens_fn each, void *ctx);

/* Where in a text the search is. */
struct tokens_place {
	bool json;    /* the text is JSON */
	bool in_word; /* what comes next goes on with a word that is none; false before the first piece */
};

/*
 * The same for a text that comes in pieces. more: it goes on behind this one, and what that could make part of a token,
 * or of a word, is left undecided: at most RDDR_TOKEN_MAX * 3 bytes and a few. Returns how many bytes at the beginning
 * are decided; the next piece begins there. *place is kept from piece to piece.
 */
size_t rddr_tokens_find_some(struct tokens *t, struct slice text, bool more, struct tokens_place *place, tokens_fn each,
			     void *ctx);

/* Whether anything can be found at all: false as long as nothing was learnt. */
bool rddr_tokens_known(const struct tokens *t);

#endif
