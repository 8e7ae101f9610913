/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rddrctl - asks the running daemon, over its control socket. See rddrctl(8).
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "config_read.h"
#include "control.h"
#include "log.h"
#include "own.h"
#include "rddrctl_show.h"
#include "text.h"

#define DEFAULT_CONTROL "/run/rddr/control.sock"
#define TIMEOUT		10000 /* ms */
#define TIMEOUT_RELOAD	60000 /* the daemon may have to resolve names */
#define LIMIT		20
#define LIMIT_MAX	1000

enum { FAILED = 1, USAGE = 2 };

struct options {
	const char *control;
	const char *argument; /* of the command, NULL: none */
	unsigned limit;
	bool json, all, has_limit, reset;
};

struct command {
	const char *name;
	const char *argument; /* what it takes, for the help; NULL: nothing */
	const char *help;
	bool needs_argument;
	int timeout; /* ms */
	/* Puts what belongs to the command into the request. 0, or USAGE after a message. */
	int (*prepare)(const struct options *options, struct show *show, json_object *request);
	show_fn show;
};

__attribute__((format(printf, 1, 2))) static int usage_error(const char *fmt, ...)
{
	va_list args;

	fputs("rddrctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputs("\nTry 'rddrctl --help'.\n", stderr);
	return USAGE;
}

static bool parse_number(const char *text, uint64_t most, uint64_t *out)
{
	char *end;
	unsigned long long n;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n > most)
		return false;
	*out = n;
	return true;
}

static int prepare_sessions(const struct options *options, struct show *show, json_object *request)
{
	if (!options->argument)
		return 0;
	if (!parse_number(options->argument, UINT64_MAX, &show->session))
		return usage_error("sessions: a session's number is wanted, not '%s'", options->argument);
	show->detail = true;
	json_object_object_add(request, "id", json_object_new_uint64(show->session));
	return 0;
}

static int prepare_evidence(const struct options *options, struct show *show, json_object *request)
{
	if (options->argument) {
		show->detail = true;
		json_object_object_add(request, "reference", json_object_new_string(options->argument));
	}
	json_object_object_add(request, "limit", json_object_new_int64(options->argument ? 1 : options->limit));
	return 0;
}

static int prepare_noise(const struct options *options, struct show *show, json_object *request)
{
	show->reset = options->reset;
	if (options->argument)
		json_object_object_add(request, "service", json_object_new_string(options->argument));
	json_object_object_add(request, "reset", json_object_new_boolean(options->reset));
	return 0;
}

static int prepare_hosts(const struct options *options, struct show *show, json_object *request)
{
	(void)show;
	if (options->argument)
		json_object_object_add(request, "of", json_object_new_string(options->argument));
	return 0;
}

static int prepare_log_level(const struct options *options, struct show *show, json_object *request)
{
	enum log_level level;

	if (rddr_log_level_parse(options->argument, &level))
		return usage_error("log-level: error, warning, info or debug is wanted, not '%s'", options->argument);
	show->level = rddr_log_level_name(level);
	json_object_object_add(request, "level", json_object_new_string(show->level));
	return 0;
}

static const struct command commands[] = {
	{"status", NULL, "what the daemon is doing", false, TIMEOUT, NULL, rddr_rddrctl_show_status},
	{"services", NULL, "the services, what they take, their instances", false, TIMEOUT, NULL,
	 rddr_rddrctl_show_services},
	{"sessions", "[NUMBER]", "the sessions, or one with its instances", false, TIMEOUT, prepare_sessions,
	 rddr_rddrctl_show_sessions},
	{"counters", NULL, "what was counted (--all: also what is 0)", false, TIMEOUT, NULL,
	 rddr_rddrctl_show_counters},
	{"evidence", "[REFERENCE]", "the last divergences, newest first, or one of them", false, TIMEOUT,
	 prepare_evidence, rddr_rddrctl_show_evidence},
	{"noise", "[SERVICE]", "fields that were noise lately (--reset: and forget them)", false, TIMEOUT,
	 prepare_noise, rddr_rddrctl_show_noise},
	{"hosts", "[SERVICE[/INSTANCE]]", "servers of failover: which is current, which are down", false, TIMEOUT,
	 prepare_hosts, rddr_rddrctl_show_hosts},
	{"next", "SERVICE[/INSTANCE]", "move on to the next server", true, TIMEOUT, prepare_hosts,
	 rddr_rddrctl_show_hosts},
	{"reload", NULL, "read the config again", false, TIMEOUT_RELOAD, NULL, rddr_rddrctl_show_reload},
	{"log-level", "LEVEL", "write more or less: error, warning, info, debug", true, TIMEOUT, prepare_log_level,
	 rddr_rddrctl_show_log_level},
	{"drain", NULL, "take no new connections and end with the last session", false, TIMEOUT, NULL,
	 rddr_rddrctl_show_drain},
};

static void print_help(void)
{
	puts("Usage: rddrctl [OPTION ...] COMMAND [ARGUMENT]\n"
	     "Asks the running rddrd.\n"
	     "\n"
	     "Commands:");
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		const struct command *c = &commands[i];
		int pad = 27 - (int)strlen(c->name) - (c->argument ? (int)strlen(c->argument) + 1 : 0);

		printf("  %s%s%s%*s%s\n", c->name, c->argument ? " " : "", c->argument ? c->argument : "", pad, "",
		       c->help);
	}
	printf("\n"
	       "Options:\n"
	       "  --control PATH             the daemon's socket (%s)\n"
	       "  --json                     print the daemon's answer as JSON\n"
	       "  --all                      counters: also those that are 0\n"
	       "  --reset                    noise: forget what is shown\n"
	       "  --limit N                  evidence: at most N records (%d)\n"
	       "  -h, --help                 this text\n"
	       "  -V, --version              the version\n"
	       "\n"
	       "Exit status: 0; 1 when it failed; 2 for a wrong command line.\n",
	       DEFAULT_CONTROL, LIMIT);
}

static const char *command_name(const void *ctx, size_t i)
{
	(void)ctx;
	return commands[i].name;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static const char *explain(int err)
{
	switch (err) {
	case -ENOENT:
		return "there is no such socket; is rddrd running, and with this control path?";
	case -ECONNREFUSED:
		return "no daemon listens there any more; is rddrd running?";
	case -EACCES:
	case -EPERM:
		return "permission denied; the socket is for its owner and group";
	case -ETIMEDOUT:
		return "no answer in time; the daemon hangs or is very busy";
	case -ECONNRESET:
		return "the daemon hung up without an answer";
	case -ENAMETOOLONG:
		return "the path is too long for a socket";
	case -EBADMSG:
		return "what answers there is no rddrd";
	case -EMSGSIZE:
		return "the answer is too long";
	default:
		return strerror(-err);
	}
}

/* The answer's result in *result (owned; NULL stands for null). 0, or FAILED after a message. */
static int ask(const struct options *options, const struct command *command, json_object *request, json_object **result)
{
	_owned_mem_ char *path = rddr_text_escaped(options->control, strlen(options->control));
	json_object *answer = NULL, *ok, *value = NULL;
	int err;

	json_object_object_add(request, "command", json_object_new_string(command->name));
	err = rddr_control_ask(options->control, request, command->timeout, &answer, NULL, NULL);
	if (err) {
		fprintf(stderr, "rddrctl: no answer from the daemon at %s: %s\n", path ? path : "?", explain(err));
		return FAILED;
	}
	if (json_object_object_get_ex(answer, "ok", &ok) && json_object_get_boolean(ok)) {
		json_object_object_get_ex(answer, "result", &value);
		*result = json_object_get(value);
	} else {
		_owned_mem_ char *text = NULL;

		json_object_object_get_ex(answer, "error", &value);
		if (value)
			text = rddr_text_escaped(json_object_get_string(value), strlen(json_object_get_string(value)));
		fprintf(stderr, "rddrctl: %s: %s\n", command->name,
			text ? text : "the daemon refused without a reason");
		err = FAILED;
	}
	json_object_put(answer);
	return err;
}

static unsigned terminal_width(void)
{
	struct winsize size;

	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col)
		return 0;
	return size.ws_col < 40 ? 40 : size.ws_col;
}

static int run(const struct options *options, const struct command *command)
{
	struct show show = {.out = stdout, .width = terminal_width(), .all = options->all};
	json_object *request = json_object_new_object(), *result = NULL;
	int err = FAILED;

	if (!request) {
		fputs("rddrctl: out of memory\n", stderr);
		return FAILED;
	}
	err = command->prepare ? command->prepare(options, &show, request) : 0;
	if (!err)
		err = ask(options, command, request, &result);
	json_object_put(request);
	if (err)
		return err;

	if (options->json) {
		puts(json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	} else {
		err = command->show(&show, result);
		if (err == -ENOENT)
			fprintf(stderr, "rddrctl: %s: there is none with the number '%s'\n", command->name,
				options->argument ? options->argument : "");
		else if (err)
			fprintf(stderr, "rddrctl: %s: %s\n", command->name, strerror(-err));
	}
	json_object_put(result);
	if (fflush(stdout) || ferror(stdout)) {
		fprintf(stderr, "rddrctl: standard output: %s\n", strerror(errno));
		err = FAILED;
	}
	return err ? FAILED : 0;
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum { OPT_CONTROL = 256, OPT_JSON, OPT_ALL, OPT_LIMIT, OPT_RESET };
	static const struct option longopts[] = {
		{"control", required_argument, NULL, OPT_CONTROL},
		{"json", no_argument, NULL, OPT_JSON},
		{"all", no_argument, NULL, OPT_ALL},
		{"limit", required_argument, NULL, OPT_LIMIT},
		{"reset", no_argument, NULL, OPT_RESET},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	uint64_t limit;
	int opt;

	while ((opt = getopt_long(argc, argv, "hV", longopts, NULL)) != -1) {
		switch (opt) {
		case OPT_CONTROL:
			if (!*optarg)
				return usage_error("--control: a path is wanted");
			options->control = optarg;
			break;
		case OPT_JSON:
			options->json = true;
			break;
		case OPT_ALL:
			options->all = true;
			break;
		case OPT_RESET:
			options->reset = true;
			break;
		case OPT_LIMIT:
			if (!parse_number(optarg, LIMIT_MAX, &limit) || !limit)
				return usage_error("--limit: a number from 1 to %d is wanted, not '%s'", LIMIT_MAX,
						   optarg);
			options->limit = (unsigned)limit;
			options->has_limit = true;
			break;
		case 'h':
			print_help();
			return 0;
		case 'V':
			puts("rddrctl " RDDR_VERSION);
			return 0;
		default:
			fputs("Try 'rddrctl --help'.\n", stderr);
			return USAGE;
		}
	}
	return -1;
}

int main(int argc, char **argv)
{
	struct options options = {.control = DEFAULT_CONTROL, .limit = LIMIT};
	const struct command *command;
	char hint[64];
	int status = parse_options(argc, argv, &options);

	if (status >= 0)
		return status;
	if (optind == argc)
		return usage_error("a command is wanted");
	command = find_command(argv[optind]);
	if (!command)
		return usage_error(
			"unknown command '%s'%s", argv[optind],
			rddr_config_suggest(argv[optind], command_name, NULL, ARRAY_LEN(commands), hint, sizeof(hint)));
	if (argc - optind > 2 || (argc - optind == 2 && !command->argument))
		return usage_error("%s: one argument too many: '%s'", command->name, argv[argc - 1]);
	if (argc - optind == 2)
		options.argument = argv[optind + 1];
	if (command->needs_argument && !options.argument)
		return usage_error("%s: %s is wanted", command->name, command->argument);
	if (options.all && strcmp(command->name, "counters"))
		return usage_error("--all is for counters");
	if (options.has_limit && strcmp(command->name, "evidence"))
		return usage_error("--limit is for evidence");
	if (options.reset && strcmp(command->name, "noise"))
		return usage_error("--reset is for noise");
	return run(&options, command);
}
