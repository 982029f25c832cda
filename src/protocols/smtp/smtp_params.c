#include "base/num.h"
#include "base/utf8.h"
#include "protocols/smtp/smtp_internal.h"
#include "standards/date/date.h"

/* RFC 5321 4.1.2 esmtp-keyword */
static bool
is_keyword_char(char c)
{
	return char_is_alnum(c) || c == '-';
}

/* RFC 5321 4.1.2 esmtp-value; RFC 6531 3.3 adds UTF-8. */
static bool
is_value_char(char c)
{
	return (c >= 33 && c <= 126 && c != '=') || (unsigned char)c >= 128;
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

/* RFC 1870 6 */
static enum status
size_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	(void)s;
	return str_to_u64(value, &ev->size_bytes);
}

/* RFC 6152 2, RFC 3030 3 */
static enum status
body_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	ev->body = SMTP_BODY_7BIT;
	if (str_eq_ci(value, STR("8BITMIME")))
		ev->body = SMTP_BODY_8BITMIME;
	else if (str_eq_ci(value, STR("BINARYMIME")) && s->conf->is_chunking_offered)
		ev->body = SMTP_BODY_BINARYMIME;
	else if (!str_eq_ci(value, STR("7BIT")))
		return ST_SYNTAX;
	ev->is_8bit = ev->body == SMTP_BODY_8BITMIME;
	return ST_OK;
}

/* RFC 6531 3.1 (4) */
static enum status
smtputf8_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	(void)s;
	(void)value;
	ev->is_smtputf8 = true;
	return ST_OK;
}

/* RFC 3461 4.3 */
static enum status
ret_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	(void)s;
	if (str_eq_ci(value, STR("FULL")))
		ev->ret = SMTP_RET_FULL;
	else if (str_eq_ci(value, STR("HDRS")))
		ev->ret = SMTP_RET_HDRS;
	else
		return ST_SYNTAX;
	return ST_OK;
}

/* RFC 3461 4.4 */
static enum status
envid_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	(void)s;
	if (value.n > SMTP_ENVID_MAX || !smtp_xtext_is_text(value))
		return ST_SYNTAX;
	ev->envid = value;
	return ST_OK;
}

/* RFC 4865 4.2 (9): one of the two. */
static enum status
hold_apply(const struct smtp_server *s, int64_t until, struct smtp_event *ev)
{
	if (ev->hold_until != 0 || until <= s->now || until - s->now > smtp_hold_s_max(s))
		return ST_SYNTAX;
	ev->hold_until = until;
	return ST_OK;
}

/* RFC 4865 3: 1 to 9 digits without a leading zero. */
static enum status
holdfor_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	uint64_t seconds;

	if (value.p[0] == '0' || str_to_u64(value, &seconds) != ST_OK || seconds > SMTP_HOLD_S_MAX)
		return ST_SYNTAX;
	return hold_apply(s, s->now + (int64_t)seconds, ev);
}

/* RFC 4865 3: UTC only. */
static enum status
holduntil_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	int64_t until;
	int offset;

	if (!str_has_suffix_ci(value, STR("Z")) || date_parse_3339(value, &until, &offset) != ST_OK)
		return ST_SYNTAX;
	return hold_apply(s, until, ev);
}

/* RFC 2852 4: by-time. */
static enum status
by_time_take(struct cur *c, int32_t *out)
{
	bool is_negative = cur_char(c, '-');
	struct str digits;
	uint64_t seconds;

	if (!is_negative)
		(void)cur_char(c, '+');
	digits = cur_take_while(c, char_is_digit);
	if (digits.n > SMTP_BY_DIGITS_MAX || str_to_u64(digits, &seconds) != ST_OK)
		return ST_SYNTAX;
	*out = is_negative ? -(int32_t)seconds : (int32_t)seconds;
	return ST_OK;
}

/* RFC 2852 4: by-time ";" by-mode [by-trace] */
static enum status
by_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	struct cur c = cur_of(value);

	if (by_time_take(&c, &ev->by_s) != ST_OK || !cur_char(&c, ';'))
		return ST_SYNTAX;
	if (cur_lit_ci(&c, "R"))
		ev->by_mode = 'R';
	else if (cur_lit_ci(&c, "N"))
		ev->by_mode = 'N';
	else
		return ST_SYNTAX;
	ev->by_trace = cur_lit_ci(&c, "T");
	if (!cur_at_end(&c) || (ev->by_mode == 'R' && ev->by_s <= 0))
		return ST_SYNTAX;
	if (ev->by_mode == 'R' && (uint32_t)ev->by_s < s->conf->deliverby_min_s)
		return ST_DENIED;
	ev->has_by = true;
	return ST_OK;
}

/* RFC 6710 7: "0", or a digit from 1 to 9 that may be negative. */
static enum status
priority_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	struct cur c = cur_of(value);
	bool is_negative = cur_char(&c, '-');
	int digit = cur_peek(&c);

	(void)s;
	if (cur_left(&c) != 1 || digit < (is_negative ? '1' : '0') || digit > '9')
		return ST_SYNTAX;
	ev->priority = (int8_t)(is_negative ? '0' - digit : digit - '0');
	ev->has_priority = true;
	return ST_OK;
}

/* RFC 4954 5: from nobody trusted enough, so it is checked and forgotten. */
static enum status
auth_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	(void)s;
	(void)ev;
	return smtp_xtext_is_text(value) ? ST_OK : ST_SYNTAX;
}

/* RFC 3461 4.1 */
static enum status
notify_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	static const struct {
		struct str word;
		uint8_t bit;
	} words[] = {{STR_INIT("NEVER"), SMTP_NOTIFY_NEVER},
	    {STR_INIT("SUCCESS"), SMTP_NOTIFY_SUCCESS}, {STR_INIT("FAILURE"), SMTP_NOTIFY_FAILURE},
	    {STR_INIT("DELAY"), SMTP_NOTIFY_DELAY}};
	struct str one, rest = value;
	bool has_more;

	(void)s;
	do {
		size_t i = 0;
		has_more = str_split(rest, ',', &one, &rest);
		while (i < COUNT_OF(words) && !str_eq_ci(one, words[i].word))
			i++;
		if (i == COUNT_OF(words))
			return ST_SYNTAX;
		ev->notify |= words[i].bit;
	} while (has_more);
	/* NEVER must appear by itself. */
	return (ev->notify & SMTP_NOTIFY_NEVER) != 0 && !str_eq_ci(value, STR("NEVER")) ? ST_SYNTAX
											: ST_OK;
}

/* RFC 822 atom */
static bool
is_atom_char(char c)
{
	static const struct str specials = STR_INIT("()<>@,;:\\\".[]");

	return c > 32 && c < 127 && str_find_char(specials, c) == specials.n;
}

/* RFC 6533 3: native characters, in a transaction with SMTPUTF8. */
static bool
is_utf8_address(const struct smtp_server *s, struct str type, struct str value)
{
	if (!s->is_smtputf8 || !str_eq_ci(type, STR("utf-8")))
		return false;
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] == '+' || value.p[i] == '=')
			return false;
	return utf8_is_valid(value);
}

/* RFC 3461 4.2: addr-type ";" xtext */
static enum status
orcpt_apply(const struct smtp_server *s, struct str value, struct smtp_event *ev)
{
	struct cur c = cur_of(value);
	struct str type = cur_take_while(&c, is_atom_char);

	if (value.n > SMTP_ORCPT_MAX || type.n == 0 || !cur_char(&c, ';'))
		return ST_SYNTAX;
	if (!smtp_xtext_is_text(cur_rest(&c)) && !is_utf8_address(s, type, cur_rest(&c)))
		return ST_SYNTAX;
	ev->orcpt = value;
	return ST_OK;
}

static bool
is_always_offered(const struct smtp_server *s)
{
	(void)s;
	return true;
}

static bool
is_dsn_offered(const struct smtp_server *s)
{
	return s->conf->is_dsn_offered;
}

static bool
is_hold_offered(const struct smtp_server *s)
{
	return smtp_hold_s_max(s) > 0;
}

static bool
is_by_offered(const struct smtp_server *s)
{
	return s->conf->is_deliverby_offered;
}

static bool
is_priority_offered(const struct smtp_server *s)
{
	return s->conf->is_mt_priority_offered;
}

static bool
is_auth_offered(const struct smtp_server *s)
{
	return s->conf->is_auth_offered;
}

struct param {
	struct str keyword;
	bool (*is_offered)(const struct smtp_server *);
	/* An error may leave ev half filled. */
	enum status (*apply)(const struct smtp_server *, struct str value, struct smtp_event *ev);
	bool has_value;
};

static const struct param mail_params[] = {
    {STR_INIT("SIZE"), is_always_offered, size_apply, true},
    {STR_INIT("BODY"), is_always_offered, body_apply, true},
    {STR_INIT("SMTPUTF8"), is_always_offered, smtputf8_apply, false},
    {STR_INIT("RET"), is_dsn_offered, ret_apply, true},
    {STR_INIT("ENVID"), is_dsn_offered, envid_apply, true},
    {STR_INIT("HOLDFOR"), is_hold_offered, holdfor_apply, true},
    {STR_INIT("HOLDUNTIL"), is_hold_offered, holduntil_apply, true},
    {STR_INIT("BY"), is_by_offered, by_apply, true},
    {STR_INIT("MT-PRIORITY"), is_priority_offered, priority_apply, true},
    {STR_INIT("AUTH"), is_auth_offered, auth_apply, true},
};

static const struct param rcpt_params[] = {
    {STR_INIT("NOTIFY"), is_dsn_offered, notify_apply, true},
    {STR_INIT("ORCPT"), is_dsn_offered, orcpt_apply, true},
};

/* The parameters that are left, each at most once (RFC 5321 4.1.2, RFC 1870 6, RFC 3461 4.5). */
static enum status
params_take(const struct smtp_server *s, const struct param *params, size_t n, struct cur *c,
    struct smtp_event *ev)
{
	struct str keyword, value;
	uint32_t seen = 0;
	bool has_value;
	enum status st;

	CHECK(n <= 32);
	while ((st = param_take(c, &keyword, &value, &has_value)) == ST_OK) {
		size_t i = 0;
		while (i < n && !(str_eq_ci(keyword, params[i].keyword) && params[i].is_offered(s)))
			i++;
		if (i == n)
			return ST_UNSUPPORTED;
		if ((seen >> i & 1) != 0 || has_value != params[i].has_value)
			return ST_SYNTAX;
		seen |= UINT32_C(1) << i;
		st = params[i].apply(s, value, ev);
		if (st != ST_OK)
			return st;
	}
	return st == ST_EOF ? ST_OK : st;
}

enum status
smtp_mail_params_take(const struct smtp_server *s, struct cur *c, struct smtp_event *ev)
{
	enum status st = params_take(s, mail_params, COUNT_OF(mail_params), c, ev);

	/* RFC 4865 5.2.2: held for longer than it may take. */
	if (st == ST_OK && ev->has_by && ev->hold_until > s->now + ev->by_s)
		return ST_SYNTAX;
	return st;
}

enum status
smtp_rcpt_params_take(const struct smtp_server *s, struct cur *c, struct smtp_event *ev)
{
	return params_take(s, rcpt_params, COUNT_OF(rcpt_params), c, ev);
}
