/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * takeover.c - a new daemon in the place of a running one, with no connection refused or reset in between.
 *
 * The old daemon hands its listening sockets over its control socket: the very same sockets, with what is queued on
 * them and with the handshakes that are under way. Both accept for a moment; then the new one, whose tables are in the
 * kernel, tells the old one to retire. When it cannot get there it gives up, and the old one goes on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "daemon.h"
#include "listener.h"
#include "log.h"
#include "notify.h"
#include "own.h"

#define ASK_MS 10000

static int ask(const char *path, const char *command, size_t from, json_object **result, int *fds, size_t *n)
{
	json_object *request = json_object_new_object(), *answer = NULL, *value;
	int r = -ENOMEM;

	if (request) {
		json_object_object_add(request, "command", json_object_new_string(command));
		json_object_object_add(request, "from", json_object_new_int64((int64_t)from));
		r = rddr_control_ask(path, request, ASK_MS, &answer, fds, n);
		json_object_put(request);
	}
	if (r < 0)
		return r;
	if (json_object_object_get_ex(answer, "ok", &value) && json_object_get_boolean(value) &&
	    json_object_object_get_ex(answer, "result", &value)) {
		*result = json_object_get(value);
	} else {
		bool said = json_object_object_get_ex(answer, "error", &value);

		log_error("takeover: the running daemon refused %s: %s", command,
			  said ? json_object_get_string(value) : "no reason");
		r = -EPROTO;
	}
	json_object_put(answer);
	return r;
}

static const char *text_of(json_object *o, const char *key)
{
	json_object *value;

	return json_object_object_get_ex(o, key, &value) ? json_object_get_string(value) : NULL;
}

static int adopt(struct daemon *d, json_object *o, int fd)
{
	_owned_fd_ int owned = fd;
	json_object *slot;
	struct daemon_socket sock = {.fd = fd};
	socklen_t len = sizeof(sock.address);
	const char *service = text_of(o, "service");

	if (getsockname(fd, &sock.address.sa, &len) < 0)
		return -errno;
	sock.family = sock.address.sa.sa_family;
	if (!json_object_object_get_ex(o, "slot", &slot))
		return -EPROTO;
	int64_t number = json_object_get_int64(slot);
	if (number < 0 || number >= WORKERS_MAX)
		return -EPROTO;
	sock.slot = (unsigned)number;
	sock.worker = sock.slot % d->n_workers;
	_owned_mem_ char *name = service ? strdup(service) : NULL;
	struct daemon_socket *more = realloc(d->sockets, (d->n_sockets + 1) * sizeof(*more));
	if (!more || (service && !name))
		return -ENOMEM;
	d->sockets = more;
	int r = rddr_worker_add_listener(d->workers[sock.worker], TAKE_FD(owned), service);
	if (r < 0)
		return r;
	sock.service = TAKE_PTR(name);
	d->sockets[d->n_sockets++] = sock;
	return 0;
}

/* One page of sockets; how many, or -errno. */
static int inherit_page(struct daemon *d, const char *path)
{
	int fds[CONTROL_FDS];
	size_t n = CONTROL_FDS;
	json_object *result = NULL, *list;
	int r = ask(path, "listeners", d->n_sockets, &result, fds, &n);

	if (r < 0)
		return r;
	if (!json_object_object_get_ex(result, "listeners", &list) || json_object_array_length(list) != n)
		r = -EPROTO;
	for (size_t i = 0; i < n; i++) {
		if (r < 0)
			close(fds[i]);
		else
			r = adopt(d, json_object_array_get_idx(list, i), fds[i]);
	}
	json_object_put(result);
	return r < 0 ? r : (int)n;
}

/* Whether the running daemon has connections steered to it, which would be lost with it. */
static int ask_steers(const char *path, bool *steers)
{
	json_object *result = NULL, *steering;
	int r = ask(path, "status", 0, &result, NULL, NULL);

	if (r < 0)
		return err_r(r, "takeover: the daemon at %s does not say whether it steers", path);
	const char *state =
		json_object_object_get_ex(result, "steering", &steering) ? text_of(steering, "state") : NULL;
	bool draining = json_object_object_get_ex(result, "draining", &steering) && json_object_get_boolean(steering);
	*steers = state && !strcmp(state, "attached") && !draining;
	json_object_put(result);
	return 0;
}

int rddr_takeover_inherit(struct daemon *d, const char *path, bool *steers)
{
	int n;

	do {
		n = inherit_page(d, path);
	} while (n > 0);
	if (n == -ENOENT || n == -ECONNREFUSED)
		return n;
	if (n < 0)
		return err_r(n, "takeover: the sockets of the daemon at %s cannot be had", path);
	int r = ask_steers(path, steers);
	if (r < 0)
		return r;
	d->inherited = true;
	log_info("takeover: %zu listening sockets inherited from the daemon at %s", d->n_sockets, path);
	return 0;
}

int rddr_takeover_retire(const char *path)
{
	json_object *result = NULL;

	/* The service would end with the old one's process, were it still the service's. */
	int r = rddr_notify_main();
	if (r == 0)
		r = ask(path, "retire", 0, &result, NULL, NULL);

	json_object_put(result);
	return r < 0 ? err_r(r, "takeover: the daemon at %s does not retire", path) : 0;
}

void rddr_takeover_give_up(struct daemon *d, const char *path)
{
	json_object *result = NULL;

	/* Nothing of ours is in the kernel. */
	if (!d->steering && !d->published)
		return;
	int r = ask(path, "publish", 0, &result, NULL, NULL);
	if (r < 0)
		err_r(r, "takeover: the daemon at %s was not told to publish its steering again; reload it", path);
	json_object_put(result);
}
