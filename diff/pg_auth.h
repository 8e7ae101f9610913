/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg_auth.h - the login of a PostgreSQL session, which cannot be replicated: each server has a salt and a nonce of its
 * own. RDDR ends the exchange on both sides. It is the server to each frontend and the client to each backend.
 *
 * An incoming service has one frontend (the lone end) and N backends; an outgoing one has N frontends and one backend
 * (the lone end). From the startup message on, the plugin hands over each whole message of an end whose turn it is (see
 * rddr_pg_auth_wants), and consumes it; what the login has to say it emits itself. Messages are those of the manual's
 * "Message Formats", version 3.0.
 *
 *	begin -> UNDER_WAY -> DONE: the frontends have been told AuthenticationOk; behind it in each backend's view
 *stand ParameterStatus and so on
 *			   -> REFUSED: each backend refuses in its own words (ErrorResponse), which stand in the views
 *				       to be compared and let out
 *			   -> ENDED: the frontends have been told why not, and the session ends (host->finish): nothing
 *				     is left to do but to wait
 *			   -> DIVERGED: the backends do not agree; the finding says how
 *
 * Where the service only reports (args->reports), the lone end talks to the instance that is the source itself, and
 * only the other instances have their login with RDDR.
 *
 * Secrets: what stands in messages of the login is concealed from evidence until the login is over (host->conceal,
 *which the login calls itself), nothing of it is logged, and copies are wiped.
 */
#ifndef RDDR_PG_AUTH_H
#define RDDR_PG_AUTH_H

#include "rddr_diff.h"

struct json_object;
struct pg_auth;	     /* one session's login */
struct pg_auth_conf; /* what diff-params say; shared by all sessions, read only but for its own cache */

enum pg_auth_state {
	PG_AUTH_UNDER_WAY,
	PG_AUTH_DONE,
	PG_AUTH_REFUSED,
	PG_AUTH_ENDED,
	PG_AUTH_DIVERGED,
	PG_AUTH_STATES
};

enum pg_auth_role {
	PG_AUTH_FRONTEND, /* it asks to be let in */
	PG_AUTH_BACKEND,  /* it lets in */
};

/*
 * Reads the keys of diff-params that are the login's (credentials, client-auth, instance-auth, max-iterations) and
 * leaves the others alone; the file of credentials is read here. 0; or -EINVAL with a message in err that opens with
 * the path of the wrong key, or -ENOMEM. Main thread; blocking.
 */
int rddr_pg_auth_conf_read(struct json_object *params, struct pg_auth_conf **out, char *err, size_t errlen);
/* Wipes the secrets. Takes NULL, nulls the pointer. */
void rddr_pg_auth_conf_free(struct pg_auth_conf **conf);
/* Whether key is one of those that rddr_pg_auth_conf_read reads. */
bool rddr_pg_auth_conf_knows(const char *key);

/* In the plugin's create. conf: lives longer than the session. 0 or -ENOMEM. */
int rddr_pg_auth_new(const struct pg_auth_conf *conf, const struct rddr_diff_create *args, struct pg_auth **out);
/* Wipes the secrets. Takes NULL, nulls the pointer. */
void rddr_pg_auth_free(struct pg_auth **auth);

/* The startup messages agree and were passed on. user: what they name; copied. 0, -EINVAL (it is longer than 255 bytes)
 * or -ENOMEM. */
int rddr_pg_auth_begin(struct pg_auth *a, const char *user);

/*
 * Outgoing, instead of a backend's login: the frontend proves who it is to RDDR alone. A backend that demanded that
 * method (see rddr_pg_auth_demanded) has let the same user in before. To be called before rddr_pg_auth_begin.
 */
void rddr_pg_auth_vouch(struct pg_auth *a, unsigned method);
/* Outgoing: what the backend demanded, for rddr_pg_auth_vouch. */
unsigned rddr_pg_auth_demanded(const struct pg_auth *a);
/* Outgoing: the frontends have been let in before; it is only the backend that lets in RDDR anew. To be called before
 * rddr_pg_auth_begin. */
void rddr_pg_auth_again(struct pg_auth *a);

/* The client is told why not (FATAL), and the session ends. */
void rddr_pg_auth_refuse(struct pg_auth *a, const char *sqlstate, const char *text);

/*
 * Whether the next message of that end is for the login now. False: it is to be left in the view (hold, or wait). Ask
 * again after each message, and whenever the host asks the plugin: a computation may have come to its end.
 */
bool rddr_pg_auth_wants(const struct pg_auth *a, enum pg_auth_role role, unsigned i);

/* The longest body of a message that the login takes from an end of that role, in bytes; a longer one need not be
 * waited for: it is handed over as soon as its header is there, with body NULL. */
size_t rddr_pg_auth_longest(enum pg_auth_role role);

enum pg_auth_take {
	PG_AUTH_TAKEN, /* consume it (of the source: discard it), and pass it to nobody */
	PG_AUTH_LEFT,  /* leave it in the view: it is an ErrorResponse of a backend, and that backend is asked for no
			  more, or the login is over */
	PG_AUTH_PASS, /* not the login's (NoticeResponse, NegotiateProtocolVersion of a backend): do with it what you do
			 at any other time */
};

/* A whole message of an end that is wanted: its type, and its body without type and length. */
enum pg_auth_take rddr_pg_auth_take(struct pg_auth *a, enum pg_auth_role role, unsigned i, char type,
				    const uint8_t *body, size_t len);

/* Whether backend i has said AuthenticationOk, so that what follows is no longer the login's. */
bool rddr_pg_auth_let_in(const struct pg_auth *a, unsigned i);

/* Report mode: instance i takes no more part (its view is RDDR_END_ABSENT). */
void rddr_pg_auth_gone(struct pg_auth *a, unsigned instance);

enum pg_auth_state rddr_pg_auth_state(const struct pg_auth *a);
/* None of the many has to speak next (the result's patient): the login waits for the lone end, or computes. */
bool rddr_pg_auth_patient(const struct pg_auth *a);
/* To be called when diff_traffic begins, with nothing consumed in that call yet: once the login is over, evidence may
 * show what follows it. Cheap. */
void rddr_pg_auth_reveal(struct pg_auth *a);
/* With PG_AUTH_DIVERGED: instance, other, alone, where and why; offset is the caller's. */
void rddr_pg_auth_finding(const struct pg_auth *a, struct rddr_finding *finding);

#endif
