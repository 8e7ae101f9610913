/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakehttp.h - the class http, for tests that are linked with what it is made of and not with the plugin.
 */
#ifndef RDDR_TEST_FAKEHTTP_H
#define RDDR_TEST_FAKEHTTP_H

#include "fakehost.h"
#include "http_session.h"
#include "tables.h"

/* The service whose tables, the core's own, a session gets; none: what the fake host has. */
static const char *fakehttp_service;
static struct rddr_host fakehttp_host;

static inline struct rddr_table *fakehttp_table(struct rddr_session *s, const char *name, size_t entries)
{
	(void)s;
	return rddr_tables_table(rddr_tables_of(fakehttp_service), name, entries);
}

static inline int fakehttp_create(const struct rddr_diff_create *args, void **state)
{
	struct rddr_diff_create with = *args;

	if (fakehttp_service) {
		fakehttp_host = *args->host;
		fakehttp_host.table = fakehttp_table;
		fakehttp_host.table_get = rddr_tables_get;
		fakehttp_host.table_put = rddr_tables_put;
		fakehttp_host.table_count = rddr_tables_count;
		with.host = &fakehttp_host;
	}
	return rddr_http_create(&with, false, state);
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
