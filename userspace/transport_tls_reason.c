/* SPDX-License-Identifier: BSD-2-Clause */
/* Why a handshake failed: one name and one counter for each kind of reason, and OpenSSL's words for the rest. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own.h"
#include "session.h"
#include "transport_tls_own.h"

struct reason {
	const char *name;
	enum metric metric;
};

static const struct reason timed_out = {"timed-out", METRIC_tls_failed_timed_out},
			   closed = {"closed", METRIC_tls_failed_closed},
			   garbage = {"not-tls", METRIC_tls_failed_garbage},
			   version = {"version", METRIC_tls_failed_version},
			   cipher = {"no-shared-cipher", METRIC_tls_failed_cipher},
			   alpn = {"no-shared-protocol", METRIC_tls_failed_alpn},
			   alert = {"refused", METRIC_tls_failed_alert}, other = {"failed", METRIC_tls_failed_other},
			   expired = {"expired", METRIC_tls_verify_expired},
			   not_yet = {"not-yet-valid", METRIC_tls_verify_not_yet_valid},
			   name = {"wrong-name", METRIC_tls_verify_wrong_name},
			   unknown_ca = {"unknown-ca", METRIC_tls_verify_unknown_ca},
			   missing = {"no-certificate", METRIC_tls_verify_missing},
			   refused = {"bad-certificate", METRIC_tls_verify_other};

static const struct {
	long error;
	const struct reason *reason;
} of_verification[] = {
	{X509_V_ERR_CERT_HAS_EXPIRED, &expired},
	{X509_V_ERR_CERT_NOT_YET_VALID, &not_yet},
	{X509_V_ERR_HOSTNAME_MISMATCH, &name},
	{X509_V_ERR_IP_ADDRESS_MISMATCH, &name},
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, &unknown_ca},
	{X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, &unknown_ca},
	{X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, &unknown_ca},
	{X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, &unknown_ca},
	{X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, &unknown_ca},
	{X509_V_ERR_CERT_UNTRUSTED, &unknown_ca},
};

static const struct {
	int code;
	const struct reason *reason;
} of_ssl[] = {
	{SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, &missing},
	{SSL_R_UNSUPPORTED_PROTOCOL, &version},
	{SSL_R_VERSION_TOO_LOW, &version},
	{SSL_R_VERSION_TOO_HIGH, &version},
	{SSL_R_WRONG_SSL_VERSION, &version},
	{SSL_R_INAPPROPRIATE_FALLBACK, &version},
	{SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, &version},
	{SSL_R_NO_SHARED_CIPHER, &cipher},
	{SSL_R_NO_SUITABLE_KEY_SHARE, &cipher},
	{SSL_R_NO_SHARED_GROUPS, &cipher},
	{SSL_R_NO_SUITABLE_GROUPS, &cipher},
	{SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, &cipher},
	{SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, &cipher},
	{SSL_R_NO_CIPHERS_SPECIFIED, &cipher},
	{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, &cipher},
	{SSL_R_NO_APPLICATION_PROTOCOL, &alpn},
	{SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, &alpn},
	{SSL_R_UNEXPECTED_EOF_WHILE_READING, &closed},
	{SSL_R_WRONG_VERSION_NUMBER, &garbage},
	{SSL_R_HTTP_REQUEST, &garbage},
	{SSL_R_HTTPS_PROXY_REQUEST, &garbage},
	{SSL_R_UNEXPECTED_MESSAGE, &garbage},
	{SSL_R_UNEXPECTED_RECORD, &garbage},
	{SSL_R_BAD_RECORD_TYPE, &garbage},
	{SSL_R_LENGTH_MISMATCH, &garbage},
	{SSL_R_LENGTH_TOO_SHORT, &garbage},
	{SSL_R_BAD_LENGTH, &garbage},
	{SSL_R_BAD_PACKET, &garbage},
	{SSL_R_EXCESSIVE_MESSAGE_SIZE, &garbage},
	{SSL_R_PACKET_LENGTH_TOO_LONG, &garbage},
	{SSL_R_ENCRYPTED_LENGTH_TOO_LONG, &garbage},
	{SSL_R_DATA_LENGTH_TOO_LONG, &garbage},
	{SSL_R_RECORD_LENGTH_MISMATCH, &garbage},
	{SSL_R_RECORD_TOO_SMALL, &garbage},
	{SSL_R_BAD_PROTOCOL_VERSION_NUMBER, &garbage},
	{SSL_R_APPLICATION_DATA_AFTER_CLOSE_NOTIFY, &garbage},
	{SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, &garbage},
	{SSL_R_BAD_EXTENSION, &garbage},
};

static const struct reason *verification(long error)
{
	for (size_t i = 0; i < ARRAY_LEN(of_verification); i++) {
		if (of_verification[i].error == error)
			return of_verification[i].reason;
	}
	return &refused;
}

static const struct reason *library(unsigned long code)
{
	int reason = ERR_GET_REASON(code);

	for (size_t i = 0; i < ARRAY_LEN(of_ssl); i++) {
		if (of_ssl[i].code == reason)
			return of_ssl[i].reason;
	}
	return reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256 ? &alert : &other;
}

static void note(struct endpoint *ep, const struct reason *reason, const char *detail)
{
	struct metrics_set *metrics = ep->session->service->metrics;
	char why[128];

	rddr_metrics_count(metrics, METRIC_tls_failed);
	rddr_metrics_count(metrics, reason->metric);
	snprintf(why, sizeof(why), "TLS %s (%s)", reason->name, detail);
	free(ep->tls->why);
	ep->tls->why = strdup(why);
	ep->tls->dead = true;
}

void rddr_tls_reason_note(struct endpoint *ep, int error)
{
	long verified = SSL_get_verify_result(ep->tls->ssl);
	unsigned long code = ERR_peek_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;

	/* A certificate that was not checked was not refused either. */
	if (verified != X509_V_OK && SSL_get_verify_mode(ep->tls->ssl) != SSL_VERIFY_NONE)
		note(ep, verification(verified), X509_verify_cert_error_string(verified));
	else if (code && ERR_GET_LIB(code) == ERR_LIB_SSL)
		note(ep, library(code), text ? text : "no text");
	else if (code)
		note(ep, &other, text ? text : "no text");
	else
		note(ep, &closed, error ? strerror(error) : "the other side closed the connection");
	ERR_clear_error();
}

void rddr_tls_reason_late(struct endpoint *ep)
{
	note(ep, &timed_out, "the handshake did not end within deadlines.connect");
}
