/*
 * struct map: hash map from bytes to a pointer, with SipHash-1-3 under a per-process random seed so that strangers cannot
 * aim at one bucket. Copies keys, borrows values. Insertion order is not kept. At most entries_max entries.
 */
#ifndef POSTHORN_BASE_MAP_H
#define POSTHORN_BASE_MAP_H

#include "base/str.h"

struct map_slot;

struct map {
	struct map_slot *slots;
	size_t n;
	size_t cap;		/* power of two, or 0 */
	size_t entries_max;
};

/* Set once at process start (before the first map_put), from getrandom or from a simulator's seed. */
void map_seed(uint64_t k0, uint64_t k1);
uint64_t map_hash(struct str key);

void map_init(struct map *m, size_t entries_max);
void map_fini(struct map *m);
void *map_get(const struct map *m, struct str key);
/* value not NULL. Replaces; *old_out (may be NULL) gets the former value or NULL. ST_LIMIT when full. */
enum status map_put(struct map *m, struct str key, void *value, void **old_out) MUST_USE;
/* Returns the value that was there, NULL when there was none. */
void *map_del(struct map *m, struct str key);
/* Iterate: start with *it = 0; false at the end. The map must not change meanwhile. */
bool map_next(const struct map *m, size_t *it, struct str *key_out, void **value_out);

#endif
