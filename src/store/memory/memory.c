#include "store/memory/memory.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/cur.h"
#include "base/num.h"
#include "store/memory/omap.h"

/*
 * Two ordered maps: the keys, and the blobs (big-endian id -> u32 count, bytes). Every write
 * becomes one of three changes of one of them, which can be undone (a list in reverse) and done
 * again (the log of the disk).
 */
enum map_name { MAP_KEYS, MAP_BLOBS, MAPS_N };
enum change { CHANGE_SET = 1, CHANGE_DEL, CHANGE_SPLICE };
#define BLOB_HEAD_BYTES 4

struct memory_disk {
	struct buf log; /* per transaction: le32 length, changes */
};

struct undo {
	enum map_name map;
	bool is_splice;
	bool was_there;
	char *key;
	size_t key_n;
	char *value; /* the former value, or the bytes a splice overwrote */
	size_t value_n;
	size_t off;
	size_t size; /* of the former value, before a splice */
};

struct lent {
	struct lent *next;
	char bytes[];
};

struct memory_txn {
	struct txn txn; /* must be first */
	struct memory_store *store;
	bool is_writable;
};

struct pending {
	struct pending *next;
	store_done_fn *done;
	void *done_arg;
	bool is_flushed;
	size_t log_n;
	char log[];
};

struct memory_store {
	struct store store; /* must be first */
	struct omap maps[MAPS_N];
	struct memory_disk *disk;
	bool is_strict;
	bool is_dead;
	bool is_running;
	struct memory_faults faults;
	uint64_t blob_last;
	struct memory_txn txn, snapshot;
	size_t ops, bytes; /* of the running transaction */
	struct buf log;	   /* its changes */
	struct undo *undo;
	size_t undo_n, undo_cap;
	struct lent *lent;
	struct pending *pending_first, **pending_tail;
	struct memory_costs costs;
};

struct memory_stage {
	struct store_stage stage; /* must be first */
	struct buf bytes;
};

struct memory_iter {
	struct memory_store *s;
	struct buf from, to; /* narrowed as it goes */
	bool is_reverse;
	bool is_started;
};

static struct memory_store *
store_of(struct store *s)
{
	return (struct memory_store *)s;
}

static struct memory_txn *
txn_of(struct txn *t)
{
	return (struct memory_txn *)t;
}

static void
lent_free(struct memory_store *s)
{
	while (s->lent) {
		struct lent *next = s->lent->next;

		free(s->lent);
		s->lent = next;
	}
}

static struct str
lend(struct memory_store *s, struct str value)
{
	struct lent *l;

	if (!s->is_strict)
		return value;
	l = malloc(sizeof(*l) + value.n);
	CHECK(l);
	l->next = s->lent;
	s->lent = l;
	if (value.n)
		memcpy(l->bytes, value.p, value.n);
	return str_of(l->bytes, value.n);
}

static char *
bytes_dup(struct str s)
{
	char *p = malloc(s.n ? s.n : 1);

	CHECK(p);
	if (s.n)
		/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): what has bytes points to them. */
		memcpy(p, s.p, s.n);
	return p;
}

static struct undo *
undo_add(struct memory_store *s, enum map_name map, struct str key, const struct omap_node *node)
{
	struct undo *u;

	if (s->undo_n == s->undo_cap) {
		s->undo_cap = s->undo_cap ? s->undo_cap * 2 : 64;
		s->undo = reallocarray(s->undo, s->undo_cap, sizeof(*s->undo));
		CHECK(s->undo);
	}
	u = &s->undo[s->undo_n++];
	*u = (struct undo){.map = map, .was_there = node != NULL};
	u->key = bytes_dup(key);
	u->key_n = key.n;
	u->size = node ? node->value_n : 0;
	return u;
}

static void
undo_forget(struct memory_store *s)
{
	for (size_t i = 0; i < s->undo_n; i++) {
		free(s->undo[i].key);
		free(s->undo[i].value);
	}
	s->undo_n = 0;
}

static void
undo_one(struct memory_store *s, const struct undo *u)
{
	struct omap *map = &s->maps[u->map];
	struct str key = str_of(u->key, u->key_n);
	struct omap_node *node;

	if (!u->was_there) {
		(void)omap_remove(map, key);
		return;
	}
	node = omap_take(map, key);
	if (!u->is_splice) {
		omap_value_set(node, str_of(u->value, u->value_n));
		return;
	}
	omap_value_resize(node, u->size);
	if (u->value_n)
		memcpy(node->value + u->off, u->value, u->value_n);
}

static void
undo_all(struct memory_store *s)
{
	for (size_t i = s->undo_n; i > 0; i--)
		undo_one(s, &s->undo[i - 1]);
	undo_forget(s);
}

/* One change of one map, without undo: the transaction's and the recovery's common end. */
static void
change_apply(struct omap *map, enum change change, struct str key, size_t off, struct str bytes)
{
	struct omap_node *node;

	if (change == CHANGE_DEL) {
		(void)omap_remove(map, key);
		return;
	}
	node = omap_take(map, key);
	if (change == CHANGE_SET) {
		omap_value_set(node, bytes);
		return;
	}
	if (off + bytes.n > node->value_n)
		omap_value_resize(node, off + bytes.n);
	if (bytes.n)
		memcpy(node->value + off, bytes.p, bytes.n);
}

static void
change_log(struct buf *log, enum map_name map, enum change change, struct str key, size_t off,
    struct str bytes)
{
	char head[12];

	head[0] = (char)map;
	head[1] = (char)change;
	le16_put(head + 2, (uint16_t)key.n);
	le32_put(head + 4, (uint32_t)off);
	le32_put(head + 8, (uint32_t)bytes.n);
	(void)buf_put(log, str_of(head, sizeof(head)));
	(void)buf_put(log, key);
	(void)buf_put(log, bytes);
	CHECK(!log->full);
}

static void
change_make(struct memory_store *s, enum map_name map, enum change change, struct str key,
    size_t off, struct str bytes)
{
	struct omap_node *node = omap_find(&s->maps[map], key);
	struct undo *u;

	if (change == CHANGE_DEL && !node)
		return;
	u = undo_add(s, map, key, node);
	if (node && change == CHANGE_SPLICE) {
		u->is_splice = true;
		u->off = size_min(off, node->value_n);
		u->value_n = size_min(bytes.n, node->value_n - u->off);
		u->value = bytes_dup(str_of(node->value ? node->value + u->off : NULL, u->value_n));
	} else if (node) {
		u->value = bytes_dup(omap_value(node));
		u->value_n = node->value_n;
	}
	change_log(&s->log, map, change, key, off, bytes);
	/* From the log's copy: bytes may be borrowed from the value that changes. */
	bytes.p = s->log.p + s->log.n - bytes.n;
	key.p = bytes.p - key.n;
	change_apply(&s->maps[map], change, key, off, bytes);
}

/* Room in the transaction for one more operation of that many bytes? Also ends what was lent. */
static enum status
write_start(struct txn *t, size_t bytes)
{
	struct memory_store *s = txn_of(t)->store;

	if (!txn_of(t)->is_writable)
		return ST_DENIED;
	CHECK(s->is_running);
	if (s->ops == STORE_TXN_OPS_MAX || bytes > STORE_TXN_BYTES_MAX - s->bytes)
		return ST_LIMIT;
	s->ops++;
	s->bytes += bytes;
	return ST_OK;
}

static enum status
memory_get(struct txn *t, struct str key, struct str *value_out)
{
	struct memory_store *s = txn_of(t)->store;
	struct omap_node *node = omap_find(&s->maps[MAP_KEYS], key);

	if (!node)
		return ST_NOTFOUND;
	*value_out = lend(s, omap_value(node));
	return ST_OK;
}

static enum status
memory_range(struct txn *t, struct str from, struct str to, bool reverse, struct store_iter *it)
{
	struct memory_iter *mi = calloc(1, sizeof(*mi));

	CHECK(mi);
	mi->s = txn_of(t)->store;
	mi->is_reverse = reverse;
	buf_init(&mi->from, STORE_KEY_BYTES_MAX);
	buf_init(&mi->to, STORE_KEY_BYTES_MAX);
	(void)buf_put(&mi->from, from);
	(void)buf_put(&mi->to, to);
	it->impl = mi;
	return ST_OK;
}

static enum status
memory_next(struct store_iter *it)
{
	struct memory_iter *mi = it->impl;
	struct omap *map = &mi->s->maps[MAP_KEYS];
	struct buf *edge = mi->is_reverse ? &mi->to : &mi->from;
	struct omap_node *node = mi->is_reverse
				     ? omap_last_before(map, buf_str(&mi->to))
				     : omap_first(map, buf_str(&mi->from), mi->is_started);

	if (!node || str_cmp(omap_key(node), buf_str(&mi->from)) < 0 ||
	    str_cmp(omap_key(node), buf_str(&mi->to)) >= 0) {
		it->key = it->value = STR_NULL;
		return ST_EOF;
	}
	mi->is_started = true;
	buf_reset(edge);
	(void)buf_put(edge, omap_key(node));
	it->key = buf_str(edge);
	it->value = lend(mi->s, omap_value(node));
	return ST_OK;
}

static void
memory_iter_end(struct store_iter *it)
{
	struct memory_iter *mi = it->impl;

	buf_fini(&mi->from);
	buf_fini(&mi->to);
	free(mi);
}

/* A written value may be one that was lent: so the lent ones end after the write. */
static enum status
memory_put(struct txn *t, struct str key, struct str value)
{
	enum status st = write_start(t, key.n + value.n);

	if (st != ST_OK)
		return st;
	change_make(txn_of(t)->store, MAP_KEYS, CHANGE_SET, key, 0, value);
	lent_free(txn_of(t)->store);
	return ST_OK;
}

static enum status
memory_del(struct txn *t, struct str key)
{
	enum status st = write_start(t, key.n);

	if (st != ST_OK)
		return st;
	change_make(txn_of(t)->store, MAP_KEYS, CHANGE_DEL, key, 0, STR_NULL);
	lent_free(txn_of(t)->store);
	return ST_OK;
}

static enum status
memory_add(struct txn *t, struct str key, int64_t by, uint64_t *value_out)
{
	struct memory_store *s = txn_of(t)->store;
	struct omap_node *node = omap_find(&s->maps[MAP_KEYS], key);
	uint64_t v = 0;
	char bytes[8];
	enum status st;

	if (node && node->value_n != sizeof(bytes))
		return ST_SYNTAX;
	if (node)
		v = le64_get(node->value);
	if (__builtin_add_overflow(v, by, &v))
		return ST_LIMIT;
	st = write_start(t, key.n + sizeof(bytes));
	if (st != ST_OK)
		return st;
	le64_put(bytes, v);
	change_make(s, MAP_KEYS, CHANGE_SET, key, 0, str_of(bytes, sizeof(bytes)));
	lent_free(s);
	*value_out = v;
	return ST_OK;
}

static enum status
memory_splice(struct txn *t, struct str key, size_t off, struct str bytes)
{
	enum status st = write_start(t, key.n + bytes.n);

	if (st != ST_OK)
		return st;
	change_make(txn_of(t)->store, MAP_KEYS, CHANGE_SPLICE, key, off, bytes);
	lent_free(txn_of(t)->store);
	return ST_OK;
}

struct blob_key {
	char p[8];
};

static struct str
blob_key(struct blob_key *k, struct blob_id id)
{
	be64_put(k->p, id.v);
	return str_of(k->p, sizeof(k->p));
}

static void
blob_add(struct memory_store *s, const struct str *parts, size_t parts_n, struct blob_id *id_out)
{
	struct blob_key k;
	struct buf b;
	char head[BLOB_HEAD_BYTES];

	buf_init(&b, BLOB_HEAD_BYTES + (size_t)STORE_BLOB_BYTES_MAX);
	le32_put(head, 1);
	(void)buf_put(&b, str_of(head, sizeof(head)));
	for (size_t i = 0; i < parts_n; i++)
		(void)buf_put(&b, parts[i]);
	CHECK(!b.full);
	id_out->v = ++s->blob_last;
	change_make(s, MAP_BLOBS, CHANGE_SET, blob_key(&k, *id_out), 0, buf_str(&b));
	buf_fini(&b);
}

static enum status
memory_blob_put(struct txn *t, const struct str *parts, size_t parts_n, struct blob_id *id_out)
{
	size_t sum = 0;
	enum status st;

	for (size_t i = 0; i < parts_n; i++)
		sum += parts[i].n;
	st = write_start(t, sum);
	if (st != ST_OK)
		return st;
	blob_add(txn_of(t)->store, parts, parts_n, id_out);
	lent_free(txn_of(t)->store);
	return ST_OK;
}

static struct omap_node *
blob_find(struct txn *t, struct blob_id id)
{
	struct blob_key k;

	return omap_find(&txn_of(t)->store->maps[MAP_BLOBS], blob_key(&k, id));
}

static enum status
memory_blob_ref(struct txn *t, struct blob_id id, int32_t by)
{
	struct memory_store *s = txn_of(t)->store;
	struct omap_node *node = blob_find(t, id);
	struct blob_key k;
	char bytes[4];
	int32_t count;
	enum status st;

	if (!node)
		return ST_NOTFOUND;
	if (__builtin_add_overflow((int32_t)le32_get(node->value), by, &count) || count < 0)
		return ST_LIMIT;
	st = write_start(t, 8);
	if (st != ST_OK)
		return st;
	le32_put(bytes, (uint32_t)count);
	change_make(s, MAP_BLOBS, count ? CHANGE_SPLICE : CHANGE_DEL, blob_key(&k, id), 0,
	    count ? str_of(bytes, sizeof(bytes)) : STR_NULL);
	lent_free(s);
	return ST_OK;
}

static enum status
memory_blob_size(struct txn *t, struct blob_id id, uint64_t *size_out)
{
	struct omap_node *node = blob_find(t, id);

	if (!node)
		return ST_NOTFOUND;
	*size_out = node->value_n - BLOB_HEAD_BYTES;
	return ST_OK;
}

/* Is this the one that a countdown was set for? */
static bool
countdown(uint32_t *n)
{
	return *n > 0 && --*n == 0;
}

static enum status
memory_blob_read(struct txn *t, struct blob_id id, uint64_t off, size_t n, struct buf *out)
{
	struct memory_store *s = txn_of(t)->store;
	struct omap_node *node = blob_find(t, id);
	struct str bytes;

	if (!node)
		return ST_NOTFOUND;
	bytes = str_from(omap_value(node), BLOB_HEAD_BYTES);
	bytes = off < bytes.n ? str_take(str_from(bytes, (size_t)off), n) : STR_NULL;
	if (countdown(&s->faults.short_read_in)) {
		(void)buf_put(out, str_take(bytes, bytes.n / 2));
		return ST_IO;
	}
	return buf_put(out, bytes);
}

static enum status
memory_stage_new(struct store *s, struct store_stage **out)
{
	struct memory_stage *g = calloc(1, sizeof(*g));

	CHECK(g);
	g->stage.store = s;
	buf_init(&g->bytes, STORE_BLOB_BYTES_MAX);
	*out = &g->stage;
	return ST_OK;
}

static enum status
memory_stage_put(struct store_stage *g, struct str bytes)
{
	return buf_put(&((struct memory_stage *)g)->bytes, bytes);
}

static void
memory_stage_free(struct store_stage *g)
{
	buf_fini(&((struct memory_stage *)g)->bytes);
	free(g);
}

static enum status
memory_blob_put_staged(struct txn *t, struct store_stage *g, struct blob_id *id_out)
{
	struct str bytes = buf_str(&((struct memory_stage *)g)->bytes);
	enum status st = write_start(t, 0);

	if (st != ST_OK)
		return st;
	blob_add(txn_of(t)->store, &bytes, 1, id_out);
	lent_free(txn_of(t)->store);
	return ST_OK;
}

static enum status
txn_run_once(struct memory_store *s, store_fn *fn, void *arg)
{
	enum status st;

	s->ops = s->bytes = 0;
	buf_reset(&s->log);
	s->is_running = true;
	st = fn(&s->txn.txn, arg);
	s->is_running = false;
	lent_free(s);
	return st;
}

static enum status
txn_run(struct memory_store *s, store_fn *fn, void *arg)
{
	bool must_conflict = countdown(&s->faults.conflict_in);
	enum status st = ST_CONFLICT;

	for (int i = 0; i < MEMORY_RETRIES_MAX && st == ST_CONFLICT; i++) {
		st = txn_run_once(s, fn, arg);
		if (st == ST_OK && must_conflict)
			st = ST_CONFLICT;
		must_conflict = false;
		if (st != ST_OK)
			undo_all(s);
	}
	return st;
}

static enum status
memory_transact(struct store *base, store_fn *fn, void *arg, store_done_fn *done, void *done_arg)
{
	struct memory_store *s = store_of(base);
	struct pending *p;
	enum status st;

	CHECK(!s->is_running);
	if (s->is_dead)
		return ST_IO;
	if (s->faults.is_full)
		return ST_LIMIT;
	lent_free(s);
	st = txn_run(s, fn, arg);
	if (st != ST_OK)
		return st;
	undo_forget(s);
	s->costs.txns++;
	s->costs.ops += s->ops;
	s->costs.log_bytes += s->log.n;
	p = calloc(1, sizeof(*p) + (s->disk ? s->log.n : 0));
	CHECK(p);
	p->done = done;
	p->done_arg = done_arg;
	if (s->disk && s->log.n) {
		p->log_n = s->log.n;
		memcpy(p->log, s->log.p, s->log.n);
	}
	*s->pending_tail = p;
	s->pending_tail = &p->next;
	return ST_OK;
}

static void
pending_free_all(struct memory_store *s)
{
	while (s->pending_first) {
		struct pending *next = s->pending_first->next;

		free(s->pending_first);
		s->pending_first = next;
	}
	s->pending_tail = &s->pending_first;
}

static struct pending *
pending_take(struct memory_store *s)
{
	struct pending *p = s->pending_first;

	s->pending_first = p->next;
	if (!s->pending_first)
		s->pending_tail = &s->pending_first;
	return p;
}

static void
disk_write(struct memory_disk *d, const struct pending *p)
{
	char head[4];

	if (!d || !p->log_n)
		return;
	le32_put(head, (uint32_t)p->log_n);
	(void)buf_put(&d->log, str_of(head, sizeof(head)));
	(void)buf_put(&d->log, str_of(p->log, p->log_n));
	CHECK(!d->log.full);
}

/* After the injected failure: each waiting one hears of it. */
static void
pending_fail_all(struct memory_store *s)
{
	while (s->pending_first) {
		struct pending *p = pending_take(s);

		if (p->done)
			p->done(p->done_arg, ST_IO);
		free(p);
	}
}

static enum status
memory_poll(struct store *base)
{
	struct memory_store *s = store_of(base);

	while (!s->is_dead && s->pending_first && s->pending_first->is_flushed) {
		struct pending *p;

		if (countdown(&s->faults.crash_in)) {
			s->is_dead = true;
			pending_free_all(s);
			break;
		}
		if (countdown(&s->faults.io_error_in)) {
			s->is_dead = true;
			pending_fail_all(s);
			break;
		}
		p = pending_take(s);
		disk_write(s->disk, p);
		if (p->done)
			p->done(p->done_arg, ST_OK);
		free(p);
	}
	return s->is_dead ? ST_IO : ST_OK;
}

static void
memory_flush(struct store *base)
{
	for (struct pending *p = store_of(base)->pending_first; p; p = p->next)
		p->is_flushed = true;
}

static struct txn *
memory_snapshot(struct store *base)
{
	CHECK(!store_of(base)->is_running);
	return &store_of(base)->snapshot.txn;
}

static int
memory_fd(struct store *base)
{
	(void)base;
	return -1;
}

static bool
memory_is_full(struct store *base)
{
	return store_of(base)->faults.is_full;
}

static bool
memory_is_busy(struct store *base)
{
	return store_of(base)->faults.is_busy;
}

static enum status
memory_stats(struct store *base, struct buf *json_out)
{
	const struct memory_store *s = store_of(base);

	return buf_putf(json_out,
	    "{\"backend\":\"memory\",\"keys\":%zu,\"blobs\":%zu,\"txns\":%llu,\"ops\":%llu,"
	    "\"log_bytes\":%llu}",
	    s->maps[MAP_KEYS].n, s->maps[MAP_BLOBS].n, (unsigned long long)s->costs.txns,
	    (unsigned long long)s->costs.ops, (unsigned long long)s->costs.log_bytes);
}

static void
memory_close(struct store *base)
{
	struct memory_store *s = store_of(base);

	CHECK(!s->is_running);
	pending_free_all(s);
	lent_free(s);
	undo_forget(s);
	free(s->undo);
	buf_fini(&s->log);
	for (int i = 0; i < MAPS_N; i++)
		omap_fini(&s->maps[i]);
	free(s);
}

static const struct store_ops memory_ops = {
    .get = memory_get,
    .range = memory_range,
    .next = memory_next,
    .iter_end = memory_iter_end,
    .put = memory_put,
    .del = memory_del,
    .add = memory_add,
    .splice = memory_splice,
    .blob_put = memory_blob_put,
    .blob_ref = memory_blob_ref,
    .blob_size = memory_blob_size,
    .blob_read = memory_blob_read,
    .stage_new = memory_stage_new,
    .stage_put = memory_stage_put,
    .stage_free = memory_stage_free,
    .blob_put_staged = memory_blob_put_staged,
    .transact = memory_transact,
    .snapshot = memory_snapshot,
    .fd = memory_fd,
    .poll = memory_poll,
    .flush = memory_flush,
    .is_full = memory_is_full,
    .is_busy = memory_is_busy,
    .stats = memory_stats,
    .close = memory_close,
};

/* The log is our own memory, never a stranger's: what does not fit is our bug. */
static void
replay_one(struct memory_store *s, struct cur *c)
{
	uint8_t map, change;
	uint16_t key_n;
	uint32_t off, bytes_n;
	struct str key, bytes;

	CHECK(cur_u8(c, &map) && map < MAPS_N && cur_u8(c, &change) && cur_le16(c, &key_n) &&
	      cur_le32(c, &off) && cur_le32(c, &bytes_n) && cur_take(c, key_n, &key) &&
	      cur_take(c, bytes_n, &bytes));
	change_apply(&s->maps[map], (enum change)change, key, off, bytes);
	if (map == MAP_BLOBS && be64_get(key.p) > s->blob_last)
		s->blob_last = be64_get(key.p);
}

static void
replay(struct memory_store *s)
{
	struct cur c = cur_of(buf_str(&s->disk->log));
	uint32_t n;
	struct str changes;

	while (cur_le32(&c, &n)) {
		struct cur one;

		CHECK(cur_take(&c, n, &changes));
		one = cur_of(changes);
		while (!cur_at_end(&one))
			replay_one(s, &one);
	}
}

enum status
memory_open(const struct memory_options *o, struct store **out)
{
	struct memory_store *s = calloc(1, sizeof(*s));

	CHECK(s);
	s->store.ops = &memory_ops;
	for (int i = 0; i < MAPS_N; i++)
		omap_init(&s->maps[i]);
	s->disk = o->disk;
	s->is_strict = o->is_strict;
	s->txn = (struct memory_txn){{&s->store}, s, true};
	s->snapshot = (struct memory_txn){{&s->store}, s, false};
	buf_init(&s->log, MEMORY_DISK_BYTES_MAX);
	s->pending_tail = &s->pending_first;
	if (s->disk)
		replay(s);
	*out = &s->store;
	return ST_OK;
}

void
memory_inject(struct store *s, const struct memory_faults *f)
{
	CHECK(s->ops == &memory_ops);
	store_of(s)->faults = *f;
}

void
memory_costs(struct store *s, struct memory_costs *out)
{
	CHECK(s->ops == &memory_ops);
	*out = store_of(s)->costs;
}

struct memory_disk *
memory_disk_new(void)
{
	struct memory_disk *d = calloc(1, sizeof(*d));

	CHECK(d);
	buf_init(&d->log, MEMORY_DISK_BYTES_MAX);
	return d;
}

void
memory_disk_free(struct memory_disk **d)
{
	if (*d)
		buf_fini(&(*d)->log);
	free(*d);
	*d = NULL;
}
