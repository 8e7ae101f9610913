/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules_own.h - how the rules are kept; for rules*.c alone.
 */
#ifndef RDDR_RULES_OWN_H
#define RDDR_RULES_OWN_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "rules.h"

#define RULES_POINTER_DEPTH 32

enum selector { SELECT_HEADER, SELECT_COOKIE, SELECT_POINTER, SELECT_LINE, SELECTORS };

/* A JSON pointer, taken apart. */
struct pointer {
	unsigned n;
	char *keys[RULES_POINTER_DEPTH]; /* without escapes */
	bool any[RULES_POINTER_DEPTH];	 /* it is an asterisk */
};

struct name_list {
	char **names;
	size_t n;
};

struct rule {
	struct field_rule field; /* owns its text */
	enum selector selector;
	struct name_list names; /* of SELECT_COOKIE: one for each instance, or none where text is the name everywhere */
	struct pointer pointer; /* of SELECT_POINTER */
	pcre2_code *pattern;	/* of SELECT_LINE */
	uint32_t groups;	/* of the pattern */
};

struct rules {
	struct rules_settings settings;
	struct name_list ignore, only;
	bool has_only;
	struct rule *list;
	size_t n;
	struct pointer *unordered;
	size_t unordered_n;
	struct cookie_names *renamed; /* in the order of instance 0's names; these are the rules' */
	size_t renamed_n;
};

/* ---- rules_cookies.c ---- */

/*
 * Whether rule i goes with those before it: the lists of names have the same length, and no instance has one name for
 * two cookies. Where not, err says why.
 */
bool rddr_rules_names_apart(const struct rules *rules, size_t i, char *err, size_t errlen);
/* Makes rules->renamed of the lists of names. 0 or -ENOMEM. */
int rddr_rules_rename(struct rules *rules);

extern const struct rules_settings rddr_rules_defaults;

#endif
