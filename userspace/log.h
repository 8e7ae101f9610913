/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * log.h - log lines to stderr, written off the loop.
 *
 * A line is "2026-11-22T10:00:00.123Z warning steering: message key=value"; under systemd
 * (JOURNAL_STREAM names stderr) it is "<4>steering: message ..." so that the journal knows the level. Lines are
 * queued and written by the scribe's thread; before that thread runs (and in the small programs) they are
 * written at once. A full queue drops lines and says later how many.
 */
#ifndef RDDR_LOG_H
#define RDDR_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG, LOG_LEVELS };

/* Lines above this level are not written. The default is info. */
void rddr_log_set_level(enum log_level level);
bool rddr_log_enabled(enum log_level level);

/* "error", "warning", "info", "debug" (any case; "WARN" and "CRITICAL" too). -EINVAL when it is none of them. */
int rddr_log_level_parse(const char *text, enum log_level *out);
const char *rddr_log_level_name(enum log_level level);

/* fmt opens with the name of the module and a colon: "steering: not attached pin-dir=%s". No newline. */
void rddr_log(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 rddr_log(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) rddr_log(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 rddr_log(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                                                                                 \
	do {                                                                                                           \
		if (rddr_log_enabled(LOG_LEVEL_DEBUG))                                                                 \
			rddr_log(LOG_LEVEL_DEBUG, __VA_ARGS__);                                                        \
	} while (0)

/* Logs the message as an error with ": strerror(error)" behind it and returns the (negative) error. */
int err_r(int error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
