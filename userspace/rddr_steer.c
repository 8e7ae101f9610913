// SPDX-License-Identifier: BSD-2-Clause
/*
 * rddr-steer - loads the kernel programs, pins them, attaches and detaches them, and tells what they do.
 */
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own.h"
#include "steer_state.h"
#include "steering.h"

#define USAGE_ERROR 2

#define TAKES_CONFIG (1u << 0)
#define WANTS_CONFIG (1u << 1)
#define TAKES_JSON   (1u << 2)
#define TAKES_GROUP  (1u << 3)

static const struct command {
	const char *name;
	int (*run)(const struct steer_options *options);
	unsigned options;
	const char *help;
} commands[] = {
	{"attach", rddr_steer_attach, TAKES_CONFIG | TAKES_GROUP,
	 "load the programs, pin them, attach steer to this network namespace; with\n"
	 "              --config, publish the services too"},
	{"detach", rddr_steer_detach, 0, "undo attach"},
	{"settle", rddr_steer_settle, 0, "let go of a replaced version, when no filter uses its programs any more"},
	{"list", rddr_steer_list, TAKES_JSON, "what is attached: programs, workers, services"},
	{"counters", rddr_steer_counters, TAKES_JSON, "how many packets and connections were decided how"},
	{"dump", rddr_steer_dump, WANTS_CONFIG | TAKES_CONFIG,
	 "what a config says, as plain lines for scripts; nothing is changed"},
	{"probe", rddr_steer_probe, TAKES_JSON, "whether this kernel has what is needed"},
};

static void help(void)
{
	puts("Usage: rddr-steer [--pin-dir DIR] COMMAND [--config FILE] [--group GROUP] [--json]\n\nCommands:");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		printf("  %-10s  %s\n", commands[i].name, commands[i].help);
	puts("\nOptions:\n"
	     "  --pin-dir DIR  where everything is pinned (" RDDR_STEERING_PIN_DIR ")\n"
	     "  --config FILE  the daemon's configuration\n"
	     "  --group GROUP  may open what the daemon needs (attach)\n"
	     "  --json         print JSON (list, counters, probe)\n"
	     "  --help         print this\n"
	     "  --version      print the version");
}

static int usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *fmt, ...)
{
	va_list args;

	fputs("rddr-steer: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nTry 'rddr-steer --help'.\n", stderr);
	return USAGE_ERROR;
}

static int run(const char *name, const struct steer_options *options)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->name, name) != 0)
			continue;
		if (options->config && !(c->options & TAKES_CONFIG))
			return usage("%s takes no --config", name);
		if (!options->config && c->options & WANTS_CONFIG)
			return usage("%s wants --config FILE", name);
		if (options->group && !(c->options & TAKES_GROUP))
			return usage("%s takes no --group", name);
		if (options->json && !(c->options & TAKES_JSON))
			return usage("%s takes no --json", name);
		return c->run(options);
	}
	return usage("%s: no such command", name);
}

/* libbpf's warnings hold the verifier's word on a program that it refuses. */
static int library_says(enum libbpf_print_level level, const char *fmt, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, args) : 0;
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"pin-dir", required_argument, NULL, 'p'},
		{"config", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{"group", required_argument, NULL, 'g'},
		{0},
	};
	struct steer_options options = {.pin_dir = RDDR_STEERING_PIN_DIR};
	int opt;

	libbpf_set_print(library_says);
	while ((opt = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
		switch (opt) {
		case 'p':
			options.pin_dir = optarg;
			break;
		case 'c':
			options.config = optarg;
			break;
		case 'g':
			options.group = optarg;
			break;
		case 'j':
			options.json = true;
			break;
		case 'h':
			help();
			return 0;
		case 'V':
			puts("rddr-steer " RDDR_VERSION);
			return 0;
		default:
			fputs("Try 'rddr-steer --help'.\n", stderr);
			return USAGE_ERROR;
		}
	}
	if (optind == argc)
		return usage("which command?");
	if (optind + 1 < argc)
		return usage("%s: one word too many", argv[optind + 1]);
	return run(argv[optind], &options);
}
