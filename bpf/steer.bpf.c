// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * steer - picks the daemon's socket for a connection (sk_lookup).
 *
 * A connection is steered only when divert has remembered its flow: that is what tells packets that arrived on an
 * attached interface from this host's own (over IPv6 a packet looped back to an address of eth0 says that it came in on
 * eth0). The worker is the one that divert picked, or the next one that is live. A steered connection never falls
 * through to whatever else listens on this host.
 */
#include "maps.h"

#include <linux/in.h>

#define AF_INET	 2
#define AF_INET6 10

static __always_inline int flow_of(struct bpf_sk_lookup *ctx, struct rddr_flow *flow)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->remote_port = ctx->remote_port;
	flow->local_port = bpf_htons((__u16)ctx->local_port);
	if (ctx->family == AF_INET) {
		flow->family = RDDR_FAMILY_V4;
		flow->remote[0] = ctx->remote_ip4;
		flow->local[0] = ctx->local_ip4;
		return 0;
	}
	if (ctx->family != AF_INET6)
		return -1;
	flow->family = RDDR_FAMILY_V6;
	flow->remote[0] = ctx->remote_ip6[0];
	flow->remote[1] = ctx->remote_ip6[1];
	flow->remote[2] = ctx->remote_ip6[2];
	flow->remote[3] = ctx->remote_ip6[3];
	flow->local[0] = ctx->local_ip6[0];
	flow->local[1] = ctx->local_ip6[1];
	flow->local[2] = ctx->local_ip6[2];
	flow->local[3] = ctx->local_ip6[3];
	return 0;
}

SEC("sk_lookup")
int steer(struct bpf_sk_lookup *ctx)
{
	struct rddr_control *c = control_get();
	struct rddr_decision *decision;
	struct rddr_flow flow;
	struct bpf_sock *sk;
	__u32 slot;
	int worker;
	long err;

	PROGRAM_REVISION();
	if (!c || !c->attached || ctx->protocol != IPPROTO_TCP || ctx->ingress_ifindex == LOOPBACK_IFINDEX)
		return SK_PASS;
	if (asking_get())
		return SK_DROP; /* divert's own lookup: spares it the listeners */
	if (flow_of(ctx, &flow) < 0)
		return SK_PASS;
	decision = bpf_map_lookup_elem(&diverted, &flow);
	if (!decision || decision->kind != RDDR_FLOW_STEERED)
		return SK_PASS;

	worker = live_worker(decision->worker, flow.family);
	if (worker < 0) {
		count(RDDR_COUNTER_steer_no_listener);
		return SK_DROP;
	}
	slot = (__u32)worker * 2 + (flow.family == RDDR_FAMILY_V6);
	sk = bpf_map_lookup_elem(&listeners, &slot);
	if (!sk) {
		count(RDDR_COUNTER_steer_no_listener);
		return SK_DROP;
	}
	/* The worker is picked here, not once more by a reuseport group that the listener may be of. */
	err = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sk);
	if (err) {
		count(RDDR_COUNTER_steer_failed);
		return SK_DROP;
	}
	count(RDDR_COUNTER_steer_assigned);
	return SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
