/*
 * The simulated index: versions of one sorted array, of which the committed one outlives the
 * object. Every commit makes a new version and the reader keeps the one it has, as with LMDB. Meant
 * for small states.
 */
#include "store/embedded/index.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

struct sim_entry {
	unsigned users;
	size_t key_n, value_n;
	char p[]; /* key, then value */
};

struct index_sim_version {
	unsigned users;
	size_t n, cap;
	struct sim_entry **entries;
};

struct index_sim {
	struct index base;
	struct index_sim_state *state;	   /* borrowed */
	struct index_sim_version *seen;	   /* the reader's */
	struct index_sim_version *writing; /* the writer's own, NULL outside of begin .. commit */
};

struct sim_cursor {
	struct index_cursor base;
	struct index_sim_version *v;
	size_t at, end; /* left: at <= i < end */
	bool reverse;
};

/* A key: the table's number, then the bytes or the big-endian number. */
struct sim_key {
	char p[1 + 512];
	size_t n;
};

static struct index_sim *
sim_of(struct index *ix)
{
	return (struct index_sim *)ix;
}

static struct str
entry_key(const struct sim_entry *e)
{
	return str_of(e->p, e->key_n);
}

static void
entry_drop(struct sim_entry *e)
{
	if (--e->users == 0)
		free(e);
}

static struct index_sim_version *
version_copy(const struct index_sim_version *from)
{
	struct index_sim_version *v = calloc(1, sizeof(*v));

	CHECK(v != NULL);
	v->users = 1;
	if (!from)
		return v;
	v->n = from->n;
	v->cap = from->n + 16;
	v->entries = calloc(v->cap, sizeof(struct sim_entry *));
	CHECK(v->entries != NULL);
	for (size_t i = 0; i < v->n; i++) {
		v->entries[i] = from->entries[i];
		v->entries[i]->users++;
	}
	return v;
}

static void
version_drop(struct index_sim_version *v)
{
	if (!v || --v->users > 0)
		return;
	for (size_t i = 0; i < v->n; i++)
		entry_drop(v->entries[i]);
	free(v->entries);
	free(v);
}

void
index_sim_state_fini(struct index_sim_state *s)
{
	version_drop(s->committed);
	s->committed = NULL;
}

static struct sim_key
key_of(struct str key)
{
	struct sim_key k = {.n = 1 + key.n};

	CHECK(key.n <= sizeof(k.p) - 1);
	k.p[0] = INDEX_KEYS;
	if (key.n)
		memcpy(k.p + 1, key.p, key.n);
	return k;
}

static struct sim_key
key_of_row(enum index_table table, uint64_t id)
{
	struct sim_key k = {.n = 9};

	k.p[0] = (char)table;
	be64_put(k.p + 1, id);
	return k;
}

/* Index of the first entry >= key. */
static size_t
find(const struct index_sim_version *v, const struct sim_key *k)
{
	size_t lo = 0, hi = v->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (str_cmp(entry_key(v->entries[mid]), str_of(k->p, k->n)) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool
is_at(const struct index_sim_version *v, size_t i, const struct sim_key *k)
{
	return i < v->n && str_eq(entry_key(v->entries[i]), str_of(k->p, k->n));
}

static enum status
version_get(const struct index_sim_version *v, const struct sim_key *k, struct str *out)
{
	size_t i = find(v, k);

	*out = STR_NULL;
	if (!is_at(v, i, k))
		return ST_NOTFOUND;
	*out = str_of(v->entries[i]->p + v->entries[i]->key_n, v->entries[i]->value_n);
	return ST_OK;
}

static void
version_put(struct index_sim_version *v, const struct sim_key *k, struct str value)
{
	size_t i = find(v, k);
	struct sim_entry *e = malloc(sizeof(*e) + k->n + value.n);

	CHECK(e != NULL);
	*e = (struct sim_entry){1, k->n, value.n};
	memcpy(e->p, k->p, k->n);
	if (value.n)
		memcpy(e->p + k->n, value.p, value.n);
	if (is_at(v, i, k)) {
		entry_drop(v->entries[i]);
		v->entries[i] = e;
		return;
	}
	if (v->n == v->cap) {
		v->cap = size_max(16, v->cap * 2);
		v->entries = realloc(v->entries, v->cap * sizeof(struct sim_entry *));
		CHECK(v->entries != NULL);
	}
	memmove(v->entries + i + 1, v->entries + i, (v->n - i) * sizeof(struct sim_entry *));
	v->entries[i] = e;
	v->n++;
}

static void
version_del(struct index_sim_version *v, const struct sim_key *k)
{
	size_t i = find(v, k);

	if (!is_at(v, i, k))
		return;
	entry_drop(v->entries[i]);
	v->n--;
	memmove(v->entries + i, v->entries + i + 1, (v->n - i) * sizeof(struct sim_entry *));
}

static enum status
version_row_from(
    const struct index_sim_version *v, enum index_table table, uint64_t *id, struct str *out)
{
	struct sim_key k = key_of_row(table, *id);
	size_t i = find(v, &k);
	const struct sim_entry *e;

	if (i == v->n || v->entries[i]->p[0] != (char)table)
		return ST_NOTFOUND;
	e = v->entries[i];
	*id = be64_get(e->p + 1);
	*out = str_of(e->p + e->key_n, e->value_n);
	return ST_OK;
}

static enum status
sim_renew(struct index *ix)
{
	struct index_sim *s = sim_of(ix);

	version_drop(s->seen);
	if (!s->state->committed)
		s->state->committed = version_copy(NULL);
	s->seen = s->state->committed;
	s->seen->users++;
	return ST_OK;
}

static enum status
sim_get(struct index *ix, struct str key, struct str *out)
{
	struct sim_key k = key_of(key);

	return version_get(sim_of(ix)->seen, &k, out);
}

static enum status
sim_row(struct index *ix, enum index_table table, uint64_t id, struct str *out)
{
	struct sim_key k = key_of_row(table, id);

	return version_get(sim_of(ix)->seen, &k, out);
}

static enum status
sim_row_from(struct index *ix, enum index_table table, uint64_t *id, struct str *out)
{
	return version_row_from(sim_of(ix)->seen, table, id, out);
}

static enum status
sim_cursor(
    struct index *ix, struct str from, struct str to, bool reverse, struct index_cursor **out)
{
	struct sim_cursor *c = calloc(1, sizeof(*c));
	struct sim_key k = key_of(from), end = to.n ? key_of(to) : key_of_row(INDEX_KEYS + 1, 0);

	CHECK(c != NULL);
	*c = (struct sim_cursor){.base = {ix}, .v = sim_of(ix)->seen, .reverse = reverse};
	c->v->users++;
	c->at = find(c->v, &k);
	c->end = find(c->v, &end);
	*out = &c->base;
	return ST_OK;
}

static enum status
sim_cursor_next(struct index_cursor *ic, struct str *key, struct str *value)
{
	struct sim_cursor *c = (struct sim_cursor *)ic;
	const struct sim_entry *e;

	if (c->at >= c->end)
		return ST_EOF;
	e = c->v->entries[c->reverse ? --c->end : c->at++];
	*key = str_of(e->p + 1, e->key_n - 1);
	*value = str_of(e->p + e->key_n, e->value_n);
	return ST_OK;
}

static void
sim_cursor_free(struct index_cursor *ic)
{
	struct sim_cursor *c = (struct sim_cursor *)ic;

	version_drop(c->v);
	free(c);
}

static enum status
sim_begin(struct index *ix)
{
	struct index_sim *s = sim_of(ix);

	CHECK(!s->writing);
	s->writing = version_copy(s->state->committed);
	return ST_OK;
}

static enum status
sim_put(struct index *ix, struct str key, struct str value)
{
	struct sim_key k = key_of(key);

	version_put(sim_of(ix)->writing, &k, value);
	return ST_OK;
}

static enum status
sim_del(struct index *ix, struct str key)
{
	struct sim_key k = key_of(key);

	version_del(sim_of(ix)->writing, &k);
	return ST_OK;
}

static enum status
sim_w_row(struct index *ix, enum index_table table, uint64_t id, struct str *out)
{
	struct sim_key k = key_of_row(table, id);

	return version_get(sim_of(ix)->writing, &k, out);
}

static enum status
sim_w_row_from(struct index *ix, enum index_table table, uint64_t *id, struct str *out)
{
	return version_row_from(sim_of(ix)->writing, table, id, out);
}

static enum status
sim_w_row_put(struct index *ix, enum index_table table, uint64_t id, struct str row)
{
	struct sim_key k = key_of_row(table, id);

	version_put(sim_of(ix)->writing, &k, row);
	return ST_OK;
}

static enum status
sim_w_row_del(struct index *ix, enum index_table table, uint64_t id)
{
	struct sim_key k = key_of_row(table, id);

	version_del(sim_of(ix)->writing, &k);
	return ST_OK;
}

static void
sim_abort(struct index *ix)
{
	struct index_sim *s = sim_of(ix);

	version_drop(s->writing);
	s->writing = NULL;
}

static enum status
sim_commit(struct index *ix)
{
	struct index_sim *s = sim_of(ix);

	if (s->state->on_commit && !s->state->on_commit(s->state->arg)) {
		sim_abort(ix);
		return ST_IO;
	}
	version_drop(s->state->committed);
	s->state->committed = s->writing;
	s->writing = NULL;
	return ST_OK;
}

static enum status
sim_maybe_grow(struct index *ix)
{
	(void)ix;
	return ST_OK;
}

static void
sim_usage(struct index *ix, uint64_t *used_out, uint64_t *size_out)
{
	(void)ix;
	*used_out = *size_out = 0;
}

static enum status
sim_copy(struct index *ix, const char *folder)
{
	(void)ix;
	(void)folder;
	return ST_UNSUPPORTED;
}

static void
sim_close(struct index *ix)
{
	struct index_sim *s = sim_of(ix);

	if (s->writing)
		sim_abort(ix);
	version_drop(s->seen);
	free(s);
}

static const struct index_ops sim_ops = {
    .close = sim_close,
    .renew = sim_renew,
    .get = sim_get,
    .row = sim_row,
    .row_from = sim_row_from,
    .cursor = sim_cursor,
    .cursor_next = sim_cursor_next,
    .cursor_free = sim_cursor_free,
    .begin = sim_begin,
    .put = sim_put,
    .del = sim_del,
    .w_row = sim_w_row,
    .w_row_from = sim_w_row_from,
    .w_row_put = sim_w_row_put,
    .w_row_del = sim_w_row_del,
    .commit = sim_commit,
    .abort = sim_abort,
    .maybe_grow = sim_maybe_grow,
    .usage = sim_usage,
    .copy = sim_copy,
};

enum status
index_sim_open(struct index_sim_state *state, struct index **out)
{
	struct index_sim *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	s->base.ops = &sim_ops;
	s->state = state;
	*out = &s->base;
	return sim_renew(&s->base);
}
