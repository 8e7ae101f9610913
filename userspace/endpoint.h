/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * endpoint.h - one end of a session: a socket, what it has said, what it is to be sent.
 *
 * Watched edge-triggered, once: an end remembers what epoll told it (readable, writable) until a call says
 * otherwise. All ends close through rddr_endpoint_close.
 */
#ifndef RDDR_ENDPOINT_H
#define RDDR_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"
#include "chainer.h"
#include "loop.h"
#include "outq.h"
#include "rddr_diff.h"
#include "replay.h"
#include "transport.h"

struct rddr_session;
struct tls_conf;
struct tls_end;

/* What an end has said and somebody still needs. Offsets count from the beginning of the stream. */
struct stream {
	struct buffer bytes;
	uint64_t base;	   /* offset of the first byte in the buffer */
	uint64_t consumed; /* by the plugin */
	uint64_t released; /* of the source stream: let out, or discarded, up to here */
	enum rddr_end_state end;
	uint64_t concealed; /* what lies in front of this is not shown as evidence, and wiped */
};

enum endpoint_state {
	ENDPOINT_IDLE, /* not dialled, or closed at a neutral point: dialled when next needed */
	ENDPOINT_DIALLING,
	ENDPOINT_OPEN,
	ENDPOINT_CLOSED, /* for good */
	ENDPOINT_STATES
};

struct endpoint {
	struct rddr_session *session;
	const struct transport *transport;
	const struct transport *first_transport; /* what a connection begins with */
	const struct transport *next_transport;	 /* while securing */
	int fd;
	uint8_t state;
	bool readable, writable; /* as far as we know */
	bool eof_ahead;		 /* the kernel has the end of the stream: reads lead there without another event */
	bool end_wanted;	 /* our sending half ends behind what is queued */
	bool end_sent;
	bool broken;   /* sending failed: what is queued is lost */
	bool erred;    /* an event told of an error, or of both ends */
	bool torn;     /* the other side reset; what came before can still be read */
	bool shaking;  /* the transport has to agree with the other side first: no bytes flow */
	bool crossed;  /* a call waits for the other kind of event: either lets both go on */
	bool securing; /* the transport changes behind the next plain_left bytes; nothing is read until then */
	uint8_t chunk; /* shift of the block to read into next */
	struct watch watch;
	struct dial dial;
	struct stream in;
	struct outq out;
	uint64_t mark;	       /* the plugin's: see host->mark */
	struct stream *source; /* what out refers to */
	struct replay replay;
	uint64_t passed;    /* bytes sent */
	uint64_t allowed;   /* nothing past this offset of what it is sent goes out yet; see host->lead */
	uint64_t lead_base; /* the offset that host->follow counts from */

	const struct tls_conf *tls_conf; /* NULL: in clear */
	struct tls_end *tls;		 /* the transport's own */
	size_t plain_left;		 /* of what is queued, bytes that still go out by the transport of before */
	uint64_t sent_at;		 /* ms: when it last took anything, or was connected */
};

/* Whether the next byte for it has to wait for the leader. */
static inline bool rddr_endpoint_withheld(const struct endpoint *ep)
{
	return ep->out.bytes && ep->passed >= ep->allowed;
}

static inline uint64_t rddr_stream_received(const struct stream *in)
{
	return in->base + rddr_buffer_len(&in->bytes);
}

/* The bytes that the plugin has not consumed. */
static inline size_t rddr_stream_unconsumed(const struct stream *in)
{
	return (size_t)(rddr_stream_received(in) - in->consumed);
}

static inline const uint8_t *rddr_stream_at(const struct stream *in, uint64_t offset)
{
	return rddr_buffer_bytes(&in->bytes) + (offset - in->base);
}

void rddr_endpoint_init(struct endpoint *ep, struct rddr_session *s, const struct transport *transport,
			struct stream *source);

/* Takes a connected descriptor over. watch: as the dial left it, or NULL when nothing watches yet. 0 or -errno (the
 * descriptor is closed then). */
int rddr_endpoint_open(struct endpoint *ep, int fd, const struct watch *watch);

/*
 * Another transport from here on, on an open connection: what is queued already goes out by the one of before, nothing
 * is read until it has, and then, in rddr_endpoint_flush, the new one begins to agree (shaking).
 */
void rddr_endpoint_secure(struct endpoint *ep, const struct transport *transport);

/* Notes what epoll said (LOOP_*), and moves the session on. */
void rddr_endpoint_event(struct endpoint *ep, unsigned events);

/* Notes it, and does nothing else. */
void rddr_endpoint_note(struct endpoint *ep, unsigned events);

/*
 * Moves a connection, with what it has said, to another end, which was made by rddr_endpoint_init (of another session
 * of the same worker) and never opened. from is as good as closed then. Nothing may be queued.
 */
void rddr_endpoint_move(struct endpoint *to, struct endpoint *from);

/* Closes for good. reset: the other side is to see a reset. Queued bytes are forgotten, received ones stay. */
void rddr_endpoint_close(struct endpoint *ep, bool reset);
/* Closes at a neutral point: back to idle. */
void rddr_endpoint_rest(struct endpoint *ep);

/*
 * Reads until the socket is drained, the buffer holds max bytes, or budget bytes have come. Returns the bytes read; the
 * end of the stream shows in in.end.
 */
size_t rddr_endpoint_read(struct endpoint *ep, size_t max, size_t budget);
/* Reads and throws away. */
void rddr_endpoint_discard(struct endpoint *ep);

/* Sends what is queued, and then ends the sending half where that is wanted. Returns the bytes sent; a failure shows in
 * broken. */
size_t rddr_endpoint_flush(struct endpoint *ep);

/* Drops what lies in front of offset in the received stream. */
void rddr_endpoint_reclaim(struct endpoint *ep, uint64_t offset);

const char *rddr_endpoint_state_name(const struct endpoint *ep);

#endif
