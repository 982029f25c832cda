/*
 * What is kept of a password: an argon2id hash for logins that send it, and the two keys of
 * SCRAM-SHA-256 (RFC 5802, RFC 7677) for those that do not; on request those of SCRAM-SHA-1 too, for
 * clients that know nothing newer. Pure: no clock, no store. Making or checking one is meant to be
 * slow (about 30 ms and 19 MiB for argon2id, as much CPU again for each SCRAM when making): call it
 * only where that may be, in `auth` and the command.
 */
#ifndef POSTHORN_DIRECTORY_CREDENTIAL_H
#define POSTHORN_DIRECTORY_CREDENTIAL_H

#include "base/buf.h"
#include "directory/limits.h"
#include "standards/sasl/scram.h"

struct credential {
	uint8_t argon2id_n;
	char argon2id[CREDENTIAL_ARGON2_BYTES_MAX]; /* "$argon2id$v=19$m=..,t=..,p=..$salt$hash" */
	struct scram_verifier scram_sha256;
	struct scram_verifier scram_sha1; /* salt_n 0: none */
};

struct credential_options {
	uint32_t argon2_kib;
	uint32_t argon2_passes;
	uint32_t argon2_lanes;
	uint32_t scram_iterations;
	struct str scram_salt; /* empty: 16 random bytes; a test gives its own. Borrowed */
	bool scram_sha1;       /* keys of SCRAM-SHA-1 as well */
};

/* OWASP's first recommendation for argon2id (19 MiB, 2 passes, 1 lane); 100,000 rounds of PBKDF2
 * for SCRAM. */
extern const struct credential_options CREDENTIAL_DEFAULTS;

/*
 * password: 1 to CREDENTIAL_PASSWORD_BYTES_MAX bytes of UTF-8 without control characters, hashed as
 * they are; the keys of SCRAM are of its prepared form (RFC 5802 5.1), if it has one. ST_SYNTAX with a sentence in why (may be NULL) when it is not; ST_LIMIT for options out
 * of bounds or a salt too long.
 */
enum status credential_make(struct str password, const struct credential_options *o,
    struct credential *out, struct buf *why) MUST_USE;
/* In time that does not depend on where they differ. A record with absurd parameters matches
 * nothing. */
bool credential_check_password(const struct credential *c, struct str password);
/* What the credential has for this hash; NULL: nothing. Borrowed from c. */
const struct scram_verifier *credential_scram(const struct credential *c, enum scram_hash hash);

/*
 * The record the store keeps; without keys of SCRAM-SHA-1 it is that of older versions. Decoding
 * anything that encoding does not make is ST_SYNTAX.
 */
enum status credential_encode(const struct credential *c, struct buf *out) MUST_USE;
enum status credential_decode(struct str record, struct credential *out) MUST_USE;
/* Forgets it for good. */
void credential_wipe(struct credential *c);

#endif
