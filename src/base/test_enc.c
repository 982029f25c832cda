/* Encodings: the vectors of their standards, strictness, and failures that append nothing. */
#include "base/enc.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "base/utf8.h"

static void
base64_vectors_of_rfc4648(void)
{
	/* RFC 4648 10 */
	static const struct {
		struct str plain, coded;
	} table[] = {
	    {STR_INIT(""), STR_INIT("")},
	    {STR_INIT("f"), STR_INIT("Zg==")},
	    {STR_INIT("fo"), STR_INIT("Zm8=")},
	    {STR_INIT("foo"), STR_INIT("Zm9v")},
	    {STR_INIT("foob"), STR_INIT("Zm9vYg==")},
	    {STR_INIT("fooba"), STR_INIT("Zm9vYmE=")},
	    {STR_INIT("foobar"), STR_INIT("Zm9vYmFy")},
	    {STR_INIT("\xff\xfe\xfd\0"), STR_INIT("//79AA==")},
	};
	struct buf b;

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_init(&b, 8);
		EXPECT(BASE64_SIZE(table[i].plain.n) == table[i].coded.n);
		EXPECT(base64_encode(table[i].plain, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].coded);
		buf_reset(&b);
		EXPECT(base64_decode(table[i].coded, &b) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].plain);
		buf_fini(&b);
	}
}

static void
base64_is_strict(void)
{
	static const struct str bad[] = {STR_INIT("Z"), STR_INIT("Zg"), STR_INIT("Zg="),
	    STR_INIT("Zh=="), STR_INIT("Zm9="), STR_INIT("Z==="), STR_INIT("===="),
	    STR_INIT("Zg==Zg=="), STR_INIT("Zm8=Zm9v"), STR_INIT("Zm9\n"), STR_INIT("Zm 9"),
	    STR_INIT("Zm-_"), STR_INIT("Zm9\0"), STR_INIT("=m9v"), STR_INIT("Z=9v"),
	    STR_INIT("Zm9vZ!=="), STR_INIT("\xc3\xa4\xc3\xa4")};
	struct buf b;

	buf_init(&b, 100);
	EXPECT(buf_put(&b, STR("before")) == ST_OK);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		EXPECT(base64_decode(bad[i], &b) == ST_SYNTAX);
	EXPECT_STR(buf_str(&b), STR("before"));
	buf_fini(&b);
	buf_init(&b, 2);
	EXPECT(base64_decode(STR("Zm9v"), &b) == ST_LIMIT && b.n == 0);
	EXPECT(base64_encode(STR("f"), &b) == ST_LIMIT && b.n == 0);
	EXPECT(base64_decode(STR("Zm8="), &b) == ST_OK && b.n == 2);
	buf_fini(&b);
}

static void
hex(void)
{
	struct buf b;

	buf_init(&b, 6);
	EXPECT(hex_encode(STR("\0\xab\x7f"), &b) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("00ab7f"));
	EXPECT(hex_encode(STR("x"), &b) == ST_LIMIT);
	buf_reset(&b);
	EXPECT(hex_decode(STR("00aB7F"), &b) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("\0\xab\x7f"));
	EXPECT(hex_decode(STR("0"), &b) == ST_SYNTAX);
	EXPECT(hex_decode(STR("000g"), &b) == ST_SYNTAX);
	EXPECT(hex_decode(STR("00000000"), &b) == ST_LIMIT);
	EXPECT(b.n == 3);
	buf_fini(&b);
}

static void
json_strings(void)
{
	static const struct {
		struct str in, out;
	} table[] = {
	    {STR_INIT(""), STR_INIT("\"\"")},
	    {STR_INIT("a\"\\\r\n\t/"), STR_INIT("\"a\\\"\\\\\\r\\n\\t/\"")},
	    {STR_INIT("\0\x1b\x7f"), STR_INIT("\"\\u0000\\u001b\\u007f\"")},
	    {STR_INIT("\xc3\xa4\xf0\x9f\x93\xac"), STR_INIT("\"\xc3\xa4\xf0\x9f\x93\xac\"")},
	    {STR_INIT("\xc2\x9b\xe2\x80\xa8\xe2\x80\xa9"), STR_INIT("\"\\u009b\\u2028\\u2029\"")},
	    {STR_INIT("\xff\xc3"), STR_INIT("\"\xef\xbf\xbd\xef\xbf\xbd\"")},
	};
	struct buf b;

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		buf_init(&b, 100);
		EXPECT(json_put_str(&b, table[i].in) == ST_OK);
		EXPECT_STR(buf_str(&b), table[i].out);
		buf_fini(&b);
	}
	/* The last quote would fit where the piece before it did not. */
	buf_init(&b, 3);
	EXPECT(json_put_str(&b, STR("a\n")) == ST_LIMIT);
	buf_fini(&b);
	buf_init(&b, 3);
	EXPECT(json_put_str(&b, STR("a")) == ST_OK);
	buf_fini(&b);
}

static void
random_bytes_come_back(void)
{
	struct prng r;
	struct buf coded, plain;
	char bytes[50];

	prng_init(&r, 1);
	buf_init(&coded, 200);
	buf_init(&plain, 100);
	for (size_t round = 0; round < 500; round++) {
		struct str s = str_of(bytes, round % sizeof(bytes));

		for (size_t i = 0; i < s.n; i++)
			bytes[i] = (char)prng_u64(&r);
		buf_reset(&coded);
		buf_reset(&plain);
		EXPECT(base64_encode(s, &coded) == ST_OK &&
		       base64_decode(buf_str(&coded), &plain) == ST_OK);
		EXPECT(str_eq(buf_str(&plain), s));
		buf_reset(&coded);
		buf_reset(&plain);
		EXPECT(
		    hex_encode(s, &coded) == ST_OK && hex_decode(buf_str(&coded), &plain) == ST_OK);
		EXPECT(str_eq(buf_str(&plain), s));
	}
	buf_fini(&coded);
	buf_fini(&plain);
}

int
main(void)
{
	UNIT(base64_vectors_of_rfc4648);
	UNIT(base64_is_strict);
	UNIT(hex);
	UNIT(json_strings);
	UNIT(random_bytes_come_back);
	return unit_end();
}
