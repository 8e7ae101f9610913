/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an instance asks in an outgoing service. What opening says of it has to be the same however much more has come;
 * two instances that say it agree, in one piece and in many; and what then goes to the backend is read as the same
 * request, without what it belongs to. The first byte chooses the parameters, the second the size of the pieces.
 */
#include "../unit/diff/fakehost.h"
#include "../unit/diff/fakehttp.h"

enum { N = 2 };

static const char *const params_of[] = {
	"{}",
	"{\"correlate\":{}}",
	"{\"correlate\":{\"header\":\"X-A\"},\"max-head\":1024,\"max-body\":1024}",
	"{\"fields\":[{\"pointer\":\"/a/*\",\"action\":\"ignore\"},{\"header\":\"X-*\",\"action\":\"token\"}],"
	"\"unordered\":[\"/b\"],\"undecided\":\"bytes\"}",
};

static void need(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "%s\n", what);
		abort();
	}
}

static bool same(const struct rddr_opening_result *a, const struct rddr_opening_result *b)
{
	return a->key == b->key && a->loose == b->loose && strcmp(a->correlation, b->correlation) == 0;
}

/* Nothing that comes later changes what was said. */
static enum rddr_opens open_all(struct rddr_session *s, const void *params, const uint8_t *data, size_t size,
				size_t piece, struct rddr_opening_result *whole)
{
	enum rddr_opens opens = fake_open(s, &fakehttp, params, data, size, whole), part;
	struct rddr_opening_result result;

	for (size_t len = piece; len < size; len += piece) {
		part = fake_open(s, &fakehttp, params, data, len, &result);
		need(part == RDDR_OPENS_WAIT || part == opens, "another outcome when more has come");
		need(part != RDDR_OPENS || same(&result, whole), "another key when more has come");
	}
	return opens;
}

/* Both ask that. True: they agree. What the backend gets is in out. */
static bool ask(struct rddr_session *s, const char *json, const uint8_t *data, size_t size, size_t piece)
{
	bool fits = true;
	size_t shown = 0;

	need(fake_begin_outgoing(s, &fakehttp, N, json) == 0, "begin");
	for (unsigned i = 0; i < N; i++)
		fake_set(&s->in[i], data, size, RDDR_END_OPEN);
	while (fits && shown < size) {
		shown = piece < size - shown ? shown + piece : size;
		for (unsigned i = 0; i < N && fits; i++) {
			s->in[i].shown = shown;
			fits = fake_diff(s);
		}
	}
	return fits;
}

static bool asked(const struct rddr_session *s)
{
	return ((const struct http *)s->state)->exchange.pending;
}

static void check_passed(struct rddr_session *s, const struct rddr_opening_result *said)
{
	const struct fake_out *out = &s->out[FAKE_LONE];
	struct rddr_opening_result again;
	bool http = rddr_rules_settings(s->params)->correlate[0] == '\0';

	need(fake_open(s, &fakehttp, s->params, out->data, out->len, &again) == RDDR_OPENS,
	     "what the backend gets is no whole request");
	need(again.key == said->key && again.loose == said->loose, "the backend gets another request");
	need(http || !again.correlation[0], "the backend is told what it belongs to");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rddr_session whole, pieces;
	struct rddr_opening_result said;
	const char *json;
	size_t piece;

	if (size < 3 || size > 20000)
		return 0;
	json = params_of[data[0] % (sizeof(params_of) / sizeof(params_of[0]))];
	/* Not too many of them. */
	piece = 1 + data[1] % 64 + size / 256;
	data += 2;
	size -= 2;

	bool fits = ask(&whole, json, data, size, size);
	need(ask(&pieces, json, data, size, piece) == fits, "the verdict depends on the pieces");
	need(!fits || asked(&whole) == asked(&pieces), "whether all is there depends on the pieces");
	enum rddr_opens opens = open_all(&whole, whole.params, data, size, piece, &said);
	if (fits && asked(&whole)) {
		need(opens == RDDR_OPENS, "a whole request does not open");
		check_passed(&whole, &said);
		check_passed(&pieces, &said);
	}
	need(opens != RDDR_OPENS_NOT || !fits, "what is refused at first agrees later");
	fake_end(&whole);
	fake_end(&pieces);
	return 0;
}
