// SPDX-License-Identifier: BSD-2-Clause
#include "notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A manager that listens at a path, or in the abstract namespace; its name for NOTIFY_SOCKET. */
static int manager(bool abstract, char *name, size_t size)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	snprintf(name, size, "%s/tmp/rddr-notify-%d", abstract ? "@" : "", (int)getpid());
	assert_true(strlen(name) < sizeof(sun.sun_path));
	memcpy(sun.sun_path, name, strlen(name));
	if (abstract)
		sun.sun_path[0] = '\0';
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
	assert_int_equal(bind(fd, (struct sockaddr *)&sun, len), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	return fd;
}

static void hears(int fd, const char *expected)
{
	char got[256];
	ssize_t n = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);

	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, expected);
}

static void told_at(bool abstract)
{
	char name[64], expected[64];
	int fd = manager(abstract, name, sizeof(name));

	assert_int_equal(rddr_notify_send("READY=1"), 0);
	hears(fd, "READY=1");
	snprintf(expected, sizeof(expected), "MAINPID=%d", (int)getpid());
	assert_int_equal(rddr_notify_main(), 0);
	hears(fd, expected);
	rddr_notify_ending(false);
	hears(fd, "STOPPING=1");
	close(fd);
	if (!abstract)
		unlink(name);
}

static void a_path_and_an_abstract_name(void **state)
{
	(void)state;
	told_at(false);
	told_at(true);
}

static void without_a_manager_nothing_is_sent(void **state)
{
	(void)state;
	unsetenv("NOTIFY_SOCKET");
	assert_int_equal(rddr_notify_send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	assert_int_equal(rddr_notify_main(), 0);
}

static void a_name_that_is_none_is_an_error(void **state)
{
	char longest[256];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	longest[0] = '/';
	longest[sizeof(longest) - 1] = '\0';
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	assert_int_equal(rddr_notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "/", 1);
	assert_int_equal(rddr_notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", longest, 1);
	assert_int_equal(rddr_notify_send("READY=1"), -EINVAL);
	setenv("NOTIFY_SOCKET", "/nobody/is/there", 1);
	assert_int_equal(rddr_notify_send("READY=1"), -ENOENT);
	unsetenv("NOTIFY_SOCKET");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_and_an_abstract_name),
		cmocka_unit_test(without_a_manager_nothing_is_sent),
		cmocka_unit_test(a_name_that_is_none_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
