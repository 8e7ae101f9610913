/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_read.h - from nodes to values: numbers, durations, addresses, mappings read by a table of keys.
 *
 * Internal to the reader of the config. A reading function stores what it read, or reports what is wrong and leaves
 * the target alone; whether a file is good is known when all of it was read and nothing was reported. Only lack of
 * memory ends the reading early (reader->oom).
 */
#ifndef RDDR_CONFIG_READ_H
#define RDDR_CONFIG_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"
#include "config_report.h"
#include "config_yaml.h"

#define CONFIG_PLACE_TEXT 300

/* The way to a node, from the leaf up: "services.shop.instances[1].remote". Lives on the stack. */
struct place {
	const struct place *up;
	const char *key; /* NULL: an item of a list */
	size_t index;
};

/* Where things of a service stand, for checks that look at several services. */
struct draft {
	struct config_mark listen, filter, instance[RDDR_MAX_INSTANCES], remote[RDDR_MAX_INSTANCES];
};

struct reader {
	struct config_report *report;
	struct config *config;
	struct draft *drafts; /* one for each of config->services */
	size_t n_rules;	      /* of all services so far */
	sa_family_t family;   /* of a name's addresses the first of this family is taken; AF_UNSPEC: the first */
	bool listening;	      /* the service that is being read listens by itself */
	bool oom;
	/* What diff-params may still grow to, in all services: aliases make much of little. */
	size_t json_values, json_bytes;
	/* What a service starts from. */
	struct deadlines deadlines;
	struct noise_budget noise;
	struct limits limits;
};

struct field;
typedef void (*read_fn)(struct reader *r, const struct node *node, const struct place *place, const struct field *field,
			void *base);

/* One key of a mapping. Fields are read in the table's order, not the file's: what others need comes first. */
struct field {
	const char *key;
	read_fn read;
	size_t offset;	 /* of the target in base, for read functions that have one */
	const void *arg; /* bounds, words ... of the read function */
	bool required;
};

struct fields {
	const struct field *list;
	size_t n;
};
#define FIELDS(array) ((struct fields){(array), ARRAY_LEN(array)})

struct bounds {
	uint64_t min, max;
};

/* Lists of them end with a NULL word. */
struct word {
	const char *word;
	int value;
	bool absent; /* it is understood, but this version does not have it */
};

/* Reports an error at a mark about the key that place names. */
void rddr_config_read_fault(struct reader *r, struct config_mark mark, const struct place *place, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What a node is, for messages: "a list", "\"word\"" ... Returns buf. */
const char *rddr_config_read_show(const struct node *node, char *buf, size_t size);

/* Reads a mapping's keys into base; keys that are unknown, or missing though required, are errors. False: no mapping.
 */
bool rddr_config_read_mapping(struct reader *r, const struct node *node, const struct place *place,
			      struct fields fields, void *base);

/* A list's items, or the node itself as the only one where it is no list. */
struct items {
	const struct node *single;
	const struct node *list;
	size_t n;
};
/* Empty, or more than max: reported, and false. */
bool rddr_config_read_items(struct reader *r, const struct node *node, const struct place *place, size_t max,
			    struct items *out);
/* Item i, and its place below up. */
const struct node *rddr_config_read_item(const struct items *items, size_t i, const struct place *up,
					 struct place *out);

/* A text that is not empty, at most max bytes long, borrowed from the document; NULL after a report. */
const char *rddr_config_read_text(struct reader *r, const struct node *node, const struct place *place, size_t max);
bool rddr_config_read_number(struct reader *r, const struct node *node, const struct place *place,
			     const struct bounds *bounds, uint64_t *out);
bool rddr_config_read_word(struct reader *r, const struct node *node, const struct place *place,
			   const struct word *words, int *out);

/* Slots for tables: the type of the target, and what arg is, stand behind each. */
#define CONFIG_READ_SLOT(name)                                                                                         \
	void name(struct reader *r, const struct node *node, const struct place *place, const struct field *field,     \
		  void *base)
CONFIG_READ_SLOT(rddr_config_read_bool);     /* bool */
CONFIG_READ_SLOT(rddr_config_read_u16);	     /* uint16_t; struct bounds */
CONFIG_READ_SLOT(rddr_config_read_u32);	     /* uint32_t; struct bounds */
CONFIG_READ_SLOT(rddr_config_read_duration); /* uint32_t, ms; struct bounds */
CONFIG_READ_SLOT(rddr_config_read_size32);   /* uint32_t, bytes; struct bounds */
CONFIG_READ_SLOT(rddr_config_read_size64);   /* uint64_t, bytes; struct bounds */
CONFIG_READ_SLOT(rddr_config_read_percent);  /* uint32_t */
CONFIG_READ_SLOT(rddr_config_read_choice);   /* an enum; struct word[] */
CONFIG_READ_SLOT(rddr_config_read_path);     /* char *, owned, may be empty; struct bounds of its length */
CONFIG_READ_SLOT(rddr_config_read_section);  /* a mapping into base + offset; struct fields */

/* deadlines, noise, limits: struct fields of struct deadlines, noise_budget, limits. */
extern const struct fields rddr_config_read_deadlines, rddr_config_read_noise, rddr_config_read_limits;

/* What an address may be. */
enum endpoint_flag {
	ENDPOINT_PORT = 1u << 0,     /* has to have a port */
	ENDPOINT_WILDCARD = 1u << 1, /* may be 0.0.0.0 or :: */
};
/* "host:port" or "host"; a name is resolved. False after a report. */
bool rddr_config_endpoint_read(struct reader *r, const struct node *node, const struct place *place, unsigned flags,
			       struct addr *out);
/* {host, port}, or "host:port". */
bool rddr_config_endpoint_listen(struct reader *r, const struct node *node, const struct place *place,
				 struct addr *out);
/* A host in a key of its own; the port has to be checked by the caller. */
bool rddr_config_endpoint_host(struct reader *r, const struct node *node, const struct place *place, uint16_t port,
			       unsigned flags, struct addr *out);

/* A mapping as JSON text, replaced in *out (owned); nothing (null) is {}. False after a report, or oom. */
bool rddr_config_json_text(struct reader *r, const struct node *node, const struct place *place, char **out);

/* The closest of n words, where one is close: " (did you mean WORD?)", else nothing. Returns buf. */
const char *rddr_config_suggest(const char *text, const char *(*word)(const void *ctx, size_t i), const void *ctx,
				size_t n, char *buf, size_t size);

#endif
