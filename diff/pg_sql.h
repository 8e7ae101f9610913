/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg_sql.h - as much of SQL as tells statements apart: its lexemes, where one statement ends, what a statement leaves
 * behind in the server's session, and the shape of a text, which is what is left of it without its literals.
 *
 * It reads as PostgreSQL does with standard_conforming_strings on, which has been the default since 9.1. Nothing here
 * owns or copies text; what is malformed is read in some way, and never past its end.
 */
#ifndef RDDR_PG_SQL_H
#define RDDR_PG_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

enum pg_lexeme_kind {
	PG_LEX_WORD,	/* a keyword, or a name without quotes */
	PG_LEX_NAME,	/* a name in double quotes */
	PG_LEX_LITERAL, /* a string of any form, or a number */
	PG_LEX_COMMENT, /* clients put ids of requests there */
	PG_LEX_SYMBOL,	/* anything else: one byte; or $1 */
	PG_LEX_SEMICOLON,
};

struct pg_lexeme {
	enum pg_lexeme_kind kind;
	struct slice text; /* with its quotes */
};

/* Takes one from the front; white space is passed over. False: nothing is left. */
bool rddr_pg_sql_lex(struct slice *rest, struct pg_lexeme *out);

/* Takes the first statement from the front, without its semicolon; empty ones are passed over. */
bool rddr_pg_sql_statement(struct slice *rest, struct slice *statement);

/* What a statement, when it has been done, leaves behind for those that follow on the same connection. */
enum pg_effect {
	PG_EFFECT_NONE,
	PG_EFFECT_LOCAL,      /* SET, for the transaction alone */
	PG_EFFECT_SETTING,    /* SET or RESET of the setting that is named */
	PG_EFFECT_RESET_ALL,  /* RESET ALL */
	PG_EFFECT_DISCARD,    /* DISCARD ALL: nothing is left */
	PG_EFFECT_DEALLOCATE, /* of the prepared statement that is named; no name: of all */
	PG_EFFECT_STICKS,     /* what cannot be done again elsewhere: a temporary table, a lock, LISTEN */
};

struct pg_statement {
	enum pg_effect effect;
	char name[64];	/* in lower case where it was not quoted; cut, and then it sticks */
	bool begins;	/* BEGIN or START TRANSACTION in a form that cannot fail, and nothing else */
	bool starts;	/* of them, START TRANSACTION */
	bool resets;	/* with PG_EFFECT_SETTING: to what it was at the login */
	bool remembers; /* a SELECT that asks for what the session did before: currval, lastval */
};

void rddr_pg_sql_classify(struct slice statement, struct pg_statement *out);

/* What becomes of a text's statements when the transaction that they are in does not come to its end. */
enum pg_lasting {
	PG_LASTING_NOTHING, /* one statement, of which nothing is left then (sequences apart) */
	PG_LASTING_OTHER,   /* not known */
	PG_LASTING_COMMITS, /* it may end a transaction block: COMMIT, END, PREPARE TRANSACTION */
};

/* cut: there is more of the text than that. one: it is one statement, or the server refuses it. */
enum pg_lasting rddr_pg_sql_lasting(struct slice text, bool cut, bool one);
/* Whether a text, all of it, has that name or keyword in it. */
bool rddr_pg_sql_names(struct slice text, const char *word);

/* FNV-1a, to be begun with PG_HASH. */
#define PG_HASH UINT64_C(0xcbf29ce484222325)
uint64_t rddr_pg_hash(uint64_t hash, const void *data, size_t len);

/* What a text is without its literals and comments. */
#define PG_SHAPE_HEAD 56
struct pg_shape {
	uint64_t hash;
	char head[PG_SHAPE_HEAD]; /* its beginning, for people; terminated */
};

void rddr_pg_sql_shape(struct slice text, struct pg_shape *out);
/* The shape of what has no text here, as a prepared statement that is named. */
void rddr_pg_sql_shape_named(struct slice name, struct pg_shape *out);

/* Under what noise of literal (or value) number n of that shape is known. Returns its length. */
#define PG_FIELD_ROOM (PG_SHAPE_HEAD + 40)
size_t rddr_pg_sql_field(const struct pg_shape *shape, char kind, unsigned n, char out[PG_FIELD_ROOM]);

#endif
