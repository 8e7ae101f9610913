// SPDX-License-Identifier: BSD-2-Clause
/* One SYN's way: held while the instances are dialled, decided, and, once released, kept until its session comes. */
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "admission_own.h"
#include "log.h"
#include "metrics.h"
#include "own.h"
#include "worker.h"

/* Report mode: how long instance 0's client waits for the others to answer, in ms. */
#define LAG_MS 100

enum attempt_state {
	ATTEMPT_HELD,  /* the SYN waits in the queue */
	ATTEMPT_READY, /* it was released; the connections wait for their session */
	ATTEMPT_TAKEN, /* a session has them; a message that frees the attempt is on its way */
};

enum decision {
	DECISION_NONE, /* yet */
	DECISION_RELEASE,
	DECISION_REFUSE,
	DECISION_DENY, /* as refuse, because access control said so */
	DECISION_DROP,
	DECISION_PASS,
	DECISIONS
};

/* How many attempts there are of a service (no prefix), or of the clients of one prefix. */
struct tally {
	struct tally *next;
	const struct metrics_set *service; /* by this: it outlives reloads */
	struct prefix prefix;
	uint32_t n;
};

struct attempt {
	struct attempt *next; /* of its bucket */
	struct admission *admission;
	enum attempt_state state;
	enum decision decision;
	struct syn syn; /* the one that is held */
	uint32_t packet;
	struct config *config; /* a reference */
	struct service *service;
	struct tally *of_service, *of_client;
	struct timer timer;
	struct deferred bury;
	uint64_t begun; /* ms */
	unsigned pending;
	struct admitted *many;
};

static void conclude(struct attempt *t);

/* ---- tables ---- */

static uint64_t mix(uint64_t h, const void *bytes, size_t len)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < len; i++) {
		h = (h ^ p[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

static uint64_t mix_addr(uint64_t h, const struct addr *a)
{
	size_t len;
	const uint8_t *bytes = rddr_addr_bytes(a, &len);
	uint16_t port = rddr_addr_port(a);

	return mix(mix(h, bytes, len), &port, sizeof(port));
}

static struct attempt **bucket_of(struct admission *a, const struct addr *client, const struct addr *destination)
{
	return &a->attempts[mix_addr(mix_addr(a->seed, client), destination) % ATTEMPT_BUCKETS];
}

/* The link that leads to the attempt, or to NULL. Under the lock. */
static struct attempt **find(struct admission *a, const struct addr *client, const struct addr *destination)
{
	struct attempt **at = bucket_of(a, client, destination);

	while (*at &&
	       !(rddr_addr_equal(&(*at)->syn.client, client) && rddr_addr_equal(&(*at)->syn.destination, destination)))
		at = &(*at)->next;
	return at;
}

static struct tally **tally_at(struct admission *a, const struct metrics_set *service, const struct prefix *prefix)
{
	uint64_t h = mix(a->seed ^ (uintptr_t)service, prefix->bytes, sizeof(prefix->bytes));
	struct tally **at = &a->tallies[h % TALLY_BUCKETS];

	while (*at && ((*at)->service != service || (*at)->prefix.family != prefix->family ||
		       memcmp((*at)->prefix.bytes, prefix->bytes, sizeof(prefix->bytes)) != 0))
		at = &(*at)->next;
	return at;
}

/* One more; NULL: there are as many as there may be, or no memory. Under the lock. */
static struct tally *tally_take(struct admission *a, const struct metrics_set *service, const struct prefix *prefix,
				uint32_t most)
{
	struct tally **at = tally_at(a, service, prefix);

	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return NULL;
		(*at)->service = service;
		(*at)->prefix = *prefix;
	}
	if ((*at)->n >= most)
		return NULL;
	(*at)->n++;
	return *at;
}

static void tally_give(struct admission *a, struct tally *tally)
{
	if (!tally || --tally->n)
		return;
	*tally_at(a, tally->service, &tally->prefix) = tally->next;
	free(tally);
}

static void prefix_of(const struct admission_conf *conf, const struct addr *client, struct prefix *out)
{
	size_t len;
	const uint8_t *bytes = rddr_addr_bytes(client, &len);
	unsigned bits = client->sa.sa_family == AF_INET6 ? conf->prefix6 : conf->prefix4;

	*out = (struct prefix){.family = client->sa.sa_family, .len = (uint8_t)bits};
	for (size_t i = 0; i < len && bits; i++) {
		unsigned here = bits < 8 ? bits : 8;

		out->bytes[i] = (uint8_t)(bytes[i] & 0xff << (8 - here));
		bits -= here;
	}
}

/* ---- the end of an attempt ---- */

static void free_attempt(void *ctx)
{
	struct attempt *t = ctx;

	rddr_config_put(&t->config);
	free(t->many);
	free(t);
}

/* What it counted for, and its descriptors. It is in no table any more. */
static void settle_accounts(struct attempt *t)
{
	struct admission *a = t->admission;

	rddr_loop_timer_cancel(a->worker->loop, &t->timer);
	pthread_mutex_lock(&a->lock);
	tally_give(a, t->of_service);
	tally_give(a, t->of_client);
	a->n_attempts--;
	pthread_mutex_unlock(&a->lock);
	rddr_worker_release(a->worker, t->service->n_instances);
}

static void reset(int *fd)
{
	struct linger at_once = {.l_onoff = 1};

	setsockopt(*fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	rddr_own_close(fd);
}

/* Taken out of the table before. */
static void end(struct attempt *t)
{
	for (unsigned i = 0; i < t->service->n_instances; i++) {
		rddr_chainer_cancel(&t->many[i].dial);
		if (t->many[i].dial.fd >= 0)
			reset(&t->many[i].dial.fd);
	}
	settle_accounts(t);
	/* A dial of its own may have brought us here. */
	rddr_loop_defer(t->admission->worker->loop, &t->bury);
}

static void take_out(struct attempt *t)
{
	struct admission *a = t->admission;

	pthread_mutex_lock(&a->lock);
	*find(a, &t->syn.client, &t->syn.destination) = t->next;
	pthread_mutex_unlock(&a->lock);
}

void rddr_admission_drop(struct admitted **admitted, unsigned n)
{
	for (unsigned i = 0; *admitted && i < n; i++) {
		if ((*admitted)[i].dial.fd >= 0)
			reset(&(*admitted)[i].dial.fd);
	}
	free(*admitted);
	*admitted = NULL;
}

/* ---- dials ---- */

/* What one instance's outcome means for the client. */
static enum decision decision_of(enum dial_outcome outcome)
{
	static const enum decision decisions[DIAL_OUTCOMES] = {
		[DIAL_REFUSED] = DECISION_REFUSE,
		[DIAL_DENIED] = DECISION_DENY,
		[DIAL_UNREACHABLE] = DECISION_DROP,
		[DIAL_TIMED_OUT] = DECISION_DROP,
		/* No word of the server's: the session meets it again, and says so. */
		[DIAL_NO_PORT] = DECISION_PASS,
		[DIAL_NOT_PERMITTED] = DECISION_PASS,
		[DIAL_LOOP] = DECISION_PASS,
		[DIAL_UNRESOLVED] = DECISION_PASS,
		[DIAL_FAILED] = DECISION_PASS,
	};

	return decisions[outcome];
}

/* Under report mode the client sees what instance 0 does, and waits for no other. */
static bool is_lagging(const struct attempt *t)
{
	return !t->service->enforcing && t->many[0].outcome == DIAL_CONNECTED && t->pending;
}

static void note(struct attempt *t, struct admitted *m, enum dial_outcome outcome)
{
	struct loop *loop = t->admission->worker->loop;

	m->outcome = outcome;
	t->pending--;
	if (outcome == DIAL_CONNECTED)
		rddr_loop_unwatch(loop, &m->dial.watch, m->dial.fd);
	else if (!t->decision && (t->service->enforcing || m == t->many))
		t->decision = decision_of(outcome);
	if (!t->decision && !t->pending)
		t->decision = DECISION_RELEASE;
	if (m == t->many && is_lagging(t))
		rddr_loop_timer_set(loop, &t->timer, rddr_loop_now(loop) + LAG_MS);
}

static void on_dialled(struct dial *dial, enum dial_outcome outcome)
{
	struct admitted *m = CONTAINER_OF(dial, struct admitted, dial);
	struct attempt *t = m->attempt;

	note(t, m, outcome);
	if (t->decision)
		conclude(t);
}

static void dial_all(struct attempt *t)
{
	struct worker *w = t->admission->worker;
	const struct dial_request request = {
		.loop = w->loop,
		.client = &t->syn.client,
		.destination = &t->syn.destination,
		.own = &w->own,
		.access = t->service->access,
		.service = t->service->name,
	};

	t->pending = t->service->n_instances;
	for (unsigned i = 0; i < t->service->n_instances && !t->decision; i++) {
		struct admitted *m = &t->many[i];

		m->dial.done = on_dialled;
		m->outcome = rddr_chainer_connect_server(&m->dial, &t->service->instances[i].chainer, &request);
		if (m->outcome != DIAL_PENDING)
			note(t, m, m->outcome);
	}
}

/* ---- decisions ---- */

static void release(struct attempt *t)
{
	struct worker *w = t->admission->worker;

	/* Before the verdict: from then on the connection may be accepted. */
	pthread_mutex_lock(&t->admission->lock);
	t->state = ATTEMPT_READY;
	rddr_loop_timer_set(w->loop, &t->timer, rddr_loop_now(w->loop) + t->service->deadlines.connect);
	uint32_t packet = t->packet;
	pthread_mutex_unlock(&t->admission->lock);
	rddr_metrics_count(t->service->metrics, METRIC_admission_released);
	rddr_admission_verdict(t->admission, packet, true);
}

static void conclude(struct attempt *t)
{
	static const enum metric metrics[DECISIONS] = {
		[DECISION_REFUSE] = METRIC_admission_refused,
		[DECISION_DENY] = METRIC_admission_denied,
		[DECISION_DROP] = METRIC_admission_dropped,
		[DECISION_PASS] = METRIC_admission_passed,
	};
	uint64_t late = t->begun + t->service->deadlines.connect;

	/* The daemon may have been stopped meanwhile: the client has given this SYN up. */
	if (t->decision == DECISION_RELEASE && rddr_loop_now(t->admission->worker->loop) > late + 1000)
		t->decision = DECISION_DROP;
	if (t->decision == DECISION_RELEASE) {
		release(t);
		return;
	}
	rddr_metrics_count(t->service->metrics, metrics[t->decision]);
	take_out(t);
	rddr_admission_verdict(t->admission, t->packet, t->decision == DECISION_PASS);
	if (t->decision == DECISION_REFUSE || t->decision == DECISION_DENY)
		rddr_admission_refuse(t->admission, &t->syn);
	end(t);
}

/* Who has not answered by now the session dials itself. */
static void go_without(struct attempt *t)
{
	for (unsigned i = 1; i < t->service->n_instances; i++) {
		if (t->many[i].outcome == DIAL_PENDING)
			rddr_chainer_cancel(&t->many[i].dial);
	}
	t->decision = DECISION_RELEASE;
	conclude(t);
}

static void give_up_dials(struct attempt *t)
{
	for (unsigned i = 0; i < t->service->n_instances && !t->decision; i++) {
		struct admitted *m = &t->many[i];

		if (m->outcome != DIAL_PENDING)
			continue;
		rddr_chainer_give_up(&m->dial);
		note(t, m, DIAL_TIMED_OUT);
	}
	conclude(t);
}

static void on_timer(void *ctx)
{
	struct attempt *t = ctx;
	struct admission *a = t->admission;

	pthread_mutex_lock(&a->lock);
	enum attempt_state state = t->state;
	if (state == ATTEMPT_READY)
		*find(a, &t->syn.client, &t->syn.destination) = t->next;
	pthread_mutex_unlock(&a->lock);
	if (state == ATTEMPT_HELD && is_lagging(t)) {
		go_without(t);
	} else if (state == ATTEMPT_HELD) {
		give_up_dials(t);
	} else if (state == ATTEMPT_READY) {
		rddr_metrics_count(t->service->metrics, METRIC_admission_unused);
		end(t);
	}
}

/* ---- begin ---- */

/* By the worker's config, or the one before it, as the listener does. */
static struct service *service_of(const struct worker *w, const struct syn *syn, struct config **config)
{
	struct config *generations[] = {w->config, w->previous};
	char interface[IF_NAMESIZE] = "";

	if (w->names_interfaces && !if_indextoname(syn->index, interface))
		interface[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(generations) && generations[i]; i++) {
		const struct rule *rule = rddr_config_match(generations[i], &syn->destination, &syn->client, interface);

		*config = generations[i];
		if (rule)
			return rule->service;
	}
	return NULL;
}

/* Into the tables, when there is room for it. */
static bool put_in(struct admission *a, struct attempt *t)
{
	static const struct prefix all = {.family = AF_UNSPEC};
	const struct service *service = t->service;
	struct worker *w = a->worker;
	struct prefix prefix;
	bool room =
		a->n_attempts < ADMISSION_HELD_MAX && w->fds_used + service->n_instances + w->fds_session <= w->fds_max;

	prefix_of(&service->admission, &t->syn.client, &prefix);
	pthread_mutex_lock(&a->lock);
	if (room)
		t->of_service = tally_take(a, service->metrics, &all, service->admission.held);
	if (t->of_service)
		t->of_client = tally_take(a, service->metrics, &prefix, service->admission.per_client);
	if (t->of_client) {
		struct attempt **at = bucket_of(a, &t->syn.client, &t->syn.destination);

		t->next = *at;
		*at = t;
		a->n_attempts++;
		w->fds_used += service->n_instances;
	} else {
		tally_give(a, t->of_service);
	}
	pthread_mutex_unlock(&a->lock);
	return t->of_client != NULL;
}

static struct attempt *attempt_new(struct admission *a, struct config *config, struct service *service,
				   const struct syn *syn, uint32_t packet)
{
	struct attempt *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->many = calloc(service->n_instances, sizeof(*t->many));
	if (!t->many) {
		free(t);
		return NULL;
	}
	for (unsigned i = 0; i < service->n_instances; i++) {
		rddr_dial_init(&t->many[i].dial);
		t->many[i].attempt = t;
	}
	t->admission = a;
	t->service = service;
	t->config = rddr_config_get(config);
	t->syn = *syn;
	t->packet = packet;
	t->begun = rddr_loop_now(a->worker->loop);
	t->timer = (struct timer){.fn = on_timer, .ctx = t};
	t->bury = (struct deferred){.fn = free_attempt, .ctx = t};
	return t;
}

static enum syn_verdict begin(struct admission *a, struct config *config, struct service *service,
			      const struct syn *syn, uint32_t packet)
{
	struct attempt *t = attempt_new(a, config, service, syn, packet);

	if (!t || !put_in(a, t)) {
		if (t)
			free_attempt(t);
		rddr_metrics_count(service->metrics, METRIC_admission_overflow);
		return service->admission.overflow == ADMISSION_DROP ? SYN_DROP : SYN_PASS;
	}
	rddr_metrics_count(service->metrics, METRIC_admission_held);
	rddr_loop_timer_set(a->worker->loop, &t->timer, t->begun + service->deadlines.connect);
	dial_all(t);
	if (t->decision)
		conclude(t);
	return SYN_HOLD;
}

enum syn_verdict rddr_admission_syn(struct admission *a, const struct syn *syn, uint32_t packet)
{
	enum syn_verdict verdict = SYN_PASS;
	uint32_t given_up = packet;

	pthread_mutex_lock(&a->lock);
	struct attempt *t = *find(a, &syn->client, &syn->destination);
	struct metrics_set *metrics = t ? t->service->metrics : NULL;
	if (t && t->state == ATTEMPT_HELD) {
		verdict = SYN_DROP;
		if (t->syn.seq != syn->seq) {
			/* The client has begun anew from the same port: the new one is held instead. */
			given_up = t->packet;
			t->packet = packet;
			t->syn.seq = syn->seq;
			t->syn.len = syn->len;
			verdict = SYN_HOLD;
		}
	}
	pthread_mutex_unlock(&a->lock);
	if (metrics) {
		rddr_metrics_count(metrics, METRIC_admission_retransmitted);
		if (given_up != packet)
			rddr_admission_verdict(a, given_up, false);
		return verdict;
	}

	struct config *config;
	struct service *service = service_of(a->worker, syn, &config);
	if (!service || !service->admission.on || a->over)
		return SYN_PASS;
	return begin(a, config, service, syn, packet);
}

/* ---- taking ---- */

static void bury_taken(void *ctx)
{
	struct attempt *t = ctx;

	settle_accounts(t);
	free_attempt(t);
}

struct admitted *rddr_admission_take(struct admission *a, const struct service *service, const struct addr *client,
				     const struct addr *destination)
{
	struct admitted *many = NULL;

	if (!a)
		return NULL;
	pthread_mutex_lock(&a->lock);
	struct attempt **at = find(a, client, destination), *t = *at;
	/* Without memory for the message it stays, and ends by its own time. */
	if (t && t->state == ATTEMPT_READY && t->service == service &&
	    rddr_worker_call(a->worker, bury_taken, t) == 0) {
		*at = t->next;
		t->state = ATTEMPT_TAKEN;
		many = TAKE_PTR(t->many);
	}
	pthread_mutex_unlock(&a->lock);
	return many;
}

uint32_t rddr_admission_held(struct admission *a, const struct service *service)
{
	static const struct prefix all = {.family = AF_UNSPEC};
	uint32_t n = 0;

	if (!a)
		return 0;
	pthread_mutex_lock(&a->lock);
	const struct tally *tally = *tally_at(a, service->metrics, &all);
	if (tally)
		n = tally->n;
	pthread_mutex_unlock(&a->lock);
	return n;
}

void rddr_admission_abandon(struct admission *a)
{
	struct attempt *all = NULL;

	pthread_mutex_lock(&a->lock);
	for (size_t b = 0; b < ATTEMPT_BUCKETS; b++) {
		while (a->attempts[b]) {
			struct attempt *t = a->attempts[b];

			a->attempts[b] = t->next;
			t->next = all;
			all = t;
		}
	}
	pthread_mutex_unlock(&a->lock);
	while (all) {
		struct attempt *t = all;

		all = t->next;
		if (t->state == ATTEMPT_HELD) {
			rddr_metrics_count(t->service->metrics, METRIC_admission_abandoned);
			rddr_admission_verdict(a, t->packet, true);
		} else {
			rddr_metrics_count(t->service->metrics, METRIC_admission_unused);
		}
		end(t);
	}
}
