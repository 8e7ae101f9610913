// SPDX-License-Identifier: BSD-2-Clause
#include "steer_state.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "own.h"
#include "shared.h"

static const char *const map_names[] = {
	[STEER_MAP_CONTROL] = "control",   [STEER_MAP_LISTENERS] = "listeners", [STEER_MAP_SERVICES] = "services",
	[STEER_MAP_DIVERTED] = "diverted", [STEER_MAP_COUNTERS] = "counters",	[STEER_MAP_ASKING] = "asking",
};
_Static_assert(ARRAY_LEN(map_names) == STEER_MAPS, "every map has a name");

const char *rddr_steer_map_name(enum steer_map map)
{
	return map_names[map];
}

int rddr_steer_complain(int error, const char *fmt, ...)
{
	va_list args;

	fputs("rddr-steer: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	if (error)
		fprintf(stderr, ": %s", strerror(-error));
	fputc('\n', stderr);
	return error;
}

int rddr_steer_path(char out[STEER_PATH_MAX], const char *dir, const char *suffix, const char *name)
{
	int n = snprintf(out, STEER_PATH_MAX, "%s%s%s%s", dir, suffix, name ? "/" : "", name ? name : "");

	if (n < 0 || n >= STEER_PATH_MAX)
		return rddr_steer_complain(-ENAMETOOLONG, "%s", dir);
	return 0;
}

int rddr_steer_check_bpffs(const char *dir)
{
	_owned_mem_ char *parent = strdup(dir);
	struct statfs fs;
	char *slash;

	if (!parent)
		return -ENOMEM;
	slash = strrchr(parent, '/');
	if (dir[0] != '/' || slash == parent || !slash[1])
		return rddr_steer_complain(
			-EINVAL, "--pin-dir %s: not an absolute path of a directory in a BPF filesystem", dir);
	*slash = '\0';
	if (statfs(parent, &fs) < 0)
		return rddr_steer_complain(-errno, "--pin-dir %s: %s", dir, parent);
	if (fs.f_type != BPF_FS_MAGIC)
		return rddr_steer_complain(-EINVAL,
					   "--pin-dir %s: %s is not on a BPF filesystem; mount one first: mount -t bpf "
					   "bpf /sys/fs/bpf",
					   dir, parent);
	return 0;
}

static int pin_open(const char *dir, const char *name, int *fd)
{
	char path[STEER_PATH_MAX];
	int err = rddr_steer_path(path, dir, "", name);

	if (err)
		return err;
	*fd = bpf_obj_get(path);
	if (*fd >= 0 || errno == ENOENT)
		return 0;
	return rddr_steer_complain(-errno, "opening %s", path);
}

int rddr_steer_state_open(const char *dir, struct steer_state *state)
{
	struct steer_state s = {.steer = -1, .divert = -1, .link = -1};
	int err = rddr_steer_path(s.dir, dir, "", NULL);

	for (int i = 0; i < STEER_MAPS; i++)
		s.maps[i] = -1;
	for (int i = 0; i < STEER_MAPS && !err; i++)
		err = pin_open(dir, map_names[i], &s.maps[i]);
	if (!err)
		err = pin_open(dir, "steer", &s.steer);
	if (!err)
		err = pin_open(dir, "divert", &s.divert);
	if (!err)
		err = pin_open(dir, "link", &s.link);
	*state = s;
	if (err)
		rddr_steer_state_close(state);
	return err;
}

void rddr_steer_state_close(struct steer_state *state)
{
	for (int i = 0; i < STEER_MAPS; i++)
		rddr_own_close(&state->maps[i]);
	rddr_own_close(&state->steer);
	rddr_own_close(&state->divert);
	rddr_own_close(&state->link);
}

bool rddr_steer_state_empty(const struct steer_state *state)
{
	for (int i = 0; i < STEER_MAPS; i++) {
		if (state->maps[i] >= 0)
			return false;
	}
	return state->steer < 0 && state->divert < 0 && state->link < 0;
}

int rddr_steer_state_control(const struct steer_state *state, struct rddr_control *control)
{
	int fd = state->maps[STEER_MAP_CONTROL];
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), zero = 0;
	_owned_mem_ uint32_t *value = NULL;

	memset(control, 0, sizeof(*control));
	if (fd < 0)
		return -ENOENT;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	if (info.key_size != sizeof(zero) || info.value_size < 2 * sizeof(uint32_t))
		return -EPROTO;
	value = calloc(1, (info.value_size + 7) & ~7u);
	if (!value)
		return -ENOMEM;
	if (bpf_map_lookup_elem(fd, &zero, value) < 0)
		return -errno;
	control->abi = value[0];
	control->attached = value[1];
	if (control->abi != RDDR_ABI || info.value_size != sizeof(*control))
		return -EPROTO;
	memcpy(control, value, sizeof(*control));
	control->version[sizeof(control->version) - 1] = '\0';
	return 0;
}

int rddr_steer_program_of(int fd, struct steer_program *out)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	out->id = info.id;
	memcpy(&out->tag, info.tag, sizeof(out->tag));
	return 0;
}

int rddr_steer_link_of(int fd, uint32_t *id, uint32_t *prog_id, uint32_t *netns)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		return -errno;
	*id = info.id;
	*prog_id = info.prog_id;
	*netns = info.netns.netns_ino;
	return 0;
}

uint32_t rddr_steer_own_netns(void)
{
	struct stat st;

	return stat("/proc/self/ns/net", &st) < 0 ? 0 : (uint32_t)st.st_ino;
}

static int remove_pins(const char *dir, const char *suffix)
{
	char path[STEER_PATH_MAX], entry_path[STEER_PATH_MAX];
	const struct dirent *entry;
	int err = rddr_steer_path(path, dir, suffix, NULL);
	DIR *d;

	if (err)
		return err;
	d = opendir(path);
	if (!d)
		return errno == ENOENT ? 0 : rddr_steer_complain(-errno, "opening %s", path);
	while ((entry = readdir(d)) != NULL) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (rddr_steer_path(entry_path, path, "", entry->d_name) || unlink(entry_path) < 0)
			err = rddr_steer_complain(-errno, "removing %s", entry_path);
	}
	closedir(d);
	if (!err && rmdir(path) < 0)
		err = rddr_steer_complain(-errno, "removing %s", path);
	return err;
}

static uint32_t map_id(int fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 ? info.id : 0;
}

/* abi and attached come first in every version. */
static int say_detached(const struct steer_state *state)
{
	int fd = state->maps[STEER_MAP_CONTROL];
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint32_t *words;

	words = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (words == MAP_FAILED)
		return rddr_steer_complain(-errno, "mapping the map control of %s", state->dir);
	__atomic_store_n(&words[1], 0, __ATOMIC_RELEASE);
	munmap(words, page);
	return 0;
}

int rddr_steer_remove_new(const char *dir)
{
	char path[STEER_PATH_MAX];
	struct steer_state gone, state;
	int err = rddr_steer_path(path, dir, "~new", NULL);

	if (err || access(path, F_OK) < 0)
		return err;
	err = rddr_steer_state_open(path, &gone);
	if (err)
		return err;
	err = rddr_steer_state_open(dir, &state);
	if (!err) {
		uint32_t id = map_id(gone.maps[STEER_MAP_CONTROL]);

		if (id && id != map_id(state.maps[STEER_MAP_CONTROL]))
			err = say_detached(&gone);
		rddr_steer_state_close(&state);
	}
	rddr_steer_state_close(&gone);
	return err ? err : remove_pins(dir, "~new");
}
