/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * scribe.h - one thread that writes lines to files, so that no worker ever waits for a disk or a pipe.
 *
 * Lines go through one bounded queue. A full queue refuses the line (the caller counts it); nothing blocks. The thread
 * takes no signals: a writer on it sees EPIPE, never SIGPIPE.
 */
#ifndef RDDR_SCRIBE_H
#define RDDR_SCRIBE_H

#include <stdbool.h>
#include <stddef.h>

/* Called on the scribe's thread with one line as it was queued (not terminated). It may queue lines itself. */
typedef void (*scribe_fn)(void *ctx, const char *line, size_t len);

/* Starts the thread, with room for capacity bytes of queued lines. 0 or -errno (-EALREADY: it runs). Once per process.
 */
int rddr_scribe_start(size_t capacity);

/* Writes what is queued, then ends the thread. Harmless when it does not run. Never on the scribe's own thread. */
void rddr_scribe_stop(void);

/* Copies the line into the queue. False: the thread does not run, or the queue is full. ctx must outlive the scribe. */
bool rddr_scribe_put(scribe_fn write, void *ctx, const char *line, size_t len);

/* Waits until everything queued so far has been written. Never on a worker. */
void rddr_scribe_flush(void);

/* Whether the thread runs: a line that was refused then met a full queue. */
bool rddr_scribe_running(void);

/* Whether at least half of the queue is free. */
bool rddr_scribe_has_room(void);

#endif
