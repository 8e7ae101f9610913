// SPDX-License-Identifier: BSD-2-Clause
/*
 * One of several servers, in turn until one answers.
 *
 * A dial begins with the current host and goes on from there. One that fails is passed over for a while by everybody;
 * one that this host may not dial, or has no port for, is passed over by this dial alone. Once round without success
 * the marks are taken off, and there is one more lap.
 */
#include <errno.h>

#include "chainer.h"
#include "hosts.h"
#include "log.h"

static int check(const struct chainer_conf *conf, bool steered, char *err, size_t errlen)
{
	char text[RDDR_ADDR_TEXT];

	(void)steered;
	if (conf->has_remote)
		return rddr_chainer_refuse(err, errlen, "remote: not with chainer failover, which has hosts");
	if (conf->forced_port)
		return rddr_chainer_refuse(err, errlen,
					   "forced-port: %u: only with chainer transparent; hosts name their ports",
					   conf->forced_port);
	if (!conf->n_hosts)
		return rddr_chainer_refuse(err, errlen,
					   "hosts: missing: chainer failover needs the servers' addresses");
	for (unsigned i = 0; i < conf->n_hosts; i++) {
		const struct addr *a = &conf->hosts[i].address;

		rddr_addr_format(a, text, sizeof(text));
		if (!rddr_addr_port(a))
			return rddr_chainer_refuse(err, errlen, "hosts: %s: has no port", text);
		if (rddr_addr_is_wildcard(a))
			return rddr_chainer_refuse(err, errlen, "hosts: %s: is no server's address", text);
		for (unsigned j = 0; j < i; j++) {
			if (rddr_addr_equal(a, &conf->hosts[j].address))
				return rddr_chainer_refuse(err, errlen, "hosts: %s: stands twice", text);
		}
		if (conf->has_local && conf->local.sa.sa_family != a->sa.sa_family)
			return rddr_chainer_refuse(err, errlen,
						   "hosts: %s: is of another family (IPv4, IPv6) than local", text);
	}
	return 0;
}

/* The next host worth an attempt, in dial->host. False: there is none, or no attempt is left. */
static bool pick(struct dial *dial)
{
	const struct chainer_conf *conf = dial->conf;
	uint64_t now = rddr_loop_now(dial->loop);

	while (dial->left) {
		if (!dial->lap_left) {
			if (dial->second_lap)
				return false;
			dial->second_lap = true;
			dial->lap_left = (uint16_t)conf->n_hosts;
			for (unsigned i = 0; i < conf->n_hosts; i++)
				rddr_hosts_mark_up(conf->hosts[i].state);
		}
		dial->lap_left--;
		dial->host = (uint16_t)(dial->host + 1u < conf->n_hosts ? dial->host + 1u : 0);
		if (dial->useless & 1u << dial->host)
			continue;
		/* In the second lap there is nothing better left. */
		if (!dial->second_lap && rddr_hosts_is_down(conf->hosts[dial->host].state, now)) {
			dial->hosts_skipped++;
			continue;
		}
		dial->left--;
		return true;
	}
	return false;
}

static void note_failure(struct dial *dial, enum dial_outcome outcome)
{
	const struct chainer_conf *conf = dial->conf;
	const struct host *host = &conf->hosts[dial->host];
	uint64_t now = rddr_loop_now(dial->loop);
	char text[RDDR_ADDR_TEXT];

	dial->last = outcome;
	dial->last_error = dial->error;
	if (rddr_dial_outcome_is_local(outcome) || dial->unroutable) {
		/* Says nothing of the server; and what failed here will fail here again. */
		dial->useless |= 1u << dial->host;
		if (outcome == DIAL_NOT_PERMITTED || (outcome == DIAL_FAILED && dial->error != EAFNOSUPPORT))
			dial->left = 0;
		return;
	}
	dial->hosts_failed++;
	/* What is tried anew because nothing better is left, and fails again, is no news. */
	if (rddr_hosts_mark_down(host->state, now, now + conf->down_for) && !dial->second_lap)
		log_warning("failover: host down host=%s outcome=%s for=%ums",
			    rddr_addr_format(&host->address, text, sizeof(text)), rddr_dial_outcome_name(outcome),
			    conf->down_for);
}

static void note_success(struct dial *dial)
{
	const struct chainer_conf *conf = dial->conf;
	const struct host *host = &conf->hosts[dial->host];
	char text[RDDR_ADDR_TEXT];

	if (rddr_hosts_mark_up(host->state))
		log_info("failover: host up host=%s", rddr_addr_format(&host->address, text, sizeof(text)));
	if (!conf->rotate)
		rddr_hosts_move(conf->ring, dial->began, dial->host);
}

/* Tries hosts until one is connected or on the way. */
static enum dial_outcome go_on(struct dial *dial)
{
	while (pick(dial)) {
		enum dial_outcome outcome =
			rddr_chainer_establish(dial, &dial->request, &dial->conf->hosts[dial->host].address);

		if (outcome == DIAL_PENDING) {
			rddr_loop_timer_set(dial->loop, &dial->timer,
					    rddr_loop_now(dial->loop) + dial->conf->host_timeout);
			return outcome;
		}
		if (outcome == DIAL_CONNECTED) {
			note_success(dial);
			return outcome;
		}
		note_failure(dial, outcome);
	}
	dial->error = dial->last_error;
	return dial->last;
}

static enum dial_outcome connect_server(struct dial *dial, const struct dial_request *request)
{
	const struct chainer_conf *conf = dial->conf;

	(void)request;
	dial->began = (uint16_t)(conf->rotate ? rddr_hosts_turn(conf->ring) : rddr_hosts_current(conf->ring));
	dial->host = (uint16_t)((dial->began + conf->n_hosts - 1) % conf->n_hosts);
	dial->lap_left = (uint16_t)conf->n_hosts;
	dial->left = (uint16_t)conf->attempts;
	return go_on(dial);
}

static enum dial_outcome attempted(struct dial *dial, enum dial_outcome outcome)
{
	rddr_loop_timer_cancel(dial->loop, &dial->timer);
	if (outcome == DIAL_CONNECTED) {
		note_success(dial);
		return outcome;
	}
	note_failure(dial, outcome);
	return go_on(dial);
}

const struct chainer_ops rddr_chainer_failover = {
	.name = "failover",
	.check = check,
	.connect_server = connect_server,
	.attempted = attempted,
	.has_hosts = true,
};
