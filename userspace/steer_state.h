/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer_state.h - what rddr-steer pins under its directory, and what its commands share.
 *
 * DIR holds six maps, the two programs and the link that attaches steer to a network namespace. A new state is built in
 * DIR~new and takes DIR's place in one rename. DIR~old is a state of another version whose filters may still be in use;
 * `settle` removes it.
 */
#ifndef RDDR_STEER_STATE_H
#define RDDR_STEER_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rddr_control;

enum steer_map {
	STEER_MAP_CONTROL,
	STEER_MAP_LISTENERS,
	STEER_MAP_SERVICES,
	STEER_MAP_DIVERTED,
	STEER_MAP_COUNTERS,
	STEER_MAP_ASKING,
	STEER_MAPS
};

#define STEER_PATH_MAX 512

struct steer_options {
	const char *pin_dir;
	const char *config; /* NULL: none given */
	const char *group;  /* that may open what the daemon needs; NULL: whoever could before */
	bool json;
};

/* What is pinned in one directory. Descriptors are -1 where nothing, or something else, is pinned. */
struct steer_state {
	char dir[STEER_PATH_MAX];
	int maps[STEER_MAPS];
	int steer, divert, link;
};

/* The commands. Each prints what went wrong and returns an exit status. */
int rddr_steer_attach(const struct steer_options *options);
int rddr_steer_detach(const struct steer_options *options);
int rddr_steer_settle(const struct steer_options *options);
int rddr_steer_list(const struct steer_options *options);
int rddr_steer_counters(const struct steer_options *options);
int rddr_steer_dump(const struct steer_options *options);
int rddr_steer_probe(const struct steer_options *options);

/* Writes "rddr-steer: message", with ": strerror(error)" behind it unless error is 0; returns error. */
int rddr_steer_complain(int error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

const char *rddr_steer_map_name(enum steer_map map);

/* Opens what is there; an absent directory is an empty state. 0 or -errno with a message. */
int rddr_steer_state_open(const char *dir, struct steer_state *state);
void rddr_steer_state_close(struct steer_state *state);
bool rddr_steer_state_empty(const struct steer_state *state);
/* The state's control; -ENOENT, or -EPROTO when it is of another ABI (only abi and attached are valid then). */
int rddr_steer_state_control(const struct steer_state *state, struct rddr_control *control);

struct steer_program {
	uint32_t id;
	uint64_t tag; /* of its instructions: differs when the program does */
};
int rddr_steer_program_of(int fd, struct steer_program *out);
/* netns: inode number of the network namespace that the link is attached in; 0: that one is gone. */
int rddr_steer_link_of(int fd, uint32_t *id, uint32_t *prog_id, uint32_t *netns);
uint32_t rddr_steer_own_netns(void);

/* Writes dir with suffix ("~new"; may be empty) and a name under it (may be NULL). 0 or -ENAMETOOLONG with a message.
 */
int rddr_steer_path(char out[STEER_PATH_MAX], const char *dir, const char *suffix, const char *name);
/*
 * Removes DIR~new, if it is there. Where its maps are not those of DIR as well, divert lets everything pass from then
 * on, wherever filters of it are left, and a daemon that has them open sees that it is not attached. 0 or -errno with a
 * message.
 */
int rddr_steer_remove_new(const char *dir);
/* Whether the directory's parent is on a BPF filesystem; else a message that names the mount command. */
int rddr_steer_check_bpffs(const char *dir);

/* ---- steer_share.c ---- */

/* The group that the maps are shared with: the one asked for, or the one that they are shared with already; 0: none.
 * 0 or -errno with a message. */
int rddr_steer_group(const struct steer_options *options, gid_t *gid);
/* Lets the group open what the daemon needs of the state that is pinned under dir and suffix. 0 or -errno with a
 * message. */
int rddr_steer_share(const char *dir, const char *suffix, gid_t gid);

#endif
