// SPDX-License-Identifier: BSD-2-Clause
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access.h"
#include "config_forms.h"
#include "log.h"
#include "own.h"

#define MOST_WORKERS 64
#define LARGEST_FILE (UINT64_C(1) << 20)

static void (*on_free)(struct service *service);

void rddr_config_on_free(void (*fn)(struct service *service))
{
	__atomic_store_n(&on_free, fn, __ATOMIC_RELEASE);
}

static void free_config(struct config **owned)
{
	struct config *config = TAKE_PTR(*owned);

	if (!config)
		return;
	for (size_t i = 0; i < config->n_services; i++)
		rddr_config_service_free(config->services[i]);
	free(config->services);
	rddr_access_zones_free(&config->zones);
	free(config->rules);
	free(config->path);
	free(config->control);
	free(config->evidence.file);
	free(config->resolver.servers);
	free(config);
}

struct config *rddr_config_get(struct config *config)
{
	__atomic_fetch_add(&config->references, 1, __ATOMIC_RELAXED);
	return config;
}

void rddr_config_put(struct config **config)
{
	struct config *last = TAKE_PTR(*config);
	void (*release)(struct service * service);

	if (!last || __atomic_sub_fetch(&last->references, 1, __ATOMIC_ACQ_REL))
		return;
	release = __atomic_load_n(&on_free, __ATOMIC_ACQUIRE);
	for (size_t i = 0; release && i < last->n_services; i++)
		release(last->services[i]);
	free_config(&last);
}

int rddr_config_complain(const struct config *config, struct config_mark mark, const char *key, const char *fmt, ...)
{
	char text[CONFIG_REPORT_TEXT];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_error("config: %s:%u:%u: %s: %s", config->path, mark.line, mark.column, key, text);
	return -EINVAL;
}

/* ---- the daemon-wide keys, of both forms ---- */

static void read_log_level(struct reader *r, const struct node *node, const struct place *place,
			   const struct field *field, void *base)
{
	struct config *config = base;
	char shown[100];

	(void)field;
	if (node->kind == NODE_SCALAR && !rddr_log_level_parse(node->text, &config->log_level))
		config->has_log_level = true;
	else
		rddr_config_read_fault(r, node->mark, place, "wants one of: error, warning, info, debug; is %s",
				       rddr_config_read_show(node, shown, sizeof(shown)));
}

/* An original file's word for the log level. */
static void read_verbosity(struct reader *r, const struct node *node, const struct place *place,
			   const struct field *field, void *base)
{
	if (!r->config->original)
		rddr_config_read_fault(r, node->mark, place, "only in an original RDDR file; here it is log-level");
	else if (r->config->has_log_level)
		rddr_config_read_fault(r, node->mark, place, "not together with log-level");
	else
		read_log_level(r, node, place, field, base);
}

static void read_defaults(struct reader *r, const struct node *node, const struct place *place,
			  const struct field *field, void *base)
{
	static const struct field fields[] = {
		{"deadlines", rddr_config_read_section, offsetof(struct reader, deadlines), &rddr_config_read_deadlines,
		 false},
		{"noise", rddr_config_read_section, offsetof(struct reader, noise), &rddr_config_read_noise, false},
		{"limits", rddr_config_read_section, offsetof(struct reader, limits), &rddr_config_read_limits, false},
	};

	(void)field;
	(void)base;
	rddr_config_read_mapping(r, node, place, FIELDS(fields), r);
}

static const struct bounds path_length = {0, 4095}, socket_length = {0, 107},
			   size_bounds = {64 << 10, UINT64_C(1) << 40}, keep_bounds = {0, 1000},
			   excerpt_bounds = {0, 16 << 10};
static const struct field evidence_list[] = {
	{"file", rddr_config_read_path, offsetof(struct evidence_conf, file), &path_length, false},
	{"max-size", rddr_config_read_size64, offsetof(struct evidence_conf, max_size), &size_bounds, false},
	{"keep", rddr_config_read_u32, offsetof(struct evidence_conf, keep), &keep_bounds, false},
	{"excerpt", rddr_config_read_size32, offsetof(struct evidence_conf, excerpt), &excerpt_bounds, false},
};
static const struct fields evidence_fields = {evidence_list, ARRAY_LEN(evidence_list)};

/* The defaults come before the services that they are for. */
static const struct bounds worker_bounds = {0, MOST_WORKERS}, drain_bounds = {0, 3600 * 1000};
static const struct field common_list[] = {
	{"workers", rddr_config_read_u32, offsetof(struct config, workers), &worker_bounds, false},
	{"log-level", read_log_level, 0, NULL, false},
	{"verbosity", read_verbosity, 0, NULL, false},
	{"control", rddr_config_read_path, offsetof(struct config, control), &socket_length, false},
	{"drain", rddr_config_read_duration, offsetof(struct config, drain), &drain_bounds, false},
	{"evidence", rddr_config_read_section, offsetof(struct config, evidence), &evidence_fields, false},
	{"defaults", read_defaults, 0, NULL, false},
	{"resolver", rddr_config_access_resolver, 0, NULL, false},
	{"zones", rddr_config_access_zones, 0, NULL, false},
	{"services", rddr_config_service_list, 0, NULL, true},
};

static unsigned cpus(void)
{
	cpu_set_t set;
	unsigned n = 1;

	if (!sched_getaffinity(0, sizeof(set), &set))
		n = (unsigned)CPU_COUNT(&set);
	else if (sysconf(_SC_NPROCESSORS_ONLN) > 1) /* more CPUs than the set can name */
		n = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	return n < MOST_WORKERS ? n : MOST_WORKERS;
}

static struct config *new_config(const char *name)
{
	_owned_(free_config) struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	config->references = 1;
	config->log_level = LOG_LEVEL_INFO;
	config->drain = 30 * 1000;
	config->path = strdup(name);
	config->control = strdup("/run/rddr/control.sock");
	config->evidence.file = strdup("/var/log/rddr/evidence.jsonl");
	config->evidence.max_size = UINT64_C(16) << 20;
	config->evidence.keep = 4;
	config->evidence.excerpt = 256;
	config->resolver.timeout = 1000;
	config->resolver.tries = 2;
	if (!config->path || !config->control || !config->evidence.file)
		return NULL;
	return TAKE_PTR(config);
}

/* Which form the file has. Keys of the other one are not just unknown. */
static bool is_original(struct reader *r, const struct node *root)
{
	static const char *const keys[] = {"addrlist", "incoming-proxy", "outgoing-proxies"};
	const struct node *services = rddr_config_yaml_find(root, "services");
	bool original = false;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const struct node *value = rddr_config_yaml_find(root, keys[i]);
		const struct place at = {.key = keys[i]};

		original = original || value;
		if (value && services)
			rddr_config_read_fault(r, value->mark, &at, "of an original RDDR file, together with services");
	}
	return original && !services;
}

static int read_root(struct reader *r, const struct node *root)
{
	const struct fields all = FIELDS(common_list), without_services = {common_list, ARRAY_LEN(common_list) - 1};
	struct config *config = r->config;
	unsigned before = r->report->n;

	config->original = is_original(r, root);
	if (config->original)
		rddr_config_original_read(r, root, without_services);
	else if (r->report->n == before) /* the forms are not mixed */
		rddr_config_read_mapping(r, root, NULL, all, config);
	if (!config->workers)
		config->workers = cpus();
	if (!r->oom)
		rddr_config_check(r);
	if (r->oom)
		return -ENOMEM;
	if (r->report->n)
		return -EINVAL;
	return rddr_config_rules_sort(config);
}

int rddr_config_parse(const char *name, const char *text, size_t len, struct config **out)
{
	_owned_(rddr_config_yaml_free) struct document *document = NULL;
	_owned_(free_config) struct config *config = new_config(name);
	_owned_mem_ struct config_report *report = calloc(1, sizeof(*report));
	struct reader reader = {
		.report = report,
		.config = config,
		.deadlines = {.connect = 5000, .skew = 5000, .idle = 300 * 1000, .linger = 5000, .reuse = 500},
		.noise = {.run = 256, .share = 20},
		.limits = {.buffer = 1 << 20, .lag = 1 << 20, .repeat = 64 << 10},
		.json_values = CONFIG_YAML_NODES,
		.json_bytes = 4 << 20,
	};
	int err;

	if (!config || !report)
		return err_r(-ENOMEM, "config: %s", name);
	report->name = name;
	if (len > LARGEST_FILE) {
		log_error("config: %s:1:1: the file has %zu bytes; at most 1 MiB is possible", name, len);
		return -EFBIG;
	}
	err = rddr_config_yaml_parse(report, text ? text : "", text ? len : 0, &document);
	if (!err)
		err = read_root(&reader, document->root);
	free(reader.drafts);
	rddr_config_report_flush(report);
	if (err == -ENOMEM)
		return err_r(err, "config: %s", name);
	if (!err)
		*out = TAKE_PTR(config);
	return err;
}

/* Reads to the end, or to one byte more than is possible. */
static int read_file(const char *path, char *text, size_t *len)
{
	_owned_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO without a writer must not hang */
	ssize_t n;

	*len = 0;
	if (fd < 0 || fcntl(fd, F_SETFL, 0))
		return -errno;
	while (*len <= LARGEST_FILE) {
		n = read(fd, text + *len, LARGEST_FILE + 1 - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*len += (size_t)n;
	}
	return 0;
}

int rddr_config_load(const char *path, struct config **out)
{
	_owned_mem_ char *text = malloc(LARGEST_FILE + 1);
	size_t len;
	int err = text ? read_file(path, text, &len) : -ENOMEM;

	if (err)
		return err_r(err, "config: %s: cannot be read", path);
	return rddr_config_parse(path, text, len, out);
}
