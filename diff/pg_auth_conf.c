/* SPDX-License-Identifier: BSD-2-Clause */
/* pg_auth_conf.c - what diff-params say of the login. */
#include <errno.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg_auth_own.h"

/* As often hashed as 0.06 s of a processor allow. */
#define MAX_ITERATIONS 200000

static const char *const method_names[] = {
	[PG_METHOD_TRUST] = "trust",	     [PG_METHOD_PASSWORD] = "password",	   [PG_METHOD_MD5] = "md5",
	[PG_METHOD_SCRAM] = "scram-sha-256", [PG_METHOD_OTHER] = "another method",
};
_Static_assert(sizeof(method_names) / sizeof(method_names[0]) == PG_METHODS, "a name for each method");

const char *rddr_pg_auth_method_name(enum pg_method method)
{
	return method_names[method];
}

bool rddr_pg_auth_conf_knows(const char *key)
{
	static const char *const keys[] = {"credentials", "client-auth", "instance-auth", "max-iterations"};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (!strcmp(keys[i], key))
			return true;
	}
	return false;
}

__attribute__((format(printf, 3, 4))) static int complain(char *err, size_t errlen, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err, errlen, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* PG_METHOD_OTHER: it is none. */
static enum pg_method read_method(struct json_object *value)
{
	unsigned m = 0;

	while (m < PG_METHOD_OTHER && (!json_object_is_type(value, json_type_string) ||
				       strcmp(method_names[m], json_object_get_string(value)) != 0))
		m++;
	return (enum pg_method)m;
}

static int read_client(struct json_object *value, struct pg_auth_conf *conf, char *err, size_t errlen)
{
	if (json_object_is_type(value, json_type_string) && !strcmp(json_object_get_string(value), "auto"))
		return 0;
	conf->automatic = false;
	conf->client = read_method(value);
	if (conf->client != PG_METHOD_OTHER)
		return 0;
	return complain(err, errlen, "diff-params.client-auth: %s is none of auto, trust, password, md5, scram-sha-256",
			json_object_to_json_string(value));
}

static int read_instance(struct json_object *value, struct pg_auth_conf *conf, char *err, size_t errlen)
{
	if (!json_object_is_type(value, json_type_array) || !json_object_array_length(value))
		return complain(err, errlen, "diff-params.instance-auth: %s is no list of methods",
				json_object_to_json_string(value));
	conf->instance = 0;
	for (size_t i = 0; i < json_object_array_length(value); i++) {
		struct json_object *item = json_object_array_get_idx(value, i);
		enum pg_method method = read_method(item);

		if (method == PG_METHOD_OTHER)
			return complain(err, errlen,
					"diff-params.instance-auth[%zu]: %s is none of trust, password, md5, "
					"scram-sha-256",
					i, json_object_to_json_string(item));
		conf->instance |= 1u << method;
	}
	return 0;
}

static int read_iterations(struct json_object *value, struct pg_auth_conf *conf, char *err, size_t errlen)
{
	int64_t n = json_object_get_int64(value);

	if (!json_object_is_type(value, json_type_int) || n < PG_SCRAM_ITERATIONS || n > 10000000)
		return complain(err, errlen, "diff-params.max-iterations: %s is no number from %d to 10000000",
				json_object_to_json_string(value), PG_SCRAM_ITERATIONS);
	conf->max_iterations = (uint32_t)n;
	return 0;
}

static int read_credentials(struct json_object *value, struct pg_auth_conf *conf, char *err, size_t errlen)
{
	static const char prefix[] = "diff-params.credentials: ";

	if (!json_object_is_type(value, json_type_string))
		return complain(err, errlen, "%s%s is no path", prefix, json_object_to_json_string(value));
	snprintf(err, errlen, "%s", prefix);
	size_t used = strlen(err);
	int r = rddr_pg_credentials_read(json_object_get_string(value), &conf->credentials, err + used, errlen - used);

	return r == 0 || r == -ENOMEM ? r : -EINVAL;
}

int rddr_pg_auth_conf_read(struct json_object *params, struct pg_auth_conf **out, char *err, size_t errlen)
{
	static const struct {
		const char *key;
		int (*read)(struct json_object *value, struct pg_auth_conf *conf, char *err, size_t errlen);
	} keys[] = {
		{"credentials", read_credentials},
		{"client-auth", read_client},
		{"instance-auth", read_instance},
		{"max-iterations", read_iterations},
	};
	struct pg_auth_conf *conf = calloc(1, sizeof(*conf));
	int r = conf ? rddr_pg_kept_new(&conf->kept) : -ENOMEM;

	if (r < 0)
		snprintf(err, errlen, "diff-params: %s", strerror(-r));
	if (conf) {
		conf->automatic = true;
		conf->instance = UINT32_MAX;
		conf->max_iterations = MAX_ITERATIONS;
	}
	for (size_t i = 0; r == 0 && i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct json_object *value;

		if (json_object_object_get_ex(params, keys[i].key, &value))
			r = keys[i].read(value, conf, err, errlen);
	}
	if (r == 0)
		*out = conf;
	else
		rddr_pg_auth_conf_free(&conf);
	return r;
}

void rddr_pg_auth_conf_free(struct pg_auth_conf **owned)
{
	struct pg_auth_conf *conf = *owned;

	if (!conf)
		return;
	rddr_pg_credentials_free(&conf->credentials);
	rddr_pg_kept_free(&conf->kept);
	free(conf);
	*owned = NULL;
}
