// SPDX-License-Identifier: BSD-2-Clause
#include "evidence_file.h"

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
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "evidence_folder.h"

static struct evidence_file *file;

static int teardown(void **state)
{
	rddr_evidence_file_close(&file);
	return remove_folder(state);
}

static const char *numbered(unsigned i)
{
	static char name[sizeof(path) + 16];

	if (i)
		snprintf(name, sizeof(name), "%s.%u", path, i);
	else
		snprintf(name, sizeof(name), "%s", path);
	return name;
}

static off_t size_of(unsigned i)
{
	struct stat st;

	return stat(numbered(i), &st) ? -1 : st.st_size;
}

static void open_file(uint64_t max_size, uint32_t keep)
{
	assert_int_equal(rddr_evidence_file_open(path, &file), 0);
	rddr_evidence_file_limit(file, max_size, keep);
}

static int append(const char *line)
{
	return rddr_evidence_file_append(file, line, strlen(line));
}

/* What a reading handed out, "line,line,". */
struct catch
{
	char text[4096];
	unsigned n, stop_at;
	size_t longest;
};

static bool take(void *ctx, const char *line, size_t len)
{
	struct catch *catch = ctx;
	size_t at = strlen(catch->text);

	assert_int_equal(strlen(line), len);
	if (len < 64 && at + len + 2 < sizeof(catch->text))
		snprintf(catch->text + at, sizeof(catch->text) - at, "%s,", line);
	if (len > catch->longest)
		catch->longest = len;
	return ++catch->n != catch->stop_at;
}

static struct catch read_all(unsigned stop_at)
{
	struct catch catch = {.stop_at = stop_at};

	assert_int_equal(rddr_evidence_file_read(file, take, &catch), 0);
	return catch;
}

static void put_file(const char *name, const char *text, size_t len)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, len), len);
	close(fd);
}

static void test_makes_what_is_missing(void **state)
{
	mode_t before = umask(0077);
	struct stat st;

	(void)state;
	open_file(1000, 2);
	umask(before);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(append("a"), 0);
	assert_int_equal(append("b"), 0);
	assert_int_equal(size_of(0), 4);
	assert_string_equal(read_all(0).text, "b,a,");
}

static void test_refused(void **state)
{
	char other[128];

	(void)state;
	open_file(1000, 0);
	snprintf(other, sizeof(other), "%s/link", folder);
	assert_int_equal(symlink(path, other), 0);
	struct evidence_file *none = NULL;
	assert_int_equal(rddr_evidence_file_open(other, &none), -ELOOP);
	snprintf(other, sizeof(other), "%s/fifo", folder);
	assert_int_equal(mkfifo(other, 0600), 0);
	assert_int_equal(rddr_evidence_file_open(other, &none), -ENOTSUP);
	assert_int_equal(rddr_evidence_file_open(folder, &none), -EISDIR);
	snprintf(other, sizeof(other), "%s/below/it", path);
	assert_int_equal(rddr_evidence_file_open(other, &none), -ENOTDIR);
	assert_null(none);
}

static void test_rotates(void **state)
{
	char line[16];

	(void)state;
	open_file(12, 3); /* three lines of four bytes */
	for (int i = 10; i < 31; i++) {
		snprintf(line, sizeof(line), "n%d", i);
		assert_int_equal(append(line), 0);
		assert_true(size_of(0) <= 12);
	}
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(size_of(i), 12);
	assert_int_equal(size_of(4), -1);
	assert_string_equal(read_all(0).text, "n30,n29,n28,n27,n26,n25,n24,n23,n22,n21,n20,n19,");
	assert_string_equal(read_all(5).text, "n30,n29,n28,n27,n26,");
	assert_int_equal(append("n31"), 0);
	assert_int_equal(size_of(0), 4);
	assert_string_equal(read_all(0).text, "n31,n30,n29,n28,n27,n26,n25,n24,n23,n22,");
}

static void test_keeps_fewer(void **state)
{
	(void)state;
	open_file(4, 4);
	for (int i = 0; i < 6; i++)
		assert_int_equal(append("abc"), 0);
	assert_int_equal(size_of(4), 4);
	rddr_evidence_file_limit(file, 4, 2);
	assert_int_equal(append("def"), 0);
	assert_int_equal(size_of(2), 4);
	assert_int_equal(size_of(3), -1);
	assert_int_equal(size_of(4), -1);
	rddr_evidence_file_limit(file, 4, 0);
	assert_int_equal(append("ghi"), 0);
	assert_int_equal(size_of(1), -1);
	assert_string_equal(read_all(0).text, "ghi,");
}

/* A rotation that was cut off leaves a gap; the next one fills it and loses nothing. */
static void test_gap(void **state)
{
	(void)state;
	open_file(4, 4);
	for (char name[] = "a00"; name[0] < 'e'; name[0]++)
		assert_int_equal(append(name), 0);
	assert_int_equal(unlink(numbered(3)), 0);
	put_file(numbered(4), "old\n", 4);
	assert_string_equal(read_all(0).text, "d00,c00,b00,old,");
	assert_int_equal(append("e00"), 0);
	assert_string_equal(read_all(0).text, "e00,d00,c00,b00,old,");
}

static void test_longer_than_the_limit(void **state)
{
	char *line = malloc(EVIDENCE_LINE_MAX + 1);

	(void)state;
	assert_non_null(line);
	memset(line, 'x', EVIDENCE_LINE_MAX);
	open_file(10, 2);
	assert_int_equal(append("a"), 0);
	assert_int_equal(append("longer than ten bytes"), 0);
	assert_int_equal(append("b"), 0);
	assert_string_equal(read_all(0).text, "b,longer than ten bytes,a,");

	rddr_evidence_file_limit(file, UINT64_MAX, 2);
	assert_int_equal(rddr_evidence_file_append(file, line, EVIDENCE_LINE_MAX), -EMSGSIZE);
	assert_int_equal(rddr_evidence_file_append(file, line, EVIDENCE_LINE_MAX - 1), 0);
	assert_int_equal(append("c"), 0);
	assert_int_equal(read_all(2).longest, EVIDENCE_LINE_MAX - 1);
	assert_int_equal(read_all(0).n, 5);
	free(line);
}

/* Whatever is in the file, wherever its lines fall in the reader's chunks. */
static void test_reads_anything(void **state)
{
	size_t huge = 3 * (size_t)EVIDENCE_LINE_MAX;
	char *text = malloc(huge + 64);
	struct catch catch;

	(void)state;
	assert_non_null(text);
	open_file(UINT64_MAX, 0);
	put_file(path, "", 0);
	assert_int_equal(read_all(0).n, 0);
	put_file(path, "\n\n\n", 3);
	assert_int_equal(read_all(0).n, 0);
	put_file(path, "one", 3);
	assert_string_equal(read_all(0).text, "one,");
	put_file(path, "\none\n\n\ntwo\n", 11);
	assert_string_equal(read_all(0).text, "two,one,");

	/* A line that is too long is passed over, its neighbours are not. */
	memset(text, 'x', huge + 64);
	snprintf(text, 64, "first\n");
	text[strlen(text)] = 'x';
	snprintf(text + huge, 64, "\nlast\n");
	put_file(path, text, huge + 6);
	catch = read_all(0);
	assert_string_equal(catch.text, "last,first,");
	assert_int_equal(catch.n, 2);

	for (size_t shift = 0; shift < 4; shift++) {
		size_t len = 64 * 1024 + 2 - shift;

		memset(text, 'y', len);
		text[0] = 'a';
		text[1] = '\n';
		text[len - 1] = '\n';
		put_file(path, text, len);
		catch = read_all(0);
		assert_int_equal(catch.n, 2);
		assert_int_equal(catch.longest, len - 3);
		assert_string_equal(catch.text, "a,");
	}
	free(text);
}

/* An unfinished line of a process that died does not swallow the next one. */
static void test_torn_line(void **state)
{
	(void)state;
	open_file(1000, 0);
	rddr_evidence_file_close(&file);
	put_file(path, "whole\ntor", 9);
	open_file(1000, 0);
	assert_int_equal(append("next"), 0);
	assert_string_equal(read_all(0).text, "next,tor,whole,");
}

static void test_moved_or_removed(void **state)
{
	(void)state;
	open_file(1000, 0);
	assert_int_equal(append("a"), 0);
	assert_int_equal(rename(path, numbered(7)), 0);
	assert_int_equal(append("b"), 0);
	assert_int_equal(size_of(0), 2);
	snprintf(path, sizeof(path), "%s/log/evidence.jsonl", folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(append("c"), 0);
	assert_string_equal(read_all(0).text, "c,");
}

static void test_disk_full(void **state)
{
	struct rlimit before, limit;
	sigset_t mask, old;

	(void)state;
	open_file(1000, 0);
	assert_int_equal(append("0123456"), 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGXFSZ);
	sigprocmask(SIG_BLOCK, &mask, &old);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = 12;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	int partly = append("abcdefgh");
	int again = append("abcdefgh");
	int fits = append("abc");
	int full = append("z");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	/* The signal is pending; it is taken before it could be delivered. */
	assert_int_equal(sigtimedwait(&mask, NULL, &(struct timespec){0}), SIGXFSZ);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_int_equal(partly, -ENOSPC);
	assert_int_equal(again, -ENOSPC);
	assert_int_equal(fits, 0);
	assert_int_equal(full, -EFBIG);
	assert_int_equal(append("there is room again"), 0);
	assert_string_equal(read_all(0).text, "there is room again,abc,0123456,");
}

/* Rotation that somebody else is in the middle of does not stop the writing, and what hangs in it does not let the file
 * grow for ever. */
static void test_rotation_is_locked(void **state)
{
	int fd, refused = 0;

	(void)state;
	open_file(8, 1);
	assert_int_equal(append("abc"), 0);
	assert_int_equal(append("def"), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	for (int i = 0; i < 10; i++)
		refused += append("ghi") != 0;
	assert_true(refused > 0 && refused < 10);
	assert_in_range(size_of(0), 12, 20);
	close(fd);
	assert_int_equal(append("jkl"), 0);
	assert_int_equal(size_of(0), 4);
}

/* A rotation of the other process that takes long is the one reason not to write; then it is tried again. */
static int append_patiently(struct evidence_file *to, const char *line)
{
	int err;

	while ((err = rddr_evidence_file_append(to, line, strlen(line))) == -EWOULDBLOCK)
		sched_yield();
	return err;
}

/* Two daemons that share a file during a takeover lose no line and tear none, while both rotate. */
static void test_two_processes(void **state)
{
	struct catch catch;
	unsigned counts[2] = {0};
	char line[32], *at;
	int status, failed = 0;
	pid_t pid;

	(void)state;
	open_file(64, 1000);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct evidence_file *other = NULL;

		if (rddr_evidence_file_open(path, &other))
			_exit(1);
		rddr_evidence_file_limit(other, 64, 1000);
		for (int i = 0; i < 150; i++) {
			snprintf(line, sizeof(line), "1 %d", i);
			if (append_patiently(other, line))
				_exit(2);
		}
		_exit(0);
	}
	for (int i = 0; i < 150; i++) {
		snprintf(line, sizeof(line), "0 %d", i);
		failed += append_patiently(file, line) != 0;
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(failed, 0);
	catch = read_all(0);
	assert_int_equal(catch.n, 300);
	for (at = strtok(catch.text, ","); at; at = strtok(NULL, ",")) {
		assert_true(at[0] == '0' || at[0] == '1');
		assert_int_equal(at[1], ' ');
		counts[at[0] - '0']++;
	}
	assert_int_equal(counts[0], 150);
	assert_int_equal(counts[1], 150);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_makes_what_is_missing),
		TEST(test_refused),
		TEST(test_rotates),
		TEST(test_keeps_fewer),
		TEST(test_gap),
		TEST(test_longer_than_the_limit),
		TEST(test_reads_anything),
		TEST(test_torn_line),
		TEST(test_moved_or_removed),
		TEST(test_disk_full),
		TEST(test_rotation_is_locked),
		TEST(test_two_processes),
	};

	return cmocka_run_group_tests_name("evidence_file", tests, NULL, NULL);
}
