// SPDX-License-Identifier: BSD-2-Clause
#include "log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scribe.h"

#define PREFIX_INFO strlen("2026-11-22T10:00:00.123Z info ")

static int real_stderr = -1;
static const char *program;

static int replace_stderr(int fd)
{
	fflush(stderr);
	real_stderr = dup(STDERR_FILENO);
	return real_stderr < 0 || dup2(fd, STDERR_FILENO) < 0 ? -1 : 0;
}

static int restore(void **state)
{
	(void)state;
	rddr_scribe_stop();
	rddr_log_set_level(LOG_LEVEL_INFO);
	if (real_stderr >= 0) {
		dup2(real_stderr, STDERR_FILENO);
		close(real_stderr);
		real_stderr = -1;
	}
	return 0;
}

/* Lines go to a file in memory from here on. */
static int capture(void)
{
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(replace_stderr(fd), 0);
	return fd;
}

/* Everything that was written since the last call; the caller frees it. */
static char *captured(int fd)
{
	off_t len = lseek(fd, 0, SEEK_CUR);
	char *text = calloc(1, (size_t)len + 1);

	assert_non_null(text);
	assert_int_equal(pread(fd, text, (size_t)len, 0), len);
	assert_int_equal(ftruncate(fd, 0), 0);
	lseek(fd, 0, SEEK_SET);
	return text;
}

static void test_levels(void **state)
{
	static const struct {
		const char *text;
		int err;
		enum log_level level;
	} cases[] = {
		{"error", 0, LOG_LEVEL_ERROR},
		{"warning", 0, LOG_LEVEL_WARNING},
		{"info", 0, LOG_LEVEL_INFO},
		{"debug", 0, LOG_LEVEL_DEBUG},
		{"DEBUG", 0, LOG_LEVEL_DEBUG},
		{"Warning", 0, LOG_LEVEL_WARNING},
		{"WARN", 0, LOG_LEVEL_WARNING},
		{"CRITICAL", 0, LOG_LEVEL_ERROR},
		{"", -EINVAL, 0},
		{"verbose", -EINVAL, 0},
		{"debug ", -EINVAL, 0},
		{NULL, -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum log_level level = LOG_LEVELS;

		assert_int_equal(rddr_log_level_parse(cases[i].text, &level), cases[i].err);
		assert_int_equal(level, cases[i].err ? LOG_LEVELS : cases[i].level);
	}
	for (int i = 0; i < LOG_LEVELS; i++) {
		enum log_level level;

		assert_int_equal(rddr_log_level_parse(rddr_log_level_name((enum log_level)i), &level), 0);
		assert_int_equal(level, i);
	}
	assert_string_equal(rddr_log_level_name(LOG_LEVELS), "unknown");
}

static void test_threshold(void **state)
{
	int fd = capture();
	char *text;

	(void)state;
	assert_true(rddr_log_enabled(LOG_LEVEL_INFO));
	assert_false(rddr_log_enabled(LOG_LEVEL_DEBUG));
	log_debug("a: not this");
	log_info("a: this");
	rddr_log_set_level(LOG_LEVEL_ERROR);
	log_warning("a: nor this");
	log_error("a: and this");
	rddr_log_set_level(LOG_LEVEL_DEBUG);
	log_debug("a: now this");
	text = captured(fd);
	assert_null(strstr(text, "not this"));
	assert_null(strstr(text, "nor this"));
	assert_non_null(strstr(text, "Z info a: this\n"));
	assert_non_null(strstr(text, "Z error a: and this\n"));
	assert_non_null(strstr(text, "Z debug a: now this\n"));
	free(text);
	close(fd);
}

static void test_injection(void **state)
{
	int fd = capture();
	char *text;

	(void)state;
	log_info("a: name=%s", "evil\n2026-11-22T10:00:00.123Z error a: forged\x1b[2J\xff");
	text = captured(fd);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	assert_string_equal(text + PREFIX_INFO,
			    "a: name=evil\\x0a2026-11-22T10:00:00.123Z error a: forged\\x1b[2J\\xff\n");
	free(text);
	close(fd);
}

/* Whatever is written, and wherever escapes and characters fall, a line is at most 1 KiB, and is cut visibly. */
static void test_bounded(void **state)
{
	static const char *const units[] = {"x", "\n", "\xe2\x82\xac", "a\xc3\xa9"};
	int fd = capture();
	char message[3000];

	(void)state;
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		for (size_t n = 900; n < 1100; n++) {
			size_t len, unit = strlen(units[u]);
			bool cut;
			char *text;

			for (len = 0; len + unit <= n; len += unit)
				memcpy(message + len, units[u], unit);
			message[len] = '\0';
			log_info("%s", message);
			text = captured(fd);
			cut = strlen(text) >= 4 && !strcmp(text + strlen(text) - 4, "...\n");
			assert_true(strlen(text) <= 1024);
			assert_int_equal(text[strlen(text) - 1], '\n');
			if (units[u][0] == 'x')
				assert_int_equal(cut, PREFIX_INFO + len + sizeof("...") > 1024);
			if (units[u][0] == '\n')
				assert_true(cut);
			free(text);
		}
	}
	close(fd);
}

static void test_err_r(void **state)
{
	char message[2000];
	int fd = capture();
	char *text;

	(void)state;
	errno = EAGAIN;
	assert_int_equal(err_r(-ENOENT, "file: cannot open path=%s", "/x"), -ENOENT);
	assert_int_equal(err_r(ENOENT, "file: again"), -ENOENT);
	assert_int_equal(err_r(-123456, "file: odd"), -123456);
	assert_int_equal(errno, EAGAIN);
	text = captured(fd);
	assert_non_null(strstr(text, " error file: cannot open path=/x: No such file or directory\n"));
	assert_non_null(strstr(text, " error file: again: No such file or directory\n"));
	assert_non_null(strstr(text, " error file: odd: error 123456\n"));
	free(text);

	/* The reason is said however long the message is. */
	memset(message, 'm', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	assert_int_equal(err_r(-EACCES, "%s", message), -EACCES);
	text = captured(fd);
	assert_non_null(strstr(text, "mmm...: Permission denied\n"));
	assert_true(strlen(text) <= 1024);
	free(text);
	close(fd);
}

static void test_errno_kept(void **state)
{
	int fd = capture();

	(void)state;
	close(STDERR_FILENO);
	errno = EXDEV;
	log_info("a: into the void");
	assert_int_equal(errno, EXDEV);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
}

/* In a child, because the journal is looked for once: what a line looks like when JOURNAL_STREAM says this. */
static char *child_line(const char *format)
{
	int fd = memfd_create("journal", MFD_CLOEXEC), status;
	char stream[80], *text;
	struct stat st;
	pid_t pid;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		snprintf(stream, sizeof(stream), format, (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
		dup2(fd, STDERR_FILENO);
		setenv("JOURNAL_STREAM", stream, 1);
		execl(program, program, "--one-line", NULL);
		_exit(99);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	text = captured(fd);
	close(fd);
	return text;
}

static void test_journal(void **state)
{
	static const char *const others[] = {
		"%llu:%llu0", "%llu:%llu ", "1%llu:%llu", "%llu %llu", ":%llu%llu", "%llu:", ""};
	char *text = child_line("%llu:%llu");

	(void)state;
	assert_string_equal(text, "<3>a: e\n<4>a: w\n<6>a: i\n<7>a: d\n");
	free(text);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		text = child_line(others[i]);
		assert_non_null(strstr(text, "Z error a: e\n"));
		free(text);
	}
}

static void test_through_scribe(void **state)
{
	int fd = capture();
	char *text, *at;

	(void)state;
	assert_int_equal(rddr_scribe_start(1 << 20), 0);
	for (int i = 0; i < 500; i++)
		log_info("a: line %d", i);
	rddr_scribe_stop();
	log_info("a: and behind it");
	text = at = captured(fd);
	for (int i = 0; i < 500; i++) {
		char expected[32];

		snprintf(expected, sizeof(expected), "a: line %d\n", i);
		assert_memory_equal(at + PREFIX_INFO, expected, strlen(expected));
		at = strchr(at, '\n') + 1;
	}
	assert_string_equal(at + PREFIX_INFO, "a: and behind it\n");
	free(text);
	close(fd);
}

/* Lines that were read and the counts of those that were not, as the log reports them. */
static unsigned long tally(char *text)
{
	unsigned long sum = 0;

	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *dropped = strstr(line, "log: lines were dropped count=");

		sum += dropped ? strtoul(strchr(dropped, '=') + 1, NULL, 10) : 1;
	}
	return sum;
}

/* A reader of stderr that stops holds nobody up, and no line is lost that is not counted. */
static void test_stalled_reader(void **state)
{
	char *text = calloc(1, 1 << 20);
	size_t len = 0;
	unsigned long total = 3000;
	int fds[2];
	ssize_t n;

	(void)state;
	assert_non_null(text);
	assert_int_equal(pipe(fds), 0);
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) >= 4096);
	assert_int_equal(replace_stderr(fds[1]), 0);
	close(fds[1]);
	assert_int_equal(rddr_scribe_start(16384), 0);
	for (unsigned long i = 0; i < total; i++)
		log_info("a: line %lu that nobody reads", i);
	rddr_scribe_flush();

	/* The reader is back: the next lines come through, and with them the count. */
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	for (int round = 0; round < 3; round++) {
		while ((n = read(fds[0], text + len, (1 << 20) - 1 - len)) > 0)
			len += (size_t)n;
		assert_true(n < 0 && errno == EAGAIN);
		log_info("a: the reader is back");
		total++;
		rddr_scribe_flush();
	}
	rddr_scribe_stop();
	restore(NULL); /* the last writer of the pipe */
	while ((n = read(fds[0], text + len, (1 << 20) - 1 - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	assert_non_null(strstr(text, "warning log: lines were dropped count="));
	assert_int_equal(tally(text), total);
	free(text);
	close(fds[0]);
}

static void test_reader_gone(void **state)
{
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	assert_int_equal(replace_stderr(fds[1]), 0);
	close(fds[1]);
	assert_int_equal(rddr_scribe_start(4096), 0);
	for (int i = 0; i < 100; i++)
		log_info("a: line %d", i);
	rddr_scribe_flush();
	rddr_scribe_stop();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test_teardown(test_threshold, restore),
		cmocka_unit_test_teardown(test_injection, restore),
		cmocka_unit_test_teardown(test_bounded, restore),
		cmocka_unit_test_teardown(test_err_r, restore),
		cmocka_unit_test_teardown(test_errno_kept, restore),
		cmocka_unit_test_teardown(test_journal, restore),
		cmocka_unit_test_teardown(test_through_scribe, restore),
		cmocka_unit_test_teardown(test_stalled_reader, restore),
		cmocka_unit_test_teardown(test_reader_gone, restore),
	};

	program = argv[0];
	if (argc == 2 && !strcmp(argv[1], "--one-line")) {
		rddr_log_set_level(LOG_LEVEL_DEBUG);
		log_error("a: e");
		log_warning("a: w");
		log_info("a: i");
		log_debug("a: d");
		return 0;
	}
	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
