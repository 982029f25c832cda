#include "base/cur.h"

#include "base/num.h"

bool
cur_lit(struct cur *c, const char *literal)
{
	struct str want = str_of_c(literal);

	if (!str_has_prefix(cur_rest(c), want))
		return false;
	c->p += want.n;
	return true;
}

bool
cur_lit_ci(struct cur *c, const char *literal)
{
	struct str want = str_of_c(literal);

	if (!str_has_prefix_ci(cur_rest(c), want))
		return false;
	c->p += want.n;
	return true;
}

bool
cur_take(struct cur *c, size_t n, struct str *out)
{
	if (n > cur_left(c))
		return false;
	*out = str_of(c->p, n);
	c->p += n;
	return true;
}

bool
cur_take_until(struct cur *c, char stop, size_t max, struct str *out)
{
	struct str in = cur_rest(c);
	struct str window = str_take(in, max < in.n ? max + 1 : in.n);
	size_t i = str_find_char(window, stop);

	if (i == window.n)
		return false;
	return cur_take(c, i, out);
}

struct str
cur_take_while(struct cur *c, bool (*ok)(char))
{
	const char *start = c->p;

	while (c->p < c->end && ok(*c->p))
		c->p++;
	return str_of(start, (size_t)(c->p - start));
}

bool
cur_take_line(struct cur *c, struct str *out)
{
	struct str in = cur_rest(c);
	size_t i = str_find(in, STR("\r\n"));

	if (i == in.n)
		return false;
	*out = str_take(in, i);
	c->p += i + 2;
	return true;
}

bool
cur_u64(struct cur *c, uint64_t *out)
{
	struct cur try = *c;
	struct str digits = cur_take_while(&try, char_is_digit);

	if (str_to_u64(digits, out) != ST_OK)
		return false;
	*c = try;
	return true;
}

static bool
is_wsp(char c)
{
	return c == ' ' || c == '\t';
}

size_t
cur_skip_wsp(struct cur *c)
{
	return cur_take_while(c, is_wsp).n;
}

bool
cur_u8(struct cur *c, uint8_t *out)
{
	struct str s;

	if (!cur_take(c, 1, &s))
		return false;
	*out = (uint8_t)s.p[0];
	return true;
}

bool
cur_le16(struct cur *c, uint16_t *out)
{
	struct str s;

	if (!cur_take(c, 2, &s))
		return false;
	*out = le16_get(s.p);
	return true;
}

bool
cur_le32(struct cur *c, uint32_t *out)
{
	struct str s;

	if (!cur_take(c, 4, &s))
		return false;
	*out = le32_get(s.p);
	return true;
}

bool
cur_le64(struct cur *c, uint64_t *out)
{
	struct str s;

	if (!cur_take(c, 8, &s))
		return false;
	*out = le64_get(s.p);
	return true;
}

bool
cur_str16(struct cur *c, struct str *out)
{
	struct cur try = *c;
	uint16_t n;

	if (!cur_le16(&try, &n) || !cur_take(&try, n, out))
		return false;
	*c = try;
	return true;
}
