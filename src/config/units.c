#include "config/units.h"

#include "base/num.h"

struct unit {
	struct str name;
	uint64_t factor;
};

static const struct unit size_units[] = {
    {STR_INIT(""), 1},
    {STR_INIT("k"), 1 << 10},
    {STR_INIT("M"), 1 << 20},
    {STR_INIT("G"), 1 << 30},
    {STR_INIT("T"), UINT64_C(1) << 40},
};

static const struct unit duration_units[] = {
    {STR_INIT(""), 1000},
    {STR_INIT("ms"), 1},
    {STR_INIT("s"), 1000},
    {STR_INIT("min"), 60 * 1000},
    {STR_INIT("h"), 60 * 60 * 1000},
    {STR_INIT("d"), 24 * 60 * 60 * 1000},
};

static enum status
number_parse(struct str s, const struct unit *units, size_t count, uint64_t *out)
{
	size_t digits = 0;
	uint64_t v;
	enum status st;

	while (digits < s.n && char_is_digit(s.p[digits]))
		digits++;
	st = str_to_u64(str_take(s, digits), &v);
	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < count; i++)
		if (str_eq_ci(str_from(s, digits), units[i].name))
			return __builtin_mul_overflow(v, units[i].factor, out) ? ST_LIMIT : ST_OK;
	return ST_SYNTAX;
}

enum status
size_parse(struct str s, uint64_t *bytes_out)
{
	return number_parse(s, size_units, COUNT_OF(size_units), bytes_out);
}

enum status
duration_parse(struct str s, uint64_t *ms_out)
{
	return number_parse(s, duration_units, COUNT_OF(duration_units), ms_out);
}
