/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * maps.h - the maps that both programs share, and the few lookups that both make.
 */
#ifndef RDDR_MAPS_H
#define RDDR_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "shared.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

#define PROGRAM_REVISION() asm volatile("r0 = %0" : : "i"(RDDR_REVISION) : "r0")

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, RDDR_LISTENERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rddr_control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_LPM_TRIE);
			__uint(map_flags, BPF_F_NO_PREALLOC);
			__uint(max_entries, RDDR_SERVICES_MAX);
			__uint(key_size, sizeof(struct rddr_service_key));
			__uint(value_size, sizeof(struct rddr_service));
		});
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, RDDR_FLOWS_MAX);
	__type(key, struct rddr_flow);
	__type(value, struct rddr_decision);
} diverted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RDDR_COUNTERS_N);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/*
 * One word a CPU: divert is looking a socket up. Such a lookup comes through steer as well, where it means nothing:
 * divert wants to know of connections only, and nothing was steered.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} asking SEC(".maps");

static __always_inline void asking_set(__u32 on)
{
	__u32 zero = 0;
	__u32 *flag = bpf_map_lookup_elem(&asking, &zero);

	if (flag)
		*(volatile __u32 *)flag = on;
}

static __always_inline __u32 asking_get(void)
{
	__u32 zero = 0;
	__u32 *flag = bpf_map_lookup_elem(&asking, &zero);

	return flag ? *(volatile __u32 *)flag : 0;
}

static __always_inline void count(__u32 counter)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &counter);

	if (n)
		(*n)++;
}

static __always_inline struct rddr_control *control_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

/* The search for a live worker. */
struct search {
	__u64 now;
	__u32 start, workers;
	__u32 v6; /* 1 for IPv6 listeners */
	int found;
};

/* One worker; 1 ends the search. It writes nothing before that: each round is like any other to the verifier. */
static long try_worker(__u32 i, void *ctx)
{
	struct search *s = ctx;
	struct rddr_control *c = control_get();
	__u32 worker = s->start + i, slot;
	struct bpf_sock *sk;
	__u64 beat;

	if (!c)
		return 1;
	if (worker >= s->workers)
		worker -= s->workers;
	worker &= RDDR_WORKERS_MAX - 1;
	slot = worker * 2 + s->v6;
	beat = c->heartbeat[worker];
	/* A beat of another CPU may lie a little ahead of now. */
	if (beat == 0 || (__s64)(s->now - beat) > (__s64)c->stale_after)
		return 0;
	sk = bpf_map_lookup_elem(&listeners, &slot);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	s->found = (int)worker;
	return 1;
}

/*
 * The first worker from start on (and round) that is live: its heartbeat is fresh and its listener of that family is in
 * the SOCKMAP. -1: none. (Not static, as others of these: the verifier then looks at it once, not at each call.)
 */
__noinline int live_worker(__u32 start, __u32 family)
{
	struct rddr_control *c = control_get();
	struct search s = {.found = -1};

	if (!c || c->workers == 0 || c->workers > RDDR_WORKERS_MAX)
		return -1;
	s.now = bpf_ktime_get_ns();
	s.workers = c->workers;
	s.start = start % s.workers;
	s.v6 = family == RDDR_FAMILY_V6;
	bpf_loop(s.workers, try_worker, &s, 0);
	return s.found;
}

#endif
