/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skeleton.c - a complete small diff plugin, made to be copied.
 *
 * It judges a line protocol: the lone end sends a line, the many answer it with a line each. Replace the line by
 *whatever a message is in your protocol, and most of this stays. It needs nothing of RDDR but the installed header; see
 *rddr-diff(3) for every operation and service:
 *
 *	cc -std=gnu11 -D_GNU_SOURCE -O2 -fPIC -shared -o mine.so mine.c -ljson-c
 *
 *	services:
 *	  mine:
 *	    diff-class: /usr/local/lib/rddr/mine.so
 *	    diff-params: { max-line: 512, translate: "@INSTANCE@" }
 *
 * Parameters: max-line is the longest line, in bytes without its end (default 1024; 1 to 65536). translate is a word
 *that is replaced by the instance's number wherever a request has it, so that each instance gets a request of its own.
 *
 * What to keep in mind when making it your own:
 *   - nothing is released that was not compared, or written by you;
 *   - bytes arrive in any pieces: a byte at a time is to give the same verdicts as everything at once;
 *   - a view shows again what was not consumed, so nothing needs to be kept between calls but a position's meaning;
 *   - no sockets, no threads, no clock, no globals that are written to: sessions run on several threads.
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rddr_diff.h>

#define MAX_LINE_DEFAULT 1024
#define MAX_LINE_MOST	 65536

/* What diff-params say. One for the service, read by all of its sessions. */
struct params {
	size_t max_line;
	char translate[64]; /* empty: nothing is replaced */
	size_t translate_len;
};

/* One session. */
struct session {
	const struct rddr_host *host;
	struct rddr_session *handle; /* what the host wants to be given back */
	const struct params *params;
	unsigned instances;
	bool do_filter;
	uint64_t asked, answered; /* lines from the lone end, lines from the many */
};

/* A line within a view. */
struct line {
	const uint8_t *text;
	size_t len;   /* without its end */
	size_t whole; /* with it; what is consumed */
};

/* ---- parameters ---- */

/* Messages open with the path of the key, as the operator wrote it. */
static int read_param(struct params *params, const char *key, json_object *value, char *err, size_t errlen)
{
	if (strcmp(key, "max-line") == 0) {
		int64_t n = json_object_get_int64(value);

		if (!json_object_is_type(value, json_type_int) || n < 1 || n > MAX_LINE_MOST) {
			snprintf(err, errlen, "diff-params.max-line: %s: must be a number from 1 to %d",
				 json_object_to_json_string(value), MAX_LINE_MOST);
			return -EINVAL;
		}
		params->max_line = (size_t)n;
		return 0;
	}
	if (strcmp(key, "translate") == 0) {
		size_t len =
			json_object_is_type(value, json_type_string) ? (size_t)json_object_get_string_len(value) : 0;

		if (len == 0 || len >= sizeof(params->translate)) {
			snprintf(err, errlen, "diff-params.translate: %s: must be a word of 1 to %zu bytes",
				 json_object_to_json_string(value), sizeof(params->translate) - 1);
			return -EINVAL;
		}
		memcpy(params->translate, json_object_get_string(value), len);
		params->translate_len = len;
		return 0;
	}
	snprintf(err, errlen, "diff-params.%s: no such key: there are max-line and translate", key);
	return -EINVAL;
}

/* Called when a config is read, also by `rddrd --check`: whatever is wrong has to come out here, not in a session. */
static int validate_params(const char *json, void **out, char *err, size_t errlen)
{
	json_object *object = json_tokener_parse(json);
	struct params *params = calloc(1, sizeof(*params));
	int r = 0;

	if (!params || !json_object_is_type(object, json_type_object)) {
		snprintf(err, errlen, "diff-params: %s", params ? "must be a mapping" : "out of memory");
		r = params ? -EINVAL : -ENOMEM;
	} else {
		params->max_line = MAX_LINE_DEFAULT;
		json_object_object_foreach(object, key, value)
		{
			if (r == 0)
				r = read_param(params, key, value, err, errlen);
		}
	}
	json_object_put(object);
	if (r < 0) {
		free(params);
		return r;
	}
	*out = params;
	return 0;
}

static void free_params(void *params)
{
	free(params);
}

/* ---- sessions ---- */

/* A plugin may refuse a session; it is then denied. */
static int create(const struct rddr_diff_create *args, void **state)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->host = args->host;
	s->handle = args->session;
	s->params = args->params;
	s->instances = args->instances;
	s->do_filter = args->do_filter;
	*state = s;
	return 0;
}

static void destroy(void *state)
{
	free(state);
}

/*
 * Finds the first line of a view. False: it is not complete yet. Where the stream is over, what is left is a line
 * without an end; whether there is anything left is the caller's to look at.
 */
static bool first_line(const struct rddr_view *view, struct line *line)
{
	const uint8_t *end = view->len ? memchr(view->data, '\n', view->len) : NULL;

	if (!end && view->end == RDDR_END_OPEN)
		return false;
	line->text = view->data;
	line->whole = end ? (size_t)(end - view->data) + 1 : view->len;
	line->len = end ? line->whole - 1 : line->whole;
	/* "\r\n" and "\n" mean the same here, so the one is no divergence from the other. */
	if (end && line->len > 0 && line->text[line->len - 1] == '\r')
		line->len--;
	return true;
}

/* ---- judging ---- */

/* Says where and why; offset counts from the beginning of the views. The operator reads this in the evidence. */
static enum rddr_verdict diverge(const struct session *s, struct rddr_diff_result *result, unsigned instance,
				 unsigned other, size_t offset, const char *why)
{
	struct rddr_finding *finding = &result->finding;

	finding->instance = instance;
	finding->other = other;
	finding->offset = offset;
	snprintf(finding->where, sizeof(finding->where), "line %llu", (unsigned long long)s->answered + 1);
	snprintf(finding->why, sizeof(finding->why), "%s", why);
	return RDDR_DIVERGE;
}

/* Where two lines first differ; the shorter one's length when it is the beginning of the other. */
static size_t first_difference(const struct line *a, const struct line *b)
{
	size_t shorter = a->len < b->len ? a->len : b->len, i = 0;

	while (i < shorter && a->text[i] == b->text[i])
		i++;
	return i;
}

static bool same(const struct line *a, const struct line *b, size_t *offset)
{
	*offset = first_difference(a, b);
	return *offset == a->len && *offset == b->len;
}

static bool is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/*
 * Whether line i is the same as line 0 but for the noise: places in which the filter pair (instances 0 and 1) differs.
 * What others have there has to be of the kind that the pair shows; here, letters and digits for letters and digits. A
 * random token of the pair agrees in some places by chance: noise.h of RDDR's own plugins widens noise to whole words,
 * which a plugin for real use should do as well.
 */
static bool same_but_noise(const struct line lines[], unsigned i, size_t *offset)
{
	const struct line *a = &lines[0], *b = &lines[1], *c = &lines[i];

	*offset = first_difference(a, c);
	if (a->len != c->len)
		return false;
	for (; *offset < a->len; (*offset)++) {
		uint8_t x = a->text[*offset], y = b->text[*offset], z = c->text[*offset];

		if (z == x || z == y)
			continue;
		if (x == y || !is_alnum(x) || !is_alnum(y) || !is_alnum(z))
			return false;
	}
	return true;
}

/*
 * Tells the host of each run of noise. It may say no: a pair that differs by much has no noise, it disagrees. The
 * budget is the core's so that no plugin has to, or can, decide how much may go uncompared.
 */
static bool noise_is_affordable(const struct session *s, const struct line lines[], size_t *offset)
{
	const struct line *a = &lines[0], *b = &lines[1];

	for (size_t i = 0; i < a->len;) {
		size_t run = 0;

		while (i + run < a->len && a->text[i + run] != b->text[i + run])
			run++;
		*offset = i;
		if (run > 0 && !s->host->charge_noise(s->handle, run))
			return false;
		i += run + 1;
	}
	return true;
}

/* Compares the lines of all who are present. */
static enum rddr_verdict compare(const struct session *s, const struct rddr_view views[], const struct line lines[],
				 unsigned n, struct rddr_diff_result *result)
{
	/* When one of the pair is gone there is nothing to tell noise by. */
	bool filter = s->do_filter && views[0].end != RDDR_END_ABSENT && views[1].end != RDDR_END_ABSENT;
	unsigned first = 0;
	size_t offset;

	while (views[first].end == RDDR_END_ABSENT)
		first++;
	if (filter && lines[0].len != lines[1].len)
		return diverge(s, result, 1, 0, first_difference(&lines[0], &lines[1]),
			       "differs from its twin in length");
	if (filter && !noise_is_affordable(s, lines, &offset))
		return diverge(s, result, 1, 0, offset, "differs from its twin past the noise budget");
	for (unsigned i = filter ? 2 : first + 1; i < n; i++) {
		if (views[i].end == RDDR_END_ABSENT)
			continue;
		if (!(filter ? same_but_noise(lines, i, &offset) : same(&lines[first], &lines[i], &offset)))
			return diverge(s, result, i, first, offset, "differs");
	}
	return RDDR_AGREE;
}

/* Also an instance must not make us hold more and more. The '\r' in an unfinished line may turn out to belong to its
 * end. */
static bool too_long(const struct session *s, const struct rddr_view *view, const struct line *line)
{
	return line->text ? line->len > s->params->max_line : view->len > s->params->max_line + 1;
}

/*
 * The heart of it. Called whenever bytes or an end arrived from one of the many; called again as long as it consumes.
 * One line of each is judged at a time, and only when all of them are there: that is what makes the verdict the same
 * however the bytes arrive.
 */
static enum rddr_verdict diff_traffic(void *state, const struct rddr_view views[], unsigned n,
				      struct rddr_diff_result *result)
{
	struct session *s = state;
	struct line lines[RDDR_MAX_INSTANCES] = {0};
	unsigned over = n, speaking = n;
	bool waiting = false;

	for (unsigned i = 0; i < n; i++) {
		bool complete;

		/* Somebody who takes no more part is passed over, never compared. */
		if (views[i].end == RDDR_END_ABSENT)
			continue;
		complete = first_line(&views[i], &lines[i]);
		if (too_long(s, &views[i], &lines[i]))
			return diverge(s, result, i, i == 0 && n > 1, s->params->max_line, "the line is too long");
		waiting |= !complete;
		if (complete && views[i].len == 0)
			over = i;
		else if (complete)
			speaking = i;
	}
	/* Nothing is held back for longer than it must be, but nothing is judged early either. */
	if (waiting || speaking == n)
		return RDDR_WAIT;
	if (over < n)
		return diverge(s, result, over, speaking, 0, "ended early");

	/* An answer begins: its share of noise is counted by itself. */
	s->host->begin_answer(s->handle);
	if (compare(s, views, lines, n, result) == RDDR_DIVERGE)
		return RDDR_DIVERGE;

	/* Lines may differ in their ends, so each stream has its own number. Instance 0's bytes are the ones that are
	 * let out. */
	for (unsigned i = 0; i < n; i++)
		result->consumed[i] = lines[i].whole;
	result->release = result->consumed[0];
	result->boundary = true;
	s->answered++;
	/* Every request has its answer: an instance that closes here loses nothing, and can be dialled again when it is
	 * needed. */
	if (s->answered >= s->asked)
		s->host->neutral(s->handle, 0);
	return RDDR_AGREE;
}

/* ---- what the lone end says ---- */

/* Gives every instance the line, with its own number for each occurrence of the word. */
static void translate(const struct session *s, const struct rddr_view *view, size_t from, size_t to)
{
	const struct params *params = s->params;
	const uint8_t *found;
	char number[16];

	/* No copy where there is nothing to replace: a reference into the view. */
	while ((found = memmem(view->data + from, to - from, params->translate, params->translate_len))) {
		size_t at = (size_t)(found - view->data);

		for (unsigned i = 0; i < s->instances; i++) {
			s->host->segment_ref(s->handle, i, from, at - from);
			snprintf(number, sizeof(number), "%u", i);
			s->host->segment_own(s->handle, i, number, strlen(number));
		}
		from = at + params->translate_len;
	}
	for (unsigned i = 0; i < s->instances; i++)
		s->host->segment_ref(s->handle, i, from, to - from);
}

static enum rddr_modify reject(struct rddr_modify_result *result, const struct params *params)
{
	snprintf(result->why, sizeof(result->why), "a line is longer than max-line, which is %zu", params->max_line);
	return RDDR_REJECT;
}

/* Takes as many whole lines as there are. What is rejected reaches no instance, and the session is denied. */
static enum rddr_modify modify_traffic(void *state, const struct rddr_view *view, struct rddr_modify_result *result)
{
	struct session *s = state;
	const struct params *params = s->params;
	struct rddr_view rest = *view;
	struct line line;

	while (rest.len > 0 && first_line(&rest, &line)) {
		if (line.len > params->max_line) {
			/* What came before it is as good as when it had come by itself. */
			if (result->consumed > 0)
				break;
			return reject(result, params);
		}
		result->consumed += line.whole;
		rest.data += line.whole;
		rest.len -= line.whole;
		s->asked++;
	}
	if (result->consumed == 0)
		return rest.len > params->max_line + 1 ? reject(result, params) : RDDR_MODIFY_WAIT;
	if (params->translate_len == 0)
		return RDDR_SAME_FOR_ALL;
	translate(s, view, 0, result->consumed);
	return RDDR_SEGMENTS;
}

/* ---- the end ---- */

/*
 * What the lone end is told. Only whole lines are ever released, so a line can follow. In a protocol in which a message
 * may have been cut in the middle (denial->mid_message) it is better to emit nothing: the connection is then reset, and
 * nobody takes a part for the whole.
 */
static void render_denial(void *state, const struct rddr_denial *denial)
{
	struct session *s = state;
	char text[128];
	int len = snprintf(text, sizeof(text), "denied %s\r\n", denial->reference);

	s->host->emit(s->handle, RDDR_LONE, text, (size_t)len < sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

/* The one thing that is exported. The loader looks at abi and size before any code of this file runs. */
const struct rddr_diff_plugin rddr_diff_plugin = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(rddr_diff_plugin),
	.name = "skeleton",
	.validate_params = validate_params,
	.free_params = free_params,
	.create = create,
	.destroy = destroy,
	.diff_traffic = diff_traffic,
	.modify_traffic = modify_traffic,
	.render_denial = render_denial,
};
