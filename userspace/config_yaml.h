/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_yaml.h - YAML text as a tree of marked nodes, bounded.
 *
 * Internal to the reader of the config. Scalars are typed by YAML 1.2's core schema; duplicate keys, merge keys,
 * foreign tags, more than one document and NUL characters are errors; depth and number of nodes are bounded. An alias
 * is the anchored node itself, so a tree has no more nodes than the text has values; who walks into lists of lists has
 * to bound the walk.
 */
#ifndef RDDR_CONFIG_YAML_H
#define RDDR_CONFIG_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "config_report.h"

#define CONFIG_YAML_DEPTH 32
#define CONFIG_YAML_NODES 100000

enum node_kind { NODE_SCALAR, NODE_SEQUENCE, NODE_MAPPING };
enum scalar_type { SCALAR_STRING, SCALAR_NULL, SCALAR_BOOL, SCALAR_INT, SCALAR_FLOAT };

struct node {
	enum node_kind kind;
	enum scalar_type type; /* scalars */
	bool plain;	       /* scalars: written without quotes */
	bool open;	       /* collections: its end was not read yet */
	struct config_mark mark;
	const char *text; /* scalars: terminated, without NUL inside */
	size_t len;
	struct node **items; /* sequences: n items; mappings: n pairs, keys (scalars) at even places */
	size_t n;
};

struct document {
	struct node *root;
	struct chunk *chunks; /* the memory of everything */
};

/* Reads the one document of text. 0, -EINVAL after having reported why, or -ENOMEM. */
int rddr_config_yaml_parse(struct config_report *report, const char *text, size_t len, struct document **out);
void rddr_config_yaml_free(struct document **document);

/* What a plain scalar is by the core schema. */
enum scalar_type rddr_config_yaml_type(const char *text, size_t len);

/* The value of a mapping's key, or NULL. */
const struct node *rddr_config_yaml_find(const struct node *mapping, const char *key);

#endif
