/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * http_upload.c - bodies in which tokens are looked for while they pass, so that they may be of any size.
 *
 * That is a body in chunks: each instance gets it in chunks of our own making, because a token may be cut by the
 * client's chunks, and another token may have another length. What extensions and trailers say is dropped. And it is a
 * body of known length that is too long to be held: what was said of its length stays true, so that tokens that have
 * not the same length everywhere are left as they are, and counted. What may be the beginning of a token waits for what
 * comes next.
 */
#include <errno.h>
#include <stdio.h>

#include "http_session.h"

void rddr_http_pass_to(struct http *h, size_t to, size_t *passed)
{
	if (to > *passed) {
		for (unsigned i = 0; i < h->n; i++)
			h->host->segment_ref(h->session, i, *passed, to - *passed);
	}
	*passed = to;
}

/* What instance i gets instead of what an edit takes away; *own: where in edits.own its own begins. */
static void pass_own(struct http *h, const struct edit *edit, unsigned i, size_t *own)
{
	if (edit->own_len[i])
		h->host->segment_own(h->session, i, h->edits.own.data + *own, edit->own_len[i]);
	*own += edit->own_len[i];
}

void rddr_http_pass_edits(struct http *h, size_t at, size_t *passed)
{
	const struct edits *e = &h->edits;

	for (size_t k = 0; k < e->n; k++) {
		size_t own = e->own.from + e->list[k].own;

		rddr_http_pass_to(h, at + e->list[k].at, passed);
		for (unsigned i = 0; i < h->n; i++)
			pass_own(h, &e->list[k], i, &own);
		*passed = at + e->list[k].at + e->list[k].len;
	}
}

/* ---- in chunks ---- */

static void pass_kept(struct http *h, unsigned i, const uint8_t *data, size_t len)
{
	if (len)
		h->host->segment_own(h->session, i, data, len);
}

/* One chunk for each instance: len bytes of what is kept, with its own tokens. */
static void pass_chunk(struct http *h, const uint8_t *data, size_t len)
{
	const struct edits *e = &h->edits;
	char line[24];

	for (unsigned i = 0; i < h->n; i++) {
		uint64_t size = (uint64_t)((int64_t)len + e->grows[i]);
		size_t at = 0;

		if (size == 0)
			continue; /* it would say that the body ends */
		int n = snprintf(line, sizeof(line), "%llx\r\n", (unsigned long long)size);
		h->host->segment_own(h->session, i, line, (size_t)n);
		for (size_t k = 0; k < e->n; k++) {
			const struct edit *edit = &e->list[k];
			size_t own = e->own.from + edit->own;

			for (unsigned before = 0; before < i; before++)
				own += edit->own_len[before];
			pass_kept(h, i, data + at, edit->at - at);
			pass_own(h, edit, i, &own);
			at = edit->at + edit->len;
		}
		pass_kept(h, i, data + at, len - at);
		h->host->segment_own(h->session, i, "\r\n", 2);
	}
}

/* Whatever of the kept is decided goes on its way. */
static int pass_decided(struct http *h, const char **why)
{
	static const char last[] = "0\r\n\r\n";
	struct request *r = &h->request;
	struct backlog *kept = &r->kept;
	const uint8_t *data = kept->len ? kept->data + kept->from : NULL;
	size_t decided = 0;
	int res;

	res = rddr_http_find_more(h, (struct slice){data, kept->len}, !r->chunks.done, false, &decided);
	if (res < 0) {
		*why = rddr_http_edits_failed(res);
		return res;
	}
	if (decided)
		pass_chunk(h, data, decided);
	rddr_http_edits_trim(&h->edits);
	rddr_backlog_take(kept, decided);
	if (!r->chunks.done)
		return 0;
	for (unsigned i = 0; i < h->n; i++)
		h->host->segment_own(h->session, i, last, sizeof(last) - 1);
	if (kept->room > HTTP_KEPT_ROOM)
		rddr_backlog_free(kept);
	return 0;
}

int rddr_http_upload_chunks(struct http *h, struct slice bytes, size_t *taken, const char **why)
{
	struct request *r = &h->request;
	struct slice payload;
	int res = 0;
	size_t step;

	while (!r->chunks.done && *taken < bytes.len && res == 0) {
		struct chunks before = r->chunks;

		res = rddr_chunks_next(&r->chunks, slice_cut(bytes, *taken, SIZE_MAX), &step, &payload, why);
		if (res == 0 && rddr_backlog_put(&r->kept, payload.data, payload.len) < 0) {
			*why = "no memory for its body";
			res = -ENOMEM;
		}
		if (res == 0)
			*taken += step;
		else
			r->chunks = before;
	}
	/* Of a request that is refused, nothing more goes out. */
	if (res < 0)
		return res;
	res = pass_decided(h, why);
	if (res < 0) {
		/* So that it is asked about again, and refused then. */
		r->refused = *why;
		*taken = 0;
	}
	return res;
}

/* ---- of known length ---- */

int rddr_http_upload_length(struct http *h, struct slice bytes, size_t at, size_t *taken, const char **why)
{
	struct request *r = &h->request;
	struct slice piece = slice_cut(bytes, 0, r->left < bytes.len ? (size_t)r->left : bytes.len);
	size_t decided = 0, passed = at;
	int res;

	res = rddr_http_find_more(h, piece, piece.len < r->left, true, &decided);
	if (res < 0) {
		r->refused = *why = rddr_http_edits_failed(res);
		return res;
	}
	rddr_http_pass_edits(h, at, &passed);
	rddr_http_edits_trim(&h->edits);
	rddr_http_pass_to(h, at + decided, &passed);
	r->left -= decided;
	*taken = decided;
	return 0;
}
