#include "base/enc.h"
#include "protocols/smtp/smtp_internal.h"

void
smtp_server_set_auth_mechs(struct smtp_server *s, struct str mechs)
{
	CHECK(mechs.n <= SMTP_AUTH_MECHS_MAX);
	s->auth_mechs = mechs;
}

void
smtp_server_set_authenticated(struct smtp_server *s)
{
	s->is_authenticated = true;
}

bool
smtp_server_is_authenticated(const struct smtp_server *s)
{
	return s->is_authenticated;
}

static bool
is_offered(struct str mechs, struct str name)
{
	struct str one;

	while (mechs.n > 0) {
		(void)str_split(mechs, ' ', &one, &mechs);
		if (name.n > 0 && str_eq_ci(one, name))
			return true;
	}
	return false;
}

static bool
error(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	smtp_error_put(s, out, code, text);
	return false;
}

/* Whether AUTH has a place here; false: answered. */
static bool
may_begin(struct smtp_server *s, struct buf *out)
{
	if (s->conf->is_auth_over_tls_only && !s->is_tls)
		return error(s, out, 538, STR("5.7.11 encryption is required, use STARTTLS first"));
	if (s->auth_mechs.n == 0)
		return error(s, out, 502, STR("5.5.1 command not offered"));
	if (!s->is_esmtp)
		return error(s, out, 503, STR("5.5.1 EHLO first"));
	/* RFC 4954 4: once in a session, and not during a transaction. */
	if (s->is_authenticated)
		return error(s, out, 503, STR("5.5.1 already authenticated"));
	if (s->is_in_transaction)
		return error(s, out, 503, STR("5.5.1 not during a transaction"));
	return true;
}

/*
 * RFC 4954 4: the last command of a group, or with an initial response. Without one the client has
 * to wait for the challenge, and what it sent before is no answer to it.
 */
bool
smtp_auth_begin(
    struct smtp_server *s, struct str arg, bool is_last, struct buf *out, struct smtp_event *ev)
{
	struct str mechanism, initial;
	bool has_initial = str_split(arg, ' ', &mechanism, &initial);

	if (!s->conf->is_auth_offered)
		return error(s, out, 502, STR("5.5.1 command not offered"));
	if (!has_initial && !is_last) {
		smtp_sync_error_put(s, out);
		return false;
	}
	if (!may_begin(s, out))
		return false;
	if (mechanism.n == 0 || str_find_char(initial, ' ') < initial.n)
		return error(
		    s, out, 501, STR("5.5.4 expected a mechanism and at most one response"));
	if (!is_offered(s->auth_mechs, mechanism))
		return error(s, out, 504, STR("5.5.4 mechanism not offered"));
	ev->kind = SMTP_EV_AUTH;
	ev->mechanism = mechanism;
	ev->has_initial = has_initial;
	/* An empty response, since none at all would look like no initial response. */
	ev->bytes = str_eq(initial, STR("=")) ? STR_NULL : initial;
	s->is_in_auth = true;
	s->is_early = !is_last;
	smtp_wait(s, SMTP_S_AUTH_WAIT);
	return true;
}

void
smtp_server_challenge(struct smtp_server *s, struct buf *out, struct str bytes)
{
	CHECK(s->state == SMTP_S_AUTH_WAIT && s->replies_due == 1);
	CHECK(bytes.n <= SMTP_CHALLENGE_MAX);
	s->replies_due = 0;
	if (s->is_early) {
		smtp_sync_error_put(s, out);
		return;
	}
	/* RFC 4954 4: the space is there without a challenge too. */
	buf_put(out, STR("334 "));
	base64_encode(bytes, out);
	buf_put(out, STR("\r\n"));
	s->state = SMTP_S_AUTH_LINE;
}

void
smtp_auth_answered(struct smtp_server *s, struct buf *out, unsigned code, struct str text)
{
	CHECK(code == 235 || (code >= 400 && code <= 599));
	s->is_in_auth = false;
	s->is_authenticated = code == 235;
	s->state = SMTP_S_READY;
	/* Only what the client did wrong is counted. */
	if (code >= 500)
		smtp_error_put(s, out, code, text);
	else
		smtp_reply_put(out, code, ' ', text);
}

static bool
line_run(
    struct smtp_server *s, struct str line, bool is_last, struct buf *out, struct smtp_event *ev)
{
	if (!is_last) {
		smtp_sync_error_put(s, out);
		return false;
	}
	if (str_eq(line, STR("*"))) {
		s->is_in_auth = false;
		s->state = SMTP_S_READY;
		smtp_error_put(s, out, 501, STR("5.7.0 authentication cancelled"));
		ev->kind = SMTP_EV_AUTH_CANCEL;
		return true;
	}
	ev->kind = SMTP_EV_AUTH_LINE;
	ev->bytes = line;
	s->is_early = false;
	smtp_wait(s, SMTP_S_AUTH_WAIT);
	return true;
}

bool
smtp_auth_line_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	struct str line;

	switch (smtp_line_take(in, SMTP_AUTH_LINE_MAX, &line)) {
	case ST_OK:
		return line_run(s, line, cur_at_end(in), out, ev);
	case ST_MORE:
		return true;
	case ST_LIMIT:
		smtp_line_skip_begin(s);
		return false;
	default:
		smtp_last_put(s, out, 500, STR("5.5.2 bare CR or LF in response"));
		return false;
	}
}
