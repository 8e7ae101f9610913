/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * resolver.h - names to addresses, off the workers: a thread of its own asks DNS (and /etc/hosts) with c-ares.
 *
 * A question is answered once, on the loop of whoever asked. The thread is made with the first question. Nothing is
 * remembered between questions.
 */
#ifndef RDDR_RESOLVER_H
#define RDDR_RESOLVER_H

#include <stdint.h>

#include "addr.h"

/* Addresses of one name that are used; the others are left out. */
#define RESOLVER_ADDRESSES 8
/* Questions under way at once; more are answered with a refusal. */
#define RESOLVER_QUESTIONS 1024
/* The longest name (RFC 1035), without the terminator. */
#define RESOLVER_NAME 253

struct loop;
struct resolver;
struct resolver_query;

/* Which servers are asked, and how. */
struct resolver_conf {
	char *servers;	  /* "10.0.0.53,[fd00::53]:5353"; empty or NULL: those of /etc/resolv.conf */
	uint32_t timeout; /* ms for one server to answer the first time; grows with each try */
	uint32_t tries;	  /* of each server */
};

struct resolver_answer {
	struct addr addresses[RESOLVER_ADDRESSES]; /* with the port that was asked for */
	unsigned n;
	const char *why; /* there is none: the reason, a constant text; else NULL */
};

typedef void (*resolver_fn)(void *ctx, const struct resolver_answer *answer);

/* 0 or -ENOMEM. */
int rddr_resolver_new(struct resolver **out);
/* Answers what is under way with a refusal, and ends the thread. The askers' loops are still there. Takes NULL, nulls
 * the pointer; nobody asks any more. */
void rddr_resolver_free(struct resolver **r);

/* Whether it can be a host's name: letters, digits, '-', '_' and '.', at most RESOLVER_NAME of them. */
bool rddr_resolver_is_name(const char *host);

/*
 * Asks for host, a name or an address as text. fn comes later on loop, the caller's own, unless the query is cancelled
 * before. conf is copied. 0, -ENOMEM, or -errno of making the thread.
 */
int rddr_resolver_ask(struct resolver *r, const struct resolver_conf *conf, const char *host, uint16_t port,
		      struct loop *loop, resolver_fn fn, void *ctx, struct resolver_query **out);
/* On the asker's thread, before fn was called. Takes NULL, nulls the pointer. */
void rddr_resolver_cancel(struct resolver_query **query);

#endif
