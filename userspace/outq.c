/* SPDX-License-Identifier: BSD-2-Clause */
#include "outq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct segment *segments_of(struct outq *q)
{
	return q->segments ? q->segments : q->few;
}

static const struct segment *segments_of_const(const struct outq *q)
{
	return q->segments ? q->segments : q->few;
}

/* A place for one more behind the last, or NULL. */
static struct segment *append(struct outq *q)
{
	struct segment *s = segments_of(q);
	uint32_t room = q->room > OUTQ_INLINE ? q->room : OUTQ_INLINE;

	if (q->first + q->n < room)
		return &s[q->first + q->n++];
	if (q->first) {
		memmove(s, s + q->first, q->n * sizeof(*s));
		q->first = 0;
		return &s[q->n++];
	}

	struct segment *more = malloc(room * 2 * sizeof(*more));
	if (!more)
		return NULL;
	memcpy(more, s, q->n * sizeof(*s));
	free(q->segments);
	q->segments = more;
	q->room = room * 2;
	return &more[q->n++];
}

int rddr_outq_reference(struct outq *q, uint64_t offset, size_t len)
{
	if (!len)
		return 0;
	if (q->n) {
		struct segment *last = &segments_of(q)[q->first + q->n - 1];

		if (!last->own && last->offset + last->len == offset && last->len + len <= UINT32_MAX) {
			last->len += (uint32_t)len;
			q->bytes += len;
			return 0;
		}
	}
	struct segment *s = append(q);
	if (!s)
		return -ENOMEM;
	*s = (struct segment){.offset = offset, .len = (uint32_t)len};
	q->bytes += len;
	return 0;
}

int rddr_outq_own(struct outq *q, const void *data, size_t len)
{
	if (!len)
		return 0;
	if (len > UINT32_MAX)
		return -ENOMEM;
	uint8_t *copy = malloc(len);
	struct segment *s = copy ? append(q) : NULL;
	if (!s) {
		free(copy);
		return -ENOMEM;
	}
	memcpy(copy, data, len);
	*s = (struct segment){.own = copy, .len = (uint32_t)len};
	q->bytes += len;
	q->own += len;
	return 0;
}

int rddr_outq_parts(const struct outq *q, const uint8_t *stream, uint64_t base, struct iovec *parts, int n,
		    size_t *bytes)
{
	const struct segment *s = segments_of_const(q) + q->first;
	int filled = 0;

	*bytes = 0;
	for (uint32_t i = 0; i < q->n && filled < n; i++, filled++) {
		const uint8_t *at = s[i].own ? s[i].own + s[i].offset : stream + (s[i].offset - base);

		/* An iovec is not const, though sending changes nothing. */
		parts[filled] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = s[i].len};
		*bytes += s[i].len;
	}
	return filled;
}

/* A password may have been among it. */
static void free_own(const struct segment *s)
{
	if (s->own)
		explicit_bzero(s->own, s->offset + s->len);
	free(s->own);
}

void rddr_outq_sent(struct outq *q, size_t len)
{
	q->bytes -= len;
	while (len) {
		struct segment *s = &segments_of(q)[q->first];
		uint32_t part = len < s->len ? (uint32_t)len : s->len;

		s->len -= part;
		s->offset += part;
		len -= part;
		if (s->own)
			q->own -= part;
		if (s->len)
			return;
		free_own(s);
		q->first++;
		q->n--;
	}
	if (!q->n)
		rddr_outq_clear(q);
}

void rddr_outq_cut(struct outq *q, size_t len)
{
	q->bytes -= len;
	while (len) {
		struct segment *s = &segments_of(q)[q->first + q->n - 1];
		uint32_t part = len < s->len ? (uint32_t)len : s->len;

		if (s->own) {
			explicit_bzero(s->own + s->offset + s->len - part, part);
			q->own -= part;
		}
		s->len -= part;
		len -= part;
		if (s->len)
			return;
		free_own(s);
		q->n--;
	}
	if (!q->n)
		rddr_outq_clear(q);
}

/* Puts the first len bytes of the first segment behind what is in kept. A whole segment goes as it is. */
static int keep_part(struct outq *q, size_t len, struct outq *kept)
{
	struct segment *s = &segments_of(q)[q->first], *copy;

	if (!s->own)
		return rddr_outq_reference(kept, s->offset, len);
	if (len < s->len)
		return rddr_outq_own(kept, s->own + s->offset, len);
	copy = append(kept);
	if (!copy)
		return -ENOMEM;
	*copy = *s;
	kept->bytes += len;
	kept->own += len;
	s->own = NULL;
	q->own -= len;
	return 0;
}

int rddr_outq_keep(struct outq *q, size_t len, struct outq *kept)
{
	while (len) {
		uint32_t first = segments_of(q)[q->first].len;
		size_t part = len < first ? len : first;

		if (keep_part(q, part, kept) < 0) {
			rddr_outq_sent(q, len);
			return -ENOMEM;
		}
		rddr_outq_sent(q, part);
		len -= part;
	}
	return 0;
}

int rddr_outq_prepend(struct outq *q, struct outq *front)
{
	const struct segment *first = segments_of_const(front) + front->first;
	uint32_t n = front->n + q->n, room = n > OUTQ_INLINE ? n : OUTQ_INLINE;
	struct segment *all;

	if (!front->n)
		return 0;
	all = malloc(room * sizeof(*all));
	if (!all)
		return -ENOMEM;
	memcpy(all, first, front->n * sizeof(*all));
	memcpy(all + front->n, segments_of_const(q) + q->first, q->n * sizeof(*all));
	free(q->segments);
	free(front->segments);
	*q = (struct outq){
		.segments = all,
		.n = n,
		.room = room,
		.bytes = q->bytes + front->bytes,
		.own = q->own + front->own,
	};
	*front = (struct outq){0};
	return 0;
}

uint64_t rddr_outq_needs(const struct outq *q, uint64_t none)
{
	const struct segment *s = segments_of_const(q) + q->first;

	for (uint32_t i = 0; i < q->n; i++) {
		if (!s[i].own)
			return s[i].offset;
	}
	return none;
}

void rddr_outq_clear(struct outq *q)
{
	struct segment *s = segments_of(q) + q->first;

	for (uint32_t i = 0; i < q->n; i++)
		free_own(&s[i]);
	free(q->segments);
	q->segments = NULL;
	q->first = q->n = q->room = 0;
	q->bytes = q->own = 0;
}
