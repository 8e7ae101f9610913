/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_spell.h - whether the way in which a JSON document spells its strings and numbers can hide anything.
 *
 * Strings are compared without their escapes and numbers by their value: instances may well write them otherwise. But
 * the spelling that one of them chose goes out to the client. So it has to be regular, as programs write it: each
 * character in one way throughout the document, escaped only where some program escapes it, and a number without zeros
 * or exponents that say nothing. Then there is little but the choice of a program in it.
 */
#ifndef RDDR_JSON_SPELL_H
#define RDDR_JSON_SPELL_H

#include "slice.h"

/* Characters past ASCII that some programs escape while they do not escape the rest. */
enum json_beyond { BEYOND_CONTROLS, BEYOND_LINES, BEYOND_MARKS, BEYOND_REPLACED, BEYOND_PLANE, BEYOND_REST, BEYONDS };

/* How the document did it so far: a set of ways for each choice, of which there may be one. Begins with zeros. */
struct json_habits {
	uint8_t ascii[128], beyond[BEYONDS];
	uint8_t hex;				 /* the case of hexadecimal digits */
	uint8_t letter, plus, two_digits, point; /* of exponents, and of what stands before them */
	size_t places;				 /* of numbers that end with zeros behind the point; 0: none was seen */
};

/* raw: a string that is valid, as it is written, without its quotes. False: it is irregular, why says in which way. */
bool rddr_json_string_regular(struct json_habits *h, struct slice raw, const char **why);

/* The same for a number that is valid. */
bool rddr_json_number_regular(struct json_habits *h, struct slice number, const char **why);

#endif
