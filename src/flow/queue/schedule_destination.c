#include <stdlib.h>

#include "base/check.h"
#include "base/map.h"
#include "base/num.h"
#include "flow/queue/schedule_internal.h"

#define BUCKETS_FIRST 64
#define SLEEPERS_FIRST 64
#define LANE_USUAL SCHEDULE_PRIORITY_MAX
#define MALLOC_BYTES 16 /* what an allocation costs besides, about */

/* The list of idle ones. */

static uint64_t
destination_bytes(const struct destination *d)
{
	return sizeof(*d) + d->name_n + MALLOC_BYTES;
}

static void
destination_free(struct schedule *s, struct destination *d)
{
	if (d->lanes != NULL)
		s->memory_bytes -= LANES * sizeof(*d->lanes) + MALLOC_BYTES;
	s->memory_bytes -= destination_bytes(d);
	s->known_n--;
	free(d->lanes);
	free(d);
}

static void
idle_remove(struct schedule *s, struct destination *d)
{
	*(d->prev ? &d->prev->next : &s->idle_first) = d->next;
	*(d->next ? &d->next->prev : &s->idle_last) = d->prev;
	d->next = d->prev = NULL;
	s->idle_n--;
}

static void
destination_forget(struct schedule *s, struct destination *d)
{
	struct destination **at = &s->buckets[d->hash & (s->buckets_n - 1)];

	idle_remove(s, d);
	while (*at != d)
		at = &(*at)->hash_next;
	*at = d->hash_next;
	destination_free(s, d);
}

static void
idle_add(struct schedule *s, struct destination *d)
{
	CHECK(d->place == PLACE_NOWHERE && d->entries_n == 0);
	d->prev = s->idle_last;
	d->next = NULL;
	*(d->prev ? &d->prev->next : &s->idle_first) = d;
	s->idle_last = d;
	if (++s->idle_n > SCHEDULE_IDLE_MAX)
		destination_forget(s, s->idle_first);
}

/* By name. */

static void
buckets_resize(struct schedule *s, uint32_t n)
{
	struct destination **buckets = calloc(n, sizeof(*buckets)), *d, *next;

	CHECK(buckets != NULL);
	for (uint32_t b = 0; b < s->buckets_n; b++)
		for (d = s->buckets[b]; d != NULL; d = next) {
			next = d->hash_next;
			d->hash_next = buckets[d->hash & (n - 1)];
			buckets[d->hash & (n - 1)] = d;
		}
	free(s->buckets);
	s->buckets = buckets;
	s->buckets_n = n;
}

static bool
buckets_reserve(struct schedule *s)
{
	uint32_t n = s->buckets_n == 0 ? BUCKETS_FIRST : s->buckets_n * 2;

	if (s->known_n < s->buckets_n)
		return true;
	if (!sched_memory_take(s, (n - s->buckets_n) * sizeof(struct destination *)))
		return false;
	buckets_resize(s, n);
	return true;
}

static bool
sleepers_reserve(struct schedule *s)
{
	uint32_t cap = s->sleepers_cap == 0 ? SLEEPERS_FIRST : s->sleepers_cap * 2;

	if (s->destinations_n < s->sleepers_cap)
		return true;
	if (!sched_memory_take(s, (cap - s->sleepers_cap) * sizeof(struct sleeper)))
		return false;
	s->sleepers = realloc(s->sleepers, cap * sizeof(struct sleeper));
	CHECK(s->sleepers != NULL);
	s->sleepers_cap = cap;
	return true;
}

static struct destination *
destination_lookup(const struct schedule *s, struct str name, uint32_t hash)
{
	struct destination *d = s->buckets_n == 0 ? NULL : s->buckets[hash & (s->buckets_n - 1)];

	while (d != NULL && !(d->hash == hash && str_eq(str_of(d->name, d->name_n), name)))
		d = d->hash_next;
	return d;
}

struct destination *
sched_destination_find(const struct schedule *s, struct str name)
{
	return destination_lookup(s, name, (uint32_t)map_hash(name));
}

static struct destination *
destination_new(struct schedule *s, struct str name, uint32_t hash)
{
	struct destination *d, **bucket;

	if (!buckets_reserve(s) || !sched_memory_take(s, sizeof(*d) + name.n + MALLOC_BYTES))
		return NULL;
	d = calloc(1, sizeof(*d) + name.n);
	CHECK(d != NULL);
	d->hash = hash;
	d->name_n = (uint16_t)name.n;
	memcpy(d->name, name.p, name.n);
	d->limit = (uint32_t)size_min(s->o.limit_first, s->o.limit_max);
	bucket = &s->buckets[hash & (s->buckets_n - 1)];
	d->hash_next = *bucket;
	*bucket = d;
	s->known_n++;
	idle_add(s, d);
	return d;
}

struct destination *
sched_destination_make(struct schedule *s, struct str name)
{
	uint32_t hash = (uint32_t)map_hash(name);
	struct destination *d;

	if (name.n == 0 || name.n > SCHEDULE_DESTINATION_BYTES_MAX)
		return NULL;
	d = destination_lookup(s, name, hash);
	return d != NULL ? d : destination_new(s, name, hash);
}

void
sched_destinations_shrink(struct schedule *s)
{
	uint32_t n = BUCKETS_FIRST;

	CHECK(s->sleepers_n == 0);
	s->memory_bytes -= s->sleepers_cap * sizeof(struct sleeper);
	free(s->sleepers);
	s->sleepers = NULL;
	s->sleepers_cap = 0;
	while (n < s->known_n)
		n *= 2;
	if (n > s->buckets_n / 4)
		return;
	s->memory_bytes -= (s->buckets_n - n) * sizeof(struct destination *);
	buckets_resize(s, n);
}

void
sched_destinations_free(struct schedule *s)
{
	struct destination *d, *next;

	for (uint32_t b = 0; b < s->buckets_n; b++)
		for (d = s->buckets[b]; d != NULL; d = next) {
			next = d->hash_next;
			destination_free(s, d);
		}
	free(s->buckets);
	free(s->sleepers);
}

/* Its entries. */

static uint32_t *
lane_of(struct destination *d, uint32_t lane)
{
	return lane == LANE_USUAL ? &d->lane_usual : &d->lanes[lane];
}

static uint32_t
lane_top(const struct destination *d, uint32_t lane)
{
	return lane == LANE_USUAL ? d->lane_usual : d->lanes[lane];
}

bool
sched_destination_reserve(struct schedule *s, struct destination *d, uint32_t lane)
{
	if (!sleepers_reserve(s))
		return false;
	if (lane == LANE_USUAL || d->lanes != NULL)
		return true;
	if (!sched_memory_take(s, LANES * sizeof(*d->lanes) + MALLOC_BYTES))
		return false;
	d->lanes = calloc(LANES, sizeof(*d->lanes));
	CHECK(d->lanes != NULL);
	return true;
}

void
sched_destination_link(struct schedule *s, uint32_t i)
{
	struct entry *e = sched_entry(s, i);
	struct destination *d = e->destination;

	e->next = d->entry_first;
	if (e->next != 0)
		sched_entry(s, e->next)->prev = i;
	d->entry_first = i;
	if (d->entries_n++ > 0)
		return;
	if (d->limit_max == 0)
		idle_remove(s, d);
	s->destinations_n++;
	s->dead_n += d->is_dead;
}

void
sched_destination_unlink(struct schedule *s, uint32_t i)
{
	struct entry *e = sched_entry(s, i);
	struct destination *d = e->destination;

	*(e->prev ? &sched_entry(s, e->prev)->next : &d->entry_first) = e->next;
	if (e->next != 0)
		sched_entry(s, e->next)->prev = e->prev;
	if (--d->entries_n > 0)
		return;
	sched_destination_settle(s, d);
	s->destinations_n--;
	s->dead_n -= d->is_dead;
	if (d->limit_max == 0)
		idle_add(s, d);
}

void
sched_destination_wait(struct schedule *s, uint32_t i)
{
	struct entry *e = sched_entry(s, i);

	e->state = ENTRY_WAITING;
	sched_heap_insert(s, lane_of(e->destination, e->lane), i);
	e->destination->lanes_filled |= 1u << e->lane;
}

void
sched_destination_unwait(struct schedule *s, uint32_t i)
{
	struct entry *e = sched_entry(s, i);
	struct destination *d = e->destination;

	sched_heap_remove(s, lane_of(d, e->lane), i);
	if (lane_top(d, e->lane) == 0)
		d->lanes_filled &= ~(1u << e->lane);
}

/* Of each lane the first is the one that has been due longest, so the lanes' first entries are all
 * there is to compare; a priority is so many milliseconds due earlier. 0: none is due. */
static uint32_t
destination_best(const struct schedule *s, const struct destination *d)
{
	uint32_t best = 0;
	int64_t best_rank = INT64_MAX;

	for (uint32_t left = d->lanes_filled; left != 0; left &= left - 1) {
		uint32_t lane = (uint32_t)__builtin_ctz(left), top = lane_top(d, lane);
		uint64_t due_ms = sched_entry(s, top)->due_ms;
		int64_t rank =
		    (int64_t)due_ms - sched_lane_priority(lane) * (int64_t)s->o.priority_step_ms;

		if (due_ms <= s->now_ms && rank < best_rank) {
			best = top;
			best_rank = rank;
		}
	}
	return best;
}

/* Its place. */

static void
ring_add(struct schedule *s, struct destination *d)
{
	struct destination *first = s->ring;

	if (first == NULL) {
		s->ring = d->next = d->prev = d;
	} else {
		d->next = first;
		d->prev = first->prev;
		d->prev->next = first->prev = d;
	}
	d->place = PLACE_RING;
}

static void
ring_remove(struct schedule *s, struct destination *d)
{
	if (s->ring == d)
		s->ring = d->next == d ? NULL : d->next;
	d->prev->next = d->next;
	d->next->prev = d->prev;
	d->next = d->prev = NULL;
	d->place = PLACE_NOWHERE;
}

static void
sleeper_place(struct schedule *s, uint32_t at, struct sleeper x)
{
	s->sleepers[at] = x;
	x.destination->sleeper_at = at;
}

static void
sleeper_settle(struct schedule *s, uint32_t at, struct sleeper x)
{
	uint32_t child;

	for (; at > 0 && x.wake_ms < s->sleepers[(at - 1) / 2].wake_ms; at = (at - 1) / 2)
		sleeper_place(s, at, s->sleepers[(at - 1) / 2]);
	for (; (child = 2 * at + 1) < s->sleepers_n; at = child) {
		if (child + 1 < s->sleepers_n &&
		    s->sleepers[child + 1].wake_ms < s->sleepers[child].wake_ms)
			child++;
		if (s->sleepers[child].wake_ms >= x.wake_ms)
			break;
		sleeper_place(s, at, s->sleepers[child]);
	}
	sleeper_place(s, at, x);
}

static void
sleeper_add(struct schedule *s, struct destination *d, uint64_t wake_ms)
{
	CHECK(s->sleepers_n < s->sleepers_cap);
	s->sleepers_n++;
	sleeper_settle(s, s->sleepers_n - 1, (struct sleeper){wake_ms, d});
	d->place = PLACE_ASLEEP;
}

static void
sleeper_remove(struct schedule *s, struct destination *d)
{
	CHECK(s->sleepers[d->sleeper_at].destination == d);
	s->sleepers_n--;
	if (d->sleeper_at < s->sleepers_n)
		sleeper_settle(s, d->sleeper_at, s->sleepers[s->sleepers_n]);
	d->place = PLACE_NOWHERE;
}

/* A dead one is probed by one entry, after all that started earlier have ended. */
static bool
destination_is_blocked(const struct destination *d)
{
	return d->running_n >= (d->is_dead ? 1 : d->limit);
}

uint64_t
sched_destination_wake_ms(const struct schedule *s, const struct destination *d)
{
	uint64_t wake_ms = UINT64_MAX;

	if (d->lanes_filled == 0 || destination_is_blocked(d))
		return UINT64_MAX;
	for (uint32_t left = d->lanes_filled; left != 0; left &= left - 1) {
		const struct entry *e = sched_entry(s, lane_top(d, (uint32_t)__builtin_ctz(left)));

		if (e->due_ms < wake_ms)
			wake_ms = e->due_ms;
	}
	return d->is_dead && d->dead_until_ms > wake_ms ? d->dead_until_ms : wake_ms;
}

void
sched_destination_settle(struct schedule *s, struct destination *d)
{
	uint64_t wake_ms = sched_destination_wake_ms(s, d);
	bool is_due = wake_ms <= s->now_ms;

	if (d->place == PLACE_ASLEEP && !is_due && wake_ms != UINT64_MAX) {
		if (s->sleepers[d->sleeper_at].wake_ms != wake_ms)
			sleeper_settle(s, d->sleeper_at, (struct sleeper){wake_ms, d});
		return;
	}
	if (d->place == PLACE_ASLEEP)
		sleeper_remove(s, d);
	else if (d->place == PLACE_RING && !is_due)
		ring_remove(s, d);
	if (d->place == PLACE_NOWHERE && is_due)
		ring_add(s, d);
	else if (d->place == PLACE_NOWHERE && wake_ms != UINT64_MAX)
		sleeper_add(s, d, wake_ms);
}

/* A few at a time, in the order of their times: as each call picks at most one, all are soon in the
 * ring. */
static void
sleepers_wake(struct schedule *s)
{
	for (int n = 0; n < SCHEDULE_WAKES_PER_NEXT && s->sleepers_n > 0; n++) {
		if (s->sleepers[0].wake_ms > s->now_ms)
			return;
		sched_destination_settle(s, s->sleepers[0].destination);
	}
}

uint32_t
sched_destination_turn(struct schedule *s)
{
	struct destination *d;
	uint32_t i;

	sleepers_wake(s);
	while ((d = s->ring) != NULL) {
		ring_remove(s, d);
		if (sched_destination_wake_ms(s, d) <= s->now_ms) {
			i = destination_best(s, d);
			CHECK(i != 0);
			return i;
		}
		/* The clock ran back. */
		sched_destination_settle(s, d);
	}
	return 0;
}

/* Its concurrency. */

uint32_t
sched_destination_limit_max(const struct schedule *s, const struct destination *d)
{
	return d->limit_max != 0 ? d->limit_max : s->o.limit_max;
}

bool
sched_destination_set_limit(struct schedule *s, struct destination *d, uint32_t limit_max)
{
	bool had = d->limit_max != 0, has = limit_max != 0;

	if (has && !had && s->own_limits_n >= SCHEDULE_DESTINATION_LIMITS_MAX)
		return false;
	if (has && !had && d->entries_n == 0)
		idle_remove(s, d);
	s->own_limits_n = s->own_limits_n + has - had;
	d->limit_max = (uint32_t)size_min(limit_max, SCHEDULE_CONCURRENCY_MAX);
	d->limit = (uint32_t)size_min(d->limit, sched_destination_limit_max(s, d));
	d->successes = 0;
	sched_destination_settle(s, d);
	if (!has && had && d->entries_n == 0)
		idle_add(s, d);
	return true;
}

static void
destination_revive(struct schedule *s, struct destination *d)
{
	d->is_dead = d->is_probing = false;
	d->dead_until_ms = d->dead_wait_ms = 0;
	s->dead_n--;
}

void
sched_destination_worked(struct schedule *s, struct destination *d)
{
	if (d->is_dead)
		destination_revive(s, d);
	d->failures = 0;
	if (++d->successes < d->limit)
		return;
	d->successes = 0;
	if (d->limit < sched_destination_limit_max(s, d))
		d->limit++;
}

/* What started before it died and fails afterwards is no news: only a failed probe doubles the
 * wait. */
void
sched_destination_failed(struct schedule *s, struct destination *d)
{
	if (d->failures < UINT32_MAX)
		d->failures++;
	d->limit = (uint32_t)size_max(1, d->limit / 2);
	d->successes = 0;
	if (!d->is_dead && d->failures < s->o.dead_after)
		return;
	if (d->is_dead && !d->is_probing)
		return;
	d->dead_wait_ms = d->is_dead ? d->dead_wait_ms * 2 : s->o.dead_first_ms;
	if (d->dead_wait_ms > s->o.dead_max_ms)
		d->dead_wait_ms = s->o.dead_max_ms;
	d->dead_until_ms = s->now_ms + d->dead_wait_ms;
	s->dead_n += !d->is_dead;
	d->is_dead = true;
	d->is_probing = false;
}
