// SPDX-License-Identifier: BSD-2-Clause
#include "config_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

void rddr_config_report_vadd(struct config_report *report, struct config_mark mark, const char *key, const char *fmt,
			     va_list args)
{
	struct config_complaint *complaint;
	char text[CONFIG_REPORT_MESSAGE];

	if (rddr_config_report_full(report)) {
		report->more++;
		return;
	}
	vsnprintf(text, sizeof(text), fmt, args);
	complaint = &report->list[report->n];
	complaint->mark = mark;
	complaint->order = report->n++;
	snprintf(complaint->text, sizeof(complaint->text), "%s%s%s", key ? key : "", key && *key ? ": " : "", text);
}

bool rddr_config_report_full(const struct config_report *report)
{
	return report->n == CONFIG_REPORT_MAX;
}

static int by_mark(const void *pa, const void *pb)
{
	const struct config_complaint *a = pa, *b = pb;

	if (a->mark.line != b->mark.line)
		return a->mark.line < b->mark.line ? -1 : 1;
	if (a->mark.column != b->mark.column)
		return a->mark.column < b->mark.column ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

unsigned rddr_config_report_flush(struct config_report *report)
{
	qsort(report->list, report->n, sizeof(report->list[0]), by_mark);
	for (unsigned i = 0; i < report->n; i++) {
		const struct config_complaint *c = &report->list[i];

		log_error("config: %s:%u:%u: %s", report->name, c->mark.line, c->mark.column, c->text);
	}
	if (report->more)
		log_error("config: %s: and %u more errors", report->name, report->more);
	return report->n + report->more;
}

/* The length of the UTF-8 character at text that may be printed as it is; 0: it has to be escaped. */
static size_t printable(const unsigned char *text, size_t len)
{
	size_t need = *text < 0x80 ? 1 : *text < 0xc0 ? 0 : *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : *text < 0xf8 ? 4 : 0;

	if (*text < 0x20 || *text == 0x7f || *text == '"' || *text == '\\' || !need || need > len)
		return 0;
	if (*text == 0xc2 && text[1] < 0xa0) /* C1 control characters */
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	return need;
}

const char *rddr_config_report_quote(const char *text, size_t len, char *buf, size_t size)
{
	const size_t tail = sizeof("...\"");
	size_t used = 0, i = 0;

	if (size < tail + 2) {
		if (size)
			*buf = '\0';
		return buf;
	}
	buf[used++] = '"';
	while (i < len) {
		size_t n = printable((const unsigned char *)text + i, len - i);

		if (used + (n ? n : 4) + tail > size) {
			memcpy(buf + used, "...", 3);
			used += 3;
			break;
		}
		if (n)
			memcpy(buf + used, text + i, n);
		else if (text[i] == '"' || text[i] == '\\')
			snprintf(buf + used, 3, "\\%c", text[i]);
		else
			snprintf(buf + used, 5, "\\x%02x", (unsigned char)text[i]);
		used += n ? n : text[i] == '"' || text[i] == '\\' ? 2 : 4;
		i += n ? n : 1;
	}
	buf[used++] = '"';
	buf[used] = '\0';
	return buf;
}
