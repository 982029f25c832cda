/*
 * Secrets in the store, sealed with a master key that is not in it: AES-256-GCM (NIST SP 800-38D)
 * with a random nonce of 96 bits, good for 2^32 seals under one key.
 *
 *	u8 version 1 | 4 bytes key id | 12 bytes nonce | ciphertext | 16 bytes tag
 *
 * The key id (the first bytes of the key's SHA-256) tells a wrong master key from damage. The
 * context says what the secret is for ("dkim example.org s1"): a seal moved to another record does
 * not open there.
 */
#ifndef POSTHORN_DIRECTORY_SEALED_H
#define POSTHORN_DIRECTORY_SEALED_H

#include "base/buf.h"

#define SEALED_KEY_BYTES 32
#define SEALED_OVERHEAD_BYTES 33
/* An RSA key of 4,096 bits is 2,380 bytes; a chain of certificates fits too. */
#define SEALED_PLAIN_BYTES_MAX 65536
#define SEALED_CONTEXT_BYTES_MAX 1024

/* Loads what libcrypto reads from files at its first use: before a sandbox. */
void sealed_preload(void);
/* Appends the seal. ST_LIMIT: a length over its limit, or out is full; out is then unchanged. */
enum status sealed_seal(const uint8_t key[SEALED_KEY_BYTES], struct str context, struct str plain,
    struct buf *out) MUST_USE;
/*
 * Appends the secret, which the caller wipes. ST_DENIED: sealed with another key. ST_SYNTAX:
 * damaged, cut, or of another context. ST_UNSUPPORTED: of a later version. ST_LIMIT: a length over
 * its limit, or out is full. out is then unchanged, and holds no trace of the secret.
 */
enum status sealed_open(const uint8_t key[SEALED_KEY_BYTES], struct str context, struct str sealed,
    struct buf *out) MUST_USE;
/* Wipes all memory of b, also what lies beyond its length, and frees it. */
void sealed_wipe(struct buf *b);

#endif
