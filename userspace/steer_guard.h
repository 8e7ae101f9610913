/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer_guard.h - work on the pinned state that is done whole, or not at all.
 *
 * The work runs in a child process that holds a lock; signals wait until it comes to a step, where it gives up and
 * undoes what it did. Should the child be killed outright, the parent puts right what it left. Should the parent be
 * killed, the child ends its work.
 */
#ifndef RDDR_STEER_GUARD_H
#define RDDR_STEER_GUARD_H

struct steer_options;

/* Runs work(ctx) under the lock of the options' directory. Returns its exit status, or 1. */
int rddr_steer_guarded(const struct steer_options *options, int (*work)(void *ctx), void *ctx);

/*
 * Says which step comes next. 0; -EINTR with a message when a signal has come: the caller undoes. For tests, the
 * environment's RDDR_STEER_FAIL_AT=STEP makes the step fail with -EIO, and STEP:SIGNAL raises the signal there.
 */
int rddr_steer_step(const char *name);

/*
 * Puts right what work on dir that ended half-way has left: removes DIR~new, and gives the link the program that is
 * pinned beside it. 0 or -errno with a message. The lock is held.
 */
int rddr_steer_recover(const char *dir);

#endif
