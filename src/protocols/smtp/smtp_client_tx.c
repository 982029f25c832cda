#include "protocols/smtp/smtp_client_internal.h"

/*
 * The envelope: a row of commands, MAIL at 0, recipients at 1..n, DATA at n + 1 (not with BDAT),
 * and two counters that walk along it. A recipient that may not be sent takes its place in the row
 * and is answered here. With PIPELINING `sent` runs ahead as far as out holds; the rest of a long
 * row goes out while the first answers come in, so neither side waits for the other (RFC 2920 3.1).
 */

void
smtp_client_tx_begin(struct smtp_client *c)
{
	c->sent = c->answered = c->accepted_n = c->next_index = 0;
	c->chunks_due = c->drains_due = 0;
	c->is_mail_refused = c->is_body_stalled = c->is_ending_with_message = false;
	c->is_chunked = smtp_client_has(c, SMTP_EXT_CHUNKING) &&
			(c->conf->is_chunking_allowed || c->mail->is_binary);
	memset(c->accepted, 0, sizeof(c->accepted));
	c->state = SMTP_C_TX;
}

static size_t
data_at(const struct smtp_client *c)
{
	return c->mail->rcpts_n + 1;
}

/* The end of the row as far as is known by now. */
static size_t
row_end(const struct smtp_client *c)
{
	/* RFC 2920 3.1: DATA waits in the group for nobody; but once all are refused it is not
	 * begun. */
	bool is_hopeless = c->answered == data_at(c) && c->accepted_n == 0;

	if (c->is_mail_refused)
		return c->sent;
	return data_at(c) + (c->is_chunked || is_hopeless ? 0 : 1);
}

static bool
may_send(const struct smtp_client *c, const struct buf *out)
{
	if (c->sent >= row_end(c))
		return false;
	if (c->sent == c->answered)
		return true;
	return c->conf->is_pipelining_allowed && smtp_client_has(c, SMTP_EXT_PIPELINING) &&
	       out->n < SMTP_OUT_HIGH;
}

static bool
is_local(const struct smtp_client *c, size_t at)
{
	return at > 0 && at < data_at(c) && smtp_client_rcpt_check(c, at - 1).code != 0;
}

static void
row_put(struct smtp_client *c, struct buf *out)
{
	if (c->sent == 0) {
		c->mails++;
		c->is_rset_needed = false;
		smtp_client_mail_put(c, out);
	} else if (c->sent == data_at(c)) {
		buf_put(out, STR("DATA\r\n"));
	} else if (!is_local(c, c->sent)) {
		smtp_client_rcpt_put(c, c->sent - 1u, out);
	}
	c->sent++;
}

/* True when what came before the next command must be dealt with first. */
static bool
row_send(struct smtp_client *c, struct cur *in, struct buf *out)
{
	while (may_send(c, out)) {
		if (c->sent == c->answered && !is_local(c, c->sent) && !cur_at_end(in))
			return true;
		if (!smtp_client_has_room(c, out))
			return false;
		row_put(c, out);
	}
	return false;
}

static bool
rcpt_tell(struct smtp_client *c, struct smtp_client_event *ev, struct smtp_reply reply)
{
	uint16_t index = (uint16_t)(c->answered++ - 1u);

	if (c->is_mail_refused)
		return false;
	if (smtp_reply_is_ok(&reply)) {
		c->accepted[index / 8] |= (uint8_t)(1u << index % 8);
		c->accepted_n++;
	}
	ev->kind = SMTP_CL_RCPT;
	ev->index = index;
	ev->reply = reply;
	return true;
}

static bool
on_mail(struct smtp_client *c, struct smtp_client_event *ev, const struct smtp_reply *reply)
{
	c->answered++;
	if (smtp_reply_is_ok(reply)) {
		c->is_rset_needed = true;
		return false;
	}
	c->is_mail_refused = true;
	ev->kind = SMTP_CL_MAIL_DONE;
	ev->reply = *reply;
	return true;
}

/* 354, but nobody to send it to: RFC 2920 3.1, a lone dot, whatever the answer. */
static void
empty_end(struct smtp_client *c, struct buf *out)
{
	/* RFC 2033 4.2: must not happen there, and how many answers come is not defined. */
	if (c->conf->is_lmtp) {
		smtp_client_violation(c, STR("354 without a recipient"));
		return;
	}
	if (!smtp_client_has_room(c, out))
		return;
	buf_put(out, STR(".\r\n"));
	c->drains_due = 1;
	c->is_rset_needed = c->is_mail_refused;
	c->state = SMTP_C_DRAIN;
}

static bool
on_data(struct smtp_client *c, struct buf *out, struct smtp_client_event *ev,
    const struct smtp_reply *reply)
{
	c->answered++;
	if (smtp_reply_is_refusal(reply)) {
		/* The transaction is still open. */
		if (c->accepted_n > 0)
			smtp_client_refuse(c, *reply, 0);
		return false;
	}
	if (c->accepted_n == 0) {
		empty_end(c, out);
		return false;
	}
	smtp_client_body_begin(c, ev);
	return true;
}

static bool
on_reply(struct smtp_client *c, struct buf *out, struct smtp_client_event *ev,
    const struct smtp_reply *reply)
{
	bool is_data = c->answered == data_at(c);

	if (!smtp_reply_is_refusal(reply) && smtp_reply_is_ok(reply) == is_data) {
		smtp_client_violation(c, is_data ? STR("2xx as the reply to DATA")
						 : STR("3xx as the reply to MAIL or RCPT"));
		return false;
	}
	if (c->answered == 0)
		return on_mail(c, ev, reply);
	if (is_data)
		return on_data(c, out, ev, reply);
	return rcpt_tell(c, ev, *reply);
}

/* All of the row that was sent is answered. */
static bool
row_done(struct smtp_client *c, struct smtp_client_event *ev)
{
	if (c->is_mail_refused || c->accepted_n == 0) {
		c->state = SMTP_C_DONE_DUE;
		return false;
	}
	CHECK(c->is_chunked);
	smtp_client_body_begin(c, ev);
	return true;
}

bool
smtp_client_tx_step(
    struct smtp_client *c, struct cur *in, struct buf *out, struct smtp_client_event *ev)
{
	struct smtp_reply reply;
	enum status st;

	if (row_send(c, in, out))
		return smtp_client_unasked_take(c, in) == ST_MORE;
	if (c->state == SMTP_C_CLOSED)
		return false;
	if (c->answered == c->sent)
		return row_done(c, ev);
	if (is_local(c, c->answered))
		return rcpt_tell(c, ev, smtp_client_rcpt_check(c, c->answered - 1u));
	st = smtp_client_reply_take(c, in, &reply);
	if (st != ST_OK)
		return st == ST_MORE;
	return on_reply(c, out, ev, &reply);
}
