/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transport_tls.h - TLS 1.2 and 1.3 by OpenSSL: the transport, and the contexts that the config describes.
 *
 * A context belongs to one generation of the config and dies with it, so that certificates are replaced under running
 * sessions. What outlives a generation belongs to the process: the keys of session tickets, by the service's name.
 *
 * Private keys are read while the config is: at the start before privileges are dropped, at a reload with what is left
 * of them. Where a reload may not read a key that was read before, the one in memory goes on if it fits the chain.
 *
 * A stream ends in order with close_notify. One that ends without is torn, whatever the socket says: nobody can tell
 * whether it is whole.
 */
#ifndef RDDR_TRANSPORT_TLS_H
#define RDDR_TRANSPORT_TLS_H

#include "config.h"
#include "transport.h"

/*
 * Reads the files that the config names and makes the contexts; plugins have to be there already (ALPN). Main thread.
 * 0, -EINVAL after having complained (rddr_config_complain), or -ENOMEM.
 */
int rddr_tls_bind(struct config *config);

/* Releases the contexts of a service. Any thread, without sessions of that generation. */
void rddr_tls_unbind(struct service *service);

/* Warns of private keys that a reload could not read any more. Main thread, after privileges were dropped. */
void rddr_tls_check_rights(const struct config *config);

#endif
