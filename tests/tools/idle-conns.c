/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * idle-conns - opens connections, makes one request on each, waits for the whole answer, and holds them idle.
 *
 *	idle-conns ADDRESS PORT COUNT PATH
 *
 * Prints "ready COUNT" when every answer is there, and ends at the end of its standard input or at a signal. Exit
 *status 1: one of them failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct target {
	struct sockaddr_storage addr;
	socklen_t len;
	const char *path;
};

static bool parse_target(const char *host, const char *port, struct target *t)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&t->addr;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&t->addr;
	unsigned long number = strtoul(port, NULL, 10);

	if (number == 0 || number > 65535)
		return false;
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)number);
		t->len = sizeof(*v4);
		return true;
	}
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)number);
		t->len = sizeof(*v6);
		return true;
	}
	return false;
}

static int complain(const char *what)
{
	fprintf(stderr, "idle-conns: %s: %s\n", what, strerror(errno));
	return -1;
}

/* Bytes of the body that the head announces; -1 while the head is not whole. */
static long body_length(const char *answer, const char **body)
{
	const char *end = strstr(answer, "\r\n\r\n");
	const char *field;

	if (!end)
		return -1;
	*body = end + 4;
	field = strcasestr(answer, "\r\nContent-Length:");
	return field && field < end ? strtol(field + strlen("\r\nContent-Length:"), NULL, 10) : 0;
}

/* Reads one whole answer. */
static int read_answer(int fd)
{
	static char answer[1 << 16];
	size_t have = 0;

	for (;;) {
		const char *body = NULL;
		long length;
		ssize_t got = read(fd, answer + have, sizeof(answer) - 1 - have);

		if (got < 0)
			return complain("read");
		if (got == 0) {
			fprintf(stderr, "idle-conns: closed after %zu bytes\n", have);
			return -1;
		}
		have += (size_t)got;
		answer[have] = '\0';
		length = body_length(answer, &body);
		if (length >= 0 && have >= (size_t)(body - answer) + (size_t)length)
			return 0;
		if (have == sizeof(answer) - 1) {
			fprintf(stderr, "idle-conns: the answer is longer than %zu bytes\n", sizeof(answer) - 1);
			return -1;
		}
	}
}

static int open_one(const struct target *t)
{
	char request[512];
	int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", t->path);
	int fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return complain("socket");
	if (connect(fd, (const struct sockaddr *)&t->addr, t->len) < 0)
		return complain("connect");
	if (write(fd, request, (size_t)len) != len)
		return complain("write");
	return read_answer(fd);
}

int main(int argc, char **argv)
{
	struct target target = {.path = argc == 5 ? argv[4] : NULL};
	struct rlimit files;
	long count = argc == 5 ? strtol(argv[3], NULL, 10) : 0;
	char c;

	if (argc != 5 || count < 1 || strlen(argv[4]) > 400 || !parse_target(argv[1], argv[2], &target)) {
		fprintf(stderr, "usage: idle-conns ADDRESS PORT COUNT PATH\n");
		return 2;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	for (long i = 0; i < count; i++) {
		if (open_one(&target) < 0) {
			fprintf(stderr, "idle-conns: at connection %ld\n", i + 1);
			return 1;
		}
	}
	printf("ready %ld\n", count);
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	return 0;
}
