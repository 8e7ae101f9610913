// SPDX-License-Identifier: BSD-2-Clause
/* The key `admission` of a service. */
#include <stddef.h>

#include "config_forms.h"
#include "own.h"

void rddr_config_admission_read(struct reader *r, const struct node *node, const struct place *place,
				const struct field *field, void *base)
{
	static const struct bounds held = {1, ADMISSION_HELD_MAX}, prefix4 = {0, 32}, prefix6 = {0, 128};
	static const struct word overflows[] = {
		{"pass", ADMISSION_PASS, false}, {"drop", ADMISSION_DROP, false}, {NULL, 0, false}};
	struct admission_conf *conf = (struct admission_conf *)((char *)base + field->offset);
	static const struct field fields[] = {
		{"held", rddr_config_read_u32, offsetof(struct admission_conf, held), &held, false},
		{"held-per-client", rddr_config_read_u32, offsetof(struct admission_conf, per_client), &held, false},
		{"client-prefix", rddr_config_read_u32, offsetof(struct admission_conf, prefix4), &prefix4, false},
		{"client-prefix6", rddr_config_read_u32, offsetof(struct admission_conf, prefix6), &prefix6, false},
		{"overflow", rddr_config_read_choice, offsetof(struct admission_conf, overflow), overflows, false},
	};

	conf->on = rddr_config_read_mapping(r, node, place, FIELDS(fields), conf);
}

void rddr_config_admission_keys(struct reader *r, const struct node *node, const struct place *place,
				const struct service *service)
{
	const struct node *value = rddr_config_yaml_find(node, "admission");
	const struct place at = {.up = place, .key = "admission"};

	if (!value || !service->admission.on)
		return;
	if (service->direction == RDDR_OUTGOING)
		rddr_config_read_fault(r, value->mark, &at, "only with direction: incoming");
	else if (r->listening)
		rddr_config_read_fault(r, value->mark, &at,
				       "needs intercept: the kernel answers for what the daemon listens at by itself");
	else if (service->n_balancers)
		rddr_config_read_fault(r, value->mark, &at,
				       "not together with proxy-protocol: who the client is shows after the handshake");
	for (unsigned i = 0; i < service->n_instances; i++) {
		if (service->instances[i].chainer.ops && service->instances[i].chainer.ops->wants_target)
			rddr_config_read_fault(r, value->mark, &at,
					       "instance %s is of chainer %s, which dials what the client names after "
					       "the handshake",
					       service->instances[i].name,
					       rddr_chainer_name(service->instances[i].chainer.ops));
	}
}
