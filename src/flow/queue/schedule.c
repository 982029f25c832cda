#include "flow/queue/schedule.h"

#include <stdlib.h>

#include "base/check.h"
#include "flow/queue/schedule_internal.h"

const struct schedule_options SCHEDULE_DEFAULTS = {
    .running_max = 500,
    .limit_first = 5,
    .limit_max = 20,
    .dead_after = 10,
    .dead_first_ms = 60 * 1000,
    .dead_max_ms = 30 * 60 * 1000,
    .priority_step_ms = 10 * 60 * 1000,
    .entries_max = SCHEDULE_ENTRIES_MAX,
    .memory_bytes_max = UINT64_C(4) << 30,
};

static bool
options_are_sane(const struct schedule_options *o)
{
	return o->running_max >= 1 && o->running_max <= SCHEDULE_CONCURRENCY_MAX &&
	       o->limit_first >= 1 && o->limit_max >= 1 &&
	       o->limit_max <= SCHEDULE_CONCURRENCY_MAX && o->dead_after >= 1 &&
	       o->dead_first_ms <= SCHEDULE_DUE_MS_MAX && o->dead_max_ms <= SCHEDULE_DUE_MS_MAX &&
	       o->priority_step_ms <= SCHEDULE_PRIORITY_STEP_MS_MAX &&
	       o->entries_max <= SCHEDULE_ENTRIES_MAX;
}

struct schedule *
schedule_new(const struct schedule_options *o)
{
	struct schedule *s = calloc(1, sizeof(*s));

	CHECK(s != NULL && options_are_sane(o));
	s->o = *o;
	s->entry_fresh = 1;
	s->memory_bytes = sizeof(*s);
	return s;
}

void
schedule_free(struct schedule **s)
{
	if (*s != NULL) {
		sched_destinations_free(*s);
		sched_entries_free(*s);
	}
	free(*s);
	*s = NULL;
}

static uint8_t
lane_of_priority(int8_t priority)
{
	int p = priority;

	if (p > SCHEDULE_PRIORITY_MAX)
		p = SCHEDULE_PRIORITY_MAX;
	if (p < -SCHEDULE_PRIORITY_MAX)
		p = -SCHEDULE_PRIORITY_MAX;
	return (uint8_t)(SCHEDULE_PRIORITY_MAX - p);
}

static uint64_t
due_clamped(uint64_t due_ms)
{
	return due_ms < SCHEDULE_DUE_MS_MAX ? due_ms : SCHEDULE_DUE_MS_MAX;
}

/* Neither waiting nor running: where it goes from here. */
static void
entry_rest(struct schedule *s, uint32_t i, bool is_held)
{
	if (is_held) {
		sched_entry(s, i)->state = ENTRY_HELD;
		s->held_n++;
	} else {
		sched_destination_wait(s, i);
	}
	sched_destination_settle(s, sched_entry(s, i)->destination);
}

static void
entry_drop(struct schedule *s, uint32_t i)
{
	sched_destination_unlink(s, i);
	sched_entry_give(s, i);
	if (s->entries_n == 0)
		sched_destinations_shrink(s);
}

uint64_t
schedule_add(struct schedule *s, const struct schedule_entry_in *in)
{
	uint8_t lane = lane_of_priority(in->priority);
	struct destination *d;
	struct entry *e;
	uint32_t i;

	if (!sched_entry_reserve(s))
		return 0;
	d = sched_destination_make(s, in->destination);
	if (d == NULL || !sched_destination_reserve(s, d, lane))
		return 0;
	i = sched_entry_take(s);
	e = sched_entry(s, i);
	e->message = in->message;
	e->due_ms = due_clamped(in->due_ms);
	e->destination = d;
	e->rcpts_n = in->rcpts_n;
	e->bytes = in->bytes;
	e->attempts = in->attempts;
	e->lane = lane;
	sched_destination_link(s, i);
	entry_rest(s, i, in->is_held);
	return sched_entry_id(s, i);
}

bool
schedule_next(struct schedule *s, uint64_t now_ms, struct schedule_pick *out)
{
	struct destination *d;
	struct entry *e;
	uint32_t i;

	s->now_ms = now_ms;
	if (s->running_n >= s->o.running_max || (i = sched_destination_turn(s)) == 0)
		return false;
	e = sched_entry(s, i);
	d = e->destination;
	sched_destination_unwait(s, i);
	e->state = ENTRY_RUNNING;
	d->is_probing = d->is_dead;
	d->running_n++;
	s->running_n++;
	sched_destination_settle(s, d);
	*out = (struct schedule_pick){
	    .entry = sched_entry_id(s, i),
	    .message = e->message,
	    .destination = str_of(d->name, d->name_n),
	    .rcpts_n = e->rcpts_n,
	    .attempts = e->attempts,
	};
	return true;
}

static void
destination_learn(struct schedule *s, struct destination *d, enum schedule_outcome outcome)
{
	switch (outcome) {
	case SCHEDULE_SENT:
	case SCHEDULE_DEFERRED_MESSAGE:
		sched_destination_worked(s, d);
		break;
	case SCHEDULE_FAILED_DESTINATION:
		sched_destination_failed(s, d);
		break;
	}
}

bool
schedule_done(struct schedule *s, uint64_t entry, uint64_t now_ms, enum schedule_outcome outcome,
    uint64_t next_due_ms)
{
	uint32_t i = sched_entry_find(s, entry);
	struct entry *e = i ? sched_entry(s, i) : NULL;
	bool to_hold;

	if (e == NULL || e->state != ENTRY_RUNNING)
		return false;
	s->now_ms = now_ms;
	e->destination->running_n--;
	s->running_n--;
	destination_learn(s, e->destination, outcome);
	if (next_due_ms == 0 || e->to_remove) {
		sched_destination_settle(s, e->destination);
		entry_drop(s, i);
		return true;
	}
	e->due_ms = due_clamped(next_due_ms);
	if (e->attempts < UINT32_MAX)
		e->attempts++;
	to_hold = e->to_hold;
	e->to_hold = false;
	entry_rest(s, i, to_hold);
	return true;
}

uint64_t
schedule_wake_ms(const struct schedule *s)
{
	uint64_t wake_ms = UINT64_MAX;

	if (s->running_n >= s->o.running_max)
		return UINT64_MAX;
	if (s->sleepers_n > 0)
		wake_ms = s->sleepers[0].wake_ms;
	if (s->ring != NULL && s->now_ms < wake_ms)
		wake_ms = s->now_ms;
	return wake_ms;
}

enum status
schedule_hold(struct schedule *s, uint64_t entry)
{
	uint32_t i = sched_entry_find(s, entry);
	struct entry *e = i ? sched_entry(s, i) : NULL;

	if (e == NULL)
		return ST_NOTFOUND;
	if (e->state == ENTRY_RUNNING) {
		e->to_hold = true;
	} else if (e->state == ENTRY_WAITING) {
		sched_destination_unwait(s, i);
		entry_rest(s, i, true);
	}
	return ST_OK;
}

enum status
schedule_release(struct schedule *s, uint64_t entry)
{
	uint32_t i = sched_entry_find(s, entry);
	struct entry *e = i ? sched_entry(s, i) : NULL;

	if (e == NULL)
		return ST_NOTFOUND;
	e->to_hold = false;
	if (e->state == ENTRY_HELD) {
		s->held_n--;
		entry_rest(s, i, false);
	}
	return ST_OK;
}

enum status
schedule_reschedule(struct schedule *s, uint64_t entry, uint64_t due_ms)
{
	uint32_t i = sched_entry_find(s, entry);
	struct entry *e = i ? sched_entry(s, i) : NULL;

	if (e == NULL)
		return ST_NOTFOUND;
	if (e->state == ENTRY_RUNNING)
		return ST_CONFLICT;
	if (e->state == ENTRY_HELD) {
		e->due_ms = due_clamped(due_ms);
		return ST_OK;
	}
	sched_destination_unwait(s, i);
	e->due_ms = due_clamped(due_ms);
	entry_rest(s, i, false);
	return ST_OK;
}

enum status
schedule_retry(struct schedule *s, uint64_t entry, uint64_t now_ms)
{
	enum status st = schedule_reschedule(s, entry, now_ms);
	struct destination *d;

	if (st != ST_OK)
		return st;
	d = sched_entry(s, sched_entry_find(s, entry))->destination;
	if (d->is_dead && d->dead_until_ms > now_ms) {
		d->dead_until_ms = now_ms;
		sched_destination_settle(s, d);
	}
	return ST_OK;
}

enum status
schedule_remove(struct schedule *s, uint64_t entry)
{
	uint32_t i = sched_entry_find(s, entry);
	struct entry *e = i ? sched_entry(s, i) : NULL;

	if (e == NULL)
		return ST_NOTFOUND;
	if (e->state == ENTRY_RUNNING) {
		e->to_remove = true;
		return ST_OK;
	}
	if (e->state == ENTRY_HELD) {
		s->held_n--;
	} else {
		sched_destination_unwait(s, i);
		sched_destination_settle(s, e->destination);
	}
	entry_drop(s, i);
	return ST_OK;
}

static struct schedule_entry
entry_show(const struct schedule *s, uint32_t i)
{
	const struct entry *e = sched_entry(s, i);

	return (struct schedule_entry){
	    .entry = sched_entry_id(s, i),
	    .message = e->message,
	    .destination = str_of(e->destination->name, e->destination->name_n),
	    .rcpts_n = e->rcpts_n,
	    .bytes = e->bytes,
	    .attempts = e->attempts,
	    .due_ms = e->due_ms,
	    .priority = sched_lane_priority(e->lane),
	    .is_held = e->state == ENTRY_HELD || e->to_hold,
	    .is_running = e->state == ENTRY_RUNNING,
	};
}

bool
schedule_get(const struct schedule *s, uint64_t entry, struct schedule_entry *out)
{
	uint32_t i = sched_entry_find(s, entry);

	if (i != 0)
		*out = entry_show(s, i);
	return i != 0;
}

void
schedule_each_of_destination(struct schedule *s, struct str destination,
    bool (*fn)(void *arg, const struct schedule_entry *e), void *arg)
{
	const struct destination *d = sched_destination_find(s, destination);
	uint32_t i = d ? d->entry_first : 0;

	while (i != 0) {
		struct schedule_entry e = entry_show(s, i);

		i = sched_entry(s, i)->next;
		if (!fn(arg, &e))
			return;
	}
}

static enum schedule_reason
entry_reason(const struct schedule *s, const struct entry *e, uint64_t now_ms)
{
	const struct destination *d = e->destination;

	if (e->state == ENTRY_RUNNING)
		return SCHEDULE_RUNNING;
	if (e->state == ENTRY_HELD)
		return SCHEDULE_HELD;
	if (e->due_ms > now_ms)
		return SCHEDULE_DUE_LATER;
	if (d->is_dead && (d->dead_until_ms > now_ms || d->running_n > 0))
		return SCHEDULE_DESTINATION_DEAD;
	if (d->running_n >= d->limit)
		return SCHEDULE_DESTINATION_BUSY;
	return s->running_n >= s->o.running_max ? SCHEDULE_GLOBAL_LIMIT : SCHEDULE_DUE_NOW;
}

bool
schedule_why(const struct schedule *s, uint64_t entry, uint64_t now_ms, struct schedule_why *out)
{
	uint32_t i = sched_entry_find(s, entry);
	const struct entry *e = i ? sched_entry(s, i) : NULL;
	bool is_global;

	if (e == NULL)
		return false;
	*out = (struct schedule_why){
	    .reason = entry_reason(s, e, now_ms),
	    .due_ms = e->due_ms,
	    .until_ms = e->destination->dead_until_ms,
	    .failures = e->destination->failures,
	    .is_probing = e->destination->is_probing,
	};
	is_global = out->reason == SCHEDULE_GLOBAL_LIMIT;
	out->running = is_global ? s->running_n : e->destination->running_n;
	out->limit = is_global ? s->o.running_max : e->destination->limit;
	return true;
}

bool
schedule_destination_limit(struct schedule *s, struct str destination, uint32_t limit_max)
{
	struct destination *d = limit_max == 0 ? sched_destination_find(s, destination)
					       : sched_destination_make(s, destination);

	if (d == NULL)
		return limit_max == 0;
	return sched_destination_set_limit(s, d, limit_max);
}

static struct schedule_destination
destination_show(const struct destination *d)
{
	return (struct schedule_destination){
	    .name = str_of(d->name, d->name_n),
	    .entries_n = d->entries_n,
	    .running_n = d->running_n,
	    .limit = d->limit,
	    .failures = d->failures,
	    .is_dead = d->is_dead,
	    .dead_until_ms = d->dead_until_ms,
	};
}

bool
schedule_destination_get(
    const struct schedule *s, struct str destination, struct schedule_destination *out)
{
	const struct destination *d = sched_destination_find(s, destination);

	if (d != NULL)
		*out = destination_show(d);
	return d != NULL;
}

void
schedule_each_destination(const struct schedule *s,
    bool (*fn)(void *arg, const struct schedule_destination *d), void *arg)
{
	for (uint32_t b = 0; b < s->buckets_n; b++)
		for (const struct destination *d = s->buckets[b]; d != NULL; d = d->hash_next) {
			struct schedule_destination shown = destination_show(d);

			if (d->entries_n > 0 && !fn(arg, &shown))
				return;
		}
}

static uint32_t
due_count(const struct schedule *s, uint64_t now_ms)
{
	uint32_t n = 0;

	for (uint32_t i = 1; i < s->entry_fresh; i++) {
		const struct entry *e = sched_entry(s, i);

		n += e->state == ENTRY_WAITING && e->due_ms <= now_ms;
	}
	return n;
}

void
schedule_stats(const struct schedule *s, uint64_t now_ms, struct schedule_stats *out)
{
	*out = (struct schedule_stats){
	    .entries_n = s->entries_n,
	    .due_n = due_count(s, now_ms),
	    .running_n = s->running_n,
	    .held_n = s->held_n,
	    .destinations_n = s->destinations_n,
	    .dead_n = s->dead_n,
	    .memory_bytes = s->memory_bytes,
	};
}
