/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * shared.h - what the kernel programs and user space agree on: the keys and values of the pinned maps, and the
 * counters.
 *
 * Addresses and ports are in network order; an IPv4 address stands in the first word, the others being zero. Whoever
 * changes the meaning or the layout of anything here raises RDDR_ABI: maps of another ABI are never reused.
 */
#ifndef RDDR_SHARED_H
#define RDDR_SHARED_H

#include <linux/types.h>

#ifndef RDDR_ABI
#define RDDR_ABI 2
#endif

/* Goes into the programs' instructions, so that two versions of them can be told apart for a test. */
#ifndef RDDR_REVISION
#define RDDR_REVISION 1
#endif

#define RDDR_WORKERS_MAX      64
#define RDDR_LISTENERS_MAX    (RDDR_WORKERS_MAX * 2) /* slot: worker * 2, and 1 more for IPv6 */
#define RDDR_SERVICES_MAX     4096		     /* entries of the service table */
#define RDDR_ALTERNATIVES_MAX 16		     /* of one entry */
#define RDDR_FLOWS_MAX	      262144

/* Packets for local delivery carry this mark, in the bits of the mask; other bits are left as they are. */
#define RDDR_FWMARK	 0x52000000u
#define RDDR_FWMARK_MASK 0xff000000u

/*
 * The SYN of a new connection to a service with admission carries this bit as well: by it the one rule of the packet
 * filter knows it, and hands it to the daemon in the queue of this number.
 */
#define RDDR_FWMARK_HOLD 0x00800000u
#define RDDR_QUEUE	 21060

#define RDDR_STALE_AFTER 2000000000ull /* ns without a heartbeat, after which a worker counts as dead */

#define RDDR_FAMILY_V4 4
#define RDDR_FAMILY_V6 6

/* Which kinds of entries the service table holds at all; lookups of the others are spared. In the order of lookup. */
#define RDDR_CLASS_PORT_INTERFACE    (1u << 0)
#define RDDR_CLASS_PORT		     (1u << 1)
#define RDDR_CLASS_INTERFACE	     (1u << 2)
#define RDDR_CLASS_ANY		     (1u << 3)
#define RDDR_CLASS_ADDRESS_INTERFACE (1u << 4)
#define RDDR_CLASS_ADDRESS	     (1u << 5)

/* Map "control": one element, mapped into the daemon's memory. */
struct rddr_control {
	__u32 abi;	/* RDDR_ABI; first in every version */
	__u32 attached; /* 0: packets are let pass unmarked */
	__u32 workers;	/* that get connections */
	__u32 classes;	/* RDDR_CLASS_* of the active service table */
	__u32 fwmark;
	__u32 fwmark_mask;
	__u32 seed; /* of the flow hash */
	__u32 fwmark_hold;
	__u64 stale_after;		   /* ns */
	__u64 heartbeat[RDDR_WORKERS_MAX]; /* ns of CLOCK_MONOTONIC; 0: never, or at rest */
	char version[32];		   /* of the program that attached, for people */
};

/* Map "services": one slot that holds the active service table, a trie of these. */
enum rddr_key_kind {
	RDDR_KEY_SERVICE, /* destination, port and interface: the alternatives by client */
	RDDR_KEY_ADDRESS, /* destination and interface, whatever the port: for packets that carry no port */
	RDDR_KEY_NAME,	  /* port: a service's index in host order; the value is its name */
};

#define RDDR_KEY_BITS 64 /* those before addr, always compared whole */

struct rddr_service_key {
	__u32 prefixlen; /* RDDR_KEY_BITS and those of the address */
	__u32 ifindex;	 /* 0: any */
	__u16 port;	 /* 0: all */
	__u8 family;	 /* RDDR_FAMILY_* */
	__u8 kind;
	__u32 addr[4];
};

#define RDDR_SERVICE_OPEN      (1u << 0) /* when-down: open */
#define RDDR_SERVICE_RESET     (1u << 1) /* existing: reset */
#define RDDR_SERVICE_INHERITED (1u << 2) /* copied from an entry with a shorter destination prefix */
#define RDDR_SERVICE_ADMISSION (1u << 3) /* its SYNs are held until the instances have answered */

/* For one set of clients. The first that holds the client decides. */
struct rddr_alternative {
	__u32 client[4];
	__u32 mask[4];
	__u16 service; /* index in the config */
	__u8 flags;
	__u8 client_bits;
};

struct rddr_service {
	__u32 n;
	union {
		struct rddr_alternative alternatives[RDDR_ALTERNATIVES_MAX];
		char name[64];
	};
};

/* Map "diverted": flows that were decided on, as their packets arrive here. */
struct rddr_flow {
	__u32 remote[4]; /* the packets' source */
	__u32 local[4];	 /* the packets' destination */
	__u16 remote_port;
	__u16 local_port;
	__u32 family; /* RDDR_FAMILY_* */
};

enum rddr_flow_kind {
	RDDR_FLOW_STEERED = 1, /* a client's, to a worker's listener */
	RDDR_FLOW_REPLY,       /* answers to a connection that this host made */
	RDDR_FLOW_PASSED,      /* let pass, whatever sockets may lie about */
};

struct rddr_decision {
	__u8 kind;
	__u8 worker; /* STEERED: the one that was picked */
	__u16 reserved;
};

/* Map "counters": name, what it counts. */
#define RDDR_COUNTERS(X)                                                                                               \
	X(steer_assigned, "connections handed to a worker's listener")                                                 \
	X(steer_no_listener, "connections dropped: no live worker was left when they reached the socket lookup")       \
	X(steer_failed, "connections dropped: the listener could not be assigned")                                     \
	X(divert_syn_marked, "SYNs of steered services brought to the daemon")                                         \
	X(divert_syn_held, "SYNs, of these, marked to be held until the instances have answered (admission)")          \
	X(divert_diverted_marked, "packets of remembered flows brought to the daemon")                                 \
	X(divert_diverted_dropped, "packets of remembered flows dropped: their socket is gone and no daemon is live")  \
	X(divert_diverted_full, "SYNs dropped: the flow could not be remembered")                                      \
	X(divert_socket_marked, "packets brought to a socket of this host that was found for them")                    \
	X(divert_existing_kept, "packets of connections from before attach let pass (existing: keep)")                 \
	X(divert_existing_dropped, "packets of connections from before attach dropped (existing: reset)")              \
	X(divert_icmp_marked, "ICMP errors about our connections brought to the daemon's sockets")                     \
	X(divert_icmp_dropped, "ICMP errors about connections of a daemon that is gone dropped")                       \
	X(divert_fragment_dropped, "fragments to a steered address, or of our connections, dropped")                   \
	X(divert_down_dropped, "SYNs dropped: no daemon is live (when-down: closed)")                                  \
	X(divert_down_passed, "SYNs let pass: no daemon is live (when-down: open)")                                    \
	X(divert_passed, "packets of connections that were let pass while no daemon was live")                         \
	X(divert_malformed_dropped, "packets to a steered address dropped: headers cut short, or too many of them")

enum rddr_counter {
#define X(name, help) RDDR_COUNTER_##name,
	RDDR_COUNTERS(X)
#undef X
		RDDR_COUNTERS_N
};

#endif
