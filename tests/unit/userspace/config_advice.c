/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config_capture.h"

/* What is said of a service with these keys. */
static void advised(const char *keys, char text[CAPTURED])
{
	struct config *config = NULL;
	char yaml[1024];
	int saved, fd;

	snprintf(yaml, sizeof(yaml), "services:\n  s:\n    listen: 127.0.0.1:7000\n%s", keys);
	assert_int_equal(rddr_config_parse("f.yaml", yaml, strlen(yaml), &config), 0);
	fd = capture_begin(&saved);
	rddr_config_advise(config);
	capture_end(fd, saved, text);
	rddr_config_put(&config);
}

#define SERVERS(a, b, c)                                                                                               \
	"    instances: [{name: one, chainer: directed, remote: '127.0.0.1:" a                                         \
	"'}, {name: two, chainer: directed, remote: '127.0.0.1:" b                                                     \
	"'}, {name: three, chainer: directed, remote: '127.0.0.1:" c "'}]\n"

static void nothing_is_said_of_what_is_usual(void **state)
{
	char text[CAPTURED];

	(void)state;
	advised(SERVERS("1", "2", "3") "    filter: true\n", text);
	assert_string_equal(text, "");
}

static void two_instances_that_are_one_server(void **state)
{
	char text[CAPTURED];

	(void)state;
	advised(SERVERS("1", "2", "1"), text);
	assert_non_null(strstr(text, "f.yaml:2: services.s: instances one and three are one server, 127.0.0.1:1"));
	assert_null(strstr(text, "two"));
}

static void bounds_that_exclude_each_other(void **state)
{
	static const struct {
		const char *keys, *said;
	} cases[] = {
		{"    deadlines: {idle: 5s, skew: 5s}\n", "idle (5000 ms) ends sessions before skew (5000 ms)"},
		{"    deadlines: {idle: 6s, connect: 7s}\n", "idle (6000 ms) ends sessions before connect (7000 ms)"},
		{"    filter: true\n    noise: {run: 8192}\n    limits: {buffer: 4096}\n",
		 "services.s.noise.run: 8192 bytes of noise"},
	};
	char text[CAPTURED], keys[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(keys, sizeof(keys), "%s%s", SERVERS("1", "2", "3"), cases[i].keys);
		advised(keys, text);
		assert_non_null(strstr(text, cases[i].said));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_said_of_what_is_usual),
		cmocka_unit_test(two_instances_that_are_one_server),
		cmocka_unit_test(bounds_that_exclude_each_other),
	};

	return cmocka_run_group_tests_name("config_advice", tests, NULL, NULL);
}
