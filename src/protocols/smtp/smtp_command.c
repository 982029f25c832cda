#include "protocols/smtp/smtp_internal.h"
#include "base/num.h"
#include "standards/address/address.h"

/* What a handler works on; ev is given out when the handler returns true. */
struct command {
	struct smtp_server *s;
	struct str arg;
	struct buf *out;
	struct smtp_event *ev;
};

/* Ends the transaction, if there is one; true when the owner must hear of it. */
static bool
transaction_forget(struct command *c)
{
	bool was_open = c->s->is_in_transaction;

	c->s->is_in_transaction = false;
	c->s->is_smtputf8 = false;
	c->s->rcpts = 0;
	if (was_open)
		c->ev->kind = SMTP_EV_ABORT;
	return was_open;
}

static bool
error(struct command *c, unsigned code, struct str text)
{
	smtp_error_put(c->s, c->out, code, text);
	return false;
}

static void
reply(struct command *c, unsigned code, struct str text)
{
	smtp_reply_put(c->out, code, ' ', text);
}

/* RFC 5321 4.3.2: commands without arguments answer one with 501. */
static bool
has_no_argument(struct command *c)
{
	if (c->arg.n == 0)
		return true;
	return error(c, 501, STR("5.5.4 no argument allowed"));
}

static bool
is_helo_char(char c)
{
	return char_is_alnum(c) || c == '-' || c == '.' || c == ':' || c == '[' || c == ']';
}

static void
helo_keep(struct smtp_server *s, struct str name)
{
	s->helo_n = 0;
	for (size_t i = 0; i < name.n && s->helo_n < SMTP_HELO_KEPT_MAX; i++)
		if (is_helo_char(name.p[i]))
			s->helo[s->helo_n++] = name.p[i];
}

/*
 * RFC 5321 4.1.4: a name that proves wrong is no reason to refuse, so only what cannot be one word
 * is refused; the state then stays as it was.
 */
static bool
helo_accept(struct command *c, bool is_esmtp)
{
	if (c->arg.n == 0 || str_find_char(c->arg, ' ') < c->arg.n)
		return error(c, 501, STR("5.5.4 a domain or address literal is required"));
	helo_keep(c->s, c->arg);
	c->s->is_esmtp = is_esmtp;
	c->s->state = SMTP_S_READY;
	return true;
}

/* RFC 2034 3: no enhanced codes in the replies to HELO and EHLO. */
static bool
run_helo(struct command *c)
{
	if (!helo_accept(c, false))
		return false;
	reply(c, 250, c->s->conf->hostname);
	return transaction_forget(c);
}

static bool
run_ehlo(struct command *c)
{
	const struct smtp_server_conf *conf = c->s->conf;

	if (!helo_accept(c, true))
		return false;
	smtp_reply_put(c->out, 250, '-', conf->hostname);
	smtp_reply_put(c->out, 250, '-', STR("PIPELINING"));
	buf_putf(c->out, "250-SIZE %llu\r\n", (unsigned long long)conf->message_bytes_max);
	smtp_reply_put(c->out, 250, '-', STR("8BITMIME"));
	smtp_reply_put(c->out, 250, '-', STR("SMTPUTF8"));
	/* RFC 3207 4.2: not offered again under TLS. */
	if (conf->is_starttls_offered && !c->s->is_tls)
		smtp_reply_put(c->out, 250, '-', STR("STARTTLS"));
	reply(c, 250, STR("ENHANCEDSTATUSCODES"));
	return transaction_forget(c);
}

static bool
path_error(struct command *c, enum status st, struct str syntax, struct str limit)
{
	return error(c, 501, st == ST_LIMIT ? limit : syntax);
}

static bool
params_error(struct command *c, enum status st)
{
	/* RFC 5321 4.1.1.11 */
	if (st == ST_UNSUPPORTED)
		return error(c, 555, STR("5.5.4 parameter not recognised"));
	return error(c, 501, STR("5.5.4 syntax error in parameters"));
}

/*
 * "FROM:<path>" or "TO:<path>". RFC 5321 3.3 allows no space after the colon; clients send it, and
 * it cannot be taken for anything else.
 */
static enum status
clause_take(struct cur *in, const char *keyword, bool allow_empty, struct address *out)
{
	if (!cur_lit_ci(in, keyword))
		return ST_SYNTAX;
	(void)cur_skip_wsp(in);
	return address_path_take(in, allow_empty, true, out);
}

static void
event_of_address(struct smtp_event *ev, enum smtp_event_kind kind, const struct address *a)
{
	ev->kind = kind;
	ev->local = a->local;
	ev->domain = a->domain;
	/* The two lie beside each other in the line, the @ between them. */
	ev->path = a->domain.n > 0 ? str_of(a->local.p, a->local.n + 1 + a->domain.n) : a->local;
}

static void
wait_for_answer(struct smtp_server *s, enum smtp_state state)
{
	s->state = (uint8_t)state;
	s->replies_due = 1;
}

/* The order of commands and the counts, before the arguments are looked at. False: answered. */
static bool
mail_may_begin(struct command *c)
{
	if (c->s->state == SMTP_S_START)
		return error(c, 503, STR("5.5.1 say hello first"));
	/* RFC 5321 4.1.4 */
	if (c->s->is_in_transaction)
		return error(c, 503, STR("5.5.1 a transaction is already open"));
	if (c->s->messages >= c->s->conf->messages_max) {
		smtp_last_put(c->s, c->out, 421, STR("4.7.0 too many messages in this session"));
		return false;
	}
	return true;
}

static bool
run_mail(struct command *c)
{
	struct cur in = cur_of(c->arg);
	struct smtp_mail_params params;
	struct address a = {0};
	enum status st;

	if (!mail_may_begin(c))
		return false;
	st = clause_take(&in, "FROM:", true, &a);
	if (st != ST_OK)
		return path_error(c, st, STR("5.1.7 syntax error, expected FROM:<address>"),
		    STR("5.1.7 address too long"));
	/* RFC 5321 2.2.1: extensions only after EHLO. */
	if (!cur_at_end(&in) && !c->s->is_esmtp)
		return params_error(c, ST_UNSUPPORTED);
	st = smtp_mail_params_take(&in, &params);
	if (st != ST_OK && st != ST_LIMIT)
		return params_error(c, st);
	/* RFC 1870 6.1 (2) */
	if (st == ST_LIMIT || params.size_bytes > c->s->conf->message_bytes_max) {
		reply(c, 552, STR("5.3.4 message size exceeds the limit"));
		return false;
	}
	/* RFC 6531 3.5: 550 at MAIL, 553 at RCPT */
	if (a.is_utf8 && !params.is_smtputf8) {
		reply(c, 550, STR("5.6.7 this address needs SMTPUTF8"));
		return false;
	}
	c->s->is_smtputf8 = params.is_smtputf8;
	event_of_address(c->ev, SMTP_EV_MAIL, &a);
	c->ev->size_bytes = params.size_bytes;
	c->ev->is_8bit = params.is_8bit;
	c->ev->is_smtputf8 = params.is_smtputf8;
	wait_for_answer(c->s, SMTP_S_MAIL_WAIT);
	return true;
}

/* RFC 5321 4.1.1.3, 4.5.1: "<Postmaster>" without a domain, in any case. */
static bool
postmaster_take(struct cur *in, struct address *out)
{
	struct cur try = *in;

	if (!cur_lit_ci(&try, "TO:"))
		return false;
	(void)cur_skip_wsp(&try);
	const char *start = try.p + 1;
	if (!cur_lit_ci(&try, "<postmaster>"))
		return false;
	*out = (struct address){.local = str_of(start, 10)};
	*in = try;
	return true;
}

static bool
run_rcpt(struct command *c)
{
	struct cur in = cur_of(c->arg);
	struct address a = {0};
	enum status st = ST_OK;

	if (!c->s->is_in_transaction)
		return error(c, 503, STR("5.5.1 MAIL first"));
	if (!postmaster_take(&in, &a))
		st = clause_take(&in, "TO:", false, &a);
	if (st != ST_OK)
		return path_error(c, st, STR("5.1.3 syntax error, expected TO:<address>"),
		    STR("5.1.3 address too long"));
	st = smtp_rcpt_params_take(&in);
	if (st != ST_OK)
		return params_error(c, st);
	/* RFC 6531 3.5 */
	if (a.is_utf8 && !c->s->is_smtputf8) {
		reply(c, 553, STR("5.6.7 this address needs SMTPUTF8"));
		return false;
	}
	/* RFC 5321 4.5.3.1.10 */
	if (c->s->rcpts >= c->s->conf->rcpts_max) {
		reply(c, 452, STR("4.5.3 too many recipients"));
		return false;
	}
	event_of_address(c->ev, SMTP_EV_RCPT, &a);
	wait_for_answer(c->s, SMTP_S_RCPT_WAIT);
	return true;
}

static bool
run_data(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	if (!c->s->is_in_transaction)
		return error(c, 503, STR("5.5.1 MAIL first"));
	if (c->s->rcpts == 0) {
		/* RFC 2033 4.2 wants 503; RFC 5321 3.3 leaves the choice. No error: a client that
		 * sends its commands in a group does this when all recipients were refused. */
		unsigned code = c->s->conf->mode == SMTP_LMTP ? 503 : 554;
		reply(c, code, STR("5.5.1 no valid recipients"));
		return false;
	}
	c->ev->kind = SMTP_EV_DATA;
	wait_for_answer(c->s, SMTP_S_DATA_WAIT);
	return true;
}

static bool
run_rset(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	reply(c, 250, STR("2.0.0 reset"));
	return transaction_forget(c);
}

/* RFC 5321 4.1.1.9: the argument is ignored. */
static bool
run_noop(struct command *c)
{
	reply(c, 250, STR("2.0.0 ok"));
	return false;
}

static bool
run_help(struct command *c)
{
	reply(c, 214, STR("2.0.0 see RFC 5321"));
	return false;
}

/* RFC 5321 3.5.3, 7.3: 252 tells nobody who is here. */
static bool
run_vrfy(struct command *c)
{
	if (c->arg.n == 0)
		return error(c, 501, STR("5.5.4 an address is required"));
	reply(c, 252, STR("2.5.1 cannot verify, but will take messages for local users"));
	return false;
}

static bool
run_quit(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	smtp_last_put(c->s, c->out, 221, STR("2.0.0 bye"));
	return false;
}

static bool
run_starttls(struct command *c)
{
	struct smtp_server *s = c->s;

	/* RFC 3207 4 */
	if (c->arg.n > 0)
		return error(c, 501, STR("5.5.4 no argument allowed"));
	if (!s->conf->is_starttls_offered)
		return error(c, 502, STR("5.5.1 not offered"));
	if (s->is_tls || !s->is_esmtp || s->is_in_transaction)
		return error(c, 503, STR("5.5.1 not now"));
	reply(c, 220, STR("2.0.0 go ahead"));
	c->ev->kind = SMTP_EV_STARTTLS;
	/* The object has ended. What comes next is no longer ours to read. */
	s->state = SMTP_S_CLOSING;
	return true;
}

static bool
run_unoffered(struct command *c)
{
	return error(c, 502, STR("5.5.1 command not offered"));
}

enum command_flags {
	CMD_SMTP = 1,	     /* known in SMTP and submission */
	CMD_LMTP = 2,	     /* known in LMTP */
	CMD_BEFORE_AUTH = 4, /* allowed where authentication is required and missing */
	CMD_LAST = 8,	     /* must be the last of a group of pipelined commands */
	CMD_BOTH = CMD_SMTP | CMD_LMTP,
};

static const struct {
	struct str verb;
	bool (*run)(struct command *);
	unsigned flags;
} commands[] = {
    {STR_INIT("MAIL"), run_mail, CMD_BOTH},
    {STR_INIT("RCPT"), run_rcpt, CMD_BOTH},
    {STR_INIT("DATA"), run_data, CMD_BOTH | CMD_LAST},
    {STR_INIT("EHLO"), run_ehlo, CMD_SMTP | CMD_BEFORE_AUTH | CMD_LAST},
    {STR_INIT("HELO"), run_helo, CMD_SMTP | CMD_BEFORE_AUTH | CMD_LAST},
    /* RFC 2033 4.1: LHLO instead of the other two */
    {STR_INIT("LHLO"), run_ehlo, CMD_LMTP | CMD_BEFORE_AUTH | CMD_LAST},
    {STR_INIT("RSET"), run_rset, CMD_BOTH | CMD_BEFORE_AUTH},
    {STR_INIT("NOOP"), run_noop, CMD_BOTH | CMD_BEFORE_AUTH},
    {STR_INIT("QUIT"), run_quit, CMD_BOTH | CMD_BEFORE_AUTH},
    {STR_INIT("STARTTLS"), run_starttls, CMD_BOTH | CMD_BEFORE_AUTH | CMD_LAST},
    {STR_INIT("HELP"), run_help, CMD_BOTH},
    {STR_INIT("VRFY"), run_vrfy, CMD_BOTH},
    {STR_INIT("EXPN"), run_unoffered, CMD_BOTH},
    {STR_INIT("AUTH"), run_unoffered, CMD_BOTH | CMD_BEFORE_AUTH},
    {STR_INIT("BDAT"), run_unoffered, CMD_BOTH},
    {STR_INIT("ETRN"), run_unoffered, CMD_BOTH},
    {STR_INIT("TURN"), run_unoffered, CMD_BOTH},
    {STR_INIT("SEND"), run_unoffered, CMD_BOTH},
    {STR_INIT("SOML"), run_unoffered, CMD_BOTH},
    {STR_INIT("SAML"), run_unoffered, CMD_BOTH},
};

static size_t
command_find(struct str verb, enum smtp_mode mode)
{
	unsigned want = mode == SMTP_LMTP ? CMD_LMTP : CMD_SMTP;
	size_t i = 0;

	while (i < COUNT_OF(commands) &&
	       !((commands[i].flags & want) && str_eq_ci(verb, commands[i].verb)))
		i++;
	return i;
}

/* RFC 5321 4.1.1: trailing white space before CRLF is tolerated. */
static struct str
trailing_space_cut(struct str s)
{
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static bool
has_controls(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 32 || s.p[i] == 127)
			return true;
	return false;
}

bool
smtp_command_run(
    struct smtp_server *s, struct str line, bool is_last, struct buf *out, struct smtp_event *ev)
{
	struct command c = {.s = s, .out = out, .ev = ev};
	struct str verb;
	size_t i;

	line = trailing_space_cut(line);
	(void)str_split(line, ' ', &verb, &c.arg);
	i = command_find(verb, s->conf->mode);
	/* RFC 2920 3.1: the client could not know what to send next before our reply to these. */
	if (!is_last && i < COUNT_OF(commands) && (commands[i].flags & CMD_LAST)) {
		smtp_last_put(s, out, 554, STR("5.5.0 protocol synchronisation error"));
		return false;
	}
	if (has_controls(line))
		return error(&c, 500, STR("5.5.2 control character in command"));
	/* RFC 5321 3.1: after a 554 greeting. */
	if (s->state == SMTP_S_REFUSED && !str_eq_ci(verb, STR("QUIT")))
		return error(&c, 503, STR("5.5.1 no service here"));
	if (i == COUNT_OF(commands))
		return error(&c, 500, STR("5.5.1 command not recognised"));
	/* RFC 4954 6 */
	if (s->conf->is_auth_required && !(commands[i].flags & CMD_BEFORE_AUTH))
		return error(&c, 530, STR("5.7.0 authentication required"));
	return commands[i].run(&c);
}
