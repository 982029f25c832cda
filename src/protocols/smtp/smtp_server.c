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

void
smtp_server_set_now(struct smtp_server *s, int64_t unix_seconds)
{
	/* Until the year 5138 there is room for every time that may be added. */
	CHECK(unix_seconds >= 0 && unix_seconds < 100000000000);
	s->now = unix_seconds;
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

void
smtp_sync_error_put(struct smtp_server *s, struct buf *out)
{
	smtp_last_put(s, out, 554, STR("5.5.0 protocol synchronisation error"));
}

void
smtp_wait(struct smtp_server *s, enum smtp_state state)
{
	s->state = (uint8_t)state;
	s->replies_due = 1;
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
	s->is_in_auth = false;
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
	/*
	 * RFC 3848; RFC 6531 4.3: [LMTP][UTF8][TLS][AUTH]. "SMTPS" and "SMTPA" do not exist:
	 * without EHLO there was neither STARTTLS nor AUTH.
	 */
	static const struct str words[2][2][2][2] = {
	    {{{STR_INIT("ESMTP"), STR_INIT("ESMTPA")}, {STR_INIT("ESMTPS"), STR_INIT("ESMTPSA")}},
		{{STR_INIT("UTF8SMTP"), STR_INIT("UTF8SMTPA")},
		    {STR_INIT("UTF8SMTPS"), STR_INIT("UTF8SMTPSA")}}},
	    {{{STR_INIT("LMTP"), STR_INIT("LMTPA")}, {STR_INIT("LMTPS"), STR_INIT("LMTPSA")}},
		{{STR_INIT("UTF8LMTP"), STR_INIT("UTF8LMTPA")},
		    {STR_INIT("UTF8LMTPS"), STR_INIT("UTF8LMTPSA")}}},
	};
	bool is_lmtp = s->conf->mode == SMTP_LMTP;

	if (!is_lmtp && !s->is_esmtp)
		return STR("SMTP");
	return words[is_lmtp][s->is_smtputf8][s->is_tls][s->is_authenticated];
}

static void
data_answered(struct smtp_server *s, unsigned code)
{
	s->content = SMTP_C_DATA;
	s->state = code == 354 ? SMTP_S_DATA : SMTP_S_READY;
	s->data_bytes = 0;
	s->data_state = SMTP_DATA_LINE_START;
	s->is_too_large = false;
}

static void
answered(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	bool is_ok = code >= 200 && code < 300;
	enum smtp_state was = (enum smtp_state)s->state;

	s->state = SMTP_S_READY;
	switch (was) {
	case SMTP_S_MAIL_WAIT:
		s->is_in_transaction = is_ok;
		s->rcpts = 0;
		s->content = SMTP_C_NONE;
		return;
	case SMTP_S_RCPT_WAIT:
		s->rcpts += is_ok;
		return;
	case SMTP_S_DATA_WAIT:
		data_answered(s, code);
		return;
	case SMTP_S_BDAT_WAIT:
		smtp_bdat_answered(s, code, text);
		return;
	case SMTP_S_END_WAIT:
		s->is_in_transaction = false;
		s->rcpts = 0;
		s->content = SMTP_C_NONE;
		return;
	case SMTP_S_AUTH_WAIT:
		smtp_auth_answered(s, out, code, text);
		return;
	case SMTP_S_START:
	case SMTP_S_READY:
	case SMTP_S_REFUSED:
	case SMTP_S_LINE_SKIP:
	case SMTP_S_DATA:
	case SMTP_S_BDAT:
	case SMTP_S_BDAT_SKIP:
	case SMTP_S_AUTH_LINE:
	case SMTP_S_CLOSING:
		break;
	}
	check_failed(__FILE__, __LINE__, "an answer is due");
}

/* BDAT is answered when its chunk was read, AUTH where errors are counted. */
static bool
is_written_later(const struct smtp_server *s, unsigned code)
{
	return code != 421 && (s->state == SMTP_S_BDAT_WAIT || s->state == SMTP_S_AUTH_WAIT);
}

void
smtp_server_reply(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	CHECK(s->replies_due > 0);
	CHECK(code != 354 || s->state == SMTP_S_DATA_WAIT || s->state == SMTP_S_BDAT_WAIT);
	if (!is_written_later(s, code))
		smtp_reply_put(out, code, ' ', text);
	if (code == 421)
		s->is_closing = true;
	if (--s->replies_due > 0)
		return;
	if (s->is_closing && s->state != SMTP_S_END_WAIT) {
		s->is_in_auth = false;
		s->state = SMTP_S_CLOSING;
		return;
	}
	answered(s, out, code, text);
	if (s->is_closing)
		s->state = SMTP_S_CLOSING;
}

void
smtp_refusals_put(
    struct smtp_server *s, bool is_last, struct buf *out, unsigned code, struct str text)
{
	bool is_each = is_last && s->conf->mode == SMTP_LMTP;
	uint32_t n = is_each ? s->rcpts : 1;

	for (uint32_t i = 0; i < n; i++)
		smtp_reply_put(out, code, ' ', text);
	if (is_last)
		s->rcpts = 0;
}

static void
too_large_refuse(struct smtp_server *s, struct buf *out)
{
	smtp_refusals_put(s, true, out, 552, STR("5.3.4 message size exceeds the limit"));
}

void
smtp_bare_refuse(struct smtp_server *s, bool is_last, bool is_nul, struct buf *out)
{
	/*
	 * RFC 5321 2.3.8, 4.1.1.4: a bare CR or LF is never a line's end, and what follows may be
	 * smuggled. NUL: RFC 5321 4.5.2 would let it pass, but RFC 2045 2.7 and 2.8 forbid it in
	 * 7bit and 8bit data, IMAP cannot carry it, and it hides ends of data from servers that
	 * drop it.
	 */
	struct str text =
	    is_nul ? STR("5.6.0 NUL in message") : STR("5.5.2 bare CR or LF in message");

	smtp_refusals_put(s, is_last, out, 550, text);
	s->state = SMTP_S_CLOSING;
}

void
smtp_end_ask(struct smtp_server *s, struct smtp_event *ev)
{
	CHECK(s->rcpts > 0);
	s->messages++;
	s->replies_due = s->conf->mode == SMTP_LMTP ? s->rcpts : 1;
	s->state = SMTP_S_END_WAIT;
	ev->kind = SMTP_EV_END;
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
		too_large_refuse(s, out);
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
	if (!s->is_too_large) {
		smtp_end_ask(s, ev);
		return true;
	}
	s->messages++;
	too_large_refuse(s, out);
	s->content = SMTP_C_NONE;
	s->state = SMTP_S_READY;
	return false;
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
		smtp_bare_refuse(s, true, false, out);
		return false;
	case SMTP_DATA_NUL:
		smtp_bare_refuse(s, true, true, out);
		return false;
	}
	check_failed(__FILE__, __LINE__, "a known verdict");
}

enum status
smtp_line_take(struct cur *in, size_t max, struct str *line_out)
{
	size_t window = cur_left(in) < max ? cur_left(in) : max;
	const char *lf = window > 0 ? memchr(in->p, '\n', window) : NULL;
	size_t n;

	if (lf == NULL)
		return window == max ? ST_LIMIT : ST_MORE;
	n = (size_t)(lf - in->p);
	if (n == 0 || lf[-1] != '\r' || memchr(in->p, '\r', n - 1) != NULL)
		return ST_SYNTAX;
	*line_out = str_of(in->p, n - 1);
	in->p = lf + 1;
	return ST_OK;
}

/* An over-long line has ended. */
static bool
line_skipped(struct smtp_server *s, struct buf *out, struct smtp_event *ev)
{
	if (s->skip_state != SMTP_S_AUTH_LINE) {
		s->state = s->skip_state;
		smtp_error_put(s, out, 500, STR("5.5.2 line too long"));
		return false;
	}
	/* RFC 4954 4: the exchange has failed. */
	s->is_in_auth = false;
	s->state = SMTP_S_READY;
	smtp_error_put(s, out, 500, STR("5.5.6 authentication exchange line is too long"));
	ev->kind = SMTP_EV_AUTH_CANCEL;
	return true;
}

/* To the end of an over-long line. */
static bool
line_skip(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	struct str rest = cur_rest(in);
	size_t i = str_find_char(rest, '\n');
	bool is_crlf = i < rest.n && (i > 0 ? rest.p[i - 1] == '\r' : s->is_last_cr);

	if (rest.n == 0)
		return true;
	s->chunk_bytes += i;
	if (s->chunk_bytes > SMTP_LINE_SKIP_MAX) {
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
	return line_skipped(s, out, ev);
}

void
smtp_line_skip_begin(struct smtp_server *s)
{
	s->skip_state = s->state;
	s->chunk_bytes = 0;
	s->is_last_cr = false;
	s->state = SMTP_S_LINE_SKIP;
}

/* RFC 4954 4: AUTH with its initial response is longer than other commands. */
static size_t
command_max(const struct smtp_server *s, const struct cur *in)
{
	bool is_auth = s->conf->is_auth_offered && str_has_prefix_ci(cur_rest(in), STR("AUTH "));

	return is_auth ? SMTP_AUTH_LINE_MAX : SMTP_LINE_MAX;
}

static void
command_too_long(struct smtp_server *s, const struct cur *in, struct buf *out)
{
	/* Behind it lies a chunk of unknown length, which is no command. */
	if (s->conf->is_chunking_offered && str_has_prefix_ci(cur_rest(in), STR("BDAT")))
		smtp_last_put(s, out, 500, STR("5.5.2 line too long"));
	else
		smtp_line_skip_begin(s);
}

static bool
command_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	struct str line;

	switch (smtp_line_take(in, command_max(s, in), &line)) {
	case ST_OK:
		return smtp_command_run(s, line, cur_at_end(in), out, ev);
	case ST_MORE:
		return true;
	case ST_LIMIT:
		command_too_long(s, in, out);
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
	ev->kind = SMTP_EV_CLOSE;
	if (s->is_in_transaction)
		ev->kind = SMTP_EV_ABORT;
	else if (s->is_in_auth)
		ev->kind = SMTP_EV_AUTH_CANCEL;
	s->is_in_transaction = false;
	s->is_in_auth = false;
}

/* What a line is answered with has room. */
static bool
is_flush_due(const struct smtp_server *s, const struct buf *out)
{
	bool is_line = s->state == SMTP_S_READY || s->state == SMTP_S_START ||
		       s->state == SMTP_S_REFUSED || s->state == SMTP_S_AUTH_LINE;

	return is_line && out->n >= SMTP_OUT_HIGH;
}

/* One step; true when ev is to be given out. */
static bool
step(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	if (is_flush_due(s, out)) {
		ev->kind = SMTP_EV_FLUSH;
		return true;
	}
	switch ((enum smtp_state)s->state) {
	case SMTP_S_START:
	case SMTP_S_READY:
	case SMTP_S_REFUSED:
		return command_next(s, in, out, ev);
	case SMTP_S_LINE_SKIP:
		return line_skip(s, in, out, ev);
	case SMTP_S_DATA:
		return data_next(s, in, out, ev);
	case SMTP_S_BDAT:
		return smtp_bdat_next(s, in, out, ev);
	case SMTP_S_BDAT_SKIP:
		return smtp_bdat_skip_next(s, in, out, ev);
	case SMTP_S_AUTH_LINE:
		return smtp_auth_line_next(s, in, out, ev);
	case SMTP_S_AUTH_WAIT:
		s->is_early = s->is_early || !cur_at_end(in);
		return true;
	case SMTP_S_MAIL_WAIT:
	case SMTP_S_RCPT_WAIT:
	case SMTP_S_DATA_WAIT:
	case SMTP_S_BDAT_WAIT:
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
