/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_session.h - what the classes http and json keep for a session, and the parts they are made of.
 *
 * One exchange is under way at a time: the next request is held until the answer to the last one is out. So an answer
 * always belongs to the one request there is, a server may close between two exchanges, and what an answer taught is
 * known when the next request is read.
 *
 *	http_request.c	what the client says: checked strictly, given to the instances
 *	http_rewrite.c	what of it each instance has to be told in its own way
 *	http_upload.c	the same in a body that passes piece by piece
 *	http_answer.c	what the instances say: heads gathered, interim answers, the way an answer goes
 *	http_compare.c	heads compared
 *	http_accept.c	whether the client would rather have JSON
 *	http_names.c	headers' names in their usual spelling
 *	http_head.c	heads written anew
 *	http_payload.c	bodies: framing and codings taken off, compared, framed anew
 *	http_fields.c	noise and tokens that comparing shows
 *	http_alone.c	which instance stands alone
 *	http_outgoing.c	the other direction: requests compared, the answer passed on
 *	http_opening.c	which requests of the instances' belong together
 *	http_correlate.c	the header that says which exchange such a request belongs to
 *	http_plugin.c	sessions made and ended, denials
 */
#ifndef RDDR_HTTP_SESSION_H
#define RDDR_HTTP_SESSION_H

#include "body.h"
#include "encoding.h"
#include "http_chunks.h"
#include "http_parse.h"
#include "rddr_diff.h"
#include "rules.h"
#include "slice.h"
#include "tokens.h"

/* An answer of known length up to that many bytes is judged whole, so that a denial can take its place. */
#define HTTP_WHOLE_MAX ((size_t)16 << 10)

/* What a request needed more room for than that, in bytes, is given back. */
#define HTTP_KEPT_ROOM ((size_t)64 << 10)

/* Bytes of one's own that come and go in order. Zeroed: empty. */
struct backlog {
	uint8_t *data;
	size_t from, len, room; /* len bytes from from on */
};

/* Bytes of a request that are replaced. */
struct edit {
	size_t at, len; /* from the request's beginning */
	size_t own;	/* where the bytes instead begin, in edits.own: all the instances' one after the other */
	uint32_t own_len[RDDR_MAX_INSTANCES];
};

/* In the order of their places. Zeroed: none. */
struct edits {
	struct edit *list;
	size_t n, room;
	struct backlog own;
	size_t length; /* 1 + the index of the one that replaces Content-Length's value; 0: none does */
	int64_t grows[RDDR_MAX_INSTANCES]; /* how much longer the body becomes */
	unsigned tokens;
	bool too_many; /* their values come to more than there may be */
};

/* What is asked and not answered yet. */
struct exchange {
	bool pending;
	bool keep_alive;
	bool upgrade;
	bool expects; /* the client may wait for 100 Continue */
	bool wants_json;
	uint8_t minor;
	enum http_method method;
};

enum request_phase {
	REQUEST_HEAD,
	REQUEST_LENGTH,
	REQUEST_CHUNKED,
	REQUEST_ASKS_TUNNEL, /* held: what follows depends on the answer */
	REQUEST_TUNNEL,
	REQUEST_OPENED, /* CONNECT was answered; the first byte shows what it is for */
	REQUEST_DROP,	/* nothing that comes now is for anybody */
};

/* When tokens are looked for in a body. */
enum body_search {
	SEARCH_NOT,
	SEARCH_WHOLE,  /* once it is there as a whole, before its head is passed on: so its length can be corrected */
	SEARCH_PASSING /* while it passes: see http_upload.c */
};

/* A head at the beginning of the view that was read and accepted, while its body is waited for. Zeroed: there is none.
 */
struct awaited {
	size_t head; /* its length, */
	uint64_t length;
	bool chunked, expects;
};

struct request {
	enum request_phase phase;
	size_t scanned; /* of the head at the beginning of the view */
	uint64_t left;	/* of a body with a length */
	struct chunks chunks;
	enum body_search search;   /* of the body that is next, or under way */
	struct tokens_place place; /* there */
	struct backlog kept;	   /* of a searched body in chunks: payload that is not decided yet */
	const char *refused;	   /* why nothing more is passed on; NULL: it is */
	struct chunks ahead;	   /* of a body that is checked before its head is passed on, */
	size_t ahead_at;	   /* and how far, counted from the head's beginning */
	struct awaited awaited;
	bool said_continue; /* the client was given leave to send the body that is waited for */
	bool awaits_leave;  /* none of the body came, and the client may wait for leave to send it */
	bool repeatable;    /* may be sent again to an instance whose idle connection ends */
};

enum answer_phase {
	ANSWER_HEAD,
	ANSWER_BODY,
	ANSWER_TUNNEL,
};

/* How the answer goes out. */
enum answer_framing {
	OUT_NOTHING, /* there is no body */
	OUT_LENGTH,
	OUT_CHUNKED,
	OUT_CLOSE, /* HTTP/1.0 knows no other way for an unknown length */
};

/* One instance's answers. */
struct answer_stream {
	size_t scanned;		     /* of the head at the beginning of the view */
	uint32_t interim, continued; /* 1xx answers since the last final one; of them, 100 */
	enum http_framing framing;
	uint64_t left; /* of a body with a length */
	enum coding coding;
	struct chunks chunks;
	struct encoding *decoder;
	struct backlog payload; /* without framing and coding, not judged yet */
	size_t held;		/* bytes at the beginning of the view that went into payload already */
	bool ended;		/* payload holds the rest of the body */
	bool keep_alive;	/* the server said that it stays */
	bool leaving;		/* it said that it was tired of waiting: what it says is thrown away */
};

/* Outgoing: how far the backend's answer is. */
struct relay {
	size_t scanned; /* of the head at the beginning of the view */
	enum http_framing framing;
	uint64_t left;
	struct chunks chunks;
	bool in_body;
	bool begun;	 /* the many have got something of it */
	bool over;	 /* they have got all of it */
	bool keep_alive; /* the backend stays */
	bool last;	 /* it was the last one of these connections */
};

struct http {
	const struct rddr_host *host;
	struct rddr_session *session;
	const struct rules *rules;
	const struct rules_settings *settings;
	unsigned n;
	bool filter;
	bool reports;	 /* nothing but instance 0's bytes goes to the client */
	bool json;	 /* bodies have to be JSON */
	size_t limit;	 /* what a comparator may want to see at once */
	size_t view_max; /* the most bytes that a view ever holds */
	size_t noise_run;
	size_t repeat_max; /* bytes of a request that are kept to be sent again */

	struct rddr_table *token_table, *noise_table; /* the service's; NULL: there is none */
	struct tokens *tokens; /* NULL as long as there was nothing to learn and nothing to find */

	struct request request;
	struct edits edits; /* of the request that is passed on */
	struct exchange exchange;

	enum answer_phase phase;
	enum body_kind kind;
	enum answer_framing out;
	bool opaque;	    /* a coding that nobody here can take off: compared as it is */
	bool direct;	    /* the payload is compared where it lies in the views */
	bool whole;	    /* nothing goes out before all of it agrees */
	bool close;	    /* the client is told that the connection ends */
	bool begun;	    /* some of the answer is out */
	unsigned continued; /* 100 Continue to the client since the last final answer */
	struct body *body;  /* NULL: not needed so far */

	uint64_t judged;     /* bytes of instance 0's payload */
	bool trial;	     /* what is compared now is for the evidence alone: see http_alone.c */
	struct backlog head; /* written anew, goes out with the first of the body */

	bool outgoing; /* the many ask: see http_outgoing.c */
	struct relay relay;
	bool proxy;		   /* requests name the server: see http_proxy.c */
	bool naming, naming_head;  /* a request waits until its server is connected; it is HEAD */
	bool naming_json;	   /* and would rather have JSON */
	bool spoken;		   /* the servers have said something in a tunnel */
	size_t proxy_cut;	   /* bytes at the target's beginning that the instances do not get, */
	const char *proxy_instead; /* and what they get for them */

	struct answer_stream streams[]; /* n */
};

/* The name in a cookie, which is a name, '=' and a value, without the white space that servers and browsers take off.
 */
static inline struct slice rddr_http_cookie_name(struct slice cookie)
{
	const uint8_t *equals = cookie.len ? memchr(cookie.data, '=', cookie.len) : NULL;
	size_t from = 0, to = equals ? (size_t)(equals - cookie.data) : cookie.len;

	while (from < to && (cookie.data[from] == ' ' || cookie.data[from] == '\t'))
		from++;
	while (to > from && (cookie.data[to - 1] == ' ' || cookie.data[to - 1] == '\t'))
		to--;
	return slice_cut(cookie, from, to - from);
}

static inline bool rddr_http_present(const struct rddr_view *view)
{
	return view->end != RDDR_END_ABSENT;
}

/* ---- http_request.c ---- */

enum rddr_modify rddr_http_modify(struct http *h, const struct rddr_view *view, struct rddr_modify_result *result);

/* ---- http_rewrite.c ---- */

/*
 * Finds what has to be replaced in a request: bytes begin with the head; body is all of the body, or empty where it is
 * not searched now. The result is in h->edits. 0, -ENOMEM, -E2BIG: the values come to more than max-body, or -EIO: no
 * random number is to be had.
 */
int rddr_http_find_edits(struct http *h, struct slice bytes, const struct http_head *head, struct slice body);
/*
 * The same in a piece of a body. more: it goes on behind it. same_length: what would make it longer or shorter stays,
 * and is counted. *decided: that many bytes of the piece are ready; h->edits counts from its beginning.
 */
int rddr_http_find_more(struct http *h, struct slice piece, bool more, bool same_length, size_t *decided);
/* What such an error means. */
const char *rddr_http_edits_failed(int error);

enum body_search rddr_http_body_search(struct http *h, const struct http_head *head);
void rddr_http_edits_free(struct edits *e);
/* They are passed on: a request of many of them leaves no large room behind. */
void rddr_http_edits_trim(struct edits *e);

/* ---- http_proxy.c ---- */

enum proxy_step {
	PROXY_ON,	 /* the instances are connected to the request's server */
	PROXY_CONNECTED, /* and that was all that was asked: CONNECT */
	PROXY_HOLD,	 /* they will be */
	PROXY_REJECT,
};

/* Names the server of a request, at a neutral point. */
enum proxy_step rddr_http_proxy_name(struct http *h, const struct http_head *head, const char **why);
/* Answers CONNECT. */
void rddr_http_proxy_open(struct http *h);
/* The client's first byte behind CONNECT. */
void rddr_http_proxy_settle(struct http *h, uint8_t first);
/* Whether a header is for the proxy, and not for the server. */
bool rddr_http_proxy_keeps(const struct http *h, const struct http_header *header);

/* ---- http_upload.c ---- */

/* What edits.list says of the call's bytes from at on, as segments; *passed: everything before it is in segments. */
void rddr_http_pass_edits(struct http *h, size_t at, size_t *passed);
/* The call's bytes up to to, for all alike. */
void rddr_http_pass_to(struct http *h, size_t to, size_t *passed);

/*
 * Takes what is there of a searched body, in chunks or of known length, and makes segments of what is decided; bytes
 * begin at the place at of the call's, and everything before is in segments. 0 or -errno with the reason in why; what
 * was taken before something wrong is good.
 */
int rddr_http_upload_chunks(struct http *h, struct slice bytes, size_t *taken, const char **why);
int rddr_http_upload_length(struct http *h, struct slice bytes, size_t at, size_t *taken, const char **why);

/* ---- http_answer.c ---- */

enum rddr_verdict rddr_http_judge(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result);

/* The answer is complete and out. */
void rddr_http_answered(struct http *h, const struct rddr_view views[], struct rddr_diff_result *result);

/* Fills in a finding; nothing is consumed then. other: n where it is not known, then one is chosen. */
enum rddr_verdict rddr_http_diverge(const struct http *h, const struct rddr_view views[],
				    struct rddr_diff_result *result, unsigned instance, unsigned other,
				    const char *where, const char *fmt, ...) __attribute__((format(printf, 7, 8)));

/*
 * Of numbers, one for each instance that is present, finds the most common one, the lowest instance's among equals:
 * *other has it, *instance is the first that has not. False: all are the same.
 */
bool rddr_http_odd_one(const struct rddr_view views[], unsigned n, const uint64_t numbers[], unsigned *instance,
		       unsigned *other);

/* ---- http_compare.c ---- */

/* What of instance 0's head goes out, and how. Zeroed: all of it, as it is, but for a length that stands for no body.
 */
struct head_plan {
	uint64_t dropped[2];		 /* a bit for each of its headers that does not go out, */
	uint64_t respelled[2];		 /* and for each whose name others spell in another way */
	bool same_length;		 /* every instance has a Content-Length, and the same */
	bool sorted;			 /* they do not go out in their order, but */
	uint8_t order[HTTP_HEADERS_MAX]; /* in this one */
};

/* Which of instance 0's headers has its turn at a place. */
static inline unsigned rddr_http_turn(const struct head_plan *plan, unsigned place)
{
	return plan->sorted ? plan->order[place] : place;
}

static inline bool rddr_http_bit(const uint64_t bits[2], unsigned i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

/* RDDR_AGREE or RDDR_DIVERGE. plan: zeroed by the caller. */
enum rddr_verdict rddr_http_compare_heads(struct http *h, const struct rddr_view views[],
					  const struct http_head *const heads[], struct head_plan *plan,
					  struct rddr_diff_result *result);

/* Whether a header is one that is never compared, because RDDR writes its own, or leaves it out. */
bool rddr_http_is_hop(const struct http *h, const struct http_head *head, const struct http_header *header);

/* ---- http_head.c ---- */

/* Writes the head of the answer into h->head, from instance 0's. 0 or -ENOMEM. */
int rddr_http_write_head(struct http *h, const struct http_head *head, const struct head_plan *plan);
/* Writes the line of header i as the plan says, or nothing: never more than the header has, and four bytes. */
uint8_t *rddr_http_put_header(uint8_t *at, const struct http_head *head, unsigned i, const struct head_plan *plan);
/* Lets it out. */
void rddr_http_flush_head(struct http *h);

/* ---- http_accept.c ---- */

/* Whether the client accepts JSON by its name, a type that ends with +json included. */
bool rddr_http_accepts_json(const struct http_head *head);

/* ---- http_names.c ---- */

/* Writes a header's name in the spelling that it usually has; as long as the name. */
uint8_t *rddr_http_put_usual(uint8_t *at, struct slice name);

/* ---- http_payload.c ---- */

/* Makes ready for the bodies that the heads speak of. 0, -ENOMEM, or -EINVAL: a coding cannot be set up. */
int rddr_http_payload_begin(struct http *h, const struct rddr_view views[], const struct http_head *const heads[]);
/* Whether all bodies lie in the views whole, and are the same: then judging them consumes them, without noise. */
bool rddr_http_payload_alike(struct http *h, const struct rddr_view views[]);
enum rddr_verdict rddr_http_payload_judge(struct http *h, const struct rddr_view views[],
					  struct rddr_diff_result *result);
enum rddr_verdict rddr_http_tunnel_judge(struct http *h, const struct rddr_view views[],
					 struct rddr_diff_result *result);
void rddr_http_payload_end(struct http *h);

/* 0 or -ENOMEM. */
int rddr_backlog_put(struct backlog *b, const void *data, size_t len);
/* Makes room for len bytes and returns where they go; NULL: no memory. Added by adding to b->len. */
uint8_t *rddr_backlog_room(struct backlog *b, size_t len);
void rddr_backlog_take(struct backlog *b, size_t len);
void rddr_backlog_free(struct backlog *b);

enum body_kind rddr_http_kind_of(const struct http_head *head);

/* ---- http_outgoing.c ---- */

enum rddr_verdict rddr_http_outgoing_judge(struct http *h, const struct rddr_view views[],
					   struct rddr_diff_result *result);
/* The request is complete and out. */
void rddr_http_outgoing_asked(struct http *h, struct rddr_diff_result *result);
enum rddr_modify rddr_http_outgoing_modify(struct http *h, const struct rddr_view *view,
					   struct rddr_modify_result *result);
void rddr_http_outgoing_denial(struct http *h, const struct rddr_denial *denial);

/* ---- http_opening.c ---- */

enum rddr_opens rddr_http_opening(const struct rddr_opening *opening, struct rddr_opening_result *result);

/* ---- http_correlate.c ---- */

/* Whether it is the header of correlate. */
bool rddr_http_is_correlation(const struct rules_settings *settings, const struct http_header *header);
/* Whether a server may take it for that: some make one variable of names with '-' and with '_'. */
bool rddr_http_passes_for_correlation(const struct rules_settings *settings, struct slice name);
/* Whether a request has it taken out by whoever stands in front of an instance. */
bool rddr_http_hides_correlation(const struct http *h, const struct http_head *head, const char **why);

/* Name, colon, blank, 32 digits, CRLF and NUL. */
#define HTTP_CORRELATION_LINE (RULES_CORRELATE + 2 + 32 + 2)

/* A line with a new id, of which the host is told; *len without the NUL. 0 or -EIO: there is no chance to be had. */
int rddr_http_make_correlation(struct http *h, char line[HTTP_CORRELATION_LINE], size_t *len);
/* The id in a request of an instance's; empty: it has none. 0, or -EINVAL with the reason. */
int rddr_http_read_correlation(const struct rules_settings *settings, const struct http_head *head, struct slice *id,
			       const char **why);
/* Requests that were taken for one: RDDR_AGREE or RDDR_DIVERGE. */
enum rddr_verdict rddr_http_compare_correlations(struct http *h, const struct rddr_view views[],
						 const struct http_head *const heads[],
						 struct rddr_diff_result *result);

/* ---- http_fields.c ---- */

extern const struct body_host rddr_http_body_host; /* ctx is the struct http */

/* Gets what the session needs of the service's tables. */
void rddr_http_fields_begin(struct http *h);
void rddr_http_fields_end(struct http *h);
/* The session's tokens; NULL: nothing can be found, or kept. */
struct tokens *rddr_http_tokens(struct http *h, bool to_learn);

/* Whether the pair showed noise in that field lately, in whatever session. */
bool rddr_http_was_noise(struct http *h, const char *field);
/* The pair shows noise there: remembers the field, and what each instance has as tokens; values NULL: no tokens. */
void rddr_http_note_noise(struct http *h, const char *field, const struct slice values[]);
/* A rule says what to do with the values; tokens are remembered. */
void rddr_http_count(const struct http *h, enum rddr_counted what, uint64_t n);
void rddr_http_note_declared(struct http *h, const struct field_rule *rule, const struct slice values[]);

/* ---- http_alone.c: what a finding's alone is to say ---- */

/* By numbers, one for each instance. */
uint32_t rddr_http_alone_number(const struct rddr_view views[], unsigned n, const uint64_t numbers[]);
uint32_t rddr_http_alone_head(struct http *h, const struct rddr_view views[], const struct http_head *const heads[]);
/* conf is that of the comparator that found the difference, payloads what it was shown. */
uint32_t rddr_http_alone_body(struct http *h, const struct body_view payloads[], const struct body_conf *conf);

/* ---- http_plugin.c ---- */

int rddr_http_validate(const char *json, void **params, char *err, size_t errlen);
void rddr_http_free_params(void *params);
int rddr_http_check_params(const void *params, const struct rddr_diff_service *service, char *err, size_t errlen);
int rddr_http_create(const struct rddr_diff_create *args, bool json, void **state);
void rddr_http_destroy(void *state);
enum rddr_verdict rddr_http_diff_traffic(void *state, const struct rddr_view views[], unsigned n,
					 struct rddr_diff_result *result);
enum rddr_modify rddr_http_modify_traffic(void *state, const struct rddr_view *view, struct rddr_modify_result *result);
void rddr_http_render_denial(void *state, const struct rddr_denial *denial);

#endif
