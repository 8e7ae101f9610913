/* SPDX-License-Identifier: BSD-2-Clause */
#include "endpoint.h"

#include <errno.h>

#include "handshake.h"
#include "own.h"
#include "session.h"
#include "worker.h"

#define CHUNK_MIN 14 /* 16 KiB: one full TLS record, or a GSO segment's quarter */
#define CHUNK_MAX 17
#define PARTS	  16

static struct pool *pool_of(const struct endpoint *ep)
{
	return &ep->session->worker->pool;
}

static struct loop *loop_of(const struct endpoint *ep)
{
	return ep->session->worker->loop;
}

void rddr_endpoint_init(struct endpoint *ep, struct rddr_session *s, const struct transport *transport,
			struct stream *source)
{
	ep->session = s;
	ep->transport = ep->first_transport = transport;
	ep->fd = -1;
	ep->state = ENDPOINT_IDLE;
	ep->chunk = CHUNK_MIN;
	ep->allowed = UINT64_MAX;
	ep->source = source;
	rddr_dial_init(&ep->dial);
}

static void on_event(void *ctx, unsigned events)
{
	rddr_endpoint_event(ctx, events);
}

void rddr_endpoint_note(struct endpoint *ep, unsigned events)
{
	if (events & LOOP_ERROR) {
		/* The call that fails tells what happened. */
		ep->readable = ep->writable = ep->eof_ahead = true;
		ep->erred = true;
	} else {
		ep->readable |= (events & LOOP_IN) != 0;
		ep->writable |= (events & LOOP_OUT) != 0;
		ep->eof_ahead |= (events & LOOP_EOF) != 0;
	}
	if (ep->crossed) {
		ep->crossed = false;
		ep->readable = ep->writable = true;
	}
}

void rddr_endpoint_event(struct endpoint *ep, unsigned events)
{
	rddr_endpoint_note(ep, events);
	if (ep->shaking)
		rddr_handshake_step(ep);
	else
		rddr_session_pump(ep->session);
}

int rddr_endpoint_open(struct endpoint *ep, int fd, const struct watch *watch)
{
	int r = 0;

	ep->fd = fd;
	if (watch) {
		ep->watch = *watch;
		rddr_loop_retarget(loop_of(ep), &ep->watch, on_event, ep);
	} else {
		r = rddr_loop_watch(loop_of(ep), &ep->watch, fd, LOOP_IN | LOOP_OUT | LOOP_EDGE, on_event, ep);
	}
	if (r == 0 && ep->transport->open)
		r = ep->transport->open(ep);
	if (r < 0) {
		rddr_loop_unwatch(loop_of(ep), &ep->watch, -1);
		ep->transport->close(ep, true);
		ep->state = ENDPOINT_CLOSED;
		return r;
	}
	ep->shaking = ep->transport->shake != NULL;
	ep->state = ENDPOINT_OPEN;
	ep->writable = true;
	ep->readable = ep->eof_ahead = false;
	ep->broken = ep->end_sent = ep->torn = ep->erred = ep->crossed = ep->securing = false;
	ep->sent_at = rddr_loop_now(loop_of(ep));
	rddr_replay_opened(ep);
	return 0;
}

void rddr_endpoint_secure(struct endpoint *ep, const struct transport *transport)
{
	ep->securing = true;
	ep->plain_left = ep->out.bytes;
	ep->next_transport = transport;
}

void rddr_endpoint_move(struct endpoint *to, struct endpoint *from)
{
	struct rddr_session *s = to->session;
	struct stream *source = to->source;
	/* Of its own session's config, which lives as long as it does. */
	const struct tls_conf *tls_conf = to->tls_conf;
	struct dial dialled;

	rddr_dial_init(&dialled);
	dialled.local = from->dial.local;
	dialled.remote = from->dial.remote;
	rddr_outq_clear(&from->out);
	*to = *from;
	to->session = s;
	to->source = source;
	to->dial = dialled;
	to->tls_conf = tls_conf;
	to->end_wanted = false;
	if (to->transport->moved)
		to->transport->moved(to);
	rddr_loop_retarget(loop_of(to), &to->watch, on_event, to);
	from->fd = -1;
	from->state = ENDPOINT_CLOSED;
	from->watch = (struct watch){0};
	from->in = (struct stream){0};
	from->tls = NULL;
	rddr_dial_init(&from->dial);
}

static void let_go(struct endpoint *ep, bool reset)
{
	/* The other side may have taken the connection already, before we hear of it. */
	if (reset && ep->dial.fd >= 0)
		ep->fd = TAKE_FD(ep->dial.fd);
	rddr_chainer_cancel(&ep->dial);
	rddr_loop_unwatch(loop_of(ep), &ep->watch, -1);
	if (ep->fd >= 0)
		ep->transport->close(ep, reset);
	ep->readable = ep->writable = ep->eof_ahead = false;
	ep->shaking = ep->crossed = ep->securing = false;
	/* What was changed in the middle begins in clear again. */
	ep->transport = ep->first_transport;
}

void rddr_endpoint_close(struct endpoint *ep, bool reset)
{
	let_go(ep, reset);
	rddr_outq_clear(&ep->out);
	rddr_replay_forget(ep);
	ep->state = ENDPOINT_CLOSED;
}

void rddr_endpoint_rest(struct endpoint *ep)
{
	let_go(ep, false);
	rddr_outq_clear(&ep->out);
	rddr_replay_forget(ep);
	ep->in.end = RDDR_END_OPEN;
	ep->broken = false;
	ep->state = ENDPOINT_IDLE;
}

/* Big blocks for streams that fill them, small ones again for those that do not. */
static void adapt_chunk(struct endpoint *ep, size_t asked, size_t got)
{
	if (got == asked && ep->chunk < CHUNK_MAX)
		ep->chunk++;
	else if (got < (size_t)1 << (ep->chunk - 2) && ep->chunk > CHUNK_MIN)
		ep->chunk--;
}

size_t rddr_endpoint_read(struct endpoint *ep, size_t max, size_t budget)
{
	struct stream *in = &ep->in;
	size_t total = 0;

	while (ep->readable && !ep->shaking && !ep->securing && in->end == RDDR_END_OPEN && total < budget) {
		uint8_t *where;
		size_t room = rddr_buffer_room(pool_of(ep), &in->bytes, (size_t)1 << ep->chunk, max, &where);
		if (!room)
			break;

		ssize_t n = ep->transport->recv(ep, where, room);
		if (n > 0) {
			rddr_buffer_filled(&in->bytes, (size_t)n);
			total += (size_t)n;
			adapt_chunk(ep, room, (size_t)n);
			if ((size_t)n < room && ep->transport->short_read_drains && !ep->eof_ahead)
				ep->readable = false;
			continue;
		}
		ep->readable = false;
		if (n != -EAGAIN)
			in->end = n || (ep->torn && !ep->transport->end_is_said) ? RDDR_END_RESET : RDDR_END_ENDED;
	}
	rddr_buffer_trim(pool_of(ep), &in->bytes);
	return total;
}

void rddr_endpoint_discard(struct endpoint *ep)
{
	uint64_t received = rddr_stream_received(&ep->in);

	rddr_endpoint_reclaim(ep, received);
	/* As much as a pause between two batches lets come; the rest has its own event, or the linger deadline. */
	for (int i = 0; i < PARTS && ep->readable && ep->in.end == RDDR_END_OPEN; i++) {
		rddr_endpoint_read(ep, (size_t)1 << CHUNK_MAX, (size_t)1 << CHUNK_MAX);
		rddr_endpoint_reclaim(ep, rddr_stream_received(&ep->in));
	}
}

static void break_sending(struct endpoint *ep, int error)
{
	ep->broken = true;
	/*
	 * The error was taken by this call: a read would see an end in order. With EPIPE there was one, before the
	 * reset, and reading finds it.
	 */
	ep->torn |= error != EPIPE;
	ep->writable = false;
	/* What made sending fail ends the reading half too; a read finds out which way. */
	ep->readable = ep->eof_ahead = true;
	if (!ep->replay.armed)
		rddr_outq_clear(&ep->out);
}

/* Leaves out of the parts what is past the first most bytes. Returns how many parts are left. */
static int cap_parts(struct iovec *parts, int n, size_t *bytes, uint64_t most)
{
	if (*bytes <= most)
		return n;
	*bytes = (size_t)most;
	for (int i = 0; i < n; i++) {
		if (parts[i].iov_len >= most) {
			parts[i].iov_len = (size_t)most;
			return i + 1;
		}
		most -= parts[i].iov_len;
	}
	return n;
}

static void sent_in_clear(struct endpoint *ep, size_t len)
{
	ep->plain_left -= len;
	if (!ep->plain_left)
		ep->writable = true; /* for the transport that follows */
}

/* The next transport has its turn once everything of before is sent. */
static void switch_transport(struct endpoint *ep)
{
	ep->securing = false;
	ep->transport = ep->next_transport;
	int r = ep->transport->open(ep);
	if (r < 0)
		break_sending(ep, -r);
	else
		rddr_handshake_begin(ep);
}

size_t rddr_endpoint_flush(struct endpoint *ep)
{
	size_t total = 0;

	if (ep->state != ENDPOINT_OPEN || ep->broken)
		return 0;
	while (ep->writable && (ep->securing ? ep->plain_left : ep->out.bytes) && !ep->shaking &&
	       ep->passed < ep->allowed) {
		struct iovec parts[PARTS];
		size_t bytes;
		int n = rddr_outq_parts(&ep->out, rddr_buffer_bytes(&ep->source->bytes), ep->source->base, parts, PARTS,
					&bytes);
		n = cap_parts(parts, n, &bytes, ep->allowed - ep->passed);
		if (ep->securing)
			n = cap_parts(parts, n, &bytes, ep->plain_left);
		ssize_t sent = ep->transport->send(ep, parts, n);

		if (sent == -EAGAIN) {
			ep->writable = false;
		} else if (sent < 0) {
			break_sending(ep, (int)-sent);
			return total;
		} else {
			rddr_replay_sent(ep, (size_t)sent);
			ep->passed += (uint64_t)sent;
			ep->sent_at = rddr_loop_now(loop_of(ep));
			total += (size_t)sent;
			ep->writable = (size_t)sent >= bytes;
			if (ep->securing)
				sent_in_clear(ep, (size_t)sent);
		}
	}
	if (ep->securing && !ep->plain_left)
		switch_transport(ep);
	if (ep->end_wanted && !ep->end_sent && !ep->out.bytes && !ep->shaking && !ep->broken) {
		int r = ep->transport->end(ep);

		ep->end_sent = r != -EAGAIN;
		if (r < 0 && r != -EAGAIN)
			break_sending(ep, -r);
	}
	return total;
}

void rddr_endpoint_reclaim(struct endpoint *ep, uint64_t offset)
{
	struct stream *in = &ep->in;

	if (offset <= in->base)
		return;
	size_t len = (size_t)(offset - in->base);
	if (in->concealed > in->base)
		rddr_buffer_wipe(&in->bytes, in->concealed < offset ? (size_t)(in->concealed - in->base) : len);
	in->base = offset;
	if (in->consumed < offset)
		in->consumed = offset;
	if (in->released < offset)
		in->released = offset;
	rddr_buffer_drop(pool_of(ep), &in->bytes, len);
}

const char *rddr_endpoint_state_name(const struct endpoint *ep)
{
	static const char *const names[] = {
		[ENDPOINT_IDLE] = "idle",
		[ENDPOINT_DIALLING] = "dialling",
		[ENDPOINT_OPEN] = "open",
		[ENDPOINT_CLOSED] = "closed",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == ENDPOINT_STATES, "a name for each state");

	if (ep->state == ENDPOINT_OPEN && ep->in.end == RDDR_END_ENDED)
		return "ended";
	if (ep->state == ENDPOINT_OPEN && ep->in.end == RDDR_END_RESET)
		return "reset";
	return names[ep->state];
}
