/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence.h - the record of each divergence: one JSON line, in a file with a size cap and rotation.
 *
 * Records are made on the worker and written by the scribe. Excerpts are bounded. The fields are in rddr-evidence(5).
 */
#ifndef RDDR_EVIDENCE_H
#define RDDR_EVIDENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "config.h"
#include "rddr_diff.h"

#define EVIDENCE_REFERENCE   20	   /* bytes, with the terminator */
#define EVIDENCE_EXCERPT_MAX 16384 /* bytes of each side; the config's number is cut to it */
#define EVIDENCE_EXCERPT_SUM 65536 /* bytes of all sides; each gets an equal part */

struct evidence_side {
	const char *name;	 /* the instance's */
	struct addr address;	 /* of the server, as dialled; all zero: none was */
	const char *state;	 /* "open", "ended", "reset", "refused", "timed-out", "late", "absent" ... */
	const uint8_t *excerpt;	 /* bytes from a little before the difference on; may be NULL */
	size_t excerpt_len;	 /* what is past rddr_evidence_excerpt() is left out */
	uint64_t excerpt_offset; /* of its first byte in the stream */
	uint64_t received;	 /* bytes that came from it so far */
};

struct evidence {
	const char *service;
	const char *action; /* "deny" or "report" */
	const char *reason; /* see rddr_evidence_reason_name */
	struct addr client, destination;
	uint64_t session;	 /* its number */
	uint64_t request;	 /* its number in the session, from 1; 0: none was made */
	uint64_t offset;	 /* in the streams, of the first difference */
	const char *where, *why; /* may be NULL */
	const char *correlation; /* names the exchange to other services; NULL: it has none */
	unsigned n;		 /* sides */
	int minority;		 /* the one instance that differs from all others that agree; -1 when there is none */
	const struct evidence_side *sides;
};

/* Opens the file (its folder is made when missing). Main thread. 0 or -errno. With an empty file name nothing is kept.
 */
int rddr_evidence_open(const struct evidence_conf *conf);
/* A reload's changes; the same file goes on, and is opened anew when it was moved away. On failure everything stays as
 * it was. */
int rddr_evidence_reopen(const struct evidence_conf *conf);
/* Writes what is queued first. */
void rddr_evidence_close(void);

/* A new reference ("20261122-0a1b2c3d4e"): unique on this host, not to be guessed from others. Any thread. */
void rddr_evidence_reference(char out[EVIDENCE_REFERENCE]);

/*
 * Queues the record. False: it was dropped, which the caller counts; so it is where nothing is kept. Any thread. One
 * that was queued and then could not be written is counted as evidence_dropped of the daemon's own set.
 */
bool rddr_evidence_record(const char *reference, const struct evidence *e);

/* Bytes of each side that a record holds. */
uint32_t rddr_evidence_excerpt(void);

const char *rddr_evidence_reason_name(enum rddr_denial_reason reason);

/*
 * Newest first, at most limit lines of the kept files, or the one with the reference (NULL: all): calls each with a
 * JSON line, an object for certain. each must not call this module. Waits until what is queued is written. Main thread.
 * 0, -ENOENT (no record has the reference) or -errno.
 */
int rddr_evidence_read(const char *reference, unsigned limit, void (*each)(void *ctx, const char *line), void *ctx);

#endif
