/*
 * What the files of the schedule share.
 *
 *	schedule_entry.c        the pool of entries, and the heaps they wait in
 *	schedule_destination.c  destinations by name, their concurrency, and whose turn it is
 *	schedule.c              the calls of schedule.h on top of both
 */
#ifndef POSTHORN_FLOW_QUEUE_SCHEDULE_INTERNAL_H
#define POSTHORN_FLOW_QUEUE_SCHEDULE_INTERNAL_H

#include "flow/queue/schedule.h"

#define CHUNK_BITS 14 /* 1 MB of entries at a time: growing copies nothing */
#define CHUNK_ENTRIES (1u << CHUNK_BITS)
#define CHUNKS_MAX (SCHEDULE_ENTRIES_MAX / CHUNK_ENTRIES + 1)
/* Lane 0 is priority 9, the last is -9. */
#define LANES (2 * SCHEDULE_PRIORITY_MAX + 1)

struct destination;

enum entry_state {
	ENTRY_FREE,
	ENTRY_WAITING, /* in the lane of its destination and priority */
	ENTRY_HELD,
	ENTRY_RUNNING,
};

/* Entries name each other by number; 0 is none. A cache line. */
struct entry {
	uint64_t message;
	uint64_t due_ms;
	struct destination *destination;
	uint32_t generation;
	/* Leftist heap by (due_ms, message). `left` of a free entry is the next free one. */
	uint32_t left, right, parent;
	uint32_t next, prev; /* all of the destination, whatever their state */
	uint32_t rcpts_n, bytes, attempts;
	uint8_t heap_rank; /* steps down to the nearest missing child: 1 for a leaf */
	uint8_t lane;
	uint8_t state;	    /* enum entry_state */
	bool to_hold : 1;   /* runs, and is held when it is done */
	bool to_remove : 1; /* runs, and is gone when it is done */
};

/* Where a destination is. One without entries is also in the list of idle ones, unless it has a
 * limit of its own. */
enum place {
	PLACE_NOWHERE, /* nothing waits there, or what runs forbids one more */
	PLACE_ASLEEP,  /* in the heap of sleepers: an entry, or its probe, is due at wake_ms */
	PLACE_RING,    /* takes turns with the others: something was due when we last looked */
};

struct destination {
	struct destination *hash_next;
	struct destination *next, *prev; /* in the ring, or in the list of idle ones */
	uint32_t *lanes;		 /* the heaps but the usual one; NULL: never used */
	uint64_t dead_until_ms, dead_wait_ms;
	uint32_t hash;
	uint32_t lane_usual;   /* the heap of priority 0 */
	uint32_t lanes_filled; /* bit by lane */
	uint32_t entry_first;
	uint32_t entries_n, running_n;
	uint32_t limit, limit_max; /* limit_max 0: the common one */
	uint32_t successes;	   /* of the round that would make limit one more */
	uint32_t failures;	   /* since the last success */
	uint32_t sleeper_at;
	uint16_t name_n;
	uint8_t place; /* enum place */
	bool is_dead, is_probing;
	char name[];
};

struct sleeper {
	uint64_t wake_ms;
	struct destination *destination;
};

struct schedule {
	struct schedule_options o;
	uint64_t now_ms; /* the latest that a caller told */
	uint64_t memory_bytes;

	struct entry *chunks[CHUNKS_MAX];
	uint32_t entries_n, running_n, held_n;
	uint32_t entry_fresh; /* numbers from here on were never used, or all were given back */
	uint32_t entry_free;
	uint32_t generation;

	struct destination **buckets;
	uint32_t buckets_n; /* a power of two, or 0 */
	uint32_t known_n;
	uint32_t destinations_n, dead_n; /* with entries */
	uint32_t own_limits_n;
	struct destination *idle_first, *idle_last; /* oldest first */
	uint32_t idle_n;
	struct destination *ring; /* whose turn it is; NULL: nobody's */
	struct sleeper *sleepers; /* binary heap by wake_ms, with room for destinations_n */
	uint32_t sleepers_n, sleepers_cap;
};

static inline struct entry *
sched_entry(const struct schedule *s, uint32_t i)
{
	return &s->chunks[i >> CHUNK_BITS][i & (CHUNK_ENTRIES - 1)];
}

static inline uint64_t
sched_entry_id(const struct schedule *s, uint32_t i)
{
	return (uint64_t)sched_entry(s, i)->generation << 32 | i;
}

static inline int8_t
sched_lane_priority(uint32_t lane)
{
	return (int8_t)(SCHEDULE_PRIORITY_MAX - (int)lane);
}

/* Counts bytes that are about to be allocated; false: the cap would be passed. */
bool sched_memory_take(struct schedule *s, uint64_t bytes);

/* Room for one more entry; false: a limit. */
bool sched_entry_reserve(struct schedule *s);
/* After a reserve. All zero but the generation. */
uint32_t sched_entry_take(struct schedule *s);
void sched_entry_give(struct schedule *s, uint32_t i);
/* 0: gone. */
uint32_t sched_entry_find(const struct schedule *s, uint64_t id);
void sched_entries_free(struct schedule *s);

/* A heap is the number of its first entry, 0 when it is empty. Both O(log n) at worst. */
void sched_heap_insert(struct schedule *s, uint32_t *heap, uint32_t i);
void sched_heap_remove(struct schedule *s, uint32_t *heap, uint32_t i);

struct destination *sched_destination_find(const struct schedule *s, struct str name);
/* The one of that name, made (and idle) when it is new. NULL: no memory, or a bad name. */
struct destination *sched_destination_make(struct schedule *s, struct str name);
/* Room for one more entry of that lane; false: no memory. */
bool sched_destination_reserve(struct schedule *s, struct destination *d, uint32_t lane);
/* An entry, its destination and lane set, becomes or ends to be one of the destination's. */
void sched_destination_link(struct schedule *s, uint32_t i);
void sched_destination_unlink(struct schedule *s, uint32_t i);
/* Into its lane and out of it. */
void sched_destination_wait(struct schedule *s, uint32_t i);
void sched_destination_unwait(struct schedule *s, uint32_t i);
/* To be called after every change of a destination and its entries: puts it in its place. */
void sched_destination_settle(struct schedule *s, struct destination *d);
/* Of the destination whose turn it is, the entry that starts. 0: none may. */
uint32_t sched_destination_turn(struct schedule *s);
/* When the first of its entries may start as far as it is concerned; UINT64_MAX: not before a done.
 */
uint64_t sched_destination_wake_ms(const struct schedule *s, const struct destination *d);
uint32_t sched_destination_limit_max(const struct schedule *s, const struct destination *d);
bool sched_destination_set_limit(struct schedule *s, struct destination *d, uint32_t limit_max);
void sched_destination_worked(struct schedule *s, struct destination *d);
void sched_destination_failed(struct schedule *s, struct destination *d);
/* Gives back what only a long queue needs. */
void sched_destinations_shrink(struct schedule *s);
void sched_destinations_free(struct schedule *s);

#endif
