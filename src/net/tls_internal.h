/* Between tls.c (contexts, the layer) and tls_key.c (keys that are elsewhere). */
#ifndef POSTHORN_NET_TLS_INTERNAL_H
#define POSTHORN_NET_TLS_INTERNAL_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "net/tls.h"

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

#endif
