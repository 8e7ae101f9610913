// SPDX-License-Identifier: BSD-2-Clause
#include "control.h"

#include "control_daemon.h"

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
	/* Whole, and again a byte at a time. */
	for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		const char *request = cases[i / 2].request, *answer = cases[i / 2].answer;

		if (i % 2 == 0)
			say(fd, request);
		for (const char *c = request; i % 2 && *c; c++)
			assert_int_equal(send(fd, c, 1, MSG_NOSIGNAL), 1);
		if (answer)
			assert_hears(fd, answer);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_requests),		 RUNNING(test_longest_request), RUNNING(test_pipelined),
		RUNNING(test_answered_later),	 RUNNING(test_client_gone),	RUNNING(test_does_not_read),
		RUNNING(test_many_clients),	 RUNNING(test_all_busy),	RUNNING(test_place),
		STOPPED(test_stale_is_replaced), STOPPED(test_bad_places),	RUNNING(test_disowned),
	};

	return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
