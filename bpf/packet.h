/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * packet.h - reads the headers of a packet at tc ingress.
 *
 * Everything is read from the network header on, which the kernel sets on every kind of device: so neither a link
 * header of whatever length (or none, as on tunnels) nor a VLAN tag that the hardware or the stack took out is in the
 * way. Tags that are still in the frame are walked over.
 */
#ifndef RDDR_PACKET_H
#define RDDR_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

#define TAGS_MAX       4 /* in the frame, besides one that was taken out */
#define EXTENSIONS_MAX 8
#define PULL_MAX       128 /* bytes, more than are asked for: a link's header, and what is asked for next */

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_ACK 0x10

enum packet_kind {
	PACKET_OTHER, /* nothing of interest */
	PACKET_TCP,
	PACKET_ICMP,	  /* an ICMP or ICMPv6 error */
	PACKET_FRAGMENT,  /* of TCP, or of what may be TCP */
	PACKET_MALFORMED, /* of TCP, or of what may be TCP */
	PACKET_HIDDEN,	  /* behind more IPv6 headers than are walked over; to whom is known */
	PACKET_TAGGED,	  /* behind more tags than are walked over */
};

struct packet {
	struct rddr_flow flow; /* ports: where they are known */
	__u32 offset;	       /* of the transport header, from the network header */
	__u8 kind;
	__u8 flags; /* TCP's */
	__u8 first; /* a fragment: the first one */
	__u8 ports; /* a first fragment: the ports are known */
};

struct ipv4 {
	__u8 version_ihl, tos;
	__u16 total;
	__u16 id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 source, destination;
};

struct ipv6 {
	__u32 version;
	__u16 payload;
	__u8 next, hops;
	__u32 source[4], destination[4];
};

/*
 * Reads len bytes at an offset from the network header. Where the headers do not lie in the packet's linear part they
 * are pulled there first.
 */
static __always_inline long load(struct __sk_buff *skb, __u32 offset, void *to, __u32 len)
{
	__u32 pull;

	if (bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_NET) == 0)
		return 0;
	pull = offset + len + PULL_MAX;
	pull = skb->len < pull ? skb->len : pull;
	if (bpf_skb_pull_data(skb, pull))
		return -1;
	return bpf_skb_load_bytes_relative(skb, offset, to, len, BPF_HDR_START_NET);
}

/* Walks over tags that are in the frame. Returns the network protocol (in network order), and where its header begins.
 */
static __always_inline __u16 packet_protocol(struct __sk_buff *skb, __u32 *offset)
{
	__u16 protocol = (__u16)skb->protocol;
	__u16 tag[2];

	*offset = 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < TAGS_MAX; i++) {
		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if (load(skb, *offset, tag, sizeof(tag)))
			return 0;
		protocol = tag[1];
		*offset += sizeof(tag);
	}
	return protocol;
}

/* Reads what TCP says first. */
static __always_inline void packet_tcp(struct __sk_buff *skb, struct packet *p)
{
	__u8 tcp[14];

	if (load(skb, p->offset, tcp, sizeof(tcp))) {
		p->kind = PACKET_MALFORMED;
		return;
	}
	p->kind = PACKET_TCP;
	__builtin_memcpy(&p->flow.remote_port, tcp, 2);
	__builtin_memcpy(&p->flow.local_port, tcp + 2, 2);
	p->flags = tcp[13];
}

/* A fragment. The first one has the ports, unless it is cut short. */
static __always_inline void packet_fragment(struct __sk_buff *skb, struct packet *p, int first)
{
	__u16 ports[2];

	p->kind = PACKET_FRAGMENT;
	p->first = (__u8)first;
	if (!first || load(skb, p->offset, ports, sizeof(ports)))
		return;
	p->ports = 1;
	p->flow.remote_port = ports[0];
	p->flow.local_port = ports[1];
}

static __always_inline void packet_ipv4(struct __sk_buff *skb, struct packet *p)
{
	struct ipv4 ip;
	__u32 ihl;
	__u8 type;

	if (load(skb, p->offset, &ip, sizeof(ip)))
		return; /* too short for an address: the stack drops it */
	ihl = (ip.version_ihl & 0xf) * 4u;
	if (ip.version_ihl >> 4 != 4 || ihl < sizeof(ip))
		return; /* the stack drops it */
	p->flow.family = RDDR_FAMILY_V4;
	p->flow.remote[0] = ip.source;
	p->flow.local[0] = ip.destination;
	p->offset += ihl;
	if (ip.protocol == IPPROTO_TCP) {
		if (ip.fragment & bpf_htons(0x3fff)) /* more of them, or an offset */
			packet_fragment(skb, p, !(ip.fragment & bpf_htons(0x1fff)));
		else
			packet_tcp(skb, p);
	} else if (ip.protocol == IPPROTO_ICMP && !(ip.fragment & bpf_htons(0x3fff))) {
		if (load(skb, p->offset, &type, sizeof(type)))
			return;
		/* unreachable, source quench, time exceeded, parameter problem */
		if (type == 3 || type == 4 || type == 11 || type == 12) {
			p->kind = PACKET_ICMP;
			p->offset += 8;
		}
	}
}

#define NEXT_ICMPV6 58

/* Whether it is an IPv6 header that something else lies behind. */
static __always_inline int is_extension(__u8 next)
{
	switch (next) {
	case 0:	  /* hop-by-hop options */
	case 43:  /* routing */
	case 44:  /* fragment */
	case 51:  /* authentication */
	case 60:  /* destination options */
	case 135: /* mobility */
	case 139: /* HIP */
	case 140: /* Shim6 */
		return 1;
	default:
		return 0;
	}
}

enum fragment { FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER };

/* A walk over IPv6 extension headers. */
struct walk {
	__u32 offset;	/* in: of the first header; out: of what lies behind the last one */
	__u32 next;	/* in: what the first header is; out: what lies behind the last one */
	__u32 fragment; /* out; behind the header of a later fragment the walk ends */
};

/*
 * 0; -1: cut short, too many, or a later fragment within a first one. The loop is unrolled because 6.1 knows bounded
 * loops in some shapes only, and which one it gets is the compiler's choice.
 */
__noinline int walk_extensions(struct __sk_buff *skb, struct walk *w)
{
	__u8 header[4];

	if (!w)
		return -1;
	w->fragment = FRAGMENT_NONE;
#pragma clang loop unroll(full)
	for (int i = 0; i <= EXTENSIONS_MAX; i++) {
		if (!is_extension((__u8)w->next))
			return 0;
		if (i == EXTENSIONS_MAX || load(skb, w->offset, header, sizeof(header)))
			return -1;
		if (w->next == 44) {
			__u16 place = (__u16)(header[2] << 8 | header[3]);

			w->offset += 8;
			if (place & 0xfff8) {
				if (w->fragment == FRAGMENT_FIRST)
					return -1;
				w->next = header[0];
				w->fragment = FRAGMENT_LATER;
				return 0;
			}
			/* A fragment that is all of its packet (RFC 6946) is none. */
			if (place & 1)
				w->fragment = FRAGMENT_FIRST;
		} else if (w->next == 51) {
			w->offset += (header[1] + 2u) * 4;
		} else {
			w->offset += (header[1] + 1u) * 8;
		}
		w->next = header[0];
	}
	return -1;
}

static __always_inline void packet_ipv6(struct __sk_buff *skb, struct packet *p)
{
	struct walk w = {0};
	struct ipv6 ip;
	__u8 type;

	if (load(skb, p->offset, &ip, sizeof(ip)))
		return;
	p->flow.family = RDDR_FAMILY_V6;
	__builtin_memcpy(p->flow.remote, ip.source, 16);
	__builtin_memcpy(p->flow.local, ip.destination, 16);
	w.offset = p->offset + sizeof(ip);
	w.next = ip.next;
	if (walk_extensions(skb, &w)) {
		p->kind = w.fragment == FRAGMENT_FIRST ? PACKET_FRAGMENT : PACKET_HIDDEN;
		p->first = w.fragment == FRAGMENT_FIRST;
		return;
	}
	p->offset = w.offset;
	if (w.fragment != FRAGMENT_NONE) {
		/* Behind an extension header that came in another fragment there may be TCP as well. */
		if (w.next == IPPROTO_TCP)
			packet_fragment(skb, p, w.fragment == FRAGMENT_FIRST);
		else if (is_extension((__u8)w.next))
			packet_fragment(skb, p, 0);
	} else if (w.next == IPPROTO_TCP) {
		packet_tcp(skb, p);
	} else if (w.next == NEXT_ICMPV6) {
		if (load(skb, p->offset, &type, sizeof(type)))
			return;
		/* unreachable, too big, time exceeded, parameter problem */
		if (type >= 1 && type <= 4) {
			p->kind = PACKET_ICMP;
			p->offset += 8;
		}
	}
}

/*
 * The flow that an ICMP error is about, as packets of it arrive here: the packet quoted is one that was sent, so that
 * its source is the flow's local end. -1: it quotes no TCP, or too little.
 */
static __always_inline int packet_quoted(struct __sk_buff *skb, const struct packet *p, struct rddr_flow *flow)
{
	__u32 offset = p->offset;
	__u16 ports[2];

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->family = p->flow.family;
	if (p->flow.family == RDDR_FAMILY_V4) {
		struct ipv4 ip;

		if (load(skb, offset, &ip, sizeof(ip)))
			return -1;
		if (ip.version_ihl >> 4 != 4 || (ip.version_ihl & 0xf) < 5 || ip.protocol != IPPROTO_TCP ||
		    ip.fragment & bpf_htons(0x1fff))
			return -1;
		flow->remote[0] = ip.destination;
		flow->local[0] = ip.source;
		offset += (ip.version_ihl & 0xf) * 4u;
	} else {
		struct walk w = {0};
		struct ipv6 ip;

		if (load(skb, offset, &ip, sizeof(ip)))
			return -1;
		__builtin_memcpy(flow->remote, ip.destination, 16);
		__builtin_memcpy(flow->local, ip.source, 16);
		w.offset = offset + sizeof(ip);
		w.next = ip.next;
		if (walk_extensions(skb, &w) || w.next != IPPROTO_TCP || w.fragment == FRAGMENT_LATER)
			return -1;
		offset = w.offset;
	}
	if (load(skb, offset, ports, sizeof(ports)))
		return -1;
	flow->local_port = ports[0];
	flow->remote_port = ports[1];
	return 0;
}

#endif
