#include "base/num.h"
#include "base/unit.h"
#include "flow/queue/backoff.h"

#define MIN UINT64_C(60000)
#define HOUR (60 * MIN)
#define DAY (24 * HOUR)

static void
doubles_up_to_the_most(void)
{
	static const struct {
		uint32_t attempts;
		uint64_t first_ms, max_ms, wait_ms; /* without the jitter */
	} t[] = {
	    {0, 5 * MIN, 2 * HOUR, 5 * MIN},
	    {1, 5 * MIN, 2 * HOUR, 5 * MIN},
	    {2, 5 * MIN, 2 * HOUR, 10 * MIN},
	    {3, 5 * MIN, 2 * HOUR, 20 * MIN},
	    {4, 5 * MIN, 2 * HOUR, 40 * MIN},
	    {5, 5 * MIN, 2 * HOUR, 80 * MIN},
	    {6, 5 * MIN, 2 * HOUR, 2 * HOUR},
	    {7, 5 * MIN, 2 * HOUR, 2 * HOUR},
	    {UINT32_MAX, 5 * MIN, 2 * HOUR, 2 * HOUR},
	    {1, 3 * HOUR, 2 * HOUR, 2 * HOUR},
	    {64, 1, UINT64_MAX, UINT64_C(1) << 63},
	    {65, 1, UINT64_MAX, UINT64_MAX},
	    {UINT32_MAX, 0, 2 * HOUR, 0},
	    {9, 0, 0, 0},
	};

	for (size_t i = 0; i < COUNT_OF(t); i++) {
		uint64_t eighth = t[i].wait_ms / 8;

		/* The earliest, the middle and the latest. */
		EXPECT(backoff_next_ms(t[i].attempts, t[i].first_ms, t[i].max_ms, 0) ==
		       t[i].wait_ms - eighth);
		EXPECT(backoff_next_ms(t[i].attempts, t[i].first_ms, t[i].max_ms, eighth) ==
		       t[i].wait_ms);
		if (t[i].wait_ms <= 2 * HOUR)
			EXPECT(backoff_next_ms(t[i].attempts, t[i].first_ms, t[i].max_ms,
				   2 * eighth) == t[i].wait_ms + eighth);
		EXPECT(backoff_next_ms(t[i].attempts, t[i].first_ms, t[i].max_ms, 2 * eighth + 1) ==
		       t[i].wait_ms - eighth);
	}
}

static void
tries_a_last_time_before_it_expires(void)
{
	const uint64_t now = 1000 * DAY, mid = 5 * MIN / 8; /* rnd for no jitter */

	EXPECT(backoff_due_ms(now, 1, now + 5 * DAY, mid) == now + 5 * MIN);
	/* The wait ends before, at and after the last moment. */
	EXPECT(backoff_due_ms(now, 1, now + 6 * MIN + 1, mid) == now + 5 * MIN);
	EXPECT(backoff_due_ms(now, 1, now + 6 * MIN, mid) == now + 5 * MIN);
	EXPECT(backoff_due_ms(now, 1, now + 6 * MIN - 1, mid) == now + 5 * MIN - 1);
	EXPECT(backoff_due_ms(now, 9, now + HOUR, mid) == now + 59 * MIN);
	/* One moment left, none left, expired long ago, never had a life. */
	EXPECT(backoff_due_ms(now, 9, now + BACKOFF_LAST_MS + 1, mid) == now + 1);
	EXPECT(backoff_due_ms(now, 9, now + BACKOFF_LAST_MS, mid) == 0);
	EXPECT(backoff_due_ms(now, 9, now - DAY, mid) == 0);
	EXPECT(backoff_due_ms(now, 9, 0, mid) == 0);
	EXPECT(backoff_due_ms(0, 1, BACKOFF_LAST_MS - 1, mid) == 0);
	EXPECT(backoff_due_ms(now, 1, UINT64_MAX, mid) == now + 5 * MIN);
}

/* RFC 5321 4.5.4.1: two attempts in the first hour, then every two or three hours, for 4-5 days. */
static void
spends_five_days_as_the_standard_asks(void)
{
	const uint64_t start = 1000 * DAY, expires = start + 5 * DAY;
	uint64_t now = start;
	uint32_t attempts = 1, in_first_hour = 1;

	for (;;) {
		uint64_t due = backoff_due_ms(now, attempts, expires, attempts * 7919);

		if (due == 0)
			break;
		EXPECT(due > now && due < expires && due - now <= 2 * HOUR + 15 * MIN);
		now = due;
		attempts++;
		in_first_hour += now < start + HOUR;
	}
	EXPECT(in_first_hour >= 2);
	EXPECT(now == expires - BACKOFF_LAST_MS);
	EXPECT(attempts >= 55 && attempts <= 75);
}

int
main(void)
{
	UNIT(doubles_up_to_the_most);
	UNIT(tries_a_last_time_before_it_expires);
	UNIT(spends_five_days_as_the_standard_asks);
	return unit_end();
}
