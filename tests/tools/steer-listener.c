// SPDX-License-Identifier: BSD-2-Clause
/*
 * steer-listener - a small daemon for tests of steering: publishes listeners and services as rddrd does, beats its
 * heart, and answers.
 *
 * Each connection gets a line "rddr WORKER DESTINATION CLIENT", and then back what it sends. With --relay it is joined
 * to a connection to its original destination instead, made in the client's name (with --exact-port also from the
 * client's port). Standard output gets a line "ready" when all is published, and "services N" after each SIGUSR1, which
 * reads the config again and publishes its services. SIGTERM ends it in order.
 */
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "addr.h"
#include "config.h"
#include "own.h"
#include "steering.h"

#define WORKERS_MAX  64
#define SESSIONS_MAX 16384
#define BEAT_MS	     200

/* Bytes that came from fd wait for to. */
struct way {
	int fd, to;
	char data[4096];
	size_t len;
	bool ended;
};

struct session {
	struct way ways[2]; /* echo: the first one alone, from the client to the client */
	unsigned n;
	bool connecting;
};

struct options {
	const char *pin_dir, *config;
	unsigned workers;
	bool relay, exact_port, quiet, no_services;
};

static struct options options = {.pin_dir = RDDR_STEERING_PIN_DIR, .workers = 1};
static struct steering *steering;
static int listeners[WORKERS_MAX * 2];
static struct session *sessions[SESSIONS_MAX];
static size_t n_sessions;
static volatile sig_atomic_t ended, reload;

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		reload = 1;
	else
		ended = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void set(int fd, int level, int option)
{
	int on = 1;

	if (setsockopt(fd, level, option, &on, sizeof(on)) < 0)
		die("setsockopt");
}

static void transparent(int fd, int family)
{
	set(fd, family == AF_INET ? SOL_IP : SOL_IPV6, family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT);
}

/* On a loopback address: only what is steered gets there. */
static int listen_on(int family)
{
	struct addr a = {0};
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	rddr_addr_parse(family == AF_INET ? "127.0.0.1" : "::1", 0, &a);
	transparent(fd, family);
	if (bind(fd, &a.sa, rddr_addr_len(&a)) < 0 || listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void publish_services(void)
{
	struct config *config = NULL;
	size_t n;

	if (rddr_config_load(options.config, &config) < 0)
		exit(1);
	if (rddr_steering_publish_services(steering, config) < 0)
		exit(1);
	n = config->n_services;
	rddr_config_put(&config);
	printf("services %zu\n", n);
	fflush(stdout);
}

static void beat(void)
{
	for (unsigned w = 0; w < options.workers; w++)
		rddr_steering_beat(steering, w);
}

static void publish(void)
{
	int err = rddr_steering_open(options.pin_dir, &steering);

	if (err) {
		fprintf(stderr, "steering: %s\n", strerror(-err));
		exit(1);
	}
	for (unsigned w = 0; w < options.workers; w++) {
		for (unsigned v6 = 0; v6 < 2; v6++) {
			int family = v6 ? AF_INET6 : AF_INET;

			listeners[w * 2 + v6] = listen_on(family);
			if (rddr_steering_publish_listener(steering, w, family, listeners[w * 2 + v6]) < 0)
				exit(1);
		}
	}
	if (!options.no_services)
		publish_services();
	if (rddr_steering_set_workers(steering, options.workers) < 0)
		exit(1);
	beat();
	puts("ready");
	fflush(stdout);
}

/* ---- sessions ---- */

static void session_end(size_t i)
{
	struct session *s = sessions[i];

	close(s->ways[0].fd);
	if (s->n == 2)
		close(s->ways[1].fd);
	free(s);
	sessions[i] = sessions[--n_sessions];
}

static void session_add(struct session *s)
{
	if (n_sessions == SESSIONS_MAX) {
		fputs("too many sessions\n", stderr);
		exit(1);
	}
	sessions[n_sessions++] = s;
}

static int dial(const struct addr *client, const struct addr *destination)
{
	int fd = socket(client->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct addr from = *client;

	if (fd < 0)
		die("socket");
	transparent(fd, client->sa.sa_family);
	set(fd, SOL_SOCKET, SO_REUSEADDR);
	if (!options.exact_port) {
		set(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT);
		rddr_addr_set_port(&from, 0);
	}
	if (bind(fd, &from.sa, rddr_addr_len(&from)) < 0 ||
	    (connect(fd, &destination->sa, rddr_addr_len(destination)) < 0 && errno != EINPROGRESS)) {
		perror("dial");
		close(fd);
		return -1;
	}
	return fd;
}

static void accept_one(unsigned slot)
{
	struct addr client = {0}, destination = {0};
	socklen_t len = sizeof(client);
	char a[RDDR_ADDR_TEXT], b[RDDR_ADDR_TEXT];
	int fd = accept4(listeners[slot], &client.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct session *s;

	if (fd < 0)
		return;
	len = sizeof(destination);
	if (getsockname(fd, &destination.sa, &len) < 0)
		die("getsockname");
	s = calloc(1, sizeof(*s));
	if (!s)
		die("calloc");
	s->n = 1;
	s->ways[0] = (struct way){.fd = fd, .to = fd};
	rddr_addr_format(&destination, a, sizeof(a));
	rddr_addr_format(&client, b, sizeof(b));
	if (!options.quiet) {
		printf("accepted %u %s %s\n", slot / 2, a, b);
		fflush(stdout);
	}
	if (options.relay) {
		int server = dial(&client, &destination);

		if (server < 0) {
			close(fd);
			free(s);
			return;
		}
		s->n = 2;
		s->connecting = true;
		s->ways[0].to = server;
		s->ways[1] = (struct way){.fd = server, .to = fd};
	} else {
		s->ways[0].len =
			(size_t)snprintf(s->ways[0].data, sizeof(s->ways[0].data), "rddr %u %s %s\n", slot / 2, a, b);
	}
	session_add(s);
}

/* False: the session is over. */
static bool way_run(struct way *w, short in, short out)
{
	ssize_t n;

	if (w->len && out) {
		n = send(w->to, w->data, w->len, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN;
		w->len -= (size_t)n;
		memmove(w->data, w->data + n, w->len);
		if (!w->len && w->ended)
			shutdown(w->to, SHUT_WR);
	}
	if (in && !w->ended && w->len < sizeof(w->data)) {
		n = recv(w->fd, w->data + w->len, sizeof(w->data) - w->len, 0);
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0) {
			w->ended = true;
			if (!w->len)
				shutdown(w->to, SHUT_WR);
		}
		w->len += (size_t)n;
	}
	return true;
}

static bool session_run(struct session *s, const struct pollfd *fds)
{
	bool over = true;

	if (s->connecting) {
		if (!(fds[1].revents & (POLLOUT | POLLERR | POLLHUP)))
			return !(fds[0].revents & (POLLERR | POLLHUP));
		s->connecting = false;
	}
	for (unsigned i = 0; i < s->n; i++) {
		const struct pollfd *from = &fds[i], *to = &fds[s->n - 1 - i];

		if (!way_run(&s->ways[i], from->revents & (POLLIN | POLLHUP | POLLERR),
			     to->revents & (POLLOUT | POLLERR)))
			return false;
		over = over && s->ways[i].ended && !s->ways[i].len;
	}
	return !over;
}

static short wanted(const struct session *s, unsigned i)
{
	const struct way *from = &s->ways[i], *to = &s->ways[s->n - 1 - i];
	short events = 0;

	if (s->connecting)
		return i ? POLLOUT : 0;
	if (!from->ended && from->len < sizeof(from->data))
		events |= POLLIN;
	if (to->len)
		events |= POLLOUT;
	return events;
}

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void turn(struct pollfd *fds, int timeout)
{
	size_t base = options.workers * 2, n = base, before = n_sessions;

	for (size_t i = 0; i < base; i++)
		fds[i] = (struct pollfd){.fd = listeners[i], .events = POLLIN};
	for (size_t i = 0; i < before; i++) {
		for (unsigned k = 0; k < sessions[i]->n; k++)
			fds[n++] = (struct pollfd){.fd = sessions[i]->ways[k].fd, .events = wanted(sessions[i], k)};
	}
	if (poll(fds, n, timeout) <= 0)
		return;
	/* From the last one on: one that ends gives its place to the last. */
	for (size_t i = before; i-- > 0;) {
		n -= sessions[i]->n;
		if (!session_run(sessions[i], &fds[n]))
			session_end(i);
	}
	for (unsigned i = 0; i < base; i++) {
		if (fds[i].revents)
			accept_one(i);
	}
}

static void run(void)
{
	struct pollfd *fds = calloc(WORKERS_MAX * 2 + SESSIONS_MAX * 2, sizeof(*fds));
	uint64_t next = 0;

	if (!fds)
		die("calloc");
	while (!ended) {
		uint64_t now = now_ms();

		if (now >= next) {
			beat();
			next = now + BEAT_MS;
		}
		if (reload) {
			reload = 0;
			publish_services();
		}
		turn(fds, (int)(next - now));
	}
	rddr_steering_rest(steering);
	while (n_sessions)
		session_end(0);
	rddr_steering_close(&steering);
	free(fds);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"pin-dir", required_argument, NULL, 'p'}, {"config", required_argument, NULL, 'c'},
		{"workers", required_argument, NULL, 'w'}, {"relay", no_argument, NULL, 'r'},
		{"exact-port", no_argument, NULL, 'e'},	   {"quiet", no_argument, NULL, 'q'},
		{"no-services", no_argument, NULL, 'n'},   {0},
	};
	struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
	struct sigaction action = {.sa_handler = on_signal};
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			options.pin_dir = optarg;
			break;
		case 'c':
			options.config = optarg;
			break;
		case 'w':
			options.workers = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			options.relay = true;
			break;
		case 'e':
			options.exact_port = true;
			break;
		case 'q':
			options.quiet = true;
			break;
		case 'n':
			options.no_services = true;
			break;
		default:
			return 2;
		}
	}
	if (options.workers < 1 || options.workers > WORKERS_MAX || (!options.config && !options.no_services)) {
		fputs("usage: steer-listener --config FILE | --no-services [--pin-dir DIR] [--workers N] [--relay] "
		      "[--exact-port] [--quiet]\n",
		      stderr);
		return 2;
	}
	setrlimit(RLIMIT_NOFILE, &files);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	publish();
	run();
	return 0;
}
