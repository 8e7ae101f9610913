/* SPDX-License-Identifier: BSD-2-Clause */
#include "control_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "own.h"

#define BACKLOG 64
/* How often, and how many ms apart, the folder's lock is tried. */
#define LOCK_TRIES 100
#define LOCK_EVERY 10

/* Whether the path may be taken: nothing is there, or a socket that nobody answers on. */
static int check_path(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, err;

	if (lstat(sun->sun_path, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) ? errno : 0;
	close(fd);
	if (err == ECONNREFUSED || err == ENOENT)
		return 0;
	/* A full backlog is somebody's, too. */
	return err && err != EAGAIN ? -err : -EADDRINUSE;
}

static void make_folder(const char *path)
{
	_owned_mem_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (!slash || slash == folder)
		return;
	*slash = '\0';
	if (mkdir(folder, 0755) && errno != EEXIST)
		err_r(errno, "control: the folder cannot be made path=%s", folder);
}

/* The folder, locked: of daemons that start at the same time one looks at the path, and takes it, before the next one
 * looks. -1 when somebody holds the lock for long, who is no daemon: then it goes without. */
static int lock_folder(const char *path)
{
	_owned_mem_ char *folder = strdup(path);
	char *slash = folder ? strrchr(folder, '/') : NULL;

	if (slash)
		slash[slash == folder] = '\0';
	_owned_fd_ int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; fd >= 0 && i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return TAKE_FD(fd);
		usleep(LOCK_EVERY * 1000);
	}
	return -1;
}

/* Binds beside the path and moves the socket there when it is ready: nobody ever finds it absent, or with another mode.
 */
static int bind_and_listen(int fd, const struct sockaddr_un *sun)
{
	struct sockaddr_un beside = *sun;
	char *last = &beside.sun_path[strlen(beside.sun_path) - 1];

	/* Its last letter changed: a name that is as long always fits. */
	*last = *last == '~' ? '_' : '~';
	if (unlink(beside.sun_path) && errno != ENOENT)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&beside, sizeof(beside)))
		return -errno;
	if (chmod(beside.sun_path, 0660) || listen(fd, BACKLOG) || rename(beside.sun_path, sun->sun_path)) {
		int err = -errno;

		unlink(beside.sun_path);
		return err;
	}
	return 0;
}

static const char *explain(int err)
{
	switch (err) {
	case -EADDRINUSE:
		return "another daemon answers there";
	case -EEXIST:
		return "something that is no socket is there";
	case -ENAMETOOLONG:
		return "the path is too long for a socket";
	default:
		return strerrordesc_np(-err);
	}
}

static int open_socket(const char *path, int *out, struct control_place *place)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	_owned_fd_ int fd = -1, lock = -1;
	struct stat st;
	int err;

	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(sun.sun_path))
		return -ENAMETOOLONG;
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	make_folder(path);
	lock = lock_folder(path);
	(void)lock; /* held until the end of this function */
	err = check_path(&sun);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	err = bind_and_listen(fd, &sun);
	if (err)
		return err;
	if (lstat(path, &st))
		return -errno;
	place->dev = st.st_dev;
	place->ino = st.st_ino;
	*out = TAKE_FD(fd);
	return 0;
}

int rddr_control_socket_listen(const char *path, int *out, struct control_place *place)
{
	int err = open_socket(path, out, place);

	if (err)
		log_error("control: cannot listen path=%s: %s", path, explain(err));
	return err;
}

void rddr_control_socket_remove(const char *path, const struct control_place *place)
{
	struct stat st;

	if (!lstat(path, &st) && st.st_dev == place->dev && st.st_ino == place->ino)
		unlink(path);
}
