/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * plugin.h - loads diff plugins. The only place that calls dlopen.
 *
 * A plugin is loaded from a private copy of its file, so that a file replaced on disk neither crashes a running
 * daemon nor is missed by a reload: the same bytes give the same loaded plugin, other bytes a new one. The version and
 * the size are checked in the file, before any code of it runs, its constructors included. Any thread; loading blocks.
 */
#ifndef RDDR_PLUGIN_H
#define RDDR_PLUGIN_H

#include <stddef.h>

#include "rddr_diff.h"

struct plugin;

/*
 * Loads what a diff-class names: a built-in ("bytes"; the original's "rddr_diff_builtins.RddrBytesDiff") from dir, or a
 * path to a .so (anything with a slash in it). 0, or -errno with a message that names file and cause in err: -ENOENT no
 * such class or file, -ENOEXEC not loadable or no rddr_diff_plugin in it, -EPROTO wrong ABI or size, -EPERM somebody
 * else than root and the daemon's own user may change the file.
 *
 * A table that is shorter than ours is filled up with NULL. A longer one is taken when all that we do not know of it is
 * zero; an operation that we would never call might be the one that the plugin's judgement hangs on.
 */
int rddr_plugin_load(const char *diff_class, const char *dir, struct plugin **out, char *err, size_t errlen);

/* Takes another hold on a loaded plugin; returns it. Each hold is given back with rddr_plugin_put. */
struct plugin *rddr_plugin_get(struct plugin *plugin);
/* Gives a hold back; unloads with the last one. Takes NULL, nulls the pointer. */
void rddr_plugin_put(struct plugin **plugin);

/* The plugin's table, complete: slots that an older plugin does not have, and those left NULL, are NULL here. */
const struct rddr_diff_plugin *rddr_plugin_ops(const struct plugin *plugin);

/* Where it was loaded from, for messages. */
const char *rddr_plugin_path(const struct plugin *plugin);

#endif
