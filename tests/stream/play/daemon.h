/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * daemon.h - a real rddrd as a child of the test.
 *
 * It runs with a config that the test writes, in a folder of its own under /tmp. Its log is read by a thread, so that
 * it never waits for the test, and can be waited for. Everything here fails the cmocka test that is running when it
 * does not work out.
 */
#ifndef STREAM_DAEMON_H
#define STREAM_DAEMON_H

#include <json-c/json.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid; /* 0: does not run */
	char dir[64];
	char config[96], control[96];
	unsigned nofile; /* RLIMIT_NOFILE to start it with; 0: as it is */

	pthread_t reader;
	pthread_mutex_t lock;
	pthread_cond_t more;
	int log_fd;
	char *log;
	size_t log_len, log_room;
	bool log_ended;
};

/* How long an event is waited for, ms; only what hangs gets there. */
int patience_ms(void);
/* Loads are divided by it. */
size_t load_scale(void);
uint64_t now_ms(void);
/* Yields for a moment between two questions. */
void breathe(void);

/* Makes the folder. */
void child_init(struct child *c);
/* The same folder, config and control as another's: for a second daemon beside the first. */
void child_beside(struct child *c, const struct child *first);
/* Writes the config: control and evidence are put in front. */
void child_config(const struct child *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Starts it and waits until it runs. extra: one more argument, or NULL. */
void child_start(struct child *c, const char *extra);
/* The same without waiting. */
void child_spawn(struct child *c, const char *extra);
/* Waits for a line of the log that holds text, from offset *at on (NULL: from the beginning), and moves *at behind it.
 */
void child_wait_log(struct child *c, const char *text, size_t *at);
bool child_logged(struct child *c, const char *text);
/* Shows the end of it, for a test that is about to fail. */
void child_show_log(struct child *c);
size_t child_log_end(struct child *c);
/* Sends SIGTERM, waits for the end, and checks that it was a good one. */
void child_stop(struct child *c);
/* Waits for the end; the exit status, or 128 + the signal. */
int child_wait(struct child *c);
bool child_runs(struct child *c);
/* Stops the process, and lets it go on; waits until it has stopped. */
void child_freeze(struct child *c);
void child_thaw(struct child *c);
/* For teardown: kills what still runs and removes the folder. Harmless at any time. */
void child_forget(struct child *c, bool remove_dir);

/* Asks the daemon; the result is the caller's to put. args: pairs of key and text, or a JSON object's text; may be
 * NULL. */
json_object *child_ask(struct child *c, const char *command, const char *args);
/* A counter of a service; of the daemon itself where service is NULL. */
uint64_t child_counter(struct child *c, const char *service, const char *name);
/* Waits until a counter has at least this value. */
void child_wait_counter(struct child *c, const char *service, const char *name, uint64_t value);
/* Waits until so many sessions are there. */
void child_wait_sessions(struct child *c, size_t n);
/* The newest records of evidence, n at most; the result, which holds list, is the caller's to put. */
json_object *child_evidence(struct child *c, size_t n, json_object **list);

/* Whether it was built with a sanitizer, whose memory is not the daemon's. */
bool child_is_sanitized(const struct child *c);
size_t child_rss_kb(const struct child *c);
/* The most that it ever was. */
size_t child_peak_kb(const struct child *c);
/*
 * How many descriptors it has open, once that rests: the control's last clients may not have left it yet. Waits until
 * there are no more than most.
 */
size_t child_fds(const struct child *c, size_t most);

const char *json_text(json_object *o, const char *key);
int64_t json_number(json_object *o, const char *key);

#endif
