/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * admission_own.h - what admission.c (the queue) and admission_attempts.c (what is done about a SYN) share.
 */
#ifndef RDDR_ADMISSION_OWN_H
#define RDDR_ADMISSION_OWN_H

#include <pthread.h>

#include "admission.h"
#include "admission_packet.h"
#include "config.h"
#include "loop.h"

#define ATTEMPT_BUCKETS 16384
#define TALLY_BUCKETS	4096

struct mnl_socket;
struct tally;

/* One for the daemon. */
struct admission {
	struct worker *worker;
	struct mnl_socket *queue; /* NULL: not bound */
	bool fail_open;		  /* as it was bound */
	struct watch watch;
	struct timer retry; /* binding is tried again */
	int said;	    /* the error that binding failed with, so that it is said once */
	int raw4, raw6;	    /* for resets; -1: not permitted */
	bool said_raw;
	bool over; /* the worker drains: nothing is held any more */

	/* Other workers look for attempts and take them out: the two tables, and the state of what is in them. */
	pthread_mutex_t lock;
	struct attempt *attempts[ATTEMPT_BUCKETS];
	struct tally *tallies[TALLY_BUCKETS];
	uint32_t n_attempts;
	uint64_t seed;
};

enum syn_verdict { SYN_PASS, SYN_DROP, SYN_HOLD };

/* What is to become of a packet that the queue holds; SYN_HOLD: rddr_admission_verdict comes later, or came already. */
enum syn_verdict rddr_admission_syn(struct admission *a, const struct syn *syn, uint32_t packet);
/* Every attempt ends: SYNs that are held go on, connections that nobody took are closed. */
void rddr_admission_abandon(struct admission *a);

/* ---- admission.c ---- */

void rddr_admission_verdict(struct admission *a, uint32_t packet, bool accept);
/* Sends the reset that answers the SYN. */
void rddr_admission_refuse(struct admission *a, const struct syn *syn);

#endif
