// SPDX-License-Identifier: BSD-2-Clause
/* Amounts with a unit: durations, sizes, percentages; and the sections that are made of them. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buffer.h"
#include "config_read.h"
#include "own.h"

struct unit {
	const char *name;
	uint64_t worth;
};

/* The largest first, the one that is worth 1 last. */
static const struct unit time_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit size_units[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {NULL, 0}};

/* Digits, perhaps a blank, and a unit: the whole text. */
static bool parse_amount(const char *text, const struct unit *units, uint64_t *out)
{
	char *end;
	uint64_t number;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno)
		return false;
	if (*end == ' ')
		end++;
	for (; units->name; units++) {
		if (!strcmp(end, units->name))
			return !__builtin_mul_overflow(number, units->worth, out);
	}
	return false;
}

static const char *format_amount(uint64_t amount, const struct unit *units, char *buf, size_t size)
{
	while (units->worth > 1 && (!amount || amount % units->worth))
		units++;
	snprintf(buf, size, "%llu%s", (unsigned long long)(amount / units->worth), units->name);
	return buf;
}

static bool read_amount(struct reader *r, const struct node *node, const struct place *place,
			const struct bounds *bounds, const struct unit *units, const char *what, uint64_t *out)
{
	char min[32], max[32], shown[100];
	uint64_t amount;

	if (node->kind == NODE_SCALAR && node->type == SCALAR_STRING && parse_amount(node->text, units, &amount) &&
	    amount >= bounds->min && amount <= bounds->max) {
		*out = amount;
		return true;
	}
	rddr_config_read_fault(r, node->mark, place, "wants a %s from %s to %s, is %s", what,
			       format_amount(bounds->min, units, min, sizeof(min)),
			       format_amount(bounds->max, units, max, sizeof(max)),
			       rddr_config_read_show(node, shown, sizeof(shown)));
	return false;
}

void rddr_config_read_duration(struct reader *r, const struct node *node, const struct place *place,
			       const struct field *field, void *base)
{
	uint64_t ms;

	if (read_amount(r, node, place, field->arg, time_units, "duration (a number with ms, s, m or h)", &ms))
		*(uint32_t *)((char *)base + field->offset) = (uint32_t)ms;
}

static bool read_size(struct reader *r, const struct node *node, const struct place *place, const struct bounds *bounds,
		      uint64_t *out)
{
	static const char what[] = "size (bytes, or a number with KiB, MiB or GiB)";
	char text[64];

	if (node->kind == NODE_SCALAR && node->type == SCALAR_INT && node->len < sizeof(text) - 1) {
		snprintf(text, sizeof(text), "%sB", node->text);
		if (parse_amount(text, size_units, out) && *out >= bounds->min && *out <= bounds->max)
			return true;
	}
	return read_amount(r, node, place, bounds, size_units, what, out);
}

void rddr_config_read_size32(struct reader *r, const struct node *node, const struct place *place,
			     const struct field *field, void *base)
{
	uint64_t bytes;

	if (read_size(r, node, place, field->arg, &bytes))
		*(uint32_t *)((char *)base + field->offset) = (uint32_t)bytes;
}

void rddr_config_read_size64(struct reader *r, const struct node *node, const struct place *place,
			     const struct field *field, void *base)
{
	uint64_t bytes;

	if (read_size(r, node, place, field->arg, &bytes))
		*(uint64_t *)((char *)base + field->offset) = bytes;
}

void rddr_config_read_percent(struct reader *r, const struct node *node, const struct place *place,
			      const struct field *field, void *base)
{
	static const struct unit units[] = {{"%", 1}, {NULL, 0}};
	static const struct bounds bounds = {0, 100};
	uint64_t percent;

	if (read_amount(r, node, place, &bounds, units, "percentage", &percent))
		*(uint32_t *)((char *)base + field->offset) = (uint32_t)percent;
}

#define HOUR (3600 * 1000)
#define KIB  (UINT64_C(1) << 10)
#define MIB  (UINT64_C(1) << 20)

static const struct bounds connect_bounds = {10, HOUR / 12}, skew_bounds = {10, HOUR}, idle_bounds = {10, 24 * HOUR},
			   linger_bounds = {10, HOUR / 12}, reuse_bounds = {0, 24 * HOUR};
static const struct field deadlines_list[] = {
	{"connect", rddr_config_read_duration, offsetof(struct deadlines, connect), &connect_bounds, false},
	{"skew", rddr_config_read_duration, offsetof(struct deadlines, skew), &skew_bounds, false},
	{"idle", rddr_config_read_duration, offsetof(struct deadlines, idle), &idle_bounds, false},
	{"linger", rddr_config_read_duration, offsetof(struct deadlines, linger), &linger_bounds, false},
	{"reuse", rddr_config_read_duration, offsetof(struct deadlines, reuse), &reuse_bounds, false},
};
const struct fields rddr_config_read_deadlines = {deadlines_list, ARRAY_LEN(deadlines_list)};

static const struct bounds run_bounds = {0, MIB};
static const struct field noise_list[] = {
	{"run", rddr_config_read_size32, offsetof(struct noise_budget, run), &run_bounds, false},
	{"share", rddr_config_read_percent, offsetof(struct noise_budget, share), NULL, false},
};
const struct fields rddr_config_read_noise = {noise_list, ARRAY_LEN(noise_list)};

#define LIMIT_BUFFER (16 * MIB)
#define LIMIT_LAG    (32 * MIB)

/*
 * A stream lies in one block. It may hold as much again as limits.buffer of what was consumed and is not sent yet, and
 * in report mode what an instance lags behind, with a high watermark of at most limits.buffer on top.
 */
static_assert(LIMIT_LAG + 2 * LIMIT_BUFFER <= BUFFER_MAX, "what the limits allow fits into a buffer");

static const struct bounds buffer_bounds = {4 * KIB, LIMIT_BUFFER}, lag_bounds = {4 * KIB, LIMIT_LAG},
			   repeat_bounds = {0, MIB};
static const struct field limits_list[] = {
	{"buffer", rddr_config_read_size32, offsetof(struct limits, buffer), &buffer_bounds, false},
	{"lag", rddr_config_read_size32, offsetof(struct limits, lag), &lag_bounds, false},
	{"repeat", rddr_config_read_size32, offsetof(struct limits, repeat), &repeat_bounds, false},
};
const struct fields rddr_config_read_limits = {limits_list, ARRAY_LEN(limits_list)};
