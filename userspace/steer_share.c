/* SPDX-License-Identifier: BSD-2-Clause */
/* steer_share.c - lets a group, the daemon's, open the maps that the daemon needs; the rest stays root's alone. */
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "own.h"
#include "steer_state.h"

static const enum steer_map shared[] = {STEER_MAP_CONTROL, STEER_MAP_LISTENERS, STEER_MAP_SERVICES, STEER_MAP_COUNTERS};

int rddr_steer_group(const struct steer_options *options, gid_t *gid)
{
	struct stat st;

	*gid = 0;
	if (options->group) {
		const struct group *group = getgrnam(options->group);

		if (!group)
			return rddr_steer_complain(-ENOENT, "--group %s: there is no such group", options->group);
		*gid = group->gr_gid;
	} else if (stat(options->pin_dir, &st) == 0) {
		*gid = st.st_gid;
	}
	return 0;
}

static int give(const char *path, gid_t gid, mode_t mode)
{
	if (chown(path, (uid_t)-1, gid) < 0 || chmod(path, mode) < 0)
		return rddr_steer_complain(-errno, "letting the group %u use %s", (unsigned)gid, path);
	return 0;
}

int rddr_steer_share(const char *dir, const char *suffix, gid_t gid)
{
	char path[STEER_PATH_MAX];
	int err = rddr_steer_path(path, dir, suffix, NULL);

	if (err || !gid)
		return err;
	err = give(path, gid, 0750);
	for (size_t i = 0; i < ARRAY_LEN(shared) && !err; i++) {
		err = rddr_steer_path(path, dir, suffix, rddr_steer_map_name(shared[i]));
		if (!err)
			err = give(path, gid, 0660);
	}
	return err;
}
