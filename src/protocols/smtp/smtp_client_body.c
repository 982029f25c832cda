#include "base/num.h"
#include "protocols/smtp/smtp_client_internal.h"

/*
 * The content and the answers to it. By DATA: one text with dots stuffed, one answer (in LMTP one
 * per accepted recipient). By BDAT (RFC 3030): each piece a command with an answer of its own,
 * which may come while the next pieces go out.
 */

enum body_state { BODY_LINE_START, BODY_TEXT, BODY_CR };

void
smtp_client_body_begin(struct smtp_client *c, struct smtp_client_event *ev)
{
	c->body_state = BODY_LINE_START;
	c->state = SMTP_C_BODY;
	ev->kind = SMTP_CL_DATA;
}

/*
 * s goes on from *state as text of CRLF lines without NUL (RFC 5321 2.3.8, 4.1.1.4; RFC 2045 2.7).
 * dots_out: how many lines begin with a dot.
 */
static bool
text_check(struct str s, uint8_t *state, size_t *dots_out)
{
	size_t i = 0, dots = 0;
	uint8_t at = *state;

	while (i < s.n) {
		if (at == BODY_CR) {
			if (s.p[i++] != '\n')
				return false;
			at = BODY_LINE_START;
			continue;
		}
		struct str rest = str_from(s, i);
		size_t n = str_find_char(rest, '\r');
		dots += at == BODY_LINE_START && rest.p[0] == '.';
		if (str_find_char(str_take(rest, n), '\n') < n ||
		    str_find_char(str_take(rest, n), '\0') < n)
			return false;
		at = n < rest.n ? BODY_CR : BODY_TEXT;
		i += n + (n < rest.n);
	}
	*state = at;
	*dots_out = dots;
	return true;
}

/* RFC 5321 4.5.2. What text_check has let through; is_line_start says where it begins. */
static void
text_put(struct str s, bool is_line_start, struct buf *out)
{
	while (s.n > 0) {
		size_t n = str_find_char(s, '\n');
		n += n < s.n;
		if (is_line_start && s.p[0] == '.')
			buf_put_c(out, '.');
		buf_put(out, str_take(s, n));
		s = str_from(s, n);
		is_line_start = true;
	}
}

static bool
is_pipelining(const struct smtp_client *c)
{
	return c->conf->is_pipelining_allowed && smtp_client_has(c, SMTP_EXT_PIPELINING);
}

/* RFC 3030 2: BDAT after BDAT without waiting only with PIPELINING. */
static bool
must_wait(struct smtp_client *c)
{
	uint16_t max = is_pipelining(c) ? SMTP_CLIENT_CHUNKS_DUE_MAX : 1;

	c->is_body_stalled = c->is_chunked && c->chunks_due >= max;
	return c->is_body_stalled;
}

static enum status
content_bad(struct smtp_client *c)
{
	smtp_client_close(
	    c, smtp_client_local_reply(554, 6, 0, STR("the message is no text of CRLF lines")));
	return ST_SYNTAX;
}

static void
chunk_put(struct smtp_client *c, struct str bytes, struct buf *out)
{
	buf_putf(out, "BDAT %zu\r\n", bytes.n);
	buf_put(out, bytes);
	c->chunks_due++;
}

enum status
smtp_client_body(struct smtp_client *c, struct str bytes, struct buf *out)
{
	uint8_t state = c->body_state;
	size_t dots = 0, need;

	if (c->state != SMTP_C_BODY)
		return ST_CONFLICT;
	if (bytes.n == 0)
		return ST_OK;
	if (must_wait(c))
		return ST_MORE;
	if (!c->mail->is_binary && !text_check(bytes, &state, &dots))
		return content_bad(c);
	/* 32: "BDAT 18446744073709551615" with CRLF */
	if (!add_ok(bytes.n, dots, &need) || !add_ok(need, 32, &need) ||
	    buf_reserve(out, need) == NULL)
		return ST_LIMIT;
	if (c->is_chunked)
		chunk_put(c, bytes, out);
	else
		text_put(bytes, c->body_state == BODY_LINE_START, out);
	c->body_state = state;
	return ST_OK;
}

enum status
smtp_client_body_end(struct smtp_client *c, struct buf *out)
{
	bool is_line_open;

	if (c->state != SMTP_C_BODY)
		return ST_CONFLICT;
	if (must_wait(c))
		return ST_MORE;
	if (c->body_state == BODY_CR)
		return content_bad(c);
	if (buf_reserve(out, 32) == NULL)
		return ST_LIMIT;
	/* RFC 5321 4.1.1.4: the last line has its CRLF. */
	is_line_open = c->body_state == BODY_TEXT;
	if (c->is_chunked)
		buf_put(out, is_line_open ? STR("BDAT 2 LAST\r\n\r\n") : STR("BDAT 0 LAST\r\n"));
	else
		buf_put(out, is_line_open ? STR("\r\n.\r\n") : STR(".\r\n"));
	c->state = SMTP_C_END;
	return ST_OK;
}

void
smtp_client_refuse(struct smtp_client *c, struct smtp_reply reply, uint16_t drains)
{
	c->reply = reply;
	c->drains_due = drains;
	c->next_index = 0;
	c->state = SMTP_C_REFUSED;
}

/*
 * A BDAT was refused: the message is lost, its other BDATs are refused too (RFC 3030 2) and RSET
 * clears the way. In LMTP it is not said how often a refused BDAT LAST is answered, so no later
 * answer could be trusted to be whose it seems: the session ends.
 */
static void
chunk_refused(struct smtp_client *c, const struct smtp_reply *reply)
{
	bool is_last_sent = c->state == SMTP_C_END;

	c->is_ending_with_message = c->conf->is_lmtp && is_last_sent;
	smtp_client_refuse(c, *reply, (uint16_t)(c->chunks_due + is_last_sent));
}

/* The answer to a BDAT without LAST; true when ev is to be given out. */
static bool
chunk_answered(struct smtp_client *c, struct smtp_client_event *ev, const struct smtp_reply *reply)
{
	c->chunks_due--;
	if (smtp_reply_is_refusal(reply)) {
		chunk_refused(c, reply);
		return false;
	}
	if (!smtp_reply_is_ok(reply)) {
		smtp_client_violation(c, STR("3xx as the reply to BDAT"));
		return false;
	}
	if (!c->is_body_stalled || c->state != SMTP_C_BODY)
		return false;
	c->is_body_stalled = false;
	ev->kind = SMTP_CL_DATA;
	return true;
}

bool
smtp_client_body_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev)
{
	struct smtp_reply reply;
	enum status st;

	if (cur_at_end(in))
		return true;
	if (c->chunks_due == 0)
		return smtp_client_unasked_take(c, in) == ST_MORE;
	st = smtp_client_reply_take(c, in, &reply);
	if (st != ST_OK)
		return st == ST_MORE;
	return chunk_answered(c, ev, &reply);
}

static bool
is_accepted(const struct smtp_client *c, size_t index)
{
	return c->accepted[index / 8] >> index % 8 & 1;
}

/* The next SENT, with reply. True when there is another to come. */
static bool
sent_tell(struct smtp_client *c, struct smtp_client_event *ev, struct smtp_reply reply)
{
	ev->kind = SMTP_CL_SENT;
	ev->reply = reply;
	if (!c->conf->is_lmtp)
		return false;
	/* RFC 2033 4.2: in the order of the recipients */
	while (!is_accepted(c, c->next_index))
		c->next_index++;
	ev->index = c->next_index++;
	return --c->accepted_n > 0;
}

bool
smtp_client_end_step(struct smtp_client *c, struct cur *in, struct smtp_client_event *ev)
{
	struct smtp_reply reply;
	enum status st = smtp_client_reply_take(c, in, &reply);

	if (st != ST_OK)
		return st == ST_MORE;
	if (c->chunks_due > 0)
		return chunk_answered(c, ev, &reply);
	if (reply.code / 100 == 3) {
		smtp_client_violation(c, STR("3xx as the reply to the message"));
		return false;
	}
	/* Yes or no, the transaction ended with the content (RFC 5321 4.1.1.4). */
	c->is_rset_needed = false;
	if (!sent_tell(c, ev, reply))
		c->state = SMTP_C_DONE_DUE;
	return true;
}

bool
smtp_client_refused_step(struct smtp_client *c, struct smtp_client_event *ev)
{
	if (sent_tell(c, ev, c->reply))
		return true;
	if (c->is_ending_with_message)
		smtp_client_close(c, c->reply);
	else
		c->state = c->drains_due > 0 ? SMTP_C_DRAIN : SMTP_C_DONE_DUE;
	return true;
}

bool
smtp_client_drain_step(struct smtp_client *c, struct cur *in)
{
	struct smtp_reply reply;
	enum status st = smtp_client_reply_take(c, in, &reply);

	if (st != ST_OK)
		return st == ST_MORE;
	if (--c->drains_due == 0)
		c->state = SMTP_C_DONE_DUE;
	return false;
}
