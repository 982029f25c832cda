#include "protocols/smtp/smtp_internal.h"

/* RFC 5321 4.1.2 esmtp-keyword */
static bool
is_keyword_char(char c)
{
	return char_is_alnum(c) || c == '-';
}

/* RFC 5321 4.1.2 esmtp-value */
static bool
is_value_char(char c)
{
	return c >= 33 && c <= 126 && c != '=';
}

/* One " keyword[=value]". ST_EOF when nothing is left. */
static enum status
param_take(struct cur *c, struct str *keyword_out, struct str *value_out, bool *has_value_out)
{
	if (cur_at_end(c))
		return ST_EOF;
	if (!cur_char(c, ' '))
		return ST_SYNTAX;
	*keyword_out = cur_take_while(c, is_keyword_char);
	if (keyword_out->n == 0 || keyword_out->p[0] == '-')
		return ST_SYNTAX;
	*has_value_out = cur_char(c, '=');
	*value_out = *has_value_out ? cur_take_while(c, is_value_char) : STR_NULL;
	return *has_value_out && value_out->n == 0 ? ST_SYNTAX : ST_OK;
}

/* RFC 6152 2: BODY=7BIT or 8BITMIME. BINARYMIME (RFC 3030) is not offered. */
static enum status
body_take(struct str value, struct smtp_mail_params *p)
{
	if (p->has_body)
		return ST_SYNTAX;
	p->has_body = true;
	p->is_8bit = str_eq_ci(value, STR("8BITMIME"));
	return p->is_8bit || str_eq_ci(value, STR("7BIT")) ? ST_OK : ST_SYNTAX;
}

static enum status
mail_param_apply(struct str keyword, struct str value, bool has_value, struct smtp_mail_params *p)
{
	if (str_eq_ci(keyword, STR("SIZE"))) {
		/* RFC 1870 6: only one SIZE parameter. */
		if (p->has_size || !has_value)
			return ST_SYNTAX;
		p->has_size = true;
		return str_to_u64(value, &p->size_bytes);
	}
	if (str_eq_ci(keyword, STR("BODY")))
		return body_take(value, p);
	if (str_eq_ci(keyword, STR("SMTPUTF8"))) {
		/* RFC 6531 3.1 (4): takes no value. */
		if (p->is_smtputf8 || has_value)
			return ST_SYNTAX;
		p->is_smtputf8 = true;
		return ST_OK;
	}
	return ST_UNSUPPORTED;
}

enum status
smtp_mail_params_take(struct cur *c, struct smtp_mail_params *out)
{
	struct str keyword, value;
	bool has_value;
	enum status st;

	*out = (struct smtp_mail_params){0};
	while ((st = param_take(c, &keyword, &value, &has_value)) == ST_OK) {
		st = mail_param_apply(keyword, value, has_value, out);
		if (st != ST_OK)
			return st;
	}
	return st == ST_EOF ? ST_OK : st;
}

enum status
smtp_rcpt_params_take(struct cur *c)
{
	struct str keyword, value;
	bool has_value;
	enum status st = param_take(c, &keyword, &value, &has_value);

	if (st == ST_EOF)
		return ST_OK;
	return st == ST_OK ? ST_UNSUPPORTED : st;
}
