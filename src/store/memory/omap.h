/*
 * struct omap: an ordered map from bytes to bytes (a treap), for the memory backend only. Copies
 * keys and values. Every operation is O(log n) expected; there is no limit but the memory.
 */
#ifndef POSTHORN_STORE_MEMORY_OMAP_H
#define POSTHORN_STORE_MEMORY_OMAP_H

#include "base/str.h"

struct omap_node {
	struct omap_node *left, *right;
	uint64_t rank;
	char *value;
	size_t value_n, value_cap;
	size_t key_n;
	char key[];
};

struct omap {
	struct omap_node *root;
	size_t n;
	uint64_t rank_state; /* ranks are pseudo-random and the same in every run */
};

void omap_init(struct omap *m);
void omap_fini(struct omap *m);
/* Borrowed until the key is removed; NULL: none. */
struct omap_node *omap_find(const struct omap *m, struct str key);
/* The first with key >= the given one (is_after: >). */
struct omap_node *omap_first(const struct omap *m, struct str key, bool is_after);
/* The last with key < the given one. */
struct omap_node *omap_last_before(const struct omap *m, struct str key);
/* Finds or makes (with an empty value) the node of key. */
struct omap_node *omap_take(struct omap *m, struct str key);
/* False when there was none. */
bool omap_remove(struct omap *m, struct str key);
/* The value becomes n bytes long, new ones are zero. */
void omap_value_resize(struct omap_node *node, size_t n);
void omap_value_set(struct omap_node *node, struct str value);

static inline struct str
omap_key(const struct omap_node *node)
{
	return (struct str){node->key, node->key_n};
}

static inline struct str
omap_value(const struct omap_node *node)
{
	return (struct str){node->value, node->value_n};
}

#endif
