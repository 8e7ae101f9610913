/* SPDX-License-Identifier: BSD-2-Clause */
#include "evidence_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "own.h"

#define CHUNK (64u * 1024)

struct evidence_file {
	char *path;
	int fd;
	uint64_t max_size;
	uint32_t keep;
};

/* Makes the folders that the file lies in. Others than the daemon's own group have no business in them. */
static int make_folders(const char *path)
{
	_owned_mem_ char *folder = strdup(path);

	if (!folder)
		return -ENOMEM;
	for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(folder, 0750) && errno != EEXIST)
			return err_r(errno, "evidence: no folder could be made path=%s", folder);
		*slash = '/';
	}
	return 0;
}

/* Ends a line that a process left unfinished, so that the next one does not hang on to it. */
static void finish_line(int fd)
{
	struct stat st;
	char byte;

	if (fstat(fd, &st) || !st.st_size || pread(fd, &byte, 1, st.st_size - 1) != 1 || byte == '\n')
		return;
	if (write(fd, "\n", 1) != 1)
		log_warning("evidence: the file ends in an unfinished line");
}

/* Returns the descriptor or -errno. Anything but a regular file could block the writer, or could not be rotated. */
static int open_file(const char *path)
{
	_owned_fd_ int fd =
		open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOTSUP;
	/* Whatever the umask took away or let in. A file of somebody else's making keeps its mode. */
	if (!st.st_size && st.st_uid == geteuid() && fchmod(fd, 0640))
		return -errno;
	finish_line(fd);
	return TAKE_FD(fd);
}

int rddr_evidence_file_open(const char *path, struct evidence_file **out)
{
	struct evidence_file *file;
	int err = make_folders(path);
	int fd;

	if (err)
		return err;
	fd = open_file(path);
	if (fd == -ENOTSUP)
		return err_r(fd, "evidence: not a regular file path=%s", path);
	if (fd < 0)
		return err_r(fd, "evidence: the file cannot be opened path=%s", path);
	file = calloc(1, sizeof(*file));
	if (file)
		file->path = strdup(path);
	if (!file || !file->path) {
		free(file);
		close(fd);
		return -ENOMEM;
	}
	file->fd = fd;
	file->max_size = UINT64_MAX;
	*out = file;
	return 0;
}

void rddr_evidence_file_close(struct evidence_file **file)
{
	if (!*file)
		return;
	rddr_own_close(&(*file)->fd);
	free((*file)->path);
	free(*file);
	*file = NULL;
}

void rddr_evidence_file_limit(struct evidence_file *file, uint64_t max_size, uint32_t keep)
{
	file->max_size = max_size;
	file->keep = keep;
}

const char *rddr_evidence_file_path(const struct evidence_file *file)
{
	return file->path;
}

/* Opens the path anew when what is open is no longer what lies there. Fills st of the open file. */
static int follow(struct evidence_file *file, struct stat *st)
{
	struct stat there;

	if (file->fd >= 0 && !fstat(file->fd, st) && !stat(file->path, &there) && there.st_ino == st->st_ino &&
	    there.st_dev == st->st_dev)
		return 0;
	rddr_own_close(&file->fd);
	file->fd = open_file(file->path);
	if (file->fd < 0) {
		int err = file->fd;

		file->fd = -1;
		return err;
	}
	return fstat(file->fd, st) ? -errno : 0;
}

static void old_name(const struct evidence_file *file, uint32_t i, char name[PATH_MAX])
{
	snprintf(name, PATH_MAX, "%s.%u", file->path, i);
}

/* FILE becomes FILE.1, and so on up to the first number that is free; what is past the last is removed. */
static int move_away(const struct evidence_file *file)
{
	char from[PATH_MAX], to[PATH_MAX];
	uint32_t hole = 1;

	if (strlen(file->path) + sizeof(".4294967295") > PATH_MAX)
		return -ENAMETOOLONG;
	for (; hole < file->keep; hole++) {
		old_name(file, hole, to);
		if (access(to, F_OK))
			break;
	}
	/* Ones that an earlier, larger limit kept. */
	for (uint32_t i = file->keep + 1; i > file->keep; i++) {
		old_name(file, i, to);
		if (unlink(to))
			break;
	}
	if (!file->keep)
		return unlink(file->path) ? -errno : 0;
	for (uint32_t i = hole; i > 0; i--) {
		old_name(file, i, to);
		if (i > 1)
			old_name(file, i - 1, from);
		if (rename(i > 1 ? from : file->path, to))
			return -errno;
	}
	return 0;
}

static int rotate(struct evidence_file *file, struct stat *st)
{
	struct stat now;
	bool moved;
	int err;

	if (flock(file->fd, LOCK_EX | LOCK_NB)) {
		/* Somebody rotates it right now; one who hangs in it must not make the file grow for ever. */
		return errno == EWOULDBLOCK && (uint64_t)st->st_size / 2 < file->max_size ? 0 : -errno;
	}
	err = follow(file, &now);
	moved = !err && (now.st_ino != st->st_ino || now.st_dev != st->st_dev);
	/* Another process was first: there is a fresh file, and the lock went with the old one. */
	if (err || moved) {
		*st = now;
		return err;
	}
	err = move_away(file);
	flock(file->fd, LOCK_UN);
	return err ? err : follow(file, st);
}

/* Takes back what a failed write left, unless another process has appended to it since. */
static void take_back(int fd, off_t before, size_t written)
{
	struct stat st;

	if (!written)
		return;
	if (fstat(fd, &st) || st.st_size != before + (off_t)written || ftruncate(fd, before))
		finish_line(fd);
}

int rddr_evidence_file_append(struct evidence_file *file, const char *line, size_t len)
{
	struct iovec iov[] = {{(void *)line, len}, {"\n", 1}};
	struct stat st;
	ssize_t n;
	int err;

	if (len + 1 > EVIDENCE_LINE_MAX)
		return -EMSGSIZE;
	err = follow(file, &st);
	if (!err && st.st_size && (uint64_t)st.st_size + len + 1 > file->max_size)
		err = rotate(file, &st);
	if (err)
		return err;
	do
		n = writev(file->fd, iov, 2);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((size_t)n == len + 1)
		return 0;
	take_back(file->fd, st.st_size, (size_t)n);
	return -ENOSPC;
}

/* Reads a file from its end. The bytes of the file from pos on, have of them, are in buf, unless they were handed out.
 */
struct reader {
	int fd;
	char *buf; /* EVIDENCE_LINE_MAX + CHUNK + 1 bytes */
	off_t pos;
	size_t have;
	bool skipping; /* inside a line that is too long */
	bool (*each)(void *ctx, const char *line, size_t len);
	void *ctx;
};

/* Puts the bytes in front of buf's into it. */
static int read_before(struct reader *r)
{
	size_t n = r->pos < (off_t)CHUNK ? (size_t)r->pos : CHUNK;
	size_t got = 0;

	if (r->have > EVIDENCE_LINE_MAX) {
		r->have = 0;
		r->skipping = true;
	}
	memmove(r->buf + n, r->buf, r->have);
	while (got < n) {
		ssize_t m = pread(r->fd, r->buf + got, n - got, r->pos - (off_t)n + (off_t)got);

		if (m < 0 && errno == EINTR)
			continue;
		if (m <= 0)
			return m < 0 ? -errno : -EIO; /* it was made shorter under us */
		got += (size_t)m;
	}
	r->pos -= (off_t)n;
	r->have += n;
	return 0;
}

/* Hands out buf from begin on, and forgets it. False: enough. */
static bool hand_out(struct reader *r, size_t begin)
{
	bool skip = r->skipping || begin == r->have;
	size_t len = r->have - begin;

	r->skipping = false;
	r->buf[r->have] = '\0';
	r->have = begin;
	return skip || r->each(r->ctx, r->buf + begin, len);
}

/* 1: go on with the next file; 0: enough; -errno. */
static int read_file(struct reader *r)
{
	off_t size = lseek(r->fd, 0, SEEK_END);

	if (size < 0)
		return -errno;
	r->pos = size;
	r->have = 0;
	r->skipping = false;
	while (r->pos || r->have) {
		char *newline = memrchr(r->buf, '\n', r->have);
		int err;

		if (newline) {
			if (!hand_out(r, (size_t)(newline - r->buf) + 1))
				return 0;
			r->have--; /* the newline of the line before */
		} else if (r->pos) {
			err = read_before(r);
			if (err)
				return err;
		} else if (!hand_out(r, 0)) {
			return 0;
		}
	}
	return 1;
}

int rddr_evidence_file_read(const struct evidence_file *file, bool (*each)(void *ctx, const char *line, size_t len),
			    void *ctx)
{
	_owned_mem_ char *buf = malloc(EVIDENCE_LINE_MAX + CHUNK + 1);
	struct reader reader = {.buf = buf, .each = each, .ctx = ctx};
	unsigned missing = 0;
	char name[PATH_MAX];
	int go_on = 1;

	if (!buf)
		return -ENOMEM;
	for (uint32_t i = 0; i <= file->keep && go_on > 0; i++) {
		if (i)
			old_name(file, i, name);
		else
			snprintf(name, sizeof(name), "%s", file->path);
		reader.fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		/* One may be missing: the current file before its first line, or one of a rotation that was cut off. */
		if (reader.fd < 0 && errno == ENOENT && ++missing > 2)
			break;
		if (reader.fd < 0 && errno == ENOENT)
			continue;
		if (reader.fd < 0)
			return -errno;
		go_on = read_file(&reader);
		close(reader.fd);
	}
	return go_on < 0 ? go_on : 0;
}
