/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fakerules.h"

static void wrong_lists_are_named_by_their_path(void **state)
{
	static const struct {
		const char *fields, *err;
	} cases[] = {
		{"{\"cookie\":[],\"action\":\"token\"}", "diff-params.fields[0].cookie: must have one name for each"},
		{"{\"cookie\":[\"a\",7],\"action\":\"token\"}",
		 "diff-params.fields[0].cookie[1]: 7: must be a cookie name"},
		{"{\"cookie\":[\"a\",\"b c\"],\"action\":\"token\"}",
		 "diff-params.fields[0].cookie[1]: \"b c\" is no cookie name"},
		{"{\"cookie\":[\"a\",\"b=\"],\"action\":\"token\"}",
		 "diff-params.fields[0].cookie[1]: \"b=\" is no cookie name"},
		{"{\"cookie\":[\"a\",\"b*\"],\"action\":\"token\"}",
		 "diff-params.fields[0].cookie[1]: \"b*\" is no cookie name"},
		{"{\"cookie\":[\"\xc3\xa4\",\"b\"],\"action\":\"token\"}",
		 "diff-params.fields[0].cookie[0]: \"\xc3\xa4\" is no cookie name"},
		{"{\"cookie\":[\"a\",\"\"],\"action\":\"token\"}", "diff-params.fields[0].cookie[1]: \"\": must be"},
		{"{\"cookie\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\","
		 "\"14\","
		 "\"15\",\"16\",\"17\"],\"action\":\"token\"}",
		 "diff-params.fields[0].cookie: must have at most 16 names"},
		{"{\"cookie\":{\"a\":1},\"action\":\"token\"}",
		 "diff-params.fields[0].cookie: {\"a\":1}: must be a text"},
		{"{\"header\":[\"a\",\"b\"],\"action\":\"token\"}",
		 "diff-params.fields[0].header: [\"a\",\"b\"]: must be"},
		{"{\"cookie\":[\"a\",\"b\"]}", "diff-params.fields[0]: action is missing"},
		{"{\"cookie\":[\"a\",\"b\"],\"action\":\"token\"},{\"cookie\":[\"c\",\"d\",\"e\"],\"action\":"
		 "\"token\"}",
		 "diff-params.fields[1]: cookie has 3 names, and that of fields[0] has 2"},
		/* Two cookies of one name, at one instance. */
		{"{\"cookie\":[\"a\",\"b\"],\"action\":\"token\"},{\"cookie\":[\"c\",\"b\"],\"action\":\"token\"}",
		 "diff-params.fields[1]: instance 1 has \"b\" for this cookie and for that of fields[0]"},
		{"{\"cookie\":[\"a\",\"b\"],\"action\":\"token\"},{\"cookie\":\"a\",\"action\":\"ignore\"}",
		 "diff-params.fields[1]: instance 0 has \"a\" for this cookie and for that of fields[0]"},
		{"{\"cookie\":\"b\",\"action\":\"ignore\"},{\"cookie\":[\"a\",\"b\"],\"action\":\"token\"}",
		 "diff-params.fields[1]: instance 1 has \"b\" for this cookie and for that of fields[0]"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rules *rules = NULL;
		char json[600], err[400] = "";

		snprintf(json, sizeof(json), "{\"fields\":[%s]}", cases[i].fields);
		if (rddr_rules_parse(json, &rules, err, sizeof(err)) != -EINVAL)
			fail_msg("taken: %s", json);
		assert_null(rules);
		if (strncmp(err, cases[i].err, strlen(cases[i].err)) != 0)
			fail_msg("%s: %s", json, err);
	}
}

static void there_are_at_most_sixteen_lists(void **state)
{
	struct rules *rules = NULL;
	char json[2000] = "{\"fields\":[", err[400] = "";

	(void)state;
	for (unsigned i = 0; i < 17; i++) {
		size_t len = strlen(json);

		snprintf(json + len, sizeof(json) - len, "%s{\"cookie\":[\"a%u\",\"b%u\"],\"action\":\"token\"}",
			 i ? "," : "", i, i);
		if (i < 15)
			continue;
		len = strlen(json);
		snprintf(json + len, sizeof(json) - len, "]}");
		if (i == 15) {
			rules = fakerules(json);
			rddr_rules_free(&rules);
			json[len] = '\0';
		}
	}
	assert_int_equal(rddr_rules_parse(json, &rules, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "diff-params.fields[16]: there may be 16 cookies with a list of names");
}

static int check(const char *fields, enum rddr_direction direction, unsigned instances, char *err, size_t errlen)
{
	const struct rddr_diff_service service = {
		.size = sizeof(service), .name = "shop", .direction = direction, .instances = instances};
	struct rules *rules;
	char json[600];
	int r;

	snprintf(json, sizeof(json), "{\"fields\":[%s]}", fields);
	rules = fakerules(json);
	r = rddr_rules_check(rules, &service, err, errlen);
	rddr_rules_free(&rules);
	return r;
}

static void there_is_a_name_for_each_instance(void **state)
{
	static const char plain[] = "{\"cookie\":\"a\",\"action\":\"token\"}",
			  list[] = "{\"header\":\"x\",\"action\":\"ignore\"},"
				   "{\"cookie\":[\"a\",\"a\",\"b\"],\"action\":\"token\"}";
	char err[200] = "";

	(void)state;
	assert_int_equal(check(plain, RDDR_INCOMING, 3, err, sizeof(err)), 0);
	assert_int_equal(check(plain, RDDR_OUTGOING, 3, err, sizeof(err)), 0);
	assert_int_equal(check(list, RDDR_INCOMING, 3, err, sizeof(err)), 0);
	assert_int_equal(check(list, RDDR_INCOMING, 2, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "diff-params.fields[1].cookie: has 3 names, and shop has 2 instances");
	assert_int_equal(check(list, RDDR_INCOMING, 4, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "diff-params.fields[1].cookie: has 3 names, and shop has 4 instances");
	assert_int_equal(check(list, RDDR_OUTGOING, 3, err, sizeof(err)), -EINVAL);
	assert_string_equal(err,
			    "diff-params.fields[1].cookie: names of each instance's own are for incoming services");
	assert_int_equal(rddr_rules_check(NULL, NULL, err, sizeof(err)), 0);
}

/* What instance i calls what the client calls so, and back. */
static void calls(const struct rules *rules, unsigned i, const char *client, const char *there)
{
	const struct cookie_names *names = rddr_rules_names(rules, 0, slice_of(client));

	assert_non_null(names);
	assert_true(slice_equal(names->of[0], slice_of(client)));
	if (!slice_equal(names->of[i], slice_of(there)))
		fail_msg("instance %u calls %s %.*s, not %s", i, client, (int)names->of[i].len,
			 (const char *)names->of[i].data, there);
	assert_ptr_equal(rddr_rules_names(rules, i, slice_of(there)), names);
}

static void names_are_exchanged(void **state)
{
	struct rules *rules = fakerules("{\"fields\":[{\"cookie\":[\"PHPSESSID\",\"PHPSESSID\",\"connect.sid\"],"
					"\"action\":\"token\"}]}");

	(void)state;
	assert_true(rddr_rules_renames(rules));
	for (unsigned i = 0; i < 2; i++) {
		calls(rules, i, "PHPSESSID", "PHPSESSID");
		calls(rules, i, "connect.sid", "connect.sid");
	}
	calls(rules, 2, "PHPSESSID", "connect.sid");
	calls(rules, 2, "connect.sid", "PHPSESSID");
	for (unsigned i = 0; i < 3; i++) {
		assert_null(rddr_rules_names(rules, i, slice_of("PHPSESSID2")));
		assert_null(rddr_rules_names(rules, i, slice_of("PHPSESSI")));
		assert_null(rddr_rules_names(rules, i, slice_of("phpsessid")));
		assert_null(rddr_rules_names(rules, i, slice_of("")));
	}
	assert_int_equal(rddr_rules_cookie(rules, slice_of("PHPSESSID"))->action, RULE_TOKEN);
	assert_null(rddr_rules_cookie(rules, slice_of("connect.sid")));
	rddr_rules_free(&rules);
}

static void chains_of_names_end(void **state)
{
	/* At instance 1: a is b, b is c; what the client calls c is a there. At instance 2: c is a, a is b. */
	struct rules *rules = fakerules("{\"fields\":[{\"cookie\":[\"b\",\"c\",\"b2\"],\"action\":\"token\"},"
					"{\"cookie\":[\"a\",\"b\",\"b\"],\"action\":\"compare\"},"
					"{\"cookie\":[\"c2\",\"c2\",\"a\"],\"action\":\"ignore\"}]}");

	(void)state;
	calls(rules, 1, "a", "b");
	calls(rules, 1, "b", "c");
	calls(rules, 1, "c", "a");
	calls(rules, 1, "c2", "c2");
	calls(rules, 2, "a", "b");
	calls(rules, 2, "b", "b2");
	calls(rules, 2, "c2", "a");
	calls(rules, 2, "b2", "c2");
	calls(rules, 2, "c", "c");
	rddr_rules_free(&rules);
}

static void what_is_called_alike_everywhere_is_not_renamed(void **state)
{
	struct rules *rules = fakerules("{\"fields\":[{\"cookie\":[\"a\",\"a\"],\"action\":\"token\"}]}");

	(void)state;
	assert_false(rddr_rules_renames(rules));
	assert_null(rddr_rules_names(rules, 0, slice_of("a")));
	assert_int_equal(rddr_rules_cookie(rules, slice_of("a"))->action, RULE_TOKEN);
	rddr_rules_free(&rules);
	assert_false(rddr_rules_renames(NULL));
	assert_null(rddr_rules_names(NULL, 0, slice_of("a")));
	rules = fakerules(
		"{\"fields\":[{\"cookie\":\"a\",\"action\":\"token\"},{\"cookie\":\"a\",\"action\":\"ignore\"}]}");
	assert_false(rddr_rules_renames(rules));
	rddr_rules_free(&rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_lists_are_named_by_their_path),
		cmocka_unit_test(there_are_at_most_sixteen_lists),
		cmocka_unit_test(there_is_a_name_for_each_instance),
		cmocka_unit_test(names_are_exchanged),
		cmocka_unit_test(chains_of_names_end),
		cmocka_unit_test(what_is_called_alike_everywhere_is_not_renamed),
	};

	return cmocka_run_group_tests_name("diff/rules_cookies", tests, NULL, NULL);
}
