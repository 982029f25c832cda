/* buf: never past its maximum, and a refused append changes nothing. */
#include "base/buf.h"
#include "base/cur.h"
#include "base/unit.h"

static void
stops_at_its_maximum(void)
{
	struct buf b;

	buf_init(&b, 4);
	EXPECT(b.p == NULL);
	EXPECT(buf_put(&b, STR("abcd")) == ST_OK);
	EXPECT(!b.full);
	EXPECT(buf_put(&b, STR("e")) == ST_LIMIT);
	EXPECT(buf_put(&b, STR_NULL) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("abcd"));
	EXPECT(b.full && b.cap <= 4);
	buf_reset(&b);
	EXPECT(b.n == 0 && !b.full);
	EXPECT(buf_reserve(&b, 5) == NULL);
	EXPECT(buf_reserve(&b, SIZE_MAX) == NULL);
	EXPECT(b.full);
	buf_fini(&b);
	EXPECT(b.p == NULL && b.max == 4);
}

static void
grows_up_to_its_maximum(void)
{
	struct buf b;

	buf_init(&b, 1000);
	for (size_t i = 0; i < 1000; i++)
		EXPECT(buf_put_c(&b, (char)i) == ST_OK);
	EXPECT(b.n == 1000 && b.cap == 1000);
	EXPECT(buf_put_c(&b, 'x') == ST_LIMIT);
	for (size_t i = 0; i < 1000; i++)
		EXPECT(b.p[i] == (char)i);
	buf_fini(&b);
}

static void
puts_numbers_and_formats(void)
{
	struct buf b;

	buf_init(&b, 40);
	EXPECT(buf_put_u64(&b, 0) == ST_OK);
	EXPECT(buf_put_u64(&b, UINT64_MAX) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("018446744073709551615"));
	buf_reset(&b);
	EXPECT(buf_putf(&b, "%s-%03d", "a", 7) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("a-007"));
	EXPECT(buf_putf(&b, "%36d", 7) == ST_LIMIT);
	EXPECT_STR(buf_str(&b), STR("a-007"));
	EXPECT(buf_putf(&b, "%35d", 7) == ST_OK);
	EXPECT(b.n == 40);
	buf_fini(&b);
}

static void
reserves_consumes_and_shrinks(void)
{
	struct buf b;
	char *p;

	buf_init(&b, 4096);
	p = buf_reserve(&b, 2000);
	EXPECT(p != NULL);
	memcpy(p, "hello", 5);
	buf_commit(&b, 5);
	buf_consume(&b, 0);
	buf_consume(&b, 3);
	EXPECT_STR(buf_str(&b), STR("lo"));
	buf_shrink(&b);
	EXPECT(b.cap == 2);
	EXPECT_STR(buf_str(&b), STR("lo"));
	buf_consume(&b, 2);
	buf_shrink(&b);
	EXPECT(b.p == NULL && b.cap == 0);
	EXPECT(buf_put(&b, STR("again")) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("again"));
	buf_fini(&b);
}

static void
numbers_and_strings_come_back(void)
{
	static char big[70000];
	struct buf b;
	struct cur c;
	struct str s;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	buf_init(&b, 100000);
	EXPECT(buf_put_le16(&b, 0xbeef) == ST_OK && buf_put_le32(&b, 0xdeadbeef) == ST_OK);
	EXPECT(buf_put_le64(&b, 0x0123456789abcdef) == ST_OK && buf_put_str16(&b, STR("abc")) == ST_OK);
	c = cur_of(buf_str(&b));
	EXPECT(cur_le16(&c, &v16) && v16 == 0xbeef && cur_le32(&c, &v32) && v32 == 0xdeadbeef);
	EXPECT(cur_le64(&c, &v64) && v64 == 0x0123456789abcdef && cur_str16(&c, &s) && str_eq(s, STR("abc")));
	EXPECT(cur_at_end(&c) && !cur_str16(&c, &s));
	c = cur_of(STR("\x04\x00" "abc"));
	EXPECT(!cur_str16(&c, &s) && cur_left(&c) == 5);
	EXPECT(buf_put_str16(&b, str_of(big, 65535)) == ST_OK && !b.full);
	EXPECT(buf_put_str16(&b, str_of(big, 65536)) == ST_LIMIT && b.full);
	buf_fini(&b);
}

int
main(void)
{
	UNIT(stops_at_its_maximum);
	UNIT(grows_up_to_its_maximum);
	UNIT(puts_numbers_and_formats);
	UNIT(reserves_consumes_and_shrinks);
	UNIT(numbers_and_strings_come_back);
	return unit_end();
}
