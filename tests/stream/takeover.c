/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * takeover.c - a daemon in the place of another, again and again, with other numbers of workers, while clients come
 * without a pause: not one is refused or reset.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

#define CLIENTS 16 /* at once */
#define SIZE	64

static struct world w;
static uint8_t *up, *down;

/* All clients are alike and so are all servers' connections: each is a play of its own, with a client alone. */
struct hammer {
	struct play clients[CLIENTS];
	struct play *servers;
	size_t n_servers, room;
	size_t begun, wanted, ended;
};

static void cast_client(struct play *p)
{
	play_init(p, 0);
	says(&p->client, up, SIZE);
	does(&p->client, ACT_HEAR, SIZE);
	does(&p->client, ACT_FIN, 0);
	does(&p->client, ACT_HEAR_END, 0);
	expects(&p->client, down, SIZE);
}

static void cast_server(struct play *p)
{
	play_init(p, 0);
	does(&p->client, ACT_HEAR, SIZE);
	says(&p->client, down, SIZE);
	does(&p->client, ACT_HEAR_END, 0);
	does(&p->client, ACT_CLOSE, 0);
	expects(&p->client, up, SIZE);
}

static void check_client(struct play *p)
{
	if (!p->client.wrong && !p->client.reset)
		return;
	play_show(p);
	fail_msg("a client was refused or reset");
}

static void replace_clients(struct hammer *h)
{
	for (size_t k = 0; k < CLIENTS; k++) {
		struct play *p = &h->clients[k];

		check_client(p);
		if (p->client.fd >= 0 && client_done(p)) {
			play_free(p);
			h->ended++;
		}
		if (p->client.fd < 0 && h->begun < h->wanted) {
			cast_client(p);
			play_connect(p, w.stage.family, world_port(&w, "three"));
			h->begun++;
		}
	}
}

static void accept_servers(struct hammer *h)
{
	for (unsigned i = 0; i < w.stage.n; i++) {
		for (;;) {
			if (h->n_servers == h->room) {
				h->room = h->room ? h->room * 2 : 64;
				h->servers = realloc(h->servers, h->room * sizeof(*h->servers));
				assert_non_null(h->servers);
			}
			cast_server(&h->servers[h->n_servers]);
			if (!play_accept(&w.stage, i, &h->servers[h->n_servers]))
				break;
			h->n_servers++;
		}
	}
}

static void drop_servers(struct hammer *h)
{
	size_t kept = 0;

	for (size_t k = 0; k < h->n_servers; k++) {
		assert_false(h->servers[k].client.wrong);
		if (!client_done(&h->servers[k]) && !h->servers[k].client.reset)
			h->servers[kept++] = h->servers[k];
		else
			play_free(&h->servers[k]);
	}
	h->n_servers = kept;
}

static void turn(struct hammer *h)
{
	replace_clients(h);
	accept_servers(h);
	play_turn(&w.stage, h->clients, CLIENTS, NULL, 0);
	play_turn(&w.stage, h->servers, h->n_servers, NULL, 1);
	drop_servers(h);
}

static void hammer_until(struct hammer *h, size_t ended)
{
	uint64_t limit = now_ms() + (uint64_t)patience_ms();

	for (size_t seen = h->ended; h->ended < ended; seen = h->ended) {
		turn(h);
		if (h->ended > seen)
			limit = now_ms() + (uint64_t)patience_ms();
		if (now_ms() > limit)
			fail_msg("%zu of %zu clients were served, and no more", h->ended, ended);
	}
}

static int64_t pid_that_answers(struct child *c)
{
	json_object *status = child_ask(c, "status", NULL);
	int64_t pid = json_number(status, "pid");

	json_object_put(status);
	return pid;
}

/* From one daemon to the next while clients come; the old one ends by itself. */
static void take_over(struct hammer *h, struct child *old, struct child *new, unsigned workers, size_t each)
{
	free(w.globals);
	w.globals = malloc(64);
	snprintf(w.globals, 64, "workers: %u\ndrain: 60s", workers);
	world_write(&w);
	h->wanted += each;
	hammer_until(h, h->ended + each / 4);
	child_forget(new, false);
	child_beside(new, old);
	child_spawn(new, "--takeover");
	hammer_until(h, h->wanted - CLIENTS);
	child_wait_log(new, "daemon: rddrd ", NULL);
	hammer_until(h, h->wanted);
	assert_int_equal(child_wait(old), 0);
	assert_int_equal(pid_that_answers(new), new->pid);
}

static int begin(void **state)
{
	(void)state;
	up = noise_bytes(SIZE, 18);
	down = noise_bytes(SIZE, 19);
	return 0;
}

static int end(void **state)
{
	(void)state;
	free(up);
	free(down);
	return 0;
}

static struct child second;

static int forget(void **state)
{
	(void)state;
	child_forget(&second, false);
	world_free(&w);
	return 0;
}

static void under_load(void **state)
{
	static const unsigned workers[] = {1, 2, 1, 2, 2};
	size_t each = 2000 / load_scale() / 4 + 4 * CLIENTS;
	struct child *old = &w.daemon, *new = &second;
	struct hammer h = {0};

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1\ndrain: 60s");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_start(&w);
	for (size_t k = 0; k < CLIENTS; k++)
		cast_client(&h.clients[k]);
	for (size_t k = 1; k < sizeof(workers) / sizeof(workers[0]); k++) {
		take_over(&h, old, new, workers[k], each);
		struct child *swap = old;
		old = new;
		new = swap;
	}
	assert_int_equal(child_counter(old, "three", "denied"), 0);
	child_wait_sessions(old, 0);
	child_stop(old);
	for (size_t k = 0; k < CLIENTS; k++)
		play_free(&h.clients[k]);
	free(h.servers);
}

/* A session goes on in the old daemon, which waits for it, while the new one has the traffic. */
static void session_goes_on(void **state)
{
	struct play p, q;

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 2\ndrain: 60s");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_start(&w);
	play_init(&p, 3);
	says(&p.client, up, SIZE);
	does(&p.client, ACT_HEAR, SIZE);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, SIZE);
		does(&p.server[i], ACT_CUE, 1);
		says(&p.server[i], down, SIZE);
		does(&p.server[i], ACT_HEAR_END, 0);
		does(&p.server[i], ACT_FIN, 0);
	}
	q = p;
	world_play(&w, &p, "three");
	child_beside(&second, &w.daemon);
	child_start(&second, "--takeover");
	assert_int_equal(pid_that_answers(&second), second.pid);
	assert_true(child_runs(&w.daemon));
	/* Until then either may take a connection. */
	child_wait_log(&w.daemon, "worker 0 accepts no more", NULL);
	child_wait_log(&w.daemon, "worker 1 accepts no more", NULL);
	q.cue = 1;
	world_play(&w, &q, "three");
	play_run(&w.stage, &q, all_done);
	assert_int_equal(child_counter(&second, "three", "sessions"), 1);
	p.cue = 1;
	play_run(&w.stage, &p, all_done);
	assert_int_equal(p.client.heard, SIZE);
	assert_int_equal(child_wait(&w.daemon), 0);
	play_free(&p);
	play_free(&q);
	child_stop(&second);
}

/* There is nobody: then it is an ordinary start. */
static void nobody_there(void **state)
{
	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "three", 3, "filter: false");
	world_write(&w);
	child_start(&w.daemon, "--takeover");
	assert_true(child_logged(&w.daemon, "there is nothing to take over"));
	child_stop(&w.daemon);
}

/* The old one is draining already: the new one takes its place at the control socket all the same. */
static void old_one_ends_already(void **state)
{
	struct play p;

	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1\ndrain: 60s");
	world_add(&w, "three", 3, "deadlines: { skew: 60s }");
	world_start(&w);
	play_init(&p, 3);
	does(&p.client, ACT_CUE, 1);
	does(&p.client, ACT_FIN, 0);
	does(&p.client, ACT_HEAR_END, 0);
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR_END, 0);
		does(&p.server[i], ACT_CLOSE, 0);
	}
	world_play(&w, &p, "three");
	assert_int_equal(kill(w.daemon.pid, SIGTERM), 0);
	child_wait_log(&w.daemon, "sessions have 60000 ms to end", NULL);
	child_beside(&second, &w.daemon);
	child_start(&second, "--takeover");
	assert_int_equal(pid_that_answers(&second), second.pid);
	p.cue = 1;
	play_run(&w.stage, &p, all_done);
	assert_int_equal(child_wait(&w.daemon), 0);
	play_free(&p);
	child_stop(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(under_load, forget),
		cmocka_unit_test_teardown(session_goes_on, forget),
		cmocka_unit_test_teardown(nobody_there, forget),
		cmocka_unit_test_teardown(old_one_ends_already, forget),
	};

	return cmocka_run_group_tests_name("stream: takeover", tests, begin, end);
}
