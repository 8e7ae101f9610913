/* SPDX-License-Identifier: BSD-2-Clause */
#include "scribe.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Entries lie in the ring in one piece each, at multiples of this, so that a writer is given the queued bytes
 * themselves. */
#define ALIGN	     32u
#define CAPACITY_MIN 4096u
#define CAPACITY_MAX (1u << 30)
#define STACK_SIZE   (256u * 1024)

struct entry {
	scribe_fn write; /* NULL: padding up to the end of the ring */
	void *ctx;
	uint32_t len;
	uint32_t size; /* of the whole entry, in the ring */
	char line[];
};

_Static_assert(sizeof(struct entry) <= ALIGN, "a padding entry has to fit into the smallest rest of the ring");

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;	/* the thread waits on it for work */
	pthread_cond_t written; /* rddr_scribe_flush waits on it for progress */
	pthread_t thread;
	bool running, stopping, asleep;
	unsigned flushing;
	char *ring;
	size_t capacity, head, tail, used;
	uint64_t n_queued, n_written;
} scribe = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.wake = PTHREAD_COND_INITIALIZER,
	.written = PTHREAD_COND_INITIALIZER,
};

static void drop_entry(const struct entry *entry)
{
	scribe.used -= entry->size;
	scribe.tail += entry->size;
	if (scribe.tail == scribe.capacity)
		scribe.tail = 0;
}

/* Writes the oldest entry. Called, and returns, with the lock held; the lock is open while the line is written. */
static void write_oldest(void)
{
	const struct entry *entry = (const struct entry *)(scribe.ring + scribe.tail);

	if (entry->write) {
		pthread_mutex_unlock(&scribe.lock);
		entry->write(entry->ctx, entry->line, entry->len);
		pthread_mutex_lock(&scribe.lock);
		scribe.n_written++;
		if (scribe.flushing)
			pthread_cond_broadcast(&scribe.written);
	}
	drop_entry(entry);
}

static void *run(void *unused)
{
	(void)unused;
	pthread_mutex_lock(&scribe.lock);
	for (;;) {
		while (scribe.used)
			write_oldest();
		if (scribe.stopping)
			break;
		scribe.asleep = true;
		pthread_cond_wait(&scribe.wake, &scribe.lock);
		scribe.asleep = false;
	}
	scribe.running = false;
	pthread_mutex_unlock(&scribe.lock);
	return NULL;
}

/* Signals stay with the threads that want them: the mask is inherited by the new one. */
static int start_thread(void)
{
	pthread_attr_t attr;
	sigset_t all, before;
	int err = pthread_attr_init(&attr);

	if (err)
		return -err;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&scribe.thread, &attr, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (!err)
		pthread_setname_np(scribe.thread, "rddr-scribe");
	return -err;
}

int rddr_scribe_start(size_t capacity)
{
	int err = 0;

	if (capacity < CAPACITY_MIN)
		capacity = CAPACITY_MIN;
	if (capacity > CAPACITY_MAX)
		return -EINVAL;
	capacity -= capacity % ALIGN;

	pthread_mutex_lock(&scribe.lock);
	if (scribe.running) {
		err = -EALREADY;
		goto out;
	}
	scribe.ring = aligned_alloc(ALIGN, capacity);
	if (!scribe.ring) {
		err = -ENOMEM;
		goto out;
	}
	scribe.capacity = capacity;
	scribe.head = scribe.tail = scribe.used = 0;
	scribe.n_queued = scribe.n_written = 0;
	scribe.stopping = scribe.asleep = false;
	err = start_thread();
	scribe.running = !err;
	if (err) {
		free(scribe.ring);
		scribe.ring = NULL;
	}
out:
	pthread_mutex_unlock(&scribe.lock);
	return err;
}

void rddr_scribe_stop(void)
{
	pthread_mutex_lock(&scribe.lock);
	if (!scribe.running || scribe.stopping) {
		pthread_mutex_unlock(&scribe.lock);
		return;
	}
	scribe.stopping = true;
	pthread_cond_signal(&scribe.wake);
	pthread_mutex_unlock(&scribe.lock);

	pthread_join(scribe.thread, NULL);

	pthread_mutex_lock(&scribe.lock);
	free(scribe.ring);
	scribe.ring = NULL;
	pthread_mutex_unlock(&scribe.lock);
}

/* A place for size bytes in one piece, or NULL when there is none. */
static struct entry *reserve(size_t size)
{
	size_t rest, padding;
	struct entry *entry;

	if (!scribe.used)
		scribe.head = scribe.tail = 0; /* an empty ring takes what is as long as itself */
	rest = scribe.capacity - scribe.head;
	padding = size > rest ? rest : 0;
	entry = (struct entry *)(scribe.ring + scribe.head);
	if (size + padding > scribe.capacity - scribe.used)
		return NULL;
	if (padding) {
		*entry = (struct entry){.size = (uint32_t)padding};
		entry = (struct entry *)scribe.ring;
		scribe.head = 0;
	}
	scribe.used += size + padding;
	scribe.head += size;
	if (scribe.head == scribe.capacity)
		scribe.head = 0;
	return entry;
}

bool rddr_scribe_put(scribe_fn write, void *ctx, const char *line, size_t len)
{
	struct entry *entry = NULL;
	size_t size;

	if (len > CAPACITY_MAX)
		return false;
	size = (sizeof(*entry) + len + ALIGN - 1) / ALIGN * ALIGN;

	pthread_mutex_lock(&scribe.lock);
	if (scribe.running)
		entry = reserve(size);
	if (entry) {
		entry->write = write;
		entry->ctx = ctx;
		entry->len = (uint32_t)len;
		entry->size = (uint32_t)size;
		memcpy(entry->line, line, len);
		scribe.n_queued++;
		if (scribe.asleep)
			pthread_cond_signal(&scribe.wake);
	}
	pthread_mutex_unlock(&scribe.lock);
	return entry;
}

void rddr_scribe_flush(void)
{
	uint64_t until;

	pthread_mutex_lock(&scribe.lock);
	until = scribe.n_queued;
	if (scribe.running && !pthread_equal(scribe.thread, pthread_self())) {
		scribe.flushing++;
		while (scribe.n_written < until)
			pthread_cond_wait(&scribe.written, &scribe.lock);
		scribe.flushing--;
	}
	pthread_mutex_unlock(&scribe.lock);
}

bool rddr_scribe_running(void)
{
	bool running;

	pthread_mutex_lock(&scribe.lock);
	running = scribe.running;
	pthread_mutex_unlock(&scribe.lock);
	return running;
}

bool rddr_scribe_has_room(void)
{
	bool room;

	pthread_mutex_lock(&scribe.lock);
	room = scribe.running && scribe.used <= scribe.capacity / 2;
	pthread_mutex_unlock(&scribe.lock);
	return room;
}
