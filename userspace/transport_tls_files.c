/* SPDX-License-Identifier: BSD-2-Clause */
/* Certificates, keys, CAs and OCSP responses from files, and the keys that are remembered for reloads. Main thread. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "own.h"
#include "transport_tls_own.h"

#define LARGEST	    (4u << 20)
#define LARGEST_KEY (1u << 16)
/* A certificate that ends within so many days is warned of. */
#define SOON 14

/* A key that was read, for a reload that may not read it any more. */
struct remembered {
	struct remembered *next;
	char *path;
	EVP_PKEY *key;
	bool used;
};

static struct remembered *remembered;

static int complain(const struct config *config, const struct tls_conf *conf, size_t i, const char *which,
		    const struct tls_file *file, const char *why)
{
	char key[400];

	if (conf->original)
		snprintf(key, sizeof(key), "%s", conf->key);
	else if (conf->dials)
		snprintf(key, sizeof(key), "%s.certificate.%s", conf->key, which);
	else
		snprintf(key, sizeof(key), "%s.certificates[%zu].%s", conf->key, i, which);
	return rddr_config_complain(config, file->mark, key, "%s: %s", file->path, why);
}

/* OpenSSL's own words for what went wrong last, or others. */
static const char *last_error(const char *otherwise)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());

	return text ? text : otherwise;
}

/* ---- reading ---- */

static void free_secret(BIO **bio)
{
	char *data = NULL;
	long len = *bio ? BIO_get_mem_data(*bio, &data) : 0;

	if (len > 0)
		OPENSSL_cleanse(data, (size_t)len);
	BIO_free(*bio);
	*bio = NULL;
}

/* A regular file, whole, in a memory BIO. 0 or -errno. */
static int read_file(const char *path, size_t largest, BIO **out)
{
	_owned_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	_owned_(free_secret) BIO *bio = BIO_new(BIO_s_mem());
	uint8_t block[4096];
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!bio)
		return -ENOMEM;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	while ((n = read(fd, block, sizeof(block))) > 0) {
		len += (size_t)n;
		if (len > largest)
			return -EFBIG;
		if (BIO_write(bio, block, (int)n) != n)
			return -ENOMEM;
	}
	OPENSSL_cleanse(block, sizeof(block));
	if (n < 0)
		return -errno;
	*out = TAKE_PTR(bio);
	return 0;
}

/* Nobody is there to be asked. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	*(bool *)ctx = true;
	return -1;
}

static void warn_of_dates(const struct tls_file *file, const X509 *leaf)
{
	int days = 0, seconds = 0;

	if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(leaf)) != 1)
		return;
	if (days < 0 || seconds < 0)
		log_warning("tls: the certificate %s has expired", file->path);
	else if (days < SOON)
		log_warning("tls: the certificate %s expires in %d days", file->path, days);
	if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
		log_warning("tls: the certificate %s is not valid yet", file->path);
}

static int read_chain(const struct config *config, const struct tls_conf *conf, size_t i, struct tls_pair *pair)
{
	const struct tls_file *file = &conf->certificates[i].chain;
	_owned_(free_secret) BIO *bio = NULL;
	int r = read_file(file->path, LARGEST, &bio);
	X509 *next;

	if (r < 0)
		return complain(config, conf, i, "chain", file, strerror(-r));
	ERR_clear_error();
	pair->leaf = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	if (!pair->leaf)
		return complain(config, conf, i, "chain", file, last_error("there is no certificate in PEM in it"));
	pair->chain = sk_X509_new_null();
	while (pair->chain && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (!sk_X509_push(pair->chain, next)) {
			X509_free(next);
			return -ENOMEM;
		}
	}
	if (!pair->chain)
		return -ENOMEM;
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return complain(config, conf, i, "chain", file, last_error("cannot be read"));
	ERR_clear_error();
	warn_of_dates(file, pair->leaf);
	return 0;
}

/* ---- keys ---- */

static struct remembered *find_key(const char *path)
{
	for (struct remembered *r = remembered; r; r = r->next) {
		if (!strcmp(r->path, path))
			return r;
	}
	return NULL;
}

/* Without memory for it, it is not remembered: then a reload has to be able to read it. */
static void remember_key(const char *path, EVP_PKEY *key)
{
	struct remembered *r = find_key(path);

	if (!r) {
		r = calloc(1, sizeof(*r));
		if (r)
			r->path = strdup(path);
		if (!r || !r->path) {
			free(r);
			return;
		}
		r->next = remembered;
		remembered = r;
	}
	if (EVP_PKEY_up_ref(key) != 1)
		return;
	EVP_PKEY_free(r->key);
	r->key = key;
	r->used = true;
}

void rddr_tls_keys_begin(void)
{
	for (struct remembered *r = remembered; r; r = r->next)
		r->used = false;
}

void rddr_tls_keys_end(bool all)
{
	for (struct remembered **at = &remembered; *at;) {
		struct remembered *r = *at;

		if (!all || r->used) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		EVP_PKEY_free(r->key);
		free(r->path);
		free(r);
	}
}

/* The file is for somebody else's eyes now; what it held is still here. */
static bool recall_key(const char *path, struct tls_pair *pair)
{
	struct remembered *r = find_key(path);

	if (!r || X509_check_private_key(pair->leaf, r->key) != 1 || EVP_PKEY_up_ref(r->key) != 1)
		return false;
	log_warning("tls: the key %s cannot be read any more; the one that was read before goes on", path);
	pair->key = r->key;
	r->used = true;
	return true;
}

static void warn_of_rights(const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0 && (st.st_mode & S_IROTH))
		log_warning("tls: the private key %s can be read by everybody on this host", path);
}

static int read_key(const struct config *config, const struct tls_conf *conf, size_t i, struct tls_pair *pair)
{
	const struct tls_certificate *from = &conf->certificates[i];
	const struct tls_file *file = from->key.path ? &from->key : &from->chain;
	const char *which = from->key.path ? "key" : "chain";
	_owned_(free_secret) BIO *bio = NULL;
	bool encrypted = false;
	int r = read_file(file->path, from->key.path ? LARGEST_KEY : LARGEST, &bio);

	if (r == -EACCES && recall_key(file->path, pair))
		return 0;
	if (r < 0)
		return complain(config, conf, i, which, file, strerror(-r));
	ERR_clear_error();
	pair->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &encrypted);
	if (!pair->key && encrypted)
		return complain(config, conf, i, which, file,
				"the private key is encrypted; there is nobody to ask "
				"for its passphrase");
	if (!pair->key)
		return complain(config, conf, i, which, file,
				ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE
					? "there is no private key in PEM in it"
					: last_error("it cannot be read"));
	if (X509_check_private_key(pair->leaf, pair->key) != 1) {
		ERR_clear_error();
		return complain(config, conf, i, which, file, "the private key is not the certificate's");
	}
	remember_key(file->path, pair->key);
	warn_of_rights(file->path);
	return 0;
}

/* ---- OCSP ---- */

static time_t time_of(const ASN1_GENERALIZEDTIME *when)
{
	struct tm tm;

	return when && ASN1_TIME_to_tm(when, &tm) == 1 ? timegm(&tm) : 0;
}

/* Whether it is about this certificate, and says that it is good. */
static const char *check_ocsp(OCSP_RESPONSE *response, struct tls_pair *pair)
{
	OCSP_BASICRESP *basic = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL
					? OCSP_response_get1_basic(response)
					: NULL;
	const char *why = basic ? "it is not about this certificate" : "it is not a successful response";

	for (int k = 0; basic && k < OCSP_resp_count(basic); k++) {
		OCSP_SINGLERESP *single = OCSP_resp_get0(basic, k);
		/* The type is of a time when nothing was const. */
		OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
		ASN1_GENERALIZEDTIME *until = NULL;
		ASN1_INTEGER *serial = NULL;

		OCSP_id_get0_info(NULL, NULL, NULL, &serial, id);
		if (!serial || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(pair->leaf)) != 0)
			continue;
		int status = OCSP_single_get0_status(single, NULL, NULL, NULL, &until);

		pair->ocsp_until = time_of(until);
		why = status == V_OCSP_CERTSTATUS_GOOD ? NULL : "it does not say that the certificate is good";
		break;
	}
	OCSP_BASICRESP_free(basic);
	return why;
}

static int read_ocsp(const struct config *config, const struct tls_conf *conf, size_t i, struct tls_pair *pair)
{
	const struct tls_file *file = &conf->certificates[i].ocsp;
	_owned_(free_secret) BIO *bio = NULL;
	const unsigned char *at;
	char *data;
	int r = file->path ? read_file(file->path, LARGEST_KEY, &bio) : 0;

	if (!file->path)
		return 0;
	if (r < 0)
		return complain(config, conf, i, "ocsp", file, strerror(-r));
	long len = BIO_get_mem_data(bio, &data);
	at = (const unsigned char *)data;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, len);
	ERR_clear_error();
	const char *why = response ? check_ocsp(response, pair) : "there is no OCSP response in DER in it";
	OCSP_RESPONSE_free(response);
	if (why)
		return complain(config, conf, i, "ocsp", file, why);
	if (pair->ocsp_until && pair->ocsp_until <= time(NULL))
		log_warning("tls: the OCSP response %s is too old; it is not shown", file->path);
	pair->ocsp = OPENSSL_memdup(data, (size_t)len);
	pair->ocsp_len = (size_t)len;
	return pair->ocsp ? 0 : -ENOMEM;
}

int rddr_tls_read_pair(const struct config *config, const struct tls_conf *conf, size_t i, struct tls_pair *pair)
{
	int r = read_chain(config, conf, i, pair);

	if (r == 0)
		r = read_key(config, conf, i, pair);
	if (r == 0)
		r = read_ocsp(config, conf, i, pair);
	ERR_clear_error();
	return r;
}

void rddr_tls_free_pair(struct tls_pair *pair)
{
	X509_free(pair->leaf);
	sk_X509_pop_free(pair->chain, X509_free);
	EVP_PKEY_free(pair->key);
	OPENSSL_free(pair->ocsp);
}

/* ---- CAs ---- */

int rddr_tls_read_ca(const struct config *config, const struct tls_conf *conf, SSL_CTX *ctx, uint8_t digest[32])
{
	_owned_(free_secret) BIO *bio = NULL;
	char key[400], *data;
	unsigned n = 0;
	X509 *ca;
	int r = read_file(conf->ca.path, LARGEST, &bio);

	snprintf(key, sizeof(key), "%s.ca", conf->key);
	if (r < 0)
		return rddr_config_complain(config, conf->ca.mark, key, "%s: %s", conf->ca.path, strerror(-r));
	long len = BIO_get_mem_data(bio, &data);
	if (EVP_Digest(data, (size_t)len, digest, NULL, EVP_sha256(), NULL) != 1)
		return -ENOMEM;
	ERR_clear_error();
	while ((ca = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		bool taken = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1 &&
			     (conf->dials || SSL_CTX_add_client_CA(ctx, ca) == 1);

		X509_free(ca);
		if (!taken)
			return -ENOMEM;
		n++;
	}
	if (!n || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
		r = rddr_config_complain(config, conf->ca.mark, key, "%s: %s", conf->ca.path,
					 n ? last_error("it cannot be read") : "there is no certificate in PEM in it");
	}
	ERR_clear_error();
	return r;
}
