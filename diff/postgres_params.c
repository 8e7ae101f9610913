// SPDX-License-Identifier: BSD-2-Clause
/*
 * postgres_params.c - diff-params of the class postgres.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

#include "postgres_session.h"

#define LEAD_TIME_DEFAULT 1000u
#define LEAD_TIME_MOST	  3600000u
#define NAMES_MOST	  64u

struct reading {
	struct pg_params *params;
	char *err;
	size_t errlen;
};

static int wrong(const struct reading *r, const char *key, json_object *value, const char *wants)
{
	snprintf(r->err, r->errlen, "diff-params.%s: %.80s: %s", key, json_object_to_json_string(value), wants);
	return -EINVAL;
}

static int no_memory(const struct reading *r)
{
	snprintf(r->err, r->errlen, "diff-params: out of memory");
	return -ENOMEM;
}

static const char *word(json_object *value)
{
	return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "";
}

static int read_bool(const struct reading *r, const char *key, json_object *value, bool *out)
{
	if (!json_object_is_type(value, json_type_boolean))
		return wrong(r, key, value, "must be true or false");
	*out = json_object_get_boolean(value);
	return 0;
}

/* One of two words. */
static int read_choice(const struct reading *r, const char *key, json_object *value, const char *const words[2],
		       bool *out)
{
	char wants[80];

	for (int i = 0; i < 2; i++) {
		if (strcmp(word(value), words[i]) == 0) {
			*out = i == 1;
			return 0;
		}
	}
	snprintf(wants, sizeof(wants), "must be %s or %s", words[0], words[1]);
	return wrong(r, key, value, wants);
}

static int read_token(const struct reading *r, const char *key, json_object *list, struct pg_token *token)
{
	size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	if (n < 1 || n > RDDR_MAX_INSTANCES)
		return wrong(r, key, list, "must be a list of strings, one for each instance");
	for (size_t i = 0; i < n; i++) {
		json_object *item = json_object_array_get_idx(list, i);
		size_t len = json_object_is_type(item, json_type_string) ? (size_t)json_object_get_string_len(item) : 0;

		if (len < 1 || len > PG_TOKEN_MOST)
			return wrong(r, key, item, "must be a string of 1 to 256 bytes");
		uint8_t *copy = malloc(len);
		if (!copy)
			return no_memory(r);
		memcpy(copy, json_object_get_string(item), len);
		token->text[i] = (struct slice){copy, len};
		token->n++;
	}
	return 0;
}

static int read_tokens(const struct reading *r, const char *key, json_object *value)
{
	struct pg_params *params = r->params;
	size_t n = json_object_is_type(value, json_type_array) ? json_object_array_length(value) : SIZE_MAX;
	int err = 0;

	if (n > PG_TOKENS)
		return wrong(r, key, value, "must be a list of at most 256 lists");
	params->tokens = calloc(n ? n : 1, sizeof(*params->tokens));
	if (!params->tokens)
		return no_memory(r);
	for (size_t i = 0; i < n && err == 0; i++) {
		char path[32];

		snprintf(path, sizeof(path), "tokens.%zu", i);
		params->n_tokens++;
		err = read_token(r, path, json_object_array_get_idx(value, i), &params->tokens[i]);
		if (err == 0 && params->tokens[i].n != params->tokens[0].n)
			err = wrong(r, path, json_object_array_get_idx(value, i), "must be as long as the first list");
	}
	return err;
}

static int read_names(const struct reading *r, const char *key, json_object *value)
{
	struct pg_params *params = r->params;
	size_t n = json_object_is_type(value, json_type_array) ? json_object_array_length(value) : SIZE_MAX;

	if (n > NAMES_MOST)
		return wrong(r, key, value, "must be a list of at most 64 names of parameters");
	params->ignored_settings = calloc(n + 1, sizeof(char *));
	if (!params->ignored_settings)
		return no_memory(r);
	for (size_t i = 0; i < n; i++) {
		json_object *item = json_object_array_get_idx(value, i);

		if (!*word(item))
			return wrong(r, key, item, "must be the name of a parameter");
		params->ignored_settings[i] = strdup(word(item));
		if (!params->ignored_settings[i])
			return no_memory(r);
	}
	return 0;
}

/* Letters, as the manual's "Error and Notice Message Fields" has them. */
static int read_fields(const struct reading *r, const char *key, json_object *value)
{
	static const char known[] = "SVMDHPpqWstcdnFLR";
	const char *letters = word(value);

	if (!json_object_is_type(value, json_type_string) || strlen(letters) >= sizeof(r->params->ignored_fields) ||
	    strspn(letters, known) != strlen(letters))
		return wrong(r, key, value,
			     "must be letters of fields, out of SVMDHPpqWstcdnFLR (the code is compared)");
	snprintf(r->params->ignored_fields, sizeof(r->params->ignored_fields), "%s", letters);
	return 0;
}

static int read_time(const struct reading *r, const char *key, json_object *value)
{
	const char *text = word(value);
	char *unit = NULL;
	unsigned long n;

	errno = 0;
	n = *text >= '0' && *text <= '9' ? strtoul(text, &unit, 10) : 0;
	if (!unit || errno || n > LEAD_TIME_MOST || (strcmp(unit, "ms") != 0 && strcmp(unit, "s") != 0) ||
	    (*unit == 's' && n > LEAD_TIME_MOST / 1000))
		return wrong(r, key, value, "must be a time, as 500ms or 2s, of at most an hour; 0s is for ever");
	r->params->lead_time = (uint32_t)(*unit == 's' ? n * 1000 : n);
	return 0;
}

static int read_param(const struct reading *r, const char *key, json_object *value)
{
	static const char *const orders[2] = {"leader", "parallel"};
	static const char *const redactions[2] = {"none", "values"};
	static const char *const tables[2] = {"ignore", "compare"};
	static const char *const types[2] = {"compare", "ignore"};
	struct pg_params *params = r->params;

	if (strcmp(key, "tokens") == 0)
		return read_tokens(r, key, value);
	if (strcmp(key, "order") == 0)
		return read_choice(r, key, value, orders, &params->parallel);
	if (strcmp(key, "lead-time") == 0)
		return read_time(r, key, value);
	if (strcmp(key, "unordered-rows") == 0)
		return read_bool(r, key, value, &params->unordered);
	if (strcmp(key, "redact") == 0)
		return read_choice(r, key, value, redactions, &params->redact);
	if (strcmp(key, "table-oids") == 0)
		return read_choice(r, key, value, tables, &params->compare_tables);
	if (strcmp(key, "type-oids") == 0)
		return read_choice(r, key, value, types, &params->ignore_types);
	if (strcmp(key, "ignore-parameters") == 0)
		return read_names(r, key, value);
	if (strcmp(key, "ignore-error-fields") == 0)
		return read_fields(r, key, value);
	snprintf(r->err, r->errlen,
		 "diff-params.%s: no such key: there are tokens, order, lead-time, unordered-rows, redact, "
		 "ignore-parameters, ignore-error-fields, table-oids, type-oids, credentials, client-auth, "
		 "instance-auth and max-iterations",
		 key);
	return -EINVAL;
}

int rddr_pg_params_read(const char *json, void **out, char *err, size_t errlen)
{
	struct pg_params *params = calloc(1, sizeof(*params));
	const struct reading r = {.params = params, .err = err, .errlen = errlen};
	json_object *object = json_tokener_parse(json);
	int result = 0;

	if (!params || !json_object_is_type(object, json_type_object)) {
		snprintf(err, errlen, "diff-params: %s", params ? "must be a mapping" : "out of memory");
		result = params ? -EINVAL : -ENOMEM;
	} else {
		params->lead_time = LEAD_TIME_DEFAULT;
		memcpy(params->ignored_fields, "FLR", 4);
		json_object_object_foreach(object, key, value)
		{
			if (result == 0 && !rddr_pg_auth_conf_knows(key))
				result = read_param(&r, key, value);
		}
		if (result == 0)
			result = rddr_pg_auth_conf_read(object, &params->auth, err, errlen);
	}
	json_object_put(object);
	if (result < 0) {
		rddr_pg_params_free(params);
		return result;
	}
	*out = params;
	return 0;
}

void rddr_pg_params_free(void *p)
{
	struct pg_params *params = p;

	if (!params)
		return;
	for (unsigned k = 0; k < params->n_tokens; k++) {
		for (unsigned i = 0; i < params->tokens[k].n; i++)
			free((void *)(uintptr_t)params->tokens[k].text[i].data);
	}
	free(params->tokens);
	rddr_pg_auth_conf_free(&params->auth);
	for (unsigned i = 0; params->ignored_settings && params->ignored_settings[i]; i++)
		free(params->ignored_settings[i]);
	free(params->ignored_settings);
	free(params);
}

int rddr_pg_params_check(const void *p, const struct rddr_diff_service *service, char *err, size_t errlen)
{
	const struct pg_params *params = p;

	if (!params->n_tokens || params->tokens[0].n == service->instances)
		return 0;
	snprintf(err, errlen, "diff-params.tokens.0: has %u strings, and %s has %u instances", params->tokens[0].n,
		 service->name, service->instances);
	return -EINVAL;
}

bool rddr_pg_params_ignores_setting(const struct pg_params *params, struct slice name)
{
	for (unsigned i = 0; params->ignored_settings && params->ignored_settings[i]; i++) {
		if (slice_equal_nocase(slice_of(params->ignored_settings[i]), name))
			return true;
	}
	return false;
}
