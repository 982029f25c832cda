#include "flow/queue/schedule_model.h"

#include <stdio.h>

#include "base/num.h"
#include "flow/queue/schedule.h"

#define ENTRIES_MAX 40
#define DESTINATIONS 7
#define NEVER UINT64_MAX

struct model_entry {
	uint64_t id, message, due_ms; /* id 0: free */
	unsigned destination;
	int priority;
	uint32_t attempts;
	bool is_held, is_running, to_hold, to_remove;
};

struct model_destination {
	uint32_t limit, limit_max, successes, failures;
	bool is_dead, is_probing;
	uint64_t until_ms, wait_ms;
	unsigned passed; /* others were picked while it could have been */
};

struct model {
	const struct model_source *source;
	struct schedule *s;
	struct schedule_options o;
	uint64_t now_ms, messages;
	struct model_entry entries[ENTRIES_MAX];
	struct model_destination destinations[DESTINATIONS];
	bool has_failed;
};

#define MODEL_EXPECT(m, expr)                                                               \
	do {                                                                                \
		if (!(expr) && !(m)->has_failed) {                                          \
			(m)->has_failed = true;                                             \
			fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #expr); \
		}                                                                           \
	} while (0)

static uint64_t
below(struct model *m, uint64_t n)
{
	return m->source->below(m->source->arg, n);
}

static struct str
name_of(unsigned destination)
{
	static const char names[] = "abcdefg";

	_Static_assert(sizeof(names) > DESTINATIONS, "a name each");
	return str_of(&names[destination], 1);
}

static unsigned
running_n(const struct model *m, unsigned destination)
{
	unsigned n = 0;

	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		n += m->entries[i].id != 0 && m->entries[i].is_running &&
		     (destination == DESTINATIONS || m->entries[i].destination == destination);
	return n;
}

static bool
waits(const struct model_entry *e)
{
	return e->id != 0 && !e->is_held && !e->is_running;
}

/* When the destination may have an entry started. */
static uint64_t
destination_wake_ms(const struct model *m, unsigned k)
{
	const struct model_destination *d = &m->destinations[k];
	uint64_t wake_ms = NEVER;

	if (running_n(m, k) >= (d->is_dead ? 1 : d->limit))
		return NEVER;
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		if (waits(&m->entries[i]) && m->entries[i].destination == k &&
		    m->entries[i].due_ms < wake_ms)
			wake_ms = m->entries[i].due_ms;
	return wake_ms != NEVER && d->is_dead && d->until_ms > wake_ms ? d->until_ms : wake_ms;
}

static bool
is_full(const struct model *m)
{
	return running_n(m, DESTINATIONS) >= m->o.running_max;
}

static int64_t
rank_of(const struct model *m, const struct model_entry *e)
{
	return (int64_t)e->due_ms - e->priority * (int64_t)m->o.priority_step_ms;
}

static bool
is_better(const struct model *m, const struct model_entry *a, const struct model_entry *b)
{
	if (rank_of(m, a) != rank_of(m, b))
		return rank_of(m, a) < rank_of(m, b);
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->message < b->message;
}

static struct model_entry *
entry_find(struct model *m, uint64_t id)
{
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		if (id != 0 && m->entries[i].id == id)
			return &m->entries[i];
	return NULL;
}

/* One of those that are there, and now and then one that never was; NULL: that one. */
static struct model_entry *
entry_any(struct model *m)
{
	unsigned at = (unsigned)below(m, ENTRIES_MAX);

	for (unsigned i = 0; i < ENTRIES_MAX; i++, at = (at + 1) % ENTRIES_MAX)
		if (m->entries[at].id != 0)
			return &m->entries[at];
	return NULL;
}

static void
call_add(struct model *m)
{
	struct model_entry *e = NULL, new = {
					  .message = ++m->messages,
					  .due_ms = m->now_ms + below(m, 200),
					  .destination = (unsigned)below(m, DESTINATIONS),
					  .attempts = (uint32_t)below(m, 3),
					  .is_held = below(m, 10) == 0,
				      };
	unsigned n = 0;

	if (below(m, 2) == 0)
		new.priority = (int)below(m, 19) - 9;
	if (below(m, 4) == 0)
		new.due_ms -= below(m, 400);
	for (unsigned i = 0; i < ENTRIES_MAX; i++) {
		n += m->entries[i].id != 0;
		e = m->entries[i].id == 0 ? &m->entries[i] : e;
	}
	new.id = schedule_add(m->s, &(struct schedule_entry_in){
					.message = new.message,
					.destination = name_of(new.destination),
					.due_ms = new.due_ms,
					.priority = (int8_t) new.priority,
					.is_held = new.is_held,
					.attempts = new.attempts,
				    });
	MODEL_EXPECT(m, (new.id != 0) == (n < m->o.entries_max));
	MODEL_EXPECT(m, entry_find(m, new.id) == NULL);
	if (new.id != 0 && e != NULL)
		*e = new;
}

/* Whoever could have been picked and was not has been passed over: not more often than there are
 * others. */
static void
turns_count(struct model *m, unsigned picked)
{
	for (unsigned k = 0; k < DESTINATIONS; k++) {
		struct model_destination *d = &m->destinations[k];

		if (k == picked || destination_wake_ms(m, k) > m->now_ms)
			d->passed = 0;
		else
			d->passed++;
		MODEL_EXPECT(m, d->passed < DESTINATIONS);
	}
}

static bool
call_next(struct model *m)
{
	struct schedule_pick p;
	struct model_entry *e;
	struct model_destination *d;

	if (!schedule_next(m->s, m->now_ms, &p)) {
		for (unsigned k = 0; k < DESTINATIONS; k++)
			MODEL_EXPECT(m, is_full(m) || destination_wake_ms(m, k) > m->now_ms);
		return false;
	}
	e = entry_find(m, p.entry);
	MODEL_EXPECT(m, e != NULL && !is_full(m));
	if (e == NULL)
		return false;
	d = &m->destinations[e->destination];
	MODEL_EXPECT(m, waits(e) && e->due_ms <= m->now_ms);
	MODEL_EXPECT(m, destination_wake_ms(m, e->destination) <= m->now_ms);
	MODEL_EXPECT(m, p.message == e->message && p.attempts == e->attempts);
	MODEL_EXPECT(m, str_eq(p.destination, name_of(e->destination)));
	for (unsigned i = 0; i < ENTRIES_MAX; i++) {
		const struct model_entry *o = &m->entries[i];

		if (waits(o) && o->destination == e->destination && o->due_ms <= m->now_ms)
			MODEL_EXPECT(m, o == e || !is_better(m, o, e));
	}
	turns_count(m, e->destination);
	e->is_running = true;
	d->is_probing = d->is_dead;
	return true;
}

static void
destination_worked(struct model *m, struct model_destination *d)
{
	d->is_dead = d->is_probing = false;
	d->failures = 0;
	if (++d->successes == d->limit) {
		d->successes = 0;
		if (d->limit < (d->limit_max ? d->limit_max : m->o.limit_max))
			d->limit++;
	}
}

static void
destination_failed(struct model *m, struct model_destination *d)
{
	d->failures++;
	d->successes = 0;
	d->limit = d->limit > 1 ? d->limit / 2 : 1;
	if (!d->is_dead && d->failures >= m->o.dead_after) {
		d->is_dead = true;
		d->wait_ms = m->o.dead_first_ms;
		d->until_ms = m->now_ms + d->wait_ms;
	} else if (d->is_probing) {
		d->is_probing = false;
		d->wait_ms = size_min(d->wait_ms * 2, m->o.dead_max_ms);
		d->until_ms = m->now_ms + d->wait_ms;
	}
}

static void
entry_done(struct model *m, struct model_entry *e, enum schedule_outcome outcome, uint64_t due_ms)
{
	struct model_destination *d = &m->destinations[e->destination];
	bool was_done = schedule_done(m->s, e->id, m->now_ms, outcome, due_ms);

	MODEL_EXPECT(m, was_done == e->is_running);
	if (!e->is_running)
		return;
	if (outcome == SCHEDULE_FAILED_DESTINATION)
		destination_failed(m, d);
	else
		destination_worked(m, d);
	d->passed = 0;
	if (due_ms == 0 || e->to_remove) {
		e->id = 0;
		return;
	}
	e->is_running = false;
	e->is_held = e->to_hold;
	e->to_hold = false;
	e->due_ms = due_ms;
	e->attempts++;
}

static void
call_done(struct model *m, struct model_entry *e)
{
	static const enum schedule_outcome outcomes[] = {SCHEDULE_SENT, SCHEDULE_DEFERRED_MESSAGE,
	    SCHEDULE_FAILED_DESTINATION, SCHEDULE_FAILED_DESTINATION};
	/* Some destinations are bad. */
	uint64_t outcome = below(m, e->destination < 2 ? 4 : 3);

	entry_done(m, e, outcomes[outcome], below(m, 3) == 0 ? 0 : m->now_ms + below(m, 300));
}

static void
call_change(struct model *m, struct model_entry *e)
{
	struct model_destination *d = &m->destinations[e->destination];
	enum status want = e->is_running ? ST_CONFLICT : ST_OK;
	uint64_t due_ms = m->now_ms + below(m, 300);

	d->passed = 0;
	switch (below(m, 5)) {
	case 0:
		MODEL_EXPECT(m, schedule_hold(m->s, e->id) == ST_OK);
		*(e->is_running ? &e->to_hold : &e->is_held) = true;
		break;
	case 1:
		MODEL_EXPECT(m, schedule_release(m->s, e->id) == ST_OK);
		e->to_hold = e->is_held = false;
		break;
	case 2:
		MODEL_EXPECT(m, schedule_retry(m->s, e->id, m->now_ms) == want);
		if (want != ST_OK)
			break;
		e->due_ms = m->now_ms;
		if (d->is_dead)
			d->until_ms = size_min(d->until_ms, m->now_ms);
		break;
	case 3:
		MODEL_EXPECT(m, schedule_reschedule(m->s, e->id, due_ms) == want);
		if (want == ST_OK)
			e->due_ms = due_ms;
		break;
	case 4:
		MODEL_EXPECT(m, schedule_remove(m->s, e->id) == ST_OK);
		if (e->is_running)
			e->to_remove = true;
		else
			e->id = 0;
		break;
	}
}

static void
call_limit(struct model *m)
{
	unsigned k = (unsigned)below(m, DESTINATIONS);
	struct model_destination *d = &m->destinations[k];
	uint32_t limit_max = (uint32_t)below(m, 6);

	MODEL_EXPECT(m, schedule_destination_limit(m->s, name_of(k), limit_max));
	d->limit_max = limit_max;
	d->limit = (uint32_t)size_min(d->limit, limit_max ? limit_max : m->o.limit_max);
	d->successes = 0;
	d->passed = 0;
}

static enum schedule_reason
reason_of(const struct model *m, const struct model_entry *e)
{
	const struct model_destination *d = &m->destinations[e->destination];
	unsigned running = running_n(m, e->destination);

	if (e->is_running)
		return SCHEDULE_RUNNING;
	if (e->is_held)
		return SCHEDULE_HELD;
	if (e->due_ms > m->now_ms)
		return SCHEDULE_DUE_LATER;
	if (d->is_dead && (d->until_ms > m->now_ms || running > 0))
		return SCHEDULE_DESTINATION_DEAD;
	if (running >= d->limit)
		return SCHEDULE_DESTINATION_BUSY;
	return is_full(m) ? SCHEDULE_GLOBAL_LIMIT : SCHEDULE_DUE_NOW;
}

static void
compare_entries(struct model *m)
{
	struct schedule_why w;
	struct schedule_entry got;

	for (unsigned i = 0; i < ENTRIES_MAX; i++) {
		const struct model_entry *e = &m->entries[i];

		if (e->id == 0)
			continue;
		MODEL_EXPECT(m, schedule_why(m->s, e->id, m->now_ms, &w) &&
				    w.reason == reason_of(m, e) && w.due_ms == e->due_ms);
		MODEL_EXPECT(m, schedule_get(m->s, e->id, &got) && got.message == e->message &&
				    got.priority == e->priority && got.attempts == e->attempts &&
				    got.is_running == e->is_running &&
				    got.is_held == (e->is_held || e->to_hold));
	}
}

static void
compare_counts(struct model *m)
{
	struct schedule_stats st;
	uint32_t entries = 0, due = 0, held = 0, used = 0, dead = 0;

	for (unsigned i = 0; i < ENTRIES_MAX; i++) {
		const struct model_entry *e = &m->entries[i];

		entries += e->id != 0;
		due += waits(e) && e->due_ms <= m->now_ms;
		held += e->id != 0 && e->is_held;
	}
	for (unsigned k = 0; k < DESTINATIONS; k++) {
		bool is_used = false;

		for (unsigned i = 0; i < ENTRIES_MAX; i++)
			is_used |= m->entries[i].id != 0 && m->entries[i].destination == k;
		used += is_used;
		dead += is_used && m->destinations[k].is_dead;
	}
	schedule_stats(m->s, m->now_ms, &st);
	MODEL_EXPECT(m, st.entries_n == entries && st.due_n == due && st.held_n == held);
	MODEL_EXPECT(m, st.running_n == running_n(m, DESTINATIONS));
	MODEL_EXPECT(m, st.destinations_n == used && st.dead_n == dead);
}

static void
compare_wake(struct model *m)
{
	uint64_t want = NEVER, got = schedule_wake_ms(m->s);

	for (unsigned k = 0; k < DESTINATIONS && !is_full(m); k++)
		want = size_min(want, destination_wake_ms(m, k));
	MODEL_EXPECT(m, want <= m->now_ms ? got <= m->now_ms : got == want);
}

static void
call_any(struct model *m)
{
	uint64_t call = below(m, 16);
	struct model_entry *e = entry_any(m);

	if (call < 4 || e == NULL)
		call_add(m);
	else if (call < 8)
		(void)call_next(m);
	else if (call < 12)
		call_done(m, e);
	else if (call < 13)
		call_change(m, e);
	else if (call < 14)
		m->now_ms += below(m, 100);
	else if (call < 15)
		m->now_ms = size_max(m->now_ms, size_min(schedule_wake_ms(m->s), m->now_ms + 5000));
	else if (below(m, 4) == 0)
		call_limit(m);
	else
		while (call_next(m) && !m->has_failed)
			;
}

/* Every entry that is still there must be found by picks alone. */
static void
drain(struct model *m)
{
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		if (m->entries[i].id != 0)
			MODEL_EXPECT(m, schedule_release(m->s, m->entries[i].id) == ST_OK);
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		m->entries[i].to_hold = m->entries[i].is_held = false;
	for (unsigned round = 0; round < 2 * ENTRIES_MAX && !m->has_failed; round++) {
		m->now_ms += 100000;
		while (call_next(m) && !m->has_failed)
			;
		for (unsigned i = 0; i < ENTRIES_MAX; i++)
			if (m->entries[i].id != 0 && m->entries[i].is_running)
				entry_done(m, &m->entries[i], SCHEDULE_SENT, 0);
	}
	for (unsigned i = 0; i < ENTRIES_MAX; i++)
		MODEL_EXPECT(m, m->entries[i].id == 0);
	MODEL_EXPECT(m, schedule_wake_ms(m->s) == NEVER);
	compare_counts(m);
}

static void
model_init(struct model *m)
{
	m->o = SCHEDULE_DEFAULTS;
	m->o.running_max = 1 + (uint32_t)below(m, 12);
	m->o.limit_first = 1 + (uint32_t)below(m, 4);
	m->o.limit_max = 1 + (uint32_t)below(m, 6);
	m->o.dead_after = 1 + (uint32_t)below(m, 4);
	m->o.dead_first_ms = 1 + below(m, 200);
	m->o.dead_max_ms = 1 + below(m, 1000);
	m->o.dead_first_ms = size_min(m->o.dead_first_ms, m->o.dead_max_ms);
	m->o.priority_step_ms = below(m, 40);
	m->o.entries_max = ENTRIES_MAX - (uint32_t)below(m, 8);
	m->s = schedule_new(&m->o);
	for (unsigned k = 0; k < DESTINATIONS; k++)
		m->destinations[k].limit = (uint32_t)size_min(m->o.limit_first, m->o.limit_max);
}

bool
schedule_model_run(const struct model_source *source, unsigned calls)
{
	struct model m = {.source = source, .now_ms = 1000000};

	model_init(&m);
	for (unsigned i = 0; i < calls && !m.has_failed; i++) {
		call_any(&m);
		compare_wake(&m);
		compare_counts(&m);
		if (i % 8 == 0)
			compare_entries(&m);
	}
	drain(&m);
	schedule_free(&m.s);
	return !m.has_failed;
}
