// SPDX-License-Identifier: BSD-2-Clause
/* The queue: how SYNs come here, and how they, or resets, leave. */
#include "admission.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_queue/libnetfilter_queue.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admission_own.h"
#include "log.h"
#include "own.h"
#include "shared.h"
#include "worker.h"

/* A message of the queue: the packet's beginning, and what is said of it. */
#define MESSAGE_MAX (ADMISSION_PACKET_MAX + 1024)
/* Messages in one turn, so that sessions have theirs. */
#define TURN 256
/* For SYNs that nobody has looked at yet. */
#define RECEIVE_BUFFER (8 << 20)
/* After how many ms it is tried again to get the queue: another daemon, which this one takes over from, may have it. */
#define RETRY_MS 200

/* ---- verdicts ---- */

void rddr_admission_verdict(struct admission *a, uint32_t packet, bool accept)
{
	char buf[256];

	if (!a->queue)
		return; /* the kernel has dropped all that it held */
	struct nlmsghdr *message = nfq_nlmsg_put(buf, NFQNL_MSG_VERDICT, RDDR_QUEUE);
	nfq_nlmsg_verdict_put(message, (int)packet, accept ? NF_ACCEPT : NF_DROP);
	if (mnl_socket_sendto(a->queue, message, message->nlmsg_len) < 0)
		err_r(-errno, "admission: no verdict can be given on a SYN; it stays held until the daemon ends");
}

void rddr_admission_refuse(struct admission *a, const struct syn *syn)
{
	uint8_t packet[ADMISSION_RESET_MAX];
	size_t len = rddr_admission_reset(syn, packet);
	struct addr to = syn->client;
	int fd = to.sa.sa_family == AF_INET6 ? a->raw6 : a->raw4;

	/* Raw sockets take the port for a protocol's number. */
	rddr_addr_set_port(&to, 0);
	if (fd >= 0 && sendto(fd, packet, len, MSG_DONTWAIT, &to.sa, rddr_addr_len(&to)) < 0 && errno != EAGAIN)
		log_debug("admission: a reset cannot be sent: %s", strerror(errno));
}

/* ---- packets ---- */

static int on_message(const struct nlmsghdr *message, void *ctx)
{
	struct nlattr *attributes[NFQA_MAX + 1] = {0};
	struct admission *a = ctx;
	struct syn syn = {0};
	enum syn_verdict verdict = SYN_PASS;

	if (nfq_nlmsg_parse(message, attributes) < 0 || !attributes[NFQA_PACKET_HDR])
		return MNL_CB_OK;
	const struct nfqnl_msg_packet_hdr *header = mnl_attr_get_payload(attributes[NFQA_PACKET_HDR]);
	uint32_t packet = ntohl(header->packet_id);
	const struct nlattr *payload = attributes[NFQA_PAYLOAD];

	if (attributes[NFQA_IFINDEX_INDEV])
		syn.index = ntohl(mnl_attr_get_u32(attributes[NFQA_IFINDEX_INDEV]));
	/* What is no SYN was marked by somebody else. */
	if (payload &&
	    rddr_admission_parse(mnl_attr_get_payload(payload), mnl_attr_get_payload_len(payload), &syn) == 0)
		verdict = rddr_admission_syn(a, &syn, packet);
	if (verdict != SYN_HOLD)
		rddr_admission_verdict(a, packet, verdict == SYN_PASS);
	return MNL_CB_OK;
}

static void on_queue(void *ctx, unsigned events)
{
	struct admission *a = ctx;
	_Alignas(struct nlmsghdr) char buf[MESSAGE_MAX];

	(void)events;
	for (int i = 0; i < TURN && a->queue; i++) {
		ssize_t n = mnl_socket_recvfrom(a->queue, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		/* ENOSPC: a message was cut; the kernel drops the packet with the queue. */
		if (n < 0)
			return;
		mnl_cb_run(buf, (size_t)n, 0, 0, on_message, a);
	}
}

/* ---- the queue itself ---- */

static bool is_wanted(const struct config *config, bool *fail_open)
{
	bool wanted = false;

	*fail_open = true;
	for (size_t i = 0; i < config->n_services; i++) {
		const struct admission_conf *conf = &config->services[i]->admission;

		wanted |= conf->on;
		/* What the queue has no room for is nobody's service to the kernel. */
		*fail_open &= !conf->on || conf->overflow == ADMISSION_PASS;
	}
	return wanted;
}

/* One message, so that no packet meets a queue that is half set up. */
static int configure(struct mnl_socket *queue, bool fail_open)
{
	char buf[512];
	struct nlmsghdr *message = nfq_nlmsg_put(buf, NFQNL_MSG_CONFIG, RDDR_QUEUE);

	message->nlmsg_flags |= NLM_F_ACK;
	nfq_nlmsg_cfg_put_cmd(message, AF_UNSPEC, NFQNL_CFG_CMD_BIND);
	nfq_nlmsg_cfg_put_params(message, NFQNL_COPY_PACKET, ADMISSION_PACKET_MAX);
	nfq_nlmsg_cfg_put_qmaxlen(message, ADMISSION_HELD_MAX);
	mnl_attr_put_u32(message, NFQA_CFG_MASK, htonl(NFQA_CFG_F_FAIL_OPEN));
	mnl_attr_put_u32(message, NFQA_CFG_FLAGS, htonl(fail_open ? NFQA_CFG_F_FAIL_OPEN : 0));
	if (mnl_socket_sendto(queue, message, message->nlmsg_len) < 0)
		return -errno;
	/* The kernel has answered before that returned, and nothing else was sent before. */
	ssize_t n = mnl_socket_recvfrom(queue, buf, sizeof(buf));
	if (n < 0 || mnl_cb_run(buf, (size_t)n, 0, 0, NULL, NULL) < 0)
		return -errno;
	return 0;
}

static int bind_queue(struct admission *a, bool fail_open)
{
	int on = 1, room = RECEIVE_BUFFER;
	struct mnl_socket *queue = mnl_socket_open2(NETLINK_NETFILTER, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (!queue)
		return -errno;
	int r = mnl_socket_bind(queue, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (r == 0) {
		/* The kernel tells of what it lost in its own counters; the SYN is passed on, or comes again. */
		mnl_socket_setsockopt(queue, NETLINK_NO_ENOBUFS, &on, sizeof(on));
		setsockopt(mnl_socket_get_fd(queue), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
		r = configure(queue, fail_open);
	}
	if (r == 0)
		r = rddr_loop_watch(a->worker->loop, &a->watch, mnl_socket_get_fd(queue), LOOP_IN, on_queue, a);
	if (r < 0) {
		mnl_socket_close(queue);
		return r;
	}
	a->queue = queue;
	a->fail_open = fail_open;
	return 0;
}

static void stop(struct admission *a)
{
	rddr_loop_timer_cancel(a->worker->loop, &a->retry);
	rddr_admission_abandon(a);
	if (!a->queue)
		return;
	rddr_loop_unwatch(a->worker->loop, &a->watch, mnl_socket_get_fd(a->queue));
	mnl_socket_close(a->queue);
	a->queue = NULL;
	log_info("admission: SYNs are held no more");
}

static void start(void *ctx)
{
	struct admission *a = ctx;
	bool fail_open;

	if (a->over || !is_wanted(a->worker->config, &fail_open)) {
		stop(a);
		return;
	}
	if (a->queue && a->fail_open != fail_open)
		stop(a);
	if ((a->raw4 < 0 || a->raw6 < 0) && !a->said_raw) {
		a->said_raw = true;
		log_warning("admission: resets cannot be sent (CAP_NET_RAW was missing at the start): SYNs for servers "
			    "that refuse are dropped");
	}
	if (a->queue)
		return;
	int r = bind_queue(a, fail_open);
	if (r == 0)
		log_info("admission: SYNs are held queue=%d", RDDR_QUEUE);
	else if (r != a->said)
		log_warning("admission: queue %d cannot be had: %s; it is tried again, and SYNs go the ordinary way "
			    "meanwhile",
			    RDDR_QUEUE,
			    r == -EPERM || r == -EBUSY ? "another process has it, or CAP_NET_ADMIN is missing"
						       : strerror(-r));
	a->said = r;
	if (r < 0)
		rddr_loop_timer_set(a->worker->loop, &a->retry, rddr_loop_now(a->worker->loop) + RETRY_MS);
}

/* ---- life ---- */

int rddr_admission_new(struct admission **out)
{
	struct admission *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	pthread_mutex_init(&a->lock, NULL);
	a->retry = (struct timer){.fn = start, .ctx = a};
	/* Of a protocol that nothing comes in for: these only send. */
	a->raw4 = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	a->raw6 = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_RAW);
	if (getrandom(&a->seed, sizeof(a->seed), 0) != sizeof(a->seed))
		a->seed = (uint64_t)(uintptr_t)a;
	*out = a;
	return 0;
}

void rddr_admission_free(struct admission **owned)
{
	struct admission *a = *owned;

	if (!a)
		return;
	rddr_own_close(&a->raw4);
	rddr_own_close(&a->raw6);
	pthread_mutex_destroy(&a->lock);
	free(a);
	*owned = NULL;
}

int rddr_admission_begin(struct admission *a, struct worker *worker)
{
	a->worker = worker;
	return rddr_worker_call(worker, start, a);
}

void rddr_admission_reconfigure(struct admission *a, const struct worker *worker)
{
	if (a && a->worker == worker)
		start(a);
}

void rddr_admission_drain(struct admission *a, const struct worker *worker)
{
	if (!a || a->worker != worker || a->over)
		return;
	a->over = true;
	stop(a);
}
