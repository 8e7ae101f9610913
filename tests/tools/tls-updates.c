/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tls-updates - a TLS 1.3 client that changes its keys all the time, and asks the other side to do so too (RFC 8446,
 * section 4.6.3).
 *
 *	tls-updates ADDRESS PORT echo SEED BYTES
 *	tls-updates ADDRESS PORT flood COUNT
 *
 * echo: says BYTES of a pattern, with a KeyUpdate behind each part, and reads only when nothing more can be said, so
 * that the server's records get stuck half-way; prints "echoed BYTES" when all has come back as it was, else where it
 * was another byte, or how the connection ended. flood: sends KeyUpdates and nothing else, and prints "sent COUNT", or
 * after how many the connection was ended.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PART	   2000
#define PATIENCE   20000 /* ms without anything */
#define RECEIVABLE 16384 /* bytes that the kernel is to take for us, about */

static int dial(const char *host, const char *port)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)strtoul(port, NULL, 10))};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), room = RECEIVABLE;

	if (fd < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)) < 0 ||
	    connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		perror("tls-updates: connect");
		exit(1);
	}
	return fd;
}

static SSL *shake(int fd)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl;

	if (!ctx || !SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION))
		exit(1);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	ssl = SSL_new(ctx);
	if (!ssl || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1) {
		fprintf(stderr, "tls-updates: no handshake\n");
		exit(1);
	}
	SSL_CTX_free(ctx);
	return ssl;
}

/* Waits for what the call wants. False: the connection has ended, or nothing comes. */
static bool await(SSL *ssl, int result, short also)
{
	int what = SSL_get_error(ssl, result);
	struct pollfd p = {.fd = SSL_get_fd(ssl), .events = also};

	if (what == SSL_ERROR_WANT_READ)
		p.events |= POLLIN;
	else if (what == SSL_ERROR_WANT_WRITE)
		p.events |= POLLOUT;
	else
		return false;
	return poll(&p, 1, PATIENCE) > 0;
}

static bool update_keys(SSL *ssl, int how)
{
	int r = SSL_key_update(ssl, how);

	while (r == 1 && (r = SSL_do_handshake(ssl)) != 1) {
		if (!await(ssl, r, 0))
			return false;
		r = 1;
	}
	return r == 1;
}

static char pattern(unsigned long seed, unsigned long at)
{
	return (char)('a' + (seed + at + at / 251) % 26);
}

struct echo {
	unsigned long seed, total, said, heard;
};

/* As much as is there. False: something is wrong, and has been said. */
static bool hear(SSL *ssl, struct echo *e, int *result)
{
	char buf[4096];
	size_t n;

	while ((*result = SSL_read_ex(ssl, buf, sizeof(buf), &n)) == 1) {
		for (size_t i = 0; i < n; i++, e->heard++) {
			if (buf[i] == pattern(e->seed, e->heard))
				continue;
			printf("another byte at %lu: %.*s\n", e->heard, (int)(n - i < 60 ? n - i : 60), buf + i);
			return false;
		}
	}
	return true;
}

static bool say(SSL *ssl, struct echo *e)
{
	char buf[PART];
	size_t len = e->total - e->said < PART ? e->total - e->said : PART, n;

	for (size_t i = 0; i < len; i++)
		buf[i] = pattern(e->seed, e->said + i);
	while (len) {
		int r = SSL_write_ex(ssl, buf, len, &n), heard;

		if (r == 1) {
			e->said += n;
			memmove(buf, buf + n, len - n);
			len -= n;
			continue;
		}
		if (!await(ssl, r, POLLIN)) {
			printf("ended after %lu said, %lu heard\n", e->said, e->heard);
			return false;
		}
		if (!hear(ssl, e, &heard))
			return false;
	}
	return true;
}

static int echo(SSL *ssl, struct echo e)
{
	int result;

	fcntl(SSL_get_fd(ssl), F_SETFL, O_NONBLOCK);
	while (e.said < e.total) {
		if (!say(ssl, &e))
			return 1;
		/* The other side may not take it before it is heard. */
		if (SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
			return 1;
		while ((result = SSL_do_handshake(ssl)) != 1) {
			if (!await(ssl, result, POLLIN)) {
				printf("ended after %lu said, %lu heard\n", e.said, e.heard);
				return 1;
			}
			if (!hear(ssl, &e, &result))
				return 1;
		}
	}
	while (e.heard < e.total) {
		if (!hear(ssl, &e, &result))
			return 1;
		if (e.heard < e.total && !await(ssl, result, 0)) {
			printf("ended after %lu heard\n", e.heard);
			return 1;
		}
	}
	printf("echoed %lu\n", e.heard);
	return 0;
}

static int flood(SSL *ssl, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		if (!update_keys(ssl, SSL_KEY_UPDATE_NOT_REQUESTED)) {
			printf("ended after %lu\n", i);
			return 0;
		}
	}
	printf("sent %lu\n", count);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 5 || (strcmp(argv[3], "flood") && argc < 6)) {
		fprintf(stderr, "usage: tls-updates ADDRESS PORT echo SEED BYTES | flood COUNT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	int fd = dial(argv[1], argv[2]);
	SSL *ssl = shake(fd);
	int status = !strcmp(argv[3], "flood") ? flood(ssl, strtoul(argv[4], NULL, 10))
					       : echo(ssl, (struct echo){.seed = strtoul(argv[4], NULL, 10),
									 .total = strtoul(argv[5], NULL, 10)});

	SSL_free(ssl);
	close(fd);
	return status;
}
