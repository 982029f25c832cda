#include "protocols/smtp/smtp_client_internal.h"

void
smtp_client_init(struct smtp_client *c, const struct smtp_client_conf *conf, bool is_tls)
{
	CHECK(conf->helo.n > 0 && conf->helo.n <= SMTP_DOMAIN_MAX);
	for (size_t i = 0; i < conf->helo.n; i++)
		CHECK(conf->helo.p[i] > 32 && conf->helo.p[i] < 127);
	*c = (struct smtp_client){.conf = conf, .is_tls = is_tls, .state = SMTP_C_GREETING};
	smtp_reply_reader_init(&c->reader);
}

struct smtp_reply
smtp_client_local_reply(uint16_t code, uint16_t subject, uint16_t detail, struct str text)
{
	return (struct smtp_reply){.code = code,
	    .enhanced = {code / 100, subject, detail},
	    .text = text,
	    .is_local = true};
}

void
smtp_client_close(struct smtp_client *c, struct smtp_reply reply)
{
	c->reply = reply;
	c->mail = NULL;
	c->state = SMTP_C_CLOSED;
}

void
smtp_client_close_politely(struct smtp_client *c, struct buf *out, struct smtp_reply reply)
{
	buf_put(out, STR("QUIT\r\n"));
	smtp_client_close(c, reply);
}

void
smtp_client_violation(struct smtp_client *c, struct str why)
{
	c->is_protocol_error = true;
	smtp_client_close(c, smtp_client_local_reply(451, 5, 0, why));
}

bool
smtp_client_has_room(struct smtp_client *c, struct buf *out)
{
	if (buf_reserve(out, SMTP_CLIENT_COMMAND_MAX) != NULL)
		return true;
	/* The owner sends as fast as the peer reads. */
	smtp_client_violation(c, STR("answers came, but commands were not read"));
	return false;
}

void
smtp_client_send(struct smtp_client *c, enum smtp_client_state command)
{
	c->send_state = (uint8_t)command;
	c->state = SMTP_C_SEND;
}

static void
line_seen(struct smtp_client *c, const struct smtp_reply_line *line)
{
	if (c->state == SMTP_C_EHLO && line->code / 100 == 2 && !line->is_first)
		smtp_client_ext_line(&c->ext, line->text);
	if (c->state == SMTP_C_AUTH_WAIT && line->code == 334)
		smtp_client_challenge_line(c, line);
}

enum status
smtp_client_reply_take(struct smtp_client *c, struct cur *in, struct smtp_reply *reply_out)
{
	struct smtp_reply_line line;
	enum status st;

	do {
		st = smtp_reply_take(&c->reader, in, &line);
		if (st == ST_MORE)
			return ST_MORE;
		if (st != ST_OK) {
			smtp_client_violation(c, st == ST_LIMIT ? STR("a reply is too long")
								: STR("bytes that are no reply"));
			return ST_EOF;
		}
		line_seen(c, &line);
		if (c->state == SMTP_C_CLOSED)
			return ST_EOF;
	} while (!line.is_last);
	*reply_out = smtp_reply_get(&c->reader);
	/* RFC 5321 3.8: at any time, and nothing follows it. */
	if (reply_out->code == 421) {
		smtp_client_close(c, *reply_out);
		return ST_EOF;
	}
	return ST_OK;
}

enum status
smtp_client_unasked_take(struct smtp_client *c, struct cur *in)
{
	struct smtp_reply reply;
	enum status st = smtp_client_reply_take(c, in, &reply);

	if (st != ST_OK)
		return st;
	if (reply.code / 100 == 4 || (c->state == SMTP_C_BODY && reply.code / 100 == 5))
		smtp_client_close(c, reply);
	else
		smtp_client_violation(c, STR("a reply that nothing asked for"));
	return ST_EOF;
}

static bool
owner_due_step(struct smtp_client *c, struct cur *in)
{
	return cur_at_end(in) || smtp_client_unasked_take(c, in) == ST_MORE;
}

static void
command_put(struct smtp_client *c, struct buf *out)
{
	const char *hello = c->send_state == SMTP_C_HELO ? "HELO"
			    : c->conf->is_lmtp		 ? "LHLO"
							 : "EHLO";

	if (c->send_state == SMTP_C_STARTTLS)
		buf_put(out, STR("STARTTLS\r\n"));
	else if (c->send_state == SMTP_C_RSET)
		buf_put(out, STR("RSET\r\n"));
	else
		buf_putf(out, "%s %.*s\r\n", hello, STR_ARG(c->conf->helo));
}

/* What lies in the input was written before our command, so it is no answer to it. */
static bool
send_step(struct smtp_client *c, struct cur *in, struct buf *out)
{
	if (!cur_at_end(in))
		return smtp_client_unasked_take(c, in) == ST_MORE;
	if (!smtp_client_has_room(c, out))
		return false;
	command_put(c, out);
	c->state = c->send_state;
	return false;
}

/* TLS is no matter any more. */
static void
hello_done_with_tls(struct smtp_client *c, struct buf *out)
{
	if (!c->conf->has_auth)
		c->state = SMTP_C_READY_DUE;
	else if (smtp_client_has(c, SMTP_EXT_AUTH))
		c->state = SMTP_C_AUTH_DUE;
	else
		smtp_client_close_politely(c, out,
		    smtp_client_local_reply(454, 7, 0, STR("the server does not offer AUTH")));
}

static void
hello_done(struct smtp_client *c, struct buf *out)
{
	if (c->is_tls || c->conf->starttls == SMTP_STARTTLS_NEVER)
		hello_done_with_tls(c, out);
	else if (smtp_client_has(c, SMTP_EXT_STARTTLS))
		smtp_client_send(c, SMTP_C_STARTTLS);
	else if (c->conf->starttls == SMTP_STARTTLS_MUST)
		smtp_client_close_politely(c, out,
		    smtp_client_local_reply(454, 7, 4, STR("the server does not offer STARTTLS")));
	else
		hello_done_with_tls(c, out);
}

static void
on_greeting(struct smtp_client *c, struct buf *out, const struct smtp_reply *reply)
{
	if (smtp_reply_is_ok(reply))
		smtp_client_send(c, SMTP_C_EHLO);
	else if (smtp_reply_is_refusal(reply)) /* RFC 5321 3.1: QUIT all the same */
		smtp_client_close_politely(c, out, *reply);
	else
		smtp_client_violation(c, STR("the greeting is no greeting"));
}

static void
on_hello(struct smtp_client *c, struct buf *out, const struct smtp_reply *reply)
{
	bool is_tls_missing = !c->is_tls && c->conf->starttls == SMTP_STARTTLS_MUST;

	if (smtp_reply_is_ok(reply))
		hello_done(c, out);
	else if (!smtp_reply_is_refusal(reply))
		smtp_client_violation(c, STR("the reply to the hello is neither yes nor no"));
	else if (reply->code < 500 || c->conf->is_lmtp || c->state == SMTP_C_HELO)
		smtp_client_close_politely(c, out, *reply);
	else if (is_tls_missing) /* without EHLO there is no STARTTLS */
		hello_done(c, out);
	else /* RFC 5321 3.2 */
		smtp_client_send(c, SMTP_C_HELO);
}

static void
on_starttls(struct smtp_client *c, struct cur *in, struct buf *out, const struct smtp_reply *reply)
{
	if (smtp_reply_is_refusal(reply)) {
		if (c->conf->starttls == SMTP_STARTTLS_MUST)
			smtp_client_close_politely(c, out, *reply);
		else
			hello_done_with_tls(c, out);
		return;
	}
	c->is_starttls_broken = true;
	if (reply->code != 220) {
		smtp_client_violation(c, STR("the reply to STARTTLS is neither yes nor no"));
		return;
	}
	/* RFC 3207 6: somebody on the way may have written it for the time after the handshake. */
	if (!cur_at_end(in)) {
		smtp_client_violation(c, STR("plaintext behind the reply to STARTTLS"));
		return;
	}
	c->is_starttls_broken = false;
	c->state = SMTP_C_ENDED;
}

/* The states of the hello, and QUIT: one reply each. */
static bool
reply_step(struct smtp_client *c, struct cur *in, struct buf *out)
{
	struct smtp_reply reply;
	enum status st = smtp_client_reply_take(c, in, &reply);

	if (st != ST_OK)
		return st == ST_MORE;
	if (c->state == SMTP_C_GREETING)
		on_greeting(c, out, &reply);
	else if (c->state == SMTP_C_EHLO || c->state == SMTP_C_HELO)
		on_hello(c, out, &reply);
	else if (c->state == SMTP_C_STARTTLS)
		on_starttls(c, in, out, &reply);
	else if (c->state == SMTP_C_QUIT)
		smtp_client_close(c, reply);
	else if (smtp_reply_is_ok(&reply)) /* RSET */
		smtp_client_tx_begin(c);
	else /* not with its reply: a 5xx would bounce a message that the peer has not seen */
		smtp_client_violation(c, STR("RSET was refused"));
	return false;
}

static bool
tell(struct smtp_client *c, struct smtp_client_event *ev, enum smtp_client_event_kind kind,
    enum smtp_client_state state)
{
	ev->kind = kind;
	c->state = (uint8_t)state;
	return true;
}

static bool
begin_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev)
{
	if (!cur_at_end(in))
		return smtp_client_unasked_take(c, in) == ST_MORE;
	ev->reply = smtp_client_mail_check(c);
	if (ev->reply.code != 0)
		return tell(c, ev, SMTP_CL_UNSENDABLE, SMTP_C_DONE_DUE);
	if (c->is_rset_needed)
		smtp_client_send(c, SMTP_C_RSET);
	else
		smtp_client_tx_begin(c);
	return false;
}

static bool
done_step(struct smtp_client *c, struct smtp_client_event *ev)
{
	c->mail = NULL;
	return tell(c, ev, SMTP_CL_DONE, SMTP_C_IDLE);
}

static bool
closed_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev)
{
	in->p = in->end;
	ev->reply = c->reply;
	ev->is_protocol_error = c->is_protocol_error;
	return tell(c, ev, SMTP_CL_CLOSING, SMTP_C_CLOSED);
}

/* One step; true when ev is to be given out. */
static bool
step(struct smtp_client *c, struct cur *in, struct buf *out, struct smtp_client_event *ev)
{
	switch ((enum smtp_client_state)c->state) {
	case SMTP_C_GREETING:
	case SMTP_C_EHLO:
	case SMTP_C_HELO:
	case SMTP_C_STARTTLS:
	case SMTP_C_RSET:
	case SMTP_C_QUIT:
		return reply_step(c, in, out);
	case SMTP_C_SEND:
		return send_step(c, in, out);
	case SMTP_C_ENDED:
		return tell(c, ev, SMTP_CL_STARTTLS, SMTP_C_ENDED);
	case SMTP_C_AUTH_DUE:
		return tell(c, ev, SMTP_CL_AUTH_READY, SMTP_C_AUTH_IDLE);
	case SMTP_C_READY_DUE:
		return tell(c, ev, SMTP_CL_READY, SMTP_C_IDLE);
	case SMTP_C_AUTH_WAIT:
	case SMTP_C_AUTH_CANCEL:
		return smtp_client_auth_step(c, in, ev);
	case SMTP_C_AUTH_IDLE:
	case SMTP_C_AUTH_OWNER:
	case SMTP_C_IDLE:
		return owner_due_step(c, in);
	case SMTP_C_BEGIN:
		return begin_step(c, in, ev);
	case SMTP_C_TX:
		return smtp_client_tx_step(c, in, out, ev);
	case SMTP_C_BODY:
		return smtp_client_body_step(c, in, ev);
	case SMTP_C_END:
		return smtp_client_end_step(c, in, ev);
	case SMTP_C_REFUSED:
		return smtp_client_refused_step(c, ev);
	case SMTP_C_DRAIN:
		return smtp_client_drain_step(c, in);
	case SMTP_C_DONE_DUE:
		return done_step(c, ev);
	case SMTP_C_CLOSED:
		return closed_step(c, in, ev);
	}
	check_failed(__FILE__, __LINE__, "a known state");
}

struct smtp_client_event
smtp_client_next(struct smtp_client *c, struct cur *in, struct buf *out)
{
	struct smtp_client_event ev = {.kind = SMTP_CL_MORE};

	CHECK(c->conf != NULL);
	while (!step(c, in, out, &ev))
		;
	return ev;
}

void
smtp_client_mail(struct smtp_client *c, const struct smtp_client_mail *mail)
{
	CHECK(c->state == SMTP_C_IDLE && c->mail == NULL);
	CHECK(mail->rcpts_n > 0 && mail->rcpts_n <= SMTP_CLIENT_RCPTS_MAX);
	CHECK(!mail->has_priority || (mail->priority >= -9 && mail->priority <= 9));
	CHECK(!mail->has_by || mail->by_mode == 'N' || mail->by_mode == 'R');
	c->mail = mail;
	c->state = SMTP_C_BEGIN;
}

bool
smtp_client_can_mail(const struct smtp_client *c)
{
	return c->ext.mail_max == 0 || c->mails < c->ext.mail_max;
}

void
smtp_client_quit(struct smtp_client *c, struct buf *out)
{
	if (c->state == SMTP_C_CLOSED)
		return;
	CHECK(c->state == SMTP_C_IDLE || c->state == SMTP_C_AUTH_IDLE);
	buf_put(out, STR("QUIT\r\n"));
	c->state = SMTP_C_QUIT;
}

const struct smtp_client_ext *
smtp_client_ext(const struct smtp_client *c)
{
	return &c->ext;
}

bool
smtp_client_has(const struct smtp_client *c, enum smtp_client_ext_bit bit)
{
	return (c->ext.bits & (uint32_t)bit) != 0;
}

static enum smtp_client_phase
tx_phase(const struct smtp_client *c)
{
	if (c->answered == 0)
		return SMTP_PHASE_MAIL;
	return c->answered <= c->mail->rcpts_n ? SMTP_PHASE_RCPT : SMTP_PHASE_DATA;
}

enum smtp_client_phase
smtp_client_phase(const struct smtp_client *c)
{
	uint8_t state = c->state == SMTP_C_SEND ? c->send_state : c->state;

	switch ((enum smtp_client_state)state) {
	case SMTP_C_GREETING:
		return SMTP_PHASE_GREETING;
	case SMTP_C_SEND:
	case SMTP_C_EHLO:
	case SMTP_C_HELO:
	case SMTP_C_STARTTLS:
		return SMTP_PHASE_HELLO;
	case SMTP_C_AUTH_WAIT:
	case SMTP_C_AUTH_CANCEL:
		return SMTP_PHASE_AUTH;
	case SMTP_C_AUTH_DUE:
	case SMTP_C_AUTH_IDLE:
	case SMTP_C_AUTH_OWNER:
	case SMTP_C_READY_DUE:
	case SMTP_C_IDLE:
	case SMTP_C_DONE_DUE:
		return SMTP_PHASE_IDLE;
	case SMTP_C_BEGIN:
	case SMTP_C_RSET:
		return SMTP_PHASE_MAIL;
	case SMTP_C_TX:
		return tx_phase(c);
	case SMTP_C_BODY:
		return SMTP_PHASE_BODY;
	case SMTP_C_END:
	case SMTP_C_REFUSED:
	case SMTP_C_DRAIN:
		return SMTP_PHASE_END;
	case SMTP_C_QUIT:
		return SMTP_PHASE_QUIT;
	case SMTP_C_ENDED:
	case SMTP_C_CLOSED:
		return SMTP_PHASE_CLOSED;
	}
	check_failed(__FILE__, __LINE__, "a known state");
}
