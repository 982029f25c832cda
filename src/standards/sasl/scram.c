#include "standards/sasl/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/enc.h"
#include "base/num.h"
#include "standards/sasl/sasl_internal.h"

static const struct {
	struct str name;
	const EVP_MD *(*evp)(void);
	size_t bytes;
} hashes[] = {
    [SCRAM_SHA_256] = {STR_INIT("SCRAM-SHA-256"), EVP_sha256, 32},
    [SCRAM_SHA_1] = {STR_INIT("SCRAM-SHA-1"), EVP_sha1, 20},
};

size_t
scram_key_bytes(enum scram_hash hash)
{
	CHECK((size_t)hash < COUNT_OF(hashes));
	return hashes[hash].bytes;
}

struct str
scram_hash_name(enum scram_hash hash)
{
	CHECK((size_t)hash < COUNT_OF(hashes));
	return hashes[hash].name;
}

struct str
scram_key_str(enum scram_hash hash, const uint8_t key[SCRAM_KEY_BYTES])
{
	return str_of(key, scram_key_bytes(hash));
}

void
scram_hmac(enum scram_hash hash, struct str key, struct str data, uint8_t out[SCRAM_KEY_BYTES])
{
	unsigned n = 0;

	CHECK(key.n <= SASL_MESSAGE_BYTES_MAX);
	CHECK(HMAC(hashes[hash].evp(), key.p, (int)key.n, (const unsigned char *)data.p, data.n,
		  out, &n) != NULL &&
	      n == hashes[hash].bytes);
}

void
scram_digest(enum scram_hash hash, struct str data, uint8_t out[SCRAM_KEY_BYTES])
{
	CHECK(EVP_Digest(data.p, data.n, out, NULL, hashes[hash].evp(), NULL) == 1);
}

/* RFC 5802 2.2: Hi() is PBKDF2 with HMAC as its function. */
bool
scram_salt(enum scram_hash hash, struct str prepared, struct str salt, uint32_t iterations,
    uint8_t out[SCRAM_KEY_BYTES])
{
	return PKCS5_PBKDF2_HMAC(prepared.p, (int)prepared.n, (const unsigned char *)salt.p,
		   (int)salt.n, (int)iterations, hashes[hash].evp(), (int)hashes[hash].bytes,
		   out) == 1;
}

/* RFC 5802 3: ClientKey, StoredKey, ServerKey */
bool
scram_verifier_derive(struct scram_verifier *v, struct str prepared)
{
	uint8_t salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];

	CHECK(v->salt_n > 0 && v->salt_n <= sizeof(v->salt) && v->iterations > 0 &&
	      v->iterations <= INT32_MAX);
	if (!scram_salt(v->hash, prepared, str_of(v->salt, v->salt_n), v->iterations, salted))
		return false;
	scram_hmac(v->hash, scram_key_str(v->hash, salted), STR("Client Key"), client_key);
	scram_digest(v->hash, scram_key_str(v->hash, client_key), v->stored_key);
	scram_hmac(v->hash, scram_key_str(v->hash, salted), STR("Server Key"), v->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return true;
}

enum status
scram_verifier_make_weak(enum scram_hash hash, struct str password, struct str salt,
    uint32_t iterations, struct scram_verifier *out)
{
	struct arena a;
	struct str prepared;
	enum status st;

	if (password.n > SASL_PASSWORD_BYTES_MAX || salt.n < SCRAM_SALT_BYTES_MIN ||
	    salt.n > SCRAM_SALT_BYTES_MAX || iterations < 1 || iterations > SCRAM_ITERATIONS_MAX)
		return ST_LIMIT;
	arena_init(&a, SASL_ARENA_BYTES);
	st = sasl_prep(password, SASL_PREP_STORED, &a, &prepared);
	if (st == ST_OK) {
		*out = (struct scram_verifier){
		    .hash = hash, .salt_n = salt.n, .iterations = iterations};
		memcpy(out->salt, salt.p, salt.n);
		st = scram_verifier_derive(out, prepared) ? ST_OK : ST_IO;
		sasl_wipe(prepared);
	}
	arena_fini(&a);
	return st;
}

enum status
scram_verifier_make(enum scram_hash hash, struct str password, struct str salt, uint32_t iterations,
    struct scram_verifier *out)
{
	if (iterations < SCRAM_ITERATIONS_MIN)
		return ST_LIMIT;
	return scram_verifier_make_weak(hash, password, salt, iterations, out);
}

bool
scram_verifier_matches(const struct scram_verifier *v, struct str password)
{
	struct scram_verifier again;
	bool is_same;

	if (scram_verifier_make_weak(
		v->hash, password, str_of(v->salt, v->salt_n), v->iterations, &again) != ST_OK)
		return false;
	is_same = CRYPTO_memcmp(again.stored_key, v->stored_key, scram_key_bytes(v->hash)) == 0;
	OPENSSL_cleanse(&again, sizeof(again));
	return is_same;
}

/* RFC 5803 2 */
enum status
scram_verifier_format(const struct scram_verifier *v, struct buf *out)
{
	(void)buf_put(out, scram_hash_name(v->hash));
	(void)buf_putf(out, "$%u:", v->iterations);
	(void)base64_encode(str_of(v->salt, v->salt_n), out);
	(void)buf_put_c(out, '$');
	(void)base64_encode(scram_key_str(v->hash, v->stored_key), out);
	(void)buf_put_c(out, ':');
	(void)base64_encode(scram_key_str(v->hash, v->server_key), out);
	return out->full ? ST_LIMIT : ST_OK;
}

static bool
base64_bytes(struct str s, uint8_t *out, size_t min, size_t max, size_t *n_out)
{
	struct buf b;
	bool ok;

	buf_init(&b, max);
	ok = base64_decode(s, &b) == ST_OK && b.n >= min;
	if (ok) {
		memcpy(out, b.p, b.n);
		*n_out = b.n;
		OPENSSL_cleanse(b.p, b.n);
	}
	buf_fini(&b);
	return ok;
}

static bool
hash_parse(struct str name, enum scram_hash *out)
{
	for (size_t i = 0; i < COUNT_OF(hashes); i++)
		if (str_eq(name, hashes[i].name)) {
			*out = (enum scram_hash)i;
			return true;
		}
	return false;
}

enum status
scram_verifier_parse(struct str s, struct scram_verifier *out)
{
	struct scram_verifier v = {0};
	struct cur c = cur_of(s);
	struct str scheme, salt, stored;
	uint64_t iterations;
	size_t n, key_n;

	if (!cur_take_until(&c, '$', SASL_MESSAGE_BYTES_MAX, &scheme) ||
	    !hash_parse(scheme, &v.hash) || !cur_char(&c, '$') || !cur_u64(&c, &iterations) ||
	    !cur_char(&c, ':') || !cur_take_until(&c, '$', SASL_MESSAGE_BYTES_MAX, &salt) ||
	    !cur_char(&c, '$') || !cur_take_until(&c, ':', SASL_MESSAGE_BYTES_MAX, &stored) ||
	    !cur_char(&c, ':'))
		return ST_SYNTAX;
	if (iterations < 1 || iterations > SCRAM_ITERATIONS_MAX)
		return ST_LIMIT;
	v.iterations = (uint32_t)iterations;
	key_n = scram_key_bytes(v.hash);
	if (!base64_bytes(salt, v.salt, SCRAM_SALT_BYTES_MIN, SCRAM_SALT_BYTES_MAX, &v.salt_n) ||
	    !base64_bytes(stored, v.stored_key, key_n, key_n, &n) ||
	    !base64_bytes(cur_rest(&c), v.server_key, key_n, key_n, &n))
		return ST_SYNTAX;
	*out = v;
	return ST_OK;
}
