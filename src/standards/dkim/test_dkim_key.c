#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "base/num.h"
#include "base/unit.h"
#include "standards/dkim/dkim_key.h"

static const uint8_t digest[DKIM_HASH_BYTES] = {1, 2, 3, 4};
static const enum dkim_algorithm algorithms[] = {DKIM_RSA_SHA256, DKIM_ED25519_SHA256};

static enum dkim_algorithm
other(enum dkim_algorithm algorithm)
{
	return algorithm == DKIM_RSA_SHA256 ? DKIM_ED25519_SHA256 : DKIM_RSA_SHA256;
}

/* By the public key as it goes into the record, in the way of a verifier. */
static bool
verifies(enum dkim_algorithm algorithm, struct str public_key, struct str signature)
{
	const unsigned char *p = (const unsigned char *)public_key.p;
	bool is_rsa = algorithm == DKIM_RSA_SHA256;
	EVP_PKEY *key = is_rsa
			    ? d2i_PUBKEY(NULL, &p, (long)public_key.n)
			    : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, p, public_key.n);
	EVP_PKEY_CTX *rsa = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	EVP_MD_CTX *ed25519 = EVP_MD_CTX_new();
	bool ok;

	if (is_rsa)
		ok = EVP_PKEY_verify_init(rsa) == 1 &&
		     EVP_PKEY_CTX_set_signature_md(rsa, EVP_sha256()) == 1 &&
		     EVP_PKEY_verify(rsa, (const unsigned char *)signature.p, signature.n, digest,
			 sizeof(digest)) == 1;
	else
		ok = EVP_DigestVerifyInit(ed25519, NULL, NULL, NULL, key) == 1 &&
		     EVP_DigestVerify(ed25519, (const unsigned char *)signature.p, signature.n,
			 digest, sizeof(digest)) == 1;
	EVP_MD_CTX_free(ed25519);
	EVP_PKEY_CTX_free(rsa);
	EVP_PKEY_free(key);
	return ok;
}

static void
made_keys_sign(void)
{
	for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
		struct buf der, public_key, again, signature, record;
		EVP_PKEY *key = NULL;

		buf_init(&der, DKIM_PRIVATE_BYTES_MAX);
		buf_init(&public_key, DKIM_PUBLIC_BYTES_MAX);
		buf_init(&again, DKIM_PUBLIC_BYTES_MAX);
		buf_init(&signature, DKIM_RSA_SIGNATURE_BYTES_MAX);
		buf_init(&record, DKIM_RECORD_BYTES_MAX);
		EXPECT(dkim_key_make(algorithms[i], &der, &public_key) == ST_OK);
		EXPECT(dkim_key_load(algorithms[i], buf_str(&der), &key) == ST_OK && key != NULL);
		EXPECT(dkim_key_public(key, algorithms[i], &again) == ST_OK);
		EXPECT(str_eq(buf_str(&again), buf_str(&public_key)));
		EXPECT(dkim_key_sign(key, algorithms[i], digest, &signature) == ST_OK);
		EXPECT(signature.n == (algorithms[i] == DKIM_RSA_SHA256 ? 256 : 64));
		EXPECT(verifies(algorithms[i], buf_str(&public_key), buf_str(&signature)));
		signature.p[5] ^= 1;
		EXPECT(!verifies(algorithms[i], buf_str(&public_key), buf_str(&signature)));
		EXPECT(dkim_record_put(&record, algorithms[i], buf_str(&public_key)) == ST_OK);
		EVP_PKEY_free(key);
		buf_fini(&der);
		buf_fini(&public_key);
		buf_fini(&again);
		buf_fini(&signature);
		buf_fini(&record);
	}
}

static void
keys_keep_to_their_algorithm(void)
{
	struct buf der, public_key, out;
	EVP_PKEY *key = NULL, *none = NULL;

	buf_init(&der, DKIM_PRIVATE_BYTES_MAX);
	buf_init(&public_key, DKIM_PUBLIC_BYTES_MAX);
	buf_init(&out, 1000);
	for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
		buf_reset(&der);
		buf_reset(&public_key);
		EXPECT(dkim_key_make(algorithms[i], &der, &public_key) == ST_OK);
		EXPECT(dkim_key_load(other(algorithms[i]), buf_str(&der), &none) == ST_SYNTAX);
		EXPECT(none == NULL);
		EXPECT(dkim_key_load(algorithms[i], buf_str(&der), &key) == ST_OK);
		EXPECT(dkim_key_sign(key, other(algorithms[i]), digest, &out) == ST_SYNTAX);
		EXPECT(dkim_key_public(key, other(algorithms[i]), &out) == ST_SYNTAX && out.n == 0);
		EVP_PKEY_free(key);
	}
	buf_fini(&der);
	buf_fini(&public_key);
	buf_fini(&out);
}

static void
damaged_keys_are_refused(void)
{
	struct buf der, public_key;
	EVP_PKEY *key = NULL;

	buf_init(&der, DKIM_PRIVATE_BYTES_MAX + 1);
	buf_init(&public_key, DKIM_PUBLIC_BYTES_MAX);
	EXPECT(dkim_key_make(DKIM_ED25519_SHA256, &der, &public_key) == ST_OK);
	for (size_t n = 0; n < der.n; n++)
		EXPECT(dkim_key_load(DKIM_ED25519_SHA256, str_take(buf_str(&der), n), &key) ==
		       ST_SYNTAX);
	EXPECT(dkim_key_load(DKIM_ED25519_SHA256, buf_str(&public_key), &key) == ST_SYNTAX);
	while (der.n < DKIM_PRIVATE_BYTES_MAX)
		EXPECT(buf_put_c(&der, 'x') == ST_OK);
	EXPECT(dkim_key_load(DKIM_ED25519_SHA256, buf_str(&der), &key) == ST_SYNTAX);
	EXPECT(buf_put_c(&der, 'x') == ST_OK);
	EXPECT(dkim_key_load(DKIM_ED25519_SHA256, buf_str(&der), &key) == ST_LIMIT);
	EXPECT(key == NULL);
	buf_fini(&der);
	buf_fini(&public_key);
}

/* A public key with a modulus of so many bits, which is quicker had than a real one. */
static EVP_PKEY *
rsa_public(size_t bits)
{
	BIGNUM *n = BN_new(), *e = BN_new();
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	EVP_PKEY *key = NULL;
	OSSL_PARAM *params;

	EXPECT(BN_set_bit(n, (int)bits - 1) == 1 && BN_set_bit(n, 0) == 1);
	EXPECT(BN_set_word(e, 65537) == 1);
	EXPECT(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1);
	EXPECT(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1);
	params = OSSL_PARAM_BLD_to_param(build);
	EXPECT(EVP_PKEY_fromdata_init(ctx) == 1);
	EXPECT(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	BN_free(e);
	return key;
}

/* RFC 8301 3.2: 1,024 bits and more; 4,096 are ours. */
static void
rsa_keys_have_a_size(void)
{
	static const struct {
		size_t bits;
		enum status want; /* ST_IO: the size is allowed, and then there is no private key */
	} cases[] = {{1023, ST_LIMIT}, {1024, ST_IO}, {4096, ST_IO}, {4097, ST_LIMIT}};
	struct buf out;

	buf_init(&out, 1000);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		EVP_PKEY *key = rsa_public(cases[i].bits);

		EXPECT(dkim_key_sign(key, DKIM_RSA_SHA256, digest, &out) == cases[i].want);
		EXPECT(out.n == 0);
		EVP_PKEY_free(key);
	}
	buf_fini(&out);
}

static void
full_bufs_stay_as_they_are(void)
{
	struct buf der, public_key, small;
	EVP_PKEY *key = NULL;

	buf_init(&der, DKIM_PRIVATE_BYTES_MAX);
	buf_init(&public_key, DKIM_PUBLIC_BYTES_MAX);
	buf_init(&small, 31);
	EXPECT(dkim_key_make(DKIM_ED25519_SHA256, &small, &public_key) == ST_LIMIT);
	EXPECT(dkim_key_make(DKIM_ED25519_SHA256, &der, &small) == ST_LIMIT);
	EXPECT(der.n == 0 && public_key.n == 0 && small.n == 0);
	EXPECT(dkim_key_make(DKIM_ED25519_SHA256, &der, &public_key) == ST_OK);
	EXPECT(dkim_key_load(DKIM_ED25519_SHA256, buf_str(&der), &key) == ST_OK);
	EXPECT(dkim_key_sign(key, DKIM_ED25519_SHA256, digest, &small) == ST_LIMIT && small.n == 0);
	EVP_PKEY_free(key);
	buf_fini(&der);
	buf_fini(&public_key);
	buf_fini(&small);
}

int
main(void)
{
	dkim_key_preload();
	UNIT(made_keys_sign);
	UNIT(keys_keep_to_their_algorithm);
	UNIT(damaged_keys_are_refused);
	UNIT(rsa_keys_have_a_size);
	UNIT(full_bufs_stay_as_they_are);
	return unit_end();
}
