#include "protocols/smtp/smtp_reply.h"

#include "base/num.h"

void
smtp_reply_reader_init(struct smtp_reply_reader *r)
{
	*r = (struct smtp_reply_reader){.is_over = true};
}

/* Without its line end; taken_out counts it. */
static enum status
line_find(const struct cur *in, struct str *line_out, size_t *taken_out)
{
	size_t window = size_min(cur_left(in), SMTP_CLIENT_REPLY_LINE_MAX);
	const char *lf = window > 0 ? memchr(in->p, '\n', window) : NULL;
	size_t n;

	if (lf == NULL)
		return window == SMTP_CLIENT_REPLY_LINE_MAX ? ST_LIMIT : ST_MORE;
	n = (size_t)(lf - in->p);
	*taken_out = n + 1;
	n -= n > 0 && lf[-1] == '\r';
	*line_out = str_of(in->p, n);
	/* RFC 5321 2.3.8: a CR stands before an LF and nowhere else. */
	return n > 0 && memchr(in->p, '\r', n) != NULL ? ST_SYNTAX : ST_OK;
}

/* RFC 5321 4.2: three digits, then "-", a space, or nothing. */
static enum status
line_parse(struct str line, struct smtp_reply_line *out)
{
	const char *p = line.p;

	if (line.n < 3 || p[0] < '2' || p[0] > '5' || !char_is_digit(p[1]) || !char_is_digit(p[2]))
		return ST_SYNTAX;
	if (line.n > 3 && p[3] != '-' && p[3] != ' ')
		return ST_SYNTAX;
	out->code = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + (p[2] - '0'));
	out->is_last = line.n == 3 || p[3] == ' ';
	out->text = str_from(line, 4);
	return ST_OK;
}

/* 1 to 3 digits (RFC 3463 2). */
static bool
number_take(struct cur *c, uint16_t *out)
{
	unsigned v = 0, n = 0;

	for (; n < 3 && char_is_digit((char)cur_peek(c)); n++, cur_skip(c, 1))
		v = v * 10 + (unsigned)(cur_peek(c) - '0');
	*out = (uint16_t)v;
	return n > 0;
}

/* RFC 2034 4: at the front of the text, a space (or nothing) behind it, of the class of the code.
 */
static bool
enhanced_take(struct cur *c, uint16_t code, uint16_t out[3])
{
	struct cur try = *c;
	uint16_t v[3];

	for (int i = 0; i < 3; i++)
		if ((i > 0 && !cur_char(&try, '.')) || !number_take(&try, &v[i]))
			return false;
	if (v[0] != code / 100 || (!cur_at_end(&try) && !cur_char(&try, ' ')))
		return false;
	memcpy(out, v, sizeof(v));
	*c = try;
	return true;
}

static void
text_add(struct smtp_reply_reader *r, struct str s)
{
	size_t room = sizeof(r->text) - r->text_n;

	s = str_take(s, room);
	for (size_t i = 0; i < s.n; i++)
		r->text[r->text_n++] = s.p[i] >= 32 && s.p[i] <= 126 ? s.p[i] : '?';
}

static void
line_add(struct smtp_reply_reader *r, const struct smtp_reply_line *line)
{
	struct cur c = cur_of(line->text);
	uint16_t again[3];

	if (line->is_first) {
		(void)enhanced_take(&c, line->code, r->enhanced);
		text_add(r, line->text);
		return;
	}
	/* RFC 2034 4: every line repeats it. */
	if (r->enhanced[0] != 0 && enhanced_take(&c, line->code, again) &&
	    memcmp(again, r->enhanced, sizeof(again)) != 0)
		c = cur_of(line->text);
	if (r->text_n > 0)
		text_add(r, STR(" "));
	text_add(r, cur_rest(&c));
}

static void
reply_begin(struct smtp_reply_reader *r, uint16_t code)
{
	r->is_over = false;
	r->bytes = 0;
	r->lines = 0;
	r->text_n = 0;
	r->code = code;
	memset(r->enhanced, 0, sizeof(r->enhanced));
}

enum status
smtp_reply_take(struct smtp_reply_reader *r, struct cur *in, struct smtp_reply_line *line_out)
{
	struct smtp_reply_line parsed;
	struct str line;
	size_t taken;
	enum status st = line_find(in, &line, &taken);

	if (st == ST_OK)
		st = line_parse(line, &parsed);
	if (st != ST_OK)
		return st;
	parsed.is_first = r->is_over;
	/* RFC 5321 4.2.1: the code is the same on every line. */
	if (!parsed.is_first && parsed.code != r->code)
		return ST_SYNTAX;
	if (!parsed.is_first && (r->lines >= SMTP_CLIENT_REPLY_LINES_MAX ||
				    r->bytes + taken > SMTP_CLIENT_REPLY_BYTES_MAX))
		return ST_LIMIT;
	if (parsed.is_first)
		reply_begin(r, parsed.code);
	r->lines++;
	r->bytes += (uint32_t)taken;
	line_add(r, &parsed);
	r->is_over = parsed.is_last;
	cur_skip(in, taken);
	*line_out = parsed;
	return ST_OK;
}

struct smtp_reply
smtp_reply_get(const struct smtp_reply_reader *r)
{
	struct smtp_reply reply = {.code = r->code, .text = str_of(r->text, r->text_n)};

	CHECK(r->is_over);
	memcpy(reply.enhanced, r->enhanced, sizeof(reply.enhanced));
	return reply;
}
