/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_advice.c - what is allowed, and yet seldom meant.
 */
#include "config.h"

static void advise_servers(const struct config *config, const struct service *service)
{
	char at[RDDR_ADDR_TEXT];

	for (unsigned i = 1; i < service->n_instances; i++) {
		const struct instance *one = &service->instances[i];

		for (unsigned j = 0; j < i && one->chainer.has_remote; j++) {
			const struct instance *other = &service->instances[j];

			if (!other->chainer.has_remote ||
			    !rddr_addr_equal(&one->chainer.remote, &other->chainer.remote))
				continue;
			log_warning("config: %s:%u: services.%s: instances %s and %s are one server, %s: what agrees "
				    "with itself proves nothing",
				    config->path, service->mark.line, service->name, other->name, one->name,
				    rddr_addr_format(&one->chainer.remote, at, sizeof(at)));
			break;
		}
	}
}

static void advise_bounds(const struct config *config, const struct service *service)
{
	const struct deadlines *d = &service->deadlines;

	if (d->idle <= d->skew || d->idle <= d->connect)
		log_warning(
			"config: %s:%u: services.%s.deadlines: idle (%u ms) ends sessions before %s (%u ms) is over",
			config->path, service->mark.line, service->name, d->idle,
			d->idle <= d->skew ? "skew" : "connect", d->idle <= d->skew ? d->skew : d->connect);
	if (service->filter && service->noise.run > service->limits.buffer)
		log_warning(
			"config: %s:%u: services.%s.noise.run: %u bytes of noise can never be seen in a buffer of %u "
			"(limits.buffer)",
			config->path, service->mark.line, service->name, service->noise.run, service->limits.buffer);
}

void rddr_config_advise(const struct config *config)
{
	for (size_t i = 0; i < config->n_services; i++) {
		advise_servers(config, config->services[i]);
		advise_bounds(config, config->services[i]);
	}
}
