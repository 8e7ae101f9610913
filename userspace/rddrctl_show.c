/* SPDX-License-Identifier: BSD-2-Clause */
#include "rddrctl_show.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"
#include "own.h"
#include "table.h"
#include "text.h"

#define UNIT_TEXT 24

/* ---- fields ---- */

static json_object *field(json_object *object, const char *key)
{
	json_object *value = NULL;

	if (json_object_is_type(object, json_type_object))
		json_object_object_get_ex(object, key, &value);
	return value;
}

/* NULL where there is none. */
static const char *text(json_object *object, const char *key)
{
	json_object *value = field(object, key);

	return value ? json_object_get_string(value) : NULL;
}

static uint64_t number(json_object *object, const char *key)
{
	return json_object_get_uint64(field(object, key));
}

static bool truth(json_object *object, const char *key)
{
	return json_object_get_boolean(field(object, key));
}

static size_t length(json_object *array)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_length(array) : 0;
}

/* ---- units ---- */

/* "850ms", "12s", "5m03s", "7h05m", "3d04h". */
static const char *duration(uint64_t ms, char out[UNIT_TEXT])
{
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(out, UNIT_TEXT, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(out, UNIT_TEXT, "%" PRIu64 "s", s);
	else if (s < 3600)
		snprintf(out, UNIT_TEXT, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, UNIT_TEXT, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(out, UNIT_TEXT, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
	return out;
}

/* "950", "12.3K", "4.0G": of 1024. */
static const char *bytes(uint64_t n, char out[UNIT_TEXT])
{
	static const char units[] = "KMGTPE";
	double value = (double)n;
	size_t unit = 0;

	if (n < 1024) {
		snprintf(out, UNIT_TEXT, "%" PRIu64, n);
		return out;
	}
	/* 1023.96 would be printed as 1024.0. */
	for (value /= 1024; value >= 1023.95 && units[unit + 1]; unit++)
		value /= 1024;
	snprintf(out, UNIT_TEXT, "%.1f%c", value, units[unit]);
	return out;
}

static int print(const struct show *show, struct table **table, unsigned indent)
{
	int err = rddr_table_print(*table, show->out, indent, show->width);

	rddr_table_free(table);
	return err;
}

/* Two columns without titles: what it is, and its value. */
static const struct table_column pairs[] = {{"", TABLE_LEFT}, {"", TABLE_SHRINKS}};

static void pair(struct table *table, const char *what, const char *value)
{
	rddr_table_cell(table, what);
	rddr_table_cell(table, value);
}

/* ---- status ---- */

int rddr_rddrctl_show_status(const struct show *show, json_object *result)
{
	struct table *table = rddr_table_new(pairs, ARRAY_LEN(pairs));
	json_object *steering = field(result, "steering");
	const char *state = text(steering, "state");
	char uptime[UNIT_TEXT];

	pair(table, "version", text(result, "version"));
	pair(table, "pid", text(result, "pid"));
	pair(table, "up", duration(number(result, "uptime_ms"), uptime));
	pair(table, "config", text(result, "config"));
	pair(table, "generation", text(result, "generation"));
	pair(table, "workers", text(result, "workers"));
	pair(table, "services", text(result, "services"));
	pair(table, "sessions", text(result, "sessions"));
	pair(table, "divergences", text(result, "divergences"));
	rddr_table_cell(table, "steering");
	if (state && strcmp(state, "off") && text(steering, "pin_dir"))
		rddr_table_cellf(table, "%s (%s)", state, text(steering, "pin_dir"));
	else
		rddr_table_cell(table, state);
	pair(table, "draining", truth(result, "draining") ? "yes" : "no");
	return print(show, &table, 0);
}

/* ---- services ---- */

static struct table *services_table(json_object *services)
{
	static const struct table_column columns[] = {
		{"SERVICE", TABLE_SHRINKS}, {"DIRECTION", TABLE_LEFT}, {"DIFF", TABLE_SHRINKS},
		{"MODE", TABLE_LEFT},	    {"DOWN", TABLE_LEFT},      {"SESSIONS", TABLE_RIGHT},
		{"DIVERGED", TABLE_RIGHT},  {"DENIED", TABLE_RIGHT},
	};
	struct table *table = rddr_table_new(columns, ARRAY_LEN(columns));

	for (size_t i = 0; i < length(services); i++) {
		json_object *s = json_object_array_get_idx(services, i);

		rddr_table_cell(table, text(s, "name"));
		rddr_table_cell(table, text(s, "direction"));
		rddr_table_cell(table, text(s, "diff_class"));
		rddr_table_cell(table, truth(s, "enforcing") ? "enforce" : "report");
		/* A service that only listens is simply not there when the daemon is not. */
		rddr_table_cell(table, length(field(s, "intercept")) ? text(s, "when_down") : NULL);
		rddr_table_cell(table, text(s, "sessions"));
		rddr_table_cell(table, text(s, "divergences"));
		rddr_table_cell(table, text(s, "denied"));
	}
	return table;
}

static struct table *takes_table(json_object *services)
{
	static const struct table_column columns[] = {{"SERVICE", TABLE_SHRINKS}, {"TAKES", TABLE_LEFT}};
	struct table *table = rddr_table_new(columns, ARRAY_LEN(columns));

	for (size_t i = 0; i < length(services); i++) {
		json_object *s = json_object_array_get_idx(services, i);
		json_object *intercept = field(s, "intercept");

		for (size_t j = 0; j < length(intercept); j++)
			pair(table, text(s, "name"), json_object_get_string(json_object_array_get_idx(intercept, j)));
		if (text(s, "listen")) {
			rddr_table_cell(table, text(s, "name"));
			rddr_table_cellf(table, "listens on %s", text(s, "listen"));
		}
	}
	return table;
}

static struct table *instances_table(json_object *services)
{
	static const struct table_column columns[] = {{"SERVICE", TABLE_SHRINKS},
						      {"#", TABLE_RIGHT},
						      {"INSTANCE", TABLE_SHRINKS},
						      {"CHAINER", TABLE_LEFT},
						      {"REMOTE", TABLE_LEFT}};
	struct table *table = rddr_table_new(columns, ARRAY_LEN(columns));

	for (size_t i = 0; i < length(services); i++) {
		json_object *s = json_object_array_get_idx(services, i);
		json_object *instances = field(s, "instances");

		for (size_t j = 0; j < length(instances); j++) {
			json_object *instance = json_object_array_get_idx(instances, j);
			const char *remote = text(instance, "remote");

			rddr_table_cell(table, text(s, "name"));
			rddr_table_cellf(table, "%zu", j);
			rddr_table_cell(table, text(instance, "name"));
			rddr_table_cell(table, text(instance, "chainer"));
			rddr_table_cell(table, remote ? remote : "where the client wanted to go");
		}
	}
	return table;
}

int rddr_rddrctl_show_services(const struct show *show, json_object *result)
{
	json_object *services = field(result, "services");
	struct table *(*const tables[])(json_object *) = {services_table, takes_table, instances_table};

	if (!length(services)) {
		fputs("no services\n", show->out);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
		struct table *table = tables[i](services);
		int err;

		if (i)
			fputc('\n', show->out);
		err = print(show, &table, 0);
		if (err)
			return err;
	}
	return 0;
}

/* ---- sessions ---- */

static int show_session(const struct show *show, json_object *s)
{
	static const struct table_column columns[] = {
		{"#", TABLE_RIGHT},	  {"INSTANCE", TABLE_SHRINKS}, {"ADDRESS", TABLE_SHRINKS},
		{"LOCAL", TABLE_SHRINKS}, {"STATE", TABLE_LEFT},       {"RECEIVED", TABLE_RIGHT},
		{"QUEUED", TABLE_RIGHT},
	};
	struct table *table = rddr_table_new(pairs, ARRAY_LEN(pairs));
	json_object *instances = field(s, "instances");
	char unit[UNIT_TEXT];
	int err;

	pair(table, "session", text(s, "id"));
	pair(table, "service", text(s, "service"));
	pair(table, "client", text(s, "client"));
	pair(table, "destination", text(s, "destination"));
	pair(table, "state", text(s, "state"));
	pair(table, "age", duration(number(s, "age_ms"), unit));
	pair(table, "idle", duration(number(s, "idle_ms"), unit));
	pair(table, "bytes in", text(s, "bytes_in"));
	pair(table, "bytes out", text(s, "bytes_out"));
	pair(table, "requests", text(s, "requests"));
	pair(table, "worker", text(s, "worker"));
	err = print(show, &table, 0);
	if (err)
		return err;

	fputc('\n', show->out);
	table = rddr_table_new(columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < length(instances); i++) {
		json_object *instance = json_object_array_get_idx(instances, i);

		rddr_table_cellf(table, "%zu", i);
		rddr_table_cell(table, text(instance, "name"));
		rddr_table_cell(table, text(instance, "address"));
		rddr_table_cell(table, text(instance, "local"));
		rddr_table_cell(table, text(instance, "state"));
		rddr_table_cell(table, bytes(number(instance, "received"), unit));
		rddr_table_cell(table, bytes(number(instance, "queued"), unit));
	}
	return print(show, &table, 0);
}

static int show_one_session(const struct show *show, json_object *sessions)
{
	for (size_t i = 0; i < length(sessions); i++) {
		json_object *s = json_object_array_get_idx(sessions, i);

		if (number(s, "id") == show->session)
			return show_session(show, s);
	}
	return -ENOENT;
}

int rddr_rddrctl_show_sessions(const struct show *show, json_object *result)
{
	static const struct table_column columns[] = {
		{"ID", TABLE_RIGHT},	   {"SERVICE", TABLE_SHRINKS},
		{"CLIENT", TABLE_SHRINKS}, {"DESTINATION", TABLE_SHRINKS},
		{"STATE", TABLE_LEFT},	   {"AGE", TABLE_RIGHT},
		{"IDLE", TABLE_RIGHT},	   {"IN", TABLE_RIGHT},
		{"OUT", TABLE_RIGHT},
	};
	json_object *sessions = field(result, "sessions");
	struct table *table;
	char unit[UNIT_TEXT];
	int err;

	if (show->detail)
		return show_one_session(show, sessions);
	if (!length(sessions)) {
		fputs("no sessions\n", show->out);
		return 0;
	}
	table = rddr_table_new(columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < length(sessions); i++) {
		json_object *s = json_object_array_get_idx(sessions, i);

		rddr_table_cell(table, text(s, "id"));
		rddr_table_cell(table, text(s, "service"));
		rddr_table_cell(table, text(s, "client"));
		rddr_table_cell(table, text(s, "destination"));
		rddr_table_cell(table, text(s, "state"));
		rddr_table_cell(table, duration(number(s, "age_ms"), unit));
		rddr_table_cell(table, duration(number(s, "idle_ms"), unit));
		rddr_table_cell(table, bytes(number(s, "bytes_in"), unit));
		rddr_table_cell(table, bytes(number(s, "bytes_out"), unit));
	}
	err = print(show, &table, 0);
	if (!err && truth(result, "truncated"))
		fputs("(there are more: the daemon does not list them all at once)\n", show->out);
	return err;
}

/* ---- counters ---- */

static const char *help_of(const char *name)
{
	for (int i = 0; i < METRICS; i++)
		if (!strcmp(name, rddr_metrics_name((enum metric)i)))
			return rddr_metrics_help((enum metric)i);
	return "";
}

static int show_scope(const struct show *show, const char *title, json_object *counters, bool explained)
{
	static const struct table_column columns[] = {{"", TABLE_LEFT}, {"", TABLE_RIGHT}, {"", TABLE_SHRINKS}};
	struct table *table = rddr_table_new(columns, explained ? 3 : 2);
	_owned_mem_ char *escaped = rddr_text_escaped(title, strlen(title));
	size_t n = 0;

	fprintf(show->out, "%s\n", escaped ? escaped : "?");
	if (json_object_is_type(counters, json_type_object)) {
		json_object_object_foreach(counters, name, value)
		{
			if (!show->all && !json_object_get_uint64(value))
				continue;
			rddr_table_cell(table, name);
			rddr_table_cellf(table, "%" PRIu64, json_object_get_uint64(value));
			if (explained)
				rddr_table_cell(table, help_of(name));
			n++;
		}
	}
	if (!n)
		fputs("  (all are 0; --all shows them)\n", show->out);
	return print(show, &table, 2);
}

int rddr_rddrctl_show_counters(const struct show *show, json_object *result)
{
	json_object *services = field(result, "services"), *steering = field(result, "steering");
	int err = show_scope(show, "daemon", field(result, "daemon"), true);

	if (!err && json_object_is_type(services, json_type_object)) {
		json_object_object_foreach(services, name, counters)
		{
			char title[512];

			snprintf(title, sizeof(title), "service %s", name);
			fputc('\n', show->out);
			err = show_scope(show, title, counters, true);
			if (err)
				return err;
		}
	}
	if (!err && json_object_is_type(steering, json_type_object) && json_object_object_length(steering)) {
		fputc('\n', show->out);
		err = show_scope(show, "steering", steering, false);
	}
	return err;
}

/* ---- evidence ---- */

/* Bytes in lines, as they are where they can be read: a line ends behind a newline, or where it is full. */
static int show_bytes(const struct show *show, const uint8_t *data, size_t len)
{
	size_t width = show->width > 20 ? show->width - 6 : 74;
	_owned_mem_ char *line = malloc(width + 4);

	if (!line)
		return -ENOMEM;
	while (len) {
		const uint8_t *newline = memchr(data, '\n', len);
		size_t piece = newline ? (size_t)(newline - data) + 1 : len, used;
		size_t n = rddr_text_escape(line, width, (const char *)data, piece, &used); /* at least one character */

		fprintf(show->out, "    | %.*s\n", (int)n, line);
		data += used;
		len -= used;
	}
	return 0;
}

/* Both halves of an excerpt: what stands before the first difference, and what begins with it. */
static int show_excerpt(const struct show *show, json_object *side, uint64_t difference)
{
	const char *base64 = text(side, "excerpt_base64");
	uint64_t offset = number(side, "excerpt_offset");
	size_t len = 0, before;
	_owned_mem_ uint8_t *data = base64 ? rddr_text_unbase64(base64, &len) : NULL;
	int err;

	if (!data || !len)
		return 0;
	before = difference > offset ? (size_t)(difference - offset) : 0;
	if (before > len)
		before = len;
	if (before) {
		fprintf(show->out, "  from byte %" PRIu64 "\n", offset);
		err = show_bytes(show, data, before);
		if (err)
			return err;
	}
	if (before == len)
		return 0;
	fprintf(show->out, "  from byte %" PRIu64 ", where they differ first\n", offset + before);
	return show_bytes(show, data + before, len - before);
}

static int show_side(const struct show *show, json_object *side, size_t i, uint64_t difference)
{
	static const struct table_column columns[] = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0}};
	struct table *table = rddr_table_new(columns, ARRAY_LEN(columns));
	int err;

	rddr_table_cellf(table, "#%zu", i);
	rddr_table_cell(table, text(side, "name"));
	rddr_table_cell(table, text(side, "address"));
	rddr_table_cell(table, text(side, "state"));
	rddr_table_cellf(table, "%" PRIu64 " bytes received", number(side, "received"));
	fputc('\n', show->out);
	err = print(show, &table, 0);
	return err ? err : show_excerpt(show, side, difference);
}

static int show_record(const struct show *show, json_object *record)
{
	struct table *table = rddr_table_new(pairs, ARRAY_LEN(pairs));
	json_object *instances = field(record, "instances");
	int err;

	pair(table, "reference", text(record, "reference"));
	pair(table, "time", text(record, "time"));
	pair(table, "service", text(record, "service"));
	pair(table, "client", text(record, "client"));
	pair(table, "destination", text(record, "destination"));
	pair(table, "action", text(record, "action"));
	pair(table, "reason", text(record, "reason"));
	pair(table, "session", text(record, "session"));
	pair(table, "request", text(record, "request"));
	if (field(record, "correlation"))
		pair(table, "correlation", text(record, "correlation"));
	pair(table, "offset", text(record, "offset"));
	pair(table, "where", text(record, "where"));
	pair(table, "why", text(record, "why"));
	pair(table, "minority", text(record, "minority"));
	err = print(show, &table, 0);
	for (size_t i = 0; !err && i < length(instances); i++)
		err = show_side(show, json_object_array_get_idx(instances, i), i, number(record, "offset"));
	return err;
}

int rddr_rddrctl_show_evidence(const struct show *show, json_object *result)
{
	static const struct table_column columns[] = {
		{"REFERENCE", TABLE_LEFT},   {"TIME", TABLE_LEFT},   {"SERVICE", TABLE_SHRINKS},
		{"CLIENT", TABLE_SHRINKS},   {"ACTION", TABLE_LEFT}, {"REASON", TABLE_LEFT},
		{"MINORITY", TABLE_SHRINKS},
	};
	json_object *records = field(result, "evidence");
	struct table *table;

	if (show->detail)
		return length(records) ? show_record(show, json_object_array_get_idx(records, 0)) : -ENOENT;
	if (!length(records)) {
		fputs("no evidence\n", show->out);
		return 0;
	}
	table = rddr_table_new(columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < length(records); i++) {
		json_object *record = json_object_array_get_idx(records, i);
		const char *time = text(record, "time");

		rddr_table_cell(table, text(record, "reference"));
		/* The day is in the reference. */
		rddr_table_cellf(table, "%.8s", time && strlen(time) > 11 ? time + 11 : "-");
		rddr_table_cell(table, text(record, "service"));
		rddr_table_cell(table, text(record, "client"));
		rddr_table_cell(table, text(record, "action"));
		rddr_table_cell(table, text(record, "reason"));
		rddr_table_cell(table, text(record, "minority"));
	}
	return print(show, &table, 0);
}

/* ---- what was done ---- */

int rddr_rddrctl_show_noise(const struct show *show, json_object *result)
{
	static const struct table_column columns[] = {
		{"SERVICE", TABLE_LEFT},
		{"FIELD", TABLE_SHRINKS},
		{"SEEN", TABLE_RIGHT},
		{"FORGOTTEN IN", TABLE_RIGHT},
	};
	json_object *noise = field(result, "noise");
	char unit[UNIT_TEXT];
	size_t rows = 0;

	if (!json_object_is_type(noise, json_type_object))
		return 0;
	struct table *table = rddr_table_new(columns, ARRAY_LEN(columns));
	json_object_object_foreach(noise, service, fields)
	{
		for (size_t i = 0; i < length(fields); i++, rows++) {
			json_object *one = json_object_array_get_idx(fields, i);

			rddr_table_cell(table, service);
			rddr_table_cell(table, text(one, "field"));
			rddr_table_cell(table, text(one, "count"));
			rddr_table_cell(table, duration(number(one, "expires_s") * 1000, unit));
		}
	}
	if (rows)
		return print(show, &table, 0);
	rddr_table_free(&table);
	fputs(show->reset ? "nothing to forget\n" : "no noise is remembered\n", show->out);
	return 0;
}

int rddr_rddrctl_show_hosts(const struct show *show, json_object *result)
{
	static const struct table_column columns[] = {
		{"SERVICE", TABLE_SHRINKS}, {"INSTANCE", TABLE_SHRINKS}, {"CURRENT", TABLE_LEFT},
		{"HOST", TABLE_SHRINKS},    {"STATE", TABLE_LEFT},	 {"DOWN FOR", TABLE_RIGHT},
	};
	json_object *instances = field(result, "instances");
	char unit[UNIT_TEXT];

	if (!length(instances)) {
		fputs("no instance has several hosts\n", show->out);
		return 0;
	}
	struct table *table = rddr_table_new(columns, ARRAY_LEN(columns));
	for (size_t i = 0; i < length(instances); i++) {
		json_object *instance = json_object_array_get_idx(instances, i), *hosts = field(instance, "hosts");

		for (size_t k = 0; k < length(hosts); k++) {
			json_object *host = json_object_array_get_idx(hosts, k);
			uint64_t down = number(host, "down_ms");

			rddr_table_cell(table, text(instance, "service"));
			rddr_table_cell(table, text(instance, "instance"));
			rddr_table_cell(table, truth(host, "current") ? "*" : "");
			rddr_table_cell(table, text(host, "address"));
			rddr_table_cell(table, truth(host, "check_fails") ? "check fails" : text(host, "state"));
			rddr_table_cell(table, down ? duration(down, unit) : NULL);
		}
	}
	return print(show, &table, 0);
}

int rddr_rddrctl_show_reload(const struct show *show, json_object *result)
{
	const char *generation = text(result, "generation");

	fprintf(show->out, "reloaded, generation %s\n", generation ? generation : "-");
	return 0;
}

int rddr_rddrctl_show_log_level(const struct show *show, json_object *result)
{
	(void)result;
	fprintf(show->out, "the log level is %s\n", show->level);
	return 0;
}

int rddr_rddrctl_show_drain(const struct show *show, json_object *result)
{
	(void)result;
	fputs("draining: no new connections; the daemon ends with its last session\n", show->out);
	return 0;
}
