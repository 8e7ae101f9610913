/* SPDX-License-Identifier: BSD-2-Clause */
/* tls: as it is read, and what is wrong with it. No file that it names is opened here. */
#include "config_tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_capture.h"
#include "own.h"

#define HEAD	  "services:\n  s:\n    listen: 127.0.0.1:1\n"
#define INSTANCES "    instances: [ { chainer: directed, remote: \"10.0.0.1:443\" } ]\n"
#define CERT	  "certificates: { chain: a, key: b }"

static struct config *parse_good(const char *text)
{
	struct config *config = NULL;

	assert_int_equal(rddr_config_parse("t", text, strlen(text), &config), 0);
	return config;
}

static void test_defaults(void **state)
{
	struct config *config = parse_good(HEAD "    tls: { lone: { " CERT " }, many: {} }\n" INSTANCES);
	const struct tls_conf *lone = config->services[0]->tls_lone, *many = config->services[0]->instances[0].tls;

	(void)state;
	assert_false(lone->dials);
	assert_int_equal(lone->n_certificates, 1);
	assert_string_equal(lone->certificates[0].chain.path, "a");
	assert_string_equal(lone->certificates[0].key.path, "b");
	assert_null(lone->certificates[0].ocsp.path);
	assert_int_equal(lone->clients, TLS_DEMAND_NONE);
	assert_int_equal(lone->min_version, TLS_VERSION_1_2);
	assert_int_equal(lone->max_version, TLS_VERSION_1_3);
	assert_int_equal(lone->session_lifetime, 7200 * 1000);
	assert_true(lone->resume);
	assert_int_equal(lone->start, TLS_START_AT_ONCE);
	assert_true(many->dials);
	assert_int_equal(many->verify, TLS_VERIFY_FULL);
	assert_null(many->server_name);
	assert_false(many->alpn_given);
	rddr_config_put(&config);
}

static void test_inherited(void **state)
{
	struct config *config = parse_good(
		HEAD
		"    tls: { many: { ca: c, server-name: all.test, groups: X25519, alpn: [http/1.1, x] } }\n"
		"    instances:\n"
		"      - { chainer: directed, remote: \"10.0.0.1:443\" }\n"
		"      - { chainer: directed, remote: \"10.0.0.2:443\", tls: { server-name: one.test, sni: \"\" } }\n"
		"      - { chainer: directed, remote: \"10.0.0.3:80\", tls: none }\n");
	const struct instance *instances = config->services[0]->instances;

	(void)state;
	assert_string_equal(instances[0].tls->server_name, "all.test");
	assert_string_equal(instances[0].tls->alpn, "http/1.1 x");
	assert_null(instances[0].tls->sni);
	assert_string_equal(instances[1].tls->server_name, "one.test");
	assert_string_equal(instances[1].tls->sni, "");
	assert_string_equal(instances[1].tls->ca.path, "c");
	assert_string_equal(instances[1].tls->groups, "X25519");
	assert_null(instances[2].tls);
	rddr_config_put(&config);
}

static void test_the_name_of_a_remote(void **state)
{
	struct config *config = parse_good(
		HEAD "    tls: { many: {} }\n"
		     "    instances:\n"
		     "      - { chainer: directed, remote: \"localhost:443\" }\n"
		     "      - { chainer: directed, remote: \"[::1]:443\" }\n"
		     "      - { chainer: directed, remote: \"localhost:444\", tls: { server-name: x.test } }\n");
	const struct instance *instances = config->services[0]->instances;

	(void)state;
	assert_string_equal(instances[0].tls->server_name, "localhost");
	assert_null(instances[1].tls->server_name);
	assert_string_equal(instances[2].tls->server_name, "x.test");
	rddr_config_put(&config);
}

static void test_originals(void **state)
{
	struct config *config = parse_good("addrlist: [127.0.0.1:1, 127.0.0.1:2]\n"
					   "incoming-proxy: {host: 127.0.0.1, port: 3, protocol: ssl}\n");
	const struct service *service = config->services[0];

	(void)state;
	assert_string_equal(service->tls_lone->certificates[0].chain.path, "certs/clientcert.pem");
	assert_string_equal(service->tls_lone->certificates[0].key.path, "certs/clientkey.pem");
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(service->instances[i].tls->verify, TLS_VERIFY_NONE);
		assert_true(service->instances[i].tls->original);
		assert_string_equal(service->instances[i].tls->certificates[0].key.path, "certs/clientkey.pem");
	}
	rddr_config_put(&config);
	config = parse_good("addrlist: [127.0.0.1:1]\nincoming-proxy: {host: 127.0.0.1, port: 3, protocol: tcp}\n");
	assert_null(config->services[0]->tls_lone);
	assert_null(config->services[0]->instances[0].tls);
	rddr_config_put(&config);
}

static void test_errors(void **state)
{
	static const struct {
		const char *tls, *says;
	} table[] = {
		{"{}", "services.s.tls: wants lone, many, or both"},
		{"{ lone: {} }", "services.s.tls.lone: the key certificates is missing"},
		{"{ lone: { certificates: [] } }", "services.s.tls.lone.certificates: the list is empty"},
		{"{ lone: { certificates: { key: a } } }", "certificates: the key chain is missing"},
		{"{ lone: { certificates: { chain: \"\" } } }", "certificates.chain: wants a file, is the text \"\""},
		{"{ lone: { certificates: { chain: /etc/ } } }", "certificates.chain: wants a file, is the folder"},
		{"{ lone: { " CERT ", verify: none } }", "services.s.tls.lone.verify: unknown key"},
		{"{ lone: { " CERT ", clients: require } }", "clients: require needs ca"},
		{"{ lone: { " CERT ", clients: maybe } }", "lone.clients: wants one of: none, request, require"},
		{"{ lone: { " CERT ", ca: c } }", "lone.ca: is for clients: request and clients: require"},
		{"{ lone: { " CERT ", min-version: 1.1 } }", "lone.min-version: wants one of: 1.2, 1.3; is \"1.1\""},
		{"{ lone: { " CERT ", min-version: 1.3, max-version: 1.2 } }", "min-version 1.3 is above max-version"},
		{"{ lone: { " CERT ", session-lifetime: 1ms } }", "lone.session-lifetime: wants a duration"},
		{"{ lone: { " CERT ", alpn: [\"a b\"] } }", "lone.alpn[0]: a protocol's name has no blanks"},
		{"{ many: { verify: none, ca: c } }", "many.ca: not together with verify: none"},
		{"{ many: { verify: chain, server-name: x } }", "many.server-name: is for verify: full"},
		{"{ many: { server-name: \"a b\" } }", "many.server-name: wants a host's name or address"},
		{"{ many: { sni: \"a..b\" } }", "many.sni: wants a host's name, or \"\" for none"},
		{"{ many: { start: offered } }", "many.start: wants one of: at-once, required"},
		{"{ many: { certificates: { chain: a } } }", "many.certificates: unknown key"},
		{"{ many: { certificate: [ { chain: a }, { chain: b } ] } }", "many.certificate: 2 items; at most 1"},
		{"yes", "services.s.tls: wants a mapping"},
	};
	char *log = malloc(CAPTURED), text[1024], says[256];
	unsigned wrong = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct config *config = NULL;

		snprintf(text, sizeof(text), HEAD "    tls: %s\n" INSTANCES, table[i].tls);
		snprintf(says, sizeof(says), "%s", table[i].says);
		if (parse_captured(text, strlen(text), &config, log) == -EINVAL && !config && strstr(log, says))
			continue;
		wrong++;
		print_error("for %s\nwanted %s\ngot %s\n", table[i].tls, says, log);
		rddr_config_put(&config);
	}
	free(log);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_inherited),
		cmocka_unit_test(test_the_name_of_a_remote),
		cmocka_unit_test(test_originals),
		cmocka_unit_test(test_errors),
	};

	enter_empty_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
