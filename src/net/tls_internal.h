/*
 * Between tls.c (server contexts, the layer), tls_client.c (client contexts and their sessions), tls_peer.c (certificates as names and bindings) and
 * tls_key.c (keys that are elsewhere).
 */
#ifndef POSTHORN_NET_TLS_INTERNAL_H
#define POSTHORN_NET_TLS_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/map.h"
#include "net/layer.h"
#include "net/tls.h"

enum { KINDS = TLS_KEY_ECDSA_P256 + 1, SNI_MAX = 255, TICKET_NAME_BYTES = 16 };

/* A certificate, the name of its key, and the names it is for. Replaced in place, so that the maps stay right. */
struct tls_cert {
	struct tls_cert *next;
	enum tls_key_kind kind;
	X509 *leaf;
	STACK_OF(X509) *chain;
	EVP_PKEY *key;
	struct buf names;	/* sorted, lower case, each ends with '\n' */
};

struct ticket_key {
	uint8_t name[TICKET_NAME_BYTES];
	uint8_t cipher[32];
	uint8_t mac[32];
};

struct tls_context {
	struct loop *loop;
	tls_signer_fn *signer;
	void *signer_arg;
	SSL_CTX *ssl;
	struct tls_sessions *sessions;		/* of a client; NULL: a server */
	struct tls_cert *certs;
	struct tls_cert *fallback[KINDS];	/* without a name, or with one we do not know */
	struct map by_name[KINDS];
	/* The chain value makes the next hour's keys and the next chain value; then it is forgotten. */
	uint8_t ticket_chain[32];
	uint64_t ticket_from_ms;		/* since when ticket_now is the current one */
	struct ticket_key ticket_now, ticket_before;
	bool has_before;
};

struct tls_layer {
	struct layer y;		/* must be first */
	struct tls_context *ctx;
	SSL *ssl;
	struct tls_op *op;	/* waits for the signer */
	loop_fn *wake;
	void *wake_arg;
	struct tls_layer *jobless_prev, *jobless_next;
	struct tls_info info;
	const char *error;
	struct str session_key;	/* of a client: owned; empty: none */
	uint64_t session_until_ms;
	bool is_done, is_jobless, is_being_freed, is_shut;
};

/*
 * A private-key operation that waits. Lives on the stack of the suspended job, which ends only after the operation is done
 * (or failed): whoever frees a connection resumes its job first.
 */
struct tls_op {
	uint32_t key_id;
	uint8_t kind;
	uint8_t op;
	bool is_asked;		/* the signer has it */
	bool is_done;
	struct str input;
	size_t result_n;	/* 0: failed */
	uint8_t result[TLS_SIGN_RESULT_MAX];
};

/* Where the operation of the handshake now running is put; set around each call into the handshake. NULL otherwise. */
extern struct tls_op **tls_running_op;

void tls_key_init(void);
/*
 * A key with the public half of the certificate, whose private operations suspend the job. ST_UNSUPPORTED when it is of no
 * kind we know.
 */
enum status tls_remote_key_new(X509 *leaf, uint32_t key_id, enum tls_key_kind *kind_out, EVP_PKEY **out);

/* What contexts of both sides have in common; outlives nothing. */
struct tls_context *tls_context_base_new(struct loop *l, const SSL_METHOD *method);
/* A layer of ctx that has not said on which side it is. */
struct tls_layer *tls_layer_base_new(struct tls_context *ctx, struct layer *next, loop_fn *wake, void *wake_arg);
/* For PEM_read_bio_*: keys and certificates under a pass phrase are not read. */
int tls_no_passphrase(char *p, int n, int is_write, void *arg);

struct tls_sessions;
void tls_sessions_free(struct tls_sessions **s);
/* A handshake went well with the session that was taken for it. */
void tls_client_resumed(struct tls_layer *t);

/* Puts the binding into each ticket, as a resumed server connection has no certificate (SSL_CTX_set_session_ticket_cb). */
int tls_end_point_into_ticket(SSL *ssl, void *arg);

#endif
