/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * config_forms.h - the two forms of the file, and what both need to become services.
 *
 * Internal to the reader of the config. Everything here reports what is wrong to the reader and goes on.
 */
#ifndef RDDR_CONFIG_FORMS_H
#define RDDR_CONFIG_FORMS_H

#include "config_read.h"

#define CONFIG_SERVICES_MAX 1024
#define CONFIG_RULES_MAX    4096
#define CONFIG_NAME_MAX	    63

/* Adds a service with every default to the config. NULL: oom. */
struct service *rddr_config_service_add(struct reader *r, const char *name, struct config_mark mark);
/* Adds an instance that still lacks everything; the caller sees to RDDR_MAX_INSTANCES. NULL: oom. */
struct instance *rddr_config_service_instance(struct reader *r, struct service *service, const char *name,
					      struct config_mark mark);
/* Takes NULL. What the daemon filled in is the daemon's. */
void rddr_config_service_free(struct service *service);
/* The draft of a service of the config. */
struct draft *rddr_config_service_draft(struct reader *r, const struct service *service);

CONFIG_READ_SLOT(rddr_config_service_list);    /* services: */
CONFIG_READ_SLOT(rddr_config_access_zones);    /* zones: */
CONFIG_READ_SLOT(rddr_config_access_resolver); /* resolver: */
/* Of the struct service that base is: */
CONFIG_READ_SLOT(rddr_config_service_filter);
CONFIG_READ_SLOT(rddr_config_service_diff_class);
CONFIG_READ_SLOT(rddr_config_service_diff_params);
CONFIG_READ_SLOT(rddr_config_instances_read);
CONFIG_READ_SLOT(rddr_config_intercept_read);
CONFIG_READ_SLOT(rddr_config_access_rules);
CONFIG_READ_SLOT(rddr_config_access_balancers);
CONFIG_READ_SLOT(rddr_config_tls_read);

/* tls: of an instance that is dialled, after its name was read; then, once its remote was read too, what it has from
 * its service and from its remote. */
void rddr_config_tls_instance(struct reader *r, const struct node *instance_node, const struct place *place,
			      struct service *service, struct instance *instance);
void rddr_config_tls_remote(struct reader *r, const struct node *instance_node, struct service *service,
			    struct instance *instance);
/* `protocol: ssl`: both sides of the service, before its direction changes any more; then its instances, when there are
 * all. */
void rddr_config_tls_original(struct reader *r, struct service *service, const char *key, struct config_mark mark);
void rddr_config_tls_original_instances(struct reader *r, struct service *service);
/* Takes NULL, nulls the pointer. What the daemon filled in is the daemon's. */
void rddr_config_tls_free(struct tls_conf **conf);

CONFIG_READ_SLOT(rddr_config_admission_read); /* of struct admission_conf */
/* Refuses admission where no SYN can be held, or nobody can be dialled before the client has spoken. */
void rddr_config_admission_keys(struct reader *r, const struct node *node, const struct place *place,
				const struct service *service);

CONFIG_READ_SLOT(rddr_config_instances_name); /* of struct instance */
void rddr_config_outgoing_instance(struct reader *r, const struct node *node, const struct place *place,
				   struct service *service);
CONFIG_READ_SLOT(rddr_config_outgoing_backend);
CONFIG_READ_SLOT(rddr_config_outgoing_source);
CONFIG_READ_SLOT(rddr_config_outgoing_gather);
CONFIG_READ_SLOT(rddr_config_intercept_clients); /* prefixes into struct client_list */

struct client_list {
	struct prefix *list;
	size_t n;
};

/* Reads an instance's chainer, with its keys, and checks it. False after a report. */
bool rddr_config_instances_chainer(struct reader *r, const struct node *node, const struct place *place,
				   struct service *service, struct instance *instance);

/* What an outgoing service needs, and what only one may have. place: the service's. */
void rddr_config_outgoing_keys(struct reader *r, const struct node *node, const struct place *place,
			       struct service *service);
/* One of outgoing-proxies of an original file. */
void rddr_config_outgoing_original(struct reader *r, const struct node *key, const struct node *node,
				   const struct place *place);

/* Reads a whole original file, whose daemon-wide keys are common. */
void rddr_config_original_read(struct reader *r, const struct node *root, struct fields common);

/* What only shows when all services are read. */
void rddr_config_check(struct reader *r);

/* Sorts the services' rules into config->rules. 0 or -ENOMEM. */
int rddr_config_rules_sort(struct config *config);

#endif
