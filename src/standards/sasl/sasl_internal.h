/* What the files of sasl/ share. */
#ifndef POSTHORN_STANDARDS_SASL_SASL_INTERNAL_H
#define POSTHORN_STANDARDS_SASL_SASL_INTERNAL_H

#include "base/cur.h"
#include "standards/sasl/sasl.h"

/* The bytes of RFC 5802 5.1's client-final-message. */
struct scram_client_final {
	struct str binding; /* base64 */
	struct str nonce;
	struct str without_proof;	/* what is signed */
	uint8_t proof[SCRAM_KEY_BYTES]; /* as many as the hash has */
};

/* client-first-message; names still quoted. */
struct scram_client_first {
	struct str gs2_header;
	char flag;		 /* 'n', 'y', 'p' */
	struct str binding_type; /* of 'p' */
	struct str authzid, username, nonce;
	struct str bare;
};

struct scram_server_first {
	struct str nonce;
	uint8_t salt[SCRAM_SALT_BYTES_MAX];
	size_t salt_n;
	uint32_t iterations;
};

/* All borrow from s; NULL when it is well formed, else a word of RFC 5802's server-error-value. */
const char *scram_client_first_parse(struct str s, struct scram_client_first *out);
const char *scram_client_final_parse(
    enum scram_hash hash, struct str s, struct scram_client_final *out);
const char *scram_server_first_parse(struct str s, struct scram_server_first *out);

/* "=2C" and "=3D" there and back (RFC 5802 5.1, "n"). */
enum status scram_name_decode(struct str quoted, struct arena *a, struct str *out) MUST_USE;
enum status scram_name_encode(struct str name, struct arena *a, struct str *out) MUST_USE;

/* One str from n pieces, in a. */
enum status sasl_join(
    struct arena *a, const struct str *pieces, size_t n, struct str *out) MUST_USE;
enum status sasl_base64(struct arena *a, struct str bytes, struct str *out) MUST_USE;

/* The salted password from a prepared password. False when libcrypto fails. */
bool scram_salt(enum scram_hash hash, struct str prepared, struct str salt, uint32_t iterations,
    uint8_t out[SCRAM_KEY_BYTES]);
/* Both write scram_key_bytes. */
void scram_hmac(
    enum scram_hash hash, struct str key, struct str data, uint8_t out[SCRAM_KEY_BYTES]);
void scram_digest(enum scram_hash hash, struct str data, uint8_t out[SCRAM_KEY_BYTES]);
/* A key of the hash, as bytes. Borrows. */
struct str scram_key_str(enum scram_hash hash, const uint8_t key[SCRAM_KEY_BYTES]);

/* Has the channel anything to bind to? */
bool sasl_scram_can_bind(const struct sasl_scram *scram);

/* Overwrites memory of an arena. */
void sasl_wipe(struct str s);

/* NULL, or a word why the name is none. */
const char *sasl_name_prepare(struct str in, struct arena *a, struct str *out);
enum sasl_step sasl_fail(struct sasl_server *s, const char *why, struct sasl_out *out);
enum sasl_step scram_server_first(
    struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out);
enum sasl_step scram_server_final(
    struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out);

#endif
