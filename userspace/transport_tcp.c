/* SPDX-License-Identifier: BSD-2-Clause */
#include "transport.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "endpoint.h"

/*
 * Past libc's recv() and send(): those are cancellation points, which cost a few percent of a worker's time in a
 * program with threads, and nobody cancels one here.
 */
static ssize_t tcp_recv(struct endpoint *ep, void *buf, size_t len)
{
	ssize_t n;

	do {
		n = syscall(SYS_recvfrom, ep->fd, buf, len, 0, NULL, NULL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static ssize_t tcp_send(struct endpoint *ep, const struct iovec *parts, int n)
{
	/* The kernel only reads through it. */
	struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = (size_t)n};
	ssize_t sent;

	do {
		sent = n == 1 ? syscall(SYS_sendto, ep->fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL, NULL, 0)
			      : syscall(SYS_sendmsg, ep->fd, &msg, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : sent;
}

static int tcp_error(struct endpoint *ep)
{
	int error = 0;
	socklen_t len = sizeof(error);

	return getsockopt(ep->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static int tcp_end(struct endpoint *ep)
{
	return shutdown(ep->fd, SHUT_WR) < 0 ? -errno : 0;
}

static void tcp_close(struct endpoint *ep, bool reset)
{
	struct linger at_once = {.l_onoff = 1};

	if (reset)
		setsockopt(ep->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(ep->fd);
	ep->fd = -1;
}

const struct transport rddr_transport_tcp = {
	.name = "tcp",
	.short_read_drains = true,
	.recv = tcp_recv,
	.send = tcp_send,
	.error = tcp_error,
	.end = tcp_end,
	.close = tcp_close,
};
