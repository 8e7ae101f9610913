/* SPDX-License-Identifier: BSD-2-Clause */
#include "play.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "daemon.h"
#include "wire.h"

#define CHUNK (64u << 10)
/* What an end that dribbles puts into one record of TLS, which then goes out a byte at a time, in bytes. */
#define RECORD 16

/* ---- the servers' sockets ---- */

static socklen_t loopback(int family, uint16_t port, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;

		six->sin6_family = AF_INET6;
		six->sin6_addr = in6addr_loopback;
		six->sin6_port = htons(port);
		return sizeof(*six);
	}
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	four->sin_family = AF_INET;
	four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	four->sin_port = htons(port);
	return sizeof(*four);
}

static uint16_t port_of(int fd)
{
	/* The port is at the same place in both families. */
	union {
		struct sockaddr_storage any;
		struct sockaddr_in four;
	} at;
	socklen_t len = sizeof(at);

	memset(&at, 0, sizeof(at));
	assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
	return ntohs(at.four.sin_port);
}

static int bound_socket(int family, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t len = loopback(family, port, &at);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
	return fd;
}

void stage_init(struct stage *s, int family, unsigned n)
{
	*s = (struct stage){.family = family, .n = n};
	for (unsigned i = 0; i < n; i++) {
		int first = bound_socket(family, 0);

		/* Bound by number it keeps its port when it is shut. */
		s->port[i] = port_of(first);
		s->fd[i] = bound_socket(family, s->port[i]);
		close(first);
		assert_int_equal(listen(s->fd[i], 4096), 0);
	}
}

void stage_free(struct stage *s)
{
	for (unsigned i = 0; i < s->n; i++)
		close(s->fd[i]);
	s->n = 0;
}

void stage_refuse(struct stage *s, unsigned i, bool refuse)
{
	if (s->refuses[i] == refuse)
		return;
	s->refuses[i] = refuse;
	/* Shut, a listener keeps its port and listens no more. */
	if (refuse)
		assert_int_equal(shutdown(s->fd[i], SHUT_RD), 0);
	else
		assert_int_equal(listen(s->fd[i], 4096), 0);
}

void stage_fill(struct stage *s, unsigned i)
{
	assert_int_equal(listen(s->fd[i], 0), 0);
	for (int k = 0; k < 2; k++) {
		struct play p;

		play_init(&p, 1);
		play_connect(&p, s->family, s->port[i]);
		s->full[i][k] = p.client.fd;
	}
	s->shut[i] = true;
}

void stage_unfill(struct stage *s, unsigned i)
{
	int fd;

	for (int k = 0; k < 2; k++)
		close(s->full[i][k]);
	while ((fd = accept(s->fd[i], NULL, NULL)) >= 0)
		close(fd);
	assert_int_equal(listen(s->fd[i], 4096), 0);
	s->shut[i] = false;
}

uint16_t free_port(int family, int *fd)
{
	struct sockaddr_storage at;
	socklen_t len = loopback(family, 0, &at);
	int on = 1;

	*fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(*fd >= 0);
	setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(*fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	assert_int_equal(bind(*fd, (struct sockaddr *)&at, len), 0);
	return port_of(*fd);
}

uint8_t *noise_bytes(size_t len, unsigned seed)
{
	uint8_t *bytes = malloc(len ? len : 1);
	uint64_t x = 0x9e3779b97f4a7c15u * (seed + 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		bytes[i] = (uint8_t)x;
	}
	return bytes;
}

/* ---- scripts ---- */

static void end_init(struct end *e)
{
	*e = (struct end){.fd = -1};
}

void play_init(struct play *p, unsigned n)
{
	p->n = n;
	p->cue = 0;
	end_init(&p->client);
	for (unsigned i = 0; i < SERVERS; i++)
		end_init(&p->server[i]);
}

void says(struct end *e, const void *data, size_t len)
{
	assert_true(e->n_acts < ACTS);
	e->acts[e->n_acts++] = (struct act){.kind = ACT_SAY, .data = data, .len = len};
}

void says_text(struct end *e, const char *text)
{
	says(e, text, strlen(text));
}

void does(struct end *e, enum act_kind kind, size_t len)
{
	assert_true(e->n_acts < ACTS);
	e->acts[e->n_acts++] = (struct act){.kind = kind, .len = len};
}

void expects(struct end *e, const void *data, size_t len)
{
	e->expect = data;
	e->expect_len = len;
}

bool end_done(const struct end *e)
{
	return e->act == e->n_acts;
}

bool all_done(const struct play *p)
{
	bool done = end_done(&p->client);

	for (unsigned i = 0; done && i < p->n; i++)
		done = end_done(&p->server[i]);
	return done;
}

bool servers_done(const struct play *p)
{
	bool done = true;

	for (unsigned i = 0; done && i < p->n; i++)
		done = end_done(&p->server[i]);
	return done;
}

bool client_done(const struct play *p)
{
	return end_done(&p->client);
}

bool client_closed(const struct play *p)
{
	return p->client.ended || p->client.reset;
}

bool client_reset(const struct play *p)
{
	return p->client.reset;
}

bool servers_reset(const struct play *p)
{
	bool reset = true;

	for (unsigned i = 0; reset && i < p->n; i++)
		reset = p->server[i].reset;
	return reset;
}

/* ---- what an end does ---- */

static void close_end(struct end *e, bool reset)
{
	struct linger at_once = {.l_onoff = 1};

	wire_free(&e->wire);
	if (e->fd < 0)
		return;
	if (reset)
		setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(e->fd);
	e->fd = -1;
}

/* Goes on with what TLS has to send, or to agree on. True: there is nothing of that. */
static bool step_wire(struct end *e)
{
	if (!e->wire || e->fd < 0 || e->reset || wire_step(e->wire, e->dribbles ? 1 : SIZE_MAX) == 0)
		return true;
	e->reset |= errno != EAGAIN;
	return false;
}

/* One piece, so that nobody runs far ahead of the others. True when the act is through. */
static bool say(struct end *e, const struct act *a)
{
	size_t left = a->len - e->said, len = e->dribbles ? (e->wire ? RECORD : 1) : CHUNK;

	if (left > 0) {
		len = len < left ? len : left;
		ssize_t n = e->wire ? wire_say(e->wire, a->data + e->said, len)
				    : send(e->fd, a->data + e->said, len, MSG_NOSIGNAL);

		if (n < 0) {
			e->reset = errno != EAGAIN;
			return false;
		}
		e->said += (size_t)n;
		e->spoken += (size_t)n;
		if (!step_wire(e))
			return false;
	}
	return e->said == a->len;
}

static bool finish(struct end *e)
{
	if (e->wire && !e->finned) {
		e->finned = true;
		wire_end(e->wire);
		return step_wire(e);
	}
	if (!e->wire)
		e->finned = shutdown(e->fd, SHUT_WR) == 0 || errno == ENOTCONN;
	return e->finned;
}

/* A reset takes back what has not arrived; what arrived can still be read. */
static bool unsent(const struct end *e)
{
	int bytes = 0;

	return ioctl(e->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0;
}

static size_t unread(const struct end *e)
{
	int bytes = 0;

	return e->fd >= 0 && ioctl(e->fd, FIONREAD, &bytes) == 0 ? (size_t)bytes : 0;
}

static bool try_act(const struct play *p, struct end *e, const struct act *a)
{
	switch (a->kind) {
	case ACT_SAY:
		return e->fd >= 0 && !e->reset && say(e, a);
	case ACT_HEAR:
		return e->heard >= a->len;
	case ACT_HEAR_END:
		return e->ended || e->reset;
	case ACT_ARRIVE:
		return unread(e) >= a->len;
	case ACT_CUE:
		return p->cue >= a->len;
	case ACT_FIN:
		return e->fd >= 0 && finish(e);
	case ACT_CLOSE:
	case ACT_RESET:
		if (a->kind == ACT_CLOSE && e->fd >= 0 && e->wire && !e->reset && !finish(e))
			return false;
		if (e->fd < 0 || (a->kind == ACT_RESET && unsent(e)))
			return false;
		close_end(e, a->kind == ACT_RESET);
		return true;
	case ACT_DEAF:
	case ACT_LISTEN:
		e->deaf = a->kind == ACT_DEAF;
		return true;
	}
	return false;
}

/* Goes on with the script as far as it can. A dribbling end says one byte in a turn. */
static void go_on(const struct play *p, struct end *e)
{
	if (!step_wire(e))
		return;
	while (!end_done(e)) {
		const struct act *a = &e->acts[e->act];
		size_t before = e->spoken;

		if (!try_act(p, e, a))
			return;
		e->act++;
		e->said = 0;
		if (e->dribbles && e->spoken != before)
			return;
	}
}

static void check_heard(struct end *e, const uint8_t *data, size_t len)
{
	if (e->expect && (e->heard + len > e->expect_len || memcmp(e->expect + e->heard, data, len) != 0))
		e->wrong = true;
	if (e->keep && e->heard < e->keep_len) {
		size_t room = e->keep_len - e->heard;

		memcpy(e->keep + e->heard, data, len < room ? len : room);
	}
	e->heard += len;
}

static size_t may_read(struct end *e)
{
	if (e->deaf || e->ended || e->reset || e->fd < 0)
		return 0;
	if (!e->rate)
		return CHUNK;
	if (!e->since)
		e->since = now_ms();
	size_t due = (size_t)((now_ms() - e->since) * e->rate / 1000 + 1);
	return due > e->heard ? due - e->heard : 0;
}

/* There is something to hear that no event tells of. */
static bool holds(struct end *e)
{
	return e->fd >= 0 && e->wire && wire_holds(e->wire) && may_read(e);
}

static void hear(struct end *e)
{
	static uint8_t buf[CHUNK];
	size_t max = may_read(e);

	if (!max)
		return;
	max = max < sizeof(buf) ? max : sizeof(buf);
	ssize_t n = e->wire ? wire_hear(e->wire, buf, max) : recv(e->fd, buf, max, 0);
	if (n > 0)
		check_heard(e, buf, (size_t)n);
	else if (n == 0)
		e->ended = true;
	else if (errno != EAGAIN && errno != EINTR)
		e->reset = true;
}

/* A reset that comes behind a FIN, or while nobody reads. */
static void look_for_reset(struct end *e)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(e->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error)
		e->reset = true;
}

/* ---- turns ---- */

static short wants(const struct play *p, struct end *e)
{
	const struct act *a = end_done(e) ? NULL : &e->acts[e->act];
	short events = may_read(e) ? POLLIN : 0;

	(void)p;
	if (!e->reset &&
	    ((a && a->kind == ACT_SAY && !(e->wire && !wire_open(e->wire))) || (e->wire && wire_keeps(e->wire))))
		events |= POLLOUT;
	if (e->wire && !wire_open(e->wire))
		events |= POLLIN;
	return events;
}

struct polled {
	struct pollfd *fds;
	struct end **ends; /* NULL: a stage's listener */
	size_t n, room;
};

static void add_polled(struct polled *set, int fd, short events, struct end *e)
{
	if (set->n == set->room) {
		set->room = set->room ? set->room * 2 : 64;
		set->fds = realloc(set->fds, set->room * sizeof(*set->fds));
		set->ends = realloc(set->ends, set->room * sizeof(struct end *));
		assert_true(set->fds && set->ends);
	}
	set->fds[set->n] = (struct pollfd){.fd = fd, .events = events};
	set->ends[set->n++] = e;
}

static void add_end(struct polled *set, const struct play *p, struct end *e)
{
	/* With both halves ended a socket is hung up for ever, which nobody needs to be told. */
	if (e->fd < 0 || e->reset)
		return;
	short events = wants(p, e);
	if (!events && e->ended && e->finned)
		return;
	add_polled(set, e->fd, events, e);
}

static void prepare(struct end *e, int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	e->fd = fd;
	e->ended = e->finned = e->reset = false;
	e->connections++;
}

/* One that is in use is not replaced: what waits there is another play's. */
static void take_connections(const struct stage *s, unsigned i, struct play *p)
{
	const struct end *e = &p->server[i];

	if (e->fd >= 0 && !e->ended && !e->finned && !e->reset)
		return;
	int fd = accept4(s->fd[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (p->server[i].fd >= 0)
		close_end(&p->server[i], false);
	prepare(&p->server[i], fd);
	if (s->tls)
		p->server[i].wire = wire_new(fd, true);
}

static void go_on_all(struct play *plays, size_t n)
{
	for (size_t k = 0; k < n; k++) {
		go_on(&plays[k], &plays[k].client);
		for (unsigned i = 0; i < plays[k].n; i++)
			go_on(&plays[k], &plays[k].server[i]);
	}
}

static void serve(struct end *e, short revents)
{
	if (((revents & POLLIN) && (!e->wire || wire_open(e->wire))) || holds(e))
		hear(e);
	if (e->fd >= 0 && (revents & POLLERR) && !(revents & POLLIN))
		look_for_reset(e);
}

/* No event tells when it can go on. */
static bool needs_time(const struct end *e)
{
	if (e->wire && wire_holds(e->wire))
		return true;
	return e->rate > 0 ||
	       (!end_done(e) && (e->acts[e->act].kind == ACT_RESET || e->acts[e->act].kind == ACT_ARRIVE));
}

void play_turn(struct stage *s, struct play *plays, size_t n, struct play *accepting, int wait)
{
	static struct polled set;
	bool slow = false;

	set.n = 0;
	for (unsigned i = 0; accepting && i < accepting->n; i++) {
		if (!s->refuses[i] && !s->shut[i])
			add_polled(&set, s->fd[i], POLLIN, NULL);
		else
			add_polled(&set, -1, 0, NULL);
	}
	size_t listeners = set.n;
	for (size_t k = 0; k < n; k++) {
		add_end(&set, &plays[k], &plays[k].client);
		slow |= needs_time(&plays[k].client);
		for (unsigned i = 0; i < plays[k].n; i++) {
			add_end(&set, &plays[k], &plays[k].server[i]);
			slow |= needs_time(&plays[k].server[i]);
		}
	}
	if (slow && wait > 5)
		wait = 5;
	if (poll(set.fds, (nfds_t)set.n, wait) < 0)
		assert_int_equal(errno, EINTR);
	for (size_t i = 0; i < listeners; i++) {
		if (set.fds[i].revents & POLLIN)
			take_connections(s, (unsigned)i, accepting);
	}
	for (size_t i = listeners; i < set.n; i++)
		serve(set.ends[i], set.fds[i].revents);
	go_on_all(plays, n);
}

static void show_end(const char *name, unsigned i, const struct end *e)
{
	fprintf(stderr, "  %s %u: fd=%d act=%u/%u said=%zu spoken=%zu heard=%zu of %zu%s%s%s%s connections=%u\n", name,
		i, e->fd, e->act, e->n_acts, e->said, e->spoken, e->heard, e->expect_len, e->wrong ? " WRONG" : "",
		e->ended ? " ended" : "", e->reset ? " reset" : "", e->deaf ? " deaf" : "", e->connections);
}

void play_show(const struct play *p)
{
	show_end("client", 0, &p->client);
	for (unsigned i = 0; i < p->n; i++)
		show_end("server", i, &p->server[i]);
}

bool play_until(struct stage *s, struct play *plays, size_t n, struct play *accepting,
		bool (*until)(const struct play *p))
{
	uint64_t limit = now_ms() + (uint64_t)patience_ms();
	size_t spoken = 0;

	go_on_all(plays, n);
	for (;;) {
		bool all = true;
		size_t now_spoken = 0;

		for (size_t k = 0; k < n; k++) {
			all &= until(&plays[k]);
			now_spoken += plays[k].client.heard + plays[k].client.spoken;
			for (unsigned i = 0; i < plays[k].n; i++)
				now_spoken += plays[k].server[i].heard + plays[k].server[i].spoken;
		}
		if (all)
			return true;
		/* As long as bytes move it does not hang. */
		if (now_spoken != spoken)
			limit = now_ms() + (uint64_t)patience_ms();
		spoken = now_spoken;
		if (now_ms() > limit)
			return false;
		play_turn(s, plays, n, accepting, 100);
	}
}

void play_run(struct stage *s, struct play *p, bool (*until)(const struct play *p))
{
	if (play_until(s, p, 1, p, until))
		return;
	play_show(p);
	fail_msg("it never came to the end");
}

void play_connect(struct play *p, int family, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t len = loopback(family, port, &at);
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&at, len) < 0)
		assert_int_equal(errno, EINPROGRESS);
	p->port = port_of(fd);
	prepare(&p->client, fd);
}

void play_secure(struct play *p)
{
	p->client.wire = wire_new(p->client.fd, false);
}

bool refuses(int family, uint16_t port)
{
	struct sockaddr_storage at;
	socklen_t len = loopback(family, port, &at);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	bool refused = connect(fd, (struct sockaddr *)&at, len) < 0;
	if (refused)
		assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	return refused;
}

bool play_accept(struct stage *s, unsigned i, struct play *p)
{
	int fd = accept4(s->fd[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return false;
	prepare(&p->client, fd);
	return true;
}

bool gathered(const struct play *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (!p->server[i].connections)
			return client_closed(p);
	}
	return true;
}

void play_gather(struct stage *s, struct play *p)
{
	play_run(s, p, gathered);
}

void play_gather_last(struct stage *s, struct play *plays, size_t n)
{
	if (play_until(s, plays, n, &plays[n - 1], gathered))
		return;
	play_show(&plays[n - 1]);
	fail_msg("not every server was dialled");
}

void play_check(const struct play *p, const char *what)
{
	bool wrong = p->client.wrong;

	for (unsigned i = 0; i < p->n; i++)
		wrong |= p->server[i].wrong;
	if (!wrong)
		return;
	play_show(p);
	fail_msg("%s: somebody heard what was not said", what);
}

void play_free(struct play *p)
{
	close_end(&p->client, false);
	for (unsigned i = 0; i < SERVERS; i++)
		close_end(&p->server[i], false);
}
