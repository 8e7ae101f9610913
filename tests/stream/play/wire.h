/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * wire.h - TLS for an end of a play: what it says and hears in between is the same.
 *
 * What is to be sent is kept in memory first, so that it can go out a byte at a time, the handshake too.
 */
#ifndef STREAM_WIRE_H
#define STREAM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct wire;

/* Writes dir/tls.pem: a key and a certificate for the loopback's addresses. It is the daemon's, the servers', and the
 * CA that everybody trusts. Undone by wire_keys_forget, once for each. */
void wire_keys(const char *dir);
void wire_keys_forget(void);

struct wire *wire_new(int fd, bool server);
/* Takes NULL, and nulls the pointer. */
void wire_free(struct wire **wire);

/* Sends at most that many bytes of what is kept, and goes on with the handshake. 0 when it is done and nothing is kept;
 * -1 with errno, which is EAGAIN as long as there is something to wait for. */
int wire_step(struct wire *wire, size_t most);
/* Whether the handshake is done. */
bool wire_open(const struct wire *wire);
/* Whether anything waits to be sent. */
bool wire_keeps(const struct wire *wire);
/* Whether anything can be read without anything coming. */
bool wire_holds(const struct wire *wire);

/* As send() and recv(); a stream that ends without TLS saying so is reset. What is said is kept until wire_step. */
ssize_t wire_say(struct wire *wire, const void *data, size_t len);
ssize_t wire_hear(struct wire *wire, void *buf, size_t len);
/* Says that our half ends. */
void wire_end(struct wire *wire);

#endif
