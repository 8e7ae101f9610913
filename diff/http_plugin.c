/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_plugin.c - the operations that http and json share.
 */
#include <errno.h>
#include <stdlib.h>

#include "denied.h"
#include "http_session.h"

int rddr_http_validate(const char *json, void **params, char *err, size_t errlen)
{
	struct rules *rules;
	int r = rddr_rules_parse(json, &rules, err, errlen);

	if (r == 0)
		*params = rules;
	return r;
}

void rddr_http_free_params(void *params)
{
	struct rules *rules = params;

	rddr_rules_free(&rules);
}

int rddr_http_check_params(const void *params, const struct rddr_diff_service *service, char *err, size_t errlen)
{
	return rddr_rules_check(params, service, err, errlen);
}

int rddr_http_create(const struct rddr_diff_create *args, bool json, void **state)
{
	const struct rddr_diff_service service = {
		.name = args->service, .direction = args->direction, .instances = args->instances};
	char err[200];
	struct http *h;

	/* A host that does not know check_params has not asked. */
	if (rddr_rules_check(args->params, &service, err, sizeof(err)) < 0)
		return -EINVAL;
	h = calloc(1, sizeof(*h) + args->instances * sizeof(h->streams[0]));
	if (!h)
		return -ENOMEM;
	h->host = args->host;
	h->session = args->session;
	h->rules = args->params;
	h->settings = rddr_rules_settings(h->rules);
	h->n = args->instances;
	h->filter = args->do_filter;
	h->json = json;
	h->proxy = args->names_target;
	h->reports = args->reports;
	h->limit = h->settings->max_body < args->limit ? h->settings->max_body : args->limit;
	h->view_max = args->limit;
	h->noise_run = args->noise_run;
	h->repeat_max = args->repeat;
	h->request.ahead.settings = h->settings;
	rddr_http_fields_begin(h);
	h->outgoing = args->direction == RDDR_OUTGOING;
	/* Nothing was asked: a server that closes now is dialled again when something is. */
	if (!h->outgoing)
		h->host->neutral(h->session, 0);
	*state = h;
	return 0;
}

void rddr_http_destroy(void *state)
{
	struct http *h = state;

	rddr_http_payload_end(h);
	for (unsigned i = 0; i < h->n; i++)
		rddr_backlog_free(&h->streams[i].payload);
	rddr_backlog_free(&h->head);
	rddr_http_edits_free(&h->edits);
	rddr_backlog_free(&h->request.kept);
	rddr_http_fields_end(h);
	free(h);
}

enum rddr_verdict rddr_http_diff_traffic(void *state, const struct rddr_view views[], unsigned n,
					 struct rddr_diff_result *result)
{
	struct http *h = state;

	(void)n;
	return h->outgoing ? rddr_http_outgoing_judge(h, views, result) : rddr_http_judge(h, views, result);
}

enum rddr_modify rddr_http_modify_traffic(void *state, const struct rddr_view *view, struct rddr_modify_result *result)
{
	struct http *h = state;

	return h->outgoing ? rddr_http_outgoing_modify(h, view, result) : rddr_http_modify(h, view, result);
}

/*
 * Where a page can still take the answer's place it does; where some of an answer is out already, or the client asked
 * for nothing, nothing is said, and the connection is reset.
 */
void rddr_http_render_denial(void *state, const struct rddr_denial *denial)
{
	struct http *h = state;
	const struct denied d = {
		.refused = denial->reason == RDDR_DENIED_REJECTED,
		.unreachable = h->naming && denial->reason == RDDR_DENIED_MISSING,
		.json = h->naming ? h->naming_json : h->exchange.pending && h->exchange.wants_json,
		.head_only = h->naming ? h->naming_head : h->exchange.pending && h->exchange.method == HTTP_METHOD_HEAD,
		.reference = denial->reference,
	};
	char page[DENIED_ROOM];
	bool idle = !h->exchange.pending && !h->naming && denial->sent > 0;

	if (h->outgoing) {
		rddr_http_outgoing_denial(h, denial);
		return;
	}
	if (h->begun || denial->mid_message || h->phase == ANSWER_TUNNEL || (idle && !d.refused))
		return;
	h->host->emit(h->session, RDDR_LONE, page, rddr_denied_render(&d, page));
}
