/*
 * The keys of SCRAM-SHA-256 (RFC 5802 3, RFC 7677): what a server keeps instead of a password.
 *
 * Who has a verifier can check a password and impersonate the server to the user, but cannot log in
 * as the user. Treat it as a secret all the same: it can be guessed against offline.
 */
#ifndef POSTHORN_STANDARDS_SASL_SCRAM_H
#define POSTHORN_STANDARDS_SASL_SCRAM_H

#include "base/arena.h"
#include "base/buf.h"
#include "standards/sasl/limits.h"

enum { SCRAM_KEY_BYTES = 32 };

struct scram_verifier {
	uint8_t salt[SCRAM_SALT_BYTES_MAX];
	size_t salt_n;
	uint32_t iterations;
	uint8_t stored_key[SCRAM_KEY_BYTES];
	uint8_t server_key[SCRAM_KEY_BYTES];
};

/*
 * From a password, which is prepared here (sasl_prep, as a stored string). ST_SYNTAX: the password
 * is empty or cannot be prepared; ST_LIMIT: its length, the salt's, or iterations not between
 * SCRAM_ITERATIONS_MIN and SCRAM_ITERATIONS_MAX. Costs the iterations: not for an event loop.
 */
enum status scram_verifier_make(
    struct str password, struct str salt, uint32_t iterations, struct scram_verifier *out) MUST_USE;
/* The same with any number of iterations from 1, for the vectors of the RFCs and for fast tests. */
enum status scram_verifier_make_weak(
    struct str password, struct str salt, uint32_t iterations, struct scram_verifier *out) MUST_USE;
/* Does this password belong to the verifier? For PLAIN against a stored verifier. As costly as
 * make. */
bool scram_verifier_matches(const struct scram_verifier *v, struct str password);

/* "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey" with base64 (RFC 5803). */
enum status scram_verifier_format(const struct scram_verifier *v, struct buf *out);
enum status scram_verifier_parse(struct str s, struct scram_verifier *out) MUST_USE;

#endif
