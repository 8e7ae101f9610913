/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config.h - the daemon's configuration, read from YAML and checked whole before anything starts.
 *
 * Two forms are accepted: the gateway form (`services:`) and the original RDDR file (`addrlist`, `incoming-proxy`,
 * ...). Both become the same structures. A loaded config is immutable and reference counted: sessions keep the one they
 * began with. Every key, its default and its bounds are in rddr.yaml(5).
 */
#ifndef RDDR_CONFIG_H
#define RDDR_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "chainer.h"
#include "log.h"
#include "rddr_diff.h"
#include "resolver.h"

struct access;
struct access_zones;
struct plugin;
struct metrics_set;
struct tables;
struct tls_conf;

/* Where a key stands, for messages that come later. Lines and columns count from 1. */
struct config_mark {
	unsigned line, column;
};

enum when_down { WHEN_DOWN_CLOSED, WHEN_DOWN_OPEN };
enum existing { EXISTING_KEEP, EXISTING_RESET };

/* One interception: what packets a service takes. */
struct rule {
	struct prefix destination;
	uint16_t port;	       /* 0: all */
	char interface[16];    /* empty: any that is attached */
	struct prefix clients; /* family AF_UNSPEC: all; else the destination's */
	struct service *service;
	struct config_mark mark; /* of the interception that it was made of */
};

struct instance {
	char *name;
	struct chainer_conf chainer;
	struct tls_conf *tls; /* incoming: how it is dialled; NULL: in clear. See config_tls.h */
	bool tls_given;	      /* it has a key tls of its own */
	/* Of an outgoing service: where its connections come from, or (has_listen) which address of ours they go to. */
	struct prefix *clients;
	size_t n_clients;
	struct addr listen;
	bool has_listen;
};

/* How the connections of an outgoing service's instances find one another. */
struct gather_conf {
	uint32_t partner; /* ms: for the others' connections, or exchanges, since the first came; 5 s, or
			     500 ms when enforcing is false */
	uint32_t first;	  /* ms: for the first bytes of a connection, before it counts as one that waits; 200 ms */
	uint32_t idle;	  /* ms: that an unused connection to the backend is kept; 4 s */
	uint32_t waiting; /* connections of one instance to one backend; 1000 */
};

struct deadlines {	  /* ms */
	uint32_t connect; /* to reach an instance; 5 s */
	uint32_t skew;	  /* since the first instance answered; 5 s */
	uint32_t idle;	  /* nothing from anybody; 300 s */
	uint32_t linger;  /* for a denial, or last bytes, to arrive; 5 s */
	uint32_t reuse;	  /* a connection idle for longer gets nothing that may not be sent again; 500 ms */
};

struct noise_budget {
	uint32_t run;	/* bytes in a row; 256 */
	uint32_t share; /* percent of an answer; 20 */
};

/* The most SYNs that a service holds, and that all of them together do. */
#define ADMISSION_HELD_MAX 65536

enum admission_overflow { ADMISSION_PASS, ADMISSION_DROP };

/* Incoming, steered: a client's SYN is held until the instances have answered. See admission.h. */
struct admission_conf {
	bool on;
	enum admission_overflow overflow; /* past the bounds: the SYN goes the ordinary way, or is dropped */
	uint32_t held;			  /* attempts at once; 1024 */
	uint32_t per_client;		  /* of these, those of the clients of one prefix; 128 */
	uint32_t prefix4, prefix6;	  /* how long such a prefix is, bits; 32 and 64 */
};

struct limits {		 /* bytes */
	uint32_t buffer; /* the most that one stream of a session buffers: what a plugin can look at; 1 MiB */
	uint32_t lag;	 /* enforcing false: how far an instance may lag behind instance 0; 1 MiB */
	uint32_t repeat; /* what is kept to be sent again when a reused connection ends; 64 KiB */
};

struct service {
	char *name;
	struct config_mark mark;
	enum rddr_direction direction;
	struct rule *rules; /* interceptions, in the config's order; lists are expanded into one rule each */
	size_t n_rules;
	struct addr listen; /* the listening form; has_listen */
	bool has_listen;
	struct instance *instances;
	unsigned n_instances; /* 1 to RDDR_MAX_INSTANCES */
	bool filter;
	char *diff_class;
	char *diff_params; /* JSON text of an object */
	struct config_mark diff_class_mark, diff_params_mark;
	bool enforcing;
	enum when_down when_down;
	enum existing existing;
	struct deadlines deadlines;
	struct noise_budget noise;
	struct limits limits;
	struct admission_conf admission;
	struct tls_conf *tls_lone; /* NULL: in clear. See config_tls.h */
	struct tls_conf *tls_many; /* outgoing: how the instances are accepted; incoming: what instances begin with */

	struct access *access; /* who may reach which server; NULL: everybody every one */

	struct prefix *balancers; /* whose connections begin with a PROXY header */
	size_t n_balancers;
	/* Outgoing: how the backend is dialled, and the instance whose address that is done with. */
	struct instance backend;
	unsigned source;
	struct gather_conf gather;

	/* Filled by the daemon, not by the reader of the file, and released by it (see rddr_config_on_free). */
	struct plugin *plugin;
	const struct rddr_diff_plugin *ops;
	void *params;
	struct metrics_set *metrics;
	struct tables *tables;
};

struct evidence_conf {
	char *file;	   /* /var/log/rddr/evidence.jsonl; empty: none is kept */
	uint64_t max_size; /* bytes; 16 MiB; at that size the file is rotated */
	uint32_t keep;	   /* rotated files that are kept; 4 */
	uint32_t excerpt;  /* bytes of each side in a record; 256 */
};

struct config {
	uint32_t references; /* atomic */
	uint64_t generation; /* 1, and one more with each reload: the daemon numbers what it uses; else 0 */
	char *path;	     /* as given; stands for the file in messages */
	bool original;	     /* it was an original RDDR file */
	unsigned workers;    /* 0 in the file: one for each CPU that the process may run on; here resolved */
	enum log_level log_level;
	bool has_log_level;
	char *control;	/* path of the control socket; may be empty */
	uint32_t drain; /* ms that sessions have to end in after SIGTERM or a takeover; 30 s */
	struct evidence_conf evidence;
	struct resolver_conf resolver;
	struct access_zones *zones; /* NULL: none */
	struct service **services;  /* in the file's order */
	size_t n_services;
	/* Every service's rules in the order in which they are matched (see rddr_config_match); pointers into the
	 * services. */
	const struct rule **rules;
	size_t n_rules;
};

/*
 * Reads and checks the file. 0, or -errno after having written the errors found (at most 20, in the order of the file)
 * to stderr as log lines "config: FILE:LINE:COLUMN: KEY: message". The result has one reference. Blocks while names are
 * resolved. Loads nothing and opens no socket but to ask the kernel whether an address is local: plugins are the
 * daemon's to check, through the marks.
 */
int rddr_config_load(const char *path, struct config **out);
/* The same from memory; name stands for the file in messages. */
int rddr_config_parse(const char *name, const char *text, size_t len, struct config **out);

struct config *rddr_config_get(struct config *config);
/* Gives a reference back; the last one frees. Takes NULL, nulls the pointer. Any thread. */
void rddr_config_put(struct config **config);

/*
 * Names the function that releases what the daemon filled in (plugin, params, metrics). It is called for each service
 * of a config whose last reference was given back, before the service is freed, on the thread that gave it back: that
 * may be a worker. What only another thread may do it has to hand over by value (the service is gone when it returns).
 * It is called for services that were never filled too, and not for a file that failed to load. Set it before the first
 * config is shared; NULL unsets.
 */
void rddr_config_on_free(void (*fn)(struct service *service));

/* Logs an error in the form of the reader's own, about something found later. Returns -EINVAL. */
int rddr_config_complain(const struct config *config, struct config_mark mark, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Logs warnings about what is allowed, and yet seldom meant: two instances that are one server, bounds that exclude
 * each other. */
void rddr_config_advise(const struct config *config);

/* The addresses that a service listens at by itself: its own for 0, then its instances'; NULL where there is none. */
const struct addr *rddr_config_listen(const struct service *service, unsigned i);
/* The instance of an outgoing service that a connection is of, or -1. */
int rddr_config_instance_of(const struct service *service, const struct addr *client, const struct addr *destination);

/* Whether a connection is what the rule is about, by whatever interface it comes. */
bool rddr_rule_covers(const struct rule *rule, const struct addr *destination, const struct addr *client);

/*
 * The rule for a connection, or NULL. Order: a port before all ports, then a named interface before any, then the
 * longer destination, then the longer clients (any named ones before all), then the file's. The kernel's tables are
 * built from the same order. interface may be NULL when no rule names one.
 */
const struct rule *rddr_config_match(const struct config *config, const struct addr *destination,
				     const struct addr *client, const char *interface);

#endif
