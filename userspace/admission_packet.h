/* SPDX-License-Identifier: BSD-2-Clause */
/* admission_packet.h - a SYN as the kernel hands it over, and the reset that answers it. Pure functions of bytes. */
#ifndef RDDR_ADMISSION_PACKET_H
#define RDDR_ADMISSION_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "addr.h"

/* How much of a packet is asked for, in bytes: headers, and a few extension headers of IPv6. */
#define ADMISSION_PACKET_MAX 256
/* Room for a reset, in bytes. */
#define ADMISSION_RESET_MAX 60

struct syn {
	struct addr client, destination;
	uint32_t seq;	/* host order */
	uint32_t len;	/* what it takes of the sequence: itself, and its data, if any */
	uint32_t index; /* of the interface that it came in on; the caller's to fill in before: link-local addresses
			   need it */
};

/* Reads an IP packet with a TCP SYN (without ACK). 0, or -EINVAL: it is none, or cut short. */
int rddr_admission_parse(const uint8_t *packet, size_t len, struct syn *syn);

/* Writes the IP packet that refuses the SYN as the server's host would. Returns its length. */
size_t rddr_admission_reset(const struct syn *syn, uint8_t out[ADMISSION_RESET_MAX]);

#endif
