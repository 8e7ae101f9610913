/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakepgplay.h - examples of what three instances answer, each played whole, dribbled, and in pieces.
 */
#ifndef RDDR_TEST_FAKEPGPLAY_H
#define RDDR_TEST_FAKEPGPLAY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakepgtext.h"

#define ALL 0xffu /* nobody stands alone */

struct example {
	const char *what, *params;
	/* NULL: as instance 0. "x$" at the end: the stream ends there. */
	const char *in[3];
	/* NULL: they agree, and the client hears instance 0. Otherwise of the finding: where, and why begins with. */
	const char *where, *why;
	const char *heard; /* in front of a finding; or where it is not what instance 0 said */
	unsigned alone;	   /* with a finding: who stands alone, or ALL */
	bool filter;
	bool idle; /* the client asked for nothing */
};

/* ---- how an example is played ---- */

struct play {
	struct rddr_session s;
	struct fake_out said[3], asked, heard;
};

static inline const char *said_by(const struct example *e, unsigned i)
{
	const char *text = e->in[i] ? e->in[i] : e->in[0];

	return text ? text : "";
}

static inline void begin(struct play *p, const struct example *e)
{
	*p = (struct play){0};
	if (pg_begin(&p->s, &rddr_diff_plugin, 3, e->filter, e->params) != 0)
		fail_msg("%s: it does not begin", e->what);
	for (unsigned i = 0; i < 3; i++) {
		const char *text = said_by(e, i);
		size_t len = strlen(text);
		bool ends = len && text[len - 1] == '$';
		char *copy = strdup(text);

		assert_non_null(copy);
		copy[len - ends] = '\0';
		pg_welcome(&p->said[i], (uint8_t)(i + 1));
		pg_say(&p->said[i], copy);
		free(copy);
	}
	pg_login(&p->s, p->said);
	for (unsigned i = 0; i < 3; i++) {
		const char *text = said_by(e, i);

		if (*text && text[strlen(text) - 1] == '$')
			p->s.in[i].end = RDDR_END_ENDED;
	}
	if (!e->idle)
		pg_say(&p->asked, "Q select a | Q select b | Q select c");
	fake_set(&p->s.in[FAKE_LONE], p->asked.data, p->asked.len, RDDR_END_OPEN);
	fake_show(&p->s.in[FAKE_LONE], SIZE_MAX);
	assert_true(fake_modify(&p->s));
	/* A finding tells what was let out whole; an agreement, all that was said. */
	if (e->heard)
		pg_say(&p->heard, e->heard);
	else if (!e->where)
		fake_append(&p->heard, p->said[0].data + PG_WELCOME, p->said[0].len - PG_WELCOME);
}

static inline void end(struct play *p)
{
	fake_end(&p->s);
	for (unsigned i = 0; i < 3; i++)
		free(p->said[i].data);
	free(p->asked.data);
	free(p->heard.data);
}

static inline void check(const struct example *e, const struct play *p, bool agrees, const char *how)
{
	const struct rddr_finding *f = &p->s.finding;
	const struct fake_out *out = &p->s.out[FAKE_LONE];

	if (agrees != !e->where)
		fail_msg("%s, %s: %s (%s: %s)", e->what, how, agrees ? "agrees" : "diverges", f->where, f->why);
	if (!agrees && (strcmp(f->where, e->where) != 0 || strncmp(f->why, e->why, strlen(e->why)) != 0))
		fail_msg("%s, %s: %s: %s", e->what, how, f->where, f->why);
	if (!agrees && f->alone != (e->alone == ALL ? RDDR_ALONE_NOBODY : e->alone + 1))
		fail_msg("%s, %s: %u stands alone", e->what, how, f->alone - 1);
	/* In front of a finding less of it may be let out, by how much was looked at together. */
	size_t heard = out->len - PG_WELCOME;
	if ((!agrees && heard > p->heard.len) ||
	    !pg_alike(out->data + PG_WELCOME, heard, p->heard.data, p->heard.len, !agrees))
		fail_msg("%s, %s: the client hears %zu bytes, and not %zu", e->what, how, heard, p->heard.len);
}

static inline void play(const struct example *e)
{
	struct play p;

	begin(&p, e);
	check(e, &p, fake_diff_whole(&p.s), "whole");
	end(&p);
	begin(&p, e);
	check(e, &p, fake_diff_dribbled(&p.s), "dribbled");
	end(&p);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		begin(&p, e);
		check(e, &p, fake_diff_chunked(&p.s, seed, 1 + seed * 5), "in pieces");
		end(&p);
	}
}

static inline void play_all(const struct example *examples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		play(&examples[i]);
}
#define PLAY_ALL(examples) play_all(examples, sizeof(examples) / sizeof((examples)[0]))

#endif
