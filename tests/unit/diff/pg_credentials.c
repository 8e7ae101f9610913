/* SPDX-License-Identifier: BSD-2-Clause */
#include "pg_credentials.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define STORED "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
#define SERVER "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
#define CLIENT "pg/JI9Z+hkSpLRa5btpe9GVrDHJcSEN0viVTVXaZbos="
#define SALT   "W22ZaJ0SNY7soEsUEjb6gQ=="
#define SCRAM  "SCRAM-SHA-256$4096:" SALT "$" STORED ":" SERVER
#define A_LINE "alice secret\n"

static char path[] = "/tmp/pg_credentials.XXXXXX";
static char err[512];

static int read_bytes(const char *text, size_t len, mode_t mode, struct pg_credentials **out)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
	memset(err, 0, sizeof(err));
	return rddr_pg_credentials_read(path, out, err, sizeof(err));
}

static int read_text(const char *text, struct pg_credentials **out)
{
	return read_bytes(text, strlen(text), 0600, out);
}

static void test_forms(void **state)
{
	struct pg_credentials *c = NULL;
	const struct pg_secret *s;

	(void)state;
	assert_int_equal(read_text("# users\n\n"
				   "zoe   a secret with spaces  \r\n"
				   "  alice\tsecret#1\n"
				   "bob md500112233445566778899aabbccddeeff\n"
				   "\"dr \"\"x\"\"\" \" with \"\"quotes\"\" \"\n"
				   "carol " SCRAM "\n"
				   "dave " SCRAM ":" CLIENT "\n"
				   "eve md500112233445566778899AABBCCDDEEFF",
				   &c),
			 0);
	s = rddr_pg_credentials_find(c, "zoe");
	assert_non_null(s);
	assert_int_equal(s->form, PG_SECRET_PLAIN);
	assert_string_equal(s->text, "a secret with spaces");
	assert_string_equal(rddr_pg_credentials_find(c, "alice")->text, "secret#1");
	assert_int_equal(rddr_pg_credentials_find(c, "bob")->form, PG_SECRET_MD5);
	assert_string_equal(rddr_pg_credentials_find(c, "dr \"x\"")->text, " with \"quotes\" ");
	s = rddr_pg_credentials_find(c, "carol");
	assert_int_equal(s->form, PG_SECRET_SCRAM);
	assert_int_equal(s->salt.iterations, 4096);
	assert_int_equal(s->salt.len, 16);
	assert_false(s->has_client_key);
	assert_true(rddr_pg_credentials_find(c, "dave")->has_client_key);
	assert_int_equal(rddr_pg_credentials_find(c, "eve")->form, PG_SECRET_PLAIN);
	assert_null(rddr_pg_credentials_find(c, "mallory"));
	assert_null(rddr_pg_credentials_find(c, ""));
	assert_int_equal(rddr_pg_credentials_count(c, PG_SECRET_PLAIN), 4);
	assert_int_equal(rddr_pg_credentials_count(c, PG_SECRET_SCRAM), 2);
	rddr_pg_credentials_free(&c);
	assert_null(c);
	assert_int_equal(read_text("", &c), 0);
	assert_null(rddr_pg_credentials_find(c, "alice"));
	rddr_pg_credentials_free(&c);
}

static void test_bad_lines(void **state)
{
	static const struct {
		const char *text, *says;
	} bad[] = {
		{A_LINE "bob\n", "line 2: there is no secret"},
		{A_LINE "\"bob\n", "line 2: a quote does not end"},
		{A_LINE "\"bob\"x y\n", "line 2: something stands right behind a quote"},
		{A_LINE "bob \"TOPSECRET\n", "line 2: a quote does not end"},
		{A_LINE "bob \"TOPSECRET\" x\n", "line 2: something stands behind the secret"},
		{A_LINE "bob \"\"\n", "line 2: the secret is empty"},
		{A_LINE "\"\" TOPSECRET\n", "line 2: the user's name is empty"},
		{A_LINE A_LINE, "user \"alice\" stands there twice"},
		{"bob SCRAM-SHA-256$TOPSECRET\n", "line 1: its iteration count is none"},
		{"bob SCRAM-SHA-256$0:" SALT "$" STORED ":" SERVER, "its iteration count is none"},
		{"bob SCRAM-SHA-256$-1:" SALT "$" STORED ":" SERVER, "its iteration count is none"},
		{"bob SCRAM-SHA-256$99999999999:" SALT "$" STORED ":" SERVER, "its iteration count is none"},
		{"bob SCRAM-SHA-256$4096$" STORED ":" SERVER, "its salt is none"},
		{"bob SCRAM-SHA-256$4096:TOPSECRET$" STORED ":" SERVER, "its salt is none"},
		{"bob SCRAM-SHA-256$4096:" SALT ":" STORED ":" SERVER, "its salt is none"},
		{"bob SCRAM-SHA-256$4096:" SALT, "its salt is none"},
		{"bob SCRAM-SHA-256$4096:" SALT "$", "its StoredKey is none"},
		{"bob SCRAM-SHA-256$4096:" SALT "$AAAA:" SERVER, "its StoredKey is none"},
		{"bob SCRAM-SHA-256$4096:" SALT "$" STORED, "its StoredKey is none"},
		{"bob SCRAM-SHA-256$4096:" SALT "$" STORED ":", "its ServerKey is none"},
		{"bob " SCRAM "A", "its ServerKey is none"},
		{"bob " SCRAM ":", "its ClientKey is none"},
		{"bob " SCRAM ":" SERVER, "its ClientKey and StoredKey do not belong together"},
	};
	struct pg_credentials *c = NULL;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(read_text(bad[i].text, &c), -EINVAL);
		assert_null(c);
		if (!strstr(err, bad[i].says))
			fail_msg("%s: %s", bad[i].text, err);
		assert_non_null(strstr(err, path));
		assert_null(strstr(err, "TOPSECRET"));
	}
}

static void test_bad_files(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0660, 0601, 0610, 0644};
	struct pg_credentials *c = NULL;
	char *large = malloc((1 << 20) + 1), password[1100];

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		assert_int_equal(read_bytes(A_LINE, strlen(A_LINE), modes[i], &c), -EINVAL);
		assert_non_null(strstr(err, "it has to be 0600"));
	}
	assert_int_equal(read_bytes(A_LINE, strlen(A_LINE), 0400, &c), 0);
	rddr_pg_credentials_free(&c);
	assert_int_equal(read_bytes("alice se\0cret", 13, 0600, &c), -EINVAL);
	assert_non_null(strstr(err, "zero byte"));
	assert_int_equal(rddr_pg_credentials_read("/", &c, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "no regular file"));
	assert_int_equal(rddr_pg_credentials_read("/dev/null", &c, err, sizeof(err)), -EINVAL);
	assert_int_equal(rddr_pg_credentials_read("relative", &c, err, sizeof(err)), -EINVAL);
	assert_int_equal(rddr_pg_credentials_read("/none/such", &c, err, sizeof(err)), -ENOENT);
	assert_non_null(large);
	memset(large, '\n', (1 << 20) + 1);
	assert_int_equal(read_bytes(large, (1 << 20) + 1, 0600, &c), -EINVAL);
	assert_int_equal(read_bytes(large, 1 << 20, 0600, &c), 0);
	rddr_pg_credentials_free(&c);
	snprintf(password, sizeof(password), "alice %0*d", PG_CREDENTIALS_PASSWORD + 1, 0);
	assert_int_equal(read_bytes(password, 6 + PG_CREDENTIALS_PASSWORD + 1, 0600, &c), -EINVAL);
	assert_int_equal(read_bytes(password, 6 + PG_CREDENTIALS_PASSWORD, 0600, &c), 0);
	rddr_pg_credentials_free(&c);
	free(large);
	if (geteuid() == 0) {
		assert_int_equal(read_text(A_LINE, &c), 0);
		rddr_pg_credentials_free(&c);
		assert_int_equal(chown(path, 65534, 0), 0);
		assert_int_equal(rddr_pg_credentials_read(path, &c, err, sizeof(err)), -EINVAL);
		assert_non_null(strstr(err, "belongs to user 65534"));
		assert_int_equal(chown(path, 0, 0), 0);
	}
}

static void test_invents_the_same(void **state)
{
	static const uint8_t zeros[32];
	struct pg_credentials *c = NULL;
	uint8_t a[32] = {0}, b[32];

	(void)state;
	assert_true(rddr_pg_credentials_invent("salt", "mallory", a));
	assert_memory_not_equal(a, zeros, 32);
	/* An edit of the file tells nothing of who is not in it. */
	assert_int_equal(read_text(A_LINE "bob x\n", &c), 0);
	rddr_pg_credentials_free(&c);
	assert_true(rddr_pg_credentials_invent("salt", "mallory", b));
	assert_memory_equal(a, b, 32);
	assert_true(rddr_pg_credentials_invent("password", "mallory", b));
	assert_memory_not_equal(a, b, 32);
	assert_true(rddr_pg_credentials_invent("salt", "mallorx", b));
	assert_memory_not_equal(a, b, 32);
}

static void name_of(const struct pg_kept *kept, const char *user, const char *password, unsigned salt,
		    struct pg_kept_name *out)
{
	struct pg_scram_salt s = {.len = 16, .iterations = 4096};

	memcpy(s.bytes, &salt, sizeof(salt));
	assert_true(rddr_pg_kept_name(kept, user, password, strlen(password), &s, out));
}

static void test_keeps_keys(void **state)
{
	struct pg_kept *kept = NULL;
	struct pg_kept_name name, other;
	struct pg_scram_keys keys = {.client = "c", .stored = "s", .server = "v"}, got;
	unsigned left = 0;

	(void)state;
	assert_int_equal(rddr_pg_kept_new(&kept), 0);
	name_of(kept, "alice", "secret", 1, &name);
	assert_false(rddr_pg_kept_get(kept, &name, &got));
	rddr_pg_kept_put(kept, &name, &keys);
	assert_true(rddr_pg_kept_get(kept, &name, &got));
	assert_memory_equal(&keys, &got, sizeof(got));
	name_of(kept, "alic", "esecret", 1, &other);
	assert_false(rddr_pg_kept_get(kept, &other, &got));
	name_of(kept, "alice", "secret", 2, &other);
	assert_false(rddr_pg_kept_get(kept, &other, &got));
	name_of(kept, "alice", "Secret", 1, &other);
	assert_false(rddr_pg_kept_get(kept, &other, &got));
	/* Bounded; and what is used stays. */
	for (unsigned i = 10; i < 10 + 4 * PG_CREDENTIALS_KEPT; i++) {
		name_of(kept, "bob", "secret", i, &other);
		rddr_pg_kept_put(kept, &other, &keys);
		assert_true(rddr_pg_kept_get(kept, &name, &got));
	}
	for (unsigned i = 10; i < 10 + 4 * PG_CREDENTIALS_KEPT; i++) {
		name_of(kept, "bob", "secret", i, &other);
		left += rddr_pg_kept_get(kept, &other, &got);
	}
	assert_in_range(left, PG_CREDENTIALS_KEPT / 2, PG_CREDENTIALS_KEPT);
	rddr_pg_kept_free(&kept);
	assert_null(kept);
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
		cmocka_unit_test(test_forms),	   cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_bad_files),  cmocka_unit_test(test_invents_the_same),
		cmocka_unit_test(test_keeps_keys),
	};

	return cmocka_run_group_tests(tests, make_path, remove_path);
}
