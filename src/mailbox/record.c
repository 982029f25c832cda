/* The bytes of the mailbox's records. */
#include "base/num.h"
#include "mailbox/mailbox_internal.h"

#define RECORD_VERSION 1

void
mailbox_state_encode(const struct mailbox_state *s, char out[STATE_BYTES])
{
	memset(out, 0, STATE_BYTES);
	out[0] = RECORD_VERSION;
	le32_put(out + 8, s->uidvalidity);
	le32_put(out + 12, s->uidnext);
	le32_put(out + 16, s->count);
	le32_put(out + 20, s->unseen);
	le64_put(out + 24, s->highest_modseq);
	le64_put(out + 32, s->bytes);
	le32_put(out + 40, s->chunk_uid);
	le32_put(out + 44, s->chunk_n);
}

enum status
mailbox_state_decode(struct str record, struct mailbox_state *out)
{
	*out = (struct mailbox_state){0};
	if (record.n != STATE_BYTES || record.p[0] != RECORD_VERSION)
		return ST_IO;
	out->uidvalidity = le32_get(record.p + 8);
	out->uidnext = le32_get(record.p + 12);
	out->count = le32_get(record.p + 16);
	out->unseen = le32_get(record.p + 20);
	out->highest_modseq = le64_get(record.p + 24);
	out->bytes = le64_get(record.p + 32);
	out->chunk_uid = le32_get(record.p + 40);
	out->chunk_n = le32_get(record.p + 44);
	return out->chunk_n <= MAILBOX_CHUNK_RECORDS && out->unseen <= out->count ? ST_OK : ST_IO;
}

void
mailbox_usage_encode(const struct mailbox_usage *u, char out[USAGE_BYTES])
{
	le64_put(out, u->clock);
	le64_put(out + 8, u->bytes);
	le64_put(out + 16, u->messages);
}

enum status
mailbox_usage_decode(struct str record, struct mailbox_usage *out)
{
	*out = (struct mailbox_usage){0};
	if (record.n != USAGE_BYTES)
		return ST_IO;
	out->clock = le64_get(record.p);
	out->bytes = le64_get(record.p + 8);
	out->messages = le64_get(record.p + 16);
	return ST_OK;
}

void
mailbox_entry_encode(const struct mailbox_entry *e, char out[MAILBOX_RECORD_BYTES])
{
	memset(out, 0, MAILBOX_RECORD_BYTES);
	le32_put(out, e->uid);
	le32_put(out + 4, e->flags);
	le64_put(out + 8, e->modseq);
	le64_put(out + 16, e->message.v);
	le64_put(out + 24, e->date_ms);
	le32_put(out + 32, e->size_bytes);
}

void
mailbox_entry_decode(struct str chunk, size_t i, struct mailbox_entry *out)
{
	const char *p = chunk.p + i * MAILBOX_RECORD_BYTES;

	out->uid = le32_get(p);
	out->flags = le32_get(p + 4);
	out->modseq = le64_get(p + 8);
	out->message.v = le64_get(p + 16);
	out->date_ms = le64_get(p + 24);
	out->size_bytes = le32_get(p + 32);
}

uint32_t
mailbox_entry_uid(struct str chunk, size_t i)
{
	return le32_get(chunk.p + i * MAILBOX_RECORD_BYTES);
}

enum status
mailbox_chunk_count(struct str chunk, size_t *n_out)
{
	*n_out = chunk.n / MAILBOX_RECORD_BYTES;
	if (*n_out >= 1 && *n_out <= MAILBOX_CHUNK_RECORDS && chunk.n % MAILBOX_RECORD_BYTES == 0)
		return ST_OK;
	*n_out = 0;
	return ST_IO;
}

size_t
mailbox_chunk_search(struct str chunk, size_t n, uint32_t uid)
{
	size_t low = 0;

	while (low < n) {
		size_t mid = low + (n - low) / 2;

		if (mailbox_entry_uid(chunk, mid) < uid)
			low = mid + 1;
		else
			n = mid;
	}
	return low;
}

enum status
mailbox_message_encode(const struct message_record *r, struct buf *out)
{
	char fixed[MESSAGE_FIXED_BYTES] = {RECORD_VERSION};

	if (r->message.head.n > MAILBOX_HEAD_BYTES_MAX)
		return ST_LIMIT;
	le32_put(fixed + 4, r->message.uid);
	le64_put(fixed + 8, r->mailbox.v);
	le64_put(fixed + 16, r->message.blob.v);
	le64_put(fixed + 24, r->message.body_bytes);
	le64_put(fixed + 32, r->message.date_ms);
	(void)buf_put(out, str_of(fixed, sizeof(fixed)));
	(void)buf_put(out, r->message.head);
	return out->full ? ST_LIMIT : ST_OK;
}

enum status
mailbox_message_decode(struct str record, struct message_record *out)
{
	*out = (struct message_record){0};
	if (record.n < MESSAGE_FIXED_BYTES ||
	    record.n > MESSAGE_FIXED_BYTES + MAILBOX_HEAD_BYTES_MAX ||
	    le32_get(record.p) != RECORD_VERSION)
		return ST_IO;
	out->message.uid = le32_get(record.p + 4);
	out->mailbox.v = le64_get(record.p + 8);
	out->message.blob.v = le64_get(record.p + 16);
	out->message.body_bytes = le64_get(record.p + 24);
	out->message.date_ms = le64_get(record.p + 32);
	out->message.head = str_from(record, MESSAGE_FIXED_BYTES);
	return ST_OK;
}
