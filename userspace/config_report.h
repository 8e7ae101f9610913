/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_report.h - the errors of one file, collected, then written in the order of the file.
 *
 * Internal to the reader of the config. Texts are cut to what a log line can hold; nothing is allocated, so an error
 * can always be reported. Control characters and bytes that are not UTF-8 are written as \xNN.
 */
#ifndef RDDR_CONFIG_REPORT_H
#define RDDR_CONFIG_REPORT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "config.h"

#define CONFIG_REPORT_MAX     20
#define CONFIG_REPORT_TEXT    700
#define CONFIG_REPORT_MESSAGE 384 /* of that, without the key */

struct config_complaint {
	struct config_mark mark;
	unsigned order;		       /* of being found */
	char text[CONFIG_REPORT_TEXT]; /* "KEY: message", or the message alone */
};

struct config_report {
	const char *name; /* stands for the file; borrowed */
	unsigned n;	  /* kept in list */
	unsigned more;	  /* found after the list was full */
	struct config_complaint list[CONFIG_REPORT_MAX];
};

/* key may be NULL or empty: the message is about the file. */
void rddr_config_report_vadd(struct config_report *report, struct config_mark mark, const char *key, const char *fmt,
			     va_list args) __attribute__((format(printf, 4, 0)));

/* Whether looking further is pointless: the list is full. Loops over lists in the file end here. */
bool rddr_config_report_full(const struct config_report *report);

/* Logs what was collected, in the order of the file. Returns how many errors there were. */
unsigned rddr_config_report_flush(struct config_report *report);

/*
 * Writes text so that it can stand in a message: in double quotes, control characters escaped, cut with "..." where it
 * does not fit. Returns buf.
 */
const char *rddr_config_report_quote(const char *text, size_t len, char *buf, size_t size);

#endif
