/* SPDX-License-Identifier: BSD-2-Clause */
#include "table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define GAP	 2
#define ELLIPSIS 3 /* characters of "..." */
#define LEAST	 6 /* what a column that shrinks keeps */

struct table {
	const struct table_column *columns;
	size_t n_columns;
	char **cells;
	size_t n_cells, room;
	bool failed; /* a cell is missing for want of memory */
};

struct table *rddr_table_new(const struct table_column *columns, size_t n)
{
	struct table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	table->columns = columns;
	table->n_columns = n < TABLE_COLUMNS ? n : TABLE_COLUMNS;
	return table;
}

void rddr_table_free(struct table **table)
{
	if (!*table)
		return;
	for (size_t i = 0; i < (*table)->n_cells; i++)
		free((*table)->cells[i]);
	free((*table)->cells);
	free(*table);
	*table = NULL;
}

void rddr_table_cell(struct table *table, const char *text)
{
	char *copy;

	if (!table)
		return;
	if (!text || !*text)
		text = "-";
	if (table->n_cells == table->room) {
		size_t room = table->room ? table->room * 2 : 64;
		char **cells = realloc(table->cells, room * sizeof(*cells));

		if (!cells) {
			table->failed = true;
			return;
		}
		table->cells = cells;
		table->room = room;
	}
	copy = rddr_text_escaped(text, strlen(text));
	if (copy)
		table->cells[table->n_cells++] = copy;
	else
		table->failed = true;
}

void rddr_table_cellf(struct table *table, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	rddr_table_cell(table, text);
}

/* Characters, of text that is well-formed. */
static size_t characters(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Bytes of the first n characters. */
static int prefix(const char *text, size_t n)
{
	const char *at = text;

	while (*at && (n || ((unsigned char)*at & 0xc0) == 0x80)) {
		n -= ((unsigned char)*at & 0xc0) != 0x80;
		at++;
	}
	return (int)(at - text);
}

static void measure(const struct table *table, size_t widths[])
{
	for (size_t i = 0; i < table->n_columns; i++)
		widths[i] = characters(table->columns[i].title);
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t n = characters(table->cells[i]);

		if (n > widths[i % table->n_columns])
			widths[i % table->n_columns] = n;
	}
}

static void shrink(const struct table *table, size_t widths[], size_t width)
{
	size_t sum = GAP * (table->n_columns - 1);

	for (size_t i = 0; i < table->n_columns; i++)
		sum += widths[i];
	for (; sum > width; sum--) {
		size_t *widest = NULL;

		for (size_t i = 0; i < table->n_columns; i++) {
			if ((table->columns[i].style & TABLE_SHRINKS) && widths[i] > LEAST &&
			    widths[i] > characters(table->columns[i].title) && (!widest || widths[i] > *widest))
				widest = &widths[i];
		}
		if (!widest)
			return;
		(*widest)--;
	}
}

static void print_cell(FILE *out, const struct table_column *column, const char *text, size_t width, bool last)
{
	size_t n = characters(text);
	bool cut = n > width;
	size_t pad = cut ? 0 : width - n;

	if (column->style & TABLE_RIGHT)
		fprintf(out, "%*s", (int)pad, "");
	if (cut)
		fprintf(out, "%.*s...", prefix(text, width - ELLIPSIS), text);
	else
		fputs(text, out);
	if (!(column->style & TABLE_RIGHT) && !last)
		fprintf(out, "%*s", (int)pad, "");
	if (!last)
		fprintf(out, "%*s", GAP, "");
}

int rddr_table_print(const struct table *table, FILE *out, unsigned indent, unsigned width)
{
	size_t widths[TABLE_COLUMNS];
	bool titled = false;

	if (!table || table->failed)
		return -ENOMEM;
	if (!table->n_columns)
		return 0;
	measure(table, widths);
	if (width)
		shrink(table, widths, width > indent ? width - indent : 1);
	for (size_t i = 0; i < table->n_columns; i++)
		titled |= *table->columns[i].title != '\0';
	for (size_t i = 0; titled && i < table->n_columns; i++) {
		if (!i)
			fprintf(out, "%*s", (int)indent, "");
		print_cell(out, &table->columns[i], table->columns[i].title, widths[i], i + 1 == table->n_columns);
	}
	if (titled)
		fputc('\n', out);
	for (size_t i = 0; i < table->n_cells; i++) {
		size_t column = i % table->n_columns;
		bool last = column + 1 == table->n_columns || i + 1 == table->n_cells;

		if (!column)
			fprintf(out, "%*s", (int)indent, "");
		print_cell(out, &table->columns[column], table->cells[i], widths[column], last);
		if (last)
			fputc('\n', out);
	}
	return 0;
}
