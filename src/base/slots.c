#include "base/slots.h"

#include <stdlib.h>

#include "base/check.h"

struct slot {
	void *obj;		/* NULL: free */
	uint32_t generation;	/* odd while in use, so an id is never 0 */
	uint32_t free_next;	/* slot number + 1 of the next free slot */
};

void
slots_init(struct slots *s, uint32_t n_max)
{
	*s = (struct slots){.n_max = n_max};
}

void
slots_fini(struct slots *s)
{
	free(s->slot);
	slots_init(s, s->n_max);
}

static void
slots_grow(struct slots *s)
{
	uint32_t cap = s->cap ? s->cap * 2 : 16;

	s->slot = realloc(s->slot, cap * sizeof(*s->slot));
	CHECK(s->slot != NULL);
	for (uint32_t i = cap; i-- > s->cap;) {
		s->slot[i] = (struct slot){.free_next = s->free_first};
		s->free_first = i + 1;
	}
	s->cap = cap;
}

uint64_t
slots_add(struct slots *s, void *obj)
{
	uint32_t i;

	CHECK(obj != NULL);
	if (s->n >= s->n_max)
		return 0;
	if (s->free_first == 0)
		slots_grow(s);
	i = s->free_first - 1;
	s->free_first = s->slot[i].free_next;
	s->slot[i].obj = obj;
	s->slot[i].generation++;
	s->n++;
	return (uint64_t)s->slot[i].generation << 32 | i;
}

static struct slot *
slots_find(const struct slots *s, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i >= s->cap || s->slot[i].obj == NULL || s->slot[i].generation != id >> 32)
		return NULL;
	return &s->slot[i];
}

void *
slots_get(const struct slots *s, uint64_t id)
{
	const struct slot *e = slots_find(s, id);

	return e ? e->obj : NULL;
}

void
slots_del(struct slots *s, uint64_t id)
{
	struct slot *e = slots_find(s, id);

	if (e == NULL)
		return;
	e->obj = NULL;
	e->generation++;
	e->free_next = s->free_first;
	s->free_first = (uint32_t)id + 1;
	s->n--;
}

void *
slots_next(const struct slots *s, uint32_t *it)
{
	while (*it < s->cap) {
		void *obj = s->slot[(*it)++].obj;
		if (obj != NULL)
			return obj;
	}
	return NULL;
}
