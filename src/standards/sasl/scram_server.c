/* The server's side of RFC 5802 3. */
#include <openssl/crypto.h>

#include "base/num.h"
#include "standards/sasl/sasl_internal.h"

/* The client's "p=type" among ours. */
static bool
binding_pick(struct sasl_server *s, struct str type)
{
	for (size_t i = 0; i < COUNT_OF(s->scram.bindings); i++)
		if (s->scram.bindings[i].type.n > 0 && str_eq(type, s->scram.bindings[i].type)) {
			s->binding = s->scram.bindings[i];
			return true;
		}
	return false;
}

/* RFC 5802 6: what the flag of the gs2-header may be; NULL when it may. */
static const char *
binding_check(struct sasl_server *s, const struct scram_client_first *m)
{
	bool has_plus = sasl_mech_has_plus(s->mech);

	if (m->flag == 'p') {
		if (!has_plus)
			return "channel-binding-not-supported";
		return binding_pick(s, m->binding_type) ? NULL : "unsupported-channel-binding-type";
	}
	if (has_plus)
		return "channel-bindings-dont-match";
	/* "y": the client thinks that we have none. We offered it, so somebody took it out. */
	if (m->flag == 'y' && sasl_scram_can_bind(&s->scram))
		return "server-does-support-channel-binding";
	return NULL;
}

static const char *
name_take(struct str quoted, struct arena *a, struct str *out)
{
	struct str plain;

	if (quoted.n > (size_t)SASL_NAME_BYTES_MAX * 3)
		return "no-resources";
	if (scram_name_decode(quoted, a, &plain) != ST_OK || plain.n > SASL_NAME_BYTES_MAX ||
	    sasl_prep(plain, SASL_PREP_QUERY, a, out) != ST_OK)
		return "invalid-username-encoding";
	return NULL;
}

enum sasl_step
scram_server_first(struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out)
{
	struct scram_client_first m;
	const char *why = scram_client_first_parse(in, &m);

	if (why != NULL || (why = binding_check(s, &m)) != NULL ||
	    (why = name_take(m.username, a, &s->authcid)) != NULL ||
	    (m.authzid.n > 0 && (why = name_take(m.authzid, a, &s->authzid)) != NULL))
		return sasl_fail(s, why, out);
	/* in ends with this call; these are signed later, as received. */
	if (arena_str(a, m.gs2_header, &s->gs2_header) != ST_OK ||
	    arena_str(a, m.bare, &s->client_first_bare) != ST_OK ||
	    sasl_join(a, (struct str[]){m.nonce, s->scram.nonce}, 2, &s->nonce) != ST_OK)
		return sasl_fail(s, "no-resources", out);
	s->state = SASL_SERVER_WAIT_VERIFIER;
	*out = (struct sasl_out){.authcid = s->authcid, .authzid = s->authzid};
	return SASL_NEED_CREDENTIALS;
}

/* RFC 5802 5.1: r=nonce,s=salt,i=iterations */
static enum sasl_step
challenge(struct sasl_server *s, struct arena *a, struct sasl_out *out)
{
	char digits[16];
	int digits_n = snprintf(digits, sizeof(digits), "%u", s->verifier.iterations);
	struct str salt;

	if (sasl_base64(a, str_of(s->verifier.salt, s->verifier.salt_n), &salt) != ST_OK ||
	    sasl_join(a,
		(struct str[]){STR("r="), s->nonce, STR(",s="), salt, STR(",i="),
		    str_of(digits, (size_t)digits_n)},
		6, &s->server_first) != ST_OK)
		return sasl_fail(s, "no-resources", out);
	s->state = SASL_SERVER_FINAL;
	*out = (struct sasl_out){.challenge = s->server_first};
	return SASL_CHALLENGE;
}

enum sasl_step
sasl_server_verifier(
    struct sasl_server *s, const struct scram_verifier *v, struct arena *a, struct sasl_out *out)
{
	CHECK(s->state == SASL_SERVER_WAIT_VERIFIER);
	CHECK(v->hash == sasl_mech_hash(s->mech));
	CHECK(v->salt_n > 0 && v->salt_n <= SCRAM_SALT_BYTES_MAX && v->iterations > 0);
	s->verifier = *v;
	s->is_known = true;
	return challenge(s, a, out);
}

enum sasl_step
sasl_server_unknown(struct sasl_server *s, struct arena *a, struct sasl_out *out)
{
	enum { SALT_BYTES = 16 };
	/* An account has another salt for each hash. */
	static const struct str labels[] = {
	    [SCRAM_SHA_256] = STR_INIT("scram salt of nobody: "),
	    [SCRAM_SHA_1] = STR_INIT("scram-sha-1 salt of nobody: "),
	};
	enum scram_hash hash = sasl_mech_hash(s->mech);
	struct scram_verifier *v = &s->verifier;
	uint8_t mac[SCRAM_KEY_BYTES];
	struct str text;

	CHECK(s->state == SASL_SERVER_WAIT_VERIFIER);
	if (sasl_join(a, (struct str[]){labels[hash], s->authcid}, 2, &text) != ST_OK)
		return sasl_fail(s, "no-resources", out);
	scram_hmac(SCRAM_SHA_256, s->scram.secret, text, mac);
	*v = (struct scram_verifier){
	    .hash = hash, .salt_n = SALT_BYTES, .iterations = s->scram.iterations};
	memcpy(v->salt, mac, SALT_BYTES);
	s->is_known = false;
	return challenge(s, a, out);
}

/* RFC 5802 5.1, "c": the gs2-header again, then the channel's data when it is bound. */
static bool
binding_matches(struct sasl_server *s, struct str coded, struct arena *a)
{
	struct str want, want_coded;

	return sasl_join(a, (struct str[]){s->gs2_header, s->binding.data}, 2, &want) == ST_OK &&
	       sasl_base64(a, want, &want_coded) == ST_OK && str_eq(coded, want_coded);
}

/* RFC 5802 3: ClientKey = ClientProof XOR HMAC(StoredKey, AuthMessage); H(ClientKey) is StoredKey
 */
static bool
proof_matches(
    const struct scram_verifier *v, const uint8_t proof[SCRAM_KEY_BYTES], struct str message)
{
	uint8_t key[SCRAM_KEY_BYTES], digest[SCRAM_KEY_BYTES];
	bool is_same;

	scram_hmac(v->hash, scram_key_str(v->hash, v->stored_key), message, key);
	for (size_t i = 0; i < scram_key_bytes(v->hash); i++)
		key[i] ^= proof[i];
	scram_digest(v->hash, scram_key_str(v->hash, key), digest);
	is_same = CRYPTO_memcmp(digest, v->stored_key, scram_key_bytes(v->hash)) == 0;
	OPENSSL_cleanse(key, sizeof(key));
	return is_same;
}

enum sasl_step
scram_server_final(struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out)
{
	struct scram_client_final m;
	struct str message, signature;
	uint8_t mac[SCRAM_KEY_BYTES];
	const char *why = scram_client_final_parse(s->verifier.hash, in, &m);
	bool is_right;

	if (why != NULL)
		return sasl_fail(s, why, out);
	if (!str_eq(m.nonce, s->nonce))
		return sasl_fail(s, "other-error", out);
	if (!binding_matches(s, m.binding, a))
		return sasl_fail(s, "channel-bindings-dont-match", out);
	if (sasl_join(a,
		(struct str[]){
		    s->client_first_bare, STR(","), s->server_first, STR(","), m.without_proof},
		5, &message) != ST_OK)
		return sasl_fail(s, "no-resources", out);
	/* Both are computed for an unknown user, too, so that the time does not tell. */
	is_right = proof_matches(&s->verifier, m.proof, message);
	if (!(is_right & s->is_known))
		return sasl_fail(s, "invalid-proof", out);
	scram_hmac(s->verifier.hash, scram_key_str(s->verifier.hash, s->verifier.server_key),
	    message, mac);
	if (sasl_base64(a, scram_key_str(s->verifier.hash, mac), &signature) != ST_OK ||
	    sasl_join(a, (struct str[]){STR("v="), signature}, 2, &signature) != ST_OK)
		return sasl_fail(s, "no-resources", out);
	s->state = SASL_SERVER_EMPTY;
	*out = (struct sasl_out){.challenge = signature};
	return SASL_CHALLENGE;
}
