/* SPDX-License-Identifier: BSD-2-Clause */
/* Outgoing services in the config: both forms, what they mean, and what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_capture.h"
#include "own.h"

static struct config *read_good(const char *text)
{
	struct config *config = NULL;

	assert_int_equal(rddr_config_parse("t", text, strlen(text), &config), 0);
	return config;
}

static struct addr addr(const char *text)
{
	struct addr a;

	assert_int_equal(rddr_addr_parse(text, 0, &a), 0);
	return a;
}

static int instance_of(const struct service *s, const char *client, const char *destination)
{
	const struct addr from = addr(client), to = addr(destination);

	return rddr_config_instance_of(s, &from, &to);
}

#define STEERED                                                                                                        \
	"services:\n"                                                                                                  \
	"  db:\n"                                                                                                      \
	"    direction: outgoing\n"                                                                                    \
	"    intercept: {address: 10.9.0.1, port: [5432, 5433]}\n"

static void test_steered(void **state)
{
	struct config *c = read_good(STEERED "    instances:\n"
					     "      - {name: a, clients: 10.0.1.2}\n"
					     "      - {name: b, clients: [10.0.2.0/24, 'fd00::2']}\n"
					     "    source: b\n"
					     "    gather: {partner: 3s, first: 50ms, idle: 0s, waiting: 7}\n");
	const struct service *s = c->services[0];
	const struct addr to = addr("10.9.0.1:5433"), from = addr("10.0.2.77:1"), other = addr("10.0.3.1:1");

	(void)state;
	assert_int_equal(s->direction, RDDR_OUTGOING);
	assert_int_equal(s->n_instances, 2);
	assert_int_equal(s->source, 1);
	assert_int_equal(s->gather.partner, 3000);
	assert_int_equal(s->gather.first, 50);
	assert_int_equal(s->gather.idle, 0);
	assert_int_equal(s->gather.waiting, 7);
	assert_ptr_equal(s->backend.chainer.ops, rddr_chainer_find("transparent"));
	assert_true(s->backend.chainer.forge_addr);
	assert_int_equal(s->backend.chainer.forge_ports, 1);
	/* The instances' own connections, and nobody else's. */
	assert_int_equal(s->n_rules, 4);
	assert_non_null(rddr_config_match(c, &to, &from, NULL));
	assert_null(rddr_config_match(c, &to, &other, NULL));
	assert_int_equal(instance_of(s, "10.0.1.2:9", "10.9.0.1:5432"), 0);
	assert_int_equal(instance_of(s, "10.0.2.9:9", "10.9.0.1:5432"), 1);
	assert_int_equal(instance_of(s, "[fd00::2]:9", "[fd00::1]:5432"), 1);
	assert_int_equal(instance_of(s, "10.0.3.9:9", "10.9.0.1:5432"), -1);
	rddr_config_put(&c);
}

static void test_defaults(void **state)
{
	struct config *c =
		read_good(STEERED "    instances: [{clients: 10.0.1.2}, {clients: 10.0.1.3}]\n"
				  "    backend: {chainer: directed, remote: '10.9.0.7:1', forge-addr: false}\n"
				  "    enforcing: false\n");
	const struct service *s = c->services[0];

	(void)state;
	assert_int_equal(s->source, 0);
	assert_int_equal(s->gather.partner, 500);
	assert_int_equal(s->gather.first, 200);
	assert_int_equal(s->gather.idle, 4000);
	assert_int_equal(s->gather.waiting, 1000);
	assert_false(s->backend.chainer.forge_addr);
	assert_true(s->backend.chainer.has_remote);
	rddr_config_put(&c);
	c = read_good(STEERED "    instances: [{clients: 10.0.1.2}]\n");
	assert_int_equal(c->services[0]->gather.partner, 5000);
	rddr_config_put(&c);
}

static void test_listening(void **state)
{
	struct config *c = read_good("services:\n"
				     "  db:\n"
				     "    direction: outgoing\n"
				     "    instances: [{listen: '127.0.0.1:1'}, {listen: '0.0.0.0:2'}]\n"
				     "    backend: {chainer: directed, remote: '127.0.0.1:5432'}\n");
	const struct service *s = c->services[0];

	(void)state;
	assert_false(s->has_listen);
	assert_false(s->backend.chainer.forge_addr);
	assert_null(rddr_config_listen(s, 0));
	assert_int_equal(rddr_addr_port(rddr_config_listen(s, 1)), 1);
	assert_int_equal(rddr_addr_port(rddr_config_listen(s, 2)), 2);
	assert_null(rddr_config_listen(s, 3));
	assert_int_equal(instance_of(s, "127.0.0.1:9", "127.0.0.1:1"), 0);
	assert_int_equal(instance_of(s, "127.0.0.1:9", "127.0.0.9:2"), 1);
	assert_int_equal(instance_of(s, "127.0.0.1:9", "127.0.0.9:1"), -1);
	rddr_config_put(&c);
}

static void test_original(void **state)
{
	struct config *c = read_good("addrlist: ['127.0.0.1:9001', '127.0.0.1:9002', '127.0.0.1:9003']\n"
				     "filter: true\n"
				     "incoming-proxy: {host: 127.0.0.1, port: 80}\n"
				     "defaults: {deadlines: {skew: 100ms}}\n"
				     "outgoing-proxies:\n"
				     "  '127.0.0.1:5432': {host: 127.0.0.1, ports: [1, 2, 3], protocol: tcp,\n"
				     "    diff-class: http, diff-params: {a: 1}, enforcing: False}\n"
				     "  '[::1]:5432': {host: 127.0.0.1, ports: [4, 5, 6], protocol: ssl}\n");
	const struct service *s = c->services[1];

	(void)state;
	assert_int_equal(c->n_services, 3);
	assert_string_equal(s->name, "outgoing-127.0.0.1-5432");
	assert_string_equal(c->services[2]->name, "outgoing----1--5432");
	assert_null(s->tls_lone);
	assert_non_null(c->services[2]->tls_lone);
	assert_non_null(c->services[2]->tls_many);
	assert_int_equal(s->direction, RDDR_OUTGOING);
	assert_true(s->filter);
	assert_false(s->enforcing);
	assert_int_equal(s->gather.partner, 500);
	assert_int_equal(s->deadlines.skew, 100);
	assert_string_equal(s->diff_class, "http");
	assert_string_equal(s->diff_params, "{\"a\":1}");
	assert_int_equal(s->n_instances, 3);
	assert_string_equal(s->instances[2].name, "127.0.0.1:9003");
	assert_int_equal(rddr_addr_port(rddr_config_listen(s, 3)), 3);
	assert_ptr_equal(s->backend.chainer.ops, rddr_chainer_find("directed"));
	assert_int_equal(rddr_addr_port(&s->backend.chainer.remote), 5432);
	rddr_config_put(&c);
}

static const struct {
	const char *text, *says;
} broken[] = {
	{STEERED "    instances: [{name: a}]\n", "t:5:17: services.db.instances[0]: needs clients"},
	{STEERED "    instances: [{chainer: transparent}]\n", "services.db.instances[0].chainer: "},
	{STEERED "    instances: [{clients: 10.0.0.0/8}, {clients: 10.0.1.0/24}]\n",
	 "services.db: the instances instance0 and instance1 have clients in common"},
	{STEERED "    instances: [{clients: 'fd00::1'}]\n",
	 "services.db: no instance has clients of the family of an address"},
	{STEERED "    instances: [{clients: 10.0.0.1}]\n    source: b\n",
	 "t:6:13: services.db.source: wants an instance's name or number, is \"b\""},
	{STEERED "    instances: [{clients: 10.0.0.1}]\n    source: 1\n",
	 "t:6:13: services.db.source: wants a whole number from 0 to 0"},
	{STEERED "    instances: [{clients: 10.0.0.1}]\n    proxy-protocol: {from: [10.0.0.9]}\n",
	 "services.db: proxy-protocol: only with direction: incoming"},
	{STEERED "    instances: [{clients: 10.0.0.1}]\n    gather: {partner: 1}\n",
	 "services.db.gather.partner: wants"},
	{STEERED "    instances: [{clients: 10.0.0.1}]\n    backend: {forge-addr: true}\n",
	 "services.db.backend: the key chainer is missing"},
	{"services:\n  db:\n    direction: outgoing\n    instances: [{listen: '127.0.0.1:1'}]\n",
	 "services.db: needs backend: what listens does not know"},
	{"services:\n  db:\n    direction: outgoing\n    listen: 127.0.0.1:2\n    instances: [{listen: "
	 "'127.0.0.1:1'}]\n"
	 "    backend: {chainer: directed, remote: '127.0.0.1:1'}\n",
	 "services.db.backend: 127.0.0.1:1 is where RDDR itself listens"},
	{"services:\n  web:\n    listen: 127.0.0.1:1\n    instances: [{chainer: directed, remote: '127.0.0.1:2'}]\n"
	 "    source: 0\n",
	 "t:5:13: services.web.source: only with direction: outgoing"},
};

static void test_broken(void **state)
{
	char *log = malloc(CAPTURED);

	(void)state;
	assert_non_null(log);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct config *config = NULL;
		int err = parse_captured(broken[i].text, strlen(broken[i].text), &config, log);

		if (err != -EINVAL || !strstr(log, broken[i].says))
			fail_msg("%d for\n%s\nwanted %s\ngot %s", err, broken[i].text, broken[i].says, log);
	}
	free(log);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steered),	 cmocka_unit_test(test_defaults), cmocka_unit_test(test_listening),
		cmocka_unit_test(test_original), cmocka_unit_test(test_broken),
	};

	enter_empty_network();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
