/*
 * The delta: what was committed to the log and is not in the index yet, in key order, and what
 * happened to blobs.
 *
 * An ordered map (skip list) whose nodes are never taken out: a node without an opinion
 * (DELTA_ABSENT, what an undone insertion leaves) lets the older layers show through. One writer;
 * once frozen it is immutable and any thread may read it. All memory comes from a pool of its own
 * and goes at once with delta_free.
 */
#ifndef POSTHORN_STORE_EMBEDDED_DELTA_H
#define POSTHORN_STORE_EMBEDDED_DELTA_H

#include "base/str.h"
#include "store/embedded/index.h"
#include "store/embedded/limits.h"

enum delta_state { DELTA_ABSENT, DELTA_VALUE, DELTA_DELETED };

struct delta_value {
	uint32_t n;
	uint32_t cap;
	char p[];
};

/* The first sixteen bytes of a key as numbers, zero-padded: what a comparison mostly needs, beside
 * the links it follows. */
struct delta_hint {
	uint64_t hi, lo;
};

struct delta_node {
	struct delta_hint hint;
	const char *key;
	struct delta_value *value; /* NULL unless DELTA_VALUE */
	struct delta_node *prev;
	uint16_t key_n;
	uint8_t state;
	uint8_t levels;
	struct delta_node *next[];
};

struct delta_ref {
	uint64_t id; /* 0: empty slot */
	int64_t by;
};

struct delta {
	struct delta_node *head;
	struct delta_node *last; /* NULL: empty */
	struct delta_node
	    *finger[DELTA_LEVELS_MAX]; /* the path of the last search; loop thread, active only */
	unsigned levels;
	uint64_t rnd;
	size_t keys;
	size_t bytes; /* of memory taken */
	struct delta_block *blocks;
	char *bump, *bump_end;
	struct delta_value *spare[128]; /* freed values by size */
	/* Blobs made in this delta: rows[id - blob_base], BLOB_NONE where an id was not used. */
	uint64_t blob_base;
	struct blob_row *rows;
	size_t rows_n, rows_cap;
	/* Changes of the counts of older blobs. */
	struct delta_ref *refs;
	size_t refs_n, refs_cap;
};

struct delta *delta_new(uint64_t blob_base);
void delta_free(struct delta **d);
/* Nothing in it. */
bool delta_is_empty(const struct delta *d);

const struct delta_node *delta_find(const struct delta *d, struct str key);
/* Copies the key when it is new (state DELTA_ABSENT). */
struct delta_node *delta_need(struct delta *d, struct str key);
/* First node >= key, last node < key; NULL when there is none. */
const struct delta_node *delta_at_least(const struct delta *d, struct str key);
const struct delta_node *delta_before(const struct delta *d, struct str key);

static inline const struct delta_node *
delta_first(const struct delta *d)
{
	return d->head->next[0];
}

static inline struct str
delta_key(const struct delta_node *n)
{
	return (struct str){n->key, n->key_n};
}

/* A value with room for cap bytes, n = 0. */
struct delta_value *delta_value_new(struct delta *d, size_t cap);
void delta_value_free(struct delta *d, struct delta_value *v);

/* id >= blob_base, above every earlier one. Zeroed. */
struct blob_row *delta_blob_add(struct delta *d, uint64_t id);
/* NULL when the blob was not made in this delta. */
struct blob_row *delta_blob(const struct delta *d, uint64_t id);
int64_t delta_ref_get(const struct delta *d, uint64_t id);
void delta_ref_add(struct delta *d, uint64_t id, int64_t by);

#endif
