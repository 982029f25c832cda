/*
 * The keys of SCRAM (RFC 5802 3, RFC 7677): what a server keeps instead of a password.
 *
 * Who has a verifier can check a password and impersonate the server to the user, but cannot log in
 * as the user. Treat it as a secret all the same: it can be guessed against offline.
 */
#ifndef POSTHORN_STANDARDS_SASL_SCRAM_H
#define POSTHORN_STANDARDS_SASL_SCRAM_H

#include "base/arena.h"
#include "base/buf.h"
#include "standards/sasl/limits.h"

/* SHA-1 is for clients that know nothing else: RFC 5802 asks for it, RFC 7677 replaces it. */
enum scram_hash { SCRAM_SHA_256, SCRAM_SHA_1 };

/* Of the longest hash; scram_key_bytes says how many of them count. */
enum { SCRAM_KEY_BYTES = 32 };
size_t scram_key_bytes(enum scram_hash hash);
/* "SCRAM-SHA-256". Static. */
struct str scram_hash_name(enum scram_hash hash);

struct scram_verifier {
	enum scram_hash hash;
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
enum status scram_verifier_make(enum scram_hash hash, struct str password, struct str salt,
    uint32_t iterations, struct scram_verifier *out) MUST_USE;
/* The same with any number of iterations from 1, for the vectors of the RFCs and for fast tests. */
enum status scram_verifier_make_weak(enum scram_hash hash, struct str password, struct str salt,
    uint32_t iterations, struct scram_verifier *out) MUST_USE;
/*
 * Fills in the keys from hash, salt and iterations, which v holds, and a password that is used as
 * it is. For who has limits of his own. False when libcrypto fails.
 */
bool scram_verifier_derive(struct scram_verifier *v, struct str prepared) MUST_USE;
/* Does this password belong to the verifier? For PLAIN against a stored verifier. As costly as
 * make. */
bool scram_verifier_matches(const struct scram_verifier *v, struct str password);

/* "SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey" with base64 (RFC 5803). */
enum status scram_verifier_format(const struct scram_verifier *v, struct buf *out);
enum status scram_verifier_parse(struct str s, struct scram_verifier *out) MUST_USE;

#endif
