/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * gather_match.c - which connections belong together: one of each instance that say the same.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gather_own.h"
#include "handshake.h"
#include "worker.h"

/* Of what a connection says first, where the plugin does not know exchanges, in bytes. */
#define FIRST_BYTES 256
/* How much is read of it before it has its partners, in bytes. */
#define READ_FIRST (16u << 10)
/* Keys of connections that say nothing, and of those that say anything. */
#define KEY_SILENT  UINT64_C(0x51)
#define LOOSE_BYTES UINT64_C(0x52)

/* FNV-1a: it keeps apart what differs by chance; what was made to collide is told apart by the comparison. */
static uint64_t hash(const uint8_t *data, size_t len)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; data && i < len; i++)
		h = (h ^ data[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* ---- buckets ---- */

static struct bucket **chain_of(struct gather *g, uint64_t key, uint64_t identity)
{
	return &g->chains[(key ^ key >> 32 ^ identity) % GATHER_CHAINS];
}

static struct bucket *bucket_of(struct gather *g, uint64_t key, uint64_t identity)
{
	struct bucket **chain = chain_of(g, key, identity), *b;

	for (b = *chain; b; b = b->next) {
		if (b->key == key && b->identity == identity)
			return b;
	}
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->key = key;
	b->identity = identity;
	b->next = *chain;
	*chain = b;
	return b;
}

static void free_bucket(struct gather *g, struct bucket *b)
{
	struct bucket **at = chain_of(g, b->key, b->identity);

	while (*at != b)
		at = &(*at)->next;
	*at = b->next;
	free(b);
}

void rddr_gather_unmatch(struct gather_end *end)
{
	struct bucket *b = end->bucket;
	unsigned i = end->instance;

	if (!b)
		return;
	*(end->sooner ? &end->sooner->later : &b->first[i]) = end->later;
	*(end->later ? &end->later->sooner : &b->last[i]) = end->sooner;
	end->bucket = NULL;
	end->later = end->sooner = NULL;
	b->have -= b->first[i] == NULL;
	if (--b->n == 0)
		free_bucket(end->gather, b);
}

static bool put(struct gather_end *end, uint64_t key)
{
	struct bucket *b = bucket_of(end->gather, key, end->identity);
	unsigned i = end->instance;

	if (!b)
		return false;
	b->have += b->first[i] == NULL;
	b->n++;
	end->bucket = b;
	end->sooner = b->last[i];
	*(b->last[i] ? &b->last[i]->later : &b->first[i]) = end;
	b->last[i] = end;
	return true;
}

/* ---- pairing ---- */

static bool same_correlation(const struct gather_end *a, const struct gather_end *b)
{
	return strcmp(a->correlation, b->correlation) == 0;
}

/* Of each instance the oldest that belongs to what one belongs to, or else the oldest that says nothing of that; NULL:
 * there is none. How many there are. */
static unsigned find_like(const struct gather_end *one, struct gather_end *ends[])
{
	unsigned found = 0;

	for (unsigned i = 0; i < RDDR_MAX_INSTANCES; i++) {
		struct gather_end *end = i < one->gather->n ? one->bucket->first[i] : NULL, *any = NULL;

		while (end && !same_correlation(end, one)) {
			any = any || end->correlation[0] ? any : end;
			end = end->later;
		}
		ends[i] = end ? end : any;
		found += ends[i] != NULL;
	}
	return found;
}

/*
 * The group that an end makes complete. One that says what it belongs to has its partners among those that say the
 * same, or nothing. One that says nothing goes with its like, or with the oldest others that it alone was missing to.
 */
static bool choose(const struct gather_end *end, struct gather_end *ends[])
{
	const struct bucket *b = end->bucket;
	unsigned n = end->gather->n;

	if (b->have < n)
		return false;
	if (find_like(end, ends) == n)
		return true;
	for (unsigned i = 0; i < n && !end->correlation[0]; i++) {
		for (const struct gather_end *other = b->first[i]; other && i != end->instance; other = other->later) {
			if (other->correlation[0] && find_like(other, ends) == n)
				return true;
		}
	}
	return false;
}

static void match(struct gather_end *end, uint64_t key, uint64_t loose)
{
	struct gather *g = end->gather;
	struct gather_end *ends[RDDR_MAX_INSTANCES];

	end->loose = loose;
	if (end->bucket && end->bucket->key == key)
		return;
	rddr_gather_unmatch(end);
	if (!put(end, key)) {
		rddr_gather_refuse(end, RDDR_DENIED_FAILED, "memory ran out");
		return;
	}
	if (choose(end, ends))
		rddr_gather_begin(g, ends);
}

/* ---- what is said ---- */

/* It has had an answer to all that it said: nobody else is late before it says more. */
static void speak_next(struct gather_end *end)
{
	struct gather *g = end->gather;

	rddr_gather_list_take(end);
	end->since = rddr_loop_now(g->worker->loop);
	rddr_gather_list_put(end, &g->quiet);
}

static void ask_plugin(struct gather_end *end, const struct rddr_view *view)
{
	struct gather *g = end->gather;
	const struct rddr_opening opening = {
		.size = sizeof(opening),
		.params = g->service->params,
		.host = &rddr_host_services,
		.session = g->park,
		.view = view,
		.identity = end->identity,
		.limit = g->service->limits.buffer,
		.replied = end->replied,
		.instance = end->instance,
		.instances = g->n,
		.do_filter = g->service->filter,
		.tls = rddr_handshake_state(&end->ep),
	};
	struct rddr_opening_result result = {.size = sizeof(result)};

	enum rddr_opens opens = g->service->ops->opening(&opening, &result);
	if (!rddr_host_take_correlation(end->correlation, result.correlation)) {
		rddr_gather_refuse(end, RDDR_DENIED_FAILED, "the plugin calls an exchange what is no word");
		return;
	}
	switch (opens) {
	case RDDR_OPENS:
		match(end, result.key, result.loose);
		return;
	case RDDR_OPENS_ALONE:
		rddr_gather_begin_alone(end);
		return;
	case RDDR_OPENS_ENDS:
		rddr_gather_drop(end, false);
		return;
	case RDDR_OPENS_NOT:
		rddr_gather_refuse(end, RDDR_DENIED_REJECTED, result.why[0] ? result.why : "the plugin rejected it");
		return;
	case RDDR_OPENS_WAIT:
	default:
		break;
	}
	rddr_gather_unmatch(end);
	if (view->len >= g->service->limits.buffer) {
		rddr_gather_refuse(end, RDDR_DENIED_LIMIT, "what it says first is longer than limits.buffer");
		return;
	}
	if (view->end != RDDR_END_OPEN) {
		rddr_gather_refuse(end, RDDR_DENIED_EARLY_END, "it ended before it had said what it wants");
		return;
	}
	if (result.replied > end->replied)
		end->replied = result.replied;
	if (!result.reply_len) {
		if (end->replied == view->len)
			speak_next(end);
		return;
	}
	if (rddr_outq_own(&end->ep.out, result.reply, result.reply_len) < 0) {
		rddr_gather_refuse(end, RDDR_DENIED_FAILED, "memory ran out");
		return;
	}
	rddr_endpoint_flush(&end->ep);
	if (result.start_tls)
		rddr_gather_secure(end);
	else if (end->replied == view->len)
		speak_next(end);
}

/* It speaks: from now on the others have so long. Who waited before goes on to, where it stood: nobody is given more
 * time because others' exchanges go on. */
static void begin_to_wait(struct gather_end *end)
{
	struct gather *g = end->gather;
	struct gather_end *before = g->waiting.last;

	if (end->list == &g->waiting)
		return;
	rddr_gather_list_take(end);
	if (!end->waited)
		end->since = rddr_loop_now(g->worker->loop);
	end->waited = false;
	while (before && before->since > end->since)
		before = before->prev;
	rddr_gather_list_put_behind(end, &g->waiting, before);
}

void rddr_gather_look(struct gather_end *end)
{
	struct gather *g = end->gather;
	struct endpoint *ep = &end->ep;

	/* Beyond what is looked at here it is the session's to read. */
	rddr_endpoint_read(ep, rddr_gather_by_exchange(g) ? g->service->limits.buffer : READ_FIRST, SESSION_TURN);
	size_t len = rddr_stream_unconsumed(&ep->in);
	const struct rddr_view view = {
		.data = len ? rddr_stream_at(&ep->in, ep->in.consumed) : NULL,
		.len = len,
		.end = ep->in.end,
	};
	/* Who was reset wants nothing any more, whatever it said: it is nobody's partner. */
	if (ep->broken || view.end == RDDR_END_RESET || (!len && view.end != RDDR_END_OPEN)) {
		rddr_gather_drop(end, ep->broken || view.end == RDDR_END_RESET);
		return;
	}
	if (!len) {
		if (end->list == &g->unseen) {
			rddr_gather_list_take(end);
			rddr_gather_list_put(end, &g->quiet);
		}
		return;
	}
	begin_to_wait(end);
	if (rddr_gather_by_exchange(g))
		ask_plugin(end, &view);
	else
		match(end, hash(view.data, len < FIRST_BYTES ? len : FIRST_BYTES), LOOSE_BYTES);
}

void rddr_gather_look_anew(struct gather *g)
{
	while (g->waiting.first) {
		struct gather_end *end = g->waiting.first;

		/* Nobody takes it away as a partner while the list is gone through. */
		rddr_gather_unmatch(end);
		rddr_gather_list_take(end);
		end->waited = true;
		rddr_gather_list_put(end, &g->unseen);
	}
	if (g->unseen.first)
		rddr_loop_again(g->worker->loop, &g->again);
}

void rddr_gather_silent(struct gather_end *end)
{
	begin_to_wait(end);
	match(end, KEY_SILENT, 0);
}

/* ---- the deadline ---- */

/* One of each instance, and no more, is left with this in common, and none belongs to something else. */
static bool find_loose(const struct gather_end *end, struct gather_end *ends[])
{
	const struct gather *g = end->gather;
	const struct gather_end *belongs = end;
	unsigned found = 0;

	for (unsigned i = 0; i < RDDR_MAX_INSTANCES; i++)
		ends[i] = NULL;
	for (struct gather_end *e = end->loose ? g->waiting.first : NULL; e; e = e->next) {
		if (e->loose != end->loose || e->identity != end->identity || !e->bucket)
			continue;
		if (e->correlation[0] && belongs->correlation[0] && !same_correlation(e, belongs)) {
			if (belongs == end)
				continue;
			return false;
		}
		if (ends[e->instance])
			return false;
		belongs = belongs->correlation[0] ? belongs : e;
		ends[e->instance] = e;
		found++;
	}
	return found == g->n;
}

/* Report mode: instance 0 does not wait for ever, and goes with those who say the same, whoever's deadline it is. */
static bool go_on_without(const struct gather_end *end, struct gather_end *ends[])
{
	if (end->gather->service->enforcing || !end->bucket || !end->bucket->first[0])
		return false;
	find_like(end, ends);
	return true;
}

void rddr_gather_expire(struct gather_end *end)
{
	struct gather *g = end->gather;
	struct gather_end *ends[RDDR_MAX_INSTANCES];
	char missing[100] = "", why[160];
	size_t at = 0;

	if (find_loose(end, ends) || go_on_without(end, ends)) {
		rddr_gather_begin(g, ends);
		return;
	}
	if (end->bucket)
		find_like(end, ends);
	for (unsigned i = 0; i < g->n; i++) {
		if (i != end->instance && !(end->bucket && ends[i]) && at < sizeof(missing))
			at += (size_t)snprintf(missing + at, sizeof(missing) - at, "%s%s", at ? ", " : "",
					       g->service->instances[i].name);
	}
	snprintf(why, sizeof(why), "within %u ms nobody else said what %s says%s: %s%s", g->service->gather.partner,
		 g->service->instances[end->instance].name, end->correlation[0] ? " for that exchange" : "",
		 end->bucket ? "missing " : "it is not complete", end->bucket ? missing : "");
	rddr_gather_refuse(end, RDDR_DENIED_MISSING, why);
}
