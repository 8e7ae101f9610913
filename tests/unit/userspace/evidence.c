// SPDX-License-Identifier: BSD-2-Clause
#include "evidence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evidence_folder.h"
#include "log.h"
#include "metrics.h"
#include "scribe.h"
#include "text.h"

static int setup(void **state)
{
	return make_folder(state) || rddr_scribe_start(1 << 20);
}

static int teardown(void **state)
{
	rddr_evidence_close();
	rddr_scribe_stop();
	return remove_folder(state);
}

static struct evidence_conf conf(void)
{
	return (struct evidence_conf){.file = path, .max_size = 1 << 20, .keep = 2, .excerpt = 64};
}

static void open_evidence(void)
{
	struct evidence_conf c = conf();

	assert_int_equal(rddr_evidence_open(&c), 0);
}

static struct addr address(const char *text)
{
	struct addr a;

	assert_int_equal(rddr_addr_parse(text, 0, &a), 0);
	return a;
}

/* The lines that a reading handed out, newest first. */
struct found {
	char *lines[64];
	unsigned n;
};

static void find(void *ctx, const char *line)
{
	struct found *found = ctx;

	assert_true(found->n < 64);
	found->lines[found->n++] = strdup(line);
}

static void forget(struct found *found)
{
	for (unsigned i = 0; i < found->n; i++)
		free(found->lines[i]);
	found->n = 0;
}

static json_object *find_one(const char *reference)
{
	struct found found = {0};
	json_object *record;

	assert_int_equal(rddr_evidence_read(reference, 1, find, &found), 0);
	assert_int_equal(found.n, 1);
	record = json_tokener_parse(found.lines[0]);
	assert_non_null(record);
	forget(&found);
	return record;
}

static const char *text(json_object *object, const char *key)
{
	json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	return json_object_get_string(value);
}

static uint64_t number(json_object *object, const char *key)
{
	json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	assert_true(json_object_is_type(value, json_type_int));
	return json_object_get_uint64(value);
}

static bool record(const char *reference)
{
	const struct evidence e = {.service = "shop", .action = "deny", .reason = "divergence", .minority = -1};

	return rddr_evidence_record(reference, &e);
}

static void test_record(void **state)
{
	static const uint8_t bytes[] = "HTTP/1.1 200 OK\r\n\xff\x00\xc3\xa9";
	char now[RDDR_TEXT_TIME], reference[EVIDENCE_REFERENCE];
	struct evidence_side sides[] = {
		{.name = "live",
		 .address = address("10.0.2.2:80"),
		 .state = "open",
		 .excerpt = bytes,
		 .excerpt_len = sizeof(bytes) - 1,
		 .excerpt_offset = 1000,
		 .received = UINT64_MAX},
		{.name = "twin", .address = address("[fd00::2]:80"), .state = "ended"},
		{.name = "vari\"ant", .state = "refused", .excerpt = bytes},
	};
	const struct evidence e = {
		.service = "shop",
		.action = "deny",
		.reason = rddr_evidence_reason_name(RDDR_DENIED_EARLY_END),
		.client = address("192.0.2.7:54321"),
		.destination = address("10.0.2.2:80"),
		.session = 12,
		.request = 3,
		.offset = 1017,
		.where = "header X-A",
		.why = "ended early",
		.n = 3,
		.minority = 2,
		.sides = sides,
	};
	json_object *r, *instances, *side;
	uint8_t *exact;
	size_t len;

	(void)state;
	open_evidence();
	rddr_evidence_reference(reference);
	rddr_text_now(now);
	assert_true(rddr_evidence_record(reference, &e));
	r = find_one(reference);
	assert_memory_equal(text(r, "time"), now, strlen("2026-11-"));
	assert_int_equal(strlen(text(r, "time")), strlen(now));
	assert_string_equal(text(r, "reference"), reference);
	assert_string_equal(text(r, "service"), "shop");
	assert_string_equal(text(r, "client"), "192.0.2.7:54321");
	assert_string_equal(text(r, "destination"), "10.0.2.2:80");
	assert_string_equal(text(r, "action"), "deny");
	assert_string_equal(text(r, "reason"), "early-end");
	assert_int_equal(number(r, "session"), 12);
	assert_int_equal(number(r, "request"), 3);
	assert_int_equal(number(r, "offset"), 1017);
	assert_string_equal(text(r, "where"), "header X-A");
	assert_string_equal(text(r, "why"), "ended early");
	assert_string_equal(text(r, "minority"), "vari\"ant");

	assert_true(json_object_object_get_ex(r, "instances", &instances));
	assert_int_equal(json_object_array_length(instances), 3);
	side = json_object_array_get_idx(instances, 0);
	assert_string_equal(text(side, "name"), "live");
	assert_string_equal(text(side, "address"), "10.0.2.2:80");
	assert_string_equal(text(side, "state"), "open");
	assert_true(number(side, "received") == UINT64_MAX);
	assert_int_equal(number(side, "excerpt_offset"), 1000);
	assert_string_equal(text(side, "excerpt"), "HTTP/1.1 200 OK\\x0d\\x0a\\xff\\x00\xc3\xa9");
	exact = rddr_text_unbase64(text(side, "excerpt_base64"), &len);
	assert_int_equal(len, sizeof(bytes) - 1);
	assert_memory_equal(exact, bytes, len);
	free(exact);
	side = json_object_array_get_idx(instances, 1);
	assert_string_equal(text(side, "address"), "[fd00::2]:80");
	assert_string_equal(text(side, "excerpt"), "");
	side = json_object_array_get_idx(instances, 2);
	assert_null(text(side, "address"));
	json_object_put(r);
}

/* Nothing that a peer or a config can name makes a line that is no JSON, or two lines. */
static void test_hostile_texts(void **state)
{
	static const char *const hostile[] = {"\xff\xfe\x80", "a\nb\"c\\d", "\xed\xa0\x80", "\x1b[2J\x7f", "", "\xc3"};
	struct evidence_side side = {.state = "open"};
	struct evidence e = {.action = "report", .reason = "late", .n = 1, .minority = 0, .sides = &side};
	struct found found = {0};
	char *longest = malloc(100000);

	(void)state;
	assert_non_null(longest);
	memset(longest, '\n', 99999);
	longest[99999] = '\0';
	open_evidence();
	for (size_t i = 0; i <= sizeof(hostile) / sizeof(hostile[0]); i++) {
		const char *h = i < sizeof(hostile) / sizeof(hostile[0]) ? hostile[i] : longest;

		e.service = e.where = e.why = side.name = h;
		side.excerpt = (const uint8_t *)h;
		side.excerpt_len = strlen(h);
		assert_true(rddr_evidence_record("r", &e));
	}
	assert_int_equal(rddr_evidence_read(NULL, 64, find, &found), 0);
	assert_int_equal(found.n, sizeof(hostile) / sizeof(hostile[0]) + 1);
	for (unsigned i = 0; i < found.n; i++) {
		struct json_tokener *tokener = json_tokener_new();
		json_object *object;

		assert_true(strlen(found.lines[i]) < 32768);
		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
		object = json_tokener_parse_ex(tokener, found.lines[i], (int)strlen(found.lines[i]));
		assert_non_null(object);
		json_object_put(object);
		json_tokener_free(tokener);
	}
	forget(&found);
	free(longest);
}

static void test_excerpt_bounded(void **state)
{
	struct evidence_conf c = conf();
	static uint8_t bytes[32768];
	struct evidence_side side = {.name = "a", .state = "open", .excerpt = bytes, .excerpt_len = sizeof(bytes)};
	const struct evidence e = {.service = "s", .n = 1, .minority = -1, .sides = &side};
	static const struct {
		uint32_t asked, got;
	} cases[] = {{0, 0}, {1, 1}, {64, 64}, {4096, 4096}, {16384, 16384}, {UINT32_MAX, EVIDENCE_EXCERPT_MAX}};

	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_object *r, *instances;

		c.excerpt = cases[i].asked;
		assert_int_equal(rddr_evidence_reopen(&c), 0);
		assert_int_equal(rddr_evidence_excerpt(), cases[i].got);
		assert_true(rddr_evidence_record("one", &e));
		r = find_one("one");
		json_object_object_get_ex(r, "instances", &instances);
		assert_int_equal(strlen(text(json_object_array_get_idx(instances, 0), "excerpt")), cases[i].got);
		json_object_put(r);
	}
}

/* As large as a record can get, it can be queued, written and read. */
static void test_largest(void **state)
{
	struct evidence_conf c = conf();
	static uint8_t bytes[EVIDENCE_EXCERPT_MAX];
	struct evidence_side sides[RDDR_MAX_INSTANCES];
	const struct evidence e = {.service = "s", .n = RDDR_MAX_INSTANCES, .minority = -1, .sides = sides};
	json_object *r, *instances;

	(void)state;
	memset(bytes, 0xff, sizeof(bytes));
	for (size_t i = 0; i < RDDR_MAX_INSTANCES; i++)
		sides[i] = (struct evidence_side){
			.name = "a", .state = "open", .excerpt = bytes, .excerpt_len = sizeof(bytes)};
	c.excerpt = EVIDENCE_EXCERPT_MAX;
	assert_int_equal(rddr_evidence_open(&c), 0);
	assert_true(rddr_evidence_record("one", &e));
	r = find_one("one");
	json_object_object_get_ex(r, "instances", &instances);
	assert_int_equal(strlen(text(json_object_array_get_idx(instances, 0), "excerpt")),
			 EVIDENCE_EXCERPT_SUM / RDDR_MAX_INSTANCES * strlen("\\xff"));
	json_object_put(r);
}

static void test_nothing_kept(void **state)
{
	struct evidence_conf c = conf();
	struct found found = {0};
	struct stat st;

	(void)state;
	assert_false(record("none"));
	c.file = (char[]){""};
	assert_int_equal(rddr_evidence_open(&c), 0);
	assert_false(record("none"));
	assert_int_equal(rddr_evidence_read(NULL, 10, find, &found), 0);
	assert_int_equal(rddr_evidence_read("none", 10, find, &found), -ENOENT);
	assert_int_equal(found.n, 0);
	c.file = NULL;
	assert_int_equal(rddr_evidence_reopen(&c), 0);
	assert_int_equal(stat(path, &st), -1);
}

static void test_read(void **state)
{
	struct evidence_conf c = conf();
	struct found found = {0};
	char reference[16];
	FILE *garbage;

	(void)state;
	c.max_size = 600; /* a few records */
	assert_int_equal(rddr_evidence_open(&c), 0);
	assert_int_equal(rddr_evidence_read(NULL, 10, find, &found), 0);
	assert_int_equal(found.n, 0);
	for (int i = 0; i < 6; i++) {
		snprintf(reference, sizeof(reference), "ref-%d", i);
		assert_true(record(reference));
	}
	rddr_scribe_flush();
	/* What is no record is passed over. */
	garbage = fopen(path, "a");
	assert_non_null(garbage);
	fputs("garbage\n[1]\n{\"reference\":\"ref-5\"\n{\"note\":\"ref-5\"}\n\"ref-5\"\n{}{}\n{\"a\":1", garbage);
	fclose(garbage);

	assert_int_equal(rddr_evidence_read(NULL, 4, find, &found), 0);
	assert_int_equal(found.n, 4);
	assert_string_equal(found.lines[0], "{\"note\":\"ref-5\"}");
	for (int i = 1; i < 4; i++) {
		snprintf(reference, sizeof(reference), "\"ref-%d\"", 6 - i);
		assert_non_null(strstr(found.lines[i], reference));
	}
	forget(&found);
	assert_int_equal(rddr_evidence_read(NULL, 0, find, &found), 0);
	assert_int_equal(found.n, 0);
	assert_int_equal(rddr_evidence_read("ref-5", 0, find, &found), 0);
	assert_int_equal(found.n, 1);
	assert_non_null(strstr(found.lines[0], "\"service\":\"shop\""));
	forget(&found);
	assert_int_equal(rddr_evidence_read("ref-", 9, find, &found), -ENOENT);
	assert_int_equal(rddr_evidence_read("", 9, find, &found), -ENOENT);
	assert_int_equal(found.n, 0);
}

static void test_reopen(void **state)
{
	struct evidence_conf c = conf();
	char other[128];
	struct found found = {0};

	(void)state;
	open_evidence();
	assert_true(record("before"));
	assert_int_equal(rddr_evidence_reopen(&c), 0);
	assert_true(record("after"));
	json_object_put(find_one("before"));
	json_object_put(find_one("after"));

	/* A file that cannot be had leaves everything as it was. */
	snprintf(other, sizeof(other), "%s/no/folder", path);
	c.file = other;
	c.excerpt = 1;
	assert_int_equal(rddr_evidence_reopen(&c), -ENOTDIR);
	assert_int_equal(rddr_evidence_excerpt(), 64);
	assert_true(record("still"));
	json_object_put(find_one("still"));

	snprintf(other, sizeof(other), "%s/other.jsonl", folder);
	assert_int_equal(rddr_evidence_reopen(&c), 0);
	assert_true(record("elsewhere"));
	json_object_put(find_one("elsewhere"));
	assert_int_equal(rddr_evidence_read("before", 1, find, &found), -ENOENT);
	rddr_evidence_close();
	assert_false(record("closed"));
}

static unsigned occurrences(int fd, const char *what)
{
	char buf[65536] = "";
	unsigned n = 0;
	ssize_t len = pread(fd, buf, sizeof(buf) - 1, 0);

	assert_true(len >= 0);
	for (char *at = buf; (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* The scribe's thread takes no SIGXFSZ, so the file's limit shows as an error, as a full disk does. */
static void test_file_fails(void **state)
{
	uint64_t dropped = rddr_metrics_read(rddr_metrics_set(NULL), METRIC_evidence_dropped);
	int log = memfd_create("log", MFD_CLOEXEC), stderr_fd = dup(STDERR_FILENO);
	struct rlimit before, limit;

	(void)state;
	open_evidence();
	assert_true(record("first"));
	rddr_scribe_flush();
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 10;
	fflush(NULL);
	assert_true(dup2(log, STDERR_FILENO) >= 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int i = 0; i < 5; i++)
		record("lost");
	rddr_scribe_flush();
	setrlimit(RLIMIT_FSIZE, &before);
	record("last");
	rddr_scribe_flush();
	/* The log, in memory, had the limit upon it as well: what it could not write it says now. */
	log_info("test: end");
	rddr_scribe_flush();
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);

	assert_int_equal(rddr_metrics_read(rddr_metrics_set(NULL), METRIC_evidence_dropped) - dropped, 5);
	assert_int_equal(occurrences(log, "evidence: the file can be written again path="), 1);
	assert_int_equal(occurrences(log, "lost=5"), 1);
	close(log);
	json_object_put(find_one("first"));
	json_object_put(find_one("last"));
	struct found found = {0};
	assert_int_equal(rddr_evidence_read("lost", 1, find, &found), -ENOENT);
}

static void test_failure_said_once(void **state)
{
	int log = memfd_create("log", MFD_CLOEXEC), stderr_fd = dup(STDERR_FILENO);
	char aside[128];

	(void)state;
	open_evidence();
	snprintf(aside, sizeof(aside), "%s.aside", path);
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	fflush(NULL);
	assert_true(dup2(log, STDERR_FILENO) >= 0);
	for (int i = 0; i < 5; i++)
		record("lost");
	rddr_scribe_flush();
	rmdir(path);
	record("last");
	rddr_scribe_flush();
	/* What is said while records are written is queued behind them. */
	rddr_scribe_flush();
	dup2(stderr_fd, STDERR_FILENO);
	close(stderr_fd);
	assert_int_equal(occurrences(log, "error evidence: records are lost, the file cannot be written path="), 1);
	assert_int_equal(occurrences(log, "lost=5"), 1);
	close(log);
	json_object_put(find_one("last"));
}

static int compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

#define REFERENCES 50000
#define THREADS	   4

static char (*made)[EVIDENCE_REFERENCE];

static void *make_references(void *ctx)
{
	for (size_t i = (size_t)(uintptr_t)ctx; i < REFERENCES; i += THREADS)
		rddr_evidence_reference(made[i]);
	return NULL;
}

static void test_references(void **state)
{
	static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";
	pthread_t threads[THREADS];
	unsigned ascending = 0;

	(void)state;
	made = calloc(REFERENCES, sizeof(*made));
	assert_non_null(made);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, make_references, (void *)(uintptr_t)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < REFERENCES; i++) {
		assert_int_equal(strlen(made[i]), EVIDENCE_REFERENCE - 1);
		assert_int_equal(strspn(made[i], "0123456789"), 8);
		assert_int_equal(made[i][8], '-');
		assert_int_equal(strspn(made[i] + 9, alphabet), 10);
		ascending += i && strcmp(made[i - 1] + 9, made[i] + 9) < 0;
	}
	/* Consecutive ones stand in no order: about half of the steps go up. */
	assert_in_range(ascending, REFERENCES * 45 / 100, REFERENCES * 55 / 100);
	qsort(made, REFERENCES, sizeof(*made), compare);
	for (size_t i = 1; i < REFERENCES; i++)
		assert_string_not_equal(made[i - 1], made[i]);
	free(made);
}

static void test_reasons(void **state)
{
	(void)state;
	assert_string_equal(rddr_evidence_reason_name(RDDR_DENIED_DIVERGENCE), "divergence");
	assert_string_equal(rddr_evidence_reason_name(RDDR_DENIED_FAILED), "failed");
	assert_string_equal(rddr_evidence_reason_name(RDDR_DENIAL_REASONS), "unknown");
	for (int i = 0; i < RDDR_DENIAL_REASONS; i++)
		assert_true(*rddr_evidence_reason_name((enum rddr_denial_reason)i));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_record),
		TEST(test_hostile_texts),
		TEST(test_excerpt_bounded),
		TEST(test_nothing_kept),
		TEST(test_largest),
		TEST(test_read),
		TEST(test_reopen),
		TEST(test_file_fails),
		TEST(test_failure_said_once),
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests_name("evidence", tests, NULL, NULL);
}
