#include "base/enc.h"
#include "base/num.h"
#include "protocols/pop3/pop3_internal.h"

/* What a handler works on; ev is given out when the handler returns true. */
struct command {
	struct pop3_server *s;
	struct str arg;
	bool is_last;
	struct buf *out;
	struct pop3_event *ev;
};

static bool
error(struct command *c, struct str text)
{
	pop3_error_put(c->s, c->out, text);
	return false;
}

static bool
has_no_argument(struct command *c)
{
	if (c->arg.n == 0)
		return true;
	return error(c, STR("no argument allowed"));
}

/* ---- before login ---- */

/* Said before the password is, so that it is not. */
static bool
login_may_begin(struct command *c)
{
	if (pop3_can_login(c->s))
		return true;
	return error(c, STR("[AUTH] use STLS or port 995 first"));
}

static bool
run_user(struct command *c)
{
	struct pop3_server *s = c->s;

	if (!login_may_begin(c))
		return false;
	if (c->arg.n == 0)
		return error(c, STR("a name is required"));
	CHECK(c->arg.n <= POP3_USER_MAX);
	pop3_secret_wipe(s);
	/* Room for the password too: growing would leave copies behind. */
	CHECK(buf_reserve(&s->secret, c->arg.n + POP3_LINE_MAX) != NULL);
	buf_put(&s->secret, c->arg);
	s->user_n = c->arg.n;
	pop3_ok_put(c->out, STR("now PASS"));
	return false;
}

static bool
login_event(struct command *c, struct str user, struct str password)
{
	c->ev->kind = POP3_EV_LOGIN;
	c->ev->user = user;
	c->ev->password = password;
	c->s->state = POP3_S_LOGIN_WAIT;
	return true;
}

/* RFC 1939 7 PASS: spaces are part of the password. */
static bool
run_pass(struct command *c)
{
	struct pop3_server *s = c->s;

	if (!login_may_begin(c))
		return false;
	if (s->user_n == 0)
		return error(c, STR("USER first"));
	if (c->arg.n == 0)
		return error(c, STR("a password is required"));
	CHECK(buf_put(&s->secret, c->arg) == ST_OK);
	struct str all = buf_str(&s->secret);
	return login_event(c, str_take(all, s->user_n), str_from(all, s->user_n));
}

static bool
sasl_event(struct command *c, bool has_bytes)
{
	struct pop3_server *s = c->s;

	c->ev->kind = POP3_EV_SASL;
	c->ev->has_sasl_bytes = has_bytes;
	c->ev->sasl_bytes = buf_str(&s->secret);
	c->ev->sasl_step = s->sasl_step;
	s->state = POP3_S_SASL_WAIT;
	return true;
}

/* True: the owner, who was asked before, is told. */
static bool
sasl_refuse(struct command *c, struct str text)
{
	c->s->state = POP3_S_AUTHORIZATION;
	pop3_secret_wipe(c->s);
	(void)error(c, text);
	if (c->s->sasl_step == 0)
		return false;
	c->ev->kind = POP3_EV_SASL_END;
	return true;
}

/* RFC 5034 4: a response in base64 that must be strict. */
static bool
sasl_response(struct command *c, struct str text)
{
	struct pop3_server *s = c->s;
	enum status st = ST_OK;

	pop3_secret_wipe(s);
	if (text.n > 0) {
		CHECK(buf_reserve(&s->secret, text.n) != NULL);
		st = base64_decode(text, &s->secret);
	}
	if (st != ST_OK)
		return sasl_refuse(c, STR("not base64"));
	return sasl_event(c, true);
}

/* The name as it was offered. */
static bool
mechanism_find(const struct pop3_server *s, struct str name, struct str *out)
{
	struct str rest = s->mechanisms;

	while (rest.n > 0) {
		(void)str_split(rest, ' ', out, &rest);
		if (str_eq_ci(name, *out))
			return true;
	}
	return false;
}

static bool
run_auth(struct command *c)
{
	struct str mechanism, initial;
	bool has_initial = str_split(c->arg, ' ', &mechanism, &initial);

	if (!login_may_begin(c))
		return false;
	if (!mechanism_find(c->s, mechanism, &c->ev->user))
		return error(c, STR("mechanism not offered"));
	c->s->sasl_step = 0;
	pop3_secret_wipe(c->s);
	if (!has_initial)
		return sasl_event(c, false);
	/* RFC 5034 4: "=" is the empty initial response. */
	return sasl_response(c, str_eq(initial, STR("=")) ? STR_NULL : initial);
}

bool
pop3_sasl_line_run(struct pop3_server *s, struct str line, struct buf *out, struct pop3_event *ev)
{
	struct command c = {.s = s, .out = out, .ev = ev};

	if (str_eq(line, STR("*")))
		return sasl_refuse(&c, STR("authentication cancelled"));
	return sasl_response(&c, line);
}

/* RFC 2595 4 */
static bool
run_stls(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	if (!c->s->conf->is_stls_offered || c->s->is_tls)
		return error(c, STR("STLS is not offered now"));
	if (!c->is_last) {
		/* What was sent ahead in the clear must not be taken for what comes under TLS. */
		pop3_last_put(c->s, c->out, STR("protocol synchronisation error"));
		return false;
	}
	pop3_ok_put(c->out, STR("begin TLS negotiation"));
	c->ev->kind = POP3_EV_STLS;
	/* The object has ended. What comes next is no longer ours to read. */
	c->s->state = POP3_S_CLOSING;
	return true;
}

/* RFC 2449 6; what belongs to the current state only is left out of the other. */
static bool
run_capa(struct command *c)
{
	const struct pop3_server *s = c->s;
	bool is_in = s->state == POP3_S_TRANSACTION;

	if (!has_no_argument(c))
		return false;
	buf_put(c->out, STR("+OK capabilities follow\r\nTOP\r\nUIDL\r\n"));
	if (pop3_can_login(s))
		buf_put(c->out, STR("USER\r\n"));
	if (pop3_can_login(s) && s->mechanisms.n > 0)
		buf_putf(c->out, "SASL %.*s\r\n", STR_ARG(s->mechanisms));
	if (s->conf->is_stls_offered && !s->is_tls && !is_in)
		buf_put(c->out, STR("STLS\r\n"));
	buf_put(c->out, STR("RESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"));
	/* RFC 2449 6.7: before login the smallest value that any user may have. */
	if (!is_in)
		buf_put(c->out, STR("EXPIRE 0 USER\r\n"));
	else if (s->expire_0)
		buf_put(c->out, STR("EXPIRE 0\r\n"));
	else
		buf_put(c->out, STR("EXPIRE NEVER\r\n"));
	buf_put(c->out, STR("IMPLEMENTATION Posthorn\r\n.\r\n"));
	return false;
}

static bool
run_quit(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	if (c->s->state == POP3_S_TRANSACTION) {
		c->ev->kind = POP3_EV_UPDATE;
		c->s->state = POP3_S_UPDATE_WAIT;
		return true;
	}
	pop3_ok_put(c->out, STR("bye"));
	c->s->state = POP3_S_CLOSING;
	return false;
}

/* ---- after login ---- */

/* A message-number that names a message there is (RFC 1939 5). False: answered. */
static bool
index_take(struct command *c, struct str text, uint32_t *index_out)
{
	uint64_t number;
	enum status st = str_to_u64(text, &number);

	if (st == ST_SYNTAX)
		return error(c, STR("a message number is required"));
	if (st != ST_OK || number == 0 || number > c->s->n) {
		pop3_err_put(c->out, STR("no such message"));
		return false;
	}
	*index_out = (uint32_t)(number - 1);
	if (!pop3_bit(c->s->deleted, *index_out))
		return true;
	pop3_err_put(c->out, STR("no such message, it was deleted"));
	return false;
}

static bool
run_stat(struct command *c)
{
	if (!has_no_argument(c))
		return false;
	buf_putf(c->out, "+OK %lu %llu\r\n", (unsigned long)c->s->left_n,
	    (unsigned long long)c->s->left_bytes);
	return false;
}

static bool
list_run(struct command *c, bool is_uidl)
{
	struct pop3_server *s = c->s;
	uint32_t index;

	if (c->arg.n > 0) {
		if (!index_take(c, c->arg, &index))
			return false;
		buf_put(c->out, STR("+OK "));
		pop3_list_line_put(s, c->out, index, is_uidl);
		return false;
	}
	pop3_drop_put(s, c->out, "");
	s->is_uidl = is_uidl;
	s->list_at = 0;
	s->state = POP3_S_LISTING;
	return false;
}

static bool
run_list(struct command *c)
{
	return list_run(c, false);
}

static bool
run_uidl(struct command *c)
{
	return list_run(c, true);
}

static bool
retr_event(struct command *c, uint32_t index, int64_t top_lines)
{
	c->s->retr_index = index;
	pop3_body_init(&c->s->body, top_lines);
	c->ev->kind = POP3_EV_RETR;
	c->ev->index = index;
	c->ev->top_lines = top_lines;
	c->s->state = POP3_S_RETR_WAIT;
	return true;
}

static bool
run_retr(struct command *c)
{
	uint32_t index;

	return index_take(c, c->arg, &index) && retr_event(c, index, -1);
}

static bool
run_top(struct command *c)
{
	struct str number, lines_text;
	uint64_t lines;
	uint32_t index;
	enum status st;

	if (!str_split(c->arg, ' ', &number, &lines_text))
		return error(c, STR("a message number and a number of lines are required"));
	st = str_to_u64(lines_text, &lines);
	if (st == ST_SYNTAX)
		return error(c, STR("a number of lines is required"));
	/* More lines than a message can have mean all of it. */
	if (st != ST_OK || lines > INT64_MAX)
		lines = INT64_MAX;
	return index_take(c, number, &index) && retr_event(c, index, (int64_t)lines);
}

static bool
run_dele(struct command *c)
{
	struct pop3_server *s = c->s;
	uint32_t index;

	if (!index_take(c, c->arg, &index))
		return false;
	s->deleted[index / 8] |= (uint8_t)(1u << (index % 8));
	s->left_n--;
	s->left_bytes -= s->messages[index].size_bytes;
	pop3_ok_put(c->out, STR("marked to be deleted"));
	return false;
}

static bool
run_noop(struct command *c)
{
	if (has_no_argument(c))
		pop3_ok_put(c->out, STR("nothing done"));
	return false;
}

static bool
run_rset(struct command *c)
{
	struct pop3_server *s = c->s;

	if (!has_no_argument(c))
		return false;
	for (uint32_t i = 0; i < s->n; i++)
		if (pop3_bit(s->deleted, i)) {
			s->left_n++;
			s->left_bytes += s->messages[i].size_bytes;
		}
	memset(s->deleted, 0, s->n / 8 + 1);
	pop3_drop_put(s, c->out, "maildrop has ");
	return false;
}

enum command_flags { CMD_OUT = 1, CMD_IN = 2 };

static const struct {
	struct str verb;
	bool (*run)(struct command *);
	unsigned flags; /* known before login (CMD_OUT), after it (CMD_IN) */
} commands[] = {
    {STR_INIT("USER"), run_user, CMD_OUT},
    {STR_INIT("PASS"), run_pass, CMD_OUT},
    {STR_INIT("AUTH"), run_auth, CMD_OUT},
    {STR_INIT("STLS"), run_stls, CMD_OUT},
    {STR_INIT("CAPA"), run_capa, CMD_OUT | CMD_IN},
    {STR_INIT("QUIT"), run_quit, CMD_OUT | CMD_IN},
    {STR_INIT("STAT"), run_stat, CMD_IN},
    {STR_INIT("LIST"), run_list, CMD_IN},
    {STR_INIT("UIDL"), run_uidl, CMD_IN},
    {STR_INIT("RETR"), run_retr, CMD_IN},
    {STR_INIT("TOP"), run_top, CMD_IN},
    {STR_INIT("DELE"), run_dele, CMD_IN},
    {STR_INIT("NOOP"), run_noop, CMD_IN},
    {STR_INIT("RSET"), run_rset, CMD_IN},
};

static bool
has_controls(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 32 || s.p[i] == 127)
			return true;
	return false;
}

bool
pop3_command_run(
    struct pop3_server *s, struct str line, bool is_last, struct buf *out, struct pop3_event *ev)
{
	unsigned now = s->state == POP3_S_TRANSACTION ? CMD_IN : CMD_OUT;
	struct command c = {.s = s, .is_last = is_last, .out = out, .ev = ev};
	struct str verb;

	(void)str_split(line, ' ', &verb, &c.arg);
	/* Spaces at the end belong to a password and to nothing else. */
	if (!str_eq_ci(verb, STR("PASS")))
		c.arg = str_trim(c.arg);
	if (has_controls(line))
		return error(&c, STR("control character in command"));
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (!str_eq_ci(verb, commands[i].verb))
			continue;
		if (!(commands[i].flags & now))
			return error(&c, STR("not in this state"));
		return commands[i].run(&c);
	}
	return error(&c, STR("unknown command"));
}
