#include "base/map.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

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

static uint64_t
rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein 2012). */
uint64_t
map_hash(struct str key)
{
	uint64_t v[4] = {seed_k0 ^ 0x736f6d6570736575u, seed_k1 ^ 0x646f72616e646f6du,
	    seed_k0 ^ 0x6c7967656e657261u, seed_k1 ^ 0x7465646279746573u};
	uint64_t last = (uint64_t)key.n << 56;
	size_t whole = key.n & ~(size_t)7;

	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m = le64_get(key.p + i);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	for (size_t i = whole; i < key.n; i++)
		last |= (uint64_t)(unsigned char)key.p[i] << (8 * (i - whole));
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
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
