#include "standards/dkim/dkim_key.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/check.h"

/* RFC 8301 3.2: 1,024 bits at least; more than 4,096 nobody can be expected to verify. */
#define RSA_BITS_MIN (8 * DKIM_RSA_SIGNATURE_BYTES_MIN)
#define RSA_BITS_MAX (8 * DKIM_RSA_SIGNATURE_BYTES_MAX)

static const char *
type_name(enum dkim_algorithm algorithm)
{
	return algorithm == DKIM_RSA_SHA256 ? "RSA" : "ED25519";
}

static bool
is_of(const EVP_PKEY *key, enum dkim_algorithm algorithm)
{
	return EVP_PKEY_is_a(key, type_name(algorithm)) == 1;
}

static EVP_PKEY *
generate(enum dkim_algorithm algorithm)
{
	EVP_PKEY *key = algorithm == DKIM_RSA_SHA256
			    ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)DKIM_RSA_BITS)
			    : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

	return key;
}

/* Makes room for n bytes at once, so that no copy of a secret stays behind in a buf that grew. */
static enum status
put_secret(struct buf *out, const uint8_t *p, size_t n)
{
	char *room = buf_reserve(out, n);

	if (room == NULL)
		return ST_LIMIT;
	memcpy(room, p, n);
	buf_commit(out, n);
	return ST_OK;
}

static enum status
private_put(EVP_PKEY *key, struct buf *out)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
	unsigned char *der = NULL;
	int n = info != NULL ? i2d_PKCS8_PRIV_KEY_INFO(info, &der) : -1;
	enum status st = n > 0 ? put_secret(out, der, (size_t)n) : ST_IO;

	if (n > 0)
		OPENSSL_clear_free(der, (size_t)n);
	PKCS8_PRIV_KEY_INFO_free(info);
	return st;
}

static enum status
rsa_public_put(EVP_PKEY *key, struct buf *out)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(key, &der);
	enum status st = n > 0 ? buf_put(out, str_of(der, (size_t)n)) : ST_IO;

	OPENSSL_free(der);
	return st;
}

static enum status
ed25519_public_put(EVP_PKEY *key, struct buf *out)
{
	uint8_t raw[DKIM_ED25519_PUBLIC_BYTES];
	size_t n = sizeof(raw);

	if (EVP_PKEY_get_raw_public_key(key, raw, &n) != 1 || n != sizeof(raw))
		return ST_IO;
	return buf_put(out, str_of(raw, n));
}

enum status
dkim_key_public(EVP_PKEY *key, enum dkim_algorithm algorithm, struct buf *out)
{
	if (!is_of(key, algorithm))
		return ST_SYNTAX;
	return algorithm == DKIM_RSA_SHA256 ? rsa_public_put(key, out)
					    : ed25519_public_put(key, out);
}

enum status
dkim_key_make(enum dkim_algorithm algorithm, struct buf *private_der_out, struct buf *public_out)
{
	EVP_PKEY *key = generate(algorithm);
	size_t public_start = public_out->n;
	enum status st;

	if (key == NULL)
		return ST_IO;
	st = dkim_key_public(key, algorithm, public_out);
	if (st == ST_OK)
		st = private_put(key, private_der_out);
	if (st != ST_OK)
		public_out->n = public_start;
	EVP_PKEY_free(key);
	return st;
}

static enum status
key_check(const EVP_PKEY *key, enum dkim_algorithm algorithm)
{
	if (!is_of(key, algorithm))
		return ST_SYNTAX;
	if (algorithm == DKIM_RSA_SHA256 &&
	    (EVP_PKEY_get_bits(key) < RSA_BITS_MIN || EVP_PKEY_get_bits(key) > RSA_BITS_MAX))
		return ST_LIMIT;
	return ST_OK;
}

static EVP_PKEY *
pkcs8_read(struct str der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)der.n);
	EVP_PKEY *key = NULL;

	/* Nothing may stand behind it. */
	if (info != NULL && p == (const unsigned char *)der.p + der.n)
		key = EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	return key;
}

enum status
dkim_key_load(enum dkim_algorithm algorithm, struct str private_der, EVP_PKEY **out)
{
	EVP_PKEY *key;
	enum status st;

	*out = NULL;
	if (private_der.n == 0)
		return ST_SYNTAX;
	if (private_der.n > DKIM_PRIVATE_BYTES_MAX)
		return ST_LIMIT;
	key = pkcs8_read(private_der);
	st = key != NULL ? key_check(key, algorithm) : ST_SYNTAX;
	if (st == ST_OK)
		*out = key;
	else
		EVP_PKEY_free(key);
	return st;
}

/* RFC 8017 8.2.1, from its step 2.2 on: the digest is there already. */
static size_t
rsa_sign(EVP_PKEY *key, const uint8_t *digest, uint8_t *out, size_t max)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	size_t n = max;

	if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 ||
	    EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) != 1 ||
	    EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) != 1 ||
	    EVP_PKEY_sign(ctx, out, &n, digest, DKIM_HASH_BYTES) != 1)
		n = 0;
	EVP_PKEY_CTX_free(ctx);
	return n;
}

/* RFC 8463 3: PureEdDSA (RFC 8032 5.1), whose message is the digest. */
static size_t
ed25519_sign(EVP_PKEY *key, const uint8_t *digest, uint8_t *out, size_t max)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = max;

	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	    EVP_DigestSign(ctx, out, &n, digest, DKIM_HASH_BYTES) != 1)
		n = 0;
	EVP_MD_CTX_free(ctx);
	return n;
}

enum status
dkim_key_sign(EVP_PKEY *key, enum dkim_algorithm algorithm, const uint8_t digest[DKIM_HASH_BYTES],
    struct buf *out)
{
	uint8_t signature[DKIM_RSA_SIGNATURE_BYTES_MAX];
	size_t n;
	enum status st = key_check(key, algorithm);

	if (st != ST_OK)
		return st;
	n = algorithm == DKIM_RSA_SHA256 ? rsa_sign(key, digest, signature, sizeof(signature))
					 : ed25519_sign(key, digest, signature, sizeof(signature));
	return n > 0 ? buf_put(out, str_of(signature, n)) : ST_IO;
}

/* A key of each kind is made, written, read and used. A small one of RSA: only the loading counts.
 */
static void
preload_one(enum dkim_algorithm algorithm, EVP_PKEY *key)
{
	static const uint8_t digest[DKIM_HASH_BYTES];
	struct buf der, signature;
	EVP_PKEY *again = NULL;

	buf_init(&der, DKIM_PRIVATE_BYTES_MAX);
	buf_init(&signature, DKIM_RSA_SIGNATURE_BYTES_MAX);
	CHECK(key != NULL && private_put(key, &der) == ST_OK);
	CHECK(dkim_key_load(algorithm, buf_str(&der), &again) == ST_OK);
	CHECK(dkim_key_sign(again, algorithm, digest, &signature) == ST_OK);
	EVP_PKEY_free(again);
	EVP_PKEY_free(key);
	buf_fini(&der);
	buf_fini(&signature);
}

void
dkim_key_preload(void)
{
	preload_one(DKIM_RSA_SHA256, EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_BITS_MIN));
	preload_one(DKIM_ED25519_SHA256, generate(DKIM_ED25519_SHA256));
}
