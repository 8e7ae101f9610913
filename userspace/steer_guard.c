// SPDX-License-Identifier: BSD-2-Clause
#include "steer_guard.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "own.h"
#include "steer_state.h"

#define LOCK_TRIES 600 /* with 50 ms between them: half a minute */

static const int ending_signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2};

int rddr_steer_step(const char *name)
{
	const char *fail = getenv("RDDR_STEER_FAIL_AT");
	size_t len = strlen(name);
	sigset_t pending;

	if (fail && !strncmp(fail, name, len) && fail[len] == ':')
		raise((int)strtol(fail + len + 1, NULL, 10));
	else if (fail && !strcmp(fail, name))
		return rddr_steer_complain(-EIO, "failing at step %s, as RDDR_STEER_FAIL_AT says", name);
	sigpending(&pending);
	for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++) {
		if (sigismember(&pending, ending_signals[i]))
			return rddr_steer_complain(-EINTR, "signal %d before step %s", ending_signals[i], name);
	}
	return 0;
}

static int lock(const char *dir, int *out)
{
	const struct timespec pause = {.tv_nsec = 50000000};
	_owned_mem_ char *parent = strdup(dir);
	_owned_fd_ int fd = -1;
	int err;

	if (!parent)
		return -ENOMEM;
	*strrchr(parent, '/') = '\0';
	fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return rddr_steer_complain(-errno, "opening %s", parent);
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
		if (errno != EWOULDBLOCK || i == LOCK_TRIES)
			return rddr_steer_complain(-errno, "locking %s: another rddr-steer is at work", parent);
		err = rddr_steer_step("lock");
		if (err)
			return err;
		nanosleep(&pause, NULL);
	}
	*out = TAKE_FD(fd);
	return 0;
}

int rddr_steer_recover(const char *dir)
{
	struct steer_state state;
	struct steer_program steer;
	uint32_t id, prog_id, netns;
	int err = rddr_steer_remove_new(dir);

	if (err)
		return err;
	err = rddr_steer_state_open(dir, &state);
	if (err)
		return err;
	if (state.link >= 0 && state.steer >= 0 && !rddr_steer_link_of(state.link, &id, &prog_id, &netns) &&
	    !rddr_steer_program_of(state.steer, &steer) && netns && prog_id != steer.id &&
	    bpf_link_update(state.link, state.steer, NULL) < 0)
		err = rddr_steer_complain(-errno, "giving the link of %s its own program again", dir);
	rddr_steer_state_close(&state);
	return err;
}

/* In the child: signals stay blocked, so that only steps see them. */
static _Noreturn void child(const struct steer_options *options, int (*work)(void *ctx), void *ctx)
{
	int fd = -1, status = 1;

	if (lock(options->pin_dir, &fd) == 0) {
		if (rddr_steer_recover(options->pin_dir) == 0)
			status = work(ctx);
		close(fd);
	}
	fflush(NULL);
	_exit(status);
}

/* Waits for the child, handing on to it whatever signal comes to us. */
static int wait_for(pid_t pid, const sigset_t *signals)
{
	siginfo_t info;
	int status;

	for (;;) {
		if (sigwaitinfo(signals, &info) < 0)
			continue;
		if (info.si_signo != SIGCHLD) {
			kill(pid, info.si_signo);
			continue;
		}
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
	}
}

int rddr_steer_guarded(const struct steer_options *options, int (*work)(void *ctx), void *ctx)
{
	sigset_t signals, before;
	int status, fd = -1;
	pid_t pid;

	if (rddr_steer_check_bpffs(options->pin_dir))
		return 1;
	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	for (size_t i = 0; i < ARRAY_LEN(ending_signals); i++)
		sigaddset(&signals, ending_signals[i]);
	sigprocmask(SIG_BLOCK, &signals, &before);
	signal(SIGCHLD, SIG_DFL);
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return rddr_steer_complain(-errno, "fork"), 1;
	if (pid == 0)
		child(options, work, ctx);
	status = wait_for(pid, &signals);
	if (WIFSIGNALED(status)) {
		rddr_steer_complain(0, "the process at work was killed by signal %d; undoing", WTERMSIG(status));
		if (lock(options->pin_dir, &fd) == 0) {
			rddr_steer_recover(options->pin_dir);
			close(fd);
		}
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
