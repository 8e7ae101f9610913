/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * pg_auth_own.h - the inside of a login: pg_auth.c holds it together, pg_auth_frontend.c is the server to those who ask
 * to be let in, pg_auth_backend.c the client to those who let in, pg_auth_keys.c derives keys from passwords.
 */
#ifndef RDDR_PG_AUTH_OWN_H
#define RDDR_PG_AUTH_OWN_H

#include "pg_auth.h"
#include "pg_credentials.h"

/* In the order of their strength. */
enum pg_method {
	PG_METHOD_TRUST,
	PG_METHOD_PASSWORD,
	PG_METHOD_MD5,
	PG_METHOD_SCRAM,
	PG_METHOD_OTHER, /* one that RDDR does not speak */
	PG_METHODS
};

/* Codes of the Authentication messages ("Message Formats"). */
enum {
	PG_R_OK = 0,
	PG_R_PASSWORD = 3,
	PG_R_MD5 = 5,
	PG_R_SASL = 10,
	PG_R_CONTINUE = 11,
	PG_R_FINAL = 12,
};

struct pg_auth_conf {
	struct pg_credentials *credentials; /* NULL: there is no file */
	struct pg_kept *kept;
	bool automatic;		 /* the method below is left to what the instances demand */
	enum pg_method client;	 /* what a frontend is asked for */
	uint32_t instance;	 /* a bit for each method that a backend may demand */
	uint32_t max_iterations; /* that a backend may demand */
};

enum pg_frontend_turn {
	FRONTEND_NEW,	  /* not asked yet */
	FRONTEND_ANSWERS, /* it was asked: a password, or an md5 hash, or its first SASL message is next */
	FRONTEND_SALT,	  /* its first SASL message is here; the challenge waits for a salt */
	FRONTEND_PROVES,  /* it was challenged: its last SASL message is next */
	FRONTEND_JUDGED,  /* its proof is here, and is judged when keys are */
	FRONTEND_PROVED,
	FRONTEND_FAILED,
	FRONTEND_KNOWN,	  /* it was let in before */
	FRONTEND_THROUGH, /* report mode: it talks to the backend itself */
	FRONTEND_GONE,
};

struct pg_frontend {
	enum pg_frontend_turn turn;
	uint8_t salt[4];
	char *given; /* the password that it typed */
	struct pg_scram_server *scram;
};

enum pg_backend_turn {
	BACKEND_NEW,	    /* it says first what it demands */
	BACKEND_DEMANDS,    /* it was not answered yet */
	BACKEND_CHALLENGES, /* our first SASL message is on its way; its challenge is next */
	BACKEND_CHALLENGED, /* it was not answered yet */
	BACKEND_SIGNS,	    /* our proof is on its way; its own is next */
	BACKEND_DECIDES,    /* everything was said: AuthenticationOk is next */
	BACKEND_OK,
	BACKEND_REFUSED, /* an ErrorResponse stands in its view */
	BACKEND_GONE,
};

struct pg_backend {
	enum pg_backend_turn turn;
	enum pg_method method; /* that it demands */
	bool through;	       /* report mode: a frontend talks to it itself */
	uint8_t salt[4];
	struct pg_scram_client *scram;
};

enum pg_keys_state { PG_KEYS_READY, PG_KEYS_PENDING, PG_KEYS_FAILED };

struct pg_derived {
	struct pg_derived *next;
	struct pg_kept_name name;
	struct pg_scram_keys keys;
	enum pg_keys_state state;
};

struct pg_auth {
	const struct pg_auth_conf *conf;
	const struct rddr_host *host;
	struct rddr_session *session;
	bool incoming, reports, begun, decided, revealed;
	enum pg_auth_state state;
	unsigned n_frontends, n_backends;
	char *user;

	enum pg_method method;		/* that frontends are asked for; once decided */
	const struct pg_secret *secret; /* NULL: the credentials know no such user */
	bool pretended;			/* so an exchange is played that cannot succeed */
	bool unverified;		/* no credentials at all: the backends judge the password, each for itself */
	char pretence[2 * PG_SCRAM_KEY + 1];
	const char *plain;	      /* the password, once somebody knows it */
	uint8_t learnt[PG_SCRAM_KEY]; /* the ClientKey, out of a frontend's proof */
	bool has_learnt, salted;
	struct pg_scram_salt salt; /* for frontends; when salted */

	struct pg_derived *derived;
	struct pg_auth_job *jobs; /* under way */
	struct rddr_finding finding;
	unsigned diverged; /* the instance that the finding names */
	struct pg_frontend frontends[RDDR_MAX_INSTANCES];
	struct pg_backend backends[RDDR_MAX_INSTANCES];
};

/* ---- pg_auth.c ---- */

/* Does what can be done now, for everybody. */
void rddr_pg_auth_step(struct pg_auth *a);
/* A message: type, length, len bytes of head, more bytes of rest. */
void rddr_pg_auth_send(struct pg_auth *a, enum pg_auth_role role, unsigned i, char type, const void *head, size_t len,
		       const void *rest, size_t more);
/* An Authentication message. */
void rddr_pg_auth_request(struct pg_auth *a, unsigned frontend, uint32_t code, const void *rest, size_t more);
/* Tells the frontends (FATAL), and ends the session. */
void rddr_pg_auth_end(struct pg_auth *a, const char *sqlstate, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* That end does what the others do not, or what it may not; k: another end of the same role. */
void rddr_pg_auth_diverge(struct pg_auth *a, enum pg_auth_role role, unsigned i, unsigned k, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
bool rddr_pg_auth_proved(const struct pg_auth *a); /* every frontend has */
const char *rddr_pg_auth_method_name(enum pg_method method);
/* "md5" and 32 hex digits of what one proves with to a server that sent this salt. secret: a password of that user, or
 * NULL and stored "md5..." as PostgreSQL stores it. False: libcrypto failed. */
bool rddr_pg_auth_md5(const char *password, const char *stored, const char *user, const uint8_t salt[4], char out[36]);

/* ---- pg_auth_frontend.c ---- */

void rddr_pg_frontend_step(struct pg_auth *a, unsigned i);
void rddr_pg_frontend_take(struct pg_auth *a, unsigned i, char type, const uint8_t *body, size_t len);
void rddr_pg_frontend_wipe(struct pg_frontend *f);

/* ---- pg_auth_backend.c ---- */

void rddr_pg_backend_step(struct pg_auth *a, unsigned i);
enum pg_auth_take rddr_pg_backend_take(struct pg_auth *a, unsigned i, char type, const uint8_t *body, size_t len);
void rddr_pg_backend_wipe(struct pg_backend *b);

/* ---- pg_auth_keys.c ---- */

/* The keys of a password: at once when they are known, otherwise they are pending, and the login is stepped anew. */
enum pg_keys_state rddr_pg_auth_keys(struct pg_auth *a, const char *password, const struct pg_scram_salt *salt,
				     struct pg_scram_keys *keys);
void rddr_pg_auth_keys_forget(struct pg_auth *a);

#endif
