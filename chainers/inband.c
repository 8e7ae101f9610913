// SPDX-License-Identifier: BSD-2-Clause
/*
 * The server that the protocol named, resolved before: its addresses in turn until one answers.
 *
 * Whoever may name any target could name this host, and be let in from where nobody expects it: what is an address of
 * this host's own is refused, by the very address that would be dialled.
 */
#include <errno.h>
#include <netinet/in.h>

#include "chainer.h"

static int check(const struct chainer_conf *conf, bool steered, char *err, size_t errlen)
{
	(void)steered;
	if (conf->has_remote)
		return rddr_chainer_refuse(err, errlen,
					   "remote: not with chainer inband, which dials what the protocol names");
	if (conf->forced_port)
		return rddr_chainer_refuse(err, errlen, "forced-port: %u: only with chainer transparent",
					   conf->forced_port);
	return 0;
}

/* Nobody's server: this host, everybody, or a group. */
static bool is_nobodys(const struct addr *a)
{
	if (a->sa.sa_family == AF_INET) {
		uint32_t host = ntohl(a->v4.sin_addr.s_addr);

		if (IN_MULTICAST(host) || IN_BADCLASS(host) || host >> 24 == 0 || host >> 24 == 127)
			return true;
	} else if (IN6_IS_ADDR_MULTICAST(&a->v6.sin6_addr) || IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr)) {
		return true;
	}
	return rddr_addr_is_local(a);
}

static enum dial_outcome go_on(struct dial *dial)
{
	const struct dial_request *request = &dial->request;

	while (dial->left && dial->host < request->n_targets) {
		const struct addr *target = &request->targets[dial->host++];
		enum dial_outcome outcome = DIAL_LOOP;

		dial->left--;
		if (is_nobodys(target)) {
			dial->remote = *target;
			dial->error = ELOOP;
		} else {
			outcome = rddr_chainer_establish(dial, request, target);
		}
		/* The last one has the caller's deadline. */
		if (outcome == DIAL_PENDING && dial->left && dial->host < request->n_targets)
			rddr_loop_timer_set(dial->loop, &dial->timer,
					    rddr_loop_now(dial->loop) + dial->conf->host_timeout);
		if (outcome == DIAL_PENDING || outcome == DIAL_CONNECTED)
			return outcome;
		dial->last = outcome;
		dial->last_error = dial->error;
	}
	dial->error = dial->last_error;
	return dial->last;
}

static enum dial_outcome connect_server(struct dial *dial, const struct dial_request *request)
{
	dial->last = DIAL_FAILED;
	dial->last_error = EDESTADDRREQ;
	dial->left = (uint16_t)request->n_targets;
	return go_on(dial);
}

static enum dial_outcome attempted(struct dial *dial, enum dial_outcome outcome)
{
	rddr_loop_timer_cancel(dial->loop, &dial->timer);
	if (outcome == DIAL_CONNECTED)
		return outcome;
	dial->last = outcome;
	dial->last_error = dial->error;
	return go_on(dial);
}

const struct chainer_ops rddr_chainer_inband = {
	.name = "inband",
	.check = check,
	.connect_server = connect_server,
	.attempted = attempted,
	.wants_target = true,
};
