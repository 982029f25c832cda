/* Text of header fields: encoded words (RFC 2047), raw 8-bit (RFC 6532 and older habits). */
#include "base/utf8.h"
#include "standards/mime/charset.h"
#include "standards/mime/mime_internal.h"

struct word {
	struct str charset;
	struct str text;
	bool is_base64;
};

/* At "=?": takes a whole encoded word (RFC 2047 2). */
static bool
word_take(struct cur *c, struct word *out)
{
	struct cur try = *c;
	struct str encoding, language;
	size_t end;

	if (!cur_lit(&try, "=?") || !cur_take_until(&try, '?', MIME_WORD_BYTES_MAX, &out->charset))
		return false;
	cur_skip(&try, 1);
	if (!cur_take_until(&try, '?', 1, &encoding) || encoding.n != 1 || out->charset.n == 0)
		return false;
	cur_skip(&try, 1);
	out->is_base64 = char_lower(encoding.p[0]) == 'b';
	if (!out->is_base64 && char_lower(encoding.p[0]) != 'q')
		return false;
	out->text = str_take(cur_rest(&try), MIME_WORD_BYTES_MAX);
	end = str_find(out->text, STR("?="));
	if (end == out->text.n)
		return false;
	cur_skip(&try, end + 2);
	if ((size_t)(try.p - c->p) > MIME_WORD_BYTES_MAX)
		return false;
	out->text = str_take(out->text, end);
	/* RFC 2231 5: charset*language. */
	(void)str_split(out->charset, '*', &out->charset, &language);
	*c = try;
	return true;
}

/* RFC 2047 4.2 */
static enum status
q_decode(struct str in, struct buf *out)
{
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i] == '_' ? ' ' : in.p[i];
		int hi = i + 2 < in.n ? mime_hex_value(in.p[i + 1]) : -1;
		int lo = i + 2 < in.n ? mime_hex_value(in.p[i + 2]) : -1;

		if (c == '=' && hi >= 0 && lo >= 0) {
			c = (char)(hi << 4 | lo);
			i += 2;
		} else if (c == '\r' || c == '\n') {
			continue;
		}
		(void)buf_put_c(out, c);
	}
	return out->full ? ST_LIMIT : ST_OK;
}

static enum status
word_bytes_put(const struct word *w, struct buf *bytes)
{
	if (w->is_base64)
		return mime_body_decode(MIME_BASE64, w->text, bytes);
	return q_decode(w->text, bytes);
}

/* What was decoded is text of one line: an encoded CR, LF or NUL must not become one in whatever it
 * is put into. */
static void
controls_blank(struct buf *out, size_t from)
{
	for (size_t i = from; i < out->n; i++)
		if ((unsigned char)out->p[i] < ' ' || out->p[i] == 0x7f)
			out->p[i] = ' ';
}

/*
 * A word and those that follow with only white space between (which is dropped: RFC 2047 6.2).
 * Bytes of one charset are joined before they are converted, because mailers cut characters in two
 * at a word's end.
 */
static enum status
words_take(struct cur *c, struct word *w, size_t *words_left, struct buf *out)
{
	struct word next = *w;
	struct buf bytes;
	bool has_next = true;
	enum status st = ST_OK;

	buf_init(&bytes, (size_t)MIME_WORDS_MAX * MIME_WORD_BYTES_MAX);
	while (has_next && st == ST_OK) {
		struct cur try;

		st = word_bytes_put(&next, &bytes);
		try = *c;
		while (try.p < try.end && mime_is_space(*try.p))
			try.p++;
		has_next = *words_left > 0 && word_take(&try, &next);
		if (has_next) {
			*c = try;
			(*words_left)--;
		}
		if (st == ST_OK && (!has_next || !str_eq_ci(next.charset, w->charset))) {
			st = mime_charset_to_utf8(w->charset, buf_str(&bytes), out);
			buf_reset(&bytes);
			*w = next;
		}
	}
	buf_fini(&bytes);
	return st;
}

/* Text between encoded words, line ends dropped. */
static enum status
raw_put(struct str s, struct buf *out)
{
	while (s.n > 0) {
		size_t n = 0;

		while (n < s.n && s.p[n] != '\r' && s.p[n] != '\n')
			n++;
		if (n > 0 && mime_charset_to_utf8(STR_NULL, str_take(s, n), out) != ST_OK)
			return ST_LIMIT;
		s = str_from(s, n + 1);
	}
	return ST_OK;
}

/* Where the next "=?" is that starts a word; takes what stands before. */
static bool
raw_take(struct cur *c, struct word *w, size_t words_left, struct str *raw_out)
{
	struct cur try = *c;

	while (words_left > 0) {
		struct str rest = cur_rest(&try);
		size_t at = str_find(rest, STR("=?"));

		if (at == rest.n)
			break;
		cur_skip(&try, at);
		*raw_out = str_of(c->p, (size_t)(try.p - c->p));
		if (word_take(&try, w)) {
			*c = try;
			return true;
		}
		cur_skip(&try, 2);
	}
	*raw_out = cur_rest(c);
	c->p = c->end;
	return false;
}

enum status
mime_text_decode(struct str value, struct buf *out)
{
	struct cur c = cur_of(str_trim(value));
	size_t words_left = MIME_WORDS_MAX, from = out->n;
	enum status st = ST_OK;

	while (!cur_at_end(&c) && st == ST_OK) {
		struct word w;
		struct str raw;
		bool has_word = raw_take(&c, &w, words_left, &raw);

		st = raw_put(raw, out);
		if (has_word && st == ST_OK) {
			words_left--;
			st = words_take(&c, &w, &words_left, out);
		}
	}
	controls_blank(out, from);
	return st;
}

bool
mime_text_is_plain(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char b = (unsigned char)s.p[i];

		if (b < ' ' || b > '~' || (b == '=' && i + 1 < s.n && s.p[i + 1] == '?'))
			return false;
	}
	return true;
}

enum status
mime_text_decode_arena(struct str value, struct arena *a, size_t bytes_max, struct str *out)
{
	struct str s = str_trim(value);
	struct buf b;
	enum status st;

	*out = STR_NULL;
	if (mime_text_is_plain(s)) {
		*out = str_take(s, bytes_max);
		return ST_OK;
	}
	/* No need to go on far past the cut; 3 bytes more so that it falls on a border. */
	buf_init(&b, bytes_max + 4);
	(void)mime_text_decode(s, &b);
	st = arena_str(a, utf8_prefix(buf_str(&b), bytes_max), out);
	buf_fini(&b);
	return st;
}
