#include "protocols/smtp/smtp_internal.h"

/* RFC 3461 4: upper case only. -1: no such digit. */
static int
hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
smtp_xtext_byte_take(struct cur *c, char *out)
{
	int first = cur_peek(c);

	if (first < 33 || first > 126 || first == '=')
		return false;
	if (first != '+') {
		*out = *c->p++;
		return true;
	}
	if (cur_left(c) < 3)
		return false;
	int high = hex_digit(c->p[1]), low = hex_digit(c->p[2]);
	if (high < 0 || low < 0)
		return false;
	*out = (char)(high << 4 | low);
	cur_skip(c, 3);
	return true;
}

bool
smtp_xtext_is_text(struct str s)
{
	struct cur c = cur_of(s);
	char byte;

	while (!cur_at_end(&c)) {
		if (!smtp_xtext_byte_take(&c, &byte))
			return false;
		/* RFC 3461 4.2, 4.4: graphic and white space characters of US-ASCII. */
		if (byte != '\t' && (byte < 32 || byte > 126))
			return false;
	}
	return true;
}

enum status
smtp_xtext_decode(struct str xtext, struct buf *out)
{
	struct cur c = cur_of(xtext);
	size_t n = out->n;
	char byte;

	while (!cur_at_end(&c)) {
		enum status st = ST_SYNTAX;
		if (smtp_xtext_byte_take(&c, &byte))
			st = buf_put_c(out, byte);
		if (st != ST_OK) {
			out->n = n;
			return st;
		}
	}
	return ST_OK;
}
