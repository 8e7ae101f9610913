/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admission.h - a client's SYN is held while the instances are dialled, and answered as they answer.
 *
 * divert marks the SYN of a new connection to a service with `admission`; one rule of the packet filter hands what is
 * so marked to the daemon, in a queue of the kernel's (NFQUEUE). While the SYN waits there the instances are dialled.
 * Have all of them answered, the SYN goes on to the listener, and the session that its connection becomes takes the
 * connections over. Was one refused, the client is sent a reset; did one not answer, the SYN is dropped. So a client
 * sees a server that is closed or dead as it would without RDDR.
 *
 * Whatever goes wrong with admission itself leads to the ordinary way: a SYN that is not held reaches the listener, and
 * the session dials by itself. One object for the whole daemon; the queue, the dials and the timers belong to worker
 * 0's thread. Where not said otherwise a function is for that thread.
 */
#ifndef RDDR_ADMISSION_H
#define RDDR_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "addr.h"
#include "chainer.h"

struct admission;
struct attempt;
struct config;
struct service;
struct worker;

/* What became of one instance's dial. */
struct admitted {
	struct attempt *attempt; /* while the attempt lives */
	struct dial dial;	 /* fd: connected, watched by nobody, the owner's; or -1 */
	enum dial_outcome outcome;
};

/* Opens what needs rights that the daemon gives up (CAP_NET_RAW, for resets); without them it says so when it matters.
 * Main thread. 0 or -ENOMEM. */
int rddr_admission_new(struct admission **out);
/* After the workers. Takes NULL, nulls the pointer. */
void rddr_admission_free(struct admission **a);

/* The worker whose loop all of it runs on. Before that is started. 0 or -ENOMEM. */
int rddr_admission_begin(struct admission *a, struct worker *worker);
/* The worker has another config: begins to hold SYNs, or stops. Nothing, on another worker than that one. */
void rddr_admission_reconfigure(struct admission *a, const struct worker *worker);
/* What is held goes on the ordinary way, and no more is held. Nothing, on another worker. */
void rddr_admission_drain(struct admission *a, const struct worker *worker);

/*
 * Any worker: the dials of the attempt that this connection came of, one for each instance; NULL when there is none.
 * The caller frees them with rddr_admission_drop.
 */
struct admitted *rddr_admission_take(struct admission *a, const struct service *service, const struct addr *client,
				     const struct addr *destination);
/* Any thread. Resets the n connections that nobody took (fd >= 0). Takes NULL, nulls the pointer. */
void rddr_admission_drop(struct admitted **admitted, unsigned n);

/* Any thread: how many attempts of the service are under way, or wait for their client. */
uint32_t rddr_admission_held(struct admission *a, const struct service *service);

#endif
