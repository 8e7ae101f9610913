/* SPDX-License-Identifier: BSD-2-Clause */
#include "body_bytes.h"

#include <stdio.h>
#include <string.h>

/* For how many bytes a doubtful one waits where the host does not say how long noise may be. */
#define PATIENCE 4096

/* What the views of one call have in common. */
struct front {
	unsigned first; /* of the present ones */
	size_t len;	/* every present view is at least so long */
	bool ended;	/* a stream ends there */
	bool more;	/* another goes on */
	bool open;	/* another has only got there */
};

/* A stretch in which something differs, looked at as far as it can be. */
struct stretch {
	size_t end;	 /* of what was looked at */
	size_t doubtful; /* the first position at which another instance's byte does not fit; end when there is none */
	size_t differs;	 /* the first position at which another instance has neither of the pair's bytes; end when there
			    is none */
	unsigned who;	 /* the instance with the doubtful, or differing, byte */
	bool decided;	 /* nothing that may still come makes a doubtful byte fit */
	struct noise_walk walk;
};

static bool present(const struct rddr_view *view)
{
	return view->end != RDDR_END_ABSENT;
}

/* False: nobody is there. */
static bool survey(const struct rddr_view views[], unsigned n, struct front *front)
{
	*front = (struct front){.first = n, .len = SIZE_MAX};
	for (unsigned i = 0; i < n; i++) {
		if (!present(&views[i]))
			continue;
		if (front->first == n)
			front->first = i;
		if (views[i].len < front->len)
			front->len = views[i].len;
	}
	for (unsigned i = front->first; i < n; i++) {
		if (!present(&views[i]))
			continue;
		front->more |= views[i].len > front->len;
		front->ended |= views[i].len == front->len && views[i].end != RDDR_END_OPEN;
		front->open |= views[i].len == front->len && views[i].end == RDDR_END_OPEN;
	}
	return front->first < n;
}

/* Whether all have taken sides at the front, and not the same. */
static bool parts(const struct front *front)
{
	return front->ended && front->more && !front->open;
}

/* How far from position from on all present streams are the same, at most to the front. */
static size_t alike(const struct rddr_view views[], unsigned n, const struct front *front, size_t from)
{
	static const size_t block = 16384; /* stays in the cache while it is compared with each */
	size_t at = from;

	while (at < front->len) {
		size_t len = front->len - at < block ? front->len - at : block, same = len;

		for (unsigned i = front->first + 1; i < n; i++)
			if (present(&views[i]))
				same = rddr_noise_alike(views[front->first].data + at, views[i].data + at, same);
		at += same;
		if (same < len)
			break;
	}
	return at;
}

static enum rddr_verdict take(const struct rddr_view views[], unsigned n, size_t len, struct rddr_diff_result *result)
{
	for (unsigned i = 0; i < n; i++)
		result->consumed[i] = present(&views[i]) ? len : 0;
	result->release = result->consumed[0];
	return len ? RDDR_AGREE : RDDR_WAIT;
}

static enum rddr_verdict diverge(struct rddr_diff_result *result, unsigned instance, unsigned other, size_t offset)
{
	memset(result->consumed, 0, sizeof(result->consumed));
	result->release = 0;
	result->finding.instance = instance;
	result->finding.other = other;
	result->finding.offset = offset;
	return RDDR_DIVERGE;
}

/*
 * Of streams that have one value each at a place, finds the most common value (the lowest instance's among equals), and
 * sets other to the first instance that has it and instance to the first that has not.
 */
static void take_sides(const int values[], unsigned n, unsigned *instance, unsigned *other)
{
	unsigned most = 0;

	for (unsigned i = 0; i < n; i++) {
		unsigned votes = 0;

		for (unsigned k = 0; k < n; k++)
			votes += values[k] == values[i];
		if (values[i] >= 0 && votes > most) {
			most = votes;
			*other = i;
		}
	}
	for (unsigned i = n; i-- > 0;)
		if (values[i] >= 0 && values[i] != values[*other])
			*instance = i;
}

static enum rddr_verdict diverge_bytes(const struct rddr_view views[], unsigned n, size_t at,
				       struct rddr_diff_result *result)
{
	int values[RDDR_MAX_INSTANCES];
	unsigned instance = 0, other = 0;

	for (unsigned i = 0; i < n; i++)
		values[i] = present(&views[i]) ? views[i].data[at] : -1;
	take_sides(values, n, &instance, &other);
	snprintf(result->finding.why, sizeof(result->finding.why), "byte 0x%02x, where 0x%02x was expected",
		 values[instance], values[other]);
	return diverge(result, instance, other, at);
}

/* Some streams ended at the front and others go on. */
static enum rddr_verdict diverge_end(const struct rddr_view views[], unsigned n, size_t at,
				     struct rddr_diff_result *result)
{
	int values[RDDR_MAX_INSTANCES];
	unsigned instance = 0, other = 0;
	const char *why;

	for (unsigned i = 0; i < n; i++)
		values[i] = present(&views[i]) ? views[i].len > at : -1;
	take_sides(values, n, &instance, &other);
	if (values[instance])
		why = "goes on where others ended";
	else if (views[instance].end == RDDR_END_RESET)
		why = "was reset early";
	else
		why = "ended early";
	snprintf(result->finding.why, sizeof(result->finding.why), "%s", why);
	return diverge(result, instance, other, at);
}

static enum rddr_verdict compare_all(const struct rddr_view views[], unsigned n, const struct front *front,
				     struct rddr_diff_result *result)
{
	size_t same = alike(views, n, front, 0);

	if (same < front->len)
		return diverge_bytes(views, n, same, result);
	if (parts(front))
		return diverge_end(views, n, same, result);
	return take(views, n, same, result);
}

/* The first instance outside the pair whose byte there is neither of the pair's, or n. */
static unsigned odd_one(const struct rddr_view views[], unsigned n, size_t at)
{
	for (unsigned i = 2; i < n; i++)
		if (present(&views[i]) && views[i].data[at] != views[0].data[at] &&
		    views[i].data[at] != views[1].data[at])
			return i;
	return n;
}

/* The first instance whose byte there does not fit, or n. */
static unsigned misfit(const struct rddr_view views[], unsigned n, size_t at, enum noise_class class)
{
	for (unsigned i = 2; i < n; i++)
		if (present(&views[i]) &&
		    !rddr_noise_fits(class, views[0].data[at], views[1].data[at], views[i].data[at]))
			return i;
	return n;
}

/* Whether an instance's byte there can be no noise, however the pair goes on. */
static bool hopeless(const struct rddr_view views[], unsigned n, size_t at)
{
	for (unsigned i = 2; i < n; i++)
		if (present(&views[i]) && !rddr_noise_may_fit(views[0].data[at], views[1].data[at], views[i].data[at]))
			return true;
	return false;
}

/*
 * Looks at the span that the walk stands in, or that begins at position at, as far as it is there. It ends with the
 * last position that hangs together with the one before, at the first hopeless one, or where the streams do.
 */
static void look(const struct rddr_view views[], unsigned n, const struct front *front, size_t at,
		 const struct noise_walk *walk, struct stretch *s)
{
	const uint8_t *a = views[0].data, *b = views[1].data;
	enum noise_class class;

	*s = (struct stretch){.end = at, .walk = *walk, .who = n};
	while (s->end < front->len && !s->decided) {
		if (s->end > at && !rddr_noise_goes_on(&s->walk, rddr_noise_place(a[s->end], b[s->end])))
			break;
		rddr_noise_step(&s->walk, a[s->end], b[s->end]);
		s->decided = hopeless(views, n, s->end);
		s->end++;
	}
	s->decided |= s->end < front->len || front->ended;
	s->differs = at;
	while (s->differs < s->end && odd_one(views, n, s->differs) == n)
		s->differs++;
	class = rddr_noise_class(&s->walk);
	s->doubtful = s->differs;
	while (s->walk.noisy && s->doubtful < s->end && misfit(views, n, s->doubtful, class) == n)
		s->doubtful++;
	if (s->doubtful < s->end)
		s->who = s->walk.noisy ? misfit(views, n, s->doubtful, class) : odd_one(views, n, s->doubtful);
}

static enum rddr_verdict diverge_noise(const struct stretch *s, struct rddr_diff_result *result)
{
	struct rddr_finding *f = &result->finding;

	if (s->walk.noisy)
		snprintf(f->why, sizeof(f->why), "does not have the form of the pair's noise there (%s)",
			 rddr_noise_class_name(rddr_noise_class(&s->walk)));
	else
		snprintf(f->why, sizeof(f->why), "differs outside the pair's noise");
	return diverge(result, s->who, 0, s->doubtful);
}

static enum rddr_verdict diverge_budget(size_t at, struct rddr_diff_result *result)
{
	snprintf(result->finding.why, sizeof(result->finding.why), "differs from its twin past the noise budget");
	return diverge(result, 1, 0, at);
}

/* Takes the noise that lies at the beginning of the views, and what agrees behind it. */
static enum rddr_verdict take_noise(struct byte_judge *b, const struct rddr_view views[], unsigned n,
				    const struct front *front, const struct stretch *s, struct rddr_diff_result *result)
{
	size_t noise = s->doubtful, end = noise;

	if (noise == 0) {
		snprintf(result->finding.why, sizeof(result->finding.why),
			 "differs, and nothing followed that would make it noise of the pair");
		diverge(result, s->who, 0, 0);
		result->doubtful = true;
		return RDDR_WAIT;
	}
	if (!b->charge_noise(b->ctx, noise))
		return diverge_budget(0, result);
	b->walk = s->walk;
	b->walk.last = rddr_noise_place(views[0].data[noise - 1], views[1].data[noise - 1]);
	if (noise == s->end && s->decided) {
		end = alike(views, n, front, noise);
		rddr_noise_pass(&b->walk, views[0].data + noise, end - noise);
	}
	return take(views, n, end, result);
}

static enum rddr_verdict compare_filtered(struct byte_judge *b, const struct rddr_view views[], unsigned n,
					  const struct front *front, struct rddr_diff_result *result)
{
	struct noise_walk walk = b->walk;
	struct stretch s;
	size_t same = 0;

	/* Within noise also what happens to be alike is noise, until the span ends. */
	if (front->len == 0 || !walk.noisy ||
	    !rddr_noise_goes_on(&walk, rddr_noise_place(views[0].data[0], views[1].data[0]))) {
		same = alike(views, n, front, 0);
		rddr_noise_pass(&walk, views[0].data, same);
	}
	if (same == front->len) {
		if (parts(front))
			return diverge_end(views, n, same, result);
		b->walk = walk;
		return take(views, n, same, result);
	}
	look(views, n, front, same, &walk, &s);
	if (s.doubtful < s.end && s.decided)
		return diverge_noise(&s, result);
	if (s.end - s.doubtful > b->patience)
		return diverge_budget(s.doubtful, result);
	/* Noise is weighed against what was consumed before it. */
	if (same > 0) {
		b->walk = walk;
		return take(views, n, same, result);
	}
	return take_noise(b, views, n, front, &s, result);
}

enum rddr_verdict rddr_body_bytes_compare(struct byte_judge *b, const struct rddr_view views[], unsigned n,
					  struct rddr_diff_result *result)
{
	struct front front;

	if (!survey(views, n, &front))
		return RDDR_WAIT;
	/* A pair that has lost one cannot tell what noise is. */
	if (b->filter && present(&views[0]) && present(&views[1]))
		return compare_filtered(b, views, n, &front, result);
	return compare_all(views, n, &front, result);
}

void rddr_body_bytes_init(struct byte_judge *judge, bool filter, size_t noise_run, size_t limit,
			  bool (*charge_noise)(void *ctx, size_t run), void *ctx)
{
	*judge = (struct byte_judge){
		.filter = filter,
		.patience = noise_run ? noise_run : PATIENCE,
		.charge_noise = charge_noise,
		.ctx = ctx,
	};
	/* A view that is full gets no longer. */
	if (limit && judge->patience >= limit)
		judge->patience = limit - 1;
}
