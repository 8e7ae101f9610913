/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather.c - outgoing services: connections of three instances that come in any order, end at any moment, and whose
 * backend does, too. Each is played twice, the second time with everything said a byte at a time.
 *
 * Longer than 1000 lines because its plays share a cast.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "play/world.h"

#define N     3
#define LINES 40
#define KEPT  8192

#define ASK_A	 "GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
#define ASK_B	 "GET /b HTTP/1.1\r\nHost: x\r\n\r\n"
#define AMID	 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nx"
#define OK(body) "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n" body

struct offered {
	const char *name, *options;
	int hold[N];
	uint16_t port[N];
};

/* What has to find its partners may take its time, and nothing is waited for but where the name says so. */
static struct offered offered[] = {
	{.name = "calm", .options = "diff-class: http, gather: { partner: 120s, idle: 120s }"},
	{.name = "late", .options = "diff-class: http, gather: { partner: 300ms, idle: 120s }"},
	{.name = "busy", .options = "diff-class: http, gather: { partner: 3s, idle: 120s }"},
	{.name = "brief", .options = "diff-class: http, gather: { partner: 120s, idle: 100ms }"},
	{.name = "moved", .options = "diff-class: http, gather: { partner: 120s, idle: 120s }"},
	{.name = "few", .options = "diff-class: http, gather: { partner: 120s, waiting: 2 }"},
	{.name = "small", .options = "diff-class: http, gather: { partner: 120s }, limits: { buffer: 4KiB }"},
	{.name = "reports", .options = "diff-class: http, enforcing: false, gather: { partner: 300ms, idle: 120s }"},
	{.name = "marked",
	 .options = "diff-class: http, diff-params: { correlate: {} }, gather: { partner: 120s, idle: 120s }"},
	{.name = "plain", .options = "diff-class: bytes, gather: { partner: 120s, first: 60s }"},
	{.name = "mute", .options = "diff-class: bytes, gather: { partner: 120s, first: 100ms }"},
};

static struct child it;
static struct stage stage;
/* The instances' connections, and those that the backend took. */
static struct play cast[LINES];
static uint8_t kept[LINES][KEPT];
static size_t told[LINES]; /* how much of what a line heard was looked at */
static unsigned n_cast;
static size_t descriptors; /* of a daemon that nobody talks to */
static bool dribbles;

/* ---- the daemon ---- */

static struct offered *offered_as(const char *name)
{
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		if (strcmp(offered[i].name, name) == 0)
			return &offered[i];
	}
	fail_msg("no service %s", name);
	return NULL;
}

static void write_config(void)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fprintf(f, "workers: 2\nservices:\n");
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		fprintf(f, "  %s: { direction: outgoing, deadlines: { skew: 120s, idle: 120s }, %s,\n", offered[i].name,
			offered[i].options);
		fprintf(f, "    backend: { chainer: directed, remote: \"127.0.0.1:%u\" },\n    instances: [",
			stage.port[0]);
		for (unsigned k = 0; k < N; k++)
			fprintf(f, "{ name: i%u, listen: \"127.0.0.1:%u\" }%s", k, offered[i].port[k],
				k < 2 ? ", " : "");
		fprintf(f, "] }\n");
	}
	fclose(f);
	child_config(&it, "%s", text);
	free(text);
}

static int begin(void **state)
{
	(void)state;
	child_init(&it);
	stage_init(&stage, AF_INET, 1);
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		for (unsigned k = 0; k < N; k++)
			offered[i].port[k] = free_port(AF_INET, &offered[i].hold[k]);
	}
	write_config();
	child_start(&it, NULL);
	descriptors = child_fds(&it, SIZE_MAX);
	return 0;
}

static int end(void **state)
{
	(void)state;
	child_forget(&it, true);
	stage_free(&stage);
	for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++) {
		for (unsigned k = 0; k < N; k++)
			close(offered[i].hold[k]);
	}
	return 0;
}

static uint64_t counted(const char *service, const char *name)
{
	return child_counter(&it, service, name);
}

/* ---- lines ---- */

static unsigned new_line(void)
{
	assert_true(n_cast < LINES);
	unsigned line = n_cast++;

	play_init(&cast[line], 0);
	memset(kept[line], 0, KEPT);
	told[line] = 0;
	cast[line].client.keep = kept[line];
	cast[line].client.keep_len = KEPT;
	cast[line].client.dribbles = dribbles;
	return line;
}

static void show_all(void)
{
	for (unsigned i = 0; i < n_cast; i++) {
		fprintf(stderr, "line %u: ", i);
		play_show(&cast[i]);
	}
	child_show_log(&it);
}

/* Plays on until it is so; false: it never is. */
static bool comes(bool (*is)(unsigned line, size_t what), unsigned line, size_t what)
{
	uint64_t limit = now_ms() + (uint64_t)patience_ms();

	/* What is there to be heard already. */
	play_turn(&stage, cast, n_cast, NULL, 0);
	while (!is(line, what)) {
		if (now_ms() > limit)
			return false;
		play_turn(&stage, cast, n_cast, NULL, 20);
	}
	return true;
}

static bool has_heard(unsigned line, size_t bytes)
{
	return cast[line].client.heard >= bytes;
}

static bool is_through(unsigned line, size_t what)
{
	(void)what;
	return end_done(&cast[line].client);
}

static bool is_over(unsigned line, size_t what)
{
	(void)what;
	return client_closed(&cast[line]);
}

static unsigned dial(const char *service, unsigned instance)
{
	unsigned line = new_line();

	play_connect(&cast[line], AF_INET, offered_as(service)->port[instance]);
	return line;
}

static void do_script(unsigned line, const char *what)
{
	if (comes(is_through, line, 0))
		return;
	show_all();
	fail_msg("line %u could not %s", line, what);
}

static void anew(unsigned line)
{
	cast[line].client.n_acts = cast[line].client.act = 0;
	cast[line].client.said = 0;
}

static void say(unsigned line, const char *text)
{
	anew(line);
	says_text(&cast[line].client, text);
	do_script(line, "say it");
}

/* Of our connection, how much the daemon has not read: what the kernel shows of its end. */
static long unread_by_daemon(uint16_t port)
{
	FILE *f = fopen("/proc/net/tcp", "re");
	char row[512];
	long found = -1;

	assert_non_null(f);
	while (fgets(row, sizeof(row), f)) {
		unsigned remote, state;
		unsigned long out, in;

		if (sscanf(row, " %*u: %*8x:%*4x %*8x:%4x %2x %lx:%lx", &remote, &state, &out, &in) == 4 &&
		    remote == port && state != 6 /* TIME_WAIT */)
			found = (long)in;
	}
	fclose(f);
	return found;
}

static bool is_taken(unsigned line, size_t what)
{
	(void)what;
	return unread_by_daemon(cast[line].port) == 0;
}

/* Says it, and waits until the daemon has it. */
static void say_and_arrive(unsigned line, const char *text)
{
	say(line, text);
	if (!comes(is_taken, line, 0))
		fail_msg("line %u is never read", line);
}

static void act(unsigned line, enum act_kind kind)
{
	anew(line);
	does(&cast[line].client, kind, 0);
	do_script(line, "end");
}

static void hear(unsigned line, const char *text)
{
	size_t from = told[line], len = strlen(text);

	told[line] += len;
	assert_true(told[line] < KEPT);
	if (comes(has_heard, line, told[line]) && memcmp(kept[line] + from, text, len) == 0)
		return;
	show_all();
	fail_msg("line %u heard '%.*s', not '%s'", line, (int)(KEPT - from), kept[line] + from, text);
}

/* One of two texts of the same length; which. */
static unsigned hear_either(unsigned line, const char *one, const char *other)
{
	size_t from = told[line];

	assert_int_equal(strlen(one), strlen(other));
	if (!comes(has_heard, line, from + strlen(one))) {
		show_all();
		fail_msg("line %u heard nothing", line);
	}
	bool is_one = memcmp(kept[line] + from, one, strlen(one)) == 0;
	hear(line, is_one ? one : other);
	return !is_one;
}

/* It is ended, in order or not, and has heard nothing more. */
static void hear_end(unsigned line, bool reset)
{
	bool over = comes(is_over, line, 0);

	if (over && cast[line].client.heard == told[line] && (!reset || cast[line].client.reset))
		return;
	show_all();
	fail_msg("line %u: %s, and heard %zu bytes more", line, over ? "ended in the wrong way" : "not ended",
		 cast[line].client.heard - told[line]);
}

/* The backend's next connection. */
static unsigned take(void)
{
	uint64_t limit = now_ms() + (uint64_t)patience_ms();
	unsigned line = new_line();

	while (!play_accept(&stage, 0, &cast[line])) {
		if (now_ms() > limit) {
			show_all();
			fail_msg("the backend is not dialled");
		}
		play_turn(&stage, cast, n_cast, NULL, 5);
	}
	return line;
}

/* One of two lines hears that; which. */
static unsigned hear_first(const unsigned lines[2], const char *text)
{
	uint64_t limit = now_ms() + (uint64_t)patience_ms();

	for (;;) {
		for (unsigned k = 0; k < 2; k++) {
			if (!has_heard(lines[k], told[lines[k]] + strlen(text)))
				continue;
			hear(lines[k], text);
			return lines[k];
		}
		if (now_ms() > limit) {
			show_all();
			fail_msg("neither heard '%s'", text);
		}
		play_turn(&stage, cast, n_cast, NULL, 20);
	}
}

/* Two backends that are asked two things, in any order; backend[0] is asked the first one. */
static void hear_two(unsigned backend[2], const char *one, const char *other)
{
	unsigned first = backend[0], second = backend[1];
	unsigned swapped = hear_either(first, one, other);

	hear(second, swapped ? one : other);
	backend[0] = swapped ? second : first;
	backend[1] = swapped ? first : second;
}

static void take_two(unsigned backend[2], const char *one, const char *other)
{
	backend[0] = take();
	backend[1] = take();
	hear_two(backend, one, other);
}

static void nobody_dials_the_backend(void)
{
	struct play p;

	play_init(&p, 0);
	if (play_accept(&stage, 0, &p)) {
		play_free(&p);
		show_all();
		fail_msg("the backend was dialled");
	}
}

/* With a reset: who waits with its request said, and ends in order, still waits for the answer. */
static void close_all(void)
{
	const struct linger at_once = {.l_onoff = 1};

	for (unsigned i = 0; i < n_cast; i++) {
		if (cast[i].client.fd >= 0)
			setsockopt(cast[i].client.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		play_free(&cast[i]);
	}
	n_cast = 0;
}

/* Everybody leaves, and the daemon has nothing left of it. */
static void leave(void)
{
	close_all();
	child_wait_sessions(&it, 0);
	if (child_fds(&it, descriptors) > descriptors)
		fail_msg("descriptors are left");
	nobody_dials_the_backend();
}

/* Also after a test that failed: the next one finds nothing of it. */
static int forget(void **state)
{
	struct play p;

	(void)state;
	close_all();
	for (play_init(&p, 0); play_accept(&stage, 0, &p);)
		play_free(&p);
	if (it.pid && child_runs(&it))
		child_fds(&it, descriptors);
	return 0;
}

static void dial_all(const char *service, unsigned lines[N])
{
	for (unsigned i = 0; i < N; i++)
		lines[i] = dial(service, i);
}

static void say_all(const unsigned lines[N], const char *text)
{
	for (unsigned i = 0; i < N; i++)
		say(lines[i], text);
}

static void hear_all(const unsigned lines[N], const char *text)
{
	for (unsigned i = 0; i < N; i++)
		hear(lines[i], text);
}

/* What all ask arrives once, and the answer at all. */
static void exchange(const unsigned lines[N], unsigned backend, const char *ask, const char *answer)
{
	hear(backend, ask);
	say(backend, answer);
	hear_all(lines, answer);
}

/* The service works. */
static void whole_exchange(const char *service)
{
	unsigned lines[N];

	dial_all(service, lines);
	say_all(lines, ASK_A);
	exchange(lines, take(), ASK_A, OK("w"));
	leave();
}

/* The newest n records of that service all have this reason, and why says that. */
static void check_records(const char *service, size_t n, const char *reason, const char *why)
{
	json_object *list, *result = child_evidence(&it, n, &list);

	assert_int_equal(json_object_array_length(list), n);
	for (size_t i = 0; i < n; i++) {
		json_object *record = json_object_array_get_idx(list, i);

		if (strcmp(json_text(record, "service"), service) != 0 ||
		    strcmp(json_text(record, "reason"), reason) != 0 || !strstr(json_text(record, "why"), why))
			fail_msg("not %s, %s, %s: %s", service, reason, why, json_object_to_json_string(record));
	}
	json_object_put(result);
}

/* ---- who belongs together ---- */

/* Each instance has two connections, and asks for one thing on either; which goes first differs. */
static void pairs_in_any_order(void **state)
{
	static const char *const asks[] = {ASK_A, ASK_B}, *const answers[] = {OK("A"), OK("B")};

	(void)state;
	for (unsigned order = 0; order < 24; order++) {
		uint64_t groups = counted("calm", "groups"), denied = counted("calm", "denied");
		unsigned lines[N][2], backend[2];

		for (unsigned k = 0; k < N; k++) {
			unsigned i = (k + order / 8) % N;

			for (unsigned c = 0; c < 2; c++) {
				lines[i][c] = dial("calm", i);
				say(lines[i][c], asks[c ^ (order >> i & 1)]);
			}
		}
		/* Nobody is answered before all are asked: a backend that is free would be used again. */
		take_two(backend, ASK_A, ASK_B);
		for (unsigned c = 0; c < 2; c++)
			say(backend[c], answers[c]);
		for (unsigned i = 0; i < N; i++) {
			for (unsigned c = 0; c < 2; c++)
				hear(lines[i][c], answers[c ^ (order >> i & 1)]);
		}
		leave();
		assert_int_equal(counted("calm", "groups"), groups + 2);
		assert_int_equal(counted("calm", "denied"), denied);
	}
}

/* What is asked twice in the same words is answered twice, to each instance. */
static void identical_openings(void **state)
{
	unsigned lines[N][2], backend[2];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		for (unsigned c = 0; c < 2; c++) {
			lines[i][c] = dial("calm", i);
			say(lines[i][c], ASK_A);
		}
	}
	take_two(backend, ASK_A, ASK_A);
	say(backend[0], OK("1"));
	say(backend[1], OK("2"));
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(
			hear_either(lines[i][0], OK("1"), OK("2")) + hear_either(lines[i][1], OK("1"), OK("2")), 1);
	leave();
}

#define MARKED(id) "GET /a HTTP/1.1\r\nHost: x\r\nX-RDDR-Correlation: " id "\r\n\r\n"
#define ONE	   "00000000000000000000000000000001"
#define TWO	   "00000000000000000000000000000002"

/* The same words again, but it is said what they belong to; a third one says nothing of that. */
static void correlated_openings(void **state)
{
	static const char *const asks[] = {MARKED(ONE), MARKED(TWO)};
	unsigned lines[N][2], late, backend[2];

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned c = 0; c < 2; c++) {
			lines[i][c] = dial("marked", i);
			/* The second instance's the other way round. */
			say_and_arrive(lines[i][c], asks[c ^ i]);
		}
	}
	lines[2][1] = dial("marked", 2);
	say(lines[2][1], MARKED(TWO));
	backend[1] = take();
	hear(backend[1], ASK_A);
	/* It makes the one complete that is left, though it does not say so. */
	lines[2][0] = dial("marked", 2);
	say(lines[2][0], ASK_A);
	backend[0] = take();
	hear(backend[0], ASK_A);
	say(backend[0], OK("1"));
	say(backend[1], OK("2"));
	for (unsigned i = 0; i < N; i++) {
		hear(lines[i][i == 1 ? 1 : 0], OK("1"));
		hear(lines[i][i == 1 ? 0 : 1], OK("2"));
	}
	/* What it belongs to is over. */
	late = dial("marked", 1);
	say_and_arrive(late, MARKED(ONE));
	say(lines[0][0], MARKED(TWO));
	say(lines[2][0], MARKED(TWO));
	say(lines[1][0], MARKED(TWO));
	/* Which of the backends is used again depends on who was through first. */
	unsigned used = hear_first(backend, ASK_A);
	say(used, OK("3"));
	hear(lines[0][0], OK("3"));
	hear(lines[1][0], OK("3"));
	hear(lines[2][0], OK("3"));
	assert_int_equal(cast[late].client.heard, 0);
	leave();
}

/* The second round pairs other connections than the first one did. */
static void regroups(void **state)
{
	uint64_t regroupings = counted("calm", "regroupings"), reused = counted("calm", "backend_reused");
	uint64_t dials = counted("calm", "dials");
	unsigned lines[2][N], backend[2];

	(void)state;
	for (unsigned c = 0; c < 2; c++) {
		dial_all("calm", lines[c]);
		say_all(lines[c], c ? ASK_B : ASK_A);
	}
	take_two(backend, ASK_A, ASK_B);
	for (unsigned c = 0; c < 2; c++) {
		say(backend[c], c ? OK("b") : OK("a"));
		hear_all(lines[c], c ? OK("b") : OK("a"));
	}
	assert_int_equal(counted("calm", "regroupings"), regroupings);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned c = 0; c < 2; c++) {
			for (unsigned i = 0; i < N; i++)
				say(lines[c ^ (i == 1)][i], c ? ASK_B : ASK_A);
		}
		hear_two(backend, ASK_A, ASK_B);
		say(backend[0], OK("A"));
		say(backend[1], OK("B"));
		for (unsigned c = 0; c < 2; c++) {
			for (unsigned i = 0; i < N; i++)
				hear(lines[c ^ (i == 1)][i], c ? OK("B") : OK("A"));
		}
	}
	/* In the second round they were together before. */
	assert_int_equal(counted("calm", "regroupings"), regroupings + 2);
	assert_int_equal(counted("calm", "backend_reused"), reused + 4);
	assert_int_equal(counted("calm", "dials"), dials + 2);
	leave();
}

/* Requests that were said at once, one behind the other: each is an exchange of its own. */
static void pipelined(void **state)
{
	unsigned lines[N], backend;

	(void)state;
	dial_all("calm", lines);
	say_all(lines, ASK_A ASK_B);
	backend = take();
	exchange(lines, backend, ASK_A, OK("a"));
	exchange(lines, backend, ASK_B, OK("b"));
	leave();
}

/* ---- what finds no partners ---- */

static void refused_after_the_deadline(void **state)
{
	uint64_t missing = counted("late", "partners_missing"), denied = counted("late", "denied");
	unsigned lines[N];

	(void)state;
	dial_all("late", lines);
	say(lines[0], ASK_A);
	say(lines[1], ASK_A);
	hear_end(lines[0], true);
	hear_end(lines[1], true);
	assert_int_equal(counted("late", "partners_missing"), missing + 2);
	assert_int_equal(counted("late", "denied"), denied + 2);
	check_records("late", 2, "missing", "i2");

	say(lines[2], "GET /a HTTP");
	hear_end(lines[2], true);
	check_records("late", 1, "missing", "it is not complete");
	leave();
	whole_exchange("late");
}

/* One of each is left, and they have path and method in common: where they differ is to be found out. */
/* Others' exchanges give nobody more time. */
static void refused_while_exchanges_go_on(void **state)
{
	uint64_t limit = now_ms() + 3000 + (uint64_t)patience_ms(), denied = counted("busy", "denied");
	unsigned odd = dial("busy", 1), lines[N], backend = LINES;

	(void)state;
	dial_all("busy", lines);
	say_and_arrive(odd, ASK_A);
	while (!client_closed(&cast[odd])) {
		if (now_ms() > limit) {
			show_all();
			fail_msg("it waits for ever");
		}
		say_all(lines, ASK_B);
		backend = backend == LINES ? take() : backend;
		exchange(lines, backend, ASK_B, OK("b"));
		/* What a line hears has to be kept: some exchanges in a second are enough. */
		for (uint64_t next = now_ms() + 100; now_ms() < next && !client_closed(&cast[odd]);)
			play_turn(&stage, cast, n_cast, NULL, 20);
	}
	hear_end(odd, true);
	assert_int_equal(counted("busy", "denied"), denied + 1);
	check_records("busy", 1, "missing", "missing i0, i2");
	leave();
}

static void compared_after_the_deadline(void **state)
{
	uint64_t divergences = counted("late", "denied_divergence");
	unsigned lines[N];

	(void)state;
	dial_all("late", lines);
	for (unsigned i = 0; i < N; i++)
		say(lines[i], i == 2 ? "GET /a?x HTTP/1.1\r\nHost: x\r\n\r\n" : ASK_A);
	for (unsigned i = 0; i < N; i++)
		hear_either(lines[i], "HTTP/1.1 500", "HTTP/1.1 500");
	assert_int_equal(counted("late", "denied_divergence"), divergences + 1);
	check_records("late", 1, "divergence", "");
	for (unsigned i = 0; i < N; i++)
		told[lines[i]] = cast[lines[i]].client.heard;
	/* The backend may have been dialled, and heard nothing. */
	struct play p;
	play_init(&p, 0);
	if (play_accept(&stage, 0, &p))
		play_free(&p);
	leave();
}

static void too_many_wait(void **state)
{
	uint64_t full = counted("few", "gather_full");
	unsigned lines[3];

	(void)state;
	for (unsigned c = 0; c < 3; c++) {
		lines[c] = dial("few", 1);
		if (c < 2)
			say_and_arrive(lines[c], ASK_A);
	}
	hear_end(lines[2], true);
	assert_int_equal(counted("few", "gather_full"), full + 1);
	leave();
	whole_exchange("few");
}

static void a_head_longer_than_the_buffer(void **state)
{
	uint64_t limit = counted("small", "denied");
	char text[6000] = "GET /a HTTP/1.1\r\nHost: x\r\nX: ";
	unsigned line = dial("small", 0);

	(void)state;
	memset(text + strlen(text), 'x', sizeof(text) - strlen(text) - 1);
	anew(line);
	says(&cast[line].client, text, sizeof(text) - 1);
	hear_end(line, true);
	assert_int_equal(counted("small", "denied"), limit + 1);
	check_records("small", 1, "limit", "limits.buffer");
	leave();
	whole_exchange("small");
}

static void a_body_longer_than_the_buffer(void **state)
{
	static char text[20000];
	unsigned lines[N], backend;
	int head = snprintf(text, sizeof(text), "PUT /a HTTP/1.1\r\nHost: x\r\nContent-Length: 6000\r\n\r\n");

	(void)state;
	memset(text + head, 'y', 6000);
	text[head + 6000] = '\0';
	dial_all("small", lines);
	/* Nobody is read to the end before the others come. */
	for (unsigned i = 0; i < N; i++) {
		anew(lines[i]);
		says_text(&cast[lines[i]].client, text);
	}
	backend = take();
	exchange(lines, backend, text, OK("y"));
	leave();
}

/* ---- ends ---- */

static const enum act_kind ends[] = {ACT_FIN, ACT_RESET};

/* Before anything was said, it is nobody's business. */
static void ends_before_it_speaks(void **state)
{
	uint64_t denied = counted("calm", "denied");

	(void)state;
	for (unsigned k = 0; k < 2 * N; k++) {
		unsigned line = dial("calm", k % N);

		if (!comes(is_taken, line, 0))
			fail_msg("line %u is not accepted", line);
		act(line, ends[k / N]);
		if (ends[k / N] == ACT_FIN)
			hear_end(line, false);
		leave();
		whole_exchange("calm");
	}
	assert_int_equal(counted("calm", "denied"), denied);
}

static void ends_amid_its_request(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2 * N; k++) {
		uint64_t denied = counted("calm", "denied");
		unsigned line = dial("calm", k % N);
		bool fin = ends[k / N] == ACT_FIN;

		say_and_arrive(line, "GET /a HT");
		act(line, ends[k / N]);
		if (fin) {
			hear_end(line, true);
			check_records("calm", 1, "early-end", "before it had said what it wants");
		}
		leave();
		assert_int_equal(counted("calm", "denied"), denied + fin);
		whole_exchange("calm");
	}
}

/* One that waits: reset it is gone, and another takes its place; having ended its half it still wants its answer. */
static void ends_while_it_waits(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2 * N; k++) {
		uint64_t denied = counted("calm", "denied");
		unsigned lines[N], i = k % N;
		bool fin = ends[k / N] == ACT_FIN;

		lines[i] = dial("calm", i);
		say_and_arrive(lines[i], ASK_A);
		act(lines[i], ends[k / N]);
		if (!fin) {
			if (child_fds(&it, descriptors) > descriptors)
				fail_msg("it is not gone");
			lines[i] = dial("calm", i);
			say(lines[i], ASK_A);
		}
		for (unsigned other = 1; other < N; other++) {
			lines[(i + other) % N] = dial("calm", (i + other) % N);
			say(lines[(i + other) % N], ASK_A);
		}
		exchange(lines, take(), ASK_A, OK("a"));
		if (fin)
			hear_end(lines[i], false);
		leave();
		assert_int_equal(counted("calm", "denied"), denied);
	}
}

/* Its partners get the answer, which the backend gives once. */
static void ends_before_the_answer(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4 * N; k++) {
		bool amid = k / N % 2;
		unsigned lines[N], i = k % N, backend;

		dial_all("calm", lines);
		say_all(lines, ASK_A);
		backend = take();
		hear(backend, ASK_A);
		if (amid) {
			say(backend, AMID);
			hear_all(lines, AMID);
		}
		act(lines[i], ends[k / N / 2]);
		say(backend, amid ? "yz" : OK("a"));
		for (unsigned other = 0; other < N; other++) {
			if (other != i || ends[k / N / 2] == ACT_FIN)
				hear(lines[other], amid ? "yz" : OK("a"));
		}
		leave();
		whole_exchange("calm");
	}
}

static void ends_between_two_exchanges(void **state)
{
	uint64_t denied = counted("calm", "denied");

	(void)state;
	for (unsigned k = 0; k < 2 * N; k++) {
		unsigned lines[N], i = k % N, backend;

		dial_all("calm", lines);
		say_all(lines, ASK_A);
		backend = take();
		exchange(lines, backend, ASK_A, OK("a"));
		act(lines[i], ends[k / N]);
		/* The others stay, and so does the backend's. */
		lines[i] = dial("calm", i);
		say_all(lines, ASK_B);
		exchange(lines, backend, ASK_B, OK("b"));
		leave();
	}
	assert_int_equal(counted("calm", "denied"), denied);
}

/* ---- the backend's ends ---- */

static void the_backend_ends_before_its_answer(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		static const enum act_kind kinds[] = {ACT_CLOSE, ACT_RESET};
		unsigned lines[N], backend;

		dial_all("calm", lines);
		say_all(lines, ASK_A);
		backend = take();
		hear(backend, ASK_A);
		if (k & 1) {
			say(backend, AMID);
			hear_all(lines, AMID);
		}
		act(backend, kinds[k / 2]);
		/* As it was said to us; and nobody else is asked. */
		for (unsigned i = 0; i < N; i++)
			hear_end(lines[i], kinds[k / 2] == ACT_RESET);
		leave();
		whole_exchange("calm");
	}
}

static void an_idle_backend_ends(void **state)
{
	uint64_t denied = counted("calm", "denied");

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		uint64_t dials = counted("calm", "dials");
		unsigned lines[N], backend;

		dial_all("calm", lines);
		say_all(lines, ASK_A);
		backend = take();
		exchange(lines, backend, ASK_A, OK("a"));
		child_fds(&it, descriptors + N + 1);
		act(backend, ends[k]);
		if (child_fds(&it, descriptors + N) > descriptors + N)
			fail_msg("it is kept");
		say_all(lines, ASK_B);
		exchange(lines, take(), ASK_B, OK("b"));
		assert_int_equal(counted("calm", "dials"), dials + 2);
		leave();
	}
	assert_int_equal(counted("calm", "denied"), denied);
}

static void the_pool_expires(void **state)
{
	unsigned lines[N], backend;

	(void)state;
	dial_all("brief", lines);
	say_all(lines, ASK_A);
	backend = take();
	exchange(lines, backend, ASK_A, OK("a"));
	hear_end(backend, false);
	say_all(lines, ASK_B);
	exchange(lines, take(), ASK_B, OK("b"));
	leave();
}

static void what_the_backend_says_unasked_ends_it(void **state)
{
	unsigned lines[N], backend;

	(void)state;
	dial_all("calm", lines);
	say_all(lines, ASK_A);
	backend = take();
	exchange(lines, backend, ASK_A, OK("a"));
	if (child_fds(&it, descriptors + N + 1) > descriptors + N + 1)
		fail_msg("the session is not over");
	say(backend, "x");
	hear_end(backend, false);
	say_all(lines, ASK_B);
	exchange(lines, take(), ASK_B, OK("b"));
	leave();
}

/* ---- report mode ---- */

static void reports_and_goes_on(void **state)
{
	uint64_t missing = counted("reports", "partners_missing"), reported = counted("reports", "reported");
	unsigned lines[N], backend;

	(void)state;
	dial_all("reports", lines);
	say(lines[0], ASK_A);
	backend = take();
	hear(backend, ASK_A);
	say(backend, OK("a"));
	hear(lines[0], OK("a"));
	assert_int_equal(counted("reports", "partners_missing"), missing + 2);
	assert_int_equal(counted("reports", "reported"), reported + 2);
	check_records("reports", 2, "missing", "did not say it within 300 ms");
	leave();

	/* One of the others asks for something else: it has no part in it. */
	dial_all("reports", lines);
	say(lines[0], ASK_A);
	say(lines[1], ASK_A);
	say(lines[2], ASK_B);
	backend = take();
	hear(backend, ASK_A);
	say(backend, OK("a"));
	hear(lines[0], OK("a"));
	hear(lines[1], OK("a"));
	hear_end(lines[2], true);
	leave();
	whole_exchange("reports");
}

/* ---- whole connections ---- */

static void whole_connections_by_their_first_bytes(void **state)
{
	unsigned lines[N][2], backend[2];

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		for (unsigned c = 0; c < 2; c++) {
			lines[i][c] = dial("plain", i);
			/* At once, so that all of it is what comes first. */
			cast[lines[i][c]].client.dribbles = false;
			say(lines[i][c], c ^ (i == 1) ? "two\n" : "one\n");
		}
	}
	take_two(backend, "one\n", "two\n");
	say(backend[0], "un__");
	say(backend[1], "deux");
	for (unsigned i = 0; i < N; i++) {
		for (unsigned c = 0; c < 2; c++)
			hear(lines[i][c], c ^ (i == 1) ? "deux" : "un__");
	}
	/* They stay together, to the end. */
	for (unsigned i = 0; i < N; i++)
		say(lines[i][i == 1], "more\n");
	hear(backend[0], "more\n");
	for (unsigned i = 0; i < N; i++)
		act(lines[i][i == 1], ACT_FIN);
	hear_end(backend[0], false);
	leave();
}

static void silent_connections_in_their_order(void **state)
{
	unsigned lines[N], backend;

	(void)state;
	dial_all("mute", lines);
	backend = take();
	say(backend, "welcome\n");
	hear_all(lines, "welcome\n");
	say_all(lines, "hello\n");
	hear(backend, "hello\n");
	leave();
}

/* ---- the daemon's life ---- */

static void reload(size_t *at)
{
	json_object_put(child_ask(&it, "reload", NULL));
	child_wait_log(&it, "reload: done", at);
}

static void reloads_while_they_wait(void **state)
{
	size_t at = child_log_end(&it);
	unsigned lines[N], backend;

	(void)state;
	lines[0] = dial("calm", 0);
	say_and_arrive(lines[0], ASK_A);
	lines[1] = dial("calm", 1);
	say_and_arrive(lines[1], "GET /a HT");
	reload(&at);
	lines[2] = dial("calm", 2);
	say(lines[2], ASK_A);
	say(lines[1], ASK_A + 9);
	backend = take();
	hear(backend, ASK_A);
	/* And in the session. */
	reload(&at);
	say(backend, OK("a"));
	hear_all(lines, OK("a"));
	/* The instances' are used further; the backend's was dialled as the config of before said. */
	hear_end(backend, false);
	say_all(lines, ASK_B);
	backend = take();
	exchange(lines, backend, ASK_B, OK("b"));
	/* So was one that nobody used. */
	reload(&at);
	hear_end(backend, false);
	say_all(lines, ASK_A);
	exchange(lines, take(), ASK_A, OK("a"));
	leave();
}

static void reloads_to_tls(void **state)
{
	struct offered *moved = offered_as("moved");
	const char *const in_clear = moved->options;
	size_t at = child_log_end(&it);
	unsigned lines[N], backend;

	(void)state;
	dial_all("moved", lines);
	say_all(lines, ASK_A);
	backend = take();
	exchange(lines, backend, ASK_A, OK("a"));
	moved->options = "diff-class: http, gather: { partner: 120s, idle: 120s }, tls: { lone: { verify: none } }";
	write_config();
	reload(&at);
	/* Nothing goes out in clear any more. */
	hear_end(backend, false);
	say_all(lines, ASK_B);
	backend = take();
	if (!comes(has_heard, backend, 3) || memcmp(kept[backend], "\x16\x03", 2) != 0)
		fail_msg("the backend hears no handshake");
	leave();
	moved->options = in_clear;
	write_config();
	reload(&at);
	whole_exchange("moved");
}

static void ends_in_order(void **state)
{
	unsigned lines[N];

	(void)state;
	dial_all("late", lines);
	say_and_arrive(lines[0], ASK_A);
	say_and_arrive(lines[1], ASK_A);
	child_stop(&it);
	hear_end(lines[0], true);
	hear_end(lines[1], true);
	hear_end(lines[2], false);
}

static int whole(void **state)
{
	dribbles = false;
	return forget(state);
}

static int dribbled(void **state)
{
	dribbles = true;
	return forget(state);
}

#define BOTH(test)                                                                                                     \
	{#test ", whole", test, whole, forget, NULL},                                                                  \
	{                                                                                                              \
#test ", dribbled", test, dribbled, forget, NULL                                                       \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(pairs_in_any_order),
		BOTH(identical_openings),
		BOTH(correlated_openings),
		BOTH(regroups),
		BOTH(pipelined),
		BOTH(refused_after_the_deadline),
		BOTH(refused_while_exchanges_go_on),
		BOTH(compared_after_the_deadline),
		BOTH(too_many_wait),
		BOTH(a_head_longer_than_the_buffer),
		BOTH(a_body_longer_than_the_buffer),
		BOTH(ends_before_it_speaks),
		BOTH(ends_amid_its_request),
		BOTH(ends_while_it_waits),
		BOTH(ends_before_the_answer),
		BOTH(ends_between_two_exchanges),
		BOTH(the_backend_ends_before_its_answer),
		BOTH(an_idle_backend_ends),
		BOTH(the_pool_expires),
		BOTH(what_the_backend_says_unasked_ends_it),
		BOTH(reports_and_goes_on),
		BOTH(whole_connections_by_their_first_bytes),
		BOTH(silent_connections_in_their_order),
		BOTH(reloads_while_they_wait),
		BOTH(reloads_to_tls),
		cmocka_unit_test_setup_teardown(ends_in_order, whole, forget),
	};

	return cmocka_run_group_tests_name("stream: gather", tests, begin, end);
}
