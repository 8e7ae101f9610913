/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - rddrd, the daemon: reads the command line, checks the config, runs in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon.h"
#include "log.h"
#include "own.h"
#include "steering.h"

#define DEFAULT_CONFIG "/etc/rddr/rddr.yaml"

enum {
	OPTION_CHECK = 256,
	OPTION_LOG_LEVEL,
	OPTION_CONTROL,
	OPTION_PLUGIN_DIR,
	OPTION_PIN_DIR,
	OPTION_TAKEOVER,
	OPTION_VERSION
};

static void usage(FILE *to)
{
	fputs("usage: rddrd [-c|--config FILE] [--check] [--log-level LEVEL] [--control PATH]\n"
	      "             [--plugin-dir DIR] [--pin-dir DIR] [--takeover]\n"
	      "\n"
	      "  -c, --config FILE    the config (default " DEFAULT_CONFIG ")\n"
	      "      --check          check the config and its plugins, and exit\n"
	      "      --log-level L    error, warning, info or debug\n"
	      "      --control PATH   the control socket, instead of the config's\n"
	      "      --plugin-dir DIR where the diff plugins are\n"
	      "      --pin-dir DIR    where rddr-attach pinned (default " RDDR_STEERING_PIN_DIR ")\n"
	      "      --takeover       take the traffic over from the running daemon\n"
	      "  -h, --help           this\n"
	      "      --version        the version\n",
	      to);
}

/* Run from the build tree, the plugins lie beside the program; otherwise where they were installed. */
static const char *default_plugin_dir(char *buf, size_t size)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		snprintf(buf, size, "%s/diff", dirname(self));
		if (access(buf, X_OK) == 0)
			return buf;
	}
	return RDDR_LIBDIR "/diff";
}

/* -1: go on; otherwise the exit status. */
static int read_options(int argc, char **argv, struct daemon_options *o, bool *check)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", no_argument, NULL, OPTION_CHECK},
		{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
		{"control", required_argument, NULL, OPTION_CONTROL},
		{"plugin-dir", required_argument, NULL, OPTION_PLUGIN_DIR},
		{"pin-dir", required_argument, NULL, OPTION_PIN_DIR},
		{"takeover", no_argument, NULL, OPTION_TAKEOVER},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, OPTION_VERSION},
		{0},
	};
	enum log_level level;

	for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		switch (c) {
		case 'c':
			o->config = optarg;
			break;
		case OPTION_CHECK:
			*check = true;
			break;
		case OPTION_LOG_LEVEL:
			if (rddr_log_level_parse(optarg, &level) < 0) {
				fprintf(stderr, "rddrd: --log-level: '%s' is not error, warning, info or debug\n",
					optarg);
				return 2;
			}
			rddr_log_set_level(level);
			o->has_log_level = true;
			break;
		case OPTION_CONTROL:
			o->control = optarg;
			break;
		case OPTION_PLUGIN_DIR:
			o->plugin_dir = optarg;
			break;
		case OPTION_PIN_DIR:
			o->pin_dir = optarg;
			break;
		case OPTION_TAKEOVER:
			o->takeover = true;
			break;
		case 'h':
			usage(stdout);
			return 0;
		case OPTION_VERSION:
			puts("rddrd " RDDR_VERSION);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "rddrd: '%s' is no option\n", argv[optind]);
		usage(stderr);
		return 2;
	}
	return -1;
}

static int run(const struct daemon_options *options, struct config *config)
{
	struct daemon d;
	int r = rddr_daemon_begin(&d, options, config);

	if (r == 0)
		r = rddr_daemon_run(&d);
	rddr_daemon_end(&d);
	return r;
}

int main(int argc, char **argv)
{
	char dir[PATH_MAX];
	struct daemon_options options = {.config = DEFAULT_CONFIG, .pin_dir = RDDR_STEERING_PIN_DIR};
	struct config *config = NULL;
	bool check = false;
	int status = read_options(argc, argv, &options, &check);

	if (status >= 0)
		return status;
	if (!options.plugin_dir)
		options.plugin_dir = default_plugin_dir(dir, sizeof(dir));
	if (rddr_config_load(options.config, &config) < 0)
		return 1;
	if (rddr_daemon_bind(config, options.plugin_dir) < 0) {
		rddr_config_put(&config);
		return 1;
	}
	if (check) {
		printf("%s: ok: %zu service%s\n", options.config, config->n_services,
		       config->n_services == 1 ? "" : "s");
		rddr_config_put(&config);
		return 0;
	}
	if (config->has_log_level && !options.has_log_level)
		rddr_log_set_level(config->log_level);
	return run(&options, TAKE_PTR(config)) < 0 ? 1 : 0;
}
