/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules_read.c - diff-params, read and checked. Messages open with the path of what is wrong.
 */
#include <assert.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "http_parse.h"
#include "rules_own.h"

#define MOST_RULES   256
#define MOST_PATTERN 1000
#define DEEPEST	     32
#define KIB	     UINT64_C(1024)
#define MIB	     (1024 * KIB)

struct reader {
	struct rules *rules;
	char *err;
	size_t errlen;
	char path[200]; /* of what is being read */
	int error;	/* the first */
};

static bool fail(struct reader *r, const char *what, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct reader *r, const char *what, ...)
{
	char text[300];
	va_list args;

	va_start(args, what);
	vsnprintf(text, sizeof(text), what, args);
	va_end(args);
	if (!r->error)
		snprintf(r->err, r->errlen, "%s: %s", r->path, text);
	r->error = r->error ? r->error : -EINVAL;
	return false;
}

static bool no_memory(struct reader *r)
{
	fail(r, "out of memory");
	r->error = -ENOMEM;
	return false;
}

/* Goes down to a key, or an item; returns what is to be given to leave. */
static size_t enter(struct reader *r, const char *key, size_t item)
{
	size_t before = strlen(r->path);

	if (key)
		snprintf(r->path + before, sizeof(r->path) - before, ".%s", key);
	else
		snprintf(r->path + before, sizeof(r->path) - before, "[%zu]", item);
	return before;
}

static void leave(struct reader *r, size_t before)
{
	r->path[before] = '\0';
}

/* For messages: the value, shortened. */
static const char *shown(json_object *value)
{
	static const char *const none = "null";
	const char *text = value ? json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN) : none;

	return text && strlen(text) <= 60 ? text : "the value";
}

/* ---- amounts and choices ---- */

struct unit {
	const char *name;
	uint64_t worth;
};

static const struct unit sizes[] = {{"GiB", 1024 * MIB}, {"MiB", MIB}, {"KiB", KIB}, {"B", 1}, {NULL, 0}};
static const struct unit times[] = {{"h", 3600}, {"m", 60}, {"s", 1}, {NULL, 0}};

/* A number, where plain ones mean something; or digits, perhaps a blank, and a unit. */
static bool read_amount(json_object *value, const struct unit *units, bool plain, uint64_t *out)
{
	const char *text;
	char *end;
	uint64_t number;

	if (json_object_is_type(value, json_type_int) && plain && json_object_get_int64(value) >= 0) {
		*out = (uint64_t)json_object_get_int64(value);
		return true;
	}
	if (!json_object_is_type(value, json_type_string) || !units)
		return false;
	text = json_object_get_string(value);
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	end += *end == ' ';
	for (; !errno && units->name; units++)
		if (strcmp(end, units->name) == 0)
			return !__builtin_mul_overflow(number, units->worth, out);
	return false;
}

enum amount_kind {
	NUMBER,
	SIZE,
	TIME,
};

struct amount {
	const char *key;
	enum amount_kind kind;
	size_t offset; /* in struct rules_settings */
	uint64_t min, max;
};

static const char *const wants[] = {"a number", "a size (bytes, or a number with KiB or MiB)",
				    "a time (a number with s, m or h)"};

/* False: wrong, and said so. */
static bool take_amount(struct reader *r, const struct amount *a, json_object *value)
{
	void *field = (char *)&r->rules->settings + a->offset;
	const struct unit *units = a->kind == SIZE ? sizes : a->kind == TIME ? times : NULL;
	uint64_t amount;

	if (!read_amount(value, units, a->kind != TIME, &amount) || amount < a->min || amount > a->max)
		return fail(r, "%s: must be %s, from %llu to %llu%s", shown(value), wants[a->kind],
			    (unsigned long long)a->min, (unsigned long long)a->max,
			    a->kind == TIME   ? " seconds"
			    : a->kind == SIZE ? " bytes"
					      : "");
	if (a->kind == TIME)
		*(uint32_t *)field = (uint32_t)amount;
	else
		*(size_t *)field = (size_t)amount;
	return true;
}

/* Two words; the first one is 0. */
static bool take_choice(struct reader *r, json_object *value, const char *first, const char *second, unsigned *out)
{
	const char *text = json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";

	if (strcmp(text, first) != 0 && strcmp(text, second) != 0)
		return fail(r, "%s: must be %s or %s", shown(value), first, second);
	*out = strcmp(text, second) == 0;
	return true;
}

#define AMOUNT(key, kind, field, min, max)                                                                             \
	{                                                                                                              \
		key, kind, offsetof(struct rules_settings, field), min, max                                            \
	}
static const struct amount top_amounts[] = {
	AMOUNT("max-head", SIZE, max_head, KIB, MIB),
	AMOUNT("max-body", SIZE, max_body, KIB, 256 * MIB),
	AMOUNT("max-field", SIZE, max_field, 16, MIB),
	AMOUNT("max-decoded-ratio", NUMBER, max_decoded_ratio, 1, 100000),
	{0},
};
static const struct amount token_amounts[] = {
	AMOUNT("min-length", NUMBER, token_min, 4, 1024),
	AMOUNT("ttl", TIME, token_ttl, 1, 30 * 86400),
	AMOUNT("max", NUMBER, token_max, 1, 10000000),
	{0},
};
static const struct amount noise_amounts[] = {
	AMOUNT("ttl", TIME, noise_ttl, 1, 30 * 86400),
	AMOUNT("max", NUMBER, noise_max, 1, 10000000),
	{0},
};

static const struct amount *find_amount(const struct amount *list, const char *key)
{
	while (list->key && strcmp(list->key, key) != 0)
		list++;
	return list->key ? list : NULL;
}

static bool wants_type(struct reader *r, json_object *value, enum json_type type, const char *what)
{
	return json_object_is_type(value, type) || fail(r, "%s: must be %s", shown(value), what);
}

/* Amounts within a key; tokens have a scope besides. */
static bool read_section(struct reader *r, json_object *section, const struct amount *amounts, bool scope,
			 const char *keys)
{
	if (!wants_type(r, section, json_type_object, "a mapping"))
		return false;
	json_object_object_foreach(section, key, value)
	{
		const struct amount *a = find_amount(amounts, key);
		size_t before = enter(r, key, 0);
		unsigned choice = 0;
		bool ok;

		if (a) {
			ok = take_amount(r, a, value);
		} else if (scope && strcmp(key, "scope") == 0) {
			ok = take_choice(r, value, "service", "client", &choice);
			r->rules->settings.token_scope = choice ? SCOPE_CLIENT : SCOPE_SERVICE;
		} else {
			ok = fail(r, "no such key: there are %s", keys);
		}
		if (!ok)
			return false;
		leave(r, before);
	}
	return true;
}

/* ---- names, pointers, patterns ---- */

/* A text that is not empty, has no NUL, and is no longer than most. */
static const char *text_of(struct reader *r, json_object *value, size_t most, const char *what)
{
	size_t len;

	if (!wants_type(r, value, json_type_string, what))
		return NULL;
	len = (size_t)json_object_get_string_len(value);
	if (len == 0 || len > most || strlen(json_object_get_string(value)) != len) {
		fail(r, "%s: must be %s of 1 to %zu bytes without NUL", shown(value), what, most);
		return NULL;
	}
	return json_object_get_string(value);
}

/* RFC 9110, section 5.1: a token, here without asterisks. One may stand at its end. */
static bool is_name(const char *text, bool asterisk)
{
	struct slice name = slice_of(text);

	if (asterisk && name.len > 1 && text[name.len - 1] == '*')
		name.len--;
	return rddr_http_is_token(name) && !memchr(text, '*', name.len);
}

/* of: "header", of which there may be beginnings, or "cookie". */
static bool read_names(struct reader *r, json_object *value, const char *of, size_t most, struct name_list *list)
{
	char what[24];
	size_t n;

	snprintf(what, sizeof(what), "a %s name", of);
	if (!json_object_is_type(value, json_type_array))
		return fail(r, "%s: must be a list of %s names", shown(value), of);
	n = json_object_array_length(value);
	if (n > most)
		return fail(r, "must have at most %zu names", most);
	list->names = calloc(n + 1, sizeof(*list->names));
	if (!list->names)
		return no_memory(r);
	for (size_t i = 0; i < n; i++) {
		size_t before = enter(r, NULL, i);
		const char *text = text_of(r, json_object_array_get_idx(value, i), 256, what);

		if (!text)
			return false;
		if (!is_name(text, *of == 'h'))
			return fail(r, "\"%s\" is no %s name", text, of);
		list->names[i] = strdup(text);
		if (!list->names[i])
			return no_memory(r);
		list->n++;
		leave(r, before);
	}
	return true;
}

/* RFC 6901: "~0" is '~', "~1" is '/'. */
static bool unescape(char *key)
{
	char *out = key;

	for (; *key; key++) {
		if (*key == '~' && (key[1] < '0' || key[1] > '1'))
			return false;
		*out++ = *key != '~' ? *key : *++key == '0' ? '~' : '/';
	}
	*out = '\0';
	return true;
}

static bool read_pointer(struct reader *r, const char *text, struct pointer *pointer)
{
	while (*text) {
		size_t len = *text == '/' ? strcspn(text + 1, "/") : 0;

		if (*text != '/')
			return fail(r, "a JSON pointer begins with a slash");
		if (pointer->n == RULES_POINTER_DEPTH)
			return fail(r, "is deeper than %d", RULES_POINTER_DEPTH);
		pointer->keys[pointer->n] = strndup(text + 1, len);
		if (!pointer->keys[pointer->n])
			return no_memory(r);
		pointer->any[pointer->n] = strcmp(pointer->keys[pointer->n], "*") == 0;
		if (!unescape(pointer->keys[pointer->n++]))
			return fail(r, "in a JSON pointer, ~ is followed by 0 or 1");
		text += len + 1;
	}
	return true;
}

static bool read_pattern(struct reader *r, const char *text, struct rule *rule)
{
	size_t where;
	int error;

	rule->pattern = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_UTF, &error, &where, NULL);
	if (!rule->pattern) {
		char message[120] = "";

		pcre2_get_error_message(error, (PCRE2_UCHAR *)message, sizeof(message));
		return fail(r, "at offset %zu: %s", where, message);
	}
	pcre2_pattern_info(rule->pattern, PCRE2_INFO_CAPTURECOUNT, &rule->groups);
	if (rule->groups > 1)
		return fail(r, "has %u groups: there may be one, around the field (use (?:...) otherwise)",
			    rule->groups);
	/* Where there is no memory to be had that code may be put into, patterns are interpreted. */
	pcre2_jit_compile(rule->pattern, PCRE2_JIT_COMPLETE);
	return true;
}

/* ---- fields ---- */

static const char *const selectors[] = {"header", "cookie", "pointer", "line"};
static_assert(sizeof(selectors) / sizeof(selectors[0]) == SELECTORS, "each selector has a name");
static const char *const actions[] = {"compare", "ignore", "token", "translate"};
static_assert(sizeof(actions) / sizeof(actions[0]) == RULE_ACTIONS, "each action has a name");

/* Index of a word in a list, n when it is not there. */
static unsigned find_word(const char *const words[], unsigned n, const char *word)
{
	unsigned i = 0;

	while (i < n && strcmp(words[i], word) != 0)
		i++;
	return i;
}

static bool read_selector(struct reader *r, json_object *value, enum selector selector, struct rule *rule)
{
	const char *text;

	if (rule->field.text)
		return fail(r, "only one of header, cookie, pointer and line can name a field");
	/* What each instance calls it. */
	if (selector == SELECT_COOKIE && json_object_is_type(value, json_type_array)) {
		if (!read_names(r, value, "cookie", RDDR_MAX_INSTANCES, &rule->names))
			return false;
		if (rule->names.n == 0)
			return fail(r, "must have one name for each instance");
		value = json_object_array_get_idx(value, 0);
	}
	/* The empty pointer is the whole document. */
	if (selector == SELECT_POINTER && json_object_is_type(value, json_type_string) &&
	    json_object_get_string_len(value) == 0)
		text = "";
	else
		text = text_of(r, value, MOST_PATTERN, "a text");
	if (!text)
		return false;
	rule->selector = selector;
	rule->field.text = strdup(text);
	if (!rule->field.text)
		return no_memory(r);
	if (selector == SELECT_POINTER)
		return read_pointer(r, text, &rule->pointer);
	if (selector == SELECT_LINE)
		return read_pattern(r, text, rule);
	return is_name(text, selector == SELECT_HEADER) ||
	       fail(r, "\"%s\" is no name of a %s", text, selectors[selector]);
}

static bool read_rule(struct reader *r, json_object *object, struct rule *rule)
{
	unsigned action = RULE_ACTIONS;

	if (!wants_type(r, object, json_type_object, "a mapping"))
		return false;
	json_object_object_foreach(object, key, value)
	{
		unsigned selector = find_word(selectors, SELECTORS, key);
		size_t before = enter(r, key, 0);

		if (strcmp(key, "action") == 0) {
			action = json_object_is_type(value, json_type_string)
					 ? find_word(actions, RULE_ACTIONS, json_object_get_string(value))
					 : RULE_ACTIONS;
			if (action == RULE_ACTIONS)
				return fail(r, "%s: must be ignore, token, translate or compare", shown(value));
		} else if (selector == SELECTORS) {
			return fail(r, "no such key: there are header, cookie, pointer, line and action");
		} else if (!read_selector(r, value, selector, rule)) {
			return false;
		}
		leave(r, before);
	}
	if (!rule->field.text)
		return fail(r, "names no field: header, cookie, pointer or line is missing");
	if (action == RULE_ACTIONS)
		return fail(r, "action is missing: ignore, token, translate or compare");
	rule->field.action = action;
	return true;
}

static bool read_fields(struct reader *r, json_object *value)
{
	struct rules *rules = r->rules;
	char why[200];
	size_t n;

	if (!wants_type(r, value, json_type_array, "a list"))
		return false;
	n = json_object_array_length(value);
	if (n > MOST_RULES)
		return fail(r, "must have at most %d rules", MOST_RULES);
	rules->list = calloc(n + 1, sizeof(*rules->list));
	if (!rules->list)
		return no_memory(r);
	rules->n = n;
	for (size_t i = 0; i < n; i++) {
		size_t before = enter(r, NULL, i);

		if (!read_rule(r, json_object_array_get_idx(value, i), &rules->list[i]))
			return false;
		if (!rddr_rules_names_apart(rules, i, why, sizeof(why)))
			return fail(r, "%s", why);
		leave(r, before);
	}
	return rddr_rules_rename(rules) == 0 || no_memory(r);
}

static bool read_unordered(struct reader *r, json_object *value)
{
	struct rules *rules = r->rules;
	size_t n;

	if (!wants_type(r, value, json_type_array, "a list of JSON pointers"))
		return false;
	n = json_object_array_length(value);
	if (n > MOST_RULES)
		return fail(r, "must have at most %d pointers", MOST_RULES);
	rules->unordered = calloc(n + 1, sizeof(*rules->unordered));
	if (!rules->unordered)
		return no_memory(r);
	rules->unordered_n = n;
	for (size_t i = 0; i < n; i++) {
		json_object *item = json_object_array_get_idx(value, i);
		size_t before = enter(r, NULL, i);

		if (!wants_type(r, item, json_type_string, "a JSON pointer"))
			return false;
		if (strlen(json_object_get_string(item)) != (size_t)json_object_get_string_len(item))
			return fail(r, "has a NUL in it");
		if (!read_pointer(r, json_object_get_string(item), &rules->unordered[i]))
			return false;
		leave(r, before);
	}
	return true;
}

static bool read_correlate(struct reader *r, json_object *object)
{
	const char *name = "X-RDDR-Correlation";

	if (!wants_type(r, object, json_type_object, "a mapping"))
		return false;
	json_object_object_foreach(object, key, value)
	{
		size_t before = enter(r, key, 0);

		if (strcmp(key, "header") != 0)
			return fail(r, "no such key: there is header");
		name = text_of(r, value, RULES_CORRELATE - 1, "a header name");
		if (!name)
			return false;
		if (!is_name(name, false) || rddr_http_kind(slice_of(name)) != HTTP_PLAIN ||
		    !strcasecmp(name, "Cookie"))
			return fail(r, "\"%s\" is no name of a header of its own", name);
		leave(r, before);
	}
	snprintf(r->rules->settings.correlate, RULES_CORRELATE, "%s", name);
	return true;
}

/* ---- the whole ---- */

static bool read_key(struct reader *r, const char *key, json_object *value)
{
	struct rules *rules = r->rules;
	const struct amount *a = find_amount(top_amounts, key);
	unsigned choice = 0;

	if (a)
		return take_amount(r, a, value);
	if (strcmp(key, "ignore-headers") == 0)
		return read_names(r, value, "header", MOST_RULES, &rules->ignore);
	if (strcmp(key, "only-headers") == 0) {
		rules->has_only = true;
		return read_names(r, value, "header", MOST_RULES, &rules->only);
	}
	if (strcmp(key, "fields") == 0)
		return read_fields(r, value);
	if (strcmp(key, "unordered") == 0)
		return read_unordered(r, value);
	if (strcmp(key, "tokens") == 0)
		return read_section(r, value, token_amounts, true, "min-length, ttl, max and scope");
	if (strcmp(key, "noise-memory") == 0)
		return read_section(r, value, noise_amounts, false, "ttl and max");
	if (strcmp(key, "correlate") == 0)
		return read_correlate(r, value);
	if (strcmp(key, "undecided") == 0) {
		if (!take_choice(r, value, "deny", "bytes", &choice))
			return false;
		rules->settings.undecided = choice ? UNDECIDED_BYTES : UNDECIDED_DENY;
		return true;
	}
	if (strcmp(key, "accept-encoding") == 0) {
		if (!take_choice(r, value, "identity", "pass", &choice))
			return false;
		rules->settings.encoding = choice ? ENCODING_PASS : ENCODING_IDENTITY;
		return true;
	}
	return fail(r, "no such key: there are ignore-headers, only-headers, fields, unordered, tokens, noise-memory, "
		       "max-head, max-body, max-field, undecided, accept-encoding, correlate and max-decoded-ratio");
}

static bool read_keys(struct reader *r, json_object *top)
{
	if (!json_object_is_type(top, json_type_object))
		return fail(r, "must be a mapping");
	json_object_object_foreach(top, key, value)
	{
		size_t before = enter(r, key, 0);

		if (!read_key(r, key, value))
			return false;
		leave(r, before);
	}
	return true;
}

static bool read_top(struct reader *r, const char *json)
{
	json_tokener *tokener = json_tokener_new_ex(DEEPEST);
	size_t len = strlen(json);
	json_object *top;
	bool ok;

	if (!tokener)
		return no_memory(r);
	if (len >= INT32_MAX) {
		json_tokener_free(tokener);
		return fail(r, "is too long");
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	top = json_tokener_parse_ex(tokener, json, (int)len + 1);
	ok = read_keys(r, top);
	json_object_put(top);
	json_tokener_free(tokener);
	return ok;
}

int rddr_rules_parse(const char *json, struct rules **out, char *err, size_t errlen)
{
	struct reader r = {.err = err, .errlen = errlen, .path = "diff-params"};

	r.rules = calloc(1, sizeof(*r.rules));
	if (!r.rules) {
		no_memory(&r);
		return r.error;
	}
	r.rules->settings = rddr_rules_defaults;
	if (!read_top(&r, json)) {
		rddr_rules_free(&r.rules);
		return r.error;
	}
	*out = r.rules;
	return 0;
}
