// SPDX-License-Identifier: BSD-2-Clause
/*
 * Probes by doing: each feature is used for a moment, in a network namespace that goes away with this process.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "divert.skel.h"
#include "own.h"
#include "shared.h"
#include "steer.skel.h"
#include "steer_state.h"

#define LOOPBACK 1

/* What the probes share; each leaves what the later ones need. */
struct probing {
	const struct steer_options *options;
	struct steer_bpf *steer;
	struct divert_bpf *divert;
	int netns, link;
};

static int probe_bpffs(struct probing *p)
{
	return rddr_steer_check_bpffs(p->options->pin_dir);
}

static int probe_sk_lookup(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SK_LOOKUP, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_sched_cls(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_sockmap(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_SOCKMAP, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_lpm(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_LPM_TRIE, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_map_in_map(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_lru(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_map_type(BPF_MAP_TYPE_LRU_HASH, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_mmap(struct probing *p)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	_owned_fd_ int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "probe", sizeof(uint32_t), sizeof(uint64_t), 1, &opts);

	(void)p;
	return fd < 0 ? -errno : 0;
}

static int probe_skc_lookup(struct probing *p)
{
	(void)p;
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_skc_lookup_tcp, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int probe_steer(struct probing *p)
{
	p->steer = steer_bpf__open_and_load();
	return p->steer ? 0 : -errno;
}

static int probe_divert(struct probing *p)
{
	p->divert = divert_bpf__open_and_load();
	return p->divert ? 0 : -errno;
}

static int probe_link(struct probing *p)
{
	if (!p->steer || p->netns < 0)
		return -ENODATA;
	p->link = bpf_link_create(bpf_program__fd(p->steer->progs.steer), p->netns, BPF_SK_LOOKUP, NULL);
	return p->link < 0 ? -errno : 0;
}

static int probe_link_update(struct probing *p)
{
	if (p->link < 0)
		return -ENODATA;
	return bpf_link_update(p->link, bpf_program__fd(p->steer->progs.steer), NULL) < 0 ? -errno : 0;
}

static int probe_listener(struct probing *p)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	_owned_fd_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t slot = 0;
	uint64_t value = (uint64_t)fd;

	if (!p->steer || p->netns < 0)
		return -ENODATA;
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, 1) < 0)
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(p->steer->maps.listeners), &slot, &value, BPF_ANY) < 0 ? -errno : 0;
}

static int probe_clsact(struct probing *p)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LOOPBACK, .attach_point = BPF_TC_INGRESS);

	return p->netns < 0 ? -ENODATA : bpf_tc_hook_create(&hook);
}

static int probe_filter(struct probing *p)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = LOOPBACK, .attach_point = BPF_TC_INGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = 1, .priority = 1);

	if (!p->divert || p->netns < 0)
		return -ENODATA;
	opts.prog_fd = bpf_program__fd(p->divert->progs.divert);
	return bpf_tc_attach(&hook, &opts);
}

static int transparent(int family, int level, int option)
{
	_owned_fd_ int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	return fd < 0 || setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

static int probe_transparent4(struct probing *p)
{
	(void)p;
	return transparent(AF_INET, SOL_IP, IP_TRANSPARENT);
}

static int probe_transparent6(struct probing *p)
{
	(void)p;
	return transparent(AF_INET6, SOL_IPV6, IPV6_TRANSPARENT);
}

static const struct probe {
	const char *name;
	int (*run)(struct probing *p);
	const char *what_for;
} probes[] = {
	{"bpffs", probe_bpffs, "to pin what is attached, so that it outlives the daemon"},
	{"prog-sk-lookup", probe_sk_lookup, "to hand connections to the daemon's sockets (CONFIG_BPF, CONFIG_INET)"},
	{"prog-sched-cls", probe_sched_cls, "to bring forwarded packets to this host (CONFIG_NET_CLS_ACT)"},
	{"map-sockmap", probe_sockmap, "to hold the daemon's listeners (CONFIG_BPF_STREAM_PARSER, CONFIG_NET)"},
	{"map-lpm-trie", probe_lpm, "to find the service of a destination"},
	{"map-in-map", probe_map_in_map, "to replace all services at once"},
	{"map-lru-hash", probe_lru, "to remember which flows were taken"},
	{"map-mmap", probe_mmap, "for the daemon's heartbeat"},
	{"helper-skc-lookup-tcp", probe_skc_lookup, "to find the daemon's sockets for packets that come in"},
	{"load-steer", probe_steer, "the program itself passes this kernel's verifier"},
	{"load-divert", probe_divert, "the program itself passes this kernel's verifier"},
	{"link-netns", probe_link, "to attach steer to a network namespace"},
	{"link-update", probe_link_update, "to replace steer without a gap"},
	{"sockmap-listener", probe_listener, "to publish a listener"},
	{"tc-clsact", probe_clsact, "to have a place for divert on an interface (CONFIG_NET_SCH_INGRESS)"},
	{"tc-bpf", probe_filter, "to attach divert there (CONFIG_NET_CLS_BPF)"},
	{"transparent-ipv4", probe_transparent4, "to answer for the servers' addresses, and to dial with the client's"},
	{"transparent-ipv6", probe_transparent6, "the same with IPv6"},
};

static void report(json_object *features, const struct probe *probe, int err)
{
	json_object *feature;

	if (!features) {
		printf("%-3s  %-22s %s%s%s\n", err ? "no" : "yes", probe->name, probe->what_for, err ? ": " : "",
		       err == -ENODATA ? "not tried, for want of the above"
		       : err	       ? strerror(-err)
				       : "");
		return;
	}
	feature = json_object_new_object();
	json_object_object_add(feature, "name", json_object_new_string(probe->name));
	json_object_object_add(feature, "ok", json_object_new_boolean(!err));
	json_object_object_add(feature, "for", json_object_new_string(probe->what_for));
	if (err)
		json_object_object_add(feature, "error", json_object_new_string(strerror(-err)));
	json_object_array_add(features, feature);
}

int rddr_steer_probe(const struct steer_options *options)
{
	struct probing p = {.options = options, .netns = -1, .link = -1};
	json_object *object = NULL, *features = NULL;
	struct utsname name;
	int status = 0;

	uname(&name);
	if (options->json) {
		object = json_object_new_object();
		features = json_object_new_array();
		json_object_object_add(object, "kernel", json_object_new_string(name.release));
		json_object_object_add(object, "features", features);
	} else {
		printf("Linux %s\n", name.release);
	}
	if (unshare(CLONE_NEWNET) < 0)
		rddr_steer_complain(-errno, "making a network namespace to try things in");
	else
		p.netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		int err = probes[i].run(&p);

		report(features, &probes[i], err);
		status |= err != 0;
	}
	steer_bpf__destroy(p.steer);
	divert_bpf__destroy(p.divert);
	rddr_own_close(&p.link);
	rddr_own_close(&p.netns);
	if (object) {
		json_object_object_add(object, "ok", json_object_new_boolean(!status));
		puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE |
								    JSON_C_TO_STRING_SPACED));
		json_object_put(object);
	}
	return status;
}
