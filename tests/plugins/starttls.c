/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin for a line protocol that begins in clear: a client that says STARTTLS is told +OK and gets TLS; so is each
 * instance asked, where its side has TLS to start. From then on everybody is sent the same, and has to say the same.
 */
#include <stdlib.h>
#include <string.h>

#include "rddr_diff.h"

#define REQUEST "STARTTLS\n"
#define CONSENT "+OK\n"

struct state {
	const struct rddr_host *host;
	struct rddr_session *session;
	unsigned n;
	bool spoke; /* the client has said how it wants to go on */
	bool asked; /* the instances' consent is awaited */
};

static int create(const struct rddr_diff_create *args, void **out)
{
	struct state *st = calloc(1, sizeof(*st));

	if (!st)
		return -12;
	*st = (struct state){.host = args->host, .session = args->session, .n = args->instances};
	*out = st;
	return 0;
}

static void ask_instances(struct state *st)
{
	for (unsigned i = 0; i < st->n; i++) {
		if (st->host->tls(st->session, i) != RDDR_TLS_REQUIRED)
			continue;
		st->host->emit(st->session, i, REQUEST, strlen(REQUEST));
		st->asked = true;
	}
}

static enum rddr_modify modify_traffic(void *state, const struct rddr_view *view, struct rddr_modify_result *result)
{
	struct state *st = state;
	size_t len = strlen(REQUEST);

	if (st->asked)
		return RDDR_MODIFY_HOLD;
	if (!st->spoke) {
		if (view->len < len && memcmp(view->data, REQUEST, view->len) == 0)
			return RDDR_MODIFY_WAIT;
		st->spoke = true;
		ask_instances(st);
		if (memcmp(view->data, REQUEST, len) == 0) {
			result->consumed = len;
			st->host->emit(st->session, RDDR_LONE, CONSENT, strlen(CONSENT));
			return st->host->start_tls(st->session, RDDR_LONE) ? RDDR_SEGMENTS : RDDR_REJECT;
		}
		if (st->host->tls(st->session, RDDR_LONE) == RDDR_TLS_REQUIRED)
			return RDDR_REJECT;
		return RDDR_MODIFY_HOLD;
	}
	result->consumed = view->len;
	return RDDR_SAME_FOR_ALL;
}

static enum rddr_verdict consent(struct state *st, const struct rddr_view views[], struct rddr_diff_result *result)
{
	size_t len = strlen(CONSENT);

	for (unsigned i = 0; i < st->n; i++) {
		if (views[i].len < len)
			return RDDR_WAIT;
		if (memcmp(views[i].data, CONSENT, len) != 0) {
			result->finding.instance = i;
			strcpy(result->finding.why, "no consent to TLS");
			return RDDR_DIVERGE;
		}
	}
	st->asked = false;
	for (unsigned i = 0; i < st->n; i++) {
		result->consumed[i] = len;
		st->host->start_tls(st->session, i);
	}
	st->host->discard(st->session, len);
	return RDDR_AGREE;
}

static enum rddr_verdict diff_traffic(void *state, const struct rddr_view views[], unsigned n,
				      struct rddr_diff_result *result)
{
	struct state *st = state;
	size_t least = views[0].len;

	if (st->asked)
		return consent(st, views, result);
	for (unsigned i = 1; i < n; i++)
		least = views[i].len < least ? views[i].len : least;
	for (unsigned i = 1; i < n; i++) {
		if (memcmp(views[0].data, views[i].data, least) == 0)
			continue;
		result->finding.other = i;
		strcpy(result->finding.why, "they differ");
		return RDDR_DIVERGE;
	}
	for (unsigned i = 0; i < n; i++)
		result->consumed[i] = least;
	result->release = least;
	return least ? RDDR_AGREE : RDDR_WAIT;
}

static void render_denial(void *state, const struct rddr_denial *denial)
{
	struct state *st = state;

	(void)denial;
	st->host->emit(st->session, RDDR_LONE, "-DENIED\n", 8);
}

const struct rddr_diff_plugin rddr_diff_plugin = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(rddr_diff_plugin),
	.name = "starttls",
	.create = create,
	.destroy = free,
	.diff_traffic = diff_traffic,
	.modify_traffic = modify_traffic,
	.render_denial = render_denial,
};
