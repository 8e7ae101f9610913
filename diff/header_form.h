/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * header_form.h - what the value of a header that is not compared may look like.
 *
 * Nobody but one instance vouches for such a value, so whatever fits into it can be carried out in it. Those that are
 * ignored without anybody having asked for it have the narrowest form that real servers keep to.
 */
#ifndef RDDR_HEADER_FORM_H
#define RDDR_HEADER_FORM_H

#include <stdbool.h>

#include "slice.h"

enum header_form {
	FORM_ANY,    /* what a header may have at all; only max-field bounds it */
	FORM_DATE,   /* "Sun, 06 Nov 1994 08:49:37 GMT", and nothing else */
	FORM_NUMBER, /* up to 10 digits */
	FORM_TOKEN,  /* up to 128 bytes that may stand in a token */
	FORM_WORD,   /* up to 128 visible bytes of ASCII, without a blank */
	FORM_TEXT,   /* up to 128 visible bytes of ASCII, and blanks */
	FORM_LONG,   /* up to 256 of them */
	HEADER_FORMS
};

/* Whether the value has that form; an empty one has every form but those of a date and a number. */
bool rddr_header_form_has(enum header_form form, struct slice value);

/* For messages: "a date", "at most 128 bytes of a token". */
const char *rddr_header_form_name(enum header_form form);

#endif
