/* SPDX-License-Identifier: BSD-2-Clause */
#include "offload.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics.h"
#include "session.h"
#include "worker.h"

#define SESSIONS 4

/* The plugin of these sessions: asked anew, it says so. */
static atomic_uint asked;

static enum rddr_verdict diff(void *state, const struct rddr_view views[], unsigned n, struct rddr_diff_result *result)
{
	(void)state, (void)views, (void)n, (void)result;
	atomic_fetch_add(&asked, 1);
	return RDDR_WAIT;
}

static const struct rddr_diff_plugin plugin = {.diff_traffic = diff};

static struct config config; /* its references are counted, and never come to 0 */
static struct service service = {
	.enforcing = true, .n_instances = 1, .limits = {.buffer = 1u << 20}, .deadlines = {.idle = 1u << 30}};
static struct worker worker;
static struct offload *pool;
static pthread_t main_thread;

static struct rddr_session *session_new(void)
{
	struct rddr_session *s = calloc(1, sizeof(*s) + sizeof(s->many[0]));

	assert_non_null(s);
	s->worker = &worker;
	s->config = &config;
	s->service = &service;
	s->ops = &plugin;
	s->n = 1;
	s->comparing = true;
	s->state = s;
	return s;
}

static int setup(void **state)
{
	(void)state;
	memset(&worker, 0, sizeof(worker));
	config.references = 1;
	service.metrics = rddr_metrics_set("offload");
	asked = 0;
	main_thread = pthread_self();
	if (rddr_loop_new(&worker.loop) < 0 || rddr_offload_new(&pool) < 0)
		return -1;
	worker.offload = pool;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rddr_offload_free(&pool);
	rddr_loop_free(&worker.loop);
	return config.references == 1 ? 0 : -1;
}

struct job {
	void *state;	       /* that it came back with */
	pthread_mutex_t *gate; /* work waits for it */
	unsigned result, back;
	bool worked, elsewhere;
	atomic_bool begun;
};

static unsigned back;

static void work(void *ctx)
{
	struct job *job = ctx;

	atomic_store(&job->begun, true);
	if (job->gate) {
		pthread_mutex_lock(job->gate);
		pthread_mutex_unlock(job->gate);
	}
	job->worked = true;
	job->elsewhere = !pthread_equal(pthread_self(), main_thread);
	for (unsigned i = 0; i < 1000; i++)
		job->result = job->result * 31 + i;
}

static void done(void *state, void *ctx)
{
	struct job *job = ctx;

	assert_true(pthread_equal(pthread_self(), main_thread));
	job->state = state;
	job->back++;
	back++;
}

static void until_back(unsigned n)
{
	while (back < n)
		assert_int_equal(rddr_loop_step(worker.loop), 0);
}

static void test_comes_back_and_asks(void **state)
{
	struct rddr_session *s = session_new();
	struct job job = {0};

	(void)state;
	back = 0;
	assert_true(rddr_offload(s, work, done, &job));
	assert_int_equal(config.references, 2);
	until_back(1);
	assert_true(job.worked && job.elsewhere);
	assert_ptr_equal(job.state, s);
	assert_null(s->offloaded);
	assert_int_equal(asked, 1);
	assert_int_equal(rddr_metrics_read(service.metrics, METRIC_offloaded), 1);
	rddr_loop_timer_cancel(worker.loop, &s->timer);
	free(s);
}

static void test_many_at_once(void **state)
{
	static struct job jobs[SESSIONS][50];
	struct rddr_session *sessions[SESSIONS];

	(void)state;
	back = 0;
	memset(jobs, 0, sizeof(jobs));
	for (unsigned i = 0; i < SESSIONS; i++)
		sessions[i] = session_new();
	for (unsigned k = 0; k < 50; k++) {
		for (unsigned i = 0; i < SESSIONS; i++)
			assert_true(rddr_offload(sessions[i], work, done, &jobs[i][k]));
	}
	until_back(SESSIONS * 50);
	for (unsigned i = 0; i < SESSIONS; i++) {
		for (unsigned k = 0; k < 50; k++) {
			assert_int_equal(jobs[i][k].back, 1);
			assert_ptr_equal(jobs[i][k].state, sessions[i]);
			assert_int_equal(jobs[i][k].result, jobs[0][0].result);
		}
		assert_null(sessions[i]->offloaded);
		rddr_loop_timer_cancel(worker.loop, &sessions[i]->timer);
		free(sessions[i]);
	}
}

/* The session's memory is gone when the jobs come back: those that wait, that are worked on, and that were done. */
static void test_session_ends_meanwhile(void **state)
{
	static struct job jobs[20];
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct rddr_session *s = session_new(), *other = session_new();
	struct job late = {0};

	(void)state;
	back = 0;
	memset(jobs, 0, sizeof(jobs));
	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < 20; i++) {
		jobs[i].gate = &gate;
		assert_true(rddr_offload(s, work, done, &jobs[i]));
	}
	assert_true(rddr_offload(other, work, done, &late));
	while (!atomic_load(&jobs[0].begun))
		sched_yield();
	rddr_offload_forget(s);
	free(s);
	pthread_mutex_unlock(&gate);
	until_back(21);
	unsigned undone = 0;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(jobs[i].back, 1);
		assert_null(jobs[i].state);
		undone += !jobs[i].worked;
	}
	/* No more than each thread had begun. */
	assert_true(undone >= 20 - OFFLOAD_THREADS);
	assert_true(late.worked);
	assert_ptr_equal(late.state, other);
	rddr_loop_timer_cancel(worker.loop, &other->timer);
	free(other);
}

static void test_no_more_than_the_bound(void **state)
{
	static struct job jobs[OFFLOAD_WAITING + OFFLOAD_THREADS + 1];
	pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
	struct rddr_session *s = session_new();
	unsigned taken = 0;

	(void)state;
	back = 0;
	memset(jobs, 0, sizeof(jobs));
	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < OFFLOAD_WAITING + OFFLOAD_THREADS + 1; i++) {
		jobs[i].gate = &gate;
		taken += rddr_offload(s, work, done, &jobs[i]);
	}
	assert_in_range(taken, OFFLOAD_WAITING, OFFLOAD_WAITING + OFFLOAD_THREADS);
	assert_true(rddr_metrics_read(service.metrics, METRIC_offload_refused) > 0);
	pthread_mutex_unlock(&gate);
	until_back(taken);
	rddr_loop_timer_cancel(worker.loop, &s->timer);
	free(s);
}

/* What was not begun comes back undone, and is its sessions' end. */
static void test_stops_with_jobs_that_wait(void **state)
{
	static struct job jobs[100];
	struct rddr_session *s = session_new();

	(void)state;
	back = 0;
	memset(jobs, 0, sizeof(jobs));
	for (unsigned i = 0; i < 100; i++)
		assert_true(rddr_offload(s, work, done, &jobs[i]));
	rddr_offload_stop(pool);
	assert_false(rddr_offload(s, work, done, &jobs[0]));
	rddr_offload_forget(s);
	free(s);
	/* The loop runs what nobody came for. */
	rddr_loop_free(&worker.loop);
	assert_int_equal(back, 100);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(jobs[i].back, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_back_and_asks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_session_ends_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_more_than_the_bound, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stops_with_jobs_that_wait, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
