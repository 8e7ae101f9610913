/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The login of a PostgreSQL session, both sides of it: the input says how it is set up, and then which end sends which
 * message. "@C" and "@S" in a message stand for the nonce of the first frontend's, or the first backend's, exchange, so
 * that the last messages can be got to.
 *
 *	byte 0	bits 0-1: instances less 1; 2: outgoing; 3: reports; 4-5: which of the secrets the user has
 *	byte 1	client-auth
 *	then	a byte: bits 0-2: the end (0-3 a backend, 4-7 a frontend); 3: it is no whole message (too long);
 *		4: jobs are done first; 5: the instance is gone. A byte: type. A byte: length. The body.
 */
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../unit/diff/fakehost.h"
#include "pg_auth.h"
#include "pg_auth_own.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const users[] = {"plain", "hashed", "scram", "nobody"};
static const char *const methods[] = {"auto", "trust", "password", "md5", "scram-sha-256"};

/* The files are read once for each method: the keys that they keep make no difference to anything but time. */
static struct pg_auth_conf *conf_of(unsigned method, bool credentials)
{
	static struct pg_auth_conf *confs[5][2];
	char path[] = "/tmp/fuzz-pg_auth.XXXXXX", json[256], err[256] = "";

	if (confs[method][credentials])
		return confs[method][credentials];
	int fd = mkstemp(path);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
	if (!file)
		abort();
	fputs("plain secret\n"
	      "hashed md500112233445566778899aabbccddeeff\n"
	      "scram SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
	      ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n",
	      file);
	fclose(file);
	snprintf(json, sizeof(json), "{\"max-iterations\":4096,\"client-auth\":\"%s\"%s%s%s}", methods[method],
		 credentials ? ",\"credentials\":\"" : "", credentials ? path : "", credentials ? "\"" : "");
	struct json_object *object = json_tokener_parse(json);
	if (!object || rddr_pg_auth_conf_read(object, &confs[method][credentials], err, sizeof(err)) < 0)
		abort();
	json_object_put(object);
	unlink(path);
	return confs[method][credentials];
}

/* The message with the nonces in it. */
static size_t fill_in(const struct pg_auth *a, const uint8_t *in, size_t len, uint8_t *out, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		const char *nonce = NULL;

		if (in[i] == '@' && i + 1 < len && in[i + 1] == 'C' && a->frontends[0].scram)
			nonce = a->frontends[0].scram->nonce;
		if (in[i] == '@' && i + 1 < len && in[i + 1] == 'S' && a->backends[0].scram)
			nonce = a->backends[0].scram->nonce;
		if (nonce && n + strlen(nonce) <= room) {
			while (*nonce)
				out[n++] = (uint8_t)*nonce++;
			i++;
		} else if (n < room) {
			out[n++] = in[i];
		}
	}
	return n;
}

static void one_message(struct rddr_session *s, struct pg_auth *a, uint8_t what, char type, const uint8_t *in,
			size_t len)
{
	enum pg_auth_role role = what & 4 ? PG_AUTH_FRONTEND : PG_AUTH_BACKEND;
	unsigned i = what & 3;
	uint8_t filled[2048];
	size_t n = fill_in(a, in, len, filled, sizeof(filled));
	/* Of its own size, so that reading behind it is seen. */
	uint8_t *body = malloc(n ? n : 1);

	if (!body)
		abort();
	memcpy(body, filled, n);
	if (what & 16)
		fake_work(s, true);
	if (what & 32 && i < s->n)
		rddr_pg_auth_gone(a, i);
	if (i < (role == PG_AUTH_FRONTEND ? a->n_frontends : a->n_backends) && rddr_pg_auth_wants(a, role, i))
		rddr_pg_auth_take(a, role, i, type, what & 8 ? NULL : body, what & 8 ? 5000 : n);
	free(body);
	/* Nobody is let in who has not proved anything. */
	if (rddr_pg_auth_state(a) == PG_AUTH_DONE && !a->reports && a->pretended)
		abort();
	(void)rddr_pg_auth_patient(a);
	rddr_pg_auth_reveal(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rddr_session s;
	struct pg_auth *a = NULL;

	if (size < 2)
		return 0;
	memset(&s, 0, sizeof(s));
	s.n = (data[0] & 3) + 1;
	s.state = &s;
	const struct rddr_diff_create args = {
		.size = sizeof(args),
		.direction = data[0] & 4 ? RDDR_OUTGOING : RDDR_INCOMING,
		.instances = s.n,
		.host = &fake_host,
		.session = &s,
		.reports = data[0] & 8,
	};
	struct pg_auth_conf *conf = conf_of(data[1] % 5, !(data[1] & 128));
	if (rddr_pg_auth_new(conf, &args, &a) < 0 || rddr_pg_auth_begin(a, users[data[0] >> 4 & 3]) < 0)
		abort();
	data += 2;
	size -= 2;
	while (size >= 3) {
		size_t len = data[2] < size - 3 ? data[2] : size - 3;

		one_message(&s, a, data[0], (char)data[1], data + 3, len);
		data += 3 + len;
		size -= 3 + len;
	}
	rddr_pg_auth_free(&a);
	fake_work(&s, true);
	for (unsigned i = 0; i < FAKE_ENDS; i++)
		free(s.out[i].data);
	return 0;
}
