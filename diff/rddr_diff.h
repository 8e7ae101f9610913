/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rddr_diff.h - the interface between RDDR and its diff plugins.
 *
 * A plugin is a shared object that exports one constant,
 *
 *	const struct rddr_diff_plugin rddr_diff_plugin = { .abi = RDDR_DIFF_ABI, .size = sizeof(rddr_diff_plugin), ...
 *};
 *
 * It judges bytes: what the many ends of a session said, before the lone end hears of it. It owns no
 * socket, no thread and no time. An operation left NULL behaves as the base class does: it never
 * diverges, takes everything, sends the same bytes to all, and denies with nothing.
 *
 * Calls for one session come one at a time, from one thread; different sessions run on different
 * threads at once. Structures grow at their end only, and each carries its size.
 *
 * diff/skeleton.c is a complete small plugin, made to be copied.
 */
#ifndef RDDR_DIFF_H
#define RDDR_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RDDR_DIFF_ABI	   1
#define RDDR_MAX_INSTANCES 16
/* Room for what names an exchange of the service in front, with its end: letters, digits, '-' and '_' are taken. */
#define RDDR_CORRELATION 64

enum rddr_direction {
	RDDR_INCOMING, /* one client, N instances */
	RDDR_OUTGOING, /* N instances, one backend */
};

/* How one of the streams stands behind the last byte of its view. */
enum rddr_end_state {
	RDDR_END_OPEN,	 /* more may come */
	RDDR_END_ENDED,	 /* the stream ended in order (FIN) */
	RDDR_END_RESET,	 /* it was torn (RST, or any error) */
	RDDR_END_ABSENT, /* this instance takes no more part; its view is empty and is to be passed over */
};

struct rddr_view {
	const uint8_t *data; /* valid during the call only; NULL where len is 0 */
	size_t len;	     /* bytes that are not consumed yet */
	enum rddr_end_state end;
};

/* Where and why streams differ, as far as the plugin can tell. Texts are UTF-8, terminated. */
struct rddr_finding {
	unsigned instance; /* one that differs ... */
	unsigned other;	   /* ... from this one */
	size_t offset;	   /* the first differing byte, counted from the beginning of the views of this call */
	char where[160];   /* in the protocol's words: "header Content-Type", "/items/3/id", "line 12"; may be empty */
	char why[160];	   /* "differ outside the pair's noise", "ended early"; never empty when diverging */
	uint32_t alone; /* one more than the number of the instance that stands alone against the others, which agree;
			   0: the host looks at the bytes at offset */
};

/* In a finding: no instance stands alone. */
#define RDDR_ALONE_NOBODY UINT32_MAX

enum rddr_verdict {
	RDDR_AGREE,   /* what was consumed agrees; call again when there is more */
	RDDR_DIVERGE, /* the finding says where; what the call has released itself still goes out */
	RDDR_WAIT,    /* nothing can be decided before more bytes or the end of a stream arrive */
};

/* Filled with zeros before each call of diff_traffic. */
struct rddr_diff_result {
	size_t size;			     /* of this structure, set by the host */
	size_t consumed[RDDR_MAX_INSTANCES]; /* per stream: bytes of the view that need not be shown again */
	/* Bytes of the source stream (instance 0) to let out now, after what was emitted, counted from the first that
	 * was neither released nor discarded. A plugin that has to order its releases between its own bytes calls
	 * host->release instead. */
	size_t release;
	bool boundary;		     /* behind what was consumed, every stream stands between two messages */
	struct rddr_finding finding; /* with RDDR_DIVERGE */
	bool doubtful; /* with RDDR_WAIT: what is in view differs (the finding says where) unless what comes next
			  explains it; when nothing comes within the skew deadline, it is a divergence */
	bool patient;  /* none of the many has to speak next, so none of them is late */
};

enum rddr_modify {
	RDDR_SAME_FOR_ALL, /* the consumed bytes go to every instance as they are; nothing is copied */
	RDDR_SEGMENTS, /* each instance gets the segments that were given with host->segment_ref and host->segment_own
			*/
	RDDR_MODIFY_WAIT, /* more bytes are needed before anything can be passed on */
	RDDR_REJECT,	  /* nothing of this goes to any instance; the session is denied (reason: rejected) */
	RDDR_MODIFY_HOLD, /* nothing more is passed on before the many have said more: asked again when diff_traffic has
			     consumed something or said RDDR_AGREE, or more bytes come */
};

/* Filled with zeros before each call of modify_traffic. */
struct rddr_modify_result {
	size_t size;	 /* of this structure, set by the host */
	size_t consumed; /* bytes of the view that need not be shown again */
	char why[160];	 /* with RDDR_REJECT: for log and evidence */
	bool incomplete; /* behind what was consumed the lone end has not said all of a message: nobody can be expected
			    to answer it */
};

enum rddr_denial_reason {
	RDDR_DENIED_DIVERGENCE, /* the instances' answers differ */
	RDDR_DENIED_MISSING,	/* an instance could not be reached */
	RDDR_DENIED_LATE,	/* an instance did not answer within the skew deadline */
	RDDR_DENIED_EARLY_END,	/* an instance ended or was reset before the others */
	RDDR_DENIED_REJECTED,	/* the plugin rejected what the lone end sent */
	RDDR_DENIED_LIMIT,	/* a bound (buffer, noise) was reached */
	RDDR_DENIED_FAILED,	/* the plugin itself failed */
	RDDR_DENIAL_REASONS
};

struct rddr_denial {
	size_t size;
	enum rddr_denial_reason reason;
	const char *reference; /* of the evidence; terminated; also where nothing was recorded */
	uint64_t sent;	       /* bytes that the lone end has already got in this session */
	bool mid_message; /* some of a message was let out and its end was not: whatever is emitted now is appended to
			     it */
};

/* Which end host->emit means. Instances are their numbers. */
#define RDDR_LONE UINT32_MAX

struct rddr_session; /* the host's; opaque */
struct rddr_table;   /* the host's, too */

/* What the table called "noise" holds under the name of a field (text), for rddrctl to show. */
struct rddr_noise_seen {
	uint64_t count; /* how often the field was seen to be noise */
};

/* Names of counters that a plugin may add to: "plugin_rejected" and so on. */
enum rddr_counted {
	RDDR_COUNTED_REJECTED,	      /* requests that were refused for their form */
	RDDR_COUNTED_TOKENS_LEARNT,   /* values that each instance has its own of */
	RDDR_COUNTED_TOKENS_REPLACED, /* such values translated in requests */
	RDDR_COUNTED_NOISE_FIELDS,    /* fields in which the pair showed noise */
	RDDR_COUNTED_NOISE_RECALLED,  /* differences let pass because the field was noise lately */
	RDDR_COUNTED_RULES_APPLIED,   /* fields taken out of comparison by a rule */
	RDDR_COUNTED_LOGINS,	      /* logins that the plugin let in */
	RDDR_COUNTED_LOGINS_REFUSED,  /* logins that it refused: a wrong password, a missing secret */
	RDDR_COUNTED_TOKENS_KEPT,     /* such values that stood where they could not be translated */
	RDDR_COUNTED_UNKNOWN,	      /* messages of a kind that is not known */
	RDDR_COUNTED_CONFLICTS, /* divergences in which one instance alone told of a conflict between transactions */
	RDDR_COUNTED_CANCELS,	/* requests to cancel that were passed on */
	RDDR_COUNTED_HEADERS_DROPPED, /* headers left out because not every instance has them */
	RDDR_COUNTED_CORRELATED,      /* requests that were given a correlation, or (outgoing) groups that had one */
	RDDR_COUNTED_CORRELATIONS_REMOVED, /* what a client sent as one, taken out */
	RDDR_COUNTED_CORRELATIONS_MISSING, /* outgoing: requests of one instance that had none */
	RDDR_COUNTED_UNSENT, /* requests that were cancelled before the others were sent them, and answered without them
			      */
	RDDR_COUNTED_TOKENS_REFUSED, /* values that are too long for tokens, or have too many joints */
	RDDR_COUNTED
};

/* How an end stands with TLS. */
enum rddr_tls {
	RDDR_TLS_NONE,	   /* there is none, and none is to be had */
	RDDR_TLS_OFFERED,  /* start_tls may begin it; the config lets clear text pass as well */
	RDDR_TLS_REQUIRED, /* start_tls has to begin it before anything that matters */
	RDDR_TLS_ON,	   /* what goes over this end is encrypted, or will be before the next byte */
};

/*
 * What the host does for a plugin. Every function takes the session that create was given and is valid
 * only inside a call for that session. Bytes handed over are copied.
 */
struct rddr_host {
	size_t size;
	uint32_t version;

	/* Puts the plugin's own bytes behind what was released to the lone end so far, or behind what instance i was
	 * sent. */
	void (*emit)(struct rddr_session *s, uint32_t end, const void *data, size_t len);
	/* In diff_traffic: lets the next len bytes of the source out, or drops them, in the order of the calls. They
	 * have to be consumed ones, or ones consumed by this very call. */
	void (*release)(struct rddr_session *s, size_t len);
	void (*discard)(struct rddr_session *s, size_t len);
	/* In modify_traffic: instance i gets len bytes of the view from offset on, or bytes of the plugin's own, next.
	 * Offsets rise. */
	void (*segment_ref)(struct rddr_session *s, unsigned instance, size_t offset, size_t len);
	void (*segment_own)(struct rddr_session *s, unsigned instance, const void *data, size_t len);
	/* Declares a neutral point behind everything consumed so far: there an instance may close, and is dialled again
	 * when next needed. It lasts until modify_traffic consumes again. state is a hash of whatever of the session's
	 * state would have to be the same. */
	void (*neutral)(struct rddr_session *s, uint64_t state);
	/* In diff_traffic: says that the next run bytes of the source are noise of the filter pair. They are weighed
	 * against what earlier calls consumed, so consume what lies before a run first. A run may be charged in pieces,
	 * call by call: one that begins where the last one ended goes on with it. False: that is past the service's
	 * noise budget; the pair's difference is then a divergence. */
	bool (*charge_noise)(struct rddr_session *s, size_t run);
	/* A new answer begins: the share of noise is counted from here. Without it an answer begins when the many speak
	 * after the lone did. */
	void (*begin_answer)(struct rddr_session *s);
	/* Writes a debug line about this session. */
	void (*log)(struct rddr_session *s, const char *text);
	/* Instance i is not to be used any further than the neutral point that this call declares: it is closed there,
	 * and dialled again when next needed. When none is left, the lone end's connection ends, too. */
	void (*rest)(struct rddr_session *s, unsigned instance);

	/*
	 * What all sessions of the service share, on all workers. Tables live as long as the process; reading one takes
	 * no lock. The table of that name, made with room for entries of them when it is new (sessions ask once, in
	 * create); NULL: no memory.
	 */
	struct rddr_table *(*table)(struct rddr_session *s, const char *name, size_t entries);
	/* Copies the value out: *len is the room on the way in, the length on the way out. False: no such key, expired,
	 * or no room. */
	bool (*table_get)(struct rddr_table *t, const void *key, size_t keylen, void *value, size_t *len);
	/* Puts or replaces, for ttl seconds; the oldest goes when the table is full. False: empty or too long (keys
	 * 1024, values 8192 bytes). */
	bool (*table_put)(struct rddr_table *t, const void *key, size_t keylen, const void *value, size_t len,
			  uint32_t ttl);
	size_t (*table_count)(const struct rddr_table *t);
	/* The client's address without its port, IPv4 mapped into IPv6. */
	void (*client)(const struct rddr_session *s, uint8_t address[16]);
	/* Adds to one of the service's counters. */
	void (*count)(struct rddr_session *s, enum rddr_counted what, uint64_t n);

	/*
	 * Computes off the session's thread what takes long. work(job) runs on one of a few threads of the host's own,
	 * at the same time as the session goes on, and touches nothing but the job. Then, on the session's thread,
	 * done(state, job) is called once, as a call for the session, and the plugin is asked anew, in both directions.
	 * When the session has ended meanwhile, state is NULL: the job is only to be freed (work may not have run
	 * then). False: too many jobs wait; the job stays the caller's.
	 */
	bool (*offload)(struct rddr_session *s, void (*work)(void *job), void (*done)(void *state, void *job),
			void *job);
	/* Evidence shows nothing of what that end says up to len bytes behind what it has had consumed before this
	 * call, and the memory is wiped when it is done with (SIZE_MAX: whatever comes, until told otherwise). */
	void (*conceal)(struct rddr_session *s, uint32_t end, size_t len);
	/* Ends the session when this call of the plugin returns: what was emitted still arrives. Nothing is denied, and
	 * nothing recorded. */
	void (*finish)(struct rddr_session *s);

	/*
	 * In modify_traffic, before any segment is made: what this call passes on may be sent again to an instance
	 * whose connection was idle and ends before it answers; or it may not. Said in every call since the neutral
	 * point, by a plugin that declares such points. What may is kept (see repeat in rddr_diff_create), and the host
	 * sends it again by itself, once, to that instance alone. What may not goes only to connections that were not
	 * idle for long; older ones are dialled anew first. A call that says nothing: it may not, and goes to any.
	 */
	void (*repeat)(struct rddr_session *s, bool may);
	/*
	 * In diff_traffic: what instance i has said since the neutral point is no answer, but says that it had not read
	 * what it was sent. Nothing of it may be consumed. True: after the call it is dropped, the instance is dialled
	 * anew and sent everything again. False: that cannot be.
	 */
	bool (*resend)(struct rddr_session *s, unsigned instance);

	/*
	 * Order of execution. From here on instance 0 leads: what is queued for the others is not sent before follow
	 * says so, or before it has waited for ms milliseconds (0: for ever). The skew deadline does not run while it
	 * waits.
	 */
	void (*lead)(struct rddr_session *s, uint32_t ms);
	/* The others may be sent the first upto bytes that were queued for each of them since lead was called. */
	void (*follow)(struct rddr_session *s, uint64_t upto);

	/*
	 * TLS that begins in the middle of a stream, because the protocol asks for it (config: tls, start). How an end
	 * stands; RDDR_TLS_NONE for an end that is closed, too.
	 */
	enum rddr_tls (*tls)(const struct rddr_session *s, uint32_t end);
	/*
	 * Has TLS begin on the lone end, or on instance i, behind what the host has sent there by then, so call it
	 * last:
	 *
	 * - lone end, in modify_traffic: consume the client's request for TLS, emit the consent, start_tls(s,
	 *   RDDR_LONE), return RDDR_SEGMENTS without any.
	 * - instance i: emit the request for TLS to it, and hold what is to be encrypted (RDDR_MODIFY_HOLD); in
	 *   diff_traffic, when all have consented, consume the consent, discard it, and start_tls(s, i) for each.
	 *
	 * Bytes that came in clear behind what the plugin has consumed by the end of the call are never taken for
	 * encrypted ones: the session is denied. Until the handshake is done and the certificate has been verified,
	 * nothing is read from that end, and nothing goes to any instance; when it fails, the lone end is closed, or
	 * the instance counts as missing. False: there is nothing to start there (see tls). An end that rests at a
	 * neutral point begins in clear again. tests/plugins/starttls.c is a small plugin that does all this.
	 */
	bool (*start_tls)(struct rddr_session *s, uint32_t end);

	/*
	 * In modify_traffic, at a neutral point, of a session whose create said names_target: the instances that are
	 * reached where the protocol says are to be connected to that host (a name, or an address as text, without
	 * brackets; terminated) and port. 0: they are, go on. -EAGAIN: it is under way; return RDDR_MODIFY_HOLD and
	 * name the same again when asked anew. -EINVAL: it is no host; -EBUSY: this is no neutral point; -EPERM: no
	 * instance is reached so; -ENOMEM. A name that is not resolved, or a host that cannot be reached, denies the
	 * session.
	 */
	int (*target)(struct rddr_session *s, const char *host, uint16_t port);
	/*
	 * In diff_traffic: the many have answered for good although the lone end has not said all of its request, and
	 * this was its last one. Its connection is ended in order behind what it was answered. What it still says is
	 * passed on to whoever takes it; what the many still say is dropped. The session ends when all of the request
	 * is passed on (incomplete is false again), when nobody takes any of it, or when none of it moves for the
	 * linger deadline. Nothing in report mode.
	 */
	void (*part)(struct rddr_session *s);

	/* In modify_traffic: diff_traffic is asked anew, though none of the many has said anything. */
	void (*again)(struct rddr_session *s);
	/*
	 * A number of the plugin's own that a connection has for as long as it lasts, beyond the session: an outgoing
	 * service's go from one to the next. 0: it has none yet.
	 */
	void (*mark)(struct rddr_session *s, uint32_t end, uint64_t mark);
	uint64_t (*marked)(const struct rddr_session *s, uint32_t end);
	/*
	 * Report mode, outgoing. In create, on: instance 0's bytes do not go straight to the backend, and what is
	 * emitted to it does. In diff_traffic, off: what was consumed before this call is left out, and what follows
	 * goes straight on. Nothing otherwise.
	 */
	void (*hold)(struct rddr_session *s, bool on);
	/* The exchange that begins is known by that name to outgoing services, too: evidence names it from here on.
	 * Copied; less than RDDR_CORRELATION bytes. */
	void (*correlate)(struct rddr_session *s, const char *id);
	/* Whether something that was queued for the others since lead was called waits for follow. */
	bool (*withholds)(const struct rddr_session *s);
	/* In diff_traffic: what was queued for the others behind the first from bytes since lead is dropped, as though
	 * it had never been queued; what is queued next counts from there. False, and nothing is dropped: one of them
	 * may have got some of it. */
	bool (*unsend)(struct rddr_session *s, uint64_t from);
};

struct rddr_diff_create {
	size_t size;
	enum rddr_direction direction;
	unsigned instances;	      /* N, 1 to RDDR_MAX_INSTANCES */
	bool do_filter;		      /* instances 0 and 1 are the filter pair */
	const void *params;	      /* what validate_params made; shared by all sessions, read only */
	const char *service;	      /* its name */
	size_t limit;		      /* the most bytes that a view can ever hold */
	const struct rddr_host *host; /* valid as long as the session */
	struct rddr_session *session;
	size_t noise_run;  /* the longest run of noise that charge_noise lets pass: what is longer need not be waited
			      for; 0: not known */
	bool reports;	   /* report mode: the lone end is sent what instance 0 says as it comes, and nothing that is
			      emitted to it */
	size_t repeat;	   /* the most bytes since a neutral point that are kept to be sent again: see host->repeat */
	uint64_t identity; /* outgoing, with the operation opening: the state that host->neutral was called with at the
			      neutral point that this session begins at; 0: its connections are new */
	const size_t *replied; /* outgoing, with the operation opening: of each instance, up to where of what it will
				  say it had the replies of opening; valid during the call */
	bool names_target;     /* the plugin has to name a server first: see host->target */
	bool alone;  /* outgoing: opening said RDDR_OPENS_ALONE: one instance takes part, and there is no backend */
	bool reused; /* outgoing: the backend's connection was at a neutral point of that identity before */
};

/* What of a connection is looked at to find its partners. */
struct rddr_opening {
	size_t size;
	const void *params;	      /* what validate_params made */
	const struct rddr_host *host; /* for the tables alone, and log */
	struct rddr_session *session; /* to call the host with; not the one that create is called for */
	const struct rddr_view *view; /* everything that was said since the neutral point, or since the beginning */
	uint64_t identity;	      /* as in struct rddr_diff_create */
	size_t limit;		      /* the most bytes that the view can ever hold */
	size_t replied;		      /* of the view, how much it had a reply to */
	unsigned instance, instances;
	bool do_filter;
	enum rddr_tls tls; /* how the connection stands with TLS: see start_tls below */
};

enum rddr_opens {
	RDDR_OPENS,	  /* the key says what is said */
	RDDR_OPENS_WAIT,  /* more bytes are needed before it can be told; asked again when they come */
	RDDR_OPENS_NOT,	  /* this is refused: why says so */
	RDDR_OPENS_ALONE, /* it needs no partner, and no backend: a session is made of it alone, to the next neutral
			     point */
	RDDR_OPENS_ENDS,  /* it has said goodbye, or asks for nothing: it is closed in order, and nothing recorded */
};

/* Filled with zeros before each call of opening. */
struct rddr_opening_result {
	size_t size;
	uint64_t key;	   /* a hash of what is said, without whatever is each instance's own: one of each instance with
			      the same key, and the same identity, belong together */
	uint64_t loose;	   /* a hash of less of it: where one of each instance is left alone with its key until the
			      deadline,    and they have this in common, they are compared all the same; 0: never */
	const void *reply; /* with RDDR_OPENS_WAIT: what the end is answered meanwhile, so that it goes on speaking;
			      valid until the next call on this thread */
	size_t reply_len;
	size_t replied; /* with RDDR_OPENS_WAIT: of the view, how much has had its reply now, or gets none; while that
			   is all of it, nobody is late */
	char why[160];
	bool start_tls; /* with a reply: TLS begins behind it. The view goes on to hold what was said in clear */
	char correlation[RDDR_CORRELATION]; /* names the exchange, of a service in front, that this belongs to: with
					       RDDR_OPENS it finds partners only among those that have the same, or
					       none. Terminated; empty: there is none */
};

/* What of a service its diff-params may have to fit. */
struct rddr_diff_service {
	size_t size;
	const char *name;
	enum rddr_direction direction;
	unsigned instances;
	bool do_filter; /* instances 0 and 1 are the filter pair */
};

struct rddr_diff_plugin {
	/* These three are checked by the loader before anything is called and keep their places for ever. */
	uint32_t abi;  /* RDDR_DIFF_ABI */
	uint32_t size; /* sizeof(struct rddr_diff_plugin) as the plugin was compiled */
	const char *name;

	/*
	 * Reads diff-params (JSON text of an object, "{}" when there are none) into whatever the plugin's sessions want
	 * to share (*params, may stay NULL). 0, or -EINVAL with a message that names the path of the wrong key in err.
	 * Main thread. NULL: any params are refused.
	 */
	int (*validate_params)(const char *json, void **params, char *err, size_t errlen);
	void (*free_params)(void *params);

	/* A session begins (*state may stay NULL) and ends. 0 or -errno; a session whose plugin fails to start is
	 * denied. */
	int (*create)(const struct rddr_diff_create *args, void **state);
	void (*destroy)(void *state);

	/*
	 * Judges what the n streams said. Called when bytes or an end arrived; called again as long as it makes
	 * progress. When every stream is consumed whole and the ends differ, the host sees to that itself.
	 */
	enum rddr_verdict (*diff_traffic)(void *state, const struct rddr_view views[], unsigned n,
					  struct rddr_diff_result *result);
	/* Decides what of the lone end's bytes the many get. */
	enum rddr_modify (*modify_traffic)(void *state, const struct rddr_view *view,
					   struct rddr_modify_result *result);
	/*
	 * Emits (host->emit) what the denied end is to see (outgoing: to each of the many); the connection is closed
	 * behind it. Nothing emitted: the
	 * connection is reset, so that nobody can take what was sent before for a whole answer.
	 */
	void (*render_denial)(void *state, const struct rddr_denial *denial);

	/* The protocol's names in TLS's ALPN (RFC 7301), separated by blanks, the preferred one first: "http/1.1". No
	 * other one is agreed on, with clients or instances. NULL: the protocol has none, and none is spoken of. */
	const char *alpn;

	/*
	 * Outgoing services: what one instance's connection says next, seen from a neutral point on. With this
	 * operation connections are paired exchange by exchange: a session begins with one connection of each instance
	 * that say the same, sees what they said from the neutral point on, and ends when the plugin calls
	 * host->neutral (in modify_traffic, with the last of the answer; or in diff_traffic). Called without a session,
	 * on any thread. NULL: whole connections are paired, by their first bytes, or by their order where they say
	 * nothing.
	 */
	enum rddr_opens (*opening)(const struct rddr_opening *opening, struct rddr_opening_result *result);

	/*
	 * Whether what validate_params made of diff-params fits the service: a list that has to have one item for each
	 * instance has as many. Called right after it. 0, or -EINVAL with a message that names the path of the wrong
	 * key in err; then free_params is called as ever. Main thread. NULL: it fits.
	 */
	int (*check_params)(const void *params, const struct rddr_diff_service *service, char *err, size_t errlen);
};

/* What the shared object exports, also when it is compiled with hidden visibility, or in C++. */
extern const struct rddr_diff_plugin rddr_diff_plugin __attribute__((visibility("default")));

#ifdef __cplusplus
}
#endif
#endif
