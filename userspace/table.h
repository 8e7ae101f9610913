/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * table.h - aligned columns for people.
 *
 * Cells are copied and made safe to show (see rddr_text_escape). When the widths are too much for the line, the columns
 * that may shrink do, the widest first. Out of memory, nothing is printed and the print says so.
 */
#ifndef RDDR_TABLE_H
#define RDDR_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TABLE_COLUMNS 16

enum table_style {
	TABLE_LEFT = 0,
	TABLE_RIGHT = 1u << 0,
	TABLE_SHRINKS = 1u << 1, /* may be cut, "..." at its end */
};

struct table_column {
	const char *title;
	unsigned style; /* of enum table_style, or'ed */
};

struct table;

/* columns (at most TABLE_COLUMNS) must outlive the table. NULL: out of memory. */
struct table *rddr_table_new(const struct table_column *columns, size_t n);
void rddr_table_free(struct table **table);

/* The next cell, from left to right and row to row; NULL shows as "-". A NULL table is passed over. */
void rddr_table_cell(struct table *table, const char *text);
void rddr_table_cellf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Prints the titles (unless every one is empty) and the rows, two blanks between columns, indent blanks before. width:
 * of the line, in characters; 0: no bound. 0 or -ENOMEM.
 */
int rddr_table_print(const struct table *table, FILE *out, unsigned indent, unsigned width);

#endif
