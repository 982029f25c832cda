#include "base/civil.h"

#include "base/check.h"

/*
 * Years are counted from March here, so that the leap day comes last, and in eras of 400 years,
 * which always have the same number of days (Howard Hinnant, "chrono-compatible low-level date
 * algorithms", explains the constants).
 */
enum {
	ERA_YEARS = 400,
	ERA_DAYS = 146097,
	EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
};

static int64_t
floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

bool
civil_is_leap(int64_t year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

int
civil_month_days(int64_t year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	CHECK(month >= 1 && month <= 12);
	return days[month - 1] + (month == 2 && civil_is_leap(year));
}

int64_t
civil_to_days(struct civil c)
{
	int64_t year = c.year - (c.month <= 2);
	int64_t era = floor_div(year, ERA_YEARS);
	int64_t year_of_era = year - era * ERA_YEARS;
	int64_t day_of_year = (153 * (c.month > 2 ? c.month - 3 : c.month + 9) + 2) / 5 + c.day - 1;

	CHECK(c.year >= -CIVIL_YEAR_MAX && c.year <= CIVIL_YEAR_MAX);
	return era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - EPOCH_DAYS;
}

struct civil
civil_from_days(int64_t days)
{
	int64_t z = days + EPOCH_DAYS;
	int64_t era = floor_div(z, ERA_DAYS);
	int64_t day_of_era = z - era * ERA_DAYS;
	int64_t year_of_era =
	    (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
	    day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int month = (int)((5 * day_of_year + 2) / 153);

	return (struct civil){
	    .year = year_of_era + era * ERA_YEARS + (month >= 10),
	    .month = month < 10 ? month + 3 : month - 9,
	    .day = (int)(day_of_year - (153 * month + 2) / 5 + 1),
	};
}

int
civil_weekday(int64_t days)
{
	/* 1970-01-01 was a Thursday. */
	return (int)(((days % 7) + 11) % 7);
}
