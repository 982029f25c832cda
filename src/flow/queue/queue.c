#include "flow/queue/queue.h"

#include "base/check.h"
#include "base/num.h"
#include "flow/queue/queue_internal.h"
#include "standards/address/address.h"

enum status
queue_destination(struct str path, struct buf *out)
{
	struct address a;

	if (address_parse(path, true, &a) != ST_OK || a.domain.n == 0)
		return ST_SYNTAX;
	return address_domain_normalise(a.domain, out);
}

/* ---- in ---- */

static enum status
message_put(struct txn *t, const struct queue_message *m)
{
	struct key k;
	struct buf record;
	enum status st;

	buf_init(&record, QUEUE_MESSAGE_BYTES_MAX);
	st = queue_message_encode(m, &record);
	if (st == ST_OK)
		st = store_put(t, key_queue(&k, m->id), buf_str(&record));
	buf_fini(&record);
	return st;
}

static enum status
rcpt_put(struct txn *t, struct queue_id id, const struct queue_rcpt *r)
{
	struct key k;
	struct buf record;
	enum status st;

	buf_init(&record, QUEUE_RCPT_BYTES_MAX);
	st = queue_rcpt_encode(r, &record);
	if (st == ST_OK)
		st = store_put(t, key_queue_rcpt(&k, id, r->index), buf_str(&record));
	buf_fini(&record);
	return st;
}

static enum status
rcpt_new(struct txn *t, struct queue_id id, uint32_t index, const struct queue_new_rcpt *in, uint64_t due_ms)
{
	struct queue_rcpt r = {.index = index, .notify = in->notify, .due_ms = due_ms, .path = in->path, .orcpt = in->orcpt};
	struct buf destination;
	enum status st;

	if (in->path.n > QUEUE_PATH_BYTES_MAX || in->orcpt.n > QUEUE_ORCPT_BYTES_MAX)
		return ST_LIMIT;
	buf_init(&destination, QUEUE_HOST_BYTES_MAX);
	st = queue_destination(in->path, &destination);
	r.destination = buf_str(&destination);
	if (st == ST_OK)
		st = rcpt_put(t, id, &r);
	buf_fini(&destination);
	return st;
}

enum status
queue_put(struct txn *t, struct queue_message *m, const struct queue_new_rcpt *rcpts, size_t n, const struct queue_options *o,
    uint64_t hold_until_ms)
{
	uint64_t first_ms = hold_until_ms > m->arrived_ms ? hold_until_ms : m->arrived_ms;
	struct key k;
	enum status st;

	if (n == 0 || n > QUEUE_RCPTS_MAX || m->head.n > QUEUE_HEAD_BYTES_MAX || m->envid.n > QUEUE_ENVID_BYTES_MAX ||
	    m->message_id.n > QUEUE_MESSAGE_ID_BYTES_MAX || m->reverse_path.n > QUEUE_PATH_BYTES_MAX)
		return ST_LIMIT;
	st = store_add(t, key_counter(&k, SCHEMA_COUNTER_QUEUE), 1, &m->id.v);
	if (st != ST_OK)
		return st;
	m->rcpts_n = (uint32_t)n;
	m->expires_ms = first_ms + o->life_ms;
	/* RFC 2852 4.1.4: by-mode R wants a bounce when it cannot be delivered in time. */
	if (m->by_ms != 0 && m->by_mode == 'R' && m->by_ms < m->expires_ms)
		m->expires_ms = m->by_ms;
	st = message_put(t, m);
	for (size_t i = 0; i < n && st == ST_OK; i++)
		st = rcpt_new(t, m->id, (uint32_t)i, &rcpts[i], first_ms);
	return st;
}

struct queue_id
queue_next_id(struct txn *t)
{
	struct key k;
	struct str value;
	bool is_there = store_get(t, key_counter(&k, SCHEMA_COUNTER_QUEUE), &value) == ST_OK && value.n == 8;

	return (struct queue_id){(is_there ? le64_get(value.p) : 0) + 1};
}

/* ---- reading ---- */

enum status
queue_get(struct txn *t, struct queue_id id, struct arena *a, struct queue_message *out)
{
	struct key k;
	struct str record;
	enum status st = store_get(t, key_queue(&k, id), &record);

	if (st != ST_OK)
		return st;
	out->id = id;
	return queue_message_decode(record, a, out);
}

static enum status
rcpts_read(struct store_iter *it, struct arena *a, struct queue_rcpt *out, size_t max, size_t *n)
{
	enum status st;

	while ((st = store_next(it)) == ST_OK) {
		if (*n == max)
			return ST_IO;
		st = queue_rcpt_decode(it->value, key_last_u32(it->key), a, &out[*n]);
		if (st != ST_OK)
			return st;
		++*n;
	}
	return st == ST_EOF ? ST_OK : st;
}

/* Indexes start at 0, and the range's end is the next message's first. */
static enum status
rcpts_range(struct txn *t, struct queue_id id, struct store_iter *it)
{
	struct key from, to;

	return store_range(t, key_queue_rcpt(&from, id, 0), key_queue_rcpt(&to, (struct queue_id){id.v + 1}, 0), false, it);
}

enum status
queue_rcpts(struct txn *t, struct queue_id id, struct arena *a, struct queue_rcpt **out, size_t *n_out)
{
	struct store_iter it;
	struct queue_rcpt few[4];
	size_t n = 0, max = COUNT_OF(few);
	struct queue_rcpt *all = few;
	enum status st;

	/* Nearly all messages have few; only for the others the whole array is taken. */
	for (;;) {
		n = 0;
		st = rcpts_range(t, id, &it);
		if (st == ST_OK) {
			st = rcpts_read(&it, a, all, max, &n);
			store_iter_end(&it);
		}
		if (st != ST_IO || n < max || all != few)
			break;
		max = QUEUE_RCPTS_MAX;
		all = arena_array(a, max, sizeof(*all));
		if (all == NULL)
			return ST_LIMIT;
	}
	if (st != ST_OK)
		return st;
	if (all == few && n > 0) {
		all = arena_array(a, n, sizeof(*all));
		if (all == NULL)
			return ST_LIMIT;
		memcpy(all, few, n * sizeof(*all));
	}
	*out = all;
	*n_out = n;
	return ST_OK;
}

enum status
queue_ids(struct txn *t, struct queue_id after, struct queue_id *out, size_t max, size_t *n_out)
{
	struct key from, to;
	struct store_iter it;
	enum status st;

	*n_out = 0;
	st = store_range(t, key_queue(&from, (struct queue_id){after.v + 1}), key_queue(&to, (struct queue_id){UINT64_MAX}), false, &it);
	if (st != ST_OK)
		return st;
	while (*n_out < max && (st = store_next(&it)) == ST_OK)
		out[(*n_out)++] = (struct queue_id){key_last_u64(it.key)};
	store_iter_end(&it);
	return st == ST_EOF ? ST_OK : st;
}

static struct queue_entry *
entry_of(struct queue_entry *entries, size_t *n, const struct queue_rcpt *r)
{
	for (size_t i = 0; i < *n; i++)
		if (str_eq(entries[i].destination, r->destination))
			return &entries[i];
	entries[*n] = (struct queue_entry){.destination = r->destination, .is_held = true};
	return &entries[(*n)++];
}

enum status
queue_entries(const struct queue_rcpt *rcpts, size_t n, struct arena *a, struct queue_entry **out, size_t *n_out)
{
	struct queue_entry *entries = arena_array(a, n + 1, sizeof(*entries));

	*n_out = 0;
	if (entries == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct queue_entry *e = entry_of(entries, n_out, &rcpts[i]);
		e->rcpts_n++;
		if (rcpts[i].attempts > e->attempts)
			e->attempts = rcpts[i].attempts;
		if (rcpts[i].state == QUEUE_HELD)
			continue;
		if (e->is_held || rcpts[i].due_ms < e->due_ms)
			e->due_ms = rcpts[i].due_ms;
		e->is_held = false;
	}
	*out = entries;
	return ST_OK;
}

/* ---- out ---- */

/* The message goes with its last recipient. left: recipients that are still there. */
static enum status
message_end(struct txn *t, const struct queue_message *m, size_t left, bool *is_gone_out)
{
	struct key k;
	enum status st;

	*is_gone_out = left == 0;
	if (left > 0)
		return ST_OK;
	st = store_del(t, key_queue(&k, m->id));
	return st == ST_OK ? store_blob_ref(t, m->blob, -1) : st;
}

static enum status
rcpt_del(struct txn *t, struct queue_id id, uint32_t index)
{
	struct key k;

	return store_del(t, key_queue_rcpt(&k, id, index));
}

/* ---- what became of a try ---- */

struct result {
	uint8_t verdict;
	uint16_t code, enhanced[3];
	struct str text;
};

static bool
result_take(struct cur *c, uint32_t *index, struct result *r)
{
	return cur_le32(c, index) && cur_u8(c, &r->verdict) && r->verdict <= QUEUE_FAILED && cur_le16(c, &r->code) &&
	    cur_le16(c, &r->enhanced[0]) && cur_le16(c, &r->enhanced[1]) && cur_le16(c, &r->enhanced[2]) && cur_str16(c, &r->text);
}

/* What the try said of this recipient: its own result (*is_own_out), or why all of them wait. ST_SYNTAX: malformed. */
static enum status
result_of(const struct queue_try *try, uint32_t index, struct result *out, bool *is_own_out)
{
	struct cur c = cur_of(try->results);
	uint32_t i;

	*is_own_out = true;
	while (!cur_at_end(&c)) {
		if (!result_take(&c, &i, out))
			return ST_SYNTAX;
		if (i == index)
			return ST_OK;
	}
	*is_own_out = false;
	*out = (struct result){.verdict = QUEUE_DEFERRED, .code = try->code, .text = try->text,
	    .enhanced = {try->enhanced[0], try->enhanced[1], try->enhanced[2]}};
	return ST_OK;
}

static bool
is_wanted(const struct queue_rcpt *r, uint8_t bit)
{
	/* RFC 3461 4.1: without NOTIFY, failures are told, and delays may be. */
	if (r->notify == 0)
		return bit != ENVELOPE_SUCCESS;
	return (r->notify & bit) != 0;
}

static bool
is_late(const struct queue_message *m, const struct queue_try *try, const struct queue_rcpt *r)
{
	return try->notice_ms != 0 && !r->is_delay_told && try->now_ms >= m->arrived_ms &&
	    try->now_ms - m->arrived_ms >= try->notice_ms && (m->flags & (ENVELOPE_AUTO | ENVELOPE_NOTICE)) == 0;
}

static void
news_make(const struct queue_message *m, const struct queue_try *try, const struct result *res, struct queue_news *n)
{
	struct queue_rcpt *r = &n->rcpt;

	r->attempts++;
	r->tried_ms = try->now_ms;
	r->code = res->code;
	memcpy(r->enhanced, res->enhanced, sizeof(r->enhanced));
	r->host = str_take(try->host, QUEUE_HOST_BYTES_MAX);
	r->text = str_take(res->text, QUEUE_TEXT_BYTES_MAX);
	r->due_ms = try->due_ms;
	n->verdict = res->verdict;
	if (n->verdict == QUEUE_DEFERRED && try->now_ms >= m->expires_ms) {
		n->verdict = QUEUE_FAILED;
		n->is_expired = true;
	}
	/* One try more at its very end, not after it. */
	if (n->verdict == QUEUE_DEFERRED && r->due_ms > m->expires_ms)
		r->due_ms = m->expires_ms;
	switch ((enum queue_verdict)n->verdict) {
	case QUEUE_DELIVERED:
		/* The other host says so itself when it knows of DSN; this is a host of ours that does (LMTP). */
		n->is_notice_due = false;
		break;
	case QUEUE_RELAYED:
		n->is_notice_due = (r->notify & ENVELOPE_SUCCESS) != 0;
		break;
	case QUEUE_DEFERRED:
		n->is_notice_due = is_wanted(r, ENVELOPE_DELAY) && is_late(m, try, r);
		r->is_delay_told |= n->is_notice_due;
		break;
	case QUEUE_FAILED:
		n->is_notice_due = is_wanted(r, ENVELOPE_FAILURE);
		break;
	}
	/* RFC 5321 4.5.5: never to the null path. */
	n->is_notice_due &= m->reverse_path.n > 0;
}

static enum status
news_keep(struct txn *t, const struct queue_message *m, const struct queue_news *n)
{
	return n->verdict == QUEUE_DEFERRED ? rcpt_put(t, m->id, &n->rcpt) : rcpt_del(t, m->id, n->rcpt.index);
}

enum status
queue_judge(const struct queue_message *m, const struct queue_rcpt *rcpts, size_t n, const struct queue_try *try, struct arena *a,
    struct queue_news **news_out, size_t *n_out)
{
	struct queue_news *news = arena_array(a, n + 1, sizeof(*news));

	*n_out = 0;
	*news_out = news;
	if (news == NULL)
		return ST_LIMIT;
	for (size_t i = 0; i < n; i++) {
		struct queue_news *w = &news[*n_out];
		struct result res;
		bool is_own;
		enum status st;
		if (!str_eq(rcpts[i].destination, try->destination))
			continue;
		st = result_of(try, rcpts[i].index, &res, &is_own);
		if (st != ST_OK)
			return st;
		/* Held before it went on its way; what happened to one held since counts. A try without a word changed nothing. */
		if (!is_own && (rcpts[i].state == QUEUE_HELD || try->code == 0))
			continue;
		*w = (struct queue_news){.rcpt = rcpts[i]};
		news_make(m, try, &res, w);
		++*n_out;
	}
	return ST_OK;
}

enum status
queue_tried(struct txn *t, const struct queue_message *m, const struct queue_try *try, struct arena *a,
    struct queue_news **news_out, size_t *n_out, bool *is_gone_out)
{
	struct queue_rcpt *rcpts;
	size_t n, left;
	enum status st = queue_rcpts(t, m->id, a, &rcpts, &n);

	*n_out = 0;
	if (st == ST_OK)
		st = queue_judge(m, rcpts, n, try, a, news_out, n_out);
	left = n;
	for (size_t i = 0; i < *n_out && st == ST_OK; i++) {
		st = news_keep(t, m, &(*news_out)[i]);
		left -= (*news_out)[i].verdict != QUEUE_DEFERRED;
	}
	return st == ST_OK ? message_end(t, m, left, is_gone_out) : st;
}

/* ---- by hand ---- */

/* False: nothing to change. */
static bool
order_apply(struct queue_rcpt *r, enum queue_order order, uint64_t now_ms)
{
	switch (order) {
	case QUEUE_HOLD:
		if (r->state == QUEUE_HELD)
			return false;
		r->state = QUEUE_HELD;
		return true;
	case QUEUE_RELEASE:
		if (r->state != QUEUE_HELD)
			return false;
		r->state = QUEUE_WAITING;
		r->due_ms = now_ms;
		return true;
	case QUEUE_RETRY:
	case QUEUE_EXPIRE:
		if (r->state == QUEUE_HELD)
			return false;
		r->due_ms = now_ms;
		return true;
	case QUEUE_REMOVE:
		return true;
	}
	return false;
}

enum status
queue_order(struct txn *t, struct queue_id id, struct str destination, enum queue_order order, uint64_t now_ms, struct arena *a,
    size_t *changed_out)
{
	struct queue_message m;
	struct queue_rcpt *rcpts;
	size_t n, left;
	bool is_gone;
	enum status st = queue_get(t, id, a, &m);

	*changed_out = 0;
	if (st == ST_OK)
		st = queue_rcpts(t, id, a, &rcpts, &n);
	if (st != ST_OK)
		return st;
	left = n;
	if (order == QUEUE_EXPIRE) {
		m.expires_ms = now_ms;
		st = message_put(t, &m);
	}
	for (size_t i = 0; i < n && st == ST_OK; i++) {
		if ((destination.n > 0 && !str_eq(rcpts[i].destination, destination)) || !order_apply(&rcpts[i], order, now_ms))
			continue;
		++*changed_out;
		left -= order == QUEUE_REMOVE;
		st = order == QUEUE_REMOVE ? rcpt_del(t, id, rcpts[i].index) : rcpt_put(t, id, &rcpts[i]);
	}
	return st == ST_OK ? message_end(t, &m, left, &is_gone) : st;
}
