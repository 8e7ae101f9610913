/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * programs.h - the kernel programs, loaded into a network namespace and a BPF filesystem of the test's own, and run on
 * made-up packets.
 *
 * The namespace has the interface rt0 (10.0.1.1/24, fd00:0:0:1::1/64), whose other end is rt1. The process itself is
 * the daemon: it has a listener of each family for each of two workers, and beats or rests as a test says.
 */
#ifndef RDDR_TEST_PROGRAMS_H
#define RDDR_TEST_PROGRAMS_H

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "addr.h"
#include "config.h"
#include "divert.skel.h"
#include "own.h"
#include "shared.h"
#include "steer.skel.h"
#include "steering.h"

#define WORKERS 2
#define PINS	"/sys/fs/bpf"

static struct {
	struct steer_bpf *steer;
	struct divert_bpf *divert;
	struct steering *steering;
	struct rddr_control *control;
	unsigned ifindex;
	int listeners[WORKERS][2];
} programs;

static inline void shell(const char *command)
{
	/* NOLINTNEXTLINE(cert-env33-c): a constant of the test's own */
	if (system(command) != 0)
		fail_msg("%s", command);
}

static inline int listener_new(const char *address, uint16_t port)
{
	int fd, on = 1;
	struct addr a;

	assert_int_equal(rddr_addr_parse(address, port, &a), 0);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(fd, &a.sa, rddr_addr_len(&a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static inline struct bpf_map *divert_map(const char *name)
{
	return bpf_object__find_map_by_name(programs.divert->obj, name);
}

static inline void load_programs(void)
{
	static const char *const maps[] = {"control", "listeners", "services", "diverted", "counters", "asking"};
	struct rddr_control control = {.abi = RDDR_ABI,
				       .attached = 1,
				       .fwmark = RDDR_FWMARK,
				       .fwmark_mask = RDDR_FWMARK_MASK,
				       .fwmark_hold = RDDR_FWMARK_HOLD,
				       .stale_after = 3600 * 1000000000ull};
	uint32_t zero = 0;
	char path[160];

	programs.steer = steer_bpf__open_and_load();
	programs.divert = divert_bpf__open();
	assert_non_null(programs.steer);
	assert_non_null(programs.divert);
	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(programs.steer->obj, maps[i]);

		assert_non_null(map);
		assert_int_equal(bpf_map__reuse_fd(divert_map(maps[i]), bpf_map__fd(map)), 0);
		snprintf(path, sizeof(path), "%s/%s", PINS, maps[i]);
		assert_int_equal(bpf_obj_pin(bpf_map__fd(map), path), 0);
	}
	assert_int_equal(divert_bpf__load(programs.divert), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(programs.steer->maps.control), &zero, &control, BPF_ANY), 0);
}

/* A group's setup. */
static inline int programs_up(void **state)
{
	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET | CLONE_NEWNS), 0);
	assert_int_equal(mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL), 0);
	/* Both go away with this process, however it ends. */
	assert_int_equal(mount("bpf", PINS, "bpf", 0, NULL), 0);
	shell("ip link set lo up && ip link add rt0 type veth peer name rt1 && ip link set rt1 up &&"
	      " ip addr add 10.0.1.1/24 dev rt0 && ip addr add fd00:0:0:1::1/64 dev rt0 nodad && ip link set rt0 up &&"
	      " ip route add 10.7.0.0/16 via 10.0.1.2 && ip route add fd00:7::/32 via fd00:0:0:1::2 &&"
	      " sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
	programs.ifindex = if_nametoindex("rt0");
	load_programs();
	assert_int_equal(rddr_steering_open(PINS, &programs.steering), 0);
	for (unsigned w = 0; w < WORKERS; w++) {
		programs.listeners[w][0] = listener_new("127.0.0.1", 0);
		programs.listeners[w][1] = listener_new("::1", 0);
		assert_int_equal(
			rddr_steering_publish_listener(programs.steering, w, AF_INET, programs.listeners[w][0]), 0);
		assert_int_equal(
			rddr_steering_publish_listener(programs.steering, w, AF_INET6, programs.listeners[w][1]), 0);
	}
	assert_int_equal(rddr_steering_set_workers(programs.steering, WORKERS), 0);
	return 0;
}

static inline int programs_down(void **state)
{
	(void)state;
	for (unsigned w = 0; w < WORKERS; w++) {
		close(programs.listeners[w][0]);
		close(programs.listeners[w][1]);
	}
	rddr_steering_close(&programs.steering);
	steer_bpf__destroy(programs.steer);
	divert_bpf__destroy(programs.divert);
	return 0;
}

static inline void set_control(void (*change)(struct rddr_control *control))
{
	struct rddr_control control;
	uint32_t zero = 0;
	int fd = bpf_map__fd(programs.steer->maps.control);

	assert_int_equal(bpf_map_lookup_elem(fd, &zero, &control), 0);
	change(&control);
	assert_int_equal(bpf_map_update_elem(fd, &zero, &control, BPF_ANY), 0);
}

static inline void live(void)
{
	for (unsigned w = 0; w < WORKERS; w++)
		rddr_steering_beat(programs.steering, w);
}

static inline void dead(void)
{
	rddr_steering_rest(programs.steering);
}

static inline void publish(const char *yaml)
{
	struct config *config;

	assert_int_equal(rddr_config_parse("test", yaml, strlen(yaml), &config), 0);
	assert_int_equal(rddr_steering_publish_services(programs.steering, config), 0);
	rddr_config_put(&config);
}

struct sought {
	const char *name;
	uint64_t value;
	bool found;
};

static inline void seek_counter(void *ctx, const char *name, uint64_t value)
{
	struct sought *sought = ctx;

	if (!strcmp(name, sought->name)) {
		sought->value = value;
		sought->found = true;
	}
}

static inline uint64_t counter(const char *name)
{
	struct sought sought = {.name = name};

	assert_int_equal(rddr_steering_counters(programs.steering, seek_counter, &sought), 0);
	assert_true(sought.found);
	return sought.value;
}

/* ---- flows ---- */

static inline void flow_of(struct rddr_flow *flow, const char *remote, uint16_t remote_port, const char *local,
			   uint16_t local_port)
{
	int family = strchr(remote, ':') ? AF_INET6 : AF_INET;

	memset(flow, 0, sizeof(*flow));
	assert_int_equal(inet_pton(family, remote, flow->remote), 1);
	assert_int_equal(inet_pton(family, local, flow->local), 1);
	flow->remote_port = htons(remote_port);
	flow->local_port = htons(local_port);
	flow->family = family == AF_INET6 ? RDDR_FAMILY_V6 : RDDR_FAMILY_V4;
}

/* 0: it is not remembered. */
static inline unsigned remembered(const struct rddr_flow *flow)
{
	struct rddr_decision decision;

	if (bpf_map_lookup_elem(bpf_map__fd(divert_map("diverted")), flow, &decision) < 0)
		return 0;
	return decision.kind;
}

static inline void remember(const struct rddr_flow *flow, uint8_t kind, uint8_t worker)
{
	struct rddr_decision decision = {.kind = kind, .worker = worker};

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(divert_map("diverted")), flow, &decision, BPF_ANY), 0);
}

static inline void forget_all(void)
{
	int fd = bpf_map__fd(divert_map("diverted"));
	struct rddr_flow flow;

	while (bpf_map_get_next_key(fd, NULL, &flow) == 0)
		bpf_map_delete_elem(fd, &flow);
}

#endif
