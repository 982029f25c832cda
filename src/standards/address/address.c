#include "standards/address/address.h"

#include <arpa/inet.h>

#include "base/utf8.h"
#include "standards/address/idna.h"

/* RFC 5322 3.2.3 */
static bool
is_atext(char c)
{
	return char_is_alnum(c) || (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * RFC 6532 3.1 UTF8-non-ascii, less the control characters U+0080 to U+009F: RFC 5321 4.1.2 forbids
 * the controls it knew, and nothing good comes of the others in a log or on a terminal.
 */
static bool
utf8_non_ascii_take(struct cur *c)
{
	struct cur try = *c;
	uint32_t cp;

	if (cur_peek(c) < 0x80 || !utf8_take(&try, &cp) || cp < 0xa0)
		return false;
	*c = try;
	return true;
}

static bool
atom_take(struct cur *c, bool *is_utf8)
{
	const char *start = c->p;

	for (;;) {
		(void)cur_take_while(c, is_atext);
		if (!utf8_non_ascii_take(c))
			return c->p > start;
		*is_utf8 = true;
	}
}

/* RFC 5321 4.1.2 Dot-string */
static bool
dot_string_take(struct cur *c, bool *is_utf8)
{
	do {
		if (!atom_take(c, is_utf8))
			return false;
	} while (cur_char(c, '.'));
	return true;
}

/* RFC 5321 4.1.2 qtextSMTP: all printable ASCII and space but the quote and the backslash. */
static bool
is_qtext(char c)
{
	return c >= 32 && c <= 126 && c != '"' && c != '\\';
}

static bool
is_quotable(char c)
{
	return c >= 32 && c <= 126;
}

/* After the opening quote, up to and with the closing one. */
static bool
quoted_string_rest_take(struct cur *c, bool *is_utf8)
{
	while (!cur_char(c, '"')) {
		if (cur_char(c, '\\')) {
			int next = cur_peek(c);
			if (next < 0 || !is_quotable((char)next))
				return false;
			cur_skip(c, 1);
		} else if (utf8_non_ascii_take(c)) {
			*is_utf8 = true;
		} else if (cur_take_while(c, is_qtext).n == 0) {
			return false;
		}
	}
	return true;
}

static enum status
local_take(struct cur *c, struct address *a)
{
	const char *start = c->p;
	bool ok;

	a->is_quoted = cur_char(c, '"');
	ok = a->is_quoted ? quoted_string_rest_take(c, &a->is_utf8)
			  : dot_string_take(c, &a->is_utf8);
	if (!ok)
		return ST_SYNTAX;
	a->local = str_of(start, (size_t)(c->p - start));
	return ST_OK;
}

/* sub-domain of RFC 5321 4.1.2, or a U-label as far as grammar goes (RFC 6531 3.3). */
static enum status
label_take(struct cur *c, bool *is_utf8)
{
	const char *start = c->p;
	bool is_ascii = true;
	size_t n;

	for (;;) {
		int b = cur_peek(c);
		if (b >= 0 && (char_is_alnum((char)b) || b == '-'))
			cur_skip(c, 1);
		else if (utf8_non_ascii_take(c))
			is_ascii = false;
		else
			break;
	}
	n = (size_t)(c->p - start);
	if (n == 0 || start[0] == '-' || start[n - 1] == '-')
		return ST_SYNTAX;
	*is_utf8 = *is_utf8 || !is_ascii;
	/* The length of a U-label is known only when it is an A-label. */
	return is_ascii && n > ADDRESS_LABEL_MAX ? ST_LIMIT : ST_OK;
}

static enum status
domain_take(struct cur *c, bool *is_utf8, struct str *out)
{
	const char *start = c->p;
	enum status st = ST_OK, one;

	do {
		one = label_take(c, is_utf8);
		if (one == ST_SYNTAX)
			return ST_SYNTAX;
		if (one != ST_OK)
			st = one;
	} while (cur_char(c, '.'));
	*out = str_of(start, (size_t)(c->p - start));
	return out->n > ADDRESS_DOMAIN_MAX ? ST_LIMIT : st;
}

/* The bytes of an address in text; inet_pton wants a NUL. */
static bool
ip_parse(int family, struct str text, void *bytes_out)
{
	char z[INET6_ADDRSTRLEN];

	if (text.n >= sizeof(z) || memchr(text.p, 0, text.n) != NULL)
		return false;
	memcpy(z, text.p, text.n);
	z[text.n] = 0;
	return inet_pton(family, z, bytes_out) == 1;
}

/* RFC 5321 4.1.3 dcontent */
static bool
is_dcontent(char c)
{
	return (c >= 33 && c <= 90) || (c >= 94 && c <= 126);
}

static bool
is_ldh(char c)
{
	return char_is_alnum(c) || c == '-';
}

/* RFC 5321 4.1.3 General-address-literal; IANA has registered no tag but IPv6. */
static bool
is_general_literal(struct str body)
{
	struct cur c = cur_of(body);
	struct str tag = cur_take_while(&c, is_ldh);

	return tag.n > 0 && tag.p[tag.n - 1] != '-' && !str_eq_ci(tag, STR("IPv6")) &&
	       cur_char(&c, ':') && cur_take_while(&c, is_dcontent).n > 0 && cur_at_end(&c);
}

/*
 * address-literal (RFC 5321 4.1.3). Two readings: leading zeros in IPv4 are refused (octal to some,
 * decimal to others), and "::" may stand for a single group, as RFC 4291 2.2 has it.
 */
static enum status
literal_take(struct cur *c, struct str *out)
{
	static const struct str tag = STR_INIT("IPv6:");
	const char *start = c->p;
	unsigned char ip[16];
	struct str body;

	if (!cur_char(c, '[') || !cur_take_until(c, ']', ADDRESS_MAX, &body))
		return ST_SYNTAX;
	cur_skip(c, 1);
	*out = str_of(start, (size_t)(c->p - start));
	if (str_has_prefix_ci(body, tag))
		return ip_parse(AF_INET6, str_from(body, tag.n), ip) ? ST_OK : ST_SYNTAX;
	if (ip_parse(AF_INET, body, ip))
		return ST_OK;
	return is_general_literal(body) ? ST_UNSUPPORTED : ST_SYNTAX;
}

/* Mailbox of RFC 5321 4.1.2. Takes as far as the grammar goes; limits and policy only after it
 * fits. */
static enum status
mailbox_take(struct cur *c, bool allow_utf8, struct address *a)
{
	enum status st;

	if (local_take(c, a) != ST_OK || !cur_char(c, '@'))
		return ST_SYNTAX;
	a->is_literal = cur_peek(c) == '[';
	st = a->is_literal ? literal_take(c, &a->domain) : domain_take(c, &a->is_utf8, &a->domain);
	if (st != ST_OK)
		return st;
	if (a->is_utf8 && !allow_utf8)
		return ST_UNSUPPORTED;
	if (a->local.n > ADDRESS_LOCAL_MAX || a->local.n + 1 + a->domain.n > ADDRESS_MAX)
		return ST_LIMIT;
	return ST_OK;
}

/* A-d-l ":" of RFC 5321 4.1.2 */
static bool
route_take(struct cur *c)
{
	struct str domain;
	bool is_utf8 = false;

	do {
		if (!cur_char(c, '@') || domain_take(c, &is_utf8, &domain) != ST_OK || is_utf8)
			return false;
	} while (cur_char(c, ','));
	return cur_char(c, ':');
}

enum status
address_path_take(struct cur *c, bool allow_empty, bool allow_utf8, struct address *out)
{
	struct cur try = *c;
	struct address a = {0};
	enum status st = ST_OK;

	if (!cur_char(&try, '<'))
		return ST_SYNTAX;
	if (!allow_empty || cur_peek(&try) != '>') {
		if (cur_peek(&try) == '@' && !route_take(&try))
			return ST_SYNTAX;
		st = mailbox_take(&try, allow_utf8, &a);
	}
	if (st != ST_OK)
		return st;
	if (!cur_char(&try, '>'))
		return ST_SYNTAX;
	/* RFC 5321 4.5.3.1.3: the route counts. */
	if ((size_t)(try.p - c->p) > ADDRESS_MAX + 2)
		return ST_LIMIT;
	*c = try;
	*out = a;
	return ST_OK;
}

enum status
address_parse(struct str s, bool allow_utf8, struct address *out)
{
	struct cur c = cur_of(s);
	struct address a = {0};
	enum status st = mailbox_take(&c, allow_utf8, &a);

	if (st != ST_OK)
		return st;
	if (!cur_at_end(&c))
		return ST_SYNTAX;
	*out = a;
	return ST_OK;
}

enum status
address_domain_check(struct str s, bool allow_utf8)
{
	struct cur c = cur_of(s);
	struct str domain;
	bool is_utf8 = false;
	enum status st = domain_take(&c, &is_utf8, &domain);

	if (st == ST_SYNTAX || !cur_at_end(&c))
		return ST_SYNTAX;
	return is_utf8 && !allow_utf8 ? ST_UNSUPPORTED : st;
}

/* RFC 5321 4.1.2: all quoted forms are equivalent; take what they mean. text has room for
 * ADDRESS_LOCAL_MAX. */
static struct str
local_unquote(const struct address *a, char *text)
{
	struct cur c = cur_of(a->local);
	size_t n = 0;

	CHECK(a->local.n <= ADDRESS_LOCAL_MAX);
	if (a->is_quoted) {
		CHECK(a->local.n >= 2);
		c.p++;
		c.end--;
	}
	while (!cur_at_end(&c)) {
		if (a->is_quoted)
			(void)cur_char(&c, '\\');
		text[n++] = char_lower(*c.p++);
	}
	return str_of(text, n);
}

static bool
is_dot_string(struct str s)
{
	struct cur c = cur_of(s);
	bool is_utf8;

	return dot_string_take(&c, &is_utf8) && cur_at_end(&c);
}

/* The results are looked at once by the caller, as out->full. */
static void
quoted_put(struct str s, struct buf *out)
{
	buf_put_c(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_put_c(out, '\\');
		buf_put_c(out, s.p[i]);
	}
	buf_put_c(out, '"');
}

static enum status
literal_normalise(struct str literal, struct buf *out)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char ip[16];

	CHECK(literal.n >= 2);
	struct str body = str_of(literal.p + 1, literal.n - 2);
	if (!str_has_prefix_ci(body, STR("IPv6:")))
		return buf_put(out, literal);
	if (!ip_parse(AF_INET6, str_from(body, 5), ip))
		return ST_SYNTAX;
	CHECK(inet_ntop(AF_INET6, ip, text, sizeof(text)) != NULL);
	return buf_putf(out, "[IPv6:%s]", text);
}

static enum status
name_normalise(struct str domain, struct buf *out)
{
	size_t start = out->n;
	enum status st = ST_OK;

	if (!utf8_is_ascii(domain)) {
		st = idna_to_ascii(domain, out);
		/* UTS 46 maps some characters to ASCII ones that no host name may have. */
		if (st == ST_OK)
			st = address_domain_check(str_from(buf_str(out), start), false);
		return st;
	}
	for (size_t i = 0; i < domain.n && st == ST_OK; i++)
		st = buf_put_c(out, char_lower(domain.p[i]));
	return st;
}

enum status
address_domain_normalise(struct str domain, struct buf *out)
{
	size_t start = out->n;
	bool is_literal = domain.n > 0 && domain.p[0] == '[';
	enum status st = is_literal ? literal_normalise(domain, out) : name_normalise(domain, out);

	if (st != ST_OK)
		out->n = start;
	return st;
}

enum status
address_normalise(const struct address *a, struct buf *out)
{
	char text[ADDRESS_LOCAL_MAX];
	size_t start = out->n;
	struct str local;
	enum status st = ST_OK;

	if (a->local.n == 0 && a->domain.n == 0)
		return ST_OK;
	local = local_unquote(a, text);
	if (is_dot_string(local))
		buf_put(out, local);
	else
		quoted_put(local, out);
	if (a->domain.n > 0) {
		buf_put_c(out, '@');
		st = address_domain_normalise(a->domain, out);
	}
	if (st == ST_OK && (out->full || out->n - start > ADDRESS_MAX))
		st = ST_LIMIT;
	if (st != ST_OK)
		out->n = start;
	return st;
}

bool
address_subaddress_split(
    struct str local, char delimiter, struct str *base_out, struct str *detail_out)
{
	size_t i = local.n > 0 ? 1 + str_find_char(str_from(local, 1), delimiter) : 0;

	*base_out = local;
	*detail_out = STR_NULL;
	if (i >= local.n || local.p[0] == '"')
		return false;
	*base_out = str_take(local, i);
	*detail_out = str_from(local, i + 1);
	return true;
}
