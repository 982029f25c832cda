#include "base/enc.h"
#include "base/num.h"
#include "base/unit.h"
#include "directory/sealed.h"

static const uint8_t key[SEALED_KEY_BYTES] = "0123456789abcdef0123456789abcde";
static const uint8_t other_key[SEALED_KEY_BYTES] = "0123456789abcdef0123456789abcdf";
#define CONTEXT STR("dkim example.org s1")

static void
seals_open_again(void)
{
	static const struct str plains[] = {STR_INIT(""), STR_INIT("x"), STR_INIT("a\0b"),
	    STR_INIT("a secret that is longer than one block of the cipher")};

	for (size_t i = 0; i < COUNT_OF(plains); i++) {
		struct buf sealed, plain;

		buf_init(&sealed, 1000);
		buf_init(&plain, 1000);
		EXPECT(buf_put(&sealed, STR("before")) == ST_OK);
		EXPECT(sealed_seal(key, CONTEXT, plains[i], &sealed) == ST_OK);
		EXPECT(sealed.n == 6 + plains[i].n + SEALED_OVERHEAD_BYTES);
		EXPECT(str_find(buf_str(&sealed), STR("secret")) == sealed.n);
		EXPECT(buf_put(&plain, STR("before ")) == ST_OK);
		EXPECT(sealed_open(key, CONTEXT, str_from(buf_str(&sealed), 6), &plain) == ST_OK);
		EXPECT_STR(str_from(buf_str(&plain), 7), plains[i]);
		sealed_wipe(&sealed);
		sealed_wipe(&plain);
		EXPECT(plain.p == NULL && plain.n == 0);
	}
}

/*
 * A seal made by another implementation of AES-GCM (Python's cryptography), so that what is in
 * stores stays readable: key "0123456789abcdef0123456789abcde\0", nonce 000102..0b.
 */
static void
known_seal_opens(void)
{
	struct buf sealed, plain;

	buf_init(&sealed, 1000);
	buf_init(&plain, 1000);
	EXPECT(hex_decode(STR("016c0008f0000102030405060708090a0bcab66c97057edc547cb5249ebe"
			      "8a170368fadb6df9beb71c7630"),
		   &sealed) == ST_OK);
	EXPECT(sealed_open(key, CONTEXT, buf_str(&sealed), &plain) == ST_OK);
	EXPECT_STR(buf_str(&plain), STR("the secret"));
	buf_fini(&sealed);
	buf_fini(&plain);
}

static void
every_seal_is_another(void)
{
	struct buf a, b;

	buf_init(&a, 1000);
	buf_init(&b, 1000);
	EXPECT(sealed_seal(key, CONTEXT, STR("same"), &a) == ST_OK);
	EXPECT(sealed_seal(key, CONTEXT, STR("same"), &b) == ST_OK);
	/* The head is the same, nonce and text are not. */
	EXPECT(memcmp(a.p, b.p, 5) == 0);
	EXPECT(memcmp(a.p + 5, b.p + 5, 12) != 0);
	EXPECT(memcmp(a.p + 17, b.p + 17, 4) != 0);
	buf_fini(&a);
	buf_fini(&b);
}

static void
damage_shows(void)
{
	struct buf sealed, plain;

	buf_init(&sealed, 1000);
	buf_init(&plain, 1000);
	EXPECT(sealed_seal(key, CONTEXT, STR("the secret"), &sealed) == ST_OK);
	for (size_t n = 0; n < sealed.n; n++)
		EXPECT(
		    sealed_open(key, CONTEXT, str_take(buf_str(&sealed), n), &plain) == ST_SYNTAX);
	for (size_t i = 0; i < sealed.n; i++) {
		enum status want = i == 0 ? ST_UNSUPPORTED : i < 5 ? ST_DENIED : ST_SYNTAX;

		sealed.p[i] ^= 0x10;
		EXPECT(sealed_open(key, CONTEXT, buf_str(&sealed), &plain) == want);
		sealed.p[i] ^= 0x10;
	}
	EXPECT(buf_put_c(&sealed, '\0') == ST_OK);
	EXPECT(sealed_open(key, CONTEXT, buf_str(&sealed), &plain) == ST_SYNTAX);
	EXPECT(plain.n == 0);
	/* No trace of what was decrypted before the tag failed. */
	EXPECT(plain.p != NULL && str_find(str_of(plain.p, plain.cap), STR("sec")) == plain.cap);
	buf_fini(&sealed);
	buf_fini(&plain);
}

static void
key_and_context_matter(void)
{
	struct buf sealed, plain;

	buf_init(&sealed, 1000);
	buf_init(&plain, 1000);
	EXPECT(sealed_seal(key, CONTEXT, STR("the secret"), &sealed) == ST_OK);
	EXPECT(sealed_open(other_key, CONTEXT, buf_str(&sealed), &plain) == ST_DENIED);
	EXPECT(sealed_open(key, STR("dkim example.org s2"), buf_str(&sealed), &plain) == ST_SYNTAX);
	EXPECT(sealed_open(key, STR(""), buf_str(&sealed), &plain) == ST_SYNTAX);
	EXPECT(plain.n == 0);
	buf_fini(&sealed);
	buf_fini(&plain);
}

static void
limits_hold(void)
{
	static char big[SEALED_PLAIN_BYTES_MAX + 1], context[SEALED_CONTEXT_BYTES_MAX + 1];
	struct str plain_max = str_of(big, SEALED_PLAIN_BYTES_MAX);
	struct str context_max = str_of(context, SEALED_CONTEXT_BYTES_MAX);
	struct buf sealed, plain, small;

	buf_init(&sealed, SEALED_PLAIN_BYTES_MAX + 100);
	buf_init(&plain, SEALED_PLAIN_BYTES_MAX);
	buf_init(&small, SEALED_OVERHEAD_BYTES + 9);
	EXPECT(sealed_seal(key, context_max, plain_max, &sealed) == ST_OK);
	EXPECT(sealed_open(key, context_max, buf_str(&sealed), &plain) == ST_OK);
	EXPECT(str_eq(buf_str(&plain), plain_max));
	/* One more byte of room than text would be needed. */
	EXPECT(sealed_open(key, context_max, buf_str(&sealed), &plain) == ST_LIMIT);
	EXPECT(plain.n == SEALED_PLAIN_BYTES_MAX);
	EXPECT(buf_put_c(&sealed, 'x') == ST_OK);
	EXPECT(sealed_open(key, context_max, buf_str(&sealed), &plain) == ST_LIMIT);
	buf_reset(&sealed);
	EXPECT(sealed_seal(key, CONTEXT, str_of(big, sizeof(big)), &sealed) == ST_LIMIT);
	EXPECT(sealed_seal(key, str_of(context, sizeof(context)), STR("x"), &sealed) == ST_LIMIT);
	EXPECT(sealed.n == 0);
	EXPECT(sealed_seal(key, CONTEXT, STR("the secret"), &small) == ST_LIMIT && small.n == 0);
	EXPECT(sealed_seal(key, CONTEXT, STR("he secret"), &small) == ST_OK);
	EXPECT(sealed_open(key, str_of(context, sizeof(context)), buf_str(&small), &plain) ==
	       ST_LIMIT);
	buf_fini(&sealed);
	buf_fini(&plain);
	buf_fini(&small);
}

int
main(void)
{
	sealed_preload();
	UNIT(seals_open_again);
	UNIT(known_seal_opens);
	UNIT(every_seal_is_another);
	UNIT(damage_shows);
	UNIT(key_and_context_matter);
	UNIT(limits_hold);
	return unit_end();
}
