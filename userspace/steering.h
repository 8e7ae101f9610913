/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steering.h - the daemon's side of the pinned kernel programs. The only module, with rddr-steer, that touches libbpf.
 *
 * The programs, their maps and links are pinned under a directory of bpffs and belong to rddr-attach and rddr-detach. A
 * daemon opens the maps, publishes its listeners and services, and beats its heart. Attached again under a running
 * daemon, the maps are others: rddr_steering_current tells. Main thread only, but for rddr_steering_beat.
 */
#ifndef RDDR_STEERING_H
#define RDDR_STEERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct steering;

#define RDDR_STEERING_PIN_DIR "/sys/fs/bpf/rddr"

/* Opens what is pinned under dir. 0, -ENOENT when nothing is attached there, -EPROTO when it is of another version, or
 * -errno. */
int rddr_steering_open(const char *dir, struct steering **out);
/* Lets go of the descriptors; nothing in the kernel changes. */
void rddr_steering_close(struct steering **steering);

/* Whether the maps that are open are still the pinned ones. */
bool rddr_steering_current(const struct steering *steering);

/* Puts a listening socket of a worker (0 ...) into the SOCKMAP in place of what was there. family: AF_INET or AF_INET6.
 */
int rddr_steering_publish_listener(struct steering *steering, unsigned worker, int family, int fd);
/* How many workers get connections: slots behind are emptied. Called once all their listeners are published. */
int rddr_steering_set_workers(struct steering *steering, unsigned workers);

/* Replaces the tables of both programs at once by this config's rules. -ENOSPC (with a message that says what is full),
 * or -errno. */
int rddr_steering_publish_services(struct steering *steering, const struct config *config);

/* What the interfaces that the config names are to the kernel now: another number when one has come, gone, or come
 * again, so that the tables have to be published anew. */
uint64_t rddr_steering_interfaces(const struct config *config);

/*
 * The same in two steps: builds the tables aside, so that everything that can go wrong has gone wrong, then exchanges
 * them. A built table is for any steering, and is freed by whoever built it, exchanged or not. Takes NULL.
 */
struct steering_services;
int rddr_steering_build_services(const struct config *config, struct steering_services **out);
int rddr_steering_exchange_services(struct steering *steering, const struct steering_services *services);
void rddr_steering_free_services(struct steering_services **services);

/* Whether the tables that are in use hold any rule. */
bool rddr_steering_steers(const struct steering *steering);
/* Whether some worker, whosever it is, says that it is alive. */
bool rddr_steering_live(const struct steering *steering);

/* Says that a worker is alive; one store to shared memory, any thread. */
void rddr_steering_beat(struct steering *steering, unsigned worker);

/* Forgets every worker's heartbeat, so that when-down decides at once (an orderly end). */
void rddr_steering_rest(struct steering *steering);

/* The kernel programs' counters: names ("divert_syn_marked") and values, summed over CPUs. Calls each once. 0 or
 * -errno. */
int rddr_steering_counters(struct steering *steering, void (*each)(void *ctx, const char *name, uint64_t value),
			   void *ctx);

#endif
