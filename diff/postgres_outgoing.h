/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_outgoing.h - diff-class postgres in outgoing services: N instances ask, and one backend answers.
 *
 *   pg_sql.c               statements: where they end, what they leave behind, their shape
 *   postgres_opening.c     what a connection says next, as a number, before there is a session
 *   postgres_standing.c    what a connection of the backend's has to be like: its login, and what was left behind since
 *   postgres_outgoing.c    a session: begin, end, denial; which part of it is on
 *   postgres_enter.c       logins: of the instances to RDDR, of RDDR to the backend
 *   postgres_ask.c         what the instances ask, compared
 *   postgres_weigh.c       what may differ in it where there is a filter pair
 *   postgres_relay.c       what the backend answers
 *   postgres_effects.c     what an exchange has left behind, by its text and by what the backend says was done
 *
 * A session lasts from one neutral point to the next. It is one of
 *
 *	an entry of one instance's connection: RDDR is its server, and knows from before what the backend would say
 *	an entry of one connection of each instance: the same, and a login to the backend, which is kept for others
 *	an exchange, on a connection to the backend that is there, or on a new one that is first brought to where the
 *		instances believe it to be
 *	a request to cancel
 */
#ifndef RDDR_POSTGRES_OUTGOING_H
#define RDDR_POSTGRES_OUTGOING_H

#include "pg_sql.h"
#include "postgres_session.h"

/* The longest startup packet here, and all that is known of a connection, in bytes: they are kept in the service's
 * tables. */
#define PG_OUT_STARTUP	 2048u
#define PG_STANDING_MOST 8192u
/* Requests under way on one connection. */
#define PG_OUT_ASKED 256u
/* Statements of one exchange that leave something behind. */
#define PG_OUT_EFFECTS 64u
/* Entries of the service's tables, and how long they last, in seconds. */
#define PG_OUT_STANDINGS 16384u
#define PG_OUT_NOISE	 10000u
#define PG_OUT_LIFE	 (30u * 24 * 3600)
#define PG_OUT_NOISE_TTL 600u

#define PG_TABLE_STANDINGS "postgres-standings"
#define PG_TABLE_CANCEL	   "postgres-cancel"
#define PG_TABLE_NOISE	   "noise"

/* ---- postgres_standing.c ---- */

struct pg_standing {
	size_t len;
	uint8_t value[PG_STANDING_MOST]; /* as it lies in the table */
};

enum pg_left { PG_LEFT_SETTING = 's', PG_LEFT_PREPARED = 'p' };

/* One thing that was left behind; texts are the standing's. */
struct pg_left_behind {
	enum pg_left kind;
	struct slice name;
	struct slice message; /* what the instances said: a whole Query or Parse */
};

/* Begins with a login. settings: names and values, each terminated. False: it is more than there is room for. */
bool rddr_pg_standing_set(struct pg_standing *st, unsigned method, struct slice startup, struct slice settings);
/* What the table has under that identity. False: nothing, or nothing that can be read. */
bool rddr_pg_standing_get(struct pg_standing *st, const struct rddr_host *host, struct rddr_table *table,
			  uint64_t identity);
bool rddr_pg_standing_put(const struct pg_standing *st, const struct rddr_host *host, struct rddr_table *table,
			  uint64_t identity);
unsigned rddr_pg_standing_method(const struct pg_standing *st);
struct slice rddr_pg_standing_startup(const struct pg_standing *st);
struct slice rddr_pg_standing_settings(const struct pg_standing *st);
/* Goes through what was left behind: *at is 0 to begin with. False: that was all. */
bool rddr_pg_standing_next(const struct pg_standing *st, size_t *at, struct pg_left_behind *out);
/* Puts it last, in the place of what had its kind and name. False: there is no room. */
bool rddr_pg_standing_leave(struct pg_standing *st, const struct pg_left_behind *left);
/* Takes out what has that kind and name; name without data: all of that kind. */
void rddr_pg_standing_drop(struct pg_standing *st, enum pg_left kind, struct slice name);
/* RESET ALL, which leaves the role alone. */
void rddr_pg_standing_reset(struct pg_standing *st);
/* Never 0. */
uint64_t rddr_pg_standing_identity(const struct pg_standing *st, const struct pg_params *params);

/* The identity of a login with nothing left behind. The protocol's minor version is no part of it: the backend is
 * always asked for 3.0. */
uint64_t rddr_pg_startup_identity(const struct pg_params *params, struct slice packet);
/* Whether two startup packets ask for the same, parameters apart that are not compared. *name: where they do not. */
bool rddr_pg_startup_same(const struct pg_params *params, struct slice a, struct slice b, struct slice *name);
/* Whether it is a list of names and values with a user in it; its terminated name. */
bool rddr_pg_startup_read(struct slice packet, struct slice *user);
/* The next name and value. False: that was all. */
bool rddr_pg_startup_next(struct pg_cursor *c, struct slice *name, struct slice *value);

/* ---- postgres_opening.c ---- */

enum rddr_opens rddr_pg_opening(const struct rddr_opening *opening, struct rddr_opening_result *result);
/* What an instance is told that asks to cancel; the backend's key, or 0. */
uint64_t rddr_pg_cancel_of(const struct rddr_host *host, struct rddr_table *table, const uint8_t key[8]);

/* ---- a session ---- */

enum pg_out_phase {
	PG_OUT_ENTER,  /* the instances log in */
	PG_OUT_LOGIN,  /* RDDR logs in to the backend, for instances that are logged in */
	PG_OUT_REPLAY, /* and brings the connection to where they believe it to be */
	PG_OUT_RUN,
	PG_OUT_CANCEL,
	PG_OUT_OVER, /* nothing is left to do but to wait for the end */
};

/* A request that the backend has not answered for good. */
struct pg_asked {
	char kind;	/* Query, Sync or FunctionCall; or CopyDone, which is a mark alone */
	uint32_t told;	/* a bit for each instance that has had its answer already, from RDDR */
	uint64_t steps; /* what was said up to its end that is answered by ParseComplete or CloseComplete */
};

/* Something said that leaves something behind, if it is done. */
struct pg_pending {
	enum pg_effect effect;
	bool prepares, closes; /* a Parse, or a Close: effect is none */
	bool resets;	       /* a setting, which is as it was at the login */
	uint64_t request;      /* the one that it belongs to */
	uint64_t step;	       /* of a Parse or a Close: its number among these */
	char name[64];
	uint8_t *message; /* whole; NULL: none is needed */
	size_t len;
};

struct pg_outgoing {
	enum pg_out_phase phase;
	bool alone, reused;
	bool begun;	   /* the instances' startup packets were compared, or RDDR's was sent */
	bool backend_idle; /* login: the backend said ReadyForQuery */
	bool securing;	   /* the backend was asked for TLS */
	bool sticks;	   /* connections stay together until they end */
	bool published;	   /* requests to cancel find the backend's connection */
	uint64_t identity;
	struct pg_auth *auth;		    /* NULL: nobody logs in */
	size_t replied[RDDR_MAX_INSTANCES]; /* bytes of what each says next that were answered before there was a
					       session */
	struct rddr_table *standings, *cancel, *noise;
	struct pg_standing *standing; /* read when it is needed */
	struct pg_queue startup;      /* what the backend is sent */
	struct pg_queue settings;     /* login: what the backend told */
	unsigned replays;	      /* answers that are still to come */

	/* What was asked. */
	struct pg_asked asked[PG_OUT_ASKED]; /* the oldest first */
	unsigned n_asked;
	uint64_t requests;		    /* begun */
	uint64_t answered;		    /* for good */
	uint64_t steps, steps_done;	    /* Parse and Close, and the answers to them */
	uint64_t taken[RDDR_MAX_INSTANCES]; /* bytes of what each said */
	bool open;			    /* an extended query that no Sync has ended */
	bool has_unnamed;		    /* the unnamed prepared statement is this session's */
	struct pg_shape shape;		    /* of what was parsed last */
	char text[PG_TEXT];		    /* of the last statement, for people */
	size_t piece_left;		    /* of a message that is let out in pieces */

	/* What is answered. */
	size_t part_left; /* of a message that is passed on as it comes */
	char status;	  /* of the last ReadyForQuery; 0: none yet */
	bool failed;	  /* the request that is being answered */
	bool committed;	  /* in it, a block was */
	bool rolled_back; /* what was done last was that */
	bool copying;	  /* the backend takes CopyData */

	struct pg_pending pending[PG_OUT_EFFECTS];
	unsigned n_pending;
	struct pg_pending done[PG_OUT_EFFECTS]; /* in the block that is open */
	unsigned n_done;
	bool changed; /* the standing is another than identity says */
};

int rddr_pg_out_create(struct pg_session *s, const struct rddr_diff_create *args);
void rddr_pg_out_destroy(struct pg_session *s);
enum rddr_verdict rddr_pg_out_judge(struct pg_session *s, const struct rddr_view views[], unsigned n,
				    struct rddr_diff_result *result);
enum rddr_modify rddr_pg_out_modify(struct pg_session *s, const struct rddr_view *view,
				    struct rddr_modify_result *result);
void rddr_pg_out_denial(struct pg_session *s, const void *message, size_t len);

/* Every instance that takes part gets it. */
void rddr_pg_out_tell(struct pg_session *s, const void *data, size_t len);
/* A neutral point, or not yet. */
void rddr_pg_out_settle(struct pg_session *s);
/* Has the standing of this identity read, where it was not. False: it is not known any more, or memory ran out. */
bool rddr_pg_out_standing(struct pg_session *s);
/* Makes it anew, out of a login. False: it is more than there is room for, or memory ran out. */
bool rddr_pg_out_standing_new(struct pg_session *s, struct slice startup, struct slice settings, unsigned method);
/* Requests to cancel find the backend's connection from now on, or no more. */
void rddr_pg_out_publish(struct pg_session *s, bool on);
enum rddr_modify rddr_pg_out_reject(struct rddr_modify_result *result, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* ---- postgres_enter.c ---- */

enum rddr_verdict rddr_pg_enter_judge(struct pg_session *s, struct pg_call *call);
/* The backend's answer to a request for TLS. */
enum rddr_modify rddr_pg_enter_tls(struct pg_session *s, const struct rddr_view *view,
				   struct rddr_modify_result *result);
enum rddr_modify rddr_pg_enter_modify(struct pg_session *s, const struct rddr_view *view,
				      struct rddr_modify_result *result);

/* ---- postgres_ask.c ---- */

enum rddr_verdict rddr_pg_ask(struct pg_session *s, struct pg_call *call);
/* Whether the instance's turn is to say something else than more of what was asked. */
static inline bool rddr_pg_is_idle(const struct pg_outgoing *o)
{
	return !o->n_asked && !o->open && !o->copying && !o->piece_left;
}

/* ---- postgres_weigh.c ---- */

/* Query, Parse or Bind of all, which are not the same bytes. NULL: they may be so; otherwise why not, and *i is who
 * differs from *k, or neither is set to anything that can be. */
const char *rddr_pg_weigh(struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned *i,
			  unsigned *k);

/* ---- postgres_relay.c ---- */

enum rddr_modify rddr_pg_relay(struct pg_session *s, const struct rddr_view *view, struct rddr_modify_result *result);

/* ---- postgres_effects.c ---- */

/* A whole message of the source's is about to be let out. NULL: it may; otherwise why not. */
const char *rddr_pg_effects_forbid(const struct pg_outgoing *o, const struct pg_message *m);
/* It is let out. */
void rddr_pg_effects_said(struct pg_outgoing *o, const struct pg_message *m, const uint8_t *whole);
/* CommandComplete. */
void rddr_pg_effects_done(struct pg_outgoing *o, struct slice tag);
/* ParseComplete, CloseComplete. */
void rddr_pg_effects_step(struct pg_session *s);
/* ReadyForQuery, to a request whose last step that was. */
void rddr_pg_effects_ready(struct pg_session *s, char status, uint64_t steps);
void rddr_pg_effects_free(struct pg_outgoing *o);

#endif
