/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bytes.c - the plainest judge: the streams match byte for byte. body_bytes.h says how.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "body_bytes.h"

struct bytes {
	const struct rddr_host *host;
	struct rddr_session *session;
	struct byte_judge judge;
};

static bool charge_noise(void *ctx, size_t run)
{
	struct bytes *b = ctx;

	return b->host->charge_noise(b->session, run);
}

static enum rddr_verdict diff_traffic(void *state, const struct rddr_view views[], unsigned n,
				      struct rddr_diff_result *result)
{
	struct bytes *b = state;

	return rddr_body_bytes_compare(&b->judge, views, n, result);
}

static const char *skip_space(const char *p)
{
	return p + strspn(p, " \t\r\n");
}

/* The host hands in the text of a JSON object that it made itself; all that matters is whether a key is in it, and
 * which. */
static int validate_params(const char *json, void **params, char *err, size_t errlen)
{
	const char *p = skip_space(json);
	size_t len = 0;

	(void)params;
	if (*p == '{' && *(p = skip_space(p + 1)) == '}' && *skip_space(p + 1) == '\0')
		return 0;
	if (*p != '"') {
		snprintf(err, errlen, "diff-params: is no object: %s", json);
		return -EINVAL;
	}
	for (p++; p[len] && p[len] != '"'; len++)
		if (p[len] == '\\' && p[len + 1])
			len++;
	snprintf(err, errlen, "diff-params.%.*s: no such key: diff-class bytes takes no parameters", (int)len, p);
	return -EINVAL;
}

static int create(const struct rddr_diff_create *args, void **state)
{
	struct bytes *b;

	/* With two instances the pair would be all there is, and nothing would be left to compare. */
	if (args->do_filter && args->instances < 3)
		return -EINVAL;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->host = args->host;
	b->session = args->session;
	rddr_body_bytes_init(&b->judge, args->do_filter, args->noise_run, args->limit, charge_noise, b);
	*state = b;
	return 0;
}

static void destroy(void *state)
{
	free(state);
}

const struct rddr_diff_plugin rddr_diff_plugin = {
	.abi = RDDR_DIFF_ABI,
	.size = sizeof(rddr_diff_plugin),
	.name = "bytes",
	.validate_params = validate_params,
	.create = create,
	.destroy = destroy,
	.diff_traffic = diff_traffic,
	/* The lone end's bytes go to all as they are. A denial says nothing: whatever it said could be taken for an
	   answer. */
};
