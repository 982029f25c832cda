#include "directory/credential.h"

#include <argon2.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"
#include "base/cur.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/utf8.h"

#define RECORD_VERSION 1
#define ARGON2_SALT_BYTES 16
#define ARGON2_HASH_BYTES 32
#define SCRAM_SALT_BYTES 16

const struct credential_options CREDENTIAL_DEFAULTS = {
    .argon2_kib = 19 * 1024,
    .argon2_passes = 2,
    .argon2_lanes = 1,
    .scram_iterations = 100000,
};

static enum status
refuse(struct buf *why, const char *sentence)
{
	if (why)
		(void)buf_put(why, str_of_c(sentence));
	return ST_SYNTAX;
}

static enum status
password_check(struct str password, struct buf *why)
{
	if (password.n == 0)
		return refuse(why, "the password is empty");
	if (password.n > CREDENTIAL_PASSWORD_BYTES_MAX)
		return refuse(why, "the password is longer than 1024 bytes");
	if (!utf8_is_valid(password))
		return refuse(why, "the password is not UTF-8");
	/* RFC 4013 2.3: no client that prepares its strings could send one. */
	for (size_t i = 0; i < password.n; i++)
		if ((unsigned char)password.p[i] < 32 || password.p[i] == 127)
			return refuse(why, "the password has a control character in it");
	return ST_OK;
}

static bool
hmac_sha256(const uint8_t *key, struct str text, uint8_t out[CREDENTIAL_HASH_BYTES])
{
	unsigned n = 0;

	return HMAC(EVP_sha256(), key, CREDENTIAL_HASH_BYTES, (const unsigned char *)text.p, text.n,
		   out, &n) != NULL &&
	       n == CREDENTIAL_HASH_BYTES;
}

/* RFC 5802 3: SaltedPassword := Hi(password, salt, i); StoredKey := H(HMAC(SaltedPassword, "Client
 * Key")). */
enum status
credential_scram_keys(struct str password, struct str salt, uint32_t iterations,
    uint8_t stored_key[CREDENTIAL_HASH_BYTES], uint8_t server_key[CREDENTIAL_HASH_BYTES])
{
	uint8_t salted[CREDENTIAL_HASH_BYTES], client_key[CREDENTIAL_HASH_BYTES];
	bool is_ok;

	if (password.n > CREDENTIAL_PASSWORD_BYTES_MAX || salt.n == 0 ||
	    salt.n > CREDENTIAL_SALT_BYTES_MAX || iterations < CREDENTIAL_ITERATIONS_MIN ||
	    iterations > CREDENTIAL_ITERATIONS_MAX)
		return ST_LIMIT;
	is_ok =
	    PKCS5_PBKDF2_HMAC(password.p ? password.p : "", (int)password.n,
		(const unsigned char *)salt.p, (int)salt.n, (int)iterations, EVP_sha256(),
		sizeof(salted), salted) == 1 &&
	    hmac_sha256(salted, STR("Client Key"), client_key) &&
	    EVP_Digest(client_key, sizeof(client_key), stored_key, NULL, EVP_sha256(), NULL) == 1 &&
	    hmac_sha256(salted, STR("Server Key"), server_key);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	return is_ok ? ST_OK : ST_NOMEM;
}

static enum status
argon2_make(struct str password, const struct credential_options *o, struct credential *out)
{
	char encoded[CREDENTIAL_ARGON2_BYTES_MAX];
	uint8_t salt[ARGON2_SALT_BYTES];

	rnd_bytes(salt, sizeof(salt));
	if (argon2id_hash_encoded(o->argon2_passes, o->argon2_kib, o->argon2_lanes, password.p,
		password.n, salt, sizeof(salt), ARGON2_HASH_BYTES, encoded,
		sizeof(encoded)) != ARGON2_OK)
		return ST_NOMEM;
	out->argon2id_n = (uint8_t)strnlen(encoded, sizeof(encoded));
	memcpy(out->argon2id, encoded, out->argon2id_n);
	return ST_OK;
}

static bool
argon2_params_are_ok(uint64_t kib, uint64_t passes, uint64_t lanes)
{
	return lanes >= 1 && lanes <= CREDENTIAL_ARGON2_LANES_MAX && kib >= 8 * lanes &&
	       kib <= CREDENTIAL_ARGON2_KIB_MAX && passes >= 1 &&
	       passes <= CREDENTIAL_ARGON2_PASSES_MAX;
}

enum status
credential_make(struct str password, const struct credential_options *o, struct credential *out,
    struct buf *why)
{
	enum status st = password_check(password, why);

	memset(out, 0, sizeof(*out));
	if (st != ST_OK)
		return st;
	if (!argon2_params_are_ok(o->argon2_kib, o->argon2_passes, o->argon2_lanes) ||
	    o->scram_salt.n > sizeof(out->salt))
		return ST_LIMIT;
	out->salt_n = SCRAM_SALT_BYTES;
	rnd_bytes(out->salt, out->salt_n);
	if (o->scram_salt.n) {
		out->salt_n = (uint8_t)o->scram_salt.n;
		memcpy(out->salt, o->scram_salt.p, o->scram_salt.n);
	}
	out->iterations = o->scram_iterations;
	st = credential_scram_keys(password, str_of(out->salt, out->salt_n), out->iterations,
	    out->stored_key, out->server_key);
	if (st == ST_OK)
		st = argon2_make(password, o, out);
	if (st != ST_OK)
		credential_wipe(out);
	return st;
}

/* A record may come from a restored or damaged store: what it asks for must not take the machine's
 * memory. */
static bool
argon2_text_is_ok(struct str text)
{
	struct cur c = cur_of(text);
	uint64_t kib, passes, lanes;

	return cur_lit(&c, "$argon2id$v=19$m=") && cur_u64(&c, &kib) && cur_lit(&c, ",t=") &&
	       cur_u64(&c, &passes) && cur_lit(&c, ",p=") && cur_u64(&c, &lanes) &&
	       cur_char(&c, '$') && argon2_params_are_ok(kib, passes, lanes) &&
	       str_find_char(text, '\0') == text.n;
}

bool
credential_check_password(const struct credential *c, struct str password)
{
	char encoded[CREDENTIAL_ARGON2_BYTES_MAX + 1];

	if (!argon2_text_is_ok(str_of(c->argon2id, c->argon2id_n)) ||
	    password.n > CREDENTIAL_PASSWORD_BYTES_MAX)
		return false;
	memcpy(encoded, c->argon2id, c->argon2id_n);
	encoded[c->argon2id_n] = '\0';
	return argon2id_verify(encoded, password.p ? password.p : "", password.n) == ARGON2_OK;
}

enum status
credential_encode(const struct credential *c, struct buf *out)
{
	char iterations[4];

	le32_put(iterations, c->iterations);
	(void)buf_put_c(out, RECORD_VERSION);
	(void)buf_put_c(out, (char)c->argon2id_n);
	(void)buf_put(out, str_of(c->argon2id, c->argon2id_n));
	(void)buf_put_c(out, (char)c->salt_n);
	(void)buf_put(out, str_of(c->salt, c->salt_n));
	(void)buf_put(out, str_of(iterations, sizeof(iterations)));
	(void)buf_put(out, str_of(c->stored_key, sizeof(c->stored_key)));
	(void)buf_put(out, str_of(c->server_key, sizeof(c->server_key)));
	return out->full ? ST_LIMIT : ST_OK;
}

static bool
take_counted(struct cur *c, size_t min, size_t max, uint8_t *n_out, void *p)
{
	struct str s;

	if (!cur_u8(c, n_out) || *n_out < min || *n_out > max || !cur_take(c, *n_out, &s))
		return false;
	memcpy(p, s.p, s.n);
	return true;
}

static bool
take_hash(struct cur *c, uint8_t out[CREDENTIAL_HASH_BYTES])
{
	struct str s;

	if (!cur_take(c, CREDENTIAL_HASH_BYTES, &s))
		return false;
	memcpy(out, s.p, s.n);
	return true;
}

enum status
credential_decode(struct str record, struct credential *out)
{
	struct cur c = cur_of(record);
	uint8_t version;

	memset(out, 0, sizeof(*out));
	if (!cur_u8(&c, &version) || version != RECORD_VERSION ||
	    !take_counted(&c, 1, sizeof(out->argon2id), &out->argon2id_n, out->argon2id) ||
	    !take_counted(&c, 1, sizeof(out->salt), &out->salt_n, out->salt) ||
	    !cur_le32(&c, &out->iterations) || !take_hash(&c, out->stored_key) ||
	    !take_hash(&c, out->server_key) || !cur_at_end(&c) ||
	    !argon2_text_is_ok(str_of(out->argon2id, out->argon2id_n)) ||
	    out->iterations < CREDENTIAL_ITERATIONS_MIN ||
	    out->iterations > CREDENTIAL_ITERATIONS_MAX) {
		credential_wipe(out);
		return ST_SYNTAX;
	}
	return ST_OK;
}

void
credential_wipe(struct credential *c)
{
	OPENSSL_cleanse(c, sizeof(*c));
}
