/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon.h - what the main thread holds: the config, the workers, the listening sockets, the steering, the control
 * socket.
 *
 * daemon.c starts and ends it all and keeps the steering up; reload.c brings a new config in; takeover.c takes the
 * listening sockets of a running daemon over, or gives its own away; commands.c answers the operator.
 */
#ifndef RDDR_DAEMON_H
#define RDDR_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config.h"
#include "loop.h"
#include "worker.h"

struct admission;
struct checker;
struct control;
struct resolver;
struct plugin;
struct steering;

struct daemon_options {
	const char *config;
	const char *control; /* overrides the config's; NULL: does not */
	const char *plugin_dir;
	const char *pin_dir;
	bool has_log_level; /* the command line's; the config's does not count then */
	bool takeover;
};

/* A listening socket as the main thread knows it; the descriptor is its worker's to close. */
struct daemon_socket {
	int fd;
	sa_family_t family;
	unsigned worker;
	unsigned slot; /* steered: its place in the SOCKMAP; not a worker's number when it was inherited from more
			  workers */
	char *service; /* the listening form: its name; NULL: steered */
	struct addr address;
};

struct daemon {
	const struct daemon_options *options;
	struct loop *loop;
	struct config *config;
	uint64_t started; /* ms on the loop's clock */
	struct worker *workers[WORKERS_MAX];
	unsigned n_workers;
	struct resolver *resolver;
	struct checker *checker; /* of this config's hosts */
	struct offload *offload; /* the workers' sessions compute there */
	struct admission *admission;

	struct daemon_socket *sockets;
	size_t n_sockets;
	size_t n_opened; /* behind those: opened for a config that is not in use yet, no worker's */

	struct steering *steering, *retired; /* retired: until every worker has let go of it */
	bool published;			     /* the tables hold this config */
	uint64_t interfaces;		     /* ... with the config's interfaces as they were then */
	int steering_error;		     /* the last one, so that it is said once */
	struct timer upkeep;

	struct control *control;
	int signals;
	struct watch signals_watch;

	bool inherited; /* sockets of a daemon that still runs */
	bool reloading, ending;
	bool reload_again; /* asked for while reloading */
	pthread_t reload;  /* while reloading */
	unsigned draining; /* workers that have not drained yet */
};

/* Checks what only the daemon can (plugins and their params, room in the kernel's table) and fills in the services. 0;
 * or -EINVAL, -ENOSPC (no room) after the messages. */
int rddr_daemon_bind(struct config *config, const char *plugin_dir);

/* Starts everything; on failure what was started is ended by rddr_daemon_end. 0 or -errno, logged. */
int rddr_daemon_begin(struct daemon *d, const struct daemon_options *options, struct config *config);
/* Runs until the end was asked for and the sessions have ended. */
int rddr_daemon_run(struct daemon *d);
void rddr_daemon_end(struct daemon *d);

/* Stops accepting and drains, then the loop stops. hand_over: another daemon has the traffic now. */
void rddr_daemon_drain(struct daemon *d, bool hand_over);

/* Runs fn(ctx) on each worker, and then done(d) on the main thread once all have. 0 or -ENOMEM. */
int rddr_daemon_barrier(struct daemon *d, void (*done)(struct daemon *d));

/*
 * How many descriptors the sessions of one worker may have open under this config; raises the soft limit to the hard
 * one. 0, or -EMFILE, logged: it is less than one session needs. fds gets it in either case; NULL: it is not wanted.
 */
int rddr_daemon_fds(const struct daemon *d, const struct config *config, uint32_t *fds);
/* Puts the config's tables and the listeners into the kernel, when something is attached. */
void rddr_daemon_publish(struct daemon *d);

/* ---- daemon_sockets.c ---- */

/* Opens the listening sockets that the config needs and that are not there; all of them, or none: 0 or -errno,
 * logged. */
int rddr_daemon_sockets_open(struct daemon *d, const struct config *config);
/* Gives the workers those that were opened, and closes those that the config in use does not need. 0 or -errno. */
int rddr_daemon_sockets_use(struct daemon *d);
/* Closes those that were opened. */
void rddr_daemon_sockets_discard(struct daemon *d);

/* ---- reload.c ---- */

/* Reads the config again, off the loop; then(ctx, error) comes on the main thread: NULL, or what was wrong. -EBUSY
 * while one is under way. */
int rddr_reload(struct daemon *d, void (*then)(void *ctx, const char *error), void *ctx);
/* The same with the outcome logged; while one is under way, which may have read an older file, once more after it. */
void rddr_reload_later(struct daemon *d);

/* ---- takeover.c ---- */

/* Takes the listening sockets of the daemon that answers at path into d->sockets; *steers: connections are steered to
 * it. 0, -ENOENT or -ECONNREFUSED (nobody is there) or -errno. */
int rddr_takeover_inherit(struct daemon *d, const char *path, bool *steers);
/* Tells it that the traffic is ours now. */
int rddr_takeover_retire(const char *path);
/* Tells it that it is not, so that it puts its own tables and listeners back. */
void rddr_takeover_give_up(struct daemon *d, const char *path);

/* ---- commands.c ---- */

int rddr_commands_begin(struct daemon *d, const char *path);

/* ---- commands_hosts.c: commands, as control.h has them ---- */

struct json_object;
struct reply;
void rddr_commands_hosts(void *ctx, struct reply *reply, struct json_object *request);
void rddr_commands_next(void *ctx, struct reply *reply, struct json_object *request);

/* ---- privileges.c ---- */

/* Keeps only the capabilities that the daemon needs later on, and forbids gaining any. 0 or -errno. */
int rddr_privileges_drop(void);

#endif
