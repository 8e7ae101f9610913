/* SPDX-License-Identifier: BSD-2-Clause */
#include "pg_sql.h"

#include <stdio.h>

/* ---- lexemes ---- */

static bool is_space(uint8_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool begins_word(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool in_word(uint8_t c)
{
	return begins_word(c) || is_digit(c) || c == '$';
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static uint8_t at(struct slice s, size_t i)
{
	return i < s.len ? s.data[i] : 0;
}

/* Behind the closing quote; a doubled one is part of it. */
static size_t quoted(struct slice s, size_t from, uint8_t quote, bool escapes)
{
	size_t i = from + 1;

	while (i < s.len) {
		if (escapes && s.data[i] == '\\')
			i += 2;
		else if (s.data[i] != quote)
			i++;
		else if (at(s, i + 1) == quote)
			i += 2;
		else
			return i + 1;
	}
	return s.len;
}

static size_t line_comment(struct slice s)
{
	const uint8_t *end = memchr(s.data, '\n', s.len);

	return end ? (size_t)(end - s.data) : s.len;
}

/* They nest. */
static size_t block_comment(struct slice s)
{
	size_t depth = 0, i = 0;

	while (i + 1 < s.len) {
		if (s.data[i] == '/' && s.data[i + 1] == '*') {
			depth++;
			i += 2;
		} else if (s.data[i] == '*' && s.data[i + 1] == '/') {
			i += 2;
			if (--depth == 0)
				return i;
		} else {
			i++;
		}
	}
	return s.len;
}

/* $tag$ ... $tag$; 0: it is none. */
static size_t dollar_quoted(struct slice s)
{
	size_t tag = 1;

	if (at(s, 1) != '$' && !begins_word(at(s, 1)))
		return 0;
	while (tag < s.len && s.data[tag] != '$' && in_word(s.data[tag]))
		tag++;
	if (at(s, tag) != '$')
		return 0;
	tag++;
	for (size_t i = tag; i + tag <= s.len; i++) {
		if (s.data[i] == '$' && memcmp(s.data + i, s.data, tag) == 0)
			return i + tag;
	}
	return s.len;
}

static size_t number(struct slice s)
{
	size_t i = 1;

	while (i < s.len && (in_word(s.data[i]) || s.data[i] == '.' ||
			     ((s.data[i] == '+' || s.data[i] == '-') && lower(s.data[i - 1]) == 'e' && s.len > 2 &&
			      lower(at(s, 1)) != 'x')))
		i++;
	return i;
}

/* A word, or what it introduces: E'..', B'..', X'..', N'..', U&'..', U&"..". */
static size_t word(struct slice s, enum pg_lexeme_kind *kind)
{
	uint8_t first = lower(s.data[0]);
	size_t i = 1;

	*kind = PG_LEX_WORD;
	if (at(s, 1) == '\'' && (first == 'e' || first == 'b' || first == 'x' || first == 'n')) {
		*kind = PG_LEX_LITERAL;
		return quoted(s, 1, '\'', first == 'e');
	}
	if (first == 'u' && at(s, 1) == '&' && (at(s, 2) == '\'' || at(s, 2) == '"')) {
		*kind = at(s, 2) == '"' ? PG_LEX_NAME : PG_LEX_LITERAL;
		return quoted(s, 2, at(s, 2), false);
	}
	while (i < s.len && in_word(s.data[i]))
		i++;
	return i;
}

static size_t symbol(struct slice s)
{
	size_t i = 1;

	/* A parameter's number belongs to it. */
	while (s.data[0] == '$' && is_digit(at(s, i)))
		i++;
	return i;
}

static size_t measure(struct slice s, enum pg_lexeme_kind *kind)
{
	uint8_t c = s.data[0], next = at(s, 1);
	size_t len;

	*kind = PG_LEX_COMMENT;
	if (c == '-' && next == '-')
		return line_comment(s);
	if (c == '/' && next == '*')
		return block_comment(s);
	*kind = PG_LEX_LITERAL;
	if (c == '\'')
		return quoted(s, 0, '\'', false);
	if (is_digit(c) || (c == '.' && is_digit(next)))
		return number(s);
	if (c == '$') {
		len = dollar_quoted(s);
		if (len)
			return len;
	}
	*kind = PG_LEX_NAME;
	if (c == '"')
		return quoted(s, 0, '"', false);
	if (begins_word(c))
		return word(s, kind);
	*kind = c == ';' ? PG_LEX_SEMICOLON : PG_LEX_SYMBOL;
	return symbol(s);
}

bool rddr_pg_sql_lex(struct slice *rest, struct pg_lexeme *out)
{
	size_t skip = 0;

	while (skip < rest->len && is_space(rest->data[skip]))
		skip++;
	*rest = slice_cut(*rest, skip, SIZE_MAX);
	if (!rest->len)
		return false;
	size_t len = measure(*rest, &out->kind);

	out->text = slice_cut(*rest, 0, len);
	*rest = slice_cut(*rest, out->text.len, SIZE_MAX);
	return true;
}

bool rddr_pg_sql_statement(struct slice *rest, struct slice *statement)
{
	struct slice begin = *rest;
	struct pg_lexeme lexeme;
	bool any = false;

	while (rddr_pg_sql_lex(rest, &lexeme)) {
		if (lexeme.kind != PG_LEX_SEMICOLON) {
			any |= lexeme.kind != PG_LEX_COMMENT;
			continue;
		}
		if (any) {
			*statement = slice_cut(begin, 0, (size_t)(lexeme.text.data - begin.data));
			return true;
		}
		begin = *rest;
	}
	*statement = begin;
	return any;
}

/* ---- what a statement leaves behind ---- */

struct reader {
	struct slice rest;
	struct pg_lexeme now; /* what comes next; its text is empty at the end */
};

static void step(struct reader *r)
{
	while (rddr_pg_sql_lex(&r->rest, &r->now)) {
		if (r->now.kind != PG_LEX_COMMENT)
			return;
	}
	r->now = (struct pg_lexeme){.kind = PG_LEX_SYMBOL};
}

static bool is_word(const struct reader *r, const char *text)
{
	return r->now.kind == PG_LEX_WORD && slice_equal_nocase(r->now.text, slice_of(text));
}

static bool take(struct reader *r, const char *text)
{
	if (!is_word(r, text))
		return false;
	step(r);
	return true;
}

static bool is_symbol(const struct reader *r, char c)
{
	return r->now.kind == PG_LEX_SYMBOL && r->now.text.len == 1 && r->now.text.data[0] == (uint8_t)c;
}

/* A name, with what follows its dots. False: it is longer than there is room for. */
static bool take_name(struct reader *r, char name[64])
{
	size_t n = 0;

	while (r->now.text.len && (r->now.kind == PG_LEX_WORD || r->now.kind == PG_LEX_NAME || is_symbol(r, '.'))) {
		bool dot = is_symbol(r, '.');

		for (size_t i = 0; i < r->now.text.len; i++) {
			uint8_t c = r->now.text.data[i];

			if (n + 1 >= 64)
				return false;
			name[n++] = (char)(r->now.kind == PG_LEX_WORD ? lower(c) : c);
		}
		step(r);
		if (!dot && !is_symbol(r, '.'))
			break;
	}
	name[n] = '\0';
	return true;
}

static void fixed_name(struct pg_statement *out, const char *name)
{
	snprintf(out->name, sizeof(out->name), "%s", name);
}

/* Behind the name of a setting. */
static bool resets(struct reader *r)
{
	if (is_symbol(r, '=') || is_word(r, "TO"))
		step(r);
	return is_word(r, "DEFAULT");
}

/* Behind SET or RESET. */
static void classify_setting(struct reader *r, bool sets, struct pg_statement *out)
{
	out->effect = PG_EFFECT_SETTING;
	if (sets && (take(r, "LOCAL") || is_word(r, "TRANSACTION") || is_word(r, "CONSTRAINTS"))) {
		/* SET CONSTRAINTS has a tag of its own, by which it is not asked for. */
		out->effect = is_word(r, "CONSTRAINTS") ? PG_EFFECT_NONE : PG_EFFECT_LOCAL;
		return;
	}
	if (!sets && is_word(r, "ALL")) {
		out->effect = PG_EFFECT_RESET_ALL;
		return;
	}
	bool session = take(r, "SESSION");

	if (take(r, "TIME"))
		fixed_name(out, "timezone");
	else if (take(r, "NAMES"))
		fixed_name(out, "client_encoding");
	else if (session && is_word(r, "AUTHORIZATION"))
		fixed_name(out, "session authorization");
	else if (session && is_word(r, "CHARACTERISTICS"))
		fixed_name(out, "session characteristics");
	else if (!take_name(r, out->name) || !out->name[0])
		out->effect = PG_EFFECT_STICKS;
	out->resets = !sets || resets(r);
}

static bool take_mode(struct reader *r)
{
	if (take(r, "ISOLATION"))
		return take(r, "LEVEL") && (take(r, "SERIALIZABLE") || (take(r, "REPEATABLE") && take(r, "READ")) ||
					    (take(r, "READ") && (take(r, "COMMITTED") || take(r, "UNCOMMITTED"))));
	if (take(r, "READ"))
		return take(r, "ONLY") || take(r, "WRITE");
	take(r, "NOT");
	return take(r, "DEFERRABLE");
}

/* Behind BEGIN or START TRANSACTION: modes, in a form that no server refuses. */
static bool only_modes(struct reader *r)
{
	unsigned isolation = 0, modes = 0;

	while (r->now.text.len) {
		isolation += is_word(r, "ISOLATION");
		if (!take_mode(r) || isolation > 1 || ++modes > 4)
			return false;
		if (is_symbol(r, ',')) {
			step(r);
			if (!r->now.text.len)
				return false;
		}
	}
	return true;
}

/* Words that may stand anywhere in a statement. */
static void look_for_words(struct slice statement, bool selects, struct pg_statement *out)
{
	static const struct {
		const char *text;
		bool remembers;
	} words[] = {
		{"set_config", false},
		{"setseed", false},
		{"pg_advisory_lock", false},
		{"pg_advisory_lock_shared", false},
		{"pg_try_advisory_lock", false},
		{"pg_try_advisory_lock_shared", false},
		{"pg_temp", false},
		{"dblink_connect", false},
		{"currval", true},
		{"lastval", true},
	};
	struct pg_lexeme lexeme;

	while (rddr_pg_sql_lex(&statement, &lexeme)) {
		struct slice text = lexeme.text;

		if (lexeme.kind == PG_LEX_NAME && text.len > 2 && text.data[0] == '"')
			text = slice_cut(text, 1, text.len - 2);
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (lexeme.kind > PG_LEX_NAME || !slice_equal_nocase(text, slice_of(words[i].text)))
				continue;
			if (words[i].remembers)
				out->remembers |= selects;
			else
				out->effect = PG_EFFECT_STICKS;
		}
	}
}

static bool is_temporary(struct reader *r)
{
	if (!take(r, "LOCAL"))
		take(r, "GLOBAL");
	return is_word(r, "TEMP") || is_word(r, "TEMPORARY");
}

/* Behind CREATE. */
static bool creates_temporary(struct reader *r)
{
	if (take(r, "OR"))
		take(r, "REPLACE");
	return is_temporary(r);
}

static bool selects_into_temporary(struct reader *r)
{
	while (r->now.text.len) {
		if (take(r, "INTO") && is_temporary(r))
			return true;
		step(r);
	}
	return false;
}

/* Behind DECLARE: whether the cursor outlives its transaction. */
static bool holds(struct reader *r)
{
	while (r->now.text.len && !is_word(r, "FOR")) {
		if (take(r, "WITH") && is_word(r, "HOLD"))
			return true;
		step(r);
	}
	return false;
}

static void classify_by_verb(struct reader *r, struct pg_statement *out)
{
	if (take(r, "SET")) {
		classify_setting(r, true, out);
	} else if (take(r, "RESET")) {
		classify_setting(r, false, out);
	} else if (take(r, "DISCARD")) {
		/* What the other forms leave is not worth telling. */
		out->effect = is_word(r, "ALL") ? PG_EFFECT_DISCARD : PG_EFFECT_NONE;
	} else if (take(r, "DEALLOCATE")) {
		take(r, "PREPARE");
		out->effect = PG_EFFECT_DEALLOCATE;
		if (!take(r, "ALL") && !take_name(r, out->name))
			out->effect = PG_EFFECT_STICKS;
	} else if (take(r, "PREPARE")) {
		out->effect = is_word(r, "TRANSACTION") ? PG_EFFECT_NONE : PG_EFFECT_STICKS;
	} else if (is_word(r, "LISTEN") || is_word(r, "LOAD")) {
		out->effect = PG_EFFECT_STICKS;
	} else if (take(r, "DECLARE")) {
		out->effect = holds(r) ? PG_EFFECT_STICKS : PG_EFFECT_NONE;
	} else if (take(r, "CREATE")) {
		out->effect = creates_temporary(r) ? PG_EFFECT_STICKS : PG_EFFECT_NONE;
	} else if (is_word(r, "SELECT") || is_word(r, "WITH")) {
		out->effect = selects_into_temporary(r) ? PG_EFFECT_STICKS : PG_EFFECT_NONE;
	}
}

void rddr_pg_sql_classify(struct slice statement, struct pg_statement *out)
{
	struct reader r = {.rest = statement};

	*out = (struct pg_statement){0};
	step(&r);
	if (take(&r, "BEGIN")) {
		if (!take(&r, "WORK"))
			take(&r, "TRANSACTION");
		out->begins = only_modes(&r);
		return;
	}
	if (take(&r, "START")) {
		out->begins = out->starts = take(&r, "TRANSACTION") && only_modes(&r);
		return;
	}
	bool selects = is_word(&r, "SELECT");

	classify_by_verb(&r, out);
	look_for_words(statement, selects, out);
}

/* ---- what lasts ---- */

static enum pg_lasting lasting(struct slice statement)
{
	/* Of these nothing is left where they are rolled back. What a procedure does may be committed by it; VACUUM and
	 * the like commit as they go. */
	static const char *const undone[] = {"SELECT", "INSERT", "UPDATE", "DELETE",
					     "MERGE",  "VALUES", "WITH",   "TABLE"};
	struct reader r = {.rest = statement};

	step(&r);
	for (size_t i = 0; i < sizeof(undone) / sizeof(undone[0]); i++) {
		if (is_word(&r, undone[i]))
			return PG_LASTING_NOTHING;
	}
	/* Parentheses around a query. */
	if (is_symbol(&r, '('))
		return PG_LASTING_NOTHING;
	if (is_word(&r, "COMMIT") || is_word(&r, "END"))
		return PG_LASTING_COMMITS;
	if (take(&r, "PREPARE"))
		return !r.now.text.len || is_word(&r, "TRANSACTION") ? PG_LASTING_COMMITS : PG_LASTING_OTHER;
	return r.now.text.len ? PG_LASTING_OTHER : PG_LASTING_COMMITS;
}

enum pg_lasting rddr_pg_sql_lasting(struct slice text, bool cut, bool one)
{
	enum pg_lasting all = PG_LASTING_NOTHING;
	struct slice statement;
	unsigned n = 0;

	for (; rddr_pg_sql_statement(&text, &statement); n++) {
		enum pg_lasting its = lasting(statement);

		all = its > all ? its : all;
	}
	if (cut && (!one || !n))
		return PG_LASTING_COMMITS;
	return n > 1 && all == PG_LASTING_NOTHING ? PG_LASTING_OTHER : all;
}

bool rddr_pg_sql_names(struct slice text, const char *word)
{
	struct pg_lexeme lexeme;

	while (rddr_pg_sql_lex(&text, &lexeme)) {
		if (lexeme.kind == PG_LEX_WORD && slice_equal_nocase(lexeme.text, slice_of(word)))
			return true;
	}
	return false;
}

/* ---- shapes ---- */

uint64_t rddr_pg_hash(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
	return hash;
}

static void append(char *head, size_t *n, struct slice text)
{
	for (size_t i = 0; i < text.len && *n + 1 < PG_SHAPE_HEAD; i++) {
		uint8_t c = text.data[i];

		head[(*n)++] = c > ' ' && c < 127 ? (char)c : '.';
	}
	head[*n] = '\0';
}

void rddr_pg_sql_shape(struct slice text, struct pg_shape *out)
{
	struct pg_lexeme lexeme;
	size_t n = 0;

	out->hash = PG_HASH;
	out->head[0] = '\0';
	while (rddr_pg_sql_lex(&text, &lexeme)) {
		bool own = lexeme.kind == PG_LEX_LITERAL || lexeme.kind == PG_LEX_COMMENT;
		const struct slice shown = own ? slice_of("?") : lexeme.text;

		out->hash = rddr_pg_hash(out->hash, &lexeme.kind, sizeof(lexeme.kind));
		if (!own)
			out->hash = rddr_pg_hash(out->hash, lexeme.text.data, lexeme.text.len);
		if (lexeme.kind == PG_LEX_COMMENT)
			continue;
		if (n && n + 1 < PG_SHAPE_HEAD && lexeme.kind != PG_LEX_SYMBOL)
			out->head[n++] = ' ';
		append(out->head, &n, shown);
	}
}

void rddr_pg_sql_shape_named(struct slice name, struct pg_shape *out)
{
	size_t n = 0;

	out->hash = rddr_pg_hash(PG_HASH, name.data, name.len);
	out->head[0] = '\0';
	append(out->head, &n, slice_of("prepared:"));
	append(out->head, &n, name);
}

size_t rddr_pg_sql_field(const struct pg_shape *shape, char kind, unsigned n, char out[PG_FIELD_ROOM])
{
	int len = snprintf(out, PG_FIELD_ROOM, "sql:%s %c%u %08x", shape->head, kind, n,
			   (unsigned)(shape->hash ^ shape->hash >> 32));

	return len > 0 ? (size_t)len : 0;
}
