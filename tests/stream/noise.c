/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * noise.c - filter: true. What the filter pair makes differently each time passes, within the budget, and only where
 * the third has something of the same kind; the client gets instance 0's. However the answers arrive, the verdict is
 * the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "play/world.h"

static struct world w;

/* A page of 2,000 bytes with one place for a word in its middle. */
#define PAGE  2000
#define PLACE 1500

struct page {
	const char *name;
	const char *words[3];
	size_t repeat;	    /* each word so often, without anything between */
	const char *reason; /* NULL: it passes */
	int minority;
	const char *why;
};

static const struct page pages[] = {
	{"no noise", {"same-word", "same-word", "same-word"}, 1, NULL, 0, NULL},
	{"a token", {"token=a81f03bc77", "token=9d00c2e1f4", "token=77e0b1a2c3"}, 1, NULL, 0, NULL},
	{"a number", {"1234567890", "9876543210", "5555555555"}, 1, NULL, 0, NULL},
	{"the third has markup",
	 {"a81f03bc77", "9d00c2e1f4", "<script>xx"},
	 1,
	 "divergence",
	 2,
	 "form of the pair's noise"},
	{"the third has letters for digits", {"1234567890", "9876543210", "123456789x"}, 1, "divergence", 2, NULL},
	{"the third differs where the pair does not",
	 {"same-word", "same-word", "other-one"},
	 1,
	 "divergence",
	 2,
	 NULL},
	{"past the longest run", {"a81f03bc77", "9d00c2e1f4", "77e0b1a2c3"}, 40, "divergence", -2, "budget"},
};

static const char *part(char *text, const struct page *page, unsigned i)
{
	size_t len = strlen(page->words[i]);

	memset(text, '.', PAGE);
	for (size_t k = 0; k < page->repeat; k++)
		memcpy(text + PLACE + k * len, page->words[i], len);
	text[PLACE - 1] = text[PLACE + page->repeat * len] = ' ';
	return text;
}

static int begin(void **state)
{
	(void)state;
	world_init(&w, AF_INET, 3, "workers: 1");
	world_add(&w, "pair", 3, "filter: true|deadlines: { skew: 60s }");
	world_start(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_free(&w);
	return 0;
}

static void show(const struct page *page, uint32_t dribbles)
{
	static char text[3][PAGE];
	struct expected e = {"deny", page->reason, -1, page->minority, page->why};
	struct play p;
	char what[128];

	snprintf(what, sizeof(what), "%s, dribbling %x", page->name, dribbles);
	play_init(&p, 3);
	says(&p.client, "give\n", 5);
	if (!page->reason) {
		does(&p.client, ACT_HEAR, PAGE);
		does(&p.client, ACT_FIN, 0);
	}
	does(&p.client, ACT_HEAR_END, 0);
	p.client.dribbles = dribbles & 1;
	for (unsigned i = 0; i < 3; i++) {
		does(&p.server[i], ACT_HEAR, 5);
		says(&p.server[i], part(text[i], page, i), PAGE);
		does(&p.server[i], ACT_HEAR_END, 0);
		p.server[i].dribbles = dribbles >> (1 + i) & 1;
	}
	/* Of a page that is denied nothing from the noise on may come. */
	expects(&p.client, text[0], page->reason ? PLACE + page->repeat * strlen(page->words[0]) : PAGE);
	for (unsigned i = 0; i < 3; i++)
		does(&p.server[i], ACT_CLOSE, 0);
	world_play(&w, &p, "pair");
	play_run(&w.stage, &p, client_closed);
	if (p.client.wrong || p.client.reset != (page->reason != NULL) || (!page->reason && p.client.heard != PAGE)) {
		play_show(&p);
		fail_msg("%s: the client did not get what it was to get", what);
	}
	play_free(&p);
	child_wait_sessions(&w.daemon, 0);
	if (page->reason)
		world_check_evidence(&w, NULL, &p, "pair", &e, what);
}

static void pages_with_noise(void **state)
{
	uint64_t denied = 0;

	(void)state;
	for (size_t k = 0; k < sizeof(pages) / sizeof(pages[0]); k++) {
		show(&pages[k], 0);
		for (unsigned i = 0; i < 4; i++)
			show(&pages[k], 1u << i);
		show(&pages[k], UINT32_MAX);
		denied += pages[k].reason ? 6 : 0;
	}
	assert_int_equal(child_counter(&w.daemon, "pair", "denied"), denied);
	assert_int_equal(child_counter(&w.daemon, "pair", "denied_divergence"), denied);
	assert_true(child_counter(&w.daemon, "pair", "noise_bytes") >= 6 * 20);
}

static void ends_in_order(void **state)
{
	(void)state;
	child_stop(&w.daemon);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_with_noise),
		cmocka_unit_test(ends_in_order),
	};

	return cmocka_run_group_tests_name("stream: noise", tests, begin, end);
}
