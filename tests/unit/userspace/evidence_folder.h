/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence_folder.h - a folder of their own for the tests of what writes files: made before each test, removed after
 * it.
 */
#ifndef RDDR_TEST_EVIDENCE_FOLDER_H
#define RDDR_TEST_EVIDENCE_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static char folder[] = "/tmp/rddr-evidence-XXXXXX";
static char path[64]; /* of the evidence file in a folder that is not there yet */

static inline int make_folder(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/rddr-evidence-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log/evidence.jsonl", folder);
	return 0;
}

static inline int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(name);
}

static inline int remove_folder(void **state)
{
	(void)state;
	return nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
