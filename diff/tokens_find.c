/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tokens_find.c - what of a text are tokens.
 *
 * A text is cut into words and joints once. From each of them on, at most ELEMENTS_MAX ends are considered, and of
 * these the ones are looked up that a known length leads to, and that have not more joints than a token may have. So
 * the cost grows with the text: a byte that is looked at is looked at once more for each of these ends, which are few
 * where joints are few, and few that may be tokens where there are many.
 */
#include "tokens_session.h"

/* Words and joints from one place on: as many as a token may have, and where it is seen that there are more. */
#define ELEMENTS_MAX (2 * (JOINTS_MAX + 2))
/* The longest text of a token, encoded. */
#define TEXT_MAX (3 * RDDR_TOKEN_MAX)
/* The longest escape of one byte: \u002f. */
#define ESCAPE_MAX 6

/* A word, or a joint. Counts are from where the window was last empty. */
struct element {
	size_t end;   /* in the text */
	size_t plain; /* bytes up to there, decoded */
	size_t joints;
	size_t coded; /* where the last encoded joint up to there ends, */
	enum encoding how;
};

/* The words and joints from one place in the text on. It is moved along the text, and each of them is read once. */
struct window {
	size_t from, at; /* where it begins and ends */
	struct element before;
	struct element of[2 * ELEMENTS_MAX];
	unsigned first, n;
};

static void empty(struct window *w, size_t at)
{
	w->from = w->at = at;
	w->before = (struct element){0};
	w->first = w->n = 0;
}

static struct element last_of(const struct window *w)
{
	return w->n ? w->of[w->first + w->n - 1] : w->before;
}

static bool may_grow(const struct window *w, const struct element *last)
{
	return w->n < ELEMENTS_MAX && w->at - w->from < TEXT_MAX && last->plain - w->before.plain < RDDR_TOKEN_MAX &&
	       last->joints - w->before.joints <= JOINTS_MAX;
}

/* Takes what comes next; false: neither word nor joint. */
static bool take_element(struct slice s, size_t *at, struct element *e)
{
	enum encoding is = PLAIN;
	size_t k = *at;

	while (k < s.len && of_word(s.data[k]))
		k++;
	e->plain += k - *at;
	if (k == *at) {
		size_t step = joint_at(s, k, &is);

		if (!step)
			return false;
		k += step;
		e->plain++;
		e->joints++;
	}
	/* A text is encoded in one way. */
	if (is != PLAIN) {
		e->how = is;
		e->coded = k;
	}
	e->end = *at = k;
	return true;
}

static void fill(struct window *w, struct slice s)
{
	struct element e = last_of(w);

	if (w->first + ELEMENTS_MAX > sizeof(w->of) / sizeof(w->of[0])) {
		memmove(w->of, w->of + w->first, w->n * sizeof(w->of[0]));
		w->first = 0;
	}
	while (w->at < s.len && may_grow(w, &e) && take_element(s, &w->at, &e))
		w->of[w->first + w->n++] = e;
}

/* Lets it begin where a word, or a joint, or all of them end. */
static void move(struct window *w, size_t to)
{
	while (w->n && w->of[w->first].end <= to) {
		w->before = w->of[w->first++];
		w->n--;
	}
	w->from = to;
	if (!w->n)
		empty(w, to);
}

static uint8_t hex_byte(const uint8_t *digits)
{
	return (uint8_t)((unsigned)hex_value(digits[0]) << 4 | (unsigned)hex_value(digits[1]));
}

static size_t decode(struct slice s, enum encoding how, uint8_t *out, size_t room)
{
	size_t len = 0;

	for (size_t k = 0; k < s.len && len < room;) {
		enum encoding is = PLAIN;
		size_t step = joint_at(s, k, &is);

		if (how == PERCENT && is == PERCENT)
			out[len++] = hex_byte(s.data + k + 1);
		else if (how == BACKSLASH && is == BACKSLASH)
			out[len++] = step == 2 ? '/' : hex_byte(s.data + k + 4);
		else
			out[len++] = s.data[k], step = 1;
		k += step;
	}
	return len;
}

/* As encodeURIComponent() does, or a JSON writer that escapes slashes. */
static size_t encode(struct slice s, enum encoding how, uint8_t *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;

	for (size_t k = 0; k < s.len; k++) {
		uint8_t c = s.data[k];

		if (how == PERCENT && !of_word(c) && c != '.' && c != '~') {
			out[len++] = '%';
			out[len++] = (uint8_t)digits[c >> 4];
			out[len++] = (uint8_t)digits[c & 15];
			continue;
		}
		if (how == BACKSLASH && c == '/')
			out[len++] = '\\';
		out[len++] = c;
	}
	return len;
}

/* Whether a candidate is a token, as it stands or decoded; values get what each instance is to have in its place. */
static bool is_token(struct tokens *t, struct slice candidate, size_t plain_len, size_t joints, enum encoding how,
		     struct slice values[])
{
	uint8_t plain[RDDR_TOKEN_MAX];

	if (candidate.len >= RDDR_TOKEN_MIN && candidate.len <= RDDR_TOKEN_MAX &&
	    !too_many_joints(joints, candidate.len) && rddr_tokens_look_up(t, candidate, values))
		return true;
	if (how == PLAIN || plain_len < RDDR_TOKEN_MIN || plain_len > RDDR_TOKEN_MAX || candidate.len > TEXT_MAX ||
	    too_many_joints(joints, plain_len) || !rddr_tokens_length_known(t, plain_len))
		return false;
	struct slice decoded = {plain, decode(candidate, how, plain, sizeof(plain))};
	if (!rddr_tokens_look_up(t, decoded, values))
		return false;
	/* Instance 0 has what the client was given, so it may have it as the client writes it. */
	uint8_t *at = t->encoded;
	values[0] = candidate;
	for (unsigned i = 1; i < t->conf.n; i++) {
		size_t len = encode(values[i], how, at);

		values[i] = (struct slice){at, len};
		at += len;
	}
	return true;
}

/* The longest token that begins where the window does; its length, 0 when there is none. */
static size_t longest(struct tokens *t, struct slice text, const struct window *w, struct slice values[])
{
	for (unsigned n = w->n; n-- > 0;) {
		const struct element *e = &w->of[w->first + n];

		if (is_token(t, slice_cut(text, w->from, e->end - w->from), e->plain - w->before.plain,
			     e->joints - w->before.joints, e->coded > w->from ? e->how : PLAIN, values))
			return e->end - w->from;
	}
	return 0;
}

/* Whether what follows the text could make another candidate of the one at k, which is len bytes long so far. */
static bool may_go_on(struct slice text, size_t k, size_t len)
{
	/* An escape that is cut is a byte that joins nothing, or less than it will be. */
	return k + len + ESCAPE_MAX > text.len && text.len - k <= TEXT_MAX + ESCAPE_MAX;
}

/* How many bytes what is neither a word nor a joint has: the letter of an escape begins no word. */
static size_t separator_at(struct slice s, size_t k, bool json)
{
	if (!json || s.data[k] != '\\' || k + 1 >= s.len)
		return 1;
	if (s.data[k + 1] && strchr("nrtbf\"\\", s.data[k + 1]))
		return 2;
	if (s.data[k + 1] != 'u' || k + ESCAPE_MAX > s.len)
		return 1;
	for (size_t i = 2; i < ESCAPE_MAX; i++) {
		if (hex_value(s.data[k + i]) < 0)
			return 1;
	}
	return ESCAPE_MAX;
}

size_t rddr_tokens_find_some(struct tokens *t, struct slice text, bool more, struct tokens_place *place, tokens_fn each,
			     void *ctx)
{
	struct slice values[RDDR_MAX_INSTANCES] = {0};
	struct window w; /* not cleared: it is large */
	size_t k = 0;

	memset(t->missed, 0, sizeof(t->missed));
	while (place->in_word && k < text.len)
		place->in_word = of_word(text.data[k]) && ++k;
	empty(&w, k);
	while (k < text.len) {
		fill(&w, text);
		if (more && may_go_on(text, k, w.at - k))
			return k;
		size_t len = longest(t, text, &w, values);
		if (len)
			each(ctx, k, len, values);
		else
			len = w.n ? w.of[w.first].end - k : separator_at(text, k, place->json);
		k += len;
		place->in_word = w.n && k == text.len && of_word(text.data[k - 1]);
		move(&w, k);
	}
	return k;
}

void rddr_tokens_find(struct tokens *t, struct slice text, bool json, tokens_fn each, void *ctx)
{
	struct tokens_place place = {.json = json};

	rddr_tokens_find_some(t, text, false, &place, each, ctx);
}
