/* Numbers, checksums, calendar, clock, counters: the small pieces of base/. */
#include "base/check.h"
#include "base/civil.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/metrics.h"
#include "base/num.h"
#include "base/rnd.h"
#include "base/unit.h"

static void
overflow_is_noticed(void)
{
	size_t v;

	EXPECT(add_ok(SIZE_MAX - 1, 1, &v) && v == SIZE_MAX);
	EXPECT(!add_ok(SIZE_MAX, 1, &v));
	EXPECT(mul_ok(SIZE_MAX / 3, 3, &v) && v == SIZE_MAX / 3 * 3);
	EXPECT(!mul_ok(SIZE_MAX / 3 + 1, 3, &v));
	EXPECT(size_min(1, 2) == 1 && size_max(1, 2) == 2);
}

static void
byte_orders(void)
{
	unsigned char b[8];

	le64_put(b, 0x0102030405060708);
	EXPECT(b[0] == 8 && b[7] == 1 && le64_get(b) == 0x0102030405060708);
	EXPECT(le32_get(b) == 0x05060708 && le16_get(b) == 0x0708);
	be64_put(b, 0xf102030405060708);
	EXPECT(b[0] == 0xf1 && b[7] == 8 && be64_get(b) == 0xf102030405060708);
	be32_put(b, 0xf1020304);
	EXPECT(b[0] == 0xf1 && b[3] == 4 && be32_get(b) == 0xf1020304);
}

static void
crc32c_of_rfc3720(void)
{
	static const char zeros[32];
	char ones[32], up[32];

	/* RFC 3720 B.4 */
	memset(ones, 0xff, sizeof(ones));
	for (int i = 0; i < 32; i++)
		up[i] = (char)i;
	EXPECT(crc32c(0, zeros, 32) == 0x8a9136aa);
	EXPECT(crc32c(0, ones, 32) == 0x62a8ab43);
	EXPECT(crc32c(0, up, 32) == 0x46dd794e);
	EXPECT(crc32c(0, "123456789", 9) == 0xe3069283);
	EXPECT(crc32c(0, NULL, 0) == 0);
	for (size_t cut = 0; cut <= 32; cut++) {
		EXPECT(crc32c(crc32c(0, up, cut), up + cut, 32 - cut) == 0x46dd794e);
		EXPECT(crc32c_portable(0, up, cut) == crc32c(0, up, cut));
	}
}

/* Three blocks side by side give what byte after byte gives, whatever the length and the start. */
static void
crc32c_of_long_runs(void)
{
	static unsigned char bytes[3 * 512 * 3 + 64];
	uint32_t x = 1;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		x = x * 1664525 + 1013904223;
		bytes[i] = (unsigned char)(x >> 24);
	}
	for (size_t n = 0; n < sizeof(bytes) - 16; n++) {
		const unsigned char *p = bytes + n % 16;
		EXPECT(crc32c((uint32_t)n, p, n) == crc32c_portable((uint32_t)n, p, n));
	}
}

static void
calendar(void)
{
	static const struct {
		struct civil c;
		int64_t days;
		int weekday;
	} table[] = {
	    {{1970, 1, 1}, 0, 4},
	    {{1969, 12, 31}, -1, 3},
	    {{2000, 2, 29}, 11016, 2},
	    {{2000, 3, 1}, 11017, 3},
	    {{1900, 2, 28}, -25509, 3},
	    {{1900, 3, 1}, -25508, 4},
	    {{2026, 11, 23}, 20780, 1},
	    {{0, 3, 1}, -719468, 3},
	    {{-1, 12, 31}, -719529, 5},
	    {{9999, 12, 31}, 2932896, 5},
	};
	struct civil day = {1, 1, 1};
	int64_t days = civil_to_days(day);

	for (size_t i = 0; i < COUNT_OF(table); i++) {
		struct civil c = civil_from_days(table[i].days);

		EXPECT(civil_to_days(table[i].c) == table[i].days);
		EXPECT(c.year == table[i].c.year && c.month == table[i].c.month &&
		       c.day == table[i].c.day);
		EXPECT(civil_weekday(table[i].days) == table[i].weekday);
	}
	/* Every day of 2,500 years, walked by hand. */
	for (; day.year <= 2500; days++) {
		struct civil c = civil_from_days(days);

		EXPECT(c.year == day.year && c.month == day.month && c.day == day.day);
		EXPECT(civil_to_days(c) == days);
		EXPECT(civil_weekday(days) == (civil_weekday(days - 1) + 1) % 7);
		if (++day.day > civil_month_days(day.year, day.month)) {
			day.day = 1;
			day.year += day.month == 12;
			day.month = day.month % 12 + 1;
		}
	}
	EXPECT(civil_is_leap(2000) && civil_is_leap(2024) && !civil_is_leap(1900) &&
	       !civil_is_leap(2026));
}

static void
clocks(void)
{
	struct clock c;
	uint64_t before;

	clock_init_fake(&c, 1000);
	before = clock_mono_ms(&c);
	clock_advance(&c, 5);
	EXPECT(clock_wall_ms(&c) == 1005 && clock_mono_ms(&c) == before + 5);
	clock_init_system(&c);
	before = clock_mono_ms(&c);
	EXPECT(clock_mono_ms(&c) >= before && clock_wall_ms(&c) > 1700000000000);
}

static void
random_numbers(void)
{
	struct prng a, b;
	bool is_same = true;

	prng_init(&a, 5);
	prng_init(&b, 5);
	for (int i = 0; i < 100; i++)
		is_same = is_same && prng_u64(&a) == prng_u64(&b);
	EXPECT(is_same);
	for (int i = 0; i < 100; i++)
		EXPECT(prng_below(&a, 3) < 3);
	EXPECT(rnd_u64() != rnd_u64());
}

static void
counters(void)
{
	static struct metric seen = METRIC_COUNTER("posthorn_test_total", "Things seen.");
	static struct metric now = METRIC_GAUGE("posthorn_test_now", "Things now.");
	struct buf b;

	buf_init(&b, 1000);
	metric_add(&seen, 2);
	metric_add(&seen, 1);
	metric_set(&now, 9);
	EXPECT(metrics_render(&b, "store") == ST_OK);
	EXPECT_STR(buf_str(&b),
	    STR("# HELP posthorn_test_now Things now.\n# TYPE posthorn_test_now gauge\n"
		"posthorn_test_now{role=\"store\"} 9\n"
		"# HELP posthorn_test_total Things seen.\n"
		"# TYPE posthorn_test_total counter\n"
		"posthorn_test_total{role=\"store\"} 3\n"));
	buf_fini(&b);
	buf_init(&b, 100);
	EXPECT(metrics_render(&b, "store") == ST_LIMIT);
	buf_fini(&b);
}

static void
statuses_have_words(void)
{
	for (int st = ST_OK; st <= ST_UNSUPPORTED; st++)
		EXPECT(strcmp(status_word((enum status)st), "unknown") != 0);
}

int
main(void)
{
	UNIT(overflow_is_noticed);
	UNIT(byte_orders);
	UNIT(crc32c_of_rfc3720);
	UNIT(crc32c_of_long_runs);
	UNIT(calendar);
	UNIT(clocks);
	UNIT(random_numbers);
	UNIT(counters);
	UNIT(statuses_have_words);
	return unit_end();
}
