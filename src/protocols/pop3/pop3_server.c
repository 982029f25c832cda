#include "protocols/pop3/pop3_server.h"

#include <stdlib.h>

#include "base/enc.h"
#include "protocols/pop3/pop3_internal.h"

struct pop3_server *
pop3_server_new(const struct pop3_server_conf *conf, bool is_tls, bool is_cleartext_ok)
{
	struct pop3_server *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	CHECK(conf->hostname.n > 0 && conf->hostname.n <= 255);
	s->conf = conf;
	s->is_tls = is_tls;
	s->is_cleartext_ok = is_cleartext_ok;
	buf_init(&s->secret, POP3_AUTH_LINE_MAX);
	return s;
}

void
pop3_secret_wipe(struct pop3_server *s)
{
	if (s->secret.p != NULL)
		explicit_bzero(s->secret.p, s->secret.cap);
	buf_fini(&s->secret);
	s->user_n = 0;
}

void
pop3_server_free(struct pop3_server **s)
{
	if (*s == NULL)
		return;
	pop3_secret_wipe(*s);
	free((*s)->deleted);
	free((*s)->retrieved);
	free(*s);
	*s = NULL;
}

void
pop3_server_mechanisms(struct pop3_server *s, struct str names)
{
	CHECK(names.n + sizeof("SASL \r\n") <= POP3_REPLY_LINE_MAX);
	s->mechanisms = names;
}

bool
pop3_can_login(const struct pop3_server *s)
{
	return s->is_tls || s->is_cleartext_ok;
}

bool
pop3_server_is_waiting(const struct pop3_server *s)
{
	switch ((enum pop3_state)s->state) {
	case POP3_S_LOGIN_WAIT:
	case POP3_S_SASL_WAIT:
	case POP3_S_RETR_WAIT:
	case POP3_S_BODY:
	case POP3_S_UPDATE_WAIT:
		return true;
	case POP3_S_AUTHORIZATION:
	case POP3_S_SASL_LINE:
	case POP3_S_TRANSACTION:
	case POP3_S_LISTING:
	case POP3_S_LINE_SKIP:
	case POP3_S_CLOSING:
		return false;
	}
	check_failed(__FILE__, __LINE__, "a known state");
}

static void
status_put(struct buf *out, struct str status, struct str code, struct str text)
{
	char line[POP3_REPLY_LINE_MAX];

	CHECK(status.n + code.n + 2 < sizeof(line));
	text = str_take(text, sizeof(line) - status.n - code.n - 2);
	for (size_t i = 0; i < text.n; i++)
		line[i] = text.p[i] >= 32 && text.p[i] <= 126 ? text.p[i] : '?';
	buf_put(out, status);
	buf_put(out, code);
	buf_put(out, str_of(line, text.n));
	buf_put(out, STR("\r\n"));
}

void
pop3_ok_put(struct buf *out, struct str text)
{
	status_put(out, STR("+OK "), STR_NULL, text);
}

void
pop3_err_put(struct buf *out, struct str text)
{
	status_put(out, STR("-ERR "), STR_NULL, text);
}

void
pop3_last_put(struct pop3_server *s, struct buf *out, struct str text)
{
	pop3_err_put(out, text);
	s->state = POP3_S_CLOSING;
}

void
pop3_error_put(struct pop3_server *s, struct buf *out, struct str text)
{
	if (s->errors >= POP3_ERRORS_MAX) {
		pop3_last_put(s, out, STR("too many errors"));
		return;
	}
	s->errors++;
	pop3_err_put(out, text);
}

void
pop3_server_greet(struct pop3_server *s, struct buf *out)
{
	/* RFC 1939 7: no "<...>" in it, that would offer APOP. */
	buf_putf(out, "+OK %.*s Posthorn ready\r\n", STR_ARG(s->conf->hostname));
}

void
pop3_drop_put(const struct pop3_server *s, struct buf *out, const char *what)
{
	buf_putf(out, "+OK %s%lu messages (%llu octets)\r\n", what, (unsigned long)s->left_n,
	    (unsigned long long)s->left_bytes);
}

void
pop3_list_line_put(const struct pop3_server *s, struct buf *out, uint32_t index, bool is_uidl)
{
	const struct pop3_message *m = &s->messages[index];

	buf_put_u64(out, (uint64_t)index + 1);
	buf_put_c(out, ' ');
	if (is_uidl) {
		/* RFC 1939 7: at most 70 characters; these are at most 21. */
		buf_put_u64(out, s->uidvalidity);
		buf_put_c(out, '.');
		buf_put_u64(out, m->uid);
	} else {
		buf_put_u64(out, m->size_bytes);
	}
	buf_put(out, STR("\r\n"));
}

/* ---- answers of the owner ---- */

static uint8_t *
bits_new(uint32_t n)
{
	uint8_t *set = calloc((size_t)n / 8 + 1, 1);

	CHECK(set != NULL);
	return set;
}

static void
login_answer_is_due(const struct pop3_server *s)
{
	CHECK(s->state == POP3_S_LOGIN_WAIT || s->state == POP3_S_SASL_WAIT);
}

void
pop3_server_login_ok(struct pop3_server *s, struct buf *out, const struct pop3_message *messages,
    uint32_t n, uint32_t uidvalidity, bool expire_0)
{
	login_answer_is_due(s);
	pop3_secret_wipe(s);
	s->messages = messages;
	s->n = s->left_n = n;
	s->uidvalidity = uidvalidity;
	s->expire_0 = expire_0;
	for (uint32_t i = 0; i < n; i++)
		s->left_bytes += messages[i].size_bytes;
	s->deleted = bits_new(n);
	if (expire_0)
		s->retrieved = bits_new(n);
	pop3_drop_put(s, out, "maildrop has ");
	s->state = POP3_S_TRANSACTION;
}

/* An owner's sentence must not pass for a response code (RFC 2449 8). */
static struct str
sentence(struct str text)
{
	while (text.n > 0 && (text.p[0] == '[' || text.p[0] == ' '))
		text = str_from(text, 1);
	return text;
}

void
pop3_server_login_fail(
    struct pop3_server *s, struct buf *out, enum pop3_login_failure why, struct str text)
{
	/* RFC 3206, RFC 2449 8.1.2 */
	static const struct str codes[] = {
	    [POP3_FAIL_AUTH] = STR_INIT("[AUTH] "),
	    [POP3_FAIL_TEMP] = STR_INIT("[SYS/TEMP] "),
	    [POP3_FAIL_IN_USE] = STR_INIT("[IN-USE] "),
	};

	login_answer_is_due(s);
	status_put(out, STR("-ERR "), codes[why], sentence(text));
	/* Only now: text may borrow from the event. */
	pop3_secret_wipe(s);
	s->state = ++s->tries >= POP3_LOGIN_TRIES_MAX ? POP3_S_CLOSING : POP3_S_AUTHORIZATION;
}

void
pop3_server_challenge(struct pop3_server *s, struct buf *out, struct str server_bytes)
{
	CHECK(s->state == POP3_S_SASL_WAIT && server_bytes.n <= POP3_CHALLENGE_MAX);
	buf_put(out, STR("+ "));
	(void)base64_encode(server_bytes, out);
	buf_put(out, STR("\r\n"));
	/* Only now: server_bytes may borrow from the event. */
	pop3_secret_wipe(s);
	s->sasl_step++;
	s->state = POP3_S_SASL_LINE;
}

static void
body_begin(struct pop3_server *s, struct buf *out)
{
	if (s->state == POP3_S_BODY)
		return;
	CHECK(s->state == POP3_S_RETR_WAIT);
	if (s->body.is_top)
		pop3_ok_put(out, STR("top of message follows"));
	else
		buf_putf(out, "+OK %lu octets\r\n",
		    (unsigned long)s->messages[s->retr_index].size_bytes);
	s->state = POP3_S_BODY;
}

bool
pop3_server_body(struct pop3_server *s, struct buf *out, struct str piece)
{
	CHECK(piece.n <= POP3_PIECE_MAX);
	body_begin(s, out);
	return pop3_body_put(&s->body, out, piece);
}

void
pop3_server_body_end(struct pop3_server *s, struct buf *out)
{
	body_begin(s, out);
	pop3_body_end(&s->body, out);
	if (s->retrieved != NULL && !s->body.is_top)
		s->retrieved[s->retr_index / 8] |= (uint8_t)(1u << (s->retr_index % 8));
	s->state = POP3_S_TRANSACTION;
}

void
pop3_server_fail(struct pop3_server *s, struct buf *out, struct str text)
{
	CHECK(s->state == POP3_S_RETR_WAIT || s->state == POP3_S_UPDATE_WAIT);
	status_put(out, STR("-ERR "), STR("[SYS/TEMP] "), sentence(text));
	/* RFC 1939 6: whether deleting worked or not, QUIT ends the session. */
	s->state = s->state == POP3_S_UPDATE_WAIT ? POP3_S_CLOSING : POP3_S_TRANSACTION;
}

void
pop3_server_update_ok(struct pop3_server *s, struct buf *out)
{
	CHECK(s->state == POP3_S_UPDATE_WAIT);
	pop3_ok_put(out, STR("bye"));
	s->state = POP3_S_CLOSING;
}

bool
pop3_server_is_deleted(const struct pop3_server *s, uint32_t index)
{
	CHECK(index < s->n);
	return pop3_bit(s->deleted, index) || pop3_bit(s->retrieved, index);
}

/* ---- input ---- */

/* The line without its CRLF. ST_LIMIT: longer than max with CRLF, nothing taken. ST_SYNTAX: a bare
 * CR or LF. */
static enum status
line_take(struct cur *in, size_t max, struct str *line_out)
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

/* An over-long response also ends the SASL exchange: the client counts one reply for it. */
static void
line_skip_begin(struct pop3_server *s)
{
	s->skip_state = s->state == POP3_S_TRANSACTION ? POP3_S_TRANSACTION : POP3_S_AUTHORIZATION;
	s->skipped_bytes = 0;
	s->is_last_cr = false;
	pop3_secret_wipe(s);
	s->state = POP3_S_LINE_SKIP;
}

/* To the end of an over-long line. True when more input is needed. */
static bool
line_skip(struct pop3_server *s, struct cur *in, struct buf *out)
{
	struct str rest = cur_rest(in);
	size_t i = str_find_char(rest, '\n');
	bool is_crlf = i < rest.n && (i > 0 ? rest.p[i - 1] == '\r' : s->is_last_cr);

	if (rest.n == 0)
		return true;
	if (i > POP3_LINE_SKIP_MAX - s->skipped_bytes) {
		pop3_last_put(s, out, STR("line too long"));
		return false;
	}
	s->skipped_bytes += (uint32_t)i;
	if (i == rest.n) {
		s->is_last_cr = rest.p[rest.n - 1] == '\r';
		in->p = in->end;
		return true;
	}
	cur_skip(in, i + 1);
	if (!is_crlf) {
		pop3_last_put(s, out, STR("bare CR or LF in command"));
		return false;
	}
	s->state = s->skip_state;
	pop3_error_put(s, out, STR("line too long"));
	return false;
}

static bool
line_next(struct pop3_server *s, struct cur *in, struct buf *out, struct pop3_event *ev)
{
	bool is_sasl = s->state == POP3_S_SASL_LINE;
	struct str line;

	if (out->n >= POP3_OUT_HIGH) {
		ev->kind = POP3_EV_FLUSH;
		return true;
	}
	switch (line_take(in, is_sasl ? POP3_AUTH_LINE_MAX : POP3_LINE_MAX, &line)) {
	case ST_OK:
		return is_sasl ? pop3_sasl_line_run(s, line, out, ev)
			       : pop3_command_run(s, line, cur_at_end(in), out, ev);
	case ST_MORE:
		return true;
	case ST_LIMIT:
		line_skip_begin(s);
		return false;
	default:
		pop3_last_put(s, out, STR("bare CR or LF in command"));
		return false;
	}
}

/* True when out is well filled. */
static bool
listing_next(struct pop3_server *s, struct buf *out, struct pop3_event *ev)
{
	for (; s->list_at < s->n; s->list_at++) {
		if (out->n >= POP3_OUT_HIGH) {
			ev->kind = POP3_EV_FLUSH;
			return true;
		}
		if (!pop3_bit(s->deleted, s->list_at))
			pop3_list_line_put(s, out, s->list_at, s->is_uidl);
	}
	buf_put(out, STR(".\r\n"));
	s->state = POP3_S_TRANSACTION;
	return false;
}

/* One step; true when ev is to be given out. */
static bool
step(struct pop3_server *s, struct cur *in, struct buf *out, struct pop3_event *ev)
{
	switch ((enum pop3_state)s->state) {
	case POP3_S_AUTHORIZATION:
	case POP3_S_SASL_LINE:
	case POP3_S_TRANSACTION:
		return line_next(s, in, out, ev);
	case POP3_S_LISTING:
		return listing_next(s, out, ev);
	case POP3_S_LINE_SKIP:
		return line_skip(s, in, out);
	case POP3_S_LOGIN_WAIT:
	case POP3_S_SASL_WAIT:
	case POP3_S_RETR_WAIT:
	case POP3_S_BODY:
	case POP3_S_UPDATE_WAIT:
		return true;
	case POP3_S_CLOSING:
		in->p = in->end;
		ev->kind = POP3_EV_CLOSE;
		return true;
	}
	check_failed(__FILE__, __LINE__, "a known state");
}

struct pop3_event
pop3_server_next(struct pop3_server *s, struct cur *in, struct buf *out)
{
	struct pop3_event ev = {.kind = POP3_EV_MORE};

	while (!step(s, in, out, &ev))
		;
	return ev;
}
