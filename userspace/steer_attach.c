// SPDX-License-Identifier: BSD-2-Clause
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "divert.skel.h"
#include "own.h"
#include "shared.h"
#include "steer.skel.h"
#include "steer_guard.h"
#include "steer_state.h"
#include "steering.h"

/* What becomes of the state that is there. */
enum plan {
	PLAN_NEW,     /* there is none */
	PLAN_KEEP,    /* it is this very version's: nothing is replaced */
	PLAN_UPDATE,  /* same ABI: the maps and the link stay, the programs are replaced */
	PLAN_REPLACE, /* another ABI, or damaged: everything is new */
};

struct attach {
	const struct steer_options *options;
	struct steer_state old;
	enum plan plan;
	bool stale;  /* the old state's network namespace is gone */
	gid_t group; /* that the maps are shared with; 0: none */
	struct steer_bpf *steer;
	struct divert_bpf *divert;
	struct steering_services *services;
	int link;
	bool link_updated, published; /* what has to be undone */
};

static struct bpf_map *map_of(struct bpf_object *object, enum steer_map map)
{
	return bpf_object__find_map_by_name(object, rddr_steer_map_name(map));
}

/* Whether a pinned map is what this version would make. */
static bool map_fits(int fd, const struct bpf_map *want)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == bpf_map__type(want) &&
	       info.key_size == bpf_map__key_size(want) && info.value_size == bpf_map__value_size(want) &&
	       info.max_entries == bpf_map__max_entries(want) && info.map_flags == bpf_map__map_flags(want);
}

static bool maps_fit(const struct attach *a)
{
	struct rddr_control control;

	for (int i = 0; i < STEER_MAPS; i++) {
		if (!map_fits(a->old.maps[i], map_of(a->steer->obj, i)))
			return false;
	}
	return rddr_steer_state_control(&a->old, &control) == 0;
}

/* Looks at what is there. PLAN_UPDATE may turn out to be PLAN_KEEP once the programs are loaded. */
static int make_plan(struct attach *a)
{
	uint32_t id, prog_id, netns, own = rddr_steer_own_netns();

	if (rddr_steer_state_empty(&a->old)) {
		a->plan = PLAN_NEW;
		return 0;
	}
	if (a->old.link >= 0) {
		int err = rddr_steer_link_of(a->old.link, &id, &prog_id, &netns);

		if (err)
			return rddr_steer_complain(err, "%s/link is no link of ours", a->old.dir);
		if (netns == 0)
			a->stale = true;
		else if (netns != own)
			return rddr_steer_complain(-EBUSY,
						   "%s is attached in another network namespace (%u, this one is %u): "
						   "detach it, or give another --pin-dir",
						   a->old.dir, netns, own);
	}
	if (!a->stale && maps_fit(a)) {
		a->plan = PLAN_UPDATE;
		return 0;
	}
	a->plan = PLAN_REPLACE;
	if (!a->stale && !a->options->config)
		return rddr_steer_complain(-EINVAL,
					   "%s was attached by another version, whose maps do not fit this one: give "
					   "--config, so that no service goes unprotected, or detach first",
					   a->old.dir);
	return 0;
}

static int reuse(struct bpf_object *object, const struct attach *a, bool old)
{
	for (int i = 0; i < STEER_MAPS; i++) {
		struct bpf_map *map = map_of(object, i);
		int fd = old ? a->old.maps[i] : bpf_map__fd(map_of(a->steer->obj, i));
		int err = map ? bpf_map__reuse_fd(map, fd) : -ENOENT;

		if (err)
			return rddr_steer_complain(err, "using the map %s", rddr_steer_map_name(i));
	}
	return 0;
}

static int load_programs(struct attach *a)
{
	int err = rddr_steer_step("load");

	if (!err && a->plan == PLAN_UPDATE)
		err = reuse(a->steer->obj, a, true);
	if (err)
		return err;
	err = steer_bpf__load(a->steer);
	if (err)
		return rddr_steer_complain(err, "loading the program steer (rddr-steer probe tells what is missing)");
	err = reuse(a->divert->obj, a, false);
	if (err)
		return err;
	err = divert_bpf__load(a->divert);
	if (err)
		return rddr_steer_complain(err, "loading the program divert (rddr-steer probe tells what is missing)");
	return 0;
}

static bool same_program(int pinned, int loaded)
{
	struct steer_program a, b;

	return pinned >= 0 && rddr_steer_program_of(pinned, &a) == 0 && rddr_steer_program_of(loaded, &b) == 0 &&
	       a.tag == b.tag;
}

/* The link's program is the one pinned beside it: rddr_steer_recover has seen to it. */
static bool is_current(const struct attach *a)
{
	return a->old.link >= 0 && same_program(a->old.steer, bpf_program__fd(a->steer->progs.steer)) &&
	       same_program(a->old.divert, bpf_program__fd(a->divert->progs.divert));
}

static int init_control(const struct attach *a)
{
	struct rddr_control c = {
		.abi = RDDR_ABI,
		.attached = 1,
		.fwmark = RDDR_FWMARK,
		.fwmark_mask = RDDR_FWMARK_MASK,
		.fwmark_hold = RDDR_FWMARK_HOLD,
		.stale_after = RDDR_STALE_AFTER,
		.version = RDDR_VERSION,
	};
	uint32_t zero = 0;

	if (getrandom(&c.seed, sizeof(c.seed), 0) != sizeof(c.seed))
		return rddr_steer_complain(-errno, "getrandom");
	if (bpf_map_update_elem(bpf_map__fd(a->steer->maps.control), &zero, &c, BPF_ANY) < 0)
		return rddr_steer_complain(-errno, "writing the map control");
	return 0;
}

static int pin(const struct attach *a, int fd, const char *name)
{
	char path[STEER_PATH_MAX];
	int err = rddr_steer_path(path, a->options->pin_dir, "~new", name);

	if (err)
		return err;
	if (bpf_obj_pin(fd, path) < 0)
		return rddr_steer_complain(-errno, "pinning %s", path);
	return 0;
}

static int pin_all(struct attach *a)
{
	char path[STEER_PATH_MAX];
	int err = rddr_steer_step("mkdir");

	if (!err)
		err = rddr_steer_path(path, a->options->pin_dir, "~new", NULL);
	if (err)
		return err;
	if (mkdir(path, 0700) < 0)
		return rddr_steer_complain(-errno, "making %s", path);
	err = rddr_steer_step("pin-maps");
	for (int i = 0; i < STEER_MAPS && !err; i++)
		err = pin(a, bpf_map__fd(map_of(a->steer->obj, i)), rddr_steer_map_name(i));
	if (!err)
		err = rddr_steer_step("pin-programs");
	if (!err)
		err = pin(a, bpf_program__fd(a->steer->progs.steer), "steer");
	if (!err)
		err = pin(a, bpf_program__fd(a->divert->progs.divert), "divert");
	return err ? err : rddr_steer_share(a->options->pin_dir, "~new", a->group);
}

/* The link that there is gets the new program; else one is made. */
static int link_up(struct attach *a)
{
	int prog = bpf_program__fd(a->steer->progs.steer);
	_owned_fd_ int netns = -1;
	int err = rddr_steer_step("link");

	if (err)
		return err;
	if (a->plan == PLAN_UPDATE && a->old.link >= 0) {
		err = pin(a, a->old.link, "link");
		if (!err)
			err = rddr_steer_step("link-update");
		if (err)
			return err;
		if (bpf_link_update(a->old.link, prog, NULL) < 0)
			return rddr_steer_complain(-errno, "replacing the link's program");
		a->link_updated = true;
		return 0;
	}
	netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return rddr_steer_complain(-errno, "opening /proc/self/ns/net");
	a->link = bpf_link_create(prog, netns, BPF_SK_LOOKUP, NULL);
	if (a->link < 0)
		return rddr_steer_complain(-errno, "attaching steer to the network namespace");
	err = rddr_steer_step("pin-link");
	return err ? err : pin(a, a->link, "link");
}

/* Exchanges DIR~new and DIR, or moves it there. Undone by the same call. */
static int change_places(const struct attach *a)
{
	const char *dir = a->options->pin_dir;
	char path[STEER_PATH_MAX];
	int err = rddr_steer_path(path, dir, "~new", NULL);

	if (err)
		return err;
	if (renameat2(AT_FDCWD, path, AT_FDCWD, dir, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != ENOENT)
		return rddr_steer_complain(-errno, "putting %s in the place of %s", path, dir);
	if (rename(path, dir) < 0)
		return rddr_steer_complain(-errno, "putting %s in the place of %s", path, dir);
	return 0;
}

static int exchange_services(const struct attach *a, const char *suffix)
{
	char path[STEER_PATH_MAX];
	struct steering *steering;
	int err = rddr_steer_step("services");

	if (err || !a->services)
		return err;
	err = rddr_steer_path(path, a->options->pin_dir, suffix, NULL);
	if (err)
		return err;
	err = rddr_steering_open(path, &steering);
	if (err)
		return rddr_steer_complain(err, "opening %s", path);
	err = rddr_steering_exchange_services(steering, a->services);
	rddr_steering_close(&steering);
	return err;
}

/* What is pinned aside takes its place. */
static int publish_pinned(struct attach *a)
{
	int err = link_up(a);

	if (!err)
		err = rddr_steer_step("publish");
	return err ? err : change_places(a);
}

/* Everything is new: the services are in before anybody sees it. */
static int publish_new(struct attach *a)
{
	int err = init_control(a);

	if (!err)
		err = pin_all(a);
	if (!err)
		err = exchange_services(a, "~new");
	if (!err)
		err = publish_pinned(a);
	if (!err)
		a->published = true;
	return err;
}

static int publish_update(struct attach *a)
{
	int err = pin_all(a);

	if (!err)
		err = publish_pinned(a);
	if (err)
		return err;
	a->published = true;
	return exchange_services(a, "");
}

static void undo(struct attach *a)
{
	if (a->published && a->plan != PLAN_NEW)
		change_places(a);
	if (a->link_updated && a->old.steer >= 0 && bpf_link_update(a->old.link, a->old.steer, NULL) < 0)
		rddr_steer_complain(-errno, "giving the link its old program again");
	rddr_steer_remove_new(a->options->pin_dir);
}

/* After the exchange the old state is in DIR~new. Filters may still run a replaced version's program: its maps and its
 * link stay for them. */
static int clear_up(const struct attach *a)
{
	char new_path[STEER_PATH_MAX], old_path[STEER_PATH_MAX];

	if (a->plan != PLAN_REPLACE || a->stale)
		return rddr_steer_remove_new(a->options->pin_dir);
	if (rddr_steer_path(new_path, a->options->pin_dir, "~new", NULL) ||
	    rddr_steer_path(old_path, a->options->pin_dir, "~old", NULL))
		return -ENAMETOOLONG;
	/* Of two versions replaced in a row the older one has to go: its place is taken, and it is removed. */
	if (renameat2(AT_FDCWD, new_path, AT_FDCWD, old_path, RENAME_EXCHANGE) == 0)
		return rddr_steer_remove_new(a->options->pin_dir);
	if (rename(new_path, old_path) < 0)
		return rddr_steer_complain(-errno, "keeping %s for the filters that are in use", old_path);
	return 0;
}

/* The version of the one that attached last, for people. */
static void sign(const struct attach *a)
{
	int fd = bpf_map__fd(a->steer->maps.control);
	struct rddr_control *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (c == MAP_FAILED)
		return;
	memset(c->version, 0, sizeof(c->version));
	strncpy(c->version, RDDR_VERSION, sizeof(c->version) - 1);
	munmap(c, sizeof(*c));
}

static int prepare(struct attach *a)
{
	int err = rddr_steer_group(a->options, &a->group);

	if (!err)
		err = rddr_steer_state_open(a->options->pin_dir, &a->old);
	if (err)
		return err;
	a->steer = steer_bpf__open();
	a->divert = divert_bpf__open();
	if (!a->steer || !a->divert)
		return rddr_steer_complain(-errno, "opening the programs");
	err = make_plan(a);
	if (!err)
		err = load_programs(a);
	if (!err && a->plan == PLAN_UPDATE && is_current(a))
		a->plan = PLAN_KEEP;
	return err;
}

static int publish(struct attach *a)
{
	static const char *const said[] = {
		[PLAN_NEW] = "attached",
		[PLAN_KEEP] = "already attached",
		[PLAN_UPDATE] = "programs replaced",
		[PLAN_REPLACE] = "everything replaced",
	};
	int err;

	if (a->plan == PLAN_KEEP) {
		err = exchange_services(a, "");
		if (!err)
			err = rddr_steer_share(a->options->pin_dir, "", a->group);
	} else if (a->plan == PLAN_UPDATE)
		err = publish_update(a);
	else
		err = publish_new(a);
	if (err) {
		if (a->plan != PLAN_KEEP)
			undo(a);
		return err;
	}
	if (a->plan != PLAN_NEW && a->plan != PLAN_KEEP)
		err = clear_up(a);
	sign(a);
	printf("%s: version %s%s, under %s\n", said[a->plan], RDDR_VERSION, a->services ? ", services published" : "",
	       a->options->pin_dir);
	if (a->plan == PLAN_REPLACE && !a->stale)
		printf("filters of the other version go on until they are replaced by %s/divert; then: rddr-steer "
		       "--pin-dir %s settle\n",
		       a->options->pin_dir, a->options->pin_dir);
	return err;
}

static int attach_work(void *ctx)
{
	struct attach *a = ctx;
	int err = prepare(a);

	if (!err)
		err = publish(a);
	steer_bpf__destroy(a->steer);
	divert_bpf__destroy(a->divert);
	rddr_own_close(&a->link);
	rddr_steer_state_close(&a->old);
	return err ? 1 : 0;
}

int rddr_steer_attach(const struct steer_options *options)
{
	struct attach a = {.options = options, .link = -1};
	struct config *config = NULL;
	int err = 0;

	/* Outside of the lock: names may be slow to resolve. */
	if (options->config) {
		err = rddr_config_load(options->config, &config);
		if (!err)
			err = rddr_steering_build_services(config, &a.services);
		rddr_config_put(&config);
	}
	if (!err)
		err = rddr_steer_guarded(options, attach_work, &a);
	rddr_steering_free_services(&a.services);
	return err ? 1 : 0;
}

/* Moves the state out of the way, and removes it from there: should somebody be killed here, whoever comes next goes on
 * with it. */
static int end_state(const char *dir, const char *suffix)
{
	char path[STEER_PATH_MAX], new_path[STEER_PATH_MAX];
	int err = rddr_steer_path(path, dir, suffix, NULL);

	if (!err)
		err = rddr_steer_path(new_path, dir, "~new", NULL);
	if (!err)
		err = rddr_steer_step("detach");
	if (err)
		return err;
	if (rename(path, new_path) < 0)
		return errno == ENOENT ? 0 : rddr_steer_complain(-errno, "moving %s away", path);
	err = rddr_steer_step("remove");
	return err ? err : rddr_steer_remove_new(dir);
}

static int detach_work(void *ctx)
{
	const struct steer_options *options = ctx;
	bool there = access(options->pin_dir, F_OK) == 0;
	int err = end_state(options->pin_dir, "");

	if (!err)
		err = end_state(options->pin_dir, "~old");
	if (!err)
		printf(there ? "detached: %s\n" : "nothing is attached at %s\n", options->pin_dir);
	return err ? 1 : 0;
}

int rddr_steer_detach(const struct steer_options *options)
{
	return rddr_steer_guarded(options, detach_work, (void *)options);
}

static int settle_work(void *ctx)
{
	const struct steer_options *options = ctx;

	return end_state(options->pin_dir, "~old") ? 1 : 0;
}

int rddr_steer_settle(const struct steer_options *options)
{
	return rddr_steer_guarded(options, settle_work, (void *)options);
}
