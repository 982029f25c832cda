#include "base/arena.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"

enum {
	ARENA_ALIGN = 16,
	ARENA_BLOCK_FIRST = 1024,
	ARENA_BLOCK_MAX = 64 * 1024,
};

struct arena_block {
	struct arena_block *next;
	size_t cap;
	size_t used;
	size_t pad;
	_Alignas(16) char data[];
};

void
arena_init(struct arena *a, size_t bytes_max)
{
	*a = (struct arena){.max = bytes_max, .block_size = ARENA_BLOCK_FIRST};
}

void
arena_fini(struct arena *a)
{
	arena_reset(a);
}

void
arena_reset(struct arena *a)
{
	struct arena_block *b = a->blocks;

	while (b != NULL) {
		struct arena_block *next = b->next;
		free(b);
		b = next;
	}
	arena_init(a, a->max);
}

static struct arena_block *
arena_block_add(struct arena *a, size_t cap)
{
	struct arena_block *b = calloc(1, sizeof(*b) + cap);

	CHECK(b != NULL);
	b->cap = cap;
	b->next = a->blocks;
	a->blocks = b;
	return b;
}

static struct arena_block *
arena_block_for(struct arena *a, size_t n)
{
	struct arena_block *b = a->blocks;

#ifdef ARENA_MALLOC
	return arena_block_add(a, n);
#endif
	if (b != NULL && b->cap - b->used >= n)
		return b;
	b = arena_block_add(a, size_max(n, size_min(a->block_size, size_max(a->max - a->used, n))));
	a->block_size = size_min(a->block_size * 2, ARENA_BLOCK_MAX);
	return b;
}

void *
arena_alloc(struct arena *a, size_t n)
{
	struct arena_block *b;
	size_t rounded;
	void *p;

	CHECK(a->used <= a->max);
	if (!add_ok(n, ARENA_ALIGN - 1, &rounded)) {
		a->full = true;
		return NULL;
	}
	rounded = size_max(rounded & ~(size_t)(ARENA_ALIGN - 1), ARENA_ALIGN);
	if (rounded > a->max - a->used) {
		a->full = true;
		return NULL;
	}
#ifdef ARENA_MALLOC
	/* The exact size, so that a sanitizer sees the first byte past it. */
	b = arena_block_for(a, n);
	p = b->data;
#else
	b = arena_block_for(a, rounded);
	p = b->data + b->used;
	b->used += rounded;
#endif
	a->used += rounded;
	return p;
}

void *
arena_array(struct arena *a, size_t n, size_t size)
{
	size_t total;

	if (!mul_ok(n, size, &total)) {
		a->full = true;
		return NULL;
	}
	return arena_alloc(a, total);
}

enum status
arena_str(struct arena *a, struct str s, struct str *out)
{
	char *p;

	*out = STR_NULL;
	if (s.n == 0)
		return ST_OK;
	p = arena_alloc(a, s.n);
	if (p == NULL)
		return ST_LIMIT;
	memcpy(p, s.p, s.n);
	*out = str_of(p, s.n);
	return ST_OK;
}

char *
arena_cstr(struct arena *a, struct str s)
{
	char *p;

	if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL)
		return NULL;
	p = arena_alloc(a, s.n + 1);
	if (p != NULL && s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}
