// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * divert - decides for each packet that arrives on an attached interface whether it is brought to local delivery (tc
 * clsact ingress).
 *
 * A packet that carries the mark is routed to this host by one `ip rule`; everything else goes its way. The rules:
 *
 * 1. A SYN of a steered service is marked, and its flow remembered. With no live daemon it is dropped or let pass, as
 *    the service's when-down says.
 * 2. A packet that a socket of ours exists for (one that does not listen) is marked.
 * 3. No socket, but the flow is remembered: marked while a daemon is live, dropped otherwise. It never goes on to the
 *    server.
 * 4. Anything else to a steered service belongs to a connection from before attach: let pass or dropped, as the
 *    service's `existing` says.
 * 5. ICMP errors about such packets follow them.
 * 6. Fragments to a steered address are dropped: they carry no ports, and this is before reassembly.
 *
 * Flows of connections that this host makes (to instances, in the client's name) are remembered as well, from the
 * SYN-ACK on: when the daemon dies, what its servers still send does not go on to the client.
 *
 * A flow that is remembered needs no socket lookup while a daemon is live: rules 2 and 3 say the same then.
 */
#include "maps.h"
#include "packet.h"

#include <linux/pkt_cls.h>

#define AF_INET	 2
#define AF_INET6 10

#define NONE (-1)

enum action { PASS, MARK, HOLD, DROP };

/* The state (BPF_TCP_*) of the socket that packets of this flow go to, listeners aside; NONE when there is none. */
__noinline int socket_state(struct __sk_buff *skb, const struct rddr_flow *flow)
{
	struct bpf_sock_tuple tuple;
	struct bpf_sock *sk;
	int state = NONE;
	__u32 len;

	if (!flow)
		return NONE;
	__builtin_memset(&tuple, 0, sizeof(tuple));
	if (flow->family == RDDR_FAMILY_V4) {
		tuple.ipv4.saddr = flow->remote[0];
		tuple.ipv4.daddr = flow->local[0];
		tuple.ipv4.sport = flow->remote_port;
		tuple.ipv4.dport = flow->local_port;
		len = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, flow->remote, 16);
		__builtin_memcpy(tuple.ipv6.daddr, flow->local, 16);
		tuple.ipv6.sport = flow->remote_port;
		tuple.ipv6.dport = flow->local_port;
		len = sizeof(tuple.ipv6);
	}
	asking_set(1);
	sk = bpf_skc_lookup_tcp(skb, &tuple, len, BPF_F_CURRENT_NETNS, 0);
	asking_set(0);
	if (sk) {
		state = (int)sk->state;
		bpf_sk_release(sk);
	}
	return state == BPF_TCP_LISTEN ? NONE : state;
}

static __always_inline int is_client(const struct rddr_alternative *a, const __u32 *client)
{
	return !(((client[0] ^ a->client[0]) & a->mask[0]) | ((client[1] ^ a->client[1]) & a->mask[1]) |
		 ((client[2] ^ a->client[2]) & a->mask[2]) | ((client[3] ^ a->client[3]) & a->mask[3]));
}

/* The flags of the first alternative for the client under this key; NONE when there is none. */
static __noinline int table_look(void *table, struct rddr_service_key *key, const struct rddr_flow *flow)
{
	struct rddr_service *s;

	if (!table || !key || !flow)
		return NONE;
	s = bpf_map_lookup_elem(table, key);
	if (!s)
		return NONE;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < RDDR_ALTERNATIVES_MAX; i++) {
		if (i >= s->n)
			break;
		if (is_client(&s->alternatives[i], flow->remote))
			return s->alternatives[i].flags;
	}
	return NONE;
}

static __always_inline void key_init(struct rddr_service_key *key, const struct rddr_flow *flow, __u32 kind)
{
	key->prefixlen = RDDR_KEY_BITS + (flow->family == RDDR_FAMILY_V4 ? 32 : 128);
	key->ifindex = 0;
	key->port = 0;
	key->family = (__u8)flow->family;
	key->kind = (__u8)kind;
	__builtin_memcpy(key->addr, flow->local, sizeof(key->addr));
}

static __always_inline void *table_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&services, &zero);
}

/* The flags (RDDR_SERVICE_*) of the service that a packet of this flow is for; NONE when it is for none. */
__noinline int service_flags(const struct rddr_flow *flow, __u32 ifindex, __u32 classes)
{
	struct rddr_service_key key;
	void *table = table_get();
	int flags = NONE;

	if (!table || !flow)
		return NONE;
	key_init(&key, flow, RDDR_KEY_SERVICE);
	key.port = flow->local_port;
	key.ifindex = ifindex;
	if (classes & RDDR_CLASS_PORT_INTERFACE)
		flags = table_look(table, &key, flow);
	key.ifindex = 0;
	if (flags < 0 && classes & RDDR_CLASS_PORT)
		flags = table_look(table, &key, flow);
	key.port = 0;
	key.ifindex = ifindex;
	if (flags < 0 && classes & RDDR_CLASS_INTERFACE)
		flags = table_look(table, &key, flow);
	key.ifindex = 0;
	if (flags < 0 && classes & RDDR_CLASS_ANY)
		flags = table_look(table, &key, flow);
	return flags;
}

/* Whether some service steers packets from this client to this address, at whatever port. */
__noinline int address_steered(const struct rddr_flow *flow, __u32 ifindex, __u32 classes)
{
	struct rddr_service_key key;
	void *table = table_get();

	if (!table || !flow)
		return 0;
	key_init(&key, flow, RDDR_KEY_ADDRESS);
	key.ifindex = ifindex;
	if (classes & RDDR_CLASS_ADDRESS_INTERFACE && table_look(table, &key, flow) >= 0)
		return 1;
	key.ifindex = 0;
	return classes & RDDR_CLASS_ADDRESS && table_look(table, &key, flow) >= 0;
}

static __always_inline __u32 mix(__u32 h, __u32 word)
{
	h ^= word;
	h *= 0xcc9e2d51u;
	h ^= h >> 15;
	return h * 0x1b873593u;
}

static __always_inline __u32 flow_hash(const struct rddr_flow *flow, __u32 seed)
{
	__u32 h = mix(seed, flow->remote[0] ^ flow->remote[1] * 3);

	h = mix(h, flow->remote[2] ^ flow->remote[3] * 5);
	h = mix(h, flow->local[0] ^ flow->local[1] * 7 ^ flow->local[2] * 11 ^ flow->local[3] * 13);
	h = mix(h, (__u32)flow->remote_port << 16 | flow->local_port);
	return h ^ h >> 16;
}

static __always_inline void flow_reverse(const struct rddr_flow *flow, struct rddr_flow *reverse)
{
	__builtin_memcpy(reverse->remote, flow->local, sizeof(reverse->remote));
	__builtin_memcpy(reverse->local, flow->remote, sizeof(reverse->local));
	reverse->remote_port = flow->local_port;
	reverse->local_port = flow->remote_port;
	reverse->family = flow->family;
}

static __always_inline long remember(const struct rddr_flow *flow, __u32 kind, __u32 worker)
{
	struct rddr_decision v = {.kind = (__u8)kind, .worker = (__u8)worker};

	return bpf_map_update_elem(&diverted, flow, &v, BPF_ANY);
}

/*
 * A connection begins that is let pass: what was remembered of an earlier one must not catch it, nor a socket that an
 * earlier one left in TIME_WAIT. down: it was let pass because no daemon is live; it stays so when one comes.
 */
static __always_inline void let_pass(struct __sk_buff *skb, const struct rddr_flow *flow, int down)
{
	if (down || socket_state(skb, flow) == BPF_TCP_TIME_WAIT)
		remember(flow, RDDR_FLOW_PASSED, 0);
	else if (bpf_map_lookup_elem(&diverted, flow))
		bpf_map_delete_elem(&diverted, flow);
}

/* A SYN. */
static __always_inline enum action decide_syn(struct __sk_buff *skb, const struct packet *p, struct rddr_control *c)
{
	int flags = service_flags(&p->flow, skb->ifindex, c->classes);
	struct rddr_flow reverse;
	int worker, state;

	if (flags >= 0) {
		worker = live_worker(flow_hash(&p->flow, c->seed), p->flow.family);
		if (worker >= 0) {
			if (remember(&p->flow, RDDR_FLOW_STEERED, (__u32)worker)) {
				count(RDDR_COUNTER_divert_diverted_full);
				return DROP;
			}
			count(RDDR_COUNTER_divert_syn_marked);
			if (!(flags & RDDR_SERVICE_ADMISSION))
				return MARK;
			/* Sent again for a connection that is under way here, it was admitted before. */
			state = socket_state(skb, &p->flow);
			if (state >= 0 && state != BPF_TCP_TIME_WAIT)
				return MARK;
			count(RDDR_COUNTER_divert_syn_held);
			return HOLD;
		}
		if (!(flags & RDDR_SERVICE_OPEN)) {
			count(RDDR_COUNTER_divert_down_dropped);
			return DROP;
		}
	}
	/* A SYN sent again for a connection that is under way here belongs to it. */
	state = socket_state(skb, &p->flow);
	if (state >= 0 && state != BPF_TCP_TIME_WAIT) {
		count(RDDR_COUNTER_divert_socket_marked);
		return MARK;
	}
	flow_reverse(&p->flow, &reverse);
	let_pass(skb, &p->flow, flags >= 0);
	let_pass(skb, &reverse, flags >= 0);
	if (flags >= 0)
		count(RDDR_COUNTER_divert_down_passed);
	return PASS;
}

/* Rule 4, and what is nobody's. */
static __always_inline enum action decide_unknown(struct __sk_buff *skb, const struct rddr_flow *flow,
						  struct rddr_control *c)
{
	int flags = service_flags(flow, skb->ifindex, c->classes);

	if (flags < 0)
		return PASS;
	if (flags & RDDR_SERVICE_RESET) {
		count(RDDR_COUNTER_divert_existing_dropped);
		return DROP;
	}
	count(RDDR_COUNTER_divert_existing_kept);
	return PASS;
}

/* Whether a packet of this flow would be delivered to this host by its own addresses, without any mark. */
__noinline int is_local(struct __sk_buff *skb, const struct rddr_flow *flow)
{
	struct bpf_fib_lookup fib;
	long ret;

	if (!flow)
		return 0;
	__builtin_memset(&fib, 0, sizeof(fib));
	fib.ifindex = skb->ifindex;
	fib.l4_protocol = IPPROTO_TCP;
	if (flow->family == RDDR_FAMILY_V4) {
		fib.family = AF_INET;
		fib.ipv4_src = flow->remote[0];
		fib.ipv4_dst = flow->local[0];
	} else {
		fib.family = AF_INET6;
		__builtin_memcpy(fib.ipv6_src, flow->remote, 16);
		__builtin_memcpy(fib.ipv6_dst, flow->local, 16);
	}
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);
	return ret == BPF_FIB_LKUP_RET_NOT_FWDED || ret == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/*
 * Rules 2 and 3 for a flow that is remembered, be it a packet of the flow or an ICMP error about one. No daemon being
 * live, this host's own connections (those that are not forged) are let pass to it, so that it answers as ever.
 */
static __always_inline enum action decide_remembered(struct __sk_buff *skb, const struct rddr_flow *flow,
						     const struct rddr_decision *v)
{
	__u32 kind = v->kind;

	if (kind == RDDR_FLOW_PASSED || live_worker(v->worker, flow->family) >= 0)
		return kind == RDDR_FLOW_PASSED ? PASS : MARK;
	if (socket_state(skb, flow) >= 0)
		return MARK;
	if (kind == RDDR_FLOW_REPLY && is_local(skb, flow))
		return PASS;
	return DROP;
}

/*
 * Whether this is a flow that was let pass. When the daemon is back, a connect of its own may get the ports of one that
 * was let pass before: the answer to it is the daemon's.
 */
static __always_inline int is_passed(struct __sk_buff *skb, const struct rddr_flow *flow, const struct rddr_decision *v)
{
	return v && v->kind == RDDR_FLOW_PASSED && socket_state(skb, flow) != BPF_TCP_SYN_SENT;
}

/* Whether it goes to a client whose SYN was steered: there only we speak, and never a server. */
static __always_inline int is_to_steered(const struct rddr_flow *flow)
{
	const struct rddr_decision *v;
	struct rddr_flow reverse;

	flow_reverse(flow, &reverse);
	v = bpf_map_lookup_elem(&diverted, &reverse);
	return v && v->kind == RDDR_FLOW_STEERED;
}

/* A SYN-ACK: the answer to a connect, of this host or of somebody else. */
static __always_inline enum action decide_answer(struct __sk_buff *skb, const struct packet *p, struct rddr_control *c)
{
	struct rddr_decision *v = bpf_map_lookup_elem(&diverted, &p->flow);
	int state;

	if (is_passed(skb, &p->flow, v)) {
		count(RDDR_COUNTER_divert_passed);
		return PASS;
	}
	state = socket_state(skb, &p->flow);
	if (state >= 0) {
		if (state == BPF_TCP_SYN_SENT)
			remember(&p->flow, RDDR_FLOW_REPLY, 0);
		count(RDDR_COUNTER_divert_socket_marked);
		return MARK;
	}
	/* No connect of ours. */
	if (is_to_steered(&p->flow)) {
		count(RDDR_COUNTER_divert_diverted_dropped);
		return DROP;
	}
	v = bpf_map_lookup_elem(&diverted, &p->flow);
	if (v && v->kind == RDDR_FLOW_REPLY)
		bpf_map_delete_elem(&diverted, &p->flow);
	return decide_unknown(skb, &p->flow, c);
}

/* Any other TCP packet. */
static __always_inline enum action decide_rest(struct __sk_buff *skb, const struct packet *p, struct rddr_control *c)
{
	struct rddr_decision *v = bpf_map_lookup_elem(&diverted, &p->flow);
	enum action action;
	int state;

	/* A connect that is refused. */
	if (v && v->kind == RDDR_FLOW_PASSED && p->flags & TCP_FLAG_RST && !is_passed(skb, &p->flow, v)) {
		count(RDDR_COUNTER_divert_socket_marked);
		return MARK;
	}
	if (v) {
		action = decide_remembered(skb, &p->flow, v);
		if (action == MARK)
			count(RDDR_COUNTER_divert_diverted_marked);
		else if (action == DROP)
			count(RDDR_COUNTER_divert_diverted_dropped);
		else
			count(RDDR_COUNTER_divert_passed);
		return action;
	}
	state = socket_state(skb, &p->flow);
	if (state < 0 && is_to_steered(&p->flow)) {
		count(RDDR_COUNTER_divert_diverted_dropped);
		return DROP;
	}
	if (state < 0)
		return decide_unknown(skb, &p->flow, c);
	/*
	 * A flow that was forgotten for want of room, or with the maps of another version: a session's client, or a
	 * server that answers to a forged address. Were the daemon to die, its bytes must not go on to the client.
	 */
	if (state != BPF_TCP_TIME_WAIT) {
		if (service_flags(&p->flow, skb->ifindex, c->classes) >= 0)
			remember(&p->flow, RDDR_FLOW_STEERED, 0);
		else if (!is_local(skb, &p->flow))
			remember(&p->flow, RDDR_FLOW_REPLY, 0);
	}
	count(RDDR_COUNTER_divert_socket_marked);
	return MARK;
}

static __always_inline enum action decide_icmp(struct __sk_buff *skb, const struct packet *p)
{
	enum action action;
	struct rddr_decision *v;
	struct rddr_flow flow;

	if (packet_quoted(skb, p, &flow))
		return PASS;
	v = bpf_map_lookup_elem(&diverted, &flow);
	if (v && (v->kind != RDDR_FLOW_PASSED || is_passed(skb, &flow, v)))
		action = decide_remembered(skb, &flow, v);
	else
		action = socket_state(skb, &flow) >= 0 ? MARK : PASS;
	if (action == MARK)
		count(RDDR_COUNTER_divert_icmp_marked);
	else if (action == DROP)
		count(RDDR_COUNTER_divert_icmp_dropped);
	return action;
}

/*
 * Rule 6. Of fragments of our own connections (a server's answer to a forged address) the first one, which has the
 * ports, is dropped too: without it the client that they would be forwarded to can make nothing of the others. One
 * whose ports lie behind more headers than are walked over, or in another fragment, may be of such a connection: no
 * sender makes these (RFC 8200, 4.5), and the routers on the way may drop them (RFC 7112).
 */
static __always_inline enum action decide_fragment(struct __sk_buff *skb, const struct packet *p,
						   struct rddr_control *c)
{
	struct rddr_decision *v;
	int drop;

	drop = address_steered(&p->flow, skb->ifindex, c->classes);
	if (!drop && p->first) {
		drop = 1;
		if (p->ports) {
			v = bpf_map_lookup_elem(&diverted, &p->flow);
			drop = v ? v->kind != RDDR_FLOW_PASSED : socket_state(skb, &p->flow) >= 0;
		}
		drop = drop && !is_local(skb, &p->flow);
	}
	if (!drop)
		return PASS;
	count(RDDR_COUNTER_divert_fragment_dropped);
	return DROP;
}

static __always_inline enum action decide(struct __sk_buff *skb, struct rddr_control *c)
{
	struct packet p;
	__u16 protocol;

	__builtin_memset(&p, 0, sizeof(p));
	protocol = packet_protocol(skb, &p.offset);
	if (protocol == bpf_htons(ETH_P_IP))
		packet_ipv4(skb, &p);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		packet_ipv6(skb, &p);
	else if (protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD))
		p.kind = PACKET_TAGGED;

	switch (p.kind) {
	case PACKET_TCP:
		if ((p.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == TCP_FLAG_SYN)
			return decide_syn(skb, &p, c);
		if ((p.flags & (TCP_FLAG_SYN | TCP_FLAG_ACK)) == (TCP_FLAG_SYN | TCP_FLAG_ACK))
			return decide_answer(skb, &p, c);
		return decide_rest(skb, &p, c);
	case PACKET_ICMP:
		return decide_icmp(skb, &p);
	case PACKET_FRAGMENT:
		return decide_fragment(skb, &p, c);
	case PACKET_MALFORMED:
		if (!address_steered(&p.flow, skb->ifindex, c->classes))
			return PASS;
		count(RDDR_COUNTER_divert_malformed_dropped);
		return DROP;
	case PACKET_HIDDEN:
		/* It may also be a server's answer to a forged address. */
		if (!address_steered(&p.flow, skb->ifindex, c->classes) && is_local(skb, &p.flow))
			return PASS;
		count(RDDR_COUNTER_divert_malformed_dropped);
		return DROP;
	case PACKET_TAGGED:
		/* The kernel takes any number of tags off that only have a priority. */
		count(RDDR_COUNTER_divert_malformed_dropped);
		return DROP;
	default:
		return PASS;
	}
}

SEC("tc")
int divert(struct __sk_buff *skb)
{
	struct rddr_control *c = control_get();
	enum action action;
	__u32 mark;

	PROGRAM_REVISION();
	if (!c || !c->attached || skb->ifindex == LOOPBACK_IFINDEX || skb->pkt_type != 0 /* PACKET_HOST */)
		return TC_ACT_UNSPEC;
	mark = skb->mark;
	if ((mark & c->fwmark_mask) == c->fwmark)
		return TC_ACT_UNSPEC; /* decided on a device below, of which this one is a VLAN */
	action = decide(skb, c);
	if (action == DROP)
		return TC_ACT_SHOT;
	/* The only store to the context; volatile, or clang 14 folds it into an address that the verifier refuses. */
	if (action == MARK || action == HOLD)
		*(volatile __u32 *)&skb->mark =
			(mark & ~c->fwmark_mask) | c->fwmark | (action == HOLD ? c->fwmark_hold : 0);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
