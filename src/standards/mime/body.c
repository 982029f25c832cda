#include "base/num.h"
#include "standards/mime/charset.h"
#include "standards/mime/mime_internal.h"

enum {
	BASE64_SLICE = 2048, /* characters decoded at a time, on the stack */
};

enum qp_state {
	QP_TEXT,
	QP_EQUALS,  /* "=" was there */
	QP_HEX,	    /* "=" and one hex digit, which is in bits */
	QP_PADDING, /* "=" and white space: a soft line break with transport padding */
};

enum status
mime_put_fit(struct buf *out, struct str s)
{
	size_t room = out->max - out->n;

	if (s.n <= room)
		return buf_put(out, s);
	if (room > 0)
		(void)buf_put(out, str_take(s, room));
	out->full = true;
	return ST_LIMIT;
}

int
mime_hex_value(char c)
{
	if (char_is_digit(c))
		return c - '0';
	c = char_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void
mime_decoder_init(struct mime_decoder *d, enum mime_encoding encoding)
{
	d->encoding = encoding;
	d->state = QP_TEXT;
	d->bits_n = 0;
	d->bits = 0;
	d->space_n = 0;
}

/* ---- base64 ---- */

enum { BASE64_JUNK = 0, BASE64_PAD = 65 };

/* By ASCII code: the value plus one; the upper half is junk. */
static const uint8_t base64_values[256] = {
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    63,
    0,
    0,
    0,
    64,
    53,
    54,
    55,
    56,
    57,
    58,
    59,
    60,
    61,
    62,
    0,
    0,
    0,
    65,
    0,
    0,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    23,
    24,
    25,
    26,
    0,
    0,
    0,
    0,
    0,
    0,
    27,
    28,
    29,
    30,
    31,
    32,
    33,
    34,
    35,
    36,
    37,
    38,
    39,
    40,
    41,
    42,
    43,
    44,
    45,
    46,
    47,
    48,
    49,
    50,
    51,
    52,
    0,
    0,
    0,
    0,
    0,
};

/* What an unfinished group of 2 or 3 characters holds; returns how many bytes. */
static size_t
base64_flush(struct mime_decoder *d, char *w)
{
	size_t n = d->bits_n >= 2 ? (size_t)d->bits_n - 1 : 0;
	uint32_t v = d->bits << (6 * (4 - d->bits_n));

	if (n > 0)
		w[0] = (char)(v >> 16);
	if (n > 1)
		w[1] = (char)(v >> 8);
	d->bits_n = 0;
	d->bits = 0;
	return n;
}

static size_t
base64_slice(struct mime_decoder *d, struct str in, char *w)
{
	size_t n = 0;

	for (size_t i = 0; i < in.n; i++) {
		uint32_t v = base64_values[(unsigned char)in.p[i]];

		if (v == BASE64_PAD)
			n += base64_flush(d, w + n);
		if (v == BASE64_JUNK || v == BASE64_PAD)
			continue;
		d->bits = d->bits << 6 | (v - 1);
		if (++d->bits_n < 4)
			continue;
		w[n++] = (char)(d->bits >> 16);
		w[n++] = (char)(d->bits >> 8);
		w[n++] = (char)d->bits;
		d->bits_n = 0;
		d->bits = 0;
	}
	return n;
}

static enum status
base64_feed(struct mime_decoder *d, struct str in, struct buf *out)
{
	char w[BASE64_SLICE + 4]; /* "A=A=A=" cannot give more than a byte a character */

	while (in.n > 0) {
		struct str slice = str_take(in, BASE64_SLICE);

		if (mime_put_fit(out, str_of(w, base64_slice(d, slice, w))) != ST_OK)
			return ST_LIMIT;
		in = str_from(in, slice.n);
	}
	return ST_OK;
}

/* ---- quoted-printable ---- */

/* A line's text before its LF, without white space at the end but with its CR (RFC 2045 6.7 (3)).
 */
static enum status
qp_line_put(struct buf *out, struct str line, bool has_lf)
{
	bool has_cr = line.n > 0 && line.p[line.n - 1] == '\r';

	if (has_cr)
		line.n--;
	while (line.n > 0 && mime_is_wsp(line.p[line.n - 1]))
		line.n--;
	if (mime_put_fit(out, line) != ST_OK)
		return ST_LIMIT;
	if (has_cr && mime_put_fit(out, STR("\r")) != ST_OK)
		return ST_LIMIT;
	return has_lf ? mime_put_fit(out, STR("\n")) : ST_OK;
}

static bool
qp_is_held(char c)
{
	return mime_is_wsp(c) || c == '\r';
}

static enum status
qp_held_flush(struct mime_decoder *d, struct buf *out)
{
	size_t n = d->space_n;

	d->space_n = 0;
	return mime_put_fit(out, str_of(d->space, n));
}

/* Continues white space held from before; leaves c at something else or at the end. */
static enum status
qp_held_take(struct mime_decoder *d, struct cur *c, struct buf *out)
{
	while (d->space_n > 0 && !cur_at_end(c)) {
		size_t n = d->space_n;

		if (*c->p == '\n') {
			d->space_n = 0;
			c->p++;
			return qp_line_put(out, str_of(d->space, n), true);
		}
		if (!qp_is_held(*c->p) || n == sizeof(d->space))
			return qp_held_flush(d, out);
		d->space[d->space_n++] = *c->p++;
	}
	return ST_OK;
}

/* Text up to "=" or the end; ends lines. */
static enum status
qp_text_take(struct mime_decoder *d, struct cur *c, struct buf *out)
{
	struct str run = cur_rest(c);
	size_t equals = str_find_char(run, '='), lf;

	run = str_take(run, equals);
	c->p += run.n;
	if (!cur_at_end(c)) {
		c->p++;
		d->state = QP_EQUALS;
	}
	while ((lf = str_find_char(run, '\n')) < run.n) {
		if (qp_line_put(out, str_take(run, lf), true) != ST_OK)
			return ST_LIMIT;
		run = str_from(run, lf + 1);
	}
	if (d->state == QP_TEXT)
		while (run.n > 0 && d->space_n < sizeof(d->space) && qp_is_held(run.p[run.n - 1])) {
			d->space_n++;
			run.n--;
		}
	if (d->space_n > 0)
		memcpy(d->space, run.p + run.n, d->space_n);
	return mime_put_fit(out, run);
}

/* The byte after "=", white space after "=", or the second digit. */
static enum status
qp_escape_take(struct mime_decoder *d, struct cur *c, struct buf *out)
{
	char ch = *c->p, first;
	int v = mime_hex_value(ch);

	if (d->state == QP_HEX) {
		first = (char)d->bits;
		d->state = QP_TEXT;
		if (v < 0) {
			char literal[2] = {'=', first};
			return mime_put_fit(out, str_of(literal, 2));
		}
		ch = (char)(mime_hex_value(first) << 4 | v);
		c->p++;
		return mime_put_fit(out, str_of(&ch, 1));
	}
	if (v >= 0 && d->state == QP_EQUALS) {
		d->state = QP_HEX;
		d->bits = (unsigned char)ch;
		c->p++;
	} else if (qp_is_held(ch)) {
		d->state = QP_PADDING;
		c->p++;
	} else if (ch == '\n') {
		d->state = QP_TEXT;
		c->p++;
	} else {
		/* RFC 2045 6.7: an "=" that starts nothing stays; with white space after it that is
		 * kept as one. */
		struct str literal = d->state == QP_PADDING ? STR("= ") : STR("=");

		d->state = QP_TEXT;
		return mime_put_fit(out, literal);
	}
	return ST_OK;
}

static enum status
qp_feed(struct mime_decoder *d, struct str in, struct buf *out)
{
	struct cur c = cur_of(in);

	while (!cur_at_end(&c)) {
		enum status st;

		if (d->state != QP_TEXT)
			st = qp_escape_take(d, &c, out);
		else if (d->space_n > 0)
			st = qp_held_take(d, &c, out);
		else
			st = qp_text_take(d, &c, out);
		if (st != ST_OK)
			return st;
	}
	return ST_OK;
}

static enum status
qp_finish(struct mime_decoder *d, struct buf *out)
{
	char literal[2] = {'=', (char)d->bits};

	if (d->state == QP_HEX)
		return mime_put_fit(out, str_of(literal, 2));
	return qp_line_put(out, str_of(d->space, d->space_n), false);
}

enum status
mime_decoder_feed(struct mime_decoder *d, struct str in, struct buf *out)
{
	switch (d->encoding) {
	case MIME_BASE64:
		return base64_feed(d, in, out);
	case MIME_QUOTED_PRINTABLE:
		return qp_feed(d, in, out);
	case MIME_7BIT:
	case MIME_8BIT:
	case MIME_BINARY:
	case MIME_ENCODING_OTHER:
		break;
	}
	return mime_put_fit(out, in);
}

enum status
mime_decoder_finish(struct mime_decoder *d, struct buf *out)
{
	char w[2];

	if (d->encoding == MIME_BASE64)
		return mime_put_fit(out, str_of(w, base64_flush(d, w)));
	return d->encoding == MIME_QUOTED_PRINTABLE ? qp_finish(d, out) : ST_OK;
}

enum status
mime_body_decode(enum mime_encoding encoding, struct str in, struct buf *out)
{
	struct mime_decoder d;
	enum status st;

	mime_decoder_init(&d, encoding);
	st = mime_decoder_feed(&d, in, out);
	return st == ST_OK ? mime_decoder_finish(&d, out) : st;
}

enum status
mime_text_body_decode(const struct mime_part *part, struct str body, struct buf *out)
{
	const struct mime_param *charset = mime_param_find(part->params, STR("charset"));
	struct str name = charset != NULL ? charset->value : STR_NULL;
	struct buf plain;
	enum status st;

	if (part->encoding != MIME_BASE64 && part->encoding != MIME_QUOTED_PRINTABLE)
		return mime_charset_to_utf8(name, body, out);
	/* No encoding here makes a body longer. */
	buf_init(&plain, size_max(body.n, 1));
	st = mime_body_decode(part->encoding, body, &plain);
	if (st == ST_OK)
		st = mime_charset_to_utf8(name, buf_str(&plain), out);
	buf_fini(&plain);
	return st;
}

enum status
mime_part_text(const struct mime_part *part, struct buf *out)
{
	return mime_text_body_decode(part, part->body, out);
}
