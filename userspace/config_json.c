// SPDX-License-Identifier: BSD-2-Clause
/* diff-params: YAML turned into JSON text, by the core schema. */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config_read.h"
#include "own.h"

/* Plugins' parsers bound the depth too: json-c's at 32. */
#define DEEPEST 24

static void put_json(json_object **json)
{
	json_object_put(*json);
	*json = NULL;
}

/* Aliases can make much of little: what all diff-params of the file grow to is bounded. */
static bool charge(struct reader *r, const struct node *node, const struct place *place)
{
	if (!r->json_values || r->json_bytes < node->len) {
		rddr_config_read_fault(r, node->mark, place, "the file's diff-params together are too large");
		return false;
	}
	r->json_values--;
	r->json_bytes -= node->len;
	return true;
}

static json_object *number_of(struct reader *r, const struct node *node, const struct place *place)
{
	const char *text = node->text + (*node->text == '+');
	int radix = 10;
	bool negative = *text == '-';
	uint64_t number;
	char *end;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'o')) {
		radix = text[1] == 'x' ? 16 : 8;
		text += 2;
	}
	errno = 0;
	number = strtoull(text + negative, &end, radix);
	if (errno || (negative && number > (uint64_t)INT64_MAX + 1)) {
		rddr_config_read_fault(r, node->mark, place, "the number %s is too large (quote it to make it a text)",
				       node->len < 60 ? node->text : "");
		return NULL;
	}
	if (negative)
		return json_object_new_int64((int64_t)(0 - number));
	return json_object_new_uint64(number);
}

static json_object *double_of(struct reader *r, const struct node *node, const struct place *place)
{
	double number = strtod(node->text, NULL);
	char shortest[40];

	if (strpbrk(node->text, "nN") || !isfinite(number)) {
		rddr_config_read_fault(r, node->mark, place, "%s cannot be said in JSON",
				       node->len < 60 ? node->text : "such a number");
		return NULL;
	}
	for (int digits = 1; digits <= 17; digits++) {
		snprintf(shortest, sizeof(shortest), "%.*g", digits, number);
		if (strtod(shortest, NULL) == number)
			break;
	}
	if (!strpbrk(shortest, ".e"))
		snprintf(shortest + strlen(shortest), sizeof(shortest) - strlen(shortest), ".0");
	return json_object_new_double_s(number, shortest);
}

static bool convert(struct reader *r, const struct node *node, const struct place *place, unsigned depth,
		    json_object **out);

static bool convert_scalar(struct reader *r, const struct node *node, const struct place *place, json_object **out)
{
	unsigned before = r->report->n + r->report->more;

	*out = NULL;
	switch (node->type) {
	case SCALAR_NULL: /* json-c's null is NULL */
		return true;
	case SCALAR_BOOL:
		*out = json_object_new_boolean(*node->text == 't' || *node->text == 'T');
		break;
	case SCALAR_INT:
		*out = number_of(r, node, place);
		break;
	case SCALAR_FLOAT:
		*out = double_of(r, node, place);
		break;
	case SCALAR_STRING:
		*out = json_object_new_string_len(node->text, (int)node->len);
		break;
	}
	if (!*out && r->report->n + r->report->more == before)
		r->oom = true;
	return *out != NULL;
}

static bool convert_list(struct reader *r, const struct node *node, const struct place *place, unsigned depth,
			 json_object *list)
{
	for (size_t i = 0; i < node->n; i++) {
		const struct place at = {.up = place, .index = i};
		json_object *value = NULL;

		if (!convert(r, node->items[i], &at, depth, &value))
			return false;
		if (json_object_array_add(list, value)) {
			json_object_put(value);
			r->oom = true;
			return false;
		}
	}
	return true;
}

static bool convert_mapping(struct reader *r, const struct node *node, const struct place *place, unsigned depth,
			    json_object *mapping)
{
	for (size_t i = 0; i < node->n; i++) {
		const struct node *key = node->items[2 * i];
		const struct place at = {.up = place, .key = key->text};
		json_object *value = NULL;

		if (!charge(r, key, &at) || !convert(r, node->items[2 * i + 1], &at, depth, &value))
			return false;
		if (json_object_object_add(mapping, key->text, value)) {
			json_object_put(value);
			r->oom = true;
			return false;
		}
	}
	return true;
}

static bool convert(struct reader *r, const struct node *node, const struct place *place, unsigned depth,
		    json_object **out)
{
	_owned_(put_json) json_object *json = NULL;
	bool good;

	if (!charge(r, node, place))
		return false;
	if (node->kind == NODE_SCALAR)
		return convert_scalar(r, node, place, out);
	if (depth == DEEPEST) {
		rddr_config_read_fault(r, node->mark, place, "nested more than %d deep", DEEPEST);
		return false;
	}
	json = node->kind == NODE_MAPPING ? json_object_new_object() : json_object_new_array();
	if (!json) {
		r->oom = true;
		return false;
	}
	good = node->kind == NODE_MAPPING ? convert_mapping(r, node, place, depth + 1, json)
					  : convert_list(r, node, place, depth + 1, json);
	if (good)
		*out = TAKE_PTR(json);
	return good;
}

bool rddr_config_json_text(struct reader *r, const struct node *node, const struct place *place, char **out)
{
	_owned_(put_json) json_object *json = NULL;
	const char *text;
	char *copy, shown[100];

	if (node->kind == NODE_SCALAR && node->type == SCALAR_NULL)
		return true;
	if (node->kind != NODE_MAPPING) {
		rddr_config_read_fault(r, node->mark, place, "wants a mapping of keys, is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
		return false;
	}
	if (!convert(r, node, place, 0, &json))
		return false;
	text = json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	copy = text ? strdup(text) : NULL;
	if (!copy) {
		r->oom = true;
		return false;
	}
	free(*out);
	*out = copy;
	return true;
}
