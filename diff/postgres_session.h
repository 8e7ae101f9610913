/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_session.h - one session of diff-class postgres, and how its parts call each other.
 *
 *   postgres.c          the plugin: begin, end, denial
 *   postgres_params.c   diff-params
 *   postgres_front.c    what the client says: its first packets, then requests
 *   postgres_tls.c      SSLRequest, on both sides
 *   postgres_cancel.c   keys, and requests to cancel
 *   postgres_startup.c  the login: from the startup packet to the first ReadyForQuery of each instance
 *   postgres_lead.c     order: leader
 *   postgres_hold.c     a commit waits until what came before it was compared
 *   postgres_answer.c   what the instances say, message by message
 *   postgres_apart.c    messages that may come anywhere
 *   postgres_compare.c  two messages that are not the same bytes
 *   postgres_written.c  what the client gets where they say the same
 *   postgres_rows.c     rows with noise in them
 *   postgres_bag.c      rows in any order
 *   postgres_find.c     findings
 *
 * Outgoing services have a header of their own: postgres_outgoing.h.
 */
#ifndef RDDR_POSTGRES_SESSION_H
#define RDDR_POSTGRES_SESSION_H

#include "pg_auth.h"
#include "postgres_wire.h"
#include "rddr_diff.h"
#include "slice.h"

/* The most of one message that may come anywhere, and of those of an instance that others have not sent yet. */
#define PG_APART_MOST (64u << 10)
/* The most that all values of an instance's ParameterStatus in the login take. */
#define PG_SETTINGS_MOST (16u << 10)
/* A message longer than this is compared and let out in pieces, where nothing but its bytes count. */
#define PG_PIECES     (128u << 10)
#define PG_TEXT	      120u
#define PG_REQUESTS   256u
#define PG_TOKENS     256u
#define PG_TOKEN_MOST 256u

struct pg_params {
	struct pg_token {
		unsigned n;
		struct slice text[RDDR_MAX_INSTANCES]; /* each instance's own; not terminated */
	} * tokens;
	unsigned n_tokens;
	char **ignored_settings; /* names, NULL at the end; of ParameterStatus */
	char ignored_fields[32]; /* of ErrorResponse and NoticeResponse */
	uint32_t lead_time;	 /* ms; 0: for ever */
	struct pg_auth_conf *auth;
	bool parallel; /* order: parallel */
	bool unordered;
	bool redact;
	bool compare_tables; /* table OIDs */
	bool ignore_types;   /* OIDs of types that are no part of PostgreSQL */
};

enum pg_phase {
	PG_PHASE_FIRST,	 /* the client's first packets */
	PG_PHASE_LOGIN,	 /* from the startup packet to ReadyForQuery */
	PG_PHASE_RUN,	 /* everything that follows */
	PG_PHASE_CANCEL, /* a request to cancel was passed on: nothing follows */
};

/* Messages that an instance sent and others have not yet, in their order. */
struct pg_queue {
	uint8_t *bytes;
	size_t from, len, room; /* they are bytes[from] to bytes[from + len - 1] */
};

enum { PG_NOTICES, PG_SETTINGS, PG_NOTIFICATIONS, PG_QUEUES };

struct pg_instance {
	uint8_t key[8]; /* its own BackendKeyData: process, secret */
	bool has_key;
	bool ready;		  /* its first ReadyForQuery was seen */
	struct pg_queue settings; /* in the login: name and value, both terminated, of each ParameterStatus */
	struct pg_queue apart[PG_QUEUES];
};

/* How much of a statement's text is looked at, and of how many named statements is remembered that they are odd. */
#define PG_LOOK	 2048u
#define PG_NAMES 64u

struct pg_request {
	uint64_t begin; /* bytes that the many were sent in front of it */
	uint64_t end;	/* bytes that the many were sent up to its end, since the login; while it is open: so far */
	uint64_t flush; /* up to its last Flush */
	uint32_t needs; /* messages of it that are answered one by one */
	uint32_t flush_needs; /* of them, those before the last Flush */
	uint32_t answers;     /* that the leader gave so far to messages of it */
	uint64_t shown;	      /* bytes of the leader's answer */
	bool ended;	      /* by its Query, FunctionCall or Sync */
	bool extended;
	bool failed; /* the leader told of an error */
	bool terminate;
	bool lasts;	  /* something of it may be left although its transaction fails: see pg_sql.h */
	bool commits;	  /* it may end a transaction block */
	uint8_t executes; /* Execute messages: none, one, or more (2) */
	uint8_t text_len;
	char text[PG_TEXT]; /* of the statement; its beginning */
};

struct pg_bag;	    /* postgres_bag.c */
struct pg_outgoing; /* postgres_outgoing.h */

struct pg_session {
	const struct rddr_host *host;
	struct rddr_session *handle;
	const struct pg_params *params;
	unsigned n;
	bool filter;
	bool leading;	       /* instance 0 leads */
	bool reports;	       /* report mode: the client hears what instance 0 says itself */
	bool asked_encryption; /* and the instances have not answered yet, report mode */
	bool after_ssl;	       /* the client asked for encryption, and was told no */
	bool after_gss;
	bool fe_unknown; /* the client sent a message of no known type */
	uint8_t phase;
	size_t limit;
	struct pg_auth *auth; /* the login */
	bool terminated;      /* the client said Terminate */
	bool tls_asked;	      /* those instances that are to have TLS were asked for it */
	uint32_t tls_pending; /* a bit for each that has not answered */
	struct rddr_table *keys;
	uint8_t client_key[8];
	bool keyed; /* the table has it */
	bool ended; /* an instance has ended its stream */

	/* What the client is saying. */
	size_t fe_left; /* of the message that is under way */
	char fe_type;
	bool fe_cut; /* there is more of it than fe_text */
	uint16_t fe_text_len;
	char fe_text[PG_LOOK];
	uint64_t passed; /* bytes to the many, since the login */

	/* What it asked for. ring: of them, those from compared to answered were answered by the leader alone. */
	struct pg_request *ring;
	uint32_t room, first, count, answered;

	/* What is known of statements and portals: enum pg_lasting. */
	uint8_t statement, portal; /* the unnamed ones */
	uint8_t portals;	   /* the worst of those that have a name */
	uint8_t n_names;
	bool names_full; /* more of them are odd than are remembered: each that has a name may be */
	struct {
		uint64_t hash;
		uint8_t lasting;
	} names[PG_NAMES];

	/* The leader's stream, read ahead of what is compared. */
	size_t scanned;	  /* bytes of its view */
	size_t scan_left; /* of a message, behind the end of the view */
	bool free;	  /* it asks for COPY data, or failed in the middle of a request: nobody waits for it */
	bool copying;	  /* of them, COPY in */
	char status;	  /* of its transaction, by its last ReadyForQuery */
	bool lost;	  /* it is gone, with requests that the others are not to be sent */
	bool unsent;	  /* what it answers was cancelled, and is not answered by the others */
	char lost_code[6];

	/* Where the comparison stands. */
	size_t piece_left;  /* of a message that is let out in pieces */
	size_t piece_whole; /* all of it */
	char piece_type;
	bool copy_text; /* COPY out, in the text format */
	uint64_t rows;	/* of the result so far */
	uint64_t statements;
	uint32_t compared; /* answers to messages of the first request, as its needs are counted */
	bool compared_failed;
	struct pg_queue columns;  /* their names, terminated */
	uint8_t waits[PG_QUEUES]; /* requests answered while messages of the kind waited for the others' */
	struct pg_bag *bag;
	struct pg_outgoing *out; /* NULL: the service is incoming */
	struct pg_instance instance[];
};

/* One call of diff_traffic. */
struct pg_call {
	const struct rddr_view *views;
	unsigned n;
	size_t at[RDDR_MAX_INSTANCES]; /* bytes of each view that were consumed in this call */
	struct rddr_diff_result *result;
};

static inline bool pg_present(const struct pg_call *call, unsigned i)
{
	return call->views[i].end != RDDR_END_ABSENT;
}

static inline struct slice pg_rest(const struct pg_call *call, unsigned i)
{
	const struct rddr_view *v = &call->views[i];

	/* Never NULL: where nothing is left it is as long as that. */
	return (struct slice){.data = v->data ? v->data + call->at[i] : (const uint8_t *)"",
			      .len = v->len - call->at[i]};
}

/* What a call returns in which nothing differed. */
static inline enum rddr_verdict rddr_pg_moved(const struct pg_call *call)
{
	for (unsigned i = 0; i < call->n; i++) {
		if (call->at[i])
			return RDDR_AGREE;
	}
	return RDDR_WAIT;
}

/* ---- postgres_params.c ---- */

int rddr_pg_params_read(const char *json, void **out, char *err, size_t errlen);
void rddr_pg_params_free(void *params);
int rddr_pg_params_check(const void *params, const struct rddr_diff_service *service, char *err, size_t errlen);
bool rddr_pg_params_ignores_setting(const struct pg_params *params, struct slice name);

/* ---- queues, in postgres_apart.c ---- */

/* 0 or -ENOMEM. */
int rddr_pg_queue_put(struct pg_queue *q, struct slice bytes);
void rddr_pg_queue_drop(struct pg_queue *q, size_t len);
void rddr_pg_queue_free(struct pg_queue *q);
static inline struct slice rddr_pg_queue_all(const struct pg_queue *q)
{
	return (struct slice){.data = q->len ? q->bytes + q->from : NULL, .len = q->len};
}

/* ---- postgres_front.c ---- */

enum rddr_modify rddr_pg_front(struct pg_session *s, const struct rddr_view *view, struct rddr_modify_result *result);

/* ---- postgres_tls.c ---- */

/* Some end has TLS to begin. */
bool rddr_pg_tls_any(const struct pg_session *s);
/* The client asks for TLS: it is told whether it gets it. False: it could not be begun. */
bool rddr_pg_tls_client(struct pg_session *s);
/* The client has to have TLS, and did not ask for it. */
bool rddr_pg_tls_missing(const struct pg_session *s);
/* Asks those instances that are to have TLS. True: none of them has to be waited for. */
bool rddr_pg_tls_ready(struct pg_session *s);
/* What they answer; while tls_pending. */
enum rddr_verdict rddr_pg_tls_answers(struct pg_session *s, struct pg_call *call);

/* ---- postgres_cancel.c ---- */

/* Makes the client's key and remembers the instances' under it. False: no memory, or no randomness. */
bool rddr_pg_cancel_remember(struct pg_session *s);
void rddr_pg_cancel_forget(struct pg_session *s);
/* Whether the key is somebody's. */
bool rddr_pg_cancel_knows(const struct pg_session *s, const uint8_t key[8]);
/* Sends each instance the request with its own key. False: the key is nobody's. */
bool rddr_pg_cancel_pass(struct pg_session *s, const uint8_t key[8]);
/* The leader cancelled a request that the others have got nothing of, or not all. True: it is answered without them,
 * or (s->lost) not at all. */
bool rddr_pg_cancel_early(struct pg_session *s, struct pg_request *r, bool only);
/* While s->unsent: the leader's answer. */
enum rddr_verdict rddr_pg_cancel_answer(struct pg_session *s, struct pg_call *call);

/* ---- postgres_startup.c ---- */

enum rddr_verdict rddr_pg_startup(struct pg_session *s, struct pg_call *call);

/* ---- postgres_lead.c ---- */

/* The request that the client's next message belongs to. NULL: no memory, or there are too many (*full). */
struct pg_request *rddr_pg_lead_request(struct pg_session *s, bool *full);
/* The request whose answer is being compared; NULL: none. */
const struct pg_request *rddr_pg_lead_current(const struct pg_session *s);
/* The client's message of that type was passed on whole. */
void rddr_pg_lead_passed(struct pg_session *s, char type);
/* Reads ahead in the leader's view. */
void rddr_pg_lead_scan(struct pg_session *s, const struct rddr_view *leader);
/* len bytes of the leader's view are consumed. */
void rddr_pg_lead_consumed(struct pg_session *s, size_t len);
/* ReadyForQuery agrees: the request is done with. */
void rddr_pg_lead_done(struct pg_session *s);

/* ReadyForQuery agrees, or another message: what it says about the first request. */
void rddr_pg_lead_compared(struct pg_session *s, char type);
/* The leader is gone, and the others are not to be sent what it was asked: the finding. */
enum rddr_verdict rddr_pg_lead_lost(struct pg_session *s, struct pg_call *call);

/* ---- postgres_hold.c ---- */

/* The client's message of type s->fe_type is passed on: what it says of statements and portals. */
void rddr_pg_hold_note(struct pg_session *s, struct pg_request *r);
/* Whether the message that rest begins with waits, what came before it being asked for. RDDR_SAME_FOR_ALL: it does
 * not; RDDR_MODIFY_WAIT: more of it is needed. first: nothing else is passed on by this call. */
enum rddr_modify rddr_pg_hold(struct pg_session *s, struct slice rest, const struct pg_message *m, bool first);

/* ---- postgres_answer.c ---- */

enum rddr_verdict rddr_pg_answer(struct pg_session *s, struct pg_call *call);
/* Consumes len bytes of instance i; the source's are let out, or dropped. */
void rddr_pg_take_out(struct pg_session *s, struct pg_call *call, unsigned i, size_t len, bool release);

/* ---- postgres_apart.c ---- */

enum { PG_APART_OK = 0, PG_APART_DIVERGE = 1 };
/* Whether there is room for it among those of instance i that others have not sent. */
bool rddr_pg_apart_fits(const struct pg_session *s, unsigned i, const struct pg_message *m);
/* There is none: RDDR_DIVERGE. */
enum rddr_verdict rddr_pg_apart_full(struct pg_session *s, struct pg_call *call, unsigned i,
				     const struct pg_message *m);
/* Takes a message of instance i, and lets out what all have sent. PG_APART_*, the finding being made. */
int rddr_pg_apart(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m);
/* A request was answered by all. */
int rddr_pg_apart_answered(struct pg_session *s, struct pg_call *call);
/* Whether a notification came from the client's own session at that instance. */
bool rddr_pg_is_own(const struct pg_session *s, unsigned i, const struct pg_message *m);

/* ---- postgres_compare.c ---- */

/* Where two messages differ. */
struct pg_place {
	size_t offset;	   /* in the first one's message */
	int column;	   /* from 1; 0: not in a column */
	char field;	   /* of an error; 0: none */
	struct slice a, b; /* what they have there */
	bool null_a, null_b;
	const char *what; /* in words, where a and b say nothing */
};

/* Whether text of instance i says the same as that of instance k, tokens apart. */
bool rddr_pg_same_text(const struct pg_session *s, unsigned i, struct slice a, unsigned k, struct slice b);
/* Whether a message of instance i (a) says the same as instance k's (b); both are complete and of one type. */
bool rddr_pg_same(const struct pg_session *s, unsigned i, const struct pg_message *a, unsigned k,
		  const struct pg_message *b, struct pg_place *place);

/* ---- postgres_written.c ---- */

/* What may stand where the config leaves a field of errors (S or M), or a parameter's value, out of comparison. */
bool rddr_pg_error_form(char field, struct slice value);
bool rddr_pg_setting_form(struct slice value);
/* Emits to the client what all of them say, which rddr_pg_same found to be the same: instance 0's message, without what
 * not all have in common. False: out of memory, and nothing was emitted. */
bool rddr_pg_write(struct pg_session *s, const struct pg_call *call, const struct pg_message m[]);

/* ---- postgres_rows.c ---- */

/* DataRow, CopyData and FunctionCallResponse where there is a filter pair: all n are complete. False: *i differs from
 * *k at place. */
bool rddr_pg_rows_filtered(struct pg_session *s, const struct pg_call *call, const struct pg_message m[], unsigned *i,
			   unsigned *k, struct pg_place *place);

/* ---- postgres_bag.c ---- */

/* Rows in any order: takes what the views begin with. */
enum pg_bag_take { PG_BAG_TOOK, PG_BAG_FULL, PG_BAG_FAILED };
enum pg_bag_take rddr_pg_bag_row(struct pg_session *s, struct pg_call *call, unsigned i, const struct pg_message *m);
/* The result is over: true when every row was had by all. */
bool rddr_pg_bag_balanced(const struct pg_session *s, unsigned *i, unsigned *k);
bool rddr_pg_bag_empty(const struct pg_session *s);
void rddr_pg_bag_free(struct pg_session *s);

/* ---- postgres_find.c ---- */

/* What i has done is its own fault: it stands alone. */
enum rddr_verdict rddr_pg_find(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
/* The same, for two messages. */
enum rddr_verdict rddr_pg_find_place(struct pg_session *s, struct pg_call *call, unsigned i, unsigned k,
				     const struct pg_message m[], const struct pg_place *place);
/* Who stands alone, where each instance is of some kind: the one of another kind than all others, which are of one. For
 * a finding of rddr_pg_find's in which i was only compared with another. */
uint32_t rddr_pg_alone(const struct pg_call *call, const unsigned kinds[]);
/* It is nobody's fault: memory, or a bound that one had to be the first to reach. */
enum rddr_verdict rddr_pg_find_nobody(struct pg_session *s, struct pg_call *call, unsigned i, const char *why);

#endif
