/*
 * Fuzz: a stranger's messages against the server in every mechanism. Messages are cut at 0x1e.
 * Nobody who does not know the password gets in, the arena holds, names come out clean.
 */
#include "base/check.h"
#include "base/utf8.h"
#include "standards/sasl/sasl_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct sasl_scram scram = {.nonce = STR_INIT("3rfcNHYJY1ZVvWVs7j3rfcNHYJ"),
    .secret = STR_INIT("0123456789abcdef"),
    .bindings = {{STR_INIT("tls-exporter"), STR_INIT("0123456789")},
	{STR_INIT("tls-server-end-point"), STR_INIT("hash of a certificate")}},
    .iterations = 4096};

static const struct str proven[] = {STR_INIT("tim@example.org"), STR_INIT("tom@example.org")};

static enum sasl_step
answer(struct sasl_server *s, bool is_known, struct arena *a, struct sasl_out *out)
{
	struct scram_verifier v = {
	    .hash = sasl_mech_is_scram(s->mech) ? sasl_mech_hash(s->mech) : SCRAM_SHA_256,
	    .salt = {1},
	    .salt_n = 16,
	    .iterations = 4096,
	    .stored_key = {1}};

	CHECK(out->authcid.n > 0 && utf8_is_valid(out->authcid) && utf8_is_valid(out->authzid));
	CHECK(str_find_char(out->authcid, '\0') == out->authcid.n);
	if (s->mech == SASL_EXTERNAL) {
		/* Whatever was said, nobody else than was proven. */
		CHECK(out->authcid.p == proven[0].p || out->authcid.p == proven[1].p);
		return sasl_server_verdict(s, false, out);
	}
	if (s->mech == SASL_PLAIN || s->mech == SASL_LOGIN) {
		CHECK(out->password.n > 0 && out->password_sent.n > 0);
		return sasl_server_verdict(s, false, out);
	}
	return is_known ? sasl_server_verifier(s, &v, a, out) : sasl_server_unknown(s, a, out);
}

static void
serve(enum sasl_mech mech, bool is_known, struct str in)
{
	struct sasl_server s;
	struct sasl_out out;
	struct arena a;
	enum sasl_step step;
	struct str message;

	arena_init(&a, SASL_ARENA_BYTES);
	sasl_server_init(&s, mech);
	if (sasl_mech_is_scram(mech))
		sasl_server_scram(&s, &scram);
	if (mech == SASL_EXTERNAL)
		sasl_server_external(&s, proven, 2);
	step = sasl_server_begin(&s, &out);
	for (int i = 0; step == SASL_CHALLENGE && i < 5; i++) {
		(void)str_split(in, 0x1e, &message, &in);
		step = sasl_server_step(&s, message, &a, &out);
		if (step == SASL_NEED_CREDENTIALS)
			step = answer(&s, is_known, &a, &out);
	}
	CHECK(step == SASL_FAIL && out.why != NULL);
	sasl_server_fini(&s);
	arena_fini(&a);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct scram_server_first m;
	struct scram_verifier v, again;
	struct buf b;

	for (int mech = SASL_PLAIN; mech < SASL_MECHS; mech++)
		for (int is_known = 0; is_known <= 1; is_known++)
			serve((enum sasl_mech)mech, is_known, in);
	if (scram_server_first_parse(in, &m) == NULL)
		CHECK(m.salt_n > 0 && m.iterations >= SCRAM_ITERATIONS_CLIENT_MIN && m.nonce.n > 0);
	if (scram_verifier_parse(in, &v) == ST_OK) {
		buf_init(&b, 1000);
		CHECK(scram_verifier_format(&v, &b) == ST_OK);
		CHECK(scram_verifier_parse(buf_str(&b), &again) == ST_OK &&
		      again.iterations == v.iterations);
		buf_fini(&b);
	}
	return 0;
}
