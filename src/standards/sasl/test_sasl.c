/* SASL: the vectors of the RFCs, what each side refuses, and every limit at n and n + 1. */
#include "base/num.h"
#include "base/unit.h"
#include "base/enc.h"
#include "standards/sasl/sasl_internal.h"

static const struct sasl_scram server_scram = {.nonce = STR_INIT("%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
    .secret = STR_INIT("0123456789abcdef"),
    .iterations = 4096};
static const struct sasl_scram client_scram = {.nonce = STR_INIT("rOprNGfwEbeRWgbNEkqO")};
static const struct sasl_binding binding = {STR_INIT("tls-exporter"), STR_INIT("exported bytes")};
static const struct sasl_binding end_point = {
    STR_INIT("tls-server-end-point"), STR_INIT("hash of a certificate")};

/* The password "pencil" of RFC 7677 3. */
static void
pencil_of(enum scram_hash hash, struct scram_verifier *v)
{
	struct buf salt;

	buf_init(&salt, 100);
	EXPECT(base64_decode(STR("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt) == ST_OK);
	EXPECT(scram_verifier_make_weak(hash, STR("pencil"), buf_str(&salt), 4096, v) == ST_OK);
	buf_fini(&salt);
}

static void
pencil(struct scram_verifier *v)
{
	pencil_of(SCRAM_SHA_256, v);
}

/* One step of a new server on a message; the arena must be fresh. */
static enum sasl_step
first(struct sasl_server *s, enum sasl_mech mech, const struct sasl_scram *scram, struct str in,
    struct arena *a, struct sasl_out *out)
{
	sasl_server_init(s, mech);
	if (scram != NULL)
		sasl_server_scram(s, scram);
	return sasl_server_step(s, in, a, out);
}

static void
plain_of_rfc4616(void)
{
	static const struct {
		struct str in, authzid, authcid, password;
	} good[] = {
	    /* RFC 4616 4 */
	    {STR_INIT("\0tim\0tanstaaftanstaaf"), STR_INIT(""), STR_INIT("tim"),
		STR_INIT("tanstaaftanstaaf")},
	    {STR_INIT("Ursel\0Kurt\0xipj3plmq"), STR_INIT("Ursel"), STR_INIT("Kurt"),
		STR_INIT("xipj3plmq")},
	    {STR_INIT("\0a@b.example\0 p=, "), STR_INIT(""), STR_INIT("a@b.example"),
		STR_INIT(" p=, ")},
	    {STR_INIT("\0\xe2\x85\xa8\0\xc2\xaa"), STR_INIT(""), STR_INIT("IX"), STR_INIT("a")},
	};
	static const struct str bad[] = {STR_INIT(""), STR_INIT("\0"), STR_INIT("\0\0"),
	    STR_INIT("tim"), STR_INIT("\0tim"), STR_INIT("\0tim\0"), STR_INIT("\0\0pass"),
	    STR_INIT("\0tim\0pa\0ss"), STR_INIT("\0t\nim\0pass"), STR_INIT("\0tim\0\xff"),
	    STR_INIT("\0\xff\0pass"), STR_INIT("\xff\0tim\0pass"), STR_INIT("\0tim\0pass\0")};
	struct sasl_server s;
	struct sasl_out out;
	struct arena a;

	arena_init(&a, SASL_ARENA_BYTES);
	for (size_t i = 0; i < COUNT_OF(good); i++)
		for (int ok = 0; ok <= 1; ok++) {
			EXPECT(first(&s, SASL_PLAIN, NULL, good[i].in, &a, &out) ==
			       SASL_NEED_CREDENTIALS);
			EXPECT_STR(out.authzid, good[i].authzid);
			EXPECT_STR(out.authcid, good[i].authcid);
			EXPECT_STR(out.password, good[i].password);
			EXPECT(str_has_suffix_ci(good[i].in, out.password_sent));
			struct str password = out.password;
			EXPECT(sasl_server_verdict(&s, ok, &out) == (ok ? SASL_OK : SASL_FAIL));
			EXPECT_STR(out.authcid, good[i].authcid);
			EXPECT(out.password.n == 0 && password.p[0] == 0);
			sasl_server_fini(&s);
		}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		EXPECT(first(&s, SASL_PLAIN, NULL, bad[i], &a, &out) == SASL_FAIL);
		EXPECT(out.why != NULL);
		sasl_server_fini(&s);
	}
	arena_fini(&a);
}

static void
names_and_passwords_have_limits(void)
{
	static const struct {
		size_t name_n, password_n;
		enum sasl_step step;
	} table[] = {
	    {SASL_NAME_BYTES_MAX, SASL_PASSWORD_BYTES_MAX, SASL_NEED_CREDENTIALS},
	    {SASL_NAME_BYTES_MAX + 1, 8, SASL_FAIL},
	    {8, SASL_PASSWORD_BYTES_MAX + 1, SASL_FAIL},
	};
	struct sasl_server s;
	struct sasl_out out;
	struct arena a;
	struct buf b;

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		arena_init(&a, SASL_ARENA_BYTES);
		buf_init(&b, 4096);
		for (size_t k = 0; k < table[i].name_n + table[i].password_n + 2; k++)
			(void)buf_put_c(&b, k == 0 || k == table[i].name_n + 1 ? '\0' : 'x');
		EXPECT(first(&s, SASL_PLAIN, NULL, buf_str(&b), &a, &out) == table[i].step);
		sasl_server_fini(&s);
		buf_fini(&b);
		arena_fini(&a);
	}
	/* A message at its limit is read (and refused for its names), one past it is not. */
	buf_init(&b, SASL_MESSAGE_BYTES_MAX + 1);
	arena_init(&a, SASL_ARENA_BYTES);
	while (b.n < SASL_MESSAGE_BYTES_MAX)
		(void)buf_put_c(&b, 'x');
	EXPECT(first(&s, SASL_PLAIN, NULL, buf_str(&b), &a, &out) == SASL_FAIL);
	EXPECT(strcmp(out.why, "invalid-encoding") == 0);
	(void)buf_put_c(&b, 'x');
	EXPECT(first(&s, SASL_PLAIN, NULL, buf_str(&b), &a, &out) == SASL_FAIL);
	EXPECT(strcmp(out.why, "no-resources") == 0);
	buf_fini(&b);
	arena_fini(&a);
	/* An arena too small is a polite failure. */
	arena_init(&a, 16);
	EXPECT(first(&s, SASL_PLAIN, NULL, STR("\0someone\0secret word"), &a, &out) == SASL_FAIL);
	arena_fini(&a);
}

static void
login_asks_twice(void)
{
	struct sasl_server s;
	struct sasl_out out;
	struct arena a;

	arena_init(&a, SASL_ARENA_BYTES);
	sasl_server_init(&s, SASL_LOGIN);
	EXPECT(sasl_server_begin(&s, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("Username:"));
	EXPECT(sasl_server_step(&s, STR("tim"), &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("Password:"));
	EXPECT(sasl_server_step(&s, STR("secret"), &a, &out) == SASL_NEED_CREDENTIALS);
	EXPECT_STR(out.authcid, STR("tim"));
	EXPECT_STR(out.password, STR("secret"));
	EXPECT(sasl_server_verdict(&s, true, &out) == SASL_OK);
	sasl_server_fini(&s);
	EXPECT(first(&s, SASL_LOGIN, NULL, STR(""), &a, &out) == SASL_FAIL);
	EXPECT(first(&s, SASL_LOGIN, NULL, STR("tim"), &a, &out) == SASL_CHALLENGE);
	EXPECT(sasl_server_step(&s, STR(""), &a, &out) == SASL_FAIL);
	arena_fini(&a);
}

static void
scram_example_of_rfc7677(void)
{
	struct sasl_server s;
	struct sasl_client c;
	struct sasl_out out;
	struct scram_verifier v;
	struct arena a;

	arena_init(&a, SASL_ARENA_BYTES);
	pencil(&v);
	sasl_client_init(
	    &c, SASL_SCRAM_SHA_256, STR("user"), STR_NULL, STR("pencil"), &client_scram);
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"));
	EXPECT(first(&s, SASL_SCRAM_SHA_256, &server_scram, out.challenge, &a, &out) ==
	       SASL_NEED_CREDENTIALS);
	EXPECT_STR(out.authcid, STR("user"));
	EXPECT(sasl_server_verifier(&s, &v, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
				      "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
	EXPECT(sasl_client_step(&c, out.challenge, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
				      "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
	EXPECT(sasl_server_step(&s, out.challenge, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
	EXPECT(sasl_client_step(&c, out.challenge, &a, &out) == SASL_OK);
	EXPECT(sasl_server_step(&s, STR_NULL, &a, &out) == SASL_OK);
	EXPECT_STR(out.authcid, STR("user"));
	sasl_server_fini(&s);
	arena_fini(&a);
}

/* RFC 5802 5. Its server nonce is shorter than those we make. */
static void
scram_example_of_rfc5802(void)
{
	static const struct sasl_scram scram = {.nonce = STR_INIT("fyko+d2lbbFgONRv9qkxdawL")};
	struct sasl_server s;
	struct sasl_client c;
	struct sasl_out out;
	struct scram_verifier v;
	struct buf salt;
	struct arena a;

	arena_init(&a, SASL_ARENA_BYTES);
	buf_init(&salt, 100);
	EXPECT(base64_decode(STR("QSXCR+Q6sek8bf92"), &salt) == ST_OK);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_1, STR("pencil"), buf_str(&salt), 4096, &v) ==
	       ST_OK);
	sasl_client_init(&c, SASL_SCRAM_SHA_1, STR("user"), STR_NULL, STR("pencil"), &scram);
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"));
	sasl_server_init(&s, SASL_SCRAM_SHA_1);
	sasl_server_scram(&s, &server_scram);
	s.scram.nonce = STR("3rfcNHYJY1ZVvWVs7j");
	EXPECT(sasl_server_step(&s, out.challenge, &a, &out) == SASL_NEED_CREDENTIALS);
	EXPECT(sasl_server_verifier(&s, &v, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge,
	    STR("r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"));
	EXPECT(sasl_client_step(&c, out.challenge, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
				      "p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="));
	EXPECT(sasl_server_step(&s, out.challenge, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="));
	EXPECT(sasl_client_step(&c, out.challenge, &a, &out) == SASL_OK);
	EXPECT(sasl_server_step(&s, STR_NULL, &a, &out) == SASL_OK);
	EXPECT_STR(out.authcid, STR("user"));
	sasl_server_fini(&s);
	buf_fini(&salt);
	arena_fini(&a);
}

/* RFC 4422 A: who is proven, and nobody else. */
static void
external_proves_names(void)
{
	static const struct str names[] = {
	    STR_INIT("tim@example.org"), STR_INIT("tom@example.org")};
	static const struct {
		struct str in, authcid; /* authcid empty: refused */
	} table[] = {
	    {STR_INIT(""), STR_INIT("tim@example.org")},
	    {STR_INIT("tim@example.org"), STR_INIT("tim@example.org")},
	    {STR_INIT("tom@example.org"), STR_INIT("tom@example.org")},
	    {STR_INIT("TOM@Example.org"), STR_INIT("tom@example.org")},
	    {STR_INIT("tum@example.org"), STR_INIT("")},
	    {STR_INIT("tim@example.or"), STR_INIT("")},
	    {STR_INIT("tim@example.org\0"), STR_INIT("")},
	    {STR_INIT("\0"), STR_INIT("")},
	    {STR_INIT("\xff"), STR_INIT("")},
	};
	struct sasl_server s;
	struct sasl_client c;
	struct sasl_out out;
	struct arena a;

	arena_init(&a, SASL_ARENA_BYTES);
	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (int has_initial = 0; has_initial <= 1; has_initial++) {
			bool is_good = table[i].authcid.n > 0;
			sasl_server_init(&s, SASL_EXTERNAL);
			sasl_server_external(&s, names, COUNT_OF(names));
			if (!has_initial) {
				EXPECT(sasl_server_begin(&s, &out) == SASL_CHALLENGE);
				EXPECT(out.challenge.n == 0);
			}
			EXPECT(sasl_server_step(&s, table[i].in, &a, &out) ==
			       (is_good ? SASL_NEED_CREDENTIALS : SASL_FAIL));
			EXPECT_STR(out.authcid, table[i].authcid);
			EXPECT(out.password.n == 0);
			/* Proven, but has no account. */
			if (is_good)
				EXPECT(sasl_server_verdict(&s, has_initial, &out) ==
				       (has_initial ? SASL_OK : SASL_FAIL));
			sasl_server_fini(&s);
		}
	sasl_client_init(&c, SASL_EXTERNAL, STR_NULL, STR("tom@example.org"), STR_NULL, NULL);
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("tom@example.org"));
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_FAIL);
	arena_fini(&a);
}

struct exchange {
	enum sasl_mech mech;
	struct str name, authzid, password;
	bool is_known;
	struct sasl_binding client_binding, server_binding, server_binding2;
};

/* Both sides until one is done; *why_out says where it failed. */
static enum sasl_step
run(const struct exchange *x, const char **why_out)
{
	struct sasl_scram for_server = server_scram, for_client = client_scram;
	struct sasl_server s;
	struct sasl_client c;
	struct sasl_out out;
	struct scram_verifier v;
	struct arena a;
	enum sasl_step step;

	pencil_of(sasl_mech_hash(x->mech), &v);
	for_server.bindings[0] = x->server_binding;
	for_server.bindings[1] = x->server_binding2;
	for_client.bindings[0] = x->client_binding;
	arena_init(&a, SASL_ARENA_BYTES);
	sasl_client_init(&c, x->mech, x->name, x->authzid, x->password, &for_client);
	step = sasl_client_step(&c, STR_NULL, &a, &out);
	if (step == SASL_CHALLENGE)
		step = first(&s, x->mech, &for_server, out.challenge, &a, &out);
	if (step == SASL_NEED_CREDENTIALS) {
		EXPECT_STR(out.authzid, x->authzid);
		step = x->is_known ? sasl_server_verifier(&s, &v, &a, &out)
				   : sasl_server_unknown(&s, &a, &out);
	}
	if (step == SASL_CHALLENGE)
		step = sasl_client_step(&c, out.challenge, &a, &out);
	if (step == SASL_CHALLENGE)
		step = sasl_server_step(&s, out.challenge, &a, &out);
	if (step == SASL_CHALLENGE)
		step = sasl_client_step(&c, out.challenge, &a, &out);
	if (step == SASL_OK)
		step = sasl_server_step(&s, STR_NULL, &a, &out);
	*why_out = out.why;
	EXPECT(a.used <= SASL_ARENA_BYTES);
	arena_fini(&a);
	return step;
}

static void
scram_exchanges(void)
{
	static const struct sasl_binding other_type = {
	    STR_INIT("tls-unique"), STR_INIT("exported bytes")};
	static const struct sasl_binding other_data = {
	    STR_INIT("tls-exporter"), STR_INIT("a man between")};
	/* The data of the one under the name of the other. */
	static const struct sasl_binding mixed = {
	    STR_INIT("tls-server-end-point"), STR_INIT("exported bytes")};
	static const struct sasl_binding none = {{NULL, 0}, {NULL, 0}};
	const struct str user = STR("user"), nobody = STR_NULL, pw = STR("pencil");
	const enum sasl_mech bare = SASL_SCRAM_SHA_256, plus = SASL_SCRAM_SHA_256_PLUS,
			     bare1 = SASL_SCRAM_SHA_1, plus1 = SASL_SCRAM_SHA_1_PLUS;
	const struct {
		struct exchange x;
		const char *why;
	} table[] = {
	    {{bare, user, nobody, pw, true, none, none}, NULL},
	    {{bare, user, nobody, STR("Pencil"), true, none, none}, "invalid-proof"},
	    {{bare, user, nobody, pw, false, none, none}, "invalid-proof"},
	    {{bare, STR("a,b=c"), STR("=,="), pw, true, none, none}, NULL},
	    /* U+00AD maps to nothing, U+2168 to IX (RFC 4013 3). */
	    {{bare, STR("\xe2\x85\xa8"), nobody,
		 STR("pen\xc2\xad"
		     "cil"),
		 true, none, none},
		NULL},
	    {{plus, user, nobody, pw, true, binding, binding}, NULL},
	    {{plus, user, STR("boss"), pw, true, binding, binding}, NULL},
	    {{plus, user, nobody, pw, false, binding, binding}, "invalid-proof"},
	    {{plus, user, nobody, pw, true, other_type, binding},
		"unsupported-channel-binding-type"},
	    {{plus, user, nobody, pw, true, other_data, binding}, "channel-bindings-dont-match"},
	    /* We offer -PLUS; the client did not see it and says so. */
	    {{bare, user, nobody, pw, true, binding, binding},
		"server-does-support-channel-binding"},
	    {{bare, user, nobody, pw, true, none, binding}, NULL},
	    {{bare, user, nobody, pw, true, binding, none}, NULL},
	    /* The client picks one of two. */
	    {{plus, user, nobody, pw, true, binding, binding, end_point}, NULL},
	    {{plus, user, nobody, pw, true, end_point, binding, end_point}, NULL},
	    {{plus, user, nobody, pw, true, end_point, none, end_point}, NULL},
	    {{plus, user, nobody, pw, true, end_point, binding, none},
		"unsupported-channel-binding-type"},
	    {{plus, user, nobody, pw, true, mixed, binding, end_point},
		"channel-bindings-dont-match"},
	    {{bare, user, nobody, pw, true, binding, none, end_point},
		"server-does-support-channel-binding"},
	    {{bare1, user, nobody, pw, true, none, none}, NULL},
	    {{bare1, user, nobody, STR("Pencil"), true, none, none}, "invalid-proof"},
	    {{bare1, user, nobody, pw, false, none, none}, "invalid-proof"},
	    {{bare1, user, nobody, pw, true, binding, binding},
		"server-does-support-channel-binding"},
	    {{plus1, user, nobody, pw, true, binding, binding, end_point}, NULL},
	    {{plus1, user, nobody, pw, true, end_point, binding, end_point}, NULL},
	    {{plus1, user, nobody, pw, true, other_data, binding, end_point},
		"channel-bindings-dont-match"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		const char *why;
		enum sasl_step step = run(&table[i].x, &why);

		EXPECT(step == (table[i].why ? SASL_FAIL : SASL_OK));
		EXPECT((why == NULL) == (table[i].why == NULL));
		EXPECT(why == NULL || table[i].why == NULL || strcmp(why, table[i].why) == 0);
	}
}

static void
scram_refuses_first_messages(void)
{
	static const struct {
		enum sasl_mech mech;
		struct str in;
		const char *why; /* NULL: accepted */
	} table[] = {
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u,r=x"), NULL},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u,r=x,e=ext,z=1=,"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u,r=x,e=ext,z=1=2"), NULL},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,a=z,n=u,r=x"), NULL},
	    {SASL_SCRAM_SHA_256, STR_INIT(""), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("N,,n=u,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("F,n,,n=u,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,r=x,n=u"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u,r="), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u,r=a b"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,a=,n=u,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u\0,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=\xff,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,m=1,n=u,r=x"), "extensions-not-supported"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=u,r=x,m=1"), "extensions-not-supported"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=a=2cb,r=x"), "invalid-username-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=a=,r=x"), "invalid-username-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,,n=a\x07,r=x"), "invalid-username-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("n,a=b=3,n=u,r=x"), "invalid-username-encoding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("y,,n=u,r=x"), "server-does-support-channel-binding"},
	    {SASL_SCRAM_SHA_256, STR_INIT("p=tls-exporter,,n=u,r=x"),
		"channel-binding-not-supported"},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("p=tls-exporter,,n=u,r=x"), NULL},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("p=tls-server-end-point,,n=u,r=x"), NULL},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("p=TLS-exporter,,n=u,r=x"),
		"unsupported-channel-binding-type"},
	    {SASL_SCRAM_SHA_1, STR_INIT("n,,n=u,r=x"), NULL},
	    {SASL_SCRAM_SHA_1, STR_INIT("y,,n=u,r=x"), "server-does-support-channel-binding"},
	    {SASL_SCRAM_SHA_1, STR_INIT("p=tls-exporter,,n=u,r=x"),
		"channel-binding-not-supported"},
	    {SASL_SCRAM_SHA_1_PLUS, STR_INIT("p=tls-exporter,,n=u,r=x"), NULL},
	    {SASL_SCRAM_SHA_1_PLUS, STR_INIT("p=tls-unique,,n=u,r=x"),
		"unsupported-channel-binding-type"},
	    {SASL_SCRAM_SHA_1_PLUS, STR_INIT("n,,n=u,r=x"), "channel-bindings-dont-match"},
	    {SASL_SCRAM_SHA_1_PLUS, STR_INIT("y,,n=u,r=x"), "channel-bindings-dont-match"},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("p=tls-unique,,n=u,r=x"),
		"unsupported-channel-binding-type"},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("p=,,n=u,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("p=a b,,n=u,r=x"), "invalid-encoding"},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("n,,n=u,r=x"), "channel-bindings-dont-match"},
	    {SASL_SCRAM_SHA_256_PLUS, STR_INIT("y,,n=u,r=x"), "channel-bindings-dont-match"},
	};
	struct sasl_scram scram = server_scram;

	scram.bindings[0] = binding;
	scram.bindings[1] = end_point;
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct sasl_server s;
		struct sasl_out out;
		struct arena a;
		enum sasl_step step;

		arena_init(&a, SASL_ARENA_BYTES);
		step = first(&s, table[i].mech, &scram, table[i].in, &a, &out);
		EXPECT(step == (table[i].why ? SASL_FAIL : SASL_NEED_CREDENTIALS));
		if (table[i].why != NULL && step == SASL_FAIL && strcmp(out.why, table[i].why) != 0)
			EXPECT_STR(str_of_c(out.why), str_of_c(table[i].why));
		arena_fini(&a);
	}
}

/* The right last message of RFC 7677 with one thing changed. */
static void
scram_refuses_last_messages(void)
{
#define NONCE "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	static const struct {
		struct str in;
		const char *why;
	} table[] = {
	    {STR_INIT("c=biws," NONCE "," PROOF), NULL},
	    {STR_INIT(""), "invalid-encoding"},
	    {STR_INIT("c=biws," NONCE), "invalid-encoding"},
	    {STR_INIT("c=biws," NONCE ","), "invalid-encoding"},
	    {STR_INIT("c=biws," NONCE ",p="), "invalid-encoding"},
	    {STR_INIT("c=biws," NONCE "," PROOF ",x=1"), "invalid-encoding"},
	    {STR_INIT("c=biws," NONCE "," PROOF ","), "invalid-encoding"},
	    {STR_INIT("c=biws," NONCE ",m=1," PROOF), "extensions-not-supported"},
	    {STR_INIT("c=biws," NONCE ",x=1," PROOF), "invalid-proof"},
	    {STR_INIT("c=biws," NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndV=="),
		"invalid-encoding"},
	    {STR_INIT("c=biws," NONCE ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQA"),
		"invalid-encoding"},
	    {STR_INIT("c=biws," NONCE ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="),
		"invalid-proof"},
	    {STR_INIT("c=biws,r=rOprNGfwEbeRWgbNEkqO," PROOF), "other-error"},
	    {STR_INIT("c=biws," NONCE "x," PROOF), "other-error"},
	    {STR_INIT("c=eSws," NONCE "," PROOF), "channel-bindings-dont-match"},
	    {STR_INIT("c=biwsYQ==," NONCE "," PROOF), "channel-bindings-dont-match"},
	    {STR_INIT("c=biw," NONCE "," PROOF), "channel-bindings-dont-match"},
	    {STR_INIT(NONCE ",c=biws," PROOF), "invalid-encoding"},
	};
	struct scram_verifier v;

	pencil(&v);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct sasl_server s;
		struct sasl_out out;
		struct arena a;
		enum sasl_step step;

		arena_init(&a, SASL_ARENA_BYTES);
		EXPECT(first(&s, SASL_SCRAM_SHA_256, &server_scram,
			   STR("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"), &a,
			   &out) == SASL_NEED_CREDENTIALS);
		EXPECT(sasl_server_verifier(&s, &v, &a, &out) == SASL_CHALLENGE);
		step = sasl_server_step(&s, table[i].in, &a, &out);
		EXPECT(step == (table[i].why ? SASL_FAIL : SASL_CHALLENGE));
		if (table[i].why != NULL && step == SASL_FAIL)
			EXPECT_STR(str_of_c(out.why), str_of_c(table[i].why));
		/* Only an empty message confirms the last challenge. */
		if (step == SASL_CHALLENGE)
			EXPECT(sasl_server_step(&s, STR("x"), &a, &out) == SASL_FAIL);
		sasl_server_fini(&s);
		arena_fini(&a);
	}
}

static struct str
challenge_of_nobody_in(enum sasl_mech mech, struct str secret, struct str message, struct arena *a)
{
	struct sasl_scram scram = server_scram;
	struct sasl_server s;
	struct sasl_out out;

	scram.secret = secret;
	EXPECT(first(&s, mech, &scram, message, a, &out) == SASL_NEED_CREDENTIALS);
	EXPECT(sasl_server_unknown(&s, a, &out) == SASL_CHALLENGE);
	return out.challenge;
}

static struct str
challenge_of_nobody(struct str secret, struct str message, struct arena *a)
{
	return challenge_of_nobody_in(SASL_SCRAM_SHA_256, secret, message, a);
}

static void
nobody_looks_like_somebody(void)
{
	struct scram_server_first m;
	struct arena a;
	struct str one, again, other, elsewhere, sha1;

	arena_init(&a, SASL_ARENA_BYTES);
	one = challenge_of_nobody(STR("0123456789abcdef"), STR("n,,n=one,r=x"), &a);
	again = challenge_of_nobody(STR("0123456789abcdef"), STR("n,,n=one,r=x"), &a);
	other = challenge_of_nobody(STR("0123456789abcdef"), STR("n,,n=two,r=x"), &a);
	elsewhere = challenge_of_nobody(STR("0123456789abcdeX"), STR("n,,n=one,r=x"), &a);
	EXPECT_STR(again, one);
	EXPECT(!str_eq(other, one) && !str_eq(elsewhere, one));
	sha1 = challenge_of_nobody_in(
	    SASL_SCRAM_SHA_1, STR("0123456789abcdef"), STR("n,,n=one,r=x"), &a);
	EXPECT(!str_eq(sha1, one));
	EXPECT(scram_server_first_parse(one, &m) == NULL && m.salt_n == 16 && m.iterations == 4096);
	arena_fini(&a);
}

static void
client_is_careful(void)
{
	static const struct {
		struct str in;
		const char *why;
	} table[] = {
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4096"), NULL},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4096,x=ext"), NULL},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqO,s=c2FsdA==,i=4096"), "other-error"},
	    {STR_INIT("r=xOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4096"), "other-error"},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4095"), "no-resources"},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=5000001"), "no-resources"},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=-1"), "invalid-encoding"},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096"), "invalid-encoding"},
	    {STR_INIT("r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA=,i=4096"), "invalid-encoding"},
	    {STR_INIT("m=1,r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=4096"), "extensions-not-supported"},
	    {STR_INIT("e=unknown-user"), "invalid-encoding"},
	    {STR_INIT(""), "invalid-encoding"},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct sasl_client c;
		struct sasl_out out;
		struct arena a;
		enum sasl_step step;

		arena_init(&a, SASL_ARENA_BYTES);
		sasl_client_init(
		    &c, SASL_SCRAM_SHA_256, STR("u"), STR_NULL, STR("p"), &client_scram);
		EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_CHALLENGE);
		step = sasl_client_step(&c, table[i].in, &a, &out);
		EXPECT(step == (table[i].why ? SASL_FAIL : SASL_CHALLENGE));
		if (table[i].why != NULL && step == SASL_FAIL)
			EXPECT_STR(str_of_c(out.why), str_of_c(table[i].why));
		/* A server that knows no verifier cannot sign. */
		if (step == SASL_CHALLENGE)
			EXPECT(sasl_client_step(&c,
				   STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="), &a,
				   &out) == SASL_FAIL);
		arena_fini(&a);
	}
}

static void
clients_of_plain_and_login(void)
{
	struct sasl_client c;
	struct sasl_out out;
	struct arena a;

	arena_init(&a, SASL_ARENA_BYTES);
	sasl_client_init(&c, SASL_PLAIN, STR("tim"), STR_NULL, STR("tanstaaftanstaaf"), NULL);
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("\0tim\0tanstaaftanstaaf"));
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_FAIL);
	sasl_client_init(&c, SASL_LOGIN, STR("tim"), STR_NULL, STR("secret"), NULL);
	EXPECT(sasl_client_step(&c, STR_NULL, &a, &out) == SASL_CHALLENGE && out.challenge.n == 0);
	EXPECT(sasl_client_step(&c, STR("User Name"), &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("tim"));
	EXPECT(sasl_client_step(&c, STR("Password"), &a, &out) == SASL_CHALLENGE);
	EXPECT_STR(out.challenge, STR("secret"));
	EXPECT(sasl_client_step(&c, STR("?"), &a, &out) == SASL_FAIL);
	arena_fini(&a);
}

static void
prepares_as_rfc4013(void)
{
	static const struct {
		struct str in, out;
		enum status query, stored;
	} table[] = {
	    /* RFC 4013 3 */
	    {STR_INIT("I\xc2\xadX"), STR_INIT("IX"), ST_OK, ST_OK},
	    {STR_INIT("user"), STR_INIT("user"), ST_OK, ST_OK},
	    {STR_INIT("USER"), STR_INIT("USER"), ST_OK, ST_OK},
	    {STR_INIT("\xc2\xaa"), STR_INIT("a"), ST_OK, ST_OK},
	    {STR_INIT("\xe2\x85\xa8"), STR_INIT("IX"), ST_OK, ST_OK},
	    {STR_INIT("\x07"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    {STR_INIT("\xd8\xa7\x31"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    /* A space that is not ASCII becomes one that is (2.1); only-removed leaves nothing. */
	    {STR_INIT("a\xc2\xa0"
		      "b"),
		STR_INIT("a b"), ST_OK, ST_OK},
	    {STR_INIT("\xc2\xad"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    {STR_INIT(""), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    {STR_INIT("a\0b"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    {STR_INIT("a\x7f"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    {STR_INIT("a\xc2\x85"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    {STR_INIT("\xff"), STR_INIT(""), ST_SYNTAX, ST_SYNTAX},
	    /* U+0221 has no meaning in Unicode 3.2 (2.5). */
	    {STR_INIT("\xc8\xa1"), STR_INIT("\xc8\xa1"), ST_OK, ST_SYNTAX},
	    {STR_INIT("f\xc3\xbcr"), STR_INIT("f\xc3\xbcr"), ST_OK, ST_OK},
	    {STR_INIT("fu\xcc\x88r"), STR_INIT("f\xc3\xbcr"), ST_OK, ST_OK},
	};
	struct arena a;
	struct str out;

	EXPECT(sasl_load() == ST_OK);
	arena_init(&a, SASL_ARENA_BYTES);
	for (size_t i = 0; i < COUNT_OF(table); i++) {
		EXPECT(sasl_prep(table[i].in, SASL_PREP_QUERY, &a, &out) == table[i].query);
		EXPECT_STR(out, table[i].out);
		EXPECT(sasl_prep(table[i].in, SASL_PREP_STORED, &a, &out) == table[i].stored);
	}
	arena_fini(&a);
	arena_init(&a, 16);
	EXPECT(sasl_prep(STR("b\xc3\xbc"), SASL_PREP_QUERY, &a, &out) == ST_LIMIT);
	arena_fini(&a);
}

/* U+FDFA is one code point of three bytes and becomes eighteen: the longest name, three times. */
static void
the_worst_names_fit_the_arena(void)
{
	struct sasl_server s;
	struct sasl_out out;
	struct arena a;
	struct buf b;

	buf_init(&b, 4096);
	(void)buf_put(&b, STR("n,a="));
	for (int k = 0; k < 2; k++) {
		for (int i = 0; i < SASL_NAME_BYTES_MAX / 3; i++)
			(void)buf_put(&b, STR("\xef\xb7\xba"));
		(void)buf_put(&b, k == 0 ? STR(",n=") : STR(",r="));
	}
	for (int i = 0; i < SCRAM_NONCE_CLIENT_MAX; i++)
		(void)buf_put_c(&b, 'x');
	arena_init(&a, SASL_ARENA_BYTES);
	EXPECT(first(&s, SASL_SCRAM_SHA_256, &server_scram, buf_str(&b), &a, &out) ==
	       SASL_NEED_CREDENTIALS);
	EXPECT(sasl_server_unknown(&s, &a, &out) == SASL_CHALLENGE);
	arena_reset(&a);
	(void)buf_put_c(&b, 'x');
	EXPECT(first(&s, SASL_SCRAM_SHA_256, &server_scram, buf_str(&b), &a, &out) == SASL_FAIL);
	arena_fini(&a);
	buf_fini(&b);
}

static void
verifiers(void)
{
	static const struct str salt = STR_INIT("12345678");
	struct scram_verifier v, again;
	struct buf b;
	char long_text[SASL_PASSWORD_BYTES_MAX + 1];

	memset(long_text, 'x', sizeof(long_text));
	EXPECT(scram_verifier_make(SCRAM_SHA_256, STR("pw"), salt, SCRAM_ITERATIONS_MIN - 1, &v) ==
	       ST_LIMIT);
	EXPECT(
	    scram_verifier_make(SCRAM_SHA_256, STR("pw"), salt, SCRAM_ITERATIONS_MIN, &v) == ST_OK);
	EXPECT(scram_verifier_make(SCRAM_SHA_256, STR("pw"), salt, SCRAM_ITERATIONS_MAX + 1, &v) ==
	       ST_LIMIT);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR("pw"), salt, 0, &v) == ST_LIMIT);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR("pw"), str_take(salt, 7), 1, &v) ==
	       ST_LIMIT);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR("pw"),
		   str_of(long_text, SCRAM_SALT_BYTES_MAX), 1, &v) == ST_OK);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR("pw"),
		   str_of(long_text, SCRAM_SALT_BYTES_MAX + 1), 1, &v) == ST_LIMIT);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, str_of(long_text, SASL_PASSWORD_BYTES_MAX),
		   salt, 1, &v) == ST_OK);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256,
		   str_of(long_text, SASL_PASSWORD_BYTES_MAX + 1), salt, 1, &v) == ST_LIMIT);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR(""), salt, 1, &v) == ST_SYNTAX);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR("p\nw"), salt, 1, &v) == ST_SYNTAX);
	pencil(&v);
	EXPECT(scram_verifier_matches(&v, STR("pencil")));
	EXPECT(!scram_verifier_matches(&v, STR("pencil ")) && !scram_verifier_matches(&v, STR("")));
	buf_init(&b, 200);
	EXPECT(scram_verifier_format(&v, &b) == ST_OK);
	EXPECT(str_has_prefix(buf_str(&b), STR("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")));
	EXPECT(scram_verifier_parse(buf_str(&b), &again) == ST_OK);
	EXPECT(memcmp(&v, &again, sizeof(v)) == 0);
	EXPECT(scram_verifier_parse(str_take(buf_str(&b), b.n - 1), &again) == ST_SYNTAX);
	EXPECT(scram_verifier_parse(STR("SCRAM-SHA-1$4096:c2FsdA==$$"), &again) == ST_SYNTAX);
	EXPECT(scram_verifier_parse(STR("SCRAM-MD5$4096:W22ZaJ0SNY7soEsUEjb6gQ==$$"), &again) ==
	       ST_SYNTAX);
	pencil_of(SCRAM_SHA_1, &v);
	EXPECT(scram_verifier_matches(&v, STR("pencil")));
	EXPECT(!scram_verifier_matches(&v, STR("Pencil")));
	buf_reset(&b);
	EXPECT(scram_verifier_format(&v, &b) == ST_OK);
	EXPECT(str_has_prefix(buf_str(&b), STR("SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$")));
	EXPECT(scram_verifier_parse(buf_str(&b), &again) == ST_OK && again.hash == SCRAM_SHA_1);
	EXPECT(memcmp(v.stored_key, again.stored_key, 20) == 0);
	EXPECT(memcmp(v.server_key, again.server_key, 20) == 0);
	/* The keys of one hash are none of the other. */
	EXPECT(
	    scram_verifier_parse(STR("SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
				     "AAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		&again) == ST_SYNTAX);
	pencil(&v);
	buf_fini(&b);
	buf_init(&b, 20);
	EXPECT(scram_verifier_format(&v, &b) == ST_LIMIT);
	buf_fini(&b);
}

static void
names_of_mechanisms(void)
{
	enum sasl_mech mech;
	uint8_t random[SCRAM_NONCE_RANDOM_BYTES] = {0xff};
	char nonce[SCRAM_NONCE_SERVER_MIN];

	for (int i = 0; i < SASL_MECHS; i++)
		EXPECT(sasl_mech_parse(sasl_mech_name((enum sasl_mech)i), &mech) == ST_OK &&
		       (int)mech == i);
	EXPECT(sasl_mech_parse(STR("scram-sha-256"), &mech) == ST_OK && mech == SASL_SCRAM_SHA_256);
	EXPECT(sasl_mech_parse(STR("SCRAM-SHA-1"), &mech) == ST_OK && mech == SASL_SCRAM_SHA_1);
	EXPECT(!sasl_mech_has_plus(mech) && sasl_mech_has_plus(SASL_SCRAM_SHA_1_PLUS));
	EXPECT(sasl_mech_hash(mech) == SCRAM_SHA_1 && !sasl_mech_is_scram(SASL_EXTERNAL));
	EXPECT(sasl_mech_parse(STR("CRAM-MD5"), &mech) == ST_UNSUPPORTED);
	EXPECT(sasl_mech_parse(STR(""), &mech) == ST_UNSUPPORTED);
	sasl_nonce(random, nonce);
	EXPECT_STR(str_of(nonce, sizeof(nonce)), STR("/wAAAAAAAAAAAAAAAAAAAAAA"));
}

int
main(void)
{
	UNIT(plain_of_rfc4616);
	UNIT(names_and_passwords_have_limits);
	UNIT(login_asks_twice);
	UNIT(scram_example_of_rfc7677);
	UNIT(scram_example_of_rfc5802);
	UNIT(external_proves_names);
	UNIT(scram_exchanges);
	UNIT(scram_refuses_first_messages);
	UNIT(scram_refuses_last_messages);
	UNIT(nobody_looks_like_somebody);
	UNIT(client_is_careful);
	UNIT(clients_of_plain_and_login);
	UNIT(prepares_as_rfc4013);
	UNIT(the_worst_names_fit_the_arena);
	UNIT(verifiers);
	UNIT(names_of_mechanisms);
	return unit_end();
}
