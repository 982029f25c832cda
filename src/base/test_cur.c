/* cur: takes what is there, leaves everything where it was when it is not. */
#include "base/cur.h"
#include "base/num.h"
#include "base/unit.h"

static void
of_nothing(void)
{
	struct cur c = cur_of(STR_NULL);
	struct str s;
	uint64_t v;

	EXPECT(cur_at_end(&c) && cur_left(&c) == 0 && cur_peek(&c) == -1);
	cur_skip(&c, 3);
	EXPECT(cur_skip_wsp(&c) == 0);
	EXPECT(cur_lit(&c, "") && cur_lit_ci(&c, "") && !cur_lit(&c, "a"));
	EXPECT(cur_take(&c, 0, &s) && s.n == 0 && !cur_take(&c, 1, &s));
	EXPECT(!cur_take_line(&c, &s) && !cur_take_until(&c, 'x', SIZE_MAX, &s));
	EXPECT(!cur_u64(&c, &v) && !cur_le64(&c, &v) && !cur_char(&c, '\0'));
}

static void
literals(void)
{
	struct cur c = cur_of(STR("EHLO x"));

	EXPECT(!cur_lit(&c, "ehlo"));
	EXPECT(cur_left(&c) == 6);
	EXPECT(cur_lit_ci(&c, "ehlo"));
	EXPECT(!cur_lit(&c, " xy"));
	EXPECT(cur_char(&c, ' ') && !cur_char(&c, ' ') && cur_char(&c, 'x'));
	EXPECT(cur_at_end(&c));
}

static void
until_with_a_maximum(void)
{
	struct cur c = cur_of(STR("abc]d"));
	struct str s;

	EXPECT(!cur_take_until(&c, ']', 2, &s));
	EXPECT(cur_left(&c) == 5);
	EXPECT(cur_take_until(&c, ']', 3, &s));
	EXPECT_STR(s, STR("abc"));
	EXPECT(cur_peek(&c) == ']');
	EXPECT(cur_take_until(&c, ']', 0, &s) && s.n == 0);
	cur_skip(&c, 1);
	EXPECT(!cur_take_until(&c, ']', SIZE_MAX, &s));
}

static void
lines_end_with_crlf_only(void)
{
	struct cur c = cur_of(STR("a\nb\rc\r\r\n\r\nd\r"));
	struct str s;

	EXPECT(cur_take_line(&c, &s));
	EXPECT_STR(s, STR("a\nb\rc\r"));
	EXPECT(cur_take_line(&c, &s) && s.n == 0);
	EXPECT(!cur_take_line(&c, &s));
	EXPECT_STR(cur_rest(&c), STR("d\r"));
}

static void
numbers(void)
{
	struct cur c = cur_of(STR("18446744073709551615,18446744073709551616 \t9"));
	uint64_t v = 0;

	EXPECT(cur_u64(&c, &v) && v == UINT64_MAX);
	EXPECT(cur_char(&c, ','));
	EXPECT(!cur_u64(&c, &v) && cur_peek(&c) == '1');
	cur_skip(&c, 20);
	EXPECT(cur_skip_wsp(&c) == 2);
	EXPECT(cur_u64(&c, &v) && v == 9);
}

static void
binary(void)
{
	char b[15];
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	struct cur c = cur_of(str_of(b, sizeof(b))), short_by_one;

	b[0] = (char)0xfe;
	le16_put(b + 1, 0xfedc);
	le32_put(b + 3, 0xfedcba98);
	le64_put(b + 7, 0xfedcba9876543210);
	EXPECT(cur_u8(&c, &u8) && u8 == 0xfe);
	EXPECT(cur_le16(&c, &u16) && u16 == 0xfedc);
	EXPECT(cur_le32(&c, &u32) && u32 == 0xfedcba98);
	short_by_one = cur_of(str_take(cur_rest(&c), 7));
	EXPECT(!cur_le64(&short_by_one, &u64) && cur_left(&short_by_one) == 7);
	EXPECT(cur_le64(&c, &u64) && u64 == 0xfedcba9876543210);
	EXPECT(cur_at_end(&c));
}

int
main(void)
{
	UNIT(of_nothing);
	UNIT(literals);
	UNIT(until_with_a_maximum);
	UNIT(lines_end_with_crlf_only);
	UNIT(numbers);
	UNIT(binary);
	return unit_end();
}
