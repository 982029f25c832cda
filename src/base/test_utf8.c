/* UTF-8 as RFC 3629 has it: every code point there and back, nothing else accepted. */
#include "base/num.h"
#include "base/unit.h"
#include "base/utf8.h"

static void
every_code_point_comes_back(void)
{
	struct buf b;

	buf_init(&b, 4);
	for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
		uint32_t got = 0;
		struct cur c;
		bool is_surrogate = cp >= 0xd800 && cp <= 0xdfff;

		buf_reset(&b);
		EXPECT(utf8_put(&b, cp) == ST_OK);
		c = cur_of(buf_str(&b));
		EXPECT(
		    utf8_take(&c, &got) && cur_at_end(&c) && got == (is_surrogate ? 0xfffd : cp));
	}
	buf_reset(&b);
	EXPECT(utf8_put(&b, 0x110000) == ST_OK);
	EXPECT_STR(buf_str(&b), STR("\xef\xbf\xbd"));
	buf_fini(&b);
}

static void
refuses_what_rfc3629_forbids(void)
{
	static const struct str bad[] = {
	    STR_INIT("\x80"),
	    STR_INIT("\xbf"), /* no first byte */
	    STR_INIT("\xc0\x80"),
	    STR_INIT("\xc1\xbf"), /* overlong */
	    STR_INIT("\xe0\x9f\xbf"),
	    STR_INIT("\xf0\x8f\xbf\xbf"),
	    STR_INIT("\xed\xa0\x80"),
	    STR_INIT("\xed\xbf\xbf"), /* surrogates */
	    STR_INIT("\xf4\x90\x80\x80"),
	    STR_INIT("\xf5\x80\x80\x80"),
	    STR_INIT("\xff"),
	    STR_INIT("\xc3"),
	    STR_INIT("\xe2\x82"),
	    STR_INIT("\xf0\x9f\x93"), /* cut */
	    STR_INIT("\xc3\x28"),
	    STR_INIT("\xe2\x28\xa1"),
	    STR_INIT("\xf0\x9f\x93\x28"),
	};

	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct cur c = cur_of(bad[i]);
		uint32_t cp = 7;

		EXPECT(!utf8_take(&c, &cp) && cp == 7 && cur_left(&c) == bad[i].n);
		EXPECT(!utf8_is_valid(bad[i]) && !utf8_is_ascii(bad[i]));
	}
	EXPECT(utf8_is_valid(STR_NULL) && utf8_is_ascii(STR_NULL));
	EXPECT(utf8_is_valid(STR("a\0\xc3\xa4")) && utf8_is_ascii(STR("a\0\x7f")));
}

static void
prefixes_do_not_cut_a_sequence(void)
{
	static const struct {
		struct str in;
		size_t n, want;
	} table[] = {
	    {STR_INIT("abc"), 2, 2},
	    {STR_INIT("abc"), 9, 3},
	    {STR_INIT("a\xc3\xa4"), 2, 1},
	    {STR_INIT("a\xc3\xa4"), 3, 3},
	    {STR_INIT("\xf0\x9f\x93\xac!"), 3, 0},
	    {STR_INIT("\xf0\x9f\x93\xac!"), 4, 4},
	    {STR_INIT("\x80\x80\x80\x80\x80\x80"), 4, 4},
	    {STR_INIT("\xc3\xa4\xa4\xa4"), 3, 3},
	    {STR_INIT(""), 0, 0},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++)
		EXPECT(utf8_prefix(table[i].in, table[i].n).n == table[i].want);
}

int
main(void)
{
	UNIT(every_code_point_comes_back);
	UNIT(refuses_what_rfc3629_forbids);
	UNIT(prefixes_do_not_cut_a_sequence);
	return unit_end();
}
