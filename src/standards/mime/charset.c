#include "standards/mime/charset.h"

#include <unicode/ucnv.h>
#include <unicode/utf16.h>

#include "base/check.h"
#include "base/num.h"
#include "base/utf8.h"
#include "standards/mime/mime_internal.h"

enum {
	CHARSET_NAME_BYTES_MAX = 40, /* IANA registers at most 40 */
	CHARSET_UNITS_MAX = 512,     /* UTF-16 units converted at a time */
};

/*
 * Names are compared lower-case and without anything that is no letter or digit, so
 * "ISO_8859-2:1987" needs an entry and "iso-8859-2" and "ISO8859-2" share one.
 */
static struct charset {
	const char *icu;       /* what ucnv_open is given */
	const char *aliases;   /* space-separated, with a space at both ends */
	UConverter *converter; /* NULL until preloaded */
} charsets[] = {
    {"iso-8859-2", " iso88592 latin2 l2 iso885921987 ", NULL},
    {"iso-8859-3", " iso88593 latin3 ", NULL},
    {"iso-8859-4", " iso88594 latin4 ", NULL},
    {"iso-8859-5", " iso88595 cyrillic ", NULL},
    {"iso-8859-6", " iso88596 arabic iso88596i iso88596e ", NULL},
    {"iso-8859-7", " iso88597 greek iso885971987 elot928 ", NULL},
    {"iso-8859-8", " iso88598 hebrew iso88598i iso88598e ", NULL},
    {"windows-1254", " iso88599 latin5 windows1254 cp1254 xcp1254 ", NULL},
    {"iso-8859-10", " iso885910 latin6 ", NULL},
    {"iso-8859-13", " iso885913 ", NULL},
    {"iso-8859-14", " iso885914 latin8 ", NULL},
    {"iso-8859-15", " iso885915 latin9 ", NULL},
    {"windows-874", " windows874 tis620 iso885911 cp874 ", NULL},
    {"windows-1250", " windows1250 cp1250 xcp1250 ", NULL},
    {"windows-1251", " windows1251 cp1251 xcp1251 win1251 ", NULL},
    {"windows-1253", " windows1253 cp1253 ", NULL},
    {"windows-1255", " windows1255 cp1255 ", NULL},
    {"windows-1256", " windows1256 cp1256 ", NULL},
    {"windows-1257", " windows1257 cp1257 ", NULL},
    {"windows-1258", " windows1258 cp1258 ", NULL},
    {"koi8-r", " koi8r koi8 cskoi8r ", NULL},
    {"koi8-u", " koi8u koi8ru ", NULL},
    {"ibm-437", " ibm437 cp437 ", NULL},
    {"ibm-850", " ibm850 cp850 ", NULL},
    {"ibm-852", " ibm852 cp852 ", NULL},
    {"ibm-866", " ibm866 cp866 ", NULL},
    {"macintosh", " macintosh mac xmacroman macroman ", NULL},
    {"x-mac-cyrillic", " xmaccyrillic maccyrillic ", NULL},
    /* GB 2312 and GBK are subsets of GB 18030 (WHATWG does the same). */
    {"gb18030", " gb18030 gbk gb2312 cp936 ms936 windows936 xgbk euccn csgb2312 gb231280 ", NULL},
    {"hz-gb-2312", " hzgb2312 hz ", NULL},
    {"big5", " big5 xxbig5 cnbig5 csbig5 cp950 ", NULL},
    {"big5-hkscs", " big5hkscs ", NULL},
    {"windows-31j", " shiftjis sjis xsjis windows31j cp932 ms932 mskanji cswindows31j ", NULL},
    {"euc-jp", " eucjp xeucjp ujis ", NULL},
    {"iso-2022-jp", " iso2022jp csiso2022jp ", NULL},
    {"iso-2022-jp-2", " iso2022jp2 iso2022jp1 iso2022jpms ", NULL},
    {"windows-949", " euckr ksc56011987 ksc5601 cp949 windows949 uhc ksc56011989 ", NULL},
    {"iso-2022-kr", " iso2022kr ", NULL},
    {"iso-2022-cn", " iso2022cn ", NULL},
    {"utf-7", " utf7 unicode11utf7 ", NULL},
    {"utf-16", " utf16 ", NULL},
    {"utf-16le", " utf16le ", NULL},
    {"utf-16be", " utf16be ", NULL},
    {"utf-32", " utf32 ", NULL},
};

void
mime_charset_preload(void)
{
	for (size_t i = 0; i < COUNT_OF(charsets); i++) {
		UErrorCode err = U_ZERO_ERROR;

		if (charsets[i].converter == NULL)
			charsets[i].converter = ucnv_open(charsets[i].icu, &err);
		if (U_FAILURE(err))
			charsets[i].converter = NULL;
	}
}

enum charset_kind {
	CHARSET_GUESS,
	CHARSET_UTF8,
	CHARSET_WINDOWS_1252,
	CHARSET_ICU,
	CHARSET_UNKNOWN,
};

/* " name " with the name folded, for a search in an alias list; empty when it is too long. */
static struct str
name_fold(struct str name, char out[CHARSET_NAME_BYTES_MAX + 2])
{
	size_t n = 0;

	if (name.n > CHARSET_NAME_BYTES_MAX)
		return STR_NULL;
	out[n++] = ' ';
	for (size_t i = 0; i < name.n; i++)
		if (char_is_alnum(name.p[i]))
			out[n++] = char_lower(name.p[i]);
	out[n++] = ' ';
	return str_of(out, n);
}

static bool
is_alias(const char *aliases, struct str folded)
{
	struct str all = str_of_c(aliases);

	return str_find(all, folded) < all.n;
}

static enum charset_kind
charset_find(struct str name, UConverter **converter_out)
{
	char space[CHARSET_NAME_BYTES_MAX + 2];
	struct str folded;

	if (str_eq_ci(name, STR("utf-8")))
		return CHARSET_UTF8;
	if (name.n == 0 || str_eq_ci(name, STR("us-ascii")))
		return CHARSET_GUESS;
	folded = name_fold(name, space);
	if (folded.n <= 2)
		return CHARSET_UNKNOWN;
	if (is_alias(" usascii ascii ansix341968 unknown8bit iso646us xunknown unknown default ",
		folded))
		return CHARSET_GUESS;
	if (is_alias(" utf8 unicode11utf8 xutf8 utf8mb4 ", folded))
		return CHARSET_UTF8;
	if (is_alias(" iso88591 latin1 l1 iso885911987 windows1252 cp1252 xcp1252 ibm819 cp819 ",
		folded))
		return CHARSET_WINDOWS_1252;
	for (size_t i = 0; i < COUNT_OF(charsets); i++)
		if (charsets[i].converter != NULL && is_alias(charsets[i].aliases, folded)) {
			*converter_out = charsets[i].converter;
			return CHARSET_ICU;
		}
	return CHARSET_UNKNOWN;
}

bool
mime_charset_is_known(struct str name)
{
	UConverter *unused;

	return charset_find(name, &unused) != CHARSET_UNKNOWN;
}

/* How many ASCII bytes s starts with. */
static size_t
ascii_run(struct str s)
{
	size_t i = 0;

	for (; i + 8 <= s.n; i += 8)
		if ((le64_get(s.p + i) & 0x8080808080808080u) != 0)
			break;
	while (i < s.n && (unsigned char)s.p[i] < 0x80)
		i++;
	return i;
}

static uint32_t
windows_1252(unsigned char b)
{
	/* The C1 range; 0 where windows-1252 assigns nothing. */
	static const uint16_t c1[32] = {0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
	    0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d,
	    0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178};

	if (b < 0x80 || b > 0x9f)
		return b;
	return c1[b - 0x80] != 0 ? c1[b - 0x80] : 0xfffd;
}

/* Byte by byte after each ASCII run: table says what an 8-bit byte is, NULL makes all U+FFFD. */
static enum status
single_byte_put(struct str text, uint32_t (*table)(unsigned char), struct buf *out)
{
	while (text.n > 0) {
		size_t n = ascii_run(text);
		unsigned char b;

		if (mime_put_fit(out, str_take(text, n)) != ST_OK)
			return ST_LIMIT;
		text = str_from(text, n);
		if (text.n == 0)
			break;
		b = (unsigned char)text.p[0];
		if (utf8_put(out, table != NULL ? table(b) : 0xfffd) != ST_OK)
			return ST_LIMIT;
		text = str_from(text, 1);
	}
	return ST_OK;
}

/* UTF-8, if perhaps cut inside its last character. */
static bool
is_utf8_start(struct str text)
{
	struct cur c = cur_of(text);
	uint32_t cp;

	while (cur_left(&c) > 0) {
		cur_skip(&c, ascii_run(cur_rest(&c)));
		if (!cur_at_end(&c) && !utf8_take(&c, &cp))
			break;
	}
	if (cur_left(&c) > 3)
		return false;
	for (size_t i = 0; i < cur_left(&c); i++)
		if (i == 0 ? (unsigned char)c.p[i] < 0xc2 : ((unsigned char)c.p[i] & 0xc0) != 0x80)
			return false;
	/* One lone byte is Latin text that ends in a letter, when there is nothing else to tell. */
	return cur_at_end(&c) || c.p - text.p > (ptrdiff_t)ascii_run(text);
}

static enum status
utf8_text_put(struct str text, struct buf *out)
{
	struct cur c = cur_of(text);
	uint32_t cp;

	while (!cur_at_end(&c)) {
		struct str run = str_take(cur_rest(&c), ascii_run(cur_rest(&c)));

		if (mime_put_fit(out, run) != ST_OK)
			return ST_LIMIT;
		cur_skip(&c, run.n);
		if (cur_at_end(&c))
			break;
		if (!utf8_take(&c, &cp)) {
			cur_skip(&c, 1);
			cp = 0xfffd;
		}
		if (utf8_put(out, cp) != ST_OK)
			return ST_LIMIT;
	}
	return ST_OK;
}

static enum status
units_put(const UChar *u, size_t n, struct buf *out)
{
	for (size_t i = 0; i < n;) {
		/* NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): ICU has written n of them. */
		uint32_t cp = u[i++];

		if (U16_IS_LEAD(cp) && i < n && U16_IS_TRAIL(u[i]))
			cp = (uint32_t)U16_GET_SUPPLEMENTARY(cp, u[i++]);
		/* ICU's substitute for single-byte charsets is U+001A; ours is one for all. */
		if (U16_IS_SURROGATE(cp) || cp == 0x1a)
			cp = 0xfffd;
		if (utf8_put(out, cp) != ST_OK)
			return ST_LIMIT;
	}
	return ST_OK;
}

static enum status
icu_put(UConverter *converter, struct str text, struct buf *out)
{
	UChar units[CHARSET_UNITS_MAX];
	const char *p = text.p, *end = text.p + text.n;
	UErrorCode err;

	ucnv_resetToUnicode(converter);
	do {
		UChar *u = units;
		size_t n;

		err = U_ZERO_ERROR;
		/* One unit short, so that a surrogate pair cut here can be completed below. */
		ucnv_toUnicode(
		    converter, &u, units + CHARSET_UNITS_MAX - 1, &p, end, NULL, true, &err);
		n = (size_t)(u - units);
		if (err == U_BUFFER_OVERFLOW_ERROR && n > 0 && U16_IS_LEAD(units[n - 1])) {
			UErrorCode more = U_ZERO_ERROR;

			ucnv_toUnicode(
			    converter, &u, units + CHARSET_UNITS_MAX, &p, end, NULL, true, &more);
			n = (size_t)(u - units);
			err = more;
		}
		if (units_put(units, n, out) != ST_OK)
			return ST_LIMIT;
	} while (err == U_BUFFER_OVERFLOW_ERROR);
	return ST_OK;
}

enum status
mime_charset_to_utf8(struct str name, struct str text, struct buf *out)
{
	UConverter *converter = NULL;

	switch (charset_find(name, &converter)) {
	case CHARSET_GUESS:
		return is_utf8_start(text) ? utf8_text_put(text, out)
					   : single_byte_put(text, windows_1252, out);
	case CHARSET_UTF8:
		return utf8_text_put(text, out);
	case CHARSET_WINDOWS_1252:
		return single_byte_put(text, windows_1252, out);
	case CHARSET_ICU:
		return text.n > 0 ? icu_put(converter, text, out) : ST_OK;
	case CHARSET_UNKNOWN:
		return single_byte_put(text, NULL, out);
	}
	return ST_OK;
}
