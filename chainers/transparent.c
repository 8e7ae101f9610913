// SPDX-License-Identifier: BSD-2-Clause
/* The server that the client addressed; with forced-port, another port of it. */
#include "chainer.h"

static int check(const struct chainer_conf *conf, bool steered, char *err, size_t errlen)
{
	if (!steered)
		return rddr_chainer_refuse(err, errlen,
					   "chainer: transparent needs a service with intercept: where the "
					   "daemon listens by itself, clients address the daemon");
	if (conf->has_remote)
		return rddr_chainer_refuse(
			err, errlen, "remote: not with chainer transparent, which dials what the client addressed");
	return 0;
}

static enum dial_outcome connect_server(struct dial *dial, const struct dial_request *request)
{
	struct addr target = *request->destination;

	if (dial->conf->forced_port)
		rddr_addr_set_port(&target, dial->conf->forced_port);
	return rddr_chainer_establish(dial, request, &target);
}

const struct chainer_ops rddr_chainer_transparent = {
	.name = "transparent",
	.check = check,
	.connect_server = connect_server,
};
