#include "protocols/smtp/smtp_internal.h"

/*
 * Postfix's XCLIENT: XCLIENT 1*(SP name "=" xtext), names without case. [UNAVAILABLE],
 * [TEMPUNAVAIL] and IPV6: have none either.
 */
void
smtp_server_set_xclient(struct smtp_server *s, bool allowed)
{
	s->is_xclient_allowed = allowed;
}

static bool
is_graphic(char c)
{
	return c >= 33 && c <= 126;
}

static bool
is_address_char(char c)
{
	return char_is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' ||
	       c == ':';
}

static bool
is_name_char(char c)
{
	return char_is_alpha(c);
}

static bool
is_all(struct str s, bool (*ok)(char))
{
	for (size_t i = 0; i < s.n; i++)
		if (!ok(s.p[i]))
			return false;
	return true;
}

/* The value, decoded into room. */
static enum status
value_decode(struct str xtext, size_t max, struct smtp_xclient *x, struct str *out)
{
	struct cur c = cur_of(xtext);
	char *to = x->room + x->room_n;
	size_t n = 0;

	while (!cur_at_end(&c)) {
		if (n == max)
			return ST_LIMIT;
		CHECK(x->room_n + n < SMTP_XCLIENT_ROOM);
		if (!smtp_xtext_byte_take(&c, &to[n]) || !is_graphic(to[n]))
			return ST_SYNTAX;
		n++;
	}
	*out = str_of(to, n);
	return n > 0 ? ST_OK : ST_SYNTAX;
}

static enum status
value_take(struct str xtext, size_t max, struct smtp_xclient *x, struct smtp_xclient_value *v)
{
	struct str text;
	enum status st;

	if (v->what != SMTP_XCLIENT_NOT_GIVEN)
		return ST_SYNTAX;
	st = value_decode(xtext, max, x, &text);
	if (st != ST_OK)
		return st;
	if (str_eq_ci(text, STR("[UNAVAILABLE]"))) {
		v->what = SMTP_XCLIENT_UNAVAILABLE;
	} else if (str_eq_ci(text, STR("[TEMPUNAVAIL]"))) {
		v->what = SMTP_XCLIENT_TEMPUNAVAIL;
	} else {
		v->what = SMTP_XCLIENT_GIVEN;
		v->text = text;
		x->room_n = (uint16_t)(x->room_n + text.n);
	}
	return ST_OK;
}

static enum status
address_take(struct str xtext, struct smtp_xclient *x, struct smtp_xclient_value *v)
{
	enum status st = value_take(xtext, SMTP_XCLIENT_ADDR_MAX, x, v);

	if (st != ST_OK || v->what != SMTP_XCLIENT_GIVEN)
		return st;
	if (str_has_prefix_ci(v->text, STR("IPV6:")))
		v->text = str_from(v->text, 5);
	return v->text.n > 0 && is_all(v->text, is_address_char) ? ST_OK : ST_SYNTAX;
}

/* [UNAVAILABLE] leaves 0. */
static enum status
port_take(struct str value, uint16_t *out)
{
	uint64_t port;

	if (str_eq_ci(value, STR("[UNAVAILABLE]")))
		return ST_OK;
	if (*out != 0 || str_to_u64(value, &port) != ST_OK || port == 0 || port > UINT16_MAX)
		return ST_SYNTAX;
	*out = (uint16_t)port;
	return ST_OK;
}

static enum status
proto_take(struct str value, struct smtp_xclient *x)
{
	x->is_esmtp = str_eq_ci(value, STR("ESMTP"));
	if (x->has_proto || (!x->is_esmtp && !str_eq_ci(value, STR("SMTP"))))
		return ST_SYNTAX;
	x->has_proto = true;
	return ST_OK;
}

static enum status
attribute_apply(struct str name, struct str value, struct smtp_xclient *x)
{
	if (str_eq_ci(name, STR("NAME")))
		return value_take(value, SMTP_XCLIENT_NAME_MAX, x, &x->name);
	if (str_eq_ci(name, STR("HELO")))
		return value_take(value, SMTP_XCLIENT_NAME_MAX, x, &x->helo);
	if (str_eq_ci(name, STR("LOGIN")))
		return value_take(value, SMTP_XCLIENT_LOGIN_MAX, x, &x->login);
	if (str_eq_ci(name, STR("ADDR")))
		return address_take(value, x, &x->addr);
	if (str_eq_ci(name, STR("DESTADDR")))
		return address_take(value, x, &x->destaddr);
	if (str_eq_ci(name, STR("PORT")))
		return port_take(value, &x->port);
	if (str_eq_ci(name, STR("DESTPORT")))
		return port_take(value, &x->destport);
	if (str_eq_ci(name, STR("PROTO")))
		return proto_take(value, x);
	return ST_SYNTAX;
}

enum status
smtp_xclient_take(struct str attributes, struct smtp_xclient *out)
{
	struct str one, rest = attributes;
	bool has_more;

	*out = (struct smtp_xclient){0};
	do {
		struct str name, value;
		has_more = str_split(rest, ' ', &one, &rest);
		if (!str_split(one, '=', &name, &value) || !is_all(name, is_name_char))
			return ST_SYNTAX;
		enum status st = attribute_apply(name, value, out);
		if (st != ST_OK)
			return st;
	} while (has_more);
	return ST_OK;
}
