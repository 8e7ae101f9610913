// SPDX-License-Identifier: BSD-2-Clause
#include "rddrctl_show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>

/* What the function prints of the JSON; the caller frees it. */
static char *shown(show_fn fn, struct show show, const char *json, int expected)
{
	json_object *result = json_tokener_parse(json);
	char *text = NULL;
	size_t len = 0;

	show.out = open_memstream(&text, &len);
	assert_non_null(show.out);
	assert_int_equal(fn(&show, result), expected);
	fclose(show.out);
	json_object_put(result);
	return text;
}

static void assert_shows(show_fn fn, struct show show, const char *json, const char *expected)
{
	char *text = shown(fn, show, json, 0);

	assert_string_equal(text, expected);
	free(text);
}

static void test_status(void **state)
{
	(void)state;
	assert_shows(rddr_rddrctl_show_status, (struct show){0},
		     "{\"version\":\"0.1.0\",\"pid\":12,\"uptime_ms\":90061000,\"config\":\"/etc/rddr/rddr.yaml\","
		     "\"workers\":2,\"generation\":3,\"draining\":false,\"steering\":{\"state\":\"attached\","
		     "\"pin_dir\":\"/sys/fs/bpf/rddr\"},\"sessions\":5,\"services\":1,\"divergences\":7}",
		     "version      0.1.0\n"
		     "pid          12\n"
		     "up           1d01h\n"
		     "config       /etc/rddr/rddr.yaml\n"
		     "generation   3\n"
		     "workers      2\n"
		     "services     1\n"
		     "sessions     5\n"
		     "divergences  7\n"
		     "steering     attached (/sys/fs/bpf/rddr)\n"
		     "draining     no\n");
}

static void test_services(void **state)
{
	(void)state;
	assert_shows(rddr_rddrctl_show_services, (struct show){0},
		     "{\"services\":[{\"name\":\"shop\",\"direction\":\"incoming\",\"diff_class\":\"bytes\","
		     "\"enforcing\":true,"
		     "\"when_down\":\"closed\",\"intercept\":[\"10.0.2.2/32 port 80\"],\"listen\":\"127.0.0.1:80\","
		     "\"instances\":[{\"name\":\"live\",\"chainer\":\"transparent\",\"remote\":null},"
		     "{\"name\":\"twin\",\"chainer\":\"directed\",\"remote\":\"10.0.3.2:80\"}],"
		     "\"sessions\":1,\"divergences\":2,\"denied\":3}]}",
		     "SERVICE  DIRECTION  DIFF   MODE     DOWN    SESSIONS  DIVERGED  DENIED\n"
		     "shop     incoming   bytes  enforce  closed         1         2       3\n"
		     "\n"
		     "SERVICE  TAKES\n"
		     "shop     10.0.2.2/32 port 80\n"
		     "shop     listens on 127.0.0.1:80\n"
		     "\n"
		     "SERVICE  #  INSTANCE  CHAINER      REMOTE\n"
		     "shop     0  live      transparent  where the client wanted to go\n"
		     "shop     1  twin      directed     10.0.3.2:80\n");
	assert_shows(rddr_rddrctl_show_services, (struct show){0}, "{\"services\":[]}", "no services\n");
}

static const char sessions[] =
	"{\"sessions\":[{\"id\":7,\"service\":\"shop\",\"client\":\"192.0.2.7:54321\",\"destination\":\"10.0.2.2:80\","
	"\"state\":\"open\",\"age_ms\":61000,\"idle_ms\":850,\"bytes_in\":1023,\"bytes_out\":1048570,\"requests\":2,"
	"\"worker\":1,\"instances\":[{\"name\":\"live\",\"address\":\"10.0.2.2:80\",\"local\":\"192.0.2.7:1\","
	"\"state\":\"open\",\"received\":1536,\"queued\":0}]}],\"truncated\":true}";

static void test_sessions(void **state)
{
	char *text;

	(void)state;
	assert_shows(rddr_rddrctl_show_sessions, (struct show){0}, sessions,
		     "ID  SERVICE  CLIENT           DESTINATION  STATE    AGE   IDLE    IN   OUT\n"
		     " 7  shop     192.0.2.7:54321  10.0.2.2:80  open   1m01s  850ms  1023  1.0M\n"
		     "(there are more: the daemon does not list them all at once)\n");
	assert_shows(rddr_rddrctl_show_sessions, (struct show){.detail = true, .session = 7}, sessions,
		     "session      7\n"
		     "service      shop\n"
		     "client       192.0.2.7:54321\n"
		     "destination  10.0.2.2:80\n"
		     "state        open\n"
		     "age          1m01s\n"
		     "idle         850ms\n"
		     "bytes in     1023\n"
		     "bytes out    1048570\n"
		     "requests     2\n"
		     "worker       1\n"
		     "\n"
		     "#  INSTANCE  ADDRESS      LOCAL        STATE  RECEIVED  QUEUED\n"
		     "0  live      10.0.2.2:80  192.0.2.7:1  open       1.5K       0\n");
	text = shown(rddr_rddrctl_show_sessions, (struct show){.detail = true, .session = 8}, sessions, -ENOENT);
	assert_string_equal(text, "");
	free(text);
	assert_shows(rddr_rddrctl_show_sessions, (struct show){0}, "{\"sessions\":[],\"truncated\":false}",
		     "no sessions\n");
}

static void test_counters(void **state)
{
	static const char json[] =
		"{\"daemon\":{\"no_service\":0,\"accept_failed\":3},\"services\":{\"shop\":{\"sessions\":12,"
		"\"denied\":0,\"strange\":1},\"quiet\":{\"sessions\":0}},\"steering\":{\"pass\":5,\"drop\":0}}";

	(void)state;
	assert_shows(rddr_rddrctl_show_counters, (struct show){0}, json,
		     "daemon\n"
		     "  accept_failed  3  accept() failed\n"
		     "\n"
		     "service shop\n"
		     "  sessions  12  sessions begun\n"
		     "  strange    1  -\n"
		     "\n"
		     "service quiet\n"
		     "  (all are 0; --all shows them)\n"
		     "\n"
		     "steering\n"
		     "  pass  5\n");
	assert_shows(rddr_rddrctl_show_counters, (struct show){.all = true},
		     "{\"daemon\":{\"denied\":0},\"services\":{}}",
		     "daemon\n"
		     "  denied  0  sessions denied\n");
}

/* "HTTP/1.1 200 OK\r\nA: 1\r\n" at 100; they differ first at 120. */
static const char evidence[] =
	"{\"evidence\":[{\"time\":\"2026-11-22T10:00:01.123Z\",\"reference\":\"20261122-0a1b2c3d4e\",\"service\":"
	"\"shop\","
	"\"client\":\"192.0.2.7:54321\",\"destination\":\"10.0.2.2:80\",\"action\":\"deny\",\"reason\":\"divergence\","
	"\"session\":12,\"request\":3,\"offset\":120,\"where\":\"header A\",\"why\":\"differ\",\"minority\":null,"
	"\"instances\":[{\"name\":\"live\",\"address\":\"10.0.2.2:80\",\"state\":\"open\",\"received\":122,"
	"\"excerpt_offset\":100,\"excerpt\":\"\",\"excerpt_base64\":\"SFRUUC8xLjEgMjAwIE9LDQpBOiAxDQo=\"},"
	"{\"name\":\"twin\",\"address\":null,\"state\":\"refused\",\"received\":0,\"excerpt_offset\":0,\"excerpt\":"
	"\"\","
	"\"excerpt_base64\":\"\"}]}]}";

static void test_evidence(void **state)
{
	char *text;

	(void)state;
	assert_shows(rddr_rddrctl_show_evidence, (struct show){0}, evidence,
		     "REFERENCE            TIME      SERVICE  CLIENT           ACTION  REASON      MINORITY\n"
		     "20261122-0a1b2c3d4e  10:00:01  shop     192.0.2.7:54321  deny    divergence  -\n");
	assert_shows(rddr_rddrctl_show_evidence, (struct show){.detail = true}, evidence,
		     "reference    20261122-0a1b2c3d4e\n"
		     "time         2026-11-22T10:00:01.123Z\n"
		     "service      shop\n"
		     "client       192.0.2.7:54321\n"
		     "destination  10.0.2.2:80\n"
		     "action       deny\n"
		     "reason       divergence\n"
		     "session      12\n"
		     "request      3\n"
		     "offset       120\n"
		     "where        header A\n"
		     "why          differ\n"
		     "minority     -\n"
		     "\n"
		     "#0  live  10.0.2.2:80  open  122 bytes received\n"
		     "  from byte 100\n"
		     "    | HTTP/1.1 200 OK\\x0d\\x0a\n"
		     "    | A: \n"
		     "  from byte 120, where they differ first\n"
		     "    | 1\\x0d\\x0a\n"
		     "\n"
		     "#1  twin  -  refused  0 bytes received\n");
	assert_shows(rddr_rddrctl_show_evidence, (struct show){0}, "{\"evidence\":[]}", "no evidence\n");
	text = shown(rddr_rddrctl_show_evidence, (struct show){.detail = true}, "{\"evidence\":[]}", -ENOENT);
	free(text);
}

/* Lines stay within the terminal, however narrow and whatever is in the excerpt. */
static void test_narrow(void **state)
{
	static const char json[] = "{\"evidence\":[{\"offset\":0,\"instances\":[{\"excerpt_base64\":\"/////////////////"
				   "/////////////////////////////////"
				   "//////////////////////////////////////////////////\"}]}]}";

	(void)state;
	for (unsigned width = 40; width < 60; width++) {
		char *text = shown(rddr_rddrctl_show_evidence, (struct show){.detail = true, .width = width}, json, 0);
		unsigned escapes = 0;

		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
			assert_true(strlen(line) <= width || strncmp(line, "    | ", 6));
			for (char *at = line; (at = strstr(at, "\\xff")); at++)
				escapes++;
		}
		assert_int_equal(escapes, 75);
		free(text);
	}
}

/* An older or a mad daemon: whatever is missing, or of another type. */
static void test_strange_results(void **state)
{
	static const char *const results[] = {
		"null",
		"{}",
		"[]",
		"1",
		"\"x\"",
		"{\"services\":1,\"sessions\":1,\"evidence\":1,\"daemon\":1,\"steering\":1}",
		"{\"services\":[1,null,{}],\"sessions\":[1,null,{}],\"evidence\":[1,null,{}]}",
		"{\"services\":{\"a\":1},\"sessions\":{},\"evidence\":{},\"daemon\":{\"x\":\"y\"},\"steering\":{\"x\":["
		"]}}",
		"{\"services\":[{\"intercept\":{},\"instances\":[1]}],\"sessions\":[{\"instances\":1}],"
		"\"evidence\":[{\"time\":5,\"instances\":[1,{\"excerpt_base64\":\"!\"},{\"excerpt_base64\":5}]}]}",
	};
	static const show_fn all[] = {
		rddr_rddrctl_show_status,    rddr_rddrctl_show_services, rddr_rddrctl_show_sessions,
		rddr_rddrctl_show_counters,  rddr_rddrctl_show_evidence, rddr_rddrctl_show_reload,
		rddr_rddrctl_show_log_level, rddr_rddrctl_show_drain,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		for (size_t j = 0; j < sizeof(all) / sizeof(all[0]); j++) {
			for (int detail = 0; detail < 2; detail++) {
				struct show show = {
					.detail = detail, .session = UINT64_MAX, .level = "info", .width = 80};
				json_object *result = json_tokener_parse(results[i]);
				char *text = NULL;
				size_t len = 0;
				int err;

				show.out = open_memstream(&text, &len);
				err = all[j](&show, result);
				assert_true(err == 0 || err == -ENOENT);
				fclose(show.out);
				free(text);
				json_object_put(result);
			}
		}
	}
}

static void test_done(void **state)
{
	(void)state;
	assert_shows(rddr_rddrctl_show_reload, (struct show){0}, "{\"generation\":4}", "reloaded, generation 4\n");
	assert_shows(rddr_rddrctl_show_log_level, (struct show){.level = "debug"}, "{}", "the log level is debug\n");
	assert_shows(rddr_rddrctl_show_drain, (struct show){0}, "{}",
		     "draining: no new connections; the daemon ends with its last session\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),		cmocka_unit_test(test_services),
		cmocka_unit_test(test_sessions),	cmocka_unit_test(test_counters),
		cmocka_unit_test(test_evidence),	cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_strange_results), cmocka_unit_test(test_done),
	};

	return cmocka_run_group_tests_name("rddrctl_show", tests, NULL, NULL);
}
