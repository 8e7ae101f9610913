/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plugin.c - loads diff plugins.
 *
 * Each distinct content is kept in a sealed memfd for as long as it is loaded, and loaded from there. The descriptor
 * also keeps the name /proc/self/fd/N that the dynamic linker knows it by from being used for another one: the linker
 * would hand out the old one under it.
 */
#include "plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "own.h"
#include "plugin_image.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3 */
#endif

/* No plugin is nearly as big; a wrong file may be. */
#define LARGEST ((off_t)64 << 20)

struct plugin {
	struct plugin *next;
	unsigned holds; /* 0: nobody's, but the linker did not let go of it */
	char *path;
	int fd; /* the content, sealed */
	size_t len;
	void *handle; /* of dlopen, while it is held */
	struct rddr_diff_plugin ops;
};

static const struct {
	const char *original, *ours;
} original_names[] = {
	{"rddr_diff_builtins.RddrBytesDiff", "bytes"},
	{"rddr_diff_builtins.RddrHttpDiff", "http"},
	{"rddr_diff_builtins.RddrJsonDiff", "json"},
	{"rddr_diff_builtins.RddrPostgresDiff", "postgres"},
};

/* A config's last reference may be given back on any thread. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin *all;

static int is_plugin_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 3 && entry->d_name[0] != '.' && strcmp(entry->d_name + len - 3, ".so") == 0;
}

/* Says which classes there are. */
static int no_such_class(const char *diff_class, const char *dir, char *err, size_t errlen)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_plugin_file, alphasort);
	int len = snprintf(err, errlen, "no diff-class \"%s\": ", diff_class);

	if (n < 0)
		snprintf(err + len, (size_t)len < errlen ? errlen - (size_t)len : 0, "%s: %s", dir, strerror(errno));
	else if (n == 0)
		snprintf(err + len, (size_t)len < errlen ? errlen - (size_t)len : 0, "there are no plugins in %s", dir);
	for (int i = 0; i < n; i++) {
		if ((size_t)len < errlen)
			len += snprintf(err + len, errlen - (size_t)len, "%s%.*s", i ? ", " : "there are ",
					(int)strlen(entries[i]->d_name) - 3, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return -ENOENT;
}

/* A path, or a built-in's file in dir. The caller frees it. */
static int resolve(const char *diff_class, const char *dir, char **path, char *err, size_t errlen)
{
	const char *name = diff_class;
	_owned_mem_ char *file = NULL;

	for (size_t i = 0; i < ARRAY_LEN(original_names); i++)
		if (strcmp(diff_class, original_names[i].original) == 0)
			name = original_names[i].ours;
	if (strchr(name, '/'))
		file = strdup(name);
	else if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return no_such_class(diff_class, dir, err, errlen);
	else if (asprintf(&file, "%s/%s.so", dir, name) < 0)
		file = NULL;
	if (!file) {
		snprintf(err, errlen, "%s: out of memory", diff_class);
		return -ENOMEM;
	}
	if (!strchr(name, '/') && access(file, F_OK))
		return no_such_class(diff_class, dir, err, errlen);
	*path = TAKE_PTR(file);
	return 0;
}

/* Whoever can write the file is as good as the daemon itself. */
static int check_owner(const struct stat *st, char *err, size_t errlen)
{
	if (!S_ISREG(st->st_mode)) {
		snprintf(err, errlen, "is no regular file");
		return -ENOEXEC;
	}
	if (st->st_uid != 0 && st->st_uid != geteuid()) {
		snprintf(err, errlen, "belongs to user %u: only root and the daemon's own user may own plugins",
			 (unsigned)st->st_uid);
		return -EPERM;
	}
	if (st->st_mode & S_IWOTH) {
		snprintf(err, errlen, "may be written by anybody (mode %04o)", (unsigned)st->st_mode & 07777);
		return -EPERM;
	}
	if (st->st_size > LARGEST) {
		snprintf(err, errlen, "is too big for a plugin: %lld bytes", (long long)st->st_size);
		return -EFBIG;
	}
	return 0;
}

static int new_memfd(void)
{
	/* Asked for by newer kernels, where vm.memfd_noexec says so; it is about execve, not about mapping. */
	int fd = memfd_create("rddr-plugin", MFD_CLOEXEC | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("rddr-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	return fd < 0 ? -errno : fd;
}

static int copy(int from, int to, size_t *len)
{
	_owned_mem_ char *buffer = malloc(1 << 16);
	ssize_t n;

	if (!buffer)
		return -ENOMEM;
	*len = 0;
	while ((n = read(from, buffer, 1 << 16)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (*len + (size_t)n > (size_t)LARGEST)
			return -EFBIG;
		for (ssize_t done = 0, put; done < n; done += put) {
			put = write(to, buffer + done, (size_t)(n - done));
			if (put < 0)
				return -errno;
		}
		*len += (size_t)n;
	}
	return 0;
}

/* Copies the file into a memfd that nobody can change any more. */
static int take_copy(const char *path, int *out, size_t *len, char *err, size_t errlen)
{
	/* Without O_NONBLOCK a FIFO would be waited for. */
	_owned_fd_ int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	_owned_fd_ int fd = -1;
	struct stat st;
	int r;

	if (file < 0 || fstat(file, &st)) {
		r = -errno;
		snprintf(err, errlen, "%s", strerror(-r));
		return r;
	}
	r = check_owner(&st, err, errlen);
	if (r < 0)
		return r;
	r = fd = new_memfd();
	if (r >= 0)
		r = copy(file, fd, len);
	if (r >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		r = -errno;
	if (r < 0) {
		snprintf(err, errlen, "cannot be copied: %s", strerror(-r));
		return r;
	}
	*out = TAKE_FD(fd);
	return 0;
}

static bool same_content(const struct plugin *plugin, int fd, size_t len)
{
	void *a, *b;
	bool same;

	if (plugin->len != len)
		return false;
	a = mmap(NULL, len, PROT_READ, MAP_PRIVATE, plugin->fd, 0);
	b = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	same = a != MAP_FAILED && b != MAP_FAILED && memcmp(a, b, len) == 0;
	if (a != MAP_FAILED)
		munmap(a, len);
	if (b != MAP_FAILED)
		munmap(b, len);
	return same;
}

/* The linker's message begins with a name that says nothing to anybody. */
static const char *link_error(const char *name)
{
	const char *text = dlerror();
	size_t len = strlen(name);

	if (!text)
		return "unknown error";
	return strncmp(text, name, len) == 0 && strncmp(text + len, ": ", 2) == 0 ? text + len + 2 : text;
}

/* Loads what the memfd holds and copies the table out of it. */
static int link_in(struct plugin *plugin, char *err, size_t errlen)
{
	const struct rddr_diff_plugin *table;
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", plugin->fd);
	plugin->handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
	if (!plugin->handle) {
		snprintf(err, errlen, "%s", link_error(name));
		return -ENOEXEC;
	}
	table = dlsym(plugin->handle, "rddr_diff_plugin");
	/* What the file said is what is there, unless its own constructors changed it. */
	if (!table || table->abi != RDDR_DIFF_ABI || table->size < offsetof(struct rddr_diff_plugin, validate_params)) {
		snprintf(err, errlen, "rddr_diff_plugin is not what the file says");
		return -EPROTO;
	}
	memset(&plugin->ops, 0, sizeof(plugin->ops));
	memcpy(&plugin->ops, table, table->size < sizeof(plugin->ops) ? table->size : sizeof(plugin->ops));
	if (!plugin->ops.name || !*plugin->ops.name) {
		snprintf(err, errlen, "rddr_diff_plugin has no name");
		return -EPROTO;
	}
	return 0;
}

/* Lets the linker go of it. False: it did not (the plugin was linked to stay, or holds itself). */
static bool unlink_out(struct plugin *plugin)
{
	char name[32];
	void *still;

	if (!plugin->handle)
		return true;
	dlclose(TAKE_PTR(plugin->handle));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", plugin->fd);
	still = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
	if (still)
		dlclose(still);
	return !still;
}

/* Takes it out of use; it stays in the list, with its content, when the linker kept it. */
static void retire(struct plugin *plugin)
{
	struct plugin **at = &all;

	if (!unlink_out(plugin))
		return;
	while (*at != plugin)
		at = &(*at)->next;
	*at = plugin->next;
	close(plugin->fd);
	free(plugin->path);
	free(plugin);
}

/* Puts one that is not loaded yet into the list. Takes fd over when it succeeds. */
static struct plugin *add(const char *path, int fd, size_t len)
{
	struct plugin *plugin = calloc(1, sizeof(*plugin));

	if (plugin)
		plugin->path = strdup(path);
	if (!plugin || !plugin->path) {
		free(plugin);
		return NULL;
	}
	plugin->fd = fd;
	plugin->len = len;
	plugin->next = all;
	all = plugin;
	return plugin;
}

/* Holds the plugin of that content, loaded. Takes fd over. */
static int hold(const char *path, int fd, size_t len, struct plugin **out, char *err, size_t errlen)
{
	_owned_fd_ int content = fd;
	struct plugin *plugin = all;
	int r = 0;

	while (plugin && !same_content(plugin, content, len))
		plugin = plugin->next;
	if (!plugin) {
		plugin = add(path, content, len);
		if (!plugin) {
			snprintf(err, errlen, "out of memory");
			return -ENOMEM;
		}
		TAKE_FD(content);
	}
	if (!plugin->handle) {
		r = rddr_plugin_image_check(plugin->fd, err, errlen);
		if (r == 0)
			r = link_in(plugin, err, errlen);
		if (r < 0) {
			retire(plugin);
			return r;
		}
	}
	plugin->holds++;
	*out = plugin;
	return 0;
}

int rddr_plugin_load(const char *diff_class, const char *dir, struct plugin **out, char *err, size_t errlen)
{
	_owned_mem_ char *path = NULL;
	char cause[512] = "";
	size_t len = 0;
	int r, fd = -1;

	r = resolve(diff_class, dir, &path, err, errlen);
	if (r < 0)
		return r;
	r = take_copy(path, &fd, &len, cause, sizeof(cause));
	if (r == 0) {
		pthread_mutex_lock(&lock);
		r = hold(path, fd, len, out, cause, sizeof(cause));
		pthread_mutex_unlock(&lock);
	}
	if (r < 0)
		snprintf(err, errlen, "%s: %s", path, cause);
	return r;
}

struct plugin *rddr_plugin_get(struct plugin *plugin)
{
	pthread_mutex_lock(&lock);
	plugin->holds++;
	pthread_mutex_unlock(&lock);
	return plugin;
}

void rddr_plugin_put(struct plugin **plugin)
{
	struct plugin *held = TAKE_PTR(*plugin);

	if (!held)
		return;
	pthread_mutex_lock(&lock);
	if (--held->holds == 0)
		retire(held);
	pthread_mutex_unlock(&lock);
}

const struct rddr_diff_plugin *rddr_plugin_ops(const struct plugin *plugin)
{
	return &plugin->ops;
}

const char *rddr_plugin_path(const struct plugin *plugin)
{
	return plugin->path;
}
