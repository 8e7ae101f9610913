/* SPDX-License-Identifier: BSD-2-Clause */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "wire.h"

char world_in_clear;
static bool over_tls; /* the worlds that are made now */

void world_init(struct world *w, int family, unsigned servers, const char *globals)
{
	*w = (struct world){0};
	child_init(&w->daemon);
	stage_init(&w->stage, family, servers);
	w->globals = strdup(globals);
	assert_non_null(w->globals);
	w->stage.tls = over_tls;
	if (w->stage.tls)
		wire_keys(w->daemon.dir);
}

void world_add(struct world *w, const char *name, unsigned n, const char *options)
{
	assert_true(w->n_offers < SERVICES);
	struct offer *o = &w->offers[w->n_offers++];

	*o = (struct offer){.n = n, .options = strdup(options)};
	assert_non_null(o->options);
	snprintf(o->name, sizeof(o->name), "%s", name);
	o->port = free_port(w->stage.family, &o->hold);
}

static struct offer *offer_of(const struct world *w, const char *name)
{
	for (unsigned i = 0; i < w->n_offers; i++) {
		if (!strcmp(w->offers[i].name, name))
			return (struct offer *)&w->offers[i];
	}
	fail_msg("no service %s", name);
	return NULL;
}

static void offer_free(struct offer *o)
{
	free(o->options);
	close(o->hold);
}

void world_drop(struct world *w, const char *name)
{
	struct offer *o = offer_of(w, name);

	offer_free(o);
	*o = w->offers[--w->n_offers];
}

static void write_offer(const struct world *w, const struct offer *o, FILE *f)
{
	const char *host = w->stage.family == AF_INET6 ? "\"[::1]:%u\"" : "127.0.0.1:%u";

	fprintf(f, "  %s:\n    listen: ", o->name);
	fprintf(f, host, o->port);
	fprintf(f, "\n    ");
	for (const char *c = o->options; *c; c++) {
		if (*c == '|')
			fputs("\n    ", f);
		else
			fputc(*c, f);
	}
	if (w->stage.tls)
		fprintf(f,
			"\n    tls: { lone: { certificates: { chain: %s/tls.pem, key: %s/tls.pem } }, many: { ca: "
			"%s/tls.pem } }",
			w->daemon.dir, w->daemon.dir, w->daemon.dir);
	fprintf(f, "\n    instances:\n");
	for (unsigned i = 0; i < o->n; i++) {
		fprintf(f, "      - { name: i%u, chainer: directed, remote: ", i);
		fprintf(f, host, w->stage.port[i]);
		fprintf(f, " }\n");
	}
}

void world_write(struct world *w)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	fprintf(f, "%s\nservices:\n", w->globals);
	for (unsigned i = 0; i < w->n_offers; i++)
		write_offer(w, &w->offers[i], f);
	fclose(f);
	child_config(&w->daemon, "%s", text);
	free(text);
}

void world_start(struct world *w)
{
	world_write(w);
	child_start(&w->daemon, NULL);
}

uint16_t world_port(const struct world *w, const char *name)
{
	return offer_of(w, name)->port;
}

void world_free(struct world *w)
{
	child_forget(&w->daemon, true);
	stage_free(&w->stage);
	for (unsigned i = 0; i < w->n_offers; i++)
		offer_free(&w->offers[i]);
	w->n_offers = 0;
	free(w->globals);
	w->globals = NULL;
	if (w->stage.tls)
		wire_keys_forget();
}

void world_connect(struct world *w, struct play *p, const char *service)
{
	const struct offer *o = offer_of(w, service);

	assert_int_equal(p->n, o->n);
	play_connect(p, w->stage.family, o->port);
	if (w->stage.tls)
		play_secure(p);
}

void world_play(struct world *w, struct play *p, const char *service)
{
	world_connect(w, p, service);
	play_gather(&w->stage, p);
}

void world_play_until_counted(struct world *w, struct play *p, const char *service, const char *name, uint64_t value)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();

	while (child_counter(&w->daemon, service, name) < value) {
		if (now_ms() > until) {
			play_show(p);
			fail_msg("the counter %s never came to %llu", name, (unsigned long long)value);
		}
		play_turn(&w->stage, p, 1, p, 2);
	}
}

void world_finish(struct world *w, struct play *p)
{
	play_check(p, "the play");
	play_free(p);
	child_wait_sessions(&w->daemon, 0);
}

static bool as_expected(json_object *record, const char *service, const struct expected *e)
{
	const char *minority = json_text(record, "minority"), *why = json_text(record, "why");
	char name[16];

	if (strcmp(json_text(record, "service"), service) != 0 || strcmp(json_text(record, "action"), e->action) != 0)
		return false;
	if (e->reason && strcmp(json_text(record, "reason"), e->reason) != 0)
		return false;
	if (e->offset >= 0 && json_number(record, "offset") != e->offset)
		return false;
	snprintf(name, sizeof(name), "i%d", e->minority);
	if (e->minority >= 0 && (!minority || strcmp(minority, name) != 0))
		return false;
	if (e->minority == -1 && minority)
		return false;
	return !e->why || (why && strstr(why, e->why));
}

static bool has_port(json_object *record, const char *key, uint16_t port)
{
	const char *address = json_text(record, key), *at = address ? strrchr(address, ':') : NULL;

	return at && strtoul(at + 1, NULL, 10) == port;
}

/* A client's port is used again soon, for another service at the same time too. */
static json_object *find_record(json_object *list, uint16_t client, uint16_t service)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		json_object *record = json_object_array_get_idx(list, i);

		if (has_port(record, "client", client) && has_port(record, "destination", service))
			return record;
	}
	return NULL;
}

void world_check_evidence(struct world *w, json_object *list, const struct play *p, const char *service,
			  const struct expected *e, const char *what)
{
	json_object *result = list ? NULL : child_evidence(&w->daemon, 10, &list);
	json_object *record = find_record(list, p->port, world_port(w, service));

	if (!record || !as_expected(record, service, e)) {
		fprintf(stderr,
			"%s: expected: service=%s action=%s reason=%s offset=%lld minority=%d why=%s\ngot: %.1500s\n",
			what, service, e->action, e->reason ? e->reason : "any", (long long)e->offset, e->minority,
			e->why ? e->why : "any", record ? json_object_to_json_string(record) : "none");
		fail_msg("%s: not the evidence that was expected", what);
	}
	json_object_put(result);
}

int world_run(const char *name, const struct CMUnitTest *tests, size_t n, int (*begin)(void **), int (*end)(void **))
{
	struct CMUnitTest *again = calloc(n, sizeof(*again));
	char(*names)[120] = calloc(n, sizeof(*names)), group[120];
	size_t m = 0;

	if (!again || !names)
		abort();
	for (size_t i = 0; i < n; i++) {
		if (tests[i].initial_state == &world_in_clear)
			continue;
		snprintf(names[m], sizeof(names[m]), "%s, over TLS", tests[i].name);
		again[m] = tests[i];
		again[m].name = names[m];
		m++;
	}
	int failed = _cmocka_run_group_tests(name, tests, n, begin, end);
	over_tls = true;
	snprintf(group, sizeof(group), "%s, over TLS", name);
	failed += _cmocka_run_group_tests(group, again, m, begin, end);
	free(again);
	free(names);
	return failed;
}
