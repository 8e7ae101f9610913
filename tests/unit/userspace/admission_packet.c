// SPDX-License-Identifier: BSD-2-Clause
/* SYNs as they come out of the queue, cut short at every byte too, and the resets that answer them. */
#include "admission_packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "own.h"

/* 10.0.1.2:4660 to 10.0.2.2:80, sequence 0x01020304; SYN, no options, 2 bytes of data. */
static const uint8_t syn4[] = {
	0x45, 0, 0,  42, 0, 0, 0x40, 0, 64, 6, 0, 0,	10,   0,    1,	  2, 10, 0, 2, 2,   0x12,
	0x34, 0, 80, 1,	 2, 3, 4,    0, 0,  0, 0, 0x50, 0x02, 0xfa, 0xf0, 0, 0,	 0, 0, 'h', 'i',
};

/* The same from fe80::1 to fd00::2, behind a header of destination options. */
static const uint8_t syn6[] = {
	0x60, 0,    0,	  0,	0, 28, 60,   64,   0xfe, 0x80, 0, 0, 0, 0, 0,	 0,    0,    0,	   0, 0, 0, 0, 0,
	1,    0xfd, 0,	  0,	0, 0,  0,    0,	   0,	 0,    0, 0, 0, 0, 0,	 0,    2,    6,	   0, 1, 4, 0, 0,
	0,    0,    0x12, 0x34, 0, 80, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0,
};

static const char *text_of(const struct addr *a)
{
	static char texts[2][RDDR_ADDR_TEXT];
	static int turn;

	turn ^= 1;
	return rddr_addr_format(a, texts[turn], sizeof(texts[turn]));
}

static void test_parse(void **state)
{
	struct syn syn = {0};

	(void)state;
	assert_int_equal(rddr_admission_parse(syn4, sizeof(syn4), &syn), 0);
	assert_string_equal(text_of(&syn.client), "10.0.1.2:4660");
	assert_string_equal(text_of(&syn.destination), "10.0.2.2:80");
	assert_int_equal(syn.seq, 0x01020304);
	assert_int_equal(syn.len, 3);

	syn = (struct syn){.index = 7};
	assert_int_equal(rddr_admission_parse(syn6, sizeof(syn6), &syn), 0);
	assert_int_equal(syn.client.v6.sin6_scope_id, 7);
	assert_int_equal(rddr_addr_port(&syn.client), 4660);
	assert_string_equal(text_of(&syn.destination), "[fd00::2]:80");
	assert_int_equal(syn.seq, 0xffffffff);
	assert_int_equal(syn.len, 1);
}

static void refuses(const uint8_t *packet, size_t len, size_t at, uint8_t value)
{
	uint8_t changed[64 + 16];
	struct syn syn = {0};

	assert_true(len <= sizeof(changed));
	memcpy(changed, packet, len);
	changed[at] = value;
	assert_int_equal(rddr_admission_parse(changed, len, &syn), -EINVAL);
}

static void test_refused(void **state)
{
	struct syn syn = {0};

	(void)state;
	/* The data may be missing: the kernel copies only the beginning. */
	for (size_t len = 0; len < sizeof(syn4) - 2; len++)
		assert_int_equal(rddr_admission_parse(syn4, len, &syn), -EINVAL);
	for (size_t len = 0; len < sizeof(syn6); len++)
		assert_int_equal(rddr_admission_parse(syn6, len, &syn), -EINVAL);
	refuses(syn4, sizeof(syn4), 0, 0x55);  /* IP version 5 */
	refuses(syn4, sizeof(syn4), 0, 0x44);  /* a header of 16 bytes */
	refuses(syn4, sizeof(syn4), 6, 0x20);  /* a fragment */
	refuses(syn4, sizeof(syn4), 9, 17);    /* UDP */
	refuses(syn4, sizeof(syn4), 33, 0x12); /* SYN-ACK */
	refuses(syn4, sizeof(syn4), 33, 0x10); /* ACK */
	refuses(syn4, sizeof(syn4), 33, 0x06); /* SYN and RST */
	refuses(syn4, sizeof(syn4), 32, 0x40); /* a TCP header of 16 bytes */
	refuses(syn6, sizeof(syn6), 40, 58);   /* ICMPv6 behind the options */
	refuses(syn6, sizeof(syn6), 41, 255);  /* options past the end */
}

/* What the receiver adds up, pseudo header included: all ones. */
static uint16_t sum(const uint8_t *from, const uint8_t *to, size_t address, const uint8_t *tcp, size_t len)
{
	const struct {
		const uint8_t *bytes;
		size_t len;
	} parts[] = {{from, address}, {to, address}, {tcp, len}};
	uint32_t total = IPPROTO_TCP + (uint32_t)len;

	for (size_t p = 0; p < ARRAY_LEN(parts); p++) {
		for (size_t i = 0; i < parts[p].len; i += 2)
			total += (uint32_t)parts[p].bytes[i] << 8 | parts[p].bytes[i + 1];
	}
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)total;
}

static void test_reset(void **state)
{
	uint8_t out[ADMISSION_RESET_MAX];
	struct syn syn = {0};
	struct tcphdr tcp;

	(void)state;
	assert_int_equal(rddr_admission_parse(syn4, sizeof(syn4), &syn), 0);
	assert_int_equal(rddr_admission_reset(&syn, out), 40);
	assert_memory_equal(out + 12, syn4 + 16, 4);
	assert_memory_equal(out + 16, syn4 + 12, 4);
	memcpy(&tcp, out + 20, sizeof(tcp));
	assert_true(tcp.rst && tcp.ack && !tcp.syn);
	assert_int_equal(ntohl(tcp.ack_seq), 0x01020307);
	assert_int_equal(ntohs(tcp.dest), 4660);
	assert_int_equal(sum(out + 12, out + 16, 4, out + 20, 20), 0xffff);

	assert_int_equal(rddr_admission_parse(syn6, sizeof(syn6), &syn), 0);
	assert_int_equal(rddr_admission_reset(&syn, out), 60);
	memcpy(&tcp, out + 40, sizeof(tcp));
	assert_int_equal(ntohl(tcp.ack_seq), 0);
	assert_memory_equal(out + 8, syn6 + 24, 16);
	assert_memory_equal(out + 24, syn6 + 8, 16);
	assert_int_equal(sum(out + 8, out + 24, 16, out + 40, 20), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
