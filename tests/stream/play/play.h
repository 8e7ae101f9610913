/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * play.h - the client and the N servers of a session, played from one process with non-blocking sockets and poll.
 *
 * Each end has a script: say this, wait for so many bytes, end in that way. What it hears is compared with what it is
 * expected to hear as it comes, so that big loads need no room. Nothing is decided by time: a play runs until something
 * has happened.
 */
#ifndef STREAM_PLAY_H
#define STREAM_PLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire;

#define ACTS	16
#define SERVERS 16

enum act_kind {
	ACT_SAY,
	ACT_HEAR,     /* waits until len bytes have come in all */
	ACT_HEAR_END, /* waits for the other side's FIN or reset */
	ACT_FIN,      /* ends the sending half */
	ACT_CLOSE,
	ACT_RESET,
	ACT_DEAF,   /* stops reading ... */
	ACT_LISTEN, /* ... and goes on with it */
	ACT_ARRIVE, /* waits until len bytes have arrived that were not read: for one that is deaf */
	ACT_CUE,    /* waits until play->cue is at least len */
};

struct act {
	enum act_kind kind;
	const uint8_t *data;
	size_t len;
};

struct end {
	int fd;		   /* -1: not connected, or closed by its script */
	struct wire *wire; /* TLS; NULL: in clear */
	struct act acts[ACTS];
	unsigned n_acts, act;
	size_t said;   /* of the act that is under way */
	bool dribbles; /* says one byte in a turn */
	bool deaf;
	size_t rate;	/* reads so many bytes a second at most; 0: all it can */
	uint64_t since; /* ms, when it began to read at that rate */

	const uint8_t *expect; /* what it may hear; NULL: anything */
	size_t expect_len;
	size_t heard, spoken;
	uint8_t *keep; /* where it is kept too, keep_len bytes at most; NULL: nowhere */
	size_t keep_len;
	bool wrong;	      /* heard something that it was not to hear */
	bool ended;	      /* heard a FIN */
	bool finned;	      /* said one */
	bool reset;	      /* was reset */
	unsigned connections; /* how often a server was dialled */
};

struct play {
	struct end client;
	struct end server[SERVERS];
	unsigned n;
	unsigned cue;
	uint16_t port; /* the client's */
};

/* Where the servers listen, for all plays. */
struct stage {
	int family;
	unsigned n;
	int fd[SERVERS];
	uint16_t port[SERVERS];
	bool refuses[SERVERS];
	int full[SERVERS][2]; /* what fills its queue of connections */
	bool shut[SERVERS];   /* it is full */
	bool tls;	      /* servers speak TLS */
};

void stage_init(struct stage *s, int family, unsigned n);
void stage_free(struct stage *s);
/* A server that refuses connections, or takes them again. */
void stage_refuse(struct stage *s, unsigned i, bool refuse);

/* Fills a server's queue of connections, so that who dials it hears nothing; and empties it. */
void stage_fill(struct stage *s, unsigned i);
void stage_unfill(struct stage *s, unsigned i);

/* A port that nobody listens on, held by *fd until the test closes it: a daemon can listen there beside. */
uint16_t free_port(int family, int *fd);

/* Bytes that depend on seed, the same ones each time. */
uint8_t *noise_bytes(size_t len, unsigned seed);

void play_init(struct play *p, unsigned n);
void says(struct end *e, const void *data, size_t len);
void says_text(struct end *e, const char *text);
void does(struct end *e, enum act_kind kind, size_t len);
void expects(struct end *e, const void *data, size_t len);

/* Connects the client to the daemon's port. Not yet: whoever listens may take a while. */
void play_connect(struct play *p, int family, uint16_t port);
/* The client, just connected, speaks TLS. */
void play_secure(struct play *p);
/* Runs until every server of p was dialled, or the client was closed. */
void play_gather(struct stage *s, struct play *p);

/* Whether the daemon's port refuses a connection; one that was taken is closed at once. */
bool refuses(int family, uint16_t port);
/* The same for the last of n plays, while the others go on. */
void play_gather_last(struct stage *s, struct play *plays, size_t n);

/* Runs all plays until until() holds for each; false: it never did. accepting: the one that new connections belong to;
 * may be NULL. */
bool play_until(struct stage *s, struct play *plays, size_t n, struct play *accepting,
		bool (*until)(const struct play *p));
/* The same for one play; fails the test when it never comes true. */
void play_run(struct stage *s, struct play *p, bool (*until)(const struct play *p));
/* One turn: whatever is ready now, waiting wait ms at most. */
void play_turn(struct stage *s, struct play *plays, size_t n, struct play *accepting, int wait);

/* For until. */
bool all_done(const struct play *p);	  /* every script is through */
bool client_closed(const struct play *p); /* the client heard the end, in order or not */
bool client_reset(const struct play *p);  /* the client was reset */
bool client_done(const struct play *p);	  /* the client's script is through */
bool servers_reset(const struct play *p); /* every server was reset */
bool servers_done(const struct play *p);  /* the servers' scripts are through */
bool gathered(const struct play *p);	  /* every server was dialled, or the client was closed */
bool end_done(const struct end *e);

/* Takes what waits at server i of the stage as the client end of p, which has no servers: for servers that are all
 * alike. */
bool play_accept(struct stage *s, unsigned i, struct play *p);

void play_show(const struct play *p);
/* Fails, and shows the play, when somebody heard what was not expected; what names it in the message. */
void play_check(const struct play *p, const char *what);
/* Closes whatever is open. */
void play_free(struct play *p);

#endif
