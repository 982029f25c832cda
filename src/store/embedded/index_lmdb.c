/* The index in LMDB. One environment, a table each for keys, blobs, archive segments, staged files
 * and meta. */
#include "store/embedded/index.h"

#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/num.h"
#include "store/embedded/limits.h"

struct index_lmdb {
	struct index base;
	MDB_env *env;
	MDB_dbi dbi[INDEX_TABLES];
	MDB_txn *reader; /* NULL: not yet, or given up for growing */
	bool reader_is_reset;
	MDB_txn *writer;
	MDB_cursor *writer_keys;
	bool is_map_full; /* a write met the end of the map */
};

struct lmdb_cursor {
	struct index_cursor base;
	MDB_cursor *c;
	struct str
	    to; /* the bound that ends it: `to`, or `from` when reverse; copied behind the struct */
	bool reverse;
	bool started;
	bool at_end;
	size_t from_n;
	char bounds[];
};

static struct index_lmdb *
lmdb_of(struct index *ix)
{
	return (struct index_lmdb *)ix;
}

/* Only what is expected to happen has a status of its own. */
static enum status
status_of(int rc)
{
	switch (rc) {
	case 0:
		return ST_OK;
	case MDB_NOTFOUND:
		return ST_NOTFOUND;
	case ENOSPC:
	case EDQUOT:
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return ST_LIMIT;
	default:
		return ST_IO;
	}
}

/* LMDB takes what it reads through a pointer that is not const; it does not write there. */
static MDB_val
val_of(struct str s)
{
	union {
		const char *c;
		void *v;
	} p = {s.n ? s.p : ""};

	return (MDB_val){s.n, p.v};
}

static struct str
str_of_val(MDB_val v)
{
	return (struct str){v.mv_data, v.mv_size};
}

static enum status
write_status(struct index_lmdb *l, int rc)
{
	if (rc == MDB_MAP_FULL)
		l->is_map_full = true;
	return status_of(rc);
}

static enum status
reader_need(struct index_lmdb *l)
{
	int rc = 0;

	if (!l->reader)
		rc = mdb_txn_begin(l->env, NULL, MDB_RDONLY, &l->reader);
	else if (l->reader_is_reset)
		rc = mdb_txn_renew(l->reader);
	if (rc == 0)
		l->reader_is_reset = false;
	return status_of(rc);
}

static enum status
lmdb_renew(struct index *ix)
{
	struct index_lmdb *l = lmdb_of(ix);

	if (l->reader && !l->reader_is_reset) {
		mdb_txn_reset(l->reader);
		l->reader_is_reset = true;
	}
	return reader_need(l);
}

static enum status
get_in(MDB_txn *t, MDB_dbi dbi, MDB_val k, struct str *out)
{
	MDB_val v;
	int rc = mdb_get(t, dbi, &k, &v);

	*out = rc == 0 ? str_of_val(v) : STR_NULL;
	return status_of(rc);
}

static enum status
lmdb_get(struct index *ix, struct str key, struct str *out)
{
	struct index_lmdb *l = lmdb_of(ix);

	return get_in(l->reader, l->dbi[INDEX_KEYS], val_of(key), out);
}

static enum status
row_in(MDB_txn *t, MDB_dbi dbi, uint64_t id, struct str *out)
{
	/* MDB_INTEGERKEY: a size_t in the machine's order, which is little-endian wherever this is
	 * built. */
	size_t k = (size_t)id;

	return get_in(t, dbi, (MDB_val){sizeof(k), &k}, out);
}

static enum status
lmdb_row(struct index *ix, enum index_table table, uint64_t id, struct str *out)
{
	struct index_lmdb *l = lmdb_of(ix);

	return row_in(l->reader, l->dbi[table], id, out);
}

static enum status
row_from_in(MDB_txn *t, MDB_dbi dbi, uint64_t *id, struct str *out)
{
	size_t want = (size_t)*id;
	MDB_val k = {sizeof(want), &want}, v;
	MDB_cursor *c;
	int rc = mdb_cursor_open(t, dbi, &c);

	if (rc != 0)
		return status_of(rc);
	rc = mdb_cursor_get(c, &k, &v, MDB_SET_RANGE);
	if (rc == 0) {
		memcpy(&want, k.mv_data, sizeof(want));
		*id = want;
		*out = str_of_val(v);
	}
	mdb_cursor_close(c);
	return status_of(rc);
}

static enum status
lmdb_row_from(struct index *ix, enum index_table table, uint64_t *id, struct str *out)
{
	struct index_lmdb *l = lmdb_of(ix);

	return row_from_in(l->reader, l->dbi[table], id, out);
}

static enum status
lmdb_cursor(
    struct index *ix, struct str from, struct str to, bool reverse, struct index_cursor **out)
{
	struct index_lmdb *l = lmdb_of(ix);
	struct lmdb_cursor *c = malloc(sizeof(*c) + from.n + to.n);
	int rc;

	CHECK(c != NULL);
	*c = (struct lmdb_cursor){.base = {ix}, .reverse = reverse, .from_n = from.n};
	if (from.n)
		memcpy(c->bounds, from.p, from.n);
	if (to.n)
		memcpy(c->bounds + from.n, to.p, to.n);
	c->to = str_of(c->bounds + from.n, to.n);
	rc = mdb_cursor_open(l->reader, l->dbi[INDEX_KEYS], &c->c);
	if (rc != 0) {
		free(c);
		return status_of(rc);
	}
	*out = &c->base;
	return ST_OK;
}

static int
cursor_start(struct lmdb_cursor *c, MDB_val *k, MDB_val *v)
{
	struct str from = str_of(c->bounds, c->from_n);
	int rc;

	if (!c->reverse) {
		*k = val_of(from);
		return mdb_cursor_get(c->c, k, v, from.n ? MDB_SET_RANGE : MDB_FIRST);
	}
	if (c->to.n == 0)
		return mdb_cursor_get(c->c, k, v, MDB_LAST);
	*k = val_of(c->to);
	rc = mdb_cursor_get(c->c, k, v, MDB_SET_RANGE);
	return mdb_cursor_get(c->c, k, v, rc == MDB_NOTFOUND ? MDB_LAST : MDB_PREV);
}

static enum status
lmdb_cursor_next(struct index_cursor *ic, struct str *key, struct str *value)
{
	struct lmdb_cursor *c = (struct lmdb_cursor *)ic;
	MDB_val k, v;
	int rc;

	if (c->at_end)
		return ST_EOF;
	if (!c->started)
		rc = cursor_start(c, &k, &v);
	else
		rc = mdb_cursor_get(c->c, &k, &v, c->reverse ? MDB_PREV : MDB_NEXT);
	c->started = true;
	if (rc == 0) {
		*key = str_of_val(k);
		*value = str_of_val(v);
		if (c->reverse ? str_cmp(*key, str_of(c->bounds, c->from_n)) >= 0
			       : c->to.n == 0 || str_cmp(*key, c->to) < 0)
			return ST_OK;
	}
	c->at_end = true;
	return rc == 0 || rc == MDB_NOTFOUND ? ST_EOF : status_of(rc);
}

static void
lmdb_cursor_free(struct index_cursor *ic)
{
	struct lmdb_cursor *c = (struct lmdb_cursor *)ic;

	mdb_cursor_close(c->c);
	free(c);
}

static enum status
lmdb_begin(struct index *ix)
{
	struct index_lmdb *l = lmdb_of(ix);
	int rc = mdb_txn_begin(l->env, NULL, 0, &l->writer);

	if (rc != 0)
		return status_of(rc);
	rc = mdb_cursor_open(l->writer, l->dbi[INDEX_KEYS], &l->writer_keys);
	if (rc != 0) {
		mdb_txn_abort(l->writer);
		l->writer = NULL;
	}
	return status_of(rc);
}

static enum status
lmdb_put(struct index *ix, struct str key, struct str value)
{
	struct index_lmdb *l = lmdb_of(ix);
	MDB_val k = val_of(key), v = val_of(value);

	return write_status(l, mdb_cursor_put(l->writer_keys, &k, &v, 0));
}

static enum status
lmdb_del(struct index *ix, struct str key)
{
	struct index_lmdb *l = lmdb_of(ix);
	MDB_val k = val_of(key);
	int rc = mdb_del(l->writer, l->dbi[INDEX_KEYS], &k, NULL);

	return rc == MDB_NOTFOUND ? ST_OK : write_status(l, rc);
}

static enum status
lmdb_w_row(struct index *ix, enum index_table table, uint64_t id, struct str *out)
{
	struct index_lmdb *l = lmdb_of(ix);

	return row_in(l->writer, l->dbi[table], id, out);
}

static enum status
lmdb_w_row_from(struct index *ix, enum index_table table, uint64_t *id, struct str *out)
{
	struct index_lmdb *l = lmdb_of(ix);

	return row_from_in(l->writer, l->dbi[table], id, out);
}

static enum status
lmdb_w_row_put(struct index *ix, enum index_table table, uint64_t id, struct str row)
{
	struct index_lmdb *l = lmdb_of(ix);
	size_t k = (size_t)id;
	MDB_val kv = {sizeof(k), &k}, v = val_of(row);

	return write_status(l, mdb_put(l->writer, l->dbi[table], &kv, &v, 0));
}

static enum status
lmdb_w_row_del(struct index *ix, enum index_table table, uint64_t id)
{
	struct index_lmdb *l = lmdb_of(ix);
	size_t k = (size_t)id;
	MDB_val kv = {sizeof(k), &k};
	int rc = mdb_del(l->writer, l->dbi[table], &kv, NULL);

	return rc == MDB_NOTFOUND ? ST_OK : write_status(l, rc);
}

static enum status
lmdb_commit(struct index *ix)
{
	struct index_lmdb *l = lmdb_of(ix);
	int rc;

	mdb_cursor_close(l->writer_keys);
	rc = mdb_txn_commit(l->writer);
	l->writer = NULL;
	return write_status(l, rc);
}

static void
lmdb_abort(struct index *ix)
{
	struct index_lmdb *l = lmdb_of(ix);

	mdb_cursor_close(l->writer_keys);
	mdb_txn_abort(l->writer);
	l->writer = NULL;
}

static void
lmdb_usage(struct index *ix, uint64_t *used_out, uint64_t *size_out)
{
	MDB_envinfo info;
	MDB_stat stat;

	(void)mdb_env_info(lmdb_of(ix)->env, &info);
	(void)mdb_env_stat(lmdb_of(ix)->env, &stat);
	*used_out = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
	*size_out = info.me_mapsize;
}

static enum status
lmdb_maybe_grow(struct index *ix)
{
	struct index_lmdb *l = lmdb_of(ix);
	uint64_t used, size;
	int rc;

	lmdb_usage(ix, &used, &size);
	if (used < size / 10 * 8 && !l->is_map_full)
		return ST_OK;
	l->is_map_full = false;
	CHECK(!l->writer);
	if (l->reader)
		mdb_txn_abort(l->reader);
	l->reader = NULL;
	rc = mdb_env_set_mapsize(l->env, (size_t)size * 2);
	/* Where the address space does not allow it the old size goes on; MDB_MAP_FULL will say
	 * that there is no room. */
	if (rc != 0)
		rc = mdb_env_set_mapsize(l->env, (size_t)size);
	return rc == 0 ? reader_need(l) : status_of(rc);
}

static enum status
lmdb_copy(struct index *ix, const char *folder)
{
	/* Not compacting: that would start a thread, which the sandbox of the store role refuses. */
	return status_of(mdb_env_copy2(lmdb_of(ix)->env, folder, 0));
}

static void
lmdb_close(struct index *ix)
{
	struct index_lmdb *l = lmdb_of(ix);

	if (l->writer)
		lmdb_abort(ix);
	if (l->reader)
		mdb_txn_abort(l->reader);
	mdb_env_close(l->env);
	free(l);
}

static const struct index_ops lmdb_ops = {
    .close = lmdb_close,
    .renew = lmdb_renew,
    .get = lmdb_get,
    .row = lmdb_row,
    .row_from = lmdb_row_from,
    .cursor = lmdb_cursor,
    .cursor_next = lmdb_cursor_next,
    .cursor_free = lmdb_cursor_free,
    .begin = lmdb_begin,
    .put = lmdb_put,
    .del = lmdb_del,
    .w_row = lmdb_w_row,
    .w_row_from = lmdb_w_row_from,
    .w_row_put = lmdb_w_row_put,
    .w_row_del = lmdb_w_row_del,
    .commit = lmdb_commit,
    .abort = lmdb_abort,
    .maybe_grow = lmdb_maybe_grow,
    .usage = lmdb_usage,
    .copy = lmdb_copy,
};

static int
tables_open(struct index_lmdb *l, bool read_only)
{
	static const char *const names[INDEX_TABLES] = {
	    "keys", "blobs", "segments", "staged", "meta"};
	MDB_txn *t;
	int rc = mdb_txn_begin(l->env, NULL, read_only ? MDB_RDONLY : 0, &t);

	if (rc != 0)
		return rc;
	for (unsigned i = 0; i < INDEX_TABLES && rc == 0; i++)
		rc = mdb_dbi_open(t, names[i],
		    (read_only ? 0u : MDB_CREATE) | (i == INDEX_KEYS ? 0u : MDB_INTEGERKEY),
		    &l->dbi[i]);
	if (rc == 0)
		return mdb_txn_commit(t);
	mdb_txn_abort(t);
	return rc;
}

/* A limit on address space (RLIMIT_AS) may forbid the size wanted: take what goes. */
static int
env_open(struct index_lmdb *l, const char *folder, uint64_t map_bytes, bool read_only)
{
	int rc;

	for (;; map_bytes /= 2) {
		if ((rc = mdb_env_create(&l->env)) != 0)
			return rc;
		if ((rc = mdb_env_set_maxdbs(l->env, INDEX_TABLES)) == 0 &&
		    (rc = mdb_env_set_mapsize(l->env, (size_t)map_bytes)) == 0)
			rc = mdb_env_open(
			    l->env, folder, MDB_NOTLS | (read_only ? MDB_RDONLY : 0), 0600);
		if (rc == 0)
			return 0;
		mdb_env_close(l->env);
		l->env = NULL;
		if (rc != ENOMEM || map_bytes / 2 < INDEX_MAP_BYTES_MIN)
			return rc;
	}
}

enum status
index_lmdb_open(const char *folder, uint64_t map_bytes, bool read_only, struct index **out,
    struct buf *error_out)
{
	struct index_lmdb *l;
	int rc;

	*out = NULL;
	if (!read_only && mkdir(folder, 0700) < 0 && errno != EEXIST) {
		(void)buf_putf(error_out, "cannot make %s: %s", folder, strerror(errno));
		return ST_IO;
	}
	l = calloc(1, sizeof(*l));
	CHECK(l != NULL);
	l->base.ops = &lmdb_ops;
	rc = env_open(l, folder, map_bytes, read_only);
	if (rc == 0)
		rc = tables_open(l, read_only);
	if (rc == 0 && reader_need(l) != ST_OK)
		rc = EIO;
	if (rc != 0) {
		(void)buf_putf(error_out, "cannot open the index %s: %s", folder, mdb_strerror(rc));
		if (l->env)
			mdb_env_close(l->env);
		free(l);
		return rc == ENOENT || rc == MDB_NOTFOUND ? ST_NOTFOUND : ST_IO;
	}
	*out = &l->base;
	return ST_OK;
}
