/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * handshake.h - what an end's transport has to agree on before bytes flow, as the session sees it.
 *
 * An end that we dialled stays in ENDPOINT_DIALLING until it is done, so that the gate stays shut and the connect
 * deadline runs on; when it fails, the instance counts as missing. An end that was accepted is open, though nothing is
 * read from it or sent to it yet: a denial can be queued. It has the connect deadline for itself.
 */
#ifndef RDDR_HANDSHAKE_H
#define RDDR_HANDSHAKE_H

#include <stdbool.h>

#include "rddr_diff.h"

struct endpoint;
struct rddr_session;
struct tls_conf;

/* Gives every end of a new session the transport that the config has for it. */
void rddr_handshake_prepare(struct rddr_session *s);

/* Gives an end that is no session's yet the transport that it is accepted with. conf may be NULL. */
void rddr_handshake_accept(struct endpoint *ep, const struct tls_conf *conf);

/* An end that is shaking begins with it. May close the session. */
void rddr_handshake_begin(struct endpoint *ep);
/* An event came for an end that is shaking. May close the session; goes on with it when it is done. */
void rddr_handshake_step(struct endpoint *ep);

/* The deadline has passed for this end; for every end that was accepted and is shaking still. */
void rddr_handshake_late(struct endpoint *ep);
void rddr_handshake_late_all(struct rddr_session *s);

/* For host->tls. */
enum rddr_tls rddr_handshake_state(const struct endpoint *ep);
/* For host->start_tls: false when the end's config has nothing to start, or it has begun. */
bool rddr_handshake_start(struct endpoint *ep);
/* Behind a call of the plugin: false when an instance that begins TLS had said more in clear than the plugin took. That
 * is a divergence, and was dealt with. */
bool rddr_handshake_clean(struct rddr_session *s);

#endif
