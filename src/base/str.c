#include "base/str.h"

struct str
str_of_c(const char *z)
{
	return z ? (struct str){z, strlen(z)} : STR_NULL;
}

bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
str_eq_ci(struct str a, struct str b)
{
	return a.n == b.n && str_cmp_ci(a, b) == 0;
}

int
str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int r = n ? memcmp(a.p, b.p, n) : 0;

	if (r != 0)
		return r;
	return a.n < b.n ? -1 : a.n > b.n;
}

int
str_cmp_ci(struct str a, struct str b)
{
	for (size_t i = 0; i < a.n && i < b.n; i++) {
		int d = (unsigned char)char_lower(a.p[i]) - (unsigned char)char_lower(b.p[i]);
		if (d != 0)
			return d;
	}
	return a.n < b.n ? -1 : a.n > b.n;
}

bool
str_has_prefix(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq(str_take(s, prefix.n), prefix);
}

bool
str_has_prefix_ci(struct str s, struct str prefix)
{
	return s.n >= prefix.n && str_eq_ci(str_take(s, prefix.n), prefix);
}

bool
str_has_suffix_ci(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq_ci(str_from(s, s.n - suffix.n), suffix);
}

size_t
str_find_char(struct str s, char c)
{
	const char *q = s.n ? memchr(s.p, c, s.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

size_t
str_find_char_last(struct str s, char c)
{
	const char *q = s.n ? memrchr(s.p, c, s.n) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

size_t
str_find(struct str s, struct str needle)
{
	const char *q;

	if (needle.n == 0)
		return 0;
	q = s.n >= needle.n ? memmem(s.p, s.n, needle.p, needle.n) : NULL;
	return q ? (size_t)(q - s.p) : s.n;
}

size_t
str_find_ci(struct str s, struct str needle)
{
	for (size_t i = 0; needle.n <= s.n && i <= s.n - needle.n; i++)
		if (str_eq_ci(str_take(str_from(s, i), needle.n), needle))
			return i;
	return s.n;
}

struct str
str_from(struct str s, size_t start)
{
	if (start >= s.n)
		return str_of(s.p ? s.p + s.n : s.p, 0);
	return str_of(s.p + start, s.n - start);
}

struct str
str_take(struct str s, size_t n)
{
	return str_of(s.p, n < s.n ? n : s.n);
}

static bool
is_trimmed(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str
str_trim(struct str s)
{
	while (s.n > 0 && is_trimmed(s.p[0]))
		s = str_from(s, 1);
	while (s.n > 0 && is_trimmed(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool
str_split(struct str s, char c, struct str *head_out, struct str *tail_out)
{
	size_t i = str_find_char(s, c);
	bool found = i < s.n;

	*head_out = str_take(s, i);
	*tail_out = str_from(s, found ? i + 1 : s.n);
	return found;
}

enum status
str_to_u64(struct str s, uint64_t *out)
{
	enum { DIGITS_MAX = 20 }; /* of UINT64_MAX; leading zeros count */
	bool fits = s.n <= DIGITS_MAX;
	uint64_t v = 0;

	if (s.n == 0)
		return ST_SYNTAX;
	for (size_t i = 0; i < s.n; i++) {
		if (!char_is_digit(s.p[i]))
			return ST_SYNTAX;
		fits = fits && !__builtin_mul_overflow(v, (uint64_t)10, &v) &&
		       !__builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
	}
	if (!fits)
		return ST_LIMIT;
	*out = v;
	return ST_OK;
}
