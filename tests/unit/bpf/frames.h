/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * frames.h - made-up Ethernet frames, right and wrong ones. Checksums are left out: the programs look at none.
 */
#ifndef RDDR_TEST_FRAMES_H
#define RDDR_TEST_FRAMES_H

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

#define PATTERN_MAX 12

/* What a packet is made of; zeroed: a TCP packet without flags. */
struct spec {
	const char *from, *to;
	uint16_t source_port, destination_port;
	uint8_t flags;
	uint8_t protocol;		 /* 0: TCP */
	uint16_t tags[6];		 /* EtherTypes of tags, outermost first; 0 ends */
	uint16_t ethertype;		 /* 0: by the addresses */
	bool for_others;		 /* another host's MAC address */
	uint8_t options;		 /* IPv4: words of options */
	uint8_t extensions[PATTERN_MAX]; /* IPv6: kinds of headers in their order, 255 for hop-by-hop (0); 0 ends */
	bool fragment;			 /* IPv6: a fragment header, even if offset is 0 and there are no more */
	uint16_t offset;		 /* of a fragment, in units of 8 bytes */
	bool more;
	uint8_t version_ihl;	   /* IPv4: written over what is right */
	size_t cut;		   /* bytes that are missing at the end */
	uint8_t icmp;		   /* with quoted: the error's type */
	const struct spec *quoted; /* the packet that an ICMP error quotes */
};

struct frame {
	uint8_t data[1024];
	size_t len;
};

static inline void put(struct frame *f, const void *data, size_t len)
{
	memcpy(f->data + f->len, data, len);
	f->len += len;
}

static inline void put16(struct frame *f, uint16_t v)
{
	v = htons(v);
	put(f, &v, sizeof(v));
}

static inline void put8(struct frame *f, uint8_t v)
{
	put(f, &v, 1);
}

static inline void put_zeros(struct frame *f, size_t n)
{
	memset(f->data + f->len, 0, n);
	f->len += n;
}

static inline bool is_v6(const struct spec *s)
{
	return strchr(s->from, ':') != NULL;
}

static inline uint8_t transport_of(const struct spec *s)
{
	if (s->quoted)
		return is_v6(s) ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	return s->protocol ? s->protocol : IPPROTO_TCP;
}

static inline void put_ip(struct frame *f, const struct spec *s);

static inline void put_transport(struct frame *f, const struct spec *s)
{
	if (s->quoted) {
		put8(f, s->icmp);
		put_zeros(f, 7);
		put_ip(f, s->quoted);
		return;
	}
	put16(f, s->source_port);
	put16(f, s->destination_port);
	put_zeros(f, 8);
	put8(f, 5 << 4);
	put8(f, s->flags);
	put_zeros(f, 6);
}

static inline void put_ipv4(struct frame *f, const struct spec *s)
{
	uint8_t address[4];

	put8(f, s->version_ihl ? s->version_ihl : (uint8_t)(0x45 + s->options));
	put_zeros(f, 1);
	put16(f, (uint16_t)(40 + s->options * 4));
	put16(f, 1);
	put16(f, (uint16_t)(s->offset | (s->more ? 0x2000 : 0)));
	put8(f, 64);
	put8(f, transport_of(s));
	put_zeros(f, 2);
	inet_pton(AF_INET, s->from, address);
	put(f, address, 4);
	inet_pton(AF_INET, s->to, address);
	put(f, address, 4);
	for (unsigned i = 0; i < s->options * 4u; i++)
		put8(f, 1);
}

static inline uint8_t kind_at(const struct spec *s, unsigned i)
{
	if (i < PATTERN_MAX && s->extensions[i])
		return s->extensions[i] == 255 ? 0 : s->extensions[i];
	return transport_of(s);
}

static inline void put_ipv6(struct frame *f, const struct spec *s)
{
	uint8_t address[16];

	put8(f, 0x60);
	put_zeros(f, 3);
	put16(f, 20);
	put8(f, s->fragment ? IPPROTO_FRAGMENT : kind_at(s, 0));
	put8(f, 64);
	inet_pton(AF_INET6, s->from, address);
	put(f, address, 16);
	inet_pton(AF_INET6, s->to, address);
	put(f, address, 16);
	if (s->fragment) {
		put8(f, kind_at(s, 0));
		put8(f, 0);
		put16(f, (uint16_t)(s->offset << 3 | s->more));
		put_zeros(f, 4);
	}
	for (unsigned i = 0; i < PATTERN_MAX && s->extensions[i]; i++) {
		/* Authentication counts in words of 4, less 2; the others in words of 8, less 1: 24 bytes each. */
		put8(f, kind_at(s, i + 1));
		put8(f, s->extensions[i] == 51 ? 4 : s->extensions[i] == 44 ? 0 : 2);
		put_zeros(f, s->extensions[i] == 44 ? 6 : 22);
	}
}

static inline void put_ip(struct frame *f, const struct spec *s)
{
	if (is_v6(s))
		put_ipv6(f, s);
	else
		put_ipv4(f, s);
	put_transport(f, s);
	f->len -= s->cut;
}

static inline void frame_of(struct frame *f, const struct spec *s)
{
	static const uint8_t others[6] = {2, 3, 4, 5, 6, 7};
	uint16_t ethertype = s->ethertype ? s->ethertype : is_v6(s) ? ETH_P_IPV6 : ETH_P_IP;
	unsigned n = 0;

	memset(f, 0, sizeof(*f));
	/* The interface's own address is filled in by whoever runs the program. */
	if (s->for_others)
		put(f, others, 6);
	else
		put_zeros(f, 6);
	put_zeros(f, 6);
	while (n < 6 && s->tags[n])
		n++;
	for (unsigned i = 0; i < n; i++) {
		put16(f, s->tags[i]);
		put16(f, (uint16_t)(100 + i));
	}
	put16(f, ethertype);
	put_ip(f, s);
}

#endif
