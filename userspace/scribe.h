/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scribe.h - one thread that writes lines to files, so that no worker ever waits for a disk or a pipe.
 *
 * Lines go through one bounded queue. A full queue refuses the line (the caller counts it); nothing blocks.
 */
#ifndef RDDR_SCRIBE_H
#define RDDR_SCRIBE_H

#include <stdbool.h>
#include <stddef.h>

/* Called on the scribe's thread with one line as it was queued (not terminated). */
typedef void (*scribe_fn)(void *ctx, const char *line, size_t len);

/* Starts the thread, with room for capacity bytes of queued lines. 0 or -errno. Once per process. */
int rddr_scribe_start(size_t capacity);

/* Writes what is queued, then ends the thread. Harmless when it does not run. */
void rddr_scribe_stop(void);

/* Copies the line into the queue. False: the thread does not run, or the queue is full. ctx must outlive the scribe. */
bool rddr_scribe_put(scribe_fn write, void *ctx, const char *line, size_t len);

/* Waits until everything queued so far has been written. Never on a worker. */
void rddr_scribe_flush(void);

#endif
