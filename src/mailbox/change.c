/* Flags and expunge: chunk by chunk, and never more than a transaction should hold. */
#include "base/check.h"
#include "base/num.h"
#include "mailbox/mailbox_internal.h"

/* A chunk taken out of the store to be changed; bytes are a copy, because the store's end with the
 * first write. */
struct chunk {
	uint32_t uid; /* of its key */
	size_t n;
	char bytes[MAILBOX_CHUNK_RECORDS * MAILBOX_RECORD_BYTES];
};

struct change {
	struct mailbox *m;
	struct mailbox_usage usage;
	uint64_t modseq;
	size_t ops, bytes; /* spent in the transaction so far */
	size_t changed;
	bool is_ticked;
};

static struct str
chunk_str(const struct chunk *c)
{
	return str_of(c->bytes, c->n * MAILBOX_RECORD_BYTES);
}

static struct str
chunk_key(const struct change *c, struct key *k, uint32_t uid)
{
	return key_chunk(k, c->m->account, c->m->id, uid);
}

/* The last chunk whose key is below `below`. ST_NOTFOUND. */
static enum status
chunk_load(const struct change *c, uint32_t below, struct chunk *out)
{
	struct key from, to;
	struct store_iter it;
	enum status st =
	    store_range(c->m->txn, chunk_key(c, &from, 0), chunk_key(c, &to, below), true, &it);

	out->n = 0;
	if (st == ST_OK)
		st = store_next(&it);
	if (st == ST_OK)
		st = mailbox_chunk_count(it.value, &out->n);
	if (st == ST_OK) {
		out->uid = key_last_u32(it.key);
		memcpy(out->bytes, it.value.p, it.value.n);
	}
	store_iter_end(&it);
	return st == ST_EOF ? ST_NOTFOUND : st;
}

static enum status
chunk_store(struct change *c, const struct chunk *ch)
{
	struct key k;

	c->ops++;
	c->bytes += ch->n * MAILBOX_RECORD_BYTES + sizeof(k.p);
	return ch->n ? store_put(c->m->txn, chunk_key(c, &k, ch->uid), chunk_str(ch))
		     : store_del(c->m->txn, chunk_key(c, &k, ch->uid));
}

static bool
uids_ascend(const uint32_t *uids, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (uids[i] <= uids[i - 1])
			return false;
	return true;
}

static enum status
change_start(struct change *c, struct mailbox *m, uint32_t right, const uint32_t *uids, size_t n)
{
	*c = (struct change){.m = m};
	if (!(m->rights & right))
		return ST_DENIED;
	if (!uids_ascend(uids, n))
		return ST_SYNTAX;
	return mailbox_usage(m->txn, m->account, &c->usage);
}

/* One value of the account's clock for all that changes in this transaction (RFC 7162 3.1.3). */
static uint64_t
change_modseq(struct change *c)
{
	if (!c->is_ticked)
		c->m->state.highest_modseq = ++c->usage.clock;
	c->is_ticked = true;
	return c->usage.clock;
}

static enum status
change_end(struct change *c)
{
	enum status st;

	if (!c->is_ticked)
		return ST_OK;
	st = mailbox_state_put(c->m);
	return st == ST_OK ? mailbox_usage_put(c->m->txn, c->m->account, &c->usage) : st;
}

static bool
change_is_full(const struct change *c)
{
	return c->ops >= MAILBOX_CHANGE_OPS_MAX || c->bytes >= MAILBOX_CHANGE_BYTES_MAX;
}

/*
 * How many of the uids this chunk answers for: all up to its last record; and those behind it, up
 * to the next chunk, are nowhere. The first always counts, so that every round gets on.
 */
static size_t
uids_in(const struct chunk *ch, const uint32_t *uids, size_t n)
{
	uint32_t last = ch->n ? mailbox_entry_uid(chunk_str(ch), ch->n - 1) : 0;
	size_t i = 1;

	while (i < n && uids[i] <= last)
		i++;
	return i;
}

static uint32_t
flags_new(uint32_t former, enum mailbox_flags_how how, uint32_t flags)
{
	switch (how) {
	case MAILBOX_FLAGS_SET:
		return flags;
	case MAILBOX_FLAGS_ADD:
		return former | flags;
	case MAILBOX_FLAGS_REMOVE:
		return former & ~flags;
	}
	return former;
}

/* One splice from the first record that changes to the last. */
static enum status
chunk_flags(struct change *c, struct chunk *ch, const uint32_t *uids, size_t n,
    enum mailbox_flags_how how, uint32_t flags)
{
	size_t first = SIZE_MAX, last = 0;
	struct key k;

	for (size_t i = 0; i < n; i++) {
		size_t at = mailbox_chunk_search(chunk_str(ch), ch->n, uids[i]);
		struct mailbox_entry e;
		uint32_t former;

		if (at == ch->n || mailbox_entry_uid(chunk_str(ch), at) != uids[i])
			continue;
		mailbox_entry_decode(chunk_str(ch), at, &e);
		former = e.flags;
		e.flags = flags_new(former, how, flags);
		if (e.flags == former)
			continue;
		e.modseq = change_modseq(c);
		mailbox_entry_encode(&e, ch->bytes + at * MAILBOX_RECORD_BYTES);
		c->m->state.unseen += (former & MAILBOX_SEEN) && !(e.flags & MAILBOX_SEEN);
		c->m->state.unseen -= !(former & MAILBOX_SEEN) && (e.flags & MAILBOX_SEEN);
		c->changed++;
		first = size_min(first, at);
		last = at;
	}
	if (first == SIZE_MAX)
		return ST_OK;
	c->ops++;
	c->bytes += (last + 1 - first) * MAILBOX_RECORD_BYTES + sizeof(k.p);
	return store_splice(c->m->txn, chunk_key(c, &k, ch->uid), first * MAILBOX_RECORD_BYTES,
	    str_of(ch->bytes + first * MAILBOX_RECORD_BYTES,
		(last + 1 - first) * MAILBOX_RECORD_BYTES));
}

enum status
mailbox_flags_set(struct mailbox *m, const uint32_t *uids, size_t n, enum mailbox_flags_how how,
    uint32_t flags, size_t *taken_out, size_t *changed_out)
{
	struct change c;
	struct chunk ch;
	enum status st = change_start(&c, m, MAILBOX_FLAGS, uids, n);

	*taken_out = 0;
	while (st == ST_OK && *taken_out < n && !change_is_full(&c)) {
		const uint32_t *rest = uids + *taken_out;
		size_t part;

		st = chunk_load(&c, rest[0] < UINT32_MAX ? rest[0] + 1 : UINT32_MAX, &ch);
		if (st != ST_OK && st != ST_NOTFOUND)
			break;
		part = uids_in(&ch, rest, n - *taken_out);
		st = st == ST_OK ? chunk_flags(&c, &ch, rest, part, how, flags) : ST_OK;
		*taken_out += part;
	}
	if (changed_out)
		*changed_out = c.changed;
	return st == ST_OK ? change_end(&c) : st;
}

enum status
mailbox_message_remove(
    struct txn *t, struct account_id account, struct message_id message, size_t *ops)
{
	struct message_record r;
	struct key k;
	struct str record;
	uint64_t size;
	enum status st = store_get(t, key_message(&k, account, message), &record);

	if (st == ST_OK)
		st = mailbox_message_decode(record, &r);
	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_IO : st;
	*ops += 2;
	st = store_del(t, key_message(&k, account, message));
	if (st == ST_OK)
		st = store_blob_ref(t, r.message.blob, -1);
	if (st != ST_OK || (st = store_blob_size(t, r.message.blob, &size)) != ST_NOTFOUND)
		return st == ST_NOTFOUND ? ST_IO : st;
	*ops += 2;
	st = store_del(t, key_digest(&k, r.message.blob));
	return st == ST_OK ? store_del(t, key_digest_pending(&k, r.message.blob)) : st;
}

/* Takes the record at `at` out of the copy, and its message out of the store. */
static enum status
chunk_drop(struct change *c, struct chunk *ch, size_t at)
{
	struct mailbox_state *s = &c->m->state;
	char *p = ch->bytes + at * MAILBOX_RECORD_BYTES;
	struct mailbox_entry e;

	mailbox_entry_decode(chunk_str(ch), at, &e);
	memmove(p, p + MAILBOX_RECORD_BYTES, (ch->n - at - 1) * MAILBOX_RECORD_BYTES);
	ch->n--;
	(void)change_modseq(c);
	if (!s->count || s->bytes < e.size_bytes || c->usage.bytes < e.size_bytes ||
	    !c->usage.messages || (!(e.flags & MAILBOX_SEEN) && !s->unseen))
		return ST_IO;
	s->count--;
	s->unseen -= !(e.flags & MAILBOX_SEEN);
	s->bytes -= e.size_bytes;
	c->usage.bytes -= e.size_bytes;
	c->usage.messages--;
	c->changed++;
	c->bytes += 100;
	return mailbox_message_remove(c->m->txn, c->m->account, e.message, &c->ops);
}

/* Small neighbours become one, or a mailbox that loses most of its mail would stay as long to read.
 */
static enum status
chunk_fold(struct change *c, struct chunk *ch, uint32_t *uid_out)
{
	struct chunk before;
	struct key k;
	enum status st = ST_OK;

	*uid_out = ch->uid;
	if (ch->n == 0 || ch->n > MAILBOX_CHUNK_RECORDS / 4)
		return ST_OK;
	st = chunk_load(c, ch->uid, &before);
	if (st == ST_NOTFOUND || (st == ST_OK && before.n + ch->n > MAILBOX_CHUNK_RECORDS / 2))
		return ST_OK;
	if (st != ST_OK)
		return st;
	c->ops++;
	st = store_del(c->m->txn, chunk_key(c, &k, ch->uid));
	memcpy(before.bytes + before.n * MAILBOX_RECORD_BYTES, ch->bytes,
	    ch->n * MAILBOX_RECORD_BYTES);
	before.n += ch->n;
	*ch = before;
	*uid_out = ch->uid;
	return st;
}

static enum status
chunk_expunge(struct change *c, struct chunk *ch, const uint32_t *uids, size_t n)
{
	bool is_last = ch->uid == c->m->state.chunk_uid && c->m->state.chunk_n;
	size_t former = ch->n;
	enum status st = ST_OK;
	uint32_t uid;

	for (size_t i = 0; i < n && st == ST_OK; i++) {
		size_t at = mailbox_chunk_search(chunk_str(ch), ch->n, uids[i]);

		if (at < ch->n && mailbox_entry_uid(chunk_str(ch), at) == uids[i])
			st = chunk_drop(c, ch, at);
	}
	if (st != ST_OK || ch->n == former)
		return st;
	st = chunk_fold(c, ch, &uid);
	if (is_last) {
		c->m->state.chunk_uid = uid;
		c->m->state.chunk_n = (uint32_t)ch->n;
	}
	return st == ST_OK ? chunk_store(c, ch) : st;
}

enum status
mailbox_expunge(
    struct mailbox *m, const uint32_t *uids, size_t n, size_t *taken_out, size_t *changed_out)
{
	struct change c;
	struct chunk ch;
	enum status st = change_start(&c, m, MAILBOX_EXPUNGE, uids, n);

	*taken_out = 0;
	while (st == ST_OK && *taken_out < n && !change_is_full(&c)) {
		const uint32_t *rest = uids + *taken_out;
		size_t part;

		st = chunk_load(&c, rest[0] < UINT32_MAX ? rest[0] + 1 : UINT32_MAX, &ch);
		if (st != ST_OK && st != ST_NOTFOUND)
			break;
		part = uids_in(&ch, rest, n - *taken_out);
		st = st == ST_OK ? chunk_expunge(&c, &ch, rest, part) : ST_OK;
		*taken_out += part;
	}
	if (changed_out)
		*changed_out = c.changed;
	return st == ST_OK ? change_end(&c) : st;
}
