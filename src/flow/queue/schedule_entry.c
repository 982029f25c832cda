#include <stdlib.h>

#include "base/check.h"
#include "base/num.h"
#include "flow/queue/schedule_internal.h"

_Static_assert(sizeof(struct entry) == 64, "an entry is a cache line");
_Static_assert(CHUNKS_MAX *(uint64_t)CHUNK_ENTRIES > SCHEDULE_ENTRIES_MAX, "number 0 is not used");

bool
sched_memory_take(struct schedule *s, uint64_t bytes)
{
	if (s->memory_bytes + bytes > s->o.memory_bytes_max)
		return false;
	s->memory_bytes += bytes;
	return true;
}

bool
sched_entry_reserve(struct schedule *s)
{
	struct entry **chunk = &s->chunks[s->entry_fresh >> CHUNK_BITS];

	if (s->entries_n >= s->o.entries_max)
		return false;
	if (s->entry_free != 0 || *chunk != NULL)
		return true;
	if (!sched_memory_take(s, CHUNK_ENTRIES * sizeof(struct entry)))
		return false;
	*chunk = aligned_alloc(sizeof(struct entry), CHUNK_ENTRIES * sizeof(struct entry));
	CHECK(*chunk != NULL);
	return true;
}

uint32_t
sched_entry_take(struct schedule *s)
{
	uint32_t i = s->entry_free;

	if (i != 0)
		s->entry_free = sched_entry(s, i)->left;
	else
		i = s->entry_fresh++;
	if (++s->generation == 0)
		s->generation = 1;
	*sched_entry(s, i) = (struct entry){.generation = s->generation};
	s->entries_n++;
	return i;
}

/* With the last entry the memory goes, but for one chunk: a queue that is mostly empty should not
 * ask for it anew with every message. */
static void
entries_empty(struct schedule *s)
{
	s->entry_free = 0;
	s->entry_fresh = 1;
	for (uint32_t c = 1; c < CHUNKS_MAX && s->chunks[c] != NULL; c++) {
		free(s->chunks[c]);
		s->chunks[c] = NULL;
		s->memory_bytes -= CHUNK_ENTRIES * sizeof(struct entry);
	}
}

void
sched_entry_give(struct schedule *s, uint32_t i)
{
	struct entry *e = sched_entry(s, i);

	CHECK(e->state != ENTRY_FREE);
	*e = (struct entry){.left = s->entry_free};
	s->entry_free = i;
	if (--s->entries_n == 0)
		entries_empty(s);
}

uint32_t
sched_entry_find(const struct schedule *s, uint64_t id)
{
	uint32_t i = (uint32_t)id;

	if (i == 0 || i >= s->entry_fresh || sched_entry(s, i)->state == ENTRY_FREE ||
	    sched_entry(s, i)->generation != id >> 32)
		return 0;
	return i;
}

void
sched_entries_free(struct schedule *s)
{
	for (uint32_t c = 0; c < CHUNKS_MAX; c++)
		free(s->chunks[c]);
}

/*
 * A leftist heap (Crane 1972): no child on the right is farther from a missing child than its
 * sister, so the way down the right side has at most log2(n + 1) steps. It lives in the entries
 * themselves and never has one long call, as an array that grows or a heap with a bound on average
 * has.
 */
static bool
is_before(const struct entry *a, const struct entry *b)
{
	return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->message < b->message;
}

static uint8_t
heap_rank(const struct schedule *s, uint32_t i)
{
	return i == 0 ? 0 : sched_entry(s, i)->heap_rank;
}

/* True when the rank changed. */
static bool
heap_balance(struct schedule *s, struct entry *e)
{
	uint8_t rank;

	if (heap_rank(s, e->left) < heap_rank(s, e->right)) {
		uint32_t left = e->left;

		e->left = e->right;
		e->right = left;
	}
	rank = (uint8_t)(heap_rank(s, e->right) + 1);
	if (rank == e->heap_rank)
		return false;
	e->heap_rank = rank;
	return true;
}

/* Calls itself at most 2 * 25 deep. The parent of what it returns is the caller's to set. */
static uint32_t
heap_merge(struct schedule *s, uint32_t a, uint32_t b)
{
	struct entry *e;

	if (a == 0 || b == 0)
		return a | b;
	if (is_before(sched_entry(s, b), sched_entry(s, a))) {
		uint32_t c = a;

		a = b;
		b = c;
	}
	e = sched_entry(s, a);
	e->right = heap_merge(s, e->right, b);
	sched_entry(s, e->right)->parent = a;
	(void)heap_balance(s, e);
	return a;
}

void
sched_heap_insert(struct schedule *s, uint32_t *heap, uint32_t i)
{
	struct entry *e = sched_entry(s, i);

	e->left = e->right = 0;
	e->heap_rank = 1;
	*heap = heap_merge(s, *heap, i);
	sched_entry(s, *heap)->parent = 0;
}

void
sched_heap_remove(struct schedule *s, uint32_t *heap, uint32_t i)
{
	struct entry *e = sched_entry(s, i), *parent;
	uint32_t instead = heap_merge(s, e->left, e->right), at = e->parent;

	if (instead != 0)
		sched_entry(s, instead)->parent = at;
	if (at == 0) {
		CHECK(*heap == i);
		*heap = instead;
		return;
	}
	parent = sched_entry(s, at);
	CHECK(parent->left == i || parent->right == i);
	*(parent->left == i ? &parent->left : &parent->right) = instead;
	while (at != 0 && heap_balance(s, sched_entry(s, at)))
		at = sched_entry(s, at)->parent;
}
