/* The two ways in which envelope parameters and status fields write odd characters. */
#include "base/utf8.h"
#include "standards/address/address.h"
#include "standards/dsn/dsn_internal.h"

static int
hex_value(char c)
{
	if (char_is_digit(c))
		return c - '0';
	/* RFC 3461 4: hexchar has capitals only. */
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3461 4: xchar is printable ASCII but "+" and "="; "+" and two digits stand for any byte. */
enum status
dsn_xtext_decode(struct str s, struct buf *out)
{
	size_t start = out->n;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		int hi = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
		int lo = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;

		if (c == '+' && hi >= 0 && lo >= 0) {
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c < '!' || c > '~' || c == '+' || c == '=') {
			out->n = start;
			return ST_SYNTAX;
		}
		(void)buf_put_c(out, c);
	}
	return ST_OK;
}

/* At "\x{": takes 2 to 6 hexadecimal digits and "}". */
static bool
hexpoint_take(struct cur *c, uint32_t *cp_out)
{
	struct cur try = *c;
	struct str digits;
	uint32_t cp = 0;

	if (!cur_lit(&try, "\\x{") || !cur_take_until(&try, '}', 6, &digits) || digits.n < 2)
		return false;
	for (size_t i = 0; i < digits.n; i++) {
		int v = hex_value(char_upper(digits.p[i]));

		if (v < 0)
			return false;
		cp = cp << 4 | (uint32_t)v;
	}
	if ((cp >= 0xd800 && cp <= 0xdfff) || cp > 0x10ffff)
		return false;
	cur_skip(&try, 1);
	*c = try;
	*cp_out = cp;
	return true;
}

enum status
dsn_unitext_decode(struct str s, struct buf *out)
{
	struct cur c = cur_of(s);
	size_t start = out->n;
	uint32_t cp;

	while (!cur_at_end(&c)) {
		if (!hexpoint_take(&c, &cp) && (cur_peek(&c) == '\\' || !utf8_take(&c, &cp))) {
			out->n = start;
			return ST_SYNTAX;
		}
		(void)utf8_put(out, cp);
	}
	return ST_OK;
}

void
dsn_unitext_encode(struct str s, struct buf *out)
{
	struct cur c = cur_of(s);
	uint32_t cp;

	while (!cur_at_end(&c)) {
		if (!utf8_take(&c, &cp)) {
			cur_skip(&c, 1);
			cp = 0xfffd;
		}
		/* RFC 6533 3, QCHAR */
		if (cp >= '!' && cp <= '~' && cp != '\\' && cp != '+' && cp != '=')
			(void)buf_put_c(out, (char)cp);
		else
			(void)buf_putf(out, "\\x{%02X}", (unsigned)cp);
	}
}

static bool
is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

/* RFC 6533 3: decoded when that gives an address, else copied as it came. */
static void
utf8_address_put(struct buf *out, struct str written, bool is_utf8)
{
	struct buf plain;
	struct address a;

	buf_init(&plain, 4 * DSN_ORCPT_BYTES_MAX);
	if (dsn_unitext_decode(written, &plain) != ST_OK ||
	    address_parse(buf_str(&plain), true, &a) != ST_OK)
		dsn_clean_put(out, written, DSN_ORCPT_BYTES_MAX, is_utf8);
	else if (is_utf8)
		dsn_clean_put(out, buf_str(&plain), plain.n, true);
	else
		dsn_unitext_encode(buf_str(&plain), out);
	buf_fini(&plain);
}

/*
 * RFC 3461 4.2, 6.3 (d): the address is given back as it was before xtext; only printable ASCII may
 * have been encoded, what decodes to something else stays as it came.
 */
static void
xtext_address_put(struct buf *out, struct str written)
{
	struct buf plain;

	buf_init(&plain, DSN_ORCPT_BYTES_MAX);
	if (dsn_xtext_decode(written, &plain) == ST_OK && is_printable(buf_str(&plain)))
		dsn_clean_put(out, buf_str(&plain), plain.n, false);
	else
		dsn_clean_put(out, written, DSN_ORCPT_BYTES_MAX, false);
	buf_fini(&plain);
}

void
dsn_orcpt_put(struct buf *out, struct str orcpt, bool is_utf8)
{
	struct str type, written;

	if (!str_split(str_take(orcpt, DSN_ORCPT_BYTES_MAX), ';', &type, &written) || type.n == 0) {
		/* RFC 3464 2.3.1 */
		type = STR("unknown");
		written = str_take(orcpt, DSN_ORCPT_BYTES_MAX);
	}
	dsn_name_put(out, type);
	(void)buf_put_c(out, ';');
	if (str_eq_ci(type, STR("utf-8")))
		utf8_address_put(out, written, is_utf8);
	else
		xtext_address_put(out, written);
}
