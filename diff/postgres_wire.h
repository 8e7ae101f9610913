/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * postgres_wire.h - messages of PostgreSQL's protocol 3.0, as the manual's chapters "Message Flow" and "Message
 * Formats" describe them.
 *
 * A message is a byte that says what it is, a length that counts itself but not that byte, and a body. What a client
 * sends first has no such byte. Nothing here owns or copies bytes.
 */
#ifndef RDDR_POSTGRES_WIRE_H
#define RDDR_POSTGRES_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "slice.h"

#define PG_HEADER   5
#define PG_LONGEST  0x3fffffffu /* what a server takes at most, and so the most that a length says */
#define PG_STARTUP  10000u	/* what a server takes of a startup packet, its length included */
#define PG_CANCEL   80877102u
#define PG_SSL	    80877103u
#define PG_GSSENC   80877104u
#define PG_PROTOCOL 0x30000u

/* One message in a view. */
struct pg_message {
	struct slice body; /* what is there of it */
	size_t whole;	   /* bytes, its header included */
	char type;
	bool complete;
};

enum pg_read {
	PG_READ_MORE, /* not even a header is there */
	PG_READ_OK,   /* type and whole are known; complete says about the body */
	PG_READ_BAD,  /* the length cannot be */
};

enum pg_read rddr_pg_read(struct slice view, struct pg_message *m);

/* What kinds of messages a server sends, as far as comparing goes. */
enum pg_kind {
	PG_UNKNOWN,
	PG_MAIN,  /* it has its place in the order of the others */
	PG_APART, /* NoticeResponse, ParameterStatus, NotificationResponse: it may come anywhere */
	PG_LOGIN, /* it belongs to the startup alone */
};

enum pg_kind rddr_pg_kind_of_answer(char type);
/* Whether a client may send it once it is logged in. */
bool rddr_pg_known_request(char type);
/* "DataRow"; "message 'x'" has no name: NULL. */
const char *rddr_pg_answer_name(char type);

static inline uint32_t pg_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint16_t pg_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void pg_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* What is left of a body that is read from its front. Past its end it says so, and stays there. */
struct pg_cursor {
	struct slice left;
	bool bad;
};

uint32_t rddr_pg_take32(struct pg_cursor *c);
uint16_t rddr_pg_take16(struct pg_cursor *c);
uint8_t rddr_pg_take8(struct pg_cursor *c);
struct slice rddr_pg_take(struct pg_cursor *c, size_t len);
/* A string without its end. */
struct slice rddr_pg_take_string(struct pg_cursor *c);
/* A column's value: false where it is NULL. */
bool rddr_pg_take_value(struct pg_cursor *c, struct slice *value);

/* Of an ErrorResponse or a NoticeResponse: the field of that kind; empty where there is none. */
struct slice rddr_pg_error_field(struct slice body, char field);
/* How many there are of that kind; the first one. */
unsigned rddr_pg_error_fields(struct slice body, char field, struct slice *value);

#endif
