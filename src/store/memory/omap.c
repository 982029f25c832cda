#include "store/memory/omap.h"

#include <stdlib.h>

#include "base/check.h"

void
omap_init(struct omap *m)
{
	*m = (struct omap){.rank_state = 0x9e3779b97f4a7c15u};
}

static void
node_free(struct omap_node *node)
{
	free(node->value);
	free(node);
}

static void
tree_free(struct omap_node *node)
{
	while (node) {
		struct omap_node *right = node->right;

		tree_free(node->left);
		node_free(node);
		node = right;
	}
}

void
omap_fini(struct omap *m)
{
	tree_free(m->root);
	omap_init(m);
}

struct omap_node *
omap_find(const struct omap *m, struct str key)
{
	struct omap_node *node = m->root;

	while (node) {
		int order = str_cmp(key, omap_key(node));

		if (order == 0)
			return node;
		node = order < 0 ? node->left : node->right;
	}
	return NULL;
}

struct omap_node *
omap_first(const struct omap *m, struct str key, bool is_after)
{
	struct omap_node *node = m->root, *best = NULL;

	while (node) {
		int order = str_cmp(omap_key(node), key);

		if (order > 0 || (order == 0 && !is_after)) {
			best = node;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return best;
}

struct omap_node *
omap_last_before(const struct omap *m, struct str key)
{
	struct omap_node *node = m->root, *best = NULL;

	while (node) {
		if (str_cmp(omap_key(node), key) < 0) {
			best = node;
			node = node->right;
		} else {
			node = node->left;
		}
	}
	return best;
}

static uint64_t
rank_next(struct omap *m)
{
	m->rank_state ^= m->rank_state << 13;
	m->rank_state ^= m->rank_state >> 7;
	m->rank_state ^= m->rank_state << 17;
	return m->rank_state;
}

/* Cuts a tree into the keys below key and those above; key itself is not in it. */
static void
tree_split(struct omap_node *node, struct str key, struct omap_node **less_out,
    struct omap_node **more_out)
{
	while (node) {
		if (str_cmp(omap_key(node), key) < 0) {
			*less_out = node;
			less_out = &node->right;
			node = node->right;
		} else {
			*more_out = node;
			more_out = &node->left;
			node = node->left;
		}
	}
	*less_out = *more_out = NULL;
}

struct omap_node *
omap_take(struct omap *m, struct str key)
{
	struct omap_node **link = &m->root, *node = omap_find(m, key);
	uint64_t rank;

	if (node)
		return node;
	rank = rank_next(m);
	while (*link && (*link)->rank >= rank)
		link = str_cmp(key, omap_key(*link)) < 0 ? &(*link)->left : &(*link)->right;
	node = calloc(1, sizeof(*node) + key.n);
	CHECK(node);
	node->rank = rank;
	node->key_n = key.n;
	if (key.n)
		memcpy(node->key, key.p, key.n);
	tree_split(*link, key, &node->left, &node->right);
	*link = node;
	m->n++;
	return node;
}

bool
omap_remove(struct omap *m, struct str key)
{
	struct omap_node **link = &m->root, *node, *less, *more;

	while (*link && !str_eq(omap_key(*link), key))
		link = str_cmp(key, omap_key(*link)) < 0 ? &(*link)->left : &(*link)->right;
	if (!*link)
		return false;
	node = *link;
	less = node->left;
	more = node->right;
	while (less && more) {
		if (less->rank > more->rank) {
			*link = less;
			link = &less->right;
			less = less->right;
		} else {
			*link = more;
			link = &more->left;
			more = more->left;
		}
	}
	*link = less ? less : more;
	node_free(node);
	m->n--;
	return true;
}

void
omap_value_resize(struct omap_node *node, size_t n)
{
	if (n > node->value_cap) {
		size_t cap = node->value_n ? n + n / 4 : n;
		char *p = realloc(node->value, cap);

		CHECK(p);
		node->value = p;
		node->value_cap = cap;
	}
	if (n > node->value_n)
		memset(node->value + node->value_n, 0, n - node->value_n);
	node->value_n = n;
}

void
omap_value_set(struct omap_node *node, struct str value)
{
	/* Into fresh memory: value may be borrowed from this very node. */
	char *p = value.n ? malloc(value.n) : NULL;

	CHECK(p || !value.n);
	if (value.n)
		memcpy(p, value.p, value.n);
	free(node->value);
	node->value = p;
	node->value_n = node->value_cap = value.n;
}
