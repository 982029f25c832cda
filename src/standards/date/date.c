#include "standards/date/date.h"

#include <stdlib.h>

#include "base/civil.h"
#include "base/cur.h"
#include "base/num.h"
#include "standards/date/limits.h"

/* The fields as written; year and month already in full. */
struct fields {
	struct civil day;
	int hour, minute, second;
	int offset_minutes;
};

static const char month_names[12][4] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

enum { SECONDS_PER_DAY = 86400, YEAR_MAX = 9999 };

/* RFC 5322 3.3: "MUST be semantically valid". */
static enum status
fields_to_unix(const struct fields *f, int64_t *unix_seconds_out, int *offset_minutes_out)
{
	if (f->day.day < 1 || f->day.day > civil_month_days(f->day.year, f->day.month))
		return ST_SYNTAX;
	if (f->hour > 23 || f->minute > 59 || f->second > 60)
		return ST_SYNTAX;
	*unix_seconds_out = civil_to_days(f->day) * SECONDS_PER_DAY + f->hour * 3600 +
			    f->minute * 60 + f->second - (int64_t)f->offset_minutes * 60;
	*offset_minutes_out = f->offset_minutes;
	return ST_OK;
}

/* Between min and max digits, and no digit after them. */
static bool
digits_take(struct cur *c, size_t min, size_t max, int *out, size_t *n_out)
{
	struct cur try = *c;
	struct str digits = cur_take_while(&try, char_is_digit);
	int v = 0;

	if (digits.n < min || digits.n > max)
		return false;
	for (size_t i = 0; i < digits.n; i++)
		v = v * 10 + (digits.p[i] - '0');
	*out = v;
	if (n_out != NULL)
		*n_out = digits.n;
	*c = try;
	return true;
}

static bool
fixed_take(struct cur *c, size_t n, int *out)
{
	return digits_take(c, n, n, out, NULL);
}

/* Index of the name that word is, or is a longer form of ("Nov", "November"); -1 when it is none.
 */
static int
name_index(struct str word, const char names[][4], int n)
{
	for (int i = 0; i < n; i++)
		if (str_has_prefix_ci(word, str_of(names[i], 3)))
			return i;
	return -1;
}

/* CFWS with every kind of white space. ST_SYNTAX: a comment without its end. */
static enum status
cfws_skip(struct cur *c)
{
	struct cur try = *c;
	size_t depth = 0;

	for (; !cur_at_end(&try); cur_skip(&try, 1)) {
		int b = cur_peek(&try);

		if (b == '(') {
			if (++depth > DATE_COMMENT_DEPTH_MAX)
				return ST_LIMIT;
		} else if (depth == 0) {
			if (b != ' ' && b != '\t' && b != '\r' && b != '\n')
				break;
		} else if (b == ')') {
			depth--;
		} else if (b == '\\') {
			cur_skip(&try, 1);
		}
	}
	if (depth > 0)
		return ST_SYNTAX;
	*c = try;
	return ST_OK;
}

/* RFC 5322 4.3: years of two and three digits. */
static bool
year_take(struct cur *c, int64_t *year_out)
{
	size_t n;
	int v;

	if (!digits_take(c, 2, 4, &v, &n))
		return false;
	if (n == 2 && v <= 49)
		v += 2000;
	else if (n <= 3)
		v += 1900;
	/* RFC 5322 3.3: "any numeric year 1900 or later" */
	if (v < 1900)
		return false;
	*year_out = v;
	return true;
}

static enum status
time_take(struct cur *c, struct fields *f)
{
	enum status st;

	if (!digits_take(c, 1, 2, &f->hour, NULL) || cfws_skip(c) != ST_OK ||
	    !cur_char(c, ':'))
		return ST_SYNTAX;
	if ((st = cfws_skip(c)) != ST_OK)
		return st;
	if (!digits_take(c, 1, 2, &f->minute, NULL))
		return ST_SYNTAX;
	if ((st = cfws_skip(c)) != ST_OK)
		return st;
	if (!cur_char(c, ':'))
		return ST_OK;
	if ((st = cfws_skip(c)) != ST_OK)
		return st;
	return digits_take(c, 1, 2, &f->second, NULL) ? cfws_skip(c) : ST_SYNTAX;
}

/* "+hhmm"; "+hh:mm" as RFC 3339 has it. */
static bool
offset_take(struct cur *c, int *offset_minutes_out)
{
	struct cur try = *c;
	bool is_west = cur_peek(&try) == '-';
	int hours, minutes;

	if (!cur_char(&try, '+') && !cur_char(&try, '-'))
		return false;
	if (fixed_take(&try, 4, &minutes)) {
		hours = minutes / 100;
		minutes %= 100;
	} else if (!fixed_take(&try, 2, &hours) || !cur_char(&try, ':') ||
		   !fixed_take(&try, 2, &minutes)) {
		return false;
	}
	/* RFC 5322 3.3: "the last two digits of the zone MUST be within the range 00 through 59" */
	if (minutes > 59)
		return false;
	*offset_minutes_out = (is_west ? -1 : 1) * (hours * 60 + minutes);
	*c = try;
	return true;
}

/* RFC 5322 4.3: the zones whose meaning is known; all others are -0000. */
static int
zone_of_name(struct str name)
{
	static const struct {
		struct str name;
		int hours;
	} zones[] = {{STR_INIT("EDT"), -4}, {STR_INIT("EST"), -5}, {STR_INIT("CDT"), -5},
	    {STR_INIT("CST"), -6}, {STR_INIT("MDT"), -6}, {STR_INIT("MST"), -7},
	    {STR_INIT("PDT"), -7}, {STR_INIT("PST"), -8}};

	for (size_t i = 0; i < COUNT_OF(zones); i++)
		if (str_eq_ci(name, zones[i].name))
			return zones[i].hours * 60;
	return 0;
}

/* A zone, or nothing (then -0000). */
static enum status
zone_take(struct cur *c, int *offset_minutes_out)
{
	struct str name;

	*offset_minutes_out = 0;
	if (cur_peek(c) == '+' || cur_peek(c) == '-')
		return offset_take(c, offset_minutes_out) ? ST_OK : ST_SYNTAX;
	name = cur_take_while(c, char_is_alpha);
	*offset_minutes_out = zone_of_name(name);
	/* "GMT+0100" is seen; the number says what is meant. */
	if (name.n > 0)
		(void)offset_take(c, offset_minutes_out);
	return ST_OK;
}

/* The month's name; the cursor stands after it and the white space that follows. */
static enum status
month_take(struct cur *c, int *month_out)
{
	int i = name_index(cur_take_while(c, char_is_alpha), month_names, 12);

	if (i < 0)
		return ST_SYNTAX;
	*month_out = i + 1;
	/* "23-Nov-2026" is seen. */
	(void)cur_char(c, '-');
	return cfws_skip(c);
}

/* [ day-of-week "," ], the comma being optional for us. */
static enum status
day_of_week_skip(struct cur *c)
{
	struct cur try = *c;
	struct str word = cur_take_while(&try, char_is_alpha);
	enum status st;

	if (word.n == 0 || name_index(word, day_names, 7) < 0)
		return ST_OK;
	if ((st = cfws_skip(&try)) != ST_OK)
		return st;
	(void)cur_char(&try, ',');
	if ((st = cfws_skip(&try)) == ST_OK)
		*c = try;
	return st;
}

/* "23 Nov 2026 14:58:32 +0100" */
static enum status
day_first(struct cur *c, struct fields *f)
{
	enum status st;

	if (!digits_take(c, 1, 2, &f->day.day, NULL))
		return ST_SYNTAX;
	(void)cur_char(c, '-');
	if ((st = cfws_skip(c)) != ST_OK || (st = month_take(c, &f->day.month)) != ST_OK)
		return st;
	if (!year_take(c, &f->day.year))
		return ST_SYNTAX;
	if ((st = cfws_skip(c)) != ST_OK || (st = time_take(c, f)) != ST_OK)
		return st;
	return zone_take(c, &f->offset_minutes);
}

/* "Nov 23 14:58:32 2026", also with a zone before the year: what asctime and date(1) write. */
static enum status
month_first(struct cur *c, struct fields *f)
{
	enum status st = month_take(c, &f->day.month);

	if (st != ST_OK)
		return st;
	if (!digits_take(c, 1, 2, &f->day.day, NULL))
		return ST_SYNTAX;
	if ((st = cfws_skip(c)) != ST_OK || (st = time_take(c, f)) != ST_OK ||
	    (st = zone_take(c, &f->offset_minutes)) != ST_OK || (st = cfws_skip(c)) != ST_OK)
		return st;
	return year_take(c, &f->day.year) ? ST_OK : ST_SYNTAX;
}

/* RFC 5322 3.3, 4.3 */
enum status
date_parse(struct str s, int64_t *unix_seconds_out, int *offset_minutes_out)
{
	struct cur c = cur_of(s);
	struct fields f = {0};
	enum status st;

	if (s.n > DATE_BYTES_MAX)
		return ST_LIMIT;
	if ((st = cfws_skip(&c)) != ST_OK || (st = day_of_week_skip(&c)) != ST_OK)
		return st;
	st = char_is_digit((char)cur_peek(&c)) ? day_first(&c, &f) : month_first(&c, &f);
	if (st != ST_OK)
		return st;
	/* A word may follow, but nothing glued to what was read. */
	if (!cur_at_end(&c) && memchr(" \t\r\n(", cur_peek(&c), 5) == NULL)
		return ST_SYNTAX;
	return fields_to_unix(&f, unix_seconds_out, offset_minutes_out);
}

/* hh:mm:ss, two digits each */
static bool
clock_take(struct cur *c, struct fields *f)
{
	return fixed_take(c, 2, &f->hour) && cur_char(c, ':') && fixed_take(c, 2, &f->minute) &&
	       cur_char(c, ':') && fixed_take(c, 2, &f->second);
}

/* RFC 3339 5.6 */
enum status
date_parse_3339(struct str s, int64_t *unix_seconds_out, int *offset_minutes_out)
{
	struct cur c = cur_of(s);
	struct fields f = {0};
	int year;

	if (!fixed_take(&c, 4, &year) || !cur_char(&c, '-') || !fixed_take(&c, 2, &f.day.month) ||
	    !cur_char(&c, '-') || !fixed_take(&c, 2, &f.day.day))
		return ST_SYNTAX;
	if (!cur_char(&c, 'T') && !cur_char(&c, 't') && !cur_char(&c, ' '))
		return ST_SYNTAX;
	if (!clock_take(&c, &f) || f.day.month < 1 || f.day.month > 12)
		return ST_SYNTAX;
	f.day.year = year;
	if (cur_char(&c, '.')) {
		size_t n = cur_take_while(&c, char_is_digit).n;

		if (n == 0 || n > DATE_FRACTION_DIGITS_MAX)
			return n == 0 ? ST_SYNTAX : ST_LIMIT;
	}
	if (!cur_char(&c, 'Z') && !cur_char(&c, 'z')) {
		/* Only the form with a colon here, and hours of a day. */
		struct str zone = cur_rest(&c);

		if (zone.n != 6 || !offset_take(&c, &f.offset_minutes) ||
		    abs(f.offset_minutes) >= 24 * 60)
			return ST_SYNTAX;
	}
	return cur_at_end(&c) ? fields_to_unix(&f, unix_seconds_out, offset_minutes_out)
			      : ST_SYNTAX;
}

/* RFC 9051 9, date-time */
enum status
date_parse_imap(struct str s, int64_t *unix_seconds_out, int *offset_minutes_out)
{
	struct cur c = cur_of(s);
	struct fields f = {0};
	struct str month;
	int year, index;

	if (!(cur_char(&c, ' ') ? fixed_take(&c, 1, &f.day.day) : fixed_take(&c, 2, &f.day.day)))
		return ST_SYNTAX;
	if (!cur_char(&c, '-') || !cur_take(&c, 3, &month) || !cur_char(&c, '-') ||
	    !fixed_take(&c, 4, &year) || !cur_char(&c, ' ') || !clock_take(&c, &f) ||
	    !cur_char(&c, ' '))
		return ST_SYNTAX;
	index = name_index(month, month_names, 12);
	if (index < 0 || cur_left(&c) != 5 || !offset_take(&c, &f.offset_minutes))
		return ST_SYNTAX;
	f.day.month = index + 1;
	f.day.year = year;
	return fields_to_unix(&f, unix_seconds_out, offset_minutes_out);
}

/* The wall clock at the offset; false when it cannot be written with four digits of year. */
static bool
fields_of(int64_t unix_seconds, int offset_minutes, struct fields *f, int64_t *days_out)
{
	int64_t local, second;

	if (abs(offset_minutes) > DATE_OFFSET_MINUTES_MAX ||
	    __builtin_add_overflow(unix_seconds, (int64_t)offset_minutes * 60, &local))
		return false;
	second = local % SECONDS_PER_DAY;
	*days_out = local / SECONDS_PER_DAY - (second < 0);
	if (second < 0)
		second += SECONDS_PER_DAY;
	f->day = civil_from_days(*days_out);
	f->hour = (int)(second / 3600);
	f->minute = (int)(second / 60 % 60);
	f->second = (int)(second % 60);
	f->offset_minutes = offset_minutes;
	return f->day.year >= 0 && f->day.year <= YEAR_MAX;
}

static enum status
put_offset(struct buf *out, const char *colon, int offset_minutes)
{
	int m = abs(offset_minutes);

	return buf_putf(out, "%c%02d%s%02d", offset_minutes < 0 ? '-' : '+', m / 60, colon, m % 60);
}

/* Nothing is appended when the last piece did not fit. */
static enum status
whole_or_nothing(struct buf *out, size_t before, enum status st)
{
	if (st != ST_OK)
		out->n = before;
	return st;
}

enum status
date_format_5322(struct buf *out, int64_t unix_seconds, int offset_minutes)
{
	size_t before = out->n;
	struct fields f;
	int64_t days;
	enum status st;

	if (!fields_of(unix_seconds, offset_minutes, &f, &days))
		return ST_LIMIT;
	st = buf_putf(out, "%s, %d %s %04lld %02d:%02d:%02d ", day_names[civil_weekday(days)],
	    f.day.day, month_names[f.day.month - 1], (long long)f.day.year, f.hour, f.minute,
	    f.second);
	return whole_or_nothing(
	    out, before, st == ST_OK ? put_offset(out, "", offset_minutes) : st);
}

enum status
date_format_3339(struct buf *out, int64_t unix_seconds, int offset_minutes)
{
	size_t before = out->n;
	struct fields f;
	int64_t days;
	enum status st;

	if (!fields_of(unix_seconds, offset_minutes, &f, &days))
		return ST_LIMIT;
	st = buf_putf(out, "%04lld-%02d-%02dT%02d:%02d:%02d", (long long)f.day.year, f.day.month,
	    f.day.day, f.hour, f.minute, f.second);
	if (st == ST_OK)
		st = offset_minutes == 0 ? buf_put_c(out, 'Z')
					 : put_offset(out, ":", offset_minutes);
	return whole_or_nothing(out, before, st);
}

enum status
date_format_imap(struct buf *out, int64_t unix_seconds, int offset_minutes)
{
	size_t before = out->n;
	struct fields f;
	int64_t days;
	enum status st;

	if (!fields_of(unix_seconds, offset_minutes, &f, &days))
		return ST_LIMIT;
	st = buf_putf(out, "%2d-%s-%04lld %02d:%02d:%02d ", f.day.day, month_names[f.day.month - 1],
	    (long long)f.day.year, f.hour, f.minute, f.second);
	return whole_or_nothing(
	    out, before, st == ST_OK ? put_offset(out, "", offset_minutes) : st);
}
