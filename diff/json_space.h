/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * json_space.h - whether the white space of a JSON document can hide anything.
 *
 * White space is not compared: instances may well lay the same document out otherwise. But what one of them puts there
 * goes out to the client. So it has to be regular, as programs write it: the same in each place of a kind, with lines
 * indented by their depth alone. Then nothing but the choice of a layout is in it.
 */
#ifndef RDDR_JSON_SPACE_H
#define RDDR_JSON_SPACE_H

#include "slice.h"

/* The text is JSON, no deeper than JSON_DEPTH. */
bool rddr_json_space_regular(struct slice text);

/* A hash of the white space in it, the same for texts that have the same between their tokens. */
uint64_t rddr_json_space_hash(struct slice text);

#endif
