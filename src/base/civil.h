/*
 * Days and dates of the proleptic Gregorian calendar, by arithmetic alone: no zone files, no
 * locale, no state. Day 0 is 1970-01-01. Exact for the years -CIVIL_YEAR_MAX to CIVIL_YEAR_MAX.
 */
#ifndef POSTHORN_BASE_CIVIL_H
#define POSTHORN_BASE_CIVIL_H

#include <stdbool.h>
#include <stdint.h>

/* Far past any date; 64-bit arithmetic has room for it by orders of magnitude. */
#define CIVIL_YEAR_MAX 1000000000000

struct civil {
	int64_t year;
	int month; /* 1..12 */
	int day;   /* 1..31 */
};

bool civil_is_leap(int64_t year);
/* 28..31; month 1..12. */
int civil_month_days(int64_t year, int month);
int64_t civil_to_days(struct civil c);
struct civil civil_from_days(int64_t days);
/* 0 is Sunday. */
int civil_weekday(int64_t days);

#endif
