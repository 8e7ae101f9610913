/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * target.h - the server that a session's protocol names, for the instances with chainer inband.
 *
 * A plugin names it (host->target) at a neutral point. Its name is resolved once; every such instance is then dialled
 * at the addresses that came of it, and dialled there again until another target is named.
 */
#ifndef RDDR_TARGET_H
#define RDDR_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "chainer.h"

struct rddr_session;
struct service;
struct target;

/* Whether some instance of the service is reached where the protocol says. */
bool rddr_target_wanted(const struct service *service);

/* host->target. */
int rddr_target_name(struct rddr_session *s, const char *host, uint16_t port);

/* After a call of the plugin's in which a target was named: resolves it, dials. */
void rddr_target_run(struct rddr_session *s);

/* Puts the addresses into a request. */
void rddr_target_fill(const struct rddr_session *s, struct dial_request *request);

/* Why the name has no address; NULL: it has one, or there is no name. */
const char *rddr_target_unresolved(const struct rddr_session *s);

/* The client has left, and nobody is connected who would still say something. */
bool rddr_target_left_alone(const struct rddr_session *s);

/* The session ends: no answer comes any more. The memory is freed by the second. */
void rddr_target_forget(struct rddr_session *s);
void rddr_target_free(struct rddr_session *s);

#endif
