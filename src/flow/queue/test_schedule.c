#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"
#include "flow/queue/schedule_internal.h"

#define T0 UINT64_C(1000000000)
#define NEVER UINT64_MAX
#define MIN_MS UINT64_C(60000)

static struct schedule *
fresh(void)
{
	return schedule_new(&SCHEDULE_DEFAULTS);
}

static uint64_t
add(struct schedule *s, uint64_t message, const char *destination, uint64_t due_ms)
{
	return schedule_add(s, &(struct schedule_entry_in){
				   .message = message,
				   .destination = str_of_c(destination),
				   .rcpts_n = 1,
				   .bytes = 5000,
				   .due_ms = due_ms,
			       });
}

static uint64_t
add_priority(
    struct schedule *s, uint64_t message, const char *destination, uint64_t due_ms, int8_t priority)
{
	return schedule_add(s, &(struct schedule_entry_in){
				   .message = message,
				   .destination = str_of_c(destination),
				   .due_ms = due_ms,
				   .priority = priority,
			       });
}

/* The message that is picked; 0: none. */
static uint64_t
next(struct schedule *s, uint64_t now_ms, uint64_t *entry_out)
{
	struct schedule_pick p;

	if (!schedule_next(s, now_ms, &p))
		return 0;
	if (entry_out != NULL)
		*entry_out = p.entry;
	return p.message;
}

/* Picks one and ends it. */
static uint64_t
run(struct schedule *s, uint64_t now_ms, enum schedule_outcome outcome, uint64_t next_due_ms)
{
	struct schedule_pick p;

	if (!schedule_next(s, now_ms, &p))
		return 0;
	EXPECT(schedule_done(s, p.entry, now_ms, outcome, next_due_ms));
	return p.message;
}

static struct schedule_destination
destination(const struct schedule *s, const char *name)
{
	struct schedule_destination d = {0};

	EXPECT(schedule_destination_get(s, str_of_c(name), &d));
	return d;
}

static struct schedule_why
why(const struct schedule *s, uint64_t entry, uint64_t now_ms)
{
	struct schedule_why w = {0};

	EXPECT(schedule_why(s, entry, now_ms, &w));
	return w;
}

static void
picks_what_is_due_in_order(void)
{
	struct schedule *s = fresh();
	struct schedule_pick p;

	EXPECT(next(s, T0, NULL) == 0);
	EXPECT(schedule_wake_ms(s) == NEVER);
	EXPECT(add(s, 3, "a.example", T0 + 2) != 0);
	EXPECT(add(s, 2, "a.example", T0 + 1) != 0);
	EXPECT(add(s, 1, "a.example", T0 + 2) != 0);
	EXPECT(schedule_wake_ms(s) == T0 + 1);
	EXPECT(next(s, T0, NULL) == 0);
	EXPECT(schedule_next(s, T0 + 1, &p));
	EXPECT(p.message == 2 && p.rcpts_n == 1 && p.attempts == 0);
	EXPECT_STR(p.destination, STR("a.example"));
	EXPECT(next(s, T0 + 1, NULL) == 0);
	EXPECT(schedule_wake_ms(s) == T0 + 2);
	EXPECT(next(s, T0 + 2, NULL) == 1);
	EXPECT(next(s, T0 + 2, NULL) == 3);
	EXPECT(next(s, T0 + 100, NULL) == 0);
	EXPECT(schedule_done(s, p.entry, T0 + 3, SCHEDULE_DEFERRED_MESSAGE, T0 + 50));
	EXPECT(schedule_wake_ms(s) == T0 + 50);
	EXPECT(!schedule_next(s, T0 + 49, &p));
	EXPECT(schedule_next(s, T0 + 50, &p) && p.message == 2 && p.attempts == 1);
	schedule_free(&s);
	EXPECT(s == NULL);
	schedule_free(&s);
}

static void
destinations_take_turns(void)
{
	static const uint64_t want[] = {10, 20, 30, 11, 31, 12};
	struct schedule *s = fresh();

	EXPECT(add(s, 10, "a", T0) && add(s, 11, "a", T0 + 1) && add(s, 12, "a", T0 + 2));
	EXPECT(add(s, 20, "b", T0 + 3));
	EXPECT(add(s, 30, "c", T0 + 4) && add(s, 31, "c", T0 + 5));
	for (size_t i = 0; i < COUNT_OF(want); i++)
		EXPECT(next(s, T0 + 10, NULL) == want[i]);
	EXPECT(next(s, T0 + 10, NULL) == 0);
	schedule_free(&s);
}

/* More destinations at once than one call takes notice of: while the last are being noticed a few
 * of the first have a second turn, as many as there were such calls. */
static void
a_crowd_that_wakes_at_once_takes_turns(void)
{
	enum { CALLS = 5, CROWD = CALLS * SCHEDULE_WAKES_PER_NEXT };
	struct schedule *s = fresh();
	unsigned turns[CROWD] = {0}, first_n = 0;
	char name[16];

	for (unsigned i = 0; i < 2 * CROWD; i++) {
		snprintf(name, sizeof(name), "d%u", i % CROWD);
		EXPECT(add(s, 1 + i, name, T0) != 0);
	}
	for (unsigned i = 0; i < CROWD + CALLS; i++) {
		uint64_t m = next(s, T0, NULL);

		EXPECT(m != 0);
		first_n += m != 0 && turns[(m - 1) % CROWD]++ == 0;
	}
	EXPECT(first_n == CROWD);
	for (unsigned i = CALLS; i < CROWD; i++)
		EXPECT(next(s, T0, NULL) != 0);
	EXPECT(next(s, T0, NULL) == 0);
	schedule_free(&s);
}

static void
a_higher_priority_goes_first_and_waiting_counts(void)
{
	const uint64_t step = SCHEDULE_DEFAULTS.priority_step_ms;
	static const struct {
		int8_t low, high;
		uint64_t levels;
	} t[] = {{0, 1, 1}, {-9, 9, 18}, {-1, 0, 1}, {3, 7, 4}, {-128, 127, 18}};

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		struct schedule *s = fresh();
		uint64_t gap = t[i].levels * step;

		/* The low one is due earlier by as much as the levels are worth, and by a bit more.
		 */
		EXPECT(add_priority(s, 1, "a", T0, t[i].low) != 0);
		EXPECT(add_priority(s, 2, "a", T0 + gap, t[i].high) != 0);
		EXPECT(run(s, T0 + gap, SCHEDULE_SENT, 0) == 2);
		EXPECT(add_priority(s, 3, "a", T0 + gap + 1, t[i].high) != 0);
		EXPECT(run(s, T0 + gap + 1, SCHEDULE_SENT, 0) == 1);
		EXPECT(run(s, T0 + gap + 1, SCHEDULE_SENT, 0) == 3);
		/* What is not due does not count. */
		EXPECT(add_priority(s, 4, "a", T0 + gap, t[i].low) != 0);
		EXPECT(add_priority(s, 5, "a", T0 + gap + 2, t[i].high) != 0);
		EXPECT(run(s, T0 + gap + 1, SCHEDULE_SENT, 0) == 4);
		EXPECT(schedule_wake_ms(s) == T0 + gap + 2);
		schedule_free(&s);
	}
}

/* A destination's limit as its picks show it. */
static uint32_t
picks_until_busy(struct schedule *s, uint64_t now_ms, uint64_t *entries)
{
	uint32_t n = 0;

	while (next(s, now_ms, &entries[n]) != 0)
		n++;
	return n;
}

static void
concurrency_starts_grows_halves(void)
{
	struct schedule *s = fresh();
	uint64_t e[64], left = 1000;
	uint32_t n;

	for (unsigned i = 0; i < 1000; i++)
		EXPECT(add(s, 1 + i, "a", T0) != 0);
	for (uint32_t want = 5; want <= 22; want++) {
		n = picks_until_busy(s, T0, e);
		EXPECT(n == size_min(want, 20));
		EXPECT(destination(s, "a").limit == n && destination(s, "a").running_n == n);
		EXPECT(schedule_wake_ms(s) == NEVER);
		/* One success fewer than a round does not do. */
		for (uint32_t i = 0; i < n; i++) {
			EXPECT(destination(s, "a").limit == n);
			EXPECT(schedule_done(s, e[i], T0,
			    i % 2 ? SCHEDULE_SENT : SCHEDULE_DEFERRED_MESSAGE,
			    i % 2 ? 0 : T0 + 1000));
		}
		left -= n / 2;
		EXPECT(schedule_wake_ms(s) <= T0);
	}
	n = picks_until_busy(s, T0, e);
	for (uint32_t i = 0, want = 20; i < 6; i++) {
		want = want / 2 > 0 ? want / 2 : 1;
		EXPECT(schedule_done(s, e[i], T0, SCHEDULE_FAILED_DESTINATION, T0 + 1000));
		EXPECT(destination(s, "a").limit == want && destination(s, "a").failures == i + 1);
		EXPECT(next(s, T0, NULL) == 0);
	}
	EXPECT(schedule_done(s, e[6], T0, SCHEDULE_SENT, 0));
	EXPECT(destination(s, "a").failures == 0 && destination(s, "a").limit == 2);
	EXPECT(destination(s, "a").entries_n == left - 1);
	schedule_free(&s);
}

static void
a_destination_may_have_its_own_limit(void)
{
	struct schedule *s = fresh();
	uint64_t e[64];

	EXPECT(schedule_destination_limit(s, STR("relay"), 2));
	EXPECT(schedule_destination_limit(s, STR("wide"), 40));
	EXPECT(schedule_destination_limit(s, STR("unknown"), 0));
	for (unsigned i = 0; i < 600; i++)
		EXPECT(add(s, 1 + i, "relay", T0) != 0);
	EXPECT(picks_until_busy(s, T0, e) == 2);
	EXPECT(schedule_done(s, e[0], T0, SCHEDULE_SENT, 0) &&
	       schedule_done(s, e[1], T0, SCHEDULE_SENT, 0));
	EXPECT(picks_until_busy(s, T0, e) == 2);
	/* Without it the common limit holds again, and is grown into. */
	EXPECT(schedule_destination_limit(s, STR("relay"), 0));
	EXPECT(schedule_done(s, e[0], T0, SCHEDULE_SENT, 0) &&
	       schedule_done(s, e[1], T0, SCHEDULE_SENT, 0));
	EXPECT(picks_until_busy(s, T0, e) == 3);
	for (unsigned i = 0; i < 1200; i++)
		EXPECT(add(s, 1000 + i, "wide", T0) != 0);
	while (destination(s, "wide").limit < 40 && run(s, T0, SCHEDULE_SENT, 0) != 0)
		;
	EXPECT(picks_until_busy(s, T0, e) == 40);
	EXPECT(schedule_destination_limit(s, STR("wide"), 7));
	EXPECT(destination(s, "wide").limit == 7);
	EXPECT(schedule_done(s, e[0], T0, SCHEDULE_SENT, 0));
	EXPECT(next(s, T0, NULL) == 0);
	schedule_free(&s);
}

/* Lets "a" fail n times, one after the other. */
static void
fail(struct schedule *s, uint64_t now_ms, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		EXPECT(run(s, now_ms, SCHEDULE_FAILED_DESTINATION, now_ms) != 0);
}

static void
dies_after_failures_in_a_row(void)
{
	struct schedule *s = fresh();
	struct schedule_stats st;
	uint64_t a = add(s, 1, "a", T0), b;

	fail(s, T0, 9);
	EXPECT(!destination(s, "a").is_dead);
	EXPECT(run(s, T0, SCHEDULE_DEFERRED_MESSAGE, T0) == 1);
	fail(s, T0, 9);
	EXPECT(!destination(s, "a").is_dead);
	fail(s, T0, 1);
	EXPECT(destination(s, "a").is_dead && destination(s, "a").failures == 10);
	EXPECT(destination(s, "a").dead_until_ms == T0 + MIN_MS);
	EXPECT(next(s, T0 + MIN_MS - 1, NULL) == 0);
	EXPECT(why(s, a, T0).reason == SCHEDULE_DESTINATION_DEAD);
	EXPECT(why(s, a, T0).until_ms == T0 + MIN_MS && why(s, a, T0).failures == 10);
	EXPECT(schedule_wake_ms(s) == T0 + MIN_MS);
	/* Others are not concerned; the dead are counted while they have entries. */
	b = add(s, 2, "b", T0);
	EXPECT(b != 0 && run(s, T0, SCHEDULE_SENT, 0) == 2);
	schedule_stats(s, T0, &st);
	EXPECT(st.dead_n == 1 && st.destinations_n == 1);
	EXPECT(schedule_remove(s, a) == ST_OK);
	schedule_stats(s, T0, &st);
	EXPECT(st.dead_n == 0 && st.destinations_n == 0 && schedule_wake_ms(s) == NEVER);
	EXPECT(destination(s, "a").is_dead);
	a = add(s, 3, "a", T0);
	schedule_stats(s, T0, &st);
	EXPECT(st.dead_n == 1 && why(s, a, T0).reason == SCHEDULE_DESTINATION_DEAD);
	schedule_free(&s);
}

static void
a_dead_destination_is_probed_by_one(void)
{
	static const uint64_t minutes[] = {2, 4, 8, 16, 30, 30};
	struct schedule *s = fresh();
	uint64_t now = T0, e, other = add(s, 1, "a", T0), last;

	EXPECT(add(s, 2, "a", T0) && add(s, 3, "a", T0));
	fail(s, T0, 10);
	now += MIN_MS;
	for (size_t i = 0; i < COUNT_OF(minutes); i++) {
		EXPECT(next(s, now - 1, NULL) == 0);
		EXPECT(next(s, now, &e) != 0);
		EXPECT(next(s, now, NULL) == 0 && schedule_wake_ms(s) == NEVER);
		last = e == other ? 0 : other;
		if (last != 0) {
			EXPECT(why(s, last, now).reason == SCHEDULE_DESTINATION_DEAD);
			EXPECT(why(s, last, now).is_probing);
		}
		EXPECT(schedule_done(s, e, now + 5, SCHEDULE_FAILED_DESTINATION, now));
		EXPECT(destination(s, "a").dead_until_ms == now + 5 + minutes[i] * MIN_MS);
		now += 5 + minutes[i] * MIN_MS;
	}
	EXPECT(next(s, now, &e) != 0);
	EXPECT(schedule_done(s, e, now, SCHEDULE_SENT, 0));
	EXPECT(!destination(s, "a").is_dead && destination(s, "a").limit == 2);
	EXPECT(next(s, now, NULL) != 0 && next(s, now, NULL) != 0);
	schedule_free(&s);
}

/* What started before the destination died: failures say nothing new, a success revives it, and no
 * probe starts beside it. */
static void
stragglers_of_a_dead_destination(void)
{
	struct schedule_options o = SCHEDULE_DEFAULTS;
	struct schedule *s;
	uint64_t e[8];

	o.dead_after = 2;
	s = schedule_new(&o);
	for (unsigned i = 0; i < 8; i++)
		EXPECT(add(s, 1 + i, "a", T0) != 0);
	EXPECT(picks_until_busy(s, T0, e) == 5);
	EXPECT(schedule_done(s, e[0], T0, SCHEDULE_FAILED_DESTINATION, T0));
	EXPECT(schedule_done(s, e[1], T0, SCHEDULE_FAILED_DESTINATION, T0));
	EXPECT(schedule_done(s, e[2], T0 + 7, SCHEDULE_FAILED_DESTINATION, T0));
	EXPECT(destination(s, "a").dead_until_ms == T0 + MIN_MS);
	EXPECT(destination(s, "a").failures == 3);
	EXPECT(next(s, T0 + MIN_MS, NULL) == 0);
	EXPECT(schedule_done(s, e[3], T0 + MIN_MS, SCHEDULE_FAILED_DESTINATION, 0));
	EXPECT(next(s, T0 + MIN_MS, NULL) == 0);
	EXPECT(schedule_done(s, e[4], T0 + MIN_MS, SCHEDULE_SENT, 0));
	EXPECT(!destination(s, "a").is_dead && destination(s, "a").failures == 0);
	EXPECT(picks_until_busy(s, T0 + MIN_MS, e) == 2);
	schedule_free(&s);
}

static void
keeps_the_limit_of_all_together(void)
{
	struct schedule_options o = SCHEDULE_DEFAULTS;
	struct schedule *s;
	uint64_t e[4], waits;

	o.running_max = 3;
	s = schedule_new(&o);
	EXPECT(add(s, 1, "a", T0) && add(s, 2, "b", T0) && add(s, 3, "c", T0));
	waits = add(s, 4, "d", T0 + 1);
	EXPECT(next(s, T0 + 1, &e[0]) && next(s, T0 + 1, &e[1]) && next(s, T0 + 1, &e[2]));
	EXPECT(next(s, T0 + 1, NULL) == 0);
	EXPECT(why(s, waits, T0 + 1).reason == SCHEDULE_GLOBAL_LIMIT);
	EXPECT(why(s, waits, T0 + 1).running == 3 && why(s, waits, T0 + 1).limit == 3);
	EXPECT(schedule_wake_ms(s) == NEVER);
	EXPECT(schedule_done(s, e[1], T0 + 1, SCHEDULE_SENT, 0));
	EXPECT(schedule_wake_ms(s) <= T0 + 1);
	EXPECT(why(s, waits, T0 + 1).reason == SCHEDULE_DUE_NOW);
	EXPECT(next(s, T0 + 1, NULL) == 4);
	schedule_free(&s);
}

static void
says_why_an_entry_waits(void)
{
	struct schedule *s = fresh();
	struct schedule_why w;
	uint64_t later, now_, held, e[8];

	later = add(s, 1, "a", T0 + 9);
	held = add(s, 2, "a", T0);
	now_ = add(s, 3, "a", T0);
	EXPECT(schedule_hold(s, held) == ST_OK);
	w = why(s, later, T0);
	EXPECT(w.reason == SCHEDULE_DUE_LATER && w.due_ms == T0 + 9 && w.until_ms == 0);
	EXPECT(why(s, later, T0 + 9).reason == SCHEDULE_DUE_NOW);
	EXPECT(why(s, held, T0).reason == SCHEDULE_HELD);
	w = why(s, now_, T0);
	EXPECT(w.reason == SCHEDULE_DUE_NOW && w.running == 0 && w.limit == 5);
	EXPECT(
	    add(s, 4, "a", T0) && add(s, 5, "a", T0) && add(s, 6, "a", T0) && add(s, 7, "a", T0));
	EXPECT(picks_until_busy(s, T0, e) == 5);
	EXPECT(why(s, now_, T0).reason == SCHEDULE_RUNNING);
	w = why(s, later, T0 + 9);
	EXPECT(w.reason == SCHEDULE_DESTINATION_BUSY && w.running == 5 && w.limit == 5);
	EXPECT(why(s, held, T0 + 9).reason == SCHEDULE_HELD);
	EXPECT(schedule_hold(s, now_) == ST_OK);
	EXPECT(why(s, now_, T0).reason == SCHEDULE_RUNNING);
	EXPECT(!schedule_why(s, 0, T0, &w) && !schedule_why(s, now_ + 1, T0, &w));
	schedule_free(&s);
}

static void
holds_and_releases(void)
{
	struct schedule *s = fresh();
	struct schedule_entry got;
	struct schedule_stats st;
	uint64_t a, b;

	a = schedule_add(
	    s, &(struct schedule_entry_in){
		   .message = 1, .destination = STR("a"), .due_ms = T0, .is_held = true});
	b = add(s, 2, "a", T0);
	EXPECT(next(s, T0, NULL) == 2);
	EXPECT(next(s, T0, NULL) == 0 && schedule_wake_ms(s) == NEVER);
	schedule_stats(s, T0, &st);
	EXPECT(st.held_n == 1 && st.running_n == 1 && st.due_n == 0 && st.entries_n == 2);
	EXPECT(schedule_hold(s, a) == ST_OK && schedule_retry(s, a, T0 + 5) == ST_OK);
	EXPECT(schedule_reschedule(s, a, T0 + 6) == ST_OK);
	EXPECT(next(s, T0 + 9, NULL) == 0);
	EXPECT(schedule_release(s, a) == ST_OK && schedule_release(s, a) == ST_OK);
	EXPECT(schedule_wake_ms(s) <= T0 + 9 && next(s, T0 + 9, NULL) == 1);
	/* What runs is held when it is done, unless it is released before. */
	EXPECT(schedule_hold(s, a) == ST_OK && schedule_hold(s, b) == ST_OK);
	EXPECT(schedule_release(s, b) == ST_OK);
	EXPECT(schedule_get(s, a, &got) && got.is_held && got.is_running);
	EXPECT(schedule_done(s, a, T0 + 10, SCHEDULE_DEFERRED_MESSAGE, T0 + 11));
	EXPECT(schedule_done(s, b, T0 + 10, SCHEDULE_DEFERRED_MESSAGE, T0 + 12));
	EXPECT(schedule_get(s, a, &got) && got.is_held && !got.is_running && got.due_ms == T0 + 11);
	EXPECT(next(s, T0 + 20, NULL) == 2 && next(s, T0 + 20, NULL) == 0);
	EXPECT(schedule_release(s, a) == ST_OK && next(s, T0 + 20, NULL) == 1);
	/* Held only once: the next time it waits. */
	EXPECT(schedule_done(s, a, T0 + 21, SCHEDULE_DEFERRED_MESSAGE, T0 + 22));
	EXPECT(next(s, T0 + 22, NULL) == 1);
	schedule_free(&s);
}

static void
retries_reschedules_removes(void)
{
	struct schedule *s = fresh();
	uint64_t a = add(s, 1, "a", T0 + 1000), b = add(s, 2, "a", T0 + 1000);
	uint64_t c = add(s, 3, "a", T0 + 1000);

	EXPECT(schedule_retry(s, b, T0) == ST_OK);
	EXPECT(schedule_wake_ms(s) == T0 && next(s, T0, NULL) == 2 && next(s, T0, NULL) == 0);
	EXPECT(schedule_retry(s, b, T0) == ST_CONFLICT);
	EXPECT(schedule_reschedule(s, b, T0) == ST_CONFLICT);
	EXPECT(schedule_reschedule(s, a, T0 + 3000) == ST_OK);
	EXPECT(schedule_reschedule(s, c, T0 + 2000) == ST_OK);
	EXPECT(schedule_wake_ms(s) == T0 + 2000);
	EXPECT(schedule_remove(s, c) == ST_OK);
	EXPECT(schedule_wake_ms(s) == T0 + 3000);
	EXPECT(schedule_remove(s, c) == ST_NOTFOUND && schedule_retry(s, c, T0) == ST_NOTFOUND);
	/* What runs goes when it is done, whatever it is done with. */
	EXPECT(schedule_remove(s, b) == ST_OK);
	EXPECT(destination(s, "a").running_n == 1);
	EXPECT(schedule_done(s, b, T0, SCHEDULE_DEFERRED_MESSAGE, T0 + 1));
	EXPECT(destination(s, "a").running_n == 0 && destination(s, "a").entries_n == 1);
	EXPECT(!schedule_done(s, b, T0, SCHEDULE_SENT, 0));
	/* Due in the ring, then not: it gives up its turn. */
	EXPECT(next(s, T0 + 4000, NULL) == 1);
	EXPECT(schedule_done(s, a, T0 + 4000, SCHEDULE_DEFERRED_MESSAGE, T0 + 4000));
	EXPECT(schedule_wake_ms(s) <= T0 + 4000);
	EXPECT(schedule_reschedule(s, a, T0 + 5000) == ST_OK);
	EXPECT(schedule_wake_ms(s) == T0 + 5000 && next(s, T0 + 4999, NULL) == 0);
	EXPECT(next(s, T0 + 5000, NULL) == 1);
	schedule_free(&s);
}

static void
a_retry_wakes_a_dead_destination(void)
{
	struct schedule *s = fresh();
	uint64_t a = add(s, 1, "a", T0);

	EXPECT(add(s, 2, "a", T0) != 0);
	fail(s, T0, 10);
	EXPECT(next(s, T0 + 5, NULL) == 0);
	EXPECT(schedule_retry(s, a, T0 + 5) == ST_OK);
	EXPECT(schedule_wake_ms(s) <= T0 + 5);
	/* By one probe, and its back-off goes on where it was. */
	fail(s, T0 + 5, 1);
	EXPECT(destination(s, "a").dead_until_ms == T0 + 5 + 2 * MIN_MS);
	EXPECT(next(s, T0 + 6, NULL) == 0);
	schedule_free(&s);
}

static void
stale_ids_find_nothing(void)
{
	struct schedule *s = fresh();
	struct schedule_entry got;
	uint64_t a = add(s, 1, "a", T0), b;

	EXPECT(!schedule_done(s, a, T0, SCHEDULE_SENT, 0));
	EXPECT(run(s, T0, SCHEDULE_SENT, 0) == 1);
	b = add(s, 2, "a", T0);
	EXPECT(b != a && (uint32_t)b == (uint32_t)a);
	EXPECT(!schedule_get(s, a, &got) && schedule_get(s, b, &got));
	EXPECT(schedule_hold(s, a) == ST_NOTFOUND && schedule_release(s, a) == ST_NOTFOUND);
	EXPECT(schedule_remove(s, a) == ST_NOTFOUND && schedule_remove(s, 0) == ST_NOTFOUND);
	EXPECT(schedule_remove(s, b | UINT32_MAX) == ST_NOTFOUND);
	EXPECT(!schedule_done(s, a, T0, SCHEDULE_SENT, 0));
	EXPECT(next(s, T0, NULL) == 2);
	schedule_free(&s);
}

static void
tells_what_an_entry_is(void)
{
	struct schedule *s = fresh();
	struct schedule_entry got;
	uint64_t a = schedule_add(s, &(struct schedule_entry_in){.message = 7,
					 .destination = STR("[192.0.2.1]"),
					 .rcpts_n = 3,
					 .bytes = 4711,
					 .due_ms = UINT64_MAX,
					 .priority = -10,
					 .attempts = UINT32_MAX});

	EXPECT(schedule_get(s, a, &got));
	EXPECT(got.entry == a && got.message == 7 && got.rcpts_n == 3 && got.bytes == 4711);
	EXPECT(got.priority == -9 && got.due_ms == SCHEDULE_DUE_MS_MAX && !got.is_held);
	EXPECT_STR(got.destination, STR("[192.0.2.1]"));
	EXPECT(schedule_retry(s, a, T0) == ST_OK && run(s, T0, SCHEDULE_SENT, T0 + 1) == 7);
	EXPECT(schedule_get(s, a, &got) && got.attempts == UINT32_MAX && got.due_ms == T0 + 1);
	schedule_free(&s);
}

struct visit {
	struct schedule *s;
	unsigned n, stop_after;
	uint64_t messages;
	bool removes;
};

static bool
visit_entry(void *arg, const struct schedule_entry *e)
{
	struct visit *v = arg;

	v->n++;
	v->messages += e->message;
	if (v->removes)
		EXPECT(schedule_remove(v->s, e->entry) == ST_OK);
	return v->n != v->stop_after;
}

static bool
visit_destination(void *arg, const struct schedule_destination *d)
{
	struct visit *v = arg;

	v->n++;
	v->messages += d->entries_n;
	return v->n != v->stop_after;
}

static void
visits_the_entries_of_a_destination(void)
{
	struct schedule *s = fresh();
	struct visit all = {.s = s}, two = {.s = s, .stop_after = 2}, none = {.s = s};
	struct visit gone = {.s = s, .removes = true}, known = {0}, one = {.stop_after = 1};
	struct schedule_stats st;

	for (uint64_t i = 0; i < 5; i++)
		EXPECT(add(s, UINT64_C(1) << i, "a", T0 + i) && add(s, 1000, "b", T0));
	EXPECT(next(s, T0, NULL) != 0);
	schedule_each_of_destination(s, STR("a"), visit_entry, &all);
	EXPECT(all.n == 5 && all.messages == 31);
	schedule_each_of_destination(s, STR("a"), visit_entry, &two);
	EXPECT(two.n == 2);
	schedule_each_of_destination(s, STR("c"), visit_entry, &none);
	EXPECT(none.n == 0);
	schedule_each_destination(s, visit_destination, &known);
	EXPECT(known.n == 2 && known.messages == 10);
	schedule_each_destination(s, visit_destination, &one);
	EXPECT(one.n == 1);
	schedule_each_of_destination(s, STR("b"), visit_entry, &gone);
	EXPECT(gone.n == 5);
	known = (struct visit){0};
	schedule_each_destination(s, visit_destination, &known);
	schedule_stats(s, T0, &st);
	/* One of the ten runs: it goes when it is done. */
	EXPECT(known.messages == st.entries_n && st.entries_n >= 5 && st.entries_n <= 6);
	schedule_free(&s);
}

static void
counts(void)
{
	struct schedule *s = fresh();
	struct schedule_stats st;
	uint64_t e;

	EXPECT(add(s, 1, "a", T0) && add(s, 2, "b", T0 + 1) && add(s, 3, "c", T0 + 2));
	schedule_stats(s, T0 + 1, &st);
	EXPECT(st.entries_n == 3 && st.due_n == 2 && st.running_n == 0 && st.held_n == 0);
	EXPECT(st.destinations_n == 3 && st.dead_n == 0 && st.memory_bytes > 1 << 20);
	EXPECT(next(s, T0 + 2, &e) != 0);
	schedule_stats(s, T0 + 2, &st);
	EXPECT(st.entries_n == 3 && st.due_n == 2 && st.running_n == 1);
	EXPECT(schedule_done(s, e, T0 + 2, SCHEDULE_SENT, 0));
	schedule_stats(s, T0 + 2, &st);
	EXPECT(st.entries_n == 2 && st.due_n == 2 && st.running_n == 0 && st.destinations_n == 2);
	schedule_free(&s);
}

static void
entries_have_a_limit(void)
{
	struct schedule_options o = SCHEDULE_DEFAULTS;
	struct schedule_stats before, after;
	struct schedule *s;

	o.entries_max = 3;
	s = schedule_new(&o);
	EXPECT(add(s, 1, "a", T0) && add(s, 2, "b", T0) && add(s, 3, "c", T0));
	schedule_stats(s, T0, &before);
	EXPECT(add(s, 4, "d", T0) == 0);
	schedule_stats(s, T0, &after);
	EXPECT(memcmp(&before, &after, sizeof(before)) == 0);
	EXPECT(run(s, T0, SCHEDULE_SENT, 0) == 1);
	EXPECT(add(s, 4, "d", T0) != 0 && add(s, 5, "d", T0) == 0);
	schedule_free(&s);
}

static void
memory_has_a_limit(void)
{
	struct schedule_options o = SCHEDULE_DEFAULTS;
	struct schedule_stats st;
	struct schedule *s;
	uint32_t n = 0;
	char name[32];

	o.memory_bytes_max = 3 << 20;
	s = schedule_new(&o);
	do {
		snprintf(name, sizeof(name), "d%u.example", n);
	} while (add_priority(s, n + 1, name, T0, (int8_t)(n % 3)) != 0 && ++n < 100000);
	schedule_stats(s, T0, &st);
	EXPECT(n > 3000 && n < 100000 && st.entries_n == n && st.destinations_n == n);
	EXPECT(st.memory_bytes <= o.memory_bytes_max && st.memory_bytes > o.memory_bytes_max / 2);
	/* What is there works on, and makes room. */
	for (uint32_t i = 0; i < n; i++)
		EXPECT(run(s, T0, SCHEDULE_SENT, 0) != 0);
	EXPECT(next(s, T0, NULL) == 0);
	EXPECT(add(s, 1, "d0.example", T0) != 0);
	schedule_free(&s);
	o.memory_bytes_max = 1000;
	s = schedule_new(&o);
	EXPECT(add(s, 1, "a", T0) == 0);
	EXPECT(!schedule_destination_limit(s, STR("a"), 3));
	schedule_free(&s);
}

static void
memory_goes_back_with_the_last_entry(void)
{
	struct schedule *s = fresh();
	struct schedule_stats st;
	char name[32];

	for (unsigned i = 0; i < 100000; i++) {
		snprintf(name, sizeof(name), "d%u.example", i % 50000);
		EXPECT(add(s, 1 + i, name, T0) != 0);
	}
	schedule_stats(s, T0, &st);
	EXPECT(st.memory_bytes > 100000 * 64);
	while (run(s, T0, SCHEDULE_SENT, 0) != 0)
		;
	schedule_stats(s, T0, &st);
	EXPECT(st.entries_n == 0 && st.memory_bytes < 5 << 20);
	EXPECT(add(s, 1, "d0.example", T0) && run(s, T0, SCHEDULE_SENT, 0) == 1);
	schedule_free(&s);
}

static void
names_have_a_length(void)
{
	static char name[SCHEDULE_DESTINATION_BYTES_MAX + 1];
	struct schedule *s = fresh();
	struct schedule_entry_in in = {.message = 1, .due_ms = T0};

	memset(name, 'x', sizeof(name));
	EXPECT(schedule_add(s, &in) == 0);
	in.destination = str_of(name, sizeof(name));
	EXPECT(schedule_add(s, &in) == 0);
	EXPECT(!schedule_destination_limit(s, in.destination, 3));
	in.destination.n--;
	EXPECT(schedule_add(s, &in) != 0 && next(s, T0, NULL) == 1);
	/* Any bytes are a name. */
	in.destination = STR("\0\xff");
	EXPECT(schedule_add(s, &in) != 0);
	in.destination = STR("\0");
	EXPECT(schedule_add(s, &in) != 0);
	EXPECT(next(s, T0, NULL) == 1 && next(s, T0, NULL) == 1 && next(s, T0, NULL) == 0);
	schedule_free(&s);
}

/* Idle destinations are remembered, up to a number; the oldest is forgotten first. */
static void
idle_destinations_are_bounded(void)
{
	struct schedule *s = fresh();
	struct schedule_destination d;
	char name[32];

	EXPECT(schedule_destination_limit(s, STR("own"), 3));
	for (unsigned i = 0; i <= SCHEDULE_IDLE_MAX; i++) {
		EXPECT(schedule_destination_get(s, STR("d0"), &d) == (i > 0));
		snprintf(name, sizeof(name), "d%u", i);
		EXPECT(add(s, 1 + i, name, T0) && run(s, T0, SCHEDULE_SENT, 0) == 1 + i);
	}
	EXPECT(!schedule_destination_get(s, STR("d0"), &d));
	EXPECT(schedule_destination_get(s, STR("d1"), &d) && d.entries_n == 0);
	EXPECT(schedule_destination_get(s, STR("own"), &d));
	schedule_free(&s);
}

static void
own_limits_are_bounded(void)
{
	struct schedule *s = fresh();
	char name[32];

	for (unsigned i = 0; i < SCHEDULE_DESTINATION_LIMITS_MAX; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		EXPECT(schedule_destination_limit(s, str_of_c(name), 3));
	}
	EXPECT(!schedule_destination_limit(s, STR("one more"), 3));
	EXPECT(schedule_destination_limit(s, STR("d7"), 4));
	EXPECT(schedule_destination_limit(s, STR("d7"), 0));
	EXPECT(schedule_destination_limit(s, STR("one more"), 3));
	EXPECT(!schedule_destination_limit(s, STR("d7"), 3));
	schedule_free(&s);
}

static void
a_clock_that_runs_back_only_delays(void)
{
	struct schedule *s = fresh();

	EXPECT(add(s, 1, "a", T0) && add(s, 2, "a", T0) && add(s, 3, "b", T0 + 5));
	EXPECT(next(s, T0 + 10, NULL) == 1);
	EXPECT(next(s, T0 - 10, NULL) == 0);
	EXPECT(schedule_wake_ms(s) == T0);
	EXPECT(next(s, T0, NULL) == 2 && next(s, T0, NULL) == 0);
	EXPECT(next(s, T0 + 5, NULL) == 3);
	schedule_free(&s);
}

/* Order, links and the shape that bounds the way down. Returns how many there are. */
static uint32_t
heap_check(const struct schedule *s, uint32_t i, uint32_t parent, uint64_t due_ms)
{
	const struct entry *e;
	uint32_t left_rank, right_rank, n;

	if (i == 0)
		return 0;
	e = sched_entry(s, i);
	EXPECT(e->parent == parent && e->due_ms >= due_ms);
	n = 1 + heap_check(s, e->left, i, e->due_ms) + heap_check(s, e->right, i, e->due_ms);
	left_rank = e->left ? sched_entry(s, e->left)->heap_rank : 0;
	right_rank = e->right ? sched_entry(s, e->right)->heap_rank : 0;
	EXPECT(left_rank >= right_rank && e->heap_rank == right_rank + 1);
	return n;
}

static void
heaps_keep_their_shape(void)
{
	enum { ENTRIES = 3000 };
	enum { RISING, FALLING, RANDOM, ORDERS };
	uint64_t ids[ENTRIES];

	for (unsigned order = RISING; order < ORDERS; order++) {
		struct schedule *s = fresh();
		struct prng r;
		uint32_t n = 0;

		prng_init(&r, order);
		for (uint64_t i = 0; i < ENTRIES; i++) {
			uint64_t due[ORDERS] = {
			    [RISING] = i, [FALLING] = ENTRIES - i, [RANDOM] = prng_below(&r, 1000)};

			ids[i] = add(s, i, "a", T0 + due[order]);
			n += ids[i] != 0;
		}
		EXPECT(heap_check(s, sched_destination_find(s, STR("a"))->lane_usual, 0, 0) == n);
		for (unsigned i = 0; i < 2 * ENTRIES / 3; i++) {
			uint64_t id = ids[prng_below(&r, ENTRIES)];

			if (i % 2)
				n -= schedule_remove(s, id) == ST_OK;
			else
				(void)!schedule_reschedule(s, id, T0 + prng_below(&r, 1000));
			if (i % 100 == 0)
				EXPECT(
				    heap_check(s, sched_destination_find(s, STR("a"))->lane_usual,
					0, 0) == n);
		}
		EXPECT(heap_check(s, sched_destination_find(s, STR("a"))->lane_usual, 0, 0) == n);
		schedule_free(&s);
	}
}

int
main(void)
{
	UNIT(heaps_keep_their_shape);
	UNIT(picks_what_is_due_in_order);
	UNIT(destinations_take_turns);
	UNIT(a_crowd_that_wakes_at_once_takes_turns);
	UNIT(a_higher_priority_goes_first_and_waiting_counts);
	UNIT(concurrency_starts_grows_halves);
	UNIT(a_destination_may_have_its_own_limit);
	UNIT(dies_after_failures_in_a_row);
	UNIT(a_dead_destination_is_probed_by_one);
	UNIT(stragglers_of_a_dead_destination);
	UNIT(keeps_the_limit_of_all_together);
	UNIT(says_why_an_entry_waits);
	UNIT(holds_and_releases);
	UNIT(retries_reschedules_removes);
	UNIT(a_retry_wakes_a_dead_destination);
	UNIT(stale_ids_find_nothing);
	UNIT(tells_what_an_entry_is);
	UNIT(visits_the_entries_of_a_destination);
	UNIT(counts);
	UNIT(entries_have_a_limit);
	UNIT(memory_has_a_limit);
	UNIT(memory_goes_back_with_the_last_entry);
	UNIT(names_have_a_length);
	UNIT(idle_destinations_are_bounded);
	UNIT(own_limits_are_bounded);
	UNIT(a_clock_that_runs_back_only_delays);
	return unit_end();
}
