/* SPDX-License-Identifier: BSD-2-Clause */
/* fakerules.h - rules from diff-params that have to be in order. */
#ifndef RDDR_TEST_FAKERULES_H
#define RDDR_TEST_FAKERULES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rules.h"

/* The caller frees them. */
static inline struct rules *fakerules(const char *json)
{
	struct rules *rules = NULL;
	char err[400] = "";

	if (rddr_rules_parse(json, &rules, err, sizeof(err)) < 0)
		fail_msg("%s: %s", json, err);
	return rules;
}

#endif
