#include "base/map.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "base/siphash.h"

/* Open addressing with linear probing; a removed slot is mended by shifting its followers back. */
struct map_slot {
	char *key;	/* NULL: free; an empty key points at an owned byte */
	size_t key_n;
	uint64_t hash;
	void *value;
};

static uint64_t seed_k0 = 0x0706050403020100u, seed_k1 = 0x0f0e0d0c0b0a0908u;

void
map_seed(uint64_t k0, uint64_t k1)
{
	seed_k0 = k0;
	seed_k1 = k1;
}

uint64_t
map_hash(struct str key)
{
	return siphash(seed_k0, seed_k1, key);
}

void
map_init(struct map *m, size_t entries_max)
{
	*m = (struct map){.entries_max = entries_max};
}

void
map_fini(struct map *m)
{
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].key);
	free(m->slots);
	map_init(m, m->entries_max);
}

/* The slot that holds key, or the free slot where it would go. */
static size_t
map_find(const struct map *m, struct str key, uint64_t hash)
{
	size_t i = hash & (m->cap - 1);

	for (;; i = (i + 1) & (m->cap - 1)) {
		const struct map_slot *s = &m->slots[i];
		if (s->key == NULL)
			return i;
		if (s->hash == hash && str_eq(str_of(s->key, s->key_n), key))
			return i;
	}
}

void *
map_get(const struct map *m, struct str key)
{
	if (m->n == 0)
		return NULL;
	return m->slots[map_find(m, key, map_hash(key))].value;
}

static void
map_grow(struct map *m)
{
	struct map bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : 16, .entries_max = m->entries_max};

	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	CHECK(bigger.slots != NULL);
	for (size_t i = 0; i < m->cap; i++) {
		const struct map_slot *s = &m->slots[i];
		if (s->key != NULL)
			bigger.slots[map_find(&bigger, str_of(s->key, s->key_n), s->hash)] = *s;
	}
	free(m->slots);
	*m = bigger;
}

enum status
map_put(struct map *m, struct str key, void *value, void **old_out)
{
	uint64_t hash = map_hash(key);
	struct map_slot *s;

	CHECK(value != NULL);
	if (m->cap == 0 || m->n * 4 >= m->cap * 3)
		map_grow(m);
	s = &m->slots[map_find(m, key, hash)];
	if (old_out != NULL)
		*old_out = s->value;
	if (s->key == NULL) {
		if (m->n >= m->entries_max)
			return ST_LIMIT;
		s->key = malloc(size_max(key.n, 1));
		CHECK(s->key != NULL);
		if (key.n > 0)
			memcpy(s->key, key.p, key.n);
		s->key_n = key.n;
		s->hash = hash;
		m->n++;
	}
	s->value = value;
	return ST_OK;
}

void *
map_del(struct map *m, struct str key)
{
	size_t i, j;
	void *value;

	if (m->n == 0)
		return NULL;
	i = map_find(m, key, map_hash(key));
	value = m->slots[i].value;
	if (value == NULL)
		return NULL;
	free(m->slots[i].key);
	m->n--;
	for (j = (i + 1) & (m->cap - 1); m->slots[j].key != NULL; j = (j + 1) & (m->cap - 1)) {
		size_t home = m->slots[j].hash & (m->cap - 1);
		/* j may fill the gap unless its home lies cyclically after the gap. */
		if (((j - home) & (m->cap - 1)) >= ((j - i) & (m->cap - 1))) {
			m->slots[i] = m->slots[j];
			i = j;
		}
	}
	m->slots[i] = (struct map_slot){0};
	return value;
}

bool
map_next(const struct map *m, size_t *it, struct str *key_out, void **value_out)
{
	for (; *it < m->cap; (*it)++) {
		const struct map_slot *s = &m->slots[*it];
		if (s->key == NULL)
			continue;
		if (key_out != NULL)
			*key_out = str_of(s->key, s->key_n);
		*value_out = s->value;
		(*it)++;
		return true;
	}
	return false;
}
