#include "directory/credential.h"

#include <argon2.h>
#include <openssl/crypto.h>

#include "base/check.h"
#include "base/cur.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/utf8.h"
#include "standards/sasl/sasl.h"

/* The second has the keys of SCRAM-SHA-1 behind what the first has. */
#define RECORD_VERSION 1
#define RECORD_VERSION_SHA1 2
#define ARGON2_SALT_BYTES 16
#define ARGON2_HASH_BYTES 32
#define SALT_BYTES 16

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

/* RFC 5802 2.2 Normalize(): what clients make of the same password; one that cannot be prepared as
 * it is. */
static bool
scram_derive(struct str password, struct scram_verifier *v)
{
	struct arena a;
	struct str prepared = password;
	bool is_ok;

	arena_init(&a, SASL_ARENA_BYTES);
	if (sasl_prep(password, SASL_PREP_STORED, &a, &prepared) != ST_OK)
		prepared = password;
	is_ok = scram_verifier_derive(v, prepared);
	/* The one way around const: it lies in the arena here. */
	if (prepared.p != password.p)
		OPENSSL_cleanse((void *)(uintptr_t)prepared.p, prepared.n);
	arena_fini(&a);
	return is_ok;
}

static enum status
scram_make(enum scram_hash hash, struct str password, const struct credential_options *o,
    struct scram_verifier *out)
{
	if (o->scram_salt.n > CREDENTIAL_SALT_BYTES_MAX ||
	    o->scram_iterations < CREDENTIAL_ITERATIONS_MIN ||
	    o->scram_iterations > CREDENTIAL_ITERATIONS_MAX)
		return ST_LIMIT;
	out->hash = hash;
	out->iterations = o->scram_iterations;
	out->salt_n = o->scram_salt.n ? o->scram_salt.n : SALT_BYTES;
	rnd_bytes(out->salt, SALT_BYTES);
	if (o->scram_salt.n)
		memcpy(out->salt, o->scram_salt.p, o->scram_salt.n);
	return scram_derive(password, out) ? ST_OK : ST_NOMEM;
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
	if (!argon2_params_are_ok(o->argon2_kib, o->argon2_passes, o->argon2_lanes))
		return ST_LIMIT;
	st = scram_make(SCRAM_SHA_256, password, o, &out->scram_sha256);
	if (st == ST_OK && o->scram_sha1)
		st = scram_make(SCRAM_SHA_1, password, o, &out->scram_sha1);
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

const struct scram_verifier *
credential_scram(const struct credential *c, enum scram_hash hash)
{
	const struct scram_verifier *v = hash == SCRAM_SHA_1 ? &c->scram_sha1 : &c->scram_sha256;

	return v->salt_n > 0 ? v : NULL;
}

static void
scram_put(const struct scram_verifier *v, struct buf *out)
{
	size_t key_n = scram_key_bytes(v->hash);
	char iterations[4];

	le32_put(iterations, v->iterations);
	(void)buf_put_c(out, (char)v->salt_n);
	(void)buf_put(out, str_of(v->salt, v->salt_n));
	(void)buf_put(out, str_of(iterations, sizeof(iterations)));
	(void)buf_put(out, str_of(v->stored_key, key_n));
	(void)buf_put(out, str_of(v->server_key, key_n));
}

enum status
credential_encode(const struct credential *c, struct buf *out)
{
	bool has_sha1 = credential_scram(c, SCRAM_SHA_1) != NULL;

	(void)buf_put_c(out, has_sha1 ? RECORD_VERSION_SHA1 : RECORD_VERSION);
	(void)buf_put_c(out, (char)c->argon2id_n);
	(void)buf_put(out, str_of(c->argon2id, c->argon2id_n));
	scram_put(&c->scram_sha256, out);
	if (has_sha1)
		scram_put(&c->scram_sha1, out);
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
take_bytes(struct cur *c, uint8_t *p, size_t n)
{
	struct str s;

	if (!cur_take(c, n, &s))
		return false;
	memcpy(p, s.p, n);
	return true;
}

static bool
scram_take(struct cur *c, enum scram_hash hash, struct scram_verifier *out)
{
	size_t key_n = scram_key_bytes(hash);
	uint8_t salt_n;

	out->hash = hash;
	if (!take_counted(c, 1, CREDENTIAL_SALT_BYTES_MAX, &salt_n, out->salt) ||
	    !cur_le32(c, &out->iterations) || !take_bytes(c, out->stored_key, key_n) ||
	    !take_bytes(c, out->server_key, key_n))
		return false;
	out->salt_n = salt_n;
	return out->iterations >= CREDENTIAL_ITERATIONS_MIN &&
	       out->iterations <= CREDENTIAL_ITERATIONS_MAX;
}

enum status
credential_decode(struct str record, struct credential *out)
{
	struct cur c = cur_of(record);
	uint8_t version;

	memset(out, 0, sizeof(*out));
	if (!cur_u8(&c, &version) || version < RECORD_VERSION || version > RECORD_VERSION_SHA1 ||
	    !take_counted(&c, 1, sizeof(out->argon2id), &out->argon2id_n, out->argon2id) ||
	    !scram_take(&c, SCRAM_SHA_256, &out->scram_sha256) ||
	    (version == RECORD_VERSION_SHA1 && !scram_take(&c, SCRAM_SHA_1, &out->scram_sha1)) ||
	    !cur_at_end(&c) || !argon2_text_is_ok(str_of(out->argon2id, out->argon2id_n))) {
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
