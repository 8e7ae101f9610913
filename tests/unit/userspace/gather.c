/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a gather keeps from one group to the next, and what a reload makes of it: with sockets, but without a daemon. A
 * session is made of a group by this test (the linker puts its functions in place), and gives it back when the test
 * says so.
 *
 * The opening of these connections is one letter, which is what they are paired by.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "gather_own.h"
#include "metrics.h"
#include "own.h"
#include "worker.h"

#define N	       2
#define _owned_config_ _owned_(rddr_config_put)

static const char file[] = "services:\n"
			   "  back:\n"
			   "    direction: outgoing\n"
			   "    intercept: { address: 192.0.2.9, port: 80 }\n"
			   "    instances: [ { name: a, clients: 10.0.1.0/24 }, { name: b, clients: %s } ]\n"
			   "    gather: { partner: 60s, idle: 60s }\n";

static struct worker worker;
static struct addr backend;
static struct rddr_session *session; /* that the last group was made to */
static bool reused, out_of_memory;
static unsigned sessions;

/* ---- the plugin ---- */

static enum rddr_opens opening(const struct rddr_opening *o, struct rddr_opening_result *result)
{
	result->key = o->view->data[0];
	return RDDR_OPENS;
}

static const struct rddr_diff_plugin plugin = {.opening = opening};

/* ---- sessions ---- */

struct rddr_session *__wrap_rddr_session_new(struct worker *w, struct config *config, struct service *service);
void __real_rddr_session_begin_outgoing(struct worker *w, const struct group *group);
void __wrap_rddr_session_begin_outgoing(struct worker *w, const struct group *group);

struct rddr_session *__wrap_rddr_session_new(struct worker *w, struct config *config, struct service *service)
{
	(void)w, (void)config, (void)service;
	return NULL;
}

static void nothing(void *ctx, unsigned events)
{
	(void)ctx, (void)events;
}

/* No event gets to a session that nothing moves on. */
static void silence(struct endpoint *ep)
{
	rddr_loop_retarget(worker.loop, &ep->watch, nothing, NULL);
}

void __wrap_rddr_session_begin_outgoing(struct worker *w, const struct group *group)
{
	if (out_of_memory) {
		__real_rddr_session_begin_outgoing(w, group);
		return;
	}
	struct rddr_session *s = calloc(1, sizeof(*s) + N * sizeof(s->many[0]));

	assert_non_null(s);
	s->worker = w;
	s->config = rddr_config_get(group->config);
	s->service = group->service;
	s->gather = group->gather;
	s->client = group->client;
	s->identity = group->identity;
	s->loose = group->loose;
	s->n = N;
	s->id = ++sessions;
	rddr_endpoint_init(&s->lone, s, &rddr_transport_tcp, &s->many[0].in);
	for (unsigned i = 0; i < N; i++) {
		rddr_endpoint_init(&s->many[i], s, &rddr_transport_tcp, &s->lone.in);
		rddr_endpoint_move(&s->many[i], group->many[i]);
		silence(&s->many[i]);
		s->many[i].in.consumed = rddr_stream_received(&s->many[i].in);
	}
	reused = group->lone != NULL;
	if (reused) {
		rddr_endpoint_move(&s->lone, group->lone);
		silence(&s->lone);
	}
	session = s;
}

/* The backend's connection, where it was not taken from the pool; its other end. */
static int connect_backend(void)
{
	int fds[2];

	assert_false(reused);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(rddr_endpoint_open(&session->lone, fds[0], NULL), 0);
	silence(&session->lone);
	return fds[1];
}

/* The session is over at a neutral point of that identity. */
static void end_session(uint64_t identity)
{
	struct rddr_session *s = session;

	session = NULL;
	s->neutral_state = identity;
	rddr_gather_return(s);
	rddr_endpoint_close(&s->lone, false);
	rddr_endpoint_reclaim(&s->lone, rddr_stream_received(&s->lone.in));
	for (unsigned i = 0; i < N; i++) {
		rddr_endpoint_close(&s->many[i], false);
		rddr_endpoint_reclaim(&s->many[i], rddr_stream_received(&s->many[i].in));
	}
	rddr_worker_release(&worker, N + 1);
	rddr_gather_left(s->gather);
	rddr_config_put(&s->config);
	free(s);
}

/* ---- the world ---- */

/* clients: of instance b; NULL: the config has no such service. */
static struct config *new_config(uint64_t generation, const char *clients)
{
	char text[1000];
	struct config *config = NULL;

	snprintf(text, sizeof(text), file, clients ? clients : "10.0.2.0/24");
	assert_int_equal(rddr_config_parse("test", text, strlen(text), &config), 0);
	config->generation = generation;
	config->services[0]->ops = &plugin;
	config->services[0]->metrics = rddr_metrics_set("back");
	if (!clients)
		config->services[0]->name[0] = 'r';
	return config;
}

/* The worker has heard of the reload. */
static void hear(struct config *config)
{
	rddr_config_put(&worker.config);
	worker.config = rddr_config_get(config);
	rddr_gather_reconfigure(&worker);
}

static int setup(void **state)
{
	(void)state;
	worker = (struct worker){.fds_max = 1000, .fds_session = N + 1};
	assert_int_equal(rddr_loop_new(&worker.loop), 0);
	assert_int_equal(rddr_addr_parse("192.0.2.9:80", 0, &backend), 0);
	worker.config = new_config(1, "10.0.2.0/24");
	out_of_memory = reused = false;
	sessions = 0;
	session = NULL;
	return 0;
}

/* With nothing that waits: what is deferred runs. */
static void end_batch(void)
{
	assert_int_equal(rddr_loop_post(worker.loop, free, NULL), 0);
	assert_int_equal(rddr_loop_step(worker.loop), 0);
}

static int teardown(void **state)
{
	(void)state;
	rddr_gather_close(&worker);
	assert_null(worker.gathers);
	end_batch();
	assert_int_equal(worker.fds_used, 0);
	assert_int_equal(worker.pool.lent, 0);
	rddr_loop_free(&worker.loop);
	rddr_pool_drain(&worker.pool);
	assert_int_equal(worker.config->references, 1);
	rddr_config_put(&worker.config);
	return 0;
}

/* A connection from there, accepted with that config, that says so; the other end of it. said may be empty. */
static int arrive(struct config *config, unsigned instance, const char *from, const char *said)
{
	struct gather_arrival a = {
		.worker = &worker,
		.config = config,
		.service = config->services[0],
		.destination = backend,
		.addressed = backend,
		.instance = instance,
	};
	int fds[2];

	assert_int_equal(rddr_addr_parse(from, 0, &a.client), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(write(fds[1], said, strlen(said)), strlen(said));
	a.fd = fds[0];
	if (!rddr_gather_take_in(&worker, &a))
		close(fds[0]);
	end_batch();
	return fds[1];
}

static int a_says(const char *said)
{
	return arrive(worker.config, 0, "10.0.1.1:1000", said);
}

static int b_says(const char *said)
{
	return arrive(worker.config, 1, "10.0.2.1:1000", said);
}

static bool is_closed(int fd)
{
	char byte;
	ssize_t n = read(fd, &byte, 1);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void say(int fd, const char *said)
{
	assert_int_equal(write(fd, said, strlen(said)), strlen(said));
	end_batch();
}

static uint64_t strangers(void)
{
	return rddr_metrics_read(worker.config->services[0]->metrics, METRIC_strangers);
}

/* One gather, with so many connections of the backend's. */
static struct gather *only_one(size_t n_spares)
{
	assert_non_null(worker.gathers);
	assert_null(worker.gathers->next);
	assert_int_equal(worker.gathers->n_spares, n_spares);
	return worker.gathers;
}

/* ---- the backend's connections ---- */

static void they_are_used_again(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend();

	(void)state;
	end_session(5);
	only_one(1);
	say(a, "y");
	say(b, "y");
	assert_non_null(session);
	assert_true(reused);
	only_one(0);
	end_session(5);
	only_one(1);
	/* Not where another state is wanted. */
	int c = a_says("z"), d = b_says("z");
	assert_false(reused);
	end_session(0);
	assert_false(is_closed(lone));
	for (size_t i = 0; i < 5; i++)
		close((int[]){a, b, c, d, lone}[i]);
}

static void not_for_another_address_of_the_instance(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend();

	(void)state;
	end_session(0);
	only_one(1);
	int other = arrive(worker.config, 0, "10.0.1.2:1000", "y");
	say(b, "y");
	assert_non_null(session);
	assert_false(reused);
	int lone2 = connect_backend();
	end_session(0);
	only_one(2);
	/* Each its own, from whatever port. */
	close(a);
	end_batch();
	a = arrive(worker.config, 0, "10.0.1.1:2000", "z");
	say(b, "z");
	assert_true(reused);
	struct rddr_session *s = session;
	assert_int_equal(write(lone, "1", 1), 1);
	char byte = 0;
	assert_int_equal(read(s->lone.fd, &byte, 1), 1);
	assert_int_equal(byte, '1');
	end_session(0);
	only_one(2);
	for (size_t i = 0; i < 5; i++)
		close((int[]){a, b, other, lone, lone2}[i]);
}

static void a_reload_drops_them(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend();
	_owned_config_ struct config *next = new_config(2, "10.0.2.0/24");

	(void)state;
	end_session(0);
	only_one(1);
	hear(next);
	only_one(0);
	assert_true(is_closed(lone));
	/* The instances' stay. */
	say(a, "y");
	say(b, "y");
	assert_non_null(session);
	assert_ptr_equal(session->service, next->services[0]);
	assert_false(reused);
	end_session(0);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, lone}[i]);
}

static void not_kept_from_a_session_of_before(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend();
	_owned_config_ struct config *next = new_config(2, "10.0.2.0/24");

	(void)state;
	hear(next);
	end_session(0);
	only_one(0);
	assert_true(is_closed(lone));
	say(a, "y");
	say(b, "y");
	assert_non_null(session);
	lone = (close(lone), connect_backend());
	end_session(0);
	only_one(1);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, lone}[i]);
}

/* The last connection of the backend's may be all that the gather has. */
static void a_reload_may_leave_nothing(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend();
	_owned_config_ struct config *next = new_config(2, "10.0.2.0/24");

	(void)state;
	end_session(0);
	close(a);
	close(b);
	end_batch();
	end_batch();
	only_one(1);
	hear(next);
	assert_null(worker.gathers);
	end_batch();
	close(lone);
}

/* ---- configs that meet ---- */

static void the_youngest_counts(void **state)
{
	_owned_config_ struct config *old = rddr_config_get(worker.config), *next = new_config(2, "10.0.2.0/24");
	int a = arrive(old, 0, "10.0.1.1:1000", "x"), b, c;

	(void)state;
	/* Another worker has heard of it already. */
	b = arrive(next, 1, "10.0.2.1:1000", "y");
	assert_ptr_equal(only_one(0)->service, next->services[0]);
	/* And yet another has not. */
	c = arrive(old, 1, "10.0.2.1:1001", "x");
	assert_ptr_equal(only_one(0)->config, next);
	assert_non_null(session);
	assert_ptr_equal(session->service, next->services[0]);
	end_session(0);
	hear(next);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, c}[i]);
}

static void who_is_late_begins_with_the_youngest(void **state)
{
	_owned_config_ struct config *old = rddr_config_get(worker.config), *next = new_config(2, "10.0.3.0/24");
	uint64_t before = strangers();

	(void)state;
	hear(next);
	int a = arrive(old, 0, "10.0.1.1:1000", "x");
	assert_ptr_equal(only_one(0)->config, next);
	/* It is nobody's now. */
	int b = arrive(old, 1, "10.0.2.1:1000", "x");
	assert_true(is_closed(b));
	assert_null(session);
	assert_int_equal(strangers(), before + 1);
	int c = arrive(next, 1, "10.0.3.1:1000", "x");
	assert_non_null(session);
	end_session(0);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, c}[i]);
}

static void who_is_no_instance_any_more_has_to_go(void **state)
{
	int a = a_says("x"), b = b_says("x"), waits = b_says("y"), quiet = b_says("");
	_owned_config_ struct config *next = new_config(2, "10.0.3.0/24");
	uint64_t before = strangers();

	(void)state;
	hear(next);
	assert_true(is_closed(waits));
	assert_true(is_closed(quiet));
	assert_int_equal(strangers(), before + 2);
	/* What is under way comes to its end. */
	assert_false(is_closed(b));
	end_session(0);
	assert_true(is_closed(b));
	assert_false(is_closed(a));
	assert_int_equal(strangers(), before + 3);
	for (size_t i = 0; i < 4; i++)
		close((int[]){a, b, waits, quiet}[i]);
}

static void nothing_is_kept_of_a_service_that_is_gone(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend(), quiet = a_says("");
	_owned_config_ struct config *old = rddr_config_get(worker.config), *without = new_config(2, NULL),
				     *again = new_config(3, "10.0.2.0/24");

	(void)state;
	hear(without);
	assert_true(is_closed(quiet));
	end_session(0);
	assert_null(worker.gathers);
	assert_true(is_closed(a) && is_closed(b) && is_closed(lone));

	for (size_t i = 0; i < 4; i++)
		close((int[]){a, b, lone, quiet}[i]);

	/* Steered, or accepted, before: it has its exchange, and no more, unless the service is there again. */
	for (unsigned k = 0; k < 2; k++) {
		a = arrive(old, 0, "10.0.1.1:1000", "x");
		b = arrive(old, 1, "10.0.2.1:1000", "x");
		lone = connect_backend();
		if (k)
			hear(again);
		end_session(0);
		assert_true(is_closed(lone));
		assert_true(is_closed(a) == !k && is_closed(b) == !k);
		for (size_t i = 0; i < 3; i++)
			close((int[]){a, b, lone}[i]);
	}
}

/* With the last connection that still agreed on TLS the gather goes, just as another one comes. */
static void a_reload_takes_tls_away(void **state)
{
	_owned_config_ struct config *next = new_config(2, "10.0.2.0/24");
	int shaking = a_says(""), b;
	struct gather *g = only_one(0);
	struct gather_end *end = g->quiet.first;

	(void)state;
	end->ep.shaking = true;
	rddr_gather_list_take(end);
	rddr_gather_list_put(end, &g->shaking);
	/* The worker itself has not heard of it. */
	b = arrive(next, 1, "10.0.2.1:1000", "x");
	assert_true(is_closed(shaking));
	assert_ptr_equal(only_one(0)->config, next);
	assert_non_null(only_one(0)->waiting.first);
	int a = arrive(next, 0, "10.0.1.1:1000", "x");
	assert_non_null(session);
	end_session(0);
	hear(next);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, shaking}[i]);
}

/* ---- what is found out ---- */

/* Whether those that wait are looked at anew when a session ends so. */
static bool looks_anew(uint64_t identity, uint64_t neutral, bool loose)
{
	int a = a_says("x"), b = b_says("x"), waits = a_says("w");
	struct gather *g = only_one(0);

	session->identity = identity;
	session->loose = loose;
	assert_non_null(g->waiting.first);
	end_session(neutral);
	bool anew = !g->waiting.first;
	end_batch();
	assert_non_null(g->waiting.first);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, waits}[i]);
	rddr_gather_close(&worker);
	end_batch();
	return anew;
}

static void only_news_has_all_looked_at_anew(void **state)
{
	(void)state;
	assert_true(looks_anew(0, 5, false));
	assert_true(looks_anew(0, 0, true));
	assert_true(looks_anew(5, 5, true));
	/* Exchanges that go on are none. */
	assert_false(looks_anew(0, 0, false));
	assert_false(looks_anew(5, 5, false));
	assert_false(looks_anew(5, 6, false));
}

/* ---- memory ---- */

static void out_of_memory_leaves_nothing(void **state)
{
	int a = a_says("x"), b = b_says("x"), lone = connect_backend();

	(void)state;
	end_session(0);
	only_one(1);
	out_of_memory = true;
	say(a, "yyyyyyyy");
	say(b, "yyyyyyyy");
	assert_true(is_closed(a) && is_closed(b) && is_closed(lone));
	assert_null(worker.gathers);
	assert_int_equal(worker.pool.lent, 0);
	assert_int_equal(worker.fds_used, 0);
	for (size_t i = 0; i < 3; i++)
		close((int[]){a, b, lone}[i]);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(they_are_used_again),
		UNIT(not_for_another_address_of_the_instance),
		UNIT(a_reload_drops_them),
		UNIT(not_kept_from_a_session_of_before),
		UNIT(a_reload_may_leave_nothing),
		UNIT(the_youngest_counts),
		UNIT(who_is_late_begins_with_the_youngest),
		UNIT(who_is_no_instance_any_more_has_to_go),
		UNIT(nothing_is_kept_of_a_service_that_is_gone),
		UNIT(a_reload_takes_tls_away),
		UNIT(only_news_has_all_looked_at_anew),
		UNIT(out_of_memory_leaves_nothing),
	};

	return cmocka_run_group_tests_name("userspace/gather", tests, NULL, NULL);
}
