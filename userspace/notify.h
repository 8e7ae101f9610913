/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * notify.h - what the service manager is told: which process is the service's, that it is ready, that it lives, that
 * it ends. The protocol is that of sd_notify(3): datagrams of lines to the socket that NOTIFY_SOCKET names. Without
 * that variable nothing is sent.
 */
#ifndef RDDR_NOTIFY_H
#define RDDR_NOTIFY_H

#include <stdbool.h>

struct daemon;

/* Sends one message of the protocol, "READY=1". 0, also when there is nobody to tell, or -errno, logged. */
int rddr_notify_send(const char *message);

/* From now on this process is the service's, whatever happens to the one before. To be called before that one is told
 * to end. 0 or -errno. */
int rddr_notify_main(void);

/* Says that the daemon is ready and, from then on, that it lives: as long as the main thread and every worker come
 * round. */
void rddr_notify_begin(struct daemon *d);

/* Says that the daemon ends; or, having handed over, no more at all. */
void rddr_notify_ending(bool handed_over);

#endif
