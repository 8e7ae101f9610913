/* SPDX-License-Identifier: BSD-2-Clause */
#include "pg_scram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 7677, section 3: user "user", password "pencil". */
#define CLIENT_FIRST "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
#define NONCE	     "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define WITHOUT	     "c=biws,r=" NONCE
#define PROOF	     "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define CLIENT_FINAL WITHOUT ",p=" PROOF
#define SERVER_FINAL "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

static void derive(const char *password, struct pg_scram_keys *keys)
{
	struct pg_scram_salt salt = {.iterations = 4096};

	salt.len = (size_t)rddr_pg_scram_decode("W22ZaJ0SNY7soEsUEjb6gQ==", 24, salt.bytes, sizeof(salt.bytes));
	assert_int_equal(salt.len, 16);
	assert_true(rddr_pg_scram_derive(password, strlen(password), &salt, keys));
}

static void put(char *to, const char *text)
{
	memcpy(to, text, strlen(text) + 1);
}

static pg_scram_fault first_of(struct pg_scram_server *s, const char *text)
{
	memset(s, 0, sizeof(*s));
	return rddr_pg_scram_server_first(s, (const uint8_t *)text, strlen(text));
}

static pg_scram_fault final_of(struct pg_scram_server *s, const char *text)
{
	assert_null(first_of(s, CLIENT_FIRST));
	put(s->nonce, NONCE);
	put(s->server_first, SERVER_FIRST);
	return rddr_pg_scram_server_final(s, (const uint8_t *)text, strlen(text));
}

static void test_rfc_server(void **state)
{
	struct pg_scram_keys keys;
	struct pg_scram_server s;
	uint8_t client[PG_SCRAM_KEY];
	char out[64];

	(void)state;
	derive("pencil", &keys);
	assert_null(final_of(&s, CLIENT_FINAL));
	assert_true(rddr_pg_scram_server_verify(&s, keys.stored, keys.server, out, client));
	assert_string_equal(out, SERVER_FINAL);
	/* What the proof shows is the client's key. */
	assert_memory_equal(client, keys.client, sizeof(client));
	derive("pencils", &keys);
	assert_false(rddr_pg_scram_server_verify(&s, keys.stored, keys.server, out, client));
}

static void as_in_the_rfc(struct pg_scram_client *c)
{
	memset(c, 0, sizeof(*c));
	put(c->first, CLIENT_FIRST);
	put(c->server_first, SERVER_FIRST);
	put(c->nonce, NONCE);
}

static pg_scram_fault verify(const struct pg_scram_client *c, const char *text)
{
	return rddr_pg_scram_client_verify(c, (const uint8_t *)text, strlen(text));
}

static void test_rfc_client(void **state)
{
	struct pg_scram_keys keys;
	struct pg_scram_client c;

	(void)state;
	derive("pencil", &keys);
	as_in_the_rfc(&c);
	assert_true(rddr_pg_scram_client_final(&c, &keys));
	assert_string_equal(c.final, CLIENT_FINAL);
	assert_null(verify(&c, SERVER_FINAL));
	assert_null(verify(&c, SERVER_FINAL ",x=extension"));
	assert_non_null(verify(&c, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8="));
	assert_non_null(verify(&c, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="));
	assert_non_null(verify(&c, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A=="));
	assert_non_null(verify(&c, "e=invalid-proof"));
	assert_non_null(verify(&c, "v="));
	assert_non_null(verify(&c, ""));
}

static void test_first_messages(void **state)
{
	static const char *const bad[] = {
		"",
		"n",
		"n,",
		"n,,",
		"n,,n=user",
		"n,,n=user,r=",
		"n,,n=user,r=with\x01",
		"n,,n=user,r=with space",
		"n,,r=rOprNGfwEbeRWgbNEkqO",
		"n,a=root,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"n,,m=1,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO,m=1",
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO,",
		"n,,n=user,r=rOprNGfwEbeRWgbNEkqO,1=2",
		"p=tls-server-end-point,,n=user,r=rOprNGfwEbeRWgbNEkqO",
		"x,,n=user,r=rOprNGfwEbeRWgbNEkqO",
	};
	struct pg_scram_server s;
	char *longest = malloc(PG_SCRAM_MESSAGE + 1);

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!first_of(&s, bad[i]))
			fail_msg("taken: %s", bad[i]);
	}
	assert_null(first_of(&s, "y,,n=,r=x,b=c"));
	assert_string_equal(s.gs2, "y,,");
	assert_non_null(rddr_pg_scram_server_first(&s, (const uint8_t *)"n,,n=a\0b,r=x", 12));
	assert_non_null(longest);
	snprintf(longest, PG_SCRAM_MESSAGE + 1, "n,,n=u,r=%0*d", PG_SCRAM_MESSAGE - 9, 0);
	assert_non_null(rddr_pg_scram_server_first(&s, (uint8_t *)longest, PG_SCRAM_MESSAGE));
	assert_non_null(rddr_pg_scram_server_first(&s, (uint8_t *)longest, 300));
	assert_null(rddr_pg_scram_server_first(&s, (uint8_t *)longest, 9 + 256));
	struct pg_scram_salt salt = {.len = PG_SCRAM_SALT_MAX, .iterations = INT32_MAX};
	assert_true(rddr_pg_scram_server_challenge(&s, &salt, NULL));
	free(longest);
}

static void test_final_messages(void **state)
{
	static const char *const bad[] = {
		"",
		"c=biws",
		WITHOUT,
		WITHOUT ",",
		WITHOUT ",p=",
		WITHOUT ",p=AAAA",
		CLIENT_FINAL ",",
		CLIENT_FINAL ",x=y",
		WITHOUT ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ",
		WITHOUT ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVR=",
		WITHOUT ",m=1,p=" PROOF,
		"c=eSws,r=" NONCE ",p=" PROOF,
		"c=biws,r=" NONCE "0,p=" PROOF,
		"c=biws,r=rOprNGfwEbeRWgbNEkqO,p=" PROOF,
		"r=" NONCE ",c=biws,p=" PROOF,
	};
	struct pg_scram_server s;
	struct pg_scram_keys keys;
	uint8_t client[PG_SCRAM_KEY];
	char out[64], cut[sizeof(CLIENT_FINAL)];

	(void)state;
	derive("pencil", &keys);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (!final_of(&s, bad[i]))
			fail_msg("taken: %s", bad[i]);
	}
	for (size_t i = 0; i < sizeof(cut) - 1; i++) {
		memcpy(cut, CLIENT_FINAL, i);
		cut[i] = '\0';
		assert_non_null(final_of(&s, cut));
	}
	/* What stands in front of the proof is signed with it. */
	assert_null(final_of(&s, WITHOUT ",x=y,p=" PROOF));
	assert_false(rddr_pg_scram_server_verify(&s, keys.stored, keys.server, out, client));
}

/* Both ends are ours. */
static void test_both_ends(void **state)
{
	struct pg_scram_client *c = calloc(1, sizeof(*c));
	struct pg_scram_server *s = calloc(1, sizeof(*s));
	struct pg_scram_salt salt = {.bytes = "0123456789abcdef", .len = 16, .iterations = 1000};
	struct pg_scram_keys keys;
	uint8_t client[PG_SCRAM_KEY];
	char out[64];

	(void)state;
	if (!c || !s)
		abort();
	assert_true(rddr_pg_scram_derive("x", 1, &salt, &keys));
	assert_true(rddr_pg_scram_client_first(c, NULL));
	assert_null(rddr_pg_scram_server_first(s, (uint8_t *)c->first, strlen(c->first)));
	assert_true(rddr_pg_scram_server_challenge(s, &salt, NULL));
	size_t len = strlen(s->server_first);
	assert_null(rddr_pg_scram_client_challenge(c, (uint8_t *)s->server_first, len, 1000));
	assert_true(rddr_pg_scram_same_salt(&c->salt, &salt));
	assert_true(rddr_pg_scram_client_final(c, &keys));
	assert_null(rddr_pg_scram_server_final(s, (uint8_t *)c->final, strlen(c->final)));
	assert_true(rddr_pg_scram_server_verify(s, keys.stored, keys.server, out, client));
	assert_null(rddr_pg_scram_client_verify(c, (uint8_t *)out, strlen(out)));
	free(c);
	free(s);
}

static void test_challenges(void **state)
{
	static const struct {
		const char *fmt; /* %s: the client's nonce */
		bool good;
	} cases[] = {
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", true},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1", true},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=200000,x=y", true},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=200001", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4294967297", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999999999999", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=-1", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096x", false},
		{"r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==", false},
		{"r=%s,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", false},
		{"r=x%s,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", false},
		{"m=1,r=%sx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", false},
		{"r=%sx,s=,i=4096", false},
		{"r=%sx,s=W22Z aJ0SNY7soEsUEjb6g==,i=4096", false},
		{"r=%sx,i=4096", false},
		{"%s", false},
	};
	struct pg_scram_client c = {0};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char mine[25];

		memset(&c, 0, sizeof(c));
		assert_true(rddr_pg_scram_client_first(&c, NULL));
		memcpy(mine, c.nonce, sizeof(mine));
		const char *at = strstr(cases[i].fmt, "%s");
		snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - cases[i].fmt), cases[i].fmt, mine, at + 2);
		pg_scram_fault fault = rddr_pg_scram_client_challenge(&c, (uint8_t *)text, strlen(text), 200000);
		if (!fault != cases[i].good)
			fail_msg("%s: %s", cases[i].fmt, fault ? fault : "taken");
	}
}

/* RFC 4013, section 3, and what PostgreSQL does where it says no. */
static void test_saslprep(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} cases[] = {
		{"I\xc2\xadX", "IX", true},		  /* SOFT HYPHEN is mapped to nothing */
		{"\xc2\xaa", "a", true},		  /* compatibility */
		{"\xe2\x85\xa8", "IX", true},		  /* ROMAN NUMERAL NINE */
		{"USER", "user", false},		  /* case stays */
		{"pass\xc2\xa0word", "pass word", true},  /* NO-BREAK SPACE */
		{"\xd8\xa7\x31", "\xd8\xa7\x31 ", false}, /* bidirectional: as it is */
		{"\xff\xfe", "\xff\xfe\x01", false},	  /* no UTF-8: as it is */
		{"e\xcc\x81", "\xc3\xa9", true},	  /* composed */
	};
	const struct pg_scram_salt salt = {.bytes = "salt", .len = 4, .iterations = 1};
	struct pg_scram_keys a, b;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(rddr_pg_scram_derive(cases[i].a, strlen(cases[i].a), &salt, &a));
		assert_true(rddr_pg_scram_derive(cases[i].b, strlen(cases[i].b), &salt, &b));
		assert_int_equal(!memcmp(&a, &b, sizeof(a)), cases[i].same);
	}
}

static void test_base64(void **state)
{
	static const char *const bad[] = {"",	  "A",	  "AA",	  "AAA",      "AAAA\n", "=AAA", "A=AA", "AA=A",
					  "AB==", "AAB=", "A===", "AA==AAAA", " AAA",	"AA A", "AAA-", "AAA_"};
	uint8_t out[8];
	char text[16];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (rddr_pg_scram_decode(bad[i], strlen(bad[i]), out, sizeof(out)) >= 0)
			fail_msg("taken: %s", bad[i]);
	}
	assert_int_equal(rddr_pg_scram_decode("AA==", 4, out, sizeof(out)), 1);
	assert_int_equal(rddr_pg_scram_decode("AAECAwQFBgc=", 12, out, sizeof(out)), 8);
	assert_int_equal(rddr_pg_scram_decode("AAECAwQFBgc=", 12, out, 7), -1);
	assert_int_equal(rddr_pg_scram_encode(out, 8, text), 12);
	assert_string_equal(text, "AAECAwQFBgc=");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_server),     cmocka_unit_test(test_rfc_client),
		cmocka_unit_test(test_first_messages), cmocka_unit_test(test_final_messages),
		cmocka_unit_test(test_both_ends),      cmocka_unit_test(test_challenges),
		cmocka_unit_test(test_saslprep),       cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
