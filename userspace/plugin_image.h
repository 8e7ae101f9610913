/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plugin_image.h - what a plugin's file says of itself, read without running any of it.
 *
 * dlopen runs a shared object's constructors before anybody can look at its version. So the table that it exports is
 * found and read in the file first.
 */
#ifndef RDDR_PLUGIN_IMAGE_H
#define RDDR_PLUGIN_IMAGE_H

#include <stddef.h>

/*
 * Checks that the file is a shared object that exports a table rddr_diff_plugin of our ABI, with a size that fits what
 * is there. A table that is longer than ours is of a newer header; it is accepted when all that we do not know of it is
 * zero, and refused otherwise: the plugin would count on being asked. 0; -ENOEXEC: not a plugin; -EPROTO: of another
 * ABI or size; -errno. A message without the file's name in err.
 */
int rddr_plugin_image_check(int fd, char *err, size_t errlen);

#endif
