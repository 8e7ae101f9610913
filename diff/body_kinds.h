/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body_kinds.h - what body.c and the comparators of the several kinds share.
 *
 * A comparator judges a unit (a line, a document) when it is there, and leaves it to body.c to let it out: in steps,
 * each noisy run of instance 0's bytes charged when what lies before it was consumed.
 */
#ifndef RDDR_BODY_KINDS_H
#define RDDR_BODY_KINDS_H

#include "body.h"

/* Noise that hides in the unit, by its place in instance 0's view; len is not 0. */
struct body_run {
	size_t at, len;
};

/* A unit that was judged. */
struct body_unit {
	size_t total[RDDR_MAX_INSTANCES]; /* bytes of each view; 0 for who is absent */
	struct body_run *runs;		  /* in order of at, without overlaps */
	size_t n, room;
	size_t next;	 /* the run that is due */
	size_t at;	 /* what was let out of instance 0 */
	bool pending;	 /* there is something to let out */
	char where[160]; /* for a budget that does not suffice */
};

struct body_ops {
	size_t size; /* of the comparator, which begins with its struct body */
	int (*init)(struct body *b);
	void (*fini)(struct body *b);
	/* Views are clipped to the limit: a full one (len is the limit) never shows its end. */
	enum rddr_verdict (*compare)(struct body *b, const struct body_view views[], struct body_result *result);
};

struct body {
	struct body_conf conf;
	const struct body_ops *ops;
	struct body_unit unit;
};

extern const struct body_ops rddr_body_bytes_ops, rddr_body_lines_ops, rddr_body_json_ops;

/* Whether the pair is there to tell noise by. */
bool rddr_body_filters(const struct body *b, const struct body_view views[]);

/* A bit for each absent instance. */
uint32_t rddr_body_absent(const struct body *b, const struct body_view views[]);

/* How far from from on, at most to to, all present views are the same; all of them are that long. */
size_t rddr_body_alike(const struct body *b, const struct body_view views[], size_t from, size_t to);

/* Begins a unit that has been judged; total is to be filled in. */
void rddr_body_unit_begin(struct body *b);

/* Adds noise to it, in any order. -ENOMEM. */
int rddr_body_unit_noise(struct body *b, size_t at, size_t len);

/* Lets out the first part; the verdict is the call's. */
enum rddr_verdict rddr_body_unit_release(struct body *b, struct body_result *result);

/* Fills the finding in; why is a format. */
enum rddr_verdict rddr_body_diverge(struct body_result *result, unsigned instance, unsigned other, size_t offset,
				    const char *why, ...) __attribute__((format(printf, 5, 6)));

/* The same for what cannot be decided. */
enum rddr_verdict rddr_body_undecided(const struct body *b, const struct body_view views[], struct body_result *result,
				      const char *why);

/* Some present streams are over (over has a bit for each) where others go on: names one of the fewer. */
enum rddr_verdict rddr_body_diverge_end(const struct body *b, const struct body_view views[], uint32_t over,
					struct body_result *result);

#endif
