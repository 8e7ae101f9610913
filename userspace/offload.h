/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * offload.h - computations that take long, done by a few threads beside the workers.
 *
 * A session hands in a job (host->offload in rddr_diff.h says what it may do) and goes on. The job comes back to the
 * session's worker as a message. It holds the config's generation, and with it the plugin's code and params, until it
 * has come back, so neither the session's end nor a reload need to wait for it. Threads are made when the first job
 * comes.
 */
#ifndef RDDR_OFFLOAD_H
#define RDDR_OFFLOAD_H

#include <stdbool.h>

#define OFFLOAD_THREADS 2
/* Jobs that wait at once, of all sessions; more are refused. */
#define OFFLOAD_WAITING 1024

struct offload;
struct rddr_session;

/* 0 or -ENOMEM. */
int rddr_offload_new(struct offload **out);
/* Waits for the jobs that are being worked on; the others go back to their workers undone, and new ones are refused.
 * The workers' loops are still there. Takes NULL. */
void rddr_offload_stop(struct offload *o);
/* After rddr_offload_stop, when no worker is left. Takes NULL, nulls the pointer. */
void rddr_offload_free(struct offload **o);

/* ---- on the session's worker ---- */

/* host->offload. */
bool rddr_offload(struct rddr_session *s, void (*work)(void *job), void (*done)(void *state, void *job), void *job);
/* The session ends: nothing comes back to it any more. */
void rddr_offload_forget(struct rddr_session *s);

#endif
