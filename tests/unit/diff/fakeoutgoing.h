/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakeoutgoing.h - sessions of diff-class postgres in an outgoing service: messages that instances and a backend say,
 * and what a gather would do between two sessions.
 */
#ifndef RDDR_TEST_FAKEOUTGOING_H
#define RDDR_TEST_FAKEOUTGOING_H

#include "fakepg.h"
#include "postgres_outgoing.h"

/* The class, which is a plugin of its own elsewhere. */
static inline int out_create(const struct rddr_diff_create *args, void **state)
{
	struct pg_session *s = calloc(1, sizeof(*s) + args->instances * sizeof(s->instance[0]));

	if (!s)
		abort();
	s->host = args->host;
	s->handle = args->session;
	s->params = args->params;
	s->n = args->instances;
	s->filter = args->do_filter;
	s->limit = args->limit;
	int r = rddr_pg_out_create(s, args);
	if (r < 0)
		free(s);
	else
		*state = s;
	return r;
}

static inline void out_destroy(void *state)
{
	struct pg_session *s = state;

	rddr_pg_out_destroy(s);
	rddr_pg_queue_free(&s->columns);
	free(s);
}

static inline enum rddr_verdict out_diff(void *state, const struct rddr_view views[], unsigned n,
					 struct rddr_diff_result *result)
{
	return rddr_pg_out_judge(state, views, n, result);
}

static inline enum rddr_modify out_modify(void *state, const struct rddr_view *view, struct rddr_modify_result *result)
{
	return rddr_pg_out_modify(state, view, result);
}

static const struct rddr_diff_plugin out_plugin = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(out_plugin),
	.name = "postgres",
	.create = out_create,
	.destroy = out_destroy,
	.diff_traffic = out_diff,
	.modify_traffic = out_modify,
	.opening = rddr_pg_opening,
};

/* Defaults, but for what is given. */
static inline void *out_params(const char *json)
{
	void *params = NULL;
	char err[256] = "";

	if (rddr_pg_params_read(json, &params, err, sizeof(err)) < 0)
		fake_fail(err);
	return params;
}

/* Begins a session of n instances at a neutral point of that identity, on a connection to the backend that is there,
 * or on a new one; alone: of one of them. */
static inline int out_begin(struct rddr_session *s, unsigned n, bool filter, void *params, uint64_t identity,
			    bool reused, bool alone, const size_t replied[])
{
	static const size_t none[RDDR_MAX_INSTANCES];
	const struct rddr_diff_create args = {
		.size = sizeof(args),
		.direction = RDDR_OUTGOING,
		.instances = n,
		.do_filter = filter,
		.params = params,
		.service = "test",
		.limit = 1 << 20,
		.host = pg_host(),
		.session = s,
		.noise_run = 256,
		.identity = identity,
		.replied = replied ? replied : none,
		.alone = alone,
		.reused = reused,
	};

	memset(s, 0, sizeof(*s));
	s->plugin = &out_plugin;
	s->n = n;
	s->budget = (struct noise_budget){.run = 256, .share = 20};
	return out_plugin.create(&args, &s->state);
}

/* Asks about a connection; result is filled. The view is a copy that ends where it does. */
static inline enum rddr_opens out_open(struct rddr_session *s, const void *params, uint64_t identity, bool filter,
				       const uint8_t *data, size_t len, enum rddr_end_state end, size_t replied,
				       struct rddr_opening_result *result)
{
	uint8_t *copy = len ? memcpy(malloc(len), data, len) : NULL;
	const struct rddr_view view = {.data = copy, .len = len, .end = end};
	const struct rddr_opening opening = {
		.size = sizeof(opening),
		.params = params,
		.host = pg_host(),
		.session = s,
		.view = &view,
		.identity = identity,
		.limit = 1 << 20,
		.replied = replied,
		.instances = s->n,
		.do_filter = filter,
	};

	*result = (struct rddr_opening_result){.size = sizeof(*result)};
	enum rddr_opens opens = rddr_pg_opening(&opening, result);
	fake_need(opens != RDDR_OPENS_NOT || result->why[0], "refuses and does not say why");
	fake_need(!result->reply_len || (opens == RDDR_OPENS_WAIT && result->reply && result->replied > replied),
		  "replies out of place");
	fake_need(result->replied <= len, "replies to what was not said");
	free(copy);
	return opens;
}

/* Messages of clients. */
static inline void out_query(struct fake_out *out, const char *text)
{
	pg_message(out, 'Q', text, strlen(text) + 1);
}

static inline void out_startup(struct fake_out *out, const char *user, const char *database)
{
	char body[256] = "\0\3\0\0user";
	size_t len = 9;

	len += (size_t)snprintf(body + len, sizeof(body) - len, "%s", user) + 1;
	len += (size_t)snprintf(body + len, sizeof(body) - len, "database") + 1;
	len += (size_t)snprintf(body + len, sizeof(body) - len, "%s", database) + 1;
	body[len++] = '\0';
	pg_message(out, 0, body, len);
}

static inline void out_parse(struct fake_out *out, const char *name, const char *text)
{
	char body[512];
	size_t len = (size_t)snprintf(body, sizeof(body), "%s%c%s%c", name, 0, text, 0);

	/* Of no types. */
	body[len] = body[len + 1] = '\0';
	pg_message(out, 'P', body, len + 2);
}

/* One value, or none. */
static inline void out_bind(struct fake_out *out, const char *name, const char *value)
{
	uint8_t body[512] = {0};
	size_t len = 1;

	len += (size_t)snprintf((char *)body + len, 100, "%s", name) + 1;
	len += 2;
	body[len + 1] = value != NULL;
	len += 2;
	if (value) {
		const size_t n = (size_t)snprintf((char *)body + len + 4, 300, "%s", value);

		pg_put32(body + len, (uint32_t)n);
		len += 4 + n;
	}
	pg_message(out, 'B', body, len + 2);
}

static inline void out_execute(struct fake_out *out)
{
	pg_message(out, 'E', "\0\0\0\0\0", 5);
	pg_message(out, 'S', NULL, 0);
}

/* Messages of the backend. */
static inline void out_done(struct fake_out *out, const char *tag, char status)
{
	pg_message(out, 'C', tag, strlen(tag) + 1);
	pg_message(out, 'Z', &status, 1);
}

#endif
