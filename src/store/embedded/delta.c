#include "store/embedded/delta.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

struct delta_block {
	struct delta_block *next;
	char p[];
};

static void *
must_alloc(size_t n)
{
	void *p = malloc(n);

	/* Real out of memory ends the role, as everywhere. */
	CHECK(p != NULL);
	return p;
}

static char *
block_new(struct delta *d, size_t n)
{
	struct delta_block *b = must_alloc(sizeof(*b) + n);

	b->next = d->blocks;
	d->blocks = b;
	d->bytes += sizeof(*b) + n;
	return b->p;
}

static void *
pool_alloc(struct delta *d, size_t n)
{
	char *p;

	n = (n + 15) & ~(size_t)15;
#ifndef ARENA_MALLOC
	if (n <= DELTA_BLOCK_BYTES / 4) {
		if ((size_t)(d->bump_end - d->bump) < n) {
			d->bump = block_new(d, DELTA_BLOCK_BYTES);
			d->bump_end = d->bump + DELTA_BLOCK_BYTES;
		}
		p = d->bump;
		d->bump += n;
		return p;
	}
#endif
	p = block_new(d, n);
	return p;
}

static uint64_t
number_of(const char *p, size_t n)
{
	uint64_t v = 0;

	if (n >= 8) {
		memcpy(&v, p, 8);
		return __builtin_bswap64(v);
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)(unsigned char)p[i] << (56 - 8 * i);
	return v;
}

static struct delta_hint
hint_of(struct str key)
{
	return (struct delta_hint){
	    number_of(key.p, key.n), key.n > 8 ? number_of(key.p + 8, key.n - 8) : 0};
}

/* Node before (< 0), at (0) or after (> 0) the key. */
static inline int
node_cmp(const struct delta_node *n, struct str key, struct delta_hint hint)
{
	size_t common;
	int c;

	if (n->hint.hi != hint.hi)
		return n->hint.hi < hint.hi ? -1 : 1;
	if (n->hint.lo != hint.lo)
		return n->hint.lo < hint.lo ? -1 : 1;
	common = size_min(n->key_n, key.n);
	c = common > 16 ? memcmp(n->key + 16, key.p + 16, common - 16) : 0;
	if (c != 0)
		return c;
	return n->key_n < key.n ? -1 : n->key_n > key.n;
}

static struct delta_node *
node_new(struct delta *d, struct str key, unsigned levels)
{
	size_t size = sizeof(struct delta_node) + levels * sizeof(struct delta_node *);
	struct delta_node *n = pool_alloc(d, size + key.n);
	char *copy = (char *)n + size;

	memset(n, 0, size);
	if (key.n)
		memcpy(copy, key.p, key.n);
	n->key = copy;
	n->key_n = (uint16_t)key.n;
	n->levels = (uint8_t)levels;
	n->hint = hint_of(key);
	return n;
}

struct delta *
delta_new(uint64_t blob_base)
{
	struct delta *d = calloc(1, sizeof(*d));

	CHECK(d != NULL);
	d->rnd = 0x9e3779b97f4a7c15u;
	d->levels = 1;
	d->blob_base = blob_base;
	d->head = node_new(d, STR_NULL, DELTA_LEVELS_MAX);
	for (unsigned l = 0; l < DELTA_LEVELS_MAX; l++)
		d->finger[l] = d->head;
	return d;
}

void
delta_free(struct delta **d)
{
	if (!*d)
		return;
	for (struct delta_block *b = (*d)->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free((*d)->rows);
	free((*d)->refs);
	free(*d);
	*d = NULL;
}

bool
delta_is_empty(const struct delta *d)
{
	return d->keys == 0 && d->rows_n == 0 && d->refs_n == 0;
}

/* The last node < key on the lowest level. path (may be NULL): the same on every level. */
static struct delta_node *
search(const struct delta *d, struct str key, struct delta_hint hint, struct delta_node **path)
{
	struct delta_node *n = d->head;

	for (unsigned l = d->levels; l-- > 0;) {
		struct delta_node *next = n->next[l];

		while (next && node_cmp(next, key, hint) < 0) {
			n = next;
			next = n->next[l];
		}
		if (path)
			path[l] = n;
	}
	return n;
}

const struct delta_node *
delta_at_least(const struct delta *d, struct str key)
{
	return search(d, key, hint_of(key), NULL)->next[0];
}

const struct delta_node *
delta_before(const struct delta *d, struct str key)
{
	const struct delta_node *n = search(d, key, hint_of(key), NULL);

	return n == d->head ? NULL : n;
}

const struct delta_node *
delta_find(const struct delta *d, struct str key)
{
	struct delta_hint hint = hint_of(key);
	const struct delta_node *n = search(d, key, hint, NULL)->next[0];

	return n && node_cmp(n, key, hint) == 0 ? n : NULL;
}

static unsigned
random_levels(struct delta *d)
{
	unsigned levels = 1;

	/* xorshift64: two bits a level. The shape depends on the number of insertions only, so runs
	 * repeat. */
	d->rnd ^= d->rnd << 13;
	d->rnd ^= d->rnd >> 7;
	d->rnd ^= d->rnd << 17;
	for (uint64_t r = d->rnd; levels < DELTA_LEVELS_MAX && (r & 3) == 0; r >>= 2)
		levels++;
	return levels;
}

/*
 * True when the path of the last search is also the path to key. Keys come in runs (the records of
 * one mailbox), and then the way down is saved. Holds when the key lies between the path's node and
 * its successor on the lowest level: then it does so on every level.
 */
static bool
finger_fits(const struct delta *d, struct str key, struct delta_hint hint)
{
	const struct delta_node *n = d->finger[0], *next = n->next[0];

	return (n == d->head || node_cmp(n, key, hint) < 0) &&
	       (!next || node_cmp(next, key, hint) >= 0);
}

struct delta_node *
delta_need(struct delta *d, struct str key)
{
	struct delta_hint hint = hint_of(key);
	struct delta_node *n;
	unsigned levels;

	if (!finger_fits(d, key, hint))
		(void)search(d, key, hint, d->finger);
	n = d->finger[0]->next[0];
	if (n && node_cmp(n, key, hint) == 0)
		return n;
	levels = random_levels(d);
	if (levels > d->levels)
		d->levels = levels;
	n = node_new(d, key, levels);
	for (unsigned l = 0; l < levels; l++) {
		n->next[l] = d->finger[l]->next[l];
		d->finger[l]->next[l] = n;
		d->finger[l] = n;
	}
	n->prev = n->next[0] ? n->next[0]->prev : d->last;
	if (n->next[0])
		n->next[0]->prev = n;
	else
		d->last = n;
	d->keys++;
	return n;
}

/*
 * Sizes come in steps of an eighth to a quarter, so that what is freed fits what is wanted next: n
 * becomes its step's size, the result is the step's number.
 */
static unsigned
value_class(size_t *n)
{
	unsigned shift = 0, top = 31u - (unsigned)__builtin_clz((unsigned)*n - 1);
	size_t units;

	if (top > 2)
		shift = top - 2;
	units = (*n + ((size_t)1 << shift) - 1) >> shift;
	*n = units << shift;
	/* Eight units are four of the next size. */
	return units == 8 ? (shift + 1) * 4 : shift * 4 + (unsigned)units - 4;
}

struct delta_value *
delta_value_new(struct delta *d, size_t cap)
{
	struct delta_value *v;
	unsigned c;

	cap = size_max(cap, 8);
	c = value_class(&cap);
	if (d->spare[c]) {
		v = d->spare[c];
		memcpy(&d->spare[c], v->p, sizeof(v));
	} else {
		v = pool_alloc(d, sizeof(*v) + cap);
		v->cap = (uint32_t)cap;
	}
	v->n = 0;
	return v;
}

void
delta_value_free(struct delta *d, struct delta_value *v)
{
	size_t cap = v->cap;
	unsigned c = value_class(&cap);

	CHECK(cap == v->cap);
	memcpy(v->p, &d->spare[c], sizeof(v));
	d->spare[c] = v;
}

struct blob_row *
delta_blob_add(struct delta *d, uint64_t id)
{
	size_t i;

	CHECK(id >= d->blob_base + d->rows_n);
	i = (size_t)(id - d->blob_base);
	if (i >= d->rows_cap) {
		size_t cap = size_max(1024, size_max(d->rows_cap * 2, i + 1));

		d->rows = realloc(d->rows, cap * sizeof(d->rows[0]));
		CHECK(d->rows != NULL);
		d->bytes += (cap - d->rows_cap) * sizeof(d->rows[0]);
		d->rows_cap = cap;
	}
	memset(d->rows + d->rows_n, 0, (i + 1 - d->rows_n) * sizeof(d->rows[0]));
	d->rows_n = i + 1;
	return &d->rows[i];
}

struct blob_row *
delta_blob(const struct delta *d, uint64_t id)
{
	if (id < d->blob_base || id - d->blob_base >= d->rows_n)
		return NULL;
	return &d->rows[id - d->blob_base];
}

/* Its slot or the empty one where it would go. */
static struct delta_ref *
ref_slot(const struct delta *d, uint64_t id)
{
	size_t i = (size_t)((id * 0x9e3779b97f4a7c15u) >> 20) & (d->refs_cap - 1);

	while (d->refs[i].id != 0 && d->refs[i].id != id)
		i = (i + 1) & (d->refs_cap - 1);
	return &d->refs[i];
}

static void
refs_grow(struct delta *d)
{
	struct delta_ref *old = d->refs;
	size_t old_cap = d->refs_cap;

	d->refs_cap = size_max(64, old_cap * 2);
	d->refs = calloc(d->refs_cap, sizeof(d->refs[0]));
	CHECK(d->refs != NULL);
	d->bytes += (d->refs_cap - old_cap) * sizeof(d->refs[0]);
	for (size_t i = 0; i < old_cap; i++)
		if (old[i].id != 0)
			*ref_slot(d, old[i].id) = old[i];
	free(old);
}

int64_t
delta_ref_get(const struct delta *d, uint64_t id)
{
	return d->refs_cap ? ref_slot(d, id)->by : 0;
}

void
delta_ref_add(struct delta *d, uint64_t id, int64_t by)
{
	struct delta_ref *r;

	if (d->refs_n * 2 >= d->refs_cap)
		refs_grow(d);
	r = ref_slot(d, id);
	if (r->id == 0) {
		r->id = id;
		d->refs_n++;
	}
	r->by += by;
}
