/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * replay.h - instances that close an idle connection at the very moment at which it is used again.
 *
 * Servers end idle connections when they like, and HTTP lets a client send a request again that may be repeated when a
 * reused connection ends before any of the answer (RFC 9110 section 9.2.2, RFC 9112 section 9.3.1). A plugin that
 * declares neutral points says for each request whether it may (host->repeat). What may is kept until its answer
 * begins, by reference where it can be, and at most limits.repeat bytes of it; when the connection ends first, that
 * one instance is dialled anew and sent it again, while nobody else is disturbed. What may not is never put onto a
 * connection that has been idle for longer than deadlines.reuse: that is dialled anew first.
 */
#ifndef RDDR_REPLAY_H
#define RDDR_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "outq.h"

struct endpoint;
struct rddr_session;

/* What the plugin said of what it passes on. */
enum repeat_said {
	REPEAT_UNSAID,
	REPEAT_MAY,
	REPEAT_MAY_NOT,
};

/* Of one of the many. Zeroed: nothing is kept. */
struct replay {
	bool used;   /* something was sent on this connection */
	bool reused; /* what is sent since the neutral point found it used, or idle for long; until the answer begins */
	bool armed;  /* and may be sent again */
	uint64_t opened;  /* ms: when the connection was made */
	uint64_t heard;	  /* of the instance's stream, at the neutral point */
	struct outq kept; /* was sent since the neutral point */
};

/* ---- around a call of modify_traffic ---- */

void rddr_replay_before(struct rddr_session *s);
/* host->repeat. */
void rddr_replay_say(struct rddr_session *s, bool may);
/* consumed: by the call. The session still says whether it stood at a neutral point before. */
void rddr_replay_after(struct rddr_session *s, size_t consumed);

/* ---- what happens to an end ---- */

/* A connection was made. */
void rddr_replay_opened(struct endpoint *ep);
/* The first len bytes of what was queued are sent. */
void rddr_replay_sent(struct endpoint *ep, size_t len);
/* Nothing is to be sent again. */
void rddr_replay_forget(struct endpoint *ep);

/*
 * Instance i was read from. When its reused connection ended before an answer, and what it was sent may be sent again,
 * it is dialled anew, and the end is as if it had never been: true.
 */
bool rddr_replay_begin(struct rddr_session *s, unsigned i);
/* host->resend. It takes effect with rddr_replay_resend, behind the call. */
bool rddr_replay_want(struct rddr_session *s, unsigned i);
void rddr_replay_resend(struct rddr_session *s);
/* The plugin consumed of the many: their answers have begun. */
void rddr_replay_heard(struct rddr_session *s, const size_t consumed[]);
/* Instance i was dialled, with whatever outcome. */
void rddr_replay_dialled(struct rddr_session *s, unsigned i);

/* The most that is kept for one instance, in bytes. */
size_t rddr_replay_limit(const struct rddr_session *s);

#endif
