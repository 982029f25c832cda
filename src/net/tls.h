/*
 * TLS by OpenSSL 3, as a layer whose private keys live elsewhere.
 *
 * A tls_context holds certificate chains and the *names* of their keys. A handshake that needs a private-key operation
 * hands it to the signer and is suspended (SSL_MODE_ASYNC; the loop goes on) until tls_sign_done; the connection resumes by itself.
 * TLS 1.2 and 1.3, SNI, ECDSA preferred over RSA, session tickets (keys per start, rotated hourly; RFC 5077, 8446 4.6.1), SSL_MODE_RELEASE_BUFFERS,
 * no renegotiation, no compression. After a sandbox nothing here opens a file.
 */
#ifndef POSTHORN_NET_TLS_H
#define POSTHORN_NET_TLS_H

#include "base/buf.h"
#include "base/str.h"
#include "sys/loop.h"

struct tls_context;

enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_ECDSA_P256 };

/* What a handshake wants done with a private key. */
struct tls_sign_request {
	uint64_t ticket;	/* names the waiting operation; never reused in a process */
	uint32_t key_id;	/* as given to tls_context_add */
	uint8_t kind;		/* enum tls_key_kind */
	uint8_t op;		/* enum tls_sign_op */
	struct str input;	/* digest (ECDSA), or the already padded block (RSA raw: TLS_SIGN_RSA_RAW); borrowed for the call */
};
enum tls_sign_op { TLS_SIGN_ECDSA, TLS_SIGN_RSA_RAW, TLS_SIGN_RSA_PKCS1, TLS_DECRYPT_RSA_PKCS1 };

/* Sends the request on its way; answer by tls_sign_done(ticket, ...), also much later, also never (the handshake then times out). */
typedef void tls_signer_fn(void *arg, const struct tls_sign_request *rq);

/* One per process: sets OpenSSL up (before the sandbox). */
void tls_process_init(void);
struct tls_context *tls_context_new(struct loop *l, tls_signer_fn *signer, void *signer_arg);
void tls_context_free(struct tls_context **ctx);
/*
 * chain_pem: certificates, leaf first (public halves only). Names are read from the leaf's SAN. The first added is the default when SNI is missing or unknown.
 * Replaces an entry with the same key kind and the same SAN set.
 */
enum status tls_context_add(struct tls_context *ctx, struct str chain_pem, uint32_t key_id, struct buf *error_out) MUST_USE;
/* result empty: failed. Finds nothing and does nothing when the connection is gone. */
void tls_sign_done(uint64_t ticket, struct str result);

struct tls_info {
	const char *version;	/* "TLSv1.3", static */
	const char *cipher;
	struct str sni;		/* owned by the connection */
	bool is_resumed;
};

/* The other side, run inside `keys`: does rq with the key (an EVP_PKEY) and appends the result. */
struct evp_pkey_st;
enum status tls_key_sign(struct evp_pkey_st *key, uint8_t kind, uint8_t op, struct str input, struct buf *out) MUST_USE;

#endif
