/* SPDX-License-Identifier: BSD-2-Clause */
#include "checker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "config.h"
#include "hosts.h"
#include "log.h"
#include "own.h"

/* "HTTP/1.1 200" */
#define STATUS_LINE 12

struct probe {
	struct checker *checker;
	const struct chainer_conf *of; /* the instance's */
	struct chainer_conf conf;      /* the same, without whatever is for clients */
	struct host_state *state;      /* the instance's reference */
	struct dial dial;
	struct timer next, late;
	char answer[STATUS_LINE + 1];
	size_t got;
	uint32_t failures; /* in a row */
};

struct checker {
	struct loop *loop;
	struct config *config;
	size_t n;
	struct probe probes[];
};

static void stop(struct probe *p)
{
	struct loop *loop = p->checker->loop;

	rddr_loop_timer_cancel(loop, &p->late);
	rddr_chainer_cancel(&p->dial);
	if (p->dial.fd >= 0)
		rddr_loop_unwatch(loop, &p->dial.watch, p->dial.fd);
	rddr_own_close(&p->dial.fd);
}

static void conclude(struct probe *p, bool up, const char *why)
{
	char text[RDDR_ADDR_TEXT];

	stop(p);
	p->failures = up ? 0 : p->failures + 1;
	if ((up || p->failures >= p->of->check.fails) && rddr_hosts_checked(p->state, up))
		rddr_log(up ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "checker: host %s host=%s why=\"%s\"",
			 up ? "up" : "down", rddr_addr_format(&p->conf.remote, text, sizeof(text)), why);
}

static void on_late(void *ctx)
{
	conclude(ctx, false, "no answer within check.timeout");
}

/* The status line is what is looked at. */
static void judge(struct probe *p)
{
	unsigned status = 0;
	char why[64];

	if (sscanf(p->answer, "HTTP/1.%*1[01] %3u", &status) != 1) {
		conclude(p, false, "no HTTP");
		return;
	}
	snprintf(why, sizeof(why), "status %u", status);
	conclude(p, p->of->check.status ? status == p->of->check.status : status >= 200 && status < 400, why);
}

static void on_answer(void *ctx, unsigned events)
{
	struct probe *p = ctx;

	if (!(events & (LOOP_IN | LOOP_ERROR)))
		return;
	while (p->got < STATUS_LINE) {
		ssize_t n = recv(p->dial.fd, p->answer + p->got, STATUS_LINE - p->got, MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			conclude(p, false, n ? strerror(errno) : "it ended without an answer");
			return;
		}
		p->got += (size_t)n;
	}
	judge(p);
}

static void ask(struct probe *p)
{
	char host[RDDR_ADDR_TEXT], request[1024];
	int len = snprintf(request, sizeof(request),
			   "GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: rddr\r\nConnection: close\r\n\r\n",
			   p->of->check.http, rddr_addr_format(&p->conf.remote, host, sizeof(host)));

	rddr_loop_retarget(p->checker->loop, &p->dial.watch, on_answer, p);
	if (send(p->dial.fd, request, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
		conclude(p, false, strerror(errno));
	else
		on_answer(p, p->dial.events);
}

static void finished(struct probe *p, enum dial_outcome outcome)
{
	if (outcome == DIAL_CONNECTED && p->of->check.http)
		ask(p);
	else if (outcome == DIAL_CONNECTED)
		conclude(p, true, "connected");
	else if (rddr_dial_outcome_is_local(outcome))
		stop(p); /* says nothing of the host */
	else
		conclude(p, false, rddr_dial_outcome_name(outcome));
}

static void on_dialled(struct dial *dial, enum dial_outcome outcome)
{
	finished(CONTAINER_OF(dial, struct probe, dial), outcome);
}

static void begin(void *ctx)
{
	struct probe *p = ctx;
	struct loop *loop = p->checker->loop;
	const struct dial_request request = {.loop = loop};

	rddr_loop_timer_set(loop, &p->next, rddr_loop_now(loop) + p->of->check.interval);
	if (p->late.armed)
		return; /* the last one is still under way */
	p->got = 0;
	memset(p->answer, 0, sizeof(p->answer));
	rddr_dial_init(&p->dial);
	p->dial.done = on_dialled;
	rddr_loop_timer_set(loop, &p->late, rddr_loop_now(loop) + p->of->check.timeout);
	enum dial_outcome outcome = rddr_chainer_connect_server(&p->dial, &p->conf, &request);
	if (outcome != DIAL_PENDING)
		finished(p, outcome);
}

/* Calls each for every host that is to be checked. */
static size_t each_host(const struct config *config, struct checker *c)
{
	size_t n = 0;

	for (size_t s = 0; s < config->n_services; s++) {
		const struct service *service = config->services[s];

		for (unsigned i = 0; i < service->n_instances; i++) {
			const struct chainer_conf *conf = &service->instances[i].chainer;

			for (unsigned k = 0; k < conf->n_hosts && conf->check.interval; k++, n++) {
				if (!c)
					continue;
				c->probes[n] = (struct probe){
					.checker = c,
					.of = conf,
					.conf = {.ops = &rddr_chainer_directed,
						 .remote = conf->hosts[k].address,
						 .has_remote = true,
						 .local = conf->local,
						 .has_local = conf->has_local && !rddr_addr_port(&conf->local),
						 .send_proxy = conf->send_proxy},
					.state = conf->hosts[k].state,
				};
			}
		}
	}
	return n;
}

size_t rddr_checker_hosts(const struct config *config)
{
	return each_host(config, NULL);
}

int rddr_checker_new(struct loop *loop, struct config *config, struct checker **out)
{
	size_t n = rddr_checker_hosts(config);
	struct checker *c = calloc(1, sizeof(*c) + n * sizeof(c->probes[0]));

	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->config = rddr_config_get(config);
	c->n = each_host(config, c);
	for (size_t i = 0; i < c->n; i++) {
		struct probe *p = &c->probes[i];

		rddr_dial_init(&p->dial);
		p->next = (struct timer){.fn = begin, .ctx = p};
		p->late = (struct timer){.fn = on_late, .ctx = p};
		rddr_hosts_check_begins(p->state);
		/* Not all at the same moment. */
		rddr_loop_timer_set(loop, &p->next, rddr_loop_now(loop) + i % 100);
	}
	*out = c;
	return 0;
}

void rddr_checker_free(struct checker **checker)
{
	struct checker *c = TAKE_PTR(*checker);

	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++) {
		stop(&c->probes[i]);
		rddr_loop_timer_cancel(c->loop, &c->probes[i].next);
		rddr_hosts_check_ends(c->probes[i].state);
	}
	rddr_config_put(&c->config);
	free(c);
}
