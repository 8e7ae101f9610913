/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * body.h - compares N payloads: what a protocol's framing carries, without the framing and decoded.
 *
 * There are three ways. Bytes: position by position (noise as in noise.h). Lines: text, line by line; noise are spans
 * within a line, which may differ in length (spans.h). JSON: whole documents, key by key, in whatever order the keys
 * come; noise are values.
 *
 * A comparator streams. It is shown what is there of each payload and not consumed yet, says how much of it was judged,
 * and is called again when there is more, or as long as it consumes. What it consumes of instance 0 may go out at once.
 * Neither the verdict nor what goes out in the end depends on how the payloads arrive, as long as the user tells its
 * host what a call consumed before it makes the next one: noise is weighed against what went before.
 *
 * A comparator belongs to one payload of one session, and is used by one thread.
 */
#ifndef RDDR_BODY_H
#define RDDR_BODY_H

#include "rddr_diff.h"
#include "rules.h"
#include "slice.h"

enum body_kind {
	BODY_BYTES,
	BODY_LINES,
	BODY_JSON,
};

/* What is there of one instance's payload. */
struct body_view {
	const uint8_t *data; /* valid during the call only; NULL where len is 0 */
	size_t len;	     /* bytes that are not consumed yet */
	bool ended;	     /* nothing comes behind them; once set it stays so */
	bool absent;	     /* this instance takes no more part; its view is empty and is passed over */
};

/* Filled in by each call. */
struct body_result {
	size_t consumed[RDDR_MAX_INSTANCES]; /* bytes of each view that need not be shown again; they differ where noise
						differs in length; all of consumed[0] may go out */
	bool undecided; /* with RDDR_DIVERGE: nothing is known to differ, but it cannot be told within the limit */
	struct rddr_finding finding; /* with RDDR_DIVERGE; where is "line 12", "/items/3/id", "byte 70"; offset counts
					from the beginning of the views of this call */
};

/*
 * What a comparator asks its user; every function gets conf->ctx and is called from within rddr_body_compare only.
 * Fields are stable texts, the same for the same place in every answer of the service: "line:<hash of what the pair
 * agrees on in the line>", "json:/items/0/id". They and the values are valid during the call only.
 */
struct body_host {
	/* The next run bytes of instance 0 are noise of the pair. False: that is past the budget. As
	 * rddr_host.charge_noise. */
	bool (*charge_noise)(void *ctx, size_t run);
	/*
	 * The pair showed noise in this field, and the others' values fit: values[i] is what instance i has there
	 * (empty for one that is absent). Several calls for one field: there are several spans. A JSON string's value
	 * is without its quotes and escapes; it may hold any bytes. values is NULL where it is not sure that they stand
	 * in the same place: then the field is noise, and they are not to be taken for each other. NULL: not asked for.
	 */
	void (*noise)(void *ctx, const char *field, const struct slice values[], unsigned n);
	/* The pair agrees in this field and others do not: was it noise lately? NULL: never. */
	bool (*was_noise)(void *ctx, const char *field);
	/* The same, where no difference depends on it. NULL: never. */
	bool (*knows_noise)(void *ctx, const char *field);
	/* A rule says that this field is to be ignored, a token, or to be translated; values as above, and as they are
	 * written where they are no single value. NULL: not asked for. */
	void (*declared)(void *ctx, const struct field_rule *rule, const char *field, const struct slice values[],
			 unsigned n);
};

struct body_conf {
	enum body_kind kind;
	unsigned n;	/* instances, 1 to RDDR_MAX_INSTANCES */
	bool do_filter; /* instances 0 and 1 are the filter pair; n is at least 3 */
	/* Bytes: what a view holds at most when it is full, and what a line, or a JSON document, may have; what is
	 * longer is undecided. The comparator's own memory is a small multiple of it. */
	size_t limit;
	size_t noise_run;	      /* bytes: the longest run of noise that charge_noise lets pass; 0: not known */
	const struct rules *rules;    /* stays the caller's, and valid as long as the comparator; NULL: none */
	const struct body_host *host; /* likewise, and never NULL; charge_noise is needed where do_filter is set */
	void *ctx;
};

struct body; /* opaque */

/* 0, -EINVAL (n, do_filter or limit make no sense) or -ENOMEM; *out is left alone then. */
int rddr_body_new(const struct body_conf *conf, struct body **out);

/* Takes NULL, and nulls the pointer. */
void rddr_body_free(struct body **b);

/*
 * Judges what is there. RDDR_AGREE: something was consumed; call again. RDDR_WAIT: nothing was; wait for more bytes or
 * an end. When every view is ended and empty the payloads agreed to their ends (that, too, is RDDR_WAIT: there was
 * nothing to consume). RDDR_DIVERGE: the finding says where and why; nothing was consumed, and the comparator is not to
 * be called again.
 */
enum rddr_verdict rddr_body_compare(struct body *b, const struct body_view views[], unsigned n,
				    struct body_result *result);

#endif
