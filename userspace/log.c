/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scribe.h"
#include "text.h"

#define LINE_MAX_BYTES 1024
#define ELLIPSIS       "..."

/* How long the scribe waits for a reader of stderr that has stopped, ms: evidence waits behind it. */
#define PATIENCE 1000

static _Atomic int threshold = LOG_LEVEL_INFO;
static atomic_ullong dropped;
static pthread_once_t journal_once = PTHREAD_ONCE_INIT;
static bool journal;
static bool stalled; /* the scribe's thread alone uses it */

static const struct {
	const char *name;
	char priority; /* syslog's, as the journal wants it */
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", '3'},
	[LOG_LEVEL_WARNING] = {"warning", '4'},
	[LOG_LEVEL_INFO] = {"info", '6'},
	[LOG_LEVEL_DEBUG] = {"debug", '7'},
};

_Static_assert(sizeof(levels) / sizeof(levels[0]) == LOG_LEVELS, "every level has a name");

void rddr_log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, (int)level, memory_order_relaxed);
}

bool rddr_log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&threshold, memory_order_relaxed);
}

const char *rddr_log_level_name(enum log_level level)
{
	return (unsigned)level < LOG_LEVELS ? levels[level].name : "unknown";
}

int rddr_log_level_parse(const char *text, enum log_level *out)
{
	static const struct {
		const char *name;
		enum log_level level;
	} others[] = {{"warn", LOG_LEVEL_WARNING}, {"critical", LOG_LEVEL_ERROR}};

	if (!text)
		return -EINVAL;
	for (unsigned i = 0; i < LOG_LEVELS; i++) {
		if (!strcasecmp(text, levels[i].name)) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (!strcasecmp(text, others[i].name)) {
			*out = others[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

/* systemd.exec(5): JOURNAL_STREAM holds device and inode of the journal's socket, decimal, a colon between. */
static void detect_journal(void)
{
	const char *text = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;
	char *end;

	if (!text || fstat(STDERR_FILENO, &st))
		return;
	dev = strtoull(text, &end, 10);
	if (end == text || *end != ':')
		return;
	text = end + 1;
	ino = strtoull(text, &end, 10);
	journal = end != text && !*end && dev == st.st_dev && ino == st.st_ino;
}

static size_t put_prefix(char *line, size_t size, enum log_level level)
{
	char now[RDDR_TEXT_TIME];

	pthread_once(&journal_once, detect_journal);
	if (journal)
		return (size_t)snprintf(line, size, "<%c>", levels[level].priority);
	rddr_text_now(now);
	return (size_t)snprintf(line, size, "%s %s ", now, levels[level].name);
}

/*
 * Makes a whole line, newline included, of at most LINE_MAX_BYTES: what can come off the wire must neither begin a line
 * of its own nor reach a terminal as a command. Returns its length.
 */
static size_t make_line(char line[LINE_MAX_BYTES], enum log_level level, const char *message, size_t len, bool whole)
{
	const size_t room = LINE_MAX_BYTES - sizeof(ELLIPSIS); /* the newline has the place of the terminator */
	size_t at = put_prefix(line, room, level);
	size_t used = 0;

	at += rddr_text_escape(line + at, room - at, message, len, &used);
	if (used < len || !whole) {
		memcpy(line + at, ELLIPSIS, sizeof(ELLIPSIS) - 1);
		at += sizeof(ELLIPSIS) - 1;
	}
	line[at++] = '\n';
	return at;
}

static bool write_whole(const char *line, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, line, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		line += n;
		len -= (size_t)n;
	}
	return true;
}

/* Whether a line can be written without waiting for ever. A reader that was waited for in vain is not waited for again.
 */
static bool writable(void)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};
	int n;

	do
		n = poll(&pfd, 1, stalled ? 0 : PATIENCE);
	while (n < 0 && errno == EINTR);
	stalled = n == 0;
	return !stalled;
}

/*
 * On the scribe's thread. How many lines were dropped goes out in one piece with the next line: where there is room for
 * that one, there is for both. Not while the queue is close to full: a flood would get a report with each of its lines.
 */
static void write_queued(void *ctx, const char *line, size_t len)
{
	unsigned long long n = 0;
	char both[2 * LINE_MAX_BYTES], message[64];
	size_t at = 0;

	(void)ctx;
	if (!writable()) {
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
		return;
	}
	if (rddr_scribe_has_room())
		n = atomic_exchange_explicit(&dropped, 0, memory_order_relaxed);
	if (n) {
		int message_len = snprintf(message, sizeof(message), "log: lines were dropped count=%llu", n);

		at = make_line(both, LOG_LEVEL_WARNING, message, (size_t)message_len, true);
	}
	memcpy(both + at, line, len);
	if (!write_whole(both, at + len))
		atomic_fetch_add_explicit(&dropped, n + 1, memory_order_relaxed);
}

static void emit(enum log_level level, const char *message, size_t len, bool whole)
{
	char line[LINE_MAX_BYTES];
	size_t n = make_line(line, level, message, len, whole);

	if (rddr_scribe_put(write_queued, NULL, line, n))
		return;
	if (rddr_scribe_running())
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
	else
		write_whole(line, n);
}

/* What vsnprintf returned, as the length of what is in a buffer of that size. */
static size_t bounded(int n, size_t size)
{
	if (n < 0)
		return 0;
	return (size_t)n < size ? (size_t)n : size - 1;
}

void rddr_log(enum log_level level, const char *fmt, ...)
{
	char message[LINE_MAX_BYTES];
	int saved = errno;
	va_list args;
	int n;

	if ((unsigned)level >= LOG_LEVELS || !rddr_log_enabled(level))
		return;
	va_start(args, fmt);
	n = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	emit(level, message, bounded(n, sizeof(message)), n >= 0 && (size_t)n < sizeof(message));
	errno = saved;
}

int err_r(int error, const char *fmt, ...)
{
	/* Room for the reason stays free, however long the message is. */
	char message[LINE_MAX_BYTES];
	const size_t room = sizeof(message) - 128;
	int number = error < 0 ? -error : error;
	const char *reason = strerrordesc_np(number);
	int saved = errno;
	va_list args;
	size_t len;
	int n, m;

	va_start(args, fmt);
	n = vsnprintf(message, room, fmt, args);
	va_end(args);
	len = bounded(n, room);
	if (n >= 0 && (size_t)n >= room) {
		memcpy(message + len - (sizeof(ELLIPSIS) - 1), ELLIPSIS, sizeof(ELLIPSIS) - 1);
	}
	if (reason)
		m = snprintf(message + len, sizeof(message) - len, ": %s", reason);
	else
		m = snprintf(message + len, sizeof(message) - len, ": error %d", number);
	len += bounded(m, sizeof(message) - len);
	if (rddr_log_enabled(LOG_LEVEL_ERROR))
		emit(LOG_LEVEL_ERROR, message, len, true);
	errno = saved;
	return -number;
}
