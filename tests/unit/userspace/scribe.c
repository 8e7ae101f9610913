// SPDX-License-Identifier: BSD-2-Clause
#include "scribe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#define THREADS 4
#define LINES	2000

/* What arrived at the writer, one text; each line with a newline behind it. Only the scribe's thread writes it. */
struct paper {
	char *text;
	size_t len;
	unsigned lines;
};

static void tear(struct paper *paper)
{
	free(paper->text);
	*paper = (struct paper){0};
}

static void write_paper(void *ctx, const char *line, size_t len)
{
	struct paper *paper = ctx;

	paper->text = realloc(paper->text, paper->len + len + 2);
	assert_non_null(paper->text);
	memcpy(paper->text + paper->len, line, len);
	paper->len += len;
	paper->text[paper->len++] = '\n';
	paper->text[paper->len] = '\0';
	paper->lines++;
}

/* A writer that stops at a gate until the test opens it. */
struct gate {
	sem_t reached, open;
	struct paper paper;
	bool closed;
};

static void write_gate(void *ctx, const char *line, size_t len)
{
	struct gate *gate = ctx;

	if (gate->closed) {
		gate->closed = false;
		sem_post(&gate->reached);
		sem_wait(&gate->open);
	}
	write_paper(&gate->paper, line, len);
}

static void close_gate(struct gate *gate)
{
	*gate = (struct gate){.closed = true};
	assert_int_equal(sem_init(&gate->reached, 0, 0), 0);
	assert_int_equal(sem_init(&gate->open, 0, 0), 0);
}

static void tear_gate(struct gate *gate)
{
	sem_destroy(&gate->reached);
	sem_destroy(&gate->open);
	tear(&gate->paper);
}

static int stop(void **state)
{
	(void)state;
	rddr_scribe_stop();
	return 0;
}

static void test_without_thread(void **state)
{
	struct paper paper = {0};

	(void)state;
	assert_false(rddr_scribe_running());
	assert_false(rddr_scribe_has_room());
	assert_false(rddr_scribe_put(write_paper, &paper, "a", 1));
	rddr_scribe_flush();
	rddr_scribe_stop();
	assert_null(paper.text);
}

static void test_start_bounds(void **state)
{
	struct paper paper = {0};

	(void)state;
	assert_int_equal(rddr_scribe_start(SIZE_MAX), -EINVAL);
	assert_false(rddr_scribe_running());
	for (int round = 0; round < 3; round++) {
		assert_int_equal(rddr_scribe_start(0), 0);
		assert_int_equal(rddr_scribe_start(0), -EALREADY);
		assert_true(rddr_scribe_put(write_paper, &paper, "again", 5));
		rddr_scribe_stop();
		rddr_scribe_stop();
		assert_false(rddr_scribe_put(write_paper, &paper, "late", 4));
	}
	assert_string_equal(paper.text, "again\nagain\nagain\n");
	tear(&paper);
}

/* Lines of every length around the ring's end come out whole and in order. */
static void test_wraps(void **state)
{
	char line[3000], *at;
	struct paper paper = {0};
	size_t sum = 0;

	(void)state;
	assert_int_equal(rddr_scribe_start(4096), 0);
	for (size_t n = 0; n < sizeof(line); n += 7) {
		memset(line, 'a' + (int)(n % 26), n);
		assert_true(rddr_scribe_put(write_paper, &paper, line, n));
		rddr_scribe_flush();
		sum += n + 1;
		assert_int_equal(paper.len, sum);
	}
	rddr_scribe_stop();
	at = paper.text;
	for (size_t n = 0; n < sizeof(line); n += 7) {
		memset(line, 'a' + (int)(n % 26), n);
		assert_memory_equal(at, line, n);
		assert_int_equal(at[n], '\n');
		at += n + 1;
	}
	tear(&paper);
}

static void test_too_long(void **state)
{
	struct paper paper = {0};
	char *line = calloc(1, 5000);

	(void)state;
	assert_non_null(line);
	assert_int_equal(rddr_scribe_start(4096), 0);
	assert_false(rddr_scribe_put(write_paper, &paper, line, 4097));
	assert_false(rddr_scribe_put(write_paper, &paper, line, SIZE_MAX));
	assert_true(rddr_scribe_put(write_paper, &paper, line, 4000));
	rddr_scribe_flush();
	assert_int_equal(paper.len, 4001);
	rddr_scribe_stop();
	tear(&paper);
	free(line);
}

/* A writer that hangs lets the queue fill; nobody who queues is held up, and nothing that was accepted is lost. */
static void test_writer_hangs(void **state)
{
	struct gate gate;
	unsigned accepted = 1, refused = 0;
	char line[64];

	(void)state;
	close_gate(&gate);
	assert_int_equal(rddr_scribe_start(8192), 0);
	assert_true(rddr_scribe_has_room());
	assert_true(rddr_scribe_put(write_gate, &gate, "first", 5));
	sem_wait(&gate.reached);
	for (unsigned i = 0; i < 1000; i++) {
		int n = snprintf(line, sizeof(line), "line %u", i);

		if (rddr_scribe_put(write_gate, &gate, line, (size_t)n))
			accepted++;
		else
			refused++;
	}
	assert_true(accepted > 8192 / 96);
	assert_true(refused > 0);
	assert_true(rddr_scribe_running());
	assert_false(rddr_scribe_has_room());
	sem_post(&gate.open);
	rddr_scribe_flush();
	assert_true(rddr_scribe_has_room());
	assert_int_equal(gate.paper.lines, accepted);
	assert_memory_equal(gate.paper.text, "first\nline 0\nline 1\n", 20);
	rddr_scribe_stop();
	tear_gate(&gate);
}

static void test_stop_drains(void **state)
{
	struct gate gate;

	(void)state;
	close_gate(&gate);
	assert_int_equal(rddr_scribe_start(1 << 16), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_true(rddr_scribe_put(write_gate, &gate, "x", 1));
	sem_wait(&gate.reached);
	sem_post(&gate.open);
	rddr_scribe_stop();
	assert_int_equal(gate.paper.lines, 100);
	tear_gate(&gate);
}

struct producer {
	pthread_t thread;
	unsigned number;
	struct paper *paper;
};

/* Lengths that meet the ring's end in every way. */
static int make_line(char line[200], unsigned number, unsigned i)
{
	int n = snprintf(line, 200, "%u %u ", number, i);

	memset(line + n, 'a' + (int)(i % 26), i % 97);
	line[n + (int)(i % 97)] = '\0';
	return n + (int)(i % 97);
}

static void *produce(void *ctx)
{
	struct producer *p = ctx;
	char line[200];

	for (unsigned i = 0; i < LINES; i++) {
		int n = make_line(line, p->number, i);

		while (!rddr_scribe_put(write_paper, p->paper, line, (size_t)n))
			rddr_scribe_flush();
	}
	return NULL;
}

static void test_many_threads(void **state)
{
	struct producer producers[THREADS];
	unsigned next[THREADS] = {0};
	struct paper paper = {0};
	char *at;

	(void)state;
	assert_int_equal(rddr_scribe_start(16384), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		producers[i] = (struct producer){.number = i, .paper = &paper};
		assert_int_equal(pthread_create(&producers[i].thread, NULL, produce, &producers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(producers[i].thread, NULL);
	rddr_scribe_stop();
	assert_int_equal(paper.lines, THREADS * LINES);
	for (at = paper.text; *at; at = strchr(at, '\n') + 1) {
		unsigned long who = strtoul(at, NULL, 10);
		char line[200];
		int n;

		assert_true(who < THREADS);
		n = make_line(line, (unsigned)who, next[who]++);
		assert_memory_equal(at, line, n);
		assert_int_equal(at[n], '\n');
	}
	tear(&paper);
}

static void write_echo(void *ctx, const char *line, size_t len)
{
	struct paper *paper = ctx;

	write_paper(paper, line, len);
	rddr_scribe_flush(); /* would wait for itself */
	if (line[0] > 'a') {
		char next = (char)(line[0] - 1);

		assert_true(rddr_scribe_put(write_echo, paper, &next, 1));
	}
}

static void test_writer_queues(void **state)
{
	struct paper paper = {0};

	(void)state;
	assert_int_equal(rddr_scribe_start(4096), 0);
	assert_true(rddr_scribe_put(write_echo, &paper, "e", 1));
	rddr_scribe_stop();
	assert_string_equal(paper.text, "e\nd\nc\nb\na\n");
	tear(&paper);
}

struct pipe_end {
	int fd;
	int error;
	sigset_t mask;
};

static void write_pipe(void *ctx, const char *line, size_t len)
{
	struct pipe_end *end = ctx;

	pthread_sigmask(SIG_SETMASK, NULL, &end->mask);
	end->error = write(end->fd, line, len) < 0 ? errno : 0;
}

static void test_signals(void **state)
{
	static const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ, SIGUSR1, SIGCHLD};
	struct pipe_end end = {0};
	sigset_t mine;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	close(fds[0]);
	end.fd = fds[1];
	assert_int_equal(rddr_scribe_start(4096), 0);
	assert_true(rddr_scribe_put(write_pipe, &end, "x", 1));
	rddr_scribe_flush();
	assert_int_equal(end.error, EPIPE);
	for (size_t i = 0; i < sizeof(blocked) / sizeof(blocked[0]); i++)
		assert_int_equal(sigismember(&end.mask, blocked[i]), 1);
	rddr_scribe_stop();
	pthread_sigmask(SIG_SETMASK, NULL, &mine);
	assert_int_equal(sigismember(&mine, SIGTERM), 0);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_thread),
		cmocka_unit_test_teardown(test_start_bounds, stop),
		cmocka_unit_test_teardown(test_wraps, stop),
		cmocka_unit_test_teardown(test_too_long, stop),
		cmocka_unit_test_teardown(test_writer_hangs, stop),
		cmocka_unit_test_teardown(test_stop_drains, stop),
		cmocka_unit_test_teardown(test_many_threads, stop),
		cmocka_unit_test_teardown(test_writer_queues, stop),
		cmocka_unit_test_teardown(test_signals, stop),
	};

	return cmocka_run_group_tests_name("scribe", tests, NULL, NULL);
}
