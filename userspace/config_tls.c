// SPDX-License-Identifier: BSD-2-Clause
/* tls: of a service and of an instance, and `protocol: ssl` of an original file. Files are named here, and read
 * elsewhere. */
#include "config_tls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_forms.h"
#include "own.h"

#define LONGEST_WORDS 1024 /* of a list of ciphers */
#define MOST_ALPN     16

/* What the original takes when nothing else is said. */
#define ORIGINAL_CHAIN "certs/clientcert.pem"
#define ORIGINAL_KEY   "certs/clientkey.pem"

static void free_certificates(struct tls_conf *conf)
{
	for (size_t i = 0; i < conf->n_certificates; i++) {
		free(conf->certificates[i].chain.path);
		free(conf->certificates[i].key.path);
		free(conf->certificates[i].ocsp.path);
	}
	free(conf->certificates);
	conf->certificates = NULL;
	conf->n_certificates = 0;
}

void rddr_config_tls_free(struct tls_conf **owned)
{
	struct tls_conf *conf = TAKE_PTR(*owned);

	if (!conf)
		return;
	free_certificates(conf);
	free(conf->ca.path);
	free(conf->server_name);
	free(conf->sni);
	free(conf->ciphers);
	free(conf->suites);
	free(conf->groups);
	free(conf->alpn);
	free(conf->key);
	free(conf);
}

static struct tls_conf *conf_new(struct reader *r, const char *key, bool dials, struct config_mark mark)
{
	struct tls_conf *conf = calloc(1, sizeof(*conf));

	if (conf)
		conf->key = strdup(key);
	if (!conf || !conf->key) {
		rddr_config_tls_free(&conf);
		r->oom = true;
		return NULL;
	}
	conf->mark = mark;
	conf->dials = dials;
	conf->resume = true;
	conf->session_lifetime = 2 * 3600 * 1000;
	conf->max_version = TLS_VERSION_1_3;
	return conf;
}

static bool copy_text(char **out, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return false;
	free(*out);
	*out = copy;
	return true;
}

static bool copy_file(struct tls_file *out, const struct tls_file *file)
{
	out->mark = file->mark;
	return copy_text(&out->path, file->path);
}

static bool copy_certificates(struct tls_conf *conf, const struct tls_conf *from)
{
	conf->certificates = calloc(from->n_certificates ? from->n_certificates : 1, sizeof(*conf->certificates));
	if (!conf->certificates)
		return false;
	conf->n_certificates = from->n_certificates;
	for (size_t i = 0; i < from->n_certificates; i++) {
		struct tls_certificate *to = &conf->certificates[i];

		if (!copy_file(&to->chain, &from->certificates[i].chain) ||
		    !copy_file(&to->key, &from->certificates[i].key) ||
		    !copy_file(&to->ocsp, &from->certificates[i].ocsp))
			return false;
	}
	return true;
}

/* Another one with the same in it, under a key of its own. */
static struct tls_conf *conf_copy(struct reader *r, const struct tls_conf *from, const char *key,
				  struct config_mark mark)
{
	struct tls_conf *conf = conf_new(r, key, from->dials, mark);

	if (!conf)
		return NULL;
	conf->original = from->original;
	conf->alpn_given = from->alpn_given;
	conf->resume = from->resume;
	conf->start = from->start;
	conf->clients = from->clients;
	conf->verify = from->verify;
	conf->min_version = from->min_version;
	conf->max_version = from->max_version;
	conf->session_lifetime = from->session_lifetime;
	if (copy_certificates(conf, from) && copy_file(&conf->ca, &from->ca) &&
	    copy_text(&conf->server_name, from->server_name) && copy_text(&conf->sni, from->sni) &&
	    copy_text(&conf->ciphers, from->ciphers) && copy_text(&conf->suites, from->suites) &&
	    copy_text(&conf->groups, from->groups) && copy_text(&conf->alpn, from->alpn))
		return conf;
	r->oom = true;
	rddr_config_tls_free(&conf);
	return NULL;
}

/* ---- keys ---- */

static void read_file(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	static const struct bounds length = {1, 4095};
	struct tls_file *file = (struct tls_file *)((char *)base + field->offset);
	const struct field path = {.offset = offsetof(struct tls_file, path), .arg = &length};
	char shown[100];

	file->mark = node->mark;
	if (node->kind == NODE_SCALAR && node->type == SCALAR_STRING && !node->len)
		rddr_config_read_fault(r, node->mark, place, "wants a file, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
	else
		rddr_config_read_path(r, node, place, &path, file);
}

/* Whatever OpenSSL makes of it is found out when the files are read. */
static void read_words(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		       void *base)
{
	const char *text = rddr_config_read_text(r, node, place, LONGEST_WORDS);

	if (text && !copy_text((char **)((char *)base + field->offset), text))
		r->oom = true;
}

/* A name for SNI and for certificates: a host's name, or an address. */
static bool is_name(const char *text)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	struct addr address;

	if (rddr_addr_parse(text, 0, &address) == 0)
		return rddr_addr_port(&address) == 0;
	return text[strspn(text, allowed)] == '\0' && *text != '.' && *text != '-' && !strstr(text, "..");
}

static void read_name(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	char **target = (char **)((char *)base + field->offset), shown[100];
	bool may_be_empty = field->arg != NULL;

	if (may_be_empty && node->kind == NODE_SCALAR && node->type == SCALAR_STRING && !node->len) {
		r->oom |= !copy_text(target, "");
		return;
	}
	const char *text = rddr_config_read_text(r, node, place, CONFIG_TLS_NAME);
	if (!text)
		return;
	if (is_name(text))
		r->oom |= !copy_text(target, text);
	else
		rddr_config_read_fault(r, node->mark, place, "wants a host's name%s, is %s",
				       may_be_empty ? ", or \"\" for none" : " or address",
				       rddr_config_read_show(node, shown, sizeof(shown)));
}

static void read_alpn(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	struct tls_conf *conf = base;
	char names[MOST_ALPN * 64] = "";
	struct items items;

	(void)field;
	conf->alpn_given = true;
	if (node->kind == NODE_SEQUENCE && !node->n) { /* none is agreed on, though the plugin has one */
		r->oom |= !copy_text(&conf->alpn, "");
		return;
	}
	if (!rddr_config_read_items(r, node, place, MOST_ALPN, &items))
		return;
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);
		const char *text = rddr_config_read_text(r, item, &at, 60);

		if (!text)
			return;
		if (strpbrk(text, " \t\r\n")) {
			rddr_config_read_fault(r, item->mark, &at, "a protocol's name has no blanks");
			return;
		}
		snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? " " : "", text);
	}
	r->oom |= !copy_text(&conf->alpn, names);
}

static const struct field certificate_fields[] = {
	{"chain", read_file, offsetof(struct tls_certificate, chain), NULL, true},
	{"key", read_file, offsetof(struct tls_certificate, key), NULL, false},
	{"ocsp", read_file, offsetof(struct tls_certificate, ocsp), NULL, false},
};
static const struct fields accepting_certificate = {certificate_fields, 3},
			   dialling_certificate = {certificate_fields, 2};

static void read_certificates(struct reader *r, const struct node *node, const struct place *place,
			      const struct field *field, void *base)
{
	struct tls_conf *conf = base;
	const struct fields *fields = field->arg;
	struct items items;

	if (!rddr_config_read_items(r, node, place, conf->dials ? 1 : CONFIG_TLS_CERTIFICATES, &items))
		return;
	free_certificates(conf);
	conf->certificates = calloc(items.n, sizeof(*conf->certificates));
	if (!conf->certificates) {
		r->oom = true;
		return;
	}
	conf->n_certificates = items.n;
	for (size_t i = 0; i < items.n; i++) {
		struct place at;
		const struct node *item = rddr_config_read_item(&items, i, place, &at);

		rddr_config_read_mapping(r, item, &at, *fields, &conf->certificates[i]);
	}
}

static const struct word starts_accepting[] = {
	{"at-once", TLS_START_AT_ONCE, false},
	{"offered", TLS_START_OFFERED, false},
	{"required", TLS_START_REQUIRED, false},
	{NULL, 0, false},
};
/* What answers "no" would take us to clear text: that is never ours to accept. */
static const struct word starts_dialling[] = {
	{"at-once", TLS_START_AT_ONCE, false},
	{"required", TLS_START_REQUIRED, false},
	{NULL, 0, false},
};
static const struct word demands[] = {
	{"none", TLS_DEMAND_NONE, false},
	{"request", TLS_DEMAND_REQUEST, false},
	{"require", TLS_DEMAND_REQUIRE, false},
	{NULL, 0, false},
};
static const struct word verifies[] = {
	{"full", TLS_VERIFY_FULL, false},
	{"chain", TLS_VERIFY_CHAIN, false},
	{"none", TLS_VERIFY_NONE, false},
	{NULL, 0, false},
};
static const struct word versions[] = {
	{"1.2", TLS_VERSION_1_2, false},
	{"1.3", TLS_VERSION_1_3, false},
	{NULL, 0, false},
};
static const struct bounds lifetime_bounds = {1000, 7 * 24 * 3600 * 1000};

#define COMMON_FIELDS                                                                                                  \
	{"ca", read_file, offsetof(struct tls_conf, ca), NULL, false},                                                 \
		{"min-version", rddr_config_read_choice, offsetof(struct tls_conf, min_version), versions, false},     \
		{"max-version", rddr_config_read_choice, offsetof(struct tls_conf, max_version), versions, false},     \
		{"ciphers", read_words, offsetof(struct tls_conf, ciphers), NULL, false},                              \
		{"suites", read_words, offsetof(struct tls_conf, suites), NULL, false},                                \
		{"groups", read_words, offsetof(struct tls_conf, groups), NULL, false},                                \
		{"alpn", read_alpn, 0, NULL, false},                                                                   \
	{                                                                                                              \
		"resume", rddr_config_read_bool, offsetof(struct tls_conf, resume), NULL, false                        \
	}

static const struct field accepting_fields[] = {
	{"certificates", read_certificates, 0, &accepting_certificate, true},
	{"clients", rddr_config_read_choice, offsetof(struct tls_conf, clients), demands, false},
	{"start", rddr_config_read_choice, offsetof(struct tls_conf, start), starts_accepting, false},
	{"session-lifetime", rddr_config_read_duration, offsetof(struct tls_conf, session_lifetime), &lifetime_bounds,
	 false},
	COMMON_FIELDS,
};
static const struct field dialling_fields[] = {
	{"verify", rddr_config_read_choice, offsetof(struct tls_conf, verify), verifies, false},
	{"server-name", read_name, offsetof(struct tls_conf, server_name), NULL, false},
	{"sni", read_name, offsetof(struct tls_conf, sni), "may be empty", false},
	{"certificate", read_certificates, 0, &dialling_certificate, false},
	{"start", rddr_config_read_choice, offsetof(struct tls_conf, start), starts_dialling, false},
	COMMON_FIELDS,
};

static void check_side(struct reader *r, const struct node *node, const struct place *place,
		       const struct tls_conf *conf)
{
	struct place at = {.up = place, .key = "ca"};

	if (conf->min_version > conf->max_version)
		rddr_config_read_fault(r, node->mark, place, "min-version 1.3 is above max-version 1.2");
	if (!conf->dials && conf->clients != TLS_DEMAND_NONE && !conf->ca.path)
		rddr_config_read_fault(r, node->mark, place, "clients: %s needs ca, which their certificates are of",
				       conf->clients == TLS_DEMAND_REQUEST ? "request" : "require");
	if (!conf->dials && conf->clients == TLS_DEMAND_NONE && conf->ca.path)
		rddr_config_read_fault(r, conf->ca.mark, &at, "is for clients: request and clients: require");
	if (conf->dials && conf->verify == TLS_VERIFY_NONE && conf->ca.path)
		rddr_config_read_fault(r, conf->ca.mark, &at, "not together with verify: none");
	at.key = "server-name";
	if (conf->dials && conf->verify != TLS_VERIFY_FULL && rddr_config_yaml_find(node, at.key))
		rddr_config_read_fault(r, rddr_config_yaml_find(node, at.key)->mark, &at,
				       "is for verify: full (the name to send alone is sni)");
}

static void read_side(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
		      void *base)
{
	struct service *service = base;
	struct tls_conf **target = (struct tls_conf **)((char *)base + field->offset);
	bool is_lone = target == &service->tls_lone;
	bool dials = (service->direction == RDDR_INCOMING) != is_lone;
	char key[CONFIG_NAME_MAX + 32];
	struct tls_conf *conf;

	snprintf(key, sizeof(key), "services.%s.tls.%s", service->name, field->key);
	conf = conf_new(r, key, dials, node->mark);
	if (!conf)
		return;
	*target = conf;
	if (rddr_config_read_mapping(r, node, place, dials ? FIELDS(dialling_fields) : FIELDS(accepting_fields), conf))
		check_side(r, node, place, conf);
}

void rddr_config_tls_read(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	static const struct field fields[] = {
		{"lone", read_side, offsetof(struct service, tls_lone), NULL, false},
		{"many", read_side, offsetof(struct service, tls_many), NULL, false},
	};

	(void)field;
	if (rddr_config_read_mapping(r, node, place, FIELDS(fields), base) && !node->n)
		rddr_config_read_fault(r, node->mark, place, "wants lone, many, or both");
}

/* ---- instances ---- */

static bool is_none(const struct node *node)
{
	return node->kind == NODE_SCALAR && !strcmp(node->text, "none");
}

void rddr_config_tls_instance(struct reader *r, const struct node *instance_node, const struct place *place,
			      struct service *service, struct instance *instance)
{
	const struct node *node = rddr_config_yaml_find(instance_node, "tls");
	const struct place at = {.up = place, .key = "tls"};
	char key[CONFIG_NAME_MAX * 2 + 32];

	if (!node)
		return;
	instance->tls_given = true;
	if (is_none(node))
		return;
	if (service->direction != RDDR_INCOMING) {
		rddr_config_read_fault(r, node->mark, &at, "is for incoming services, whose instances are dialled");
		return;
	}
	snprintf(key, sizeof(key), "services.%s.instances.%s.tls", service->name, instance->name);
	instance->tls = service->tls_many ? conf_copy(r, service->tls_many, key, node->mark)
					  : conf_new(r, key, true, node->mark);
	if (instance->tls && rddr_config_read_mapping(r, node, &at, FIELDS(dialling_fields), instance->tls))
		check_side(r, node, &at, instance->tls);
}

/* The name in "name:port"; false where it is an address. */
static bool host_of(const char *remote, char *host, size_t size)
{
	const char *colon = strrchr(remote, ':');
	struct addr address;

	snprintf(host, size, "%.*s", colon ? (int)(colon - remote) : (int)strlen(remote), remote);
	return rddr_addr_parse(remote, 0, &address) < 0 && *host && strlen(host) <= CONFIG_TLS_NAME;
}

void rddr_config_tls_remote(struct reader *r, const struct node *instance_node, struct service *service,
			    struct instance *instance)
{
	const struct node *remote = rddr_config_yaml_find(instance_node, "remote");
	char host[CONFIG_TLS_NAME + 2], key[CONFIG_NAME_MAX * 2 + 32];

	if (!instance->tls && !instance->tls_given && service->tls_many && service->direction == RDDR_INCOMING) {
		snprintf(key, sizeof(key), "services.%s.tls.many", service->name);
		instance->tls = conf_copy(r, service->tls_many, key, service->tls_many->mark);
	}
	if (!instance->tls || instance->tls->server_name || !remote || remote->kind != NODE_SCALAR)
		return;
	if (host_of(remote->text, host, sizeof(host)))
		r->oom |= !copy_text(&instance->tls->server_name, host);
}

/* ---- original files ---- */

static void original_certificate(struct reader *r, struct tls_conf *conf, struct config_mark mark)
{
	const struct tls_file chain = {.path = (char *)(uintptr_t)ORIGINAL_CHAIN, .mark = mark};
	const struct tls_file key = {.path = (char *)(uintptr_t)ORIGINAL_KEY, .mark = mark};

	conf->certificates = calloc(1, sizeof(*conf->certificates));
	conf->n_certificates = conf->certificates ? 1 : 0;
	if (!conf->certificates || !copy_file(&conf->certificates->chain, &chain) ||
	    !copy_file(&conf->certificates->key, &key))
		r->oom = true;
}

void rddr_config_tls_original(struct reader *r, struct service *service, const char *key, struct config_mark mark)
{
	bool incoming = service->direction == RDDR_INCOMING;

	service->tls_lone = conf_new(r, key, !incoming, mark);
	service->tls_many = conf_new(r, key, incoming, mark);
	for (int i = 0; i < 2; i++) {
		struct tls_conf *conf = i ? service->tls_many : service->tls_lone;

		if (!conf)
			return;
		original_certificate(r, conf, mark);
		if (conf->dials) {
			conf->verify = TLS_VERIFY_NONE;
			conf->original = true;
		}
	}
}

void rddr_config_tls_original_instances(struct reader *r, struct service *service)
{
	for (unsigned i = 0; i < service->n_instances; i++) {
		struct instance *instance = &service->instances[i];

		if (service->tls_many && service->direction == RDDR_INCOMING && !instance->tls)
			instance->tls =
				conf_copy(r, service->tls_many, service->tls_many->key, service->tls_many->mark);
	}
}
