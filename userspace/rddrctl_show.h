/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rddrctl_show.h - the daemon's answers as people read them.
 *
 * Each function takes the "result" of one command and prints it. Fields that are missing show as "-": the daemon may be
 * older.
 */
#ifndef RDDR_RDDRCTL_SHOW_H
#define RDDR_RDDRCTL_SHOW_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct show {
	FILE *out;
	unsigned width;	   /* of a line, in characters; 0: no bound */
	bool all;	   /* counters: those that are 0, too */
	bool detail;	   /* sessions, evidence: the one that was asked for */
	uint64_t session;  /* sessions with detail: which */
	bool reset;	   /* noise: it is forgotten now */
	const char *level; /* log-level: what was asked for */
};

/* 0; -ENOENT: what was asked for is not there; -ENOMEM. */
typedef int (*show_fn)(const struct show *show, json_object *result);

int rddr_rddrctl_show_status(const struct show *show, json_object *result);
int rddr_rddrctl_show_services(const struct show *show, json_object *result);
int rddr_rddrctl_show_sessions(const struct show *show, json_object *result);
int rddr_rddrctl_show_counters(const struct show *show, json_object *result);
int rddr_rddrctl_show_evidence(const struct show *show, json_object *result);
int rddr_rddrctl_show_noise(const struct show *show, json_object *result);
int rddr_rddrctl_show_hosts(const struct show *show, json_object *result);
int rddr_rddrctl_show_reload(const struct show *show, json_object *result);
int rddr_rddrctl_show_log_level(const struct show *show, json_object *result);
int rddr_rddrctl_show_drain(const struct show *show, json_object *result);

#endif
