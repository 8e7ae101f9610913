/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * evidence_file.h - a file of lines that is rotated at a size, and read again from its end.
 *
 * FILE is the current one, FILE.1 the newest of the older ones. Several processes may append to the same file
 * (an old daemon drains while a new one has begun): a line is one write, a rotation happens under a lock of the file,
 * and each process notices when the file was moved away under it. No function here is safe to call from two threads at
 * once.
 */
#ifndef RDDR_EVIDENCE_FILE_H
#define RDDR_EVIDENCE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVIDENCE_LINE_MAX (1u << 20) /* bytes; longer lines are neither written nor read */

struct evidence_file;

/* Opens the file for appending, mode 0640; its folder is made when missing. 0 or -errno, with an error logged. */
int rddr_evidence_file_open(const char *path, struct evidence_file **out);
void rddr_evidence_file_close(struct evidence_file **file);

/*
 * The size in bytes at which the file is rotated, and how many older ones are kept (0: none). A file holds at least
 * one line, however long.
 */
void rddr_evidence_file_limit(struct evidence_file *file, uint64_t max_size, uint32_t keep);

const char *rddr_evidence_file_path(const struct evidence_file *file);

/* Appends the line, which brings no newline, and the newline. All of it or nothing. 0 or -errno (-EMSGSIZE: too long).
 */
int rddr_evidence_file_append(struct evidence_file *file, const char *line, size_t len);

/*
 * Calls each with every line of the current file and of the older ones, the newest first, terminated and without its
 * newline, until it returns false. Needs a fixed amount of memory. 0 or -errno.
 */
int rddr_evidence_file_read(const struct evidence_file *file, bool (*each)(void *ctx, const char *line, size_t len),
			    void *ctx);

#endif
