/*
 * Private keys that are elsewhere.
 *
 * OpenSSL 3.0 has no asynchronous key operation in its provider interface, but RSA_METHOD and EC_KEY_METHOD still work for TLS 1.2 and
 * 1.3: a key with a method of its own is not exported to a provider, the signature goes through the old EVP code and ends here, in the
 * job that SSL_MODE_ASYNC started. Suspending it suspends the handshake. Deprecated interfaces on purpose.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "net/tls_internal.h"

#include <openssl/async.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "base/check.h"

enum { RSA_BITS_MIN = 2048, RSA_BITS_MAX = 4096 };

struct tls_op **tls_running_op;

static RSA_METHOD *remote_rsa;
static EC_KEY_METHOD *remote_ec;
static int rsa_id_index, ec_id_index;

/* Runs inside the job. The result is valid until return; 0: failed. */
static size_t
remote_do(struct tls_op *op, struct str input, uint8_t *out, size_t out_max)
{
	op->input = input;
	/* Outside a handshake of ours nobody could resume us. */
	if (tls_running_op == NULL || ASYNC_get_current_job() == NULL || input.n > TLS_SIGN_INPUT_MAX)
		return 0;
	CHECK(*tls_running_op == NULL);
	*tls_running_op = op;
	while (!op->is_done)
		ASYNC_pause_job();
	/* Possibly another value than before: the resumed call set it for the same connection. */
	CHECK(*tls_running_op == op);
	*tls_running_op = NULL;
	if (op->result_n > out_max)
		return 0;
	memcpy(out, op->result, op->result_n);
	return op->result_n;
}

static uint32_t
id_of_ex(const void *ex)
{
	return (uint32_t)(uintptr_t)ex;
}

static int
remote_rsa_sign(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	struct tls_op op = {.key_id = id_of_ex(RSA_get_ex_data(rsa, rsa_id_index)), .kind = TLS_KEY_RSA};
	size_t got;

	if (padding == RSA_NO_PADDING)
		op.op = TLS_SIGN_RSA_RAW;
	else if (padding == RSA_PKCS1_PADDING)
		op.op = TLS_SIGN_RSA_PKCS1;
	else
		return -1;
	got = remote_do(&op, str_of(from, (size_t)n), to, (size_t)RSA_size(rsa));
	return got == (size_t)RSA_size(rsa) ? (int)got : -1;
}

/* RSA key exchange is not offered. */
static int
remote_rsa_refuse(int n, const unsigned char *from, unsigned char *to, RSA *rsa, int padding)
{
	(void)n;
	(void)from;
	(void)to;
	(void)rsa;
	(void)padding;
	return -1;
}

static int
remote_ec_sign(int type, const unsigned char *digest, int digest_n, unsigned char *sig,
    unsigned int *sig_n, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *ec)
{
	struct tls_op op = {.key_id = id_of_ex(EC_KEY_get_ex_data(ec, ec_id_index)),
	    .kind = TLS_KEY_ECDSA_P256,
	    .op = TLS_SIGN_ECDSA};
	size_t got;

	(void)type;
	(void)kinv;
	(void)r;
	got = remote_do(&op, str_of(digest, (size_t)digest_n), sig, (size_t)ECDSA_size(ec));
	*sig_n = (unsigned int)got;
	return got > 0;
}

void
tls_key_init(void)
{
	if (remote_rsa != NULL)
		return;
	remote_rsa = RSA_meth_dup(RSA_PKCS1_OpenSSL());
	remote_ec = EC_KEY_METHOD_new(EC_KEY_OpenSSL());
	CHECK(remote_rsa != NULL && remote_ec != NULL);
	CHECK(RSA_meth_set1_name(remote_rsa, "posthorn remote") == 1);
	CHECK(RSA_meth_set_priv_enc(remote_rsa, remote_rsa_sign) == 1);
	CHECK(RSA_meth_set_priv_dec(remote_rsa, remote_rsa_refuse) == 1);
	EC_KEY_METHOD_set_sign(remote_ec, remote_ec_sign, NULL, NULL);
	rsa_id_index = RSA_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	ec_id_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	CHECK(rsa_id_index >= 0 && ec_id_index >= 0);
}

static void *
ex_of_id(uint32_t key_id)
{
	return (void *)(uintptr_t)key_id;
}

static EVP_PKEY *
remote_rsa_new(EVP_PKEY *public, uint32_t key_id)
{
	const RSA *of = EVP_PKEY_get0_RSA(public);
	RSA *rsa = of != NULL ? RSAPublicKey_dup(of) : NULL;
	EVP_PKEY *key = EVP_PKEY_new();

	CHECK(key != NULL);
	if (rsa != NULL && RSA_set_method(rsa, remote_rsa) == 1 &&
	    RSA_set_ex_data(rsa, rsa_id_index, ex_of_id(key_id)) == 1 &&
	    EVP_PKEY_assign_RSA(key, rsa) == 1)
		return key;
	RSA_free(rsa);
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *
remote_ec_new(EVP_PKEY *public, uint32_t key_id)
{
	const EC_KEY *of = EVP_PKEY_get0_EC_KEY(public);
	EC_KEY *ec = of != NULL ? EC_KEY_dup(of) : NULL;
	EVP_PKEY *key = EVP_PKEY_new();

	CHECK(key != NULL);
	if (ec != NULL && EC_KEY_set_method(ec, remote_ec) == 1 &&
	    EC_KEY_set_ex_data(ec, ec_id_index, ex_of_id(key_id)) == 1 &&
	    EVP_PKEY_assign_EC_KEY(key, ec) == 1)
		return key;
	EC_KEY_free(ec);
	EVP_PKEY_free(key);
	return NULL;
}

static bool
is_p256(const EVP_PKEY *key)
{
	char group[32];
	size_t n;

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
	    EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
	    str_eq(str_of(group, n), STR("prime256v1"));
}

static bool
is_rsa(const EVP_PKEY *key)
{
	int bits = EVP_PKEY_get_bits(key);

	return EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA && bits >= RSA_BITS_MIN && bits <= RSA_BITS_MAX;
}

enum status
tls_remote_key_new(X509 *leaf, uint32_t key_id, enum tls_key_kind *kind_out, EVP_PKEY **out)
{
	EVP_PKEY *public = X509_get0_pubkey(leaf);

	*out = NULL;
	if (public != NULL && is_rsa(public)) {
		*kind_out = TLS_KEY_RSA;
		*out = remote_rsa_new(public, key_id);
	} else if (public != NULL && is_p256(public)) {
		*kind_out = TLS_KEY_ECDSA_P256;
		*out = remote_ec_new(public, key_id);
	}
	ERR_clear_error();
	return *out != NULL ? ST_OK : ST_UNSUPPORTED;
}

/* RFC 8017 9.1.1: a PSS block ends in 0xbc and fills the modulus. */
static bool
is_pss_block(const EVP_PKEY *key, struct str input)
{
	return input.n == (size_t)EVP_PKEY_get_size(key) && (unsigned char)input.p[input.n - 1] == 0xbc;
}

static bool
is_fitting(const EVP_PKEY *key, uint8_t kind, uint8_t op, struct str input)
{
	if (input.n == 0 || input.n > TLS_SIGN_INPUT_MAX)
		return false;
	if (op == TLS_SIGN_ECDSA)
		return kind == TLS_KEY_ECDSA_P256 && is_p256(key) && input.n <= EVP_MAX_MD_SIZE;
	if (kind != TLS_KEY_RSA || !is_rsa(key))
		return false;
	return op == TLS_SIGN_RSA_PKCS1 || (op == TLS_SIGN_RSA_RAW && is_pss_block(key, input));
}

enum status
tls_key_sign(struct evp_pkey_st *key, uint8_t kind, uint8_t op, struct str input, struct buf *out)
{
	enum status st = ST_DENIED;
	EVP_PKEY_CTX *ctx;
	size_t n = TLS_SIGN_RESULT_MAX;
	char *p;

	if (!is_fitting(key, kind, op, input))
		return ST_DENIED;
	p = buf_reserve(out, n);
	if (p == NULL)
		return ST_LIMIT;
	ctx = EVP_PKEY_CTX_new(key, NULL);
	CHECK(ctx != NULL);
	if (EVP_PKEY_sign_init(ctx) != 1)
		goto out;
	if (kind == TLS_KEY_RSA &&
	    EVP_PKEY_CTX_set_rsa_padding(
		ctx, op == TLS_SIGN_RSA_RAW ? RSA_NO_PADDING : RSA_PKCS1_PADDING) != 1)
		goto out;
	if (EVP_PKEY_sign(ctx, (unsigned char *)p, &n, (const unsigned char *)input.p, input.n) != 1)
		goto out;
	buf_commit(out, n);
	st = ST_OK;
out:
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return st;
}
