/*
 * The queue's schedule under load: queue_bench [entries].
 *
 * Over 1, 1,000 and 100,000 destinations: the time of each call, the mean and the longest, and the
 * memory an entry takes. Then 100,000 destinations of which all but one are dead.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/rnd.h"
#include "flow/queue/schedule.h"

#define NOW UINT64_C(1000000000)
#define DESTINATIONS_MAX 100000
#define RUNNING_MAX 500

struct meter {
	uint64_t n, sum_ns, max_ns, started_ns, slow_n;
};

struct bench {
	struct schedule *s;
	struct prng r;
	uint64_t *ids;
	uint32_t entries_n, destinations_n;
	uint64_t now_ms;
	struct meter add, next, done, retry, remove;
};

static uint64_t
now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void
meter_start(struct meter *m)
{
	m->started_ns = now_ns();
}

static void
meter_stop(struct meter *m)
{
	uint64_t ns = now_ns() - m->started_ns;

	m->n++;
	m->sum_ns += ns;
	m->slow_n += ns > 100000;
	if (ns > m->max_ns)
		m->max_ns = ns;
}

static void
meter_print(const char *what, const struct meter *m)
{
	if (m->n == 0)
		return;
	printf("  %-8s %7.0f ns, longest %7.1f us, over 100 us %" PRIu64 " of %" PRIu64 "\n", what,
	    (double)m->sum_ns / (double)m->n, (double)m->max_ns / 1000, m->slow_n, m->n);
}

/* What the process really has in memory. */
static uint64_t
resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	struct str size, resident;
	uint64_t pages = 0;
	char line[128];

	CHECK(f != NULL && fgets(line, sizeof(line), f) != NULL);
	(void)fclose(f);
	(void)str_split(str_of_c(line), ' ', &size, &resident);
	(void)str_split(resident, ' ', &resident, &size);
	CHECK(str_to_u64(resident, &pages) == ST_OK);
	return pages * 4096;
}

static void
add_all(struct bench *b)
{
	char name[64];

	for (uint32_t i = 0; i < b->entries_n; i++) {
		int n = snprintf(name, sizeof(name), "mail%" PRIu32 ".some-domain.example",
		    (uint32_t)prng_below(&b->r, b->destinations_n));
		struct schedule_entry_in in = {
		    .message = i + 1,
		    .destination = str_of(name, (size_t)n),
		    .rcpts_n = 1,
		    .bytes = 5000,
		    .due_ms = NOW + prng_below(&b->r, 3600 * 1000),
		    .priority = i % 16 == 0 ? (int8_t)((int)prng_below(&b->r, 19) - 9) : (int8_t)0,
		};

		meter_start(&b->add);
		b->ids[i] = schedule_add(b->s, &in);
		meter_stop(&b->add);
		CHECK(b->ids[i] != 0);
	}
}

/* As many as may run, then all of them done. False: nothing was due. */
static bool
run_batch(struct bench *b, enum schedule_outcome outcome, uint64_t wait_ms)
{
	static uint64_t running[RUNNING_MAX];
	struct schedule_pick p;
	unsigned n = 0;

	for (;;) {
		bool is_picked;

		meter_start(&b->next);
		is_picked = schedule_next(b->s, b->now_ms, &p);
		meter_stop(&b->next);
		if (!is_picked)
			break;
		running[n++] = p.entry;
	}
	for (unsigned i = 0; i < n; i++) {
		uint64_t due_ms = wait_ms ? b->now_ms + wait_ms + prng_below(&b->r, wait_ms) : 0;

		meter_start(&b->done);
		(void)schedule_done(b->s, running[i], b->now_ms, outcome, due_ms);
		meter_stop(&b->done);
	}
	return n > 0;
}

static void
change_some(struct bench *b)
{
	for (uint32_t i = 0; i < b->entries_n / 10; i++) {
		uint64_t id = b->ids[prng_below(&b->r, b->entries_n)];
		struct meter *m = i % 2 ? &b->retry : &b->remove;
		enum status st;

		meter_start(m);
		st = i % 2 ? schedule_retry(b->s, id, b->now_ms) : schedule_remove(b->s, id);
		meter_stop(m);
		CHECK(st == ST_OK || st == ST_NOTFOUND);
	}
}

static void
bench_begin(struct bench *b, uint32_t destinations_n)
{
	*b = (struct bench){.ids = b->ids, .entries_n = b->entries_n, .now_ms = NOW};
	b->destinations_n = destinations_n;
	b->s = schedule_new(&SCHEDULE_DEFAULTS);
	prng_init(&b->r, 1);
}

static void
bench_end(struct bench *b)
{
	meter_print("add", &b->add);
	meter_print("next", &b->next);
	meter_print("done", &b->done);
	meter_print("retry", &b->retry);
	meter_print("remove", &b->remove);
	schedule_free(&b->s);
}

static void
bench_full(struct bench *b, uint32_t destinations_n)
{
	struct schedule_stats st;
	uint64_t t, resident = resident_bytes();

	bench_begin(b, destinations_n);
	add_all(b);
	resident = resident_bytes() - resident;
	t = now_ns();
	schedule_stats(b->s, NOW, &st);
	t = now_ns() - t;
	printf("%" PRIu32 " entries over %" PRIu32
	       " destinations: %.0f bytes an entry, %.0f resident; "
	       "stats in %.1f ms\n",
	    st.entries_n, st.destinations_n, (double)st.memory_bytes / st.entries_n,
	    (double)resident / st.entries_n, (double)t / 1e6);
	/* An hour later all are due at once; half of them are put off once. */
	b->now_ms = NOW + 3600 * 1000;
	while (b->done.n < b->entries_n / 2 && run_batch(b, SCHEDULE_DEFERRED_MESSAGE, 3600 * 1000))
		;
	change_some(b);
	b->now_ms += 3 * 3600 * 1000;
	while (run_batch(b, SCHEDULE_SENT, 0))
		;
	schedule_stats(b->s, b->now_ms, &st);
	CHECK(st.entries_n == 0);
	bench_end(b);
	printf("  empty again: %.1f MB\n", (double)st.memory_bytes / 1e6);
}

static bool
run_one(struct bench *b, struct str alive)
{
	struct schedule_pick p;

	if (!schedule_next(b->s, b->now_ms, &p))
		return false;
	CHECK(schedule_done(b->s, p.entry, b->now_ms,
	    str_eq(p.destination, alive) ? SCHEDULE_SENT : SCHEDULE_FAILED_DESTINATION, b->now_ms));
	return true;
}

/* All but one destination fail until they are dead; then one goes on working. */
static void
bench_dead(struct bench *b)
{
	const struct str alive = STR("mail7.some-domain.example");
	struct schedule_entry_in in = {.destination = alive};
	struct schedule_stats st;

	bench_begin(b, DESTINATIONS_MAX);
	add_all(b);
	b->add = (struct meter){0};
	b->now_ms = in.due_ms = NOW + 3600 * 1000;
	do {
		for (uint32_t i = 0; i < DESTINATIONS_MAX && run_one(b, alive); i++)
			;
		schedule_stats(b->s, b->now_ms, &st);
	} while (st.dead_n + 1 < st.destinations_n);
	printf("%" PRIu32 " entries, %" PRIu32 " of %" PRIu32
	       " destinations dead; the one that lives:\n",
	    st.entries_n, st.dead_n, st.destinations_n);
	for (uint32_t i = 0; i < 100000; i++) {
		in.message = b->entries_n + i;
		meter_start(&b->add);
		CHECK(schedule_add(b->s, &in) != 0);
		meter_stop(&b->add);
		while (run_batch(b, SCHEDULE_SENT, 0))
			;
	}
	bench_end(b);
}

int
main(int argc, char **argv)
{
	uint64_t entries_n = 1000000;
	struct bench b = {0};

	if (argc > 1 && (str_to_u64(str_of_c(argv[1]), &entries_n) != ST_OK || entries_n < 1 ||
			    entries_n > SCHEDULE_ENTRIES_MAX))
		return 2;
	b.entries_n = (uint32_t)entries_n;
	b.ids = calloc(entries_n, sizeof(*b.ids));
	CHECK(b.ids != NULL);
	memset(b.ids, 1, entries_n * sizeof(*b.ids));
	bench_full(&b, 1);
	bench_full(&b, 1000);
	bench_full(&b, DESTINATIONS_MAX);
	bench_dead(&b);
	free(b.ids);
	return 0;
}
