#include <openssl/crypto.h>

#include "base/num.h"
#include "base/utf8.h"
#include "standards/sasl/sasl_internal.h"

static const struct {
	struct str name;
	bool is_scram, has_plus;
	enum scram_hash hash; /* of SCRAM */
} mechs[SASL_MECHS] = {
    [SASL_PLAIN] = {.name = STR_INIT("PLAIN")},
    [SASL_LOGIN] = {.name = STR_INIT("LOGIN")},
    [SASL_SCRAM_SHA_256] = {STR_INIT("SCRAM-SHA-256"), true, false, SCRAM_SHA_256},
    [SASL_SCRAM_SHA_256_PLUS] = {STR_INIT("SCRAM-SHA-256-PLUS"), true, true, SCRAM_SHA_256},
    [SASL_SCRAM_SHA_1] = {STR_INIT("SCRAM-SHA-1"), true, false, SCRAM_SHA_1},
    [SASL_SCRAM_SHA_1_PLUS] = {STR_INIT("SCRAM-SHA-1-PLUS"), true, true, SCRAM_SHA_1},
    [SASL_EXTERNAL] = {.name = STR_INIT("EXTERNAL")},
};

struct str
sasl_mech_name(enum sasl_mech mech)
{
	CHECK((size_t)mech < COUNT_OF(mechs));
	return mechs[mech].name;
}

bool
sasl_mech_is_scram(enum sasl_mech mech)
{
	CHECK((size_t)mech < COUNT_OF(mechs));
	return mechs[mech].is_scram;
}

bool
sasl_mech_has_plus(enum sasl_mech mech)
{
	CHECK((size_t)mech < COUNT_OF(mechs));
	return mechs[mech].has_plus;
}

enum scram_hash
sasl_mech_hash(enum sasl_mech mech)
{
	CHECK(sasl_mech_is_scram(mech));
	return mechs[mech].hash;
}

enum status
sasl_mech_parse(struct str name, enum sasl_mech *out)
{
	for (size_t i = 0; i < COUNT_OF(mechs); i++)
		if (str_eq_ci(name, mechs[i].name)) {
			*out = (enum sasl_mech)i;
			return ST_OK;
		}
	return ST_UNSUPPORTED;
}

/* The one way around const: it lies in an arena of ours, the const is that of a view. */
void
sasl_wipe(struct str s)
{
	if (s.n > 0)
		OPENSSL_cleanse((void *)(uintptr_t)s.p, s.n);
}

void
sasl_server_init(struct sasl_server *s, enum sasl_mech mech)
{
	*s = (struct sasl_server){.mech = mech, .state = SASL_SERVER_FIRST};
}

static void
wipe_secrets(struct sasl_server *s)
{
	sasl_wipe(s->password);
	sasl_wipe(s->password_sent);
	s->password = s->password_sent = STR_NULL;
	OPENSSL_cleanse(&s->verifier, sizeof(s->verifier));
}

void
sasl_server_fini(struct sasl_server *s)
{
	wipe_secrets(s);
	sasl_server_init(s, s->mech);
	s->state = SASL_SERVER_DONE;
}

bool
sasl_scram_can_bind(const struct sasl_scram *scram)
{
	for (size_t i = 0; i < COUNT_OF(scram->bindings); i++)
		if (scram->bindings[i].type.n > 0)
			return true;
	return false;
}

void
sasl_server_scram(struct sasl_server *s, const struct sasl_scram *scram)
{
	CHECK(sasl_mech_is_scram(s->mech) && s->state == SASL_SERVER_FIRST);
	CHECK(scram->nonce.n >= SCRAM_NONCE_SERVER_MIN && scram->nonce.n <= SCRAM_NONCE_SERVER_MAX);
	CHECK(scram->secret.n >= SASL_SECRET_BYTES_MIN && scram->iterations > 0);
	for (size_t i = 0; i < COUNT_OF(scram->bindings); i++)
		CHECK(scram->bindings[i].data.n <= SASL_BINDING_BYTES_MAX);
	CHECK(!sasl_mech_has_plus(s->mech) || sasl_scram_can_bind(scram));
	s->scram = *scram;
}

void
sasl_server_external(struct sasl_server *s, const struct str *names, size_t names_n)
{
	CHECK(s->mech == SASL_EXTERNAL && s->state == SASL_SERVER_FIRST);
	CHECK(names_n > 0 && names_n <= SASL_PROVEN_MAX);
	for (size_t i = 0; i < names_n; i++)
		CHECK(names[i].n > 0 && names[i].n <= SASL_NAME_BYTES_MAX);
	s->proven = names;
	s->proven_n = names_n;
}

enum sasl_step
sasl_fail(struct sasl_server *s, const char *why, struct sasl_out *out)
{
	wipe_secrets(s);
	s->state = SASL_SERVER_DONE;
	*out = (struct sasl_out){.authcid = s->authcid, .authzid = s->authzid, .why = why};
	return SASL_FAIL;
}

enum sasl_step
sasl_server_begin(struct sasl_server *s, struct sasl_out *out)
{
	CHECK(s->state == SASL_SERVER_FIRST);
	/* The prompt that clients of LOGIN know; the others speak first. */
	*out = (struct sasl_out){.challenge = s->mech == SASL_LOGIN ? STR("Username:") : STR("")};
	return SASL_CHALLENGE;
}

static enum sasl_step
need_credentials(struct sasl_server *s, struct sasl_out *out)
{
	s->state = SASL_SERVER_WAIT_VERDICT;
	*out = (struct sasl_out){.authcid = s->authcid,
	    .authzid = s->authzid,
	    .password = s->password,
	    .password_sent = s->password_sent};
	return SASL_NEED_CREDENTIALS;
}

const char *
sasl_name_prepare(struct str in, struct arena *a, struct str *out)
{
	if (in.n > SASL_NAME_BYTES_MAX)
		return "no-resources";
	switch (sasl_prep(in, SASL_PREP_QUERY, a, out)) {
	case ST_OK:
		return NULL;
	case ST_LIMIT:
		return "no-resources";
	default:
		return "invalid-username-encoding";
	}
}

/* RFC 4616 2: prepared as a query, too, then compared with the stored form. */
static const char *
password_take(struct sasl_server *s, struct str in, struct arena *a)
{
	if (in.n > SASL_PASSWORD_BYTES_MAX || arena_str(a, in, &s->password_sent) != ST_OK)
		return "no-resources";
	return sasl_prep(in, SASL_PREP_QUERY, a, &s->password) == ST_OK ? NULL : "invalid-encoding";
}

/* RFC 4616 2: [authzid] UTF8NUL authcid UTF8NUL passwd */
static enum sasl_step
plain_step(struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out)
{
	struct str authzid, authcid, password, rest;
	const char *why;

	if (!str_split(in, '\0', &authzid, &rest) || !str_split(rest, '\0', &authcid, &password) ||
	    str_find_char(password, '\0') < password.n)
		return sasl_fail(s, "invalid-encoding", out);
	if (authzid.n > 0 && (why = sasl_name_prepare(authzid, a, &s->authzid)) != NULL)
		return sasl_fail(s, why, out);
	if ((why = sasl_name_prepare(authcid, a, &s->authcid)) != NULL ||
	    (why = password_take(s, password, a)) != NULL)
		return sasl_fail(s, why, out);
	return need_credentials(s, out);
}

static enum sasl_step
login_name(struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out)
{
	const char *why = sasl_name_prepare(in, a, &s->authcid);

	if (why != NULL)
		return sasl_fail(s, why, out);
	s->state = SASL_SERVER_PASSWORD;
	*out = (struct sasl_out){.challenge = STR("Password:")};
	return SASL_CHALLENGE;
}

static enum sasl_step
login_password(struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out)
{
	const char *why = password_take(s, in, a);

	return why != NULL ? sasl_fail(s, why, out) : need_credentials(s, out);
}

/*
 * RFC 4422 A: empty, or one of the proven names. Their spelling counts, not the client's: what it
 * says only picks.
 */
static enum sasl_step
external_step(struct sasl_server *s, struct str in, struct sasl_out *out)
{
	CHECK(s->proven_n > 0);
	for (size_t i = 0; i < s->proven_n; i++)
		if (in.n == 0 || str_eq_ci(in, s->proven[i])) {
			s->authcid = s->proven[i];
			return need_credentials(s, out);
		}
	return sasl_fail(s, "other-error", out);
}

static enum sasl_step
first_step(struct sasl_server *s, struct str in, struct arena *a, struct sasl_out *out)
{
	switch (s->mech) {
	case SASL_PLAIN:
		return plain_step(s, in, a, out);
	case SASL_LOGIN:
		return login_name(s, in, a, out);
	case SASL_SCRAM_SHA_256:
	case SASL_SCRAM_SHA_256_PLUS:
	case SASL_SCRAM_SHA_1:
	case SASL_SCRAM_SHA_1_PLUS:
		CHECK(s->scram.nonce.n > 0);
		return scram_server_first(s, in, a, out);
	case SASL_EXTERNAL:
		return external_step(s, in, out);
	}
	return sasl_fail(s, "other-error", out);
}

static enum sasl_step
succeed(struct sasl_server *s, struct sasl_out *out)
{
	wipe_secrets(s);
	s->state = SASL_SERVER_DONE;
	*out = (struct sasl_out){.authcid = s->authcid, .authzid = s->authzid};
	return SASL_OK;
}

enum sasl_step
sasl_server_step(
    struct sasl_server *s, struct str client_bytes, struct arena *a, struct sasl_out *out)
{
	if (client_bytes.n > SASL_MESSAGE_BYTES_MAX)
		return sasl_fail(s, "no-resources", out);
	switch (s->state) {
	case SASL_SERVER_FIRST:
		return first_step(s, client_bytes, a, out);
	case SASL_SERVER_PASSWORD:
		return login_password(s, client_bytes, a, out);
	case SASL_SERVER_FINAL:
		return scram_server_final(s, client_bytes, a, out);
	case SASL_SERVER_EMPTY:
		/* RFC 4954 4: the answer to a challenge that carries success data is empty. */
		return client_bytes.n == 0 ? succeed(s, out)
					   : sasl_fail(s, "invalid-encoding", out);
	case SASL_SERVER_WAIT_VERDICT:
	case SASL_SERVER_WAIT_VERIFIER:
	case SASL_SERVER_DONE:
		break;
	}
	/* A step only while a challenge is out. */
	CHECK(false);
	return SASL_FAIL;
}

bool
sasl_server_is_waiting(const struct sasl_server *s)
{
	switch (s->state) {
	case SASL_SERVER_FIRST:
	case SASL_SERVER_PASSWORD:
	case SASL_SERVER_FINAL:
	case SASL_SERVER_EMPTY:
		return true;
	case SASL_SERVER_WAIT_VERDICT:
	case SASL_SERVER_WAIT_VERIFIER:
	case SASL_SERVER_DONE:
		break;
	}
	return false;
}

enum sasl_step
sasl_server_verdict(struct sasl_server *s, bool ok, struct sasl_out *out)
{
	CHECK(s->state == SASL_SERVER_WAIT_VERDICT);
	return ok ? succeed(s, out) : sasl_fail(s, "invalid-proof", out);
}
