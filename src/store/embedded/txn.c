/*
 * Transactions: applied to the active delta as they go, written into the record at the same time,
 * with an undo log for those that fail. Commit is appending the record to the ring.
 */
#include "store/embedded/embedded_internal.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/num.h"

/*
 * Room for one more operation with so many of the caller's bytes? From here on a failure of the
 * operation breaks the transaction, for the record may hold half of it.
 */
static enum status
txn_charge(struct txn *base, size_t bytes)
{
	struct embedded *e = embedded_of(base->store);
	struct embedded_txn *t = &e->txn;

	if (base != &t->base || e->is_read_only)
		return ST_DENIED;
	CHECK(e->in_txn);
	if (t->ops_n >= STORE_TXN_OPS_MAX || bytes > STORE_TXN_BYTES_MAX - t->bytes)
		return ST_LIMIT;
	t->ops_n++;
	t->bytes += bytes;
	return ST_OK;
}

static struct embedded_txn *
txn_of(struct txn *t)
{
	return &embedded_of(t->store)->txn;
}

static enum status
txn_end_op(struct embedded_txn *t, enum status st)
{
	if (st != ST_OK)
		t->broken = st;
	return st;
}

static struct undo *
undo_push(struct embedded_txn *t, enum undo_kind kind)
{
	struct undo *u;

	if (t->undo_n == t->undo_cap) {
		t->undo_cap = size_max(64, t->undo_cap * 2);
		t->undo = realloc(t->undo, t->undo_cap * sizeof(t->undo[0]));
		CHECK(t->undo != NULL);
	}
	u = &t->undo[t->undo_n++];
	memset(u, 0, sizeof(*u));
	u->kind = kind;
	return u;
}

/* ---- changes to the delta; t is NULL during replay, where nothing is undone ---- */

/* The node's value or its absence becomes this one; the old one is kept until the transaction ends.
 */
static void
node_set(struct embedded *e, struct embedded_txn *t, struct delta_node *n, enum delta_state state,
    struct delta_value *value)
{
	if (t) {
		struct undo *u = undo_push(t, UNDO_VALUE);

		u->node = n;
		u->state = n->state;
		u->value = n->value;
	} else if (n->value) {
		delta_value_free(e->active, n->value);
	}
	n->state = (uint8_t)state;
	n->value = value;
}

static void
apply_put(struct embedded *e, struct embedded_txn *t, struct str key, struct str value)
{
	struct delta_node *n = delta_need(e->active, key);
	struct delta_value *v = delta_value_new(e->active, value.n);

	if (value.n)
		memcpy(v->p, value.p, value.n);
	v->n = (uint32_t)value.n;
	node_set(e, t, n, DELTA_VALUE, v);
}

static void
apply_del(struct embedded *e, struct embedded_txn *t, struct str key)
{
	node_set(e, t, delta_need(e->active, key), DELTA_DELETED, NULL);
}

static void
value_overwrite(struct delta_value *v, size_t off, struct str bytes)
{
	if (off > v->n)
		memset(v->p + v->n, 0, off - v->n);
	/* The bytes may be borrowed from this very value. */
	if (bytes.n)
		memmove(v->p + off, bytes.p, bytes.n);
	v->n = (uint32_t)size_max(v->n, off + bytes.n);
}

/* In place; what it covers goes to the undo log. */
static void
splice_in_place(struct embedded_txn *t, struct delta_node *n, size_t off, struct str bytes)
{
	struct delta_value *v = n->value;
	size_t end = size_min(v->n, off + bytes.n);

	if (t) {
		struct undo *u = undo_push(t, UNDO_BYTES);

		u->node = n;
		u->off = off;
		u->old_n = v->n;
		u->saved_off = t->saved.n;
		u->saved_n = end > off ? end - off : 0;
		(void)buf_put(&t->saved, str_of(v->p + off, u->saved_n));
		CHECK(!t->saved.full);
	}
	value_overwrite(v, off, bytes);
}

static enum status
apply_splice(
    struct embedded *e, struct embedded_txn *t, struct str key, size_t off, struct str bytes)
{
	struct delta_node *n = delta_need(e->active, key);
	size_t end = off + bytes.n, cap;
	struct delta_value *v;
	struct str base;
	enum status st;

	if (n->state == DELTA_VALUE && end <= n->value->cap) {
		splice_in_place(t, n, off, bytes);
		return ST_OK;
	}
	if ((st = view_get(e, key, &base)) != ST_OK && st != ST_NOTFOUND)
		return st;
	if (st == ST_NOTFOUND)
		base = STR_NULL;
	/* Values that grow by splicing (chunks of records) do so again and again. */
	cap = end > base.n && base.n > 0 ? end + end / 2 : size_max(end, base.n);
	v = delta_value_new(e->active, cap);
	if (base.n)
		memcpy(v->p, base.p, base.n);
	v->n = (uint32_t)base.n;
	value_overwrite(v, off, bytes);
	node_set(e, t, n, DELTA_VALUE, v);
	return ST_OK;
}

/* The count of a blob that exists; the caller has seen that the sum is in range. */
static void
apply_ref(struct embedded *e, struct embedded_txn *t, uint64_t id, int32_t by)
{
	struct blob_row *made = delta_blob(e->active, id);

	if (made)
		made->refs = (uint32_t)((int64_t)made->refs + by);
	else
		delta_ref_add(e->active, id, by);
	if (t) {
		struct undo *u = undo_push(t, UNDO_REF);

		u->id = id;
		u->by = by;
	}
}

static struct blob_row *
apply_blob(struct embedded *e, uint64_t id, enum blob_kind kind, uint32_t size, uint32_t crc)
{
	struct blob_row *row = delta_blob_add(e->active, id);

	*row = (struct blob_row){.kind = (uint8_t)kind, .refs = 1, .crc = crc, .size = size};
	e->blob_next = id + 1;
	return row;
}

/* ---- the operations ---- */

enum status
txn_put(struct txn *base, struct str key, struct str value)
{
	struct embedded_txn *t = txn_of(base);
	enum status st = txn_charge(base, key.n + value.n);

	if (st != ST_OK)
		return st;
	if ((st = record_put(&t->ops, key, value)) == ST_OK)
		apply_put(embedded_of(base->store), t, key, value);
	return txn_end_op(t, st);
}

enum status
txn_del(struct txn *base, struct str key)
{
	struct embedded_txn *t = txn_of(base);
	enum status st = txn_charge(base, key.n);

	if (st != ST_OK)
		return st;
	if ((st = record_del(&t->ops, key)) == ST_OK)
		apply_del(embedded_of(base->store), t, key);
	return txn_end_op(t, st);
}

enum status
txn_splice(struct txn *base, struct str key, size_t off, struct str bytes)
{
	struct embedded_txn *t = txn_of(base);
	enum status st = txn_charge(base, key.n + bytes.n);

	if (st != ST_OK)
		return st;
	if ((st = record_splice(&t->ops, key, (uint32_t)off, bytes)) == ST_OK)
		st = apply_splice(embedded_of(base->store), t, key, off, bytes);
	return txn_end_op(t, st);
}

enum status
txn_add(struct txn *base, struct str key, int64_t by, uint64_t *value_out)
{
	struct embedded *e = embedded_of(base->store);
	struct embedded_txn *t = txn_of(base);
	uint64_t v = 0;
	uint8_t sum[8];
	struct str old;
	enum status st = view_get(e, key, &old);

	if (st != ST_OK && st != ST_NOTFOUND)
		return st;
	if (st == ST_OK && old.n != sizeof(sum))
		return ST_SYNTAX;
	if (st == ST_OK)
		v = le64_get(old.p);
	if (__builtin_add_overflow(v, by, &v))
		return ST_LIMIT;
	if ((st = txn_charge(base, key.n + sizeof(sum))) != ST_OK)
		return st;
	le64_put(sum, v);
	/* The sum, not the difference: replaying it twice changes nothing. In the delta, eight
	 * bytes in place. */
	if ((st = record_put(&t->ops, key, str_of(sum, sizeof(sum)))) == ST_OK)
		st = apply_splice(e, t, key, 0, str_of(sum, sizeof(sum)));
	*value_out = v;
	return txn_end_op(t, st);
}

/* No new blobs while space is short: refused before their bytes are copied. */
static bool
is_room_for_blobs(const struct embedded *e)
{
	return !e->is_full && !e->is_ring_full;
}

static enum status
blob_copy(struct embedded_txn *t, const struct str *parts, size_t parts_n)
{
	enum status st = ST_OK;

	for (size_t i = 0; i < parts_n && st == ST_OK; i++)
		st = buf_put(&t->blobs, parts[i]);
	return st;
}

enum status
txn_blob_put(struct txn *base, const struct str *parts, size_t parts_n, struct blob_id *id_out)
{
	struct embedded *e = embedded_of(base->store);
	struct embedded_txn *t = txn_of(base);
	size_t size = 0, off = t->blobs.n;
	struct blob_row *row;
	enum status st;
	uint32_t crc;

	for (size_t i = 0; i < parts_n; i++)
		size += parts[i].n;
	if (!is_room_for_blobs(e))
		return ST_LIMIT;
	if ((st = txn_charge(base, size)) != ST_OK)
		return st;
	if ((st = blob_copy(t, parts, parts_n)) != ST_OK)
		return txn_end_op(t, st);
	/* Of the copy: what the parts point to may be shared with a process that changes it
	 * meanwhile. */
	crc = crc32c(0, t->blobs.p ? t->blobs.p + off : "", size);
	if ((st = record_blob(&t->ops, e->blob_next, (uint32_t)size, crc)) != ST_OK)
		return txn_end_op(t, st);
	*id_out = (struct blob_id){e->blob_next};
	row = apply_blob(e, e->blob_next, BLOB_PENDING, (uint32_t)size, crc);
	row->a = off;
	t->has_blobs = true;
	return ST_OK;
}

enum status
txn_blob_ref(struct txn *base, struct blob_id id, int32_t by)
{
	struct embedded *e = embedded_of(base->store);
	struct embedded_txn *t = txn_of(base);
	struct blob_row row;
	enum status st;
	int64_t sum;

	if ((st = view_blob(e, id.v, &row)) != ST_OK)
		return st;
	sum = (int64_t)row.refs + by;
	if (sum < 0 || sum > INT32_MAX)
		return ST_LIMIT;
	if ((st = txn_charge(base, 8)) != ST_OK)
		return st;
	if ((st = record_ref(&t->ops, id.v, by)) == ST_OK)
		apply_ref(e, t, id.v, by);
	return txn_end_op(t, st);
}

enum status
txn_blob_put_staged(struct txn *base, struct store_stage *bg, struct blob_id *id_out)
{
	struct embedded *e = embedded_of(base->store);
	struct embedded_txn *t = txn_of(base);
	struct stage *g = (struct stage *)bg;
	struct blob_row *row;
	enum status st;

	CHECK(!g->is_used);
	if (!is_room_for_blobs(e))
		return ST_LIMIT;
	/* Synced before its record can reach the ring. */
	if ((st = blob_stage_sync(g)) != ST_OK || (st = txn_charge(base, 0)) != ST_OK)
		return st;
	st = record_staged(&t->ops, e->blob_next, (uint32_t)g->size, g->crc, g->number);
	if (st != ST_OK)
		return txn_end_op(t, st);
	*id_out = (struct blob_id){e->blob_next};
	row = apply_blob(e, e->blob_next, BLOB_STAGED, (uint32_t)g->size, g->crc);
	row->a = g->number;
	t->has_blobs = true;
	g->is_used = true;
	g->next = e->staged;
	e->staged = g;
	return ST_OK;
}

/* ---- begin, commit, abort ---- */

static void
txn_begin(struct embedded *e)
{
	struct embedded_txn *t = &e->txn;

	CHECK(!e->in_txn);
	e->in_txn = true;
	buf_reset(&t->blobs);
	buf_reset(&t->ops);
	buf_reset(&t->saved);
	t->ops_n = 0;
	t->bytes = 0;
	t->broken = ST_OK;
	t->undo_n = 0;
	t->has_blobs = false;
	t->blob_first = e->blob_next;
	e->staged = NULL;
}

static void
undo_one(struct embedded *e, struct embedded_txn *t, const struct undo *u)
{
	struct delta_node *n = u->node;
	struct blob_row *made;

	switch (u->kind) {
	case UNDO_VALUE:
		if (n->value)
			delta_value_free(e->active, n->value);
		n->state = u->state;
		n->value = u->value;
		break;
	case UNDO_BYTES:
		if (u->saved_n)
			memcpy(n->value->p + u->off, t->saved.p + u->saved_off, u->saved_n);
		n->value->n = u->old_n;
		break;
	case UNDO_REF:
		made = delta_blob(e->active, u->id);
		if (made)
			made->refs = (uint32_t)((int64_t)made->refs - u->by);
		else
			delta_ref_add(e->active, u->id, -(int64_t)u->by);
		break;
	}
}

static void
txn_abort(struct embedded *e)
{
	struct embedded_txn *t = &e->txn;
	struct blob_row *row;

	while (t->undo_n > 0)
		undo_one(e, t, &t->undo[--t->undo_n]);
	/* Ids given are not given again: nobody can mistake a later blob for one that never was. */
	for (uint64_t id = t->blob_first; id < e->blob_next; id++)
		if ((row = delta_blob(e->active, id)))
			row->kind = BLOB_NONE;
	for (struct stage *g = e->staged; g; g = g->next)
		g->is_used = false;
	e->staged = NULL;
	e->in_txn = false;
	e->count.aborts++;
}

static void
waiter_push(struct embedded *e, store_done_fn *done, void *arg)
{
	if (e->waiters_n == e->waiters_cap) {
		size_t cap = size_max(256, e->waiters_cap * 2);
		struct waiter *w = calloc(cap, sizeof(*w));

		CHECK(w != NULL);
		for (size_t i = 0; i < e->waiters_n; i++)
			w[i] = e->waiters[(e->waiters_at + i) & (e->waiters_cap - 1)];
		free(e->waiters);
		e->waiters = w;
		e->waiters_cap = cap;
		e->waiters_at = 0;
	}
	e->waiters[(e->waiters_at + e->waiters_n++) & (e->waiters_cap - 1)] =
	    (struct waiter){e->last_next, e->bytes_appended, done, arg};
}

/* Its blobs are in the ring now. */
static void
blobs_place(struct embedded *e, struct embedded_txn *t, uint64_t pos)
{
	for (uint64_t id = t->blob_first; id < e->blob_next; id++) {
		struct blob_row *row = delta_blob(e->active, id);

		if (!row || row->kind != BLOB_PENDING)
			continue;
		row->kind = BLOB_RING;
		row->b = (uint32_t)(RECORD_HEADER_BYTES + row->a);
		row->a = pos;
	}
}

static enum status
txn_append(struct embedded *e, struct embedded_txn *t)
{
	uint8_t head[RECORD_HEADER_BYTES];
	struct str parts[3];
	uint64_t pos;
	enum status st;

	if (!is_room_for_blobs(e) && (t->has_blobs || t->ops.n > LEAN_TXN_BYTES_MAX))
		return ST_LIMIT;
	if (sizeof(head) + t->blobs.n + t->ops.n > e->o.group_bytes_max - RING_OVERHEAD)
		return ST_LIMIT;
	record_header(head, t->blobs.n, t->ops.n, t->ops_n);
	parts[0] = str_of(head, sizeof(head));
	parts[1] = buf_str(&t->blobs);
	parts[2] = buf_str(&t->ops);
	st = ring_append(e->ring, parts, COUNT_OF(parts), &pos);
	if (st == ST_LIMIT)
		e->is_refused = true;
	else if (st != ST_OK)
		embedded_fail(e, "append to the log");
	if (st != ST_OK)
		return st;
	e->last_next = pos + 1;
	e->transact_ms = 0;
	e->bytes_appended += sizeof(head) + t->blobs.n + t->ops.n;
	if (t->has_blobs)
		blobs_place(e, t, pos);
	return ST_OK;
}

static enum status
txn_commit(struct embedded *e, store_done_fn *done, void *done_arg)
{
	struct embedded_txn *t = &e->txn;
	enum status st = t->broken;

	if (st == ST_OK && t->ops_n > 0)
		st = txn_append(e, t);
	if (st != ST_OK)
		return st;
	for (size_t i = 0; i < t->undo_n; i++)
		if (t->undo[i].kind == UNDO_VALUE && t->undo[i].value)
			delta_value_free(e->active, t->undo[i].value);
	e->staged = NULL;
	e->in_txn = false;
	e->count.transactions++;
	waiter_push(e, done, done_arg);
	return ST_OK;
}

/* Before a transaction runs: is there room for what it will put into the delta? */
static bool
delta_has_room(struct embedded *e)
{
	return e->active->bytes + (e->frozen ? e->frozen->bytes : 0) < e->o.delta_bytes_max;
}

enum status
txn_run(struct store *s, store_fn *fn, void *arg, store_done_fn *done, void *done_arg)
{
	struct embedded *e = embedded_of(s);
	enum status st;

	CHECK(!e->in_txn);
	if (e->is_failed || checkpoint_take(e) != ST_OK)
		return ST_IO;
	if (!delta_has_room(e)) {
		e->count.refusals++;
		return ST_LIMIT;
	}
	txn_begin(e);
	while ((st = fn(&e->txn.base, arg)) == ST_CONFLICT) {
		txn_abort(e);
		txn_begin(e);
	}
	if (st == ST_OK && (st = txn_commit(e, done, done_arg)) == ST_LIMIT)
		e->count.refusals++;
	if (st != ST_OK)
		txn_abort(e);
	return st;
}

/* ---- replay ---- */

static enum status
replay_ref(struct embedded *e, const struct record_op *op)
{
	struct blob_row row;
	enum status st = view_blob(e, op->id, &row);
	int64_t sum;

	if (st != ST_OK)
		return st == ST_NOTFOUND ? ST_SYNTAX : st;
	sum = (int64_t)row.refs + op->by;
	if (sum < 0 || sum > INT32_MAX)
		return ST_SYNTAX;
	apply_ref(e, NULL, op->id, op->by);
	return ST_OK;
}

static enum status
replay_op(struct embedded *e, uint64_t pos, const struct record_op *op)
{
	struct blob_row *row;

	switch (op->kind) {
	case RECORD_PUT:
		apply_put(e, NULL, op->key, op->value);
		return ST_OK;
	case RECORD_DEL:
		apply_del(e, NULL, op->key);
		return ST_OK;
	case RECORD_SPLICE:
		return apply_splice(e, NULL, op->key, op->off, op->value);
	case RECORD_REF:
		return replay_ref(e, op);
	case RECORD_BLOB:
	case RECORD_STAGED:
		/* A gap is an undone transaction's; a huge one would be damage and need memory for
		 * a window as large. */
		if (op->id < e->blob_next || op->id - e->blob_next > REPLAY_BLOB_GAP_MAX)
			return ST_SYNTAX;
		row = apply_blob(e, op->id, op->kind == RECORD_BLOB ? BLOB_RING : BLOB_STAGED,
		    op->size, op->crc);
		row->a = op->kind == RECORD_BLOB ? pos : op->file;
		row->b = op->kind == RECORD_BLOB ? op->off : 0;
		return ST_OK;
	}
	return ST_SYNTAX;
}

enum status
txn_replay(struct embedded *e, uint64_t pos, struct str bytes, const char **what_out)
{
	struct record record;
	struct record_op op;
	enum status st = record_open(bytes, &record, what_out);

	if (st != ST_OK)
		return st;
	*what_out = "a blob's number or count does not fit what came before";
	while ((st = record_next(&record, &op)) == ST_OK)
		if ((st = replay_op(e, pos, &op)) != ST_OK)
			return st;
	CHECK(st == ST_EOF);
	e->last_next = pos + 1;
	e->count.replayed++;
	return ST_OK;
}
