// SPDX-License-Identifier: BSD-2-Clause
/*
 * syns NETWORK DESTINATION PORT COUNT [RATE]: sends COUNT SYNs to an IPv4 address, each from another address and port
 * of NETWORK (a.b.0.0), at most RATE a second (10000), and ends. Nobody answers for the senders. Raw socket: only in a
 * network namespace of a test's own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST 1000000

struct frame {
	struct ip ip;
	struct tcphdr tcp;
};

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t words(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static void make(struct frame *f, uint32_t source, const struct sockaddr_in *to, uint16_t port, uint32_t i)
{
	*f = (struct frame){0};
	f->ip.ip_v = 4;
	f->ip.ip_hl = 5;
	f->ip.ip_len = htons(sizeof(*f));
	f->ip.ip_ttl = 64;
	f->ip.ip_p = IPPROTO_TCP;
	f->ip.ip_src.s_addr = htonl(source);
	f->ip.ip_dst = to->sin_addr;
	f->tcp.source = htons((uint16_t)(10000 + i % 50000));
	f->tcp.dest = htons(port);
	f->tcp.seq = htonl(i * 64007u);
	f->tcp.doff = 5;
	f->tcp.syn = 1;
	f->tcp.window = htons(64240);
	f->tcp.check = htons(fold(words(&f->ip.ip_src, 8) + IPPROTO_TCP + (uint32_t)sizeof(f->tcp) +
				  words(&f->tcp, sizeof(f->tcp))));
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = {.sin_family = AF_INET};
	const struct timespec pause = {.tv_nsec = 10000000};
	struct in_addr network;

	if (argc < 5 || inet_pton(AF_INET, argv[1], &network) != 1 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: syns NETWORK DESTINATION PORT COUNT [RATE]\n");
		return 2;
	}
	long port = atol(argv[3]), count = atol(argv[4]), rate = argc > 5 ? atol(argv[5]) : 10000;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	if (fd < 0 || port < 1 || port > 65535 || count < 1 || count > MOST || rate < 100) {
		fprintf(stderr, "syns: %s\n", fd < 0 ? strerror(errno) : "a number is out of range");
		return 1;
	}
	for (uint32_t i = 0; i < (uint32_t)count; i++) {
		struct frame f;

		/* x.y.1.1 to x.y.250.250 */
		make(&f, ntohl(network.s_addr) + (i / 250 % 250 + 1) * 256 + i % 250 + 1, &to, (uint16_t)port, i);
		if (sendto(fd, &f, sizeof(f), 0, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != ENOBUFS) {
			fprintf(stderr, "syns: %s\n", strerror(errno));
			return 1;
		}
		if (i % (uint32_t)(rate / 100) == 0)
			nanosleep(&pause, NULL);
	}
	return 0;
}
