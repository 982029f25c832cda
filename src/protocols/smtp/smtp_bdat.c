#include "base/num.h"
#include "protocols/smtp/smtp_data.h"
#include "protocols/smtp/smtp_internal.h"

/*
 * The chunk's bytes are read before the refusal is written (RFC 3030 2), so its words are kept. Its
 * transaction is over: the state after a failed BDAT is indeterminate there, and no chunk that
 * follows may complete what has a hole.
 */
static void
chunk_refuse(struct smtp_server *s, unsigned code, struct str text)
{
	if (s->content != SMTP_C_FAILED)
		s->data_bytes = 0;
	s->content = SMTP_C_FAILED;
	s->held_code = (uint16_t)code;
	s->held_n = (uint8_t)size_min(text.n, SMTP_HELD_MAX);
	memcpy(s->held, text.p, s->held_n);
	s->state = SMTP_S_BDAT_SKIP;
}

/* RFC 3030 2: "size" or "size LAST". */
static enum status
argument_take(struct str arg, uint64_t *bytes_out, bool *is_last_out)
{
	struct str size, marker;
	bool has_marker = str_split(arg, ' ', &size, &marker);

	if (has_marker && !str_eq_ci(marker, STR("LAST")))
		return ST_SYNTAX;
	*is_last_out = has_marker;
	return str_to_u64(size, bytes_out);
}

/* Why the chunk cannot be taken, or 0. None of it counts as an error: a client that pipelines may
 * not know yet. */
static unsigned
refusal_of(const struct smtp_server *s, struct str *text_out)
{
	if (s->conf->is_auth_required && !s->is_authenticated) {
		*text_out = STR("5.7.0 authentication required");
		return 530;
	}
	if (s->content == SMTP_C_FAILED) {
		*text_out = STR("5.5.1 the message was refused, RSET first");
		return 503;
	}
	if (!s->is_in_transaction) {
		*text_out = STR("5.5.1 MAIL first");
		return 503;
	}
	if (s->content == SMTP_C_DATA) {
		*text_out = STR("5.5.1 DATA and BDAT in one transaction");
		return 503;
	}
	if (s->rcpts == 0) {
		*text_out = STR("5.5.1 no valid recipients");
		return s->conf->mode == SMTP_LMTP ? 503 : 554;
	}
	if (s->chunk_bytes > s->conf->message_bytes_max - s->data_bytes) {
		*text_out = STR("5.3.4 message size exceeds the limit");
		return 552;
	}
	return 0;
}

bool
smtp_bdat_begin(struct smtp_server *s, struct str arg, struct buf *out, struct smtp_event *ev)
{
	struct str text;
	unsigned code;

	if (argument_take(arg, &s->chunk_bytes, &s->is_chunk_last) != ST_OK) {
		/* Where the chunk ends is not known: what follows is no command. */
		smtp_last_put(
		    s, out, 501, STR("5.5.4 expected a number of bytes, and LAST or nothing"));
		return false;
	}
	s->chunk_left = s->chunk_bytes;
	if (s->content == SMTP_C_NONE) {
		s->data_bytes = 0;
		s->data_state = SMTP_DATA_LINE_START;
	}
	code = refusal_of(s, &text);
	if (code != 0) {
		chunk_refuse(s, code, text);
		return false;
	}
	if (s->content == SMTP_C_BDAT) {
		s->state = SMTP_S_BDAT;
		return false;
	}
	ev->kind = SMTP_EV_DATA;
	ev->is_bdat = true;
	smtp_wait(s, SMTP_S_BDAT_WAIT);
	return true;
}

void
smtp_bdat_answered(struct smtp_server *s, unsigned code, struct str text)
{
	if (code >= 400) {
		chunk_refuse(s, code, text);
		return;
	}
	s->content = SMTP_C_BDAT;
	s->state = SMTP_S_BDAT;
}

static bool
chunk_end(struct smtp_server *s, struct buf *out, struct smtp_event *ev)
{
	if (!s->is_chunk_last) {
		buf_putf(
		    out, "250 2.0.0 %llu octets received\r\n", (unsigned long long)s->chunk_bytes);
		s->state = SMTP_S_READY;
		return false;
	}
	if (s->body != SMTP_BODY_BINARYMIME && s->data_state == SMTP_DATA_CR) {
		smtp_bare_refuse(s, true, false, out);
		return false;
	}
	ev->is_unterminated = s->data_state != SMTP_DATA_LINE_START;
	smtp_end_ask(s, ev);
	return true;
}

bool
smtp_bdat_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	bool is_binary = s->body == SMTP_BODY_BINARYMIME;

	if (s->chunk_left == 0)
		return chunk_end(s, out, ev);
	switch (smtp_data_take_counted(in, s->chunk_left, is_binary, &s->data_state, &ev->bytes)) {
	case SMTP_DATA_CHUNK:
		ev->kind = SMTP_EV_CHUNK;
		s->chunk_left -= ev->bytes.n;
		s->data_bytes += ev->bytes.n;
		return true;
	case SMTP_DATA_MORE:
		return true;
	case SMTP_DATA_BARE:
	case SMTP_DATA_END: /* not in counted data */
		smtp_bare_refuse(s, s->is_chunk_last, false, out);
		return false;
	case SMTP_DATA_NUL:
		smtp_bare_refuse(s, s->is_chunk_last, true, out);
		return false;
	}
	check_failed(__FILE__, __LINE__, "a known verdict");
}

bool
smtp_bdat_skip_next(struct smtp_server *s, struct cur *in, struct buf *out, struct smtp_event *ev)
{
	size_t n = cur_left(in);

	if (s->is_in_transaction) {
		s->is_in_transaction = false;
		ev->kind = SMTP_EV_ABORT;
		return true;
	}
	if (s->chunk_left < n)
		n = (size_t)s->chunk_left;
	cur_skip(in, n);
	s->chunk_left -= n;
	s->data_bytes += n;
	if (s->chunk_left > 0 && s->data_bytes <= SMTP_DATA_SKIP_MAX)
		return true;
	smtp_refusals_put(s, s->is_chunk_last, out, s->held_code, str_of(s->held, s->held_n));
	s->state = SMTP_S_READY;
	if (s->chunk_left > 0)
		smtp_last_put(s, out, 421, STR("4.7.0 too much data after a refusal"));
	return false;
}
