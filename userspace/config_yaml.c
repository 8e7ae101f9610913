// SPDX-License-Identifier: BSD-2-Clause
#include "config_yaml.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <yaml.h>

#include "own.h"

#define CHUNK_SIZE 65536
#define DIRECTIVES 16 /* libyaml compares each %TAG with all before it */

struct chunk {
	struct chunk *next;
	size_t used, size;
	max_align_t memory[];
};

struct anchor {
	struct anchor *next; /* older ones */
	const char *name;
	struct node *node;
};

/* A collection whose end was not read yet. */
struct frame {
	struct node *node;
	struct node **items;
	size_t n, room;
};

struct builder {
	struct config_report *report;
	struct document *document;
	struct anchor *anchors;
	struct frame frames[CONFIG_YAML_DEPTH];
	unsigned depth, anchored;
	size_t nodes;
};

static void *allocate(struct document *document, size_t size)
{
	struct chunk *chunk = document->chunks;
	char *memory;

	size = (size + _Alignof(max_align_t) - 1) / _Alignof(max_align_t) * _Alignof(max_align_t);
	if (!chunk || chunk->size - chunk->used < size) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->used = 0;
		chunk->size = room;
		chunk->next = document->chunks;
		document->chunks = chunk;
	}
	memory = (char *)chunk->memory + chunk->used;
	chunk->used += size;
	return memory;
}

static char *copy_text(struct document *document, const void *text, size_t len)
{
	char *copy = allocate(document, len + 1);

	if (copy) {
		memcpy(copy, text, len);
		copy[len] = '\0';
	}
	return copy;
}

void rddr_config_yaml_free(struct document **document)
{
	struct chunk *chunk, *next;

	if (!*document)
		return;
	for (chunk = (*document)->chunks; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	free(*document);
	*document = NULL;
}

static struct config_mark mark_of(const yaml_mark_t *mark)
{
	return (struct config_mark){(unsigned)mark->line + 1, (unsigned)mark->column + 1};
}

static bool is_one_of(const char *text, size_t len, const char *const *words)
{
	for (; *words; words++) {
		if (strlen(*words) == len && !memcmp(*words, text, len))
			return true;
	}
	return false;
}

static size_t span_digits(const char *text, size_t len, const char *digits)
{
	size_t n = 0;

	while (n < len && text[n] && strchr(digits, text[n]))
		n++;
	return n;
}

/* [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?, and whether it is an integer alone */
static enum scalar_type number_type(const char *text, size_t len)
{
	static const char decimal[] = "0123456789";
	size_t i = 0, whole, fraction = 0, n;
	bool integer = true;

	if (len > 2 && text[0] == '0' && text[1] == 'o')
		return span_digits(text + 2, len - 2, "01234567") == len - 2 ? SCALAR_INT : SCALAR_STRING;
	if (len > 2 && text[0] == '0' && text[1] == 'x')
		return span_digits(text + 2, len - 2, "0123456789abcdefABCDEF") == len - 2 ? SCALAR_INT : SCALAR_STRING;
	if (i < len && (text[i] == '-' || text[i] == '+'))
		i++;
	whole = span_digits(text + i, len - i, decimal);
	i += whole;
	if (i < len && text[i] == '.') {
		integer = false;
		i++;
		fraction = span_digits(text + i, len - i, decimal);
		i += fraction;
	}
	if (!whole && !fraction)
		return SCALAR_STRING;
	if (i < len && (text[i] == 'e' || text[i] == 'E')) {
		integer = false;
		i++;
		if (i < len && (text[i] == '-' || text[i] == '+'))
			i++;
		n = span_digits(text + i, len - i, decimal);
		if (!n)
			return SCALAR_STRING;
		i += n;
	}
	return i < len ? SCALAR_STRING : integer ? SCALAR_INT : SCALAR_FLOAT;
}

enum scalar_type rddr_config_yaml_type(const char *text, size_t len)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const booleans[] = {"true", "True", "TRUE", "false", "False", "FALSE", NULL};
	static const char *const endless[] = {".inf", ".Inf", ".INF", NULL};
	static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
	size_t sign = len && (*text == '-' || *text == '+') ? 1 : 0;

	if (is_one_of(text, len, nulls))
		return SCALAR_NULL;
	if (is_one_of(text, len, booleans))
		return SCALAR_BOOL;
	if (is_one_of(text + sign, len - sign, endless) || is_one_of(text, len, nans))
		return SCALAR_FLOAT;
	return number_type(text, len);
}

const struct node *rddr_config_yaml_find(const struct node *mapping, const char *key)
{
	if (mapping->kind != NODE_MAPPING)
		return NULL;
	for (size_t i = 0; i < mapping->n; i++) {
		if (!strcmp(mapping->items[2 * i]->text, key))
			return mapping->items[2 * i + 1];
	}
	return NULL;
}

static int complain(struct builder *b, struct config_mark mark, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int complain(struct builder *b, struct config_mark mark, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	rddr_config_report_vadd(b->report, mark, NULL, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* The core schema's tags may be written out; "!" makes a string of anything. */
static int apply_tag(struct builder *b, struct node *node, const char *tag)
{
	static const char *const tags[] = {YAML_STR_TAG, YAML_NULL_TAG, YAML_BOOL_TAG, YAML_INT_TAG, YAML_FLOAT_TAG};
	char quoted[80];

	if (!tag || (!strcmp(tag, "!") && node->kind != NODE_SCALAR) ||
	    (!strcmp(tag, YAML_SEQ_TAG) && node->kind == NODE_SEQUENCE) ||
	    (!strcmp(tag, YAML_MAP_TAG) && node->kind == NODE_MAPPING))
		return 0;
	if (!strcmp(tag, "!") || (!strcmp(tag, YAML_STR_TAG) && node->kind == NODE_SCALAR)) {
		node->type = SCALAR_STRING;
		return 0;
	}
	for (unsigned i = 1; i < ARRAY_LEN(tags); i++) {
		enum scalar_type type;

		if (node->kind != NODE_SCALAR || strcmp(tag, tags[i]))
			continue;
		type = rddr_config_yaml_type(node->text, node->len);
		if (type != i && !(type == SCALAR_INT && i == SCALAR_FLOAT))
			break;
		node->type = (enum scalar_type)i;
		return 0;
	}
	return complain(b, node->mark, "the tag %s does not fit here",
			rddr_config_report_quote(tag, strlen(tag), quoted, sizeof(quoted)));
}

static int remember_anchor(struct builder *b, struct node *node, const yaml_char_t *name)
{
	struct anchor *anchor;

	if (!name)
		return 0;
	if (++b->anchored > 1000)
		return complain(b, node->mark, "more than 1000 anchors");
	anchor = allocate(b->document, sizeof(*anchor));
	if (!anchor)
		return -ENOMEM;
	anchor->name = copy_text(b->document, name, strlen((const char *)name));
	if (!anchor->name)
		return -ENOMEM;
	anchor->node = node;
	anchor->next = b->anchors;
	b->anchors = anchor;
	return 0;
}

/* Adds a finished scalar, an alias's node, or a collection that just begins, to the collection that is open. */
static int add_node(struct builder *b, struct node *node, struct config_mark mark)
{
	struct frame *frame;
	char quoted[80];

	if (!b->depth) {
		b->document->root = node;
		return 0;
	}
	frame = &b->frames[b->depth - 1];
	if (frame->node->kind == NODE_MAPPING && frame->n % 2 == 0) {
		if (node->kind != NODE_SCALAR)
			return complain(b, mark, "a key has to be a word, not a list or a mapping");
		if (node->plain && !strcmp(node->text, "<<"))
			return complain(b, mark,
					"merge keys (<<) are not supported; an alias can stand for a whole value");
		if (node->len > 1024)
			return complain(b, mark, "a key of %zu bytes: %s", node->len,
					rddr_config_report_quote(node->text, node->len, quoted, sizeof(quoted)));
	}
	if (frame->n == frame->room) {
		size_t room = frame->room ? 2 * frame->room : 8;
		struct node **items = realloc(frame->items, room * sizeof(struct node *));

		if (!items)
			return -ENOMEM;
		frame->items = items;
		frame->room = room;
	}
	frame->items[frame->n++] = node;
	return 0;
}

static int new_node(struct builder *b, enum node_kind kind, const yaml_event_t *event, struct node **out)
{
	struct node *node;

	if (++b->nodes > CONFIG_YAML_NODES) {
		complain(b, mark_of(&event->start_mark), "more than %d values", CONFIG_YAML_NODES);
		return -EINVAL;
	}
	node = allocate(b->document, sizeof(*node));
	if (!node)
		return -ENOMEM;
	memset(node, 0, sizeof(*node));
	node->kind = kind;
	node->mark = mark_of(&event->start_mark);
	*out = node;
	return 0;
}

static int take_scalar(struct builder *b, const yaml_event_t *event)
{
	const yaml_char_t *value = event->data.scalar.value;
	size_t len = event->data.scalar.length;
	struct node *node;
	int err = new_node(b, NODE_SCALAR, event, &node);

	if (err)
		return err;
	if (memchr(value, '\0', len))
		return complain(b, node->mark, "a NUL character in a value");
	node->text = copy_text(b->document, value, len);
	if (!node->text)
		return -ENOMEM;
	node->len = len;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->type = node->plain ? rddr_config_yaml_type(node->text, len) : SCALAR_STRING;
	err = apply_tag(b, node, (const char *)event->data.scalar.tag);
	if (!err)
		err = remember_anchor(b, node, event->data.scalar.anchor);
	return err ? err : add_node(b, node, node->mark);
}

static int take_alias(struct builder *b, const yaml_event_t *event)
{
	const char *name = (const char *)event->data.alias.anchor;
	struct config_mark mark = mark_of(&event->start_mark);
	char quoted[80];

	if (++b->nodes > CONFIG_YAML_NODES)
		return complain(b, mark, "more than %d values", CONFIG_YAML_NODES);
	for (const struct anchor *a = b->anchors; a; a = a->next) {
		if (strcmp(a->name, name))
			continue;
		if (a->node->open)
			return complain(b, mark, "the alias *%s stands inside of what it is an alias for", name);
		return add_node(b, a->node, mark);
	}
	return complain(b, mark, "no anchor for the alias %s",
			rddr_config_report_quote(name, strlen(name), quoted, sizeof(quoted)));
}

static int begin_collection(struct builder *b, enum node_kind kind, const yaml_event_t *event, const yaml_char_t *tag,
			    const yaml_char_t *anchor)
{
	struct node *node;
	int err = new_node(b, kind, event, &node);

	if (err)
		return err;
	node->open = true;
	err = apply_tag(b, node, (const char *)tag);
	if (!err)
		err = remember_anchor(b, node, anchor);
	if (!err)
		err = add_node(b, node, node->mark);
	if (err)
		return err;
	if (b->depth == CONFIG_YAML_DEPTH) {
		complain(b, node->mark, "nested more than %d deep", CONFIG_YAML_DEPTH);
		return -EINVAL;
	}
	b->frames[b->depth++] = (struct frame){.node = node};
	return 0;
}

static int by_key(const void *pa, const void *pb)
{
	const struct node *const *a = pa, *const *b = pb;
	int order = strcmp((*a)->text, (*b)->text);

	if (order)
		return order;
	if ((*a)->mark.line != (*b)->mark.line)
		return (*a)->mark.line < (*b)->mark.line ? -1 : 1;
	return (*a)->mark.column < (*b)->mark.column ? -1 : (*a)->mark.column > (*b)->mark.column;
}

/* Sorting first keeps a mapping of many keys from taking for ever. Every duplicate is told, and the reading goes on. */
static int find_duplicates(struct builder *b, const struct node *mapping)
{
	_owned_mem_ struct node **keys = NULL;
	char quoted[80];

	if (mapping->n < 2)
		return 0;
	keys = malloc(mapping->n * sizeof(struct node *));
	if (!keys)
		return -ENOMEM;
	for (size_t i = 0; i < mapping->n; i++)
		keys[i] = mapping->items[2 * i];
	qsort(keys, mapping->n, sizeof(struct node *), by_key);
	for (size_t i = 1; i < mapping->n; i++) {
		if (strcmp(keys[i]->text, keys[i - 1]->text))
			continue;
		complain(b, keys[i]->mark, "the key %s stands in line %u already",
			 rddr_config_report_quote(keys[i]->text, keys[i]->len, quoted, sizeof(quoted)),
			 keys[i - 1]->mark.line);
	}
	return 0;
}

static int end_collection(struct builder *b)
{
	struct frame *frame = &b->frames[--b->depth];
	struct node *node = frame->node;
	_owned_mem_ struct node **items = TAKE_PTR(frame->items);

	node->open = false;
	node->n = node->kind == NODE_MAPPING ? frame->n / 2 : frame->n;
	if (!frame->n)
		return 0;
	node->items = allocate(b->document, frame->n * sizeof(struct node *));
	if (!node->items)
		return -ENOMEM;
	memcpy(node->items, items, frame->n * sizeof(struct node *));
	return node->kind == NODE_MAPPING ? find_duplicates(b, node) : 0;
}

static int take_event(struct builder *b, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->document->root)
			return complain(b, mark_of(&event->start_mark), "a second document; the file has to be one");
		return 0;
	case YAML_SCALAR_EVENT:
		return take_scalar(b, event);
	case YAML_ALIAS_EVENT:
		return take_alias(b, event);
	case YAML_SEQUENCE_START_EVENT:
		return begin_collection(b, NODE_SEQUENCE, event, event->data.sequence_start.tag,
					event->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		return begin_collection(b, NODE_MAPPING, event, event->data.mapping_start.tag,
					event->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		if (b->depth)
			return end_collection(b);
		return complain(b, mark_of(&event->start_mark), "an end without a beginning"); /* of libyaml's */
	default:
		return 0;
	}
}

/* The mark of a place in the text, for what libyaml does not mark. */
static struct config_mark mark_at(const char *text, size_t offset)
{
	struct config_mark mark = {1, 1};

	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			mark.line++;
			mark.column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			mark.column++;
		}
	}
	return mark;
}

static int tell_problem(struct builder *b, const yaml_parser_t *parser, const char *text, size_t len)
{
	const char *problem = parser->problem ? parser->problem : "cannot be read";

	if (parser->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (parser->error == YAML_READER_ERROR) {
		struct config_mark mark = mark_at(text, parser->problem_offset < len ? parser->problem_offset : len);

		if (parser->problem_value >= 0)
			return complain(b, mark, "%s (0x%02x)", problem, (unsigned)parser->problem_value);
		return complain(b, mark, "%s", problem);
	}
	if (parser->context)
		return complain(b, mark_of(&parser->problem_mark), "not YAML: %s, %s from line %zu on%s", problem,
				parser->context, parser->context_mark.line + 1,
				strstr(parser->context, "flow") ? " (an address in brackets has to be quoted)" : "");
	return complain(b, mark_of(&parser->problem_mark), "not YAML: %s", problem);
}

static int check_directives(struct builder *b, const char *text, size_t len)
{
	unsigned n = 0;

	for (const char *line = text, *end = text + len; line && line < end;) {
		if (*line == '%' && ++n > DIRECTIVES)
			return complain(b, mark_at(text, (size_t)(line - text)), "more than %d directives", DIRECTIVES);
		line = memchr(line, '\n', (size_t)(end - line));
		if (line)
			line++;
	}
	return 0;
}

static int build(struct builder *b, yaml_parser_t *parser, const char *text, size_t len)
{
	bool ended = false;
	int err = check_directives(b, text, len);

	while (!err && !ended) {
		yaml_event_t event;

		if (!yaml_parser_parse(parser, &event))
			return tell_problem(b, parser, text, len);
		err = take_event(b, &event);
		ended = event.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&event);
	}
	if (!err && !b->document->root)
		return complain(b, (struct config_mark){1, 1}, "the file is empty");
	return err;
}

int rddr_config_yaml_parse(struct config_report *report, const char *text, size_t len, struct document **out)
{
	_owned_(rddr_config_yaml_free) struct document *document = calloc(1, sizeof(*document));
	_owned_mem_ struct builder *b = calloc(1, sizeof(*b));
	yaml_parser_t parser;
	int err;

	if (!document || !b || !yaml_parser_initialize(&parser))
		return -ENOMEM;
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) { /* a byte order mark */
		text += 3;
		len -= 3;
	}
	b->report = report;
	b->document = document;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	err = build(b, &parser, text, len);
	yaml_parser_delete(&parser);
	while (b->depth)
		free(b->frames[--b->depth].items);
	if (!err)
		*out = TAKE_PTR(document);
	return err;
}
