#include "base/enc.h"

#include "base/utf8.h"

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum status
base64_encode(struct str s, struct buf *out)
{
	const unsigned char *in = (const unsigned char *)s.p;
	char *o = buf_reserve(out, BASE64_SIZE(s.n));
	size_t w = 0;

	if (o == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t k = s.n - i < 3 ? s.n - i : 3;
		uint32_t v = (uint32_t)in[i] << 16;

		v |= k > 1 ? (uint32_t)in[i + 1] << 8 : 0;
		v |= k > 2 ? (uint32_t)in[i + 2] : 0;
		o[w++] = base64_alphabet[v >> 18];
		o[w++] = base64_alphabet[v >> 12 & 63];
		o[w++] = k > 1 ? base64_alphabet[v >> 6 & 63] : '=';
		o[w++] = k > 2 ? base64_alphabet[v & 63] : '=';
	}
	buf_commit(out, w);
	return ST_OK;
}

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (char_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four with pad 0..2 missing bytes; false on a bad character or non-zero trailing
 * bits. */
static bool
base64_group(const char *q, size_t pad, char out[3])
{
	uint32_t v = 0;

	for (size_t i = 0; i < 4; i++) {
		int d = i < 4 - pad ? base64_value(q[i]) : 0;
		if (d < 0)
			return false;
		v = v << 6 | (uint32_t)d;
	}
	/* RFC 4648 3.5: pad bits must be zero. */
	if ((pad == 1 && (v & 0xff) != 0) || (pad == 2 && (v & 0xffff) != 0))
		return false;
	out[0] = (char)(v >> 16);
	out[1] = (char)(v >> 8);
	out[2] = (char)v;
	return true;
}

enum status
base64_decode(struct str s, struct buf *out)
{
	size_t pad = 0, w = 0;
	char *o, three[3];

	if (s.n % 4 != 0)
		return ST_SYNTAX;
	if (s.n > 0 && s.p[s.n - 1] == '=')
		pad = s.p[s.n - 2] == '=' ? 2 : 1;
	o = buf_reserve(out, s.n / 4 * 3 - pad);
	if (o == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < s.n; i += 4) {
		size_t missing = i + 4 == s.n ? pad : 0;

		if (!base64_group(s.p + i, missing, three))
			return ST_SYNTAX;
		memcpy(o + w, three, 3 - missing);
		w += 3 - missing;
	}
	buf_commit(out, w);
	return ST_OK;
}

enum status
hex_encode(struct str s, struct buf *out)
{
	static const char digits[] = "0123456789abcdef";
	char *o = buf_reserve(out, s.n * 2);

	if (o == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < s.n; i++) {
		*o++ = digits[(unsigned char)s.p[i] >> 4];
		*o++ = digits[(unsigned char)s.p[i] & 15];
	}
	buf_commit(out, s.n * 2);
	return ST_OK;
}

static int
hex_value(char c)
{
	if (char_is_digit(c))
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum status
hex_decode(struct str s, struct buf *out)
{
	char *o;

	if (s.n % 2 != 0)
		return ST_SYNTAX;
	o = buf_reserve(out, s.n / 2);
	if (o == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < s.n; i += 2) {
		int hi = hex_value(s.p[i]), lo = hex_value(s.p[i + 1]);

		if (hi < 0 || lo < 0)
			return ST_SYNTAX;
		o[i / 2] = (char)(hi << 4 | lo);
	}
	buf_commit(out, s.n / 2);
	return ST_OK;
}

static void
json_put_cp(struct buf *out, uint32_t cp)
{
	switch (cp) {
	case '"':
	case '\\':
		(void)buf_putf(out, "\\%c", (int)cp);
		break;
	case '\n':
		(void)buf_put(out, STR("\\n"));
		break;
	case '\r':
		(void)buf_put(out, STR("\\r"));
		break;
	case '\t':
		(void)buf_put(out, STR("\\t"));
		break;
	default:
		if (cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0x2028 || cp == 0x2029)
			(void)buf_putf(out, "\\u%04x", (unsigned)cp);
		else
			(void)utf8_put(out, cp);
	}
}

enum status
json_put_str(struct buf *out, struct str s)
{
	struct cur c = cur_of(s);
	uint32_t cp;

	(void)buf_put_c(out, '"');
	while (!cur_at_end(&c)) {
		if (!utf8_take(&c, &cp)) {
			cur_skip(&c, 1);
			cp = 0xfffd;
		}
		json_put_cp(out, cp);
	}
	(void)buf_put_c(out, '"');
	return out->full ? ST_LIMIT : ST_OK;
}
