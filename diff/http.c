/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http.c - diff-class http: HTTP/1.x, answer by answer. See rddr-http(7).
 */
#include "http_session.h"

static int create(const struct rddr_diff_create *args, void **state)
{
	return rddr_http_create(args, false, state);
}

const struct rddr_diff_plugin rddr_diff_plugin = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(rddr_diff_plugin),
	.name = "http",
	.validate_params = rddr_http_validate,
	.free_params = rddr_http_free_params,
	.create = create,
	.destroy = rddr_http_destroy,
	.diff_traffic = rddr_http_diff_traffic,
	.modify_traffic = rddr_http_modify_traffic,
	.render_denial = rddr_http_render_denial,
	.alpn = "http/1.1",
	.opening = rddr_http_opening,
	.check_params = rddr_http_check_params,
};
