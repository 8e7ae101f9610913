/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fakehost.h - drives a plugin as the core does, and records what it asked for.
 *
 * A session here has its streams from the beginning; a test shows more and more of them to the plugin. Whatever breaks
 * the contract of rddr_diff.h ends the program with a message.
 */
#ifndef RDDR_TEST_FAKEHOST_H
#define RDDR_TEST_FAKEHOST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "noise_budget.h"
#include "rddr_diff.h"

#define FAKE_ENDS (RDDR_MAX_INSTANCES + 1)
#define FAKE_LONE RDDR_MAX_INSTANCES
#define FAKE_JOBS 32

struct fake_out {
	uint8_t *data;
	size_t len, room;
};

struct fake_stream {
	const uint8_t *data;
	size_t len;
	enum rddr_end_state end; /* behind the last byte */
	size_t shown, consumed;
	bool end_shown;
};

struct rddr_session {
	const struct rddr_diff_plugin *plugin;
	void *state, *params;
	unsigned n;
	struct fake_stream in[FAKE_ENDS];
	struct fake_out out[FAKE_ENDS];

	struct noise_budget budget;
	struct noise_account account;

	size_t source;	 /* of instance 0: bytes released or discarded */
	size_t released; /* of them released */
	size_t modified; /* where the plugin's segments have got to */
	bool in_diff, in_modify, in_denial;
	bool parted;
	bool may_repeat, may_not_repeat; /* what the last call of modify_traffic said; whether any said no */
	bool holds;			 /* modify_traffic wants the many to say more */
	unsigned neutrals, answers, logs, calls;
	uint64_t neutral_state;
	uint32_t rests; /* a bit for each instance */
	bool boundary;
	size_t out_before; /* what the lone end was sent before the call that is under way */

	enum rddr_verdict verdict; /* the last one */
	struct rddr_finding finding;
	size_t finding_at; /* in the streams */
	char rejected[160];

	struct fake_job {
		void (*work)(void *job);
		void (*done)(void *state, void *job);
		void *job;
	} jobs[FAKE_JOBS];
	unsigned n_jobs;
	size_t concealed[FAKE_ENDS]; /* up to there in the stream; SIZE_MAX: whatever comes */
	bool finished, again;
	uint64_t marks[FAKE_ENDS];
	uint64_t counted[RDDR_COUNTED];
	char correlation[RDDR_CORRELATION];
};

static inline void fake_fail(const char *what)
{
	fprintf(stderr, "fakehost: the plugin broke the contract: %s\n", what);
	abort();
}

static inline void fake_need(bool holds, const char *what)
{
	if (!holds)
		fake_fail(what);
}

static inline void fake_append(struct fake_out *out, const void *data, size_t len)
{
	if (len == 0)
		return;
	if (!out->data || out->room - out->len < len) {
		out->room = (out->len + len) * 2;
		out->data = realloc(out->data, out->room);
		if (!out->data)
			abort();
	}
	memcpy(out->data + out->len, data, len);
	out->len += len;
}

static inline void fake_emit(struct rddr_session *s, uint32_t end, const void *data, size_t len)
{
	fake_need(end == RDDR_LONE || end < s->n, "emits to an end that there is not");
	fake_append(&s->out[end == RDDR_LONE ? FAKE_LONE : end], data, len);
}

/* How much of the source is consumed is known when the call returns; fake_diff looks. */
static inline void fake_release(struct rddr_session *s, size_t len)
{
	fake_need(s->in_diff && s->source + len <= s->in[0].shown, "releases what is not there");
	fake_append(&s->out[FAKE_LONE], s->in[0].data + s->source, len);
	s->source += len;
	s->released += len;
}

static inline void fake_discard(struct rddr_session *s, size_t len)
{
	fake_need(s->in_diff && s->source + len <= s->in[0].shown, "discards what is not there");
	s->source += len;
}

static inline void fake_segment_own(struct rddr_session *s, unsigned instance, const void *data, size_t len)
{
	fake_need(s->in_modify && instance < s->n, "makes a segment out of place");
	fake_append(&s->out[instance], data, len);
}

static inline void fake_segment_ref(struct rddr_session *s, unsigned instance, size_t offset, size_t len)
{
	const struct fake_stream *lone = &s->in[FAKE_LONE];

	fake_need(len <= lone->shown - lone->consumed && offset <= lone->shown - lone->consumed - len,
		  "makes a segment of what is not there");
	fake_segment_own(s, instance, lone->data + lone->consumed + offset, len);
}

static inline void fake_neutral(struct rddr_session *s, uint64_t state)
{
	s->neutrals++;
	s->neutral_state = state;
}

static inline void fake_rest(struct rddr_session *s, unsigned instance)
{
	fake_need(s->in_diff && instance < s->n, "rests an instance that there is not, or out of place");
	s->rests |= 1u << instance;
}

static inline bool fake_charge_noise(struct rddr_session *s, size_t run)
{
	fake_need(s->in_diff && run > 0, "charges noise out of place");
	return rddr_noise_budget_charge(&s->account, &s->budget, run);
}

static inline void fake_begin_answer(struct rddr_session *s)
{
	s->answers++;
	rddr_noise_budget_begin(&s->account);
}

static inline void fake_log(struct rddr_session *s, const char *text)
{
	fake_need(text && *text, "logs nothing");
	s->logs++;
}

static inline bool fake_offload(struct rddr_session *s, void (*work)(void *job), void (*done)(void *state, void *job),
				void *job)
{
	if (s->n_jobs == FAKE_JOBS)
		return false;
	s->jobs[s->n_jobs++] = (struct fake_job){work, done, job};
	return true;
}

static inline void fake_conceal(struct rddr_session *s, uint32_t end, size_t len)
{
	fake_need(end == RDDR_LONE || end < s->n, "conceals an end that there is not");
	end = end == RDDR_LONE ? FAKE_LONE : end;
	s->concealed[end] = len == SIZE_MAX ? SIZE_MAX : s->in[end].consumed + len;
}

static inline void fake_finish(struct rddr_session *s)
{
	s->finished = true;
}

static inline void fake_count(struct rddr_session *s, enum rddr_counted what, uint64_t n)
{
	fake_need((unsigned)what < RDDR_COUNTED, "counts what there is not");
	s->counted[what] += n;
}

/* Does the jobs that were offloaded, in order, those too that they lead to; lives: the session still does. The caller
 * asks the plugin anew. True when there was one. */
static inline bool fake_work(struct rddr_session *s, bool lives)
{
	unsigned done = 0;

	for (; done < s->n_jobs; done++) {
		struct fake_job job = s->jobs[done];

		if (lives)
			job.work(job.job);
		job.done(lives ? s->state : NULL, job.job);
	}
	s->n_jobs = 0;
	return done > 0;
}

static inline void fake_repeat(struct rddr_session *s, bool may)
{
	fake_need(s->in_modify, "says what may be repeated out of place");
	s->may_repeat = may;
	s->may_not_repeat |= !may;
}

/* No connection was ever idle here. */
static inline bool fake_resend(struct rddr_session *s, unsigned instance)
{
	fake_need(s->in_diff && instance < s->n, "asks for an instance that there is not, or out of place");
	return false;
}

static inline void fake_part(struct rddr_session *s)
{
	fake_need(s->in_diff, "parts out of place");
	s->parted = true;
}

/* Nothing is encrypted here. */
static inline enum rddr_tls fake_tls(const struct rddr_session *s, uint32_t end)
{
	(void)s;
	fake_need(end == RDDR_LONE || end < RDDR_MAX_INSTANCES, "tls: an end that is none");
	return RDDR_TLS_NONE;
}

static inline bool fake_start_tls(struct rddr_session *s, uint32_t end)
{
	(void)s;
	(void)end;
	fake_fail("start_tls: the end has no TLS");
	return false;
}

static inline void fake_again(struct rddr_session *s)
{
	s->again = true;
}

static inline void fake_mark(struct rddr_session *s, uint32_t end, uint64_t mark)
{
	fake_need(end == RDDR_LONE || end < s->n, "marks an end that there is not");
	s->marks[end == RDDR_LONE ? FAKE_LONE : end] = mark;
}

static inline uint64_t fake_marked(const struct rddr_session *s, uint32_t end)
{
	fake_need(end == RDDR_LONE || end < s->n, "asks for the mark of an end that there is not");
	return s->marks[end == RDDR_LONE ? FAKE_LONE : end];
}

/* Nothing is reported here. */
static inline void fake_hold(struct rddr_session *s, bool on)
{
	(void)s;
	(void)on;
}

static inline void fake_correlate(struct rddr_session *s, const char *id)
{
	fake_need(strlen(id) < sizeof(s->correlation), "calls an exchange something too long");
	memcpy(s->correlation, id, strlen(id) + 1);
}

static const struct rddr_host fake_host = {
	.size = sizeof(fake_host),
	.version = RDDR_DIFF_ABI,
	.emit = fake_emit,
	.release = fake_release,
	.discard = fake_discard,
	.segment_ref = fake_segment_ref,
	.segment_own = fake_segment_own,
	.neutral = fake_neutral,
	.charge_noise = fake_charge_noise,
	.begin_answer = fake_begin_answer,
	.log = fake_log,
	.rest = fake_rest,
	.count = fake_count,
	.offload = fake_offload,
	.conceal = fake_conceal,
	.finish = fake_finish,
	.repeat = fake_repeat,
	.resend = fake_resend,
	.tls = fake_tls,
	.start_tls = fake_start_tls,
	.part = fake_part,
	.again = fake_again,
	.mark = fake_mark,
	.marked = fake_marked,
	.hold = fake_hold,
	.correlate = fake_correlate,
};

/* Fills in what args lacks, and begins; params is JSON text or NULL. 0 or the plugin's error. */
static inline int fake_create(struct rddr_session *s, const struct rddr_diff_plugin *plugin, const char *params,
			      struct rddr_diff_create *args)
{
	char err[256] = "";
	int r = 0;

	s->plugin = plugin;
	s->n = args->instances;
	args->size = sizeof(*args);
	args->service = "test";
	if (!args->limit)
		args->limit = 1 << 20;
	args->host = &fake_host;
	args->session = s;
	args->noise_run = s->budget.run;
	if (params)
		r = plugin->validate_params(params, &s->params, err, sizeof(err));
	if (r < 0) {
		fake_need(err[0] != '\0', "refuses without a message");
		return r;
	}
	args->params = s->params;
	return plugin->create ? plugin->create(args, &s->state) : 0;
}

/* Begins a session of n instances. The streams are set by the caller. */
static inline int fake_begin_within(struct rddr_session *s, const struct rddr_diff_plugin *plugin, unsigned n,
				    bool filter, const char *params, struct noise_budget budget)
{
	struct rddr_diff_create args = {
		.direction = RDDR_INCOMING, .instances = n, .do_filter = filter, .repeat = 64 << 10};

	memset(s, 0, sizeof(*s));
	s->budget = budget;
	return fake_create(s, plugin, params, &args);
}

/* The same of an outgoing service; nobody had a reply of opening. */
static inline int fake_begin_outgoing(struct rddr_session *s, const struct rddr_diff_plugin *plugin, unsigned n,
				      const char *params)
{
	static const size_t none[RDDR_MAX_INSTANCES];
	struct rddr_diff_create args = {.direction = RDDR_OUTGOING, .instances = n, .replied = none};

	memset(s, 0, sizeof(*s));
	s->budget = (struct noise_budget){.run = 256, .share = 20};
	return fake_create(s, plugin, params, &args);
}

/* What the operation opening says of a connection; with result filled. The view is a copy that ends where it does. */
static inline enum rddr_opens fake_open(struct rddr_session *s, const struct rddr_diff_plugin *plugin,
					const void *params, const void *data, size_t len,
					struct rddr_opening_result *result)
{
	void *copy = len ? malloc(len) : NULL;
	struct rddr_view view = {.len = len};
	struct rddr_opening opening = {.size = sizeof(opening),
				       .params = params,
				       .host = &fake_host,
				       .session = s,
				       .view = &view,
				       .limit = 1 << 20,
				       .instances = 2};

	if (len && !copy)
		abort();
	view.data = len ? memcpy(copy, data, len) : NULL;
	*result = (struct rddr_opening_result){.size = sizeof(*result)};
	enum rddr_opens opens = plugin->opening(&opening, result);
	free(copy);
	fake_need(opens != RDDR_OPENS_NOT || result->why[0], "refuses and does not say why");
	return opens;
}

static inline int fake_begin(struct rddr_session *s, const struct rddr_diff_plugin *plugin, unsigned n, bool filter,
			     const char *params)
{
	return fake_begin_within(s, plugin, n, filter, params, (struct noise_budget){.run = 256, .share = 20});
}

static inline void fake_end(struct rddr_session *s)
{
	if (s->plugin->destroy && s->state)
		s->plugin->destroy(s->state);
	if (s->plugin->free_params && s->params)
		s->plugin->free_params(s->params);
	for (unsigned i = 0; i < FAKE_ENDS; i++)
		free(s->out[i].data);
}

static inline void fake_set(struct fake_stream *in, const void *data, size_t len, enum rddr_end_state end)
{
	*in = (struct fake_stream){.data = data, .len = len, .end = end};
}

/*
 * A view of what is shown and not consumed. It is a copy that ends where the view does, freed by the caller: a plugin
 * that looks behind it is seen by the address sanitizer and by valgrind.
 */
static inline struct rddr_view fake_view(const struct fake_stream *in, void **copy)
{
	size_t len = in->shown - in->consumed;
	struct rddr_view view = {.len = len, .end = in->end_shown ? in->end : RDDR_END_OPEN};

	*copy = NULL;
	if (len == 0)
		return view;
	*copy = malloc(len);
	if (!*copy)
		abort();
	view.data = memcpy(*copy, in->data + in->consumed, len);
	return view;
}

static inline void fake_take_result(struct rddr_session *s, const struct rddr_view views[],
				    const struct rddr_diff_result *result)
{
	size_t progress = 0;

	for (unsigned i = 0; i < s->n; i++) {
		fake_need(result->consumed[i] <= views[i].len, "consumes more than it was shown");
		s->in[i].consumed += result->consumed[i];
		progress += result->consumed[i];
	}
	/* Bytes of the plugin's own are progress too, as when an answer ends with its connection. */
	fake_need(s->verdict != RDDR_AGREE || progress > 0 || s->out[FAKE_LONE].len > s->out_before,
		  "agrees and makes no progress");
	fake_need(s->verdict != RDDR_WAIT || progress == 0, "waits and makes progress");
	fake_release(s, result->release);
	fake_need(s->source <= s->in[0].consumed, "releases what it did not consume");
	rddr_noise_budget_note(&s->account, result->consumed[0]);
	if (progress)
		s->boundary = result->boundary;
}

/* Calls diff_traffic once. */
static inline enum rddr_verdict fake_diff_once(struct rddr_session *s)
{
	struct rddr_diff_result result = {.size = sizeof(result)};
	struct rddr_view views[RDDR_MAX_INSTANCES];
	void *copies[RDDR_MAX_INSTANCES] = {0};

	for (unsigned i = 0; i < s->n; i++)
		views[i] = fake_view(&s->in[i], &copies[i]);
	s->in_diff = true;
	s->out_before = s->out[FAKE_LONE].len;
	s->calls++;
	s->verdict = s->plugin->diff_traffic(s->state, views, s->n, &result);
	if (s->verdict == RDDR_DIVERGE) {
		fake_need(result.finding.why[0] != '\0', "diverges and does not say why");
		fake_need(result.finding.instance < s->n && result.finding.other < s->n, "names no instance");
		fake_need(result.finding.instance != result.finding.other, "names one instance twice");
		s->finding = result.finding;
		s->finding_at = s->in[result.finding.instance].consumed + result.finding.offset;
	} else {
		fake_take_result(s, views, &result);
	}
	s->in_diff = false;
	for (unsigned i = 0; i < s->n; i++)
		free(copies[i]);
	return s->verdict;
}

/* Calls diff_traffic as long as it makes progress. False: it diverged. */
static inline bool fake_diff(struct rddr_session *s)
{
	while (fake_diff_once(s) == RDDR_AGREE)
		;
	return s->verdict != RDDR_DIVERGE;
}

static inline void fake_show(struct fake_stream *in, size_t bytes)
{
	in->shown += bytes < in->len - in->shown ? bytes : in->len - in->shown;
	in->end_shown |= in->shown == in->len;
}

/* Shows everything at once. */
static inline bool fake_diff_whole(struct rddr_session *s)
{
	for (unsigned i = 0; i < s->n; i++)
		fake_show(&s->in[i], SIZE_MAX);
	return fake_diff(s);
}

/* Shows a stream after the other a byte more; ends come after the last bytes. */
static inline bool fake_diff_dribbled(struct rddr_session *s)
{
	bool more = true;

	while (more) {
		more = false;
		for (unsigned i = 0; i < s->n; i++) {
			struct fake_stream *in = &s->in[i];

			if (in->end_shown)
				continue;
			if (in->shown == in->len)
				in->end_shown = true;
			else
				in->shown++;
			more = true;
			if (!fake_diff(s))
				return false;
		}
	}
	return true;
}

/* xorshift: the same on every machine. */
static inline uint32_t fake_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return (uint32_t)(*seed >> 16);
}

/* Shows pieces of at most largest bytes of streams in any order. */
static inline bool fake_diff_chunked(struct rddr_session *s, uint64_t seed, size_t largest)
{
	unsigned left = 0;

	for (unsigned i = 0; i < s->n; i++)
		left += !s->in[i].end_shown;
	while (left > 0) {
		struct fake_stream *in = &s->in[fake_random(&seed) % s->n];

		if (in->end_shown)
			continue;
		in->shown += fake_random(&seed) % (largest + 1);
		if (in->shown > in->len)
			in->shown = in->len;
		if (in->shown == in->len && fake_random(&seed) % 2) {
			in->end_shown = true;
			left--;
		}
		if (fake_random(&seed) % 4 && !fake_diff(s))
			return false;
	}
	return fake_diff(s);
}

/* Calls modify_traffic as long as it makes progress. False: it rejected. */
static inline bool fake_modify(struct rddr_session *s)
{
	struct fake_stream *lone = &s->in[FAKE_LONE];
	enum rddr_modify modify;

	do {
		struct rddr_modify_result result = {.size = sizeof(result)};
		void *copy;
		struct rddr_view view = fake_view(lone, &copy);

		s->in_modify = true;
		modify = s->plugin->modify_traffic(s->state, &view, &result);
		s->in_modify = false;
		fake_need(result.consumed <= view.len, "consumes more than it was shown");
		fake_need((modify != RDDR_MODIFY_WAIT && modify != RDDR_MODIFY_HOLD) || result.consumed == 0,
			  "waits and makes progress");
		s->holds = modify == RDDR_MODIFY_HOLD;
		for (unsigned i = 0; i < s->n && modify == RDDR_SAME_FOR_ALL; i++)
			fake_append(&s->out[i], view.data, result.consumed);
		free(copy);
		if (modify == RDDR_REJECT) {
			fake_need(result.why[0] != '\0', "rejects and does not say why");
			memcpy(s->rejected, result.why, sizeof(s->rejected));
			return false;
		}
		lone->consumed += result.consumed;
		if (result.consumed == 0)
			break;
	} while (modify != RDDR_MODIFY_WAIT && lone->consumed < lone->shown);
	return true;
}

#endif
