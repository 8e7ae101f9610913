// SPDX-License-Identifier: BSD-2-Clause
#include "steering.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "config.h"
#include "log.h"
#include "own.h"
#include "shared.h"
#include "steering_table.h"

struct steering {
	char *dir;
	int control_fd, listeners_fd, services_fd, counters_fd;
	uint32_t control_id;
	struct rddr_control *control;
};

struct steering_services {
	int fd;
	uint32_t classes;
};

static const char *const counter_names[] = {
#define X(name, help) #name,
	RDDR_COUNTERS(X)
#undef X
};
_Static_assert(ARRAY_LEN(counter_names) == RDDR_COUNTERS_N, "every counter has a name");

/* Opens one pinned map and checks that it is what this version would make. value: 0 for whatever it is. */
static int map_open(const char *dir, const char *name, uint32_t value, int *fd, uint32_t *id)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	_owned_fd_ int opened = -1;
	char path[512];

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	opened = bpf_obj_get(path);
	if (opened < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(opened, &info, &len) < 0)
		return -errno;
	if (value && info.value_size != value)
		return -EPROTO;
	if (id)
		*id = info.id;
	*fd = TAKE_FD(opened);
	return 0;
}

static int open_all(struct steering *s)
{
	int err = map_open(s->dir, "control", sizeof(struct rddr_control), &s->control_fd, &s->control_id);

	if (err)
		return err;
	s->control = mmap(NULL, sizeof(*s->control), PROT_READ | PROT_WRITE, MAP_SHARED, s->control_fd, 0);
	if (s->control == MAP_FAILED) {
		s->control = NULL;
		return -errno;
	}
	if (s->control->abi != RDDR_ABI)
		return -EPROTO;
	err = map_open(s->dir, "listeners", 0, &s->listeners_fd, NULL);
	if (!err)
		err = map_open(s->dir, "services", 0, &s->services_fd, NULL);
	if (!err)
		err = map_open(s->dir, "counters", sizeof(uint64_t), &s->counters_fd, NULL);
	return err;
}

int rddr_steering_open(const char *dir, struct steering **out)
{
	struct steering *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->control_fd = s->listeners_fd = s->services_fd = s->counters_fd = -1;
	s->dir = strdup(dir);
	err = s->dir ? open_all(s) : -ENOMEM;
	if (err) {
		rddr_steering_close(&s);
		return err;
	}
	*out = s;
	return 0;
}

void rddr_steering_close(struct steering **steering)
{
	struct steering *s = *steering;

	if (!s)
		return;
	if (s->control)
		munmap(s->control, sizeof(*s->control));
	rddr_own_close(&s->control_fd);
	rddr_own_close(&s->listeners_fd);
	rddr_own_close(&s->services_fd);
	rddr_own_close(&s->counters_fd);
	free(s->dir);
	free(s);
	*steering = NULL;
}

bool rddr_steering_current(const struct steering *steering)
{
	_owned_fd_ int fd = -1;
	uint32_t id = 0;

	/* Detached maps live on for as long as somebody has them open: the flag tells. */
	return steering->control->attached && map_open(steering->dir, "control", 0, &fd, &id) == 0 &&
	       id == steering->control_id;
}

int rddr_steering_publish_listener(struct steering *steering, unsigned worker, int family, int fd)
{
	uint32_t slot = worker * 2 + (family == AF_INET6);
	uint64_t value = (uint64_t)fd;

	if (worker >= RDDR_WORKERS_MAX)
		return err_r(-EINVAL, "steering: worker %u is past the last of %u", worker, RDDR_WORKERS_MAX);
	if (bpf_map_update_elem(steering->listeners_fd, &slot, &value, BPF_ANY) < 0)
		return err_r(-errno, "steering: publishing the %s listener of worker %u",
			     family == AF_INET6 ? "IPv6" : "IPv4", worker);
	return 0;
}

int rddr_steering_set_workers(struct steering *steering, unsigned workers)
{
	struct rddr_control *c = steering->control;

	if (workers == 0 || workers > RDDR_WORKERS_MAX)
		return err_r(-EINVAL, "steering: %u workers, of at most %u", workers, RDDR_WORKERS_MAX);
	__atomic_store_n(&c->workers, workers, __ATOMIC_RELEASE);
	for (uint32_t slot = workers * 2; slot < RDDR_LISTENERS_MAX; slot++) {
		__atomic_store_n(&c->heartbeat[slot / 2], 0, __ATOMIC_RELAXED);
		if (bpf_map_delete_elem(steering->listeners_fd, &slot) < 0 && errno != ENOENT && errno != EINVAL)
			return err_r(-errno, "steering: emptying the slots of worker %u", slot / 2);
	}
	return 0;
}

static int trie_fill(int fd, const struct steering_table *table)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct steering_entry *entry = &table->entries[i];

		if (bpf_map_update_elem(fd, &entry->key, &entry->value, BPF_NOEXIST) == 0)
			continue;
		if (errno == ENOSPC)
			return err_r(-ENOSPC, "steering: the service table is full after %zu entries", i);
		return err_r(-errno, "steering: filling the service table");
	}
	return 0;
}

int rddr_steering_build_services(const struct config *config, struct steering_services **out)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	struct steering_table table = {0};
	struct steering_services *s;
	int err = rddr_steering_table_build(config, if_nametoindex, &table);

	if (err)
		return err;
	s = calloc(1, sizeof(*s));
	if (!s) {
		rddr_steering_table_free(&table);
		return -ENOMEM;
	}
	s->classes = table.classes;
	s->fd = bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "services", sizeof(struct rddr_service_key),
			       sizeof(struct rddr_service), RDDR_SERVICES_MAX, &opts);
	if (s->fd < 0)
		err = err_r(-errno, "steering: creating a service table");
	else
		err = trie_fill(s->fd, &table);
	rddr_steering_table_free(&table);
	if (err) {
		rddr_steering_free_services(&s);
		return err;
	}
	*out = s;
	return 0;
}

void rddr_steering_free_services(struct steering_services **services)
{
	if (!*services)
		return;
	rddr_own_close(&(*services)->fd);
	free(*services);
	*services = NULL;
}

int rddr_steering_exchange_services(struct steering *steering, const struct steering_services *services)
{
	struct rddr_control *c = steering->control;
	uint32_t old = __atomic_load_n(&c->classes, __ATOMIC_ACQUIRE);
	uint32_t zero = 0;

	/* While the tables change, what either of them holds is looked up. The update returns when no program sees the
	 * old one any more. */
	__atomic_store_n(&c->classes, old | services->classes, __ATOMIC_RELEASE);
	if (bpf_map_update_elem(steering->services_fd, &zero, &services->fd, BPF_ANY) < 0) {
		int err = -errno;

		__atomic_store_n(&c->classes, old, __ATOMIC_RELEASE);
		return err_r(err, "steering: exchanging the service table");
	}
	__atomic_store_n(&c->classes, services->classes, __ATOMIC_RELEASE);
	return 0;
}

int rddr_steering_publish_services(struct steering *steering, const struct config *config)
{
	struct steering_services *services;
	int err = rddr_steering_build_services(config, &services);

	if (err)
		return err;
	err = rddr_steering_exchange_services(steering, services);
	rddr_steering_free_services(&services);
	return err;
}

uint64_t rddr_steering_interfaces(const struct config *config)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < config->n_rules; i++) {
		const char *name = config->rules[i]->interface;

		/* FNV's prime: the order counts. */
		if (name[0])
			sum = (sum ^ if_nametoindex(name)) * 0x100000001b3u;
	}
	return sum;
}

bool rddr_steering_steers(const struct steering *steering)
{
	return __atomic_load_n(&steering->control->classes, __ATOMIC_ACQUIRE) != 0;
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool rddr_steering_live(const struct steering *steering)
{
	uint64_t now = clock_ns();

	for (unsigned i = 0; i < RDDR_WORKERS_MAX; i++) {
		uint64_t beat = __atomic_load_n(&steering->control->heartbeat[i], __ATOMIC_RELAXED);

		/* One that beats meanwhile is later than now. */
		if (beat && (int64_t)(now - beat) <= (int64_t)steering->control->stale_after)
			return true;
	}
	return false;
}

void rddr_steering_beat(struct steering *steering, unsigned worker)
{
	if (worker < RDDR_WORKERS_MAX)
		__atomic_store_n(&steering->control->heartbeat[worker], clock_ns(), __ATOMIC_RELAXED);
}

void rddr_steering_rest(struct steering *steering)
{
	for (unsigned i = 0; i < RDDR_WORKERS_MAX; i++)
		__atomic_store_n(&steering->control->heartbeat[i], 0, __ATOMIC_RELAXED);
}

int rddr_steering_counters(struct steering *steering, void (*each)(void *ctx, const char *name, uint64_t value),
			   void *ctx)
{
	int cpus = libbpf_num_possible_cpus();
	_owned_mem_ uint64_t *values = NULL;

	if (cpus < 0)
		return cpus;
	values = calloc((size_t)cpus, sizeof(*values));
	if (!values)
		return -ENOMEM;
	for (uint32_t i = 0; i < RDDR_COUNTERS_N; i++) {
		uint64_t sum = 0;

		if (bpf_map_lookup_elem(steering->counters_fd, &i, values) < 0)
			return -errno;
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[cpu];
		each(ctx, counter_names[i], sum);
	}
	return 0;
}
