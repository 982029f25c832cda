#include "protocols/smtp/smtp_server.h"

#include "protocols/smtp/smtp_data.h"
#include "protocols/smtp/smtp_internal.h"

void
smtp_server_init(struct smtp_server *s, const struct smtp_server_conf *conf, bool is_tls)
{
	CHECK(conf->hostname.n > 0 && conf->hostname.n <= SMTP_DOMAIN_MAX);
	CHECK(conf->message_bytes_max > 0 && conf->rcpts_max > 0);
	*s = (struct smtp_server){.conf = conf, .is_tls = is_tls, .state = SMTP_S_START};
}

/* s, cleaned and cut to n bytes. */
static void
clean_put(struct buf *out, struct str s, size_t n)
{
	char line[SMTP_REPLY_LINE_MAX];

	CHECK(n <= sizeof(line));
	s = str_take(s, n);
	for (size_t i = 0; i < s.n; i++)
		line[i] = s.p[i] >= 32 && s.p[i] <= 126 ? s.p[i] : '?';
	buf_put(out, str_of(line, s.n));
}

void
smtp_reply_put(struct buf *out, unsigned code, char sep, struct str text)
{
	CHECK(code >= 200 && code <= 599);
	buf_put_u64(out, code);
	buf_put_c(out, sep);
	clean_put(out, text, SMTP_REPLY_LINE_MAX - 6);
	buf_put(out, STR("\r\n"));
}

void
smtp_last_put(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	smtp_reply_put(out, code, ' ', text);
	s->state = SMTP_S_CLOSING;
}

void
smtp_error_put(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	if (s->errors >= s->conf->errors_max) {
		smtp_last_put(s, out, 421, STR("4.7.0 too many errors"));
		return;
	}
	s->errors++;
	smtp_reply_put(out, code, ' ', text);
}

static void
raw_line_put(struct buf *out, struct str line)
{
	CHECK(line.n >= 3);
	clean_put(out, line, SMTP_REPLY_LINE_MAX - 2);
	buf_put(out, STR("\r\n"));
}

void
smtp_server_greet(struct smtp_server *s, struct buf *out)
{
	const char *protocol = s->conf->mode == SMTP_LMTP ? "LMTP" : "ESMTP";

	CHECK(s->state == SMTP_S_START);
	/* RFC 2034 4: no enhanced code in the greeting. */
	buf_putf(out, "220 %.*s %s Posthorn\r\n", STR_ARG(s->conf->hostname), protocol);
}

void
smtp_server_refuse(struct smtp_server *s, struct buf *out, struct str line_without_crlf)
{
	CHECK(s->state == SMTP_S_START);
	raw_line_put(out, line_without_crlf);
	s->state = line_without_crlf.p[0] == '5' ? SMTP_S_REFUSED : SMTP_S_CLOSING;
}

void
smtp_server_abort(struct smtp_server *s, struct buf *out, struct str line_without_crlf)
{
	raw_line_put(out, line_without_crlf);
	s->is_in_transaction = false;
	s->replies_due = 0;
	s->state = SMTP_S_CLOSING;
}

bool
smtp_server_is_waiting(const struct smtp_server *s)
{
	return s->replies_due > 0;
}

struct str
smtp_server_helo(const struct smtp_server *s)
{
	return str_of(s->helo, s->helo_n);
}

struct str
smtp_server_with(const struct smtp_server *s)
{
	/* RFC 3848; RFC 6531 4.3. "SMTPS" does not exist: without EHLO there was no STARTTLS. */
	static const struct str words[2][2][2] = {
	    {{STR_INIT("ESMTP"), STR_INIT("ESMTPS")},
		{STR_INIT("UTF8SMTP"), STR_INIT("UTF8SMTPS")}},
	    {{STR_INIT("LMTP"), STR_INIT("LMTPS")}, {STR_INIT("UTF8LMTP"), STR_INIT("UTF8LMTPS")}},
	};
	bool is_lmtp = s->conf->mode == SMTP_LMTP;

	if (!is_lmtp && !s->is_esmtp)
		return STR("SMTP");
	return words[is_lmtp][s->is_smtputf8][s->is_tls];
}

static void
answered(struct smtp_server *s, unsigned code)
{
	bool is_ok = code >= 200 && code < 300;

	switch ((enum smtp_state)s->state) {
	case SMTP_S_MAIL_WAIT:
		s->is_in_transaction = is_ok;
		s->rcpts = 0;
		break;
	case SMTP_S_RCPT_WAIT:
		s->rcpts += is_ok;
		break;
	case SMTP_S_DATA_WAIT:
		s->data_bytes = 0;
		s->data_state = SMTP_DATA_LINE_START;
		s->is_too_large = false;
		break;
	case SMTP_S_END_WAIT:
		s->is_in_transaction = false;
		s->rcpts = 0;
		break;
	case SMTP_S_START:
	case SMTP_S_READY:
	case SMTP_S_REFUSED:
	case SMTP_S_LINE_SKIP:
	case SMTP_S_DATA:
	case SMTP_S_CLOSING:
		check_failed(__FILE__, __LINE__, "an answer is due");
	}
	s->state = code == 354 ? SMTP_S_DATA : SMTP_S_READY;
}

void
smtp_server_reply(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	CHECK(s->replies_due > 0);
	CHECK(code != 354 || s->state == SMTP_S_DATA_WAIT);
	smtp_reply_put(out, code, ' ', text);
	if (code == 421)
		s->is_closing = true;
	if (--s->replies_due > 0)
		return;
	answered(s, code);
	if (s->is_closing)
		s->state = SMTP_S_CLOSING;
}

/* The message is over without an event: in LMTP every accepted recipient wants its reply (RFC
 * 2033 4.2). */
static void
data_refuse(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	uint32_t n = s->conf->mode == SMTP_LMTP ? s->rcpts : 1;

	for (uint32_t i = 0; i < n; i++)
		smtp_reply_put(out, code, ' ', text);
	s->rcpts = 0;
}

static bool
data_chunk(struct smtp_server *s, struct str bytes, struct buf *out, struct smtp_event *ev)
{
	uint64_t max = s->conf->message_bytes_max;

	s->data_bytes += bytes.n;
	if (s->data_bytes <= max) {
		*ev = (struct smtp_event){.kind = SMTP_EV_CHUNK, .bytes = bytes};
		return true;
	}
	if (s->data_bytes - max > SMTP_DATA_SKIP_MAX) {
		data_refuse(s, out, 552, STR("5.3.4 message size exceeds the limit"));
		s->state = SMTP_S_CLOSING;
		return false;
	}
	if (s->is_too_large)
		return false;
	s->is_too_large = true;
	s->is_in_transaction = false;
	ev->kind = SMTP_EV_ABORT;
	return true;
}

static bool
data_end(struct smtp_server *s, struct buf *out, struct smtp_event *ev)
{
	s->messages++;
	if (s->is_too_large) {
		data_refuse(s, out, 552, STR("5.3.4 message size exceeds the limit"));
		s->state = SMTP_S_READY;
		return false;
	}
	CHECK(s->rcpts > 0);
	s->replies_due = s->conf->mode == SMTP_LMTP ? s->rcpts : 1;
	s->state = SMTP_S_END_WAIT;
	ev->kind = SMTP_EV_END;
	return true;
}

static bool
data_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	struct str bytes;

	switch (smtp_data_take(in, &s->data_state, &bytes)) {
	case SMTP_DATA_MORE:
		return true;
	case SMTP_DATA_CHUNK:
		return data_chunk(s, bytes, out, ev);
	case SMTP_DATA_END:
		return data_end(s, out, ev);
	case SMTP_DATA_BARE:
		/* RFC 5321 2.3.8, 4.1.1.4: never a line's end. What follows may be smuggled: stop
		 * here. */
		data_refuse(s, out, 550, STR("5.5.2 bare CR or LF in message"));
		break;
	case SMTP_DATA_NUL:
		/*
		 * RFC 5321 4.5.2 would let it pass, but RFC 2045 2.7 and 2.8 forbid it in 7bit and
		 * 8bit data, IMAP cannot carry it, and it hides ends of data from servers that drop
		 * it.
		 */
		data_refuse(s, out, 550, STR("5.6.0 NUL in message"));
		break;
	}
	s->state = SMTP_S_CLOSING;
	return false;
}

/* The line without its CRLF. ST_LIMIT: too long, nothing taken. ST_SYNTAX: a bare CR or LF. */
static enum status
line_take(struct cur *in, struct str *line_out)
{
	size_t window = cur_left(in) < SMTP_LINE_MAX ? cur_left(in) : SMTP_LINE_MAX;
	const char *lf = window > 0 ? memchr(in->p, '\n', window) : NULL;
	size_t n;

	if (lf == NULL)
		return window == SMTP_LINE_MAX ? ST_LIMIT : ST_MORE;
	n = (size_t)(lf - in->p);
	if (n == 0 || lf[-1] != '\r' || memchr(in->p, '\r', n - 1) != NULL)
		return ST_SYNTAX;
	*line_out = str_of(in->p, n - 1);
	in->p = lf + 1;
	return ST_OK;
}

/* To the end of an over-long line. True when more input is needed. */
static bool
line_skip(struct smtp_server *s, struct cur *in, struct buf *out)
{
	struct str rest = cur_rest(in);
	size_t i = str_find_char(rest, '\n');
	bool is_crlf = i < rest.n && (i > 0 ? rest.p[i - 1] == '\r' : s->is_last_cr);

	if (rest.n == 0)
		return true;
	s->data_bytes += i;
	if (s->data_bytes > SMTP_LINE_SKIP_MAX) {
		smtp_last_put(s, out, 421, STR("4.7.0 line too long"));
		return false;
	}
	if (i == rest.n) {
		s->is_last_cr = rest.p[rest.n - 1] == '\r';
		in->p = in->end;
		return true;
	}
	cur_skip(in, i + 1);
	if (!is_crlf) {
		smtp_last_put(s, out, 500, STR("5.5.2 bare CR or LF in command"));
		return false;
	}
	s->state = s->data_state;
	smtp_error_put(s, out, 500, STR("5.5.2 line too long"));
	return false;
}

static void
line_skip_begin(struct smtp_server *s)
{
	/* data_state is free outside of DATA: it keeps where to go back to. */
	s->data_state = s->state;
	s->data_bytes = 0;
	s->is_last_cr = false;
	s->state = SMTP_S_LINE_SKIP;
}

static bool
command_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	struct str line;

	if (out->n >= SMTP_OUT_HIGH) {
		ev->kind = SMTP_EV_FLUSH;
		return true;
	}
	switch (line_take(in, &line)) {
	case ST_OK:
		return smtp_command_run(s, line, cur_at_end(in), out, ev);
	case ST_MORE:
		return true;
	case ST_LIMIT:
		line_skip_begin(s);
		return false;
	default:
		/* RFC 5321 2.3.8; the rest of the input cannot be trusted to be commands. */
		smtp_last_put(s, out, 500, STR("5.5.2 bare CR or LF in command"));
		return false;
	}
}

static void
closing_next(struct smtp_server *s, struct cur *in, struct smtp_event *ev)
{
	in->p = in->end;
	ev->kind = s->is_in_transaction ? SMTP_EV_ABORT : SMTP_EV_CLOSE;
	s->is_in_transaction = false;
}

/* One step; true when ev is to be given out. */
static bool
step(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	switch ((enum smtp_state)s->state) {
	case SMTP_S_START:
	case SMTP_S_READY:
	case SMTP_S_REFUSED:
		return command_next(s, in, out, ev);
	case SMTP_S_LINE_SKIP:
		return line_skip(s, in, out);
	case SMTP_S_DATA:
		return data_next(s, in, out, ev);
	case SMTP_S_MAIL_WAIT:
	case SMTP_S_RCPT_WAIT:
	case SMTP_S_DATA_WAIT:
	case SMTP_S_END_WAIT:
		return true;
	case SMTP_S_CLOSING:
		closing_next(s, in, ev);
		return true;
	}
	check_failed(__FILE__, __LINE__, "a known state");
}

struct smtp_event
smtp_server_next(struct smtp_server *s, struct cur *in, struct buf *out)
{
	struct smtp_event ev = {.kind = SMTP_EV_MORE};

	CHECK(s->conf != NULL);
	while (!step(s, in, out, &ev))
		;
	return ev;
}
