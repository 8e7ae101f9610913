/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * chainer.h - how an end is dialled.
 *
 * A chainer decides to which address a session's end is connected and with which local address; rddr_chainer_establish
 * is the one function that checks, forges, binds and connects, and every chainer goes through it. Chainers see sockets,
 * never payload.
 *
 * A dial is a value of the caller's. It runs on the caller's loop, finishes once, and can be cancelled until then.
 */
#ifndef RDDR_CHAINER_H
#define RDDR_CHAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "addr.h"
#include "loop.h"

struct access;
struct chainer_ops;
struct dial;
struct host_state;
struct ring;

/* The most hosts that one chainer has. */
#define CHAINER_HOSTS 32
/* ms */
#define CHAINER_HOST_TIMEOUT 1000
#define CHAINER_DOWN_FOR     60000

enum dial_outcome {
	DIAL_PENDING, /* under way; dial->done will be called */
	DIAL_CONNECTED,
	DIAL_REFUSED,	    /* the server answered with a reset */
	DIAL_UNREACHABLE,   /* no route, or an ICMP error said so */
	DIAL_TIMED_OUT,	    /* nobody answered */
	DIAL_NO_PORT,	    /* no rung of the forge-port ladder had a free port; a local error */
	DIAL_NOT_PERMITTED, /* no right to forge; a local error */
	DIAL_LOOP,	    /* the target is the daemon itself; a local error */
	DIAL_UNRESOLVED,    /* the name of the target has no address */
	DIAL_DENIED,	    /* access control says no; nothing was sent; a local error */
	DIAL_FAILED, /* any other error, in dial->error (forging between families: EAFNOSUPPORT); a local error */
	DIAL_OUTCOMES
};

/* "connected", "refused", "unreachable", "timed-out", "no-port", "not-permitted", "loop", "unresolved", "denied",
 * "failed". */
const char *rddr_dial_outcome_name(enum dial_outcome outcome);
/* Whether the outcome says something of this host only, and nothing of the server. */
bool rddr_dial_outcome_is_local(enum dial_outcome outcome);

/* The rungs of the forge-port ladder, tried in the order that the config names them. */
enum forge_port {
	FORGE_PORT_EXACT,  /* the client's own port */
	FORGE_PORT_GROUP,  /* the next free port of the client port's group: 1-511, 512-1023, 1024-65535 */
	FORGE_PORT_ANY,	   /* whatever the kernel picks at connect */
	FORGE_PORT_RANDOM, /* ports of the client port's group, by chance */
	FORGE_PORTS
};
const char *rddr_forge_port_name(enum forge_port rung);

/* One of several servers, and what is known of it; see hosts.h. */
struct host {
	struct addr address;
	struct host_state *state; /* a reference; NULL until rddr_chainer_bind */
};

/* What the config says of one instance's chainer. Owned by the config, read only afterwards. */
struct chainer_conf {
	const struct chainer_ops *ops;
	struct addr remote; /* directed: the server */
	bool has_remote;
	struct addr local; /* the local address to bind, where one is set; its port may be 0 */
	bool has_local;
	bool forge_addr;      /* the source is the client's address */
	bool forge_fallback;  /* forge-fallback: a forged bind that fails may go on unforged; off unless written out */
	uint16_t forced_port; /* transparent: this port instead of the one that the client addressed; 0: none */
	uint8_t forge_ports;  /* how many rungs are set */
	enum forge_port forge_port[FORGE_PORTS];

	uint8_t send_proxy; /* 1, 2: the version of the PROXY header that the server is sent first; 0: none */

	/* failover */
	struct host *hosts; /* owned */
	unsigned n_hosts;
	struct ring *ring;     /* which host is the current one: a reference; NULL until rddr_chainer_bind */
	uint32_t host_timeout; /* ms that one host has to answer in; 0: the default */
	uint32_t down_for;     /* ms that a host that failed is passed over; 0: the default */
	uint32_t attempts; /* the most hosts that one dial tries, counting again what is tried twice; 0: the default */
	bool rotate;	   /* each dial begins with the next host */
	struct {
		uint32_t interval, timeout; /* ms; interval 0: hosts are not asked */
		uint32_t fails;		    /* in a row that make a host count as down */
		uint32_t status;	    /* of the answer; 0: any from 200 to 399 */
		char *http;		    /* the path to GET, owned; NULL: a connection is enough */
	} check;
};

/* The daemon's own listeners, never dialled; wildcards too, '::' for IPv6 alone. */
struct own_addrs {
	const struct addr *list;
	size_t n;
};

/* What a request points to has to outlive the dial; the lists may change meanwhile. */
struct dial_request {
	struct loop *loop;
	const struct addr *client;	/* the lone end's address and port, for forging */
	const struct addr *destination; /* where the client wanted to go */
	const struct own_addrs *own;	/* NULL: none */
	const struct access *access;	/* NULL: everything is allowed */
	const char *service;		/* its name, for the log; NULL: none */
	const struct addr *targets;	/* inband: what the protocol named, resolved */
	unsigned n_targets;
};

struct dial {
	/* Set by the caller before rddr_chainer_connect_server; called from the loop, never from inside that. */
	void (*done)(struct dial *dial, enum dial_outcome outcome);

	/* Valid when it is finished. */
	int fd;		      /* connected: the caller's to take; else -1 */
	struct watch watch;   /* connected: watches fd edge-triggered for everything; the caller retargets it */
	unsigned events;      /* connected: what was reported together with the connect, and is not reported again */
	int error;	      /* errno of the failure, positive; 0 when it is connected */
	struct addr local;    /* as bound, or bound last; where it is a wildcard or its port 0: ask getsockname */
	struct addr remote;   /* as dialled */
	bool forged;	      /* false with forge_addr set: forge-fallback stepped in */
	enum forge_port rung; /* which one was used, when forged */
	/* Of several hosts: how many were marked as down, how many were passed over, and whether all were tried anew.
	 */
	uint16_t hosts_failed, hosts_skipped;
	bool second_lap;

	/* The chainer's own while the dial runs. */
	const struct chainer_conf *conf;
	struct loop *loop;
	struct dial_request request;
	struct timer timer;   /* of one attempt among several */
	uint16_t began, host; /* the host that it began with; the one that is dialled */
	uint16_t left;	      /* attempts left */
	uint16_t lap_left;    /* hosts of this lap that were not looked at yet */
	uint32_t useless;     /* a bit for each host that another attempt need not try */
	bool unroutable;      /* the last attempt: this host's own routing table led nowhere */
	enum dial_outcome last;
	int last_error;
};

/*
 * Begins to dial. DIAL_PENDING: dial->done comes later, once. Anything else is the outcome, at once, and done is not
 * called.
 */
enum dial_outcome rddr_chainer_connect_server(struct dial *dial, const struct chainer_conf *conf,
					      const struct dial_request *request);

/*
 * Makes a connection that is there already the dial's, as if it had just connected: fd (the dial's from here on, closed
 * where it is refused) is asked for both its addresses, access is checked, and it is watched. Nothing is sent. The
 * outcome comes at once.
 */
enum dial_outcome rddr_chainer_adopt(struct dial *dial, const struct chainer_conf *conf,
				     const struct dial_request *request, int fd);

/* Ends a dial that is under way, without calling done. Harmless on one that is finished, or was never begun. */
void rddr_chainer_cancel(struct dial *dial);
/* The same because the caller's deadline has passed: whoever did not answer is to blame for it. Sets the error. */
void rddr_chainer_give_up(struct dial *dial);

/* A dial that was never begun. */
void rddr_dial_init(struct dial *dial);

/* The chainer that the config names ("transparent", "directed"), or NULL. */
const struct chainer_ops *rddr_chainer_find(const char *name);
const char *rddr_chainer_name(const struct chainer_ops *ops);
/* Checks that the keys fit the chainer; -EINVAL with a message that names the key in err. steered: the service
 * intercepts (and does not listen by itself). */
int rddr_chainer_check(const struct chainer_conf *conf, bool steered, char *err, size_t errlen);

/*
 * Once the config is good: fills in defaults and joins the conf with what all workers, and the configs before and after
 * this one, know of its hosts. name: the same for the same instance in each config ("service/instance"). 0 or -ENOMEM.
 */
int rddr_chainer_bind(struct chainer_conf *conf, const char *name);
/* Frees what the conf owns. */
void rddr_chainer_conf_clear(struct chainer_conf *conf);

/* ---- for chainers ---- */

struct chainer_ops {
	const char *name;
	/* See rddr_chainer_check, which checks what is common to all (how local, forge-addr, forge-port and
	 * forge-fallback go together). */
	int (*check)(const struct chainer_conf *conf, bool steered, char *err, size_t errlen);
	/* Starts the dial: finds the target and calls rddr_chainer_establish. */
	enum dial_outcome (*connect_server)(struct dial *dial, const struct dial_request *request);
	/* An attempt under way ended, DIAL_TIMED_OUT at dial->timer's time too. Returns the dial's outcome, or
	 * DIAL_PENDING after having begun another attempt. NULL: the attempt's outcome is the dial's. */
	enum dial_outcome (*attempted)(struct dial *dial, enum dial_outcome outcome);
	bool has_hosts;	   /* it knows the keys of failover */
	bool wants_target; /* it dials once the protocol has named a target */
};

/*
 * Refuses targets that are the daemon itself, opens a socket, forges and binds as conf says, and connects without
 * blocking. Fills fd, watch, local, remote, forged, rung and error of the dial. Outcomes as for
 * rddr_chainer_connect_server.
 */
enum dial_outcome rddr_chainer_establish(struct dial *dial, const struct dial_request *request,
					 const struct addr *remote);

/* Writes a message to err and returns -EINVAL: how a check ends that refuses. */
int rddr_chainer_refuse(char *err, size_t errlen, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

extern const struct chainer_ops rddr_chainer_transparent;
extern const struct chainer_ops rddr_chainer_directed;
extern const struct chainer_ops rddr_chainer_failover;
extern const struct chainer_ops rddr_chainer_inband;

#endif
