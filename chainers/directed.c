// SPDX-License-Identifier: BSD-2-Clause
/* One server, whatever the client addressed. */
#include "chainer.h"

static int check(const struct chainer_conf *conf, bool steered, char *err, size_t errlen)
{
	char text[RDDR_ADDR_TEXT];

	(void)steered;
	if (!conf->has_remote)
		return rddr_chainer_refuse(err, errlen, "remote: missing: chainer directed needs the server's address");
	if (conf->forced_port)
		return rddr_chainer_refuse(err, errlen,
					   "forced-port: %u: only with chainer transparent; remote names the port",
					   conf->forced_port);
	rddr_addr_format(&conf->remote, text, sizeof(text));
	if (!rddr_addr_port(&conf->remote))
		return rddr_chainer_refuse(err, errlen, "remote: %s: has no port", text);
	if (rddr_addr_is_wildcard(&conf->remote))
		return rddr_chainer_refuse(err, errlen, "remote: %s: is no server's address", text);
	if (conf->has_local && conf->local.sa.sa_family != conf->remote.sa.sa_family) {
		rddr_addr_format(&conf->local, text, sizeof(text));
		return rddr_chainer_refuse(err, errlen, "local: %s: is of another family (IPv4, IPv6) than remote",
					   text);
	}
	return 0;
}

static enum dial_outcome connect_server(struct dial *dial, const struct dial_request *request)
{
	return rddr_chainer_establish(dial, request, &dial->conf->remote);
}

const struct chainer_ops rddr_chainer_directed = {
	.name = "directed",
	.check = check,
	.connect_server = connect_server,
};
