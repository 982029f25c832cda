#include "protocols/smtp/smtp_internal.h"
#include "base/num.h"
#include "standards/address/address.h"

/* What a handler works on; ev is given out when the handler returns true. */
struct command {
	struct smtp_server *s;
	struct str arg;
	bool is_last; /* nothing follows in the input */
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
	c->s->body = SMTP_BODY_7BIT;
	c->s->content = SMTP_C_NONE;
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
	if (!helo_accept(c, true))
		return false;
	smtp_ehlo_put(c->s, c->out);
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
	/* RFC 2852 3: 55z */
	if (st == ST_DENIED)
		return error(c, 555, STR("5.5.4 the deliver-by time is too short"));
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
event_set_address(struct smtp_event *ev, enum smtp_event_kind kind, const struct address *a)
{
	ev->kind = kind;
	ev->local = a->local;
	ev->domain = a->domain;
	/* The two lie beside each other in the line, the @ between them. */
	ev->path = a->domain.n > 0 ? str_of(a->local.p, a->local.n + 1 + a->domain.n) : a->local;
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

/* What MAIL asks for and cannot have. False: answered. */
static bool
mail_may_be(struct command *c, enum status st, const struct address *a, const struct smtp_event *ev)
{
	if (st != ST_OK && st != ST_LIMIT)
		return params_error(c, st);
	/* RFC 1870 6.1 (2) */
	if (st == ST_LIMIT || ev->size_bytes > c->s->conf->message_bytes_max) {
		reply(c, 552, STR("5.3.4 message size exceeds the limit"));
		return false;
	}
	/* RFC 6531 3.5: 550 at MAIL, 553 at RCPT */
	if (a->is_utf8 && !ev->is_smtputf8) {
		reply(c, 550, STR("5.6.7 this address needs SMTPUTF8"));
		return false;
	}
	return true;
}

static bool
run_mail(struct command *c)
{
	struct cur in = cur_of(c->arg);
	struct smtp_event ev = {0};
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
	st = smtp_mail_params_take(c->s, &in, &ev);
	if (!mail_may_be(c, st, &a, &ev))
		return false;
	event_set_address(&ev, SMTP_EV_MAIL, &a);
	*c->ev = ev;
	c->s->is_smtputf8 = ev.is_smtputf8;
	c->s->body = ev.body;
	smtp_wait(c->s, SMTP_S_MAIL_WAIT);
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

/* RFC 3030 2: the first BDAT closed the list of recipients. False: answered. */
static bool
rcpt_may_come(struct command *c)
{
	if (!c->s->is_in_transaction)
		return error(c, 503, STR("5.5.1 MAIL first"));
	if (c->s->content == SMTP_C_BDAT)
		return error(c, 503, STR("5.5.1 the message has begun"));
	return true;
}

static bool
run_rcpt(struct command *c)
{
	struct cur in = cur_of(c->arg);
	struct smtp_event ev = {0};
	struct address a = {0};
	enum status st = ST_OK;

	if (!rcpt_may_come(c))
		return false;
	if (!postmaster_take(&in, &a))
		st = clause_take(&in, "TO:", false, &a);
	if (st != ST_OK)
		return path_error(c, st, STR("5.1.3 syntax error, expected TO:<address>"),
		    STR("5.1.3 address too long"));
	st = smtp_rcpt_params_take(c->s, &in, &ev);
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
	event_set_address(&ev, SMTP_EV_RCPT, &a);
	*c->ev = ev;
	smtp_wait(c->s, SMTP_S_RCPT_WAIT);
	return true;
}

/* RFC 3030 2, 3: the transaction is in no state to go on, and DATA may not begin anything in it. */
static bool
data_mixed(struct command *c, struct str text)
{
	smtp_error_put(c->s, c->out, 503, text);
	bool is_event = transaction_forget(c);
	c->s->content = SMTP_C_FAILED;
	c->s->data_bytes = 0;
	return is_event;
}

static bool
run_data(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	if (!c->s->is_in_transaction)
		return error(c, 503, STR("5.5.1 MAIL first"));
	if (c->s->content == SMTP_C_BDAT)
		return data_mixed(c, STR("5.5.1 DATA and BDAT in one transaction"));
	if (c->s->body == SMTP_BODY_BINARYMIME)
		return data_mixed(c, STR("5.5.1 BINARYMIME needs BDAT"));
	if (c->s->rcpts == 0) {
		/* RFC 2033 4.2 wants 503; RFC 5321 3.3 leaves the choice. No error: a client that
		 * sends its commands in a group does this when all recipients were refused. */
		unsigned code = c->s->conf->mode == SMTP_LMTP ? 503 : 554;
		reply(c, code, STR("5.5.1 no valid recipients"));
		return false;
	}
	c->ev->kind = SMTP_EV_DATA;
	smtp_wait(c->s, SMTP_S_DATA_WAIT);
	return true;
}

static bool
run_bdat(struct command *c)
{
	if (!c->s->conf->is_chunking_offered)
		return error(c, 502, STR("5.5.1 command not offered"));
	return smtp_bdat_begin(c->s, c->arg, c->out, c->ev);
}

static bool
run_auth(struct command *c)
{
	return smtp_auth_begin(c->s, c->arg, c->is_last, c->out, c->ev);
}

/* As after connecting, except for TLS, which cannot be undone, and the count of errors. */
static void
session_restart(struct smtp_server *s)
{
	s->state = SMTP_S_START;
	s->is_esmtp = false;
	s->is_smtputf8 = false;
	s->is_authenticated = false;
	s->content = SMTP_C_NONE;
	s->messages = 0;
	s->helo_n = 0;
}

static bool
run_xclient(struct command *c)
{
	struct smtp_xclient x;

	if (!smtp_is_xclient_possible(c->s))
		return error(c, 550, STR("5.7.0 XCLIENT is not allowed here"));
	if (c->s->is_in_transaction)
		return error(c, 503, STR("5.5.1 not during a transaction"));
	if (smtp_xclient_take(c->arg, &x) != ST_OK)
		return error(c, 501, STR("5.5.4 syntax error in attributes"));
	session_restart(c->s);
	helo_keep(c->s, x.helo.text);
	smtp_server_greet(c->s, c->out);
	c->ev->kind = SMTP_EV_XCLIENT;
	c->ev->bytes = c->arg;
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
    {STR_INIT("AUTH"), run_auth, CMD_BOTH | CMD_BEFORE_AUTH},
    /* It refuses for itself, since the chunk has to be read all the same. */
    {STR_INIT("BDAT"), run_bdat, CMD_BOTH | CMD_BEFORE_AUTH},
    {STR_INIT("XCLIENT"), run_xclient, CMD_BOTH | CMD_BEFORE_AUTH},
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

/* Controls in a line: a command that nobody could have meant. */
static bool
controls_refuse(struct command *c, struct str line)
{
	/* The length of the chunk behind it is anybody's guess. */
	if (c->s->conf->is_chunking_offered && str_has_prefix_ci(line, STR("BDAT"))) {
		smtp_last_put(c->s, c->out, 500, STR("5.5.2 control character in command"));
		return false;
	}
	return error(c, 500, STR("5.5.2 control character in command"));
}

bool
smtp_command_run(
    struct smtp_server *s, struct str line, bool is_last, struct buf *out, struct smtp_event *ev)
{
	struct command c = {.s = s, .is_last = is_last, .out = out, .ev = ev};
	struct str verb;
	size_t i;

	line = trailing_space_cut(line);
	(void)str_split(line, ' ', &verb, &c.arg);
	i = command_find(verb, s->conf->mode);
	/* RFC 2920 3.1: the client could not know what to send next before our reply to these. */
	if (!is_last && i < COUNT_OF(commands) && (commands[i].flags & CMD_LAST)) {
		smtp_sync_error_put(s, out);
		return false;
	}
	if (has_controls(line))
		return controls_refuse(&c, line);
	/* RFC 5321 3.1: after a 554 greeting. */
	if (s->state == SMTP_S_REFUSED && !str_eq_ci(verb, STR("QUIT")))
		return error(&c, 503, STR("5.5.1 no service here"));
	if (i == COUNT_OF(commands))
		return error(&c, 500, STR("5.5.1 command not recognised"));
	/* RFC 4954 6 */
	if (s->conf->is_auth_required && !s->is_authenticated &&
	    !(commands[i].flags & CMD_BEFORE_AUTH))
		return error(&c, 530, STR("5.7.0 authentication required"));
	return commands[i].run(&c);
}
