/* Strangers' bytes as harmless text: one line, folded, wrapped, encoded. */
#include "base/enc.h"
#include "base/utf8.h"
#include "standards/date/date.h"
#include "standards/dsn/dsn_internal.h"

/* The last second of the year 9999, the last that a date-time can say. */
#define TIME_MAX 253402300799

/* A word longer than this is broken: with a field's name in front it is still under a line's 998.
 */
#define WORD_BYTES_MAX 900

/* Controls, and marks that hide or reorder what is around them: a reply must not lie to the eye. */
static bool
is_hidden(uint32_t cp)
{
	static const struct {
		uint32_t first, last;
	} table[] = {{0, 0x1f}, {0x7f, 0x9f}, {0x200b, 0x200b}, {0x200e, 0x200f}, {0x2028, 0x202e},
	    {0x2060, 0x206f}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb}, {0xe0000, 0xe007f}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (cp >= table[i].first && cp <= table[i].last)
			return true;
	return false;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
code_point_put(struct buf *out, struct cur *c, bool is_utf8)
{
	uint32_t cp;

	if (!utf8_take(c, &cp)) {
		cur_skip(c, 1);
		cp = 0xfffd;
	} else if (is_hidden(cp)) {
		cp = '?';
	}
	if (cp < 0x80 || is_utf8)
		(void)utf8_put(out, cp);
	else
		(void)buf_put_c(out, '?');
}

void
dsn_clean_put(struct buf *out, struct str s, size_t max, bool is_utf8)
{
	struct cur c = cur_of(utf8_prefix(s, max));
	size_t start = out->n;

	for (;;) {
		size_t spaces = cur_take_while(&c, is_space).n;

		if (cur_at_end(&c))
			break;
		if (spaces > 0 && out->n > start)
			(void)buf_put_c(out, ' ');
		code_point_put(out, &c, is_utf8);
	}
	if (s.n > max)
		(void)buf_put(out, STR("..."));
}

void
dsn_name_put(struct buf *out, struct str s)
{
	s = str_take(s, DSN_NAME_BYTES_MAX);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool is_ok = char_is_alnum(c) || (c != '\0' && strchr("-._:[]", c) != NULL);

		(void)buf_put_c(out, is_ok ? c : '?');
	}
}

/* ---- fields ---- */

/* The next word of clean text, cut where it is too long for any line. */
static struct str
word_next(struct str *rest)
{
	struct str word = str_take(*rest, str_find_char(*rest, ' '));

	if (word.n > WORD_BYTES_MAX)
		word = utf8_prefix(word, WORD_BYTES_MAX);
	*rest = str_from(*rest, word.n);
	if (rest->n > 0 && rest->p[0] == ' ')
		*rest = str_from(*rest, 1);
	return word;
}

/*
 * RFC 5322 2.2.3. Only at single spaces, which unfolding gives back; a word broken for its length
 * comes back with a space in it.
 */
static void
fold_put(struct buf *out, size_t column, struct str value)
{
	bool is_first = true;

	while (value.n > 0) {
		struct str word = word_next(&value);

		if (!is_first && column + 1 + word.n > DSN_LINE_BYTES_WANTED) {
			(void)buf_put(out, STR("\r\n"));
			column = 0;
		}
		if (!is_first) {
			(void)buf_put_c(out, ' ');
			column++;
		}
		(void)buf_put(out, word);
		column += word.n;
		is_first = false;
	}
	(void)buf_put(out, STR("\r\n"));
}

void
dsn_field_put(struct buf *out, struct str name, struct str value)
{
	(void)buf_put(out, name);
	(void)buf_put(out, STR(": "));
	fold_put(out, name.n + 2, value);
}

/* RFC 2047 2: a word has at most 75 characters, 12 of them frame; 45 bytes are 60 in base64. */
static void
encoded_words_put(struct buf *out, struct str value)
{
	while (value.n > 0) {
		struct str piece = utf8_prefix(value, 45);

		(void)buf_put(out, STR("\r\n =?utf-8?B?"));
		(void)base64_encode(piece, out);
		(void)buf_put(out, STR("?="));
		value = str_from(value, piece.n);
	}
	(void)buf_put(out, STR("\r\n"));
}

void
dsn_text_field_put(
    struct buf *out, struct str name, struct str prefix, struct str value, bool is_utf8)
{
	/* Text that looks like an encoded word is encoded too, so that it is not decoded once more.
	 */
	bool is_plain = (is_utf8 || utf8_is_ascii(value)) && str_find(value, STR("=?")) == value.n;
	size_t start = out->n;

	(void)buf_put(out, name);
	(void)buf_put(out, STR(": "));
	(void)buf_put(out, prefix);
	if (!is_plain) {
		encoded_words_put(out, value);
		return;
	}
	if (value.n > 0)
		(void)buf_put_c(out, ' ');
	fold_put(out, out->n - start, value);
}

void
dsn_date_put(struct buf *out, uint64_t unix_s)
{
	(void)date_format_5322(out, unix_s > TIME_MAX ? TIME_MAX : (int64_t)unix_s, 0);
}

void
dsn_date_field_put(struct buf *out, struct str name, uint64_t unix_s)
{
	if (unix_s == 0)
		return;
	(void)buf_put(out, name);
	(void)buf_put(out, STR(": "));
	dsn_date_put(out, unix_s);
	(void)buf_put(out, STR("\r\n"));
}

/* ---- bodies ---- */

static size_t
columns_of(struct str s)
{
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

static void
spaces_put(struct buf *out, size_t n)
{
	while (n-- > 0)
		(void)buf_put_c(out, ' ');
}

void
dsn_wrap_put(struct buf *out, size_t indent, struct str words)
{
	size_t column = 0;

	while (words.n > 0) {
		struct str word;
		size_t columns;

		(void)str_split(words, ' ', &word, &words);
		columns = columns_of(word);
		if (column > 0 && column + 1 + columns > DSN_LINE_BYTES_WANTED) {
			(void)buf_put(out, STR("\r\n"));
			column = 0;
		}
		spaces_put(out, column == 0 ? indent : 1);
		column += (column == 0 ? indent : 1) + columns;
		(void)buf_put(out, word);
	}
	(void)buf_put(out, STR("\r\n"));
}

/* How many columns text[i] takes, and whether it must be written =XX. */
static bool
qp_is_escaped(struct str text, size_t i)
{
	char c = text.p[i];

	/* RFC 2045 6.7 (3): white space at the end of a line would not survive. */
	if (c == ' ' || c == '\t')
		return i + 1 == text.n || str_has_prefix(str_from(text, i + 1), STR("\r\n"));
	return c < ' ' || c > '~' || c == '=';
}

void
dsn_qp_put(struct buf *out, struct str text)
{
	size_t column = 0;

	for (size_t i = 0; i < text.n; i++) {
		bool is_escaped = qp_is_escaped(text, i);

		if (str_has_prefix(str_from(text, i), STR("\r\n"))) {
			(void)buf_put(out, STR("\r\n"));
			column = 0;
			i++;
			continue;
		}
		/* RFC 2045 6.7 (5): at most 76 characters with the soft line break's "=". */
		if (column + (is_escaped ? 3 : 1) > 75) {
			(void)buf_put(out, STR("=\r\n"));
			column = 0;
		}
		if (is_escaped)
			(void)buf_putf(out, "=%02X", (unsigned)(unsigned char)text.p[i]);
		else
			(void)buf_put_c(out, text.p[i]);
		column += is_escaped ? 3 : 1;
	}
}

bool
dsn_lines_are_clean(struct str s)
{
	size_t column = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\r' && i + 1 < s.n && s.p[i + 1] == '\n') {
			column = 0;
			i++;
		} else if (s.p[i] == '\0' || s.p[i] == '\r' || s.p[i] == '\n' ||
			   ++column > DSN_LINE_BYTES_MAX) {
			return false;
		}
	}
	return true;
}
