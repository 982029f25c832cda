/* The client's side: for relaying through a host that wants a login, and for testing the server. */
#include <openssl/crypto.h>

#include "base/num.h"
#include "standards/sasl/sasl_internal.h"

/* -1 in step: the exchange is over. */
enum { CLIENT_OVER = -1 };

void
sasl_client_init(struct sasl_client *c, enum sasl_mech mech, struct str authcid, struct str authzid,
    struct str password, const struct sasl_scram *scram)
{
	*c = (struct sasl_client){
	    .mech = mech, .authcid = authcid, .authzid = authzid, .password = password};
	if (scram != NULL)
		c->scram = *scram;
}

static enum sasl_step
client_fail(struct sasl_client *c, const char *why, struct sasl_out *out)
{
	c->step = CLIENT_OVER;
	*out = (struct sasl_out){.why = why};
	return SASL_FAIL;
}

static enum sasl_step
client_send(struct sasl_client *c, struct str message, struct sasl_out *out)
{
	c->step++;
	*out = (struct sasl_out){.challenge = message};
	return SASL_CHALLENGE;
}

/* RFC 4616 2 */
static enum sasl_step
plain_client(struct sasl_client *c, struct arena *a, struct sasl_out *out)
{
	struct str nul = STR("\0"), authcid, password, message;

	if (c->step > 0)
		return client_fail(c, "other-error", out);
	if (sasl_prep(c->authcid, SASL_PREP_QUERY, a, &authcid) != ST_OK ||
	    sasl_prep(c->password, SASL_PREP_QUERY, a, &password) != ST_OK ||
	    sasl_join(a, (struct str[]){c->authzid, nul, authcid, nul, password}, 5, &message) !=
		ST_OK)
		return client_fail(c, "invalid-encoding", out);
	return client_send(c, message, out);
}

/* The prompts differ between servers; their order does not. */
static enum sasl_step
login_client(struct sasl_client *c, struct sasl_out *out)
{
	switch (c->step) {
	case 0:
		return client_send(c, STR_NULL, out);
	case 1:
		return client_send(c, c->authcid, out);
	case 2:
		return client_send(c, c->password, out);
	default:
		return client_fail(c, "other-error", out);
	}
}

/* RFC 4422 A: as whom to act; the channel says who it is. */
static enum sasl_step
external_client(struct sasl_client *c, struct sasl_out *out)
{
	if (c->step > 0)
		return client_fail(c, "other-error", out);
	return client_send(c, c->authzid, out);
}

static enum sasl_step
scram_client_first(struct sasl_client *c, struct arena *a, struct sasl_out *out)
{
	bool has_plus = sasl_mech_has_plus(c->mech);
	struct str name, authzid = STR_NULL, message;

	CHECK(c->scram.nonce.n > 0);
	CHECK(!has_plus || c->scram.bindings[0].type.n > 0);
	if (sasl_prep(c->authcid, SASL_PREP_QUERY, a, &name) != ST_OK ||
	    scram_name_encode(name, a, &name) != ST_OK ||
	    (c->authzid.n > 0 && scram_name_encode(c->authzid, a, &authzid) != ST_OK))
		return client_fail(c, "invalid-username-encoding", out);
	/* RFC 5802 6: "y" when we could bind and the server does not offer it. */
	if (sasl_join(a,
		(struct str[]){has_plus				 ? STR("p=")
			       : c->scram.bindings[0].type.n > 0 ? STR("y")
								 : STR("n"),
		    has_plus ? c->scram.bindings[0].type : STR_NULL, STR(","),
		    authzid.n > 0 ? STR("a=") : STR_NULL, authzid, STR(",")},
		6, &c->gs2_header) != ST_OK ||
	    sasl_join(a, (struct str[]){STR("n="), name, STR(",r="), c->scram.nonce}, 4,
		&c->client_first_bare) != ST_OK ||
	    sasl_join(a, (struct str[]){c->gs2_header, c->client_first_bare}, 2, &message) != ST_OK)
		return client_fail(c, "no-resources", out);
	return client_send(c, message, out);
}

/* ClientProof and what the server's signature must be (RFC 5802 3). */
static bool
client_sign(struct sasl_client *c, const struct scram_server_first *m, struct str message,
    struct arena *a, uint8_t proof[SCRAM_KEY_BYTES])
{
	uint8_t salted[SCRAM_KEY_BYTES], stored[SCRAM_KEY_BYTES], key[SCRAM_KEY_BYTES];
	enum scram_hash hash = sasl_mech_hash(c->mech);
	struct str prepared;

	if (sasl_prep(c->password, SASL_PREP_QUERY, a, &prepared) != ST_OK ||
	    !scram_salt(hash, prepared, str_of(m->salt, m->salt_n), m->iterations, salted))
		return false;
	sasl_wipe(prepared);
	scram_hmac(hash, scram_key_str(hash, salted), STR("Client Key"), key);
	scram_digest(hash, scram_key_str(hash, key), stored);
	scram_hmac(hash, scram_key_str(hash, stored), message, proof);
	for (size_t i = 0; i < scram_key_bytes(hash); i++)
		proof[i] ^= key[i];
	scram_hmac(hash, scram_key_str(hash, salted), STR("Server Key"), key);
	scram_hmac(hash, scram_key_str(hash, key), message, c->server_signature);
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(key, sizeof(key));
	return true;
}

static enum sasl_step
scram_client_final(struct sasl_client *c, struct str in, struct arena *a, struct sasl_out *out)
{
	struct str data = sasl_mech_has_plus(c->mech) ? c->scram.bindings[0].data : STR_NULL;
	struct scram_server_first m;
	struct str binding, without_proof, message, coded;
	uint8_t proof[SCRAM_KEY_BYTES];
	const char *why = scram_server_first_parse(in, &m);

	if (why != NULL)
		return client_fail(c, why, out);
	/* RFC 5802 5.1, "r": ours first, then something of the server's. */
	if (!str_has_prefix(m.nonce, c->scram.nonce) || m.nonce.n == c->scram.nonce.n)
		return client_fail(c, "other-error", out);
	if (sasl_join(a, (struct str[]){c->gs2_header, data}, 2, &binding) != ST_OK ||
	    sasl_base64(a, binding, &binding) != ST_OK ||
	    sasl_join(a, (struct str[]){STR("c="), binding, STR(",r="), m.nonce}, 4,
		&without_proof) != ST_OK ||
	    sasl_join(a,
		(struct str[]){c->client_first_bare, STR(","), in, STR(","), without_proof}, 5,
		&message) != ST_OK)
		return client_fail(c, "no-resources", out);
	if (!client_sign(c, &m, message, a, proof))
		return client_fail(c, "invalid-encoding", out);
	if (sasl_base64(a, scram_key_str(sasl_mech_hash(c->mech), proof), &coded) != ST_OK ||
	    sasl_join(a, (struct str[]){without_proof, STR(",p="), coded}, 3, &message) != ST_OK)
		return client_fail(c, "no-resources", out);
	return client_send(c, message, out);
}

/* RFC 5802 3: the server's signature proves that it has the verifier. */
static enum sasl_step
scram_client_verify(struct sasl_client *c, struct str in, struct arena *a, struct sasl_out *out)
{
	struct str want;

	if (sasl_base64(a, scram_key_str(sasl_mech_hash(c->mech), c->server_signature), &want) !=
	    ST_OK)
		return client_fail(c, "no-resources", out);
	/* Extensions may follow after a comma. */
	if (!str_has_prefix(in, STR("v=")) || !str_has_prefix(str_from(in, 2), want) ||
	    (in.n > 2 + want.n && in.p[2 + want.n] != ','))
		return client_fail(c, "invalid-proof", out);
	c->step = CLIENT_OVER;
	*out = (struct sasl_out){0};
	return SASL_OK;
}

enum sasl_step
sasl_client_step(
    struct sasl_client *c, struct str server_bytes, struct arena *a, struct sasl_out *out)
{
	CHECK(c->step != CLIENT_OVER);
	if (server_bytes.n > SASL_MESSAGE_BYTES_MAX)
		return client_fail(c, "no-resources", out);
	switch (c->mech) {
	case SASL_PLAIN:
		return plain_client(c, a, out);
	case SASL_LOGIN:
		return login_client(c, out);
	case SASL_EXTERNAL:
		return external_client(c, out);
	case SASL_SCRAM_SHA_256:
	case SASL_SCRAM_SHA_256_PLUS:
	case SASL_SCRAM_SHA_1:
	case SASL_SCRAM_SHA_1_PLUS:
		if (c->step == 0)
			return scram_client_first(c, a, out);
		return c->step == 1 ? scram_client_final(c, server_bytes, a, out)
				    : scram_client_verify(c, server_bytes, a, out);
	}
	return client_fail(c, "other-error", out);
}
