/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds the JSON reader to json-c, and the comparison of documents to json-c's.
 *
 * What the reader takes, json-c takes, with the same content; what it refuses, json-c refuses, but where json-c is
 * known to be more generous than RFC 8259. Documents that differ for the one differ for the other.
 *
 * The input is a byte of options and documents with a byte 0xff between them, which no JSON has; one that is empty is a
 * copy of the first.
 */
#include <errno.h>
#include <json-c/json.h>

#include "../unit/diff/fakebody.h"
#include "json_doc.h"

enum { MOST = 4096, DOCUMENTS = 3 };

static void check(bool holds, const char *what, struct slice text)
{
	if (holds)
		return;
	fprintf(stderr, "%s: %.*s\n", what, (int)text.len, text.len ? (const char *)text.data : "");
	abort();
}

static json_object *read_by_json_c(struct slice text, bool *taken)
{
	json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH + 1);
	json_object *object;
	char *copy = malloc(text.len + 1);

	if (text.len)
		memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	/* With the NUL: a number at the end is whole. */
	object = json_tokener_parse_ex(tokener, copy, (int)text.len + 1);
	*taken = json_tokener_get_error(tokener) == json_tokener_success &&
		 json_tokener_get_parse_end(tokener) >= text.len && strlen(copy) == text.len;
	if (!*taken) {
		json_object_put(object);
		object = NULL;
	}
	free(copy);
	json_tokener_free(tokener);
	return object;
}

/* json-c 0.16 lets these pass, or cuts them short. */
static bool generous(const struct json_doc *doc)
{
	static const char *const known[] = {"control character", "UTF-8", "digit is missing"};
	const uint8_t *at = doc->text.data + doc->at;

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strstr(doc->why, known[i]))
			return true;
	/* It takes NaN and Infinity for numbers, also when it is to be strict. */
	if (doc->at < doc->text.len && (*at == 'N' || *at == 'I'))
		return true;
	/* A number that begins with 0. */
	return doc->at > 0 && doc->at < doc->text.len && at[-1] == '0' && *at >= '0' && *at <= '9';
}

/* Whether a string has what json-c puts something else for. */
static bool has_surrogate(struct slice text)
{
	for (size_t i = 0; i + 2 < text.len; i++)
		if (text.data[i] == 0xed && text.data[i + 1] >= 0xa0)
			return true;
	return false;
}

static void same_content(const struct json_doc *doc, uint32_t at, json_object *object);

static void same_members(const struct json_doc *doc, const struct json_node *node, json_object *object)
{
	for (uint32_t m = node->child; m != JSON_NONE; m = doc->nodes[m].next) {
		struct slice key = rddr_json_text(doc, doc->nodes[m].key);
		bool last = true;
		char *text = strndup(key.len ? (const char *)key.data : "", key.len);
		json_object *value = NULL;

		/* Of keys that come twice, json-c has the last; it has none with a NUL, nor half a surrogate. */
		for (uint32_t k = doc->nodes[m].next; k != JSON_NONE; k = doc->nodes[k].next)
			last &= !slice_equal(key, rddr_json_text(doc, doc->nodes[k].key));
		if (last && strlen(text) == key.len && !has_surrogate(key)) {
			bool there = json_object_object_get_ex(object, text, &value);

			/* Its own name for a NUL, or for half a surrogate, can stand in the way of this one. */
			check(there, "json-c has not this key", key);
			if (!memmem(doc->text.data, doc->text.len, "\\u", 2))
				same_content(doc, m, value);
		}
		free(text);
	}
}

static void same_content(const struct json_doc *doc, uint32_t at, json_object *object)
{
	const struct json_node *node = &doc->nodes[at];
	struct slice text = rddr_json_text(doc, node->text), string;
	size_t i = 0;

	switch (node->type) {
	case JSON_NULL:
		check(object == NULL, "json-c has no null", text);
		break;
	case JSON_BOOLEAN:
		check(json_object_is_type(object, json_type_boolean) &&
			      json_object_get_boolean(object) == (text.len == 4),
		      "json-c has another boolean", text);
		break;
	case JSON_NUMBER:
		check(json_object_is_type(object, json_type_int) || json_object_is_type(object, json_type_double),
		      "json-c has no number", text);
		break;
	case JSON_STRING:
		check(json_object_is_type(object, json_type_string), "json-c has no string", text);
		string = (struct slice){(const uint8_t *)json_object_get_string(object),
					(size_t)json_object_get_string_len(object)};
		check(has_surrogate(text) || slice_equal(string, text), "json-c has another string", text);
		break;
	case JSON_ARRAY:
		check(json_object_is_type(object, json_type_array) && json_object_array_length(object) == node->count,
		      "json-c has another array", text);
		for (uint32_t m = node->child; m != JSON_NONE; m = doc->nodes[m].next)
			same_content(doc, m, json_object_array_get_idx(object, i++));
		break;
	case JSON_OBJECT:
	default:
		check(json_object_is_type(object, json_type_object), "json-c has no object", text);
		same_members(doc, node, object);
	}
}

/* 0 or the reader's error. simple: json-c tells such documents apart as RDDR does. */
static int hold_reader(struct slice text, json_object **object, bool *simple)
{
	struct json_doc doc;
	int r = rddr_json_read(text, 10000, &doc);
	bool taken;

	*object = read_by_json_c(text, &taken);
	if (r == 0) {
		check(taken, "json-c refuses", text);
		same_content(&doc, 0, *object);
	} else if (r == -EINVAL) {
		check(doc.at <= text.len && doc.why, "says not where", text);
		check(!taken || generous(&doc), doc.why, text);
	}
	*simple = r == 0;
	/* It has doubles, no -0, no half surrogates, and one of two keys. */
	for (size_t i = 0; i < text.len; i++)
		*simple &= !strchr(".eE-\\", text.data[i]);
	for (uint32_t i = 0; r == 0 && i < doc.n; i++) {
		*simple &= doc.nodes[i].type != JSON_NUMBER || doc.nodes[i].len < 18;
		for (uint32_t m = doc.nodes[i].child; m != JSON_NONE; m = doc.nodes[m].next)
			for (uint32_t k = doc.nodes[m].next; k != JSON_NONE && doc.nodes[i].type == JSON_OBJECT;
			     k = doc.nodes[k].next)
				*simple &= !slice_equal(rddr_json_text(&doc, doc.nodes[m].key),
							rddr_json_text(&doc, doc.nodes[k].key));
	}
	rddr_json_free(&doc);
	return r;
}

/* Arrays that may come in any order, down to where a short input gets. */
static const struct rules *any_order(void)
{
	static struct rules *rules;
	char err[256];

	if (!rules &&
	    rddr_rules_parse("{\"unordered\":[\"\",\"/*\",\"/*/*\",\"/*/*/*\"]}", &rules, err, sizeof(err)) < 0)
		abort();
	return rules;
}

static void hold_comparison(const struct slice texts[], bool filter, bool unordered, json_object *objects[],
			    bool simple)
{
	struct fakebody *f = calloc(1, sizeof(*f));
	bool equal = true;

	f->conf = (struct body_conf){.kind = BODY_JSON, .n = DOCUMENTS, .do_filter = filter, .limit = 2 * MOST};
	f->budget = (struct noise_budget){.run = 10 * MOST, .share = 100};
	f->conf.rules = unordered ? any_order() : NULL;
	for (unsigned i = 0; i < DOCUMENTS; i++) {
		f->in[i] = texts[i];
		equal &= json_object_equal(objects[0], objects[i]);
	}
	fakebody_play_ways(f, 3);
	/* The layout is RDDR's own to judge; escapes are not simple. */
	if (simple && !filter && !f->undecided && !strstr(f->finding.why, "white space"))
		check(unordered ? fakebody_agrees(f) || !equal : fakebody_agrees(f) == equal,
		      "json-c compares otherwise", texts[0]);
	/* What the others have as one of the pair is no divergence of theirs. */
	if (filter && slice_equal(texts[2], texts[0]) && f->verdict == RDDR_DIVERGE)
		check(f->finding.instance == 1 || f->finding.other == 1 || f->undecided, "a twin's text", texts[2]);
	free(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice texts[DOCUMENTS] = {{0}};
	json_object *objects[DOCUMENTS];
	bool simple = true, filter, unordered;

	if (size < 1 || size > MOST)
		return 0;
	filter = data[0] & 1;
	unordered = data[0] & 2;
	for (size_t i = 0, from = 1; i < DOCUMENTS && from <= size; i++) {
		const uint8_t *end = memchr(data + from, 0xff, size - from);
		size_t to = end ? (size_t)(end - data) : size;

		texts[i] = (struct slice){to > from ? data + from : NULL, to - from};
		from = to + 1;
	}
	for (unsigned i = 1; i < DOCUMENTS; i++)
		texts[i] = texts[i].len ? texts[i] : texts[0];
	for (unsigned i = 0; i < DOCUMENTS; i++) {
		bool one;

		hold_reader(texts[i], &objects[i], &one);
		simple &= one;
	}
	hold_comparison(texts, filter, unordered, objects, simple);
	for (unsigned i = 0; i < DOCUMENTS; i++)
		json_object_put(objects[i]);
	return 0;
}
