/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * life.c - the daemon as a process: descriptors, garbage, draining, reloading.
 */
#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "play/world.h"

#define SIZE 500

static struct world w;
static uint8_t *up, *down, *other;

static int begin(void **state)
{
	(void)state;
	up = noise_bytes(SIZE, 14);
	down = noise_bytes(SIZE, 15);
	other = noise_bytes(SIZE, 16);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(up);
	free(down);
	free(other);
	return 0;
}

/* Each test has a world of its own. */
static int forget(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

/* An exchange: asked, answered, and on the cue ended by the client. */
static void cast(struct play *p, unsigned n)
{
	play_init(p, n);
	says(&p->client, up, SIZE / 2);
	does(&p->client, ACT_HEAR, SIZE / 2);
	does(&p->client, ACT_CUE, 1);
	says(&p->client, up + SIZE / 2, SIZE / 2);
	does(&p->client, ACT_HEAR, SIZE);
	does(&p->client, ACT_FIN, 0);
	does(&p->client, ACT_HEAR_END, 0);
	expects(&p->client, down, SIZE);
	for (unsigned i = 0; i < n; i++) {
		does(&p->server[i], ACT_HEAR, SIZE / 2);
		says(&p->server[i], down, SIZE / 2);
		does(&p->server[i], ACT_HEAR, SIZE);
		says(&p->server[i], down + SIZE / 2, SIZE / 2);
		does(&p->server[i], ACT_HEAR_END, 0);
		does(&p->server[i], ACT_CLOSE, 0);
		expects(&p->server[i], up, SIZE);
	}
}

static bool half_way(const struct play *p)
{
	return p->client.heard >= SIZE / 2;
}

static void check_done(const struct play *p)
{
	bool good = !p->client.wrong && !p->client.reset && p->client.ended && p->client.heard == SIZE;

	for (unsigned i = 0; i < p->n; i++)
		good &= !p->server[i].wrong && p->server[i].heard == SIZE;
	if (!good) {
		play_show(p);
		fail_msg("an exchange did not come to its end");
	}
}

static void whole_exchange(const char *service, unsigned n)
{
	struct play p;

	cast(&p, n);
	p.cue = 1;
	world_play(&w, &p, service);
	play_run(&w.stage, &p, all_done);
	check_done(&p);
	play_free(&p);
}

/* Begins one and leaves it half-way. */
static void begin_exchange(struct play *p, const char *service, unsigned n)
{
	cast(p, n);
	world_play(&w, p, service);
	play_run(&w.stage, p, half_way);
}

static void end_exchange(struct play *p)
{
	p->cue = 1;
	/* Whoever is dialled now is dialled for somebody else. */
	if (!play_until(&w.stage, p, 1, NULL, all_done))
		play_show(p);
	check_done(p);
	play_free(p);
}

/* Closes what the servers were dialled with and nobody took. */
static void turn_away(void)
{
	for (unsigned i = 0; i < w.stage.n; i++) {
		for (struct play p; play_init(&p, 0), play_accept(&w.stage, i, &p);)
			play_free(&p);
	}
}

/* Waits until so many sessions have begun in all, and ended. */
static void wait_over(uint64_t begun)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();

	for (bool over = false; !over; breathe()) {
		uint64_t is = 0, ended = 0;

		turn_away();
		for (unsigned i = 0; i < w.n_offers; i++) {
			is += child_counter(&w.daemon, w.offers[i].name, "sessions");
			ended += child_counter(&w.daemon, w.offers[i].name, "sessions_ended");
		}
		over = is == begun && ended == begun;
		if (!over && now_ms() > until)
			fail_msg("%zu sessions began, %zu ended, %zu were begun", (size_t)is, (size_t)ended,
				 (size_t)begun);
	}
	child_wait_sessions(&w.daemon, 0);
}

/* ---- descriptors ---- */

static void denied_session(void)
{
	struct play p;

	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++)
		says(&p.server[i], i == 1 ? other : down, SIZE);
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, client_closed);
	play_free(&p);
}

static void refused_session(void)
{
	struct play p;

	play_init(&p, 3);
	stage_refuse(&w.stage, 2, true);
	world_connect(&w, &p, "three");
	play_run(&w.stage, &p, client_closed);
	stage_refuse(&w.stage, 2, false);
	play_free(&p);
}

static void reset_session(void)
{
	struct play p;

	play_init(&p, 3);
	says(&p.client, up, SIZE);
	does(&p.client, ACT_RESET, 0);
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, servers_reset);
	play_free(&p);
}

static void torn_session(void)
{
	struct play p;

	play_init(&p, 3);
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], down, SIZE);
		does(&p.server[i], ACT_RESET, 0);
	}
	world_play(&w, &p, "three");
	play_run(&w.stage, &p, client_closed);
	play_free(&p);
}

static void passing_session(void)
{
	struct play p;

	play_init(&p, 3);
	world_connect(&w, &p, "three");
	play_free(&p);
}

static void reported_session(void)
{
	struct play p;

	play_init(&p, 3);
	says(&p.client, up, SIZE);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++) {
		says(&p.server[i], i == 1 ? other : down, SIZE);
		does(&p.server[i], ACT_FIN, 0);
	}
	world_play(&w, &p, "watched");
	play_run(&w.stage, &p, client_done);
	play_free(&p);
}

static void exchange_of_three(void)
{
	whole_exchange("three", 3);
}

static void nothing_leaks(void **state)
{
	static void (*const kinds[])(void) = {exchange_of_three, denied_session,  refused_session, reset_session,
					      torn_session,	 passing_session, reported_session};
	size_t rounds = 1000 / load_scale();

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 2");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_add(&w, "watched", 3, "enforcing: false|deadlines: { skew: 60s }");
	world_start(&w);
	whole_exchange("three", 3);
	child_wait_sessions(&w.daemon, 0);
	size_t fds = child_fds(&w.daemon, SIZE_MAX);
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (size_t i = 0; i < rounds; i++)
			kinds[k]();
		wait_over(1 + (k + 1) * rounds);
	}
	assert_true(child_fds(&w.daemon, fds) <= fds);
	child_stop(&w.daemon);
}

/* What the daemon keeps for other things than sessions. */
#define ASIDE(workers, listeners) (192 + (workers) * (2 + (listeners)))
#define ROOM			  10 /* sessions of three */
#define CROWD			  30

static void few_descriptors(void **state)
{
	struct play *plays = calloc(CROWD, sizeof(*plays));

	(void)state;
	assert_non_null(plays);
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	w.daemon.nofile = ASIDE(1, 1) + ROOM * 4 + 3;
	world_start(&w);
	for (size_t k = 0; k < CROWD; k++) {
		cast(&plays[k], 3);
		world_connect(&w, &plays[k], "three");
	}
	for (size_t k = 0; k < CROWD; k++) {
		if (k >= ROOM) {
			end_exchange(&plays[k - ROOM]);
		} else if (k == ROOM - 1) {
			child_wait_counter(&w.daemon, NULL, "accept_paused", 1);
		}
		play_gather_last(&w.stage, plays, k + 1);
		if (client_closed(&plays[k])) {
			play_show(&plays[k]);
			fail_msg("session %zu was not served", k);
		}
	}
	for (size_t k = CROWD - ROOM; k < CROWD; k++)
		end_exchange(&plays[k]);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "three", "sessions"), CROWD);
	assert_int_equal(child_counter(&w.daemon, "three", "denied"), 0);
	assert_int_equal(child_counter(&w.daemon, "three", "dial_failed"), 0);
	assert_int_equal(child_counter(&w.daemon, NULL, "accept_failed"), 0);
	child_stop(&w.daemon);
	free(plays);
}

/* There are none for a reason that is not ours, and no session whose end would tell that there are some again. */
static void no_descriptors_for_a_while(void **state)
{
	struct rlimit few, before;
	struct play p;

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_start(&w);
	assert_int_equal(prlimit(w.daemon.pid, RLIMIT_NOFILE, NULL, &before), 0);
	few = (struct rlimit){.rlim_cur = 3, .rlim_max = before.rlim_max};
	assert_int_equal(prlimit(w.daemon.pid, RLIMIT_NOFILE, &few, NULL), 0);
	cast(&p, 3);
	world_connect(&w, &p, "three");
	child_wait_log(&w.daemon, "stops accepting", NULL);
	assert_int_equal(prlimit(w.daemon.pid, RLIMIT_NOFILE, &before, NULL), 0);
	play_gather(&w.stage, &p);
	end_exchange(&p);
	assert_true(child_counter(&w.daemon, NULL, "accept_failed") > 0);
	child_stop(&w.daemon);
}

static void too_few_descriptors(void **state)
{
	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "three", 3, "filter: false");
	w.daemon.nofile = ASIDE(1, 1) + 3;
	world_write(&w);
	child_spawn(&w.daemon, NULL);
	child_wait_log(&w.daemon, "RLIMIT_NOFILE leaves 3 descriptors", NULL);
	assert_int_equal(child_wait(&w.daemon), 1);
}

/* Each worker has a loop, and each of them listens for each service. */
static void too_few_descriptors_for_many_workers(void **state)
{
	(void)state;
	world_init(&w, AF_INET, 3, "workers: 64");
	world_add(&w, "three", 3, "filter: false");
	world_add(&w, "more", 3, "filter: false");
	w.daemon.nofile = ASIDE(64, 2) + 64 * 4 - 1;
	world_write(&w);
	child_spawn(&w.daemon, NULL);
	child_wait_log(&w.daemon, "RLIMIT_NOFILE leaves 3 descriptors for each of 64 workers", NULL);
	assert_int_equal(child_wait(&w.daemon), 1);
}

static void reload(const char *says_so, size_t *at)
{
	assert_int_equal(kill(w.daemon.pid, SIGHUP), 0);
	child_wait_log(&w.daemon, says_so, at);
}

/* What a new config listens at is taken from sessions. */
static void reloads_leave_other_room(void **state)
{
	struct play plays[2];
	size_t at = 0;

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	w.daemon.nofile = ASIDE(1, 1) + 8;
	world_start(&w);
	world_add(&w, "four", 3, "filter: false");
	world_write(&w);
	reload("reload: done", &at);
	cast(&plays[0], 3);
	world_play(&w, &plays[0], "three");
	cast(&plays[1], 3);
	world_connect(&w, &plays[1], "three");
	child_wait_log(&w.daemon, "stops accepting until a session ends: descriptors in use 4 of 7", &at);
	/* And given back. */
	world_drop(&w, "four");
	world_write(&w);
	reload("reload: done", &at);
	play_gather_last(&w.stage, plays, 2);
	world_add(&w, "four", 3, "filter: false");
	for (unsigned i = 5; i < 10; i++) {
		char name[16];

		snprintf(name, sizeof(name), "more%u", i);
		world_add(&w, name, 3, "filter: false");
	}
	world_write(&w);
	reload("the config in use stays: there are too few descriptors", &at);
	end_exchange(&plays[0]);
	end_exchange(&plays[1]);
	child_stop(&w.daemon);
}

/* ---- capabilities ---- */

/* A field of a thread's status, as a number; base: 10 or 16. */
static uint64_t thread_field(const char *path, const char *field, int base)
{
	FILE *file = fopen(path, "r");
	uint64_t value = UINT64_MAX;
	char line[256];

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
			value = strtoull(line + strlen(field) + 1, NULL, base);
	}
	fclose(file);
	assert_true(value != UINT64_MAX);
	return value;
}

static void no_thread_keeps_privileges(void **state)
{
	static const unsigned kept[] = {10, 12, 39}; /* CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_BPF */
	char path[PATH_MAX];
	uint64_t mask = 0;
	unsigned threads = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		mask |= UINT64_C(1) << kept[i];
	world_init(&w, AF_INET, 3, "workers: 2");
	world_add(&w, "three", 3, "filter: false");
	world_start(&w);
	snprintf(path, sizeof(path), "/proc/%d/task", (int)w.daemon.pid);
	DIR *tasks = opendir(path);
	assert_non_null(tasks);
	for (const struct dirent *task; (task = readdir(tasks));) {
		if (task->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)w.daemon.pid, task->d_name);
		assert_int_equal(thread_field(path, "CapEff", 16) & ~mask, 0);
		assert_int_equal(thread_field(path, "CapPrm", 16) & ~mask, 0);
		assert_int_equal(thread_field(path, "NoNewPrivs", 10), 1);
		threads++;
	}
	closedir(tasks);
	assert_true(threads >= 4); /* the main one, the scribe, two workers */
	whole_exchange("three", 3);
	child_stop(&w.daemon);
}

/* ---- garbage ---- */

static void garbage(void **state)
{
	const char *build = getenv("RDDR_BUILD");
	char plugin[PATH_MAX], path[PATH_MAX], options[PATH_MAX + 64];
	uint8_t *junk = noise_bytes(1 << 20, 17);

	(void)state;
	snprintf(path, sizeof(path), "%s/diff/skeleton.so", build ? build : "build");
	assert_non_null(realpath(path, plugin));
	world_init(&w, AF_INET, 3, "workers: 2");
	snprintf(options, sizeof(options), "diff-class: %s", plugin);
	world_add(&w, "lines", 3, options);
	world_add(&w, "three", 3, "filter: false");
	world_start(&w);
	whole_exchange("three", 3);
	child_wait_sessions(&w.daemon, 0);
	size_t fds = child_fds(&w.daemon, SIZE_MAX);
	for (unsigned k = 0; k < 200; k++) {
		size_t len = 1 + junk[k] * 17;
		struct play p;

		play_init(&p, 3);
		says(&p.client, junk + k * 1000, len);
		does(&p.client, junk[k + 1] & 1 ? ACT_RESET : ACT_CLOSE, 0);
		world_connect(&w, &p, k & 1 ? "lines" : "three");
		play_run(&w.stage, &p, client_done);
		play_free(&p);
	}
	wait_over(1 + 200);
	whole_exchange("three", 3);
	child_wait_sessions(&w.daemon, 0);
	assert_true(child_fds(&w.daemon, fds) <= fds);
	child_stop(&w.daemon);
	free(junk);
}

/* ---- draining ---- */

static void start_draining(const char *globals)
{
	world_init(&w, AF_INET, 3, globals);
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_start(&w);
}

static void wait_refusing(const char *service)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();

	while (!refuses(w.stage.family, world_port(&w, service))) {
		if (now_ms() > until)
			fail_msg("connections are still taken");
		breathe();
	}
}

static void drains(void **state)
{
	struct play p;

	(void)state;
	start_draining("workers: 2\ndrain: 60s");
	begin_exchange(&p, "three", 3);
	assert_int_equal(kill(w.daemon.pid, SIGTERM), 0);
	wait_refusing("three");
	assert_true(child_runs(&w.daemon));
	end_exchange(&p);
	/* The ones that were taken while it was not refusing yet end as well. */
	for (uint64_t until = now_ms() + (uint64_t)patience_ms(); child_runs(&w.daemon) && now_ms() < until; breathe())
		turn_away();
	assert_int_equal(child_wait(&w.daemon), 0);
	assert_true(child_logged(&w.daemon, "daemon: ended"));
}

static void drain_limit(void **state)
{
	struct play p;

	(void)state;
	start_draining("workers: 2\ndrain: 300ms");
	begin_exchange(&p, "three", 3);
	assert_int_equal(kill(w.daemon.pid, SIGTERM), 0);
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.reset && !p.client.ended);
	play_run(&w.stage, &p, servers_reset);
	assert_int_equal(child_wait(&w.daemon), 0);
	play_free(&p);
}

static void second_signal(void **state)
{
	struct play p;
	size_t at = 0;

	(void)state;
	start_draining("workers: 2\ndrain: 60s");
	begin_exchange(&p, "three", 3);
	assert_int_equal(kill(w.daemon.pid, SIGTERM), 0);
	child_wait_log(&w.daemon, "sessions have 60000 ms to end", &at);
	assert_int_equal(kill(w.daemon.pid, SIGINT), 0);
	play_run(&w.stage, &p, client_closed);
	assert_true(p.client.reset);
	assert_int_equal(child_wait(&w.daemon), 0);
	play_free(&p);
}

/* ---- reloading ---- */

static int64_t generation(void)
{
	json_object *status = child_ask(&w.daemon, "status", NULL);
	int64_t n = json_number(status, "generation");

	json_object_put(status);
	return n;
}

static void reloads(void **state)
{
	struct play old, gone;
	size_t at = 0;

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 2");
	world_add(&w, "shop", 2, "filter: false");
	world_add(&w, "gone", 1, "filter: false");
	world_start(&w);
	begin_exchange(&old, "shop", 2);
	begin_exchange(&gone, "gone", 1);

	/* One service changes, one goes, one comes. */
	uint16_t gone_port = world_port(&w, "gone");
	w.offers[0].n = 3;
	world_drop(&w, "gone");
	world_add(&w, "new", 1, "filter: false");
	world_write(&w);
	reload("reload: done", &at);
	assert_int_equal(generation(), 2);
	whole_exchange("shop", 3);
	whole_exchange("new", 1);
	uint64_t until = now_ms() + (uint64_t)patience_ms();
	while (!refuses(AF_INET, gone_port)) {
		assert_true(now_ms() < until);
		breathe();
	}
	end_exchange(&old);
	end_exchange(&gone);

	/* What cannot be read changes nothing. */
	child_config(&w.daemon, "services:\n  shop: { listens: here }\n");
	reload("the config in use stays", &at);
	assert_int_equal(generation(), 2);
	whole_exchange("shop", 3);
	/* Neither does a file that is not there. */
	assert_int_equal(unlink(w.daemon.config), 0);
	reload("the config in use stays", &at);
	whole_exchange("new", 1);
	world_write(&w);
	reload("reload: done", &at);
	assert_int_equal(generation(), 3);
	whole_exchange("shop", 3);
	child_wait_sessions(&w.daemon, 0);
	child_stop(&w.daemon);
}

/* A config of which one service cannot listen is refused as a whole: the one in use stays. */
static void reload_cannot_listen(void **state)
{
	size_t at = 0;

	(void)state;
	world_init(&w, AF_INET, 2, "workers: 1");
	world_add(&w, "first", 1, "filter: false");
	world_start(&w);
	world_add(&w, "blocked", 1, "filter: false");
	world_add(&w, "third", 1, "filter: false");
	/* A server's port is taken, and not to be shared. */
	uint16_t port = w.offers[1].port;
	w.offers[1].port = w.stage.port[1];
	world_write(&w);
	reload("cannot listen", &at);
	child_wait_log(&w.daemon, "the config in use stays", &at);
	whole_exchange("first", 1);
	assert_true(refuses(AF_INET, w.offers[2].port));
	w.offers[1].port = port;
	world_write(&w);
	reload("reload: done", &at);
	whole_exchange("first", 1);
	whole_exchange("blocked", 1);
	whole_exchange("third", 1);
	child_stop(&w.daemon);
}

/* Sessions begin and end while the config is read again and again. */
static void reloads_under_load(void **state)
{
	size_t at = 0;

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 2");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_start(&w);
	for (int k = 0; k < 20; k++) {
		struct play p;

		begin_exchange(&p, "three", 3);
		assert_int_equal(kill(w.daemon.pid, SIGHUP), 0);
		whole_exchange("three", 3);
		end_exchange(&p);
		child_wait_log(&w.daemon, "reload: done", &at);
	}
	assert_int_equal(generation(), 21);
	child_wait_sessions(&w.daemon, 0);
	assert_int_equal(child_counter(&w.daemon, "three", "divergences"), 0);
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(nothing_leaks, forget),
		cmocka_unit_test_teardown(few_descriptors, forget),
		cmocka_unit_test_teardown(no_descriptors_for_a_while, forget),
		cmocka_unit_test_teardown(too_few_descriptors, forget),
		cmocka_unit_test_teardown(too_few_descriptors_for_many_workers, forget),
		cmocka_unit_test_teardown(reloads_leave_other_room, forget),
		cmocka_unit_test_teardown(no_thread_keeps_privileges, forget),
		cmocka_unit_test_teardown(garbage, forget),
		cmocka_unit_test_teardown(drains, forget),
		cmocka_unit_test_teardown(drain_limit, forget),
		cmocka_unit_test_teardown(second_signal, forget),
		cmocka_unit_test_teardown(reloads, forget),
		cmocka_unit_test_teardown(reload_cannot_listen, forget),
		cmocka_unit_test_teardown(reloads_under_load, forget),
	};

	return cmocka_run_group_tests_name("stream: life", tests, begin, end);
}
