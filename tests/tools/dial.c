// SPDX-License-Identifier: BSD-2-Clause
/*
 * dial - dials as the daemon would, on its event loop, and says what came of it.
 *
 * One line for each dial: "OUTCOME local=A remote=A forged=yes|no rung=R error=NAME" and, with --say, what the server
 * answered. With --summary one line "COUNT OUTCOME" for each outcome that occurred instead. Dials run one after
 * another; with --hold all connections stay open until the last dial is over and standard input ends. Exits with 0 when
 * every dial connected, with 1 when one did not, with 2 on bad usage.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "chainer.h"
#include "own.h"

#define MAX_CLIENTS 16
#define MAX_OWN	    16
#define ANSWER_MS   20000

struct options {
	struct chainer_conf conf;
	struct addr destination;
	struct addr clients[MAX_CLIENTS], own[MAX_OWN];
	size_t n_clients, n_own;
	struct own_addrs owned; /* own, as a request wants it */
	unsigned count;
	unsigned deadline; /* ms; 0: none */
	const char *say;
	bool hold, summary, steered;
};

struct tool {
	const struct options *options;
	struct loop *loop;
	struct dial dial;
	struct timer deadline;
	struct deferred next;
	unsigned begun;
	unsigned outcomes[DIAL_OUTCOMES];
	int *held;
	size_t n_held;
};

static const char usage[] =
	"usage: dial [--chainer transparent|directed|failover] [--remote ADDR] [--host ADDR ...] [--host-timeout MS]\n"
	"            [--down-for MS] [--attempts N] [--rotate] [--destination ADDR] [--client ADDR ...]\n"
	"            [--local ADDR] [--forge-addr] [--forge-port exact,group,any,random] [--forge-fallback] "
	"[--forced-port "
	"PORT]\n"
	"            [--own ADDR ...] [--listening] [--count N] [--deadline MS] [--say TEXT] [--hold] [--summary]\n";

static void dial_next(void *ctx);

/* ---- one dial after another ---- */

static void print_result(const struct dial *dial, enum dial_outcome outcome)
{
	char local[RDDR_ADDR_TEXT], remote[RDDR_ADDR_TEXT];
	struct addr bound = dial->local;
	socklen_t len = sizeof(bound);

	if (dial->fd >= 0 && getsockname(dial->fd, &bound.sa, &len) < 0)
		perror("getsockname");
	printf("%s local=%s remote=%s forged=%s rung=%s error=%s\n", rddr_dial_outcome_name(outcome),
	       rddr_addr_format(&bound, local, sizeof(local)), rddr_addr_format(&dial->remote, remote, sizeof(remote)),
	       dial->forged ? "yes" : "no", dial->forged ? rddr_forge_port_name(dial->rung) : "-",
	       dial->error ? strerrorname_np(dial->error) : "-");
}

/* Sends the text and prints the answer until its end. */
static int talk(int fd, const char *text, bool quiet)
{
	char answer[4096];
	struct pollfd p = {.fd = fd, .events = POLLIN};

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		perror("dial: write");
		return -errno;
	}
	for (;;) {
		if (poll(&p, 1, ANSWER_MS) != 1) {
			fprintf(stderr, "dial: no answer\n");
			return -ETIMEDOUT;
		}
		ssize_t n = read(fd, answer, sizeof(answer));
		if (n < 0) {
			perror("dial: read");
			return -errno;
		}
		if (n == 0)
			return 0;
		if (!quiet)
			fwrite(answer, 1, (size_t)n, stdout);
	}
}

static void finish(struct tool *tool, enum dial_outcome outcome)
{
	const struct options *options = tool->options;
	struct dial *dial = &tool->dial;

	rddr_loop_timer_cancel(tool->loop, &tool->deadline);
	tool->outcomes[outcome]++;
	if (!options->summary)
		print_result(dial, outcome);
	if (outcome == DIAL_CONNECTED) {
		rddr_loop_unwatch(tool->loop, &dial->watch, dial->fd);
		if (options->say && talk(dial->fd, options->say, options->summary)) {
			tool->outcomes[DIAL_CONNECTED]--;
			tool->outcomes[DIAL_FAILED]++;
		}
		if (options->hold)
			tool->held[tool->n_held++] = TAKE_FD(dial->fd);
		else
			rddr_own_close(&dial->fd);
	}
	rddr_loop_again(tool->loop, &tool->next);
}

static void on_done(struct dial *dial, enum dial_outcome outcome)
{
	finish(CONTAINER_OF(dial, struct tool, dial), outcome);
}

static void on_deadline(void *ctx)
{
	struct tool *tool = ctx;

	rddr_chainer_cancel(&tool->dial);
	tool->dial.error = ETIMEDOUT;
	finish(tool, DIAL_TIMED_OUT);
}

static void dial_next(void *ctx)
{
	struct tool *tool = ctx;
	const struct options *options = tool->options;
	const struct dial_request request = {
		.loop = tool->loop,
		.client = &options->clients[tool->begun % options->n_clients],
		.destination = &options->destination,
		.own = &options->owned,
	};

	if (tool->begun == options->count) {
		rddr_loop_stop(tool->loop);
		return;
	}
	tool->begun++;
	rddr_dial_init(&tool->dial);
	tool->dial.done = on_done;
	enum dial_outcome outcome = rddr_chainer_connect_server(&tool->dial, &options->conf, &request);
	if (outcome != DIAL_PENDING)
		finish(tool, outcome);
	else if (options->deadline)
		rddr_loop_timer_set(tool->loop, &tool->deadline, rddr_loop_now(tool->loop) + options->deadline);
}

static int run(const struct options *options)
{
	_owned_mem_ int *held = calloc(options->count, sizeof(*held));
	struct tool tool = {.options = options, .held = held};
	int r;

	tool.deadline = (struct timer){.fn = on_deadline, .ctx = &tool};
	tool.next = (struct deferred){.fn = dial_next, .ctx = &tool};
	if (!held)
		return 1;
	r = rddr_loop_new(&tool.loop);
	if (r < 0) {
		fprintf(stderr, "dial: no event loop: %s\n", strerror(-r));
		return 1;
	}
	rddr_loop_again(tool.loop, &tool.next);
	r = rddr_loop_run(tool.loop);
	if (r < 0)
		fprintf(stderr, "dial: event loop: %s\n", strerror(-r));
	for (unsigned i = 0; options->summary && i < DIAL_OUTCOMES; i++) {
		if (tool.outcomes[i])
			printf("%u %s\n", tool.outcomes[i], rddr_dial_outcome_name(i));
	}
	fflush(stdout);
	if (options->hold) {
		while (getchar() != EOF)
			;
	}
	for (size_t i = 0; i < tool.n_held; i++)
		close(held[i]);
	rddr_loop_free(&tool.loop);
	return r < 0 || tool.outcomes[DIAL_CONNECTED] != options->count;
}

/* ---- the command line ---- */

enum choice {
	OPT_CHAINER = 256,
	OPT_REMOTE,
	OPT_HOST,
	OPT_HOST_TIMEOUT,
	OPT_DOWN_FOR,
	OPT_ATTEMPTS,
	OPT_ROTATE,
	OPT_DESTINATION,
	OPT_CLIENT,
	OPT_LOCAL,
	OPT_FORGE_ADDR,
	OPT_FORGE_PORT,
	OPT_FORGE_FALLBACK,
	OPT_FORCED_PORT,
	OPT_OWN,
	OPT_LISTENING,
	OPT_COUNT,
	OPT_DEADLINE,
	OPT_SAY,
	OPT_HOLD,
	OPT_SUMMARY,
};

static const struct option long_options[] = {
	{"chainer", required_argument, NULL, OPT_CHAINER},
	{"remote", required_argument, NULL, OPT_REMOTE},
	{"host", required_argument, NULL, OPT_HOST},
	{"host-timeout", required_argument, NULL, OPT_HOST_TIMEOUT},
	{"down-for", required_argument, NULL, OPT_DOWN_FOR},
	{"attempts", required_argument, NULL, OPT_ATTEMPTS},
	{"rotate", no_argument, NULL, OPT_ROTATE},
	{"destination", required_argument, NULL, OPT_DESTINATION},
	{"client", required_argument, NULL, OPT_CLIENT},
	{"local", required_argument, NULL, OPT_LOCAL},
	{"forge-addr", no_argument, NULL, OPT_FORGE_ADDR},
	{"forge-port", required_argument, NULL, OPT_FORGE_PORT},
	{"forge-fallback", no_argument, NULL, OPT_FORGE_FALLBACK},
	{"forced-port", required_argument, NULL, OPT_FORCED_PORT},
	{"own", required_argument, NULL, OPT_OWN},
	{"listening", no_argument, NULL, OPT_LISTENING},
	{"count", required_argument, NULL, OPT_COUNT},
	{"deadline", required_argument, NULL, OPT_DEADLINE},
	{"say", required_argument, NULL, OPT_SAY},
	{"hold", no_argument, NULL, OPT_HOLD},
	{"summary", no_argument, NULL, OPT_SUMMARY},
	{0},
};

static void bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "dial: %s: %s\n%s", what, value, usage);
	exit(2);
}

static struct addr read_addr(const char *option, const char *text)
{
	struct addr a;

	if (rddr_addr_parse(text, 0, &a))
		bad_usage(option, text);
	return a;
}

static unsigned read_number(const char *option, const char *text, unsigned max)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (!*text || *end || n > max)
		bad_usage(option, text);
	return (unsigned)n;
}

static void read_ladder(struct chainer_conf *conf, char *text)
{
	for (char *save, *word = strtok_r(text, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		enum forge_port rung = FORGE_PORT_EXACT;

		while (rung < FORGE_PORTS && strcmp(word, rddr_forge_port_name(rung)) != 0)
			rung++;
		if (rung == FORGE_PORTS || conf->forge_ports == FORGE_PORTS)
			bad_usage("--forge-port", word);
		conf->forge_port[conf->forge_ports++] = rung;
	}
}

static void add_host(struct chainer_conf *conf, const char *text)
{
	if (!conf->hosts)
		conf->hosts = calloc(CHAINER_HOSTS, sizeof(*conf->hosts));
	if (!conf->hosts || conf->n_hosts == CHAINER_HOSTS)
		bad_usage("--host: too many", text);
	conf->hosts[conf->n_hosts++].address = read_addr("--host", text);
}

/* The options of chainer failover. False: it is none of them. */
static bool read_failover(struct chainer_conf *conf, int c, const char *value)
{
	switch (c) {
	case OPT_HOST:
		add_host(conf, value);
		return true;
	case OPT_HOST_TIMEOUT:
		conf->host_timeout = read_number("--host-timeout", value, 600000);
		return true;
	case OPT_DOWN_FOR:
		conf->down_for = read_number("--down-for", value, 600000);
		return true;
	case OPT_ATTEMPTS:
		conf->attempts = read_number("--attempts", value, 1000);
		return true;
	case OPT_ROTATE:
		conf->rotate = true;
		return true;
	default:
		return false;
	}
}

static void read_target(struct options *o, int c, char *value)
{
	struct chainer_conf *conf = &o->conf;

	switch (c) {
	case OPT_CHAINER:
		conf->ops = rddr_chainer_find(value);
		if (!conf->ops)
			bad_usage("--chainer", value);
		break;
	case OPT_REMOTE:
		conf->remote = read_addr("--remote", value);
		conf->has_remote = true;
		break;
	case OPT_DESTINATION:
		o->destination = read_addr("--destination", value);
		break;
	case OPT_CLIENT:
		if (o->n_clients == MAX_CLIENTS)
			bad_usage("--client: too many", value);
		o->clients[o->n_clients++] = read_addr("--client", value);
		break;
	case OPT_OWN:
		if (o->n_own == MAX_OWN)
			bad_usage("--own: too many", value);
		o->own[o->n_own++] = read_addr("--own", value);
		break;
	case OPT_LOCAL:
		conf->local = read_addr("--local", value);
		conf->has_local = true;
		break;
	case OPT_FORGE_ADDR:
		conf->forge_addr = true;
		break;
	case OPT_FORGE_PORT:
		read_ladder(conf, value);
		break;
	case OPT_FORGE_FALLBACK:
		conf->forge_fallback = true;
		break;
	case OPT_FORCED_PORT:
		conf->forced_port = (uint16_t)read_number("--forced-port", value, UINT16_MAX);
		break;
	default:
		exit(2);
	}
}

static void read_options(struct options *o, int argc, char **argv)
{
	char err[256];
	int c;

	*o = (struct options){.conf.ops = &rddr_chainer_directed, .count = 1, .steered = true};
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case OPT_COUNT:
			o->count = read_number("--count", optarg, 1000000);
			break;
		case OPT_DEADLINE:
			o->deadline = read_number("--deadline", optarg, 600000);
			break;
		case OPT_SAY:
			o->say = optarg;
			break;
		case OPT_HOLD:
			o->hold = true;
			break;
		case OPT_SUMMARY:
			o->summary = true;
			break;
		case OPT_LISTENING:
			o->steered = false;
			break;
		case '?':
			fputs(usage, stderr);
			exit(2);
		default:
			if (!read_failover(&o->conf, c, optarg))
				read_target(o, c, optarg);
		}
	}
	if (optind < argc)
		bad_usage("no such argument", argv[optind]);
	if (!o->n_clients)
		o->clients[o->n_clients++] = read_addr("--client", "127.0.0.1:40000");
	if (rddr_chainer_check(&o->conf, o->steered, err, sizeof(err)))
		bad_usage(rddr_chainer_name(o->conf.ops), err);
	if (!o->destination.sa.sa_family && o->conf.ops == &rddr_chainer_transparent)
		bad_usage("--destination", "missing");
	if (rddr_chainer_bind(&o->conf, "dial"))
		bad_usage("out of memory", "");
	o->owned = (struct own_addrs){o->own, o->n_own};
}

int main(int argc, char **argv)
{
	struct options options;
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	read_options(&options, argc, argv);
	int status = run(&options);
	rddr_chainer_conf_clear(&options.conf);
	return status;
}
