#include "store/store.h"

#include <poll.h>

#include "base/check.h"

/* Limits that every backend shares are checked here, once; those of a whole transaction are the
 * backend's. */

static bool
key_is_ok(struct str key)
{
	return key.n > 0 && key.n <= STORE_KEY_BYTES_MAX;
}

enum status
store_get(struct txn *t, struct str key, struct str *value_out)
{
	*value_out = STR_NULL;
	return key_is_ok(key) ? t->store->ops->get(t, key, value_out) : ST_LIMIT;
}

enum status
store_range(struct txn *t, struct str from, struct str to, bool reverse, struct store_iter *it)
{
	*it = (struct store_iter){.store = t->store};
	if (!key_is_ok(from) || !key_is_ok(to))
		return ST_LIMIT;
	return t->store->ops->range(t, from, to, reverse, it);
}

enum status
store_next(struct store_iter *it)
{
	return it->impl ? it->store->ops->next(it) : ST_EOF;
}

void
store_iter_end(struct store_iter *it)
{
	if (it->impl)
		it->store->ops->iter_end(it);
	it->impl = NULL;
	it->key = it->value = STR_NULL;
}

enum status
store_put(struct txn *t, struct str key, struct str value)
{
	if (!key_is_ok(key) || value.n > STORE_VALUE_BYTES_MAX)
		return ST_LIMIT;
	return t->store->ops->put(t, key, value);
}

enum status
store_del(struct txn *t, struct str key)
{
	return key_is_ok(key) ? t->store->ops->del(t, key) : ST_LIMIT;
}

enum status
store_add(struct txn *t, struct str key, int64_t by, uint64_t *value_out)
{
	uint64_t sum;

	if (!key_is_ok(key))
		return ST_LIMIT;
	return t->store->ops->add(t, key, by, value_out ? value_out : &sum);
}

enum status
store_splice(struct txn *t, struct str key, size_t off, struct str bytes)
{
	if (!key_is_ok(key) || off > STORE_VALUE_BYTES_MAX || bytes.n > STORE_VALUE_BYTES_MAX - off)
		return ST_LIMIT;
	return t->store->ops->splice(t, key, off, bytes);
}

enum status
store_blob_put(struct txn *t, const struct str *parts, size_t parts_n, struct blob_id *id_out)
{
	size_t sum = 0;

	*id_out = (struct blob_id){0};
	for (size_t i = 0; i < parts_n; i++) {
		if (parts[i].n > STORE_BLOB_INLINE_MAX - sum)
			return ST_LIMIT;
		sum += parts[i].n;
	}
	return t->store->ops->blob_put(t, parts, parts_n, id_out);
}

enum status
store_blob_ref(struct txn *t, struct blob_id id, int32_t by)
{
	return id.v ? t->store->ops->blob_ref(t, id, by) : ST_NOTFOUND;
}

enum status
store_blob_size(struct txn *t, struct blob_id id, uint64_t *size_out)
{
	*size_out = 0;
	return id.v ? t->store->ops->blob_size(t, id, size_out) : ST_NOTFOUND;
}

enum status
store_blob_read(struct txn *t, struct blob_id id, uint64_t off, size_t n, struct buf *out)
{
	return id.v ? t->store->ops->blob_read(t, id, off, n, out) : ST_NOTFOUND;
}

enum status
store_stage_new(struct store *s, struct store_stage **out)
{
	*out = NULL;
	return s->ops->stage_new(s, out);
}

enum status
store_stage_put(struct store_stage *g, struct str bytes)
{
	return g->store->ops->stage_put(g, bytes);
}

void
store_stage_free(struct store_stage **g)
{
	if (*g)
		(*g)->store->ops->stage_free(*g);
	*g = NULL;
}

enum status
store_blob_put_staged(struct txn *t, struct store_stage **g, struct blob_id *id_out)
{
	*id_out = (struct blob_id){0};
	CHECK(*g && (*g)->store == t->store);
	return t->store->ops->blob_put_staged(t, *g, id_out);
}

enum status
store_transact(struct store *s, store_fn *fn, void *arg, store_done_fn *done, void *done_arg)
{
	return s->ops->transact(s, fn, arg, done, done_arg);
}

struct wait {
	bool is_done;
	enum status st;
};

static void
wait_done(void *arg, enum status st)
{
	struct wait *w = arg;

	w->is_done = true;
	w->st = st;
}

enum status
store_transact_wait(struct store *s, store_fn *fn, void *arg)
{
	struct wait w = {.st = ST_IO};
	enum status st = store_transact(s, fn, arg, wait_done, &w);

	if (st != ST_OK)
		return st;
	store_flush(s);
	while ((st = store_poll(s)) == ST_OK && !w.is_done) {
		struct pollfd p = {.fd = store_fd(s), .events = POLLIN};

		/*
		 * Without a descriptor there is nothing to wait on but time. With one, a second is
		 * only a safety net; EINTR is as good as a wake-up.
		 */
		(void)poll(&p, p.fd >= 0 ? 1 : 0, p.fd >= 0 ? 1000 : 1);
		store_flush(s);
	}
	/* After ST_IO of store_poll no done function is ever called, so w may end here. */
	return w.is_done ? w.st : st;
}

struct txn *
store_snapshot(struct store *s)
{
	return s->ops->snapshot(s);
}

int
store_fd(struct store *s)
{
	return s->ops->fd(s);
}

enum status
store_poll(struct store *s)
{
	return s->ops->poll(s);
}

void
store_flush(struct store *s)
{
	s->ops->flush(s);
}

bool
store_is_full(struct store *s)
{
	return s->ops->is_full(s);
}

bool
store_is_busy(struct store *s)
{
	return s->ops->is_busy(s);
}

enum status
store_stats(struct store *s, struct buf *json_out)
{
	return s->ops->stats(s, json_out);
}

void
store_close(struct store **s)
{
	if (*s)
		(*s)->ops->close(*s);
	*s = NULL;
}
