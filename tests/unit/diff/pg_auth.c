/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients and servers here speak the protocol by themselves, message by message; between them stands the login as the
 * plugin drives it.
 */
#include "pg_auth.h"

#include <json-c/json.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fakehost.h"
#include "pg_auth_own.h"

#define MOST 4

/* A server of the test's own. */
struct server {
	enum pg_method method;
	const char *password;
	const char *salt; /* 16 characters */
	uint32_t iterations;
	bool refuses; /* before it demands anything */
	bool lies;    /* its signature is not the user's */
	bool forgets; /* it lets in without a signature */
	bool tampers; /* with the nonce */
	size_t read;
	unsigned step;
	uint8_t md5_salt[4];
	struct pg_scram_server scram;
	bool let_in;
};

/* A client of the test's own. */
struct client {
	const char *password;
	bool tampers; /* with its proof */
	bool garbage; /* instead of its first answer */
	bool leaves;
	size_t read;
	enum pg_method asked;
	struct pg_scram_client scram;
	bool let_in, server_verified;
	char error[6];
	char message[400];
	uint8_t salt[64];
	char first[PG_SCRAM_MESSAGE]; /* the challenge */
};

struct world {
	struct rddr_session s;
	struct pg_auth_conf *conf;
	struct pg_auth *auth;
	bool outgoing;
	unsigned n;
	struct server servers[MOST];
	struct client clients[MOST];
	enum pg_auth_take taken;
	unsigned jobs;
};

static struct world w;
static char path[] = "/tmp/pg_auth.XXXXXX";

/* ---- messages ---- */

static uint32_t end_of_client(unsigned i)
{
	return w.outgoing ? i : FAKE_LONE;
}

static uint32_t end_of_server(unsigned i)
{
	return w.outgoing ? FAKE_LONE : i;
}

/* The next message to that end. */
static bool next(uint32_t end, size_t *read, char *type, const uint8_t **body, size_t *len)
{
	const struct fake_out *out = &w.s.out[end];

	if (out->len - *read < 5)
		return false;
	const uint8_t *m = out->data + *read;
	*type = (char)m[0];
	*len = ((size_t)m[1] << 24 | (size_t)m[2] << 16 | (size_t)m[3] << 8 | m[4]) - 4;
	assert_true(out->len - *read >= 5 + *len);
	*body = m + 5;
	*read += 5 + *len;
	return true;
}

static void say(enum pg_auth_role role, unsigned i, char type, const void *body, size_t len)
{
	if (rddr_pg_auth_wants(w.auth, role, i))
		w.taken = rddr_pg_auth_take(w.auth, role, i, type, body, len);
}

static void demand(unsigned i, uint8_t code, const void *rest, size_t len)
{
	uint8_t body[PG_SCRAM_MESSAGE + 4] = {0, 0, 0, code};

	if (len)
		memcpy(body + 4, rest, len);
	say(PG_AUTH_BACKEND, i, 'R', body, len + 4);
}

/* ---- the server ---- */

static void server_begins(unsigned i)
{
	struct server *v = &w.servers[i];

	if (v->refuses)
		say(PG_AUTH_BACKEND, i, 'E', NULL, 100);
	else if (v->method == PG_METHOD_TRUST)
		demand(i, 0, NULL, 0);
	else if (v->method == PG_METHOD_PASSWORD)
		demand(i, 3, NULL, 0);
	else if (v->method == PG_METHOD_MD5)
		demand(i, 5, memcpy(v->md5_salt, "salt", 4), 4);
	else if (v->method == PG_METHOD_SCRAM)
		demand(i, 10, "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0", 34);
	else
		demand(i, 7, NULL, 0);
	v->let_in = v->method == PG_METHOD_TRUST && !v->refuses;
}

static void judge_text(unsigned i, const char *text)
{
	struct server *v = &w.servers[i];
	char hash[36];

	if (v->method == PG_METHOD_MD5)
		assert_true(rddr_pg_auth_md5(v->password, NULL, "alice", v->md5_salt, hash));
	v->let_in = !strcmp(text, v->method == PG_METHOD_MD5 ? hash : v->password);
	if (v->let_in)
		demand(i, 0, NULL, 0);
	else
		say(PG_AUTH_BACKEND, i, 'E', NULL, 100);
}

static void judge_scram(unsigned i, const uint8_t *body, size_t len)
{
	struct server *v = &w.servers[i];
	struct pg_scram_salt salt = {.len = 16, .iterations = v->iterations};
	struct pg_scram_keys keys;
	uint8_t learnt[32];
	char out[64];

	memcpy(salt.bytes, v->salt, 16);
	assert_true(rddr_pg_scram_derive(v->password, strlen(v->password), &salt, &keys));
	if (v->step++ == 0) {
		assert_memory_equal(body, "SCRAM-SHA-256", 14);
		assert_int_equal(body[17], len - 18);
		assert_null(rddr_pg_scram_server_first(&v->scram, body + 18, len - 18));
		assert_true(rddr_pg_scram_server_challenge(&v->scram, &salt, NULL));
		v->scram.server_first[3] ^= v->tampers;
		demand(i, 11, v->scram.server_first, strlen(v->scram.server_first));
		return;
	}
	assert_null(rddr_pg_scram_server_final(&v->scram, body, len));
	v->let_in = rddr_pg_scram_server_verify(&v->scram, keys.stored, keys.server, out, learnt);
	if (!v->let_in) {
		say(PG_AUTH_BACKEND, i, 'E', NULL, 100);
		return;
	}
	if (v->lies)
		out[4] = (char)(out[4] == 'A' ? 'B' : 'A');
	if (!v->forgets)
		demand(i, 12, out, strlen(out));
	demand(i, 0, NULL, 0);
}

static bool server_reads(unsigned i)
{
	struct server *v = &w.servers[i];
	const uint8_t *body;
	size_t len;
	char type;

	if (!next(end_of_server(i), &v->read, &type, &body, &len))
		return false;
	assert_int_equal(type, 'p');
	if (v->method == PG_METHOD_SCRAM)
		judge_scram(i, body, len);
	else
		judge_text(i, (const char *)body);
	return true;
}

/* ---- the client ---- */

static void client_is_told(struct client *c, const uint8_t *body, size_t len)
{
	for (size_t at = 0; at + 1 < len; at += strlen((const char *)body + at) + 1) {
		const char *field = (const char *)body + at;

		if (*field == 'C')
			snprintf(c->error, sizeof(c->error), "%s", field + 1);
		if (*field == 'M')
			snprintf(c->message, sizeof(c->message), "%s", field + 1);
	}
}

static void client_begins_scram(unsigned i)
{
	struct client *c = &w.clients[i];
	uint8_t text[128] = "SCRAM-SHA-256";

	assert_true(rddr_pg_scram_client_first(&c->scram, NULL));
	size_t len = strlen(c->scram.first);
	text[17] = (uint8_t)len;
	memcpy(text + 18, c->scram.first, len);
	say(PG_AUTH_FRONTEND, i, 'p', text, 18 + len);
}

static void client_proves(unsigned i, const uint8_t *rest, size_t len)
{
	struct client *c = &w.clients[i];
	struct pg_scram_keys keys;

	memcpy(c->first, rest, len);
	assert_null(rddr_pg_scram_client_challenge(&c->scram, rest, len, 1000000));
	assert_true(rddr_pg_scram_derive(c->password, strlen(c->password), &c->scram.salt, &keys));
	assert_true(rddr_pg_scram_client_final(&c->scram, &keys));
	if (c->tampers)
		c->scram.final[strlen(c->scram.final) - 4] ^= 1;
	say(PG_AUTH_FRONTEND, i, 'p', c->scram.final, strlen(c->scram.final));
}

static void client_is_asked(unsigned i, uint32_t code, const uint8_t *rest, size_t len)
{
	struct client *c = &w.clients[i];
	char hash[36];

	if (c->leaves || c->garbage) {
		say(PG_AUTH_FRONTEND, i, c->leaves ? 'X' : 'p', "garbage", c->leaves ? 0 : 7);
		return;
	}
	switch (code) {
	case 0:
		c->let_in = true;
		break;
	case 3:
		c->asked = PG_METHOD_PASSWORD;
		say(PG_AUTH_FRONTEND, i, 'p', c->password, strlen(c->password) + 1);
		break;
	case 5:
		c->asked = PG_METHOD_MD5;
		assert_int_equal(len, 4);
		assert_true(rddr_pg_auth_md5(c->password, NULL, "alice", rest, hash));
		say(PG_AUTH_FRONTEND, i, 'p', hash, sizeof(hash));
		break;
	case 10:
		c->asked = PG_METHOD_SCRAM;
		assert_memory_equal(rest, "SCRAM-SHA-256\0", 15);
		assert_int_equal(len, 15);
		client_begins_scram(i);
		break;
	case 11:
		client_proves(i, rest, len);
		break;
	case 12:
		assert_null(rddr_pg_scram_client_verify(&c->scram, rest, len));
		c->server_verified = true;
		break;
	default:
		fail_msg("asked for %u", code);
	}
}

static bool client_reads(unsigned i)
{
	struct client *c = &w.clients[i];
	size_t before = c->read;
	const uint8_t *body;
	size_t len;
	char type;

	/* Report mode: what the source says goes to the client without the plugin's doing. */
	if (!next(end_of_client(i), &c->read, &type, &body, &len))
		return false;
	if (type == 'E') {
		client_is_told(c, body, len);
		return true;
	}
	assert_int_equal(type, 'R');
	/* Its answer has to wait until its turn has come. */
	if (body[3] != 0 && body[3] != 12 && !rddr_pg_auth_wants(w.auth, PG_AUTH_FRONTEND, i) &&
	    rddr_pg_auth_state(w.auth) == PG_AUTH_UNDER_WAY) {
		c->read = before;
		return false;
	}
	client_is_asked(i, (uint32_t)body[2] << 8 | body[3], body + 4, len - 4);
	return true;
}

/* ---- the world ---- */

static void begin(const char *credentials, const char *params, unsigned n, bool outgoing)
{
	char json[512], err[512] = "";
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(credentials ? credentials : "", file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
	memset(&w, 0, sizeof(w));
	w.n = n;
	w.outgoing = outgoing;
	w.s.n = n;
	w.s.state = &w;
	if (credentials)
		snprintf(json, sizeof(json), "{\"credentials\":\"%s\"%s%s}", path, *params ? "," : "", params);
	else
		snprintf(json, sizeof(json), "{%s}", params);
	struct json_object *object = json_tokener_parse(json);
	assert_non_null(object);
	if (rddr_pg_auth_conf_read(object, &w.conf, err, sizeof(err)) < 0)
		fail_msg("%s: %s", json, err);
	json_object_put(object);
	for (unsigned i = 0; i < MOST; i++) {
		w.servers[i] = (struct server){.method = PG_METHOD_SCRAM,
					       .password = "secret",
					       .salt = "abcdefghijklmnop",
					       .iterations = 4096};
		w.clients[i] = (struct client){.password = "secret"};
	}
}

static void make(bool reports)
{
	const struct rddr_diff_create args = {
		.size = sizeof(args),
		.direction = w.outgoing ? RDDR_OUTGOING : RDDR_INCOMING,
		.instances = w.n,
		.host = &fake_host,
		.session = &w.s,
		.reports = reports,
	};

	assert_int_equal(rddr_pg_auth_new(w.conf, &args, &w.auth), 0);
	for (unsigned i = 0; i < w.n; i++)
		assert_int_equal(w.s.concealed[i], SIZE_MAX);
	assert_int_equal(w.s.concealed[FAKE_LONE], SIZE_MAX);
}

static void start(bool reports)
{
	make(reports);
	assert_int_equal(rddr_pg_auth_begin(w.auth, "alice"), 0);
	for (unsigned i = 0; i < (w.outgoing ? 1 : w.n); i++)
		server_begins(i);
}

static void go_on(void)
{
	bool moved = true;

	while (moved) {
		moved = false;
		for (unsigned i = 0; i < (w.outgoing ? w.n : 1); i++)
			moved |= client_reads(i);
		for (unsigned i = 0; i < (w.outgoing ? 1 : w.n); i++)
			moved |= server_reads(i);
		w.jobs += w.s.n_jobs;
		moved |= fake_work(&w.s, true);
	}
}

static void end(void)
{
	rddr_pg_auth_free(&w.auth);
	fake_work(&w.s, true);
	rddr_pg_auth_conf_free(&w.conf);
	for (unsigned i = 0; i < FAKE_ENDS; i++)
		free(w.s.out[i].data);
}

static void run(enum pg_auth_state state)
{
	start(false);
	go_on();
	if (rddr_pg_auth_state(w.auth) == PG_AUTH_DIVERGED && state != PG_AUTH_DIVERGED) {
		struct rddr_finding finding = {0};

		rddr_pg_auth_finding(w.auth, &finding);
		fail_msg("instance %u: %s", finding.instance, finding.why);
	}
	assert_int_equal(rddr_pg_auth_state(w.auth), state);
	if (state == PG_AUTH_DONE) {
		for (unsigned i = 0; i < (w.outgoing ? w.n : 1); i++)
			assert_true(w.clients[i].let_in);
		for (unsigned i = 0; i < (w.outgoing ? 1 : w.n); i++)
			assert_true(w.servers[i].let_in);
		assert_int_equal(w.s.counted[RDDR_COUNTED_LOGINS], 1);
		rddr_pg_auth_reveal(w.auth);
		assert_int_equal(w.s.concealed[0], 0);
	} else {
		assert_false(w.clients[0].let_in);
	}
	assert_int_equal(w.s.finished, state == PG_AUTH_ENDED);
}

/* ---- incoming ---- */

static void test_scram_everywhere(void **state)
{
	(void)state;
	begin("alice secret\n", "", 3, false);
	run(PG_AUTH_DONE);
	assert_int_equal(w.clients[0].asked, PG_METHOD_SCRAM);
	assert_true(w.clients[0].server_verified);
	/* One derivation for the client and three servers with the same salt. */
	assert_int_equal(w.jobs, 1);
	struct pg_auth_conf *kept = w.conf;
	rddr_pg_auth_free(&w.auth);
	/* And none for the next login. */
	for (unsigned i = 0; i < FAKE_ENDS; i++)
		w.s.out[i].len = 0;
	for (unsigned i = 0; i < MOST; i++) {
		w.servers[i].read = w.servers[i].step = 0;
		w.clients[i] = (struct client){.password = "secret"};
	}
	w.jobs = 0;
	w.s.counted[RDDR_COUNTED_LOGINS] = 0;
	assert_ptr_equal(kept, w.conf);
	run(PG_AUTH_DONE);
	assert_int_equal(w.jobs, 0);
	end();
}

static void test_salts_of_their_own(void **state)
{
	(void)state;
	begin("alice secret\n", "", 3, false);
	w.servers[1].salt = "another salt, by";
	w.servers[2].iterations = 10000;
	run(PG_AUTH_DONE);
	assert_int_equal(w.jobs, 3);
	end();
}

static void test_mixed_methods(void **state)
{
	(void)state;
	begin("bob x\nalice secret\n", "", 4, false);
	w.servers[0].method = PG_METHOD_TRUST;
	w.servers[1].method = PG_METHOD_PASSWORD;
	w.servers[2].method = PG_METHOD_MD5;
	run(PG_AUTH_DONE);
	/* One of them wants to know: so the client is asked, and by the strongest. */
	assert_int_equal(w.clients[0].asked, PG_METHOD_SCRAM);
	end();
}

static void test_trust(void **state)
{
	(void)state;
	begin(NULL, "", 3, false);
	for (unsigned i = 0; i < 3; i++)
		w.servers[i].method = PG_METHOD_TRUST;
	run(PG_AUTH_DONE);
	assert_int_equal(w.clients[0].asked, PG_METHOD_TRUST);
	end();
}

static void test_wrong_passwords(void **state)
{
	(void)state;
	for (unsigned m = PG_METHOD_PASSWORD; m <= PG_METHOD_SCRAM; m++) {
		char params[64];

		snprintf(params, sizeof(params), "\"client-auth\":\"%s\"", rddr_pg_auth_method_name(m));
		begin("alice secret\n", params, 3, false);
		w.clients[0].password = "sesame";
		run(PG_AUTH_ENDED);
		assert_int_equal(w.clients[0].asked, m);
		assert_string_equal(w.clients[0].error, "28P01");
		assert_string_equal(w.clients[0].message, "password authentication failed for user \"alice\"");
		assert_int_equal(w.s.counted[RDDR_COUNTED_LOGINS_REFUSED], 1);
		/* No server was shown a proof. */
		for (unsigned i = 0; i < 3; i++)
			assert_true(w.servers[i].step < 2);
		end();
	}
}

static void test_tampering_clients(void **state)
{
	(void)state;
	begin("alice secret\n", "", 2, false);
	w.clients[0].tampers = true;
	run(PG_AUTH_ENDED);
	end();
	begin("alice secret\n", "", 2, false);
	w.clients[0].garbage = true;
	run(PG_AUTH_ENDED);
	assert_string_equal(w.clients[0].error, "08P01");
	end();
	begin("alice secret\n", "", 2, false);
	w.clients[0].leaves = true;
	run(PG_AUTH_ENDED);
	assert_string_equal(w.clients[0].error, "");
	end();
}

/* A user who is not there looks as one with a wrong password, twice the same. */
static void test_unknown_user(void **state)
{
	char salts[2][200];

	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		begin("bob secret\n", "\"client-auth\":\"scram-sha-256\"", 3, false);
		for (unsigned i = 0; i < 3; i++)
			w.servers[i].method = PG_METHOD_TRUST;
		run(PG_AUTH_ENDED);
		assert_string_equal(w.clients[0].error, "28P01");
		snprintf(salts[k], sizeof(salts[k]), "%s", strstr(w.clients[0].first, ",s="));
		end();
	}
	assert_string_equal(salts[0], salts[1]);
	begin("bob md500112233445566778899aabbccddeeff\n", "", 1, false);
	w.servers[0].method = PG_METHOD_MD5;
	run(PG_AUTH_ENDED);
	assert_int_equal(w.clients[0].asked, PG_METHOD_MD5);
	assert_string_equal(w.clients[0].error, "28P01");
	end();
}

static void test_missing_credentials(void **state)
{
	(void)state;
	for (unsigned m = PG_METHOD_MD5; m <= PG_METHOD_SCRAM; m++) {
		begin(NULL, "", 2, false);
		w.servers[1].method = m;
		run(PG_AUTH_ENDED);
		assert_string_equal(w.clients[0].error, "28000");
		assert_non_null(strstr(w.clients[0].message, "diff-params.credentials is not set"));
		end();
	}
	begin(NULL, "\"client-auth\":\"md5\"", 2, false);
	w.servers[0].method = w.servers[1].method = PG_METHOD_TRUST;
	run(PG_AUTH_ENDED);
	assert_non_null(strstr(w.clients[0].message, "diff-params.credentials is not set"));
	end();
}

/* A password in clear can be had from the client, and is good for everything; the servers judge it. */
static void test_cleartext_without_credentials(void **state)
{
	(void)state;
	begin(NULL, "", 2, false);
	w.servers[0].method = w.servers[1].method = PG_METHOD_PASSWORD;
	run(PG_AUTH_DONE);
	end();
	begin(NULL, "\"client-auth\":\"password\"", 4, false);
	w.servers[0].method = PG_METHOD_PASSWORD;
	w.servers[1].method = PG_METHOD_MD5;
	w.servers[3].method = PG_METHOD_TRUST;
	run(PG_AUTH_DONE);
	end();
	begin(NULL, "\"client-auth\":\"password\"", 2, false);
	w.clients[0].password = "sesame";
	run(PG_AUTH_REFUSED);
	end();
	begin(NULL, "\"client-auth\":\"password\"", 2, false);
	w.servers[0].method = w.servers[1].method = PG_METHOD_TRUST;
	run(PG_AUTH_ENDED);
	end();
}

static void put_scram_secret(char *out, size_t room, const char *password, const char *text, bool client)
{
	struct pg_scram_salt salt = {.len = 16, .iterations = 4096};
	struct pg_scram_keys keys;
	char s[64], stored[64], server[64], its[64];

	memcpy(salt.bytes, text, 16);
	assert_true(rddr_pg_scram_derive(password, strlen(password), &salt, &keys));
	rddr_pg_scram_encode(salt.bytes, 16, s);
	rddr_pg_scram_encode(keys.stored, 32, stored);
	rddr_pg_scram_encode(keys.server, 32, server);
	rddr_pg_scram_encode(keys.client, 32, its);
	snprintf(out, room, "alice SCRAM-SHA-256$4096:%s$%s:%s%s%s\n", s, stored, server, client ? ":" : "",
		 client ? its : "");
}

/* The servers' own secret: the client's proof shows what is needed to prove it to them. */
static void test_scram_secrets(void **state)
{
	char line[512];

	(void)state;
	put_scram_secret(line, sizeof(line), "secret", "abcdefghijklmnop", false);
	begin(line, "", 3, false);
	run(PG_AUTH_DONE);
	assert_int_equal(w.jobs, 0);
	end();
	begin(line, "", 3, false);
	w.servers[2].salt = "another salt, by";
	run(PG_AUTH_ENDED);
	assert_non_null(strstr(w.clients[0].message, "another salt or count"));
	end();
	begin(line, "", 3, false);
	w.clients[0].password = "sesame";
	run(PG_AUTH_ENDED);
	assert_string_equal(w.clients[0].error, "28P01");
	end();
	/* A server that wants more than a proof. */
	begin(line, "", 2, false);
	w.servers[1].method = PG_METHOD_MD5;
	run(PG_AUTH_ENDED);
	assert_string_equal(w.clients[0].error, "28000");
	end();
	/* What is typed in clear is good for all. */
	begin(line, "\"client-auth\":\"password\"", 3, false);
	w.servers[1].method = PG_METHOD_MD5;
	w.servers[2].salt = "another salt, by";
	run(PG_AUTH_DONE);
	end();
	begin(line, "\"client-auth\":\"trust\"", 2, false);
	run(PG_AUTH_ENDED);
	assert_non_null(strstr(w.clients[0].message, "no ClientKey"));
	end();
	put_scram_secret(line, sizeof(line), "secret", "abcdefghijklmnop", true);
	begin(line, "\"client-auth\":\"trust\"", 2, false);
	run(PG_AUTH_DONE);
	assert_int_equal(w.clients[0].asked, PG_METHOD_TRUST);
	end();
}

static void test_md5_secrets(void **state)
{
	/* md5("secret" "alice") */
	static const char line[] = "alice md54a0a68b43b6cd5cf266fa02f196e2371\n";
	static const uint8_t salt[4] = "salt";
	char a[36], b[36];

	(void)state;
	assert_true(rddr_pg_auth_md5(NULL, "md54a0a68b43b6cd5cf266fa02f196e2371", "alice", salt, a));
	assert_true(rddr_pg_auth_md5("secret", NULL, "alice", salt, b));
	assert_string_equal(a, b);
	begin(line, "", 2, false);
	w.servers[0].method = w.servers[1].method = PG_METHOD_MD5;
	run(PG_AUTH_DONE);
	assert_int_equal(w.clients[0].asked, PG_METHOD_MD5);
	end();
	/* Never weaker than what the first server demands. */
	begin(line, "", 2, false);
	w.servers[1].method = PG_METHOD_MD5;
	run(PG_AUTH_ENDED);
	assert_int_equal(w.clients[0].asked, PG_METHOD_SCRAM);
	assert_string_equal(w.clients[0].error, "28P01");
	end();
	begin(line, "\"client-auth\":\"password\"", 2, false);
	run(PG_AUTH_DONE);
	end();
}

static void test_servers_that_misbehave(void **state)
{
	struct rddr_finding finding = {0};

	(void)state;
	for (unsigned k = 0; k < 4; k++) {
		begin("alice secret\n", "\"max-iterations\":5000", 3, false);
		w.servers[1].lies = k == 0;
		w.servers[1].forgets = k == 1;
		w.servers[1].tampers = k == 2;
		w.servers[1].iterations = k == 3 ? 5001 : 4096;
		run(PG_AUTH_DIVERGED);
		rddr_pg_auth_finding(w.auth, &finding);
		assert_int_equal(finding.instance, 1);
		assert_int_equal(finding.alone, 2);
		assert_true(finding.other != 1 && finding.why[0]);
		end();
	}
	begin("alice secret\n", "\"instance-auth\":[\"scram-sha-256\"]", 3, false);
	w.servers[2].method = PG_METHOD_PASSWORD;
	run(PG_AUTH_ENDED);
	assert_non_null(strstr(w.clients[0].message, "instance-auth"));
	end();
	begin("alice secret\n", "\"instance-auth\":[\"scram-sha-256\",\"md5\"]", 3, false);
	w.servers[2].method = PG_METHOD_TRUST;
	run(PG_AUTH_ENDED);
	end();
	begin("alice secret\n", "", 3, false);
	w.servers[2].method = PG_METHOD_OTHER;
	run(PG_AUTH_ENDED);
	end();
}

static void test_refusals(void **state)
{
	(void)state;
	begin("alice secret\n", "", 3, false);
	for (unsigned i = 0; i < 3; i++)
		w.servers[i].refuses = true;
	run(PG_AUTH_REFUSED);
	assert_int_equal(w.taken, PG_AUTH_LEFT);
	end();
	begin("alice secret\n", "", 3, false);
	w.servers[0].refuses = true;
	run(PG_AUTH_DIVERGED);
	end();
	/* The user's password is another there. */
	begin("alice secret\n", "", 3, false);
	w.servers[1].password = "sesame";
	run(PG_AUTH_DIVERGED);
	end();
	begin("alice secret\n", "", 3, false);
	for (unsigned i = 0; i < 3; i++)
		w.servers[i].password = "sesame";
	run(PG_AUTH_REFUSED);
	end();
	/* They do not wait for ever until the client has proved who it is. */
	begin("alice secret\n", "", 2, false);
	start(false);
	assert_true(rddr_pg_auth_patient(w.auth) == false);
	for (unsigned i = 0; i < 2; i++)
		server_reads(i);
	assert_true(rddr_pg_auth_patient(w.auth));
	say(PG_AUTH_BACKEND, 0, 'E', NULL, 100);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_ENDED);
	go_on();
	assert_string_equal(w.clients[0].error, "57014");
	end();
}

/* ---- the session ends, or there is too much to do ---- */

static void test_ends_while_it_computes(void **state)
{
	(void)state;
	begin("alice secret\n", "", 1, false);
	start(false);
	client_reads(0);
	server_reads(0);
	client_reads(0);
	assert_true(w.s.n_jobs > 0);
	rddr_pg_auth_free(&w.auth);
	assert_true(fake_work(&w.s, false));
	end();
	begin("alice secret\n", "", 1, false);
	start(false);
	client_reads(0);
	server_reads(0);
	client_reads(0);
	rddr_pg_auth_free(&w.auth);
	/* The session lives, the login does not. */
	assert_true(fake_work(&w.s, true));
	end();
}

static void test_too_busy(void **state)
{
	(void)state;
	begin("alice secret\n", "", 1, false);
	w.s.n_jobs = FAKE_JOBS;
	start(false);
	for (unsigned i = 0; i < 4; i++) {
		client_reads(0);
		server_reads(0);
	}
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_ENDED);
	assert_string_equal(w.clients[0].error, "53300");
	w.s.n_jobs = 0;
	end();
}

/* ---- outgoing ---- */

static void test_outgoing(void **state)
{
	struct rddr_finding finding = {0};

	(void)state;
	begin("alice secret\n", "", 3, true);
	run(PG_AUTH_DONE);
	assert_int_equal(w.jobs, 1);
	end();
	begin("alice secret\n", "", 3, true);
	w.clients[1].password = "sesame";
	run(PG_AUTH_DIVERGED);
	rddr_pg_auth_finding(w.auth, &finding);
	assert_int_equal(finding.instance, 1);
	end();
	begin("alice secret\n", "", 3, true);
	for (unsigned i = 0; i < 3; i++)
		w.clients[i].password = "sesame";
	run(PG_AUTH_ENDED);
	assert_string_equal(w.clients[2].error, "28P01");
	end();
	/* RDDR logs in again when nobody types anything. */
	begin(NULL, "", 3, true);
	w.servers[0].method = PG_METHOD_PASSWORD;
	run(PG_AUTH_ENDED);
	assert_string_equal(w.clients[0].error, "28000");
	end();
}

/* One of them by itself: by what the backend demanded before. */
static void test_vouched(void **state)
{
	static const struct {
		unsigned method;
		const char *password, *error;
	} cases[] = {
		{PG_METHOD_SCRAM, "secret", ""},
		{PG_METHOD_SCRAM, "sesame", "28P01"},
		{PG_METHOD_PASSWORD, "secret", ""},
		{PG_METHOD_TRUST, "whatever", ""},
	};

	(void)state;
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		begin("alice secret\n", "", 3, true);
		w.clients[1].password = cases[c].password;
		make(false);
		rddr_pg_auth_gone(w.auth, 0);
		rddr_pg_auth_gone(w.auth, 2);
		rddr_pg_auth_vouch(w.auth, cases[c].method);
		assert_int_equal(rddr_pg_auth_begin(w.auth, "alice"), 0);
		go_on();
		assert_int_equal(w.s.out[FAKE_LONE].len, 0);
		assert_int_equal(rddr_pg_auth_state(w.auth), *cases[c].error ? PG_AUTH_ENDED : PG_AUTH_DONE);
		assert_int_equal(w.clients[1].let_in, !*cases[c].error);
		assert_string_equal(w.clients[1].error, cases[c].error);
		assert_false(w.clients[0].let_in);
		end();
	}
}

/* The backend alone lets in anew; those who are in hear of it when it does not. */
static void test_again(void **state)
{
	(void)state;
	begin("alice secret\n", "", 3, true);
	make(false);
	rddr_pg_auth_again(w.auth);
	assert_int_equal(rddr_pg_auth_begin(w.auth, "alice"), 0);
	server_begins(0);
	go_on();
	assert_true(w.servers[0].let_in);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_DONE);
	assert_int_equal(w.s.out[0].len, 0);
	end();

	begin("bob secret\n", "", 3, true);
	make(false);
	rddr_pg_auth_again(w.auth);
	assert_int_equal(rddr_pg_auth_begin(w.auth, "alice"), 0);
	server_begins(0);
	go_on();
	assert_false(w.servers[0].let_in);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_ENDED);
	assert_string_equal(w.clients[2].error, "28000");
	end();
}

/* ---- report mode ---- */

/* The client talks to instance 0 itself; the others are logged in to by RDDR. */
static void test_reports(void **state)
{
	(void)state;
	begin("alice secret\n", "", 3, false);
	w.servers[2].method = PG_METHOD_MD5;
	start(true);
	go_on();
	assert_false(w.clients[0].let_in); /* not by us */
	assert_true(w.servers[1].let_in && w.servers[2].let_in);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_UNDER_WAY);
	client_begins_scram(0);
	go_on();
	const char *challenge = w.servers[0].scram.server_first;
	client_proves(0, (const uint8_t *)challenge, strlen(challenge));
	go_on();
	assert_true(w.servers[0].let_in);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_DONE);
	end();

	/* Without credentials the others cannot follow, one after the other. */
	begin(NULL, "", 3, false);
	start(true);
	go_on();
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_DIVERGED);
	rddr_pg_auth_gone(w.auth, 1);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_DIVERGED);
	rddr_pg_auth_gone(w.auth, 2);
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_UNDER_WAY);
	client_begins_scram(0);
	go_on();
	client_proves(0, (const uint8_t *)challenge, strlen(challenge));
	go_on();
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_DONE);
	end();

	/* What is typed for instance 0 does for the others. */
	begin(NULL, "", 2, false);
	w.servers[0].method = w.servers[1].method = PG_METHOD_PASSWORD;
	start(true);
	go_on();
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_UNDER_WAY);
	say(PG_AUTH_FRONTEND, 0, 'p', "secret", 7);
	go_on();
	assert_int_equal(rddr_pg_auth_state(w.auth), PG_AUTH_DONE);
	assert_true(w.servers[1].let_in);
	end();
}

static void test_params(void **state)
{
	static const struct {
		const char *json, *says;
	} bad[] = {
		{"{\"credentials\":1}", "diff-params.credentials: 1 is no path"},
		{"{\"credentials\":\"x\"}", "diff-params.credentials: \"x\" is no absolute path"},
		{"{\"credentials\":\"/nowhere/at/all\"}", "diff-params.credentials: /nowhere/at/all: No such file"},
		{"{\"client-auth\":\"gss\"}", "diff-params.client-auth: \"gss\" is none of"},
		{"{\"client-auth\":1}", "diff-params.client-auth: 1 is none of"},
		{"{\"instance-auth\":\"md5\"}", "diff-params.instance-auth: \"md5\" is no list"},
		{"{\"instance-auth\":[]}", "diff-params.instance-auth: "},
		{"{\"instance-auth\":[\"md5\",\"x\"]}", "diff-params.instance-auth[1]: \"x\""},
		{"{\"max-iterations\":1}", "diff-params.max-iterations: 1 is no number"},
		{"{\"max-iterations\":\"5000\"}", "diff-params.max-iterations: \"5000\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct pg_auth_conf *conf = NULL;
		struct json_object *object = json_tokener_parse(bad[i].json);
		char err[256] = "";

		assert_int_equal(rddr_pg_auth_conf_read(object, &conf, err, sizeof(err)), -22);
		assert_null(conf);
		if (!strstr(err, bad[i].says))
			fail_msg("%s: %s", bad[i].json, err);
		json_object_put(object);
	}
	assert_true(rddr_pg_auth_conf_knows("client-auth"));
	assert_false(rddr_pg_auth_conf_knows("tokens"));
}

static int make_path(void **state)
{
	(void)state;
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state)
{
	(void)state;
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scram_everywhere),
		cmocka_unit_test(test_salts_of_their_own),
		cmocka_unit_test(test_mixed_methods),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_wrong_passwords),
		cmocka_unit_test(test_tampering_clients),
		cmocka_unit_test(test_unknown_user),
		cmocka_unit_test(test_missing_credentials),
		cmocka_unit_test(test_cleartext_without_credentials),
		cmocka_unit_test(test_scram_secrets),
		cmocka_unit_test(test_md5_secrets),
		cmocka_unit_test(test_servers_that_misbehave),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_ends_while_it_computes),
		cmocka_unit_test(test_too_busy),
		cmocka_unit_test(test_outgoing),
		cmocka_unit_test(test_vouched),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_reports),
		cmocka_unit_test(test_params),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
