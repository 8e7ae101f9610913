/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakehttp.h - the class http, for tests that are linked with what it is made of and not with the plugin.
 */
#ifndef RDDR_TEST_FAKEHTTP_H
#define RDDR_TEST_FAKEHTTP_H

#include "http_session.h"

static inline int fakehttp_create(const struct rddr_diff_create *args, void **state)
{
	return rddr_http_create(args, false, state);
}

static const struct rddr_diff_plugin fakehttp = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(fakehttp),
	.name = "http",
	.validate_params = rddr_http_validate,
	.free_params = rddr_http_free_params,
	.create = fakehttp_create,
	.destroy = rddr_http_destroy,
	.diff_traffic = rddr_http_diff_traffic,
	.modify_traffic = rddr_http_modify_traffic,
	.render_denial = rddr_http_render_denial,
	.opening = rddr_http_opening,
	.check_params = rddr_http_check_params,
};

#endif
