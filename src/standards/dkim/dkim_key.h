/*
 * Private keys of DKIM: made, read, used. Apart from dkim.h, because only the process that has keys
 * may link it. Whoever holds a private key in a buf wipes it; here a
 * buf grows at most once for it.
 */
#ifndef POSTHORN_STANDARDS_DKIM_DKIM_KEY_H
#define POSTHORN_STANDARDS_DKIM_DKIM_KEY_H

#include <openssl/evp.h>

#include "standards/dkim/dkim.h"

#define DKIM_RSA_BITS 2048

/* Loads what libcrypto reads from files at its first use: before a sandbox. */
void dkim_key_preload(void);
/*
 * A fresh key: appends PKCS #8 in DER, and the public key as dkim_record_put takes it. RSA of 2,048
 * bits takes 50 to 500 ms of a core. ST_LIMIT: a buf is full; ST_IO: libcrypto failed. Both are
 * then unchanged.
 */
enum status dkim_key_make(
    enum dkim_algorithm algorithm, struct buf *private_der_out, struct buf *public_out) MUST_USE;
/*
 * Reads PKCS #8; the caller frees the key with EVP_PKEY_free. ST_SYNTAX: no such key, or one of
 * another algorithm; ST_LIMIT: RSA of less than 1,024 bits (RFC 8301 3.2) or more than 4,096.
 */
enum status dkim_key_load(
    enum dkim_algorithm algorithm, struct str private_der, EVP_PKEY **out) MUST_USE;
/* Appends the public key as dkim_record_put takes it. */
enum status dkim_key_public(EVP_PKEY *key, enum dkim_algorithm algorithm, struct buf *out) MUST_USE;
/*
 * Appends the raw signature of the digest of dkim_sign_begin. ST_SYNTAX: a key of another
 * algorithm; ST_IO: libcrypto failed; ST_LIMIT: out is full. out is then unchanged.
 */
enum status dkim_key_sign(EVP_PKEY *key, enum dkim_algorithm algorithm,
    const uint8_t digest[DKIM_HASH_BYTES], struct buf *out) MUST_USE;

#endif
