// SPDX-License-Identifier: BSD-2-Clause
#include "../bpf/programs.h"

#include <sys/stat.h>
#include <time.h>

static const char one[] = "services: { shop: { direction: incoming, intercept: { address: 10.0.2.2, port: 80 },"
			  " instances: [ { name: one, chainer: transparent } ] } }\n";
static const char two[] = "services: { mall: { direction: incoming, intercept: { address: \"fd00::/64\", port: all,"
			  " interface: rt0 }, instances: [ { name: one, chainer: transparent } ] } }\n";

static struct rddr_control control(void)
{
	struct rddr_control c;
	uint32_t zero = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(programs.steer->maps.control), &zero, &c), 0);
	return c;
}

/* The active table's entries; 0 where there is none. */
static unsigned entries(void)
{
	uint32_t zero = 0, id;
	struct rddr_service_key key;
	void *previous = NULL;
	unsigned n = 0;
	int fd;

	if (bpf_map_lookup_elem(bpf_map__fd(programs.steer->maps.services), &zero, &id) < 0)
		return 0;
	fd = bpf_map_get_fd_by_id(id);
	assert_true(fd >= 0);
	for (; bpf_map_get_next_key(fd, previous, &key) == 0; n++)
		previous = &key;
	close(fd);
	return n;
}

static void open_says_what_is_wrong(void **state)
{
	struct steering *steering = NULL;
	char path[160], away[160];
	int fd;

	(void)state;
	assert_int_equal(rddr_steering_open("/sys/fs/nothing-here", &steering), -ENOENT);
	/* A map that is missing; one of other values. */
	snprintf(path, sizeof(path), "%s/counters", PINS);
	snprintf(away, sizeof(away), "%s/away", PINS);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(rddr_steering_open(PINS, &steering), -ENOENT);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 4, 1, NULL);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	close(fd);
	assert_int_equal(rddr_steering_open(PINS, &steering), -EPROTO);
	assert_int_equal(rename(away, path), 0);
	assert_null(steering);
	rddr_steering_close(&steering);
	assert_int_equal(rddr_steering_open(PINS, &steering), 0);
	rddr_steering_close(&steering);
	assert_null(steering);
}

static void set_other_abi(struct rddr_control *c)
{
	c->abi = RDDR_ABI + 1;
}

static void set_own_abi(struct rddr_control *c)
{
	c->abi = RDDR_ABI;
}

static void open_refuses_another_abi(void **state)
{
	struct steering *steering = NULL;

	(void)state;
	set_control(set_other_abi);
	assert_int_equal(rddr_steering_open(PINS, &steering), -EPROTO);
	assert_null(steering);
	set_control(set_own_abi);
}

static void set_detached(struct rddr_control *c)
{
	c->attached = 0;
}

static void set_attached(struct rddr_control *c)
{
	c->attached = 1;
}

static void current_sees_that_the_maps_are_others(void **state)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	char path[160], away[160];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/control", PINS);
	snprintf(away, sizeof(away), "%s/away", PINS);
	assert_true(rddr_steering_current(programs.steering));
	set_control(set_detached);
	assert_false(rddr_steering_current(programs.steering));
	set_control(set_attached);
	assert_int_equal(rename(path, away), 0);
	assert_false(rddr_steering_current(programs.steering));
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof(struct rddr_control), 1, &opts);
	assert_int_equal(bpf_obj_pin(fd, path), 0);
	assert_false(rddr_steering_current(programs.steering));
	close(fd);
	assert_int_equal(rename(away, path), 0);
	assert_true(rddr_steering_current(programs.steering));
}

static bool has_listener(uint32_t slot)
{
	uint64_t cookie;

	return bpf_map_lookup_elem(bpf_map__fd(programs.steer->maps.listeners), &slot, &cookie) == 0;
}

static void workers_come_and_go(void **state)
{
	int fd = listener_new("127.0.0.1", 0);

	(void)state;
	assert_int_equal(rddr_steering_publish_listener(programs.steering, RDDR_WORKERS_MAX, AF_INET, fd), -EINVAL);
	assert_true(rddr_steering_publish_listener(programs.steering, 2, AF_INET, -1) < 0);
	assert_int_equal(rddr_steering_set_workers(programs.steering, 0), -EINVAL);
	assert_int_equal(rddr_steering_set_workers(programs.steering, RDDR_WORKERS_MAX + 1), -EINVAL);

	assert_int_equal(rddr_steering_publish_listener(programs.steering, 63, AF_INET, fd), 0);
	assert_int_equal(rddr_steering_set_workers(programs.steering, 64), 0);
	assert_true(has_listener(126));
	assert_false(has_listener(127));
	rddr_steering_beat(programs.steering, 63);
	assert_true(control().heartbeat[63] > 0);
	/* Fewer of them: the slots behind are emptied, their hearts forgotten. */
	assert_int_equal(rddr_steering_set_workers(programs.steering, WORKERS), 0);
	assert_int_equal(control().workers, WORKERS);
	assert_false(has_listener(126));
	assert_int_equal(control().heartbeat[63], 0);
	for (uint32_t slot = 0; slot < WORKERS * 2; slot++)
		assert_true(has_listener(slot));
	/* A listener that is closed is gone from its slot. */
	assert_int_equal(rddr_steering_publish_listener(programs.steering, 5, AF_INET, fd), 0);
	assert_true(has_listener(10));
	close(fd);
	assert_false(has_listener(10));
}

static void hearts_beat_and_rest(void **state)
{
	struct timespec before, after;
	uint64_t beat;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC, &before);
	rddr_steering_beat(programs.steering, 1);
	clock_gettime(CLOCK_MONOTONIC, &after);
	beat = control().heartbeat[1];
	assert_true(beat >= (uint64_t)before.tv_sec * 1000000000u + (uint64_t)before.tv_nsec);
	assert_true(beat <= (uint64_t)after.tv_sec * 1000000000u + (uint64_t)after.tv_nsec);
	rddr_steering_beat(programs.steering, RDDR_WORKERS_MAX); /* none such: nothing happens */
	rddr_steering_rest(programs.steering);
	for (unsigned w = 0; w < RDDR_WORKERS_MAX; w++)
		assert_int_equal(control().heartbeat[w], 0);
}

static void services_are_replaced_whole(void **state)
{
	struct steering_services *built = NULL;
	struct config *config;

	(void)state;
	publish(one);
	assert_int_equal(entries(), 3);
	assert_int_equal(control().classes, RDDR_CLASS_PORT | RDDR_CLASS_ADDRESS);
	assert_int_equal(rddr_config_parse("test", two, strlen(two), &config), 0);
	assert_int_equal(rddr_steering_build_services(config, &built), 0);
	rddr_config_put(&config);
	/* Built, and nothing has changed yet. */
	assert_int_equal(control().classes, RDDR_CLASS_PORT | RDDR_CLASS_ADDRESS);
	assert_int_equal(rddr_steering_exchange_services(programs.steering, built), 0);
	rddr_steering_free_services(&built);
	assert_null(built);
	rddr_steering_free_services(&built);
	assert_int_equal(entries(), 3);
	assert_int_equal(control().classes, RDDR_CLASS_INTERFACE | RDDR_CLASS_ADDRESS_INTERFACE);
	publish(one);
	assert_int_equal(control().classes, RDDR_CLASS_PORT | RDDR_CLASS_ADDRESS);
}

static void counters_are_summed_over_cpus(void **state)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc((size_t)cpus, sizeof(*values));
	uint32_t key = RDDR_COUNTER_divert_syn_marked;

	(void)state;
	for (int i = 0; i < cpus; i++)
		values[i] = 1000u + (unsigned)i;
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(programs.steer->maps.counters), &key, values, BPF_ANY), 0);
	assert_int_equal(counter("divert_syn_marked"), 1000 * cpus + cpus * (cpus - 1) / 2);
	free(values);
	/* Every name is there, the first one and the last. */
	(void)counter("steer_assigned");
	(void)counter("divert_malformed_dropped");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(open_says_what_is_wrong),
		cmocka_unit_test(open_refuses_another_abi),
		cmocka_unit_test(current_sees_that_the_maps_are_others),
		cmocka_unit_test(workers_come_and_go),
		cmocka_unit_test(hearts_beat_and_rest),
		cmocka_unit_test(services_are_replaced_whole),
		cmocka_unit_test(counters_are_summed_over_cpus),
	};

	return cmocka_run_group_tests(tests, programs_up, programs_down);
}
