// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "postgres_session.h"

static void a_wrong_key_is_named_by_its_path(void **state)
{
	static const struct {
		const char *json, *says; /* NULL: accepted */
	} cases[] = {
		{"{}", NULL},
		{"{\"order\": \"leader\", \"lead-time\": \"500ms\", \"unordered-rows\": true, \"redact\": \"values\"}",
		 NULL},
		{"{\"tokens\": []}", NULL},
		{"{\"tokens\": [[\"a\", \"b\"], [\"c\", \"d\"]], \"ignore-parameters\": [], \"ignore-error-fields\": "
		 "\"\"}",
		 NULL},
		{"{\"table-oids\": \"compare\", \"type-oids\": \"ignore\"}", NULL},
		{"[]", "diff-params: must be a mapping"},
		{"", "diff-params: must be a mapping"},
		{"{", "diff-params: must be a mapping"},
		{"{\"token\": []}", "diff-params.token: no such key: there are tokens, "},
		{"{\"tokens\": {}}", "diff-params.tokens: { }: must be a list of at most 256 lists"},
		{"{\"tokens\": [[\"a\", \"b\"], \"c\"]}", "diff-params.tokens.1: \"c\": must be a list of strings"},
		{"{\"tokens\": [[\"a\", \"\"]]}", "diff-params.tokens.0: \"\": must be a string of 1 to 256 bytes"},
		{"{\"tokens\": [[\"a\", 7]]}", "diff-params.tokens.0: 7: must be a string"},
		{"{\"tokens\": [[]]}", "diff-params.tokens.0: [ ]: "},
		{"{\"tokens\": [[\"a\", \"b\"], [\"c\"]]}",
		 "diff-params.tokens.1: [ \"c\" ]: must be as long as the first list"},
		{"{\"order\": \"follower\"}", "diff-params.order: \"follower\": must be leader or parallel"},
		{"{\"order\": true}", "diff-params.order: true: "},
		{"{\"lead-time\": \"5\"}", "diff-params.lead-time: \"5\": must be a time"},
		{"{\"lead-time\": \"-5s\"}", "diff-params.lead-time: \"-5s\": "},
		{"{\"lead-time\": \"3601s\"}", "diff-params.lead-time: \"3601s\": "},
		{"{\"lead-time\": \"99999999999999999999ms\"}", "diff-params.lead-time: "},
		{"{\"lead-time\": 5}", "diff-params.lead-time: 5: "},
		{"{\"unordered-rows\": \"yes\"}", "diff-params.unordered-rows: \"yes\": must be true or false"},
		{"{\"redact\": true}", "diff-params.redact: true: must be none or values"},
		{"{\"table-oids\": \"\"}", "diff-params.table-oids: \"\": must be ignore or compare"},
		{"{\"type-oids\": null}", "diff-params.type-oids: null: must be compare or ignore"},
		{"{\"ignore-parameters\": \"TimeZone\"}",
		 "diff-params.ignore-parameters: \"TimeZone\": must be a list"},
		{"{\"ignore-parameters\": [\"TimeZone\", \"\"]}",
		 "diff-params.ignore-parameters: \"\": must be the name of"},
		{"{\"ignore-error-fields\": \"FLRx\"}", "diff-params.ignore-error-fields: \"FLRx\": must be letters"},
		/* Nobody is to leave the SQLSTATE out. */
		{"{\"ignore-error-fields\": \"C\"}", "diff-params.ignore-error-fields: \"C\": must be letters"},
		{"{\"ignore-error-fields\": \"FLRFLRFLRFLRFLRFLRFLRFLRFLRFLRFLR\"}",
		 "diff-params.ignore-error-fields: "},
		{"{\"credentials\": \"relative\"}", "diff-params.credentials: "},
		{"{\"client-auth\": \"gss\"}", "diff-params.client-auth: "},
		{"{\"max-iterations\": 1}", "diff-params.max-iterations: "},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char err[300] = "";
		void *params = NULL;
		int r = rddr_pg_params_read(cases[i].json, &params, err, sizeof(err));

		if (r != (cases[i].says ? -EINVAL : 0) || (params != NULL) != (r == 0))
			fail_msg("%s: %d, %s", cases[i].json, r, err);
		if (cases[i].says && strstr(err, cases[i].says) != err)
			fail_msg("%s: %s", cases[i].json, err);
		rddr_pg_params_free(params);
	}
}

static struct pg_params *read_params(const char *json)
{
	char err[300] = "";
	void *params = NULL;

	if (rddr_pg_params_read(json, &params, err, sizeof(err)) < 0)
		fail_msg("%s: %s", json, err);
	return params;
}

static void defaults_are_what_the_manual_says(void **state)
{
	struct pg_params *p = read_params("{}");

	(void)state;
	assert_int_equal(p->lead_time, 1000);
	assert_string_equal(p->ignored_fields, "FLR");
	assert_false(p->parallel || p->unordered || p->redact || p->compare_tables || p->ignore_types);
	assert_int_equal(p->n_tokens, 0);
	rddr_pg_params_free(p);
	p = read_params("{\"lead-time\": \"0s\"}");
	assert_int_equal(p->lead_time, 0);
	rddr_pg_params_free(p);
	p = read_params("{\"lead-time\": \"1500ms\"}");
	assert_int_equal(p->lead_time, 1500);
	rddr_pg_params_free(p);
}

static void parameters_are_ignored_by_name(void **state)
{
	struct pg_params *p = read_params("{\"ignore-parameters\": [\"TimeZone\", \"in_hot_standby\"]}");

	(void)state;
	/* Names of parameters have no case. */
	assert_true(rddr_pg_params_ignores_setting(p, slice_of("timezone")));
	assert_true(rddr_pg_params_ignores_setting(p, slice_of("in_hot_standby")));
	assert_false(rddr_pg_params_ignores_setting(p, slice_of("in_hot")));
	assert_false(rddr_pg_params_ignores_setting(p, slice_of("")));
	rddr_pg_params_free(p);
	p = read_params("{}");
	assert_false(rddr_pg_params_ignores_setting(p, slice_of("timezone")));
	rddr_pg_params_free(p);
}

static void tokens_have_to_be_as_many_as_instances(void **state)
{
	struct rddr_diff_service service = {.size = sizeof(service), .name = "db", .instances = 2};
	struct pg_params *p = read_params("{\"tokens\": [[\"a\", \"b\"], [\"c\", \"d\"]]}");
	char err[200] = "";

	(void)state;
	assert_int_equal(rddr_pg_params_check(p, &service, err, sizeof(err)), 0);
	service.instances = 3;
	assert_int_equal(rddr_pg_params_check(p, &service, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "diff-params.tokens.0: has 2 strings, and db has 3 instances");
	rddr_pg_params_free(p);
	p = read_params("{}");
	assert_int_equal(rddr_pg_params_check(p, &service, err, sizeof(err)), 0);
	rddr_pg_params_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_key_is_named_by_its_path),
		cmocka_unit_test(defaults_are_what_the_manual_says),
		cmocka_unit_test(parameters_are_ignored_by_name),
		cmocka_unit_test(tokens_have_to_be_as_many_as_instances),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
