/* For tests of TLS: certificates made on the spot, a signer that holds their keys, and an OpenSSL client on a simulated stream. */
#ifndef POSTHORN_NET_TEST_TLS_PEER_H
#define POSTHORN_NET_TEST_TLS_PEER_H

#include <openssl/ssl.h>

#include "base/buf.h"
#include "net/sim.h"
#include "net/tls.h"

struct test_cert {
	EVP_PKEY *key;
	struct buf pem;
};

#define TEST_KEY_P384 ((enum tls_key_kind)99)	/* a kind we do not serve */
/* Self-signed; sans like "DNS:a.example,DNS:*.b.example". */
void test_cert_make(struct test_cert *c, enum tls_key_kind kind, const char *sans);
struct test_cert_opts {
	enum tls_key_kind kind;
	const char *sans;
	const struct test_cert *issuer;	/* NULL: itself */
	const char *usage;		/* extendedKeyUsage; NULL: none */
	const EVP_MD *md;		/* of the signature; NULL: SHA-256 */
	bool is_ca, is_expired;
};
void test_cert_make_with(struct test_cert *c, const struct test_cert_opts *o);
X509 *test_cert_x509(const struct test_cert *c);	/* the caller's */
void test_cert_drop(struct test_cert *c);

struct tls_client {
	struct sim_end *end;
	SSL *ssl;
	BIO *in, *out;		/* memory */
	struct buf heard;
	struct buf unsent;
	bool is_up, is_eof, is_failed;
	bool is_broken;		/* the stream itself */
};

/* Takes end; ssl as set up by the test (not yet connected). */
void tls_client_start(struct tls_client *c, SSL *ssl, struct sim_end *end);
/* Queued until the handshake is done. */
void tls_client_say(struct tls_client *c, struct str text);
void tls_client_stop(struct tls_client *c);

#endif
