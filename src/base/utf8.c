#include "base/utf8.h"

/* How many bytes a sequence has by its first byte; 0 for a byte that starts none. */
static size_t
utf8_len(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

bool
utf8_take(struct cur *c, uint32_t *cp_out)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	int first = cur_peek(c);
	size_t n = first < 0 ? 0 : utf8_len((unsigned char)first);
	uint32_t cp;

	if (n == 0 || cur_left(c) < n)
		return false;
	cp = n == 1 ? (uint32_t)first : (uint32_t)first & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		unsigned char b = (unsigned char)c->p[i];
		if ((b & 0xc0) != 0x80)
			return false;
		cp = cp << 6 | (b & 0x3f);
	}
	/* RFC 3629 3: overlong forms, surrogates and values past U+10FFFF are invalid. */
	if (cp < smallest[n] || (cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff)
		return false;
	c->p += n;
	*cp_out = cp;
	return true;
}

bool
utf8_is_valid(struct str s)
{
	struct cur c = cur_of(s);
	uint32_t cp;

	while (!cur_at_end(&c))
		if (!utf8_take(&c, &cp))
			return false;
	return true;
}

bool
utf8_is_ascii(struct str s)
{
	unsigned char all = 0;

	for (size_t i = 0; i < s.n; i++)
		all |= (unsigned char)s.p[i];
	return all < 0x80;
}

enum status
utf8_put(struct buf *out, uint32_t cp)
{
	char b[4];
	size_t n;

	if ((cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff)
		cp = 0xfffd;
	if (cp < 0x80) {
		b[0] = (char)cp;
		n = 1;
	} else if (cp < 0x800) {
		b[0] = (char)(0xc0 | cp >> 6);
		b[1] = (char)(0x80 | (cp & 0x3f));
		n = 2;
	} else if (cp < 0x10000) {
		b[0] = (char)(0xe0 | cp >> 12);
		b[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		b[2] = (char)(0x80 | (cp & 0x3f));
		n = 3;
	} else {
		b[0] = (char)(0xf0 | cp >> 18);
		b[1] = (char)(0x80 | (cp >> 12 & 0x3f));
		b[2] = (char)(0x80 | (cp >> 6 & 0x3f));
		b[3] = (char)(0x80 | (cp & 0x3f));
		n = 4;
	}
	return buf_put(out, str_of(b, n));
}

struct str
utf8_prefix(struct str s, size_t n)
{
	if (n >= s.n)
		return s;
	/* A sequence has at most three bytes after its first. */
	for (size_t back = 0; back <= 3 && back <= n; back++) {
		struct cur c = cur_of(str_from(s, n - back));
		uint32_t cp;

		if (utf8_take(&c, &cp))
			return str_take(s, c.p > s.p + n ? n - back : n);
	}
	return str_take(s, n);
}
