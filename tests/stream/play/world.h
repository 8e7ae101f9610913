/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * world.h - a daemon with some services in the listening form, all of which dial the servers of one stage.
 */
#ifndef STREAM_WORLD_H
#define STREAM_WORLD_H

#include <stddef.h>
#include <stdint.h>

#include "daemon.h"
#include "play.h"

#define SERVICES 24

struct CMUnitTest;

struct offer {
	char name[24];
	unsigned n;
	int hold; /* keeps the port ours */
	uint16_t port;
	char *options;
};

struct world {
	struct child daemon;
	struct stage stage;
	struct offer offers[SERVICES];
	unsigned n_offers;
	char *globals;
};

/*
 * Runs a group of tests, and then all of it again in worlds whose clients and servers speak TLS, but for those tests
 * that have world_in_clear as their initial state. tests: CMUnitTest, n of them. The exit status.
 */
int world_run(const char *name, const struct CMUnitTest *tests, size_t n, int (*begin)(void **), int (*end)(void **));
extern char world_in_clear;

/* A folder, and servers; a world of family AF_INET or AF_INET6. globals: lines of the config; may be "". */
void world_init(struct world *w, int family, unsigned servers, const char *globals);
/* Adds a service with n instances; options: the other keys of the service, as YAML in braces' form, "key: value" lines
 * parted by '|'. */
void world_add(struct world *w, const char *name, unsigned n, const char *options);
void world_drop(struct world *w, const char *name);
void world_write(struct world *w);
void world_start(struct world *w);
uint16_t world_port(const struct world *w, const char *name);
void world_free(struct world *w);

/* A play with a service: connects and gathers the servers. */
void world_play(struct world *w, struct play *p, const char *service);
/* The same without waiting for the servers. */
void world_connect(struct world *w, struct play *p, const char *service);

/* Plays on until a counter has at least this value. */
void world_play_until_counted(struct world *w, struct play *p, const char *service, const char *name, uint64_t value);

/* A play is over: nobody heard what was not said, and its session ends. */
void world_finish(struct world *w, struct play *p);

/* What a record of evidence has to say. */
struct expected {
	const char *action, *reason;
	int64_t offset;	 /* -1: any */
	int minority;	 /* -1: none; -2: any */
	const char *why; /* a part of it; NULL: any */
};
/*
 * Checks the newest record of the play's client in a list of records (NULL: the newest records are asked for). what:
 * for the message.
 */
void world_check_evidence(struct world *w, json_object *list, const struct play *p, const char *service,
			  const struct expected *e, const char *what);

#endif
