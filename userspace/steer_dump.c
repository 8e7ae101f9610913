// SPDX-License-Identifier: BSD-2-Clause
/*
 * `rddr-steer dump --config FILE`: a config file as plain lines, for the scripts that check a gateway against it.
 *
 * One line a thing, fields parted by one tab each, "-" where a field has no value:
 *
 *	service   NAME  DIRECTION  enforcing|reporting  WHEN-DOWN  EXISTING  steered|listening
 *	rule      NAME  DESTINATION  PORT  INTERFACE  CLIENTS
 *	instance  NAME  NUMBER  INSTANCE  CHAINER  REMOTE-ADDRESS  REMOTE-PORT  forged|own  LOCAL-ADDRESS
 *
 * Destinations and clients are prefixes. A port "-" in a rule means all ports; in an instance, the one that the
 * client addressed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chainer.h"
#include "config.h"
#include "own.h"
#include "steer_state.h"
#include "text.h"

/* A name as one field: what would part fields or lines is escaped. */
static void put_name(FILE *out, const char *name)
{
	_owned_mem_ char *escaped = rddr_text_escaped(name ? name : "", name ? strlen(name) : 0);

	fprintf(out, "\t%s", escaped && *escaped ? escaped : "-");
}

static void put_prefix(FILE *out, const struct prefix *prefix)
{
	char text[RDDR_ADDR_TEXT];

	fprintf(out, "\t%s", prefix->family == AF_UNSPEC ? "-" : rddr_prefix_format(prefix, text, sizeof(text)));
}

static void put_port(FILE *out, uint16_t port)
{
	if (port)
		fprintf(out, "\t%" PRIu16, port);
	else
		fputs("\t-", out);
}

static void put_host(FILE *out, const struct addr *addr)
{
	struct addr host = *addr;
	char text[RDDR_ADDR_TEXT];

	rddr_addr_set_port(&host, 0);
	fprintf(out, "\t%s", rddr_addr_format(&host, text, sizeof(text)));
}

static void put_rule(FILE *out, const struct service *service, const struct rule *rule)
{
	fputs("rule", out);
	put_name(out, service->name);
	put_prefix(out, &rule->destination);
	put_port(out, rule->port);
	put_name(out, rule->interface);
	put_prefix(out, &rule->clients);
	fputc('\n', out);
}

static void put_instance(FILE *out, const struct service *service, unsigned number)
{
	const struct instance *instance = &service->instances[number];
	const struct chainer_conf *chainer = &instance->chainer;

	fputs("instance", out);
	put_name(out, service->name);
	fprintf(out, "\t%u", number);
	put_name(out, instance->name);
	put_name(out, rddr_chainer_name(chainer->ops));
	if (chainer->has_remote) {
		put_host(out, &chainer->remote);
		put_port(out, rddr_addr_port(&chainer->remote));
	} else {
		fputs("\t-", out);
		put_port(out, chainer->forced_port);
	}
	fputs(chainer->forge_addr ? "\tforged" : "\town", out);
	if (chainer->has_local)
		put_host(out, &chainer->local);
	else
		fputs("\t-", out);
	fputc('\n', out);
}

static void put_service(FILE *out, const struct service *service)
{
	fputs("service", out);
	put_name(out, service->name);
	fprintf(out, "\t%s\t%s\t%s\t%s\t%s\t%s\n", service->direction == RDDR_INCOMING ? "incoming" : "outgoing",
		service->enforcing ? "enforcing" : "reporting",
		service->when_down == WHEN_DOWN_OPEN ? "open" : "closed",
		service->existing == EXISTING_RESET ? "reset" : "keep", service->n_rules ? "steered" : "listening",
		service->admission.on ? "admission" : "-");
	for (size_t i = 0; i < service->n_rules; i++)
		put_rule(out, service, &service->rules[i]);
	for (unsigned i = 0; i < service->n_instances; i++)
		put_instance(out, service, i);
}

int rddr_steer_dump(const struct steer_options *options)
{
	struct config *config = NULL;

	if (rddr_config_load(options->config, &config) < 0)
		return 1;
	for (size_t i = 0; i < config->n_services; i++)
		put_service(stdout, config->services[i]);
	rddr_config_put(&config);
	if (fflush(stdout) || ferror(stdout)) {
		rddr_steer_complain(-EIO, "writing the lines of %s", options->config);
		return 1;
	}
	return 0;
}
