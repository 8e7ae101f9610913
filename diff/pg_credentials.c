/* SPDX-License-Identifier: BSD-2-Clause */
#include "pg_credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The longest file, in bytes: some ten thousand users. */
#define FILE_MAX (1u << 20)

struct pg_credentials {
	char *text; /* of the file, cut into words */
	size_t len;
	struct pg_secret *secrets; /* sorted by user */
	size_t n, room;
};

__attribute__((format(printf, 4, 5))) static int complain(char *err, size_t errlen, int r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(err, errlen, fmt, args);
	va_end(args);
	return r;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* ---- the forms of a secret ---- */

static bool is_md5(const char *text)
{
	return !strncmp(text, "md5", 3) && strspn(text + 3, "0123456789abcdef") == 32 && strlen(text) == 35;
}

/* Up to the character end, which is passed over; '\0': to the end of the text. */
static bool take_key(char **at, char end, uint8_t out[PG_SCRAM_KEY])
{
	size_t len = end ? strcspn(*at, (char[]){end, '\0'}) : strlen(*at);

	if (rddr_pg_scram_decode(*at, len, out, PG_SCRAM_KEY) != PG_SCRAM_KEY || (*at)[len] != end)
		return false;
	*at += len + (end != '\0');
	return true;
}

/* "4096:salt$StoredKey:ServerKey", and ":ClientKey" perhaps. NULL, or what is wrong. */
static const char *read_scram(char *at, struct pg_secret *secret)
{
	char *end;
	unsigned long iterations = strtoul(at, &end, 10);
	size_t len = *end == ':' ? strcspn(end + 1, "$") : 0;
	int salt = len ? rddr_pg_scram_decode(end + 1, len, secret->salt.bytes, sizeof(secret->salt.bytes)) : -1;
	uint8_t hash[PG_SCRAM_KEY];

	if (*at < '1' || *at > '9' || iterations > INT32_MAX)
		return "its iteration count is none";
	if (salt <= 0 || end[1 + len] != '$')
		return "its salt is none";
	secret->salt.iterations = (uint32_t)iterations;
	secret->salt.len = (size_t)salt;
	at = end + 1 + len + 1;
	if (!take_key(&at, ':', secret->keys.stored))
		return "its StoredKey is none";
	secret->has_client_key = strchr(at, ':') != NULL;
	if (!take_key(&at, secret->has_client_key ? ':' : '\0', secret->keys.server))
		return "its ServerKey is none";
	if (!secret->has_client_key)
		return NULL;
	if (!take_key(&at, '\0', secret->keys.client))
		return "its ClientKey is none";
	if (!SHA256(secret->keys.client, PG_SCRAM_KEY, hash) || CRYPTO_memcmp(hash, secret->keys.stored, sizeof(hash)))
		return "its ClientKey and StoredKey do not belong together";
	return NULL;
}

static const char *read_secret(char *text, struct pg_secret *secret)
{
	static const char scram[] = PG_SCRAM_MECHANISM "$";

	secret->text = text;
	if (!strncmp(text, scram, sizeof(scram) - 1)) {
		secret->form = PG_SECRET_SCRAM;
		return read_scram(text + sizeof(scram) - 1, secret);
	}
	secret->form = is_md5(text) ? PG_SECRET_MD5 : PG_SECRET_PLAIN;
	return strlen(text) > PG_CREDENTIALS_PASSWORD ? "it is too long" : NULL;
}

/* ---- lines ---- */

/* A word in double quotes, in place. NULL: no quote ends it. */
static char *unquote(char *at, char **word)
{
	char *to = ++at;

	*word = to;
	for (; *at; at++) {
		if (*at == '"' && at[1] != '"') {
			*to = '\0';
			return at + 1;
		}
		at += *at == '"';
		*to++ = *at;
	}
	return NULL;
}

/* Cuts a line into user and secret. NULL, or what is wrong. */
static const char *cut(char *line, char **user, char **secret)
{
	char *at = line;

	if (*at == '"') {
		at = unquote(at, user);
		if (!at)
			return "a quote does not end";
		if (*at && !is_space(*at))
			return "something stands right behind a quote";
	} else {
		*user = at;
		at += strcspn(at, " \t");
	}
	while (is_space(*at))
		*at++ = '\0';
	if (!*at)
		return "there is no secret";
	*secret = at;
	if (*at == '"') {
		at = unquote(at, secret);
		if (!at)
			return "a quote does not end";
		while (is_space(*at))
			at++;
		if (*at)
			return "something stands behind the secret";
	}
	if (!**user)
		return "the user's name is empty";
	return **secret ? NULL : "the secret is empty";
}

static int add(struct pg_credentials *c, char *line, const char **fault)
{
	char *user, *secret;

	if (c->n == c->room) {
		size_t room = c->room ? c->room * 2 : 16;
		/* realloc would leave a copy behind. */
		struct pg_secret *more = calloc(room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		if (c->n)
			memcpy(more, c->secrets, c->n * sizeof(*more));
		OPENSSL_cleanse(c->secrets, c->n * sizeof(*more));
		free(c->secrets);
		c->secrets = more;
		c->room = room;
	}
	*fault = cut(line, &user, &secret);
	if (!*fault) {
		c->secrets[c->n].user = user;
		*fault = read_secret(secret, &c->secrets[c->n++]);
	}
	return *fault ? -EINVAL : 0;
}

static int by_user(const void *a, const void *b)
{
	return strcmp(((const struct pg_secret *)a)->user, ((const struct pg_secret *)b)->user);
}

static int read_lines(struct pg_credentials *c, const char *path, char *err, size_t errlen)
{
	unsigned line = 0;

	for (char *at = c->text; at;) {
		char *text = at, *end = strchr(at, '\n');
		const char *fault = NULL;

		line++;
		at = end ? end + 1 : NULL;
		end = end ? end : text + strlen(text);
		while (end > text && is_space(end[-1]))
			end--;
		*end = '\0';
		text += strspn(text, " \t");
		if (!*text || *text == '#')
			continue;
		int r = add(c, text, &fault);
		if (r < 0)
			return complain(err, errlen, r, "%s: line %u: %s", path, line, fault ? fault : "out of memory");
	}
	if (c->n)
		qsort(c->secrets, c->n, sizeof(*c->secrets), by_user);
	for (size_t i = 1; i < c->n; i++) {
		if (!by_user(&c->secrets[i - 1], &c->secrets[i]))
			return complain(err, errlen, -EINVAL, "%s: user \"%s\" stands there twice", path,
					c->secrets[i].user);
	}
	return 0;
}

/* ---- the file ---- */

static int check_file(int fd, const char *path, size_t *size, char *err, size_t errlen)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return complain(err, errlen, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return complain(err, errlen, -EINVAL, "%s is no regular file", path);
	if (st.st_mode & 077)
		return complain(err, errlen, -EINVAL, "%s has mode %04o: it holds secrets, so it has to be 0600", path,
				st.st_mode & 07777);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return complain(err, errlen, -EINVAL, "%s belongs to user %u: it has to be root's, or user %u's", path,
				st.st_uid, geteuid());
	if (st.st_size > FILE_MAX)
		return complain(err, errlen, -EINVAL, "%s has %lld bytes, more than %u", path, (long long)st.st_size,
				FILE_MAX);
	*size = (size_t)st.st_size;
	return 0;
}

static int read_all(struct pg_credentials *c, int fd, const char *path, char *err, size_t errlen)
{
	size_t size = 0;
	int r = check_file(fd, path, &size, err, errlen);

	if (r < 0)
		return r;
	c->text = calloc(1, size + 1);
	if (!c->text)
		return complain(err, errlen, -ENOMEM, "out of memory");
	while (c->len < size) {
		ssize_t n = read(fd, c->text + c->len, size - c->len);

		if (n < 0 && errno != EINTR)
			return complain(err, errlen, -errno, "%s: %s", path, strerror(errno));
		if (n == 0)
			break;
		c->len += n > 0 ? (size_t)n : 0;
	}
	if (strlen(c->text) != c->len)
		return complain(err, errlen, -EINVAL, "%s holds a zero byte", path);
	return 0;
}

static int read_file(struct pg_credentials *c, const char *path, char *err, size_t errlen)
{
	if (*path != '/')
		return complain(err, errlen, -EINVAL, "\"%s\" is no absolute path", path);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return complain(err, errlen, -errno, "%s: %s", path, strerror(errno));
	int r = read_all(c, fd, path, err, errlen);
	close(fd);
	return r;
}

int rddr_pg_credentials_read(const char *path, struct pg_credentials **out, char *err, size_t errlen)
{
	struct pg_credentials *c = calloc(1, sizeof(*c));

	if (!c)
		return complain(err, errlen, -ENOMEM, "out of memory");
	int r = read_file(c, path, err, errlen);
	if (r == 0)
		r = read_lines(c, path, err, errlen);
	if (r == 0)
		*out = c;
	else
		rddr_pg_credentials_free(&c);
	return r;
}

void rddr_pg_credentials_free(struct pg_credentials **owned)
{
	struct pg_credentials *c = *owned;

	if (!c)
		return;
	if (c->text)
		OPENSSL_cleanse(c->text, c->len);
	free(c->text);
	if (c->secrets)
		OPENSSL_cleanse(c->secrets, c->room * sizeof(*c->secrets));
	free(c->secrets);
	OPENSSL_cleanse(c, sizeof(*c));
	free(c);
	*owned = NULL;
}

const struct pg_secret *rddr_pg_credentials_find(const struct pg_credentials *c, const char *user)
{
	const struct pg_secret key = {.user = user};

	return c && c->n ? bsearch(&key, c->secrets, c->n, sizeof(key), by_user) : NULL;
}

size_t rddr_pg_credentials_count(const struct pg_credentials *c, enum pg_secret_form form)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n; i++)
		n += c->secrets[i].form == form;
	return n;
}

/* What is invented hangs on a key that is drawn once: with one that changes with the file, whoever is not in it could
 * be told by an edit of it. */
static uint8_t key[PG_SCRAM_KEY];
static bool has_key;

static void draw_key(void)
{
	has_key = RAND_bytes(key, sizeof(key)) == 1;
}

bool rddr_pg_credentials_invent(const char *purpose, const char *user, uint8_t out[PG_SCRAM_KEY])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char text[256];
	int n = snprintf(text, sizeof(text), "%s:%s", purpose, user);

	if (n >= (int)sizeof(text))
		n = (int)sizeof(text) - 1;
	pthread_once(&once, draw_key);
	return n > 0 && has_key && HMAC(EVP_sha256(), key, sizeof(key), (const uint8_t *)text, (size_t)n, out, NULL);
}
