#include "base/enc.h"
#include "protocols/smtp/smtp_client_internal.h"

/* AUTH (RFC 4954): the base64 and the lines. What is in them is the owner's. */

void
smtp_client_challenge_line(struct smtp_client *c, const struct smtp_reply_line *line)
{
	struct buf raw;

	if (!line->is_first || !line->is_last) {
		smtp_client_violation(c, STR("a challenge of many lines"));
		return;
	}
	buf_init(&raw, sizeof(c->challenge));
	if (base64_decode(str_trim(line->text), &raw) != ST_OK) {
		smtp_client_violation(c, STR("a challenge that is no base64"));
	} else {
		if (raw.n > 0)
			memcpy(c->challenge, raw.p, raw.n);
		c->challenge_n = (uint16_t)raw.n;
	}
	buf_fini(&raw);
}

static bool
on_challenge(struct smtp_client *c, struct smtp_client_event *ev)
{
	if (++c->challenges > SMTP_CLIENT_CHALLENGES_MAX) {
		smtp_client_violation(c, STR("too many challenges"));
		return false;
	}
	c->state = SMTP_C_AUTH_OWNER;
	ev->kind = SMTP_CL_AUTH_CHALLENGE;
	ev->bytes = str_of(c->challenge, c->challenge_n);
	return true;
}

bool
smtp_client_auth_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev)
{
	struct smtp_reply reply;
	enum status st = smtp_client_reply_take(c, in, &reply);

	if (st != ST_OK)
		return st == ST_MORE;
	if (reply.code == 334 && c->state == SMTP_C_AUTH_WAIT)
		return on_challenge(c, ev);
	/* RFC 4954 4: a cancelled exchange fails. We cancel when the peer did not prove itself: its
	 * yes is worth nothing. */
	if (!smtp_reply_is_refusal(&reply) &&
	    (c->state == SMTP_C_AUTH_CANCEL || !smtp_reply_is_ok(&reply))) {
		smtp_client_violation(c, STR("a reply to AUTH that fits no question"));
		return false;
	}
	c->state = smtp_reply_is_ok(&reply) ? SMTP_C_READY_DUE : SMTP_C_AUTH_DUE;
	ev->kind = SMTP_CL_AUTH_DONE;
	ev->reply = reply;
	return true;
}

enum status
smtp_client_auth(
    struct smtp_client *c, struct buf *out, struct str mechanism, bool has_initial, struct str raw)
{
	size_t n = STR("AUTH \r\n").n + mechanism.n;

	if (c->state == SMTP_C_CLOSED)
		return ST_OK;
	CHECK(c->state == SMTP_C_AUTH_IDLE);
	CHECK(mechanism.n > 0 && mechanism.n <= SMTP_CLIENT_MECH_MAX);
	if (has_initial && raw.n > SMTP_CLIENT_AUTH_LINE_MAX)
		return ST_LIMIT;
	if (has_initial)
		n += 1 + (raw.n == 0 ? 1 : BASE64_SIZE(raw.n));
	if (n > SMTP_CLIENT_AUTH_LINE_MAX)
		return ST_LIMIT;
	if (!smtp_client_has_room(c, out))
		return ST_OK;
	buf_putf(out, "AUTH %.*s", STR_ARG(mechanism));
	if (has_initial) {
		buf_put_c(out, ' ');
		/* RFC 4954 4: "=" is an empty one. */
		if (raw.n == 0)
			buf_put_c(out, '=');
		(void)base64_encode(raw, out);
	}
	buf_put(out, STR("\r\n"));
	c->challenges = 0;
	c->state = SMTP_C_AUTH_WAIT;
	return ST_OK;
}

enum status
smtp_client_auth_answer(struct smtp_client *c, struct buf *out, struct str raw)
{
	if (c->state == SMTP_C_CLOSED)
		return ST_OK;
	CHECK(c->state == SMTP_C_AUTH_OWNER);
	if (raw.n > SMTP_CLIENT_ANSWER_MAX || BASE64_SIZE(raw.n) + 2 > SMTP_CLIENT_ANSWER_MAX)
		return ST_LIMIT;
	if (buf_reserve(out, BASE64_SIZE(raw.n) + 2) == NULL)
		return ST_LIMIT;
	(void)base64_encode(raw, out);
	buf_put(out, STR("\r\n"));
	c->state = SMTP_C_AUTH_WAIT;
	return ST_OK;
}

void
smtp_client_auth_cancel(struct smtp_client *c, struct buf *out)
{
	if (c->state == SMTP_C_CLOSED)
		return;
	CHECK(c->state == SMTP_C_AUTH_OWNER);
	buf_put(out, STR("*\r\n"));
	c->state = SMTP_C_AUTH_CANCEL;
}
