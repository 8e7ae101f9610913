/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * session.h - one lone end and N many ends, and everything that happens between them.
 *
 * Fan-out (fanout.c) carries the lone end's bytes to the many through modify_traffic, fan-in (fanin.c) the many's
 * through diff_traffic and the verdict to the lone end. Both directions of a service run through the same code; only
 * who dialled differs. A session lives on one worker. It dies in rddr_session_close, or, having been denied, in
 * rddr_session_deny first; its memory is freed at the end of the event batch.
 *
 * This header is the core's own: endpoint.c, fanout.c, fanin.c, verdict.c, host.c and worker.c share it.
 */
#ifndef RDDR_SESSION_H
#define RDDR_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "config.h"
#include "endpoint.h"
#include "loop.h"
#include "noise_budget.h"
#include "rddr_diff.h"

struct admitted;
struct offload_record;
struct gather;
struct group;
struct target;
struct worker;

/* How far an end is read ahead of whoever it is read for, and how much of it in one turn, in bytes. */
#define SESSION_HIGH_WATER (128u << 10)
#define SESSION_TURN	   (256u << 10)

enum session_state {
	SESSION_OPEN,
	SESSION_DENIED, /* the denial is on its way; nothing is read but to be thrown away */
	SESSION_CLOSED, /* waits for the end of the batch */
};

enum session_end {
	SESSION_END_DONE,	/* both directions ended in order */
	SESSION_END_LONE_RESET, /* the lone end was reset */
	SESSION_END_MANY_RESET, /* all of the many were reset, or the one that is passed through was */
	SESSION_END_DENIED,
	SESSION_END_IDLE,
	SESSION_END_DRAINED, /* the drain limit was reached */
	SESSION_END_FAILED,  /* memory, or descriptors */
	SESSION_END_TLS,     /* the lone end's handshake failed */
	SESSION_ENDS
};

struct rddr_session {
	struct worker *worker;
	struct rddr_session *next, *prev; /* of the worker's */
	struct deferred bury;		  /* frees it */
	struct deferred again;		  /* goes on with it in the next batch */
	struct timer timer;

	struct config *config; /* a reference: the service lives as long */
	struct service *service;
	const struct rddr_diff_plugin *ops;
	void *state; /* the plugin's */

	uint64_t id;
	struct addr client, destination;
	enum session_state phase;
	unsigned n;
	bool gate_open;	   /* every end is connected: the many may be sent to */
	bool created;	   /* the plugin's create was called with success */
	bool neutral;	   /* nothing is under way; see host->neutral */
	bool boundary;	   /* fan-in stands between two messages */
	bool comparing;	   /* false: report mode, and nobody is left to compare with */
	bool answering;	   /* the many speak: an answer's share of noise is being counted */
	bool lone_done;	   /* the end of the lone stream was passed on to the many */
	bool many_done;	   /* the end of the many's streams was passed on to the lone end */
	bool all_rested;   /* every one of the many closed at a neutral point */
	bool fanout_waits; /* modify_traffic wants more before it can tell */
	bool fanout_holds; /* modify_traffic wants the many to say more first */
	bool choked;	   /* the plugin's own bytes wait for the lone end to take some */
	bool unjudged;	   /* report mode: the plugin gave up; instance 0 gets what comes as it is */
	bool doubtful;	   /* diff_traffic waits with a difference in view */
	bool fanin_waits;  /* so does diff_traffic, and no stream is without bytes */
	bool stirred; /* the other direction has something new to do: bytes of the plugin's own, an end that rests */
	bool failed;  /* memory ran out, or a plugin broke its contract */
	bool patient; /* diff_traffic waits for none of the many */
	bool finish_wanted; /* the plugin wants the session to end, with what was emitted */
	bool owes;	    /* the lone end has not said all of its request */
	bool framed;	    /* the plugin says so when it has not */
	bool parting;	    /* the many have answered for good before it did */
	bool rejudge;	    /* an instance was detached: what the others said is to be judged anew */

	uint64_t begun, active; /* ms: when it began, when anything last happened */
	uint64_t dialling;	/* ms: when the last dial began */
	uint64_t shaking;	/* ms: since when an end that was accepted has to finish its handshake; 0: none has */
	uint64_t waiting;  /* ms: since when a stream has waited for the others (0: none does); of a denied one: when it
			      was denied */
	uint64_t requests; /* answers begun, which is what an operator means by requests in a plain stream */
	uint64_t sent;	   /* bytes to the lone end */

	/* What the plugin's call that is under way refers to. */
	uint64_t call_offset; /* modify_traffic: the stream offset of its view, */
	size_t call_len;      /* and its length; 0: not in modify_traffic */
	uint64_t neutral_state;
	uint64_t parted;	 /* ms: since when it is parting */
	uint64_t neutral_since;	 /* ms */
	uint32_t replaying;	 /* a bit for each instance that is dialled to be sent again what it was sent */
	uint32_t resend;	 /* a bit for each instance that is to be, once the plugin's call is over */
	uint32_t unfinished;	 /* for replay.c: a bit for each that has not been sent everything yet, in a call */
	enum repeat_said repeat; /* by the plugin, in the call of modify_traffic that is under way */
	uint32_t rest_wanted;	 /* a bit for each instance that is to be closed at the neutral point; see host->rest */
	uint64_t fanout_asked;	 /* what modify_traffic had seen when it began to wait: see progress_mark() */
	uint64_t withheld;  /* ms: since when a follower has waited for the leader (0: none does); see host->lead */
	uint32_t lead_time; /* ms; 0: for ever */

	struct offload_record *offloaded; /* computations under way */
	struct gather *gather;		  /* outgoing: where the many came from; NULL: incoming */
	const size_t *replied;		  /* outgoing: while create runs */
	bool alone;			  /* outgoing: one instance by itself, without a backend */
	bool loose;			  /* outgoing: see struct group */
	bool reused;			  /* outgoing: the backend's connection comes from the pool */
	bool held;			  /* report mode: the source's bytes go nowhere by themselves; see host->hold */
	uint64_t identity;		  /* outgoing: of the neutral point that it began at; 0: its ends were new */
	char correlation[RDDR_CORRELATION]; /* of the exchange: see host->correlate; empty: it has none */
	struct target *target;		    /* what the protocol named; NULL: nothing */
	bool names_target;		    /* some instance is reached where the protocol says */

	struct noise_account noise;
	struct endpoint lone;
	struct endpoint many[]; /* n */
};

/* A connection of the listener's: takes fd over. destination: where the client wanted to go. */
void rddr_session_begin_incoming(struct worker *worker, struct config *config, struct service *service, int fd,
				 const struct addr *client, const struct addr *destination);

/* One connection of each instance of an outgoing service: moves them out of the group, and the backend's too. */
void rddr_session_begin_outgoing(struct worker *worker, const struct group *group);

/* Bytes, an end or room arrived somewhere: moves on what can be moved on, in both directions. */
void rddr_session_pump(struct rddr_session *s);

/*
 * Denies: evidence, counters, the plugin's denial to the lone end, every other end closed. finding may be NULL.
 * The session is closed once the denial has arrived or the linger deadline has passed.
 */
void rddr_session_deny(struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding);

/* The one place where a session dies. Harmless when it is closed already. */
void rddr_session_close(struct rddr_session *s, enum session_end end);

/* Report mode: instance i takes no more part. */
void rddr_session_detach(struct rddr_session *s, unsigned i, const char *why);

/* An end finished dialling, or failed to. */
void rddr_session_dialled(struct rddr_session *s, struct endpoint *ep, enum dial_outcome outcome);
/* Begins to dial an end; outcomes as for rddr_chainer_connect_server. In session_dials.c. */
enum dial_outcome rddr_session_start_dial(struct rddr_session *s, struct endpoint *ep, const struct chainer_conf *conf,
					  void (*done)(struct dial *dial, enum dial_outcome outcome));
/* The same for a dial that its admission made, with the outcome that that had. False: the connection has ended since.
 * In session_dials.c. */
bool rddr_session_adopt_dial(struct rddr_session *s, struct endpoint *ep, struct admitted *admitted,
			     void (*done)(struct dial *dial, enum dial_outcome outcome));
/* Counts what became of an end's dial, and opens the end when it is connected; the outcome is then what that came to.
 * In session_dials.c. */
enum dial_outcome rddr_session_take_dial(struct rddr_session *s, struct endpoint *ep, enum dial_outcome outcome);
/* Dials a many end (again). */
void rddr_session_dial(struct rddr_session *s, unsigned i);

/* Opens the gate when no end is being dialled, or agrees on how to speak, any more. */
void rddr_session_open_gate(struct rddr_session *s);

/* The deadline timer, set to the earliest of what runs. */
void rddr_session_arm(struct rddr_session *s);

const char *rddr_session_state_name(const struct rddr_session *s);
const char *rddr_session_end_name(enum session_end end);

/* Whether the lone end is sent instance 0's bytes as they come, and the others are compared behind it. */
static inline bool rddr_session_reports(const struct rddr_session *s)
{
	return !s->service->enforcing;
}

/* The high watermark: no stream of the service buffers more than its limit. */
static inline size_t rddr_session_high_water(const struct rddr_session *s)
{
	uint32_t limit = s->service->limits.buffer;

	return SESSION_HIGH_WATER < limit ? SESSION_HIGH_WATER : limit;
}

/* ---- session.c, for session_outgoing.c ---- */

/* NULL: no memory. */
struct rddr_session *rddr_session_new(struct worker *worker, struct config *config, struct service *service);
/* Calls the plugin's create, and denies where it fails. */
void rddr_session_create(struct rddr_session *s);

/* ---- session_outgoing.c ---- */

/* The backend's end finished dialling. */
void rddr_outgoing_dialled(struct rddr_session *s, enum dial_outcome outcome);
/* Bytes of RDDR's own that wait for the many. */
size_t rddr_outgoing_said(const struct rddr_session *s);
/* A denial was rendered to the many, for whom so much waited before: they get it, the backend is gone. */
void rddr_outgoing_deny(struct rddr_session *s, size_t said_before);
/* The plugin wants the session to end: in order, for all. */
void rddr_outgoing_finish(struct rddr_session *s);
void rddr_outgoing_pump_denied(struct rddr_session *s);
/* At a neutral point the group ends, and its connections go back. */
void rddr_outgoing_settle(struct rddr_session *s);

/* Whether what the many say now is for another group. */
static inline bool rddr_outgoing_is_over(const struct rddr_session *s)
{
	return s->gather && s->neutral && s->ops->opening;
}
/* ---- upload.c ---- */

/* What modify_traffic said of the bytes that it has just passed on. */
void rddr_upload_note(struct rddr_session *s, bool incomplete);
/* host->part. */
void rddr_upload_part(struct rddr_session *s);
/* The skew deadline passed: true when nobody is late, because somebody was not sent everything before. */
bool rddr_upload_excuses(struct rddr_session *s);
/* When somebody will have taken nothing for too long, ms; UINT64_MAX: nobody waits for that. */
uint64_t rddr_upload_deadline(const struct rddr_session *s);
void rddr_upload_expired(struct rddr_session *s);
/* All have answered for good, and nobody is to be sent anything more. */
bool rddr_upload_over(const struct rddr_session *s);
/* Nobody listens to the lone end any more, which still sends. */
bool rddr_upload_to_nobody(const struct rddr_session *s);
/* Reads what the many say behind their answers, and throws it away. True when there was anything. */
bool rddr_upload_discard(struct rddr_session *s);

/* ---- fanout.c ---- */

/* Reads the lone end, asks the plugin, queues and sends to the many. True when it moved anything. */
bool rddr_fanout_run(struct rddr_session *s);
/* Drops what no end needs any more of the lone stream. */
void rddr_fanout_reclaim(struct rddr_session *s);

/* ---- lead.c: who is sent to first ---- */

/* Notes since when a follower waits for the leader. */
void rddr_lead_note(struct rddr_session *s);
/* What waits may go. */
void rddr_lead_let_go(struct rddr_session *s);
/* Whether a follower has not been sent yet what it is to answer. */
bool rddr_lead_withholds(const struct rddr_session *s);
void rddr_lead_begin(struct rddr_session *s, uint32_t ms);
void rddr_lead_follow(struct rddr_session *s, uint64_t upto);
/* Drops what waits for the leader behind the first from bytes. False: some of it was let go. */
bool rddr_lead_unsend(struct rddr_session *s, uint64_t from);

/* ---- fanin.c ---- */

bool rddr_fanin_run(struct rddr_session *s);
void rddr_fanin_reclaim(struct rddr_session *s);
/* What the many had said before the session began counts as read now. */
void rddr_fanin_adopt(struct rddr_session *s);
/* The skew deadline passed. */
void rddr_fanin_late(struct rddr_session *s);
/* host->hold. */
void rddr_fanin_hold(struct rddr_session *s, bool on);

/* ---- verdict.c ---- */

/* What the service's policy makes of a divergence: denies, or reports and detaches. True when the session goes on. */
bool rddr_verdict_divergence(struct rddr_session *s, enum rddr_denial_reason reason,
			     const struct rddr_finding *finding);
/* Records evidence; out gets the reference. */
void rddr_verdict_record(struct rddr_session *s, enum rddr_denial_reason reason, const struct rddr_finding *finding,
			 const char *action, char *reference);

/* ---- host.c ---- */

extern const struct rddr_host rddr_host_services;
/* Copies what a plugin calls an exchange. False: it is too long, or no word. */
bool rddr_host_take_correlation(char out[RDDR_CORRELATION], const char *id);

#endif
