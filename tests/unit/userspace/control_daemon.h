/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control_daemon.h - for the tests of the control socket: a daemon's side, on a loop and a thread of its own, in a
 * folder of its own; and a client's side by hand.
 */
#ifndef RDDR_TEST_CONTROL_DAEMON_H
#define RDDR_TEST_CONTROL_DAEMON_H

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
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "loop.h"

#define PATIENCE 60000 /* ms; for what has to happen */
#define CLIENTS	 64

/* The daemon's side: a loop on a thread of its own, and what its commands keep. */
static struct {
	char folder[32], path[64];
	struct loop *loop;
	struct control *control;
	pthread_t thread;
	bool runs;
	struct reply *kept[80];
	unsigned n_kept;
	sem_t keeping;
	int pipe[2];
} it;

static inline void say_echo(void *ctx, struct reply *reply, json_object *request)
{
	json_object *text = NULL;

	assert_ptr_equal(ctx, &it);
	json_object_object_get_ex(request, "text", &text);
	rddr_control_answer(reply, json_object_get(text));
}

static inline void say_big(void *ctx, struct reply *reply, json_object *request)
{
	size_t len = 4 << 20;
	char *text = malloc(len);

	(void)ctx;
	(void)request;
	memset(text, 'b', len);
	rddr_control_answer(reply, json_object_new_string_len(text, (int)len));
	free(text);
}

static inline void say_no(void *ctx, struct reply *reply, json_object *request)
{
	(void)ctx;
	(void)request;
	rddr_control_refuse(reply, "not %s\n\xff", "today");
}

static inline void say_later(void *ctx, struct reply *reply, json_object *request)
{
	(void)ctx;
	(void)request;
	it.kept[it.n_kept++] = reply;
	sem_post(&it.keeping);
}

static inline void say_pipe(void *ctx, struct reply *reply, json_object *request)
{
	json_object *count;
	int fds[CONTROL_FDS + 1];
	size_t n;

	(void)ctx;
	json_object_object_get_ex(request, "count", &count);
	n = (size_t)json_object_get_int(count);
	assert_true(n <= CONTROL_FDS + 1);
	for (size_t i = 0; i < n; i++)
		fds[i] = it.pipe[1];
	rddr_control_answer_fds(reply, json_object_new_int((int)n), fds, n);
}

static const struct control_command commands[] = {
	{"echo", say_echo}, {"big", say_big}, {"no", say_no}, {"later", say_later}, {"pipe", say_pipe},
};

static inline void *run(void *unused)
{
	(void)unused;
	rddr_loop_run(it.loop);
	return NULL;
}

static inline void start_thread(void)
{
	assert_int_equal(pthread_create(&it.thread, NULL, run, NULL), 0);
	it.runs = true;
}

static inline void stop_thread(void)
{
	if (!it.runs)
		return;
	rddr_loop_stop(it.loop);
	pthread_join(it.thread, NULL);
	it.runs = false;
}

static inline int make(struct control **out)
{
	return rddr_control_new(it.loop, it.path, commands, sizeof(commands) / sizeof(commands[0]), &it, out);
}

static inline int setup(void **state)
{
	(void)state;
	memset(&it, 0, sizeof(it));
	it.pipe[0] = it.pipe[1] = -1;
	snprintf(it.folder, sizeof(it.folder), "/tmp/rddr-control-XXXXXX");
	if (!mkdtemp(it.folder) || sem_init(&it.keeping, 0, 0) || rddr_loop_new(&it.loop))
		return -1;
	snprintf(it.path, sizeof(it.path), "%s/run/control.sock", it.folder);
	return 0;
}

static inline int setup_running(void **state)
{
	if (setup(state) || make(&it.control))
		return -1;
	start_thread();
	return 0;
}

static inline int teardown(void **state)
{
	char run_folder[64];

	(void)state;
	stop_thread();
	rddr_control_free(&it.control);
	for (unsigned i = 0; i < it.n_kept; i++)
		rddr_control_answer(it.kept[i], NULL);
	rddr_loop_free(&it.loop);
	sem_destroy(&it.keeping);
	for (int i = 0; i < 2; i++)
		if (it.pipe[i] >= 0)
			close(it.pipe[i]);
	unlink(it.path);
	snprintf(run_folder, sizeof(run_folder), "%s/run", it.folder);
	rmdir(run_folder);
	return rmdir(it.folder);
}

/* ---- a client by hand ---- */

static inline int dial(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", it.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static inline void say(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Reads up to the newline, which is cut off; NULL at the end. Lives until the next call. */
static const char *hear(int fd)
{
	static char line[4096];
	size_t len = 0;

	for (;;) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};

		assert_int_equal(poll(&pfd, 1, PATIENCE), 1);
		assert_true(len < sizeof(line) - 1);
		if (recv(fd, line + len, 1, 0) != 1)
			return NULL;
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	return line;
}

static inline void assert_hears(int fd, const char *expected)
{
	const char *line = hear(fd);

	assert_non_null(line);
	assert_string_equal(line, expected);
}

static inline int ask(const char *request, json_object **answer)
{
	json_object *object = json_tokener_parse(request);
	int err;

	assert_non_null(object);
	err = rddr_control_ask(it.path, object, PATIENCE, answer, NULL, NULL);
	json_object_put(object);
	return err;
}

static inline void assert_echoes(void)
{
	json_object *answer = NULL;

	assert_int_equal(ask("{\"command\":\"echo\",\"text\":\"hello\"}", &answer), 0);
	assert_string_equal(json_object_to_json_string_ext(answer, 0), "{\"ok\":true,\"result\":\"hello\"}");
	json_object_put(answer);
}

#define RUNNING(name) cmocka_unit_test_setup_teardown(name, setup_running, teardown)
#define STOPPED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
