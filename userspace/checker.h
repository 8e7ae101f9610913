/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * checker.h - asks the hosts of failover instances whether they live, where the config says so (check).
 *
 * On the main thread's loop, from this host's own address, never a forged one: whether servers find their way back to
 * clients is not what is asked. What is found is known to all workers at once (hosts.h); a host whose checks fail is
 * passed over like one that failed a session, until a check succeeds.
 */
#ifndef RDDR_CHECKER_H
#define RDDR_CHECKER_H

#include <stddef.h>

struct checker;
struct config;
struct loop;

/* How many hosts are checked, each over a connection of its own. */
size_t rddr_checker_hosts(const struct config *config);
/* Checks the config's hosts until it is freed; holds a reference to the config. 0 or -ENOMEM. */
int rddr_checker_new(struct loop *loop, struct config *config, struct checker **out);
/* What the checks found is forgotten where no other checker asks the same host. Takes NULL, nulls the pointer. */
void rddr_checker_free(struct checker **checker);

#endif
