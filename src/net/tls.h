/*
 * TLS by OpenSSL 3, as a layer whose private keys live elsewhere.
 *
 * A tls_context holds certificate chains and the *names* of their keys. A handshake that needs a private-key operation
 * hands it to the signer and is suspended (SSL_MODE_ASYNC; the loop goes on) until tls_sign_done; the connection resumes by itself.
 * TLS 1.2 and 1.3, SNI, ECDSA preferred over RSA, session tickets (keys per start, rotated hourly; RFC 5077, 8446 4.6.1), SSL_MODE_RELEASE_BUFFERS,
 * no renegotiation, no compression. After a sandbox nothing here opens a file.
 *
 * The client's side has contexts of its own (tls_client_context_new), which have no keys.
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
/*
 * RSA_RAW signs a PSS block (TLS 1.3, and 1.2 when both can), RSA_PKCS1 an encoded digest (RFC 8017 9.2 step 2). No decryption: RSA key exchange
 * is not offered, so that the signer can never be made an oracle for it.
 */
enum tls_sign_op { TLS_SIGN_ECDSA, TLS_SIGN_RSA_RAW, TLS_SIGN_RSA_PKCS1 };
#define TLS_SIGN_INPUT_MAX 512	/* an RSA-4096 block; bigger keys are refused */
#define TLS_SIGN_RESULT_MAX 512
/* Operations that wait at a time in one process; each holds a 32 KB stack. More handshakes wait for one of these to end. */
#define TLS_WAITING_MAX 256
#define TLS_NAMES_MAX 200	/* dNSNames of a certificate; the rest is not matched (CAs give at most 100) */
#define TLS_CHAIN_MAX 10
#define TLS_NAMES_ALL_MAX 100000
#define TLS_CLIENT_SESSIONS_MAX 1000	/* of servers, to resume; the oldest goes */
#define TLS_CLIENT_SESSION_MS (60 * 60 * 1000)
#define TLS_CLIENT_SESSION_BYTES_MAX 8192	/* a server's ticket and its certificate; a bigger one is not kept */
#define TLS_CLIENT_CAS_MAX 100		/* certificates that may vouch for clients */
#define TLS_CLIENT_NAMES_MAX 16		/* addresses of a client certificate; the rest is not looked at */
#define TLS_CLIENT_NAME_MAX 254		/* RFC 5321 4.5.3.1.3: a path of 256 without its brackets */
#define TLS_END_POINT_MAX 64		/* bytes of the longest hash */
#define TLS_TICKET_KEY_MS (60 * 60 * 1000)	/* a ticket is accepted for one to two of these */

/* Sends the request on its way; answer by tls_sign_done(ticket, ...), also much later, also never (the handshake then times out). */
typedef void tls_signer_fn(void *arg, const struct tls_sign_request *rq);

/* One per process: sets OpenSSL up (before the sandbox; reads no configuration file). Again does nothing. */
void tls_process_init(void);
/* Outlives its connections. The ticket keys are random until tls_context_ticket_seed. */
struct tls_context *tls_context_new(struct loop *l, tls_signer_fn *signer, void *signer_arg);
/* For handshakes from now on: nothing below TLS 1.3 (RFC 8446), else nothing below 1.2. */
void tls_context_set_min(struct tls_context *ctx, bool is_tls_13_only);
void tls_context_free(struct tls_context **ctx);
/*
 * Processes that share a port share tickets when given the same 32 random bytes and the time they were made (mono_ms of the same machine, not
 * in the future). From these the key of each hour is derived by a chain that cannot be run backwards.
 */
void tls_context_ticket_seed(struct tls_context *ctx, const uint8_t seed[32], uint64_t made_mono_ms);
/*
 * chain_pem: certificates, leaf first (public halves only). Names are read from the leaf's SAN. The first added (with those of its SAN set) is the default when SNI is missing or unknown.
 * Replaces an entry with the same key kind and the same SAN set; running connections keep the old one. A name in several certificates of a kind: the last
 * added wins; a name stands before a wildcard. ST_SYNTAX: no certificates there, ST_UNSUPPORTED: neither RSA of 2048-4096 bits nor P-256, ST_LIMIT.
 */
enum status tls_context_add(struct tls_context *ctx, struct str chain_pem, uint32_t key_id, struct buf *error_out) MUST_USE;
/*
 * Clients are asked for a certificate that one of these vouches for (PEM, copied; empty: no more asked). None, or an invalid one, does not end the
 * handshake: it just does not count (conn_tls_client_name). For handshakes from now on; tickets from before resume no longer. ST_SYNTAX: no
 * certificates there, ST_LIMIT: too many; then nothing is changed.
 */
enum status tls_context_set_client_ca(struct tls_context *ctx, struct str ca_pem) MUST_USE;
/*
 * For the client's side: TLS 1.2 and up, with whatever certificate the server has (RFC 7435: an unknown server under TLS is better than any without).
 * What a look at the certificate found is told in tls_info for a log line only; nobody is vouched for, as there are no trust anchors here.
 * Sessions are kept for resumption by server name, address and port; one of TLS 1.3 is used once (RFC 8446 C.4), none longer than its hour.
 */
struct tls_context *tls_client_context_new(struct loop *l);
struct tls_client_options {
	struct str server_name;	/* for SNI: a host name, empty: none. One that no SNI can hold (an address, over 255 bytes) is not sent. */
};
/* result empty: failed. Finds nothing and does nothing when the connection is gone. */
void tls_sign_done(uint64_t ticket, struct str result);

struct tls_info {
	const char *version;	/* "TLSv1.3", static */
	const char *cipher;
	struct str sni;		/* owned by the connection */
	/* Client: what a look at the server's chain found ("self-signed certificate"), static, "" nothing wrong. Server: "". */
	const char *peer_problem;
	bool is_peer_verified;	/* client: false so far */
	bool is_resumed;
};

/*
 * The other side, run inside `keys`: does rq with the key (an EVP_PKEY) and appends the result. ST_DENIED: not a thing TLS signs (a raw
 * block must be a PSS block) or not for this kind of key.
 */
struct evp_pkey_st;
enum status tls_key_sign(struct evp_pkey_st *key, uint8_t kind, uint8_t op, struct str input, struct buf *out) MUST_USE;

#endif
