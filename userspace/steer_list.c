// SPDX-License-Identifier: BSD-2-Clause
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "addr.h"
#include "own.h"
#include "shared.h"
#include "steer_state.h"
#include "steering.h"
#include "steering_table.h"

/* What list prints is made as JSON first; tables are printed from that. */

static json_object *hex(uint32_t value)
{
	char text[16];

	snprintf(text, sizeof(text), "0x%08x", value);
	return json_object_new_string(text);
}

static void add(json_object *object, const char *key, json_object *value)
{
	json_object_object_add(object, key, value);
}

static const char *get(json_object *object, const char *key)
{
	return json_object_get_string(json_object_object_get(object, key));
}

static int print_json(json_object *object)
{
	puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE |
							    JSON_C_TO_STRING_SPACED));
	json_object_put(object);
	return 0;
}

/* ---- services ---- */

static json_object *prefix_text(uint8_t family, const uint32_t addr[4], unsigned bits)
{
	struct prefix p = {.family = family == RDDR_FAMILY_V6 ? AF_INET6 : AF_INET, .len = (uint8_t)bits};
	char text[RDDR_ADDR_TEXT];

	memcpy(p.bytes, addr, family == RDDR_FAMILY_V6 ? 16 : 4);
	return json_object_new_string(rddr_prefix_format(&p, text, sizeof(text)));
}

static const char *service_name(const struct steering_table *table, uint16_t index)
{
	for (size_t i = 0; i < table->n; i++) {
		const struct steering_entry *entry = &table->entries[i];

		if (entry->key.kind == RDDR_KEY_NAME && entry->key.port == index)
			return entry->value.name;
	}
	return "?";
}

static json_object *interface_name(uint32_t ifindex)
{
	char name[IF_NAMESIZE];

	if (ifindex == 0)
		return json_object_new_string("any");
	if (if_indextoname(ifindex, name))
		return json_object_new_string(name);
	snprintf(name, sizeof(name), "#%" PRIu32, ifindex);
	return json_object_new_string(name);
}

static json_object *rule_json(const struct steering_table *table, const struct steering_entry *entry,
			      const struct rddr_alternative *a)
{
	const struct rddr_service_key *key = &entry->key;
	json_object *rule = json_object_new_object();

	add(rule, "service", json_object_new_string(service_name(table, a->service)));
	add(rule, "destination", prefix_text(key->family, key->addr, key->prefixlen - RDDR_KEY_BITS));
	add(rule, "port", key->port ? json_object_new_int(ntohs(key->port)) : json_object_new_string("all"));
	add(rule, "interface", interface_name(key->ifindex));
	add(rule, "clients",
	    a->client_bits ? prefix_text(key->family, a->client, a->client_bits) : json_object_new_string("all"));
	add(rule, "when_down", json_object_new_string(a->flags & RDDR_SERVICE_OPEN ? "open" : "closed"));
	add(rule, "existing", json_object_new_string(a->flags & RDDR_SERVICE_RESET ? "reset" : "keep"));
	add(rule, "admission", json_object_new_boolean(a->flags & RDDR_SERVICE_ADMISSION));
	return rule;
}

static int by_order(const void *left, const void *right)
{
	const struct rddr_service_key *a = &((const struct steering_entry *)left)->key;
	const struct rddr_service_key *b = &((const struct steering_entry *)right)->key;

	if (!a->port != !b->port)
		return a->port ? -1 : 1;
	if (!a->ifindex != !b->ifindex)
		return a->ifindex ? -1 : 1;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->prefixlen != b->prefixlen)
		return a->prefixlen > b->prefixlen ? -1 : 1;
	return memcmp(&a->port, &b->port, sizeof(*a) - offsetof(struct rddr_service_key, port));
}

static json_object *services_json(struct steering_table *table)
{
	json_object *services = json_object_new_array();

	if (table->n)
		qsort(table->entries, table->n, sizeof(*table->entries), by_order);
	for (size_t i = 0; i < table->n; i++) {
		const struct steering_entry *entry = &table->entries[i];

		if (entry->key.kind != RDDR_KEY_SERVICE)
			continue;
		for (uint32_t k = 0; k < entry->value.n && k < RDDR_ALTERNATIVES_MAX; k++) {
			if (!(entry->value.alternatives[k].flags & RDDR_SERVICE_INHERITED))
				json_object_array_add(services, rule_json(table, entry, &entry->value.alternatives[k]));
		}
	}
	return services;
}

static void print_services(json_object *services)
{
	static const char *const columns[] = {"service", "destination", "port",	   "interface",
					      "clients", "when_down",	"existing"};
	static const char *const titles[] = {"SERVICE", "DESTINATION", "PORT",	  "INTERFACE",
					     "CLIENTS", "WHEN-DOWN",   "EXISTING"};
	size_t n = json_object_array_length(services);
	int width[ARRAY_LEN(columns)];

	for (size_t c = 0; c < ARRAY_LEN(columns); c++) {
		width[c] = (int)strlen(titles[c]);
		for (size_t i = 0; i < n; i++) {
			int len = (int)strlen(get(json_object_array_get_idx(services, i), columns[c]));

			width[c] = len > width[c] ? len : width[c];
		}
	}
	for (size_t i = 0; i < n + 1; i++) {
		for (size_t c = 0; c < ARRAY_LEN(columns); c++) {
			const char *text =
				i == 0 ? titles[c] : get(json_object_array_get_idx(services, i - 1), columns[c]);

			if (c + 1 < ARRAY_LEN(columns))
				printf("%-*s  ", width[c], text);
			else
				puts(text);
		}
	}
	if (n == 0)
		puts("(no services are published)");
}

/* Reads the active table back from the kernel. An empty slot is an empty table. */
static int table_read(const struct steer_state *state, struct steering_table *out)
{
	struct steering_table table = {0};
	uint32_t zero = 0, id;
	_owned_fd_ int fd = -1;
	void *previous = NULL;

	table.entries = calloc(RDDR_SERVICES_MAX, sizeof(*table.entries));
	if (!table.entries)
		return -ENOMEM;
	if (bpf_map_lookup_elem(state->maps[STEER_MAP_SERVICES], &zero, &id) == 0) {
		fd = bpf_map_get_fd_by_id(id);
		if (fd < 0) {
			int err = -errno;

			rddr_steering_table_free(&table);
			return err;
		}
	}
	while (fd >= 0 && table.n < RDDR_SERVICES_MAX) {
		struct steering_entry *entry = &table.entries[table.n];

		if (bpf_map_get_next_key(fd, previous, &entry->key) < 0)
			break;
		previous = &entry->key;
		if (bpf_map_lookup_elem(fd, &entry->key, &entry->value) == 0)
			table.n++;
	}
	*out = table;
	return 0;
}

/* ---- list ---- */

static bool has_listener(const struct steer_state *state, uint32_t slot)
{
	uint64_t cookie;

	return bpf_map_lookup_elem(state->maps[STEER_MAP_LISTENERS], &slot, &cookie) == 0;
}

static json_object *workers_json(const struct steer_state *state, const struct rddr_control *control)
{
	json_object *workers = json_object_new_array();
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	for (uint32_t w = 0; w < control->workers && w < RDDR_WORKERS_MAX; w++) {
		json_object *worker = json_object_new_object();
		uint64_t beat = control->heartbeat[w];
		bool v4 = has_listener(state, w * 2), v6 = has_listener(state, w * 2 + 1);
		bool fresh = beat && (int64_t)(now - beat) <= (int64_t)control->stale_after;

		add(worker, "worker", json_object_new_int64(w));
		add(worker, "live", json_object_new_boolean(fresh && (v4 || v6)));
		add(worker, "ipv4", json_object_new_boolean(v4));
		add(worker, "ipv6", json_object_new_boolean(v6));
		/* Read one after the other: a beat may be later than now. */
		add(worker, "beat_ms_ago",
		    beat ? json_object_new_int64(now > beat ? (int64_t)((now - beat) / 1000000) : 0) : NULL);
		json_object_array_add(workers, worker);
	}
	return workers;
}

static json_object *program_json(int fd)
{
	struct steer_program program;
	json_object *object;
	char tag[20];

	if (fd < 0 || rddr_steer_program_of(fd, &program))
		return NULL;
	object = json_object_new_object();
	for (size_t i = 0; i < sizeof(program.tag); i++)
		snprintf(tag + 2 * i, sizeof(tag) - 2 * i, "%02x", ((const uint8_t *)&program.tag)[i]);
	add(object, "id", json_object_new_int64(program.id));
	add(object, "tag", json_object_new_string(tag));
	return object;
}

static json_object *link_json(int fd)
{
	uint32_t id, prog_id, netns;
	json_object *object;

	if (fd < 0 || rddr_steer_link_of(fd, &id, &prog_id, &netns))
		return NULL;
	object = json_object_new_object();
	add(object, "id", json_object_new_int64(id));
	add(object, "program", json_object_new_int64(prog_id));
	add(object, "netns", json_object_new_int64(netns));
	add(object, "own_netns", json_object_new_boolean(netns == rddr_steer_own_netns()));
	return object;
}

static json_object *state_json(const struct steer_state *state, const struct rddr_control *control, int fits)
{
	json_object *object = json_object_new_object(), *programs = json_object_new_object();
	struct steering_table table = {0};
	char old[STEER_PATH_MAX];

	add(object, "pin_dir", json_object_new_string(state->dir));
	add(object, "attached", json_object_new_boolean(control->attached && state->link >= 0));
	add(object, "abi", json_object_new_int64(control->abi));
	add(object, "own_abi", json_object_new_int64(RDDR_ABI));
	add(object, "link", link_json(state->link));
	add(programs, "steer", program_json(state->steer));
	add(programs, "divert", program_json(state->divert));
	add(object, "programs", programs);
	if (rddr_steer_path(old, state->dir, "~old", NULL) == 0)
		add(object, "unsettled", json_object_new_boolean(access(old, F_OK) == 0));
	if (fits)
		return object;
	add(object, "version", json_object_new_string(control->version));
	add(object, "fwmark", hex(control->fwmark));
	add(object, "fwmark_mask", hex(control->fwmark_mask));
	add(object, "stale_after_ms", json_object_new_int64((int64_t)(control->stale_after / 1000000)));
	add(object, "workers", workers_json(state, control));
	if (table_read(state, &table) == 0) {
		add(object, "table_entries", json_object_new_int64((int64_t)table.n));
		add(object, "table_room", json_object_new_int64(RDDR_SERVICES_MAX));
		add(object, "services", services_json(&table));
	}
	rddr_steering_table_free(&table);
	return object;
}

static void print_workers(json_object *workers)
{
	size_t n = json_object_array_length(workers);

	if (n == 0)
		puts("workers: none (no daemon has published its listeners yet)");
	for (size_t i = 0; i < n; i++) {
		json_object *w = json_object_array_get_idx(workers, i);
		const char *beat = get(w, "beat_ms_ago");
		bool v4 = json_object_get_boolean(json_object_object_get(w, "ipv4"));
		bool v6 = json_object_get_boolean(json_object_object_get(w, "ipv6"));

		printf("worker %s: %s, listeners: %s%s%s, heartbeat: %s%s\n", get(w, "worker"),
		       json_object_get_boolean(json_object_object_get(w, "live")) ? "live" : "not live",
		       v4 ? "IPv4 " : "", v6 ? "IPv6" : "", v4 || v6 ? "" : "none", beat ? beat : "none",
		       beat ? " ms ago" : "");
	}
}

static void print_state(json_object *object)
{
	json_object *link = json_object_object_get(object, "link");
	json_object *programs = json_object_object_get(object, "programs");
	static const char *const names[] = {"steer", "divert"};
	json_object *part;

	printf("%s: %s, version %s, ABI %s, mark %s/%s\n", get(object, "pin_dir"),
	       json_object_get_boolean(json_object_object_get(object, "attached")) ? "attached" : "not attached",
	       get(object, "version") ? get(object, "version") : "unknown", get(object, "abi"),
	       get(object, "fwmark") ? get(object, "fwmark") : "unknown",
	       get(object, "fwmark_mask") ? get(object, "fwmark_mask") : "unknown");
	if (link)
		printf("link %s: network namespace %s%s\n", get(link, "id"), get(link, "netns"),
		       json_object_get_boolean(json_object_object_get(link, "own_netns")) ? "" : " (not this one)");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		part = json_object_object_get(programs, names[i]);
		if (part)
			printf("program %s: id %s, tag %s\n", names[i], get(part, "id"), get(part, "tag"));
	}
	if (json_object_get_boolean(json_object_object_get(object, "unsettled")))
		puts("another version's maps are kept for filters that may still use them: rddr-steer settle");
	part = json_object_object_get(object, "workers");
	if (part)
		print_workers(part);
	part = json_object_object_get(object, "services");
	if (part)
		print_services(part);
}

int rddr_steer_list(const struct steer_options *options)
{
	struct rddr_control control;
	struct steer_state state;
	json_object *object;
	int err;

	if (rddr_steer_state_open(options->pin_dir, &state))
		return 1;
	if (rddr_steer_state_empty(&state)) {
		if (options->json) {
			object = json_object_new_object();
			add(object, "pin_dir", json_object_new_string(options->pin_dir));
			add(object, "attached", json_object_new_boolean(0));
			print_json(object);
		} else {
			rddr_steer_complain(0, "nothing is attached at %s", options->pin_dir);
		}
		return 1;
	}
	err = rddr_steer_state_control(&state, &control);
	if (err && err != -EPROTO && err != -ENOENT) {
		rddr_steer_complain(err, "reading %s/control", options->pin_dir);
		rddr_steer_state_close(&state);
		return 1;
	}
	object = state_json(&state, &control, err);
	rddr_steer_state_close(&state);
	if (options->json)
		return print_json(object);
	print_state(object);
	json_object_put(object);
	return 0;
}

/* ---- counters ---- */

static void counter_json(void *ctx, const char *name, uint64_t value)
{
	add(ctx, name, json_object_new_uint64(value));
}

static void counter_print(void *ctx, const char *name, uint64_t value)
{
	(void)ctx;
	printf("%-26s %" PRIu64 "\n", name, value);
}

int rddr_steer_counters(const struct steer_options *options)
{
	struct steering *steering;
	json_object *object = NULL;
	int err = rddr_steering_open(options->pin_dir, &steering);

	if (err == -ENOENT)
		return rddr_steer_complain(0, "nothing is attached at %s", options->pin_dir), 1;
	if (err == -EPROTO)
		return rddr_steer_complain(0, "%s is of another version", options->pin_dir), 1;
	if (err)
		return rddr_steer_complain(err, "opening %s", options->pin_dir), 1;
	if (options->json)
		object = json_object_new_object();
	err = rddr_steering_counters(steering, options->json ? counter_json : counter_print, object);
	rddr_steering_close(&steering);
	if (err)
		rddr_steer_complain(err, "reading the counters of %s", options->pin_dir);
	else if (object)
		return print_json(object);
	json_object_put(object);
	return err ? 1 : 0;
}
