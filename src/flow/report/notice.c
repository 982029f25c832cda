#include "flow/report/notice.h"

#include "base/cur.h"
#include "base/utf8.h"
#include "standards/mime/mime.h"

enum status
notice_rcpt_put(struct buf *out, enum dsn_action action, const struct queue_rcpt *r, struct str ip, uint64_t until_ms)
{
	(void)buf_put_c(out, (char)action);
	(void)buf_put_str16(out, r->path);
	(void)buf_put_str16(out, r->orcpt);
	(void)buf_put_le16(out, r->code);
	for (int i = 0; i < 3; i++)
		(void)buf_put_le16(out, r->enhanced[i]);
	(void)buf_put_str16(out, r->text);
	(void)buf_put_str16(out, r->host);
	(void)buf_put_str16(out, ip);
	(void)buf_put_le64(out, r->tried_ms);
	(void)buf_put_le64(out, until_ms);
	return out->full ? ST_LIMIT : ST_OK;
}

static bool
rcpt_take(struct cur *c, struct dsn_rcpt *r)
{
	uint8_t action;
	uint64_t tried_ms, until_ms;

	if (!cur_u8(c, &action) || action > DSN_EXPANDED || !cur_str16(c, &r->path) || !cur_str16(c, &r->orcpt) ||
	    !cur_le16(c, &r->code) || !cur_le16(c, &r->enhanced[0]) || !cur_le16(c, &r->enhanced[1]) ||
	    !cur_le16(c, &r->enhanced[2]) || !cur_str16(c, &r->reply_text) || !cur_str16(c, &r->remote_mta) ||
	    !cur_str16(c, &r->remote_ip) || !cur_le64(c, &tried_ms) || !cur_le64(c, &until_ms))
		return false;
	r->action = (enum dsn_action)action;
	r->last_attempt_s = tried_ms / 1000;
	r->will_retry_until_s = until_ms / 1000;
	return true;
}

static enum status
rcpts_take(struct str bytes, struct arena *a, struct dsn_rcpt **out, size_t *n_out)
{
	struct cur c = cur_of(bytes);
	struct dsn_rcpt *all = arena_array(a, QUEUE_RCPTS_MAX, sizeof(*all));

	*n_out = 0;
	if (all == NULL)
		return ST_LIMIT;
	while (!cur_at_end(&c)) {
		all[*n_out] = (struct dsn_rcpt){.path = STR_NULL};
		if (*n_out == QUEUE_RCPTS_MAX || !rcpt_take(&c, &all[*n_out]))
			return ST_SYNTAX;
		++*n_out;
	}
	*out = all;
	return *n_out > 0 ? ST_OK : ST_SYNTAX;
}

/* RFC 5322 2.1: header and body are apart by an empty line. */
static void
original_split(struct str original, struct str *header, struct str *body)
{
	size_t at = str_find(original, STR("\r\n\r\n"));

	*header = str_take(original, at == original.n ? at : at + 2);
	*body = str_from(original, at == original.n ? at : at + 4);
}

static struct str
subject_of(struct str header)
{
	struct mime_header h;

	return mime_header_find(header, STR("Subject"), &h) ? str_trim(h.value) : STR_NULL;
}

enum status
notice_write(const struct rec_notice *r, struct str hostname, struct arena *a, struct buf *out, uint8_t *flags_out)
{
	struct dsn d = {.hostname = hostname,
	    .postmaster = r->from,
	    .to = r->to,
	    .envid = r->envid,
	    .message_id = r->id,
	    .boundary = str_take(r->id, str_find_char(r->id, '@')),
	    .arrival_s = r->arrived_ms / 1000,
	    .now_s = r->now_ms / 1000,
	    .is_full_wanted = r->ret != ENVELOPE_RET_HDRS && r->is_whole,
	    .is_smtputf8 = (r->flags & ENVELOPE_UTF8) != 0};
	struct dsn_rcpt *rcpts;
	enum status st = rcpts_take(r->rcpts, a, &rcpts, &d.rcpts_n);

	if (st != ST_OK)
		return st;
	d.rcpts = rcpts;
	original_split(r->original, &d.original_header, &d.original_body);
	d.subject = subject_of(d.original_header);
	st = dsn_write(&d, out);
	*flags_out = ENVELOPE_NOTICE | ENVELOPE_AUTO;
	if (st == ST_OK && !utf8_is_ascii(buf_str(out)))
		*flags_out |= ENVELOPE_8BIT | (r->flags & ENVELOPE_UTF8);
	return st;
}
