/* str: comparisons, searches, cuts and numbers, at their edges. */
#include "base/num.h"
#include "base/unit.h"

static void
compares(void)
{
	static const struct {
		struct str a, b;
		int cmp, cmp_ci;
	} table[] = {
	    {STR_INIT(""), STR_INIT(""), 0, 0},
	    {STR_INIT("a"), STR_INIT(""), 1, 1},
	    {STR_INIT("a"), STR_INIT("ab"), -1, -1},
	    {STR_INIT("b"), STR_INIT("ab"), 1, 1},
	    {STR_INIT("A"), STR_INIT("a"), -1, 0},
	    {STR_INIT("["), STR_INIT("a"), -1, -1},
	    {STR_INIT("\xff"), STR_INIT("a"), 1, 1},
	    {STR_INIT("a\0b"), STR_INIT("a\0c"), -1, -1},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		int r = str_cmp(table[i].a, table[i].b), ci = str_cmp_ci(table[i].a, table[i].b);
		EXPECT((r > 0) - (r < 0) == table[i].cmp);
		EXPECT((ci > 0) - (ci < 0) == table[i].cmp_ci);
		EXPECT(str_eq(table[i].a, table[i].b) == (table[i].cmp == 0));
		EXPECT(str_eq_ci(table[i].a, table[i].b) == (table[i].cmp_ci == 0));
	}
	EXPECT(str_eq(STR_NULL, STR("")));
	EXPECT(str_eq(str_of_c(NULL), STR("")));
	/* ASCII only: the Kelvin sign is no k. */
	EXPECT(!str_eq_ci(STR("\xe2\x84\xaa"), STR("k")));
}

static void
finds(void)
{
	struct str s = STR("abcabc");

	EXPECT(str_find_char(s, 'b') == 1);
	EXPECT(str_find_char_last(s, 'b') == 4);
	EXPECT(str_find_char(s, 'x') == 6);
	EXPECT(str_find_char(STR_NULL, 'x') == 0);
	EXPECT(str_find(s, STR("ca")) == 2);
	EXPECT(str_find(s, STR("cab ")) == 6);
	EXPECT(str_find(s, STR("")) == 0);
	EXPECT(str_find(STR_NULL, STR("a")) == 0);
	EXPECT(str_find_ci(s, STR("CA")) == 2);
	EXPECT(str_find_ci(s, STR("")) == 0);
	EXPECT(str_find_ci(s, STR("abcabca")) == 6);
	EXPECT(str_has_prefix(s, STR("abc")) && !str_has_prefix(s, STR("ABC")));
	EXPECT(str_has_prefix_ci(s, STR("ABC")) && !str_has_prefix_ci(STR("AB"), STR("abc")));
	EXPECT(str_has_suffix_ci(s, STR("BC")) && !str_has_suffix_ci(STR("c"), STR("bc")));
	EXPECT(str_has_prefix(STR_NULL, STR_NULL) && str_has_suffix_ci(STR_NULL, STR_NULL));
}

static void
cuts(void)
{
	struct str head, tail;

	EXPECT_STR(str_from(STR("abc"), 1), STR("bc"));
	EXPECT_STR(str_from(STR("abc"), 4), STR(""));
	EXPECT_STR(str_from(STR_NULL, 4), STR(""));
	EXPECT_STR(str_take(STR("abc"), 2), STR("ab"));
	EXPECT_STR(str_take(STR("abc"), 4), STR("abc"));
	EXPECT_STR(str_trim(STR(" \t\r\na b\n ")), STR("a b"));
	EXPECT_STR(str_trim(STR("\t\t")), STR(""));
	EXPECT(str_split(STR("k=v=w"), '=', &head, &tail));
	EXPECT_STR(head, STR("k"));
	EXPECT_STR(tail, STR("v=w"));
	EXPECT(str_split(STR("k="), '=', &head, &tail) && tail.n == 0);
	EXPECT(!str_split(STR("k"), '=', &head, &tail));
	EXPECT_STR(head, STR("k"));
	EXPECT_STR(tail, STR(""));
}

static void
numbers(void)
{
	static const struct {
		struct str in;
		enum status st;
		uint64_t v;
	} table[] = {
	    {STR_INIT("0"), ST_OK, 0},
	    {STR_INIT("007"), ST_OK, 7},
	    {STR_INIT("18446744073709551615"), ST_OK, UINT64_MAX},
	    {STR_INIT("18446744073709551616"), ST_LIMIT, 0},
	    {STR_INIT("00000000000000000001"), ST_OK, 1},
	    {STR_INIT("000000000000000000001"), ST_LIMIT, 0},
	    {STR_INIT("99999999999999999999x"), ST_SYNTAX, 0},
	    {STR_INIT(""), ST_SYNTAX, 0},
	    {STR_INIT("+1"), ST_SYNTAX, 0},
	    {STR_INIT("-1"), ST_SYNTAX, 0},
	    {STR_INIT(" 1"), ST_SYNTAX, 0},
	    {STR_INIT("1\0"), ST_SYNTAX, 0},
	};

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		uint64_t v = 42;

		EXPECT(str_to_u64(table[i].in, &v) == table[i].st);
		EXPECT(v == (table[i].st == ST_OK ? table[i].v : 42));
	}
}

int
main(void)
{
	UNIT(compares);
	UNIT(finds);
	UNIT(cuts);
	UNIT(numbers);
	return unit_end();
}
