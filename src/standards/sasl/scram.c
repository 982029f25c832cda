#include "standards/sasl/scram.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/enc.h"
#include "standards/sasl/sasl_internal.h"

void
scram_hmac(const uint8_t *key, size_t key_n, struct str data, uint8_t out[SCRAM_KEY_BYTES])
{
	CHECK(key_n <= SASL_MESSAGE_BYTES_MAX);
	CHECK(HMAC(EVP_sha256(), key, (int)key_n, (const unsigned char *)data.p, data.n, out,
		  NULL) != NULL);
}

void
scram_hash(struct str data, uint8_t out[SCRAM_KEY_BYTES])
{
	CHECK(SHA256((const unsigned char *)data.p, data.n, out) != NULL);
}

/* RFC 5802 2.2: Hi() is PBKDF2 with HMAC as its function. */
bool
scram_salt(struct str prepared, struct str salt, uint32_t iterations, uint8_t out[SCRAM_KEY_BYTES])
{
	return PKCS5_PBKDF2_HMAC(prepared.p, (int)prepared.n, (const unsigned char *)salt.p,
		   (int)salt.n, (int)iterations, EVP_sha256(), SCRAM_KEY_BYTES, out) == 1;
}

/* RFC 5802 3: ClientKey, StoredKey, ServerKey */
static bool
derive(struct str prepared, struct scram_verifier *v)
{
	uint8_t salted[SCRAM_KEY_BYTES], client_key[SCRAM_KEY_BYTES];

	if (!scram_salt(prepared, str_of(v->salt, v->salt_n), v->iterations, salted))
		return false;
	scram_hmac(salted, sizeof(salted), STR("Client Key"), client_key);
	scram_hash(str_of(client_key, sizeof(client_key)), v->stored_key);
	scram_hmac(salted, sizeof(salted), STR("Server Key"), v->server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return true;
}

enum status
scram_verifier_make_weak(
    struct str password, struct str salt, uint32_t iterations, struct scram_verifier *out)
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
		*out = (struct scram_verifier){.salt_n = salt.n, .iterations = iterations};
		memcpy(out->salt, salt.p, salt.n);
		st = derive(prepared, out) ? ST_OK : ST_IO;
		sasl_wipe(prepared);
	}
	arena_fini(&a);
	return st;
}

enum status
scram_verifier_make(
    struct str password, struct str salt, uint32_t iterations, struct scram_verifier *out)
{
	if (iterations < SCRAM_ITERATIONS_MIN)
		return ST_LIMIT;
	return scram_verifier_make_weak(password, salt, iterations, out);
}

bool
scram_verifier_matches(const struct scram_verifier *v, struct str password)
{
	struct scram_verifier again;
	bool is_same;

	if (scram_verifier_make_weak(password, str_of(v->salt, v->salt_n), v->iterations, &again) !=
	    ST_OK)
		return false;
	is_same = CRYPTO_memcmp(again.stored_key, v->stored_key, SCRAM_KEY_BYTES) == 0;
	OPENSSL_cleanse(&again, sizeof(again));
	return is_same;
}

/* RFC 5803 2 */
enum status
scram_verifier_format(const struct scram_verifier *v, struct buf *out)
{
	(void)buf_putf(out, "SCRAM-SHA-256$%u:", v->iterations);
	(void)base64_encode(str_of(v->salt, v->salt_n), out);
	(void)buf_put_c(out, '$');
	(void)base64_encode(str_of(v->stored_key, SCRAM_KEY_BYTES), out);
	(void)buf_put_c(out, ':');
	(void)base64_encode(str_of(v->server_key, SCRAM_KEY_BYTES), out);
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

enum status
scram_verifier_parse(struct str s, struct scram_verifier *out)
{
	struct scram_verifier v = {0};
	struct cur c = cur_of(s);
	struct str salt, stored;
	uint64_t iterations;
	size_t n;

	if (!cur_lit(&c, "SCRAM-SHA-256$") || !cur_u64(&c, &iterations) || !cur_char(&c, ':') ||
	    !cur_take_until(&c, '$', SASL_MESSAGE_BYTES_MAX, &salt) || !cur_char(&c, '$') ||
	    !cur_take_until(&c, ':', SASL_MESSAGE_BYTES_MAX, &stored) || !cur_char(&c, ':'))
		return ST_SYNTAX;
	if (iterations < 1 || iterations > SCRAM_ITERATIONS_MAX)
		return ST_LIMIT;
	v.iterations = (uint32_t)iterations;
	if (!base64_bytes(salt, v.salt, SCRAM_SALT_BYTES_MIN, SCRAM_SALT_BYTES_MAX, &v.salt_n) ||
	    !base64_bytes(stored, v.stored_key, SCRAM_KEY_BYTES, SCRAM_KEY_BYTES, &n) ||
	    !base64_bytes(cur_rest(&c), v.server_key, SCRAM_KEY_BYTES, SCRAM_KEY_BYTES, &n))
		return ST_SYNTAX;
	*out = v;
	return ST_OK;
}
