/* SPDX-License-Identifier: BSD-2-Clause */
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "control.h"

static size_t from_environment(const char *name, size_t otherwise)
{
	const char *text = getenv(name);
	long value = text ? strtol(text, NULL, 10) : 0;

	return value > 0 ? (size_t)value : otherwise;
}

int patience_ms(void)
{
	return 10000 * (int)from_environment("RDDR_PATIENCE", 1);
}

size_t load_scale(void)
{
	return from_environment("RDDR_LOAD_SCALE", 1);
}

uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

void breathe(void)
{
	poll(NULL, 0, 2);
}

/* ---- the log ---- */

static void *read_log(void *ctx)
{
	struct child *c = ctx;
	char buf[4096];
	ssize_t n;

	while ((n = read(c->log_fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR)) {
		pthread_mutex_lock(&c->lock);
		if (c->log_len + (size_t)n + 1 > c->log_room) {
			size_t room = (c->log_len + (size_t)n + 1) * 2;
			char *more = realloc(c->log, room);

			if (!more)
				abort();
			c->log = more;
			c->log_room = room;
		}
		memcpy(c->log + c->log_len, buf, (size_t)n);
		c->log_len += (size_t)n;
		c->log[c->log_len] = '\0';
		pthread_cond_broadcast(&c->more);
		pthread_mutex_unlock(&c->lock);
	}
	pthread_mutex_lock(&c->lock);
	c->log_ended = true;
	pthread_cond_broadcast(&c->more);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

void child_show_log(struct child *c)
{
	size_t tail = 6000;

	pthread_mutex_lock(&c->lock);
	const char *from = c->log_len > tail ? c->log + c->log_len - tail : c->log;
	fprintf(stderr, "--- the log of the daemon ends with:\n%s---\n", from ? from : "");
	pthread_mutex_unlock(&c->lock);
}

void child_wait_log(struct child *c, const char *text, size_t *at)
{
	struct timespec until;
	size_t from = at ? *at : 0;
	const char *found = NULL;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += patience_ms() / 1000;
	pthread_mutex_lock(&c->lock);
	for (;;) {
		found = c->log_len > from ? strstr(c->log + from, text) : NULL;
		if (found || c->log_ended || pthread_cond_timedwait(&c->more, &c->lock, &until) == ETIMEDOUT)
			break;
	}
	if (found && at)
		*at = (size_t)(found - c->log) + strlen(text);
	pthread_mutex_unlock(&c->lock);
	if (!found) {
		child_show_log(c);
		fail_msg("the daemon did not say '%s'", text);
	}
}

bool child_logged(struct child *c, const char *text)
{
	pthread_mutex_lock(&c->lock);
	bool found = c->log && strstr(c->log, text);
	pthread_mutex_unlock(&c->lock);
	return found;
}

size_t child_log_end(struct child *c)
{
	pthread_mutex_lock(&c->lock);
	size_t end = c->log_len;
	pthread_mutex_unlock(&c->lock);
	return end;
}

/* ---- life ---- */

void child_init(struct child *c)
{
	*c = (struct child){.log_fd = -1};
	snprintf(c->dir, sizeof(c->dir), "/tmp/rddr-stream.XXXXXX");
	assert_non_null(mkdtemp(c->dir));
	snprintf(c->config, sizeof(c->config), "%s/rddr.yaml", c->dir);
	snprintf(c->control, sizeof(c->control), "%s/control.sock", c->dir);
}

void child_beside(struct child *c, const struct child *first)
{
	*c = (struct child){.log_fd = -1, .nofile = first->nofile};
	memcpy(c->dir, first->dir, sizeof(c->dir));
	memcpy(c->config, first->config, sizeof(c->config));
	memcpy(c->control, first->control, sizeof(c->control));
}

void child_config(const struct child *c, const char *fmt, ...)
{
	FILE *f = fopen(c->config, "we");
	va_list args;

	assert_non_null(f);
	fprintf(f, "control: %s\nevidence: { file: %s/evidence.jsonl, max-size: 64MiB, excerpt: 16 }\n", c->control,
		c->dir);
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	assert_int_equal(fclose(f), 0);
}

static const char *build_dir(void)
{
	const char *build = getenv("RDDR_BUILD");

	return build && *build ? build : "build";
}

static void run_daemon(const struct child *c, int log_fd, const char *extra)
{
	char path[256];

	/* A test that is killed leaves no daemon behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (c->nofile) {
		struct rlimit limit = {c->nofile, c->nofile};

		setrlimit(RLIMIT_NOFILE, &limit);
	}
	dup2(log_fd, STDERR_FILENO);
	dup2(log_fd, STDOUT_FILENO);
	snprintf(path, sizeof(path), "%s/rddrd", build_dir());
	execl(path, path, "-c", c->config, "--log-level", "debug", extra, (char *)NULL);
	dprintf(STDERR_FILENO, "%s: %s\n", path, strerror(errno));
	_exit(127);
}

void child_spawn(struct child *c, const char *extra)
{
	pthread_condattr_t attr;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->more, &attr);
	pthread_condattr_destroy(&attr);
	c->log_ended = false;
	c->log_len = 0;
	fflush(NULL);
	c->pid = fork();
	assert_true(c->pid >= 0);
	if (!c->pid)
		run_daemon(c, fds[1], extra);
	close(fds[1]);
	c->log_fd = fds[0];
	assert_int_equal(pthread_create(&c->reader, NULL, read_log, c), 0);
}

void child_start(struct child *c, const char *extra)
{
	child_spawn(c, extra);
	child_wait_log(c, "daemon: rddrd ", NULL);
}

static void end_log(struct child *c)
{
	pthread_join(c->reader, NULL);
	close(c->log_fd);
	c->log_fd = -1;
	c->pid = 0;
}

bool child_runs(struct child *c)
{
	siginfo_t info = {0};

	return c->pid && waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && !info.si_pid;
}

int child_wait(struct child *c)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();
	int status = 0;

	while (child_runs(c)) {
		if (now_ms() > until) {
			child_show_log(c);
			fail_msg("the daemon does not end");
		}
		breathe();
	}
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	end_log(c);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void check_log(struct child *c)
{
	static const char *const bad[] = {"Sanitizer", "runtime error", "== ERROR"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!c->log || !strstr(c->log, bad[i]))
			continue;
		child_show_log(c);
		fail_msg("the daemon's log holds '%s'", bad[i]);
	}
}

void child_stop(struct child *c)
{
	assert_int_equal(kill(c->pid, SIGTERM), 0);
	int status = child_wait(c);
	check_log(c);
	if (status)
		fprintf(stderr, "%s", c->log);
	assert_int_equal(status, 0);
}

void child_freeze(struct child *c)
{
	siginfo_t info = {0};

	assert_int_equal(kill(c->pid, SIGSTOP), 0);
	assert_int_equal(waitid(P_PID, (id_t)c->pid, &info, WSTOPPED | WEXITED | WNOWAIT), 0);
	assert_int_equal(info.si_code, CLD_STOPPED);
}

void child_thaw(struct child *c)
{
	assert_int_equal(kill(c->pid, SIGCONT), 0);
}

static void remove_folder(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;

	while (d && (entry = readdir(d)))
		unlinkat(dirfd(d), entry->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

void child_forget(struct child *c, bool remove_dir)
{
	if (c->pid) {
		kill(c->pid, SIGKILL);
		waitpid(c->pid, NULL, 0);
		end_log(c);
	}
	/* For whoever looks for a cause. */
	if (getenv("RDDR_STREAM_LOG") && c->log)
		fputs(c->log, stderr);
	free(c->log);
	c->log = NULL;
	c->log_len = c->log_room = 0;
	if (!remove_dir || !c->dir[0])
		return;
	remove_folder(c->dir);
	c->dir[0] = '\0';
}

/* ---- questions ---- */

const char *json_text(json_object *o, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : NULL;
}

int64_t json_number(json_object *o, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_int64(value) : INT64_MIN;
}

json_object *child_ask(struct child *c, const char *command, const char *args)
{
	json_object *request = args ? json_tokener_parse(args) : json_object_new_object();
	json_object *answer = NULL, *result = NULL;

	assert_non_null(request);
	json_object_object_add(request, "command", json_object_new_string(command));
	int r = rddr_control_ask(c->control, request, patience_ms(), &answer, NULL, NULL);
	json_object_put(request);
	if (r < 0) {
		child_show_log(c);
		fail_msg("%s: %s", command, strerror(-r));
	}
	if (!json_object_object_get_ex(answer, "result", &result))
		fail_msg("%s: %s", command, json_object_to_json_string(answer));
	json_object_get(result);
	json_object_put(answer);
	return result;
}

uint64_t child_counter(struct child *c, const char *service, const char *name)
{
	json_object *all = child_ask(c, "counters", NULL), *one = NULL;

	if (service) {
		assert_true(json_object_object_get_ex(all, "services", &one));
		json_object *services = one;
		assert_true(json_object_object_get_ex(services, service, &one));
	} else {
		assert_true(json_object_object_get_ex(all, "daemon", &one));
	}
	int64_t value = json_number(one, name);
	assert_true(value >= 0);
	json_object_put(all);
	return (uint64_t)value;
}

void child_wait_counter(struct child *c, const char *service, const char *name, uint64_t value)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms(), is;

	while ((is = child_counter(c, service, name)) < value) {
		if (now_ms() > until) {
			child_show_log(c);
			fail_msg("the counter %s is %llu, never %llu", name, (unsigned long long)is,
				 (unsigned long long)value);
		}
		breathe();
	}
}

void child_wait_sessions(struct child *c, size_t n)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();

	for (;;) {
		json_object *result = child_ask(c, "sessions", NULL), *list = NULL;

		assert_true(json_object_object_get_ex(result, "sessions", &list));
		size_t is = json_object_array_length(list);
		if (is != n && now_ms() > until) {
			fprintf(stderr, "%s\n", json_object_to_json_string_ext(result, JSON_C_TO_STRING_PRETTY));
			child_show_log(c);
			fail_msg("%zu sessions, never %zu", is, n);
		}
		json_object_put(result);
		if (is == n)
			return;
		breathe();
	}
}

json_object *child_evidence(struct child *c, size_t n, json_object **list)
{
	char args[32];

	snprintf(args, sizeof(args), "{\"limit\": %zu}", n);
	json_object *result = child_ask(c, "evidence", args);
	assert_true(json_object_object_get_ex(result, "evidence", list));
	return result;
}

bool child_is_sanitized(const struct child *c)
{
	char path[64], line[512];
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)c->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		found |= strstr(line, "libasan") || strstr(line, "libtsan");
	fclose(f);
	return found;
}

/* A line of the child's status, in KiB. */
static size_t status_kb(const struct child *c, const char *name)
{
	char path[64], line[256];
	size_t kb = 0, len = strlen(name);

	snprintf(path, sizeof(path), "/proc/%d/status", (int)c->pid);
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len))
			kb = strtoul(line + len, NULL, 10);
	}
	fclose(f);
	assert_true(kb > 0);
	return kb;
}

size_t child_rss_kb(const struct child *c)
{
	return status_kb(c, "VmRSS:");
}

size_t child_peak_kb(const struct child *c)
{
	return status_kb(c, "VmHWM:");
}

static size_t count_fds(const struct child *c)
{
	char path[64];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)c->pid);
	DIR *d = opendir(path);
	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

size_t child_fds(const struct child *c, size_t most)
{
	uint64_t until = now_ms() + (uint64_t)patience_ms();
	size_t n = count_fds(c);

	for (int same = 0; (same < 20 || n > most) && now_ms() < until; same++) {
		size_t is = count_fds(c);

		if (is != n)
			same = 0;
		n = is;
		breathe();
	}
	return n;
}
