// SPDX-License-Identifier: BSD-2-Clause
/* Good files: what they become, key by key, and the life of a config. config_errors.c has the broken ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <sys/stat.h>

#include "config_capture.h"
#include "own.h"

static char captured[CAPTURED];

/* Reads what has to be good, without a word on stderr. */
static struct config *read_good(const char *text)
{
	struct config *config = NULL;
	int err = parse_captured(text, strlen(text), &config, captured);

	if (err || *captured)
		print_error("%d: %s", err, captured);
	assert_int_equal(err, 0);
	assert_string_equal(captured, "");
	assert_non_null(config);
	return config;
}

static void assert_addr(const struct addr *a, const char *text)
{
	char buf[RDDR_ADDR_TEXT];

	assert_string_equal(rddr_addr_format(a, buf, sizeof(buf)), text);
}

static void assert_prefix(const struct prefix *p, const char *text)
{
	char buf[RDDR_ADDR_TEXT];

	assert_string_equal(rddr_prefix_format(p, buf, sizeof(buf)), text);
}

static void assert_defaults_of_service(const struct service *s)
{
	assert_int_equal(s->direction, RDDR_INCOMING);
	assert_false(s->filter);
	assert_string_equal(s->diff_class, "bytes");
	assert_string_equal(s->diff_params, "{}");
	assert_true(s->enforcing);
	assert_int_equal(s->when_down, WHEN_DOWN_CLOSED);
	assert_int_equal(s->existing, EXISTING_KEEP);
	assert_int_equal(s->deadlines.connect, 5000);
	assert_int_equal(s->deadlines.skew, 5000);
	assert_int_equal(s->deadlines.idle, 300000);
	assert_int_equal(s->deadlines.linger, 5000);
	assert_int_equal(s->deadlines.reuse, 500);
	assert_int_equal(s->noise.run, 256);
	assert_int_equal(s->noise.share, 20);
	assert_int_equal(s->limits.buffer, 1 << 20);
	assert_int_equal(s->limits.lag, 1 << 20);
	assert_int_equal(s->limits.repeat, 64 << 10);
	assert_null(s->plugin);
	assert_null(s->ops);
	assert_null(s->params);
	assert_null(s->metrics);
}

static void assert_defaults_of_daemon(const struct config *c)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(0, sizeof(set), &set), 0);
	assert_int_equal(c->workers, CPU_COUNT(&set) < 64 ? CPU_COUNT(&set) : 64);
	assert_string_equal(c->control, "/run/rddr/control.sock");
	assert_int_equal(c->drain, 30000);
	assert_string_equal(c->evidence.file, "/var/log/rddr/evidence.jsonl");
	assert_int_equal(c->evidence.max_size, 16 << 20);
	assert_int_equal(c->evidence.keep, 4);
	assert_int_equal(c->evidence.excerpt, 256);
}

static void test_steered_defaults(void **state)
{
	struct config *c = read_good("services:\n"
				     "  web:\n"
				     "    intercept: { address: 10.0.2.2, port: 80 }\n"
				     "    instances:\n"
				     "      - { chainer: transparent }\n");
	const struct service *s;

	(void)state;
	assert_defaults_of_daemon(c);
	assert_int_equal(c->references, 1);
	assert_string_equal(c->path, "t");
	assert_false(c->original);
	assert_false(c->has_log_level);
	assert_int_equal(c->n_services, 1);
	s = c->services[0];
	assert_defaults_of_service(s);
	assert_string_equal(s->name, "web");
	assert_int_equal(s->mark.line, 2);
	assert_int_equal(s->mark.column, 3);
	assert_false(s->has_listen);
	assert_int_equal(s->n_rules, 1);
	assert_prefix(&s->rules[0].destination, "10.0.2.2/32");
	assert_int_equal(s->rules[0].port, 80);
	assert_string_equal(s->rules[0].interface, "");
	assert_int_equal(s->rules[0].clients.family, AF_UNSPEC);
	assert_ptr_equal(s->rules[0].service, s);
	assert_int_equal(s->rules[0].mark.line, 3);
	assert_int_equal(s->rules[0].mark.column, 16);
	assert_int_equal(c->n_rules, 1);
	assert_ptr_equal(c->rules[0], s->rules);
	assert_int_equal(s->n_instances, 1);
	assert_string_equal(s->instances[0].name, "instance0");
	assert_ptr_equal(s->instances[0].chainer.ops, rddr_chainer_find("transparent"));
	assert_false(s->instances[0].chainer.has_remote);
	assert_false(s->instances[0].chainer.has_local);
	assert_false(s->instances[0].chainer.forge_addr);
	assert_false(s->instances[0].chainer.forge_fallback);
	assert_int_equal(s->instances[0].chainer.forced_port, 0);
	assert_int_equal(s->instances[0].chainer.forge_ports, 0);
	rddr_config_put(&c);
	assert_null(c);
}

static void test_listening_defaults(void **state)
{
	struct config *c = read_good("services: {web: {listen: \"[::1]:8080\", instances: [{chainer: directed, remote: "
				     "127.0.0.1:81, forge-addr: false}]}}\n");
	const struct service *s = c->services[0];

	(void)state;
	assert_defaults_of_daemon(c);
	assert_defaults_of_service(s);
	assert_true(s->has_listen);
	assert_addr(&s->listen, "[::1]:8080");
	assert_int_equal(s->n_rules, 0);
	assert_int_equal(c->n_rules, 0);
	assert_null(c->rules);
	assert_null(rddr_config_match(c, &s->listen, &s->listen, NULL));
	assert_addr(&s->instances[0].chainer.remote, "127.0.0.1:81");
	assert_true(s->instances[0].chainer.has_remote);
	rddr_config_put(&c);
}

static void test_original(void **state)
{
	struct config *c = read_good("# as it was\n"
				     "addrlist:\n"
				     "  - localhost:9001\n"
				     "  - 127.0.0.1:9002\n"
				     "  - 127.0.0.1:9002\n"
				     "  - 127.0.0.1:9002\n"
				     "filter: yes\n"
				     "incoming-proxy:\n"
				     "  host: localhost\n"
				     "  port: \"8080\"\n"
				     "  protocol: tcp\n"
				     "  diff-class: rddr_diff_builtins.RddrPostgresDiff\n"
				     "  diff-params: { tokens: [[a, b, c, d]] }\n"
				     "  enforcing: False\n"
				     "outgoing-proxies:\n"
				     "verbosity: \"WARNING\"\n");
	const struct service *s = c->services[0];
	const char *const names[] = {"localhost:9001", "127.0.0.1:9002", "127.0.0.1:9002#2", "127.0.0.1:9002#3"};

	(void)state;
	assert_defaults_of_daemon(c);
	assert_true(c->original);
	assert_true(c->has_log_level);
	assert_int_equal(c->log_level, LOG_LEVEL_WARNING);
	assert_int_equal(c->n_services, 1);
	assert_string_equal(s->name, "incoming");
	assert_true(s->has_listen);
	assert_addr(&s->listen, "127.0.0.1:8080");
	assert_true(s->filter);
	assert_false(s->enforcing);
	assert_string_equal(s->diff_class, "rddr_diff_builtins.RddrPostgresDiff");
	assert_int_equal(s->diff_class_mark.line, 12);
	assert_int_equal(s->diff_class_mark.column, 15);
	assert_string_equal(s->diff_params, "{\"tokens\":[[\"a\",\"b\",\"c\",\"d\"]]}");
	assert_int_equal(s->diff_params_mark.line, 13);
	assert_int_equal(s->n_instances, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_string_equal(s->instances[i].name, names[i]);
		assert_ptr_equal(s->instances[i].chainer.ops, rddr_chainer_find("directed"));
		assert_addr(&s->instances[i].chainer.remote, i ? "127.0.0.1:9002" : "127.0.0.1:9001");
	}
	rddr_config_put(&c);
}

static void test_original_defaults(void **state)
{
	struct config *c = read_good("{addrlist: [127.0.0.1:9001], incoming-proxy: {host: 0.0.0.0, port: 80}}");

	(void)state;
	assert_defaults_of_daemon(c);
	assert_defaults_of_service(c->services[0]);
	assert_false(c->has_log_level);
	assert_addr(&c->services[0]->listen, "0.0.0.0:80");
	rddr_config_put(&c);
}

/* An original file may say what the daemon's own keys say. */
static void test_original_with_daemon_wide(void **state)
{
	struct config *c = read_good("addrlist: [127.0.0.1:9001]\n"
				     "control: \"\"\n"
				     "workers: 3\n"
				     "evidence: {file: ''}\n"
				     "defaults: {deadlines: {skew: 100ms}}\n"
				     "incoming-proxy: {host: 127.0.0.1, port: 80}\n"
				     "outgoing-proxies: {}\n");

	(void)state;
	assert_true(c->original);
	assert_string_equal(c->control, "");
	assert_string_equal(c->evidence.file, "");
	assert_int_equal(c->workers, 3);
	assert_int_equal(c->services[0]->deadlines.skew, 100);
	rddr_config_put(&c);
}

static void test_daemon_wide(void **state)
{
	struct config *c = read_good("services: {web: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: "
				     "127.0.0.1:2}]}}\n"
				     "workers: 0x10\n"
				     "log-level: Debug\n"
				     "control: ctl\n"
				     "drain: 0s\n"
				     "evidence:\n"
				     "  file: e.jsonl\n"
				     "  max-size: 2GiB\n"
				     "  keep: 0\n"
				     "  excerpt: 0\n");

	(void)state;
	assert_int_equal(c->workers, 16);
	assert_true(c->has_log_level);
	assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
	assert_string_equal(c->control, "ctl");
	assert_int_equal(c->drain, 0);
	assert_string_equal(c->evidence.file, "e.jsonl");
	assert_int_equal(c->evidence.max_size, 2ull << 30);
	assert_int_equal(c->evidence.keep, 0);
	assert_int_equal(c->evidence.excerpt, 0);
	rddr_config_put(&c);
}

static void test_every_service_key(void **state)
{
	struct config *c = read_good("services:\n"
				     "  a:\n"
				     "    direction: incoming\n"
				     "    intercept: {address: 10.0.2.2, port: 80}\n"
				     "    instances:\n"
				     "      - {name: x, chainer: transparent, forge-addr: true, forced-port: 8080}\n"
				     "      - {name: y, chainer: transparent, forge-addr: true, forge-port: [exact, "
				     "group, any], forge-fallback: true}\n"
				     "      - {name: z, chainer: directed, remote: 10.0.4.2:80, local: 10.0.4.1:7}\n"
				     "    filter: TRUE\n"
				     "    diff-class: ./my.so\n"
				     "    diff-params:\n"
				     "    enforcing: false\n"
				     "    when-down: open\n"
				     "    existing: reset\n"
				     "    policy: {verdict: all}\n"
				     "    deadlines: {connect: 10ms, skew: 1h, idle: 24h, linger: 2 m, reuse: 0ms}\n"
				     "    noise: {run: 1KiB, share: 0%}\n"
				     "    limits: {buffer: 4096, lag: 32MiB, repeat: 0}\n");
	const struct service *s = c->services[0];
	const struct chainer_conf *conf = &s->instances[0].chainer;

	(void)state;
	assert_true(s->filter);
	assert_string_equal(s->diff_class, "./my.so");
	assert_string_equal(s->diff_params, "{}");
	assert_false(s->enforcing);
	assert_int_equal(s->when_down, WHEN_DOWN_OPEN);
	assert_int_equal(s->existing, EXISTING_RESET);
	assert_int_equal(s->deadlines.connect, 10);
	assert_int_equal(s->deadlines.skew, 3600000);
	assert_int_equal(s->deadlines.idle, 86400000);
	assert_int_equal(s->deadlines.linger, 120000);
	assert_int_equal(s->deadlines.reuse, 0);
	assert_int_equal(s->noise.run, 1024);
	assert_int_equal(s->noise.share, 0);
	assert_int_equal(s->limits.buffer, 4096);
	assert_int_equal(s->limits.lag, 32 << 20);
	assert_int_equal(s->limits.repeat, 0);
	assert_true(conf->forge_addr);
	assert_int_equal(conf->forced_port, 8080);
	assert_int_equal(conf->forge_ports, 1);
	assert_int_equal(conf->forge_port[0], FORGE_PORT_ANY);
	conf = &s->instances[1].chainer;
	assert_true(conf->forge_fallback);
	assert_int_equal(conf->forge_ports, 3);
	assert_int_equal(conf->forge_port[0], FORGE_PORT_EXACT);
	assert_int_equal(conf->forge_port[1], FORGE_PORT_GROUP);
	assert_int_equal(conf->forge_port[2], FORGE_PORT_ANY);
	conf = &s->instances[2].chainer;
	assert_false(conf->forge_addr);
	assert_addr(&conf->local, "10.0.4.1:7");
	assert_addr(&conf->remote, "10.0.4.2:80");
	rddr_config_put(&c);
}

static void test_defaults_section(void **state)
{
	struct config *c = read_good("services:\n"
				     "  a: &a\n"
				     "    listen: 127.0.0.1:1\n"
				     "    instances: &i [{chainer: directed, remote: 127.0.0.1:9}]\n"
				     "    deadlines: {idle: 1s}\n"
				     "  b: {listen: {port: 2, host: 127.0.0.1}, instances: *i, noise: {share: 7%}}\n"
				     "defaults:\n"
				     "  deadlines: {idle: 2s, skew: 3s}\n"
				     "  noise: {run: 9, share: 8%}\n"
				     "  limits: {buffer: 8KiB}\n");
	const struct service *a = c->services[0], *b = c->services[1];

	(void)state;
	assert_int_equal(a->deadlines.idle, 1000);
	assert_int_equal(a->deadlines.skew, 3000);
	assert_int_equal(a->deadlines.connect, 5000);
	assert_int_equal(a->noise.share, 8);
	assert_int_equal(b->deadlines.idle, 2000);
	assert_int_equal(b->noise.run, 9);
	assert_int_equal(b->noise.share, 7);
	assert_int_equal(b->limits.buffer, 8192);
	assert_int_equal(b->limits.lag, 1 << 20);
	assert_addr(&b->listen, "127.0.0.1:2");
	assert_addr(&b->instances[0].chainer.remote, "127.0.0.1:9");
	assert_ptr_not_equal(a->instances[0].name, b->instances[0].name);
	rddr_config_put(&c);
}

/* Lists are multiplied out; clients go with destinations of their own family. */
static void test_expansion(void **state)
{
	struct config *c =
		read_good("services:\n"
			  "  a:\n"
			  "    intercept:\n"
			  "      - address: [10.0.0.0/24, 'fd00::/64', '::ffff:10.9.9.9']\n"
			  "        port: [80, all]\n"
			  "        interface: [eth0, abcdefghijklmno]\n"
			  "        clients: [192.0.2.0/24, 'fd01::/16', 198.51.100.0/25]\n"
			  "      - {address: ['0.0.0.0/0', '::/0'], port: 443, clients: [0.0.0.0/0, '::/0']}\n"
			  "    instances: [{chainer: transparent}]\n");
	const struct service *s = c->services[0];
	unsigned v4 = 0, v6 = 0;

	(void)state;
	/* 2 IPv4 destinations with 2 clients, 1 IPv6 with 1: times 4; and 2 */
	assert_int_equal(s->n_rules, (2 * 2 + 1) * 4 + 2);
	assert_int_equal(c->n_rules, s->n_rules);
	for (size_t i = 0; i < s->n_rules - 2; i++) {
		assert_int_equal(s->rules[i].destination.family, s->rules[i].clients.family);
		assert_true(!strcmp(s->rules[i].interface, "eth0") ||
			    !strcmp(s->rules[i].interface, "abcdefghijklmno"));
		v4 += s->rules[i].destination.family == AF_INET;
		v6 += s->rules[i].destination.family == AF_INET6;
	}
	assert_int_equal(v4, 16);
	assert_int_equal(v6, 4);
	assert_prefix(&s->rules[0].destination, "10.0.0.0/24");
	assert_prefix(&s->rules[0].clients, "192.0.2.0/24");
	assert_prefix(&s->rules[1].clients, "198.51.100.0/25");
	assert_prefix(&s->rules[s->n_rules - 3].destination, "10.9.9.9/32");
	assert_prefix(&s->rules[s->n_rules - 2].destination, "0.0.0.0/0");
	assert_int_equal(s->rules[s->n_rules - 2].clients.family, AF_UNSPEC);
	assert_prefix(&s->rules[s->n_rules - 1].destination, "::/0");
	assert_int_equal(s->rules[s->n_rules - 1].clients.family, AF_UNSPEC);
	rddr_config_put(&c);
}

static void test_json(void **state)
{
	static const char *const cases[][2] = {
		{"{}", "{}"},
		{"~", "{}"},
		{"{a: 1, b: -2, c: +3, d: 007}", "{\"a\":1,\"b\":-2,\"c\":3,\"d\":7}"},
		{"{a: 0x1F, b: 0o17, c: 0b1, d: 1_000}", "{\"a\":31,\"b\":15,\"c\":\"0b1\",\"d\":\"1_000\"}"},
		{"{a: 18446744073709551615, b: -9223372036854775808}",
		 "{\"a\":18446744073709551615,\"b\":-9223372036854775808}"},
		{"{a: 1.5, b: .5, c: 1., d: -1e3, e: 0.1}", "{\"a\":1.5,\"b\":0.5,\"c\":1.0,\"d\":-1e+03,\"e\":0.1}"},
		{"{a: 1e300, b: 12:30, c: 2026-11-22, d: 1.2.3}",
		 "{\"a\":1e+300,\"b\":\"12:30\",\"c\":\"2026-11-22\",\"d\":\"1.2.3\"}"},
		{"{a: true, b: False, c: yes, d: 'true', e: \"1\"}",
		 "{\"a\":true,\"b\":false,\"c\":\"yes\",\"d\":\"true\",\"e\":\"1\"}"},
		{"{a: null, b: ~, c: , d: '', e: Null}", "{\"a\":null,\"b\":null,\"c\":null,\"d\":\"\",\"e\":null}"},
		{"{a: !!str 1, b: ! 2, c: !!int \"3\", d: !!float 4, e: !!null ''}",
		 "{\"a\":\"1\",\"b\":\"2\",\"c\":3,\"d\":4.0,\"e\":null}"},
		{"{1: {80: x}, true: [], ~: [[], {}]}", "{\"1\":{\"80\":\"x\"},\"true\":[],\"~\":[[],{}]}"},
		{"{a: &x [1, {b: 2}], c: *x, d: [*x, *x]}",
		 "{\"a\":[1,{\"b\":2}],\"c\":[1,{\"b\":2}],\"d\":[[1,{\"b\":2}],[1,{\"b\":2}]]}"},
		{"{a: &x 1, b: &x 2, c: *x}", "{\"a\":1,\"b\":2,\"c\":2}"},
		/* e with an acute accent */
		{"{a: \"\\u00e9\\n\\\"/\\x01\", \"k\\te\": \xc3\xa9}",
		 "{\"a\":\"\xc3\xa9\\n\\\"/\\u0001\",\"k\\te\":\"\xc3\xa9\"}"},
	};
	char text[1024];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct config *c;

		snprintf(text, sizeof(text),
			 "services: {a: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: 127.0.0.1:2}], "
			 "diff-params: %s}}",
			 cases[i][0]);
		c = read_good(text);
		assert_string_equal(c->services[0]->diff_params, cases[i][1]);
		rddr_config_put(&c);
	}
}

/* Block scalars, comments, a byte order mark, CRLF, explicit ends: YAML as people write it. */
static void test_writing(void **state)
{
	struct config *c = read_good("\xef\xbb\xbf%YAML 1.2\r\n--- # here\r\nservices:\r\n"
				     "  a:\r\n"
				     "    ? listen\r\n"
				     "    : >-\r\n"
				     "      127.0.0.1:1\r\n"
				     "    instances:\r\n"
				     "    - chainer: 'directed'\r\n"
				     "      remote: |-\r\n"
				     "        127.0.0.1:2\r\n"
				     "...\r\n");

	(void)state;
	assert_addr(&c->services[0]->listen, "127.0.0.1:1");
	assert_addr(&c->services[0]->instances[0].chainer.remote, "127.0.0.1:2");
	rddr_config_put(&c);
}

static void test_most_instances(void **state)
{
	char text[4096] = "services: {a: {listen: '[::]:1', instances: [";
	struct config *c;

	(void)state;
	for (unsigned i = 0; i < RDDR_MAX_INSTANCES; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 "{chainer: directed, remote: '10.0.0.1:%u'},", i + 1);
	snprintf(text + strlen(text), sizeof(text) - strlen(text), "]}}");
	c = read_good(text);
	assert_int_equal(c->services[0]->n_instances, 16);
	assert_string_equal(c->services[0]->instances[15].name, "instance15");
	rddr_config_put(&c);
}

/* ---- the life of a config ---- */

static struct {
	unsigned calls;
	pthread_t thread;
	void *plugins[4];
} freed;

static void on_free(struct service *service)
{
	freed.plugins[freed.calls++] = service->plugin;
	freed.thread = pthread_self();
}

static void *put_on_thread(void *arg)
{
	struct config *config = arg;

	rddr_config_put(&config);
	return config;
}

static void test_last_reference(void **state)
{
	static const char text[] =
		"services:\n"
		"  a: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: 127.0.0.1:9}]}\n"
		"  b: {listen: 127.0.0.1:2, instances: [{chainer: directed, remote: 127.0.0.1:9}]}\n";
	struct config *c = read_good(text), *other, *none = NULL;
	pthread_t thread;
	int mark;

	(void)state;
	memset(&freed, 0, sizeof(freed));
	rddr_config_on_free(on_free);
	c->services[0]->plugin = (struct plugin *)&mark;
	other = rddr_config_get(c);
	assert_ptr_equal(other, c);
	rddr_config_put(&c);
	assert_null(c);
	assert_int_equal(freed.calls, 0);
	assert_int_equal(pthread_create(&thread, NULL, put_on_thread, other), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(freed.calls, 2);
	assert_ptr_equal(freed.plugins[0], &mark);
	assert_null(freed.plugins[1]);
	assert_false(pthread_equal(freed.thread, pthread_self()));
	rddr_config_put(&none);
	/* A file that fails was never the daemon's. */
	assert_int_equal(parse_captured("services: {a: {listen: 127.0.0.1:1}}", 36, &none, captured), -EINVAL);
	assert_null(none);
	assert_int_equal(freed.calls, 2);
	rddr_config_on_free(NULL);
	c = read_good(text);
	rddr_config_put(&c);
	assert_int_equal(freed.calls, 2);
}

static void *get_and_put(void *arg)
{
	for (unsigned i = 0; i < 20000; i++) {
		struct config *held = rddr_config_get(arg);

		rddr_config_put(&held);
	}
	return NULL;
}

static void test_references_of_threads(void **state)
{
	struct config *c = read_good("services: {a: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: "
				     "127.0.0.1:9}]}}");
	pthread_t threads[4];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, get_and_put, c), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(c->references, 1);
	rddr_config_put(&c);
}

static void test_complain(void **state)
{
	struct config *c = read_good("services: {a: {diff-class: http, listen: 127.0.0.1:1, instances: [{chainer: "
				     "directed, remote: 127.0.0.1:9}]}}");
	int saved, fd = capture_begin(&saved);
	int err = rddr_config_complain(c, c->services[0]->diff_class_mark, "services.a.diff-class", "no plugin %s",
				       "http");

	(void)state;
	capture_end(fd, saved, captured);
	assert_int_equal(err, -EINVAL);
	assert_non_null(strstr(captured, "error config: t:1:28: services.a.diff-class: no plugin http\n"));
	rddr_config_put(&c);
}

/* ---- bounds ---- */

static void assert_refused(const char *text, size_t len, int error, const char *says)
{
	struct config *config = NULL;
	int err = parse_captured(text, len, &config, captured);

	assert_int_equal(err, error);
	assert_null(config);
	if (!strstr(captured, says))
		print_error("wanted %s, got %s", says, captured);
	assert_non_null(strstr(captured, says));
}

/* Room for texts that are larger than what is allowed. */
static char *big;
enum { BIG = 3 << 20 };

static void test_too_large(void **state)
{
	(void)state;
	memset(big, '#', BIG);
	assert_refused(big, (1 << 20) + 1, -EFBIG, "config: t:1:1: the file has 1048577 bytes; at most 1 MiB");
	assert_refused(big, 1 << 20, -EINVAL, "config: t:1:1: the file is empty");
}

static void test_too_many_values(void **state)
{
	size_t used = (size_t)sprintf(big, "services: [");

	(void)state;
	while (used < 400000)
		used += (size_t)sprintf(big + used, "1,");
	assert_refused(big, used, -EINVAL, "more than 100000 values");
}

/* Quadratic work would take minutes here. */
static void test_many_keys(void **state)
{
	size_t used = 0;

	(void)state;
	for (unsigned i = 0; i < 49000; i++)
		used += (size_t)sprintf(big + used, "key-number-%u: 1\n", i);
	used += (size_t)sprintf(big + used, "key-number-7: 1\n");
	assert_refused(big, used, -EINVAL, "t:49001:1: the key \"key-number-7\" stands in line 8 already");
	assert_non_null(strstr(captured, "config: t: and "));
}

static void test_many_directives(void **state)
{
	size_t used = 0;

	(void)state;
	for (unsigned i = 0; i < 60000; i++)
		used += (size_t)sprintf(big + used, "%%TAG !t%u! x\n", i);
	used += (size_t)sprintf(big + used, "---\na: b\n");
	assert_refused(big, used, -EINVAL, "t:17:1: more than 16 directives");
}

static void test_many_anchors(void **state)
{
	size_t used = (size_t)sprintf(big, "a: [");

	(void)state;
	for (unsigned i = 0; i < 1001; i++)
		used += (size_t)sprintf(big + used, "&a%u x,", i);
	used += (size_t)sprintf(big + used, "]\n");
	assert_refused(big, used, -EINVAL, "more than 1000 anchors");
}

/* Nine lists, each of nine times the one before. */
static size_t write_bomb(char *text, const char *tail)
{
	size_t used = (size_t)sprintf(text,
				      "services: {a: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: "
				      "127.0.0.1:2}], %s {\n",
				      tail);

	for (unsigned i = 0; i < 9; i++) {
		used += (size_t)sprintf(text + used, "  k%u: &k%u [", i, i);
		for (unsigned j = 0; j < 9; j++)
			used += i ? (size_t)sprintf(text + used, "*k%u,", i - 1) : (size_t)sprintf(text + used, "lol,");
		used += (size_t)sprintf(text + used, "],\n");
	}
	return used + (size_t)sprintf(text + used, "}}}\n");
}

static void test_alias_bomb(void **state)
{
	(void)state;
	assert_refused(big, write_bomb(big, "diff-params:"), -EINVAL, "the file's diff-params together are too large");
	assert_refused(big, write_bomb(big, "deadlines:"), -EINVAL, "services.a.deadlines.k0: unknown key");
}

/* A long text, many times over. */
static void test_alias_bomb_of_text(void **state)
{
	size_t used =
		(size_t)sprintf(big, "services: {a: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: "
				     "127.0.0.1:2}], diff-params: {t: &t ");

	(void)state;
	memset(big + used, 'x', 100000);
	used += 100000;
	used += (size_t)sprintf(big + used, ", l: [");
	for (unsigned i = 0; i < 1000; i++)
		used += (size_t)sprintf(big + used, "*t,");
	used += (size_t)sprintf(big + used, "]}}}\n");
	assert_refused(big, used, -EINVAL,
		       "services.a.diff-params.l[40]: the file's diff-params together are too large");
}

/* Each level holds the one before: the depth of what aliases stand for is bounded too. */
static void test_alias_depth(void **state)
{
	size_t used =
		(size_t)sprintf(big, "services: {a: {listen: 127.0.0.1:1, instances: [{chainer: directed, remote: "
				     "127.0.0.1:2}], diff-params: {k0: &k0 [],");

	(void)state;
	for (unsigned i = 1; i < 30; i++)
		used += (size_t)sprintf(big + used, "k%u: &k%u [*k%u],", i, i, i - 1);
	used += (size_t)sprintf(big + used, "}}}\n");
	assert_refused(big, used, -EINVAL, "nested more than 24 deep");
}

static size_t write_ports(char *text, unsigned n)
{
	size_t used = (size_t)sprintf(text, "services: {a: {intercept: {address: 10.0.0.1, port: [");

	for (unsigned i = 1; i <= n; i++)
		used += (size_t)sprintf(text + used, "%u,", i);
	return used + (size_t)sprintf(text + used, "]}, instances: [{chainer: transparent}]}");
}

static void test_many_rules(void **state)
{
	struct config *config = NULL;
	size_t used = write_ports(big, 4096);

	(void)state;
	used += (size_t)sprintf(big + used, "}\n");
	assert_int_equal(parse_captured(big, used, &config, captured), 0);
	assert_int_equal(config->n_rules, 4096);
	rddr_config_put(&config);

	used = write_ports(big, 4096);
	used += (size_t)sprintf(big + used, ", b: {intercept: {address: 10.0.0.2, port: 1}, instances: [{chainer: "
					    "transparent}]}}\n");
	assert_refused(big, used, -EINVAL,
		       "services.b.intercept: 1 combinations of address, port, interface and clients; all services "
		       "together may have 4096, of which 0 are left");

	used = write_ports(big, 4097);
	used += (size_t)sprintf(big + used, "}\n");
	assert_refused(big, used, -EINVAL, "services.a.intercept.port: 4097 items; at most 4096 are possible");
}

static void test_many_services(void **state)
{
	struct config *config = NULL;
	size_t used = 0;

	(void)state;
	for (unsigned n = 1024; n <= 1025; n++) {
		used = (size_t)sprintf(big, "services:\n");
		for (unsigned i = 0; i < n; i++)
			used += (size_t)sprintf(big + used,
						"  s%u: {intercept: {address: 10.0.0.1, port: %u}, instances: "
						"[{chainer: transparent}]}\n",
						i, i + 1);
		if (n == 1024) {
			assert_int_equal(parse_captured(big, used, &config, captured), 0);
			assert_int_equal(config->n_services, 1024);
			rddr_config_put(&config);
		}
	}
	assert_refused(big, used, -EINVAL, "services: 1025 services; at most 1024 are possible");
}

/* Twenty errors are written, in the file's order, and the rest is counted. */
static void test_many_errors(void **state)
{
	size_t used = 0;
	unsigned line = 0, lines = 0;

	(void)state;
	for (unsigned i = 0; i < 50; i++)
		used += (size_t)sprintf(big + used, "k%u: 1\n", i);
	assert_refused(big, used, -EINVAL, "config: t: and ");
	for (char *at = captured; (at = strstr(at, "config: t:")); at++, lines++) {
		unsigned now = (unsigned)strtoul(at + strlen("config: t:"), NULL, 10);

		assert_true(now >= line || !now);
		line = now ? now : line;
	}
	assert_int_equal(lines, 21);
}

/* ---- files ---- */

static int load_captured(const char *path, struct config **out)
{
	int saved, fd = capture_begin(&saved);
	int err = rddr_config_load(path, out);

	capture_end(fd, saved, captured);
	return err;
}

static void test_load(void **state)
{
	char dir[] = "/tmp/rddr-config-XXXXXX", path[64];
	struct config *config = NULL;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	assert_int_equal(load_captured(path, &config), -ENOENT);
	assert_non_null(strstr(captured, path));
	assert_non_null(strstr(captured, "cannot be read: No such file or directory"));
	assert_int_equal(load_captured(dir, &config), -EISDIR);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(load_captured(path, &config), -EINVAL); /* nobody writes: empty, and no waiting */
	assert_int_equal(unlink(path), 0);

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 5 << 20), 0);
	assert_int_equal(load_captured(path, &config), -EFBIG);
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(write(fd, "services: 1\n", 12), 12);
	assert_int_equal(load_captured(path, &config), -EINVAL);
	assert_non_null(strstr(captured, "f:1:11: services: wants a mapping"));
	close(fd);
	assert_null(config);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

static size_t read_whole(const char *path, char *text, size_t size)
{
	_owned_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, size - 1);

	assert_true(n > 0);
	text[n] = '\0';
	return (size_t)n;
}

/* The manual shows the examples as they are. */
static void test_manual(void **state)
{
	static char example[8192];
	glob_t found;

	(void)state;
	read_whole("docs/rddr.yaml.5", big, BIG);
	assert_int_equal(glob("docs/examples/*.yaml", 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		read_whole(found.gl_pathv[i], example, sizeof(example));
		if (!strstr(big, example))
			print_error("%s is not in the manual\n", found.gl_pathv[i]);
		assert_non_null(strstr(big, example));
	}
	globfree(&found);
}

/* Every example is good. */
static void test_examples(void **state)
{
	glob_t found;

	(void)state;
	assert_int_equal(glob("docs/examples/*.yaml", 0, NULL, &found), 0);
	assert_true(found.gl_pathc >= 6);
	for (size_t i = 0; i < found.gl_pathc; i++) {
		struct config *config = NULL;
		int err = load_captured(found.gl_pathv[i], &config);

		if (err || *captured)
			print_error("%s: %d %s\n", found.gl_pathv[i], err, captured);
		assert_int_equal(err, 0);
		assert_string_equal(captured, "");
		assert_string_equal(config->path, found.gl_pathv[i]);
		rddr_config_put(&config);
	}
	globfree(&found);
}

static uint32_t next_random(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

/* Good files with bytes changed, cut and doubled: whatever comes, it is a config or an error that was told. */
static void test_mutations(void **state)
{
	static const char letters[] = "\n  :{}[],&*!|>'\"%@`#-?0x9Z\t\xc3\xff.e/";
	uint32_t seed = 20261122;
	glob_t found;

	(void)state;
	assert_int_equal(glob("docs/examples/*.yaml", 0, NULL, &found), 0);
	for (unsigned round = 0; round < 1500; round++) {
		_owned_fd_ int fd = open(found.gl_pathv[round % found.gl_pathc], O_RDONLY | O_CLOEXEC);
		struct config *config = NULL;
		ssize_t len = read(fd, big, BIG);
		int err;

		assert_true(len > 0);
		for (unsigned i = 0; i <= round % 4; i++)
			big[next_random(&seed) % (size_t)len] = letters[next_random(&seed) % (sizeof(letters) - 1)];
		if (round % 5 == 0)
			len = (ssize_t)(next_random(&seed) % (size_t)len);
		err = parse_captured(big, (size_t)len, &config, captured);
		assert_int_equal(!err, config != NULL);
		assert_int_equal(!err, !*captured);
		rddr_config_put(&config);
	}
	globfree(&found);
}

static int set_up(void **state)
{
	(void)state;
	big = malloc(BIG);
	return big ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	free(big);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steered_defaults),
		cmocka_unit_test(test_listening_defaults),
		cmocka_unit_test(test_original),
		cmocka_unit_test(test_original_defaults),
		cmocka_unit_test(test_original_with_daemon_wide),
		cmocka_unit_test(test_daemon_wide),
		cmocka_unit_test(test_every_service_key),
		cmocka_unit_test(test_defaults_section),
		cmocka_unit_test(test_expansion),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_writing),
		cmocka_unit_test(test_most_instances),
		cmocka_unit_test(test_last_reference),
		cmocka_unit_test(test_references_of_threads),
		cmocka_unit_test(test_complain),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_too_many_values),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_many_directives),
		cmocka_unit_test(test_many_anchors),
		cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_alias_bomb_of_text),
		cmocka_unit_test(test_alias_depth),
		cmocka_unit_test(test_many_rules),
		cmocka_unit_test(test_many_services),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_examples),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_mutations),
	};

	enter_empty_network();
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
