#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/clock.h"
#include "base/enc.h"
#include "base/num.h"
#include "base/unit.h"
#include "directory/credential.h"
#include "directory/throttle.h"

/* Small, for tests: 64 KiB. */
static const struct credential_options cheap = {64, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}};

static void
hmac(const uint8_t *key, struct str text, uint8_t out[32])
{
	unsigned n;

	HMAC(EVP_sha256(), key, 32, (const unsigned char *)text.p, text.n, out, &n);
}

/* RFC 7677 3: the whole exchange from what the server keeps. */
static void
scram_example(void)
{
	struct str auth_message = STR(
	    "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
	    "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
	    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
	struct credential c;
	struct credential_options o = cheap;
	struct buf salt, proof, out;
	uint8_t signature[32], client_key[32], digest[32];

	buf_init(&salt, 100);
	buf_init(&proof, 100);
	buf_init(&out, 100);
	EXPECT(base64_decode(STR("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt) == ST_OK);
	EXPECT(base64_decode(STR("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), &proof) == ST_OK);
	o.scram_salt = buf_str(&salt);
	EXPECT(credential_make(STR("pencil"), &o, &c, NULL) == ST_OK);
	EXPECT(c.scram_sha256.iterations == 4096 && c.scram_sha256.salt_n == 16);
	EXPECT(credential_scram(&c, SCRAM_SHA_1) == NULL);
	hmac(c.scram_sha256.server_key, auth_message, signature);
	base64_encode(str_of(signature, 32), &out);
	EXPECT_STR(buf_str(&out), STR("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
	hmac(c.scram_sha256.stored_key, auth_message, client_key);
	for (size_t i = 0; i < 32 && proof.n == 32; i++)
		client_key[i] ^= (uint8_t)proof.p[i];
	EVP_Digest(client_key, 32, digest, NULL, EVP_sha256(), NULL);
	EXPECT(memcmp(digest, c.scram_sha256.stored_key, 32) == 0);
	buf_fini(&salt);
	buf_fini(&proof);
	buf_fini(&out);
}

static void
checks_passwords(void)
{
	struct credential a, b;

	EXPECT(credential_make(STR("correct horse"), &cheap, &a, NULL) == ST_OK);
	EXPECT(credential_make(STR("correct horse"), &cheap, &b, NULL) == ST_OK);
	EXPECT(credential_check_password(&a, STR("correct horse")));
	EXPECT(!credential_check_password(&a, STR("correct hors")));
	EXPECT(!credential_check_password(&a, STR("correct horse ")));
	EXPECT(!credential_check_password(&a, STR("")));
	/* Each its own salts. */
	EXPECT(!str_eq(str_of(a.argon2id, a.argon2id_n), str_of(b.argon2id, b.argon2id_n)));
	EXPECT(memcmp(a.scram_sha256.salt, b.scram_sha256.salt, a.scram_sha256.salt_n) != 0);
	credential_wipe(&a);
	EXPECT(!credential_check_password(&a, STR("correct horse")));
}

static void
defaults_are_strong(void)
{
	struct credential c;

	EXPECT(credential_make(STR("x"), &CREDENTIAL_DEFAULTS, &c, NULL) == ST_OK);
	EXPECT(str_has_prefix(
	    str_of(c.argon2id, c.argon2id_n), STR("$argon2id$v=19$m=19456,t=2,p=1$")));
	EXPECT(c.scram_sha256.iterations >= 100000 && !CREDENTIAL_DEFAULTS.scram_sha1);
	EXPECT(credential_check_password(&c, STR("x")));
}

static void
passwords_have_limits(void)
{
	static const struct {
		struct str password;
		enum status want;
	} cases[] = {
	    {STR_INIT(""), ST_SYNTAX},
	    {STR_INIT("a\0b"), ST_SYNTAX},
	    {STR_INIT("tab\t"), ST_SYNTAX},
	    {STR_INIT("del\x7f"), ST_SYNTAX},
	    {STR_INIT("\xff\xfe"), ST_SYNTAX},
	    {STR_INIT("gr\xc3\xbc\xc3\x9f"), ST_OK},
	};
	char big[CREDENTIAL_PASSWORD_BYTES_MAX + 1];
	struct credential c;
	struct buf why;

	memset(big, 'x', sizeof(big));
	buf_init(&why, 200);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_reset(&why);
		EXPECT(credential_make(cases[i].password, &cheap, &c, &why) == cases[i].want);
		EXPECT((why.n == 0) == (cases[i].want == ST_OK));
	}
	EXPECT(credential_make(str_of(big, sizeof(big) - 1), &cheap, &c, NULL) == ST_OK);
	EXPECT(credential_check_password(&c, str_of(big, sizeof(big) - 1)));
	EXPECT(!credential_check_password(&c, str_of(big, sizeof(big))));
	EXPECT(credential_make(str_of(big, sizeof(big)), &cheap, &c, NULL) == ST_SYNTAX);
	buf_fini(&why);
}

static void
options_have_limits(void)
{
	static const struct {
		struct credential_options o;
		enum status want;
	} cases[] = {
	    {{8, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}}, ST_OK},
	    {{7, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}}, ST_LIMIT},
	    {{64, 0, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}}, ST_LIMIT},
	    {{64, 1, 0, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}}, ST_LIMIT},
	    {{1024, 1, CREDENTIAL_ARGON2_LANES_MAX + 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}},
		ST_LIMIT},
	    {{64, CREDENTIAL_ARGON2_PASSES_MAX + 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}},
		ST_LIMIT},
	    {{CREDENTIAL_ARGON2_KIB_MAX + 1, 1, 1, CREDENTIAL_ITERATIONS_MIN, {NULL, 0}}, ST_LIMIT},
	    {{64, 1, 1, CREDENTIAL_ITERATIONS_MIN - 1, {NULL, 0}}, ST_LIMIT},
	    {{64, 1, 1, CREDENTIAL_ITERATIONS_MAX + 1, {NULL, 0}}, ST_LIMIT},
	};
	struct credential c;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		EXPECT(credential_make(STR("pw"), &cases[i].o, &c, NULL) == cases[i].want);
}

static void
records_come_back(void)
{
	struct credential a, b;
	struct buf record, again;

	buf_init(&record, 1000);
	buf_init(&again, 1000);
	EXPECT(credential_make(STR("pw"), &cheap, &a, NULL) == ST_OK);
	EXPECT(credential_encode(&a, &record) == ST_OK);
	EXPECT(credential_decode(buf_str(&record), &b) == ST_OK);
	EXPECT(credential_encode(&b, &again) == ST_OK);
	EXPECT_STR(buf_str(&again), buf_str(&record));
	EXPECT(record.p[0] == 1 && credential_scram(&b, SCRAM_SHA_1) == NULL);
	EXPECT(credential_check_password(&b, STR("pw")));
	for (size_t n = 0; n < record.n; n++)
		EXPECT(credential_decode(str_take(buf_str(&record), n), &b) == ST_SYNTAX);
	/* A record that asks for 4 TiB is none. */
	memcpy(record.p + 2, "$argon2id$v=19$m=4294967295,t=1,p=1$", 36);
	EXPECT(credential_decode(buf_str(&record), &b) == ST_SYNTAX);
	buf_fini(&record);
	buf_fini(&again);
}

/* RFC 5802 5: what the server keeps, and that it comes back; a record of before has none of it. */
static void
scram_sha1_on_request(void)
{
	struct credential_options o = cheap;
	struct credential a, b;
	struct scram_verifier v;
	struct buf salt, record, again;
	static const struct credential zero;

	buf_init(&salt, 100);
	buf_init(&record, 1000);
	buf_init(&again, 1000);
	EXPECT(base64_decode(STR("QSXCR+Q6sek8bf92"), &salt) == ST_OK);
	o.scram_salt = buf_str(&salt);
	o.scram_sha1 = true;
	EXPECT(credential_make(STR("pencil"), &o, &a, NULL) == ST_OK);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_1, STR("pencil"), o.scram_salt, 4096, &v) == ST_OK);
	EXPECT(credential_scram(&a, SCRAM_SHA_1) == &a.scram_sha1 && a.scram_sha1.salt_n == salt.n);
	EXPECT(memcmp(a.scram_sha1.stored_key, v.stored_key, 20) == 0);
	EXPECT(memcmp(a.scram_sha1.server_key, v.server_key, 20) == 0);
	EXPECT(credential_encode(&a, &record) == ST_OK && record.p[0] == 2);
	EXPECT(credential_decode(buf_str(&record), &b) == ST_OK);
	EXPECT(credential_encode(&b, &again) == ST_OK);
	EXPECT_STR(buf_str(&again), buf_str(&record));
	EXPECT(credential_check_password(&b, STR("pencil")));
	for (size_t n = 0; n < record.n; n++)
		EXPECT(credential_decode(str_take(buf_str(&record), n), &b) == ST_SYNTAX);
	/* The longer record under the older number, and a number to come. */
	record.p[0] = 1;
	EXPECT(credential_decode(buf_str(&record), &b) == ST_SYNTAX);
	record.p[0] = 3;
	EXPECT(credential_decode(buf_str(&record), &b) == ST_SYNTAX);
	/* Each its own salt, or one would tell of the other. */
	o.scram_salt = STR_NULL;
	EXPECT(credential_make(STR("pencil"), &o, &a, NULL) == ST_OK);
	EXPECT(memcmp(a.scram_sha1.salt, a.scram_sha256.salt, 16) != 0);
	credential_wipe(&a);
	EXPECT(memcmp(&a, &zero, sizeof(a)) == 0);
	buf_fini(&salt);
	buf_fini(&record);
	buf_fini(&again);
}

/* What a client proves is the prepared form (RFC 4013 3); what it sends is checked as it was set. */
static void
scram_prepares(void)
{
	struct credential c;
	struct scram_verifier v;
	struct str salt;

	EXPECT(credential_make(STR("\xe2\x85\xa8 x"), &cheap, &c, NULL) == ST_OK);
	salt = str_of(c.scram_sha256.salt, c.scram_sha256.salt_n);
	EXPECT(scram_verifier_make_weak(SCRAM_SHA_256, STR("IX x"), salt, CREDENTIAL_ITERATIONS_MIN,
		   &v) == ST_OK);
	EXPECT(memcmp(v.stored_key, c.scram_sha256.stored_key, 32) == 0);
	EXPECT(credential_check_password(&c, STR("\xe2\x85\xa8 x")));
	EXPECT(!credential_check_password(&c, STR("IX x")));
	/* Mixed directions cannot be prepared, and are a password all the same. */
	EXPECT(credential_make(STR("\xd8\xa7\x31"), &cheap, &c, NULL) == ST_OK);
	EXPECT(credential_check_password(&c, STR("\xd8\xa7\x31")));
}

/* ---- throttling, with a clock that stands still until told ---- */

static void
delays_double(void)
{
	struct throttle *t = throttle_new(&THROTTLE_DEFAULTS);
	struct clock c;
	struct str net = STR("192.0.2.0"), bob = STR("bob@example.org");
	static const uint64_t want_s[] = {
	    0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900};

	clock_init_fake(&c, 0);
	for (size_t i = 0; i < COUNT_OF(want_s); i++) {
		uint64_t wait;

		throttle_failure(t, clock_mono_ms(&c), net, bob);
		wait = throttle_wait_ms(t, clock_mono_ms(&c), net, STR("BOB@example.org"));
		EXPECT(wait == want_s[i] * 1000);
		clock_advance(&c, wait ? wait - 1 : 0);
		EXPECT(throttle_wait_ms(t, clock_mono_ms(&c), net, bob) == (wait ? 1 : 0));
		clock_advance(&c, 1);
		EXPECT(throttle_wait_ms(t, clock_mono_ms(&c), net, bob) == 0);
	}
	/* Others are not concerned. */
	throttle_failure(t, clock_mono_ms(&c), net, bob);
	EXPECT(throttle_wait_ms(t, clock_mono_ms(&c), net, bob) > 0);
	EXPECT(throttle_wait_ms(t, clock_mono_ms(&c), net, STR("eve@example.org")) == 0);
	EXPECT(throttle_wait_ms(t, clock_mono_ms(&c), STR("198.51.100.0"), bob) == 0);
	throttle_success(t, net, bob);
	EXPECT(throttle_wait_ms(t, clock_mono_ms(&c), net, bob) == 0);
	throttle_free(&t);
	EXPECT(!t);
}

static void
failures_are_forgotten(void)
{
	struct throttle *t = throttle_new(&THROTTLE_DEFAULTS);
	struct str net = STR("n"), bob = STR("b");

	for (int i = 0; i < 20; i++)
		throttle_failure(t, 1000, net, bob);
	EXPECT(throttle_wait_ms(t, 1000, net, bob) == 900000);
	EXPECT(throttle_wait_ms(t, 1000 + THROTTLE_DEFAULTS.window_ms - 1, net, bob) == 0);
	throttle_failure(t, 1000 + THROTTLE_DEFAULTS.window_ms, net, bob);
	EXPECT(throttle_wait_ms(t, 1000 + THROTTLE_DEFAULTS.window_ms, net, bob) == 0);
	throttle_free(&t);
}

static void
one_password_for_many_names(void)
{
	struct throttle *t = throttle_new(&THROTTLE_DEFAULTS);
	char name[8];

	for (uint32_t i = 0; i < 30; i++) {
		be32_put(name, i);
		throttle_failure(t, 0, STR("net"), str_of(name, 4));
	}
	EXPECT(throttle_wait_ms(t, 0, STR("net"), STR("new")) == 0);
	throttle_failure(t, 0, STR("net"), STR("other"));
	EXPECT(throttle_wait_ms(t, 0, STR("net"), STR("new")) == 1000);
	throttle_success(t, STR("net"), STR("new"));
	EXPECT(throttle_wait_ms(t, 0, STR("net"), STR("new")) == 1000);
	EXPECT(throttle_wait_ms(t, 0, STR("net2"), STR("new")) == 0);
	throttle_free(&t);
}

static void
table_stays_bounded(void)
{
	struct throttle_options o = THROTTLE_DEFAULTS;
	struct throttle *t;
	char name[8];

	o.entries_n = 1; /* one set of 8 */
	t = throttle_new(&o);
	for (int i = 0; i < 10; i++)
		throttle_failure(t, 0, STR("bad"), STR("bob"));
	for (uint32_t i = 0; i < 10000; i++) {
		be32_put(name, i);
		throttle_failure(t, 1, str_of(name, 4), str_of(name, 4));
	}
	/* The one who tried most is remembered. */
	EXPECT(throttle_wait_ms(t, 1, STR("bad"), STR("bob")) > 0);
	throttle_free(&t);
}

int
main(void)
{
	UNIT(scram_example);
	UNIT(checks_passwords);
	UNIT(defaults_are_strong);
	UNIT(passwords_have_limits);
	UNIT(options_have_limits);
	UNIT(records_come_back);
	UNIT(scram_sha1_on_request);
	UNIT(scram_prepares);
	UNIT(delays_double);
	UNIT(failures_are_forgotten);
	UNIT(one_password_for_many_names);
	UNIT(table_stays_bounded);
	return unit_end();
}
