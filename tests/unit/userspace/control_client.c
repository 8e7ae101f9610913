// SPDX-License-Identifier: BSD-2-Clause
/* The client's side of the control socket, against a daemon and against what is none. */
#include "control.h"

#include "control_daemon.h"

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

static int listen_at(void)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(it.path, sizeof(it.path), "%s/socket", it.folder);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUNNING(test_descriptors),
		STOPPED(test_ask_impostors),
		STOPPED(test_ask_nobody),
	};

	return cmocka_run_group_tests_name("control_client", tests, NULL, NULL);
}
