// SPDX-License-Identifier: BSD-2-Clause
#include "control.h"

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

static void say_echo(void *ctx, struct reply *reply, json_object *request)
{
	json_object *text = NULL;

	assert_ptr_equal(ctx, &it);
	json_object_object_get_ex(request, "text", &text);
	rddr_control_answer(reply, json_object_get(text));
}

static void say_big(void *ctx, struct reply *reply, json_object *request)
{
	size_t len = 4 << 20;
	char *text = malloc(len);

	(void)ctx;
	(void)request;
	memset(text, 'b', len);
	rddr_control_answer(reply, json_object_new_string_len(text, (int)len));
	free(text);
}

static void say_no(void *ctx, struct reply *reply, json_object *request)
{
	(void)ctx;
	(void)request;
	rddr_control_refuse(reply, "not %s\n\xff", "today");
}

static void say_later(void *ctx, struct reply *reply, json_object *request)
{
	(void)ctx;
	(void)request;
	it.kept[it.n_kept++] = reply;
	sem_post(&it.keeping);
}

static void say_pipe(void *ctx, struct reply *reply, json_object *request)
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

static void *run(void *unused)
{
	(void)unused;
	rddr_loop_run(it.loop);
	return NULL;
}

static void start_thread(void)
{
	assert_int_equal(pthread_create(&it.thread, NULL, run, NULL), 0);
	it.runs = true;
}

static void stop_thread(void)
{
	if (!it.runs)
		return;
	rddr_loop_stop(it.loop);
	pthread_join(it.thread, NULL);
	it.runs = false;
}

static int make(struct control **out)
{
	return rddr_control_new(it.loop, it.path, commands, sizeof(commands) / sizeof(commands[0]), &it, out);
}

static int setup(void **state)
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

static int setup_running(void **state)
{
	if (setup(state) || make(&it.control))
		return -1;
	start_thread();
	return 0;
}

static int teardown(void **state)
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

static int dial(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", it.path);
	assert_int_equal(connect(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	return fd;
}

static void say(int fd, const char *text)
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

static void assert_hears(int fd, const char *expected)
{
	const char *line = hear(fd);

	assert_non_null(line);
	assert_string_equal(line, expected);
}

static int ask(const char *request, json_object **answer)
{
	json_object *object = json_tokener_parse(request);
	int err;

	assert_non_null(object);
	err = rddr_control_ask(it.path, object, PATIENCE, answer, NULL, NULL);
	json_object_put(object);
	return err;
}

static void assert_echoes(void)
{
	json_object *answer = NULL;

	assert_int_equal(ask("{\"command\":\"echo\",\"text\":\"hello\"}", &answer), 0);
	assert_string_equal(json_object_to_json_string_ext(answer, 0), "{\"ok\":true,\"result\":\"hello\"}");
	json_object_put(answer);
}

/* ---- tests ---- */

static void test_requests(void **state)
{
	static const struct {
		const char *request, *answer;
	} cases[] = {
		{"{\"command\":\"echo\",\"text\":\"hi\"}\n", "{\"ok\":true,\"result\":\"hi\"}"},
		{"{\"command\":\"echo\",\"text\":\"hi\"}\r\n", "{\"ok\":true,\"result\":\"hi\"}"},
		{" { \"command\" : \"echo\" } \n", "{\"ok\":true,\"result\":null}"},
		{"\n\n\r\n{\"command\":\"echo\"}\n", "{\"ok\":true,\"result\":null}"},
		{"{\"command\":\"no\"}\n", "{\"ok\":false,\"error\":\"not today\\\\x0a\\\\xff\"}"},
		{"{\"command\":\"nothing\"}\n", "{\"ok\":false,\"error\":\"unknown command: nothing\"}"},
		{"{\"command\":\"ech\"}\n", "{\"ok\":false,\"error\":\"unknown command: ech\"}"},
		{"{\"command\":\"echo\\u0000\\u001b\"}\n", NULL},
		{"{\"command\":1}\n", "{\"ok\":false,\"error\":\"the request names no command\"}"},
		{"{}\n", "{\"ok\":false,\"error\":\"the request names no command\"}"},
		{"garbage\n", "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
		{"[]\n", "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
		{"null\n", "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
		{"{\"command\":\"echo\"\n", "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
		{"{\"command\":\"echo\"}{}\n",
		 "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
		{"{\"command\":\"echo\",\"text\":\"\xff\"}\n",
		 "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
		{"{\"a\":[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}\n",
		 "{\"ok\":false,\"error\":\"the request is no JSON object on one line\"}"},
	};
	int fd = dial();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		say(fd, cases[i].request);
		if (cases[i].answer)
			assert_hears(fd, cases[i].answer);
		else
			assert_non_null(hear(fd));
	}
	/* And each a byte at a time. */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (const char *c = cases[i].request; *c; c++)
			assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
		if (cases[i].answer)
			assert_hears(fd, cases[i].answer);
		else
			assert_non_null(hear(fd));
	}
	close(fd);
	assert_echoes();
}

/* A request as long as one can be is served, one byte more is refused and the client dropped. */
static void test_longest_request(void **state)
{
	static const char head[] = "{\"command\":\"echo\",\"rest\":\"", tail[] = "\"}\n";
	const size_t most = 65536;
	char *text = malloc(most + 2);
	int fd = dial();

	(void)state;
	assert_non_null(text);
	for (size_t len = most; len <= most + 1; len++) {
		memset(text, 'x', len);
		memcpy(text, head, sizeof(head) - 1);
		memcpy(text + len - (sizeof(tail) - 1), tail, sizeof(tail));
		say(fd, text);
		if (len == most)
			assert_hears(fd, "{\"ok\":true,\"result\":null}");
		else
			assert_hears(fd, "{\"ok\":false,\"error\":\"the request is longer than 65536 bytes\"}");
	}
	assert_null(hear(fd));
	close(fd);
	free(text);
	assert_echoes();
}

static void test_pipelined(void **state)
{
	char request[80], answer[80];
	int fd = dial();

	(void)state;
	for (int i = 0; i < 200; i++) {
		snprintf(request, sizeof(request), "{\"command\":\"echo\",\"text\":%d}\n", i);
		say(fd, request);
	}
	/* The half that asks may be closed: what was asked is still answered. */
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	for (int i = 0; i < 200; i++) {
		snprintf(answer, sizeof(answer), "{\"ok\":true,\"result\":%d}", i);
		assert_hears(fd, answer);
	}
	assert_null(hear(fd));
	close(fd);
}

static void answer_kept(void *ctx)
{
	unsigned *n = ctx;

	rddr_control_answer(it.kept[*n], json_object_new_int((int)*n));
	it.kept[*n] = it.kept[--it.n_kept];
	sem_post(&it.keeping);
}

static void answer_first_kept(unsigned n)
{
	assert_int_equal(rddr_loop_post(it.loop, answer_kept, &n), 0);
	sem_wait(&it.keeping); /* n is the loop's until then */
}

static void test_answered_later(void **state)
{
	int fd = dial(), other = dial();

	(void)state;
	say(fd, "{\"command\":\"later\"}\n{\"command\":\"echo\",\"text\":\"second\"}\n");
	sem_wait(&it.keeping);
	say(other, "{\"command\":\"echo\",\"text\":\"other\"}\n");
	assert_hears(other, "{\"ok\":true,\"result\":\"other\"}");
	answer_first_kept(0);
	assert_hears(fd, "{\"ok\":true,\"result\":0}");
	assert_hears(fd, "{\"ok\":true,\"result\":\"second\"}");
	close(fd);
	close(other);
}

static void test_client_gone(void **state)
{
	int fd = dial();

	(void)state;
	say(fd, "{\"command\":\"later\"}\n");
	sem_wait(&it.keeping);
	close(fd);
	assert_echoes();
	answer_first_kept(0);
	assert_echoes();

	/* What was asked before the hang-up is still done. */
	fd = dial();
	say(fd, "{\"command\":\"later\"}\n");
	close(fd);
	sem_wait(&it.keeping);
	answer_first_kept(0);
	assert_echoes();
}

static void test_does_not_read(void **state)
{
	json_object *answer, *result;
	int fd = dial();
	struct pollfd pfd = {.fd = fd};

	(void)state;
	for (int i = 0; i < 5; i++)
		say(fd, "{\"command\":\"big\"}\n");
	/* Others do not wait for it. */
	assert_echoes();
	assert_int_equal(ask("{\"command\":\"big\"}", &answer), 0);
	assert_true(json_object_object_get_ex(answer, "result", &result));
	assert_int_equal(json_object_get_string_len(result), 4 << 20);
	json_object_put(answer);
	/* And after a while it is dropped. */
	assert_int_equal(poll(&pfd, 1, PATIENCE), 1);
	assert_true(pfd.revents & POLLHUP);
	close(fd);
	assert_echoes();
}

static void test_many_clients(void **state)
{
	int fds[CLIENTS + 10], gone = 0;

	(void)state;
	/* One too many takes the place of the one that was idle longest. */
	for (int i = 0; i < CLIENTS + 10; i++) {
		fds[i] = dial();
		say(fds[i], "{\"command\":\"echo\",\"text\":1}\n");
		assert_hears(fds[i], "{\"ok\":true,\"result\":1}");
	}
	/* Of those that were idle equally long, any. */
	for (int i = 0; i < CLIENTS + 10; i++) {
		struct pollfd pfd = {.fd = fds[i], .events = POLLIN};

		gone += poll(&pfd, 1, 0) == 1;
	}
	assert_int_equal(gone, 10);
	for (int i = 0; i < CLIENTS + 10; i++)
		close(fds[i]);
	assert_echoes();
}

static void test_all_busy(void **state)
{
	int fds[CLIENTS], one_more;

	(void)state;
	for (int i = 0; i < CLIENTS; i++) {
		fds[i] = dial();
		say(fds[i], "{\"command\":\"later\"}\n");
		sem_wait(&it.keeping);
	}
	one_more = dial();
	assert_hears(one_more, "{\"ok\":false,\"error\":\"too many clients\"}");
	assert_null(hear(one_more));
	close(one_more);
	for (int i = 0; i < CLIENTS; i++)
		close(fds[i]);
}

static void test_descriptors(void **state)
{
	json_object *request = json_tokener_parse("{\"command\":\"pipe\",\"count\":3}"), *answer;
	int fds[CONTROL_FDS];
	size_t n = CONTROL_FDS;
	char byte = 0;

	(void)state;
	assert_int_equal(pipe2(it.pipe, O_CLOEXEC), 0);
	assert_int_equal(rddr_control_ask(it.path, request, PATIENCE, &answer, fds, &n), 0);
	assert_string_equal(json_object_to_json_string_ext(answer, 0), "{\"ok\":true,\"result\":3}");
	json_object_put(answer);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(write(fds[i], "x", 1), 1);
		assert_int_equal(read(it.pipe[0], &byte, 1), 1);
		close(fds[i]);
	}

	/* What there is no room for is closed. */
	n = 1;
	assert_int_equal(rddr_control_ask(it.path, request, PATIENCE, &answer, fds, &n), 0);
	assert_int_equal(n, 1);
	close(fds[0]);
	json_object_put(answer);
	assert_int_equal(rddr_control_ask(it.path, request, PATIENCE, &answer, NULL, NULL), 0);
	json_object_put(answer);

	json_object_object_add(request, "count", json_object_new_int(CONTROL_FDS));
	n = CONTROL_FDS;
	assert_int_equal(rddr_control_ask(it.path, request, PATIENCE, &answer, fds, &n), 0);
	assert_int_equal(n, CONTROL_FDS);
	json_object_put(answer);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	json_object_object_add(request, "count", json_object_new_int(CONTROL_FDS + 1));
	n = CONTROL_FDS;
	assert_int_equal(rddr_control_ask(it.path, request, PATIENCE, &answer, fds, &n), 0);
	assert_int_equal(n, 0);
	assert_string_equal(json_object_to_json_string_ext(answer, 0),
			    "{\"ok\":false,\"error\":\"the daemon cannot pass its descriptors on\"}");
	json_object_put(answer);
	json_object_put(request);

	/* Every copy is closed again: the last writer is the test's own. */
	stop_thread();
	close(it.pipe[1]);
	it.pipe[1] = -1;
	assert_int_equal(read(it.pipe[0], &byte, 1), 0);
}

static void test_place(void **state)
{
	struct control *second = NULL;
	struct stat st;

	(void)state;
	assert_int_equal(stat(it.path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(make(&second), -EADDRINUSE);
	assert_null(second);
	assert_echoes();
	stop_thread();
	rddr_control_free(&it.control);
	assert_int_equal(stat(it.path, &st), -1);
}

static void test_stale_is_replaced(void **state)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *slash = strrchr(it.path, '/');

	(void)state;
	*slash = '\0';
	assert_int_equal(mkdir(it.path, 0700), 0);
	*slash = '/';
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", it.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	close(fd);
	assert_int_equal(make(&it.control), 0);
	start_thread();
	assert_echoes();
}

static void test_bad_places(void **state)
{
	char longest[200], *path = strdup(it.path);
	int fd;

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(rddr_control_new(it.loop, longest, commands, 1, &it, &it.control), -ENAMETOOLONG);
	assert_int_equal(rddr_control_new(it.loop, "", commands, 1, &it, &it.control), -EINVAL);

	/* As long as one can be. */
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, it.folder, strlen(it.folder));
	longest[strlen(it.folder)] = '/';
	longest[107] = '\0';
	assert_int_equal(rddr_control_new(it.loop, longest, commands, 1, &it, &it.control), 0);
	rddr_control_free(&it.control);
	assert_int_equal(access(longest, F_OK), -1);

	snprintf(it.path, sizeof(it.path), "%s/file", it.folder);
	fd = open(it.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(make(&it.control), -EEXIST);
	assert_int_equal(access(it.path, F_OK), 0);
	close(fd);
	unlink(it.path);
	snprintf(it.path, sizeof(it.path), "%s/no/such/folder", it.folder);
	assert_int_equal(make(&it.control), -ENOENT);
	snprintf(it.path, sizeof(it.path), "%s", path);
	free(path);
	assert_null(it.control);
}

static void disown(void *unused)
{
	(void)unused;
	rddr_control_disown(it.control);
	sem_post(&it.keeping);
}

/* A new daemon takes the path over while clients of the old one are served on. */
static void test_disowned(void **state)
{
	struct loop *loop = it.loop;
	struct control *old = it.control;
	int fd = dial();
	struct stat before, after;

	(void)state;
	say(fd, "{\"command\":\"echo\",\"text\":1}\n");
	assert_hears(fd, "{\"ok\":true,\"result\":1}");
	assert_int_equal(rddr_loop_post(it.loop, disown, NULL), 0);
	sem_wait(&it.keeping);
	say(fd, "{\"command\":\"echo\",\"text\":2}\n");
	assert_hears(fd, "{\"ok\":true,\"result\":2}");

	it.loop = NULL;
	it.control = NULL;
	assert_int_equal(rddr_loop_new(&it.loop), 0);
	assert_int_equal(make(&it.control), 0);
	assert_int_equal(stat(it.path, &before), 0);
	rddr_loop_stop(loop);
	pthread_join(it.thread, NULL);
	rddr_control_free(&old);
	rddr_loop_free(&loop);
	assert_null(hear(fd));
	assert_int_equal(stat(it.path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	start_thread();
	assert_echoes();
	close(fd);
}

/* ---- the client's side against something that is no daemon ---- */

static int listen_at(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(it.path, sizeof(it.path), "%s/other", it.folder);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", it.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return fd;
}

struct impostor {
	int fd;
	const char *says;
};

static void *impose(void *ctx)
{
	struct impostor *impostor = ctx;
	char buf[256];
	int fd = accept(impostor->fd, NULL, NULL);

	assert_true(fd >= 0);
	while (read(fd, buf, 1) == 1 && *buf != '\n')
		;
	if (*impostor->says)
		say(fd, impostor->says);
	close(fd);
	return NULL;
}

static void test_ask_impostors(void **state)
{
	static const struct {
		const char *says;
		int err;
	} cases[] = {
		{"", -ECONNRESET},     {"{\"ok\":true", -ECONNRESET},
		{"hello\n", -EBADMSG}, {"[1]\n", -EBADMSG},
		{"\n", -EBADMSG},      {"{}\n", 0},
	};
	struct impostor impostor = {.fd = listen_at()};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_object *answer = NULL;
		pthread_t thread;

		impostor.says = cases[i].says;
		assert_int_equal(pthread_create(&thread, NULL, impose, &impostor), 0);
		assert_int_equal(ask("{\"command\":\"x\"}", &answer), cases[i].err);
		assert_int_equal(answer != NULL, !cases[i].err);
		json_object_put(answer);
		pthread_join(thread, NULL);
	}
	close(impostor.fd);
}

static void test_ask_nobody(void **state)
{
	json_object *request = json_object_new_object(), *answer = NULL;
	char longest[200];
	int fd;

	(void)state;
	assert_int_equal(ask("{}", &answer), -ENOENT);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(rddr_control_ask(longest, request, 10, &answer, NULL, NULL), -ENAMETOOLONG);
	fd = listen_at();
	assert_int_equal(rddr_control_ask(it.path, request, 10, &answer, NULL, NULL), -ETIMEDOUT);
	close(fd);
	assert_int_equal(ask("{}", &answer), -ECONNREFUSED);
	assert_null(answer);
	json_object_put(request);
}

#define RUNNING(name) cmocka_unit_test_setup_teardown(name, setup_running, teardown)
#define STOPPED(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_requests),	      RUNNING(test_longest_request),   RUNNING(test_pipelined),
		RUNNING(test_answered_later), RUNNING(test_client_gone),       RUNNING(test_does_not_read),
		RUNNING(test_many_clients),   RUNNING(test_all_busy),	       RUNNING(test_descriptors),
		RUNNING(test_place),	      STOPPED(test_stale_is_replaced), STOPPED(test_bad_places),
		RUNNING(test_disowned),	      STOPPED(test_ask_impostors),     STOPPED(test_ask_nobody),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
