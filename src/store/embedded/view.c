/* Reads: the active delta over the frozen one over the index. */
#include "store/embedded/embedded_internal.h"

#include <stdlib.h>

struct view_iter {
	struct embedded *e;
	bool reverse;
	const struct delta_node *node[2]; /* next of active, frozen; NULL: at the end */
	struct index_cursor *cursor;
	bool has_indexed;
	struct str key, value; /* next of the index */
	size_t from_n, to_n;
	char bounds[]; /* from, to */
};

/* True when the delta knows: then *st is the answer. */
static bool
delta_answers(const struct delta *d, struct str key, struct str *value_out, enum status *st)
{
	const struct delta_node *n = d ? delta_find(d, key) : NULL;

	if (!n || n->state == DELTA_ABSENT)
		return false;
	*st = n->state == DELTA_VALUE ? ST_OK : ST_NOTFOUND;
	*value_out = n->state == DELTA_VALUE ? str_of(n->value->p, n->value->n) : STR_NULL;
	return true;
}

enum status
view_get(struct embedded *e, struct str key, struct str *value_out)
{
	enum status st;

	if (delta_answers(e->active, key, value_out, &st) ||
	    delta_answers(e->frozen, key, value_out, &st))
		return st;
	return e->index->ops->get(e->index, key, value_out);
}

static struct str
bound_from(const struct view_iter *v)
{
	return str_of(v->bounds, v->from_n);
}

static struct str
bound_to(const struct view_iter *v)
{
	return str_of(v->bounds + v->from_n, v->to_n);
}

/* n itself or the next after it that has an opinion and lies in the range. */
static const struct delta_node *
node_settle(const struct view_iter *v, const struct delta_node *n)
{
	while (n && n->state == DELTA_ABSENT)
		n = v->reverse ? n->prev : n->next[0];
	if (!n)
		return NULL;
	if (v->reverse)
		return str_cmp(delta_key(n), bound_from(v)) >= 0 ? n : NULL;
	return str_cmp(delta_key(n), bound_to(v)) < 0 ? n : NULL;
}

static const struct delta_node *
node_start(const struct view_iter *v, const struct delta *d)
{
	if (!d)
		return NULL;
	return node_settle(
	    v, v->reverse ? delta_before(d, bound_to(v)) : delta_at_least(d, bound_from(v)));
}

static enum status
indexed_next(struct view_iter *v)
{
	enum status st = v->e->index->ops->cursor_next(v->cursor, &v->key, &v->value);

	v->has_indexed = st == ST_OK;
	return st == ST_EOF ? ST_OK : st;
}

enum status
view_range(struct txn *t, struct str from, struct str to, bool reverse, struct store_iter *it)
{
	struct embedded *e = embedded_of(t->store);
	struct view_iter *v = malloc(sizeof(*v) + from.n + to.n);
	enum status st;

	CHECK(v != NULL);
	*v = (struct view_iter){.e = e, .reverse = reverse, .from_n = from.n, .to_n = to.n};
	if (from.n)
		memcpy(v->bounds, from.p, from.n);
	if (to.n)
		memcpy(v->bounds + from.n, to.p, to.n);
	st = e->index->ops->cursor(e->index, from, to, reverse, &v->cursor);
	if (st == ST_OK && (st = indexed_next(v)) != ST_OK)
		e->index->ops->cursor_free(v->cursor);
	if (st != ST_OK) {
		free(v);
		return st;
	}
	v->node[0] = node_start(v, e->active);
	v->node[1] = node_start(v, e->frozen);
	e->iters_open++;
	it->impl = v;
	return ST_OK;
}

/* The smallest (reverse: largest) of the layers' next keys; false at the end. */
static bool
next_key(const struct view_iter *v, struct str *out)
{
	bool has = v->has_indexed;

	*out = v->key;
	for (int i = 0; i < 2; i++) {
		struct str key;
		int c;

		if (!v->node[i])
			continue;
		key = delta_key(v->node[i]);
		c = has ? str_cmp(key, *out) : -1;
		if (!has || (v->reverse ? c > 0 : c < 0))
			*out = key;
		has = true;
	}
	return has;
}

/* Moves every layer that stands at key past it; the newest one's opinion is the answer. */
static enum status
take_key(
    struct view_iter *v, struct str key, const struct delta_node **node_out, struct str *value_out)
{
	enum status st = ST_OK;
	bool is_indexed = v->has_indexed && str_eq(v->key, key);

	*node_out = NULL;
	*value_out = v->value;
	for (int i = 1; i >= 0; i--) {
		const struct delta_node *n = v->node[i];

		if (!n || !str_eq(delta_key(n), key))
			continue;
		*node_out = n;
		v->node[i] = node_settle(v, v->reverse ? n->prev : n->next[0]);
	}
	if (is_indexed)
		st = indexed_next(v);
	return st;
}

enum status
view_next(struct store_iter *it)
{
	struct view_iter *v = it->impl;
	const struct delta_node *n;
	enum status st;

	for (;;) {
		if (!next_key(v, &it->key)) {
			it->key = it->value = STR_NULL;
			return ST_EOF;
		}
		if ((st = take_key(v, it->key, &n, &it->value)) != ST_OK)
			return st;
		if (!n)
			return ST_OK;
		if (n->state == DELTA_VALUE) {
			it->value = str_of(n->value->p, n->value->n);
			return ST_OK;
		}
	}
}

void
view_end(struct store_iter *it)
{
	struct view_iter *v = it->impl;

	v->e->index->ops->cursor_free(v->cursor);
	CHECK(v->e->iters_open > 0);
	v->e->iters_open--;
	free(v);
	it->impl = NULL;
}

enum status
view_blob(struct embedded *e, uint64_t id, struct blob_row *out)
{
	const struct blob_row *made = delta_blob(e->active, id);
	int64_t by = 0;
	struct str row;
	enum status st;

	if (!made) {
		by = delta_ref_get(e->active, id);
		made = e->frozen ? delta_blob(e->frozen, id) : NULL;
	}
	if (made) {
		*out = *made;
	} else {
		if ((st = e->index->ops->row(e->index, INDEX_BLOBS, id, &row)) != ST_OK ||
		    (st = blob_row_get(row, out)) != ST_OK)
			return st;
		if (e->frozen)
			by += delta_ref_get(e->frozen, id);
	}
	if (out->kind == BLOB_NONE || (int64_t)out->refs + by <= 0)
		return ST_NOTFOUND;
	out->refs = (uint32_t)((int64_t)out->refs + by);
	return ST_OK;
}
