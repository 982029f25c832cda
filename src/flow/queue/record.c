/* The bytes of the queue's records: fixed numbers first, then each string with its length. */
#include "flow/queue/queue_internal.h"

#define RECORD_VERSION 1

enum rcpt_bit { BIT_DELAY_TOLD = 1 };

static void
put_u8(struct buf *out, uint8_t v)
{
	(void)buf_put_c(out, (char)v);
}

/* Copied: what the store lends ends with the next write. */
static bool
take_str(struct cur *c, struct arena *a, struct str *out)
{
	struct str s;

	return cur_str16(c, &s) && arena_str(a, s, out) == ST_OK;
}

enum status
queue_message_encode(const struct queue_message *m, struct buf *out)
{
	put_u8(out, RECORD_VERSION);
	(void)buf_put_le64(out, m->blob.v);
	(void)buf_put_le64(out, m->body_bytes);
	(void)buf_put_le64(out, m->arrived_ms);
	(void)buf_put_le64(out, m->expires_ms);
	(void)buf_put_le64(out, m->by_ms);
	(void)buf_put_le64(out, m->account.v);
	(void)buf_put_le64(out, m->trace);
	put_u8(out, m->flags);
	put_u8(out, m->ret);
	put_u8(out, m->by_mode);
	put_u8(out, m->priority);
	(void)buf_put_le32(out, m->rcpts_n);
	(void)buf_put_str16(out, m->reverse_path);
	(void)buf_put_str16(out, m->head);
	(void)buf_put_str16(out, m->envid);
	(void)buf_put_str16(out, m->message_id);
	(void)buf_put_str16(out, m->sign_domain);
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
queue_message_decode(struct str record, struct arena *a, struct queue_message *out)
{
	struct cur c = cur_of(record);
	struct queue_message m = {0};
	uint8_t version;
	bool ok = cur_u8(&c, &version) && version == RECORD_VERSION && cur_le64(&c, &m.blob.v) && cur_le64(&c, &m.body_bytes) &&
	    cur_le64(&c, &m.arrived_ms) && cur_le64(&c, &m.expires_ms) && cur_le64(&c, &m.by_ms) && cur_le64(&c, &m.account.v) &&
	    cur_le64(&c, &m.trace) && cur_u8(&c, &m.flags) && cur_u8(&c, &m.ret) && cur_u8(&c, &m.by_mode) &&
	    cur_u8(&c, &m.priority) && cur_le32(&c, &m.rcpts_n) && take_str(&c, a, &m.reverse_path) && take_str(&c, a, &m.head) &&
	    take_str(&c, a, &m.envid) && take_str(&c, a, &m.message_id) && take_str(&c, a, &m.sign_domain) && cur_at_end(&c);

	if (!ok)
		return a->full ? ST_LIMIT : ST_IO;
	m.id = out->id;
	*out = m;
	return ST_OK;
}

enum status
queue_rcpt_encode(const struct queue_rcpt *r, struct buf *out)
{
	put_u8(out, RECORD_VERSION);
	put_u8(out, r->state);
	put_u8(out, r->notify);
	put_u8(out, r->is_delay_told ? BIT_DELAY_TOLD : 0);
	(void)buf_put_le32(out, r->attempts);
	(void)buf_put_le64(out, r->due_ms);
	(void)buf_put_le64(out, r->tried_ms);
	(void)buf_put_le16(out, r->code);
	for (int i = 0; i < 3; i++)
		(void)buf_put_le16(out, r->enhanced[i]);
	(void)buf_put_str16(out, r->path);
	(void)buf_put_str16(out, r->destination);
	(void)buf_put_str16(out, r->orcpt);
	(void)buf_put_str16(out, r->host);
	(void)buf_put_str16(out, r->text);
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
queue_rcpt_decode(struct str record, uint32_t index, struct arena *a, struct queue_rcpt *out)
{
	struct cur c = cur_of(record);
	struct queue_rcpt r = {.index = index};
	uint8_t version, bits = 0;
	bool ok = cur_u8(&c, &version) && version == RECORD_VERSION && cur_u8(&c, &r.state) && r.state <= QUEUE_HELD &&
	    cur_u8(&c, &r.notify) && cur_u8(&c, &bits) && cur_le32(&c, &r.attempts) && cur_le64(&c, &r.due_ms) &&
	    cur_le64(&c, &r.tried_ms) && cur_le16(&c, &r.code) && cur_le16(&c, &r.enhanced[0]) && cur_le16(&c, &r.enhanced[1]) &&
	    cur_le16(&c, &r.enhanced[2]) && take_str(&c, a, &r.path) && take_str(&c, a, &r.destination) &&
	    take_str(&c, a, &r.orcpt) && take_str(&c, a, &r.host) && take_str(&c, a, &r.text) && cur_at_end(&c);

	if (!ok)
		return a->full ? ST_LIMIT : ST_IO;
	r.is_delay_told = (bits & BIT_DELAY_TOLD) != 0;
	*out = r;
	return ST_OK;
}
