#include "mailbox/mailbox.h"

#include "base/check.h"
#include "base/num.h"
#include "directory/directory.h"
#include "mailbox/mailbox_internal.h"

struct mailbox_cap
mailbox_cap_for_delivery(struct account_id account)
{
	return (struct mailbox_cap){account, MAILBOX_INSERT, UINT64_MAX};
}

/* A session may outlive its account: what it then wrote would be nobody's, and stay for ever. */
static enum status
account_check(struct txn *t, struct account_id id)
{
	struct account a;
	enum status st = directory_account_get(t, id, &a);

	return st == ST_NOTFOUND || (st == ST_OK && a.is_removing) ? ST_DENIED : st;
}

enum status
mailbox_open(struct txn *t, const struct mailbox_cap *cap, struct mailbox_id id, uint32_t rights,
    uint64_t now_ms, struct mailbox *out)
{
	struct key k;
	struct str record;
	enum status st;

	*out = (struct mailbox){t, cap->account, id, 0, now_ms, {.uidnext = 1}};
	if ((rights & ~cap->rights) || !rights || now_ms >= cap->expires_ms)
		return ST_DENIED;
	st = account_check(t, cap->account);
	if (st != ST_OK)
		return st;
	st = store_get(t, key_mailbox(&k, cap->account, id), &record);
	if (st == ST_OK)
		st = mailbox_state_decode(record, &out->state);
	else if (st == ST_NOTFOUND && id.v == MAILBOX_INBOX.v)
		st = ST_OK;
	if (st == ST_OK)
		out->rights = rights;
	return st;
}

enum status
mailbox_usage(struct txn *t, struct account_id account, struct mailbox_usage *out)
{
	struct key k;
	struct str record;
	enum status st = store_get(t, key_account_state(&k, account), &record);

	*out = (struct mailbox_usage){0};
	if (st == ST_NOTFOUND)
		return ST_OK;
	return st == ST_OK ? mailbox_usage_decode(record, out) : st;
}

enum status
mailbox_usage_put(struct txn *t, struct account_id account, const struct mailbox_usage *u)
{
	struct key k;
	char bytes[USAGE_BYTES];

	mailbox_usage_encode(u, bytes);
	return store_splice(t, key_account_state(&k, account), 0, str_of(bytes, sizeof(bytes)));
}

enum status
mailbox_state_put(const struct mailbox *m)
{
	struct key k;
	char bytes[STATE_BYTES];
	struct str whole = str_of(bytes, sizeof(bytes));

	mailbox_state_encode(&m->state, bytes);
	/* The first time the version must be written too: then it has exactly one message at most.
	 */
	if (m->state.uidnext <= 2)
		return store_put(m->txn, key_mailbox(&k, m->account, m->id), whole);
	return store_splice(m->txn, key_mailbox(&k, m->account, m->id), STATE_CHANGING_OFF,
	    str_from(whole, STATE_CHANGING_OFF));
}

static enum status
append_check(const struct mailbox *m, const struct mailbox_append *a)
{
	if (!(m->rights & MAILBOX_INSERT))
		return ST_DENIED;
	if (a->head.n > MAILBOX_HEAD_BYTES_MAX || a->body_bytes > UINT32_MAX - a->head.n ||
	    m->state.uidnext > MAILBOX_UID_MAX)
		return ST_LIMIT;
	return ST_OK;
}

static enum status
message_put(const struct mailbox *m, const struct mailbox_append *a, const struct mailbox_entry *e)
{
	struct message_record r = {m->id, {a->blob, a->head, a->body_bytes, a->date_ms, e->uid}};
	struct key k;
	struct buf record;
	enum status st;

	buf_init(&record, MESSAGE_FIXED_BYTES + MAILBOX_HEAD_BYTES_MAX);
	st = mailbox_message_encode(&r, &record);
	if (st == ST_OK)
		st = store_put(m->txn, key_message(&k, m->account, e->message), buf_str(&record));
	buf_fini(&record);
	return st;
}

/* Behind the last record of the last chunk, or first in a new one. */
static enum status
entry_put(struct mailbox *m, const struct mailbox_entry *e)
{
	struct mailbox_state *s = &m->state;
	char bytes[MAILBOX_RECORD_BYTES];
	struct key k;

	if (s->chunk_n == 0 || s->chunk_n == MAILBOX_CHUNK_RECORDS) {
		s->chunk_uid = e->uid;
		s->chunk_n = 0;
	}
	mailbox_entry_encode(e, bytes);
	return store_splice(m->txn, key_chunk(&k, m->account, m->id, s->chunk_uid),
	    (size_t)MAILBOX_RECORD_BYTES * s->chunk_n++, str_of(bytes, sizeof(bytes)));
}

/* The account's clock goes on by one, for one change. */
static enum status
clock_tick(struct mailbox *m, struct mailbox_usage *u)
{
	enum status st = mailbox_usage(m->txn, m->account, u);

	if (st == ST_OK)
		m->state.highest_modseq = ++u->clock;
	return st;
}

enum status
mailbox_append(struct mailbox *m, const struct mailbox_append *a, struct mailbox_entry *entry_out)
{
	struct mailbox_state *s = &m->state;
	struct mailbox_usage u;
	enum status st = append_check(m, a);

	if (st == ST_OK)
		st = clock_tick(m, &u);
	if (st != ST_OK)
		return st;
	*entry_out = (struct mailbox_entry){{u.clock}, u.clock, a->date_ms, s->uidnext, a->flags,
	    (uint32_t)(a->head.n + a->body_bytes)};
	if (!s->uidvalidity) /* RFC 9051 2.3.1.1: a time will do */
		s->uidvalidity = (uint32_t)(m->now_ms / 1000) ? (uint32_t)(m->now_ms / 1000) : 1;
	s->uidnext++;
	s->count++;
	s->unseen += !(a->flags & MAILBOX_SEEN);
	s->bytes += entry_out->size_bytes;
	u.bytes += entry_out->size_bytes;
	u.messages++;
	st = entry_put(m, entry_out);
	if (st == ST_OK)
		st = message_put(m, a, entry_out);
	if (st == ST_OK)
		st = mailbox_state_put(m);
	return st == ST_OK ? mailbox_usage_put(m->txn, m->account, &u) : st;
}

/* From the chunk that may hold uid on; to the end of the mailbox. */
static enum status
chunks_open(const struct mailbox *m, uint32_t uid, struct store_iter *it)
{
	struct key from, to;
	uint32_t start = 0;
	enum status st;

	key_chunk(&from, m->account, m->id, 0);
	if (uid) {
		/* The last chunk whose lowest uid is not above. */
		key_chunk(&to, m->account, m->id, uid + 1);
		st = store_range(m->txn, str_of(from.p, from.n), str_of(to.p, to.n), true, it);
		if (st == ST_OK)
			st = store_next(it);
		if (st == ST_OK)
			start = key_last_u32(it->key);
		store_iter_end(it);
		if (st != ST_OK && st != ST_EOF)
			return st;
	}
	key_chunk(&from, m->account, m->id, start);
	key_chunk(&to, m->account, m->id, UINT32_MAX);
	return store_range(m->txn, str_of(from.p, from.n), str_of(to.p, to.n), false, it);
}

static void
entries_take(struct str chunk, size_t i, size_t chunk_n, struct mailbox_entry *entries, size_t max,
    size_t *n)
{
	for (; i < chunk_n && *n < max; i++)
		mailbox_entry_decode(chunk, i, &entries[(*n)++]);
}

enum status
mailbox_list(const struct mailbox *m, uint32_t position, struct mailbox_entry *entries, size_t max,
    size_t *n_out)
{
	struct store_iter it;
	size_t skip = position, chunk_n;
	enum status st;

	*n_out = 0;
	if (!(m->rights & MAILBOX_READ))
		return ST_DENIED;
	st = chunks_open(m, 0, &it);
	while (st == ST_OK && *n_out < max && (st = store_next(&it)) == ST_OK &&
	       (st = mailbox_chunk_count(it.value, &chunk_n)) == ST_OK) {
		entries_take(it.value, size_min(skip, chunk_n), chunk_n, entries, max, n_out);
		skip -= size_min(skip, chunk_n);
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

enum status
mailbox_list_uid(const struct mailbox *m, uint32_t from, struct mailbox_entry *entries, size_t max,
    size_t *n_out)
{
	struct store_iter it;
	size_t chunk_n;
	enum status st;

	*n_out = 0;
	if (!(m->rights & MAILBOX_READ))
		return ST_DENIED;
	if (from > MAILBOX_UID_MAX)
		return ST_OK;
	st = chunks_open(m, from, &it);
	while (st == ST_OK && *n_out < max && (st = store_next(&it)) == ST_OK &&
	       (st = mailbox_chunk_count(it.value, &chunk_n)) == ST_OK)
		entries_take(it.value, mailbox_chunk_search(it.value, chunk_n, from), chunk_n,
		    entries, max, n_out);
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

enum status
mailbox_find(const struct mailbox *m, uint32_t uid, struct mailbox_entry *out)
{
	size_t n;
	enum status st = mailbox_list_uid(m, uid, out, 1, &n);

	return st != ST_OK || (n && out->uid == uid) ? st : ST_NOTFOUND;
}

enum status
mailbox_message_get(const struct mailbox *m, struct message_id message, struct mailbox_message *out)
{
	struct message_record r;
	struct key k;
	struct str record;
	enum status st;

	*out = (struct mailbox_message){0};
	if (!(m->rights & MAILBOX_READ))
		return ST_DENIED;
	st = store_get(m->txn, key_message(&k, m->account, message), &record);
	if (st == ST_OK)
		st = mailbox_message_decode(record, &r);
	if (st == ST_OK && r.mailbox.v != m->id.v)
		return ST_NOTFOUND;
	if (st == ST_OK)
		*out = r.message;
	return st;
}

enum status
mailbox_message_read(const struct mailbox *m, const struct mailbox_message *message, uint64_t off,
    size_t n, struct buf *out)
{
	struct str head = message->head;

	if (!(m->rights & MAILBOX_READ))
		return ST_DENIED;
	if (off < head.n) {
		struct str piece = str_take(str_from(head, (size_t)off), n);
		enum status st = buf_put(out, piece);

		if (st != ST_OK || piece.n == n)
			return st;
		n -= piece.n;
		off = head.n;
	}
	return store_blob_read(m->txn, message->blob, off - head.n, n, out);
}

enum status
mailbox_message_digest(
    const struct mailbox *m, const struct mailbox_message *message, struct str *digest_out)
{
	struct key k;

	*digest_out = STR_NULL;
	if (!(m->rights & MAILBOX_READ))
		return ST_DENIED;
	return store_get(m->txn, key_digest(&k, message->blob), digest_out);
}
