/*
 * struct slots: ids for objects that others answer to later.
 *
 * An id is a slot and the slot's generation: a late answer for an object that is gone finds nothing, never its
 * successor. Ids are never 0. Borrows the objects.
 */
#ifndef POSTHORN_BASE_SLOTS_H
#define POSTHORN_BASE_SLOTS_H

#include <stddef.h>
#include <stdint.h>

struct slot;

struct slots {
	struct slot *slot;
	uint32_t cap, n, free_first, n_max;
};

void slots_init(struct slots *s, uint32_t n_max);
void slots_fini(struct slots *s);
/* 0 when n_max objects are there. obj not NULL. */
uint64_t slots_add(struct slots *s, void *obj);
void *slots_get(const struct slots *s, uint64_t id);
/* Stale ids and 0 are fine. */
void slots_del(struct slots *s, uint64_t id);
/* Iterate: *it starts at 0; NULL at the end. Objects may be deleted meanwhile. */
void *slots_next(const struct slots *s, uint32_t *it);

#endif
