/*
 * struct arena: many small allocations with one life and a hard cap.
 *
 * One arena per connection, message or command. Reaching the cap returns NULL and sets `full`
 * (the caller answers ST_LIMIT, a polite 452 or NO [LIMIT]); it never aborts. All memory goes at
 * once with arena_reset or arena_fini. Memory is zeroed and aligned to 16. An arena that never
 * allocated owns no memory. Built with -Darena=malloc every allocation is its own malloc, so that
 * ASan sees use after reset and overruns of single allocations.
 */
#ifndef POSTHORN_BASE_ARENA_H
#define POSTHORN_BASE_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
	struct arena_block *blocks;	/* newest first */
	size_t used;			/* bytes handed out, rounded up */
	size_t max;			/* the cap on used */
	size_t block_size;		/* of the next block */
	bool full;
};

void arena_init(struct arena *a, size_t bytes_max);
void arena_fini(struct arena *a);
/* Everything allocated so far ends; `full` is cleared. */
void arena_reset(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);
/* n items of size bytes, checked for overflow. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* Copies s into a; ST_LIMIT leaves *out empty. An empty s needs no memory. */
enum status arena_str(struct arena *a, struct str s, struct str *out) MUST_USE;
/* A NUL-terminated copy for calls into libraries; NULL when full or when s holds a NUL. */
char *arena_cstr(struct arena *a, struct str s);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))

#endif
