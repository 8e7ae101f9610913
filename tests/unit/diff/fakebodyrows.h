/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakebodyrows.h - tables of payloads, and of what a comparator says to them.
 */
#ifndef RDDR_TEST_FAKEBODYROWS_H
#define RDDR_TEST_FAKEBODYROWS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakebody.h"
#include "fakerules.h"

struct fakebody_row {
	const char *name;
	const char *texts[4];
	bool plain; /* without the filter pair */
	const char *rules, *known;
	const char *where, *why; /* NULL: it agrees */
	const char *field;	 /* the first that was told of; with a '=' in front, what stands behind its name */
};

/* The payloads that there are; returns how many. */
static inline unsigned fakebody_fill(struct fakebody *f, const char *const texts[4])
{
	unsigned n = 0;

	for (; n < 4 && texts[n]; n++)
		f->in[n] = slice_of(texts[n]);
	return n;
}

static inline void fakebody_conf(struct fakebody *f, enum body_kind kind, unsigned n, bool filter)
{
	f->conf = (struct body_conf){.kind = kind, .n = n, .do_filter = filter, .limit = 1 << 16};
	f->budget = (struct noise_budget){.run = 256, .share = 20};
}

static inline void fakebody_play_row(const struct fakebody_row *row, enum body_kind kind)
{
	struct fakebody *f = calloc(1, sizeof(*f));
	struct rules *rules = row->rules ? fakerules(row->rules) : NULL;

	assert_non_null(f);
	fakebody_conf(f, kind, fakebody_fill(f, row->texts), !row->plain);
	f->known = row->known;
	f->conf.rules = rules;
	fakebody_play_all(f);
	if (!row->why && !fakebody_agrees(f))
		fail_msg("%s: %s: %s", row->name, f->finding.where, f->finding.why);
	if (row->why && (f->verdict != RDDR_DIVERGE || strcmp(f->finding.where, row->where) != 0 ||
			 !strstr(f->finding.why, row->why)))
		fail_msg("%s: %s: %s", row->name, f->finding.where, f->finding.why);
	if (row->field) {
		const char *told = *row->field == '=' ? strchr(f->fields[0], '=') : f->fields[0];

		if (!told || strcmp(told, row->field) != 0)
			fail_msg("%s: %s", row->name, f->fields[0]);
	} else if (!row->why) {
		assert_int_equal(f->noises + f->declareds, 0);
	}
	rddr_rules_free(&rules);
	free(f);
}

#endif
