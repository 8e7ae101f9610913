/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * runs.h - runs divert on a made-up packet (BPF_PROG_TEST_RUN), with services to steer, and tells what it decided.
 */
#ifndef RDDR_TEST_RUNS_H
#define RDDR_TEST_RUNS_H

#include <linux/pkt_cls.h>
#include <sys/ioctl.h>

#include "frames.h"
#include "programs.h"

enum decision { PASS, MARK, DROP };

static const char *const decision_names[] = {"pass", "mark", "drop"};

/* shop: both families, port 80. open: port 81, lets pass when down. reset: port 82. held: port 83. */
static const char services[] = "services:\n"
			       "  shop:\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 80 }\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n"
			       "  open:\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 81 }\n"
			       "    when-down: open\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n"
			       "  reset:\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 82 }\n"
			       "    when-down: open\n"
			       "    existing: reset\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n"
			       "  held:\n"
			       "    direction: incoming\n"
			       "    intercept: { address: [10.0.2.2, \"fd00:0:0:2::2\"], port: 83 }\n"
			       "    admission: {}\n"
			       "    instances: [ { name: one, chainer: transparent } ]\n";

/* Another service, that none of the packets here is for. */
static const char nothing[] = "services:\n"
			      "  other:\n"
			      "    direction: incoming\n"
			      "    intercept: { address: 10.99.99.99, port: 80 }\n"
			      "    instances: [ { name: one, chainer: transparent } ]\n";

/* With the interface and the mark that it comes with; ifindex 0: lo. */
static inline enum decision run_marked(const struct spec *spec, unsigned ifindex, uint32_t mark, uint32_t *mark_out)
{
	struct __sk_buff in = {.ifindex = ifindex, .mark = mark}, out = {0};
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	struct frame frame;
	struct ifreq request = {0};
	int fd;

	frame_of(&frame, spec);
	if (!spec->for_others) {
		fd = socket(AF_INET, SOCK_DGRAM, 0);
		assert_non_null(if_indextoname(ifindex ? ifindex : 1, request.ifr_name));
		assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &request), 0);
		memcpy(frame.data, request.ifr_hwaddr.sa_data, 6);
		close(fd);
	}
	opts.data_in = frame.data;
	opts.data_size_in = (uint32_t)frame.len;
	opts.ctx_in = &in;
	opts.ctx_size_in = sizeof(in);
	opts.ctx_out = &out;
	opts.ctx_size_out = sizeof(out);
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(programs.divert->progs.divert), &opts), 0);
	*mark_out = out.mark;
	if ((int)opts.retval == TC_ACT_SHOT)
		return DROP;
	assert_int_equal((int)opts.retval, TC_ACT_UNSPEC);
	return out.mark != mark ? MARK : PASS;
}

/* On rt0, unmarked; the mark is checked too. */
static inline enum decision run(const struct spec *spec)
{
	uint32_t mark;
	enum decision decision = run_marked(spec, programs.ifindex, 0, &mark);

	assert_int_equal(mark, decision == MARK ? RDDR_FWMARK : 0);
	return decision;
}

static inline int before_each(void **state)
{
	(void)state;
	forget_all();
	live();
	publish(services);
	return 0;
}

#define TO4(address)		   .from = "10.0.1.2", .to = (address)
#define TO6(address)		   .from = "fd00:0:0:1::2", .to = (address)
#define PORTS(source, destination) .source_port = (source), .destination_port = (destination)
#define V4			   TO4("10.0.2.2"), PORTS(4000, 80)
#define V6			   TO6("fd00:0:0:2::2"), PORTS(4000, 80)

/* From the client to the service. */
static inline struct spec packet(int family, uint16_t port, uint8_t flags)
{
	struct spec s4 = {V4}, s6 = {V6}, s = family == AF_INET ? s4 : s6;

	s.destination_port = port;
	s.flags = flags;
	return s;
}

static inline struct rddr_flow flow_of_spec(const struct spec *s)
{
	struct rddr_flow flow;

	flow_of(&flow, s->from, s->source_port, s->to, s->destination_port);
	return flow;
}

/* The other way. */
static inline struct spec reversed(const struct spec *s, uint8_t flags)
{
	struct spec r = {.from = s->to,
			 .to = s->from,
			 .source_port = s->destination_port,
			 .destination_port = s->source_port,
			 .flags = flags};

	return r;
}

static inline struct spec between(const char *from, uint16_t from_port, const char *to, uint16_t to_port, uint8_t flags)
{
	struct spec s = {.from = from, .to = to, .source_port = from_port, .destination_port = to_port, .flags = flags};

	return s;
}

/* An error of that type about a packet, sent to whoever sent it. */
static inline struct spec icmp(const struct spec *quoted, uint8_t type)
{
	struct spec s = {.from = is_v6(quoted) ? "fd00:0:0:1::9" : "10.0.1.9",
			 .to = quoted->from,
			 .icmp = type,
			 .quoted = quoted};

	return s;
}

#define TEST(f) cmocka_unit_test_setup(f, before_each)

#endif
