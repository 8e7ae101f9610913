/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What belongs together, without connections: a transport gives out what a test says, and groups, refusals and drops
 * are noted instead of made (the linker puts the functions of this test in their place).
 *
 * What is said has the form KEY[/LOOSE][@CORRELATION].; without the dot it is not complete.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gather_own.h"
#include "metrics.h"
#include "own.h"
#include "worker.h"

#define N    3
#define ENDS 600

static struct worker worker;
static struct service service;
static struct instance instances[N];
static struct rddr_session park;
static struct gather g;

static struct gather_end ends[ENDS];
static const char *to_say[ENDS]; /* what the transport gives out next */
static int then[ENDS];		 /* behind it: -EAGAIN, 0: the end, -ECONNRESET */
static unsigned n_ends;

/* What was made of them. */
static struct gather_end *group[RDDR_MAX_INSTANCES];
static unsigned groups, refusals, drops;
static struct gather_end *refused, *dropped;
static enum rddr_denial_reason reason;
static char why[200];
static bool dropped_reset;

void __wrap_rddr_gather_begin(struct gather *gather, struct gather_end *const of[]);
void __wrap_rddr_gather_refuse(struct gather_end *end, enum rddr_denial_reason because, const char *text);
void __wrap_rddr_gather_drop(struct gather_end *end, bool reset);

static void leave(struct gather_end *end)
{
	rddr_gather_unmatch(end);
	rddr_gather_list_take(end);
}

void __wrap_rddr_gather_begin(struct gather *gather, struct gather_end *const of[])
{
	assert_ptr_equal(gather, &g);
	groups++;
	for (unsigned i = 0; i < RDDR_MAX_INSTANCES; i++) {
		group[i] = of[i];
		if (!of[i])
			continue;
		assert_true(i < N && of[i]->instance == i);
		leave(of[i]);
	}
}

void __wrap_rddr_gather_refuse(struct gather_end *end, enum rddr_denial_reason because, const char *text)
{
	refusals++;
	refused = end;
	reason = because;
	snprintf(why, sizeof(why), "%s", text);
	leave(end);
}

void __wrap_rddr_gather_drop(struct gather_end *end, bool reset)
{
	drops++;
	dropped = end;
	dropped_reset = reset;
	leave(end);
}

/* ---- what is said ---- */

static ssize_t fake_recv(struct endpoint *ep, void *buf, size_t len)
{
	size_t i = (size_t)(CONTAINER_OF(ep, struct gather_end, ep) - ends);
	size_t n = to_say[i] ? strlen(to_say[i]) : 0;

	if (!n)
		return then[i];
	assert_true(n <= len);
	memcpy(buf, to_say[i], n);
	to_say[i] = NULL;
	return (ssize_t)n;
}

static const struct transport transport = {.name = "fake", .recv = fake_recv};

static uint64_t number(const char *text, size_t len)
{
	uint64_t h = 7;

	for (size_t i = 0; i < len; i++)
		h = h * 131 + (uint8_t)text[i];
	return h;
}

static enum rddr_opens fake_opening(const struct rddr_opening *opening, struct rddr_opening_result *result)
{
	const char *text = (const char *)opening->view->data, *end = memchr(text, '.', opening->view->len);
	size_t len = end ? (size_t)(end - text) : opening->view->len;
	const char *at = memchr(text, '@', len), *slash = memchr(text, '/', len);

	if (memchr(text, '!', len)) {
		snprintf(result->why, sizeof(result->why), "nonsense");
		return RDDR_OPENS_NOT;
	}
	if (at)
		memcpy(result->correlation, at + 1, len - (size_t)(at + 1 - text));
	if (!end)
		return RDDR_OPENS_WAIT;
	if (at)
		len = (size_t)(at - text);
	if (slash)
		result->loose = number(slash, len - (size_t)(slash - text));
	result->key = number(text, len);
	return RDDR_OPENS;
}

static const struct rddr_diff_plugin exchanges = {.opening = fake_opening}, whole = {.opening = NULL};

static int setup(void **state)
{
	static char *const names[] = {(char *)"one", (char *)"two", (char *)"three"};

	(void)state;
	worker = (struct worker){0};
	assert_int_equal(rddr_loop_new(&worker.loop), 0);
	for (unsigned i = 0; i < N; i++)
		instances[i] = (struct instance){.name = names[i]};
	service = (struct service){
		.name = (char *)"test",
		.ops = &exchanges,
		.instances = instances,
		.n_instances = N,
		.enforcing = true,
		.gather = {.partner = 250},
		.limits = {.buffer = 4096},
		.metrics = rddr_metrics_set("test"),
	};
	park = (struct rddr_session){.worker = &worker, .service = &service};
	g = (struct gather){.worker = &worker, .service = &service, .park = &park, .n = N};
	n_ends = groups = refusals = drops = 0;
	refused = dropped = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (g.waiting.first)
		leave(g.waiting.first);
	while (g.quiet.first)
		leave(g.quiet.first);
	for (unsigned i = 0; i < GATHER_CHAINS; i++)
		assert_null(g.chains[i]);
	for (unsigned i = 0; i < n_ends; i++)
		rddr_endpoint_reclaim(&ends[i].ep, rddr_stream_received(&ends[i].ep.in));
	rddr_pool_drain(&worker.pool);
	rddr_loop_free(&worker.loop);
	return 0;
}

static struct gather_end *come(unsigned instance)
{
	struct gather_end *end = &ends[n_ends];

	assert_true(n_ends < ENDS);
	to_say[n_ends] = NULL;
	then[n_ends++] = -EAGAIN;
	*end = (struct gather_end){.gather = &g, .instance = instance};
	rddr_endpoint_init(&end->ep, &park, &transport, &park.lone.in);
	end->ep.state = ENDPOINT_OPEN;
	rddr_gather_list_put(end, &g.quiet);
	return end;
}

static void say(struct gather_end *end, const char *text)
{
	to_say[end - ends] = text;
	end->ep.readable = true;
	rddr_gather_look(end);
}

static struct gather_end *comes_and_says(unsigned instance, const char *text)
{
	struct gather_end *end = come(instance);

	say(end, text);
	return end;
}

static void check_group(const struct gather_end *a, const struct gather_end *b, const struct gather_end *c)
{
	assert_ptr_equal(group[0], a);
	assert_ptr_equal(group[1], b);
	assert_ptr_equal(group[2], c);
}

/* ---- by what they say ---- */

static void one_of_each_that_say_the_same(void **state)
{
	struct gather_end *a, *b, *c, *other;

	(void)state;
	b = comes_and_says(1, "x.");
	other = comes_and_says(0, "y.");
	c = comes_and_says(2, "x.");
	assert_int_equal(groups, 0);
	a = comes_and_says(0, "x.");
	assert_int_equal(groups, 1);
	check_group(a, b, c);
	assert_ptr_equal(g.waiting.first, other);
	assert_ptr_equal(g.waiting.last, other);
}

static void the_oldest_go_first(void **state)
{
	struct gather_end *a[2], *b[2], *c[2];

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		a[k] = comes_and_says(0, "x.");
		b[k] = comes_and_says(1, "x.");
	}
	for (unsigned k = 0; k < 2; k++) {
		c[k] = comes_and_says(2, "x.");
		assert_int_equal(groups, k + 1);
		check_group(a[k], b[k], c[k]);
	}
}

static void the_identity_is_part_of_it(void **state)
{
	struct gather_end *a = come(0), *b = come(1), *c = come(2), *d;

	(void)state;
	a->identity = b->identity = 5;
	say(a, "x.");
	say(b, "x.");
	say(c, "x.");
	assert_int_equal(groups, 0);
	d = come(2);
	d->identity = 5;
	say(d, "x.");
	check_group(a, b, d);
}

static void what_is_said_comes_in_pieces(void **state)
{
	struct gather_end *a = comes_and_says(0, "x"), *b = comes_and_says(1, "xy."), *c = comes_and_says(2, "xy.");

	(void)state;
	assert_int_equal(groups, 0);
	assert_null(a->bucket);
	say(a, "y");
	assert_int_equal(groups, 0);
	say(a, ".");
	check_group(a, b, c);
}

static void one_that_leaves_is_nobodys_partner(void **state)
{
	struct gather_end *a = comes_and_says(0, "x."), *b = comes_and_says(1, "x."), *c;

	(void)state;
	then[a - ends] = -ECONNRESET;
	say(a, "");
	assert_ptr_equal(dropped, a);
	assert_true(dropped_reset);
	c = comes_and_says(2, "x.");
	assert_int_equal(groups, 0);
	a = comes_and_says(0, "x.");
	check_group(a, b, c);
	assert_int_equal(refusals, 0);
}

static void who_ends_in_order_still_waits(void **state)
{
	struct gather_end *a = comes_and_says(0, "x."), *b, *c;

	(void)state;
	then[a - ends] = 0;
	say(a, "");
	assert_int_equal(drops, 0);
	b = comes_and_says(1, "x.");
	c = comes_and_says(2, "x.");
	check_group(a, b, c);

	/* With nothing said it wants nothing. */
	a = come(0);
	then[a - ends] = 0;
	say(a, "");
	assert_ptr_equal(dropped, a);
	assert_false(dropped_reset);
	assert_int_equal(refusals, 0);
}

static void refused_at_once(void **state)
{
	static char long_text[4097];
	struct gather_end *end;

	(void)state;
	end = comes_and_says(1, "a!");
	assert_ptr_equal(refused, end);
	assert_int_equal(reason, RDDR_DENIED_REJECTED);
	assert_string_equal(why, "nonsense");

	end = come(1);
	then[end - ends] = 0;
	say(end, "half");
	assert_ptr_equal(refused, end);
	assert_int_equal(reason, RDDR_DENIED_EARLY_END);

	memset(long_text, 'x', sizeof(long_text) - 1);
	end = comes_and_says(1, long_text);
	assert_ptr_equal(refused, end);
	assert_int_equal(reason, RDDR_DENIED_LIMIT);

	end = comes_and_says(1, "x@no word.");
	assert_ptr_equal(refused, end);
	assert_int_equal(reason, RDDR_DENIED_FAILED);
	assert_int_equal(refusals, 4);
}

/* ---- by what they belong to ---- */

static void each_finds_its_own(void **state)
{
	struct gather_end *a1 = comes_and_says(0, "x@1."), *a2 = comes_and_says(0, "x@2.");
	struct gather_end *b2 = comes_and_says(1, "x@2."), *b1 = comes_and_says(1, "x@1.");
	struct gather_end *c2, *c1;

	(void)state;
	assert_string_equal(a1->correlation, "1");
	c2 = comes_and_says(2, "x@2.");
	check_group(a2, b2, c2);
	c1 = comes_and_says(2, "x@1.");
	check_group(a1, b1, c1);
	assert_int_equal(groups, 2);

	/* What it says counts as well. */
	comes_and_says(0, "x@3.");
	comes_and_says(1, "y@3.");
	comes_and_says(2, "x@3.");
	assert_int_equal(groups, 2);
}

static void one_without_goes_with_any(void **state)
{
	struct gather_end *a1 = comes_and_says(0, "x@1."), *a2 = comes_and_says(0, "x@2.");
	struct gather_end *c = comes_and_says(2, "x."), *b2;

	(void)state;
	assert_int_equal(groups, 0);
	b2 = comes_and_says(1, "x@2.");
	check_group(a2, b2, c);

	/* The last to come may be the one. */
	struct gather_end *b3 = comes_and_says(1, "x@3."), *b1 = comes_and_says(1, "x@1.");
	c = comes_and_says(2, "x.");
	check_group(a1, b1, c);
	assert_int_equal(groups, 2);

	/* Its own before one without. */
	c = comes_and_says(2, "x.");
	struct gather_end *c3 = comes_and_says(2, "x@3.");
	struct gather_end *a3 = comes_and_says(0, "x@3.");
	check_group(a3, b3, c3);
	struct gather_end *a = comes_and_says(0, "x."), *b = comes_and_says(1, "x.");
	check_group(a, b, c);
	assert_int_equal(groups, 4);
}

static void two_exchanges_never_meet(void **state)
{
	(void)state;
	comes_and_says(0, "x@1.");
	comes_and_says(1, "x@2.");
	comes_and_says(2, "x.");
	comes_and_says(2, "x@3.");
	assert_int_equal(groups, 0);
	rddr_gather_expire(g.waiting.first);
	assert_int_equal(groups, 0);
	assert_int_equal(reason, RDDR_DENIED_MISSING);
	assert_string_equal(why, "within 250 ms nobody else said what one says for that exchange: missing two");
}

/* However they come: a group says the same and belongs together, and none that could be made is left. */
static void any_order(void **state)
{
	static const char *const texts[] = {"x.", "x@1.", "x@2.", "x@3.", "y.", "y@1.", "y@2."};
	uint64_t seed = 88172645463325252u;

	(void)state;
	for (unsigned k = 0; k < ENDS; k++) {
		unsigned before = groups;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		struct gather_end *end = comes_and_says((unsigned)(seed >> 20) % N, texts[(seed >> 33) % 7]);
		if (groups == before)
			continue;
		assert_int_equal(groups, before + 1);
		assert_ptr_equal(group[end->instance], end);
		for (unsigned i = 0; i < N; i++) {
			const char *a = group[i]->correlation, *b = group[(i + 1) % N]->correlation;

			assert_int_equal(*rddr_stream_at(&group[i]->ep.in, 0), *rddr_stream_at(&group[0]->ep.in, 0));
			assert_true(!a[0] || !b[0] || strcmp(a, b) == 0);
		}
	}
	assert_true(groups > ENDS / N / 2);
	/* Nobody is left who would have partners: each comes once more, and finds none. */
	for (const struct gather_end *a = g.waiting.first; a; a = a->next) {
		for (const struct gather_end *b = a->next; b; b = b->next) {
			for (const struct gather_end *c = b->next; c; c = c->next) {
				if (a->bucket != b->bucket || b->bucket != c->bucket || a->instance == b->instance ||
				    b->instance == c->instance || a->instance == c->instance)
					continue;
				bool apart = false;
				const struct gather_end *three[] = {a, b, c};

				for (unsigned i = 0; i < 3; i++) {
					const char *p = three[i]->correlation, *q = three[(i + 1) % 3]->correlation;

					apart |= p[0] && q[0] && strcmp(p, q) != 0;
				}
				assert_true(apart);
			}
		}
	}
}

/* ---- when the deadline has passed ---- */

static void what_is_left_is_compared(void **state)
{
	struct gather_end *a = comes_and_says(0, "x1/p."), *b = comes_and_says(1, "x2/p."),
			  *c = comes_and_says(2, "x3/p.");

	(void)state;
	comes_and_says(1, "x4/q.");
	comes_and_says(2, "half/p");
	assert_int_equal(groups, 0);
	rddr_gather_expire(b);
	assert_int_equal(groups, 1);
	check_group(a, b, c);
}

static void not_when_it_is_not_clear_which(void **state)
{
	struct gather_end *a = comes_and_says(0, "x1/p.");

	(void)state;
	comes_and_says(1, "x2/p.");
	comes_and_says(1, "x3/p.");
	comes_and_says(2, "x4/p.");
	rddr_gather_expire(a);
	assert_int_equal(groups, 0);
	assert_ptr_equal(refused, a);
	assert_string_equal(why, "within 250 ms nobody else said what one says: missing two, three");
}

static void it_is_clear_when_they_say_what_they_belong_to(void **state)
{
	struct gather_end *a = comes_and_says(0, "x1/p@1."), *b, *c;

	(void)state;
	comes_and_says(1, "x2/p@2.");
	b = comes_and_says(1, "x3/p@1.");
	comes_and_says(2, "x4/p@2.");
	c = comes_and_says(2, "x5/p.");
	rddr_gather_expire(a);
	assert_int_equal(groups, 1);
	check_group(a, b, c);
	/* The others are not one of each. */
	rddr_gather_expire(g.waiting.first);
	assert_int_equal(groups, 1);
	assert_int_equal(refusals, 1);

	/* Nor does one that says nothing bring two exchanges together. */
	teardown(NULL);
	setup(NULL);
	c = comes_and_says(2, "x5/p.");
	comes_and_says(0, "x1/p@1.");
	comes_and_says(1, "x2/p@2.");
	rddr_gather_expire(c);
	assert_int_equal(groups, 0);
	assert_ptr_equal(refused, c);
}

static void not_of_another_state(void **state)
{
	struct gather_end *a = comes_and_says(0, "x1/p."), *b = come(1);

	(void)state;
	b->identity = 9;
	say(b, "x2/p.");
	comes_and_says(2, "x3/p.");
	rddr_gather_expire(a);
	assert_int_equal(groups, 0);
	assert_ptr_equal(refused, a);
}

static void what_is_not_complete_is_refused(void **state)
{
	struct gather_end *a = comes_and_says(0, "x");

	(void)state;
	rddr_gather_expire(a);
	assert_int_equal(reason, RDDR_DENIED_MISSING);
	assert_string_equal(why, "within 250 ms nobody else said what one says: it is not complete");
}

static void report_mode_goes_on_without(void **state)
{
	struct gather_end *a = comes_and_says(0, "x@1."), *c = comes_and_says(2, "x@1.");

	(void)state;
	service.enforcing = false;
	comes_and_says(1, "x@2.");
	rddr_gather_expire(a);
	assert_int_equal(groups, 1);
	check_group(a, NULL, c);
}

/* ---- looked at anew ---- */

static uint64_t learned; /* what the opening leaves out of what is said */

static enum rddr_opens opening_that_learns(const struct rddr_opening *opening, struct rddr_opening_result *result)
{
	enum rddr_opens opens = fake_opening(opening, result);

	if (learned)
		result->key = learned;
	return opens;
}

static const struct rddr_diff_plugin learns = {.opening = opening_that_learns};

static void look_at_unseen(void)
{
	for (struct gather_end *end = g.unseen.first, *next; end; end = next) {
		next = end->next;
		rddr_gather_look(end);
	}
	rddr_loop_undefer(worker.loop, &g.again);
}

static void check_waiting(struct gather_end *const in_order[], unsigned n)
{
	struct gather_end *before = NULL, *end = g.waiting.first;

	for (unsigned i = 0; i < n; i++, before = end, end = end->next) {
		assert_ptr_equal(end, in_order[i]);
		assert_ptr_equal(end->prev, before);
		assert_ptr_equal(end->list, &g.waiting);
	}
	assert_null(end);
	assert_ptr_equal(g.waiting.last, before);
}

/* However often: nobody is given more time, and the oldest stays the first, on which the deadlines rest. */
static void deadlines_stay_when_all_are_looked_at_anew(void **state)
{
	struct gather_end *a = comes_and_says(0, "x."), *b = comes_and_says(1, "y."), *c = come(2), *half;

	(void)state;
	c->identity = 7;
	say(c, "z.");
	half = comes_and_says(2, "ha");
	a->since = 10;
	b->since = 20;
	c->since = 20;
	half->since = 30;
	for (unsigned round = 0; round < 3; round++) {
		rddr_gather_look_anew(&g);
		assert_null(g.waiting.first);
		for (unsigned i = 0; i < GATHER_CHAINS; i++)
			assert_null(g.chains[i]);
		/* One that begins to wait before they are back stands behind them. */
		struct gather_end *young = comes_and_says(0, "w.");

		young->since = 40 + round;
		look_at_unseen();
		assert_null(g.unseen.first);
		check_waiting((struct gather_end *[]){a, b, c, half, young}, 5);
		assert_int_equal(a->since, 10);
		assert_int_equal(b->since, 20);
		assert_int_equal(c->since, 20);
		assert_int_equal(half->since, 30);
		assert_int_equal(young->since, 40 + round);
		leave(young);
	}
	assert_int_equal(groups + refusals + drops, 0);
	/* They are found as before. */
	rddr_gather_expire(a);
	assert_ptr_equal(refused, a);
}

static void what_was_found_out_brings_them_together(void **state)
{
	struct gather_end *a, *b, *c;

	(void)state;
	learned = 0;
	service.ops = &learns;
	a = comes_and_says(0, "x1.");
	b = comes_and_says(1, "x2.");
	c = comes_and_says(2, "x3.");
	assert_int_equal(groups, 0);
	learned = 3;
	rddr_gather_look_anew(&g);
	look_at_unseen();
	assert_int_equal(groups, 1);
	check_group(a, b, c);
	assert_null(g.waiting.first);
}

/* It had an answer to all of it: what it says behind that has a deadline of its own. */
static void who_was_answered_waits_anew(void **state)
{
	struct gather_end *a = comes_and_says(0, "x.");

	(void)state;
	a->since = 10;
	rddr_gather_look_anew(&g);
	look_at_unseen();
	assert_false(a->waited);
	rddr_gather_list_take(a);
	rddr_gather_list_put(a, &g.quiet);
	rddr_gather_look(a);
	assert_ptr_equal(a->list, &g.waiting);
	assert_int_equal(a->since, rddr_loop_now(worker.loop));
}

/* ---- whole connections ---- */

static void by_their_first_bytes(void **state)
{
	static char long_text[2][400];
	struct gather_end *a, *b, *c;

	(void)state;
	service.ops = &whole;
	for (unsigned k = 0; k < 2; k++) {
		memset(long_text[k], 'x', sizeof(long_text[k]) - 1);
		long_text[k][300] = (char)('a' + k);
	}
	a = comes_and_says(0, long_text[0]);
	b = comes_and_says(1, long_text[1]);
	comes_and_says(2, "xxx");
	assert_int_equal(groups, 0);
	/* More comes of it, and is the same now as far as is looked at. */
	c = g.waiting.last;
	say(c, long_text[0]);
	check_group(a, b, c);
}

static void by_their_order_where_they_say_nothing(void **state)
{
	struct gather_end *a = come(0), *b = come(1), *c = come(2);

	(void)state;
	service.ops = &whole;
	rddr_gather_silent(a);
	rddr_gather_silent(b);
	assert_int_equal(groups, 0);
	assert_ptr_equal(a->list, &g.waiting);
	rddr_gather_silent(c);
	check_group(a, b, c);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(one_of_each_that_say_the_same),
		UNIT(the_oldest_go_first),
		UNIT(the_identity_is_part_of_it),
		UNIT(what_is_said_comes_in_pieces),
		UNIT(one_that_leaves_is_nobodys_partner),
		UNIT(who_ends_in_order_still_waits),
		UNIT(refused_at_once),
		UNIT(each_finds_its_own),
		UNIT(one_without_goes_with_any),
		UNIT(two_exchanges_never_meet),
		UNIT(any_order),
		UNIT(what_is_left_is_compared),
		UNIT(not_when_it_is_not_clear_which),
		UNIT(it_is_clear_when_they_say_what_they_belong_to),
		UNIT(not_of_another_state),
		UNIT(what_is_not_complete_is_refused),
		UNIT(report_mode_goes_on_without),
		UNIT(deadlines_stay_when_all_are_looked_at_anew),
		UNIT(what_was_found_out_brings_them_together),
		UNIT(who_was_answered_waits_anew),
		UNIT(by_their_first_bytes),
		UNIT(by_their_order_where_they_say_nothing),
	};

	return cmocka_run_group_tests_name("userspace/gather_match", tests, NULL, NULL);
}
