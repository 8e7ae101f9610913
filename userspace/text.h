/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * text.h - makes bytes that may come off the wire safe to show: in a log line, a record, a table.
 */
#ifndef RDDR_TEXT_H
#define RDDR_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define RDDR_TEXT_TIME 25 /* bytes of "2026-11-22T10:00:00.123Z" with the terminator */

/*
 * Copies text of len bytes: well-formed UTF-8 as it is, control characters (C0, DEL, C1, and those that turn the
 * direction of writing or break lines) and every byte that is no UTF-8 as \xNN. Never splits a character or an escape.
 * Writes at most size bytes, no terminator; returns how many. *used (may be NULL) is how many bytes of text they stand
 * for.
 */
size_t rddr_text_escape(char *out, size_t size, const char *text, size_t len, size_t *used);

/* The same as a terminated string of its own (the caller frees it), however long it gets. NULL: out of memory. */
char *rddr_text_escaped(const void *text, size_t len);

/* Bytes of the well-formed UTF-8 character at text (1 to 4), its code point in *code; 0 when there is none. */
size_t rddr_text_character(const char *text, size_t len, uint32_t *code);

/* The time of day, UTC, as RFC 3339 with milliseconds. */
void rddr_text_now(char out[RDDR_TEXT_TIME]);

/* Base64 of the bytes as a terminated string (the caller frees it). NULL: out of memory. */
char *rddr_text_base64(const void *data, size_t len);

/* Reads it back: the bytes (the caller frees them), their number in *len. NULL: it is no base64, or out of memory. */
uint8_t *rddr_text_unbase64(const char *text, size_t *len);

#endif
