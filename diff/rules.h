/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rules.h - diff-params of the classes http and json: which fields are not compared as they are, and the bounds.
 *
 *	diff-params:
 *	  ignore-headers: [X-Cache, X-Amz-*]       # besides the default ones; a name, or how it begins
 *	  only-headers: [Content-Type, Location]   # compare these alone
 *	  fields:
 *	    - { header: ETag, action: translate }
 *	    - { cookie: session, action: token }             # the value that Set-Cookie gives it
 *	    - { cookie: [PHPSESSID, PHPSESSID, connect.sid], action: token }   # what each instance calls it
 *	    - { pointer: "/items/STAR/id", action: ignore }  # STAR: write *, any one key or item
 *	    - { line: 'name="csrf" value="([^"]+)"', action: token }  # PCRE2; the group, or the whole match
 *	  unordered: [/tags]                       # JSON arrays whose items may come in any order
 *	  tokens: { min-length: 8, ttl: 30m, max: 100000, scope: service }   # or client
 *	  noise-memory: { ttl: 10m, max: 10000 }
 *	  max-head: 64KiB
 *	  max-body: 1MiB                           # what a line, or a JSON document, may have
 *	  max-field: 4096                          # the longest value of a field that a rule takes out of comparison
 *	  undecided: deny                          # what cannot be decided within max-body; bytes: compare it as bytes
 *	  accept-encoding: identity                # what instances are asked for; pass: what the client asked for
 *	  correlate: { header: X-RDDR-Correlation } # requests of outgoing services say which exchange they belong to
 *	  max-decoded-ratio: 100                   # decoded bytes for each encoded one, past the first 64 KiB
 *
 * Rules are made once and read by all sessions, on all threads, at once; nothing in them is written to. A NULL for
 * them is taken everywhere, and means "{}".
 */
#ifndef RDDR_RULES_H
#define RDDR_RULES_H

#include "header_form.h"
#include "rddr_diff.h"
#include "slice.h"

enum rule_action {
	RULE_COMPARE,	/* compare it although a rule that is more general, or the default, says otherwise */
	RULE_IGNORE,	/* not compared; bounded by its form, or by max-field */
	RULE_TOKEN,	/* each instance has its own value, which the client sends back */
	RULE_TRANSLATE, /* may be the same for some and another for others; the client sends it back */
	RULE_ACTIONS
};

enum rules_undecided {
	UNDECIDED_DENY,
	UNDECIDED_BYTES, /* go on with BODY_BYTES where the comparator got stuck */
};

enum rules_scope {
	SCOPE_SERVICE, /* what one client was given is translated for every client */
	SCOPE_CLIENT,  /* for the same client address only */
};

enum rules_encoding {
	ENCODING_IDENTITY,
	ENCODING_PASS,
};

#define RULES_CORRELATE 41

/* What one rule says. */
struct field_rule {
	enum rule_action action;
	const char *text; /* the header, cookie (of several names, instance 0's), pointer or pattern as it was written;
			     for log and evidence */
	/* Of a header that is ignored by default; FORM_ANY: somebody asked for it to be ignored. */
	enum header_form form;
};

struct rules_settings {
	size_t token_min;   /* bytes; at least 4 */
	uint32_t token_ttl; /* s */
	size_t token_max;   /* entries of the service's table */
	enum rules_scope token_scope;
	uint32_t noise_ttl; /* s */
	size_t noise_max;   /* entries of the service's table */
	size_t max_head;    /* bytes */
	size_t max_body;    /* bytes */
	size_t max_field;   /* bytes */
	enum rules_undecided undecided;
	enum rules_encoding encoding;
	size_t max_decoded_ratio;
	char correlate[RULES_CORRELATE]; /* the header's name; empty: there is none */
};

struct rules;

/*
 * Reads diff-params (JSON text of an object). 0, or -EINVAL with a message that opens with the path of the wrong key,
 * as "diff-params.fields[2].line: ...", or -ENOMEM; *out is left alone then. err is filled whenever it fails.
 */
int rddr_rules_parse(const char *json, struct rules **out, char *err, size_t errlen);
void rddr_rules_free(struct rules **rules);

/* Whether rules fit the service: 0, or -EINVAL with a message as above. */
int rddr_rules_check(const struct rules *rules, const struct rddr_diff_service *service, char *err, size_t errlen);

const struct rules_settings *rddr_rules_settings(const struct rules *rules);

/*
 * What is to be done with a header of an answer; NULL: compare it. The list of what is ignored by default,
 * ignore-headers and only-headers are in this: a rule of fields has the last word. Framing headers (Content-Length and
 * its kind) are the caller's. Set-Cookie is compared cookie by cookie.
 */
const struct field_rule *rddr_rules_header(const struct rules *rules, struct slice name);

/* The same for the value that Set-Cookie gives to the cookie of that name (case matters); the name is instance 0's. */
const struct field_rule *rddr_rules_cookie(const struct rules *rules, struct slice name);

/*
 * A cookie of which not all instances have the same name. of[0] is instance 0's name, and what the client sees; of[i]
 * is what instance i means by it. All of these together only exchange names: at no instance do two have the same.
 */
struct cookie_names {
	struct slice of[RDDR_MAX_INSTANCES];
};

/* Whether there are such cookies. */
bool rddr_rules_renames(const struct rules *rules);

/* The one that the instance calls by that name (case matters); NULL: it is called so everywhere. */
const struct cookie_names *rddr_rules_names(const struct rules *rules, unsigned instance, struct slice name);

/*
 * The same for a value in a JSON document. path holds the keys that lead to it, without escapes, and the numbers of
 * array items as decimal digits; the whole document has depth 0.
 */
const struct field_rule *rddr_rules_pointer(const struct rules *rules, const struct slice path[], unsigned depth);

/* Whether the items of the array there may come in any order. */
bool rddr_rules_unordered(const struct rules *rules, const struct slice path[], unsigned depth);

/* What patterns for lines need besides the rules; for one thread at a time. */
struct line_matcher;

/* What a pattern found in a line. */
struct line_field {
	size_t offset, len; /* bytes; len may be 0 */
	const struct field_rule *rule;
};

/* 0 or -ENOMEM. *out is NULL where the rules have nothing for lines. */
int rddr_rules_matcher_new(const struct rules *rules, struct line_matcher **out);
void rddr_rules_matcher_free(struct line_matcher **m);

/*
 * Finds the fields of a line (without its end), in their order and without overlaps; where two patterns meet, the one
 * that begins first has it, then the one that was written first. Returns how many there are, at most max. -ENOBUFS:
 * more than max. -ELOOP: a pattern needs more steps than it is given for this line.
 */
int rddr_rules_line(struct line_matcher *m, struct slice line, struct line_field fields[], size_t max);

#endif
