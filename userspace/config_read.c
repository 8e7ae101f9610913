// SPDX-License-Identifier: BSD-2-Clause
#include "config_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own.h"

#define SHOWN 100 /* bytes of a value in a message */

/* "up.key" or "up[index]"; a key with other than plain characters stands in quotes. Returns the bytes used; a way that
 * is too long is cut. */
static size_t format_place(const struct place *place, char *buf, size_t size)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
	size_t used = place->up ? format_place(place->up, buf, size) : 0;
	const char *key = place->key, *dot = used ? "." : "";
	char quoted[80];
	int n;

	if (!key)
		n = snprintf(buf + used, size - used, "[%zu]", place->index);
	else if (*key && key[strspn(key, plain)] == '\0' && strlen(key) < sizeof(quoted))
		n = snprintf(buf + used, size - used, "%s%s", dot, key);
	else
		n = snprintf(buf + used, size - used, "%s%s", dot,
			     rddr_config_report_quote(key, strlen(key), quoted, sizeof(quoted)));
	return n < 0 || (size_t)n >= size - used ? size - 1 : used + (size_t)n;
}

void rddr_config_read_fault(struct reader *r, struct config_mark mark, const struct place *place, const char *fmt, ...)
{
	char key[CONFIG_PLACE_TEXT] = "";
	va_list args;

	if (place)
		format_place(place, key, sizeof(key));
	va_start(args, fmt);
	rddr_config_report_vadd(r->report, mark, key, fmt, args);
	va_end(args);
}

const char *rddr_config_read_show(const struct node *node, char *buf, size_t size)
{
	static const char text[] = "the text ";
	size_t lead = node->plain ? 0 : sizeof(text) - 1;

	if (node->kind != NODE_SCALAR)
		snprintf(buf, size, "%s", node->kind == NODE_MAPPING ? "a mapping" : "a list");
	else if (node->type == SCALAR_NULL)
		snprintf(buf, size, "empty");
	else if (snprintf(buf, size, "%s", lead ? text : "") < (int)size)
		rddr_config_report_quote(node->text, node->len, buf + lead, size - lead);
	return buf;
}

static const char *field_key(const void *ctx, size_t i)
{
	return ((const struct fields *)ctx)->list[i].key;
}

static bool is_known(struct fields fields, const char *key)
{
	for (size_t i = 0; i < fields.n; i++) {
		if (!strcmp(fields.list[i].key, key))
			return true;
	}
	return false;
}

bool rddr_config_read_mapping(struct reader *r, const struct node *node, const struct place *place,
			      struct fields fields, void *base)
{
	char shown[SHOWN];

	if (node->kind != NODE_MAPPING) {
		rddr_config_read_fault(r, node->mark, place, "wants a mapping of keys, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return false;
	}
	for (size_t i = 0; i < node->n && !rddr_config_report_full(r->report); i++) {
		const struct node *key = node->items[2 * i];
		const struct place at = {.up = place, .key = key->text};

		if (!is_known(fields, key->text))
			rddr_config_read_fault(
				r, key->mark, &at, "unknown key%s",
				rddr_config_suggest(key->text, field_key, &fields, fields.n, shown, sizeof(shown)));
	}
	for (size_t i = 0; i < fields.n && !r->oom; i++) {
		const struct field *field = &fields.list[i];
		const struct node *value = rddr_config_yaml_find(node, field->key);
		const struct place at = {.up = place, .key = field->key};

		if (value)
			field->read(r, value, &at, field, base);
		else if (field->required)
			rddr_config_read_fault(r, node->mark, place, "the key %s is missing", field->key);
	}
	return true;
}

bool rddr_config_read_items(struct reader *r, const struct node *node, const struct place *place, size_t max,
			    struct items *out)
{
	out->single = node->kind == NODE_SEQUENCE ? NULL : node;
	out->list = node;
	out->n = out->single ? 1 : node->n;
	if (!out->n)
		rddr_config_read_fault(r, node->mark, place, "the list is empty");
	else if (out->n > max)
		rddr_config_read_fault(r, node->mark, place, "%zu items; at most %zu are possible", out->n, max);
	return out->n && out->n <= max;
}

const struct node *rddr_config_read_item(const struct items *items, size_t i, const struct place *up, struct place *out)
{
	if (items->single) {
		*out = *up;
		return items->single;
	}
	*out = (struct place){.up = up, .index = i};
	return items->list->items[i];
}

const char *rddr_config_read_text(struct reader *r, const struct node *node, const struct place *place, size_t max)
{
	char shown[SHOWN];

	rddr_config_read_show(node, shown, sizeof(shown));
	if (node->kind != NODE_SCALAR || node->type == SCALAR_NULL)
		rddr_config_read_fault(r, node->mark, place, "wants a text, is %s", shown);
	else if (node->type != SCALAR_STRING)
		rddr_config_read_fault(r, node->mark, place, "wants a text, is the %s %s (quote it if it is meant so)",
				       node->type == SCALAR_BOOL ? "boolean" : "number", node->text);
	else if (!node->len)
		rddr_config_read_fault(r, node->mark, place, "is an empty text");
	else if (node->len > max)
		rddr_config_read_fault(r, node->mark, place, "%zu bytes are too long, at most %zu are possible: %s",
				       node->len, max, shown);
	else
		return node->text;
	return NULL;
}

static bool parse_number(const char *text, uint64_t *out)
{
	int radix = 10;

	if (*text == '+')
		text++;
	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
		radix = text[1] == 'x' ? 16 : 8;
		text += 2;
	}
	errno = 0;
	*out = strtoull(text, NULL, radix);
	return !errno && *text != '-';
}

bool rddr_config_read_number(struct reader *r, const struct node *node, const struct place *place,
			     const struct bounds *bounds, uint64_t *out)
{
	enum scalar_type type = node->type;
	uint64_t number;
	char shown[SHOWN];

	/* Original files were read by something less strict. */
	if (r->config->original && node->kind == NODE_SCALAR && !node->plain)
		type = rddr_config_yaml_type(node->text, node->len);
	if (node->kind == NODE_SCALAR && type == SCALAR_INT && parse_number(node->text, &number) &&
	    number >= bounds->min && number <= bounds->max) {
		*out = number;
		return true;
	}
	rddr_config_read_fault(r, node->mark, place, "wants a whole number from %llu to %llu, is %s",
			       (unsigned long long)bounds->min, (unsigned long long)bounds->max,
			       rddr_config_read_show(node, shown, sizeof(shown)));
	return false;
}

static const char *word_at(const void *ctx, size_t i)
{
	return ((const struct word *)ctx)[i].word;
}

bool rddr_config_read_word(struct reader *r, const struct node *node, const struct place *place,
			   const struct word *words, int *out)
{
	char known[160] = "", hint[80], shown[SHOWN];
	size_t n;

	for (n = 0; words[n].word; n++) {
		if (node->kind == NODE_SCALAR && !strcmp(node->text, words[n].word)) {
			if (words[n].absent)
				rddr_config_read_fault(r, node->mark, place, "%s is not in this version of RDDR",
						       words[n].word);
			else
				*out = words[n].value;
			return !words[n].absent;
		}
		if (!words[n].absent)
			snprintf(known + strlen(known), sizeof(known) - strlen(known), "%s%s", *known ? ", " : "",
				 words[n].word);
	}
	rddr_config_suggest(node->kind == NODE_SCALAR ? node->text : "", word_at, words, n, hint, sizeof(hint));
	rddr_config_read_fault(r, node->mark, place, "wants one of: %s; is %s%s", known,
			       rddr_config_read_show(node, shown, sizeof(shown)), hint);
	return false;
}

void rddr_config_read_choice(struct reader *r, const struct node *node, const struct place *place,
			     const struct field *field, void *base)
{
	int value;

	if (rddr_config_read_word(r, node, place, field->arg, &value))
		memcpy((char *)base + field->offset, &value, sizeof(value));
}

void rddr_config_read_bool(struct reader *r, const struct node *node, const struct place *place,
			   const struct field *field, void *base)
{
	/* YAML 1.1's words for booleans, which original files may use. */
	static const char *const older[] = {"no",  "No",  "NO",	 "off", "Off", "OFF",
					    "yes", "Yes", "YES", "on",	"On",  "ON"};
	bool *target = (bool *)((char *)base + field->offset);
	char shown[SHOWN];

	if (node->kind == NODE_SCALAR && node->type == SCALAR_BOOL) {
		*target = *node->text == 't' || *node->text == 'T';
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(older) && node->kind == NODE_SCALAR && node->plain; i++) {
		if (strcmp(node->text, older[i]))
			continue;
		if (!r->config->original)
			break;
		*target = i >= 6;
		return;
	}
	rddr_config_read_fault(r, node->mark, place, "wants true or false, is %s",
			       rddr_config_read_show(node, shown, sizeof(shown)));
}

void rddr_config_read_u16(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	uint64_t number;

	if (rddr_config_read_number(r, node, place, field->arg, &number))
		*(uint16_t *)((char *)base + field->offset) = (uint16_t)number;
}

void rddr_config_read_u32(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	uint64_t number;

	if (rddr_config_read_number(r, node, place, field->arg, &number))
		*(uint32_t *)((char *)base + field->offset) = (uint32_t)number;
}

void rddr_config_read_path(struct reader *r, const struct node *node, const struct place *place,
			   const struct field *field, void *base)
{
	const struct bounds *bounds = field->arg;
	char **target = (char **)((char *)base + field->offset);
	bool empty = node->kind == NODE_SCALAR && node->type == SCALAR_STRING && !node->len;
	const char *text = empty ? "" : rddr_config_read_text(r, node, place, bounds->max);
	char *copy, shown[SHOWN];

	if (!text)
		return;
	if (!empty && text[strlen(text) - 1] == '/') {
		rddr_config_read_fault(r, node->mark, place, "wants a file, is the folder %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return;
	}
	copy = strdup(text);
	if (!copy) {
		r->oom = true;
		return;
	}
	free(*target);
	*target = copy;
}

void rddr_config_read_section(struct reader *r, const struct node *node, const struct place *place,
			      const struct field *field, void *base)
{
	rddr_config_read_mapping(r, node, place, *(const struct fields *)field->arg, (char *)base + field->offset);
}
