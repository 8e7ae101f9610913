/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * greeting.h - what a trusted balancer says of its connection before anything else: the header of the PROXY protocol.
 *
 * A connection waits here until the header is whole, for deadlines.connect at most; then its session begins, with the
 * client that the header names. One without a good header is reset.
 */
#ifndef RDDR_GREETING_H
#define RDDR_GREETING_H

#include <stdbool.h>

#include "addr.h"
#include "config.h"

struct greeting;
struct worker;

/* Whether connections from there begin with a header. */
bool rddr_greeting_expected(const struct service *service, const struct addr *peer);

/* Takes fd over; the descriptors of the whole session are counted already. */
void rddr_greeting_begin(struct worker *worker, struct config *config, struct service *service, int fd,
			 const struct addr *peer, const struct addr *destination);

/* Resets those that wait. */
void rddr_greeting_close_all(struct worker *worker);

#endif
