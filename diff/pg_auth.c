/* SPDX-License-Identifier: BSD-2-Clause */
#include "pg_auth.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg_auth_own.h"

/* Bodies: a password and an SASL message are shorter; a server's list of mechanisms, too. */
#define LONGEST_FRONTEND (PG_SCRAM_MESSAGE + 256)
#define LONGEST_BACKEND	 (PG_SCRAM_MESSAGE + 256)
#define LONGEST_SENT	 (PG_SCRAM_MESSAGE + 512)

/* ---- what is said ---- */

static uint32_t end_of(const struct pg_auth *a, enum pg_auth_role role, unsigned i)
{
	return a->incoming == (role == PG_AUTH_FRONTEND) ? RDDR_LONE : i;
}

void rddr_pg_auth_send(struct pg_auth *a, enum pg_auth_role role, unsigned i, char type, const void *head, size_t len,
		       const void *rest, size_t more)
{
	uint8_t message[LONGEST_SENT];
	uint32_t length = (uint32_t)(4 + len + more);

	if (1 + (size_t)length > sizeof(message))
		return; /* nothing that is sent comes near it */
	message[0] = (uint8_t)type;
	for (unsigned b = 0; b < 4; b++)
		message[1 + b] = (uint8_t)(length >> (24 - 8 * b));
	if (len)
		memcpy(message + 5, head, len);
	if (more)
		memcpy(message + 5 + len, rest, more);
	a->host->emit(a->session, end_of(a, role, i), message, 1 + length);
	OPENSSL_cleanse(message, 1 + length);
}

void rddr_pg_auth_request(struct pg_auth *a, unsigned frontend, uint32_t code, const void *rest, size_t more)
{
	const uint8_t head[4] = {0, 0, (uint8_t)(code >> 8), (uint8_t)code};

	rddr_pg_auth_send(a, PG_AUTH_FRONTEND, frontend, 'R', head, sizeof(head), rest, more);
}

bool rddr_pg_auth_md5(const char *password, const char *stored, const char *user, const uint8_t salt[4], char out[36])
{
	uint8_t hash[16], text[PG_CREDENTIALS_PASSWORD + 256];
	char inner[33];
	unsigned n;
	bool ok = true;

	if (stored) {
		memcpy(inner, stored + 3, 32);
	} else {
		int len = snprintf((char *)text, sizeof(text), "%s%s", password, user);

		if (len < 0 || (size_t)len >= sizeof(text))
			return false;
		ok = EVP_Digest(text, (size_t)len, hash, &n, EVP_md5(), NULL) == 1;
		for (unsigned i = 0; i < 16; i++)
			snprintf(inner + 2 * (size_t)i, 3, "%02x", hash[i]);
	}
	memcpy(text, inner, 32);
	memcpy(text + 32, salt, 4);
	ok = ok && EVP_Digest(text, 36, hash, &n, EVP_md5(), NULL) == 1;
	memcpy(out, "md5", 4);
	for (unsigned i = 0; i < 16; i++)
		snprintf(out + 3 + 2 * (size_t)i, 3, "%02x", hash[i]);
	OPENSSL_cleanse(text, sizeof(text));
	OPENSSL_cleanse(inner, sizeof(inner));
	return ok;
}

/* ---- how it ends ---- */

static void wipe_secrets(struct pg_auth *a)
{
	for (unsigned i = 0; i < a->n_frontends; i++)
		rddr_pg_frontend_wipe(&a->frontends[i]);
	for (unsigned i = 0; i < a->n_backends; i++)
		rddr_pg_backend_wipe(&a->backends[i]);
	a->plain = NULL;
	rddr_pg_auth_keys_forget(a);
	OPENSSL_cleanse(a->learnt, sizeof(a->learnt));
	OPENSSL_cleanse(a->pretence, sizeof(a->pretence));
}

static void put_field(char *message, size_t *len, size_t room, char name, const char *text)
{
	int n = snprintf(message + *len, room - *len, "%c%s", name, text);

	*len += (size_t)n < room - *len ? (size_t)n + 1 : room - *len;
}

void rddr_pg_auth_end(struct pg_auth *a, const char *sqlstate, const char *fmt, ...)
{
	char text[320], message[512];
	size_t len = 0;
	va_list args;

	if (a->state == PG_AUTH_ENDED)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	put_field(message, &len, sizeof(message) - 1, 'S', "FATAL");
	put_field(message, &len, sizeof(message) - 1, 'V', "FATAL");
	put_field(message, &len, sizeof(message) - 1, 'C', sqlstate);
	put_field(message, &len, sizeof(message) - 1, 'M', text);
	message[len++] = '\0';
	for (unsigned i = 0; i < a->n_frontends; i++) {
		if (a->frontends[i].turn != FRONTEND_THROUGH && a->frontends[i].turn != FRONTEND_GONE)
			rddr_pg_auth_send(a, PG_AUTH_FRONTEND, i, 'E', message, len, NULL, 0);
	}
	a->host->log(a->session, text);
	a->host->count(a->session, RDDR_COUNTED_LOGINS_REFUSED, 1);
	a->state = PG_AUTH_ENDED;
	wipe_secrets(a);
	a->host->finish(a->session);
}

void rddr_pg_auth_diverge(struct pg_auth *a, enum pg_auth_role role, unsigned i, unsigned k, const char *fmt, ...)
{
	bool lone = end_of(a, role, i) == RDDR_LONE;
	va_list args;

	if (a->state != PG_AUTH_UNDER_WAY)
		return;
	/* The host never detaches instance 0. */
	a->diverged = lone ? 0 : i ? i : k;
	a->finding = (struct rddr_finding){
		.instance = lone ? 0 : i,
		.other = lone ? 0 : k,
		.alone = lone || a->n_frontends + a->n_backends < 4 ? RDDR_ALONE_NOBODY : i + 1,
	};
	snprintf(a->finding.where, sizeof(a->finding.where), "login");
	va_start(args, fmt);
	vsnprintf(a->finding.why, sizeof(a->finding.why), fmt, args);
	va_end(args);
	a->state = PG_AUTH_DIVERGED;
	if (!a->reports)
		wipe_secrets(a);
}

static void let_in(struct pg_auth *a)
{
	for (unsigned i = 0; i < a->n_frontends; i++) {
		if (a->frontends[i].turn == FRONTEND_PROVED)
			rddr_pg_auth_request(a, i, PG_R_OK, NULL, 0);
	}
	a->host->count(a->session, RDDR_COUNTED_LOGINS, 1);
	a->state = PG_AUTH_DONE;
	wipe_secrets(a);
}

bool rddr_pg_auth_proved(const struct pg_auth *a)
{
	bool any = false;

	for (unsigned i = 0; i < a->n_frontends; i++) {
		enum pg_frontend_turn turn = a->frontends[i].turn;

		if (turn != FRONTEND_PROVED && turn != FRONTEND_KNOWN && turn != FRONTEND_THROUGH &&
		    turn != FRONTEND_GONE)
			return false;
		any |= turn != FRONTEND_GONE;
	}
	/* Where nobody is left, nobody has proved anything. */
	return any && a->decided;
}

/* Ends of a role that take part, and of them those whose turn is that; *which is one of these, *other one of the rest.
 */
struct survey {
	unsigned n, of_it, which, other;
};

static struct survey survey_frontends(const struct pg_auth *a, enum pg_frontend_turn turn)
{
	struct survey s = {0};

	for (unsigned i = 0; i < a->n_frontends; i++) {
		if (a->frontends[i].turn == FRONTEND_GONE || a->frontends[i].turn == FRONTEND_THROUGH)
			continue;
		s.n++;
		s.of_it += a->frontends[i].turn == turn;
		*(a->frontends[i].turn == turn ? &s.which : &s.other) = i;
	}
	return s;
}

static struct survey survey_backends(const struct pg_auth *a, enum pg_backend_turn turn)
{
	struct survey s = {0};

	for (unsigned i = 0; i < a->n_backends; i++) {
		if (a->backends[i].turn == BACKEND_GONE)
			continue;
		s.n++;
		s.of_it += a->backends[i].turn == turn;
		*(a->backends[i].turn == turn ? &s.which : &s.other) = i;
	}
	return s;
}

/* All of them are decided. The finding names whoever stands alone: the only one that fails, or that does not. */
static void name_alone(struct pg_auth *a, const struct survey *failed)
{
	if (a->finding.alone == RDDR_ALONE_NOBODY)
		return;
	if (failed->of_it == 1)
		a->finding.alone = failed->which + 1;
	else if (failed->of_it == failed->n - 1)
		a->finding.alone = failed->other + 1;
	else
		a->finding.alone = RDDR_ALONE_NOBODY;
}

static void settle_frontends(struct pg_auth *a)
{
	struct survey failed = survey_frontends(a, FRONTEND_FAILED);
	struct survey proved = survey_frontends(a, FRONTEND_PROVED);

	if (!failed.of_it || failed.of_it + proved.of_it < failed.n)
		return;
	/* A frontend that talks to the backend itself is not to notice. */
	if (failed.of_it == failed.n && !a->reports) {
		rddr_pg_auth_end(a, "28P01", "password authentication failed for user \"%s\"", a->user);
		return;
	}
	rddr_pg_auth_diverge(a, PG_AUTH_FRONTEND, failed.which, proved.of_it ? proved.which : 0,
			     "it does not prove that it is the user, as others do");
	name_alone(a, &failed);
}

static void settle_backends(struct pg_auth *a)
{
	struct survey ok = survey_backends(a, BACKEND_OK), refused = survey_backends(a, BACKEND_REFUSED);

	if (a->backends[0].through && a->backends[0].turn == BACKEND_REFUSED) {
		/* The client hears of it from the source. The others were not asked with what it typed. */
		a->host->count(a->session, RDDR_COUNTED_LOGINS_REFUSED, 1);
		a->state = PG_AUTH_ENDED;
		wipe_secrets(a);
		a->host->finish(a->session);
	} else if (refused.n && refused.of_it == refused.n) {
		a->state = PG_AUTH_REFUSED;
		wipe_secrets(a);
	} else if (refused.of_it &&
		   (!a->decided || (rddr_pg_auth_proved(a) && ok.of_it && ok.of_it + refused.of_it == ok.n))) {
		rddr_pg_auth_diverge(a, PG_AUTH_BACKEND, refused.which, refused.other,
				     "it refuses the login, which others do not");
		name_alone(a, &refused);
	} else if (refused.of_it && !rddr_pg_auth_proved(a)) {
		rddr_pg_auth_end(a, "57014", "the servers gave the login up before the client had proved who it is");
	} else if (ok.of_it == ok.n && rddr_pg_auth_proved(a)) {
		let_in(a);
	}
}

/* ---- who is asked for what ---- */

static void refuse_demand(struct pg_auth *a, unsigned i, const char *why)
{
	enum pg_method method = a->backends[i].method;

	if (a->reports)
		rddr_pg_auth_diverge(a, PG_AUTH_BACKEND, i, 0, "it demands %s, %s", rddr_pg_auth_method_name(method),
				     why);
	else
		rddr_pg_auth_end(a, "28000", "RDDR: a server demands %s of user \"%s\", %s",
				 rddr_pg_auth_method_name(method), a->user, why);
}

/* Whether each backend demands what it may, before anybody is asked for anything. */
static void check_demands(struct pg_auth *a)
{
	for (unsigned i = 0; i < a->n_backends && a->state == PG_AUTH_UNDER_WAY; i++) {
		const struct pg_backend *b = &a->backends[i];

		if (b->turn == BACKEND_GONE || b->turn == BACKEND_REFUSED || b->through)
			continue;
		if (b->method == PG_METHOD_OTHER)
			refuse_demand(a, i, "and RDDR speaks trust, password, md5 and scram-sha-256 alone");
		else if (!(a->conf->instance & 1u << b->method))
			refuse_demand(a, i, "which diff-params.instance-auth does not allow");
		else if (b->method > PG_METHOD_PASSWORD && !a->conf->credentials && a->method != PG_METHOD_PASSWORD)
			refuse_demand(a, i,
				      "and RDDR has no credentials to log in with: diff-params.credentials is not set");
	}
}

/* What may be played with a secret of that form. */
static bool serves(const struct pg_secret *secret, enum pg_method method)
{
	if (method <= PG_METHOD_PASSWORD || secret->form == PG_SECRET_PLAIN)
		return true;
	return secret->form == (method == PG_METHOD_MD5 ? PG_SECRET_MD5 : PG_SECRET_SCRAM);
}

/* The strongest that the user's secret serves; for a user who is not there, what most others would be asked for. */
static enum pg_method strongest(const struct pg_auth *a)
{
	const struct pg_credentials *c = a->conf->credentials;
	enum pg_secret_form form = a->secret ? a->secret->form : PG_SECRET_SCRAM;

	if (!a->secret &&
	    rddr_pg_credentials_count(c, PG_SECRET_MD5) >
		    rddr_pg_credentials_count(c, PG_SECRET_PLAIN) + rddr_pg_credentials_count(c, PG_SECRET_SCRAM))
		form = PG_SECRET_MD5;
	return form == PG_SECRET_MD5 ? PG_METHOD_MD5 : PG_METHOD_SCRAM;
}

static enum pg_method demanded(const struct pg_auth *a, enum pg_method *first)
{
	enum pg_method most = PG_METHOD_TRUST;
	bool any = false;

	*first = PG_METHOD_TRUST;
	for (unsigned i = 0; i < a->n_backends; i++) {
		const struct pg_backend *b = &a->backends[i];

		if (b->turn == BACKEND_GONE || b->turn == BACKEND_REFUSED)
			continue;
		if (!any)
			*first = b->method;
		any = true;
		most = b->method > most ? b->method : most;
	}
	return most;
}

/* It looks like any other login, and fails at its end. */
static void pretend(struct pg_auth *a)
{
	uint8_t raw[PG_SCRAM_KEY];

	a->pretended = true;
	if (!rddr_pg_credentials_invent("password", a->user, raw)) {
		rddr_pg_auth_end(a, "58000", "RDDR: libcrypto failed");
		return;
	}
	for (unsigned i = 0; i < sizeof(raw); i++)
		snprintf(a->pretence + 2 * (size_t)i, 3, "%02x", raw[i]);
	OPENSSL_cleanse(raw, sizeof(raw));
}

/*
 * What frontends are asked for: when the config leaves it open, nothing where no backend demands anything; otherwise
 * the strongest that the secret serves, but never weaker than what the first backend demands.
 */
static void decide(struct pg_auth *a)
{
	enum pg_method first, most = demanded(a, &first);
	const struct pg_credentials *c = a->conf->credentials;

	a->decided = true;
	a->secret = rddr_pg_credentials_find(c, a->user);
	a->method = a->conf->client;
	if (a->conf->automatic && most == PG_METHOD_TRUST)
		a->method = PG_METHOD_TRUST;
	else if (a->conf->automatic && !c)
		a->method = most == PG_METHOD_PASSWORD ? PG_METHOD_PASSWORD : PG_METHOD_SCRAM;
	else if (a->conf->automatic)
		a->method = strongest(a);
	if (!c) {
		/* Outgoing, logins are to be made again when nobody types anything. */
		a->unverified = a->incoming && a->method == PG_METHOD_PASSWORD && most > PG_METHOD_TRUST;
		return;
	}
	bool weaker = a->conf->automatic && a->method < first;
	if (a->method != PG_METHOD_TRUST && (!a->secret || !serves(a->secret, a->method) || weaker)) {
		a->host->log(a->session, a->secret ? "the form of the user's secret does not serve this login"
						   : "the credentials know no such user");
		a->method = weaker ? PG_METHOD_SCRAM : a->method;
		pretend(a);
	} else if (a->secret && a->secret->form == PG_SECRET_PLAIN) {
		a->plain = a->secret->text;
	}
}

void rddr_pg_auth_step(struct pg_auth *a)
{
	if (a->state != PG_AUTH_UNDER_WAY || !a->begun)
		return;
	if (survey_backends(a, BACKEND_NEW).of_it)
		return;
	if (!a->decided && survey_backends(a, BACKEND_REFUSED).of_it == 0)
		decide(a);
	if (a->decided && a->state == PG_AUTH_UNDER_WAY)
		check_demands(a);
	for (unsigned i = 0; i < a->n_frontends && a->state == PG_AUTH_UNDER_WAY && a->decided; i++)
		rddr_pg_frontend_step(a, i);
	if (a->state == PG_AUTH_UNDER_WAY)
		settle_frontends(a);
	for (unsigned i = 0; i < a->n_backends && a->state == PG_AUTH_UNDER_WAY && a->decided; i++)
		rddr_pg_backend_step(a, i);
	/* A challenge may have come that a salt was waited for. */
	if (a->state == PG_AUTH_UNDER_WAY)
		settle_backends(a);
}

/* ---- what the plugin calls ---- */

int rddr_pg_auth_new(const struct pg_auth_conf *conf, const struct rddr_diff_create *args, struct pg_auth **out)
{
	struct pg_auth *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->conf = conf;
	a->host = args->host;
	a->session = args->session;
	a->incoming = args->direction == RDDR_INCOMING;
	a->reports = args->reports;
	a->n_frontends = a->incoming ? 1 : args->instances;
	a->n_backends = a->incoming ? args->instances : 1;
	if (a->reports) {
		a->frontends[0].turn = FRONTEND_THROUGH;
		a->backends[0].through = true;
	}
	a->host->conceal(a->session, RDDR_LONE, SIZE_MAX);
	for (unsigned i = 0; i < args->instances; i++)
		a->host->conceal(a->session, i, SIZE_MAX);
	*out = a;
	return 0;
}

void rddr_pg_auth_free(struct pg_auth **owned)
{
	struct pg_auth *a = *owned;

	if (!a)
		return;
	wipe_secrets(a);
	free(a->user);
	free(a);
	*owned = NULL;
}

int rddr_pg_auth_begin(struct pg_auth *a, const char *user)
{
	if (strlen(user) > 255)
		return -EINVAL;
	a->user = strdup(user);
	if (!a->user)
		return -ENOMEM;
	a->begun = true;
	/* Where a backend is vouched for, nobody else moves it on. */
	rddr_pg_auth_step(a);
	return 0;
}

void rddr_pg_auth_vouch(struct pg_auth *a, unsigned method)
{
	a->backends[0].turn = BACKEND_OK;
	a->backends[0].method = method < PG_METHODS ? (enum pg_method)method : PG_METHOD_OTHER;
}

unsigned rddr_pg_auth_demanded(const struct pg_auth *a)
{
	return a->backends[0].method;
}

void rddr_pg_auth_again(struct pg_auth *a)
{
	for (unsigned i = 0; i < a->n_frontends; i++)
		a->frontends[i].turn = FRONTEND_KNOWN;
}

void rddr_pg_auth_refuse(struct pg_auth *a, const char *sqlstate, const char *text)
{
	rddr_pg_auth_end(a, sqlstate, "%s", text);
}

bool rddr_pg_auth_wants(const struct pg_auth *a, enum pg_auth_role role, unsigned i)
{
	if (a->state != PG_AUTH_UNDER_WAY || !a->begun)
		return false;
	if (role == PG_AUTH_BACKEND) {
		enum pg_backend_turn turn = a->backends[i].turn;

		return i < a->n_backends && turn != BACKEND_OK && turn != BACKEND_REFUSED && turn != BACKEND_GONE;
	}
	enum pg_frontend_turn turn = a->frontends[i].turn;
	/* The source's login may be over before the others' is. */
	if (turn == FRONTEND_THROUGH && a->backends[0].turn >= BACKEND_OK)
		return false;
	return i < a->n_frontends && (turn == FRONTEND_ANSWERS || turn == FRONTEND_PROVES || turn == FRONTEND_THROUGH);
}

size_t rddr_pg_auth_longest(enum pg_auth_role role)
{
	return role == PG_AUTH_FRONTEND ? LONGEST_FRONTEND : LONGEST_BACKEND;
}

enum pg_auth_take rddr_pg_auth_take(struct pg_auth *a, enum pg_auth_role role, unsigned i, char type,
				    const uint8_t *body, size_t len)
{
	enum pg_auth_take take = PG_AUTH_TAKEN;

	if (!rddr_pg_auth_wants(a, role, i))
		return PG_AUTH_LEFT;
	if (role == PG_AUTH_BACKEND)
		take = rddr_pg_backend_take(a, i, type, body, len);
	else
		rddr_pg_frontend_take(a, i, type, body, len);
	rddr_pg_auth_step(a);
	return take;
}

bool rddr_pg_auth_let_in(const struct pg_auth *a, unsigned i)
{
	return i < a->n_backends && a->backends[i].turn == BACKEND_OK;
}

void rddr_pg_auth_gone(struct pg_auth *a, unsigned instance)
{
	if (a->incoming && instance < a->n_backends)
		a->backends[instance].turn = BACKEND_GONE;
	else if (!a->incoming && instance < a->n_frontends)
		a->frontends[instance].turn = FRONTEND_GONE;
	/* Elsewhere the secrets are gone already. */
	if (a->reports && a->state == PG_AUTH_DIVERGED && a->diverged == instance)
		a->state = PG_AUTH_UNDER_WAY;
	rddr_pg_auth_step(a);
}

enum pg_auth_state rddr_pg_auth_state(const struct pg_auth *a)
{
	return a->state;
}

void rddr_pg_auth_finding(const struct pg_auth *a, struct rddr_finding *finding)
{
	size_t offset = finding->offset;

	*finding = a->finding;
	finding->offset = offset;
}

bool rddr_pg_auth_patient(const struct pg_auth *a)
{
	for (unsigned i = 0; i < (a->incoming ? a->n_backends : a->n_frontends); i++) {
		enum pg_backend_turn turn = a->backends[i].turn;

		if (a->incoming ? turn == BACKEND_NEW || turn == BACKEND_CHALLENGES || turn == BACKEND_SIGNS ||
					  turn == BACKEND_DECIDES
				: rddr_pg_auth_wants(a, PG_AUTH_FRONTEND, i))
			return false;
	}
	return a->begun && a->state == PG_AUTH_UNDER_WAY;
}

void rddr_pg_auth_reveal(struct pg_auth *a)
{
	unsigned instances = a->incoming ? a->n_backends : a->n_frontends;

	if (a->revealed || a->state == PG_AUTH_UNDER_WAY)
		return;
	a->revealed = true;
	a->host->conceal(a->session, RDDR_LONE, 0);
	for (unsigned i = 0; i < instances; i++)
		a->host->conceal(a->session, i, 0);
}
