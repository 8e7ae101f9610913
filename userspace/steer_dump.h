/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * steer_dump.h - a config file as plain lines, for the scripts that check a gateway against it.
 *
 * One line a thing, fields parted by one tab each, "-" where a field has no value:
 *
 *	service   NAME  DIRECTION  enforcing|reporting  WHEN-DOWN  EXISTING  steered|listening
 *	rule      NAME  DESTINATION  PORT  INTERFACE  CLIENTS
 *	instance  NAME  NUMBER  INSTANCE  CHAINER  REMOTE-ADDRESS  REMOTE-PORT  forged|own  LOCAL-ADDRESS
 *
 * Destinations and clients are prefixes. A port "-" in a rule means all ports; in an instance, the one that the
 * client addressed.
 */
#ifndef RDDR_STEER_DUMP_H
#define RDDR_STEER_DUMP_H

#include <stdio.h>

struct config;

/* Writes the lines of a loaded config. 0, or -EIO when out does not take them. */
int rddr_steer_dump(const struct config *config, FILE *out);

/* Loads the file and writes its lines to stdout: `rddr-steer dump --config FILE`. Returns an exit status, 0 or 1. */
int rddr_steer_dump_file(const char *path);

#endif
