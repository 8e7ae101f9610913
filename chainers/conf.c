// SPDX-License-Identifier: BSD-2-Clause
/* What the config says of a chainer: names, what fits together, and what is joined with the knowledge of all. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chainer.h"
#include "hosts.h"
#include "own.h"

static const char *const outcome_names[] = {
	[DIAL_PENDING] = "pending",
	[DIAL_CONNECTED] = "connected",
	[DIAL_REFUSED] = "refused",
	[DIAL_UNREACHABLE] = "unreachable",
	[DIAL_TIMED_OUT] = "timed-out",
	[DIAL_NO_PORT] = "no-port",
	[DIAL_NOT_PERMITTED] = "not-permitted",
	[DIAL_LOOP] = "loop",
	[DIAL_UNRESOLVED] = "unresolved",
	[DIAL_DENIED] = "denied",
	[DIAL_FAILED] = "failed",
};
static_assert(ARRAY_LEN(outcome_names) == DIAL_OUTCOMES, "every outcome has a name");

static const char *const rung_names[] = {
	[FORGE_PORT_EXACT] = "exact",
	[FORGE_PORT_GROUP] = "group",
	[FORGE_PORT_ANY] = "any",
	[FORGE_PORT_RANDOM] = "random",
};
static_assert(ARRAY_LEN(rung_names) == FORGE_PORTS, "every rung has a name");

static const struct chainer_ops *const chainers[] = {
	&rddr_chainer_transparent,
	&rddr_chainer_directed,
	&rddr_chainer_failover,
	&rddr_chainer_inband,
};

const char *rddr_dial_outcome_name(enum dial_outcome outcome)
{
	return (size_t)outcome < ARRAY_LEN(outcome_names) ? outcome_names[outcome] : "unknown";
}

bool rddr_dial_outcome_is_local(enum dial_outcome outcome)
{
	return outcome >= DIAL_NO_PORT && outcome <= DIAL_FAILED;
}

const char *rddr_forge_port_name(enum forge_port rung)
{
	return (size_t)rung < ARRAY_LEN(rung_names) ? rung_names[rung] : "unknown";
}

const struct chainer_ops *rddr_chainer_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(chainers); i++) {
		if (!strcmp(chainers[i]->name, name))
			return chainers[i];
	}
	return NULL;
}

const char *rddr_chainer_name(const struct chainer_ops *ops)
{
	return ops->name;
}

int rddr_chainer_refuse(char *err, size_t errlen, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err, errlen, fmt, args);
	va_end(args);
	return -EINVAL;
}

static int check_source(const struct chainer_conf *conf, char *err, size_t errlen)
{
	unsigned seen = 0;

	if (conf->forge_addr && conf->has_local)
		return rddr_chainer_refuse(err, errlen,
					   "local: excludes forge-addr: the source is a local address or the client's");
	if (conf->forge_ports && !conf->forge_addr)
		return rddr_chainer_refuse(err, errlen, "forge-port: only with forge-addr: true");
	if (conf->forge_fallback && !conf->forge_addr)
		return rddr_chainer_refuse(err, errlen, "forge-fallback: only with forge-addr: true");
	if (conf->forge_ports > FORGE_PORTS)
		return rddr_chainer_refuse(err, errlen, "forge-port: %u entries, at most %u", conf->forge_ports,
					   (unsigned)FORGE_PORTS);
	for (unsigned i = 0; i < conf->forge_ports; i++) {
		unsigned bit = 1u << conf->forge_port[i];

		if (seen & bit)
			return rddr_chainer_refuse(err, errlen, "forge-port: %s stands twice",
						   rddr_forge_port_name(conf->forge_port[i]));
		seen |= bit;
	}
	return 0;
}

static int check_hosts(const struct chainer_conf *conf, char *err, size_t errlen)
{
	const struct {
		const char *key;
		bool set;
	} keys[] = {
		{"hosts", conf->n_hosts},     {"host-timeout", conf->host_timeout && !conf->ops->wants_target},
		{"down-for", conf->down_for}, {"attempts", conf->attempts},
		{"rotate", conf->rotate},     {"check", conf->check.interval},
	};

	for (size_t i = 0; i < ARRAY_LEN(keys) && !conf->ops->has_hosts; i++) {
		if (keys[i].set)
			return rddr_chainer_refuse(err, errlen, "%s: only with chainer failover", keys[i].key);
	}
	return 0;
}

int rddr_chainer_check(const struct chainer_conf *conf, bool steered, char *err, size_t errlen)
{
	int r = check_source(conf, err, errlen);

	if (!r)
		r = check_hosts(conf, err, errlen);
	return r ? r : conf->ops->check(conf, steered, err, errlen);
}

int rddr_chainer_bind(struct chainer_conf *conf, const char *name)
{
	conf->host_timeout = conf->host_timeout ? conf->host_timeout : CHAINER_HOST_TIMEOUT;
	conf->down_for = conf->down_for ? conf->down_for : CHAINER_DOWN_FOR;
	conf->attempts = conf->attempts ? conf->attempts : 2 * conf->n_hosts;
	for (unsigned i = 0; i < conf->n_hosts; i++) {
		struct host *host = &conf->hosts[i];

		host->state = rddr_hosts_get(IPPROTO_TCP, &host->address);
		if (!host->state)
			return -ENOMEM;
	}
	if (conf->n_hosts)
		conf->ring = rddr_hosts_ring(name, conf->hosts, conf->n_hosts);
	return conf->n_hosts && !conf->ring ? -ENOMEM : 0;
}

void rddr_chainer_conf_clear(struct chainer_conf *conf)
{
	for (unsigned i = 0; i < conf->n_hosts; i++)
		rddr_hosts_put(&conf->hosts[i].state);
	rddr_hosts_ring_put(&conf->ring);
	free(conf->check.http);
	conf->check.http = NULL;
	free(conf->hosts);
	conf->hosts = NULL;
	conf->n_hosts = 0;
}
